"""A coroutine's first step, taken by hand: what never waits needs no task beside it, and is seen to let nobody else run.

`step.send(None)` runs it up to where it first waits, and returns what it waits for; where it never does, `StopIteration`
has its result. `rest_of` goes on from there.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Generator
from inspect import iscoroutinefunction
from types import coroutine
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")

Step: TypeAlias = Generator[Any, Any, T] | Coroutine[Any, Any, T]


@coroutine
def rest_of(step: Step[T], waits_for: object) -> Generator[Any, Any, T]:
    """The result of a step that has begun, and waits for something: `await rest_of(step, waits_for)`."""
    try:
        while True:
            try:
                answer = yield waits_for
            except BaseException as error:  # noqa: BLE001  (the step's, whatever it is)
                waits_for = step.throw(error)
            else:
                waits_for = step.send(answer)
    except StopIteration as done:
        return done.value


def steps_of(iterator: AsyncIterator[T]) -> Callable[[], Step[T]]:
    """What makes the step to an iterator's next item; like `anext`, it raises StopAsyncIteration at the end."""
    advance: Any = iterator.__anext__
    if isinstance(iterator, AsyncGenerator) or iscoroutinefunction(advance):
        return advance  # what it returns can be sent to
    return lambda: _awaited(advance())


async def _awaited(awaitable: Awaitable[T]) -> T:
    return await awaitable
