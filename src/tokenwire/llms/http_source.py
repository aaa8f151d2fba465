"""A stream over HTTP: server-sent events from an endpoint's response, as batches of chunks.

A server may answer a streaming request with something else: a JSON body with a whole completion is returned as chunks, HTML
or an empty body raises. The first byte that is not a space decides, not the content type, which servers get wrong: no line
of an event stream begins like JSON or HTML.

However a body ends, cleanly or by a broken connection, the same rules apply: an incomplete event at the end was truncated,
and the stream is either complete or truncated. It is complete when every choice has a finish reason. Some servers never
send finish reasons: then `[DONE]` counts instead, but only if the body ends properly, as some servers send `[DONE]` and
close the connection when they abort a stream.
"""

from collections.abc import Awaitable, Callable, Collection
from enum import Enum, auto
from typing import TYPE_CHECKING

from .. import _loops
from .._reading import ready
from .._settings import Limits
from ..exceptions import (
    APIConnectionError,
    APIError,
    APIResponseValidationError,
    LimitExceededError,
    StreamTruncatedError,
    without_secrets,
)
from ..http.exchange import HTTPResponse
from ..types._source import Path
from ..types.attempts import RequestInfo
from ..wire.assemble import Assembler
from ..wire.convert import Chunk
from ..wire.dialect import EventDecoder
from ..wire.errors import unusable
from ..wire.sse import SSEDecoder
from .base import ChunkSource, Send

if TYPE_CHECKING:
    from ..wire.passing import Passing

END_SECONDS = 5.0  # to wait for the end of a body after `[DONE]` without any finish reason

_BOM = b"\xef\xbb\xbf"


class State(Enum):
    """What the body is, as far as is known."""

    SNIFFING = auto()  # only white space has arrived
    EVENTS = auto()
    DOCUMENT = auto()  # not events; decoded when it is complete
    DONE = auto()  # `[DONE]` arrived without any finish reason: the end of the body decides
    ENDED = auto()  # nothing more to take, or `aclose` was called
    CLOSED = auto()  # the response is released


class HTTPSource(ChunkSource[Chunk]):
    """The chunks of a response with a good status.

    Args:
        response: the response, none of whose body has been taken; closed with the source.
        decoder: of the endpoint's dialect, for the caller's shape.
        is_passed_on: whether its events are handed out as they came, as `wire.passing` has it.
    """

    __slots__ = (
        "_broken",
        "_decode",
        "_decoder",
        "_events",
        "_failure",
        "_limits",
        "_received",
        "_response",
        "_state",
        "_until",
        "assembler",
        "had_content",
        "status",
    )

    def __init__(self, response: HTTPResponse, decoder: EventDecoder, limits: Limits, *, is_passed_on: bool = False) -> None:
        self.status: int | None = response.status
        self.assembler: Assembler = decoder.assembler
        self.had_content: bool = False
        self._response = response
        self._decoder = decoder
        self._limits = limits
        self._events: SSEDecoder | Passing
        if is_passed_on:
            from ..wire import passing

            self._events = passed = passing.Passing(decoder, limits.max_event_bytes)
            self._decode = passed.decode
        else:
            self._events = SSEDecoder(max_event_bytes=limits.max_event_bytes, names=decoder.reads_names)
            self._decode = decoder.decode
        self._state = State.SNIFFING
        self._received = b""  # while SNIFFING, and the bytes of a DOCUMENT
        self._broken: APIConnectionError | None = None  # the error that ended the body
        self._failure: APIError | None = None  # an error during `hand_on`
        self._until = 0.0  # the deadline for its end after `[DONE]`

    @property
    def bare_text(self) -> bool:  # type: ignore[override]
        """See `ChunkSource`."""
        return self._decoder.bare_text

    @bare_text.setter
    def bare_text(self, value: bool) -> None:  # type: ignore[override]
        self._decoder.bare_text = value

    @property
    def done(self) -> bool:  # type: ignore[override]
        """Whether the server marked the stream as complete."""
        return self._decoder.done

    @property
    def last_event(self) -> str:  # type: ignore[override]
        """See `ChunkSource`."""
        return self._decoder.last_event

    @property
    def odd(self) -> Collection[Path]:  # type: ignore[override]
        """See `ChunkSource`."""
        return self._decoder.odd

    @property
    def headers(self) -> dict[str, str]:  # type: ignore[override]
        """The response's headers, names in lower case; parsed when first read."""
        return self._response.headers

    @property
    def request(self) -> RequestInfo:  # type: ignore[override]
        """See `ChunkSource`."""
        return RequestInfo("POST", without_secrets(self._response.url))

    def take(self) -> list[Chunk] | None:
        """The chunks that have arrived; see `ChunkSource`."""
        decoder = self._decoder
        try:
            while (state := self._state) is not State.ENDED and state is not State.CLOSED and decoder.error is None:
                try:
                    data = self._response.take()
                except APIConnectionError as error:
                    self._broken, data = error, b""
                if data is None:
                    return None
                if data and state is State.EVENTS:
                    events = self._events.feed_data(data)
                    chunks = self._decode(events) if events else []
                else:
                    chunks = self._begin(data) if data else self._end()
                if self._events.outgrown and decoder.error is None:
                    decoder.error = self._outgrown()
                if decoder.done and self._state is State.EVENTS:
                    self._take_done()
                if chunks:
                    self.had_content = decoder.had_content
                    return chunks
        except APIError as error:
            self._state = State.ENDED
            self._take_status(error)
            raise
        if self._state is not State.CLOSED:
            self._state = State.ENDED
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        if decoder.error is not None:
            error, decoder.error = decoder.error, None
            self._take_status(error)
            raise error
        return []

    def wait(self, deadline: float) -> Awaitable[bool]:
        """See `ChunkSource.wait`. Waits for bytes, which may give no chunk."""
        state = self._state
        if state is State.EVENTS and self._decoder.error is None:  # the usual case
            return self._response.wait(deadline)
        if state is State.ENDED or state is State.CLOSED or self._decoder.error is not None:
            return ready()
        return self._wait_for_end(deadline) if state is State.DONE else self._response.wait(deadline)

    def hand_on(self, send: Send, clock: Callable[[], float], idle: float, until: float) -> Awaitable[float] | None:
        """See `ChunkSource`. Ends at the last finish reason, after which another deadline applies."""
        if self._state is not State.EVENTS or self.assembler.finished:
            return None
        if self.bare_text:
            self._decoder.give_additions()
        return self._hand_on(send, clock, idle, until)

    async def _hand_on(self, send: Send, clock: Callable[[], float], idle: float, until: float) -> float:
        assembler = self.assembler
        since = now = clock()
        while not assembler.finished:
            deadline = since + idle
            if until < deadline:
                deadline = until
            if now >= deadline:
                break
            in_time = await self.wait(deadline)
            try:
                chunks = self.take()
            except APIError as error:
                self._failure = error  # raised by the next `take`
                break
            if chunks is None:
                if not in_time:
                    break
                now = clock()
            elif not chunks:
                break
            elif self.had_content:
                await send(chunks)
                since = now = clock()
            else:
                began = clock()
                await send(chunks)
                now = clock()
                since += now - began  # the time that the caller took does not count
        return since

    async def aclose(self) -> None:
        """Release the connection: for reuse if the body can be read to its end quickly, else by closing it."""
        if self._state is State.CLOSED:
            return
        self._state = State.CLOSED
        try:
            if self._decoder.done:
                await self._response.drain()
        finally:
            await self._response.aclose()

    def _take_done(self) -> None:
        """Handle `[DONE]`: the stream is complete, or truncated, or the end of the body will decide."""
        self._state = State.ENDED
        if self.assembler.is_partly_finished():
            self._decoder.error = _truncated(f"{self._decoder.last_event} arrived, but not every choice had a finish reason")
        elif not self.assembler.is_complete():
            self._state, self._until = State.DONE, _loops.now() + END_SECONDS

    async def _wait_for_end(self, deadline: float) -> bool:
        """Wait for the end of a body after `[DONE]`, for at most `END_SECONDS`."""
        until = self._until
        in_time = _loops.now() < until and await self._response.wait(min(deadline, until))
        if in_time or deadline < until:
            return in_time
        self._decoder.error = _truncated(
            f"[DONE] arrived without any finish reason, and the body did not end within {END_SECONDS:.3g} s"
        )
        return True

    def _begin(self, data: bytes) -> list[Chunk]:
        """Detect whether the body is an event stream; keep the bytes if it is not."""
        if self._state is State.DONE:
            return []
        if self._state is State.SNIFFING:
            start = (self._received + data).removeprefix(_BOM).lstrip()
            if start and not _BOM.startswith(start) and start[:1] not in b"{[<":
                self._state, self._received = State.EVENTS, b""
                return self._decode(self._events.feed_data(data))
            self._received = start
            if start[:1] and start[:1] in b"{[<":
                self._state = State.DOCUMENT
                self._received = bytearray(start)
            else:
                self._events.feed_data(data)  # only empty lines, no events
        else:
            self._received += data
        limit = self._limits.max_body_bytes
        if len(self._received) > limit:
            raise LimitExceededError(f"the body is longer than max_body_bytes, {limit} bytes", limit="max_body_bytes")
        return []

    def _end(self) -> list[Chunk]:
        """The chunks that the end of the body completes."""
        state, self._state = self._state, State.ENDED
        if state is State.DOCUMENT:
            return self._chunks_of_document(bytes(self._received))
        if state is State.SNIFFING and self._broken is None:
            raise unusable(b"", "")
        decoder = self._decoder
        chunks: list[Chunk] = []
        if not decoder.done:
            chunks = self._decode(self._events.feed_eof())
            if isinstance(decoder.error, APIResponseValidationError):  # an incomplete event
                decoder.error = None
            if decoder.done:
                self._take_done()
                self._state = State.ENDED
        if self._broken is not None and not (decoder.error or self.assembler.is_complete()):
            decoder.error = _truncated(self._broken.message, self._broken.__cause__)
        return chunks

    def _chunks_of_document(self, body: bytes) -> list[Chunk]:
        """The chunks of an answer that is not an event stream."""
        if self._broken is not None:
            raise _truncated(self._broken.message, self._broken.__cause__)
        chunks = self._decoder.decode_document(body)
        self._decoder.had_content = True
        return chunks

    def _take_status(self, error: APIError) -> None:
        """Add the response's status to an error about its content."""
        if isinstance(error, APIResponseValidationError):
            error.status_code = self._response.status

    def _outgrown(self) -> APIError | None:
        """The error of a too long event, which the decoder would raise only at its next call."""
        try:
            self._events.feed_data(b"")
        except LimitExceededError as error:
            return error
        return None


def _truncated(reason: str, cause: BaseException | None = None) -> StreamTruncatedError:
    truncated = StreamTruncatedError(f"the stream was truncated before it was complete: {reason}")
    truncated.__cause__ = cause
    return truncated
