"""A summary as tables of text, for the terminal and the page."""

from collections.abc import Sequence
from typing import NamedTuple

from .compare import Comparison
from .summary import PERCENTILES, Spread, Summary

TITLES = {
    "ttfc": "first chunk",
    "ttft": "first token",
    "ttfo": "first token after reasoning",
    "tpot": "time per token",
    "itl": "between chunks",
    "e2el": "whole",
    "client_queue_time": "sent after schedule",
    "ttft_including_client_queue": "first token, from schedule",
    "e2el_including_client_queue": "whole, from schedule",
}
COUNTED = {
    "usage": "counted by the server",
    "chunks": "chunks: the server counts no tokens",
    "usage and chunks": "counted by the server in some answers, chunks in others",
}


class Table(NamedTuple):
    """Rows of text under a head.

    Attributes:
        head: the columns' names, the first of which is the table's title.
        rows: rows with as many cells.
        notes: whether the last column has text. The first column has text, all others have numbers.
    """

    head: tuple[str, ...]
    rows: list[tuple[str, ...]]
    notes: bool = False

    @property
    def numbers(self) -> list[bool]:
        """For each column, whether it has numbers."""
        last = len(self.head) - 1
        return [number > 0 and not (self.notes and number == last) for number in range(last + 1)]


def rows_of(summary: Summary) -> list[Table]:
    """The tables of a run: counts of requests, and times."""
    times = [(TITLES[name], *_cells(spread)) for name, spread in summary.times.items()]
    if summary.lag is not None:
        times.append(("this client's loop lag", *_cells(summary.lag)))
    head = ("milliseconds", "mean", *(f"p{percent}" for percent in PERCENTILES))
    return [Table(("requests", "", ""), _counts(summary), notes=True), Table(head, times)]


def table_of_loads(summaries: Sequence[Summary]) -> Table:
    """The loads of a sweep, one per row."""
    waits = ("token 1 p50", "p99", "per token p50", "p99", "whole p50", "p99")
    rows: list[tuple[str, ...]] = []
    for each in summaries:
        spreads = [each.times.get(name) for name in ("ttft", "tpot", "e2el")]
        cells = ["" if spread is None else _milliseconds(spread.percentiles[place]) for spread in spreads for place in (0, -1)]
        paces = (f"{each.requests_per_second:.2f}", f"{each.tokens_per_second:.1f}")
        rows.append((each.load.label, f"{each.ok}/{each.requests}", *paces, *cells))
    return Table(("load (times in ms)", "ok", "requests/s", "tokens/s", *waits), rows)


def _cells(spread: Spread) -> tuple[str, ...]:
    return tuple(map(_milliseconds, (spread.mean, *spread.percentiles)))


def _milliseconds(value: float) -> str:
    return f"{value:.0f}" if value >= 10_000 else f"{value:.1f}" if value >= 100 else f"{value:.2f}"


def _counts(summary: Summary) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("ok", str(summary.ok), "" if not summary.stopped else "stopped early")]
    rows += [("truncated", str(summary.truncated), "")] if summary.truncated else []
    rows += [(name, str(count), _short(summary.messages.get(name, ""))) for name, count in summary.failed.items()]
    rows += [("cancelled", str(summary.cancelled), "")] if summary.cancelled else []
    rows += [
        ("seconds", f"{summary.duration:.2f}", ""),
        ("most at once", str(summary.peak_concurrency), ""),
        ("requests/s", f"{summary.requests_per_second:.2f}", ""),
    ]
    if summary.goodput is not None:
        targets = " ".join(f"{name}:{most:g}" for name, most in summary.targets.items())
        rows.append(("goodput, requests/s", f"{summary.goodput:.2f}", targets))
    return [
        *rows,
        ("tokens/s", f"{summary.tokens_per_second:.1f}", COUNTED.get(summary.tokens_from, "")),
        ("chunks/s", f"{summary.chunks_per_second:.1f}", ""),
        ("this client's CPU", f"{summary.cpu_share:.0%}", f"of a core, {summary.cpu_per_chunk:.1f} µs a chunk"),
    ]


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."


def table_of(comparison: Comparison) -> Table:
    """Two results side by side, with a verdict on the second."""
    rows: list[tuple[str, ...]] = []
    for row in comparison.rows:
        change = "" if row.change is None else f"{row.change:+.1%}"
        verdict = "" if row.better is None else "better" if row.better else "worse"
        unit = f" {row.unit}" if row.unit else ""
        rows.append((row.title + unit, f"{row.before:.2f}", f"{row.after:.2f}", change, verdict))
    load, other = comparison.load, comparison.other_load
    return Table((load if load == other else f"{load} | {other}", "A", "B", "change", "B is"), rows, notes=True)
