"""Waits that end at a deadline, on trio, whose cancel scopes are cheap: for a flag, and in a handler's code."""

import time
from collections.abc import Callable, Coroutine, Sized
from types import TracebackType
from typing import Any, TypeVar

import trio

from .._reading import FOREVER

T = TypeVar("T")


def scope_until(deadline: float) -> trio.CancelScope:
    """A cancel scope that ends when `time.monotonic()` reaches `deadline`; trio's clock may start at another value."""
    return trio.CancelScope(deadline=trio.current_time() + deadline - time.monotonic())


class Flag:
    """See `asyncio_waits.Flag`."""

    __slots__ = ("_event", "_token")

    def __init__(self) -> None:
        self._event = trio.Event()
        self._token = trio.lowlevel.current_trio_token()

    def set(self) -> None:
        """End the wait."""
        self._event.set()

    def set_from_anywhere(self) -> None:
        """End the wait, from any thread."""
        try:
            self._token.run_sync_soon(self._event.set, idempotent=True)
        except trio.RunFinishedError:  # no task waits
            pass

    async def wait(self, deadline: float) -> bool:
        """Wait until it is set; False when `deadline` passed first."""
        with scope_until(deadline):
            await self._event.wait()
        return self._event.is_set()


class Waiting:
    """See `_loops.Waiting`."""

    __slots__ = ("_deadline", "_scope", "interrupted")

    def __init__(self) -> None:
        self._deadline = FOREVER
        self._scope: trio.CancelScope | None = None
        self.interrupted: bool = False

    def until(self, deadline: float) -> "Waiting":
        """The next wait, which ends when `clock` reaches `deadline`."""
        self._deadline = deadline
        return self

    def __enter__(self) -> None:
        self._scope = scope_until(self._deadline)
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

    def move(self, deadline: float) -> None:
        """Change the deadline of the current wait."""
        if self._scope is not None:
            self._scope.deadline = trio.current_time() + deadline - time.monotonic()

    def interrupt(self) -> None:
        """End the current wait, if there is one."""
        if self._scope is not None:
            self._scope.cancel()

    def close(self) -> None:
        """Does nothing: there is no timer to release."""


async def run_unless(
    watch: Callable[[], Coroutine[Any, Any, None]],
    work: Callable[[], Coroutine[Any, Any, T]],
    unsent: Sized,
    send: object,
) -> T | None:
    """See `_loops.run_unless`."""
    assert not unsent, "see `sees_waits`"
    result: T | None = None
    failure: Exception | None = None

    async def watching() -> None:
        await watch()
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watching)
        try:
            result = await work()
        except Exception as error:  # noqa: BLE001  (raised below: a nursery would wrap it in a group)
            failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
    return result
