"""Handlers in time: their deadlines, the event loop they must not block, and their clean-up."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import pytest

import tokenwire
from tokenwire import CustomLLM, GenericStreamingChunk, Timeout
from tokenwire.llms import handler_items
from tokenwire.llms.base import ChunkSource
from tokenwire.testing import FakeClock
from tokenwire.wire.assemble import Assembler
from tokenwire.wire.convert import whole_class

from ..conftest import LOOPS, PATIENCE, an_hour

pytestmark = pytest.mark.anyio

MESSAGES = [{"role": "user", "content": "Hi"}]


async def read(stream: Any, begun: anyio.Event | None = None) -> None:
    async with stream:
        async for _ in stream:
            if begun is not None:
                begun.set()
            await anyio.lowlevel.checkpoint()


# Cancelled, and by whom


ON_ASYNCIO = pytest.mark.parametrize("anyio_backend", [loop for loop in LOOPS if loop.id != "trio"])


async def awaits_a_task_that_is_cancelled() -> None:
    task = asyncio.ensure_future(asyncio.sleep(3600))
    task.cancel()
    await task


class Cancels(CustomLLM):
    """A handler that awaits a task of its own, which is cancelled where it is told "cancel"."""

    async def acompletion(self, *args: Any, messages: Any, **_: Any) -> Any:
        if messages[-1]["content"] == "cancel":
            await awaits_a_task_that_is_cancelled()
        return "Hi"

    async def astreaming(self, *args: Any, **_: Any) -> AsyncIterator[GenericStreamingChunk]:
        yield GenericStreamingChunk(text="Hi")
        await awaits_a_task_that_is_cancelled()


@ON_ASYNCIO
async def test_a_cancellation_inside_a_handler_is_its_failure() -> None:
    tokenwire.register("mine", Cancels())
    cancel = [{"role": "user", "content": "cancel"}]
    with pytest.raises(tokenwire.APIConnectionError) as caught:
        await tokenwire.acompletion("mine/m", cancel)
    assert (caught.value.fault, type(caught.value.__cause__)) == ("handler", asyncio.CancelledError)
    stream = await tokenwire.acompletion("mine/m", cancel, stream=True)
    with pytest.raises(tokenwire.APIConnectionError, match="CancelledError"):
        await read(stream)
    response: Any = stream.response
    assert (stream.outcome, response.choices[0].message.content) == ("error", "Hi")


@ON_ASYNCIO
async def test_a_cancellation_inside_a_handler_costs_a_job_no_result() -> None:
    async with tokenwire.AsyncClient(handlers={"mine": Cancels()}) as client:
        async with client.amap("mine/m", ["a", "cancel", "b"], ordered=True) as results:
            errors: list[Any] = [result.error async for result in results]
    assert [error and error.fault for error in errors] == [None, "handler", None]


@ON_ASYNCIO
@pytest.mark.parametrize("stream", [False, True])
async def test_a_cancelled_caller_is_cancelled(stream: bool) -> None:
    begun = asyncio.Event()

    class Hangs(CustomLLM):
        async def acompletion(self, *args: Any, **_: Any) -> Any:
            begun.set()
            await asyncio.sleep(3600)

        async def astreaming(self, *args: Any, **_: Any) -> AsyncIterator[GenericStreamingChunk]:
            yield GenericStreamingChunk(text="Hi")
            begun.set()
            await asyncio.sleep(3600)

    tokenwire.register("mine", Hangs())

    async def call() -> None:
        answer = await tokenwire.acompletion("mine/m", MESSAGES, stream=stream)
        if stream:
            await read(answer)

    task = asyncio.ensure_future(call())
    await begun.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


# Time


async def hangs() -> str:
    await anyio.sleep_forever()
    return ""


async def hangs_streaming() -> AsyncIterator[str]:
    await anyio.sleep_forever()
    yield ""


async def hangs_after_content() -> AsyncIterator[str]:
    yield "a"
    await anyio.sleep_forever()


class TestTimeouts:
    begun: threading.Event  # a sync handler is at work

    @pytest.fixture(autouse=True)
    def _begun(self) -> None:
        self.begun = threading.Event()

    @pytest.fixture
    def blocks(self) -> Iterator[Any]:
        """A sync handler that takes as long as the test does."""
        released = threading.Event()
        at_work = threading.Semaphore(0)

        def handler() -> str:
            self.begun.set()
            released.wait(PATIENCE)
            at_work.release()
            return "late"

        yield handler
        released.set()
        for _ in range(2):  # it was called whole and streamed
            at_work.acquire(timeout=PATIENCE)

    @pytest.fixture
    def blocks_streaming(self) -> Iterator[Any]:
        released = threading.Event()

        def handler() -> Iterator[str]:
            yield "a"
            self.begun.set()
            released.wait(PATIENCE)
            yield "late"

        yield handler
        released.set()

    async def test_total_ends_a_stream_that_never_pauses(self) -> None:
        cleaned = threading.Event()

        async def handler() -> AsyncIterator[str]:
            until = time.monotonic() + PATIENCE
            try:
                while time.monotonic() < until:
                    yield "a"
                    await anyio.lowlevel.checkpoint()
            finally:
                cleaned.set()

        tokenwire.register("mine", handler)

        with pytest.raises(Timeout) as caught:
            await read(tokenwire.astreaming("mine/any", MESSAGES, timeout=tokenwire.Timeouts(total=0.2)))
        assert caught.value.budget == "total"
        assert cleaned.is_set()

    @pytest.mark.parametrize("handler", [hangs, hangs_streaming, hangs_after_content])
    async def test_end_async_handlers(self, handler: Any, clock: FakeClock) -> None:
        for error in await errors_of_timeout(handler, clock):
            assert error.status_code == 408

    async def test_end_the_wait_for_sync_handlers(self, blocks: Any, clock: FakeClock) -> None:
        for error in await errors_of_timeout(blocks, clock, self.begun):
            assert error.budget in ("total", "first_content")

    async def test_end_the_wait_for_sync_generators(self, blocks_streaming: Any, clock: FakeClock) -> None:
        [whole, streamed] = await errors_of_timeout(blocks_streaming, clock, self.begun)

        assert whole.budget == "first_content"  # which an answer that is not streamed has for all of itself
        assert streamed.budget == "idle"
        assert streamed.partial.choices[0].message.content == "a"


async def errors_of_timeout(handler: Any, clock: FakeClock, begun: threading.Event | None = None) -> list[Timeout]:
    async def ready() -> None:
        if begun is not None:
            assert await anyio.to_thread.run_sync(begun.wait, PATIENCE)
            begun.clear()

    tokenwire.register("mine", handler)
    async with an_hour(clock, ready):
        with pytest.raises(Timeout) as whole:
            await tokenwire.acompletion("mine/any", MESSAGES, timeout=20)
    stream = tokenwire.astreaming("mine/any", MESSAGES, timeout=20)
    async with an_hour(clock, ready):
        with pytest.raises(Timeout) as streamed:
            await read(stream)
    assert stream.outcome == "error"
    return [whole.value, streamed.value]


@pytest.mark.parametrize("then", ["returns", "raises"])
async def test_a_handler_that_ends_when_time_is_up_has_not_finished_its_answer(then: str, clock: FakeClock) -> None:
    async def handler() -> AsyncIterator[str]:
        yield "a"
        try:
            await anyio.sleep_forever()
        except BaseException:  # noqa: BLE001  (what a careless handler does)
            if then == "raises":
                raise ValueError("lost connection") from None

    tokenwire.register("mine", handler)
    stream = tokenwire.astreaming("mine/any", MESSAGES, timeout=tokenwire.Timeouts(idle=20))
    async with an_hour(clock):
        with pytest.raises(Timeout) as caught:
            await read(stream)
    assert caught.value.budget == "idle"
    assert caught.value.partial.choices[0].finish_reason is None
    assert stream.outcome == "error"


async def test_time_running_out_waits_for_what_a_handler_shields(clock: FakeClock) -> None:
    steps: list[str] = []

    async def handler() -> AsyncIterator[str]:
        yield "a"
        with anyio.CancelScope(shield=True):
            steps.append("begun")
            await anyio.sleep(100)  # its deadline passes meanwhile
            steps.append("done")
        await anyio.sleep_forever()

    tokenwire.register("mine", handler)
    async with an_hour(clock):
        with pytest.raises(Timeout):
            await read(tokenwire.astreaming("mine/any", MESSAGES, timeout=tokenwire.Timeouts(idle=20)))
    assert steps == ["begun", "done"]


async def test_the_callers_own_scope_catches_what_is_its_own(clock: FakeClock) -> None:
    """Cancelled while the handler's tasks clean up because its deadline has passed."""

    async def tidy() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            outer.cancel()
            with anyio.CancelScope(shield=True):
                for _ in range(3):
                    await anyio.lowlevel.checkpoint()

    async def handler() -> AsyncIterator[str]:
        yield "a"
        async with anyio.create_task_group() as group:
            group.start_soon(tidy)
            await anyio.sleep_forever()

    tokenwire.register("mine", handler)
    async with an_hour(clock):
        with anyio.CancelScope() as outer:
            await read(tokenwire.astreaming("mine/any", MESSAGES, timeout=tokenwire.Timeouts(idle=20)))
    assert outer.cancelled_caught
    await anyio.lowlevel.checkpoint()  # nothing of it is left


# The event loop stays free


async def test_sync_handlers_never_block_the_loop() -> None:
    """The handler waits for something that only the loop's own task can do."""
    released = threading.Event()

    def whole() -> str:
        return "done" if released.wait(PATIENCE) else "the loop was blocked"

    def streamed() -> Iterator[str]:
        yield "done" if released.wait(PATIENCE) else "the loop was blocked"

    async def call(handler: Any) -> None:
        tokenwire.register(handler.__name__, handler)
        response = await tokenwire.acompletion(f"{handler.__name__}/any", MESSAGES)
        assert response.choices[0].message.content == "done"

    async with anyio.create_task_group() as group:
        group.start_soon(call, whole)
        group.start_soon(call, streamed)
        await anyio.wait_all_tasks_blocked()
        released.set()


async def test_many_sync_handlers_work_at_once() -> None:
    barrier = threading.Barrier(60)

    def handler() -> str:
        barrier.wait(PATIENCE)  # passes when all sixty are here
        return "done"

    tokenwire.register("mine", handler)

    async with anyio.create_task_group() as group:
        for _ in range(60):
            group.start_soon(tokenwire.acompletion, "mine/any", MESSAGES)


async def test_a_sync_generator_runs_in_one_thread() -> None:
    threads: set[int] = set()

    def handler() -> Iterator[str]:
        try:
            for _ in range(3):
                threads.add(threading.get_ident())
                yield "a"
        finally:
            threads.add(threading.get_ident())

    tokenwire.register("mine", handler)

    await tokenwire.acompletion("mine/any", MESSAGES)

    assert len(threads) == 1
    assert threading.get_ident() not in threads


async def test_a_sync_generator_is_not_read_without_bound() -> None:
    given: list[int] = []
    full = threading.Event()

    def handler() -> Iterator[str]:
        for number in range(1_000_000):
            given.append(number)
            if number == 1024:
                full.set()
            yield "a"

    tokenwire.register("mine", handler)

    async with tokenwire.astreaming("mine/any", MESSAGES) as stream:
        await anext(stream)
        await anyio.to_thread.run_sync(full.wait, PATIENCE)
    assert len(given) < 10_000


# Clean-up


class Watched:
    """A handler that says when its `finally` block ran."""

    def __init__(self) -> None:
        self.cleaned = threading.Event()

    async def async_generator(self) -> AsyncIterator[str]:
        try:
            while True:
                yield "a"
                await anyio.lowlevel.checkpoint()
        finally:
            self.cleaned.set()

    async def waiting(self) -> AsyncIterator[str]:
        try:
            yield "a"
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.lowlevel.checkpoint()
            self.cleaned.set()

    def generator(self) -> Iterator[str]:
        try:
            while True:
                yield "a"
        finally:
            self.cleaned.set()


@pytest.mark.parametrize("kind", ["async_generator", "waiting", "generator"])
class TestCleanUp:
    @pytest.fixture
    def watched(self, kind: str) -> Watched:
        watched = Watched()
        tokenwire.register("mine", getattr(watched, kind))
        return watched

    async def test_runs_when_the_stream_is_left(self, watched: Watched) -> None:
        async with tokenwire.astreaming("mine/any", MESSAGES) as stream:
            async for _ in stream:
                break

        assert stream.outcome == "cancelled"
        assert await anyio.to_thread.run_sync(watched.cleaned.wait, PATIENCE)

    async def test_runs_when_the_reader_is_cancelled(self, watched: Watched) -> None:
        async def read() -> None:
            async with tokenwire.astreaming("mine/any", MESSAGES) as stream:
                await anext(stream)
                begun.set()
                async for _ in stream:
                    await anyio.lowlevel.checkpoint()

        begun = anyio.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(read)
            await begun.wait()
            group.cancel_scope.cancel()

        assert await anyio.to_thread.run_sync(watched.cleaned.wait, PATIENCE)

    async def test_runs_when_another_task_closes_the_stream(self, watched: Watched) -> None:
        async def read_on() -> None:
            with pytest.raises(tokenwire.StreamClosedError):
                await read(stream, begun)

        begun = anyio.Event()
        stream = tokenwire.astreaming("mine/any", MESSAGES)
        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as group:
                group.start_soon(read_on)
                await begun.wait()
                await stream.aclose()
        assert stream.outcome == "cancelled"
        assert await anyio.to_thread.run_sync(watched.cleaned.wait, PATIENCE)


class Endless:
    """An async iterator that has no `aclose`."""

    def __init__(self) -> None:
        self.given = False

    def __aiter__(self) -> "Endless":
        return self

    async def __anext__(self) -> str:
        if self.given:
            await anyio.sleep_forever()
        self.given = True
        return "a"


class TestClosingWhileItsReaderWaits:
    @pytest.fixture
    def blocks(self) -> Iterator[Any]:
        released = threading.Event()

        def handler() -> Iterator[str]:
            yield "a"
            released.wait(2 * PATIENCE)

        yield handler
        released.set()

    @pytest.mark.parametrize("kind", ["thread", "no aclose"])
    async def test_ends_the_wait(self, blocks: Any, kind: str) -> None:
        async def read_on() -> None:
            with pytest.raises(tokenwire.StreamClosedError):
                await read(stream, begun)

        tokenwire.register("mine", blocks if kind == "thread" else lambda: Endless())
        begun = anyio.Event()
        stream = tokenwire.astreaming("mine/any", MESSAGES)
        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as group:
                group.start_soon(read_on)
                await begun.wait()
                await anyio.wait_all_tasks_blocked()
                await stream.aclose()
        assert stream.outcome == "cancelled"

    async def test_by_two_tasks(self, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
        async def handler() -> AsyncIterator[str]:
            yield "a"
            try:
                await anyio.sleep_forever()
            finally:
                with anyio.CancelScope(shield=True):
                    await cleaned.wait()

        async def read_on() -> None:
            with pytest.raises(tokenwire.StreamClosedError):
                await read(stream, begun)

        tokenwire.register("mine", handler)
        begun, cleaned = anyio.Event(), anyio.Event()
        stream = tokenwire.astreaming("mine/any", MESSAGES)
        monkeypatch.setattr(handler_items, "CLOSE_SECONDS", 2 * PATIENCE)
        with anyio.fail_after(PATIENCE):  # less than an iterator's closing may take
            async with anyio.create_task_group() as group:
                group.start_soon(read_on)
                await begun.wait()
                for _ in range(2):
                    await anyio.wait_all_tasks_blocked()
                    group.start_soon(stream.aclose)
                await anyio.wait_all_tasks_blocked()
                cleaned.set()
        assert caplog.text == ""


async def test_a_dropped_streams_sync_generator_is_closed() -> None:
    watched = Watched()
    tokenwire.register("mine", watched.generator)

    stream = tokenwire.astreaming("mine/any", MESSAGES)
    await anext(stream)
    del stream

    assert await anyio.to_thread.run_sync(watched.cleaned.wait, PATIENCE)


async def test_a_cancelled_callers_handler_cleans_up_to_its_end() -> None:
    async def handler() -> AsyncIterator[str]:
        try:
            yield "a"
            yield "b"
        finally:
            for _ in range(3):
                scope.cancel()  # again while it cleans up
                await anyio.lowlevel.checkpoint()
            cleaned.set()

    cleaned = threading.Event()
    tokenwire.register("mine", handler)
    with anyio.CancelScope() as scope:
        async with tokenwire.astreaming("mine/any", MESSAGES) as stream:
            await anext(stream)
            scope.cancel()
    assert cleaned.is_set()


async def test_a_handlers_clean_up_that_never_ends_holds_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    async def handler() -> AsyncIterator[str]:
        try:
            yield "a"
            yield "b"
        finally:
            await anyio.sleep(PATIENCE)
            waited.append("to the end")

    waited: list[str] = []
    monkeypatch.setattr(handler_items, "CLOSE_SECONDS", 0.05)
    tokenwire.register("mine", handler)
    async with tokenwire.astreaming("mine/any", MESSAGES) as stream:
        await anext(stream)
    assert (stream.outcome, waited) == ("cancelled", [])


async def test_a_handlers_failing_clean_up_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def handler() -> AsyncIterator[str]:
        try:
            yield "a"
            yield "b"
        finally:
            raise ValueError("broken clean-up")

    tokenwire.register("mine", handler)

    async with tokenwire.astreaming("mine/any", MESSAGES) as stream:
        await anext(stream)

    assert "failed to close" in caplog.text
    assert "broken clean-up" in caplog.text


async def test_a_burst_of_a_sync_generator_costs_no_thread_hop_a_chunk() -> None:
    """Two thousand hops took a second; the bound leaves room for a slow machine, not for hops."""

    def handler() -> Iterator[str]:
        for _ in range(20_000):
            yield "a"

    tokenwire.register("mine", handler)
    before = time.process_time()

    async for _ in tokenwire.astreaming("mine/any", MESSAGES):
        pass

    assert time.process_time() - before < 4.0


# A source of the handler's own


class Source(ChunkSource[Any]):
    """One chunk at a time, of the shape that is wanted."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.deadline = 0.0
        self.headers = {}
        self.left = ["one ", "two"]
        self.closed = False

    async def start(self, deadline: float) -> None:
        self.deadline = deadline
        if self.error is not None:
            raise self.error
        self.assembler = Assembler(whole_class(self.shape), id="x", created=1, model="m")

    def take(self) -> list[Any]:
        self.done = not self.left
        if not self.left:
            return []
        chunk = GenericStreamingChunk(text=self.left.pop(0))
        self.had_content = True
        self.assembler.add(chunk)
        return [chunk]

    async def wait(self, deadline: float) -> bool:
        return True

    async def aclose(self) -> None:
        self.closed = True


def handler_of(source: Source) -> CustomLLM:
    class Handler(CustomLLM):
        async def astreaming(self, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
            return source

    return Handler()


async def test_a_source_of_the_handler_s_own() -> None:
    source = Source()
    async with tokenwire.AsyncClient(handlers={"mine": handler_of(source)}) as client:
        before = time.monotonic()
        stream = client.astreaming("mine/m", MESSAGES, timeout=50)
        assert [chunk.text async for chunk in stream] == ["one ", "two"]
    assert source.shape is GenericStreamingChunk
    assert before < source.deadline <= time.monotonic() + 50
    assert source.closed
    assert stream.outcome == "complete"
    assert stream.response is not None


async def test_a_source_may_answer_a_whole_call() -> None:
    source = Source()
    async with tokenwire.AsyncClient(handlers={"mine": handler_of(source)}) as client:
        response = await client.acompletion("mine/m", MESSAGES)
    assert response.choices[0].message.content == "one two"
    assert source.closed


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
async def test_a_source_that_can_not_start_is_closed_and_its_error_is_ours(streamed: bool) -> None:
    source = Source(ValueError("no start"))
    async with tokenwire.AsyncClient(handlers={"mine": handler_of(source)}) as client:
        with pytest.raises(tokenwire.APIConnectionError, match="ValueError: no start") as caught:
            await client.acompletion("mine/m", MESSAGES, stream=streamed)
    assert isinstance(caught.value.__cause__, ValueError)
    assert source.closed
