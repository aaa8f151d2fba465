"""llama.cpp's own `/v1/messages` and `/v1/responses` through a gateway: what its clients get is what it sends."""

import json
from typing import Any

import httpx
import openai
import pytest

import tokenwire
from tokenwire.server import create_app

from ..conftest import one_loop
from ..server.conftest import on_uvicorn
from .conftest import LlamaServer

pytestmark = [pytest.mark.real_model, pytest.mark.anyio]

HI = [{"role": "user", "content": "Count to three."}]
ASKED: dict[str, tuple[str, dict[str, Any]]] = {
    "/v1/chat/completions": ("openai/smollm2", {"messages": HI, "max_tokens": 12, "temperature": 0, "seed": 1}),
    "/v1/messages": ("anthropic/smollm2", {"messages": HI, "max_tokens": 12, "temperature": 0, "top_k": 1}),
    "/v1/responses": ("openai/responses/smollm2", {"input": HI, "max_output_tokens": 12, "temperature": 0, "seed": 1}),
}
_NEW_EACH_TIME = ("id", "item_id", "created", "created_at", "completed_at", "timings")
_CACHE = ("cached_tokens", "cache_read_input_tokens", "input_tokens")  # which depend on what was asked before


def settled(value: Any) -> Any:
    """The JSON without what differs from one answer to the next."""
    if isinstance(value, dict):
        return {name: settled(item) for name, item in value.items() if name not in (*_NEW_EACH_TIME, *_CACHE)}
    return [settled(item) for item in value] if isinstance(value, list) else value


def lines_of(body: str) -> list[Any]:
    """The lines of a stream, those with data decoded."""
    return [
        settled(json.loads(line[6:])) if line.startswith("data: {") else line
        for line in body.splitlines()
        if not line.startswith(":")
    ]


def gateway(server: LlamaServer) -> Any:
    return create_app({path: {"model": model, "api_base": server.url, "api_key": "k"} for path, (model, _) in ASKED.items()})


@one_loop
@pytest.mark.parametrize("path", ASKED)
async def test_what_it_sends_is_what_comes(path: str, server: LlamaServer) -> None:
    _, asked = ASKED[path]
    app = gateway(server)
    transport = httpx.ASGITransport(app)
    async with (
        httpx.AsyncClient(transport=transport, base_url="http://test", timeout=60) as client,
        httpx.AsyncClient(base_url=server.root, timeout=60) as directly,
    ):
        for stream in (False, True):
            own = await directly.post(path, json={**asked, "model": "smollm2", "stream": stream})
            passed = await client.post(path, json={**asked, "model": path, "stream": stream})
            assert passed.status_code == own.status_code == 200
            if stream:
                assert lines_of(passed.text) == lines_of(own.text)
            else:
                assert settled(passed.json()) == settled(own.json())
    await tokenwire.aclose()


@one_loop
async def test_openais_own_client_reads_responses_through_it(server: LlamaServer) -> None:
    """Event by event: what puts them together wants a `content_index`, which llama.cpp does not send."""
    asked: Any = {"model": "/v1/responses", "input": "Count to three.", "max_output_tokens": 12, "temperature": 0}
    async with (
        on_uvicorn(gateway(server)) as url,
        openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0) as client,
    ):
        whole = await client.responses.create(**asked)
        async with await client.responses.create(**asked, stream=True) as stream:
            events = [event async for event in stream]
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == whole.output_text != ""
    assert events[-1].type == "response.completed"
