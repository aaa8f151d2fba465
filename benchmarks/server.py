"""The canned endpoint, in its own process: everything it sends is rendered in advance.

The model's name in a request selects the answer, on a plain and on a TLS port:

- `burst-N-KIND`: a stream of N chunks of a kind as fast as the client takes them, of text where no kind is named; see
  `kinds`. Each event is an HTTP chunk of its own, as servers write them, and many of those go into one write.
- `first`: a stream at zero latency: the head and the first text in one write, the rest in the next.
- `inflight-MS`: the same with MS milliseconds (give or take a half) between the two.
- `hold-KIND`: the same with chunks of a kind, but the rest comes when `/control/release` says so.
- `paced-N-RATE-KIND`: the same with chunks of a kind, but from `/control/go` until then N more come, RATE each second, each
  in a packet of its own. The streams are out of step.
- `partials-N-SHAPE`: about N KB of JSON in deltas of four characters; see `objects`.
- `whole-MS`: an answer that is not streamed, after MS milliseconds, at once where there is no number.
- `vectors-N-D`: N vectors of D numbers, as base64 text where the request asks for that, else as lists.

`/control/...` gives numbers: `cpu` (seconds used), `held` (streams that wait for the release).
"""

import asyncio
import base64
import json
import random
import ssl
import sys
import time
from array import array
from collections.abc import Callable
from typing import Any

import httptools
import trustme
import uvloop

from .clock import GO_S
from .kinds import GOLDEN, KINDS, OPENAI, WORDS, Kind
from .objects import pieces_of
from .worker import raise_file_limit

EVENTS_PER_WRITE = 64
EVENT_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\n"
    b"date: Mon, 05 Oct 2026 10:00:00 GMT\r\n"
    b"content-type: text/event-stream; charset=utf-8\r\n"
    b"transfer-encoding: chunked\r\n"
    b"connection: keep-alive\r\n"
    b"cache-control: no-cache\r\n"
    b"openai-processing-ms: 121\r\n"
    b"openai-version: 2020-10-01\r\n"
    b"x-ratelimit-limit-requests: 10000\r\n"
    b"x-ratelimit-remaining-requests: 9999\r\n"
    b"x-request-id: req_4d1c0ffee0a94a6fb0f2a1c3d5e7f901\r\n\r\n"
)
USAGE = {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21}


def _chunked(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def _event(chunk: dict[str, Any]) -> bytes:
    return _chunked(b"data: " + json.dumps(chunk, separators=(",", ":"), ensure_ascii=False).encode() + b"\n\n")


class Canned:
    """A kind of stream, rendered. Attributes: `opening` and `ending`, what is written around its events."""

    def __init__(self, kind: Kind) -> None:
        self.opening: bytes = EVENT_STREAM_HEAD + b"".join(map(_event, kind.opening))
        self.ending: bytes = b"".join(map(_event, kind.ending)) + _chunked(b"data: [DONE]\n\n") + b"0\r\n\r\n"
        self._kind = kind
        self._events: list[bytes] = []
        self._bursts: dict[int, list[bytes]] = {}

    def events(self, count: int) -> list[bytes]:
        """Its first events, that many or more."""
        self._events += [_event(self._kind.event(place)) for place in range(len(self._events), count)]
        return self._events

    def burst(self, count: int) -> list[bytes]:
        """The writes of so many events, as few as a server needs."""
        if count not in self._bursts:
            events = self.events(count)[:count]
            groups = [b"".join(events[start : start + EVENTS_PER_WRITE]) for start in range(0, count, EVENTS_PER_WRITE)]
            self._bursts[count] = [self.opening, *groups, self.ending]
        return self._bursts[count]


_DONE = _chunked(b"data: [DONE]\n\n") + b"0\r\n\r\n"
CANNED = {name: Canned(kind) for name, kind in KINDS.items()}
TEXT = CANNED["text"]
FIRST = TEXT.opening + TEXT.events(1)[0]


def _whole() -> bytes:
    message = {"role": "assistant", "content": "".join(WORDS), "refusal": None, "annotations": []}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return _with_head(json.dumps({"object": "chat.completion", **OPENAI, "choices": [choice], "usage": USAGE}).encode())


def _with_head(body: bytes) -> bytes:
    head = EVENT_STREAM_HEAD.replace(b"text/event-stream; charset=utf-8", b"application/json")
    return head.replace(b"transfer-encoding: chunked", b"content-length: %d" % len(body)) + body


WHOLE = _whole()


def _vectors(count: int, dimensions: int, *, as_base64: bool) -> bytes:
    numbers = random.Random(1)
    vector = array("f", (numbers.gauss(0, 0.03) for _ in range(dimensions)))
    said = base64.b64encode(vector.tobytes()).decode() if as_base64 else vector.tolist()
    data = [{"object": "embedding", "index": place, "embedding": said} for place in range(count)]
    return _with_head(json.dumps({"object": "list", "model": OPENAI["model"], "data": data, "usage": USAGE}).encode())


def _partials(kilobytes: int, shape: str) -> list[bytes]:
    """The writes of a JSON answer, each event in a write of its own."""
    chunk = {"object": "chat.completion.chunk", **OPENAI}
    deltas = [{"role": "assistant", "content": ""}, *({"content": piece} for piece in pieces_of(kilobytes, shape)), {}]
    choices = [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None if delta else "stop"} for delta in deltas]
    return [EVENT_STREAM_HEAD, *(_event({**chunk, "choices": [each]}) for each in choices), _DONE]


class Server:
    """What all connections share."""

    def __init__(self) -> None:
        self.held: dict[Connection, bytes] = {}  # with what each ends by
        self.ready: dict[Connection, Callable[[], None]] = {}  # held too, and waiting for "go"
        self.vectors: dict[tuple[int, int, bool], bytes] = {}
        self.partials: dict[tuple[int, str], list[bytes]] = {}
        self._served = 0

    def spread(self) -> float:
        """A number from 0 to 1, a different one each time and evenly spread, so that streams are not synchronized."""
        self._served += 1
        return self._served * GOLDEN % 1.0

    def control(self, what: str) -> float:
        """Answer a question about the server itself."""
        if what == "cpu":
            return time.process_time()
        if what == "go":
            for start in self.ready.values():
                start()
            self.ready.clear()
        if what == "release":
            for connection, ending in self.held.items():
                connection.write(ending)
            self.held.clear()
        return len(self.held)


class Connection(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._body: list[bytes] = []
        self._path = b""
        self._waiting: list[bytes] = []  # writes of a burst that the client has no room for, the last first
        self._is_paused = False
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self.write: Callable[[bytes], None] = transport.write

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, error: Exception | None) -> None:
        self._server.held.pop(self, None)
        self._server.ready.pop(self, None)
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False
        self._pour()

    def on_url(self, path: bytes) -> None:
        self._path += path

    def on_body(self, data: bytes) -> None:
        self._body.append(data)

    def on_message_complete(self) -> None:
        path, self._path = self._path.decode(), b""
        if path.startswith("/control/"):
            answer = json.dumps(self._server.control(path.removeprefix("/control/"))).encode()
            self.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s" % (len(answer), answer))
            self._transport.close()
            return
        self._asked: dict[str, Any] = json.loads(b"".join(self._body))
        self._body.clear()
        reply, *words = self._asked["model"].split("-")
        getattr(self, f"_reply_{reply}")(*(int(word) if word.isdigit() else word for word in words))

    # --- replies

    def _reply_whole(self, milliseconds: int = 0) -> None:
        if milliseconds:
            self._timer = self._loop.call_later(milliseconds / 1000, self.write, WHOLE)
        else:
            self.write(WHOLE)

    def _reply_partials(self, kilobytes: int, shape: str) -> None:
        key = kilobytes, shape
        if key not in self._server.partials:
            self._server.partials[key] = _partials(kilobytes, shape)
        self._waiting = self._server.partials[key][::-1]
        self._pour()

    def _reply_vectors(self, count: int, dimensions: int) -> None:
        key = count, dimensions, self._asked.get("encoding_format") == "base64"
        if key not in self._server.vectors:
            self._server.vectors[key] = _vectors(count, dimensions, as_base64=key[2])
        self.write(self._server.vectors[key])

    def _reply_burst(self, count: int, kind: str = "text") -> None:
        self._waiting = CANNED[kind].burst(count)[::-1]
        self._pour()

    def _pour(self) -> None:
        while self._waiting and not self._is_paused:
            self.write(self._waiting.pop())

    def _reply_first(self) -> None:
        self.write(FIRST)
        self._loop.call_soon(self.write, TEXT.ending)

    def _reply_inflight(self, milliseconds: int) -> None:
        self.write(FIRST)
        self._timer = self._loop.call_later(milliseconds / 1000 * (0.5 + self._server.spread()), self.write, TEXT.ending)

    def _reply_hold(self, kind: str = "text") -> None:
        canned = CANNED[kind]
        self.write(canned.opening + canned.events(1)[0])
        self._server.held[self] = canned.ending

    def _reply_paced(self, count: int, rate: int, kind: str = "text") -> None:
        self._reply_hold(kind)
        events = CANNED[kind].events(count + 1)[: count + 1]
        self._server.ready[self] = lambda: self._pace(events, 1 / rate)

    def _pace(self, events: list[bytes], interval: float) -> None:
        self._tick(events, 1, interval, self._loop.time() + GO_S + interval * self._server.spread())

    def _tick(self, events: list[bytes], place: int, interval: float, at: float) -> None:
        if place > 1:
            self.write(events[place - 1])
        if place < len(events):
            self._timer = self._loop.call_at(at, self._tick, events, place + 1, interval, at + interval)


async def serve(certificate_file: str) -> None:
    """Serve until standard input closes; prints the ports as JSON and writes the authority's certificate."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(certificate_file)
    loop = asyncio.get_running_loop()
    server = Server()
    listening = [
        await loop.create_server(lambda: Connection(server), "127.0.0.1", 0, ssl=context_or_none, backlog=8192)
        for context_or_none in (None, context)
    ]
    http, https = (listener.sockets[0].getsockname()[1] for listener in listening)
    print(json.dumps({"http": f"http://127.0.0.1:{http}", "https": f"https://127.0.0.1:{https}"}), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    raise_file_limit()
    uvloop.run(serve(sys.argv[1]))
