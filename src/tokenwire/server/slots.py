"""Limits how many calls of models run at the same time, and how many wait.

A slot that becomes free is handed to the call that has waited longest, so that no later call can take it. A call that leaves
the queue, at whatever time, leaves no slot occupied.
"""

from collections import OrderedDict
from collections.abc import Generator
from contextlib import contextmanager

import anyio

from tokenwire import RateLimitError

RETRY_AFTER = 1.0  # seconds


class Slots:
    """The slots for the calls of one app; each call that runs holds one.

    Args:
        most: how many there are; None for no limit.
        most_waiting: how many calls may wait for one.

    Attributes:
        taken: how many are not free.
    """

    def __init__(self, most: int | None, most_waiting: int = 0) -> None:
        self.taken: int = 0
        self._most, self._most_waiting = most, most_waiting
        self._queue: OrderedDict[Waiter, None] = OrderedDict()
        self._became_idle: anyio.Event | None = None  # None until `until_idle` waits for it

    def acquire(self) -> "Waiter | None":
        """Take a slot and return None; if none is free, join the queue. Pass what this returns to `release`.

        Raises:
            RateLimitError: too many calls wait already.
        """
        if self._most is None or self.taken < self._most:
            self.taken += 1
            return None
        if len(self._queue) >= self._most_waiting:
            raise too_many("too many requests at the same time; try again in a moment")
        waiter = Waiter()
        self._queue[waiter] = None
        return waiter

    @contextmanager
    def up_to(self, count: int) -> Generator[int, None, None]:
        """Hold up to `count` slots, as many as are free, and return how many."""
        taken = count if self._most is None else min(count, max(self._most - self.taken, 0))
        self.taken += taken
        try:
            yield taken
        finally:
            self._give_back(taken)

    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """OpenAI's headers that say how many calls are possible now; empty if there is no limit."""
        if self._most is None:
            return ()
        free = max(self._most - self.taken, 0)
        return (
            (b"x-ratelimit-limit-requests", b"%d" % self._most),
            (b"x-ratelimit-remaining-requests", b"%d" % free),
            (b"x-ratelimit-reset-requests", b"0s" if free else b"%ds" % RETRY_AFTER),
        )

    async def until_idle(self) -> None:
        """Wait until no call runs."""
        if self.taken:
            self._became_idle = anyio.Event()
            await self._became_idle.wait()

    def release(self, waiter: "Waiter | None") -> None:
        """Give a call's slot back, or leave the queue."""
        if waiter is None or waiter.has_slot:
            self._give_back(1)
        else:
            del self._queue[waiter]

    def _give_back(self, count: int) -> None:
        """Hand slots to the calls that have waited longest; the others are free again."""
        while count and self._queue:
            self._queue.popitem(last=False)[0].give_slot()
            count -= 1
        self.taken -= count
        if not self.taken and self._became_idle is not None:
            self._became_idle.set()


class Waiter:
    """A call in the queue.

    Attributes:
        has_slot: whether it has been given a slot.
    """

    def __init__(self) -> None:
        self.has_slot: bool = False
        self._got_slot = anyio.Event()

    def give_slot(self) -> None:
        """Give it a slot, and wake it."""
        self.has_slot = True
        self._got_slot.set()

    async def wait(self) -> None:
        """Wait until it has a slot."""
        await self._got_slot.wait()


def too_many(message: str) -> RateLimitError:
    """The error for a call for which no slot is free now."""
    return RateLimitError(message, code="too_many_requests", retry_after=RETRY_AFTER)
