"""The code that depends on the event loop: asyncio (uvloop included) and trio. All other code uses anyio, or this package.

Lives here: sockets (`sockets`), a flag that one task waits for (`flag`), and waits in a handler's code that a deadline or
another task can end (`waiting`), each for the running loop. Deadlines are times of `clock`; only `clock` knows which clock
that is. A loop's modules are imported when they are first needed: a program that only uses handlers loads no sockets.
"""

import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Sized
from contextlib import AbstractContextManager
from functools import cache
from typing import Any, Protocol, TypeVar

from anyio import lowlevel

from .._reading import Readable

T = TypeVar("T")


class Socket(Readable[bytes], Protocol):
    """A connected socket, which may speak TLS. `take` raises `httpx.ReadError` where the connection broke."""

    def write(self, data: bytes) -> bool:
        """Send `data`. False where not all of it could be sent at once: await `drain` before the next write.

        Raises:
            httpx.WriteError: the connection broke.
        """
        ...

    async def drain(self, deadline: float) -> None:
        """Wait until all that was written is sent, or buffered by the event loop.

        Raises:
            httpx.WriteTimeout: the deadline passed first.
            httpx.WriteError: the connection broke.
        """
        ...

    def is_idle(self) -> bool:
        """Whether the connection is open and nothing has arrived on it."""
        ...

    def abort(self) -> None:
        """Close at once, without close_notify. Safe in any state; ends a wait."""
        ...

    def drop(self) -> None:
        """Close a socket that nobody refers to any more. Safe in any thread, and in a finalizer."""
        ...

    def call_soon(self, callback: Callable[[], object]) -> None:
        """Schedule `callback` on the event loop. Safe in any thread, and in a finalizer."""
        ...

    def extra_info(self, name: str) -> object:
        """Details by httpcore's names: "socket", "ssl_object", "server_addr", "client_addr"."""
        ...


class Waiting(Protocol):
    """`with waiting.until(deadline): await ...`, one wait after another, in any task; each is a cancel scope.

    Attributes:
        interrupted: whether the latest wait was ended by its deadline or by `interrupt`; the wait itself ends without an error.
    """

    interrupted: bool

    def until(self, deadline: float) -> AbstractContextManager[None, bool | None]:
        """The next wait, which ends when `clock` reaches `deadline`."""
        ...

    def move(self, deadline: float) -> None:
        """Change the deadline of the current wait."""
        ...

    def interrupt(self) -> None:
        """End the current wait, if there is one."""
        ...

    def close(self) -> None:
        """Release the timer: no more waits follow."""
        ...


def scheduler() -> Callable[[Callable[[], object]], object]:
    """A function that schedules a call on the running event loop. Safe in any thread, and in a finalizer.

    It raises RuntimeError once the loop has ended.
    """
    token: Any = lowlevel.current_token().native_token
    # The loops' own functions: anyio's blocks until the loop has made the call, and for ever if it never does.
    return getattr(token, "run_sync_soon", None) or token.call_soon_threadsafe


def on_trio() -> bool:
    """Whether the running event loop is trio's."""
    return asyncio_loop() is None and lowlevel.current_token().backend_class.__module__.endswith("_trio")


def asyncio_loop() -> Any:
    """The loop of the current asyncio task; None outside of one, and on trio. Ten times as fast as asking anyio."""
    asyncio = sys.modules.get("asyncio")
    try:
        task = None if asyncio is None else asyncio.current_task()
    except RuntimeError:  # no asyncio loop runs in this thread
        return None
    return None if task is None else task.get_loop()


def is_being_cancelled() -> bool:
    """Whether the current asyncio task is being cancelled, by a cancel scope or by `Task.cancel`.

    Always True on trio, where `Cancelled` is raised for no other reason.
    """
    asyncio = sys.modules.get("asyncio")
    if asyncio is None or asyncio_loop() is None:
        return True
    return asyncio.current_task().cancelling() > 0


def clock() -> Callable[[], float]:
    """The clock of deadlines in the current task: `time.monotonic`, or the loop's own clock if that is another one.

    An asyncio loop fires its timers by its `time()`, which may start anywhere and run at any speed.
    """
    asyncio = sys.modules.get("asyncio")
    loop = None if asyncio is None else asyncio._get_running_loop()
    if loop is None or _is_monotonic(type(loop)) or asyncio_loop() is None:  # trio in guest mode may run on a loop
        return time.monotonic
    return loop.time


def now() -> float:
    """The current time of `clock`, for code that needs it once."""
    return clock()()


@cache
def _is_monotonic(kind: Any) -> bool:
    """Whether loops of this class use `time.monotonic`, which is faster to call, and current even while the loop is busy."""
    known = [sys.modules["asyncio"].BaseEventLoop, getattr(sys.modules.get("uvloop"), "Loop", None)]
    return any(kind.time is loop.time for loop in known if loop is not None)


def sockets():
    """The socket module for the running event loop: its `connect` opens a socket."""
    if on_trio():
        from . import trio_sockets

        return trio_sockets
    from . import asyncio_sockets

    return asyncio_sockets


def flag():
    """A flag that is set once and that one task waits for, for the running event loop."""
    return _waits(on_trio()).Flag()


def waiting() -> Waiting:
    """A `Waiting` for the running event loop."""
    return _waits(on_trio()).Waiting()


@cache
def _waits(trio: bool) -> Any:
    """The module of waits, cached: an import statement would look it up each time."""
    if trio:
        from . import trio_waits

        return trio_waits
    from . import asyncio_waits

    return asyncio_waits


def run_unless(
    watch: Callable[[], Coroutine[Any, Any, None]],
    work: Callable[[], Coroutine[Any, Any, T]],
    unsent: Sized = (),
    send: Callable[[], Awaitable[bool]] | None = None,
) -> Awaitable[T | None]:
    """Run `work`, and `watch` concurrently. Returns the result of `work`, or None if `watch` returned first and so cancelled it.

    `watch` starts when `work` first waits for something, and has ended, cancelled if need be, when this returns.

    Args:
        watch, work: functions that make coroutines.
        unsent: what the work leaves for `send`; only where `sees_waits` says so.
        send: awaited before the work waits for anything while there is something in `unsent`. False cancels the work.

    Raises:
        BaseException: what the work or `send` raises.
    """
    return _waits(on_trio()).run_unless(watch, work, unsent, send)


def sees_waits() -> bool:
    """Whether `run_unless` can do something before its work waits: what a task of trio's waits for can't be put off."""
    return not on_trio()
