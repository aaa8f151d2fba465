"""Which exception a refusal becomes: by status, by a vendor's names and words, and by what a handler raises."""

import copy
import inspect
import pickle
from datetime import UTC, datetime
from email.utils import format_datetime
from types import SimpleNamespace
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import given, strategies as st

from tokenwire import exceptions
from tokenwire.exceptions import (
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
    LimitExceededError,
    NotFoundError,
    PaymentRequiredError,
    PermissionDeniedError,
    RateLimitError,
    ServiceUnavailableError,
    Timeout,
    TokenwireError,
    UnprocessableEntityError,
)
from tokenwire.types import ModelResponse
from tokenwire.types._response import call_of
from tokenwire.types.attempts import Attempt, RequestInfo
from tokenwire.types.headers import request_id_of
from tokenwire.wire.errors import (
    add_headers,
    class_for_status,
    error_from_exception,
    error_from_object,
    error_from_response,
    name_request,
    parse_retry_after,
)

STATUSES = {
    302: APIError,
    400: BadRequestError,
    401: AuthenticationError,
    402: PaymentRequiredError,
    403: PermissionDeniedError,
    404: NotFoundError,
    405: BadRequestError,
    408: Timeout,
    409: ConflictError,
    413: BadRequestError,
    418: BadRequestError,
    422: UnprocessableEntityError,
    429: RateLimitError,
    499: BadRequestError,
    500: InternalServerError,
    501: InternalServerError,
    502: BadGatewayError,
    503: ServiceUnavailableError,
    504: Timeout,
    520: InternalServerError,
    529: InternalServerError,
    600: APIError,
}


def respond(status: int, body: Any, headers: dict[str, str] | None = None) -> APIError:
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return error_from_response(status, headers or {}, data)


def reported(error: Any, **details: Any) -> APIError:
    return error_from_object(error, **details)


def raised(exc: BaseException) -> APIError:
    return error_from_exception(exc)


@pytest.mark.parametrize("status, cls", STATUSES.items(), ids=map(str, STATUSES))
def test_the_status_decides_the_class_and_is_kept(status: int, cls: type[APIError]) -> None:
    error = respond(status, {"error": {"message": "no"}})
    assert type(error) is class_for_status(status) is cls
    assert error.status_code == status


def test_openais_error_object_keeps_every_field() -> None:
    body = {
        "error": {"message": "Wrong temperature.", "type": "invalid_request_error", "param": "temperature", "code": "bad_t"}
    }
    error = respond(400, body, {"x-request-id": "req_1", "retry-after": "2"})
    assert (error.message, error.type, error.param, error.code) == (
        "Wrong temperature.",
        "invalid_request_error",
        "temperature",
        "bad_t",
    )
    assert (error.body, error.fault) == (body, "server")
    assert (error.request_id, error.retry_after) == ("req_1", 2.0)
    assert error.headers == {"x-request-id": "req_1", "retry-after": "2"}


def test_the_response_is_kept() -> None:
    response = httpx.Response(400)
    error = error_from_response(400, {}, b"", response=response)
    assert error.response is response


@pytest.mark.parametrize(
    "body, message, code, type_",
    [
        pytest.param({"error": {"message": "m", "code": 400}}, "m", "400", None, id="numeric-code"),
        pytest.param({"error": {"message": "m", "code": None, "type": ""}}, "m", None, None, id="nulls-and-empty"),
        pytest.param({"error": {"message": "m", "code": True, "type": 1}}, "m", None, None, id="neither-code-nor-type"),
        pytest.param({"error": "m"}, "m", None, None, id="ollama-text"),
        pytest.param({"error": "m", "error_type": "validation"}, "m", None, "validation", id="tgi"),
        pytest.param({"error": "Bad Request", "message": "m", "statusCode": 400}, "m", None, None, id="nest-js"),
        pytest.param({"error": True, "detail": "m"}, "m", None, None, id="flag-beside-detail"),
        pytest.param({"object": "error", "message": "m", "type": "BadRequestError", "code": 40}, "m", "40", "BadRequestError", id="vllm"),
        pytest.param({"type": "error", "error": {"type": "api_error", "message": "m"}}, "m", None, "api_error", id="anthropic"),
        pytest.param([{"error": {"code": 400, "message": "m", "status": "INVALID"}}], "m", "400", "INVALID", id="gemini-in-a-list"),
        pytest.param({"errors": [{"message": "m", "code": 7003}], "success": False}, "m", "7003", None, id="cloudflare"),
        pytest.param({"detail": "m"}, "m", None, None, id="fastapi-text"),
        pytest.param(
            {"detail": [{"loc": ["body", "messages", 0], "msg": "field required"}, {"msg": "and more"}]},
            "body.messages.0: field required; and more",
            None,
            None,
            id="fastapi-list",
        ),
        pytest.param({"detail": {"error": {"message": "m", "code": "c"}}}, "m", "c", None, id="nested-in-detail"),
        pytest.param("m", "m", None, None, id="json-text"),
        pytest.param(b"no such route", "no such route", None, None, id="plain-text"),
        pytest.param(b"\xef\xbb\xbf" + b'{"error": "m"}', "m", None, None, id="byte-order-mark"),
        pytest.param(b'{"error": {"message": "caf\xe9"}}', "caf\ufffd", None, None, id="not-utf-8"),
        pytest.param(b"", "the server answered 405 with an empty body", None, None, id="empty"),
        pytest.param(b" \r\n", "the server answered 405 with an empty body", None, None, id="blank"),
        pytest.param({}, "the server answered 405 with {}", None, None, id="empty-object"),
        pytest.param([], "the server answered 405 with []", None, None, id="empty-list"),
        pytest.param(None, "the server answered 405 with null", None, None, id="null"),
        pytest.param({"error": {"message": ""}}, 'the server answered 405 with {"error":{"message":""}}', None, None, id="no-words"),
        pytest.param({"error": {"message": {"a": 1}, "code": "c"}}, 'the server answered 405 with {"error":{"message":{"a":1},"code":"c"}}', "c", None, id="message-no-text"),
        pytest.param(b"<html><head><title>502\n Bad  Gateway</title></head></html>", "502 Bad Gateway", None, None, id="html"),
        pytest.param(b"<!DOCTYPE HTML><p>hi", "the server answered 405 with an HTML page", None, None, id="html-without-title"),
        pytest.param(b"<html><title></title>", "the server answered 405 with an HTML page", None, None, id="html-empty-title"),
        pytest.param(b"<html><title", "the server answered 405 with an HTML page", None, None, id="html-cut"),
        pytest.param(b"<3 no", "<3 no", None, None, id="no-html"),
    ],
)  # fmt: skip
def test_the_message_is_found_wherever_the_vendor_put_it(body: Any, message: str, code: str | None, type_: str | None) -> None:
    error = respond(405, body)
    assert (error.message, error.code, error.type) == (message, code, type_)


@pytest.mark.parametrize(
    "body, kept",
    [
        pytest.param(b'{"error": "m"}', {"error": "m"}, id="json"),
        pytest.param(b"caf\xe9", "caf\ufffd", id="text"),
        pytest.param(b"", None, id="empty"),
        pytest.param(b"[" * 100_000, "[" * 100_000, id="json-too-deep"),
    ],
)
def test_the_body_is_kept_decoded(body: bytes, kept: Any) -> None:
    assert respond(500, body).body == kept


def test_a_long_text_is_shortened_in_the_message_only() -> None:
    error = respond(500, b"x" * 100_000)
    assert len(error.message) < 3000
    assert len(error.body) == 100_000


@pytest.mark.parametrize(
    "location, shown",
    [
        ("https://user:secret@there.example/v1?key=secret", "https://there.example/v1"),
        ("//user:secret@there.example/v1#secret", "//there.example/v1"),
        ("https://there.example/models/a@b", "https://there.example/models/a@b"),
        ("/v2/a@b", "/v2/a@b"),
    ],
)
def test_a_redirect_says_where_to_without_secrets(location: str, shown: str) -> None:
    page = b"<html><title>Moved</title></html>"
    error = error_from_response(301, {"location": location}, page)
    name_request(error, RequestInfo("POST", "http://here.example/v1/chat/completions"))
    assert error.message == "the server answered 301: what api_base names has moved"
    assert error.__notes__ == [f"The request was POST http://here.example/v1/chat/completions; it has moved to {shown}"]


@pytest.mark.parametrize("name", ["x-request-id", "request-id", "x-amzn-requestid", "cf-ray"])
def test_the_request_id_comes_from_the_header(name: str) -> None:
    assert respond(500, b"", {name: "r1"}).request_id == "r1"


def test_the_servers_own_request_id_comes_before_the_proxys() -> None:
    assert respond(500, b"", {"cf-ray": "proxy", "x-request-id": "server"}).request_id == "server"


CONTEXT_TEXTS = {
    "openai": "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.",
    "anthropic": "prompt is too long: 210000 tokens > 200000 maximum",
    "anthropic-both": "input length and `max_tokens` exceed context limit: 180000 + 64000 > 200000",
    "llama.cpp": "the request exceeds the available context size, try increasing it",
    "gemini": "The input token count (337807) exceeds the maximum number of tokens allowed (65536).",
    "sglang": "The input (9000 tokens) is longer than the model's context length (8192 tokens).",
    "mistral": "Prompt contains 40000 tokens, too large for model with 32768 maximum context length",
    "xai": "This model's maximum prompt length is 131072 but the request contains 140000 tokens.",
    "tgi": "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000 `inputs` tokens",
    "openai-gpt-5": "Input tokens exceed the configured limit of 272000 tokens.",
    "cerebras": "Please reduce the length of the messages or completion. Current length is 9231 while limit is 8192",
    "bedrock": "Input is too long for requested model.",
    "cohere": "too many tokens: total number of tokens in the prompt cannot exceed 4081",
    "generic": "Your input exceeds the context window of this model.",
}
POLICY_TEXTS = {
    "azure": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
    "anthropic": "Output blocked by content filtering policy",
    "openai-images": "Your request was rejected as a result of our safety system.",
    "openai-reasoning": "Invalid prompt: your prompt was flagged as potentially violating our usage policy.",
    "dashscope": "Input data may contain inappropriate content.",
    "deepseek": "Content Exists Risk",
}


@pytest.mark.parametrize("status", [400, 413, 422])
@pytest.mark.parametrize("text", CONTEXT_TEXTS.values(), ids=CONTEXT_TEXTS)
def test_a_prompt_too_long_is_known_by_its_words(text: str, status: int) -> None:
    error = respond(status, {"error": {"message": text}})
    assert type(error) is ContextWindowExceededError
    assert error.status_code == status


@pytest.mark.parametrize("status", [400, 413, 422])
@pytest.mark.parametrize("text", POLICY_TEXTS.values(), ids=POLICY_TEXTS)
def test_a_filtered_prompt_is_known_by_its_words(text: str, status: int) -> None:
    error = respond(status, {"error": text})
    assert type(error) is ContentPolicyViolationError
    assert error.status_code == status


@pytest.mark.parametrize(
    "status, fields, cls",
    [
        pytest.param(400, {"code": "context_length_exceeded"}, ContextWindowExceededError, id="context-code"),
        pytest.param(400, {"type": "exceed_context_size_error", "code": 400}, ContextWindowExceededError, id="context-type"),
        pytest.param(413, {"code": "tokens_limit_reached"}, ContextWindowExceededError, id="github-413"),
        pytest.param(400, {"code": "content_filter"}, ContentPolicyViolationError, id="filter-code"),
        pytest.param(400, {"code": "content_policy_violation"}, ContentPolicyViolationError, id="policy-code"),
        pytest.param(400, {"code": "DataInspectionFailed"}, ContentPolicyViolationError, id="any-case"),
        pytest.param(404, {"code": "model_not_found"}, NotFoundError, id="no-model-404"),
        pytest.param(400, {"code": "model_not_found"}, NotFoundError, id="no-model-400"),
        pytest.param(422, {"code": "model_not_found"}, UnprocessableEntityError, id="no-model-422"),
        pytest.param(403, {"code": "model_not_found"}, PermissionDeniedError, id="no-model-403"),
        pytest.param(429, {"code": "context_length_exceeded"}, RateLimitError, id="429-stays"),
        pytest.param(500, {"code": "context_length_exceeded"}, InternalServerError, id="500-stays"),
        pytest.param(401, {"code": "content_filter"}, AuthenticationError, id="401-stays"),
    ],
)
def test_a_code_refines_a_wrong_request_only(status: int, fields: dict[str, Any], cls: type[APIError]) -> None:
    error = respond(status, {"error": {"message": "no", **fields}})
    assert type(error) is cls
    assert error.status_code == status


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
@pytest.mark.parametrize("text", [CONTEXT_TEXTS["openai"], POLICY_TEXTS["azure"]], ids=["context", "policy"])
def test_words_never_change_another_status(status: int, text: str) -> None:
    assert type(respond(status, {"error": {"message": text}})) is class_for_status(status)


@pytest.mark.parametrize(
    "text",
    ["Rate limit reached for requests", "Error 429: too many requests", "Request timed out", "Incorrect API key provided"],
)
def test_a_400_that_speaks_of_something_else_stays_one(text: str) -> None:
    assert type(respond(400, {"error": {"message": text}})) is BadRequestError


@pytest.mark.parametrize(
    "error, status, cls",
    [
        pytest.param({"message": "m", "status": 503, "code": 400}, 503, ServiceUnavailableError, id="status-first"),
        pytest.param({"message": "m", "code": 404}, 404, NotFoundError, id="numeric-code"),
        pytest.param({"message": "m", "code": "429"}, 429, RateLimitError, id="code-of-digits"),
        pytest.param({"message": "m", "code": 1301}, 500, InternalServerError, id="vendors-own-number"),
        pytest.param({"message": "m", "code": 200}, 500, InternalServerError, id="no-error-number"),
        pytest.param({"message": "m", "code": True}, 500, InternalServerError, id="boolean"),
        pytest.param({"message": "m", "code": "rate_limit_exceeded", "type": "tokens"}, 429, RateLimitError, id="rate-limit"),
        pytest.param({"message": "m", "type": "rate_limit_error"}, 429, RateLimitError, id="anthropic-rate-limit"),
        pytest.param({"message": "m", "type": "insufficient_quota"}, 429, RateLimitError, id="quota"),
        pytest.param({"message": "m", "status": "RESOURCE_EXHAUSTED"}, 429, RateLimitError, id="google-quota"),
        pytest.param(
            {"message": "m", "code": "invalid_api_key", "type": "invalid_request_error"},
            401,
            AuthenticationError,
            id="code-over-type",
        ),
        pytest.param({"message": "m", "type": "authentication_error"}, 401, AuthenticationError, id="authentication"),
        pytest.param({"message": "m", "type": "permission_error"}, 403, PermissionDeniedError, id="permission"),
        pytest.param({"message": "m", "type": "not_found_error"}, 404, NotFoundError, id="not-found"),
        pytest.param({"message": "m", "code": "model_not_found"}, 404, NotFoundError, id="no-model"),
        pytest.param({"message": "m", "type": "invalid_request_error"}, 400, BadRequestError, id="wrong-request"),
        pytest.param({"message": "m", "type": "BadRequestError"}, 400, BadRequestError, id="vllm-class-name"),
        pytest.param({"message": "m", "code": "context_length_exceeded"}, 400, ContextWindowExceededError, id="context"),
        pytest.param({"message": "m", "code": "content_filter"}, 400, ContentPolicyViolationError, id="policy"),
        pytest.param({"message": CONTEXT_TEXTS["openai"], "code": 400}, 400, ContextWindowExceededError, id="context-words"),
        pytest.param({"message": "m", "type": "overloaded_error"}, 529, InternalServerError, id="overloaded"),
        pytest.param({"message": "m", "type": "server_error"}, 500, InternalServerError, id="server"),
        pytest.param({"message": "m", "type": "never_heard_of"}, 500, InternalServerError, id="unknown"),
        pytest.param("it broke", 500, InternalServerError, id="text"),
        pytest.param({}, 500, InternalServerError, id="empty"),
        pytest.param(None, 500, InternalServerError, id="null"),
    ],
)
def test_an_error_object_finds_its_status(error: Any, status: int, cls: type[APIError]) -> None:
    found = reported(error)
    assert (found.status_code, type(found)) == (status, cls)
    assert found.message


@pytest.mark.parametrize(
    "error, status, expected",
    [
        pytest.param({"message": "m"}, 502, 502, id="the-responses"),
        pytest.param({"message": "m"}, 200, 500, id="a-200-is-no-error"),
        pytest.param({"message": "m", "code": "rate_limit_exceeded"}, 502, 429, id="the-objects-own"),
    ],
)
def test_the_responses_status_counts_where_the_object_has_none(error: Any, status: int, expected: int) -> None:
    assert reported(error, status=status).status_code == expected


def test_an_error_object_keeps_its_fields_and_body() -> None:
    error = {"message": "m", "type": "t", "param": "p", "code": 429}
    found = reported(error, headers={"x-request-id": "r"})
    assert (found.message, found.type, found.param, found.code, found.request_id) == ("m", "t", "p", "429", "r")
    assert found.body == error
    assert reported(error, body={"error": error, "id": 1}).body == {"error": error, "id": 1}


@pytest.mark.parametrize(
    "headers, seconds",
    [
        pytest.param({}, None, id="none"),
        pytest.param({"retry-after": "2"}, 2.0, id="seconds"),
        pytest.param({"retry-after": " 1.5 "}, 1.5, id="fraction"),
        pytest.param({"retry-after": "0"}, 0.0, id="zero"),
        pytest.param({"retry-after": "-3"}, 0.0, id="negative"),
        pytest.param({"retry-after-ms": "250"}, 0.25, id="milliseconds"),
        pytest.param({"retry-after-ms": "250", "retry-after": "9"}, 0.25, id="milliseconds-first"),
        pytest.param({"retry-after-ms": "soon", "retry-after": "9"}, 9.0, id="milliseconds-unreadable"),
        pytest.param({"retry-after": "Tue, 14 Nov 2023 22:13:50 GMT"}, 30.0, id="date"),
        pytest.param({"retry-after": "Tue, 14 Nov 2023 22:13:50 -0000"}, 30.0, id="date-without-zone"),
        pytest.param({"retry-after": "Tue, 14 Nov 2023 22:13:20 GMT"}, 0.0, id="date-now"),
        pytest.param({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0, id="date-past"),
        pytest.param({"retry-after": "nan"}, None, id="nan"),
        pytest.param({"retry-after": "inf"}, None, id="infinite"),
        pytest.param({"retry-after": "soon"}, None, id="words"),
        pytest.param({"retry-after": ""}, None, id="empty"),
        pytest.param({"retry-after": "Tue, 14 Nov 99999 22:13:50 GMT"}, None, id="no-such-year"),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert parse_retry_after(headers, now=1_700_000_000.0) == seconds


def test_a_date_is_compared_with_the_clock() -> None:
    date = format_datetime(datetime(9999, 1, 1, tzinfo=UTC), usegmt=True)
    assert (parse_retry_after({"retry-after": date}) or 0) > 1e9


@given(value=st.text())
def test_any_retry_after_is_seconds_or_none(value: str) -> None:
    seconds = parse_retry_after({"retry-after": value, "retry-after-ms": value})
    assert seconds is None or seconds >= 0


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "errors", "detail", "message", "code", "type", "status", "param", "msg", "loc", "x"]),
            inner,
        )
    ),
    max_leaves=8,
)


@given(body=st.binary() | JSON.map(lambda value: msgspec.json.encode(value)), status=st.integers(300, 650))
def test_any_body_becomes_an_error_with_a_message(body: bytes, status: int) -> None:
    error = error_from_response(status, {}, body)
    assert error.message
    assert error.status_code == status
    assert isinstance(error, class_for_status(status)) or status in (400, 413, 422)


@given(error=JSON)
def test_any_error_object_becomes_an_error_with_a_message(error: Any) -> None:
    found = reported(error)
    assert found.message
    assert 400 <= found.status_code < 600
    assert all(isinstance(value, str | None) for value in (found.code, found.type, found.param))


class StatusError(Exception):
    def __init__(self, status_code: Any, message: str = "", **attributes: Any) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.message = message
        vars(self).update(attributes)


@pytest.mark.parametrize("status, cls", [item for item in STATUSES.items() if item[0] >= 400], ids=str)
def test_a_handlers_status_decides_the_class(status: int, cls: type[APIError]) -> None:
    error = raised(StatusError(status, "sorry"))
    assert (type(error), error.status_code, error.message) == (cls, status, "sorry")
    assert error.fault == "server"


def test_a_handlers_error_keeps_its_fields() -> None:
    headers = {"Retry-After": "7", "X-Request-Id": "r"}
    exc = StatusError(429, "slow down", code=42, type="t", param="q", body={"a": 1}, headers=headers)
    error = raised(exc)
    assert (error.code, error.type, error.param, error.body) == ("42", "t", "q", {"a": 1})
    assert (error.retry_after, error.request_id) == (7.0, "r")


def test_a_handlers_error_is_refined_too() -> None:
    assert type(raised(StatusError(400, CONTEXT_TEXTS["anthropic"]))) is ContextWindowExceededError


def test_a_status_without_words_gets_the_exceptions_name() -> None:
    assert raised(StatusError(500)).message == "StatusError"


@pytest.mark.parametrize("status", [None, "429", 200, True, 4.29], ids=repr)
def test_what_is_no_error_status_is_none(status: Any) -> None:
    error = raised(StatusError(status, "hm"))
    assert (type(error), error.status_code, error.message) == (APIConnectionError, 500, "StatusError: hm")


class TooSlowError(Exception):  # trio's, by its name
    pass


@pytest.mark.parametrize(
    "exc, cls, message",
    [
        pytest.param(TimeoutError(), Timeout, "TimeoutError", id="builtin-timeout"),
        pytest.param(TimeoutError("t"), Timeout, "TimeoutError: t", id="timeout-with-words"),
        pytest.param(TooSlowError("t"), Timeout, "TooSlowError: t", id="trio-timeout"),
        pytest.param(httpx.ReadTimeout("t"), Timeout, "ReadTimeout: t", id="httpx-read-timeout"),
        pytest.param(httpx.PoolTimeout("t"), Timeout, "PoolTimeout: t", id="httpx-pool-timeout"),
        pytest.param(httpx.ConnectError("refused"), APIConnectionError, "ConnectError: refused", id="httpx-connect"),
        pytest.param(httpx.RemoteProtocolError("cut"), APIConnectionError, "RemoteProtocolError: cut", id="httpx-protocol"),
        pytest.param(ConnectionResetError("reset"), APIConnectionError, "ConnectionResetError: reset", id="os-error"),
        pytest.param(ValueError("bad"), APIConnectionError, "ValueError: bad", id="value-error"),
        pytest.param(KeyError("k"), APIConnectionError, "KeyError: 'k'", id="key-error"),
        pytest.param(NotImplementedError(), APIConnectionError, "NotImplementedError", id="without-words"),
        pytest.param(
            exceptions.StreamClosedError("closed"), APIConnectionError, "StreamClosedError: closed", id="closed-stream"
        ),
        pytest.param(
            ExceptionGroup("g", [ExceptionGroup("h", [TimeoutError("t")])]), Timeout, "TimeoutError: t", id="group-of-one"
        ),
        pytest.param(
            ExceptionGroup("g", [ValueError(), KeyError()]),
            APIConnectionError,
            "ExceptionGroup: g (2 sub-exceptions)",
            id="group-of-two",
        ),
    ],
)
def test_what_else_a_handler_raises(exc: BaseException, cls: type[APIError], message: str) -> None:
    error = raised(exc)
    assert (type(error), error.message) == (cls, message)
    assert error.status_code == (408 if cls is Timeout else 500)
    assert error.fault == "handler"


def test_our_own_errors_pass_as_they_are() -> None:
    error = RateLimitError("slow down", retry_after=3.0)
    assert raised(error) is error
    inner = RateLimitError("slow down", llm_provider="inner", model="n")
    assert raised(ExceptionGroup("g", [inner])) is inner
    assert (inner.llm_provider, inner.model) == ("inner", "n")


def status_error(response: httpx.Response) -> httpx.HTTPStatusError:
    request = httpx.Request("POST", "https://host/v1?key=sk-secret", headers={"authorization": "Bearer sk-secret"})
    response.request = request
    with pytest.raises(httpx.HTTPStatusError) as caught:
        response.raise_for_status()
    return caught.value


def test_httpxs_status_error_speaks_in_the_servers_words() -> None:
    response = httpx.Response(429, json={"error": {"message": "slow down", "code": "c"}}, headers={"Retry-After": "4"})
    error = raised(status_error(response))
    assert (type(error), error.message, error.code, error.retry_after) == (RateLimitError, "slow down", "c", 4.0)


def test_httpxs_unread_response_is_known_by_its_status() -> None:
    error = raised(status_error(httpx.Response(503, stream=httpx.ByteStream(b"not read"))))
    assert (type(error), error.message, error.body) == (ServiceUnavailableError, "the server answered 503", None)


@pytest.mark.parametrize("response", [httpx.Response(401), httpx.Response(401, text="no")], ids=["empty", "text"])
def test_no_key_of_a_handlers_request_gets_into_the_error(response: httpx.Response) -> None:
    error = raised(status_error(response))
    assert type(error) is AuthenticationError
    assert b"sk-secret" not in pickle.dumps(error)
    assert "sk-secret" not in f"{error} {error!r} {vars(error)}"


ERROR_CLASSES = sorted(
    {cls for _, cls in inspect.getmembers(exceptions, inspect.isclass) if issubclass(cls, APIError)},
    key=lambda cls: cls.__name__,
)
DETAILS: dict[str, Any] = {
    "status_code": 418,
    "llm_provider": "p",
    "model": "m",
    "code": "c",
    "param": "q",
    "type": "t",
    "body": {"a": [1]},
    "request_id": "r",
    "headers": {"retry-after": "1"},
    "retry_after": 1.0,
    "partial": {"choices": []},
}
OWN_DETAILS: dict[type[APIError], dict[str, Any]] = {
    Timeout: {"budget": "idle"},
    LimitExceededError: {"limit": "max_event_bytes"},
}


@pytest.mark.parametrize(
    "again", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy, copy.deepcopy], ids=["pickle", "copy", "deepcopy"]
)
@pytest.mark.parametrize("cls", ERROR_CLASSES, ids=lambda cls: cls.__name__)
def test_every_error_survives_pickling_whole(cls: type[APIError], again: Any) -> None:
    error = cls("words", **DETAILS, **OWN_DETAILS.get(cls, {}))
    first = Attempt(number=1, target="p/m", status=500, error=cls.__name__, seconds=0.1, waited=0.0)
    error.attempts = (first,)
    twin = again(error)
    assert type(twin) is cls
    assert vars(twin) == vars(error)
    assert (str(twin), twin.args, twin.attempts) == (str(error), error.args, (first,))


def test_a_closed_stream_error_pickles() -> None:
    twin = pickle.loads(pickle.dumps(exceptions.StreamClosedError("closed")))
    assert isinstance(twin, TokenwireError)
    assert str(twin) == "closed"


def test_a_mapped_error_pickles_with_its_response() -> None:
    response = httpx.Response(429, text="slow", headers={"x": "y"})
    error = error_from_response(429, {"retry-after": "1"}, b"slow", response=response)
    twin = pickle.loads(pickle.dumps(error))
    assert (twin.response.status_code, twin.response.text, twin.response.headers["x"]) == (429, "slow", "y")
    assert twin.retry_after == 1.0


FAULTS = {
    "network": {"APIConnectionError", "Timeout", "StreamTruncatedError"},
    "protocol": {
        *("APIResponseValidationError", "LimitExceededError"),
        *("OutputIncompleteError", "OutputRefusedError", "OutputValidationError"),
    },
}


@pytest.mark.parametrize("cls", ERROR_CLASSES, ids=lambda cls: cls.__name__)
def test_whose_fault_it_is(cls: type[APIError]) -> None:
    expected = next((fault for fault, names in FAULTS.items() if cls.__name__ in names), "server")
    assert cls("m").fault == expected
    ours = cls("m", fault="caller")
    assert ours.fault == pickle.loads(pickle.dumps(ours)).fault == copy.copy(ours).fault == "caller"


@pytest.mark.parametrize("status", [400, 408, 500, 504])
def test_a_refusal_is_the_servers(status: int) -> None:
    assert respond(status, {"error": {"message": "no"}}).fault == reported({"message": "no", "code": status}).fault == "server"


@pytest.mark.parametrize("name", ["x-request-id", "request-id", "x-amzn-requestid", "cf-ray"])
def test_a_request_has_its_id_under_any_of_its_names(name: str) -> None:
    headers = {name: "req-1", "retry-after": "3", "server": "s"}
    response = ModelResponse()
    received: Any = SimpleNamespace(headers=headers)
    call_of(response).received = received
    late = APIResponseValidationError("the body is bad")
    add_headers(late, headers)
    assert (late.headers, late.retry_after) == (headers, 3.0)
    assert response.request_id == respond(500, b"", headers).request_id == late.request_id == request_id_of(headers) == "req-1"
    assert request_id_of({name: "", "server": "s"}) is None


def test_headers_do_not_take_the_place_of_what_an_error_knows() -> None:
    error = respond(429, b"", {"x-request-id": "first", "retry-after": "1"})
    add_headers(error, {"x-request-id": "second", "retry-after": "2"})
    assert (error.request_id, error.retry_after, error.headers["x-request-id"]) == ("first", 1.0, "first")
