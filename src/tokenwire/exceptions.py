"""All exceptions of this library.

    TokenwireError
    ├── APIError                               a call failed; the attributes below say how
    │   ├── APIConnectionError                 no complete answer arrived
    │   │   ├── Timeout                        408 or 504; `budget` names which deadline ran out
    │   │   └── StreamTruncatedError           the body ended before the stream was complete
    │   ├── APIResponseValidationError         the answer does not follow the protocol
    │   │   ├── LimitExceededError             the answer is larger than one of our named limits
    │   │   ├── OutputValidationError          the answer is not a value of the requested type; `path` says where
    │   │   ├── OutputIncompleteError          it was cut short; `value` has the complete part
    │   │   └── OutputRefusedError             the model refused to answer
    │   ├── BadRequestError                    400, and any 4xx without its own class
    │   │   ├── ContextWindowExceededError
    │   │   ├── ContentPolicyViolationError
    │   │   ├── UnsupportedParamsError
    │   │   ├── ImageFetchError
    │   │   ├── RejectedRequestError
    │   │   ├── UnknownProviderError           also `LiteLLMUnknownProvider`
    │   │   └── PaymentRequiredError           402
    │   ├── AuthenticationError                401, or no key where one is required
    │   ├── PermissionDeniedError              403
    │   ├── NotFoundError                      404
    │   ├── ConflictError                      409
    │   ├── UnprocessableEntityError           422
    │   ├── RateLimitError                     429
    │   ├── InternalServerError                500, and any 5xx without its own class
    │   ├── BadGatewayError                    502
    │   ├── ServiceUnavailableError            503
    │   └── MockException                      raised on request by `mock_response`
    └── StreamClosedError                      the caller used a stream after closing it

The names and statuses are LiteLLM's and OpenAI's. All classes can be pickled. tokenwire passes their details by keyword; code
written for LiteLLM may pass them by position, in the order of LiteLLM's classes: `RateLimitError("m", "provider", "model")`, but
`BadRequestError("m", "model", "provider")` and `APIError(503, "m", "provider", "model")`.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

if TYPE_CHECKING:
    import httpx

    from .types.attempts import Attempt, RequestInfo

__all__ = [
    "APIConnectionError",
    "APIError",
    "APIResponseValidationError",
    "AuthenticationError",
    "BadGatewayError",
    "BadRequestError",
    "ConflictError",
    "ContentPolicyViolationError",
    "ContextWindowExceededError",
    "ImageFetchError",
    "InternalServerError",
    "LimitExceededError",
    "LiteLLMUnknownProvider",
    "MockException",
    "NotFoundError",
    "OutputIncompleteError",
    "OutputRefusedError",
    "OutputValidationError",
    "PaymentRequiredError",
    "PermissionDeniedError",
    "RateLimitError",
    "RejectedRequestError",
    "ServiceUnavailableError",
    "StreamClosedError",
    "StreamTruncatedError",
    "Timeout",
    "TokenwireError",
    "UnknownProviderError",
    "UnprocessableEntityError",
    "UnsupportedParamsError",
]


# Whose failure it is: no complete answer arrived, the server refused or failed, it broke the protocol, a handler raised, or the
# caller's arguments are wrong.
Fault: TypeAlias = Literal["network", "server", "protocol", "handler", "caller"]


# The positional parameters of LiteLLM's classes, after the message.
_PROVIDER_FIRST = ("llm_provider", "model", "response", "litellm_debug_info", "max_retries", "num_retries")
_MODEL_FIRST = ("model", "llm_provider", *_PROVIDER_FIRST[2:])
_WITH_REQUEST = tuple("request" if name == "response" else name for name in _PROVIDER_FIRST)

# Parameters that only LiteLLM's classes have. Stored as attributes, except requests, which may have keys.
_LITELLM_ONLY = frozenset({
    "litellm_debug_info", "max_retries", "num_retries", "request", "request_data", "category", "rate_limit_type", "detail",
    "provider_specific_fields", "provider_status_code",
})  # fmt: skip
_NOT_KEPT = frozenset({"request", "request_data"})
_PASSING = frozenset({408, 409, 429})  # statuses after which another attempt may succeed; and 5xx


class TokenwireError(Exception):
    """The base of all exceptions of this library."""


class StreamClosedError(TokenwireError):
    """The caller used a stream after closing it."""


def _restore(cls: "type[APIError]", state: dict[str, Any]) -> "APIError":
    error = cls.__new__(cls)
    Exception.__init__(error, state["message"])
    error.__dict__.update(state)
    return error


class APIError(TokenwireError):
    """A call failed.

    Attributes:
        message: what went wrong, as the server described it if it did. This library's own messages about the network and
            servers have no addresses, and may be shown to users; those of servers and handlers are unchanged.
        request: method and URL of the request, a `RequestInfo`; None for a handler, or if nothing was sent. Also in a note of
            the exception, which tracebacks and `logging` show, but `str(error)` does not.
        status_code: the HTTP status, or LiteLLM's status for this kind of failure.
        llm_provider: the provider's name, "" if it is not known.
        model: the model as named by the caller, without the provider's prefix.
        code: which error it is; a field of OpenAI's error object, as are the next two. None if absent.
        param: the parameter that caused the error.
        type: the kind of error.
        body: the decoded error body (a JSON value, or text); None if there was none.
        request_id: the server's id for this request, from its headers.
        response: an `httpx.Response` with status, headers and body; it has no request, and so no key.
        headers: the response's headers in lower case, `{}` if there was no response.
        retry_after: seconds that the server asked to wait; None if it did not.
        partial: the `ModelResponse` (or `TextCompletionResponse`) assembled before the failure; None if no chunk arrived.
        retryable: whether the same request may succeed later.
        attempts: the result of each attempt of this call, oldest first.
        fault: whose failure it is: "network", "server", "protocol", "handler" or "caller".
    """

    default_status: ClassVar[int] = 500
    default_fault: ClassVar[Fault] = "server"
    _order: ClassVar[tuple[str, ...]] = _PROVIDER_FIRST

    def __init__(
        self,
        message: str = "",
        *details: object,
        status_code: int | None = None,
        llm_provider: str = "",
        model: str = "",
        code: str | None = None,
        param: str | None = None,
        type: str | None = None,
        body: Any = None,
        request_id: str | None = None,
        response: "httpx.Response | None" = None,
        headers: Mapping[str, str] | None = None,
        retry_after: float | None = None,
        partial: Any = None,  # the caller knows which of the two types it can be
        fault: Fault | None = None,
        **litellm: Any,  # see `_LITELLM_ONLY`
    ) -> None:
        if details:
            named = self._by_name(message, details)
            message, status_code = named.pop("message"), named.pop("status_code", status_code)
            llm_provider, model = named.pop("llm_provider", llm_provider), named.pop("model", model)
            response = named.pop("response", response)
            litellm = {**named, **litellm}
        if unknown := litellm.keys() - _LITELLM_ONLY:
            raise TypeError(f"{self.__class__.__name__} takes no {', '.join(sorted(unknown))}")
        super().__init__(message)
        self.__dict__.update({name: value for name, value in litellm.items() if name not in _NOT_KEPT})
        self.message = message
        self.status_code: int = self.default_status if status_code is None else status_code
        self.llm_provider = llm_provider
        self.model = model
        self.code = code
        self.param = param
        self.type = type
        self.body = body
        self.request_id = request_id
        self.response = response
        self.headers: dict[str, str] = dict(headers or {})
        self.retry_after = retry_after
        self.partial = partial
        self.request: RequestInfo | None = None
        self.attempts: tuple[Attempt, ...] = ()
        self.fault: Fault = self.default_fault if fault is None else fault

    @classmethod
    def _by_name(cls, first: object, details: tuple[Any, ...]) -> dict[str, Any]:
        """The positional arguments by name: in LiteLLM's order, which begins with the status if the first one is a number."""
        names = ("status_code", "message", *_WITH_REQUEST) if isinstance(first, int) else ("message", *cls._order)
        if len(details) >= len(names):
            raise TypeError(f"{cls.__name__} takes at most {len(names)} positional arguments: {', '.join(names)}")
        return dict(zip(names, (first, *details), strict=False))

    def __str__(self) -> str:
        where = "/".join(part for part in (self.llm_provider, self.model) if part)
        details = [f"{name} {value}" for name, value in (("code", self.code), ("param", self.param)) if value]
        if self.request_id:
            details.append(f"request id {self.request_id}")
        text = f"{where}: {self.message}" if where else self.message
        return f"{text} ({', '.join(details)})" if details else text

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed later: `num_retries` repeats it then, and a job queue may.

        True for failures of the network and for the statuses 408, 409, 429 and 5xx, unless the fault is the caller's, the
        handler's or the protocol's, or the `total` deadline ran out. A server's `x-should-retry` takes precedence over all of
        these.
        """
        asked = self.headers.get("x-should-retry")
        if asked in ("true", "false"):
            return asked == "true"
        if self.fault in ("protocol", "caller", "handler"):  # a handler's own exception is a bug, which a retry would hide
            return False
        return self._is_passing

    @property
    def _is_passing(self) -> bool:
        return self.status_code in _PASSING or self.status_code >= 500

    def __reduce__(self) -> tuple[object, ...]:
        return _restore, (type(self), self.__dict__.copy())


class APIConnectionError(APIError):
    """No complete answer arrived: the connection was refused, reset, or cut."""

    default_fault: ClassVar[Fault] = "network"
    _order = _WITH_REQUEST

    @property
    def _is_passing(self) -> bool:
        return True


class Timeout(APIConnectionError):
    """A deadline ran out.

    Attributes:
        budget: which one: "connect", "pool", "write", "first_content", "idle" or "total"; None if the server answered 408 or
            504.
    """

    default_status = 408
    _order = ("model", "llm_provider", "litellm_debug_info", "max_retries", "num_retries", "headers", "exception_status_code")

    def __init__(self, message: str = "", *details: object, budget: str | None = None, **kwargs: Any) -> None:
        if details:
            kwargs = {**kwargs, **self._by_name(message, details)}
            message = kwargs.pop("message")
        if status := kwargs.pop("exception_status_code", None):  # LiteLLM's name
            kwargs["status_code"] = status
        super().__init__(message, **kwargs)
        self.budget = budget

    @property
    def _is_passing(self) -> bool:
        return self.budget != "total"


class StreamTruncatedError(APIConnectionError):
    """The body ended before `[DONE]` and before every choice had a finish reason; `partial` has what arrived."""


class APIResponseValidationError(APIError):
    """The answer does not follow the protocol: malformed JSON, invalid UTF-8, a wrong shape, HTML.

    `body` has the invalid bytes, up to a limit.
    """

    default_fault: ClassVar[Fault] = "protocol"
    _order = ("llm_provider", "model", "litellm_debug_info", "max_retries", "num_retries")


class LimitExceededError(APIResponseValidationError):
    """The answer is larger than one of this library's limits.

    Attributes:
        limit: the limit's name, such as "max_event_bytes".
    """

    def __init__(self, message: str = "", *details: object, limit: str = "", **kwargs: Any) -> None:
        super().__init__(message, *details, **kwargs)
        self.limit = limit


class OutputValidationError(APIResponseValidationError):
    """An answer is not a value of the type that the call requested.

    Attributes:
        path: where, such as "lines[2].price"; "" for the whole.
        expected: what the type requires there, and what was found.
        text: the answer.
    """

    def __init__(
        self, message: str = "", *details: object, path: str = "", expected: str = "", text: str = "", **kwargs: Any
    ) -> None:
        super().__init__(message, *details, **kwargs)
        self.path: str = path
        self.expected: str = expected
        self.text: str = text


class OutputIncompleteError(APIResponseValidationError):
    """An answer ended before it was a complete value of the type that the call requested.

    Attributes:
        text: the part of the answer that arrived.
        value: the part of its value that arrived, as plain dicts and lists; None if there is nothing.
    """

    def __init__(self, message: str = "", *details: object, text: str = "", value: Any = None, **kwargs: Any) -> None:
        super().__init__(message, *details, **kwargs)
        self.text: str = text
        self.value: Any = value


class OutputRefusedError(APIResponseValidationError):
    """The model refused to give an answer of the type that the call requested; the message has its refusal.

    Attributes:
        text: the text that it answered nevertheless, usually "".
    """

    def __init__(self, message: str = "", *details: object, text: str = "", **kwargs: Any) -> None:
        super().__init__(message, *details, **kwargs)
        self.text: str = text


class BadRequestError(APIError):
    """The request is wrong, according to the server or to this library's own check (400, or another 4xx)."""

    default_status = 400
    _order = _MODEL_FIRST


class ContextWindowExceededError(BadRequestError):
    """The prompt, or the prompt and the answer together, do not fit into the model's context."""


class ContentPolicyViolationError(BadRequestError):
    """The provider's content filter refused the request."""


class UnsupportedParamsError(BadRequestError):
    """The provider does not support this parameter."""

    _order = ("llm_provider", "model", "status_code", *_PROVIDER_FIRST[2:])


class ImageFetchError(BadRequestError):
    """The provider could not fetch an image to which a message refers."""


class RejectedRequestError(BadRequestError):
    """A guardrail refused the request before it reached the model."""

    _order = ("model", "llm_provider", "request_data", "litellm_debug_info")


class UnknownProviderError(BadRequestError):
    """No handler is registered for this model. May be made from the model and the provider, as in LiteLLM."""

    def __init__(self, message: str = "", custom_llm_provider: str | None = None, **kwargs: Any) -> None:
        if custom_llm_provider is not None:
            model = kwargs.setdefault("model", message)
            message = f"no handler is registered for the provider {custom_llm_provider} of the model {model}"
            kwargs.setdefault("llm_provider", custom_llm_provider)
        super().__init__(message, **kwargs)


LiteLLMUnknownProvider = UnknownProviderError


class PaymentRequiredError(BadRequestError):
    """The account has no credit left."""

    default_status = 402


class AuthenticationError(APIError):
    """The key is missing, or the server refused it."""

    default_status = 401


class PermissionDeniedError(APIError):
    """The key is valid, but does not permit this request."""

    default_status = 403


class NotFoundError(APIError):
    """The model or the path does not exist."""

    default_status = 404
    _order = _MODEL_FIRST


class ConflictError(APIError):
    """The request conflicts with another one, according to the server."""

    default_status = 409


class UnprocessableEntityError(APIError):
    """The request is well formed, but the server can't process it."""

    default_status = 422
    _order = _MODEL_FIRST


class RateLimitError(APIError):
    """Too many requests, or no quota left. `retry_after` has the seconds to wait, if the server sent them."""

    default_status = 429


class InternalServerError(APIError):
    """The server failed (500, or another 5xx such as 529, "overloaded")."""


class BadGatewayError(APIError):
    """A gateway got no valid answer from its server."""

    default_status = 502


class ServiceUnavailableError(APIError):
    """The server does not accept requests at the moment."""

    default_status = 503


class MockException(APIError):
    """The error that `mock_response` requested, if no other class fits."""

    _order = _WITH_REQUEST


def refused(param: str, message: str) -> BadRequestError:
    """The error for an argument that is wrong or can't be sent; nothing was sent."""
    return BadRequestError(message, param=param, fault="caller")


def wrong(name: str, expected: str, value: object) -> BadRequestError:
    """The same, with the usual message. `name` may include the place in the argument, such as `messages[2]`."""
    shown = repr(value)
    shown = shown if len(shown) <= 80 else f"{shown[:77]}..."
    return refused(name.partition("[")[0], f"{name} must be {expected}, not {shown}")


def without_secrets(url: str) -> str:
    """An address for a message: user names, passwords, queries and fragments, which can hold keys, are left out."""
    scheme, slashes, rest = url.partition("#")[0].partition("?")[0].partition("//")
    host, slash, path = rest.partition("/")
    return f"{scheme}{slashes}{host.rpartition('@')[2]}{slash}{path}"


def unreadable(text: str) -> str:
    """A text that is not a valid address, for a message: without all that is before its last "@", which may be a password."""
    before, _, rest = text.rpartition("@")
    scheme, slashes, _ = before.partition("://")
    return without_secrets(f"{scheme}{slashes}{rest}" if slashes else rest)
