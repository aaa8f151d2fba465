"""Once around: a handler's answer through a gateway that asks by Responses and one that asks by Messages, and back to chat."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tokenwire import AsyncClient, CustomLLM, ModelResponseStream
from tokenwire.server import create_app

from .conftest import one_loop
from .wire.responses import SECRET

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
SECOND = {**SECRET, "id": "rs_2", "encrypted_content": "bW9yZQ=="}
INTERLEAVED = [
    piece(reasoning_content="First."),
    piece(reasoning_items=[SECRET]),
    piece(content="So"),
    piece(reasoning_items=[SECOND]),
    call(id="c1", function={"name": "f", "arguments": "{}"}),
    piece("tool_calls"),
]
SAID["interleaved"] = INTERLEAVED
# What the dialects add or cannot say: the table is in the guide, "What a dialect cannot say".
NOTES = ("thinking_blocks", "reasoning_items", "provider_specific_fields", "annotations")


PAIRS = pytest.mark.parametrize(
    "dialects", [("responses/", "anthropic/"), ("anthropic/", "responses/")], ids=lambda pair: "".join(pair)
)


def around(app: Any, dialects: tuple[str, str]) -> Any:
    """A gateway that asks by the second dialect for a gateway that asks by the first for the app's model."""
    for prefix in dialects:
        through = httpx.AsyncClient(transport=httpx.ASGITransport(app=app))
        model: dict[str, Any] = {"model": f"{prefix}m", "api_base": "http://a", "api_key": "k", "client": through}
        if prefix == "responses/":
            model["include"] = ["reasoning.encrypted_content"]
        app = create_app({"m": model})
    return app


@one_loop
@PAIRS
@pytest.mark.parametrize("name", SAID)
async def test_an_answer_goes_once_around(name: str, dialects: tuple[str, str]) -> None:
    async def handler(**_: Any) -> AsyncIterator[Any]:
        for each in SAID[name]:
            yield each

    direct: Any = create_app({"m": handler})
    app = around(direct, dialects)
    for stream in (False, True):
        assert await _told(app, stream=stream) == await _told(direct, stream=stream)


@one_loop
@PAIRS
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_a_history_comes_back_with_its_reasoning_in_order(dialects: tuple[str, str], stream: bool) -> None:
    """Encrypted reasoning, too, which only its model can read: each item stands where it stood in the answer."""
    seen: list[Any] = []
    called = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    first = {"reasoning_content": "First.", "reasoning_items": [SECRET]}
    kept = [first, {"content": "So"}, {"reasoning_items": [SECOND]}, {"tool_calls": [called]}]
    said = {**first, "reasoning_items": [SECRET, SECOND], "content": "So", "tool_calls": [called]}

    class Handler(CustomLLM):
        async def acompletion(self, *args: Any, messages: Any, **_: Any) -> Any:
            seen.append(messages)
            message = {**said, "provider_specific_fields": {"segments": kept}}
            return {"choices": [{"message": message, "finish_reason": "tool_calls"}]}

        async def astreaming(self, *args: Any, messages: Any, **_: Any) -> AsyncIterator[Any]:  # type: ignore[override]
            seen.append(messages)
            for each in INTERLEAVED:
                yield each

    app = around(create_app({"m": Handler()}), dialects)
    answer = await _answer(app, HI, stream=stream)
    result = {"role": "tool", "tool_call_id": "c1", "content": "x"}
    await _answer(app, [*HI, answer.choices[0].message, result], stream=stream)
    _, message, last = seen[1]
    assert message == {"role": "assistant", **said, "provider_specific_fields": {"segments": kept}}
    assert last == result


async def _answer(app: Any, messages: list[Any], *, stream: bool) -> Any:
    async with (
        httpx.AsyncClient(transport=httpx.ASGITransport(app=app)) as http,
        AsyncClient(api_base="http://a/v1", api_key="sk", client=http) as client,
    ):
        answer: Any = await client.acompletion("openai/m", messages, stream=stream)
        if stream:
            async with answer as chunks:
                async for _ in chunks:
                    pass
            answer = chunks.response
    return answer


async def _told(app: Any, *, stream: bool) -> dict[str, Any]:
    """What the answer says, without notes."""
    answer = await _answer(app, HI, stream=stream)
    told = answer.choices[0].model_dump(exclude_none=True)
    for note in NOTES:
        told["message"].pop(note, None)
        told.pop(note, None)
    return {**told, "usage": {name: answer.usage[name] for name in USED} if answer.usage else None}
