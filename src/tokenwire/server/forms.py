"""Requests with files in them: `multipart/form-data`, read as it arrives.

A file of up to `SPOOLED_BYTES` stays in memory. A larger one moves to a temporary file, which a worker thread writes, and which
the system deletes when it is closed. The body may be as long as any other, and may have `MOST_PARTS` parts.
"""

from collections.abc import Callable
from tempfile import SpooledTemporaryFile
from typing import Any, TypeVar

import anyio.to_thread
import msgspec

from tokenwire import APIError, BadRequestError

from .compression import too_large
from .requests import checked
from .visit import Visit

R = TypeVar("R", bound=msgspec.Struct)

FILES = ("image", "mask")  # the fields that are files
SPOOLED_BYTES = 1024 * 1024  # of each file, in memory
MOST_PARTS = 64


class Upload(SpooledTemporaryFile[bytes]):
    """A file that a client sent: open for reading, at its start.

    Attributes:
        name: what the client calls it.
        content_type: as the client gives it; None if it gives none.
    """

    def __init__(self, name: str, content_type: str | None) -> None:
        super().__init__(SPOOLED_BYTES)
        self._shown = name
        self.content_type: str | None = content_type

    @property
    def name(self) -> str:
        """See the class."""
        return self._shown

    async def append(self, data: bytes) -> None:
        """Write data at the end; in a worker thread if it goes to the disk."""
        if self.tell() + len(data) > SPOOLED_BYTES:
            await anyio.to_thread.run_sync(self.write, data)
        else:
            self.write(data)


class _Part:
    """One part of a form, as far as it has arrived."""

    def __init__(self) -> None:
        self.header = b""
        self.value = b""
        self.headers: dict[bytes, bytes] = {}
        self.text: list[bytes] = []
        self.name = ""
        self.file: Upload | None = None


class _Form:
    """Collects the parts of a form from a parser's callbacks.

    Attributes:
        fields: the complete fields: texts and files, and lists of these for a name that is repeated or ends with "[]".
        arrived: pieces of files that are still to be written.
        ended: whether the last boundary has arrived.
    """

    def __init__(self, keep: Callable[[Upload], None], options_of: Callable[[str], tuple[bytes, dict[bytes, bytes]]]) -> None:
        self.fields: dict[str, Any] = {}
        self.arrived: list[tuple[Upload, bytes]] = []
        self.ended = False
        self._keep, self._options_of = keep, options_of
        self._part = _Part()
        self._count = 0

    def callbacks(self) -> dict[str, Callable[..., None]]:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._open,
            "on_part_data": self._data,
            "on_part_end": self._end_part,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        self._count += 1
        if self._count > MOST_PARTS:
            raise BadRequestError(f"the form has more than {MOST_PARTS} parts", code="invalid_form")
        self._part = _Part()

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._part.header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._part.value += data[start:end]

    def _header_end(self) -> None:
        part = self._part
        part.headers[part.header.lower()] = part.value
        part.header = part.value = b""

    def _open(self) -> None:
        part = self._part
        _, options = self._options_of(part.headers.get(b"content-disposition", b"").decode("latin-1"))
        part.name = options.get(b"name", b"").decode("utf-8", "replace")
        if b"name" not in options:
            raise BadRequestError("a part of the form has no name in its content-disposition", code="invalid_form")
        is_file, given = part.name.removesuffix("[]") in FILES, options.get(b"filename")
        if is_file != (given is not None):
            expected = "a file, with a filename" if is_file else "a text, not a file"
            raise BadRequestError(f"{part.name:.80} must be {expected}", param=part.name.removesuffix("[]"))
        if given is not None:
            content_type = part.headers.get(b"content-type")
            kind = None if content_type is None else content_type.decode("latin-1")
            part.file = Upload(given.decode("utf-8", "replace"), kind)
            self._keep(part.file)

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._part.file is None:
            self._part.text.append(data[start:end])
        else:
            self.arrived.append((self._part.file, data[start:end]))

    def _end_part(self) -> None:
        part, name = self._part, self._part.name.removesuffix("[]")
        value: object = part.file
        if part.file is None:
            try:
                value = b"".join(part.text).decode()
            except UnicodeDecodeError:
                raise BadRequestError(f"{name:.80} is not UTF-8", param=name, code="invalid_form") from None
        if name != part.name or name == "image":
            self.fields.setdefault(name, []).append(value)
        elif name not in self.fields:
            self.fields[name] = value
        elif isinstance(self.fields[name], list):
            self.fields[name].append(value)
        else:  # forms repeat a field for a list
            self.fields[name] = [self.fields[name], value]

    def _end(self) -> None:
        self.ended = True


async def read_form(visit: Visit, max_bytes: int, cls: type[R]) -> tuple[R, dict[str, Any]]:
    """A request's form, as a `cls` and as its fields; numbers and the like are read from their texts.

    The files stay open until the request has ended.

    Raises:
        BadRequestError: it is not a form (415), too long (413), or does not fit a `cls`.
        APIError: this server can't read forms (501).
        ClientLeft: the client left before the end of the form.
    """
    try:
        from python_multipart.exceptions import MultipartParseError
        from python_multipart.multipart import MultipartParser, parse_options_header
    except ImportError:
        message = "this server can't read forms: its extra packages are not installed (tokenwire[server])"
        raise APIError(message, status_code=501, code="not_supported") from None
    media_type, options = parse_options_header(visit.headers.get(b"content-type", b"").decode("latin-1"))
    boundary = options.get(b"boundary")
    if media_type != b"multipart/form-data" or not boundary:
        raise BadRequestError("the body must be multipart/form-data", status_code=415, code="unsupported_media_type")
    form = _Form(visit.uploads.append, parse_options_header)
    parser = MultipartParser(boundary, form.callbacks())  # type: ignore[arg-type]  # a TypedDict of these
    size, more = 0, True
    while more:
        data, more = await visit.next_piece(max_bytes)
        size += len(data)
        if size > max_bytes:
            raise too_large(max_bytes)
        try:
            parser.write(data)
        except MultipartParseError as error:
            raise BadRequestError(f"the body is not a form: {error}", code="invalid_form") from None
        for file, piece in form.arrived:
            await file.append(piece)
        form.arrived.clear()
    if not form.ended:
        raise BadRequestError("the body is not a form: its last boundary is missing", code="invalid_form")
    for file in visit.uploads:
        file.seek(0)
    return checked(form.fields, cls, are_texts=True)
