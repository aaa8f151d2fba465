"""The events of a streamed message as they are decoded, and runs of those that differ in nothing but a piece of text."""

from enum import Enum
from typing import Final

import msgspec

from ...types._record import build, copy_fields
from ...types.chat import ChatCompletionDeltaToolCall, Delta, DeltaFunction
from ..sse import Payload
from .blocks import Block

UNDECODABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_decode_text = msgspec.json.Decoder(str).decode


class Piece(msgspec.Struct, gc=False):
    """The `delta` of an event, whatever it is of."""

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
    choices: object = None  # no event of this API has them


class Open(msgspec.Struct, gc=False):
    """A content block that has begun.

    Attributes:
        fields: its own, as they came.
        start: where its text starts in that of the whole answer.
        call: its number among the tool calls, -1 where it is none.
        pieces: of its thinking, or of its input.
    """

    fields: Block
    start: int
    call: int = -1
    pieces: list[str] = []


class Kind(Enum):
    """What a block's pieces are of an answer."""

    TEXT = "text"
    THINKING = "thinking"
    INPUT = "partial_json"


KINDS: Final = (Kind.TEXT, Kind.THINKING, Kind.INPUT)


class Run(msgspec.Struct, gc=False):
    """A run of events that bring pieces of one block.

    Attributes:
        before, after: what stands around the piece in each of them.
        call: a piece of the tool call that they continue, without anything in it; None where it is none.
    """

    kind: Kind
    block: Open
    before: bytes = b""
    after: bytes = b""
    call: ChatCompletionDeltaToolCall | None = None


def pieces_in(events: list[Payload], start: int, run: Run) -> list[str]:
    """The pieces of the events that go on with a run: they differ in nothing else."""
    before, after = run.before, run.after
    head, tail = len(before), len(after)
    pieces: list[str] = []
    if not before:
        return pieces
    for event in events if start == 0 else events[start:]:
        if not (isinstance(event, bytes) and event.startswith(before) and event.endswith(after)):
            break
        try:
            pieces.append(_decode_text(event[head : len(event) - tail]))
        except UNDECODABLE:
            break
    return pieces


def learn(run: Run, data: bytes, piece: str) -> None:
    """Remember what stands around a piece: JSON has no other place for it if what stands there says the same."""
    name = b'"%b":' % run.kind.value.encode()
    start, end = data.find(name) + len(name), data.rfind(b'"') + 1
    start += data[start:end].find(b'"')
    try:
        if _decode_text(data[start:end]) == piece:
            run.before, run.after = data[:start], data[end:]
    except UNDECODABLE:
        pass


def deltas_of(run: Run, pieces: list[str]) -> list[Delta]:
    """What each of a run's pieces adds to a chat message."""
    if run.kind is Kind.TEXT:
        return [build(Delta, content=piece) for piece in pieces]
    if run.call is None:
        return [build(Delta, _reasoning_content=piece) for piece in pieces]
    return [build(Delta, tool_calls=[call_with(run.call, piece)]) for piece in pieces]


def call_with(call: ChatCompletionDeltaToolCall, arguments: str) -> ChatCompletionDeltaToolCall:
    """The piece of a tool call that brings these arguments."""
    call = copy_fields(call)
    call.function = build(DeltaFunction, arguments=arguments)
    return call
