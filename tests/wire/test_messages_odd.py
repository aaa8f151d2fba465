"""Any value at any place: what comes of it is an answer or an error of ours, never another exception."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tokenwire import APIError, BadRequestError
from tokenwire.server.requests import parse_body
from tokenwire.types import GenericStreamingChunk, ModelResponseStream
from tokenwire.wire.messages import MESSAGES
from tokenwire.wire.messages.asked import MessagesRequest, chat_keywords
from tokenwire.wire.messages.encode import EventEncoder

from .messages import CALL, CITED, FOUND, SEARCH, TEXT, THINKING, events, message

ODD = (None, 5, -1.5, "x", "", True, [], [None], {}, {"a": [1]})
BLOCKS = [THINKING, {"type": "redacted_thinking", "data": "x"}, TEXT, CALL, SEARCH, FOUND, CITED]
Path = tuple[str | int, ...]


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, child in children:
        yield from places(child, (*path, step))


def variants(value: Any) -> Iterator[Any]:
    """The value with an odd one at each of its places."""
    for path in places(value):
        for odd in ODD:
            changed = {"": copy.deepcopy(value)}
            inner: Any = changed
            for step in ("", *path)[:-1]:
                inner = inner[step]
            inner[("", *path)[-1]] = odd
            yield changed[""]


class Encoder(EventEncoder):
    def head_of(self, chunk: Any) -> tuple[str, str]:
        return "msg_1", "m"


def is_encodable(value: Any) -> bool:
    return bool(json.dumps(value))


@pytest.mark.parametrize("shape", [ModelResponseStream, GenericStreamingChunk], ids=lambda shape: shape.__name__)
def test_events(shape: Any) -> None:
    stream = [json.loads(data.split(b"data: ", 1)[1]) for data in events(BLOCKS, "tool_use", size=80)]
    for number, event in enumerate(stream):
        for changed in variants(event):
            decoder = MESSAGES.decoder(shape, "m")
            for each in (*stream[:number], changed, *stream[number + 1 :]):
                for chunk in decoder.decode([json.dumps(each).encode()]):
                    assert is_encodable(chunk.model_dump())
                if decoder.error is not None:
                    break
            response = decoder.assembler.response()
            assert response is None or is_encodable(response.model_dump())


def test_whole_answers() -> None:
    for changed in variants(message(BLOCKS, "tool_use")):
        try:
            answer = MESSAGES.answer(json.dumps(changed).encode())
        except APIError:
            continue
        assert is_encodable(answer.model_dump())


REQUEST = {
    "model": "m",
    "max_tokens": 5,
    "system": [{"type": "text", "text": "S"}],
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "A", "cache_control": {"type": "ephemeral"}},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA"}},
                {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "B"}, "title": "t"},
            ],
        },
        {"role": "assistant", "content": BLOCKS},
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "C"}]}],
        },
    ],
    "tools": [{"name": "f", "input_schema": {"type": "object"}, "description": "d"}],
    "tool_choice": {"type": "tool", "name": "f"},
    "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": {}}},
    "metadata": {"user_id": "u"},
    "stop_sequences": ["END"],
}


def test_requests_of_clients() -> None:
    for changed in variants(REQUEST):
        try:
            request, fields = parse_body(json.dumps(changed).encode(), MessagesRequest)
            assert is_encodable(chat_keywords(request, fields))
        except BadRequestError:
            continue


CALLED = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
FUNCTION_CALL = {"name": "f", "arguments": "{}"}
SEGMENT = {
    "content": "B",
    "refusal": "No.",
    "thinking_blocks": [THINKING],
    "tool_calls": CALLED,
    "content_blocks": [{"type": "text", "text": "B"}],
}
CHAT = {
    "messages": [
        {"role": "system", "content": "S"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "A", "cache_control": {"type": "ephemeral"}},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}},
                {"type": "file", "file": {"file_data": "data:text/plain;base64,SGk=", "filename": "f"}},
            ],
        },
        {
            "role": "assistant",
            "content": "B",
            "refusal": "No.",
            "thinking_blocks": [THINKING],
            "tool_calls": CALLED,
            "provider_specific_fields": {"segments": [SEGMENT]},
        },
        {"role": "assistant", "content": [{"type": "text", "text": "B", "cache_control": {}}]},
        {
            "role": "assistant",
            "function_call": FUNCTION_CALL,
            "provider_specific_fields": {"segments": [{"function_call": FUNCTION_CALL}]},
        },
        {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": "C"}]},
    ],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}},
    "parallel_tool_calls": False,
    "metadata": {"user_id": "u"},
    "stop": ["END"],
    "user": "u",
    "stream_options": {"include_usage": True},
    "output_config": {"effort": "low"},
}


def test_calls() -> None:
    """Messages are objects with a role, as every call has seen to before."""
    faults: set[tuple[str, bool]] = set()
    for changed in variants(CHAT):
        if not isinstance(changed, dict) or not isinstance(changed.get("messages"), list):
            continue
        if not all(isinstance(message, dict) and isinstance(message.get("role"), str) for message in changed["messages"]):
            continue
        params = {name: value for name, value in changed.items() if name != "messages" and value is not None}
        try:
            assert is_encodable(MESSAGES.body("m", changed["messages"], params))
        except BadRequestError as refused:
            faults.add((refused.fault, bool(refused.param)))
    assert faults == {("caller", True)}
