"""How many calls of models are under way, how many may be, and how many may wait for their turn.

A place that becomes free is handed to the one that has waited longest; nobody who comes later finds it free. Who leaves
the queue, whenever that is, takes no place with them.
"""

from collections import OrderedDict
from collections.abc import Generator
from contextlib import contextmanager

import anyio

from tokenwire import RateLimitError

RETRY_AFTER = 1.0  # seconds


class Slots:
    """Room for the calls of one app.

    Args:
        most: how many there are; None for no limit.
        most_waiting: how many calls may wait for one.

    Attributes:
        taken: how many are not free.
    """

    def __init__(self, most: int | None, most_waiting: int = 0) -> None:
        self.taken: int = 0
        self._most, self._most_waiting = most, most_waiting
        self._queue: OrderedDict[Turn, None] = OrderedDict()
        self._became_idle: anyio.Event | None = None  # while somebody waits for it

    def turn(self) -> "Turn":
        """A call's turn, which has come if a slot is free; raises RateLimitError when too many wait already."""
        if self._most is None or self.taken < self._most:
            self.taken += 1
            return Turn(self, None)
        if len(self._queue) >= self._most_waiting:
            raise too_many("too many requests are under way; try again in a moment")
        turn = Turn(self, anyio.Event())
        self._queue[turn] = None
        return turn

    @contextmanager
    def up_to(self, count: int) -> Generator[int, None, None]:
        """Take as many of `count` as are free, which may be none, and say how many."""
        taken = count if self._most is None else min(count, max(self._most - self.taken, 0))
        self.taken += taken
        try:
            yield taken
        finally:
            self._give_back(taken)

    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """What tells clients how much room there is, under the names that OpenAI has for it; empty where there is no limit."""
        if self._most is None:
            return ()
        free = max(self._most - self.taken, 0)
        return (
            (b"x-ratelimit-limit-requests", b"%d" % self._most),
            (b"x-ratelimit-remaining-requests", b"%d" % free),
            (b"x-ratelimit-reset-requests", b"0s" if free else b"%ds" % RETRY_AFTER),
        )

    async def until_idle(self) -> None:
        """Wait until none is taken."""
        if self.taken:
            self._became_idle = anyio.Event()
            await self._became_idle.wait()

    def end(self, turn: "Turn") -> None:
        """A turn is over, or will not be waited for any longer."""
        if turn.has_come:
            self._give_back(1)
        else:
            del self._queue[turn]

    def _give_back(self, count: int) -> None:
        while count and self._queue:
            self._queue.popitem(last=False)[0].begin()
            count -= 1
        self.taken -= count
        if not self.taken and self._became_idle is not None:
            self._became_idle.set()


class Turn:
    """One call's slot, or its place in the queue for one, given back at the end of the context.

    Attributes:
        has_come: whether it has the slot.
    """

    def __init__(self, slots: Slots, came: anyio.Event | None) -> None:
        self._slots, self._came = slots, came
        self.has_come: bool = came is None

    def __enter__(self) -> "Turn":
        return self

    def __exit__(self, *_: object) -> None:
        self._slots.end(self)

    def begin(self) -> None:
        """Take the slot that was somebody else's."""
        assert self._came is not None
        self.has_come = True
        self._came.set()

    async def come(self) -> None:
        """Wait until it has the slot."""
        if self._came is not None:
            await self._came.wait()


def too_many(message: str) -> RateLimitError:
    """The error for a call that there is no room for now."""
    return RateLimitError(message, code="too_many_requests", retry_after=RETRY_AFTER)
