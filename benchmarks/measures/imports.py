"""What the import costs that a contender's users write at the top of their file, in interpreters of its own."""

import json
import statistics
import subprocess
import sys
from typing import Any

from ..worker import Job

TITLE = "Import: what the first line of a program costs"
METRICS = {"ms": ("ms", "time"), "modules": ("", "modules in sys.modules"), "mb": ("MB", "memory beyond the interpreter's")}
IN_QUICK = True
NEEDS = ()
SCRIPT = """
import time
started = time.perf_counter()
{statement}
took = time.perf_counter() - started
import sys
modules = len(sys.modules)
import os
pages = int(open("/proc/self/statm").read().split()[1])
print(took, modules, pages * os.sysconf("SC_PAGE_SIZE"))
"""


def cells(quick: bool) -> dict[str, dict[str, Any]]:
    return {"": {"times": 1 if quick else 5}}


def run(job: Job) -> dict[str, Any]:
    times = job.parameters["times"]
    bare = [_imported("pass") for _ in range(times)]
    if times > 1:
        _imported(job.statement)  # compiles what was never imported before
    found = [_imported(job.statement) for _ in range(times)]
    took, modules, size = (statistics.median(column) for column in zip(*found, strict=True))
    return {"ms": took * 1e3, "modules": modules, "mb": (size - statistics.median(row[2] for row in bare)) / 2**20}


def _imported(statement: str) -> list[float]:
    command = [sys.executable, "-c", SCRIPT.format(statement=statement)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    return json.loads("[" + ",".join(done.stdout.split()[-3:]) + "]")
