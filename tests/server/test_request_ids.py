"""Whose id a request has, and where it goes."""

import logging
from typing import Any

import pytest

from tokenwire import CustomLLMError
from tokenwire.server import create_app
from tokenwire.testing import Endpoint, Reply, chunks as chunks_of

from .conftest import MESSAGES

pytestmark = pytest.mark.anyio

BODY: dict[str, Any] = {"model": "m", "messages": MESSAGES}


@pytest.fixture
def anyio_backend() -> str:
    """Nothing here depends on the event loop."""
    return "asyncio"


async def test_a_clients_own_id_is_kept(ask: Any, caplog: Any) -> None:
    seen: list[str] = []

    async def handler(client_request: Any, **_: Any) -> Any:
        seen.append(client_request.request_id)
        yield "Hello"
        raise CustomLLMError(503, "gone")

    caplog.set_level(logging.INFO, "tokenwire.server.access")
    app = create_app({"m": handler})
    for path in ("/chat/completions", "/messages"):
        body = {**BODY, "stream": True, "max_tokens": 9}
        assert (await ask(app, body, path, headers={"X-Request-Id": "mine-1"})).headers["x-request-id"] == "mine-1"
    assert (await ask(app, b"", headers={"X-Request-Id": "mine-2"})).headers["x-request-id"] == "mine-2"
    assert seen == ["mine-1", "mine-1"]
    assert "request_id=mine-2" in caplog.text
    for given in ("", "a\tb", "é", "x" * 201):
        returned = (await ask(app, b"", headers={"X-Request-Id": given})).headers["x-request-id"]
        assert returned.startswith("req_")


@pytest.mark.parametrize("model", ["one", "several"])
async def test_an_endpoint_is_sent_it_and_its_own_comes_back(model: str, ask: Any, caplog: Any) -> None:
    caplog.set_level(logging.INFO, "tokenwire.server.access")
    headers = {"x-request-id": "theirs", "x-ratelimit-remaining-requests": "99"}
    with Endpoint(Reply(events=chunks_of("Hi"), headers=headers)) as upstream:
        one = {"model": "openai/up", "api_base": upstream.url, "extra_headers": {"x-own": "1"}}
        app = create_app({"m": one if model == "one" else [one]}, max_concurrency=5)
        answer = await ask(app, {**BODY, "stream": True}, headers={"X-Request-Id": "mine"})
        await ask(app, {**BODY, "stream": True})
        first, second = upstream.requests
    assert (answer.headers["x-request-id"], answer.headers["x-ratelimit-remaining-requests"]) == ("theirs", "99")
    assert "x-ratelimit-limit-requests" not in answer.headers
    assert (first.headers["x-request-id"], first.headers["x-own"]) == ("mine", "1")
    assert "x-request-id" not in second.headers
    assert "request_id=theirs client_request_id=mine" in caplog.text


async def test_models_with_slashes_and_the_small_paths(ask: Any) -> None:
    app = create_app({"org/m/7b": "openai/m"}, api_keys=["sk"])
    key = {"Authorization": "Bearer sk"}

    async def get(path: str, **headers: str) -> Any:
        return await ask(app, None, path, method="GET", headers=headers)

    assert (await get("/v1/models/org/m/7b", **key)).json()["id"] == "org/m/7b"
    assert (await get("/v1/models/org/m", **key)).status == 404
    assert (await get("/ping", **key)).json() == {"status": "ok"}
    assert set((await get("/version", **key)).json()) == {"version"}
    open_to_all = ["/health", "/", "/docs"]
    for path in ("/models", "/ping", "/version", "/openapi.json", "/models/x", *open_to_all):
        assert (await get(path)).status == (200 if path in open_to_all else 401), path
