"""Name look-ups for asyncio and uvloop, in daemon threads.

A loop's own look-ups run in its executor. That accepts no work once the main thread has ended, although other threads may
still make calls; and at exit, the process waits for look-ups whose results nobody needs any more. The threads here end as
soon as there is no name to look up. If no thread can be started (Python 3.12 refuses once the main thread has ended), the
look-up blocks the loop, which then serves only the last calls of the process.
"""

import asyncio
import os
import socket
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

MOST_THREADS = 16


class Resolver:
    """Runs look-ups one after another, in as many threads as there are look-ups, up to `MOST_THREADS`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queue: deque[Callable[[], object]] = deque()
        self._threads = 0

    def start(self, look_up: Callable[[], object]) -> None:
        """Run a look-up in a thread. `look_up` must not raise."""
        with self._lock:
            self._queue.append(look_up)
            if self._threads == MOST_THREADS:
                return
            self._threads += 1
        try:
            threading.Thread(target=self._work, name="tokenwire resolver", daemon=True).start()
        except RuntimeError:  # no thread can be started
            self._work()

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._queue:
                    self._threads -= 1
                    return
                look_up = self._queue.popleft()
            look_up()


_resolver = Resolver()


def _forget_threads() -> None:
    """After a fork, in the child: the parent's threads do not exist here, and their lock may be held for ever."""
    global _resolver
    _resolver = Resolver()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)


async def addresses_of(host: str, port: int) -> list[Any]:
    """A name's addresses, as `socket.getaddrinfo` gives them, for the asyncio loop that is running.

    Raises:
        OSError: it has none.
        UnicodeError: it cannot be a name.
    """
    loop = asyncio.get_running_loop()
    found: asyncio.Future[list[Any]] = loop.create_future()

    def look_up() -> None:
        try:
            settle = partial(found.set_result, socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except Exception as error:  # noqa: BLE001  (raised again where the future is awaited)
            settle = partial(found.set_exception, error)
        try:
            loop.call_soon_threadsafe(lambda: found.done() or settle())
        except RuntimeError:
            pass  # the loop is closed, so no task waits

    _resolver.start(look_up)
    return await found
