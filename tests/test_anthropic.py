"""Calls of endpoints that speak Anthropic's Messages: what is sent, what comes of it, and how it ends."""

import json
import logging
from typing import Any

import pytest

import tokenwire
from tokenwire import (
    APIError,
    AuthenticationError,
    BadRequestError,
    InternalServerError,
    StreamTruncatedError,
    UnsupportedParamsError,
)
from tokenwire.testing import Endpoint, Received, Reply

from .conftest import one_loop
from .wire.messages import CALL, TEXT, THINKING, event, events, message

pytestmark = pytest.mark.anyio

HI = [{"role": "user", "content": "Hi"}]
MODEL = "anthropic/claude-x"


def streamed(*blocks: dict[str, Any], stop_reason: str = "end_turn", **reply: Any) -> Reply:
    return Reply(events=events(list(blocks), stop_reason), done=False, **reply)


def overloaded(status: int = 529, **reply: Any) -> Reply:
    failure = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    return Reply(status=status, json={**failure, "request_id": "req_1"}, **reply)


async def ask(endpoint: Endpoint, **keywords: Any) -> Any:
    keywords = {"api_base": endpoint.url, "api_key": "sk-ant-1", **keywords}
    return await tokenwire.acompletion(MODEL, HI, **keywords)


async def test_a_whole_answer_and_what_was_asked() -> None:
    with Endpoint(Reply(json=message([THINKING, TEXT]), headers={"request-id": "req_9"})) as endpoint:
        answer = await ask(endpoint, temperature=0.5)
    assert answer.choices[0].message.content == TEXT["text"]
    assert answer.request_id == "req_9"
    (request,) = endpoint.requests
    assert (request.method, request.path) == ("POST", "/v1/messages")
    assert request.headers["x-api-key"] == "sk-ant-1"
    assert request.headers["anthropic-version"] == "2023-06-01"
    assert "authorization" not in request.headers
    assert request.json() == {"model": "claude-x", "messages": HI, "temperature": 0.5, "max_tokens": 4096}


async def test_a_stream_in_every_shape() -> None:
    with Endpoint(streamed(THINKING, TEXT, CALL, stop_reason="tool_use")) as endpoint:
        async with await ask(endpoint, stream=True) as chunks:
            text = "".join([chunk.choices[0].delta.content or "" async for chunk in chunks])
        async with tokenwire.astreaming(MODEL, HI, api_base=endpoint.url, api_key="k") as pieces:
            flat = "".join([piece.text async for piece in pieces])
    assert text == flat == TEXT["text"]
    for stream in (chunks, pieces):
        assert stream.outcome == "complete"
        answer: Any = stream.response
        assert answer.choices[0].finish_reason == "tool_calls"
        assert answer.choices[0].message.thinking_blocks == [THINKING]
        assert json.loads(answer.choices[0].message.tool_calls[0].function.arguments) == CALL["input"]
        assert answer.usage.total_tokens == 38
    assert endpoint.requests[0].json()["stream"] is True


async def test_a_conversation_with_thinking_and_tools_goes_back_intact() -> None:
    with Endpoint([streamed(THINKING, CALL, stop_reason="tool_use"), streamed(TEXT)]) as endpoint:
        async with await ask(endpoint, stream=True) as stream:
            await stream.until_done()
        said = stream.response.choices[0].message
        history = [*HI, said, {"role": "tool", "tool_call_id": said.tool_calls[0].id, "content": "Sunny"}]
        await (await tokenwire.acompletion(MODEL, history, api_base=endpoint.url, api_key="k", stream=True)).until_done()
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "Sunny"}
    assert endpoint.requests[1].json()["messages"][1:] == [
        {"role": "assistant", "content": [THINKING, CALL]},
        {"role": "user", "content": [result]},
    ]


@one_loop
@pytest.mark.parametrize("version", ["", "/v1", "/v1/"])
async def test_an_address_with_and_without_its_version(version: str) -> None:
    with Endpoint(Reply(json=message([TEXT]))) as endpoint:
        await ask(endpoint, api_base=f"{endpoint.url.removesuffix('/v1')}{version}")
    assert endpoint.requests[0].path == "/v1/messages"


@one_loop
async def test_an_address_that_is_one_path_too_long() -> None:
    with pytest.raises(BadRequestError, match="without /messages"):
        await tokenwire.acompletion(MODEL, HI, api_base="http://localhost/v1/messages", api_key="k")


@one_loop
async def test_the_environment_s_key_and_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai")
    with Endpoint(Reply(json=message([TEXT]))) as endpoint:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", endpoint.url.removesuffix("/v1"))
        monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-env")
        await tokenwire.acompletion("claude-x", HI)
        await tokenwire.acompletion(MODEL, HI, extra_headers={"Authorization": "Bearer mine", "Anthropic-Version": "later"})
    first, second = (request.headers for request in endpoint.requests)
    assert (first["x-api-key"], first["anthropic-version"]) == ("sk-env", "2023-06-01")
    assert "sk-openai" not in str(first)
    assert (second["authorization"], second["anthropic-version"]) == ("Bearer mine", "later")
    assert "x-api-key" not in second


@one_loop
async def test_without_a_key_nothing_is_sent() -> None:
    with pytest.raises(AuthenticationError, match="ANTHROPIC_API_KEY"):
        await tokenwire.acompletion(MODEL, HI)


@one_loop
async def test_the_log_says_that_max_tokens_is_the_default(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "tokenwire")
    with Endpoint(Reply(json=message([TEXT]))) as endpoint:
        await ask(endpoint)
        assert "max_tokens is not given, so 4096 is sent" in caplog.text
        caplog.clear()
        await ask(endpoint, max_tokens=7)
        await ask(endpoint, extra_body={"max_tokens": 8})
    assert "max_tokens" not in caplog.text
    assert [request.json()["max_tokens"] for request in endpoint.requests] == [4096, 7, 8]


@one_loop
async def test_extra_body_is_the_endpoint_s_own_word() -> None:
    with Endpoint(Reply(json=message([TEXT]))) as endpoint:
        await ask(endpoint, extra_body={"seed": 3, "stop": "x", "mcp_servers": []})
    sent = endpoint.requests[0].json()
    assert (sent["seed"], sent["stop"], sent["mcp_servers"]) == (3, "x", [])
    assert "stop_sequences" not in sent


@one_loop
async def test_what_can_t_be_said_is_refused_or_dropped_as_the_caller_likes(monkeypatch: pytest.MonkeyPatch) -> None:
    with Endpoint(Reply(json=message([TEXT]))) as endpoint:
        with pytest.raises(UnsupportedParamsError, match="anthropic/claude-x: seed: "):
            await ask(endpoint, seed=3)
        assert not endpoint.requests
        await ask(endpoint, seed=3, additional_drop_params=["seed"])
        await ask(endpoint, seed=3, drop_params=True)
        monkeypatch.setattr(tokenwire, "drop_params", True, raising=False)
        await ask(endpoint, seed=3)
    assert all("seed" not in request.json() for request in endpoint.requests)
    assert len(endpoint.requests) == 3


@one_loop
async def test_kinds_of_calls_that_the_api_does_not_have() -> None:
    for call in (tokenwire.aembedding(MODEL, ["x"], api_key="k"), tokenwire.atext_completion(MODEL, "x", api_key="k")):
        with pytest.raises(BadRequestError, match='"anthropic/" has'):
            await call


@one_loop
async def test_the_models_of_an_endpoint() -> None:
    listed = {"data": [{"type": "model", "id": "claude-x", "display_name": "X"}], "has_more": False}
    with Endpoint(Reply(json=listed)) as endpoint:
        models = await tokenwire.alist_models("anthropic/", api_base=endpoint.url, api_key="k")
    assert [model.id for model in models.data] == ["claude-x"]
    assert endpoint.requests[0].path == "/v1/models"
    assert endpoint.requests[0].headers["x-api-key"] == "k"


async def test_overload_is_tried_again_before_the_first_content() -> None:
    at_once = event("error", error={"type": "overloaded_error", "message": "Overloaded"})
    late = Reply(events=[*events([TEXT])[:2], at_once], done=False)
    with Endpoint([overloaded(headers={"retry-after": "0"}), late, streamed(TEXT)]) as endpoint:
        async with await ask(endpoint, stream=True, retry_policy=tokenwire.RetryPolicy(num_retries=2, base_delay=0)) as stream:
            await stream.until_done()
    assert stream.outcome == "complete"
    assert [attempt.status for attempt in stream.attempts] == [529, 529, 200]


async def test_an_error_after_the_first_content_ends_the_stream() -> None:
    failure = event("error", error={"type": "overloaded_error", "message": "Overloaded"})
    with Endpoint(Reply(events=[*events([TEXT])[:5], failure], done=False)) as endpoint:
        async with await ask(endpoint, stream=True) as stream:
            with pytest.raises(InternalServerError, match="Overloaded") as caught:
                await stream.until_done()
    assert (caught.value.status_code, caught.value.type, stream.outcome) == (529, "overloaded_error", "error")
    assert caught.value.partial.choices[0].message.content == TEXT["text"][:8]
    assert caught.value.partial.usage.prompt_tokens == 18


@pytest.mark.parametrize("kept", [2, 5, -2])
async def test_a_stream_that_was_cut_is_truncated(kept: int) -> None:
    with Endpoint(Reply(events=events([TEXT])[:kept], done=False)) as endpoint:
        async with await ask(endpoint, stream=True, num_retries=0) as stream:
            with pytest.raises(StreamTruncatedError, match="complete: message_stop did not arrive"):
                await stream.until_done()
    assert stream.outcome == "truncated"


async def test_a_stop_reason_is_enough_for_an_end() -> None:
    with Endpoint(Reply(events=events([TEXT])[:-1], done=False)) as endpoint:
        async with await ask(endpoint, stream=True, num_retries=0) as stream:
            await stream.until_done()
    assert stream.outcome == "complete"


@one_loop
async def test_a_refusal_has_the_server_s_words() -> None:
    error = {"type": "invalid_request_error", "message": "prompt is too long: 9 tokens > 8 maximum"}
    with Endpoint(Reply(status=400, json={"type": "error", "error": error})) as endpoint:
        with pytest.raises(tokenwire.ContextWindowExceededError) as caught:
            await ask(endpoint)
    assert (caught.value.message, caught.value.type) == (error["message"], "invalid_request_error")


@one_loop
async def test_a_whole_answer_where_a_stream_was_asked_for() -> None:
    with Endpoint(Reply(json=message([THINKING, TEXT]))) as endpoint:
        async with await ask(endpoint, stream=True) as stream:
            text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    assert text == TEXT["text"]
    assert stream.response.choices[0].message.thinking_blocks == [THINKING]


@one_loop
async def test_another_provider_takes_over_without_the_key() -> None:
    def answer(request: Received) -> Reply:
        return overloaded(headers={"retry-after": "0"}) if request.path == "/v1/messages" else Reply(text="Hello")

    with Endpoint(answer) as endpoint:
        other = {"model": "openai/m", "api_base": endpoint.url, "api_key": "other"}
        reply = await ask(endpoint, fallbacks=[other], num_retries=0)
    assert reply.choices[0].message.content == "Hello"
    assert "sk-ant-1" not in str(endpoint.requests[1].headers)


def test_errors_of_a_sync_call() -> None:
    with Endpoint(overloaded()) as endpoint, pytest.raises(APIError) as caught:
        tokenwire.completion(MODEL, HI, api_base=endpoint.url, api_key="k", num_retries=0)
    assert caught.value.status_code == 529
