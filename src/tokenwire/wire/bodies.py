"""Decodes the body of an answer that is not streamed to a struct that keeps the bytes; leniently if the exact decode fails."""

from collections.abc import Callable
from functools import cache
from operator import attrgetter
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET

from ..types._record import stored_names
from ..types._response import Response
from ..types._source import attach_document, keep_as_understood, tree_of
from .elsewhere import is_elsewhere
from .errors import error_from_object, unusable
from .undecoded import UNDECODABLE, decode_or_text, error_in, lenient_decoder, says_nothing

R = TypeVar("R", bound=Response)

BOM = b"\xef\xbb\xbf"


def decode_body(data: bytes, cls: type[R]) -> R:
    """Decode the body of an answer that is not streamed to a `cls` that keeps the bytes.

    Raises:
        APIError: the body is an error object, despite its status.
        APIResponseValidationError: it is not JSON, or is not a `cls`.
    """
    data = data.removeprefix(BOM)
    decode, split, content = _reading(cls)
    try:
        record: R = decode(data)
    except UNDECODABLE as refusal:
        record = _understood_body(data, cls, refusal)
    else:
        if is_elsewhere(record, data) and (again := lenient_decoder().mended(data, cls)) is not None:
            record = again
        else:
            attach_document(record, data)
    error, items = split(record)
    if error is not UNSET and error is not None and not (says_nothing(error) and items):
        raise error_from_object(error, body=decode_or_text(data))
    if not items:
        fields = tree_of(record) or decode_or_text(data)
        if not isinstance(fields, dict) or content not in fields:
            raise unusable(data, f"it has no {content}")
    keep_as_understood(record)
    return record


def _understood_body(data: bytes, cls: type[R], error: Exception) -> R:
    """Decode a body leniently after the exact decode failed."""
    if data.startswith(b"[") and (found := error_in(data)) is not None:  # otherwise it could be taken for a list of models
        raise found
    record = lenient_decoder().understood(data, cls)
    if record is not None:
        return record
    raise error_in(data) or unusable(data, str(error))


@cache
def _reading(cls: type[Response]) -> tuple[Callable[[bytes], Any], Callable[[Any], tuple[Any, Any]], str]:
    """For a class of answers: its decoder, a function that returns error and answer, and the name of the required field."""
    content = next(name for name in ("choices", "data", "input_tokens") if name in cls.__struct_fields__)
    return msgspec.json.Decoder(cls).decode, attrgetter(stored_names(cls)["error"], content), content
