"""What is fuzzed: each target takes any bytes, reads them in two ways, and fails where it must not come to what it did.

The first byte says how the rest is cut into reads, the second what the reader is like; see `_parts`. Only documented
exceptions may be raised, and however the bytes are cut, the same must come out.
"""

from collections.abc import Callable, Iterator
from typing import Any

import httpx

from tokenwire.exceptions import APIError, LimitExceededError
from tokenwire.http.protocol import HeadersTooLarge, ResponseReader, State, headers_in, reason_in
from tokenwire.types import GenericStreamingChunk, ModelResponse, ModelResponseStream, TextCompletionResponse
from tokenwire.wire.bodies import decode_body
from tokenwire.wire.chunks import ChunkDecoder
from tokenwire.wire.convert import Chunk, Shape
from tokenwire.wire.sse import Event, Payload, SSEDecoder

SHAPES: list[Shape] = [ModelResponseStream, GenericStreamingChunk, TextCompletionResponse]
MADE_UP = ("id", "created")  # where a server sends none, those of converted chunks differ
LATE = (*MADE_UP, "system_fingerprint", "service_tier")  # the hot path does not look for them behind an answer's beginning
MOST_HEADER_BYTES = 64  # where the limit is what is looked at


def _parts(data: bytes) -> tuple[int, int, bytes]:
    """The size of a read, a number from which a target takes its choices, and the bytes to read."""
    size, choice = data[:1] or b"\0", data[1:2] or b"\0"
    return 1 + size[0] % 64, choice[0], data[2:]


def _cut(data: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


# --- server-sent events


def sse(data: bytes) -> None:
    """The same events, or the same limit, however they are cut; nothing but the limit is ever raised."""
    size, choice, stream = _parts(data)
    limit = 4 << choice % 16
    assert _events([stream], limit) == _events(_cut(stream, size), limit)


def _events(reads: Iterator[bytes] | list[bytes], limit: int) -> tuple[list[Payload], bool, str]:
    """The events, whether one outgrew the limit, and the last id."""
    decoder = SSEDecoder(max_event_bytes=limit)
    events: list[Payload] = []
    try:
        for read in reads:
            events += decoder.feed_data(read)
        events += decoder.feed_eof()
    except LimitExceededError:
        return events, True, ""
    return events, False, decoder.last_event_id


# --- chunks


class LongWayRound(ChunkDecoder):
    """A decoder without a hot path."""

    def decode(self, events: list[Payload]) -> list[Chunk]:
        """As the decoder's own."""
        return self._decode_each(events)


def chunks(data: bytes) -> None:
    """The hot path gives what the long way round gives; what is wrong with an event is one of our errors."""
    size, choice, stream = _parts(data)
    decoder = SSEDecoder()
    events = [*decoder.feed_data(stream), *decoder.feed_eof()]
    batches = [events[start : start + size] for start in range(0, len(events), size)]
    shape, text = SHAPES[choice % 3], bool(choice & 4)
    hot, long = ChunkDecoder(shape, text=text, model="m"), LongWayRound(shape, text=text, model="m")
    assert _all_of(hot, batches) == _all_of(long, [events])
    for event in events[:1]:
        _bodies(event.data if isinstance(event, Event) else event, shape, text=text)


def _all_of(decoder: ChunkDecoder, batches: list[list[Payload]]) -> Any:
    """All that a caller can see, but for the ids and times that converted chunks are given here."""
    seen: list[Any] = []
    for batch in batches:
        seen += map(_seen, decoder.decode(batch))
        if decoder.done or decoder.error is not None:
            break
    error, response = decoder.error, decoder.assembler.response()
    assert error is None or isinstance(error, APIError)
    return (
        seen,
        decoder.done,
        error and (type(error), error.message, error.status_code, error.body, error.code, error.type),
        response and _seen(response, but_for=LATE),
        decoder.assembler.usage,
        decoder.assembler.is_complete(),
    )


def _seen(record: Any, but_for: tuple[str, ...] = MADE_UP) -> Any:
    record.model_dump_json()
    dumped = {**record.model_dump(), **dict.fromkeys(but_for)}
    return type(record), record.raw, record.provider_specific_fields, repr(dumped)  # not a number is not itself


def _bodies(data: bytes, shape: Shape, *, text: bool) -> None:
    for cls in (ModelResponse, TextCompletionResponse):
        try:
            _seen(decode_body(data, cls))
        except APIError:
            pass
    try:
        ChunkDecoder(shape, text=text, model="m").decode_document(data)
    except APIError:
        pass


# --- HTTP


def http(data: bytes) -> None:
    """The same response, or none, however it is cut; nothing but the named errors is ever raised."""
    size, choice, stream = _parts(data)
    method = b"HEAD" if choice & 1 else b"GET"
    assert _response([stream], method) == _response(_cut(stream, size), method)
    for reads in ([stream], _cut(stream, size)):
        try:
            _response_within(reads, ResponseReader(max_header_bytes=MOST_HEADER_BYTES), method)
        except httpx.RemoteProtocolError:
            pass


def _response(reads: Iterator[bytes] | list[bytes], method: bytes) -> Any:
    reader = ResponseReader()
    try:
        return _response_within(reads, reader, method)
    except HeadersTooLarge:
        return "too large"
    except httpx.RemoteProtocolError:
        return None
    finally:
        reader.close()


def _response_within(reads: Iterator[bytes] | list[bytes], reader: ResponseReader, method: bytes) -> Any:
    reader.expect(method)
    body = b""
    for read in reads:
        reader.feed_data(read)
        body += reader.take_body()
    reader.feed_eof()
    assert reader.state is State.COMPLETE
    assert not reader.is_reusable()
    return reader.status, reason_in(reader.head), headers_in(reader.head), body


# --- what a fuzzer begins with

TARGETS: dict[str, Callable[[bytes], None]] = {"sse": sse, "chunks": chunks, "http": http}

_CHUNK = b'{"id":"1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":%s,"finish_reason":null}]}'
_DELTAS = [
    b'{"role":"assistant","content":""}', *[b'{"content":"%d"}' % number for number in range(12)], b'{"reasoning":"r"}',
    b'{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}]}', b'{"content":"\\u00e4\\ud83d\\ude00"}',
]  # fmt: skip
_EVENTS = [
    *[_CHUNK % delta for delta in _DELTAS], b"[DONE]", b"null", b"{}", b'{"error":{"message":"slow","code":429}}', b'{"error":"boo"}',
    b'{"id":"1","object":"text_completion","created":1,"model":"m","choices":[{"text":"a","index":1,"logprobs":{"tokens":["a"]}}]}',
    b'{"choices":null,"usage":{"prompt_tokens":1,"completion_tokens_details":{"reasoning_tokens":2}}}', b'{"choices":[',
    b'{"choices":[{"index":0,"finish_reason":"stop","delta":{"audio":{"data":"x"},"x":1e400},"message":{"content":"whole"}}]}',
]  # fmt: skip
_HEADS = [
    b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nx: y\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204\r\nconnection: close\r\n\r\n", b"HTTP/1.1 101 Switching\r\nupgrade: x\r\n\r\n",
]  # fmt: skip

SEEDS: dict[str, list[bytes]] = {
    "sse": [
        b"data: a\n\ndata: b\n\n", b"\xef\xbb\xbfdata: a\r\n\r\n", b"data:a\rdata\r\r", b"event: x\nid: 1\nretry: 10\ndata: a\n\n:\n\n",
    ],
    "chunks": [b"".join(b"data: %s\n\n" % event for event in events) for events in [_EVENTS, *([event] for event in _EVENTS)]],
    "http": _HEADS,
}  # fmt: skip

TOKENS: dict[str, list[bytes]] = {
    "sse": [b"data: ", b"data:", b"event: ", b"id: ", b"retry: 5", b"\r\n", b"\n\n", b"\r\r", b"\xef\xbb\xbf", b"\n\ndata: "],
    "chunks": [
        *[b'"%s":' % name for name in b"""choices delta content index finish_reason tool_calls function arguments name id
            usage error message code type text logprobs reasoning reasoning_content provider_specific_fields audio images
            refusal role model created function_call annotations thinking_blocks tokens prompt_tokens""".split()],
        b"null", b"[DONE]", b"\\ud800", b"1e999", b"-1", b"true", b"{}", b"[]", b"\n\ndata: ", b"event: error\n", b"event: ping\n",
    ],
    "http": [
        b"HTTP/1.1 ", b"content-length: ", b"transfer-encoding: ", b"chunked", b"connection: ", b"keep-alive", b"close", b"upgrade",
        b"\r\n\r\n", b"0\r\n\r\n", b"gzip, chunked", b"100 Continue", b"204", b"304",
    ],
}  # fmt: skip
