"""openai-python on its own HTTP client, with room for as many connections as there are calls."""

import time
from importlib import import_module
from typing import Any

import openai

from ..kinds import KINDS, LOOKS
from . import API_KEY, MESSAGES

OPTIONS: dict[str, Any] = {"api_key": API_KEY, "max_retries": 0, "timeout": 600.0}
MOST_CONNECTIONS = 1_000_000


def room_for_all(client_class: Any) -> Any:
    """One of openai's HTTP clients, with limits nobody meets. They are derived from httpx's, or from its successor's."""
    library = next(base.__module__.partition(".")[0] for base in client_class.__mro__ if base.__module__.startswith("httpx"))
    limits = import_module(library).Limits
    return client_class(limits=limits(max_connections=MOST_CONNECTIONS, max_keepalive_connections=MOST_CONNECTIONS))


def connect(base_url: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=base_url, http_client=room_for_all(openai.DefaultAsyncHttpxClient), **OPTIONS)


async def read(client: openai.AsyncOpenAI, model: str) -> int:
    count = 0
    stream = await client.chat.completions.create(model=model, messages=MESSAGES, stream=True)  # type: ignore[arg-type]
    async for chunk in stream:
        if chunk.choices[0].delta.content:
            count += 1
    return count


async def read_kind(client: openai.AsyncOpenAI, model: str, kind: str) -> int:
    look = LOOKS[KINDS[kind].brings]
    count = 0
    stream = await client.chat.completions.create(model=model, messages=MESSAGES, stream=True)  # type: ignore[arg-type]
    async for chunk in stream:
        if look(chunk):
            count += 1
    return count


async def read_first(client: openai.AsyncOpenAI, model: str) -> float:
    first = 0.0
    stream = await client.chat.completions.create(model=model, messages=MESSAGES, stream=True)  # type: ignore[arg-type]
    async for chunk in stream:
        if not first and chunk.choices[0].delta.content:
            first = time.perf_counter()
    return first


async def whole(client: openai.AsyncOpenAI, model: str) -> int:
    response = await client.chat.completions.create(model=model, messages=MESSAGES)  # type: ignore[arg-type]
    return len(response.choices[0].message.content or "")


async def read_partials(client: openai.AsyncOpenAI, model: str) -> str:
    from .partial_objects import Answer

    text = ""
    async with client.chat.completions.stream(model=model, messages=MESSAGES, response_format=Answer) as stream:  # type: ignore[arg-type]
        async for event in stream:
            if event.type == "content.delta":
                text, _ = event.snapshot, event.parsed
    return text


async def close(client: openai.AsyncOpenAI) -> None:
    await client.close()


def connect_sync(base_url: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=base_url, **OPTIONS)


def read_sync(client: openai.OpenAI, model: str) -> int:
    count = 0
    for chunk in client.chat.completions.create(model=model, messages=MESSAGES, stream=True):  # type: ignore[arg-type]
        if chunk.choices[0].delta.content:
            count += 1
    return count


def read_sync_kind(client: openai.OpenAI, model: str, kind: str) -> int:
    look = LOOKS[KINDS[kind].brings]
    count = 0
    for chunk in client.chat.completions.create(model=model, messages=MESSAGES, stream=True):  # type: ignore[arg-type]
        if look(chunk):
            count += 1
    return count


def close_sync(client: openai.OpenAI) -> None:
    client.close()
