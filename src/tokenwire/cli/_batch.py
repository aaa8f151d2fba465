"""`tokenwire batch`: a file of calls, and a file of their results."""

import argparse
import os
import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import anyio

from tokenwire import AsyncClient, Gate, get_llm_provider
from tokenwire.exceptions import BadRequestError, UnknownProviderError
from tokenwire.jobs import Batch, Progress

from . import FAILED, INTERRUPTED
from ._call import in_options
from ._terminal import UsageError, complain, is_terminal, remark

SECONDS_OF_LINES = 10.0  # between two lines of progress, if there is no terminal
SECONDS_OF_TERMINAL = 0.25


def batch(arguments: argparse.Namespace) -> int:
    """Run the command.

    Returns:
        The exit status.

    Raises:
        UsageError: an argument or a line is wrong.
        OSError: the output can't be written.
    """
    try:
        return anyio.run(_batch, arguments)
    except BadRequestError as error:
        raise UsageError(error.message) from None


async def _batch(arguments: argparse.Namespace) -> int:
    keywords = {"api_base": arguments.api_base, "api_key": arguments.api_key, "timeout": arguments.timeout}
    gate = Gate(rpm=arguments.rpm, tpm=arguments.tpm, max_concurrency=arguments.concurrency)
    async with AsyncClient(gate=gate, num_retries=arguments.retries, **keywords) as client:
        run = Batch(
            arguments.input,
            arguments.output,
            model=arguments.model,
            errors=arguments.errors,
            client=client,
            concurrency=arguments.concurrency,
            retry_failed=arguments.retry_failed,
            number_ids=arguments.number_ids,
            custom_llm_provider=_provider(arguments),
            **({"sync_seconds": 0.0} if arguments.sync_each else {}),
        )
        if arguments.output == "-":
            remark("a run that writes to standard output can't be resumed: the next one begins from the start")
        progress = await _watched(run)
    if progress is None:
        return INTERRUPTED
    print(summary(run.progress), file=sys.stderr)
    _explain_failures(run.progress, secret=arguments.api_key)
    return 0 if progress.complete else FAILED


def _explain_failures(progress: Progress, *, secret: str | None) -> None:
    """Print why the first failed line failed, since often all fail for the same reason, and what to do about it."""
    if progress.first_failure is not None:
        complain(f"the first failure: {in_options(progress.first_failure)}", secret=secret)
    if progress.failed:
        remark("run it again with --retry-failed to repeat the calls that failed")


def _provider(arguments: argparse.Namespace) -> str | None:
    """OpenAI's, if there is an address, unless the model's name has a provider; otherwise None."""
    if not (arguments.api_base or os.environ.get("OPENAI_BASE_URL") or os.environ.get("OPENAI_API_BASE")):
        return None
    if arguments.model is not None:
        try:
            get_llm_provider(arguments.model)
        except UnknownProviderError:
            return "openai"
        return None
    return "openai"


async def _watched(run: Batch) -> Progress | None:
    """Run it, with its progress on standard error. Returns None if a second Ctrl-C stopped it."""
    progress: Progress | None = None
    failure: Exception | None = None
    async with anyio.create_task_group() as group:
        group.start_soon(_handle_signals, run, group.cancel_scope)
        with _display() as show:
            group.start_soon(_show, run, show)
            try:
                progress = await run.run()
                show(progress)
            except Exception as error:  # noqa: BLE001  (raised again outside of the group, which would wrap it)
                failure = error
        group.cancel_scope.cancel()
    if failure is not None:
        raise failure
    return progress


async def _handle_signals(run: Batch, scope: anyio.CancelScope) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            if run.draining:
                scope.cancel()
                return
            run.drain()
            remark(f"waiting for {_calls(run.progress.in_flight)}; Ctrl-C again stops at once")


async def _show(run: Batch, show: Any) -> None:
    while True:
        await anyio.sleep(SECONDS_OF_TERMINAL if is_terminal(sys.stderr) else SECONDS_OF_LINES)
        show(run.progress)


@contextmanager
def _display() -> Generator[Any, None, None]:
    """A function that shows progress: in a line that changes on a terminal, if rich is installed; otherwise in plain lines."""
    try:
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text
    except ImportError:
        Console = Live = Text = None  # noqa: N806
    if Console is None or Live is None or Text is None or not is_terminal(sys.stderr):
        yield lambda progress: print(line(progress), file=sys.stderr, flush=True)
        return
    with Live(console=Console(stderr=True), auto_refresh=False) as live:
        yield lambda progress: live.update(Text(line(progress)), refresh=True)


def line(progress: Progress) -> str:
    """The progress, in one line."""
    seconds = progress.seconds or 1e-9
    done = progress.earlier + progress.done
    speed = progress.done / seconds
    of = f"/{progress.lines}" if progress.lines else ""
    left = f", {_clock((progress.lines - done) / speed)} left" if progress.lines and speed else ""
    return (
        f"{done}{of} done, {progress.failed} failed, {progress.truncated} truncated, {progress.in_flight} in flight,"
        f" {speed:.1f} requests/s, {progress.tokens / seconds:.0f} tokens/s{left}"
    )


def summary(progress: Progress) -> str:
    """The result of the run, in one line."""
    words = f"{_calls(progress.done)} in {_clock(progress.seconds)}, {progress.earlier} were done before;"
    return f"{words} {progress.failed} failed, {progress.truncated} truncated" + (", stopped early" if progress.drained else "")


def _calls(count: int) -> str:
    return f"{count} call{'s' if count != 1 else ''}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(max(0.0, seconds)), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
