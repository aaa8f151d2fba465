"""The transport: requests in, responses out, over a pool of connections.

`HTTPTransport` is a `Sender`, which the library's own calls use. It is also a transport for httpx and httpx2, so their
`AsyncClient` can use it; see `foreign`.

A connection has exactly one holder: the pool, or the response that reads from it. It changes hands in one synchronous
step, so a cancellation can't leave it without a holder.
"""

import logging
import os
import ssl
import time
from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import anyio
import httpx
from anyio import lowlevel

from .. import _loops
from .._reading import FOREVER
from ..exceptions import without_secrets
from . import foreign
from .connection import WRITE_BYTES, Connection, Incoming, Outgoing, connect, origin_of
from .decoding import inflater_for
from .errors import failure_of, translated
from .exchange import HTTPRequest, HTTPResponse, InflatedResponse
from .pool import Lease, Origin, Pool, PoolStats
from .protocol import MAX_HEADER_BYTES, first_header_in, render_fields, render_head

logger: logging.Logger = logging.getLogger("tokenwire.http")

CONNECTING_AT_ONCE = 500  # to one origin; opening this many takes a slow core a second or two
HEADS_KEPT = 256  # rendered and checked request heads in the cache
MAX_REDIRECTS = 5

I = TypeVar("I", bound=Incoming)  # noqa: E741


class HTTPTransport(httpx.AsyncBaseTransport):
    """HTTP/1.1 over its own connection pool; the cost of a request does not grow with the number of requests in flight.

    Args:
        ssl_context: for https; by default, certificates are checked against certifi's list, as httpx does.
        max_connections: the most connections open at once, None for no limit; further requests wait.
        max_keepalive: the most idle connections, None for no limit.
        keepalive_expiry: seconds after which an idle connection is not used again, None for never.
        max_header_bytes: the most bytes in the head of a response.
        uds: the path of a Unix socket to connect to, whatever the URL's host.

        A transport belongs to the event loop it is first used in: asyncio's, uvloop's or trio's. It can be the transport of an
        `httpx.AsyncClient` or an `httpx2.AsyncClient`. It has no proxies and no HTTP/2.
    """

    def __init__(
        self,
        *,
        ssl_context: ssl.SSLContext | None = None,
        max_connections: int | None = 10_000,
        max_keepalive: int | None = None,
        keepalive_expiry: float | None = 60.0,
        max_header_bytes: int = MAX_HEADER_BYTES,
        uds: str | None = None,
    ) -> None:
        self._ssl_context = ssl_context
        self._max_header_bytes = max_header_bytes
        self._uds = uds
        self._new_pool: Callable[[], Pool[Connection]] = partial(
            Pool,
            max_connections=FOREVER if max_connections is None else max_connections,
            max_keepalive=FOREVER if max_keepalive is None else max_keepalive,
            keepalive_expiry=FOREVER if keepalive_expiry is None else keepalive_expiry,
        )
        self._pool = self._new_pool()
        self._head_of = lru_cache(HEADS_KEPT)(_head_of)
        self._connections: set[Connection] = set()  # all open ones, idle or in use
        self._turns: WeakValueDictionary[Origin, Pool[Connection]] = WeakValueDictionary()
        self._process = os.getpid()
        self._parents: object = None
        self._closed = False

    @property
    def stats(self) -> PoolStats:
        """The numbers of open and idle connections, and of requests that wait for one."""
        return self._pool.stats

    async def send(self, request: HTTPRequest, deadline: float) -> HTTPResponse:
        """See `Sender.send`. Follows redirects that keep the method, but only within the origin: no other host may get the key.

        A redirect to the name in the caller's own `host` header counts as the same origin.
        """
        try:
            url = request.url
            for _ in range(MAX_REDIRECTS + 1):
                incoming = await self.answer(self._outgoing(request, url, deadline), Incoming)
                location = _redirected(request.method, incoming, request.headers.get("host"))
                if location is None:
                    return _decompressed(incoming)
                incoming.close()
                url = location
            raise httpx.TooManyRedirects(f"more than {MAX_REDIRECTS} redirects")
        except Exception as error:
            raise failure_of(error, request.url, deadline) from error

    def _outgoing(self, request: HTTPRequest, url: str, deadline: float) -> Outgoing:
        origin, start = self._head_of(request.method, url, *request.headers, *request.headers.values())
        if request.trace:
            start += render_fields([(name.encode(), value.encode()) for name, value in request.trace.items()])
        body = request.body
        if request.method == "GET":
            data = start + b"\r\n"
        elif len(body) < WRITE_BYTES:
            data, body = b"%bcontent-length: %d\r\n\r\n%b" % (start, len(body), body), b""
        else:
            data = b"%bcontent-length: %d\r\n\r\n" % (start, len(body))
        method = request.method.encode("ascii")
        return Outgoing(
            *(origin, method, url, data, deadline, request.pool, request.connect, request.write), body=body, waits=request.waits
        )

    async def answer(self, outgoing: Outgoing, kind: type[I]) -> I:
        """Send a request and wait for the head of its response, an instance of `kind`.

        Raises:
            httpx.PoolTimeout, httpx.ConnectTimeout, httpx.WriteTimeout, httpx.ReadTimeout: that step took too long.
            httpx.ConnectError, httpx.WriteError, httpx.ReadError: connecting failed, or the connection broke.
            httpx.RemoteProtocolError: the response is not valid HTTP.
            RuntimeError: the transport is closed.
        """
        while True:
            lease = self._acquire(outgoing)
            connection = lease.connection
            if connection is None or lease.close:
                since = time.monotonic()
                connection = await self._obtain(lease, outgoing)
                if outgoing.waits is not None:
                    outgoing.waits.append(time.monotonic() - since)
            try:
                await connection.send(outgoing)
                await connection.read_head(outgoing.until(outgoing.read))
            except BaseException as error:
                again = _can_be_sent_again(outgoing, connection, error)
                self.give_back(connection)
                if again:
                    _, host, port = outgoing.origin
                    logger.debug(
                        "%s:%d had closed an idle connection: the request is sent again over another", host.decode(), port
                    )
                    continue
                raise
            return kind(connection, self, outgoing.url)

    def give_back(self, connection: Connection) -> None:
        """Put a connection back into the pool, or close it if it can't be reused. For its holder, in the loop's thread."""
        reusable = connection.reader.is_reusable()
        if reusable:
            connection.reset()
        else:
            self._discard([connection])
        surplus = self._pool.release(connection, reusable=reusable)
        if surplus:
            self._discard(surplus)

    async def warm(self, url: str, count: int = 1, *, timeout: float | None = 5.0) -> None:
        """Open connections in advance, so that later requests do not wait for them.

        Args:
            url: any URL of the origin.
            count: how many idle connections there should be.
            timeout: the most seconds to open one, None for no limit.

        Raises:
            httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, RuntimeError: as `answer`.
        """
        outgoing = Outgoing(origin_of(httpx.URL(url)), b"", url, b"", connect=timeout, pool=timeout)
        opened: list[Connection] = []
        errors: list[Exception] = []

        async def open_one() -> None:
            try:
                opened.append(await self._obtain(self._acquire(outgoing), outgoing))
            except (httpx.TransportError, RuntimeError) as error:
                errors.append(error)
                group.cancel_scope.cancel()

        try:
            async with anyio.create_task_group() as group:
                for _ in range(count):
                    group.start_soon(open_one)
        finally:
            for connection in opened:
                self.give_back(connection)
        if errors:
            raise errors.pop()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request of httpx or httpx2. The response and the exceptions are of the same library.

        Honours the `timeout` and `sni_hostname` extensions; raises as `answer` does.
        """
        return await foreign.answer(self.answer, request)

    async def aclose(self) -> None:
        """Close all connections; readers of those in use get `httpx.ReadError`. Completes even when cancelled."""
        self._closed = True
        self._leave_to_parent()
        self._discard(self._pool.close())
        for connection in self._connections:
            connection.abort()  # the holder keeps it, finds it closed and gives it back
        await lowlevel.cancel_shielded_checkpoint()  # lets asyncio close the sockets

    def _acquire(self, outgoing: Outgoing) -> Lease[Connection]:
        """A lease for a connection for this request: an idle one, or a new one when there is room."""
        self._leave_to_parent()
        return self._pool.acquire(outgoing.origin)

    async def _obtain(self, lease: Lease[Connection], outgoing: Outgoing) -> Connection:
        """The connection of a lease: wait until it is granted, close evicted connections, and open one if needed."""
        try:
            if not lease.granted:
                await _granted(lease, outgoing, "no free connection")
                if lease.connection is not None and not lease.connection.is_idle():
                    # The server closed it between the grant and now. We open a new one in its place.
                    lease.close += (lease.connection,)
                    lease.connection = None
            if lease.close:
                self._discard(lease.close)
            return lease.connection or await self._connect(outgoing)
        except BaseException:
            self._discard(self._pool.abandon(lease))
            raise

    async def _connect(self, outgoing: Outgoing) -> Connection:
        """A new connection. Limits concurrent connects per origin: thousands at once would time out waiting for each other."""
        turns = self._turns.get(outgoing.origin)
        if turns is None:
            turns = self._turns[outgoing.origin] = Pool(max_connections=CONNECTING_AT_ONCE)
        turn = turns.acquire(outgoing.origin)
        try:
            if not turn.granted:
                await _granted(turn, outgoing, "no turn to connect")
            self._require_open()
            connection = await connect(
                outgoing,
                ssl_context=self._context() if outgoing.origin[0] == b"https" else None,
                uds=self._uds,
                max_header_bytes=self._max_header_bytes,
            )
        finally:
            turns.abandon(turn)
        if self._closed:
            connection.abort()
            self._require_open()
        self._connections.add(connection)
        return connection

    def _leave_to_parent(self) -> None:
        """After a fork, in the child: start without connections. The open ones, and the responses on them, are the parent's.

        They are kept untouched: closing them would stop the parent's reading, as both processes share the selector.
        """
        if self._process == os.getpid():
            return
        self._parents = self._parents, self._pool, self._connections
        self._pool, self._connections, self._process = self._new_pool(), set(), os.getpid()
        self._turns = WeakValueDictionary()

    def _require_open(self) -> None:
        if self._closed:
            raise RuntimeError("this HTTPTransport is closed")

    def _discard(self, connections: Iterable[Connection]) -> None:
        for connection in connections:
            self._connections.discard(connection)
            connection.abort()

    def _context(self) -> ssl.SSLContext:
        if self._ssl_context is None:
            self._ssl_context = httpx.create_ssl_context()
            self._ssl_context.set_alpn_protocols(["http/1.1"])
        return self._ssl_context


def _head_of(method: str, url: str, *headers: str) -> tuple[Origin, bytes]:
    """A request's origin, and the start of its head: all but `content-length` and the empty line.

    `headers` has all names, then all values, so different headers are different keys of the cache. Raises as `origin_of`
    and `checked_head` do.
    """
    parsed = httpx.URL(url)
    texts = [text.encode() for text in headers]
    fields = {b"host": parsed.netloc}  # first, as RFC 9110 (7.2) recommends; the caller's own replaces it
    fields.update(zip(texts[: len(texts) // 2], texts[len(texts) // 2 :], strict=True))
    return origin_of(parsed), render_head(method.encode(), parsed.raw_path, fields.items())[:-2]


async def _granted(lease: Lease[Any], outgoing: Outgoing, reason: str) -> None:
    """Wait until a lease is granted, at most `outgoing.pool` seconds."""
    flag = _loops.flag()
    lease.on_grant = flag.set
    started = time.monotonic()
    if not await flag.wait(outgoing.until(outgoing.pool)) and not lease.granted:
        raise httpx.PoolTimeout(f"{reason} within {time.monotonic() - started:.3g} s")


def _can_be_sent_again(outgoing: Outgoing, connection: Connection, error: BaseException) -> bool:
    """Whether the server closed an idle connection while our request was being sent, so that it did not process it."""
    return (
        connection.was_idle
        and isinstance(error, httpx.WriteError | httpx.ReadError | httpx.RemoteProtocolError)
        and not connection.reader.has_begun()
        and isinstance(outgoing.body, bytes)
    )


def _decompressed(incoming: Incoming) -> HTTPResponse:
    """The response; its body is decompressed while it is read."""
    try:
        inflater = inflater_for(first_header_in(incoming.head, b"content-encoding") or "identity")
    except BaseException:
        incoming.close()
        raise
    return incoming if inflater is None else InflatedResponse(incoming, inflater)


def _redirected(method: str, incoming: Incoming, host: str | None) -> str | None:
    """The URL to send the request to instead; None if this is not a redirect that is followed.

    Args:
        host: the caller's own `host` header: the name by which the server may refer to itself.
    """
    status = incoming.status
    if status not in (307, 308) and not (method == "GET" and status in (301, 302, 303)):
        return None
    location = first_header_in(incoming.head, b"location")
    if location is None:
        return None
    try:
        url = httpx.URL(incoming.url)
        target = url.join(location)
        if host is not None and origin_of(target) == origin_of(httpx.URL(f"{url.scheme}://{host}")):
            target = url.copy_with(raw_path=target.raw_path)
        return str(target) if origin_of(target) == origin_of(url) else None
    except (httpx.InvalidURL, httpx.UnsupportedProtocol):
        return None


async def warm(transport: HTTPTransport, url: str, count: int) -> None:
    """`HTTPTransport.warm`, raising our exceptions."""
    try:
        await transport.warm(url, count)
    except Exception as error:
        ours = translated(error, url)
        ours.add_note(f"The connections were to {without_secrets(url)}")
        raise ours from error
