"""What `tokenwire bench` shows: a line of progress while it measures, and tables."""

import statistics
import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import anyio
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.live import Live
from rich.table import Table as RichTable
from rich.text import Text

from tokenwire.bench.load import Run
from tokenwire.bench.report import Table

from ._terminal import is_terminal, printable

SECONDS_OF_LINES = 10.0  # between two lines, if there is no terminal
SECONDS_OF_TERMINAL = 0.5
LATEST = 100  # requests, for the median time to the first token


class Display:
    """Shows the progress of a run on standard error."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._live: Live | None = None
        self._before, self._chunks = time.monotonic(), 0

    def __enter__(self) -> Self:
        if is_terminal(sys.stderr):
            self._live = Live(console=Console(stderr=True), auto_refresh=False, transient=True)
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()

    async def follow(self) -> None:
        """Update what is shown, until cancelled."""
        while True:
            await anyio.sleep(SECONDS_OF_LINES if self._live is None else SECONDS_OF_TERMINAL)
            line = self.line()
            if self._live is None:
                print(line, file=sys.stderr, flush=True)
            else:
                self._live.update(Text(line), refresh=True)

    def line(self) -> str:
        """The progress, in one line; the pace is the one since the last line."""
        run = self._run
        done, under_way = len(run.records) - len(run.under_way), len(run.under_way)
        of = f"/{run.load.requests}" if run.load.requests else ""
        over = f" of {run.load.duration:g}" if run.load.duration else ""
        latest = [record for record in run.records[-LATEST - under_way :] if record.arrivals]
        first = statistics.median(record.arrivals[0] - record.sent for record in latest) * 1000 if latest else None
        now, chunks = time.monotonic(), run.arrived
        pace = (chunks - self._chunks) / (now - self._before)
        self._before, self._chunks = now, chunks
        return (
            f"{run.load.label}: {done}{of} done, {under_way} in flight, {run.seconds:.0f}{over} s,"
            f" first token {'-' if first is None else f'{first:.0f} ms'}, {pace:.0f} chunks/s"
        )


def show(tables: Sequence[Table], *, title: str = "") -> None:
    """Print tables to standard output."""
    console = Console(width=None if is_terminal(sys.stdout) else 130, highlight=False)
    if title:
        console.print(Text(title, style="bold"))
    for table in tables:
        shown = RichTable(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
        for name, is_number in zip(table.head, table.numbers, strict=True):
            shown.add_column(Text(name), justify="right" if is_number else "left", no_wrap=is_number)
        for row in table.rows:
            shown.add_row(*(Text(printable(" ".join(cell.split()))) for cell in row))
        console.print(shown)
        console.print()
