"""How a message in a history is sent: a received one is sent as it was received, field for field.

Each record in a message is one of three kinds:

- Received whole: sent as the server sent it, with its nulls, its names (`reasoning` is kept) and its unknown fields. Fields
  that Python code has changed since are sent with their new values, except None.
- Assembled from a stream, which can't distinguish null from absent: the fields that are not None, by the names that the
  server used, and the content, which is null if no text arrived.
- Made by Python code: the fields that are not None.

A message is always sent with its role.
"""

from typing import Any, Final

from msgspec import DecodeError, json
from msgspec.structs import astuple

from ..exceptions import APIError
from ..types._record import Record, sent, stored_names
from ..types._source import (
    Assembled,
    Fields,
    OddDocument,
    Path,
    added_fields,
    is_extended,
    object_as_sent,
    place_of,
    source_of,
    unknown_fields,
)
from ..types.chat import Message, ModelResponse
from .bodies import decode_body

_decode = json.Decoder(ModelResponse).decode

_SCALARS: Final = frozenset({str, int, float, bool, type(None)})


def is_flat(fields: Fields) -> bool:
    """Whether the fields have neither records nor containers in them, as in most messages."""
    return _SCALARS.issuperset(map(type, fields.values()))


def to_json(value: object) -> Any:
    """A value in a message, with its records converted to what is sent."""
    if type(value) in _SCALARS:
        return value
    if isinstance(value, dict):
        return {name: item if type(item) in _SCALARS else to_json(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    return _record_to_json(value) if isinstance(value, Record) else value


def _record_to_json(record: Record) -> Fields:
    fields = _received(record)
    if fields is None:
        is_assembled = isinstance(source_of(record), Assembled)
        fields = _assembled(record) if is_assembled else record.model_dump(exclude_none=True)
    if isinstance(record, Message):
        fields["role"] = fields.get("role") or "assistant"
    return fields


def _received(record: Record) -> Fields | None:
    """A record as received, with later changes; None if it was not received."""
    place = place_of(record)
    was, came = (None, None) if place is None else (_as_it_was(record, *place), object_as_sent(*place))
    if was is None or not isinstance(came, dict):
        return None
    has_additions = is_extended(record)
    if not has_additions and astuple(record) == astuple(was):  # it has not been changed
        return {**came}
    fields = {**came, **{name: to_json(value) for name, value in added_fields(record).items()}}
    for name in stored_names(type(record)):
        value, before = sent(record, name), sent(was, name)
        if value != before or (has_additions and isinstance(value, Record | list)):
            fields[name] = to_json(value)
            if value is None:
                del fields[name]
    return fields


def _as_it_was(record: Record, data: bytes, path: Path) -> Record | None:
    """The record as decoded from the body of a completion; None if it was decoded from something else."""
    try:
        found: Any = decode_body(data, ModelResponse) if isinstance(data, OddDocument) else _decode(data)
        for step in path:
            found = found[step]
    except (APIError, LookupError, DecodeError, UnicodeDecodeError):
        return None
    return found if type(found) is type(record) else None


def _assembled(record: Record) -> Fields:
    fields = {name: to_json(value) for name in stored_names(type(record)) if (value := sent(record, name)) is not None}
    unknown = {name: to_json(value) for name, value in unknown_fields(record).items()}
    return {**({"content": None} if isinstance(record, Message) else {}), **fields, **unknown}
