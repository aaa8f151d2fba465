"""One contract for all transports, ours and those of httpx and httpx2: their `AsyncClient`s can't tell which they stand on."""

import gzip
import socket
import threading
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import anyio
import httpx
import pytest
from anyio import to_thread
from openai import AsyncOpenAI

from tokenwire.http.transport import HTTPTransport
from tokenwire.testing import Endpoint, Received, Reply, chunks

from ..conftest import PATIENCE, an_hour, nobody

pytestmark = pytest.mark.anyio

OK = b"HTTP/1.1 200 OK\r\n"
HELLO = OK + b"content-length: 5\r\n\r\nhello"
BODIES = {
    "length": HELLO,
    "chunked": OK + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "close": OK + b"\r\nhello",
}


def answering(*answers: bytes) -> Callable[[Any], None]:
    """A script that answers requests by these bytes in order, the last one repeating, and keeps the connection."""

    def script(peer: Any) -> None:
        number = 0
        while peer.request():
            peer.send(answers[min(number, len(answers) - 1)])
            number += 1

    return script


def echo(received: Received) -> Reply:
    return Reply(body=received.body, headers={"x-method": received.method, "x-path": received.path, "x-query": received.query})


async def pieces_of(data: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def read_into(body: bytearray, response: httpx.Response) -> None:
    async for piece in response.aiter_bytes():
        body += piece


# --- requests


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY"])
async def test_methods_with_and_without_bodies(make_client, method):
    with Endpoint(echo) as endpoint:
        async with make_client() as client:
            for body in (b"", b"hello", b"\0" * 1000):
                response = await client.request(method, f"{endpoint.url}/a%20b?q=1&r=%2F", content=body)
                assert response.status_code == 200
                assert response.content == (b"" if method == "HEAD" else body)
                assert response.headers["x-method"] == method
                assert (response.headers["x-path"], response.headers["x-query"]) == ("/v1/a%20b", "q=1&r=%2F")
        assert [request.body for request in endpoint.requests] == [b"", b"hello", b"\0" * 1000]
        assert {request.connection for request in endpoint.requests} == {1}


async def test_a_streamed_request_body(make_client):
    data = bytes(range(256)) * 100
    with Endpoint(echo) as endpoint:
        async with make_client() as client:
            chunked = await client.post(endpoint.url, content=pieces_of(data, 1000))
            sized = await client.post(endpoint.url, content=pieces_of(data, 7777), headers={"content-length": str(len(data))})
            empty = await client.post(endpoint.url, content=pieces_of(b"", 1))
        assert (chunked.content, sized.content, empty.content) == (data, data, b"")
        coded, plain, _ = endpoint.requests
        assert coded.headers["transfer-encoding"] == "chunked"
        assert "transfer-encoding" not in plain.headers


async def test_empty_pieces_do_not_end_a_request_body(make_client):
    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b"", b"one", b"", b"two", b""):
            yield piece

    with Endpoint(echo) as endpoint:
        async with make_client() as client:
            assert (await client.post(endpoint.url, content=pieces())).content == b"onetwo"


async def test_a_request_body_that_fails_is_its_callers_error(make_client):
    async def failing() -> AsyncIterator[bytes]:
        yield b"x" * 100
        raise KeyError("mine")

    with Endpoint(echo) as endpoint:
        async with make_client() as client:
            with pytest.raises(KeyError, match="mine"):
                await client.post(endpoint.url, content=failing())
            await endpoint.await_until(lambda: endpoint.open_connections == 0)
            assert (await client.post(endpoint.url, content=b"hello")).content == b"hello"


async def test_headers_arrive_in_their_order_and_number(make_client, raw_server):
    requests: list[bytes] = []
    server = raw_server(lambda peer: (requests.append(peer.request()), peer.send(HELLO)))
    async with make_client() as client:
        await client.get(f"{server.url}/x", headers=[("X-Second", "2"), ("x-first", "1"), ("X-Second", "3"), ("empty", "")])
    lines = requests[0].split(b"\r\n")
    assert lines[0] == b"GET /x HTTP/1.1"
    assert [line for line in lines if line.lower().startswith((b"x-", b"empty"))] == [
        b"X-Second: 2",
        b"x-first: 1",
        b"X-Second: 3",
        b"empty: ",
    ]
    assert f"host: {server.url.removeprefix('http://')}".encode() in requests[0].lower()


async def test_no_header_smuggles_a_request(make_client):
    with Endpoint(echo) as endpoint:
        async with make_client() as client:
            for headers in ({"x": "y\r\nevil: 1"}, {"x\r\nevil": "1"}, {"x": "y\0"}, {"x ": "y"}):
                with pytest.raises(make_client.edition.LocalProtocolError):
                    await client.get(endpoint.url, headers=headers)
        assert endpoint.requests == []


async def test_big_bodies_both_ways(make_client):
    data = bytes(range(256)) * 20_000
    with Endpoint(echo) as endpoint:
        async with make_client() as client:
            assert (await client.post(endpoint.url, content=data)).content == data
            assert (await client.post(endpoint.url, content=pieces_of(data, 100_000))).content == data


# --- responses


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("drip", [None, 1])
async def test_bodies_of_every_framing(make_client, framing, drip):
    with Endpoint(Reply(body=b"hello there", framing=framing, drip=drip)) as endpoint:
        async with make_client() as client:
            for _ in range(2):
                assert (await client.get(endpoint.url)).content == b"hello there"
        connections = [request.connection for request in endpoint.requests]
        assert connections == ([1, 2] if framing == "close" else [1, 1])


async def test_what_a_response_says_of_itself(make_client, raw_server):
    head = b"HTTP/1.1 299 Fine so\r\nX-One: 1\r\nx-two: 2\r\nX-One: 3\r\ncontent-length: 0\r\n\r\n"
    server = raw_server(answering(head))
    async with make_client() as client:
        response = await client.get(server.url)
    assert (response.status_code, response.reason_phrase, response.http_version) == (299, "Fine so", "HTTP/1.1")
    assert response.headers.multi_items() == [("x-one", "1"), ("x-two", "2"), ("x-one", "3"), ("content-length", "0")]
    assert response.headers.raw[0] == (b"X-One", b"1")


async def test_an_old_server(make_client, raw_server):
    server = raw_server(lambda peer: (peer.request(), peer.send(b"HTTP/1.0 200 OK\r\n\r\nhello")))
    async with make_client() as client:
        for _ in range(2):
            response = await client.get(server.url)
            assert (response.content, response.http_version) == (b"hello", "HTTP/1.0")
    assert server.connections == 2


@pytest.mark.parametrize("status", [204, 304])
async def test_statuses_without_a_body(make_client, raw_server, status):
    server = raw_server(answering(b"HTTP/1.1 %d None\r\nx: y\r\n\r\n" % status))
    async with make_client() as client:
        for _ in range(2):
            assert (await client.get(server.url)).content == b""
    assert server.connections == 1


async def test_informational_responses_are_passed_over(make_client, raw_server):
    server = raw_server(answering(b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + HELLO))
    async with make_client() as client:
        response = await client.post(server.url, content=b"x", headers={"expect": "100-continue"})
    assert (response.status_code, response.content) == (200, b"hello")
    assert "link" not in response.headers


async def test_a_response_arrives_as_it_is_written(make_client, raw_server):
    seen = threading.Semaphore(0)

    def script(peer: Any) -> None:
        peer.request()
        peer.send(OK + b"transfer-encoding: chunked\r\n\r\n")
        for piece in (b"one", b"two", b"three"):
            peer.send(b"%x\r\n%s\r\n" % (len(piece), piece))
            seen.acquire(timeout=PATIENCE)
        peer.send(b"0\r\n\r\n")

    server = raw_server(script)
    async with make_client() as client, client.stream("GET", server.url) as response:
        pieces = []
        async for piece in response.aiter_raw():
            pieces.append(piece)
            seen.release()
    assert pieces == [b"one", b"two", b"three"]


# --- connections


async def test_a_connection_is_used_again(make_client):
    with Endpoint(Reply(json={})) as endpoint:
        async with make_client() as client:
            for _ in range(3):
                await client.get(endpoint.url)
            assert endpoint.open_connections == 1
        await endpoint.await_until(lambda: endpoint.open_connections == 0)
        assert {request.connection for request in endpoint.requests} == {1}


async def test_requests_at_once_have_connections_of_their_own(make_client, clock):
    with Endpoint(Reply(json={}, delay=3)) as endpoint:
        async with (
            make_client() as client,
            an_hour(clock, partial(endpoint.await_silence, 5)),
            anyio.create_task_group() as group,
        ):
            for _ in range(5):
                group.start_soon(client.get, endpoint.url)
        assert {request.connection for request in endpoint.requests} == {1, 2, 3, 4, 5}


async def test_no_more_connections_than_allowed(make_client, clock):
    with Endpoint(Reply(json={}, delay=0.5)) as endpoint:
        async with (
            make_client(most=2) as client,
            an_hour(clock, partial(endpoint.await_silence, 2)),
            anyio.create_task_group() as group,
        ):
            for _ in range(8):
                group.start_soon(client.get, endpoint.url)
        assert len(endpoint.requests) == 8
        assert {request.connection for request in endpoint.requests} == {1, 2}


async def test_connection_close_is_obeyed(make_client):
    with Endpoint(Reply(json={}, headers={"connection": "close"})) as endpoint:
        async with make_client() as client:
            for _ in range(2):
                await client.get(endpoint.url)
        assert [request.connection for request in endpoint.requests] == [1, 2]


async def test_leaving_a_response_early_closes_its_connection(make_client):
    with Endpoint([Reply(events=chunks("Hello"), stall=True), Reply(json={})]) as endpoint:
        async with make_client() as client:
            async with client.stream("GET", endpoint.url) as response:
                assert response.status_code == 200
            await endpoint.await_closed(endpoint.requests[0])
            assert endpoint.requests[0].aborted
            await client.get(endpoint.url)
        assert [request.connection for request in endpoint.requests] == [1, 2]


async def test_a_cancelled_response_closes_its_connection(make_client, clock):
    with Endpoint(Reply(events=chunks("Hello"), stall=True)) as endpoint:
        async with make_client(most=1) as client:
            for number in (1, 2):
                with anyio.CancelScope() as scope:
                    async with an_hour(clock, partial(endpoint.await_silence, number)):
                        scope.deadline = anyio.current_time() + 3
                        await client.get(endpoint.url)
                assert scope.cancelled_caught
                await endpoint.await_closed(endpoint.requests[-1])
                assert endpoint.requests[-1].aborted


async def test_bytes_between_responses_never_answer_the_next_request(make_client, raw_server):
    sent = threading.Event()

    def script(peer: Any) -> None:
        peer.request()
        peer.send(HELLO)
        sent.wait(PATIENCE)
        peer.send(b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 4\r\n\r\nevil")
        peer.wait_for_the_end()

    server = raw_server(script, answering(HELLO))
    async with make_client() as client:
        assert (await client.get(server.url)).content == b"hello"
        sent.set()
        await readable(client)
        assert (await client.get(server.url)).content == b"hello"
    assert server.connections == 2


@pytest.mark.parametrize("how", ["fin", "rst", "half"])
async def test_an_idle_connection_that_ended_is_not_used(make_client, raw_server, how):
    go = threading.Event()

    def script(peer: Any) -> None:
        peer.request()
        peer.send(HELLO)
        go.wait(PATIENCE)
        if how == "half":
            peer.sock.shutdown(socket.SHUT_WR)
            peer.wait_for_the_end()
        elif how == "rst":
            peer.reset()

    server = raw_server(script, answering(HELLO))
    async with make_client() as client:
        await client.post(server.url, content=b"x")
        go.set()
        await readable(client)
        assert (await client.post(server.url, content=b"x")).content == b"hello"
    assert server.connections == 2


async def readable(client: Any) -> None:
    """Wait until something has happened to the client's one idle connection."""
    transport = client._transport
    with anyio.fail_after(PATIENCE):
        if isinstance(transport, HTTPTransport):
            (connection,) = transport._connections
            while connection.is_idle():
                await anyio.sleep(0.001)
        else:
            (connection,) = transport._pool.connections
            while not connection.has_expired():
                await anyio.sleep(0.001)


# --- what goes wrong


async def test_nobody_listens(make_client):
    with nobody() as (host, port):
        async with make_client() as client:
            with pytest.raises(make_client.edition.ConnectError):
                await client.get(f"http://{host}:{port}/")


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_truncated_body(make_client, framing):
    with Endpoint(Reply(events=[b"data: 1\n\n"], cut="fin", framing=framing)) as endpoint:
        async with make_client() as client, client.stream("GET", endpoint.url) as response:
            body = bytearray()
            with pytest.raises(make_client.edition.RemoteProtocolError):
                await read_into(body, response)
            assert body == b"data: 1\n\ndata: [DONE]\n\n"


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
async def test_a_reset_body(make_client, framing):
    with Endpoint(Reply(events=[b"data: 1\n\n"], cut="rst", framing=framing)) as endpoint:
        async with make_client() as client:
            with pytest.raises(make_client.edition.ReadError):
                await client.get(endpoint.url)


@pytest.mark.parametrize("start", [b"", b"H", OK, OK + b"x: y\r\n"])
async def test_no_whole_head(make_client, raw_server, start):
    server = raw_server(lambda peer: (peer.request(), peer.send(start)))
    async with make_client() as client:
        with pytest.raises(make_client.edition.RemoteProtocolError):
            await client.get(server.url)
    assert server.connections == 1


@pytest.mark.parametrize("answer", [b"SSH-2.0-x\r\n\r\n", b"\0\1\2\3\r\n\r\n", b"HTTP/1.1 banana\r\n\r\n"])
async def test_no_http(make_client, raw_server, answer):
    server = raw_server(answering(answer))
    async with make_client() as client:
        with pytest.raises(make_client.edition.RemoteProtocolError):
            await client.get(server.url)


async def test_an_endless_head(make_client, raw_server):
    def script(peer: Any) -> None:
        peer.request()
        peer.send(OK)
        while True:
            peer.send(b"x-filler: " + b"y" * 1000 + b"\r\n")

    server = raw_server(script)
    async with make_client() as client:
        with pytest.raises(make_client.edition.RemoteProtocolError):
            await client.get(server.url)


async def test_the_body_before_it_broke_is_given(make_client, raw_server):
    server = raw_server(lambda peer: (peer.request(), peer.send(BODIES["chunked"][:-5] + b"xyz\r\n")))
    async with make_client() as client, client.stream("GET", server.url) as response:
        body = bytearray()
        with pytest.raises(make_client.edition.RemoteProtocolError):
            await read_into(body, response)
    assert body == b"hello"


async def test_a_refusal_in_the_middle_of_a_large_body_is_the_answer(make_client, raw_server):
    def script(peer: Any) -> None:
        peer.sock.recv(1000)
        peer.send(b"HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\nconnection: close\r\n\r\nbig")
        peer.sock.shutdown(socket.SHUT_WR)
        peer.wait_for_the_end()

    server = raw_server(script)
    async with make_client() as client:
        response = await client.post(server.url, content=b"x" * 3_000_000)
        assert (response.status_code, response.content) == (413, b"big")


async def test_the_peer_may_close_its_side_early(make_client, raw_server):
    def script(peer: Any) -> None:
        peer.request()
        peer.send(BODIES["close"])
        peer.sock.shutdown(socket.SHUT_WR)
        peer.wait_for_the_end()

    server = raw_server(script)
    async with make_client() as client:
        assert (await client.get(server.url)).content == b"hello"


# --- timeouts


async def test_read_timeout_before_the_head(make_client):
    with Endpoint(Reply(json={}, delay=30)) as endpoint:
        async with make_client(timeout=make_client.edition.Timeout(PATIENCE, read=0.05)) as client:
            with pytest.raises(make_client.edition.ReadTimeout):
                await client.get(endpoint.url)
            await endpoint.await_until(lambda: endpoint.open_connections == 0)


async def test_read_timeout_within_the_body(make_client):
    with Endpoint(Reply(events=[b"data: 1\n\n"], stall=True)) as endpoint:
        async with make_client(timeout=make_client.edition.Timeout(PATIENCE, read=0.05)) as client:
            with pytest.raises(make_client.edition.ReadTimeout):
                await client.get(endpoint.url)
            await endpoint.await_until(lambda: endpoint.open_connections == 0)


async def test_the_read_timeout_is_for_each_read(make_client, clock):
    with Endpoint(Reply(events=[b"data: %d\n\n" % number for number in range(6)], event_delay=19)) as endpoint:
        async with (
            make_client(timeout=make_client.edition.Timeout(PATIENCE, read=20)) as client,
            an_hour(clock, endpoint.await_silence),
        ):
            assert (await client.get(endpoint.url)).content.endswith(b"data: 5\n\ndata: [DONE]\n\n")


async def test_connect_timeout(make_client, deaf):
    host, port = deaf
    async with make_client(timeout=make_client.edition.Timeout(PATIENCE, connect=0.05)) as client:
        with pytest.raises(make_client.edition.ConnectTimeout):
            await client.get(f"http://{host}:{port}/")


async def test_pool_timeout(make_client):
    with Endpoint(Reply(events=chunks("Hello"), stall=True)) as endpoint:
        client = make_client(most=1, timeout=make_client.edition.Timeout(PATIENCE, pool=0.05))
        async with client, client.stream("GET", endpoint.url):
            with pytest.raises(make_client.edition.PoolTimeout):
                await client.get(endpoint.url)


async def test_the_wait_for_a_connection_is_not_the_read_s(make_client, clock):
    with Endpoint(Reply(json={}, delay=8)) as endpoint:
        client = make_client(most=1, timeout=make_client.edition.Timeout(60, read=10))
        async with an_hour(clock, endpoint.await_silence), client, anyio.create_task_group() as group:
            for _ in range(2):
                group.start_soon(client.get, endpoint.url)
        first, second = endpoint.requests
        assert second.arrived_at - first.arrived_at == pytest.approx(8)


async def test_write_timeout(make_client, raw_server):
    left = threading.Event()
    server = raw_server(lambda _: left.wait(PATIENCE))
    async with make_client(timeout=make_client.edition.Timeout(PATIENCE, write=0.1)) as client:
        with pytest.raises(make_client.edition.WriteTimeout):
            await client.post(server.url, content=b"x" * 30_000_000)
    left.set()


# --- what httpx does above a transport


async def test_redirects(make_client):
    def script(received: Received) -> Reply:
        if received.path == "/v1/from":
            return Reply(status=307, headers={"location": "/v1/to"}, body=b"moved")
        return echo(received)

    with Endpoint(script) as endpoint:
        async with make_client(follow_redirects=True) as client:
            response = await client.post(f"{endpoint.url}/from", content=b"hello")
        assert (response.content, response.headers["x-path"]) == (b"hello", "/v1/to")
        assert [request.connection for request in endpoint.requests] == [1, 1]


async def test_gzip(make_client):
    text = b"hello " * 10_000
    with Endpoint(Reply(body=gzip.compress(text), headers={"content-encoding": "gzip"}, drip=100)) as endpoint:
        async with make_client() as client:
            assert (await client.get(endpoint.url)).content == text


async def test_cookies(make_client):
    with Endpoint(Reply(json={}, headers={"set-cookie": "a=b; Path=/"})) as endpoint:
        async with make_client() as client:
            await client.get(endpoint.url)
            await client.get(endpoint.url)
        assert [request.headers.get("cookie") for request in endpoint.requests] == [None, "a=b"]


async def test_the_connection_can_be_asked(make_client):
    with Endpoint(Reply(json={})) as endpoint:
        async with make_client() as client, client.stream("GET", endpoint.url) as response:
            stream = response.extensions["network_stream"]
            assert stream.get_extra_info("server_addr")[:2] == ("127.0.0.1", httpx.URL(endpoint.url).port)
            assert stream.get_extra_info("client_addr")[0] == "127.0.0.1"
            assert stream.get_extra_info("ssl_object") is None
            assert stream.get_extra_info("socket").fileno() > 0
            assert stream.get_extra_info("nothing known") is None
            await response.aread()


async def test_all_is_of_the_clients_own_library(make_client):
    edition = make_client.edition
    with Endpoint(echo) as endpoint:
        async with make_client() as client:
            async with client.stream("POST", endpoint.url, content=b"hello") as response:
                assert type(response) is edition.Response
                assert await response.aread() == b"hello"
            transport = client._transport
            response = await transport.handle_async_request(client.build_request("GET", endpoint.url))
            assert type(response) is edition.Response
            assert isinstance(response.stream, edition.AsyncByteStream)
            await response.aread()


async def test_openai_s_client_stands_on_it(make_client, anyio_backend_name):
    if make_client.edition is httpx or anyio_backend_name == "trio":
        pytest.skip("openai 3 stands on httpx2, and on trio leaves generators that it warns of")

    async def streamed(url: str) -> str:
        async with AsyncOpenAI(base_url=url, api_key="key", max_retries=0, http_client=make_client()) as client:
            text = ""
            for _ in range(2):
                stream = await client.chat.completions.create(
                    model="m", messages=[{"role": "user", "content": "Hi"}], stream=True
                )
                text += "".join([piece.choices[0].delta.content or "" async for piece in stream])
            return text

    with Endpoint(Reply(events=chunks("Hello there"))) as endpoint:
        assert await streamed(endpoint.url) == "Hello thereHello there"
        assert {request.connection for request in endpoint.requests} == {1}


# --- TLS, and other sockets


async def test_tls(make_client, raw_server, server_context):
    data = bytes(range(256)) * 10_000
    head = OK + b"content-length: %d\r\n\r\n" % len(data)
    server = raw_server(answering(head + data), context=server_context)
    async with make_client() as client:
        for _ in range(2):
            assert (await client.post(server.url, content=data)).content == data
    assert server.connections == 1


async def test_tls_until_close(make_client, raw_server, server_context):
    server = raw_server(lambda peer: (peer.request(), peer.send(BODIES["close"]), peer.sock.unwrap()), context=server_context)
    async with make_client() as client:
        assert (await client.get(server.url)).content == b"hello"


@pytest.mark.parametrize("politely", [True, False])
async def test_tls_cut_short(make_client, raw_server, server_context, politely):
    def script(peer: Any) -> None:
        peer.request()
        peer.send(BODIES["chunked"][:-5])
        if politely:
            peer.sock.unwrap()

    server = raw_server(script, context=server_context)
    async with make_client() as client:
        with pytest.raises((make_client.edition.RemoteProtocolError, make_client.edition.ReadError)):
            await client.get(server.url)


async def test_an_unknown_certificate_is_refused(raw_server, server_context, make_client):
    server = raw_server(answering(HELLO), context=server_context)
    make_client._context = None if make_client.ours else True  # what they do when told nothing
    async with make_client() as client:
        with pytest.raises(make_client.edition.ConnectError):
            await client.get(server.url)


async def test_a_certificate_for_another_host_is_refused(raw_server, server_context, make_client):
    server = raw_server(answering(HELLO), context=server_context)
    async with make_client() as client:
        for name, sense in (("other.example", True), ("third.example", False)):
            request = client.build_request("GET", server.url, extensions={"sni_hostname": name})
            if sense:
                assert (await client.send(request)).content == b"hello"
            else:
                async with make_client() as another:
                    with pytest.raises(make_client.edition.ConnectError):
                        await another.send(request)


async def test_no_tls_where_it_was_asked_for(make_client, raw_server):
    server = raw_server(lambda peer: (peer.send(HELLO), peer.wait_for_the_end()))
    async with make_client() as client:
        with pytest.raises(make_client.edition.ConnectError):
            await client.get(server.url.replace("http:", "https:"))


async def test_tls_that_never_comes_is_a_connect_timeout(make_client, raw_server):
    server = raw_server(lambda peer: peer.wait_for_the_end())
    async with make_client(timeout=make_client.edition.Timeout(PATIENCE, connect=0.05)) as client:
        with pytest.raises(make_client.edition.ConnectTimeout):
            await client.get(server.url.replace("http:", "https:"))
    await to_thread.run_sync(server.wait_until, lambda: server.open_connections == 0)


async def test_a_unix_socket(make_client, raw_server, tmp_path):
    server = raw_server(answering(HELLO), path=tmp_path / "socket")
    async with make_client(uds=str(tmp_path / "socket")) as client:
        for _ in range(2):
            assert (await client.get("http://any.example/")).content == b"hello"
    assert server.connections == 1
    async with make_client(uds=str(tmp_path / "none")) as client:
        with pytest.raises(make_client.edition.ConnectError):
            await client.get("http://any.example/")


async def test_ipv6(make_client, raw_server):
    try:
        server = raw_server(answering(HELLO), host="::1")
    except OSError:
        pytest.skip("there is no ::1 here")
    async with make_client() as client:
        assert (await client.get(server.url)).content == b"hello"
