"""Encrypted reasoning that says in whose terms it is.

Clients keep the `encrypted_content` of a reasoning item without a look at it, and send it back with the conversation. What a
model wants to see again (another API's reasoning items with ids of their own, thinking blocks with signatures) travels in
it, and is back in the message when it returns.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any, Final

import msgspec

from ...types._source import Fields

_MARK: Final = "tokenwire:"
FIELDS: Final = ("reasoning_items", "thinking_blocks")  # of a message


def seal(name: str, value: list[Any]) -> str:
    """A text that holds a message's field."""
    return _MARK + urlsafe_b64encode(msgspec.json.encode([name, value])).decode()


def unseal(text: object) -> Fields | None:
    """The message's field in it; None for what others have encrypted."""
    if not isinstance(text, str) or not text.startswith(_MARK):
        return None
    try:
        name, value = msgspec.json.decode(urlsafe_b64decode(text.removeprefix(_MARK)), type=tuple[str, list[Any]])
    except (ValueError, msgspec.DecodeError):
        return None
    return {name: value} if name in FIELDS else None
