"""When requests are sent.

By concurrency: a fixed number at once, each followed by the next. By rate: at scheduled times, whether earlier ones have
ended or not, which is the only way to measure what users see when they wait; with a concurrency in addition, requests above
it wait, and that time is recorded.
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
    """How many requests are sent, and for how long.

    Attributes:
        concurrency: the most requests at once; None, only with a rate, for no limit.
        rate: requests per second; None to send the next one as soon as one has ended.
        arrivals: at equal intervals, or by a Poisson process.
        requests: how many; None for as many as fit into `duration`.
        duration: seconds after which no request begins; those in flight are completed. None for no limit.
        seed: of the Poisson process.
    """

    concurrency: int | None = None
    rate: float | None = None
    arrivals: Arrivals = "poisson"
    requests: int | None = None
    duration: float | None = None
    seed: int = 0

    @property
    def label(self) -> str:
        """A short description."""
        most = None if self.concurrency is None else f"concurrency {self.concurrency}"
        if self.rate is None:
            return most or ""
        return f"{self.rate:g} requests/s, {self.arrivals}" + (f", {most}" if most else "")


class Run:
    """One run of a load.

    Args:
        ask: makes and times a record's request.
        load: how many requests, and when.

    Attributes:
        records: the requests in the order in which they were sent.
        under_way: those that have not ended, by index.
        watch: monitors this process.
        started, ended: `time.monotonic()` values.
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
        """The duration so far."""
        return (time.monotonic() if self.ended is None else self.ended) - self.started

    @property
    def arrived(self) -> int:
        """How many chunks with content have arrived."""
        return self._arrived + sum(len(record.arrivals) for record in self.under_way.values())

    def stop(self) -> None:
        """End it now; requests in flight are cancelled, and counted as cancelled."""
        self.stopped = True
        if self._scope is not None:
            self._scope.cancel()

    async def run(self) -> None:
        """Send the requests, and wait for their answers."""
        self.started = time.monotonic()
        async with anyio.create_task_group() as group:
            group.start_soon(self.watch.measure)
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
            await anyio.lowlevel.checkpoint()  # a call that is refused at once does not wait

    async def _at_their_times(self, group: TaskGroup, rate: float) -> None:
        concurrency = self.load.concurrency
        places = nullcontext() if concurrency is None else anyio.Semaphore(concurrency)
        for at in self._times(rate):
            if not self._may_begin(at):
                return
            await anyio.lowlevel.checkpoint()  # if it is late, it does not wait at all
            while (left := at - time.monotonic()) > 0:  # noqa: ASYNC110  (a timer of uvloop may be early by a millisecond)
                await anyio.sleep(left)
            group.start_soon(self._measure_in, places, self._next(at))

    def _times(self, rate: float) -> Iterator[float]:
        """The times at which requests are due: the first one at once."""
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
