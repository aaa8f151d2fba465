"""Chunks from one shape to another: what each keeps, what is made up, and that the chunks given are left alone."""

import copy
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from hypothesis import given, strategies as st

from tokenwire.types import GenericStreamingChunk, ModelResponse, ModelResponseStream, TextCompletionResponse, Usage
from tokenwire.types._record import build, from_fields
from tokenwire.types._response import call_of
from tokenwire.types._source import attach_document
from tokenwire.types.chat import (
    ChatCompletionDeltaToolCall,
    Delta,
    DeltaFunction,
    StreamingChoices,
)
from tokenwire.types.text import TextChoices
from tokenwire.wire.assemble import Assembler
from tokenwire.wire.chunks import decode_chunk
from tokenwire.wire.convert import Converter, Shape, chat_response, response_chunks, text_response

USAGE = build(Usage, prompt_tokens=1, completion_tokens=2, total_tokens=3)


@dataclass
class Answered:
    """An HTTP response, as far as a `Response` needs it."""

    headers: dict[str, str]


def flat(text: str = "", **fields: Any) -> GenericStreamingChunk:
    return from_fields(GenericStreamingChunk, {"text": text, **fields})


def choice(index: int | None = 0, finish_reason: str | None = None, logprobs: Any = None, **delta: Any) -> StreamingChoices:
    fields = {"index": index, "finish_reason": finish_reason, "logprobs": logprobs, "delta": from_fields(Delta, delta)}
    return from_fields(StreamingChoices, fields)


def chat(*choices: Any, **fields: Any) -> ModelResponseStream:
    return build(ModelResponseStream, choices=list(choices), **fields)


def text(piece: str | None, index: int | None = 0, **fields: Any) -> TextCompletionResponse:
    return build(TextCompletionResponse, choices=[from_fields(TextChoices, {"text": piece, "index": index, **fields})])


def call(arguments: str = "", index: int | None = 0) -> ChatCompletionDeltaToolCall:
    return build(ChatCompletionDeltaToolCall, id="a", index=index, function=build(DeltaFunction, name="f", arguments=arguments))


def whole(**fields: Any) -> ModelResponse:
    return ModelResponse(**fields)


def decoded(cls: Any, **fields: Any) -> Any:
    """A chunk as it comes off the wire."""
    data = msgspec.json.encode(fields)
    record = decode_chunk(data) if cls is ModelResponseStream else msgspec.json.decode(data, type=cls)
    attach_document(record, data)
    return record


def convert(shape: Shape, *chunks: Any) -> list[Any]:
    """The chunks in the wanted shape; checks that the given ones stay as they are."""
    before = copy.deepcopy(chunks)
    converter = Converter(shape, "m")
    converted = [part for chunk in chunks for part in converter.convert(chunk)]
    assert list(chunks) == list(before)
    assert all(isinstance(part, shape) for part in converted)
    return converted


@pytest.mark.parametrize("chunk", [flat("a"), chat(choice(content="a")), text("a")], ids=lambda chunk: type(chunk).__name__)
def test_a_chunk_of_the_wanted_shape_is_handed_on_as_it_is(chunk: Any) -> None:
    assert convert(type(chunk), chunk)[0] is chunk


# To OpenAI's chunks.


def test_flat_to_chat() -> None:
    parts = convert(ModelResponseStream, flat("Hel"), flat("lo"), flat("", is_finished=True, finish_reason="length"))
    assert [part.choices[0].delta.content for part in parts] == ["Hel", "lo", None]
    assert [part.choices[0].delta.role for part in parts] == ["assistant", None, None]
    assert [part.choices[0].finish_reason for part in parts] == [None, None, "length"]
    assert all(part.object == "chat.completion.chunk" for part in parts)
    assert {part.model for part in parts} == {"m"}


@pytest.mark.parametrize("shape", [ModelResponseStream, TextCompletionResponse])
def test_one_stream_has_one_id_and_one_time(shape: Any) -> None:
    parts = convert(shape, flat("a"), flat("b"))
    assert len({part.id for part in parts}) == len({part.created for part in parts}) == 1
    assert parts[0].id.startswith("chatcmpl-" if shape is ModelResponseStream else "cmpl-")
    assert convert(shape, flat("a"))[0].id != parts[0].id
    (own,) = convert(shape, flat("a", id="mine", model="its"))
    assert (own.id, own.model) == ("mine", "its")


def test_flat_to_chat_keeps_everything_else() -> None:
    (part,) = convert(
        ModelResponseStream,
        flat("a", index=2, reasoning_content="r", logprobs={"content": []}, provider_specific_fields={"x": 1}, usage=USAGE),
    )
    one = part.choices[0]
    assert (one.index, one.delta.reasoning_content, one.logprobs, part.usage) == (2, "r", {"content": []}, USAGE)
    assert one.delta.provider_specific_fields == {"x": 1}


def test_each_choice_gets_its_role_once() -> None:
    parts = convert(ModelResponseStream, flat("a", index=1), flat("b", index=0), flat("c", index=1), flat("d", index=0))
    assert [part.choices[0].delta.role for part in parts] == ["assistant", "assistant", None, None]


def test_a_flat_tool_call_has_a_number() -> None:
    part, other = convert(ModelResponseStream, flat(tool_use=call("{}", index=None)), flat(tool_use=call("{}", index=3)))
    assert part.choices[0].delta.tool_calls[0].index == 0
    assert part.choices[0].delta.tool_calls[0].function.arguments == "{}"
    assert other.choices[0].delta.tool_calls[0].index == 3
    assert part.choices[0].delta.content is None


def test_an_empty_flat_chunk_is_nothing() -> None:
    assert convert(ModelResponseStream, flat(), flat("", finish_reason=None)) == []


def test_usage_alone_has_no_choice() -> None:
    (part,) = convert(ModelResponseStream, flat(usage=USAGE))
    assert (part.choices, part.usage) == ([], USAGE)


@pytest.mark.parametrize(
    "fields, expected",
    [
        ({"is_finished": True, "finish_reason": "length"}, "length"),
        ({"is_finished": False, "finish_reason": "length"}, "length"),
        ({"is_finished": True, "finish_reason": ""}, None),  # that is for whoever knows the handler to say
        ({"is_finished": True, "finish_reason": None}, None),
        ({"is_finished": False, "finish_reason": ""}, None),
    ],
)
@pytest.mark.parametrize("shape", [ModelResponseStream, TextCompletionResponse])
def test_a_finish_reason_is_taken_over_and_never_made_up(shape: Any, fields: Any, expected: str | None) -> None:
    (part,) = convert(shape, flat("a", **fields))
    assert part.choices[0].finish_reason == expected


def test_text_to_chat() -> None:
    first, last = convert(
        ModelResponseStream, text("Hel", logprobs={"tokens": ["Hel"]}), text("", index=0, finish_reason="stop")
    )
    assert (first.choices[0].delta.content, first.choices[0].delta.role) == ("Hel", "assistant")
    assert first.choices[0].logprobs == {"tokens": ["Hel"]}
    assert (last.choices[0].delta.content, last.choices[0].finish_reason) == (None, "stop")


# To text chunks.


def test_chat_to_text() -> None:
    part, last = convert(
        TextCompletionResponse,
        chat(choice(content="a", role="assistant"), choice(1, "stop", {"content": []}), id="x", created=5, model="its"),
        chat(usage=USAGE),
    )
    assert [(one.index, one.text, one.finish_reason) for one in part.choices] == [(0, "a", None), (1, "", "stop")]
    assert (part.id, part.created, part.model, part.choices[1].logprobs) == ("x", 5, "its", {"content": []})
    assert part.object == "text_completion"
    assert (last.choices, last.usage) == ([], USAGE)


def test_flat_to_text() -> None:
    (part,) = convert(TextCompletionResponse, flat("a", index=1, logprobs={"x": 1}, usage=USAGE))
    assert (part.choices[0].text, part.choices[0].index, part.choices[0].logprobs, part.usage) == ("a", 1, {"x": 1}, USAGE)


# To flat chunks.


def test_chat_to_flat() -> None:
    parts = convert(
        GenericStreamingChunk,
        chat(choice(role="assistant", content=""), id="x", model="its"),
        chat(choice(content="Hi", reasoning_content="r", provider_specific_fields={"x": 1})),
        chat(choice(finish_reason="stop"), usage=USAGE),
    )
    assert [(part.text, part.is_finished, part.finish_reason) for part in parts] == [
        ("", False, ""),
        ("Hi", False, ""),
        ("", True, "stop"),
    ]
    assert (parts[0].id, parts[0].model) == ("x", "its")
    assert (parts[1].reasoning_content, parts[1].provider_specific_fields) == ("r", {"x": 1})
    assert [part.usage for part in parts] == [None, None, USAGE]


def test_a_flat_chunk_holds_one_choice_and_one_tool_call() -> None:
    parts = convert(
        GenericStreamingChunk,
        chat(
            choice(1, "tool_calls", {"content": []}, content="a", tool_calls=[call("x", 0), call("y", 1)]),
            choice(None, content="b"),
            usage=USAGE,
        ),
    )
    assert [(part.index, part.text, part.is_finished) for part in parts] == [(1, "a", False), (1, "", True), (0, "b", False)]
    assert [part.tool_use and part.tool_use.index for part in parts] == [0, 1, None]
    assert [part.finish_reason for part in parts] == ["", "tool_calls", ""]
    assert [part.logprobs for part in parts] == [{"content": []}, None, None]
    assert [part.usage for part in parts] == [None, None, USAGE]  # counted once


def test_text_to_flat() -> None:
    parts = convert(GenericStreamingChunk, text("a", 1, logprobs={"x": 1}), text(None, None, finish_reason="stop"))
    assert [(part.index, part.text, part.is_finished, part.finish_reason) for part in parts] == [
        (1, "a", False, ""),
        (0, "", True, "stop"),
    ]
    assert parts[0].logprobs == {"x": 1}


def test_usage_alone_is_an_empty_flat_chunk() -> None:
    (part,) = convert(GenericStreamingChunk, chat(usage=USAGE, id="x"))
    assert (part.text, part.is_finished, part.usage, part.id) == ("", False, USAGE, "x")


# The bytes behind the chunks.

WIRE_CHAT = {
    "id": "x",
    "choices": [{"index": 0, "delta": {"content": "a"}}, {"index": 1, "delta": {"content": "b", "y": 2}}],
    "z": 3,
}
WIRE_TEXT = {"id": "x", "choices": [{"index": 0, "text": "a"}, {"index": 1, "text": "b", "y": 2}], "z": 3}


@pytest.mark.parametrize("wire, cls", [(WIRE_CHAT, ModelResponseStream), (WIRE_TEXT, TextCompletionResponse)])
@pytest.mark.parametrize("shape", [ModelResponseStream, TextCompletionResponse, GenericStreamingChunk])
def test_the_bytes_stay_with_a_converted_chunk(shape: Any, wire: Any, cls: Any) -> None:
    parts = convert(shape, decoded(cls, **wire))
    assert {part.raw for part in parts} == {msgspec.json.encode(wire)}
    assert parts[-1]["y" if shape is GenericStreamingChunk else "z"] == (2 if shape is GenericStreamingChunk else 3)


def test_the_bytes_stay_with_every_flat_piece() -> None:
    wire = {"choices": [{"delta": {"tool_calls": [{"index": 0, "id": "a"}, {"index": 1, "id": "b"}]}}]}
    parts = convert(GenericStreamingChunk, decoded(ModelResponseStream, **wire))
    assert [part.raw for part in parts] == [msgspec.json.encode(wire)] * 2


def test_a_flat_chunk_says_under_its_own_names_what_it_can() -> None:
    wire = {"choices": [{"index": 0, "delta": {"content": "a", "role": "assistant", "reasoning": "r", "y": 2}}]}
    (part,) = convert(GenericStreamingChunk, decoded(ModelResponseStream, **wire))
    assert (part.text, part.reasoning_content, part.provider_specific_fields) == ("a", "r", {"y": 2})


# Wholes.

whole_calls = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.sampled_from(["a", "b"]),
            "function": st.fixed_dictionaries({"name": st.just("f"), "arguments": st.text(max_size=3)}),
        }
    ),
    min_size=1,
    max_size=1,
)
messages = st.fixed_dictionaries(
    {"content": st.none() | st.text(min_size=1, max_size=5), "role": st.just("assistant")},
    optional={
        "tool_calls": whole_calls,
        "reasoning_content": st.text(min_size=1, max_size=5),
        "refusal": st.text(min_size=1, max_size=5),
        "function_call": st.fixed_dictionaries({"name": st.just("f"), "arguments": st.text(max_size=3)}),
        "annotations": st.lists(st.integers(), min_size=1, max_size=2),
        "images": st.lists(st.text(max_size=3), min_size=1, max_size=2),
        "thinking_blocks": st.lists(st.text(max_size=3), min_size=1, max_size=2),
        "reasoning_items": st.lists(st.text(max_size=3), min_size=1, max_size=2),
        "audio": st.fixed_dictionaries({"data": st.text(max_size=3)}),
    },
)


@given(
    answers=st.lists(st.tuples(messages, st.sampled_from(["stop", "length"])), min_size=1, max_size=3),
    usage=st.none() | st.just({"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}),
)
def test_a_whole_taken_apart_and_put_together_is_the_same(answers: Any, usage: Any) -> None:
    response = whole(
        id="x",
        created=1,
        model="m",
        system_fingerprint="fp",
        service_tier="default",
        usage=usage,
        choices=[
            {"index": index, "message": message, "finish_reason": reason} for index, (message, reason) in enumerate(answers)
        ],
    )
    before = copy.deepcopy(response)
    assembler = Assembler()
    for part in response_chunks(response):
        assembler.add(part)
    assert assembler.response() == response == before
    assert assembler.is_complete()


def test_a_whole_is_taken_apart_into_what_is_said_and_how_it_ends() -> None:
    response = whole(choices=[{"message": {"content": "Hi"}, "finish_reason": "length"}], usage=USAGE)
    said, end = response_chunks(response)
    assert (said.choices[0].delta.content, said.choices[0].delta.role, said.choices[0].finish_reason) == (
        "Hi",
        "assistant",
        None,
    )
    assert (end.choices[0].delta.content, end.choices[0].finish_reason, end.usage) == (None, "length", USAGE)
    assert said.usage is None
    assert said.id == end.id == response.id


def test_a_whole_without_an_end_gets_none() -> None:
    response = build(ModelResponse, choices=[])
    assert [part.choices for part in response_chunks(response)] == [[], []]


def test_a_whole_s_bytes_and_unknown_fields_go_with_its_first_chunk() -> None:
    wire = {"id": "x", "choices": [{"index": 0, "message": {"content": "Hi", "y": 2}, "finish_reason": "stop"}], "z": 3}
    said, end = response_chunks(decoded(ModelResponse, **wire))
    assert said.raw == msgspec.json.encode(wire)
    assert said["z"] == 3
    assert said.choices[0].delta.provider_specific_fields == {"y": 2}
    assert end.raw is None


def test_chat_and_text_wholes() -> None:
    wire = {
        "id": "x", "created": 1, "model": "m", "system_fingerprint": "fp", "warning": "w",
        "choices": [{"index": 1, "text": "Hi", "finish_reason": "stop", "logprobs": {"tokens": ["Hi"]}}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
    }  # fmt: skip
    said = decoded(TextCompletionResponse, **wire)
    call_of(said).received = Answered({"x-request-id": "req-1"})
    as_chat = chat_response(said)
    assert (as_chat.id, as_chat.created, as_chat.model, as_chat.object) == ("x", 1, "m", "chat.completion")
    one = as_chat.choices[0]
    assert (one.index, one.message.content, one.message.role, one.finish_reason) == (1, "Hi", "assistant", "stop")
    assert (one.logprobs, as_chat.usage, as_chat.system_fingerprint) == ({"tokens": ["Hi"]}, USAGE, "fp")
    assert (as_chat.request_id, as_chat["warning"]) == ("req-1", "w")
    back = text_response(as_chat)
    assert (back.object, back.choices, back.usage, back.request_id) == ("text_completion", said.choices, USAGE, "req-1")


def test_a_chat_whole_without_text_is_an_empty_text() -> None:
    response = whole(choices=[{"message": {"content": None}, "finish_reason": "tool_calls"}])
    assert text_response(response).choices[0].text == ""
