"""Clients that nobody closed: their connections end with them, and what still uses one goes on."""

import asyncio
import gc
import threading
from collections.abc import Callable
from typing import Any

import anyio
import httpx
import pytest

import tokenwire
from tokenwire import AsyncClient, Client, HTTPTransport
from tokenwire.testing import Endpoint, Reply, chunk, completion

from .conftest import LOOPS

MESSAGES = [{"role": "user", "content": "Hi"}]
MANY = 50
HELLO = Reply(json=completion("Hello"))
STREAM = Reply(text="Hello there")

# The server sees the connections end, and nothing warns of a socket that was left open: warnings are errors here.


async def ask(client: AsyncClient, endpoint: Endpoint) -> None:
    response = await client.acompletion("openai/m", MESSAGES, api_base=endpoint.url)
    assert response.choices[0].message.content == "Hello"


async def all_closed(endpoint: Endpoint, opened: int) -> None:
    gc.collect()
    assert len(endpoint.visits) == opened
    await endpoint.await_until(lambda: endpoint.open_connections == 0)


def given(**keywords: Any) -> Callable[[], AsyncClient]:
    return lambda: AsyncClient(**{name: make() for name, make in keywords.items()})


@pytest.mark.anyio
@pytest.mark.parametrize("make", [AsyncClient, given(transport=HTTPTransport)], ids=["plain", "transport"])
async def test_dropped_clients_leave_no_connection(make: Callable[[], AsyncClient]) -> None:
    with Endpoint(HELLO) as endpoint:
        for _ in range(MANY):
            await ask(make(), endpoint)
        await all_closed(endpoint, MANY)


@pytest.mark.anyio
async def test_over_tls() -> None:
    with Endpoint(HELLO, tls=True) as endpoint:
        for _ in range(3):
            await ask(AsyncClient(transport=HTTPTransport(ssl_context=endpoint.ssl_context)), endpoint)
        await all_closed(endpoint, 3)


@pytest.mark.anyio
async def test_a_client_in_a_cycle() -> None:
    with Endpoint(HELLO) as endpoint:
        client: Any = AsyncClient()
        client.itself = client
        await ask(client, endpoint)
        del client
        await all_closed(endpoint, 1)


@pytest.mark.anyio
async def test_a_transport_that_httpx_used() -> None:
    with Endpoint(HELLO) as endpoint:
        client = httpx.AsyncClient(transport=HTTPTransport())
        response = await client.post(f"{endpoint.url}/chat/completions", json={})
        assert response.status_code == 200
        del client
        await all_closed(endpoint, 1)  # though the response is kept


@pytest.mark.anyio
async def test_a_client_that_a_handler_sent_through() -> None:
    async def handler(http_client: httpx.AsyncClient, **_: Any) -> str:
        response = await http_client.post(f"{endpoint.url}/chat/completions", json={})
        return str(response.json()["choices"][0]["message"]["content"])

    with Endpoint(HELLO) as endpoint:
        await ask(AsyncClient(handlers={"openai": handler}), endpoint)
        await all_closed(endpoint, 1)


@pytest.mark.anyio
async def test_a_finished_stream_that_is_kept_keeps_no_connection() -> None:
    with Endpoint(STREAM) as endpoint:
        stream = AsyncClient().astreaming("openai/m", MESSAGES, api_base=endpoint.url)
        assert "".join([piece.text async for piece in stream]) == "Hello there"
        await all_closed(endpoint, 1)
        assert stream.response_headers["content-type"] == "text/event-stream"
        assert stream.response is not None


@pytest.mark.anyio
async def test_an_open_stream_outlives_its_client() -> None:
    with Endpoint([Reply(text="Hello there", event_delay=0.01), HELLO]) as endpoint:
        client = AsyncClient(api_base=endpoint.url)
        stream = client.astreaming("openai/m", MESSAGES)
        first = await anext(stream)
        await ask(client, endpoint)  # over a second connection
        del client
        gc.collect()
        await endpoint.await_until(lambda: endpoint.open_connections <= 2)
        assert first.text + "".join([piece.text async for piece in stream]) == "Hello there"
        assert stream.outcome == "complete"
        del stream
        await all_closed(endpoint, 2)


@pytest.mark.anyio
async def test_a_stream_that_has_not_begun_outlives_its_client() -> None:
    with Endpoint(STREAM) as endpoint:
        stream = AsyncClient(api_base=endpoint.url).astreaming("openai/m", MESSAGES)
        gc.collect()
        assert "".join([piece.text async for piece in stream]) == "Hello there"
        await all_closed(endpoint, 1)


@pytest.mark.anyio
async def test_a_stream_that_failed_keeps_no_connection() -> None:
    with Endpoint([HELLO, Reply(status=400)]) as endpoint:
        client = AsyncClient(api_base=endpoint.url)
        await ask(client, endpoint)
        stream = client.astreaming("openai/m", MESSAGES)
        with pytest.raises(tokenwire.BadRequestError):
            await anext(stream)
        del client
        await all_closed(endpoint, 1)
        assert stream.outcome == "error"


@pytest.mark.anyio
async def test_dropped_in_another_thread() -> None:
    with Endpoint(HELLO) as endpoint:
        clients = [AsyncClient()]
        await ask(clients[0], endpoint)
        thread = threading.Thread(target=clients.clear)
        thread.start()
        await anyio.to_thread.run_sync(thread.join)
        await all_closed(endpoint, 1)


@pytest.mark.anyio
async def test_a_client_that_was_closed_is_dropped_like_any_object() -> None:
    with Endpoint(HELLO) as endpoint:
        async with AsyncClient() as client:
            await ask(client, endpoint)
        await endpoint.await_until(lambda: endpoint.open_connections == 0)
        del client
        await all_closed(endpoint, 1)


@pytest.mark.parametrize("loop", LOOPS)
def test_dropped_after_its_loop_has_ended(loop: tuple[str, dict[str, Any]]) -> None:
    backend, options = loop
    with Endpoint(HELLO) as endpoint:
        client = AsyncClient()
        anyio.run(ask, client, endpoint, backend=backend, backend_options=options)
        endpoint.wait_until(lambda: endpoint.open_connections == 0)
        del client
        gc.collect()


def test_dropped_while_its_loop_does_not_run() -> None:
    with Endpoint(HELLO) as endpoint, asyncio.Runner() as runner:
        client = AsyncClient()
        runner.run(ask(client, endpoint))
        del client
        runner.run(all_closed(endpoint, 1))


def test_a_dropped_sync_client() -> None:
    with Endpoint(HELLO) as endpoint:
        for _ in range(MANY):
            response = Client(api_base=endpoint.url).completion("openai/m", MESSAGES)
            assert response.choices[0].message.content == "Hello"
        gc.collect()
        endpoint.wait_until(lambda: endpoint.open_connections == 0)
        assert len(endpoint.visits) == MANY


def test_a_sync_stream_outlives_its_client_and_a_kept_one_keeps_no_connection() -> None:
    with Endpoint(Reply(events=[chunk("Hel"), chunk("lo"), chunk(finish_reason="stop")], event_delay=0.01)) as endpoint:
        stream = Client(api_base=endpoint.url).streaming("openai/m", MESSAGES)
        gc.collect()
        assert "".join(piece.text for piece in stream) == "Hello"
        gc.collect()
        endpoint.wait_until(lambda: endpoint.open_connections == 0)
        assert (stream.outcome, stream.response_headers["content-type"]) == ("complete", "text/event-stream")
