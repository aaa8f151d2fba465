"""Results as Markdown tables, as plots, and against the targets; and the results of some measures put into those of others."""

import json
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import plots, report_kinds
from .measures import MEASURES
from .reading import TIMES, figure, median_of, values_of
from .targets import TARGETS, Target

ABOUT_RUN = ("date", "commit", "before", "machine", "quick", "stopped", "rounds", "minutes", "versions")


def read(file: Path) -> dict[str, Any]:
    """An earlier run's results."""
    return json.loads(file.read_text("utf-8"))


def write(results: dict[str, Any], folder: Path) -> None:
    """Write results.json, RESULTS.md and plots/ into a folder.

    Raises:
        ImportError: there is no matplotlib; all but the plots is written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(as_json(results), "utf-8")
    (folder / "RESULTS.md").write_text(text(results), "utf-8")
    (folder / "plots").mkdir(exist_ok=True)
    plots.save(results, folder / "plots")


def as_json(results: dict[str, Any]) -> str:
    """What results.json holds, a row on a line."""
    about = json.dumps({**results, "results": []}, indent=1, ensure_ascii=False)
    rows = ",\n  ".join(json.dumps(row, ensure_ascii=False) for row in results["results"])
    return about.removesuffix("[]\n}") + f"[\n  {rows}\n ]\n}}\n"


def merged(results: dict[str, Any], earlier: dict[str, Any]) -> dict[str, Any]:
    """An earlier run's results with a later run's measures in place of its own, and with what is to be known of both runs.

    A measure is replaced as a whole, so that the figures of one table are always of one run.
    """
    measures = list(dict.fromkeys(row["measure"] for row in results["results"]))
    kept = [row for row in earlier["results"] if row["measure"] not in measures]
    still_there = {row["measure"] for row in kept}
    parts = [
        {**part, "measures": left}
        for part in earlier.get("parts", [])
        if (left := [name for name in part["measures"] if name in still_there])
    ]
    parts.append({"measures": measures, **{name: results.get(name) for name in ABOUT_RUN}})
    rows = sorted([*kept, *results["results"]], key=lambda row: list(MEASURES).index(row["measure"]))
    contenders = {**earlier["contenders"], **results["contenders"]}
    return {**earlier, "parts": parts, "contenders": contenders, "results": rows}


def text(results: dict[str, Any]) -> str:
    """The whole report."""
    lines = [*_head(results), *_pairs(results), *_targets(results)]
    for measure in MEASURES:
        lines += (report_kinds.tables if measure in report_kinds.KINDS_MEASURES else _table)(results, measure)
    return "\n".join(lines) + "\n"


def _head(results: dict[str, Any]) -> Iterator[str]:
    yield "# Benchmarks"
    yield ""
    yield from _run(results)
    for part in results.get("parts", []):
        yield ""
        yield f"Of another run are {', '.join(f'`{name}`' for name in part['measures'])}:"
        yield ""
        yield from _run(part)
    yield ""
    yield (
        "Every figure is the median of that many fresh processes, contenders in turn; `±` is half the distance between the "
        f"smallest and the largest. `{TIMES} floor` compares to the bare loop on the same event loop, `{TIMES} tokenwire` to "
        "tokenwire on asyncio. "
        "CPU is that of the client process, user and system, all threads. Take the ratios, not the absolutes."
    )
    shares = [sample.get("server_share", 0.0) for row in results["results"] for sample in row["samples"]]
    yield f"The server took at most {max(shares, default=0.0):.0%} of a core."
    yield ""


def _run(about: dict[str, Any]) -> Iterator[str]:
    """A run's details: command, commit, machine, and the versions of the contenders."""
    machine = about["machine"]
    beside = f", beside {about['before']}" if about.get("before") else ""
    quick = " --quick" if about["quick"] else ""
    yield f"Made by `python -m benchmarks{quick}` on {about['date']}, of {about['commit']}{beside}."
    yield (
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory']}, {machine['system']}, {machine['python']}; "
        f"load before the run {figure(machine['load'])}. Rounds: {about['rounds']}; {about['minutes']} minutes."
    )
    yield ""
    for group, versions in about["versions"].items():
        yield f"- {group}: {', '.join(f'{name} {version}' for name, version in versions.items())}"


def _pairs(results: dict[str, Any]) -> Iterator[str]:
    """The contenders that were measured with both checkouts: a row for each metric."""
    rows = [row for name in results["contenders"] for row in _pair_rows(results, name)]
    if not rows:
        return
    yield "## After and before"
    yield ""
    yield (
        "The ratio is the median of the rounds' ratios, the range is from the smallest of them to the largest. Below 1 is "
        "better, but for chunks and requests per second."
    )
    yield ""
    yield "| measure | contender | | before | after | after / before | range |"
    yield "|---|---|---|--:|--:|--:|--:|"
    yield from rows
    yield ""


def _pair_rows(results: dict[str, Any], before: str) -> Iterator[str]:
    after = results["contenders"][before].get("before_of")
    rows = [row for row in results["results"] if after and row["contender"] == after]
    for measure, cell in ((row["measure"], row["cell"]) for row in rows):
        for metric, (unit, words) in MEASURES[measure].METRICS.items():
            pair = [values_of(results, measure, cell, name, metric) for name in (before, after)]
            ratios = [new / old for old, new in zip(*pair, strict=False) if old]
            if ratios:
                cells = [f"{measure}{f' {cell}' if cell else ''}", after, f"{words}{f', {unit}' if unit else ''}"]
                cells += [figure(statistics.median(values)) for values in pair]
                cells += [f"{statistics.median(ratios):.3f}", f"{min(ratios):.2f} to {max(ratios):.2f}"]
                yield f"| {' | '.join(cells)} |"


def _targets(results: dict[str, Any]) -> Iterator[str]:
    rows = [row for target in TARGETS for row in _target_rows(results, target)]
    if not rows:
        return
    yield "## Targets"
    yield ""
    yield "| target | contender | measured | at most | |"
    yield "|---|---|--:|--:|---|"
    yield from rows
    yield ""


def _target_rows(results: dict[str, Any], target: Target) -> Iterator[str]:
    reached = [
        (value, cell, contender)
        for cell in target.cells
        for contender in target.contenders
        if (value := _reached(results, target, cell, contender)) is not None
    ]
    if target.worst:
        reached = [max(found) for name in target.contenders if (found := [place for place in reached if place[2] == name])]
    for value, cell, contender in reached:
        words = f"{target.words}{f' ({cell})' if cell else ''}"
        times = TIMES if target.against else ""
        verdict = "reached" if value <= target.most else "**not reached**"
        yield f"| {words} | {contender} | {figure(value)}{times} | {figure(target.most)}{times} | {verdict} |"


def _reached(results: dict[str, Any], target: Target, cell: str, contender: str) -> float | None:
    value = median_of(results, target.measure, cell, contender, target.metric)
    if value is None or not target.against:
        return value
    if target.against == "floor":
        base = median_of(results, target.measure, cell, _floor(results, contender), target.metric)
    else:
        base = median_of(results, target.measure, target.against, contender, target.metric)
    return None if base is None else value / base


def _floor(results: dict[str, Any], contender: str) -> str:
    return results["contenders"].get(contender, {}).get("floor", "floor")


def _table(results: dict[str, Any], measure: str) -> Iterator[str]:
    cells = list(dict.fromkeys(row["cell"] for row in results["results"] if row["measure"] == measure))
    if not cells:
        return
    metrics = MEASURES[measure].METRICS
    yield f"## {MEASURES[measure].TITLE}"
    yield ""
    for cell in cells:
        if cell:
            yield f"### {cell}"
            yield ""
        titles = [f"{words}{f', {unit}' if unit else ''}" for unit, words in metrics.values()]
        yield f"| | {titles[0]} | ± | {TIMES} floor | {TIMES} tokenwire | {' | '.join([*titles[1:], 'samples'])} |"
        yield f"|---|{'--:|' * (len(titles) + 4)}"
        rows = [row for row in results["results"] if (row["measure"], row["cell"]) == (measure, cell)]
        for row in sorted(rows, key=lambda row: list(results["contenders"]).index(row["contender"])):
            yield from _row(results, row, list(metrics))
        yield ""


def _row(results: dict[str, Any], row: dict[str, Any], metrics: list[str]) -> Iterator[str]:
    name = row["contender"]
    if not row["samples"]:
        if row["failures"]:
            yield f"| {name} | failed: {'; '.join(dict.fromkeys(row['failures']))} {'| ' * (len(metrics) + 4)}|"
        return
    place = (results, row["measure"], row["cell"])
    values = [median_of(*place, name, metric) for metric in metrics]
    samples = [sample[metrics[0]] for sample in row["samples"]]
    floor = median_of(*place, _floor(results, name), metrics[0])
    own = median_of(*place, "tokenwire", metrics[0])
    cells = [
        figure(values[0]),
        figure((max(samples) - min(samples)) / 2),
        figure(_ratio(values[0], floor)),
        figure(_ratio(values[0], own)),
        *map(figure, values[1:]),
        str(len(samples)) + "".join(f", then {failure}" for failure in row["failures"][-1:]),
    ]
    yield f"| {name} | {' | '.join(cells)} |"


def _ratio(value: float | None, base: float | None) -> float | None:
    return None if not value or not base else value / base
