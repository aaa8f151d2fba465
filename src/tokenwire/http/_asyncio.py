"""Sockets on asyncio and uvloop, by a protocol of our own.

anyio's socket stream pauses and resumes reading around each receive, which is two system calls for every read. Here
reading goes on; bytes wait in `_buffer`, and reading pauses only when nobody takes them.

A deadline is a number. One timer for each connection looks at it when it fires, and waits again if the deadline moved
on meanwhile: a read costs no timer.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from itertools import zip_longest
from typing import Any

import anyio
import httpx

HIGH_WATER = 256 * 1024  # bytes that may wait in the buffer before reading pauses
HAPPY_EYEBALLS_DELAY = 0.25  # seconds before the next address is tried beside the first (RFC 8305)
FOREVER = float("inf")


class AsyncioSocket(asyncio.Protocol):
    """A connected socket; see `connection.Socket`."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: Any = None
        self._buffer: list[bytes] = []
        self._buffered = 0
        self._reading_paused = False
        self._ended = False
        self._lost = False
        self._error: BaseException | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._deadline = FOREVER
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = FOREVER
        self._writable: asyncio.Future[None] | None = None
        self._write_paused = False

    # --- asyncio's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer.append(data)
        self._buffered += len(data)
        if self._buffered > HIGH_WATER and not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)

    def eof_received(self) -> bool:
        self._ended = True
        self._wake()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = self._lost = True
        self._error = exc
        self._cancel_timer()
        self._wake()
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    # --- what a connection calls

    async def receive(self, deadline: float) -> bytes:
        """See `Socket.receive`; bytes that are there already come whatever the deadline."""
        buffer = self._buffer
        if not buffer:
            if not self._ended:
                await self._wait(deadline)
            if not buffer:
                return self._end()
        data = buffer[0] if len(buffer) == 1 else b"".join(buffer)
        buffer.clear()
        self._buffered = 0
        if self._reading_paused:
            self._reading_paused = False
            if not self._lost:
                self._transport.resume_reading()
        return data

    async def send(self, data: bytes, timeout: float | None) -> None:
        """See `Socket.send`."""
        if self._lost:
            raise httpx.WriteError(_reason(self._error))
        self._transport.write(data)
        if self._write_paused:
            self._writable = self._loop.create_future()
            with anyio.move_on_after(timeout) as scope:
                await self._writable
            if scope.cancelled_caught:
                raise httpx.WriteTimeout("the request could not be sent in time")
            if self._lost:
                raise httpx.WriteError(_reason(self._error))

    def is_quiet(self) -> bool:
        """See `Socket.is_quiet`."""
        return not (self._ended or self._buffer or self._transport.is_closing())

    def abort(self) -> None:
        """See `Socket.abort`."""
        self._cancel_timer()
        self._ended = self._lost = True
        if not self._loop.is_closed():
            self._transport.abort()

    def hand_over(self, callback: Callable[[], object]) -> None:
        """See `Socket.hand_over`."""
        try:
            self._loop.call_soon_threadsafe(callback)
        except RuntimeError:  # the loop is closed, and nobody is left whom this could disturb
            callback()

    def extra_info(self, name: str) -> Any:
        """See `Socket.extra_info`."""
        names = {"ssl_object": "ssl_object", "socket": "socket", "server_addr": "peername", "client_addr": "sockname"}
        return self._transport.get_extra_info(names[name]) if name in names else None

    def _end(self) -> bytes:
        if not self._ended:
            raise httpx.ReadTimeout("nothing arrived in time")
        if self._error is not None:
            raise httpx.ReadError(_reason(self._error)) from self._error
        return b""

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def _wait(self, deadline: float) -> None:
        self._waiter = waiter = self._loop.create_future()
        self._deadline = deadline
        if deadline < self._timer_at:
            self._arm(deadline)
        try:
            await waiter
        finally:
            self._waiter = None

    def _arm(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._loop.call_at(at, self._look_at_deadline)

    def _look_at_deadline(self) -> None:
        self._timer, self._timer_at = None, FOREVER
        if self._waiter is None:
            return
        if self._loop.time() >= self._deadline:
            self._wake()
        elif self._deadline < FOREVER:
            self._arm(self._deadline)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._timer_at = None, FOREVER


def _reason(error: BaseException | None) -> str:
    return "the connection is closed" if error is None else str(error) or type(error).__name__


async def connect_tcp(
    host: str, port: int, ssl_context: ssl.SSLContext | None, server_name: str, set_options: Callable[[Any], None]
) -> AsyncioSocket:
    """Connect to the first of the host's addresses that answers, and speak TLS if a context is given.

    Raises:
        OSError: no address answered, or TLS failed (`ssl.SSLError` is one).
        UnicodeError: the host's name can be none.
    """
    connected = await _first_to_connect(_interleaved(await _resolve(host, port)))
    if not connected._transport.is_closing():  # it may have been reset already
        set_options(connected.extra_info("socket"))
    return await _secured(connected, ssl_context, server_name)


async def connect_unix(path: str, ssl_context: ssl.SSLContext | None, server_name: str) -> AsyncioSocket:
    """Connect to a Unix socket. Raises as `connect_tcp` does."""
    _, connected = await asyncio.get_running_loop().create_unix_connection(AsyncioSocket, path)
    return await _secured(connected, ssl_context, server_name)


async def _secured(connected: AsyncioSocket, ssl_context: ssl.SSLContext | None, server_name: str) -> AsyncioSocket:
    """The connection with TLS on it, if a context is given."""
    if ssl_context is None:
        return connected
    secure = AsyncioSocket()
    try:
        if not connected.is_quiet():
            reason = "the server spoke before TLS began" if connected._buffer else _reason(connected._error)
            raise ConnectionError(reason) from connected._error
        transport = await secure._loop.start_tls(connected._transport, secure, ssl_context, server_hostname=server_name)
    except BaseException:
        connected.abort()
        raise
    if transport is None or secure._lost:
        raise ConnectionResetError("the connection was closed behind the TLS handshake")
    secure.connection_made(transport)
    return secure


async def _resolve(host: str, port: int) -> list[Any]:
    """The host's addresses, as `socket.getaddrinfo` gives them."""
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:  # a name, which only a thread can wait for
        return await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)


def _interleaved(found: list[Any]) -> list[Any]:
    """The addresses with the families taking turns, in the resolver's order otherwise (RFC 8305, 4)."""
    families: dict[int, list[Any]] = {}
    for address in found:
        families.setdefault(address[0], []).append(address)
    turns = zip_longest(*families.values())
    return [address for turn in turns for address in turn if address is not None]


async def _first_to_connect(addresses: list[Any]) -> AsyncioSocket:
    """A connection to the first address that answers; a new one is tried when the last failed, or took long."""
    errors: list[OSError] = []
    connected: list[AsyncioSocket] = []

    async def attempt(address: Any, failed: anyio.Event) -> None:
        family, _, _, _, (host, port, *_) = address
        try:
            _, winner = await asyncio.get_running_loop().create_connection(AsyncioSocket, host, port, family=family)
        except OSError as error:
            errors.append(error)
            failed.set()
        else:
            connected.append(winner)
            group.cancel_scope.cancel()

    try:
        async with anyio.create_task_group() as group:
            for address in addresses:
                failed = anyio.Event()
                group.start_soon(attempt, address, failed)
                with anyio.move_on_after(HAPPY_EYEBALLS_DELAY):
                    await failed.wait()
    except BaseException:
        for late in connected:
            late.abort()
        raise
    for late in connected[1:]:
        late.abort()
    if not connected:
        raise _taken_together(errors)
    return connected[0]


def _taken_together(errors: list[OSError]) -> OSError:
    """One error for all; the list is emptied, as the tracebacks of the errors in it refer to it."""
    if len(errors) == 1:
        return errors.pop()
    reasons = dict.fromkeys(map(str, errors))
    errors.clear()
    return OSError("; ".join(reasons) or "the host has no address")
