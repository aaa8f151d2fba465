"""A clock that stands still until a test moves it.

While it is open it replaces `time.monotonic` and the clocks and timers of asyncio's and uvloop's loops. A trio run is
given it as its clock. Sockets and threads remain real.

It advances from timer to timer, each time when every loop is idle: nothing is ready to run, and polling the sockets found
nothing. Data written to a loopback socket is found by that; the result of a thread may not be.
"""

import asyncio
import heapq
import itertools
import math
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from contextvars import Context
from typing import TYPE_CHECKING, Any, Self, TypeAlias
from unittest import mock

import anyio.lowlevel
import anyio.to_thread

if TYPE_CHECKING:
    from trio.abc import Clock
    from trio.lowlevel import TrioToken
else:
    Clock = object  # trio needs no base class, and need not be installed

PATIENCE = 30.0  # real seconds within which a loop must become idle, also on a busy machine
ROUNDING = 1e-9  # seconds: 19.999 + 0.001 may be slightly less than 20, but a timer for 20 must fire
IDLE_TURNS = 3  # so many consecutive iterations of a loop without work, each of which polls the sockets, mean that it is idle

_Loop: TypeAlias = asyncio.AbstractEventLoop
_Callback: TypeAlias = Callable[..., object]

_one_at_a_time = threading.Lock()


class FakeClock(Clock):
    """Time that passes only by `advance`, in the whole process: for every thread, and every asyncio or uvloop loop.

        with FakeClock() as clock, Endpoint(Reply(delay=60)) as endpoint:
            async with anyio.create_task_group() as group:
                group.start_soon(call_that_waits_for_30_seconds)
                await endpoint.await_silence()
                await clock.aadvance(30)  # and it has timed out

    Open it before the timers that are to follow it: older ones stay with their loops. A trio run follows the clock it is
    given: `trio.run(main, clock=clock)`. While it is not open, it returns real seconds. Timers that are left when it is
    closed keep their remaining time. Waits for threads and processes (`Endpoint.wait_until`, `threading.Event.wait`) always
    use real seconds.

    Raises:
        RuntimeError: on entering: another one is open, or the running event loop is of a kind that can't follow it.
    """

    def __init__(self) -> None:
        self._is_open = False
        self._now = 0.0  # the time while it is open
        self._ahead = 0.0  # of real time while it is not open, as trio's time must never go back
        self._patches = ExitStack()
        self._advancing = threading.Lock()
        self._timers: list[tuple[float, int, _Timer]] = []  # a heap; of timers for the same moment the older is first
        self._numbers = itertools.count()
        self._calls: dict[asyncio.AbstractEventLoop, int] = {}  # how often `call_soon` of each loop was called
        self._runs: dict[TrioToken, float] = {}  # the next deadline of each trio run, by its token

    def __enter__(self) -> Self:
        kinds, loop = _loop_types(), _running_loop()
        if loop is not None and not isinstance(loop, kinds) and loop not in self._runs:
            raise RuntimeError(f"a {type(loop).__name__} can't follow this clock; pass it to a trio run as clock=clock")
        if not _one_at_a_time.acquire(blocking=False):
            raise RuntimeError("another FakeClock is open: there can be only one in a process")
        self._patches.callback(_one_at_a_time.release)
        self._now, self._is_open = self.current_time(), True
        self._patches.enter_context(mock.patch.object(time, "monotonic", self.current_time))
        for kind in kinds:
            self._patches.enter_context(mock.patch.multiple(kind, **self._methods(kind.call_soon)))
        return self

    def __exit__(self, *_: object) -> None:
        self._patches.close()
        self._is_open, self._ahead = False, self._now - time.monotonic()
        for at, _number, timer in self._timers:
            timer.post(timer.loop.call_later, at - self._now, timer.run)
        for token in self._runs:
            _rest_on_trio(token)  # makes the run read the clock again
        self._timers, self._calls = [], {}

    def advance(self, seconds: float) -> None:
        """Let time pass: timers that are due fire, each at its time; then wait until every loop is idle.

        Args:
            seconds: how much time passes; 0 only waits until every loop is idle.

        Raises:
            ValueError: `seconds` is negative, or not finite.
            RuntimeError: the clock is not open; or this thread has an event loop, which needs `aadvance`.
            TimeoutError: a loop did not become idle in 30 real seconds: it is blocked, or something in it never waits.
        """
        if not 0 <= seconds < math.inf:
            raise ValueError(f"seconds must be a finite number, 0 or more, not {seconds!r}")
        if _running_loop() is not None:
            raise RuntimeError("advance would block the event loop that it moves: await clock.aadvance(...)")
        with self._advancing:
            if not self._is_open:
                raise RuntimeError("a clock can be moved only inside its with block")
            until = self._now + seconds
            self._rest()
            while (
                at := min([*(at for at, _, _ in self._timers[:1]), *self._runs.values()], default=math.inf)
            ) <= until + ROUNDING:
                self._now = max(at, self._now)
                while self._timers and self._timers[0][0] <= self._now:
                    timer = heapq.heappop(self._timers)[2]
                    timer.post(timer.run)
                self._rest()  # trio itself finds the tasks that are due
            self._now = max(self._now, until)

    async def aadvance(self, seconds: float) -> None:
        """`advance` for async code. If cancelled, it still completes first, which takes a moment."""
        await anyio.to_thread.run_sync(self.advance, seconds)

    def start_clock(self) -> None:
        """For trio: called when a run begins."""
        self.deadline_to_sleep_time(math.inf)

    def current_time(self) -> float:
        """Seconds; while the clock is open, `time.monotonic` returns the same."""
        return self._now if self._is_open else time.monotonic() + self._ahead

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """For trio: how many real seconds a run may sleep."""
        from trio.lowlevel import current_trio_token

        self._runs[current_trio_token()] = deadline
        if not self._is_open:
            return deadline - self.current_time()
        return 0 if deadline <= self._now else math.inf

    def _methods(self, call_soon: Callable[..., Any]) -> dict[str, Any]:
        """The methods that replace a loop's own."""

        def counted(loop: _Loop, callback: _Callback, *args: object, context: Context | None = None) -> object:
            self._calls[loop] = self._calls.get(loop, 0) + 1
            return call_soon(loop, callback, *args, context=context)

        def call_at(loop: _Loop, when: float, callback: _Callback, *args: object, context: Context | None = None) -> "_Timer":
            timer = _Timer(when, callback, args, loop, context)
            heapq.heappush(self._timers, (when, next(self._numbers), timer))
            return timer

        def call_later(
            loop: _Loop, delay: float, callback: _Callback, *args: object, context: Context | None = None
        ) -> "_Timer":
            return call_at(loop, self._now + delay, callback, *args, context=context)

        return {"time": lambda loop: self._now, "call_soon": counted, "call_at": call_at, "call_later": call_later}

    def _rest(self) -> None:
        """Wait until every loop is idle; repeated if an asyncio loop had work, as that may have woken others."""
        before: dict[_Loop, int] | None = None
        while before != self._calls:
            before = dict(self._calls)
            for token in list(self._runs):
                self._runs[token] = math.inf  # overwritten by a run that has not ended
                _wait(_rest_on_trio(token))
            for loop in before:
                if loop.is_running():
                    rested = threading.Event()
                    loop.call_soon_threadsafe(self._check, loop, rested, -1, 0)
                    _wait(rested, loop.is_running)

    def _check(self, loop: asyncio.AbstractEventLoop, rested: threading.Event, calls: int, idle: int) -> None:
        """Check a loop in each iteration, until it is idle or the wait has ended."""
        idle = idle + 1 if self._calls.get(loop) == calls else 0  # not counted if the clock was closed meanwhile
        if idle == IDLE_TURNS:
            rested.set()
        elif not rested.is_set():
            loop.call_soon_threadsafe(self._check, loop, rested, self._calls.get(loop, 0), idle)


class _Timer(asyncio.TimerHandle):
    """A timer kept by the clock, not by its loop."""

    def __init__(
        self, when: float, callback: _Callback, args: tuple[object, ...], loop: _Loop, context: Context | None
    ) -> None:
        super().__init__(when, callback, args, loop, context)
        self.loop = loop

    def post(self, callback: _Callback, *args: object) -> None:
        with suppress(RuntimeError):  # the loop is closed
            self.loop.call_soon_threadsafe(callback, *args)

    def run(self) -> None:
        if not self.cancelled():
            self._run()

    def cancel(self) -> None:
        asyncio.Handle.cancel(self)  # without notifying the loop


def _rest_on_trio(token: "TrioToken") -> threading.Event:
    """An event that is set when the run is idle, or has ended."""
    import trio.testing

    rested = threading.Event()

    async def rest() -> None:
        try:
            await trio.testing.wait_all_tasks_blocked()
        finally:
            rested.set()

    def begin() -> None:
        try:
            trio.lowlevel.spawn_system_task(rest)
        except RuntimeError:  # the run has ended
            rested.set()

    try:
        token.run_sync_soon(begin)
    except trio.RunFinishedError:
        rested.set()
    return rested


def _wait(rested: threading.Event, is_running: Callable[[], bool] = lambda: True) -> None:
    for _ in range(round(PATIENCE / 0.1)):
        if rested.wait(0.1) or not is_running():
            return
    rested.set()
    raise TimeoutError(f"an event loop did not become idle in {PATIENCE} s: it is blocked, or something in it never waits")


def _running_loop() -> object:
    """This thread's asyncio loop, or the token of its trio run, or None."""
    try:
        return anyio.lowlevel.current_token().native_token
    except RuntimeError:
        return None


def _loop_types() -> tuple[Any, ...]:
    try:
        from uvloop import Loop
    except ImportError:
        return (asyncio.BaseEventLoop,)
    return asyncio.BaseEventLoop, Loop
