"""One HTTP/1.1 connection: a socket and the reader of its responses; and a response while its body is read from it."""

import socket
import ssl
import sys
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any, NoReturn, Protocol

import httpx
import msgspec

from .. import _loops
from .._reading import FOREVER, ready
from .errors import translated
from .exchange import HTTPResponse
from .pool import Origin
from .protocol import LAST_CHUNK, ResponseReader, State, headers_in, render_chunk
from .reasons import reason_of

DEFAULT_PORTS = {b"http": 80, b"https": 443}
WRITE_BYTES = 1024 * 1024  # the longest single write
ANSWER_SECONDS = 1.0  # to wait for the rest of a response that began before the whole request was sent
KEEPALIVE_PROBES = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))  # seconds, seconds, times


class Outgoing(msgspec.Struct, eq=False, gc=False):
    """A request, ready for the wire.

    Attributes:
        origin: scheme, host and port.
        method: HEAD's response has no body.
        url: for error messages.
        data: what is written first: the request line, the headers, and the body if it is short.
        deadline: the time of `_loops.clock` by which the response's head must have arrived.
        pool, connect, write, read: the most seconds to wait for a free connection, to open one, for each write of a long
        body, and for the response's head; None for no limit.
        body: the part of the body that is not in `data`, whole or in pieces.
        length: the size of the pieces together, as announced in the head; None if they are sent chunked.
        server_name: the name expected in the server's certificate, if not the origin's host.
        waits: a list to which the seconds spent waiting for a connection are appended; None if they are not needed.
    """

    origin: Origin
    method: bytes
    url: str
    data: bytes
    deadline: float = FOREVER
    pool: float | None = None
    connect: float | None = None
    write: float | None = None
    read: float | None = None
    body: bytes | AsyncIterable[bytes] = b""
    length: int | None = None
    server_name: str | None = None
    waits: list[float] | None = None

    def until(self, seconds: float | None) -> float:
        """The deadline of a step that begins now: `seconds` from now, or the request's deadline if that is sooner."""
        return self.deadline if seconds is None else min(self.deadline, _loops.now() + seconds)

    def __repr__(self) -> str:
        return f"<Outgoing to {self.origin}>"  # without `data`, which has the key in it


class Connection:
    """A connection to an origin, for one request after another.

    Attributes:
        origin: what it is connected to.
        reader: reads its responses.
        socket: what it reads from and writes to.
        was_idle: whether it has been idle before: then the server may close it just when it is used again.
    """

    __slots__ = ("__weakref__", "origin", "reader", "socket", "was_idle")

    def __init__(self, origin: Origin, sock: _loops.Socket, max_header_bytes: int) -> None:
        self.origin: Origin = origin
        self.reader: ResponseReader = ResponseReader(max_header_bytes=max_header_bytes)
        self.socket: _loops.Socket = sock
        self.was_idle: bool = False

    async def send(self, outgoing: Outgoing) -> None:
        """Send a request; all of it, unless the response arrives first.

        Raises:
            httpx.WriteTimeout, httpx.WriteError: it could not be sent.
        """
        self.reader.expect(outgoing.method)
        try:
            if not self.socket.write(outgoing.data):
                await self.socket.drain(outgoing.until(outgoing.write))
            if outgoing.body != b"":
                await self._send_body(outgoing)
        except httpx.WriteError:
            # A server may refuse a large body midway: it sends a response, then closes. That response counts, if the event
            # loop has read it before the write failed.
            if not await self._has_answer():
                raise

    async def read_head(self, deadline: float) -> None:
        """Read the head of the response, into `reader`.

        Raises:
            httpx.ReadTimeout, httpx.ReadError: no response came in time, or the connection broke.
            httpx.RemoteProtocolError: the response is not valid.
        """
        # Does not use `receive`: thousands of requests wait here at once, and each would need a second coroutine.
        reader, sock, in_time = self.reader, self.socket, True
        try:
            while reader.state is State.HEAD:
                data = sock.take()
                if data is not None:
                    self._feed(data)
                elif in_time:
                    in_time = await sock.wait(deadline)
                else:
                    raise httpx.ReadTimeout("nothing arrived in time")
            if not reader.status:  # `abort` ended the wait
                reader.end()
        except httpx.RemoteProtocolError:
            if not reader.status:
                raise  # otherwise only the body is broken: reading it raises

    def take(self) -> bytes | None:
        """The next bytes of the body; b"" when it is complete, None if none have arrived. Raises as `read_head` does."""
        reader = self.reader
        pieces = reader.pieces
        while not pieces:
            if reader.state is not State.BODY:
                return reader.end()
            data = self.socket.take()
            if data is None:
                return None
            try:
                if data:
                    reader.feed_data(data)
                else:
                    reader.feed_eof()
            except httpx.RemoteProtocolError:
                if not pieces:
                    raise  # otherwise the next call raises, after the bytes that arrived before
        return pieces.pop() if len(pieces) == 1 else reader.take_body()

    def wait(self, deadline: float) -> Awaitable[bool]:
        """See `Readable.wait`."""
        reader = self.reader
        return ready() if reader.pieces or reader.state is not State.BODY else self.socket.wait(deadline)

    def is_idle(self) -> bool:
        """Whether the connection can be used for a request: it is open, and nothing has arrived on it."""
        return self.reader.is_clean() and self.socket.is_idle()

    def reset(self) -> None:
        """Make the connection idle, once its response is no longer needed."""
        self.reader.reset()
        self.was_idle = True

    def abort(self) -> None:
        """Close at once; a task that waits for a response on it gets `httpx.ReadError`."""
        self.reader.close()
        self.socket.abort()

    def __del__(
        self, _is_finalizing: Callable[[], bool] = sys.is_finalizing
    ) -> None:  # a default: modules may be empty by then
        # Dropping a client drops its pool, and so its idle connections; but the event loop still refers to their sockets.
        if not (self.reader.is_closed() or _is_finalizing()):
            self.socket.drop()

    def _feed(self, data: bytes) -> None:
        if data:
            self.reader.feed_data(data)
        else:
            self.reader.feed_eof()

    async def _has_answer(self) -> bool:
        try:
            await self.read_head(_loops.now() + ANSWER_SECONDS)
        except httpx.TransportError:
            return False
        return True

    async def _write(self, data: bytes, outgoing: Outgoing) -> None:
        """One write of several; each may take `outgoing.write` seconds."""
        if not self.socket.write(data):
            await self.socket.drain(outgoing.until(outgoing.write))

    async def _send_body(self, outgoing: Outgoing) -> None:
        body = outgoing.body
        if isinstance(body, bytes):
            for start in range(0, len(body), WRITE_BYTES):
                await self._write(body[start : start + WRITE_BYTES], outgoing)
            return
        pieces = aiter(body)
        try:
            await self._send_pieces(pieces, outgoing)
        finally:
            if isinstance(pieces, AsyncGenerator):
                await pieces.aclose()  # close it now, not when it is garbage collected

    async def _send_pieces(self, pieces: AsyncIterator[bytes], outgoing: Outgoing) -> None:
        left = outgoing.length
        async for piece in pieces:
            if left is not None:
                left -= len(piece)
                if left < 0:
                    raise httpx.LocalProtocolError(
                        f"the request's body is longer than its content-length, {outgoing.length} bytes"
                    )
            data = render_chunk(piece) if left is None else piece
            if data:
                await self._write(data, outgoing)
        if left is None:
            await self._write(LAST_CHUNK, outgoing)
        elif left:
            raise httpx.LocalProtocolError(f"the request's body is {left} bytes shorter than its content-length")


class Owner(Protocol):
    """Takes a connection back when its response has ended, or its rest is not needed: the transport."""

    def give_back(self, connection: Connection) -> None:
        """Keep the connection for another request, or close it."""
        ...


class Incoming(HTTPResponse):
    """A response over one of our connections; its body is not decompressed.

    Args:
        connection: the connection that it is read from.
        owner: takes the connection back. Not a bound method, which would be one more object for each open stream.
        url: the URL that was requested.
    """

    __slots__ = ("_connection", "_owner", "head")

    def __init__(self, connection: Connection, owner: Owner, url: str) -> None:
        super().__init__(connection.reader.status, url)
        self.head: bytes = connection.reader.head
        self._connection: Connection | None = connection
        self._owner: Owner | None = owner

    def raw_headers(self) -> list[tuple[bytes, bytes]]:
        """See `HTTPResponse`; parsed anew by each call."""
        return headers_in(self.head)

    def take(self) -> bytes | None:
        """See `HTTPResponse`. Gives the connection back at the end."""
        connection = self._connection
        if connection is None:
            return b""
        try:
            data = connection.take()
        except Exception as error:
            self.close()
            self.fail(error)
            raise
        if data == b"":
            self.close()
        return data

    def wait(self, deadline: float) -> Awaitable[bool]:
        """See `HTTPResponse`."""
        return ready() if self._connection is None else self._connection.wait(deadline)

    def fail(self, error: Exception) -> NoReturn:
        """Raise our exception for an error of the connection."""
        raise translated(error, self.url) from error

    def close(self) -> None:
        """Give the connection back at once: to the pool if the body was read to its end, else the connection is closed."""
        connection, owner = self._connection, self._owner
        self._connection = self._owner = None  # so that a response kept for its headers does not keep the client's pool alive
        if connection is not None and owner is not None:
            owner.give_back(connection)

    async def aclose(self) -> None:
        """See `HTTPResponse`."""
        self.close()

    def __del__(self) -> None:
        # Dropped before its end: close the connection now, so the server stops. But this may run in any thread, at any point.
        if self._connection is not None and self._owner is not None:
            self._connection.socket.call_soon(partial(self._owner.give_back, self._connection))


def origin_of(url: httpx.URL) -> Origin:
    """Scheme, host and port of a URL.

    Raises:
        httpx.UnsupportedProtocol: the scheme is neither http nor https.
    """
    scheme = url.raw_scheme
    if scheme not in DEFAULT_PORTS:
        raise httpx.UnsupportedProtocol("the URL must start with http:// or https://")
    return scheme, url.raw_host, url.port or DEFAULT_PORTS[scheme]


async def connect(
    outgoing: Outgoing, *, ssl_context: ssl.SSLContext | None, uds: str | None, max_header_bytes: int
) -> Connection:
    """Open a connection for a request.

    Raises:
        httpx.ConnectTimeout: it took longer than `outgoing.connect`.
        httpx.ConnectError: no server answered, or TLS failed; the cause says why.
    """
    _, host, port = outgoing.origin
    name = host.decode("ascii")
    deadline = outgoing.until(outgoing.connect)
    try:
        sock = await _loops.sockets().connect(uds, name, port, ssl_context, outgoing.server_name or name, deadline)
    except TimeoutError:  # our deadline, or the operating system's time-out
        raise httpx.ConnectTimeout(f"no connection to {name}:{port} in time") from None
    except (OSError, ValueError, OverflowError) as error:  # the latter two: an invalid host name or port
        raise httpx.ConnectError(reason_of(error)) from error
    if uds is None and sock.is_idle():  # otherwise it has ended already, and may have no socket any more
        set_options(sock.extra_info("socket"))
    return Connection(outgoing.origin, sock, max_header_bytes)


def set_options(sock: Any) -> None:
    """Send small writes at once (TCP_NODELAY), and detect a peer that is gone (keep-alive probes)."""
    options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    options += [(socket.IPPROTO_TCP, getattr(socket, name), value) for name, value in KEEPALIVE_PROBES if hasattr(socket, name)]
    try:
        for option in options:
            sock.setsockopt(*option)
    except OSError:
        pass  # the connection is broken already: its first use will raise
