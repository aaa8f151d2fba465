"""The command line: what is measured, with how many calls, and the tables that come of it."""

import argparse
import json
import os
import statistics
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .. import environments, machine, plots
from ..reading import TIMES, figure
from ..runner import CACHE, ROOT, serving, values_of
from .contenders import CONTENDERS, MEASURES, Contender, groups

HERE = Path(__file__).parents[1]
LONGEST_S = 900  # for one process
FULL = {"map": 100_000, "batch": 100_000, "resume": 1_000_000, "gate": 20_000, "hedge": 4000, "ray": 2048}
QUICK = {"map": 2000, "batch": 2000, "resume": 20_000, "gate": 6000, "hedge": 600, "ray": 128}
WORDS = {
    "us_per_call": "CPU per call, µs",
    "per_s": "calls/s",
    "seconds": "seconds",
    "cpu_s": "CPU, s",
    "bytes_per_line": "bytes a line",
    "p99_ms": "p99, ms",
    "requests": "requests a call",
    "s_per_1000": "s per 1,000 rows",
}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.jobs",
        description="Many calls: CPU, time and memory. Each contender runs in a fresh process. A run of all measures is written "
        "to benchmarks/, any other to the cache folder.",
    )
    parser.add_argument("--quick", action="store_true", help="small sizes, one round")
    parser.add_argument("--only", nargs="+", metavar="MEASURE", choices=list(MEASURES), help=f"of {', '.join(MEASURES)}")
    parser.add_argument("--rounds", type=int, default=0, help="how often each is measured, in turn with the others")
    for name, count in FULL.items():
        parser.add_argument(f"--{name}", type=int, metavar="COUNT", help=f"calls, lines or rows of {name} (default: {count})")
    parser.add_argument(
        "--merge", action="store_true", help="write into benchmarks/, in place of what is there of the same measures"
    )
    parser.add_argument("--report", type=Path, metavar="JSON", help="measure nothing; print the tables of an earlier run")
    return parser.parse_args()


def main() -> None:
    arguments = _arguments()
    if arguments.report is not None:
        print(_text(json.loads(arguments.report.read_text("utf-8"))))
        return
    names = [name for name in MEASURES if name in (arguments.only or MEASURES)]
    usual = QUICK if arguments.quick else FULL
    sizes = {name: getattr(arguments, name) or usual[name] for name in names}
    results = _run(sizes, rounds=arguments.rounds or (1 if arguments.quick else 3))
    folder = HERE if arguments.merge or (len(names) == len(MEASURES) and not arguments.quick) else CACHE / "last"
    if arguments.merge:
        results = merged(results, json.loads((HERE / "jobs.json").read_text("utf-8")))
    write(results, folder)
    print(_text(results))
    print(f"written to {folder}")


def write(results: dict[str, Any], folder: Path) -> None:
    """Write jobs.json, JOBS.md and the plot into a folder."""
    (folder / "plots").mkdir(parents=True, exist_ok=True)
    (folder / "jobs.json").write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", "utf-8")
    (folder / "JOBS.md").write_text(_text(results), "utf-8")
    costs = {row["contender"]: _median(row, "us_per_call") for row in _rows(results, "map")}
    try:
        plots.save_bars(costs, MEASURES["map"].title, folder / "plots" / "map.svg")
    except ImportError as error:
        print(f"the plot is not drawn: {error}; pip install -e '.[bench]'")


def merged(results: dict[str, Any], earlier: dict[str, Any]) -> dict[str, Any]:
    """An earlier run's results with a later one's measures, as a whole, in place of its own."""
    kept = [row for row in earlier["results"] if row["measure"] not in results["sizes"]]
    about = {name: results[name] for name in ("date", "commit", "rounds", "machine", "sizes")}
    parts = [part for part in earlier.get("parts", []) if not part["sizes"].keys() <= results["sizes"].keys()]
    sizes = {
        name: {**earlier["sizes"], **results["sizes"]}[name] for name in MEASURES if name in earlier["sizes"] | results["sizes"]
    }
    return {**earlier, "sizes": sizes, "parts": [*parts, about], "results": [*kept, *results["results"]]}


def _run(sizes: dict[str, int], *, rounds: int) -> dict[str, Any]:
    started, about = datetime.now(UTC), machine.describe()
    chosen = [contender for contender in CONTENDERS if contender.measure in sizes]
    pythons, versions, broken = _prepared({contender.group for contender in chosen})
    rows = [_row(contender, sizes, broken) for contender in chosen]
    with serving(pythons["own"]) as upstream:
        for measure in sizes:
            able = [(row, one) for row, one in zip(rows, chosen, strict=True) if one.measure == measure and not row["failures"]]
            for turn in range(rounds):
                for row, contender in able[turn % len(able) :] + able[: turn % len(able)]:
                    sample, failure = _measure(contender, row["count"], upstream["http"], pythons[contender.group])
                    print(f"  {measure} {turn + 1}/{rounds} {contender.name:50} {sample or failure}", flush=True)
                    (row["failures"] if sample is None else row["samples"]).append(sample or failure)
    return {
        "date": started.isoformat(timespec="seconds"),
        "commit": machine.commit(ROOT),
        "machine": about,
        "rounds": rounds,
        "sizes": sizes,
        "minutes": round((datetime.now(UTC) - started).total_seconds() / 60, 1),
        "versions": versions,
        "results": rows,
    }


def _prepared(wanted: set[str]) -> tuple[dict[str, Path], dict[str, Any], dict[str, str]]:
    """Interpreters and versions by group, and why there is none for some."""
    pythons: dict[str, Path] = {}
    versions: dict[str, Any] = {}
    broken: dict[str, str] = {}
    for name, group in groups().items():
        if name not in wanted | {"own"}:
            continue
        try:
            pythons[name] = environments.ensure(CACHE, name, group)
        except environments.CannotInstall as error:
            if name == "own":
                sys.exit(f"the environment of the server can't be made: {error}")
            broken[name] = f"not installed: {error}"
            continue
        installed = environments.versions(pythons[name])
        versions[name] = {package: installed.get(package, "?") for package in group.shown}
    return pythons, versions, broken


def _row(contender: Contender, sizes: dict[str, int], broken: dict[str, str]) -> dict[str, Any]:
    count = max(1, int(sizes[contender.measure] * contender.share))
    failures = [broken[contender.group]] if contender.group in broken else []
    return {"measure": contender.measure, "contender": contender.name, "count": count, "samples": [], "failures": failures}


def _measure(contender: Contender, count: int, origin: str, python: Path) -> tuple[dict[str, float] | None, str]:
    """The values of one measurement, or None and why there are none."""
    job = {"function": contender.function, "count": count, "origin": origin}
    paths = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    command = [str(python), "-m", "benchmarks.jobs.work", json.dumps(job)]
    return values_of(command, {"PYTHONPATH": paths, "NO_PROXY": "127.0.0.1", "PYTHONDONTWRITEBYTECODE": ""}, LONGEST_S)


def _text(results: dict[str, Any]) -> str:
    lines = [*_head(results)]
    for measure in results["sizes"]:
        lines += _table(results, measure)
    return "\n".join(lines) + "\n"


def _head(results: dict[str, Any]) -> Iterator[str]:
    about = results["machine"]
    yield "# Many calls"
    yield ""
    yield f"Made by `python -m benchmarks.jobs` on {results['date']}, of {results['commit']}."
    yield (
        f"{about['processor']}, {about['cores']} cores, {about['memory']}, {about['system']}, {about['python']}; load before "
        f"the run {figure(about['load'])}. Rounds: {results['rounds']}; {results['minutes']} minutes."
    )
    smaller = [f"{name} {size:,} in place of {FULL[name]:,}" for name, size in results["sizes"].items() if size != FULL[name]]
    if smaller:
        yield f"Smaller than a complete run: {', '.join(smaller)}."
    for part in results.get("parts", []):
        load = figure(part["machine"]["load"])
        yield f"Of another run, {part['date']}, of {part['commit']}, load {load}, rounds {part['rounds']}: {', '.join(part['sizes'])}."
    yield ""
    yield (
        "Every figure is the median of the rounds, contenders in turn; `±` is half the distance between the smallest and the "
        "largest. The CPU is the client's, user and system, all threads. The server, on the same machine, takes a core of its "
        "own. Take the ratios, not the absolutes."
    )
    yield ""
    for group, versions in results["versions"].items():
        yield f"- {group}: {', '.join(f'{name} {version}' for name, version in versions.items())}"


def _table(results: dict[str, Any], measure: str) -> Iterator[str]:
    rows, about = _rows(results, measure), MEASURES[measure]
    failed = [row for row in results["results"] if row["measure"] == measure and not row["samples"]]
    names = list(rows[0]["samples"][0]) if rows else []
    base = next((_median(row, names[0]) for row in rows if row["contender"] == about.base), None)
    yield ""
    yield f"## {about.title}"
    yield ""
    yield f"Asked for: {about.target}."
    yield ""
    yield f"| | {' | '.join(f'{WORDS[name]} | ±' for name in names)} | {TIMES} {about.base} | calls | samples |"
    yield f"|---|{'--:|' * (2 * len(names) + 3)}"
    for row in rows:
        cells = [cell for name in names for cell in (figure(_median(row, name)), figure(_spread(row, name)))]
        ratio = None if base is None else _median(row, names[0]) / base
        yield f"| {row['contender']} | {' | '.join(cells)} | {figure(ratio)} | {row['count']:,} | {len(row['samples'])} |"
    for row in failed:
        yield f"| {row['contender']} | failed: {'; '.join(dict.fromkeys(row['failures']))} |"


def _rows(results: dict[str, Any], measure: str) -> list[dict[str, Any]]:
    return [row for row in results["results"] if row["measure"] == measure and row["samples"]]


def _median(row: dict[str, Any], metric: str) -> float:
    return statistics.median(sample[metric] for sample in row["samples"])


def _spread(row: dict[str, Any], metric: str) -> float:
    values = [sample[metric] for sample in row["samples"]]
    return (max(values) - min(values)) / 2


if __name__ == "__main__":
    main()
