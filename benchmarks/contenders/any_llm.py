"""any-llm with its openai provider, through one `AnyLLM`: its module's functions make a client for each call."""

import time
from typing import Any

import openai
from any_llm import AnyLLM

from ..kinds import KINDS, LOOKS as OBJECT_LOOKS
from . import API_KEY, MESSAGES
from .openai import room_for_all

OPTIONS: dict[str, Any] = {"api_key": API_KEY, "max_retries": 0, "timeout": 600.0}


def _reasoning(chunk: Any) -> object:
    reasoning = chunk.choices[0].delta.reasoning
    return reasoning and reasoning.content


LOOKS = {**OBJECT_LOOKS, "reasoning": _reasoning}


def connect(base_url: str) -> AnyLLM:
    http_client = room_for_all(openai.DefaultAsyncHttpxClient)
    return AnyLLM.create("openai", api_base=base_url, http_client=http_client, **OPTIONS)


async def read(client: AnyLLM, model: str) -> int:
    count = 0
    stream: Any = await client.acompletion(model=model, messages=MESSAGES, stream=True)  # type: ignore[arg-type]
    async for chunk in stream:
        if chunk.choices[0].delta.content:
            count += 1
    return count


async def read_kind(client: AnyLLM, model: str, kind: str) -> int:
    look = LOOKS[KINDS[kind].brings]
    count = 0
    stream: Any = await client.acompletion(model=model, messages=MESSAGES, stream=True)  # type: ignore[arg-type]
    async for chunk in stream:
        if look(chunk):
            count += 1
    return count


async def read_first(client: AnyLLM, model: str) -> float:
    first = 0.0
    stream: Any = await client.acompletion(model=model, messages=MESSAGES, stream=True)  # type: ignore[arg-type]
    async for chunk in stream:
        if not first and chunk.choices[0].delta.content:
            first = time.perf_counter()
    return first


async def whole(client: AnyLLM, model: str) -> int:
    response: Any = await client.acompletion(model=model, messages=MESSAGES)  # type: ignore[arg-type]
    return len(response.choices[0].message.content or "")


async def close(client: AnyLLM) -> None:
    pass


def connect_sync(base_url: str) -> AnyLLM:
    return AnyLLM.create("openai", api_base=base_url, **OPTIONS)


def read_sync(client: AnyLLM, model: str) -> int:
    count = 0
    stream: Any = client.completion(model=model, messages=MESSAGES, stream=True)  # type: ignore[arg-type]
    for chunk in stream:
        if chunk.choices[0].delta.content:
            count += 1
    return count


def close_sync(client: AnyLLM) -> None:
    pass
