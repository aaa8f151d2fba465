"""What the rest of the library sees of HTTP: a request, whoever sends it, and its response.

`HTTPTransport` and `clients.HTTPXSender` are senders. A sender raises our exceptions only, and keeps to a deadline: a
point in time that the caller gives, whatever arrives meanwhile.
"""

from collections.abc import Awaitable, Iterable
from typing import Protocol

import httpx
import msgspec

from .. import _loops
from .._reading import ready, receive
from ..exceptions import APIError, LimitExceededError, Timeout, without_secrets
from .decoding import Inflater
from .errors import translated

DRAIN_SECONDS = 0.25  # how long the tail of a finished stream may take, for the sake of reusing its connection


class HTTPRequest(msgspec.Struct, kw_only=True, eq=False, gc=False):  # texts and numbers, so never part of a cycle
    """A request as backends make it.

    Attributes:
        headers: names in lower case, without `content-length`; `host` only in the place of the URL's own.
        trace: headers of this request alone: those in `headers` are the same for many.
        waits: where it is to be noted how many seconds the request waited until it had a connection.
        connect, pool, write: seconds each of these may take, None for ever.
    """

    method: str
    url: str
    headers: dict[str, str]
    body: bytes
    trace: dict[str, str] | None = None
    waits: list[float] | None = None
    connect: float | None = None
    pool: float | None = None
    write: float | None = None

    def __repr__(self) -> str:
        return f"<HTTPRequest {self.method} {without_secrets(self.url)}>"  # no headers: the key is in them


class Exchange:
    """A response whose head has arrived; a `Readable` of its body's bytes.

    Attributes:
        status: the HTTP status.
        url: where it came from, after redirects.
    """

    __slots__ = ("_headers", "status", "url")

    def __init__(self, status: int, url: str) -> None:
        self.status: int = status
        self.url: str = url
        self._headers: dict[str, str] | None = None

    @property
    def headers(self) -> dict[str, str]:
        """Names in lower case; the values of one name are joined by ", ". Read when first looked at."""
        if self._headers is None:
            self._headers = joined(self.raw_headers())
        return self._headers

    def raw_headers(self) -> Iterable[tuple[bytes, bytes]]:
        """Names and values as sent."""
        raise NotImplementedError

    def take(self) -> bytes | None:
        """The next bytes of the body, decompressed; b"" when it has ended, None while none are there.

        Raises:
            APIConnectionError: the connection broke, or closed in the middle of the body.
            APIResponseValidationError: it can't be decompressed.
        """
        raise NotImplementedError

    def wait(self, deadline: float) -> Awaitable[bool]:
        """See `Readable.wait`."""
        raise NotImplementedError

    async def aclose(self) -> None:
        """Give the connection back if the body was read to its end, else close it. Done even when cancelled."""
        raise NotImplementedError

    async def read(self, deadline: float, limit: int, name: str) -> bytes:
        """The whole body.

        Raises:
            LimitExceededError: it is longer than `limit`, the limit called `name`.
            Timeout: it was not there at the deadline. Its `budget` is None: only the caller knows which this was.
            APIConnectionError, APIResponseValidationError: as `take`.
        """
        pieces: list[bytes] = []
        size = 0
        while data := await receive(self, deadline, self._late):
            pieces.append(data)
            size += len(data)
            if size > limit:
                raise LimitExceededError(f"the body is longer than {name}, {limit} bytes", limit=name)
        return b"".join(pieces)  # a single one is not copied

    async def read_start(self, deadline: float, limit: int) -> bytes:
        """The body up to `limit` bytes: what an error is worth keeping of, however the rest fares."""
        body = bytearray()
        try:
            while len(body) < limit and (data := await receive(self, deadline, self._late)):
                body += data
        except APIError:
            pass  # the status is the news; a body cut short only has less to say about it
        return bytes(body[:limit])

    async def drain(self) -> None:
        """Read the tail of a body that has said all it had to, within a small bound, so its connection can be reused."""
        try:
            await receive(self, _loops.now() + DRAIN_SECONDS, self._late)
        except APIError:
            pass  # then the connection is closed instead

    def response_with(self, body: bytes) -> httpx.Response:
        """The response as an `httpx.Response` of its own, without the request and the key in it."""
        dropped = ("content-encoding", "transfer-encoding", "content-length")
        headers = {name: value for name, value in self.headers.items() if name not in dropped}
        return httpx.Response(self.status, headers=headers, content=body)

    def _late(self) -> Timeout:
        return Timeout("nothing arrived in time")


class Sender(Protocol):
    """Whoever sends requests."""

    async def send(self, request: HTTPRequest, deadline: float) -> Exchange:
        """Send a request and wait for the head of the response.

        Args:
            request: what to send.
            deadline: until when to wait, as `_loops.clock` counts.

        Raises:
            Timeout: the head did not come before the deadline (`budget` None), or connecting, sending or waiting for a
                connection took too long.
            APIConnectionError: no connection, or a broken one.
            LimitExceededError: the head is too long.
            BadRequestError: there is no such request: a line break in a header, or no URL.
        """
        ...


class InflatedExchange(Exchange):
    """A response whose body is compressed."""

    __slots__ = ("_compressed", "_has_more", "_inflater")

    def __init__(self, compressed: Exchange, inflater: Inflater) -> None:
        super().__init__(compressed.status, compressed.url)
        self._compressed = compressed
        self._inflater = inflater
        self._has_more = False  # in the inflater: it gives long data in pieces

    def raw_headers(self) -> Iterable[tuple[bytes, bytes]]:
        """See `Exchange`."""
        return self._compressed.raw_headers()

    def take(self) -> bytes | None:
        """See `Exchange`."""
        try:
            while not (data := self._inflater.take()):
                self._has_more = False
                compressed = self._compressed.take()
                if compressed is None:
                    return None
                if not compressed:
                    self._inflater.feed_eof()
                    return b""
                self._inflater.feed_data(compressed)
        except httpx.RequestError as error:
            raise translated(error, self.url) from error
        self._has_more = True
        return data

    def wait(self, deadline: float) -> Awaitable[bool]:
        """See `Exchange`."""
        return ready() if self._has_more else self._compressed.wait(deadline)

    async def aclose(self) -> None:
        """See `Exchange`."""
        await self._compressed.aclose()


def joined(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers by their names in lower case."""
    headers: dict[str, str] = {}
    for name_bytes, value_bytes in raw:
        name, value = name_bytes.decode("latin-1").lower(), value_bytes.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers
