"""What a request costs while so many are under way.

Each of N readers makes one call after another. The server holds the rest of every answer back for a while, long enough
that the calls per second are the same for every N (where the client keeps up): what differs is how many wait.
"""

from functools import partial
from typing import Any

from .. import loops
from ..clock import Clock
from ..worker import Job

TITLE = "In flight: a streamed call while N are under way"
METRICS = {
    "us_per_request": ("µs", "CPU per request"),
    "us_per_first": ("µs", "CPU per request that opens its connection"),
    "requests_per_s": ("/s", "requests per second"),
}
IN_QUICK = True
NEEDS = ("connect", "read", "close")
RATE = 2000  # requests per second


def cells(quick: bool) -> dict[str, dict[str, Any]]:
    if quick:
        return {"64": {"streams": 64, "each": 8}}
    return {str(streams): {"streams": streams, "each": max(2, 4000 // streams)} for streams in (64, 512, 2048, 4096)}


def run(job: Job) -> dict[str, Any]:
    return loops.run(job.loop, lambda: _measure(job, **job.parameters))


async def _measure(job: Job, streams: int, each: int) -> dict[str, Any]:
    contender = job.load()
    client = contender.connect(job.base_url)
    model = f"inflight-{round(streams / RATE * 1000)}"

    async def reader() -> None:
        for _ in range(each):
            await contender.read(client, model)

    opening = Clock(job.control)
    await loops.gather([partial(contender.read, client, model)] * streams)
    opened = opening.stop()
    clock = Clock(job.control)
    await loops.gather([reader] * streams)
    values = clock.stop()
    await contender.close(client)
    requests = streams * each
    return {
        "us_per_request": values["cpu_s"] / requests * 1e6,
        "us_per_first": opened["cpu_s"] / streams * 1e6,
        "requests_per_s": requests / values["wall_s"],
        "requests": requests,
        **values,
    }
