"""Event streams for handlers that read server-sent events themselves: httpx-sse's interface, our decoder.

`ServerSentEvent` and `SSEError` are httpx-sse's own classes. Behaviour that differs from httpx-sse follows the HTML
standard, unless noted:

- The body is UTF-8 whatever charset the header names. Invalid UTF-8 becomes U+FFFD, and a byte order mark is skipped.
- A block without data is not an event. Its `id` and `retry` come with the next event.
- `retry` is digits only.
- Beyond the standard: when the body ends in the middle of an event, the part that has arrived is the last event
  (httpx-sse and the standard drop it); many servers omit the last empty line. If the connection breaks, the
  client's exception is raised instead, and the unfinished event is dropped.
- An event longer than `max_event_bytes` raises `LimitExceededError`.
"""

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx
from httpx_sse import ServerSentEvent, SSEError

from .._settings import Limits
from ..wire.sse import Event, Payload, SSEDecoder

__all__ = ["EventSource", "SSEError", "ServerSentEvent", "aconnect_sse", "connect_sse"]


class EventSource:
    """The events in the body of an HTTP response.

    It does not close the response; `aconnect_sse` and `connect_sse` close the one they open.

    Args:
        response: an open streamed response. Its body can be read once.
        max_event_bytes: the most bytes that one event may have.
    """

    def __init__(self, response: httpx.Response, *, max_event_bytes: int = Limits().max_event_bytes) -> None:
        self._response = response
        self._max_event_bytes = max_event_bytes

    @property
    def response(self) -> httpx.Response:
        """The response whose body is read."""
        return self._response

    def aiter_sse(self) -> "AsyncEvents":
        """The events, from an asynchronous client's response.

        Returns:
            An asynchronous iterator. It needs no closing if it is iterated to its end or the response is closed; `aclose`
            ends it early.

        Raises:
            SSEError: the content type is not `text/event-stream`.
            LimitExceededError: while iterating, an event was longer than `max_event_bytes`.
            httpx.HTTPError: while iterating, the client's exception when reading the body fails.
        """
        self._check_content_type()
        return AsyncEvents(self._response.aiter_bytes(), self._new_parser())

    def iter_sse(self) -> Iterator[ServerSentEvent]:
        """The events, from a synchronous client's response; see `aiter_sse`."""
        self._check_content_type()
        return _iterate(self._response.iter_bytes(), self._new_parser())

    def _new_parser(self) -> "_Parser":
        return _Parser(SSEDecoder(max_event_bytes=self._max_event_bytes))

    def _check_content_type(self) -> None:
        content_type = self._response.headers.get("content-type", "").partition(";")[0]
        if "text/event-stream" not in content_type.lower():
            raise SSEError(f"Expected response header Content-Type to contain 'text/event-stream', got {content_type!r}")


class _Parser:
    """Bytes to `ServerSentEvent`s, each with the last event id as of its place in the stream."""

    def __init__(self, decoder: SSEDecoder) -> None:
        self._decoder = decoder
        self._last_event_id = ""

    def feed_data(self, data: bytes) -> Iterator[ServerSentEvent]:
        return map(self._as_event, self._decoder.feed_data(data))

    def feed_eof(self) -> Iterator[ServerSentEvent]:
        return map(self._as_event, self._decoder.feed_eof())

    def _as_event(self, payload: Payload) -> ServerSentEvent:
        event = payload if isinstance(payload, Event) else Event(payload)
        if event.id is not None:
            self._last_event_id = event.id
        return ServerSentEvent(event.event, event.data.decode("utf-8", "replace"), self._last_event_id, event.retry)


class AsyncEvents:
    """An asynchronous iterator over the events of one body.

    A class, because a dropped asynchronous generator is only finalized later by the event loop. Once it has ended, by the end
    of the body, by an exception or by `aclose`, it stays ended. A cancelled `__anext__` ends it too.
    """

    def __init__(self, body: AsyncIterator[bytes], parser: _Parser) -> None:
        self._body = body
        self._parser = parser
        self._ready: deque[ServerSentEvent] = deque()
        self._ended = False

    def __aiter__(self) -> "AsyncEvents":
        return self

    async def __anext__(self) -> ServerSentEvent:
        while not self._ready:
            if self._ended:
                raise StopAsyncIteration
            try:
                await self._read()
            except BaseException:
                await self.aclose()
                raise
        return self._ready.popleft()

    async def _read(self) -> None:
        try:
            data = await anext(self._body)
        except StopAsyncIteration:
            self._ended = True
            self._ready.extend(self._parser.feed_eof())
        else:
            self._ready.extend(self._parser.feed_data(data))

    async def aclose(self) -> None:
        """End the iteration and close the byte stream, but not the response."""
        self._ended = True
        self._ready.clear()
        close: Callable[[], Awaitable[None]] | None = getattr(self._body, "aclose", None)
        if close is not None:
            await close()


def _iterate(body: Iterator[bytes], parser: _Parser) -> Generator[ServerSentEvent, None, None]:
    try:
        for data in body:
            yield from parser.feed_data(data)
        yield from parser.feed_eof()
    finally:
        close: Callable[[], None] | None = getattr(body, "close", None)
        if close is not None:
            close()


@asynccontextmanager
async def aconnect_sse(
    client: httpx.AsyncClient, method: str, url: httpx.URL | str, **kwargs: Any
) -> AsyncGenerator[EventSource, None]:
    """Send a request that asks for an event stream, and close its response on leaving.

    Args:
        client: sends the request.
        method: the HTTP method.
        url: the URL.
        kwargs: as for `client.stream`. `headers` may override `Accept` and `Cache-Control`.

    Raises:
        httpx.HTTPError: the client's exception when the request fails. An error status does not raise here.
    """
    headers = _request_headers(kwargs.pop("headers", None))
    async with client.stream(method, url, headers=headers, **kwargs) as response:
        yield EventSource(response)


@contextmanager
def connect_sse(client: httpx.Client, method: str, url: httpx.URL | str, **kwargs: Any) -> Generator[EventSource, None, None]:
    """`aconnect_sse` for a synchronous client."""
    headers = _request_headers(kwargs.pop("headers", None))
    with client.stream(method, url, headers=headers, **kwargs) as response:
        yield EventSource(response)


def _request_headers(given: Mapping[str, str] | None) -> httpx.Headers:
    headers = httpx.Headers(given)  # a copy
    headers.setdefault("Accept", "text/event-stream")
    headers.setdefault("Cache-Control", "no-store")
    return headers
