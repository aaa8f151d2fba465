"""A chat completion's chunks → the events of a response, and its whole answer → the response.

An answer is a list of items, and each item has texts that grow: the parts of a message, reasoning, the arguments of a call.
Events say when an item or a part begins, what is added, and when it ends; they are numbered. The last event says how the
answer ended: `completed`, `incomplete` (cut at a limit, or filtered) or `failed`, and has the whole answer again.

- Texts, reasoning and refusals are open one at a time: the next one ends the one before. Calls remain open until the answer
  ends, since servers may interleave pieces of several calls.
- A text's pieces are kept as JSON, and joined as JSON: nothing is encoded twice.
- A whole answer is encoded as a stream, whose last event has the response: there is one way from chat completions to
  responses.

What a response can't express is an error that names it (audio, images, several choices), except for metadata: a
fingerprint, fields that no struct names. Thinking blocks are sealed (`sealed`) if the client includes encrypted reasoning.
"""

import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import msgspec

from ...exceptions import InternalServerError
from ...types._source import Fields
from ...types.additions import Addition
from ...types.chat import (
    ChatCompletionDeltaToolCall,
    Delta,
    ModelResponse,
    ModelResponseStream,
    Usage,
)
from ..convert import response_chunks
from ..sealed import seal
from ..segments import deltas_of
from ..tool_calls import ToolCalls
from .deltas import only_text, tokens_of
from .items import responses_annotation
from .parts import beside
from .request import ResponsesRequest
from .resource import echo_of, error_of, incomplete_reason, usage_of
from .texts import ARGUMENTS, BEGINNINGS, INPUT, REASONING, REFUSAL, SUMMARY, TEXT, Item, Kind, Text

_encode = msgspec.json.Encoder().encode


class EventEncoder:
    """Encodes one answer to a request.

    Args:
        request: the client's.
    """

    def __init__(self, request: ResponsesRequest) -> None:
        self._request = request
        self._echo: bytes | None = None  # its parameters, which the response repeats; None until the answer has begun
        self._head: Fields = {}
        self._number = 0  # of the next event
        self._items: list[Item] = []
        self._open: Text | None = None  # the text that pieces may be added to
        self._calls: ToolCalls = ToolCalls()
        self._arguments: dict[int, Text] = {}  # by the number of their call
        self._held: dict[int, str] = {}  # arguments of calls whose name has not arrived
        self._thinking: list[Any] = []  # blocks to be sealed in the next reasoning item
        self._finish_reason: str | None = None

    def encode(self, chunk: object) -> bytes:
        """The events for a chunk, an addition, or bare text; b"" if there are none."""
        if type(chunk) is Addition:
            chunk = chunk.chunk()
        text = chunk if type(chunk) is str else only_text(chunk)
        open_ = self._open
        if text and open_ is not None and open_.kind is TEXT:
            return self._grown(open_, text)
        return b"".join(self._encode_any(chunk))

    def ending(self, usage: Usage | None) -> bytes:
        """The events after the last chunk: the ends of all open texts and items, and the end of the answer."""
        return b"".join(self._end(usage))

    def whole(self, response: ModelResponse) -> bytes:
        """The body for a whole answer."""
        for chunk in response_chunks(response):
            self.encode(chunk)
        self.ending(response.usage)
        return self._response(self._ended(response.usage))

    def failed(self, error: Fields, status: int) -> bytes:
        """The last event of an answer that failed, with the part of it that there is.

        Args:
            error: an error object, with a message and perhaps a code.
            status: the HTTP status of such an error.
        """
        begun = b"" if self._echo is not None else b"".join(self._begin(None))
        for text in (self._open, *self._arguments.values()):
            if text is not None:
                text.item.ended("incomplete")
        ended = {"status": "failed", "error": error_of(error, status), "output": self._output()}
        return begun + self._event("response.failed", response=msgspec.Raw(self._response(ended)))

    def _head_of(self, chunk: object) -> tuple[str, int, str]:
        """The response's id, creation time and model, given its first chunk, or None if there are no chunks."""
        return f"resp_{uuid4().hex}", int(time.time()), self._request.model

    def _event(self, kind: str, **fields: object) -> bytes:
        number, self._number = self._number, self._number + 1
        data = _encode({"type": kind, "sequence_number": number, **fields})
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), data)

    def _response(self, fields: Fields) -> bytes:
        """The response's JSON."""
        shown: Fields = {**self._head, "completed_at": None, "error": None, "incomplete_details": None, "usage": None, **fields}
        return _encode(shown)[:-1] + b"," + (self._echo or b"")[1:]

    def _begin(self, chunk: object) -> Iterator[bytes]:
        given_id, created, model = self._head_of(chunk)
        self._head = {"id": given_id, "object": "response", "created_at": created, "model": model}
        tier = getattr(chunk, "service_tier", None)
        self._echo = _encode(echo_of(self._request) | ({"service_tier": tier} if tier else {}))
        begun = msgspec.Raw(self._response({"status": "in_progress", "output": []}))
        yield self._event("response.created", response=begun)
        yield self._event("response.in_progress", response=begun)

    def _encode_any(self, chunk: Any) -> Iterator[bytes]:
        if self._echo is None:
            yield from self._begin(chunk)
        if isinstance(chunk, str):
            yield from self._add(TEXT, chunk)
            return
        given: ModelResponseStream = chunk
        for choice in given.choices:
            if choice.index:
                raise _inexpressible("several choices")
            deltas, tokens = deltas_of(choice.delta), tokens_of(choice)
            first = next((number for number, delta in enumerate(deltas) if delta.content), 0)  # the text with the tokens
            for number, delta in enumerate(deltas):
                yield from self._delta(delta, tokens if number == first else [])
            self._finish_reason = choice.finish_reason or self._finish_reason

    def _delta(self, delta: Delta, tokens: list[Fields]) -> Iterator[bytes]:
        for name in ("audio", "images"):
            if getattr(delta, name):
                raise _inexpressible(name)
        if delta.reasoning_content:
            yield from self._add(SUMMARY if self._request.wants_summary else REASONING, delta.reasoning_content)
        for item in delta.reasoning_items or ():
            yield from self._reasoning_item(item)
        if delta.thinking_blocks and self._request.wants_encrypted:
            self._thinking += delta.thinking_blocks
            if self._open is None or self._open.kind.item != "reasoning":
                yield from self._reasoning({})
        if delta.content or tokens:
            yield from self._add(TEXT, delta.content or "", tokens)
        for annotation in delta.annotations or ():
            yield from self._annotation(annotation)
        if delta.refusal:
            yield from self._add(REFUSAL, delta.refusal)
        for piece in delta.tool_calls or ():
            yield from self._call(piece)
        if delta.function_call is not None:
            yield from self._call(ChatCompletionDeltaToolCall(index=0, function=delta.function_call))

    def _add(self, kind: Kind, added: str, tokens: list[Fields] | None = None) -> Iterator[bytes]:
        """Add to the open text, or to a new one if that is of another kind."""
        if not added and not tokens:
            return
        open_ = self._open
        if open_ is None or open_.kind is not kind:
            yield from self._close_text(unless=kind.item)
            item = open_.item if open_ is not None and self._open is not None else None
            if item is None:
                item = self._new_item(kind)
                yield self._event("response.output_item.added", output_index=item.number, item=item.so_far())
            open_ = self._open = Text(kind, item)
            yield self._event(f"{kind.part_event}.added", **open_.where, part=open_.part())
        if tokens:
            open_.extra["logprobs"] += tokens
        yield self._grown(open_, added, tokens)

    def _grown(self, text: Text, added: str, tokens: list[Fields] | None = None) -> bytes:
        """The event that adds to a text; the bytes around the addition are known."""
        piece = _encode(added)[1:-1]
        text.pieces.append(piece)
        if tokens:
            return self._event(f"{text.kind.event}.delta", **text.where, delta=added, logprobs=tokens)
        number, self._number = self._number, self._number + 1
        return b"%b%d%b%b%b" % (text.before, number, text.between, piece, text.after)

    def _new_item(self, kind: Kind, **fields: object) -> Item:
        given_id = f"{kind.id_prefix}{uuid4().hex}"
        item = Item(len(self._items), {"id": given_id, "type": kind.item, **BEGINNINGS[kind.item], **fields})
        self._items.append(item)
        return item

    def _close_text(self, unless: str = "") -> Iterator[bytes]:
        """End the open text, and its item, unless the item is of this type."""
        text = self._open
        if text is None:
            return
        yield from self._text_done(text)
        if text.kind.item != unless:
            self._open = None
            yield self._item_done(text.item)

    def _text_done(self, text: Text) -> Iterator[bytes]:
        kind = text.kind
        extra = {"logprobs": text.extra["logprobs"]} if kind is TEXT else {}
        yield self._event(f"{kind.event}.done", **text.where, **{kind.field: text.whole()}, **extra)
        if kind.part_event:
            yield self._event(f"{kind.part_event}.done", **text.where, part=text.part())

    def _item_done(self, item: Item, status: str = "completed") -> bytes:
        item.ended(status)
        is_own = item.fields["type"] == "reasoning" and not item.fields.get("encrypted_content")
        if is_own and self._request.wants_encrypted:
            item.fields["encrypted_content"] = seal("thinking_blocks", self._thinking)
            self._thinking = []
        return self._event("response.output_item.done", output_index=item.number, item=item.so_far())

    def _reasoning_item(self, given: object) -> Iterator[bytes]:
        """A reasoning item of an endpoint. If its text was streamed, that was in an item with another id, so it is sealed there."""
        if not isinstance(given, dict):
            return
        if not any(item.texts for item in self._items if item.fields["type"] == "reasoning"):
            yield from self._reasoning(beside(given, "type"))
            return
        if not (given.get("encrypted_content") or self._request.wants_encrypted):
            return
        encrypted = {"encrypted_content": seal("reasoning_items", [given])}
        if self._open is not None and self._open.kind.item == "reasoning":
            self._open.item.fields |= encrypted
            yield from self._close_text()
        else:
            yield from self._reasoning(encrypted)

    def _reasoning(self, fields: Fields) -> Iterator[bytes]:
        """The events for a reasoning item without a text that grows."""
        yield from self._close_text()
        item = self._new_item(REASONING, **fields)
        yield self._event("response.output_item.added", output_index=item.number, item=item.so_far())
        yield self._item_done(item)

    def _annotation(self, annotation: object) -> Iterator[bytes]:
        text = self._open
        if text is None or text.kind is not TEXT or not isinstance(annotation, dict):
            return  # it belongs to a text, and none is open
        shown, known = responses_annotation(annotation), text.extra["annotations"]
        yield self._event("response.output_text.annotation.added", **text.where, annotation_index=len(known), annotation=shown)
        known.append(shown)

    def _call(self, piece: ChatCompletionDeltaToolCall) -> Iterator[bytes]:
        number = self._calls.add(piece, {})
        function, custom = piece.function, piece.custom or {}
        name = custom.get("name") or (function.name if function is not None else None)
        added = custom.get("input") or (function.arguments if function is not None else None) or ""
        text = self._arguments.get(number)
        if text is None:
            added = self._held.pop(number, "") + added
            if not name:
                self._held[number] = added
                return
            yield from self._close_text()
            text = self._begin_call(number, INPUT if custom else ARGUMENTS, name, piece.id)
            yield self._event("response.output_item.added", output_index=text.item.number, item=text.item.so_far())
        if added:
            yield self._grown(text, added)

    def _begin_call(self, number: int, kind: Kind, name: str, call_id: str | None) -> Text:
        item = self._new_item(kind, call_id=call_id or f"call_{uuid4().hex}", **self._named(name))
        text = self._arguments[number] = Text(kind, item)
        return text

    def _named(self, name: str) -> Fields:
        """The fields with a tool's name and its namespace."""
        group, own = self._request.names.get(name, (None, name))
        return {"name": own} if group is None else {"name": own, "namespace": group}

    def _close_calls(self, status: str) -> Iterator[bytes]:
        calls = self._calls.whole()
        numbers = sorted({*self._arguments, *self._held})
        for number, call in zip(numbers, calls, strict=True):
            inner, text = call.get("function") or call.get("custom") or {}, self._arguments.get(number)
            if text is None:  # its name has never arrived
                text = self._begin_call(number, ARGUMENTS, "", call.get("id"))
                yield self._event("response.output_item.added", output_index=text.item.number, item=text.item.so_far())
            text.item.fields |= self._named(inner.get("name") or "")
            text.meant = inner.get(text.kind.field) or ""
            yield from self._text_done(text)
            yield self._item_done(text.item, status if text.item is self._items[-1] else "completed")

    def _end(self, usage: Usage | None) -> Iterator[bytes]:
        if self._echo is None:
            yield from self._begin(None)
        status = "completed" if incomplete_reason(self._finish_reason) is None else "incomplete"
        if (text := self._open) is not None:
            self._open = None
            yield from self._text_done(text)
            yield self._item_done(text.item, status)
        yield from self._close_calls(status)
        yield self._event(f"response.{status}", response=msgspec.Raw(self._response(self._ended(usage))))

    def _ended(self, usage: Usage | None) -> Fields:
        """The response's fields about its end."""
        fields: Fields = {"output": self._output(), "usage": usage_of(usage)}
        reason = incomplete_reason(self._finish_reason)
        if reason is not None:
            return {"status": "incomplete", "incomplete_details": {"reason": reason}, **fields}
        return {"status": "completed", "completed_at": int(time.time()), **fields}

    def _output(self) -> list[Fields]:
        return [item.so_far() for item in self._items]


def _inexpressible(what: str) -> InternalServerError:
    return InternalServerError(f"the answer has {what}, which a response can't have")
