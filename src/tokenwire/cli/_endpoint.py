"""The smallest thing that serves a handler over HTTP: one path, one request on each connection, always streamed.

It is there for the demo, whose one client is this library. What is no POST to `/v1/chat/completions` gets a 404.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import anyio
import anyio.abc
import msgspec
from anyio.abc import TaskStatus
from anyio.from_thread import start_blocking_portal
from anyio.streams.buffered import BufferedByteReceiveStream

from tokenwire import ModelResponseStream, acompletion

MAX_HEAD_BYTES = 65536
PATH = b"/v1/chat/completions"

HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-store\r\n"
    b"transfer-encoding: chunked\r\nconnection: close\r\n\r\n"
)
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
END = b"0\r\n\r\n"


@contextmanager
def serve(provider: str) -> Generator[str, None, None]:
    """Serve a registered handler on a free port of the loopback interface, in a thread and an event loop of its own.

    Args:
        provider: the name the handler is registered under.

    Yields:
        The address to pass as `api_base`.
    """
    with start_blocking_portal() as portal:
        serving, port = portal.start_task(_serve, provider)
        try:
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            serving.cancel()


async def _serve(provider: str, *, task_status: TaskStatus[int]) -> None:
    async def answer(connection: anyio.abc.SocketStream) -> None:
        async with connection:
            try:
                await _answer(connection, provider)
            except (anyio.EndOfStream, anyio.IncompleteRead, anyio.DelimiterNotFound, anyio.BrokenResourceError):
                pass  # the client left, or speaks no HTTP

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        task_status.started(listener.extra(anyio.abc.SocketAttribute.local_port))  # noqa: S610  (no Django here)
        await listener.serve(answer)


async def _answer(connection: anyio.abc.SocketStream, provider: str) -> None:
    target, asked = await _receive_request(connection)
    if target != PATH:
        await connection.send(NOT_FOUND)
        return
    await connection.send(HEAD)
    async with await acompletion(f"{provider}/{asked['model']}", asked["messages"], stream=True) as chunks:
        async for chunk in chunks:
            await connection.send(_event(_encode(chunk)))
    await connection.send(_event(b"[DONE]") + END)


async def _receive_request(connection: anyio.abc.SocketStream) -> tuple[bytes, dict[str, Any]]:
    """The request's target, b"" where it is no POST, and its body."""
    incoming = BufferedByteReceiveStream(connection)
    head = await incoming.receive_until(b"\r\n\r\n", MAX_HEAD_BYTES)
    first, *lines = head.split(b"\r\n")
    method, target, *_ = [*first.split(b" "), b""]
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
    if method != b"POST":
        return b"", {}
    return target, msgspec.json.decode(await incoming.receive_exactly(int(headers[b"content-length"])))


def _encode(chunk: ModelResponseStream) -> bytes:
    return chunk.model_dump_json(exclude_none=True).encode()


def _event(data: bytes) -> bytes:
    """A server-sent event as one piece of a chunked body."""
    event = b"data: " + data + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(event), event)
