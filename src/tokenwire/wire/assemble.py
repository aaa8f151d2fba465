"""Puts the chunks of one stream back together.

Lives here: which piece belongs to which choice, tool call and field, and how pieces of a field become the whole.
Not here: deciding that a stream has ended (the stream's business) and anything the server did not send; a finish reason,
an id or a count that never arrived is None in the result.

Pieces are only collected as they come. Text is joined when somebody asks for the result, so that a stream costs time
linear in its length, and the result can be had at any moment without disturbing what is still to come.
"""

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any, TypeAlias

from ..types._record import Record, build
from ..types.chat import (
    ChatCompletionDeltaToolCall,
    ChatCompletionMessageToolCall,
    Choices,
    DeltaFunction,
    Function,
    FunctionCall,
    GenericStreamingChunk,
    Message,
    ModelResponse,
    ModelResponseStream,
    StreamingChoices,
    Usage,
)
from ..types.text import TextChoices, TextCompletionResponse
from .convert import Chunk

__all__ = ["Assembler", "Completion", "stream_chunk_builder"]

Completion: TypeAlias = ModelResponse | TextCompletionResponse

# The fields of a delta that need no more than `_grow`.
_DELTA_FIELDS = ("reasoning_content", "refusal", "annotations", "images", "thinking_blocks", "audio")

# What stays text when it comes in pieces; any other text replaces what came before.
_JOINED = frozenset({"reasoning_content", "refusal", "data", "transcript", "input"})

# Said of the whole answer: by the first chunk that has it (Azure's first one has an empty id and model) ...
_FLAT_HEAD = ("id", "model")
_HEAD = (*_FLAT_HEAD, "created")
# ... or, as it may be known only in the end, by the last one.
_TEXT_TAIL = ("system_fingerprint",)
_CHAT_TAIL = (*_TEXT_TAIL, "service_tier")

# Fields that no struct names and that are about the event, not about the answer: padding against who counts bytes.
_OF_EVENTS = frozenset({"obfuscation"})

# What somebody set, past the lazy field: looking must not decode the event a second time.
_explicit_fields: Callable[[Any], dict[str, Any] | None] = attrgetter("_slot_provider_specific_fields")


class _Pieces(list[str]):
    """Text that is still arriving."""


def _grow(grown: Any, value: Any, name: str) -> Any:
    """What field `name` comes to with `value` behind what it had: text and lists grow, anything else is replaced."""
    if isinstance(value, str) and name in _JOINED:
        grown = grown if type(grown) is _Pieces else _Pieces()
        grown.append(value)
    elif isinstance(value, list):
        grown = grown if type(grown) is list else []
        grown.extend(value)
    elif value is not None:
        grown = value
    return grown


def _grow_field(fields: dict[str, Any], name: str, value: Any) -> None:
    """Like `_grow`, and a dict grows field by field. Only one level deep: servers choose the depth, not we."""
    if isinstance(value, dict):
        inner: dict[str, Any] = fields[name] if isinstance(fields.get(name), dict) else {}
        for key, item in value.items():
            inner[key] = _grow(inner.get(key), item, key)
        fields[name] = inner
    elif value is not None:
        fields[name] = _grow(fields.get(name), value, name)


def _merge_explicit(fields: dict[str, Any], record: Record) -> None:
    explicit = _explicit_fields(record)
    if explicit:
        fields.setdefault("provider_specific_fields", {}).update(explicit)


def _whole(value: Any, levels: int = 2) -> Any:
    """A copy of what `_grow_field` collected, with its texts joined."""
    if isinstance(value, _Pieces):
        return "".join(value)
    if isinstance(value, list):
        return list(value)
    if isinstance(value, dict) and levels:
        return {name: _whole(item, levels - 1) for name, item in value.items()}
    return value


class _FunctionPieces:
    """One function's name and the pieces of its arguments."""

    __slots__ = ("arguments", "name")

    def __init__(self) -> None:
        self.name: str | None = None
        self.arguments: list[str] = []

    def add(self, part: DeltaFunction) -> None:
        self.name = self.name or part.name  # some servers repeat the name with every piece
        if part.arguments:
            self.arguments.append(part.arguments)

    def whole(self, cls: type[Function]) -> Any:
        return build(cls, name=self.name, arguments="".join(self.arguments))


class _Call:
    """One tool call on its way."""

    __slots__ = ("custom", "function", "id", "index", "origin", "type")

    def __init__(self, part: ChatCompletionDeltaToolCall) -> None:
        self.index = part.index
        # Gemini's thought signatures arrive beside the first piece, in a field no struct names; they stay reachable.
        self.origin: Any = getattr(part, "_origin", None)
        self.id: str | None = None
        self.type: str | None = None
        self.function: _FunctionPieces | None = None
        self.custom: dict[str, Any] = {}

    def add(self, part: ChatCompletionDeltaToolCall) -> None:
        self.id = self.id or part.id
        self.type = self.type or part.type
        if part.function is not None:
            self.function = self.function or _FunctionPieces()
            self.function.add(part.function)
        for name, value in (part.custom or {}).items():
            self.custom[name] = _grow(self.custom.get(name), value, name)

    def whole(self) -> ChatCompletionMessageToolCall:
        call: ChatCompletionMessageToolCall = build(
            ChatCompletionMessageToolCall,
            id=self.id,
            type=self.type or ("custom" if self.custom else "function"),
            function=None if self.function is None else self.function.whole(Function),
            custom=_whole(self.custom) or None,
        )
        if self.origin is not None:
            call._origin = self.origin
        return call


class _Calls:
    """The tool calls of one choice.

    A piece belongs to the call of its `index`, unless it brings another id than that call has: some servers number
    every call 0. Without an index its id decides, and without either it belongs to the latest call, unless it brings
    a second name.
    """

    __slots__ = ("_calls", "_known")

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._known: dict[Any, _Call] = {}  # by index, by id, by both; and None for the latest

    def add(self, part: ChatCompletionDeltaToolCall) -> None:
        call = self._find(part)
        if call is None:
            call = _Call(part)
            self._calls.append(call)
        call.add(part)
        self._known[None] = self._known[part.index] = call
        if part.id:
            self._known[part.id] = self._known[part.index, part.id] = call

    def _find(self, part: ChatCompletionDeltaToolCall) -> _Call | None:
        if part.index is not None:
            call = self._known.get(part.index)
            has_other_id = call is not None and part.id and call.id and call.id != part.id
            return self._known.get((part.index, part.id)) if has_other_id else call
        if part.id:
            return self._known.get(part.id)
        call = self._known.get(None)
        is_named = call is not None and call.function is not None and call.function.name
        return None if is_named and part.function is not None and part.function.name else call

    def whole(self) -> list[ChatCompletionMessageToolCall]:
        return [call.whole() for call in sorted(self._calls, key=lambda call: call.index or 0)]


class _Choice:
    """One of the completions a stream carries."""

    __slots__ = ("calls", "fields", "finish_reason", "function_call", "is_finished", "message", "role", "text")

    def __init__(self, text: list[str]) -> None:
        self.text = text
        self.role: str | None = None
        self.finish_reason: str | None = None
        self.is_finished = False
        self.calls: _Calls | None = None
        self.function_call: _FunctionPieces | None = None
        self.message: dict[str, Any] = {}  # the message's other fields, growing
        self.fields: dict[str, Any] = {}  # the choice's own

    def add_chat(self, choice: StreamingChoices) -> None:
        delta = choice.delta
        if delta.content is not None:
            self.text.append(delta.content)
        self.role = self.role or delta.role
        for part in delta.tool_calls or ():
            self.add_call(part)
        if delta.function_call is not None:
            self.function_call = self.function_call or _FunctionPieces()
            self.function_call.add(delta.function_call)
        for name in _DELTA_FIELDS:
            value = getattr(delta, name)
            if value is not None:
                _grow_field(self.message, name, value)
        _merge_explicit(self.message, delta)
        self.add_ending(choice)

    def add_text(self, choice: TextChoices) -> None:
        if choice.text is not None:
            self.text.append(choice.text)
        self.add_ending(choice)

    def add_flat(self, chunk: GenericStreamingChunk) -> None:
        if chunk.text:  # its "" says that there is no text here
            self.text.append(chunk.text)
        if chunk.tool_use is not None:
            self.add_call(chunk.tool_use)
        _grow_field(self.message, "reasoning_content", chunk.reasoning_content)
        _merge_explicit(self.message, chunk)
        _grow_field(self.fields, "logprobs", chunk.logprobs)
        self.finish(chunk.finish_reason, is_finished=chunk.is_finished)

    def add_call(self, part: ChatCompletionDeltaToolCall) -> None:
        self.calls = self.calls or _Calls()
        self.calls.add(part)

    def add_ending(self, choice: StreamingChoices | TextChoices) -> None:
        _grow_field(self.fields, "logprobs", choice.logprobs)
        _merge_explicit(self.fields, choice)
        self.finish(choice.finish_reason)

    def finish(self, reason: str | None, *, is_finished: bool = False) -> None:
        self.finish_reason = reason or self.finish_reason
        self.is_finished = self.is_finished or is_finished or bool(reason)

    def whole_text(self) -> str | None:
        return "".join(self.text) if self.text else None

    def whole_message(self) -> Message:
        return build(
            Message,
            content=self.whole_text(),
            role=self.role or "assistant",
            tool_calls=None if self.calls is None else self.calls.whole(),
            function_call=None if self.function_call is None else self.function_call.whole(FunctionCall),
            **_whole(self.message),
        )

    def whole(self, cls: type[Record], index: int) -> Any:
        spoken = {"message": self.whole_message()} if cls is Choices else {"text": self.whole_text()}
        return build(cls, finish_reason=self.finish_reason, index=index, **spoken, **_whole(self.fields))


class Assembler:
    """Collects the chunks of one stream, in any of the three shapes, in time linear in their number.

    Chunks are read, never changed. What the first one looks like decides what the whole is: a text completion's chunk
    gives a `TextCompletionResponse`, any other a `ModelResponse`.

    What chunks say beside their choices (`service_tier`, `citations`, ...) is the whole's as well, the latest word of each.
    It is looked for where servers put it: on the chunks that finish a choice, and on those without choices. Of the named
    fields, a chunk that is not plain text may also bring one.

    Args:
        cls: what the whole should be, where the first chunk does not decide it.
        **head: the whole's id, created or model, where no chunk brings one.

    Attributes:
        first_text: the pieces of choice 0's content. Once it `is_open`, a stream whose chunk brings nothing
            but text for that choice may append here instead of calling `add`.
        usage: the last usage seen.
    """

    __slots__ = (
        "_choices",
        "_cls",
        "_default_head",
        "_fields",
        "_head",
        "_origins",
        "_wanted",
        "first_text",
        "usage",
    )

    def __init__(self, cls: type[ModelResponse] | type[TextCompletionResponse] | None = None, **head: Any) -> None:
        self._wanted = cls
        self._default_head = head
        self.first_text: list[str] = []
        self.usage: Usage | None = None
        self._cls: type[ModelResponse] | type[TextCompletionResponse] | None = None
        self._choices: dict[int, _Choice] = {}
        self._head: dict[str, Any] = {}
        self._fields: dict[str, Any] = {}
        self._origins: dict[Any, Any] = {}  # of the chunks whose unnamed fields are the whole's, decoded when asked for

    def add(self, chunk: Chunk) -> None:
        """Take in one chunk.

        Args:
            chunk: as a server or handler sent it.
        """
        if self._cls is None:
            own = TextCompletionResponse if isinstance(chunk, TextCompletionResponse) else ModelResponse
            self._cls = self._wanted or own
        if chunk.usage is not None:
            self.usage = chunk.usage
        if isinstance(chunk, GenericStreamingChunk):
            self._add_head(chunk, _FLAT_HEAD)
            self._choice(chunk.index).add_flat(chunk)
            return
        _merge_explicit(self._fields, chunk)
        if isinstance(chunk, TextCompletionResponse):
            self._add_words(chunk, _TEXT_TAIL)
            for choice in chunk.choices:
                self._choice(choice.index).add_text(choice)
                if choice.finish_reason:
                    self._keep_unnamed(choice.index, chunk)
        else:
            self._add_words(chunk, _CHAT_TAIL)
            for choice in chunk.choices:
                self._choice(choice.index).add_chat(choice)
                if choice.finish_reason:
                    self._keep_unnamed(choice.index, chunk)

    @property
    def knows_choice_0(self) -> bool:
        """Whether a chunk of choice 0 was added, so that `first_text` is open for pieces that are nothing but text."""
        return 0 in self._choices

    @property
    def is_open(self) -> bool:
        """Whether choice 0 has begun, and the answer's id and model are known: then `first_text` is open for its chunks."""
        return 0 in self._choices and "id" in self._head and "model" in self._head

    def add_plain(self, chunk: ModelResponseStream) -> None:
        """`add` for a chunk whose one choice is 0, and which has no more in it than a role, text and a finish reason."""
        self._cls = self._cls or self._wanted or ModelResponse
        self._add_words(chunk, _CHAT_TAIL)
        choice, delta = self._choice(0), chunk.choices[0].delta
        if delta.content is not None:
            self.first_text.append(delta.content)
        choice.role = choice.role or delta.role
        if reason := chunk.choices[0].finish_reason:
            choice.finish(reason)
            self._keep_unnamed(0, chunk)

    def _add_words(self, chunk: ModelResponseStream | TextCompletionResponse, tail: tuple[str, ...]) -> None:
        """Take in what the chunk says beside its choices."""
        self._add_head(chunk, _HEAD)
        for name in tail:
            if value := getattr(chunk, name):
                self._head[name] = value
        if not chunk.choices:
            self._keep_unnamed("behind" if self._choices else "ahead", chunk)

    def _keep_unnamed(self, place: Any, chunk: ModelResponseStream | TextCompletionResponse) -> None:
        self._origins.pop(place, None)  # the latest comes last
        self._origins[place] = type(chunk), getattr(chunk, "_origin", None)

    def _add_head(self, chunk: Chunk, names: tuple[str, ...]) -> None:
        for name in names:
            if name not in self._head and (value := getattr(chunk, name)):
                self._head[name] = value

    def _choice(self, index: int | None) -> _Choice:
        index = index or 0
        choice = self._choices.get(index)
        if choice is None:
            choice = self._choices[index] = _Choice(self.first_text if index == 0 else [])
        return choice

    def is_complete(self) -> bool:
        """Whether at least one choice was seen, and every choice seen has ended.

        A choice ends with its finish reason, or with a flat chunk that says `is_finished` without giving one.
        """
        return bool(self._choices) and all(choice.is_finished for choice in self._choices.values())

    def response(self) -> Completion | None:
        """What has arrived so far, as a whole completion.

        Can be called at any time and again: each call builds a new response.

        Returns:
            A response with its choices in the order of their indices, or None before the first chunk. What did not
            arrive is None, finish reasons too.
        """
        if self._cls is None:
            return None
        cls = Choices if self._cls is ModelResponse else TextChoices
        choices = [choice.whole(cls, index) for index, choice in sorted(self._choices.items())]
        head = {**self._default_head, **self._head}
        head = {name: value for name, value in head.items() if name in self._cls.__struct_fields__}
        response = build(self._cls, choices=choices, usage=self.usage, **head, **_whole(self._fields))
        unnamed = self._unnamed()
        if unnamed:
            response._origin = unnamed
        return response

    def _unnamed(self) -> dict[str, Any]:
        """The fields of the whole that no struct names."""
        unnamed: dict[str, Any] = {}
        for cls, origin in self._origins.values():
            chunk = build(cls)
            chunk._origin = origin
            fields = chunk._unknown()
            unnamed.update((name, fields[name]) for name in fields.keys() - _OF_EVENTS if fields[name] is not None)
        return unnamed


def stream_chunk_builder(chunks: Iterable[Chunk | dict[str, Any]], messages: Any = None) -> Completion | None:
    """Put the collected chunks of a stream back together. LiteLLM's helper.

    Args:
        chunks: the chunks in order, as structs or as dicts of the same fields.
        messages: accepted for LiteLLM's sake, which counted tokens with it; nothing is counted here.

    Returns:
        The whole completion, None when there are no chunks. Choices stay apart; LiteLLM merges them into one.
    """
    assembler = Assembler()
    for chunk in chunks:
        assembler.add(_chunk_from_dict(chunk) if isinstance(chunk, dict) else chunk)
    return assembler.response()


def _chunk_from_dict(fields: dict[str, Any]) -> Chunk:
    if "text" in fields or "is_finished" in fields:
        return GenericStreamingChunk(**fields)
    if fields.get("object") == "text_completion" or any("text" in choice for choice in fields.get("choices") or ()):
        return TextCompletionResponse(**fields)
    return ModelResponseStream(**fields)
