"""What did not decode as what was expected: errors that stand in an answer's place, and the second look."""

from functools import cache
from types import ModuleType

import msgspec

from ..exceptions import APIError
from .errors import SHOWN_BYTES, error_from_object

# What decoding raises for bytes that are not JSON, not UTF-8, of another shape, or nested too deeply.
UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_decode_any = msgspec.json.Decoder().decode


@cache
def lenient_decoder() -> ModuleType:
    """`lenient`, loaded where it is needed."""
    from . import lenient

    return lenient


def says_nothing(error: object) -> bool:
    """Whether an error is an empty one, as some servers send beside good answers."""
    return not any(error.values()) if isinstance(error, dict) else not error


def error_in(data: bytes) -> APIError | None:
    """The error that stands in what was not decoded, if there is one."""
    body = decode_or_text(data)
    fields = body[0] if isinstance(body, list) and len(body) == 1 else body  # Google's errors are lists of one
    if isinstance(fields, dict) and fields.get("error") is not None:
        return error_from_object(fields["error"], body=body)
    return None


def decode_or_text(data: bytes) -> object:
    """The JSON, for an error that shows it; the beginning of the text where it is none."""
    try:
        return _decode_any(data)
    except UNDECODABLE:
        return data[:SHOWN_BYTES].decode("utf-8", "replace")
