"""Many calls to one model: `AsyncClient.amap` and `Client.map`.

How it works. As many tasks as calls may run at the same time each make one call after the other; a task takes its next input
itself, and ends if there is none or no room. Room is limited: there are never more than twice the concurrency of calls that have
begun and whose results have not been taken, in whatever order the results arrive. Taking a result makes room, and so begins
another call. No input is read before there is room for it.

An async iterable is read by its own task, the reader, since a generator must be closed in the task that entered it. All
tasks belong to the task group that `async with` holds; nothing is held between two results.
"""

import time
import weakref
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping
from enum import Enum
from types import TracebackType
from typing import Any, Generic, NoReturn, TypeVar, cast

import anyio
from anyio.abc import TaskGroup

from .. import _loops
from .._calls.stream import AsyncStream, when_over
from .._reading import FOREVER
from ..exceptions import APIError, TokenwireError, refused, wrong
from ..types.attempts import Result, Timings

R = TypeVar("R", covariant=True)

CONCURRENCY = 64  # calls at the same time, by default
CLOSE_SECONDS = 5.0  # for the clean-up of an input that is closed early

Inputs = Iterable[Any] | AsyncIterable[Any]


class _State(Enum):
    NEW = "new"
    OPEN = "open"
    LEFT = "left"


class Results(Generic[R]):
    """The results of many calls: `async with client.amap(...) as results: async for result in results`.

    Leaving the block ends everything: calls in flight are cancelled, open streams are closed. One task at a
    time may iterate. Iterating raises the errors listed here, and those of reading the inputs, after the results of all
    inputs read before.

    Attributes:
        room: how many calls may have begun without their results being taken.
        raises: whether a call's error is raised.

    Raises:
        APIError: a call's, with `on_error="raise"`; the calls in flight continue, and so can the iteration.
        RuntimeError: not inside of the `async with` block.
    """

    def __init__(
        self,
        ask: Callable[[int, Any], Awaitable[R]],
        inputs: Inputs,
        *,
        concurrency: int,
        ordered: bool,
        on_error: str,
    ) -> None:
        self._ask = ask
        self._concurrency = checked_concurrency(concurrency)
        self.room: int = 2 * concurrency
        self._source: AsyncIterable[Any] | None = None
        self._inputs = self._iterator_of(inputs)
        self.raises: bool = _checked_on_error(on_error)
        self._in_order: dict[int, Result[R]] | None = (
            {} if _checked_ordered(ordered) else None
        )  # results that arrived early, by index
        self._state = _State.NEW
        self._group: TaskGroup | None = None
        self._ready: deque[Result[R]] = deque()
        self._arrived: deque[Any] = deque()  # inputs read by the reader of an async iterable
        self._begun = self._made = self._taken = self._sorted = self._working = 0
        self._failure: BaseException | None = None  # the error of reading the inputs
        self._reading = False  # whether the reader is running
        self._changed: anyio.Event | None = None  # the iterating task waits for it
        self._made_room: anyio.Event | None = None  # the reader waits for it

    async def __aenter__(self) -> "Results[R]":
        if self._state is not _State.NEW:
            raise RuntimeError("these results were entered before: call amap again")
        self._state = _State.OPEN
        self._group = anyio.create_task_group()
        await self._group.__aenter__()
        if self._source is not None:
            self._reading = True
            self._group.start_soon(self._read, self._source)
        self._begin_calls()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._state = _State.LEFT
        group, self._group = self._group, None
        assert group is not None
        group.cancel_scope.cancel()
        # The block's own exception is not passed to the task group, which would wrap it in an exception group.
        await group.__aexit__(None, None, None)
        self._ready.clear()

    @property
    def in_flight(self) -> int:
        """The calls in flight."""
        return self._working

    def __aiter__(self) -> "Results[R]":
        return self

    def __iter__(self) -> NoReturn:
        raise TypeError("these are async results: use 'async for', or the sync function map")

    async def __anext__(self) -> Result[R]:
        if self._state is not _State.OPEN:
            was = "left" if self._state is _State.LEFT else "not entered"
            raise RuntimeError(f"these results were {was}: use 'async with client.amap(...) as results'")
        while not self._ready:
            if self._inputs is None and not self._reading and self._begun == self._made:
                self._end()
            await self._wait()
        result = self._ready.popleft()
        self._taken += 1
        self._begin_calls()
        if result.error is not None and self.raises:
            raise result.error
        return result

    def __repr__(self) -> str:
        return f"<Results {self._state.value}: {self._taken} taken, {self._begun - self._taken} in flight>"

    def alongside(self, function: Callable[..., Coroutine[Any, Any, object]], *args: object) -> None:
        """Run a function concurrently with the calls, until the block is left."""
        assert self._group is not None
        self._group.start_soon(function, *args)

    async def wait_until_over(self) -> None:
        """Wait until no call is running, and no stream is open."""
        while self._working or self._reading:
            await self._wait()

    async def _wait(self) -> None:
        self._changed = anyio.Event()
        await self._changed.wait()

    def _end(self) -> NoReturn:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        raise StopAsyncIteration

    def _iterator_of(self, inputs: Inputs) -> Iterator[Any] | None:
        if isinstance(inputs, AsyncIterable):
            self._source = inputs
            return None
        if isinstance(inputs, str | bytes | Mapping) or not isinstance(inputs, Iterable):
            raise wrong("inputs", "an iterable or async iterable of prompts, message lists or dicts of keywords", inputs)
        return iter(inputs)

    def _begin_calls(self) -> None:
        """Start tasks for the calls that may begin now."""
        assert self._group is not None
        while self._working < self._concurrency and (found := self._next()) is not None:
            self._working += 1
            self._group.start_soon(self._work, *found)
        if self._made_room is not None and self._has_place():
            self._made_room.set()

    def _has_place(self) -> bool:
        """Whether a call could begin now."""
        return self._working < self._concurrency and self._begun - self._taken < self.room

    def _next(self) -> tuple[int, Any] | None:
        """The next input with its number; None if there is no room, or no input to read now."""
        if self._begun - self._taken >= self.room:
            return None
        if self._arrived:
            item = self._arrived.popleft()
        elif self._inputs is None:
            return None
        else:
            try:
                item = next(self._inputs)
            except StopIteration:
                self._inputs = None
                return None
            except Exception as error:  # noqa: BLE001  (raised again where the results are read)
                self._fail(error)
                return None
        index, self._begun = self._begun, self._begun + 1
        return index, item

    async def _read(self, source: AsyncIterable[Any]) -> None:
        """Read an async iterable while there is room. A generator is closed at the end."""
        items = aiter(source)
        with anyio.CancelScope() as scope:  # entered before the generator's own scopes, which must be inside of it
            try:
                async for item in items:
                    self._arrived.append(item)
                    self._begin_calls()
                    await self._wait_for_place()
                    if self._failure is not None:
                        break
            except Exception as error:  # noqa: BLE001  (raised again where the results are read)
                self._fail(error)
            finally:
                if isinstance(items, AsyncGenerator):
                    scope.shield, scope.deadline = True, anyio.current_time() + CLOSE_SECONDS
                    await items.aclose()
                self._reading = False
                self._wake()

    async def _wait_for_place(self) -> None:
        while self._failure is None and not self._has_place():
            self._made_room = anyio.Event()
            await self._made_room.wait()

    async def _work(self, index: int, item: object) -> None:
        """Make one call after the other."""
        found: tuple[int, Any] | None = (index, item)
        try:
            while found is not None:
                await self._make(*found)
                found = self._next()
        except Exception as error:  # noqa: BLE001  (a bug, or a closed client: raised where the results are read)
            self._fail(error)
        finally:
            self._working -= 1
            self._wake()

    async def _make(self, index: int, item: object) -> None:
        started = time.monotonic()
        response: R | None = None
        error: TokenwireError | None = None
        try:
            response = await self._ask(index, item)
            attempts = cast(Any, response).attempts
        except TokenwireError as caught:
            error, attempts = caught, caught.attempts if isinstance(caught, APIError) else ()
        finally:
            self._made += 1
        timings = Timings(opened=None, first_content=None, total=time.monotonic() - started)
        if isinstance(response, AsyncStream):
            timings = response.timings
        self._deliver(Result(index=index, input=item, response=response, error=error, attempts=attempts, timings=timings))
        if isinstance(response, AsyncStream):
            over = _loops.flag()
            when_over(response, over.set_from_anywhere)
            if response.outcome is not None:
                over.set_from_anywhere()
            watched = weakref.ref(cast("AsyncStream[Any]", response), lambda _: over.set_from_anywhere())
            del response
            try:
                await over.wait(FOREVER)
            finally:
                if (left := watched()) is not None and left.outcome is None:
                    await left.aclose()

    def _deliver(self, result: Result[R]) -> None:
        if self._in_order is None:
            self._ready.append(result)
        else:
            self._in_order[result.index] = result
            while (found := self._in_order.pop(self._sorted, None)) is not None:
                self._ready.append(found)
                self._sorted += 1
        self._wake()

    def _fail(self, error: Exception) -> None:
        """Read no more inputs; calls in flight continue."""
        self._inputs = None
        self._failure = self._failure or error

    def _wake(self) -> None:
        """Wake the iterating task, and the reader if a call could begin."""
        changed, self._changed = self._changed, None
        if changed is not None:
            changed.set()
        if self._made_room is not None and (self._has_place() or self._failure is not None):
            self._made_room.set()


def asking(call: Callable[..., Awaitable[R]], model: str, params: dict[str, Any]) -> Callable[[int, Any], Awaitable[R]]:
    """A function that makes the call for an input.

    Args:
        call: makes a call from a model, messages and keywords.
        params: keywords for all calls; an input's own take precedence.
    """

    def ask(index: int, item: object) -> Awaitable[R]:
        messages, own = _parts(index, item)
        if not own:
            return call(model, messages, **params)
        keywords: dict[str, Any] = {**params, **own}
        return call(keywords.pop("model", model), messages, **keywords)

    return ask


def _parts(index: int, item: object) -> tuple[Any, dict[str, Any]]:
    """An input's messages, and its other keywords."""
    name = f"inputs[{index}]"
    if isinstance(item, str):
        return [{"role": "user", "content": item}], {}
    if isinstance(item, list | tuple):
        return item, {}
    if not isinstance(item, Mapping):
        raise wrong(name, "a str, a list of messages or a dict of keywords", item)
    own = dict(cast("Mapping[str, Any]", item))
    if "role" in own:
        raise refused("inputs", f"{name} is a single message: an input is a list of messages, [{{'role': ...}}]")
    if "stream" in own:
        raise refused("inputs", f"{name} has stream, which is set for all inputs: amap(..., stream=True)")
    prompt, messages = own.pop("prompt", None), own.pop("messages", None)
    if (prompt is None) is (messages is None):
        raise refused("inputs", f"{name} must have either messages or prompt: it has {sorted(own)}")
    return messages if prompt is None else _parts(index, prompt)[0], own


def checked_concurrency(value: object) -> int:
    """Check the number of calls that may run at the same time."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise wrong("concurrency", "a whole number, 1 or more", value)
    return value


def _checked_ordered(value: object) -> bool:
    if not isinstance(value, bool):
        raise wrong("ordered", "True or False", value)
    return value


def _checked_on_error(value: object) -> bool:
    if value not in ("return", "raise"):
        raise wrong("on_error", '"return" or "raise"', value)
    return value == "raise"
