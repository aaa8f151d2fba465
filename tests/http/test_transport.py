"""Our transport alone: what it promises beyond httpx's, and that nothing is left of a request that was given up."""

import asyncio
import contextlib
import gc
import socket
import ssl
import threading
import time
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from functools import partial
from typing import Any

import anyio
import httpx
import pytest
import trio
from anyio import lowlevel, to_thread

from tokenwire._loops import asyncio_sockets
from tokenwire._reading import FOREVER
from tokenwire.http import connection, transport as transport_module
from tokenwire.http.connection import KEEPALIVE_PROBES, Outgoing, origin_of
from tokenwire.http.foreign import Body, outgoing_of, stream_class
from tokenwire.http.protocol import HeadersTooLarge, render_head
from tokenwire.http.transport import HTTPTransport
from tokenwire.testing import Endpoint, Reply, chunks

from ..conftest import LOOPS, PATIENCE, an_hour, nobody

pytestmark = pytest.mark.anyio

OK = b"HTTP/1.1 200 OK\r\n"
HELLO = OK + b"content-length: 5\r\n\r\nhello"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"


# What asyncio's own room does; uvloop's transports differ from asyncio's.
on_asyncio = pytest.mark.parametrize("anyio_backend", LOOPS[:2])


def answering(*answers: bytes) -> Callable[[Any], None]:
    """A script that answers requests by these bytes in order, the last one repeating, and keeps the connection."""

    def script(peer: Any) -> None:
        number = 0
        while peer.request():
            peer.send(answers[min(number, len(answers) - 1)])
            number += 1

    return script


def outgoing(url: str, *, body: Any = b"", method: bytes = b"POST", seconds: float = PATIENCE, **kwargs: Any) -> Outgoing:
    parsed = httpx.URL(url)
    headers = [(b"host", parsed.netloc)]
    if isinstance(body, bytes):
        headers.append((b"content-length", b"%d" % len(body)))
    else:
        headers.append((b"transfer-encoding", b"chunked"))
    head = render_head(method, parsed.raw_path, headers)
    deadline = time.monotonic() + seconds
    return Outgoing(origin=origin_of(parsed), url=url, method=method, data=head, body=body, deadline=deadline, **kwargs)


HTTPX_BODY: Any = stream_class(httpx)  # type: ignore[arg-type]


async def ask(transport: HTTPTransport, request: Outgoing) -> Body:
    """The response as httpx gets it, whose exceptions are those of the connection and the pool."""
    return await transport.answer(request, HTTPX_BODY)


async def body_of(incoming: Body, seconds: float = PATIENCE) -> bytes:
    body = b""
    while data := await incoming.receive(time.monotonic() + seconds):
        body += data
    return body


async def call(transport: HTTPTransport, url: str, **kwargs: Any) -> bytes:
    return await body_of(await ask(transport, outgoing(url, **kwargs)))


def counts(transport: HTTPTransport) -> tuple[int, int, int]:
    stats = transport.stats
    assert len(transport._connections) <= stats.open
    return stats.open, stats.idle, stats.waiting


async def eventually(condition: Callable[[], object]) -> None:
    """Wait until something this loop does has come true."""
    with anyio.fail_after(PATIENCE):
        while not condition():
            await anyio.sleep(0.001)


class Pieces:
    """A request body that is no generator, so that leaving it in the middle is nothing to clean up."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = list(pieces)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        await lowlevel.checkpoint()
        if not self._pieces:
            raise StopAsyncIteration
        return self._pieces.pop(0)


# --- the pool, as seen from outside


async def test_stats_tell_what_there_is():
    with Endpoint([Reply(events=chunks("Hello"), stall=True), Reply(json={})]) as endpoint:
        async with HTTPTransport(max_connections=1) as transport:
            assert counts(transport) == (0, 0, 0)
            incoming = await ask(transport, outgoing(endpoint.url))
            assert counts(transport) == (1, 0, 0)
            async with anyio.create_task_group() as group:
                group.start_soon(call, transport, endpoint.url)
                await eventually(lambda: counts(transport) == (1, 0, 1))
                incoming.close()
            assert counts(transport) == (1, 1, 0)
        assert counts(transport) == (0, 0, 0)


async def test_warm_opens_connections_that_requests_find(clock):
    with Endpoint(Reply(json={}, delay=60)) as endpoint:
        async with HTTPTransport() as transport:
            await transport.warm(endpoint.url, 3)
            await endpoint.await_until(lambda: endpoint.open_connections == 3)
            assert counts(transport) == (3, 3, 0)
            await transport.warm(f"{endpoint.url}/anything", 2)
            assert counts(transport) == (3, 3, 0)
            async with an_hour(clock, partial(endpoint.await_silence, 3)), anyio.create_task_group() as group:
                for _ in range(3):
                    group.start_soon(partial(call, transport, endpoint.url, seconds=100))
            assert counts(transport) == (3, 3, 0)
        assert {request.connection for request in endpoint.requests} == {1, 2, 3}


async def test_warm_raises_what_went_wrong_and_keeps_what_it_opened(clock):
    async with HTTPTransport(max_connections=3) as transport:
        with nobody() as (host, port), pytest.raises(httpx.ConnectError):
            await transport.warm(f"http://{host}:{port}/", 3)
        assert counts(transport) == (0, 0, 0)
        with Endpoint(Reply(json={})) as endpoint:
            async with an_hour(clock):
                with pytest.raises(httpx.PoolTimeout):
                    await transport.warm(endpoint.url, 4, timeout=2)
            assert counts(transport) == (3, 3, 0)


async def test_a_warmed_connection_over_tls_is_used(raw_server, server_context, trusting):
    """TLS 1.3 sends session tickets behind the handshake: bytes that are no response."""
    ready = threading.Event()

    def script(peer: Any) -> None:  # begins when the tickets have been sent
        ready.set()
        answering(HELLO)(peer)

    server = raw_server(script, context=server_context)
    async with HTTPTransport(ssl_context=trusting) as transport:
        await transport.warm(server.url, 1)
        assert await to_thread.run_sync(ready.wait, PATIENCE)
        await anyio.wait_all_tasks_blocked()
        for _ in range(2):
            assert await call(transport, server.url) == b"hello"
        assert counts(transport) == (1, 1, 0)
    assert server.connections == 1


async def test_an_idle_tls_connection_that_the_server_ended_is_not_used(raw_server, server_context, trusting):
    read = threading.Event()

    def script(peer: Any) -> None:
        peer.request()
        peer.send(HELLO)
        read.wait(PATIENCE)
        peer.sock.unwrap()

    server = raw_server(script, answering(HELLO), context=server_context)
    async with HTTPTransport(ssl_context=trusting) as transport:
        await call(transport, server.url)
        (idle,) = transport._connections
        assert idle.is_idle()
        read.set()
        await eventually(lambda: not idle.is_idle())
        await call(transport, server.url)
    assert server.connections == 2


async def test_waiters_are_served_in_turn():
    order: list[int] = []
    with Endpoint(Reply(json={}, delay=0.005)) as endpoint:
        async with HTTPTransport(max_connections=1) as transport:

            async def one(number: int) -> None:
                await call(transport, endpoint.url)
                order.append(number)

            def in_turn() -> int:
                stats = transport.stats
                return stats.waiting + stats.open - stats.idle + len(order)

            async with anyio.create_task_group() as group:
                for number in range(6):
                    group.start_soon(one, number)
                    await eventually(lambda number=number: in_turn() > number)
        assert order == list(range(6))
        assert {request.connection for request in endpoint.requests} == {1}


async def test_an_idle_connection_makes_room_for_another_origin():
    with Endpoint(Reply(json={})) as one, Endpoint(Reply(json={})) as other:
        async with HTTPTransport(max_connections=1) as transport:
            await call(transport, one.url)
            await call(transport, other.url)
            assert counts(transport) == (1, 1, 0)
            await one.await_until(lambda: one.open_connections == 0)


async def test_a_waiter_that_was_granted_another_origins_place_closes_what_made_room(clock):
    with Endpoint([Reply(json={}, delay=3), Reply(json={})]) as one, Endpoint(Reply(json={})) as other:
        async with HTTPTransport(max_connections=1) as transport:
            async with anyio.create_task_group() as group:
                group.start_soon(call, transport, one.url)
                await one.await_silence()
                group.start_soon(call, transport, other.url)
                await clock.aadvance(0)
                assert counts(transport) == (1, 0, 1)
                await clock.aadvance(3)
            await one.await_until(lambda: one.open_connections == 0)
            assert counts(transport) == (1, 1, 0)


async def test_idle_connections_expire(clock):
    with Endpoint(Reply(json={})) as endpoint:
        async with HTTPTransport(keepalive_expiry=60.0) as transport:
            for pause in (0.0, 60.0, 60.5):
                await clock.aadvance(pause)
                await call(transport, endpoint.url)
                assert counts(transport) == (1, 1, 0)
        assert [request.connection for request in endpoint.requests] == [1, 1, 2]


async def test_idle_connections_are_limited(clock):
    with Endpoint(Reply(json={}, delay=3)) as endpoint:
        async with HTTPTransport(max_keepalive=1) as transport:
            async with an_hour(clock, partial(endpoint.await_silence, 3)), anyio.create_task_group() as group:
                for _ in range(3):
                    group.start_soon(call, transport, endpoint.url)
            assert counts(transport) == (1, 1, 0)
            await endpoint.await_until(lambda: endpoint.open_connections == 1)


# --- bytes that are nobody's answer


async def test_bytes_behind_a_response_never_answer_the_next_request(raw_server):
    """httpx's own transport fails this one."""
    server = raw_server(answering(HELLO + OK + b"content-length: 4\r\n\r\nevil"), answering(HELLO))
    async with HTTPTransport() as transport:
        assert await call(transport, server.url) == b"hello"
        assert counts(transport) == (0, 0, 0)
        assert await call(transport, server.url) == b"hello"
    assert server.connections == 2


async def test_a_body_that_nobody_read_never_answers_the_next_request(raw_server):
    server = raw_server(answering(OK + b"content-length: 4\r\n\r\nevil", HELLO))
    async with HTTPTransport() as transport:
        incoming = await ask(transport, outgoing(server.url))
        incoming.close()
        assert counts(transport) == (1, 1, 0)
        assert await call(transport, server.url) == b"hello"
    assert server.connections == 1


@on_asyncio
async def test_bytes_before_tls_never_answer_a_request(raw_server, trusting, monkeypatch):
    connect = asyncio_sockets._first_to_connect

    async def connect_and_listen(addresses: list[Any]) -> Any:
        connected = await connect(addresses)
        await eventually(lambda: connected._read)
        return connected

    monkeypatch.setattr(asyncio_sockets, "_first_to_connect", connect_and_listen)
    server = raw_server(lambda peer: (peer.send(HELLO), peer.wait_for_the_end()))
    async with HTTPTransport(ssl_context=trusting) as transport:
        with pytest.raises(httpx.ConnectError, match="before TLS"):
            await call(transport, server.url.replace("http:", "https:"), connect=PATIENCE)
        assert counts(transport) == (0, 0, 0)


async def test_a_connection_that_spoke_between_grant_and_use_is_replaced(raw_server, monkeypatch):
    server = raw_server(answering(HELLO))
    async with HTTPTransport(max_connections=1) as transport:
        incoming = await ask(transport, outgoing(server.url))
        (first,) = transport._connections
        async with anyio.create_task_group() as group:
            group.start_soon(call, transport, server.url)
            await eventually(lambda: counts(transport) == (1, 0, 1))
            await body_of(incoming)
            assert counts(transport) == (1, 0, 0)  # granted, and its holder has not run yet
            first.reader.feed_data(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
        assert counts(transport) == (1, 1, 0)
        assert first not in transport._connections
    assert server.connections == 2


# --- sending again


@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("warmed", [False, True])
async def test_a_request_that_an_ending_connection_swallowed_is_sent_again(raw_server, how, warmed):
    """Once the server has read it, nothing is to be seen of the end beforehand."""

    def script(peer: Any) -> None:
        if not warmed:
            peer.request()
            peer.send(HELLO)
        peer.request()
        if how == "rst":
            peer.reset()

    server = raw_server(script, answering(HELLO))
    async with HTTPTransport() as transport:
        if warmed:
            await transport.warm(server.url)
        else:
            await call(transport, server.url)
        assert await call(transport, server.url, body=b"again") == b"hello"
        assert counts(transport) == (1, 1, 0)
    assert server.connections == 2


@pytest.mark.parametrize("start", [b"H", b"HTTP/1.1 100 Continue\r\n\r\n", OK, b"\0\0\0\0"])
async def test_a_request_whose_answer_has_begun_is_not_sent_again(raw_server, start):
    def script(peer: Any) -> None:
        peer.request()
        peer.send(HELLO)
        peer.request()
        peer.send(start)

    server = raw_server(script, answering(HELLO))
    async with HTTPTransport() as transport:
        await call(transport, server.url)
        with pytest.raises(httpx.RemoteProtocolError):
            await call(transport, server.url)
        assert counts(transport) == (0, 0, 0)
    assert server.connections == 1


async def test_a_request_on_a_new_connection_is_not_sent_again(raw_server):
    server = raw_server(lambda peer: peer.request(), answering(HELLO))
    async with HTTPTransport() as transport:
        with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
            await call(transport, server.url)
    assert server.connections == 1


async def test_a_streamed_body_is_not_sent_again(raw_server):
    def script(peer: Any) -> None:
        peer.request()
        peer.send(HELLO)
        peer.request()

    server = raw_server(script, answering(HELLO))
    async with HTTPTransport() as transport:
        await call(transport, server.url)
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)):
            await call(transport, server.url, body=Pieces(b"x"))
    assert server.connections == 1


async def test_a_timeout_is_not_sent_again(raw_server):
    def script(peer: Any) -> None:
        peer.request()
        peer.send(HELLO)
        peer.wait_for_the_end()

    server = raw_server(script)
    async with HTTPTransport() as transport:
        await call(transport, server.url)
        with pytest.raises(httpx.ReadTimeout):
            await call(transport, server.url, seconds=0.05)
        assert counts(transport) == (0, 0, 0)
    assert server.connections == 1


# --- bodies


@pytest.mark.parametrize("announced", [4, 6])
async def test_a_body_of_another_length_than_announced_is_refused(announced):
    with Endpoint(Reply(json={})) as endpoint:
        async with HTTPTransport() as transport:
            for content in (b"hello", Pieces(b"he", b"ll", b"o")):
                request = httpx.Request("POST", endpoint.url, content=content, headers={"content-length": str(announced)})
                with pytest.raises(httpx.LocalProtocolError):
                    await transport.handle_async_request(request)
            assert counts(transport) == (0, 0, 0)
            await call(transport, endpoint.url)


@pytest.mark.parametrize("length", ["five", "-5", "5, 5", ""])
async def test_a_length_that_is_none_is_refused(length):
    with pytest.raises(httpx.LocalProtocolError):
        outgoing_of(httpx.Request("POST", "http://localhost/", content=b"hello", headers={"content-length": length}))


async def test_the_body_before_it_broke_is_given_first(raw_server):
    server = raw_server(lambda peer: (peer.request(), peer.send(CHUNKED + b"5\r\nhello\r\nxyz\r\n")))
    async with HTTPTransport() as transport:
        incoming = await ask(transport, outgoing(server.url))
        assert await incoming.receive(time.monotonic() + PATIENCE) == b"hello"
        with pytest.raises(httpx.RemoteProtocolError, match="no valid HTTP response"):
            await incoming.receive(time.monotonic() + PATIENCE)
        assert await incoming.receive(FOREVER) == b""
        assert counts(transport) == (0, 0, 0)


async def test_a_body_that_is_broken_from_its_start_has_a_head(raw_server):
    server = raw_server(lambda peer: (peer.request(), peer.send(CHUNKED + b"xyz\r\n")))
    async with HTTPTransport() as transport:
        incoming = await ask(transport, outgoing(server.url))
        assert incoming.status == 200
        with pytest.raises(httpx.RemoteProtocolError, match="no valid HTTP response"):
            await incoming.receive(time.monotonic() + PATIENCE)


async def test_the_head_has_a_limit(raw_server):
    server = raw_server(answering(OK + b"x: " + b"y" * 1000 + b"\r\ncontent-length: 0\r\n\r\n"))
    async with HTTPTransport(max_header_bytes=2000) as transport:
        assert await call(transport, server.url) == b""

    def endless(peer: Any) -> None:
        peer.request()
        peer.send(OK)
        while True:
            peer.send(b"x: y\r\n")

    server = raw_server(endless)
    async with HTTPTransport(max_header_bytes=2000) as transport:
        with pytest.raises(HeadersTooLarge, match="max_header_bytes, 2000"):
            await call(transport, server.url)
        assert counts(transport) == (0, 0, 0)


async def test_a_slow_reader_is_no_write_timeout(raw_server, monkeypatch, clock):
    """The timeout is for each write, and a long body takes several."""
    monkeypatch.setattr(connection, "WRITE_BYTES", 64 * 1024)
    size = 1_200_000

    def script(peer: Any) -> None:
        peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        left = size
        while left > 0:
            left -= len(peer.sock.recv(50_000))
            clock.advance(5)
        peer.send(HELLO)
        peer.wait_for_the_end()

    server = raw_server(script)
    async with HTTPTransport() as transport:
        started = time.monotonic()
        assert await call(transport, server.url, seconds=3600, body=bytes(size), write=60) == b"hello"
        assert time.monotonic() - started > 60


@pytest.mark.parametrize("anyio_backend", [("trio", {})], ids=["trio"])
async def test_a_refusal_that_resets_the_connection_is_the_answer(raw_server):
    """Closing with bytes unread resets a connection; the answer came before that. asyncio drops it as soon as a write fails."""

    def script(peer: Any) -> None:
        peer.sock.recv(1000)
        peer.send(b"HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\nbig")

    server = raw_server(script)
    async with HTTPTransport() as transport:
        for body in (bytes(3_000_000), Pieces(*([bytes(100_000)] * 30))):
            incoming = await ask(transport, outgoing(server.url, body=body, write=5.0))
            assert incoming.status == 413
            assert await body_of(incoming) == b"big"


async def test_a_read_timeout_leaves_the_response_open(raw_server):
    go = threading.Event()

    def script(peer: Any) -> None:
        peer.request()
        peer.send(HELLO[:-2])
        go.wait(PATIENCE)
        peer.send(HELLO[-2:])
        peer.wait_for_the_end()

    server = raw_server(script)
    async with HTTPTransport() as transport:
        incoming = await ask(transport, outgoing(server.url))
        assert await incoming.receive(time.monotonic() + PATIENCE) == b"hel"
        for seconds in (0.02, 0.0, 0.01):
            with pytest.raises(httpx.ReadTimeout):
                await incoming.receive(time.monotonic() + seconds)
        go.set()
        assert await body_of(incoming) == b"lo"
        assert counts(transport) == (1, 1, 0)


# --- backpressure


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_a_slow_consumer_pauses_the_server(raw_server, server_context, trusting, tls):
    size = 24 * 1024 * 1024
    block = bytes(range(256)) * 256
    stalled = threading.Event()
    sent = 0

    def script(peer: Any) -> None:
        nonlocal sent
        peer.request()
        peer.send(OK + b"content-length: %d\r\n\r\n" % size)
        peer.sock.settimeout(0.15)
        view = memoryview(block)
        while sent < size:
            try:
                done = peer.sock.send(view[sent % len(block) :])
            except TimeoutError:
                stalled.set()
                peer.sock.settimeout(PATIENCE)
            else:
                sent += done
        peer.wait_for_the_end()

    server = raw_server(script, context=server_context if tls else None)
    async with HTTPTransport(ssl_context=trusting) as transport:
        incoming = await ask(transport, outgoing(server.url))
        assert await to_thread.run_sync(stalled.wait, PATIENCE)
        waiting = incoming._connection.socket  # type: ignore[union-attr]
        if isinstance(waiting, asyncio_sockets.AsyncioSocket):
            longest = len(waiting._buffer)  # TLS hands over all it holds
            await eventually(lambda: waiting._unread > asyncio_sockets.HIGH_WATER)
            assert waiting._unread <= asyncio_sockets.HIGH_WATER + longest
        assert sent < size * 2 / 3  # what the kernel holds, and the high-water mark
        received = 0
        while data := await incoming.receive(time.monotonic() + PATIENCE):
            start = received % len(block)
            assert data == (block * (len(data) // len(block) + 2))[start : start + len(data)]
            received += len(data)
        assert received == size
        assert counts(transport) == (1, 1, 0)


@pytest.mark.parametrize("paused", [False, True], ids=["at once", "paused"])
async def test_a_body_over_tls_whose_end_comes_right_behind_it_is_whole(
    raw_server, server_context, trusting, monkeypatch, paused
):
    """All of it is in the kernel before the client's loop sees any; that holds little, so reads are made small instead."""
    monkeypatch.setattr(asyncio_sockets, "READ_BYTES", 1024)
    if paused:
        monkeypatch.setattr(asyncio_sockets, "HIGH_WATER", 4096)
    body = bytes(range(256)) * 160
    begun, go, sent = threading.Event(), threading.Event(), threading.Event()
    early = len(body) // 2 if paused else 0  # bytes that fill what may wait for a reader

    def script(peer: Any) -> None:
        peer.request()
        peer.send(OK + b"content-length: %d\r\n\r\n" % len(body))
        peer.send(body[:early])
        begun.set()
        go.wait(PATIENCE)
        peer.send(body[early:])
        peer.sock.setblocking(False)
        with contextlib.suppress(ssl.SSLError):  # it waits for no answer to its goodbye
            peer.sock.unwrap()
        peer.sock.shutdown(socket.SHUT_WR)
        sent.set()
        peer.sock.setblocking(True)
        peer.wait_for_the_end()

    async def unread() -> None:
        """The loop runs, and nobody takes what it reads."""
        for _ in range(100):
            await lowlevel.checkpoint()

    server = raw_server(script, context=server_context)
    async with HTTPTransport(ssl_context=trusting) as transport:
        incoming = await ask(transport, outgoing(server.url))
        assert await to_thread.run_sync(begun.wait, PATIENCE)
        await unread()
        go.set()
        assert sent.wait(PATIENCE)  # the loop is kept from running
        if paused:
            await unread()
        assert await body_of(incoming) == body


@pytest.mark.parametrize("size", [2_000_000, 3_000_000])
async def test_a_long_body_over_tls_whose_end_waits_behind_it_is_whole(raw_server, server_context, trusting, size):
    """The reader pauses and resumes until the end: whatever stands in front of the end then must not be lost with it."""
    body = bytes(range(256)) * (size // 256)
    sent = threading.Event()

    def script(peer: Any) -> None:
        peer.request()
        peer.send(OK + b"content-length: %d\r\n\r\n" % len(body), body)
        peer.sock.shutdown(socket.SHUT_WR)
        sent.set()
        peer.wait_for_the_end()

    server = raw_server(script, context=server_context)
    async with HTTPTransport(ssl_context=trusting) as transport:
        incoming = await ask(transport, outgoing(server.url))
        await to_thread.run_sync(sent.wait, 0.5)  # it need not come: the kernel may have less room
        received = b""
        while data := await incoming.receive(time.monotonic() + PATIENCE):
            received += data
            await lowlevel.checkpoint()
        assert received == body


# --- giving up


class Step:
    """Awaits something, and cancels it where it waits for the n-th time."""

    def __init__(self, awaitable: Awaitable[Any], place: int, scope: anyio.CancelScope) -> None:
        self._awaitable = awaitable
        self._place = place
        self._scope = scope

    def __await__(self) -> Generator[Any, Any, Any]:
        inner: Any = self._awaitable.__await__()
        waits = 0
        step = lambda: inner.send(None)  # noqa: E731
        while True:
            try:
                wanted = step()
            except StopIteration as end:
                return end.value
            if waits == self._place:
                self._scope.cancel()
            waits += 1
            try:
                answer = yield wanted
                step = lambda answer=answer: inner.send(answer)  # noqa: E731
            except BaseException as error:  # noqa: BLE001 it is passed on
                step = lambda error=error: inner.throw(error)  # noqa: E731


async def cancelled_everywhere(transport: HTTPTransport, operation: Callable[[], Awaitable[Any]]) -> int:
    """Cancel the operation at its first wait, its second, and so on, until it ends before; returns how many there were."""
    place = 0
    while True:
        with anyio.CancelScope() as scope:
            await Step(operation(), place, scope)
        gc.collect(0)
        assert counts(transport) in ((0, 0, 0), (1, 1, 0)), place
        if not scope.cancel_called:
            return place
        place += 1


@pytest.mark.parametrize("way", ["plain", "streamed", "tls", "unix"])
@pytest.mark.parametrize("kept", [False, True], ids=["new", "kept"])
async def test_a_request_cancelled_at_any_wait_leaves_nothing(raw_server, server_context, trusting, tmp_path, way, kept):
    def script(peer: Any) -> None:
        while peer.request():
            time.sleep(0.005)  # the client has to wait for the answer
            peer.send(CHUNKED + b"2\r\nhe\r\n")
            peer.send(b"3\r\nllo\r\n", b"0\r\n\r\n")

    server = raw_server(
        script,
        context=server_context if way == "tls" else None,
        **({"path": tmp_path / "socket"} if way == "unix" else {}),
    )
    limits: dict[str, Any] = {"max_keepalive": None if kept else 0, "max_connections": 1}
    async with HTTPTransport(
        ssl_context=trusting, uds=str(tmp_path / "socket") if way == "unix" else None, **limits
    ) as transport:

        async def operation() -> None:
            body = Pieces(b"x" * 10, b"y" * 10) if way == "streamed" else b"xy"
            incoming = await ask(transport, outgoing(server.url, body=body, connect=PATIENCE, pool=5.0, write=5.0))
            await body_of(incoming)

        waits = await cancelled_everywhere(transport, operation)
        assert waits >= 2
        if not kept:
            await to_thread.run_sync(server.wait_until, lambda: server.open_connections == 0)
            assert counts(transport) == (0, 0, 0)
    await to_thread.run_sync(server.wait_until, lambda: server.open_connections == 0)


async def test_waiting_cancelled_at_any_moment_leaves_nothing(raw_server):
    server = raw_server(answering(HELLO))
    async with HTTPTransport(max_connections=1) as transport:
        for ticks in range(12):
            incoming = await ask(transport, outgoing(server.url))
            async with anyio.create_task_group() as group:
                scope = anyio.CancelScope()

                async def wait(scope: anyio.CancelScope = scope) -> None:
                    with scope:
                        await call(transport, server.url, pool=5.0)

                group.start_soon(wait)
                await eventually(lambda: counts(transport) == (1, 0, 1))
                await body_of(incoming)  # grants it
                for _ in range(ticks):
                    await lowlevel.checkpoint()
                scope.cancel()
            assert counts(transport) in ((0, 0, 0), (1, 1, 0)), ticks


async def test_a_write_given_up_closes_the_connection(raw_server):
    left = threading.Event()
    server = raw_server(lambda _: left.wait(PATIENCE))
    async with HTTPTransport() as transport:
        with anyio.move_on_after(0.05) as scope:
            await call(transport, server.url, body=bytes(30_000_000))
        assert scope.cancelled_caught
        assert counts(transport) == (0, 0, 0)
    left.set()


async def test_closing_a_response_from_another_task_ends_the_wait_for_it():
    with Endpoint(Reply(events=[b"data: 1\n\n"], stall=True)) as endpoint:
        async with HTTPTransport() as transport:
            incoming = await ask(transport, outgoing(endpoint.url))

            async def read() -> None:
                with pytest.raises(httpx.ReadError):
                    await body_of(incoming)

            with anyio.fail_after(PATIENCE):
                async with anyio.create_task_group() as group:
                    group.start_soon(read)
                    await anyio.wait_all_tasks_blocked()
                    incoming.close()
            assert counts(transport) == (0, 0, 0)
            assert await incoming.receive(FOREVER) == b""


async def test_closing_as_data_arrives_is_no_protocol_error(raw_server):
    server = raw_server(lambda peer: (peer.request(), peer.send(CHUNKED + b"1\r\nx\r\n"), peer.wait_for_the_end()))
    for ticks in range(6):
        async with HTTPTransport() as transport:
            incoming = await ask(transport, outgoing(server.url))

            async def read(incoming: Body = incoming) -> None:
                with contextlib.suppress(httpx.ReadError):
                    await body_of(incoming)

            async with anyio.create_task_group() as group:
                group.start_soon(read)
                for _ in range(ticks):
                    await lowlevel.checkpoint()
                incoming.close()


async def test_a_dropped_response_releases_its_connection():
    with Endpoint(Reply(events=chunks("Hello"), stall=True)) as endpoint:
        async with HTTPTransport(max_connections=1) as transport:
            for _ in range(2):
                incoming = await ask(transport, outgoing(endpoint.url))
                del incoming
                await eventually(lambda: counts(transport) == (0, 0, 0))
                await endpoint.await_until(lambda: endpoint.open_connections == 0)
            response = await transport.handle_async_request(httpx.Request("GET", endpoint.url))
            del response
            await eventually(lambda: counts(transport) == (0, 0, 0))


async def test_a_response_dropped_in_another_thread_releases_its_connection():
    with Endpoint(Reply(events=chunks("Hello"), stall=True)) as endpoint:
        async with HTTPTransport(max_connections=1) as transport:
            held = [await ask(transport, outgoing(endpoint.url))]
            await to_thread.run_sync(held.clear)
            await eventually(lambda: counts(transport) == (0, 0, 0))
            await endpoint.await_until(lambda: endpoint.open_connections == 0)


async def test_a_response_dropped_in_the_middle_of_a_decision_waits_for_its_turn():
    """The garbage collector may run anywhere, within the pool too."""
    with Endpoint(Reply(json={})) as endpoint:
        async with HTTPTransport(max_connections=1) as transport:
            held = [await ask(transport, outgoing(endpoint.url))]
            pool = transport._pool
            lease = pool.acquire(origin_of(httpx.URL(endpoint.url)))
            held.clear()
            assert not lease.granted
            await eventually(lambda: lease.granted)
            transport._discard(pool.abandon(lease))


@pytest.mark.parametrize("ended", [True, False])
async def test_a_finished_request_is_no_garbage(raw_server, ended):
    """Freed by reference counting alone: no cycle keeps buffers until the collector comes."""
    server = raw_server(answering(HELLO if ended else CHUNKED + b"5\r\nhello\r\n"))
    async with HTTPTransport(max_keepalive=0) as transport:
        await call(transport, server.url) if ended else None
        gc.collect()
        gc.disable()
        try:
            incoming = await ask(transport, outgoing(server.url))
            await incoming.receive(time.monotonic() + PATIENCE)
            used = incoming._connection
            assert used is not None
            gone = [weakref.ref(used), weakref.ref(used.reader), weakref.ref(used.socket)]
            del used
            incoming.close()
            del incoming
            await eventually(lambda: [found for found in gone if found() is not None] == [])
        finally:
            gc.enable()


# --- closing


async def test_closing_ends_what_is_open():
    with Endpoint(Reply(events=chunks("Hello"), stall=True)) as endpoint:
        transport = HTTPTransport(max_connections=1)
        incoming = await ask(transport, outgoing(endpoint.url))
        raised: list[Exception] = []

        async def read() -> None:
            try:
                await body_of(incoming)
            except httpx.ReadError as error:
                raised.append(error)

        async def wait() -> None:
            try:
                await call(transport, endpoint.url)
            except RuntimeError as error:
                raised.append(error)

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as group:
                group.start_soon(read)
                group.start_soon(wait)
                await eventually(lambda: counts(transport) == (1, 0, 1))
                await anyio.wait_all_tasks_blocked()
                await transport.aclose()
        assert {type(error) for error in raised} == {httpx.ReadError, RuntimeError}
        assert counts(transport) == (0, 0, 0)
        await endpoint.await_until(lambda: endpoint.open_connections == 0)


async def test_closing_while_a_connection_is_being_opened(raw_server, server_context, trusting):
    server = raw_server(answering(HELLO), context=server_context)
    for ticks in range(8):
        transport = HTTPTransport(ssl_context=trusting)

        async def ask(transport: HTTPTransport = transport) -> None:
            try:
                await call(transport, server.url)
            except (RuntimeError, httpx.ReadError, httpx.WriteError):
                pass

        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            for _ in range(ticks):
                await lowlevel.checkpoint()
            await transport.aclose()
        assert counts(transport) == (0, 0, 0)
    await to_thread.run_sync(server.wait_until, lambda: server.open_connections == 0)


async def test_a_closed_transport_says_so():
    transport = HTTPTransport()
    await transport.aclose()
    await transport.aclose()
    for operation in (call(transport, "http://127.0.0.1:1/"), transport.warm("http://127.0.0.1:1/")):
        with pytest.raises(RuntimeError, match="this HTTPTransport is closed"):
            await operation
    assert counts(transport) == (0, 0, 0)


async def test_closing_is_done_even_when_cancelled():
    with Endpoint(Reply(json={})) as endpoint:
        transport = HTTPTransport()
        await call(transport, endpoint.url)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await transport.aclose()
        assert counts(transport) == (0, 0, 0)
        await endpoint.await_until(lambda: endpoint.open_connections == 0)


async def test_closing_does_not_wait_for_tls_goodbyes(raw_server, server_context, trusting):
    go = threading.Event()

    def script(peer: Any) -> None:
        peer.request()
        peer.send(HELLO)
        go.wait(PATIENCE)

    server = raw_server(script, context=server_context)
    transport = HTTPTransport(ssl_context=trusting)
    await call(transport, server.url)
    (used,) = transport._connections
    sock: Any = used.socket.extra_info("socket")
    with anyio.fail_after(PATIENCE):
        await transport.aclose()
    assert sock.fileno() == -1 or used.socket.extra_info("socket") is not sock
    go.set()


def test_a_response_that_outlives_trios_run_is_closed_when_dropped():
    with Endpoint(Reply(events=chunks("Hello"), stall=True)) as endpoint:

        async def main() -> list[Body]:
            return [await ask(HTTPTransport(), outgoing(endpoint.url))]

        held = trio.run(main)
        assert endpoint.open_connections == 1
        held.clear()
        endpoint.wait_until(lambda: endpoint.open_connections == 0)


# --- connecting


def addresses(*places: tuple[str, int]) -> list[Any]:
    return [
        (socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)) for host, port in places
    ]


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Scripts what names resolve to."""

    def script(*places: tuple[str, int]) -> None:
        class Resolver(trio.abc.HostnameResolver):
            async def getaddrinfo(self, *args: Any, **kwargs: Any) -> Any:
                return addresses(*places)

            async def getnameinfo(self, *args: Any, **kwargs: Any) -> Any:
                raise NotImplementedError

        async def resolved(host: str, port: int) -> Any:
            return addresses(*places)

        monkeypatch.setattr(asyncio_sockets, "_resolve", resolved)
        if lowlevel.current_token().backend_class.__module__.endswith("_trio"):
            trio.socket.set_custom_hostname_resolver(Resolver())

    return script


async def settled() -> None:
    """What was started does what it can without time."""
    for _ in range(50):
        await lowlevel.checkpoint()


async def test_connecting_takes_turns_at_each_server(deaf, clock, monkeypatch):
    """Each has the time that connecting may take for itself, and what a dead server keeps waiting is its own callers."""
    monkeypatch.setattr(transport_module, "CONNECTING_AT_ONCE", 2)
    ended: dict[str, list[float]] = {"in turn": [], "no turn": [], "no time left": []}
    started = time.monotonic()

    async def fails(name: str, error: type[Exception], **kwargs: Any) -> None:
        with pytest.raises(error):
            await call(transport, f"http://127.0.0.1:{deaf[1]}/", connect=1.0, **kwargs)
        ended[name].append(round(time.monotonic() - started, 3))

    with Endpoint(Reply(json={})) as endpoint:
        async with HTTPTransport() as transport, anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(fails, "in turn", httpx.ConnectTimeout)
            await settled()
            group.start_soon(partial(fails, "no turn", httpx.PoolTimeout, pool=0.5))
            group.start_soon(partial(fails, "no time left", httpx.ConnectTimeout, seconds=2.5))
            await settled()
            await call(transport, endpoint.url)
            assert counts(transport) == (8, 1, 0)
            await clock.aadvance(10)
    assert ended == {"in turn": [1.0, 1.0, 2.0, 2.0, 3.0], "no turn": [0.5], "no time left": [2.5]}


async def test_one_who_gives_up_his_turn_to_connect_takes_nobody_else_s(deaf, clock, monkeypatch):
    monkeypatch.setattr(transport_module, "CONNECTING_AT_ONCE", 1)
    address = f"http://127.0.0.1:{deaf[1]}/"
    started = time.monotonic()
    async with HTTPTransport() as transport:
        async with anyio.create_task_group() as group:
            for _ in range(2):
                group.start_soon(partial(call, transport, address))
                await settled()
            group.cancel_scope.cancel()
        async with an_hour(clock):
            with pytest.raises(httpx.ConnectTimeout):
                await call(transport, address, connect=1.0)
            assert time.monotonic() - started == pytest.approx(1.0)
        assert counts(transport) == (0, 0, 0)


async def test_a_dead_first_address_costs_a_moment(deaf, resolve, clock):
    with Endpoint(Reply(json={})) as endpoint:
        resolve(deaf, ("127.0.0.1", httpx.URL(endpoint.url).port or 0))
        async with HTTPTransport() as transport, an_hour(clock):
            started = time.monotonic()
            await call(transport, "http://two.example/")
            assert time.monotonic() - started == pytest.approx(asyncio_sockets.HAPPY_EYEBALLS_DELAY)
            assert counts(transport) == (1, 1, 0)
        await endpoint.await_until(lambda: endpoint.open_connections == 0)


async def test_a_refusing_first_address_costs_nothing(resolve, clock):
    with nobody() as refusing, Endpoint(Reply(json={})) as endpoint:
        resolve(refusing, ("127.0.0.1", httpx.URL(endpoint.url).port or 0))
        async with HTTPTransport() as transport, an_hour(clock):
            started = time.monotonic()
            await call(transport, "http://two.example/")
            assert time.monotonic() == started


async def test_when_no_address_answers_all_reasons_are_told(resolve):
    with nobody() as one, nobody() as other:
        resolve(one, other)
        async with HTTPTransport() as transport:
            with pytest.raises(httpx.ConnectError, match=r"(?i)connect"):
                await call(transport, "http://two.example/")
            assert counts(transport) == (0, 0, 0)


@pytest.mark.parametrize("many", [1, 3])
async def test_giving_up_on_dead_addresses_leaves_no_socket(deaf, resolve, clock, many):
    resolve(*[deaf] * many)
    async with HTTPTransport() as transport, an_hour(clock):
        started = time.monotonic()
        with pytest.raises(httpx.ConnectTimeout):
            await call(transport, "http://dead.example/", connect=1.0)
        assert time.monotonic() - started == pytest.approx(1.0)
        assert counts(transport) == (0, 0, 0)


@pytest.mark.parametrize("anyio_backend", [("asyncio", {"use_uvloop": False})], ids=["asyncio"])
async def test_of_two_that_connect_at_once_one_is_closed(raw_server, resolve, monkeypatch):
    connect = asyncio.BaseEventLoop.create_connection
    both = asyncio.get_running_loop().create_future()
    connected: list[Any] = []

    async def together(*args: Any, **kwargs: Any) -> Any:
        connected.append(await connect(*args, **kwargs))
        if len(connected) == 2:
            both.set_result(None)
        await both
        return connected.pop()

    monkeypatch.setattr(asyncio.BaseEventLoop, "create_connection", together)
    monkeypatch.setattr(asyncio_sockets, "HAPPY_EYEBALLS_DELAY", 0.0)
    servers = [raw_server(answering(HELLO)), raw_server(answering(HELLO))]
    resolve(*[("127.0.0.1", server.port) for server in servers])
    async with HTTPTransport() as transport:
        await call(transport, "http://two.example/")
        assert counts(transport) == (1, 1, 0)
        await eventually(lambda: sum(server.open_connections for server in servers) == 1)
    for server in servers:
        await to_thread.run_sync(server.wait_until, lambda server=server: server.open_connections == 0)


@pytest.mark.parametrize("anyio_backend", [("asyncio", {"use_uvloop": False})], ids=["asyncio"])
async def test_the_families_take_turns():
    six, four = ("::1", 1), ("127.0.0.1", 1)
    found = asyncio_sockets._interleaved(addresses(six, six, six, four, four))
    assert [address[4] for address in found] == [six, four, six, four, six]
    assert asyncio_sockets._interleaved([]) == []


@pytest.mark.parametrize("anyio_backend", [("asyncio", {"use_uvloop": False})], ids=["asyncio"])
async def test_an_address_needs_no_thread(monkeypatch):
    def no_thread(*_: Any, **__: Any) -> Any:
        raise AssertionError("a thread was asked")

    monkeypatch.setattr(asyncio.BaseEventLoop, "run_in_executor", no_thread)
    with Endpoint(Reply(json={})) as endpoint:
        async with HTTPTransport() as transport:
            await call(transport, endpoint.url)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_server_that_resets_at_once_is_a_transport_error(raw_server, scheme):
    server = raw_server(lambda peer: peer.reset())
    async with HTTPTransport() as transport:
        for _ in range(50):
            with pytest.raises((httpx.ConnectError, httpx.ReadError, httpx.WriteError)):
                await call(transport, server.url.replace("http:", f"{scheme}:"))
        assert counts(transport) == (0, 0, 0)


@pytest.mark.parametrize("url", [f"http://{'x' * 64}.example/", "http://a..b.example/"])
async def test_a_name_that_can_be_none_is_a_connect_error(url):
    async with HTTPTransport() as transport:
        with pytest.raises(httpx.ConnectError):
            await call(transport, url)
        assert counts(transport) == (0, 0, 0)


async def test_sni_and_alpn(raw_server, authority, trusting):
    names: list[Any] = []
    protocols: list[Any] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "other.example").configure_cert(context)
    context.sni_callback = lambda _, name, __: names.append(name)
    context.set_alpn_protocols(["http/1.1"])

    def script(peer: Any) -> None:
        protocols.append(peer.sock.selected_alpn_protocol())
        answering(HELLO)(peer)

    server = raw_server(script, context=context)
    async with HTTPTransport(ssl_context=trusting, max_keepalive=0) as transport:
        await call(transport, server.url)
        await call(transport, server.url, server_name="other.example")
        incoming = await ask(transport, outgoing(server.url))
        spoken: Any = incoming.get_extra_info("ssl_object")
        assert spoken.version().startswith("TLS")
        await body_of(incoming)
    assert names == ["localhost", "other.example", "localhost"]


async def test_certificates_are_checked_unless_told_otherwise(raw_server, server_context):
    server = raw_server(answering(HELLO), context=server_context)
    async with HTTPTransport() as transport:
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await call(transport, server.url)
        assert counts(transport) == (0, 0, 0)
    context = transport._context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


async def test_the_socket_sends_at_once_and_probes():
    with Endpoint(Reply(events=chunks("Hello"), stall=True)) as endpoint:
        async with HTTPTransport() as transport:
            incoming = await ask(transport, outgoing(endpoint.url))
            sock: Any = incoming.get_extra_info("socket")
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            for name, value in KEEPALIVE_PROBES:
                if hasattr(socket, name):
                    assert sock.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) == value
            incoming.close()


async def test_another_scheme_is_refused():
    for url in ("ftp://localhost/", "localhost", "//localhost/x"):
        with pytest.raises(httpx.UnsupportedProtocol):
            origin_of(httpx.URL(url))


# --- real servers


@pytest.fixture(params=["httptools", "h11"])
def uvicorn_url(request):
    """A real server in a thread: uvicorn with either of its parsers, serving a starlette application."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response, StreamingResponse
    from starlette.routing import Route

    async def echo(request: Request) -> Response:
        return Response(await request.body(), headers={"x-method": request.method})

    async def stream(request: Request) -> StreamingResponse:
        body = await request.body()

        async def events() -> AsyncIterator[bytes]:
            yield b"data: %d\n\n" % len(body)
            for number in range(50):
                yield b"data: token %d\n\n" % number

        return StreamingResponse(events(), media_type="text/event-stream")

    application = Starlette(
        routes=[Route("/echo", echo, methods=["GET", "PUT", "POST"]), Route("/stream", stream, methods=["POST"])]
    )
    config = uvicorn.Config(
        application, http=request.param, log_config=None, lifespan="off", ws="none", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(PATIENCE)
    listener.close()


async def test_uvicorn(uvicorn_url):
    data = bytes(range(256)) * 4000
    async with HTTPTransport() as transport, httpx.AsyncClient(transport=transport) as client:
        for method in ("GET", "HEAD", "POST", "PUT"):
            response = await client.request(method, f"{uvicorn_url}/echo", content=data if method in ("POST", "PUT") else None)
            assert response.status_code == 200
            assert response.content == (data if method in ("POST", "PUT") else b"")
        expected = (
            await client.post(f"{uvicorn_url}/echo", content=Pieces(data, data), headers={"expect": "100-continue"})
        ).content
        assert expected == data + data
        assert (await client.get(f"{uvicorn_url}/nothing")).status_code == 404
        for _ in range(3):
            async with client.stream("POST", f"{uvicorn_url}/stream", content=Pieces(b"123", b"45")) as response:
                text = "".join([piece async for piece in response.aiter_text()])
            assert text.startswith("data: 5\n\n")
            assert text.endswith("data: token 49\n\n")
        assert counts(transport) == (1, 1, 0)
        async with client.stream("POST", f"{uvicorn_url}/stream") as response:
            assert response.status_code == 200
        await eventually(lambda: transport.stats.open <= 1)

        async def once() -> None:
            assert (await client.post(f"{uvicorn_url}/echo", content=data)).content == data

        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(once)
        assert transport.stats.waiting == 0
