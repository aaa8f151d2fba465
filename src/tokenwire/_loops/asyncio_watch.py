"""Deadlines on asyncio and uvloop: a deadline is a number, and most waits need no timer.

A loop's `Watch` checks everything that may wait every few seconds, and arms a timer for each deadline that passes before
its next check. So a stream whose deadlines are far away has no timer at all: thousands of timers would cost memory and
garbage collection. A near deadline has a timer; when it fires, it compares the time with the deadline, and is armed again
if the deadline has moved.
"""

import asyncio
from contextvars import Context
from weakref import ReferenceType, WeakKeyDictionary, ref

from .._reading import FOREVER

CHECK_SECONDS = 5.0


class Watched:
    """Something that one task at a time waits for, until a deadline."""

    __slots__ = ("_deadline", "_timer", "_timer_at", "_watch")

    def __init__(self) -> None:
        self._watch: Watch = watch_of(asyncio.get_running_loop())
        self._deadline: float = FOREVER
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at: float = FOREVER

    def interrupt(self) -> None:
        """End the current wait, if there is one: its deadline has passed."""
        raise NotImplementedError

    def arm(self) -> None:
        """Make sure that a timer fires at the deadline or before, if that is before the watch's next check."""
        if self._deadline < self._watch.next_check and self._deadline < self._timer_at:
            self.disarm()
            if self._deadline <= self._watch.loop.time():  # the check was late, as it may be while a test controls the clock
                self._watch.loop.call_soon(self._check)
                return
            self._timer_at = self._deadline
            self._timer = self._watch.loop.call_at(self._deadline, self._check, context=self._watch.context)

    def disarm(self) -> None:
        """Cancel the timer, if there is one."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._timer_at = None, FOREVER

    def _check(self) -> None:
        self._timer, self._timer_at = None, FOREVER
        if self._watch.loop.time() < self._deadline:
            self.arm()
        else:
            self._deadline = FOREVER
            self.interrupt()


class Watch:
    """Checks the deadlines of one event loop.

    Attributes:
        loop: the event loop.
        watched: what it looks after.
        next_check: deadlines from here on need no timer yet.
        context: an empty one for all timers: each would copy the current one.
    """

    __slots__ = ("__weakref__", "context", "loop", "next_check", "watched")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop: asyncio.AbstractEventLoop = loop
        self.watched: set[Watched] = set()
        self.next_check: float = FOREVER
        self.context: Context = Context()

    def add(self, watched: Watched) -> None:
        """Look after this from now on."""
        self.watched.add(watched)
        if self.next_check == FOREVER:
            self._check()

    def _check(self) -> None:
        self.next_check = FOREVER
        if self.watched:
            self.next_check = self.loop.time() + CHECK_SECONDS
            self.loop.call_at(self.next_check, self._check, context=self.context)
        for watched in self.watched:
            watched.arm()


# A watch lives as long as something that may wait: held here, it would keep its loop.
_watches: WeakKeyDictionary[asyncio.AbstractEventLoop, ReferenceType[Watch]] = WeakKeyDictionary()


def watch_of(loop: asyncio.AbstractEventLoop) -> Watch:
    """The loop's watch."""
    found = _watches.get(loop)
    watch = None if found is None else found()
    if watch is None:
        watch = Watch(loop)
        _watches[loop] = ref(watch)
    return watch
