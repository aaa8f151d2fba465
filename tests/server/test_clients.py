"""Real clients on real sockets: openai's, this library's own, curl. uvicorn serves on asyncio, hypercorn on trio."""

import json
import random
import shutil
import socket
import subprocess
from collections.abc import Callable
from typing import Any

import anyio
import anyio.to_thread
import httpx
import openai
import pytest

import tokenwire
from tokenwire import CustomLLM, CustomLLMError, EmbeddingResponse, GenericStreamingChunk, Usage
from tokenwire.server import create_app

from ..conftest import PATIENCE

pytestmark = pytest.mark.anyio

MESSAGES: Any = [{"role": "user", "content": "Hi"}]
WORDS = ["Hel", "lo, ", "wörld", "!"]
TEXT = "".join(WORDS)


class Handler(CustomLLM):
    """Says hello, or what is asked for."""

    async def astreaming(self, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        asked = kwargs["messages"][-1]["content"]
        if asked == "fail":
            raise CustomLLMError(403, "not you")
        for word in WORDS:
            yield GenericStreamingChunk(text=word)
            if asked == "fail later":
                raise CustomLLMError(429, "enough")
        usage = Usage(prompt_tokens=1, completion_tokens=4, total_tokens=5)
        yield GenericStreamingChunk(is_finished=True, finish_reason="stop", usage=usage)

    async def aembedding(self, *args: Any, **kwargs: Any) -> Any:
        return EmbeddingResponse(data=[{"embedding": [0.5, -1.0]}])  # type: ignore[list-item]


@pytest.fixture
def app() -> Any:
    return create_app({"m": Handler()}, api_keys=["sk-test"])


@pytest.mark.filterwarnings(
    "ignore:Async generator '(http|openai):ResourceWarning"
)  # openai leaves its responses' iterators open
async def test_openais_async_client(app: Any, served: Any) -> None:
    async with (
        served(app) as url,
        openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="sk-test", max_retries=0) as client,
    ):
        completion = await client.chat.completions.create(model="m", messages=MESSAGES)
        assert completion.choices[0].message.content == TEXT

        stream = await client.chat.completions.create(
            model="m", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == TEXT
        assert chunks[-1].usage is not None
        assert chunks[-1].usage.total_tokens == 5

        async with client.chat.completions.stream(model="m", messages=MESSAGES) as events:
            final = await events.get_final_completion()
        assert final.choices[0].message.content == TEXT

        assert [model.id async for model in await client.models.list()] == ["m"]
        assert (await client.models.retrieve("m")).id == "m"
        embeddings = await client.embeddings.create(model="m", input="a")  # asks for base64 on its own account
        assert embeddings.data[0].embedding == [0.5, -1.0]
        legacy = await client.completions.create(model="m", prompt="Hi")
        assert legacy.choices[0].text == TEXT


async def test_openais_errors(app: Any, served: Any) -> None:
    async with (
        served(app) as url,
        openai.AsyncOpenAI(base_url=url, api_key="sk-test", max_retries=0) as client,
    ):
        for stream in (False, True):
            with pytest.raises(openai.PermissionDeniedError, match="not you"):
                await client.chat.completions.create(model="m", messages=[{"role": "user", "content": "fail"}], stream=stream)
        with pytest.raises(openai.NotFoundError) as unknown:
            await client.chat.completions.create(model="q", messages=MESSAGES)
        assert (unknown.value.code, unknown.value.param) == ("model_not_found", "model")
        assert unknown.value.request_id is not None
        with pytest.raises(openai.AuthenticationError):
            await client.with_options(api_key="sk-other").models.list()
        stream = await client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "fail later"}], stream=True
        )
        with pytest.raises(openai.APIError, match="enough") as later:
            [chunk async for chunk in stream]
        assert later.value.code == "429"


async def test_openais_sync_client(app: Any, served: Any) -> None:
    def use(url: str) -> None:
        with openai.OpenAI(base_url=f"{url}/v1", api_key="sk-test", max_retries=0) as client:
            stream = client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
            assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == TEXT
            with client.chat.completions.stream(model="m", messages=MESSAGES) as events:
                assert events.get_final_completion().choices[0].finish_reason == "stop"

    async with served(app) as url:
        await anyio.to_thread.run_sync(use, url)


async def test_tokenwires_own_client(app: Any, served: Any) -> None:
    async with served(app) as url, tokenwire.AsyncClient(api_base=f"{url}/v1", api_key="sk-test", num_retries=0) as client:
        reply = await client.acompletion("openai/m", MESSAGES)
        assert reply.choices[0].message.content == TEXT
        assert reply.request_id is not None
        async with client.astreaming("openai/m", MESSAGES, stream_options={"include_usage": True}) as stream:
            assert "".join([chunk.text async for chunk in stream]) == TEXT
        assert stream.outcome == "complete"
        assert stream.usage is not None
        with pytest.raises(tokenwire.RateLimitError, match="enough") as later:
            async with client.astreaming("openai/m", [{"role": "user", "content": "fail later"}]) as stream:
                [chunk async for chunk in stream]
        assert later.value.partial.choices[0].message.content == WORDS[0]
        assert [model.id for model in (await client.alist_models()).data] == ["m"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
async def test_curl(app: Any, served: Any) -> None:
    def curl(url: str) -> bytes:
        body = json.dumps({"model": "m", "messages": MESSAGES, "stream": True})
        command = [
            "curl",
            "-sN",
            "--noproxy",
            "*",
            f"{url}/v1/chat/completions",
            "-H",
            "Authorization: Bearer sk-test",
            "-d",
            body,
        ]
        return subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE).stdout

    async with served(app) as url:
        lines = (await anyio.to_thread.run_sync(curl, url)).splitlines()
    assert lines[-2:] == [b"data: [DONE]", b""]
    assert b'"content":"Hel"' in lines[0]


class Counted:
    """A handler that streams until it is left, and counts how many of it run."""

    def __init__(self) -> None:
        self.running = 0
        self.started = 0
        self.nobody = anyio.Event()

    async def __call__(self, **_: Any) -> Any:
        self.running += 1
        self.started += 1
        try:
            while True:
                yield "word " * 20
                await anyio.sleep(0.002)
        finally:
            self.running -= 1
            if self.running == 0:
                self.nobody.set()
                self.nobody = anyio.Event()

    async def until_nobody_runs(self) -> None:
        with anyio.fail_after(PATIENCE):
            while self.running:
                await self.nobody.wait()


async def test_clients_that_leave_at_any_moment_leave_nothing_behind(served: Any) -> None:
    """A soak: two hundred streams at once, left before the answer, in its head, or anywhere in it."""
    handler, chance = Counted(), random.Random(7)
    app = create_app({"m": handler})
    body = json.dumps({"model": "m", "messages": MESSAGES, "stream": True}).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body)

    async def come_and_go(port: int) -> None:
        async with await anyio.connect_tcp("127.0.0.1", port) as connection:
            await connection.send(head + body)
            for _ in range(chance.randrange(4)):
                await connection.receive(chance.choice([1, 100, 65536]))
            if chance.random() < 0.5:
                connection.extra_attributes[anyio.abc.SocketAttribute.raw_socket]().setsockopt(
                    socket.SOL_SOCKET,
                    socket.SO_LINGER,
                    b"\1\0\0\0\0\0\0\0",  # with a reset
                )

    async with served(app) as url:
        port = int(url.rsplit(":", 1)[1])
        async with anyio.create_task_group() as clients:
            for _ in range(200):
                clients.start_soon(come_and_go, port)
        await handler.until_nobody_runs()
        async with httpx.AsyncClient() as client:  # and it goes on serving
            assert (await client.get(f"{url}/health")).status_code == 200
    assert app.in_flight == 0


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_a_client_that_leaves_cancels_the_handler(stream: bool, served: Any, gone: Callable[[], Any]) -> None:
    began, witness = anyio.Event(), gone()

    async def handler(**_: Any) -> Any:
        with witness():
            yield "a"
            began.set()
            await anyio.sleep_forever()

    async with served(create_app({"m": handler})) as url:
        async with anyio.create_task_group() as tasks:

            async def ask() -> None:
                async with httpx.AsyncClient() as client:
                    await client.post(f"{url}/chat/completions", json={"model": "m", "messages": MESSAGES, "stream": stream})

            tasks.start_soon(ask)
            await began.wait()
            tasks.cancel_scope.cancel()
        with anyio.fail_after(PATIENCE):
            await witness.left.wait()


async def test_a_reader_that_stops_stops_the_handler(served: Any) -> None:
    yielded, moved = 0, anyio.Event()

    async def handler(**_: Any) -> Any:
        nonlocal yielded, moved
        while True:
            yielded += 1
            moved.set()
            yield "x" * 10_000
            await anyio.lowlevel.checkpoint()

    body = json.dumps({"model": "m", "messages": MESSAGES, "stream": True}).encode()
    async with served(create_app({"m": handler}, keepalive_seconds=0.05)) as url:
        async with await anyio.connect_tcp("127.0.0.1", int(url.rsplit(":", 1)[1])) as connection:
            await connection.send(
                b"POST /chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body
            )
            await connection.receive()
            still = False
            while not still:  # the sockets' buffers fill up, and then nothing moves
                moved = anyio.Event()
                with anyio.move_on_after(0.3) as waiting:
                    await moved.wait()
                still = waiting.cancelled_caught
            assert yielded * 10_000 < 32 * 1024 * 1024
            before = yielded
            for _ in range(200):
                await connection.receive()
            assert yielded > before
