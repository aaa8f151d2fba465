"""The memory that an open stream takes, with the task that reads it: the process's own, without the kernel's buffers."""

import gc
import os
from functools import partial
from pathlib import Path
from typing import Any

from .. import loops
from ..clock import ask_server, wait_until_held
from ..worker import Job

TITLE = "Memory: streams that are open and have said their first word"
METRICS = {"kb_per_stream": ("KB", "memory per open stream")}
IN_QUICK = True
NEEDS = ("connect", "read", "close")


def cells(quick: bool) -> dict[str, dict[str, Any]]:
    return {str(streams): {"streams": streams} for streams in ((200,) if quick else (1000, 5000))}


def run(job: Job) -> dict[str, Any]:
    return loops.run(job.loop, lambda: _measure(job, **job.parameters))


def resident_bytes() -> int:
    """What this process has in memory now (Linux)."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def _measure(job: Job, streams: int) -> dict[str, Any]:
    contender = job.load()
    client = contender.connect(job.base_url)
    await loops.gather([partial(contender.read, client, "inflight-100")] * 20)
    gc.collect()
    before = resident_bytes()
    found: list[int] = []

    async def look() -> int:
        try:
            await wait_until_held(job.control, streams)
            gc.collect()
            found.append(resident_bytes())
        finally:
            ask_server(job.control, "release")
        return 0

    await loops.gather([*[partial(contender.read, client, "hold")] * streams, look])
    await contender.close(client)
    return {"kb_per_stream": (found[0] - before) / streams / 1024, "mb_before": before / 2**20}
