"""`tokenwire bench`: an endpoint under load.

uvloop runs the requests where it is installed, for it needs less CPU. Ctrl-C ends the run that is under way; what was
measured is summed up and saved.
"""

import argparse
import contextlib
import gc
import importlib.util
import os
import signal
import sys
from collections.abc import Generator
from datetime import datetime
from itertools import product
from pathlib import Path
from typing import Any, BinaryIO

import anyio

from tokenwire import AsyncClient
from tokenwire.bench import compare, page, prompts, report, saved
from tokenwire.bench.load import Load, Run
from tokenwire.bench.measure import Ask, asking
from tokenwire.bench.record import Prompt
from tokenwire.bench.summary import Summary, goodput, summary
from tokenwire.exceptions import APIError, BadRequestError

from . import FAILED, INTERRUPTED
from ._bench_display import Display, show
from ._call import in_options, provider_of
from ._terminal import UsageError, complain, remark

CONCURRENCY, REQUESTS = 8, 100
SPARE_FILES = 100  # beside one for each connection


def bench(arguments: argparse.Namespace) -> int:
    """Run the command.

    Returns:
        What to exit with.

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
    except APIError as error:  # there is no key
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
        self._secret = arguments.api_key or os.environ.get("OPENAI_API_KEY")
        self._prompts = _given(arguments)
        self._loads = loads_of(arguments)
        self._files = None if arguments.save is None else Files(arguments.save)
        self._results: list[tuple[Run, Summary]] = []
        self._run: Run | None = None
        self._stopped = False
        self._at = datetime.now().astimezone()
        _allow_files(max(load.concurrency or REQUESTS for load in self._loads))

    async def run(self) -> int:
        """Measure, and say what came of it.

        Returns:
            What to exit with.
        """
        arguments = self._arguments
        keywords = {"api_base": arguments.api_base, "api_key": arguments.api_key, "timeout": arguments.timeout}
        good, failure = False, None
        async with AsyncClient(num_retries=arguments.retries, **keywords) as client:
            self._check(client)
            async with anyio.create_task_group() as group:
                group.start_soon(self._heed_signals)
                try:
                    good = await self._warm_up(client)
                    if good:
                        await self._measure(client)
                except Exception as error:  # noqa: BLE001  (raised again outside of the group, which would wrap it)
                    failure = error
                group.cancel_scope.cancel()
        if failure is not None:
            raise failure
        if len(self._results) > 1:
            show([report.table_of_loads([found for _, found in self._results])])
        if self._files is not None:
            self._files.close(self._results, arguments, self._at)
        if self._stopped:
            return INTERRUPTED
        return 0 if good and all(each.complete for _, each in self._results) else FAILED

    def _check(self, client: AsyncClient) -> None:
        """Find what is wrong with the calls before any is made: a stream sends nothing before it is iterated."""
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
        """Make some calls that are not measured. False where they tell that there is nothing to measure."""
        count = self._arguments.warmup
        if not count:
            return True
        load = Load(concurrency=min(count, self._loads[0].concurrency or count), requests=count)
        self._run = Run(self._asking(client, 0), load)
        await self._run.run()
        failed = [record for record in self._run.records if record.outcome in ("failed", "truncated")]
        if failed and len(failed) == len(self._run.records):
            words = f"nothing is measured, for {'it' if count == 1 else 'all of it'} failed"
            complain(f"warm-up: {words}: {in_options(failed[0].message or '')}", secret=self._secret)
            return False
        return not self._stopped

    async def _measure(self, client: AsyncClient) -> None:
        first = self._arguments.warmup
        for load in self._loads:
            if self._stopped:
                return
            self._run = run = Run(self._asking(client, first), load)
            with _without_garbage():
                async with anyio.create_task_group() as group:
                    with Display(run) as display:
                        group.start_soon(display.follow)
                        await run.run()
                        group.cancel_scope.cancel()
            first += len(run.records)
            self._hide_secret(run)
            found = summary(run, self._targets)
            self._results.append((run, found))
            if self._files is not None:
                self._files.add(run)
            show(report.rows_of(found), title=load.label)
            if found.warning is not None:
                remark(found.warning)

    def _hide_secret(self, run: Run) -> None:
        """A server may repeat the key that it refuses."""
        for record in run.records:
            if record.message is not None and self._secret:
                record.message = record.message.replace(self._secret, "***")

    async def _heed_signals(self) -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for _ in signals:
                self._stopped = True
                if self._run is not None:
                    self._run.stop()


class Files:
    """Where results are saved. The files are opened before anything is measured, so that it is not in vain.

    Raises:
        UsageError: one can't be written.
    """

    def __init__(self, name: str) -> None:
        self._json, self._lines = self._open(f"{name}.json"), self._open(f"{name}.jsonl")
        self._page = self._open(f"{name}.html") if page.is_there() else None
        if self._page is None:
            remark(f"there will be no {name}.html, which needs matplotlib: pip install 'tokenwire[bench]'")

    def _open(self, path: str) -> BinaryIO:
        try:
            return Path(path).open("wb")
        except OSError as error:
            raise UsageError(f"--save: {path}: {error.strerror}") from None

    def add(self, run: Run) -> None:
        """Write a run's requests."""
        self._lines.writelines(saved.lines_of(run.records, run.load.label, run.started))
        self._lines.flush()

    def close(self, results: list[tuple[Run, Summary]], arguments: argparse.Namespace, at: datetime) -> None:
        """Write what they came to."""
        model, base = arguments.model, arguments.api_base
        with self._lines, self._json, self._page or contextlib.nullcontext():
            if results:
                self._json.write(saved.encode([saved.fields_of(found, model=model, base=base, at=at) for _, found in results]))
                if self._page is not None:
                    self._page.write(page.page(results, model=model, base=base, at=at).encode())
        names = [file.name for file in (self._json, self._lines, self._page) if file is not None]
        remark(f"saved: {', '.join(names)}")


def loads_of(arguments: argparse.Namespace) -> list[Load]:
    """What is measured, one load after the other."""
    requests = None if arguments.duration else arguments.requests or REQUESTS
    rates = arguments.rate or [None]
    at_once = arguments.concurrency or [None if arguments.rate else CONCURRENCY]
    return [
        Load(
            concurrency=concurrency,
            rate=rate,
            arrivals=arguments.arrivals,
            requests=requests,
            duration=arguments.duration,
            seed=arguments.seed,
        )
        for rate, concurrency in product(rates, at_once)
    ]


def _given(arguments: argparse.Namespace) -> list[Prompt] | None:
    """The prompts that were given; None where they are to be made up."""
    if arguments.prompt:
        return prompts.given(arguments.prompt)
    return None if arguments.prompts is None else prompts.read(arguments.prompts)


@contextlib.contextmanager
def _without_garbage() -> Generator[None, None, None]:
    """Spare the garbage collector what is there already, which it would walk in the middle of a measurement."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _allow_files(connections: int) -> None:
    """Have as many open files as it takes, if the system lets us."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        if most < wanted:
            remark(f"only {most} files may be open at once here, and each request under way is one: see ulimit -n")
