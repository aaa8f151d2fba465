"""A compressed output: consecutive gzip members, which every tool reads as one file (RFC 1952, 2.2).

Each has a group of whole lines. An incomplete last member, after a kill or a power cut, is cut off like an incomplete line.
"""

import os
import zlib
from collections.abc import Iterator

from ..exceptions import refused

GZIP = 31  # zlib's `wbits` for gzip's header and checksum
LEVEL = 6
READ_BYTES = 1 << 17


def member(data: bytes) -> bytes:
    """The data, compressed."""
    compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, GZIP)
    return compressor.compress(data) + compressor.flush()


def members(file: int, path: str) -> Iterator[tuple[bytes, int]]:
    """The data of each complete member of a file, and its end.

    Raises:
        BadRequestError: it is not in gzip's format, or is damaged before its end.
    """
    os.lseek(file, 0, os.SEEK_SET)
    member_end = position = 0
    pieces: list[bytes] = []
    decompressor = zlib.decompressobj(GZIP)
    while data := os.read(file, READ_BYTES):
        position += len(data)
        while data:
            if not pieces and data[0] == 0 and member_end:
                return  # a power cut may leave zeros
            try:
                pieces.append(decompressor.decompress(data))
            except zlib.error as error:
                where = f"is damaged after byte {member_end}" if member_end else "is not in gzip's format"
                raise refused("output", f"{path} {where}: {error}") from None
            data = decompressor.unused_data
            if decompressor.eof:
                member_end = position - len(data)
                yield b"".join(pieces), member_end
                pieces, decompressor = [], zlib.decompressobj(GZIP)
