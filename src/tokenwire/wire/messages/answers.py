"""Whole answers, in both directions: the message around the content blocks, its stop reason and its usage."""

import time
from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from ...exceptions import APIError
from ...types._record import OpenRecord, build
from ...types._source import Fields, set_source
from ...types.chat import Choices, CompletionTokensDetails, Message, ModelResponse, PromptTokensDetails, Usage
from ..errors import error_from_object, malformed, unusable
from .blocks import blocks_of, message_of

# Chat's finish reasons for stop reasons; those that chat does not have are passed on unchanged.
FINISHES = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
STOPS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}

# Fields about the end of an answer, which say more than a finish reason.
ENDING = ("stop_reason", "stop_sequence", "stop_details", "container")

_COUNTS = frozenset({"input_tokens", "output_tokens", "output_tokens_details", "server_tool_use"})
_BESIDE_COUNTS = ("cache_creation", "server_tool_use", "service_tier", "inference_geo", "speed")
_HEAD = frozenset({"id", "type", "role", "model", "content", "usage", *ENDING})

# What chat's answers may have and a message can't: the names that `refuse_unsayable` is given, and the words for its error.
_UNSAYABLE = {"audio": "audio", "images": "images", "choices": "several choices"}

_UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_decode = msgspec.json.Decoder().decode


def answer_of(body: bytes) -> ModelResponse:
    """The chat completion for a response's body.

    Raises:
        APIError: the body is an error object despite the status.
        APIResponseValidationError: it is not a message.
    """
    try:
        fields = _decode(body.removeprefix(b"\xef\xbb\xbf"))
    except _UNDECODABLE as error:
        raise unusable(body, str(error)) from None
    if not isinstance(fields, dict):
        raise malformed("the body", body, "it is not an object")
    if fields.get("type") == "error" or (fields.get("error") and "content" not in fields):
        raise error_from_object(fields.get("error"), body=fields)
    if not isinstance(fields.get("content"), list):
        raise malformed("the body", body, "it has no content")
    return response_of(fields)


def response_of(message: Fields) -> ModelResponse:
    """The chat completion for a message."""
    blocks = [block for block in message["content"] if isinstance(block, dict)]
    usage = message.get("usage")
    response = build(
        ModelResponse,
        id=message.get("id"),
        created=int(time.time()),
        model=message.get("model"),
        choices=[Choices(index=0, message=Message(**message_of(blocks)), **ending_of(message))],
        usage=usage_of(usage) if isinstance(usage, dict) else None,
    )
    if others := {name: value for name, value in message.items() if name not in _HEAD and value is not None}:
        set_source(response, others)
    return response


def ending_of(message: Mapping[str, Any]) -> Fields:
    """A choice's fields about its end: the finish reason, and the API's own fields if that does not express all of them."""
    reason = message.get("stop_reason")
    finish = FINISHES.get(reason, reason) if isinstance(reason, str) else None
    own = {name: message[name] for name in ENDING if message.get(name) is not None}
    is_expressed = own.keys() <= {"stop_reason"} and STOPS.get(finish or "", finish) == reason
    return {"finish_reason": finish, "provider_specific_fields": None if is_expressed else own}


def stop_of(finish: str | None, own: object, stops: Collection[str] = ()) -> Fields:
    """The opposite of `ending_of`: a message's fields about its end. `stops`: the stop sequences of the request."""
    given = {name: own[name] for name in ENDING if own.get(name) is not None} if isinstance(own, Mapping) else {}
    if finish == "stop" and given.get("stop_reason") in stops:  # vLLM has the sequence itself there
        given |= {"stop_reason": "stop_sequence", "stop_sequence": given["stop_reason"]}
    if (
        FINISHES.get(given.get("stop_reason") or "", given.get("stop_reason")) != finish
    ):  # a handler has changed the finish reason
        given.pop("stop_reason", None)
    return {"stop_reason": STOPS.get(finish or "", finish), "stop_sequence": None, **given}


def usage_of(usage: Fields) -> Usage:
    """The usage as chat counts it: its prompt tokens include those read from the cache, and those written to it."""
    cached, stored = _count(usage, "cache_read_input_tokens"), _count(usage, "cache_creation_input_tokens")
    prompt, completion = (_count(usage, "input_tokens") or 0), (_count(usage, "output_tokens") or 0)
    prompt += (cached or 0) + (stored or 0)
    details = usage.get("output_tokens_details")
    thinking = _count(details, "thinking_tokens") if isinstance(details, dict) else None
    others = {name: value for name, value in usage.items() if name not in _COUNTS and value is not None}
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion,
        prompt_tokens_details=None if cached is None else PromptTokensDetails(cached_tokens=cached),
        completion_tokens_details=None if thinking is None else CompletionTokensDetails(reasoning_tokens=thinking),
        server_tool_use=usage.get("server_tool_use"),
        **others,
    )


def usage_fields(usage: Usage | None) -> Fields:
    """The opposite of `usage_of`; zeros if nothing is known, since clients add the counts up."""
    if usage is None:
        return {"input_tokens": 0, "output_tokens": 0}
    prompt_details, completion_details = usage.prompt_tokens_details, usage.completion_tokens_details
    cached, stored = _count(usage, "cache_read_input_tokens"), _count(usage, "cache_creation_input_tokens")
    if prompt_details is not None:
        cached = prompt_details.cached_tokens if cached is None else cached
        stored = _count(prompt_details, "cache_write_tokens") if stored is None else stored
    fields: Fields = {
        "input_tokens": max((usage.prompt_tokens or 0) - (cached or 0) - (stored or 0), 0),
        "cache_creation_input_tokens": stored,
        "cache_read_input_tokens": cached,
        "output_tokens": usage.completion_tokens or 0,
    }
    if completion_details is not None and completion_details.reasoning_tokens is not None:
        fields["output_tokens_details"] = {"thinking_tokens": completion_details.reasoning_tokens}
    fields |= {name: usage.get(name) for name in _BESIDE_COUNTS}
    return {name: value for name, value in fields.items() if value is not None}


def message_fields(response: ModelResponse, *, id: str, model: str, stops: Collection[str] = ()) -> Fields:
    """The message for a chat completion.

    Raises:
        APIError: Messages can't express something in the answer.
    """
    choice = response.choices[0] if response.choices else Choices(finish_reason=None)
    message = choice.message.model_dump(exclude_none=True)
    refuse_unsayable({**message, "choices": response.choices[1:]})
    finish = choice.finish_reason
    if message.get("refusal"):
        finish = "content_filter"
    elif finish in (None, "stop") and message.get("tool_calls"):
        finish = "tool_calls"  # some servers end so if the request named the tool
    return {
        "id": id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": blocks_of(message, answers=True),
        **stop_of(finish, choice.provider_specific_fields, stops),
        "usage": usage_fields(response.usage),
    }


def refuse_unsayable(message: Mapping[str, Any]) -> None:
    """Refuse what Messages can't express in an answer.

    Raises:
        APIError: it has audio, images or several choices.
    """
    for name, what in _UNSAYABLE.items():
        if message.get(name):
            raise APIError(
                f"the model's answer has {what}, which Anthropic's Messages can't express",
                status_code=500,
                code="unsayable",
            )


def _count(fields: Fields | OpenRecord, name: str) -> int | None:
    value = fields.get(name)
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
