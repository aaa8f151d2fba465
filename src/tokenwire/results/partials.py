"""Partial answers: a growing JSON value, and an object of the requested type made from it.

The value is `PartialJSON`'s. The object is made when it is read, from what has arrived: a field that has not begun has its
default, or is `msgspec.UNSET` if the class has no default; so does one whose text is not yet a value of its type, such as
half a date. A value that has ended and has a wrong type is an error when the object is read, as it can't become right any
more. Other validation by a class runs once, when the answer is complete.
"""

import datetime as dt
import decimal
import uuid
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import UNSET, UnsetType, inspect

from ..exceptions import OutputValidationError
from ..schemas.decoding import Misfit, first_of
from ..schemas.described import shown
from ..wire.partial_json import PartialJSON
from .answer import Answer, pairs_in
from .reading import text_of

T = TypeVar("T")

# Types that msgspec converts from a JSON string or number.
_CONVERTED: dict[type, Any] = {
    inspect.BytesType: bytes,
    inspect.DateTimeType: dt.datetime,
    inspect.DateType: dt.date,
    inspect.DecimalType: decimal.Decimal,
    inspect.TimeDeltaType: dt.timedelta,
    inspect.TimeType: dt.time,
    inspect.UUIDType: uuid.UUID,
}
_AS_THEY_ARE: dict[type, frozenset[type]] = {
    inspect.BoolType: frozenset({bool}),
    inspect.FloatType: frozenset({int, float}),
    inspect.IntType: frozenset({int}),
    inspect.NoneType: frozenset({type(None)}),
    inspect.StrType: frozenset({str}),
}
# Errors of a class whose `__post_init__` needs a missing field, or that can't be called with keywords.
_NOT_MADE = (TypeError, ValueError, AttributeError)


class Partial(Generic[T]):
    """The part of an answer's value that has arrived: one growing object for the whole stream.

    Args:
        answer: the requested type, None if there is none.
    """

    __slots__ = ("_answer", "_dict", "_pairs", "_parser")

    def __init__(self, answer: Answer | None) -> None:
        self._answer = answer
        self._parser = PartialJSON() if answer is None else answer.parser()
        self._dict: dict[Any, Any] = {}  # made of the pairs, if a dict was requested as a list of pairs
        self._pairs = 0  # the number of pairs in it that have ended

    def add(self, chunks: Iterable[Any]) -> "Partial[T] | None":
        """Add the text of choice 0 in chunks. Returns this object; None if they have no text."""
        text = text_of(chunks)
        if not text:
            return None
        self._parser.feed(text)
        return self

    @property
    def value(self) -> Any:
        """Dicts, lists and scalars; None before the value begins. They grow in place: copy what must not change."""
        known = self._parser.value
        if self._answer is None:
            return None if known is UNSET else known
        known = self._answer.unwrapped(known)
        return self._grown(known) if self._answer.is_pairs and isinstance(known, list) else known

    def _grown(self, pairs: list[Any]) -> dict[Any, Any]:
        """The dict of these pairs: new ones are added, and the last one may still change."""
        self._dict.update(pairs_in(pairs[self._pairs :]))
        self._pairs = max(len(pairs) - 1, 0)
        return self._dict

    @property
    def parsed(self) -> T | None:
        """The value as the requested type, made anew by each read; None if there is no type, or not enough has arrived.

        Raises:
            OutputValidationError: it can't become a value of the type any more: a part of it has ended, and has a wrong type
                or lacks a field. Validation beyond types runs when the answer is complete.
        """
        if self._answer is None or self._parser.value is UNSET:
            return None
        known, info = self.value, type_of(self._answer.cls)
        parser = None if self._answer.is_pairs and not self.done else self._parser
        try:
            made: Any = known_as(info, known, parser)
            if made is UNSET and self.done:
                raise Misfit(_expected(info, known), "")
        except Misfit as misfit:
            raise OutputValidationError(
                f"the answer does not fit {shown(self._answer.cls)} any more: {misfit.expected} at {misfit.path or 'its root'}",
                path=misfit.path,
                expected=misfit.expected,
                text=msgspec.json.encode(known).decode(),
            ) from None
        return None if made is UNSET else made

    @property
    def done(self) -> bool:
        """Whether the value is complete."""
        return self._parser.done


@lru_cache(maxsize=1024)
def type_of(annotation: Any) -> Any:
    """msgspec's description of a type."""
    return inspect.type_info(annotation)


def known_as(info: Any, value: object, parser: PartialJSON | None = None) -> object:
    """A partial value converted to a type; `UNSET` if that is not possible yet.

    Args:
        parser: the parser, which knows which parts are still arriving; without it nothing raises.

    Raises:
        Misfit: a part of it has ended, and does not fit.
    """
    kind = type(info)
    if kind is inspect.AnyType or type(value) in _AS_THEY_ARE.get(kind, ()):
        return value
    if kind in _CONVERTED:
        return _converted(value, _CONVERTED[kind])
    made = _MADE.get(kind)
    return UNSET if made is None else made(info, value, parser)


def _converted(value: object, cls: type) -> object:
    try:
        return msgspec.convert(value, cls)
    except msgspec.ValidationError:
        return UNSET


def _part(info: Any, value: Any, key: int | str, parser: PartialJSON | None, *, is_required: bool = True) -> object:
    """A part of a partial value.

    Args:
        value: the list or dict.
        is_required: whether it must not be absent; a model may send null for an absent one.
    """
    try:
        made = known_as(info, value[key], parser)
    except Misfit as misfit:
        raise Misfit(misfit.expected, _path(key, misfit.path)) from None
    may_be_left_out = not is_required and value[key] is None
    if made is UNSET and parser is not None and not may_be_left_out and not parser.is_arriving(value, key):
        raise Misfit(_expected(info, value[key]), _path(key, ""))
    return made


def _path(key: str | int, rest: str) -> str:
    step = f"[{key}]" if isinstance(key, int) else key
    return step if not rest else f"{step}{rest}" if rest.startswith("[") else f"{step}.{rest}"


_NAMES: dict[type, str] = {dict: "object", list: "array", type(None): "null"}


def _expected(info: Any, value: object) -> str:
    """A message in the form of msgspec's."""
    return f"Expected `{_name(info)}`, got `{_NAMES.get(type(value), type(value).__name__)}`"


def _name(info: Any) -> str:
    if isinstance(info, inspect.UnionType):
        return " | ".join(map(_name, info.types))
    if isinstance(info, inspect.LiteralType):
        return " | ".join(map(repr, info.values))
    return info.cls.__name__ if hasattr(info, "cls") else type(info).__name__.removesuffix("Type").lower()


def _list(info: Any, value: object, parser: PartialJSON | None) -> list[object] | UnsetType:
    if not isinstance(value, list):
        return UNSET
    made = (_part(info.item_type, value, place, parser) for place in range(len(value)))
    return [item for item in made if item is not UNSET]


def _listed(cls: Callable[[list[Any]], Any]) -> Callable[[Any, Any, PartialJSON | None], Any]:
    """A function that makes another kind of container from a list."""

    def make(info: Any, value: object, parser: PartialJSON | None) -> object:
        made = _list(info, value, parser)
        return UNSET if made is UNSET else cls(made)

    return make


def _tuple(info: Any, value: object, parser: PartialJSON | None) -> object:
    if not isinstance(value, list):
        return UNSET
    return tuple(_part(item, value, place, parser) for place, item in enumerate(info.item_types[: len(value)]))


def _dict(info: Any, value: object, parser: PartialJSON | None) -> object:
    if not isinstance(value, dict):
        return UNSET
    made = {known_as(info.key_type, name): _part(info.value_type, value, name, parser) for name in value}
    return {name: item for name, item in made.items() if item is not UNSET and name is not UNSET}


def _union(info: Any, value: object, parser: PartialJSON | None) -> object:
    """The first type of a union that fits. If none does, the error is about its only container type, if it has just one."""
    for member in info.types:
        try:
            made = known_as(member, value, parser)
        except Misfit:
            if sum(type(one) in _MADE for one in info.types) == 1:
                raise
            continue
        if made is not UNSET:
            return made
    return UNSET


def _fields(info: Any, value: dict[str, object], parser: PartialJSON | None) -> dict[str, object]:
    """The fields of an object that have arrived.

    Raises:
        Misfit: a field does not fit, or the object has ended without a required one.
    """
    made: dict[str, object] = {}
    for field in info.fields:
        if field.encode_name in value:
            made[field.name] = _part(field.type, value, field.encode_name, parser, is_required=field.required)
        elif field.required and parser is not None and not parser.grows(value):
            raise Misfit(f"Object missing required field `{field.encode_name}`", "")
    return {name: item for name, item in made.items() if item is not UNSET}


def _typed_dict(info: Any, value: object, parser: PartialJSON | None) -> object:
    return _fields(info, value, parser) if isinstance(value, dict) else UNSET


def _object(info: Any, value: object, parser: PartialJSON | None) -> object:
    if not isinstance(value, dict) or value.get(getattr(info, "tag_field", None), ...) != (getattr(info, "tag", None) or ...):
        return UNSET
    absent = {field.name: UNSET for field in info.fields if field.required}
    if hasattr(info.cls, "__pydantic_validator__"):
        parser = None  # only the class knows how it converts values
    return _called(info.cls, {**absent, **_fields(info, value, parser)})


def _named_tuple(info: Any, value: object, parser: PartialJSON | None) -> object:
    if not isinstance(value, list):
        return UNSET
    absent = {field.name: UNSET for field in info.fields if field.required}
    known = {field.name: _part(field.type, value, place, parser) for place, field in enumerate(info.fields[: len(value)])}
    return _called(info.cls, absent | known)


def _called(cls: Callable[..., object], fields: dict[str, object]) -> object:
    try:
        return cls(**fields)
    except _NOT_MADE:
        return UNSET


def _custom(info: Any, value: object, parser: PartialJSON | None) -> object:
    """A pydantic model, constructed without validation while fields are missing."""
    if not isinstance(value, dict) or not hasattr(info.cls, "model_construct"):
        return UNSET
    if parser is not None and not parser.grows(value):
        return _validated(info.cls, value)
    fields = {
        name: known_as(type_of(field.annotation), value[field.alias or name])
        for name, field in info.cls.model_fields.items()
        if (field.alias or name) in value
    }
    return info.cls.model_construct(**{name: item for name, item in fields.items() if item is not UNSET})


def _validated(cls: Any, value: dict[str, object]) -> object:
    try:
        return cls.model_validate(value)
    except ValueError as error:
        raise Misfit(*first_of(error)) from None


def _enum(info: Any, value: object, _: PartialJSON | None) -> object:
    return _converted(value, info.cls)


def _literal(info: Any, value: object, _: PartialJSON | None) -> object:
    return value if value in info.values else UNSET


_MADE: dict[type, Callable[[Any, Any, PartialJSON | None], Any]] = {
    inspect.CollectionType: _list,
    inspect.CustomType: _custom,
    inspect.DataclassType: _object,
    inspect.DictType: _dict,
    inspect.EnumType: _enum,
    inspect.FrozenSetType: _listed(frozenset),
    inspect.ListType: _list,
    inspect.LiteralType: _literal,
    inspect.NamedTupleType: _named_tuple,
    inspect.SetType: _listed(set),
    inspect.StructType: _object,
    inspect.TupleType: _tuple,
    inspect.TypedDictType: _typed_dict,
    inspect.UnionType: _union,
    inspect.VarTupleType: _listed(tuple),
}
