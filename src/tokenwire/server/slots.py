"""How many calls of models are under way, and how many may be."""

from collections.abc import Generator
from contextlib import contextmanager

import anyio

from tokenwire import RateLimitError

RETRY_AFTER = 1.0  # seconds


class Slots:
    """Room for the calls of one app.

    Args:
        most: how many there are; None for no limit.

    Attributes:
        taken: how many are not free.
    """

    def __init__(self, most: int | None) -> None:
        self.taken: int = 0
        self._most = most
        self._became_idle: anyio.Event | None = None  # while somebody waits for it

    def take(self) -> None:
        """Take one, which `give_back` gives back; raises RateLimitError when none is free."""
        if self._most is not None and self.taken >= self._most:
            message = "too many requests are under way; try again in a moment"
            raise RateLimitError(message, code="too_many_requests", retry_after=RETRY_AFTER)
        self.taken += 1

    @contextmanager
    def up_to(self, count: int) -> Generator[int, None, None]:
        """Take as many of `count` as are free, which may be none, and say how many."""
        taken = count if self._most is None else min(count, max(self._most - self.taken, 0))
        self.taken += taken
        try:
            yield taken
        finally:
            self.give_back(taken)

    async def until_idle(self) -> None:
        """Wait until none is taken."""
        if self.taken:
            self._became_idle = anyio.Event()
            await self._became_idle.wait()

    def give_back(self, count: int = 1) -> None:
        """So many are free again."""
        self.taken -= count
        if not self.taken and self._became_idle is not None:
            self._became_idle.set()
