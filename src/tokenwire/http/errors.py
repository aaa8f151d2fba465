"""What goes wrong below a call, in our exceptions: the one place where httpx's are translated.

Our transport raises httpx's exceptions inside, as httpx2's clients raise httpx2's: one table says what each class becomes.
httpx2 is looked for among the modules that are loaded, for nothing else can have raised its exceptions.
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

# What an exception becomes: the class of ours, what happened, and what else the class is told.
Rule: TypeAlias = tuple[type[APIError], str, dict[str, Any]]

_MISTAKE: Rule = BadRequestError, "the request can't be sent", {"fault": "caller"}  # no retry could help
_LATE: Rule = Timeout, "nothing arrived in time", {}
_NOT_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "packet length too long")
_REST = "the request failed"


def _rules(edition: ModuleType) -> dict[type[BaseException], Rule]:
    """What the exceptions of httpx, or of another edition of it, become."""
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
    """Whether an exception that anyone raised means that the network, or the other side, failed: httpx's, or the system's."""
    rule = _rule_of(error)
    return isinstance(error, OSError) if rule is None else issubclass(rule[0], APIConnectionError)


def translated(error: Exception, url: str) -> APIError:
    """Our exception for what httpx, or the layers under and over it, raised while talking to `url`. No address is in it."""
    if isinstance(error, HeadersTooLarge):
        return LimitExceededError(str(error), limit="max_header_bytes")
    kind, text, details = _rule_of(error) or _unknown(error)
    return kind(text if kind is Timeout else f"{text}: {_reason(error, url)}", **details)


def _reason(error: Exception, url: str) -> str:
    """Why; OpenSSL's words for a server that answers in plain HTTP do not say so."""
    reason = shown_reason(error)
    if url.startswith("https:") and any(words in reason_of(error) for words in _NOT_TLS):
        return f"the server does not speak TLS: did you mean http://? ({reason})"
    return reason


def _unknown(error: Exception) -> Rule:
    """The system's error; or a hook's own bug, or a client that is closed."""
    return APIConnectionError, _REST, {"fault": "network" if isinstance(error, OSError) else "caller"}


def failure_of(error: Exception, url: str, deadline: float) -> APIError:
    """`translated`, for a request that had to be answered before `deadline`."""
    ours = error if isinstance(error, APIError) else translated(error, url)
    if isinstance(ours, Timeout) and _loops.now() >= deadline:
        ours.budget = None  # which of the caller's budgets it was, only the caller knows: it cut the smaller ones short
    return ours
