"""Where a contender's time goes: `python -m benchmarks.profile first_token "tokenwire uvloop"`.

Runs one cell of a measure under cProfile and prints, for each chunk or call, how many functions were called and how long
they took, by module and by function. cProfile makes calls look more expensive than they are: use the counts and the order, and
the measures for the real costs.
"""

import argparse
import os
import pstats
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

from . import environments, runner
from .contenders import CONTENDERS, groups
from .measures import MEASURES

UNITS = ("chunks", "requests", "calls")  # the names under which measures say how much they did


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description=__doc__)
    parser.add_argument("measure", choices=[name for name in MEASURES if name not in ("memory", "cold", "imports")])
    parser.add_argument("contender", choices=list(CONTENDERS), nargs="?", default="tokenwire")
    parser.add_argument("--cell", help="the measure's variant; its first where none is named")
    parser.add_argument("--functions", type=int, default=40, help="how many to list")
    arguments = parser.parse_args()
    cells = MEASURES[arguments.measure].cells(True)
    cell = arguments.cell if arguments.cell in cells else next(iter(cells))
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "profile")
        count = _run(arguments.measure, arguments.contender, cells[cell], file)
        _print(pstats.Stats(file), count, arguments.functions)


def _run(measure: str, name: str, parameters: dict[str, Any], file: str) -> int:
    """Measure once with the profiler on; returns the number of chunks or calls."""
    contender = CONTENDERS[name]
    pythons = {group: environments.ensure(runner.CACHE, group, groups()[group]) for group in {"own", contender.group}}
    os.environ["BENCHMARKS_PROFILE"] = file
    row = runner.Results().row(measure, "", name)
    bench = runner.Bench(pythons, quick=True)
    with runner.serving(pythons["own"]) as bench.origins:
        bench.measure(row, contender, parameters, "1/1")
    if not row["samples"]:
        raise SystemExit(1)
    sample = row["samples"][0]
    unit = next(unit for unit in UNITS if unit in sample)
    print(f"for each of {sample[unit]} {unit}:\n")
    return sample[unit]


def _print(stats: Any, count: int, functions: int) -> None:
    rooms: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    rows: list[tuple[float, float, str]] = []
    for (file, line, function), (_, calls, own, _, _) in stats.stats.items():
        room = _room(file)
        rooms[room][0] += calls / count
        rooms[room][1] += own / count * 1e6
        place = f"{room}: {function}" if line == 0 else f"{room}: {function} ({Path(file).name}:{line})"
        rows.append((own / count * 1e6, calls / count, place))
    print(f"{'calls':>8} {'own µs':>8}  room")
    for room, (calls, own) in sorted(rooms.items(), key=lambda item: -item[1][1]):
        print(f"{calls:8.2f} {own:8.2f}  {room}")
    print(f"{sum(calls for calls, _ in rooms.values()):8.2f} {sum(own for _, own in rooms.values()):8.2f}  all\n")
    print(f"{'calls':>8} {'own µs':>8}  function")
    for own, calls, place in sorted(rows, reverse=True)[:functions]:
        print(f"{calls:8.2f} {own:8.2f}  {place}")


def _room(file: str) -> str:
    """The module of ours, the installed package, or the part of Python that a file belongs to."""
    parts = Path(file).parts
    if "tokenwire" in parts:
        return "/".join(parts[len(parts) - 1 - parts[::-1].index("tokenwire") :]).removesuffix(".py")
    if "benchmarks" in parts:
        return "the reader (benchmarks)"
    if "site-packages" in parts:
        return parts[parts.index("site-packages") + 1]
    return f"Python's {parts[-2]}" if "asyncio" in parts else "Python's library" if len(parts) > 1 else "built in"


if __name__ == "__main__":
    main()
