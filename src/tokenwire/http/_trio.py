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
    """A connected socket."""

    def __init__(self, stream: Any, sock: Any) -> None:
        self._stream = stream
        self._socket = sock
        self._closed = False

    async def receive(self, deadline: float) -> bytes:
        """The next bytes; b"" at the end. Raises as `AsyncioSocket.receive` does."""
        try:
            if deadline == FOREVER:
                return bytes(await self._stream.receive_some(READ_BYTES))
            with trio.move_on_after(max(0.0, deadline - time.monotonic())):
                return bytes(await self._stream.receive_some(READ_BYTES))
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError) as error:
            raise httpx.ReadError(_reason(error)) from error
        raise httpx.ReadTimeout("nothing arrived in time")

    async def send(self, data: bytes, timeout: float | None) -> None:
        """Write all of `data`. Raises as `AsyncioSocket.send` does."""
        try:
            with trio.move_on_after(FOREVER if timeout is None else timeout):
                await self._stream.send_all(data)
                return
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError) as error:
            raise httpx.WriteError(_reason(error)) from error
        raise httpx.WriteTimeout("the request could not be sent in time")

    def is_quiet(self) -> bool:
        """Whether the connection is open and nothing has arrived on it."""
        if self._closed:
            return False
        try:
            self._socket._sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def abort(self) -> None:
        """Close at once, without a goodbye."""
        if not self._closed:
            self._closed = True
            self._socket.close()

    async def aclose(self) -> None:
        """Close; nothing is waited for."""
        self.abort()

    def extra_info(self, name: str) -> Any:
        """httpcore's names: "socket", "ssl_object", "server_addr", "client_addr"."""
        if name == "socket":
            return self._socket
        if name == "ssl_object":
            return getattr(self._stream, "_ssl_object", None)
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
    host: str,
    port: int,
    ssl_context: ssl.SSLContext | None,
    options: Callable[[socket.socket], None],
    server_name: str,
) -> TrioSocket:
    """Connect as the asyncio room's `connect_tcp` does; raises OSError."""
    try:
        stream = await trio.open_tcp_stream(host, port, happy_eyeballs_delay=HAPPY_EYEBALLS_DELAY)
    except OSError as error:
        raise OSError(_reason(error)) from error
    options(stream.socket._sock)
    return await _wrap(stream, ssl_context, server_name)


async def connect_unix(path: str, ssl_context: ssl.SSLContext | None, host: str) -> TrioSocket:
    """Connect to a Unix socket; raises OSError."""
    return await _wrap(await trio.open_unix_socket(path), ssl_context, host)


async def _wrap(stream: trio.SocketStream, ssl_context: ssl.SSLContext | None, host: str) -> TrioSocket:
    if ssl_context is None:
        return TrioSocket(stream, stream.socket)
    secure = trio.SSLStream(stream, ssl_context, server_hostname=host, https_compatible=True)
    try:
        await secure.do_handshake()
    except BaseException as error:
        stream.socket.close()
        if isinstance(error, trio.BrokenResourceError):
            raise OSError(_reason(error)) from error
        raise
    return TrioSocket(secure, stream.socket)
