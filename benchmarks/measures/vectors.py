"""1,000 vectors of 1,024 numbers, as lists of floats and as arrays."""

from typing import Any

from .. import loops
from ..clock import Clock
from ..worker import Job

TITLE = "1,000 vectors of 1,024 numbers: lists of floats, and arrays made of base64 text"
METRICS = {"ms_per_call": ("ms", "CPU per call")}
IN_QUICK = False
NEEDS = ("connect", "vectors", "close")
COUNT, DIMENSIONS = 1000, 1024


def cells(quick: bool) -> dict[str, dict[str, Any]]:
    calls = 3 if quick else 20
    return {"lists": {"calls": calls, "encoding": "float"}, "arrays": {"calls": calls, "encoding": "base64"}}


def run(job: Job) -> dict[str, Any]:
    return loops.run(job.loop, lambda: _measure(job, **job.parameters))


async def _measure(job: Job, calls: int, encoding: str) -> dict[str, Any]:
    contender = job.load()
    client = contender.connect(job.base_url)
    model = f"vectors-{COUNT}-{DIMENSIONS}"
    await contender.vectors(client, model, encoding)
    clock = Clock(job.control)
    for _ in range(calls):
        if await contender.vectors(client, model, encoding) != COUNT * DIMENSIONS:
            raise AssertionError("there are numbers missing")
    values = clock.stop()
    await contender.close(client)
    return {"ms_per_call": values["cpu_s"] / calls * 1e3, "calls": calls, **values}
