"""The command line: which measures, which contenders, how many rounds, compared to which earlier checkout."""

import argparse
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from . import report, report_kinds, runner
from .contenders import CONTENDERS, Contender
from .measures import MEASURES

HERE = Path(__file__).parent
README = HERE.parent / "README.md"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="CPU, time and memory of streamed calls. Each contender runs in a fresh process, in an environment of its "
        "own that is made at its first run. A complete run is written to benchmarks/, any other, one that Ctrl-C ends among "
        "them, to the cache folder.",
    )
    parser.add_argument("--quick", action="store_true", help="small sizes, one round, over within two minutes")
    parser.add_argument(
        "--only", nargs="+", metavar="MEASURE", help=f"names, or their beginnings, of {', '.join(map(repr, MEASURES))}"
    )
    parser.add_argument(
        "--contenders", nargs="+", metavar="NAME", help=f"names or their beginnings, of {', '.join(map(repr, CONTENDERS))}"
    )
    parser.add_argument("--cells", nargs="+", default=(), metavar="VARIANT", help="of the measures that have it, such as 512")
    parser.add_argument(
        "--before",
        type=Path,
        metavar="CHECKOUT",
        help="measure tokenwire as another checkout has it, too, in the same rounds, and show the ratios after / before; "
        "of the contenders those that use tokenwire, if none is named",
    )
    parser.add_argument("--rounds", type=int, help="how often each contender is measured, in turn with the others")
    parser.add_argument(
        "--longest",
        type=float,
        metavar="SECONDS",
        help="seconds for one process (default: 60); a contender that takes half of it is not measured again",
    )
    parser.add_argument("--output", type=Path, help="the folder for results.json, RESULTS.md and plots/")
    parser.add_argument(
        "--merge",
        action="store_true",
        help="write what was measured into benchmarks/ (or the folder of --output), in place of what is there of the same "
        "measures, and README's table of the kinds of chunks: `--only kinds --merge` renews these alone",
    )
    parser.add_argument("--report", type=Path, metavar="JSON", help="measure nothing; write table and plots of an earlier run")
    return parser.parse_args()


def _chosen_contenders(beginnings: list[str] | None, before: Path | None, *, quick: bool) -> dict[str, Contender]:
    if not beginnings and before is not None:
        beginnings = [name for name in CONTENDERS if CONTENDERS[name].source and CONTENDERS[name].group == "own"]
    chosen: list[Contender] = []
    for name in _chosen_names(beginnings, quick=quick):
        chosen.append(CONTENDERS[name])
        if before is not None and CONTENDERS[name].source is not None:
            chosen.append(CONTENDERS[name].before(before.resolve()))
    return {contender.name: contender for contender in chosen}


def _chosen_names(beginnings: list[str] | None, *, quick: bool) -> list[str]:
    if not beginnings:
        return [name for name in CONTENDERS if CONTENDERS[name].in_quick or not quick]
    return _beginning_with(beginnings, CONTENDERS, "contender")


def _chosen_measures(beginnings: list[str] | None, *, quick: bool) -> list[str]:
    if not beginnings:
        return [name for name in MEASURES if MEASURES[name].IN_QUICK or not quick]
    return _beginning_with(beginnings, MEASURES, "measure")


def _beginning_with(beginnings: list[str], names: Iterable[str], what: str) -> list[str]:
    """The given names, or those that begin as given, in their original order."""
    offered, chosen = list(names), set[str]()
    for beginning in beginnings:
        found = [beginning] if beginning in offered else [name for name in offered if name.startswith(beginning)]
        if not found:
            sys.exit(f"no {what} is called {beginning!r}; there are {', '.join(map(repr, offered))}")
        chosen.update(found)
    return [name for name in offered if name in chosen]


def main() -> None:
    arguments = _arguments()
    if arguments.report is not None:
        _write(report.read(arguments.report), arguments.output or arguments.report.parent)
        return
    started = time.monotonic()
    quick = arguments.quick
    before = arguments.before
    if before is not None and not (before / "src" / "tokenwire").is_dir():
        sys.exit(f"{before} is not a checkout of tokenwire: it has no src/tokenwire")
    contenders = _chosen_contenders(arguments.contenders, before, quick=quick)
    measures = _chosen_measures(arguments.only, quick=quick)
    rounds = arguments.rounds or (1 if quick else 3)
    results = runner.run(
        measures=measures,
        contenders=contenders,
        quick=quick,
        rounds=rounds,
        only_cells=arguments.cells,
        before=before,
        longest=arguments.longest,
    )
    is_all = len(measures) == len(MEASURES) and contenders == CONTENDERS and not arguments.cells
    is_complete = is_all and not (quick or results["stopped"])
    folder = arguments.output or (HERE if is_complete or arguments.merge else runner.CACHE / "last")
    print(report.text(results))
    if arguments.merge:
        results = report.merged(results, report.read(folder / "results.json"))
    _write(results, folder)
    left_out = [name for name in (*MEASURES, *CONTENDERS) if name not in (*measures, *contenders)]
    if left_out:
        print(f"not requested, or too long for a quick run: {', '.join(left_out)}")
    print(f"{time.monotonic() - started:.0f} s; written to {folder}")


def _write(results: dict[str, Any], folder: Path) -> None:
    if folder.resolve() == HERE:
        report_kinds.write_readme(results, README)
    try:
        report.write(results, folder)
    except ImportError as error:
        print(
            f"the plots are not drawn: {error}; pip install -e '.[bench]', then python -m benchmarks --report {folder}/results.json"
        )


if __name__ == "__main__":
    main()
