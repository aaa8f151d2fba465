"""Translates a server's error response, or a handler's exception, into the caller's exception.

Lives here: the exception class for a status, a code or a vendor's wording, and where in a body vendors put the error.
Not here: when to retry, and failures of the connection itself.

The status decides. A vendor's code or wording only refines a status that means "your request is wrong" (400, 413, 422); it
never changes one status into another. Texts are compared in lower case.
"""

import math
import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeGuard

import msgspec

from ..exceptions import (
    APIConnectionError,
    APIError,
    APIResponseValidationError,
    AuthenticationError,
    BadGatewayError,
    BadRequestError,
    ConflictError,
    ContentPolicyViolationError,
    ContextWindowExceededError,
    InternalServerError,
    NotFoundError,
    PaymentRequiredError,
    PermissionDeniedError,
    RateLimitError,
    ServiceUnavailableError,
    Timeout,
    UnprocessableEntityError,
    without_secrets,
)
from ..types.attempts import RequestInfo
from ..types.headers import request_id_of

if TYPE_CHECKING:
    import httpx

_CLASSES: dict[int, type[APIError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    402: PaymentRequiredError,
    403: PermissionDeniedError,
    404: NotFoundError,
    408: Timeout,
    409: ConflictError,
    422: UnprocessableEntityError,
    429: RateLimitError,
    500: InternalServerError,
    502: BadGatewayError,
    503: ServiceUnavailableError,
    504: Timeout,
}

# The status for the code or type of an error object without a number: names of OpenAI, Anthropic, Google, vLLM, llama.cpp.
_NAMES_OF_STATUS = {
    400: "invalid_request_error invalid_prompt bad_request badrequesterror invalid_argument failed_precondition out_of_range "
    "context_length_exceeded exceed_context_size_error content_filter content_policy_violation",
    401: "authentication_error authenticationerror invalid_api_key unauthenticated unauthorized",
    402: "billing_error payment_required",
    403: "permission_error permission_denied permissiondeniederror",
    404: "not_found_error notfounderror not_found model_not_found",
    409: "conflict_error",
    413: "request_too_large",
    422: "unprocessable_entity unprocessableentityerror",
    429: "rate_limit_error rate_limit_exceeded ratelimiterror insufficient_quota resource_exhausted "
    "too_many_requests too_many_requests_error",
    500: "server_error api_error internal_error internal_server_error internalservererror internal",
    501: "not_supported_error",
    503: "service_unavailable serviceunavailableerror unavailable unavailable_error",
    504: "timeout_error deadline_exceeded",
    529: "overloaded_error",
}
_STATUSES = {name: status for status, names in _NAMES_OF_STATUS.items() for name in names.split()}

_REFINED_STATUSES = (400, 413, 422)

_REFINED_CODES: dict[str, type[APIError]] = {
    "context_length_exceeded": ContextWindowExceededError,
    "context_window_exceeded": ContextWindowExceededError,
    "exceed_context_size_error": ContextWindowExceededError,  # llama.cpp
    "model_max_prompt_tokens_exceeded": ContextWindowExceededError,  # GitHub Copilot
    "tokens_limit_reached": ContextWindowExceededError,  # GitHub Models, with a 413
    "content_filter": ContentPolicyViolationError,  # Azure
    "content_policy_violation": ContentPolicyViolationError,
    "data_inspection_failed": ContentPolicyViolationError,  # DashScope
    "datainspectionfailed": ContentPolicyViolationError,
    "moderation_blocked": ContentPolicyViolationError,  # OpenAI's image models
    "responsibleaipolicyviolation": ContentPolicyViolationError,
    "model_not_found": NotFoundError,
}

_REFINED_TEXTS: dict[type[APIError], tuple[str, ...]] = {
    ContextWindowExceededError: (
        "maximum context length",  # OpenAI, vLLM, Mistral, DeepSeek, OpenRouter
        "maximum context limit",
        "model's context length",  # SGLang
        "context length exceeded",
        "context window",
        "exceed context limit",  # Anthropic, prompt and answer together
        "exceeds the available context size",  # llama.cpp
        "loaded with context length",  # LM Studio
        "prompt is too long",  # Anthropic, Fireworks
        "prompt too long",
        "prompt token count",  # GitHub Copilot
        "maximum prompt length",  # xAI
        "input is too long",  # Bedrock
        "input token count",  # Gemini
        "input tokens exceed",
        "maximum input length is",
        "range of input length",  # DashScope
        "too many tokens",  # Cohere
        "too many input tokens",
        "`inputs` tokens + `max_new_tokens`",  # TGI
        "reduce the length of the messages",  # Groq, Cerebras
        "reduce the length of the prompt",
    ),
    ContentPolicyViolationError: (
        "content management policy",  # Azure
        "content filtering policy",  # Anthropic
        "content policy",
        "content_policy_violation",
        "responsibleaipolicyviolation",
        "safety system",  # OpenAI's image models
        "violating our usage policy",  # OpenAI's reasoning models
        "violates our usage polic",
        "inappropriate content",  # DashScope
        "content exists risk",  # DeepSeek
    ),
}

# Time-out exceptions, by the names in their MRO: httpx's, openai's, requests', trio's and Python's own.
_TIMEOUT_NAMES = frozenset({"TimeoutError", "TimeoutException", "APITimeoutError", "Timeout", "TooSlowError"})

# Where servers put the error inside a body, outermost first.
_ENVELOPES = ("error", "errors", "detail")
_MAX_ENVELOPES = 4  # the deepest nesting

_FIELDS = ("message", "type", "error_type", "param", "code", "status")
SHOWN_BYTES = 512  # of a malformed event or body, in an error's message
_MAX_SHOWN = 2000  # characters of a body that is not JSON, in a message

# Linear in the body's length: no match extends beyond the next "<".
_HTML = re.compile("<(?:!doctype html|html|head|title|body)", re.IGNORECASE)
_VERSION = re.compile(r"/v\d")
_TITLE = re.compile("<title[^<>]*>([^<]+)<", re.IGNORECASE)


def class_for_status(status: int) -> type[APIError]:
    """The exception class of an HTTP status; `APIError` for one that is not an error."""
    if status in _CLASSES:
        return _CLASSES[status]
    if 400 <= status < 500:
        return BadRequestError
    return InternalServerError if 500 <= status < 600 else APIError


def error_from_response(
    status: int, headers: Mapping[str, str], body: bytes, *, response: "httpx.Response | None" = None
) -> APIError:
    """The exception for an HTTP error response.

    Args:
        status: the response's status; it decides the class, see `class_for_status`.
        headers: the response's headers, names in lower case.
        body: the body, or the beginning of it: OpenAI's error object, another vendor's JSON, HTML, text, or empty.
        response: kept as the error's `response`; must have no request.
    """
    text = body.decode("utf-8", "replace").removeprefix("\ufeff").strip()
    try:
        decoded: object = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        decoded = text
    fields = {} if decoded is text else _fields(decoded)
    if 300 <= status < 400 and "location" in headers:
        fields["message"] = f"the server answered {status}: what api_base names has moved"
    if not _text(fields.get("message")):
        fields["message"] = _message_of_body(status, text, is_json=decoded is not text)
    return _build(status, fields, headers, body=decoded if text else None, response=response)


def error_from_object(
    error: object,
    *,
    status: int | None = None,
    headers: Mapping[str, str] | None = None,
    body: object = None,
    response: "httpx.Response | None" = None,
) -> APIError:
    """The exception for an error that arrived instead of a completion: in a stream, or in the body of a 200.

    Args:
        error: the value under "error": an object or a text.
        status: the HTTP status, used if it is an error's and the object has none. The object's own number takes
            precedence, then the status for its code and type; without any of these it is 500.
        headers: the response's headers, names in lower case.
        body: the error's `body`; by default the error object itself.
        response: kept as the error's `response`; must have no request.
    """
    fields = _fields(error)
    if not _text(fields.get("message")):
        fields["message"] = "the server sent an error without a message"
    kept = error if body is None else body
    return _build(_status_of(fields, status), fields, headers or {}, body=kept, response=response)


def error_from_exception(exc: BaseException) -> APIError:
    """The exception for one that a handler raised; the caller sets its `__cause__`.

    This library's own errors are returned unchanged. An exception with an HTTP status, its own `status_code` or its
    response's (as in httpx and requests), becomes that status' class, with the fault "server". A time-out becomes
    `Timeout`, and anything else `APIConnectionError` with the fault "handler"; the caller may change that to "network". A
    group with a single exception, as raised by task groups, counts as that exception.
    """
    while isinstance(exc, BaseExceptionGroup) and len(exc.exceptions) == 1:
        exc = exc.exceptions[0]
    if isinstance(exc, APIError):
        return exc
    status = getattr(exc, "status_code", None)
    if _is_int(status) and status >= 400:
        fields = {name: getattr(exc, name, None) for name in ("message", "code", "type", "param")}
        fields["message"] = _text(fields["message"]) or str(exc) or type(exc).__name__
        return _build(int(status), fields, _headers_of(exc), body=getattr(exc, "body", None))
    response: Any = getattr(exc, "response", None)
    if _is_int(getattr(response, "status_code", None)):
        # httpx's own message has the URL, which can contain a key; the server's message is better anyway.
        try:
            body = response.content
        except RuntimeError:  # a streamed body that was not read
            body = b""
        status, headers = int(response.status_code), _headers_of(exc)
        if body and isinstance(body, bytes):
            return error_from_response(status, headers, body)
        return _build(status, {"message": f"the server answered {status}"}, headers)
    names = {cls.__name__ for cls in type(exc).__mro__}
    cls = Timeout if names & _TIMEOUT_NAMES else APIConnectionError
    text = str(exc)
    return cls(f"{type(exc).__name__}: {text}" if text else type(exc).__name__, fault="handler")


def of_chat(provider: str, data: bytes) -> APIResponseValidationError:
    """The error for an event of chat completions in a stream of another API, the one of `provider`."""
    why = f'it is an event of chat completions: call the model as "openai/...", not "{provider}/..."'
    return malformed("an event of the stream", data, why)


def malformed(what: str, data: bytes, why: str) -> APIResponseValidationError:
    """The error for `what` ("the body", ...) that does not follow the protocol; it keeps the first bytes as `body`."""
    shown = data[:SHOWN_BYTES].decode("utf-8", "backslashreplace")
    return APIResponseValidationError(f"{what} is not valid: {why}: {shown!r}", body=data[:SHOWN_BYTES])


def unusable(data: bytes, why: str) -> APIResponseValidationError:
    """The error for a body that is not an answer; the message describes an empty body or a web page."""
    came = _kind_of(data.decode("utf-8", "replace").strip())
    if came is None:
        return malformed("the body", data, why)
    return APIResponseValidationError(f"the server sent {came} instead of an answer", body=data[:SHOWN_BYTES])


def _kind_of(text: str) -> str | None:
    if not text:
        return "an empty body"
    if not _is_page(text):
        return None
    title = _title_of(text)
    return f"a web page ({title})" if title else "a web page"


def name_request(error: APIError, request: RequestInfo) -> None:
    """Set an error's `request`, and add a note about it: tracebacks show notes, `str(error)` does not.

    The note also has a hint if the address may be the mistake: that `/v1` may be missing, for a 404, 405 or redirect
    without an error code of the server's, which would name the model, and for a web page instead of an answer; and where
    a redirect leads.
    """
    error.request = request
    hint, status = "", error.status_code
    if 300 <= status < 400 and "location" in error.headers:
        hint = f"; it has moved to {without_secrets(error.headers['location'])[:_MAX_SHOWN]}"
    is_misplaced = (status in (404, 405) or 300 <= status < 400) and error.code in (None, str(status))
    if (is_misplaced or _has_page(error)) and not _VERSION.search(request.url):
        hint += "; is /v1 missing in api_base?"
    error.add_note(f"The request was {request}{hint}")


def _has_page(error: APIError) -> bool:
    """Whether a web page came in the place of an answer."""
    if not isinstance(error, APIResponseValidationError) or not isinstance(error.body, bytes):
        return False
    return _is_page(error.body.decode("utf-8", "replace").strip())


def add_headers(error: APIError, headers: Mapping[str, str]) -> None:
    """Add the response's headers, names in lower case, to an error that occurred after a good head."""
    error.headers = error.headers or dict(headers)
    error.request_id = error.request_id or request_id_of(headers)
    if error.retry_after is None:
        error.retry_after = parse_retry_after(headers)


def parse_retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """The seconds to wait by a response's headers, at least 0; None if they have no valid value.

    Args:
        headers: names in lower case. `retry-after-ms` takes precedence over `retry-after` (RFC 9110, 10.2.3: seconds or a
            date).
        now: the time that a date is compared with, in seconds since the epoch; the clock's by default.
    """
    if (milliseconds := _number(headers.get("retry-after-ms"))) is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    if (seconds := _number(value)) is not None or not value:
        return seconds
    from datetime import UTC
    from email.utils import parsedate_to_datetime

    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(when.timestamp() - (time.time() if now is None else now), 0.0)


def _number(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return max(number, 0.0) if math.isfinite(number) else None


def _headers_of(exc: BaseException) -> dict[str, str]:
    headers: Any = getattr(getattr(exc, "response", None), "headers", None) or getattr(exc, "headers", None)
    return {str(name).lower(): str(value) for name, value in headers.items()} if hasattr(headers, "items") else {}


def _build(
    status: int,
    fields: dict[str, Any],
    headers: Mapping[str, str],
    *,
    body: object = None,
    response: "httpx.Response | None" = None,
) -> APIError:
    return _refined_class(status, fields)(
        fields["message"],
        status_code=status,
        code=_code(fields.get("code")),
        param=_text(fields.get("param")),
        type=_type(fields),
        body=body,
        request_id=request_id_of(headers),
        response=response,
        headers=headers,
        retry_after=parse_retry_after(headers),
        fault="server",
    )


def _refined_class(status: int, fields: dict[str, Any]) -> type[APIError]:
    if status not in _REFINED_STATUSES:
        return class_for_status(status)
    for name in _names(fields):
        if name in _REFINED_CODES and not (name == "model_not_found" and status != 400):
            return _REFINED_CODES[name]
    message = fields["message"].lower()
    for cls, texts in _REFINED_TEXTS.items():
        if any(text in message for text in texts):
            return cls
    return class_for_status(status)


def _status_of(fields: dict[str, Any], status: int | None) -> int:
    for value in (fields.get("status"), fields.get("code")):
        if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) == 3:
            value = int(value)
        if _is_int(value) and 400 <= value < 600:  # not vendors' own codes (Zhipu's 1301), which are not statuses
            return value
    named = next((_STATUSES[name] for name in _names(fields) if name in _STATUSES), None)
    return named or (status if status is not None and status >= 400 else 500)


def _names(fields: dict[str, Any]) -> list[str]:
    """The error's code and type in lower case, the most specific first."""
    return [name.lower() for name in (_code(fields.get("code")), _type(fields)) if name]


def _type(fields: dict[str, Any]) -> str | None:
    # TGI has "error_type", Google a "status" in words.
    return next((text for name in ("type", "error_type", "status") if (text := _text(fields.get(name)))), None)


def _code(value: object) -> str | None:
    return str(value) if _is_int(value) or isinstance(value, float) else _text(value)


def _is_int(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value.strip() else None


def _fields(value: object) -> dict[str, Any]:
    """Message, type, param, code and status of an error, wherever they are in `value`; inner ones take precedence."""
    fields: dict[str, Any] = {}
    for _ in range(_MAX_ENVELOPES):
        if isinstance(value, list):
            value = _from_list(value)
        if not isinstance(value, dict):
            break
        fields |= {name: value[name] for name in _FIELDS if value.get(name) is not None}
        value = next((value[name] for name in _ENVELOPES if isinstance(value.get(name), dict | list | str)), None)
    if _text(value):  # a message next to it is more specific: {"error": "not_found", "message": "..."}
        fields["message"] = _text(fields.get("message")) or value
    return fields


def _from_list(items: list[Any]) -> object:
    """FastAPI's list of errors by field as one sentence; the first item of any other list."""
    complaints: list[str] = []
    for item in items:
        if isinstance(item, dict) and isinstance(item.get("msg"), str):
            location = item.get("loc")
            where = ".".join(map(str, location)) if isinstance(location, list) else ""
            complaints.append(f"{where}: {item['msg']}" if where else item["msg"])
    return "; ".join(complaints) or next(iter(items), None)


def _message_of_body(status: int, text: str, *, is_json: bool) -> str:
    """The message for a body that has none."""
    if not text:
        return f"the server answered {status} with an empty body"
    shown = text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "…"
    if is_json:
        return f"the server answered {status} with {shown}"
    return shown if not _is_page(text) else _title_of(text) or f"the server answered {status} with an HTML page"


def _is_page(text: str) -> bool:
    return text.startswith("<") and _HTML.search(text, 0, _MAX_SHOWN) is not None


def _title_of(text: str) -> str:
    title = _TITLE.search(text)
    return " ".join(title[1].split())[:_MAX_SHOWN] if title else ""
