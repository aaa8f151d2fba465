"""A file of calls, and a file of their results: `batch`.

How it works. The input's lines are read, checked and asked as `map` does it: no more are read than calls may begin. Each
result is appended to the output at once; a task syncs the file so often. The next run with the same arguments reads the
output first, and passes over the lines that have a result there: what a killed run lost are the calls under way.
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
    """How far a batch is.

    Attributes:
        earlier: lines that had a result before this run.
        done: results of this run, whatever they are.
        failed: results in the output that are errors, those of earlier runs included.
        truncated: answers in the output that may not be longer (finish reason "length"), likewise.
        first_failure: the line of this run that failed first, and why; None where none did.
        in_flight: calls under way.
        tokens: used in this run, as far as the servers said.
        lines: of the input; None as long as they are not counted.
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
        """Whether every line has an answer, and none is cut short."""
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
        self._failure: OSError | None = None  # of syncing
        self._results: Results[Any] | None = None
        self._progress = Progress()
        self._asker: Asker | None = None

    @property
    def progress(self) -> Progress:
        """How far it is."""
        self._progress.seconds = time.monotonic() - self._started
        self._progress.in_flight = 0 if self._results is None else self._results.in_flight
        return self._progress

    @property
    def draining(self) -> bool:
        """Whether it was told to end."""
        return self._draining

    def drain(self) -> None:
        """Read no more; the run ends with the calls that are under way."""
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
        """Count a file's lines; the first time, find what is wrong with them before anything is sent."""
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
            raise reader.wrong(line.number, f"has a model that nobody answers for: {error.message}") from None

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
        """What asks lines in other APIs' words, which few batches have."""
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
        """The same where the next line may take its time."""
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
            message = f"has the custom_id {name!r:.80}, but the output's result for it has another: is it another input's?"
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
            except OSError as error:  # raised once the calls under way have ended
                self._failure = error
                self.drain()
                return


def _body_of(response: Any) -> object:
    """The answer as it was received, in one line; a handler's as its record says."""
    raw = response.raw
    if raw is None:
        return response.model_dump(exclude_none=True)
    return msgspec.Raw(msgspec.json.format(raw, indent=-1) if b"\n" in raw or b"\r" in raw else raw)


def _failed(error: TokenwireError) -> dict[str, Any]:
    """A failed call, as OpenAI's batches have it."""
    found: dict[str, Any] = {"response": None, "error": {"code": type(error).__name__, "message": str(error)}}
    if isinstance(error, APIError):
        found["error"] = {"code": error.code or type(error).__name__, "message": error.message}
        if error.response is not None:
            found["response"] = {"status_code": error.status_code, "request_id": error.request_id, "body": error.body}
    return found


class BatchOptions(TypedDict, total=False):
    """What `batch` takes beside the two files.

    Attributes:
        model: for every line, with its provider; None where each names its own.
        errors: a file of its own for failed lines.
        client: an `AsyncClient` with gate and defaults; one is made where it is not given.
        concurrency: calls under way at once, 64.
        retry_failed: ask failed lines again.
        number_ids: number lines whose custom_id is missing or was there before, instead of refusing them.
        sync_seconds: seconds between two syncs of the output, 1; 0 for each line.
        custom_llm_provider: who answers, where the models' names do not say.
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
    """Make the calls of a file, and write their results to another: OpenAI's batch format.

    Args:
        input: lines of OpenAI's batch format, or plain ones with `messages` or `prompt`, whose further fields are carried
            through; "-" for standard input; `.gz`, and `.zst` on Python 3.14 or where zstandard is installed.
        output: is appended to, a line for each call as it ends, in any order; "-" for standard output, which can't be gone
            on with. Lines of an earlier run stay, and are not asked again.
        **options: see `BatchOptions`.

    Returns:
        How it went.

    Raises:
        BadRequestError: an argument, a line of the input, or the output is wrong. What is known before is raised before
            anything is sent; results so far are in the output.
        OSError: the output can't be written.

    Cancelled, or killed at any moment, the next run goes on: no line is lost, doubled or torn; the calls that were under
    way are made again.
    """
    return await Batch(input, output, **options).run()


def batch(input: str, output: str, **options: "Unpack[BatchOptions]") -> Progress:
    """Make the calls of a file, from sync code: `abatch`, on an event loop of its own."""
    return anyio.run(lambda: abatch(input, output, **options))
