"""The byte stream under the endpoint, which anyio's own stream is the model for."""

import socket
from collections.abc import Iterator

import anyio
import anyio.abc
import pytest

from tokenwire.testing._socket import SocketStream

pytestmark = pytest.mark.anyio


@pytest.fixture
def pair() -> Iterator[tuple[SocketStream, SocketStream]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far = listener.accept()[0]
    with near, far:
        yield SocketStream(near), SocketStream(far)


async def test_bytes_pass(pair):
    near, far = pair
    await near.send(b"hello")
    assert await far.receive() == b"hello"
    await near.send(b"hello")
    assert [await far.receive(2) for _ in range(3)] == [b"he", b"ll", b"o"]


async def test_more_bytes_pass_than_the_kernel_holds(pair):
    near, far = pair
    data = bytes(range(256)) * 100_000
    received = b""
    async with anyio.create_task_group() as group:
        group.start_soon(near.send, data)
        while len(received) < len(data):
            received += await far.receive(1_000_000)
    assert received == data


async def test_half_a_close_is_a_fin(pair):
    near, far = pair
    await near.send_eof()
    with pytest.raises(anyio.EndOfStream):
        await far.receive()
    await far.send(b"still here")
    assert await near.receive() == b"still here"


async def test_a_close_is_a_fin(pair):
    near, far = pair
    await near.send(b"bye")
    await near.aclose()
    assert await far.receive() == b"bye"
    with pytest.raises(anyio.EndOfStream):
        await far.receive()


async def test_a_reset_is_no_fin(pair):
    near, far = pair
    near.reset()
    with pytest.raises(anyio.BrokenResourceError):
        await far.receive()
    with pytest.raises(anyio.BrokenResourceError):
        await far.send(b"hello")


async def test_closing_again_does_nothing(pair):
    near, _ = pair
    await near.aclose()
    near.reset()
    await near.send_eof()
    await near.aclose()


async def test_the_socket_can_be_asked_for(pair):
    near, far = pair
    assert (
        near.extra(anyio.abc.SocketAttribute.raw_socket).getsockname()
        == far.extra(anyio.abc.SocketAttribute.raw_socket).getpeername()
    )
