"""Results as a Markdown table, as plots, and against the targets."""

import json
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import plots
from .measures import MEASURES
from .targets import TARGETS, Target

TIMES = "\N{MULTIPLICATION SIGN}"


def read(file: Path) -> dict[str, Any]:
    """An earlier run's results."""
    return json.loads(file.read_text("utf-8"))


def write(results: dict[str, Any], folder: Path) -> None:
    """Write results.json, RESULTS.md and plots/ into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", "utf-8")
    (folder / "RESULTS.md").write_text(text(results), "utf-8")
    (folder / "plots").mkdir(exist_ok=True)
    for name, drawing in plots.draw(results).items():
        (folder / "plots" / f"{name}.svg").write_text(drawing, "utf-8")


def text(results: dict[str, Any]) -> str:
    """The whole report."""
    lines = [*_head(results), *_targets(results)]
    for measure in MEASURES:
        lines += _table(results, measure)
    return "\n".join(lines) + "\n"


def values_of(results: dict[str, Any], measure: str, cell: str, contender: str, metric: str) -> list[float]:
    """The samples of one metric; none where the contender failed or was not measured."""
    return [
        sample[metric]
        for row in results["results"]
        if (row["measure"], row["cell"], row["contender"]) == (measure, cell, contender)
        for sample in row["samples"]
    ]


def median_of(results: dict[str, Any], measure: str, cell: str, contender: str, metric: str) -> float | None:
    """The median of `values_of`."""
    values = values_of(results, measure, cell, contender, metric)
    return statistics.median(values) if values else None


def figure(value: float | None) -> str:
    """A number with as many digits as it is worth."""
    if value is None:
        return "-"
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _head(results: dict[str, Any]) -> Iterator[str]:
    machine = results["machine"]
    yield "# Benchmarks"
    yield ""
    yield f"Made by `python -m benchmarks{' --quick' if results['quick'] else ''}` on {results['date']}, of {results['commit']}."
    yield (
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory']}, {machine['system']}, {machine['python']}; "
        f"load before the run {figure(machine['load'])}. Rounds: {results['rounds']}; {results['minutes']} minutes."
    )
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
    for group, versions in results["versions"].items():
        yield f"- {group}: {', '.join(f'{name} {version}' for name, version in versions.items())}"
    yield ""


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
    for cell in target.cells:
        for contender in target.contenders:
            reached = _reached(results, target, cell, contender)
            if reached is None:
                continue
            words = f"{target.words}{f' ({cell})' if cell else ''}"
            times = TIMES if target.against else ""
            verdict = "reached" if reached <= target.most else "**not reached**"
            yield f"| {words} | {contender} | {figure(reached)}{times} | {figure(target.most)}{times} | {verdict} |"


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
