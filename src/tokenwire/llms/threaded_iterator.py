"""Runs sync handlers outside the event loop: a call in a worker thread, or an iterator in its own thread.

A handler's iterator runs in one thread from its first item to its last, and fills a bounded buffer. The event loop takes
all items in it at once, so a burst of items costs a single wake-up.
"""

import contextvars
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import anyio
from anyio import lowlevel, to_thread

from .._loops import scheduler

T = TypeVar("T")

HIGH_WATER = 1024  # the most items in the buffer
MAX_THREADS = 512  # concurrent calls of sync handlers, per event loop

_limiter: lowlevel.RunVar[anyio.CapacityLimiter] = lowlevel.RunVar("tokenwire_handler_threads")


async def run_in_thread(function: Callable[..., T], **kwargs: object) -> T:
    """Call a sync function in a worker thread. If cancelled, this returns at once, and the thread ends by itself."""
    try:
        limiter = _limiter.get()
    except LookupError:
        limiter = anyio.CapacityLimiter(MAX_THREADS)
        _limiter.set(limiter)
    return await to_thread.run_sync(lambda: function(**kwargs), abandon_on_cancel=True, limiter=limiter)


class ThreadedIterator:
    """A sync iterable, run in its own thread and read from an event loop.

    Args:
        items: iterated, and closed at the end, only in the thread.
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
        self._call_soon = scheduler()
        context = contextvars.copy_context()
        sniffio = sys.modules.get("sniffio")  # anyio uses it if it is installed; it must not detect an event loop in the thread
        if sniffio is not None:
            context.run(sniffio.current_async_library_cvar.set, None)
        threading.Thread(target=context.run, args=(self._run,), name="tokenwire handler", daemon=True).start()

    def take(self) -> list[Any] | None:
        """All items that have arrived; an empty list when the iterator has ended, None if there are none.

        Raises:
            BaseException: the iterator's exception, after its items have been returned.
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
        """Wait until `take` would not return None."""
        with self._changed:
            if self._ready or self._finished or self._closed:
                return
            self._waiting = waiting = anyio.Event()
        await waiting.wait()

    def close(self) -> None:
        """End the thread: at once if it waits for the reader, else when the handler produces its next item."""
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
                self.close()  # the event loop has ended, and so has the reader
