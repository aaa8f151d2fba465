"""How every layer below a call is read: taking what has arrived and waiting for more are two separate methods.

A layer that passes on bytes, events or chunks has `take` and `wait`. `take` is not a coroutine, so a chunk that has arrived
passes through all layers in plain calls; only a reader that must wait awaits something: the lowest layer's future. `receive` is
the loop that combines the two.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

FOREVER: float = float("inf")  # a deadline that never passes; deadlines are values of `_loops.clock`


class Readable(Protocol[T_co]):
    """A layer that can be read without waiting, or waited for."""

    def take(self) -> T_co | None:
        """What has arrived, or the first part of it; None if nothing has.

        An empty value means that the end was reached; all later calls return it, too. An error is raised after everything
        that arrived before it was taken.
        """
        ...

    def wait(self, deadline: float) -> Awaitable[bool]:
        """Wait until `take` would not return None; may return at once. Returns False if `deadline` passed first.

        An error that occurs while waiting is raised by `take`.
        """
        ...


async def receive(source: Readable[T], deadline: float, late: Callable[[], BaseException]) -> T:
    """The next value of `source`, waiting for it.

    Args:
        deadline: until when to wait, a value of `_loops.clock`.
        late: makes the exception for the case that the deadline passes.

    Raises:
        BaseException: `late()`, or what `source.take` raises.
    """
    in_time = True
    while (value := source.take()) is None:
        if not in_time:
            raise late()
        in_time = await source.wait(deadline)
    return value


async def ready() -> bool:
    """What `wait` returns if there is nothing to wait for."""
    return True
