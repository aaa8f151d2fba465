"""Decompresses bodies as they arrive, a bounded piece at a time."""

import zlib
from typing import Any

import httpx

ACCEPTED_ENCODINGS = "gzip, deflate"  # the value of `accept-encoding`
PIECE_BYTES = 256 * 1024  # the most that one step may decompress: a few bytes can expand to very many


class Inflater:
    """Decompresses gzip and deflate (RFC 9110, 8.4.1), without I/O.

    Feed it compressed bytes, then take the decompressed ones until it returns b"".

    Args:
        encoding: "gzip", "x-gzip" or "deflate".
    """

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._inflate: Any = None
        self._waiting = b""
        self._is_full = False  # the last piece had the largest size, so there may be more

    def feed_data(self, data: bytes) -> None:
        """Take in compressed bytes."""
        self._waiting += data

    def take(self) -> bytes:
        """The next decompressed bytes; b"" when more must be fed first.

        Raises:
            httpx.DecodingError: the bytes are not valid in the encoding.
        """
        while self._begin() and (self._waiting or self._is_full):
            try:
                data: bytes = self._inflate.decompress(self._waiting, PIECE_BYTES)
            except zlib.error as error:
                raise httpx.DecodingError(f"the body is not valid {self._encoding}: {error}") from error
            self._is_full = len(data) == PIECE_BYTES
            self._waiting = self._inflate.unconsumed_tail
            if self._inflate.eof:
                self._waiting = self._inflate.unused_data
            if data:
                return data
        return b""

    def feed_eof(self) -> None:
        """The body has ended.

        Raises:
            httpx.RemoteProtocolError: the compressed data is not complete.
        """
        if self._waiting or (self._inflate is not None and not self._inflate.eof):
            raise httpx.RemoteProtocolError(f"the {self._encoding} body ended before it was complete")

    def _begin(self) -> bool:
        """Whether there is a decompressor; which kind is needed is detected from the first two bytes."""
        if self._inflate is None or (self._inflate.eof and self._waiting):  # gzip data may have several members
            if len(self._waiting) < 2:
                return False
            self._inflate = zlib.decompressobj(_window_bits(self._encoding, self._waiting))
        return True


def _window_bits(encoding: str, data: bytes) -> int:
    if encoding != "deflate":
        return zlib.MAX_WBITS | 16
    # Some servers leave out deflate's zlib header (RFC 1950, 2.2).
    is_zlib = data[0] & 0x0F == zlib.DEFLATED and int.from_bytes(data[:2], "big") % 31 == 0
    return zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS


def inflater_for(encoding: str) -> Inflater | None:
    """The decompressor for a `content-encoding`; None if the body is not compressed.

    Raises:
        httpx.DecodingError: the encoding is not supported; the request did not offer it.
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return None
    if encoding in ("gzip", "x-gzip", "deflate"):
        return Inflater(encoding)
    raise httpx.DecodingError(
        f"the body's content-encoding is {encoding!r}, but accept-encoding offered {ACCEPTED_ENCODINGS!r}"
    )
