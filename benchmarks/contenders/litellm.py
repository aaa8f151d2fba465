"""LiteLLM: `acompletion(stream=True)`, and `completion` for sync code."""

import os
import time
from collections.abc import AsyncIterator
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # it would ask the internet for prices at import
os.environ["AIOHTTP_CONNECTOR_LIMIT"] = os.environ["AIOHTTP_CONNECTOR_LIMIT_PER_HOST"] = "1000000"

import litellm

from ..kinds import KINDS, LOOKS as OBJECT_LOOKS
from . import API_KEY, MESSAGES, WORDS

OPTIONS: dict[str, Any] = {"api_key": API_KEY, "num_retries": 0, "timeout": 600.0}
# Its deltas have the attribute where there is reasoning, and its chunks have no running usage: "all" fails.
LOOKS = {**OBJECT_LOOKS, "reasoning": lambda chunk: getattr(chunk.choices[0].delta, "reasoning_content", None)}


def connect(base_url: str) -> dict[str, Any]:
    return {**OPTIONS, "api_base": base_url}


async def read(client: dict[str, Any], model: str) -> int:
    count = 0
    stream: Any = await litellm.acompletion(f"openai/{model}", MESSAGES, stream=True, **client)
    async for chunk in stream:
        if chunk.choices[0].delta.content:
            count += 1
    return count


async def read_kind(client: dict[str, Any], model: str, kind: str) -> int:
    look = LOOKS[KINDS[kind].brings]
    count = 0
    stream: Any = await litellm.acompletion(f"openai/{model}", MESSAGES, stream=True, **client)
    async for chunk in stream:
        if look(chunk):
            count += 1
    return count


async def read_first(client: dict[str, Any], model: str) -> float:
    first = 0.0
    stream: Any = await litellm.acompletion(f"openai/{model}", MESSAGES, stream=True, **client)
    async for chunk in stream:
        if not first and chunk.choices[0].delta.content:
            first = time.perf_counter()
    return first


async def whole(client: dict[str, Any], model: str) -> int:
    response: Any = await litellm.acompletion(f"openai/{model}", MESSAGES, **client)
    return len(response.choices[0].message.content or "")


async def close(client: dict[str, Any]) -> None:
    pass


def connect_sync(base_url: str) -> dict[str, Any]:
    return connect(base_url)


def read_sync(client: dict[str, Any], model: str) -> int:
    count = 0
    stream: Any = litellm.completion(f"openai/{model}", MESSAGES, stream=True, **client)
    for chunk in stream:
        if chunk.choices[0].delta.content:
            count += 1
    return count


def close_sync(client: dict[str, Any]) -> None:
    pass


class Handler(litellm.CustomLLM):
    """Yields its chunks as LiteLLM's documentation shows it, or answers in whole."""

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

    async def acompletion(self, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        response = kwargs["model_response"]
        response.choices[0].message.content = "".join(WORDS)
        return response


HANDLERS: list[Any] = [{"provider": "mine", "custom_handler": Handler()}]


async def read_handler(count: int) -> int:
    litellm.custom_provider_map = HANDLERS
    texts = 0
    stream: Any = await litellm.acompletion("mine/any", MESSAGES, stream=True, count=count)
    async for chunk in stream:
        if chunk.choices[0].delta.content:
            texts += 1
    return texts


async def whole_handler() -> int:
    litellm.custom_provider_map = HANDLERS
    response: Any = await litellm.acompletion("mine/any", MESSAGES)
    return len(response.choices[0].message.content or "")
