"""The command line: who is measured, how often, and the table that comes of it."""

import argparse
import json
import os
import statistics
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .. import environments, machine
from ..reading import TIMES, figure
from ..runner import CACHE, ROOT, serving, values_of
from .contenders import CONTENDERS, FLOOR, FLOOR_OF_GATEWAYS, Contender, groups

HERE = Path(__file__).parents[1]
STREAMS, RATE = 100, 50
OPEN = 2000  # streams, for the memory of one
LONGEST_S = 180  # for one process
# Times the floor's, for tokenwire, and in words.
MOST = {
    "us_per_chunk": (1.15, "CPU per chunk"),
    "us_per_burst_chunk": (1.3, "CPU per chunk of a burst"),
    "p50_us": (1.4, "first token"),
    "us_per_request": (1.8, "CPU per request"),
    "kb_per_stream": (2.0, "memory of an open stream"),
}
MOST_OF_GATEWAY = {name: (1.25, words) for name, (_, words) in MOST.items() if name in ("us_per_chunk", "us_per_request")}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.serving",
        description="CPU of servers per chunk, and time to first token. Each contender runs in a fresh process on uvicorn "
        "with uvloop. A complete run is written to benchmarks/, any other to the cache folder.",
    )
    parser.add_argument("--quick", action="store_true", help="shorter, one round")
    parser.add_argument("--contenders", nargs="+", metavar="NAME", choices=list(CONTENDERS), help=f"of {', '.join(CONTENDERS)}")
    parser.add_argument("--rounds", type=int, help="how often each contender is measured, in turn with the others")
    parser.add_argument("--report", type=Path, metavar="JSON", help="measure nothing; print the table of an earlier run")
    return parser.parse_args()


def main() -> None:
    arguments = _arguments()
    if arguments.report is not None:
        print(_text(json.loads(arguments.report.read_text("utf-8"))))
        return
    names = [name for name in CONTENDERS if name in (arguments.contenders or CONTENDERS)]
    results = _run(names, quick=arguments.quick, rounds=arguments.rounds or (1 if arguments.quick else 3))
    folder = HERE if len(names) == len(CONTENDERS) and not arguments.quick else CACHE / "last"
    folder.mkdir(exist_ok=True)
    (folder / "serving.json").write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", "utf-8")
    (folder / "SERVING.md").write_text(_text(results), "utf-8")
    print(_text(results))
    print(f"written to {folder}")


def _run(names: list[str], *, quick: bool, rounds: int) -> dict[str, Any]:
    started, about = datetime.now(UTC), machine.describe()
    pythons: dict[str, Path] = {}
    versions: dict[str, Any] = {}
    rows: dict[str, dict[str, Any]] = {name: {"contender": name, "samples": [], "failures": []} for name in names}
    for group, members in groups().items():
        try:
            pythons[group] = environments.ensure(CACHE, group, members)
        except environments.CannotInstall as error:
            if group == "serving":
                sys.exit(f"the environment of the client and the bare app can't be made: {error}")
            for name in names:
                if CONTENDERS[name].group == group:
                    rows[name]["failures"].append(f"not installed: {error}")
            continue
        installed = environments.versions(pythons[group])
        versions[group] = {package: installed.get(package, "?") for package in members.shown}
    able = [name for name in names if not rows[name]["failures"]]
    seconds = 2 if quick else 6
    sizes = {"streams": STREAMS, "rate": RATE, "seconds": seconds, "events": RATE * (seconds + 2)}
    sizes |= {"calls": 50 if quick else 300, "warm_up": 20, "chunks": 2000, "bursts": 3 if quick else 10}
    with serving(pythons["serving"]) as upstream:
        for turn in range(rounds):
            first = turn % len(able) if able else 0
            for name in able[first:] + able[:first]:
                contender = CONTENDERS[name]
                job = {"python": str(pythons[contender.group]), "upstream": upstream["http"], **sizes}
                sample, failure = _measure(contender, job, pythons["serving"])
                print(f"  {turn + 1}/{rounds} {name:30} {sample or failure}", flush=True)
                if sample is None:
                    rows[name]["failures"].append(failure)
                else:
                    rows[name]["samples"].append(sample)
    return {
        "date": started.isoformat(timespec="seconds"),
        "commit": machine.commit(ROOT),
        "machine": about,
        "quick": quick,
        "rounds": rounds,
        "sizes": sizes,
        "minutes": round((datetime.now(UTC) - started).total_seconds() / 60, 1),
        "versions": versions,
        "results": list(rows.values()),
    }


def _measure(contender: Contender, job: dict[str, Any], python: Path) -> tuple[dict[str, float] | None, str]:
    """The values of one measurement, or None and why there are none."""
    job |= {"app": contender.app, "is_gateway": contender.is_gateway, "open": OPEN if contender.group == "serving" else 0}
    paths = [str(ROOT / "src"), str(ROOT)] if contender.group == "serving" else [str(ROOT)]
    more = {"PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": ""}
    command = [str(python), "-m", "benchmarks.serving.load", json.dumps(job)]
    return values_of(command, more, LONGEST_S)


def _text(results: dict[str, Any]) -> str:
    return "\n".join([*_head(results), *_table(results), "", *_targets(results)]) + "\n"


def _head(results: dict[str, Any]) -> Iterator[str]:
    about, sizes = results["machine"], results["sizes"]
    yield "# Serving"
    yield ""
    quick = " --quick" if results["quick"] else ""
    yield f"Made by `python -m benchmarks.serving{quick}` on {results['date']}, of {results['commit']}."
    yield (
        f"{about['processor']}, {about['cores']} cores, {about['memory']}, {about['system']}, {about['python']}; load before "
        f"the run {figure(about['load'])}. Rounds: {results['rounds']}; {results['minutes']} minutes."
    )
    yield ""
    yield (
        f"Chunks: {sizes['streams']} streams at {sizes['rate']} chunks a second each, for {sizes['seconds']} seconds while all "
        "are open; the CPU is the server's, user and system, all threads. First token: from the request's being sent to the "
        f"first text, {sizes['calls']} calls one after another on a warm connection, whose handler answers at once. Every "
        f"figure is the median of the rounds, contenders in turn; `±` is half the distance between the smallest and the "
        f"largest, `{TIMES} floor` compares to the bare app, which writes bytes that were encoded before, and gateways to the "
        f"bare relay, which passes on bytes as they come. Bursts: streams of {sizes['chunks']} chunks that are there at once. "
        f"Memory: the server's, for each of {OPEN} open streams with its connection. A gateway passes on "
        "what another process sends, so its CPU includes reading that. Take the ratios, not the absolutes."
    )
    yield ""
    for group, versions in results["versions"].items():
        yield f"- {group}: {', '.join(f'{name} {version}' for name, version in versions.items())}"
    yield ""


def _table(results: dict[str, Any]) -> Iterator[str]:
    yield (
        f"| | CPU per chunk, µs | ± | {TIMES} floor | share of the pace | of a burst, µs | {TIMES} floor "
        f"| first token p50, µs | ± | {TIMES} floor | p99, µs | CPU per request, µs | {TIMES} floor "
        f"| open stream, KB | {TIMES} floor | samples |"
    )
    yield f"|---|{'--:|' * 15}"
    for row in results["results"]:
        if not row["samples"]:
            yield f"| {row['contender']} | failed: {'; '.join(dict.fromkeys(row['failures']))} {'| ' * 14}|"
            continue
        cells = [
            *_with_ratio(results, row, "us_per_chunk"),
            f"{_median(row, 'share_of_pace'):.0%}",
            *_without_spread(results, row, "us_per_burst_chunk"),
            *_with_ratio(results, row, "p50_us"),
            figure(_median(row, "p99_us")),
            *_without_spread(results, row, "us_per_request"),
            *_without_spread(results, row, "kb_per_stream"),
            str(len(row["samples"])),
        ]
        yield f"| {row['contender']} | {' | '.join(cells)} |"


def _with_ratio(results: dict[str, Any], row: dict[str, Any], metric: str) -> list[str]:
    values = [sample[metric] for sample in row["samples"]]
    median, ratio = _without_spread(results, row, metric)
    return [median, figure((max(values) - min(values)) / 2), ratio]


def _without_spread(results: dict[str, Any], row: dict[str, Any], metric: str) -> list[str]:
    if metric not in row["samples"][0]:  # not measured of this one
        return ["", ""]
    return [figure(_median(row, metric)), figure(_times_floor(results, row, metric))]


def _targets(results: dict[str, Any]) -> Iterator[str]:
    for row in results["results"]:
        if "tokenwire" in row["contender"]:
            for metric, (most, words) in (MOST_OF_GATEWAY if _is_gateway(row) else MOST).items():
                reached = _times_floor(results, row, metric)
                if reached is not None:
                    verdict = "reached" if reached <= most else "**not reached**"
                    yield f"- {row['contender']}, {words}: {figure(reached)}{TIMES}, at most {figure(most)}{TIMES}: {verdict}"


def _median(row: dict[str, Any], metric: str) -> float:
    return statistics.median(sample[metric] for sample in row["samples"])


def _is_gateway(row: dict[str, Any]) -> bool:
    return CONTENDERS[row["contender"]].is_gateway


def _times_floor(results: dict[str, Any], row: dict[str, Any], metric: str) -> float | None:
    name = FLOOR_OF_GATEWAYS if _is_gateway(row) else FLOOR
    floor = next((other for other in results["results"] if other["contender"] == name and other["samples"]), None)
    return _median(row, metric) / _median(floor, metric) if floor is not None and row["samples"] else None


if __name__ == "__main__":
    main()
