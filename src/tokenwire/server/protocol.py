"""uvicorn's HTTP/1.1 on httptools, corrected where clients of models depend on it.

- An `Upgrade` to a protocol that this server does not speak is ignored (RFC 9110, 7.8): Java's HTTP client offers `h2c` with
  every request over http://. httptools does not parse the body of such a request: it stops after the head, since bytes of the
  other protocol might follow. So the head is parsed once more, without the offer, and then the body.
- A client of HTTP/1.0 is not sent the chunked encoding, which it does not know (RFC 9112, 6.1): a body of unknown length ends
  with the connection.
- When a connection is lost, the request that is being answered is notified, even if another one waits after it.
- A piece of an answer is sent at once, whoever made the socket.
- The constants below limit how long a client may keep the server waiting, and how much it may make the server hold in memory.

`tokenwire serve` uses it. To use it with uvicorn alone: `uvicorn module:app --http tokenwire.server.protocol:HTTPProtocol`, or
`uvicorn.run(app, http=HTTPProtocol)`.
"""

import socket
from array import array
from asyncio import TimerHandle, Transport  # noqa: TID251  (uvicorn is asyncio's)
from typing import Any

from httptools import HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

# Each connection is checked once in so many seconds, and closed if its client is too slow.
CHECK_SECONDS = 15.0
HEAD_SECONDS = 30.0  # from a connection's beginning, or a request's first byte, to the end of its head
BODY_SECONDS, BODY_BYTES_A_SECOND = 60.0, 10_000  # how far a body may fall behind that pace
UNREAD_SECONDS = 300.0  # how long a client may read nothing while something waits to be sent
MOST_HEAD_BYTES = 128 * 1024  # plus what one read from the socket returns; enough for a few large cookies and tokens
FREE_OVERHEAD = 16  # bytes for each byte of a chunked body, such as its chunks' sizes; any more count as a head's do
MOST_HEADERS = 200
MOST_UNREAD_BYTES = 1024 * 1024  # of a body whose request has been answered, such as one that is too large
MOST_WAITING = 16  # requests on one connection, after the one that is being answered

REFUSAL = b"HTTP/1.1 %b\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
TOO_SLOW = REFUSAL % b"408 Request Timeout"
TOO_MUCH = REFUSAL % b"431 Request Header Fields Too Large"


class TooMuch(Exception):
    """A client has sent more of something than it may."""


def _send_at_once(connection: socket.socket) -> None:
    """Send pieces of an answer without waiting for the acknowledgement of earlier ones, which can take 40 ms.

    asyncio does so for the sockets that it made itself. Those that uvicorn is given, or makes for several workers, have 0 as
    their protocol, so that asyncio does not recognize them as TCP.
    """
    if connection.family in (socket.AF_INET, socket.AF_INET6):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class HTTPProtocol(HttpToolsProtocol):
    """One connection; uvicorn makes it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.parser: HttpRequestParser = _Parser(self)
        self._running: RequestResponseCycle | None = None  # the request on this connection that is being answered
        self._since: float | None = None  # when the wait for a head or body began; None while neither is expected
        self._in_head = True  # whether it is a head
        self._overhead = 0  # bytes of the request so far that are not its body's
        self._bytes = 0  # of its body, since the last check
        self._unread = 0  # bytes of its body that came after the answer
        self._stalled_since = 0.0  # when the client last read something, while more waits than can be sent
        self._unsent = 0  # bytes that waited to be sent, at the last check
        self._check_timer: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Wait for a request."""
        super().connection_made(transport)
        _send_at_once(transport.get_extra_info("socket"))
        self._since = self.loop.time()
        self._check_timer = self.loop.call_later(CHECK_SECONDS, self._check)

    def connection_lost(self, exc: Exception | None) -> None:
        """Notify the request that is being answered."""
        if self._check_timer is not None:
            self._check_timer.cancel()
        super().connection_lost(exc)
        running = self._running  # uvicorn notifies only the latest request
        if running is not None and not running.response_complete:
            running.disconnected = True
            running.message_event.set()

    def data_received(self, data: bytes) -> None:
        """Parse data; close the connection if too much of it is not a body."""
        self._overhead = max(self._overhead, 0) + len(data)
        super().data_received(data)
        if self._overhead > MOST_HEAD_BYTES and not self.transport.is_closing():
            self._close_with(TOO_MUCH)

    def pause_writing(self) -> None:
        """The client reads more slowly than data is sent."""
        super().pause_writing()
        self._stalled_since, self._unsent = self.loop.time(), self.transport.get_write_buffer_size()

    def send_400_response(self, msg: str) -> None:
        """Refuse data that is not a request, or has too many headers."""
        if len(self.headers or ()) > MOST_HEADERS:
            self._close_with(TOO_MUCH)
        else:
            super().send_400_response(msg)

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over to the other protocol."""
        if self._check_timer is not None:
            self._check_timer.cancel()
        super().handle_websocket_upgrade()

    def on_message_begin(self) -> None:
        """A request has begun."""
        super().on_message_begin()
        self._since, self._in_head, self._overhead, self._unread = self.loop.time(), True, 0, 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header. The first one too many ends the request: a read from the socket can return thousands."""
        super().on_header(name, value)
        if len(self.headers) > MOST_HEADERS:
            raise TooMuch

    def on_headers_complete(self) -> None:
        """Begin to answer, unless the head will be parsed again."""
        if self.declines_upgrade():
            return
        self._in_head, self._bytes = False, 0
        before = self.cycle
        super().on_headers_complete()
        if len(self.pipeline) > MOST_WAITING:
            raise TooMuch
        if self.cycle is before:
            return
        if not self.pipeline or self.pipeline[0][0] is not self.cycle:
            self._running = self.cycle
        if self.scope["http_version"] == "1.0":
            self.cycle.__class__ = _UnchunkedCycle  # uvicorn has no setting for the class

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._overhead -= len(body) * FREE_OVERHEAD
        if self.cycle.response_complete:
            self._unread += len(body)
            if self._unread > MOST_UNREAD_BYTES:  # up to then, the client may still begin to read the answer
                self.transport.close()
        self._bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The body has ended, unless it is still to be parsed."""
        if not self.declines_upgrade():
            self._since, self._in_head = None, False
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """A request has been answered: one that waits is next."""
        if self.pipeline:
            self._running = self.pipeline[-1][0]
        super().on_response_complete()

    def _check(self) -> None:
        """Close the connection if its client is too slow, and check again later."""
        self._check_timer = self.loop.call_later(CHECK_SECONDS, self._check)
        if self._is_stalled():
            self.transport.abort()  # `close` would wait until the client has read the rest
        elif not self.transport.is_closing() and self._is_overdue():
            self._close_with(TOO_SLOW)

    def _is_stalled(self) -> bool:
        if not self.flow.write_paused and not self.transport.is_closing():
            self._unsent = 0
            return False
        now, unsent = self.loop.time(), self.transport.get_write_buffer_size()
        if unsent < self._unsent or not self._unsent:  # it only shrinks while writing is paused
            self._stalled_since = now
        self._unsent = unsent
        return now - self._stalled_since > UNREAD_SECONDS

    def _is_overdue(self) -> bool:
        now, is_answering = self.loop.time(), self._running is not None and not self._running.response_complete
        if self._since is None:
            if not is_answering and self.timeout_keep_alive_task is None:  # bytes have come that do not begin a request
                self._since, self._in_head, self._overhead = now, True, 0
            return False
        if self._in_head:
            return not is_answering and now - self._since > HEAD_SECONDS
        if self.flow.read_paused:  # it is the app that is slow
            self._since = now
        # A body that came fast at first gets no more time than a new one: otherwise a large one could be kept for an hour.
        self._since, self._bytes = min(self._since + self._bytes / BODY_BYTES_A_SECOND, now), 0
        return now - self._since > BODY_SECONDS

    def _close_with(self, response: bytes) -> None:
        """Send a response, unless another is being sent, and close the connection."""
        running = self._running
        if running is None or running.response_complete or not running.response_started:
            self.transport.write(response)
        self.transport.close()

    def declines_upgrade(self) -> bool:
        """Whether the head that was parsed last offers a protocol that this server does not speak."""
        if not self.parser.should_upgrade() or self._should_upgrade():
            return False
        return any(name == b"upgrade" for name, _ in self.headers)  # else it is a CONNECT

    def head_without_offer(self) -> bytes:
        """That head without its `Upgrade`, as bytes."""
        version = self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)]
        lines += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])


class _Parser(HttpRequestParser):
    """httptools' parser, which continues after an offer that is declined."""

    def __init__(self, protocol: HTTPProtocol) -> None:
        super().__init__(protocol)
        self.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does, for pipelined requests
        self._protocol = protocol

    def feed_data(self, data: "bytes | bytearray | memoryview[int] | array[int]") -> None:
        parser, protocol = self, self._protocol
        while True:
            try:
                return HttpRequestParser.feed_data(parser, data)
            except HttpParserUpgrade as offer:
                if not protocol.declines_upgrade():
                    raise
                data = protocol.head_without_offer() + bytes(data)[offer.args[0] :]
                parser = protocol.parser = _Parser(protocol)  # the old one has ended if the connection is to be closed


class _UnchunkedCycle(RequestResponseCycle):
    """A request and its response in HTTP/1.0."""

    is_sized = True

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.is_sized = any(name.lower() == b"content-length" for name, _ in message.get("headers", ()))
            if not self.is_sized:
                self.chunked_encoding = False
        elif not self.is_sized:
            self.expected_content_length = len(message.get("body", b""))
        await super().send(message)
