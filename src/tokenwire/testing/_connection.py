"""One connection of the endpoint: receives requests, sends replies, and watches whether the client disconnects.

While a reply is delayed, written or stalled, a second task (`_watch`) reads from the socket. The end of the stream means
that the client disconnected, and cancels the writing at once. Bytes are the next request, sent early: they are kept in
`_ahead`, and read when the reply is done. Beyond `MAX_AHEAD_BYTES` the task stops reading, and a disconnect is only
noticed by the next write.
"""

import contextlib
import ssl
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

import anyio
import anyio.abc

from ._http import HTTPRequest, Rendering, RequestError, RequestReader, render
from ._script import Received, Reply, Visit
from ._socket import SocketStream
from ._tls import secured, send_close_notify

MAX_AHEAD_BYTES = 16 * 1024 * 1024

_GONE = (anyio.EndOfStream, anyio.BrokenResourceError, ssl.SSLError)


class Exchange(NamedTuple):
    """A request and its reply."""

    received: Received
    reply: Reply
    rendering: Rendering


class Host(Protocol):
    """What a connection needs of its endpoint."""

    def begin(self, request: HTTPRequest, connection: int) -> Exchange:
        """A request has arrived. Returns the exchange with its reply."""
        ...

    def silence(self, received: Received) -> AbstractContextManager[None]:
        """Within this context, nothing of the reply is written."""
        ...

    def end(self, received: Received) -> None:
        """The request's exchange has ended."""
        ...


class ServedConnection:
    """Serves one client until it disconnects or a reply ends the connection.

    Args:
        socket: closed when `serve` ends.
        visit: the record of this connection.
        host: decides the replies.
        tls: the server's TLS context; None for none.
    """

    def __init__(self, socket: SocketStream, visit: Visit, host: Host, tls: ssl.SSLContext | None) -> None:
        self._socket = socket
        self._stream: anyio.abc.ByteStream = socket
        self._visit = visit
        self._host = host
        self._tls = tls
        self._reader = RequestReader()
        self._ahead = bytearray()

    async def serve(self) -> None:
        """Answer one request after the other. Being cancelled closes the socket at once."""
        async with self._socket:
            try:
                if self._tls is not None:
                    self._stream = await secured(self._socket, self._tls)
                while await self._exchange(await self._next_request()):
                    pass
            except _GONE as error:
                self._visit.closed_by = "client"
                if isinstance(error, ssl.SSLError):
                    self._visit.error = str(error)
            except RequestError as error:
                await self._refuse(error)

    async def _next_request(self) -> HTTPRequest:
        while (request := self._reader.next_request()) is None:
            self._reader.feed_data(self._take_ahead() or await self._stream.receive())
        return request

    def _take_ahead(self) -> bytes:
        data = bytes(self._ahead)
        self._ahead.clear()
        return data

    async def _exchange(self, request: HTTPRequest) -> bool:
        """Answer a request. Returns whether the connection stays open."""
        exchange = self._host.begin(request, self._visit.number)
        try:
            written = await self._write_watched(exchange)
            exchange.received.aborted = not written
            if not written:
                self._visit.closed_by = "client"
            elif exchange.reply.cut == "rst":
                self._socket.reset()
            elif exchange.reply.is_complete and not exchange.rendering.keep_alive:
                await send_close_notify(self._stream)
            return written and exchange.rendering.keep_alive
        finally:
            self._host.end(exchange.received)

    async def _write_watched(self, exchange: Exchange) -> bool:
        """Write the reply. Returns whether that was completed before the client disconnected."""
        written = False
        async with anyio.create_task_group() as group:
            group.start_soon(self._watch, group.cancel_scope)
            try:
                await self._write(exchange)
                written = True
            except _GONE:
                pass
            group.cancel_scope.cancel()
        return written

    async def _watch(self, writing: anyio.CancelScope) -> None:
        try:
            while len(self._ahead) < MAX_AHEAD_BYTES:
                self._ahead += await self._stream.receive()
        except _GONE:
            writing.cancel()

    async def _write(self, exchange: Exchange) -> None:
        received, reply, rendering = exchange
        await self._pause(received, reply.delay)
        await self._send(rendering.head, reply.drip)
        await self._pause(received, reply.first_delay)
        for number, piece in enumerate(rendering.pieces):
            if number:
                await self._pause(received, reply.event_delay)
            await self._send(piece, reply.drip)
        await self._send(rendering.end, reply.drip)
        if reply.stall:
            with self._host.silence(received):
                await anyio.sleep_forever()

    async def _pause(self, received: Received, seconds: float) -> None:
        if seconds:
            with self._host.silence(received):
                await anyio.sleep(seconds)

    async def _send(self, data: bytes, drip: int | None) -> None:
        for part in _parts(data, drip):
            await self._stream.send(part)

    async def _refuse(self, error: RequestError) -> None:
        request = HTTPRequest("GET", "/", {}, b"", "1.1", keep_alive=False)
        reply = Reply(status=error.status, headers={"content-type": "text/plain"}, body=str(error).encode())
        rendering = render(reply, request)
        with contextlib.suppress(*_GONE):
            for part in (rendering.head, *rendering.pieces, rendering.end):
                await self._send(part, None)


def _parts(data: bytes, size: int | None) -> Iterator[bytes]:
    if size is None or len(data) <= size:
        if data:
            yield data
        return
    for start in range(0, len(data), size):
        yield data[start : start + size]
