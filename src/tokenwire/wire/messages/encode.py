"""Chat chunks → the events of a streamed message.

The message begins with the first chunk; a content block begins with its first piece, and ends when another begins. The
most frequent chunk, the next piece of the same text, costs one encoding in C: the bytes around it are known.

Servers may interleave the pieces of several calls, but a block can't be continued once another has begun. So a call that
begins before the arguments of the one before it are complete waits, and is sent after it.
"""

from collections.abc import Mapping
from typing import Any, Final
from uuid import uuid4

import msgspec

from ...types._record import build
from ...types._source import Fields
from ...types.additions import ARGUMENTS, CONTENT, Addition
from ...types.chat import Delta, ModelResponseStream, StreamingChoices, Usage
from ..segments import deltas_of
from .answers import refuse_unsayable, stop_of, usage_fields
from .blocks import INVALID, THINKING, UNSIGNED, input_of, joined, sealed

_encode = msgspec.json.Encoder().encode
_values = msgspec.structs.astuple

_PROBE = "\x01"
_PROBE_JSON = _encode(_PROBE).strip(b'"')
_CONTENT, _REASONING = (Delta.__struct_fields__.index(name) for name in ("content", "_reasoning_content"))
_NOTHING: Final = _values(build(Delta))
_BESIDE_CONTENT: Final = _NOTHING[_CONTENT + 1 :]
_BESIDE_REASONING: Final = _NOTHING[_CONTENT:_REASONING], _NOTHING[_REASONING + 1 :]

PING: Final = b'event: ping\ndata: {"type":"ping"}\n\n'


def event(kind: str, fields: Mapping[str, Any]) -> bytes:
    """One event."""
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), _encode({"type": kind, **fields}))


class _Block(msgspec.Struct):
    """The content block that is open.

    Attributes:
        key: "text", "thinking", or the number of a tool call.
        around: the bytes before and after a piece in an event.
        pieces: of thinking, or of a call's arguments, so far.
        is_custom: whether it calls a custom tool. The pieces are then sent when the block ends: only all of them can be made JSON.
    """

    key: str | int
    index: int
    around: tuple[bytes, bytes]
    pieces: list[str]
    is_custom: bool = False


_DELTAS: Final = {"text": ("text_delta", "text"), "thinking": ("thinking_delta", "thinking")}
_INPUT: Final = ("input_json_delta", "partial_json")


class _Call(msgspec.Struct):
    """A tool call whose block has not begun: its name may arrive in pieces, and the block before it may not have ended.

    Attributes:
        pieces, is_custom: as those of a `_Block`.
    """

    id: str | None = None
    name: str = ""
    pieces: list[str] = []
    is_custom: bool = False


class EventEncoder:
    """Encodes the chunks of one answer.

    Args:
        stops: the stop sequences of the request.
    """

    def __init__(self, stops: list[str] | None) -> None:
        self._stops = stops or []
        self._begun = False
        self._open: _Block | None = None
        self._around: tuple[bytes, bytes] | None = None  # of the open block, if it is text
        self._blocks = 0
        self._calls: dict[int, _Block | _Call] = {}
        self._finish: str | None = None
        self._ending: Fields = {}
        self._refused = False
        self._usage: Usage | None = None

    def encode(self, chunk: Any) -> bytes:
        """The events for a chunk, an addition, or bare text; b"" if there are none.

        Raises:
            APIError: Messages can't express something in the answer.
        """
        if type(chunk) is str:
            around = self._around
            return self._piece("text", chunk) if around is None else around[0] + _encode(chunk)[1:-1] + around[1]
        if type(chunk) is Addition:
            if self._begun and not chunk.index:
                return self._addition(chunk)
            chunk = chunk.chunk()
        if self._open is not None and len(chunk.choices) == 1:
            choice = chunk.choices[0]
            if choice.finish_reason is None and choice.index == 0:
                values = _values(choice.delta)
                if values[_CONTENT] and values[_CONTENT + 1 :] == _BESIDE_CONTENT:
                    return self._piece("text", values[_CONTENT])
                if values[_REASONING] and (values[:_REASONING], values[_REASONING + 1 :]) == _BESIDE_REASONING:
                    return self._piece("thinking", values[_REASONING])
        return self._encode_any(chunk)

    def ending(self, usage: Usage | None) -> bytes:
        """The events after the last chunk."""
        begun = b"" if self._begun else self._begin(None)
        held = b"".join(self._start_call(number) for number, call in self._calls.items() if isinstance(call, _Call))
        finish = "content_filter" if self._refused else self._finish
        if self._calls and finish in (None, "stop"):
            finish = "tool_calls"  # some servers end so if the request named the tool
        delta = stop_of(finish, self._ending, self._stops)
        last = event("message_delta", {"delta": delta, "usage": usage_fields(usage or self._usage)})
        return begun + held + self._stop() + last + event("message_stop", {})

    def head_of(self, chunk: object) -> tuple[str, str]:
        """The message's id and model, given its first chunk, or None if there are no chunks."""
        raise NotImplementedError

    def _begin(self, chunk: ModelResponseStream | None) -> bytes:
        self._begun = True
        given, model = self.head_of(chunk)
        usage = None if chunk is None else chunk.usage
        message = {"id": given, "type": "message", "role": "assistant", "model": model, "content": []}
        so_far = {"stop_reason": None, "stop_sequence": None, "usage": usage_fields(usage)}
        return event("message_start", {"message": {**message, **so_far}})

    def _encode_any(self, chunk: ModelResponseStream) -> bytes:
        parts = [] if self._begun else [self._begin(chunk)]
        if chunk.usage is not None:
            self._usage = chunk.usage
        for choice in chunk.choices:
            parts += self._choice(choice)
        return b"".join(parts)

    def _choice(self, choice: StreamingChoices) -> list[bytes]:
        delta = choice.delta
        refuse_unsayable({"audio": delta.audio, "images": delta.images, "choices": choice.index})
        parts = [part for each in deltas_of(delta) for part in self._delta(each)]
        if choice.finish_reason:
            self._finish = choice.finish_reason
        if isinstance(own := choice.provider_specific_fields, dict):
            self._ending |= own
        return parts

    def _delta(self, delta: Delta) -> list[bytes]:
        parts = self._reasoning(delta)
        if delta.content:
            parts.append(self._piece("text", delta.content))
        if delta.refusal:
            self._refused = True
            parts.append(self._piece("text", delta.refusal))
        for call in delta.tool_calls or ():
            function = call.function
            given = call.custom or {}
            name = (function and function.name) or given.get("name")
            arguments = (function and function.arguments) or given.get("input")
            parts.append(self._tool(call.index or 0, call.id, name, arguments, is_custom=bool(given)))
        if delta.function_call is not None:
            parts.append(self._tool(0, None, delta.function_call.name, delta.function_call.arguments))
        return parts

    def _reasoning(self, delta: Delta) -> list[bytes]:
        """Reasoning, and the blocks of which it is the text: whole blocks, or pieces of them."""
        text = delta.reasoning_content
        parts = [self._piece("thinking", text)] if text else []
        for block in joined(delta.thinking_blocks or ()):
            thinking, signature = block.get("thinking"), block.get("signature")
            if block.get("type") not in THINKING:
                continue
            if block["type"] == "redacted_thinking":
                parts += [self._stop(), self._whole(block)]
                continue
            block_open = self._open
            is_sent = block_open is not None and thinking in ("".join(block_open.pieces), text)
            if thinking and not is_sent:
                parts.append(self._piece("thinking", thinking))
            if signature and self._open is not None and self._open.key == "thinking":
                parts.append(self._sign(self._open, signature))
            elif signature:
                parts += [self._stop(), self._whole(block)]
        if opaque := sealed(delta.reasoning_items):
            if self._open is not None and self._open.key == "thinking":
                parts.append(self._sign(self._open, opaque))
            else:
                parts += [self._stop(), self._whole({"type": "redacted_thinking", "data": opaque})]
        return parts

    def _sign(self, block: _Block, signature: object) -> bytes:
        """The signature of the open thinking block, and its end."""
        self._open = None
        signed = {"index": block.index, "delta": {"type": "signature_delta", "signature": signature}}
        return event("content_block_delta", signed) + event("content_block_stop", {"index": block.index})

    def _addition(self, addition: Addition) -> bytes:
        if addition.field == ARGUMENTS:
            return self._tool(addition.call, None, None, addition.text)
        return self._piece("text" if addition.field == CONTENT else "thinking", addition.text)

    def _piece(self, kind: str, text: str) -> bytes:
        """The event for a piece of text or thinking, after the events that begin its block."""
        block = self._open
        if block is not None and block.key == kind:
            before = b""
        else:
            before = (b"" if self._begun else self._begin(None)) + self._next_calls(is_over=True) + self._stop()
            empty: Fields = {"type": kind, kind: ""} | ({"signature": ""} if kind == "thinking" else {})
            block, started = self._start(kind, empty, *_DELTAS[kind])
            before += started
        if kind == "thinking":
            block.pieces.append(text)
        return before + block.around[0] + _encode(text)[1:-1] + block.around[1]

    def _start(self, key: str | int, block: Fields, kind: str, field: str) -> tuple[_Block, bytes]:
        index, self._blocks = self._blocks, self._blocks + 1
        probe = event("content_block_delta", {"index": index, "delta": {"type": kind, field: _PROBE}})
        before, after = probe.split(_PROBE_JSON)
        self._open = _Block(key, index, (before, after), [])
        self._around = self._open.around if key == "text" else None
        return self._open, event("content_block_start", {"index": index, "content_block": block})

    def _whole(self, block: Fields) -> bytes:
        """The events for a block that arrived in one piece."""
        index, self._blocks = self._blocks, self._blocks + 1
        return event("content_block_start", {"index": index, "content_block": block}) + event(
            "content_block_stop", {"index": index}
        )

    def _stop(self) -> bytes:
        """The event that ends the open block, if there is one."""
        block, self._open, self._around = self._open, None, None
        if block is None:
            return b""
        if block.key == "thinking":
            return self._sign(block, UNSIGNED)
        held = b""
        if block.is_custom:
            text = _encode(input_of("".join(block.pieces))).decode()
            held = block.around[0] + _encode(text)[1:-1] + block.around[1]
        return held + event("content_block_stop", {"index": block.index})

    def _tool(
        self, number: int, call_id: str | None, name: str | None, arguments: str | None, *, is_custom: bool = False
    ) -> bytes:
        call = self._calls.setdefault(number, _Call())
        if isinstance(call, _Call):
            call.id = call.id or call_id or None
            call.is_custom = call.is_custom or is_custom
            if name and name != call.name:
                call.name += name
            if not arguments:
                return b""
            call.pieces.append(arguments)
            return b"" if len(call.pieces) > 1 else self._next_calls()
        if not arguments:
            return b""
        call.pieces.append(arguments)
        if call.is_custom and call is self._open:
            return b""
        return call.around[0] + _encode(arguments)[1:-1] + call.around[1]

    def _next_calls(self, *, is_over: bool = False) -> bytes:
        """The events of the calls that wait, up to one whose arguments are not complete; of all if the open call `is_over`."""
        parts: list[bytes] = []
        for number, call in self._calls.items():
            if isinstance(call, _Call) and call.pieces:
                if not is_over and self._is_in_a_call():
                    break
                parts.append(self._start_call(number))
        return b"".join(parts)

    def _is_in_a_call(self) -> bool:
        """Whether the open block is a call whose arguments are not complete. Reads all of them, so it is not asked per piece."""
        block = self._open
        if block is None or type(block.key) is str or block.is_custom:
            return False
        return INVALID in input_of("".join(block.pieces))

    def _start_call(self, number: int) -> bytes:
        call = self._calls[number]
        assert isinstance(call, _Call)
        stopped = self._stop()
        fields = {"type": "tool_use", "id": call.id or f"toolu_{uuid4().hex}", "name": call.name, "input": {}}
        block, started = self._start(number, fields, *_INPUT)
        block.pieces, block.is_custom = call.pieces, call.is_custom
        self._calls[number] = block
        text = "" if call.is_custom else "".join(call.pieces)
        return stopped + started + (block.around[0] + _encode(text)[1:-1] + block.around[1] if text else b"")
