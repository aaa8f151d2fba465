"""Requests as bytes on a connection: offers of other protocols, HTTP/1.0, and what follows them."""

import json
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import pytest

from tokenwire.server import create_app
from tokenwire.server.protocol import HTTPProtocol
from tokenwire.testing import FakeClock

from ..conftest import LOOPS, PATIENCE
from .conftest import on_uvicorn

pytestmark = pytest.mark.anyio

# What a JDK's HttpClient sends over http://, whether or not there is a body.
OFFER = (
    b"Connection: Upgrade, HTTP2-Settings\r\nHost: 127.0.0.1\r\nHTTP2-Settings: AAEAAEAAAAIAAAAAAAMAAAAAAAQBAAAAAAUAAEAABgAGAAA\r\n"
    b"Upgrade: h2c\r\nUser-Agent: Java-http-client/17.0.15\r\n"
)
WEBSOCKET = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)


@pytest.fixture(params=[loop for loop in LOOPS if loop.id != "trio"])  # uvicorn's
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


async def tells(scope: Any, receive: Any, send: Any) -> None:
    """An app that answers with what it was asked, and in two pieces without a length where the path says so."""
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    told = {"method": scope["method"], "path": scope["path"], "body": body.decode()}
    told["headers"] = sorted(name.decode() for name, _ in scope["headers"])
    answer = json.dumps(told).encode()
    headers = [] if scope["path"].endswith("/stream") else [(b"Content-Length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if not headers:
        await send({"type": "http.response.body", "body": answer[:10], "more_body": True})
        answer = answer[10:]
    await send({"type": "http.response.body", "body": answer})


def sized(body: bytes, head: bytes = OFFER, target: bytes = b"POST /one HTTP/1.1") -> bytes:
    return target + b"\r\n" + head + b"Content-Length: %d\r\n\r\n" % len(body) + body


def chunked(body: bytes, head: bytes = OFFER) -> bytes:
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (body[:2], body[2:]))
    return b"POST /one HTTP/1.1\r\n" + head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


LAST = b"GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

Exchange = Callable[..., Awaitable[bytes]]


@asynccontextmanager
async def exchanging(app: Any, **options: Any) -> AsyncGenerator[Exchange, None]:
    """`await exchange(data, ...)`: what the server sends on one connection, sent these pieces, until it closes."""
    async with on_uvicorn(app, **options) as url:
        port = int(url.rsplit(":", 1)[1])

        async def exchange(*pieces: bytes) -> bytes:
            received = b""
            with anyio.fail_after(PATIENCE):
                async with await anyio.connect_tcp("127.0.0.1", port) as connection:
                    raw = connection.extra(anyio.abc.SocketAttribute.raw_socket)
                    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    for piece in pieces:
                        await connection.send(piece)
                        await anyio.lowlevel.checkpoint()
                    try:
                        while True:
                            received += await connection.receive()
                    except anyio.EndOfStream:
                        return received

        yield exchange


def answers(received: bytes) -> list[dict[str, Any]]:
    """What `tells` was asked, by whole answers."""
    found: list[dict[str, Any]] = []
    while received:
        head, _, rest = received.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), received
        length = next(int(line.split(b":")[1]) for line in head.lower().splitlines() if line.startswith(b"content-length:"))
        found.append(json.loads(rest[:length]))
        received = rest[length:]
    return found


async def test_no_piece_of_an_answer_waits_for_the_one_before() -> None:
    """Also on a socket whose protocol is 0, as uvicorn makes it and is given it here: asyncio alone would let it wait."""
    found: list[int] = []

    class Looking(HTTPProtocol):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            found.append(transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    async with exchanging(tells, http=Looking) as exchange:
        await exchange(LAST)
    assert found == [1]


@pytest.mark.parametrize("request_", [sized(b"body"), chunked(b"body")], ids=["sized", "chunked"])
async def test_an_offer_of_another_protocol_is_ignored(request_: bytes) -> None:
    """The body arrives, and the connection lives on; so also when the bytes come one by one."""
    async with exchanging(tells) as exchange:
        for pieces in ([request_ + LAST], [request_, LAST], [bytes([byte]) for byte in request_ + LAST]):
            first, last = answers(await exchange(*pieces))
            assert (first["method"], first["path"], first["body"]) == ("POST", "/one", "body")
            assert "user-agent" in first["headers"]
            assert "upgrade" not in first["headers"]
            assert last["path"] == "/last"


async def test_offers_on_pipelined_requests_are_ignored() -> None:
    requests = [sized(b"a"), b"GET /two HTTP/1.1\r\n" + OFFER + b"\r\n", chunked(b"bcd"), sized(b""), LAST]
    async with exchanging(tells) as exchange:
        told = answers(await exchange(b"".join(requests)))
    assert [(each["path"], each["body"]) for each in told] == [
        ("/one", "a"), ("/two", ""), ("/one", "bcd"), ("/one", ""), ("/last", "")
    ]  # fmt: skip


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
async def test_an_offer_on_a_connection_s_last_request_is_ignored(version: bytes) -> None:
    head = OFFER.replace(b"Connection: ", b"Connection: close, ")
    async with exchanging(tells) as exchange:
        [told] = answers(await exchange(sized(b"body", head, b"POST /one HTTP/" + version)))
    assert told["body"] == "body"


async def test_a_client_with_an_offer_may_wait_for_100_continue() -> None:
    async with exchanging(tells) as exchange:
        received = await exchange(sized(b"body", OFFER + b"Expect: 100-continue\r\n") + LAST)
    interim, _, rest = received.partition(b"\r\n\r\n")
    assert interim == b"HTTP/1.1 100 Continue"
    assert answers(rest)[0]["body"] == "body"


async def test_a_websocket_is_an_offer_like_others_where_there_are_none() -> None:
    async with exchanging(tells) as exchange:
        told = answers(await exchange(b"GET /ws HTTP/1.1\r\nHost: x\r\n" + WEBSOCKET + b"\r\n" + sized(b"more") + LAST))
    assert [each["path"] for each in told] == ["/ws", "/one", "/last"]


async def test_a_websocket_is_taken_where_uvicorn_has_them() -> None:
    made: list[Any] = []

    class Spoken:
        """In place of one of uvicorn's, which need other packages."""

        def __init__(self, **_: Any) -> None:
            made.append(self)

        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            assert b"upgrade: websocket\r\n" in data
            self.transport.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
            self.transport.close()

        def pause_writing(self) -> None: ...
        def resume_writing(self) -> None: ...
        def connection_lost(self, error: Any) -> None: ...

    async with exchanging(tells, ws=Spoken) as exchange:
        received = await exchange(b"GET /ws HTTP/1.1\r\nHost: x\r\n" + WEBSOCKET + b"\r\n")
        assert received.startswith(b"HTTP/1.1 101 ")
        assert answers(await exchange(sized(b"body") + LAST))[0]["body"] == "body"
    assert len(made) == 1


async def test_a_websocket_is_left_alone(clock: FakeClock) -> None:
    class Silent:
        """In place of one of uvicorn's, which need other packages."""

        def __init__(self, **_: Any) -> None: ...
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            self.transport.write(b"here")

        def eof_received(self) -> None: ...
        def connection_lost(self, error: Any) -> None: ...

    async with talking(tells, clock, ws=Silent) as connect, await connect() as connection:
        for _ in range(3):
            await connection.send(b"GET /ws HTTP/1.1\r\nHost: x\r\n" + WEBSOCKET + b"\r\n")
            assert await connection.receive() == b"here"
            await clock.aadvance(100)


@pytest.mark.parametrize(
    "connection", [b"", b"Connection: keep-alive\r\n", b"Connection: close\r\n"], ids=["", "keep", "close"]
)
async def test_http_1_0_is_not_sent_chunks(connection: bytes) -> None:
    """What has no length ends with the connection, whatever the client hopes for."""
    async with exchanging(tells) as exchange:
        received = await exchange(sized(b"body", connection, b"POST /stream HTTP/1.0"))
        whole = answers(await exchange(sized(b"body", connection, b"POST /one HTTP/1.0")))
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head.lower()
    assert b"keep-alive" not in head.lower()
    assert json.loads(body)["body"] == "body"
    assert whole[0]["body"] == "body"


async def test_http_1_1_still_is() -> None:
    async with exchanging(tells) as exchange:
        received = await exchange(sized(b"body", b"Host: x\r\nConnection: close\r\n", b"POST /stream HTTP/1.1"))
    assert b"transfer-encoding: chunked" in received
    assert received.endswith(b"0\r\n\r\n")


async def test_a_stream_over_http_1_0() -> None:
    async def handler(**_: Any) -> Any:
        yield "Hel"
        yield "lo"

    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": True}).encode()
    async with exchanging(create_app({"m": handler}), lifespan="on") as exchange:
        received = await exchange(sized(body, target=b"POST /v1/chat/completions HTTP/1.0"))
    events = received.partition(b"\r\n\r\n")[2]
    assert events.startswith(b'data: {"')
    assert events.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize(
    "data",
    [
        b"POST /one HTTP/1.1\r\n" + OFFER + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nbody",
        b"POST /one HTTP/1.1\r\n" + OFFER + b"Content-Length: x\r\n\r\nbody",
        b"POST /one HTTP/1.1\r\n" + OFFER + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /one HTTP/1.1\r\n" + OFFER + b"X: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    ],
    ids=["two lengths", "no length", "no chunk", "a folded line"],
)
async def test_what_is_no_request_is_none_with_an_offer_either(data: bytes) -> None:
    async with exchanging(tells) as exchange:
        assert (await exchange(data)).startswith(b"HTTP/1.1 400 ")


@asynccontextmanager
async def talking(app: Any, clock: FakeClock | None = None, **options: Any) -> AsyncGenerator[Callable[[], Any], None]:
    """`connect()` opens a connection to the app. uvicorn sleeps a little when it ends, for which the clock is moved."""

    async def pass_time() -> None:
        while clock is not None:
            await clock.aadvance(1)

    async with anyio.create_task_group() as tasks:
        async with on_uvicorn(app, timeout_keep_alive=75, **options) as url:
            port = int(url.rsplit(":", 1)[1])
            yield lambda: anyio.connect_tcp("127.0.0.1", port)
            tasks.start_soon(pass_time)
        tasks.cancel_scope.cancel()


async def until_closed(connection: Any) -> bytes:
    received = b""
    with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
        while True:
            received += await connection.receive()
    return received


ASK = b"GET /one HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize(
    "first, then, every, closes",
    [
        (b"", b"", 1.0, True),
        (b"GET /one HT", b"T", 5.0, True),
        (b"GET /one HTTP/1.1\r\nHost: x\r\n", b"X: y\r\n", 5.0, True),
        (b"POST /one HTTP/1.1\r\nContent-Length: 9999\r\n\r\n", b"x", 5.0, True),
        (b"POST /one HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", 5.0, True),
        (b"POST /one HTTP/1.1\r\nContent-Length: 9999999\r\n\r\n" + b"x" * 5_000_000, b"x", 5.0, True),
        (ASK, b"\r\n", 5.0, True),
        (b"POST /one HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", b"x" * 60_000, 5.0, False),
        (b"", ASK, 5.0, False),
    ],
    ids=["nothing", "a target", "headers", "a body", "chunks", "most of a body", "empty lines", "a body at a pace", "requests"],
)
async def test_a_client_that_takes_its_time_is_let_go(
    first: bytes, then: bytes, every: float, closes: bool, clock: FakeClock
) -> None:
    """It sends a little from time to time, for four minutes."""
    async with talking(tells, clock) as connect, await connect() as connection, anyio.create_task_group() as tasks:
        closed = anyio.Event()

        async def read() -> None:
            await until_closed(connection)
            closed.set()

        if first:
            await connection.send(first)
        tasks.start_soon(read)
        for _ in range(int(240 / every)):
            await clock.aadvance(every)
            if closed.is_set():
                break
            if then:
                with suppress(anyio.BrokenResourceError):
                    await connection.send(then)
        await clock.aadvance(0)
        assert closed.is_set() == closes
        tasks.cancel_scope.cancel()


async def test_a_client_that_is_answered_may_take_its_time(clock: FakeClock) -> None:
    """Its next request can be on its way for as long as that takes."""
    go = anyio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        await receive()
        await go.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    async with talking(slow, clock) as connect, await connect() as connection:
        await connection.send(ASK + b"GET /two")
        await clock.aadvance(600)
        go.set()
        assert (await connection.receive()).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "data",
    [
        b"GET /one HTTP/1.1\r\n" + b"X: y\r\n" * 300 + b"\r\n",
        b"GET /one HTTP/1.1\r\n" + b"X: y\r\n" * 200_000,
        b"GET /one HTTP/1.1\r\nX: " + b"y" * 1_000_000,
        b"GET /" + b"y" * 1_000_000,
    ],
    ids=["many headers", "endless headers", "an endless header", "an endless target"],
)
async def test_a_flood_of_headers_is_refused(data: bytes) -> None:
    async with talking(tells) as connect, await connect() as connection:
        with suppress(anyio.BrokenResourceError):  # closed while it was sent
            await connection.send(data)
        received = await until_closed(connection)
        assert received.startswith(b"HTTP/1.1 431 ") or not received  # a reset may come before it
        async with await connect() as another:
            await another.send(LAST)
            assert (await until_closed(another)).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("piece", [b"y", b"y: z\r\n"], ids=["one", "many"])
@pytest.mark.parametrize("before", [b"1;size=", b"1\r\nx\r\n0\r\nX: "], ids=["a chunk's extension", "a trailer"])
async def test_a_flood_beside_a_body_is_refused(before: bytes, piece: bytes) -> None:
    async with talking(tells) as connect, await connect() as connection:
        with suppress(anyio.BrokenResourceError):  # closed while it was sent
            await connection.send(b"POST /one HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + before)
            for _ in range(100):
                await connection.send(piece * (100_000 // len(piece)))
        received = await until_closed(connection)
        assert received.startswith((b"HTTP/1.1 431 ", b"HTTP/1.1 400 ")) or not received  # a reset may come before it


async def test_a_body_in_very_small_chunks_is_read() -> None:
    request = b"POST /one HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with talking(tells) as connect, await connect() as connection:
        await connection.send(request + b"00000001\r\nx\r\n" * 50_000 + b"0\r\nX: y\r\n\r\n" + LAST)
        body, last = answers(await until_closed(connection))
        assert (len(body["body"]), last["path"]) == (50_000, "/last")


async def streams(scope: Any, receive: Any, send: Any) -> None:
    """An app that answers with more than the sockets can hold, piece by piece."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(500):
            await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
            await anyio.lowlevel.checkpoint()


async def fills(scope: Any, receive: Any, send: Any) -> None:
    """An app that does so at once."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x" * 50_000_000})


@pytest.mark.parametrize("app", [streams, fills])
async def test_a_client_that_reads_nothing_is_let_go(app: Any, clock: FakeClock) -> None:
    lost = anyio.Event()

    class Noting(HTTPProtocol):
        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            lost.set()

    async with talking(app, clock, http=Noting) as connect, await connect() as connection:
        await connection.send(ASK)
        await clock.aadvance(240)
        assert not lost.is_set()
        await clock.aadvance(240)
        assert lost.is_set()


async def test_a_client_that_reads_slowly_is_not(clock: FakeClock) -> None:
    async with talking(streams, clock) as connect, await connect() as connection:
        await connection.send(ASK)
        for _ in range(4):
            await clock.aadvance(200)
            received = 0
            while received < 9_000_000:  # less can stay within the sockets
                received += len(await connection.receive())


async def test_a_body_without_end_is_not_read_for_ever() -> None:
    async def handler(**_: Any) -> str:
        return "Hello"

    chunk = b"ffff\r\n" + b" " * 0xFFFF + b"\r\n"
    async with talking(create_app({"m": handler}, max_body=100_000)) as connect, await connect() as connection:
        with pytest.raises(anyio.BrokenResourceError), anyio.fail_after(10):
            await connection.send(
                b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk * 2
            )
            assert (await connection.receive()).startswith(b"HTTP/1.1 413 ")
            while True:
                await connection.send(chunk)


async def test_a_flood_of_requests_is_refused() -> None:
    begun = 0

    async def never(scope: Any, receive: Any, send: Any) -> None:
        nonlocal begun
        if scope["type"] == "http":
            begun += 1
            while (await receive())["type"] != "http.disconnect":
                pass

    async with talking(never) as connect, await connect() as connection:
        await connection.send(ASK * 1000)
        await until_closed(connection)
        assert begun == 1


async def test_a_request_with_others_behind_it_learns_that_the_client_has_left() -> None:
    began, left = anyio.Event(), anyio.Event()

    async def handler(**_: Any) -> Any:
        try:
            yield "a"
            began.set()
            await anyio.sleep_forever()
        finally:
            left.set()

    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": True}).encode()
    async with talking(create_app({"m": handler})) as connect:
        async with await connect() as connection:
            request = sized(body, b"Host: x\r\n", b"POST /v1/chat/completions HTTP/1.1")
            await connection.send(request + request)
            await began.wait()
        with anyio.fail_after(10):
            await left.wait()
