"""Our transport as a transport for httpx's and httpx2's clients: it gets their request and returns their response.

The response, its stream and all exceptions are of the request's library ("edition" here), which checks their classes.
httpx2 is never imported: if a request is httpx2's, it is loaded.
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
    """A response that is also its stream of bytes. `stream_class` makes it a subclass of an edition's stream."""

    __slots__ = ("timeout",)

    edition: ModuleType
    timeout: float | None  # the most seconds for each read

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        data = await self.receive(FOREVER if self.timeout is None else _loops.now() + self.timeout)
        if not data:
            raise StopAsyncIteration
        return data

    async def receive(self, deadline: float) -> bytes:
        """Wait for the next bytes of the body; b"" when it is complete. Being cancelled closes the response.

        Raises:
            ReadTimeout: nothing arrived before `deadline`. The response stays open.
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
        """Raise the edition's exception for an error of the connection."""
        raise_as(self.edition, error)

    def get_extra_info(self, info: str) -> Any:
        """Details by the names of httpcore's network streams: "socket", "ssl_object", "server_addr", "client_addr"."""
        return None if self._connection is None else self._connection.socket.extra_info(info)


@cache
def stream_class(edition: ModuleType) -> type[Body]:
    """A subclass of `Body` that an edition's client accepts as a stream."""
    return type("Body", (Body, edition.AsyncByteStream), {"edition": edition})


def raise_as(edition: ModuleType, error: Exception) -> NoReturn:
    """Raise an httpx exception as the edition's exception of the same name; any other as it is."""
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
    """The `Outgoing` for an edition's request.

    Raises:
        httpx.UnsupportedProtocol: see `origin_of`.
        httpx.LocalProtocolError: see `render_head`; or `content-length` does not fit the body.
    """
    timeout = request.extensions.get("timeout", {})
    body: bytes | AsyncIterable[bytes] = request.stream
    try:
        body = request.content  # bytes in memory are sent with the head, and can be sent again
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
    """The length of the body by its headers; None if it is chunked."""
    if "transfer-encoding" in headers:
        return None
    length = headers.get("content-length", "0")
    if not length.isdecimal() or (isinstance(body, bytes) and int(length) != len(body)):
        raise httpx.LocalProtocolError(f"the request's content-length is {length[:20]!r}, but its body has another length")
    return int(length)
