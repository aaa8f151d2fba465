"""A stream over HTTP: server-sent events from an endpoint's response, as batches of chunks.

Where a server answers a streaming request with something else, it is looked at here: an error status raises, a JSON body
that holds a whole completion is handed out as chunks, HTML or nothing raises. The first byte that is no space tells, not
the content type, which servers get wrong: no line of an event stream begins as JSON or HTML do.

However a body ends, cleanly or by a broken connection, what has arrived is judged the same way: half an event at the end
was torn off, and the stream is complete or it was cut short.
"""

from collections.abc import Awaitable
from typing import Any

from .._settings import Limits
from ..exceptions import APIConnectionError, APIError, APIResponseValidationError, LimitExceededError, StreamTruncatedError
from ..http.connection import ready
from ..http.exchange import Exchange, HTTPRequest, send
from ..types import ModelResponseStream
from ..wire.chunks import ChunkDecoder, chunks_of_body, malformed, with_head
from ..wire.errors import error_from_response
from ..wire.sse import SSEDecoder
from .base import ChunkSource, Shape

_BOM = b"\xef\xbb\xbf"


class EventStreamSource(ChunkSource[Any]):
    """Sends one request when started, and reads the chunks of its response.

    Args:
        request: asks for a stream.
        client: an `HTTPTransport` or an `httpx.AsyncClient`.
        wire_text: whether the endpoint is `/completions`.
    """

    __slots__ = (
        "_body",
        "_broken",
        "_client",
        "_decoder",
        "_ended",
        "_events",
        "_exchange",
        "_head",
        "_is_told",
        "_limits",
        "_model",
        "_provider",
        "_request",
        "_start",
        "_wire_text",
        "assembler",
        "bare_text",
        "done",
        "had_content",
        "shape",
        "status",
    )

    def __init__(
        self, request: HTTPRequest, *, client: Any, provider: str, model: str, wire_text: bool, limits: Limits
    ) -> None:
        self.shape: Shape = ModelResponseStream
        self.status: int | None = None
        self.done: bool = False
        self.had_content: bool = False
        self.assembler: Any = None
        self._request: HTTPRequest | None = request  # until it was sent
        self._client = client
        self._provider, self._model = provider, model
        self._wire_text = wire_text
        self._limits = limits
        self._events = SSEDecoder(max_event_bytes=limits.max_event_bytes)
        self._exchange: Exchange | None = None
        self._head: Exchange | None = None  # stays when the exchange is over
        self._start = b""  # of the body, while it does not tell what the body is
        self._body: bytearray | None = None  # where it is no stream of events
        self._is_told = False
        self._broken: APIConnectionError | None = None
        self._ended = False

    @property
    def headers(self) -> dict[str, str]:  # type: ignore[override]
        """Of the response, names in lower case; read when first looked at."""
        return {} if self._head is None else self._head.headers

    async def start(self, deadline: float) -> None:
        """Send the request and judge the response's head; see `ChunkSource`."""
        self._decoder = ChunkDecoder(self.shape, wire_text=self._wire_text, provider=self._provider, model=self._model)
        self.assembler = self._decoder.assembler
        try:
            self._exchange = exchange = await send(self._client, self._request, deadline)  # type: ignore[arg-type]
            self._head, self.status = exchange, exchange.status
            self._request = None
            if not 200 <= exchange.status < 300:
                raise await error_of(exchange, deadline, self._limits, **self._details())
        except APIError as error:
            raise named(error, **self._details()) from error.__cause__

    def take(self) -> list[Any] | None:
        """The chunks that have arrived; see `ChunkSource`."""
        decoder, exchange = self._decoder, self._exchange
        while exchange is not None and not self._ended and decoder.error is None:
            try:
                try:
                    data = exchange.take()
                except APIConnectionError as error:
                    self._broken, data = error, b""
                if data is None:
                    return None
                if not data:
                    self._ended = True
                    chunks = self._last_chunks()
                elif self._is_told:
                    events = self._events.feed_data(data)
                    chunks = decoder.decode(events) if events else []
                else:
                    chunks = self._first_bytes(data) if self._body is None else self._more_of_body(data)
                if self._events.outgrown and decoder.error is None:
                    decoder.error = self._outgrown()
            except APIError as error:
                self._ended = True
                raise self._with_response(error) from error.__cause__
            if decoder.done:
                self.done = self._ended = True
            if chunks:
                self.had_content = decoder.had_content
                return chunks
        self._ended = True
        if decoder.error is not None:
            error, decoder.error = decoder.error, None
            raise self._with_response(error) from error.__cause__
        return []

    def wait(self, deadline: float) -> Awaitable[bool]:
        """As `ChunkSource.wait`: for bytes, which need not make a chunk."""
        if self._ended or self._exchange is None or self._decoder.error is not None:
            return ready()
        return self._exchange.wait(deadline)

    def _first_bytes(self, data: bytes) -> list[Any]:
        """Tell events from what else a server may send with status 200."""
        self._start = start = (self._start + data).removeprefix(_BOM).lstrip()
        if not start or _BOM.startswith(start):
            self._events.feed_data(data)  # empty lines, and no event among them
            return []
        if start[:1] in (b"{", b"[", b"<"):
            self._body = bytearray()
            return self._more_of_body(start)
        self._is_told, self._start = True, b""
        return self._decoder.decode(self._events.feed_data(data))

    def _more_of_body(self, data: bytes) -> list[Any]:
        """Keep what can only be judged when it is whole."""
        self._body += data  # type: ignore[operator]
        limit = self._limits.max_body_bytes
        if len(self._body) > limit:  # type: ignore[arg-type]
            raise LimitExceededError(f"the body is longer than max_body_bytes, {limit} bytes", limit="max_body_bytes")
        return []

    def _chunks_of_body(self, body: bytes) -> list[Any]:
        """The chunks of an answer that is no event stream."""
        if self._broken is not None:
            raise self._truncated(self._broken) from self._broken.__cause__
        if body[:1] == b"<":
            raise malformed("the answer", body, "HTML where a stream of events was asked for", **self._details())
        chunks = chunks_of_body(body, self._decoder, wire_text=self._wire_text, **self._details())
        self._decoder.had_content = True
        return chunks

    def _outgrown(self) -> APIError | None:
        """The error that the decoder has for its next call, which may never come."""
        try:
            self._events.feed_data(b"")
        except LimitExceededError as error:
            return error
        return None

    def _last_chunks(self) -> list[Any]:
        """What the end of the body completes."""
        decoder = self._decoder
        if self._body is not None:
            return self._chunks_of_body(bytes(self._body))
        if not self._is_told and self._broken is None:
            raise malformed("the answer", b"", f"status {self.status} and an empty body", **self._details())
        chunks = decoder.decode(self._events.feed_eof())
        if isinstance(decoder.error, APIResponseValidationError):  # half an event
            decoder.error = None
        if self._broken is not None and not (decoder.error or decoder.done or self.assembler.is_complete()):
            decoder.error = self._truncated(self._broken)
        return chunks

    def _truncated(self, error: APIError) -> StreamTruncatedError:
        truncated = StreamTruncatedError(f"the stream was cut before it was complete: {error.message}")
        truncated.__cause__ = error.__cause__
        return truncated

    async def aclose(self) -> None:
        """Release the connection: for reuse when the body can be read to its end in no time, else by closing it."""
        self._ended = True
        if self._exchange is not None:
            exchange, self._exchange = self._exchange, None
            try:
                if self.done:
                    await exchange.drain()
            finally:
                await exchange.aclose()

    def _details(self) -> dict[str, Any]:
        return {"provider": self._provider, "model": self._model}

    def _with_response(self, error: APIError) -> APIError:
        """The error with whose call it was, and what the response's head says of it, for errors met behind a good head."""
        return named(with_head(error, self.headers), **self._details())


def named(error: APIError, *, provider: str, model: str) -> APIError:
    """The error with what only the caller of a lower layer knows: whose call it was."""
    error.llm_provider = error.llm_provider or provider
    error.model = error.model or model
    return error


async def error_of(exchange: Exchange, deadline: float, limits: Limits, *, provider: str, model: str) -> APIError:
    """The exception that a response without the status of a good one calls for."""
    body = await exchange.read_start(deadline, limits.max_error_body_bytes)
    error = error_from_response(
        exchange.status,
        exchange.headers,
        body,
        provider=provider,
        model=model,
        response=exchange.response_with(body),
    )
    if exchange.status in (404, 405) and error.code is None:  # not the model: the address, from which /v1 is easily left out
        error.add_note(f"asked at {exchange.address}")
    return error
