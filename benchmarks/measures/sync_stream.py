"""The same burst, read by sync code. CPU of all threads counts."""

from typing import Any

from ..clock import Clock
from ..worker import Job
from .burst import cells as cells, check, of_kind, per_chunk

TITLE = "Sync: one stream as fast as it comes, read by sync code"
METRICS = {"us_per_chunk": ("µs", "CPU per chunk"), "chunks_per_s": ("/s", "chunks per second")}
IN_QUICK = False
NEEDS = ("connect_sync", "read_sync", "close_sync")


def run(job: Job) -> dict[str, Any]:
    return _measure(job, **job.parameters)


def _measure(job: Job, chunks: int, least_cpu_s: float, kind: str = "") -> dict[str, Any]:
    contender = job.load()
    client = contender.connect_sync(job.base_url)
    read, model = of_kind(contender, "read_sync", kind), f"burst-{chunks}-{kind or 'text'}"
    check(read(client, model), chunks)  # warms up
    count = 0
    clock = Clock(job.control)
    while clock.cpu < least_cpu_s:
        count += read(client, model)
    values = clock.stop()
    check(count % chunks, 0)
    contender.close_sync(client)
    return per_chunk(values, count)
