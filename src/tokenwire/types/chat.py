"""What `/chat/completions` answers: a whole completion, and the chunks of a streamed one.

Field names are OpenAI's as LiteLLM has them. Every optional field is `None` when unset. Numbers and ids that servers
spell in more than one way (`created` as a float, an integer id) are kept as sent.
"""

import time
from typing import Any, ClassVar
from uuid import uuid4

import msgspec
from msgspec import UNSET, field

from ._record import OpenRecord, Path, Record, Response, coerce, lazy_field


def new_id(prefix: str = "chatcmpl-") -> str:
    """A fresh id as OpenAI's look, for completions that no server named."""
    return f"{prefix}{uuid4()}"


def _number_if_new(fields: dict[str, Any], prefix: str = "chatcmpl-") -> None:
    if fields.get("id") is None:
        fields["id"] = new_id(prefix)
    if fields.get("created") is None:
        fields["created"] = int(time.time())


class CompletionTokensDetails(OpenRecord):
    """How the completion's tokens were spent."""

    accepted_prediction_tokens: int | None = None
    audio_tokens: int | None = None
    reasoning_tokens: int | None = None
    rejected_prediction_tokens: int | None = None
    text_tokens: int | None = None


class PromptTokensDetails(OpenRecord):
    """How the prompt's tokens were counted."""

    audio_tokens: int | None = None
    cached_tokens: int | None = None
    text_tokens: int | None = None
    image_tokens: int | None = None


class Usage(OpenRecord):
    """Tokens a call used, as the server or the handler counted them; nothing here is estimated or summed."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    completion_tokens_details: CompletionTokensDetails | None = None
    prompt_tokens_details: PromptTokensDetails | None = None
    cost: float | None = None
    server_tool_use: Any = None

    _place: ClassVar[Path] = ("usage",)

    @classmethod
    def _prepare(cls, fields: dict[str, Any], unknown: dict[str, Any]) -> dict[str, Any]:
        reasoning_tokens = unknown.pop("reasoning_tokens", None)
        if reasoning_tokens is not None and fields.get("completion_tokens_details") is None:
            fields["completion_tokens_details"] = CompletionTokensDetails(reasoning_tokens=reasoning_tokens)
        for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
            if name in fields and fields[name] is None:
                fields[name] = 0
        fields["completion_tokens_details"] = coerce(fields.get("completion_tokens_details"), CompletionTokensDetails)
        fields["prompt_tokens_details"] = coerce(fields.get("prompt_tokens_details"), PromptTokensDetails)
        return fields


def _prepare_tool_function(fields: dict[str, Any], cls: type[Any]) -> None:
    if "function" in fields:
        fields["function"] = coerce(fields["function"], cls)


class Function(OpenRecord):
    """The function a tool call names, `arguments` as JSON text."""

    arguments: str = ""
    name: str | None = None

    @classmethod
    def _prepare(cls, fields: dict[str, Any], unknown: dict[str, Any]) -> dict[str, Any]:
        arguments = fields.get("arguments")
        if arguments is None:
            fields["arguments"] = ""
        elif not isinstance(arguments, str):
            fields["arguments"] = msgspec.json.encode(arguments).decode()
        return fields


class FunctionCall(Function):
    """The function a model called, in OpenAI's older form."""


class ChatCompletionMessageToolCall(OpenRecord):
    """One whole tool call; `custom` instead of `function` for OpenAI's custom tools."""

    function: Function | None = None
    id: str | None = None
    type: str | None = "function"
    custom: dict[str, Any] | None = None
    index: int | None = None

    @classmethod
    def _prepare(cls, fields: dict[str, Any], unknown: dict[str, Any]) -> dict[str, Any]:
        _prepare_tool_function(fields, Function)
        if fields.get("id") is None:
            fields["id"] = str(uuid4())
        return fields


class DeltaFunction(Record):
    """A piece of a tool call's function: the name once, then its arguments bit by bit."""

    arguments: str | None = None
    name: str | None = None


class ChatCompletionDeltaToolCall(Record):
    """A piece of a tool call; `index` says of which."""

    id: str | None = None
    function: DeltaFunction | None = None
    type: str | None = None
    index: int | None = None
    custom: dict[str, Any] | None = None

    @classmethod
    def _prepare(cls, fields: dict[str, Any], unknown: dict[str, Any]) -> dict[str, Any]:
        _prepare_tool_function(fields, DeltaFunction)
        fields.setdefault("type", "function")
        return fields


class Message(OpenRecord):
    """An assistant's message."""

    content: str | None = None
    role: str | None = "assistant"
    tool_calls: list[ChatCompletionMessageToolCall] | None = None
    function_call: FunctionCall | None = None
    audio: Any = None
    images: list[Any] | None = None
    reasoning_content: str | None = None
    thinking_blocks: list[Any] | None = None
    reasoning_items: list[Any] | None = None
    annotations: list[Any] | None = None
    refusal: str | None = None
    provider_specific_fields: dict[str, Any] | None = None
    _reasoning: Any = field(default=UNSET, name="reasoning")  # what some servers call `reasoning_content`

    _place: ClassVar[Path] = ("choices", 0, "message")

    @classmethod
    def _prepare(cls, fields: dict[str, Any], unknown: dict[str, Any]) -> dict[str, Any]:
        if "reasoning" in unknown:
            fields["_reasoning"] = unknown.pop("reasoning")
        if fields.get("role") is None:
            fields["role"] = "assistant"
        if fields.get("function_call") is not None:
            fields["function_call"] = coerce(fields["function_call"], FunctionCall)
        fields["tool_calls"] = coerce(fields.get("tool_calls"), ChatCompletionMessageToolCall) or None
        return fields


class Choices(OpenRecord):
    """One completion of a `ModelResponse`."""

    finish_reason: str | None = None
    index: int | None = 0
    message: Message = field(default_factory=Message)
    logprobs: Any = None
    provider_specific_fields: dict[str, Any] | None = None

    _place: ClassVar[Path] = ("choices", 0)

    @classmethod
    def _prepare(cls, fields: dict[str, Any], unknown: dict[str, Any]) -> dict[str, Any]:
        fields.setdefault("finish_reason", "stop")
        fields["message"] = coerce(fields.get("message"), Message) or Message()
        return fields


class ModelResponse(Response):
    """A whole chat completion.

    `ModelResponse()` in Python has an id, a creation time and one empty choice, ready to be filled in by a handler;
    a received one has what the server sent.
    """

    id: str | int | None = None
    created: int | float | None = None
    model: str | None = None
    object: str | None = "chat.completion"
    system_fingerprint: str | None = None
    choices: list[Choices] = field(default_factory=list)
    usage: Usage | None = None
    service_tier: str | None = None
    provider_specific_fields: dict[str, Any] | None = None

    @classmethod
    def _prepare(cls, fields: dict[str, Any], unknown: dict[str, Any]) -> dict[str, Any]:
        _number_if_new(fields)
        fields["choices"] = coerce(fields["choices"], Choices) if fields.get("choices") is not None else [Choices()]
        fields["usage"] = coerce(fields.get("usage"), Usage)
        if unknown.pop("stream", False):
            fields.setdefault("object", "chat.completion.chunk")
        return fields


class Delta(Record):
    """What a chunk adds to a message."""

    content: str | None = None
    role: str | None = None
    function_call: DeltaFunction | None = None
    tool_calls: list[ChatCompletionDeltaToolCall] | None = None
    audio: Any = None
    images: list[Any] | None = None
    reasoning_content: str | None = None
    thinking_blocks: list[Any] | None = None
    annotations: list[Any] | None = None
    refusal: str | None = None
    provider_specific_fields: dict[str, Any] | None = None
    _reasoning: Any = field(default=UNSET, name="reasoning")  # what some servers call `reasoning_content`

    _place: ClassVar[Path] = ("choices", 0, "delta")

    @classmethod
    def _prepare(cls, fields: dict[str, Any], unknown: dict[str, Any]) -> dict[str, Any]:
        if "reasoning" in unknown:
            fields["_reasoning"] = unknown.pop("reasoning")
        if fields.get("function_call") is not None:
            fields["function_call"] = coerce(fields["function_call"], DeltaFunction)
        calls = coerce(fields.get("tool_calls"), ChatCompletionDeltaToolCall)
        for index, call in enumerate(calls or ()):
            if call.index is None:
                call.index = index
        fields["tool_calls"] = calls
        return fields


class StreamingChoices(Record):
    """One choice's part of a chunk."""

    finish_reason: str | None = None
    index: int | None = 0
    delta: Delta = field(default_factory=Delta)
    logprobs: Any = None
    provider_specific_fields: dict[str, Any] | None = None

    _place: ClassVar[Path] = ("choices", 0)

    @classmethod
    def _prepare(cls, fields: dict[str, Any], unknown: dict[str, Any]) -> dict[str, Any]:
        unknown.pop("message", None)
        fields["delta"] = coerce(fields.get("delta"), Delta) or Delta()
        return fields

    def _unknown(self, decoded: dict[int, Any] | None = None) -> dict[str, Any]:
        # The hot path tells only the delta where it came from; the choice stands right above it.
        origin = getattr(self.delta, "_origin", None)
        if not hasattr(self, "_origin") and origin is not None and not isinstance(origin, dict):
            self._origin = (origin[0], origin[1][:-1]) if isinstance(origin, tuple) else origin
        return super()._unknown(decoded)


class ModelResponseStream(Record):
    """One chunk of a streamed chat completion, in OpenAI's shape."""

    id: str | int | None = None
    created: int | float | None = None
    model: str | None = None
    object: str | None = "chat.completion.chunk"
    choices: list[StreamingChoices] = field(default_factory=list)
    system_fingerprint: str | None = None
    usage: Usage | None = None
    service_tier: str | None = None
    provider_specific_fields: dict[str, Any] | None = None
    _error: Any = field(default=UNSET, name="error")  # an error object in place of, or beside, a chunk

    @classmethod
    def _prepare(cls, fields: dict[str, Any], unknown: dict[str, Any]) -> dict[str, Any]:
        _number_if_new(fields)
        choices = fields.get("choices")
        fields["choices"] = [StreamingChoices()] if choices is None else coerce(choices, StreamingChoices)
        fields["usage"] = coerce(fields.get("usage"), Usage)
        return fields

    @property
    def raw(self) -> bytes | None:
        """The JSON bytes of the event as the server sent them, None when no server did."""
        return self._document()


_FLATTENED = frozenset((*Delta.__struct_encode_fields__, *ModelResponseStream.__struct_encode_fields__))


class GenericStreamingChunk(Record):
    """A chunk in LiteLLM's flat form: the fastest to produce, and the fastest to read.

    Attributes:
        text: what this chunk adds, "" when it adds no text.
        is_finished: whether this choice ends here; `finish_reason` then says why.
        finish_reason: "stop", "length", "tool_calls", "content_filter" or what the server said; "" while unfinished.
        usage: tokens used, on the chunk that carries them.
        index: which of the `n` choices this chunk belongs to.
        tool_use: a piece of a tool call.
        provider_specific_fields: what else the provider sent.
        id, model: the completion's id and model, as the server or handler named them.
        reasoning_content: what this chunk adds to the reasoning.
        logprobs: log probabilities of this chunk's tokens.
    """

    text: str = ""
    is_finished: bool = False
    finish_reason: str | None = ""
    usage: Usage | None = None
    index: int = 0
    tool_use: ChatCompletionDeltaToolCall | None = None
    provider_specific_fields: dict[str, Any] | None = None
    id: str | int | None = None
    model: str | None = None
    reasoning_content: str | None = None
    logprobs: Any = None

    # Flattened from one event: what the server's delta held beside these is what nobody named.
    _place: ClassVar[Path] = ("choices", 0, "delta")

    @classmethod
    def _prepare(cls, fields: dict[str, Any], unknown: dict[str, Any]) -> dict[str, Any]:
        if fields.get("text") is None:
            fields["text"] = ""
        if "usage" in fields:
            fields["usage"] = coerce(fields["usage"], Usage)
        if "tool_use" in fields:
            fields["tool_use"] = coerce(fields["tool_use"], ChatCompletionDeltaToolCall)
        if fields.get("index", 0) is None:
            fields["index"] = 0
        return fields

    def _unknown(self, decoded: dict[int, Any] | None = None) -> dict[str, Any]:
        # What a server sent stands in a delta, or a chunk without one, whose fields have their places here.
        unknown = super()._unknown(decoded)
        if self._document() is None:
            return unknown
        return {name: value for name, value in unknown.items() if name not in _FLATTENED}

    @property
    def raw(self) -> bytes | None:
        """The JSON bytes of the event as the server sent them, None when no server did."""
        return self._document()


def _unknown_or_none(record: Record) -> dict[str, Any] | None:
    return record._unknown() or None


for _cls in (Message, Choices, ModelResponse, Delta, StreamingChoices, ModelResponseStream, GenericStreamingChunk):
    lazy_field(_cls, "provider_specific_fields", _unknown_or_none)
for _cls in (Message, Delta):
    lazy_field(_cls, "reasoning_content", lambda record: None if record._reasoning is UNSET else record._reasoning)
