"""A compressed output: gzip members, one after the other, which every tool reads as one file (RFC 1952, 2.2).

Each holds whole lines, a group at a time, so what a kill or a power cut leaves of the last one is cut off as a torn line is.
"""

import os
import zlib
from collections.abc import Iterator

from ..exceptions import refused

GZIP = 31  # zlib's word for gzip's header and check sum
LEVEL = 6
READ_BYTES = 1 << 17


def member(data: bytes) -> bytes:
    """The data, compressed."""
    compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, GZIP)
    return compressor.compress(data) + compressor.flush()


def members(file: int, path: str) -> Iterator[tuple[bytes, int]]:
    """What each whole member of a file holds, and where it ends.

    Raises:
        BadRequestError: it is not gzip's, or damaged elsewhere than at its end.
    """
    os.lseek(file, 0, os.SEEK_SET)
    member_end = position = 0
    pieces: list[bytes] = []
    decompressor = zlib.decompressobj(GZIP)
    while data := os.read(file, READ_BYTES):
        position += len(data)
        while data:
            if not pieces and data[0] == 0 and member_end:
                return  # zeros are what a power cut leaves
            try:
                pieces.append(decompressor.decompress(data))
            except zlib.error as error:
                where = f"is damaged after byte {member_end}" if member_end else "is not gzip's"
                raise refused("output", f"{path} {where}: {error}") from None
            data = decompressor.unused_data
            if decompressor.eof:
                member_end = position - len(data)
                yield b"".join(pieces), member_end
                pieces, decompressor = [], zlib.decompressobj(GZIP)
