"""Running a coroutine's first step by hand: one that never waits needs no concurrent task, and can be detected.

`step.send(None)` runs the coroutine until it first waits, and returns what it waits for; if it never waits,
`StopIteration` has its result. `rest_of` continues from there.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Generator
from inspect import iscoroutinefunction
from types import coroutine
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")

Step: TypeAlias = Generator[Any, Any, T] | Coroutine[Any, Any, T]


@coroutine
def rest_of(step: Step[T], waits_for: object) -> Generator[Any, Any, T]:
    """The result of a step that has begun and now waits for `waits_for`: `await rest_of(step, waits_for)`."""
    try:
        while True:
            try:
                answer = yield waits_for
            except BaseException as error:  # noqa: BLE001  (passed on to the step)
                waits_for = step.throw(error)
            else:
                waits_for = step.send(answer)
    except StopIteration as done:
        return done.value


def steps_of(iterator: AsyncIterator[T]) -> Callable[[], Step[T]]:
    """A function that returns a step to the iterator's next item; like `anext`, the step raises StopAsyncIteration at the end."""
    advance: Any = iterator.__anext__
    if isinstance(iterator, AsyncGenerator) or iscoroutinefunction(advance):
        return advance  # returns something that has `send`
    return lambda: _awaited(advance())


async def _awaited(awaitable: Awaitable[T]) -> T:
    return await awaitable
