"""What every error says when it leaves its call, whoever raised it: whose call it was, its request, attempts, and what arrived."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

import tokenwire
from tokenwire import (
    APIConnectionError,
    APIError,
    APIResponseValidationError,
    BadRequestError,
    CustomLLMError,
    GenericStreamingChunk,
    RateLimitError,
    ServiceUnavailableError,
    StreamTruncatedError,
    Timeout,
    Timeouts,
)
from tokenwire.testing import Endpoint, Reply, chunk, completion, event

MESSAGES = [{"role": "user", "content": "Hi"}]
ID = {"request-id": "r1", "x-other": "kept"}
SHORT = Timeouts(first_content=0.2, idle=0.2)
SAYS_429 = {"error": {"message": "slow down", "code": 429}}
BUSY = Reply(status=503, headers=ID, json={"error": {"message": "busy"}})
ROLE = chunk()  # no content yet

# reply → the error's class, the text that has arrived (None where no chunk has), and whether a response with an id has
STREAMED: dict[str, tuple[Reply, type[APIError], str | None, bool]] = {
    "a bad status": (BUSY, ServiceUnavailableError, None, True),
    "no HTTP": (Reply(raw=b"nonsense\r\n\r\n"), APIConnectionError, None, False),
    "no head": (Reply(stall=True, raw=b"HTTP/1.1 200 OK\r\n"), Timeout, None, False),
    "HTML": (Reply(body=b"<html>", headers=ID), APIResponseValidationError, None, True),
    "an error at first": (Reply(events=[SAYS_429], headers=ID), RateLimitError, None, True),
    "an error before any content": (Reply(events=[ROLE, SAYS_429], headers=ID), RateLimitError, "", True),
    "an error after content": (Reply(events=["one", SAYS_429], headers=ID), RateLimitError, "one", True),
    "an event that is no JSON": (Reply(events=["one", event("{bad")], headers=ID), APIResponseValidationError, "one", True),
    "an end before any content": (Reply(events=[ROLE], done=False, headers=ID), StreamTruncatedError, "", True),
    "an end after content": (Reply(events=["one"], done=False, headers=ID), StreamTruncatedError, "one", True),
    "a reset": (Reply(events=["one"], done=False, cut="rst", headers=ID), StreamTruncatedError, "one", True),
    "silence before any content": (Reply(events=[ROLE], done=False, stall=True, headers=ID), Timeout, "", True),
    "silence after content": (Reply(events=["one"], done=False, stall=True, headers=ID), Timeout, "one", True),
}


def text_of(error: APIError) -> str | None:
    return None if error.partial is None else error.partial.choices[0].message.content or ""


def check(error: APIError, cls: type[APIError], has_id: bool) -> None:
    assert type(error) is cls
    assert (error.llm_provider, error.model) == ("openai", "m")
    assert error.request_id == ("r1" if has_id else None)
    assert error.headers.get("x-other") == ("kept" if has_id else None)
    assert [(attempt.number, attempt.status, attempt.error) for attempt in error.attempts] == [
        (1, error.status_code, cls.__name__)
    ]
    assert str(error).startswith("openai/m: ")


@pytest.mark.anyio
@pytest.mark.parametrize("flat", [True, False], ids=["flat", "opened"])
@pytest.mark.parametrize("name", STREAMED)
async def test_of_a_stream(name: str, flat: bool) -> None:
    reply, cls, arrived, has_id = STREAMED[name]
    keywords: dict[str, Any] = {"num_retries": 0, "timeout": SHORT}
    with Endpoint(reply) as endpoint, pytest.raises(APIError) as caught:
        if flat:
            async for _ in tokenwire.astreaming("openai/m", MESSAGES, api_base=endpoint.url, **keywords):
                pass
        else:
            async for _ in await tokenwire.acompletion("openai/m", MESSAGES, api_base=endpoint.url, stream=True, **keywords):
                pass
    check(caught.value, cls, has_id)
    assert text_of(caught.value) == arrived


@pytest.mark.anyio
@pytest.mark.parametrize(
    "reply, cls, has_id",
    [
        (BUSY, ServiceUnavailableError, True),
        (Reply(raw=b"nonsense\r\n\r\n"), APIConnectionError, False),
        (Reply(stall=True, raw=b"HTTP/1.1 200 OK\r\n"), Timeout, False),
        (Reply(body=b"<html>", headers=ID), APIResponseValidationError, True),
        (Reply(json=completion(), headers=ID, cut="rst", after_bytes=5), APIConnectionError, True),
        (Reply(json=completion(), headers=ID, stall=True, after_bytes=5), Timeout, True),
    ],
    ids=["a bad status", "no HTTP", "no head", "HTML", "a cut body", "half a body"],
)
async def test_of_a_whole_call(reply: Reply, cls: type[APIError], has_id: bool) -> None:
    with Endpoint(reply) as endpoint, pytest.raises(APIError) as caught:
        await tokenwire.acompletion("openai/m", MESSAGES, api_base=endpoint.url, num_retries=0, timeout=SHORT)
    check(caught.value, cls, has_id)


async def fails(messages: Any, **_: Any) -> AsyncIterator[str]:
    raise CustomLLMError(429, "slow down")
    yield ""


async def fails_after(messages: Any, **_: Any) -> AsyncIterator[str]:
    yield "one"
    raise CustomLLMError(429, "slow down")


async def yields_nonsense(messages: Any, **_: Any) -> AsyncIterator[Any]:
    yield "one"
    yield 5


async def never_finishes(messages: Any, **_: Any) -> AsyncIterator[Any]:
    yield GenericStreamingChunk(text="one")


@pytest.mark.anyio
@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize(
    "handler, cls, arrived",
    [
        (fails, RateLimitError, None),
        (fails_after, RateLimitError, "one"),
        (yields_nonsense, APIResponseValidationError, "one"),
        (never_finishes, StreamTruncatedError, "one"),
    ],
)
async def test_of_a_handler(handler: Any, cls: type[APIError], arrived: str | None, streamed: bool) -> None:
    async with tokenwire.AsyncClient(handlers={"mine": handler}) as client:
        with pytest.raises(APIError) as caught:
            if streamed:
                async for _ in client.astreaming("mine/m", MESSAGES):
                    pass
            else:
                await client.acompletion("mine/m", MESSAGES)
    error = caught.value
    assert type(error) is cls
    assert (error.llm_provider, error.model) == ("mine", "m")
    assert [(attempt.number, attempt.error) for attempt in error.attempts] == [(1, cls.__name__)]
    if streamed or cls is StreamTruncatedError:
        assert text_of(error) == arrived
    if streamed and cls is StreamTruncatedError:
        assert "neither is_finished=True nor a finish reason" in error.message


@pytest.mark.anyio
@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
async def test_of_an_argument_that_can_not_be_sent(streamed: bool) -> None:
    with pytest.raises(BadRequestError) as caught:
        await tokenwire.acompletion("openai/m", MESSAGES, api_base="ftp://here", stream=streamed)
    assert (caught.value.llm_provider, caught.value.model, caught.value.attempts) == ("openai", "m", ())


@pytest.mark.anyio
async def test_a_call_s_own_names_stay() -> None:
    async def outer(messages: Any, **_: Any) -> Any:
        return await tokenwire.acompletion("gpt-4o", messages, mock_response="litellm.RateLimitError")

    async with tokenwire.AsyncClient(handlers={"mine": outer}) as client:
        with pytest.raises(RateLimitError) as caught:
            await client.acompletion("mine/m", MESSAGES)
    assert (caught.value.llm_provider, caught.value.model) == ("openai", "gpt-4o")


@pytest.mark.anyio
async def test_a_stream_says_which_request_it_was_and_what_it_took() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
    with Endpoint([BUSY, Reply(events=["one", {**chunk(finish_reason="stop"), "usage": usage}], headers=ID)]) as endpoint:
        async with await tokenwire.acompletion("openai/m", MESSAGES, api_base=endpoint.url, stream=True) as stream:
            assert stream.request_id == "r1"
            assert stream.response_headers["x-other"] == "kept"
            async for _ in stream:
                pass
    assert [(attempt.number, attempt.status, attempt.error) for attempt in stream.attempts] == [
        (1, 503, "ServiceUnavailableError"),
        (2, 200, None),
    ]
    assert stream.attempts[1].waited > 0
    assert stream.usage is not None
    assert stream.usage.total_tokens == 4
    timings = stream.timings
    assert timings.opened is not None
    assert timings.first_chunk is not None
    assert timings.first_content is not None
    assert timings.total is not None
    assert 0 < timings.opened <= timings.first_chunk <= timings.first_content <= timings.total
