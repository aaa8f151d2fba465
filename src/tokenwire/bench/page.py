"""A self-contained HTML page with a result's tables and plots, drawn by matplotlib (the extra `bench`)."""

import io
from collections.abc import Callable, Sequence
from datetime import datetime
from html import escape
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from .load import Run
from .report import Table, rows_of, table_of_loads
from .summary import Summary, chunks_in_seconds, percentile

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Results: TypeAlias = Sequence[tuple[Run, Summary]]

INK, FAINT = "#24292f", "#d8dee4"
COLOURS = ("#0969da", "#bc4c00", "#1a7f37", "#8250df", "#bf8700", "#cf222e", "#6e7781", "#54aeff")
MOST_POINTS = 500  # per curve
DECADE = 10
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text
    "figure.constrained_layout.use": True,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": FAINT,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": FAINT,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
}
PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; color: #24292f; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }}
h1 {{ font-size: 1.4rem; margin-bottom: 0 }} h2 {{ font-size: 1.1rem; margin-top: 2.5rem }}
table {{ border-collapse: collapse; margin: 1rem 0 }}
td, th {{ white-space: nowrap; padding: .2rem .9rem; border-bottom: 1px solid #d8dee4; text-align: right; font-variant-numeric: tabular-nums }}
th {{ font-weight: 600 }} .text {{ text-align: left }} td:first-child, th:first-child {{ padding-left: 0 }}
figure {{ margin: 1rem 0 }} svg {{ max-width: 100%; height: auto }}
.about {{ color: #57606a; margin-top: 0 }} .warning {{ border-left: 4px solid #bf8700; padding: .3rem 1rem; background: #fff8c5 }}
</style>
<h1>{title}</h1>
<p class="about">{about}</p>
{body}
</html>
"""


def page(results: Results, *, model: str, base: str | None, at: datetime) -> str:
    """The page.

    Args:
        results: one, or several of a sweep.
        model: the model.
        base: the endpoint's address, if one was given.
        at: when it began.

        Raises:
            ImportError: matplotlib is not installed.
    """
    about = f"{base or 'the default address'}, {at:%Y-%m-%d %H:%M}, measured by tokenwire bench"
    summaries = [summary for _, summary in results]
    parts = [_plots(results), *([_table(table_of_loads(summaries))] if len(results) > 1 else [])]
    for _, summary in results:
        parts.append(f"<h2>{escape(summary.load.label)}</h2>")
        parts += [f'<p class="warning">{escape(summary.warning)}</p>'] if summary.warning else []
        parts += map(_table, rows_of(summary))
    return PAGE.format(title=escape(f"{model}, measured"), about=escape(about), body="\n".join(parts))


def _table(table: Table) -> str:
    kinds = ["" if is_number else ' class="text"' for is_number in table.numbers]
    lines = [(table.head, "th"), *((row, "td") for row in table.rows)]
    rows = (
        "".join(f"<{tag}{kind}>{escape(cell)}</{tag}>" for cell, kind in zip(row, kinds, strict=True)) for row, tag in lines
    )
    return f"<table><tr>{'</tr><tr>'.join(rows)}</tr></table>"


def _plots(results: Results) -> str:
    import matplotlib as mpl

    with mpl.rc_context(STYLE):
        plots = [_drawn(_distributions, results), _drawn(_over_time, results)]
        if len(results) > 1:
            plots.insert(0, _drawn(_sweep, results))
    return "\n".join(f"<figure>{svg}</figure>" for svg in plots)


def _drawn(draw: "Callable[[Results, Axes, Axes], None]", results: Results) -> str:
    """A figure with two plots side by side, as SVG."""
    from matplotlib.figure import Figure  # not pyplot, which needs a display

    figure = Figure(figsize=(11.0, 3.9))
    axes = figure.subplots(1, 2)
    draw(results, axes[0], axes[1])
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    svg = file.getvalue()
    return svg[svg.index("<svg") :]


def _distributions(results: Results, first: "Axes", between: "Axes") -> None:
    """Cumulative distributions of the time to the first token, and of the times between chunks."""
    for number, (run, summary) in enumerate(results):
        good = [record for record in run.records if record.outcome == "ok"]
        label, colour = summary.load.label, COLOURS[number % len(COLOURS)]
        _share(first, [record.ttft for record in good if record.ttft is not None], label, colour)
        _share(between, list(chain.from_iterable(record.intervals for record in good)), label, colour)
    for axes, title, of in ((first, "First token", "requests"), (between, "Between chunks", "intervals")):
        axes.set(title=title, xlabel="milliseconds, at most", ylabel=f"share of {of}, %", ylim=(0, 101))
        _scale(axes, "x")
    if len(results) > 1:
        first.legend(fontsize=8)


def _share(axes: "Axes", seconds: list[float], label: str, colour: str) -> None:
    """A cumulative curve; values below 10 µs are drawn at 10 µs, as the axis is logarithmic."""
    if not seconds:
        return
    ordered, points = sorted(seconds), min(len(seconds), MOST_POINTS)
    shares = [100.0] if points == 1 else [100 * number / (points - 1) for number in range(points)]
    axes.plot([max(0.01, percentile(ordered, share) * 1000) for share in shares], shares, label=label, color=colour)
    if points == 1:
        axes.plot([max(0.01, ordered[0] * 1000)], [100.0], "o", color=colour)


def _over_time(results: Results, pace: "Axes", under_way: "Axes") -> None:
    """Chunks per second, and requests in flight; the runs of a sweep one after the other."""
    since = results[0][0].started
    for number, (run, summary) in enumerate(results):
        begin, colour = run.started - since, COLOURS[number % len(COLOURS)]
        counts = chunks_in_seconds(run.records, run.started)
        seconds = [begin + min(second, run.seconds) for second in range(len(counts) + 1)]
        if counts:
            pace.stairs(counts, seconds, color=colour, fill=True, alpha=0.8, label=summary.load.label)
        times, most = _under_way(run, since)
        under_way.step(times, most, where="post", color=colour)
    pace.set(title="Chunks with content in each second", xlabel="seconds", ylim=(0, None))
    under_way.set(title="Requests in flight", xlabel="seconds", ylim=(0, None))


def _under_way(run: Run, since: float) -> tuple[list[float], list[int]]:
    """The number of requests in flight over time, at most `MOST_POINTS` points."""
    changes = sorted(change for each in run.records for change in ((each.sent, 1), (each.ended or each.sent, -1)))
    times, counts, now = [run.started - since], [0], 0
    every = len(changes) // (4 * MOST_POINTS) + 1
    for number, (at, change) in enumerate(changes, 1):
        now += change
        if number % every == 0 or number == len(changes):
            times.append(at - since)
            counts.append(now)
    return times, counts


def _sweep(results: Results, pace: "Axes", waits: "Axes") -> None:
    """Throughput and latency by load."""
    summaries = [summary for _, summary in results]
    by_rate = len({summary.load.rate for summary in summaries}) > 1
    loads = [(summary.load.rate if by_rate else summary.load.concurrency) or 0 for summary in summaries]
    pace.plot(loads, [summary.tokens_per_second for summary in summaries], "o-", color=COLOURS[0])
    pace.set(title="Tokens a second", ylim=(0, None))
    for name, title, colour in (("ttft", "first token", COLOURS[0]), ("tpot", "time per token", COLOURS[1])):
        for place, style in ((0, "o-"), (3, "o:")):
            points = [
                (load, each.times[name].percentiles[place])
                for load, each in zip(loads, summaries, strict=True)
                if name in each.times
            ]
            if points:
                waits.plot(*zip(*points, strict=True), style, color=colour, label=f"{title}, p{(50, 99)[place > 0]}")
    waits.set(title="Milliseconds")
    _scale(waits, "y")
    waits.legend(fontsize=8)
    for axes in (pace, waits):
        axes.set_xlabel("requests a second" if by_rate else "requests at once")
        if min(loads) > 0:
            axes.set_xscale("log", base=2)
        axes.set_xticks(loads, [f"{load:g}" for load in loads], minor=False)
        axes.minorticks_off()


def _scale(axes: "Axes", which: Literal["x", "y"]) -> None:
    """Make an axis logarithmic if its values span more than a decade; labels are not powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = axis.get_data_interval()
    if not 0 < low * DECADE < high:
        axes.set(**{f"{which}lim": (0, None)})
        return
    axes.set(**{f"{which}scale": "log"})
    axis.set_major_locator(LogLocator(subs=(1.0,) if low * DECADE**2 < high else (1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def is_there() -> bool:
    """Whether matplotlib is installed."""
    from importlib.util import find_spec

    return find_spec("matplotlib") is not None
