"""A hedge: a second, concurrent attempt when the first is slow to return content; and how many of them there may be.

`Hedges` has statistics of a client's latest calls, per target, and decides; it has no clock: tests pass in any time.
`race` runs two attempts concurrently until one succeeds.

The first attempt stays in the caller's own task; the second has a task in a task group, which exists only during the
`await` that opens a stream or gets its first content. Both have ended when `race` returns: no task and no scope is held
across a yield to the caller.
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

WINDOW = 60.0  # seconds, the window in which hedges are at most a share of the calls
ALWAYS = 10  # hedges allowed in the window however few calls there are
NEEDED = 100  # durations needed before "p95" is known
KEPT = 500  # durations of the latest attempts
MOST_TARGETS = 1000  # per client; the least recently called is dropped


class Recent:
    """Counts what happened in the last `WINDOW` seconds.

    Args:
        grain: events within so many seconds are counted as one group, and expire together: limits memory.
    """

    __slots__ = ("_count", "_grain", "_groups")

    def __init__(self, grain: float = 0.0) -> None:
        self._grain = grain
        self._groups: deque[tuple[float, int]] = deque()  # the time of the group's first event, and how many
        self._count = 0

    def add(self, moment: float) -> None:
        """Count an event."""
        self.count(moment)  # drops expired groups
        self._count += 1
        if self._groups and moment < self._groups[-1][0] + self._grain:
            first, number = self._groups[-1]
            self._groups[-1] = first, number + 1
        else:
            self._groups.append((moment, 1))

    def take_back(self) -> None:
        """Undo the latest `add`."""
        if self._groups:
            first, number = self._groups.pop()
            self._count -= 1
            if number > 1:
                self._groups.append((first, number - 1))

    def count(self, moment: float) -> int:
        """The events in the window."""
        while self._groups and self._groups[0][0] + WINDOW <= moment:
            self._count -= self._groups.popleft()[1]
        return self._count


class Durations:
    """The latest `KEPT` durations, sorted."""

    __slots__ = ("_latest", "_sorted")

    def __init__(self) -> None:
        self._latest: deque[float] = deque()
        self._sorted: list[float] = []

    def add(self, seconds: float) -> None:
        """Add a duration; the oldest is dropped."""
        if len(self._latest) == KEPT:
            del self._sorted[bisect_left(self._sorted, self._latest.popleft())]
        self._latest.append(seconds)
        insort(self._sorted, seconds)

    @property
    def p95(self) -> float | None:
        """The 95th percentile; None if there are fewer than `NEEDED`."""
        count = len(self._sorted)
        return self._sorted[-(-count * 95 // 100) - 1] if count >= NEEDED else None


class _Known:
    """The statistics of one target."""

    __slots__ = ("calls", "durations", "hedges")

    def __init__(self) -> None:
        self.calls = Recent(grain=1.0)
        self.hedges = Recent()
        self.durations = Durations()


class Hedges:
    """Statistics of one client's calls with a hedge, by `Target.key`. Moments are `time.monotonic()` values.

    A client may be used in several threads at once, hence the lock.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, _Known] = {}  # most recently called last

    def called(self, key: str, moment: float) -> None:
        """Count a call to a target."""
        with self._lock:
            known = self._known[key] = self._known.pop(key, None) or _Known()
            known.calls.add(moment)
            if len(self._known) > MOST_TARGETS:
                del self._known[next(iter(self._known))]

    def answered(self, key: str, seconds: float) -> None:
        """Note an attempt's seconds to its first content; or until it was cancelled, as it would have taken longer."""
        with self._lock:
            if (known := self._known.get(key)) is not None:
                known.durations.add(seconds)

    def delay(self, key: str, hedge: Hedge) -> float | None:
        """Seconds from an attempt's start to its hedge's; None while there are too few durations."""
        if hedge.after != "p95":
            return hedge.after
        with self._lock:
            known = self._known.get(key)
            return None if known is None else known.durations.p95

    def acquire(self, key: str, hedge: Hedge, moment: float) -> bool:
        """Whether another hedge may begin; if so, it is counted."""
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
        """Undo `acquire`: the hedge did not begin."""
        with self._lock:
            if (known := self._known.get(key)) is not None:
                known.hedges.take_back()


_of_clients: WeakKeyDictionary[object, Hedges] = WeakKeyDictionary()
_of_clients_lock = threading.Lock()


def hedges_of(via: object) -> Hedges:
    """The statistics of a client, which is identified by its senders."""
    with _of_clients_lock:
        return _of_clients.setdefault(via, Hedges())


class Second(Generic[T]):
    """A second attempt, concurrent with one that is running.

    Args:
        attempts: its own.
        delay: seconds until it begins.
        allowed: whether it may begin, called after the delay; if it then does not begin, `take_back` is called.

    Attributes:
        value: its result; None if it has none (yet).
        error: why it failed.
        won: whether it succeeded first, and so has become the call's attempt.
        is_late: whether the first attempt succeeded before.
        is_alone: whether the first attempt failed while this one was running.
    """

    def __init__(self, attempts: Attempts, delay: float, allowed: Callable[[], bool], take_back: Callable[[], object]) -> None:
        self.attempts = attempts
        self._delay = delay
        self._allowed, self._take_back = allowed, take_back
        self.value: T | None = None
        self.error: Exception | None = None
        self.won = self.is_late = self.is_alone = False

    async def run(self, attempt: Callable[[], Awaitable[T]], first: anyio.CancelScope) -> None:
        """Make the attempt, and cancel `first` as soon as it has succeeded.

        The winner is decided here: a handler that is cancelled may still answer, but then it is too late.
        """
        await anyio.sleep(self._delay)
        if not self._allowed():
            return
        try:
            self.value = await attempt()
        except APIError as error:
            self.error = error
            return
        except Exception as error:  # noqa: BLE001  (`race` raises it)
            self.error = error
        finally:
            if not self.attempts.has_begun:
                self._take_back()
        self.won = not self.is_late
        first.cancel()


def second_of(attempts: Attempts, hedges: Hedges, waited: float = 0.0) -> "Second[T] | None":
    """The second attempt for the one that has begun; None if there is to be none.

    Args:
        waited: seconds that the caller has already waited for the first.
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
        attempts.beside(other), delay, lambda: hedges.acquire(key, hedge, time.monotonic()), lambda: hedges.take_back(key)
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
    """The result of the faster of two attempts.

    Args:
        attempts: the call's, one of which is running.
        first: continues that one.
        attempt: makes the second one.
        leave: releases what the second one holds.
        usage: what the loser has used, which depends on `second.won`.

    Returns:
        The result of `first`; or that of `attempt`, if it was faster: then it is the call's attempt.

    Raises:
        APIError: the first attempt's; the second one failed too, if it had begun.
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
                except Exception as error:  # noqa: BLE001  (raised below, outside the group, which would wrap it)
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
