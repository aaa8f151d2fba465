"""A wait in a handler's code that a deadline or another task can end, on asyncio and uvloop.

Each wait has a cancel scope, which handlers' own scopes, shields and task groups understand. The timer, which would cost
more than that, is there once for the whole stream: as with sockets, a deadline is a number, and the timer looks at it when
it fires.
"""

import asyncio
from types import TracebackType

import anyio

FOREVER = float("inf")


class Waiting:
    """`with waiting.until(deadline): await ...`, one wait after another, each in whatever task.

    Attributes:
        interrupted: whether the latest wait was ended from outside, which its task does not see.
    """

    __slots__ = ("_deadline", "_loop", "_scope", "_timer", "_timer_at", "interrupted")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._scope: anyio.CancelScope | None = None  # around the wait that is on
        self._deadline = FOREVER
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = FOREVER
        self.interrupted: bool = False

    @property
    def is_on(self) -> bool:
        """Whether somebody waits."""
        return self._scope is not None

    def until(self, deadline: float) -> "Waiting":
        """The next wait, which ends when `time.monotonic()` comes to `deadline`."""
        self._deadline = deadline
        if deadline < self._timer_at:
            self._arm(deadline)
        return self

    def __enter__(self) -> None:
        self._scope = anyio.CancelScope()
        self._scope.__enter__()
        self.interrupted = False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        scope, self._scope = self._scope, None
        return scope.__exit__(kind, error, traceback) if scope is not None else None

    def interrupt(self) -> None:
        """End the wait, if there is one."""
        if self._scope is not None:
            self.interrupted = True
            self._scope.cancel()

    def close(self) -> None:
        """No wait follows."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._timer_at = None, FOREVER

    def _arm(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._loop.call_at(at, self._look_at_deadline)

    def _look_at_deadline(self) -> None:
        self._timer, self._timer_at = None, FOREVER
        if self._scope is None:
            return
        if self._loop.time() >= self._deadline:
            self.interrupt()
        else:
            self._arm(self._deadline)
