"""`python -m tests.fuzz.growth sse|chunks|http`: what reading costs when there is twice as much to read.

Every input is one that an adversary would send: a piece of it again and again, whole or in small reads. Twice as much of
it may cost twice as much, and not four times.
"""

import argparse
import gc
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, TypeAlias

import httpx

from tokenwire.exceptions import LimitExceededError
from tokenwire.http.protocol import ResponseReader
from tokenwire.wire.chunks import ChunkDecoder
from tokenwire.wire.sse import SSEDecoder

from .targets import SHAPES, TARGETS

MOST = 3.3  # times as much for twice as much: a linear reader is near 2, a quadratic one near 4
ENOUGH_SECONDS = 0.03  # that the smaller input takes, or counts for: less than that is mostly noise
MOST_PIECES = 1 << 20
TRIES = 6

Reading: TypeAlias = Callable[[int], object]  # of so many pieces

READS = {"whole": 1 << 30, "in reads of 1000": 1000, "byte by byte": 1}


def growth(read: Reading) -> float:
    """How many times as much it costs to read twice as much: the lowest of some measurements."""
    pieces = 64
    while (cost := _seconds(partial(read, pieces))) < ENOUGH_SECONDS and pieces < MOST_PIECES:
        pieces *= 2
    lowest = float("inf")
    for _ in range(TRIES):
        cost = min(cost, _seconds(partial(read, pieces)))
        lowest = min(lowest, _seconds(partial(read, 2 * pieces)) / max(cost, ENOUGH_SECONDS))
        if lowest < 0.8 * MOST:
            break
    return lowest


def _seconds(call: Callable[[], object]) -> float:
    gc.collect()
    gc.disable()
    started = time.process_time()
    try:
        call()
    finally:
        seconds = time.process_time() - started
        gc.enable()
    return seconds


def _cut(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


# What httptools puts together as it comes, each part behind the last. `max_header_bytes` bounds it.
BOUNDED = frozenset(f"{what}, byte by byte" for what in ("a long name", "a long value", "a value of spaces", "a long reason"))


# --- server-sent events

_SSE = [
    b"data: a\n\n", b"data: a\r\n\r\n", b"data: a\r\r", b"data: a\n", b"data\n", b"data:\n\n", b":\n", b":", b"x", b"\n", b"\r", b"\r\n",
    b"\r\n\r", b"event: a\n", b"event: a\n\n", b"id: 1\n\n", b"retry: 1\n", b"data: a\n\n:\n", b"data: a\n\n\n", b"\xef\xbb\xbf", b"data: ",
]  # fmt: skip


def _read_events(start: bytes, piece: bytes, size: int, pieces: int) -> None:
    decoder = SSEDecoder(max_event_bytes=1 << 30)
    for read in _cut(start + piece * pieces, size):
        decoder.feed_data(read)
    decoder.feed_eof()


def _sse() -> Iterator[tuple[str, Reading]]:
    for name, size in READS.items():
        for start in (b"", b"data: "):
            for piece in _SSE:
                yield f"{start!r} and n times {piece!r}, {name}", partial(_read_events, start, piece, size)


# --- chunks

_CHUNK = b'{"id":"1","choices":[{"index":0,"delta":%b}]}'
_PARTS = [  # of a delta; the number stands for %d
    b'"content":"a"', b'"content":"%d"', b'"content":"\\u00e4"', b'"reasoning":"a"', b'"reasoning_content":"%d"', b'"x%d":1',
    b'"role":"assistant"', b'"refusal":"a"', b'"audio":{"data":"a","x%d":1}', b'"images":[%d]', b'"thinking_blocks":[{"a":%d}]',
    b'"tool_calls":[{"index":0,"function":{"arguments":"a"}}]', b'"tool_calls":[{"index":%d,"id":"%d","function":{"name":"f"}}]',
    b'"tool_calls":[{"index":0,"id":"%d","function":{"name":"f"}}]', b'"tool_calls":[{"function":{"name":"f","arguments":"a"}}]',
    b'"function_call":{"arguments":"a"}', b'"provider_specific_fields":{"x%d":1}',
]  # fmt: skip
_EVENTS = [
    *[_CHUNK % (b"{%b}" % part) for part in _PARTS], b'{"choices":[{"index":%d,"delta":{"content":"a"}}]}', b"null", b"", b'{"type":"ping"}',
    b'{"choices":[],"usage":{"prompt_tokens":%d}}', b'{"choices":null,"usage":{}}', b'{"id":"1","choices":[],"x%d":1}',
    b'{"choices":[{"index":0,"delta":{},"logprobs":{"content":[{"token":"a"}]},"x%d":1}]}',
    b'{"choices":[{"index":0,"delta":{"content":"a","x":"a","y":[{"index":%d,"z":"a"}]}}]}',
]  # fmt: skip
_LONG_EVENTS = {  # what stands before, n times, and behind
    "a long text": (b'{"choices":[{"delta":{"content":"', b"a", b'"}}]}'),
    "a long text of escapes": (b'{"choices":[{"delta":{"content":"', b"\\u00e4", b'"}}]}'),
    "many choices": (b'{"choices":[', b'{"index":%d,"delta":{"content":"a"}},', b'{"index":0}]}'),
    "many choices with a field of their own": (b'{"choices":[', b'{"index":%d,"delta":{"x":"a"}},', b'{"index":0}]}'),
    "many items of a list of their own": (b'{"choices":[{"delta":{"x":[', b'{"index":%d,"y":"a"},', b"1]}}]}"),
    "many tool calls": (b'{"choices":[{"delta":{"tool_calls":[', b'{"index":%d,"id":"a"},', b"{}]}}]}"),
    "many fields": (b'{"id":"1","choices":[],', b'"x%d":1,', b'"x":1}'),
    "the same field again": (b'{"id":"1","choices":[],', b'"x":1,', b'"x":1}'),
    "deep nesting": (b'{"choices":[],"x":', b"[", b""),
    "deep nesting of objects": (b'{"choices":[],"x":', b'{"a":', b""),
    "spaces": (b"", b" ", b'{"choices":[]}'),
    "half a text": (b'{"choices":[{"delta":{"content":"', b"a", b""),
    "what is no JSON": (b"", b"a", b""),
    "an error's long message": (b'{"error":{"message":"', b"a ", b'"}}'),
}


def _numbered(piece: bytes, count: int) -> Iterator[bytes]:
    return (piece.replace(b"%d", b"%d" % number) for number in range(count))


def _decode(batches: Iterable[list[Any]], shape: Any) -> None:
    decoder = ChunkDecoder(shape, text=False, model="m")
    for batch in batches:
        decoder.decode(batch)
        decoder.assembler.is_complete()
    response = decoder.assembler.response()
    if response is not None:
        response.model_dump_json()


def _decode_events(event: bytes, size: int, shape: Any, pieces: int) -> None:
    events = list(_numbered(event, pieces))
    _decode((events[start : start + size] for start in range(0, pieces, size)), shape)


def _decode_long_event(parts: tuple[bytes, bytes, bytes], shape: Any, pieces: int) -> None:
    before, piece, behind = parts
    _decode([[before + b"".join(_numbered(piece, pieces)) + behind]], shape)


def _chunks() -> Iterator[tuple[str, Reading]]:
    for shape in SHAPES:
        for event in _EVENTS:
            for size, name in ((1, "one at a time"), (1000, "1000 at a time")):
                yield f"n times {event!r}, {name}, {shape.__name__}", partial(_decode_events, event, size, shape)
        for name, parts in _LONG_EVENTS.items():
            yield f"{name}, {shape.__name__}", partial(_decode_long_event, parts, shape)


# --- HTTP

_OK = b"HTTP/1.1 200 OK\r\n"
_CHUNKED = _OK + b"transfer-encoding: chunked\r\n\r\n"
_RESPONSES = {  # what stands before, and n times behind it
    "headers": (_OK, b"x: y\r\n"),
    "a long name": (_OK, b"x"),
    "a long value": (_OK + b"x: ", b"y"),
    "a value of spaces": (_OK + b"x: ", b" "),
    "a long reason": (b"HTTP/1.1 200 ", b"x"),
    "empty lines before": (b"", b"\r\n"),
    "heads before the head": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "chunks": (_CHUNKED, b"1\r\nx\r\n"),
    "a long chunk extension": (_CHUNKED + b"1;", b"x"),
    "noughts before a chunk's size": (_CHUNKED, b"0"),
    "trailers": (_CHUNKED + b"0\r\n", b"x: y\r\n"),
    "a body": (_OK + b"content-length: 1000000000\r\n\r\n", b"x"),
    "a body without an end": (_OK + b"\r\n", b"x"),
    "bytes behind a response": (_OK + b"content-length: 0\r\n\r\n", b"x"),
    "responses behind a response": (b"", _OK + b"content-length: 0\r\n\r\n"),
}


def _read_response(parts: tuple[bytes, bytes], size: int, pieces: int) -> None:
    reader = ResponseReader(max_header_bytes=1 << 30)
    reader.expect(b"GET")
    for read in _cut(parts[0] + parts[1] * pieces, size):
        reader.feed_data(read)
        reader.take_body()
    reader.close()


def _http() -> Iterator[tuple[str, Reading]]:
    for name, size in READS.items():
        for what, parts in _RESPONSES.items():
            yield f"{what}, {name}", partial(_read_response, parts, size)


# ---

READINGS: dict[str, Callable[[], Iterator[tuple[str, Reading]]]] = {"sse": _sse, "chunks": _chunks, "http": _http}


def steep(target: str) -> list[str]:
    """The inputs of a target that cost too much when there is twice as much of them, with how many times as much."""
    found: list[str] = []
    for name, read in READINGS[target]():
        if name in BOUNDED:
            continue
        times = growth(_until_refused(read))
        if times > MOST:
            found.append(f"{name}: {times:.1f}")
    return found


def _until_refused(read: Reading) -> Reading:
    def reading(pieces: int) -> None:
        try:
            read(pieces)
        except (LimitExceededError, httpx.RemoteProtocolError):
            pass

    return reading


def main() -> int:
    """Run the command; what to exit with."""
    parser = argparse.ArgumentParser("python -m tests.fuzz.growth", description=__doc__)
    parser.add_argument("target", choices=list(TARGETS))
    target = parser.parse_args().target
    found = steep(target)
    count = sum(1 for _ in READINGS[target]())
    print(f"{target}: {count} inputs read, {len(found)} of them cost more than {MOST} times as much for twice as much")
    for line in found:
        print(f"  {line}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
