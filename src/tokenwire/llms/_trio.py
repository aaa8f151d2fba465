"""A wait in a handler's code that a deadline or another task can end, on trio, whose cancel scopes are cheap."""

import time
from types import TracebackType

import trio


class Waiting:
    """See the asyncio room's `Waiting`."""

    __slots__ = ("_deadline", "_scope", "interrupted")

    def __init__(self) -> None:
        self._deadline = trio.current_time()
        self._scope: trio.CancelScope | None = None
        self.interrupted: bool = False

    @property
    def is_on(self) -> bool:
        """Whether somebody waits."""
        return self._scope is not None

    def until(self, deadline: float) -> "Waiting":
        """The next wait, which ends when `time.monotonic()` comes to `deadline`."""
        self._deadline = trio.current_time() + (deadline - time.monotonic())
        return self

    def __enter__(self) -> None:
        self._scope = trio.CancelScope(deadline=self._deadline)
        self._scope.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        scope, self._scope = self._scope, None
        if scope is None:
            return False
        swallowed = scope.__exit__(kind, error, traceback)
        self.interrupted = scope.cancel_called
        return swallowed

    def interrupt(self) -> None:
        """End the wait, if there is one."""
        if self._scope is not None:
            self._scope.cancel()

    def close(self) -> None:
        """No wait follows."""
