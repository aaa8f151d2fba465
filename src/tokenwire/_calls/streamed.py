"""A streamed call: its attempts, the waits between them, and its deadlines.

A stream is retried until its first content is returned to the caller (the commit point); until then its chunks are held
back, so that the caller never sees the beginning of a failed attempt. See `states`.

A server that has sent every choice's finish reason may leave the stream open, without `[DONE]` or an end of the body. Such
a stream is complete when `Timeouts.ending` has passed since the first wait after the last finish reason; events without
content do not extend that time.
"""

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import anyio

from .. import _loops
from .._reading import FOREVER, receive
from .._settings import Timeouts
from ..exceptions import APIError, StreamClosedError, StreamTruncatedError, Timeout
from ..llms.backend import Request, Senders
from ..llms.base import ChunkSource, Send
from ..types import ModelResponse, TextCompletionResponse
from ..types._response import call_of
from ..types.attempts import Attempt, RequestInfo
from ..types.headers import request_id_of
from ..wire.convert import Shape
from ..wire.errors import add_headers
from .attempts import CLOCKS_DIFFER, Attempts, late, named
from .observers import CallObserver, observer_of
from .states import ENDINGS, OUTCOMES, StreamState, checked
from .targets import stamp, target_of

if TYPE_CHECKING:
    from .._otel.spans import CallSpan
    from ..results.asked import Asked
    from .gate import Gate

T = TypeVar("T")

CLOSED_MEANWHILE = "this stream was closed by another task during a wait"

OPENING, HELD, COMMITTED = StreamState.OPENING, StreamState.HELD, StreamState.COMMITTED


def stream_call(request: Request, via: Senders, shape: Shape, gate: "Gate | None" = None) -> "StreamCall":
    """A streamed call. Nothing is sent before `open` or `begin`.

    Args:
        via: sends HTTP requests.
        gate: limits it together with other calls.

    Raises:
        BadRequestError, UnknownProviderError, AuthenticationError: an argument is wrong.
    """
    target = target_of(request)
    tokens = 0.0 if gate is None else gate.tokens_of(request)
    attempts = Attempts(target, stream=True, observer=observer_of(request, target.prepared), gate=gate, tokens=tokens)
    call = _class_of(attempts)(attempts, via, shape)
    call.truncation_returns = request.options.on_truncation == "return"
    return call


def _class_of(attempts: Attempts) -> "type[StreamCall]":
    is_hedged, span = attempts.target.may_be_hedged, None if attempts.observer is None else attempts.observer.span
    if span is not None and span.records_chunks:
        from .timed import TimedCall, TimedHedgedCall

        return TimedHedgedCall if is_hedged else TimedCall
    if is_hedged:
        from .hedged import HedgedCall

        return HedgedCall
    return StreamCall


class StreamCall:
    """A streamed call's chunks in batches, with retries until the first content.

    Args:
        attempts: the call's, none of which has begun.
        via: sends HTTP requests.
        shape: the class of the chunks to return.

    Attributes:
        state: see `states`.
        asked: the types that the current target's answer must have; None if the call names none.
        source: the latest attempt's, None before the first.
        truncation_returns: whether a truncated stream ends without an error.
        when_over: called once, when the stream has ended.
        started_at, opened_at, first_chunk_at, first_content_at, ended_at: `time.monotonic()` values, None until it happened.
    """

    __slots__ = (
        "_attempts",
        "_bare_text",
        "_call_soon",
        "_choices",
        "_clock",
        "_deadline",
        "_handed_over_at",
        "_is_ending",
        "_opening",
        "_shape",
        "_timeouts",
        "_total_deadline",
        "_via",
        "_waiting_since",
        "asked",
        "ended_at",
        "first_chunk_at",
        "first_content_at",
        "opened_at",
        "source",
        "started_at",
        "state",
        "truncation_returns",
        "when_over",
    )

    def __init__(self, attempts: Attempts, via: Senders, shape: Shape) -> None:
        self.state: StreamState = OPENING
        self.source: ChunkSource[Any] | None = None
        self.truncation_returns: bool = False
        self.started_at: float = time.monotonic()
        self.opened_at: float | None = None
        self.first_chunk_at: float | None = None
        self.first_content_at: float | None = None
        self.ended_at: float | None = None
        self._via: Senders | None = via  # until the first content
        self._shape = shape
        self._choices = attempts.target.choices
        self.asked: Asked | None = attempts.target.request.asked
        self._timeouts: Timeouts = attempts.target.timeouts
        self._attempts = attempts
        self._clock: Callable[[], float] = time.monotonic  # the event loop's clock once the first attempt has begun
        self._total_deadline = FOREVER
        self._waiting_since = 0.0  # moved forward by the time that the caller takes between reads
        self._handed_over_at: float | None = None  # when the last chunks were returned, if the caller has not read on since
        self._deadline = FOREVER
        self._is_ending = False  # every choice has its finish reason, and only the end of the stream is missing
        self._opening: anyio.CancelScope | None = None  # around a wait without a source, which `aclose` cancels
        self._bare_text = False
        self._call_soon: Callable[[Callable[[], object]], object] | None = (
            None  # set if there are watchers to notify of the end
        )
        self.when_over: Callable[[], object] | None = None

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """The attempts that have ended."""
        return self._attempts.made

    def response(self) -> ModelResponse | TextCompletionResponse | None:
        """The answer as far as it has arrived."""
        response = None if self.source is None else self.source.assembler.response()
        if response is not None and self.source is not None:
            about = call_of(response)
            about.attempts, about.status_code, about.headers = self.attempts, self.source.status, self.source.headers
            if self.asked is not None:
                self.asked.mark(response)
        return response

    def take_bare_text(self) -> None:
        """From now on, `take` may return a str for a chunk; see `ChunkSource.bare_text`."""
        self._bare_text = True
        if self.source is not None:
            self.source.bare_text = True

    async def open(self) -> list[Any]:
        """Wait for the head of a good response, before the caller has the stream. Raises as `begin` does.

        Returns:
            The first content if it has arrived, with the chunks before it.
        """
        await self._traced(self._attempts.until_answered(self._open, anyio.sleep))
        self._handed_over_at = self._clock()
        return []

    async def begin(self) -> list[Any]:
        """Wait for the first content. Returns it and the chunks before it; an empty list if the stream is complete without any.

        Raises:
            StreamTruncatedError: the stream ended before it was complete.
            Timeout: a time-out passed; `budget` says which.
            StreamClosedError: another task closed the stream meanwhile.
            APIError: the server, the connection or the handler failed.
        """
        return await self._traced(self._attempts.until_answered(self._until_content, self._pause))

    def wait(self, deadline: float = FOREVER) -> Awaitable[bool]:
        """Wait until `take` would not return None; False if `deadline` or one of the call's own passed first: see `late`.

        Raises:
            Timeout: one had passed before the wait. This ends a stream in which reads never have to wait: events without
                content keep arriving, or content for longer than the total time-out.
        """
        source = self.source
        assert source is not None
        now = self._clock()
        if self._handed_over_at is not None:  # the time that the caller took does not count
            self._waiting_since += now - self._handed_over_at
            self._handed_over_at = None
        if source.assembler.finished or self._is_ending:
            self._note_ending(source, now)
        self._deadline = own = self._deadline_for_content()
        if own <= now and not source.done and not self._is_ending:
            raise self.late()
        return source.wait(own if own < deadline else deadline)

    def take(self) -> list[Any] | None:
        """The chunks that have arrived; an empty list once the stream is complete, None if there are none.

        Raises as `begin` does.
        """
        source = self.source
        assert source is not None
        chunks = source.take()
        if not chunks:
            if chunks is None and not (self._is_ending and self._has_left_open()):
                return None
            self._judge_end(source)
            return []
        self._handed_over_at = now = self._clock()
        if source.had_content:
            if self.state is not COMMITTED:
                self._commit()
            self._waiting_since = now
        return chunks

    def hand_on(self, send: Send) -> Awaitable[float] | None:
        """Await `send` with the chunks, if the source has its own way to forward them; see `ChunkSource.hand_on`."""
        source, idle = self.source, self._timeouts.idle
        assert source is not None
        return source.hand_on(send, self._clock, FOREVER if idle is None else idle, self._total_deadline)

    def go_on(self, since: float) -> None:
        """Continue with `wait` and `take` after `hand_on`. The wait for content began at `since`."""
        self._waiting_since, self._handed_over_at = since, None

    def late(self) -> Timeout:
        """The error for the call's deadline that has passed."""
        budget = "idle" if self.state is COMMITTED else "first_content"
        return late(self._timeouts, "total" if self._deadline == self._total_deadline else budget, stream=True)

    def end(self, state: StreamState, error: APIError | None = None) -> None:
        """End the stream. Adds headers, target and partial answer to the error that ends it."""
        committed = self.state is COMMITTED
        self.state = checked(self.state, state)
        self.ended_at = time.monotonic()
        self._via = None  # so that a stream kept for its answer does not keep its client
        request = self._request() if error is not None else None
        self._attempts.settle()
        if error is not None:
            self._add_headers(error)
            stamp(error, self._attempts.provider, self._attempts.model, request)
            if committed:  # the error ends the attempt, too
                self._attempts.failed_for_good(error)
            if error.partial is None:
                error.partial = self.response()
        if self._attempts.observer is not None:
            self._tell_the_end(self._attempts.observer, state, error)
        then, self.when_over = self.when_over, None
        if then is not None:
            then()

    async def aclose(self) -> None:
        """Release the connection or the handler: shielded and bounded by the source. Ends attempts of another task."""
        if self._opening is not None:
            self._opening.cancel()
        if self.source is not None:
            await self.source.aclose()
        self._attempts.release()
        if (observer := self._attempts.observer) is not None and observer.pending:
            await observer.settle()

    @property
    def span(self) -> "CallSpan | None":
        """The call's span, if OpenTelemetry is set up."""
        observer = self._attempts.observer
        return None if observer is None else observer.span

    @property
    def is_observed(self) -> bool:
        """Whether the call has watchers."""
        return self._attempts.observer is not None

    def drop(self) -> None:
        """End a stream that was garbage collected. For finalizers, which may run anywhere: the end is scheduled on the loop."""
        if self.ended_at is not None or self._call_soon is None:  # ended, or never opened
            return
        try:
            self._call_soon(self._end_dropped)
        except RuntimeError:  # the loop has ended
            self._end_dropped()

    def _end_dropped(self) -> None:
        observer = self._attempts.observer
        if self.ended_at is None and observer is not None:
            self.end(StreamState.CANCELLED)
            observer.give_up()

    def _request(self) -> RequestInfo | None:
        """The latest attempt's."""
        if self.source is not None:
            return self.source.request
        return self._attempts.target.prepared.request

    def _tell_the_end(self, observer: CallObserver, state: StreamState, error: APIError | None) -> None:
        source = self.source
        if observer.span is not None:
            observer.span.gated, observer.span.chunks = self._attempts.gated, 0 if source is None else source.assembler.chunks
        observer.ends(
            OUTCOMES[state],
            error,
            self.attempts,
            first_content_at=self.first_content_at,
            usage=None if source is None else source.assembler.usage,
            request_id=None if source is None else request_id_of(source.headers),
            answer=self.response(),
            odd=() if source is None else source.odd,
        )

    def _traced(self, work: Awaitable[T]) -> Awaitable[T]:
        """The attempts' work, in the OpenTelemetry context of this call."""
        observer = self._attempts.observer
        if observer is None:
            return work
        if self._call_soon is None:
            self._call_soon = _loops.scheduler()
        return work if observer.span is None else observer.span.around(work)

    def _commit(self) -> None:
        self.state = checked(self.state, COMMITTED)
        self.first_content_at = time.monotonic()
        self._via = None
        self._attempts.settle()

    async def _until_content(self) -> list[Any]:
        """One attempt's first content, with the chunks before it."""
        if self.state is OPENING:
            await self._unless_closed(self._open())
        return await self._first_content()

    async def _first_content(self) -> list[Any]:
        """The same for a response whose head has arrived."""
        held: list[Any] = []
        try:
            while self.state is HELD:
                chunks = await receive(self, FOREVER, self.late)
                if not held and chunks:
                    self.first_chunk_at = self.first_content_at or time.monotonic()
                held += chunks
                if not chunks:
                    break
            return held
        except APIError as error:
            if self.state in ENDINGS:
                raise StreamClosedError(CLOSED_MEANWHILE) from None
            self._add_headers(error)
            await self._leave_attempt()
            raise

    async def _leave_attempt(self) -> None:
        """Close what an attempt that failed before its first content has opened."""
        if self.source is not None:
            await self.source.aclose()
        if self.state is HELD:  # not closed meanwhile
            self.state = checked(HELD, OPENING)

    async def _pause(self, seconds: float) -> None:
        self.source = None
        await self._unless_closed(anyio.sleep(seconds))

    async def _unless_closed(self, waiting: Awaitable[T]) -> T:
        """Await something other than a source, so that `aclose` in another task can end the wait."""
        with anyio.CancelScope() as self._opening:
            if self.state in ENDINGS:  # closed while a failed attempt was released
                self._opening.cancel()
            try:
                return await waiting
            finally:
                self._opening = None
        raise StreamClosedError(CLOSED_MEANWHILE)

    async def _open(self) -> None:
        await self._begin_attempt()
        await self._send()

    async def _begin_attempt(self) -> None:
        if not self._attempts.made:
            self._start_clock()
        await self._attempts.start()
        target = self._attempts.target
        self._timeouts, self._choices, self.asked = target.timeouts, target.choices, target.request.asked
        self._waiting_since, self._is_ending = self._clock(), False

    async def _send(self) -> None:
        """Send the request of the attempt that has begun, and wait for the head of a good response."""
        self._deadline = deadline = self._deadline_for_content()
        if deadline <= self._waiting_since:
            raise self.late()
        assert self._via is not None
        try:
            source = await self._attempts.prepared.open(self._via, self._shape, deadline)
        except Timeout as error:
            raise named(error, deadline, self.late) from error.__cause__
        if self.state in ENDINGS:  # closed at the same moment
            await source.aclose()
            raise StreamClosedError(CLOSED_MEANWHILE)
        source.bare_text = self._bare_text
        self.source = source
        self.opened_at = time.monotonic()
        self.state = checked(self.state, HELD)

    def _start_clock(self) -> None:
        """Use the event loop's clock for deadlines. The total runs since the call was made, perhaps before the loop."""
        self._clock = _loops.clock()
        total = self._timeouts.total_for(stream=True)
        if total is not None:
            self._attempts.deadline = self._total_deadline = self._clock() + total - (time.monotonic() - self.started_at)

    def _note_ending(self, source: ChunkSource[Any], now: float) -> None:
        """Note whether every choice has finished, so that only the end of the response's body is missing."""
        is_ending = source.status is not None and source.assembler.finished >= self._choices
        if is_ending and not self._is_ending:
            self._waiting_since = now
        self._is_ending = is_ending

    def _has_left_open(self) -> bool:
        """Whether the `ending` time has passed: the server has sent everything, but leaves the stream open."""
        return self._clock() >= self._deadline - CLOCKS_DIFFER

    def _judge_end(self, source: ChunkSource[Any]) -> None:
        """Check whether a stream that has ended is complete, and raise if it was truncated."""
        if not source.done and not source.assembler.is_complete():
            raise StreamTruncatedError(f"the stream ended before it was complete: {_missing(source.last_event)}")
        if self._attempts.is_under_way:
            self._attempts.succeeded(source.status)
            self._attempts.release(response=lambda: (source.assembler.usage, source.headers))

    def _deadline_for_content(self) -> float:
        """The deadline of the current wait for content."""
        timeouts = self._timeouts
        seconds = timeouts.idle if self.state is COMMITTED else timeouts.first_content
        if self._is_ending and timeouts.ending is not None:
            seconds = timeouts.ending if seconds is None else min(timeouts.ending, seconds)
        if seconds is None:
            return self._total_deadline
        deadline = self._waiting_since + seconds
        return deadline if deadline < self._total_deadline else self._total_deadline

    def _add_headers(self, error: APIError) -> None:
        if self.source is not None:
            add_headers(error, self.source.headers)


def _missing(last_event: str | None) -> str:
    """What is missing in a truncated stream; chat completions may end in either of two ways."""
    if last_event not in (None, "[DONE]"):
        return f"{last_event} did not arrive"
    return f"neither {last_event or 'is_finished=True'} nor a finish reason for every choice arrived"
