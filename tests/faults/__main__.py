"""`python -m tests.faults`: every fault, and what it comes to, as a table."""

import argparse
import sys
import time

from .matrix import FAULTS, GROUPS, Fault
from .running import LOOPS, Case, cases_of, expected, name_of, open_question, run


def main() -> int:
    """Run the command; what to exit with."""
    parser = argparse.ArgumentParser("python -m tests.faults", description=__doc__)
    parser.add_argument("words", metavar="WORD", nargs="*", help="only the faults with all of these words in their names")
    parser.add_argument("--loop", choices=list(LOOPS), action="append", help="an event loop; all of them by default")
    arguments = parser.parse_args()
    faults = [fault for fault in FAULTS if all(word in fault.name for word in arguments.words)]
    cases = cases_of(faults)
    _print_table(faults)
    good = [_run(loop, cases) for loop in arguments.loop or LOOPS]
    return 0 if all(good) else 1


def _run(loop: str, cases: list[Case]) -> bool:
    """Print how the cases went on one loop; whether all did as they should."""
    started = time.monotonic()
    endings = run(loop, cases)
    wrong = [case for case in cases if endings[name_of(case)] != expected(case)]
    print(
        f"\n{loop}: {len(cases)} calls in {time.monotonic() - started:.1f} s, {len(cases) - len(wrong)} end as the table says"
    )
    for case in wrong:
        print(f"  {name_of(case)}: {endings[name_of(case)]}{f' ({open_question(case)})' if open_question(case) else ''}")
    return all(map(open_question, wrong))


def _print_table(faults: list[Fault]) -> None:
    name = max(len(fault.name) for fault in faults)
    streamed = max(len(str(fault.streamed)) for fault in faults)
    for group, members in GROUPS.items():
        shown = [fault for fault in members if fault in faults]
        if shown:
            print(f"\n{group.upper():{name}}  {'streamed':{streamed}}  whole")
        for fault in shown:
            print(f"{fault.name:{name}}  {fault.streamed!s:{streamed}}  {fault.whole}")
    print(f"\n{len(faults)} faults")


if __name__ == "__main__":
    sys.exit(main())
