"""A call cancelled or closed at any of its waits leaves no connection, no place in the pool, no task and no warning behind.

What the transport alone does there is tested in tests/http; this is the whole call, with its attempts, redirects,
decompression and the drain of what follows `[DONE]`.
"""

import gc
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import pytest

from tokenwire import AsyncClient, HTTPTransport, ServiceUnavailableError, StreamClosedError
from tokenwire.testing import Endpoint, Received, Reply, chunks, completion

from .stepping import cancelled_everywhere, closed_everywhere

pytestmark = pytest.mark.anyio

USERS = map(str, itertools.count())  # a name for each call
MESSAGES = [{"role": "user", "content": "Hi"}]
BUSY = Reply(status=503, headers={"retry-after-ms": "3"}, json={"error": {"message": "busy"}})
MOVED = Reply(status=307, headers={"location": "/v1/good"})
WHOLE, SLOW_WHOLE = Reply(json=completion("Hello")), Reply(json=completion("Hello"), delay=0.002, first_delay=0.002, drip=100)
STREAM, SLOW_STREAM = Reply(events=chunks("Hello")), Reply(events=chunks("Hello"), delay=0.002, event_delay=0.002)
DRIPPED = Reply(events=[b"".join(Reply(events=chunks("Hello")).pieces())], done=False, drip=150)  # its end comes late


def busy_at_first(reply: Reply) -> Callable[[Received], Reply]:
    """Answers the first attempt of each call with an error."""
    tried: set[str] = set()

    def script(request: Received) -> Reply:
        user = request.json()["user"]
        if user in tried:
            return reply
        tried.add(user)
        return BUSY

    return script


# What the server does, and whether its client streams.
WAYS: dict[str, tuple[Callable[[Received], Reply], bool]] = {
    "a whole answer": (lambda _: WHOLE, False),
    "a slow whole answer": (lambda _: SLOW_WHOLE, False),
    "an error": (lambda _: BUSY, False),
    "a redirect": (lambda request: WHOLE if request.path == "/v1/good" else MOVED, False),
    "a stream": (lambda _: STREAM, True),
    "a slow stream": (lambda _: SLOW_STREAM, True),
    "a stream whose end comes late": (lambda _: DRIPPED, True),
    "a compressed stream": (lambda _: Reply(events=chunks("Hello"), encoding="gzip", drip=60), True),
    "a whole answer behind an error": (busy_at_first(WHOLE), False),
    "a stream behind an error": (busy_at_first(STREAM), True),
}


@pytest.fixture(scope="module")
def secure() -> Iterator[Endpoint]:
    with Endpoint(lambda request: SLOW_STREAM if request.json().get("stream") else SLOW_WHOLE, tls=True) as endpoint:
        yield endpoint


@pytest.mark.parametrize("way", WAYS)
async def test_a_call_cancelled_anywhere(way: str) -> None:
    script, streamed = WAYS[way]
    with Endpoint(script) as endpoint:
        waits = await cancel_everywhere(endpoint, endpoint.url, streamed, HTTPTransport())
    assert waits >= 2  # connecting and reading


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_a_call_over_tls_cancelled_anywhere(secure: Endpoint, streamed: bool) -> None:
    """To a name, which is looked up in a thread, and by a new connection each time: the handshake is cancelled too."""
    transport = HTTPTransport(ssl_context=secure.ssl_context, max_keepalive=0)
    waits = await cancel_everywhere(secure, secure.url.replace("127.0.0.1", "localhost"), streamed, transport)
    assert waits >= 4  # looking up, connecting, the handshake, and an answer that a slow machine reads at once


async def cancel_everywhere(endpoint: Endpoint, url: str, streamed: bool, transport: HTTPTransport) -> int:
    streams: list[Any] = []

    async def stream() -> None:
        try:
            streams.append(await client.acompletion("openai/m", MESSAGES, user=next(USERS), stream=True))
            async for _ in streams[-1]:
                pass
        except ServiceUnavailableError:
            pass

    async def complete() -> None:
        try:
            await client.acompletion("openai/m", MESSAGES, user=next(USERS))
        except ServiceUnavailableError:
            pass

    async def look(place: int) -> None:
        gc.collect(0)
        stats = transport.stats
        assert (stats.open, stats.idle, stats.waiting) in ((0, 0, 0), (1, 1, 0)), f"at wait {place}"
        await endpoint.await_until(lambda: endpoint.open_connections == stats.open)
        assert len(anyio.get_running_tasks()) == tasks, f"at wait {place}"
        assert all(stream.outcome in ("cancelled", "complete") for stream in streams)

    async with AsyncClient(transport=transport, api_base=url, api_key="none", num_retries=1) as client:
        tasks = len(anyio.get_running_tasks())
        waits = await cancelled_everywhere(stream if streamed else complete, look)
    await endpoint.await_until(lambda: endpoint.open_connections == 0)
    if streamed:
        assert streams[-1].outcome == "complete"
    return waits


async def test_a_stream_closed_anywhere() -> None:
    """By another task, just before its reader's turn: what the reader waited for is there, and is not kept."""
    kept: list[Any] = []  # a dropped stream would release its connection anyway

    def operation() -> Any:
        stream = client.astreaming("openai/m", MESSAGES)
        kept.append(stream)

        async def read() -> None:
            try:
                await anext(stream)
            except StreamClosedError:
                pass

        return read(), stream.aclose

    async def look(place: int) -> None:
        if kept[-1].outcome is None:  # it was read before it could be closed
            await kept[-1].aclose()
        assert kept[-1].outcome == "cancelled"
        stats = transport.stats
        assert (stats.open, stats.waiting) == (stats.idle, 0), f"closed after wait {place}"

    transport = HTTPTransport(max_keepalive=0)
    with Endpoint(Reply(events=["Hello"], done=False, stall=True)) as endpoint:
        async with AsyncClient(transport=transport, api_base=endpoint.url, api_key="none") as client:
            with anyio.fail_after(30):
                assert await closed_everywhere(operation, look) >= 2
