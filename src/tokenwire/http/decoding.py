"""Compressed bodies, decompressed as they come, a bounded piece at a time."""

import zlib

import httpx

PIECE_BYTES = 256 * 1024  # the most that one step may decompress to: a small body can stand for a very large one


class Inflater:
    """Decompresses gzip and deflate (RFC 9110, 8.4.1), without I/O.

    Feed it compressed bytes, then take what they come to until it gives b"".

    Args:
        encoding: "gzip", "x-gzip" or "deflate".
    """

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 32)  # gzip or zlib, by its header
        self._waiting = b""
        self._begun = False

    def feed_data(self, data: bytes) -> None:
        """Take in compressed bytes."""
        self._waiting += data

    def take(self) -> bytes:
        """The next decompressed bytes; b"" when more must be fed first.

        Raises:
            httpx.DecodingError: the bytes are not what `encoding` says.
        """
        while self._waiting and not self._inflate.eof:
            try:
                data = self._inflate.decompress(self._waiting, PIECE_BYTES)
            except zlib.error as error:
                if self._begun or self._encoding != "deflate":
                    raise httpx.DecodingError(f"the body is not valid {self._encoding}: {error}") from error
                self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)  # some servers leave out deflate's zlib header
                self._begun = True
                continue
            self._begun = True
            self._waiting = self._inflate.unconsumed_tail
            if data:
                return data
        return b""

    def feed_eof(self) -> None:
        """The body has ended.

        Raises:
            httpx.DecodingError: in the middle of the compressed data.
        """
        if self._begun and not self._inflate.eof:
            raise httpx.DecodingError(f"the {self._encoding} body ended before it was complete")


def inflater_for(encoding: str) -> Inflater | None:
    """What undoes a `content-encoding`; None where there is nothing to undo.

    Raises:
        httpx.DecodingError: nobody asked for this encoding, and nothing here undoes it.
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return None
    if encoding in ("gzip", "x-gzip", "deflate"):
        return Inflater(encoding)
    raise httpx.DecodingError(f"the body is compressed by {encoding!r}, which was not asked for")
