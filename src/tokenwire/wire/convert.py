"""From one shape of a completion to another: OpenAI's chunks, LiteLLM's flat chunks, text chunks, and wholes.

Nothing here changes what it is given; a chunk that already has the wanted shape is handed on as it is.
"""

import time
from functools import cached_property
from typing import Any, TypeAlias

from ..types._record import build, copy_fields
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

Chunk: TypeAlias = ModelResponseStream | GenericStreamingChunk | TextCompletionResponse
Shape: TypeAlias = type[ModelResponseStream] | type[GenericStreamingChunk] | type[TextCompletionResponse]

_PIECE = build(GenericStreamingChunk)
_DELTA = build(Delta)


def whole_class(shape: Shape) -> type[ModelResponse] | type[TextCompletionResponse]:
    """What the chunks of a shape come to when they are put together."""
    return TextCompletionResponse if shape is TextCompletionResponse else ModelResponse


class Converter:
    """Turns one stream's chunks into the shape its caller wants, with one id and creation time for the stream."""

    def __init__(self, shape: Shape, model: str) -> None:
        self._shape = shape
        self._model = model
        self._introduced: set[int] = set()  # the choices whose role has been sent

    # Most streams have their own, so these are made when they are first asked for.
    @cached_property
    def _id(self) -> str:
        return new_id("cmpl-" if self._shape is TextCompletionResponse else "chatcmpl-")

    @cached_property
    def _created(self) -> int:
        return int(time.time())

    @property
    def head(self) -> dict[str, Any]:
        """The id, creation time and model of the stream, for what its chunks leave open."""
        return {"id": self._id, "created": self._created, "model": self._model}

    def convert(self, chunk: Chunk) -> list[Any]:
        """The chunk in the wanted shape: several where a flat chunk can't hold it all, none where nothing is in it."""
        if isinstance(chunk, self._shape):
            return [chunk]
        if self._shape is ModelResponseStream:
            return self._to_chat(chunk)
        if self._shape is GenericStreamingChunk:
            return _to_flat(chunk)
        return self._to_text(chunk)

    def plain_chunk(self, text: str) -> Any:
        """A chunk of the wanted shape that brings text for choice 0 and nothing else, made of copies, which is fast."""
        if self._shape is GenericStreamingChunk:
            piece = copy_fields(_PIECE)
            piece.text = text
            return piece
        chunk = copy_fields(self._plain)
        choice = copy_fields(chunk.choices[0])
        if self._shape is TextCompletionResponse:
            choice.text = text
        else:
            choice.delta = copy_fields(_DELTA)
            choice.delta.content = text
        chunk.choices = [choice]
        return chunk

    @cached_property
    def _plain(self) -> Any:
        choice = build(TextChoices) if self._shape is TextCompletionResponse else build(StreamingChoices)
        return build(self._shape, id=self._id, created=self._created, model=self._model, choices=[choice])

    def _to_chat(self, chunk: Chunk) -> list[ModelResponseStream]:
        if isinstance(chunk, GenericStreamingChunk):
            choices = [self._choice_from_flat(chunk)] if _says_something(chunk) else []
            if not choices and chunk.usage is None:
                return []
        elif isinstance(chunk, TextCompletionResponse):
            choices = [self._choice_from_text(choice) for choice in chunk.choices]
        else:
            return [chunk]
        return [self._rebuilt(chunk, choices)]

    def _rebuilt(self, chunk: Chunk, choices: list[Any]) -> Any:
        """A chunk of the wanted shape around these choices; what the given one leaves open is the stream's own."""
        converted = build(
            self._shape,
            id=chunk.id or self._id,
            created=getattr(chunk, "created", None) or self._created,
            model=chunk.model or self._model,
            choices=choices,
            usage=chunk.usage,
        )
        return _with_origin(converted, chunk)

    def _choice_from_flat(self, chunk: GenericStreamingChunk) -> StreamingChoices:
        delta = build(
            Delta,
            content=chunk.text or None,
            role=self._role(chunk.index),
            tool_calls=None if chunk.tool_use is None else [_numbered(chunk.tool_use)],
            reasoning_content=chunk.reasoning_content,
            provider_specific_fields=chunk.provider_specific_fields,
        )
        return build(
            StreamingChoices, finish_reason=_finish_reason(chunk), index=chunk.index, delta=delta, logprobs=chunk.logprobs
        )

    def _choice_from_text(self, choice: TextChoices) -> StreamingChoices:
        index = choice.index or 0
        delta = build(Delta, content=choice.text or None, role=self._role(index))
        return build(StreamingChoices, finish_reason=choice.finish_reason, index=index, delta=delta, logprobs=choice.logprobs)

    def _role(self, index: int) -> str | None:
        if index in self._introduced:
            return None
        self._introduced.add(index)
        return "assistant"

    def _to_text(self, chunk: Chunk) -> list[TextCompletionResponse]:
        if isinstance(chunk, GenericStreamingChunk):
            choices = [
                build(
                    TextChoices,
                    finish_reason=_finish_reason(chunk),
                    index=chunk.index,
                    text=chunk.text,
                    logprobs=chunk.logprobs,
                )
            ]
        elif isinstance(chunk, ModelResponseStream):
            choices = [
                build(
                    TextChoices,
                    finish_reason=choice.finish_reason,
                    index=choice.index,
                    text=choice.delta.content or "",
                    logprobs=choice.logprobs,
                )
                for choice in chunk.choices
            ]
        else:
            return [chunk]
        return [self._rebuilt(chunk, choices)]


def _with_origin(converted: Any, chunk: Chunk | ModelResponse) -> Any:
    origin = getattr(chunk, "_origin", None)
    if origin is not None and not isinstance(origin, dict) and not isinstance(chunk, GenericStreamingChunk):
        converted._origin = origin
    return converted


def _says_something(chunk: GenericStreamingChunk) -> bool:
    return bool(
        chunk.text
        or chunk.is_finished
        or chunk.finish_reason
        or chunk.tool_use is not None
        or chunk.reasoning_content
        or chunk.provider_specific_fields
        or chunk.logprobs is not None
    )


def _finish_reason(chunk: GenericStreamingChunk) -> str | None:
    return chunk.finish_reason or None


def _numbered(call: ChatCompletionDeltaToolCall) -> ChatCompletionDeltaToolCall:
    if call.index is not None:
        return call
    return build(ChatCompletionDeltaToolCall, id=call.id, function=call.function, type=call.type, index=0, custom=call.custom)


def _to_flat(chunk: Chunk) -> list[GenericStreamingChunk]:
    if isinstance(chunk, GenericStreamingChunk):
        return [chunk]
    flat: list[GenericStreamingChunk] = []
    for choice in chunk.choices:
        flat += _flat_choice(chunk, choice)
    if not flat:
        flat.append(build(GenericStreamingChunk, id=chunk.id, model=chunk.model))
        _attach_origin(flat, chunk)
    flat[-1].usage = chunk.usage
    return flat


def _flat_choice(chunk: Any, choice: StreamingChoices | TextChoices) -> list[GenericStreamingChunk]:
    delta = choice.delta if isinstance(choice, StreamingChoices) else None
    calls = (delta.tool_calls if delta is not None else None) or [None]
    pieces = [
        build(GenericStreamingChunk, index=choice.index or 0, tool_use=call, id=chunk.id, model=chunk.model) for call in calls
    ]
    first, last = pieces[0], pieces[-1]
    first.logprobs = choice.logprobs
    if isinstance(choice, TextChoices):
        first.text = choice.text or ""
    elif delta is not None:
        first.text = delta.content or ""
        first.reasoning_content = delta.reasoning_content
        first.provider_specific_fields = delta._slot_provider_specific_fields  # type: ignore[attr-defined]
    _attach_origin(pieces, choice if delta is None else delta, chunk)
    if choice.finish_reason is not None:
        last.is_finished, last.finish_reason = True, choice.finish_reason
    return pieces


def _attach_origin(pieces: list[GenericStreamingChunk], *records: Any) -> None:
    """Tell flat chunks which part of a document they were made of: the first of `records` that knows."""
    record = next((record for record in records if hasattr(record, "_origin")), None)
    if record is None:
        return
    origin = record._origin
    if isinstance(origin, bytes):  # the record's usual place is not a flat chunk's
        origin = (origin, record._place)
    for piece in pieces:
        piece._origin = origin


def response_chunks(response: ModelResponse) -> list[ModelResponseStream]:
    """The chunks that a whole completion comes to, for a caller who asked for a stream."""
    choices: list[StreamingChoices] = []
    for choice in response.choices:
        message = choice.message
        delta = build(
            Delta,
            content=message.content,
            role=message.role,
            function_call=_delta_function(message.function_call),
            tool_calls=_delta_calls(message),
            audio=message.audio,
            images=message.images,
            reasoning_content=message.reasoning_content,
            thinking_blocks=message.thinking_blocks,
            annotations=message.annotations,
            refusal=message.refusal,
            provider_specific_fields=message.provider_specific_fields,
        )
        choices.append(build(StreamingChoices, index=choice.index, delta=delta, logprobs=choice.logprobs))
    endings = [
        build(StreamingChoices, index=choice.index, delta=build(Delta), finish_reason=choice.finish_reason)
        for choice in response.choices
    ]
    first, last = _chunk_of(response, choices), _chunk_of(response, endings, usage=response.usage)
    return [_with_origin(first, response), last]


def _chunk_of(response: ModelResponse, choices: list[StreamingChoices], **fields: Any) -> ModelResponseStream:
    return build(
        ModelResponseStream,
        id=response.id,
        created=response.created,
        model=response.model,
        choices=choices,
        system_fingerprint=response.system_fingerprint,
        service_tier=response.service_tier,
        **fields,
    )


def _delta_function(function: Any) -> DeltaFunction | None:
    return None if function is None else build(DeltaFunction, arguments=function.arguments, name=function.name)


def _delta_calls(message: Message) -> list[ChatCompletionDeltaToolCall] | None:
    return [
        build(
            ChatCompletionDeltaToolCall,
            id=call.id,
            function=_delta_function(call.function),
            type=call.type,
            index=index,
            custom=call.custom,
        )
        for index, call in enumerate(message.tool_calls or ())
    ] or None


def text_response(response: ModelResponse) -> TextCompletionResponse:
    """A chat completion as the text completion with the same words."""
    choices = [
        build(
            TextChoices,
            finish_reason=choice.finish_reason,
            index=choice.index,
            text=choice.message.content or "",
            logprobs=choice.logprobs,
        )
        for choice in response.choices
    ]
    return _whole(TextCompletionResponse, response, choices)


def chat_response(response: TextCompletionResponse) -> ModelResponse:
    """A text completion as the chat completion with the same words."""
    choices = [
        build(
            Choices,
            finish_reason=choice.finish_reason,
            index=choice.index,
            message=build(Message, content=choice.text),
            logprobs=choice.logprobs,
        )
        for choice in response.choices
    ]
    return _whole(ModelResponse, response, choices)


def _whole(cls: Any, response: Any, choices: list[Any]) -> Any:
    whole = build(
        cls,
        id=response.id,
        created=response.created,
        model=response.model,
        choices=choices,
        usage=response.usage,
        system_fingerprint=response.system_fingerprint,
    )
    for name in response._slots:
        if hasattr(response, name):
            setattr(whole, name, getattr(response, name))
    return whole
