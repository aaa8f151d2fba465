"""Recognizes a handler's items that only add to an answer that has begun, without making a chunk of them.

Nearly all items of a stream are such. For any other item the functions here return None, and `handler_source` checks every
field.
"""

from operator import itemgetter
from typing import Any

import msgspec

from ..types import GenericStreamingChunk, Usage
from ..types._source import has_source
from ..types.additions import ARGUMENTS, CONTENT, REASONING, Addition
from ..wire.growing import json_piece

_KEYS = frozenset({"text", "is_finished", "finish_reason", "usage", "index", "tool_use", "reasoning_content", "logprobs"})
_NOTHING = {"text": "", "is_finished": False, "finish_reason": None, "usage": None, "index": 0, "tool_use": None}
_own_six = itemgetter(*_NOTHING)  # LiteLLM's own keys
_CALL_KEYS = frozenset({"index", "id", "type", "function"})
_FUNCTION_KEYS = frozenset({"arguments", "name"})
_COUNTS = frozenset({"prompt_tokens", "completion_tokens", "total_tokens"})
_NULL = msgspec.Raw(b"null")

Fields = dict[str, Any]


def bare_of(item: object) -> str | Addition | None:
    """What an item adds: a str (perhaps an empty one) if it is text for choice 0, else an `Addition`; None for any other item."""
    if type(item) is dict:
        return _bare_of_dict(item)
    return _text_of_flat(item) if type(item) is GenericStreamingChunk else None


def piece_of(item: object) -> GenericStreamingChunk | None:
    """The flat chunk of an item that only continues its choice; None for any other.

    A dict with values of the usual types does not need the slower constructor that accepts all others.
    """
    if type(item) is GenericStreamingChunk:
        is_more = not (item.is_finished or item.finish_reason or item.id or item.model or item.provider_specific_fields)
        return item if is_more and not has_source(item) and type(item.text) is str else None
    if type(item) is not dict or not item.keys() <= _KEYS or item.get("is_finished") or item.get("finish_reason"):
        return None
    usage, call = item.get("usage"), item.get("tool_use")
    if type(usage) is dict and not usage.keys() <= _COUNTS:
        return None
    logprobs = item.get("logprobs")
    try:
        piece = msgspec.convert({**item, "logprobs": _NULL}, GenericStreamingChunk)
    except msgspec.ValidationError:
        return None
    piece.logprobs = logprobs
    if type(call) is dict and piece.tool_use is not None and "type" not in call:
        piece.tool_use.type = "function"
    return piece


def _bare_of_dict(item: Fields) -> str | Addition | None:
    reasoning = logprobs = None
    try:
        text, is_finished, reason, usage, index, call = _own_six(item)
    except KeyError:
        return _bare_of_dict({**_NOTHING, **item})
    if len(item) > 6:
        reasoning, logprobs = item.get("reasoning_content"), item.get("logprobs")
        has_one = (reasoning is None) != (logprobs is None)  # then seven keys are all known
        if not (has_one and len(item) == 7) and not item.keys() <= _KEYS:
            return None
    if type(text) is not str or is_finished or reason:
        return None
    if usage is None and logprobs is None and reasoning is None and call is None and not index:
        return text
    if type(index) is not int:
        return None
    if usage is not None and (usage := _usage_of(usage)) is None:
        return None
    if logprobs is not None and (logprobs := json_piece(logprobs)) is None:
        return None
    if call is not None:
        return None if text or reasoning is not None else _of_call(call, index, logprobs, usage)
    if reasoning is None:
        return Addition(CONTENT, text, index, 0, logprobs, usage) if text else None
    return (
        Addition(REASONING, reasoning, index, 0, logprobs, usage) if reasoning and type(reasoning) is str and not text else None
    )


def _of_call(call: object, index: int, logprobs: msgspec.Raw | None, usage: Usage | None) -> Addition | None:
    """The addition of a tool call's piece that has only arguments; None for any other piece."""
    if type(call) is not dict or not call.keys() <= _CALL_KEYS:
        return None
    number, function = call.get("index"), call.get("function")
    if type(function) is not dict or type(number) is not int or call.get("id") or call.get("type", "function") != "function":
        return None
    arguments = function.get("arguments")
    if not arguments or type(arguments) is not str or function.get("name") or not function.keys() <= _FUNCTION_KEYS:
        return None
    return Addition(ARGUMENTS, arguments, index, number, logprobs, usage)


def _usage_of(usage: object) -> Usage | None:
    if type(usage) is not dict or not usage.keys() <= _COUNTS:
        return None
    try:
        return msgspec.convert(usage, Usage)
    except msgspec.ValidationError:
        return None


def _text_of_flat(item: GenericStreamingChunk) -> str | None:
    """The text of a flat chunk that has only text, for choice 0; None for any other."""
    is_plain = (
        item.index == 0
        and not (item.is_finished or item.finish_reason or item.reasoning_content)
        and item.tool_use is None
        and item.usage is None
        and item.id is None
        and item.model is None
        and item.logprobs is None
        and item.provider_specific_fields is None
        and not has_source(item)
    )
    return item.text if is_plain and type(item.text) is str else None
