"""Handlers that wait for nothing: they neither keep the server from others, nor run on when their client has left."""

import json
import logging
import socket
import time
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import urlsplit

import anyio
import pytest

from tokenwire.llms import blocking
from tokenwire.server import create_app

from .conftest import MESSAGES, Ask, Served

pytestmark = pytest.mark.anyio

MANY = 1_000_000  # pieces: more than come before anybody looks
PIECE = 0.02  # seconds that one takes


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """`passes(seconds)`: so much time has gone by, as a handler's code that blocks would have it."""
    real, passed = time.monotonic, 0.0

    def later(seconds: float) -> None:
        nonlocal passed
        passed += seconds

    monkeypatch.setattr(time, "monotonic", lambda: real() + passed)
    return later


class Client:
    """An ASGI server's side of one request, whose `send` never waits, as servers have it once the client has left."""

    def __init__(self) -> None:
        self.left = anyio.Event()
        self._body = json.dumps({"model": "m", "messages": MESSAGES, "stream": True}).encode()

    async def receive(self) -> dict[str, Any]:
        if self._body:
            body, self._body = self._body, b""
            return {"type": "http.request", "body": body}
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None: ...


async def test_a_handler_that_never_waits_is_ended_when_its_client_leaves() -> None:
    pieces = 0

    async def endless() -> AsyncIterator[str]:
        nonlocal pieces
        for _ in range(MANY):
            pieces += 1
            yield "word "

    app, client = create_app({"m": endless}), Client()
    scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": []}
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(app, scope, client.receive, client.send)
        while not pieces:
            await anyio.lowlevel.checkpoint()
        client.left.set()
    assert pieces < MANY


async def test_a_leaving_is_noticed_within_a_fifth_of_a_second(served: Served, passes: Callable[[float], None]) -> None:
    pieces = 0
    ended = anyio.Event()

    async def slow() -> AsyncIterator[str]:
        nonlocal pieces
        try:
            for _ in range(MANY):
                pieces += 1
                passes(PIECE)
                yield "word "
        finally:
            ended.set()

    body = json.dumps({"model": "m", "messages": MESSAGES, "stream": True}).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    async with served(create_app({"m": slow})) as url:
        address = urlsplit(url)
        with socket.create_connection((address.hostname or "", address.port or 0)) as client:
            client.sendall(head + body)
            while not pieces:
                await anyio.lowlevel.checkpoint()
        pieces_before = pieces
        await ended.wait()
    assert (pieces - pieces_before) * PIECE <= 0.2


async def test_others_are_served_beside_a_handler_that_blocks(ask: Ask, passes: Callable[[float], None]) -> None:
    """Its stream is read by a client that takes all at once."""
    answered = anyio.Event()

    async def slow() -> AsyncIterator[str]:
        for _ in range(MANY):
            if answered.is_set():
                return
            passes(PIECE)
            yield "word "

    app, client = create_app({"m": slow}), Client()
    scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": []}
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(app, scope, client.receive, client.send)
        answer = await ask(app, path="/health", method="GET", seconds=3600)
        assert answer.status == 200
        answered.set()


async def test_many_handlers_that_never_wait_take_turns(passes: Callable[[float], None]) -> None:
    """The more of them there are, the shorter is each one's turn."""
    pieces, streams, rounds = 0, 50, list[int]()

    async def endless() -> AsyncIterator[str]:
        nonlocal pieces
        for _ in range(MANY):
            pieces += 1
            passes(0.0001)
            yield "word "

    app, clients = create_app({"m": endless}), [Client() for _ in range(streams)]
    scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": []}
    async with anyio.create_task_group() as tasks:
        for client in clients:
            tasks.start_soon(app, scope, client.receive, client.send)
        for _ in range(20):
            before = pieces
            await anyio.lowlevel.checkpoint()
            rounds.append(pieces - before)
        for client in clients:
            client.left.set()
    assert max(rounds[10:]) * 0.0001 < 0.1  # seconds, where each for five thousandths would take 0.25


async def test_a_handler_that_blocks_for_long_is_named_in_the_log_once(
    ask: Ask, passes: Callable[[float], None], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocking, "_warned_of", set[str]())

    async def thinks_hard() -> AsyncIterator[str]:
        yield "Let"
        passes(1.0)
        yield " me"
        await anyio.lowlevel.checkpoint()
        yield " think."

    async def thinks_at_once() -> str:
        passes(2.0)
        return "No."

    app = create_app({"stream": thinks_hard, "whole": thinks_at_once})
    with caplog.at_level(logging.WARNING, "tokenwire"):
        for model in ("stream", "whole") * 2:
            body = {"model": model, "messages": MESSAGES, "stream": model == "stream"}
            assert (await ask(app, body, seconds=3600)).status == 200
    first, second = [record.getMessage() for record in caplog.records if record.name == "tokenwire"]
    assert "thinks_hard blocked the event loop for 1.0" in first
    assert "thinks_at_once blocked the event loop for 2.0" in second
