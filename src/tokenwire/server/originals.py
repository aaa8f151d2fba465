"""Requests to an endpoint that speaks the client's own API, which may have what no keyword of this library expresses."""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from tokenwire import BadRequestError

from .requests import SERVERS_OWN

R = TypeVar("R", bound=Struct)

_STAND_INS: Mapping[str, Any] = {"input": [], "max_tokens": 1, "messages": []}  # for required fields that do not fit
_HANDLED = frozenset({"model", "stream"})  # by the server itself


def as_it_came(fields: Mapping[str, Any], cls: type[R]) -> tuple[R, dict[str, Any]]:
    """A request that does not fit a `cls`: as much of it as does, and the keywords of a call.

    The keywords are only for observers of the call: numbers and texts by their own names, and what looks like messages.

    Args:
        fields: the request's, as they came.
        cls: checks requests that any model could answer.

    Raises:
        BadRequestError: `model` or `stream` has the wrong type.
    """
    known: dict[str, Any] = {}
    for field in msgspec.structs.fields(cls):
        try:
            known[field.encode_name] = msgspec.convert(fields[field.encode_name], field.type)
        except (KeyError, msgspec.ValidationError, RecursionError):
            if field.encode_name in _HANDLED and field.encode_name in fields:
                raise BadRequestError(f"{field.encode_name} has the wrong type", param=field.encode_name) from None
            if field.required:
                known[field.encode_name] = _STAND_INS[field.encode_name]
    items = fields.get("messages", fields.get("input"))
    messages = (
        [item for item in items if isinstance(item, dict) and isinstance(item.get("role"), str)]
        if isinstance(items, list)
        else []
    )
    if isinstance(items, str):
        messages = [{"role": "user", "content": items}]
    simple = {
        name: fields[name] for name in known.keys() - _HANDLED - SERVERS_OWN if isinstance(fields.get(name), int | float | str)
    }
    return cls(**known), {**simple, "messages": messages}
