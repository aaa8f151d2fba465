"""tokenwire's flat chunks: `astreaming`, and `streaming` for sync code."""

import time
from collections.abc import AsyncIterator
from typing import Any

import tokenwire

from . import MESSAGES, WORDS
from .tokenwire_acompletion import close as close, close_sync as close_sync, connect as connect, connect_sync as connect_sync


async def read(client: tokenwire.AsyncClient, model: str) -> int:
    count = 0
    async with client.astreaming(f"openai/{model}", MESSAGES) as stream:
        async for chunk in stream:
            if chunk.text:
                count += 1
    return count


async def read_first(client: tokenwire.AsyncClient, model: str) -> float:
    first = 0.0
    async with client.astreaming(f"openai/{model}", MESSAGES) as stream:
        async for chunk in stream:
            if not first and chunk.text:
                first = time.perf_counter()
    return first


def read_sync(client: tokenwire.Client, model: str) -> int:
    count = 0
    with client.streaming(f"openai/{model}", MESSAGES) as stream:
        for chunk in stream:
            if chunk.text:
                count += 1
    return count


async def read_handler(count: int) -> int:
    async def handler(**keywords: Any) -> AsyncIterator[str]:
        for place in range(count):
            yield WORDS[place % 8]

    tokenwire.register("mine", handler)
    texts = 0
    async with tokenwire.astreaming("mine/any", MESSAGES) as stream:
        async for chunk in stream:
            if chunk.text:
                texts += 1
    return texts
