"""A wait in a handler's code that a deadline or another task can end, on asyncio and uvloop.

A cancel scope for each item of a handler's stream would cost more than the item. As with sockets, a deadline is a number,
and one timer for the whole stream looks at it when it fires.
"""

import asyncio
from types import TracebackType

FOREVER = float("inf")


class Waiting:
    """`with waiting.until(deadline): await ...`, one wait after another, each in whatever task.

    Attributes:
        interrupted: whether the latest wait was ended from outside, which its task does not see.
    """

    __slots__ = ("_cancelling", "_deadline", "_loop", "_task", "_timer", "_timer_at", "interrupted")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[object] | None = None  # that waits now
        self._cancelling = 0  # how often it was asked to end before
        self._deadline = FOREVER
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = FOREVER
        self.interrupted: bool = False

    @property
    def is_on(self) -> bool:
        """Whether somebody waits."""
        return self._task is not None

    def until(self, deadline: float) -> "Waiting":
        """The next wait, which ends when `time.monotonic()` comes to `deadline`."""
        self._deadline = deadline
        if deadline < self._timer_at:
            self._arm(deadline)
        return self

    def __enter__(self) -> None:
        self._task = task = asyncio.current_task(self._loop)
        self._cancelling = task.cancelling() if task is not None else 0
        self.interrupted = False

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> bool:
        task, self._task = self._task, None
        if not self.interrupted or task is None:
            return False
        # As in asyncio.timeout: it is ours to swallow unless the task was cancelled by somebody else as well.
        return task.uncancel() <= self._cancelling and kind is not None and issubclass(kind, asyncio.CancelledError)

    def interrupt(self) -> None:
        """End the wait, if there is one."""
        if self._task is not None and not self.interrupted:
            self.interrupted = True
            self._task.cancel()

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
        if self._task is None:
            return
        if self._loop.time() >= self._deadline:
            self.interrupt()
        else:
            self._arm(self._deadline)
