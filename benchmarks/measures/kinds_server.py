"""A handler's chunks of each kind, served: what the app and the library under it take until each is an event's bytes."""

from typing import Any

from .. import loops
from ..clock import Clock
from ..worker import Job
from .burst import per_chunk
from .kinds_handler import METRICS as METRICS, cells as cells

TITLE = "Kinds: a custom handler's chunks, served, without a network"
IN_QUICK = False
NEEDS = ("serve_kind",)
BASE = "text"
MOST_OTHERS = 3  # events beside the chunks: the role, the finish, the usage


def run(job: Job) -> dict[str, Any]:
    return loops.run(job.loop, lambda: _measure(job, **job.parameters))


async def _measure(job: Job, chunks: int, least_cpu_s: float, kind: str) -> dict[str, Any]:
    contender = job.load()
    sent = await contender.serve_kind(chunks, kind)
    if not chunks <= sent <= chunks + MOST_OTHERS:
        raise AssertionError(f"{sent} events were sent for {chunks} chunks")
    count = 0
    clock = Clock(job.control)
    while clock.cpu < least_cpu_s:
        await contender.serve_kind(chunks, kind)
        count += chunks
    return per_chunk(clock.stop(), count)
