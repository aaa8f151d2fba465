"""The floor on asyncio and uvloop: what it takes at least, with no library and no promise kept.

An `asyncio.Protocol`, llhttp, a split at the empty lines and one msgspec decode for each event, into structs with what a
reader of a stream reads. No deadline, no limit, no error but what Python raises, no event but `data: {...}`.
"""

import asyncio
import socket
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import httptools
import msgspec

from . import API_KEY, MESSAGES, WORDS

DONE = b"[DONE]"


class Delta(msgspec.Struct, gc=False):
    role: str | None = None
    content: str | None = None
    refusal: str | None = None


class Choice(msgspec.Struct, gc=False):
    delta: Delta
    index: int = 0
    finish_reason: str | None = None


class Chunk(msgspec.Struct, gc=False):
    id: str
    created: int
    model: str
    choices: list[Choice]


class Message(msgspec.Struct, gc=False):
    role: str
    content: str | None = None


class WholeChoice(msgspec.Struct, gc=False):
    message: Message
    index: int = 0
    finish_reason: str | None = None


class Whole(msgspec.Struct, gc=False):
    id: str
    created: int
    model: str
    choices: list[WholeChoice]
    usage: dict[str, int] | None = None


decode_chunk = msgspec.json.Decoder(Chunk).decode
decode_whole = msgspec.json.Decoder(Whole).decode


class Response:
    """Bytes in, chunks out; the floor on trio uses it too."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self.on_body = self._pieces.append
        self._parser = httptools.HttpResponseParser(self)
        self._tail = b""
        self.is_complete = False

    def on_message_complete(self) -> None:
        self.is_complete = True

    def feed_data(self, data: bytes) -> list[Chunk]:
        """The chunks that these bytes complete."""
        self._parser.feed_data(data)
        pieces = self._pieces
        body = self._tail + (pieces[0] if len(pieces) == 1 else b"".join(pieces))
        pieces.clear()
        end = body.rfind(b"\n\n")
        if end < 0:
            self._tail = body
            return []
        self._tail = body[end + 2 :]
        events = body[6:end].rsplit(b"\n\ndata: ")  # from the right: the fastest of all ways to split
        if events[-1] == DONE:
            events.pop()
        return [decode_chunk(event) for event in events]

    def feed_whole(self, data: bytes) -> Whole | None:
        """The answer, once it is complete."""
        self._parser.feed_data(data)
        if not self.is_complete:
            return None
        body = b"".join(self._pieces)
        self._pieces.clear()
        return decode_whole(body)

    def begin(self) -> None:
        """A request goes out."""
        self.is_complete = False


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
    """The connection on which the answer to a streamed call will come."""
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
