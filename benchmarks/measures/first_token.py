"""One call after another on a warm connection, the server at zero latency."""

import time
from typing import Any

from .. import loops
from ..clock import Clock
from ..worker import Job

TITLE = "First token: a warm connection, the server at zero latency"
METRICS = {
    "p50_us": ("µs", "to the first text, p50"),
    "p99_us": ("µs", "p99"),
    "us_per_call": ("µs", "CPU per call"),
}
IN_QUICK = True
WARM_UP = 20
NEEDS = ("connect", "read_first", "close")


def cells(quick: bool) -> dict[str, dict[str, Any]]:
    return {"": {"calls": 200, "most_s": 2.0} if quick else {"calls": 2000, "most_s": 10.0}}


def run(job: Job) -> dict[str, Any]:
    return loops.run(job.loop, lambda: _measure(job, **job.parameters))


async def _measure(job: Job, calls: int, most_s: float) -> dict[str, Any]:
    contender = job.load()
    client = contender.connect(job.base_url)
    for _ in range(WARM_UP):
        await contender.read_first(client, "first")
    times: list[float] = []
    clock = Clock(job.control)
    while len(times) < calls and clock.wall < most_s:
        started = time.perf_counter()
        times.append(await contender.read_first(client, "first") - started)
    values = clock.stop()
    await contender.close(client)
    return {**distribution(times), "us_per_call": values["cpu_s"] / len(times) * 1e6, "calls": len(times), **values}


def distribution(times: list[float]) -> dict[str, Any]:
    """Median, 99th percentile and all whole percentiles, in microseconds."""
    if min(times) <= 0:
        raise AssertionError("a stream had no text")
    ordered = sorted(times)
    percentiles = [round(ordered[(len(ordered) - 1) * share // 100] * 1e6, 1) for share in range(101)]
    return {"p50_us": percentiles[50], "p99_us": percentiles[99], "percentiles_us": percentiles}
