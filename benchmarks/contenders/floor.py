"""The floor on asyncio and uvloop: the minimal cost, without a library and without any guarantee.

An `asyncio.Protocol`, llhttp, a split at the empty lines and one msgspec decode for each event (see `floor_chunks`), and for
the kinds of chunks a list that keeps them, as is needed to have the answer at the end. No deadlines, no limits, no errors
except Python's own, no events except `data: {...}`.
"""

import asyncio
import socket
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping
from itertools import cycle, islice
from typing import Any
from urllib.parse import urlsplit

import msgspec

from ..kinds import CYCLE, KINDS, LOOKS, flat_chunks
from . import API_KEY, MESSAGES, WORDS
from .floor_chunks import DECODERS, Decode, Response


class Connection(asyncio.Protocol):
    """A connection and its one reader."""

    def __init__(self) -> None:
        self.response = Response()
        self._loop = asyncio.get_running_loop()
        self._data: deque[bytes] = deque()
        self._waiter: asyncio.Future[None] | None = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._data.append(data)
        if self._waiter is not None:
            self._waiter.set_result(None)
            self._waiter = None

    def connection_lost(self, error: Exception | None) -> None:
        if self._waiter is not None:
            self._waiter.set_exception(error or EOFError())

    async def receive(self) -> bytes:
        if not self._data:
            self._waiter = self._loop.create_future()
            await self._waiter
        return self._data.popleft()

    async def send(self, data: bytes) -> None:
        self.response.begin()
        self.transport.write(data)

    async def aclose(self) -> None:
        self.transport.close()


class Client:
    """An address and its idle connections."""

    connection_class: type[Any] = Connection

    def __init__(self, base_url: str) -> None:
        url = urlsplit(base_url)
        self.host, self.port = url.hostname or "", url.port or 0
        self.context = ssl.create_default_context() if url.scheme == "https" else None
        self.idle: list[Any] = []
        self._head = (
            f"POST {url.path}/chat/completions HTTP/1.1\r\nhost: {url.netloc}\r\nauthorization: Bearer {API_KEY}\r\n"
            f"content-type: application/json\r\naccept: text/event-stream\r\ncontent-length: "
        ).encode()

    def request(self, model: str, *, stream: bool) -> bytes:
        body = msgspec.json.encode({"model": model, "messages": MESSAGES, "stream": stream})
        return b"%s%d\r\n\r\n%s" % (self._head, len(body), body)

    async def connection(self) -> Any:
        if self.idle:
            return self.idle.pop()
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(self.connection_class, self.host, self.port, ssl=self.context)
        return connection


def connect(base_url: str) -> Client:
    return Client(base_url)


async def ask(client: Client, model: str) -> Any:
    """Send a streamed call. Returns the connection for its answer."""
    connection = await client.connection()
    await connection.send(client.request(model, stream=True))
    return connection


async def read(client: Client, model: str) -> int:
    connection = await ask(client, model)
    response = connection.response
    count = 0
    while not response.is_complete:
        for chunk in response.feed_data(await connection.receive()):
            if chunk.choices[0].delta.content:
                count += 1
    client.idle.append(connection)
    return count


async def read_kind(client: Client, model: str, kind: str, decoders: Mapping[str, Decode] = DECODERS) -> int:
    look = LOOKS[KINDS[kind].brings]
    connection = await ask(client, model)
    response = connection.response
    response.decode = decoders[kind]
    kept: list[Any] = []
    count = 0
    while not response.is_complete:
        chunks = response.feed_data(await connection.receive())
        kept += chunks
        for chunk in chunks:
            if look(chunk):
                count += 1
    client.idle.append(connection)
    return count


async def read_first(client: Client, model: str) -> float:
    connection = await ask(client, model)
    response = connection.response
    first = 0.0
    while not response.is_complete:
        for chunk in response.feed_data(await connection.receive()):
            if not first and chunk.choices[0].delta.content:
                first = time.perf_counter()
    client.idle.append(connection)
    return first


async def whole(client: Client, model: str) -> int:
    connection = await client.connection()
    await connection.send(client.request(model, stream=False))
    answer = None
    while answer is None:
        answer = connection.response.feed_whole(await connection.receive())
    client.idle.append(connection)
    return len(answer.choices[0].message.content or "")


async def close(client: Client) -> None:
    for connection in client.idle:
        await connection.aclose()


# --- the floor for sync code: a blocking socket


def connect_sync(base_url: str) -> tuple[Client, socket.socket]:
    client = Client(base_url)
    return client, socket.create_connection((client.host, client.port))


def read_sync(client: tuple[Client, socket.socket], model: str) -> int:
    about, connection = client
    connection.sendall(about.request(model, stream=True))
    response = Response()
    count = 0
    while not response.is_complete:
        for chunk in response.feed_data(connection.recv(256 * 1024)):
            if chunk.choices[0].delta.content:
                count += 1
    return count


def read_sync_kind(client: tuple[Client, socket.socket], model: str, kind: str) -> int:
    look = LOOKS[KINDS[kind].brings]
    about, connection = client
    connection.sendall(about.request(model, stream=True))
    response = Response()
    response.decode = DECODERS[kind]
    kept: list[Any] = []
    count = 0
    while not response.is_complete:
        chunks = response.feed_data(connection.recv(256 * 1024))
        kept += chunks
        for chunk in chunks:
            if look(chunk):
                count += 1
    return count


def close_sync(client: tuple[Client, socket.socket]) -> None:
    client[1].close()


# --- the floor for handlers: an async generator and nothing around it


async def _pieces(count: int) -> AsyncIterator[dict[str, Any]]:
    for place in range(count):
        yield {
            "text": WORDS[place % 8],
            "is_finished": False,
            "finish_reason": None,
            "usage": None,
            "index": 0,
            "tool_use": None,
        }


async def read_handler(count: int) -> int:
    texts = 0
    async for piece in _pieces(count):
        if piece["text"]:
            texts += 1
    return texts


async def whole_handler() -> int:
    return len("".join(WORDS))


async def _round_and_round(chunks: list[dict[str, Any]], count: int) -> AsyncIterator[dict[str, Any]]:
    for chunk in islice(cycle(chunks), count):
        yield chunk


async def read_handler_kind(count: int, kind: str) -> int:
    found = 0
    async for chunk in _round_and_round(flat_chunks(kind), count):
        if chunk:
            found += 1
    return found


# --- the floor for servers: one encoding for each chunk


async def serve_kind(count: int, kind: str) -> int:
    sent = 0

    async def send(message: dict[str, Any]) -> None:
        nonlocal sent
        sent += bool(message["body"])

    encode = msgspec.json.Encoder().encode
    events = [KINDS[kind].event(place) for place in range(CYCLE)]
    async for event in _round_and_round(events, count):
        await send({"type": "http.response.body", "body": b"data: " + encode(event) + b"\n\n", "more_body": True})
    return sent
