"""Keeps foreign web pages from using the models: `tokenwire serve` refuses their requests before a handler runs.

Any page that a user opens can make the browser send requests to a server on the user's machine. It can't read the answers,
but a handler would have run for them. So a request from a page, which has its `Origin`, is checked:

- the page must be one of this server's own, or have an origin that was allowed (`--cors`);
- a server on a loopback address must be called by a loopback name or one that was allowed (`--allow-host`): any other name can
  be of the page's own domain, which now resolves to this machine (DNS rebinding), so that the page seems to be this server's;
- a body must be declared as JSON, which a browser does not send to another origin without asking first.

Other clients send no `Origin`, and are not checked. An app that is mounted elsewhere has its own rules, so `create_app`
checks none of this.
"""

import logging
from collections.abc import Iterable
from ipaddress import ip_address

from tokenwire import APIError, BadRequestError, PermissionDeniedError

from .cors import ASGIApp, header_of
from .errors import refusal_for
from .metrics import Recorder
from .origins import Origins, host_and_port
from .visit import ClientLeft, Receive, Scope, Send, Visit

logger: logging.Logger = logging.getLogger("tokenwire.server")

BODILESS = ("GET", "HEAD", "OPTIONS")


class Guard:
    """An ASGI app around another, which refuses requests of web pages that are not allowed.

    Args:
        app: the other app.
        origins: the origins whose pages are allowed, in addition to the server's own.
        hosts: names by which pages may call this server, in lower case, in addition to those of the loopback interface.
        loopback: whether only this machine can reach the server.
    """

    def __init__(self, app: ASGIApp, origins: Origins, hosts: Iterable[str] = (), *, loopback: bool) -> None:
        self._app, self._origins, self._loopback = app, origins, loopback
        self._hosts = frozenset(host.strip("[]").removesuffix(".") for host in hosts)
        self._recorder = Recorder()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection scope; see the ASGI specification, 3.0."""
        error = self._objection(scope) if scope["type"] == "http" else None
        if error is None:
            await self._app(scope, receive, send)
        else:
            await self._refuse(Visit(scope, receive, send), error)

    def _objection(self, scope: Scope) -> APIError | None:
        """The reason to refuse a request; None if there is none."""
        origin, site = None, None
        for name, value in scope["headers"]:
            if name == b"origin":
                origin = value
            elif name == b"sec-fetch-site":
                site = value
        if origin is None and site is None:  # not a browser
            return None
        if origin is not None and not self._origins.has(origin):
            host = (header_of(scope, b"host") or b"").decode("latin-1")
            if error := self._objection_to_page(origin.decode("latin-1"), host):
                return error
        if scope["method"] in BODILESS or _is_json(header_of(scope, b"content-type") or b""):
            return None
        message = "a web page must send its request as content-type application/json"
        return BadRequestError(message, status_code=415, code="json_expected")

    def _objection_to_page(self, origin: str, host: str) -> APIError | None:
        """The reason to refuse a page of an origin that was not allowed; `host` is the name by which it called this server."""
        scheme, _, netloc = origin.partition("://")
        page, called = host_and_port(netloc, scheme), host_and_port(host, scheme)
        if page[0] in self._hosts and page[0]:  # a proxy may have called this server by another name
            return None
        if not page[0] or page != called:
            message = (
                f"requests of web pages at {origin!r:.200} are not allowed here (tokenwire serve --cors ORIGIN allows them)"
            )
            return PermissionDeniedError(message, code="origin_not_allowed")
        if self._loopback and not is_loopback(called[0]):
            message = f"web pages may not call this server {called[0]!r:.200} (tokenwire serve --allow-host HOST allows it)"
            return PermissionDeniedError(message, code="host_not_allowed")
        return None

    async def _refuse(self, visit: Visit, error: APIError) -> None:
        logger.warning("%s: refused: %s", visit.request_id, error.message)
        refusal = refusal_for(error, visit.request_id)
        try:
            await visit.respond(refusal.body(), refusal.status, headers=refusal.headers)
        except ClientLeft:
            pass
        visit.end("error")
        self._recorder.end(visit)


def is_loopback(host: str) -> bool:
    """Whether a name or address, in lower case, is always the loopback interface's, whatever DNS answers."""
    if host == "localhost" or host.endswith(".localhost"):  # RFC 6761, 6.3
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _is_json(content_type: bytes) -> bool:
    kind = content_type.partition(b";")[0].strip().lower()
    return kind == b"application/json" or kind.endswith(b"+json")
