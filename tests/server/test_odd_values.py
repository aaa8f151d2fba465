"""A gateway in front of endpoints that send odd values: the client gets what they sent, and with it the text."""

import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

import tokenwire
from tokenwire.server import create_app
from tokenwire.testing import Endpoint, Reply
from tokenwire.wire.chunks import ChunkDecoder

from ..wire.answers import STREAMS, TEXT, WHOLES, odd_streams, odd_wholes, replaced

pytestmark = pytest.mark.anyio

ASKED = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream_options": {"include_usage": True}}
SOME = 60  # of many thousands; the decoder's own tests look at others in each run


def some(odd: Any, model: str) -> list[Any]:
    """A sample. A handler has no `[DONE]`: its stream is complete by its finish reasons alone, so these are left as they are."""
    cases = [case for case in odd if model == "endpoint" or case[1][-1] != "finish_reason"]
    return random.Random(7).sample(cases, SOME)


_apps: list[Any] = []  # kept until their event loop has ended, which closes their connections


@pytest.fixture(autouse=True)
async def no_connections_left(anyio_backend: Any) -> Any:
    _apps.clear()
    yield
    await tokenwire.aclose()


class Proxy(tokenwire.CustomLLM):
    """A handler that asks an endpoint."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def astreaming(self, *args: Any, messages: Any, **kwargs: Any) -> AsyncIterator[Any]:
        async with await tokenwire.acompletion("openai/up", messages, api_base=self.url, stream=True, num_retries=0) as stream:
            async for chunk in stream:
                yield chunk

    async def acompletion(self, *args: Any, messages: Any, **kwargs: Any) -> Any:
        return await tokenwire.acompletion("openai/up", messages, api_base=self.url, num_retries=0)


def text_of(body: bytes) -> str:
    """The text that a client reads of a stream."""
    decoder = ChunkDecoder(tokenwire.ModelResponseStream, text=False, model="m")
    for part in body.split(b"\n\n"):
        decoder.decode([part.removeprefix(b"data: ")])
        assert decoder.error is None
    response: Any = decoder.assembler.response()
    assert decoder.done
    return response.choices[0].message.content


def gateway(upstream: Endpoint) -> Any:
    endpoint = {"model": "openai/up", "api_base": upstream.url, "num_retries": 0}
    _apps.append(create_app({"endpoint": endpoint, "handler": Proxy(upstream.url)}))
    return _apps[-1]


@pytest.mark.parametrize("model", ["endpoint", "handler"])
async def test_streams(model: str, ask: Any) -> None:
    cases = some(odd_streams(), model)
    sent = [replaced(STREAMS[name], path, other) for name, path, other in cases]
    with Endpoint([Reply(events=events) for events in sent]) as upstream:
        app = gateway(upstream)
        for case, events in zip(cases, sent, strict=True):
            answer = await ask(app, {**ASKED, "model": model, "stream": True})
            assert TEXT in text_of(answer.body), case
            if model == "endpoint" and isinstance(events[0].get("object"), str) and "delta" in str(events[0]):
                received = [event for event in answer.events() if event != "[DONE]"]
                assert received[: len(events)] == events, case


@pytest.mark.parametrize("model", ["endpoint", "handler"])
async def test_whole_answers(model: str, ask: Any) -> None:
    cases = some(odd_wholes(), model)
    sent = [replaced(WHOLES[name], path, other) for name, path, other in cases]
    with Endpoint([Reply(json=answer) for answer in sent]) as upstream:
        app = gateway(upstream)
        for case, document in zip(cases, sent, strict=True):
            answer = await ask(app, {**ASKED, "model": model, "stream_options": None})
            assert answer.status == 200, case
            assert answer.json() == document, case
