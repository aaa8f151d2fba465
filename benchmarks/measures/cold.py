"""The first call of a process: imports, client, connection, and the first text."""

import time
from typing import Any

from .. import loops
from ..worker import Job

TITLE = "Cold: a new process's first call, from before the import to the first text"
METRICS = {"ms": ("ms", "time"), "cpu_ms": ("ms", "CPU")}
IN_QUICK = False
NEEDS = ("connect", "read_first", "close")


def cells(quick: bool) -> dict[str, dict[str, Any]]:
    return {"": {}}


def run(job: Job) -> dict[str, Any]:
    cpu, wall = time.process_time(), time.perf_counter()

    async def main() -> tuple[float, float]:
        contender = job.load()
        client = contender.connect(job.base_url)
        first = await contender.read_first(client, "first")
        used = time.process_time()
        await contender.close(client)
        return first, used

    first, used = loops.run(job.loop, main)
    return {"ms": (first - wall) * 1e3, "cpu_ms": (used - cpu) * 1e3}
