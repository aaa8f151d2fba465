"""Endpoints that speak the client's own API: what either says reaches the other as it is, in every dialect."""

import json
import logging
import re
from collections.abc import Callable
from typing import Any

import pytest

import tokenwire
from tokenwire import CustomLLM
from tokenwire.integrations.custom_logger import CustomLogger
from tokenwire.server import create_app
from tokenwire.testing import Endpoint, FakeClock, Reply, chunk, chunks, completion

from ..conftest import an_hour, one_loop
from ..wire import messages, responses

pytestmark = pytest.mark.anyio

USAGE = chunk(usage={"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}) | {"choices": []}


class Speaks:
    """One dialect, as clients and endpoints have it.

    Attributes:
        model: of an endpoint that speaks it.
        asked: a request with what only this API has.
        events: of a stream, the last of which ends it.
        whole: an answer.
    """

    def __init__(self, path: str, model: str, asked: dict[str, Any], events: list[bytes], whole: dict[str, Any]) -> None:
        self.path, self.model, self.asked, self.events, self.whole = path, model, asked, events, whole

    def body(self, **fields: Any) -> dict[str, Any]:
        return {"model": "m", **self.asked, **fields}


SEARCH_TOOL = {"type": "web_search_20250305", "name": "web_search", "max_uses": 2}
HI = [{"role": "user", "content": "Hi"}]
BLOCKS = [messages.THINKING, messages.SEARCH, messages.FOUND, messages.CITED, messages.CALL]
ITEMS = [responses.SUMMARY, responses.SEARCH, responses.QUOTING, responses.CALL]
EACH = {
    "chat": Speaks(
        "/v1/chat/completions",
        "openai/up",
        {"messages": HI, "stream_options": {"include_usage": True}, "x_new": {"a": [1]}},
        [*(b"data: %b\n\n" % json.dumps(each).encode() for each in [*chunks("Hello"), USAGE]), b"data: [DONE]\n\n"],
        {**completion("Hello"), "x_new": [1]},
    ),
    "messages": Speaks(
        "/v1/messages",
        "anthropic/up",
        {"messages": HI, "max_tokens": 9, "tools": [SEARCH_TOOL], "mcp_servers": [{"type": "url"}], "x_new": {"a": [1]}},
        messages.events(BLOCKS, "tool_use"),
        messages.message(BLOCKS, "tool_use", x_new=[1]),
    ),
    "responses": Speaks(
        "/v1/responses",
        "openai/responses/up",
        {
            "input": [{"role": "user", "content": "Hi"}, {"type": "item_reference", "id": "x"}],
            "previous_response_id": "resp_0",
            "conversation": "conv_1",
            "tools": [{"type": "file_search", "vector_store_ids": ["v"]}],
            "background": False,
            "x_new": {"a": [1]},
        },
        responses.encoded(responses.events(ITEMS)),
        responses.response(ITEMS, x_new=[1]),
    ),
}
each = pytest.mark.parametrize("speaks", EACH.values(), ids=EACH)
others = pytest.mark.parametrize("speaks", [EACH["messages"], EACH["responses"]], ids=["messages", "responses"])

_apps: list[Any] = []  # kept until their event loop has ended, which closes their connections


def served(*endpoints: tuple[Speaks | str, Endpoint], **keywords: Any) -> Any:
    """A gateway to an endpoint, or to several that share the calls."""
    entries = [
        {"model": speaks if isinstance(speaks, str) else speaks.model, "api_base": upstream.url, "api_key": "k"}
        for speaks, upstream in endpoints
    ]
    model = {**entries[0], "num_retries": 0, **keywords} if len(entries) == 1 else entries
    _apps.append(create_app({"m": model}, metrics=True))
    return _apps[-1]


@pytest.fixture(autouse=True)
async def no_connections_left(anyio_backend: Any) -> Any:
    _apps.clear()
    yield
    await tokenwire.aclose()


@each
async def test_a_stream_passes_byte_for_byte(speaks: Speaks, ask: Any) -> None:
    for events in (speaks.events, [b"".join(speaks.events)]):
        with Endpoint(Reply(events=events, done=False)) as upstream:
            answer = await ask(served((speaks, upstream)), speaks.body(stream=True), speaks.path)
        assert (answer.status, answer.body) == (200, b"".join(events))
        assert upstream.requests[0].json() == {**speaks.body(stream=True), "model": "up"}


@each
@pytest.mark.parametrize("drip", [1, 11])
async def test_it_does_however_it_is_cut(speaks: Speaks, drip: int, ask: Any) -> None:
    with Endpoint(Reply(events=speaks.events, done=False, drip=drip)) as upstream:
        answer = await ask(served((speaks, upstream)), speaks.body(stream=True), speaks.path)
    assert answer.body == b"".join(speaks.events)


@each
async def test_a_whole_answer_passes_byte_for_byte(speaks: Speaks, ask: Any) -> None:
    body = json.dumps(speaks.whole, indent=1).encode()
    with Endpoint(Reply(body=body, headers={"content-type": "application/json"})) as upstream:
        answer = await ask(served((speaks, upstream)), speaks.body(), speaks.path)
    assert (answer.status, answer.body) == (200, body)
    assert upstream.requests[0].json() == {**speaks.body(), "model": "up"}


@one_loop
@others
async def test_a_request_that_everybody_could_answer_passes_too(speaks: Speaks, ask: Any) -> None:
    """In its own words: what would be lost by saying it in another way is there."""
    turns = {
        "messages": {
            "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi", "citations": None}]}],
            "max_tokens": 5,
            "stop_sequences": ["x"],
            "tools": [{"type": "custom", "name": "f", "input_schema": {"type": "object"}}],
        },
        "responses": {
            "input": "Hi",
            "max_output_tokens": 5,
            "store": True,
            "truncation": "auto",
            "include": [],
            "text": {"format": {"type": "json_schema", "name": "n", "schema": {}, "strict": None}},
        },
    }
    asked = {"model": "m", **turns[speaks.path.rpartition("/")[2]]}
    with Endpoint(Reply(json=speaks.whole)) as upstream:
        assert (await ask(served((speaks, upstream)), asked, speaks.path)).status == 200
    assert upstream.requests[0].json() == {**asked, "model": "up"}


def ending_of(body: bytes) -> dict[str, Any]:
    """The last event of a stream."""
    *_, last = [line for line in body.splitlines() if line.startswith(b"data: ")]
    return json.loads(last[6:])


@each
@pytest.mark.parametrize("cut", ["fin", "rst"])
async def test_a_stream_that_is_cut_is_an_error(speaks: Speaks, cut: Any, ask: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tokenwire.server.access")
    kept = speaks.events[:-2]
    with Endpoint(Reply(events=[*kept, speaks.events[-2][:-9]], done=False, cut=cut)) as upstream:
        answer = await ask(served((speaks, upstream)), speaks.body(stream=True), speaks.path)
    whole = b"".join(kept)
    sent, own = answer.body[: len(whole)], answer.body[len(whole) :]
    if speaks.path.endswith("completions"):  # whose finish reason came
        assert b"[DONE]" in own
        return
    assert sent == whole
    ending = ending_of(own)
    assert own.count(b"data: ") == 1
    assert " 200 truncated " in caplog.messages[-1]
    if speaks.path.endswith("messages"):
        assert ending == {
            "type": "error",
            "error": {"type": "api_error", "message": "the answer was cut before it was complete"},
        }
    else:
        assert (ending["type"], ending["response"]["status"]) == ("response.failed", "failed")
        assert ending["response"]["id"] == "resp_1"
        assert ending["sequence_number"] == len(kept)
        assert responses.PART["text"] in json.dumps(ending["response"]["output"], ensure_ascii=False).replace(
            '\\"', '"'
        ).replace("\\n", "\n")


FAILURES: dict[str, Callable[[], bytes]] = {
    "/v1/messages": lambda: messages.event(
        "error", error={"type": "overloaded_error", "message": "no", "x": 1}, request_id="r"
    ),
    "/v1/responses": lambda: responses.encoded(
        [
            {
                "type": "response.failed",
                "response": responses.response([], "failed", error={"code": "server_error", "message": "no"}),
            }
        ]
    )[0],
}


@others
async def test_a_failure_in_a_stream_is_told(speaks: Speaks, ask: Any) -> None:
    begun = speaks.events[:9]
    with Endpoint(Reply(events=[*begun, FAILURES[speaks.path]()], done=False)) as upstream:
        answer = await ask(served((speaks, upstream)), speaks.body(stream=True), speaks.path)
    whole = b"".join(begun)
    assert answer.body.startswith(whole)
    ending = ending_of(answer.body)
    assert answer.body[len(whole) :].count(b"data: ") == 1
    if speaks.path == "/v1/messages":
        assert ending == ending_of(FAILURES[speaks.path]())
    else:
        assert ending["type"] == "response.failed"
        assert ending["response"]["error"] == {"code": "server_error", "message": "no"}
        assert ending["sequence_number"] == len(begun)


@others
async def test_a_refusal_has_its_status_and_its_words(speaks: Speaks, ask: Any) -> None:
    failure = {"type": "error", "error": {"type": "rate_limit_error", "message": "no", "x": 1}, "request_id": "r"}
    body = json.dumps(failure, indent=2).encode()
    with Endpoint(Reply(status=429, body=body, headers={"retry-after": "7"})) as upstream:
        for stream in (False, True):
            answer = await ask(served((speaks, upstream)), speaks.body(stream=stream), speaks.path)
            assert (answer.status, answer.body, answer.headers["retry-after"]) == (429, body, "7")


@others
async def test_what_was_said_before_the_first_content_does_not_count(speaks: Speaks, ask: Any) -> None:
    broken = Reply(events=speaks.events[:2], done=False, cut="fin")
    with Endpoint([broken, Reply(events=speaks.events, done=False)]) as upstream:
        app = served((speaks, upstream), num_retries=1, retry_policy=tokenwire.RetryPolicy(base_delay=0))
        answer = await ask(app, speaks.body(stream=True), speaks.path)
    assert len(upstream.requests) == 2
    assert answer.body == b"".join(speaks.events)


@others
async def test_a_failure_before_it_has_its_own_status(speaks: Speaks, ask: Any) -> None:
    with Endpoint(Reply(events=[*speaks.events[:2], FAILURES[speaks.path]()], done=False)) as upstream:
        answer = await ask(served((speaks, upstream)), speaks.body(stream=True), speaks.path)
    assert answer.status >= 500
    assert b"event:" not in answer.body


@others
async def test_a_client_that_leaves_ends_it(speaks: Speaks, visit: Any) -> None:
    with Endpoint(Reply(events=speaks.events[:9], done=False, stall=True)) as upstream:
        async with visit(served((speaks, upstream)), speaks.body(stream=True), speaks.path) as v:
            await v.take()
            v.leave()
            await v.ended.wait()
        await upstream.await_closed(upstream.requests[0])


@others
async def test_the_record_is_as_ever(speaks: Speaks, ask: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tokenwire.server.access")
    seen: list[Any] = []

    class Watches(CustomLogger):
        async def async_log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
            seen.append((kwargs["messages"], response_obj.usage.prompt_tokens, response_obj.choices[0].finish_reason))

    with Endpoint(Reply(events=speaks.events, done=False)) as upstream:
        app = served((speaks, upstream), callbacks=[Watches()])
        await ask(app, speaks.body(stream=True), speaks.path)
        figures = (await ask(app, None, "/metrics", method="GET")).body.decode()
    assert re.search(rf"POST {speaks.path[3:]} 200 complete .* chunks=[0-9]+ model=m", caplog.messages[0])
    number = re.search(r" chunks=([0-9]+) ", caplog.messages[0])
    assert number is not None
    assert f'tokenwire_chunks_total{{model="m"}} {number[1]}.0' in figures
    ((asked, prompt, reason),) = seen
    assert (asked[0]["content"], prompt) == ("Hi", 18 if "messages" in speaks.path else 10)
    assert reason == "tool_calls"


@others
async def test_an_answer_in_another_form_is_translated(speaks: Speaks, ask: Any) -> None:
    """A whole one, where a stream was asked for."""
    with Endpoint(Reply(json=speaks.whole)) as upstream:
        answer = await ask(served((speaks, upstream)), speaks.body(stream=True), speaks.path)
    assert b"As they say." in answer.body if "messages" in speaks.path else b"world" in answer.body
    assert speaks.events[-1].split(b"\n")[0] in answer.body


async def test_a_message_whose_last_event_does_not_come_is_given_one(ask: Any) -> None:
    speaks = EACH["messages"]
    with Endpoint(Reply(events=speaks.events[:-1], done=False)) as upstream:
        answer = await ask(served((speaks, upstream)), speaks.body(stream=True), speaks.path)
    assert answer.body == b"".join(speaks.events)


async def test_an_endpoint_that_falls_silent_is_an_error(ask: Any, clock: FakeClock) -> None:
    speaks = EACH["messages"]
    with Endpoint(Reply(events=speaks.events[:9], done=False, stall=True)) as upstream:
        async with an_hour(clock, upstream.await_silence):
            answer = await ask(served((speaks, upstream), timeout=20), speaks.body(stream=True), speaks.path)
    assert ending_of(answer.body)["error"]["type"] in ("timeout_error", "api_error")


@one_loop
@others
async def test_what_the_server_says_for_its_model_is_said_as_well(speaks: Speaks, ask: Any) -> None:
    with Endpoint(Reply(json=speaks.whole)) as upstream:
        app = served((speaks, upstream), temperature=0.5, max_tokens=7, reasoning_effort="low", extra_body={"x": 1})
        await ask(app, speaks.body(temperature=0.25), speaks.path)
    sent = upstream.requests[0].json()
    own = speaks.body(temperature=0.25)
    assert {name: sent[name] for name in own} == {**own, "model": "up"}
    assert sent["x"] == 1
    if "messages" in speaks.path:
        assert (sent["output_config"], sent["max_tokens"]) == ({"effort": "low"}, 9)
    else:
        assert (sent["reasoning"], sent["max_output_tokens"]) == ({"effort": "low"}, 7)


@one_loop
async def test_a_parameter_to_be_dropped_is_dropped(ask: Any) -> None:
    speaks = EACH["messages"]
    asked = {"model": "m", "messages": HI, "max_tokens": 9, "temperature": 0.5}
    with Endpoint(Reply(json=speaks.whole)) as upstream:
        await ask(served((speaks, upstream), additional_drop_params=["temperature"]), asked, speaks.path)
    assert upstream.requests[0].json() == {"model": "up", "messages": HI, "max_tokens": 9}


@one_loop
@others
async def test_with_parameters_to_be_dropped_a_request_that_cannot_be_translated_is_refused(speaks: Speaks, ask: Any) -> None:
    """It is not sent without what could not be translated."""
    with Endpoint(Reply(json=speaks.whole)) as upstream:
        single = served((speaks, upstream), additional_drop_params=["temperature"])
        entry = {"model": speaks.model, "api_base": upstream.url, "api_key": "k", "additional_drop_params": ["temperature"]}
        _apps.append(create_app({"m": [entry]}))
        for app in (single, _apps[-1]):
            answer = await ask(app, speaks.body(), speaks.path)
            assert (answer.status, answer.json()["error"]["type"]) == (400, "invalid_request_error")
            assert "x_new" in answer.json()["error"]["message"]
        assert not upstream.requests


@one_loop
async def test_headers_of_messages_go_on(ask: Any) -> None:
    speaks = EACH["messages"]
    said = {"anthropic-beta": "b-1,b-2", "anthropic-version": "2030-01-01"}
    with Endpoint(Reply(json=speaks.whole)) as upstream:
        await ask(served((speaks, upstream)), speaks.body(), speaks.path, headers=said)
    assert {name: upstream.requests[0].headers[name] for name in said} == said


@one_loop
@others
async def test_several_endpoints_of_one_api_share_the_calls(speaks: Speaks, ask: Any) -> None:
    with (
        Endpoint(Reply(events=speaks.events, done=False)) as first,
        Endpoint(Reply(events=speaks.events, done=False)) as second,
    ):
        app = served((speaks, first), (speaks, second))
        for _ in range(4):
            assert (await ask(app, speaks.body(stream=True), speaks.path)).body == b"".join(speaks.events)
        assert len(first.requests) == len(second.requests) == 2


@one_loop
async def test_of_several_apis_each_is_asked_in_its_own(ask: Any) -> None:
    speaks = EACH["messages"]
    asked = {"model": "m", "messages": HI, "max_tokens": 9, "stream": True, "top_k": 2}
    with Endpoint(Reply(events=speaks.events, done=False)) as own, Endpoint(Reply(text="Hello")) as other:
        app = served((speaks, own), ("openai/up", other))
        bodies = [(await ask(app, asked, speaks.path)).body for _ in range(4)]
        assert own.requests[0].json() == {**asked, "model": "up"}
        assert "top_k" not in other.requests[0].json()
    assert bodies.count(b"".join(speaks.events)) == len(own.requests) == 2
    assert sum(b'"text":"H' in body for body in bodies) == 2
    refused = await ask(served((speaks, own), ("openai/up", other)), speaks.body(), speaks.path)
    assert (refused.status, refused.json()["error"]["type"]) == (400, "invalid_request_error")


@one_loop
async def test_who_stands_in_is_asked_in_its_own_words(ask: Any) -> None:
    speaks = EACH["messages"]
    asked = {"model": "m", "messages": HI, "max_tokens": 9, "stop_sequences": ["x"]}
    failing = Reply(status=500, json={"type": "error", "error": {"type": "api_error", "message": "no"}})
    with Endpoint(failing) as upstream, Endpoint(Reply(text="Hello")) as other:
        fallback = {"model": "openai/b", "api_base": other.url}
        answer = await ask(served((speaks, upstream), fallbacks=[fallback]), asked, speaks.path)
    assert answer.json()["content"] == [{"type": "text", "text": "Hello"}]
    assert upstream.requests[0].json() == {**asked, "model": "up"}
    assert other.requests[0].json() == {"model": "b", "messages": HI, "max_tokens": 9, "stop": ["x"]}


@one_loop
async def test_what_a_fallback_says_for_itself_comes_before_the_clients_words(ask: Any) -> None:
    speaks = EACH["messages"]
    asked = {"model": "m", "messages": HI, "max_tokens": 9, "top_k": 2}
    failing = Reply(status=500, json={"type": "error", "error": {"type": "api_error", "message": "no"}})
    others = [{"role": "user", "content": "Ho"}]
    with Endpoint(failing) as upstream, Endpoint([failing, Reply(json=speaks.whole)]) as other:
        own = {"model": "anthropic/b", "api_base": other.url, "num_retries": 0}
        fallbacks = [{**own, "max_tokens": 3}, {**own, "messages": others}]
        answer = await ask(served((speaks, upstream), fallbacks=fallbacks), asked, speaks.path)
    assert answer.json()["id"] == "msg_1"
    first, second = (request.json() for request in other.requests)
    assert first == {**asked, "model": "b", "max_tokens": 3}
    assert second == {**asked, "model": "b", "messages": others}


@one_loop
async def test_a_handler_that_asks_an_endpoint_has_chunks(ask: Any) -> None:
    """What is the client's own is for the endpoint that answers it, and not for the calls of a handler."""
    speaks = EACH["messages"]

    class Asks(CustomLLM):
        async def astreaming(self, *args: Any, messages: Any, client_request: Any, **kwargs: Any) -> Any:  # type: ignore[override]
            call = tokenwire.acompletion(
                "anthropic/up", messages, api_base=upstream.url, api_key="k", stream=True, client_request=client_request
            )
            async with await call as stream:
                async for part in stream:
                    if part.choices[0].delta.content:
                        part.choices[0].delta.content = part.choices[0].delta.content.upper()
                    yield part

    with Endpoint(Reply(events=messages.events([messages.TEXT]), done=False)) as upstream:
        asked = {"model": "m", "messages": HI, "max_tokens": 9, "stream": True}
        answer = await ask(create_app({"m": Asks()}), asked, speaks.path)
    assert b"HELL" in answer.body


@one_loop
@others
@pytest.mark.parametrize(
    "wrong, param", [({"model": 1}, "model"), ({"model": "q"}, "model"), ({"stream": "yes"}, "stream")], ids=str
)
async def test_what_the_server_must_know_is_checked(speaks: Speaks, wrong: Any, param: str, ask: Any) -> None:
    with Endpoint(Reply()) as upstream:
        answer = await ask(served((speaks, upstream)), speaks.body(**wrong), speaks.path)
    assert answer.status in (400, 404)
    assert param in answer.json()["error"]["message"]
    assert not upstream.requests


@one_loop
@others
async def test_what_is_wrong_is_the_endpoints_to_say(speaks: Speaks, ask: Any) -> None:
    failure = {"type": "error", "error": {"type": "invalid_request_error", "message": "temperature: hot"}}
    asked = speaks.body(temperature="hot", metadata=[1])
    asked.pop("max_tokens", None)
    with Endpoint(Reply(status=400, json=failure)) as upstream:
        answer = await ask(served((speaks, upstream)), asked, speaks.path)
        assert (answer.status, answer.json()) == (400, failure)
        assert upstream.requests[0].json() == {**asked, "model": "up"}


@one_loop
@others
async def test_a_client_can_not_say_what_is_the_servers_to_say(speaks: Speaks, ask: Any) -> None:
    fields = {
        "api_base": "http://127.0.0.1:9",
        "api_key": "z",
        "timeout": 0.0001,
        "extra_headers": {"a": "b"},
        "mock_response": "x",
    }
    with Endpoint(Reply(json=speaks.whole)) as upstream:
        answer = await ask(served((speaks, upstream)), speaks.body(**fields), speaks.path)
    assert answer.json() == speaks.whole
    (request,) = upstream.requests
    assert request.json() == {**speaks.body(**fields), "model": "up"}
    assert "a" not in request.headers
    assert "z" not in (request.headers.get("x-api-key"), request.headers.get("authorization"))


COUNTS = {
    "messages": ("/v1/messages/count_tokens", {"input_tokens": 5, "x": 1}),
    "responses": ("/v1/responses/input_tokens", {"object": "response.input_tokens", "input_tokens": 5, "x": 1}),
}


@one_loop
@pytest.mark.parametrize("name", COUNTS)
async def test_counts_of_tokens_pass(name: str, ask: Any) -> None:
    path, counted = COUNTS[name]
    speaks = EACH[name]
    asked = {key: value for key, value in speaks.body().items() if key != "max_tokens"}
    body = json.dumps(counted, indent=1).encode()
    with Endpoint(Reply(body=body)) as upstream:
        answer = await ask(served((speaks, upstream), temperature=1), asked, path)
    assert (answer.status, answer.body) == (200, body)
    assert upstream.requests[0].json() == {**asked, "model": "up"}
