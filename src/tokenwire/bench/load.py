"""When requests are sent.

By concurrency: so many at once, each followed by the next. By rate: at set times, whether those before have ended or not,
which alone shows what waiting users would see; with a concurrency beside it, requests above that wait, and the time they
wait is noted.
"""

import random
import time
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Literal, TypeAlias

import anyio
import anyio.lowlevel
import msgspec
from anyio.abc import TaskGroup

from .client import Watch
from .measure import Ask
from .record import Record

Arrivals: TypeAlias = Literal["poisson", "constant"]


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """How much is asked, and for how long.

    Attributes:
        concurrency: requests at once; None only beside a rate, for as many as there are.
        rate: requests a second; None for the next one as soon as one has ended.
        arrivals: at equal distances, or as a Poisson process has them.
        requests: how many; None for as many as there is time for.
        duration: seconds after which none is begun; those under way are waited for. None for no such end.
        seed: what the Poisson process follows from.
    """

    concurrency: int | None = None
    rate: float | None = None
    arrivals: Arrivals = "poisson"
    requests: int | None = None
    duration: float | None = None
    seed: int = 0

    @property
    def label(self) -> str:
        """As a person would call it."""
        most = None if self.concurrency is None else f"concurrency {self.concurrency}"
        if self.rate is None:
            return most or ""
        return f"{self.rate:g} requests/s, {self.arrivals}" + (f", {most}" if most else "")


class Run:
    """One load on an endpoint.

    Args:
        ask: makes and times a record's request.
        load: how many, when.

    Attributes:
        records: the requests that were sent, in that order.
        under_way: those that have not ended.
        watch: what this process did meanwhile.
        started, ended: by `time.monotonic`.
        stopped: whether it was stopped before its end.
    """

    def __init__(self, ask: Ask, load: Load) -> None:
        self.load: Load = load
        self.records: list[Record] = []
        self.under_way: dict[int, Record] = {}
        self.watch: Watch = Watch()
        self.started: float = 0.0
        self.ended: float | None = None
        self.stopped: bool = False
        self._ask = ask
        self._begun = self._arrived = 0
        self._scope: anyio.CancelScope | None = None

    @property
    def seconds(self) -> float:
        """How long it has taken."""
        return (time.monotonic() if self.ended is None else self.ended) - self.started

    @property
    def arrived(self) -> int:
        """How many chunks with content have arrived."""
        return self._arrived + sum(len(record.arrivals) for record in self.under_way.values())

    def stop(self) -> None:
        """End it now; what is under way is cancelled, and counted so."""
        self.stopped = True
        if self._scope is not None:
            self._scope.cancel()

    async def run(self) -> None:
        """Send the requests, and wait for their answers."""
        self.started = time.monotonic()
        async with anyio.create_task_group() as group:
            group.start_soon(self.watch.look)
            with anyio.CancelScope() as self._scope:
                async with anyio.create_task_group() as requests:
                    if self.load.rate is None:
                        for _ in range(self.load.concurrency or 1):
                            requests.start_soon(self._one_after_the_other)
                    else:
                        await self._at_their_times(requests, self.load.rate)
            self.ended = time.monotonic()
            group.cancel_scope.cancel()

    async def _one_after_the_other(self) -> None:
        while self._may_begin(time.monotonic()):
            await self._measure(self._next(time.monotonic()))
            await anyio.lowlevel.checkpoint()  # a call that is refused at once awaits nothing

    async def _at_their_times(self, group: TaskGroup, rate: float) -> None:
        concurrency = self.load.concurrency
        places = nullcontext() if concurrency is None else anyio.Semaphore(concurrency)
        for at in self._times(rate):
            if not self._may_begin(at):
                return
            while (left := at - time.monotonic()) > 0:  # noqa: ASYNC110  (a timer of uvloop may be early by a millisecond)
                await anyio.sleep(left)
            group.start_soon(self._measure_in, places, self._next(at))

    def _times(self, rate: float) -> Iterator[float]:
        """When requests are due: the first one at once."""
        chance, at, constant = random.Random(self.load.seed), self.started, self.load.arrivals == "constant"  # noqa: S311
        for number in range(1, 1 << 62):
            yield at
            at = self.started + number / rate if constant else at + chance.expovariate(rate)

    def _may_begin(self, at: float) -> bool:
        load = self.load
        in_number = load.requests is None or self._begun < load.requests
        return not self.stopped and in_number and (load.duration is None or at - self.started < load.duration)

    def _next(self, at: float) -> Record:
        record = Record(self._begun, at)
        self._begun += 1
        return record

    async def _measure_in(self, places: AbstractAsyncContextManager[object], record: Record) -> None:
        async with places:
            await self._measure(record)

    async def _measure(self, record: Record) -> None:
        self.records.append(record)
        self.under_way[record.index] = record
        try:
            await self._ask(record)
        finally:
            del self.under_way[record.index]
            self._arrived += len(record.arrivals)
