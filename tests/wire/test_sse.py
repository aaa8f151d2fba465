"""The event stream decoder, fed whole, byte by byte, cut at every place, and with bytes behind."""

import re
from collections.abc import Callable, Iterable

import pytest
from httpx_sse import _decoders as httpx_sse_decoders
from hypothesis import given, strategies as st

from tokenwire import Limits
from tokenwire.exceptions import LimitExceededError
from tokenwire.wire.sse import Event, Payload, SSEDecoder

BOM = b"\xef\xbb\xbf"


def feed(reads: Iterable[bytes], decoder: SSEDecoder | None = None) -> list[Payload]:
    decoder = decoder or SSEDecoder()
    return [payload for read in reads for payload in decoder.feed_data(read)]


def single_bytes(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    places = sorted({min(place, len(data)) for place in places})
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]


# Streams that end between two events, and what is in them.
STREAMS = {
    "nothing": (b"", []),
    "one plain event": (b'data: {"a":1}\n\n', [b'{"a":1}']),
    "three plain events": (b"data: 1\n\ndata: 2\n\ndata: [DONE]\n\n", [b"1", b"2", b"[DONE]"]),
    "three plain events, CRLF": (b"data: 1\r\n\r\ndata: 2\r\n\r\ndata: 3\r\n\r\n", [b"1", b"2", b"3"]),
    "three plain events, CR": (b"data: 1\r\rdata: 2\r\rdata: 3\r\r", [b"1", b"2", b"3"]),
    "plain events, LF then CRLF": (b"data: 1\n\ndata: 2\r\n\r\n", [b"1", b"2"]),
    "plain events, CRLF then LF": (b"data: 1\r\n\r\ndata: 2\n\n", [b"1", b"2"]),
    "line ends mixed inside one event": (b"data: 1\rdata: 2\r\ndata: 3\n\r\n", [b"1\n2\n3"]),
    "a CR inside one plain event": (b"data: 1\rx\n\n", [b"1"]),
    "an LF inside one plain event": (b"data: 1\nx\n\n", [b"1"]),
    "a CR inside plain data ends its line": (b"data: 1\rx\n\ndata: 2\n\n", [b"1", b"2"]),
    "an LF inside CRLF data ends its line": (b"data: 1\nx\r\n\r\ndata: 2\r\n\r\n", [b"1", b"2"]),
    "LF, CR, LF is two empty lines": (b"data: 1\n\r\ndata: 2\n\n", [b"1", b"2"]),
    "CR CR LF is one empty line": (b"data: 1\r\r\ndata: 2\n\n", [b"1", b"2"]),
    "more empty lines than needed": (b"\n\ndata: 1\n\n\n\n\ndata: 2\n\n\n", [b"1", b"2"]),
    "data in several lines": (b"data: 1\ndata: 2\ndata:3\n\n", [b"1\n2\n3"]),
    "data in several lines between plain events": (b"data: 0\n\ndata: 1\ndata: 2\n\ndata: 3\n\n", [b"0", b"1\n2", b"3"]),
    "without the space": (b"data:1\n\ndata:2\n\n", [b"1", b"2"]),
    "only one space goes": (b"data:  1\n\n", [b" 1"]),
    "a tab stays": (b"data:\t1\n\n", [b"\t1"]),
    "a colon in data": (b"data: a: b\n\n", [b"a: b"]),
    "empty data": (b"data:\n\ndata\n\ndata: \n\n", [b"", b"", b""]),
    "two empty data lines are an LF": (b"data\ndata\n\n", [b"\n"]),
    "null": (b"data: null\n\n", [b"null"]),
    "only a comment": (b": ping\n\n", []),
    "comments between": (b": ping\n\ndata: 1\n\n:\n\ndata: 2\n\n", [b"1", b"2"]),
    "a comment inside": (b"data: 1\n: ping\ndata: 2\n\n", [b"1\n2"]),
    "a comment without an empty line": (b": ping\ndata: 1\n\n", [b"1"]),
    "unknown fields": (b"foo: x\nbar\ndata: 1\n\n", [b"1"]),
    "names are exact": (b"Data: x\n data: y\ndata : z\ndatax: w\n\n", []),
    "byte order mark": (BOM + b"data: 1\n\ndata: 2\n\n", [b"1", b"2"]),
    "byte order mark, then CR": (BOM + b"\rdata: 1\n\n", [b"1"]),
    "only the first byte order mark goes": (BOM + BOM + b"data: 1\n\ndata: 2\n\n", [b"2"]),
    "a later byte order mark is text": (b"data: 1\n\n" + BOM + b"data: 2\n\ndata: 3\n\n", [b"1", b"3"]),
    "half a byte order mark is text": (BOM[:2] + b"data: 1\n\ndata: 2\n\n", [b"2"]),
    "U+2028, U+0085 and form feed end no line": (
        "data: a\u2028b\u0085c\fd\ve\x1cf\n\n".encode(),
        ["a\u2028b\u0085c\fd\ve\x1cf".encode()],
    ),
    "data is not decoded": (b"data: \xff\x00\xfe\n\n", [b"\xff\x00\xfe"]),
    "type": (b"event: ping\ndata: 1\n\n", [Event(b"1", "ping")]),
    "type after data": (b"data: 1\nevent:ping\n\n", [Event(b"1", "ping")]),
    "the last type counts": (b"event: a\nevent: b\ndata: 1\n\n", [Event(b"1", "b")]),
    "type message is plain": (b"event: message\ndata: 1\n\n", [b"1"]),
    "empty type is plain": (b"event: a\nevent:\ndata: 1\n\n", [b"1"]),
    "a type holds for one event": (b"event: a\ndata: 1\n\ndata: 2\n\n", [Event(b"1", "a"), b"2"]),
    "a type without data is no event": (b"event: a\n\ndata: 1\n\n", [b"1"]),
    "invalid UTF-8 in a type": (b"event: \xffx\ndata: 1\n\n", [Event(b"1", "\ufffdx")]),
    "id": (b"id: 7\ndata: 1\n\ndata: 2\n\n", [Event(b"1", id="7"), b"2"]),
    "empty id": (b"id: 7\ndata: 1\n\nid\ndata: 2\n\n", [Event(b"1", id="7"), Event(b"2", id="")]),
    "id with NUL": (b"id: 7\nid: 8\x00\ndata: 1\n\n", [Event(b"1", id="7")]),
    "retry": (b"retry: 1500\ndata: 1\n\ndata: 2\n\n", [Event(b"1", retry=1500), b"2"]),
    "retry that is no number": (b"retry: 1.5\nretry: -1\nretry:\nretry:  2\ndata: 1\n\n", [b"1"]),
    "retry of absurd length": (b"retry: " + b"9" * 5000 + b"\ndata: 1\n\n", [b"1"]),
    "id without data comes with the next event": (
        b"data: 0\n\nid: 7\n\ndata: 1\n\ndata: 2\n\n",
        [b"0", Event(b"1", id="7"), b"2"],
    ),
    "retry without data comes with the next event": (
        b"retry: 10\n\n: ping\n\ndata: 1\n\ndata: 2\n\n",
        [Event(b"1", retry=10), b"2"],
    ),
    "everything at once": (
        b"event: a\nid: 7\nretry: 10\ndata: 1\ndata: 2\n: ping\n\ndata: 3\n\n",
        [Event(b"1\n2", "a", "7", 10), b"3"],
    ),
}
each_stream = pytest.mark.parametrize("stream, expected", STREAMS.values(), ids=STREAMS)


@each_stream
def test_whole(stream: bytes, expected: list[Payload]) -> None:
    decoder = SSEDecoder()
    assert feed([stream], decoder) == expected
    assert decoder.feed_eof() == []


@each_stream
def test_byte_by_byte(stream: bytes, expected: list[Payload]) -> None:
    decoder = SSEDecoder()
    assert feed(single_bytes(stream), decoder) == expected
    assert decoder.feed_eof() == []


@each_stream
def test_cut_at_every_place(stream: bytes, expected: list[Payload]) -> None:
    for place in range(min(len(stream), 300) + 1):
        assert feed(cut(stream, [place])) == expected, place
        assert feed(cut(stream, [place, place + 1])) == expected, place


@each_stream
def test_with_bytes_behind(stream: bytes, expected: list[Payload]) -> None:
    assert feed([stream + b"data: behind\n\ndata: unfinished"]) == [*expected, b"behind"]
    assert feed([stream, b"data: behind\n\ndata: unfinished"]) == [*expected, b"behind"]


@pytest.mark.parametrize("name", [name for name, (stream, _) in STREAMS.items() if not stream.startswith(BOM)])
def test_after_plain_events(name: str) -> None:
    stream, expected = STREAMS[name]
    decoder = SSEDecoder()
    assert feed([b":\n\n", b"data: before\n\n"], decoder) == [b"before"]
    assert feed([stream], decoder) == expected


def test_events_are_delivered_as_soon_as_they_end() -> None:
    decoder = SSEDecoder()
    delivered = [decoder.feed_data(read) for read in (b"data: 1\n", b"\n", b"data: 2\r\n\r", b"\nda", b"ta: 3\r", b"\r")]
    assert delivered == [[], [b"1"], [b"2"], [], [], [b"3"]]


def test_an_empty_read_changes_nothing() -> None:
    assert feed([b"", b"data: 1\r", b"", b"\n", b"", b"\r", b"", b"\n", b"", b"data: 2\n\n"]) == [b"1", b"2"]


def test_an_empty_first_read_is_not_the_start() -> None:
    assert feed([b"", BOM, b"", b"data: 1\n\n"]) == [b"1"]
    assert feed([b"", b"data: 1\n\n", BOM + b"data: 2\n\n"]) == [b"1"]


# What the end of the stream completes.
ENDS = {
    "no empty line": (b"data: 1\n\ndata: 2\n", [b"2"]),
    "no line end": (b"data: 1\n\ndata: 2", [b"2"]),
    "CR": (b"data: 2\r", [b"2"]),
    "several lines": (b"data: 1\ndata: 2", [b"1\n2"]),
    "cut inside the data": (b'data: {"a', [b'{"a']),
    "cut inside the name": (b"data: 1\n\ndat", []),
    "name without a colon": (b"data", [b""]),
    "type and id": (b"event: a\nid: 7\ndata: 1", [Event(b"1", "a", "7")]),
    "a type alone": (b"event: a\n", []),
    "a comment": (b": ping", []),
    "half a byte order mark": (BOM[:2], []),
    "a byte order mark": (BOM + b"data: 1", [b"1"]),
    "nothing": (b"", []),
}
each_end = pytest.mark.parametrize("stream, expected", ENDS.values(), ids=ENDS)


@each_end
def test_end_of_stream(stream: bytes, expected: list[Payload]) -> None:
    decoder = SSEDecoder()
    decoder.feed_data(stream)
    assert decoder.feed_eof() == expected


@each_end
def test_end_of_stream_byte_by_byte(stream: bytes, expected: list[Payload]) -> None:
    decoder = SSEDecoder()
    feed(single_bytes(stream), decoder)
    assert decoder.feed_eof() == expected


@each_end
def test_another_stream_after_the_end(stream: bytes, expected: list[Payload]) -> None:
    decoder = SSEDecoder()
    decoder.feed_data(stream)
    decoder.feed_eof()
    assert feed([BOM + b"data: 1\n\n", b"\ndata: 2\n\n"], decoder) == [b"1", b"2"]


def test_last_event_id_is_the_latest_complete_one() -> None:
    decoder = SSEDecoder()
    assert decoder.last_event_id == ""
    decoder.feed_data(b"id: 1\ndata: x\n\ndata: y\n\n")
    assert decoder.last_event_id == "1"
    decoder.feed_data(b"id: 2\n")
    assert decoder.last_event_id == "1"
    decoder.feed_data(b"\n")
    assert decoder.last_event_id == "2"
    decoder.feed_data(b"id: \xff\n\n")
    assert decoder.last_event_id == "\ufffd"
    decoder.feed_data(b"id\n\n")
    assert decoder.last_event_id == ""


def test_last_event_id_at_the_end_of_the_stream() -> None:
    decoder = SSEDecoder()
    decoder.feed_data(b"id: 1\ndata: x")
    decoder.feed_eof()
    assert decoder.last_event_id == "1"
    decoder.feed_data(b"id: 22")  # perhaps the first half of a longer one
    decoder.feed_eof()
    assert decoder.last_event_id == "1"
    assert feed([b"data: y\n\n"], decoder) == [b"y"]


# Limit


LIMIT = 20
FITTING = {
    "plain": (b"data: 45678901234567\n\n", [b"45678901234567"]),
    "plain, CRLF": (b"data: 45678901234567\r\n\r\n", [b"45678901234567"]),
    "two lines": (b"data: 67\ndata: 678901\n\n", [b"67\n678901"]),
    "comments do not add up": (b": 34567890\n" * 10 + b"data: 1\n\n", [b"1"]),
    "complete events do not add up": (b"data: 1\n\n" * 10, [b"1"] * 10),
}
OUTGROWN = {
    "plain": b"data: 456789012345678\n\n",
    "plain, CRLF": b"data: 456789012345678\r\n\r\n",
    "two lines": b"data: 67\ndata: 6789012\n\n",
    "many short lines": b"data\n" * 10 + b"\n",
    "a comment": b": 3456789012345678901\n\n",
    "a type": b"event: 89012345678901\n\n",
    "an unknown field": b"x" * 21 + b"\n\n",
}
each_outgrown = pytest.mark.parametrize("stream", OUTGROWN.values(), ids=OUTGROWN)


@pytest.mark.parametrize("stream, expected", FITTING.values(), ids=FITTING)
def test_what_fits_the_limit(stream: bytes, expected: list[Payload]) -> None:
    assert feed([stream], SSEDecoder(max_event_bytes=LIMIT)) == expected
    assert feed(single_bytes(stream), SSEDecoder(max_event_bytes=LIMIT)) == expected


def test_an_event_may_hold_a_picture() -> None:
    picture = b"x" * (9 * 1024 * 1024)
    assert SSEDecoder().feed_data(b"data: " + picture + b"\n\n") == [picture]
    assert Limits().max_event_bytes == 64 * 1024 * 1024


@pytest.mark.parametrize("before", [[], [b":\n\n", b"data: 1\n\n"]], ids=["at the start", "between events"])
@each_outgrown
def test_what_outgrows_the_limit(stream: bytes, before: list[bytes]) -> None:
    decoder = SSEDecoder(max_event_bytes=LIMIT)
    feed(before, decoder)
    with pytest.raises(LimitExceededError, match=r"Limits\(max_event_bytes") as caught:
        decoder.feed_data(stream)
    assert caught.value.limit == "max_event_bytes"


def feed_until_outgrown(reads: Iterable[bytes], decoder: SSEDecoder) -> tuple[list[Payload], bool]:
    """What came, and whether the decoder ended with `LimitExceededError`."""
    received: list[Payload] = []
    try:
        for read in reads:
            received += decoder.feed_data(read)
        received += decoder.feed_eof()
    except LimitExceededError:
        return received, True
    return received, False


@pytest.mark.parametrize("split", [lambda data: [data], single_bytes], ids=["whole", "byte by byte"])
@each_outgrown
def test_events_before_the_outgrown_one_arrive(stream: bytes, split: Callable[[bytes], list[bytes]]) -> None:
    reads = split(b"data: 1\n\ndata: 2\n\n" + stream)
    assert feed_until_outgrown(reads, SSEDecoder(max_event_bytes=LIMIT)) == ([b"1", b"2"], True)


@pytest.mark.parametrize("before", [[], [b":\n\n", b"data: 1\n\n"]], ids=["at the start", "between events"])
@each_outgrown
def test_an_outgrown_decoder_stays_ended(stream: bytes, before: list[bytes]) -> None:
    decoder = SSEDecoder(max_event_bytes=LIMIT)
    feed(before, decoder)
    with pytest.raises(LimitExceededError):
        decoder.feed_data(stream)
    with pytest.raises(LimitExceededError):
        decoder.feed_data(b"data: 2\n\n")
    with pytest.raises(LimitExceededError):
        decoder.feed_eof()


def test_the_error_that_is_due_comes_before_further_events() -> None:
    decoder = SSEDecoder(max_event_bytes=LIMIT)
    assert decoder.feed_data(b"data: 1\n\n" + OUTGROWN["plain"]) == [b"1"]
    with pytest.raises(LimitExceededError):
        decoder.feed_data(b"data: 2\n\n")


def test_the_limit_does_not_wait_for_a_line_end() -> None:
    decoder = SSEDecoder(max_event_bytes=LIMIT)
    feed(single_bytes(b"data: 45678901234567"), decoder)
    with pytest.raises(LimitExceededError):
        decoder.feed_data(b"8")


def test_the_limit_at_the_end_of_the_stream() -> None:
    decoder = SSEDecoder(max_event_bytes=LIMIT)
    assert decoder.feed_data(b"data: 1\n\n" + b"x" * 21) == [b"1"]
    with pytest.raises(LimitExceededError):
        decoder.feed_eof()


# Work


class CountingDecoder(SSEDecoder):
    """Counts the bytes that are searched for line ends or moved out of the line that is coming in."""

    __slots__ = ("counted",)

    def __init__(self) -> None:
        self.counted = 0
        super().__init__()

    def _read_blocks(self, data: bytes, events: list[Payload]) -> None:
        self.counted += len(data)
        super()._read_blocks(data, events)


GIANTS = {
    "one line": b"data: " + b"x" * 200_000 + b"\n\n",
    "one line, CRLF": b"data: " + b"x" * 200_000 + b"\r\n\r\n",
    "short lines": b"data: x\n" * 25_000 + b"\n",
    "empty lines": b"\n" * 200_000 + b"data: x\n\n",
    "comments": b":\n" * 100_000 + b"data: x\n\n",
}


@pytest.mark.parametrize("stream", GIANTS.values(), ids=GIANTS)
def test_one_byte_at_a_time_is_linear(stream: bytes) -> None:
    decoder = CountingDecoder()
    [payload] = feed(single_bytes(stream), decoder)
    assert [payload] == feed([stream])
    assert decoder.counted <= 2 * len(stream)


def test_a_byte_order_mark_is_awaited_for_three_bytes_only() -> None:
    decoder = CountingDecoder()
    feed(single_bytes(b"x" * 10), decoder)
    assert not decoder._at_start


def test_plain_events_never_become_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = b"".join(b'data: {"n":%d}\n\n' % n for n in range(1000))
    payloads = [b'{"n":%d}' % n for n in range(1000)]
    seen: list[bytes] = []
    read_line = SSEDecoder._read_line
    monkeypatch.setattr(SSEDecoder, "_read_line", lambda decoder, line: (seen.append(line), read_line(decoder, line))[1])
    for data in (stream, stream.replace(b"\n", b"\r\n")):
        for size in (len(data), 4099, 997):
            assert feed(cut(data, range(0, len(data), size))) == payloads
    # Only a read that ends between the two line ends of an event leaves a line to be read.
    assert len(seen) < 40


# Properties

FRAGMENTS = [
    b"data",
    b"data: ",
    b"data:",
    b"event: ",
    b"id: ",
    b"id",
    b"retry: ",
    b": ping",
    b"x",
    b'{"a": 1}',
    b"message",
    b"12",
]
TEXTS = ["\u2028", "\u0085", "é", "\ufeff", "\0", "٣", " ", ":", "\f", "\x1c"]
pieces = st.one_of(st.sampled_from(FRAGMENTS), st.sampled_from(TEXTS).map(str.encode), st.binary(max_size=3))
line_ends = st.sampled_from([b"\n", b"\n", b"\n\n", b"\r\n", b"\r\n\r\n", b"\r", b"\r\r", b""])
lines = st.tuples(st.lists(pieces, max_size=3).map(b"".join), line_ends).map(b"".join)
plain_events = st.sampled_from([b'data: {"x": 1}\n\n', b"data: [DONE]\n\n", b'data: {"x": 1}\r\n\r\n', b"data: 1\ndata: 2\n\n"])
streams = st.tuples(st.sampled_from([b"", b"", BOM]), st.lists(st.one_of(lines, plain_events), max_size=12).map(b"".join)).map(
    b"".join
)
places = st.lists(st.integers(0, 200), max_size=8)


def by_the_standard(stream: bytes) -> tuple[list[tuple[str, str, str]], str]:
    """The HTML standard's algorithm, word for word, on the whole stream.

    Returns:
        (event type, data, last event id) of each event, and the last event id at the end.
    """
    text = stream.decode("utf-8", "replace").removeprefix("\ufeff")
    *ended_lines, _ = re.split("\r\n|\n|\r", text)
    dispatched: list[tuple[str, str, str]] = []
    data = event_type = id_buffer = last_event_id = ""
    for line in ended_lines:
        if line == "":
            last_event_id = id_buffer
            if data != "":
                dispatched.append((event_type or "message", data[:-1], last_event_id))
            data = event_type = ""
            continue
        field, _, value = line.partition(":")
        value = value[1:] if value[:1] == " " else value
        if field == "event":
            event_type = value
        elif field == "data":
            data += value + "\n"
        elif field == "id" and "\0" not in value:
            id_buffer = value
    return dispatched, last_event_id


def as_standard(payloads: list[Payload]) -> list[tuple[str, str, str]]:
    dispatched: list[tuple[str, str, str]] = []
    last_event_id = ""
    for payload in payloads:
        event = payload if isinstance(payload, Event) else Event(payload)
        last_event_id = last_event_id if event.id is None else event.id
        dispatched.append((event.event, event.data.decode("utf-8", "replace"), last_event_id))
    return dispatched


@given(streams, places)
def test_the_standard(stream: bytes, places: list[int]) -> None:
    decoder = SSEDecoder()
    assert (as_standard(feed(cut(stream, places), decoder)), decoder.last_event_id) == by_the_standard(stream)


@given(streams, places)
def test_cuts_make_no_difference(stream: bytes, places: list[int]) -> None:
    whole, in_pieces = SSEDecoder(), SSEDecoder()
    assert feed(cut(stream, places), in_pieces) == feed([stream], whole)
    assert in_pieces.feed_eof() == whole.feed_eof()
    assert in_pieces.last_event_id == whole.last_event_id


@given(streams, places, st.integers(1, 30))
def test_cuts_make_no_difference_to_the_limit(stream: bytes, places: list[int], limit: int) -> None:
    stream = stream.removeprefix(BOM)
    whole = feed_until_outgrown([stream], SSEDecoder(max_event_bytes=limit))
    assert feed_until_outgrown(cut(stream, places), SSEDecoder(max_event_bytes=limit)) == whole


# httpx-sse, the reference


def by_httpx_sse(stream: bytes, places: list[int]) -> list[tuple[str, str, str, int | None]]:
    """What httpx-sse's decoders make of the stream, but for the known deviations of ours, which are all here."""
    text = stream.decode("utf-8", "replace")
    text = text.removeprefix("\ufeff")  # 1. It takes a byte order mark for text.
    line_decoder, decoder = httpx_sse_decoders.SSELineDecoder(), httpx_sse_decoders.SSEDecoder()
    text_places = sorted({min(place, len(text)) for place in places})
    reads = [text[start:end] for start, end in zip([0, *text_places], [*text_places, len(text)], strict=True)]
    lines = [line for read in reads if read for line in line_decoder.decode(read)] + line_decoder.flush()
    # 2. It drops an event whose empty line is missing at the end of the stream.
    lines.append("")
    found: list[tuple[str, str, str, int | None]] = []
    has_data, retry = False, None
    for line in lines:
        has_data = has_data or line.partition(":")[0] == "data"
        sse = decoder.decode(line)
        if line.startswith("retry") and re.fullmatch("retry: ?[0-9]{1,18}", line):
            retry = int(line[6:])  # 3. It takes all that int() takes, such as "-1", " 2" and "1_0".
        if sse is not None and has_data:
            found.append((sse.event, sse.data, sse.id, retry))
            retry = None  # 4. It makes events of blocks without data; ours keep their retry for the next event.
        has_data = has_data and line != ""
    return found


@pytest.mark.skipif(
    not hasattr(httpx_sse_decoders, "SSELineDecoder"), reason="an httpx-sse that splits lines at U+2028 is no reference"
)
@given(streams, places)
def test_agrees_with_httpx_sse(stream: bytes, places: list[int]) -> None:
    decoder = SSEDecoder()
    payloads = [*feed(cut(stream, places), decoder), *decoder.feed_eof()]
    retries = [payload.retry if isinstance(payload, Event) else None for payload in payloads]
    ours = [(*event, retry) for event, retry in zip(as_standard(payloads), retries, strict=True)]
    assert ours == by_httpx_sse(stream, places)


NAMED = [
    b"event: a\ndata: 1\n\nevent: b\ndata: 2\n\n",
    b"event: a\ndata: 1\n\ndata: 2\n\nevent: c\ndata: 3\n\n",
    b"event: a\r\ndata: 1\r\n\r\nevent: b\r\ndata: 2\r\n\r\n",
    b"event: a\ndata: 1\ndata: 2\n\nevent: b\nid: 7\ndata: 3\n\n",
    b"event: a\nevent: b\ndata: 1\n\nevent: a\n\ndata: 2\n\nevent: c\ndata:\n\n",
    b": ping\n\nevent: a\ndata: 1\n\nevent: b\ndata: 2\n\n: ping\n\n",
    b"\xef\xbb\xbfevent: a\ndata: 1\n\nevent: b\ndata: event: c\n\n",
]


@pytest.mark.parametrize("stream", NAMED, ids=range(len(NAMED)))
def test_without_names_an_event_is_its_data(stream: bytes) -> None:
    def data_of(payloads: list[bytes | Event]) -> list[bytes]:
        return [payload if isinstance(payload, bytes) else payload.data for payload in payloads]

    named = SSEDecoder()
    expected = data_of([*named.feed_data(stream), *named.feed_eof()])
    for place in range(len(stream) + 1):
        decoder = SSEDecoder(names=False)
        payloads = [*decoder.feed_data(stream[:place]), *decoder.feed_data(stream[place:]), *decoder.feed_eof()]
        assert data_of(payloads) == expected
        assert all(isinstance(payload, bytes) or payload.id or payload.retry for payload in payloads)


def test_without_names_a_long_event_is_still_too_long() -> None:
    decoder = SSEDecoder(max_event_bytes=20, names=False)
    assert decoder.feed_data(b"event: a\ndata: 1\n\n") == [b"1"]
    with pytest.raises(LimitExceededError):
        decoder.feed_data(b"event: a\ndata: %b\n\n" % (b"x" * 40))
