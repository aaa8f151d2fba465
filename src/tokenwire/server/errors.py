"""Errors → refusals: a status, headers, and OpenAI's error object. An endpoint's error object is passed on as it came, with
the fields next to it.

A message that was meant for the caller is sent: those of this server's refusals, of an endpoint's, and of a handler's
exception that has an HTTP status. Any other error (a bug in a handler, a wrong setting of this server, an endpoint that can't
be reached) is logged in full, and the client gets a general message.

A status that an endpoint or a handler set is kept. Without one, this server is a gateway (RFC 9110, 15.6): 502 if the endpoint
can't be reached, breaks off, or sends something other than an answer; 504 if it, or a handler, takes too long. A fault of this
server is a 500.
"""

import logging
import math
from typing import Any

import msgspec

from tokenwire import APIConnectionError, APIError, APIResponseValidationError, StreamTruncatedError, Timeout

from .requests import SERVERS_OWN
from .upstream import is_safe

logger: logging.Logger = logging.getLogger("tokenwire.server")

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    408: "timeout_error",
    409: "conflict_error",
    429: "rate_limit_error",
    504: "timeout_error",
}

INTERNAL = "internal error"

_HEADERS_OF = {405: ("allow",), 415: ("accept-encoding",)}  # the headers that such a refusal has


class Refusal(msgspec.Struct, frozen=True):
    """What the client gets instead of an answer.

    Attributes:
        status: 400 to 599.
        error: OpenAI's error object, with message, type, param and code, or an endpoint's as it came.
        headers: those that belong to the status.
        beside: the fields that an endpoint sent next to its error object.
        sent: the body that an endpoint sent, if it can be passed on as it came.
    """

    status: int
    error: dict[str, Any]
    headers: tuple[tuple[bytes, bytes], ...] = ()
    beside: dict[str, Any] = {}
    sent: bytes | None = None

    def body(self) -> bytes:
        """The response's JSON."""
        return self.sent or msgspec.json.encode({**self.beside, "error": self.error})

    def event(self) -> dict[str, Any]:
        """The data of an event that ends a stream. If the error has no code, the status is its code: events have no status."""
        return {**self.beside, "error": {**self.error, "code": self.error.get("code") or str(self.status)}}


def refusal_for(error: BaseException, request_id: str) -> Refusal:
    """The refusal for an error. What the client may not see is logged under the request's id."""
    refusal = _refusal_for(error, request_id)
    try:
        msgspec.json.encode((refusal.beside, refusal.error))
    except (TypeError, ValueError, RecursionError):  # a handler's exception may hold anything
        message = str(refusal.error.get("message")).encode(errors="backslashreplace").decode()
        return Refusal(refusal.status, _refusal(refusal.status, message).error, refusal.headers)
    return refusal


def _refusal_for(error: BaseException, request_id: str) -> Refusal:
    if isinstance(error, APIError):
        status, hidden = _status(error), _hidden(error)
        if hidden is None:
            return _refusal(status, error.message, error)
    else:
        status, hidden = 500, INTERNAL
    logger.error("%s failed", request_id, exc_info=error)
    return _refusal(status, hidden)


def _status(error: APIError) -> int:
    if _is_setting(error):
        return 500
    asked = error.request is not None  # an endpoint, by this server or by its handler
    if isinstance(error, Timeout) and error.fault != "server" and (asked or error.budget or error.__cause__ is not None):
        return 504
    if asked and error.fault in ("network", "protocol"):
        return 502
    return error.status_code if 400 <= error.status_code < 600 else 500


def _hidden(error: APIError) -> str | None:
    """The words in place of those that are not for the client; None where they are."""
    if _is_setting(error):
        return INTERNAL
    if isinstance(error, APIResponseValidationError):
        return "the model's answer could not be understood"
    if not isinstance(error, APIConnectionError) or error.__cause__ is None or error.response is not None:
        return None
    if isinstance(error, Timeout):
        return "the model took too long"
    if isinstance(error, StreamTruncatedError):
        return "the answer was cut before it was complete"
    is_gateways = error.request is not None and error.fault == "network"
    return "no complete answer came from the model's endpoint" if is_gateways else INTERNAL


def _is_setting(error: APIError) -> bool:
    """Whether the server's own settings are wrong: a keyword, or an address that redirects to another one."""
    has_moved = error.response is not None and 300 <= error.status_code < 400
    return has_moved or (error.fault == "caller" and error.param in SERVERS_OWN)


def _refusal(status: int, message: str, error: APIError | None = None) -> Refusal:
    headers: list[tuple[bytes, bytes]] = []
    sent = {} if error is None else error.headers
    if error is not None and error.retry_after is not None and not is_safe(sent.get("retry-after", "\n")):
        headers.append((b"retry-after", b"%d" % math.ceil(error.retry_after)))
    names = [name for name in _HEADERS_OF.get(status, ()) if name in sent]
    headers += [(name.encode(), sent[name].encode("latin-1", "replace")) for name in names]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    kind = _TYPES.get(status) or ("invalid_request_error" if status < 500 else "server_error")
    fields: dict[str, Any] = {"message": message, "type": kind, "param": None, "code": None}
    if error is None:
        return Refusal(status, fields, tuple(headers))
    fields |= {"type": error.type or kind, "param": error.param, "code": error.code}
    own, beside = _endpoints_own(error)
    if "message" not in own:
        return Refusal(status, {**fields, **own}, tuple(headers), beside)
    return Refusal(status, own, tuple(headers), beside, None if error.response is None else error.response.content)


def _endpoints_own(error: APIError) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields of an endpoint's error object, and those next to it; empty if its error has another form."""
    body = error.body
    if not isinstance(body, dict):
        return {}, {}
    beside = {name: value for name, value in body.items() if name != "error"}
    if isinstance(body.get("error"), dict):
        return body["error"], beside
    # An exception of another client library, raised by a handler, may have the error object alone.
    return ({}, beside) if error.response is not None or "message" not in body else (beside, {})
