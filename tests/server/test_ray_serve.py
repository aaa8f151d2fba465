"""The app in Ray Serve, on a local cluster. Skipped where Ray Serve is not installed.

The app is made by a function, which Ray runs where it serves: an app has connections, and is not sent to other processes.
"""

import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

serve: Any = pytest.importorskip("ray.serve", reason="Ray Serve is not installed: pip install 'ray[serve]'")
ray: Any = pytest.importorskip("ray")

pytestmark = pytest.mark.filterwarnings("default")  # Ray's own

SECONDS = 60.0  # for anything to happen


@pytest.fixture(autouse=True)
def nothing_left_behind() -> None:
    """Ray keeps threads and sockets in this process."""


def deployment(folder: str) -> Any:
    """A handler that goes on when there is a file, and says by another that it was left."""

    def build() -> Any:
        from pathlib import Path

        import anyio

        from tokenwire.server import create_app

        async def handler(messages: Any) -> Any:
            try:
                yield "once"
                while not await anyio.Path(folder, messages[-1]["content"]).exists():
                    await anyio.sleep(0.01)
                yield " more"
            except BaseException:
                Path(folder, "cancelled").touch()  # noqa: ASYNC240  (what is cancelled must not wait)
                raise

        return create_app({"org/m": handler}, metrics=True)

    return serve.deployment(serve.ingress(build)())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("steps")


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        serve.start(http_options={"host": "127.0.0.1", "port": port})
        serve.run(deployment(str(folder)).bind(), name="llm", route_prefix="/llm")
        yield f"http://127.0.0.1:{port}/llm"
    finally:
        serve.shutdown()
        ray.shutdown()


def body(content: str, **fields: Any) -> dict[str, Any]:
    return {"model": "org/m", "messages": [{"role": "user", "content": content}], **fields}


def test_chunks_are_sent_as_they_are_made(url: str, folder: Path) -> None:
    with (
        httpx.Client(timeout=SECONDS) as client,
        client.stream("POST", f"{url}/v1/chat/completions", json=body("go on", stream=True)) as stream,
    ):
        lines = filter(None, stream.iter_lines())
        assert json.loads(next(lines).removeprefix("data: "))["choices"][0]["delta"]["content"] == "once"
        (folder / "go on").touch()
        assert [*lines][-1] == "data: [DONE]"
        answer = client.post(f"{url}/v1/chat/completions", json=body("go on"))
        assert answer.json()["choices"][0]["message"]["content"] == "once more"


def test_a_client_that_leaves_cancels_the_handler(url: str, folder: Path) -> None:
    with httpx.Client(timeout=SECONDS) as client:
        with client.stream("POST", f"{url}/v1/chat/completions", json=body("never", stream=True)) as stream:
            next(stream.iter_lines())
        until = time.monotonic() + SECONDS
        while not (folder / "cancelled").exists():
            assert time.monotonic() < until, "the handler goes on"
            time.sleep(0.02)


def test_errors_models_and_figures(url: str) -> None:
    with httpx.Client(timeout=SECONDS) as client:
        refused = client.post(f"{url}/v1/chat/completions", json=body("go on", model="q"))
        assert (refused.status_code, refused.json()["error"]["code"]) == (404, "model_not_found")
        assert client.get(f"{url}/v1/models/org/m").json()["id"] == "org/m"
        assert "tokenwire_requests_total" in client.get(f"{url}/metrics").text
