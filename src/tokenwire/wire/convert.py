"""Converts between the shapes of completions: OpenAI's chunks, LiteLLM's flat chunks, text chunks, and whole completions.

Arguments are never changed; a chunk that already has the wanted shape is returned as it is. The fields, and their names in
a flat chunk, are in `fields`.
"""

import copy
import operator
import time
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

from ..types._record import Record, build, coerce, copy_fields, from_fields, sent, stored_names
from ..types._response import share_call
from ..types._source import children, document_of, set_source, share_source, unknown_fields
from ..types.additions import ARGUMENTS, CONTENT, REASONING, Addition
from ..types.chat import (
    ChatCompletionDeltaToolCall,
    Choices,
    Delta,
    DeltaFunction,
    GenericStreamingChunk,
    Message,
    ModelResponse,
    ModelResponseStream,
    StreamingChoices,
    new_id,
)
from ..types.text import TextChoices, TextCompletionResponse
from .fields import CHOICE, HEAD, MESSAGE, Grows, leftovers_of, names

Chunk: TypeAlias = ModelResponseStream | GenericStreamingChunk | TextCompletionResponse
CallNumbers: TypeAlias = Callable[[int | None], list[int]]
Shape: TypeAlias = type[ModelResponseStream] | type[GenericStreamingChunk] | type[TextCompletionResponse]
R = TypeVar("R", bound=Record)
C = TypeVar("C", ModelResponse, TextCompletionResponse)

_PIECE = build(GenericStreamingChunk)
_DELTA = build(Delta)
_HEAD = names(HEAD, Grows.FIRST, Grows.LATEST, Grows.UPDATED)
_ONLY_IN_DELTAS = tuple(row.name for row in MESSAGE if row.flat is None and row.name != "role")
_CHOICE = (*names(CHOICE, Grows.LATEST, Grows.JSON, Grows.UPDATED), "index")


def whole_class(shape: Shape) -> type[ModelResponse] | type[TextCompletionResponse]:
    """The class of a whole completion, assembled from chunks of a shape."""
    return TextCompletionResponse if shape is TextCompletionResponse else ModelResponse


def _common(cls: type[Record], record: Record, wanted: tuple[str, ...]) -> dict[str, Any]:
    """Those of the wanted fields that are set in a record and declared by `cls`."""
    ours, theirs = stored_names(cls), stored_names(type(record))
    found = {name: sent(record, name) for name in wanted if name in ours and name in theirs}
    return {name: value for name, value in found.items() if value is not None}


class Converter:
    """Converts one stream's chunks to the caller's shape, with one id and creation time for the stream."""

    __slots__ = ("_head", "_introduced", "_model", "_plain", "_shape")

    def __init__(self, shape: Shape, model: str) -> None:
        self._shape = shape
        self._model = model
        self._head: dict[str, Any] | None = None  # made when needed: most streams have their own
        self._plain: Any = None
        self._introduced: set[int] = set()  # indices of choices whose role has been sent

    @property
    def head(self) -> dict[str, Any]:
        """The id, creation time and model of the stream, for chunks without them."""
        if self._head is None:
            new = new_id("cmpl-" if self._shape is TextCompletionResponse else "chatcmpl-")
            self._head = {"id": new, "created": int(time.time()), "model": self._model}
        return self._head

    def convert(self, chunk: Chunk, call_numbers: CallNumbers | None = None) -> list[Any]:
        """The chunk in the caller's shape: several chunks if one flat chunk can't hold it all, none if it is empty.

        Args:
            chunk: any.
            call_numbers: returns the numbers of the tool calls of which the chunk has pieces, by the index of a choice;
                they become the `index` of the pieces.
        """
        if call_numbers is not None:
            chunk = _numbered(chunk, call_numbers)
        if isinstance(chunk, self._shape):
            return [chunk]
        other: Any = chunk
        if self._shape is GenericStreamingChunk:
            return _to_flat(other)
        return self._to_chat(other) if self._shape is ModelResponseStream else self._to_text(other)

    def plain_chunk(self, text: str | None) -> Any:
        """A chunk of the caller's shape with only text, for choice 0. Made by copying, which is fast."""
        if self._shape is GenericStreamingChunk:
            piece = copy_fields(_PIECE)
            piece.text = text or ""
            return piece
        if self._plain is None:
            choice = build(TextChoices) if self._shape is TextCompletionResponse else build(StreamingChoices)
            self._plain = build(self._shape, **self.head, choices=[choice])
        chunk = copy_fields(self._plain)
        choice = copy_fields(chunk.choices[0])
        if self._shape is TextCompletionResponse:
            choice.text = text
        else:
            choice.delta = copy_fields(_DELTA)
            choice.delta.content = text
        chunk.choices = [choice]
        return chunk

    def opening(self, text: str) -> Any:
        """The same for the first chunk of choice 0, which has the role."""
        chunk = self.plain_chunk(text)
        if self._shape is ModelResponseStream:
            chunk.choices[0].delta.role = self._role(0)
        return chunk

    def ending(self, reason: str) -> Any:
        """The last chunk of choice 0, with only its finish reason."""
        chunk = self.plain_chunk(None)
        if self._shape is GenericStreamingChunk:
            chunk.is_finished, chunk.finish_reason = True, reason
        else:
            chunk.choices[0].finish_reason = reason
        return chunk

    def continues(self, index: int) -> bool:
        """Whether `continued` and `added` can convert for a choice: its role has been sent, if the shape has roles."""
        is_text = self._shape is TextCompletionResponse
        return self._shape is GenericStreamingChunk or (not is_text and index in self._introduced)

    def continued(self, piece: GenericStreamingChunk) -> Any:
        """The single chunk for a handler's flat chunk that `continues`. Made by copying."""
        if self._shape is GenericStreamingChunk:
            return piece
        chunk = self.plain_chunk(piece.text or None)
        chunk.usage = piece.usage
        choice = chunk.choices[0]
        choice.index, choice.logprobs = piece.index, sent(piece, "logprobs")
        choice.delta.reasoning_content = piece.reasoning_content
        if piece.tool_use is not None:
            choice.delta.tool_calls = [piece.tool_use]
        return chunk

    def added(self, addition: Addition) -> Any:
        """The single chunk for an addition to a choice that `continues`."""
        is_flat, field, text = self._shape is GenericStreamingChunk, addition.field, addition.text
        chunk = self.plain_chunk(text if field == CONTENT else None)
        chunk.usage = addition.usage
        choice = chunk if is_flat else chunk.choices[0]
        choice.index, choice.logprobs = addition.index, addition.logprobs
        if field == REASONING:
            (choice if is_flat else choice.delta).reasoning_content = text
        elif field == ARGUMENTS:
            call = addition.tool_call()
            if is_flat:
                choice.tool_use = call
            else:
                choice.delta.tool_calls = [call]
        return chunk

    def _to_chat(self, chunk: GenericStreamingChunk | TextCompletionResponse) -> list[ModelResponseStream]:
        if isinstance(chunk, GenericStreamingChunk):
            parts = chunk.text, chunk.is_finished, chunk.finish_reason, chunk.reasoning_content, chunk.provider_specific_fields
            is_empty = not any(parts) and chunk.tool_use is None and chunk.logprobs is None
            choices = [] if is_empty else [self._choice_from_flat(chunk)]
            return [self._rebuilt(chunk, choices)] if choices or chunk.usage is not None else []
        return [self._rebuilt(chunk, [self._choice_from_text(choice) for choice in chunk.choices])]

    def _to_text(self, chunk: GenericStreamingChunk | ModelResponseStream) -> list[TextCompletionResponse]:
        if isinstance(chunk, GenericStreamingChunk):
            choices = [_text_choice(chunk, chunk.text, finish_reason=chunk.finish_reason or None)]
        else:
            choices = [_text_choice(choice, choice.delta.content or "") for choice in chunk.choices]
        return [self._rebuilt(chunk, choices)]

    def _rebuilt(self, chunk: Chunk, choices: list[Any]) -> Any:
        """A chunk of the caller's shape with these choices, and the stream's id, creation time and model where it has none."""
        if isinstance(chunk, GenericStreamingChunk):
            own = {name: value for name in ("id", "model") if (value := getattr(chunk, name))}
        else:
            own = {name: value for name, value in _common(self._shape, chunk, _HEAD).items() if value}
        head = own if own.keys() >= {"id", "created", "model"} else {**self.head, **own}
        converted = from_fields(self._shape, {**head, "choices": choices, "usage": chunk.usage})
        if not isinstance(chunk, GenericStreamingChunk):
            share_source(converted, chunk)
        return converted

    def _choice_from_flat(self, chunk: GenericStreamingChunk) -> StreamingChoices:
        call = chunk.tool_use
        if call is not None and call.index is None:
            call = _piece(ChatCompletionDeltaToolCall, call, index=0)
        named = {} if chunk.provider_specific_fields is None else delta_fields_in(chunk.provider_specific_fields)
        fields: dict[str, Any] = {
            **named,
            "content": chunk.text or None,
            "role": self._role(chunk.index),
            "tool_calls": None if call is None else [call],
            "reasoning_content": chunk.reasoning_content,
            "provider_specific_fields": chunk.provider_specific_fields,
        }
        return build(
            StreamingChoices,
            finish_reason=chunk.finish_reason or None,
            index=chunk.index,
            delta=from_fields(Delta, fields),
            _logprobs=sent(chunk, "logprobs"),
        )

    def _choice_from_text(self, choice: TextChoices) -> StreamingChoices:
        index = choice.index or 0
        delta = build(Delta, content=choice.text or None, role=self._role(index))
        return from_fields(StreamingChoices, {**_common(StreamingChoices, choice, _CHOICE), "index": index, "delta": delta})

    def _role(self, index: int) -> str | None:
        if index in self._introduced:
            return None
        self._introduced.add(index)
        return "assistant"


def _numbered(chunk: Chunk, call_numbers: CallNumbers) -> Chunk:
    """The chunk with its tool calls' pieces numbered by their calls: a copy if that changes it."""
    if isinstance(chunk, GenericStreamingChunk):
        if chunk.tool_use is None:
            return chunk
        (call,) = _with_numbers([chunk.tool_use], call_numbers(chunk.index))
        return chunk if call is chunk.tool_use else _changed(chunk, tool_use=call)
    if isinstance(chunk, TextCompletionResponse):
        return chunk
    choices = [_numbered_choice(choice, call_numbers) for choice in chunk.choices]
    return chunk if all(map(operator.is_, choices, chunk.choices)) else _changed(chunk, choices=choices)


def _numbered_choice(choice: StreamingChoices, call_numbers: CallNumbers) -> StreamingChoices:
    if not choice.delta.tool_calls:
        return choice
    calls = _with_numbers(choice.delta.tool_calls, call_numbers(choice.index))
    if all(map(operator.is_, calls, choice.delta.tool_calls)):
        return choice
    return _changed(choice, delta=_changed(choice.delta, tool_calls=calls))


def _with_numbers(calls: list[ChatCompletionDeltaToolCall], numbers: list[int]) -> list[ChatCompletionDeltaToolCall]:
    if len(calls) != len(numbers):  # the same choice is twice in the chunk
        return calls
    pairs = zip(calls, numbers, strict=True)
    return [call if call.index == number else numbered(call, number) for call, number in pairs]


def numbered(call: ChatCompletionDeltaToolCall, number: int) -> ChatCompletionDeltaToolCall:
    """A copy of a tool call's piece with its call's number."""
    return _changed(call, index=number)


def _changed(record: R, **fields: object) -> R:
    record = copy.copy(record)
    for name, value in fields.items():
        setattr(record, name, value)
    return record


def delta_fields_in(bag: dict[str, Any]) -> dict[str, Any]:
    """Those of a flat chunk's `provider_specific_fields` that are fields of a delta."""
    found = {name: bag[name] for name in _ONLY_IN_DELTAS if bag.get(name) is not None}
    if "function_call" in found:
        found["function_call"] = coerce(found["function_call"], DeltaFunction)
    return found


def _text_choice(choice: Record, text: str, **fields: object) -> TextChoices:
    return from_fields(TextChoices, {**_common(TextChoices, choice, _CHOICE), **fields, "text": text})


def _to_flat(chunk: ModelResponseStream | TextCompletionResponse) -> list[GenericStreamingChunk]:
    flat = [piece for choice in chunk.choices for piece in _flat_choice(chunk, choice)]
    if not flat:
        flat.append(build(GenericStreamingChunk, id=chunk.id, model=chunk.model))
        share_source(flat[0], chunk)
    flat[-1].usage = chunk.usage
    return flat


def _flat_choice(
    chunk: ModelResponseStream | TextCompletionResponse, choice: StreamingChoices | TextChoices
) -> list[GenericStreamingChunk]:
    delta = choice.delta if isinstance(choice, StreamingChoices) else None
    calls = (delta.tool_calls if delta is not None else None) or [None]
    pieces = [
        build(GenericStreamingChunk, index=choice.index or 0, tool_use=call, id=chunk.id, model=chunk.model) for call in calls
    ]
    first, last = pieces[0], pieces[-1]
    first.logprobs = sent(choice, "logprobs")
    if delta is None:
        first.text = getattr(choice, "text", None) or ""
    else:
        first.text = delta.content or ""
        first.reasoning_content = delta.reasoning_content
        explicit = sent(delta, "provider_specific_fields")
        first.provider_specific_fields = {**explicit, **leftovers_of(delta)} if explicit else None
    for piece in pieces:
        _share_with_flat(piece, choice, delta)
    if choice.finish_reason is not None:
        last.is_finished, last.finish_reason = True, choice.finish_reason
    return pieces


def _share_with_flat(piece: GenericStreamingChunk, choice: Record, delta: Delta | None) -> None:
    """Set a flat chunk's source to the part of the document it was made of; if there is none, to its unknown fields."""
    if delta is None:
        share_source(piece, choice)
    elif document_of(choice) is not None:
        share_source(piece, choice, "delta")
    elif document_of(delta) is not None:
        share_source(piece, delta)
    elif leftovers := {**unknown_fields(delta), **leftovers_of(delta)}:
        set_source(piece, leftovers)


def piece_of(response: ModelResponse) -> ModelResponseStream | None:
    """The chunk for LiteLLM's `ModelResponse(stream=True)`, whose choices have a delta; None for a whole answer."""
    if not any("delta" in choice for choice in response.choices):
        return None
    fields = {**_common(ModelResponseStream, response, (*_HEAD, "usage")), **unknown_fields(response)}
    return ModelResponseStream(**fields, choices=[_piece_of_choice(choice) for choice in response.choices])


def _piece_of_choice(choice: Choices) -> StreamingChoices:
    unknown = dict(unknown_fields(choice))
    fields: dict[str, Any] = {**_common(StreamingChoices, choice, _CHOICE), "message": choice.message, **unknown}
    return StreamingChoices(**fields)


def response_chunks(response: ModelResponse) -> list[ModelResponseStream]:
    """The chunks of a whole completion, for a streamed call: its content, then its ends."""
    first = from_fields(ModelResponseStream, _common(ModelResponseStream, response, _HEAD))
    last = copy_fields(first)
    last.choices, last.usage = [], response.usage
    for choice in response.choices:
        delta = _piece(Delta, choice.message)
        first.choices.append(build(StreamingChoices, index=choice.index, delta=delta, _logprobs=sent(choice, "logprobs")))
        ending = from_fields(StreamingChoices, {**_common(StreamingChoices, choice, _CHOICE), "logprobs": None})
        share_source(ending, choice)
        last.choices.append(ending)
    share_source(first, response)
    unknown = unknown_fields(response)
    if unknown:  # where the assembler reads them; only the first chunk has the bytes as its source
        set_source(last, unknown)
    return [first, last]


def _piece(cls: type[R], record: Record, **fields: object) -> R:
    """The piece with all of a message, tool call or function, with the same source."""
    found = _common(cls, record, tuple(stored_names(cls)))
    for child in children(cls):
        if (value := found.get(child.key)) is not None:
            if child.is_list:
                found[child.key] = [_piece(child.cls, item, index=index) for index, item in enumerate(value)] or None
            else:
                found[child.key] = _piece(child.cls, value)
    piece = from_fields(cls, {**found, **fields})
    share_source(piece, record)
    return piece


def text_response(response: ModelResponse) -> TextCompletionResponse:
    """A chat completion as a text completion with the same text."""
    return _whole(TextCompletionResponse, response, [_text_choice(c, c.message.content or "") for c in response.choices])


def chat_response(response: TextCompletionResponse) -> ModelResponse:
    """A text completion as a chat completion with the same text."""
    choices = [
        from_fields(Choices, {**_common(Choices, choice, _CHOICE), "message": build(Message, content=choice.text)})
        for choice in response.choices
    ]
    return _whole(ModelResponse, response, choices)


def _whole(cls: type[C], response: ModelResponse | TextCompletionResponse, choices: list[Any]) -> C:
    whole = from_fields(cls, {**_common(cls, response, _HEAD), "choices": choices, "usage": response.usage})
    share_source(whole, response)
    share_call(whole, response)
    return whole
