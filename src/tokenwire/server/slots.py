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

    def take(self) -> "Turn | None":
        """Take one, which `end` gives back; or, where none is free, a place in the queue, with which it is to be called.

        Raises:
            RateLimitError: too many wait already.
        """
        if self._most is None or self.taken < self._most:
            self.taken += 1
            return None
        if len(self._queue) >= self._most_waiting:
            raise too_many("too many requests are under way; try again in a moment")
        turn = Turn()
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
            self.give_back(taken)

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

    def end(self, turn: "Turn | None") -> None:
        """A call is over, or will not wait any longer."""
        if turn is None or turn.has_come:
            self.give_back()
        else:
            del self._queue[turn]

    def give_back(self, count: int = 1) -> None:
        """So many are free again: those that have waited longest have them first."""
        while count and self._queue:
            self._queue.popitem(last=False)[0].begin()
            count -= 1
        self.taken -= count
        if not self.taken and self._became_idle is not None:
            self._became_idle.set()


class Turn:
    """A call's place in the queue.

    Attributes:
        has_come: whether it has a slot.
    """

    def __init__(self) -> None:
        self.has_come: bool = False
        self._came = anyio.Event()

    def begin(self) -> None:
        """Take the slot that was somebody else's."""
        self.has_come = True
        self._came.set()

    async def come(self) -> None:
        """Wait until it has one."""
        await self._came.wait()


def too_many(message: str) -> RateLimitError:
    """The error for a call that there is no room for now."""
    return RateLimitError(message, code="too_many_requests", retry_after=RETRY_AFTER)
