"""Calls of a handler of the user's, with no network: what the library adds to each. A hundred at a time are under way."""

from typing import Any

from .. import loops
from ..clock import Clock
from ..worker import Job

TITLE = "Handler: a call that is not streamed, without a network"
METRICS = {"us_per_call": ("µs", "CPU per call")}
IN_QUICK = True
NEEDS = ("whole_handler",)
AT_ONCE = 100


def cells(quick: bool) -> dict[str, dict[str, Any]]:
    return {"": {"least_cpu_s": 0.1 if quick else 0.5}}


def run(job: Job) -> dict[str, Any]:
    return loops.run(job.loop, lambda: _measure(job, **job.parameters))


async def _measure(job: Job, least_cpu_s: float) -> dict[str, Any]:
    contender = job.load()
    calls = [contender.whole_handler] * AT_ONCE
    if not all(await loops.gather(calls)):
        raise AssertionError("an answer was empty")
    count = 0
    clock = Clock(job.control)
    while clock.cpu < least_cpu_s:
        count += len(await loops.gather(calls))
    values = clock.stop()
    return {"us_per_call": values["cpu_s"] / count * 1e6, "calls": count, **values}
