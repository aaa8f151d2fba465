"""Translates exceptions of HTTP into ours: the one place where httpx's are translated.

Our transport raises httpx's exceptions internally, and httpx2's clients raise httpx2's: one table maps each class to ours.
httpx2 is looked up among the loaded modules: if it is not loaded, it can't have raised an exception.
"""

import sys
from types import ModuleType
from typing import Any, TypeAlias

import httpx

from .. import _loops
from ..exceptions import (
    APIConnectionError,
    APIError,
    APIResponseValidationError,
    BadRequestError,
    LimitExceededError,
    Timeout,
)
from .protocol import HeadersTooLarge
from .reasons import reason_of, shown_reason

# What an exception is translated to: our class, the message, and further arguments of the class.
Rule: TypeAlias = tuple[type[APIError], str, dict[str, Any]]

_MISTAKE: Rule = BadRequestError, "the request can't be sent", {"fault": "caller"}  # a retry would fail too
_LATE: Rule = Timeout, "nothing arrived in time", {}
_NOT_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "packet length too long")
_NOT_TRUSTED = "CERTIFICATE_VERIFY_FAILED"
_REST = "the request failed"


def _rules(edition: ModuleType) -> dict[type[BaseException], Rule]:
    """The rules for the exceptions of httpx, or of another edition of it."""
    return {
        edition.ConnectTimeout: (Timeout, "no connection in time", {"budget": "connect"}),
        edition.PoolTimeout: (Timeout, "no free connection in time", {"budget": "pool"}),
        edition.WriteTimeout: (Timeout, "the request could not be sent in time", {"budget": "write"}),
        edition.TimeoutException: _LATE,
        edition.LocalProtocolError: _MISTAKE,
        edition.UnsupportedProtocol: _MISTAKE,
        edition.InvalidURL: _MISTAKE,
        edition.DecodingError: (APIResponseValidationError, "cannot decompress the body", {}),
        edition.ConnectError: (APIConnectionError, "cannot connect", {}),
        edition.ProxyError: (APIConnectionError, "the proxy did not connect", {}),
        edition.RemoteProtocolError: (APIConnectionError, "the answer is not valid HTTP", {}),
        edition.NetworkError: (APIConnectionError, "the connection broke", {}),
        edition.TransportError: (APIConnectionError, _REST, {}),
        edition.TooManyRedirects: (APIConnectionError, "redirected in circles", {}),
    }


_table: dict[type[BaseException], Rule] = {**_rules(httpx), TimeoutError: _LATE}


def _rule_of(error: BaseException) -> Rule | None:
    """The rule for the most specific of the exception's classes."""
    httpx2 = sys.modules.get("httpx2")
    if httpx2 is not None and httpx2.TransportError not in _table:
        _table.update(_rules(httpx2))
    return next((_table[kind] for kind in type(error).__mro__ if kind in _table), None)


def is_network_error(error: BaseException) -> bool:
    """Whether an exception, httpx's or the operating system's, means that the network or the peer failed."""
    rule = _rule_of(error)
    return isinstance(error, OSError) if rule is None else issubclass(rule[0], APIConnectionError)


def translated(error: Exception, url: str, proxy: str | None = None) -> APIError:
    """Our exception for one that httpx, or a layer below or above it, raised while talking to `url`. It has no address in it.

    Args:
        proxy: the environment variable that names the proxy, if the request goes through one.
    """
    if isinstance(error, HeadersTooLarge):
        return LimitExceededError(str(error), limit="max_header_bytes")
    kind, text, details = _rule_of(error) or _unknown(error)
    if proxy is not None:
        text = f"{text} through the environment's {proxy}"
    return kind(text if kind is Timeout else f"{text}: {_explained(error, url)}", **details)


def _explained(error: Exception, url: str) -> str:
    """The reason, with a hint if the server answered in plain HTTP or its certificate is not trusted: OpenSSL gives none."""
    reason, said = shown_reason(error), reason_of(error)
    if url.startswith("https:") and any(words in said for words in _NOT_TLS):
        return f"the server does not speak TLS: did you mean http://? ({reason})"
    if _NOT_TRUSTED in said:
        return f'{reason}; to trust an authority of your own: ssl_verify="authorities.pem", or SSL_CERT_FILE'
    return reason


def _unknown(error: Exception) -> Rule:
    """The rule for other exceptions: the operating system's errors, bugs in event hooks, a closed client."""
    return APIConnectionError, _REST, {"fault": "network" if isinstance(error, OSError) else "caller"}


def failure_of(error: Exception, url: str, deadline: float, proxy: str | None = None) -> APIError:
    """`translated`, for a request that had to be answered before `deadline`."""
    ours = error if isinstance(error, APIError) else translated(error, url, proxy)
    if isinstance(ours, Timeout) and _loops.now() >= deadline:
        ours.budget = None  # only the caller knows which of its budgets this deadline was
    return ours
