"""One request of a call and its response, over our transport or over any httpx client.

Here httpx's exceptions become ours, and here deadlines are kept: a wait for the server lasts until a point in time that
the caller gives, whatever arrives meanwhile.
"""

import time
from collections.abc import Awaitable, Callable, Iterable
from functools import lru_cache
from typing import Any, Protocol

import anyio
import httpx
import msgspec

from ..exceptions import (
    APIConnectionError,
    APIError,
    APIResponseValidationError,
    BadRequestError,
    LimitExceededError,
    Timeout,
    without_secrets,
)
from .connection import FOREVER, Outgoing, ready
from .decoding import inflater_for
from .pool import Origin
from .protocol import HeadersTooLarge, checked_head, first_header_in
from .transport import HTTPTransport, Incoming, origin_of

DRAIN_SECONDS = 0.25  # how long the tail of a finished stream may take, for the sake of reusing its connection
CLOSE_SECONDS = 5.0  # how long closing an httpx client's response may take
MAX_REDIRECTS = 5
HEADS_KEPT = 256

# httpx's timeouts, most specific first: the first match names the budget that ran out. Classes are known by their names,
# so that those of another edition of httpx are known too.
_TIMEOUTS = {
    "ConnectTimeout": ("connect", "no connection in time"),
    "PoolTimeout": ("pool", "no free connection in time"),
    "WriteTimeout": ("write", "the request could not be sent in time"),
    "TimeoutException": (None, "nothing arrived in time"),
    "TimeoutError": (None, "nothing arrived in time"),
}
# What no server has a part in, and no second attempt could better.
_MISTAKES = ("LocalProtocolError", "UnsupportedProtocol", "InvalidURL")
# The others, most specific first: what happened, in front of httpx's own words.
_FAILURES = {
    "ConnectError": "cannot connect to",
    "ProxyError": "the proxy gave no way to",
    "RemoteProtocolError": "no valid HTTP from",
    "NetworkError": "the connection broke to",
    "TooManyRedirects": "redirected in circles by",
    "Exception": "the request failed to",
}


def translated(error: Exception, url: str) -> APIError:
    """Our exception for what httpx, or the layers under and over it, raised while talking to `url`."""
    url = without_secrets(url)
    if isinstance(error, HeadersTooLarge):
        return LimitExceededError(f"{error}: {url}", limit="max_header_bytes")
    names = {kind.__name__ for kind in type(error).__mro__}
    if "DecodingError" in names:
        return APIResponseValidationError(f"cannot decompress the body from {url}: {error}")
    for name, (budget, text) in _TIMEOUTS.items():
        if name in names:
            return Timeout(f"{text}: {url}", budget=budget)
    reason = str(error) or type(error).__name__
    if not names.isdisjoint(_MISTAKES):
        return BadRequestError(f"the request can't be sent to {url}: {reason}")
    text = next(text for name, text in _FAILURES.items() if name in names)
    return APIConnectionError(f"{text} {url}: {reason}")


class HTTPRequest(msgspec.Struct, kw_only=True, eq=False, gc=False):  # texts and numbers, so never part of a cycle
    """A request as the handlers make it.

    Attributes:
        headers: names in lower case, without `host` and `content-length`.
        connect, pool, write: seconds each of these may take, None for ever.
    """

    method: str
    url: str
    headers: dict[str, str]
    body: bytes
    connect: float | None = None
    pool: float | None = None
    write: float | None = None

    def __repr__(self) -> str:
        return f"<HTTPRequest {self.method} {without_secrets(self.url)}>"  # no headers: the key is in them


class Body(Protocol):
    """Where an exchange's bytes come from."""

    def take(self) -> bytes | None:
        """The next bytes, b"" at the end, None while there are none; raises httpx's exceptions."""
        ...

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The response's headers, names and values as sent."""
        ...

    @property
    def wait(self) -> Callable[[float], Awaitable[bool]]:
        """As `connection.Socket.wait`."""
        ...

    async def aclose(self) -> None:
        """Release the connection."""
        ...


class Exchange:
    """A response whose head has arrived.

    Attributes:
        status: the HTTP status.
        headers: names in lower case; of several with one name, the values are joined by ", ". Read when first looked at.
        wait: waits until a time, as `time.monotonic()` counts, for `take` to have something else to say than None; False
            when it passed first. What goes wrong, `take` says. Not to be called once `take` said that the body has ended.
    """

    __slots__ = ("_body", "_headers", "status", "url", "wait")

    def __init__(self, status: int, url: str, body: Body) -> None:
        self.status: int = status
        self._headers: dict[str, str] | None = None
        self.url: str = url
        self.wait: Callable[[float], Awaitable[bool]] = body.wait  # no layer between, for a stream's every read
        self._body = body

    @property
    def address(self) -> str:
        """The URL, for a message."""
        return without_secrets(self.url)

    @property
    def headers(self) -> dict[str, str]:
        """See the class."""
        if self._headers is None:
            self._headers = _headers(self._body.headers)
        return self._headers

    def take(self) -> bytes | None:
        """The next bytes of the body, decompressed; b"" when it has ended, None while none are there.

        Raises:
            APIConnectionError: the connection broke, or closed in the middle of the body.
            APIResponseValidationError: it can't be decompressed.
        """
        try:
            return self._body.take()
        except Exception as error:
            raise translated(error, self.url) from error

    async def receive(self, deadline: float) -> bytes:
        """The next bytes of the body, waiting for them; b"" when it has ended.

        Args:
            deadline: until when to wait, as `time.monotonic()` counts.

        Raises:
            Timeout: nothing came before the deadline. Its `budget` is None: only the caller knows which this was.
            APIConnectionError: as `take`.
        """
        in_time = True
        while (data := self.take()) is None:
            if not in_time:
                raise Timeout(f"nothing arrived in time: {self.address}")
            in_time = await self.wait(deadline)
        return data

    async def read(self, deadline: float, limit: int, name: str) -> bytes:
        """The whole body.

        Raises:
            LimitExceededError: it is longer than `limit`, the limit called `name`.
            Timeout, APIConnectionError: as `receive` does.
        """
        pieces: list[bytes] = []
        size = 0
        while data := await self.receive(deadline):
            pieces.append(data)
            size += len(data)
            if size > limit:
                raise LimitExceededError(f"the body is longer than {name}, {limit} bytes", limit=name)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def read_start(self, deadline: float, limit: int) -> bytes:
        """The body up to `limit` bytes: what an error is worth keeping of, however the rest fares."""
        body = bytearray()
        try:
            while len(body) < limit and (data := await self.receive(deadline)):
                body += data
        except APIError:
            pass  # the status is the news; a body cut short only has less to say about it
        return bytes(body[:limit])

    async def drain(self) -> None:
        """Read the tail of a body that has said all it had to, within a small bound, so its connection can be reused."""
        try:
            await self.receive(time.monotonic() + DRAIN_SECONDS)
        except APIError:
            pass  # then the connection is closed instead

    async def aclose(self) -> None:
        """Give the connection back if the body was read to its end, else close it. Done even when cancelled."""
        await self._body.aclose()

    def response_with(self, body: bytes) -> httpx.Response:
        """The response as an `httpx.Response` of its own, without the request and the key in it."""
        dropped = ("content-encoding", "transfer-encoding", "content-length")
        headers = {name: value for name, value in self.headers.items() if name not in dropped}
        return httpx.Response(self.status, headers=headers, content=body)


async def send(client: Any, request: HTTPRequest, deadline: float) -> Exchange:
    """Send a request and wait for the head of the response.

    Args:
        client: an `HTTPTransport`, or an `httpx.AsyncClient` (httpx2's too).
        deadline: until when to wait, as `time.monotonic()` counts.

    Raises:
        Timeout: the head did not come before the deadline (`budget` None), or connecting, sending or waiting for a
            connection took too long.
        APIConnectionError: no connection, or a broken one.
        LimitExceededError: the head is too long.
        BadRequestError: there is no such request: a line break in a header, or no URL.
    """
    try:
        if isinstance(client, HTTPTransport):
            return await _send_directly(client, request, deadline)
        return await _send_by_httpx(client, request, deadline)
    except Exception as error:
        named = translated(error, request.url)
        if isinstance(named, Timeout) and time.monotonic() >= deadline:
            named.budget = None  # which of the caller's budgets this was, and not one of the smaller ones it cut short
        raise named from error


# --- over our transport


class _InflatedBody:
    """A compressed body over our transport."""

    def __init__(self, incoming: Incoming, inflater: Any) -> None:
        self._incoming = incoming
        self._inflater = inflater
        self.headers: list[tuple[bytes, bytes]] = incoming.headers
        self._has_more = False  # in the inflater: it gives long data in pieces

    def take(self) -> bytes | None:
        inflater = self._inflater
        while not (data := inflater.take()):
            self._has_more = False
            compressed = self._incoming.take()
            if compressed is None:
                return None
            if not compressed:
                inflater.feed_eof()
                return b""
            inflater.feed_data(compressed)
        self._has_more = True
        return data

    def wait(self, deadline: float, /) -> Awaitable[bool]:
        return ready() if self._has_more else self._incoming.wait(deadline)

    async def aclose(self) -> None:
        self._incoming.close()


async def _send_directly(transport: HTTPTransport, request: HTTPRequest, deadline: float) -> Exchange:
    url = request.url
    for _ in range(MAX_REDIRECTS + 1):
        origin, target, host = _place(url)
        head = _head(transport, request, target, host)
        outgoing = Outgoing(
            origin=origin,
            url=url,
            method=request.method.encode("ascii"),
            head=head,
            body=request.body,
            pool=request.pool,
            connect=request.connect,
            write=request.write,
            deadline=deadline,
        )
        incoming = await transport.send(outgoing)
        try:
            location = _redirected(request.method, incoming, url)
            if location is None:
                encoding = first_header_in(incoming.head, b"content-encoding")
                inflater = None if encoding is None else inflater_for(encoding)
                body: Any = incoming if inflater is None else _InflatedBody(incoming, inflater)
                return Exchange(incoming.status, url, body)
        except BaseException:
            incoming.close()
            raise
        incoming.close()
        url = location
    raise httpx.TooManyRedirects(f"more than {MAX_REDIRECTS} redirects")


@lru_cache(maxsize=1024)
def _place(url: str) -> tuple[Origin, str, str]:
    """A URL's origin, its target on the wire, and its `Host` header."""
    parsed = httpx.URL(url)
    origin = origin_of(parsed)
    return origin, parsed.raw_path.decode("ascii"), parsed.netloc.decode("ascii")


def _head(transport: HTTPTransport, request: HTTPRequest, target: str, host: str) -> bytes:
    """The request's head; all but the body's length is checked once for each set of headers."""
    key = (request.method, target, host, *request.headers.items())
    start = transport.heads.get(key)
    if start is None:
        lines = [f"{request.method} {target} HTTP/1.1", f"host: {host}"]
        lines += [f"{name}: {value}" for name, value in request.headers.items()]
        head = checked_head("\r\n".join([*lines, "", ""]).encode(), len(lines))
        if len(transport.heads) >= HEADS_KEPT:
            transport.heads.clear()
        start = transport.heads[key] = head[:-2]
    if request.method == "GET":
        return start + b"\r\n"
    return b"%bcontent-length: %d\r\n\r\n" % (start, len(request.body))


def _headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name_bytes, value_bytes in raw:
        name, value = name_bytes.decode("latin-1").lower(), value_bytes.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _redirected(method: str, incoming: Incoming, url: str) -> str | None:
    """Where to send the request instead; None when this response is the answer.

    Only redirects that keep the method are followed, and only within the origin: the key is for nobody else.
    """
    status = incoming.status
    if status not in (307, 308) and not (method == "GET" and status in (301, 302, 303)):
        return None
    location = first_header_in(incoming.head, b"location")
    if location is None:
        return None
    try:
        target = httpx.URL(url).join(location)
        return str(target) if origin_of(target) == origin_of(httpx.URL(url)) else None
    except (httpx.InvalidURL, httpx.UnsupportedProtocol):
        return None


# --- over a user's httpx client


class _ClientBody:
    """A body over an httpx client."""

    def __init__(self, response: Any) -> None:
        self._response = response
        self.headers: list[tuple[bytes, bytes]] = response.headers.raw
        self._chunks: Any = response.aiter_bytes()
        self._data: bytes | None = None
        self._error: Exception | None = None
        self._was_late = False

    def take(self) -> bytes | None:
        if self._error is not None:
            raise self._error
        data = self._data
        if data:  # the end is there to stay
            self._data = None
        return data

    async def wait(self, deadline: float) -> bool:
        if self._data is not None or self._error is not None:
            return True
        if self._was_late:
            return False
        try:
            with anyio.move_on_after(None if deadline == FOREVER else deadline - time.monotonic()) as scope:
                self._data = await self._next_chunk()
        except Exception as error:  # noqa: BLE001  (`take` raises it)
            self._error = error
            return True
        self._was_late = scope.cancelled_caught  # which was the end of httpx's generator, but not of the body
        return not self._was_late

    async def _next_chunk(self) -> bytes:
        async for data in self._chunks:
            if data:
                return bytes(data)
        return b""

    async def aclose(self) -> None:
        with anyio.move_on_after(CLOSE_SECONDS, shield=True):
            try:
                await self._response.aclose()
                await self._chunks.aclose()
            except Exception:  # noqa: BLE001, S110 as in `Exchange.receive`
                pass  # a connection that can't be closed properly is closed all the same


async def _send_by_httpx(client: Any, request: HTTPRequest, deadline: float) -> Exchange:
    """Through the client's own request type, so that its base headers, cookies, auth and event hooks apply."""
    timeout = {"connect": request.connect, "pool": request.pool, "write": request.write, "read": None}
    built = client.build_request(
        request.method,
        request.url,
        headers=request.headers,
        content=request.body or None,
        extensions={"timeout": timeout},
    )
    with anyio.fail_after(None if deadline == FOREVER else deadline - time.monotonic()):
        response = await _response_to(client, built)
    return Exchange(response.status_code, request.url, _ClientBody(response))


async def _response_to(client: Any, built: Any) -> Any:
    try:
        return await client.send(built, stream=True)
    except Exception as error:
        response = getattr(error, "response", None)
        if getattr(response, "status_code", 0) < 400:
            raise
        return response  # an event hook called raise_for_status(); what the status means, our caller knows


async def warm(transport: HTTPTransport, url: str, count: int) -> None:
    """`HTTPTransport.warm`, with our exceptions."""
    try:
        await transport.warm(url, count)
    except Exception as error:
        raise translated(error, url) from error
