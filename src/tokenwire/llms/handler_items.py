"""What a handler's streaming method returned, as a `Readable`: an async iterator, an iterator in a thread, or a list.

Each gives lists of the handler's own objects, of any kind; `take` raises the handler's exceptions unchanged.
"""

import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import Any, Protocol, TypeAlias

import anyio
from anyio import lowlevel

from .._loops import Waiting, waiting
from .._loops.steps import rest_of, steps_of
from .._reading import FOREVER, Readable, ready
from ..types._record import Record
from .blocking import BLOCKING_SECONDS, note_blocking
from .handler_errors import is_handlers_own

logger: logging.Logger = logging.getLogger("tokenwire")

CLOSE_SECONDS = 5.0  # how long a handler's own clean-up may take
MAX_SECONDS_ALONE = 0.005  # after so long without a wait in a handler, other tasks are allowed to run
MIN_SECONDS_ALONE = 0.0005  # the same if many handlers do not wait
ROUND_SECONDS = 0.02  # within which every task should run once

Batch: TypeAlias = list[Any]


class Items(Readable[Batch], Protocol):
    """Items as they arrive; an empty list at the end."""

    async def aclose(self) -> None:
        """Close the iterator, so that the handler's `finally` blocks run. Takes at most `CLOSE_SECONDS`."""
        ...


def items_of(result: object, name: str) -> Items | None:
    """The items of the result of the handler called `name`; None if it can't be iterated."""
    if isinstance(result, str | dict | Record):
        return GivenItems([result])
    if isinstance(result, list | tuple):
        return GivenItems(list(result))
    iterable: Any = result
    if is_async_iterable(result):
        return AsyncItems(aiter(iterable), name)
    if (hasattr(result, "__iter__") or hasattr(result, "__next__")) and not isinstance(result, bytes):
        return ThreadItems(iterable if hasattr(result, "__iter__") else _iterate(iterable))
    return None


def is_async_iterable(value: object) -> bool:
    """Whether to iterate a value by `async for`."""
    # A value with both `__aiter__` and `__next__` is a sync iterator: our own `Stream` has an `__aiter__` that only raises.
    return hasattr(value, "__anext__") or (hasattr(value, "__aiter__") and not hasattr(value, "__next__"))


def is_stream(value: object) -> bool:
    """Whether a value is a stream of pieces, not a whole answer."""
    return not isinstance(value, str | bytes | dict | Record) and (
        hasattr(value, "__aiter__") or hasattr(value, "__iter__") or hasattr(value, "__next__")
    )


def _iterate(iterator: Iterator[object]) -> Iterator[Any]:
    """An object that has only `__next__`, as an iterable."""
    while True:
        try:
            yield next(iterator)
        except StopIteration:
            return


class GivenItems:
    """Items that are all available at once."""

    def __init__(self, items: Batch) -> None:
        self._items = items

    def take(self) -> Batch | None:
        """See `Items`."""
        items, self._items = self._items, []
        return items

    def wait(self, deadline: float) -> Awaitable[bool]:
        """See `Items`."""
        return ready()

    async def aclose(self) -> None:
        """See `Items`."""
        self._items = []


class AsyncItems:
    """The items of an async iterator, one at a time, in the reader's own task.

    The handler's code runs step by step, to detect whether it waits for anything: if it has not waited for a while, other tasks
    of the event loop run before the next item is requested. Each wait is in a cancel scope, so that a deadline or another task
    can end it; `hand_on` has a single scope for all, as it does not return to the reader in between.
    """

    def __init__(self, iterator: AsyncIterator[Any], name: str) -> None:
        self._next_step = steps_of(iterator)
        self._iterator = iterator
        self._name = name
        self._next: Batch | None = None  # an empty list at the end, returned again by every later call
        self._error: BaseException | None = None
        self._waiting: Waiting = waiting()
        self._is_inside = False  # a step of the iterator is waiting, so it can't be closed
        self._is_closed = False
        self._alone_since = FOREVER  # when the latest series of steps without a wait began
        self._most_alone = MAX_SECONDS_ALONE
        self._reader_left: anyio.Event | None = None
        self._close: Callable[[], Awaitable[object]] | None = getattr(iterator, "aclose", None)  # None once it is closed

    def take(self) -> Batch | None:
        """See `Items`."""
        if self._error is not None:
            raise self._error
        item = self._next
        if item:
            self._next = None
        return item

    async def wait(self, deadline: float) -> bool:
        """See `Items`."""
        if self._next is not None or self._error is not None:
            return True
        wait = self._waiting
        try:
            with wait.until(deadline):
                if self._alone_since != FOREVER and time.monotonic() - self._alone_since > self._most_alone:
                    await self._let_others_run()
                began = time.monotonic()
                self._is_inside = True
                step = self._next_step()
                try:
                    waits_for = step.send(None)
                except StopIteration as done:
                    self._next = [done.value]
                    self._note_alone(began, time.monotonic())
                else:
                    self._alone_since = FOREVER
                    self._next = [await rest_of(step, waits_for)]
                return True
        except BaseException as error:
            if not is_handlers_own(error):
                raise
            if not wait.interrupted:  # else another task ended the wait
                self._note_end(error)
                return True
        finally:
            self._leave()
        return False

    async def hand_on(
        self, take: Callable[[Any], Awaitable[object] | None], clock: Callable[[], float], idle: float, until: float
    ) -> float:
        """Call `take` with each item and await its result, until it returns None: that item is left for `self.take`.

        Args:
            take: called with an item.
            clock: see `_loops.clock`.
            idle: seconds within which an item must arrive.
            until: the deadline of the whole stream.

        Returns:
            When the last item was requested. What ended it (an item, a deadline, a failure) is found by `take` and `wait`.

        Raises:
            BaseException: what `take` raises, or its result.
        """
        wait, next_step, asked_at = self._waiting, self._next_step, clock()
        try:
            with wait.until(FOREVER):
                while self._next is None and self._error is None and not self._is_closed and asked_at < until:
                    self._is_inside = True
                    step = next_step()
                    try:
                        waits_for = step.send(None)
                    except StopIteration as done:
                        item = done.value
                        self._note_alone(asked_at, clock())
                    else:
                        self._alone_since = FOREVER
                        deadline = asked_at + idle
                        wait.move(deadline if deadline < until else until)
                        item = await rest_of(step, waits_for)
                        wait.move(FOREVER)
                    self._is_inside = False
                    taken = take(item)
                    if taken is None:
                        self._next = [item]
                        break
                    await taken
                    asked_at = clock()
                    if asked_at - self._alone_since > self._most_alone:
                        await self._let_others_run()
                        asked_at = clock()
        except BaseException as error:
            if not (self._is_inside and is_handlers_own(error)):
                raise
            if not wait.interrupted:
                self._note_end(error)
        finally:
            self._leave()
        return asked_at

    async def aclose(self) -> None:
        """See `Items`."""
        wait = self._waiting
        wait.close()
        self._is_closed = True
        close, self._close = self._close, None
        if close is None and not self._is_inside:
            return
        with anyio.move_on_after(CLOSE_SECONDS, shield=True):
            if self._is_inside:  # an iterator can't be closed while another task waits in it
                self._reader_left = self._reader_left or anyio.Event()
                wait.interrupt()
                await self._reader_left.wait()
            try:
                if close is not None:
                    await close()
            except Exception:  # nobody could handle an error of the handler's clean-up
                logger.warning("the handler %s failed to close its stream", self._name, exc_info=True)

    def _leave(self) -> None:
        self._is_inside = False
        if self._reader_left is not None:
            self._reader_left.set()

    def _note_end(self, error: BaseException) -> None:
        if not isinstance(error, StopAsyncIteration):
            self._error = error
            return
        self._next = []
        if isinstance(self._iterator, AsyncGenerator):  # an ended generator is closed already
            self._close = None

    def _note_alone(self, began: float, ended: float) -> None:
        """Note a step without a wait, which began and ended at these times."""
        if self._alone_since == FOREVER:
            self._alone_since = began
        if ended - began > BLOCKING_SECONDS:
            note_blocking(self._name, ended - began)

    async def _let_others_run(self) -> None:
        """Let other tasks run once. If that takes long, other handlers may not wait either: each gets less time then."""
        began = time.monotonic()
        await lowlevel.checkpoint()
        share = ROUND_SECONDS / max(time.monotonic() - began, MIN_SECONDS_ALONE)
        self._most_alone = min(max(self._most_alone * share, MIN_SECONDS_ALONE), MAX_SECONDS_ALONE)
        self._alone_since = FOREVER


class ThreadItems:
    """The items of a sync iterator, run in its own thread."""

    def __init__(self, items: Iterable[object]) -> None:
        from .threaded_iterator import ThreadedIterator

        self._thread = ThreadedIterator(items)
        self._waiting: Waiting = waiting()
        self._thread.start()

    def take(self) -> Batch | None:
        """See `Items`."""
        return self._thread.take()

    async def wait(self, deadline: float) -> bool:
        """See `Items`."""
        with self._waiting.until(deadline):
            await self._thread.wait()
            return True
        return False

    async def aclose(self) -> None:
        """See `Items`."""
        self._thread.close()
        self._waiting.interrupt()
        self._waiting.close()

    def __del__(self) -> None:
        self._thread.close()  # no more reads follow
