"""A batch's input as bytes: a file, compressed or not, or standard input; its lines in blocks. No event loop here."""

import gzip
import io
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, cast

from ..exceptions import refused

READ_BYTES = 1 << 17
ZSTD = ("compression.zstd", "zstandard")  # in Python 3.14's library, and a package


def open_input(path: str) -> BinaryIO:
    """The input's bytes; "-" is standard input.

    Raises:
        BadRequestError: it can't be opened, or the package to decompress it is not installed.
    """
    if path == "-":
        return sys.stdin.buffer
    try:
        if path.endswith(".gz"):
            return cast(BinaryIO, gzip.open(path, "rb"))
        if path.endswith(".zst"):
            frames = _Frames(_decompressor(path), Path(path).open("rb", buffering=0))  # noqa: SIM115  (closed by it)
            return cast(BinaryIO, io.BufferedReader(frames, READ_BYTES))
        return Path(path).open("rb", buffering=1 << 20)
    except OSError as error:
        raise refused("input", f"{path}: {error.strerror}") from None


def numbered(file: BinaryIO, name: str) -> Iterator[tuple[int, list[bytes]]]:
    """The lines in blocks of some hundreds, each with the number of its first line.

    Raises:
        BadRequestError: the compressed data is truncated or invalid.
    """
    number = 1
    try:
        while lines := file.readlines(READ_BYTES):
            yield number, lines
            number += len(lines)
    except (OSError, EOFError) as error:
        raise refused("input", f"{name}, after line {number - 1}: {error}") from None


def _decompressor(path: str) -> Callable[[], Any]:
    """A function that makes a decompressor for one Zstandard frame."""
    for name in ZSTD:
        try:
            module: Any = import_module(name)
        except ImportError:
            continue
        return module.ZstdDecompressor if hasattr(module, "ZstdFile") else module.ZstdDecompressor().decompressobj
    raise refused("input", f"{path}: .zst needs Python 3.14, or the package zstandard: pip install zstandard")


class _Frames(io.RawIOBase):
    """A file of consecutive Zstandard frames. `zstandard.open` does not detect a truncated file."""

    def __init__(self, new: Callable[[], Any], file: io.RawIOBase) -> None:
        super().__init__()
        self._new = new
        self._file = file
        self._frame: Any = None  # the frame's decompressor, None between two frames
        self._rest = b""  # compressed bytes after it
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        """Always True."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Fill a buffer from one piece of the file."""
        while not self._ready:
            data = self._rest or self._file.read(READ_BYTES)
            if not data:
                if self._frame is not None:
                    raise EOFError("the compressed file ended before the end of a frame")
                return 0
            self._ready = memoryview(self._decompressed(data))
        count = min(len(buffer), len(self._ready))
        buffer[:count], self._ready = self._ready[:count], self._ready[count:]
        return count

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()

    def _decompressed(self, data: bytes) -> bytes:
        frame = self._new() if self._frame is None else self._frame
        try:
            found = frame.decompress(data)
        except Exception as error:  # noqa: BLE001  (each package has a class of its own)
            raise OSError(f"not Zstandard's: {error}") from None
        self._frame, self._rest = (None, frame.unused_data) if frame.eof else (frame, b"")
        return found
