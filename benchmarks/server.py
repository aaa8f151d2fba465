"""The canned endpoint, in a process of its own: everything it says is rendered before anybody asks.

The model's name in a request says what comes back, on a plain and on a TLS port:

- `burst-N`: a stream of N text chunks as fast as the client takes them. Each event is an HTTP chunk of its own, as
  servers write them, and many of those go into one write.
- `first`: a stream at zero latency: the head and the first text in one write, the rest in the next.
- `inflight-MS`: the same with MS milliseconds (give or take a half) between the two.
- `hold`: the same, but the rest comes when `/control/release` says so.
- `paced-N-RATE`: the same, but from `/control/go` until then N more texts come, RATE each second, each in a packet of its
  own. The streams are out of step.
- `whole`: an answer that is not streamed.

`/control/...` gives numbers: `cpu` (seconds used), `held` (streams that wait for the release).
"""

import asyncio
import json
import ssl
import sys
import time
from collections.abc import Callable
from typing import Any

import httptools
import trustme
import uvloop

from .clock import GO_S
from .worker import raise_file_limit

EVENTS_PER_WRITE = 64
WORDS = (
    " the| and| of| stream| token| a| quick|er|,| it| is|.|\n\n| \u201cyes\u201d| na\u00efve| because| 3|.14| \\| \"so\"| however|ing|s| "
    "wire| language| model| answers| with| words| that| arrive| one| by"
).split("|")  # fmt: skip

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
ABOUT = {
    "id": "chatcmpl-C7k2mQxV9uWbYt3Jr5sZpLh8AaDfE",
    "created": 1790000000,
    "model": "gpt-4o-mini-2024-07-18",
    "service_tier": "default",
    "system_fingerprint": "fp_560af6e559",
}
USAGE = {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21}


def _chunked(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def _event(delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    chunk = {"object": "chat.completion.chunk", **ABOUT, "choices": [choice], "usage": None}
    return _chunked(b"data: " + json.dumps(chunk, separators=(",", ":"), ensure_ascii=False).encode() + b"\n\n")


TEXTS = [_event({"content": word}) for word in WORDS]
OPENING = EVENT_STREAM_HEAD + _event({"role": "assistant", "content": "", "refusal": None})
ENDING = _event({}, "stop") + _chunked(b"data: [DONE]\n\n") + b"0\r\n\r\n"


def _whole() -> bytes:
    message = {"role": "assistant", "content": "".join(WORDS), "refusal": None, "annotations": []}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    body = json.dumps({"object": "chat.completion", **ABOUT, "choices": [choice], "usage": USAGE}).encode()
    head = EVENT_STREAM_HEAD.replace(b"text/event-stream; charset=utf-8", b"application/json")
    return head.replace(b"transfer-encoding: chunked", b"content-length: %d" % len(body)) + body


WHOLE = _whole()


def _burst(count: int) -> list[bytes]:
    """The writes of a burst."""
    events = [TEXTS[place % len(TEXTS)] for place in range(count)]
    groups = [b"".join(events[start : start + EVENTS_PER_WRITE]) for start in range(0, count, EVENTS_PER_WRITE)]
    return [OPENING, *groups, ENDING]


class Server:
    """What all connections share."""

    def __init__(self) -> None:
        self.held: set[Connection] = set()
        self.ready: dict[Connection, Callable[[], None]] = {}  # held too, and waiting for "go"
        self.bursts: dict[int, list[bytes]] = {}
        self._served = 0

    def spread(self) -> float:
        """A number from 0 to 1, another each time, evenly spread: streams shall not march in step."""
        self._served += 1
        return self._served * 0.6180339887 % 1.0

    def control(self, what: str) -> float:
        """Answer a question about the server itself."""
        if what == "cpu":
            return time.process_time()
        if what == "go":
            for start in self.ready.values():
                start()
            self.ready.clear()
        if what == "release":
            for connection in self.held:
                connection.write(ENDING)
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
        self._server.held.discard(self)
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
        model = json.loads(b"".join(self._body))["model"]
        self._body.clear()
        kind, *numbers = model.split("-")
        getattr(self, f"_reply_{kind}")(*map(int, numbers))

    # --- replies

    def _reply_whole(self) -> None:
        self.write(WHOLE)

    def _reply_burst(self, count: int) -> None:
        if count not in self._server.bursts:
            self._server.bursts[count] = _burst(count)
        self._waiting = self._server.bursts[count][::-1]
        self._pour()

    def _pour(self) -> None:
        while self._waiting and not self._is_paused:
            self.write(self._waiting.pop())

    def _reply_first(self) -> None:
        self.write(OPENING + TEXTS[0])
        self._loop.call_soon(self.write, ENDING)

    def _reply_inflight(self, milliseconds: int) -> None:
        self.write(OPENING + TEXTS[0])
        self._timer = self._loop.call_later(milliseconds / 1000 * (0.5 + self._server.spread()), self.write, ENDING)

    def _reply_hold(self) -> None:
        self.write(OPENING + TEXTS[0])
        self._server.held.add(self)

    def _reply_paced(self, count: int, rate: int) -> None:
        self._reply_hold()
        self._server.ready[self] = lambda: self._pace(count, 1 / rate)

    def _pace(self, count: int, interval: float) -> None:
        self._tick(1, count, interval, self._loop.time() + GO_S + interval * self._server.spread())

    def _tick(self, place: int, count: int, interval: float, at: float) -> None:
        if place > 1:
            self.write(TEXTS[place % len(TEXTS)])
        if place <= count:
            self._timer = self._loop.call_at(at, self._tick, place + 1, count, interval, at + interval)


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
