"""Once around: a handler's answer through a gateway that asks by Responses and one that asks by Messages, and back to chat."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tokenwire import AsyncClient, ModelResponseStream
from tokenwire.server import create_app

from .conftest import one_loop

pytestmark = pytest.mark.anyio

HI: Any = [{"role": "user", "content": "Hi"}]
USED = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}


def piece(finish_reason: str | None = None, **delta: Any) -> ModelResponseStream:
    usage: Any = USED if finish_reason else None
    choice: Any = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return ModelResponseStream(choices=[choice], usage=usage)


def call(**fields: Any) -> ModelResponseStream:
    return piece(tool_calls=[{"index": 0, "type": "function", **fields}])


SAID: dict[str, list[ModelResponseStream]] = {
    "text": [piece(content="Hel"), piece(content="lo, \u00fcber"), piece("stop")],
    "cut": [piece(content="Hel"), piece("length")],
    "filtered": [piece(content="Hel"), piece("content_filter")],
    "paused": [piece(content="Hel"), piece("pause_turn")],
    "thought": [piece(reasoning_content="Let me "), piece(reasoning_content="see."), piece(content="Hi"), piece("stop")],
    "called": [
        piece(content="So"),
        call(id="c1", function={"name": "f", "arguments": '{"a"'}),
        call(function={"arguments": ":1}"}),
        piece("tool_calls"),
    ],
}
# What the dialects add or cannot say: the table is in the guide, "What a dialect cannot say".
NOTES = ("thinking_blocks", "reasoning_items", "provider_specific_fields", "annotations")


@one_loop
@pytest.mark.parametrize(
    "dialects", [("responses/", "anthropic/"), ("anthropic/", "responses/")], ids=lambda pair: "".join(pair)
)
@pytest.mark.parametrize("name", SAID)
async def test_an_answer_goes_once_around(name: str, dialects: tuple[str, str]) -> None:
    async def handler(**_: Any) -> AsyncIterator[Any]:
        for each in SAID[name]:
            yield each

    app: Any = create_app({"m": handler})
    direct = app
    for prefix in dialects:
        through = httpx.AsyncClient(transport=httpx.ASGITransport(app=app))
        app = create_app({"m": {"model": f"{prefix}m", "api_base": "http://a", "api_key": "k", "client": through}})
    for stream in (False, True):
        assert await _told(app, stream=stream) == await _told(direct, stream=stream)


async def _told(app: Any, *, stream: bool) -> dict[str, Any]:
    """What the answer says, without notes."""
    async with (
        httpx.AsyncClient(transport=httpx.ASGITransport(app=app)) as http,
        AsyncClient(api_base="http://a/v1", api_key="sk", client=http) as client,
    ):
        answer: Any = await client.acompletion("openai/m", HI, stream=stream)
        if stream:
            async with answer as chunks:
                async for _ in chunks:
                    pass
            answer = chunks.response
    told = answer.choices[0].model_dump(exclude_none=True)
    for note in NOTES:
        told["message"].pop(note, None)
        told.pop(note, None)
    return {**told, "usage": {name: answer.usage[name] for name in USED} if answer.usage else None}
