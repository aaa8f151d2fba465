"""`EventSource` and the connect functions: httpx-sse's interface, over httpx responses that arrive in chosen reads."""

import gzip
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio
import httpx
import httpx_sse
import pytest

from tokenwire.exceptions import LimitExceededError
from tokenwire.http.sse_client import EventSource, ServerSentEvent, SSEError, aconnect_sse, connect_sse

URL = "https://example.org/events"
EVENT_STREAM = {"content-type": "text/event-stream"}

STREAM = (
    b"\xef\xbb\xbfdata: plain\n\n"
    b": ping\n\n"
    b"event: delta\nid: 7\nretry: 1500\ndata: one\ndata: two\n\n"
    b"data: \xff\xe2\x80\xa8\n\nid\nretry: 20\n\ndata: {}\n\n"
)
# (event, data, id, retry)
EVENTS = [
    ("message", "plain", "", None),
    ("delta", "one\ntwo", "7", 1500),
    ("message", "\ufffd\u2028", "7", None),
    ("message", "{}", "", 20),
]


class Body(httpx.AsyncByteStream, httpx.SyncByteStream):
    """A body that arrives in the given reads; an exception among them is raised in its place.

    Attributes:
        closed: whether the client closed it.
        given: how many reads the client took.
    """

    def __init__(self, *reads: bytes | Exception) -> None:
        self.reads = iter(reads)
        self.given = 0
        self.closed = False

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._next, None)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        await anyio.lowlevel.checkpoint()
        data = self._next()
        if data is None:
            raise StopAsyncIteration
        return data

    def _next(self) -> Any:
        read = next(self.reads, None)
        self.given += 1
        if isinstance(read, Exception):
            raise read
        return read

    def close(self) -> None:
        self.closed = True

    async def aclose(self) -> None:
        self.closed = True


class SilentBody(Body):
    """A body that waits for ever once its reads are given, and says when it does."""

    def __init__(self, *reads: bytes) -> None:
        super().__init__(*reads)
        self.waiting = anyio.Event()

    async def __anext__(self) -> bytes:
        try:
            return await super().__anext__()
        except StopAsyncIteration:
            self.waiting.set()
            await anyio.sleep_forever()
            raise


def response(*reads: bytes | Exception, **headers: str) -> httpx.Response:
    return httpx.Response(200, headers=headers or EVENT_STREAM, stream=Body(*reads))


def content_type(value: str) -> httpx.Response:
    return httpx.Response(200, headers={"content-type": value}, stream=Body(b"data: 1\n\n"))


def parts(event: ServerSentEvent) -> tuple[str, str, str, int | None]:
    return event.event, event.data, event.id, event.retry


Collect = Callable[..., Any]


async def from_async(answer: httpx.Response, **options: Any) -> list[ServerSentEvent]:
    return [event async for event in EventSource(answer, **options).aiter_sse()]


async def from_sync(answer: httpx.Response, **options: Any) -> list[ServerSentEvent]:
    return list(EventSource(answer, **options).iter_sse())


both_faces = pytest.mark.parametrize("collect", [from_async, from_sync], ids=["async", "sync"])
pytestmark = pytest.mark.anyio

# httpx's aiter_bytes is a generator around a generator; trio reports the inner one when the outer one is closed early.
left_early = pytest.mark.filterwarnings("ignore:Async generator 'httpx:ResourceWarning")


def test_names_are_httpx_sses_own() -> None:
    assert ServerSentEvent is httpx_sse.ServerSentEvent
    assert SSEError is httpx_sse.SSEError


@both_faces
@pytest.mark.parametrize("size", [1, 7, len(STREAM)])
async def test_events(collect: Collect, size: int) -> None:
    reads = [STREAM[i : i + size] for i in range(0, len(STREAM), size)]
    assert [parts(event) for event in await collect(response(*reads))] == EVENTS


@both_faces
async def test_events_as_httpx_sse_has_them(collect: Collect) -> None:
    stream = b"id: 1\ndata: a\n\nevent: x\ndata: b\nretry: 5\n\nid: 2\ndata: c\n\n".replace(b"\n", b"\r\n")
    theirs = httpx_sse.EventSource(response(stream)).iter_sse()
    assert [parts(event) for event in await collect(response(stream))] == [parts(event) for event in theirs]


@both_faces
async def test_an_id_without_data_counts_from_its_place_on(collect: Collect) -> None:
    events = await collect(response(b"data: a\n\nid: 5\n\ndata: b\n\ndata: c\n\n"))
    assert [event.id for event in events] == ["", "5", "5"]


@both_faces
@pytest.mark.parametrize("stream", [b"data: 1\n\ndata: 2\n", b"data: 1\n\ndata: 2", b"data: 1\n\ndata: 2\r"])
async def test_a_body_that_ends_inside_an_event(collect: Collect, stream: bytes) -> None:
    assert [event.data for event in await collect(response(stream))] == ["1", "2"]


@both_faces
async def test_an_empty_body(collect: Collect) -> None:
    assert await collect(response()) == []


@both_faces
async def test_a_compressed_body(collect: Collect) -> None:
    data = gzip.compress(b"data: 1\n\ndata: 2\n\n")
    events = await collect(response(data[:9], data[9:], **EVENT_STREAM, **{"content-encoding": "gzip"}))
    assert [event.data for event in events] == ["1", "2"]


@both_faces
@pytest.mark.parametrize(
    "value", ["text/event-stream", "Text/Event-Stream; charset=utf-8", "text/event-stream;charset=latin-1"]
)
async def test_content_type(collect: Collect, value: str) -> None:
    assert [event.data for event in await collect(content_type(value))] == ["1"]


@both_faces
@pytest.mark.parametrize("value", ["application/json", "text/html; x=text/event-stream", ""])
async def test_another_content_type(collect: Collect, value: str) -> None:
    with pytest.raises(SSEError, match="Expected response header Content-Type to contain 'text/event-stream', got"):
        await collect(content_type(value))


@both_faces
async def test_utf_8_whatever_the_header_says(collect: Collect) -> None:
    answer = response("data: é\n\n".encode(), **{"content-type": "text/event-stream; charset=latin-1"})
    assert [event.data for event in await collect(answer)] == ["é"]


@left_early
@both_faces
async def test_an_event_that_outgrows_its_limit(collect: Collect) -> None:
    with pytest.raises(LimitExceededError):
        await collect(response(b"data: 12345678901\n\n"), max_event_bytes=10)


def test_response() -> None:
    answer = response()
    assert EventSource(answer).response is answer


# How an iteration ends


async def test_a_broken_body() -> None:
    events = EventSource(response(b"data: 1\n\ndata: 2\n", httpx.ReadError("reset"))).aiter_sse()
    assert (await anext(events)).data == "1"
    with pytest.raises(httpx.ReadError):
        await anext(events)
    assert await anext(events, None) is None  # nothing of the unfinished event


def test_a_broken_body_sync() -> None:
    events = EventSource(response(b"data: 1\n\ndata: 2\n", httpx.ReadError("reset"))).iter_sse()
    assert next(events).data == "1"
    with pytest.raises(httpx.ReadError):
        next(events)
    assert next(events, None) is None


async def test_after_the_end() -> None:
    events = EventSource(response(b"data: 1\n\n")).aiter_sse()
    assert [event.data async for event in events] == ["1"]
    assert [event.data async for event in events] == []
    await events.aclose()


async def test_events_that_arrived_together_cost_one_read() -> None:
    answer = response(b"data: 1\n\ndata: 2\n\n", b"data: 3\n\n")
    body = answer.stream
    assert isinstance(body, Body)
    events = EventSource(answer).aiter_sse()
    assert [(await anext(events)).data for _ in range(2)] == ["1", "2"]
    assert body.given == 1
    assert [event.data async for event in events] == ["3"]


class Bytes:
    """What `aiter_bytes` returns, with its closing in view."""

    def __init__(self) -> None:
        self.closed = 0

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        return b"data: 12345678901\n\ndata: 2\n\n"

    async def aclose(self) -> None:
        self.closed += 1


async def test_aclose_closes_the_byte_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    answer, body = response(), Bytes()
    monkeypatch.setattr(answer, "aiter_bytes", lambda: body)
    events = EventSource(answer).aiter_sse()
    await anext(events)
    await events.aclose()
    assert body.closed == 1
    assert [event async for event in events] == []


async def test_a_failure_closes_the_byte_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    answer, body = response(), Bytes()
    monkeypatch.setattr(answer, "aiter_bytes", lambda: body)
    events = EventSource(answer, max_event_bytes=10).aiter_sse()
    with pytest.raises(LimitExceededError):
        await anext(events)
    assert body.closed == 1
    assert [event async for event in events] == []


async def test_a_cancelled_read() -> None:
    body = SilentBody(b"data: 1\n\ndata: unfinished")
    events = EventSource(httpx.Response(200, headers=EVENT_STREAM, stream=body)).aiter_sse()
    assert (await anext(events)).data == "1"

    async def read_one() -> None:
        await anext(events, None)

    async with anyio.create_task_group() as group:
        group.start_soon(read_one)
        await body.waiting.wait()
        group.cancel_scope.cancel()

    assert [event async for event in events] == []


def test_leaving_the_sync_iteration_closes_the_byte_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[str] = []

    def iter_bytes() -> Iterator[bytes]:
        try:
            yield b"data: 1\n\ndata: 2\n\n"
        finally:
            left.append("bytes")

    answer = response()
    body = iter_bytes()
    monkeypatch.setattr(answer, "iter_bytes", lambda: body)
    for event in EventSource(answer).iter_sse():
        assert event.data == "1"
        break
    assert left == ["bytes"]


# Connecting


def answering(body: Body, seen: list[httpx.Request]) -> httpx.MockTransport:
    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, headers=EVENT_STREAM, stream=body)

    return httpx.MockTransport(answer)


@left_early
async def test_aconnect_sse() -> None:
    body, seen = Body(b"data: 1\n\n", b"data: 2\n\n"), list[httpx.Request]()
    async with httpx.AsyncClient(transport=answering(body, seen)) as client:
        async with aconnect_sse(client, "POST", URL, json={"stream": True}) as source:
            async for event in source.aiter_sse():
                assert event.data == "1"
                break
            assert not body.closed
        assert body.closed
    assert (seen[0].method, str(seen[0].url), json.loads(seen[0].content)) == ("POST", URL, {"stream": True})
    assert (seen[0].headers["accept"], seen[0].headers["cache-control"]) == ("text/event-stream", "no-store")


def test_connect_sse() -> None:
    body, seen = Body(b"data: 1\n\n", b"data: 2\n\n"), list[httpx.Request]()
    with httpx.Client(transport=answering(body, seen)) as client:
        with connect_sse(client, "GET", URL) as source:
            assert next(source.iter_sse()).data == "1"
        assert body.closed
    assert (seen[0].headers["accept"], seen[0].headers["cache-control"]) == ("text/event-stream", "no-store")


async def test_aconnect_sse_closes_when_the_caller_fails() -> None:
    body = Body(b"data: 1\n\n")
    async with httpx.AsyncClient(transport=answering(body, [])) as client:
        with pytest.raises(ZeroDivisionError):
            async with aconnect_sse(client, "GET", URL):
                raise ZeroDivisionError
    assert body.closed


def test_given_headers_win_and_stay_the_callers() -> None:
    seen: list[httpx.Request] = []
    headers = {"ACCEPT": "text/plain", "x-key": "1"}
    with httpx.Client(transport=answering(Body(), seen)) as client, connect_sse(client, "GET", URL, headers=headers):
        pass
    assert headers == {"ACCEPT": "text/plain", "x-key": "1"}
    assert seen[0].headers.get_list("accept") == ["text/plain"]
    assert seen[0].headers["cache-control"] == "no-store"
    assert seen[0].headers["x-key"] == "1"


@pytest.mark.parametrize("headers", [None, [("x-key", "1")], httpx.Headers({"x-key": "1"})], ids=["none", "pairs", "httpx"])
async def test_headers_in_any_of_httpxs_forms(headers: Any) -> None:
    seen: list[httpx.Request] = []
    async with (
        httpx.AsyncClient(transport=answering(Body(), seen)) as client,
        aconnect_sse(client, "GET", URL, headers=headers),
    ):
        pass
    assert seen[0].headers["accept"] == "text/event-stream"
    assert "accept" not in httpx.Headers(headers)
