"""HTTP/1.1 as uvicorn speaks it with httptools, mended where clients of models depend on it.

- An offer to change the protocol that this server does not take is ignored (RFC 9110, 7.8): Java's HTTP client offers `h2c`
  with every request over http://. httptools never gives the body of such a request: after the head it stops, for bytes of
  another protocol might follow. So the head is given to it once more, without the offer, and then the body.
- A client of HTTP/1.0 is not sent chunks, which it does not know (RFC 9112, 6.1): a body whose length is not known ends
  with the connection.

`tokenwire serve` uses it. With another way to start uvicorn: `uvicorn module:app --http tokenwire.server.protocol:HTTPProtocol`,
or `uvicorn.run(app, http=HTTPProtocol)`.
"""

from array import array
from typing import Any

from httptools import HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle


class HTTPProtocol(HttpToolsProtocol):
    """One connection; uvicorn makes it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.parser: HttpRequestParser = _Parser(self)

    def on_headers_complete(self) -> None:
        """Begin to answer, unless the head will come again."""
        if self.declines_upgrade():
            return
        before = self.cycle
        super().on_headers_complete()
        if self.cycle is not before and self.scope["http_version"] == "1.0":
            self.cycle.__class__ = _UnchunkedCycle  # uvicorn has no way to be told which class to use

    def on_message_complete(self) -> None:
        """The body has ended, unless it has not been looked at."""
        if not self.declines_upgrade():
            super().on_message_complete()

    def declines_upgrade(self) -> bool:
        """Whether the head that was parsed last offers another protocol which is not spoken here."""
        if not self.parser.should_upgrade() or self._should_upgrade():
            return False
        return any(name == b"upgrade" for name, _ in self.headers)  # else it is a CONNECT

    def head_without_offer(self) -> bytes:
        """That head again, but for its `Upgrade`."""
        version = self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)]
        lines += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])


class _Parser(HttpRequestParser):
    """httptools' parser, which goes on after an offer that is declined."""

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
    """Request and response of HTTP/1.0."""

    is_sized = True

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.is_sized = any(name.lower() == b"content-length" for name, _ in message.get("headers", ()))
            if not self.is_sized:
                self.chunked_encoding = False
        elif not self.is_sized:
            self.expected_content_length = len(message.get("body", b""))
        await super().send(message)
