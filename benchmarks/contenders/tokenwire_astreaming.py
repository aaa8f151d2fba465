"""tokenwire's flat chunks: `astreaming`, and `streaming` for sync code."""

import json
import time
from collections.abc import AsyncIterator, Callable
from itertools import cycle, islice
from typing import Any

import msgspec

import tokenwire

from ..kinds import KINDS, flat_chunks, flat_endings
from . import MESSAGES, WORDS
from .asgi import count_events
from .tokenwire_acompletion import close as close, close_sync as close_sync, connect as connect, connect_sync as connect_sync


def _arguments(chunk: Any) -> object:
    call = chunk.tool_use
    return call and call.function.arguments


def _all(chunk: Any) -> object:
    logprobs = chunk.logprobs
    if isinstance(logprobs, dict):  # as an earlier tokenwire has it
        return logprobs["content"][0]["logprob"] <= 0 and chunk.usage.completion_tokens and chunk.text
    return logprobs and logprobs.content[0].logprob <= 0 and chunk.usage.completion_tokens and chunk.text


LOOKS: dict[str, Callable[[Any], object]] = {
    "text": lambda chunk: chunk.text,
    "reasoning": lambda chunk: chunk.reasoning_content,
    "arguments": _arguments,
    "all": _all,
}


async def read(client: tokenwire.AsyncClient, model: str) -> int:
    count = 0
    async with client.astreaming(f"openai/{model}", MESSAGES) as stream:
        async for chunk in stream:
            if chunk.text:
                count += 1
    return count


async def read_kind(client: tokenwire.AsyncClient, model: str, kind: str) -> int:
    look = LOOKS[KINDS[kind].brings]
    count = 0
    async with client.astreaming(f"openai/{model}", MESSAGES) as stream:
        async for chunk in stream:
            if look(chunk):
                count += 1
    return count


async def read_first(client: tokenwire.AsyncClient, model: str) -> float:
    first = 0.0
    async with client.astreaming(f"openai/{model}", MESSAGES) as stream:
        async for chunk in stream:
            if not first and chunk.text:
                first = time.perf_counter()
    return first


class Row(msgspec.Struct):
    name: str
    note: str
    number: int


class Answer(msgspec.Struct):
    rows: list[Row]
    text: str


async def read_partials(client: tokenwire.AsyncClient, model: str) -> str:
    found: Any = None
    async with client.astreaming(f"openai/{model}", MESSAGES, response_format=Answer) as stream:
        async for partial in stream.partials():
            found = partial.value
    return json.dumps(found)


def read_sync(client: tokenwire.Client, model: str) -> int:
    count = 0
    with client.streaming(f"openai/{model}", MESSAGES) as stream:
        for chunk in stream:
            if chunk.text:
                count += 1
    return count


def read_sync_kind(client: tokenwire.Client, model: str, kind: str) -> int:
    look = LOOKS[KINDS[kind].brings]
    count = 0
    with client.streaming(f"openai/{model}", MESSAGES) as stream:
        for chunk in stream:
            if look(chunk):
                count += 1
    return count


async def handler(optional_params: dict[str, Any], **keywords: Any) -> AsyncIterator[str]:
    for place in range(optional_params["count"]):
        yield WORDS[place % 8]


async def read_handler(count: int) -> int:
    tokenwire.register("mine", handler)
    texts = 0
    async with tokenwire.astreaming("mine/any", MESSAGES, count=count) as stream:
        async for chunk in stream:
            if chunk.text:
                texts += 1
    return texts


def of_kind(kind: str) -> Any:
    """A handler that yields flat chunks of a kind."""
    chunks = [tokenwire.GenericStreamingChunk(**fields) for fields in flat_chunks(kind)]

    async def handler(optional_params: dict[str, Any], **keywords: Any) -> AsyncIterator[tokenwire.GenericStreamingChunk]:
        for chunk in islice(cycle(chunks), optional_params["count"]):
            yield chunk
        for fields in flat_endings(kind):
            yield tokenwire.GenericStreamingChunk(**fields)

    return handler


async def read_handler_kind(count: int, kind: str) -> int:
    tokenwire.register("mine", of_kind(kind))
    look = LOOKS[KINDS[kind].brings]
    found = 0
    async with tokenwire.astreaming("mine/any", MESSAGES, count=count) as stream:
        async for chunk in stream:
            if look(chunk):
                found += 1
    return found


async def serve_kind(count: int, kind: str) -> int:
    return await count_events({"any": of_kind(kind)}, count)
