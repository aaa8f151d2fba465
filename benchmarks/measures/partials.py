"""A JSON answer in deltas of four characters, looked at as an object whenever more of it arrived."""

from typing import Any

from .. import loops
from ..clock import Clock
from ..objects import text_of
from ..worker import Job

TITLE = "A JSON answer that streams in deltas of four characters, looked at as it grows"
METRICS = {"ms_per_answer": ("ms", "CPU per answer")}
IN_QUICK = False
NEEDS = ("connect", "read_partials", "close")


def cells(quick: bool) -> dict[str, dict[str, Any]]:
    sizes = (24,) if quick else (24, 240)
    return {f"{size} KB, {shape}": {"kilobytes": size, "shape": shape} for shape in ("rows", "long") for size in sizes}


def run(job: Job) -> dict[str, Any]:
    return loops.run(job.loop, lambda: _measure(job, **job.parameters))


async def _measure(job: Job, kilobytes: int, shape: str) -> dict[str, Any]:
    contender = job.load()
    client = contender.connect(job.base_url)
    await contender.read_partials(client, f"partials-1-{shape}")  # warms up
    clock = Clock(job.control)
    found = await contender.read_partials(client, f"partials-{kilobytes}-{shape}")
    values = clock.stop()
    if found != text_of(kilobytes, shape):
        raise AssertionError("the last object is not the whole one")
    await contender.close(client)
    return {"ms_per_answer": values["cpu_s"] * 1e3, **values}
