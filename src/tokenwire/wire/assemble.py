"""Assembles the chunks of one stream into a whole answer.

Lives here: which piece belongs to which choice, and which fields of a chunk are fields of the whole answer. Not here: the
list of fields (`fields`), how they grow (`growing`), which piece belongs to which tool call (`tool_calls`), and deciding
that a stream has ended (`_calls`). Nothing is invented: a finish reason, an id or a count that never arrived is None in the
result.

Arriving pieces are only collected. Text is joined when the result is read, so that a stream takes time linear in its
length, and the result can be read at any moment without affecting the rest of the stream.

Unknown fields are in the result at the path where they were sent:

- Those of deltas, tool calls and their functions grow piece by piece, as in `growing`. Their classes are sealed, so only
  records with unknown fields have a source, and only these are decoded again, once, when they arrive.
- Of those outside the deltas, the latest value counts: a choice's from the chunk that finishes it, a chunk's from those that
  finish a choice or have none. Their bytes are kept, and decoded when the result is read.
- Fields about the event (`fields.OF_EVENTS`), and nulls, are left out.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from operator import attrgetter
from typing import Any, TypeAlias, TypeVar

from msgspec import UNSET, Raw

from ..exceptions import refused, wrong
from ..types._record import Record, build, coerce, from_fields, in_own_terms, public_names, sent, stored_names
from ..types._source import (
    USAGE_OF_CHOICE,
    Assembled,
    Fields,
    Source,
    children,
    odd_places,
    set_source,
    source_of,
    unknown_fields,
    unknown_in,
)
from ..types.chat import (
    FLAT_NAMES,
    ChatCompletionDeltaToolCall,
    Delta,
    DeltaFunction,
    GenericStreamingChunk,
    Message,
    ModelResponse,
    ModelResponseStream,
    StreamingChoices,
    Usage,
)
from ..types.text import TextChoices, TextCompletionResponse
from .convert import Chunk, delta_fields_in, piece_of, response_chunks
from .fields import HEAD, MESSAGE, NULL, OF_EVENTS, Grows, names
from .growing import BLOCK, Pieces, RawPieces, grow, grown, settle, whole
from .tool_calls import ToolCalls, grow_all, grow_function, grow_unnamed

R = TypeVar("R", bound=Record)

Completion: TypeAlias = ModelResponse | TextCompletionResponse
_Read: TypeAlias = Callable[[Any], Any]
_Kept: TypeAlias = tuple[type[Record], Source]  # where a record's unknown fields are

_GROWING: tuple[tuple[str, _Read], ...] = tuple(
    (name, attrgetter(stored_names(Delta)[name])) for name in names(MESSAGE, Grows.BY_VALUE, Grows.TEXT)
)

# Reads the value that was set, bypassing the property, which would decode the event a second time.
_explicit_of = attrgetter(stored_names(Delta)["provider_specific_fields"])


def _update_explicit(fields: Fields, record: Record) -> None:
    if explicit := _explicit_of(record):
        fields.setdefault("provider_specific_fields", {}).update(explicit)


def _built(cls: type[R], fields: Fields) -> R:
    """A record of the collected fields, and the records below it; each may have unknown fields."""
    known = stored_names(cls)
    named = {name: value for name, value in fields.items() if name in known}
    for child in children(cls):
        value = named.get(child.key)
        if isinstance(value, list):
            named[child.key] = [_built(child.cls, item) for item in value]
        elif isinstance(value, dict):
            named[child.key] = _built(child.cls, value)
    record = from_fields(cls, named)
    if len(named) < len(fields) or cls is Message:  # a message must have `Assembled` as its source
        set_source(record, Assembled((name, value) for name, value in fields.items() if name not in known))
    return record


class _Choice:
    """One of a stream's completions."""

    __slots__ = ("calls", "ending", "fields", "is_finished", "logprobs", "message", "numbers", "text")

    def __init__(self, text: Pieces) -> None:
        self.text = text
        self.logprobs: RawPieces | None = None
        self.is_finished = False
        self.calls: ToolCalls | None = None
        self.numbers: list[int] = []  # of the calls of which the latest chunk had pieces
        self.message: Fields = {}  # the message's other fields, which grow
        self.fields: Fields = {}  # the choice's own fields
        self.ending: _Kept | None = None

    def add_chat(self, choice: StreamingChoices, decoded: dict[int, Any]) -> None:
        delta = choice.delta
        if delta.content is not None:
            self.text.append(delta.content)
        self.add_role(delta)
        if delta.tool_calls:
            self.add_calls(delta.tool_calls, decoded)
        if delta.function_call is not None:
            grow_function(self.message, "function_call", delta.function_call, decoded)
        for name, read in _GROWING:
            value = read(delta)
            if value is not None and value is not UNSET:
                grow(self.message, name, value)
        _update_explicit(self.message, delta)
        grow_unnamed(self.message, delta, decoded)
        self.add_own(choice)

    def add_text(self, choice: TextChoices) -> None:
        if choice.text is not None:
            self.text.append(choice.text)
        self.add_own(choice)

    def add_flat(self, chunk: GenericStreamingChunk, decoded: dict[int, Any]) -> None:
        if chunk.text:  # "" means no text
            self.text.append(chunk.text)
        if chunk.tool_use is not None:
            self.add_calls([chunk.tool_use], decoded)
        grow(self.message, "reasoning_content", chunk.reasoning_content)
        leftovers = dict(unknown_fields(chunk, decoded))
        if bag := _explicit_of(chunk):
            self.add_bag(bag, leftovers)
        called = leftovers.pop("function_call", None)
        if isinstance(called, dict | DeltaFunction):
            grow_function(self.message, "function_call", coerce(called, DeltaFunction), decoded)
        grow_all(self.message, leftovers)
        self.add_logprobs(sent(chunk, "logprobs"))
        self.is_finished = self.is_finished or chunk.is_finished
        self.finish(chunk.finish_reason)

    def add_bag(self, bag: Fields, leftovers: Fields) -> None:
        """Add a flat chunk's `provider_specific_fields`; those that are fields of a message are added to `leftovers`."""
        leftovers.update({name: value for name, value in delta_fields_in(bag).items() if name not in leftovers})
        others = {name: value for name, value in bag.items() if name not in FLAT_NAMES and name not in leftovers}
        if others:
            self.message.setdefault("provider_specific_fields", {}).update(others)

    def add_role(self, delta: Delta) -> None:
        if delta.role:
            self.message.setdefault("role", delta.role)

    def add_calls(self, parts: list[ChatCompletionDeltaToolCall], decoded: dict[int, Any]) -> None:
        self.calls = self.calls or ToolCalls()
        self.numbers = [self.calls.add(part, decoded) for part in parts]

    def add_own(self, choice: StreamingChoices | TextChoices) -> None:
        self.add_logprobs(sent(choice, "logprobs"))
        _update_explicit(self.fields, choice)
        self.fields.update(_of_python(choice))
        self.end(choice)

    def add_logprobs(self, value: object) -> None:
        if value is not None and value != NULL:
            if self.logprobs is None:
                self.logprobs = RawPieces()
            self.logprobs.add(value)

    def extend_text(self, name: str, pieces: Iterable[str]) -> None:
        """Add many pieces of a field, joined to one."""
        (self.text if name == "content" else grown(self.message, name, Pieces)).append("".join(pieces))

    def extend_logprobs(self, pieces: Iterable[Raw]) -> None:
        """Add many logprobs that are not null, joined to one."""
        if self.logprobs is None:
            self.logprobs = RawPieces()
        self.logprobs.extend(pieces)

    def extend_call(self, part: ChatCompletionDeltaToolCall | None, arguments: Sequence[str]) -> bool:
        """`ToolCalls.extend`."""
        return self.calls is not None and part is not None and self.calls.extend(part, arguments)

    def end(self, choice: StreamingChoices | TextChoices) -> None:
        """Note the choice's finish reason, if it has one."""
        if choice.finish_reason:
            self.finish(choice.finish_reason)
            if (source := source_of(choice)) is not None:
                self.ending = type(choice), source

    def finish(self, reason: str | None) -> None:
        if reason:
            self.is_finished, self.fields["finish_reason"] = True, reason

    def whole(self, index: int, *, is_chat: bool) -> Fields:
        answer: Fields = {"text": self.text.whole() if self.text or self.text.blocks else None}
        if is_chat:
            message = {"role": "assistant", **whole(self.message), "content": answer["text"]}
            if self.calls is not None:
                message["tool_calls"] = self.calls.whole()
            answer = {"message": message}
        unnamed = {} if self.ending is None else _of_whole(self.ending)
        if self.logprobs is not None:
            answer["logprobs"] = self.logprobs.whole()
        return {**unnamed, "finish_reason": None, **whole(self.fields), **answer, "index": index}

    def settle(self) -> int:
        """Join pieces to blocks. Returns the number of fields examined."""
        fields = settle((self.text, self.logprobs)) + settle(self.message.values())
        return fields + (0 if self.calls is None else self.calls.settle())


def _of_python(record: Record) -> Fields:
    """The unknown fields of a record that Python code made, which need no decoding."""
    source = source_of(record)
    return _said_of_whole(source) if isinstance(source, dict) else {}


def _of_whole(kept: _Kept) -> Fields:
    """The unknown fields of a chunk that are fields of the whole answer."""
    return _said_of_whole(unknown_in(*kept))


def _said_of_whole(unnamed: Fields) -> Fields:
    return {name: value for name, value in unnamed.items() if name not in OF_EVENTS and value is not None}


@cache
def _head_of(cls: type[Record]) -> tuple[tuple[str, bool], ...]:
    """The fields of a chunk's class that are fields of the whole answer, and whether the first value counts."""
    rows = [row for row in HEAD if row.grows in (Grows.FIRST, Grows.LATEST) and row.name in public_names(cls)]
    return tuple((row.name, row.grows is Grows.FIRST) for row in rows)


def usage_of_choices(counts: tuple[Usage, ...]) -> Usage:
    """The usage of a stream in which each choice is followed by a chunk with the usage of that choice only, as by llama.cpp.

    Those chunks have no choices, or have the usage in the choice (Moonshot), and there is one for each choice that has ended.
    Completion tokens are added up; the prompt, which all choices share, counts once. In any other stream the last usage is
    the server's count, and nothing is added.
    """
    if len(counts) == 1:
        return counts[0]
    prompt = max(usage.prompt_tokens for usage in counts)
    completion = sum(usage.completion_tokens for usage in counts)
    return build(Usage, prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)


class Assembler:
    """Collects the chunks of one stream, in any of the three shapes, in time linear in their number.

    Chunks are read, never changed. The first chunk decides the class of the whole: a text completion's chunk gives a
    `TextCompletionResponse`, any other a `ModelResponse`.

    Args:
        cls: the class of the whole, if the first chunk is not to decide it.
        **head: the whole's id, created or model, used if no chunk has one.

    Attributes:
        first_text: the pieces of choice 0's content. Once `is_open`, a chunk that has only text for that choice may be
            appended here instead of calling `add`.
        usage: the latest usage; of all choices, if the server counts each separately.
        finished: the number of choices that have ended, once all seen so far have; 0 before.
        begun: returns the choice of an index, None if no chunk of it was added.
    """

    __slots__ = (
        "_choices",
        "_cls",
        "_counts",
        "_default_head",
        "_head",
        "_settled",
        "_unnamed",
        "_unsettled",
        "_until",
        "_wanted",
        "begun",
        "finished",
        "first_text",
        "usage",
    )

    def __init__(self, cls: type[ModelResponse] | type[TextCompletionResponse] | None = None, **head: object) -> None:
        self._wanted = cls
        self._default_head = head or None
        self.first_text: Pieces = Pieces()
        self.usage: Usage | None = None
        self.finished: int = 0
        self._counts: tuple[Usage, ...] = ()  # of chunks that may count a single choice
        self._cls: type[ModelResponse] | type[TextCompletionResponse] | None = None
        self._choices: dict[int, _Choice] = {}
        self.begun: Callable[[Any], _Choice | None] = self._choices.get
        self._head: Fields = {}
        self._unnamed: dict[int | str, _Kept] | None = None  # by a choice's index, or by a name for fields outside of choices
        self._settled = self._unsettled = 0
        self._until = BLOCK

    def add(self, chunk: Chunk) -> None:
        """Add one chunk, as a server or handler sent it."""
        if self._cls is None:
            own = TextCompletionResponse if isinstance(chunk, TextCompletionResponse) else ModelResponse
            self._cls = self._wanted or own
        self._add_head(chunk)
        decoded: dict[int, Any] = {}  # decoded documents, so that each is decoded once
        if isinstance(chunk, GenericStreamingChunk):
            self.usage = self.usage if chunk.usage is None else chunk.usage
            self._choice(chunk.index).add_flat(chunk, decoded)
            if chunk.is_finished or chunk.finish_reason:
                self._count_finished()
            return
        _update_explicit(self._head, chunk)
        self._head.update(_of_python(chunk))
        if not chunk.choices:
            self._keep_unnamed("after" if self._choices else "before", chunk)
        for choice in chunk.choices:
            state = self._choice(choice.index)
            if isinstance(choice, TextChoices):
                state.add_text(choice)
            else:
                state.add_chat(choice, decoded)
            if choice.finish_reason:
                self._count_finished()
                self._keep_unnamed(choice.index or 0, chunk)
        if chunk.usage is not None:
            self.usage = self._usage_with(chunk, chunk.usage)

    def call_numbers(self, index: int | None) -> list[int]:
        """The numbers of a choice's tool calls of which its latest chunk had pieces."""
        return self._choice(index).numbers

    def begin_text(self) -> None:
        """Begin choice 0, whose chunks have only text: `first_text` is open from now on."""
        self._cls = self._cls or self._wanted or ModelResponse
        self._choice(0)

    def finish_text(self, reason: str) -> None:
        """Finish choice 0, which has begun."""
        self._choices[0].finish(reason)
        self._count_finished()

    @property
    def knows_choice_0(self) -> bool:
        """Whether a chunk of choice 0 was added, so that `first_text` is open for chunks that have only text."""
        return 0 in self._choices

    @property
    def is_open(self) -> bool:
        """Whether choice 0 has begun and the answer's id and model are known: then `first_text` is open."""
        return 0 in self._choices and "id" in self._head and "model" in self._head

    def add_plain(self, chunk: ModelResponseStream) -> None:
        """`add` for a chunk whose only choice is 0, and has only a role, text and a finish reason."""
        self._cls = self._cls or self._wanted or ModelResponse
        self._add_head(chunk)
        choice = chunk.choices[0]
        state = self._choice(0)
        state.add_role(choice.delta)
        if choice.delta.content is not None:
            state.text.append(choice.delta.content)
        grow_unnamed(state.message, choice.delta, {})
        state.end(choice)
        if choice.finish_reason:
            self._count_finished()
            self._keep_unnamed(0, chunk)

    def add_unnamed(self, index: int | None, fields: Fields) -> None:
        """Add a delta's unknown fields, after the rest of it has been added."""
        grow_all(self._choices[index or 0].message, fields)

    @property
    def chunks(self) -> int:
        """How many chunks were added."""
        return self._settled + self._unsettled

    def count(self, chunks: int) -> None:
        """Count added chunks; from time to time, this joins their pieces to blocks, which take less memory."""
        self._unsettled += chunks
        if self._unsettled > self._until:
            fields = sum(choice.settle() for choice in self._choices.values())
            self._settled += self._unsettled
            self._unsettled, self._until = 0, max(BLOCK, fields)  # keeps the total linear, however many fields there are

    def _usage_with(self, chunk: ModelResponseStream | TextCompletionResponse, usage: Usage) -> Usage:
        """The usage so far. See `usage_of_choices` for a server that counts each choice separately."""
        if chunk.choices and USAGE_OF_CHOICE not in odd_places(chunk):
            return usage
        self._counts = (*self._counts, usage)
        ended = sum(choice.is_finished for choice in self._choices.values())
        return usage_of_choices(self._counts) if len(self._counts) == ended else usage

    def _add_head(self, chunk: Chunk) -> None:
        for name, is_first in _head_of(type(chunk)):
            if not (is_first and name in self._head) and (value := getattr(chunk, name)):
                self._head[name] = value

    def _keep_unnamed(self, place: int | str, chunk: ModelResponseStream | TextCompletionResponse) -> None:
        source = source_of(chunk)
        if source is not None:
            self._unnamed = self._unnamed or {}
            self._unnamed.pop(place, None)  # so that the latest is last
            self._unnamed[place] = type(chunk), source

    def _choice(self, index: int | None) -> _Choice:
        index = index or 0
        choice = self._choices.get(index)
        if choice is None:
            choice = self._choices[index] = _Choice(self.first_text if index == 0 else Pieces())
            self.finished = 0
        return choice

    def _count_finished(self) -> None:
        choices = self._choices.values()
        self.finished = len(choices) if all(choice.is_finished for choice in choices) else 0

    def is_complete(self) -> bool:
        """Whether there is at least one choice, and every choice has ended.

        A choice ends with its finish reason, or with a flat chunk that has `is_finished` without a reason.
        """
        return self.finished > 0

    def is_partly_finished(self) -> bool:
        """Whether one choice has ended and another has not."""
        return self.finished == 0 and any(choice.is_finished for choice in self._choices.values())

    def response(self) -> Completion | None:
        """What has arrived so far, as a whole completion.

        Can be called at any time, repeatedly: each call builds a new response.

        Returns:
            A response with its choices in the order of their indices, or None before the first chunk. Fields that did not
            arrive are None, including finish reasons.
        """
        if self._cls is None:
            return None
        fields: Fields = {}
        for kept in (self._unnamed or {}).values():
            fields.update(_of_whole(kept))
        is_chat = self._cls is ModelResponse
        choices = [choice.whole(index, is_chat=is_chat) for index, choice in sorted(self._choices.items())]
        head = {**(self._default_head or {}), **whole(self._head)}
        return _built(self._cls, {**fields, **head, "choices": choices, "usage": self.usage})


def stream_chunk_builder(chunks: Iterable[Chunk | dict[str, Any] | None], messages: object = None) -> Completion | None:
    """Assemble the collected chunks of a stream into a whole completion. LiteLLM's function.

    Args:
        chunks: the chunks in order, as structs or as dicts of the same fields; None is skipped.
        messages: accepted for compatibility with LiteLLM, which counts tokens with it; ignored.

    Returns:
        The whole completion, None if there are no chunks. Choices are kept separate; LiteLLM merges them into one.

    Raises:
        BadRequestError: `chunks` is not an iterable of chunks; the message says which item is wrong.
    """
    given: object = chunks  # may have any type at run time
    if not isinstance(given, Iterable) or isinstance(given, str | bytes | dict | Record):
        raise wrong("chunks", "a list of a stream's chunks", given)
    assembler = Assembler()
    for index, item in enumerate(given):
        try:
            for chunk in [] if item is None else _chunks_of(item):
                assembler.add(chunk)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            message = f"chunks[{index}] must be a chunk or a dict of one, not {item!r:.80} ({error})"
            raise refused("chunks", message) from error
    return assembler.response()


def _chunks_of(item: object) -> list[Chunk]:
    item = in_own_terms(item)
    if isinstance(item, dict):
        item = _chunk_from_dict(item)
    if isinstance(item, ModelResponse):
        piece = piece_of(item)
        return [*response_chunks(item)] if piece is None else [piece]
    if not isinstance(item, ModelResponseStream | GenericStreamingChunk | TextCompletionResponse):
        raise TypeError(f"objects of type {type(item).__name__} are not chunks")
    for text in _texts_in(item):
        if not isinstance(text, str | None):
            raise TypeError(f"its text is of type {type(text).__name__}")
    return [item]


def _texts_in(chunk: Chunk) -> list[object]:
    if isinstance(chunk, GenericStreamingChunk):
        return [chunk.text]
    return [choice.text if isinstance(choice, TextChoices) else choice.delta.content for choice in chunk.choices]


def _chunk_from_dict(fields: dict[str, Any]) -> Chunk:
    if "text" in fields or "is_finished" in fields:
        return GenericStreamingChunk(**fields)
    if "choices" not in fields:
        raise TypeError("it has neither choices nor text")
    if fields.get("object") == "text_completion" or any("text" in choice for choice in fields.get("choices") or ()):
        return TextCompletionResponse(**fields)
    return ModelResponseStream(**fields)
