"""`tokenwire bench`: an endpoint under load.

The requests run on uvloop if it is installed, since it needs less CPU. Ctrl-C ends the current run; what was measured is
summarized and saved.
"""

import argparse
import contextlib
import gc
import importlib.util
import signal
import sys
from collections.abc import Generator
from datetime import datetime
from itertools import product
from pathlib import Path
from typing import Any

import anyio

from tokenwire import AsyncClient
from tokenwire.bench import compare, page, prompts, report, saved
from tokenwire.bench.load import Load, Run
from tokenwire.bench.measure import Ask, asking
from tokenwire.bench.record import Prompt, Record
from tokenwire.bench.summary import Summary, goodput, summary
from tokenwire.exceptions import APIError, BadRequestError, without_secrets

from . import FAILED, INTERRUPTED
from ._bench_display import Display, show
from ._call import in_options, provider_of
from ._terminal import UsageError, complain, remark, without_keys

CONCURRENCY, REQUESTS = 8, 100
SPARE_FILES = 100  # in addition to one for each connection


def bench(arguments: argparse.Namespace) -> int:
    """Run the command.

    Returns:
        The exit status.

    Raises:
        UsageError: an argument is wrong; nothing was sent.
        OSError: results can't be written.
    """
    try:
        if arguments.compare is not None:
            return _compare(*arguments.compare)
        options = {"use_uvloop": importlib.util.find_spec("uvloop") is not None}
        return anyio.run(Bench(arguments).run, backend_options=options)
    except BadRequestError as error:
        raise UsageError(in_options(error.message)) from None
    except APIError as error:  # there is no API key
        error.message = in_options(error.message)
        raise


def _compare(first: str, second: str) -> int:
    comparisons = compare.compared(saved.read(first), saved.read(second))
    if not comparisons:
        raise UsageError(f"{first} and {second} have no load in common")
    for comparison in comparisons:
        show([report.table_of(comparison)])
    return 0


class Bench:
    """One run of the command.

    Raises:
        BadRequestError: an argument is wrong.
        UsageError: results can't be written where they should.
    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        self._provider = provider_of(arguments)
        self._targets = goodput(arguments.goodput)
        self._secret = arguments.api_key
        self._prompts = _prompts_of(arguments)
        self._loads = loads_of(arguments)
        self._files = None if arguments.save is None else Files(arguments.save)
        self._results: list[tuple[Run, Summary]] = []
        self._run: Run | None = None
        self._stopped = False
        self._at = datetime.now().astimezone()
        _allow_files(max(load.concurrency or REQUESTS for load in self._loads))

    async def run(self) -> int:
        """Measure, and print the results.

        Returns:
            The exit status.
        """
        arguments = self._arguments
        keywords = {"api_base": arguments.api_base, "api_key": arguments.api_key, "timeout": arguments.timeout}
        good, failure = False, None
        async with AsyncClient(num_retries=arguments.retries, **keywords) as client:
            self._check(client)
            async with anyio.create_task_group() as group:
                group.start_soon(self._handle_signals)
                try:
                    good = await self._warm_up(client)
                    if good:
                        await self._measure(client)
                except Exception as error:  # noqa: BLE001  (raised again outside of the group, which would wrap it)
                    failure = error
                group.cancel_scope.cancel()
        if self._files is not None and self._results:
            base = None if arguments.api_base is None else without_secrets(arguments.api_base)
            self._files.save(self._results, arguments.model, base, self._at)
        if failure is not None:
            raise failure
        if len(self._results) > 1:
            show([report.table_of_loads([found for _, found in self._results])])
        if self._stopped:
            return INTERRUPTED
        return 0 if good and all(each.complete for _, each in self._results) else FAILED

    def _check(self, client: AsyncClient) -> None:
        """Find mistakes in the calls before any is sent: a stream sends nothing before it is iterated."""
        for prompt in self._prompts or [prompts.made(1, 0)(0)]:
            client.astreaming(self._arguments.model, prompt.messages, **{**self._params(), **prompt.params})

    def _params(self) -> dict[str, Any]:
        extra = self._arguments.extra_body
        return {**self._provider, **({} if extra is None else {"extra_body": extra})}

    def _asking(self, client: AsyncClient, first: int) -> Ask:
        arguments = self._arguments
        source = prompts.made(arguments.words, arguments.seed) if self._prompts is None else prompts.cycled(self._prompts)
        return asking(client, arguments.model, source, max_tokens=arguments.max_tokens, first=first, **self._params())

    async def _warm_up(self, client: AsyncClient) -> bool:
        """Make some calls that are not measured. Returns False if all failed, or Ctrl-C was pressed."""
        count = self._arguments.warmup
        if not count:
            return True
        load = Load(concurrency=min(count, self._loads[0].concurrency or count), requests=count)
        self._run = Run(self._asking(client, 0), load)
        await self._run.run()
        failed = [record for record in self._run.records if record.outcome in ("failed", "truncated")]
        if failed and len(failed) == len(self._run.records):
            self._hide_secrets(failed)
            complain(f"the warm-up failed, so nothing is measured: {in_options(failed[0].message or '')}")
            return False
        return not self._stopped

    async def _measure(self, client: AsyncClient) -> None:
        first = self._arguments.warmup
        for load in self._loads:
            if self._stopped:
                return
            self._run = run = Run(self._asking(client, first), load)
            with _without_collection():
                async with anyio.create_task_group() as group:
                    with Display(run) as display:
                        group.start_soon(display.follow)
                        await run.run()
                        group.cancel_scope.cancel()
            first += len(run.records)
            self._hide_secrets(run.records)
            found = summary(run, self._targets)
            self._results.append((run, found))
            if self._files is not None:
                self._files.add(run)
            show(report.rows_of(found), title=load.label)
            if found.warning is not None:
                remark(found.warning)

    def _hide_secrets(self, records: list[Record]) -> None:
        """Replace keys in error messages: a server may repeat the key that it refuses."""
        for record in records:
            record.message = record.message and without_keys(record.message, self._secret)

    async def _handle_signals(self) -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for _ in signals:
                self._stopped = True
                if self._run is not None:
                    self._run.stop()


class Files:
    """The files of the results. Existing files are replaced once there are results.

    Raises:
        UsageError: one can't be written; this is checked before the measurement, which may take an hour.
    """

    def __init__(self, name: str) -> None:
        self._json, self._lines, self._page = (Path(f"{name}.{ending}") for ending in ("json", "jsonl", "html"))
        self._has_lines = False
        for path in (self._json, self._lines, self._page):
            _check_writable(path)
        self._draws = page.is_there()
        if not self._draws:
            remark(f"there will be no {self._page}, which needs matplotlib: pip install 'tokenwire[bench]'")

    def add(self, run: Run) -> None:
        """Write a run's requests."""
        with self._lines.open("ab" if self._has_lines else "wb") as file:
            file.writelines(saved.lines_of(run.records, run.load.label, run.started))
        self._has_lines = True

    def save(self, results: list[tuple[Run, Summary]], model: str, base: str | None, at: datetime) -> None:
        """Write the results of all runs."""
        fields = [saved.fields_of(found, model=model, base=base, at=at) for _, found in results]
        self._json.write_bytes(saved.encode(fields))
        if self._draws:
            self._page.write_text(page.page(results, model=model, base=base, at=at), "utf-8")
        paths = [self._json, self._lines, *([self._page] if self._draws else [])]
        remark(f"saved: {', '.join(map(str, paths))}")


def _check_writable(path: Path) -> None:
    is_new = not path.exists()
    try:
        path.open("ab").close()
        if is_new:
            path.unlink()
    except OSError as error:
        raise UsageError(f"--save: {path}: {error.strerror}") from None


def loads_of(arguments: argparse.Namespace) -> list[Load]:
    """The loads to measure, one after the other."""
    requests = None if arguments.duration else arguments.requests or REQUESTS
    rates = arguments.rate or [None]
    at_once = arguments.concurrency or [None if arguments.rate else CONCURRENCY]
    return [
        Load(
            concurrency=concurrency,
            rate=rate,
            arrivals=arguments.arrivals or "poisson",
            requests=requests,
            duration=arguments.duration,
            seed=arguments.seed,
        )
        for rate, concurrency in product(rates, at_once)
    ]


def _prompts_of(arguments: argparse.Namespace) -> list[Prompt] | None:
    """The prompts of the arguments; None if they are to be made up."""
    if arguments.prompt:
        return prompts.given(arguments.prompt)
    return None if arguments.prompts is None else prompts.read(arguments.prompts)


@contextlib.contextmanager
def _without_collection() -> Generator[None, None, None]:
    """Exclude existing objects from garbage collection, which would traverse them in the middle of a measurement."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _allow_files(connections: int) -> None:
    """Raise the limit of open files as far as is needed and the system allows."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        if most < wanted:
            remark(f"only {most} files may be open at the same time, and each request in flight needs one: see ulimit -n")
