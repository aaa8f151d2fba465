"""Waits that end at a deadline, on asyncio and uvloop: for a flag, and in a handler's code."""

import asyncio
from collections.abc import Callable, Coroutine, Generator, Sized
from functools import cache
from types import TracebackType, coroutine
from typing import Any, TypeVar

import anyio

from .._reading import FOREVER
from . import asyncio_loop
from .asyncio_watch import Watched

T = TypeVar("T")


class Flag:
    """Set once; one task waits for it. An anyio event in a scope costs 20 us more, and thousands may wait for a connection."""

    __slots__ = ("_future", "_loop")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._future: asyncio.Future[bool] = self._loop.create_future()

    def set(self, in_time: bool = True) -> None:
        """End the wait."""
        if not self._future.done():
            self._future.set_result(in_time)

    def set_from_anywhere(self) -> None:
        """End the wait, from any thread."""
        if asyncio_loop() is self._loop:
            self.set()
        else:
            try:
                self._loop.call_soon_threadsafe(self.set)
            except RuntimeError:  # the loop is closed, so no task waits
                pass

    async def wait(self, deadline: float) -> bool:
        """Wait until it is set; False when `deadline` passed first."""
        timer = None if deadline == FOREVER else self._loop.call_at(deadline, self.set, False)
        try:
            return await self._future
        finally:
            if timer is not None:
                timer.cancel()


class Waiting(Watched):
    """See `_loops.Waiting`. The cancel scope has no deadline of its own: its timer would cost more than the scope."""

    __slots__ = ("_scope", "interrupted")

    def __init__(self) -> None:
        super().__init__()
        self._scope: anyio.CancelScope | None = None  # around the current wait
        self.interrupted: bool = False

    def until(self, deadline: float) -> "Waiting":
        """The next wait, which ends when `clock` reaches `deadline`."""
        self._deadline = deadline
        return self

    def __enter__(self) -> None:
        self._scope = _scope_class()()
        self._scope.__enter__()
        self.interrupted = False
        self._watch.add(self)
        self.arm()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        self._watch.watched.discard(self)
        scope, self._scope = self._scope, None
        return scope.__exit__(kind, error, traceback) if scope is not None else None

    def move(self, deadline: float) -> None:
        """Change the deadline of the current wait."""
        self._deadline = deadline
        if deadline < self._watch.next_check:
            self.arm()

    def interrupt(self) -> None:
        """End the current wait, if there is one."""
        if self._scope is not None:
            self.interrupted = True
            self._scope.cancel()

    def close(self) -> None:
        """Release the timer: no more waits follow."""
        self.disarm()


@coroutine
def run_unless(
    watch: Callable[[], Coroutine[Any, Any, None]],
    work: Callable[[], Coroutine[Any, Any, T]],
    unsent: Sized,
    send: Callable[[], Coroutine[Any, Any, bool]],
) -> Generator[Any, Any, T | None]:
    """See `_loops.run_unless`. A bare asyncio task costs a tenth of a task group with a task in it.

    This is `rest_of` with a scope around it; calling that would add a coroutine to resume at each step of the work.
    """
    watcher: asyncio.Task[None] | None = None
    with _scope_class()() as scope:
        step = work()
        try:
            waits_for = step.send(None)
        except StopIteration as done:
            return done.value
        watcher = asyncio.get_running_loop().create_task(_cancel_after(watch, scope))
        try:
            while True:
                try:
                    if unsent:
                        try:
                            if not (yield from send().__await__()):
                                scope.cancel()
                        except asyncio.CancelledError as error:
                            # As asyncio does: cancel what the work waits for, and still wait for it to end.
                            if waits_for is None or not waits_for.cancel(*error.args):
                                raise
                    yield waits_for
                except BaseException as error:  # noqa: BLE001  (passed on to the work)
                    waits_for = step.throw(error)
                else:
                    waits_for = step.send(None)
        except StopIteration as done:
            return done.value
        finally:
            yield from _end(watcher).__await__()
    return watcher.result() if watcher is not None else None  # it may have failed


async def _cancel_after(watch: Callable[[], Coroutine[Any, Any, None]], scope: anyio.CancelScope) -> None:
    try:
        await watch()
    except Exception:
        scope.cancel()
        raise
    scope.cancel()


async def _end(task: asyncio.Task[None]) -> None:
    """Cancel a task, and wait until it is over."""
    if not task.cancel():
        return
    over = Flag()
    task.add_done_callback(lambda _: over.set())
    with _scope_class()(shield=True):
        await over.wait(FOREVER)


@cache
def _scope_class() -> type[anyio.CancelScope]:
    """The class that `anyio.CancelScope(...)` creates on asyncio, cached: anyio detects the event loop each time."""
    return type(anyio.CancelScope())
