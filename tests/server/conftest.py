"""Clients for the app: one in this process that speaks ASGI, and real sockets behind uvicorn or hypercorn."""

import json
import socket
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from typing import Any

import anyio
import pytest
import uvicorn
from hypercorn.config import Config
from hypercorn.trio import serve as serve_on_trio

import tokenwire
from tokenwire._calls import routing
from tokenwire.server.protocol import HTTPProtocol

from ..conftest import PATIENCE

MESSAGES = [{"role": "user", "content": "Hi"}]


@pytest.fixture(autouse=True)
def no_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is forgotten after it."""
    monkeypatch.setattr(tokenwire, "custom_provider_map", [])
    monkeypatch.setattr(routing, "_registered", {})


class Visit:
    """One request to an app, and what comes of it: the app's `send` waits until the test has taken the message.

    Attributes:
        status, headers: of the response, once `take` has seen its head.
    """

    def __init__(self, app: Any, method: str, path: str, body: bytes, headers: Mapping[str, str], root_path: str) -> None:
        sent = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        self._scope = {"type": "http", "method": method, "path": path, "root_path": root_path, "headers": sent}
        self._app, self._body = app, body
        self._to_app, self._for_app = anyio.create_memory_object_stream[dict[str, Any]](10)
        self._from_app, self._taken = anyio.create_memory_object_stream[Any](0)
        self._left = self._sending = False
        self._sends = anyio.Event()
        self.status = 0
        self.headers: dict[str, str] = {}
        self.ended = anyio.Event()

    async def run(self) -> None:
        half = len(self._body) // 2
        for part, more in ((self._body[:half], True), (self._body[half:], False)):
            self._to_app.send_nowait({"type": "http.request", "body": part, "more_body": more})
        with self._for_app, self._from_app:
            await self._app(self._scope, self._for_app.receive, self._send)
            self.ended.set()

    async def _send(self, message: Any) -> None:
        if self._left:
            raise OSError("the client has left")  # as the specification has it
        assert not self._sending, "the app sends twice at once"
        self._sending = True
        self._sends.set()
        try:
            await self._from_app.send(message)
        except anyio.BrokenResourceError:
            raise OSError("the client has left") from None
        finally:
            self._sending = False
        if message["type"] == "http.response.body" and not message["more_body"]:
            self._to_app.send_nowait({"type": "http.disconnect"})

    async def until_sending(self) -> None:
        """Wait until the app sends something, which is not taken yet."""
        while not self._sending:
            self._sends = anyio.Event()
            await self._sends.wait()

    async def take(self) -> bytes:
        """The next piece of the body; b"" at its end."""
        while True:
            message = await self._taken.receive()
            if message["type"] == "http.response.start":
                self.status = message["status"]
                self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            elif message["body"] or not message["more_body"]:
                return message["body"]

    async def rest(self) -> bytes:
        """The whole body, or what is left of it."""
        parts: list[bytes] = []
        try:
            while True:
                parts.append(await self.take())
        except anyio.EndOfStream:
            return b"".join(parts)

    def leave(self) -> None:
        """Close the connection."""
        self._left = True
        self._taken.close()
        try:
            self._to_app.send_nowait({"type": "http.disconnect"})
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            pass  # the app is done with this request
        self._to_app.close()


VisitApp = Callable[..., AbstractAsyncContextManager[Visit]]


@asynccontextmanager
async def _visit(
    app: Any,
    body: Any = None,
    path: str = "/v1/chat/completions",
    *,
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
    root_path: str = "",
    seconds: float = PATIENCE,
) -> AsyncGenerator[Visit, None]:
    data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    with anyio.fail_after(seconds):
        async with anyio.create_task_group() as tasks:
            visit = Visit(app, method, path, data, headers or {}, root_path)
            tasks.start_soon(visit.run)
            try:
                yield visit
            finally:
                visit.leave()


@pytest.fixture
def visit() -> VisitApp:
    """`async with visit(app, body, path) as v`: one request, left at the end of the block, and that within `seconds`."""
    return _visit


class Answer:
    """A whole response."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    def json(self) -> Any:
        return json.loads(self.body)

    def error(self) -> dict[str, Any]:
        return self.json()["error"]

    def events(self) -> list[Any]:
        """The events of a stream: JSON values, and the text of `[DONE]`."""
        blocks = self.body.decode().removesuffix("\n\n").split("\n\n")
        data = [block.removeprefix("data: ") for block in blocks if not block.startswith(":")]
        return [text if text == "[DONE]" else json.loads(text) for text in data]


Ask = Callable[..., Any]


@pytest.fixture
def ask() -> Ask:
    """`await ask(app, body, path)`: one request, and its whole answer."""

    async def ask(app: Any, body: Any = None, path: str = "/v1/chat/completions", **options: Any) -> Answer:
        async with _visit(app, body, path, **options) as visit:
            body = await visit.rest()
        return Answer(visit.status, visit.headers, body)

    return ask


class Uvicorn(uvicorn.Server):
    """uvicorn without signals and without a clock: it runs until it is told to stop."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = anyio.Event()
        self.stop = anyio.Event()

    def capture_signals(self) -> Any:
        return nullcontext()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    async def main_loop(self) -> None:
        await self.stop.wait()


@asynccontextmanager
async def on_uvicorn(app: Any, **options: Any) -> AsyncGenerator[str, None]:
    """As `tokenwire serve` has it, but for the options."""
    options = {"http": HTTPProtocol, "ws": "none", **options}
    server = Uvicorn(uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=3, **options))
    listener = socket.create_server(("127.0.0.1", 0))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve, [listener])
        await server.ready.wait()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.stop.set()


@asynccontextmanager
async def _on_trio(app: Any) -> AsyncGenerator[str, None]:
    stop = anyio.Event()
    config = Config()
    config.bind = ["127.0.0.1:0"]
    config.errorlog = None
    config.graceful_timeout = 3
    config.keep_alive_timeout = PATIENCE  # it runs from the connection's beginning, and a slow machine may take long to ask

    async def serve(*, task_status: Any) -> None:
        await serve_on_trio(app, config, shutdown_trigger=stop.wait, task_status=task_status, mode="asgi")

    async with anyio.create_task_group() as tasks:
        binds = await tasks.start(serve)
        try:
            yield binds[0]
        finally:
            stop.set()


Served = Callable[[Any], AbstractAsyncContextManager[str]]


@pytest.fixture
def served(anyio_backend_name: str) -> Served:
    """`async with served(app) as url`: the app on a port of the loopback interface, in the test's own event loop."""
    return _on_trio if anyio_backend_name == "trio" else on_uvicorn


@pytest.fixture
def gone() -> Callable[[], Any]:
    """`gone()` makes an async generator function's witness: `with witness:` inside it says when it was left."""

    class Witness:
        def __init__(self) -> None:
            self.left = anyio.Event()

        @contextmanager
        def __call__(self) -> Any:
            try:
                yield
            finally:
                self.left.set()

    return Witness
