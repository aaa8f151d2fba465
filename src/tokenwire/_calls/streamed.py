"""A streamed call: its attempts, the waits between them, and its deadlines.

A stream is tried again until its first content is handed to the caller (the commit point); until then its chunks are held
back, so that no caller sees the beginning of an attempt that came to nothing. `states` has the states it goes through.

A server that has sent every choice's finish reason may leave the stream open, with neither `[DONE]` nor an end of the body.
Such a stream is complete when `Timeouts.ending` has passed. That deadline is one of the call's, counted from the first wait
after the last finish reason: what keeps coming without being content does not move it.
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

CLOSED_MEANWHILE = "this stream was closed while it was waited for"

OPENING, HELD, COMMITTED = StreamState.OPENING, StreamState.HELD, StreamState.COMMITTED


def stream_call(request: Request, via: Senders, shape: Shape, gate: "Gate | None" = None) -> "StreamCall":
    """A streamed call. Nothing is sent before it is opened or begun.

    Args:
        via: what HTTP goes through.
        gate: what bounds it together with other calls.

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
    """Chunks in batches, over as many attempts as it takes to the first content.

    Args:
        attempts: the call's, none of which has begun.
        via: what HTTP goes through.
        shape: the class of the chunks that the caller wants.

    Attributes:
        state: see `states`.
        asked: what the answer should be, of whoever is asked now; None where it need not be anything.
        source: the latest attempt's, None before the first.
        truncation_returns: whether a stream that was cut short ends without an error.
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
        self._clock: Callable[[], float] = time.monotonic  # the event loop's, once the first attempt has begun in one
        self._total_deadline = FOREVER
        self._waiting_since = 0.0  # moved on by the time that the caller takes before asking for more
        self._handed_over_at: float | None = None  # the last chunks, to a caller who has not asked for more yet
        self._deadline = FOREVER
        self._is_ending = False  # every choice has its finish reason, and the end of the stream is waited for
        self._opening: anyio.CancelScope | None = None  # around a wait that no source can be closed to end
        self._bare_text = False
        self._call_soon: Callable[[Callable[[], object]], object] | None = None  # where somebody is to be told of the end
        self.when_over: Callable[[], object] | None = None

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """The attempts that are over."""
        return self._attempts.made

    def response(self) -> ModelResponse | TextCompletionResponse | None:
        """What has been assembled of the answer."""
        response = None if self.source is None else self.source.assembler.response()
        if response is not None and self.source is not None:
            about = call_of(response)
            about.attempts, about.status_code, about.headers = self.attempts, self.source.status, self.source.headers
            if self.asked is not None:
                self.asked.mark(response)
        return response

    def take_bare_text(self) -> None:
        """From now on a str may stand for a chunk, as `ChunkSource.bare_text` says."""
        self._bare_text = True
        if self.source is not None:
            self.source.bare_text = True

    async def open(self) -> list[Any]:
        """Get as far as the head of a good response, before anybody has a stream to close. Raises as `begin` does.

        Returns:
            The first content where that has come, and the chunks before it.
        """
        await self._traced(self._attempts.until_answered(self._open, anyio.sleep))
        self._handed_over_at = self._clock()
        return []

    async def begin(self) -> list[Any]:
        """The first content, and the chunks before it; an empty list where the stream is complete without any.

        Raises:
            StreamTruncatedError: the stream ended and was not complete.
            Timeout: a deadline ran out; `budget` says which.
            StreamClosedError: another task closed the stream meanwhile.
            APIError: what the server, the connection or the handler did.
        """
        return await self._traced(self._attempts.until_answered(self._until_content, self._pause))

    def wait(self, deadline: float = FOREVER) -> Awaitable[bool]:
        """Wait until `take` would not return None; False when `deadline` or one of the call's own passed first: see `late`.

        Raises:
            Timeout: one had passed before. A server that sends and sends, only no content, or content for longer than the
                total, is not stopped by deadlines of reads that never wait.
        """
        source = self.source
        assert source is not None
        now = self._clock()
        if self._handed_over_at is not None:  # the time that the caller took is not the server's
            self._waiting_since += now - self._handed_over_at
            self._handed_over_at = None
        if source.assembler.finished or self._is_ending:
            self._look_at_ending(source, now)
        self._deadline = own = self._deadline_for_content()
        if own <= now and not source.done and not self._is_ending:
            raise self.late()
        return source.wait(own if own < deadline else deadline)

    def take(self) -> list[Any] | None:
        """The chunks that have arrived; an empty list once the stream is complete, None while there are none.

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
        """Await `send` with what arrives, as far as the source has a way of its own to do so; see `ChunkSource.hand_on`."""
        source, idle = self.source, self._timeouts.idle
        assert source is not None
        return source.hand_on(send, self._clock, FOREVER if idle is None else idle, self._total_deadline)

    def go_on(self, since: float) -> None:
        """Go on by `wait` and `take` after what was handed on. Content has been waited for since then."""
        self._waiting_since, self._handed_over_at = since, None

    def late(self) -> Timeout:
        """The error for the deadline that has passed."""
        budget = "idle" if self.state is COMMITTED else "first_content"
        return late(self._timeouts, "total" if self._deadline == self._total_deadline else budget, stream=True)

    def end(self, state: StreamState, error: APIError | None = None) -> None:
        """The stream is over. An error that ends it gets what is known of its call."""
        committed = self.state is COMMITTED
        self.state = checked(self.state, state)
        self.ended_at = time.monotonic()
        self._via = None  # a stream that is kept for its answer is not to keep its client
        request = self._request() if error is not None else None
        self._attempts.settle()
        if error is not None:
            self._add_headers(error)
            stamp(error, self._attempts.provider, self._attempts.model, request)
            if committed:  # then that is the attempt's end too
                self._attempts.failed_for_good(error)
            if error.partial is None:
                error.partial = self.response()
        if self._attempts.observer is not None:
            self._tell_the_end(self._attempts.observer, state, error)
        then, self.when_over = self.when_over, None
        if then is not None:
            then()

    async def aclose(self) -> None:
        """Release the connection or the handler, which the source shields and bounds. Another task's attempts end."""
        if self._opening is not None:
            self._opening.cancel()
        if self.source is not None:
            await self.source.aclose()
        self._attempts.release()
        if (observer := self._attempts.observer) is not None and observer.pending:
            await observer.settle()

    @property
    def span(self) -> "CallSpan | None":
        """OpenTelemetry's, where it is set up."""
        observer = self._attempts.observer
        return None if observer is None else observer.span

    @property
    def is_observed(self) -> bool:
        """Whether somebody is to be told how it ends."""
        return self._attempts.observer is not None

    def drop(self) -> None:
        """The caller has let go of the stream. For finalizers, which may run anywhere: the event loop tells of the end."""
        if self.ended_at is not None or self._call_soon is None:  # nobody began to read it
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
        """The work of attempts, in OpenTelemetry's context of this call."""
        observer = self._attempts.observer
        if observer is None:
            return work
        if self._call_soon is None:
            self._call_soon = _loops.caller()
        return work if observer.span is None else observer.span.around(work)

    def _commit(self) -> None:
        self.state = checked(self.state, COMMITTED)
        self.first_content_at = time.monotonic()
        self._via = None
        self._attempts.settle()

    async def _until_content(self) -> list[Any]:
        """One attempt's first content, with what came before it."""
        if self.state is OPENING:
            await self._unless_closed(self._open())
        return await self._first_content()

    async def _first_content(self) -> list[Any]:
        """Of a response whose head has arrived."""
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
        """Leave nothing open of an attempt that failed before its first content."""
        if self.source is not None:
            await self.source.aclose()
        if self.state is HELD:  # and not closed meanwhile
            self.state = checked(HELD, OPENING)

    async def _pause(self, seconds: float) -> None:
        self.source = None
        await self._unless_closed(anyio.sleep(seconds))

    async def _unless_closed(self, waiting: Awaitable[T]) -> T:
        """Wait for what no source can be closed to end: `aclose` in another task ends it."""
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
        if self.state in ENDINGS:  # closed in the very moment
            await source.aclose()
            raise StreamClosedError(CLOSED_MEANWHILE)
        source.bare_text = self._bare_text
        self.source = source
        self.opened_at = time.monotonic()
        self.state = checked(self.state, HELD)

    def _start_clock(self) -> None:
        """Count deadlines as the event loop does. The total has been running since the call was made, maybe outside of it."""
        self._clock = _loops.clock()
        total = self._timeouts.total_for(stream=True)
        if total is not None:
            self._attempts.deadline = self._total_deadline = self._clock() + total - (time.monotonic() - self.started_at)

    def _look_at_ending(self, source: ChunkSource[Any], now: float) -> None:
        """The last finish reason came, and the end of a response's body is to follow; or another choice began after all."""
        is_ending = source.status is not None and source.assembler.finished >= self._choices
        if is_ending and not self._is_ending:
            self._waiting_since = now
        self._is_ending = is_ending

    def _has_left_open(self) -> bool:
        """Whether the server has said all, and had its time to end the stream."""
        return self._clock() >= self._deadline - CLOCKS_DIFFER

    def _judge_end(self, source: ChunkSource[Any]) -> None:
        """Judge a stream that has ended: it is complete, or it was cut short."""
        if not source.done and not source.assembler.is_complete():
            raise StreamTruncatedError(f"the stream ended before it was complete: {_missing(source.last_event)}")
        if self._attempts.is_under_way:
            self._attempts.succeeded(source.status)
            self._attempts.release(response=lambda: (source.assembler.usage, source.headers))

    def _deadline_for_content(self) -> float:
        """Until when to wait for content."""
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
    """What a stream lacks that ended too early; chat completions may end by either of two things."""
    if last_event not in (None, "[DONE]"):
        return f"{last_event} did not come"
    return f"neither {last_event or 'is_finished=True'} nor a finish reason for every choice arrived"
