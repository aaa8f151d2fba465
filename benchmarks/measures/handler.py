"""A stream that a handler of the user's makes, with no network: what the library adds to each chunk."""

from typing import Any

from .. import loops
from ..clock import Clock
from ..worker import Job
from .burst import check, of_kind, per_chunk

TITLE = "Handler: the chunks of a custom handler, without a network"
METRICS = {"us_per_chunk": ("µs", "CPU per chunk"), "chunks_per_s": ("/s", "chunks per second")}
IN_QUICK = True
NEEDS = ("read_handler",)


def cells(quick: bool) -> dict[str, dict[str, Any]]:
    if quick:
        return {"": {"chunks": 2_000, "least_cpu_s": 0.1}}
    return {"": {"chunks": 10_000, "least_cpu_s": 0.5}, "calls of one chunk": {"chunks": 1, "least_cpu_s": 0.5}}


def run(job: Job) -> dict[str, Any]:
    return loops.run(job.loop, lambda: _measure(job, **job.parameters))


async def _measure(job: Job, chunks: int, least_cpu_s: float, kind: str = "") -> dict[str, Any]:
    read = of_kind(job.load(), "read_handler", kind)
    check(await read(chunks), chunks)
    count = 0
    clock = Clock(job.control)
    while clock.cpu < least_cpu_s:
        count += await read(chunks)
    return per_chunk(clock.stop(), count)
