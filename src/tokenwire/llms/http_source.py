"""A stream over HTTP: server-sent events from an endpoint's response, as batches of chunks.

Where a server answers a streaming request with something else, it is looked at here: a JSON body that holds a whole
completion is handed out as chunks, HTML or nothing raises. The first byte that is not a space decides, not the content type,
which servers get wrong: no line of an event stream begins as JSON or HTML do.

However a body ends, cleanly or by a broken connection, what has arrived is judged the same way: half an event at the end
was torn off, and the stream is complete or it was cut short. It is complete when every choice has a finish reason. Some
servers never send any: then `[DONE]` stands for them, but only if the body ends as HTTP has it, for there are servers that
send `[DONE]` and hang up when they drop a stream in its middle.
"""

from collections.abc import Awaitable, Callable, Collection
from enum import Enum, auto
from typing import TYPE_CHECKING

from .. import _loops
from .._reading import ready
from .._settings import Limits
from ..exceptions import APIConnectionError, APIError, APIResponseValidationError, LimitExceededError, StreamTruncatedError
from ..http.exchange import Exchange
from ..types._source import Path
from ..wire.assemble import Assembler
from ..wire.convert import Chunk
from ..wire.dialect import EventDecoder
from ..wire.errors import name_address, unusable
from ..wire.sse import SSEDecoder
from .base import ChunkSource, Send

if TYPE_CHECKING:
    from ..wire.passing import Passing

END_SECONDS = 5.0  # how long the end of a body may take after a `[DONE]` without any finish reason

_BOM = b"\xef\xbb\xbf"


class State(Enum):
    """What the body has turned out to be, so far."""

    SNIFFING = auto()  # only space has come
    EVENTS = auto()
    DOCUMENT = auto()  # to be judged when it is whole
    DONE = auto()  # `[DONE]` came, and no finish reason before it: the end of the body decides
    ENDED = auto()  # there is nothing more to take, or nobody wants it
    CLOSED = auto()  # and nothing is held any more


class HTTPSource(ChunkSource[Chunk]):
    """The chunks of a response with a good status.

    Args:
        exchange: the response, none of whose body has been taken; closed with the source.
        decoder: of the endpoint's dialect, for the caller's shape.
        is_passed_on: whether its events are handed out as they came, as `wire.passing` has it.
    """

    __slots__ = (
        "_broken",
        "_decode",
        "_decoder",
        "_events",
        "_exchange",
        "_failure",
        "_limits",
        "_received",
        "_state",
        "_until",
        "assembler",
        "had_content",
        "status",
    )

    def __init__(self, exchange: Exchange, decoder: EventDecoder, limits: Limits, *, is_passed_on: bool = False) -> None:
        self.status: int | None = exchange.status
        self.assembler: Assembler = decoder.assembler
        self.had_content: bool = False
        self._exchange = exchange
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
        self._received = b""  # while sniffing, and of a document
        self._broken: APIConnectionError | None = None  # how the body ended, where it did not end well
        self._failure: APIError | None = None  # of what was handed on
        self._until = 0.0  # by when it must have ended, after `[DONE]`

    @property
    def bare_text(self) -> bool:  # type: ignore[override]
        """See `ChunkSource`."""
        return self._decoder.bare_text

    @bare_text.setter
    def bare_text(self, value: bool) -> None:  # type: ignore[override]
        self._decoder.bare_text = value

    @property
    def done(self) -> bool:  # type: ignore[override]
        """Whether the server said that the stream is complete."""
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
        """Of the response, names in lower case; read when first looked at."""
        return self._exchange.headers

    def take(self) -> list[Chunk] | None:
        """The chunks that have arrived; see `ChunkSource`."""
        decoder = self._decoder
        try:
            while (state := self._state) is not State.ENDED and state is not State.CLOSED and decoder.error is None:
                try:
                    data = self._exchange.take()
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
        """As `ChunkSource.wait`: for bytes, which need not make a chunk."""
        state = self._state
        if state is State.EVENTS and self._decoder.error is None:  # as a rule
            return self._exchange.wait(deadline)
        if state is State.ENDED or state is State.CLOSED or self._decoder.error is not None:
            return ready()
        return self._wait_for_end(deadline) if state is State.DONE else self._exchange.wait(deadline)

    def hand_on(self, send: Send, clock: Callable[[], float], idle: float, until: float) -> Awaitable[float] | None:
        """See `ChunkSource`; up to the last finish reason, from where on another deadline counts."""
        if self._state is not State.EVENTS or self.assembler.finished:
            return None
        return self._hand_on(send, clock, idle, until)

    async def _hand_on(self, send: Send, clock: Callable[[], float], idle: float, until: float) -> float:
        since = now = clock()
        in_time = True
        while not self.assembler.finished:
            try:
                chunks = self.take()
            except APIError as error:
                self._failure = error  # which the next `take` raises
                break
            if chunks is None:
                deadline = min(since + idle, until)
                if not in_time or now >= deadline:
                    break
                in_time = await self.wait(deadline)
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
                since += now - began  # the time that the caller took is not the server's
        return since

    async def aclose(self) -> None:
        """Release the connection: for reuse when the body can be read to its end in no time, else by closing it."""
        if self._state is State.CLOSED:
            return
        self._state = State.CLOSED
        try:
            if self._decoder.done:
                await self._exchange.drain()
        finally:
            await self._exchange.aclose()

    def _take_done(self) -> None:
        """`[DONE]` came: the stream is complete, or was cut short, or how the body ends will tell."""
        self._state = State.ENDED
        if self.assembler.is_partly_finished():
            self._decoder.error = _truncated(f"{self._decoder.last_event} came, but not every choice had a finish reason")
        elif not self.assembler.is_complete():
            self._state, self._until = State.DONE, _loops.now() + END_SECONDS

    async def _wait_for_end(self, deadline: float) -> bool:
        """Wait for more of a body that has said all it had to, as long as it may take to end."""
        until = self._until
        in_time = _loops.now() < until and await self._exchange.wait(min(deadline, until))
        if in_time or deadline < until:
            return in_time
        self._decoder.error = _truncated(
            f"[DONE] came without any finish reason, and the body did not end within {END_SECONDS:.3g} s"
        )
        return True

    def _begin(self, data: bytes) -> list[Chunk]:
        """Tell events from what else a server may send with status 200, and keep what is not events."""
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
                self._events.feed_data(data)  # empty lines, and no event among them
        else:
            self._received += data
        limit = self._limits.max_body_bytes
        if len(self._received) > limit:
            raise LimitExceededError(f"the body is longer than max_body_bytes, {limit} bytes", limit="max_body_bytes")
        return []

    def _end(self) -> list[Chunk]:
        """What the end of the body completes."""
        state, self._state = self._state, State.ENDED
        if state is State.DOCUMENT:
            return self._chunks_of_document(bytes(self._received))
        if state is State.SNIFFING and self._broken is None:
            raise unusable(b"", "")
        decoder = self._decoder
        chunks: list[Chunk] = []
        if not decoder.done:
            chunks = self._decode(self._events.feed_eof())
            if isinstance(decoder.error, APIResponseValidationError):  # half an event
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
        """Give an error that the answer is to blame for the server's own status, and the address of a web page."""
        if isinstance(error, APIResponseValidationError):
            error.status_code = self._exchange.status
            name_address(error, self._exchange.address)

    def _outgrown(self) -> APIError | None:
        """The error that the decoder has for its next call, which may never come."""
        try:
            self._events.feed_data(b"")
        except LimitExceededError as error:
            return error
        return None


def _truncated(reason: str, cause: BaseException | None = None) -> StreamTruncatedError:
    truncated = StreamTruncatedError(f"the stream was cut before it was complete: {reason}")
    truncated.__cause__ = cause
    return truncated
