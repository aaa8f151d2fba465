"""Opaque reasoning that names the API it is for.

Clients of the Responses API keep the `encrypted_content` of a reasoning item, and clients of Messages the `signature` of
their thinking, without reading it, and send it back with the conversation. So a model's own reasoning can pass through a
client of another API: it is sealed in these fields, and is in the message again with the next request.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any, Final

import msgspec

from ..types._source import Fields

_MARK: Final = "tokenwire:"
_FIELDS: Final = ("reasoning_items", "thinking_blocks")  # of a message


def seal(name: str, value: list[Any]) -> str:
    """Opaque text that contains a message's field."""
    return _MARK + urlsafe_b64encode(msgspec.json.encode([name, value])).decode()


def unseal(text: object) -> Fields | None:
    """The message's field in an opaque text; None if it was not sealed here."""
    if not isinstance(text, str) or not text.startswith(_MARK):
        return None
    try:
        name, value = msgspec.json.decode(urlsafe_b64decode(text.removeprefix(_MARK)), type=tuple[str, list[Any]])
    except (ValueError, msgspec.DecodeError):
        return None
    return {name: value} if name in _FIELDS else None
