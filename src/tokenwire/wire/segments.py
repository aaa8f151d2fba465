"""The order of an assistant's message, where its own fields can't express it.

A chat message has its reasoning, its text and its tool calls in separate fields, which express a single order: reasoning,
text, calls. An answer of Messages or of the Responses API is a list in any order, and may have elements that chat
completions do not have. Such a message keeps the list in `provider_specific_fields["segments"]`. A segment is the chat
message for one element of the list; if that loses something, the element itself is in the segment too, as it arrived,
under a key that its API chooses.

Segments are used as long as they agree with the message: if Python code has changed the message since, they are ignored.
"""

from collections.abc import Iterable, Mapping
from itertools import count
from typing import Any, Final

import msgspec

from ..types._record import sent
from ..types._source import Fields
from ..types.chat import Delta

SEGMENTS: Final = "segments"

_REASONING: Final = frozenset({"reasoning_content", "reasoning_items", "thinking_blocks"})
_TEXT: Final = frozenset({"annotations", "content", "refusal"})
_CALLS: Final = frozenset({"tool_calls"})
_ORDER: Final = (_REASONING, _TEXT, _CALLS)
_STRINGS: Final = ("reasoning_content", "content", "refusal")
_LISTS: Final = ("reasoning_items", "thinking_blocks", "annotations", "tool_calls")
_COMPARED: Final = ("content", "refusal", "reasoning_items", "thinking_blocks", "tool_calls")
_EMPTY: Final = {"content": ""}  # APIs do not accept an empty text

_decode = msgspec.json.Decoder().decode


def message_of(segments: list[Fields]) -> Fields:
    """The fields of the assistant's message that consists of these segments, which it keeps if it needs them."""
    fields = _joined(segments)
    segments = [segment for segment in segments if segment and segment != _EMPTY]
    if not _is_usual(segments):
        fields["provider_specific_fields"] = {SEGMENTS: segments}
    return fields


def segments_of(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The segments of a message; only the message itself if it keeps none, or no longer agrees with them."""
    bag = message.get("provider_specific_fields")
    kept = bag.get(SEGMENTS) if isinstance(bag, Mapping) else None
    if isinstance(kept, list) and kept and all(map(_is_segment, kept)):
        joined = _joined(kept)
        if all(_essence(name, joined.get(name)) == _essence(name, message.get(name)) for name in _COMPARED):
            return kept
    return [message]


def deltas_of(delta: Delta) -> list[Delta]:
    """A delta for each segment, if the delta is a whole message that keeps some; else the delta itself."""
    if SEGMENTS not in (sent(delta, "provider_specific_fields") or ()):
        return [delta]
    message = delta.model_dump(exclude_none=True)
    segments = segments_of(message)
    if segments[0] is message:
        return [delta]
    numbers = count()
    deltas: list[Delta] = []
    for segment in segments:
        fields = {name: segment[name] for name in (*_STRINGS, *_LISTS) if name in segment}
        if "content" in fields:
            fields["content"] = text_of(fields["content"])
        if "tool_calls" in fields:
            fields["tool_calls"] = [{**call, "index": next(numbers)} for call in fields["tool_calls"]]
        deltas.append(Delta(**fields))
    return deltas


def text_of(content: object) -> str:
    """The text of a message's content: a str, or that of its parts."""
    if isinstance(content, list):
        parts = (part.get("text") or part.get("refusal") for part in content if isinstance(part, Mapping))
        return "".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""


def _joined(segments: Iterable[Mapping[str, Any]]) -> Fields:
    fields: Fields = {"role": "assistant", "content": None}
    for segment in segments:
        for name in _STRINGS:
            if name in segment:
                before = fields.get(name)
                fields[name] = segment[name] if before is None else _added(before, segment[name])
        for name in _LISTS:
            if name in segment:
                fields[name] = [*fields.get(name, ()), *segment[name]]
    return fields


def _added(before: str | list[Any], value: str | list[Any]) -> str | list[Any]:
    """Two contents as one: a text, or a list of parts."""
    if isinstance(before, str) and isinstance(value, str):
        return before + value
    both = ([{"type": "text", "text": one}] if isinstance(one, str) else one for one in (before, value))
    return [part for parts in both for part in parts]


def _is_usual(segments: list[Fields]) -> bool:
    """Whether a message's own fields express these segments, in their order."""
    places = [next((place for place, names in enumerate(_ORDER) if segment.keys() <= names), None) for segment in segments]
    known = [place for place in places if place is not None]
    return len(known) == len(places) and known == sorted(known) and known.count(1) <= 1


def _is_segment(value: object) -> bool:
    """Whether a value in a message, which may come from anywhere, has a segment's structure."""
    return (
        isinstance(value, dict)
        and "function_call" not in value
        and all(isinstance(value.get(name, ""), str | list if name == "content" else str) for name in _STRINGS)
        and all(_is_list_of_objects(value.get(name, [])) for name in _LISTS)
    )


def _is_list_of_objects(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def _essence(name: str, value: Any) -> object:
    """What is compared of a field: formats of the same text, or of the same arguments, do not differ."""
    if name in _STRINGS:
        return text_of(value)
    if name == "tool_calls" and _is_list_of_objects(value):
        return list(map(_called, value))
    return value or []


def _called(call: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    function = call.get("function") or call.get("custom")
    if not isinstance(function, Mapping):
        return call.get("id"), None, None
    arguments = function.get("arguments", function.get("input"))
    try:
        return call.get("id"), function.get("name"), _decode(arguments or "{}")
    except (TypeError, ValueError, msgspec.DecodeError, RecursionError):
        return call.get("id"), function.get("name"), arguments
