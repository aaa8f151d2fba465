"""Handlers that call this library themselves, in every mixture of sync and async."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import pytest

import tokenwire
from tokenwire import CustomLLM, ModelResponse

pytestmark = pytest.mark.anyio

MESSAGES = [{"role": "user", "content": "Hi"}]


async def test_a_sync_handler_may_call_sync_functions() -> None:
    class Outer(CustomLLM):
        def completion(self, *args: Any, **kwargs: Any) -> ModelResponse:
            return tokenwire.completion("gpt-4o", MESSAGES, mock_response="nested")

        def streaming(self, *args: Any, **kwargs: Any) -> Any:
            return tokenwire.completion("gpt-4o", MESSAGES, mock_response="nested", stream=True)

    tokenwire.register("mine", Outer())

    assert (await tokenwire.acompletion("mine/any", MESSAGES)).choices[0].message.content == "nested"
    assert "".join([chunk.text async for chunk in tokenwire.astreaming("mine/any", MESSAGES)]) == "nested"


async def test_a_sync_handler_may_run_a_loop_of_its_own() -> None:
    async def nested() -> str:
        return str((await tokenwire.acompletion("gpt-4o", MESSAGES, mock_response="nested")).choices[0].message.content)

    class Outer(CustomLLM):
        def completion(self, *args: Any, **kwargs: Any) -> str:  # type: ignore[override]
            return anyio.run(nested)

        def streaming(self, *args: Any, **kwargs: Any) -> Iterator[str]:  # type: ignore[override]
            yield asyncio.run(nested())

    tokenwire.register("mine", Outer())

    assert (await tokenwire.acompletion("mine/any", MESSAGES)).choices[0].message.content == "nested"
    assert "".join([chunk.text async for chunk in tokenwire.astreaming("mine/any", MESSAGES)]) == "nested"


async def test_an_async_handler_may_relay_a_stream() -> None:
    class Outer(CustomLLM):
        async def astreaming(self, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
            return tokenwire.astreaming("gpt-4o", MESSAGES, mock_response="nested")

    tokenwire.register("mine", Outer())

    assert (await tokenwire.acompletion("mine/any", MESSAGES)).choices[0].message.content == "nested"
    assert "".join([chunk.text async for chunk in tokenwire.astreaming("mine/any", MESSAGES)]) == "nested"


async def test_an_answer_handed_on_says_who_gave_it() -> None:
    async def outer(messages: Any, **kwargs: Any) -> ModelResponse:
        return await tokenwire.acompletion("gpt-4o", messages, mock_response="nested", api_base="http://127.0.0.1/v1")

    tokenwire.register("mine", outer)

    response = await tokenwire.acompletion("mine/any", MESSAGES)
    assert response._hidden_params["custom_llm_provider"] == "openai"
    assert response._hidden_params["api_base"] == "http://127.0.0.1/v1"


@pytest.mark.parametrize("depth", [1, 3])
async def test_sync_calls_from_async_handlers_all_the_way_down(depth: int) -> None:
    """On the caller's loop such a call blocks, but works; on the library's own loops it must not wait for itself."""

    async def handler(model: str) -> str:
        level = int(model)
        if level == 0:
            return "bottom"
        return str(tokenwire.completion(f"mine/{level - 1}", MESSAGES).choices[0].message.content)

    tokenwire.register("mine", handler)

    assert (await tokenwire.acompletion(f"mine/{depth}", MESSAGES)).choices[0].message.content == "bottom"
    response = await anyio.to_thread.run_sync(lambda: tokenwire.completion(f"mine/{depth}", MESSAGES))
    assert response.choices[0].message.content == "bottom"


async def test_sync_streams_inside_async_handlers_on_the_background_loop() -> None:
    async def handler(model: str) -> AsyncIterator[str]:
        if model == "bottom":
            for piece in ("bot", "tom"):
                yield piece
        else:
            for chunk in tokenwire.streaming("mine/bottom", MESSAGES):
                yield chunk.text

    tokenwire.register("mine", handler)

    pieces = await anyio.to_thread.run_sync(lambda: list(tokenwire.streaming("mine/top", MESSAGES)))

    assert "".join(chunk.text for chunk in pieces) == "bottom"
