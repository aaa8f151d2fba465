"""Compressed bodies, decompressed as they come, a bounded piece at a time."""

import importlib
import zlib
from functools import cache
from typing import Any, TypeAlias

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
        self._inflate: Any = None
        self._waiting = b""
        self._is_full = False  # the last piece was as large as a piece may be, so more may be held back

    def feed_data(self, data: bytes) -> None:
        """Take in compressed bytes."""
        self._waiting += data

    def take(self) -> bytes:
        """The next decompressed bytes; b"" when more must be fed first.

        Raises:
            httpx.DecodingError: the bytes are not what `encoding` says.
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
            httpx.RemoteProtocolError: in the middle of the compressed data.
        """
        if self._waiting or (self._inflate is not None and not self._inflate.eof):
            raise _cut_short(self._encoding)

    def _begin(self) -> bool:
        """Whether there is something to decompress with; its kind is told from the first two bytes."""
        if self._inflate is None or (self._inflate.eof and self._waiting):  # gzip may come in several members
            if len(self._waiting) < 2:
                return False
            self._inflate = zlib.decompressobj(_window_bits(self._encoding, self._waiting))
        return True


class BrotliInflater:
    """Decompresses br (RFC 7932) as `Inflater` does the others.

    Its library rounds a piece's bound up to its own blocks: a piece is shorter than twice `PIECE_BYTES`.

    Args:
        brotli: what `bounded_brotli` found.
    """

    def __init__(self, brotli: Any) -> None:
        self._error: type[Exception] = brotli.error
        self._inflate: Any = brotli.Decompressor()
        self._waiting = b""
        self._has_begun = False
        self._has_more = False

    def feed_data(self, data: bytes) -> None:
        """Take in compressed bytes."""
        self._waiting += data

    def take(self) -> bytes:
        """The next decompressed bytes; b"" when more must be fed first.

        Raises:
            httpx.DecodingError: the bytes are no br, or go on behind its end.
        """
        while self._waiting or self._has_more:
            compressed = b""
            if self._inflate.can_accept_more_data():  # else what it holds back must be taken first
                compressed, self._waiting = self._waiting, b""
                self._has_begun = True
            try:
                data: bytes = self._inflate.process(compressed, output_buffer_limit=PIECE_BYTES)
            except self._error as error:
                raise httpx.DecodingError(f"the body is not valid br: {error}") from error
            self._has_more = bool(compressed or data)  # perhaps: it does not say
            if data:
                return data
        return b""

    def feed_eof(self) -> None:
        """The body has ended. Raises as `Inflater.feed_eof` does."""
        if self._has_begun and not self._inflate.is_finished():
            raise _cut_short("br")


AnyInflater: TypeAlias = Inflater | BrotliInflater


def _cut_short(encoding: str) -> httpx.RemoteProtocolError:
    return httpx.RemoteProtocolError(f"the {encoding} body ended before it was complete")


def _window_bits(encoding: str, data: bytes) -> int:
    if encoding != "deflate":
        return zlib.MAX_WBITS | 16
    # Some servers leave out deflate's zlib header (RFC 1950, 2.2).
    is_zlib = data[0] & 0x0F == zlib.DEFLATED and int.from_bytes(data[:2], "big") % 31 == 0
    return zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS


@cache
def bounded_brotli() -> Any:
    """The library for br, of those that are installed the first that can bound its pieces; None where none can."""
    for name in ("brotli", "brotlicffi"):
        try:
            library = importlib.import_module(name)
        except ImportError:
            continue
        if hasattr(library.Decompressor, "can_accept_more_data"):  # since 1.2, with `output_buffer_limit`
            return library
    return None


@cache
def accepted_encodings() -> str:
    """What to offer in `accept-encoding`."""
    return "gzip, deflate" if bounded_brotli() is None else "gzip, deflate, br"


def inflater_for(encoding: str) -> AnyInflater | None:
    """What undoes a `content-encoding`; None where there is nothing to undo.

    Raises:
        httpx.DecodingError: nobody asked for this encoding, and nothing here undoes it.
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return None
    if encoding in ("gzip", "x-gzip", "deflate"):
        return Inflater(encoding)
    if encoding == "br" and (brotli := bounded_brotli()) is not None:
        return BrotliInflater(brotli)
    raise httpx.DecodingError(f"the body is compressed by {encoding!r}, which was not asked for")
