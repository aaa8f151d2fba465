"""Chunks back into the completion they came from: every shape, every field, any order of choices, at any moment."""

import copy
import pickle
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import msgspec
import pytest
from hypothesis import given, strategies as st

from tokenwire.exceptions import BadRequestError
from tokenwire.types import (
    ChatCompletionDeltaToolCall,
    ChatCompletionMessageToolCall,
    Choices,
    Delta,
    DeltaFunction,
    Function,
    FunctionCall,
    GenericStreamingChunk,
    Message,
    ModelResponse,
    ModelResponseStream,
    StreamingChoices,
    Usage,
    _source,
)
from tokenwire.types._record import build, from_fields
from tokenwire.types.text import TextChoices, TextCompletionResponse
from tokenwire.wire.assemble import Assembler, stream_chunk_builder
from tokenwire.wire.chunks import decode_chunk
from tokenwire.wire.growing import Pieces


def chat(*choices: Any, **fields: Any) -> ModelResponseStream:
    return from_fields(ModelResponseStream, {"choices": list(choices), **fields})


def choice(index: int = 0, finish_reason: str | None = None, logprobs: Any = None, **delta: Any) -> StreamingChoices:
    fields = {"index": index, "finish_reason": finish_reason, "logprobs": logprobs, "delta": from_fields(Delta, delta)}
    return from_fields(StreamingChoices, fields)


def delta(**fields: Any) -> ModelResponseStream:
    return chat(choice(**fields))


def flat(text: str = "", **fields: Any) -> GenericStreamingChunk:
    return from_fields(GenericStreamingChunk, {"text": text, **fields})


def text(piece: str | None, index: int = 0, finish_reason: str | None = None, **fields: Any) -> TextCompletionResponse:
    return build(
        TextCompletionResponse,
        choices=[from_fields(TextChoices, {"text": piece, "index": index, "finish_reason": finish_reason, **fields})],
    )


def call(
    arguments: str | None = None, *, index: int | None = 0, id: str | None = None, name: str | None = None, **fields: Any
) -> ChatCompletionDeltaToolCall:
    function = build(DeltaFunction, arguments=arguments, name=name)
    return build(ChatCompletionDeltaToolCall, index=index, id=id, function=function, **fields)


def calls(*parts: ChatCompletionDeltaToolCall) -> ModelResponseStream:
    return delta(tool_calls=list(parts))


def assembled(chunks: Iterable[Any]) -> Assembler:
    assembler = Assembler()
    for chunk in chunks:
        assembler.add(chunk)
    return assembler


def whole(*chunks: Any) -> Any:
    return assembled(chunks).response()


def message(*chunks: Any) -> Message:
    return whole(*chunks).choices[0].message


def only_call(*chunks: Any) -> ChatCompletionMessageToolCall:
    found = message(*chunks).tool_calls
    assert found is not None
    assert len(found) == 1
    return found[0]


def called(*chunks: Any) -> list[tuple[str | None, str | None, str]]:
    return [(c.id, c.function.name, c.function.arguments) for c in message(*chunks).tool_calls or () if c.function]


def test_there_is_nothing_before_the_first_chunk() -> None:
    assembler = Assembler()
    assert assembler.response() is None
    assert not assembler.is_complete()
    assert assembler.usage is None


def test_a_chat_stream_becomes_its_completion() -> None:
    usage = Usage(prompt_tokens=1, completion_tokens=2, total_tokens=3)
    head = {"id": "c1", "created": 5, "model": "m", "system_fingerprint": "fp", "service_tier": "default"}
    chunks = [
        chat(choice(role="assistant", content=""), **head),
        chat(choice(content="Hel"), **head),
        chat(choice(content="lo"), **head),
        chat(choice(finish_reason="stop"), **head),
        chat(usage=usage, **head),
    ]
    expected = build(
        ModelResponse,
        choices=[build(Choices, index=0, finish_reason="stop", message=build(Message, role="assistant", content="Hello"))],
        usage=usage,
        **head,
    )
    assert whole(*chunks) == expected


def test_a_text_chunk_first_makes_a_text_completion_of_any_stream() -> None:
    response = whole(text("a"), delta(content="b"), flat("c"))
    assert type(response) is TextCompletionResponse
    assert response.choices[0].text == "abc"


@pytest.mark.parametrize("first", [delta(content="a"), flat("a")], ids=["chat", "flat"])
def test_any_other_chunk_first_makes_a_chat_completion(first: Any) -> None:
    response = whole(first, text("b"))
    assert type(response) is ModelResponse
    assert response.choices[0].message.content == "ab"


@pytest.mark.parametrize("make", [lambda piece: delta(content=piece), flat], ids=["chat", "flat"])
def test_text_pieces_join_in_order(make: Any) -> None:
    assert message(make("He"), make(""), make("llo "), make("wörld")).content == "Hello wörld"


def test_a_text_completion_joins_its_pieces_and_keeps_its_head() -> None:
    chunk = text("a ")
    chunk.id, chunk.created, chunk.model, chunk.system_fingerprint = "cmpl-1", 7, "m", "fp"
    response = whole(chunk, text("b"), text(None, finish_reason="length"))
    assert (response.id, response.created, response.model, response.system_fingerprint) == ("cmpl-1", 7, "m", "fp")
    assert response.choices == [build(TextChoices, index=0, text="a b", finish_reason="length")]


@pytest.mark.parametrize(
    "chunks, content",
    [
        pytest.param([delta(role="assistant")], None, id="role-only"),
        pytest.param([delta(content="")], "", id="an-empty-piece"),
        pytest.param([flat("", tool_use=call("{}", id="a"))], None, id="flat-tool-call"),
    ],
)
def test_content_is_none_only_where_none_came(chunks: list[Any], content: str | None) -> None:
    assert message(*chunks).content == content


@pytest.mark.parametrize(
    "chunks, is_complete, reasons",
    [
        pytest.param([delta(content="a")], False, [None], id="cut"),
        pytest.param([delta(finish_reason="stop")], True, ["stop"], id="finished"),
        pytest.param([delta(finish_reason="length"), delta(content="late")], True, ["length"], id="late-content"),
        pytest.param([delta(finish_reason="")], False, [None], id="empty-reason"),
        pytest.param([chat(choice(0, "stop"), choice(1, content="b"))], False, ["stop", None], id="one-of-two"),
        pytest.param([chat(choice(1, "length"), choice(0, "stop"))], True, ["stop", "length"], id="both"),
        pytest.param([chat(usage=Usage())], False, [], id="usage-only"),
        pytest.param([flat("a", finish_reason="stop")], True, ["stop"], id="flat-reason-without-flag"),
        pytest.param([flat("a", is_finished=True)], True, [None], id="flat-flag-without-reason"),
        pytest.param([flat("a"), flat("b")], False, [None], id="flat-cut"),
        pytest.param([text("a"), text(None, finish_reason="stop")], True, ["stop"], id="text"),
    ],
)
def test_a_finish_reason_is_never_invented(chunks: list[Any], is_complete: bool, reasons: list[str | None]) -> None:
    assembler = assembled(chunks)
    response: Any = assembler.response()
    assert assembler.is_complete() is is_complete
    assert [choice.finish_reason for choice in response.choices] == reasons


def test_choices_stay_apart_and_come_in_order() -> None:
    response = whole(
        delta(index=2, content="c"), chat(choice(1, content="b"), choice(0, content="a")), delta(index=2, content="C")
    )
    assert [(choice.index, choice.message.content) for choice in response.choices] == [(0, "a"), (1, "b"), (2, "cC")]


@pytest.mark.parametrize("make", [text, flat], ids=["text", "flat"])
def test_the_other_shapes_have_choices_too(make: Any) -> None:
    response = whole(make("b", index=1), make("a", index=0), make("B", index=1))
    texts = [choice.text if make is text else choice.message.content for choice in response.choices]
    assert texts == ["a", "bB"]


def test_a_choice_without_an_index_is_the_first() -> None:
    assert (
        message(chat(build(StreamingChoices, index=None, delta=build(Delta, content="a"))), delta(content="b")).content == "ab"
    )


def test_the_hot_loop_may_append_text_itself() -> None:
    assembler = assembled([delta(index=1, content="other"), delta(role="assistant", content="a")])
    assembler.first_text.append("b")
    assembler.add(delta(content="c", finish_reason="stop"))
    response: Any = assembler.response()
    assert [choice.message.content for choice in response.choices] == ["abc", "other"]


CALLS = {
    "by-index": (
        [calls(call(id="a", name="f", index=0)), calls(call('{"x"')), calls(call(id="b", name="g", index=1)), calls(call("{}", index=1)), calls(call(":1}"))],
        [("a", "f", '{"x":1}'), ("b", "g", "{}")],
    ),
    "whole-in-one-chunk": ([calls(call("{}", id="a", name="f"), call("[]", id="b", name="g", index=1))], [("a", "f", "{}"), ("b", "g", "[]")]),
    "later-index-first": ([calls(call("2", id="b", name="g", index=1)), calls(call("1", id="a", name="f"))], [("a", "f", "1"), ("b", "g", "2")]),
    "every-index-0": ([calls(call("1", id="a", name="f")), calls(call("2", id="b", name="f")), calls(call("3"))], [("a", "f", "1"), ("b", "f", "23")]),
    "every-index-0-back-to-the-first": ([calls(call("1", id="a", name="f")), calls(call("2", id="b", name="f")), calls(call("3", id="a"))], [("a", "f", "13"), ("b", "f", "2")]),
    "same-id-at-two-indices": ([calls(call("1", id="x", name="f"), call("2", id="x", name="g", index=1)), calls(call("3", id="x"))], [("x", "f", "13"), ("x", "g", "2")]),
    "id-and-name-on-every-piece": ([calls(call("1", id="a", name="f")), calls(call("2", id="a", name="f"))], [("a", "f", "12")]),
    "empty-id-on-later-pieces": ([calls(call("1", id="a", name="f")), calls(call("2", id="", name=""))], [("a", "f", "12")]),
    "id-comes-late": ([calls(call("1", name="f")), calls(call("2", id="a"))], [("a", "f", "12")]),
    "no-index": ([calls(call("1", id="a", name="f", index=None)), calls(call("2", id="b", name="g", index=None)), calls(call("3", id="a", index=None)), calls(call("4", index=None))], [("a", "f", "134"), ("b", "g", "2")]),
    "neither-index-nor-id": ([calls(call("1", name="f", index=None)), calls(call("2", index=None)), calls(call("3", name="f", index=None))], [(None, "f", "12"), (None, "f", "3")]),
    "nothing-but-arguments": ([calls(call("1", index=None))], [(None, None, "1")]),
    "flat": ([flat(tool_use=call("1", id="a", name="f")), flat(tool_use=call("2")), flat(tool_use=call("3", id="b", name="g", index=1))], [("a", "f", "12"), ("b", "g", "3")]),
    "no-arguments": ([calls(call(id="a", name="f"))], [("a", "f", "")]),
}  # fmt: skip


@pytest.mark.parametrize("chunks, expected", CALLS.values(), ids=CALLS)
def test_tool_calls_merge(chunks: list[Any], expected: list[Any]) -> None:
    assert called(*chunks) == expected


def test_a_tool_call_is_of_type_function_and_has_no_index() -> None:
    expected = build(ChatCompletionMessageToolCall, id="a", type="function", function=Function(name="f", arguments="{}"))
    assert message(calls(call("{}", id="a", name="f"))).tool_calls == [expected]


def test_a_custom_tools_input_is_joined() -> None:
    first = build(ChatCompletionDeltaToolCall, index=0, id="a", type="custom", custom={"name": "sh", "input": "l"})
    second = build(ChatCompletionDeltaToolCall, index=0, custom={"input": "s"})
    found = only_call(calls(first), calls(second))
    assert (found.type, found.custom, found.function) == ("custom", {"name": "sh", "input": "ls"}, None)


def test_no_tool_calls_are_none() -> None:
    assert message(delta(content="a", tool_calls=[])).tool_calls is None


def test_what_a_server_sent_beside_a_tool_call_stays_reachable() -> None:
    part = {"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}, "extra_content": {"signature": "s"}}
    data = msgspec.json.encode({"choices": [{"index": 0, "delta": {"tool_calls": [part]}}]})
    chunk = decode_chunk(data)
    found = only_call(chunk, calls(call(" ")))
    assert found["extra_content"] == {"signature": "s"}
    assert found.model_dump()["extra_content"] == {"signature": "s"}


def test_a_function_call_is_joined() -> None:
    pieces = [("f", ""), (None, '{"a"'), (None, ":1}")]
    chunks = [delta(function_call=build(DeltaFunction, name=name, arguments=arguments)) for name, arguments in pieces]
    assert message(*chunks).function_call == FunctionCall(name="f", arguments='{"a":1}')


FIELDS = {
    "role": ([{"role": "tool"}, {"role": None}], "tool"),
    "no-role": ([{"content": "a"}], "assistant"),
    "reasoning_content": ([{"reasoning_content": "a"}, {"reasoning_content": "b"}], "ab"),
    "reasoning": ([{"reasoning": "a"}, {"reasoning": "b"}], "ab"),
    "refusal": ([{"refusal": "I "}, {"refusal": "won't"}], "I won't"),
    "annotations": ([{"annotations": [1]}, {}, {"annotations": [2, 3]}], [1, 2, 3]),
    "images": ([{"images": [{"u": 1}]}, {"images": [{"u": 2}]}], [{"u": 1}, {"u": 2}]),
    "thinking_blocks": ([{"thinking_blocks": [{"t": 1}]}, {"thinking_blocks": [{"t": 2}]}], [{"t": 1}, {"t": 2}]),
    "audio": (
        [{"audio": {"id": "a", "data": "AA"}}, {"audio": {"data": "BB", "transcript": "x"}}, {"audio": {"transcript": "y", "expires_at": 9}}],
        {"id": "a", "data": "AABB", "transcript": "xy", "expires_at": 9},
    ),
    "provider_specific_fields": (
        [{"provider_specific_fields": {"a": 1, "b": [1]}}, {"provider_specific_fields": {"b": [2], "c": {"d": 1}}}],
        {"a": 1, "b": [2], "c": {"d": 1}},
    ),
}  # fmt: skip


@pytest.mark.parametrize("field", FIELDS)
def test_message_fields_merge(field: str) -> None:
    deltas, expected = FIELDS[field]
    name = {"no-role": "role", "reasoning": "reasoning_content"}.get(field, field)
    assert message(*(delta(**fields) for fields in deltas))[name] == expected


LOGPROBS = {
    "chat": (
        [{"content": [1], "refusal": None}, {"content": [2, 3], "refusal": None}],
        {"content": [1, 2, 3], "refusal": None},
    ),
    "chat-refusal": (
        [{"content": None, "refusal": [1]}, {"content": None, "refusal": [2]}],
        {"content": None, "refusal": [1, 2]},
    ),
    "text": (
        [
            {"tokens": ["a"], "token_logprobs": [-1.0], "top_logprobs": [{"a": -1.0}], "text_offset": [0]},
            {"tokens": ["b"], "token_logprobs": [None], "top_logprobs": [None], "text_offset": [1]},
        ],
        {"tokens": ["a", "b"], "token_logprobs": [-1.0, None], "top_logprobs": [{"a": -1.0}, None], "text_offset": [0, 1]},
    ),
    "list": ([[1], [2]], [1, 2]),
    "none": ([None], None),
}


@pytest.mark.parametrize("pieces, expected", LOGPROBS.values(), ids=LOGPROBS)
@pytest.mark.parametrize(
    "make",
    [lambda p: delta(logprobs=p), lambda p: flat("a", logprobs=p), lambda p: text("a", logprobs=p)],
    ids=["chat", "flat", "text"],
)
def test_logprobs_are_concatenated(make: Any, pieces: list[Any], expected: Any) -> None:
    assert whole(*(make(piece) for piece in pieces)).choices[0].logprobs == expected


def test_provider_specific_fields_stay_on_the_level_they_came_on() -> None:
    chunk = chat(
        from_fields(
            StreamingChoices,
            {
                "index": 0,
                "provider_specific_fields": {"b": 2},
                "delta": from_fields(Delta, {"provider_specific_fields": {"c": 3}}),
            },
        ),
        provider_specific_fields={"a": 1},
    )
    response = whole(chunk)
    found = [record.provider_specific_fields for record in (response, response.choices[0], response.choices[0].message)]
    assert found == [{"a": 1}, {"b": 2}, {"c": 3}]


@pytest.mark.parametrize(
    "chunk", [text("a", provider_specific_fields={"b": 2}), flat("a", provider_specific_fields={"b": 2})], ids=["text", "flat"]
)
def test_the_other_shapes_keep_theirs(chunk: Any) -> None:
    first = whole(chunk).choices[0]
    assert (first if isinstance(first, TextChoices) else first.message).provider_specific_fields == {"b": 2}


def test_no_event_is_decoded_a_second_time(monkeypatch: pytest.MonkeyPatch) -> None:
    data = b'{"choices": [{"index": 0, "delta": {"content": "a", "x": 1}, "y": 2}], "z": 3}'
    chunk = decode_chunk(data)
    chunk.choices[0].delta["x"]
    decode, decoded = _source._decode_json, []
    monkeypatch.setattr(_source, "_decode_json", lambda data: decoded.append(data) or decode(data))
    assert message(decode_chunk(data.replace(b', "x": 1', b""))).content == "a"
    assert decoded == []
    assert message(chunk)["x"] == 1
    assert decoded == [data]  # for what no struct names, once


def test_flat_chunks_bring_reasoning_and_head() -> None:
    response = whole(flat(reasoning_content="a"), flat(reasoning_content="b", id="i", model="m"), flat("c", id="j", model="n"))
    assert (response.id, response.model, response.created) == ("i", "m", None)
    assert response.choices[0].message.reasoning_content == "ab"


def test_the_head_comes_from_the_first_chunk_that_has_it() -> None:
    azure = chat(id="", created=0, model="")
    response = whole(
        azure,
        chat(id="a", created=5, model="m"),
        chat(id="b", created=6, model="n", system_fingerprint="fp", service_tier="flex"),
    )
    head = (response.id, response.created, response.model, response.system_fingerprint, response.service_tier)
    assert head == ("a", 5, "m", "fp", "flex")


def test_what_is_known_in_the_end_comes_from_the_last_chunk_that_has_it() -> None:
    response = whole(
        chat(choice(role="assistant"), service_tier="auto", system_fingerprint="fp 1"),
        delta(content="a"),
        chat(choice(finish_reason="stop"), service_tier="default", system_fingerprint="fp 2"),
        chat(usage=Usage(total_tokens=1)),
    )
    assert (response.service_tier, response.system_fingerprint) == ("default", "fp 2")


def test_fields_that_no_struct_names_are_the_whole_s_too() -> None:
    last = ModelResponseStream(choices=[choice(finish_reason="stop")], citations=["a", "b"], filters=None)  # type: ignore[call-arg]
    first = ModelResponseStream(choices=[], citations=["a"], filters={}, obfuscation="xyz")  # type: ignore[call-arg]
    counted = ModelResponseStream(choices=[], usage=Usage(total_tokens=1), timings=[5])  # type: ignore[call-arg]
    response = whole(first, delta(content="y"), last, counted)
    assert (response.citations, response["filters"], response.timings) == (["a", "b"], {}, [5])
    assert "obfuscation" not in response  # the padding of one event
    assert response.model_dump()["citations"] == ["a", "b"]
    assert not hasattr(whole(delta(content="y")), "citations")


def test_the_last_usage_counts() -> None:
    assembler = assembled([flat("a", usage=Usage(total_tokens=1)), flat("b", usage=Usage(total_tokens=2)), flat("c")])
    response: Any = assembler.response()
    assert assembler.usage == response.usage == Usage(total_tokens=2)


def test_a_response_can_be_had_in_the_middle_and_again() -> None:
    assembler = Assembler()
    seen = []
    chunks = [
        calls(call("1", id="a", name="f")),
        delta(content="x", annotations=[1]),
        calls(call("2")),
        delta(content="y", annotations=[2]),
    ]
    for chunk in chunks:
        assembler.add(chunk)
        assert assembler.response() == assembler.response()
        seen.append(assembler.response())
    assert [(r.choices[0].message.content, r.choices[0].message.tool_calls[0].function.arguments) for r in seen] == [
        (None, "1"), ("x", "1"), ("x", "12"), ("xy", "12")
    ]  # fmt: skip
    assert [r.choices[0].message.annotations for r in seen] == [None, [1], [1], [1, 2]]


def rich_stream() -> list[Any]:
    return [
        delta(role="assistant", content="a", reasoning_content="r", audio={"data": "A"}, annotations=[1], logprobs={"content": [1]}),
        calls(call("1", id="a", name="f")),
        delta(content="b", provider_specific_fields={"k": [1]}, audio={"data": "B"}, annotations=[2], logprobs={"content": [2]}),
        chat(choice(1, "stop", content="z"), choice(0, "tool_calls"), usage=Usage(total_tokens=3)),
    ]  # fmt: skip


def test_chunks_are_never_changed_nor_shared() -> None:
    chunks = rich_stream()
    before = copy.deepcopy(chunks)
    assembler = assembled(chunks)
    response: Any = assembler.response()
    first = response.choices[0]
    first.message.annotations.append("mine")
    first.message.provider_specific_fields["mine"] = 1
    first.message.audio["data"] += "mine"
    first.logprobs["content"].append("mine")
    first.message.tool_calls.clear()
    assert chunks == before
    assert assembler.response() == assembled(before).response()


def test_a_response_pickles() -> None:
    response = whole(*rich_stream())
    assert pickle.loads(pickle.dumps(response)) == response


@pytest.mark.parametrize("count", [1_000, 4_000])
def test_tool_arguments_are_joined_once(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # Linear by structure: adding a piece appends one reference and copies no text; each asking joins each list once.
    assembler = assembled([calls(call("x" * 10, id="a", name="f"))])
    pieces = ["y" * 10 for _ in range(count)]
    for piece in pieces:
        assembler.add(calls(call(piece)))
    (state,) = assembler._choices[0].calls._calls.values()  # type: ignore[union-attr]
    arguments = state.fields["function"]["arguments"]
    assert all(kept is piece for kept, piece in zip(arguments[1:], pieces, strict=True))
    assert len(assembler._choices[0].calls._known) <= 4  # type: ignore[union-attr]
    assert called_length(assembler) == 10 * (count + 1)
    assert len(arguments) == count + 1, "asking must not disturb what was collected"


def called_length(assembler: Assembler) -> int:
    response: Any = assembler.response()
    return len(response.choices[0].message.tool_calls[0].function.arguments)


@pytest.mark.parametrize("field", ["reasoning_content", "refusal"])
def test_text_fields_are_collected_in_pieces_too(field: str) -> None:
    assembler = assembled([delta(**{field: "ab"}) for _ in range(1000)])
    assert type(assembler._choices[0].message[field]) is Pieces
    assert len(assembler._choices[0].message[field]) == 1000


def test_the_builder_takes_structs() -> None:
    assert stream_chunk_builder(rich_stream()) == whole(*rich_stream())
    assert stream_chunk_builder(iter(rich_stream()), messages=[{"role": "user", "content": "q"}]) == whole(*rich_stream())


def test_the_builder_makes_nothing_of_nothing() -> None:
    assert stream_chunk_builder([]) is None


def test_the_builder_takes_dicts() -> None:
    dumped = [chunk.model_dump() for chunk in rich_stream()]
    for number, fields in enumerate(dumped):
        fields.update(id=f"c{number}", created=5)
    response: Any = stream_chunk_builder(dumped)
    assert (response.id, response.created) == ("c0", 5)
    assert response.choices == whole(*rich_stream()).choices


@pytest.mark.parametrize(
    "chunk, cls",
    [
        pytest.param({"text": "a", "is_finished": True, "finish_reason": "stop", "usage": None}, ModelResponse, id="flat"),
        pytest.param({"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}]}, ModelResponse, id="chat"),
        pytest.param({"choices": [{"index": 0, "text": "a", "finish_reason": "stop"}]}, TextCompletionResponse, id="text"),
        pytest.param({"object": "text_completion", "choices": []}, TextCompletionResponse, id="text-without-choices"),
        pytest.param(
            {"choices": [TextChoices(text="a", finish_reason="stop")]}, TextCompletionResponse, id="text-with-structs"
        ),
    ],
)
def test_the_builder_knows_dicts_by_their_fields(chunk: dict[str, Any], cls: type[Any]) -> None:
    response: Any = stream_chunk_builder([chunk])
    assert type(response) is cls
    for choice in response.choices:
        assert (choice.text if cls is TextCompletionResponse else choice.message.content) == "a"
        assert choice.finish_reason == "stop"


@pytest.mark.parametrize(
    "chunks, where",
    [
        (None, "chunks must be"), (5, "chunks must be"), ("ab", "chunks must be"), ({"choices": []}, "chunks must be"),
        (ModelResponse(), "chunks must be"), ([5], r"chunks\[0\]"), ([None, "a"], r"chunks\[1\]"), ([{}], r"chunks\[0\]"),
        ([{"choices": 5}], r"chunks\[0\]"), ([{"choices": [5]}], r"chunks\[0\]"), ([{"choices": [{"delta": 5}]}], r"chunks\[0\]"),
        ([{"choices": [{"delta": {"tool_calls": [5]}}]}], r"chunks\[0\]"), ([b"{}"], r"chunks\[0\]"),
        ([{"choices": [{"delta": {"content": ["a"]}}]}], r"chunks\[0\]"), ([{"text": ["a"]}], r"chunks\[0\]"),
    ],
)  # fmt: skip
def test_what_is_no_list_of_chunks_is_refused(chunks: Any, where: str) -> None:
    with pytest.raises(BadRequestError, match=where) as caught:
        stream_chunk_builder(chunks)
    assert (caught.value.fault, caught.value.param) == ("caller", "chunks")


def test_pieces_in_litellm_s_older_shape_are_chunks_too() -> None:
    pieces: list[Any] = [ModelResponse(choices=[{"delta": {"content": text}}], stream=True) for text in ("a", "b")]  # type: ignore[list-item]
    response: Any = stream_chunk_builder([*pieces, None])
    assert response.choices[0].message.content == "ab"
    response = stream_chunk_builder([ModelResponse(choices=[{"message": {"content": "a"}}])])  # type: ignore[list-item]
    assert (response.choices[0].message.content, response.choices[0].finish_reason) == ("a", "stop")


def test_text_beside_an_empty_delta_is_text() -> None:
    pieces: list[Any] = [{"choices": [{"delta": {"role": "assistant"}, "message": {"content": text}}]} for text in ("a", "b")]
    response: Any = stream_chunk_builder([*pieces, {"choices": [{"delta": {"content": "c"}, "message": {"content": "abc"}}]}])
    assert response.choices[0].message.content == "abc"


# A completion, cut into chunks in every way there is, comes back whole.

Draw: TypeAlias = Callable[[st.SearchStrategy[Any]], Any]
REASONS = st.sampled_from(["stop", "length", "tool_calls", "content_filter"])


@st.composite
def completions(draw: st.DrawFn) -> ModelResponse:
    choices = [draw(choices_of(index)) for index in range(draw(st.integers(1, 3)))]
    return build(ModelResponse, id="c1", created=5, model="m", choices=choices)


@st.composite
def choices_of(draw: st.DrawFn, index: int) -> Choices:
    function_calls = draw(st.lists(st.tuples(st.text("fgh", min_size=1), st.text(max_size=12)), max_size=3))
    tool_calls = [
        build(ChatCompletionMessageToolCall, id=f"call{number}", function=build(Function, name=name, arguments=arguments))
        for number, (name, arguments) in enumerate(function_calls)
    ]
    content = draw(st.none() | st.text(min_size=1, max_size=12))
    reasoning = draw(st.none() | st.text(min_size=1, max_size=12))
    found = from_fields(Message, {"content": content, "reasoning_content": reasoning, "tool_calls": tool_calls or None})
    return build(Choices, index=index, finish_reason=draw(st.none() | REASONS), message=found)


def cut(draw: Draw, value: str) -> list[str]:
    places = sorted(draw(st.lists(st.integers(0, len(value)), max_size=4)))
    return [value[start:end] for start, end in zip([0, *places], [*places, len(value)], strict=True)]


def pieces_of(draw: Draw, source: Choices) -> list[tuple[str, Any]]:
    """What the choice is sent as: (field, piece), tool calls' arguments shuffled among each other."""
    found = source.message
    pieces: list[tuple[str, Any]] = []
    for field, value in (("reasoning_content", found.reasoning_content), ("content", found.content)):
        pieces += [(field, piece) for piece in cut(draw, value)] if value is not None else []
    queues = []
    for index, whole_call in enumerate(found.tool_calls or ()):
        assert whole_call.function is not None
        start = call(index=index, id=whole_call.id, name=whole_call.function.name)
        rest = [call(piece, index=index) for piece in cut(draw, whole_call.function.arguments)]
        queues.append([start, *rest])
    pieces += [("tool_call", part) for part in merged(draw, queues)]
    return pieces


def merged(draw: Draw, queues: list[list[Any]]) -> list[Any]:
    """The queues' items in any order that keeps each queue's own."""
    order = draw(st.permutations([number for number, queue in enumerate(queues) for _ in queue]))
    iterators = [iter(queue) for queue in queues]
    return [next(iterators[number]) for number in order]


def chat_choice(index: int, piece: tuple[str, Any] | None, reason: str | None = None) -> StreamingChoices:
    if piece is None:
        return choice(index, reason)
    field, value = piece
    return choice(index, reason, **({"tool_calls": [value]} if field == "tool_call" else {field: value}))


def flat_chunk(index: int, piece: tuple[str, Any] | None, reason: str | None = None) -> GenericStreamingChunk:
    name = {"content": "text", "tool_call": "tool_use", "reasoning_content": "reasoning_content"}
    fields = {} if piece is None else {name[piece[0]]: piece[1]}
    return build(
        GenericStreamingChunk, index=index, finish_reason=reason or "", is_finished=bool(reason), id="c1", model="m", **fields
    )


def queues_of(draw: Draw, completion: ModelResponse, make: Any) -> list[list[Any]]:
    queues = []
    for source in completion.choices:
        pieces = [None, *pieces_of(draw, source)]
        queue = [make(source.index, piece) for piece in pieces]
        queues.append([*queue, make(source.index, None, source.finish_reason)] if source.finish_reason else queue)
    return queues


@given(st.data())
def test_a_completion_cut_into_chat_chunks_comes_back(data: st.DataObject) -> None:
    completion = data.draw(completions())
    items = merged(data.draw, queues_of(data.draw, completion, chat_choice))
    chunks = []
    while items:  # one chunk carries any number of neighbouring choices
        taken = data.draw(st.integers(1, 3))
        chunks.append(chat(*items[:taken], id="c1", created=5, model="m"))
        items = items[taken:]
    assembler = assembled(chunks)
    assert assembler.response() == completion
    assert assembler.response() == completion
    assert assembler.is_complete() == all(choice.finish_reason for choice in completion.choices)


@given(st.data())
def test_a_completion_cut_into_flat_chunks_comes_back(data: st.DataObject) -> None:
    completion = data.draw(completions())
    completion.created = None  # flat chunks have none
    response = whole(*merged(data.draw, queues_of(data.draw, completion, flat_chunk)))
    assert response == completion


@given(st.data(), st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=3))
def test_a_text_completion_cut_into_chunks_comes_back(data: st.DataObject, texts: list[str]) -> None:
    queues = [[text(piece, index) for piece in cut(data.draw, value)] for index, value in enumerate(texts)]
    response = whole(*merged(data.draw, queues))
    assert [(choice.index, choice.text) for choice in response.choices] == list(enumerate(texts))


# Usage of several choices.


def counted(completion_tokens: int, **fields: Any) -> ModelResponseStream:
    total = 10 + completion_tokens
    usage = Usage(prompt_tokens=10, completion_tokens=completion_tokens, total_tokens=total)
    return ModelResponseStream(choices=fields.pop("choices", []), usage=usage, **fields)


def said(index: int, content: str, reason: str | None = None) -> ModelResponseStream:
    return ModelResponseStream(choices=[StreamingChoices(index=index, delta=Delta(content=content), finish_reason=reason)])


def usage_of(*chunks: ModelResponseStream) -> tuple[int, int, int]:
    response: Any = stream_chunk_builder(chunks)
    return response.usage.prompt_tokens, response.usage.completion_tokens, response.usage.total_tokens


def ending(index: int) -> ModelResponseStream:
    return said(index, "", "stop")


def test_usage_that_counts_each_choice_by_itself_is_added_up() -> None:
    begun = said(0, "a"), said(1, "b")
    assert usage_of(*begun, ending(0), counted(4), said(1, "c"), ending(1), counted(5)) == (10, 9, 19)
    assert usage_of(*begun, ending(0), ending(1), counted(4), counted(5)) == (10, 9, 19)


def test_usage_is_the_last_one_anywhere_else() -> None:
    begun = said(0, "a"), said(1, "b")
    ended = ending(0), ending(1)
    assert usage_of(*begun, *ended, counted(9)) == (10, 9, 19)
    assert usage_of(said(0, "a"), ending(0), counted(4), counted(5)) == (10, 5, 15)
    assert usage_of(*begun, *ended, counted(4), counted(5), counted(9)) == (10, 9, 19)
    running = [counted(number, choices=said(number % 2, "a").choices) for number in range(1, 5)]
    assert usage_of(*running, *ended) == (10, 4, 14)
