"""httpx's way in, and httpx2's: a transport of theirs gets a request and returns a response.

The response, its stream and all exceptions are of the library that the request is from, which checks their classes.
httpx2 is never imported: a request of its own shows that it is loaded.
"""

import sys
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from functools import cache
from types import ModuleType
from typing import Any, NoReturn

import httpx

from .. import _loops
from .._reading import FOREVER
from .connection import WRITE_BYTES, Incoming, Outgoing, origin_of
from .protocol import reason_in, render_head


class Body(Incoming):
    """A response that is its own stream of bytes. `stream_class` makes it one of an edition's."""

    __slots__ = ("timeout",)

    edition: ModuleType
    timeout: float | None  # seconds that each read may take

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        data = await self.receive(FOREVER if self.timeout is None else _loops.now() + self.timeout)
        if not data:
            raise StopAsyncIteration
        return data

    async def receive(self, deadline: float) -> bytes:
        """The next bytes of the body, waiting for them; b"" when it is complete. Cancelled, it closes the response.

        Raises:
            ReadTimeout: nothing came before `deadline`. The response stays open.
            ReadError, RemoteProtocolError: the connection broke, or closed too early.
        """
        in_time = True
        while (data := self.take()) is None:
            if not in_time:
                self.fail(httpx.ReadTimeout("nothing arrived in time"))
            try:
                in_time = await self.wait(deadline)
            except BaseException:
                self.close()
                raise
            if self._connection is None:
                self.fail(httpx.ReadError("the response was closed while it was read"))
        return data

    def fail(self, error: Exception) -> NoReturn:
        """Raise an error of the connection as the edition's."""
        raise_as(self.edition, error)

    def get_extra_info(self, info: str) -> Any:
        """As httpcore's network streams have it: "socket", "ssl_object", "server_addr", "client_addr"."""
        return None if self._connection is None else self._connection.socket.extra_info(info)


@cache
def stream_class(edition: ModuleType) -> type[Body]:
    """`Body` as a stream that an edition's client accepts."""
    return type("Body", (Body, edition.AsyncByteStream), {"edition": edition})


def raise_as(edition: ModuleType, error: Exception) -> NoReturn:
    """Raise an exception of httpx, or its namesake of another edition; any other as it is."""
    if edition is not httpx:
        for kind in type(error).__mro__:  # we have subclasses of httpx's
            if getattr(httpx, kind.__name__, None) is kind:
                raise getattr(edition, kind.__name__)(str(error)) from error
    raise error


def edition_of(request: object) -> ModuleType:
    """The library that a request is from: httpx, or httpx2.

    Raises:
        TypeError: it is from neither.
    """
    for name in ("httpx", "httpx2"):
        edition = sys.modules.get(name)
        if edition is not None and isinstance(request, edition.Request):
            return edition
    raise TypeError(f"a request must be an httpx.Request or an httpx2.Request, not {type(request).__name__}")


async def answer(ask: Callable[[Outgoing, type[Body]], Awaitable[Body]], request: Any) -> Any:
    """Send an edition's request by `HTTPTransport.answer`; returns its response, raises its exceptions."""
    edition = edition_of(request)
    try:
        incoming = await ask(outgoing_of(request, edition), stream_class(edition))
    except httpx.TransportError as error:
        raise_as(edition, error)
    incoming.timeout = request.extensions.get("timeout", {}).get("read")
    return edition.Response(
        incoming.status,
        headers=incoming.raw_headers(),
        stream=incoming,
        extensions={
            "http_version": incoming.head.partition(b" ")[0],
            "reason_phrase": reason_in(incoming.head),
            "network_stream": incoming,
        },
    )


def outgoing_of(request: Any, edition: ModuleType = httpx) -> Outgoing:
    """An edition's request as the connection takes it.

    Raises:
        httpx.UnsupportedProtocol: see `origin_of`.
        httpx.LocalProtocolError: see `render_head`; or the headers announce another body than there is.
    """
    timeout = request.extensions.get("timeout", {})
    body: bytes | AsyncIterable[bytes] = request.stream
    try:
        body = request.content  # bytes at hand are sent with the head, and can be sent again
    except edition.RequestNotRead:
        pass
    name = request.extensions.get("sni_hostname")
    method = request.method.encode("ascii", "replace")
    head = render_head(method, request.url.raw_path, request.headers.raw)
    length = _announced_length(request.headers, body)
    if isinstance(body, bytes) and len(body) < WRITE_BYTES:
        head, body = head + body, b""
    return Outgoing(
        origin_of(request.url),
        method,
        str(request.url),
        head,
        pool=timeout.get("pool"),
        connect=timeout.get("connect"),
        write=timeout.get("write"),
        read=timeout.get("read"),
        body=body,
        length=length,
        server_name=name.decode("ascii") if isinstance(name, bytes) else name,
    )


def _announced_length(headers: Any, body: Any) -> int | None:
    """The length of the body as its headers have it; None where it is chunked."""
    if "transfer-encoding" in headers:
        return None
    length = headers.get("content-length", "0")
    if not length.isdecimal() or (isinstance(body, bytes) and int(length) != len(body)):
        raise httpx.LocalProtocolError(f"the request's content-length is {length[:20]!r}, but its body has another length")
    return int(length)
