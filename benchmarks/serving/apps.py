"""The contenders' ASGI apps, each written as its library's documentation shows it.

Every function takes the models' names, which say what is to be streamed (see `handlers`), and the address of the canned
endpoint, which gateways pass on; and returns the app. Each imports what it needs, for the environments differ.
"""

import asyncio
import json
import os
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httptools

from .handlers import litellm_handler, words

ID = "chatcmpl-C7k2mQxV9uWbYt3Jr5sZpLh8AaDfE"


def _chunk(model: str, delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    about = {"id": ID, "object": "chat.completion.chunk", "created": int(time.time()), "model": model}
    return {**about, "choices": [choice]}


def bare(models: list[str], upstream: str) -> Any:
    """The floor: no library at all, and every event is encoded before anybody asks for it."""
    from .handlers import WORDS

    head = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]

    def event(model: str, delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
        return b"data: " + json.dumps(_chunk(model, delta, finish_reason), separators=(",", ":")).encode() + b"\n\n"

    events = {(model, word): event(model, {"content": word}) for model in models for word in WORDS}
    endings = {model: event(model, {}, "stop") + b"data: [DONE]\n\n" for model in models}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message["body"]
            more = message["more_body"]
        model = json.loads(body)["model"]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        async for word in words(model):
            await send({"type": "http.response.body", "body": events[model, word], "more_body": True})
        await send({"type": "http.response.body", "body": endings[model], "more_body": False})

    return app


def bare_relay(models: list[str], upstream: str) -> Any:
    """The floor of a gateway: llhttp takes the answer apart, and what a read brings of its body goes out in one piece."""
    url = urlsplit(upstream)
    request_head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: {url.netloc}\r\ncontent-type: application/json\r\n".encode()
    request_head += b"authorization: Bearer sk-no\r\ncontent-length: "
    head = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
    idle: list[_Upstream] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message["body"]
            more = message["more_body"]
        if not idle:
            loop = asyncio.get_running_loop()
            idle.append((await loop.create_connection(_Upstream, url.hostname, url.port))[1])
        connection = idle.pop()
        connection.ask(b"%s%d\r\n\r\n%s" % (request_head, len(body), body))
        await send({"type": "http.response.start", "status": 200, "headers": head})
        while data := await connection.receive():
            await send({"type": "http.response.body", "body": data, "more_body": True})
        idle.append(connection)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    return app


class _Upstream(asyncio.Protocol):
    """A connection of the bare relay's, with one answer at a time."""

    def __init__(self) -> None:
        self._data: list[bytes] = []
        self._waiter: asyncio.Future[None] | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def ask(self, request: bytes) -> None:
        """Send a request."""
        self._parser, self._is_complete = httptools.HttpResponseParser(self), False
        self._transport.write(request)

    async def receive(self) -> bytes:
        """What there is of the body; b"" at its end."""
        while not self._data and not self._is_complete:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        data, self._data = self._data, []
        return data[0] if len(data) == 1 else b"".join(data)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)
        if self._waiter is not None:
            self._waiter.set_result(None)
            self._waiter = None

    def on_body(self, data: bytes) -> None:
        self._data.append(data)

    def on_message_complete(self) -> None:
        self._is_complete = True


def tokenwire_words(models: list[str], upstream: str) -> Any:
    """A function that yields text."""
    from tokenwire.server import create_app

    return create_app(dict.fromkeys(models, words))


def tokenwire_chunks(models: list[str], upstream: str) -> Any:
    """The handler that LiteLLM's proxy serves too."""
    from tokenwire.server import create_app

    return create_app(dict.fromkeys(models, litellm_handler))


def tokenwire_gateway(models: list[str], upstream: str) -> Any:
    """What the canned endpoint sends."""
    from tokenwire.server import create_app

    return create_app({name: {"model": f"openai/{name}", "api_base": f"{upstream}/v1", "api_key": "sk-no"} for name in models})


async def _json_events(model: str) -> AsyncIterator[str]:
    yield json.dumps(_chunk(model, {"role": "assistant", "content": ""}))
    async for word in words(model):
        yield json.dumps(_chunk(model, {"content": word}))
    yield json.dumps(_chunk(model, {}, "stop"))
    yield "[DONE]"


def _app_of(endpoint: Any) -> Any:
    from starlette.applications import Starlette
    from starlette.routing import Route

    return Starlette(routes=[Route("/v1/chat/completions", endpoint, methods=["POST"])])


def starlette(models: list[str], upstream: str) -> Any:
    """Written by hand: `StreamingResponse` and `json.dumps`."""
    from starlette.responses import StreamingResponse

    async def events(model: str) -> AsyncIterator[str]:
        async for data in _json_events(model):
            yield f"data: {data}\n\n"

    async def endpoint(request: Any) -> Any:
        return StreamingResponse(events((await request.json())["model"]), media_type="text/event-stream")

    return _app_of(endpoint)


def sse_starlette(models: list[str], upstream: str) -> Any:
    """`EventSourceResponse` and `json.dumps`."""
    from sse_starlette import EventSourceResponse

    async def endpoint(request: Any) -> Any:
        return EventSourceResponse(_json_events((await request.json())["model"]))

    return _app_of(endpoint)


def httpx_gateway(models: list[str], upstream: str) -> Any:
    """Written by hand: httpx reads, `StreamingResponse` passes on whatever bytes come."""
    import httpx
    from starlette.background import BackgroundTask
    from starlette.responses import StreamingResponse

    client = httpx.AsyncClient(timeout=None, limits=httpx.Limits(max_connections=None, max_keepalive_connections=None))

    async def endpoint(request: Any) -> Any:
        headers = {"authorization": "Bearer sk-no", "content-type": "application/json"}
        asked = client.build_request("POST", f"{upstream}/v1/chat/completions", content=await request.body(), headers=headers)
        answer = await client.send(asked, stream=True)
        return StreamingResponse(
            answer.aiter_raw(), answer.status_code, media_type="text/event-stream", background=BackgroundTask(answer.aclose)
        )

    return _app_of(endpoint)


def litellm_proxy(models: list[str], upstream: str) -> Any:
    """Its proxy, with a handler of the user's."""
    return _litellm({name: {"model": f"words/{name}"} for name in models})


def litellm_gateway(models: list[str], upstream: str) -> Any:
    """Its proxy, with an OpenAI-compatible endpoint."""
    about = {"api_base": f"{upstream}/v1", "api_key": "sk-no"}
    return _litellm({name: {"model": f"openai/{name}", **about} for name in models})


def _litellm(models: dict[str, dict[str, str]]) -> Any:
    folder = Path(tempfile.mkdtemp())
    (folder / "handlers.py").write_text(Path(__file__).with_name("handlers.py").read_text("utf-8"), "utf-8")
    config = {  # JSON is YAML
        "model_list": [{"model_name": name, "litellm_params": params} for name, params in models.items()],
        "litellm_settings": {"custom_provider_map": [{"provider": "words", "custom_handler": "handlers.litellm_handler"}]},
    }
    (folder / "config.yaml").write_text(json.dumps(config), "utf-8")
    os.environ |= {"CONFIG_FILE_PATH": str(folder / "config.yaml"), "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    os.environ["LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY"] = "true"  # as the others: whoever asks is served
    from litellm.proxy.proxy_server import app

    return app
