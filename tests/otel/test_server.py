"""Spans and metrics of requests that are served."""

from typing import Any

import anyio
import httpx
import pytest
from opentelemetry.trace import SpanKind, StatusCode

from tokenwire.server import create_app

from .conftest import Exported, attributes, id_of

MESSAGES = [{"role": "user", "content": "Hi"}]
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"

pytestmark = pytest.mark.anyio


async def echo(messages: Any, **_: Any) -> Any:
    yield messages[-1]["content"]


async def break_off(**_: Any) -> Any:
    yield "one"
    raise RuntimeError("no more")


def client(**headers: str) -> httpx.AsyncClient:
    app = create_app({"m": echo, "bad": break_off})
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server/v1", headers=headers)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_the_request_is_the_clients_and_the_call_is_its_own(stream: bool, exported: Exported) -> None:
    async with client(traceparent=f"00-{TRACE}-{SPAN}-01") as http:
        await http.post("/chat/completions", json={"model": "m", "messages": MESSAGES, "stream": stream})
    request, call = exported.named("POST /v1/chat/completions"), exported.named("chat m")
    assert request.kind is SpanKind.SERVER
    assert request.parent is not None
    assert (f"{request.parent.trace_id:032x}", f"{request.parent.span_id:016x}") == (TRACE, SPAN)
    assert call.parent is not None
    assert call.parent.span_id == id_of(request)
    found = attributes(request)
    assert {name: found[name] for name in ("http.request.method", "http.route", "http.response.status_code", "url.path")} == {
        "http.request.method": "POST",
        "http.route": "/v1/chat/completions",
        "http.response.status_code": 200,
        "url.path": "/v1/chat/completions",
    }
    assert found["tokenwire.outcome"] == "complete"
    assert attributes(call)["gen_ai.provider.name"] == "m"
    ((labels, (_, count)),) = exported.metrics["http.server.request.duration"]
    assert (labels["http.route"], labels["http.response.status_code"], count) == ("/v1/chat/completions", 200, 1)
    assert exported.metrics["http.server.active_requests"][0][1] == 0


async def test_what_clients_ask_in_vain(exported: Exported) -> None:
    async with client() as http:
        await http.post("/nowhere/secret")
        await http.request("BREW", "/models")
    assert [span.name for span in exported.spans] == ["POST", "_OTHER /v1/models"]
    assert all(span.status.status_code is StatusCode.UNSET for span in exported.spans)
    assert all(
        "http.route" not in labels or "secret" not in labels["http.route"]
        for labels, _ in exported.metrics["http.server.request.duration"]
    )


async def test_a_stream_that_fails_in_its_middle(exported: Exported) -> None:
    async with client() as http:
        await http.post("/chat/completions", json={"model": "bad", "messages": MESSAGES, "stream": True})
    request = exported.named("POST /v1/chat/completions")
    assert (attributes(request)["error.type"], request.status.status_code) == ("error", StatusCode.ERROR)


async def test_a_client_that_leaves(exported: Exported) -> None:
    app = create_app({"m": lambda **_: anyio.sleep_forever()})
    body = b'{"model": "m", "messages": [{"role": "user", "content": "Hi"}]}'
    messages = [{"type": "http.request", "body": body}, {"type": "http.disconnect"}]

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        raise AssertionError("nobody is there")

    scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": [], "query_string": b""}
    await app(scope, receive, send)
    assert attributes(exported.named("POST /v1/chat/completions"))["tokenwire.outcome"] == "cancelled"
    assert attributes(exported.named("chat m"))["tokenwire.outcome"] == "cancelled"


async def test_anothers_span_around_the_app_is_enough(exported: Exported) -> None:
    with exported.tracer_provider.get_tracer("asgi").start_as_current_span("outer", kind=SpanKind.SERVER) as outer:
        async with client() as http:
            await http.post("/chat/completions", json={"model": "m", "messages": MESSAGES})
    assert [span.name for span in exported.spans] == ["chat m", "outer"]
    call = exported.named("chat m")
    assert call.parent is not None
    assert call.parent.span_id == outer.get_span_context().span_id
