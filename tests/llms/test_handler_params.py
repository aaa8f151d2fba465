"""Handlers that pass `optional_params` on to a call of their own: with `stream` in it, and with `stream` beside it.

LiteLLM puts `stream` among the parameters of a streamed call. A handler written for that passes them on as they are; one
that says `stream=True` as well would have said it twice.
"""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import tokenwire
from tokenwire import AsyncClient, Client, CustomLLM
from tokenwire.testing import Endpoint, Received, Reply, chunks, completion

pytestmark = pytest.mark.anyio

MESSAGES = [{"role": "user", "content": "Hi"}]


def hello(request: Received) -> Reply:
    return Reply(events=chunks("Hello")) if request.json().get("stream") else Reply(json=completion("Hello"))


class PassesOn(CustomLLM):
    """Asks `url`; `asked` counts how often its methods are called."""

    def __init__(self, url: str) -> None:
        self.to: dict[str, Any] = {"model": "openai/m", "api_base": url}
        self.asked = 0

    async def acompletion(self, *_: Any, messages: Any, optional_params: Any, **__: Any) -> Any:
        self.asked += 1
        return await tokenwire.acompletion(**self.to, messages=messages, **optional_params)


class AsTheyAre(PassesOn):
    async def astreaming(self, *_: Any, messages: Any, optional_params: Any, **__: Any) -> AsyncIterator[Any]:  # type: ignore[override]
        self.asked += 1
        async for chunk in await tokenwire.acompletion(**self.to, messages=messages, **optional_params):
            yield chunk


class BesideItsOwn(PassesOn):
    async def astreaming(self, *_: Any, messages: Any, optional_params: Any, **__: Any) -> AsyncIterator[Any]:  # type: ignore[override]
        self.asked += 1
        async for chunk in await tokenwire.acompletion(**self.to, messages=messages, stream=True, **optional_params):
            yield chunk


class Returned(PassesOn):
    async def astreaming(self, *_: Any, messages: Any, optional_params: Any, **__: Any) -> Any:  # type: ignore[override]
        self.asked += 1
        return await tokenwire.acompletion(**self.to, messages=messages, stream=True, **optional_params)


class Sync(PassesOn):
    def streaming(self, *_: Any, messages: Any, optional_params: Any, **__: Any) -> Iterator[Any]:
        self.asked += 1
        yield from tokenwire.completion(**self.to, messages=messages, stream=True, **optional_params)


KINDS = [PassesOn, AsTheyAre, BesideItsOwn, Returned, Sync]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
async def test_it_works_streamed_as_it_does_whole(kind: type[PassesOn]) -> None:
    with Endpoint(hello) as endpoint:
        async with AsyncClient(handlers={"mine": kind(endpoint.url)}) as client:
            for _ in range(2):
                reply = await client.acompletion("mine/m", MESSAGES, temperature=0.5)
                stream = await client.acompletion("mine/m", MESSAGES, temperature=0.5, stream=True)
                texts = [chunk.choices[0].delta.content or "" async for chunk in stream]
                assert (reply.text, "".join(texts)) == ("Hello", "Hello")
        sent = [request.json() for request in endpoint.requests]
    assert [body.get("stream", False) for body in sent] == [False, True] * 2
    assert {body["temperature"] for body in sent} == {0.5}


@pytest.mark.parametrize("kind", [BesideItsOwn, Returned, Sync], ids=lambda kind: kind.__name__)
async def test_its_method_is_called_once_more_and_only_the_first_time(kind: type[PassesOn]) -> None:
    with Endpoint(hello) as endpoint:
        handler = kind(endpoint.url)
        async with AsyncClient(handlers={"mine": handler}) as client:
            for asked in (2, 3, 4):
                stream = client.astreaming("mine/m", MESSAGES)
                assert "".join([chunk.text async for chunk in stream]) == "Hello"
                assert handler.asked == asked
                assert len(stream.attempts) == 1


def test_it_works_for_sync_callers() -> None:
    with Endpoint(hello) as endpoint, Client(handlers={"mine": BesideItsOwn(endpoint.url)}) as client:
        assert "".join(chunk.text for chunk in client.streaming("mine/m", MESSAGES)) == "Hello"


@pytest.mark.parametrize("kind", [AsTheyAre, BesideItsOwn, Sync], ids=lambda kind: kind.__name__)
async def test_a_whole_answer_is_made_of_the_stream_of_who_only_streams(kind: Any) -> None:
    class OnlyStreams(kind):
        acompletion = CustomLLM.acompletion

    with Endpoint(hello) as endpoint:
        async with AsyncClient(handlers={"mine": OnlyStreams(endpoint.url)}) as client:
            assert (await client.acompletion("mine/m", MESSAGES)).text == "Hello"
        assert [request.json()["stream"] for request in endpoint.requests] == [True]


async def test_a_method_that_says_it_twice_itself_fails_as_any_mistake() -> None:
    twice: dict[str, Any] = {"stream": True}

    async def astreaming(**_: Any) -> AsyncIterator[Any]:
        async for chunk in await tokenwire.acompletion("openai/m", MESSAGES, stream=True, **twice):
            yield chunk

    async with AsyncClient(handlers={"mine": astreaming}) as client:
        with pytest.raises(tokenwire.APIConnectionError, match="multiple values") as caught:
            await client.astreaming("mine/m", MESSAGES).collect()
    assert caught.value.fault == "handler"
