"""Cross-origin requests (CORS): the headers with which a browser lets a web page read an answer (the Fetch standard, 3.3).

The app is wrapped, so that refusals and streams have these headers too. A request without an `Origin` is passed on unchanged.
Credentials are not allowed, since cookies have no use here: pages send their key in a header, as other clients do.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from .origins import Origins
from .upstream import is_safe
from .visit import Receive, Scope, Send

ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

ASKED_METHOD, ASKED_HEADERS = b"access-control-request-method", b"access-control-request-headers"
PREFLIGHT = (
    (b"access-control-allow-methods", b"GET, HEAD, POST"),
    (b"access-control-max-age", b"7200"),  # seconds; Chromium remembers an answer for no longer
    (b"vary", b"access-control-request-headers"),
)


class CORS:
    """An ASGI app around another, whose answers the pages of some origins may then read.

    Args:
        app: the other app.
        origins: the origins of these pages.
    """

    def __init__(self, app: ASGIApp, origins: Origins) -> None:
        self._app, self._origins = app, origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; see the ASGI specification, 3.0."""
        origin = header_of(scope, b"origin")
        if origin is None:
            await self._app(scope, receive, send)
            return
        headers = self._headers(origin)
        if scope["method"] == "OPTIONS" and self._origins.has(origin) and header_of(scope, ASKED_METHOD) is not None:
            await _answer_preflight(scope, send, headers)
            return

        async def send_with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *headers]}
            await send(message)

        await self._app(scope, receive, send_with_headers)

    def _headers(self, origin: bytes) -> list[tuple[bytes, bytes]]:
        if self._origins.any:
            allowed = [(b"access-control-allow-origin", b"*")]
        elif self._origins.has(origin):
            allowed = [(b"access-control-allow-origin", origin), (b"vary", b"origin")]
        else:
            return [(b"vary", b"origin")]
        return [*allowed, (b"access-control-expose-headers", b"*")]


def header_of(scope: Scope, name: bytes) -> bytes | None:
    """The value of a request's header; None if there is none. `name` is in lower case."""
    for known, value in scope["headers"]:
        if known == name:
            return value
    return None


async def _answer_preflight(scope: Scope, send: Send, headers: list[tuple[bytes, bytes]]) -> None:
    """Allow the request that a browser asks about, with the headers that it asks about."""
    wanted = header_of(scope, ASKED_HEADERS)
    if wanted is not None and is_safe(wanted.decode("latin-1")):  # by name: `*` does not include `authorization`
        headers = [*headers, (b"access-control-allow-headers", wanted)]
    await send({"type": "http.response.start", "status": 204, "headers": [*headers, *PREFLIGHT]})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
