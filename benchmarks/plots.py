"""Three pictures of a run, as SVG text: bars, curves over the streams in flight, and distributions.

All axes of cost are logarithmic, or the field would leave no room to see the floor. A contender has the same colour in
every picture, and its name stands beside its line.
"""

import math
import statistics
from collections.abc import Iterable
from html import escape
from typing import Any

WIDTH = 860
LEFT, RIGHT, TOP, BOTTOM = 70, 190, 64, 52
FONT = "font-family='system-ui, -apple-system, Segoe UI, sans-serif'"
INK, FAINT, PAPER = "#24292f", "#d8dee4", "#ffffff"
COLOURS = {
    "floor": "#6e7781",
    "tokenwire": "#0969da",
    "httpx + httpx-sse": "#1a7f37",
    "openai": "#bf8700",
    "openai[aiohttp]": "#bc4c00",
    "any-llm": "#8250df",
    "litellm": "#cf222e",
}
ON_LINES = ("floor", "tokenwire", "httpx + httpx-sse", "openai", "openai[aiohttp]", "any-llm", "litellm")


def draw(results: dict[str, Any]) -> dict[str, str]:
    """The pictures that the results have data for, by file name."""
    pictures = {
        "burst": _bars(results, "burst", "", "us_per_chunk", "CPU per chunk, one stream as fast as it comes", "µs"),
        "paced": _bars(results, "paced", "plain", "us_per_chunk", "CPU per chunk, 100 streams with 50 events/s each", "µs"),
        "in_flight": _in_flight(results),
        "first_token": _first_token(results),
    }
    return {name: picture for name, picture in pictures.items() if picture is not None}


def _samples(results: dict[str, Any], measure: str, cell: str | None = None) -> Iterable[dict[str, Any]]:
    rows = (row for row in results["results"] if row["measure"] == measure and row["samples"])
    return [row for row in rows if cell is None or row["cell"] == cell]


def _colour(contender: str) -> str:
    return COLOURS.get(contender) or next((COLOURS[name] for name in COLOURS if contender.startswith(name)), INK)


def _bars(results: dict[str, Any], measure: str, cell: str, metric: str, title: str, unit: str) -> str | None:
    """One bar for each contender, on a logarithmic axis."""
    rows = [
        (row["contender"], statistics.median(sample[metric] for sample in row["samples"]))
        for row in _samples(results, measure, cell)
    ]
    if not rows:
        return None
    step = 26
    left = 190
    height = TOP + step * len(rows) + BOTTOM
    scale = _Scale([value for _, value in rows], left, WIDTH - 90, whole_decades=True)
    parts = [*_frame(height, title), *_vertical_grid(scale, TOP - 4, height - BOTTOM, unit)]
    for place, (name, value) in enumerate(rows):
        y = TOP + step * place
        width = max(2.0, scale(value) - left)
        parts.append(_text(left - 8, y + 15, name, anchor="end"))
        parts.append(f"<rect x='{left}' y='{y + 3}' width='{width:.1f}' height='{step - 9}' rx='2' fill='{_colour(name)}'/>")
        parts.append(_text(left + width + 6, y + 15, f"{value:.3g}", bold=True))
    return _svg(height, parts)


def _in_flight(results: dict[str, Any]) -> str | None:
    """Cost of a request against the streams in flight."""
    curves: dict[str, list[tuple[float, float]]] = {}
    for row in _samples(results, "in_flight"):
        if row["contender"] in ON_LINES:
            cost = statistics.median(sample["us_per_request"] for sample in row["samples"])
            curves.setdefault(row["contender"], []).append((float(row["cell"]), cost))
    if not curves:
        return None
    height = 420
    streams = sorted({x for points in curves.values() for x, _ in points})
    across = _Scale(streams, LEFT, WIDTH - RIGHT)
    up = _Scale([y for points in curves.values() for _, y in points], height - BOTTOM, TOP, whole_decades=True)
    parts = [*_frame(height, "CPU per streamed call, by how many streams are in flight"), *_horizontal_grid(up, "µs")]
    parts += [_text(across(x), height - BOTTOM + 20, f"{x:.0f}", anchor="middle") for x in streams]
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, height - 12, "streams in flight", anchor="middle"))
    ends: list[tuple[str, float, float]] = []
    for name, points in curves.items():
        places = [(across(x), up(y)) for x, y in sorted(points)]
        parts.append(_line(places, _colour(name)))
        parts += [f"<circle cx='{x:.1f}' cy='{y:.1f}' r='3.5' fill='{_colour(name)}'/>" for x, y in places]
        ends.append((name, *places[-1]))
    return _svg(height, parts + _names(ends))


def _first_token(results: dict[str, Any]) -> str | None:
    """What share of the calls had their first token after how long."""
    curves: dict[str, list[float]] = {}
    for row in _samples(results, "first_token"):
        if row["contender"] in ON_LINES:
            columns = zip(*(sample["percentiles_us"] for sample in row["samples"]), strict=True)
            curves[row["contender"]] = [statistics.median(column) for column in columns]
    if not curves:
        return None
    height = 420
    across = _Scale([value for curve in curves.values() for value in curve[:100]], LEFT, WIDTH - RIGHT, whole_decades=True)
    parts = [*_frame(height, "Time to the first token on a warm connection, the server at zero latency")]
    parts += _vertical_grid(across, TOP, height - BOTTOM, "µs")
    bottom, span = height - BOTTOM, height - BOTTOM - TOP
    for share in (0, 25, 50, 75, 99):
        y = bottom - span * share / 100
        parts.append(f"<line x1='{LEFT}' x2='{WIDTH - RIGHT}' y1='{y:.1f}' y2='{y:.1f}' stroke='{FAINT}'/>")
        parts.append(_text(LEFT - 8, y + 4, f"p{share}", anchor="end"))
    ends: list[tuple[str, float, float]] = []
    for name, curve in curves.items():
        places = [(across(value), bottom - span * share / 100) for share, value in enumerate(curve[:100])]
        parts.append(_line(places, _colour(name)))
        ends.append((name, *places[50]))
    return _svg(height, parts + [_label(name, x, y) for name, x, y in _apart_on_steps(ends, span)])


class _Scale:
    """Values to places, logarithmically."""

    def __init__(self, values: Iterable[float], start: float, end: float, *, whole_decades: bool = False) -> None:
        low, high = math.log10(min(values)), math.log10(max(values))
        if whole_decades:
            low, high = math.floor(low), math.ceil(high)
        self.low, self.high = low, max(high, low + 0.1)
        self._start, self._end = start, end

    def __call__(self, value: float) -> float:
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return self._start + (self._end - self._start) * share

    def decades(self) -> list[float]:
        """The powers of ten on the axis."""
        return [10.0**power for power in range(math.ceil(self.low), math.floor(self.high) + 1)]


def _frame(height: int, title: str) -> list[str]:
    return [f"<rect width='{WIDTH}' height='{height}' rx='6' fill='{PAPER}'/>", _text(20, 30, title, size=17, bold=True)]


def _vertical_grid(scale: _Scale, top: float, bottom: float, unit: str) -> list[str]:
    parts: list[str] = []
    for value in scale.decades():
        x = scale(value)
        parts.append(f"<line x1='{x:.1f}' x2='{x:.1f}' y1='{top}' y2='{bottom}' stroke='{FAINT}'/>")
        parts.append(_text(x, bottom + 20, _amount(value, unit), anchor="middle"))
    return parts


def _horizontal_grid(scale: _Scale, unit: str) -> list[str]:
    parts: list[str] = []
    for value in scale.decades():
        y = scale(value)
        parts.append(f"<line x1='{LEFT}' x2='{WIDTH - RIGHT}' y1='{y:.1f}' y2='{y:.1f}' stroke='{FAINT}'/>")
        parts.append(_text(LEFT - 8, y + 4, _amount(value, unit), anchor="end"))
    return parts


def _amount(value: float, unit: str) -> str:
    if unit == "µs" and value >= 1000:
        return f"{value / 1000:g} ms"
    return f"{value:g} {unit}"


def _names(ends: list[tuple[str, float, float]]) -> list[str]:
    """Names behind the ends of lines, moved apart where they would cover each other."""
    parts: list[str] = []
    lowest = -math.inf
    for name, x, y in sorted(ends, key=lambda end: end[2]):
        lowest = max(y, lowest + 16)
        parts.append(_text(x + 10, lowest + 4, name, colour=_colour(name), bold=True))
    return parts


def _apart_on_steps(ends: list[tuple[str, float, float]], span: float) -> list[tuple[str, float, float]]:
    """Names beside steep lines, each lower than its left neighbour's, so that none covers another."""
    ordered = sorted(ends, key=lambda end: end[1])
    step = span / (len(ordered) + 1)
    return [(name, x, TOP + step * (place + 1)) for place, (name, x, _) in enumerate(ordered)]


def _label(name: str, x: float, y: float) -> str:
    return _text(x + 8, y, name, colour=_colour(name), bold=True, halo=True)


def _line(places: list[tuple[float, float]], colour: str) -> str:
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    return f"<polyline points='{points}' fill='none' stroke='{colour}' stroke-width='2.2' stroke-linejoin='round'/>"


def _text(
    x: float,
    y: float,
    words: str,
    *,
    anchor: str = "start",
    size: int = 13,
    colour: str = INK,
    bold: bool = False,
    halo: bool = False,
) -> str:
    weight = " font-weight='600'" if bold else ""
    outline = f" stroke='{PAPER}' stroke-width='4' paint-order='stroke'" if halo else ""
    return (
        f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}' font-size='{size}' fill='{colour}'{weight}{outline} {FONT}>"
        f"{escape(words)}</text>"
    )


def _svg(height: int, parts: list[str]) -> str:
    head = f"<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{height}' viewBox='0 0 {WIDTH} {height}'>"
    return "\n".join([head, *parts, "</svg>\n"])
