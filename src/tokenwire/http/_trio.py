"""Sockets on trio, by trio's own streams."""

import socket
import ssl
import time
from collections.abc import Callable
from typing import Any

import httpx
import trio

READ_BYTES = 64 * 1024
HAPPY_EYEBALLS_DELAY = 0.25
FOREVER = float("inf")


class TrioSocket:
    """A connected socket; see `connection.Socket`."""

    def __init__(self, stream: Any, sock: Any) -> None:
        self._stream = stream
        self._socket = sock
        self._tls: Any = getattr(stream, "_ssl_object", None)  # there is no public way to look at it without waiting
        self._token = trio.lowlevel.current_trio_token()
        self._read: bytes | None = None
        self._error: BaseException | None = None

    def take(self) -> bytes | None:
        """See `Socket.take`."""
        if self._error is not None:
            raise httpx.ReadError(_reason(self._error)) from self._error
        data = self._read
        if data:  # the end is there to stay
            self._read = None
        return data

    async def wait(self, deadline: float) -> bool:
        """See `Socket.wait`."""
        if self._read is not None or self._error is not None:
            return True
        try:
            if deadline == FOREVER:
                self._read = bytes(await self._stream.receive_some(READ_BYTES))
                return True
            with trio.move_on_after(max(0.0, deadline - time.monotonic())):
                self._read = bytes(await self._stream.receive_some(READ_BYTES))
                return True
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError) as error:
            self._error = error
            return True
        return False

    async def send(self, data: bytes, timeout: float | None) -> None:
        """See `Socket.send`."""
        try:
            with trio.move_on_after(FOREVER if timeout is None else timeout):
                await self._stream.send_all(data)
                return
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError) as error:
            raise httpx.WriteError(_reason(error)) from error
        raise httpx.WriteTimeout("the request could not be sent in time")

    def is_quiet(self) -> bool:
        """See `Socket.is_quiet`."""
        try:
            if self._tls is None:
                self._socket._sock.recv(1, socket.MSG_PEEK)
            elif self._take_in():
                self._tls.read(1)
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        except OSError:  # it is closed, by whomever
            pass
        return False

    def _take_in(self) -> bool:
        """Give TLS what has come for it: session tickets, say, which are no response. Whether the peer may send more."""
        try:
            data = self._socket._sock.recv(READ_BYTES)
        except BlockingIOError:
            return True
        self._stream._incoming.write(data)
        return len(data) > 0

    def abort(self) -> None:
        """See `Socket.abort`."""
        try:
            self._socket.close()
        except RuntimeError:  # trio's run is over
            self._socket._sock.close()

    def hand_over(self, callback: Callable[[], object]) -> None:
        """See `Socket.hand_over`."""
        try:
            self._token.run_sync_soon(callback)
        except trio.RunFinishedError:
            callback()

    def extra_info(self, name: str) -> Any:
        """See `Socket.extra_info`."""
        if name == "socket":
            return self._socket
        if name == "ssl_object":
            return self._tls
        if name in ("server_addr", "client_addr"):
            return self._socket.getpeername() if name == "server_addr" else self._socket.getsockname()
        return None


def _reason(error: BaseException) -> str:
    """What went wrong, in the words of the error underneath: trio's own only say that something did."""
    cause = error.__cause__ or error
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]
    return str(cause) or type(cause).__name__


async def connect_tcp(
    host: str, port: int, ssl_context: ssl.SSLContext | None, server_name: str, set_options: Callable[[Any], None]
) -> TrioSocket:
    """Connect as the asyncio room's `connect_tcp` does, and raise what that raises."""
    try:
        stream = await trio.open_tcp_stream(host, port, happy_eyeballs_delay=HAPPY_EYEBALLS_DELAY)
    except OSError as error:
        raise OSError(_reason(error)) from error
    set_options(stream.socket)
    return await _secured(stream, ssl_context, server_name)


async def connect_unix(path: str, ssl_context: ssl.SSLContext | None, server_name: str) -> TrioSocket:
    """Connect to a Unix socket; raises OSError."""
    return await _secured(await trio.open_unix_socket(path), ssl_context, server_name)


async def _secured(stream: trio.SocketStream, ssl_context: ssl.SSLContext | None, server_name: str) -> TrioSocket:
    if ssl_context is None:
        return TrioSocket(stream, stream.socket)
    secure = trio.SSLStream(stream, ssl_context, server_hostname=server_name, https_compatible=True)
    try:
        await secure.do_handshake()
    except BaseException as error:
        stream.socket.close()
        if isinstance(error, trio.BrokenResourceError):
            raise OSError(_reason(error)) from error
        raise
    return TrioSocket(secure, stream.socket)
