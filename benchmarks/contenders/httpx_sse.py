"""httpx with httpx-sse, as httpx-sse's documentation shows it: what one writes without any of the libraries."""

import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
from httpx_sse import aconnect_sse, connect_sse

from ..kinds import KINDS
from . import API_KEY, MESSAGES

OPTIONS: dict[str, Any] = {
    "headers": {"authorization": f"Bearer {API_KEY}"},
    "limits": httpx.Limits(max_connections=None, max_keepalive_connections=None),
    "timeout": 600.0,
}


def _body(model: str, *, stream: bool) -> dict[str, Any]:
    return {"model": model, "messages": MESSAGES, "stream": stream}


def connect(base_url: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=base_url, **OPTIONS)


def _arguments(chunk: dict[str, Any]) -> object:
    calls = chunk["choices"][0]["delta"].get("tool_calls")
    return calls and calls[0]["function"]["arguments"]


def _all(chunk: dict[str, Any]) -> object:
    choice = chunk["choices"][0]
    logprobs = choice["logprobs"]
    return (
        logprobs
        and logprobs["content"][0]["logprob"] <= 0
        and chunk["usage"]["completion_tokens"]
        and choice["delta"]["content"]
    )


LOOKS: dict[str, Callable[[dict[str, Any]], object]] = {
    "text": lambda chunk: chunk["choices"][0]["delta"].get("content"),
    "reasoning": lambda chunk: chunk["choices"][0]["delta"].get("reasoning_content"),
    "arguments": _arguments,
    "all": _all,
}


async def _chunks(client: httpx.AsyncClient, model: str) -> AsyncIterator[dict[str, Any]]:
    async with aconnect_sse(client, "POST", "/chat/completions", json=_body(model, stream=True)) as source:
        source.response.raise_for_status()
        async for event in source.aiter_sse():
            if event.data != "[DONE]":
                yield event.json()


async def read(client: httpx.AsyncClient, model: str) -> int:
    return await read_kind(client, model, "text")


async def read_kind(client: httpx.AsyncClient, model: str, kind: str) -> int:
    look = LOOKS[KINDS[kind].brings]
    count = 0
    async for chunk in _chunks(client, model):
        if look(chunk):
            count += 1
    return count


async def read_first(client: httpx.AsyncClient, model: str) -> float:
    first = 0.0
    async for chunk in _chunks(client, model):
        if not first and LOOKS["text"](chunk):
            first = time.perf_counter()
    return first


async def whole(client: httpx.AsyncClient, model: str) -> int:
    response = await client.post("/chat/completions", json=_body(model, stream=False))
    response.raise_for_status()
    return len(response.json()["choices"][0]["message"]["content"])


async def close(client: httpx.AsyncClient) -> None:
    await client.aclose()


def connect_sync(base_url: str) -> httpx.Client:
    return httpx.Client(base_url=base_url, **OPTIONS)


def read_sync(client: httpx.Client, model: str) -> int:
    count = 0
    with connect_sse(client, "POST", "/chat/completions", json=_body(model, stream=True)) as source:
        source.response.raise_for_status()
        for event in source.iter_sse():
            if event.data != "[DONE]" and event.json()["choices"][0]["delta"].get("content"):
                count += 1
    return count


def close_sync(client: httpx.Client) -> None:
    client.close()
