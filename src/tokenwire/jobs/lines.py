"""The lines of a batch's input: OpenAI's batch format, or plain ones. No event loop here.

::

    {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {"model": ..., "messages": [...]}}
    {"messages": [...], "temperature": 0, "label": "carried through"}
    {"prompt": "Hi"}
"""

import re
import sys
from array import array
from collections.abc import Callable
from typing import Any, NamedTuple, cast
from zlib import crc32

import msgspec

from ..exceptions import refused
from ..types.params import EMBEDDING_PARAMS, OPENAI_PARAMS, TEXT_PARAMS, CallParams

# By the end of a line's url: the client's method, and the body's field with the content.
ENDPOINTS = {
    "/chat/completions": ("acompletion", "messages"),
    "/completions": ("atext_completion", "prompt"),
    "/embeddings": ("aembedding", "input"),
}
OTHER_WORDS = {"/responses": "input", "/messages": "messages"}  # see `dialects`
KNOWN_URLS = "/v1/chat/completions, /v1/completions, /v1/embeddings, /v1/responses or /v1/messages"
RESULT_FIELDS = ("id", "custom_id", "response", "error")
PARAMS = frozenset({"model", *OPENAI_PARAMS, *TEXT_PARAMS, *EMBEDDING_PARAMS})  # the fields of a plain line that are sent
CALL_PARAMS = frozenset(CallParams.__annotations__)

BOM = b"\xef\xbb\xbf"
BUCKETS = 4096
KEY_BYTES = 8
LONGEST_BEFORE_ID = 64


class Line(NamedTuple):
    """One call of a batch.

    Attributes:
        number: the line's number, 1 for the first.
        custom_id: the caller's id for it.
        method: the client's method that makes the call.
        content: messages, prompt or input.
        params: the body's other fields; for another API, all of them.
        carried: a plain line's further fields, which are copied to the output.
        api: the end of the url, if the body is of another API than chat completions.
    """

    number: int
    custom_id: str
    method: str
    content: object
    params: dict[str, Any]
    carried: dict[str, Any]
    api: str = ""


class _Head(msgspec.Struct, gc=False):
    """The fields that identify a line; the others are skipped."""

    custom_id: object = None
    id: object = None
    url: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    body: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_head = msgspec.json.Decoder(_Head)


class Ids:
    """A set of ids with 8 bytes each: 64 bits of their hashes, in buckets that are searched as bytes."""

    def __init__(self) -> None:
        self._buckets = [array("q") for _ in range(BUCKETS)]

    def add(self, name: bytes) -> bool:
        """Add an id; False if it was in the set."""
        value = hash(name)
        bucket = self._buckets[value % BUCKETS]
        there, key = bucket.tobytes(), value.to_bytes(KEY_BYTES, sys.byteorder, signed=True)
        place = there.find(key)
        while place >= 0 and place % KEY_BYTES:
            place = there.find(key, place + 1)
        if place < 0:
            bucket.append(value)
        return place < 0

    def add_new(self, names: list[bytes]) -> None:
        """Add ids that are known to be new, at a fraction of the cost."""
        buckets = self._buckets
        for value in map(hash, names):
            buckets[value % BUCKETS].append(value)


def _no_ids(_: bytes) -> list[bytes]:
    return []


def _finder_of_ids(line: bytes) -> Callable[[bytes], list[bytes]]:
    """A function that finds the ids of many lines, if they follow the same bytes as in this line."""
    try:
        custom_id = _head.decode(line).custom_id
    except msgspec.MsgspecError:
        return _no_ids
    before, found, _ = line.partition(b'"%s"' % str(custom_id).encode())
    if not found or len(before) > LONGEST_BEFORE_ID:
        return _no_ids
    return re.compile(rb'^%s"([^"\\\n]+)".*$' % re.escape(before), re.MULTILINE).findall


class Reader:
    """Reads and checks lines.

    Args:
        model: for every line; None if each has its own.
        number_ids: give a line with a missing or repeated id one with its number, instead of an error.
    """

    def __init__(self, name: str, *, model: str | None, number_ids: bool) -> None:
        self._name = name
        self._model = model
        self._number_ids = number_ids
        self._ids = Ids()
        self._find_ids = _no_ids

    def read(self, number: int, data: bytes) -> Line | None:
        """The call of a line; None for an empty line.

        Raises:
            BadRequestError: the line is wrong; the message names line and field.
        """
        data = (data.removeprefix(BOM) if number == 1 else data).strip()
        if not data:
            return None
        try:
            fields: object = msgspec.json.decode(data)
        except msgspec.DecodeError as error:
            raise self.wrong(number, f"is not JSON: {error}") from None
        if not isinstance(fields, dict):
            raise self.wrong(number, f"must be a JSON object, not {data[:40].decode('utf-8', 'replace')!r}")
        found = cast("dict[str, Any]", fields)
        line = self._plain(number, found) if "body" not in found and "url" not in found else self._batched(number, found)
        if self._model is not None:
            line.params["model"] = self._model
        if not isinstance(line.params.get("model"), str) or not line.params["model"]:
            raise self.wrong(number, "has no model: set body.model, or pass a model for all lines (-m)")
        if line.params.pop("stream", None):
            raise self.wrong(number, "has stream, but a batch's answers can't be streamed")
        return line

    def are_done(self, lines: list[bytes], marks: "array[int]") -> bool:
        """Whether lines that an earlier run has checked have the ids of these results; False if that needs parsing.

        The position of ids in the lines' text is learned from one line. The text there is the id if it has the mark of the
        line's result; so nearly no line has to be parsed.
        """
        data = b"".join(lines)
        for find_ids in (self._find_ids, _finder_of_ids(lines[-1])):
            found = find_ids(data)
            if array("I", map(crc32, found)) == marks:
                self._find_ids = find_ids
                self._ids.add_new(found)
                return True
        return False

    def id_of(self, number: int, data: bytes) -> str:
        """The id of a line that an earlier run has checked, at a lower cost than `read`.

        Raises:
            BadRequestError: it has none.
        """
        try:
            head = _head.decode(data.removeprefix(BOM) if number == 1 else data)
        except msgspec.MsgspecError as error:
            raise self.wrong(number, f"is not JSON: {error}") from None
        custom_id = head.custom_id
        if custom_id is None and head.url is head.body is msgspec.UNSET:  # a plain line
            if head.id is None:
                return str(number)
            custom_id = head.id
        if isinstance(custom_id, str) and custom_id and self._ids.add(custom_id.encode()):
            return custom_id
        return self._id(number, custom_id)

    def wrong(self, number: int, words: str) -> Exception:
        """The error for a line."""
        return refused("input", f"{self._name}, line {number} {words}")

    def _batched(self, number: int, fields: dict[str, Any]) -> Line:
        url, body = fields.get("url"), fields.get("body")
        ending = url.removeprefix("/v1") if isinstance(url, str) else None
        if ending not in ENDPOINTS and ending not in OTHER_WORDS:
            raise self.wrong(number, f"has the url {url!r:.80}; expected {KNOWN_URLS}")
        if fields.get("method", "POST") != "POST":
            raise self.wrong(number, f'has the method {fields["method"]!r:.40}; expected "POST"')
        if not isinstance(body, dict):
            raise self.wrong(number, f"must have an object as body, not {body!r:.40}")
        params = cast("dict[str, Any]", body)
        if ending in OTHER_WORDS:
            content = self._content(number, dict(params), OTHER_WORDS[ending], "body.")
            return Line(number, self._id(number, fields.get("custom_id")), "", content, params, {}, ending)
        method, content_name = ENDPOINTS[ending]
        custom_id = self._id(number, fields.get("custom_id"))
        return Line(number, custom_id, method, self._content(number, params, content_name, "body."), params, {})

    def _plain(self, number: int, fields: dict[str, Any]) -> Line:
        names = [name for name in ("messages", "prompt") if name in fields]
        if len(names) != 1:
            raise self.wrong(number, f"must have messages, prompt, or url and body: it has {sorted(fields)}")
        content, method = self._content(number, fields, names[0], ""), "acompletion"
        if isinstance(content, str):
            content = [{"role": "user", "content": content}]
        elif names[0] == "prompt":
            method = "atext_completion"
        custom_id = fields.pop("custom_id", None)
        custom_id = fields.pop("id", None) if custom_id is None else custom_id
        for name in RESULT_FIELDS:
            if name in fields:
                raise self.wrong(number, f"has the field {name}, which is reserved for the output")
        params = {name: value for name, value in fields.items() if name in PARAMS or name == "stream"}
        carried = {name: value for name, value in fields.items() if name not in params}
        name = str(number) if custom_id is None else self._id(number, custom_id)
        return Line(number, name, method, content, params, carried)

    def _content(self, number: int, fields: dict[str, Any], name: str, place: str) -> Any:
        content = fields.pop(name, None)
        good = isinstance(content, list) if name == "messages" else isinstance(content, str | list)
        if not good:
            expected = "a list of messages" if name == "messages" else "a str or a list"
            raise self.wrong(number, f"must have {expected} as {place}{name}, not {content!r:.40}")
        if place:
            for field in sorted(CALL_PARAMS & fields.keys()):
                raise self.wrong(
                    number, f"has {place}{field}, which is an option of the client and not sent: pass it to the client"
                )
        return content

    def _id(self, number: int, custom_id: object) -> str:
        name = str(custom_id) if isinstance(custom_id, int) and not isinstance(custom_id, bool) else custom_id
        if isinstance(name, str) and name and self._ids.add(name.encode()):
            return name
        if not isinstance(name, str) or not name:
            if not self._number_ids:
                raise self.wrong(
                    number, f"must have a str as custom_id, not {custom_id!r:.40}; or number the lines (--number-ids)"
                )
            name = "line"
        elif not self._number_ids:
            raise self.wrong(
                number, f"has the custom_id {name!r:.80} of an earlier line; use others, or number the lines (--number-ids)"
            )
        return f"{name}-{number}"
