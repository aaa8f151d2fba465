"""A streamed call at its edges: between its attempts, closed at odd moments, and what it holds on to."""

import gc
import weakref
from collections.abc import AsyncIterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest

import tokenwire
from tokenwire import APIError, AsyncClient, RetryPolicy, StreamClosedError, Timeout, Timeouts
from tokenwire._calls.attempts import Attempts
from tokenwire.testing import Endpoint, FakeClock, Reply, chunk, chunks

from ..conftest import PATIENCE

pytestmark = pytest.mark.anyio

MESSAGES = [{"role": "user", "content": "Hi"}]


async def words(messages: Any, **_: Any) -> AsyncIterator[str]:
    yield "one "
    yield "two"


async def until_closed(stream: Any, event: anyio.Event) -> None:
    """Iterate in a task of its own; another closes the stream."""
    try:
        with pytest.raises(StreamClosedError):
            await anext(stream)
    finally:
        event.set()


async def test_nothing_is_seen_of_an_attempt_that_came_to_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pausing = anyio.Event()
    monkeypatch.setattr(Attempts, "_delay", lambda self, error: pausing.set() or 3600.0)
    script = Reply(events=[chunk(), {"error": {"message": "busy", "code": 503}}], headers={"x-request-id": "r1"})
    ended = anyio.Event()
    with Endpoint(script) as endpoint:
        stream = tokenwire.astreaming("openai/m", MESSAGES, api_base=endpoint.url)
        async with anyio.create_task_group() as group:
            group.start_soon(until_closed, stream, ended)
            await pausing.wait()
            with anyio.fail_after(PATIENCE):
                while stream.response_headers:  # the failed attempt's, which is being released
                    await anyio.lowlevel.checkpoint()
            assert (stream.response, stream.request_id, stream.usage) == (None, None, None)
            await stream.aclose()
            await ended.wait()
    assert stream.outcome == "cancelled"
    assert [attempt.error for attempt in stream.attempts] == ["ServiceUnavailableError"]


async def test_closing_is_no_failed_attempt() -> None:
    ended = anyio.Event()
    with Endpoint(Reply(events=[chunk()], done=False, stall=True)) as endpoint:
        stream = tokenwire.astreaming("openai/m", MESSAGES, api_base=endpoint.url)
        async with anyio.create_task_group() as group:
            group.start_soon(until_closed, stream, ended)
            await endpoint.await_silence()
            with anyio.fail_after(PATIENCE):
                while stream.timings.opened is None:
                    await anyio.lowlevel.checkpoint()
            await stream.aclose()
            await ended.wait()
    assert (stream.outcome, stream.attempts) == ("cancelled", ())


async def test_nothing_is_sent_when_the_time_is_over() -> None:
    called: list[str] = []

    async def handler(messages: Any, **_: Any) -> str:
        called.append("here")
        return "one"

    async with AsyncClient(handlers={"mine": handler}) as client:
        stream = client.astreaming("mine/m", MESSAGES, timeout=Timeouts(total=0.01))
        await anyio.sleep(0.02)
        with pytest.raises(Timeout) as caught:
            await anext(stream)
    assert caught.value.budget == "total"
    assert called == []


class Numbers:
    """An async iterator that knows whether it was closed."""

    def __init__(self) -> None:
        self.closed = False

    def __aiter__(self) -> "Numbers":
        return self

    async def __anext__(self) -> str:
        return "1"

    async def aclose(self) -> None:
        self.closed = True


async def test_what_opens_as_the_stream_is_closed_is_closed_too() -> None:
    numbers = Numbers()
    streams: list[Any] = []

    class Handler(tokenwire.CustomLLM):
        async def astreaming(self, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
            with anyio.CancelScope(shield=True):  # so that this is not cancelled, and returns
                await streams[0].aclose()
            return numbers

    async with AsyncClient(handlers={"mine": Handler()}) as client:
        streams.append(client.astreaming("mine/m", MESSAGES))
        with pytest.raises(StreamClosedError):
            await anext(streams[0])
    assert numbers.closed
    assert streams[0].outcome == "cancelled"
    assert streams[0].timings.opened is None


async def test_bare_text_may_be_asked_for_before_and_after_the_first_chunk() -> None:
    async with AsyncClient(handlers={"mine": words}) as client:
        early = client.astreaming("mine/m", MESSAGES).take_bare_text()
        assert [type(piece) for piece in [piece async for piece in early]][1] is str
        late = client.astreaming("mine/m", MESSAGES)
        assert type(await anext(late)) is tokenwire.GenericStreamingChunk
        assert await anext(late.take_bare_text()) == "two"
        await late.aclose()


async def test_the_attempt_of_a_handler_has_no_status() -> None:
    async with AsyncClient(handlers={"mine": words}) as client:
        stream = client.astreaming("mine/m", MESSAGES)
        assert [piece.text async for piece in stream][:2] == ["one ", "two"]
    assert [(attempt.number, attempt.status, attempt.error) for attempt in stream.attempts] == [(1, None, None)]


class Prompt:
    """What can be seen to be gone."""


async def test_an_open_stream_does_not_hold_its_prompt() -> None:
    class Handler(tokenwire.CustomLLM):
        async def astreaming(self, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
            return Numbers()

    async with AsyncClient(handlers={"mine": Handler()}) as client:
        messages: list[Any] = [{"role": "user", "content": Prompt()}]
        prompt = weakref.ref(messages[0]["content"])
        stream = client.astreaming("mine/m", messages)
        messages.clear()
        assert prompt() is not None
        await anext(stream)
        gc.collect()
        assert prompt() is None
        await stream.aclose()


async def test_an_error_s_own_partial_answer_stays() -> None:
    async def outer(messages: Any, **_: Any) -> Any:
        return await tokenwire.acompletion("inner/m", messages)

    async def inner(messages: Any, **_: Any) -> AsyncIterator[tokenwire.GenericStreamingChunk]:
        yield tokenwire.GenericStreamingChunk(text="one")  # and no end

    tokenwire.register("inner", inner)
    async with AsyncClient(handlers={"outer": outer}) as client:
        with pytest.raises(APIError) as caught:
            await anext(client.astreaming("outer/m", MESSAGES))
    assert caught.value.partial.choices[0].message.content == "one"


async def test_the_wait_before_an_attempt_is_told() -> None:
    busy = Reply(status=503, json={"error": {"message": "busy"}})
    policy = RetryPolicy(base_delay=0.02, max_delay=0.02)
    with Endpoint([busy, Reply(events=chunks("Hi"))]) as endpoint:
        stream = tokenwire.astreaming("openai/m", MESSAGES, api_base=endpoint.url, retry_policy=policy)
        assert [piece async for piece in stream]
    assert [attempt.waited > 0 for attempt in stream.attempts] == [False, True]


async def test_the_caller_s_time_before_the_first_chunk_is_not_the_server_s(clock: FakeClock) -> None:
    keywords: dict[str, Any] = {"timeout": Timeouts(first_content=15, idle=15), "num_retries": 0}
    with Endpoint(Reply(events=["a"], done=False, stall=True)) as endpoint:
        stream = await tokenwire.acompletion("openai/m", MESSAGES, api_base=endpoint.url, stream=True, **keywords)
        await clock.aadvance(30)
        assert (await anext(stream)).choices[0].delta.content == "a"
        await stream.aclose()


@pytest.mark.parametrize(
    "reply",
    [Reply(status=503, json={"error": {"message": "busy"}}), Reply(status=503, stall=True, headers={"content-length": "9"})],
    ids=["whole", "stalled"],
)
async def test_an_attempt_that_failed_holds_no_connection(reply: Reply) -> None:
    with Endpoint(reply) as endpoint:
        async with AsyncClient(api_base=endpoint.url, num_retries=0, timeout=Timeouts(first_content=0.2)) as client:
            with pytest.raises(APIError) as caught:
                await client.acompletion("openai/m", MESSAGES, stream=True)
            with pytest.raises(APIError) as caught_too:
                await client.acompletion("openai/m", MESSAGES)
            assert caught.value is not caught_too.value  # both still hold the frames they passed
            assert client.stats is not None
            assert client.stats.open == client.stats.idle
