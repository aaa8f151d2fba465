"""A hedge: a second attempt beside one whose content does not come, and how many of those there may be.

`Hedges` knows a client's latest calls, target by target, and decides; it has no clock, so a test can move time as it
likes. `race` runs two attempts side by side until one has come to something.

The first attempt stays in the caller's own task, the second has one of a task group's, which is there only while the
`await` lasts that opens a stream or gets its first content. Both have ended when `race` returns: no task and no scope
is held across a yield to the caller.
"""

import threading
import time
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

import anyio

from .. import _loops
from .._settings import Hedge
from ..exceptions import APIError
from ..types import Usage
from .attempts import Attempts, is_for_others

T = TypeVar("T")

WINDOW = 60.0  # seconds in which hedges are at most a share of the calls
ALWAYS = 10  # hedges in it that are allowed however few calls there are
NEEDED = 100  # durations without which "p95" knows nothing
KEPT = 500  # durations of the latest attempts
MOST_TARGETS = 1000  # of one client; the one that was not called for longest is forgotten


class Recent:
    """Counts what happened in the last `WINDOW` seconds.

    Args:
        grain: what happens within so many seconds is counted, and forgotten, as if at once: bounds memory.
    """

    __slots__ = ("_count", "_grain", "_groups")

    def __init__(self, grain: float = 0.0) -> None:
        self._grain = grain
        self._groups: deque[tuple[float, int]] = deque()  # when the first of them happened, and how many
        self._count = 0

    def add(self, moment: float) -> None:
        """Something happens."""
        self.count(moment)  # forgets
        self._count += 1
        if self._groups and moment < self._groups[-1][0] + self._grain:
            first, number = self._groups[-1]
            self._groups[-1] = first, number + 1
        else:
            self._groups.append((moment, 1))

    def take_back(self) -> None:
        """The latest did not happen after all."""
        if self._groups:
            first, number = self._groups.pop()
            self._count -= 1
            if number > 1:
                self._groups.append((first, number - 1))

    def count(self, moment: float) -> int:
        """How often it happened."""
        while self._groups and self._groups[0][0] + WINDOW <= moment:
            self._count -= self._groups.popleft()[1]
        return self._count


class Durations:
    """The latest `KEPT` durations, in order."""

    __slots__ = ("_latest", "_sorted")

    def __init__(self) -> None:
        self._latest: deque[float] = deque()
        self._sorted: list[float] = []

    def add(self, seconds: float) -> None:
        """One more; the oldest gives way."""
        if len(self._latest) == KEPT:
            del self._sorted[bisect_left(self._sorted, self._latest.popleft())]
        self._latest.append(seconds)
        insort(self._sorted, seconds)

    @property
    def p95(self) -> float | None:
        """What 95 % of them do not exceed; None while there are fewer than `NEEDED`."""
        count = len(self._sorted)
        return self._sorted[-(-count * 95 // 100) - 1] if count >= NEEDED else None


class _Known:
    """What is known of one target."""

    __slots__ = ("calls", "durations", "hedges")

    def __init__(self) -> None:
        self.calls = Recent(grain=1.0)
        self.hedges = Recent()
        self.durations = Durations()


class Hedges:
    """What became of one client's calls that have a hedge. Targets go by their `Target.key`, moments are `time.monotonic()`'s.

    A client may be used in several threads at once, hence the lock.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, _Known] = {}  # the one called last is last

    def called(self, key: str, moment: float) -> None:
        """A target is called."""
        with self._lock:
            known = self._known[key] = self._known.pop(key, None) or _Known()
            known.calls.add(moment)
            if len(self._known) > MOST_TARGETS:
                del self._known[next(iter(self._known))]

    def answered(self, key: str, seconds: float) -> None:
        """An attempt came to its first content after so long; or was cancelled by then, which says that it takes longer."""
        with self._lock:
            if (known := self._known.get(key)) is not None:
                known.durations.add(seconds)

    def delay(self, key: str, hedge: Hedge) -> float | None:
        """Seconds from an attempt's beginning to its hedge's; None while that can't be told."""
        if hedge.after != "p95":
            return hedge.after
        with self._lock:
            known = self._known.get(key)
            return None if known is None else known.durations.p95

    def take(self, key: str, hedge: Hedge, moment: float) -> bool:
        """Whether another hedge may begin, which then counts."""
        with self._lock:
            known = self._known.get(key)
            if known is None:
                return False
            allowed = max(ALWAYS, hedge.max_share * known.calls.count(moment))
            if known.hedges.count(moment) + 1 > allowed:
                return False
            known.hedges.add(moment)
            return True

    def take_back(self, key: str) -> None:
        """The one that was taken did not begin."""
        with self._lock:
            if (known := self._known.get(key)) is not None:
                known.hedges.take_back()


_of_clients: WeakKeyDictionary[object, Hedges] = WeakKeyDictionary()
_of_clients_lock = threading.Lock()


def hedges_of(via: object) -> Hedges:
    """Those of a client, which is known by what its calls are sent through."""
    with _of_clients_lock:
        return _of_clients.setdefault(via, Hedges())


class Second(Generic[T]):
    """A second attempt beside one that is under way.

    Args:
        attempts: its own.
        delay: seconds until it begins.
        allowed: whether it may begin, asked when it is to; where it has not begun after all, `take_back` is called.

    Attributes:
        value: what it came to; None where it came to nothing (yet).
        error: why, where it failed.
        won: whether it came to something first, and so has become the call's attempt.
        is_late: whether the first one has come to something before.
        is_alone: whether the first attempt failed while this one was under way.
    """

    def __init__(self, attempts: Attempts, delay: float, allowed: Callable[[], bool], take_back: Callable[[], object]) -> None:
        self.attempts = attempts
        self._delay = delay
        self._allowed, self._take_back = allowed, take_back
        self.value: T | None = None
        self.error: Exception | None = None
        self.won = self.is_late = self.is_alone = False

    async def run(self, attempt: Callable[[], Awaitable[T]], first: anyio.CancelScope) -> None:
        """Make the attempt, and cancel `first` as soon as it has come to something.

        Who is first is decided here: a handler that is cancelled may answer all the same, and then it is too late.
        """
        await anyio.sleep(self._delay)
        if not self._allowed():
            return
        try:
            self.value = await attempt()
        except APIError as error:
            self.error = error
            return
        except Exception as error:  # noqa: BLE001  (it is raised where the two are awaited)
            self.error = error
        finally:
            if not self.attempts.has_begun:
                self._take_back()
        self.won = not self.is_late
        first.cancel()


def second_of(attempts: Attempts, hedges: Hedges, waited: float = 0.0) -> "Second[T] | None":
    """The second attempt beside the one that has begun; None where there is to be none.

    Args:
        waited: seconds for which the first has been waited for.
    """
    target = attempts.target
    hedge, other, key = target.hedge, attempts.target_beside, target.key
    delay = None if hedge is None or other is None else hedges.delay(key, hedge)
    if hedge is None or other is None or delay is None:
        return None
    delay = max(0.0, delay - waited)
    if _loops.now() + delay >= attempts.deadline:
        return None
    return Second(
        attempts.beside(other), delay, lambda: hedges.take(key, hedge, time.monotonic()), lambda: hedges.take_back(key)
    )


async def race(
    attempts: Attempts,
    first: Callable[[], Awaitable[T]],
    second: Second[T],
    attempt: Callable[[], Awaitable[T]],
    *,
    leave: Callable[[], Awaitable[object]],
    usage: Callable[[], Usage | None],
) -> T:
    """What the first of two attempts comes to.

    Args:
        attempts: the call's, one of which is under way.
        first: goes on with that one.
        attempt: makes the second one.
        leave: releases what the second one holds.
        usage: what the loser has used, by `second.won`.

    Returns:
        What `first` returned; what `attempt` did where that came first, which is then the call's attempt.

    Raises:
        APIError: the first one's; the second one, where it had begun, failed too.
    """
    value: T | None = None
    failure: Exception | None = None
    try:
        async with anyio.create_task_group() as group:
            with anyio.CancelScope() as scope:
                group.start_soon(second.run, attempt, scope)
                try:
                    value = await first()
                    second.is_late = True
                except Exception as error:  # noqa: BLE001  (raised below, out of the group, which would wrap it)
                    failure = error
            goes_on = second.value is not None or second.attempts.is_under_way
            if goes_on and isinstance(failure, APIError) and is_for_others(failure):
                second.is_alone = True
                attempts.failed_beside(failure)
            else:
                second.is_late = True
                group.cancel_scope.cancel()
        attempts.join(second.attempts, won=second.won, usage=usage())
        if second.error is not None and not isinstance(second.error, APIError):
            raise second.error
        if second.won:
            assert second.value is not None
            return second.value
    except BaseException:
        with anyio.CancelScope(shield=True):
            await leave()
        raise
    await leave()
    if failure is not None:
        raise failure
    assert value is not None
    return value
