"""How every layer below a call is read: what has arrived is taken without waiting, and waiting is a step of its own.

A layer that hands bytes, events or chunks up has `take` and `wait`. Taking costs its reader no coroutine, so a chunk that
is there already passes all layers in plain calls; whoever has to wait awaits the lowest layer's own future. `receive` is
the one loop that puts the two together.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

FOREVER: float = float("inf")  # a deadline that never passes; deadlines are values of `_loops.clock`


class Readable(Protocol[T_co]):
    """What can be read without waiting, and waited for."""

    def take(self) -> T_co | None:
        """What has arrived, or the first of it; None while nothing has.

        An empty value says that the end was reached, and every later call says so again. Raises what went wrong, after
        all that arrived before it was taken.
        """
        ...

    def wait(self, deadline: float) -> Awaitable[bool]:
        """Wait until `take` would not return None; may return at once. False when `deadline` passed first.

        What goes wrong while waiting is raised by `take`.
        """
        ...


async def receive(source: Readable[T], deadline: float, late: Callable[[], BaseException]) -> T:
    """The next value of `source`, waiting for it.

    Args:
        deadline: until when to wait, as `_loops.clock` counts.
        late: makes the exception for a deadline that passed.

    Raises:
        BaseException: `late()`, or whatever `source.take` raises.
    """
    in_time = True
    while (value := source.take()) is None:
        if not in_time:
            raise late()
        in_time = await source.wait(deadline)
    return value


async def ready() -> bool:
    """What `wait` returns where there is nothing to wait for."""
    return True
