"""The app on the ASGI servers that people have, each a process of its own; those that are not installed are skipped.

The handler's steps are files, so that nobody waits for a clock.
"""

import importlib
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs the signals of POSIX")

SECONDS = 60.0  # for anything to happen

MODULE = """\
from pathlib import Path

import anyio

from tokenwire import RateLimitError
from tokenwire.server import create_app

async def handler(messages):
    asked = messages[-1]["content"]
    if asked == "fail":
        raise RateLimitError("slower, please", retry_after=7)
    try:
        yield "once"
        if asked == "wait":
            while not Path("go on").exists():
                await anyio.sleep(0.01)
        yield " more"
    except BaseException:
        Path("cancelled").touch()
        raise

made = create_app({"m": handler}, metrics=True)

async def app(scope, receive, send):
    if scope["type"] != "lifespan":
        return await made(scope, receive, send)

    async def noted(message):
        Path(message["type"]).touch()
        await send(message)

    await made(scope, receive, noted)
"""


class Kind(NamedTuple):
    """A server: its module, and the rest of the command with {port}."""

    module: str
    arguments: str


KINDS = {
    "uvicorn": Kind("uvicorn", "my_app:app --port {port} --no-access-log --timeout-graceful-shutdown 30"),
    "uvicorn, our protocol": Kind(
        "uvicorn",
        "my_app:app --port {port} --no-access-log --timeout-graceful-shutdown 30 --http tokenwire.server.protocol:HTTPProtocol",
    ),
    "hypercorn": Kind("hypercorn", "my_app:app --bind 127.0.0.1:{port} --graceful-timeout 30"),
    "hypercorn, trio": Kind("hypercorn", "my_app:app --bind 127.0.0.1:{port} --graceful-timeout 30 --worker-class trio"),
    "granian": Kind("granian", "my_app:app --interface asgi --port {port} --no-ws"),
}


class Running:
    """A server that serves the app."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int, folder: Path) -> None:
        self.process, self.url, self._folder = process, f"http://127.0.0.1:{port}", folder
        self.port = port

    def until(self, is_so: Callable[[], object], words: str) -> None:
        until = time.monotonic() + SECONDS
        while not is_so():
            assert self.process.poll() is None, f"the server has ended with {self.process.returncode}"
            assert time.monotonic() < until, f"not within {SECONDS:g} s: {words}"
            time.sleep(0.02)

    def until_file(self, name: str) -> None:
        self.until((self._folder / name).exists, name)

    def go_on(self) -> None:
        (self._folder / "go on").touch()


def body(content: str, **fields: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": content}], **fields}


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=1.0).status_code == 200  # hypercorn accepts, and lets them wait
    except httpx.TransportError:
        return False


def uvicorn_takes_a_protocol() -> bool:
    """Whether `uvicorn --http module:Class` works: 0.30 knows only the names of its own."""
    command: Any = importlib.import_module("uvicorn.main").main
    return not any(hasattr(option.type, "choices") for option in command.params if option.name == "http")


@pytest.fixture(params=KINDS.values(), ids=list(KINDS))
def running(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Running, None, None]:
    kind: Kind = request.param
    if importlib.util.find_spec(kind.module) is None:
        pytest.skip(f"{kind.module} is not installed")
    if "HTTPProtocol" in kind.arguments and not uvicorn_takes_a_protocol():
        pytest.skip("this uvicorn's command line takes no protocol of others; uvicorn.run does")
    (tmp_path / "my_app.py").write_text(MODULE)
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", kind.module, *kind.arguments.format(port=port).split()]
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": path})
    server = Running(process, port, tmp_path)
    try:
        server.until(lambda: answers(server.url), "the server has started")
        yield server
    finally:
        process.terminate()  # granian's worker would stay behind otherwise
        try:
            process.wait(SECONDS)
        finally:
            process.kill()
            process.wait()


def test_chunks_are_sent_as_they_are_made_and_connections_are_kept(running: Running) -> None:
    with httpx.Client(base_url=running.url, timeout=SECONDS) as client:
        ports: set[int] = set()
        for _ in range(2):
            with client.stream("POST", "/v1/chat/completions", json=body("wait", stream=True)) as stream:
                assert stream.headers["content-type"].startswith("text/event-stream")
                ports.add(stream.extensions["network_stream"].get_extra_info("client_addr")[1])
                lines = filter(None, stream.iter_lines())
                assert json.loads(next(lines).removeprefix("data: "))["choices"][0]["delta"]["content"] == "once"
                running.go_on()  # here: it has not been told to, and its first chunk is here
                assert [*lines][-1] == "data: [DONE]"
        answer = client.post("/v1/chat/completions", json=body("say"))
        ports.add(answer.extensions["network_stream"].get_extra_info("client_addr")[1])
        assert answer.json()["choices"][0]["message"]["content"] == "once more"
        refused = client.post("/v1/chat/completions", json=body("fail", stream=True))
        ports.add(refused.extensions["network_stream"].get_extra_info("client_addr")[1])
        assert (refused.status_code, refused.headers["retry-after"], refused.json()["error"]["message"]) == (
            429,
            "7",
            "slower, please",
        )
        assert client.head("/health").status_code == 200
        assert client.get("/nothing").status_code == 404
    assert len(ports) == 1


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
def test_a_client_that_leaves_cancels_the_handler(stream: bool, running: Running) -> None:
    data = json.dumps(body("wait", stream=stream)).encode()
    with closing(socket.create_connection(("127.0.0.1", running.port), SECONDS)) as connection:
        connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(data) + data)
        if stream:
            assert b"200" in connection.recv(65536)
        else:
            running.until(lambda: "tokenwire_requests_in_flight 2.0" in figures(running), "the request is under way")
    running.until_file("cancelled")
    running.until(lambda: 'outcome="cancelled"' in figures(running), "the request is counted as cancelled")


def figures(running: Running) -> str:
    return httpx.get(f"{running.url}/metrics", timeout=SECONDS).text


def test_figures(running: Running) -> None:
    for stream in (True, False):
        httpx.post(f"{running.url}/v1/chat/completions", json=body("say", stream=stream), timeout=SECONDS).raise_for_status()
    lines = figures(running).splitlines()
    assert 'tokenwire_requests_total{endpoint="/chat/completions",model="m",outcome="complete",status="200"} 2.0' in lines
    assert 'tokenwire_chunks_total{model="m"} 3.0' in lines
    assert "tokenwire_requests_in_flight 1.0" in lines


def test_a_signal_lets_a_stream_finish_and_ends_the_lifespan(running: Running, tmp_path: Path) -> None:
    running.until_file("lifespan.startup.complete")
    with httpx.Client(timeout=SECONDS) as client:
        with client.stream("POST", f"{running.url}/v1/chat/completions", json=body("wait", stream=True)) as stream:
            lines = filter(None, stream.iter_lines())
            assert "once" in next(lines)
            running.process.send_signal(signal.SIGTERM)
            running.until(lambda: not answers(running.url), "the server accepts no more")
            running.go_on()
            assert [*lines][-1] == "data: [DONE]"
    running.process.wait(SECONDS)
    assert (tmp_path / "lifespan.shutdown.complete").exists()
