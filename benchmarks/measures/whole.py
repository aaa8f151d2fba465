"""Calls that are not streamed, one after another on a warm connection."""

import time
from typing import Any

from .. import loops
from ..clock import Clock
from ..worker import Job
from .first_token import WARM_UP, distribution

TITLE = "A call that is not streamed, on a warm connection"
METRICS = {"us_per_call": ("µs", "CPU per call"), "p50_us": ("µs", "time, p50"), "p99_us": ("µs", "p99")}
IN_QUICK = False
NEEDS = ("connect", "whole", "close")


def cells(quick: bool) -> dict[str, dict[str, Any]]:
    return {"": {"calls": 200, "most_s": 2.0} if quick else {"calls": 2000, "most_s": 10.0}}


def run(job: Job) -> dict[str, Any]:
    return loops.run(job.loop, lambda: _measure(job, **job.parameters))


async def _measure(job: Job, calls: int, most_s: float) -> dict[str, Any]:
    contender = job.load()
    client = contender.connect(job.base_url)
    for _ in range(WARM_UP):
        await contender.whole(client, "whole")
    times: list[float] = []
    clock = Clock(job.control)
    while len(times) < calls and clock.wall < most_s:
        started = time.perf_counter()
        if not await contender.whole(client, "whole"):
            raise AssertionError("the answer was empty")
        times.append(time.perf_counter() - started)
    values = clock.stop()
    await contender.close(client)
    return {"us_per_call": values["cpu_s"] / len(times) * 1e6, "calls": len(times), **distribution(times), **values}
