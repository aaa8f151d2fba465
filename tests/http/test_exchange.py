"""What handlers call: exceptions translated whole, deadlines, redirects, and clients of the user's own."""

import gzip
import inspect
import ssl
import time
import zlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

import anyio
import httpx
import pytest

import tokenwire
from tokenwire._reading import FOREVER, receive
from tokenwire.exceptions import (
    APIConnectionError,
    APIError,
    APIResponseValidationError,
    BadRequestError,
    LimitExceededError,
    Timeout,
)
from tokenwire.http.clients import sender_of
from tokenwire.http.decoding import PIECE_BYTES
from tokenwire.http.errors import is_network_error, translated
from tokenwire.http.exchange import HTTPRequest, HTTPResponse
from tokenwire.http.protocol import HeadersTooLarge
from tokenwire.http.reasons import has_no_address
from tokenwire.http.transport import MAX_REDIRECTS, HTTPTransport, warm
from tokenwire.testing import Endpoint, Received, Reply, chunk, chunks, completion

from ..conftest import PATIENCE

# For httpx's clients: the environment is not asked, and no list of certificates is loaded for each.
PLAIN: Any = {"trust_env": False, "verify": ssl.create_default_context()}
AT_ONCE = tokenwire.RetryPolicy(base_delay=0.001, max_delay=0.001)
MESSAGES: Any = [{"role": "user", "content": "Hi"}]


def editions() -> list[ModuleType]:
    """httpx, and httpx2 where it is installed: the same interface, and exceptions of its own."""
    try:
        import httpx2
    except ImportError:
        return [httpx]
    return [httpx, httpx2]


# --- exceptions

# What each of httpx's exceptions becomes, and how its message begins; `Timeout`'s budget in place of the message.
EXPECTED: dict[str, tuple[type[APIError], str | None]] = {
    "HTTPError": (APIConnectionError, "the request failed"),
    "RequestError": (APIConnectionError, "the request failed"),
    "TransportError": (APIConnectionError, "the request failed"),
    "TimeoutException": (Timeout, None),
    "ConnectTimeout": (Timeout, "connect"),
    "ReadTimeout": (Timeout, None),
    "WriteTimeout": (Timeout, "write"),
    "PoolTimeout": (Timeout, "pool"),
    "NetworkError": (APIConnectionError, "the connection broke"),
    "ConnectError": (APIConnectionError, "cannot connect"),
    "ReadError": (APIConnectionError, "the connection broke"),
    "WriteError": (APIConnectionError, "the connection broke"),
    "CloseError": (APIConnectionError, "the connection broke"),
    "ProtocolError": (APIConnectionError, "the request failed"),
    "LocalProtocolError": (BadRequestError, "the request can't be sent"),
    "RemoteProtocolError": (APIConnectionError, "the answer is not valid HTTP"),
    "ProxyError": (APIConnectionError, "the proxy did not connect"),
    "UnsupportedProtocol": (BadRequestError, "the request can't be sent"),
    "DecodingError": (APIResponseValidationError, "cannot decompress the body"),
    "TooManyRedirects": (APIConnectionError, "redirected in circles"),
    "HTTPStatusError": (APIConnectionError, "the request failed"),
    "InvalidURL": (BadRequestError, "the request can't be sent"),
    "CookieConflict": (APIConnectionError, "the request failed"),
    "StreamError": (APIConnectionError, "the request failed"),
    "StreamConsumed": (APIConnectionError, "the request failed"),
    "StreamClosed": (APIConnectionError, "the request failed"),
    "ResponseNotRead": (APIConnectionError, "the request failed"),
    "RequestNotRead": (APIConnectionError, "the request failed"),
    "SSEError": (APIConnectionError, "the request failed"),  # httpx2's
}

ARGUMENTS: dict[str, Any] = {"message": "what it says", "request": None, "response": None}


def exceptions_of(edition: ModuleType) -> list[type[Exception]]:
    return [thing for thing in vars(edition).values() if inspect.isclass(thing) and issubclass(thing, Exception)]


def instance(kind: type[Exception]) -> Exception:
    parameters = inspect.signature(kind).parameters
    known = {name: value for name, value in ARGUMENTS.items() if name in parameters}
    return kind(**known) if known else kind()


@pytest.mark.parametrize("edition", editions(), ids=lambda edition: edition.__name__)
def test_every_exception_of_httpx_has_its_place(edition):
    kinds = [kind for kind in exceptions_of(edition) if kind.__module__.startswith(edition.__name__)]
    assert {kind.__name__ for kind in kinds} - EXPECTED.keys() == set(), "a new exception: what does it become?"
    for kind in kinds:
        error = instance(kind)
        expected, detail = EXPECTED[kind.__name__]
        found = translated(error, "http://localhost:1/v1")
        assert type(found) is expected, kind
        if isinstance(found, Timeout):
            assert found.budget == detail, kind
        else:
            assert found.message.startswith(str(detail)), kind
            text = str(error)
            assert found.message.endswith(text if text and has_no_address(text) else kind.__name__), kind


@pytest.mark.parametrize(
    "error, expected",
    [
        (OSError(5, "broken"), APIConnectionError),
        (ssl.SSLError("broken"), APIConnectionError),
        (RuntimeError("closed"), APIConnectionError),
        (KeyError("a hook's own"), APIConnectionError),
        (anyio.BrokenResourceError(), APIConnectionError),
        (anyio.ClosedResourceError(), APIConnectionError),
        (TimeoutError(), Timeout),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_exceptions_of_other_layers_are_translated_too(error, expected):
    found = translated(error, "http://localhost:1/v1")
    assert type(found) is expected
    assert "localhost" not in found.message


@pytest.mark.parametrize("edition", editions(), ids=lambda edition: edition.__name__)
def test_whose_fault_it_is_is_known_by_the_class(edition):
    network = (
        "ConnectError",
        "ConnectTimeout",
        "PoolTimeout",
        "ProxyError",
        "ReadError",
        "RemoteProtocolError",
        "WriteTimeout",
    )
    for name in network:
        error = instance(getattr(edition, name))
        assert (translated(error, "http://h").fault, is_network_error(error)) == ("network", True), name
    for name, fault in (("LocalProtocolError", "caller"), ("InvalidURL", "caller"), ("DecodingError", "protocol")):
        error = instance(getattr(edition, name))
        assert (translated(error, "http://h").fault, is_network_error(error)) == (fault, False), name

    class ConnectError(Exception):
        """A name means nothing."""

    assert not is_network_error(ConnectError())
    assert translated(ConnectError(), "http://h").fault == "caller"


@pytest.mark.parametrize(
    "error, expected",
    [
        (OSError(5, "broken"), True),
        (ssl.SSLError("broken"), True),
        (TimeoutError(), True),
        (KeyError("a handler's own"), False),
        (RuntimeError("closed"), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_systems_errors_are_the_networks(error, expected):
    assert is_network_error(error) is expected
    assert (translated(error, "http://h").fault == "network") is expected


def test_a_head_that_is_too_large_is_a_limit():
    found = translated(HeadersTooLarge("the head is longer than max_header_bytes, 5 bytes"), "http://localhost")
    assert isinstance(found, LimitExceededError)
    assert found.limit == "max_header_bytes"


@pytest.mark.parametrize(
    "url",
    [
        "https://user:secret@host/v1",
        "https://secret@host/v1?key=secret#secret",
        "https://host/v1?api-key=secret&x=secret?secret",
    ],
)
@pytest.mark.parametrize(
    "error", [httpx.ConnectError("no"), httpx.ConnectTimeout("no"), httpx.InvalidURL("no"), HeadersTooLarge("no")]
)
def test_no_message_has_an_address(url, error):
    message = translated(error, url).message
    assert "secret" not in message
    assert "host" not in message


# --- exchanges


def request_to(url: str, body: bytes = b"{}", *, method: str = "POST", **kwargs: Any) -> HTTPRequest:
    return HTTPRequest(method=method, url=url, headers={"authorization": "Bearer key"}, body=body, **kwargs)


def within(seconds: float) -> float:
    return time.monotonic() + seconds


async def send(client: Any, request: HTTPRequest, deadline: float) -> HTTPResponse:
    return await sender_of(client).send(request, deadline)


async def next_of(exchange: HTTPResponse, deadline: float) -> bytes:
    return await receive(exchange, deadline, lambda: Timeout("nothing arrived in time"))


async def read(exchange: HTTPResponse, limit: int = 1_000_000) -> bytes:
    try:
        return await exchange.read(within(PATIENCE), limit, "max_body_bytes")
    finally:
        await exchange.aclose()


CLIENTS: dict[str, Callable[[], Any]] = {"ours": HTTPTransport}
for edition in editions():
    CLIENTS[edition.__name__] = lambda edition=edition: edition.AsyncClient(**PLAIN)


@pytest.fixture(params=CLIENTS)
async def client(request: pytest.FixtureRequest, quiet_generators: None):
    async with CLIENTS[request.param]() as made:
        yield made


@pytest.fixture
def quiet_generators(request: pytest.FixtureRequest, anyio_backend: tuple[str, Any], forgiving_trio: Callable[[], Any]):
    """httpx leaves generators to the garbage collector, which trio warns of."""
    if anyio_backend[0] != "trio" or "ours" in request.node.callspec.params.values():
        yield
        return
    with forgiving_trio():
        yield


class TestExchange:
    pytestmark = pytest.mark.anyio

    async def test_a_request_and_its_response(self, client):
        with Endpoint(Reply(body=b"hello", headers={"X-One": "1"})) as endpoint:
            exchange = await send(client, request_to(f"{endpoint.url}/x?y=z"), within(PATIENCE))
            assert exchange.status == 200
            assert exchange.headers["x-one"] == "1"
            assert await read(exchange) == b"hello"
            (received,) = endpoint.requests
            assert (received.method, received.path, received.query, received.body) == ("POST", "/v1/x", "y=z", b"{}")
            assert received.headers["authorization"] == "Bearer key"
            assert received.headers["content-length"] == "2"
            assert received.headers["host"] == endpoint.url.removeprefix("http://").removesuffix("/v1")

    async def test_a_get_has_no_body(self, client):
        with Endpoint(Reply(json={})) as endpoint:
            await read(await send(client, request_to(endpoint.url, b"", method="GET"), within(PATIENCE)))
            assert "content-length" not in endpoint.requests[0].headers

    async def test_a_connection_is_used_again(self, client):
        with Endpoint(Reply(events=chunks("Hello"))) as endpoint:
            for _ in range(3):
                await read(await send(client, request_to(endpoint.url), within(PATIENCE)))
            assert {request.connection for request in endpoint.requests} == {1}

    async def test_leaving_early_closes_the_connection(self, client):
        with Endpoint(Reply(events=chunks("Hello"), stall=True)) as endpoint:
            exchange = await send(client, request_to(endpoint.url), within(PATIENCE))
            assert await next_of(exchange, within(PATIENCE))
            await exchange.aclose()
            await endpoint.await_closed(endpoint.requests[0])
            assert endpoint.requests[0].aborted

    async def test_the_tail_is_drained_for_the_connections_sake(self, client):
        with Endpoint(Reply(events=[b"data: 1\n\n"], event_delay=0.02)) as endpoint:
            for _ in range(2):
                exchange = await send(client, request_to(endpoint.url), within(PATIENCE))
                body = b""
                while not body.endswith(b"data: [DONE]\n\n"):
                    body += await next_of(exchange, within(PATIENCE))
                await exchange.drain()
                await exchange.aclose()
            assert {request.connection for request in endpoint.requests} == {1}

    async def test_the_head_comes_before_its_deadline_or_not_at_all(self, client):
        with Endpoint(Reply(json={}, delay=30)) as endpoint:
            with pytest.raises(Timeout) as caught:
                await send(client, request_to(endpoint.url), within(0.05))
            assert caught.value.budget is None
            await endpoint.await_until(lambda: endpoint.open_connections == 0)

    async def test_the_body_comes_before_its_deadline_or_not_at_all(self, client):
        with Endpoint(Reply(events=[b"data: 1\n\n"], done=False, stall=True)) as endpoint:
            exchange = await send(client, request_to(endpoint.url), within(PATIENCE))
            assert await next_of(exchange, within(PATIENCE)) == b"data: 1\n\n"
            for _ in range(2):  # a body that was waited for in vain has not ended
                with pytest.raises(Timeout) as caught:
                    await next_of(exchange, within(0.05))
                assert caught.value.budget is None
            await exchange.aclose()

    async def test_a_broken_body(self, client):
        for reply in (Reply(events=[b"data: 1\n\n"], cut="fin"), Reply(events=[b"data: 1\n\n"], cut="rst")):
            with Endpoint(reply) as endpoint:
                exchange = await send(client, request_to(endpoint.url), within(PATIENCE))
                with pytest.raises(APIConnectionError) as caught:
                    await read(exchange)
                assert caught.value.__cause__ is not None

    async def test_nobody_there(self, client):
        with Endpoint(Reply(json={})) as endpoint:
            url = endpoint.url
        with pytest.raises(APIConnectionError, match="cannot connect: Connection refused"):
            await send(client, request_to(url), within(PATIENCE))

    async def test_connecting_has_a_budget(self, client, deaf):
        with pytest.raises(Timeout) as caught:
            await send(client, request_to(f"http://{deaf[0]}:{deaf[1]}/", connect=0.05), within(PATIENCE))
        assert caught.value.budget == "connect"

    @pytest.mark.parametrize("headers", [{"x": "y\r\nevil: 1"}, {"x\r\nevil": "1"}, {"x": "y\0"}])
    async def test_no_header_smuggles_another(self, client, headers):
        with Endpoint(Reply(json={})) as endpoint:
            with pytest.raises(BadRequestError) as caught:
                await send(client, HTTPRequest(method="GET", url=endpoint.url, headers=headers, body=b""), within(PATIENCE))
            assert caught.value.status_code == 400
            assert endpoint.requests == []

    async def test_no_url(self, client):
        with pytest.raises(BadRequestError):
            await send(client, request_to("localhost/v1"), within(PATIENCE))

    @pytest.mark.parametrize(
        "encoding, data",
        [("gzip", gzip.compress(b"hello" * 100)), ("deflate", zlib.compress(b"hello" * 100))],
        ids=["gzip", "deflate"],
    )
    async def test_compressed_bodies(self, client, encoding, data):
        with Endpoint(Reply(body=data, headers={"content-encoding": encoding}, drip=7)) as endpoint:
            exchange = await send(client, request_to(endpoint.url), within(PATIENCE))
            body = await read(exchange)
            assert body == b"hello" * 100
            response = exchange.response_with(body)
            assert (response.status_code, response.content) == (200, body)
            assert "authorization" not in str(response.headers)

    async def test_a_body_has_a_limit(self, client):
        bomb = gzip.compress(bytes(3_000_000))
        for reply in (Reply(body=b"x" * 2000), Reply(body=bomb, headers={"content-encoding": "gzip"})):
            with Endpoint(reply) as endpoint:
                with pytest.raises(LimitExceededError) as caught:
                    await read(await send(client, request_to(endpoint.url), within(PATIENCE)), 1000)
                assert caught.value.limit == "max_body_bytes"

    async def test_an_errors_body_is_read_as_far_as_it_comes(self, client):
        for reply, expected in (
            (Reply(status=500, body=b"x" * 2000), b"x" * 1000),
            (Reply(status=500, events=[b"short"], done=False, cut="fin"), b"short"),
            (Reply(status=500, body=b"\x1f\x8bbroken", headers={"content-encoding": "gzip"}), b""),
        ):
            with Endpoint(reply) as endpoint:
                exchange = await send(client, request_to(endpoint.url), within(PATIENCE))
                assert await exchange.read_start(within(PATIENCE), 1000) == expected
                await exchange.aclose()


class TestOverOurTransport:
    pytestmark = pytest.mark.anyio

    @pytest.fixture
    async def transport(self):
        async with HTTPTransport() as transport:
            yield transport

    async def test_repeated_headers_are_joined(self, transport, raw_server):
        head = b"HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a: 2\r\nlatin: \xe9\r\ncontent-length: 0\r\n\r\n"
        server = raw_server(lambda peer: (peer.request(), peer.send(head)))
        exchange = await send(transport, request_to(server.url), within(PATIENCE))
        assert exchange.headers == {"x-a": "1, 2", "latin": "\xe9", "content-length": "0"}
        await exchange.aclose()

    async def test_values_beyond_ascii_are_sent_as_utf8(self, transport, raw_server):
        requests: list[bytes] = []
        server = raw_server(
            lambda peer: (requests.append(peer.request()), peer.send(b"HTTP/1.1 204 No\r\n\r\n"), peer.wait_for_the_end())
        )
        request = HTTPRequest(method="GET", url=server.url, headers={"x-title": "caf\xe9"}, body=b"")
        await (await send(transport, request, within(PATIENCE))).aclose()
        assert "x-title: caf\xe9\r\n".encode() in requests[0]

    @pytest.mark.parametrize("status", [307, 308])
    async def test_a_redirect_within_the_origin_is_followed(self, transport, status):
        def script(received: Received) -> Reply:
            if received.path == "/v1/from":
                return Reply(status=status, headers={"location": "../v1/to?x=y"}, body=b"this is no answer")
            return Reply(body=received.body)

        with Endpoint(script) as endpoint:
            exchange = await send(transport, request_to(f"{endpoint.url}/from", b"hello"), within(PATIENCE))
            assert await read(exchange) == b"hello"
            assert [(r.method, r.path, r.query) for r in endpoint.requests] == [
                ("POST", "/v1/from", ""),
                ("POST", "/v1/to", "x=y"),
            ]
            assert exchange.url.endswith("/v1/to?x=y")
            assert transport.stats.open == transport.stats.idle

    @pytest.mark.parametrize("status", [301, 302, 303])
    async def test_a_redirect_that_would_change_the_method_is_the_answer(self, transport, status):
        with Endpoint([Reply(status=status, headers={"location": "/v1/to"}), Reply(body=b"to")]) as endpoint:
            exchange = await send(transport, request_to(endpoint.url), within(PATIENCE))
            assert exchange.status == status
            await read(exchange)
            assert len(endpoint.requests) == 1

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    async def test_a_get_is_redirected_by_all_of_them(self, transport, status):
        with Endpoint([Reply(status=status, headers={"location": "/v1/to"}), Reply(body=b"to")]) as endpoint:
            assert await read(await send(transport, request_to(endpoint.url, b"", method="GET"), within(PATIENCE))) == b"to"

    async def test_a_key_goes_to_no_other_origin(self, transport):
        with Endpoint(Reply(body=b"thief")) as other:
            for location in (f"{other.url}/to", f"//{other.url.removeprefix('http://')}", "https://localhost/to"):
                with Endpoint(Reply(status=307, headers={"location": location})) as endpoint:
                    exchange = await send(transport, request_to(endpoint.url), within(PATIENCE))
                    assert exchange.status == 307
                    await exchange.aclose()
            assert other.requests == []

    @pytest.mark.parametrize("location", ["http://[", "ftp://localhost/", "mailto:x", "http://a b/"])
    async def test_a_redirect_to_nowhere_is_the_answer(self, transport, location):
        with Endpoint(Reply(status=308, headers={"location": location})) as endpoint:
            exchange = await send(transport, request_to(endpoint.url), within(PATIENCE))
            assert exchange.status == 308
            await exchange.aclose()

    async def test_redirects_end_somewhere(self, transport):
        with Endpoint(Reply(status=307, headers={"location": "/v1"})) as endpoint:
            with pytest.raises(APIConnectionError, match="redirected in circles"):
                await send(transport, request_to(endpoint.url), within(PATIENCE))
            assert len(endpoint.requests) == MAX_REDIRECTS + 1
            assert transport.stats.open == transport.stats.idle

    @pytest.mark.parametrize("encoding", ["zstd", "gzip, br"])
    async def test_an_encoding_that_nobody_asked_for_releases_the_connection(self, transport, encoding):
        with Endpoint(Reply(events=[b"x"], stall=True, headers={"content-encoding": encoding})) as endpoint:
            with pytest.raises(APIResponseValidationError, match="cannot decompress") as caught:
                await send(transport, request_to(endpoint.url), within(PATIENCE))
            assert transport.stats.open == 0, caught
            await endpoint.await_until(lambda: endpoint.open_connections == 0)

    async def test_a_bomb_is_inflated_in_bounded_pieces(self, transport):
        size = 20 * PIECE_BYTES + 5
        with Endpoint(Reply(body=gzip.compress(bytes(size)), headers={"content-encoding": "gzip"})) as endpoint:
            exchange = await send(transport, request_to(endpoint.url), within(PATIENCE))
            pieces = []
            while piece := await next_of(exchange, within(PATIENCE)):
                pieces.append(len(piece))
            await exchange.aclose()
        assert sum(pieces) == size
        assert max(pieces) <= PIECE_BYTES

    async def test_a_compressed_body_cut_short(self, transport):
        with Endpoint(Reply(body=gzip.compress(b"hello" * 1000)[:-9], headers={"content-encoding": "gzip"})) as endpoint:
            exchange = await send(transport, request_to(endpoint.url), within(PATIENCE))
            with pytest.raises(APIConnectionError, match="ended before it was complete"):
                await read(exchange)

    async def test_a_head_that_is_too_large(self, raw_server):
        server = raw_server(
            lambda peer: (peer.request(), peer.send(b"HTTP/1.1 200 OK\r\nx: " + b"y" * 9000), peer.wait_for_the_end())
        )
        async with HTTPTransport(max_header_bytes=5000) as transport:
            with pytest.raises(LimitExceededError) as caught:
                await send(transport, request_to(server.url), within(PATIENCE))
            assert caught.value.limit == "max_header_bytes"

    async def test_warm_raises_our_exceptions(self, transport):
        with Endpoint(Reply(json={})) as endpoint:
            await warm(transport, endpoint.url, 2)
            assert (transport.stats.open, transport.stats.idle) == (2, 2)
            url = endpoint.url
        async with HTTPTransport() as another:
            with pytest.raises(APIConnectionError, match="cannot connect: "):
                await warm(another, url, 2)

    async def test_a_closed_transport(self):
        transport = HTTPTransport()
        await transport.aclose()
        with pytest.raises(APIConnectionError, match="closed"):
            await send(transport, request_to("http://127.0.0.1:1/"), FOREVER)


class TestUsersClients:
    """A client of the user's own is used as it is: its headers, hooks, auth, mounts and mocks."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture(params=editions(), ids=lambda edition: edition.__name__)
    def edition(self, request: pytest.FixtureRequest, anyio_backend: tuple[str, Any], forgiving_trio: Callable[[], Any]):
        if anyio_backend[0] != "trio":
            yield request.param
            return
        with forgiving_trio():
            yield request.param

    async def test_given_to_a_client_or_to_a_call(self, edition):
        with Endpoint(Reply(json=completion("Hello"))) as endpoint:
            own = edition.AsyncClient(headers={"x-own": "1"}, cookies={"c": "d"}, auth=("user", "password"), **PLAIN)
            async with own:
                async with tokenwire.AsyncClient(http_client=own, api_base=endpoint.url) as client:
                    await client.acompletion("openai/m", MESSAGES)
                    assert client.stats is None
                await tokenwire.acompletion("openai/m", MESSAGES, api_base=endpoint.url, client=own)
                assert not own.is_closed
            for received in endpoint.requests:
                assert received.headers["x-own"] == "1"
                assert received.headers["cookie"] == "c=d"
                assert received.headers["authorization"].startswith("Basic ")
            assert {received.connection for received in endpoint.requests} == {1}

    async def test_streams_go_through_it(self, edition):
        with Endpoint(Reply(events=chunks("Hello there"))) as endpoint:
            async with edition.AsyncClient(**PLAIN) as own:
                for _ in range(2):
                    stream = await tokenwire.acompletion("openai/m", MESSAGES, api_base=endpoint.url, client=own, stream=True)
                    async with stream:
                        text = "".join([piece.choices[0].delta.content or "" async for piece in stream])
                    assert text == "Hello there"
            assert {received.connection for received in endpoint.requests} == {1}

    async def test_leaving_a_stream_early_closes_its_connection(self, edition):
        with Endpoint(Reply(events=[chunk("Hello")], stall=True)) as endpoint:
            async with edition.AsyncClient(**PLAIN) as own:
                stream = await tokenwire.acompletion("openai/m", MESSAGES, api_base=endpoint.url, client=own, stream=True)
                async with stream:
                    async for _ in stream:
                        break
                await endpoint.await_closed(endpoint.requests[0])
                assert endpoint.requests[0].aborted

    async def test_its_mock_transport_answers(self, edition):
        def answer(request: Any) -> Any:
            assert request.url.path == "/v1/chat/completions"
            return edition.Response(200, json=completion("mocked"))

        async with edition.AsyncClient(transport=edition.MockTransport(answer), **PLAIN) as own:
            response = await tokenwire.acompletion("openai/m", MESSAGES, api_base="http://mock.example/v1", client=own)
        assert response.choices[0].message.content == "mocked"

    async def test_its_exceptions_are_translated(self, edition):
        async def fail(_: Any) -> Any:
            raise failure

        async with edition.AsyncClient(transport=edition.MockTransport(fail), **PLAIN) as own:
            for failure, expected in (
                (edition.ConnectError("no"), APIConnectionError),
                (edition.ConnectTimeout("no"), Timeout),
                (edition.ReadError("no"), APIConnectionError),
                (edition.LocalProtocolError("no"), BadRequestError),
                (KeyError("a hook's own"), APIConnectionError),
            ):
                with pytest.raises(expected) as caught:
                    await send(own, request_to("http://mock.example/"), within(PATIENCE))
                assert caught.value.__cause__ is failure

    async def test_a_hook_that_raises_for_status_changes_no_exception(self, edition):
        async def hook(response: Any) -> None:
            response.raise_for_status()

        with Endpoint(Reply(status=401, json={"error": {"message": "No."}})) as endpoint:
            async with edition.AsyncClient(event_hooks={"response": [hook]}, **PLAIN) as own:
                with pytest.raises(tokenwire.AuthenticationError):
                    await tokenwire.acompletion("openai/m", MESSAGES, api_base=endpoint.url, client=own)
            assert len(endpoint.requests) == 1

    async def test_a_refused_connection_is_tried_again(self, edition):
        with Endpoint(Reply(json={})) as endpoint:
            url = endpoint.url
        async with edition.AsyncClient(**PLAIN) as own:
            with pytest.raises(APIConnectionError, match="cannot connect: ") as caught:
                await tokenwire.acompletion("openai/m", MESSAGES, api_base=url, client=own, retry_policy=AT_ONCE)
        assert (len(caught.value.attempts), caught.value.fault) == (3, "network")

    async def test_its_redirects_are_its_own_business(self, edition):
        def script(received: Received) -> Reply:
            if received.path.startswith("/v1"):
                return Reply(status=307, headers={"location": "/v2"})
            return Reply(json=completion("there"))

        with Endpoint(script) as endpoint:
            async with edition.AsyncClient(follow_redirects=True, **PLAIN) as own:
                response = await tokenwire.acompletion("openai/m", MESSAGES, api_base=endpoint.url, client=own)
        assert response.choices[0].message.content == "there"

    async def test_a_closed_one_is_a_connection_error(self, edition):
        own = edition.AsyncClient(**PLAIN)
        await own.aclose()
        with pytest.raises(APIConnectionError, match="closed"):
            await send(own, request_to("http://mock.example/"), within(PATIENCE))

    @pytest.mark.parametrize("seconds", [0, 5], ids=["cancelled", "without end"])
    async def test_the_response_of_an_httpx_client_is_closed_in_any_case(self, seconds, monkeypatch):
        class Slow(httpx.AsyncByteStream):
            closed = False

            async def __aiter__(self):
                yield b"a"

            async def aclose(self):
                await anyio.sleep(seconds)
                self.closed = True

        monkeypatch.setattr("tokenwire.http.clients.CLOSE_SECONDS", 0.05)
        stream = Slow()
        async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(200, stream=stream))) as client:
            exchange = await send(client, request_to("http://localhost"), within(PATIENCE))
            with anyio.CancelScope() as scope:
                if not seconds:
                    scope.cancel()
                await exchange.aclose()
        assert stream.closed is (not seconds)


class TestProxies:
    """A proxy in the environment is used, by httpx's own transport."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture(autouse=True)
    def quiet(self, anyio_backend: tuple[str, Any], forgiving_trio: Callable[[], Any]):
        if anyio_backend[0] != "trio":
            yield
            return
        with forgiving_trio():
            yield

    @pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
    async def test_the_proxy_gets_the_request(self, monkeypatch, name):
        if name == "HTTP_PROXY":
            monkeypatch.delenv("http_proxy", raising=False)
        with Endpoint(Reply(json=completion("by proxy"))) as proxy:
            monkeypatch.setenv(name, proxy.url.removesuffix("/v1"))
            async with tokenwire.AsyncClient(api_base="http://model.example/v1", api_key="key") as client:
                response = await client.acompletion("openai/m", MESSAGES)
                assert response.choices[0].message.content == "by proxy"
                stream = client.astreaming("openai/m", MESSAGES)
                async with stream:
                    assert "".join([piece.text async for piece in stream]) == "by proxy"
                assert client.stats is None
            assert {received.path for received in proxy.requests} == {"http://model.example/v1/chat/completions"}
            assert {received.headers["host"] for received in proxy.requests} == {"model.example"}

    async def test_what_is_exempt_goes_directly(self, monkeypatch):
        with Endpoint(Reply(json=completion("by proxy"))) as proxy, Endpoint(Reply(json=completion("directly"))) as endpoint:
            monkeypatch.setenv("HTTP_PROXY", proxy.url.removesuffix("/v1"))
            monkeypatch.setenv("NO_PROXY", "127.0.0.1")
            async with tokenwire.AsyncClient(api_base=endpoint.url) as client:
                response = await client.acompletion("openai/m", MESSAGES)
                assert client.stats is not None
                assert client.stats.idle == 1
            assert response.choices[0].message.content == "directly"
            assert proxy.requests == []

    async def test_an_https_proxy_refuses(self, monkeypatch):
        with Endpoint(Reply(status=407, body=b"who are you?")) as proxy:
            monkeypatch.setenv("HTTPS_PROXY", proxy.url.removesuffix("/v1"))
            async with tokenwire.AsyncClient(api_base="https://model.example/v1", api_key="key", num_retries=0) as client:
                with pytest.raises(
                    APIConnectionError, match="the proxy did not connect through the environment's https_proxy: 407"
                ):
                    await client.acompletion("openai/m", MESSAGES)
            assert [received.method for received in proxy.requests] == ["CONNECT"]
