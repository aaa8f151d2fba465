"""Answers as the Responses API has them: items, the events that they grow by, and how they end."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import openai
import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from tokenwire import CustomLLMError, GenericStreamingChunk, ModelResponse, ModelResponseStream, Usage
from tokenwire.server import create_app
from tokenwire.testing import Endpoint, FakeClock, Reply, chunk, chunks, completion
from tokenwire.types import CompletionTokensDetails, PromptTokensDetails

from ..conftest import an_hour

pytestmark = pytest.mark.anyio

BODY = {"model": "m", "input": "Hi"}
STREAM = {**BODY, "stream": True}
USED = Usage(
    prompt_tokens=7,
    completion_tokens=5,
    total_tokens=12,
    prompt_tokens_details=PromptTokensDetails(cached_tokens=4),
    completion_tokens_details=CompletionTokensDetails(reasoning_tokens=2),
)
EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
PATH = "/v1/responses"
RESPONDED: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "status": "completed",
    "model": "m",
    "output": [],
}
IDS = ("id", "item_id", "call_id", "created_at", "completed_at")


def delta(finish_reason: str | None = None, logprobs: Any = None, **fields: Any) -> ModelResponseStream:
    choice: dict[str, Any] = {"index": 0, "delta": fields, "finish_reason": finish_reason, "logprobs": logprobs}
    return ModelResponseStream(choices=[choice])  # type: ignore[list-item]


def call(**fields: Any) -> ModelResponseStream:
    return delta(tool_calls=[{"index": 0, "type": "function", **fields}])


def saying(*said: Any) -> Any:
    """A handler that yields these, and raises those that are exceptions."""

    async def answer(**_: Any) -> AsyncIterator[Any]:
        for each in said:
            if isinstance(each, Exception):
                raise each
            yield each

    return create_app({"m": answer})


def events_of(body: bytes) -> list[dict[str, Any]]:
    """The events, once their names, their numbers and their types are right."""
    events: list[dict[str, Any]] = []
    for block in body.decode().removesuffix("\n\n").split("\n\n"):
        name, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        assert event["sequence_number"] == len(events)
        checked = EVENT.validate_python(event)
        assert type(checked).model_fields["type"].annotation.__args__ == (event["type"],), "openai does not know it"
        events.append(event)
    return events


def names(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events]


def without_ids(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_ids(item) for name, item in value.items() if name not in IDS}
    return [without_ids(item) for item in value] if isinstance(value, list) else value


@pytest.fixture
def both(ask: Any) -> Callable[..., Any]:
    """`await both(app, **fields)`: the events of a stream, once the whole answer says the same as the last of them."""

    async def both(app: Any, **fields: Any) -> list[dict[str, Any]]:
        streamed = await ask(app, {**STREAM, **fields}, PATH)
        assert (streamed.status, streamed.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        events = events_of(streamed.body)
        whole = await ask(app, {**BODY, **fields}, PATH)
        assert whole.status == 200
        Response.model_validate(whole.json())
        assert without_ids(whole.json()) == without_ids(events[-1]["response"])
        return events

    return both


async def test_a_text_is_one_message(both: Any) -> None:
    app = saying("Hel", 'lo "wörld"\n', GenericStreamingChunk(is_finished=True, finish_reason="stop", usage=USED))
    events = await both(app)
    assert names(events) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert [event["delta"] for event in events[4:6]] == ["Hel", 'lo "wörld"\n']
    part = {"type": "output_text", "text": 'Hello "wörld"\n', "annotations": [], "logprobs": []}
    (item,) = events[-1]["response"]["output"]
    assert item == events[-2]["item"]
    assert without_ids(item) == {"type": "message", "status": "completed", "role": "assistant", "content": [part]}
    assert {event.get("item_id", item["id"]) for event in events} == {item["id"]}
    assert {event["response"]["id"] for event in (*events[:2], events[-1])} == {events[0]["response"]["id"]}
    assert events[-1]["response"]["usage"] == {
        "input_tokens": 7,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 12,
    }


async def test_there_is_no_done_at_the_end(ask: Any) -> None:
    answer = await ask(saying("Hi"), STREAM, PATH)
    assert b"[DONE]" not in answer.body
    assert answer.body.endswith(b"}}\n\n")


async def test_a_response_says_what_was_asked_for(both: Any) -> None:
    tool = {"type": "function", "name": "f", "parameters": {"type": "object"}}
    asked: dict[str, Any] = {
        "instructions": "Be brief.",
        "max_output_tokens": 99,
        "metadata": {"trace": "7"},
        "parallel_tool_calls": False,
        "reasoning": {"effort": "low", "summary": "auto"},
        "store": True,
        "temperature": 0.5,
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {}}, "verbosity": "low"},
        "tool_choice": "none",
        "tools": [tool],
        "truncation": "auto",
    }
    said = (await both(saying("Hi"), **asked))[0]["response"]
    filled = {
        "store": False,
        "truncation": "disabled",
        "tools": [{"description": None, "strict": None, **tool}],
        "text": {"format": {"description": None, "strict": False, **asked["text"]["format"]}, "verbosity": "low"},
    }
    assert {name: said[name] for name in asked} == asked | filled
    plain = (await both(saying("Hi")))[0]["response"]
    assert (plain["temperature"], plain["tool_choice"], plain["text"]) == (1.0, "auto", {"format": {"type": "text"}})
    assert (plain["status"], plain["output"], plain["model"]) == ("in_progress", [], "m")


async def test_reasoning_is_an_item_before_the_message(both: Any) -> None:
    app = saying(delta(reasoning_content="Well"), delta(reasoning_content="..."), "Yes")
    events = await both(app)
    assert names(events)[2:8] == [
        "output_item.added",
        "content_part.added",
        "reasoning_text.delta",
        "reasoning_text.delta",
        "reasoning_text.done",
        "content_part.done",
    ]
    reasoning, message = events[-1]["response"]["output"]
    assert (reasoning["content"], reasoning["summary"]) == ([{"type": "reasoning_text", "text": "Well..."}], [])
    assert message["content"][0]["text"] == "Yes"
    assert [event["output_index"] for event in events if event["type"] == "response.output_item.done"] == [0, 1]


async def test_reasoning_is_a_summary_where_one_is_asked_for(both: Any) -> None:
    events = await both(saying(delta(reasoning_content="Well"), "Yes"), reasoning={"summary": "auto"})
    assert names(events)[2:8] == [
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
    ]
    assert events[-1]["response"]["output"][0]["summary"] == [{"type": "summary_text", "text": "Well"}]


async def test_encrypted_reasoning_is_passed_on(both: Any) -> None:
    item = {"type": "reasoning", "id": "rs_7", "summary": [{"type": "summary_text", "text": "s"}], "encrypted_content": "x=="}
    events = await both(saying(delta(reasoning_items=[item]), "Yes"))
    reasoning, _ = events[-1]["response"]["output"]
    assert reasoning == {"status": "completed", **item}


@pytest.mark.parametrize("name", ["reasoning_items", "thinking_blocks"])
async def test_what_models_want_to_see_again_comes_back(ask: Any, name: str) -> None:
    """Its text was streamed, in an item with an id of this server's; the client sends that back as it is."""
    blocks = {
        "reasoning_items": [{"type": "reasoning", "id": "rs_7", "summary": [], "encrypted_content": "x=="}],
        "thinking_blocks": [{"type": "thinking", "thinking": "Well", "signature": "s=="}],
    }[name]
    seen: list[Any] = []

    async def answer(messages: Any, **_: Any) -> AsyncIterator[Any]:
        seen.append(messages)
        yield delta(reasoning_content="Well")
        yield delta(**{name: blocks})
        yield "Yes"

    app, asked = create_app({"m": answer}), {"include": ["reasoning.encrypted_content"]}
    output = events_of((await ask(app, {**STREAM, **asked}, PATH)).body)[-1]["response"]["output"]
    reasoning, message = output
    assert reasoning["content"] == [{"type": "reasoning_text", "text": "Well"}]
    again = [{"role": "user", "content": "Hi"}, {**reasoning, "content": None}, message]  # as Codex has it
    await ask(app, {**BODY, **asked, "input": again}, PATH)
    assert seen[1][1] == {"role": "assistant", name: blocks, "content": "Yes"}


async def test_calls_are_items_of_their_own(both: Any) -> None:
    app = saying(
        "Let me see.",
        call(id="call_1", function={"name": "look", "arguments": ""}),
        call(function={"arguments": '{"at": '}),
        delta(tool_calls=[{"index": 1, "id": "call_2", "type": "function", "function": {"name": "ask", "arguments": "{}"}}]),
        call(function={"arguments": '"here"}'}),
        delta("tool_calls"),
    )
    events = await both(app)
    message, look, asked = events[-1]["response"]["output"]
    assert message["content"][0]["text"] == "Let me see."
    assert without_ids(look) == {
        "type": "function_call",
        "status": "completed",
        "name": "look",
        "arguments": '{"at": "here"}',
    }
    assert (look["call_id"], asked["call_id"], asked["arguments"]) == ("call_1", "call_2", "{}")
    pieces = [event for event in events if event["type"] == "response.function_call_arguments.delta"]
    assert [(event["output_index"], event["delta"]) for event in pieces] == [(1, '{"at": '), (2, "{}"), (1, '"here"}')]
    assert events[-1]["type"] == "response.completed"


async def test_calls_that_servers_send_in_other_ways(both: Any) -> None:
    late = saying(
        call(function={"arguments": '{"a"'}), call(id="c", function={"name": "f", "arguments": ": 1}"}), delta("stop")
    )
    (item,) = (await both(late))[-1]["response"]["output"]
    assert (item["name"], item["arguments"]) == ("f", '{"a": 1}')
    in_pieces = saying(
        call(id="c", function={"name": "get_"}), call(function={"name": "weather", "arguments": "{}"}), delta("stop")
    )
    (item,) = (await both(in_pieces))[-1]["response"]["output"]
    assert (item["name"], item["arguments"]) == ("get_weather", "{}")
    once_more = saying(
        call(id="c", function={"name": "f", "arguments": '{"a"'}),
        call(function={"arguments": ": 1}"}),
        call(function={"arguments": '{"a": 1}'}),
        delta("stop"),
    )
    (item,) = (await both(once_more))[-1]["response"]["output"]
    assert item["arguments"] == '{"a": 1}'
    older = saying(delta(function_call={"name": "f", "arguments": "{}"}), delta("function_call"))
    (item,) = (await both(older))[-1]["response"]["output"]
    assert (item["type"], item["name"]) == ("function_call", "f")


async def test_a_custom_tools_input_is_text(both: Any) -> None:
    app = saying(
        delta(tool_calls=[{"index": 0, "id": "c", "type": "custom", "custom": {"name": "patch", "input": "*** "}}]),
        delta(tool_calls=[{"index": 0, "type": "custom", "custom": {"input": "End"}}]),
        delta("tool_calls"),
    )
    events = await both(app)
    assert names(events)[2:7] == [
        "output_item.added",
        "custom_tool_call_input.delta",
        "custom_tool_call_input.delta",
        "custom_tool_call_input.done",
        "output_item.done",
    ]
    (item,) = events[-1]["response"]["output"]
    assert (item["type"], item["name"], item["input"], item["call_id"]) == ("custom_tool_call", "patch", "*** End", "c")


async def test_a_refusal_is_a_part_of_its_own(both: Any) -> None:
    events = await both(saying("Hm. ", delta(refusal="I "), delta(refusal="won't"), delta("stop")))
    (item,) = events[-1]["response"]["output"]
    assert item["content"][1] == {"type": "refusal", "refusal": "I won't"}
    assert [event["content_index"] for event in events if event["type"] == "response.content_part.added"] == [0, 1]


async def test_log_probabilities_and_citations_stand_at_the_text(both: Any) -> None:
    token = {"token": "Hi", "logprob": -0.25, "bytes": [72, 105], "top_logprobs": []}
    cited = {"url": "http://a.example", "title": "A", "start_index": 0, "end_index": 2}
    app = saying(
        delta(content="Hi", logprobs={"content": [token]}),
        delta(annotations=[{"type": "url_citation", "url_citation": cited}]),
        delta("stop"),
    )
    events = await both(app, top_logprobs=1)
    assert events[4]["logprobs"] == [token]
    assert events[5]["annotation"] == {"type": "url_citation", **cited}
    (part,) = events[-1]["response"]["output"][0]["content"]
    assert (part["logprobs"], part["annotations"]) == ([token], [{"type": "url_citation", **cited}])


@pytest.mark.parametrize("finish_reason, why", [("length", "max_output_tokens"), ("content_filter", "content_filter")])
async def test_an_answer_that_was_ended_early_is_incomplete(both: Any, finish_reason: str, why: str) -> None:
    events = await both(saying("Once", delta(finish_reason)))
    assert names(events)[-1] == "incomplete"
    response = events[-1]["response"]
    assert (response["status"], response["incomplete_details"], response["completed_at"]) == (
        "incomplete",
        {"reason": why},
        None,
    )
    assert response["output"][0]["status"] == "incomplete"


@pytest.mark.parametrize("reason", ["error", "pause_turn", "insufficient_system_resource"])
async def test_an_end_that_nobody_knows_is_not_called_complete(ask: Any, reason: str) -> None:
    whole = (await ask(saying("Once", delta(reason)), BODY, PATH)).json()
    assert (whole["status"], whole["incomplete_details"]) == ("incomplete", {"reason": reason})
    streamed = (await ask(saying("Once", delta(reason)), STREAM, PATH)).body
    assert streamed.split(b"\n\n")[-2].startswith(b"event: response.incomplete\n")


async def test_the_tier_is_the_one_that_answered(both: Any) -> None:
    begun = delta(content="Hi")
    begun.service_tier = "flex"
    for app, tier in ((saying(begun, delta("stop")), "flex"), (saying("Hi"), "auto")):
        events = await both(app, service_tier="auto")
        assert {event["response"]["service_tier"] for event in (events[0], events[-1])} == {tier}


async def test_cached_tokens_as_anthropic_counts_them(both: Any) -> None:
    counted: Any = {"cache_read_input_tokens": 4, "cache_creation_input_tokens": 2}
    used = Usage(prompt_tokens=9, completion_tokens=1, total_tokens=10, **counted)
    events = await both(saying("Hi", GenericStreamingChunk(is_finished=True, finish_reason="stop", usage=used)))
    assert events[-1]["response"]["usage"]["input_tokens_details"] == {"cached_tokens": 4, "cache_write_tokens": 2}


async def test_a_gateway_to_messages_leaves_out_what_changes_no_answer(ask: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Codex sends a key for the prompt's cache and offers a web search, whoever answers."""
    caplog.set_level("INFO", "tokenwire.server")
    message = {"type": "message", "role": "assistant", "content": [{"type": "text", "text": "Hi"}], "stop_reason": "end_turn"}
    with Endpoint(Reply(json=message)) as upstream:
        app = create_app({"m": {"model": "anthropic/m", "api_base": upstream.url, "api_key": "sk"}})
        fields = {"prompt_cache_key": "k", "safety_identifier": "s", "tools": [{"type": "web_search"}], "user": "u"}
        answer = await ask(app, {**BODY, **fields}, PATH)
    assert answer.json()["output"][0]["content"][0]["text"] == "Hi"
    sent = upstream.requests[0].json()
    assert sent == {
        "model": "m",
        "max_tokens": 4096,
        "messages": [{"role": "user", "content": "Hi"}],
        "metadata": {"user_id": "u"},
    }
    assert "does not take it: prompt_cache_key, safety_identifier, web_search_options" in caplog.text


async def test_an_answer_of_nothing_is_complete(both: Any) -> None:
    events = await both(saying(delta("stop", role="assistant")))
    assert names(events) == ["created", "in_progress", "completed"]
    assert events[-1]["response"]["output"] == []


async def test_a_failure_after_the_first_event_is_a_failed_response(ask: Any) -> None:
    app = saying("Once ", call(id="c", function={"name": "f", "arguments": "{"}), CustomLLMError(429, "enough"))
    answer = await ask(app, STREAM, PATH)
    *_, last = events_of(answer.body)
    assert (answer.status, last["type"], last["response"]["status"]) == (200, "response.failed", "failed")
    assert last["response"]["error"] == {"code": "rate_limit_exceeded", "message": "enough"}
    assert [item["status"] for item in last["response"]["output"]] == ["completed", "incomplete"]
    assert last["response"]["usage"] is None


async def test_a_cut_stream_is_a_failed_response(ask: Any) -> None:
    with Endpoint(Reply(text="Once upon", cut="fin", after=2)) as upstream:
        app = create_app({"m": {"model": "openai/any", "api_base": upstream.url, "num_retries": 0}})
        events = events_of((await ask(app, STREAM, PATH)).body)
    assert events[-1]["type"] == "response.failed"
    assert events[-1]["response"]["error"] == {
        "code": "server_error",
        "message": "the answer was cut before it was complete",
    }
    assert "completed" not in names(events)


async def test_a_failure_before_the_first_event_has_its_own_status(ask: Any) -> None:
    for fields in (BODY, STREAM):
        answer = await ask(saying(CustomLLMError(409, "not now")), fields, PATH)
        assert (answer.status, answer.error()["message"]) == (409, "not now")


@pytest.mark.parametrize("what", ["images", "audio"])
async def test_what_a_response_has_no_place_for_is_an_error(ask: Any, what: str) -> None:
    app = saying(delta("stop", content="see", **{what: [{"image_url": {"url": "data:"}}]}))
    for fields in (BODY, STREAM):
        answer = await ask(app, fields, PATH)
        assert (answer.status, answer.error()["code"]) == (500, None)
        assert what in answer.error()["message"]


async def test_a_second_choice_is_an_error(ask: Any) -> None:
    chunk = ModelResponseStream(choices=[{"index": 1, "delta": {"content": "b"}, "finish_reason": "stop"}])  # type: ignore[list-item]
    answer = await ask(saying(delta("stop", content="a"), chunk), STREAM, PATH)
    assert "several choices" in events_of(answer.body)[-1]["response"]["error"]["message"]


async def test_a_whole_answer_of_a_handler_is_streamed_as_well(ask: Any) -> None:
    async def answer(**_: Any) -> ModelResponse:
        message = {"role": "assistant", "content": "Hi", "reasoning_content": "Hm"}
        return ModelResponse(model="other", usage=USED, choices=[{"message": message, "finish_reason": "stop"}])  # type: ignore[list-item]

    app = create_app({"m": answer})
    events = events_of((await ask(app, STREAM, PATH)).body)
    whole = (await ask(app, BODY, PATH)).json()
    assert [item["type"] for item in whole["output"]] == ["reasoning", "message"]
    assert without_ids(events[-1]["response"]["output"]) == without_ids(whole["output"])
    assert whole["usage"]["total_tokens"] == 12
    assert whole["model"] == "other"


async def test_an_endpoints_answers_are_translated(ask: Any) -> None:
    used = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    last = chunk(usage=used) | {"choices": []}
    replies = [Reply(events=[*chunks("Hello there"), last]), Reply(json=completion("Hello there", usage=used))]
    with Endpoint(replies) as upstream:
        app = create_app({"m": {"model": "openai/any", "api_base": upstream.url}})
        events = events_of((await ask(app, STREAM, PATH)).body)
        whole = await ask(app, BODY, PATH)
        streamed, plain = upstream.requests
    assert events[-1]["response"]["output"][0]["content"][0]["text"] == "Hello there"
    assert events[-1]["response"]["usage"]["input_tokens"] == 3
    assert whole.json()["output"][0]["content"][0]["text"] == "Hello there"
    assert streamed.json()["stream_options"] == {"include_usage": True}
    assert plain.json() == {"model": "any", "messages": [{"role": "user", "content": "Hi"}]}


async def test_an_endpoint_that_speaks_chat_is_not_sent_what_it_may_refuse(ask: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "tokenwire.server")
    secret = {"type": "reasoning", "id": "rs_7", "summary": [], "encrypted_content": "x=="}
    said = {
        "type": "message",
        "role": "assistant",
        "content": [
            {"type": "output_text", "text": "Yes", "annotations": [{"type": "url_citation", "url": "http://a.example"}]}
        ],
        "phase": "final_answer",
    }
    asked = {"input": [{"role": "user", "content": "Hi"}, secret, said], "tools": [{"type": "web_search"}]}
    with Endpoint([Reply(json=completion("Hello")), Reply(json=RESPONDED)]) as upstream:
        models = {
            name: {"model": name, "api_base": upstream.url, "api_key": "sk"} for name in ("openai/m", "openai/responses/m")
        }
        app = create_app(models)
        for name in models:
            await ask(app, {"model": name, **asked}, PATH)
        chat, response = (request.json() for request in upstream.requests)
    assert chat == {"model": "m", "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes"}]}
    assert (response["input"][1], response["tools"]) == (secret, [{"type": "web_search"}])
    assert "left out, since openai/m does not take it: annotations, phase, reasoning_items, web_search_options" in caplog.text


async def test_a_handler_that_can_not_count_tokens(ask: Any) -> None:
    answer = await ask(saying("a"), BODY, f"{PATH}/input_tokens")
    assert (answer.status, answer.error()["code"]) == (501, "not_supported")


async def test_a_silent_stream_is_kept_alive(visit: Any, clock: FakeClock) -> None:
    async def answer(**_: Any) -> AsyncIterator[str]:
        yield "a"
        await anyio.sleep_forever()

    async with visit(create_app({"m": answer}, keepalive_seconds=15), STREAM, PATH, seconds=7200) as v, an_hour(clock):
        assert (await v.take()).startswith(b"event: response.created")
        assert await v.take() == b": keep-alive\n\n"


async def test_a_client_that_leaves_cancels_the_handler(visit: Any) -> None:
    ended = anyio.Event()

    async def answer(**_: Any) -> AsyncIterator[str]:
        try:
            yield "a"
            await anyio.sleep_forever()
        finally:
            ended.set()

    async with visit(create_app({"m": answer}), STREAM, PATH) as v:
        await v.take()
        v.leave()
        await ended.wait()


@pytest.mark.filterwarnings("ignore:Async generator '(http|openai):ResourceWarning")  # openai leaves its iterators open
async def test_openais_client(served: Any) -> None:
    app = saying(
        delta(reasoning_content="Hm"),
        "Hel",
        "lo",
        call(id="call_1", function={"name": "look", "arguments": "{}"}),
        delta("tool_calls"),
    )
    async with served(app) as url, openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="sk", max_retries=0) as client:
        response = await client.responses.create(model="m", input="Hi")
        assert (response.output_text, response.status, response.output[-1].type) == ("Hello", "completed", "function_call")
        async with client.responses.stream(model="m", input="Hi") as stream:
            kinds = [event.type async for event in stream]
            final = await stream.get_final_response()
        assert kinds[0] == "response.created"
        assert kinds[-1] == "response.completed"
        assert (final.output_text, final.output[-1].type) == ("Hello", "function_call")
        with pytest.raises(openai.BadRequestError) as refused:
            await client.responses.create(model="m", input="Hi", previous_response_id="resp_1")
        assert refused.value.param == "previous_response_id"


async def test_figures_and_the_access_line_say_which_dialect(ask: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "tokenwire.server")

    async def answer(**_: Any) -> AsyncIterator[str]:
        yield "a"

    app = create_app({"m": answer}, metrics=True)
    await ask(app, STREAM, PATH)
    assert "POST /responses 200 complete" in caplog.text
    figures = (await ask(app, path="/metrics", method="GET")).body.decode()
    assert 'tokenwire_requests_total{endpoint="/responses",model="m",outcome="complete",status="200"} 1.0' in figures


async def test_the_description_has_it(ask: Any) -> None:
    described = (await ask(saying("a"), path="/openapi.json", method="GET")).json()
    operation = described["paths"]["/responses"]["post"]
    assert "response.failed" in operation["responses"]["200"]["description"]
    assert described["components"]["schemas"]["ResponsesRequest"]["required"] == ["model", "input"]


async def test_an_answer_can_go_into_the_next_request(ask: Any) -> None:
    seen: list[Any] = []

    async def answer(messages: Any, **_: Any) -> AsyncIterator[Any]:
        seen.append(messages)
        yield delta(reasoning_content="Hm")
        yield "I look."
        yield call(id="call_1", function={"name": "look", "arguments": "{}"})
        yield delta("tool_calls")

    app = create_app({"m": answer})
    first = (await ask(app, BODY, PATH)).json()
    result = {"type": "function_call_output", "call_id": "call_1", "output": "a wall"}
    history = [{"role": "user", "content": "Hi"}, *first["output"], result]
    await ask(app, {**BODY, "input": history}, PATH)
    assert seen[1] == [
        {"role": "user", "content": "Hi"},
        {
            "role": "assistant",
            "content": "I look.",
            "reasoning_content": "Hm",
            "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "a wall"},
    ]
