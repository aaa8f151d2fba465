"""Models behind other endpoints: what these send is what the client gets."""

import json
from typing import Any

import pytest

import tokenwire
from tokenwire.server import create_app
from tokenwire.testing import Endpoint, FakeClock, Reply, chunk, chunks, completion

from ..conftest import an_hour, nobody

pytestmark = pytest.mark.anyio

MESSAGES = [{"role": "user", "content": "Hi"}]
BODY = {"model": "m", "messages": MESSAGES}
STREAM = {**BODY, "stream": True}
WITH_USAGE = {**STREAM, "stream_options": {"include_usage": True}}
USAGE_CHUNK = chunk(usage={"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}) | {"choices": []}

# A request of each dialect.
ASKED: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": BODY,
    "/v1/responses": {"model": "m", "input": "Hi"},
    "/v1/messages": {**BODY, "max_tokens": 9},
}
NO_ANSWERS = {
    "closed at once": Reply(raw=b"", cut="fin"),
    "not HTTP": Reply(raw=b"SSH-2.0-OpenSSH_9.9\r\n", cut="fin"),
    "cut in the head": Reply(raw=b"HTTP/1.1 200 OK\r\ncontent-ty", cut="fin"),
    "cut in the body": Reply(text="Hello", cut="rst", after_bytes=9),
    "cut before content": Reply(events=[chunk("")], done=False),
    "a web page": Reply(body=b"<html><title>Sign in</title></html>", headers={"content-type": "text/html"}),
    "not JSON": Reply(body=b"{", headers={"content-type": "application/json"}),
}


_apps: list[Any] = []  # kept until their event loop has ended, which closes their connections


def gateway(upstream: Endpoint, model: str = "openai/up") -> Any:
    _apps.append(create_app({"m": {"model": model, "api_base": upstream.url, "num_retries": 0}}))
    return _apps[-1]


def kind_of(answer: Any) -> str:
    return answer.json()["error"]["type"]


@pytest.fixture(autouse=True)
async def no_connections_left(anyio_backend: Any) -> Any:
    _apps.clear()
    yield
    await tokenwire.aclose()


async def test_an_endpoints_events_pass_untouched(ask: Any) -> None:
    events = [
        b'data: {"id":"a", "object":"chat.completion.chunk","created":1.5,"model":"up","choices":[{"index":0,"delta":{"role":"assistant","content":""}}],"x_new":[1, 2]}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"content":"H\\u00e9"},"token_ids":[7]}]}\n\n',
        b'data: {"choices":[{"index":0,\ndata: "delta":{"content":"llo"}}]}\n\n',
        b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"eos"}]}\n\n',
    ]
    with Endpoint(Reply(events=events)) as upstream:
        answer = await ask(gateway(upstream), STREAM)
    assert answer.body == b"".join(events) + b"data: [DONE]\n\n"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses"])
async def test_a_long_stream_that_comes_bit_by_bit_is_the_same(ask: Any, path: str) -> None:
    """Its later events are seen to be alike, and not decoded."""
    texts = [*(f" {number}" for number in range(20)), " \n", ' "quoted"', " \u20ac", " last"]
    events = [chunk(content=text) for text in texts]
    body = {**STREAM, "max_tokens": 9} if path != "/v1/responses" else {"model": "m", "input": "Hi", "stream": True}
    with Endpoint(Reply(events=[*events, chunk(finish_reason="stop")], event_delay=0)) as upstream:
        answer = await ask(gateway(upstream), body, path)
    said = [json.loads(line[6:]) for line in answer.body.decode().splitlines() if line.startswith("data: {")]
    if path == "/v1/chat/completions":
        assert said == [*events, chunk(finish_reason="stop")]
    else:
        deltas = [event["delta"] for event in said if "delta" in event["type"] and "stop_reason" not in event["delta"]]
        assert [delta if isinstance(delta, str) else delta["text"] for delta in deltas] == texts


async def test_an_endpoint_that_leaves_a_finished_stream_open_does_not_keep_the_client(ask: Any, clock: FakeClock) -> None:
    heartbeats = [b": ping\n\n"] * 100
    with Endpoint(Reply(events=[*chunks("Hi"), USAGE_CHUNK, *heartbeats], event_delay=1, done=False, stall=True)) as upstream:
        async with an_hour(clock, upstream.await_silence):
            answer = await ask(gateway(upstream), WITH_USAGE)
    assert answer.events() == [*chunks("Hi"), USAGE_CHUNK, "[DONE]"]


async def test_a_stream_that_an_endpoint_drops_is_an_error_for_the_client(ask: Any) -> None:
    with Endpoint(Reply(events=["Hi"], cut="fin")) as upstream:
        *_, last = (await ask(gateway(upstream), STREAM)).events()
    assert last != "[DONE]"
    assert "error" in last


async def test_an_endpoints_whole_answer_passes_untouched(ask: Any) -> None:
    body = json.dumps({**completion("Hello"), "x_new": {"a": [1, 2]}}, indent=1).encode()
    with Endpoint(Reply(body=body, headers={"content-type": "application/json"})) as upstream:
        answer = await ask(gateway(upstream), BODY)
    assert (answer.status, answer.body) == (200, body)


async def test_the_endpoints_usage_comes_if_it_was_asked_for(ask: Any) -> None:
    with Endpoint(Reply(events=[*chunks("Hi"), USAGE_CHUNK])) as upstream:
        asked = (await ask(gateway(upstream), WITH_USAGE)).events()
        not_asked = (await ask(gateway(upstream), STREAM)).events()
        assert upstream.requests[0].json()["stream_options"] == {"include_usage": True}
    assert asked == [*chunks("Hi"), USAGE_CHUNK, "[DONE]"]
    assert not_asked == [*chunks("Hi"), "[DONE]"]


async def test_a_whole_answer_in_place_of_a_stream_becomes_one(ask: Any) -> None:
    with Endpoint(Reply(json=completion("Hello"))) as upstream:
        *events, done = (await ask(gateway(upstream), WITH_USAGE)).events()
    assert {event["object"] for event in events} == {"chat.completion.chunk"}
    assert events[0]["choices"][0]["delta"] == {"role": "assistant", "content": "Hello"}
    assert events[-1]["usage"]["total_tokens"] == 12
    assert done == "[DONE]"


async def test_chat_with_an_endpoint_of_the_older_protocol(ask: Any) -> None:
    def text(text: str, reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "text": text, "finish_reason": reason}
        return {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "up", "choices": [choice]}

    with Endpoint([Reply(events=[text("Hel"), text("lo"), text("", "stop")]), Reply(json=text("Hello", "stop"))]) as upstream:
        app = gateway(upstream, "text-completion-openai/up")
        *events, _ = (await ask(app, STREAM)).events()
        whole = (await ask(app, BODY)).json()
    assert {(event["object"], event["id"]) for event in events} == {("chat.completion.chunk", "cmpl-1")}
    assert [event["choices"][0]["delta"].get("content") for event in events] == ["Hel", "lo", None]
    assert whole["object"] == "chat.completion"
    assert whole["choices"][0]["message"]["content"] == "Hello"


async def test_text_completions_pass_untouched(ask: Any) -> None:
    choice = {"index": 0, "text": "Hello", "finish_reason": "stop", "x_new": 1}
    text = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "up", "choices": [choice]}
    asked = {"model": "m", "prompt": ["a", "b"], "echo": True, "n": 2, "suffix": "."}
    with Endpoint([Reply(json=text), Reply(events=[text])]) as upstream:
        app = gateway(upstream)
        whole = await ask(app, asked, "/v1/completions")
        streamed = await ask(app, {**asked, "stream": True}, "/completions")
        assert upstream.requests[0].path == "/v1/completions"
        assert upstream.requests[0].json() == {**asked, "model": "up"}
    assert whole.json() == text
    assert streamed.events() == [text, "[DONE]"]


async def test_its_refusal_is_told_with_its_status_and_its_words(ask: Any) -> None:
    error = {"message": "slow down", "type": "tokens", "param": "x", "code": "rate_limit_exceeded"}
    with Endpoint(Reply(status=429, json={"error": error}, headers={"retry-after": "7"})) as upstream:
        for body in (BODY, STREAM):
            answer = await ask(gateway(upstream), body)
            assert (answer.status, answer.headers["retry-after"]) == (429, "7")
            assert answer.error() == error


async def test_its_error_in_a_stream_is_an_event(ask: Any) -> None:
    error = {"message": "overloaded", "type": "overloaded_error", "param": None, "code": None}
    with Endpoint(Reply(events=["Hel", {"error": error}], done=False)) as upstream:
        first, last = (await ask(gateway(upstream), STREAM)).events()
    assert first == chunk("Hel")
    assert last == {"error": {**error, "code": "529"}}


async def test_a_stream_that_is_cut_is_not_made_whole(ask: Any) -> None:
    with Endpoint(Reply(events=["Hel"], done=False, cut="rst")) as upstream:
        *_, last = (await ask(gateway(upstream), STREAM)).events()
    assert "error" in last


async def test_where_it_can_not_be_reached_stays_here(ask: Any) -> None:
    with Endpoint(Reply()) as upstream:
        app, port = gateway(upstream), upstream.url.split(":")[2].split("/")[0]
    for path, body in ASKED.items():
        for stream in (False, True):
            answer = await ask(app, {**body, "stream": stream}, path)
            assert (answer.status, kind_of(answer)) == (502, "api_error" if "messages" in path else "server_error")
            assert answer.json()["error"]["message"] == "no complete answer came from the model's endpoint"
            assert port.encode() not in answer.body


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("reply", NO_ANSWERS.values(), ids=NO_ANSWERS)
async def test_an_endpoint_that_gives_no_answer_is_a_bad_gateway(reply: Reply, stream: bool, ask: Any) -> None:
    with Endpoint(reply) as upstream:
        answer = await ask(gateway(upstream), {**BODY, "stream": stream})
    assert (answer.status, kind_of(answer)) == (502, "server_error")


async def test_an_endpoint_without_tls_is_a_bad_gateway(ask: Any) -> None:
    with Endpoint(Reply()) as upstream:
        params = {"model": "openai/up", "api_base": upstream.url.replace("http:", "https:"), "num_retries": 0}
        _apps.append(create_app({"m": params}))
        assert (await ask(_apps[-1], BODY)).status == 502


@pytest.mark.parametrize("budget", ["first_content", "total"])
async def test_an_endpoint_that_is_late_is_a_time_out_of_the_gateway(budget: Any, ask: Any) -> None:
    timeout = tokenwire.Timeouts(**{budget: 0.05})
    with Endpoint(Reply(delay=60)) as upstream:
        params = {"model": "openai/up", "api_base": upstream.url, "num_retries": 0, "timeout": timeout}
        _apps.append(create_app({"m": params}))
        for path, body in ASKED.items():
            for stream in (False, True):
                answer = await ask(_apps[-1], {**body, "stream": stream}, path)
                assert (answer.status, kind_of(answer)) == (504, "timeout_error")


async def test_a_time_out_in_a_stream_has_the_gateways_status(ask: Any) -> None:
    with Endpoint(Reply(events=["Hel"], done=False, stall=True)) as upstream:
        timeout = tokenwire.Timeouts(idle=0.05)
        params = {"model": "openai/up", "api_base": upstream.url, "num_retries": 0, "timeout": timeout}
        _apps.append(create_app({"m": params}))
        first, last = (await ask(_apps[-1], STREAM)).events()
    assert first == chunk("Hel")
    assert (last["error"]["type"], last["error"]["code"]) == ("timeout_error", "504")


@pytest.mark.parametrize(
    "error, status",
    [
        (TimeoutError(), 504),
        (tokenwire.Timeout("not today"), 408),  # its own word
        (ConnectionRefusedError("inside"), 500),
        (FileNotFoundError("inside"), 500),
        (ValueError("inside"), 500),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
async def test_a_handlers_own_failure_is_the_servers(error: Exception, status: int, ask: Any) -> None:
    async def handler(**_: Any) -> Any:
        raise error
        yield ""

    for body in (BODY, STREAM):
        answer = await ask(create_app({"m": handler}), body)
        assert answer.status == status
        assert b"inside" not in answer.body


async def test_a_handler_whose_endpoint_can_not_be_reached_is_a_gateway(ask: Any) -> None:
    with nobody() as (host, port):

        async def handler(messages: Any, **_: Any) -> Any:
            call = tokenwire.acompletion("openai/up", messages, api_base=f"http://{host}:{port}/v1", num_retries=0)
            return (await call).text

        assert (await ask(create_app({"m": handler}), BODY)).status == 502


async def test_where_it_has_moved_to_stays_here(ask: Any) -> None:
    moved = Reply(status=307, headers={"location": "http://inside.example/v1?token=t"})
    with Endpoint(moved) as upstream:
        for body in (BODY, STREAM):
            answer = await ask(gateway(upstream), body)
            assert (answer.status, answer.error()["message"]) == (500, "internal error")
            assert b"inside" not in answer.body


async def test_several_of_one_name_share_its_calls_and_stand_in_for_each_other(ask: Any) -> None:
    broken = Reply(status=500, json={"error": {"message": "broken"}})
    events = [chunk("Hi", model="up"), chunk(finish_reason="stop", model="up")]
    with Endpoint(broken) as bad, Endpoint(Reply(events=events)) as good:
        entries = [{"model": "openai/down", "api_base": bad.url}, {"model": "openai/up", "api_base": good.url, "weight": 2}]
        _apps.append(create_app({"m": entries}))
        for _ in range(4):
            answer = await ask(_apps[-1], STREAM)
            assert answer.status == 200
            assert answer.events()[:-1] == events
        assert len(bad.requests) >= 1
        assert len(good.requests) == 4


@pytest.mark.parametrize("entries, message", [([], "models"), ([{"model": "openai/x", "weight": -1}], "weight")])
async def test_several_that_can_t_be_served_are_refused(entries: Any, message: str) -> None:
    with pytest.raises(tokenwire.BadRequestError, match=message):
        create_app({"m": entries})


async def test_a_key_that_is_missing_here_is_an_error_of_the_server(ask: Any) -> None:
    answer = await ask(create_app({"m": "openai/gpt-4o-mini"}), STREAM)
    assert (answer.status, answer.error()["message"]) == (500, "internal error")


async def test_a_whole_answer_of_many_lines_is_streamed_in_one_each(ask: Any) -> None:
    logprobs = {"content": [{"token": "Hi", "logprob": -0.5, "bytes": None, "top_logprobs": []}], "refusal": None}
    answer = completion("Hi")
    answer["choices"][0]["logprobs"] = logprobs
    body = json.dumps(answer, indent=2).encode()
    with Endpoint(Reply(body=body, headers={"content-type": "application/json"})) as upstream:

        async def handler(messages: Any, **_: Any) -> Any:
            return await tokenwire.acompletion("openai/up", messages, api_base=upstream.url)

        streamed = (await ask(create_app({"m": handler}), STREAM)).events()
    assert [event["choices"][0]["logprobs"] for event in streamed[:-1] if event["choices"][0]["logprobs"]] == [logprobs]
    assert streamed[-1] == "[DONE]"


async def test_a_handler_may_change_what_an_endpoint_said(ask: Any) -> None:
    """Its chunks still know the endpoint's bytes, and these are not what it says."""
    with Endpoint([Reply(events=chunks("hello")), Reply(json=completion("hello"))]) as upstream:

        class Shouts(tokenwire.CustomLLM):
            async def astreaming(self, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
                call = tokenwire.acompletion("openai/up", kwargs["messages"], api_base=upstream.url, stream=True)
                async with await call as stream:
                    async for chunk in stream:
                        delta = chunk.choices[0].delta
                        delta.content = delta.content and delta.content.upper()
                        yield chunk

            async def acompletion(self, *args: Any, **kwargs: Any) -> Any:
                response = await tokenwire.acompletion("openai/up", kwargs["messages"], api_base=upstream.url)
                response.choices[0].message.content = "HELLO"
                return response

        app = create_app({"m": Shouts()})
        *events, _ = (await ask(app, STREAM)).events()
        whole = (await ask(app, BODY)).json()
    assert "".join(event["choices"][0]["delta"].get("content") or "" for event in events) == "HELLO"
    assert whole["choices"][0]["message"]["content"] == "HELLO"


async def test_a_handler_may_add_to_what_an_endpoint_said(ask: Any) -> None:
    with Endpoint(Reply(json={**completion("hello", x=1), "x": 1})) as upstream:

        class Adds(tokenwire.CustomLLM):
            async def acompletion(self, *args: Any, **kwargs: Any) -> Any:
                response: Any = await tokenwire.acompletion("openai/up", kwargs["messages"], api_base=upstream.url)
                if kwargs["messages"][0]["content"] == "Hi":
                    response.citations = ["c"]
                else:
                    response.choices[0].message["y"] = 2
                return response

        app = create_app({"m": Adds()})
        first = (await ask(app, BODY)).json()
        second = (await ask(app, {**BODY, "messages": [{"role": "user", "content": "Ho"}]})).json()
        text = (await ask(app, {"model": "m", "prompt": "Hi"}, "/v1/completions")).json()
    assert (first["citations"], first["x"], first["choices"][0]["message"]["x"]) == (["c"], 1, 1)
    assert (second["choices"][0]["message"]["x"], second["choices"][0]["message"]["y"]) == (1, 2)
    assert (text["citations"], text["x"], text["choices"][0]["text"]) == (["c"], 1, "hello")
