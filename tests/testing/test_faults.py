"""What a reply can do to a client beyond answering it, as bare sockets and httpx see it."""

import gzip
import ssl
import sys
import time
import zlib

import httpx
import pytest

import tokenwire
from tokenwire.http.transport import HTTPTransport
from tokenwire.testing import Endpoint, Reply, chunks, completion, error, event

PROMPT = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
FOREVER = 3600.0


def body_of(reply: Reply) -> tuple[bytes, Exception | None]:
    """What a client gets of the body, and what ended it if that was an error."""
    received = b""
    with Endpoint(reply) as endpoint, httpx.Client(timeout=10) as client, client.stream("POST", endpoint.url) as response:
        try:
            for data in response.iter_raw():
                received += data
        except httpx.TransportError as broken:
            return received, broken
    return received, None


class TestText:
    def test_it_is_streamed_to_who_asks_for_a_stream(self):
        with Endpoint(Reply(text="Hello there")) as endpoint:
            response = httpx.post(endpoint.url, json=PROMPT | {"stream": True})
        assert response.content == b"".join(Reply(events=chunks("Hello there")).pieces())

    @pytest.mark.parametrize("body", [b'{"stream": false}', b"[]", b"", b"{"])
    def test_it_is_whole_for_all_others(self, body):
        with Endpoint(Reply(text="Hello there")) as endpoint:
            assert httpx.post(endpoint.url, content=body).json() == completion("Hello there")


class TestCuts:
    @pytest.mark.parametrize("framing", ["chunked", "length"])
    @pytest.mark.parametrize("cut", ["fin", "rst"])
    def test_behind_some_events(self, cut, framing):
        whole = Reply(events=chunks("Hello there"))
        received, broken = body_of(Reply(events=chunks("Hello there"), cut=cut, after=2, framing=framing))
        assert received == b"".join(list(whole.pieces())[:2])
        assert isinstance(broken, httpx.RemoteProtocolError if cut == "fin" else httpx.ReadError)

    @pytest.mark.parametrize("size", [0, 1, 30])
    def test_in_the_middle_of_a_json(self, size):
        whole = b"".join(Reply(json=completion()).pieces())
        received, broken = body_of(Reply(json=completion(), cut="fin", after_bytes=size))
        assert received == whole[:size]
        assert isinstance(broken, httpx.RemoteProtocolError)

    def test_the_length_that_is_promised_is_the_whole_body_s(self):
        with Endpoint(Reply(body=b"x" * 50, cut="fin", after_bytes=20)) as endpoint, httpx.Client() as client:
            with client.stream("GET", endpoint.url) as response:
                assert response.headers["content-length"] == "50"

    def test_the_nearer_of_two_places(self):
        reply = Reply(events=[b"one\n", b"two\n", b"three\n"], cut="fin", after=2, after_bytes=6)
        assert b"".join(reply.pieces()) == b"one\ntw"
        reply = Reply(events=[b"one\n", b"two\n", b"three\n"], cut="fin", after=1, after_bytes=6)
        assert b"".join(reply.pieces()) == b"one\n"

    def test_a_stall_in_the_middle_of_a_json(self):
        with Endpoint(Reply(json=completion(), stall=True, after_bytes=20)) as endpoint:
            with httpx.Client() as client, client.stream("GET", endpoint.url) as response:
                assert len(next(response.iter_raw())) == 20
            endpoint.wait_closed(endpoint.requests[0])
            assert endpoint.requests[0].aborted

    def test_the_first_token_s_delay_comes_behind_the_head(self):
        with Endpoint(Reply(text="Hi", first_delay=FOREVER)) as endpoint, httpx.Client() as client:
            with client.stream("POST", endpoint.url, json=PROMPT) as response:
                assert response.status_code == 200
            endpoint.wait_closed(endpoint.requests[0])


class TestRaw:
    def test_no_answer_at_all(self):
        with Endpoint(Reply(raw=b"", cut="fin")) as endpoint, pytest.raises(httpx.RemoteProtocolError, match="disconnected"):
            httpx.get(endpoint.url)

    def test_half_a_head(self):
        with Endpoint(Reply(raw=b"HTTP/1.1 200 OK\r\ncont", cut="rst")) as endpoint, pytest.raises(httpx.ReadError):
            httpx.get(endpoint.url)

    def test_a_connection_that_goes_on(self):
        whole = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"
        with Endpoint(Reply(raw=whole, drip=1)) as endpoint, httpx.Client() as client:
            assert [client.get(endpoint.url).text for _ in range(2)] == ["hi", "hi"]
        assert [request.connection for request in endpoint.requests] == [1, 1]

    def test_a_kept_connection_that_ends_without_a_word(self):
        whole = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"
        with Endpoint(Reply(raw=whole, cut="fin")) as endpoint, httpx.Client() as client:
            assert client.get(endpoint.url).text == "hi"
            endpoint.wait_until(lambda: endpoint.open_connections == 0)


class TestForever:
    @pytest.mark.parametrize(
        "reply", [Reply(events=[b": hi\n\n"], forever=True), Reply(body=b"x" * 1000, forever=True)], ids=["events", "a body"]
    )
    def test_until_the_client_leaves(self, reply):
        with Endpoint(reply) as endpoint:
            with httpx.Client() as client, client.stream("GET", endpoint.url) as response:
                pieces = response.iter_raw(1)
                assert b"[DONE]" not in b"".join(next(pieces) for _ in range(5000))
            endpoint.wait_closed(endpoint.requests[0])
            assert endpoint.requests[0].aborted

    def test_or_so_many_pieces(self):
        received, broken = body_of(Reply(events=["a", "b"], forever=True, after=5, cut="fin"))
        assert received.count(b"data: ") == 5
        assert broken is not None

    @pytest.mark.parametrize("fields", [{}, {"events": []}, {"body": b""}, {"body": b"x", "framing": "length"}], ids=str)
    def test_nothing_can_t_be_sent_for_ever(self, fields):
        with pytest.raises(ValueError, match="forever"):
            Reply(forever=True, **fields)


class TestCompression:
    @pytest.mark.parametrize("framing", ["chunked", "length", "close"])
    @pytest.mark.parametrize("encoding", ["gzip", "deflate"])
    def test_it_is_undone_by_the_client(self, encoding, framing):
        with Endpoint(Reply(events=chunks("Hello"), encoding=encoding, framing=framing)) as endpoint:
            response = httpx.post(endpoint.url)
        assert response.headers["content-encoding"] == encoding
        assert response.content == b"".join(Reply(events=chunks("Hello")).pieces())

    def test_each_event_can_be_read_when_it_comes(self):
        with Endpoint(Reply(events=["a", "b"], encoding="gzip", event_delay=FOREVER)) as endpoint:
            with httpx.Client() as client, client.stream("GET", endpoint.url) as response:
                assert next(response.iter_bytes()) == next(Reply(events=["a"]).pieces())

    def test_a_cut_one_has_no_end(self):
        received, _ = body_of(Reply(events=["a", "b"], encoding="gzip", cut="fin"))
        inflater = zlib.decompressobj(wbits=31)
        assert inflater.decompress(received).count(b"data: ") == 3
        assert not inflater.eof

    def test_a_bomb_is_small(self):
        received, _ = body_of(Reply(body=bytes(1_000_000), encoding="gzip"))
        assert len(received) < 2000
        assert len(gzip.decompress(received)) == 1_000_000


@pytest.fixture(scope="module")
def secure_context() -> ssl.SSLContext:
    from tokenwire.testing._tls import contexts

    return contexts()[0]


class TestTLS:
    @pytest.mark.parametrize("framing", ["chunked", "close"])
    @pytest.mark.anyio
    async def test_clients_that_trust_it(self, framing):
        with Endpoint(Reply(events=chunks("Hello"), framing=framing), tls=True) as endpoint:
            assert endpoint.url.startswith("https://127.0.0.1:")
            async with HTTPTransport(ssl_context=endpoint.ssl_context) as transport:
                for _ in range(2):
                    stream = tokenwire.astreaming(
                        "openai/m", [{"role": "user", "content": "Hi"}], api_base=endpoint.url, client=transport
                    )
                    assert "".join([piece.text async for piece in stream]) == "Hello"
        connections = [request.connection for request in endpoint.requests]
        assert connections == ([1, 1] if framing == "chunked" else [1, 2])

    def test_an_end_is_no_cut(self):
        """Python's own sockets complain of an end without TLS's goodbye."""
        with Endpoint(Reply(body=b"hello", framing="close"), tls=True) as endpoint:
            assert httpx.get(endpoint.url, verify=endpoint.ssl_context).text == "hello"

    @pytest.mark.parametrize("cut", ["fin", "rst"])
    def test_cuts(self, cut):
        with Endpoint(Reply(text="Hello", cut=cut, after_bytes=20), tls=True) as endpoint:
            with pytest.raises(httpx.TransportError):
                httpx.get(endpoint.url, verify=endpoint.ssl_context)
        assert endpoint.visits[0].closed_by == "endpoint"

    def test_a_client_that_leaves_is_noticed(self):
        with Endpoint(Reply(text="Hello", stall=True), tls=True) as endpoint:
            with httpx.Client(verify=endpoint.ssl_context) as client, client.stream("GET", endpoint.url):
                pass
            endpoint.wait_closed(endpoint.requests[0])
            assert endpoint.requests[0].aborted

    def test_a_client_that_does_not_trust_it(self):
        with Endpoint(Reply(), tls=True) as endpoint:
            with pytest.raises(httpx.ConnectError, match="certificate"):
                httpx.get(endpoint.url)
            endpoint.wait_until(lambda: endpoint.visits and endpoint.visits[0].closed_at)
        assert endpoint.requests == []
        assert endpoint.visits[0].closed_by == "client"
        assert "unknown ca" in (endpoint.visits[0].error or "").lower()

    def test_a_context_of_one_s_own(self, secure_context):
        with Endpoint(Reply(), tls=secure_context) as endpoint:
            assert httpx.get(endpoint.url, verify=False).status_code == 200
            with pytest.raises(RuntimeError, match="no certificate"):
                _ = endpoint.ssl_context

    def test_without_trustme_it_says_what_to_install(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "trustme", None)
        with pytest.raises(ModuleNotFoundError, match=r"tokenwire\[test\]"):
            Endpoint(Reply(), tls=True)


class TestRecords:
    def test_when_attempts_came_and_ended(self):
        before = time.monotonic()
        with Endpoint([Reply(status=503, headers={"retry-after-ms": "30"}), Reply(text="Hello")]) as endpoint:
            tokenwire.completion("openai/m", [{"role": "user", "content": "Hi"}], api_base=endpoint.url)
        first, second = endpoint.requests
        assert before <= first.arrived_at <= (first.ended_at or 0) <= second.arrived_at <= (second.ended_at or 0)
        assert second.arrived_at - first.arrived_at >= 0.025
        assert [request.reply and request.reply.status for request in endpoint.requests] == [503, 200]

    def test_who_closed_a_connection(self):
        with Endpoint([Reply(), Reply(framing="close"), Reply(stall=True)]) as endpoint:
            with httpx.Client() as client:
                client.get(endpoint.url)
            with httpx.Client() as client:
                client.get(endpoint.url)
                with client.stream("GET", endpoint.url):
                    assert [visit.closed_at is None for visit in endpoint.visits][-1]
                    assert repr(endpoint.visits[-1]) == "<Visit 3, open>"
            endpoint.wait_until(lambda: endpoint.open_connections == 0)
        assert [visit.closed_by for visit in endpoint.visits] == ["client", "endpoint", "client"]
        assert repr(endpoint.visits[0]) == "<Visit 1, closed by the client>"
        for visit in endpoint.visits:
            assert visit.opened_at <= (visit.closed_at or 0)

    @pytest.mark.anyio
    async def test_a_connection_without_a_request_is_there_too(self):
        with Endpoint(Reply()) as endpoint:
            async with HTTPTransport() as transport:
                await transport.warm(endpoint.url, 2)
                await endpoint.await_until(lambda: endpoint.open_connections == 2)
            await endpoint.await_until(lambda: endpoint.open_connections == 0)
        assert endpoint.requests == []
        assert [visit.number for visit in endpoint.visits] == [1, 2]

    def test_the_address_can_be_chosen(self):
        with Endpoint(Reply()) as first:
            port = httpx.URL(first.url).port or 0
        with Endpoint(Reply(), host="127.0.0.2", port=port) as second:
            assert second.url == f"http://127.0.0.2:{port}/v1"
            assert httpx.get(second.url).status_code == 200


@pytest.mark.parametrize(
    "built, sent",
    [
        (event({"a": 1}), b'data: {"a":1}\n\n'),
        (event("{broken", "error"), b"event: error\ndata: {broken\n\n"),
        (event(b"\xff"), b"data: \xff\n\n"),
        (event("two\nlines"), b"data: two\ndata: lines\n\n"),
    ],
)
def test_an_event_as_it_is_sent(built, sent):
    assert built == sent


def test_an_error_is_openais():
    assert error("no", code="c") == {"error": {"message": "no", "type": None, "code": "c", "param": None}}
