"""The events of a response → chat chunks.

Nearly every event adds text to the latest item: its text is appended to the answer, and becomes a chunk made by copying.
All others are rare. Servers omit many events and fields: llama.cpp sends no `output_index`, others send no deltas but only
complete items, or only the whole response at the end. What was not streamed is taken from these.

The last event says how the answer ended. Without it, the answer was truncated.
"""

from collections.abc import Callable
from itertools import repeat
from typing import Any, ClassVar, Final

import msgspec

from ...exceptions import APIError
from ...types._record import build, copy_fields
from ...types._source import Fields
from ...types.chat import (
    ChatCompletionDeltaToolCall,
    Delta,
    DeltaFunction,
    ModelResponseStream,
    StreamingChoices,
    new_id,
)
from ..convert import Shape
from ..errors import error_from_object, malformed, of_chat
from ..sse import Event, Payload
from ..translating import TranslatingDecoder
from .answers import (
    CALLS,
    annotations_of,
    answer_of,
    call_of,
    created_of,
    error_of_response,
    finish_reason_of,
    message_of,
    reasoning_text as whole_reasoning,
)
from .parts import kind_of, objects_in, text_of
from .resource import chat_usage


class _Piece(msgspec.Struct, gc=False):
    """The fields that most events need."""

    type: str = ""
    delta: Any = None
    logprobs: object = None
    item_id: object = None


class _Event(_Piece, gc=False):
    """Any event."""

    output_index: object = None
    summary_index: object = None
    item: object = None
    response: object = None
    annotation: object = None
    error: object = None
    message: object = None
    code: object = None
    param: object = None
    choices: object = None  # only chunks of chat completions have them


class _Item(msgspec.Struct, gc=False):
    """An item that has begun.

    Attributes:
        id: its id in events.
        call: its number among the calls; -1 if it is not a call.
        streamed: whether some of its text arrived in pieces.
    """

    id: object = None
    call: int = -1
    streamed: bool = False


_UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_decode_piece = msgspec.json.Decoder(_Piece).decode  # takes half the time of the next one
_decode = msgspec.json.Decoder(_Event).decode

_NO_ID: Final = object()
_CHOICE = build(StreamingChoices)
_DELTA = build(Delta)

_TEXT: Final = "response.output_text.delta"
_REASONING: Final = frozenset({
    "response.reasoning_text.delta",
    "response.reasoning_summary_text.delta",
    "response.reasoning.delta",  # as the Open Responses specification has it
})  # fmt: skip
_ARGUMENTS: Final = frozenset({"response.function_call_arguments.delta", "response.custom_tool_call_input.delta"})
_ENDINGS: Final = ("response.completed", "response.incomplete")
_FAILURES: Final = ("response.failed", "response.cancelled")


class ResponseDecoder(TranslatingDecoder):
    """Decodes the events of one stream; an `EventDecoder`."""

    last_event: ClassVar[str] = "response.completed"
    had_content: bool
    error: APIError | None

    def __init__(self, shape: Shape, model: str) -> None:
        super().__init__(shape, model)
        self._items: dict[Any, _Item] = {}  # by id, and by `output_index`
        self._latest = _Item(_NO_ID)
        self._whole: list[Fields] = []  # items that are complete

    def decode(self, events: list[Payload]) -> list[Any]:
        """The chunks in `events`, in order; `done`, `had_content` and `error` say what else was found."""
        self.had_content = False
        chunks: list[Any] = []
        texts: list[str] = []  # of the latest item, not yet made into chunks
        remaining = iter(events)
        for event in remaining:
            data = event if isinstance(event, bytes) else event.data
            try:
                piece = _decode_piece(data)
                text = piece.delta
                if piece.type == _TEXT and type(text) is str and not piece.logprobs and piece.item_id == self._latest.id:
                    texts.append(text)
                    continue
                decoded = _decode(data)
            except _UNDECODABLE as error:
                self._not_an_event(data, error)
            else:
                if texts:
                    chunks += self._texts(texts)
                    texts = []
                chunks += self._decode_rare(decoded, event)
            if self.error is not None or self.done:
                self.unread: int = len(list(remaining))
                break
        if texts:
            chunks += self._texts(texts)
        self.assembler.count(len(chunks))
        return chunks

    def give_additions(self) -> None:
        """See `EventDecoder`; this decoder returns none."""

    def decode_document(self, data: bytes) -> list[Any]:
        """The chunks of a whole response; see `EventDecoder`."""
        return self._take_whole(answer_of(data))

    def _not_an_event(self, data: bytes, error: Exception) -> None:
        """Data that is not an event is an error, except for no data, and for the `[DONE]` of chat completions."""
        if data.strip() not in (b"", b"[DONE]"):
            self.error = malformed("an event of the stream", data, str(error))

    def _texts(self, texts: list[Any]) -> list[Any]:
        """Add pieces of the latest item's text to the answer. Returns their chunks."""
        self._latest.streamed = self.had_content = True
        self.assembler.first_text.extend(texts)
        if self.bare_text:
            return texts
        if self._is_flat:
            pieces = list(map(copy_fields, repeat(self._flat, len(texts))))
            for piece, text in zip(pieces, texts, strict=True):
                piece.text = text
            return pieces
        assert self._head is not None, "the first event has begun the stream"
        chunks = list(map(copy_fields, repeat(self._head, len(texts))))
        copies = zip(chunks, map(copy_fields, repeat(_CHOICE)), map(copy_fields, repeat(_DELTA)), texts, strict=False)
        for chunk, choice, delta, text in copies:
            delta.content = text
            choice.delta = delta
            chunk.choices = [choice]
        return chunks if self._converter is None else [self._converter.convert(chunk)[0] for chunk in chunks]

    def _decode_rare(self, event: _Event, payload: Payload) -> list[Any]:
        kind = event.type or (payload.event if isinstance(payload, Event) else "")
        if kind == "error" or (not kind and event.error is not None):
            flat = {"message": event.message, "code": event.code, "param": event.param}
            self.error = error_from_object(event.error or flat, body=event.error or flat)
            return []
        if not kind and event.choices is not None:
            self.error = of_chat("responses", payload if isinstance(payload, bytes) else payload.data)
            return []
        if kind in _FAILURES:
            self.error = error_of_response(event.response if isinstance(event.response, dict) else {})
            return []
        chunks = [] if self._head is not None else self._begin(event.response)
        handle = _HANDLERS.get(kind)  # the API has other events, such as those of built-in tools
        return chunks if handle is None else chunks + handle(self, event)

    def _begin(self, response: object) -> list[Any]:
        fields: Fields = response if isinstance(response, dict) else {}
        given = fields.get("id")
        self._begin_with(
            build(
                ModelResponseStream,
                id=given if isinstance(given, str) and given else new_id("resp_"),
                created=created_of(fields),
                model=fields.get("model") if isinstance(fields.get("model"), str) else self._model,
            )
        )
        return self._take(self._chunk(build(Delta, role="assistant")))

    def _chunk(self, delta: Delta) -> ModelResponseStream:
        assert self._head is not None, "the first event has begun the stream"
        chunk, choice = copy_fields(self._head), copy_fields(_CHOICE)
        choice.delta = delta
        chunk.choices = [choice]
        return chunk

    def _content(self, **fields: object) -> list[Any]:
        """The chunk for a delta with content."""
        self.had_content = True
        return self._take(self._chunk(build(Delta, **fields)))

    def _item_of(self, event: _Event) -> _Item:
        """An event's item: by its id or its `output_index`; the latest item if it has neither."""
        for key in (event.item_id, event.output_index):
            if key is not None and isinstance(key, str | int):
                found = self._items.get(key)
                if found is None and event.item is None:
                    found = self._items[key] = self._latest = _Item(event.item_id)
                if found is not None:
                    return found
        return self._latest

    def _text_with_logprobs(self, event: _Event) -> list[Any]:
        text = event.delta if isinstance(event.delta, str) else ""
        self._item_of(event).streamed = True
        self.had_content = self.had_content or bool(text)
        chunk = self._chunk(build(Delta, content=text))
        if event.logprobs:
            chunk.choices[0].logprobs = {"content": event.logprobs}
        return self._take(chunk)

    def _reasoning(self, event: _Event) -> list[Any]:
        self._item_of(event).streamed = True
        return self._content(_reasoning_content=event.delta) if isinstance(event.delta, str) and event.delta else []

    def _next_summary(self, event: _Event) -> list[Any]:
        """An empty line between the parts of a summary."""
        return self._content(_reasoning_content="\n\n") if event.summary_index else []

    def _refusal(self, event: _Event) -> list[Any]:
        self._item_of(event).streamed = True
        return self._content(refusal=event.delta) if isinstance(event.delta, str) else []

    def _annotation(self, event: _Event) -> list[Any]:
        annotations = annotations_of({"annotations": [event.annotation]})
        return self._take(self._chunk(build(Delta, annotations=annotations))) if annotations else []

    def _arguments(self, event: _Event) -> list[Any]:
        item, text = self._item_of(event), event.delta
        if item.call < 0 or not isinstance(text, str):
            return []
        item.streamed = True
        is_custom = event.type.startswith("response.custom")
        return self._content(tool_calls=[_piece(item.call, {"input": text} if is_custom else text)])

    def _item_added(self, event: _Event) -> list[Any]:
        fields: Fields = event.item if isinstance(event.item, dict) else {}
        item = self._latest = _Item(fields.get("id"))
        for key in (fields.get("id"), event.output_index):
            if isinstance(key, str | int):
                self._items[key] = item
        if kind_of(fields) not in CALLS:
            return []
        item.call, self._calls = self._calls, self._calls + 1
        return self._call(item, call_of({**fields, "arguments": "", "input": ""}))

    def _call(self, item: _Item, call: Fields) -> list[Any]:
        """The first chunk of a call."""
        piece = ChatCompletionDeltaToolCall(index=item.call, **call)
        return self._content(tool_calls=[piece])

    def _item_done(self, event: _Event) -> list[Any]:
        fields: Fields = event.item if isinstance(event.item, dict) else {}
        key = fields.get("id")
        known = [one for one in (key, event.output_index) if isinstance(one, str | int)]
        item = next((self._items[one] for one in known if one in self._items), None) or _Item()
        self._items |= dict.fromkeys(known, item)
        return self._rest_of(item, fields)

    def _rest_of(self, item: _Item, fields: Fields) -> list[Any]:
        """The chunks for what was not streamed of an item."""
        kind, streamed = kind_of(fields), item.streamed
        item.streamed = True
        self._whole.append(fields)
        if kind == "reasoning":
            text = "" if streamed else whole_reasoning(fields)
            return self._content(_reasoning_content=text or None, reasoning_items=[fields])
        if kind == "message":
            return [] if streamed else self._message(fields)
        if kind in CALLS:
            if streamed:
                return []
            if item.call < 0:
                item.call, self._calls = self._calls, self._calls + 1
                return self._call(item, call_of(fields))
            name, field = CALLS[kind]
            text = text_of(fields.get(field))
            return self._content(tool_calls=[_piece(item.call, {"input": text} if name == "custom" else text)])
        return self._segments(self._whole)

    def _segments(self, items: list[Fields]) -> list[Any]:
        """The chunk with the segments of all items so far, if the message needs them."""
        bag = message_of(items).get("provider_specific_fields")
        return [] if bag is None else self._take(self._chunk(build(Delta, _provider_specific_fields=bag)))

    def _message(self, fields: Fields) -> list[Any]:
        """The chunks for a message that was not streamed."""
        chunks: list[Any] = []
        for part in objects_in(fields.get("content")):
            texts = {"content": part.get("text"), "refusal": part.get("refusal")}
            found: Fields = {name: value for name, value in texts.items() if isinstance(value, str) and value}
            if annotations := annotations_of(part):
                found["annotations"] = annotations
            chunks += self._content(**found) if found else []
        return chunks

    def _end(self, event: _Event) -> list[Any]:
        """The last chunks: what was not streamed, the segments if the message needs them, and why the answer ended."""
        fields: Fields = event.response if isinstance(event.response, dict) else {}
        chunks: list[Any] = []
        if not self._items:
            for item in objects_in(fields.get("output")):
                chunks += self._rest_of(_Item(), item)
        status = event.type.removeprefix("response.")
        chunks += self._segments(objects_in(fields.get("output")) or self._whole)
        chunk = self._chunk(build(Delta))
        chunk.choices[0].finish_reason = finish_reason_of({**fields, "status": status}, self._calls > 0)
        chunk.usage = chat_usage(fields.get("usage"))
        if isinstance(fields.get("service_tier"), str):
            chunk.service_tier = fields["service_tier"]
        self.done = True
        return chunks + self._take(chunk)


_HANDLERS: Final[dict[str, Callable[[ResponseDecoder, _Event], list[Any]]]] = {
    _TEXT: ResponseDecoder._text_with_logprobs,
    **dict.fromkeys(_REASONING, ResponseDecoder._reasoning),
    "response.reasoning_summary_part.added": ResponseDecoder._next_summary,
    "response.refusal.delta": ResponseDecoder._refusal,
    "response.output_text.annotation.added": ResponseDecoder._annotation,
    **dict.fromkeys(_ARGUMENTS, ResponseDecoder._arguments),
    "response.output_item.added": ResponseDecoder._item_added,
    "response.output_item.done": ResponseDecoder._item_done,
    **dict.fromkeys(_ENDINGS, ResponseDecoder._end),
}


def _piece(number: int, added: object) -> ChatCompletionDeltaToolCall:
    """A piece of a call: of a function's arguments, or of a custom tool's input."""
    if isinstance(added, dict):
        return build(ChatCompletionDeltaToolCall, index=number, custom=added)
    return build(ChatCompletionDeltaToolCall, index=number, function=build(DeltaFunction, arguments=added))
