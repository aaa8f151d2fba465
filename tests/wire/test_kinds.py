"""Streams of every kind of chunk, mixed: however they are read, they say what a plain JSON decoder finds in them."""

import json
import sys
import tracemalloc
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from tokenwire.types import GenericStreamingChunk, ModelResponseStream, own_fields
from tokenwire.wire import chunks as chunks_module, growing
from tokenwire.wire.chunks import ChunkDecoder

HEAD = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
SHAPES = (ModelResponseStream, GenericStreamingChunk)

each_shape = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)


def event(delta: Any, *, index: int = 0, logprobs: Any = None, finish_reason: Any = None, **fields: Any) -> bytes:
    choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}
    return json.dumps({**HEAD, "choices": [choice], **fields}, separators=(",", ":")).encode()


def token_logprobs(text: str, number: float = -0.25) -> dict[str, Any]:
    entry = {"token": text, "logprob": number, "bytes": list(text.encode()), "top_logprobs": []}
    return {"content": [entry], "refusal": None}


def usage(count: int) -> dict[str, int]:
    return {"prompt_tokens": 5, "completion_tokens": count, "total_tokens": 5 + count}


def call(arguments: str, **fields: Any) -> dict[str, Any]:
    return {"tool_calls": [{"index": 0, **fields, "function": {"arguments": arguments}}]}


def opening(index: int) -> bytes:
    begun = {"index": 0, "id": f"call_{index}", "type": "function", "function": {"name": "f", "arguments": "{"}}
    return event({"role": "assistant", "content": "", "tool_calls": [begun]}, index=index)


# What each kind brings: made of a text and a number.
KINDS: dict[str, Callable[[str, int, int], bytes]] = {
    "text": lambda text, number, index: event({"content": text}, index=index),
    "padded": lambda text, number, index: event({"content": text}, index=index, obfuscation="x" * (number % 9)),
    "reasoning": lambda text, number, index: event({"content": None, "reasoning_content": text}, index=index),
    "other-name": lambda text, number, index: event({"reasoning": text}, index=index),
    "refusal": lambda text, number, index: event({"refusal": text}, index=index),
    "tools": lambda text, number, index: event(call(text), index=index),
    "logprobs": lambda text, number, index: event({"content": text}, index=index, logprobs=token_logprobs(text, -number / 7)),
    "usage": lambda text, number, index: event({"content": text}, index=index, usage=usage(number)),
    "both": lambda text, number, index: event(
        {"content": text}, index=index, logprobs=token_logprobs(text), usage=usage(number)
    ),
    "nulls": lambda text, number, index: event(
        {"content": text, "role": None, "tool_calls": None, "reasoning_content": None}, index=index, usage=None
    ),
    "role": lambda text, number, index: event({"role": "assistant", "content": text}, index=index),
    "unknown": lambda text, number, index: event({"content": text, "x_ids": [number]}, index=index),
    "beside": lambda text, number, index: event({"content": text}, index=index, x_seen=number),
}


@st.composite
def streams(draw: st.DrawFn) -> list[bytes]:
    """Runs of one kind, as servers send them, of one to three choices."""
    count = draw(st.integers(1, 3))
    events = [opening(index) for index in range(count)]
    for _ in range(draw(st.integers(1, 4))):
        kind = KINDS[draw(st.sampled_from(sorted(KINDS)))]
        texts = draw(st.lists(st.text(max_size=5), min_size=1, max_size=40))
        in_turn = draw(st.booleans())
        own = draw(st.integers(0, count - 1))
        events += [kind(text, number, number % count if in_turn else own) for number, text in enumerate(texts)]
    for index in range(count):
        events.append(event({}, index=index, finish_reason="stop"))
    return events


def in_reads(shape: Any, events: list[bytes], sizes: Iterable[int]) -> tuple[list[Any], ChunkDecoder]:
    decoder = ChunkDecoder(shape, text=False, model="m")
    chunks: list[Any] = []
    place = 0
    for size in sizes:
        chunks += decoder.decode([*events[place : place + size]])
        place += size
    chunks += decoder.decode([*events[place:]])
    return chunks, decoder


def said(events: list[bytes]) -> dict[int, dict[str, Any]]:
    """What the choices say, by the rules of this project and none of its code."""
    found: dict[int, dict[str, Any]] = {}
    for data in events:
        (choice,) = json.loads(data)["choices"]
        delta = choice["delta"]
        whole = found.setdefault(
            choice["index"],
            {"content": "", "reasoning": None, "other": None, "refusal": None, "arguments": "", "ids": None, "logprobs": None},
        )
        whole["content"] += delta.get("content") or ""
        for own, name in (("reasoning", "reasoning_content"), ("other", "reasoning"), ("refusal", "refusal")):
            if delta.get(name) is not None:
                whole[own] = (whole[own] or "") + delta[name]
        for part in delta.get("tool_calls") or ():
            whole["arguments"] += part["function"]["arguments"]
        if "x_ids" in delta:
            whole["ids"] = (whole["ids"] or []) + delta["x_ids"]
        if choice["logprobs"] is not None:
            whole["logprobs"] = (whole["logprobs"] or []) + choice["logprobs"]["content"]
    return found


def answered(decoder: ChunkDecoder) -> dict[int, dict[str, Any]]:
    response: Any = decoder.assembler.response()
    return {
        choice.index: {
            "content": choice.message.content,
            "reasoning": own_fields(choice.message).get("reasoning_content"),
            "other": own_fields(choice.message).get("reasoning"),
            "refusal": choice.message.refusal,
            "arguments": choice.message.tool_calls[0].function.arguments,
            "ids": choice.message.get("x_ids"),
            "logprobs": choice.logprobs and choice.logprobs.model_dump()["content"],
        }
        for choice in response.choices
    }


def seen(chunks: list[Any]) -> list[Any]:
    return [(chunk.raw, chunk.model_dump(), chunk.provider_specific_fields) for chunk in chunks]


@each_shape
@settings(max_examples=60, deadline=None)
@given(events=streams(), sizes=st.lists(st.integers(1, 40), max_size=8))
def test_any_stream_in_any_reads_says_what_it_says(shape: Any, events: list[bytes], sizes: list[int]) -> None:
    chunks, decoder = in_reads(shape, events, sizes)
    assert decoder.error is None
    # Arguments that are JSON twice, or that grow in each piece, count once; random ones may look so.
    expected, found = said(events), answered(decoder)
    for index, choice in expected.items():
        if found[index]["arguments"] != choice["arguments"]:
            assert choice["arguments"].endswith(found[index]["arguments"])
            found[index]["arguments"] = choice["arguments"]
    assert found == expected
    counts = [json.loads(data).get("usage") for data in events]
    last = next((count for count in reversed(counts) if count is not None), None)
    assert (decoder.assembler.usage and own_fields(decoder.assembler.usage)) == last
    one_by_one, alone = in_reads(shape, events, [1] * len(events))
    assert seen(chunks) == seen(one_by_one)
    assert decoder.assembler.response() == alone.assembler.response()


@each_shape
@pytest.mark.parametrize("kind", KINDS)
def test_the_quick_ways_give_what_the_long_way_gives(kind: str, shape: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokenwire.wire.assemble.BLOCK", 20)
    monkeypatch.setattr(growing, "_SHORT", 3)
    events = [opening(0), opening(1)]
    events += [KINDS[kind](f"piece {number}", number, number % 2) for number in range(100)]
    quick, decoder = in_reads(shape, events, [2, 33, 33])
    monkeypatch.setattr(chunks_module, "plain_choice", lambda *_: None)
    slow = ChunkDecoder(shape, text=False, model="m")
    monkeypatch.setattr(slow, "_append", lambda *_: None)
    long = [chunk for data in events for chunk in slow.decode([data])]
    assert seen(quick) == seen(long)
    assert decoder.assembler.response() == slow.assembler.response()
    assert answered(decoder) == said(events)


@each_shape
@pytest.mark.parametrize("size", [1, 32])
@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {"unknown"}))
def test_no_common_event_takes_the_long_way(kind: str, size: int, shape: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    events = [KINDS[kind](f"piece {number}", number, 0) for number in range(96)]
    decoder = ChunkDecoder(shape, text=False, model="m")
    decoder.decode([opening(0)])
    decoder.decode([KINDS[kind]("first", 0, 0)])
    for name in ("_decode_one", "add", "_add_plain"):
        monkeypatch.setattr(ChunkDecoder, name, lambda *_: pytest.fail("the long way"))
    for start in range(0, len(events), size):
        assert len(decoder.decode([*events[start : start + size]])) == size
        assert decoder.had_content


@each_shape
@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {"unknown"}))
def test_a_full_read_of_one_kind_is_decoded_at_once(kind: str, shape: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    events = [KINDS[kind](f"piece {number}", number + 1, number % 2) for number in range(96)]
    decoder = ChunkDecoder(shape, text=False, model="m")
    decoder.decode([opening(0), opening(1), KINDS[kind]("first", 0, 0), KINDS[kind]("first", 0, 1)])
    decoder.decode([*events[:48]])
    if kind in ("tools", "beside"):  # whose pieces go to two calls, or which have a number that nobody names
        return
    monkeypatch.setattr(chunks_module, "_decode_chat", lambda _: pytest.fail("decoded by itself"))
    assert len(decoder.decode([*events[48:]])) == 48


@each_shape
def test_the_parts_of_a_running_usage_know_their_event(shape: Any) -> None:
    """Fields that no struct names are found in each of them, also where many chunks were decoded at once."""
    events = [opening(0)]
    for number in range(60):
        details = {"reasoning_tokens": number, "x_inner": -number}
        events.append(event({"content": "a"}, usage={**usage(number), "x_outer": number, "completion_tokens_details": details}))
    chunks, decoder = in_reads(shape, events, [2])
    for number, chunk in enumerate(chunks[1:]):
        assert (chunk.usage.x_outer, chunk.usage.completion_tokens_details.x_inner) == (number, -number)
    assert decoder.assembler.usage is chunks[-1].usage


@each_shape
def test_values_that_change_places_are_not_mistaken(shape: Any) -> None:
    """Between two holes stands one literal, in its place: an event with another order is decoded by itself."""
    full = [event({"content": f"{number}"}, logprobs=token_logprobs("b"), usage=usage(number)) for number in range(40)]
    turned = json.loads(full[7])
    turned["choices"][0] = dict(reversed(turned["choices"][0].items()))
    events = [opening(0), *full[:30], json.dumps(turned, separators=(",", ":")).encode(), *full[30:]]
    chunks, decoder = in_reads(shape, events, [2, 18, 18])
    one_by_one, alone = in_reads(shape, events, [1] * len(events))
    assert seen(chunks) == seen(one_by_one)
    assert decoder.assembler.response() == alone.assembler.response()


@each_shape
def test_what_stands_between_two_values_has_to_be_there(shape: Any) -> None:
    padded = [event({"content": f"{number}"}, obfuscation="x" * (number % 9)) for number in range(40)]
    broken = padded[3].replace(padded[3].partition(b'"3"')[2].partition(b'"xxx"')[0], b",")
    decoder = ChunkDecoder(shape, text=False, model="m")
    decoder.decode([opening(0), *padded[:20]])
    decoder.decode([*padded[20:30], broken, *padded[30:]])
    assert "Expecting" in str(decoder.error) or "malformed" in str(decoder.error)
    response: Any = decoder.assembler.response()
    assert response.choices[0].message.content == "".join(map(str, range(30)))


@each_shape
def test_fields_that_nobody_names_come_and_go(shape: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A delta with such a field, after another with one, is not decoded in vain first."""
    deltas: list[Any] = [{"content": f"{number}", **({"x_seen": f"{number}"} if number % 7 else {})} for number in range(40)]
    deltas[11]["x_other"] = ["a"]
    deltas[12]["tool_calls"] = [{"index": 0, "x_call": "c", "function": {"arguments": "{}", "x_function": "d"}}]
    deltas[13]["audio"] = {"id": "e"}
    events = [opening(0), *(event(delta) for delta in deltas)]
    chunks, decoder = in_reads(shape, events, [1] * len(events))
    monkeypatch.setattr(ChunkDecoder, "_add_open", lambda *_: None)
    long, alone = in_reads(shape, events, [1] * len(events))
    assert seen(chunks) == seen(long)
    assert decoder.assembler.response() == alone.assembler.response()
    response: Any = decoder.assembler.response()
    assert response.choices[0].message.x_seen == "".join(delta.get("x_seen", "") for delta in deltas)


def test_only_the_first_delta_with_a_field_that_nobody_names_is_decoded_in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = ChunkDecoder(ModelResponseStream, text=False, model="m")
    decoder.decode([opening(0)])
    decoder.decode([KINDS["unknown"]("a", 1, 0)])
    monkeypatch.setattr(chunks_module, "_decode_chat", lambda _: pytest.fail("decoded by itself"))
    assert len(decoder.decode([KINDS["unknown"]("b", 2, 0)])) == 1
    response: Any = decoder.assembler.response()
    assert (response.choices[0].message.content, response.choices[0].message.x_ids) == ("ab", [1, 2])


# What a stream holds.

COUNT = 40_000


def held_after(events: Iterable[bytes]) -> tuple[int, ChunkDecoder]:
    """The bytes that a decoder holds after events whose chunks nobody keeps."""
    decoder = ChunkDecoder(ModelResponseStream, text=False, model="m")
    decoder.decode([opening(0)])
    read: list[Any] = []
    tracemalloc.start()
    try:
        for data in events:
            read.append(data)
            if len(read) == 50:
                decoder.decode(read)
                read.clear()
        decoder.decode(read)
        read.clear()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return held, decoder


@pytest.mark.parametrize("kind", ["text", "reasoning", "tools", "logprobs"])
def test_a_long_stream_holds_little_more_than_it_was_sent(kind: str) -> None:
    words = [" word", "ing", " \u00e4", " the"]
    make = KINDS[kind]
    sent = sum(len(word.encode()) for word in words) * COUNT // len(words)
    if kind == "logprobs":
        sent += (
            sum(len(json.dumps(token_logprobs(word, -1 / 7), separators=(",", ":"))) for word in words) * COUNT // len(words)
        )
    events = [make(word, 1, 0) for word in words]
    held, decoder = held_after(events[number % 4] for number in range(COUNT))
    assert held < 1.5 * sent + 100_000
    response: Any = decoder.assembler.response()
    assert sys.getsizeof(response.choices[0].message.content or "") >= (COUNT if kind in ("text", "logprobs") else 0)


@pytest.mark.parametrize("kind", ["text", "reasoning", "tools", "logprobs"])
def test_pieces_are_put_into_blocks_once(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Linear by structure: a piece is put into a block once, and an answer joins blocks."""
    settled: list[int] = []
    for cls in (growing.Pieces, growing.RawPieces):

        def settle(pieces: Any, original: Any = cls.settle) -> None:
            settled.append(len(pieces))
            original(pieces)

        monkeypatch.setattr(cls, "settle", settle)
    decoder = ChunkDecoder(ModelResponseStream, text=False, model="m")
    decoder.decode([opening(0)])
    events = [KINDS[kind](f" {number}", 1, 0) for number in range(20_000)]
    for start in range(0, len(events), 10):
        decoder.decode([*events[start : start + 10]])
    fields = 2 if kind == "logprobs" else 1
    assert 0.9 * 20_000 * fields <= sum(settled) <= 20_002 * fields
    assert len(settled) <= fields * (20_000 // growing.BLOCK + 1)
