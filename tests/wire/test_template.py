from typing import Any

import msgspec
import pytest
from hypothesis import example, given, strategies as st

from tokenwire.types import GenericStreamingChunk, ModelResponseStream
from tokenwire.wire import chunks
from tokenwire.wire.chunks import ChunkDecoder
from tokenwire.wire.template import ENOUGH, LESSONS, template_of

SHAPES = (ModelResponseStream, GenericStreamingChunk)

decode = msgspec.json.Decoder(ModelResponseStream).decode


def event(text: str, *, delta: dict[str, object] | None = None, **fields: object) -> bytes:
    choice = {"index": 0, "delta": {"content": text, **(delta or {})}, "finish_reason": None}
    return msgspec.json.encode({"id": "c", "model": "m", "choices": [choice], **fields})


def decoder_of(shape: Any) -> ChunkDecoder:
    return ChunkDecoder(shape, text=False, model="m")


def at_once(shape: Any, events: list[Any], lesson: bytes) -> tuple[list[Any], ChunkDecoder]:
    """What comes of events that arrive together, behind a read full of events like `lesson`."""
    decoder = decoder_of(shape)
    decoder.decode([lesson] * (ENOUGH + 2))
    return decoder.decode([*events]), decoder


def one_by_one(shape: Any, events: list[Any], lesson: bytes) -> tuple[list[Any], ChunkDecoder]:
    """The same by decoding each, which needs no template."""
    decoder = decoder_of(shape)
    for _ in range(ENOUGH + 2):
        decoder.decode([lesson])
    chunks: list[Any] = []
    for one in events:
        chunks += decoder.decode([one])
        if decoder.done or decoder.error is not None:
            break
    return chunks, decoder


def seen(outcome: tuple[list[Any], ChunkDecoder]) -> tuple[list[Any], ...]:
    chunks, decoder = outcome
    response = decoder.assembler.response()
    assert response is not None
    return (
        [chunk.model_dump() for chunk in chunks],
        [chunk.raw for chunk in chunks],
        [chunk.provider_specific_fields for chunk in chunks],
        [choice.delta.provider_specific_fields for chunk in chunks for choice in getattr(chunk, "choices", ())],
        [str(decoder.error), decoder.done, response.model_dump()],
    )


@pytest.mark.parametrize("shape", SHAPES)
@given(st.lists(st.text(), min_size=1, max_size=8))
def test_what_a_template_gives_is_what_decoding_gives(shape: Any, texts: list[str]) -> None:
    events = [event(text) for text in texts]
    assert seen(at_once(shape, events, event("x"))) == seen(one_by_one(shape, events, event("x")))


@pytest.mark.parametrize("shape", SHAPES)
@example(['a","b', "c"])
@example(["a\\", ',"b'])
@given(st.lists(st.text('a"\\,:{}[]\n', max_size=8), min_size=1, max_size=5))
def test_whatever_bytes_stand_in_the_hole(shape: Any, middles: list[str]) -> None:
    """Quotes and backslashes that end a text early, or join it to the next event's."""
    before, after = event("@").split(b"@")
    events = [before + middle.encode() + after for middle in middles]
    assert seen(at_once(shape, events, event("x"))) == seen(one_by_one(shape, events, event("x")))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_template_is_used_by_both_shapes(shape: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = decoder_of(shape)
    decoder.decode([event("x")] * (ENOUGH + 2))
    monkeypatch.setattr(chunks, "_decode_chat", lambda _: pytest.fail("decoded by itself"))
    found = decoder.decode([event("a"), event("b")])
    assert [chunk.raw for chunk in found] == [event("a"), event("b")]
    assert decoder.had_content


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "odd",
    [
        event("c", id="other"),
        event("c", x=1),
        event("c", delta={"role": "user"}),
        event("c", delta={"tool_calls": [{"index": 0, "id": "t", "function": {"name": "f", "arguments": ""}}]}),
        event("c").replace(b'"finish_reason":null', b'"finish_reason":"stop"'),
        event("c").replace(b'"c"}', b"null}"),
        event("c").replace(b'"c"}', b'"c" }'),
        event("c").replace(b'"c"}', b'"c","role":"x"}'),
        event("c").replace(b'"c"}', b'"\xff"}'),
        event("c").replace(b'"c"}', b'"\\ud83d"}'),
        event(""),
        b"{",
        b"",
        b"[DONE]",
        b'{"error":{"message":"no","code":429}}',
    ],
)
def test_an_event_that_differs_is_decoded_as_usual(shape: Any, odd: bytes) -> None:
    events = [event("a"), event("b"), odd, event("d"), event("e")]
    assert seen(at_once(shape, events, event("x"))) == seen(one_by_one(shape, events, event("x")))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("fields", [{"delta": {"token_ids": [1, 2]}}, {"obfuscation": "aGk"}, {"delta": {"role": "assistant"}}])
def test_fields_that_no_struct_names_are_found_in_every_chunk(shape: Any, fields: Any) -> None:
    events = [event("a", **fields), event("b", **fields)]
    assert seen(at_once(shape, events, event("x", **fields))) == seen(one_by_one(shape, events, event("x", **fields)))


def test_no_chunk_shares_what_can_be_changed_with_another() -> None:
    chunks, _ = at_once(ModelResponseStream, [event("a"), event("b")], event("x"))
    chunks[0].choices[0].delta.content = chunks[0].choices[0].finish_reason = "changed"
    chunks[0].choices.append(None)
    assert chunks[1] == decode(event("b"))


@pytest.mark.parametrize(
    "data",
    [
        b'{"choices":[{"index":0,"delta":{"content":"a"},"x":"\\"content\\":"}],"y":{"content":"a"}}',
        b'{"y":{"content":"a"},"choices":[{"index":0,"delta":{"content":"a"}}],"z":"content"}',
        b'{"choices":[{"index":0,"delta":{"content" : "a"}}]}',
        b'{"choices":[{"index":0,"delta":{"content": "a"}}]}',
        b'{"choices":[{"index":0,"delta":{"content":"\\u0061"}}]}',
        b'{"choices":[{"index":0,"delta":{"content":"b","content":"a"}}]}',
    ],
)
def test_a_template_is_only_made_where_the_text_stands(data: bytes) -> None:
    template = template_of(data, data)
    if template is not None:
        columns = template.columns([data, data])
        assert columns is not None
        assert next(iter(columns.values())) == ["a", "a"]
        (place, *_) = columns
        (chunk,) = template.chunks({place: ["other"]}, [data])
        assert chunk.choices[0].delta.content == "other"


def test_a_server_whose_events_never_agree_is_not_asked_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[bytes] = []
    monkeypatch.setattr("tokenwire.wire.template.template_of", lambda event, _: made.append(event))
    decoder = decoder_of(ModelResponseStream)
    for read in range(3 * LESSONS):
        decoder.decode([event(str(number), seed=(read, number)) for number in range(ENOUGH + 1)])
    assert len(made) == LESSONS
