"""A lower floor on asyncio and uvloop: `asyncio.BufferedProtocol` in place of `asyncio.Protocol`.

asyncio allocates 256 KB for each read of a `Protocol`, which the C library maps and unmaps by three system calls; a
`BufferedProtocol` reads into a buffer of its own. One buffer serves all connections, for what is in it is taken at once.
"""

import asyncio

from . import floor
from .floor import close as close, read as read, read_first as read_first, whole as whole

READ_BYTES = 256 * 1024
_buffer = memoryview(bytearray(READ_BYTES))


class Connection(floor.Connection, asyncio.BufferedProtocol):
    """A connection and its one reader."""

    def get_buffer(self, sizehint: int) -> memoryview:
        return _buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(_buffer[:nbytes]))


class Client(floor.Client):
    """An address and its idle connections."""

    connection_class = Connection


def connect(base_url: str) -> Client:
    return Client(base_url)
