"""Sockets on asyncio and uvloop, by a protocol of our own.

anyio's socket stream pauses and resumes reading around each receive, which is two system calls for every read. Here
reading continues; the data is buffered until it is taken, and reading pauses only when too much is buffered.

All connections of a loop read into one buffer, whose data is copied out at once: asyncio's plain protocols would
allocate a quarter of a megabyte for every packet.
"""

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Callable
from itertools import zip_longest
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

import anyio
import httpx

from .._reading import FOREVER
from .asyncio_waits import Flag
from .asyncio_watch import Watched
from .resolver import addresses_of

READ_BYTES = 64 * 1024  # the longest single read
HIGH_WATER = 256 * 1024  # bytes that may be buffered before reading pauses
HAPPY_EYEBALLS_DELAY = 0.25  # seconds before the next address is tried concurrently (RFC 8305)
NAMES = {"ssl_object": "ssl_object", "socket": "socket", "server_addr": "peername", "client_addr": "sockname"}

_Buffers: TypeAlias = WeakKeyDictionary[asyncio.AbstractEventLoop, memoryview]
_read_buffers: _Buffers = WeakKeyDictionary()  # of READ_BYTES
_tls_buffers: _Buffers = WeakKeyDictionary()  # as large as the largest size that TLS asked for


def _read_buffer(buffers: _Buffers, loop: asyncio.AbstractEventLoop, size: int) -> memoryview:
    """The buffer that the loop's connections read into: one for all, as each read is finished before the next begins."""
    if hasattr(loop, "_proactor"):  # Windows' loop has several reads in progress at once
        return memoryview(bytearray(size))
    buffer = buffers.get(loop)
    if buffer is None or len(buffer) < size:
        buffer = buffers[loop] = memoryview(bytearray(size))
    return buffer


class AsyncioSocket(Watched, asyncio.BufferedProtocol):
    """A connected socket; see `_loops.Socket`."""

    __slots__ = (
        "__weakref__", "_buffer", "_ended", "_error", "_flow", "_loop", "_lost", "_more", "_read", "_reading_paused",
        "_transport", "_unread", "_waiter", "_writable", "_write_paused",
    )  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self._loop = loop = self._watch.loop
        self._transport: Any = None
        self._flow: Any = None  # the transport to pause when too much is buffered
        self._buffer = _read_buffer(_read_buffers, loop, READ_BYTES)
        self._read: bytes | None = None  # the oldest data not taken yet
        self._more: deque[bytes] | None = None  # the data read after it
        self._unread = 0  # bytes in both
        self._reading_paused = False
        self._ended = False
        self._lost = False
        self._error: BaseException | None = None
        self._waiter: asyncio.Future[bool] | None = None
        self._writable: Flag | None = None
        self._write_paused = False

    # --- asyncio's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._flow = self._flow or transport

    def get_buffer(self, sizehint: int) -> memoryview:
        # TLS asks for room for all bytes it holds. Bytes without room would be lost if the connection ended right after them.
        if sizehint > len(self._buffer):
            self._buffer = _read_buffer(_tls_buffers, self._loop, sizehint)
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        data = bytes(self._buffer[:nbytes])
        if self._read is None:
            self._read = data
        elif self._more is None:
            self._more = deque((data,))
        else:
            self._more.append(data)
        self._unread += nbytes
        if self._unread > HIGH_WATER and not self._reading_paused:
            self._reading_paused = True
            self._flow.pause_reading()
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(True)

    def eof_received(self) -> bool:
        self._ended = True
        self._wake(True)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = self._lost = True
        self._error = exc
        self._leave_watch()
        self._wake(True)
        self.resume_writing()

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        if self._writable is not None:
            self._writable.set()

    # --- what a connection calls

    def take(self) -> bytes | None:
        """See `Socket.take`. Returns one read's bytes: several joined would not fit into the processor's caches."""
        data = self._read
        if data is not None:
            self._read = self._more.popleft() if self._more else None
            self._unread -= len(data)
            if self._reading_paused and self._read is None:
                self._reading_paused = False
                if not self._lost and not self._flow.is_closing():
                    self._flow.resume_reading()
            return data
        if not self._ended:
            return None
        if self._error is not None:
            raise httpx.ReadError(_reason(self._error)) from self._error
        return b""

    def wait(self, deadline: float) -> "asyncio.Future[bool]":
        """See `Socket.wait`. Returns a future: awaiting it needs no further coroutine."""
        self._waiter = waiter = self._loop.create_future()
        if self._read is not None or self._ended:
            waiter.set_result(True)
            return waiter
        self._deadline = deadline
        if deadline < self._watch.next_check:
            self.arm()
        return waiter

    def write(self, data: bytes) -> bool:
        """See `Socket.write`."""
        if self._lost:
            raise httpx.WriteError(_reason(self._error))
        self._transport.write(data)
        return not self._write_paused

    async def drain(self, deadline: float) -> None:
        """See `Socket.drain`."""
        self._writable = Flag()
        if self._write_paused and not await self._writable.wait(deadline):
            raise httpx.WriteTimeout("the request could not be sent in time")
        if self._lost:
            raise httpx.WriteError(_reason(self._error))

    def is_idle(self) -> bool:
        """See `Socket.is_idle`."""
        return not (self._ended or self._read is not None or self._transport.is_closing())

    def abort(self) -> None:
        """See `Socket.abort`."""
        self._leave_watch()
        self._ended = self._lost = True
        if not self._loop.is_closed():
            self._transport.abort()

    def drop(self) -> None:
        """See `Socket.drop`. The loop still refers to the socket, and reads from it."""
        self.call_soon(self.abort)

    def call_soon(self, callback: Callable[[], object]) -> None:
        """See `Socket.call_soon`."""
        try:
            self._loop.call_soon_threadsafe(callback)
        except RuntimeError:  # the loop is closed: nothing else can run at the same time
            callback()

    def extra_info(self, name: str) -> object:
        """See `Socket.extra_info`."""
        return self._transport.get_extra_info(NAMES[name]) if name in NAMES else None

    def interrupt(self) -> None:
        """See `Watched`."""
        self._wake(False)

    def _wake(self, in_time: bool) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(in_time)

    def _leave_watch(self) -> None:
        self._watch.watched.discard(self)
        self.disarm()


def _reason(error: BaseException | None) -> str:
    return "the connection is closed" if error is None else str(error) or type(error).__name__


async def connect(
    path: str | None, host: str, port: int, ssl_context: ssl.SSLContext | None, server_name: str, deadline: float
) -> AsyncioSocket:
    """Connect to a Unix socket if there is a `path`, else to the first of the host's addresses that answers (RFC 8305).

    With a context, the connection speaks TLS.

    Raises:
        TimeoutError: it took until `deadline`.
        OSError: no address answered, or TLS failed (`ssl.SSLError` is one).
        UnicodeError: the host's name cannot be one.
    """
    # asyncio's own timeout: an anyio scope would leave a record on the task for the rest of the task's life.
    async with asyncio.timeout_at(None if deadline == FOREVER else deadline):
        if path is None:
            connected = await _first_to_connect(_interleaved(await _resolve(host, port)))
        else:
            _, connected = await asyncio.get_running_loop().create_unix_connection(AsyncioSocket, path)
        if ssl_context is not None:
            connected = await _secured(connected, ssl_context, server_name)
    connected._watch.add(connected)
    return connected


async def _secured(connected: AsyncioSocket, ssl_context: ssl.SSLContext, server_name: str) -> AsyncioSocket:
    """The connection, after the TLS handshake."""
    secure = AsyncioSocket()
    secure._flow = connected._transport  # a TLS transport that is paused when the connection ends drops the data it holds
    try:
        if not connected.is_idle():
            reason = "the server spoke before TLS began" if connected._read else _reason(connected._error)
            raise ConnectionError(reason) from connected._error
        transport = await secure._loop.start_tls(connected._transport, secure, ssl_context, server_hostname=server_name)
    except BaseException:
        connected.abort()
        raise
    if transport is None or secure._lost:
        raise ConnectionResetError("the connection was closed after the TLS handshake")
    secure.connection_made(transport)
    return secure


async def _resolve(host: str, port: int) -> list[Any]:
    """The host's addresses, as `socket.getaddrinfo` gives them."""
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:  # a name: the look-up blocks, so it needs a thread
        return await addresses_of(host, port)


def _interleaved(found: list[Any]) -> list[Any]:
    """The addresses with the families alternating, otherwise in the resolver's order (RFC 8305, 4)."""
    families: dict[int, list[Any]] = {}
    for address in found:
        families.setdefault(address[0], []).append(address)
    turns = zip_longest(*families.values())
    return [address for turn in turns for address in turn if address is not None]


async def _first_to_connect(addresses: list[Any]) -> AsyncioSocket:
    """A connection to the first address that answers; the next is tried when the previous one failed or is slow."""
    if len(addresses) == 1:  # no other address to try, so no timer
        return await _connected_to(addresses[0])
    loop = asyncio.get_running_loop()
    errors: list[OSError] = []
    connected: list[AsyncioSocket] = []

    async def attempt(address: object, failed: Flag) -> None:
        try:
            winner = await _connected_to(address)
        except OSError as error:
            errors.append(error)
            failed.set()
        else:
            connected.append(winner)
            group.cancel_scope.cancel()

    try:
        async with anyio.create_task_group() as group:
            for address in addresses:
                failed = Flag()
                group.start_soon(attempt, address, failed)
                await failed.wait(loop.time() + HAPPY_EYEBALLS_DELAY)
    except BaseException:
        for late in connected:
            late.abort()
        raise
    for late in connected[1:]:
        late.abort()
    if not connected:
        raise _taken_together(errors)
    return connected[0]


async def _connected_to(address: Any) -> AsyncioSocket:
    family, _, _, _, (host, port, *_) = address
    _, connected = await asyncio.get_running_loop().create_connection(AsyncioSocket, host, port, family=family)
    return connected


def _taken_together(errors: list[OSError]) -> OSError:
    """One error for all. Empties the list, to which the errors' tracebacks refer: that would be a reference cycle."""
    if len(errors) == 1:
        return errors.pop()
    reasons = "; ".join(dict.fromkeys(map(str, errors))) or "the host has no address"
    number = errors[0].errno if errors else None
    errors.clear()
    return OSError(reasons) if number is None else OSError(number, reasons)
