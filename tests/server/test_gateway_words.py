"""A gateway changes nothing: whatever an endpoint says, at whatever place, is what its client is told."""

import json
import logging
import random
from typing import Any

import pytest

import tokenwire
from tokenwire import CustomLLM
from tokenwire.server import create_app
from tokenwire.testing import Endpoint, Reply, chunk, chunks, completion

from ..conftest import one_loop

pytestmark = pytest.mark.anyio

MESSAGES = [{"role": "user", "content": "Hi"}]
BODY = {"model": "m", "messages": MESSAGES}
STREAM = {**BODY, "stream": True}
JSON = {"content-type": "application/json"}

_apps: list[Any] = []  # kept until their event loop has ended, which closes their connections


def gateway(upstream: Endpoint) -> Any:
    _apps.append(create_app({"m": {"model": "openai/up", "api_base": upstream.url, "num_retries": 0}}))
    return _apps[-1]


@pytest.fixture(autouse=True)
async def no_connections_left(anyio_backend: Any) -> Any:
    _apps.clear()
    yield
    await tokenwire.aclose()


AZURE = {
    "error": {
        "message": "The response was filtered", "type": None, "param": "prompt", "code": "content_filter", "status": 400,
        "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {"hate": {"filtered": True}}},
    }
}  # fmt: skip
OPENROUTER = {
    "error": {"message": "Provider returned error", "code": 502, "metadata": {"raw": '{"x": 1.50}', "provider_name": "P"}},
    "user_id": "user_1",
}
LLAMA = {
    "error": {"code": 400, "message": "too long", "type": "exceed_context_size_error", "n_ctx": 1024, "n_prompt_tokens": 9031}
}
NAMED = {"error": {"message": "no", "type": "invalid_request_error", "param": "timeout", "code": None}}  # as a setting here is
NUMBERS = {"error": {"message": "no", "big": 12345678901234567890123, "small": 1e-400, "exact": 0.10}}


@one_loop
@pytest.mark.parametrize("asked", [BODY, STREAM], ids=["whole", "streamed"])
@pytest.mark.parametrize("status", [400, 401, 402, 404, 413, 422, 429, 500, 502, 503, 529])
@pytest.mark.parametrize(
    "error", [AZURE, OPENROUTER, LLAMA, NAMED, NUMBERS], ids=["azure", "openrouter", "llama", "named", "numbers"]
)
async def test_a_refusal_passes_untouched(error: Any, status: int, asked: Any, ask: Any) -> None:
    body = json.dumps(error, indent=1).encode()
    with Endpoint(Reply(status=status, body=body, headers=JSON)) as upstream:
        answer = await ask(gateway(upstream), asked)
    assert (answer.status, answer.body) == (status, body)


@pytest.mark.parametrize("error", [AZURE, OPENROUTER, LLAMA], ids=["azure", "openrouter", "llama"])
async def test_an_error_in_a_good_answer_passes_with_all_that_is_in_it(error: Any, ask: Any) -> None:
    event = {"id": "gen-1", "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}], **error}
    with Endpoint([Reply(json=error), Reply(events=["Hel", event], done=False), Reply(events=[event])]) as upstream:
        app = gateway(upstream)
        whole, late, early = [await ask(app, asked) for asked in (BODY, STREAM, STREAM)]
    assert whole.json() == error
    assert whole.status == (error["error"].get("status") or error["error"]["code"])
    assert (early.status, early.json()) == (whole.status, event)
    assert late.events() == [chunk("Hel"), event]


@pytest.mark.parametrize(
    "body, message",
    [
        ({"detail": [{"loc": ["body", "n"], "msg": "too many", "type": "value_error"}]}, "body.n: too many"),
        ({"object": "error", "message": "no such thing", "code": 404, "x": {"y": 1}}, "no such thing"),
        ({"error": "it is gone", "hint": "come back"}, "it is gone"),
    ],
    ids=["detail", "message", "text"],
)
async def test_what_is_said_in_another_way_stands_beside_openais(body: Any, message: str, ask: Any) -> None:
    with Endpoint(Reply(status=422, json=body)) as upstream:
        answer = await ask(gateway(upstream), BODY)
    said = answer.json()
    assert answer.status == 422
    assert said.pop("error")["message"] == message
    assert said == {name: value for name, value in body.items() if name != "error"}


HEADERS = {
    "x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-tokens": "149984", "x-ratelimit-reset-requests": "1s",
    "anthropic-ratelimit-requests-reset": "2026-11-28T00:00:00Z", "ratelimit-policy": '"default";q=100;w=10',
    "retry-after": "Sat, 28 Nov 2026 00:00:00 GMT", "retry-after-ms": "1500", "x-should-retry": "false",
    "x-request-id": "req_upstream/1",
}  # fmt: skip
NOT_PASSED = {"set-cookie": "a=b", "server": "up", "x-other": "1", "openai-organization": "org", "content-encoding": "identity"}


@pytest.mark.parametrize(
    "asked, reply",
    [
        (BODY, {"json": completion("Hi")}),
        (STREAM, {"events": chunks("Hi")}),
        (BODY, {"json": AZURE, "status": 429}),
        (STREAM, {"json": AZURE, "status": 503}),
        (BODY, {"body": b"no JSON", "status": 200}),
        (STREAM, {"events": [AZURE]}),
    ],
    ids=["whole", "streamed", "refused", "stream refused", "odd", "error in stream"],
)
async def test_what_headers_say_of_limits_and_the_request_passes(
    asked: Any, reply: Any, ask: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tokenwire.server.access")
    with Endpoint(Reply(**reply, headers={**HEADERS, **NOT_PASSED})) as upstream:
        answer = await ask(gateway(upstream), asked)
    assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
    assert not {"set-cookie", "x-other", "openai-organization"} & answer.headers.keys()
    assert " request_id=req_upstream/1" in caplog.messages[-1]


async def test_a_time_to_come_back_in_milliseconds_is_told_in_seconds_too(ask: Any) -> None:
    with Endpoint(Reply(status=429, json=NAMED, headers={"retry-after-ms": "1500"})) as upstream:
        answer = await ask(gateway(upstream), BODY)
    assert (answer.headers["retry-after-ms"], answer.headers["retry-after"]) == ("1500", "2")


class Raised(Exception):
    """As openai's client raises it: with the error object as its body."""

    status_code = 429
    headers = {"Retry-After": "5", "X-RateLimit-Reset": "evil\r\nset-cookie: a=b", "x-request-id": "bad\nid"}  # noqa: RUF012
    body = {"message": "slow down", "type": "tokens", "param": None, "code": "c", "metadata": {"raw": "x"}}  # noqa: RUF012


async def test_what_another_clients_exception_says_passes_as_far_as_it_can_be_sent(ask: Any) -> None:
    class Fails(CustomLLM):
        async def acompletion(self, *args: Any, **kwargs: Any) -> Any:
            raise Raised("slow down")

    for asked in (BODY, STREAM):
        answer = await ask(create_app({"m": Fails()}), asked)
        assert (answer.status, answer.json()) == (429, {"error": Raised.body})
        assert answer.headers["retry-after"] == "5"
        assert answer.headers["x-request-id"].startswith("req_")
        assert not {"x-ratelimit-reset", "set-cookie"} & answer.headers.keys()


CHOICE = random.Random(11)
VALUES: list[Any] = [
    None,
    True,
    0,
    -1,
    1.5,
    12345678901234567890,
    "",
    "é\u2028",
    "\U0001f600",
    [],
    [[1], {"a": None}],
    {},
    {"b": [2]},
]


def seeded(value: Any) -> Any:
    """The value with fields in all of its objects that nobody knows, at any place among the others."""
    if isinstance(value, list):
        return [seeded(item) for item in value]
    if not isinstance(value, dict):
        return value
    items = [(name, seeded(item)) for name, item in value.items()]
    items += [(f"x_{number}", CHOICE.choice(VALUES)) for number in range(CHOICE.randrange(3))]
    CHOICE.shuffle(items)
    return dict(items)


CALL = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
USAGE = {
    "prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3,
    "prompt_tokens_details": {"cached_tokens": 1}, "completion_tokens_details": {"reasoning_tokens": 1},
}  # fmt: skip
TOKEN = {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": [{"token": "b", "logprob": -1, "bytes": None}]}
MESSAGE = {
    "role": "assistant", "content": "Hello", "refusal": None, "reasoning_content": "why", "annotations": [{"type": "url"}],
    "tool_calls": [CALL], "function_call": {"name": "f", "arguments": "{}"}, "audio": {"id": "a"},
}  # fmt: skip
WHOLE = {
    "id": "c-1", "object": "chat.completion", "created": 1, "model": "up", "system_fingerprint": None, "service_tier": "x",
    "choices": [{"index": 0, "message": MESSAGE, "logprobs": {"content": [TOKEN], "refusal": None}, "finish_reason": "stop"}],
    "usage": USAGE,
}  # fmt: skip
TEXT = {
    "id": "cmpl-1", "object": "text_completion", "created": 1, "model": "up", "usage": USAGE,
    "choices": [{"index": 0, "text": "Hi", "logprobs": {"tokens": ["Hi"], "token_logprobs": [-1]}, "finish_reason": "stop"}],
}  # fmt: skip
VECTORS = {
    "object": "list",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.5, -1]}],
    "model": "up",
    "usage": USAGE,
}
IMAGES = {"created": 1, "data": [{"url": "http://x/1", "revised_prompt": "a"}], "usage": {"total_tokens": 1}}
ANSWERS = {
    "/v1/chat/completions": (BODY, WHOLE),
    "/v1/completions": ({"model": "m", "prompt": ["a", [1]], "echo": True, "best_of": 3, "n": 1}, TEXT),
    "/v1/embeddings": ({"model": "m", "input": "a"}, VECTORS),
    "/v1/images/generations": ({"model": "m", "prompt": "a"}, IMAGES),
}


@pytest.mark.parametrize("path", ANSWERS)
async def test_fields_that_nobody_knows_pass_in_whole_answers(path: str, ask: Any) -> None:
    asked, answer = ANSWERS[path]
    bodies = [
        json.dumps(seeded(answer), ensure_ascii=bool(number % 2), indent=number % 3 or None).encode() for number in range(25)
    ]
    with Endpoint([Reply(body=body, headers=JSON) for body in bodies]) as upstream:
        app = gateway(upstream)
        for body in bodies:
            answered = await ask(app, asked, path)
            assert (answered.status, answered.body) == (200, body)
        sent = upstream.requests[0].json()
        assert sent == {**asked, "model": "up"}


def events_of_chat() -> list[dict[str, Any]]:
    deltas = [
        {"role": "assistant", "content": ""}, {"content": "H"}, {"content": "i"}, {"reasoning_content": "why"}, {"refusal": "no"},
        {"reasoning_details": [{"type": "text", "text": "w", "index": 0}]}, {"tool_calls": [CALL]}, {"audio": {"data": "x"}},
    ]  # fmt: skip
    events: list[dict[str, Any]] = [
        {
            "id": "c",
            "object": "chat.completion.chunk",
            "choices": [{"index": index, "delta": delta, "logprobs": {"content": [TOKEN]}}],
        }
        for index in (0, 1)
        for delta in deltas
    ]
    events += [{"choices": [{"index": index, "delta": {}, "finish_reason": "stop"}], "usage": None} for index in (0, 1)]
    return [*events, {"choices": [], "usage": USAGE, "id": "c"}]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
async def test_fields_that_nobody_knows_pass_in_streams(path: str, ask: Any) -> None:
    streamed = {"stream": True, "stream_options": {"include_usage": True}}
    asked = {**(BODY if "chat" in path else {"model": "m", "prompt": "a"}), **streamed}
    text = [{**TEXT, "choices": [{**TEXT["choices"][0], "finish_reason": reason}]} for reason in (None, None, "stop")]
    rounds = [[seeded(event) for event in (events_of_chat() if "chat" in path else text)] for _ in range(10)]
    with Endpoint([Reply(events=events) for events in rounds]) as upstream:
        app = gateway(upstream)
        for events in rounds:
            assert (await ask(app, asked, path)).events() == [*events, "[DONE]"]


@pytest.mark.parametrize(
    "first",
    [
        {"choices": [], "created": 0, "id": "", "model": "", "object": "", "prompt_filter_results": [{"prompt_index": 0}]},
        {"id": "c-1", "choices": [], "usage": None, "provider": "p"},
        {"id": "c-1", "object": None, "choices": [{"index": 0, "finish_reason": None, "token_ids": [1]}]},
    ],
    ids=["azure", "empty", "no delta"],
)
async def test_a_stream_that_begins_with_nothing_passes_untouched(first: dict[str, Any], ask: Any) -> None:
    events = [first, *({**event, "x": 1} for event in chunks("Hello"))]
    with Endpoint(Reply(events=events)) as upstream:
        assert (await ask(gateway(upstream), STREAM)).events() == [*events, "[DONE]"]
