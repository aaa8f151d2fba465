"""Requests with files: `multipart/form-data` (RFC 7578), with names escaped as browsers do."""

import os
from collections.abc import Iterator, Mapping, Sequence
from secrets import token_hex
from typing import IO, Any, cast

from ..exceptions import refused, wrong

FILES = ("image", "mask")  # the parameters that are files
_EXPECTED = "bytes, an open binary file, a pathlib.Path, or (name, one of these[, content type])"
_ESCAPES = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})

# The first bytes of the image formats that endpoints take.
_KINDS = (
    (b"\x89PNG\r\n\x1a\n", "png", "image/png"),
    (b"\xff\xd8\xff", "jpg", "image/jpeg"),
    (b"GIF8", "gif", "image/gif"),
    (b"RIFF", "webp", "image/webp"),
)


def form_of(fields: Mapping[str, Any]) -> tuple[str, bytes]:
    """The content type and the body of a request with these fields; those in `FILES` are files, or lists of files.

    Files are read here; an open file's position is restored. Several under one name are sent as `name[]`, as by OpenAI's own
    client.

    Raises:
        BadRequestError: a file can't be read, or is empty; the message names it.
    """
    boundary = token_hex(16)
    parts: list[bytes] = []
    for name, value in fields.items():
        if name not in FILES:
            parts += [_part(boundary, field, text.encode()) for field, text in _texts(name, value)]
        elif isinstance(value, list):
            several = cast("list[object]", value)
            parts += [_file(boundary, f"{name}[]", file, f"{name}[{index}]") for index, file in enumerate(several)]
        else:
            parts.append(_file(boundary, name, value, name))
    return f"multipart/form-data; boundary={boundary}", b"".join([*parts, f"--{boundary}--\r\n".encode()])


def _texts(name: str, value: object) -> Iterator[tuple[str, str]]:
    """A value as form fields; each item of lists and mappings is a field, as with OpenAI's own client."""
    if isinstance(value, bool):
        yield name, "true" if value else "false"
    elif isinstance(value, Mapping):
        for key, item in cast("Mapping[str, object]", value).items():
            yield from _texts(f"{name}[{key}]", item)
    elif isinstance(value, list | tuple):
        for item in cast("Sequence[object]", value):
            yield from _texts(f"{name}[]", item)
    elif value is not None:
        yield name, str(value)


def _file(boundary: str, field: str, file: object, where: str) -> bytes:
    name, content, content_type = (None, file, None)
    if isinstance(file, tuple):
        name, content, content_type = (*cast("tuple[Any, ...]", file), None, None, None)[:3]
    data = contents_of(content, where)
    ending, kind = next(
        ((end, kind) for start, end, kind in _KINDS if data.startswith(start)), ("bin", "application/octet-stream")
    )
    shown = str(name or _name_of(content) or f"{where.partition('[')[0]}.{ending}")
    return _part(boundary, field, data, f'; filename="{shown.translate(_ESCAPES)}"', content_type or kind)


def _part(boundary: str, field: str, data: bytes, more: str = "", content_type: str | None = None) -> bytes:
    head = f'--{boundary}\r\ncontent-disposition: form-data; name="{field.translate(_ESCAPES)}"{more}\r\n'
    if content_type is not None:
        head += f"content-type: {content_type.translate(_ESCAPES)}\r\n"
    return head.encode() + b"\r\n" + data + b"\r\n"


def contents_of(file: object, where: str) -> bytes:
    """The content of a file. The position of an open one is restored, for later reads.

    Raises:
        BadRequestError: it can't be read, or is empty.
    """
    if isinstance(file, bytes | bytearray | memoryview):
        data: object = bytes(file)
    elif isinstance(file, os.PathLike):
        data = _read(cast("os.PathLike[str]", file), where)
    elif hasattr(file, "read"):
        data = _read_on(cast("IO[bytes]", file))
    else:
        raise wrong(where, _EXPECTED, type(file))
    if not isinstance(data, bytes):
        raise refused(where.partition("[")[0], f"{where} must be {_EXPECTED}: it was opened as text")
    if not data:
        raise refused(where.partition("[")[0], f"{where} is empty, or has been read to its end before")
    return data


def _read(path: "os.PathLike[str]", where: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise refused(where.partition("[")[0], f"{where} can't be read: {error}") from error


def _read_on(file: IO[bytes]) -> bytes:
    if not (hasattr(file, "seekable") and file.seekable()):
        return file.read()
    at = file.tell()
    try:
        return file.read()
    finally:
        file.seek(at)


def _name_of(file: object) -> str | None:
    name = file if isinstance(file, os.PathLike) else getattr(file, "name", None)
    return os.path.basename(cast("str | os.PathLike[str]", name)) if isinstance(name, str | os.PathLike) else None
