"""A file of calls, and a file of their results: `batch`.

How it works. The input's lines are read, checked and called by `map`: no more are read than calls may begin. Each result is
appended to the output at once; a task syncs the file regularly. The next run with the same arguments reads the output first,
and skips the lines that have a result there: a killed run only loses the calls in flight.
"""

import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from typing import TYPE_CHECKING, Any, TypedDict, cast

import anyio
import anyio.to_thread
import msgspec

from ..exceptions import APIError, TokenwireError, UnknownProviderError, wrong
from ..types.attempts import Result
from .files import numbered, open_input
from .lines import Line, Reader
from .map import Results, checked_concurrency
from .output import ID, Done, Output, is_truncated, mark

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from tokenwire import AsyncClient

    from .dialects import Asker

CONCURRENCY = 64
SYNC_SECONDS = 1.0


class Progress(msgspec.Struct, kw_only=True):
    """The progress of a batch.

    Attributes:
        earlier: lines that had a result before this run.
        done: results of this run, including errors.
        failed: errors in the output, including those of earlier runs.
        truncated: answers in the output cut short by a limit (finish reason "length"), including those of earlier runs.
        first_failure: this run's first failed line, and its error; None if none failed.
        in_flight: calls that are running.
        tokens: the tokens used in this run, as far as the servers sent usage.
        lines: the number of lines of the input; None until they are counted.
        seconds: since the run began.
        drained: whether it was stopped before the end of the input.
    """

    earlier: int = 0
    done: int = 0
    failed: int = 0
    truncated: int = 0
    first_failure: str | None = None
    in_flight: int = 0
    tokens: int = 0
    lines: int | None = None
    seconds: float = 0.0
    drained: bool = False

    @property
    def complete(self) -> bool:
        """Whether every line has an answer, and none is truncated."""
        return not (self.failed or self.truncated or self.drained)


class Batch:
    """One run of a batch; see `batch` for the arguments."""

    def __init__(
        self,
        input: str,
        output: str,
        *,
        model: str | None = None,
        errors: str | None = None,
        client: "AsyncClient | None" = None,
        concurrency: int | None = None,
        retry_failed: bool = False,
        number_ids: bool = False,
        sync_seconds: float = SYNC_SECONDS,
        custom_llm_provider: str | None = None,
    ) -> None:
        if isinstance(sync_seconds, bool) or not isinstance(sync_seconds, int | float) or sync_seconds < 0:
            raise wrong("sync_seconds", "seconds, 0 for each line", sync_seconds)
        if errors is not None and errors == output:
            raise wrong("errors", "another file than the output", errors)
        self._input = str(input)
        self._paths = [str(path) for path in (output, errors) if path is not None]
        self._given_client = client
        self._concurrency = checked_concurrency(CONCURRENCY if concurrency is None else concurrency)
        self._retry_failed = retry_failed
        self._sync_seconds = sync_seconds
        self._provider = {} if custom_llm_provider is None else {"custom_llm_provider": custom_llm_provider}
        self._new_reader: Callable[[], Reader] = lambda: Reader(self._input, model=model, number_ids=number_ids)
        self._done = Done()
        self._started = time.monotonic()
        self._draining = False
        self._failure: OSError | None = None  # the error of syncing
        self._results: Results[Any] | None = None
        self._progress = Progress()
        self._asker: Asker | None = None

    @property
    def progress(self) -> Progress:
        """The current progress."""
        self._progress.seconds = time.monotonic() - self._started
        self._progress.in_flight = 0 if self._results is None else self._results.in_flight
        return self._progress

    @property
    def draining(self) -> bool:
        """Whether `drain` was called."""
        return self._draining

    def drain(self) -> None:
        """Read no more lines; the run ends after the calls in flight."""
        self._draining = True

    async def run(self) -> Progress:
        """Make the calls that have no result yet.

        Raises:
            BadRequestError: an argument, a line of the input or the output is wrong. Results so far are in the output.
            OSError: the output can't be written.
        """
        async with AsyncExitStack() as stack:
            outputs: list[Output] = []
            for path in self._paths:
                outputs.append(Output(path))
                stack.callback(outputs[-1].close)
            for output in outputs:
                output.read(self._done, keep_failed=not self._retry_failed)
            done = self._done
            self._progress.earlier, self._progress.failed, self._progress.truncated = done.count, done.failed, done.truncated
            client = self._given_client
            if client is None:
                from tokenwire import AsyncClient

                client = await stack.enter_async_context(AsyncClient())
            self._check_input(client)
            await self._ask_all(client, outputs)
            for output in outputs:
                output.sync()
        return self.progress

    def _check_input(self, client: "AsyncClient") -> None:
        """Count a file's lines; in the first run, also check them all before anything is sent."""
        if self._input == "-":
            return
        with open_input(self._input) as file:
            if self._done.count:
                self._progress.lines = sum(
                    len(lines) - sum(map(bytes.isspace, lines)) for _, lines in numbered(file, self._input)
                )
                return
            reader, models = self._new_reader(), set[str]()
            read = (
                reader.read(number, data)
                for first, lines in numbered(file, self._input)
                for number, data in enumerate(lines, first)
            )
            self._progress.lines = 0
            for line in filter(None, read):
                self._progress.lines += 1
                if (model := line.params["model"]) not in models:
                    self._check_model(client, reader, line)
                    models.add(model)

    def _check_model(self, client: "AsyncClient", reader: Reader, line: Line) -> None:
        try:
            client.handler_keywords(line.params["model"], custom_llm_provider=self._provider.get("custom_llm_provider"))
        except UnknownProviderError as error:
            raise reader.wrong(line.number, f"has a model with an unknown provider: {error.message}") from None

    async def _ask_all(self, client: "AsyncClient", outputs: list[Output]) -> None:
        methods: dict[str, Any] = {name: getattr(client, name) for name in ("acompletion", "atext_completion", "aembedding")}

        def ask(index: int, line: Line) -> Any:
            if line.api:
                return self._in_other_words(client).ask(line)
            params = dict(line.params)
            return methods[line.method](params.pop("model"), line.content, **self._provider, **params)

        with ExitStack() as stack:
            lines = self._lines_of_stdin() if self._input == "-" else self._lines(stack)
            async with Results(ask, lines, concurrency=self._concurrency, ordered=False, on_error="return") as results:
                self._results = results
                results.alongside(self._sync_regularly, outputs)
                async for result in results:
                    self._write(result, outputs)
        if self._failure is not None:
            raise self._failure

    def _in_other_words(self, client: "AsyncClient") -> "Asker":
        """Makes the calls of lines of other APIs; imported when needed, as few batches have them."""
        if self._asker is None:
            from .dialects import Asker

            self._asker = Asker(client, self._provider.get("custom_llm_provider"))
        return self._asker

    def _lines(self, stack: ExitStack) -> Iterator[Line]:
        """The lines that have no result yet."""
        reader = self._new_reader()
        for first, lines in numbered(stack.enter_context(open_input(self._input)), self._input):
            marks = self._done.marks_of(first, len(lines))
            if marks is not None and reader.are_done(lines, marks):
                continue
            for number, data in enumerate(lines, first):
                if self._draining:
                    self._progress.drained = True
                    return
                if (line := self._wanted(reader, number, data)) is not None:
                    yield line
        stack.close()

    async def _lines_of_stdin(self) -> AsyncIterator[Line]:
        """The same for standard input, where reading the next line may block."""
        reader, number, file = self._new_reader(), 0, open_input("-")
        while not self._draining and (data := await anyio.to_thread.run_sync(file.readline, abandon_on_cancel=True)):
            number += 1
            if (line := self._wanted(reader, number, data)) is not None:
                yield line
        self._progress.drained = self._draining

    def _wanted(self, reader: Reader, number: int, data: bytes) -> Line | None:
        expected = self._done.mark_of(number)
        if not expected:
            return reader.read(number, data)
        name = reader.id_of(number, data)
        if mark(name.encode()) != expected:
            message = (
                f"has the custom_id {name!r:.80}, but the output's result for it has another one:"
                " does the output belong to another input?"
            )
            raise reader.wrong(number, message)
        return None

    def _write(self, result: Result[Any], outputs: list[Output]) -> None:
        line: Line = result.input
        answer = {"id": f"{ID}{line.number}", "custom_id": line.custom_id, **line.carried}
        response = result.response
        progress = self._progress
        if response is not None:
            said = self._asker.body(line, response) if line.api and self._asker is not None else None
            body = _body_of(response) if said is None else said
            about = {"status_code": 200, "request_id": response.request_id, "body": body}
            raw = msgspec.json.encode(about, enc_hook=str)
            answer |= {"response": msgspec.Raw(raw), "error": None}
            usage = getattr(response, "usage", None)
            progress.tokens += (usage.total_tokens or 0) if usage is not None else 0
        else:
            error = cast(TokenwireError, result.error)
            answer |= _failed(error)
            progress.first_failure = progress.first_failure or f"line {line.number}: {error}"
        data = msgspec.json.encode(answer, enc_hook=str)
        progress.failed += response is None
        progress.truncated += response is not None and is_truncated(data)
        outputs[-1 if response is None else 0].append(data + b"\n")
        progress.done += 1
        if not self._sync_seconds:
            for output in outputs:
                output.sync()

    async def _sync_regularly(self, outputs: list[Output]) -> None:
        while self._sync_seconds:
            await anyio.sleep(self._sync_seconds)
            try:
                for output in outputs:
                    await anyio.to_thread.run_sync(output.sync)
            except OSError as error:  # raised once the calls in flight have ended
                self._failure = error
                self.drain()
                return


def _body_of(response: Any) -> object:
    """The answer as received, in one line; a handler's as JSON of its record."""
    raw = response.raw
    if raw is None:
        return response.model_dump(exclude_none=True)
    return msgspec.Raw(msgspec.json.format(raw, indent=-1) if b"\n" in raw or b"\r" in raw else raw)


def _failed(error: TokenwireError) -> dict[str, Any]:
    """A failed call, in the format of OpenAI's batches."""
    found: dict[str, Any] = {"response": None, "error": {"code": type(error).__name__, "message": str(error)}}
    if isinstance(error, APIError):
        found["error"] = {"code": error.code or type(error).__name__, "message": error.message}
        if error.response is not None:
            found["response"] = {"status_code": error.status_code, "request_id": error.request_id, "body": error.body}
    return found


class BatchOptions(TypedDict, total=False):
    """Options of `batch`.

    Attributes:
        model: the model for every line, with its provider; None if each line has its own.
        errors: a separate file for failed lines.
        client: an `AsyncClient` with gate and defaults; by default, a new one.
        concurrency: the most calls at the same time, by default 64.
        retry_failed: try failed lines again.
        number_ids: number lines with a missing or repeated custom_id, instead of refusing them.
        sync_seconds: seconds between two syncs of the output, by default 1; 0 to sync after each line.
        custom_llm_provider: the provider, if the models' names do not have it.
    """

    model: str | None
    errors: str | None
    client: "AsyncClient | None"
    concurrency: int | None
    retry_failed: bool
    number_ids: bool
    sync_seconds: float
    custom_llm_provider: str | None


async def abatch(input: str, output: str, **options: "Unpack[BatchOptions]") -> Progress:
    """Make the calls in a file, and write their results to another file, in OpenAI's batch format.

    Args:
        input: a file with lines in OpenAI's batch format, or plain ones with `messages` or `prompt`, whose other fields are
            copied to the output; "-" for standard input; `.gz`, and `.zst` on Python 3.14 or with zstandard installed.
        output: the file to which a line is appended as each call ends, in any order; for `.gz`, a group of lines at each
            sync, so a kill loses those of the last `sync_seconds`; "-" for standard output, which can't be resumed. Lines
            of an earlier run are kept, and not called again.
        **options: see `BatchOptions`.

    Returns:
        The final progress.

    Raises:
        BadRequestError: an argument, a line of the input, or the output is wrong; if possible, raised before anything is
            sent. Results so far are in the output.
        OSError: the output can't be written.

    After a cancellation, or a kill at any moment, the next run continues: no line is lost, doubled or incomplete; the calls
    that were in flight are made again.
    """
    return await Batch(input, output, **options).run()


def batch(input: str, output: str, **options: "Unpack[BatchOptions]") -> Progress:
    """Make the calls in a file, from sync code: `abatch`, on a new event loop."""
    return anyio.run(lambda: abatch(input, output, **options))
