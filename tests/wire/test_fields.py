"""Every field of every struct of a chunk, and fields that nobody names, are found again: in the chunks and in the answer."""

from typing import Any

import msgspec
import pytest

from tokenwire.types import (
    ChatCompletionDeltaToolCall,
    Delta,
    DeltaFunction,
    GenericStreamingChunk,
    Message,
    ModelResponse,
    ModelResponseStream,
    StreamingChoices,
    TextChoices,
    TextCompletionResponse,
)
from tokenwire.types._record import Record, public_names
from tokenwire.wire.chunks import ChunkDecoder, has_content
from tokenwire.wire.fields import CHOICE, HEAD, MESSAGE, Field, plain_choice

# A value for each field of the wire; a field without one fails `test_each_field_is_tried`.
DELTA: dict[str, Any] = {
    "content": "text",
    "role": "tool",
    "function_call": {"name": "f", "arguments": "{}"},
    "tool_calls": [{"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    "audio": {"id": "a", "data": "AA"},
    "images": [{"url": "u"}],
    "reasoning_content": "hm",
    "reasoning": "hm",
    "thinking_blocks": [{"thinking": "hm"}],
    "reasoning_items": [{"id": "r"}],
    "annotations": [{"url": "u"}],
    "refusal": "no",
    "provider_specific_fields": {"p": 1},
    "x_unknown": {"x": [1]},
}
CHOICE_FIELDS: dict[str, Any] = {
    "finish_reason": "length",
    "index": 0,
    "logprobs": {"content": [{"token": "a"}]},
    "provider_specific_fields": {"p": 2},
    "x_unknown": "of the choice",
}
HEAD_FIELDS: dict[str, Any] = {
    "id": "c-7",
    "created": 7,
    "model": "its",
    "object": "other.object",
    "system_fingerprint": "fp",
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
    "service_tier": "flex",
    "provider_specific_fields": {"p": 3},
    "x_unknown": "of the whole",
}
NESTED = {"delta", "choices", "error"}  # what holds others, and what is in the place of an answer

SHAPES = [ModelResponseStream, GenericStreamingChunk]
each_shape = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
each_start = pytest.mark.parametrize("started", [False, True], ids=["first", "later"])


def event(delta: dict[str, Any], choice: dict[str, Any] | None = None, **head: Any) -> bytes:
    return msgspec.json.encode({"id": "c", "model": "m", "choices": [{"index": 0, "delta": delta, **(choice or {})}], **head})


def streamed(shape: Any, data: bytes, *, started: bool = True) -> tuple[list[Any], Any]:
    """What an event gives, and the whole answer; the event is the first, or comes after one and in a read with others."""
    decoder = ChunkDecoder(shape, text=False, model="m")
    if started:
        decoder.decode([event({"content": ""})])
    chunks = decoder.decode([data])
    assert decoder.error is None
    return chunks, decoder.assembler.response()


def whole(shape: Any, data: bytes) -> tuple[list[Any], Any]:
    decoder = ChunkDecoder(shape, text=False, model="m")
    return decoder.decode_document(data), decoder.assembler.response()


def plainly(value: Any) -> Any:
    """Records as dicts, without what is not set."""
    if isinstance(value, Record):
        value = value.model_dump(exclude_none=True)
    return [plainly(item) for item in value] if isinstance(value, list) else value


def holds(found: Any, expected: Any) -> bool:
    """Whether `found` has all that was sent; a record may have more."""
    found = plainly(found)
    if isinstance(expected, dict) and isinstance(found, dict):
        return all(name in found and holds(found[name], value) for name, value in expected.items())
    if isinstance(expected, list) and isinstance(found, list):
        return len(found) == len(expected) and all(map(holds, found, expected))
    return found == expected


def found_in_message(message: Message, name: str, expected: Any) -> bool:
    name = {"reasoning": "reasoning_content"}.get(name, name)
    if name == "tool_calls":  # the whole call has no index
        expected = [{key: value for key, value in call.items() if key != "index"} for call in expected]
    return holds(message[name], expected) and (name in message.model_dump())


def found_flat(chunk: GenericStreamingChunk, name: str, expected: Any) -> bool:
    places = {"content": "text", "reasoning_content": "reasoning_content", "reasoning": "reasoning_content"}
    if name in places:
        return chunk[places[name]] == expected
    if name == "tool_calls":
        return holds(chunk.tool_use, expected[0])
    if name == "provider_specific_fields":
        return chunk.provider_specific_fields == expected
    return name == "role" or (chunk.provider_specific_fields or {}).get(name) == expected == chunk[name]


@pytest.mark.parametrize(
    "cls, table, values",
    [(Delta, MESSAGE, DELTA), (StreamingChoices, CHOICE, CHOICE_FIELDS), (ModelResponseStream, HEAD, HEAD_FIELDS)],
)
def test_each_field_has_a_row_and_is_tried(cls: Any, table: tuple[Field, ...], values: dict[str, Any]) -> None:
    fields = set(cls.__struct_encode_fields__)
    assert {row.name for row in table} == fields
    assert len(table) == len(fields)
    assert fields - NESTED == values.keys() - {"x_unknown"}


def test_a_message_has_what_a_delta_has() -> None:
    assert set(Message.__struct_encode_fields__) == set(Delta.__struct_encode_fields__)


@each_start
@each_shape
@pytest.mark.parametrize("name", DELTA)
def test_a_delta_s_field(name: str, shape: Any, started: bool) -> None:
    chunks, response = streamed(shape, event({name: DELTA[name]}), started=started)
    assert found_in_message(response.choices[0].message, name, DELTA[name])
    if shape is GenericStreamingChunk:
        assert any(found_flat(chunk, name, DELTA[name]) for chunk in chunks)
    else:
        assert holds(
            chunks[0].choices[0].delta[name.replace("reasoning", "reasoning_content") if name == "reasoning" else name],
            DELTA[name],
        )


@each_shape
@pytest.mark.parametrize("name", sorted(DELTA.keys() - {"role"}))  # the first chunk has that, if any has
def test_a_delta_s_field_beside_text(name: str, shape: Any) -> None:
    chunks, response = streamed(shape, event({"content": "text", name: DELTA[name]}))
    assert found_in_message(response.choices[0].message, name, DELTA[name])
    assert response.choices[0].message.content == "text"
    if shape is GenericStreamingChunk:
        assert any(found_flat(chunk, name, DELTA[name]) for chunk in chunks)


@pytest.mark.parametrize("name", DELTA)
def test_a_delta_s_field_in_a_text_completion(name: str) -> None:
    chunks, response = streamed(TextCompletionResponse, event({"content": "text", name: DELTA[name]}))
    assert chunks[0].choices[0].text == response.choices[0].text == "text"
    assert b"text" in chunks[0].raw


@each_shape
@pytest.mark.parametrize("name", DELTA)
def test_a_message_s_field_where_a_stream_was_asked_for(name: str, shape: Any) -> None:
    message = {"role": "assistant", name: DELTA[name]}
    data = msgspec.json.encode({"id": "c", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
    chunks, response = whole(shape, data)
    assert found_in_message(response.choices[0].message, name, DELTA[name])
    if shape is GenericStreamingChunk:
        assert any(found_flat(chunk, name, DELTA[name]) for chunk in chunks)
    else:
        delta = chunks[0].choices[0].delta
        assert holds(delta["reasoning_content" if name == "reasoning" else name], DELTA[name])


@pytest.mark.parametrize("name", DELTA)
def test_a_handlers_delta_s_field_on_a_flat_chunk(name: str) -> None:
    """There are no bytes behind it in which a leftover could be found."""
    from tokenwire.wire.convert import Converter

    fields: Any = {name: DELTA[name]}
    chunk = ModelResponseStream(choices=[StreamingChoices(delta=Delta(**fields))])
    chunks = Converter(GenericStreamingChunk, "m").convert(chunk)
    if name == "function_call":  # a record, as the handler gave it
        assert holds(chunks[0].provider_specific_fields["function_call"], DELTA[name])
    else:
        assert any(found_flat(piece, name, DELTA[name]) for piece in chunks)


@each_shape
@pytest.mark.parametrize("name", CHOICE_FIELDS)
def test_a_choice_s_field(name: str, shape: Any) -> None:
    chunks, response = streamed(shape, event({"content": "a"}, {"finish_reason": "stop", name: CHOICE_FIELDS[name]}))
    assert holds(response.choices[0][name], CHOICE_FIELDS[name])
    if shape is ModelResponseStream:
        assert holds(chunks[0].choices[0][name], CHOICE_FIELDS[name])
    elif name in GenericStreamingChunk.__struct_encode_fields__ and name != "provider_specific_fields":
        assert holds(chunks[0][name], CHOICE_FIELDS[name])
    data = msgspec.json.encode(
        {"id": "c", "choices": [{"index": 0, "message": {"content": "a"}, "finish_reason": "stop", name: CHOICE_FIELDS[name]}]}
    )
    chunks, response = whole(shape, data)
    assert holds(response.choices[0][name], CHOICE_FIELDS[name])


@each_shape
@pytest.mark.parametrize("name", HEAD_FIELDS)
def test_a_chunk_s_field(name: str, shape: Any) -> None:
    head = {"id": None, "model": None, name: HEAD_FIELDS[name]}
    chunks, response = streamed(shape, event({"content": "a"}, {"finish_reason": "stop"}, **head), started=False)
    if name != "object":  # a whole has one of its own
        assert holds(response[name], HEAD_FIELDS[name])
    if shape is ModelResponseStream:
        assert holds(chunks[0][name], HEAD_FIELDS[name])
    choice = {"index": 0, "message": {"content": "a"}, "finish_reason": "stop"}
    chunks, response = whole(shape, msgspec.json.encode({"choices": [choice], **head}))
    if name != "object":
        assert holds(response[name], HEAD_FIELDS[name])


@pytest.mark.parametrize("cls, place", [(TextChoices, "choice"), (TextCompletionResponse, "head")])
@pytest.mark.parametrize("shape", [TextCompletionResponse, ModelResponseStream, GenericStreamingChunk])
def test_a_text_completion_s_fields(cls: Any, place: str, shape: Any) -> None:
    values = {**CHOICE_FIELDS, "text": "a"} if place == "choice" else HEAD_FIELDS
    tried = [name for name in (*public_names(cls), "x_unknown") if name not in ("choices", "object", "service_tier")]
    for name in tried:
        choice = {"index": 0, "text": "a", "finish_reason": "stop", **({name: values[name]} if place == "choice" else {})}
        data = msgspec.json.encode({"choices": [choice], **({name: values[name]} if place == "head" else {})})
        decoder = ChunkDecoder(shape, text=True, model="m")
        chunks = decoder.decode([data])
        response: Any = decoder.assembler.response()
        if name != "text":
            assert holds((response.choices[0] if place == "choice" else response)[name], values[name])
        assert all(chunk.raw == data for chunk in chunks)


def test_a_tool_call_s_unknown_fields() -> None:
    assert {"index", "id", "type", "function", "custom"} == set(ChatCompletionDeltaToolCall.__struct_encode_fields__)
    assert {"name", "arguments"} == set(DeltaFunction.__struct_encode_fields__)
    call = {"index": 0, "id": "a", "x": {"s": "1"}, "function": {"name": "f", "arguments": "{}", "y": "2"}}
    more = {"index": 0, "x": {"s": "3"}, "function": {"arguments": "", "y": "4"}, "custom": {"input": "i"}}
    decoder: Any = ChunkDecoder(ModelResponseStream, text=False, model="m")
    (first,) = decoder.decode([event({"tool_calls": [call]})])
    decoder.decode([event({"tool_calls": [more]})])
    assert (first.choices[0].delta.tool_calls[0]["x"], first.choices[0].delta.tool_calls[0].function["y"]) == ({"s": "1"}, "2")
    response = decoder.assembler.response()
    (found,) = response.choices[0].message.tool_calls
    assert (found.x, found.function.y, found.custom) == ({"s": "13"}, "24", {"input": "i"})
    message = {"tool_calls": [call]}
    _, response = whole(ModelResponseStream, msgspec.json.encode({"choices": [{"message": message, "finish_reason": "stop"}]}))
    (found,) = response.choices[0].message.tool_calls
    assert (found.x, found.function.y) == ({"s": "1"}, "2")


# How what nobody names grows.

GROWING: dict[str, tuple[list[Any], Any]] = {
    "text": (["a", "b"], "ab"),
    "numbers": ([1, 2], 2),
    "null": ([{"a": 1}, None], {"a": 1}),
    "lists": ([[1], [2, 3]], [1, 2, 3]),
    "items-by-index": (
        [[{"index": 0, "type": "t", "text": "a"}], [{"index": 1, "text": "x"}, {"index": 0, "type": "t", "text": "b"}]],
        [{"index": 0, "type": "t", "text": "ab"}, {"index": 1, "text": "x"}],
    ),
    "objects": ([{"a": "1", "b": [1], "c": {"d": 1}}, {"a": "2", "b": [2], "c": {"e": 2}}], {"a": "12", "b": [1, 2], "c": {"e": 2}}),
    "names": ([{"type": "t", "id": "i"}, {"type": "t", "id": "i"}], {"type": "t", "id": "i"}),
    "a-change-of-mind": (["a", [1], {"b": 2}, 3], 3),
}  # fmt: skip


@each_shape
@pytest.mark.parametrize("beside", [{}, {"content": "c"}, {"reasoning_content": "r"}], ids=["alone", "text", "reasoning"])
@pytest.mark.parametrize("pieces, expected", GROWING.values(), ids=GROWING)
def test_how_an_unknown_field_grows(pieces: list[Any], expected: Any, beside: dict[str, Any], shape: Any) -> None:
    decoder = ChunkDecoder(shape, text=False, model="m")
    decoder.decode([event({"role": "assistant", "content": ""})])
    decoder.decode([event({**beside, "x": piece}) for piece in pieces])
    for _ in range(2):  # asking changes nothing
        response: Any = decoder.assembler.response()
        message = response.choices[0].message
        assert message.x == message["x"] == message.model_dump()["x"] == expected
        assert message.provider_specific_fields == {"x": expected}


def test_padding_is_of_the_event_alone() -> None:
    chunks, response = streamed(ModelResponseStream, event({"content": "a", "padding": "xyz"}, obfuscation="zyx"))
    assert (chunks[0].choices[0].delta["padding"], chunks[0]["obfuscation"]) == ("xyz", "zyx")
    assert "padding" not in response.choices[0].message
    assert "obfuscation" not in response


def test_unknown_fields_in_a_read_full_of_text() -> None:
    """A template is made before and after the one that differs."""
    texts: list[Any] = [event({"content": str(number)}) for number in range(20)]
    for position in range(0, 20, 5):
        decoder = ChunkDecoder(ModelResponseStream, text=False, model="m")
        decoder.decode([event({"content": ""})])
        decoder.decode(texts)
        decoder.decode([*texts[:position], event({"content": "!", "x": "a"}), *texts[position:]])
        decoder.decode([*texts, event({"content": "!", "x": "b"})])
        response: Any = decoder.assembler.response()
        assert response.choices[0].message.x == "ab"
        assert response.choices[0].message.content.count("!") == 2


def test_a_choice_s_unknown_fields_in_a_read_full_of_text(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder: Any = ChunkDecoder(ModelResponseStream, text=False, model="m")
    texts = [event({"content": str(number)}, {"x": 7}) for number in range(20)]
    decoder.decode([event({"content": ""})])
    decoder.decode(texts)
    monkeypatch.setattr("tokenwire.wire.chunks._decode_chat", lambda _: pytest.fail("decoded by itself"))
    chunks = decoder.decode(texts)
    assert [(part.choices[0]["x"], part.choices[0].provider_specific_fields) for part in chunks] == [(7, {"x": 7})] * 20
    assert [part.choices[0].delta.provider_specific_fields for part in chunks] == [None] * 20


def test_a_handlers_own_unknown_keywords_reach_the_message() -> None:
    from tokenwire.wire.assemble import Assembler

    assembler = Assembler()
    for piece in ("a", "b"):
        delta: Any = {"content": piece, "x": piece}
        assembler.add(ModelResponseStream(choices=[StreamingChoices(delta=Delta(**delta))]))
        flat: Any = {"text": piece, "y": piece, "refusal": piece}
        assembler.add(GenericStreamingChunk(**flat))
    response: Any = assembler.response()
    message = response.choices[0].message
    assert (message.content, message.x, message.y, message.refusal) == ("aabb", "ab", "ab", "ab")


def test_flat_chunks_of_an_endpoint_handed_on_by_a_handler() -> None:
    from tokenwire.wire.assemble import Assembler

    chunks, _ = streamed(GenericStreamingChunk, event({"refusal": "no", "function_call": {"name": "f"}, "x": "1"}))
    assembler = Assembler(ModelResponse)
    for chunk in chunks:
        assembler.add(chunk)
    response: Any = assembler.response()
    message = response.choices[0].message
    assert (message.refusal, message.function_call.name, message.x) == ("no", "f", "1")


# The generated predicate.


@pytest.mark.parametrize("row", [*MESSAGE, *CHOICE, *HEAD], ids=lambda row: row.name)
def test_only_plain_rows_are_plain(row: Field) -> None:
    if row.name in NESTED - {"error"} or row.name == "index":
        return
    values = {**HEAD_FIELDS, "error": {"message": "no"}} if row in HEAD else CHOICE_FIELDS if row in CHOICE else DELTA
    part = {row.name: values[row.name]}
    data = event(part if row in MESSAGE else {}, part if row in CHOICE else {}, **(part if row in HEAD else {}))
    chunk = msgspec.json.decode(data, type=ModelResponseStream)
    assert (plain_choice(chunk, data) is not None) == row.is_plain
    assert not (row.is_plain and row.is_content and not has_content(chunk))


@each_shape
@pytest.mark.parametrize("count", [1, 20], ids=["alone", "in-a-read-full"])
@pytest.mark.parametrize("row", [*MESSAGE, *CHOICE, *HEAD], ids=lambda row: row.name)
def test_null_is_no_value_and_goes_back_as_it_came(row: Field, count: int, shape: Any) -> None:
    if row.is_plain:
        return
    part = {row.name: None}
    beside = {"content": "a", **(part if row in MESSAGE else {})}
    data = event(beside, part if row in CHOICE else {}, **(part if row in HEAD else {}))
    assert plain_choice(msgspec.json.decode(data, type=ModelResponseStream), data) is not None
    decoder: Any = ChunkDecoder(shape, text=False, model="m")
    for _ in range(3):
        chunks = decoder.decode([data] * count)
        assert len(chunks) == count
        assert all(chunk.raw == data for chunk in chunks)
        if shape is ModelResponseStream:
            expected = msgspec.json.encode(msgspec.json.decode(data, type=ModelResponseStream))
            assert {msgspec.json.encode(chunk) for chunk in chunks} == {expected}
            assert f'"{row.name}":null'.encode() in expected
    assert decoder.error is None
    message = decoder.assembler.response().choices[0].message
    assert (message.content, message.reasoning_content) == ("a" * 3 * count, None)


@pytest.mark.parametrize("index, choices, plain", [(0, 1, True), (1, 1, False), (None, 1, False), (0, 2, False), (0, 0, False)])
def test_a_plain_chunk_has_one_choice_which_is_the_first(index: int | None, choices: int, plain: bool) -> None:
    data = msgspec.json.encode({"choices": [{"index": index, "delta": {"content": "a"}}] * choices})
    assert (plain_choice(msgspec.json.decode(data, type=ModelResponseStream), data) is not None) == plain


@pytest.mark.parametrize("row", MESSAGE, ids=lambda row: row.name)
def test_content_rows_are_content(row: Field) -> None:
    chunks, _ = streamed(ModelResponseStream, event({row.name: DELTA[row.name]}))
    assert has_content(chunks[0]) == (row.is_content or row.name == "reasoning")
