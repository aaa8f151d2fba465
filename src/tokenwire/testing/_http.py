"""The server's side of HTTP/1.1: bytes in, requests out; replies in, bytes out. No I/O.

Parsing is llhttp's (through httptools). Rendering is by table: `FRAMINGS` has a row for each way to end a body.
"""

import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import NamedTuple

import httptools

from ._script import Reply


class RequestError(Exception):
    """The client sent an invalid or too large HTTP request; `status` is the one to answer with."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class HTTPRequest(NamedTuple):
    """One complete request as received, header names in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    http_version: str
    keep_alive: bool


class RequestReader:
    """Parses a connection's bytes to requests, pipelined ones included.

    Args:
        max_request_bytes: the most that one request's target, headers and body may have together.
    """

    def __init__(self, *, max_request_bytes: int = 256 * 1024 * 1024) -> None:
        self._max_request_bytes = max_request_bytes
        self._parser = httptools.HttpRequestParser(self)
        self._complete: deque[HTTPRequest] = deque()
        self._error: RequestError | None = None
        self.on_message_begin()

    def feed_data(self, data: bytes) -> None:
        """Parse bytes; errors are raised by `next_request`, after the requests before them."""
        if self._error is not None:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # the request is complete; its `upgrade` is ignored
        except httptools.HttpParserCallbackError as error:
            self._error = error.__context__ if isinstance(error.__context__, RequestError) else RequestError(str(error))
        except httptools.HttpParserError as error:
            self._error = RequestError(f"not an HTTP request: {error}")

    def next_request(self) -> HTTPRequest | None:
        """The next complete request, None when more data is needed.

        Raises:
            RequestError: the bytes after the requests already returned are not a valid request.
        """
        if self._complete:
            return self._complete.popleft()
        if self._error is not None:
            raise self._error
        return None

    # The methods below are called by the parser, from within feed_data.

    def on_message_begin(self) -> None:
        """A request begins."""
        self._target: list[bytes] = []
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._size = 0

    def on_url(self, url: bytes) -> None:
        """A piece of the target."""
        self._count(len(url))
        self._target.append(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header, or one trailer."""
        self._count(len(name) + len(value))
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        self._headers[key] = f"{self._headers[key]}, {text}" if key in self._headers else text

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._count(len(body))
        self._body.append(body)

    def on_message_complete(self) -> None:
        """The request is complete."""
        self._complete.append(
            HTTPRequest(
                method=self._parser.get_method().decode("latin-1"),
                target=b"".join(self._target).decode("latin-1"),
                headers=self._headers,
                body=b"".join(self._body),
                http_version=self._parser.get_http_version(),
                keep_alive=self._parser.should_keep_alive() and not self._parser.should_upgrade(),
            )
        )

    def _count(self, size: int) -> None:
        self._size += size
        if self._size > self._max_request_bytes:
            raise RequestError(f"request larger than max_request_bytes ({self._max_request_bytes})", status=413)


class _Framing(NamedTuple):
    header: Callable[[int], tuple[str, str]]  # from the body's size in bytes
    wrap: Callable[[bytes], bytes]
    end: bytes


def _http_chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _as_it_is(data: bytes) -> bytes:
    return data


FRAMINGS = {
    "chunked": _Framing(lambda _: ("transfer-encoding", "chunked"), _http_chunk, b"0\r\n\r\n"),
    "length": _Framing(lambda size: ("content-length", str(size)), _as_it_is, b""),
    "close": _Framing(lambda _: ("connection", "close"), _as_it_is, b""),
}


WINDOW_BITS = {"gzip": 31, "deflate": 15}  # zlib's parameter, which also selects the format


class Rendering(NamedTuple):
    """A reply as bytes: `head`, then `pieces`, then `end` if the body is complete."""

    head: bytes
    pieces: Iterable[bytes]
    end: bytes
    keep_alive: bool


def render(reply: Reply, request: HTTPRequest) -> Rendering:
    """The bytes that answer `request` with `reply`."""
    reply = reply.answering(request.body)
    if reply.raw is not None:
        return Rendering(b"", reply.pieces(), b"", keep_alive=reply.is_complete)
    framing = FRAMINGS[_framing_name(reply, request)]
    headers = _headers(reply, request, framing)
    head = _render_head(reply.status, headers)
    keep_alive = reply.is_complete and headers.get("connection", "").lower() != "close"
    if request.method == "HEAD" or _has_no_body(reply.status):
        return Rendering(head, [], b"", keep_alive)
    pieces = map(framing.wrap, _encoded(reply, reply.pieces(), finish=reply.is_complete))
    return Rendering(head, pieces, framing.end if reply.is_complete else b"", keep_alive)


def _encoded(reply: Reply, pieces: Iterable[bytes], *, finish: bool) -> Iterator[bytes]:
    """The pieces, compressed if the reply has an encoding; none is empty, as an empty HTTP chunk would end the body."""
    if reply.encoding is None:
        yield from pieces
        return
    compressor = zlib.compressobj(wbits=WINDOW_BITS[reply.encoding])
    for piece in pieces:
        yield compressor.compress(piece) + compressor.flush(zlib.Z_SYNC_FLUSH)
    if finish:
        yield compressor.flush()


def _framing_name(reply: Reply, request: HTTPRequest) -> str:
    name = reply.framing or ("length" if reply.events is None and not reply.forever else "chunked")
    return "close" if name == "chunked" and request.http_version == "1.0" else name


def _has_no_body(status: int) -> bool:
    return status < 200 or status in (204, 304)


def _headers(reply: Reply, request: HTTPRequest, framing: _Framing) -> dict[str, str]:
    headers: dict[str, str] = {}
    if not _has_no_body(reply.status):
        name, value = framing.header(0 if framing is not FRAMINGS["length"] else _length(reply))
        headers[name] = value
    if reply.encoding is not None:
        headers["content-encoding"] = reply.encoding
    if (content_type := reply.content_type()) is not None:
        headers["content-type"] = content_type
    if not request.keep_alive or request.http_version == "1.0":
        headers["connection"] = "close"
    return {**headers, **{name.lower(): value for name, value in reply.headers.items()}}


def _length(reply: Reply) -> int:
    """The `content-length`: the body's, or more if the reply is not complete."""
    whole = sum(map(len, _encoded(reply, reply.whole_pieces(), finish=True)))
    if reply.is_complete:
        return whole
    return max(whole, 1 + sum(map(len, _encoded(reply, reply.pieces(), finish=False))))


def _render_head(status: int, headers: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} {_phrase(status)}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
