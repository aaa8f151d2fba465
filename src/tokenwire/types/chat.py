"""The answers of `/chat/completions`: a whole completion, and the chunks of a streamed one.

Field names are OpenAI's, as in LiteLLM. Every optional field is `None` when unset. Numbers and ids of which servers send
other types (`created` as a float, an integer id) are kept as sent.
"""

import time
from functools import partial
from os import urandom
from types import GenericAlias
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from msgspec import UNSET, field

from ._record import HasProviderFields, OpenRecord, Record, build, coerce, hidden
from ._response import HasParsed, Response, WantedText
from ._source import Fields, HasRaw, Path
from .logprobs import HasLogprobs, Unread
from .tool_calls import ChatCompletionDeltaToolCall, ChatCompletionMessageToolCall, DeltaFunction, FunctionCall

T = TypeVar("T")


_VARIANTS = dict(
    zip("0123456789abcdef", "89ab" * 4, strict=True)
)  # a random hexadecimal digit with the two bits of the UUID's variant


def new_id(prefix: str = "chatcmpl-") -> str:
    """A new id in the form of OpenAI's, for completions without a server's id."""
    return prefix + new_uuid()


def new_uuid() -> str:
    """The same as `str(uuid.uuid4())`, at a third of its cost (RFC 9562, 5.4)."""
    digits = urandom(16).hex()
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{_VARIANTS[digits[16]]}{digits[17:20]}-{digits[20:]}"


def _number_if_new(fields: Fields, prefix: str = "chatcmpl-") -> None:
    if fields.get("id") is None:
        fields["id"] = new_id(prefix)
    if fields.get("created") is None:
        fields["created"] = int(time.time())


class HasReasoning(HasProviderFields):
    """A record with the model's reasoning, which some servers send as `reasoning`."""

    __slots__ = ()
    _reasoning_content: str | None
    _reasoning: Any

    _other_names: ClassVar[frozenset[str]] = frozenset({"reasoning"})

    @property
    def reasoning_content(self) -> str | None:
        """The reasoning, under either name. Setting it keeps the name under which it was received."""
        own = self._reasoning_content
        if own or self._reasoning is UNSET:
            return own
        return self._reasoning if own is None else self._reasoning or own

    @reasoning_content.setter
    def reasoning_content(self, value: str | None) -> None:
        if self._reasoning is not UNSET:
            self._reasoning = value
        if self._reasoning is UNSET or self._reasoning_content is not None:
            self._reasoning_content = value

    @property
    def reasoning(self) -> str | None:
        """The same as `reasoning_content`."""
        return self.reasoning_content

    @reasoning.setter
    def reasoning(self, value: str | None) -> None:
        self.reasoning_content = value


class CompletionTokensDetails(OpenRecord):
    """The completion's tokens by kind; None for a kind that the server did not count.

    Attributes:
        accepted_prediction_tokens: tokens of the call's `prediction` that are in the answer.
        audio_tokens: tokens of audio.
        reasoning_tokens: tokens of reasoning; included in `completion_tokens`.
        rejected_prediction_tokens: tokens of the call's `prediction` that are not in the answer.
        text_tokens: tokens of text.
    """

    accepted_prediction_tokens: int | None = None
    audio_tokens: int | None = None
    reasoning_tokens: int | None = None
    rejected_prediction_tokens: int | None = None
    text_tokens: int | None = None

    _place: ClassVar[Path] = ("usage", "completion_tokens_details")


class PromptTokensDetails(OpenRecord):
    """The prompt's tokens by kind; None for a kind that the server did not count.

    Attributes:
        audio_tokens: tokens of audio.
        cached_tokens: tokens read from the server's cache; included in `prompt_tokens`.
        text_tokens: tokens of text.
        image_tokens: tokens of images.
    """

    audio_tokens: int | None = None
    cached_tokens: int | None = None
    text_tokens: int | None = None
    image_tokens: int | None = None

    _place: ClassVar[Path] = ("usage", "prompt_tokens_details")


class Usage(OpenRecord):
    """The tokens that a call used, as counted by the server or the handler; nothing is estimated.

    Only for streams of servers that count each choice separately (llama.cpp) it is a sum: completion tokens are added up,
    the prompt counts once.

    Attributes:
        prompt_tokens: tokens of the messages, and of what the server adds to them.
        completion_tokens: tokens of all choices, reasoning included.
        total_tokens: the server's sum of both.
        completion_tokens_details: the completion's tokens by kind, if the server sent that.
        prompt_tokens_details: the prompt's tokens by kind, if the server sent that.
        cost: the price of the call, from OpenRouter and others: a number, or an object.
        server_tool_use: Anthropic's counts of uses of its own tools.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    completion_tokens_details: CompletionTokensDetails | None = None
    prompt_tokens_details: PromptTokensDetails | None = None
    cost: Any = None  # a number, or an object
    server_tool_use: Any = None

    _place: ClassVar[Path] = ("usage",)

    @classmethod
    def _prepare(cls, fields: Fields, unknown: Fields) -> None:
        reasoning_tokens = unknown.pop("reasoning_tokens", None)
        if reasoning_tokens is not None and fields.get("completion_tokens_details") is None:
            fields["completion_tokens_details"] = CompletionTokensDetails(reasoning_tokens=reasoning_tokens)


class Message(OpenRecord, HasReasoning, HasParsed):
    """An assistant's message. It can be put unchanged into the `messages` of the next call.

    Attributes:
        content: the text; None if there is none, as often with tool calls.
        role: "assistant".
        tool_calls: the model's tool calls; None if there are none.
        function_call: the same in OpenAI's older form.
        audio: audio output, in OpenAI's form.
        images: images, in OpenRouter's and Gemini's form.
        thinking_blocks: Anthropic's thinking blocks, with their signatures.
        reasoning_items: reasoning items of the Responses API.
        annotations: citations, in OpenAI's form.
        refusal: the model's refusal to answer, None if it answered.
    """

    content: str | None = None
    role: str | None = "assistant"
    tool_calls: list[ChatCompletionMessageToolCall] | None = None
    function_call: FunctionCall | None = None
    audio: Any = None
    images: list[Any] | None = None
    _reasoning_content: str | None = hidden(default=None, alias="reasoning_content")
    thinking_blocks: list[Any] | None = None
    reasoning_items: list[Any] | None = None
    annotations: list[Any] | None = None
    refusal: str | None = None
    _provider_specific_fields: Fields | None = hidden(default=None, alias="provider_specific_fields")
    _reasoning: Any = hidden(default=UNSET, alias="reasoning")  # some servers' name for `reasoning_content`

    _place: ClassVar[Path] = ("choices", 0, "message")
    _slots: ClassVar[tuple[str, ...]] = (*OpenRecord._slots, "_wanted")

    if not TYPE_CHECKING:  # type checkers see `ParsedMessage` below
        __class_getitem__ = classmethod(GenericAlias)

    @property
    def text(self) -> str:
        """The text of the content, which may be a str or a list of parts; "" if there is none."""
        content: Any = self.content
        if isinstance(content, str) or not content:
            return content or ""
        texts = [part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)]
        return "".join(texts)

    @text.setter
    def text(self, value: str) -> None:
        self.content = value

    @property
    def parsed(self) -> Any:
        """The answer as the type given as `response_format`; None if the call gave none, or a dict.

        Decoded when first read. Also None if the model called tools instead of answering.

        Raises:
            OutputValidationError: the answer is not a value of the type.
            OutputIncompleteError: the answer was cut short.
            OutputRefusedError: the model refused to answer.
        """
        try:
            wanted: WantedText | None = self._wanted  # pyright: ignore[reportAssignmentType]  (a message's is)
        except AttributeError:
            return None
        if wanted is None:
            return None
        text = self.content
        if text is not wanted.text:  # not in a separate function: decoding a short answer costs less than a function call
            try:
                wanted.made = wanted.fast(text)
            except Exception:  # noqa: BLE001  (`parsed` decides what the error means)
                wanted.made = wanted.parsed(self)
            wanted.text = text
        return wanted.made

    @classmethod
    def _prepare(cls, fields: Fields, unknown: Fields) -> None:
        if "reasoning" in unknown:
            fields["reasoning"] = unknown.pop("reasoning")
        if fields.get("role") is None:
            fields["role"] = "assistant"
        fields["tool_calls"] = fields.get("tool_calls") or None


class Choices(OpenRecord, HasProviderFields, HasLogprobs):
    """One completion of a `ModelResponse`.

    Attributes:
        finish_reason: "stop", "length", "tool_calls", "content_filter" or another of the server's; None if it sent none.
        index: which of the `n` choices it is, from 0.
        message: the model's answer.
    """

    finish_reason: str | None = None
    index: int | None = 0
    message: Message = field(default_factory=partial(build, Message))
    _logprobs: Unread = hidden(default=None, alias="logprobs")
    _provider_specific_fields: Fields | None = hidden(default=None, alias="provider_specific_fields")

    _place: ClassVar[Path] = ("choices", 0)

    if not TYPE_CHECKING:  # type checkers see `ParsedChoices` below
        __class_getitem__ = classmethod(GenericAlias)

    @classmethod
    def _prepare(cls, fields: Fields, unknown: Fields) -> None:
        if "delta" not in unknown:  # otherwise it is a part of a stream's chunk
            fields.setdefault("finish_reason", "stop")


class ModelResponse(Response, HasProviderFields):
    """A whole chat completion.

    `ModelResponse()` in Python has an id, a creation time and one empty choice, to be filled in by a handler; a received
    one has what the server sent. Unknown fields are attributes, too.

    Attributes:
        id: the completion's.
        created: when it was made, in seconds since 1970.
        model: the server's name of the model that answered.
        object: "chat.completion".
        system_fingerprint: OpenAI's identifier of the configuration that answered.
        choices: one for each of `n`.
        usage: the tokens used; None if the server did not send them.
        service_tier: OpenAI's service tier that answered.
    """

    id: str | int | None = None
    created: int | float | None = None
    model: str | None = None
    object: str | None = "chat.completion"
    system_fingerprint: str | None = None
    choices: list[Choices] = field(default_factory=list)
    usage: Usage | None = None
    service_tier: str | None = None
    _provider_specific_fields: Fields | None = hidden(default=None, alias="provider_specific_fields")

    if not TYPE_CHECKING:  # type checkers see `ParsedResponse` below
        __class_getitem__ = classmethod(GenericAlias)

    @property
    def text(self) -> str:
        """The text of the first choice; "" if there is none."""
        return (self.choices[0].message.content or "") if self.choices else ""

    @classmethod
    def _prepare(cls, fields: Fields, unknown: Fields) -> None:
        _number_if_new(fields)
        is_piece = bool(unknown.pop("stream", False))
        if is_piece:
            fields.setdefault("object", "chat.completion.chunk")
        if fields.get("choices") is None:
            fields["choices"] = [Choices(finish_reason=None) if is_piece else Choices()]


if TYPE_CHECKING:

    class ParsedMessage(Message, Generic[T]):
        """A `Message` with a known type of `parsed`."""

        @property
        def parsed(self) -> T:
            """See `Message.parsed`."""
            ...

    class ParsedChoices(Choices, Generic[T]):
        """`Choices` with such messages."""

        message: ParsedMessage[T] = ...  # pyright: ignore[reportIncompatibleVariableOverride, reportAssignmentType]

    class ParsedResponse(ModelResponse, Generic[T]):
        """For type checkers: the `ModelResponse` of a call with a type as `response_format`."""

        choices: list[ParsedChoices[T]] = ...  # pyright: ignore[reportIncompatibleVariableOverride, reportAssignmentType]

else:
    ParsedMessage, ParsedChoices, ParsedResponse = Message, Choices, ModelResponse


class Delta(Record, HasReasoning, forbid_unknown_fields=True):
    """The part of a message that a chunk adds; None for fields to which it adds nothing.

    Attributes:
        content: text.
        role: "assistant", usually only in the first chunk.
        function_call: a piece of a function call, in OpenAI's older form.
        tool_calls: pieces of tool calls, identified by `index`.
        audio: a piece of audio output.
        images: images.
        thinking_blocks: Anthropic's thinking blocks, each when it is complete.
        reasoning_items: reasoning items of the Responses API, each when it is complete.
        annotations: citations.
        refusal: text of a refusal.
    """

    # Sealed, so that msgspec detects a delta with unknown fields at no cost for the others; see `_opened`.

    content: str | None = None
    role: str | None = None
    function_call: DeltaFunction | None = None
    tool_calls: list[ChatCompletionDeltaToolCall] | None = None
    audio: Any = None
    images: list[Any] | None = None
    _reasoning_content: str | None = hidden(default=None, alias="reasoning_content")
    thinking_blocks: list[Any] | None = None
    reasoning_items: list[Any] | None = None
    annotations: list[Any] | None = None
    refusal: str | None = None
    _provider_specific_fields: Fields | None = hidden(default=None, alias="provider_specific_fields")
    _reasoning: Any = hidden(default=UNSET, alias="reasoning")  # some servers' name for `reasoning_content`

    _place: ClassVar[Path] = ("choices", 0, "delta")

    @classmethod
    def _prepare(cls, fields: Fields, unknown: Fields) -> None:
        if "reasoning" in unknown:
            fields["reasoning"] = unknown.pop("reasoning")
        calls = coerce(fields.get("tool_calls"), ChatCompletionDeltaToolCall)
        for index, call in enumerate(calls or ()):
            if call.index is None:
                call.index = index
        fields["tool_calls"] = calls


class StreamingChoices(Record, HasProviderFields, HasLogprobs):
    """One choice's part of a chunk.

    Attributes:
        finish_reason: why the choice ends with this chunk; None if it does not.
        index: which of the `n` choices it is, from 0.
        delta: the part of the message that the chunk adds.
    """

    finish_reason: str | None = None
    index: int | None = 0
    delta: Delta = field(default_factory=partial(build, Delta))
    _logprobs: Unread = hidden(default=None, alias="logprobs")
    _provider_specific_fields: Fields | None = hidden(default=None, alias="provider_specific_fields")

    _place: ClassVar[Path] = ("choices", 0)

    @classmethod
    def _prepare(cls, fields: Fields, unknown: Fields) -> None:
        message, text, own = unknown.pop("message", None), unknown.get("text"), fields.get("delta")
        if own is None or not _says_something(own):  # it may be under another server's name
            if message is not None and (own is None or _says_something(message)):
                fields["delta"] = message
            elif isinstance(text, str) and own is None:
                fields["delta"] = Delta(content=unknown.pop("text"))


def _says_something(message: object) -> bool:
    """Whether a message or a delta has any field but a role."""
    fields = dict(message) if isinstance(message, Record | dict) else {"": message}
    return any(value for name, value in fields.items() if name != "role")


class ModelResponseStream(Record, HasProviderFields, HasRaw):
    """One chunk of a streamed chat completion, in OpenAI's shape. `raw` has the bytes of its event.

    Attributes:
        id: the completion's, the same in all of its chunks.
        created: when it was made, in seconds since 1970.
        model: the server's name of the model that answers.
        object: "chat.completion.chunk".
        choices: those that the chunk adds to; empty in a chunk that only has the usage.
        system_fingerprint: OpenAI's identifier of the configuration that answers.
        usage: the tokens used; in the last chunk, if requested by `stream_options={"include_usage": True}`.
        service_tier: OpenAI's service tier that answers.
    """

    id: str | int | None = None
    created: int | float | None = None
    model: str | None = None
    object: str | None = "chat.completion.chunk"
    choices: list[StreamingChoices] = field(default_factory=list)
    system_fingerprint: str | None = None
    usage: Usage | None = None
    service_tier: str | None = None
    _provider_specific_fields: Fields | None = hidden(default=None, alias="provider_specific_fields")
    _error: Any = hidden(default=UNSET, alias="error")  # an error object instead of a chunk, or next to one

    @classmethod
    def _prepare(cls, fields: Fields, unknown: Fields) -> None:
        _number_if_new(fields)
        if fields.get("choices") is None:
            fields["choices"] = [StreamingChoices()]


# The flat chunk's fields for those of a delta; the others are in its `provider_specific_fields`.
FLAT_NAMES = {
    "content": "text",
    "reasoning_content": "reasoning_content",
    "reasoning": "reasoning_content",
    "tool_calls": "tool_use",
    "provider_specific_fields": "provider_specific_fields",
}


class GenericStreamingChunk(Record, HasProviderFields, HasLogprobs, HasRaw):
    """A chunk in LiteLLM's flat form: the fastest to produce, and the fastest to read.

    Attributes:
        text: the text that this chunk adds, "" if it adds none.
        is_finished: whether this choice ends with this chunk; then `finish_reason` has the reason.
        finish_reason: "stop", "length", "tool_calls", "content_filter" or another of the server's; "" while unfinished.
        usage: the tokens used, in the chunk that has them.
        index: which of the `n` choices this chunk belongs to.
        tool_use: a piece of a tool call.
        provider_specific_fields: other fields that the provider sent.
        id: the server's or handler's id of the completion.
        model: the server's or handler's name of the model.
        reasoning_content: the reasoning that this chunk adds.
        logprobs: log probabilities of this chunk's tokens.
    """

    text: str = ""
    is_finished: bool = False
    finish_reason: str | None = ""
    usage: Usage | None = None
    index: int = 0
    tool_use: ChatCompletionDeltaToolCall | None = None
    _provider_specific_fields: Fields | None = hidden(default=None, alias="provider_specific_fields")
    id: str | int | None = None
    model: str | None = None
    reasoning_content: str | None = None
    _logprobs: Unread = hidden(default=None, alias="logprobs")

    # It was made from one event: the other fields of the event's delta are its unknown fields.
    _place: ClassVar[Path] = ("choices", 0, "delta")

    @classmethod
    def _prepare(cls, fields: Fields, unknown: Fields) -> None:
        if "reasoning" in unknown and fields.get("reasoning_content") is None:
            fields["reasoning_content"] = unknown.pop("reasoning")

    @classmethod
    def _leftovers(cls, sent: Fields) -> Fields:
        # The server's fields are in a delta, or in a text chunk, whose fields have their places here.
        named = Delta.__struct_encode_fields__
        return {
            name: value
            for name, value in super()._leftovers(sent).items()
            if name not in _SHOWN_FLAT and not (value is None and name in named)
        }


# A flat chunk has no role: it is always the assistant's.
_SHOWN_FLAT = frozenset((*FLAT_NAMES, "role", *ModelResponseStream.__struct_encode_fields__))
