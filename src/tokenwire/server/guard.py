"""A web page must not spend: what `tokenwire serve` refuses before anything runs.

Any page that a user looks at can make the browser send requests to a server on the user's machine. It can't read the
answers, but a handler would have run for them. So, of requests that say which page they come from (`Origin`):

- that page must be one of this server's own, or have an origin that was allowed (`--cors`);
- a server on a loopback address must be called by a name of that address or one that was allowed (`--allow-host`): another
  name can be of a page's own domain, which has come to mean this machine (DNS rebinding), and looks like the page's own server;
- a body must say that it is JSON, which a browser doesn't send to another origin without asking first.

Other clients send no `Origin`, and none of this concerns them. An app that is mounted elsewhere has its own rules, so
`create_app` knows nothing of this.
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
    """An app that answers web pages only where they may ask.

    Args:
        app: what answers.
        origins: whose pages may ask, beside the server's own.
        hosts: names by which pages reach this server, in lower case, beside those of the loopback interface.
        loopback: whether it can be reached from this machine alone.
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
        """What speaks against a request; None where nothing does."""
        origin, site = None, None
        for name, value in scope["headers"]:
            if name == b"origin":
                origin = value
            elif name == b"sec-fetch-site":
                site = value
        if origin is None and site is None:  # no browser
            return None
        if origin is not None and not self._origins.has(origin):
            host = (header_of(scope, b"host") or b"").decode("latin-1")
            if error := self._stranger(origin.decode("latin-1"), host):
                return error
        if scope["method"] in BODILESS or _is_json(header_of(scope, b"content-type") or b""):
            return None
        message = "a web page must send its request as content-type application/json"
        return BadRequestError(message, status_code=415, code="json_expected")

    def _stranger(self, origin: str, host: str) -> APIError | None:
        """What speaks against a page of an origin that was not allowed, on a server that it called by this host."""
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
    """Whether a name or an address in lower case is one of the loopback interface, which DNS can't give to anybody else."""
    if host == "localhost" or host.endswith(".localhost"):  # RFC 6761, 6.3
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _is_json(content_type: bytes) -> bool:
    kind = content_type.partition(b";")[0].strip().lower()
    return kind == b"application/json" or kind.endswith(b"+json")
