"""Sync handlers off the event loop: one call in a worker thread, or one iterator in a thread of its own.

A handler's iterator runs in one thread from its first item to its last, and fills a bounded buffer. The event loop
takes all that is there at once, so a burst of items costs one wake-up and not one thread hop each.
"""

import contextvars
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import anyio
from anyio import lowlevel, to_thread

from .._loops import caller

T = TypeVar("T")

HIGH_WATER = 1024  # items a handler may be ahead of its reader
MAX_THREADS = 512  # sync handlers' calls at work at once, in one event loop

_limiter: lowlevel.RunVar[anyio.CapacityLimiter] = lowlevel.RunVar("tokenwire_handler_threads")


async def run_in_thread(function: Callable[..., T], **kwargs: object) -> T:
    """Call a sync function in a worker thread; cancelled, the caller is let go at once and the thread ends by itself."""
    try:
        limiter = _limiter.get()
    except LookupError:
        limiter = anyio.CapacityLimiter(MAX_THREADS)
        _limiter.set(limiter)
    return await to_thread.run_sync(lambda: function(**kwargs), abandon_on_cancel=True, limiter=limiter)


class ThreadedIterator:
    """A sync iterable, run in a thread of its own and read from an event loop.

    Args:
        items: iterated, and at the end closed, in the thread alone.
    """

    def __init__(self, items: Iterable[Any]) -> None:
        self._items = items
        self._ready: deque[Any] = deque()
        self._changed = threading.Condition()
        self._finished = self._closed = False
        self._error: BaseException | None = None
        self._waiting: anyio.Event | None = None
        self._call_soon: Callable[[Callable[[], object]], object] | None = None

    def start(self) -> None:
        """Start the thread; call it on the event loop that will read."""
        self._call_soon = caller()
        context = contextvars.copy_context()
        sniffio = sys.modules.get("sniffio")  # anyio asks it, where it is installed: there is no event loop in the thread
        if sniffio is not None:
            context.run(sniffio.current_async_library_cvar.set, None)
        threading.Thread(target=context.run, args=(self._run,), name="tokenwire handler", daemon=True).start()

    def take(self) -> list[Any] | None:
        """All items that are there; an empty list when the iterator has ended, None while there are none.

        Raises:
            BaseException: what the iterator raised, after its items were handed out.
        """
        with self._changed:
            if self._ready:
                items = list(self._ready)
                self._ready.clear()
                self._changed.notify()
                return items
            if self._error is not None:
                raise self._error
            return [] if self._finished or self._closed else None

    async def wait(self) -> None:
        """Wait until `take` has something else to say than None."""
        with self._changed:
            if self._ready or self._finished or self._closed:
                return
            self._waiting = waiting = anyio.Event()
        await waiting.wait()

    def close(self) -> None:
        """Ask the thread to end: at once where it waits for the reader, else when the handler hands over its next item."""
        with self._changed:
            self._closed = True
            self._ready.clear()
            self._changed.notify()

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            for item in self._items:
                if not self._put(item):
                    break
            close = getattr(self._items, "close", None)
            if close is not None:
                close()
        except BaseException as caught:  # noqa: BLE001  (raised again in the reader)
            error = caught
        with self._changed:
            self._finished, self._error = True, error
            waiting, self._waiting = self._waiting, None
        self._wake(waiting)

    def _put(self, item: object) -> bool:
        with self._changed:
            while len(self._ready) >= HIGH_WATER and not self._closed:
                self._changed.wait()
            if self._closed:
                return False
            self._ready.append(item)
            waiting, self._waiting = self._waiting, None
        self._wake(waiting)
        return True

    def _wake(self, waiting: anyio.Event | None) -> None:
        if waiting is not None and self._call_soon is not None:
            try:
                self._call_soon(waiting.set)
            except RuntimeError:
                self.close()  # the event loop is gone, and the reader with it
