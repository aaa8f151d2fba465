"""Two saved results side by side."""

from typing import NamedTuple

from .saved import Fields
from .summary import PERCENTILES

# The values to compare, in order: field, title, unit, and whether more is better.
ROWS = (
    ("completed", "ok", "", True),
    ("failed", "failed or truncated", "", False),
    ("request_throughput", "requests/s", "", True),
    ("request_goodput", "goodput, requests/s", "", True),
    ("output_throughput", "tokens/s", "", True),
    *(
        (f"p{percent}_{name}_ms", f"{title}, p{percent}", "ms", False)
        for name, title in (
            ("ttft", "first token"),
            ("ttft_including_client_queue", "first token, from schedule"),
            ("tpot", "time per token"),
            ("itl", "between chunks"),
            ("e2el", "whole"),
            ("e2el_including_client_queue", "whole, from schedule"),
        )
        for percent in PERCENTILES
    ),
    ("client_cpu_us_per_chunk", "client's CPU per chunk", "µs", False),
)


class Row(NamedTuple):
    """One value in both results.

    Attributes:
        title: its name.
        unit: the values' unit.
        before, after: the values.
        change: the relative change from the first to the second; None if the first is 0.
        better: whether the second is better; None if they are equal.
    """

    title: str
    unit: str
    before: float
    after: float
    change: float | None
    better: bool | None


class Comparison(NamedTuple):
    """Two results under the same load.

    Attributes:
        load: the first one's load.
        other_load: the second one's load.
        rows: the values that both have.
    """

    load: str
    other_load: str
    rows: list[Row]


def compared(first: list[Fields], second: list[Fields]) -> list[Comparison]:
    """Compare the results of two files: those under the same load, or the only ones of both."""
    if len(first) == len(second) == 1:
        pairs = [(first[0], second[0])]
    else:
        others = {_load(each): each for each in second}
        pairs = [(each, others[_load(each)]) for each in first if _load(each) in others]
    return [Comparison(_load(one), _load(other), _rows(one, other)) for one, other in pairs]


def _rows(first: Fields, second: Fields) -> list[Row]:
    rows: list[Row] = []
    for field, title, unit, more_is_better in ROWS:
        before, after = _number(first, field), _number(second, field)
        if before is not None and after is not None:
            change = (after - before) / before if before else None
            rows.append(
                Row(title, unit, before, after, change, None if before == after else (after > before) is more_is_better)
            )
    return rows


def _number(fields: Fields, name: str) -> float | None:
    value = fields.get(name)
    if value is None and name.startswith("p50_"):  # vLLM's bench has it as the median
        value = fields.get(f"median_{name.removeprefix('p50_')}")
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _load(fields: Fields) -> str:
    rate, most = fields.get("request_rate"), fields.get("max_concurrency")
    words = [f"{rate:g} requests/s"] if isinstance(rate, int | float) else []
    words += [] if most is None else [f"concurrency {most}"]
    return ", ".join(words) or "no limit"
