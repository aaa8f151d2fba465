"""One stream after another, each as fast as it comes."""

from collections.abc import Callable
from functools import partial
from typing import Any

from .. import loops
from ..clock import Clock
from ..worker import Job

TITLE = "Burst: one stream as fast as it comes"
METRICS = {"us_per_chunk": ("µs", "CPU per chunk"), "chunks_per_s": ("/s", "chunks per second")}
IN_QUICK = True
NEEDS = ("connect", "read", "close")


def cells(quick: bool) -> dict[str, dict[str, Any]]:
    return {"": {"chunks": 2_000, "least_cpu_s": 0.1} if quick else {"chunks": 10_000, "least_cpu_s": 0.5}}


def run(job: Job) -> dict[str, Any]:
    return loops.run(job.loop, lambda: _measure(job, **job.parameters))


async def _measure(job: Job, chunks: int, least_cpu_s: float, kind: str = "") -> dict[str, Any]:
    contender = job.load()
    client = contender.connect(job.base_url)
    read, model = of_kind(contender, "read", kind), f"burst-{chunks}-{kind or 'text'}"
    try:
        check(await read(client, model), chunks)  # warms up
        count = 0
        clock = Clock(job.control)
        while clock.cpu < least_cpu_s:
            count += await read(client, model)
        values = clock.stop()
        check(count % chunks, 0)
    finally:
        await contender.close(client)
    return per_chunk(values, count)


def of_kind(contender: Any, name: str, kind: str) -> Callable[..., Any]:
    """A contender's function for one of `benchmarks.kinds`, as it is for text where none is named."""
    return partial(getattr(contender, f"{name}_kind"), kind=kind) if kind else getattr(contender, name)


def check(got: int, expected: int) -> None:
    """Fail if a contender did not do all the work."""
    if got != expected:
        raise AssertionError(f"{got} chunks with what they bring were read, not {expected}")


def per_chunk(values: dict[str, float], count: int) -> dict[str, Any]:
    """The values, with those per chunk."""
    return {
        "us_per_chunk": values["cpu_s"] / count * 1e6,
        "chunks_per_s": count / values["wall_s"],
        "chunks": count,
        **values,
    }
