"""The scripted endpoint, as real clients see it: httpx, openai, and bare sockets."""

import contextlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator

import anyio
import httpx
import openai
import pytest

from tokenwire.testing import Endpoint, Received, Reply, chunks, completion
from tokenwire.testing._socket import SocketStream

from ..conftest import PATIENCE

FOREVER = 3600.0  # seconds; a test that waited for it would never end
PROMPT = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=PATIENCE) as client:
        yield client


@pytest.fixture
async def aclient() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=PATIENCE, limits=httpx.Limits(max_connections=None)) as client:
        yield client


@contextlib.contextmanager
def connected(endpoint: Endpoint, sent: bytes = b"GET /v1/x HTTP/1.1\r\nHost: h\r\n\r\n") -> Iterator[socket.socket]:
    """A bare socket on which a request was sent."""
    with socket.create_connection(("127.0.0.1", httpx.URL(endpoint.url).port or 0), timeout=PATIENCE) as raw:
        raw.sendall(sent)
        yield raw


def receive_until(raw: socket.socket, end: bytes) -> bytes:
    """What arrives, up to where it ends with `end`."""
    data = b""
    while not data.endswith(end):
        part = raw.recv(65536)
        assert part, f"the connection ended behind {data!r}"
        data += part
    return data


def receive_rest(raw: socket.socket) -> bytes:
    data = b""
    while part := raw.recv(65536):
        data += part
    return data


def read_to_the_end(response: httpx.Response) -> tuple[bytes, Exception | None]:
    """All that arrived, and what ended it if that was an error."""
    received = b""
    try:
        for data in response.iter_raw():
            received += data
    except httpx.TransportError as error:
        return received, error
    return received, None


def only(endpoint: Endpoint) -> Received:
    endpoint.wait_until(lambda: endpoint.requests)
    [request] = endpoint.requests
    return request


class TestAnswering:
    def test_json(self, client):
        with Endpoint(Reply(json=completion("Hi"), status=201, headers={"x-request-id": "r1"})) as endpoint:
            response = client.post(f"{endpoint.url}/chat/completions", json=PROMPT)
        assert response.json() == completion("Hi")
        assert response.status_code == 201
        assert response.headers["content-type"] == "application/json"
        assert response.headers["x-request-id"] == "r1"

    @pytest.mark.parametrize("drip", [None, 1, 7])
    @pytest.mark.parametrize("framing", [None, "chunked", "length", "close"])
    def test_events(self, client, framing, drip):
        reply = Reply(events=[*chunks("Hello"), ": comment\n\n", b": raw\n\n"], framing=framing, drip=drip)
        with Endpoint(reply) as endpoint:
            response = client.post(endpoint.url, json=PROMPT)
        assert response.headers["content-type"] == "text/event-stream"
        assert response.content == b"".join(reply.pieces())

    def test_the_request_is_recorded(self, client):
        with Endpoint(Reply()) as endpoint:
            client.post(f"{endpoint.url}/chat/completions?a=1", json=PROMPT, headers={"X-Mine": "yes"})
        request = only(endpoint)
        assert (request.method, request.path, request.query) == ("POST", "/v1/chat/completions", "a=1")
        assert request.headers["x-mine"] == "yes"
        assert request.json() == PROMPT
        assert request.closed.is_set()
        assert not request.aborted
        assert repr(request) == f"<Received POST /v1/chat/completions on connection 1, {len(request.body)} bytes>"

    def test_a_chunked_request(self, client):
        with Endpoint(Reply()) as endpoint:
            client.post(endpoint.url, content=iter([b"he", b"llo"]))
        assert only(endpoint).headers["transfer-encoding"] == "chunked"
        assert only(endpoint).body == b"hello"

    def test_head_and_get_and_no_content_leave_the_connection_usable(self, client):
        with Endpoint([Reply(json=[1]), Reply(json=[1]), Reply(status=204), Reply(json=[2])]) as endpoint:
            assert client.head(endpoint.url).headers["content-length"] == "3"
            assert client.get(endpoint.url).json() == [1]
            assert client.post(endpoint.url).content == b""
            assert client.get(endpoint.url).json() == [2]
        assert [request.connection for request in endpoint.requests] == [1, 1, 1, 1]

    def test_a_client_library_streams(self):
        with (
            Endpoint(Reply(events=[*chunks("Hello there")])) as endpoint,
            openai.OpenAI(base_url=endpoint.url, api_key="none") as client,
            client.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hi"}], stream=True) as stream,
        ):
            text = "".join(item.choices[0].delta.content or "" for item in stream)
        assert text == "Hello there"
        assert only(endpoint).json()["stream"] is True

    @pytest.mark.anyio
    async def test_async_clients_on_every_loop(self, aclient):
        with Endpoint(Reply(events=["Hi"])) as endpoint:
            async with aclient.stream("POST", endpoint.url, json=PROMPT) as response:
                lines = [line async for line in response.aiter_lines() if line]
        assert len(lines) == 2
        assert lines[-1] == "data: [DONE]"


class TestScripts:
    def test_replies_in_order_the_last_one_repeating(self, client):
        with Endpoint(Reply(status=status) for status in (500, 429, 200)) as endpoint:
            statuses = [client.get(endpoint.url).status_code for _ in range(4)]
        assert statuses == [500, 429, 200, 200]

    def test_a_function(self, client):
        with Endpoint(lambda request: Reply(json=[request.path, request.json()])) as endpoint:
            assert client.post(f"{endpoint.url}/echo", json={"a": 1}).json() == ["/v1/echo", {"a": 1}]

    def test_no_reply_is_refused_at_once(self):
        with pytest.raises(ValueError, match="at least one"):
            Endpoint([])

    def test_what_a_function_raises_is_answered_and_raised_at_the_end(self, client):
        def script(_: Received) -> Reply:
            raise LookupError("no such answer")

        def ask_twice() -> None:
            with Endpoint(script) as endpoint:
                answers.extend(client.get(endpoint.url) for _ in range(2))

        answers: list[httpx.Response] = []
        with pytest.raises(LookupError, match="no such answer"):
            ask_twice()
        assert [(answer.status_code, answer.text) for answer in answers] == [(500, "LookupError: no such answer")] * 2

    def test_what_a_function_raises_does_not_hide_what_the_block_raises(self, client):
        with (
            pytest.raises(httpx.HTTPStatusError) as caught,
            Endpoint(lambda _: pytest.fail("unexpected request")) as endpoint,
        ):
            client.get(endpoint.url).raise_for_status()
        assert caught.value.__notes__ == ["The endpoint raised Failed: unexpected request"]

    @pytest.mark.parametrize("answer", [{"status": 200}, Reply(json=object())], ids=["no reply", "no json"])
    def test_what_a_function_returns_must_be_a_reply(self, client, answer):
        with pytest.raises(TypeError), Endpoint(lambda _: answer) as endpoint:
            assert client.get(endpoint.url).status_code == 500


class TestConnections:
    def test_each_client_has_its_own(self, client):
        with Endpoint(Reply()) as endpoint:
            client.get(endpoint.url)
            httpx.get(endpoint.url)
            client.get(endpoint.url)
        assert [request.connection for request in endpoint.requests] == [1, 2, 1]

    @pytest.mark.parametrize("reply", [Reply(framing="close"), Reply(events=[], framing="close")], ids=["empty", "events"])
    def test_a_body_that_ends_with_the_connection(self, client, reply):
        with Endpoint(reply) as endpoint:
            client.get(endpoint.url)
            client.get(endpoint.url)
        assert [request.connection for request in endpoint.requests] == [1, 2]
        assert not any(request.aborted for request in endpoint.requests)

    def test_a_client_may_ask_for_the_end(self):
        with Endpoint(Reply(body=b"hello")) as endpoint, connected(endpoint, b"GET / HTTP/1.0\r\n\r\n") as raw:
            assert receive_rest(raw).endswith(b"\r\n\r\nhello")

    def test_open_connections_are_counted(self):
        with Endpoint(Reply()) as endpoint:
            with connected(endpoint) as first, connected(endpoint) as second:
                receive_until(first, b"\r\n\r\n")
                receive_until(second, b"\r\n\r\n")
                assert endpoint.open_connections == 2
                assert repr(endpoint).endswith(": 2 requests, 2 open connections>")
            endpoint.wait_until(lambda: endpoint.open_connections == 0)

    def test_pipelined_requests_are_all_answered(self):
        requests = [b"POST /%d HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab" % number for number in range(3)]
        with (
            Endpoint(lambda request: Reply(body=request.path.encode() + b"!")) as endpoint,
            connected(endpoint, b"".join(requests)) as raw,
        ):
            data = receive_until(raw, b"/2!")
        assert [data.count(b"/%d!" % number) for number in range(3)] == [1, 1, 1]

    @pytest.mark.parametrize("cut_at", [1, 20, -1])
    def test_a_request_sent_while_a_reply_is_written_is_not_lost(self, cut_at):
        early = b"GET /v1/early HTTP/1.1\r\nHost: h\r\n\r\n"
        with (
            Endpoint([Reply(events=["a", "b"], event_delay=0.02), Reply(body=b"hello")]) as endpoint,
            connected(endpoint) as raw,
        ):
            receive_until(raw, b"\n\n\r\n")
            raw.sendall(early[:cut_at])
            receive_until(raw, b"0\r\n\r\n")
            raw.sendall(early[cut_at:])
            receive_until(raw, b"hello")
        assert [request.path for request in endpoint.requests] == ["/v1/x", "/v1/early"]

    def test_more_requests_than_are_put_aside_are_not_lost(self, monkeypatch):
        monkeypatch.setattr("tokenwire.testing._connection.MAX_AHEAD_BYTES", 10)
        early = b"".join(b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n" % number for number in range(3))
        with (
            Endpoint([Reply(events=["a", "b"], event_delay=0.02), Reply(body=b"hello")]) as endpoint,
            connected(endpoint) as raw,
        ):
            receive_until(raw, b"\n\n\r\n")
            for number in range(len(early)):
                raw.sendall(early[number : number + 1])
            endpoint.wait_until(lambda: len(endpoint.requests) == 4)
            endpoint.wait_closed(endpoint.requests[3])
        assert [request.path for request in endpoint.requests] == ["/v1/x", "/0", "/1", "/2"]

    def test_what_is_no_request_is_refused(self):
        with Endpoint(Reply()) as endpoint, connected(endpoint, b"\x16\x03\x01 TLS, perhaps\r\n\r\n") as raw:
            answer = receive_rest(raw)
        assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert endpoint.requests == []

    def test_half_a_request_is_no_request(self):
        with Endpoint(Reply()) as endpoint:
            sent = b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhe"
            with connected(endpoint, sent) as raw:
                raw.shutdown(socket.SHUT_WR)
                assert receive_rest(raw) == b""
        assert endpoint.requests == []

    @pytest.mark.anyio
    async def test_hundreds_at_once(self):
        count = 300

        async def stay(url: str) -> None:
            async with await anyio.connect_tcp("127.0.0.1", httpx.URL(url).port or 0) as stream:
                await stream.send(b"GET /v1/x HTTP/1.1\r\nHost: h\r\n\r\n")
                await anyio.sleep_forever()

        with Endpoint(Reply(events=["Hi"], stall=True)) as endpoint:
            async with anyio.create_task_group() as group:
                for _ in range(count):
                    group.start_soon(stay, endpoint.url)
                await endpoint.await_until(lambda: len(endpoint.requests) == count)
                assert endpoint.open_connections == count
                group.cancel_scope.cancel()
            await endpoint.await_until(lambda: endpoint.open_connections == 0)
        assert all(request.aborted for request in endpoint.requests)


class TestFaults:
    @pytest.mark.parametrize("framing", ["chunked", "length"])
    def test_a_cut_by_fin_is_an_early_end(self, client, framing):
        reply = Reply(events=["a", "b"], done=False, cut="fin", framing=framing)
        with Endpoint(reply) as endpoint, client.stream("GET", endpoint.url) as response:
            received, error = read_to_the_end(response)
        assert isinstance(error, httpx.RemoteProtocolError)
        assert received == b"".join(reply.pieces())
        assert not only(endpoint).aborted

    def test_a_cut_by_fin_is_the_end_where_only_that_ends_the_body(self, client):
        reply = Reply(events=["a"], done=False, cut="fin", framing="close")
        with Endpoint(reply) as endpoint:
            assert client.get(endpoint.url).content == b"".join(reply.pieces())

    @pytest.mark.parametrize("framing", ["chunked", "length", "close"])
    def test_a_cut_by_reset_is_an_error(self, client, framing):
        reply = Reply(events=["a", "b"], cut="rst", framing=framing)
        with Endpoint(reply) as endpoint, client.stream("GET", endpoint.url) as response:
            received, error = read_to_the_end(response)
        assert isinstance(error, httpx.ReadError)
        assert "reset" in str(error).lower()
        assert received == b"".join(reply.pieces())
        assert not only(endpoint).aborted

    def test_a_cut_before_any_body(self, client):
        with Endpoint(Reply(events=[], done=False, cut="rst")) as endpoint, pytest.raises(httpx.ReadError):
            client.get(endpoint.url)

    @pytest.mark.parametrize("reply", [Reply(delay=0.05), Reply(events=["a", "b", "c"], done=False, event_delay=0.025)])
    def test_delays(self, client, reply):
        with Endpoint(reply) as endpoint:
            begun = time.monotonic()
            client.get(endpoint.url)
            assert time.monotonic() - begun >= 0.05

    def test_no_delay_behind_the_last_event(self, client):
        with Endpoint(Reply(events=["a"], done=False, event_delay=FOREVER)) as endpoint:
            client.get(endpoint.url)

    def test_a_drip_writes_a_few_bytes_at_a_time(self, client, monkeypatch):
        written: list[bytes] = []
        send = SocketStream.send

        async def recorded(stream: SocketStream, item: bytes) -> None:
            written.append(item)
            await send(stream, item)

        monkeypatch.setattr(SocketStream, "send", recorded)
        with Endpoint(Reply(events=["Hello"], drip=3)) as endpoint:
            client.get(endpoint.url)
        assert b"".join(written).startswith(b"HTTP/1.1 200 OK\r\n")
        assert {len(item) for item in written} <= {1, 2, 3}

    def test_a_stall_is_silent_and_lasts(self):
        with Endpoint(Reply(events=["a"], stall=True)) as endpoint, connected(endpoint) as raw:
            receive_until(raw, b"[DONE]\n\n\r\n")
            raw.setblocking(False)
            with pytest.raises(BlockingIOError):
                raw.recv(1)
            assert not only(endpoint).closed.is_set()


BIG = b"data: " + b"x" * 1_000_000 + b"\n\n"

# Each never ends by itself; the client sees something of all but the first.
ENDLESS = {
    "delayed": Reply(delay=FOREVER),
    "between events": Reply(events=["a", "b"], event_delay=FOREVER),
    "stalled": Reply(events=["a"], stall=True),
    "blocked by a client that does not read": Reply(events=[BIG] * 100),
}


@pytest.fixture(params=ENDLESS.values(), ids=list(ENDLESS))
def endless(request: pytest.FixtureRequest) -> Reply:
    return request.param


class TestLeaving:
    def test_a_client_that_leaves_is_noticed(self, endless):
        with Endpoint(endless) as endpoint:
            with connected(endpoint):
                endpoint.wait_until(lambda: endpoint.requests)
                assert not only(endpoint).closed.is_set()
            endpoint.wait_closed(only(endpoint))
            endpoint.wait_until(lambda: endpoint.open_connections == 0)
            assert only(endpoint).aborted

    def test_a_client_that_resets_is_noticed(self, endless):
        with Endpoint(endless) as endpoint:
            with connected(endpoint) as raw:
                only(endpoint)
                SocketStream(raw).reset()
            endpoint.wait_closed(only(endpoint))
            assert only(endpoint).aborted

    def test_a_client_that_leaves_is_noticed_although_it_sent_another_request(self, endless):
        with Endpoint(endless) as endpoint:
            with connected(endpoint) as raw:
                only(endpoint)
                raw.sendall(b"GET /v1/early HTTP/1.1\r\nHost: h\r\n\r\n")
            endpoint.wait_closed(only(endpoint))
            assert only(endpoint).aborted

    @pytest.mark.anyio
    async def test_an_async_client_that_is_cancelled_is_noticed(self, endless, aclient):
        with Endpoint(endless) as endpoint:
            async with anyio.create_task_group() as group:
                group.start_soon(aclient.get, endpoint.url)
                await endpoint.await_until(lambda: endpoint.requests)
                group.cancel_scope.cancel()
            await endpoint.await_closed(only(endpoint))
            assert only(endpoint).aborted

    @pytest.mark.anyio
    async def test_an_async_client_that_leaves_its_stream_is_noticed(self, aclient):
        with Endpoint(Reply(events=["a"], stall=True)) as endpoint:
            async with aclient.stream("GET", endpoint.url) as response:
                assert response.status_code == 200
            await endpoint.await_closed(only(endpoint))
            assert only(endpoint).aborted

    def test_the_endpoint_leaves_at_once(self, endless):
        with contextlib.ExitStack() as stack:
            with Endpoint(endless) as endpoint:
                raw = stack.enter_context(connected(endpoint))
                request = only(endpoint)
                begun = time.monotonic()
            assert time.monotonic() - begun < PATIENCE
            assert request.closed.is_set()
            assert not request.aborted
            assert endpoint.open_connections == 0
            assert not receive_rest(raw).endswith(b"0\r\n\r\n")


class TestLifetime:
    def test_it_listens_when_entered_and_no_longer_when_left(self, client):
        with Endpoint(Reply()) as endpoint:
            assert client.get(endpoint.url).status_code == 200
        with pytest.raises(httpx.ConnectError):
            httpx.get(endpoint.url)

    def test_it_has_no_address_before(self):
        with pytest.raises(RuntimeError, match="before"):
            _ = Endpoint(Reply()).url

    def test_it_is_entered_once(self):
        with Endpoint(Reply()) as endpoint:
            pass
        with pytest.raises(RuntimeError, match="once"):
            endpoint.__enter__()

    def test_two_do_not_disturb_each_other(self, client):
        with Endpoint(Reply(body=b"1")) as first, Endpoint(Reply(body=b"2")) as second:
            assert client.get(first.url).text + client.get(second.url).text == "12"

    def test_what_never_comes_true_is_a_timeout(self):
        with Endpoint(Reply()) as endpoint:
            with pytest.raises(TimeoutError):
                endpoint.wait_until(lambda: endpoint.requests, timeout=0.01)
            with pytest.raises(TimeoutError):
                endpoint.wait_closed(Received("GET", "/", {}, b"", 1), timeout=0.01)

    def test_a_wait_ends_with_the_endpoint(self):
        """It would keep its thread for as long as the timeout."""
        ended: list[TimeoutError] = []

        def wait() -> None:
            try:
                endpoint.wait_until(lambda: len(endpoint.visits) == 2, timeout=PATIENCE)
            except TimeoutError as error:
                ended.append(error)

        with Endpoint(Reply()) as endpoint:
            waiting = threading.Thread(target=wait)
            waiting.start()
        waiting.join()
        assert "before it ended" in str(ended[0])
        with pytest.raises(TimeoutError, match="before it ended"):
            endpoint.wait_until(lambda: endpoint.requests, timeout=PATIENCE)

    @pytest.mark.parametrize("reply", [Reply(delay=FOREVER), Reply(events=["a"], stall=True), Reply(body=b"whole")])
    def test_it_is_silent_when_only_time_or_a_client_can_change_anything(self, reply):
        with Endpoint(reply) as endpoint:
            with pytest.raises(TimeoutError):
                endpoint.wait_silence(timeout=0.01)
            with connected(endpoint):
                endpoint.wait_silence()
                assert only(endpoint).silent != only(endpoint).closed.is_set()
                with pytest.raises(TimeoutError):
                    endpoint.wait_silence(2, timeout=0.01)
            endpoint.wait_closed(only(endpoint))
            assert not only(endpoint).silent

    def test_it_is_not_silent_while_it_writes(self):
        with Endpoint(Reply(events=["a"], forever=True)) as endpoint, connected(endpoint):
            with pytest.raises(TimeoutError):
                endpoint.wait_silence(timeout=0.05)

    def test_what_the_block_raises_is_raised(self):
        with pytest.raises(KeyError), Endpoint(Reply()):
            raise KeyError("mine")

    def test_a_fault_of_the_endpoints_own_is_not_kept_quiet(self, monkeypatch):
        def broken(*_: object) -> None:
            raise ZeroDivisionError("broken")

        monkeypatch.setattr("tokenwire.testing._endpoint.ServedConnection", broken)

        def ask() -> None:
            with Endpoint(Reply()) as endpoint, connected(endpoint) as raw, contextlib.suppress(ConnectionResetError):
                receive_rest(raw)

        with pytest.raises(ZeroDivisionError, match="broken"):
            ask()
