"""From what went wrong to what the client is told of it: a status, headers, and OpenAI's error object.

Words that were meant for the caller pass: a server's own refusals, those of an endpoint behind it, and the message of a
handler's exception that has an HTTP status. Everything else (a bug in a handler, a wrong setting of this server, an
endpoint that can't be reached) is logged in full and told in general words.
"""

import logging
import math
from typing import Any

import msgspec

from tokenwire import APIConnectionError, APIError, APIResponseValidationError, StreamTruncatedError, Timeout

from .requests import SERVERS_OWN

logger: logging.Logger = logging.getLogger("tokenwire.server")

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    408: "timeout_error",
    409: "conflict_error",
    429: "rate_limit_error",
}


class Refusal(msgspec.Struct, frozen=True):
    """What the client is told.

    Attributes:
        status: 400 to 599.
        error: OpenAI's error object: message, type, param, code.
        headers: those that the status calls for.
    """

    status: int
    error: dict[str, Any]
    headers: tuple[tuple[bytes, bytes], ...] = ()

    def body(self) -> bytes:
        """The response's JSON."""
        return msgspec.json.encode({"error": self.error})

    def event(self) -> bytes:
        """The event that ends a stream. Its code is the status where there is no better one: a stream has no other place for it."""
        error = {**self.error, "code": self.error["code"] or str(self.status)}
        return b"data: " + msgspec.json.encode({"error": error}) + b"\n\n"


def refusal_for(error: Exception, request_id: str) -> Refusal:
    """What to tell of `error`; what is kept from the client is logged under the request's id."""
    if isinstance(error, APIError):
        hidden = _hidden(error)
        if hidden is None:
            return _refusal(error.status_code if 400 <= error.status_code < 600 else 500, error.message, error)
    else:
        hidden = (500, "internal error")
    logger.error("%s failed", request_id, exc_info=error)
    return _refusal(*hidden)


def _hidden(error: APIError) -> tuple[int, str] | None:
    """The status and the words in place of those that are not for the client; None where they are."""
    if error.param in SERVERS_OWN:
        return 500, "internal error"  # a setting of this server's
    if isinstance(error, APIResponseValidationError):
        return 500, "the model's answer could not be understood"
    if not isinstance(error, APIConnectionError) or error.__cause__ is None or error.response is not None:
        return None
    if isinstance(error, Timeout):
        return error.status_code, "the model took too long"
    if isinstance(error, StreamTruncatedError):
        return 500, "the answer was cut before it was complete"
    return 500, "internal error"


def _refusal(status: int, message: str, error: APIError | None = None) -> Refusal:
    headers: list[tuple[bytes, bytes]] = []
    if error is not None and error.retry_after is not None:
        headers.append((b"retry-after", b"%d" % math.ceil(error.retry_after)))
    if error is not None and status == 405 and "allow" in error.headers:
        headers.append((b"allow", error.headers["allow"].encode("latin-1", "replace")))
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    said = {"type": None, "param": None, "code": None}
    if error is not None:
        said = {"type": error.type, "param": error.param, "code": error.code}
    kind = said["type"] or _TYPES.get(status) or ("invalid_request_error" if status < 500 else "server_error")
    return Refusal(status, {"message": message, **said, "type": kind}, tuple(headers))
