"""Log probabilities of an answer's tokens, as objects.

They are many bytes and rarely read, so decoders keep them as JSON (`msgspec.Raw`). They are decoded into objects when
`logprobs` is first read. An entry of another form is returned as sent.
"""

from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from ._record import OpenRecord, Record, coerce
from ._source import Fields, HasSource


class _Part(OpenRecord, forbid_unknown_fields=True):
    """Also equal to a dict with the same fields, which existing code may use; a null equals a missing field."""

    def __eq__(self, other: object) -> bool:
        return _values(self.model_dump()) == _values(other) if isinstance(other, dict) else Record.__eq__(self, other)


class TopLogprob(_Part):
    """One of the most likely tokens at a position.

    Attributes:
        token: its text.
        bytes: its UTF-8 bytes, as a token may be a part of a letter; None if the server sent none.
        logprob: the natural logarithm of its probability; OpenAI sends -9999.0 for very unlikely ones.
    """

    token: str | None = None
    bytes: list[int] | None = None
    logprob: float | None = None


class ChatCompletionTokenLogprob(_Part):
    """A token of the answer, with the fields of a `TopLogprob`.

    Attributes:
        top_logprobs: the most likely tokens at its position, as many as requested.
    """

    token: str | None = None
    bytes: list[int] | None = None
    logprob: float | None = None
    top_logprobs: list[TopLogprob] | None = None


class ChoiceLogprobs(_Part):
    """A chat completion's log probabilities, for the tokens of its content and of its refusal."""

    content: list[ChatCompletionTokenLogprob] | None = None
    refusal: list[ChatCompletionTokenLogprob] | None = None


class Logprobs(_Part):
    """A text completion's log probabilities: lists with an item for each token.

    Attributes:
        tokens: the tokens' texts.
        token_logprobs: natural logarithms of their probabilities, None for the first token of an echoed prompt.
        top_logprobs: the most likely tokens at each position, with their logarithms.
        text_offset: the position in the text at which each begins, in characters.
    """

    tokens: list[str] | None = None
    token_logprobs: list[float | None] | None = None
    top_logprobs: list[dict[str, float] | None] | None = None
    text_offset: list[int] | None = None


if TYPE_CHECKING:
    Unread: TypeAlias = Any  # a constructor accepts any value
else:
    Unread = msgspec.Raw

_decode_chat = msgspec.json.Decoder(ChoiceLogprobs).decode
_decode_json = msgspec.json.Decoder().decode
_CHAT = frozenset(ChoiceLogprobs.__struct_encode_fields__)


class HasLogprobs(HasSource):
    """A record with log probabilities."""

    __slots__ = ()
    _logprobs: Unread  # as sent or set, until it is read

    @property
    def logprobs(self) -> ChoiceLogprobs | Any:
        """Log probabilities of the tokens: a `ChoiceLogprobs`, in a text completion a `Logprobs`. None if there are none."""
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
    except (msgspec.DecodeError, UnicodeDecodeError):  # a text completion's, or with entries of another form
        value = json_of(value) if isinstance(value, msgspec.Raw) else value
    if not isinstance(value, dict):
        return value
    return coerce(value, Logprobs if value.keys().isdisjoint(_CHAT) else ChoiceLogprobs)


def json_of(raw: msgspec.Raw) -> Any:
    """The value of JSON, which msgspec has not validated. Also accepts lone surrogates in texts."""
    try:
        return _decode_json(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        import json

        return json.loads(bytes(raw).decode("utf-8", "replace"))
