"""A loop for the last calls of a process: it runs in the caller's own thread, while that waits.

Threads may outlive the main thread, and functions registered with `atexit` run after it: both may make calls when the
background loop has ended or, on Python 3.12, can no longer be started. Such a call has its own loop, which is closed when
nothing is left to run on it.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from types import TracebackType
from typing import Any, TypeVar

from anyio import lowlevel

from .portal import Portal, Work

T = TypeVar("T")


class InlinePortal(Portal):
    """A loop that runs while the thread in which it was made waits for it."""

    def start(self, function: Callable[..., Coroutine[Any, Any, T]], *args: object, **kwargs: object) -> Work[T]:
        """As `Portal.start`; the coroutine runs when it is waited for.

        Raises:
            RuntimeError: an event loop runs in this thread, which waiting would block.
        """
        if _has_running_loop():
            raise RuntimeError(
                "no thread can be started, as the process is ending, and an event loop runs in this one: use the async function"
            )
        return super().start(function, *args, **kwargs)

    def condition(self) -> "Turns":
        """See `Portal.condition`."""
        return Turns(self)

    def wait(self, future: "Future[Any]") -> None:
        """See `Portal.wait`."""
        future.add_done_callback(lambda _: self.pause())
        while not future.done():
            self.run()

    def run(self) -> None:
        """Run the loop until `pause` is called, and close it if nothing is left to run."""
        loop, self._ident = self._get(), threading.get_ident()
        try:
            loop.run_forever()
        finally:
            self._ident = 0
        if all(task.done() for task in self._works):
            self._runner.close()  # also closes the connections
            self._loop = None

    def pause(self) -> None:
        """Let `run` return."""
        if self._loop is not None:
            self._loop.stop()

    def _get(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._runner = asyncio.Runner()
            self._loop = self._runner.get_loop()
        return self._loop


class Turns:
    """Replaces a `threading.Condition`: waiting for the loop runs it."""

    def __init__(self, portal: InlinePortal) -> None:
        self._portal = portal

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        pass

    def wait(self) -> None:
        """Run the loop until it notifies."""
        self._portal.run()

    def notify_all(self) -> None:
        """End the wait."""
        self._portal.pause()


def _has_running_loop() -> bool:
    try:
        lowlevel.current_token()
    except RuntimeError:
        return False
    return True
