import msgspec
import pytest
from hypothesis import given, strategies as st

from tokenwire.types import GenericStreamingChunk, ModelResponseStream
from tokenwire.wire.chunks import LESSONS, ChunkDecoder
from tokenwire.wire.template import template_of

decode = msgspec.json.Decoder(ModelResponseStream).decode


def event(text: str, **fields: object) -> bytes:
    delta = {"content": text}
    whole = {"id": "c", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": None}], **fields}
    return msgspec.json.encode(whole)


def flat(events: list[bytes]) -> list[GenericStreamingChunk]:
    decoder = ChunkDecoder(GenericStreamingChunk, wire_text=False, provider="p", model="m")
    chunks = decoder.decode([*events])
    assert decoder.error is None
    response = decoder.assembler.response()
    assert response is not None
    assert response.choices[0].message.content == "".join(chunk.text for chunk in chunks)  # type: ignore[union-attr]
    return chunks  # type: ignore[return-value]


@given(st.lists(st.text(min_size=1), min_size=3, max_size=8))
def test_what_a_template_gives_is_what_decoding_gives(texts: list[str]) -> None:
    events = [event(text) for text in texts]
    chunks = flat(events)
    assert [chunk.text for chunk in chunks] == texts
    assert [chunk.raw for chunk in chunks] == events
    assert {(chunk.id, chunk.model) for chunk in chunks} == {("c", "m")}


def test_an_event_that_differs_elsewhere_is_decoded_whole() -> None:
    chunks = flat([event("a"), event("b"), event("c", id="other"), event("d"), event("e", x=1)])
    assert [(chunk.text, chunk.id) for chunk in chunks] == [("a", "c"), ("b", "c"), ("c", "other"), ("d", "c"), ("e", "c")]


@pytest.mark.parametrize("middle", ["null", '"a","role":"user"', '"a","tool_calls":[{"index":0,"id":"t"}]', '""', '"a" ', " "])
def test_only_one_string_fits_the_hole(middle: str) -> None:
    before, after = event("a").split(b'"a"')
    odd = before + middle.encode() + after
    try:
        wanted = decode(odd)
    except msgspec.DecodeError:
        return
    (chunk,) = flat([event("x"), event("y"), odd])[2:] or [GenericStreamingChunk()]
    delta = wanted.choices[0].delta
    assert chunk.text == (delta.content or "")
    assert (chunk.tool_use is None) == (delta.tool_calls is None)


@pytest.mark.parametrize(
    "data",
    [
        b'{"choices":[{"index":0,"delta":{"content":"a","x":"\\"content\\":"}}],"y":{"content":"a"}}',
        b'{"y":{"content":"a"},"choices":[{"index":0,"delta":{"content":"a"}}],"z":"content"}',
        b'{"choices":[{"index":0,"delta":{"content" : "a"}}]}',
        b'{"choices":[{"index":0,"delta":{"content":"\\u0061"}}]}',
        b'{"choices":[{"index":0,"delta":{"content":"b","content":"a"}}]}',
    ],
)
def test_a_template_is_only_made_where_the_text_stands(data: bytes) -> None:
    template = template_of(data, decode(data))
    if template is not None:
        other = template.prefix + b'"other"' + template.suffix
        assert decode(other).choices[0].delta.content == "other"


def test_a_server_whose_events_never_agree_is_not_asked_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[bytes] = []
    monkeypatch.setattr("tokenwire.wire.chunks.template_of", lambda event, chunk: made.append(event))
    flat([event(str(number), seed=number) for number in range(50)])
    assert len(made) == LESSONS
