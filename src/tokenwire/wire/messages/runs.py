"""The events of a streamed message, and runs of events that differ only in a piece of text."""

from enum import Enum
from itertools import repeat
from operator import itemgetter
from typing import Any, Final

import msgspec

from ...types._record import build, copy_fields
from ...types.chat import ChatCompletionDeltaToolCall, Delta, DeltaFunction
from ..sse import Payload
from .blocks import Block

UNDECODABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

MANY: Final = 4  # so many events are decoded together

_decode_text = msgspec.json.Decoder(str).decode
_decode_texts = msgspec.json.Decoder(str).decode_lines
_DELTA: Final = build(Delta)


class Piece(msgspec.Struct, gc=False):
    """The `delta` of any event."""

    type: str = ""
    text: str | None = None
    partial_json: str | None = None
    thinking: str | None = None
    signature: object = None
    citation: object = None
    stop_reason: object = None
    stop_sequence: object = None
    stop_details: object = None
    container: object = None


class AnyEvent(msgspec.Struct, gc=False):
    """Any event of a stream."""

    type: str = ""
    index: int = 0
    delta: Piece | None = None
    content_block: Block | None = None
    message: object = None
    usage: object = None
    error: object = None
    choices: object = None  # only chunks of chat completions have them


class Open(msgspec.Struct, gc=False):
    """A content block that has begun.

    Attributes:
        fields: its own, as they arrived.
        start: where its text starts in the text of the whole answer.
        call: its number among the tool calls, -1 if it is not a call.
        pieces: of its thinking, or of its input.
    """

    fields: Block
    start: int
    call: int = -1
    pieces: list[str] = []


class Kind(Enum):
    """What the pieces of a block are."""

    TEXT = "text"
    THINKING = "thinking"
    INPUT = "partial_json"


KINDS: Final = (Kind.TEXT, Kind.THINKING, Kind.INPUT)


class Run(msgspec.Struct, gc=False):
    """A run of events, each with a piece of one block.

    Attributes:
        before, after: the bytes around the piece in each event.
        call: an empty piece of the tool call that they continue; None if they do not continue one.
    """

    kind: Kind
    block: Open
    before: bytes = b""
    after: bytes = b""
    call: ChatCompletionDeltaToolCall | None = None


def pieces_in(events: list[Payload], start: int, run: Run) -> list[str]:
    """The pieces of the events, from `start`, that continue a run: those that differ only in their piece."""
    before, after = run.before, run.after
    head, tail = len(before), len(after)
    pieces: list[str] = []
    if not before:
        return pieces
    if start == 0 and len(events) >= MANY and (alike := _pieces_of_all(events, run)) is not None:
        return alike
    for event in events if start == 0 else events[start:]:
        if not (isinstance(event, bytes) and event.startswith(before) and event.endswith(after)):
            break
        try:
            pieces.append(_decode_text(event[head : len(event) - tail]))
        except UNDECODABLE:
            break
    return pieces


def _pieces_of_all(events: list[Any], run: Run) -> list[str] | None:
    """The pieces if all events continue the run, decoded together; None if one does not."""
    before, after = run.before, run.after
    try:
        rows = list(map(itemgetter(slice(len(before), -len(after))), events))
        # These bytes have line ends only between events. So if they are equal, no event has one in it.
        if before + (after + b"\n" + before).join(rows) + after != b"\n".join(events):
            return None
        pieces = _decode_texts(b"\n".join(rows))
    except (*UNDECODABLE, TypeError):  # an event with a name
        return None
    return pieces if len(pieces) == len(events) else None


def learn(run: Run, data: bytes, piece: str) -> None:
    """Remember the bytes around a piece, if what is between them decodes to the piece."""
    name = b'"%b":' % run.kind.value.encode()
    start, end = data.find(name) + len(name), data.rfind(b'"') + 1
    start += data[start:end].find(b'"')
    try:
        if _decode_text(data[start:end]) == piece:
            run.before, run.after = data[:start], data[end:]
    except UNDECODABLE:
        pass


def deltas_of(run: Run, pieces: list[str]) -> list[Delta]:
    """A delta for each of a run's pieces."""
    deltas = list(map(copy_fields, repeat(_DELTA, len(pieces))))
    if run.kind is Kind.TEXT:
        for delta, piece in zip(deltas, pieces, strict=True):
            delta.content = piece
    elif run.call is None:
        for delta, piece in zip(deltas, pieces, strict=True):
            delta._reasoning_content = piece
    else:
        for delta, piece in zip(deltas, pieces, strict=True):
            delta.tool_calls = [call_with(run.call, piece)]
    return deltas


def call_with(call: ChatCompletionDeltaToolCall, arguments: str) -> ChatCompletionDeltaToolCall:
    """The piece of a tool call with these arguments."""
    call = copy_fields(call)
    call.function = build(DeltaFunction, arguments=arguments)
    return call
