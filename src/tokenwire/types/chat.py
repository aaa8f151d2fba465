"""What `/chat/completions` answers: a whole completion, and the chunks of a streamed one.

Field names are OpenAI's as LiteLLM has them. Every optional field is `None` when unset. Numbers and ids that servers
spell in more than one way (`created` as a float, an integer id) are kept as sent.
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
)  # of a random digit, the two bits that say whose layout it is


def new_id(prefix: str = "chatcmpl-") -> str:
    """A fresh id as OpenAI's look, for completions that no server named."""
    return prefix + new_uuid()


def new_uuid() -> str:
    """What `str(uuid.uuid4())` is, at a third of its cost (RFC 9562, 5.4)."""
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
        """The reasoning, under either name. Set, it keeps the name that it came under."""
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
    """How the completion's tokens were spent; None for what the server did not count.

    Attributes:
        accepted_prediction_tokens: of the call's `prediction`, those that the answer has.
        audio_tokens: spoken.
        reasoning_tokens: spent on reasoning; they are part of `completion_tokens`.
        rejected_prediction_tokens: of the call's `prediction`, those that the answer does not have.
        text_tokens: written.
    """

    accepted_prediction_tokens: int | None = None
    audio_tokens: int | None = None
    reasoning_tokens: int | None = None
    rejected_prediction_tokens: int | None = None
    text_tokens: int | None = None

    _place: ClassVar[Path] = ("usage", "completion_tokens_details")


class PromptTokensDetails(OpenRecord):
    """How the prompt's tokens were counted; None for what the server did not count.

    Attributes:
        audio_tokens: of audio.
        cached_tokens: read from the server's cache; they are part of `prompt_tokens`.
        text_tokens: of text.
        image_tokens: of images.
    """

    audio_tokens: int | None = None
    cached_tokens: int | None = None
    text_tokens: int | None = None
    image_tokens: int | None = None

    _place: ClassVar[Path] = ("usage", "prompt_tokens_details")


class Usage(OpenRecord):
    """Tokens a call used, as the server or the handler counted them; nothing here is estimated.

    It is a sum only for streams of servers that count each choice by itself (llama.cpp): completion tokens are added up,
    the prompt counts once.

    Attributes:
        prompt_tokens: of the messages, and of what the server adds to them.
        completion_tokens: of all choices, reasoning included.
        total_tokens: both, as the server adds them.
        completion_tokens_details: how the completion's were spent, where the server says so.
        prompt_tokens_details: how the prompt's were counted, likewise.
        cost: what OpenRouter and others ask for the call: a number, or an object of several.
        server_tool_use: Anthropic's count of its own tools' uses.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    completion_tokens_details: CompletionTokensDetails | None = None
    prompt_tokens_details: PromptTokensDetails | None = None
    cost: Any = None  # a number, or an object of several
    server_tool_use: Any = None

    _place: ClassVar[Path] = ("usage",)

    @classmethod
    def _prepare(cls, fields: Fields, unknown: Fields) -> None:
        reasoning_tokens = unknown.pop("reasoning_tokens", None)
        if reasoning_tokens is not None and fields.get("completion_tokens_details") is None:
            fields["completion_tokens_details"] = CompletionTokensDetails(reasoning_tokens=reasoning_tokens)


class Message(OpenRecord, HasReasoning, HasParsed):
    """An assistant's message. It can stand as it is in the `messages` of the next call.

    Attributes:
        content: the text; None where there is none, as beside tool calls.
        role: "assistant".
        tool_calls: the tools that the model calls; None for none.
        function_call: the same in OpenAI's older form.
        audio: what was spoken, as OpenAI has it.
        images: what was drawn, as OpenRouter and Gemini have it.
        thinking_blocks: Anthropic's, with their signatures.
        reasoning_items: those of the Responses API.
        annotations: citations, as OpenAI has them.
        refusal: why the model would not answer, None where it did.
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
    _reasoning: Any = hidden(default=UNSET, alias="reasoning")  # what some servers call `reasoning_content`

    _place: ClassVar[Path] = ("choices", 0, "message")
    _slots: ClassVar[tuple[str, ...]] = (*OpenRecord._slots, "_wanted")

    if not TYPE_CHECKING:  # which knows it as `ParsedMessage`
        __class_getitem__ = classmethod(GenericAlias)

    @property
    def text(self) -> str:
        """What the content says, be it a text or a list of parts; "" where it says nothing."""
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
        """The answer as the type that the call gave as `response_format`; None where it gave none, or a dict.

        Made when it is first read. None as well where the model called tools in place of an answer.

        Raises:
            OutputValidationError: the answer is not a value of the type.
            OutputIncompleteError: it was cut short.
            OutputRefusedError: the model would not give one.
        """
        try:
            wanted: WantedText | None = self._wanted  # pyright: ignore[reportAssignmentType]  (a message's is)
        except AttributeError:
            return None
        if wanted is None:
            return None
        text = self.content
        if text is not wanted.text:  # all of it in this one function: short answers are decoded in less than a call takes
            try:
                wanted.made = wanted.fast(text)
            except Exception:  # noqa: BLE001  (which of them say that it does not fit, `wanted` knows)
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
        finish_reason: "stop", "length", "tool_calls", "content_filter" or what the server said; None where it gave none.
        index: which of the `n` choices it is, from 0.
        message: what the model answered.
    """

    finish_reason: str | None = None
    index: int | None = 0
    message: Message = field(default_factory=partial(build, Message))
    _logprobs: Unread = hidden(default=None, alias="logprobs")
    _provider_specific_fields: Fields | None = hidden(default=None, alias="provider_specific_fields")

    _place: ClassVar[Path] = ("choices", 0)

    if not TYPE_CHECKING:  # which knows it as `ParsedChoices`
        __class_getitem__ = classmethod(GenericAlias)

    @classmethod
    def _prepare(cls, fields: Fields, unknown: Fields) -> None:
        if "delta" not in unknown:  # else it is a piece of an answer
            fields.setdefault("finish_reason", "stop")


class ModelResponse(Response, HasProviderFields):
    """A whole chat completion.

    `ModelResponse()` in Python has an id, a creation time and one empty choice, ready to be filled in by a handler;
    a received one has what the server sent. Fields without a name here are attributes all the same.

    Attributes:
        id: the completion's.
        created: when it was made, in seconds since 1970.
        model: what the server calls the model that answered.
        object: "chat.completion".
        system_fingerprint: of the configuration that answered, as OpenAI has it.
        choices: one for each of `n`.
        usage: tokens used; None where the server did not count them.
        service_tier: which one answered, as OpenAI has it.
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

    if not TYPE_CHECKING:  # which knows it as `ParsedResponse`
        __class_getitem__ = classmethod(GenericAlias)

    @property
    def text(self) -> str:
        """What the first choice says; "" where it says nothing."""
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
        """A `Message` of whose `parsed` the type is known."""

        @property
        def parsed(self) -> T:
            """See `Message.parsed`."""
            ...

    class ParsedChoices(Choices, Generic[T]):
        """`Choices` of such messages."""

        message: ParsedMessage[T] = ...  # pyright: ignore[reportIncompatibleVariableOverride, reportAssignmentType]

    class ParsedResponse(ModelResponse, Generic[T]):
        """What a call with a type as `response_format` returns, as a type checker sees it: a `ModelResponse`."""

        choices: list[ParsedChoices[T]] = ...  # pyright: ignore[reportIncompatibleVariableOverride, reportAssignmentType]

else:
    ParsedMessage, ParsedChoices, ParsedResponse = Message, Choices, ModelResponse


class Delta(Record, HasReasoning, forbid_unknown_fields=True):
    """What a chunk adds to a message; None for what it adds nothing to.

    Attributes:
        content: text.
        role: "assistant", usually in the first chunk alone.
        function_call: a piece of one, in OpenAI's older form.
        tool_calls: pieces of tool calls; `index` says of which.
        audio: a piece of what is spoken.
        images: what was drawn.
        thinking_blocks: Anthropic's, each when it is whole.
        reasoning_items: those of the Responses API, each when it is whole.
        annotations: citations.
        refusal: text of a refusal.
    """

    # Sealed, so that msgspec reports a delta with other fields, which costs those without nothing; see `_opened`.

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
    _reasoning: Any = hidden(default=UNSET, alias="reasoning")  # what some servers call `reasoning_content`

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
        finish_reason: why the choice ends here; None while it goes on.
        index: which of the `n` choices it is, from 0.
        delta: what the chunk adds to the message.
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
        if own is None or not _says_something(own):  # then it may be what others call it
            if message is not None and (own is None or _says_something(message)):
                fields["delta"] = message
            elif isinstance(text, str) and own is None:
                fields["delta"] = Delta(content=unknown.pop("text"))


def _says_something(message: object) -> bool:
    """Whether a message or a delta has more than a role."""
    fields = dict(message) if isinstance(message, Record | dict) else {"": message}
    return any(value for name, value in fields.items() if name != "role")


class ModelResponseStream(Record, HasProviderFields, HasRaw):
    """One chunk of a streamed chat completion, in OpenAI's shape. `raw` has the bytes of its event.

    Attributes:
        id: the completion's, the same on all of its chunks.
        created: when it was made, in seconds since 1970.
        model: what the server calls the model that answers.
        object: "chat.completion.chunk".
        choices: those that the chunk adds to; none in a chunk that has the usage alone.
        system_fingerprint: of the configuration that answers, as OpenAI has it.
        usage: tokens used; on the last chunk, where `stream_options={"include_usage": True}` asked for it.
        service_tier: which one answers, as OpenAI has it.
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
    _error: Any = hidden(default=UNSET, alias="error")  # an error object in place of, or beside, a chunk

    @classmethod
    def _prepare(cls, fields: Fields, unknown: Fields) -> None:
        _number_if_new(fields)
        if fields.get("choices") is None:
            fields["choices"] = [StreamingChoices()]


# Where a flat chunk has the fields of a delta; the others are among its `provider_specific_fields`.
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
        text: what this chunk adds, "" when it adds no text.
        is_finished: whether this choice ends here; `finish_reason` then says why.
        finish_reason: "stop", "length", "tool_calls", "content_filter" or what the server said; "" while unfinished.
        usage: tokens used, on the chunk that carries them.
        index: which of the `n` choices this chunk belongs to.
        tool_use: a piece of a tool call.
        provider_specific_fields: what else the provider sent.
        id: the completion's id, as the server or handler gave it.
        model: the model, as they named it.
        reasoning_content: what this chunk adds to the reasoning.
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

    # Flattened from one event: what the server's delta held beside these is what nobody named.
    _place: ClassVar[Path] = ("choices", 0, "delta")

    @classmethod
    def _prepare(cls, fields: Fields, unknown: Fields) -> None:
        if "reasoning" in unknown and fields.get("reasoning_content") is None:
            fields["reasoning_content"] = unknown.pop("reasoning")

    @classmethod
    def _leftovers(cls, sent: Fields) -> Fields:
        # What a server sent stands in a delta, or in a chunk without one, whose fields have their places here.
        named = Delta.__struct_encode_fields__
        return {
            name: value
            for name, value in super()._leftovers(sent).items()
            if name not in _SHOWN_FLAT and not (value is None and name in named)
        }


# The role goes without saying on a flat chunk.
_SHOWN_FLAT = frozenset((*FLAT_NAMES, "role", *ModelResponseStream.__struct_encode_fields__))
