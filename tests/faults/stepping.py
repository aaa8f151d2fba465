"""Cancelling or closing an operation at each of its waits: not where a test expects them, but where they are."""

import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any

import anyio


async def cancelled_everywhere(
    operation: Callable[[], Coroutine[Any, Any, object]], look: Callable[[int], Awaitable[object]]
) -> int:
    """Run the operation again and again, cancelled at its first wait, its second, and so on, until it ends before.

    Args:
        operation: makes the coroutine.
        look: called after each run with the number of the wait, to see what is left.

    Returns:
        How many waits there were.
    """
    place = 0
    while True:
        with anyio.CancelScope() as scope:
            await _stepped(operation(), place, scope.cancel)
        await look(place)
        if not scope.cancel_called:
            return place
        place += 1


async def closed_everywhere(
    operation: Callable[[], tuple[Coroutine[Any, Any, object], Callable[[], Awaitable[None]]]],
    look: Callable[[int], Awaitable[object]],
) -> int:
    """Run the operation again and again, closed as its first wait is over, its second, and so on, until it ends before.

    What it waited for has come about then, as when another task's turn is just before its own.

    Args:
        operation: makes the coroutine, and the function that closes what it uses.
        look: called after each run with the number of the wait, to see what is left.

    Returns:
        How many waits there were.
    """
    place = 0
    while True:
        coroutine, close = operation()
        closed = await _closed_on_waking(coroutine, place, close)
        await look(place)
        if not closed:
            return place
        place += 1


@types.coroutine
def _closed_on_waking(
    coroutine: Coroutine[Any, Any, Any], place: int, close: Callable[[], Awaitable[None]]
) -> Generator[Any, Any, bool]:
    """Await the coroutine; call `close` when its n-th wait is over. Returns whether it came to that."""
    resume: Callable[[], Any] = lambda: coroutine.send(None)  # noqa: E731
    while True:
        try:
            wanted = resume()
        except StopIteration:
            return place < 0
        try:
            answer = yield wanted
            resume = lambda answer=answer: coroutine.send(answer)  # noqa: E731
        except BaseException as error:  # noqa: BLE001 it is passed on
            resume = lambda error=error: coroutine.throw(error)  # noqa: E731
        if place == 0:
            yield from close().__await__()
        place -= 1


@types.coroutine
def _stepped(coroutine: Coroutine[Any, Any, Any], place: int, cancel: Callable[[], object]) -> Generator[Any, Any, Any]:
    """Await the coroutine; call `cancel` where it is about to wait for the n-th time."""
    resume: Callable[[], Any] = lambda: coroutine.send(None)  # noqa: E731
    while True:
        try:
            wanted = resume()
        except StopIteration as end:
            return end.value
        if place == 0:
            cancel()
        place -= 1
        try:
            answer = yield wanted
            resume = lambda answer=answer: coroutine.send(answer)  # noqa: E731
        except BaseException as error:  # noqa: BLE001 it is passed on
            resume = lambda error=error: coroutine.throw(error)  # noqa: E731
