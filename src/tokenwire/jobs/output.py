"""A batch's output: appended lines, which the next run reads. No event loop here.

A line is written at once and as a whole, so that a killed process loses nothing that was written; `sync` makes it durable
against a power cut. An incomplete last line, without its line break, is cut off by the next run. For a compressed file the
same holds for groups of lines, from one `sync` to the next: see `members`. A result's `id` has the number of its input line,
which identifies the lines that are done; its custom_id shows whether the input is the same. The file is locked while it is
open; the lock ends with the process, however that ends.

Of an answered line as written by `Batch`, the next run reads only the beginning and the end, which have everything it needs:
that takes a fraction of the time of parsing the answer. Every other line is parsed.
"""

import io
import os
import re
import sys
import zlib
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from ..exceptions import refused
from .members import member, members

ID = "batch_req_"  # a result's id: this, and the line's number
TRUNCATED = ("length", "max_tokens", "incomplete")  # how a choice, a message and a response show that a limit cut them short
_TRUNCATED = tuple(f'"{word}"'.encode() for word in TRUNCATED)
READ_BYTES = 1 << 17

# Matches lines of answers: number and id. `,"error":null}` at an object's end can only be its own last field.
_answered = re.compile(rb'^\{"id":"batch_req_([1-9][0-9]*)","custom_id":"([^"\\\n]+)".*,"error":null\}$', re.MULTILINE)


class _Choice(msgspec.Struct, gc=False):
    finish_reason: Any = None


class _Written(msgspec.Struct, gc=False):
    """The fields that are read of a written result."""

    id: str
    custom_id: str
    error: dict[str, Any] | str | None = None


_decoder = msgspec.json.Decoder(_Written)


class Done:
    """The input lines that have a result, with 4 bytes each, and counts of their results.

    Attributes:
        count, failed, truncated: how many have a result, and how many of these are failed or truncated.
    """

    def __init__(self) -> None:
        self._marks = array("I")  # by line number: the checksum of the line's id, 0 for no result
        self.count: int = 0
        self.failed: int = 0
        self.truncated: int = 0

    def add_all(self, numbers: list[int], custom_ids: Iterable[bytes]) -> int | None:
        """Note lines. Returns the number of the first that was noted before, None if all are new."""
        marks, most = self._marks, max(numbers)
        if most >= len(marks):
            marks.extend(bytes(max(most + 1 - len(marks), len(marks) // 16)))
        for number, crc in zip(numbers, map(zlib.crc32, custom_ids), strict=True):
            if marks[number]:
                return number
            marks[number] = crc or 1
        self.count += len(numbers)
        return None

    def marks_of(self, number: int, count: int) -> "array[int] | None":
        """The marks of `count` lines from `number` on, None if not all of them have a result."""
        marks = self._marks[number : number + count]
        return None if len(marks) < count or 0 in marks else marks

    def mark_of(self, number: int) -> int:
        """The mark of a line's result, which is that of its id; 0 if it has none."""
        return self._marks[number] if number < len(self._marks) else 0


def mark(custom_id: bytes) -> int:
    """The checksum of an id, above 0."""
    return zlib.crc32(custom_id) or 1


class Output:
    """A file of results, or standard output for "-", which the next run can't read.

    Raises:
        BadRequestError: it can't be opened, another process has locked it, or it has other content than results.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.is_stdout: bool = path == "-"
        if path.endswith(".zst"):
            raise refused("output", f"{path}: the output can be .gz, or uncompressed")
        self._is_gzip = path.endswith(".gz")
        self._pending: deque[bytes] = deque()  # lines of the next gzip member
        self._file = sys.stdout.fileno() if self.is_stdout else _opened(path)
        self._is_dirty = False

    def read(self, done: Done, *, keep_failed: bool = True) -> None:
        """Note the lines that are done, and cut off an incomplete end.

        Args:
            keep_failed: whether to keep failed lines; otherwise they are removed, to be tried again.
        """
        if self.is_stdout:
            return
        kept: Callable[[bytes], object] | None = None
        copy: int | None = None
        if not keep_failed:
            copy = _opened(f"{self.path}.part", fresh=True)
            kept = self._pending.append
        place = end = 0
        for data, end in members(self._file, self.path) if self._is_gzip else _whole_lines(self._file):  # noqa: B007
            if kept is not None or not self._note_answered(done, data):
                for number, line in enumerate(io.BytesIO(data), start=place + 1):
                    self._note(done, number, line, kept)
            place += data.count(b"\n")
            if copy is not None:
                self._write_pending(copy)
        if copy is None:
            if os.fstat(self._file).st_size > end:
                os.ftruncate(self._file, end)
        else:
            os.fsync(copy)
            os.replace(f"{self.path}.part", self.path)
            os.close(self._file)
            self._file = copy
            _sync_folder(self.path)

    def _note_answered(self, done: Done, data: bytes) -> bool:
        """Note many lines at once; False if one of them is not an answer, or may be truncated."""
        found = _answered.findall(data)
        if len(found) != data.count(b"\n") or b"\0" in data or _may_be_truncated(data):  # zeros are what a power cut leaves
            return False
        numbers, custom_ids = zip(*found, strict=True)
        self._check(done.add_all(list(map(int, numbers)), custom_ids))
        return True

    def _note(self, done: Done, place: int, data: bytes, kept: Callable[[bytes], object] | None) -> None:
        seen = None if b"\0" in data else _answered.match(data)
        number, custom_id, failed = self._parsed(place, data) if seen is None else (int(seen[1]), seen[2], False)
        if kept is not None:
            if failed:
                return
            kept(data)
        self._check(done.add_all([number], [custom_id]))
        if failed:
            done.failed += 1
        elif is_truncated(data):
            done.truncated += 1

    def _check(self, doubled: int | None) -> None:
        if doubled is not None:
            raise refused("output", f"{self.path} has two results of line {doubled}")

    def _parsed(self, place: int, data: bytes) -> tuple[int, bytes, bool]:
        """The number and id of a result, and whether it failed."""
        try:
            found = _decoder.decode(data)
            prefix, number = found.id[: len(ID)], int(found.id[len(ID) :])
            if prefix != ID or number < 1:
                raise ValueError
        except (msgspec.MsgspecError, ValueError):
            raise refused("output", f"{self.path}, line {place} is not a result of a batch: write to another file") from None
        return number, found.custom_id.encode(), found.error is not None

    def append(self, line: bytes) -> None:
        """Write a result; to a compressed file together with others, when it is synced."""
        if self._is_gzip:
            self._pending.append(line)
        else:
            write_all(self._file, line)
        self._is_dirty = True

    def sync(self) -> None:
        """Make what was written durable against a power cut. Blocks; meanwhile lines may be appended in another thread."""
        if self._is_dirty and not self.is_stdout:
            self._is_dirty = False
            self._write_pending(self._file)
            os.fsync(self._file)

    def close(self) -> None:
        """Close the file, which releases the lock."""
        if not self.is_stdout:
            try:
                self._write_pending(self._file)
            finally:
                os.close(self._file)

    def _write_pending(self, file: int) -> None:
        lines = [self._pending.popleft() for _ in range(len(self._pending))]
        if lines:
            data = b"".join(lines)
            write_all(file, member(data) if self._is_gzip else data)


class _Body(msgspec.Struct, gc=False):
    choices: list[_Choice] = msgspec.field(default_factory=list[_Choice])
    stop_reason: Any = None
    status: Any = None


class _Response(msgspec.Struct, gc=False):
    body: _Body


class _Answer(msgspec.Struct, gc=False):
    response: _Response


def _may_be_truncated(data: bytes) -> bool:
    """Whether one of the words is in the data: a very cheap check."""
    return any(word in data for word in _TRUNCATED)


def is_truncated(result: bytes) -> bool:
    """Whether an answer, or one of its choices, was cut short by a limit."""
    if not _may_be_truncated(result):  # the usual case
        return False
    try:
        answer = msgspec.json.decode(result, type=_Answer)
    except msgspec.ValidationError:
        return False
    body = answer.response.body
    return any(end in TRUNCATED for end in (body.stop_reason, body.status, *(choice.finish_reason for choice in body.choices)))


def write_all(file: int, data: bytes) -> None:
    """Write all of it."""
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _opened(path: str, *, fresh: bool = False) -> int:
    """The file, locked, at its end."""
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | (os.O_TRUNC if fresh else 0) | getattr(os, "O_BINARY", 0)
    try:
        file = os.open(path, flags, 0o644)
    except OSError as error:
        raise refused("output", f"{path}: {error.strerror}") from None
    try:
        _lock(file, path)
        if os.fstat(file).st_ino != os.stat(path).st_ino:  # replaced at the same moment
            raise refused("output", f"{path}: another process writes to it")
        if not fresh:
            _sync_folder(path)
    except BaseException:
        os.close(file)
        raise
    return file


def _lock(file: int, path: str) -> None:
    try:
        import fcntl
    except ImportError:  # on Windows, the user has to take care
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise refused("output", f"{path}: another process writes to it") from None


def _sync_folder(path: str) -> None:
    """Make the file's name durable against a power cut."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    folder = os.open(Path(path).absolute().parent, os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _whole_lines(file: int) -> Iterator[tuple[bytes, int]]:
    """A file's lines from its beginning, a block at a time, and the block's end; without an incomplete last line."""
    pieces: list[bytes] = []
    position = 0
    os.lseek(file, 0, os.SEEK_SET)
    while data := os.read(file, READ_BYTES):
        end = data.rfind(b"\n") + 1
        position += len(data)
        if not end:
            pieces.append(data)
            continue
        yield b"".join((*pieces, data[:end])), position - len(data) + end
        pieces = [data[end:]]
