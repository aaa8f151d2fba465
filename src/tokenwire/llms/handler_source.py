"""A handler's stream as a source of chunks.

Items become chunks of the caller's shape, and the handler's exceptions become ours. The handler's own objects are never
changed.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from .._reading import ready
from ..exceptions import APIError
from ..types import (
    Delta,
    GenericStreamingChunk,
    Message,
    ModelResponse,
    ModelResponseStream,
    StreamingChoices,
    TextCompletionResponse,
)
from ..types._record import Record, in_own_terms, sent
from ..types._source import source_of
from ..types.additions import Addition
from ..wire.assemble import Assembler
from ..wire.chunks import has_content
from ..wire.convert import Converter, Shape, chat_response, piece_of as piece_of_response, response_chunks, whole_class
from ..wire.fields import content_of
from ..wire.quick import append_addition, append_piece
from .base import ChunkSource, Send
from .handler_errors import cause_of, is_handlers_own, translated, unusable
from .handler_items import AsyncItems, Items
from .handler_pieces import bare_of, piece_of

# Other vendors' finish reasons in OpenAI's terms; any other is kept as it is.
FINISH_REASONS = {
    **dict.fromkeys(("eos", "eos_token", "stop_sequence", "end_turn", "COMPLETE", "STOP"), "stop"),
    **dict.fromkeys(("max_tokens", "MAX_TOKENS"), "length"),
    "tool_use": "tool_calls",
    **dict.fromkeys(("refusal", "SAFETY", "RECITATION", "guardrail_intervened"), "content_filter"),
}

# Names of fields that may have an answer's text by mistake, if the record has no such field.
_TEXT_HOLDERS: dict[str, Any] = {
    **dict.fromkeys(("text", "content"), str | list),
    **dict.fromkeys(("delta", "message"), dict | Record),
    "choices": list,
}

CHUNKS = "str, GenericStreamingChunk, ModelResponseStream or a dict of one"


class HandlerSource(ChunkSource[Any]):
    """The chunks that a handler yields.

    `done` is set if the end of the items is the answer's end: for handlers that yield text only, which have no other way to
    end it. A handler that yields chunks marks the end in them.

    Args:
        items: the handler's; closed with the source.
        name: the handler's, for messages.
        again: given what ended the items before there was any, returns those of another try, or None.
    """

    __slots__ = (
        "_again",
        "_convert",
        "_converter",
        "_ended",
        "_failure",
        "_items",
        "_model",
        "_name",
        "_plain_chunk",
        "_text_only",
        "assembler",
        "bare_text",
        "done",
        "had_content",
        "headers",
        "shape",
    )

    def __init__(
        self,
        items: Items,
        name: str,
        model: str,
        shape: Shape,
        again: Callable[[BaseException], Items | None] | None = None,
    ) -> None:
        converter = Converter(shape, model)
        self.shape: Shape = shape
        self.headers: dict[str, str] = {}
        self.had_content: bool = False
        self.done: bool = False
        self.bare_text: bool = False
        self.assembler: Assembler = Assembler(whole_class(shape), **converter.head)
        self._items, self._again = items, again
        self._name, self._model = name, model
        self._converter = converter
        self._convert, self._plain_chunk = converter.convert, converter.plain_chunk
        self._failure: APIError | None = None  # raised after the chunks of the same items
        self._text_only = False
        self._ended = False

    def take(self) -> list[Any] | None:
        """The chunks of the items that have arrived; see `ChunkSource`."""
        while not self._ended:
            if self._failure is not None:
                self._ended = True
                raise self._failure
            try:
                items = self._items.take()
            except BaseException as error:
                if not is_handlers_own(error):
                    raise
                if self._has_other_items(error):
                    continue
                raise translated(error) from cause_of(error)
            if items is None:
                return None
            if not items:
                self._ended = True
                return self._ending() if self._text_only else []
            chunks = self._chunks_of_items(items)
            if chunks:
                return chunks
        return []

    def _has_other_items(self, error: BaseException) -> bool:
        """Whether the items of another try take the place of those that `error` ended."""
        again, self._again = self._again, None
        items = None if again is None else again(error)
        if items is not None:
            self._items = items
        return items is not None

    def wait(self, deadline: float) -> Awaitable[bool]:
        """See `ChunkSource.wait`. Waits for an item, which may give no chunk."""
        return ready() if self._ended or self._failure is not None else self._items.wait(deadline)

    def hand_on(self, send: Send, clock: Callable[[], float], idle: float, until: float) -> Awaitable[float] | None:
        """See `ChunkSource`."""
        items = self._items
        if not isinstance(items, AsyncItems) or self._ended or self._failure is not None or self.assembler.finished:
            return None
        quick, count = self._quick, self.assembler.count

        def take(item: object) -> Awaitable[object] | None:
            chunk = quick(item)
            if chunk is None:
                return None
            count(1)
            return send([chunk])

        self.had_content = True
        return items.hand_on(take, clock, idle, until)

    async def aclose(self) -> None:
        """Close the handler's iterator, so that its `finally` blocks run; bounded."""
        self._ended, self._again = True, None
        await self._items.aclose()

    def _chunks_of_items(self, items: list[Any]) -> list[Any]:
        self.had_content, self._again = False, None
        chunks: list[Any] = []
        for item in items:
            if item is not None:
                try:
                    chunks += self._chunks_for_caller(item)
                except APIError as error:
                    if not chunks:
                        raise
                    self._failure = error
                    break
        self.assembler.count(len(chunks))
        return chunks

    def _chunks_for_caller(self, item: object) -> list[Any]:
        """The caller's chunks for one of the handler's items."""
        chunk = self._quick(item)
        if chunk is not None:
            self.had_content = True
            return [chunk]
        text = item if type(item) is str else bare_of(item)
        if text and type(text) is str and not self.assembler.knows_choice_0:
            self.assembler.begin_text()
            self._text_only = self._text_only or item is text
            self.had_content = True
            self.assembler.first_text.append(text)
            return [self._converter.opening(text)]
        try:
            taken: list[Any] = []
            for chunk in self._chunks_of(item):
                self.assembler.add(chunk)
                self.had_content = self.had_content or has_content(chunk)
                taken += self._convert(chunk, self.assembler.call_numbers)
            return taken
        except (AttributeError, KeyError, TypeError, ValueError) as error:  # an item with wrong types in it
            raise unusable(self._name, item, f"{CHUNKS} ({error})") from error

    def _quick(self, item: object) -> Any:
        """The caller's chunk for an item that only adds to a choice that has begun; None, with nothing added, for any other."""
        assembler = self.assembler
        bare = item if type(item) is str else bare_of(item)
        if type(bare) is str:
            if not bare or assembler.begun(0) is None:
                return None
            self._text_only = self._text_only or item is bare
            assembler.first_text.append(bare)
            return bare if self.bare_text else item if type(item) is self.shape else self._plain_chunk(bare)
        converter = self._converter
        if type(bare) is Addition:
            if not (converter.continues(bare.index) and append_addition(assembler, bare)):
                return None
            return bare if self.bare_text and self.shape is ModelResponseStream else converter.added(bare)
        piece = piece_of(item)
        if piece is None or not converter.continues(piece.index) or (taken := append_piece(assembler, piece)) is None:
            return None
        return converter.continued(taken)

    def _chunks_of(self, item: object) -> list[Any]:
        if isinstance(item, str):
            self._text_only = True
            return [GenericStreamingChunk(text=item)]
        item = in_own_terms(item)
        if isinstance(item, dict):
            item = _record_of_dict(item)
        if isinstance(item, ModelResponse):
            item = piece_of_response(item) or item
        if isinstance(item, ModelResponse | TextCompletionResponse):
            return self._chunks_of_whole(item)
        if isinstance(item, GenericStreamingChunk):
            item = _with_reasoning(item)
            _require_text(item.text)
        elif isinstance(item, ModelResponseStream):
            for choice in item.choices:
                _require_text("" if choice.delta.content is None else choice.delta.content)
        else:
            raise unusable(self._name, item, CHUNKS)
        refuse_hidden_text(item)
        return [_in_openai_words(item)]

    def _chunks_of_whole(self, whole: ModelResponse | TextCompletionResponse) -> list[Any]:
        if isinstance(whole, TextCompletionResponse):
            whole = chat_response(whole)
        for choice in whole.choices:
            _require_text("" if choice.message.content is None else choice.message.content)
        refuse_hidden_text(whole)
        chunks = response_chunks(whole)
        for chunk in chunks:
            chunk.model = chunk.model or self._model
        return chunks

    def _ending(self) -> list[Any]:
        """The last chunk for a handler that yields text only: its return is the end of the answer."""
        self.done = True
        self.had_content = False
        if self.assembler.is_complete():
            return []
        if self.assembler.knows_choice_0:
            self.assembler.finish_text("stop")
            return [self._converter.ending("stop")]
        ending = GenericStreamingChunk(is_finished=True, finish_reason="stop")
        self.assembler.add(ending)
        return self._convert(ending)


def whole_class_of(fields: dict[str, Any]) -> type[ModelResponse] | type[TextCompletionResponse] | None:
    """The class of the whole answer that a dict is; None if it is not one, but a chunk, for example."""
    choices = fields.get("choices") or ()
    if any("message" in choice for choice in choices):
        return ModelResponse
    return TextCompletionResponse if any("text" in choice for choice in choices) else None


def _record_of_dict(fields: dict[str, Any]) -> object:
    if "choices" in fields:
        return (whole_class_of(fields) or ModelResponseStream)(**fields)
    if fields.keys() & {"text", "is_finished", "finish_reason", "usage", "tool_use"}:
        return GenericStreamingChunk(**fields)
    raise TypeError(f"a dict with {', '.join(map(str, fields)) or 'nothing'} in it")


def _require_text(text: object) -> None:
    if not isinstance(text, str):
        raise TypeError(f"text is {type(text).__name__}, not str")


def _with_reasoning(chunk: GenericStreamingChunk) -> GenericStreamingChunk:
    """The chunk, with the reasoning that LiteLLM's handlers put into `provider_specific_fields`: then it is a copy."""
    bag = sent(chunk, "provider_specific_fields")
    if chunk.reasoning_content is not None or not isinstance(bag, dict):
        return chunk
    reasoning = next((bag[name] for name in ("reasoning_content", "reasoning") if bag.get(name) is not None), None)
    return chunk if reasoning is None else chunk.model_copy(update={"reasoning_content": reasoning})


def refuse_hidden_text(answer: GenericStreamingChunk | ModelResponseStream | ModelResponse) -> None:
    """Refuse an answer or a piece without content that has text in an unknown field, as that would be lost.

    Raises:
        TypeError: it has.
    """
    parts: list[Record] = [answer]
    if not isinstance(answer, GenericStreamingChunk):
        for choice in answer.choices:
            parts += [choice, choice.delta if isinstance(choice, StreamingChoices) else choice.message]
    if any(map(_brings_something, parts)):
        return
    for part in parts:
        source = source_of(part)
        made = source if isinstance(source, dict) else {}  # set by Python code
        hidden = [name for name, kinds in _TEXT_HOLDERS.items() if made.get(name) and isinstance(made[name], kinds)]
        if hidden:
            raise TypeError(f"a {type(part).__name__} has no field {hidden[0]}")


def _brings_something(part: Record) -> bool:
    if isinstance(part, GenericStreamingChunk):
        return has_content(part)
    return isinstance(part, Delta | Message) and any(content_of(part))


def _in_openai_words(chunk: GenericStreamingChunk | ModelResponseStream) -> GenericStreamingChunk | ModelResponseStream:
    """The chunk with its finish reason in OpenAI's terms: a copy if that changes it, as the original is the handler's."""
    if isinstance(chunk, GenericStreamingChunk):
        said = chunk.finish_reason or ("stop" if chunk.is_finished else "")
        reason = FINISH_REASONS.get(said, said)
        return chunk if reason == (chunk.finish_reason or "") else chunk.model_copy(update={"finish_reason": reason})
    if not any(choice.finish_reason in FINISH_REASONS for choice in chunk.choices):
        return chunk
    choices = [
        choice.model_copy(update={"finish_reason": FINISH_REASONS.get(choice.finish_reason or "", choice.finish_reason)})
        for choice in chunk.choices
    ]
    return chunk.model_copy(update={"choices": choices})
