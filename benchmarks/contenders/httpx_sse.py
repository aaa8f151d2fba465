"""httpx with httpx-sse, as httpx-sse's documentation shows it: what one writes without any of the libraries."""

import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
from httpx_sse import aconnect_sse, connect_sse

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


async def _deltas(client: httpx.AsyncClient, model: str) -> AsyncIterator[dict[str, Any]]:
    async with aconnect_sse(client, "POST", "/chat/completions", json=_body(model, stream=True)) as source:
        source.response.raise_for_status()
        async for event in source.aiter_sse():
            if event.data != "[DONE]":
                yield event.json()["choices"][0]["delta"]


async def read(client: httpx.AsyncClient, model: str) -> int:
    count = 0
    async for delta in _deltas(client, model):
        if delta.get("content"):
            count += 1
    return count


async def read_first(client: httpx.AsyncClient, model: str) -> float:
    first = 0.0
    async for delta in _deltas(client, model):
        if not first and delta.get("content"):
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
