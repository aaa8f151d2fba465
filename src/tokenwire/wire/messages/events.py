"""The events of a streamed message → chat chunks.

A message is a list of content blocks, each with a start, deltas and a stop; its usage is in the first event and in the one
before the last. Nearly every event continues the latest block: its piece is appended to the answer, and becomes a chunk made
by copying. The events of a run have the same bytes around their pieces, so that only the pieces have to be decoded.

Thinking is returned as reasoning while it arrives, and in `thinking_blocks` when its block is complete, with its signature.
"""

import time
from itertools import repeat
from typing import Any, ClassVar

import msgspec

from ...exceptions import APIError
from ...types._record import build, copy_fields
from ...types._source import Fields
from ...types.chat import (
    ChatCompletionDeltaToolCall,
    Delta,
    DeltaFunction,
    GenericStreamingChunk,
    ModelResponseStream,
    StreamingChoices,
    new_id,
)
from ..convert import Shape
from ..errors import error_from_object, malformed, of_chat
from ..sse import Event, Payload
from ..translating import TranslatingDecoder
from .answers import answer_of, ending_of, usage_of
from .blocks import arguments_of, input_of, message_of
from .runs import KINDS, UNDECODABLE, AnyEvent, Kind, Open, Run, call_with, deltas_of, learn, pieces_in

_decode = msgspec.json.Decoder(AnyEvent).decode
_decode_any = msgspec.json.Decoder().decode

_CHOICE = build(StreamingChoices)


class MessageDecoder(TranslatingDecoder):
    """Decodes the events of one stream; an `EventDecoder`."""

    last_event: ClassVar[str] = "message_stop"
    had_content: bool
    error: APIError | None

    def __init__(self, shape: Shape, model: str) -> None:
        super().__init__(shape, model)
        self._usage: dict[str, Any] = {}
        self._blocks: list[Open] = []
        self._by_index: dict[int, Open] = {}
        self._text_length = 0
        self._run: Run | None = None  # of the latest event

    def decode(self, events: list[Payload]) -> list[Any]:
        """The chunks in `events`, in order; `done`, `had_content` and `error` say what else was found."""
        self.had_content = False
        chunks: list[Any] = []
        at = 0
        while at < len(events) and not self.done and self.error is None:
            run = self._run
            pieces = [] if run is None else pieces_in(events, at, run)
            if run is not None and pieces:
                chunks += self._take_pieces(run, pieces)
                at += len(pieces)
            else:
                chunks += self._decode_one(events[at])
                at += 1
        self.unread: int = len(events) - at
        self.assembler.count(len(chunks))
        return chunks

    def give_additions(self) -> None:
        """See `EventDecoder`; this decoder returns none."""

    def decode_document(self, data: bytes) -> list[Any]:
        """The chunks of a whole message; see `EventDecoder`."""
        return self._take_whole(answer_of(data))

    def _decode_one(self, event: Payload) -> list[Any]:
        data = event if isinstance(event, bytes) else event.data
        if not data.strip():
            return []
        try:
            decoded = _decode(data)
        except UNDECODABLE as error:
            self.error = malformed("an event of the stream", data, str(error))
            return []
        kind = decoded.type or (event.event if isinstance(event, Event) else "")
        if kind == "error" or (not kind and decoded.error is not None):
            self.error = error_from_object(decoded.error, body=_decode_any(data))
            return []
        if not kind and decoded.choices is not None:
            self.error = of_chat("anthropic", data)
            return []
        if kind == "content_block_delta":
            return self._continued(decoded, data)
        if kind == "message_stop":
            self.done = True
            return []
        take = {
            "message_start": self._begin,
            "content_block_start": self._start_block,
            "content_block_stop": self._stop_block,
            "message_delta": self._finish,
        }.get(kind)  # the API may send events of other types, such as a ping
        return [] if take is None else take(decoded)

    def _begin(self, event: AnyEvent) -> list[Any]:
        message = event.message if isinstance(event.message, dict) else {}
        self._begin_with(
            build(
                ModelResponseStream,
                id=_text(message.get("id")) or new_id("msg_"),
                created=int(time.time()),
                model=_text(message.get("model")) or self._model,
            )
        )
        self._add_usage(message.get("usage"))
        chunk = self._chunk(build(Delta, role="assistant"))
        chunk.usage = usage_of(self._usage) if self._usage else None
        chunks = self._take(chunk)
        blocks = message.get("content")  # some servers begin with them
        for index, block in enumerate(blocks if isinstance(blocks, list) else ()):
            if isinstance(block, dict):
                chunks += self._start_block(AnyEvent(index=index, content_block=block))
        return chunks

    def _chunk(self, delta: Delta) -> ModelResponseStream:
        chunk, choice = copy_fields(self._head or self._begun()), copy_fields(_CHOICE)
        choice.delta = delta
        chunk.choices = [choice]
        return chunk

    def _begun(self) -> ModelResponseStream:
        """The head for a stream that begins without a `message_start`."""
        self._begin(AnyEvent())
        assert self._head is not None
        return self._head

    def _take_pieces(self, run: Run, pieces: list[str]) -> list[Any]:
        """Add a block's next pieces to the answer. Returns their chunks."""
        self.had_content = self.had_content or any(pieces)
        if run.kind is Kind.TEXT:
            self._text_length += sum(map(len, pieces))
            self.assembler.first_text.extend(pieces)
            if self.bare_text:
                return pieces
        else:
            run.block.pieces.extend(pieces)
            choice = self.assembler.begun(0)
            assert choice is not None
            if run.call is None:
                choice.extend_text("reasoning_content", pieces)
            elif not choice.extend_call(run.call, pieces):  # the first piece
                choice.add_calls([call_with(run.call, "".join(pieces))], {})
        if self._is_flat:
            return self._flat_chunks(run, pieces)
        chunks = list(map(copy_fields, repeat(self._head or self._begun(), len(pieces))))
        for chunk, choice, delta in zip(chunks, map(copy_fields, repeat(_CHOICE)), deltas_of(run, pieces), strict=False):
            choice.delta = delta
            chunk.choices = [choice]
        return chunks

    def _flat_chunks(self, run: Run, pieces: list[str]) -> list[GenericStreamingChunk]:
        chunks = list(map(copy_fields, repeat(self._flat, len(pieces))))
        if run.kind is Kind.TEXT:
            for chunk, piece in zip(chunks, pieces, strict=True):
                chunk.text = piece
        elif run.call is None:
            for chunk, piece in zip(chunks, pieces, strict=True):
                chunk.reasoning_content = piece
        else:
            for chunk, piece in zip(chunks, pieces, strict=True):
                chunk.tool_use = call_with(run.call, piece)
        return chunks

    def _continued(self, event: AnyEvent, data: bytes) -> list[Any]:
        """The chunk for a block's next piece."""
        block, piece = self._by_index.get(event.index), event.delta
        if piece is None or block is None:
            self.error = malformed("an event of the stream", data, "its content block has not begun, or it has no delta")
            return []
        for kind in KINDS:
            if (text := getattr(piece, kind.value)) is not None:
                run = self._run = self._run_of(kind, block)
                if run is None:
                    block.pieces.append(text)
                    return []
                learn(run, data, text)
                return self._take_pieces(run, [text])
        if piece.signature is not None:
            block.fields["signature"] = piece.signature
        if piece.citation is not None:
            block.fields["citations"] = [*(block.fields.get("citations") or ()), piece.citation]
        return []

    def _run_of(self, kind: Kind, block: Open) -> Run | None:
        """The run for a block's pieces; None if chat has no field for them."""
        if kind is not Kind.INPUT:
            return Run(kind, block)
        if block.call < 0:
            return None
        function = build(DeltaFunction, arguments="")
        return Run(kind, block, call=build(ChatCompletionDeltaToolCall, index=block.call, function=function))

    def _start_block(self, event: AnyEvent) -> list[Any]:
        fields = event.content_block or {}
        chunks: list[Any] = [] if self._head is not None else self._begin(AnyEvent())
        block = Open(dict(fields), self._text_length)
        self._blocks.append(block)
        self._by_index[event.index] = block
        self._run = None
        kind = fields.get("type")
        if kind == "tool_use":
            block.call, self._calls = self._calls, self._calls + 1
            function = build(DeltaFunction, name=_text(fields.get("name")), arguments="")
            call = build(
                ChatCompletionDeltaToolCall, id=_text(fields.get("id")), type="function", index=block.call, function=function
            )
            chunks += self._take(self._chunk(build(Delta, tool_calls=[call])))
            self.had_content = True
        elif kind in ("text", "thinking") and isinstance(piece := fields.get(kind), str) and piece:
            chunks += self._take_pieces(Run(Kind(kind), block), [piece])
        return chunks

    def _stop_block(self, event: AnyEvent) -> list[Any]:
        block = self._by_index.get(event.index)
        self._run = None
        if block is None:
            return []
        kind = block.fields.get("type")
        if kind == "thinking":
            block.fields["thinking"] = "".join(block.pieces)
        if kind in ("thinking", "redacted_thinking"):
            whole = {name: value for name, value in block.fields.items() if value is not None}
            return self._take(self._chunk(build(Delta, thinking_blocks=[whole])))
        run = self._run_of(Kind.INPUT, block)
        if run is not None and not any(block.pieces):
            return self._take_pieces(run, [arguments_of(block.fields.get("input"))])
        return []

    def _finish(self, event: AnyEvent) -> list[Any]:
        """The last chunk: why the answer ended, its usage, and its segments if the message needs them."""
        self._add_usage(event.usage)
        chunk = self._chunk(build(Delta))
        ending = ending_of({} if event.delta is None else msgspec.structs.asdict(event.delta))
        choice = chunk.choices[0]
        choice.finish_reason = ending["finish_reason"]
        choice.provider_specific_fields = ending["provider_specific_fields"]
        choice.delta.provider_specific_fields = self._segments()
        chunk.usage = usage_of(self._usage) if self._usage else None
        return self._take(chunk)

    def _add_usage(self, usage: object) -> None:
        """Each count is a total so far, so the latest one replaces the one before."""
        if isinstance(usage, dict):
            self._usage |= {name: value for name, value in usage.items() if value is not None}

    def _segments(self) -> Fields | None:
        """The blocks as segments, if the message needs them."""
        if len(self._blocks) == 1 and self._blocks[0].fields.keys() <= {"type", "text"}:
            return None
        text, end, blocks = self.assembler.first_text.whole(), self._text_length, list[Fields]()
        for block in reversed(self._blocks):
            if block.fields.get("type") == "text":
                block.fields["text"], end = text[block.start : end], block.start
            elif block.pieces and block.fields.get("type") != "thinking":
                block.fields["input"] = input_of("".join(block.pieces))
            blocks.append(block.fields)
        return message_of(reversed(blocks)).get("provider_specific_fields")


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
