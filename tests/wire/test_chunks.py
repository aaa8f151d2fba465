"""Events to chunks: the hot path against the long way round, and what each event comes to."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings, strategies as st

from tokenwire.exceptions import APIError, APIResponseValidationError, InternalServerError, RateLimitError
from tokenwire.types import (
    EmbeddingResponse,
    GenericStreamingChunk,
    ImageResponse,
    ModelList,
    ModelResponse,
    ModelResponseStream,
    TextCompletionResponse,
)
from tokenwire.types._record import build, from_fields
from tokenwire.types.chat import ChatCompletionDeltaToolCall, Delta, StreamingChoices
from tokenwire.types.text import TextChoices
from tokenwire.wire.bodies import decode_body
from tokenwire.wire.chunks import ChunkDecoder, has_content
from tokenwire.wire.convert import Chunk, Shape
from tokenwire.wire.errors import SHOWN_BYTES, malformed
from tokenwire.wire.sse import Event

encode = msgspec.json.encode

HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1700000000, "model": "test-model"}
SHAPES = [ModelResponseStream, GenericStreamingChunk, TextCompletionResponse]

each_shape = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)


class LongWayRound(ChunkDecoder):
    """A decoder without a hot path."""

    def decode(self, events: list[bytes | Event]) -> list[Chunk]:
        return self._decode_each(events)


def decoder(shape: Shape = ModelResponseStream, *, text: bool = False, cls: type[ChunkDecoder] = ChunkDecoder) -> Any:
    return cls(shape, text=text, model="m")


def chunk(*choices: dict[str, Any], **fields: Any) -> bytes:
    return encode({**HEAD, "choices": list(choices), **fields})


def piece(content: Any = None, **fields: Any) -> dict[str, Any]:
    delta = {} if content is None else {"content": content}
    return {"index": 0, "delta": delta, "finish_reason": None, **fields}


def text_chunk(text: str, finish_reason: str | None = None, index: int = 0) -> bytes:
    choice = {"index": index, "text": text, "finish_reason": finish_reason, "logprobs": None}
    return encode({"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m", "choices": [choice]})


def seen(chunks: list[Any]) -> list[Any]:
    """Everything a caller can see of chunks, the lazy fields and the bytes included."""
    return [(type(part), part.raw, part.model_dump(), part.provider_specific_fields, _below(part)) for part in chunks]


def _below(part: Any) -> Any:
    choices = getattr(part, "choices", ())
    deltas = [getattr(choice, "delta", choice) for choice in choices]
    return [
        (choice.provider_specific_fields, delta.provider_specific_fields) for choice, delta in zip(choices, deltas, strict=True)
    ]


def told(error: APIError | None) -> Any:
    return None if error is None else (type(error), error.message, error.status_code, error.body, error.code, error.type)


def answer(decoder: ChunkDecoder) -> Any:
    response: Any = decoder.assembler.response()
    if isinstance(response, TextCompletionResponse):  # converted chunks are numbered by their converter
        response = response.model_copy(update={"id": "", "created": 0})
    return response


# The hot path against the long way round.

names = st.sampled_from(["x_a", "x_b"])
values = st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=3) | st.lists(st.integers(0, 3), max_size=2)
strings = st.text(max_size=5)
explicit = st.dictionaries(names, values, max_size=2)
tool_calls = st.lists(
    st.fixed_dictionaries(
        {"index": st.integers(0, 2)},
        optional={"id": st.sampled_from(["a", "b"]), "function": st.fixed_dictionaries({"arguments": strings})},
    ),
    max_size=2,
)
logprobs = st.fixed_dictionaries({"content": st.lists(st.fixed_dictionaries({"token": strings}), max_size=2)})
rare_delta = {
    "role": st.just("assistant"),
    "reasoning": st.none() | strings,
    "reasoning_content": st.none() | strings,
    "tool_calls": st.none() | tool_calls,
    "function_call": st.none() | st.fixed_dictionaries({"arguments": strings}),
    "refusal": st.none() | strings,
    "audio": st.none() | st.fixed_dictionaries({"data": strings}),
    "images": st.none() | st.lists(strings, max_size=2),
    "annotations": st.none() | st.lists(strings, max_size=2),
    "thinking_blocks": st.none() | st.lists(strings, max_size=2),
    "provider_specific_fields": st.none() | explicit,
    "x_a": values,
}
rare_choice = {
    "logprobs": st.none() | logprobs,
    "provider_specific_fields": st.none() | explicit,
    "x_a": values,
}
rare_chunk = {
    "usage": st.none() | st.fixed_dictionaries({"prompt_tokens": st.integers(0, 9), "x_a": values}),
    "error": st.none(),
    "provider_specific_fields": st.none() | explicit,
    "x_a": values,
}


def sometimes(draw: Callable[[Any], Any], fields: dict[str, Any]) -> dict[str, Any]:
    """One of the fields now and then: most chunks of a stream have none of them."""
    if draw(st.integers(0, 2)):
        return {}
    name = draw(st.sampled_from(sorted(fields)))
    return {name: draw(fields[name])}


@st.composite
def choices(draw: Any) -> dict[str, Any]:
    delta = {"content": draw(st.none() | strings)} if draw(st.integers(0, 9)) else {}
    return {
        "index": draw(st.sampled_from([0, 0, 0, 0, 1, 2, None])),
        "delta": {**delta, **sometimes(draw, rare_delta)},
        "finish_reason": draw(st.sampled_from([None, None, None, "stop", "length"])),
        **sometimes(draw, rare_choice),
    }


@st.composite
def chat_events(draw: Any) -> bytes:
    several = draw(st.sampled_from([1, 1, 1, 1, 0, 2]))
    return chunk(*(draw(choices()) for _ in range(several)), **sometimes(draw, rare_chunk))


odd_events = st.sampled_from(
    [
        b"",
        b" ",
        b"null",
        b"[DONE]",
        b" [DONE]\n",
        b'{"type":"ping"}',
        b"{bad",
        b"[1]",
        b'{"choices":[{"delta":{"content":1}}]}',
        b'{"choices":[{"delta":{"content":"\xff"}}]}',
        b'{"error":{"message":"slow","code":429}}',
        b'{"error":"boo"}',
        encode({**HEAD, "choices": None, "usage": {"prompt_tokens": 1}}),
        Event(b"{}", "ping"),
        Event(b"boo", "error"),
        Event(chunk(piece("named")), "delta"),
        Event(chunk(piece("numbered")), id="7"),
    ]
)
events = st.lists(chat_events() | chat_events() | chat_events() | chat_events() | odd_events, max_size=12)


def in_batches(decoder: ChunkDecoder, batches: list[list[Any]]) -> tuple[list[Any], Any]:
    """As a source reads: until the stream is done or in error."""
    received: list[Any] = []
    for batch in batches:
        received += decoder.decode(batch)
        if decoder.done or decoder.error is not None:
            break
    return received, (decoder.done, told(decoder.error), answer(decoder), decoder.assembler.usage)


def in_one_read(*events: bytes | Event) -> Any:
    return example(shape=ModelResponseStream, events=[*events, b"[DONE]"], started=True, sizes=[9])


@in_one_read(Event(chunk(piece("named")), "delta"), chunk(piece("next")))
@in_one_read(b"null", chunk(piece("next")))
@in_one_read(b"{bad")
@given(shape=st.sampled_from(SHAPES), events=events, started=st.booleans(), sizes=st.lists(st.integers(1, 4), max_size=12))
def test_the_hot_path_gives_what_the_long_way_round_gives(shape: Any, events: Any, started: bool, sizes: list[int]) -> None:
    if started:
        events = [chunk(piece("", delta={"role": "assistant", "content": ""})), *events]
        sizes = [1, *sizes]
    batches: list[list[Any]] = []
    rest = list(events)
    for size in sizes:
        batches.append(rest[:size])
        rest = rest[size:]
    batches.append(rest)
    hot, hot_end = in_batches(decoder(shape), batches)
    long, long_end = in_batches(decoder(shape, cls=LongWayRound), [list(events)])
    assert hot_end == long_end
    if shape is TextCompletionResponse:
        long = [part.model_copy(update={"id": ours.id, "created": ours.created}) for part, ours in zip(long, hot, strict=True)]
    assert seen(hot) == seen(long)


def test_an_id_and_a_model_may_come_late() -> None:
    stream = decoder()
    for fields in ({"id": "", "model": ""}, {"id": None, "model": None}, {"id": "late"}, {"id": "later"}):
        stream.decode([chunk(piece("a"), **fields)])
    response = stream.assembler.response()
    assert (response.id, response.model, response.choices[0].message.content) == ("late", HEAD["model"], "aaaa")


def test_done_behind_an_error_is_not_looked_at() -> None:
    for cls in (ChunkDecoder, LongWayRound):
        stream = decoder(cls=cls)
        stream.decode([chunk(piece("a")), b"{bad", b"[DONE]"])
        assert (stream.done, type(stream.error)) == (False, APIResponseValidationError)


@settings(max_examples=50)
@given(events=events)
def test_content_is_found_on_either_way(events: Any) -> None:
    hot, long = decoder(), decoder(cls=LongWayRound)
    start = [chunk(piece("", delta={"role": "assistant", "content": ""}))]
    hot.decode(start)
    long.decode(start)
    hot.decode(events)
    long.decode(events)
    assert hot.had_content == long.had_content


RARE = {
    "delta": {
        "role": "assistant",
        "reasoning": "r",
        "reasoning_content": "r",
        "tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}],
        "function_call": {"name": "f", "arguments": "{}"},
        "refusal": "no",
        "audio": {"data": "x"},
        "images": ["x"],
        "annotations": ["x"],
        "thinking_blocks": ["x"],
        "provider_specific_fields": {"x": 1},
        "x": 1,
    },
    "choice": {
        "index": 1,
        "finish_reason": "stop",
        "logprobs": {"content": [{}]},
        "provider_specific_fields": {"x": 1},
        "x": 1,
    },
    "chunk": {"usage": {"total_tokens": 1}, "error": None, "provider_specific_fields": {"x": 1}, "x": 1},
}


@each_shape
@pytest.mark.parametrize("place, name", [(place, name) for place, fields in RARE.items() for name in fields])
def test_what_is_rare_beside_a_piece_of_text(place: str, name: str, shape: Any) -> None:
    field = {name: RARE[place][name]}
    choice = (
        piece("b", delta={"content": "b", **field}) if place == "delta" else piece("b", **field if place == "choice" else {})
    )
    events = [chunk(piece("a")), chunk(choice, **field if place == "chunk" else {}), chunk(piece("c"))]
    hot, hot_end = in_batches(decoder(shape), [[event] for event in events])
    long, long_end = in_batches(decoder(shape, cls=LongWayRound), [events])
    assert hot_end == long_end
    assert [part.model_dump() | {"id": "", "created": 0} for part in hot] == [
        part.model_dump() | {"id": "", "created": 0} for part in long
    ]


@each_shape
def test_a_burst_takes_the_hot_path_and_is_counted_once(shape: Any) -> None:
    pieces = decoder(shape)
    pieces.decode([chunk(piece("0"))])
    chunks = pieces.decode([chunk(piece(str(number))) for number in range(1, 100)])
    assert len(chunks) == 99
    choice: Any = pieces.assembler.response().choices[0]  # type: ignore[union-attr]
    assert (choice.text if shape is TextCompletionResponse else choice.message.content) == "".join(map(str, range(100)))


def test_the_hot_path_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = decoder()
    pieces.decode([chunk(piece("a"))])
    monkeypatch.setattr(ChunkDecoder, "_decode_one", lambda *_: pytest.fail("the long way round for a plain piece of text"))
    assert len(pieces.decode([chunk(piece("b")), chunk(piece("c"), usage=None, system_fingerprint="fp")])) == 2


# What one event comes to.


@each_shape
@pytest.mark.parametrize("before", [[], [chunk(piece("a"))]], ids=["first", "later"])
@pytest.mark.parametrize(
    "event",
    [b"", b" ", b"null", b" null ", b'{"type":"ping"}', b"{}", Event(b"{}", "ping"), Event(b"12:00", "ping"), Event(b"", "x")],
)
def test_what_is_no_chunk_is_passed_over(shape: Any, before: list[bytes], event: Any) -> None:
    pieces = decoder(shape)
    pieces.decode([*before])
    chunks = pieces.decode([event, chunk(piece("b"))])
    assert len(chunks) == 1
    assert (pieces.error, pieces.done) == (None, False)


@pytest.mark.parametrize("before", [[], [chunk(piece("a"))]], ids=["first", "later"])
def test_nothing_behind_done_is_decoded(before: list[bytes]) -> None:
    pieces = decoder()
    pieces.decode([*before])
    assert len(pieces.decode([chunk(piece("b")), b"[DONE]", b"{bad", chunk(piece("c"))])) == 1
    assert pieces.done
    assert pieces.error is None


@each_shape
@pytest.mark.parametrize("before", [[], [chunk(piece("a"))]], ids=["first", "later"])
@pytest.mark.parametrize(
    "event, cls",
    [
        (b'{"error":{"message":"slow","code":429}}', RateLimitError),
        (b'{"choices":[],"error":{"message":"slow","code":429}}', RateLimitError),
        (b'{"choices":null,"error":{"message":"slow","code":429}}', RateLimitError),
        (b'{"choices":[{"delta":{"content":"x"}}],"error":{"message":"slow","code":429}}', RateLimitError),
        (b'{"message":"slow","code":429}', RateLimitError),
        (b'[{"error":{"message":"slow","code":429}}]', RateLimitError),
        (b'[{"error":{"message":"slow"}},{"error":{}}]', APIResponseValidationError),
        (Event(b'{"message":"slow","code":429}', "error"), RateLimitError),
        (Event(b"\xff", "error"), InternalServerError),
        (b"{bad", APIResponseValidationError),
        (b"7", APIResponseValidationError),
        (b'{"x":1}', APIResponseValidationError),
        (b'{"choices":{}}', APIResponseValidationError),
        (b'{"choices":[null]}', APIResponseValidationError),
        (b'{"choices":[[]]}', APIResponseValidationError),
        (b'{"choices":[{"delta":{"content":"\xc3"}}]}', APIResponseValidationError),
        (b'{"x":"\xff"}', APIResponseValidationError),
        (b'{"x":' + b"[" * 5000 + b"]" * 5000 + b"}", APIResponseValidationError),
        (b'{"choices":' + b"[" * 5000 + b"]" * 5000 + b"}", APIResponseValidationError),
    ],
)
def test_an_error_waits_behind_the_chunks_before_it(before: list[bytes], event: Any, cls: Any, shape: Any) -> None:
    pieces = decoder(shape)
    pieces.decode([*before])
    chunks = pieces.decode([chunk(piece("b")), event, chunk(piece("c"))])
    assert len(chunks) == 1
    assert type(pieces.error) is cls
    assert pieces.had_content


@pytest.mark.parametrize(
    "data", [b'{"choices":[{"delta":{"content":"a"}}],"x":"\xff"}', b'{"choices":[{"delta":{"content":"a","\xff":1}}]}']
)
@pytest.mark.parametrize("before", [[], [chunk(piece("a"))]], ids=["first", "later"])
def test_what_nobody_looks_at_may_be_no_text(before: list[bytes], data: bytes) -> None:
    pieces = decoder()
    pieces.decode([*before])
    (part,) = pieces.decode([data])
    assert (part.choices[0].delta.content, part.raw, pieces.error) == ("a", data, None)


@pytest.mark.parametrize(
    "data", [b'{"choices":[{"delta":{"content":"a"}}],"x":"\xff"}', b'{"choices":[{"delta":{"content":"a","\xff":1}}]}']
)
def test_looking_at_what_is_no_text_shows_nothing(data: bytes) -> None:
    (part,) = decoder().decode([data])
    assert part.provider_specific_fields is None
    assert part.choices[0].delta.provider_specific_fields is None
    assert part.get("x") is None
    assert "x" not in part
    assert repr(part)


@pytest.mark.parametrize("choices", [[], None])
def test_usage_without_a_choice_keeps_its_bytes(choices: Any) -> None:
    data = encode({**HEAD, "choices": choices, "usage": {"prompt_tokens": 3, "x": 1}, "y": 2})
    pieces = decoder()
    pieces.decode([chunk(piece("a"))])
    (part,) = pieces.decode([data])
    assert (part.raw, part.usage["x"], part["y"], part.choices) == (data, 1, 2, [])
    assert pieces.assembler.usage is part.usage


def test_two_choices_in_one_event() -> None:
    both = chunk(piece("a"), {**piece("b"), "index": 1, "x": 1})
    (part,) = decoder().decode([both])
    assert part.choices[1]["x"] == 1
    first, second = decoder(GenericStreamingChunk).decode([both])
    assert [(one.index, one.text, one.raw) for one in (first, second)] == [(0, "a", both), (1, "b", both)]


def test_text_completions_on_the_wire() -> None:
    pieces = decoder(TextCompletionResponse, text=True)
    chunks = pieces.decode([text_chunk("Hel"), text_chunk("lo"), text_chunk("", "stop")])
    assert [(part.choices[0].text, part.choices[0].finish_reason) for part in chunks] == [
        ("Hel", None),
        ("lo", None),
        ("", "stop"),
    ]
    assert chunks[0].raw == text_chunk("Hel")
    assert isinstance(pieces.assembler.response(), TextCompletionResponse)
    assert pieces.assembler.is_complete()


def test_text_completions_as_chat_chunks() -> None:
    pieces = decoder(ModelResponseStream, text=True)
    chunks = pieces.decode([text_chunk("Hel"), text_chunk("lo", "stop")])
    assert [part.choices[0].delta.content for part in chunks] == ["Hel", "lo"]
    assert [part.choices[0].delta.role for part in chunks] == ["assistant", None]
    assert chunks[0].raw == text_chunk("Hel")


# Content.


@pytest.mark.parametrize(
    "part, expected",
    [
        (build(GenericStreamingChunk, text="a"), True),
        (build(GenericStreamingChunk), False),
        (build(GenericStreamingChunk, is_finished=True, finish_reason="stop"), False),
        (build(GenericStreamingChunk, reasoning_content="a"), True),
        (build(GenericStreamingChunk, tool_use=build(ChatCompletionDeltaToolCall)), True),
        (build(TextCompletionResponse, choices=[build(TextChoices, text="a")]), True),
        (build(TextCompletionResponse, choices=[build(TextChoices, text="")]), False),
        (build(ModelResponseStream), False),
        *(
            (build(ModelResponseStream, choices=[build(StreamingChoices, delta=from_fields(Delta, delta))]), expected)
            for delta, expected in [
                ({}, False),
                ({"role": "assistant"}, False),
                ({"content": ""}, False),
                ({"content": "a"}, True),
                ({"reasoning_content": "a"}, True),
                ({"reasoning": "a"}, True),
                ({"refusal": "no"}, True),
                ({"audio": {"data": "x"}}, True),
                ({"images": ["x"]}, True),
                ({"tool_calls": []}, False),
                ({"tool_calls": [build(ChatCompletionDeltaToolCall)]}, True),
            ]
        ),
    ],
)
def test_what_counts_as_content(part: Any, expected: bool) -> None:
    assert has_content(part) is expected


# Bodies.

WHOLE = {"id": "x", "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}]}
TEXT = {"id": "x", "choices": [{"index": 0, "text": "Hi", "finish_reason": "length"}], "usage": {"total_tokens": 3}}


def test_a_body_keeps_its_bytes() -> None:
    data = encode({**WHOLE, "x": 1})
    response = decode_body(data, ModelResponse)
    assert (response.raw, response["x"], response.choices[0].message.content) == (data, 1, "Hi")


@pytest.mark.parametrize("cls", [ModelResponse, TextCompletionResponse, EmbeddingResponse, ImageResponse, ModelList])
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{bad",
        b"[]",
        b"7",
        b"{}",
        b"\xff",
        b"<html>",
        b'{"choices":7,"data":7}',
        b'{"x":1}',
        b'{"x":"\xff"}',
        b'{"x":' + b"[" * 5000,
    ],
)
def test_what_is_no_body(data: bytes, cls: Any) -> None:
    with pytest.raises(APIResponseValidationError) as caught:
        decode_body(data, cls)
    assert (caught.value.body, caught.value.fault) == (data[:SHOWN_BYTES], "protocol")


@pytest.mark.parametrize(
    "value",
    [
        {"error": {"message": "slow", "code": 429}},
        {"error": {"message": "slow", "code": 429}, "choices": None},
        {"error": {"message": "slow", "code": 429}, "choices": 7, "data": 7},
        {"error": {"message": "slow", "code": 429}, **WHOLE, "data": []},
        [{"error": {"message": "slow", "code": 429}}],  # Google's
    ],
)
@pytest.mark.parametrize("cls", [ModelResponse, TextCompletionResponse, EmbeddingResponse])
def test_an_error_in_a_body(value: Any, cls: Any) -> None:
    with pytest.raises(RateLimitError, match="slow") as caught:
        decode_body(encode(value), cls)
    assert caught.value.body == value


@pytest.mark.parametrize("value", [{**WHOLE, "error": None}, {"choices": []}])
def test_a_body_without_an_error(value: Any) -> None:
    assert isinstance(decode_body(encode(value), ModelResponse), ModelResponse)


@each_shape
@pytest.mark.parametrize("text", [False, True])
def test_a_body_where_a_stream_was_asked_for(text: bool, shape: Any) -> None:
    pieces = decoder(shape, text=text)
    data = encode(TEXT if text else WHOLE)
    chunks = pieces.decode_document(data)
    assert all(isinstance(part, shape) for part in chunks)
    assert chunks[0].raw == data
    assert pieces.done
    assert pieces.assembler.is_complete()
    assert isinstance(pieces.assembler.response(), TextCompletionResponse if shape is TextCompletionResponse else ModelResponse)


def test_what_an_error_shows_of_malformed_bytes() -> None:
    data = b"\xff" * 10 + b"\x00\n" + b"x" * 10_000
    error = malformed("the body", data, "it is not JSON")
    assert error.body == data[:SHOWN_BYTES]
    assert len(error.message) < 2 * SHOWN_BYTES
    assert error.message.isprintable()
