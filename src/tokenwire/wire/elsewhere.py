"""Detects answers that may have text or usage where the exact decoders do not expect it; `lenient` then finds it."""

import re
from functools import cache
from typing import Any, Final

from ..types._record import Record
from ..types._source import children
from ..types.chat import StreamingChoices
from ..types.text import TextChoices
from .fields import PLACES_OF_TEXT, content_of, place_of_text


def is_elsewhere(record: Record, data: bytes) -> bool:
    """Whether the lenient decoder may find text or usage that an exact one did not, or distinguish choices that it could not.

    Args:
        record: an answer or a chunk.
        data: its document, which is searched only if something is missing in the record.
    """
    others = _other_texts(type(record))
    if others is None:
        return False
    choices: list[Any] = getattr(record, "choices")  # noqa: B009  (all classes of answers with text have choices)
    has_ended = not choices
    for choice in choices:
        has_ended = has_ended or bool(choice.finish_reason)
        if _has_no_text(choice) and (others[0] in data or others[1] in data):
            return True
    if has_ended and getattr(record, "usage") is None and _USAGE.search(data) is not None:  # noqa: B009
        return True
    return len(choices) > 1 and len({choice.index for choice in choices}) < len(choices)


def _has_no_text(choice: Any) -> bool:
    if isinstance(choice, TextChoices):
        return not choice.text
    message = choice.delta if isinstance(choice, StreamingChoices) else choice.message
    return not (message.content or any(content_of(message)))


_USAGE: Final = re.compile(rb'"usage"\s*:\s*\{')


@cache
def _other_texts(cls: type[Record]) -> tuple[bytes, bytes] | None:
    """JSON names of the text in other kinds of answers; None for a class without choices."""
    own = next((place_of_text(child.cls) for child in children(cls) if child.key == "choices"), None)
    if own is None:
        return None
    first, second = (b'"%b"' % name.encode() for name in PLACES_OF_TEXT if name != own)
    return first, second
