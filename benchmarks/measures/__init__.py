"""What is measured. A measure's module has:

    TITLE                     what it is, for the reader of a table
    METRICS                   what its results hold: name -> (unit, words); the first is the one that plots and targets take
    IN_QUICK                  whether a quick run has the time for it
    cells(quick) -> dict      its variants: label -> parameters; `https` among them asks for the TLS port
    NEEDS                     the names a contender's module must have
    run(job) -> dict          measures, in the contender's process
    BASE                      only where the cells are `benchmarks.kinds`, which are compared in one table: what a kind's figure
                              is set against, "floor" or another cell

Standard library alone, as `worker` says. The order is that of the report.
"""

from importlib import import_module
from typing import Any

MEASURES: dict[str, Any] = {
    name: import_module(f"{__name__}.{name}")
    for name in (
        "burst",
        "paced",
        "first_token",
        "whole",
        "vectors",
        "partials",
        "in_flight",
        "memory",
        "sync_stream",
        "handler",
        "handler_call",
        "cold",
        "imports",
        "kinds_burst",
        "kinds_paced",
        "kinds_sync",
        "kinds_handler",
        "kinds_server",
    )
}
