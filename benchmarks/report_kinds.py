"""The kinds of chunks: a table for each event loop, and the README's section about them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .kinds import KINDS
from .measures import MEASURES
from .reading import TIMES, figure, median_of, row_of

KINDS_MEASURES = [name for name in MEASURES if hasattr(MEASURES[name], "BASE")]
SHOWN_IN_README = "kinds_burst"
BEGIN, END = "<!-- kinds of chunks: made by `python -m benchmarks` -->", "<!-- end of kinds of chunks -->"
PLOT = "![CPU of each kind of chunk](benchmarks/plots/kinds.svg)"
METRIC = "us_per_chunk"


def tables(results: dict[str, Any], measure: str) -> Iterator[str]:
    """The tables of one of these measures: a row for each kind, a column for each contender."""
    loops = {loop: columns for loop in _loops(results) if (columns := _columns(results, measure, loop))}
    if not loops:
        return
    yield f"## {MEASURES[measure].TITLE}"
    yield ""
    base = MEASURES[measure].BASE
    yield f"CPU per chunk, µs, and in brackets how many times {'the floor' if base == 'floor' else f'the {base} above'} that is."
    yield ""
    for loop, columns in loops.items():
        yield f"### {loop}"
        yield ""
        yield from _table(results, measure, columns)
        yield ""
        yield from _failures(results, measure, columns)


def claim(results: dict[str, Any]) -> str:
    """What chunks cost, from the cheapest kind to the most expensive one, in a sentence or two; "" if none was measured."""
    found = [
        (ratio, KINDS[kind].title, contender)
        for kind in KINDS
        for contender, about in results["contenders"].items()
        if contender.startswith("tokenwire")
        and not about.get("before_of")
        and (ratio := _ratio(results, SHOWN_IN_README, kind, contender)) is not None
    ]
    if not found:
        return ""
    (least, *_), (most, title, contender) = min(found), max(found)
    return (
        f"The chunks above are plain text. A chunk of any kind costs between {least:.1f} and {most:.1f} times as much as in a "
        f"bare loop that decodes each event and keeps it. The most expensive kind is: {title} (`{contender}`)."
    )


def write_readme(results: dict[str, Any], readme: Path) -> None:
    """Write the claim, and the table for the burst on asyncio, between the README's two marks."""
    said = claim(results)
    before, begin, rest = readme.read_text("utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (said and begin and end):
        return
    columns = _columns(results, SHOWN_IN_README, "asyncio")
    lines = ["", said, "", *_table(results, SHOWN_IN_README, columns), "", PLOT, ""]
    readme.write_text(f"{before}{BEGIN}\n{chr(10).join(lines)}\n{END}{after}", "utf-8")


def _loops(results: dict[str, Any]) -> list[str]:
    return list(dict.fromkeys(about["loop"] for about in results["contenders"].values() if "loop" in about))


def _columns(results: dict[str, Any], measure: str, loop: str) -> list[str]:
    """The contenders measured on a loop, without those of an earlier version."""
    measured = {row["contender"] for row in results["results"] if row["measure"] == measure and "not_offered" not in row}
    return [
        name
        for name, about in results["contenders"].items()
        if name in measured and about.get("loop") == loop and not about.get("before_of")
    ]


def _table(results: dict[str, Any], measure: str, columns: list[str]) -> Iterator[str]:
    yield f"| what the server streams | {' | '.join(columns)} |"
    yield f"|---|{'--:|' * len(columns)}"
    for kind in KINDS:
        if any(row_of(results, measure, kind, name) for name in columns):
            yield f"| {KINDS[kind].title} | {' | '.join(_cell(results, measure, kind, name) for name in columns)} |"


def _cell(results: dict[str, Any], measure: str, kind: str, contender: str) -> str:
    value = median_of(results, measure, kind, contender, METRIC)
    if value is None:
        row = row_of(results, measure, kind, contender)
        return "failed" if row and row["failures"] else "-"
    ratio = _ratio(results, measure, kind, contender)
    if ratio is None:
        return figure(value)
    return f"{figure(value)} ({ratio:.{0 if ratio >= 10 else 1}f}{TIMES})"


def _ratio(results: dict[str, Any], measure: str, kind: str, contender: str) -> float | None:
    """A figure divided by its base; None for the base itself, and if one of the two is missing."""
    base = MEASURES[measure].BASE
    place = (kind, _floor(results, contender)) if base == "floor" else (base, contender)
    value = median_of(results, measure, kind, contender, METRIC)
    against = median_of(results, measure, *place, METRIC)
    return None if place == (kind, contender) or not value or not against else value / against


def _floor(results: dict[str, Any], contender: str) -> str:
    return results["contenders"][contender]["floor"]


def _failures(results: dict[str, Any], measure: str, columns: list[str]) -> Iterator[str]:
    lines = [
        f"- {name}, {KINDS[kind].title}: {'; '.join(dict.fromkeys(row['failures']))}"
        for kind in KINDS
        for name in columns
        if (row := row_of(results, measure, kind, name)) and row["failures"]
    ]
    if lines:
        yield from [*lines, ""]
