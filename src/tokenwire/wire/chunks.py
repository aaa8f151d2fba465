"""Event payloads and bodies → structs: one decode each, without dicts in between.

`ChunkDecoder.decode` decodes all events of a read at once, in three stages. A read full of chunks that differ only in what
each adds is recognised by its bytes (`template`). A chunk that only continues a choice is recognised by a few attribute
reads, and its pieces are appended (`quick`); so is one with only a role, text and a finish reason for choice 0
(`fields.plain_choice`). All other events take the slow path.
What can't be decoded, or has its text or its usage elsewhere, is decoded leniently (`lenient`).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, TypeVar

import msgspec

from ..exceptions import APIError
from ..types._opened import OpenChunk, sealed
from ..types._record import build, sent, stored_names
from ..types._response import Response
from ..types._source import (
    OddDocument,
    Path,
    attach_document,
    document_of,
    has_source,
    is_odd,
    set_source,
    source_of,
    tree_of,
    unknown_fields,
)
from ..types.additions import Addition
from ..types.chat import Delta, GenericStreamingChunk, ModelResponse, ModelResponseStream
from ..types.text import TextCompletionResponse
from .assemble import Assembler
from .bodies import decode_body
from .convert import Chunk, Converter, Shape, response_chunks, whole_class
from .elsewhere import is_elsewhere
from .errors import error_from_object, malformed
from .fields import PLACES_OF_TEXT, content_of, flat_content_of, plain_choice
from .quick import append_addition, append_chat, append_flat
from .sse import Event
from .template import ENOUGH, TemplateCache
from .undecoded import UNDECODABLE, decode_or_text, error_in, lenient_decoder, says_nothing

if TYPE_CHECKING:
    from .frames import Frames
    from .halves import Halves

R = TypeVar("R", bound=Response)

DONE = b"[DONE]"
_FEW = 8  # events of a full read decoded one by one, to make a template for the others
WHOLE_OBJECT = "chat.completion"  # the `object` of the event with which some servers end their streams

_UNKNOWN = "Object contains unknown field"  # the beginning of msgspec's error for an unknown field of a sealed class
_NOT_UTF8 = "Invalid UTF-8"  # msgspec 0.23; before, a UnicodeDecodeError

_decode_chat = msgspec.json.Decoder(ModelResponseStream).decode
_decode_open = msgspec.json.Decoder(OpenChunk).decode
_decode_text = msgspec.json.Decoder(TextCompletionResponse).decode


class _OfDelta(msgspec.Struct):
    delta: dict[str, Any]


class _OfChunk(msgspec.Struct):
    choices: list[_OfDelta]


_decode_delta = msgspec.json.Decoder(_OfChunk).decode
_DELTA = frozenset(stored_names(Delta))

_Decode: TypeAlias = Callable[[bytes], ModelResponseStream | TextCompletionResponse]


class ChunkDecoder:
    """Decodes the events of one stream into chunks of the caller's shape.

    Args:
        shape: the class of the chunks wanted.
        text: whether the events are `/completions`' rather than `/chat/completions`'.
        model: the model's name, for chunks without one.

        Attributes:
            done: whether `[DONE]` arrived; events after it are ignored.
            had_content: whether the latest `decode` found content: see `has_content`.
            error: a server's error object, or an event that can't be decoded, found in the latest `decode`; to be raised
                after the chunks before it have been returned.
            assembler: collects the answer.
            odd: the paths of values of another type than expected, which were converted.
            bare_text: whether a str may be returned for a chunk with text for choice 0 and nothing else; not used here.
            unread: how many of the latest `decode`'s events came after the last event of the stream, or after an error.
        text: as given.
    """

    last_event: ClassVar[str] = "[DONE]"
    reads_names: ClassVar[bool] = True

    __slots__ = (
        "_append",
        "_converter",
        "_frames",
        "_halves",
        "_is_common",
        "_is_flat",
        "_is_mixed",
        "_is_open",
        "_started",
        "_templates",
        "_was_odd",
        "assembler",
        "bare_text",
        "done",
        "error",
        "had_content",
        "odd",
        "text",
        "unread",
    )

    def __init__(self, shape: Shape, *, text: bool, model: str) -> None:
        self.text: bool = text
        self._is_flat = shape is GenericStreamingChunk
        is_native = shape is (TextCompletionResponse if text else ModelResponseStream)
        self._converter = None if is_native else Converter(shape, model)
        self._is_common = not text and (is_native or self._is_flat)
        self._append = append_flat if self._is_flat else append_chat
        self._is_open = False  # the latest delta had unknown fields
        self._started = False  # choice 0 has begun, and the id and the model are known
        self._templates: TemplateCache | None = None  # None until a read is full
        self._frames: Frames | None = None  # None if the reader does not take additions
        self._halves: Halves = {}
        self._was_odd = False  # the latest chunk was odd, and each one since the first odd one
        self._is_mixed = False  # exact chunks have arrived after odd ones
        self.assembler: Assembler = Assembler(whole_class(shape))
        self.done: bool = False
        self.had_content: bool = False
        self.error: APIError | None = None
        self.unread: int = 0
        self.bare_text: bool = False
        self.odd: set[Path] = set()

    def decode(self, events: list[bytes | Event]) -> list[Chunk]:
        """The chunks in `events`, in order. Also sets `done`, `had_content` and `error`."""
        self.had_content = False
        if not self._is_common:
            chunks: list[Any] = self._decode_each(events)
        elif self._was_odd:
            chunks = self._decode_odd(events)
        elif len(events) > 1:
            chunks = self._decode_many(events)
        elif self._frames is not None and (addition := self._addition_of(events)) is not None:
            chunks = [addition]
        else:
            chunks = self._decode_quickly(events)
            if self._frames is not None and len(chunks) == 1 and self._started and self.had_content:
                self._frames.learn(chunks[0])
        self.assembler.count(len(chunks))
        return chunks

    def give_additions(self) -> None:
        """See `EventDecoder`. Only events that arrive one by one become additions."""
        if self._is_common and not self._is_flat and self._frames is None:
            from .frames import Frames

            self._frames = Frames()

    def _addition_of(self, events: list[Any]) -> Addition | None:
        assert self._frames is not None
        addition = self._frames.addition(events[0]) if events else None
        if addition is None or not append_addition(self.assembler, addition):
            return None
        self.had_content = True
        return addition

    def decode_document(self, data: bytes) -> list[Chunk]:
        """The chunks of a whole completion that a server sent instead of a stream. Raises as `decode_body`."""
        if self.text:  # a text completion is its own chunk
            parts: list[Any] = [decode_body(data, TextCompletionResponse)]
        else:
            parts = response_chunks(decode_body(data, ModelResponse))
        self.done = True
        return [chunk for part in parts for chunk in self.add(part)]

    def _decode_many(self, events: list[Any]) -> list[Any]:
        """The chunks of events that mostly continue a choice: all at once if they fit a template, else one by one."""
        chunks = self._decode_alike(events)
        if chunks is not None:
            return chunks
        if len(events) <= ENOUGH or not (self._templates is None or self._templates.learns):
            return self._decode_quickly(events)
        chunks = self._decode_quickly(events[:_FEW], learn=True)
        if self.done or self.error is not None:
            self.unread += len(events) - _FEW
        else:
            others = self._decode_alike(events[_FEW:])
            chunks += self._decode_quickly(events[_FEW:]) if others is None else others
        return chunks

    def _decode_alike(self, events: list[Any]) -> list[Any] | None:
        """The chunks of events that fit the template; None if one of them does not."""
        if self._templates is None:
            return None
        match = self._templates.match(events)
        if match is None:
            return None
        template, columns = match
        if not template.add(columns, self.assembler):
            return None
        self.had_content = True
        return template.pieces(columns, events) if self._is_flat else template.chunks(columns, events)

    def _decode_quickly(self, events: list[Any], *, learn: bool = False) -> list[Any]:
        """The chunks of events that mostly continue a choice; each that does not takes the slow path."""
        add, assembler, started = self._append, self.assembler, self._started
        chunks: list[Any] = []
        append = chunks.append
        latest = before = None  # the latest events that only continue a choice
        remaining = iter(events)
        for event in remaining:
            if self._is_open and started and (added := self._add_open(event)) is not None:
                append(added)
                continue
            try:
                chunk = _decode_chat(event)
            except (*UNDECODABLE, TypeError) as error:  # `[DONE]`, a named event, a delta with unknown fields, odd values
                chunks += self._decode_rare(event, error)
            else:
                if started and (added := add(assembler, chunk, event, None)) is not None:
                    append(added)
                    before, latest = latest, event
                    continue
                if plain_choice(chunk, event) is None:
                    chunks += self.add(self._judged(chunk, event))
                else:
                    chunks += self._add_plain(chunk)
            started = self._started
            if self.error is not None or self.done:
                self.unread = len(list(remaining))
                break
        if latest is not None:
            self.had_content = True
            if learn:
                self._templates = self._templates or TemplateCache()
                self._templates.learn(latest, before or latest)
        return chunks

    def _decode_each(self, events: list[Any]) -> list[Any]:
        """The slow path of `decode`: handles everything that an event can be."""
        decode = _decode_text if self.text else decode_chunk
        chunks: list[Any] = []
        remaining = iter(events)
        for event in remaining:
            chunks += self.add(self._decode_one(event, decode))
            if self.done or self.error is not None:
                self.unread = len(list(remaining))
                break
        return chunks

    def _decode_rare(self, event: bytes | Event, error: Exception) -> list[Any]:
        """The chunks of an event that a sealed delta's decoder refused."""
        if not isinstance(event, bytes) or not event.startswith(b"{"):
            return self._add_rare(self._decode_one(event, decode_chunk))
        chunk: Any = None
        if not isinstance(error, msgspec.DecodeError) or str(error).startswith((_UNKNOWN, _NOT_UTF8)):
            try:
                chunk = _decode_unsealed(event)
                self._is_open = True
            except UNDECODABLE as again:
                error = again
        if chunk is None:  # not quite JSON, which the loose decoder can't decode
            chunk = self._understood(event, loosely=isinstance(error, msgspec.ValidationError))
        if chunk is None:
            self.error = _refused(event, error)
            return []
        self._was_odd = not self._is_mixed and is_odd(chunk)
        return self._add_understood(chunk, event)

    def _decode_odd(self, events: list[Any]) -> list[Any]:
        """The chunks of events by the lenient decoder at once, as the exact one has refused the latest."""
        chunks: list[Any] = []
        for number, event in enumerate(events):
            is_object = isinstance(event, bytes) and event.startswith(b"{")
            chunk = self._understood(event) if is_object and not self._halves else None
            if chunk is None or not _is_needed(chunk):
                self._was_odd, self._is_mixed = False, self._is_mixed or not self._halves
                return [*chunks, *self._decode_many(events[number:])]
            chunks += self._add_understood(chunk, event)
            if self.error is not None:
                self.unread = len(events) - number - 1
                break
        return chunks

    def _add_understood(self, chunk: ModelResponseStream, event: bytes) -> list[Any]:
        if self._started and (added := self._append_at_once(chunk)) is not None:
            return [added]
        return self._add_rare(self._judged(chunk, event))

    def _append_at_once(self, chunk: ModelResponseStream) -> Any:
        """`_append` for a chunk that may have unknown fields."""
        decoded: dict[int, Any] = {}
        added = self._append(self.assembler, chunk, document_of(chunk) or b"", decoded)
        if added is not None:
            choice = chunk.choices[0]
            if has_source(choice.delta):
                self.assembler.add_unnamed(choice.index, unknown_fields(choice.delta, decoded))
            self.had_content = True
        return added

    def _add_rare(self, chunk: Chunk | None) -> list[Any]:
        if isinstance(chunk, ModelResponseStream) and plain_choice(chunk, document_of(chunk) or b"") is not None:
            return self._add_plain(chunk)
        return self.add(chunk)

    def _add_open(self, event: Any) -> object:
        """The chunk of an event with unknown fields, as the one before had; None for any other event, which is not added."""
        self._is_open = False
        try:
            chunk = _decode_open(event)
            unnamed = _unnamed_in(event) if len(chunk.choices) == 1 else None
        except (*UNDECODABLE, TypeError):  # as above
            return None
        if not unnamed or chunk.choices[0].delta.tool_calls or chunk.choices[0].delta.function_call:
            return None
        set_source(chunk.choices[0].delta, event)
        added = self._append(self.assembler, sealed(chunk), event, {})
        if added is not None:
            self.assembler.add_unnamed(chunk.choices[0].index, unnamed)
            self._is_open = self.had_content = True
        return added

    def _add_plain(self, chunk: ModelResponseStream) -> list[Any]:
        choice = chunk.choices[0]
        is_text = choice.delta.content and choice.finish_reason is None
        if not is_text and not is_odd(chunk) and is_elsewhere(chunk, data := document_of(chunk) or b""):
            return self._add_understood(self._understood(data, loosely=False) or chunk, data)
        self.assembler.add_plain(chunk)
        self.had_content = self.had_content or bool(chunk.choices[0].delta.content)
        return self._converted(chunk)

    def add(self, chunk: Chunk | None) -> list[Any]:
        """Add a chunk that was decoded elsewhere to the answer. Returns it in the caller's shape; nothing for None."""
        if chunk is None:
            return []
        self.assembler.add(chunk)
        self.had_content = self.had_content or has_content(chunk)
        return self._converted(chunk)

    def _converted(self, chunk: Chunk) -> list[Any]:
        self._started = self.assembler.is_open
        return [chunk] if self._converter is None else self._converter.convert(chunk, self.assembler.call_numbers)

    def _decode_one(self, event: bytes | Event, decode: _Decode) -> Chunk | None:
        """The event's chunk; None for any other event: `[DONE]`, null, a ping, an error (set as `error`)."""
        data, name = (event, "message") if isinstance(event, bytes) else (event.data, event.event)
        stripped = data.strip()
        if stripped == DONE:
            self.done = True
            return None
        if not stripped or stripped == b"null" or name == "ping":
            return None
        if name == "error":
            fields = decode_or_text(data)
            self.error = error_from_object(fields.get("error", fields) if isinstance(fields, dict) else fields, body=fields)
            return None
        try:
            chunk = decode(data)
        except UNDECODABLE as error:
            return self._not_a_chunk(data, error)
        return self._judged(chunk, data)

    def _judged(self, chunk: ModelResponseStream | TextCompletionResponse, data: bytes) -> Chunk | None:
        """The chunk, with its source set; None if it is an error or a ping."""
        error = sent(chunk, "error")
        if error is not None and not (says_nothing(error) and (chunk.choices or chunk.usage is not None)):
            self.error = error_from_object(error, body=decode_or_text(data))
            return None
        if not is_odd(chunk) and is_elsewhere(chunk, data):
            chunk = self._understood(data, loosely=False) or chunk
        if not chunk.choices and chunk.usage is None and not self._is_empty_chunk(chunk, data):
            return None
        if not has_source(chunk):
            attach_document(chunk, data)
        return chunk

    def _is_empty_chunk(self, chunk: ModelResponseStream | TextCompletionResponse, data: bytes) -> bool:
        """Whether an event without choices is a completion's chunk (as Azure's first one is), not a ping or an error."""
        fields = tree_of(chunk) or decode_or_text(data)
        if not isinstance(fields, dict):  # an unknown field is not valid JSON
            self.error = _malformed(data, "it can't be decoded")
            return False
        if "choices" in fields or "id" in fields:
            return True
        if fields.get("type") != "ping" and (isinstance(fields.get("message"), str) or "detail" in fields):
            self.error = error_from_object(fields, body=fields)
        elif fields and fields.get("type") != "ping":
            self.error = _malformed(data, "it has no choices")
        return False

    def _not_a_chunk(self, data: bytes, error: Exception) -> Chunk | None:
        """Decode an event leniently, after the exact decode failed: a chunk, or an error, which is set as `error`."""
        chunk = self._understood(data)
        if chunk is not None:
            return self._judged(chunk, data)
        self.error = _refused(data, error)
        return None

    def _understood(self, data: bytes, *, loosely: bool = True) -> Any:
        """The chunk of an event by the lenient decoder, with its source set; None if it is not a chunk."""
        decode = lenient_decoder().understood if loosely else lenient_decoder().mended
        chunk = decode(data, TextCompletionResponse if self.text else ModelResponseStream, halves=self._halves)
        if chunk is None:
            return None
        document: Any = source_of(chunk)
        self.odd |= document.places
        if document.mended is not None and not self.text and _may_be_whole(chunk, document):
            self._leave_out_what_is_known(chunk)
        return chunk

    def _leave_out_what_is_known(self, chunk: ModelResponseStream) -> None:
        """Empty the deltas of choices for which the server has sent the whole text again."""
        so_far = self.assembler.response()
        known = {choice.index: choice.message for choice in so_far.choices} if isinstance(so_far, ModelResponse) else {}
        for choice in chunk.choices:
            message = known.get(choice.index or 0)
            if message is not None and (message.content or "") == (choice.delta.content or ""):
                choice.delta = build(Delta)


def _is_needed(chunk: ModelResponseStream) -> bool:
    """Whether the exact decoder would have refused this chunk of the lenient decoder, or decoded less of it."""
    document = source_of(chunk)
    return isinstance(document, OddDocument) and (bool(document.places) or document.mended is not None)


def _may_be_whole(chunk: ModelResponseStream, document: OddDocument) -> bool:
    """Whether a chunk may have the whole text again: by its `object`, or as it ends a choice with text outside the delta."""
    if chunk.object == WHOLE_OBJECT:
        return True
    is_beside = b'"delta"' in document and any(place[-1] in PLACES_OF_TEXT for place in document.places)
    return is_beside and any(choice.finish_reason for choice in chunk.choices)


def _unnamed_in(event: Any) -> dict[str, Any]:
    """The unknown fields of the delta of an event's only choice."""
    (choice,) = _decode_delta(event).choices
    return {name: value for name, value in choice.delta.items() if name not in _DELTA}


def decode_chunk(data: bytes) -> ModelResponseStream:
    """The chunk of an event of `/chat/completions`.

    Raises:
        DecodeError, UnicodeDecodeError, RecursionError: it is not one.
    """
    try:
        return _decode_chat(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _decode_unsealed(data)


def _decode_unsealed(data: bytes) -> ModelResponseStream:
    """A chunk whose deltas may have unknown fields. `_decode_chat` refuses such chunks, which detects them at no cost."""
    chunk = _decode_open(data)
    attach_document(chunk, data)
    return sealed(chunk)


def has_content(chunk: Chunk) -> bool:
    """Whether a chunk has content: text, reasoning, a tool call, audio, an image. A role does not count."""
    if isinstance(chunk, GenericStreamingChunk):
        return any(flat_content_of(chunk))
    if isinstance(chunk, TextCompletionResponse):
        return any(choice.text for choice in chunk.choices)
    return any(any(content_of(choice.delta)) for choice in chunk.choices)


def _refused(data: bytes, why: Exception) -> APIError:
    """The error object in an event, or else the error that it can't be decoded."""
    return error_in(data) or _malformed(data, str(why))


def _malformed(data: bytes, why: str) -> APIError:
    return malformed("an event of the stream", data, why)
