"""A client's side of HTTP/1.1, without I/O: requests to bytes, bytes to responses.

Lives here: parsing responses (by llhttp, through httptools), where a body ends, and whether the connection can be used
again afterwards. Not here: sockets, waiting, and which request gets which connection (`pool`).

`ResponseReader` reads all responses of one connection, one after another. If bytes arrive while no response is expected
(after one, or between two), the connection is not used again, so that they are never taken for the next response.
"""

import re
from collections.abc import Callable, Collection, Iterable
from enum import Enum, auto
from typing import Any, NoReturn

import httptools
import httpx

MAX_HEADER_BYTES = 256 * 1024

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_HEAD = re.compile(_TOKEN + rb" [!-~]++ HTTP/1\.1\r\n(?:" + _TOKEN + rb":[^\0\r\n]*+\r\n)*+\r\n")
_BODILESS = frozenset({100, 102, 103})  # 1xx responses that llhttp never gives a body, whatever their headers say


class HeadersTooLarge(httpx.RemoteProtocolError):
    """The response's head is longer than `max_header_bytes`."""


class State(Enum):
    """The state of a connection's reader."""

    IDLE = auto()  # no response expected
    HEAD = auto()
    BODY = auto()
    COMPLETE = auto()
    BROKEN = auto()


class ResponseReader:
    """The responses of one connection.

    Attributes:
        state: see `State`.
        status: the current response's status, once its head is complete.
        head: its status line and headers as sent, without the empty line. Kept unparsed, as most are never read; see
        `reason_in`, `headers_in` and `first_header_in`.
        pieces: bytes of the body that have arrived and are not taken yet.
    """

    __slots__ = (
        "__weakref__", "_failure", "_head_only", "_keep_alive", "_max_header_bytes", "_overhead", "_parser", "_received",
        "_unsolicited", "head", "on_body", "pieces", "state", "status",
    )  # fmt: skip

    def __init__(self, *, max_header_bytes: int = MAX_HEADER_BYTES) -> None:
        self._max_header_bytes = max_header_bytes
        self.pieces: list[bytes] = []
        self.on_body: Callable[[bytes], None] = (
            self.pieces.append
        )  # httptools' callback: one call in C for each piece of the body
        self._parser: Any = httptools.HttpResponseParser(self)
        self._unsolicited = False
        self._failure: tuple[type[httpx.RemoteProtocolError], str] = httpx.RemoteProtocolError, ""
        self._begin()
        self.state: State = State.IDLE

    def _begin(self) -> None:
        self.status: int = 0
        self.head: bytes = b""
        self._received: bytes | bytearray = b""  # the beginning of a head that is not complete
        self._overhead = 0  # bytes since the request, or since the last byte of the body
        self._head_only = False
        self._keep_alive = False

    def expect(self, method: bytes) -> None:
        """Expect a response, whose request is about to be sent.

        Raises:
            httpx.LocalProtocolError: the last response is still being read, or the connection is broken.
        """
        if self.state is not State.IDLE:
            raise httpx.LocalProtocolError(f"no request may be sent while the connection is {self.state.name}")
        self._begin()
        self._head_only = method == b"HEAD"
        self.state = State.HEAD

    def feed_data(self, data: bytes) -> None:
        """Take in bytes from the connection.

        Raises:
            httpx.RemoteProtocolError: they are not an HTTP/1.x response; the reader can't be used any more. `pieces` has
            the body before that.
            HeadersTooLarge: head, chunk headers or trailers are too long.
            httpx.ReadError: `close` was called.
        """
        state = self.state
        if state is not State.BODY and state is not State.HEAD:
            self._require_open()
            self._unsolicited = True
            return
        self._overhead += len(data)
        if state is State.HEAD:
            self._keep(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            found = error.__context__  # the exception of our own callback, if that raised
            if isinstance(found, HeadersTooLarge):
                self._fail(self._too_long())
            if self.state is not State.COMPLETE:
                reason = found if isinstance(found, httpx.RemoteProtocolError) else error
                self._fail(httpx.RemoteProtocolError(f"the server sent no valid HTTP response: {reason}"), error)
            self._unsolicited = True  # the response is complete; what follows it is not part of it
        if self.pieces:
            self._overhead = 0
            if self._head_only:
                self._unsolicited = True
                self.pieces.clear()
        elif self._overhead > self._max_header_bytes and self.state is not State.COMPLETE:
            self._fail(self._too_long())

    def _keep(self, data: bytes) -> None:
        """Keep bytes of a head, which usually arrives in one piece."""
        if not self._received:
            self._received = data
            return
        if isinstance(self._received, bytes):
            self._received = bytearray(self._received)
        self._received += data

    def _too_long(self) -> HeadersTooLarge:
        return HeadersTooLarge(f"the head is longer than max_header_bytes, {self._max_header_bytes} bytes")

    def feed_eof(self) -> None:
        """The peer closed its side.

        Raises:
            httpx.RemoteProtocolError: the response is not complete. A body that ends with its connection is complete now.
            httpx.ReadError: `close` was called.
        """
        self._require_open()
        if self.state is State.BODY and not _is_framed(self.head):
            self.state = State.COMPLETE
            self._keep_alive = False
        elif self.state is State.HEAD:
            self._fail(httpx.RemoteProtocolError("the server closed the connection without sending a response"))
        elif self.state is State.BODY:
            self._fail(httpx.RemoteProtocolError("the server closed the connection before the body was complete"))
        self._unsolicited = True

    def take_body(self) -> bytes:
        """The body's bytes that have arrived since the last call."""
        data = b"".join(self.pieces)  # a single one is not copied
        self.pieces.clear()
        return data

    def end(self) -> bytes:
        """Return b"" once the body is complete.

        Raises:
            httpx.RemoteProtocolError, HeadersTooLarge: what `feed_data` or `feed_eof` raised.
            httpx.ReadError: the connection was closed on this side meanwhile.
        """
        self._require_open()
        if self.state is State.BROKEN:
            kind, text = self._failure
            raise kind(text)
        return b""

    def is_reusable(self) -> bool:
        """Whether another request may be sent: the response is complete, and both sides keep the connection open."""
        return not self._unsolicited and (self.state is State.IDLE or (self.state is State.COMPLETE and self._keep_alive))

    def reset(self) -> None:
        """Expect no response until the next request; bytes of the last one that were not taken are dropped."""
        self.state = State.IDLE
        self.pieces.clear()

    def has_begun(self) -> bool:
        """Whether a byte of the response has arrived."""
        return self._overhead > 0 or self.status > 0

    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._parser is None

    def close(self) -> None:
        """Drop the parser, which refers to this reader: a reference cycle."""
        self._parser = None
        self.state = State.BROKEN

    def is_clean(self) -> bool:
        """Whether nothing arrived while no response was expected."""
        return not self._unsolicited

    def _require_open(self) -> None:
        if self._parser is None:
            raise httpx.ReadError("the connection was closed on this side")

    def _fail(self, error: httpx.RemoteProtocolError, cause: BaseException | None = None) -> NoReturn:
        self.state = State.BROKEN
        self._failure = type(error), str(error)  # not the error itself: its traceback would refer to this reader
        raise error from cause

    # --- httptools' callbacks

    def on_message_begin(self) -> None:
        """The first byte of a response. One that follows a complete response answers no request: it is refused."""
        if self.state is State.COMPLETE:
            raise httpx.RemoteProtocolError("a response without a request")  # raising stops the parser

    def on_headers_complete(self) -> None:
        """The head is complete. 1xx heads are informational: the final response's head follows."""
        if self.state is not State.HEAD:
            return
        received = self._received.lstrip(b"\r\n")  # llhttp skips line breaks before the status line
        end = received.find(b"\r\n\r\n")  # the only end of a head that llhttp accepts
        if end > self._max_header_bytes:
            raise self._too_long()
        status = self._parser.get_status_code()
        if status < 200 and status != 101:
            if status < 100 or (status not in _BODILESS and _is_framed(bytes(received[:end]))):
                raise httpx.RemoteProtocolError(f"status {status} is not valid, or may have no body")
            self._received = received[end + 4 :]
            return
        self.head = bytes(received[:end])
        self._received = b""
        self.status = status
        self._keep_alive = self._parser.should_keep_alive()
        self.state = State.BODY
        if self._head_only:
            # The parser would wait for the body that the head describes and HEAD does not send.
            self.state = State.COMPLETE
            self._parser = httptools.HttpResponseParser(self)

    def on_message_complete(self) -> None:
        """The body is complete."""
        if self.state is State.BODY:
            self.state = State.COMPLETE


def _is_framed(head: bytes) -> bool:
    """Whether the head says where the body ends; otherwise it ends with the connection."""
    for name, value in headers_in(head):
        # RFC 9112, 6.3: a response whose last transfer coding is not chunked ends with its connection.
        if name.lower() == b"content-length" or (
            name.lower() == b"transfer-encoding" and value.lower().rpartition(b",")[2].strip() == b"chunked"
        ):
            return True
    return False


def reason_in(head: bytes) -> bytes:
    """The reason phrase of a response's head."""
    _, _, rest = head.partition(b"\r\n")[0].partition(b" ")
    return rest.partition(b" ")[2]


def headers_in(head: bytes) -> list[tuple[bytes, bytes]]:
    """The headers of a response's head: names and values as sent, without surrounding whitespace."""
    fields = [line.partition(b":") for line in head.split(b"\r\n")[1:]]
    return [(name, value.strip(b" \t")) for name, _, value in fields]


def first_header_in(head: bytes, name: bytes) -> str | None:
    """The value of the first header called `name`, in lower case; None if there is none."""
    _, found, rest = head.lower().partition(b"\r\n%b:" % name)
    return head[len(head) - len(rest) :].partition(b"\r\n")[0].strip(b" \t").decode("latin-1") if found else None


def render_head(method: bytes, target: bytes, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A request's head. Raises as `checked_head` does."""
    lines = [b"%s %s HTTP/1.1" % (method, target)]
    lines += [b"%s: %s" % header for header in headers]
    return checked_head(b"\r\n".join([*lines, b"", b""]), len(lines))


def render_fields(headers: Collection[tuple[bytes, bytes]]) -> bytes:
    """Further headers of a request's head.

    Raises:
        httpx.LocalProtocolError: a header has a line break or NUL in it, which could begin another header or request.
    """
    fields = b"".join([b"%b: %b\r\n" % header for header in headers])
    if fields.count(b"\n") != len(headers) or fields.count(b"\r") != len(headers) or b"\0" in fields:
        raise httpx.LocalProtocolError("a header of the request has a line break or NUL in it")
    return fields


def checked_head(head: bytes, lines: int) -> bytes:
    """Return the head of a request if it is valid, with this number of lines.

    Raises:
        httpx.LocalProtocolError: a line break, a space or NUL is where it could begin another header or request, or a
            name is not valid. The message quotes no values.
    """
    if _HEAD.fullmatch(head) is None or head.count(b"\n") != lines + 1:
        raise httpx.LocalProtocolError("the request's head has a line break, a space or NUL where it is not allowed")
    return head


def render_chunk(data: bytes) -> bytes:
    """One chunk of a streamed request body; b"" for empty data, as an empty chunk would end the body."""
    return b"%x\r\n%s\r\n" % (len(data), data) if data else b""


LAST_CHUNK = b"0\r\n\r\n"
