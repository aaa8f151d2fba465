"""Decodes the text of an answer to the type that the caller requested, or explains what does not fit.

The mode is how the type is requested from a server. If the schema is in the prompt, the model need not follow it; in the
mode `PROMPT` the server does not even enforce JSON, so there a Markdown fence and text around the object are accepted. Of an
answer that ended too early, the complete part is kept.
"""

import enum
import json
import re
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from functools import lru_cache
from operator import attrgetter, itemgetter
from typing import Any, get_args, get_origin

import msgspec

from ..exceptions import APIResponseValidationError, OutputIncompleteError, OutputRefusedError, OutputValidationError
from ..schemas.decoding import Decoder, Misfit, is_json
from ..schemas.described import Schema, shown
from ..schemas.strict import WRAPPED, StrictFormat, strict_format
from ..types.chat import Message
from ..wire.partial_json import PartialJSON

CUT = frozenset((None, "length", "max_tokens", "content_filter"))  # finish reasons of answers that are not complete

_FENCED = re.compile(r"```[^\n`]*\n(.*?)```", re.DOTALL)
_TRIES = 64  # the most braces at which to try to decode an object: each try may read all of the following text

_INSTRUCTION = "Answer with one JSON object, and nothing before or after it, that fits this JSON schema:\n"


class Mode(enum.Enum):
    """How an object is requested from a server: by its schema, as any JSON object, or only in the prompt."""

    SCHEMA = "schema"
    OBJECT = "object"
    PROMPT = "prompt"


class Answer:
    """The type requested for an answer.

    Args:
        cls: any type that `response_format` accepts.
        mode: how it is requested.

    Attributes:
        fast: decodes a text that fits; raises one of `NOT_A_VALUE` if it does not.
        cls, mode: as given.

    Raises:
        BadRequestError: the type has no strict schema; the message names the field.
    """

    __slots__ = ("_decoder", "_format", "_unwrap", "cls", "fast", "is_pairs", "mode")

    def __init__(self, cls: object, mode: Mode = Mode.SCHEMA) -> None:
        self.cls: Any = cls
        self.mode: Mode = mode
        pairs = _pairs_of(cls)
        self.is_pairs: bool = pairs is not None
        wanted = pairs or cls
        self._format: StrictFormat = strict_format(wanted, shown(cls), {_PAIR: f"{shown(cls)}[]"})
        self._unwrap: Callable[[Any], Any] | None = None
        if self._format.is_wrapped:
            wanted = msgspec.defstruct("Wrapped", [(WRAPPED, wanted)])
            self._unwrap = _dict_of if self.is_pairs else attrgetter(WRAPPED)
        self._decoder = Decoder(wanted)
        self.fast: Callable[[str], Any] = self._decoder.fast if self._unwrap is None else self._unwrapped_fast

    def __reduce__(self) -> "tuple[Callable[[Any, Mode], Answer], tuple[Any, Mode]]":
        return answer_of, (self.cls, self.mode)

    @property
    def response_format(self) -> Schema | None:
        """The request's `response_format`, a new dict each time; None for none."""
        if self.mode is Mode.PROMPT:
            return None
        return msgspec.json.decode(self._format.encoded) if self.mode is Mode.SCHEMA else {"type": "json_object"}

    @property
    def instruction(self) -> str | None:
        """The instruction to add to the prompt; None if the server gets the schema."""
        if self.mode is Mode.SCHEMA:
            return None
        schema = msgspec.json.decode(self._format.encoded)["json_schema"]["schema"]
        return _INSTRUCTION + msgspec.json.encode(schema).decode()

    def parser(self) -> PartialJSON:
        """A parser for an answer that is still arriving."""
        return PartialJSON(fences=self.mode is Mode.PROMPT)

    def parsed(self, message: Message, finish_reason: str | None) -> Any:
        """The object in a message; None if the model called tools instead of answering.

        Args:
            finish_reason: why the message ended.

        Raises:
            OutputRefusedError: the model refused to answer.
            OutputIncompleteError: the answer was cut short.
            OutputValidationError: it is not a value of the type.
        """
        text = message.content or ""
        if message.refusal:
            raise OutputRefusedError(f"the model refused to answer: {message.refusal}", text=text)
        if not text and message.tool_calls:
            return None
        try:
            return self._decoded(text)
        except Misfit as misfit:
            if finish_reason in CUT:
                raise self._incomplete(text, finish_reason) from None
            path = misfit.path.removeprefix(WRAPPED).removeprefix(".") if self._format.is_wrapped else misfit.path
            raise OutputValidationError(
                f"the answer does not fit {shown(self.cls)}: {misfit.expected} at {path or 'its root'}: {text[:200]!r}",
                path=path,
                expected=misfit.expected,
                text=text,
            ) from misfit.__cause__

    def _unwrapped_fast(self, text: str) -> object:
        assert self._unwrap is not None
        return self._unwrap(self._decoder.fast(text))

    def _decoded(self, text: str) -> Any:
        """The object in a text; in mode `PROMPT`, the first part of the text that fits.

        Raises:
            Misfit: no part fits; about the first part that is JSON, if any.
        """
        misfits: list[tuple[bool, Misfit]] = []
        for part in _objects_in(text) if self.mode is Mode.PROMPT else (text,):
            try:
                value = self._decoder.decode(part)
                return value if self._unwrap is None else self._unwrap(value)
            except Misfit as misfit:
                misfits.append((not is_json(part), misfit))
        raise min(misfits, key=itemgetter(0))[1]

    def _incomplete(self, text: str, finish_reason: str | None) -> OutputIncompleteError:
        why = "before it had a finish reason" if finish_reason is None else f"by finish_reason={finish_reason!r}"
        parser = self.parser()
        try:
            known = parser.feed(text)
        except APIResponseValidationError:
            known = parser.value
        value = self.unwrapped(known)
        return OutputIncompleteError(
            f"the answer was cut short {why}: it is not a whole {shown(self.cls)}",
            text=text,
            value=dict(pairs_in(value)) if self.is_pairs and value else value,
        )

    def unwrapped(self, known: Any) -> Any:
        """A partial value without the object that the schema wraps around it; None if it has not begun. Pairs are kept."""
        if self._format.is_wrapped:
            known = known.get(WRAPPED) if isinstance(known, dict) else None
        return None if known is msgspec.UNSET else known


@lru_cache(maxsize=256)
def _cached(cls: object, mode: Mode) -> Answer:
    return Answer(cls, mode)


def answer_of(cls: object, mode: Mode = Mode.SCHEMA) -> Answer:
    """The `Answer` for a type, cached if possible.

    Raises:
        BadRequestError: the type has no strict schema; the message names the field.
    """
    try:
        hash(cls)
    except TypeError:
        return Answer(cls, mode)
    return _cached(cls, mode)


def _objects_in(text: str) -> Iterator[str]:
    """Parts of a text that may be the object: all of it, the content of fences, and each object that begins at a brace."""
    yield text
    for fenced in _FENCED.finditer(text):
        yield fenced[1]
    decode, start = json.JSONDecoder().raw_decode, text.find("{")
    for _ in range(_TRIES):
        if start < 0:
            return
        try:
            _, end = decode(text, start)
            yield text[start:end]
        except (ValueError, RecursionError):
            end = start + 1
        start = text.find("{", end)


# A dict with any keys, which strict mode does not support, is requested as a list of pairs.

_PAIR = "KeyAndValue"


def _pairs_of(cls: object) -> object:
    """A type for the pairs of a dict; None for any other type, and for a dict without types."""
    if get_origin(cls) not in (dict, Mapping, MutableMapping):
        return None
    key, value = get_args(cls)
    return list[msgspec.defstruct(_PAIR, [("key", key), ("value", value)])]


def _dict_of(wrapped: object) -> dict[Any, Any]:
    return {pair.key: pair.value for pair in getattr(wrapped, WRAPPED)}


def pairs_in(known: object) -> Iterator[tuple[Any, Any]]:
    """The pairs in a partial value whose keys have ended and whose values have begun."""
    for pair in known if isinstance(known, list) else ():
        if isinstance(pair, dict) and isinstance(pair.get("key"), str | int | float) and "value" in pair:
            yield pair["key"], pair["value"]
