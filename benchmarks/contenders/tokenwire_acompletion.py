"""tokenwire in OpenAI's shape: `acompletion(stream=True)`, and `completion` for sync code."""

import time
from collections.abc import AsyncIterator
from itertools import cycle, islice
from typing import Any

import tokenwire

from ..kinds import KINDS, LOOKS as OBJECT_LOOKS, flat_chunks, flat_endings
from . import API_KEY, MESSAGES, WORDS
from .asgi import count_events

OPTIONS: dict[str, Any] = {"api_key": API_KEY, "num_retries": 0, "timeout": 600.0}


def _all(chunk: Any) -> object:
    choice = chunk.choices[0]
    logprobs = choice.logprobs
    if isinstance(logprobs, dict):  # as an earlier tokenwire has it
        return logprobs["content"][0]["logprob"] <= 0 and chunk.usage.completion_tokens and choice.delta.content
    return logprobs and logprobs.content[0].logprob <= 0 and chunk.usage.completion_tokens and choice.delta.content


LOOKS = {**OBJECT_LOOKS, "all": _all}


def connect(base_url: str) -> tokenwire.AsyncClient:
    return tokenwire.AsyncClient(transport=tokenwire.HTTPTransport(max_connections=None), api_base=base_url, **OPTIONS)


async def read(client: tokenwire.AsyncClient, model: str) -> int:
    count = 0
    async with await client.acompletion(f"openai/{model}", MESSAGES, stream=True) as stream:
        async for chunk in stream:
            if chunk.choices[0].delta.content:
                count += 1
    return count


async def read_kind(client: tokenwire.AsyncClient, model: str, kind: str) -> int:
    look = LOOKS[KINDS[kind].brings]
    count = 0
    async with await client.acompletion(f"openai/{model}", MESSAGES, stream=True) as stream:
        async for chunk in stream:
            if look(chunk):
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


async def vectors(client: tokenwire.AsyncClient, model: str, encoding: str) -> int:
    response = await client.aembedding(f"openai/{model}", ["x"], encoding_format=encoding)
    if encoding == "base64":
        return sum(len(item.array()) for item in response.data)
    return sum(len(item.embedding) for item in response.data)


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


def read_sync_kind(client: tokenwire.Client, model: str, kind: str) -> int:
    look = LOOKS[KINDS[kind].brings]
    count = 0
    with client.completion(f"openai/{model}", MESSAGES, stream=True) as stream:
        for chunk in stream:
            if look(chunk):
                count += 1
    return count


def close_sync(client: tokenwire.Client) -> None:
    client.close()


class Handler(tokenwire.CustomLLM):
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
    tokenwire.custom_provider_map = HANDLERS
    texts = 0
    async with await tokenwire.acompletion("mine/any", MESSAGES, stream=True, count=count) as stream:
        async for chunk in stream:
            if chunk.choices[0].delta.content:
                texts += 1
    return texts


async def whole_handler() -> int:
    tokenwire.custom_provider_map = HANDLERS
    response = await tokenwire.acompletion("mine/any", MESSAGES)
    return len(response.choices[0].message.content or "")


def of_kind(kind: str) -> Any:
    """A handler that yields LiteLLM's dicts of a kind."""
    chunks = flat_chunks(kind)

    async def handler(optional_params: dict[str, Any], **keywords: Any) -> AsyncIterator[dict[str, Any]]:
        for chunk in islice(cycle(chunks), optional_params["count"]):
            yield chunk
        for chunk in flat_endings(kind):
            yield chunk

    return handler


async def read_handler_kind(count: int, kind: str) -> int:
    tokenwire.register("mine", of_kind(kind))
    look = LOOKS[KINDS[kind].brings]
    found = 0
    async with await tokenwire.acompletion("mine/any", MESSAGES, stream=True, count=count) as stream:
        async for chunk in stream:
            if look(chunk):
                found += 1
    return found


async def serve_kind(count: int, kind: str) -> int:
    return await count_events({"any": of_kind(kind)}, count)
