"""Converts values of another type than their field's; the result is UNSET if that is not possible."""

import math
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import msgspec
from msgspec import UNSET, UnsetType


def converter_for(name: str, kinds: Iterable[object]) -> Callable[[object], object]:
    """The function that converts any value to a field of this name and these types."""
    return _BY_NAME.get(name) or next((_BY_TYPE[kind] for kind in kinds if kind in _BY_TYPE), _nothing)


def _nothing(_: object) -> object:
    return UNSET


def as_raw(value: object) -> object:
    """A value as JSON, for a field that is decoded when read."""
    import json  # encodes what msgspec does not, such as -Infinity

    return msgspec.Raw(json.dumps(value).encode())


def _as_text(value: object) -> str | UnsetType:
    """A number as text."""
    return _json(value) if isinstance(value, int | float) and not isinstance(value, bool) else UNSET


def _as_whole(value: object) -> object:
    """A number, also one sent as text, without its fraction."""
    number = _as_number(value)
    return UNSET if number is UNSET else int(number)


def _as_number(value: object) -> float | UnsetType:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return UNSET
    return value if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) else UNSET


def _as_list(value: object) -> object:
    """A single object instead of a list of objects becomes a list of one."""
    return [value] if isinstance(value, dict) and value else UNSET


def _as_moment(value: object) -> object:
    """Seconds since the epoch, also from a date; a date without a zone is UTC."""
    number = _as_number(value)
    if number is not UNSET or not isinstance(value, str):
        return number
    try:
        when = datetime.fromisoformat(value)
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return UNSET


def _as_words(value: object) -> object:
    """The text in a list of parts, without reasoning, which has its own field."""
    return texts_of(value)["content"] or UNSET


def _as_message(value: object) -> object:
    """A message made from its content only."""
    return {"content": value} if isinstance(value, str | list) and value else UNSET


def _as_reason(value: object) -> object:
    """A finish reason of another type, as JSON; None for false, 0 and empty values."""
    return _json(value) if value else UNSET


def _as_arguments(value: object) -> object:
    return _json(value)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


_BY_NAME: dict[str, Callable[[object], object]] = {
    "arguments": _as_arguments,
    "content": _as_words,
    "created": _as_moment,
    "delta": _as_message,
    "finish_reason": _as_reason,
    "message": _as_message,
    "reasoning_content": _as_words,
    "refusal": _as_words,
    "text": _as_words,
}

_BY_TYPE: dict[object, Callable[[object], object]] = {
    str: _as_text,
    int: _as_whole,
    float: _as_number,
    list: _as_list,
    msgspec.Raw: as_raw,
}


# Parts of content.


def texts_of(value: object) -> dict[str, str]:
    """The texts in a value sent instead of a text, by the fields of a message to which they belong."""
    if not isinstance(value, list | dict):
        text = _as_text(value)
        return {"content": "" if text is UNSET else text}
    texts = {"content": "", "reasoning_content": "", "refusal": ""}
    for part in value if isinstance(value, list) else [value]:
        kind = part.get("type") if isinstance(part, dict) else None
        name = _FIELD_OF_PARTS.get(kind, "content") if isinstance(kind, str) else "content"
        texts[name] += _text_in(part)
    return texts


_FIELD_OF_PARTS = {"thinking": "reasoning_content", "reasoning": "reasoning_content", "refusal": "refusal"}


def _text_in(part: object) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, dict):
        return "".join(map(_text_in, part)) if isinstance(part, list) else ""
    for name in _TEXT_NAMES:
        if (value := part.get(name)) is not None:
            return _text_in(value)
    return ""


_TEXT_NAMES = ("text", "thinking", "reasoning", "refusal", "summary", "content", "value")
