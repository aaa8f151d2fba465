"""For data that did not decode: error objects sent instead of an answer, and the lenient decoder."""

from functools import cache
from types import ModuleType

import msgspec

from ..exceptions import APIError
from .errors import SHOWN_BYTES, error_from_object

# Raised by decoding for bytes that are not JSON, not UTF-8, of another structure, or nested too deeply.
UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_decode_any = msgspec.json.Decoder().decode


@cache
def lenient_decoder() -> ModuleType:
    """The module `lenient`, loaded when it is needed."""
    from . import lenient

    return lenient


def says_nothing(error: object) -> bool:
    """Whether an error is empty: some servers send an empty error with a good answer."""
    return not any(error.values()) if isinstance(error, dict) else not error


def error_in(data: bytes) -> APIError | None:
    """The error object in data that did not decode, if there is one."""
    body = decode_or_text(data)
    fields = body[0] if isinstance(body, list) and len(body) == 1 else body  # Google's errors are lists of one
    if isinstance(fields, dict) and fields.get("error") is not None:
        return error_from_object(fields["error"], body=body)
    return None


def decode_or_text(data: bytes) -> object:
    """The data as JSON, for an error's `body`; the beginning of the text if it is not JSON."""
    try:
        return _decode_any(data)
    except UNDECODABLE:
        return data[:SHOWN_BYTES].decode("utf-8", "replace")
