"""The interface of HTTP for the rest of the library: a request, its sender, and its response.

`HTTPTransport` and `clients.HTTPXSender` are senders. A sender raises only our exceptions, and keeps to a deadline: a
point in time that the caller sets, and that data which arrives does not move.
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

DRAIN_SECONDS = 0.25  # how long to read the rest of a finished stream's body, so that its connection can be reused


class HTTPRequest(msgspec.Struct, kw_only=True, eq=False, gc=False):  # only texts and numbers, so never in a reference cycle
    """A request, as backends make it.

    Attributes:
        headers: names in lower case, without `content-length`; `host` only to replace the one from the URL.
        trace: further headers of this request; those in `headers` are shared by many requests.
        waits: a list to which the seconds that the request waited for a connection are appended.
        connect, pool, write: the most seconds for each of these, None for no limit.
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
        return f"<HTTPRequest {self.method} {without_secrets(self.url)}>"  # without headers, which have the key in them


class HTTPResponse:
    """A response whose head has arrived; a `Readable` of its body's bytes.

    Attributes:
        status: the HTTP status.
        url: the URL that answered, after redirects.
    """

    __slots__ = ("_headers", "status", "url")

    def __init__(self, status: int, url: str) -> None:
        self.status: int = status
        self.url: str = url
        self._headers: dict[str, str] | None = None

    @property
    def headers(self) -> dict[str, str]:
        """Names in lower case; several values of one name are joined by ", ". Parsed when first read."""
        if self._headers is None:
            self._headers = joined(self.raw_headers())
        return self._headers

    def raw_headers(self) -> Iterable[tuple[bytes, bytes]]:
        """Names and values as sent."""
        raise NotImplementedError

    def take(self) -> bytes | None:
        """The next bytes of the body, decompressed; b"" when it has ended, None if none have arrived.

        Raises:
            APIConnectionError: the connection broke, or closed in the middle of the body.
            APIResponseValidationError: it can't be decompressed.
        """
        raise NotImplementedError

    def wait(self, deadline: float) -> Awaitable[bool]:
        """See `Readable.wait`."""
        raise NotImplementedError

    async def aclose(self) -> None:
        """Return the connection to the pool if the body was read to its end, else close it. Completes even when cancelled."""
        raise NotImplementedError

    async def read(self, deadline: float, limit: int, name: str) -> bytes:
        """The whole body.

        Raises:
            LimitExceededError: it is longer than `limit` bytes; `name` is the limit's name, for the error.
            Timeout: it was not complete at the deadline. `budget` is None: only the caller knows which budget that was.
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
        """The first `limit` bytes of an error's body, or what can be read of them before the deadline or an error."""
        body = bytearray()
        try:
            while len(body) < limit and (data := await receive(self, deadline, self._late)):
                body += data
        except APIError:
            pass  # the status matters more; a truncated body only has fewer details
        return bytes(body[:limit])

    async def drain(self) -> None:
        """Read the rest of a body whose content is complete, for a short time, so that its connection can be reused."""
        try:
            await receive(self, _loops.now() + DRAIN_SECONDS, self._late)
        except APIError:
            pass  # the connection is closed instead

    def response_with(self, body: bytes) -> httpx.Response:
        """The response as a new `httpx.Response`, without the request, which has the key in it."""
        dropped = ("content-encoding", "transfer-encoding", "content-length")
        headers = {name: value for name, value in self.headers.items() if name not in dropped}
        return httpx.Response(self.status, headers=headers, content=body)

    def _late(self) -> Timeout:
        return Timeout("nothing arrived in time")


class Sender(Protocol):
    """Something that sends requests."""

    async def send(self, request: HTTPRequest, deadline: float) -> HTTPResponse:
        """Send a request and wait for the head of the response.

        Args:
            request: what to send.
            deadline: when to stop waiting, a time of `_loops.clock`.

        Raises:
            Timeout: the head did not come before the deadline (`budget` None), or connecting, sending or waiting for a
                connection took too long.
            APIConnectionError: no connection, or a broken one.
            LimitExceededError: the head is too long.
            BadRequestError: the request is not valid: a line break in a header, or an invalid URL.
        """
        ...


class InflatedResponse(HTTPResponse):
    """A response whose body is compressed."""

    __slots__ = ("_compressed", "_has_more", "_inflater")

    def __init__(self, compressed: HTTPResponse, inflater: Inflater) -> None:
        super().__init__(compressed.status, compressed.url)
        self._compressed = compressed
        self._inflater = inflater
        self._has_more = False  # in the inflater, which returns long data in pieces

    def raw_headers(self) -> Iterable[tuple[bytes, bytes]]:
        """See `HTTPResponse`."""
        return self._compressed.raw_headers()

    def take(self) -> bytes | None:
        """See `HTTPResponse`."""
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
        """See `HTTPResponse`."""
        return ready() if self._has_more else self._compressed.wait(deadline)

    async def aclose(self) -> None:
        """See `HTTPResponse`."""
        await self._compressed.aclose()


def joined(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers as a dict, by name in lower case."""
    headers: dict[str, str] = {}
    for name_bytes, value_bytes in raw:
        name, value = name_bytes.decode("latin-1").lower(), value_bytes.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers
