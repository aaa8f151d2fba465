"""The plots of a run: bars, curves over the streams in flight, distributions, and the kinds of chunks beside one another.

matplotlib draws them (the extra `bench`), and is imported when they are drawn. All axes of cost are logarithmic, or the
field would leave no room to see the floor. A contender has the same colour in every plot. Legends stand outside the
axes, where they can't cover anything, in the order of the lines. The same results make the same bytes.
"""

import math
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .kinds import KINDS
from .reading import figure

WIDTH, MARGIN = 9.0, 0.12  # inches
INK, FAINT = "#24292f", "#d8dee4"
COLOURS = {
    "floor": "#6e7781",
    "lower floor": "#afb8c1",
    "tokenwire": "#0969da",
    "tokenwire astreaming": "#54aeff",
    "httpx + httpx-sse": "#1a7f37",
    "openai": "#bf8700",
    "openai[aiohttp]": "#bc4c00",
    "any-llm": "#8250df",
    "litellm": "#cf222e",
}
ON_LINES = ("floor", "tokenwire", "httpx + httpx-sse", "openai", "openai[aiohttp]", "any-llm", "litellm")
OF_KINDS = ("floor", "tokenwire", "tokenwire astreaming", "httpx + httpx-sse", "openai", "any-llm", "litellm")
STYLE = {
    "svg.hashsalt": "tokenwire",  # the ids in a file follow from it
    "svg.fonttype": "none",  # text stays text; the font it is laid out for is wider than those that viewers put in its place
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": MARGIN,
    "figure.constrained_layout.w_pad": MARGIN,
    "figure.facecolor": "white",
    "font.size": 10,
    "figure.titlesize": 12,
    "figure.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": FAINT,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": FAINT,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "lines.markersize": 6,
}


def save(results: dict[str, Any], folder: Path) -> None:
    """Draw the plots that the results have data for, as SVG files.

    Raises:
        ImportError: there is no matplotlib.
    """
    import matplotlib as mpl

    with mpl.rc_context(STYLE):
        for name, plot in figures(results).items():
            plot.savefig(folder / f"{name}.svg", metadata={"Date": None, "Creator": None})


def save_bars(costs: dict[str, float], title: str, file: Path) -> None:
    """Draw one bar of microseconds for each contender, as an SVG file.

    Raises:
        ImportError: there is no matplotlib.
    """
    import matplotlib as mpl

    with mpl.rc_context(STYLE):
        plot = _bars(costs, title)
        if plot is not None:
            plot.draw_without_rendering()
            plot.savefig(file, metadata={"Date": None, "Creator": None})


def figures(results: dict[str, Any]) -> dict[str, Any]:
    """The plots by file name, each a matplotlib `Figure`."""
    import matplotlib as mpl

    with mpl.rc_context(STYLE):
        drawn = {name: draw(results) for name, draw in _PLOTS.items()}
        plots = {name: plot for name, plot in drawn.items() if plot is not None}
        for plot in plots.values():
            plot.draw_without_rendering()  # ticks are made when they are drawn, in the style of that moment
    return plots


def _burst(results: dict[str, Any]) -> Any:
    return _bars(_medians(results, "burst", "", "us_per_chunk"), "CPU per chunk, one stream as fast as it comes")


def _paced(results: dict[str, Any]) -> Any:
    title = "CPU per chunk, 100 streams with 50 events/s each"
    return _bars(_medians(results, "paced", "plain", "us_per_chunk"), title)


def _bars(values: dict[str, float], title: str) -> Any:
    """One bar for each contender, with its figure."""
    if not values:
        return None
    axes = _axes(title, 1.3 + 0.27 * len(values))
    bars = axes.barh(list(values), list(values.values()), height=0.7, color=[_colour(name) for name in values])
    axes.bar_label(bars, labels=[figure(value) for value in values.values()], padding=4)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    _cost_axis(axes, "x", values.values(), room=3.0)
    return axes.figure


def _in_flight(results: dict[str, Any]) -> Any:
    """Cost of a request against the streams in flight."""
    cells = [cell for cell in _cells(results, "in_flight") if cell.isdigit()]
    curves: dict[str, dict[int, float]] = {}
    for cell in sorted(cells, key=int):
        for name, value in _medians(results, "in_flight", cell, "us_per_request", ON_LINES).items():
            curves.setdefault(name, {})[int(cell)] = value
    if not curves:
        return None
    axes = _axes("CPU per streamed call, by how many streams are in flight", 4.4)
    for name in sorted(curves, key=lambda name: -list(curves[name].values())[-1]):
        axes.plot(list(curves[name]), list(curves[name].values()), marker="o", color=_colour(name), label=name)
    axes.set_xscale("log")
    axes.set_xticks([int(cell) for cell in cells], cells)
    axes.minorticks_off()
    axes.set_xlabel("streams in flight")
    _cost_axis(axes, "y", [value for curve in curves.values() for value in curve.values()])
    axes.figure.legend(loc="outside right center")
    return axes.figure


def _first_token(results: dict[str, Any]) -> Any:
    """What share of the calls had their first token after how long."""
    curves = {
        row["contender"]: [
            statistics.median(column) for column in zip(*(sample["percentiles_us"] for sample in row["samples"]), strict=True)
        ][:100]
        for row in _rows(results, "first_token")
        if row["contender"] in ON_LINES
    }
    if not curves:
        return None
    axes = _axes("Time to the first token on a warm connection, the server at zero latency", 4.4)
    for name in sorted(curves, key=lambda name: curves[name][50]):
        axes.plot(curves[name], range(len(curves[name])), color=_colour(name), linewidth=2, label=name)
    shares = (0, 25, 50, 75, 99)
    axes.set_yticks(shares, [f"p{share}" for share in shares])
    _cost_axis(axes, "x", [value for curve in curves.values() for value in curve])
    axes.figure.legend(loc="outside right center")
    return axes.figure


def _kinds(results: dict[str, Any]) -> Any:
    """A row for each kind of chunks, a dot for each contender."""
    kinds = [kind for kind in KINDS if kind in _cells(results, "kinds_burst")]
    dots = {kind: _medians(results, "kinds_burst", kind, "us_per_chunk", OF_KINDS) for kind in kinds}
    names = [name for name in OF_KINDS if any(name in values for values in dots.values())]
    if not names:
        return None
    axes = _axes("CPU per chunk, one stream as fast as it comes, by what the server streams", 1.8 + 0.3 * len(kinds))
    for name in names:
        found = [(values[name], KINDS[kind].title.replace("`", "")) for kind, values in dots.items() if name in values]
        axes.plot(*zip(*found, strict=True), linestyle="", marker="o", color=_colour(name), label=name, alpha=0.85)
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    _cost_axis(axes, "x", [value for values in dots.values() for value in values.values()])
    axes.figure.legend(loc="outside lower center", ncols=4)
    return axes.figure


_PLOTS = {"burst": _burst, "paced": _paced, "in_flight": _in_flight, "first_token": _first_token, "kinds": _kinds}


def _rows(results: dict[str, Any], measure: str) -> list[dict[str, Any]]:
    return [row for row in results["results"] if row["measure"] == measure and row["samples"]]


def _cells(results: dict[str, Any], measure: str) -> list[str]:
    return list(dict.fromkeys(row["cell"] for row in _rows(results, measure)))


def _medians(
    results: dict[str, Any], measure: str, cell: str, metric: str, names: Iterable[str] | None = None
) -> dict[str, float]:
    """A metric's median for each contender, or for those that are named."""
    return {
        row["contender"]: statistics.median(sample[metric] for sample in row["samples"])
        for row in _rows(results, measure)
        if row["cell"] == cell and (names is None or row["contender"] in names)
    }


def _colour(contender: str) -> str:
    """That of the longest name which the contender's begins with: a library has one on all loops."""
    names = [name for name in COLOURS if contender.startswith(name)]
    return COLOURS[max(names, key=len)] if names else INK


def _axes(title: str, height: float) -> Any:
    from matplotlib.figure import Figure  # without pyplot, which would look for a screen

    plot = Figure(figsize=(WIDTH, height))
    plot.suptitle(title, x=MARGIN / WIDTH, ha="left")  # the figure's: an axes' own could be wider than the axes
    return plot.subplots()


def _cost_axis(axes: Any, which: str, values: Iterable[float], *, room: float = 1.0) -> None:
    """A logarithmic axis of microseconds in whole decades, longer by `room` for what stands behind the largest value."""

    from matplotlib.ticker import FuncFormatter

    low, high = min(values), max(values)
    bottom, top = 10.0 ** math.floor(math.log10(low)), 10.0 ** math.ceil(math.log10(high))
    axes.set(**{f"{which}scale": "log", f"{which}lim": (bottom, max(top, high * room))})
    axis = getattr(axes, f"{which}axis")
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / 1000:g} ms" if value >= 1000 else f"{value:g} µs"))
    axis.set_tick_params(which="minor", length=0)
