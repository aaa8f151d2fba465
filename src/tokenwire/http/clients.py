"""Requests through httpx's `AsyncClient`, or httpx2's: the user's own client, or one that uses a proxy.

Requests are built by the client itself, so its base headers, cookies, auth, event hooks, mounts and redirects apply.
"""

from collections.abc import AsyncGenerator, Iterable
from typing import Any, cast

import anyio
import httpx

from .. import _loops
from .errors import failure_of, translated
from .exchange import HTTPRequest, HTTPResponse, Sender
from .transport import HTTPTransport

CLOSE_SECONDS = 5.0  # how long closing a client's response may take


class HTTPXSender:
    """A `Sender` over an `httpx.AsyncClient` or an `httpx2.AsyncClient`.

    Args:
        proxy: the environment variable that names the client's proxy, for messages; None for the user's own client.
    """

    __slots__ = ("_client", "_proxy")

    def __init__(self, client: httpx.AsyncClient, proxy: str | None = None) -> None:
        self._client = client
        self._proxy = proxy

    async def send(self, request: HTTPRequest, deadline: float) -> HTTPResponse:
        """See `Sender.send`."""
        timeout = {"connect": request.connect, "pool": request.pool, "write": request.write, "read": None}
        try:
            built = self._client.build_request(
                request.method,
                request.url,
                headers={**request.headers, **request.trace} if request.trace else request.headers,
                content=request.body or None,
                extensions={"timeout": timeout},
            )
            with anyio.fail_after(deadline - _loops.now()):
                response = await self._response_to(built)
        except Exception as error:
            raise failure_of(error, request.url, deadline, self._proxy) from error
        return ClientResponse(response, request.url)

    async def _response_to(self, built: httpx.Request) -> httpx.Response:
        try:
            return await self._client.send(built, stream=True)
        except Exception as error:
            response: Any = getattr(error, "response", None)
            if getattr(response, "status_code", 0) < 400:
                raise
            return response  # an event hook called raise_for_status(); our caller decides what the status means


class ClientResponse(HTTPResponse):
    """A response of the user's client."""

    __slots__ = ("_chunks", "_data", "_error", "_response", "_was_late")

    def __init__(self, response: httpx.Response, url: str) -> None:
        super().__init__(response.status_code, url)
        self._response = response
        self._chunks = cast("AsyncGenerator[bytes, None]", response.aiter_bytes())
        self._data: bytes | None = None
        self._error: Exception | None = None
        self._was_late = False

    def raw_headers(self) -> Iterable[tuple[bytes, bytes]]:
        """See `HTTPResponse`."""
        return self._response.headers.raw

    def take(self) -> bytes | None:
        """See `HTTPResponse`."""
        if self._error is not None:
            raise translated(self._error, self.url) from self._error
        data = self._data
        self._data = None if data else data  # b"" is returned again by every later call
        return data

    async def wait(self, deadline: float) -> bool:
        """See `HTTPResponse`."""
        if self._data is not None or self._error is not None:
            return True
        if self._was_late:
            return False
        try:
            with anyio.move_on_after(deadline - _loops.now()) as scope:
                self._data = await self._next_chunk()
        except Exception as error:  # noqa: BLE001  (`take` raises it)
            self._error = error
            return True
        self._was_late = scope.cancelled_caught  # this ended httpx's generator, but not the body
        return not self._was_late

    async def _next_chunk(self) -> bytes:
        async for data in self._chunks:
            if data:
                return bytes(data)
        return b""

    async def aclose(self) -> None:
        """See `HTTPResponse`."""
        with anyio.move_on_after(CLOSE_SECONDS, shield=True):
            try:
                await self._response.aclose()
                await self._chunks.aclose()
            except Exception:  # noqa: BLE001, S110
                pass  # a connection that can't be closed properly is closed nevertheless


def sender_of(client: HTTPTransport | httpx.AsyncClient) -> Sender:
    """The sender for a client: our transport is one itself, an httpx or httpx2 client is wrapped."""
    return client if isinstance(client, HTTPTransport) else HTTPXSender(client)
