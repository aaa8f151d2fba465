"""Odd values beside the text of an answer: what is understood, and what stays reachable as it came."""

import base64
import copy
import json
import pickle
import struct
import sys
from array import array
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from tokenwire.exceptions import APIResponseValidationError, InternalServerError
from tokenwire.types import (
    EmbeddingResponse,
    GenericStreamingChunk,
    ImageResponse,
    ModelList,
    ModelResponse,
    ModelResponseStream,
    TextCompletionResponse,
    as_sent,
)
from tokenwire.wire.assemble import stream_chunk_builder
from tokenwire.wire.bodies import decode_body
from tokenwire.wire.chunks import ChunkDecoder
from tokenwire.wire.convert import Shape

from .answers import ARGUMENTS, STREAMS, TEXT, WHOLES, odd_streams, odd_wholes, replaced

encode = msgspec.json.encode

HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1764547200, "model": "m-1"}
SHAPES = [ModelResponseStream, GenericStreamingChunk, TextCompletionResponse]
THINK = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}


def event(delta: Any, **fields: Any) -> dict[str, Any]:
    return {**HEAD, "choices": [{"index": 0, "delta": delta, "finish_reason": None, **fields}]}


def streamed(*events: Any, shape: Shape = ModelResponseStream, text: bool = False, in_reads_of: int = 1) -> Any:
    """The decoder that has taken these events, and its chunks."""
    decoder = ChunkDecoder(shape, text=text, model="m")
    data: list[Any] = [item if isinstance(item, bytes) else encode(item) for item in events]
    chunks: list[Any] = []
    for start in range(0, len(data), in_reads_of):
        chunks += decoder.decode(data[start : start + in_reads_of])
        if decoder.error is not None:
            raise decoder.error
    return decoder, chunks


def message_of(decoder: Any) -> Any:
    return decoder.assembler.response().choices[0].message


def whole(message: Any = None, **fields: Any) -> dict[str, Any]:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "yes", **(message or {})}}
    return {**HEAD, "object": "chat.completion", "choices": [choice], **fields}


def body(value: Any, cls: Any = ModelResponse) -> Any:
    return decode_body(value if isinstance(value, bytes) else encode(value), cls)


# Whatever one value is: the text arrives.

every_stream = st.sampled_from(list(odd_streams()))
every_whole = st.sampled_from(list(odd_wholes()))


@settings(max_examples=200, deadline=None)
@given(odd=every_stream, shape=st.sampled_from(SHAPES), reads=st.sampled_from([1, 2, 9]))
def test_one_odd_value_never_costs_the_text_of_a_stream(odd: Any, shape: Any, reads: int) -> None:
    name, path, other = odd
    events = replaced(STREAMS[name], path, other)
    decoder, chunks = streamed(*events, b"[DONE]", shape=shape, in_reads_of=reads)
    response = decoder.assembler.response()
    assert decoder.done
    choice = response.choices[0]
    assert TEXT in (choice.text if shape is TextCompletionResponse else choice.message.content)
    if shape is GenericStreamingChunk:
        assert TEXT in "".join(chunk.text for chunk in chunks)
    if name == "tools" and shape is not TextCompletionResponse:
        assert any(ARGUMENTS in call.function.arguments for call in choice.message.tool_calls if call.function)
    again: Any = stream_chunk_builder(chunks)
    assert TEXT in (again.choices[0].text if shape is TextCompletionResponse else again.choices[0].message.content)
    for record in (*chunks, response, again):
        assert repr(record)
        assert json.loads(record.model_dump_json())


@settings(max_examples=150, deadline=None)
@given(odd=every_whole)
def test_one_odd_value_never_costs_the_text_of_a_whole_answer(odd: Any) -> None:
    name, path, other = odd
    data = encode(replaced(WHOLES[name], path, other))
    response = decode_body(data, ModelResponse)
    assert TEXT in (response.choices[0].message.content or "")
    assert (response.raw, as_sent(response)) == (data, data)
    assert json.loads(response.model_dump_json())
    decoder = ChunkDecoder(ModelResponseStream, text=False, model="m")
    assert all(json.loads(chunk.model_dump_json()) for chunk in decoder.decode_document(data))
    assert TEXT in (message_of(decoder).content or "")


# What came stays reachable.


def test_what_is_odd_can_be_read_as_it_came() -> None:
    data = encode(
        whole({"annotations": "none"}, usage={"prompt_tokens": "3", "total_tokens": "many"}, service_tier={"x": 1}, y=2)
    )
    response = body(data)
    assert (response.service_tier, response["service_tier"], response.get("service_tier")) == (None, {"x": 1}, {"x": 1})
    assert (response.choices[0].message.annotations, response.choices[0].message["annotations"]) == (None, "none")
    assert (response.usage.prompt_tokens, response.usage.model_dump()["prompt_tokens"]) == (3, "3")
    assert (response.usage.total_tokens, response.usage["total_tokens"], response["y"]) == (0, "many", 2)
    assert response.raw == data
    dumped, sent = response.model_dump(exclude_none=True), json.loads(data)
    assert dumped["usage"] | {"completion_tokens": 0} == sent["usage"] | {"completion_tokens": 0}
    assert (dumped["service_tier"], dumped["choices"][0]["message"]["annotations"]) == ({"x": 1}, "none")


def test_what_is_set_later_counts() -> None:
    response = body(whole({"content": [{"type": "text", "text": "yes"}]}, service_tier=7.5))
    message = response.choices[0].message
    assert message.model_dump(exclude_none=True)["content"] == [{"type": "text", "text": "yes"}]
    message.content, response.service_tier = "no", "flex"
    assert message.model_dump(exclude_none=True)["content"] == message["content"] == "no"
    assert (response["service_tier"], response.model_dump()["service_tier"]) == ("flex", "flex")
    assert as_sent(response) is None


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda record: pickle.loads(pickle.dumps(record))])
def test_a_copy_knows_it_too(copied: Any) -> None:
    response = copied(body(whole(service_tier=[1], x=1)))
    assert (response["service_tier"], response["x"], response.choices[0].message.content) == ([1], 1, "yes")


def test_an_answer_without_odd_values_is_decoded_as_ever() -> None:
    response = body(whole(x=1))
    assert type(response.raw) is bytes
    assert as_sent(response) == response.raw


# Usage.


@pytest.mark.parametrize("cost", [{"total_cost": 0.5}, 0.5, "0.5", None, [1]])
def test_a_cost_is_whatever_the_server_says(cost: Any) -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, "cost": cost}
    decoder, _ = streamed(event({"content": "a"}), {**HEAD, "choices": [], "usage": usage})
    for found in (decoder.assembler.usage, body(whole(usage=usage)).usage):
        assert (found.cost, found.total_tokens) == (cost, 3)


@pytest.mark.parametrize(
    "sent, count", [(None, 0), (3.0, 3), ("3", 3), ("3.0", 3), (2.75, 2), (True, 0), ("many", 0), ([3], 0)]
)
def test_a_count_is_a_whole_number(sent: Any, count: int) -> None:
    usage = body(whole(usage={"prompt_tokens": sent, "prompt_tokens_details": {"cached_tokens": sent}})).usage
    assert usage.prompt_tokens == count
    assert usage.prompt_tokens_details.cached_tokens in (count, None)


@pytest.mark.parametrize("usage", [7, "x", [], [{}], False])
def test_usage_that_is_not_an_object(usage: Any) -> None:
    response = body(whole(usage=usage))
    assert (response.usage, response["usage"]) == (None, usage)


@pytest.mark.parametrize("choices", [None, {}, "", 0, True])
def test_usage_beside_no_list_of_choices(choices: Any) -> None:
    decoder, (_, last) = streamed(event({"content": "a"}), {**HEAD, "choices": choices, "usage": {"total_tokens": 3}})
    assert (last.choices, last.usage.total_tokens, decoder.assembler.usage) == ([], 3, last.usage)


USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, "x": 4}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "ending",
    [
        event({}, finish_reason="stop", usage=USAGE),
        event({"content": ""}, finish_reason="stop", usage=USAGE) | {"usage": None},
        event({}, finish_reason="stop") | {"x_groq": {"id": "r", "usage": USAGE}},
        {**HEAD, "choices": [], "x_groq": {"id": "r", "usage": USAGE}},
    ],
    ids=["choice", "choice beside null", "x_groq", "x_groq without a choice"],
)
def test_usage_that_stands_elsewhere(ending: Any, shape: Any) -> None:
    decoder, chunks = streamed(event({"content": "a"}), ending, shape=shape)
    assert decoder.assembler.usage["x"] == 4
    assert chunks[-1].usage.total_tokens == 3
    assert chunks[-1].raw == encode(ending)


def test_usage_of_a_whole_answer_that_stands_elsewhere() -> None:
    answer = whole()
    answer["choices"][0]["usage"] = USAGE
    response = body(answer)
    assert (response.usage.total_tokens, response.usage["x"], as_sent(response)) == (3, 4, encode(answer))


def counted(index: int, tokens: int, delta: Any = None) -> dict[str, Any]:
    usage = {"prompt_tokens": 1, "completion_tokens": tokens, "total_tokens": tokens + 1}
    return {"index": index, "delta": delta or {}, "finish_reason": "stop", "usage": usage}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "endings",
    [
        [[counted(0, 2), counted(1, 5)]],
        [[counted(0, 2)], [counted(1, 5)]],
        [[counted(0, 2, {"content": "a"})], [counted(1, 5, {"content": "b"})]],
    ],
    ids=["at once", "one by one", "one after the other"],
)
def test_usage_of_each_choice_is_added_up(endings: Any, shape: Any) -> None:
    decoder, _ = streamed(*({**HEAD, "choices": choices} for choices in endings), shape=shape)
    usage = decoder.assembler.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (1, 7, 8)


def test_usage_of_each_choice_of_a_whole_answer() -> None:
    def choice(index: int, tokens: int) -> dict[str, Any]:
        return {**counted(index, tokens), "delta": None, "message": {"content": "yes"}}

    assert body({**HEAD, "choices": [choice(0, 2), choice(1, 5)]}).usage.completion_tokens == 7
    same = body({**HEAD, "choices": [choice(0, 2), choice(1, 2)]})  # the answer's, said twice
    assert same.usage.completion_tokens == 2


def test_timings_are_not_usage() -> None:
    ending = {**event({}, finish_reason="stop"), "timings": {"prompt_n": 9, "predicted_n": 4, "usage": 1}}
    decoder, (_, last) = streamed(event({"content": "a"}), ending)
    assert (decoder.assembler.usage, last["timings"]["prompt_n"]) == (None, 9)


# Content.


@pytest.mark.parametrize(
    "content, text, reasoning",
    [
        ([THINK], None, "hm"),
        ([THINK, {"type": "text", "text": "yes"}], "yes", "hm"),
        ([{"type": "text", "text": "y"}, {"type": "text", "text": "es"}], "yes", None),
        ([{"type": "output_text", "text": "yes"}, {"type": "image_url", "image_url": {"url": "x"}}], "yes", None),
        (["y", "es"], "yes", None),
        ({"type": "text", "text": {"value": "yes"}}, "yes", None),
        ([{"type": "reasoning", "text": "hm"}, {"type": "thinking", "thinking": "!"}], None, "hm!"),
        (7, "7", None),
        ([], None, None),
        (False, None, None),
    ],
)
def test_content_that_is_not_text(content: Any, text: Any, reasoning: Any) -> None:
    message = body(whole({"content": content})).choices[0].message
    assert (message.content, message.reasoning_content) == (text, reasoning)
    decoder, _ = streamed(event({"content": content}))
    assert (message_of(decoder).content, message_of(decoder).reasoning_content) == (text, reasoning)
    _, (piece,) = streamed(event({"content": content}), shape=GenericStreamingChunk)
    assert (piece.text, piece.reasoning_content) == (text or "", reasoning)


def test_a_refusal_among_the_parts() -> None:
    assert body(whole({"content": [{"type": "refusal", "refusal": "no"}]})).choices[0].message.refusal == "no"


def test_reasoning_of_its_own_stays() -> None:
    message = body(whole({"content": [THINK], "reasoning_content": "own"})).choices[0].message
    assert message.reasoning_content == "own"


@pytest.mark.parametrize(
    "fields, expected", [({"reasoning_content": "", "reasoning": "r"}, "r"), ({"reasoning_content": ""}, "")]
)
def test_an_empty_reasoning_content_hides_no_reasoning(fields: Any, expected: str) -> None:
    _, (chunk,) = streamed(event(fields))
    assert chunk.choices[0].delta.reasoning_content == expected
    assert body(whole(fields)).choices[0].message.reasoning_content == expected


@pytest.mark.parametrize("delta", [None, [], "", False, 0])
def test_a_delta_of_nothing(delta: Any) -> None:
    decoder, chunks = streamed(event({"content": "a"}), event(delta), event({"content": "b"}, finish_reason="stop"))
    assert message_of(decoder).content == "ab"
    assert chunks[1].choices[0].delta.content is None


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("place", ["message", "text", "delta"])
def test_a_stream_s_choice_with_its_text_elsewhere(place: str, shape: Any) -> None:
    def odd(text: str, reason: str | None = None) -> Any:
        value: Any = {"role": "assistant", "content": text} if place == "message" else text
        return {**HEAD, "choices": [{"index": 0, place: value, "finish_reason": reason}]}

    decoder, _ = streamed(odd("ye"), odd("s", "stop"), shape=shape)
    choice = decoder.assembler.response().choices[0]
    assert (choice.text if shape is TextCompletionResponse else choice.message.content) == "yes"
    assert choice.finish_reason == "stop"


def test_a_whole_answer_at_the_end_of_a_stream_is_not_said_twice() -> None:
    decoder, _ = streamed(event({"content": "ye"}), event({"content": "s"}), whole())
    assert (message_of(decoder).content, decoder.assembler.is_complete()) == ("yes", True)
    alone, _ = streamed(whole({"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{}"}}]}))
    assert (message_of(alone).content, message_of(alone).tool_calls[0].function.name) == ("yes", "f")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("own", [{}, {"role": "assistant"}, {"content": ""}, {"content": None, "x": 1}])
@pytest.mark.parametrize("place", ["message", "text"])
def test_text_beside_an_empty_delta(own: Any, place: str, shape: Any) -> None:
    def odd(text: str, reason: str | None = None) -> Any:
        value: Any = {"content": text} if place == "message" else text
        return event(own, finish_reason=reason, **{place: value})

    decoder, _ = streamed(odd("ye"), odd("s"), odd("", "stop"), shape=shape)
    choice = decoder.assembler.response().choices[0]
    assert (choice.text if shape is TextCompletionResponse else choice.message.content) == "yes"
    assert choice.finish_reason == "stop"


def test_the_whole_text_beside_an_empty_delta_at_the_end_is_not_said_twice() -> None:
    ending = event({}, finish_reason="stop", message={"role": "assistant", "content": "yes"})
    decoder, _ = streamed(event({"content": "ye"}), event({"content": "s"}), ending)
    assert (message_of(decoder).content, decoder.assembler.is_complete()) == ("yes", True)
    assert message_of(streamed(ending)[0]).content == "yes"
    odd = [answer | {"created": "1"} for answer in (event({"content": "ye"}), event({"content": "s"}), whole())]
    assert message_of(streamed(*odd)[0]).content == "yes"


@pytest.mark.parametrize("place", ["message", "text"])
def test_a_whole_answer_whose_own_place_is_empty(place: str) -> None:
    choice = {"index": 0, "message": {"role": "assistant"}, "delta": {"content": "yes"}, "text": "", "finish_reason": "stop"}
    cls = ModelResponse if place == "message" else TextCompletionResponse
    found = body({**HEAD, "choices": [choice if place == "message" else {**choice, "message": None}]}, cls).choices[0]
    assert (found.message.content if place == "message" else found.text) == "yes"


@pytest.mark.parametrize(
    "choices", [[None, {"index": 0, "delta": {"content": "yes"}}], {"index": 0, "delta": {"content": "yes"}}]
)
def test_choices_that_are_not_quite_a_list_of_objects(choices: Any) -> None:
    assert message_of(streamed({**HEAD, "choices": choices})[0]).content == "yes"


@pytest.mark.parametrize(
    "choice", [{"delta": {"content": "yes"}}, {"text": "yes"}, {"message": "yes"}, {"message": ["y", "es"]}]
)
def test_a_whole_answer_with_its_text_elsewhere(choice: Any) -> None:
    response = body({**HEAD, "choices": [{"index": 0, "finish_reason": "stop", **choice}]})
    assert response.choices[0].message.content == "yes"


@pytest.mark.parametrize("choice", [{"delta": {"content": "yes"}}, {"message": {"content": "yes"}}, {"text": ["y", "es"]}])
def test_a_text_completion_with_its_text_elsewhere(choice: Any) -> None:
    answer = {**HEAD, "choices": [{"index": 0, "finish_reason": "stop", **choice}]}
    assert body(answer, TextCompletionResponse).choices[0].text == "yes"
    decoder, _ = streamed(answer, shape=TextCompletionResponse, text=True)
    assert decoder.assembler.response().choices[0].text == "yes"


@pytest.mark.parametrize("text", [{}, {"text": None}, {"text": ""}])
def test_a_text_completion_s_choice_without_text(text: Any) -> None:
    def choices(*parts: Any) -> Any:
        return {**HEAD, "object": "text_completion", "choices": [{"index": n, **part} for n, part in enumerate(parts)]}

    events = [
        choices({"text": "a"}, text),
        choices({**text, "finish_reason": "stop"}, {"text": "b", "finish_reason": "length"}),
    ]
    for in_reads_of in (1, 2):
        decoder, _ = streamed(*events, shape=TextCompletionResponse, text=True, in_reads_of=in_reads_of)
        found = decoder.assembler.response().choices
        assert [(choice.text, choice.finish_reason) for choice in found] == [("a", "stop"), ("b", "length")]
    whole = body(choices({**text, "finish_reason": "stop"}, {"text": "b"}), TextCompletionResponse)
    assert [choice.text or None for choice in whole.choices] == [None, "b"]


# Streams of odd chunks: the exact decoder is not asked first once it has refused, and everything is seen all the same.

ODD: dict[str, dict[str, Any]] = {
    "text in place of a number": {"created": "1764547200"},
    "a count": {"usage": {"prompt_tokens": 1.0, "completion_tokens": "2", "total_tokens": 3, "x": [1]}},
    "an object": {"service_tier": {"x": 1}, "y": 2},
}


@pytest.mark.parametrize("shape", [ModelResponseStream, GenericStreamingChunk])
@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
@pytest.mark.parametrize("good", [(), (3,), (0, 1, 6, 7), (8,)], ids=str)
@pytest.mark.parametrize("in_reads_of", [1, 4])
def test_a_stream_of_odd_chunks(shape: Any, odd: dict[str, Any], good: tuple[int, ...], in_reads_of: int) -> None:
    call = {"index": 0, "id": "call", "type": "function", "function": {"name": "f", "arguments": ""}}
    deltas: list[Any] = [
        {"role": "assistant", "content": "Let "},
        {"content": "me "},
        {"content": [{"type": "text", "text": "see"}], "z": "1"},
        {"tool_calls": [call], "content": None},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"a"'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": ":1}", "q": "2"}}]},
        {"reasoning_content": "hm"},
        {},
        None,
    ]
    events: list[Any] = [event(delta) | (odd if number not in good else {}) for number, delta in enumerate(deltas)]
    decoder, chunks = streamed(*events, event({}, finish_reason="stop"), b"[DONE]", shape=shape, in_reads_of=in_reads_of)
    message = message_of(decoder)
    function = message.tool_calls[0].function
    assert (message.content, message.reasoning_content, message["z"]) == ("Let me see", "hm", "1")
    assert (function.name, function.arguments, function["q"]) == ("f", '{"a":1}', "2")
    assert (decoder.done, decoder.assembler.is_complete()) == (True, True)
    assert [chunk.raw for chunk in chunks] == [*map(encode, events), encode(event({}, finish_reason="stop"))]
    decoded_exactly = {number for number, chunk in enumerate(chunks[:-1]) if type(chunk.raw) is bytes}
    assert decoded_exactly == {number for number in good if number not in (2, 8)}
    if "service_tier" in odd and shape is ModelResponseStream:
        assert [chunk.get("service_tier") for chunk in chunks[:-1]] == [
            None if number in good else {"x": 1} for number in range(len(deltas))
        ]
    if "usage" in odd:
        assert (decoder.assembler.usage.completion_tokens, decoder.assembler.usage["x"]) == (2, [1])


@pytest.mark.parametrize(
    "end", [{"error": {"message": "no", "code": 429}}, {**event({}), "created": "1", "error": {"code": 429}}]
)
def test_an_error_among_odd_chunks_ends_the_stream(end: Any) -> None:
    odd = event({"content": "a"}) | {"created": "1"}
    decoder: Any = ChunkDecoder(ModelResponseStream, text=False, model="m")
    decoder.decode([encode(odd), encode(odd)])
    assert len(decoder.decode([encode(odd), encode(end), encode(odd)])) == 1
    assert decoder.error.status_code == 429


def test_what_is_odd_in_a_delta_can_be_read_as_it_came() -> None:
    parts = [{"type": "text", "text": "a"}]
    function = {"name": "f", "arguments": {"a": 1}}
    deltas = [{"content": "b"}, {"content": parts}, {"tool_calls": [{"index": 0, "function": function}], "refusal": 7}]
    _, (_, first, second) = streamed(*map(event, deltas))
    delta, other = first.choices[0].delta, second.choices[0].delta
    assert (delta.content, delta.model_dump(exclude_none=True)) == ("a", {"content": parts})
    assert (other.tool_calls[0].function.arguments, other.refusal) == ('{"a":1}', "7")
    dumped = other.model_dump(exclude_none=True)
    assert (dumped["tool_calls"][0]["function"], dumped["refusal"]) == (function, 7)


def test_what_odd_chunks_are_made_of_is_released_with_them() -> None:
    data = [encode(event({"content": [{"type": "text", "text": "a"}]}) | {"created": "1"}) for _ in range(50)]
    before = [sys.getrefcount(item) for item in data]
    decoder, chunks = streamed(*data)
    del decoder, chunks
    assert [sys.getrefcount(item) for item in data] == before


# Tool calls.


@pytest.mark.parametrize("arguments, text", [({"a": 1}, '{"a":1}'), ([], "[]"), (7, "7"), ("{}", "{}")])
def test_arguments_are_json_text(arguments: Any, text: str) -> None:
    calls = [{"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}]
    (call,) = body(whole({"tool_calls": calls})).choices[0].message.tool_calls
    assert call.function.arguments == text
    decoder, _ = streamed(event({"tool_calls": calls}))
    assert message_of(decoder).tool_calls[0].function.arguments == text


@pytest.mark.parametrize("calls", ["", None, [], 7, [None], {}])
def test_tool_calls_of_nothing(calls: Any) -> None:
    assert not body(whole({"tool_calls": calls})).choices[0].message.tool_calls
    decoder, (chunk,) = streamed(event({"content": "a", "tool_calls": calls}))
    assert (message_of(decoder).tool_calls or [], chunk.choices[0].delta.tool_calls or []) == ([], [])


def test_a_tool_call_outside_a_list() -> None:
    call = {"id": "c", "function": {"name": "f", "arguments": "{}"}}
    assert body(whole({"tool_calls": call})).choices[0].message.tool_calls[0].id == "c"


# Halves of characters.

HIGH, LOW = "\\ud83d", "\\ude00"


def half(text: str, **fields: Any) -> bytes:
    return encode(event({"content": "TEXT"}, **fields)).replace(b"TEXT", text.encode())


@pytest.mark.parametrize("shape", SHAPES)
def test_halves_of_a_character_are_joined(shape: Any) -> None:
    decoder, chunks = streamed(half(f"a{HIGH}"), half(f"{LOW}b{HIGH}"), half(LOW), event({"content": "c"}), shape=shape)
    texts = {
        ModelResponseStream: lambda chunk: chunk.choices[0].delta.content,
        GenericStreamingChunk: lambda chunk: chunk.text,
        TextCompletionResponse: lambda chunk: chunk.choices[0].text,
    }
    assert list(map(texts[shape], chunks)) == ["a", "\U0001f600b", "\U0001f600", "c"]
    assert chunks[0].raw == half(f"a{HIGH}")
    choice = decoder.assembler.response().choices[0]
    assert (choice.text if shape is TextCompletionResponse else choice.message.content) == "a\U0001f600b\U0001f600c"


def test_halves_belong_to_their_choices_and_fields() -> None:
    second = {"index": 1}
    events = [half(HIGH), half(f"b{HIGH}", **second), half(f"{LOW}c", **second), half(LOW)]
    decoder, _ = streamed(*events)
    assert [choice.message.content for choice in decoder.assembler.response().choices] == ["\U0001f600", "b\U0001f600c"]


@pytest.mark.parametrize(
    "text, shown", [(f"{LOW}a", "\ufffda"), (f"a{HIGH}b", "a\ufffdb"), (f"a{HIGH}{HIGH}{LOW}", "a\ufffd\U0001f600")]
)
def test_a_half_without_its_other(text: str, shown: str) -> None:
    assert message_of(streamed(half(text))[0]).content == shown
    data = encode(whole({"content": "TEXT", "x": "TEXT"})).replace(b"TEXT", text.encode())
    message = body(data).choices[0].message
    assert (message.content, message["x"]) == (shown, shown)


def test_a_half_that_never_finds_its_other_stands_for_itself_in_what_follows() -> None:
    decoder, _ = streamed(half(f"a{HIGH}"), half(f"b{HIGH}"), half(LOW))
    assert message_of(decoder).content == "a\ufffdb\U0001f600"


@pytest.mark.parametrize("number", ["-Infinity", "NaN", "1e999"])
def test_numbers_that_json_does_not_have(number: str) -> None:
    data = encode(event({"content": "a"}, logprobs={"content": [{"token": "a", "logprob": 0}]}))
    decoder, (chunk,) = streamed(data.replace(b'"logprob":0', f'"logprob":{number}'.encode()))
    assert message_of(decoder).content == "a"
    assert isinstance(chunk.choices[0].logprobs["content"][0]["logprob"], float)
    assert json.loads(chunk.model_dump_json())


# The rest.


@pytest.mark.parametrize(
    "created, seconds",
    [
        ("1764547200", 1764547200),
        (1764547200.5, 1764547200.5),
        ("2025-12-01T00:00:00Z", 1764547200),
        ("2025-12-01T00:00:00", 1764547200),
        ("2025-12-01T02:00:00+02:00", 1764547200),
        ("yesterday", None),
        (True, None),
        ({}, None),
    ],
)
def test_when_it_was_created(created: Any, seconds: Any) -> None:
    _, (chunk,) = streamed(event({"content": "a"}) | {"created": created})
    assert chunk.created == seconds
    assert body(whole(created=created)).created == seconds


@pytest.mark.parametrize(
    "reason, said", [(7, "7"), ({"type": "stop"}, '{"type":"stop"}'), (False, None), ([], None), (0, None)]
)
def test_a_finish_reason_of_another_type(reason: Any, said: str | None) -> None:
    decoder, _ = streamed(event({"content": "a"}, finish_reason=reason))
    assert decoder.assembler.response().choices[0].finish_reason == said
    assert decoder.assembler.is_complete() is (said is not None)


@pytest.mark.parametrize("index, number", [("1", 1), (1.0, 1), (None, 0), ("x", 0), ([], 0)])
def test_the_number_of_a_choice(index: Any, number: int) -> None:
    decoder, _ = streamed(event({"content": "a"}, index=index))
    assert [choice.index for choice in decoder.assembler.response().choices] == [number]


@pytest.mark.parametrize("index", [0, None, "0"])
def test_choices_of_one_number_are_numbered_by_their_places(index: Any) -> None:
    def choices(name: str) -> Any:
        return [{"index": index, name: {"content": text}, "finish_reason": "stop"} for text in "ab"]

    decoder, (chunk,) = streamed({**HEAD, "choices": choices("delta")})
    for response in (decoder.assembler.response(), body({**HEAD, "choices": choices("message")})):
        assert [(choice.index, choice.message.content) for choice in response.choices] == [(0, "a"), (1, "b")]
    assert [choice.index for choice in chunk.choices] == [0, 1]


def test_what_is_said_twice_counts_the_second_time() -> None:
    data = encode(event({"content": "a"})).replace(
        b'{"content":"a"}', b'{"content":7,"content":"a","role":7,"role":"assistant"}'
    )
    decoder, _ = streamed(data)
    assert message_of(decoder).content == "a"


@pytest.mark.parametrize("error", [{}, "", False, None, 0, [], {"message": "", "code": None}])
def test_an_error_that_says_nothing(error: Any) -> None:
    decoder, chunks = streamed(event({"content": "a"}) | {"error": error}, event({"content": "b"}))
    assert (message_of(decoder).content, len(chunks)) == ("ab", 2)
    assert body(whole(error=error)).choices[0].message.content == "yes"


def test_an_error_that_says_nothing_alone_is_one() -> None:
    with pytest.raises(InternalServerError):
        streamed({"error": {}})
    with pytest.raises(InternalServerError):
        body({"error": {}})


# Other answers.


@pytest.mark.parametrize(
    "answer",
    [
        [{"id": "a"}, {"id": "b"}],
        ["a", "b"],
        {"data": [{"id": "a", "created": "2025-12-01", "owned_by": {"x": 1}}, {"id": "b"}]},
    ],
)
def test_models(answer: Any) -> None:
    assert [model.id for model in body(answer, ModelList).data] == ["a", "b"]


@pytest.mark.parametrize("answer", [{"data": None}, {"object": "list", "data": []}])
def test_no_models(answer: Any) -> None:
    assert body(answer, ModelList).data == []


@pytest.mark.parametrize("fields", [{}, {"index": None}, {"index": None, "object": None}, {"object": 7}])
def test_vectors_are_numbered_by_their_places(fields: Any) -> None:
    answer = {"data": [{"embedding": [0.5], **fields}, {"embedding": [1.5], **fields}], "model": "m"}
    response = body(answer, EmbeddingResponse)
    assert [(item.index, item.embedding) for item in response.data] == [(0, [0.5]), (1, [1.5])]
    assert as_sent(response) == encode(answer)


@pytest.mark.parametrize("numbers", [[0, 0, 0], [1, None, 2], [None, 0, 0], ["0", 0, "x"]])
def test_vectors_that_are_not_numbered_each_are_numbered_by_their_places(numbers: list[Any]) -> None:
    answer = {"data": [{"embedding": [0.5], "index": number} for number in numbers]}
    assert [item.index for item in body(answer, EmbeddingResponse).data] == [0, 1, 2]


def test_vectors_in_another_order_keep_their_numbers() -> None:
    answer = {"data": [{"embedding": [0.5], "index": number} for number in (2, 0, 1)]}
    assert [item.index for item in body(answer, EmbeddingResponse).data] == [2, 0, 1]


def test_no_vectors_are_no_answer() -> None:
    with pytest.raises(APIResponseValidationError, match="data"):
        body({"data": None}, EmbeddingResponse)


def test_vectors_without_an_envelope() -> None:
    assert [item.embedding for item in body([[0.5], [1.5]], EmbeddingResponse).data] == [[0.5], [1.5]]


@pytest.mark.parametrize("vector", [[[0.5, 1], [2.5, 3]], {"float": [0.5], "int8": [1]}, "AAAAPw==", [0.5, None]])
def test_vectors_of_any_kind_are_passed_on(vector: Any) -> None:
    assert body({"data": [{"embedding": vector}]}, EmbeddingResponse).data[0].embedding == vector


def test_images() -> None:
    response = body(
        {"created": "2025-12-01", "data": [{"url": "x", "revised_prompt": 7}], "usage": {"total_tokens": None}}, ImageResponse
    )
    assert (response.created, response.data[0].revised_prompt, response.usage.total_tokens) == (1764547200, "7", 0)


# What is not an answer.


@pytest.mark.parametrize(
    "answer",
    [
        7,
        [],
        {"choices": 7},
        {"choices": "yes"},
        {"choices": {"0": {"message": {"content": "yes"}}}, "usage": {"total_tokens": 1}},
        {"choices": [7]},
        {"choices": [None]},
    ],
)
def test_what_can_not_be_understood(answer: Any) -> None:
    with pytest.raises(APIResponseValidationError):
        body(answer)
    with pytest.raises(APIResponseValidationError):
        streamed(event({"content": "a"}), answer)


@pytest.mark.parametrize("vector", [None, 7, True])
def test_an_embedding_without_a_vector(vector: Any) -> None:
    with pytest.raises(APIResponseValidationError):
        body({"data": [{"embedding": vector}]}, EmbeddingResponse)


def test_a_vector_as_an_array() -> None:
    numbers = [0.5, -1.0, 2.25]
    text = base64.b64encode(struct.pack("<3f", *numbers)).decode()
    first, second = body({"data": [{"embedding": text}, {"embedding": numbers}]}, EmbeddingResponse).data
    assert (first.embedding, second.embedding) == (text, numbers)
    for item in (first, second):
        assert item.array() == array("f", numbers)
        assert list(memoryview(item.array())) == numbers


@pytest.mark.parametrize("vector", [[[0.5]], {"float": [0.5]}, "no base64!", "AAA=", [None], ["x"]])
def test_what_is_not_one_vector_is_no_array(vector: Any) -> None:
    (item,) = body({"data": [{"embedding": vector}]}, EmbeddingResponse).data
    with pytest.raises(ValueError, match=r"vector|base64|multiple"):
        item.array()
