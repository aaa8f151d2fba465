"""Runs every contender through every measure, each time in a fresh process, contenders in turn."""

import ast
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Container, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from . import environments, machine
from .contenders import ROOT, Contender, groups
from .measures import MEASURES
from .worker import MARK

CACHE = ROOT / ".venv-bench"  # git ignores it, as it does every .venv*
QUICK_S = 90  # after so many seconds a quick run starts nothing new
LONGEST_S = 60  # for one process; a contender that takes half of that is not measured again
LONGEST_QUICK_S = 25


class Results:
    """The results, as written to results.json."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str, str], dict[str, Any]] = {}

    def row(self, measure: str, cell: str, contender: str) -> dict[str, Any]:
        """The row of one contender in one cell, with its `samples` and `failures`."""
        empty: dict[str, Any] = {"measure": measure, "cell": cell, "contender": contender, "samples": [], "failures": []}
        return self.rows.setdefault((measure, cell, contender), empty)


def run(
    *,
    measures: list[str],
    contenders: dict[str, Contender],
    quick: bool,
    rounds: int,
    only_cells: Container[str] = (),
    before: Path | None = None,
    longest: float | None = None,
) -> dict[str, Any]:
    """Measure, showing progress; returns what results.json holds. Ctrl-C ends it early, with what there is.

    Args:
        only_cells: variants of the measures; those of a measure that has none of them are all measured.
        before: the checkout that the contenders with a `before_of` import tokenwire from.
        longest: seconds that one process may take.
    """
    started = datetime.now(UTC)
    about = machine.describe()
    pythons, versions, broken = _prepare({contender.group for contender in contenders.values()} | {"own"})
    results = Results()
    cells = [(name, *cell) for name in measures for cell in _cells(MEASURES[name].cells(quick), only_cells)]
    steps = [(*cell, names) for names in _passes(contenders, quick) for cell in cells]
    bench = Bench(pythons, quick=quick, longest=longest)
    stopped = False
    try:
        for place, (measure, cell, parameters, names) in enumerate(steps, 1):
            able = _able(measure, cell, [contenders[name] for name in names], broken, results)
            print(f"\n[{place}/{len(steps)}] {MEASURES[measure].TITLE}{f' ({cell})' if cell else ''}", flush=True)
            with serving(pythons["own"]) as bench.origins:
                for turn in range(rounds if able else 0):
                    for name in _in_turn(able, turn):
                        bench.measure(results.row(measure, cell, name), contenders[name], parameters, f"{turn + 1}/{rounds}")
    except KeyboardInterrupt:
        stopped = True
    return {
        "date": started.isoformat(timespec="seconds"),
        "commit": machine.commit(ROOT),
        "before": None if before is None else machine.commit(before),
        "machine": about,
        "quick": quick,
        "stopped": stopped,
        "rounds": rounds,
        "minutes": round((datetime.now(UTC) - started).total_seconds() / 60, 1),
        "versions": versions,
        "contenders": {
            name: {"group": contender.group, "loop": contender.loop, "floor": contender.floor, "before_of": contender.before_of}
            for name, contender in contenders.items()
        },
        "results": [{key: row[key] for key in row if key != "skip"} for row in results.rows.values()],
    }


def _cells(offered: dict[str, Any], wanted: Container[str]) -> list[tuple[str, Any]]:
    return [(cell, offered[cell]) for cell in offered if cell in wanted] or list(offered.items())


def _in_turn(names: list[str], turn: int) -> list[str]:
    """The order in a round: rotated, and reversed in every other round, so that no contender always follows the same one."""
    first = turn % len(names)
    order = names[first:] + names[:first]
    return order[::-1] if turn % 2 else order


def _passes(contenders: dict[str, Contender], quick: bool) -> list[list[str]]:
    """The groups measured together. A quick run begins with its own contenders, then measures the slower ones."""
    if not quick:
        return [list(contenders)]
    own = [name for name in contenders if contenders[name].group == "own"]
    return [names for names in (own, [name for name in contenders if name not in own]) if names]


def _prepare(names: set[str]) -> tuple[dict[str, Path], dict[str, dict[str, str]], dict[str, str]]:
    """Interpreters and versions by group, and why there is none for some."""
    pythons: dict[str, Path] = {}
    versions: dict[str, dict[str, str]] = {}
    broken: dict[str, str] = {}
    for name, group in groups().items():
        if name not in names:
            continue
        try:
            pythons[name] = environments.ensure(CACHE, name, group)
        except environments.CannotInstall as error:
            if name == "own":
                sys.exit(f"the environment of the server and the floor can't be made: {error}")
            broken[name] = str(error)
            continue
        installed = environments.versions(pythons[name])
        versions[name] = {package: installed.get(package, "?") for package in group.shown}
    return pythons, versions, broken


@contextmanager
def serving(python: Path) -> Iterator[dict[str, str]]:
    """The canned server's addresses, "http" and "https", and the file with its "certificate"."""
    with tempfile.TemporaryDirectory() as folder:
        certificate = str(Path(folder) / "authority.pem")
        command = [str(python), "-m", "benchmarks.server", certificate]
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line:
                sys.exit("the canned server did not start")
            yield {**json.loads(line), "certificate": certificate}
        finally:
            process.stdin.close()
            process.terminate()
            process.wait()
            process.stdout.close()


def _able(measure: str, cell: str, contenders: list[Contender], broken: dict[str, str], results: Results) -> list[str]:
    """The contenders that can be measured; for the others the reason is recorded."""
    able: list[str] = []
    for contender in contenders:
        name, missing = contender.name, _missing(measure, contender)
        if contender.group in broken:
            results.row(measure, cell, name)["failures"].append(f"not installed: {broken[contender.group]}")
        elif missing:
            results.row(measure, cell, name)["not_offered"] = missing
        else:
            able.append(name)
    return able


def _missing(measure: str, contender: Contender) -> str | None:
    """Why a measure does not apply to a contender, None if it does."""
    if measure == "imports":
        return None if contender.statement else "the same as on asyncio"
    if measure in ("sync_stream", "kinds_sync") and contender.loop != "asyncio":
        return "the same as on asyncio"
    lacks = [name for name in MEASURES[measure].NEEDS if name not in _names_in(contender.module)]
    return f"has no {', '.join(lacks)}" if lacks else None


def _names_in(module: str) -> set[str]:
    """The names at the top of a contender's module, which can't be imported here."""
    tree = ast.parse((Path(__file__).parent / "contenders" / f"{module}.py").read_text("utf-8"))
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.ImportFrom):
            names.update(alias.asname or alias.name for alias in node.names)
    return names


class Bench:
    """Measures one contender at a time, each time in a new process.

    Args:
        pythons: the interpreters by group.
        quick: whether time is short: then a process gets less of it, and after a while none is started.
        longest: seconds that a process gets, in place of the usual ones.

    Attributes:
        origins: the canned server's, as `serving` gives them; to be set before measuring.
    """

    def __init__(self, pythons: dict[str, Path], *, quick: bool, longest: float | None = None) -> None:
        self.origins: dict[str, str] = {}
        self._pythons = pythons
        self._longest = longest or (LONGEST_QUICK_S if quick else LONGEST_S)
        self._deadline = time.monotonic() + (QUICK_S if quick else float("inf"))

    def measure(self, row: dict[str, Any], contender: Contender, parameters: dict[str, Any], turn: str) -> None:
        """Measure once, and add a sample or a failure to the row. Failed ones, and slow ones but ours, are not repeated."""
        if row.get("skip"):
            return
        started = time.monotonic()
        if started > self._deadline:
            sample, failure = None, "left out, as the time of a quick run was over"
        else:
            sample, failure = self._in_a_process(self._job(row["measure"], contender, parameters), contender)
        took = time.monotonic() - started
        if sample is None:
            row["failures"].append(failure)
        else:
            row["samples"].append(sample)
        row["skip"] = sample is None or (took > self._longest / 2 and contender.source is None)
        _show(row, turn, sample, failure, took)

    def _job(self, measure: str, contender: Contender, parameters: dict[str, Any]) -> dict[str, Any]:
        return {
            "measure": measure,
            "module": contender.module,
            "loop": contender.loop,
            "statement": contender.statement,
            "parameters": parameters,
            "origin": self.origins["https" if parameters.get("https") else "http"],
            "control": self.origins["http"],
        }

    def _in_a_process(self, job: dict[str, Any], contender: Contender) -> tuple[dict[str, Any] | None, str]:
        """The worker's values, or None and why there are none."""
        paths = [str(path) for path in (contender.source, ROOT) if path is not None]
        more = {
            "PYTHONPATH": os.pathsep.join(paths),
            "SSL_CERT_FILE": self.origins["certificate"],
            "NO_PROXY": "127.0.0.1",
            "PYTHONDONTWRITEBYTECODE": "",  # what runs from `src` is compiled once, as what is installed was
        }
        command = [str(self._pythons[contender.group]), "-m", "benchmarks.worker", json.dumps(job)]
        return values_of(command, more, self._longest)


def values_of(command: list[str], environment: dict[str, str], longest: float) -> tuple[dict[str, Any] | None, str]:
    """What a process with one measurement printed as its result, or None and why there is none.

    Args:
        environment: set beside this process's own.
        longest: seconds that it may take.
    """
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, timeout=longest, check=False
        )
    except subprocess.TimeoutExpired:
        return None, f"not over after {longest} s"
    lines = done.stdout.splitlines()
    if not lines or not lines[-1].startswith(MARK):
        return None, f"the process ended with status {done.returncode}: {done.stderr.strip()[-200:]}"
    outcome = json.loads(lines[-1].removeprefix(MARK))
    return outcome.get("values"), outcome.get("failure", "")


def _show(row: dict[str, Any], turn: str, sample: dict[str, Any] | None, failure: str, seconds: float) -> None:
    name, (unit, words) = next(iter(MEASURES[row["measure"]].METRICS.items()))
    found = f"failed: {failure}" if sample is None else f"{sample[name]:10,.1f} {unit} {words}"
    print(f"  {turn} {row['contender']:28} {found}  ({seconds:.1f} s)", flush=True)
