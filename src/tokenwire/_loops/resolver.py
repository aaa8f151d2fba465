"""Name look-ups for asyncio and uvloop, in daemon threads.

A loop's own look-ups run in its executor. That takes no work once the main program has ended, though other threads of the
program go on and make calls; and the process waits at its end for look-ups that nobody waits for any longer. The threads
here end as soon as there is no name to look up. Where no thread can be started (Python 3.12 starts none once the main
program has ended), the look-up blocks the loop, which then serves the last calls of a process.
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
        self._asked: deque[Callable[[], object]] = deque()
        self._threads = 0

    def start(self, look_up: Callable[[], object]) -> None:
        """Have a look-up run, which raises nothing."""
        with self._lock:
            self._asked.append(look_up)
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
                if not self._asked:
                    self._threads -= 1
                    return
                look_up = self._asked.popleft()
            look_up()


_resolver = Resolver()


def _forget_threads() -> None:
    """In the child of a fork: the parent's threads do not run here, and their lock may be held for ever."""
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
        except Exception as error:  # noqa: BLE001  (raised again where the name is waited for)
            settle = partial(found.set_exception, error)
        try:
            loop.call_soon_threadsafe(lambda: found.done() or settle())
        except RuntimeError:
            pass  # the loop is closed, and nobody waits

    _resolver.start(look_up)
    return await found
