"""Log probabilities of an answer's tokens, as objects.

They are many bytes and are seldom read, so a decoder keeps them as JSON (`msgspec.Raw`). The first look at `logprobs` makes
objects of them. An entry of another shape can be read as it came.
"""

from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from ._record import OpenRecord, Record, coerce
from ._source import Fields, HasSource


class _Part(OpenRecord, forbid_unknown_fields=True):
    """Equal to a dict of the same fields, too, as which code may know it; there, null is as good as a field that is missing."""

    def __eq__(self, other: object) -> bool:
        return _values(self.model_dump()) == _values(other) if isinstance(other, dict) else Record.__eq__(self, other)


class TopLogprob(_Part):
    """One of the tokens that were most likely at a place.

    Attributes:
        token: its text.
        bytes: its UTF-8 bytes, as a token may be half a letter; None where the server sent none.
        logprob: its natural logarithm; -9999.0 is OpenAI's for a very unlikely one.
    """

    token: str | None = None
    bytes: list[int] | None = None
    logprob: float | None = None


class ChatCompletionTokenLogprob(_Part):
    """A token of the answer; the fields are a `TopLogprob`'s.

    Attributes:
        top_logprobs: the most likely tokens at its place, as many as were asked for.
    """

    token: str | None = None
    bytes: list[int] | None = None
    logprob: float | None = None
    top_logprobs: list[TopLogprob] | None = None


class ChoiceLogprobs(_Part):
    """A chat completion's: those of the tokens of its content and of its refusal."""

    content: list[ChatCompletionTokenLogprob] | None = None
    refusal: list[ChatCompletionTokenLogprob] | None = None


class Logprobs(_Part):
    """A text completion's: lists with an item for each token.

    Attributes:
        tokens: their texts.
        token_logprobs: their natural logarithms, None for the first token of an echoed prompt.
        top_logprobs: the most likely tokens at each place, with their logarithms.
        text_offset: where each begins in the text, in characters.
    """

    tokens: list[str] | None = None
    token_logprobs: list[float | None] | None = None
    top_logprobs: list[dict[str, float] | None] | None = None
    text_offset: list[int] | None = None


if TYPE_CHECKING:
    Unread: TypeAlias = Any  # a constructor takes anything
else:
    Unread = msgspec.Raw

_decode_chat = msgspec.json.Decoder(ChoiceLogprobs).decode
_decode_json = msgspec.json.Decoder().decode
_CHAT = frozenset(ChoiceLogprobs.__struct_encode_fields__)


class HasLogprobs(HasSource):
    """A record with log probabilities."""

    __slots__ = ()
    _logprobs: Unread  # as sent or set, until somebody looks

    @property
    def logprobs(self) -> ChoiceLogprobs | Any:
        """Log probabilities of the tokens: a `ChoiceLogprobs`, in a text completion a `Logprobs`. None where there are none."""
        value = self._logprobs
        if type(value) is msgspec.Raw or isinstance(value, dict):
            self._logprobs = value = _logprobs_of(value)
        return value

    @logprobs.setter
    def logprobs(self, value: object) -> None:
        self._logprobs = value


def _values(value: object) -> Any:
    """JSON without its nulls."""
    if isinstance(value, dict):
        return {name: _values(item) for name, item in value.items() if item is not None}
    return [_values(item) for item in value] if isinstance(value, list) else value


def _logprobs_of(value: msgspec.Raw | Fields) -> object:
    try:
        return _decode_chat(value) if isinstance(value, msgspec.Raw) else msgspec.convert(value, ChoiceLogprobs)
    except (msgspec.DecodeError, UnicodeDecodeError):  # of a text completion, or with odd entries
        value = json_of(value) if isinstance(value, msgspec.Raw) else value
    if not isinstance(value, dict):
        return value
    return coerce(value, Logprobs if value.keys().isdisjoint(_CHAT) else ChoiceLogprobs)


def json_of(raw: msgspec.Raw) -> Any:
    """What JSON says, which nobody has looked into. Half a letter (a lone surrogate) is text as well."""
    try:
        return _decode_json(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        import json

        return json.loads(bytes(raw).decode("utf-8", "replace"))
