"""Every exception that leaves this library, and nothing else.

::

    TokenwireError
    ├── APIError                               a call failed; the attributes below say how
    │   ├── APIConnectionError                 no complete answer arrived
    │   │   ├── Timeout                        408 or 504; `budget` names which deadline ran out
    │   │   └── StreamTruncatedError           the body ended before the stream was complete
    │   ├── APIResponseValidationError         the answer is not what the protocol says
    │   │   └── LimitExceededError             the answer outgrew one of our named limits
    │   ├── BadRequestError                    400, and any 4xx without a class of its own
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
    │   ├── InternalServerError                500, and any 5xx without a class of its own
    │   ├── BadGatewayError                    502
    │   ├── ServiceUnavailableError            503
    │   └── MockException                      raised on request by `mock_response`
    └── StreamClosedError                      the caller used a stream after closing it

The names and statuses are LiteLLM's and OpenAI's. Every class pickles.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

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


class TokenwireError(Exception):
    """The root of every exception this library raises on purpose."""


class StreamClosedError(TokenwireError):
    """The caller asked a stream for more after closing it."""


def _restore(cls: "type[APIError]", state: dict[str, Any]) -> "APIError":
    error = cls.__new__(cls)
    Exception.__init__(error, state["message"])
    error.__dict__.update(state)
    return error


class APIError(TokenwireError):
    """A call failed.

    Attributes:
        message: what went wrong, in the server's words where it gave any.
        status_code: the HTTP status, or the one LiteLLM gives this kind of failure.
        llm_provider: the provider's name, "" when none was resolved.
        model: the model as the caller named it, without the provider's prefix.
        code, param, type: the fields of OpenAI's error object, None when absent.
        body: the decoded error body (a JSON value, or text), None when there was none.
        request_id: the server's id for this request, from its headers.
        response: an `httpx.Response` with status, headers and body; it carries no request and so no key.
        headers: the response's headers in lower case, `{}` when there was no response.
        retry_after: seconds the server asked to wait, None when it did not.
        partial: the `ModelResponse` (or `TextCompletionResponse`) assembled up to the failure, None before any chunk.
        attempts: what each attempt of this call came to, oldest first.
    """

    default_status: ClassVar[int] = 500

    def __init__(
        self,
        message: str = "",
        *,
        status_code: int | None = None,
        llm_provider: str = "",
        model: str = "",
        code: str | None = None,
        param: str | None = None,
        type: str | None = None,
        body: Any = None,
        request_id: str | None = None,
        response: Any = None,
        headers: Mapping[str, str] | None = None,
        retry_after: float | None = None,
        partial: Any = None,
    ) -> None:
        super().__init__(message)
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
        self.attempts: tuple[Any, ...] = ()

    def __str__(self) -> str:
        where = "/".join(part for part in (self.llm_provider, self.model) if part)
        details = [f"{name} {value}" for name, value in (("code", self.code), ("param", self.param)) if value]
        if self.request_id:
            details.append(f"request id {self.request_id}")
        text = f"{where}: {self.message}" if where else self.message
        return f"{text} ({', '.join(details)})" if details else text

    def __reduce__(self) -> Any:
        return _restore, (type(self), self.__dict__.copy())


class APIConnectionError(APIError):
    """No complete answer arrived: the connection was refused, reset, or cut."""


class Timeout(APIConnectionError):
    """A deadline ran out.

    Attributes:
        budget: which one: "connect", "pool", "write", "first_content", "idle" or "total"; None when the server said 408 or 504.
    """

    default_status = 408

    def __init__(self, message: str = "", *, budget: str | None = None, **kwargs: Any) -> None:
        super().__init__(message, **kwargs)
        self.budget = budget


class StreamTruncatedError(APIConnectionError):
    """The body ended before `[DONE]` and before every choice had a finish reason; `partial` has what arrived."""


class APIResponseValidationError(APIError):
    """The answer is not what the protocol says: malformed JSON, invalid UTF-8, a wrong shape, HTML.

    `body` holds the offending bytes, cut to a limit.
    """


class LimitExceededError(APIResponseValidationError):
    """The answer outgrew one of this library's limits.

    Attributes:
        limit: the limit's name, such as "max_event_bytes".
    """

    def __init__(self, message: str = "", *, limit: str = "", **kwargs: Any) -> None:
        super().__init__(message, **kwargs)
        self.limit = limit


class BadRequestError(APIError):
    """The request is wrong, as the server or this library's own check found (400, or another 4xx)."""

    default_status = 400


class ContextWindowExceededError(BadRequestError):
    """The prompt, or prompt and answer together, do not fit the model's context."""


class ContentPolicyViolationError(BadRequestError):
    """The provider's content filter refused the request."""


class UnsupportedParamsError(BadRequestError):
    """The provider does not take this parameter."""


class ImageFetchError(BadRequestError):
    """The provider could not fetch an image that a message names."""


class RejectedRequestError(BadRequestError):
    """A guard in front of the model refused the request."""


class UnknownProviderError(BadRequestError):
    """No handler is registered for this model."""


LiteLLMUnknownProvider = UnknownProviderError


class PaymentRequiredError(BadRequestError):
    """The account has no credit left."""

    default_status = 402


class AuthenticationError(APIError):
    """The key is missing or was refused."""

    default_status = 401


class PermissionDeniedError(APIError):
    """The key is valid, but not for this."""

    default_status = 403


class NotFoundError(APIError):
    """The model or the path does not exist."""

    default_status = 404


class ConflictError(APIError):
    """The server says another request is in the way."""

    default_status = 409


class UnprocessableEntityError(APIError):
    """The request is well formed and still can't be carried out."""

    default_status = 422


class RateLimitError(APIError):
    """Too many requests, or no quota left; `retry_after` says when to come back, if the server did."""

    default_status = 429


class InternalServerError(APIError):
    """The server failed (500, or another 5xx such as 529, "overloaded")."""


class BadGatewayError(APIError):
    """A gateway had no valid answer from the server behind it."""

    default_status = 502


class ServiceUnavailableError(APIError):
    """The server takes no requests now."""

    default_status = 503


class MockException(APIError):
    """What `mock_response` was asked to raise, where no other class fits."""


def without_secrets(url: str) -> str:
    """An address for a message: user names, passwords, queries and fragments, which can hold keys, are left out."""
    scheme, slashes, rest = url.partition("#")[0].partition("?")[0].partition("//")
    host, slash, path = rest.partition("/")
    return f"{scheme}{slashes}{host.rpartition('@')[2]}{slash}{path}"
