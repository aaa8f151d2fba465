"""Handlers that send HTTP of their own through the connections of the client whose call they answer."""

import errno
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

import tokenwire
from tokenwire import APIConnectionError, AsyncClient, CustomLLM, aconnect_sse
from tokenwire.testing import Endpoint, Reply

pytestmark = pytest.mark.anyio

MESSAGES = [{"role": "user", "content": "Hi"}]
EVENTS = Reply(events=[{"text": "Hel"}, {"text": "lo"}], done=False)


class Vendor(CustomLLM):
    """Speaks server-sent events in a format of its own."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.clients: list[Any] = []

    async def astreaming(self, *, http_client: httpx.AsyncClient, **_: Any) -> AsyncIterator[Any]:  # type: ignore[override]
        self.clients.append(http_client)
        async with aconnect_sse(http_client, "POST", self.url) as source:
            async for event in source.aiter_sse():
                yield httpx.Response(200, text=event.data).json()["text"]


async def test_it_is_the_clients_own_pool() -> None:
    with Endpoint(EVENTS) as endpoint:
        async with AsyncClient(handlers={"mine": Vendor(endpoint.url)}) as client:
            for _ in range(3):
                async with client.astreaming("mine/m", MESSAGES) as stream:
                    assert "".join([piece.text async for piece in stream]) == "Hello"
            assert client.stats is not None
            assert (client.stats.open, client.stats.idle) == (1, 1)
    assert len({request.connection for request in endpoint.requests}) == 1


async def test_whole_answers_too() -> None:
    async def whole(http_client: httpx.AsyncClient, **_: Any) -> str:
        return (await http_client.get(endpoint.url)).json()["answer"]

    with Endpoint(Reply(json={"answer": "Hello"})) as endpoint:
        async with AsyncClient(handlers={"mine": whole}) as client:
            assert (await client.acompletion("mine/m", MESSAGES)).choices[0].message.content == "Hello"
            assert client.stats is not None
            assert client.stats.open == 1


async def test_a_client_of_the_callers_own_is_what_it_gets() -> None:
    with Endpoint(EVENTS) as endpoint:
        vendor = Vendor(endpoint.url)
        async with (
            httpx.AsyncClient() as http_client,
            AsyncClient(http_client=http_client, handlers={"mine": vendor}) as client,
        ):
            async with client.astreaming("mine/m", MESSAGES) as stream:
                assert "".join([piece.text async for piece in stream]) == "Hello"
        assert vendor.clients == [http_client]


async def test_who_does_not_ask_gets_litellms_keywords_alone() -> None:
    seen: list[set[str]] = []

    async def anything(**keywords: Any) -> str:
        seen.append(set(keywords))
        return "Hi"

    async with AsyncClient(handlers={"mine": anything}) as client:
        await client.acompletion("mine/m", MESSAGES)
        assert client.stats is None  # and no pool is made
    assert "http_client" not in seen[0]


async def test_a_sync_method_cannot_use_it_and_gets_its_own_default() -> None:
    seen: list[Any] = []

    def blocking(http_client: Any = None, **_: Any) -> str:
        seen.append(http_client)
        return "Hi"

    async with AsyncClient(handlers={"mine": blocking}) as client:
        await client.acompletion("mine/m", MESSAGES)
    assert seen == [None]


async def test_a_refused_connection_of_the_handlers_is_tried_again_where_asked_for() -> None:
    with Endpoint(EVENTS) as endpoint:
        vendor = Vendor(endpoint.url)
    async with AsyncClient(handlers={"mine": vendor}) as client:
        with pytest.raises(APIConnectionError) as caught:
            await client.acompletion("mine/m", MESSAGES, num_retries=1)
    assert [attempt.error for attempt in caught.value.attempts] == ["APIConnectionError"] * 2
    assert caught.value.fault == "network"
    assert caught.value.request is None


@pytest.mark.parametrize(
    "error, words",
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed ('10.0.0.7', 8000)"), "Connection refused"),
        (httpx.ConnectError("inference.internal:8000 is not there"), ""),
        (httpx.ReadTimeout("inference.internal was slow"), ""),
        (httpx.RemoteProtocolError("peer closed the connection"), "peer closed the connection"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
async def test_what_the_network_did_to_a_handler_is_said_without_an_address(error: Exception, words: str) -> None:
    async def broken(**_: Any) -> str:
        raise error

    async with AsyncClient(handlers={"mine": broken}) as client:
        with pytest.raises(APIConnectionError) as caught:
            await client.acompletion("mine/m", MESSAGES)
    name = type(error).__name__
    assert caught.value.message == (f"{name}: {words}" if words else name)
    assert (caught.value.fault, caught.value.__cause__) == ("network", error)


async def test_the_request_of_a_handlers_own_call_is_kept() -> None:
    with Endpoint(Reply(status=400, json={"error": {"message": "No."}})) as endpoint:

        async def asking(**_: Any) -> Any:
            return await tokenwire.acompletion("openai/m", MESSAGES, api_base=endpoint.url)

        async with AsyncClient(handlers={"mine": asking}) as client:
            with pytest.raises(tokenwire.BadRequestError, match="No") as caught:
                await client.acompletion("mine/m", MESSAGES)
    assert caught.value.request == tokenwire.RequestInfo("POST", f"{endpoint.url}/chat/completions")
