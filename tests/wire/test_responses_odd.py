"""Any value at any place of a response, of its events and of requests: an answer or an error of ours, nothing else."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tokenwire import APIError, BadRequestError
from tokenwire.server.requests import parse_body
from tokenwire.types import GenericStreamingChunk, ModelResponseStream
from tokenwire.wire.responses.dialect import RESPONSES
from tokenwire.wire.responses.events import EventEncoder
from tokenwire.wire.responses.request import ResponsesRequest, chat_keywords

from .responses import CALL, CUSTOM, QUOTING, REFUSING, SEARCH, SUMMARY, THOUGHTS, events, response
from .test_messages_odd import is_encodable, variants

ITEMS = [SUMMARY, THOUGHTS, QUOTING, REFUSING, CALL, CUSTOM, SEARCH]


@pytest.mark.parametrize("shape", [ModelResponseStream, GenericStreamingChunk], ids=lambda shape: shape.__name__)
def test_events(shape: Any) -> None:
    *stream, last = events(ITEMS, size=80)
    if shape is GenericStreamingChunk:  # what is whole is looked at where there were no deltas
        stream = [event for event in stream if not event["type"].endswith(".delta")]
    stream.append({**last, "response": {**last["response"], "output": []}})
    sent = [json.dumps(event).encode() for event in stream]
    for number, event in enumerate(stream):
        for changed in variants(event):
            decoder = RESPONSES.decoder(shape, "m")
            for each in (*sent[:number], odd := json.dumps(changed).encode(), *sent[number + 1 :]):
                chunks = decoder.decode([each])
                assert each is not odd or all(is_encodable(chunk.model_dump()) for chunk in chunks)
                if decoder.error is not None:
                    break
            answer = decoder.assembler.response()
            assert answer is None or is_encodable(answer.model_dump())


def test_whole_answers() -> None:
    for changed in variants(response(ITEMS)):
        try:
            answer = RESPONSES.answer(json.dumps(changed).encode())
        except APIError:
            continue
        assert is_encodable(answer.model_dump())


REQUEST: dict[str, Any] = {
    "model": "m",
    "instructions": "S",
    "input": [
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "A"},
                {"type": "input_image", "image_url": "u", "detail": "low"},
                {"type": "input_file", "file_data": "d", "filename": "f"},
            ],
        },
        *[item for item in ITEMS if item is not SEARCH],
        {"type": "function_call_output", "call_id": "call_1", "output": [{"type": "input_text", "text": "C"}]},
    ],
    "tools": [
        {"type": "function", "name": "f", "parameters": {"type": "object"}, "description": "d", "strict": False},
        {"type": "custom", "name": "p", "format": {"type": "grammar", "syntax": "lark", "definition": "x"}},
        {"type": "namespace", "name": "n", "description": "N", "tools": [{"type": "function", "name": "g"}]},
        {"type": "web_search", "filters": {}},
    ],
    "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
    "text": {"format": {"type": "json_schema", "name": "n", "schema": {}, "strict": True}, "verbosity": "low"},
    "reasoning": {"effort": "low", "summary": "auto"},
    "include": ["reasoning.encrypted_content"],
    "metadata": {"a": "b"},
    "stream_options": {"include_obfuscation": False},
}


def test_requests_of_clients() -> None:
    refused: list[BadRequestError] = []
    for changed in variants(REQUEST):
        try:
            request, fields = parse_body(json.dumps(changed).encode(), ResponsesRequest)
            assert is_encodable(chat_keywords(request, fields))
            assert EventEncoder(request).ending(None)
        except BadRequestError as error:
            refused.append(error)
    assert refused
    assert all(error.message for error in refused)


CALLED: dict[str, Any] = {
    "messages": [
        {"role": "system", "content": "S"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "A"},
                {"type": "image_url", "image_url": {"url": "u", "detail": "low"}},
                {"type": "file", "file": {"file_data": "d", "filename": "f"}},
                {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}},
            ],
        },
        {
            "role": "assistant",
            "content": [{"type": "text", "text": "B"}, {"type": "refusal", "refusal": "no"}],
            "refusal": "no",
            "reasoning_items": [SUMMARY],
            "tool_calls": [
                {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                {"id": "d", "type": "custom", "custom": {"name": "p", "input": "x"}},
            ],
        },
        {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": "C"}]},
    ],
    "tools": [
        {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}},
        {"type": "custom", "custom": {"name": "p", "format": {"type": "grammar", "grammar": {"syntax": "lark"}}}},
    ],
    "tool_choice": {
        "type": "allowed_tools",
        "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {}}]},
    },
    "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}},
    "reasoning_effort": "low",
    "verbosity": "low",
    "include": ["reasoning.encrypted_content"],
    "web_search_options": {"search_context_size": "low"},
    "reasoning": {"summary": "auto"},
    "text": {"verbosity": "low"},
    "stream_options": {"include_usage": True},
    "logprobs": True,
}


def test_calls() -> None:
    """Messages are objects with a role, as every call has seen to before."""
    refused: list[BadRequestError] = []
    for changed in variants(CALLED):
        if not isinstance(changed, dict) or not isinstance(changed.get("messages"), list):
            continue
        if not all(isinstance(message, dict) and isinstance(message.get("role"), str) for message in changed["messages"]):
            continue
        params = {name: value for name, value in changed.items() if name != "messages" and value is not None}
        try:
            assert is_encodable(RESPONSES.body("m", changed["messages"], params))
        except BadRequestError as error:
            refused.append(error)
    assert refused
    assert {(error.fault, bool(error.param)) for error in refused} == {("caller", True)}


def deltas() -> list[dict[str, Any]]:
    call = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    cited = {"type": "url_citation", "url_citation": {"url": "u", "title": "t"}}
    return [
        {"reasoning_content": "R", "thinking_blocks": [{"type": "thinking", "thinking": "R", "signature": "s"}]},
        {"content": "A", "annotations": [cited]},
        {"reasoning_items": [SUMMARY]},
        {"refusal": "no"},
        {"tool_calls": [call]},
    ]


@pytest.mark.parametrize("made", [lambda request: EventEncoder(request)], ids=["streamed"])
def test_what_handlers_say(made: Callable[[ResponsesRequest], EventEncoder]) -> None:
    """What is of another type in a part of an answer that no struct names is passed on, or left out."""
    request = ResponsesRequest(model="m", input="Hi", include=["reasoning.encrypted_content"])
    for given in deltas():
        for name in ("annotations", "reasoning_items", "thinking_blocks"):
            for changed in variants(given.get(name) or []):
                if not isinstance(changed, list):
                    continue
                chunk = ModelResponseStream(choices=[{"index": 0, "delta": {**given, name: changed}}])  # type: ignore[list-item]
                encoder = made(request)
                assert encoder.encode(chunk) + encoder.ending(None)
