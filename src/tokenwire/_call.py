"""One logical call: its attempts, the waits between them, and its deadlines.

This is the only place that tries anything again. A stream is tried again until its first content is handed to the
caller (the commit point); until then its chunks are held back, so that no caller sees the beginning of an attempt that
came to nothing.
"""

import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import anyio
import msgspec

from ._log import HANDLER_LOG, CallLog, is_heard
from ._request import Request, complete_for_endpoint, endpoint_keywords, handler_keywords
from ._routing import BUILT_IN, handler_for
from ._settings import RetryPolicy, Timeouts
from .exceptions import (
    APIConnectionError,
    APIError,
    APIResponseValidationError,
    StreamClosedError,
    StreamTruncatedError,
    Timeout,
)
from .llms.base import ChunkSource, Shape
from .llms.bridge import Bridge
from .llms.handler_stream import name_of
from .types import ModelResponse, TextCompletionResponse

FOREVER = float("inf")
CLOCKS_DIFFER = 0.1  # seconds by which an event loop may be early, as its clock stands still while it works
RETRIED = frozenset({408, 409, 429})  # and 5xx


class Attempt(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one attempt of a call came to.

    Attributes:
        number: 1 for the first.
        status: the HTTP status, or the one that the failure's class stands for; None for a stream still open.
        error: the name of the exception's class, None for success.
        seconds: how long it took.
        waited: seconds of waiting before it.
    """

    number: int
    status: int | None
    error: str | None
    seconds: float
    waited: float


class Attempts:
    """The attempts of one call so far, and whether there is another. No I/O.

    Attributes:
        made: those that are over.
        log: told of them; None where nobody listens.
    """

    __slots__ = (
        "_deadline",
        "_policy",
        "_started",
        "_waited",
        "log",
        "made",
    )

    def __init__(self, policy: RetryPolicy, deadline: float, log: CallLog | None = None) -> None:
        self._policy = policy
        self._deadline = deadline
        self._started = 0.0
        self._waited = 0.0
        self.made: tuple[Attempt, ...] = ()
        self.log = log

    def begin(self) -> None:
        """An attempt starts now."""
        self._started = time.monotonic()
        if self.log is not None:
            self.log.begins(len(self.made) + 1)

    def succeeded(self, status: int | None) -> tuple[Attempt, ...]:
        """The attempt came to an answer."""
        self._record(status, None)
        return self.made

    def failed(self, error: APIError) -> float | None:
        """The attempt failed: the seconds to wait before the next, None if there is none; `error.attempts` is set."""
        self.failed_for_good(error)
        delay = self._delay_after(error)
        if self.log is not None:
            self.log.failed(len(self.made), self.made[-1].seconds, error, delay)
        if delay is not None:
            self._waited = delay
        return delay

    def failed_for_good(self, error: APIError) -> None:
        """The attempt failed, and whether there could be another is not asked; `error.attempts` is set."""
        self._record(error.status_code, type(error).__name__)
        error.attempts = self.made

    def _record(self, status: int | None, error: str | None) -> None:
        seconds = time.monotonic() - self._started
        attempt = Attempt(number=len(self.made) + 1, status=status, error=error, seconds=seconds, waited=self._waited)
        self.made = (*self.made, attempt)

    def _delay_after(self, error: APIError) -> float | None:
        """The wait before the next attempt; None where there is none."""
        if len(self.made) > self._policy.num_retries or not is_retryable(error):
            return None
        delay = self._delay(error)
        return None if delay is None or time.monotonic() + delay >= self._deadline else delay

    def _delay(self, error: APIError) -> float | None:
        if error.retry_after is not None:
            return error.retry_after if error.retry_after <= self._policy.max_retry_after else None
        longest = min(self._policy.max_delay, self._policy.base_delay * 2 ** (len(self.made) - 1))
        return longest * random.uniform(0.75, 1)  # noqa: S311  (jitter, no secret)


def is_retryable(error: APIError) -> bool:
    """Whether the same request may fare better later."""
    if error.headers.get("x-should-retry") in ("true", "false"):
        return error.headers["x-should-retry"] == "true"
    if isinstance(error, APIResponseValidationError) or (isinstance(error, Timeout) and error.budget == "total"):
        return False
    if isinstance(error, APIConnectionError):
        # A handler's own exception is a bug to be seen, not a broken connection.
        return error.__cause__ is None or error.response is not None or not _is_foreign(error.__cause__)
    return error.status_code in RETRIED or error.status_code >= 500


def _is_foreign(cause: BaseException) -> bool:
    if isinstance(getattr(cause, "status_code", None), int):  # it is meant as an answer: a handler's 408 or 504
        return False
    return not any(kind.__module__.partition(".")[0] in ("httpx", "httpcore", "ssl") for kind in type(cause).__mro__) and (
        not isinstance(cause, OSError)
    )


class Target:
    """Who answers a request, and the keywords they are called with."""

    __slots__ = (
        "_pool",
        "bridge",
        "built_in",
        "kwargs",
        "request",
    )

    def __init__(self, request: Request, pool: Callable[[str], Any]) -> None:
        self.request = request
        bridge = request.bridge or handler_for(request.provider, request.model)
        self.built_in = bridge is None and not request.mock
        self._pool = pool
        if self.built_in:
            complete_for_endpoint(request)
        if request.mock:
            bridge = _mock(request)
        self.bridge = bridge or _endpoint(request.provider, request.kind)
        if self.built_in:
            self.kwargs = endpoint_keywords(request)
        else:
            self.kwargs = handler_keywords(request, log=HANDLER_LOG)

    def attempts(self, deadline: float) -> Attempts:
        """The call's attempts, none made yet."""
        request = self.request
        log = CallLog(f"{request.provider}/{request.model}", self._address()) if is_heard() else None
        return Attempts(request.retry_policy(default=2 if self.built_in else 0), deadline, log)

    def _address(self) -> str:
        """Where attempts go, to show."""
        handler = self.bridge.handler
        return handler.address(self.request.kind, self.kwargs) if self.built_in else f"the handler {name_of(handler)}"

    def connect(self) -> None:
        """Choose the HTTP client, which a pool can only give inside its event loop."""
        if self.built_in and self.kwargs["client"] is None:
            self.kwargs["client"] = self._pool(self.kwargs["api_base"])

    async def answer(self) -> Any:
        """One attempt at an answer that is not streamed."""
        self.connect()
        kind = self.request.kind
        if kind == "embedding":
            return await self.bridge.embed(self.kwargs)
        if kind == "image":
            return await self.bridge.generate_image(self.kwargs)
        if kind == "models":
            return await self._list_models()
        return await self.bridge.complete(self.kwargs, TextCompletionResponse if kind == "text" else ModelResponse)

    async def _list_models(self) -> Any:
        method = getattr(self.bridge.handler, "alist_models", None)
        if method is None:
            raise APIError(f"the handler of {self.request.provider!r} cannot list models", llm_provider=self.request.provider)
        return await method(**self.kwargs)

    def record(self, response: Any, attempts: tuple[Attempt, ...]) -> Any:
        """The response with what is known of its call."""
        if hasattr(response, "_about_call"):
            about = response._about_call()
            about["attempts"] = attempts
            about["hidden_params"].setdefault("custom_llm_provider", self.request.provider)
            about["hidden_params"].setdefault("api_base", self.request.api_base)
            about["hidden_params"].setdefault("additional_headers", _additional_headers(about["headers"]))
        return response


def _additional_headers(headers: dict[str, str]) -> dict[str, str]:
    """LiteLLM's view of the response's headers: rate limits under their own names, all under `llm_provider-`."""
    limits = {name: value for name, value in headers.items() if name.startswith("x-ratelimit-")}
    return {**limits, **{f"llm_provider-{name}": value for name, value in headers.items()}}


def _mock(request: Request) -> Bridge:
    from .llms.mock import Mock

    n, seconds = request.params.get("n", 1), request.timeouts.longest_wait
    return Bridge(Mock(request.mock, provider=request.provider, n=n, seconds=seconds), request.provider)


_endpoints: dict[tuple[str, bool], Bridge] = {}


def _endpoint(provider: str, kind: str) -> Bridge:
    """The built-in handler: `/completions` for text and for its own provider, `/chat/completions` for the rest."""
    text = kind == "text" or (kind == "chat" and BUILT_IN[provider] == "text-completion-openai")
    bridge = _endpoints.get((provider, text))
    if bridge is None:
        if text:
            from .llms.text_completion_openai import OpenAITextCompletion as Handler
        else:
            from .llms.openai import OpenAI as Handler
        bridge = _endpoints[provider, text] = Bridge(Handler(), provider)
    return bridge


async def call(request: Request, pool: Callable[[str], Any]) -> Any:
    """Make a call that is not streamed.

    Args:
        request: the call.
        pool: gives what requests to an address are sent through, for endpoints.

    Raises:
        APIError: the last attempt's; `attempts` lists them all.
    """
    target = Target(request, pool)
    total = request.timeouts.total_for(stream=False)
    deadline = FOREVER if total is None else time.monotonic() + total
    attempts = target.attempts(deadline)
    if attempts.log is None:
        return await _answer(target, attempts, deadline)
    try:
        response = await _answer(target, attempts, deadline)
    except BaseException as error:
        failure = error if isinstance(error, APIError) else None
        attempts.log.ends("cancelled" if failure is None else "error", failure)
        raise
    attempts.log.ends("complete", usage=getattr(response, "usage", None), request_id=getattr(response, "request_id", None))
    return response


async def _answer(target: Target, attempts: Attempts, deadline: float) -> Any:
    """The first answer that an attempt comes to."""
    while True:
        attempts.begin()
        try:
            response = await _within(target, deadline)
        except APIError as error:
            delay = attempts.failed(error)
            if delay is None:
                raise
        else:
            return target.record(response, attempts.succeeded(200))
        await anyio.sleep(delay)


async def _within(target: Target, deadline: float) -> Any:
    """One attempt, ended by the nearer of the call's deadline and the budget for its first content."""
    request = target.request
    now = time.monotonic()
    first_content = request.timeouts.first_content
    nearer = deadline if first_content is None else min(deadline, now + first_content)
    budget = "total" if nearer == deadline else "first_content"
    whose: Any = {"stream": False, "provider": request.provider, "model": request.model}
    if target.built_in:  # it keeps deadlines by itself, and so can tell a status whose body stalls from silence
        target.kwargs["deadline"] = nearer
        try:
            return await target.answer()
        except Timeout as error:
            if error.budget is None and error.response is None:
                raise _timeout(request.timeouts, budget, **whose) from error.__cause__
            raise
    if nearer == FOREVER:
        return await target.answer()
    response: Any = None
    with anyio.move_on_after(nearer - now) as scope:
        response = await target.answer()
    if response is None and scope.cancelled_caught:
        raise _timeout(request.timeouts, budget, **whose)
    return response


def _timeout(timeouts: Timeouts, budget: str, *, stream: bool, provider: str, model: str) -> Timeout:
    seconds = timeouts.total_for(stream=stream) if budget == "total" else getattr(timeouts, budget)
    message = f"no answer within {seconds:.3g} s (timeout.{budget})"
    return Timeout(message, budget=budget, llm_provider=provider, model=model)


class StreamCall:
    """A streamed call: chunks in batches, over as many attempts as it takes to the first content.

    Attributes:
        source: the latest attempt's, None before the first.
        committed: whether content was handed out, after which no attempt follows.
        truncation_returns: whether a stream that was cut short ends without an error.
        first_content_at, opened_at: `time.monotonic()` values, None until it happened.
    """

    __slots__ = (
        "_attempts",
        "_bare_text",
        "_closed",
        "_deadline",
        "_first_content",
        "_handed_over_at",
        "_idle",
        "_model",
        "_opening",
        "_provider",
        "_shape",
        "_target",
        "_timeouts",
        "_total_deadline",
        "_waiting_since",
        "committed",
        "first_content_at",
        "opened_at",
        "source",
        "started_at",
        "truncation_returns",
    )

    def __init__(self, request: Request, pool: Callable[[str], Any], shape: Shape) -> None:
        self._target: Target | None = Target(request, pool)  # until the first content
        self._provider, self._model, self._timeouts = request.provider, request.model, request.timeouts
        self._shape = shape
        self.started_at = time.monotonic()
        total = request.timeouts.total_for(stream=True)
        self._total_deadline = FOREVER if total is None else self.started_at + total
        self._attempts = self._target.attempts(self._total_deadline)
        self._waiting_since = self.started_at  # moved on by the time that the caller takes before asking for more
        self._handed_over_at: float | None = None  # the last chunks, to a caller who has not asked for more yet
        self._idle, self._first_content = (
            FOREVER if seconds is None else seconds for seconds in (request.timeouts.idle, request.timeouts.first_content)
        )
        self._deadline = FOREVER
        self._closed = False
        self._opening: anyio.CancelScope | None = None
        self.source: ChunkSource[Any] | None = None
        self.committed = False
        self._bare_text = False
        self.truncation_returns: bool = request.on_truncation == "return"
        self.opened_at: float | None = None
        self.first_content_at: float | None = None

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """The attempts that are over."""
        return self._attempts.made

    def response(self) -> Any:
        """What has been assembled of the answer."""
        return None if self.source is None else self.source.assembler.response()

    async def open(self) -> None:
        """Get as far as the head of a good response, before anybody has a stream to close. Raises as `begin` does."""
        await self._attempt(self._open)
        self._handed_over_at = time.monotonic()

    def take_bare_text(self) -> None:
        """From now on a str may stand for a chunk, as `ChunkSource.bare_text` says."""
        self._bare_text = True
        if self.source is not None:
            self.source.bare_text = True

    async def begin(self) -> list[Any]:
        """The first content, and the chunks before it; an empty list where the stream is complete without any.

        Raises:
            StreamTruncatedError: the stream ended and was not complete.
            Timeout: a deadline ran out; `budget` says which.
            APIError: what the server, the connection or the handler did.
        """
        return await self._attempt(self._until_content)

    def wait(self) -> Awaitable[bool]:
        """Wait until `take` may have something else to say than None; False when a deadline passed first, as `late` says.

        Raises:
            Timeout: one had passed before. A server that sends and sends, only no content, or content for longer than the
                total, is not stopped by deadlines of reads that never wait.
        """
        now = time.monotonic()
        if self._handed_over_at is not None:  # the time that the caller took is not the server's
            self._waiting_since += now - self._handed_over_at
            self._handed_over_at = None
        self._deadline = deadline = self._deadline_for_content()
        if deadline <= now and not self.source.done:  # type: ignore[union-attr]
            raise self.late()
        return self.source.wait(deadline)  # type: ignore[union-attr]

    def take(self) -> list[Any] | None:
        """The chunks that have arrived; an empty list once the stream is complete, None while there are none.

        Raises as `begin` does.
        """
        source: Any = self.source
        chunks: list[Any] | None = source.take()
        if not chunks:
            if chunks is not None:
                self._end(source)
            return chunks
        self._handed_over_at = now = time.monotonic()
        if source.had_content:
            self._waiting_since = now
            if not self.committed:
                self.committed = True
                self.first_content_at = now
                self._target = None  # nothing is sent again: thousands of streams need not hold on to their prompts
        return chunks

    def late(self) -> Timeout:
        """The error for the deadline that has passed."""
        budget = "total" if self._deadline == self._total_deadline else "idle" if self.committed else "first_content"
        error = _timeout(self._timeouts, budget, stream=True, provider=self._provider, model=self._model)
        if self.source is not None:
            error.headers = dict(self.source.headers)
            error.request_id = error.headers.get("x-request-id")
        return error

    def ended(self, outcome: str, error: APIError | None) -> None:
        """The stream is over, as its reader has it; the log is told."""
        log = self._attempts.log
        if log is not None:
            first, source = self.first_content_at, self.source
            log.ends(
                outcome,
                error,
                first_content=None if first is None else first - self.started_at,
                usage=None if source is None or source.assembler is None else source.assembler.usage,
                request_id=None if source is None else source.headers.get("x-request-id"),
            )

    def failed(self, error: APIError) -> None:
        """The stream ends with `error`: behind the commit point, that is the attempt's end too."""
        if self.committed:
            self._attempts.failed_for_good(error)

    async def aclose(self) -> None:
        """Release the connection or the handler, which the source shields and bounds. Another task's attempts end."""
        self._closed = True
        if self._opening is not None:
            self._opening.cancel()
        if self.source is not None:
            await self.source.aclose()

    async def _attempt(self, function: Callable[[], Awaitable[Any]]) -> Any:
        """Run `function`, opening a new source after each failure that may be tried again."""
        while True:
            try:
                return await function()
            except APIError as error:
                if self._closed:
                    raise
                error.partial = self.response()
                delay = self._attempts.failed(error)
                if self.source is not None:
                    await self.source.aclose()
                if delay is None:
                    raise
            self.source = None
            await self._unless_closed(anyio.sleep(delay))

    async def _unless_closed(self, waiting: Coroutine[Any, Any, None]) -> None:
        """Wait for what no source can be closed to end: `aclose` in another task ends it."""
        with anyio.CancelScope() as self._opening:
            if self._closed:  # while a failed attempt was released
                self._opening.cancel()
            try:
                return await waiting
            finally:
                self._opening = None
        raise StreamClosedError("this stream was closed while it was waited for")

    async def _open(self) -> None:
        self._attempts.begin()
        self._waiting_since = time.monotonic()
        self._deadline = deadline = self._deadline_for_content()
        if deadline <= self._waiting_since:
            raise self.late()
        target: Any = self._target
        target.connect()
        if target.built_in:  # it only makes the request
            source = await target.bridge.open(target.kwargs, self._shape)
        else:
            try:
                with anyio.fail_after(None if deadline == FOREVER else deadline - self._waiting_since):
                    source = await target.bridge.open(target.kwargs, self._shape)
            except TimeoutError:
                raise self.late() from None
        self.source = source
        source.bare_text = self._bare_text
        try:
            await source.start(deadline)
        except Timeout as error:
            raise self._named(error) from error.__cause__
        self.opened_at = time.monotonic()

    async def _until_content(self) -> list[Any]:
        if self.source is None:
            await self._unless_closed(self._open())
        held: list[Any] = []
        while True:
            chunks = await self._receive()
            held += chunks
            if not chunks or self.committed:
                return held

    async def _receive(self) -> list[Any]:
        while True:
            in_time = await self.wait()
            chunks = self.take()
            if chunks is not None:
                return chunks
            if not in_time:
                raise self.late()

    def _end(self, source: ChunkSource[Any]) -> None:
        """Judge a stream that has ended: it is complete, or it was cut short."""
        if not source.done and not source.assembler.is_complete():
            missing = "is_finished=True nor" if source.status is None else "[DONE] nor"
            raise StreamTruncatedError(
                f"the stream ended before it was complete: neither {missing} a finish reason for every choice arrived",
                llm_provider=self._provider,
                model=self._model,
                request_id=source.headers.get("x-request-id"),
                headers=source.headers,
            )
        if not self.attempts or self.attempts[-1].error is not None:
            self._attempts.succeeded(source.status)

    def _deadline_for_content(self) -> float:
        """Until when to wait for content, as `time.monotonic()` counts."""
        deadline = self._waiting_since + (self._idle if self.committed else self._first_content)
        return deadline if deadline < self._total_deadline else self._total_deadline

    def _named(self, error: Timeout) -> Timeout:
        """The lower layers know that a deadline passed, and only this one which it was. A handler's own timeout stays."""
        if error.budget is not None or error.response is not None or time.monotonic() < self._deadline - CLOCKS_DIFFER:
            return error
        named = self.late()
        named.headers = error.headers
        return named
