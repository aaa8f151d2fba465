"""A stream over HTTP: server-sent events from an endpoint's response, as batches of chunks.

Where a server answers a streaming request with something else, it is looked at here: an error status raises, a JSON body
that holds a whole completion is handed out as chunks, HTML or nothing raises. The first byte that is no space tells, not
the content type, which servers get wrong: no line of an event stream begins as JSON or HTML do.

However a body ends, cleanly or by a broken connection, what has arrived is judged the same way: half an event at the end
was torn off, and the stream is complete or it was cut short.
"""

from typing import Any

from .._settings import Limits
from ..exceptions import APIConnectionError, APIError, APIResponseValidationError, StreamTruncatedError, Timeout
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

    def __init__(
        self, request: HTTPRequest, *, client: Any, provider: str, model: str, wire_text: bool, limits: Limits
    ) -> None:
        self.shape: Shape = ModelResponseStream
        self.headers: dict[str, str] = {}
        self.status: int | None = None
        self.done: bool = False
        self.had_content: bool = False
        self.assembler: Any = None
        self._request, self._client = request, client
        self._provider, self._model = provider, model
        self._wire_text = wire_text
        self._limits = limits
        self._events = SSEDecoder(max_event_bytes=limits.max_event_bytes)
        self._exchange: Exchange | None = None
        self._start = b""  # of the body, while it does not tell what the body is
        self._is_told = False
        self._broken: APIConnectionError | None = None
        self._ended = False

    async def start(self, deadline: float) -> None:
        """Send the request and judge the response's head; see `ChunkSource`."""
        self._decoder = ChunkDecoder(self.shape, wire_text=self._wire_text, provider=self._provider, model=self._model)
        self.assembler = self._decoder.assembler
        try:
            self._exchange = exchange = await send(self._client, self._request, deadline)
            self.status, self.headers = exchange.status, exchange.headers
            if not 200 <= exchange.status < 300:
                raise await error_of(exchange, deadline, self._limits, **self._details())
        except APIError as error:
            raise named(error, **self._details()) from error.__cause__

    async def receive(self, deadline: float) -> list[Any]:
        """The next chunks; see `ChunkSource`. Reads until there is one, or the body ends."""
        decoder = self._decoder
        while not self._ended and decoder.error is None:
            try:
                try:
                    data = await self._exchange.receive(deadline)  # type: ignore[union-attr]
                except APIConnectionError as error:
                    data = self._break(error)
                if not data:
                    chunks = self._last_chunks()
                elif self._is_told:
                    events = self._events.feed_data(data)
                    chunks = decoder.decode(events) if events else []
                else:
                    chunks = await self._first_bytes(data, deadline)
            except APIError as error:
                self._ended = True
                raise self._with_response(error) from error.__cause__
            if not data or decoder.done:
                await self._end(data)
            if chunks:
                self.had_content = decoder.had_content
                return chunks
        self._ended = True
        if decoder.error is not None:
            error, decoder.error = decoder.error, None
            raise self._with_response(error) from error.__cause__
        return []

    async def _first_bytes(self, data: bytes, deadline: float) -> list[Any]:
        """Tell events from what else a server may send with status 200."""
        self._start = start = (self._start + data).removeprefix(_BOM).lstrip()
        if not start or _BOM.startswith(start):
            self._events.feed_data(data)  # empty lines, and no event among them
            return []
        self._is_told = True
        if start[:1] not in (b"{", b"[", b"<"):
            return self._decoder.decode(self._events.feed_data(data))
        try:
            body = start + await self._exchange.read(deadline, self._limits.max_body_bytes, "max_body_bytes")  # type: ignore[union-attr]
        except APIConnectionError as error:
            self._break(error)
            raise self._truncated(error) from error.__cause__
        if start[:1] == b"<":
            raise malformed("the answer", body, "HTML where a stream of events was asked for", **self._details())
        chunks = chunks_of_body(body, self._decoder, wire_text=self._wire_text, **self._details())
        self._decoder.had_content = True
        return chunks

    def _last_chunks(self) -> list[Any]:
        """What the end of the body completes."""
        decoder = self._decoder
        if not self._is_told and self._broken is None:
            raise malformed("the answer", b"", f"status {self.status} and an empty body", **self._details())
        chunks = decoder.decode(self._events.feed_eof())
        if isinstance(decoder.error, APIResponseValidationError):  # half an event
            decoder.error = None
        if self._broken is not None and not (decoder.error or decoder.done or self.assembler.is_complete()):
            decoder.error = self._truncated(self._broken)
        return chunks

    def _break(self, error: APIConnectionError) -> bytes:
        """Take a broken connection for the end of the body; raise what is not one."""
        if isinstance(error, Timeout):
            raise error
        self._broken = error
        return b""

    def _truncated(self, error: APIError) -> StreamTruncatedError:
        truncated = StreamTruncatedError(f"the stream was cut before it was complete: {error.message}")
        truncated.__cause__ = error.__cause__
        return truncated

    async def _end(self, data: bytes) -> None:
        self._ended = True
        self.done = self._decoder.done
        if data and self.done:
            await self._exchange.drain()  # type: ignore[union-attr]

    async def aclose(self) -> None:
        """Release the connection: for reuse when the body was read to its end, else by closing it."""
        self._ended = True
        if self._exchange is not None:
            exchange, self._exchange = self._exchange, None
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
    return error_from_response(
        exchange.status,
        exchange.headers,
        body,
        provider=provider,
        model=model,
        response=exchange.response_with(body),
    )
