"""Sockets on trio: non-blocking sockets of the standard library; trio only waits for them.

trio's own streams go through its scheduler twice for each read, and have no public way to read without waiting. The
standard library's sockets have one, and so does its in-memory TLS: `take` costs no coroutine.
"""

import socket
import ssl
from collections.abc import Awaitable, Callable

import httpx
import trio

from .._reading import FOREVER
from .trio_waits import scope_until

READ_BYTES = 64 * 1024
HAPPY_EYEBALLS_DELAY = 0.25
_NOTHING = memoryview(b"")
_NOT_YET = (BlockingIOError, InterruptedError)


class TrioSocket:
    """A connected socket; see `_loops.Socket`."""

    __slots__ = ("__weakref__", "_read", "_socket", "_token", "_unsent")

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._token = trio.lowlevel.current_trio_token()
        self._read: bytes | None = None  # read by `is_idle`; or b"" after the end
        self._unsent = _NOTHING

    def take(self) -> bytes | None:
        """See `Socket.take`."""
        data = self._read
        if data is None:
            try:
                data = self._receive()
            except (OSError, ValueError) as error:
                raise httpx.ReadError(_reason(error)) from error
        self._read = None if data else data  # b"" is returned again by every later call
        return data

    async def wait(self, deadline: float) -> bool:
        """See `Socket.wait`."""
        if self._read is None:
            try:
                return await _wait(trio.lowlevel.wait_readable, self._socket, deadline)
            except (trio.ClosedResourceError, OSError, ValueError):
                pass  # the socket is closed: `take` will raise
        return True

    def write(self, data: bytes) -> bool:
        """See `Socket.write`."""
        self._unsent = memoryview(data)
        return self._send()

    async def drain(self, deadline: float) -> None:
        """See `Socket.drain`."""
        try:
            while not self._send():
                if not await _wait(trio.lowlevel.wait_writable, self._socket, deadline):
                    raise httpx.WriteTimeout("the request could not be sent in time")
        except (trio.ClosedResourceError, OSError, ValueError) as error:
            raise httpx.WriteError(_reason(error)) from error

    def is_idle(self) -> bool:
        """See `Socket.is_idle`."""
        try:
            self._read = self.take()
        except httpx.ReadError:  # closed by either side
            return False
        return self._read is None

    def abort(self) -> None:
        """See `Socket.abort`."""
        try:
            trio.lowlevel.notify_closing(self._socket)
        except (RuntimeError, OSError, ValueError):
            pass  # trio's run has ended, or the socket is closed already
        self._socket.close()

    def drop(self) -> None:
        """See `Socket.drop`. trio refers only to sockets that are being waited for."""
        self._socket.close()

    def call_soon(self, callback: Callable[[], object]) -> None:
        """See `Socket.call_soon`."""
        try:
            self._token.run_sync_soon(callback)
        except trio.RunFinishedError:
            callback()

    def extra_info(self, name: str) -> object:
        """See `Socket.extra_info`."""
        if name == "socket":
            return self._socket
        if name in ("server_addr", "client_addr"):
            return self._socket.getpeername() if name == "server_addr" else self._socket.getsockname()
        return None

    def _receive(self) -> bytes | None:
        """The data that has arrived; b"" at the end, None if nothing has arrived."""
        try:
            return self._socket.recv(READ_BYTES)
        except _NOT_YET:
            return None

    def _send(self) -> bool:
        """Send as much as the kernel has room for. Returns whether that was all."""
        unsent, self._unsent = self._unsent, _NOTHING
        try:
            while unsent:
                unsent = unsent[self._socket.send(unsent) :]
        except _NOT_YET:
            self._unsent = unsent
            return False
        except (OSError, ValueError) as error:
            raise httpx.WriteError(_reason(error)) from error
        return True


class TLSSocket(TrioSocket):
    """A connected socket that speaks TLS."""

    __slots__ = ("_incoming", "_outgoing", "_tls")

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, server_name: str) -> None:
        super().__init__(sock)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name)

    async def shake_hands(self) -> None:
        """Do the TLS handshake. Raises OSError, of which `ssl.SSLError` is a subclass."""
        done = False
        while not done:
            try:
                self._tls.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                pass
            super().write(self._outgoing.read())
            await self.drain(FOREVER)
            if not done:
                await trio.lowlevel.wait_readable(self._socket)
                self._decrypt()

    async def wait(self, deadline: float) -> bool:
        """See `Socket.wait`."""
        return bool(self._incoming.pending or self._tls.pending()) or await super().wait(deadline)

    def write(self, data: bytes) -> bool:
        """See `Socket.write`."""
        self._tls.write(data)
        return super().write(self._outgoing.read())

    def extra_info(self, name: str) -> object:
        """See `Socket.extra_info`."""
        return self._tls if name == "ssl_object" else super().extra_info(name)

    def _receive(self) -> bytes | None:
        while True:
            try:
                return self._tls.read(READ_BYTES)
            except ssl.SSLWantReadError:  # a record without data, such as a session ticket
                if not self._decrypt():
                    return None
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):  # most servers end without close_notify
                return b""

    def _decrypt(self) -> bool:
        """Feed TLS what has arrived. Returns whether anything has."""
        data = super()._receive()
        if data:
            self._incoming.write(data)
        elif data is not None:
            self._incoming.write_eof()
        return data is not None


async def _wait(wait: Callable[[socket.socket], Awaitable[None]], sock: socket.socket, deadline: float) -> bool:
    """Whether the socket became ready before the deadline."""
    with scope_until(deadline):
        await wait(sock)
        return True
    return False


def _reason(error: BaseException) -> str:
    """The message of the underlying error: trio's own messages only say that something failed."""
    cause = error.__cause__ or error
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]
    return str(cause) or type(cause).__name__


async def connect(
    path: str | None, host: str, port: int, ssl_context: ssl.SSLContext | None, server_name: str, deadline: float
) -> TrioSocket:
    """See `asyncio_sockets.connect`."""
    try:
        with scope_until(deadline):
            if path is None:
                stream = await trio.open_tcp_stream(host, port, happy_eyeballs_delay=HAPPY_EYEBALLS_DELAY)
            else:
                stream = await trio.open_unix_socket(path)
            return await _secured(stream.socket, ssl_context, server_name)
    except OSError as error:
        raise error if isinstance(error, ssl.SSLError) else OSError(_reason(error)) from error
    raise TimeoutError


async def _secured(connected: trio.socket.SocketType, ssl_context: ssl.SSLContext | None, server_name: str) -> TrioSocket:
    """The socket, taken out of trio's wrapper, after a TLS handshake if a context is given."""
    sock = socket.socket(connected.family, connected.type, connected.proto, fileno=connected.detach())
    try:
        sock.setblocking(False)
        if ssl_context is None:
            return TrioSocket(sock)
        secure = TLSSocket(sock, ssl_context, server_name)
        await secure.shake_hands()
        return secure
    except BaseException:
        sock.close()
        raise
