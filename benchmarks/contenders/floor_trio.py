"""The floor on trio: the same as on asyncio, over trio's own socket streams."""

from typing import Any

import trio

from . import floor
from .floor import (
    close as close,
    read as read,
    read_first as read_first,
    read_handler as read_handler,
    read_handler_kind as read_handler_kind,
    read_kind as read_kind,
    serve_kind as serve_kind,
    whole as whole,
    whole_handler as whole_handler,
)
from .floor_chunks import Response

READ_BYTES = 256 * 1024  # what asyncio's transports read at most


class Connection:
    """A connection and its one reader."""

    def __init__(self, stream: Any) -> None:
        self.response = Response()
        self._stream = stream

    async def receive(self) -> bytes:
        return await self._stream.receive_some(READ_BYTES)

    async def send(self, data: bytes) -> None:
        self.response.begin()
        await self._stream.send_all(data)

    async def aclose(self) -> None:
        with trio.move_on_after(1):
            await self._stream.aclose()


class Client(floor.Client):
    """An address and its idle connections."""

    async def connection(self) -> Any:
        if self.idle:
            return self.idle.pop()
        if self.context is None:
            return Connection(await trio.open_tcp_stream(self.host, self.port))
        return Connection(await trio.open_ssl_over_tcp_stream(self.host, self.port, ssl_context=self.context))


def connect(base_url: str) -> Client:
    return Client(base_url)
