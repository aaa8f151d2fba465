"""The transport: requests in, responses out, over a pool of connections.

`HTTPTransport` is an `httpx.AsyncBaseTransport`, so an `httpx.AsyncClient` can stand on it. The library's own calls take
the shorter way in, `send`, which skips httpx's request and response objects.

A connection is in exactly one place: in the pool, or with the `Incoming` response that reads from it. Whoever has it
gives it back in one synchronous step, so cancellation finds no moment at which it is nobody's.
"""

import logging
import os
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from types import TracebackType
from typing import Any
from weakref import WeakValueDictionary

import anyio
import httpx
from anyio import lowlevel

from .connection import FOREVER, Connection, Outgoing, connect
from .pool import Lease, Origin, Pool, PoolStats
from .protocol import MAX_HEADER_BYTES, headers_in, reason_in, render_head

logger: logging.Logger = logging.getLogger("tokenwire.http")

CONNECTING_AT_ONCE = 500  # to one server; opened together, they take a second or two of a slow core
DEFAULT_PORTS = {b"http": 80, b"https": 443}


class Incoming:
    """A response whose head has arrived, and the connection its body comes over.

    Attributes:
        status, head, version: as in `ResponseReader`.
        wait: as `Socket.wait`, until `take` has said that the body is complete.
    """

    __slots__ = ("_connection", "_transport", "head", "status", "version", "wait")

    def __init__(self, connection: Connection, transport: "HTTPTransport") -> None:
        reader = connection.reader
        self.status: int = reader.status
        self.head: bytes = reader.head
        self.version: str = reader.version
        self.wait: Callable[[float], Awaitable[bool]] = connection.wait
        self._connection: Connection | None = connection
        self._transport = transport

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The response's headers, names and values as sent; read anew at each look."""
        return headers_in(self.head)

    def take(self) -> bytes | None:
        """The next bytes of the body as they came, not decompressed; b"" when it is complete, None while none are there.

        Raises:
            httpx.ReadError, httpx.RemoteProtocolError: the connection broke, or closed too early.
        """
        connection = self._connection
        if connection is None:
            return b""
        try:
            data = connection.take()
        except BaseException:
            self.close()
            raise
        if data == b"":
            self.close()
        return data

    async def receive(self, deadline: float) -> bytes:
        """The next bytes of the body, waiting for them; b"" when it is complete. Cancelled, it closes the response.

        Raises:
            httpx.ReadTimeout: nothing came before `deadline`, a value of `time.monotonic()`. The response stays open.
            httpx.ReadError, httpx.RemoteProtocolError: the connection broke, or closed too early.
        """
        in_time = True
        while (data := self.take()) is None:
            if not in_time:
                raise httpx.ReadTimeout("nothing arrived in time")
            try:
                in_time = await self.wait(deadline)
            except BaseException:
                self.close()
                raise
            if self._connection is None:
                raise httpx.ReadError("the response was closed while it was read")
        return data

    def close(self) -> None:
        """Give the connection back: to the pool if its body was read to the end, else by closing it. At once."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._transport.give_back(connection)

    async def aclose(self) -> None:
        """`close`, for whoever takes bodies of any kind."""
        self.close()

    def __del__(self) -> None:
        # Dropped in the middle: the server is to know it now. But this may be any thread, or the middle of anything.
        if self._connection is not None:
            self._connection.hand_over(partial(self._transport.give_back, self._connection))

    def extra_info(self, name: str) -> Any:
        """As `Connection.extra_info`."""
        return None if self._connection is None else self._connection.extra_info(name)


class HTTPTransport(httpx.AsyncBaseTransport):
    """HTTP/1.1 over connections of its own, for thousands of requests in flight: each costs the same.

    Args:
        ssl_context: for https; without one, certificates are checked against certifi's list, as httpx does.
        max_connections: how many connections may be open; further requests wait their turn.
        max_keepalive: how many of them may stay open without a request.
        keepalive_expiry: seconds after which an idle connection is not used again.
        max_header_bytes: the longest head of a response.
        uds: the path of a Unix socket to connect to, whatever the URL's host.

    A transport belongs to the event loop it is first used in, asyncio's, uvloop's or trio's. Proxies and HTTP/2 are
    httpx's own transport's business.
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
        self.heads: dict[tuple[Any, ...], bytes] = {}  # of requests, rendered and checked; see `exchange`
        self._connections: set[Connection] = set()  # all that are open, idle or in use
        self._doors: WeakValueDictionary[Origin, anyio.Semaphore] = WeakValueDictionary()
        self._process = os.getpid()
        self._parents: Any = None
        self._closed = False

    @property
    def stats(self) -> PoolStats:
        """How many connections are open and idle, and how many requests wait for one."""
        return self._pool.stats

    async def send(self, outgoing: Outgoing) -> Incoming:
        """Send a request and wait for the head of its response.

        Raises:
            httpx.PoolTimeout, httpx.ConnectTimeout, httpx.WriteTimeout, httpx.ReadTimeout: that part took too long.
            httpx.ConnectError, httpx.WriteError, httpx.ReadError: no connection, or a broken one.
            httpx.RemoteProtocolError: the server answered with something that is not HTTP.
            RuntimeError: the transport is closed.
        """
        while True:
            connection = await self._connection(outgoing)
            try:
                await connection.request(outgoing)
            except BaseException as error:
                again = _can_be_sent_again(outgoing, connection, error)
                self.give_back(connection)
                if again:
                    _, host, port = outgoing.origin
                    logger.debug("%s:%d had closed a kept connection: the request goes over another", host.decode(), port)
                    continue
                raise
            return Incoming(connection, self)

    def give_back(self, connection: Connection) -> None:
        """Put a connection back into the pool, or close it if it can't be used again. For its holder, in the loop's thread."""
        reusable = connection.reader.is_reusable()
        if reusable:
            connection.rest()
        else:
            self._discard([connection])
        surplus = self._pool.release(connection, reusable=reusable)
        if surplus:
            self._discard(surplus)

    async def warm(self, url: str, count: int = 1, *, timeout: float | None = 5.0) -> None:
        """Open connections ahead, so that later requests find them.

        Args:
            url: anything at the origin.
            count: how many should be open and idle.
            timeout: seconds that opening one may take.

        Raises:
            httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, RuntimeError: as `send`.
        """
        outgoing = Outgoing(origin=origin_of(httpx.URL(url)), url=url, method=b"", head=b"", connect=timeout, pool=timeout)
        opened: list[Connection] = []
        errors: list[Exception] = []

        async def open_one() -> None:
            try:
                opened.append(await self._connection(outgoing))
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
        """httpx's way in. Honours the `timeout` and `sni_hostname` extensions; raises as `send`."""
        incoming = await self.send(outgoing_of(request))
        timeout = request.extensions.get("timeout", {}).get("read")
        return httpx.Response(
            incoming.status,
            headers=incoming.headers,
            stream=_Body(incoming, timeout),
            extensions={
                "http_version": b"HTTP/" + incoming.version.encode("ascii"),
                "reason_phrase": reason_in(incoming.head),
                "network_stream": _Info(incoming),
            },
        )

    async def aclose(self) -> None:
        """Close all connections: those in use too, whose readers get `httpx.ReadError`. Done even when cancelled."""
        self._closed = True
        self._leave_to_parent()
        self._discard(self._pool.close())
        for connection in self._connections:
            connection.abort()  # it is still its holder's, who finds it closed and gives it back
        await lowlevel.cancel_shielded_checkpoint()  # in which asyncio closes the sockets

    async def __aenter__(self) -> "HTTPTransport":
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self.aclose()

    async def _connection(self, outgoing: Outgoing) -> Connection:
        """A connection for this request: an idle one, or a new one when there is room."""
        self._leave_to_parent()
        lease = self._pool.acquire(outgoing.origin)
        try:
            if not lease.granted:
                await self._wait(lease, outgoing)
            if lease.close:
                self._discard(lease.close)
            return lease.connection or await self._connect(outgoing)
        except BaseException:
            self._discard(self._pool.abandon(lease))
            raise

    def _leave_to_parent(self) -> None:
        """In the child of a fork: begin without connections. Those that are open are the parent's, and so are its answers.

        They are kept, untouched: to close them would end the parent's reading, for both share what watches the sockets.
        """
        if self._process == os.getpid():
            return
        self._parents = self._parents, self._pool, self._connections
        self._pool, self._connections, self._process = self._new_pool(), set(), os.getpid()
        self._doors = WeakValueDictionary()

    async def _wait(self, lease: Lease[Connection], outgoing: Outgoing) -> None:
        granted = anyio.Event()
        lease.on_grant = granted.set
        seconds = outgoing.at_most(outgoing.pool)
        with anyio.move_on_after(seconds):
            await granted.wait()
        if not lease.granted:
            raise httpx.PoolTimeout(f"no free connection within {seconds:.3g} s")
        if lease.connection is not None and not lease.connection.is_quiet():
            # It ended between the grant and now. Its place is ours, for a new one.
            lease.close.append(lease.connection)
            lease.connection = None

    async def _enter(self, outgoing: Outgoing) -> anyio.Semaphore:
        """Wait for one's turn to connect to a server: of thousands at once, each would be late for the others' sake."""
        door = self._doors.get(outgoing.origin)
        if door is None:
            door = self._doors[outgoing.origin] = anyio.Semaphore(CONNECTING_AT_ONCE)
        try:
            door.acquire_nowait()
        except anyio.WouldBlock:
            seconds = outgoing.at_most(outgoing.pool)
            entered = False
            with anyio.move_on_after(seconds):
                await door.acquire()
                entered = True
            if not entered:
                raise httpx.PoolTimeout(f"no turn to connect within {seconds:.3g} s") from None
        return door

    async def _connect(self, outgoing: Outgoing) -> Connection:
        door = await self._enter(outgoing)
        try:
            self._require_open()
            connection = await connect(
                outgoing,
                ssl_context=self._context() if outgoing.origin[0] == b"https" else None,
                uds=self._uds,
                max_header_bytes=self._max_header_bytes,
            )
        finally:
            door.release()
        if self._closed:
            connection.abort()
            self._require_open()
        self._connections.add(connection)
        return connection

    def _require_open(self) -> None:
        if self._closed:
            raise RuntimeError("this HTTPTransport is closed")

    def _discard(self, connections: list[Connection]) -> None:
        for connection in connections:
            self._connections.discard(connection)
            connection.abort()

    def _context(self) -> ssl.SSLContext:
        if self._ssl_context is None:
            self._ssl_context = httpx.create_ssl_context()
            self._ssl_context.set_alpn_protocols(["http/1.1"])
        return self._ssl_context


def _can_be_sent_again(outgoing: Outgoing, connection: Connection, error: BaseException) -> bool:
    """Whether the server closed an idle connection while our request was on its way, and has seen none of it."""
    return (
        connection.was_idle
        and isinstance(error, httpx.WriteError | httpx.ReadError | httpx.RemoteProtocolError)
        and not connection.reader.has_begun()
        and isinstance(outgoing.body, bytes)
    )


class _Body(httpx.AsyncByteStream):
    """A response's body for httpx."""

    def __init__(self, incoming: Incoming, timeout: float | None) -> None:
        self._incoming = incoming
        self._timeout = timeout

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        deadline = FOREVER if self._timeout is None else time.monotonic() + self._timeout
        data = await self._incoming.receive(deadline)
        if not data:
            raise StopAsyncIteration
        return data

    async def aclose(self) -> None:
        self._incoming.close()


class _Info:
    """What httpx's `network_stream` extension is asked for: facts about the connection."""

    def __init__(self, incoming: Incoming) -> None:
        self._incoming = incoming

    def get_extra_info(self, info: str) -> Any:
        """As httpcore's network streams have it."""
        return self._incoming.extra_info(info)


def origin_of(url: httpx.URL) -> Origin:
    """Scheme, host and port of a URL.

    Raises:
        httpx.UnsupportedProtocol: the scheme is neither http nor https.
    """
    scheme = url.raw_scheme
    if scheme not in DEFAULT_PORTS:
        raise httpx.UnsupportedProtocol(f"the URL must start with http:// or https://: {url!r}")
    return scheme, url.raw_host, url.port or DEFAULT_PORTS[scheme]


def outgoing_of(request: httpx.Request) -> Outgoing:
    """An httpx request as the connection takes it.

    Raises:
        httpx.UnsupportedProtocol: see `origin_of`.
        httpx.LocalProtocolError: see `render_head`; or the headers announce another body than there is.
    """
    timeout = request.extensions.get("timeout", {})
    body: Any = request.stream
    try:
        body = request.content  # bytes at hand are sent with the head, and can be sent again
    except httpx.RequestNotRead:
        pass
    name = request.extensions.get("sni_hostname")
    method = request.method.encode("ascii", "replace")
    return Outgoing(
        origin=origin_of(request.url),
        url=str(request.url),
        method=method,
        head=render_head(method, request.url.raw_path, request.headers.raw),
        body=body,
        length=_announced_length(request.headers, body),
        pool=timeout.get("pool"),
        connect=timeout.get("connect"),
        write=timeout.get("write"),
        read=timeout.get("read"),
        server_name=name.decode("ascii") if isinstance(name, bytes) else name,
    )


def _announced_length(headers: httpx.Headers, body: Any) -> int | None:
    """The length of the body as its headers have it; None where it is chunked."""
    if "transfer-encoding" in headers:
        return None
    length = headers.get("content-length", "0")
    if not length.isdecimal() or (isinstance(body, bytes) and int(length) != len(body)):
        raise httpx.LocalProtocolError(f"the request's content-length is {length[:20]!r}, which its body has not")
    return int(length)
