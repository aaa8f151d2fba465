"""Many calls: how many at once, what is read of the inputs, what becomes of results, and who ends what."""

import gc
import threading
import weakref
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest

import tokenwire
from tokenwire import AsyncClient, Client, Gate, Result
from tokenwire.testing import Endpoint, Reply, chunks, completion

from ..conftest import PATIENCE
from ..faults.stepping import cancelled_everywhere


class Handler:
    """Says what it is told, when it may: each call waits until its text is among those released."""

    def __init__(self, *, held: bool = False) -> None:
        self.held = held
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.in_flight = self.most = 0
        self._go: dict[str, anyio.Event] = {}

    async def acompletion(self, messages: Any, **_: Any) -> Any:
        text = messages[-1]["content"]
        self.begun.append(text)
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        try:
            await (self.event(text).wait() if self.held else anyio.lowlevel.checkpoint())
            if text.startswith("bad"):
                raise tokenwire.CustomLLMError(400, f"{text} is bad")
            return f"said {text}"
        finally:
            self.in_flight -= 1
            self.ended.append(text)

    def event(self, text: str) -> anyio.Event:
        return self._go.setdefault(text, anyio.Event())

    def release(self, text: str) -> None:
        self.event(text).set()


class Counted:
    """Inputs that say how many of them were read."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.read = 0
        self.threads: set[int] = set()

    def __iter__(self) -> Iterator[str]:
        for number in range(self.count):
            self.read += 1
            self.threads.add(threading.get_ident())
            yield str(number)

    async def __aiter__(self) -> AsyncIterator[str]:
        for number in range(self.count):
            self.read += 1
            yield str(number)


class AsyncCounted(Counted):
    __iter__ = None  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]


class SyncCounted(Counted):
    __aiter__ = None  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]


BOTH_KINDS = pytest.mark.parametrize("kind", [SyncCounted, AsyncCounted])


def text_of(result: Result[Any]) -> str:
    assert result.response is not None
    return result.response.choices[0].message.content


# What comes back.


@pytest.mark.anyio
@BOTH_KINDS
@pytest.mark.parametrize("ordered", [False, True])
async def test_each_input_has_one_result(kind: type[Counted], ordered: bool) -> None:
    async with AsyncClient(handlers={"mine": Handler()}) as client:
        async with client.amap("mine/m", kind(50), concurrency=7, ordered=ordered) as results:
            found = [result async for result in results]
    in_order = sorted(found, key=lambda result: result.index)
    assert [(result.index, result.input, text_of(result)) for result in in_order] == [
        (number, str(number), f"said {number}") for number in range(50)
    ]
    assert not ordered or found == in_order
    assert [len(result.attempts) for result in found] == [1] * 50
    assert all(result.timings.total is not None for result in found)


@pytest.mark.anyio
async def test_inputs_are_prompts_messages_or_keywords() -> None:
    seen: list[Any] = []

    async def handler(model: str, messages: Any, optional_params: Any, **_: Any) -> str:
        seen.append((model, messages, optional_params))
        return "Hello"

    messages = [{"role": "user", "content": "b"}]
    inputs = ["a", messages, {"prompt": "c", "temperature": 1.0}, {"messages": messages, "model": "mine/other", "top_p": 0.5}]
    async with AsyncClient(handlers={"mine": handler}) as client:
        async with client.amap("mine/m", inputs, concurrency=1, temperature=0.5) as results:
            assert [result.error async for result in results] == [None] * 4
    assert seen == [
        ("m", [{"role": "user", "content": "a"}], {"temperature": 0.5}),
        ("m", messages, {"temperature": 0.5}),
        ("m", [{"role": "user", "content": "c"}], {"temperature": 1.0}),
        ("other", messages, {"temperature": 0.5, "top_p": 0.5}),
    ]


@pytest.mark.anyio
@pytest.mark.parametrize(
    "item, message",
    [
        (5, r"inputs\[1\] must be a str, a list of messages or a dict of keywords, not 5"),
        ({"role": "user", "content": "Hi"}, r"inputs\[1\] is a single message"),
        ({"temperature": 1}, r"inputs\[1\] must have either messages or prompt"),
        ({"prompt": "a", "messages": []}, r"inputs\[1\] must have either messages or prompt"),
        ({"prompt": "a", "stream": True}, r"inputs\[1\] has stream"),
        ([5], r"messages\[0\] must be a dict"),
    ],
)
async def test_an_input_that_is_wrong_is_a_result(item: Any, message: str) -> None:
    async with AsyncClient(handlers={"mine": Handler()}) as client:
        async with client.amap("mine/m", ["a", item, "c"], ordered=True) as results:
            first, wrong, last = [result async for result in results]
    assert (text_of(first), text_of(last)) == ("said a", "said c")
    assert isinstance(wrong.error, tokenwire.BadRequestError)
    assert (wrong.input, wrong.response, wrong.error.fault) == (item, None, "caller")
    with pytest.raises(tokenwire.BadRequestError, match=message):
        raise wrong.error


@pytest.mark.anyio
async def test_errors_are_results_or_raised() -> None:
    inputs = ["a", "bad", "c"]
    async with AsyncClient(handlers={"mine": Handler()}) as client:
        async with client.amap("mine/m", inputs, ordered=True) as results:
            found = [result async for result in results]
            assert isinstance(found[1].error, tokenwire.BadRequestError)
            assert [attempt.error for attempt in found[1].attempts] == ["BadRequestError"]
        async with client.amap("mine/m", inputs, ordered=True, on_error="raise") as results:
            assert text_of(await anext(results)) == "said a"
            with pytest.raises(tokenwire.BadRequestError, match="bad is bad"):
                await anext(results)
            assert text_of(await anext(results)) == "said c"
            with pytest.raises(StopAsyncIteration):
                await anext(results)


@pytest.mark.anyio
@BOTH_KINDS
async def test_inputs_that_fail_are_raised_after_what_was_read(kind: type[Counted]) -> None:
    class Broken(kind):
        def __iter__(self) -> Iterator[str]:
            yield from ("a", "b")
            raise KeyError("the source broke")

        async def __aiter__(self) -> AsyncIterator[str]:
            for text in Broken.__iter__(self):
                yield text

    inputs: Any = Broken(2)
    if kind is SyncCounted:
        inputs = Broken.__iter__(inputs)
    found: list[str] = []
    async with AsyncClient(handlers={"mine": Handler()}) as client:
        async with client.amap("mine/m", inputs, ordered=True) as results:
            with pytest.raises(KeyError, match="the source broke"):
                async for result in results:
                    found.append(text_of(result))  # noqa: PERF401  (what came before the error is looked at)
    assert found == ["said a", "said b"]


# How many at once, and how far ahead.


@pytest.mark.anyio
@BOTH_KINDS
async def test_so_many_are_under_way_and_nothing_is_read_ahead(kind: type[Counted]) -> None:
    handler, inputs = Handler(held=True), kind(1000)
    async with AsyncClient(handlers={"mine": handler}) as client:
        async with client.amap("mine/m", inputs, concurrency=3) as results:
            await anyio.wait_all_tasks_blocked()
            assert (handler.in_flight, inputs.read) == (3, 3)
            handler.release("1")
            assert (await anext(results)).index == 1
            await anyio.wait_all_tasks_blocked()
            assert (handler.in_flight, inputs.read) == (3, 4)
    assert handler.in_flight == 0


@pytest.mark.anyio
@BOTH_KINDS
@pytest.mark.parametrize("ordered", [False, True])
async def test_results_that_nobody_takes_stop_the_reading(kind: type[Counted], ordered: bool) -> None:
    handler, inputs = Handler(), kind(1000)
    async with AsyncClient(handlers={"mine": handler}) as client:
        async with client.amap("mine/m", inputs, concurrency=5, ordered=ordered) as results:
            await anyio.wait_all_tasks_blocked()
            assert inputs.read == 10
            for taken in range(1, 5):
                await anext(results)
                await anyio.wait_all_tasks_blocked()
                assert inputs.read == 10 + taken


@pytest.mark.anyio
async def test_a_slow_one_holds_up_so_many_in_order() -> None:
    handler, inputs = Handler(held=True), SyncCounted(1000)
    for number in range(1, 1000):
        handler.release(str(number))
    async with AsyncClient(handlers={"mine": handler}) as client:
        async with client.amap("mine/m", inputs, concurrency=5, ordered=True) as results:
            await anyio.wait_all_tasks_blocked()
            assert inputs.read == 10
            handler.release("0")
            assert [result.index async for result in results] == list(range(1000))


@pytest.mark.anyio
async def test_memory_is_bounded_by_the_concurrency() -> None:
    class Item(dict[str, Any]):
        pass

    alive: weakref.WeakSet[Any] = weakref.WeakSet()
    most = 0

    def inputs() -> Iterator[Any]:
        for number in range(500):
            item = Item(prompt=str(number))
            item_ref = Tracked(item)
            alive.add(item_ref)
            item["user"] = item_ref
            yield item

    class Tracked(str):
        __slots__ = ("__weakref__",)

        def __new__(cls, _: object) -> "Tracked":
            return super().__new__(cls, "u")

    async with AsyncClient(handlers={"mine": Handler()}) as client:
        async with client.amap("mine/m", inputs(), concurrency=8) as results:
            async for result in results:
                del result
                most = max(most, len(alive))
    assert 1 <= most <= 20


@pytest.mark.anyio
@pytest.mark.parametrize(
    "gate, expected",
    [(None, 64), (Gate(max_concurrency=7), 7), (Gate(rpm=600_000), 64), (Gate(max_concurrency=9, adaptive=True), 9)],
    ids=["none", "seven", "paced", "adaptive"],
)
async def test_without_a_concurrency_it_is_the_gates(gate: Gate | None, expected: int) -> None:
    inputs = SyncCounted(1000)
    async with AsyncClient(handlers={"mine": Handler(held=True)}, gate=gate) as client:
        async with client.amap("mine/m", inputs):
            await anyio.wait_all_tasks_blocked()
            assert inputs.read == expected


# Streams.


@pytest.mark.anyio
async def test_streams_are_results_and_hold_their_places_until_they_end() -> None:
    inputs = SyncCounted(6)
    with Endpoint(lambda _: Reply(events=chunks("Hello there", size=3))) as endpoint:
        async with AsyncClient(api_base=endpoint.url, api_key="k") as client:
            async with client.amap("openai/m", inputs, concurrency=2, stream=True, ordered=True) as results:
                first, second = await anext(results), await anext(results)
                await anyio.wait_all_tasks_blocked()
                assert inputs.read == 2
                assert first.response is not None
                assert second.response is not None
                assert first.timings.opened is not None
                assert "".join([chunk.choices[0].delta.content or "" async for chunk in first.response]) == "Hello there"
                third = await anext(results)
                assert (third.index, inputs.read) == (2, 3)
                await second.response.aclose()
                del third, first, second
                gc.collect()
                async for result in results:  # the one that was dropped made room too
                    assert result.response is not None
                    async with result.response as stream:
                        assert [chunk async for chunk in stream]
    assert inputs.read == 6


@pytest.mark.anyio
async def test_leaving_closes_the_streams_that_are_open() -> None:
    with Endpoint(lambda _: Reply(events=chunks("Hello there", size=3), stall=True, after=2)) as endpoint:
        async with AsyncClient(api_base=endpoint.url, api_key="k") as client:
            async with client.amap("openai/m", ["a", "b"], stream=True) as results:
                streams = [result.response async for result in results]
                assert [stream.outcome for stream in streams if stream is not None] == [None, None]
            assert [stream.outcome for stream in streams if stream is not None] == ["cancelled", "cancelled"]


@pytest.mark.anyio
async def test_a_stream_that_cant_be_opened_is_a_failed_result() -> None:
    with Endpoint(Reply(status=401, json={"error": {"message": "no"}})) as endpoint:
        async with AsyncClient(api_base=endpoint.url, api_key="k") as client:
            async with client.amap("openai/m", ["a"], stream=True) as results:
                (result,) = [result async for result in results]
    assert isinstance(result.error, tokenwire.AuthenticationError)


# Who leaves.


@pytest.mark.anyio
async def test_leaving_early_cancels_what_is_under_way() -> None:
    handler = Handler(held=True)
    handler.release("0")
    async with AsyncClient(handlers={"mine": handler}) as client:
        async with client.amap("mine/m", SyncCounted(100), concurrency=4) as results:
            async for _ in results:
                break
        assert handler.in_flight == 0
        assert len(handler.begun) == len(handler.ended)
        with pytest.raises(RuntimeError, match="were left"):
            await anext(results)


@pytest.mark.anyio
async def test_the_blocks_own_error_comes_out_as_it_is() -> None:
    async with AsyncClient(handlers={"mine": Handler(held=True)}) as client:
        with pytest.raises(ZeroDivisionError):
            async with client.amap("mine/m", ["a", "b"]):
                raise ZeroDivisionError


@pytest.mark.anyio
async def test_without_async_with_it_is_refused() -> None:
    handler = Handler()
    async with AsyncClient(handlers={"mine": handler}) as client:
        results = client.amap("mine/m", ["a"])
        with pytest.raises(RuntimeError, match="async with"):
            await anext(results)
        async with results:
            pass
        with pytest.raises(RuntimeError, match="entered before"):
            async with results:
                pass
        with pytest.raises(TypeError, match="async for"):
            iter(results)


@pytest.mark.anyio
async def test_an_async_generator_is_closed_in_the_task_that_read_it() -> None:
    tasks: list[object] = []

    async def inputs() -> AsyncIterator[str]:
        with anyio.CancelScope():  # which no other task may leave
            tasks.append(anyio.get_current_task().id)
            try:
                while True:
                    yield "a"
            finally:
                tasks.append(anyio.get_current_task().id)

    async with AsyncClient(handlers={"mine": Handler()}) as client:
        async with client.amap("mine/m", inputs(), concurrency=2) as results:
            await anext(results)
    assert len(tasks) == 2
    assert tasks[0] == tasks[1]


@pytest.mark.anyio
async def test_cancelled_at_every_wait_it_leaves_nothing() -> None:
    handler, gate = Handler(), Gate(max_concurrency=2)
    async with AsyncClient(handlers={"mine": handler}, gate=gate) as client:

        async def operation() -> None:
            async with client.amap("mine/m", AsyncCounted(6), concurrency=3, ordered=True) as results:
                async for _ in results:
                    await anyio.lowlevel.checkpoint()

        async def look(_: int) -> None:
            assert (handler.in_flight, gate.stats.in_flight, gate.stats.waiting) == (0, 0, 0)

        with anyio.fail_after(PATIENCE):
            assert await cancelled_everywhere(operation, look) >= 4


@pytest.mark.anyio
async def test_a_client_that_is_closed_is_no_result() -> None:
    client = AsyncClient(api_base="http://127.0.0.1:1/v1", api_key="k")
    await client.aclose()
    async with client.amap("openai/m", SyncCounted(5)) as results:
        with pytest.raises(RuntimeError, match="closed"):
            await anext(results)


# Nonsense.


@pytest.mark.anyio
@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"inputs": "abc"}, "inputs must be an iterable or async iterable"),
        ({"inputs": 5}, "inputs must be an iterable"),
        ({"inputs": {"prompt": "a"}}, "inputs must be an iterable"),
        ({"concurrency": 0}, "concurrency must be a whole number, 1 or more, not 0"),
        ({"concurrency": True}, "concurrency must be"),
        ({"concurrency": 2.0}, "concurrency must be"),
        ({"ordered": 1}, "ordered must be True or False, not 1"),
        ({"on_error": "skip"}, 'on_error must be "return" or "raise"'),
        ({"stream": 1}, "stream must be True or False"),
        ({"num_retries": -1}, "num_retries"),
        ({"model": "nobody/m"}, "names no known provider"),
        ({"model": 5}, "model must be"),
    ],
)
async def test_nonsense_is_refused_at_the_call(arguments: dict[str, Any], message: str) -> None:
    given = {"model": "mine/m", "inputs": ["a"], **arguments}
    async with AsyncClient(handlers={"mine": Handler()}) as client:
        with pytest.raises(tokenwire.BadRequestError, match=message):
            client.amap(**given)
    with Client(handlers={"mine": Handler()}) as client:
        with pytest.raises(tokenwire.BadRequestError, match=message.replace(" or async iterable", "")):
            client.map(**given)


# From sync code.


@pytest.mark.parametrize("ordered", [False, True])
def test_from_sync_code(ordered: bool) -> None:
    inputs = Counted(100)
    with Client(handlers={"mine": Handler()}) as client:
        found = list(client.map("mine/m", iter(inputs), concurrency=5, ordered=ordered))
    assert sorted(text_of(result) for result in found) == sorted(f"said {number}" for number in range(100))
    assert not ordered or [result.index for result in found] == list(range(100))
    assert inputs.threads == {threading.get_ident()}


def test_sync_inputs_are_read_as_there_is_room() -> None:
    inputs = Counted(1000)
    with Client(handlers={"mine": Handler()}) as client:
        with client.map("mine/m", iter(inputs), concurrency=3) as results:
            for taken, _ in enumerate(results, start=1):
                assert inputs.read <= 6 + taken
                if taken == 50:
                    break
        with pytest.raises(RuntimeError, match="were left"):
            next(results)


def test_sync_results_are_raised_where_asked() -> None:
    def broken() -> Iterator[str]:
        yield "a"
        raise KeyError("the source broke")

    with Client(handlers={"mine": Handler()}) as client:
        with pytest.raises(tokenwire.BadRequestError, match="bad is bad"):
            list(client.map("mine/m", ["bad"], on_error="raise"))
        results = client.map("mine/m", broken())
        assert text_of(next(results)) == "said a"
        with pytest.raises(KeyError):
            next(results)
        with pytest.raises(TypeError, match="sync results"):
            aiter(results)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]


def test_sync_streams() -> None:
    with Endpoint(lambda _: Reply(events=chunks("Hello there", size=3))) as endpoint:
        with Client(api_base=endpoint.url, api_key="k") as client:
            streams = [result.response for result in client.map("openai/m", ["a", "b", "c"], stream=True)]
            said = ["".join(chunk.choices[0].delta.content or "" for chunk in stream) for stream in streams if stream]
    assert said == ["Hello there"] * 3


def test_dropped_in_the_middle_it_cancels_what_is_under_way() -> None:
    handler = Handler(held=True)
    ended = threading.Event()

    async def slow(messages: Any, **_: Any) -> str:
        if messages[-1]["content"] == "0":
            return "Hello"
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()
        raise AssertionError

    with Client(handlers={"mine": slow}) as client:
        results = client.map("mine/m", ["0", "1"], concurrency=2)
        next(results)
        del results
        gc.collect()
        assert ended.wait(PATIENCE)
    assert handler.begun == []


# LiteLLM's.


@pytest.mark.anyio
async def test_batch_completion_returns_a_list_with_the_exceptions_in_it() -> None:
    conversations = [[{"role": "user", "content": text}] for text in ("a", "bad", "c")]
    async with AsyncClient(handlers={"mine": Handler()}) as client:
        first, failed, last = await client.abatch_completion("mine/m", conversations, temperature=0.5, max_workers=2)
        assert await client.abatch_completion("mine/m", []) == []
        for nonsense in ({"messages": "Hi"}, {"messages": None}, {"messages": conversations, "stream": True}):
            with pytest.raises(tokenwire.BadRequestError):
                await client.abatch_completion("mine/m", **nonsense)  # pyright: ignore[reportArgumentType]
    assert isinstance(first, tokenwire.ModelResponse)
    assert isinstance(last, tokenwire.ModelResponse)
    assert (first.choices[0].message.content, last.choices[0].message.content) == ("said a", "said c")
    assert isinstance(failed, tokenwire.BadRequestError)


def test_batch_completion_from_sync_code() -> None:
    with Endpoint(Reply(json=completion("Hello"))) as endpoint:
        answers = tokenwire.batch_completion(
            model="openai/m", messages=[[{"role": "user", "content": "Hi"}]] * 3, api_base=endpoint.url, api_key="k"
        )
    assert [answer.choices[0].message.content for answer in answers if isinstance(answer, tokenwire.ModelResponse)] == [
        "Hello"
    ] * 3
