"""What a client asks of an endpoint that speaks the client's API: also what no call of this library has a word for."""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from tokenwire import BadRequestError

from .requests import SERVERS_OWN

R = TypeVar("R", bound=Struct)

_STAND_INS: Mapping[str, Any] = {"input": [], "max_tokens": 1, "messages": []}  # for what such a client may leave out
_SEEN_TO = frozenset({"model", "stream"})


def as_it_came(fields: Mapping[str, Any], cls: type[R]) -> tuple[R, dict[str, Any]]:
    """A request that is not one of a `cls`: as much of it as is, and the keywords of a call.

    Those keywords are for the record alone: numbers and texts by their own names, and what looks like messages.

    Args:
        fields: the request's, as they came.
        cls: what checks those that everybody could answer.

    Raises:
        BadRequestError: it names no model, or does not say whether to stream.
    """
    known: dict[str, Any] = {}
    for field in msgspec.structs.fields(cls):
        try:
            known[field.encode_name] = msgspec.convert(fields[field.encode_name], field.type)
        except (KeyError, msgspec.ValidationError, RecursionError):
            if field.encode_name in _SEEN_TO and field.encode_name in fields:
                raise BadRequestError(f"{field.encode_name} has the wrong type", param=field.encode_name) from None
            if field.required:
                known[field.encode_name] = _STAND_INS[field.encode_name]
    turns = fields.get("messages", fields.get("input"))
    messages = (
        [turn for turn in turns if isinstance(turn, dict) and isinstance(turn.get("role"), str)]
        if isinstance(turns, list)
        else []
    )
    if isinstance(turns, str):
        messages = [{"role": "user", "content": turns}]
    said = {
        name: fields[name] for name in known.keys() - _SEEN_TO - SERVERS_OWN if isinstance(fields.get(name), int | float | str)
    }
    return cls(**known), {**said, "messages": messages}
