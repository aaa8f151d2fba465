"""`AsyncStream.pass_on`: what iterating promises, in one loop."""

import time
from collections.abc import AsyncIterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from tokenwire import (
    AsyncClient,
    AsyncStream,
    CustomLLM,
    GenericStreamingChunk,
    StreamClosedError,
    StreamTruncatedError,
    Timeout,
    Timeouts,
)
from tokenwire.testing import Endpoint, FakeClock, Reply

from ..conftest import an_hour

pytestmark = pytest.mark.anyio

MESSAGES = [{"role": "user", "content": "Hi"}]
END: Any = {"text": "", "is_finished": True, "finish_reason": "stop", "usage": None, "index": 0, "tool_use": None}
PIECE: Any = {**END, "is_finished": False, "finish_reason": ""}


def text_of(part: Any) -> str:
    return part if isinstance(part, str) else part.text


class Passed:
    """What was passed on."""

    def __init__(self) -> None:
        self.parts: list[Any] = []

    async def send(self, parts: list[Any]) -> None:
        assert parts
        self.parts += parts

    @property
    def text(self) -> str:
        return "".join(map(text_of, self.parts))


def stream_of(handler: Any, **keywords: Any) -> AsyncStream[Any]:
    return AsyncClient(handlers={"mine": handler}).astreaming("mine/m", MESSAGES, **keywords)


def handler_of(*items: Any, waits: bool) -> Any:
    async def handler() -> AsyncIterator[Any]:
        for item in items:
            if waits:
                await anyio.lowlevel.checkpoint()
            yield item

    return handler


CALL: Any = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{"}}


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize(
    "items",
    [
        ("one", " two", " three"),
        ("one", "", None, " two", PIECE, {**PIECE, "text": " three"}),
        ({**PIECE, "text": "one"}, {**PIECE, "text": " two"}, END),
        (PIECE, {**PIECE, "tool_use": CALL}, {**PIECE, "tool_use": CALL}, {**PIECE, "text": "t", "index": 1}, END, {**END, "index": 1}),
        ({**PIECE, "reasoning_content": "hm"}, {**PIECE, "reasoning_content": "m"}, {**PIECE, "text": "so"}, END),
    ],
    ids=["text", "empty", "chunks", "calls", "reasoning"],
)  # fmt: skip
async def test_it_hands_on_what_iterating_gives(items: Any, waits: bool) -> None:
    handler, passed = handler_of(*items, waits=waits), Passed()
    iterated = [part async for part in stream_of(handler)]

    stream = stream_of(handler)
    await stream.pass_on(passed.send)

    assert [text_of(part) for part in passed.parts] == [part.text for part in iterated]
    assert [part for part in passed.parts if not isinstance(part, str)][-1:] == iterated[-1:]
    whole = stream_of(handler)
    await whole.until_done()
    assert stream.outcome == "complete"
    assert stream.response is not None
    assert whole.response is not None
    assert stream.response.choices == whole.response.choices


async def test_an_endpoints_chunks_that_came_together_are_handed_on_together() -> None:
    batches: list[int] = []

    async def send(parts: list[Any]) -> None:
        batches.append(len(parts))

    with Endpoint(Reply(text="one two three")) as endpoint:
        async with AsyncClient(api_base=endpoint.url) as client:
            async with await client.acompletion("openai/m", MESSAGES, stream=True) as stream:
                await stream.pass_on(send)
    assert sum(batches) >= 3
    assert max(batches) > 1
    assert stream.outcome == "complete"


@pytest.mark.parametrize("waits", [False, True])
async def test_what_send_raises_ends_the_stream_and_the_handler(waits: bool) -> None:
    left = anyio.Event()

    async def handler() -> AsyncIterator[str]:
        try:
            for number in range(100):
                if waits:
                    await anyio.lowlevel.checkpoint()
                yield str(number)
        finally:
            left.set()

    async def send(parts: list[Any]) -> None:
        if text_of(parts[0]) == "3":
            raise KeyError("full")

    stream = stream_of(handler)
    with pytest.raises(KeyError, match="full"):
        await stream.pass_on(send)
    assert left.is_set()
    assert stream.outcome == "cancelled"


@pytest.mark.parametrize("steps", range(6))
async def test_cancelling_it_anywhere_ends_the_handler(steps: int) -> None:
    """At each of its waits, of which half are the handler's and half are `send`'s."""
    left = anyio.Event()

    async def handler() -> AsyncIterator[str]:
        try:
            while True:
                await anyio.lowlevel.checkpoint()
                yield "word"
        finally:
            left.set()

    async def send(parts: list[Any]) -> None:
        await anyio.lowlevel.checkpoint()

    stream = stream_of(handler)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stream.pass_on, send)
        for _ in range(steps + 3):
            await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    assert left.is_set()
    assert stream.outcome == "cancelled"


async def test_another_task_may_close_it_while_the_handler_is_waited_for() -> None:
    left, waiting = anyio.Event(), anyio.Event()

    async def handler() -> AsyncIterator[str]:
        try:
            yield "one"
            yield "two"
            waiting.set()
            await anyio.sleep_forever()
        finally:
            left.set()

    stream, passed = stream_of(handler), Passed()

    async def pass_on() -> None:
        with pytest.raises(StreamClosedError):
            await stream.pass_on(passed.send)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(pass_on)
        await waiting.wait()
        await stream.aclose()
        assert left.is_set()
    assert passed.text == "onetwo"
    assert stream.outcome == "cancelled"


async def test_send_itself_may_close_it() -> None:
    stream, passed = stream_of(handler_of(*"abcdef", waits=True)), Passed()

    async def send(parts: list[Any]) -> None:
        await passed.send(parts)
        if passed.text == "abc":
            await stream.aclose()

    with anyio.fail_after(4), pytest.raises(StreamClosedError):
        await stream.pass_on(send)
    assert passed.text == "abc"


async def test_nobody_else_may_iterate_it_meanwhile() -> None:
    async def handler() -> AsyncIterator[str]:
        yield "one"
        await anyio.sleep_forever()

    stream, passed = stream_of(handler), Passed()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stream.pass_on, passed.send)
        while not passed.parts:
            await anyio.lowlevel.checkpoint()
        await anyio.lowlevel.checkpoint()
        with pytest.raises(RuntimeError, match="two tasks"):
            await anext(stream)
        tasks.cancel_scope.cancel()


async def test_a_handler_that_falls_silent_is_given_up(clock: FakeClock) -> None:
    async def handler() -> AsyncIterator[str]:
        yield "one"
        yield " two"
        await anyio.sleep_forever()

    stream, passed = stream_of(handler, timeout=Timeouts(idle=20)), Passed()
    async with an_hour(clock):
        with pytest.raises(Timeout) as caught:
            await stream.pass_on(passed.send)
    assert caught.value.budget == "idle"
    assert caught.value.partial.choices[0].message.content == passed.text == "one two"


async def test_the_time_that_send_takes_is_not_the_handlers(clock: FakeClock) -> None:
    async def send(parts: list[Any]) -> None:
        await passed.send(parts)
        await anyio.sleep(30)

    stream, passed = stream_of(handler_of("one", " two", " three", waits=True), timeout=Timeouts(idle=20)), Passed()
    async with an_hour(clock):
        await stream.pass_on(send)
    assert passed.text == "one two three"


async def test_a_handler_that_never_waits_is_held_to_the_total(monkeypatch: pytest.MonkeyPatch) -> None:
    real, passed_by = time.monotonic, 0.0

    async def handler() -> AsyncIterator[str]:
        nonlocal passed_by
        for _ in range(1000):
            passed_by += 1.0
            yield "word "

    monkeypatch.setattr(time, "monotonic", lambda: real() + passed_by)
    stream, passed = stream_of(handler, timeout=Timeouts(total=60)), Passed()
    with pytest.raises(Timeout) as caught:
        await stream.pass_on(passed.send)
    assert caught.value.budget == "total"
    assert len(passed.parts) <= 61


async def test_a_handlers_failure_comes_after_what_it_said() -> None:
    async def handler() -> AsyncIterator[Any]:
        yield "one"
        yield " two"
        raise ValueError("lost")

    async def cut() -> AsyncIterator[Any]:
        yield {**PIECE, "text": "one"}
        yield {**PIECE, "text": " two"}

    class Own(CustomLLM):
        async def astreaming(self, *args: Any, **_: Any) -> AsyncIterator[GenericStreamingChunk]:
            yield GenericStreamingChunk(text="one")
            yield GenericStreamingChunk(text=" two")

    for failing, expected in ((handler, Exception), (cut, StreamTruncatedError), (Own(), StreamTruncatedError)):
        stream, passed = stream_of(failing), Passed()
        with pytest.raises(expected) as caught:
            await stream.pass_on(passed.send)
        assert passed.text == "one two"
        assert getattr(caught.value, "partial").choices[0].message.content == "one two"  # noqa: B009
        assert stream.outcome == ("truncated" if expected is StreamTruncatedError else "error")
