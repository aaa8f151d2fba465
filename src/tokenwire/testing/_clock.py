"""A clock that stands still until a test moves it.

While it is open it answers for `time.monotonic` and for asyncio's and uvloop's loops, whose timers it keeps. A trio run is
given it as its clock. Sockets and threads are as real as ever.

It goes from timer to timer, each time when every loop is at rest: nothing is ready to run, and a look at the sockets found
nothing. What was written to a loopback socket is there to be found; what a thread works on may not be.
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
    Clock = object  # trio asks for no more, and need not be installed

PATIENCE = 30.0  # real seconds in which a loop must have come to rest, on a machine with other work to do too
ROUNDING = 1e-9  # seconds: 19.999 and 0.001 more may be a little less than 20, and what waits for 20 is due all the same
QUIET_TURNS = 3  # of a loop, one after the other and a look at its sockets between them: then it is at rest

_Loop: TypeAlias = asyncio.AbstractEventLoop
_Callback: TypeAlias = Callable[..., object]

_one_at_a_time = threading.Lock()


class FakeClock(Clock):
    """Time that passes when `advance` says so, in the whole process: for every thread, and every asyncio or uvloop loop.

        with FakeClock() as clock, Endpoint(Reply(delay=60)) as endpoint:
            async with anyio.create_task_group() as group:
                group.start_soon(call_that_waits_for_30_seconds)
                await endpoint.await_silence()
                await clock.aadvance(30)  # and it has timed out

    Open it before what is to follow it: older timers are left to their loops. A trio run follows the clock it is given:
    `trio.run(main, clock=clock)`. When it is not open, it tells real seconds. Timers that are left when it is closed have
    as long to go as they had then. What waits for threads and processes (`Endpoint.wait_until`, `threading.Event.wait`)
    always counts real seconds.

    Raises:
        RuntimeError: when it is opened: another one is open, or the event loop around it can't follow.
    """

    def __init__(self) -> None:
        self._is_open = False
        self._now = 0.0  # while it is open
        self._ahead = 0.0  # of the real time, while it is not: trio's time never goes back
        self._patches = ExitStack()
        self._advancing = threading.Lock()
        self._timers: list[tuple[float, int, _Timer]] = []  # a heap; of those for one moment the older is first
        self._numbers = itertools.count()
        self._calls: dict[asyncio.AbstractEventLoop, int] = {}  # how often each was asked to call something soon
        self._runs: dict[TrioToken, float] = {}  # trio's next deadlines, by the tokens of its runs

    def __enter__(self) -> Self:
        kinds, loop = _loop_types(), _running_loop()
        if loop is not None and not isinstance(loop, kinds) and loop not in self._runs:
            raise RuntimeError(f"a {type(loop).__name__} can't follow this clock; a trio run must be given it: clock=clock")
        if not _one_at_a_time.acquire(blocking=False):
            raise RuntimeError("another FakeClock is open, and there is one time for all")
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
            _rest_on_trio(token)  # it looks at the clock again
        self._timers, self._calls = [], {}

    def advance(self, seconds: float) -> None:
        """Let time pass: what is due within it happens, each at its time, and then every loop comes to rest.

        Args:
            seconds: how far to go; 0 only lets every loop come to rest.

        Raises:
            ValueError: `seconds` is negative, or not finite.
            RuntimeError: the clock is not open; or this thread has an event loop, which needs `aadvance`.
            TimeoutError: a loop did not come to rest in 30 real seconds: it is blocked, or something in it never waits.
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
                self._rest()  # trio finds by itself what is due
            self._now = max(self._now, until)

    async def aadvance(self, seconds: float) -> None:
        """`advance` for async code. Cancelled, it goes all the way first, which takes a moment."""
        await anyio.to_thread.run_sync(self.advance, seconds)

    def start_clock(self) -> None:
        """For trio: a run begins."""
        self.deadline_to_sleep_time(math.inf)

    def current_time(self) -> float:
        """Seconds, as `time.monotonic` has them while the clock is open."""
        return self._now if self._is_open else time.monotonic() + self._ahead

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """For trio: how many real seconds a run may sleep."""
        from trio.lowlevel import current_trio_token

        self._runs[current_trio_token()] = deadline
        if not self._is_open:
            return deadline - self.current_time()
        return 0 if deadline <= self._now else math.inf

    def _methods(self, call_soon: Callable[..., Any]) -> dict[str, Any]:
        """What a loop has in place of its own."""

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
        """Wait until every loop is at rest; again where asyncio's had something to do, which may have woken others."""
        before: dict[_Loop, int] | None = None
        while before != self._calls:
            before = dict(self._calls)
            for token in list(self._runs):
                self._runs[token] = math.inf  # a run that has not ended says something else
                _wait(_rest_on_trio(token))
            for loop in before:
                if loop.is_running():
                    rested = threading.Event()
                    loop.call_soon_threadsafe(self._look, loop, rested, -1, 0)
                    _wait(rested, loop.is_running)

    def _look(self, loop: asyncio.AbstractEventLoop, rested: threading.Event, calls: int, quiet: int) -> None:
        """Look at a loop once a turn, until it is at rest or nobody waits for that."""
        quiet = quiet + 1 if self._calls.get(loop) == calls else 0  # none, when the clock is closed meanwhile
        if quiet == QUIET_TURNS:
            rested.set()
        elif not rested.is_set():
            loop.call_soon_threadsafe(self._look, loop, rested, self._calls.get(loop, 0), quiet)


class _Timer(asyncio.TimerHandle):
    """A timer of which its loop does not know."""

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
        asyncio.Handle.cancel(self)  # without telling the loop


def _rest_on_trio(token: "TrioToken") -> threading.Event:
    """Set when the run is at rest, or has ended."""
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
        except RuntimeError:  # too late
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
    raise TimeoutError(f"an event loop did not come to rest in {PATIENCE} s: it is blocked, or something in it never waits")


def _running_loop() -> object:
    """This thread's: a loop, the token of a trio run, or None."""
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
