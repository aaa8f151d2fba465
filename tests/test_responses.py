"""Calls of endpoints that speak the Responses API; and chat completions that go through it and come back."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

import tokenwire
from tokenwire import (
    APIError,
    AsyncClient,
    BadRequestError,
    ContextWindowExceededError,
    InternalServerError,
    ModelResponse,
    ModelResponseStream,
    RateLimitError,
    StreamTruncatedError,
    UnsupportedParamsError,
)
from tokenwire.server import create_app
from tokenwire.testing import Endpoint, Reply

from .conftest import one_loop
from .wire.responses import CALL, MESSAGE, PART, SUMMARY, encoded, events, response

pytestmark = pytest.mark.anyio

HI = [{"role": "user", "content": "Hi"}]
MODELS = ["responses/m", "openai/responses/m"]
TEXT = PART["text"]


def streamed(*output: Any, status: str = "completed", fields: Any = None, **reply: Any) -> Reply:
    return Reply(events=encoded(events(list(output), status, **(fields or {}))), done=False, **reply)


async def ask(endpoint: Endpoint, model: str = MODELS[0], messages: Any = HI, **keywords: Any) -> Any:
    keywords = {"api_base": endpoint.url, "api_key": "sk-1", **keywords}
    return await tokenwire.acompletion(model, messages, **keywords)


@pytest.mark.parametrize("model", MODELS)
async def test_a_whole_answer_and_what_was_asked(model: str) -> None:
    with Endpoint(Reply(json=response([MESSAGE]), headers={"x-request-id": "req_9"})) as endpoint:
        answer = await ask(endpoint, model, max_tokens=9)
    assert (answer.choices[0].message.content, answer.request_id) == (TEXT, "req_9")
    (request,) = endpoint.requests
    assert (request.method, request.path) == ("POST", "/v1/responses")
    assert request.headers["authorization"] == "Bearer sk-1"
    assert request.json() == {
        "model": "m",
        "input": [{"type": "message", "role": "user", "content": "Hi"}],
        "max_output_tokens": 9,
    }


@pytest.mark.parametrize("model", MODELS)
async def test_a_stream(model: str) -> None:
    with Endpoint([streamed(SUMMARY, MESSAGE, CALL)] * 2) as endpoint:
        async with await ask(endpoint, model, stream=True) as stream:
            text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
        async with tokenwire.astreaming(model, HI, api_base=endpoint.url, api_key="sk") as flat:
            pieces = [piece async for piece in flat]
        assert endpoint.requests[0].json()["stream"] is True
    assert (text, stream.outcome, flat.outcome) == (TEXT, "complete", "complete")
    assert "".join(piece.text for piece in pieces) == TEXT
    assert "".join(piece.reasoning_content or "" for piece in pieces) == "First\n\nSecond"
    assert isinstance(stream.response, ModelResponse)
    assert stream.response.choices[0].finish_reason == "tool_calls"
    assert stream.usage is not None
    assert stream.usage.total_tokens == 16


async def test_a_history_goes_back_as_it_came() -> None:
    result = {"role": "tool", "tool_call_id": "call_1", "content": "rain"}
    for stream in (False, True):
        replies = [
            streamed(SUMMARY, CALL) if stream else Reply(json=response([SUMMARY, CALL])),
            Reply(json=response([MESSAGE])),
        ]
        with Endpoint(replies) as endpoint:
            answer = await ask(endpoint, stream=stream)
            if stream:
                async with answer as chunks:
                    async for _ in chunks:
                        pass
                answer = chunks.response
            await ask(endpoint, messages=[*HI, answer.choices[0].message, result])
            sent = endpoint.requests[1].json()["input"]
        assert sent[1] == SUMMARY
        call = {name: CALL[name] for name in ("type", "call_id", "name", "arguments")}
        assert sent[2:] == [call, {"type": "function_call_output", "call_id": "call_1", "output": "rain"}]


@pytest.mark.parametrize("after", [5, 8])
async def test_a_cut_stream_is_truncated(after: int) -> None:
    with Endpoint(streamed(MESSAGE, cut="fin", after=after)) as endpoint:
        with pytest.raises(StreamTruncatedError) as cut:
            async with await ask(endpoint, stream=True, num_retries=0) as stream:
                async for _ in stream:
                    pass
    assert TEXT.startswith(cut.value.partial.choices[0].message.content)


async def test_a_stream_that_ends_without_saying_so_is_truncated() -> None:
    sent = encoded(events([MESSAGE]))[:-1]
    words = r"before it was complete: response\.completed did not arrive"
    with Endpoint(Reply(events=sent)) as endpoint, pytest.raises(StreamTruncatedError, match=words):  # [DONE] is another API's
        async with await ask(endpoint, stream=True, num_retries=0) as stream:
            async for _ in stream:
                pass


@pytest.mark.parametrize(
    "code, cls",
    [
        ("rate_limit_exceeded", RateLimitError),
        ("server_error", InternalServerError),
        ("context_length_exceeded", ContextWindowExceededError),
    ],
)
async def test_a_response_that_failed(code: str, cls: type[APIError]) -> None:
    failed = {"error": {"code": code, "message": "it went wrong"}}
    replies = [streamed(MESSAGE, status="failed", fields=failed), Reply(json=response([], "failed", **failed))]
    with Endpoint(replies) as endpoint:
        with pytest.raises(cls, match="it went wrong") as late:
            async with await ask(endpoint, stream=True, num_retries=0) as stream:
                async for _ in stream:
                    pass
        with pytest.raises(cls, match="it went wrong"):
            await ask(endpoint, num_retries=0)
    assert late.value.partial.choices[0].message.content == TEXT


async def test_a_failure_before_any_content_is_tried_again() -> None:
    failed = {"error": {"code": "server_error", "message": "it went wrong"}}
    with Endpoint([streamed(status="failed", fields=failed), streamed(MESSAGE)]) as endpoint:
        async with await ask(endpoint, stream=True, retry_policy=tokenwire.RetryPolicy(base_delay=0, max_delay=0)) as stream:
            text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    assert (text, len(stream.attempts)) == (TEXT, 2)


async def test_an_error_status_is_as_ever() -> None:
    error = {"error": {"message": "bad", "type": "invalid_request_error", "param": "input", "code": None}}
    with Endpoint(Reply(status=400, json=error)) as endpoint, pytest.raises(BadRequestError) as refused:
        await ask(endpoint)
    assert refused.value.param == "input"


async def test_a_whole_answer_where_a_stream_was_asked_for() -> None:
    with Endpoint(Reply(json=response([MESSAGE]))) as endpoint:
        async with await ask(endpoint, stream=True) as stream:
            text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    assert (text, stream.outcome) == (TEXT, "complete")


@one_loop
async def test_what_the_api_can_not_say_is_refused_or_dropped_by_name() -> None:
    with Endpoint(Reply(json=response([MESSAGE]))) as endpoint:
        with pytest.raises(UnsupportedParamsError) as refused:
            await ask(endpoint, stop=["x"])
        assert refused.value.param == "stop"
        assert not endpoint.requests
        await ask(endpoint, stop=["x"], drop_params=True)
        assert "stop" not in endpoint.requests[0].json()


@one_loop
async def test_a_key_and_an_address_are_openais(monkeypatch: pytest.MonkeyPatch) -> None:
    with Endpoint(Reply(json=response([MESSAGE]))) as endpoint:
        monkeypatch.setenv("OPENAI_BASE_URL", endpoint.url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-env")
        await tokenwire.acompletion("responses/m", HI)
        assert endpoint.requests[0].headers["authorization"] == "Bearer sk-env"


# Around the circle: a handler's answer as a chat completion, as a response, and as a chat completion again.


def piece(finish_reason: str | None = None, **delta: Any) -> ModelResponseStream:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return ModelResponseStream(choices=[choice])  # type: ignore[list-item]


def function(index: int, **fields: Any) -> dict[str, Any]:
    return {"index": index, "type": "function", **fields}


SAID: dict[str, list[Any]] = {
    "text": ["Hel", 'lo "wörld" 🌍', piece("stop")],
    "nothing": [piece("stop", role="assistant")],
    "cut": ["Once", piece("length")],
    "filtered": ["Once", piece("content_filter")],
    "reasoning": [piece(reasoning_content="Well"), piece(reasoning_content="..."), "Yes", piece("stop")],
    "refusal": [piece(refusal="I "), piece(refusal="won't"), piece("stop")],
    "calls": [
        "So",
        piece(tool_calls=[function(0, id="c1", function={"name": "f", "arguments": '{"a"'})]),
        piece(tool_calls=[function(1, id="c2", function={"name": "g", "arguments": "{}"})]),
        piece(tool_calls=[function(0, function={"arguments": ": 1}"})]),
        piece("tool_calls"),
    ],
    "custom": [
        piece(tool_calls=[{"index": 0, "id": "c1", "type": "custom", "custom": {"name": "p", "input": "*** "}}]),
        piece(tool_calls=[{"index": 0, "type": "custom", "custom": {"input": "End"}}]),
        piece("tool_calls"),
    ],
    "paused": ["Wait", piece("pause_turn")],
    "citation": [
        "see",
        piece(annotations=[{"type": "url_citation", "url_citation": {"url": "u", "title": "t"}}]),
        piece("stop"),
    ],
}
# What is not the same: fields of a chat completion that say what a response has no place for, or the other way round.
ADDED = {"reasoning": {"reasoning_items"}, "citation": {"provider_specific_fields"}}  # each item as it came, to go back so


@pytest.mark.parametrize("name", SAID)
async def test_an_answer_goes_around_the_circle(name: str) -> None:
    async def handler(**_: Any) -> AsyncIterator[Any]:
        for each in SAID[name]:
            yield each

    app = create_app({"m": handler})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app)) as http:  # type: ignore[arg-type]
        async with AsyncClient(api_base="http://a/v1", api_key="sk", client=http) as client:
            expected = await _told(client, "openai/m", stream=False)
            for stream in (False, True):
                around = await _told(client, "responses/m", stream=stream)
                for added in ADDED.get(name, ()):
                    assert around["message"].pop(added)
                assert around == expected


async def _told(client: AsyncClient, model: str, *, stream: bool) -> dict[str, Any]:
    answer: Any = await client.acompletion(model, HI, stream=stream)
    if stream:
        async with answer as chunks:
            async for _ in chunks:
                pass
        answer = chunks.response
    return answer.choices[0].model_dump(exclude_none=True)


@one_loop
async def test_a_request_goes_around_the_circle() -> None:
    """What a handler is asked is what the caller asked, but for the name of the limit."""
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
        {
            "role": "user",
            "content": [{"type": "text", "text": "See"}, {"type": "image_url", "image_url": {"url": "u", "detail": "low"}}],
        },
        {
            "role": "assistant",
            "content": "So",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}},
                {"id": "c2", "type": "custom", "custom": {"name": "patch", "input": "***"}},
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "a wall"},
        {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "done"}]},
        {"role": "assistant", "content": "It is a wall."},
        {"role": "user", "content": "Thanks"},
    ]
    grammar = {"type": "grammar", "grammar": {"syntax": "regex", "definition": "x+"}}
    params: dict[str, Any] = {
        "max_tokens": 9,
        "temperature": 0.5,
        "top_p": 0.9,
        "metadata": {"a": "b"},
        "user": "u",
        "reasoning_effort": "low",
        "verbosity": "low",
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True}},
        "tools": [
            {
                "type": "function",
                "function": {"name": "look", "description": "d", "parameters": {"type": "object"}, "strict": True},
            },
            {"type": "custom", "custom": {"name": "patch", "format": grammar}},
        ],
        "tool_choice": {"type": "function", "function": {"name": "look"}},
        "parallel_tool_calls": False,
    }
    seen: list[Any] = []

    async def handler(messages: Any, optional_params: dict[str, Any], **_: Any) -> str:
        seen.append([messages, optional_params])
        return "Yes"

    app = create_app({"m": handler})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app)) as http:  # type: ignore[arg-type]
        await tokenwire.acompletion("responses/m", messages, api_base="http://a", api_key="sk", client=http, **params)
    assert json.loads(json.dumps(seen[0])) == [messages, params]
