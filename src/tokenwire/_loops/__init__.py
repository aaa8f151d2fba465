"""The event loops by name: asyncio (uvloop is one) and trio. Everything above runs on anyio, or on what is here.

Lives here: sockets (`sockets`), a flag that one task waits for (`flag`), and waits in a handler's code that a deadline or
another task can end (`waiting`), for the loop that is running. All of them take a deadline as `clock` counts, which is the
only place that knows what it counts on. A loop's modules are imported when they are first needed: a program that only uses
handlers loads no sockets.
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
        """Wait until what was written is sent, or will be.

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
        """Close, where nobody has it any more who could wait for it. Safe in any thread, and in a finalizer."""
        ...

    def call_soon(self, callback: Callable[[], object]) -> None:
        """Have the event loop call this soon. Safe in any thread, and in a finalizer."""
        ...

    def extra_info(self, name: str) -> object:
        """By httpcore's names: "socket", "ssl_object", "server_addr", "client_addr"."""
        ...


class Waiting(Protocol):
    """`with waiting.until(deadline): await ...`, one wait after another, in any task; each is a cancel scope.

    Attributes:
        interrupted: whether the latest wait was ended from outside, which its task does not see.
    """

    interrupted: bool

    def until(self, deadline: float) -> AbstractContextManager[None, bool | None]:
        """The next wait, which ends when `clock` reaches `deadline`."""
        ...

    def move(self, deadline: float) -> None:
        """The wait that is on ends at another time."""
        ...

    def interrupt(self) -> None:
        """End the wait, if there is one."""
        ...

    def close(self) -> None:
        """No wait follows."""
        ...


def caller() -> Callable[[Callable[[], object]], object]:
    """What has the running event loop call a function soon: safe in any thread, and in a finalizer.

    It raises RuntimeError once the loop has ended.
    """
    token: Any = lowlevel.current_token().native_token
    # Both loops' own function for this: anyio's waits until the loop has come round, and for ever if it never does.
    return getattr(token, "run_sync_soon", None) or token.call_soon_threadsafe


def on_trio() -> bool:
    """Whether the running event loop is trio's."""
    return asyncio_loop() is None and lowlevel.current_token().backend_class.__module__.endswith("_trio")


def asyncio_loop() -> Any:
    """The loop of the asyncio task that runs this; None elsewhere, so on trio. Ten times as fast as asking anyio."""
    asyncio = sys.modules.get("asyncio")
    try:
        task = None if asyncio is None else asyncio.current_task()
    except RuntimeError:  # no loop of asyncio's runs here
        return None
    return None if task is None else task.get_loop()


def is_being_cancelled() -> bool:
    """Whether somebody cancels the asyncio task that runs this, by a cancel scope or by itself. True elsewhere, so on trio: there,
    nothing but that raises `Cancelled`."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is None or asyncio_loop() is None:
        return True
    return asyncio.current_task().cancelling() > 0


def clock() -> Callable[[], float]:
    """What deadlines count on in the task that runs this: `time.monotonic`, or the loop's own clock where that is another.

    A loop of asyncio's has its timers fire by its `time()`, which may begin anywhere and go at any pace.
    """
    asyncio = sys.modules.get("asyncio")
    loop = None if asyncio is None else asyncio._get_running_loop()
    if loop is None or _is_monotonic(type(loop)) or asyncio_loop() is None:  # a guest run of trio's may be on a loop
        return time.monotonic
    return loop.time


def now() -> float:
    """The time by `clock`, for those who ask once."""
    return clock()()


@cache
def _is_monotonic(kind: Any) -> bool:
    """Whether loops of this class tell the time by `time.monotonic`, which is faster to ask, and never behind their work."""
    known = [sys.modules["asyncio"].BaseEventLoop, getattr(sys.modules.get("uvloop"), "Loop", None)]
    return any(kind.time is loop.time for loop in known if loop is not None)


def sockets():
    """The sockets of the event loop that is running: the module whose `connect` opens one."""
    if on_trio():
        from . import trio_sockets

        return trio_sockets
    from . import asyncio_sockets

    return asyncio_sockets


def flag():
    """A flag that is set once and that one task waits for, in the event loop that is running."""
    return _waits(on_trio()).Flag()


def waiting() -> Waiting:
    """A `Waiting` for the event loop that is running."""
    return _waits(on_trio()).Waiting()


@cache
def _waits(trio: bool) -> Any:
    """The module of waits; an import statement would look for it each time."""
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
    """What `work` returns; None where `watch`, which runs beside it, returned first: then the work was cancelled.

    The watch begins when the work first waits for something, and is cancelled, and over, when this returns.

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
