"""Many streams at once, each at the pace of a model; every event is a packet of its own, and streams are out of step.

Only the steady part is measured: the clock runs from when all streams are open until all their events have been read.
"""

import time
from functools import partial
from typing import Any

from .. import loops
from ..clock import GO_S, Clock, ask_server, wait_until_held
from ..worker import Job
from .burst import check, of_kind, per_chunk

TITLE = "Paced: 100 streams at once, 50 events/s each, one event per packet"
METRICS = {"us_per_chunk": ("µs", "CPU per chunk"), "late": ("", "time taken / time at the server's pace")}
IN_QUICK = True
NEEDS = ("connect", "read", "close")
QUIET_S = 0.1  # at the end: a client that has nothing left to read uses no CPU for so long
QUIET_SHARE = 0.05


def cells(quick: bool) -> dict[str, dict[str, Any]]:
    parameters: dict[str, Any] = {"streams": 100, "rate": 50, "events": 25 if quick else 250}
    return {"plain": parameters} if quick else {"plain": parameters, "TLS": {**parameters, "https": True}}


def run(job: Job) -> dict[str, Any]:
    return loops.run(job.loop, lambda: _measure(job, **job.parameters))


async def _measure(job: Job, streams: int, rate: int, events: int, https: bool = False, kind: str = "") -> dict[str, Any]:
    contender = job.load()
    client = contender.connect(job.base_url)
    found: dict[str, Any] = {}

    async def conduct() -> int:
        try:
            await wait_until_held(job.control, streams)
            ask_server(job.control, "go")
            clock = Clock(job.control)
            started = time.perf_counter() + GO_S
            await loops.sleep(GO_S + events / rate)
            found["late"] = (await _all_read(clock) - started) / (events / rate)
            found.update(clock.stop())
        finally:
            ask_server(job.control, "release")
        return 0

    read = partial(of_kind(contender, "read", kind), client, f"paced-{events}-{rate}-{kind or 'text'}")
    counts = await loops.gather([*[read] * streams, conduct])
    check(sum(counts), streams * (events + 1))
    await contender.close(client)
    return {**per_chunk(found, streams * events), "late": found["late"]}


async def _all_read(clock: Clock) -> float:
    """Wait until this process has nothing to do; returns since when."""
    while True:
        now, before = time.perf_counter(), clock.cpu
        await loops.sleep(QUIET_S)
        if clock.cpu - before < QUIET_SHARE * QUIET_S:
            return now
