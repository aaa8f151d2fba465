"""The measures, the contenders, and their environments. Only the standard library here: `work` imports the rest."""

from dataclasses import dataclass

from ..contenders import Group, groups as client_groups


@dataclass(frozen=True)
class Contender:
    """One row of a table.

    Attributes:
        function: in `benchmarks.jobs.work`.
        group: the environment it runs in.
        share: the share of the requested calls that it makes, smaller for slow contenders; costs are per call.
    """

    measure: str
    name: str
    function: str
    group: str = "own"
    share: float = 1.0


@dataclass(frozen=True)
class Measure:
    """One table.

    Attributes:
        title: what stands above it.
        unit: of the figure that decides, the first of each sample.
        base: the contender that the others are compared to.
        target: of tokenwire, in words.
    """

    title: str
    unit: str
    base: str
    target: str


MEASURES = {
    "map": Measure(
        "Many short calls, an endpoint at zero latency, 64 at once",
        "CPU per call, µs",
        "tokenwire, acompletion in tasks",
        "at most 1.35 times bare `acompletion`; openai[aiohttp] at least 8 times `amap`, litellm at least 20 times",
    ),
    "batch": Measure(
        "A file of calls, lines of 500 bytes, 64 at once",
        "CPU per line, µs",
        "tokenwire batch",
        "at least 10 times the lines a second of code that gathers all; asked again after a kill: the calls under way alone",
    ),
    "resume": Measure(
        "A batch of which nine tenths are done: until the first call, and what memory it takes",
        "seconds",
        "tokenwire batch",
        "of 1,000,000 lines: within 5 seconds, at most 16 bytes a line",
    ),
    "gate": Measure(
        "Calls through a gate at which 4,000 others wait",
        "CPU per call, µs",
        "without a gate",
        "at most 15 µs more",
    ),
    "hedge": Measure(
        "First content where 5 % of a server's first tokens are 1 s late, 16 streams at once",
        "milliseconds",
        "without a hedge",
        "p99 at most 0.5 times that without, at most 10 % more requests",
    ),
    "ray": Measure(
        "Rows of a Ray dataset, an endpoint at 0.1 s, one actor, 64 rows at once",
        "seconds per 1,000 rows",
        "tokenwire.ray",
        "at least 8 times the rows a second of ray.data.llm's",
    ),
}

CONTENDERS = [
    Contender("map", "tokenwire, acompletion in tasks", "map_acompletion"),
    Contender("map", "tokenwire, amap", "map_amap"),
    Contender("map", "aiohttp by hand, tasks", "map_aiohttp", "openai"),
    Contender("map", "openai[aiohttp], semaphore", "map_openai", "openai", 0.1),
    Contender("map", "litellm, semaphore", "map_litellm", "litellm", 0.05),
    Contender("batch", "tokenwire batch", "batch_tokenwire"),
    Contender("batch", "openai[aiohttp], all gathered, written at the end", "batch_gathered", "openai", 0.1),
    Contender("resume", "tokenwire batch", "resume_tokenwire"),
    Contender("gate", "without a gate", "gate_none"),
    Contender("gate", "at a gate, 4 wait", "gate_few"),
    Contender("gate", "at a gate, 4,000 wait", "gate_many"),
    Contender("hedge", "without a hedge", "hedge_none"),
    Contender("hedge", "Hedge(after=0.3)", "hedge_after"),
    Contender("hedge", 'Hedge(after="p95")', "hedge_p95"),
    Contender("ray", "tokenwire.ray", "ray_tokenwire", "ray"),
    Contender("ray", "ray.data.llm, HTTP processor", "ray_llm", "ray", 0.25),
]


def groups() -> dict[str, Group]:
    """The environments by name."""
    found = client_groups()
    needs = found["own"].requirements[:5]
    ray = Group(("ray[data]>=2.60", "aiohttp", "pydantic", *needs), ("ray", "pyarrow", "aiohttp"))
    return {**{name: found[name] for name in ("own", "openai", "litellm")}, "ray": ray}
