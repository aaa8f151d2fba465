"""An endpoint's events as they came: cut where they end, however they were read, and not what fails."""

import json
from collections.abc import Iterable
from typing import Any

import pytest

from tokenwire import APIError, LimitExceededError
from tokenwire.testing import chunk
from tokenwire.types import ModelResponseStream
from tokenwire.wire.chat import CHAT
from tokenwire.wire.dialect import Dialect
from tokenwire.wire.messages import MESSAGES
from tokenwire.wire.passing import Passing, Sent
from tokenwire.wire.responses.dialect import RESPONSES

from . import messages, responses

TEXTS = [b"data: %b\n\n" % json.dumps(chunk(text)).encode() for text in ("Hel", "lo")]
CHAT_EVENTS = [
    *TEXTS,
    b"data: %b\n\n" % b'{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}',
    b"data: [DONE]\n\n",
]
STREAMS: dict[str, tuple[Dialect, list[bytes]]] = {
    "chat": (CHAT, CHAT_EVENTS),
    "messages": (MESSAGES, messages.events([messages.THINKING, messages.TEXT, messages.CALL], "tool_use")),
    "responses": (RESPONSES, responses.encoded(responses.events([responses.MESSAGE, responses.CALL]))),
}
each_stream = pytest.mark.parametrize("name", STREAMS)


def passed(dialect: Dialect, reads: Iterable[bytes], **options: Any) -> tuple[list[Sent], Any]:
    """What is handed out of a stream that comes in these reads, and its decoder."""
    decoder = dialect.decoder(ModelResponseStream, "m")
    passing = Passing(decoder, **{"max_event_bytes": 1000_000, **options})
    sent: list[Sent] = []
    for data in reads:
        sent += passing.decode(passing.feed_data(data))
        if decoder.done or decoder.error is not None:
            return sent, decoder
    return sent + passing.decode(passing.feed_eof()), decoder


@each_stream
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"], ids=["lf", "crlf", "cr"])
def test_every_event_goes_on_once_and_whole_however_it_is_read(name: str, line_end: bytes) -> None:
    dialect, events = STREAMS[name]
    body = b"".join(events).replace(b"\n", line_end)
    for size in (1, 7, 100, 1000, len(body)):
        sent, decoder = passed(dialect, [body[at : at + size] for at in range(0, len(body), size)])
        assert b"".join(part.data for part in sent).rstrip() == body.rstrip()
        assert all(part.data.endswith(2 * line_end) for part in sent)
        assert decoder.done
        assert [part.is_last for part in sent] == [*[False] * (len(sent) - 1), True]
        assert sum(part.events for part in sent) == len(events)


@each_stream
def test_they_are_decoded_as_ever(name: str) -> None:
    dialect, events = STREAMS[name]
    for reads in (events, [b"".join(events)]):
        sent, decoder = passed(dialect, reads)
        alone = dialect.decoder(ModelResponseStream, "m")
        chunks = [one for event in events for one in alone.decode([event.split(b"data: ", 1)[1].strip()])]
        assert sum(len(part.chunks) for part in sent) == len(chunks) == decoder.assembler.chunks
        answer, expected = decoder.assembler.response(), alone.assembler.response()
        assert expected is not None
        assert (answer.choices, answer.usage) == (expected.choices, expected.usage)


@each_stream
def test_the_event_that_ends_a_stream_goes_on_by_itself_and_nothing_after_it(name: str) -> None:
    dialect, events = STREAMS[name]
    *before, last = passed(dialect, [b"".join(events) + events[0]])[0]
    assert (last.data, last.is_last, len(before)) == (events[-1], True, 1)


FAILURES = {
    "chat": b'data: {"error":{"message":"no","code":500}}\n\n',
    "messages": b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"no"}}\n\n',
    "responses": b'event: error\ndata: {"type":"error","message":"no","code":"server_error"}\n\n',
}


@each_stream
@pytest.mark.parametrize("failure", ["error", "no JSON"])
@pytest.mark.parametrize("together", [True, False])
def test_what_came_before_a_failure_goes_on_and_the_failure_does_not(name: str, failure: str, together: bool) -> None:
    dialect, events = STREAMS[name]
    begun = events[:-2]
    reads = [*begun, FAILURES[name] if failure == "error" else b"data: {\n\n", *events[-2:]]
    sent, decoder = passed(dialect, [b"".join(reads)] if together else reads)
    assert isinstance(decoder.error, APIError)
    assert b"".join(part.data for part in sent) == b"".join(begun)
    assert sum(part.events for part in sent) == len(begun)


@each_stream
def test_half_an_event_at_the_end_does_not_go_on(name: str) -> None:
    dialect, events = STREAMS[name]
    for place in range(1, len(events[3].rstrip())):
        sent, decoder = passed(dialect, [b"".join(events[:3]), events[3][:place]])
        assert b"".join(part.data for part in sent) == b"".join(events[:3])
        assert not decoder.done


def test_comments_may_stay_here() -> None:
    alone, beside = b": alone\n\n", b": beside\n\n"
    sent, _ = passed(CHAT, [alone, beside + TEXTS[0], TEXTS[1]])
    assert [part.data for part in sent] == [beside + TEXTS[0], TEXTS[1]]


def test_a_last_event_without_its_empty_line_is_given_one() -> None:
    sent, _ = passed(CHAT, [TEXTS[0] + TEXTS[1].rstrip()])
    assert b"".join(part.data for part in sent) == b"".join(TEXTS)


def test_a_byte_order_mark_stays_here() -> None:
    sent, _ = passed(CHAT, [b"\xef\xbb\xbf" + TEXTS[0], TEXTS[1]])
    assert b"".join(part.data for part in sent) == b"".join(TEXTS)


@pytest.mark.parametrize("size", [50, 10_000])
def test_no_more_is_held_of_an_event_than_its_limit(size: int) -> None:
    reads = [b"data: " + b"x" * 9_000][:1] if size > 9_000 else [b"data: "] + [b"x" * size] * 400
    with pytest.raises(LimitExceededError):
        passed(CHAT, reads, max_event_bytes=5_000)
