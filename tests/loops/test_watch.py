"""Deadlines on asyncio: kept in time, though a deadline that is far away has no timer."""

import asyncio
import gc
import weakref

import pytest

from tokenwire._loops.asyncio_watch import Watched, watch_of
from tokenwire.testing import FakeClock


class Wait(Watched):
    """Waits from the start, and notes when it was ended."""

    __slots__ = ("__weakref__", "ended_at")

    def __init__(self, deadline: float) -> None:
        super().__init__()
        self.ended_at: float | None = None
        self._deadline = deadline
        self._watch.add(self)
        self.arm()

    def interrupt(self) -> None:
        self.ended_at = asyncio.get_running_loop().time()

    @property
    def has_timer(self) -> bool:
        return self._timer is not None

    def move(self, deadline: float) -> None:
        self._deadline = deadline
        self.arm()


def test_near_and_far_deadlines_are_kept(clock: FakeClock) -> None:
    async def main() -> None:
        now = asyncio.get_running_loop().time()
        near, far, never = Wait(now + 2), Wait(now + 18), Wait(now + 3600)
        assert (near.has_timer, far.has_timer, never.has_timer) == (True, False, False)
        await clock.aadvance(30)
        for wait, seconds in ((near, 2), (far, 18)):
            assert wait.ended_at is not None
            assert wait.ended_at - now == pytest.approx(seconds)
        assert (never.ended_at, never.has_timer) == (None, False)

    asyncio.run(main())


def test_a_deadline_may_move(clock: FakeClock) -> None:
    async def main() -> None:
        now = asyncio.get_running_loop().time()
        later, sooner = Wait(now + 3), Wait(now + 3600)
        later.move(now + 20)
        sooner.move(now + 3)
        await clock.aadvance(10)
        assert later.ended_at is None
        assert sooner.ended_at is not None
        await clock.aadvance(20)
        assert later.ended_at is not None
        assert later.ended_at - now == pytest.approx(20)

    asyncio.run(main())


def test_one_that_left_is_not_looked_after(clock: FakeClock) -> None:
    async def main() -> None:
        wait = Wait(asyncio.get_running_loop().time() + 12)
        watch_of(asyncio.get_running_loop()).watched.discard(wait)
        await clock.aadvance(20)
        assert wait.ended_at is None

    asyncio.run(main())


def test_a_watch_keeps_no_loop_alive():
    gone: list[weakref.ref[asyncio.AbstractEventLoop]] = []

    async def main() -> Wait:
        gone.append(weakref.ref(asyncio.get_running_loop()))
        return Wait(asyncio.get_running_loop().time() + 3600)

    asyncio.run(main())
    gc.collect()
    assert gone[0]() is None


def test_a_deadline_that_passed_before_the_watch_looked_is_not_left_to_a_timer() -> None:
    """The watch's own timer is older than the fake clock: it fires when the clock has been moved and nobody moves it on."""

    async def main() -> None:
        far = Wait(asyncio.get_running_loop().time() + 20)
        assert not far.has_timer
        with FakeClock() as clock:
            await clock.aadvance(30)
            for _ in range(50):  # turns of the loop, which take no time
                await asyncio.sleep(0)
            assert far.ended_at is not None

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:  # uvloop's timers follow no fake clock
        runner.run(main())
