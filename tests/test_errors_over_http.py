"""Which exception a call ends in, and what it tells: from real responses, and from servers that are not there."""

import contextlib
import copy
import pickle
import socket
import traceback
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

import tokenwire
from tokenwire.testing import Endpoint, Reply, chunk, chunks, completion

from .conftest import PATIENCE, nobody, one_loop

pytestmark = pytest.mark.anyio

MESSAGES = [{"role": "user", "content": "Hi"}]
SECRET = "sk-very-secret-0123456789"
OPENAI = {"error": {"message": "No.", "type": "the_type", "param": "the_param", "code": "the_code"}}

STATUSES = {
    400: tokenwire.BadRequestError,
    401: tokenwire.AuthenticationError,
    402: tokenwire.PaymentRequiredError,
    403: tokenwire.PermissionDeniedError,
    404: tokenwire.NotFoundError,
    405: tokenwire.BadRequestError,
    408: tokenwire.Timeout,
    409: tokenwire.ConflictError,
    413: tokenwire.BadRequestError,
    418: tokenwire.BadRequestError,
    422: tokenwire.UnprocessableEntityError,
    429: tokenwire.RateLimitError,
    500: tokenwire.InternalServerError,
    501: tokenwire.InternalServerError,
    502: tokenwire.BadGatewayError,
    503: tokenwire.ServiceUnavailableError,
    504: tokenwire.Timeout,
    520: tokenwire.InternalServerError,
    529: tokenwire.InternalServerError,
}


async def complete(**keywords: Any) -> None:
    await tokenwire.acompletion("openai/m", MESSAGES, **keywords)


async def complete_streamed(**keywords: Any) -> None:
    await tokenwire.acompletion("openai/m", MESSAGES, stream=True, **keywords)


async def stream(**keywords: Any) -> None:
    async with tokenwire.astreaming("openai/m", MESSAGES, **keywords) as pieces:
        async for _ in pieces:
            pass


async def complete_text(**keywords: Any) -> None:
    await tokenwire.atext_completion("openai/m", "Hi", **keywords)


async def complete_text_streamed(**keywords: Any) -> None:
    await tokenwire.atext_completion("openai/m", "Hi", stream=True, **keywords)


async def embed(**keywords: Any) -> None:
    await tokenwire.aembedding("openai/m", "Hi", **keywords)


async def draw(**keywords: Any) -> None:
    await tokenwire.aimage_generation("Hi", "openai/m", **keywords)


async def list_models(**keywords: Any) -> None:
    await tokenwire.alist_models("openai/m", **keywords)


CALLS = [complete, complete_streamed, stream, complete_text, complete_text_streamed, embed, draw, list_models]
each_call = pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)


async def error_of(reply: Reply, call: Any = complete, **keywords: Any) -> tokenwire.APIError:
    with Endpoint(reply) as endpoint:
        with pytest.raises(tokenwire.APIError) as caught:
            await call(**{"api_base": endpoint.url, "num_retries": 0, **keywords})
        return caught.value


# By status.


@one_loop
@pytest.mark.parametrize("call", [complete, stream], ids=lambda call: call.__name__)
@pytest.mark.parametrize("status, cls", STATUSES.items())
async def test_the_status_decides_the_class(status: int, cls: Any, call: Any) -> None:
    error = await error_of(Reply(status=status, json=OPENAI), call)
    assert type(error) is cls
    assert error.status_code == status


@each_call
async def test_every_function_raises_alike(call: Any) -> None:
    error: Any = await error_of(Reply(status=429, json=OPENAI, headers={"x-request-id": "req-1", "retry-after": "7"}), call)
    assert type(error) is tokenwire.RateLimitError
    assert error.status_code == 429
    assert error.message == "No."
    assert error.llm_provider in ("openai", "text-completion-openai")
    assert error.model == "m"
    assert (error.type, error.param, error.code) == ("the_type", "the_param", "the_code")
    assert error.body == OPENAI
    assert error.request_id == "req-1"
    assert error.retry_after == 7.0
    assert error.headers["retry-after"] == "7"
    assert isinstance(error.response, httpx.Response)
    assert (error.response.status_code, error.response.json()) == (429, OPENAI)
    assert error.response.headers["x-request-id"] == "req-1"
    assert error.partial is None
    assert [(attempt.number, attempt.status, attempt.error) for attempt in error.attempts] == [(1, 429, "RateLimitError")]


async def test_an_error_reads_well() -> None:
    error = await error_of(Reply(status=404, json=OPENAI, headers={"x-request-id": "req-1"}))
    assert str(error) == "openai/m: No. (code the_code, param the_param, request id req-1)"


@pytest.mark.parametrize("call", [complete, stream], ids=lambda call: call.__name__)
async def test_where_nothing_was_found_is_named(call: Any) -> None:
    with Endpoint(Reply(status=404, json={"detail": "Not Found"})) as endpoint:
        address = endpoint.url.removesuffix("/v1")
        with pytest.raises(tokenwire.NotFoundError) as caught:
            await call(api_base=address.replace("://", "://user:secret@") + "?key=secret")
    error = caught.value
    assert (str(error), error.message) == ("openai/m: Not Found", "Not Found")
    assert error.request == tokenwire.RequestInfo("POST", f"{address}/chat/completions")
    assert str(error.request) == f"POST {address}/chat/completions"
    assert error.__notes__ == [f"The request was POST {address}/chat/completions; is /v1 missing in api_base?"]
    assert pickle.loads(pickle.dumps(error)).request == error.request


VLLM = {"error": {"message": "The model `m` does not exist.", "type": "NotFoundError", "code": 404}}


@one_loop
@pytest.mark.parametrize("call", [complete, stream], ids=lambda call: call.__name__)
@pytest.mark.parametrize(
    "reply, words",
    [
        (Reply(status=404, json=VLLM), "The model `m` does not exist."),
        (Reply(status=405, body=b""), "the server answered 405 with an empty body"),
        (Reply(status=307, headers={"location": "https://elsewhere.invalid/v1"}), "what api_base names has moved"),
        (Reply(body=b"<!doctype html><html><title>Web UI</title></html>"), "the server sent a web page (Web UI)"),
    ],
    ids=["404", "405", "307", "web page"],
)
async def test_what_the_address_may_be_to_blame_for(reply: Reply, words: str, call: Any) -> None:
    with Endpoint(reply) as endpoint:
        moved = "; it has moved to https://elsewhere.invalid/v1" if reply.status == 307 else ""
        for api_base, question in ((endpoint.url, ""), (endpoint.url.removesuffix("/v1"), "; is /v1 missing in api_base?")):
            with pytest.raises(tokenwire.APIError) as caught:
                await call(api_base=api_base, num_retries=0)
            assert words in caught.value.message
            assert caught.value.__notes__ == [f"The request was POST {api_base}/chat/completions{moved}{question}"]
            assert caught.value.status_code == reply.status


@one_loop
@pytest.mark.parametrize("call", [call for call in CALLS if "streamed" not in call.__name__], ids=lambda call: call.__name__)
@pytest.mark.parametrize("status", [200, 201])
@pytest.mark.parametrize(
    "body, words",
    [
        (b"", "the server sent an empty body instead of an answer"),
        (b" \r\n", "the server sent an empty body instead of an answer"),
        (b"<html><body>Hi</body></html>", "the server sent a web page instead of an answer"),
        (b'{"x": 1}', "the body is not valid"),
    ],
    ids=["empty", "blank", "page", "json"],
)
async def test_an_unusable_answer_is_called_what_it_is(body: bytes, words: str, status: int, call: Any) -> None:
    error = await error_of(Reply(status=status, body=body), call)
    assert type(error) is tokenwire.APIResponseValidationError
    assert error.message.startswith(words)
    assert (error.status_code, [attempt.status for attempt in error.attempts]) == (status, [status])


@one_loop
@pytest.mark.parametrize(
    "reply, message",
    [
        (Reply(status=500, json={"error": "No."}), "No."),
        (Reply(status=500, json={"message": "No.", "code": 7}), "No."),
        (Reply(status=500, json={"detail": "No."}), "No."),
        (Reply(status=500, json=[{"error": {"message": "No."}}]), "No."),
        (Reply(status=500, json={"detail": [{"loc": ["body", "n"], "msg": "too low"}]}), "body.n: too low"),
        (Reply(status=500, body=b"No."), "No."),
        (Reply(status=500, body=b"<html><head><title>Bad luck</title></head></html>"), "Bad luck"),
        (Reply(status=500, body=b""), "the server answered 500 with an empty body"),
        (Reply(status=500, body=b"\xff\xfe"), "\ufffd\ufffd"),
        (Reply(status=500, events=[{"error": {"message": "No."}}]), "No."),
    ],
)
@pytest.mark.parametrize("call", [complete, stream], ids=lambda call: call.__name__)
async def test_where_servers_put_their_words(reply: Reply, message: str, call: Any) -> None:
    error = await error_of(reply, call)
    assert type(error) is tokenwire.InternalServerError
    assert message in error.message


@pytest.mark.parametrize("call", [complete, stream], ids=lambda call: call.__name__)
async def test_an_error_s_body_may_be_cut_short(call: Any) -> None:
    error = await error_of(Reply(status=503, body=b'{"error": {"message": "No', framing="length", cut="fin"), call)
    assert type(error) is tokenwire.ServiceUnavailableError


@pytest.mark.parametrize("call", [complete, stream], ids=lambda call: call.__name__)
async def test_an_error_s_body_is_kept_up_to_a_limit(call: Any) -> None:
    limits = tokenwire.Limits(max_error_body_bytes=100)
    error = await error_of(Reply(status=500, body=b"x" * 1_000_000), call, limits=limits)
    assert error.body == "x" * 100


@one_loop
@pytest.mark.parametrize(
    "headers, seconds",
    [
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
async def test_when_to_come_back(headers: dict[str, str], seconds: float | None) -> None:
    assert (await error_of(Reply(status=429, json=OPENAI, headers=headers))).retry_after == seconds


@one_loop
@pytest.mark.parametrize("name", ["x-request-id", "request-id", "x-amzn-requestid", "cf-ray"])
async def test_whose_words_an_id_is_in(name: str) -> None:
    assert (await error_of(Reply(status=500, json=OPENAI, headers={name: "req-1"}))).request_id == "req-1"


# By code and by text.


@one_loop
@pytest.mark.parametrize("call", [complete, stream], ids=lambda call: call.__name__)
@pytest.mark.parametrize(
    "status, error, cls",
    [
        (400, {"message": "too long", "code": "context_length_exceeded"}, tokenwire.ContextWindowExceededError),
        (400, {"message": "This model's maximum context length is 8192 tokens."}, tokenwire.ContextWindowExceededError),
        (400, {"message": "prompt is too long: 9 tokens > 8 maximum"}, tokenwire.ContextWindowExceededError),
        (
            400,
            {"code": 400, "message": "the request exceeds the available context size", "type": "exceed_context_size_error"},
            tokenwire.ContextWindowExceededError,
        ),
        (413, {"message": "no", "code": "tokens_limit_reached"}, tokenwire.ContextWindowExceededError),
        (400, {"message": "no", "code": "content_filter"}, tokenwire.ContentPolicyViolationError),
        (400, {"message": "no", "code": "content_policy_violation"}, tokenwire.ContentPolicyViolationError),
        (400, {"message": "rejected by our safety system"}, tokenwire.ContentPolicyViolationError),
        (400, {"message": "no such model", "code": "model_not_found"}, tokenwire.NotFoundError),
        (429, {"message": "maximum context length"}, tokenwire.RateLimitError),
        (429, {"message": "no money", "code": "insufficient_quota"}, tokenwire.RateLimitError),
        (500, {"message": "content policy"}, tokenwire.InternalServerError),
    ],
)
async def test_the_code_or_the_text_says_more(status: int, error: Any, cls: Any, call: Any) -> None:
    raised = await error_of(Reply(status=status, json={"error": error}), call)
    assert (type(raised), raised.status_code) == (cls, status)
    if cls in (tokenwire.ContextWindowExceededError, tokenwire.ContentPolicyViolationError):
        assert isinstance(raised, tokenwire.BadRequestError)


# Status 200, and no answer. (Streams: test_stream_endings.py)


@one_loop
@pytest.mark.parametrize("call", [complete, complete_text, embed, draw, list_models], ids=lambda call: call.__name__)
@pytest.mark.parametrize("body", [b"", b"<html></html>", b"{bad", b"[]", b'{"id": "x"}', b"null", b'{"choices": 1, "data": 1}'])
async def test_what_is_no_answer(body: bytes, call: Any) -> None:
    error = await error_of(Reply(body=body, headers={"x-request-id": "req-1"}), call)
    assert isinstance(error, tokenwire.APIResponseValidationError)
    assert (error.body, error.request_id) == (body, "req-1")
    assert error.llm_provider in ("openai", "text-completion-openai")
    assert error.response is not None
    assert error.response.status_code == 200


@pytest.mark.parametrize("call", [complete, complete_text, embed, draw, list_models], ids=lambda call: call.__name__)
async def test_an_error_with_status_200(call: Any) -> None:
    body = {"error": {"message": "slow", "code": "rate_limit_exceeded"}}
    error = await error_of(Reply(json=body, headers={"x-request-id": "req-1", "retry-after": "3"}), call)
    assert (type(error), error.message, error.status_code) == (tokenwire.RateLimitError, "slow", 429)
    assert (error.body, error.request_id, error.retry_after) == (body, "req-1", 3.0)


async def test_a_body_has_a_longest_size() -> None:
    error = await error_of(Reply(json=completion("x" * 2000)), limits=tokenwire.Limits(max_body_bytes=1000))
    assert isinstance(error, tokenwire.LimitExceededError)
    assert error.limit == "max_body_bytes"


# The connection.


@pytest.fixture
def refusing() -> Iterator[str]:
    with nobody() as (host, port):
        yield f"http://{host}:{port}/v1"


@each_call
async def test_nobody_listens(call: Any, refusing: str) -> None:
    with pytest.raises(tokenwire.APIConnectionError, match="cannot connect") as caught:
        await call(api_base=refusing, num_retries=0)
    error = caught.value
    assert type(error) is tokenwire.APIConnectionError
    assert (error.status_code, error.model, error.response) == (500, "m", None)
    assert isinstance(error.__cause__, Exception)
    assert [attempt.error for attempt in error.attempts] == ["APIConnectionError"]


@pytest.mark.parametrize("call", [complete, stream], ids=lambda call: call.__name__)
@pytest.mark.parametrize(
    "reply",
    [
        Reply(json=completion("Hello"), framing="length", cut="fin"),
        Reply(json=completion("Hello"), framing="chunked", cut="fin"),
        Reply(json=completion("Hello"), framing="chunked", cut="rst"),
    ],
)
async def test_a_connection_that_breaks_in_the_body(reply: Reply, call: Any) -> None:
    assert isinstance(await error_of(reply, call), tokenwire.APIConnectionError)


@pytest.mark.parametrize("call", [complete, stream], ids=lambda call: call.__name__)
@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200", b"SSH-2.0-OpenSSH_9.9\r\n", b"\x15\x03\x01\x00\x02\x02\x50"])
async def test_who_answers_speaks_no_http(said: bytes, call: Any, tcp_server: Any) -> None:
    with pytest.raises(tokenwire.APIConnectionError) as caught:
        await call(api_base=tcp_server(said), num_retries=0)
    assert not isinstance(caught.value, tokenwire.Timeout)


@pytest.fixture
def tcp_server() -> Any:
    """Starts a server that takes a request's beginning, says a few bytes and hangs up."""
    import threading

    threads: list[threading.Thread] = []
    servers: list[socket.socket] = []

    def serve(server: socket.socket, said: bytes) -> None:
        with contextlib.suppress(OSError), server, server.accept()[0] as connection:  # the client may be gone by then
            connection.recv(65536)
            connection.sendall(said)

    def start(said: bytes) -> str:
        server = socket.create_server(("127.0.0.1", 0))
        server.settimeout(PATIENCE)
        servers.append(server)
        threads.append(threading.Thread(target=serve, args=(server, said)))
        threads[-1].start()
        return f"http://127.0.0.1:{server.getsockname()[1]}/v1"

    yield start
    for thread in threads:
        thread.join()
    for server in servers:
        server.close()


async def test_a_name_that_nobody_has() -> None:
    with pytest.raises(tokenwire.APIConnectionError, match="cannot connect"):
        await complete(api_base="http://host.invalid/v1", num_retries=0)


async def test_https_where_http_is_spoken() -> None:
    with Endpoint(Reply(json=completion("Hello"))) as endpoint, pytest.raises(tokenwire.APIConnectionError):
        await complete(api_base=endpoint.url.replace("http://", "https://"), num_retries=0)


@pytest.mark.parametrize("call", [complete, stream], ids=lambda call: call.__name__)
async def test_a_body_that_cannot_be_decompressed(call: Any) -> None:
    reply = Reply(body=b"this is no gzip", headers={"content-encoding": "gzip", "content-type": "text/event-stream"})
    assert isinstance(await error_of(reply, call), tokenwire.APIError)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("call", [complete, stream], ids=lambda call: call.__name__)
async def test_a_redirect_to_elsewhere_is_not_followed_with_the_key(status: int, call: Any) -> None:
    with Endpoint(Reply(json=completion("stolen"))) as elsewhere:
        reply = Reply(status=status, headers={"location": f"{elsewhere.url}/chat/completions"})
        error = await error_of(reply, call, api_key=SECRET)
    assert (type(error), error.status_code) == (tokenwire.APIError, status)
    assert elsewhere.url not in str(error)
    assert f"it has moved to {elsewhere.url}/chat/completions" in error.__notes__[0]
    assert elsewhere.requests == []


# Keys.


@each_call
async def test_without_a_key_nothing_is_sent_to_openai(call: Any) -> None:
    with pytest.raises(tokenwire.AuthenticationError, match="OPENAI_API_KEY") as caught:
        await call()
    assert (caught.value.status_code, caught.value.param, caught.value.attempts) == (401, "api_key", ())


@each_call
async def test_an_endpoint_of_one_s_own_needs_no_key(call: Any) -> None:
    with Endpoint(Reply(status=400, json=OPENAI)) as endpoint, pytest.raises(tokenwire.BadRequestError):
        await call(api_base=endpoint.url)
    assert "authorization" not in endpoint.requests[0].headers


async def test_an_endpoint_named_by_the_environment_needs_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    with Endpoint(Reply(json=completion("Hello"))) as endpoint:
        monkeypatch.setenv("OPENAI_BASE_URL", endpoint.url)
        await complete()
        monkeypatch.setenv("OPENAI_API_KEY", "from-the-environment")
        await complete()
    assert [request.headers.get("authorization") for request in endpoint.requests] == [None, "Bearer from-the-environment"]


FAULTS: dict[str, Reply | None] = {
    "refused": None,
    "401": Reply(status=401, json={"error": {"message": "Wrong key.", "code": "invalid_api_key"}}),
    "500": Reply(status=500, body=b"<html>"),
    "cut": Reply(events=["Hel"], done=False),
    "broken": Reply(events=["Hel"], done=False, cut="fin"),
    "error object": Reply(events=["Hel", {"error": {"message": "boo", "code": 429}}]),
    "malformed": Reply(events=["Hel", b"data: {bad\n\n"]),
    "HTML": Reply(body=b"<html>"),
    "nothing": Reply(body=b""),
    "silence": Reply(events=["Hel"], done=False, stall=True),
    "silent head": Reply(delay=60),
}


def everything_about(error: BaseException) -> str:
    """What logs, debuggers and pickles could show of an exception."""
    seen: list[str] = [*traceback.format_exception(error)]
    pending: list[BaseException | None] = [error]
    while pending:
        one = pending.pop()
        if one is not None:
            seen += [repr(one), str(one), repr(vars(one)), *map(repr, one.args)]
            pending += [one.__cause__, one.__context__]
    return "\n".join(seen)


@pytest.mark.parametrize("call", [complete, stream], ids=lambda call: call.__name__)
@pytest.mark.parametrize("reply", FAULTS.values(), ids=FAULTS)
async def test_no_exception_shows_the_key(
    reply: Reply | None, call: Any, refusing: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    with Endpoint(reply or Reply()) as endpoint:
        url = endpoint.url if reply else refusing
        with pytest.raises(tokenwire.APIError) as caught:
            await call(
                api_base=url.replace("http://", f"http://user:{SECRET}@"),
                api_key=SECRET,
                num_retries=0,
                timeout=0.1,
                extra_headers={"api-key": SECRET},
                extra_query={"key": SECRET},
            )
    error = caught.value
    assert SECRET not in everything_about(error)
    assert SECRET.encode() not in pickle.dumps(error)
    assert SECRET not in caplog.text
    if error.response is not None:
        with pytest.raises(RuntimeError):
            _ = error.response.request


# Exceptions travel.


@one_loop
@pytest.mark.parametrize("reply", FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("passed_on", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy], ids=["pickle", "copy"])
async def test_an_exception_can_be_passed_on(reply: Reply | None, passed_on: Any, refusing: str) -> None:
    with Endpoint(reply or Reply()) as endpoint:
        url = endpoint.url if reply else refusing
        with pytest.raises(tokenwire.APIError) as caught:
            await stream(api_base=url, num_retries=0, timeout=0.1)
    error, twin = caught.value, passed_on(caught.value)
    assert type(twin) is type(error)
    assert str(twin) == str(error)
    for name in ("message", "status_code", "llm_provider", "model", "code", "param", "type", "body", "request_id", "headers"):
        assert getattr(twin, name) == getattr(error, name), name
    assert (twin.retry_after, twin.partial, twin.attempts) == (error.retry_after, error.partial, error.attempts)
    assert getattr(twin, "budget", None) == getattr(error, "budget", None)


async def test_a_partial_answer_travels_along() -> None:
    error = await error_of(Reply(events=[chunk("Hel"), chunk("lo")], done=False), stream)
    assert pickle.loads(pickle.dumps(error)).partial.choices[0].message.content == "Hello"


async def test_no_error_is_left_over_for_the_next_call() -> None:
    with Endpoint([Reply(status=400, json=OPENAI), Reply(events=chunks("Hello"))]) as endpoint:
        with pytest.raises(tokenwire.BadRequestError):
            await stream(api_base=endpoint.url)
        await stream(api_base=endpoint.url)
        assert {request.connection for request in endpoint.requests} == {1}


async def test_https_to_a_server_without_tls_is_said_in_words() -> None:
    with Endpoint(Reply(text="Hello")) as endpoint:
        url = endpoint.url.replace("http:", "https:")
        with pytest.raises(tokenwire.APIConnectionError, match="does not speak TLS: did you mean http://"):
            await tokenwire.acompletion("openai/m", [{"role": "user", "content": "Hi"}], api_base=url, num_retries=0)


async def test_a_certificate_that_is_not_trusted_says_how_to_trust_it() -> None:
    with Endpoint(Reply(text="Hello"), tls=True) as endpoint:
        with pytest.raises(tokenwire.APIConnectionError, match=r'ssl_verify="authorities\.pem", or SSL_CERT_FILE') as caught:
            await stream(api_base=endpoint.url, num_retries=0)
    assert caught.value.message.startswith("cannot connect: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed")
