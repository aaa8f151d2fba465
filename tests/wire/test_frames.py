"""What events that are alike add to an answer is seen without decoding them, and comes to the same answer."""

import json
from typing import Any

import pytest

from tokenwire.types import Addition, ModelResponseStream
from tokenwire.wire.chunks import ChunkDecoder
from tokenwire.wire.frames import EARLY, LEARNS

HEAD = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}


def event(delta: Any, *, index: int = 0, ascii: bool = False, choice: Any = (), **more: Any) -> bytes:
    body = {**HEAD, "choices": [{"index": index, "delta": delta, "finish_reason": None, **dict(choice)}], **more}
    return json.dumps(body, ensure_ascii=ascii, separators=(",", ":")).encode()


def text(value: str, **more: Any) -> bytes:
    return event({"content": value}, **more)


def call(arguments: str, **named: Any) -> bytes:
    function = {**({"name": named.pop("name")} if "name" in named else {}), "arguments": arguments}
    return event({"tool_calls": [{"index": 0, **named, "function": function}]})


START = [event({"role": "assistant", "content": ""}), *(text(f" {number}") for number in range(EARLY + 1))]
END = [event({}, choice={"finish_reason": "stop"}), b"[DONE]"]


def decoded(events: list[bytes], *, additions: bool) -> tuple[list[Any], ChunkDecoder]:
    decoder = ChunkDecoder(ModelResponseStream, text=False, model="m")
    if additions:
        decoder.give_additions()
    found: list[Any] = []
    for one in events:
        found += decoder.decode([one])
    return found, decoder


def both(events: list[bytes]) -> tuple[list[Any], list[Any]]:
    """What comes of these events after some text, with additions and as chunks: the answers are the same."""
    with_additions, quick = decoded([*START, *events, *END], additions=True)
    chunks, long = decoded([*START, *events, *END], additions=False)
    assert repr(quick.assembler.response()) == repr(long.assembler.response())
    assert repr(quick.error) == repr(long.error)
    assert quick.assembler.chunks == long.assembler.chunks
    assert quick.done == long.done
    for one, chunk in zip(with_additions, chunks, strict=True):
        if type(one) is not Addition:
            assert one.raw == chunk.raw
        else:
            delta = chunk.choices[0].delta
            arguments = delta.tool_calls[0].function.arguments if delta.tool_calls else None
            assert one.text == (delta.content or delta.reasoning_content or arguments)
    return with_additions[len(START) :], chunks[len(START) :]


ALIKE = {
    "text": [text("a"), text("b c")],
    "not-ascii": [text("\u20ac"), text("\U0001f600")],
    "padding": [text(value, obfuscation="x" * (3 - len(value))) for value in ("a", "bc", "d")],
    "reasoning": [event({"content": None, "reasoning_content": value}) for value in ("r", "s", "t")],
    "calls": [call("", id="i", name="f"), *map(call, ("{a", "b", "}"))],
    "of-another-choice": [text(value, index=1) for value in ("a", "b", "c", "d")],
}


@pytest.mark.parametrize("events", ALIKE.values(), ids=ALIKE)
def test_events_that_are_alike_are_additions(events: list[bytes]) -> None:
    additions, chunks = both(events)
    assert type(additions[len(events) - 1]) is Addition
    for addition, chunk in zip(additions, chunks, strict=True):
        if type(addition) is Addition:
            (choice,), (own,) = addition.chunk().choices, chunk.choices
            assert (choice.index, choice.delta.content or None) == (own.index, own.delta.content or None)
            assert choice.delta.reasoning_content == own.delta.reasoning_content
            assert [piece.function for piece in choice.delta.tool_calls or ()] == [
                piece.function for piece in own.delta.tool_calls or ()
            ]


OTHERS = {
    "escaped": [text('"'), text("\n"), text("\\")],
    "escaped-letters": [text("\u20ac", ascii=True)],
    "control": [text("a").replace(b'"a"', b'"\x01"')],
    "not-utf-8": [text("a").replace(b'"a"', b'"\xff"')],
    "empty": [text("")],
    "finish": [text("a", choice={"finish_reason": "length"})],
    "usage": [text("a", usage={"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2})] * 3,
    "logprobs": [text("a", choice={"logprobs": {"content": []}})] * 2,
    "unknown": [event({"content": value, "x": 1}) for value in ("a", "b", "c")],
    "refusal": [event({"refusal": "no"})] * 3,
    "annotations": [event({"content": value, "annotations": [{"url": value}]}) for value in ("a", "b", "c")],
    "bag": [event({"content": value, "provider_specific_fields": {"a": value}}) for value in ("a", "b", "c")],
    "two-choices": [json.dumps({**HEAD, "choices": [{"index": place, "delta": {"content": "a"}} for place in (0, 1)]}).encode()]
    * 3,
    "text-and-reasoning": [event({"reasoning_content": "b", "content": "a"})] * 3,
    "several-calls": [event({"tool_calls": [{"index": 0, "function": {"arguments": "a"}}] * 2})] * 3,
    "named-call": [call("{}", id="i", name="f")] * 3,
    "error": [b'{"error":{"message":"no"}}'],
    "cut": [text("a")[:-1]],
    "twice": [text("a") + text("b")],
    "another-model": [text("a").replace(b'"model":"m"', b'"model":"n"')],
    "lines": [text("a").replace(b",", b",\n")] * 3,
    "text-that-is-elsewhere": [text("m").replace(b'"m"}', b'"\\u006d"}')] * 3,
}


@pytest.mark.parametrize("events", OTHERS.values(), ids=OTHERS)
def test_any_other_is_decoded(events: list[bytes]) -> None:
    found, chunks = both(events)
    count = max(len(found) - 1, 0)  # the finish comes last
    assert not any(type(one) is Addition for one in found[:count])
    assert len(found) == len(chunks)


def test_padding_is_letters_and_digits() -> None:
    found, _ = both([*(text("a", obfuscation="x") for _ in range(3)), text("a", obfuscation="x", z="y")])
    assert [type(one) is Addition for one in found[:4]] == [False, True, True, False]


def test_where_the_text_stands_is_not_guessed() -> None:
    """Here a model is called like the text, which is written with an escape."""
    odd = [text("x", model="x").replace(b'"content":"x"', b'"content":"\\u0078"')] * (EARLY + 1)
    changed = [one.replace(b'"model":"x"', b'"model":"y"') for one in odd]
    found, _ = both([*odd, *changed])
    assert not any(type(one) is Addition for one in found)


def test_a_stream_that_always_looks_otherwise_is_not_looked_at_for_ever() -> None:
    turns = [text("a", index=number % 2) for number in range(4 * LEARNS)]
    _, decoder = decoded([*START, *turns], additions=True)
    assert decoder._frames is not None
    assert decoder._frames._learns == 0
    both(turns)


def test_nobody_gets_additions_unasked() -> None:
    chunks, _ = decoded([*START, *ALIKE["text"]], additions=False)
    assert all(type(chunk) is ModelResponseStream for chunk in chunks)
