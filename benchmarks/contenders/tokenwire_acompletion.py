"""tokenwire in OpenAI's shape: `acompletion(stream=True)`, and `completion` for sync code."""

import time
from collections.abc import AsyncIterator
from typing import Any

import tokenwire

from . import API_KEY, MESSAGES, WORDS

OPTIONS: dict[str, Any] = {"api_key": API_KEY, "num_retries": 0, "timeout": 600.0}


def connect(base_url: str) -> tokenwire.AsyncClient:
    return tokenwire.AsyncClient(transport=tokenwire.HTTPTransport(max_connections=None), api_base=base_url, **OPTIONS)


async def read(client: tokenwire.AsyncClient, model: str) -> int:
    count = 0
    async with await client.acompletion(f"openai/{model}", MESSAGES, stream=True) as stream:
        async for chunk in stream:
            if chunk.choices[0].delta.content:
                count += 1
    return count


async def read_first(client: tokenwire.AsyncClient, model: str) -> float:
    first = 0.0
    async with await client.acompletion(f"openai/{model}", MESSAGES, stream=True) as stream:
        async for chunk in stream:
            if not first and chunk.choices[0].delta.content:
                first = time.perf_counter()
    return first


async def whole(client: tokenwire.AsyncClient, model: str) -> int:
    response = await client.acompletion(f"openai/{model}", MESSAGES)
    return len(response.choices[0].message.content or "")


async def close(client: tokenwire.AsyncClient) -> None:
    await client.aclose()


def connect_sync(base_url: str) -> tokenwire.Client:
    return tokenwire.Client(api_base=base_url, **OPTIONS)


def read_sync(client: tokenwire.Client, model: str) -> int:
    count = 0
    with client.completion(f"openai/{model}", MESSAGES, stream=True) as stream:
        for chunk in stream:
            if chunk.choices[0].delta.content:
                count += 1
    return count


def close_sync(client: tokenwire.Client) -> None:
    client.close()


class Handler(tokenwire.CustomLLM):
    """Yields its chunks as LiteLLM's documentation shows it."""

    async def astreaming(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:  # type: ignore[override]
        for place in range(kwargs["optional_params"]["count"]):
            yield {
                "text": WORDS[place % 8],
                "is_finished": False,
                "finish_reason": None,
                "usage": None,
                "index": 0,
                "tool_use": None,
            }
        yield {"text": "", "is_finished": True, "finish_reason": "stop", "usage": None, "index": 0, "tool_use": None}


async def read_handler(count: int) -> int:
    tokenwire.custom_provider_map = [{"provider": "mine", "custom_handler": Handler()}]
    texts = 0
    async with await tokenwire.acompletion("mine/any", MESSAGES, stream=True, count=count) as stream:
        async for chunk in stream:
            if chunk.choices[0].delta.content:
                texts += 1
    return texts
