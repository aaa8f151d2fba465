"""What a handler's chunks are as events: the quick way encodes what a dump of the chunk would be."""

import json
from typing import Any

import msgspec
import pytest

from tokenwire import ChatCompletionDeltaToolCall, Delta, ModelResponseStream, StreamingChoices, Usage
from tokenwire.server.events import ChatEvents
from tokenwire.server.models import Model
from tokenwire.server.requests import ChatRequest
from tokenwire.types import Addition

LOGPROBS = {"content": [{"token": "a", "logprob": -1.0, "bytes": None, "top_logprobs": []}], "refusal": None}
CALL: Any = {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": "{"}}


def chunk(delta: dict[str, Any], index: int = 0, **fields: Any) -> Any:
    own = {name: fields.pop(name) for name in ("logprobs", "finish_reason", "provider_specific_fields") if name in fields}
    choice: Any = StreamingChoices(index=index, delta=Delta(**delta), **own)
    return ModelResponseStream(id="c", created=1, model="m", choices=[choice], **fields)


CHUNKS = {
    "text": chunk({"content": "a"}),
    "empty": chunk({"content": ""}),
    "reasoning": chunk({"reasoning_content": "r"}),
    "both": chunk({"content": "a", "reasoning_content": "r"}),
    "refusal": chunk({"refusal": "no"}),
    "images": chunk({"images": [{"url": "u", "x": None}]}),
    "other-choice": chunk({"content": "b"}, index=1),
    "new-choice": chunk({"content": "b"}, index=2),
    "call": chunk({"tool_calls": [CALL]}),
    "calls": chunk({"tool_calls": [{"index": 0, "function": {"arguments": "1"}}, {**CALL, "index": 1}]}),
    "custom": chunk({"tool_calls": [{"index": 0, "type": "custom", "custom": {"input": "i"}}]}),
    "call-unknown": chunk({"tool_calls": [{**CALL, "x": 1}]}),
    "function-unknown": chunk({"tool_calls": [{**CALL, "function": {"arguments": "", "x": 1}}]}),
    "logprobs": chunk({"content": "a"}, logprobs=LOGPROBS),
    "usage": chunk({"content": "a"}, usage=Usage(total_tokens=1)),
    "role": chunk({"content": "a", "role": "assistant"}),
    "finish": chunk({"content": "a"}, finish_reason="stop"),
    "fingerprint": chunk({"content": "a"}, system_fingerprint="fp"),
    "delta-unknown": chunk({"content": "a", "x": 1}),
    "chunk-unknown": chunk({"content": "a"}, x=1),
    "chunk-fields": chunk({"content": "a"}, provider_specific_fields={"x": 1}),
    "nothing": chunk({}),
}


def events(include_usage: bool) -> ChatEvents:
    options = {"stream_options": {"include_usage": True}} if include_usage else {}
    body = {"model": "m", "messages": [{"role": "user", "content": "q"}], "stream": True, **options}
    encoder = ChatEvents(Model("m", {}, frozenset({"m"})), msgspec.convert(body, ChatRequest))
    encoder.encode(chunk({"content": "x"}))
    encoder.encode(chunk({"content": "y"}, index=1))
    return encoder


def told(data: bytes) -> Any:
    assert data.startswith(b"data: ")
    assert data.endswith(b"\n\n")
    return json.loads(data[6:])


@pytest.mark.parametrize("include_usage", [False, True], ids=["", "with-usage"])
@pytest.mark.parametrize("part", CHUNKS.values(), ids=CHUNKS)
def test_an_event_says_what_a_dump_of_the_chunk_says(part: Any, include_usage: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = told(events(include_usage).encode(part))
    monkeypatch.setattr(ChatEvents, "_encode_more", lambda *_: b"")
    assert quick == told(events(include_usage).encode(part))


def test_logprobs_go_out_as_they_were_given() -> None:
    for part in (CHUNKS["logprobs"], chunk({"content": "a"}, index=2, logprobs=LOGPROBS)):
        assert told(events(include_usage=False).encode(part))["choices"][0]["logprobs"] == LOGPROBS


@pytest.mark.parametrize("index", [0, 1, 2], ids=["begun", "another", "new"])
@pytest.mark.parametrize("lines", ["\n", "\r\n", "\r"], ids=["lf", "crlf", "cr"])
def test_logprobs_that_came_in_several_lines_go_out_in_one(lines: str, index: int) -> None:
    """A line's end would end the event."""
    raw = msgspec.Raw(json.dumps(LOGPROBS, indent=1).replace("\n", lines).encode())
    encoder = events(include_usage=False)
    for piece in (chunk({"content": "a"}, index, logprobs=raw), Addition("content", "a", index, 0, raw)):
        for _ in range(2):  # built, and then by what was seen of the first
            data = encoder.encode(piece)
            assert told(data)["choices"][0]["logprobs"] == LOGPROBS
            assert len(data[:-2].splitlines()) == 1


@pytest.mark.parametrize("name", ["text", "reasoning", "both", "other-choice", "call", "calls", "custom", "logprobs", "usage"])
def test_common_chunks_are_not_dumped(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = events(include_usage=True)
    monkeypatch.setattr(ChatEvents, "_encode_any", lambda *_: pytest.fail("a dump of the whole chunk"))
    assert told(encoder.encode(CHUNKS[name]))["usage"] is None


def test_a_part_of_a_call_is_a_record() -> None:
    assert isinstance(CHUNKS["call"].choices[0].delta.tool_calls[0], ChatCompletionDeltaToolCall)


def pieces(number: int) -> list[Any]:
    """Pieces of each common kind, for two choices."""
    call = {"index": 1, "function": {"arguments": f'{{"{number}'}}
    return [
        chunk({"content": f'"{number}\\'}),
        chunk({"content": f"{number}"}, index=1),
        chunk({"reasoning_content": f"{number}"}),
        chunk({"tool_calls": [call]}),
        chunk({"tool_calls": [call, {**call, "index": 2}]}),
        chunk({"content": f"{number}"}, logprobs={**LOGPROBS, "x": number}),
        chunk({"content": f"{number}", "refusal": None}, logprobs=None),
        chunk({"content": "", "reasoning_content": f"{number}"}),
        chunk({"content": f"{number}", "tool_calls": [call]}, index=1),
    ]


@pytest.mark.parametrize("include_usage", [False, True], ids=["", "with-usage"])
def test_each_event_of_a_long_stream_says_what_a_dump_says(include_usage: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = [piece for number in range(4) for piece in pieces(number)]
    for place, odd in ((10, chunk({"content": "a", "x": 1})), (20, chunk({"content": "a", "role": "assistant"}))):
        stream.insert(place, odd)
    stream.insert(15, chunk({"content": "b"}, index=1, finish_reason="stop"))
    bagged = chunk({"content": "c"})
    bagged.provider_specific_fields = {"y": 2}
    stream.insert(25, bagged)
    encoder, dumping = events(include_usage), events(include_usage)
    quick = [told(encoder.encode(piece)) for piece in stream]
    monkeypatch.setattr(ChatEvents, "_encode_more", lambda *_: b"")
    dumped = [told(dumping.encode(piece)) for piece in stream]
    assert quick[5]["choices"][0]["logprobs"] == {**LOGPROBS, "x": 0}
    for event in (*quick, *dumped):
        event.update(id="", created=0)
    assert quick == dumped


def test_what_was_seen_once_is_not_built_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = events(include_usage=False)
    first, again = pieces(1)[:4] + pieces(1)[5:6], pieces(2)[:4] + pieces(2)[5:6]
    for piece in first:
        encoder.encode(piece)
        encoder.encode(piece)
    monkeypatch.setattr(ChatEvents, "_encode_choice", lambda *_: pytest.fail("built field by field"))
    assert [told(encoder.encode(piece))["choices"][0]["index"] for piece in again] == [0, 1, 0, 0, 0]
