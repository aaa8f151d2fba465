"""One HTTP/1.1 connection: a socket and the reader of its responses."""

import socket
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable
from typing import Any, Protocol

import anyio
import httpx
import msgspec
from anyio import lowlevel

from .pool import Origin
from .protocol import LAST_CHUNK, ResponseReader, State, render_chunk

FOREVER = float("inf")
WRITE_BYTES = 1024 * 1024  # the longest single write
ANSWER_SECONDS = 1.0  # how long an answer may take that came before the request was sent to its end
KEEPALIVE_PROBES = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))  # seconds, seconds, times


class Socket(Protocol):
    """What a connection needs of a loop's sockets; `_asyncio.AsyncioSocket` and `_trio.TrioSocket` are it."""

    def take(self) -> bytes | None:
        """The bytes that have arrived, or the first of them; b"" at the end, None while there are none.

        Raises:
            httpx.ReadError: the connection broke.
        """
        ...

    def wait(self, deadline: float) -> Awaitable[bool]:
        """Wait until `take` has something else to say than None, which it may have already.

        `deadline` is a value of `time.monotonic()`; False says that it passed first. What goes wrong, `take` says.
        """
        ...

    async def send(self, data: bytes, timeout: float | None) -> None:
        """Write all of `data`; waits while the kernel has no room.

        Raises:
            httpx.WriteTimeout: no room within `timeout` seconds.
            httpx.WriteError: the connection broke.
        """
        ...

    def is_quiet(self) -> bool:
        """Whether the connection is open and nothing has arrived on it."""
        ...

    def abort(self) -> None:
        """Close at once, without a goodbye. Safe from any state; whoever is receiving stops."""
        ...

    def hand_over(self, callback: Callable[[], object]) -> None:
        """Have something done by the event loop, soon; from any thread, and from within anything."""
        ...

    def extra_info(self, name: str) -> Any:
        """By httpcore's names: "socket", "ssl_object", "server_addr", "client_addr"."""
        ...


class Outgoing(msgspec.Struct, kw_only=True, eq=False, gc=False):
    """A request, ready for the wire.

    Attributes:
        origin: scheme, host and port.
        url: for messages.
        head: request line and headers, as `render_head` gives them.
        body: the whole body, or its pieces.
        length: how many bytes the head says that the pieces have; None where they are sent chunked.
        pool, connect, write, read: seconds that each of these may take, None for ever: to wait for a connection, to open
            one, a write of several for a long body, and the wait for the response's head.
        deadline: until when all of it must be over, as `time.monotonic()` counts.
    """

    origin: Origin
    url: str
    method: bytes
    head: bytes
    body: bytes | AsyncIterable[bytes] = b""
    length: int | None = None
    pool: float | None = None
    connect: float | None = None
    write: float | None = None
    read: float | None = None
    deadline: float = FOREVER
    server_name: str | None = None

    def at_most(self, seconds: float | None) -> float | None:
        """How long a step that begins now may take: its own `seconds`, or what is left of the deadline if that is less."""
        if self.deadline == FOREVER:
            return seconds
        left = self.deadline - time.monotonic()
        return left if seconds is None or left < seconds else seconds

    def __repr__(self) -> str:
        return f"<Outgoing {self.method.decode()} to {self.origin}>"  # no head: the key is in it


class Connection:
    """A connection to an origin, for one request after another.

    Attributes:
        origin: what it is connected to.
        reader: reads its responses.
        was_idle: whether it has been idle, so that the server may close it just when it is used again.
    """

    __slots__ = ("__weakref__", "_socket", "origin", "reader", "was_idle")

    def __init__(self, origin: Origin, sock: Socket, max_header_bytes: int) -> None:
        self.origin: Origin = origin
        self.reader: ResponseReader = ResponseReader(max_header_bytes=max_header_bytes)
        self.was_idle: bool = False
        self._socket = sock

    async def request(self, outgoing: Outgoing) -> None:
        """Send a request and read the head of its response, into `reader`.

        Raises:
            httpx.WriteTimeout, httpx.WriteError: it could not be sent.
            httpx.ReadTimeout, httpx.ReadError: no response came in time, or the connection broke.
            httpx.RemoteProtocolError: the response is none.
        """
        self.reader.expect(outgoing.method)
        try:
            await self._send(outgoing)
        except httpx.WriteError:
            # A server may refuse a large body in the middle, and say so before it closes: then that is the answer,
            # if the event loop has read it before its write failed.
            if not await self._has_answer():
                raise
        try:
            deadline = outgoing.deadline
            if outgoing.read is not None:
                deadline = min(deadline, time.monotonic() + outgoing.read)
            while self.reader.state is State.HEAD:
                await self._read(deadline)
        except httpx.RemoteProtocolError:
            if not self.reader.status:
                raise  # else only the body is broken, as whoever reads it will find

    def take(self) -> bytes | None:
        """The next bytes of the body; b"" when it is complete, None while none are there. Raises as `request` does for reading."""
        reader = self.reader
        while not reader.pieces:
            if reader.state is not State.BODY:
                return reader.end()
            data = self._socket.take()
            if data is None:
                return None
            try:
                if data:
                    reader.feed_data(data)
                else:
                    reader.feed_eof()
            except httpx.RemoteProtocolError:
                if not reader.pieces:
                    raise  # else the next call does, behind the body that came before
        return reader.take_body()

    def wait(self, deadline: float) -> Awaitable[bool]:
        """As `Socket.wait`, for `take`."""
        reader = self.reader
        return ready() if reader.pieces or reader.state is not State.BODY else self._socket.wait(deadline)

    def is_quiet(self) -> bool:
        """Whether it is open and nothing has arrived on it, so that it can carry a request."""
        return self.reader.is_clean() and self._socket.is_quiet()

    def rest(self) -> None:
        """Its response is done with, and it waits for another request."""
        self.reader.rest()
        self.was_idle = True

    def abort(self) -> None:
        """Close at once; whoever is waiting for a response on it gets `httpx.ReadError`."""
        self.reader.close()
        self._socket.abort()

    def hand_over(self, callback: Callable[[], object]) -> None:
        """Have something done by the event loop, soon; from any thread, and from within anything."""
        self._socket.hand_over(callback)

    def extra_info(self, name: str) -> Any:
        """What httpcore's network streams tell: "socket", "ssl_object", "server_addr", "client_addr"."""
        return self._socket.extra_info(name)

    async def _send(self, outgoing: Outgoing) -> None:
        body = outgoing.body
        if isinstance(body, bytes) and len(body) < WRITE_BYTES:
            await self._socket.send(outgoing.head + body, outgoing.at_most(outgoing.write))
            return
        await self._socket.send(outgoing.head, outgoing.at_most(outgoing.write))
        if isinstance(body, bytes):
            for start in range(0, len(body), WRITE_BYTES):  # each with a timeout of its own
                await self._socket.send(body[start : start + WRITE_BYTES], outgoing.at_most(outgoing.write))
            return
        pieces = aiter(body)
        try:
            await self._send_pieces(pieces, outgoing)
        finally:
            if isinstance(pieces, AsyncGenerator):
                await pieces.aclose()  # left in the middle, it is not to wait for the garbage collector

    async def _send_pieces(self, pieces: AsyncIterator[bytes], outgoing: Outgoing) -> None:
        left = outgoing.length
        async for piece in pieces:
            if left is not None:
                left -= len(piece)
                if left < 0:
                    raise httpx.LocalProtocolError(f"the request's body has more than the {outgoing.length} bytes announced")
            data = render_chunk(piece) if left is None else piece
            if data:
                await self._socket.send(data, outgoing.at_most(outgoing.write))
        if left is None:
            await self._socket.send(LAST_CHUNK, outgoing.at_most(outgoing.write))
        elif left:
            raise httpx.LocalProtocolError(f"the request's body has {left} bytes less than announced")

    async def _has_answer(self) -> bool:
        deadline = time.monotonic() + ANSWER_SECONDS
        try:
            while self.reader.state is State.HEAD:
                await self._read(deadline)
        except httpx.TransportError:
            return False
        return True

    async def _read(self, deadline: float) -> None:
        in_time = True
        while (data := self._socket.take()) is None:
            if not in_time:
                raise httpx.ReadTimeout("nothing arrived in time")
            in_time = await self._socket.wait(deadline)
        if data:
            self.reader.feed_data(data)
        else:
            self.reader.feed_eof()


async def ready() -> bool:
    """What `wait` returns where there is nothing to wait for."""
    return True


async def connect(
    outgoing: Outgoing, *, ssl_context: ssl.SSLContext | None, uds: str | None, max_header_bytes: int
) -> Connection:
    """Open a connection for a request.

    Raises:
        httpx.ConnectTimeout: it took longer than `outgoing.connect`.
        httpx.ConnectError: nobody answered, or TLS failed; the cause says why.
    """
    _, host, port = outgoing.origin
    name = host.decode("ascii")
    rooms = _rooms()
    try:
        with anyio.fail_after(outgoing.at_most(outgoing.connect)):
            server_name = outgoing.server_name or name
            if uds is not None:
                sock = await rooms.connect_unix(uds, ssl_context, server_name)
            else:
                sock = await rooms.connect_tcp(name, port, ssl_context, server_name, set_options)
    except TimeoutError:  # ours, or the system's own
        raise httpx.ConnectTimeout(f"no connection to {name}:{port} in time") from None
    except (OSError, ValueError, OverflowError) as error:  # the latter two: a name or a port that can be none
        raise httpx.ConnectError(str(error) or type(error).__name__) from error
    return Connection(outgoing.origin, sock, max_header_bytes)


def _rooms() -> Any:
    """The sockets of the event loop that is running."""
    if lowlevel.current_token().backend_class.__module__.endswith("_trio"):
        from . import _trio

        return _trio
    from . import _asyncio

    return _asyncio


def set_options(sock: Any) -> None:
    """Send small writes at once, and find out when the peer is gone although nothing is said."""
    options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    options += [(socket.IPPROTO_TCP, getattr(socket, name), value) for name, value in KEEPALIVE_PROBES if hasattr(socket, name)]
    try:
        for option in options:
            sock.setsockopt(*option)
    except OSError:
        pass  # the connection is broken already, as its first use will tell
