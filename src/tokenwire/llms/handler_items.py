"""What a handler's streaming method returned, as something to read: an async iterator, an iterator in a thread, a list.

Each is `Readable` for lists of the handler's own objects, whatever they are; what the handler raises comes out of `take`
as it is.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import Any, Protocol, TypeAlias

import anyio

from .._loops import Waiting, waiting
from .._reading import Readable, ready
from ..types._record import Record
from .handler_errors import is_handlers_own
from .threaded_iterator import ThreadedIterator

logger: logging.Logger = logging.getLogger("tokenwire")

CLOSE_SECONDS = 5.0  # how long a handler's own clean-up may take

Batch: TypeAlias = list[Any]


class Items(Readable[Batch], Protocol):
    """Items as they arrive; an empty list says that there are no more."""

    async def aclose(self) -> None:
        """End them, so that the handler's `finally` blocks run. Bounded."""
        ...


def items_of(result: object, name: str) -> Items | None:
    """The items of what the handler called `name` returned; None for what cannot be iterated."""
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
    """Whether to read a value by `async for`."""
    # What is iterable in both ways (our own `Stream` has an `__aiter__` that says so, and raises) is read as its `__next__` says.
    return hasattr(value, "__anext__") or (hasattr(value, "__aiter__") and not hasattr(value, "__next__"))


def is_stream(value: object) -> bool:
    """Whether a value is an answer in pieces, and not a whole one."""
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
    """Items that were there at once."""

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
    """The items of an async iterator, one at a time, on the reader's own task."""

    def __init__(self, iterator: AsyncIterator[Any], name: str) -> None:
        self._iterator = iterator
        self._name = name
        self._next: Batch | None = None  # an empty list at the end, which is there to stay
        self._error: BaseException | None = None
        self._waiting: Waiting = waiting()
        self._reader_left: anyio.Event | None = None
        self._close: Callable[[], Awaitable[object]] | None = getattr(iterator, "aclose", None)  # until somebody does

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
                self._next = [await anext(self._iterator)]
                return True
        except StopAsyncIteration:
            if not wait.interrupted:  # else it ended because it was told to
                self._next = []
                return True
        except BaseException as error:
            if not is_handlers_own(error):
                raise
            if not wait.interrupted:
                self._error = error
                return True
        finally:
            if self._reader_left is not None:
                self._reader_left.set()
        return False

    async def aclose(self) -> None:
        """See `Items`."""
        wait = self._waiting
        wait.close()
        close, self._close = self._close, None
        if close is None and not wait.is_on:
            return
        with anyio.move_on_after(CLOSE_SECONDS, shield=True):
            if wait.is_on:  # an iterator can't be closed before the task that waits inside it is out of it
                self._reader_left = self._reader_left or anyio.Event()
                wait.interrupt()
                await self._reader_left.wait()
            try:
                if close is not None:
                    await close()
            except Exception:  # what a handler's clean-up raises helps nobody who has left
                logger.warning("the handler %s failed to close its stream", self._name, exc_info=True)


class ThreadItems:
    """The items of an iterator, in a thread of its own."""

    def __init__(self, items: Iterable[object]) -> None:
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
        self._thread.close()  # nobody will read on
