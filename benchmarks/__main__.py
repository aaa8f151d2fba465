"""The command line: which measures, which contenders, how many rounds."""

import argparse
import sys
import time
from pathlib import Path

from . import report, runner
from .contenders import CONTENDERS
from .measures import MEASURES

HERE = Path(__file__).parent


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="CPU, time and memory of streamed calls. Each contender runs in a fresh process, in an environment of its "
        "own that is made at its first run. A complete run is written to benchmarks/, any other, one that Ctrl-C ends among "
        "them, to the cache folder.",
    )
    parser.add_argument("--quick", action="store_true", help="small sizes, one round, over within two minutes")
    parser.add_argument("--only", nargs="+", choices=list(MEASURES), metavar="MEASURE", help=f"of {', '.join(MEASURES)}")
    parser.add_argument(
        "--contenders", nargs="+", metavar="NAME", help=f"names or their beginnings, of {', '.join(map(repr, CONTENDERS))}"
    )
    parser.add_argument("--rounds", type=int, help="how often each contender is measured, in turn with the others")
    parser.add_argument("--output", type=Path, help="the folder for results.json, RESULTS.md and plots/")
    parser.add_argument("--report", type=Path, metavar="JSON", help="measure nothing; write table and plots of an earlier run")
    return parser.parse_args()


def _chosen_contenders(beginnings: list[str] | None, *, quick: bool) -> list[str]:
    if not beginnings:
        return [name for name in CONTENDERS if CONTENDERS[name].in_quick or not quick]
    chosen: set[str] = set()
    for beginning in beginnings:
        found = [name for name in CONTENDERS if name.startswith(beginning)]
        if not found:
            sys.exit(f"no contender is called {beginning!r}; there are {', '.join(map(repr, CONTENDERS))}")
        chosen.update([beginning] if beginning in CONTENDERS else found)
    return [name for name in CONTENDERS if name in chosen]


def main() -> None:
    arguments = _arguments()
    if arguments.report is not None:
        report.write(report.read(arguments.report), arguments.output or arguments.report.parent)
        return
    started = time.monotonic()
    quick = arguments.quick
    contenders = _chosen_contenders(arguments.contenders, quick=quick)
    measures = arguments.only or [name for name in MEASURES if MEASURES[name].IN_QUICK or not quick]
    results = runner.run(measures=measures, contenders=contenders, quick=quick, rounds=arguments.rounds or (1 if quick else 3))
    is_all = len(measures) == len(MEASURES) and len(contenders) == len(CONTENDERS)
    is_complete = is_all and not (quick or results["stopped"])
    folder = arguments.output or (HERE if is_complete else runner.CACHE / "last")
    report.write(results, folder)
    print(report.text(results))
    left_out = [name for name in (*MEASURES, *CONTENDERS) if name not in (*measures, *contenders)]
    if left_out:
        print(f"not asked for, or too long for a quick run: {', '.join(left_out)}")
    print(f"{time.monotonic() - started:.0f} s; written to {folder}")


if __name__ == "__main__":
    main()
