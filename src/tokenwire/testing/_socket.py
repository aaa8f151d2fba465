"""A connected TCP socket as an anyio byte stream that can also be reset.

anyio's own stream always sends a FIN first, so that a client might see an orderly end before the reset, depending on
timing. Here closing and resetting are one system call each.
"""

import contextlib
import os
import socket
import struct
from typing import Any

import anyio
import anyio.abc
import anyio.lowlevel

# l_onoff, l_linger: on, for 0 seconds, so that closing sends a RST. They are shorts on Windows, ints elsewhere.
_NO_LINGER = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)


class SocketStream(anyio.abc.ByteStream):
    """A connected TCP socket.

    Args:
        raw: the socket; closed with the stream.
    """

    def __init__(self, raw: socket.socket) -> None:
        raw.setblocking(False)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)  # one write is one packet
        self._raw = raw

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """The next bytes.

        Raises:
            anyio.EndOfStream: the peer will send no more.
            anyio.BrokenResourceError: the connection is gone.
        """
        while True:
            await anyio.wait_readable(self._raw)
            try:
                data = self._raw.recv(max_bytes)
            except BlockingIOError:
                continue
            except OSError as error:
                raise anyio.BrokenResourceError from error
            if not data:
                raise anyio.EndOfStream
            return data

    async def send(self, item: bytes) -> None:
        """Write all bytes to the kernel.

        Other tasks may run before the write, but not after it: otherwise a client's reaction to the bytes could be noticed
        before this task has recorded that it wrote them.

        Raises:
            anyio.BrokenResourceError: the connection is gone.
        """
        await anyio.lowlevel.checkpoint()
        rest = memoryview(item)
        while rest:
            try:
                rest = rest[self._raw.send(rest) :]
            except BlockingIOError:
                await anyio.wait_writable(self._raw)
            except OSError as error:
                raise anyio.BrokenResourceError from error

    async def send_eof(self) -> None:
        """Send a FIN and continue to receive."""
        with contextlib.suppress(OSError):
            self._raw.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Close with a RST, so that the peer's next read fails."""
        with contextlib.suppress(OSError):
            self._raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self._raw.close()

    async def aclose(self) -> None:
        """Close with a FIN."""
        self._raw.close()

    @property
    def extra_attributes(self) -> Any:
        """The raw socket, by anyio's attribute for it."""
        return {anyio.abc.SocketAttribute.raw_socket: lambda: self._raw}
