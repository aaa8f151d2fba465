"""Opaque reasoning that names the API it is for.

Clients of the Responses API keep the `encrypted_content` of a reasoning item, and clients of Messages the `signature` of
their thinking, without reading it, and send it back with the conversation. So a model's own reasoning can pass through a
client of another API: it is sealed in these fields, and is in the message again with the next request. Reasoning without any
such content is sealed too, empty: the endpoint of another model, which would refuse it, is not sent what was sealed here.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any, Final, TypeGuard

import msgspec

from ..types._source import Fields

_MARK: Final = "tokenwire:"
# The fields of a message that may be sealed, and the types of what is in them.
_TYPES: Final = {"reasoning_items": ("reasoning",), "thinking_blocks": ("thinking", "redacted_thinking")}


def seal(name: str, value: list[Any]) -> str:
    """Opaque text that contains a message's field."""
    return _MARK + urlsafe_b64encode(msgspec.json.encode([name, value])).decode()


def is_sealed(text: object) -> TypeGuard[str]:
    """Whether an opaque text was sealed here, or claims it."""
    return isinstance(text, str) and text.startswith(_MARK)


def unseal(text: object) -> Fields | None:
    """The message's field in an opaque text; no field if that is empty or not readable; None if it was not sealed here.

    The text comes from a client: reasoning is all that it can bring in.
    """
    if not is_sealed(text):
        return None
    try:
        name, value = msgspec.json.decode(urlsafe_b64decode(text.removeprefix(_MARK)), type=tuple[str, list[Fields]])
    except (ValueError, msgspec.DecodeError, RecursionError):
        return {}
    types = _TYPES.get(name, ())
    return {name: value} if value and all(one.get("type") in types for one in value) else {}
