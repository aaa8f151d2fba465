"""The Responses API read: whole answers and streams mean the same, however a stream is split and whatever it leaves out."""

import json
from typing import Any

import msgspec
import pytest

from tokenwire import (
    BadRequestError,
    GenericStreamingChunk,
    ModelResponse,
    ModelResponseStream,
    RateLimitError,
    TextCompletionResponse,
    UnsupportedParamsError,
)
from tokenwire.exceptions import APIError, APIResponseValidationError, InternalServerError
from tokenwire.wire.history import to_json
from tokenwire.wire.messages import MESSAGES
from tokenwire.wire.responses.dialect import RESPONSES
from tokenwire.wire.sse import SSEDecoder

from .responses import (
    ANSWERS,
    CALL,
    CITED,
    CUSTOM,
    MESSAGE,
    PART,
    SEARCH,
    SECRET,
    SUMMARY,
    THOUGHTS,
    UNUSUAL,
    USAGE,
    encoded,
    events,
    response,
)

SHAPES: list[Any] = [ModelResponseStream, GenericStreamingChunk, TextCompletionResponse]
TEXT = PART["text"]


def read(sent: list[bytes], shape: Any = ModelResponseStream) -> tuple[Any, list[Any]]:
    """What a decoder makes of a stream that comes in such pieces: the decoder, and the chunks."""
    parser, decoder = SSEDecoder(names=False), RESPONSES.decoder(shape, "m")
    chunks: list[Any] = []
    for data in sent:
        chunks += decoder.decode(parser.feed_data(data))
    return decoder, chunks


def streamed(sent: list[dict[str, Any]], shape: Any = ModelResponseStream) -> Any:
    decoder, _ = read(encoded(sent), shape)
    assert decoder.error is None
    return decoder.assembler.response()


def whole(output: list[Any], **fields: Any) -> ModelResponse:
    answer = RESPONSES.answer(json.dumps(response(output, **fields)).encode())
    assert isinstance(answer, ModelResponse)
    return answer


def told(answer: Any) -> Any:
    """What an answer says."""
    return answer.choices[0].model_dump(exclude_none=True), answer.usage.model_dump(exclude_none=True), answer.id, answer.model


@pytest.mark.parametrize("name", ANSWERS)
def test_a_stream_means_what_the_whole_answer_does(name: str) -> None:
    answer = streamed(events(ANSWERS[name]))
    assert told(answer) == told(whole(ANSWERS[name]))


def test_an_answer_in_chats_words() -> None:
    answer = whole([SUMMARY, MESSAGE, CALL, CUSTOM])
    choice = answer.choices[0]
    assert choice.message.content == TEXT
    assert choice.message.reasoning_content == "First\n\nSecond"
    assert choice.message["reasoning_items"] == [SUMMARY]
    assert choice.message.tool_calls is not None
    function, custom = choice.message.tool_calls
    assert (function.id, function.function and function.function.arguments) == ("call_1", CALL["arguments"])
    assert (custom.id, custom.custom) == ("call_3", {"name": "patch", "input": "*** Begin"})
    assert choice.finish_reason == "tool_calls"
    assert (answer.id, answer.created, answer.model) == ("resp_1", 1700000000, "m-2026")
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 10
    assert answer.usage.completion_tokens_details is not None
    assert answer.usage.completion_tokens_details.reasoning_tokens == 2
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.cached_tokens == 4


def test_citations_and_what_chat_has_no_place_for() -> None:
    url_citation = {name: value for name, value in CITED.items() if name != "type"}
    quoting = whole(ANSWERS["citation"])
    assert quoting.choices[0].message["annotations"] == [{"type": "url_citation", "url_citation": url_citation}]
    searched = whole([SEARCH, MESSAGE], background=False)
    assert searched.choices[0].message.provider_specific_fields == {"segments": [{"output_items": [SEARCH]}, {"content": TEXT}]}
    assert searched["background"] is False


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["text", "thoughts", "calls"])
def test_any_split_and_any_shape(name: str, shape: Any) -> None:
    data = b"".join(encoded(events(ANSWERS[name])))
    decoder, at_once = read([data], shape)
    assert all(type(chunk) is shape for chunk in at_once)
    expected = decoder.assembler.response()
    for sent in ([data[i : i + 1] for i in range(len(data))], [data[: len(data) // 2], data[len(data) // 2 :]]):
        decoder, chunks = read(sent, shape)
        assert [chunk.model_dump() for chunk in chunks] == [chunk.model_dump() for chunk in at_once]
        assert decoder.assembler.response() == expected
        assert decoder.done
    if shape is ModelResponseStream:
        assert told(expected) == told(whole(ANSWERS[name]))


def test_each_chunk_is_handed_out_as_it_comes() -> None:
    _, chunks = read(encoded(events([THOUGHTS, MESSAGE, CALL])))
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert deltas[0].role == "assistant"
    assert "".join(delta.reasoning_content or "" for delta in deltas) == "Well..."
    assert "".join(delta.content or "" for delta in deltas) == TEXT
    calls = [delta.tool_calls[0] for delta in deltas if delta.tool_calls]
    assert (calls[0].id, calls[0].function.name, calls[0].index) == ("call_1", "weather", 0)
    assert "".join(call.function.arguments or "" for call in calls) == CALL["arguments"]
    assert chunks[-1].choices[0].finish_reason == "tool_calls"
    assert chunks[-1].usage.total_tokens == 16
    assert {(chunk.id, chunk.model, chunk.created) for chunk in chunks} == {("resp_1", "m-2026", 1700000000)}


@pytest.mark.parametrize("name", ANSWERS)
def test_what_is_not_streamed_is_taken_from_what_is_whole(name: str) -> None:
    sent = events(ANSWERS[name])
    without_deltas = [event for event in sent if not event["type"].endswith((".delta", "_part.added", "annotation.added"))]
    assert told(streamed(without_deltas)) == told(whole(ANSWERS[name]))
    only_done = [event for event in sent if event["type"] in ("response.output_item.done", "response.completed")]
    assert told(streamed(only_done))[:2] == told(whole(ANSWERS[name]))[:2]
    assert told(streamed(sent[-1:])) == told(whole(ANSWERS[name]))


def test_llama_cpps_events_say_no_place() -> None:
    sent = [{key: value for key, value in event.items() if key != "output_index"} for event in events([MESSAGE, CALL])]
    assert told(streamed(sent)) == told(whole([MESSAGE, CALL]))


def test_events_nobody_knows_change_nothing() -> None:
    sent = events([MESSAGE])
    extra = {"type": "response.web_search_call.searching", "item_id": "ws_1", "output_index": 0}
    assert told(streamed([*sent[:3], extra, {"type": "ping"}, *sent[3:]])) == told(whole([MESSAGE]))


def test_log_probabilities() -> None:
    token = {"token": "Hi", "logprob": -0.25, "bytes": [72, 105], "top_logprobs": []}
    item = {**MESSAGE, "content": [{**PART, "text": "Hi", "logprobs": [token]}]}
    sent = events([item])
    for event in sent:
        if event["type"] == "response.output_text.delta":
            event["logprobs"] = [token]
    assert told(streamed(sent)) == told(whole([item]))
    logprobs: Any = whole([item]).choices[0].logprobs
    assert logprobs.content[0].token == "Hi"


@pytest.mark.parametrize(
    "reason, finish", [("max_output_tokens", "length"), ("content_filter", "content_filter"), ("steered", "steered")]
)
def test_an_incomplete_answer(reason: str, finish: str) -> None:
    fields: Any = {"status": "incomplete", "incomplete_details": {"reason": reason}}
    assert streamed(events([MESSAGE], **fields)).choices[0].finish_reason == finish
    assert whole([MESSAGE], **fields).choices[0].finish_reason == finish


def test_a_failed_answer_is_an_error() -> None:
    error = {"code": "rate_limit_exceeded", "message": "slow down"}
    decoder, _ = read(encoded(events([MESSAGE], "failed", error=error)))
    assert isinstance(decoder.error, RateLimitError)
    assert not decoder.assembler.is_complete()
    with pytest.raises(RateLimitError, match="slow down"):
        whole([], status="failed", error=error)


@pytest.mark.parametrize(
    "event",
    [
        {"type": "error", "code": "server_error", "message": "it broke", "param": None, "sequence_number": 3},
        {"type": "error", "error": {"type": "server_error", "code": None, "message": "it broke"}},
        {"error": {"message": "it broke", "code": 500}},
    ],
)
def test_an_error_event(event: dict[str, Any]) -> None:
    decoder, chunks = read([*encoded(events([MESSAGE])[:5]), b"data: %b\n\n" % json.dumps(event).encode()])
    assert isinstance(decoder.error, InternalServerError)
    assert decoder.error.message == "it broke"
    assert chunks


def test_a_stream_without_its_last_event_is_not_complete() -> None:
    decoder, _ = read([*encoded(events([MESSAGE])[:-1]), b"data: [DONE]\n\n"])
    assert (decoder.done, decoder.error) == (False, None)
    assert not decoder.assembler.is_complete()


def test_what_is_not_an_event_is_an_error() -> None:
    decoder, _ = read([b"data: {half\n\n"])
    assert isinstance(decoder.error, APIResponseValidationError)


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b"{}", b'{"output": 7}', b'{"output": [], "status": "in_progress"}'],
)
def test_what_is_not_an_answer_is_an_error(body: bytes) -> None:
    with pytest.raises(APIResponseValidationError):
        RESPONSES.answer(body)


@pytest.mark.parametrize("status", ["cancelled", "failed"])
def test_an_answer_that_never_came_is_an_error(status: str) -> None:
    with pytest.raises(APIError):
        whole([], status=status)


def test_odd_values_cost_no_answer() -> None:
    odd = {**MESSAGE, "content": [PART, None, 7, {"type": "output_text", "text": None, "annotations": 3}]}
    answer = whole([odd, None, {"type": "reasoning", "summary": None}], usage={"input_tokens": "many"}, created_at=None)
    assert answer.choices[0].message.content == TEXT


def body_of(messages: list[Any], **params: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(RESPONSES.body("m", messages, params)))


def test_messages_become_items() -> None:
    body = body_of([
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "See"}, {"type": "image_url", "image_url": {"url": "u", "detail": "low"}}]},
        {
            "role": "assistant",
            "content": "So",
            "reasoning_items": [SECRET],
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}},
                {"id": "c2", "type": "custom", "custom": {"name": "patch", "input": "***"}},
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "a wall"},
        {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "done"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "a"}, {"type": "refusal", "refusal": "no"}]},
        {"role": "user", "content": [{"type": "file", "file": {"file_data": "d", "filename": "f"}}]},
    ])  # fmt: skip
    assert body["input"] == [
        {"type": "message", "role": "system", "content": "Be brief."},
        {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": "See"}, {"type": "input_image", "image_url": "u", "detail": "low"}],
        },
        SECRET,
        {"type": "message", "role": "assistant", "content": "So"},
        {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"},
        {"type": "custom_tool_call", "call_id": "c2", "name": "patch", "input": "***"},
        {"type": "function_call_output", "call_id": "c1", "output": "a wall"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "done"}]},
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "a", "annotations": []}, {"type": "refusal", "refusal": "no"}],
        },
        {"type": "message", "role": "user", "content": [{"type": "input_file", "file_data": "d", "filename": "f"}]},
    ]


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_goes_back_in_its_order(name: str) -> None:
    items = ANSWERS[name]
    for answer in (whole(items), streamed(events(items))):
        message = answer.choices[0].message
        sent = body_of([{"role": "user", "content": "Hi"}, json.loads(json.dumps(to_json(message)))])["input"][1:]
        assert [item["type"] for item in sent] == [item["type"] for item in items]
        assert [item for item in sent if item["type"] == "reasoning"] == [item for item in items if item["type"] == "reasoning"]
        assert ("segments" in (message.provider_specific_fields or {})) is (name in UNUSUAL)
        assert sent == items or name not in ("citation", "namespace", "plain-messages", "two-messages")


def test_the_texts_of_a_messages_answer_are_one_message() -> None:
    """Messages has a text block for each citation."""
    texts = [{"type": "text", "text": text, "citations": [{"cited_text": "c"}] if text == "B" else None} for text in "ABC"]
    call = {"type": "tool_use", "id": "c", "name": "f", "input": {}}
    answer: Any = MESSAGES.answer(json.dumps({"type": "message", "content": [*texts, call, texts[0]]}).encode())
    first, called, last = body_of([to_json(answer.choices[0].message)])["input"]
    assert (first["content"], called["call_id"], last["content"]) == ("ABC", "c", "A")


def test_a_custom_call_that_is_sent_as_it_came_has_a_custom_result() -> None:
    message = to_json(whole([SEARCH, {**CUSTOM, "namespace": "n"}]).choices[0].message)
    result = {"role": "tool", "tool_call_id": "call_3", "content": "done"}
    *_, sent = body_of([message, result])["input"]
    assert sent["type"] == "custom_tool_call_output"


def test_what_was_changed_since_goes_back_changed() -> None:
    message = whole([MESSAGE, SUMMARY, CALL]).choices[0].message
    message.content = "Less."
    reasoning, said, call = body_of([to_json(message)])["input"]
    assert (reasoning, said["content"], call["call_id"]) == (SUMMARY, "Less.", "call_1")


def test_parameters_become_the_apis() -> None:
    schema = {"name": "n", "schema": {"type": "object"}, "strict": True}
    tool = {"name": "look", "parameters": {"type": "object"}}
    grammar = {"syntax": "lark", "definition": "start: /x/"}
    body = body_of(
        [],
        max_completion_tokens=5,
        reasoning_effort="low",
        verbosity="high",
        response_format={"type": "json_schema", "json_schema": schema},
        tools=[
            {"type": "function", "function": tool},
            {"type": "custom", "custom": {"name": "patch", "format": {"type": "grammar", "grammar": grammar}}},
            {"type": "web_search"},
        ],
        tool_choice={"type": "function", "function": {"name": "look"}},
        logprobs=True,
        top_logprobs=2,
        stream_options={"include_usage": True},
        n=1,
        temperature=0.5,
        store=False,
        include=["reasoning.encrypted_content"],
    )
    assert body == {
        "model": "m",
        "input": [],
        "max_output_tokens": 5,
        "reasoning": {"effort": "low"},
        "text": {"verbosity": "high", "format": {"type": "json_schema", **schema}},
        "tools": [
            {"type": "function", **tool},
            {"type": "custom", "name": "patch", "format": {"type": "grammar", **grammar}},
            {"type": "web_search"},
        ],
        "tool_choice": {"type": "function", "name": "look"},
        "top_logprobs": 2,
        "temperature": 0.5,
        "store": False,
        "include": ["message.output_text.logprobs", "reasoning.encrypted_content"],
    }
    assert body_of([], max_tokens=3, tool_choice="auto")["max_output_tokens"] == 3


@pytest.mark.parametrize(
    "name, value", [("stop", ["x"]), ("n", 2), ("seed", 1), ("logit_bias", {"1": 2}), ("modalities", ["audio"])]
)
def test_what_the_api_can_not_say_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(UnsupportedParamsError) as refused:
        body_of([], **{name: value})
    assert refused.value.param == name
    assert refused.value.fault == "caller"


@pytest.mark.parametrize(
    "messages, where",
    [
        ([{"role": "robot", "content": "Hi"}], "messages[0].role"),
        ([{"role": "user", "content": [{"type": "video_url"}]}], "messages[0].content[0].type"),
        ([{"role": "user", "content": 7}], "messages[0].content"),
        ([{"role": "tool", "content": "x"}], "messages[0].tool_call_id"),
        ([{"role": "assistant", "tool_calls": [{"id": "c", "type": "function"}]}], "messages[0].tool_calls[0].function"),
    ],
)
def test_what_is_wrong_is_named_by_its_place(messages: list[Any], where: str) -> None:
    with pytest.raises(BadRequestError) as refused:
        body_of(messages)
    assert refused.value.param == where
    assert where in refused.value.message


def test_usage_in_the_apis_words() -> None:
    answer = whole([MESSAGE], usage={**USAGE, "cost": 0.5})
    assert answer.usage is not None
    assert answer.usage.cost == 0.5
    assert whole([MESSAGE], usage=None).usage is None
