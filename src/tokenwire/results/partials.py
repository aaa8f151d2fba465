"""What is known of an answer that is still arriving: plain values that grow, and an object of the class that was asked for.

The plain values are `PartialJSON`'s. The object is made when it is read, of what is there: a field that has not begun has
its default, or is `msgspec.UNSET` where the class has none for it; so has one whose text is not yet a value of its type,
such as half a date. A value that has ended and is of another type is an error where the object is read, for it can't come
right any more. What else a class validates, it does once, when the answer is whole.
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

# What msgspec makes of a JSON text, or of a number, where a class wants one of these.
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
# What a class may raise that finds a field missing in its `__post_init__`, or can't be called with keywords.
_NOT_MADE = (TypeError, ValueError, AttributeError)


class Partial(Generic[T]):
    """What has arrived of an answer's value. One object for the whole stream: it grows.

    Args:
        answer: the type that was asked for, None where there was none.
    """

    __slots__ = ("_answer", "_dict", "_pairs", "_parser")

    def __init__(self, answer: Answer | None) -> None:
        self._answer = answer
        self._parser = PartialJSON() if answer is None else answer.parser()
        self._dict: dict[Any, Any] = {}  # of pairs, where those were asked for in place of a dict
        self._pairs = 0  # that have ended, and are in it

    def take(self, chunks: Iterable[Any]) -> "Partial[T] | None":
        """Take in what choice 0 says in more chunks; None where it says nothing in them."""
        text = text_of(chunks)
        if not text:
            return None
        self._parser.feed(text)
        return self

    @property
    def value(self) -> Any:
        """Plain dicts, lists and so on; None while nothing is known. They grow in place: copy what must not change."""
        known = self._parser.value
        if self._answer is None:
            return None if known is UNSET else known
        known = self._answer.unwrapped(known)
        return self._grown(known) if self._answer.is_pairs and isinstance(known, list) else known

    def _grown(self, pairs: list[Any]) -> dict[Any, Any]:
        """The dict of these pairs: it grows by those that are new, and the last one may still become another."""
        self._dict.update(pairs_in(pairs[self._pairs :]))
        self._pairs = max(len(pairs) - 1, 0)
        return self._dict

    @property
    def parsed(self) -> T | None:
        """The value as the type that was asked for, made anew at each look; None where there is none, or not enough.

        Raises:
            OutputValidationError: what has arrived can't become a value of the type any more: a part of it has ended, and is
                of another type, or lacks a field. What is checked beyond types, is so when the answer is whole.
        """
        if self._answer is None or self._parser.value is UNSET:
            return None
        known, info = self.value, type_of(self._answer.cls)
        look = None if self._answer.is_pairs and not self.done else self._parser
        try:
            made: Any = known_as(info, known, look)
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
        """Whether the value is whole."""
        return self._parser.done


@lru_cache(maxsize=1024)
def type_of(annotation: Any) -> Any:
    """What msgspec knows of a type."""
    return inspect.type_info(annotation)


def known_as(info: Any, value: object, look: PartialJSON | None = None) -> object:
    """A value of a type, as far as it is known; `UNSET` where it can't be one yet.

    Args:
        look: knows what of the value is still arriving; without it nothing is wrong yet.

    Raises:
        Misfit: a part of it has ended, and does not fit.
    """
    kind = type(info)
    if kind is inspect.AnyType or type(value) in _AS_THEY_ARE.get(kind, ()):
        return value
    if kind in _CONVERTED:
        return _converted(value, _CONVERTED[kind])
    made = _MADE.get(kind)
    return UNSET if made is None else made(info, value, look)


def _converted(value: object, cls: type) -> object:
    try:
        return msgspec.convert(value, cls)
    except msgspec.ValidationError:
        return UNSET


def _part(info: Any, value: Any, key: int | str, look: PartialJSON | None, *, is_required: bool = True) -> object:
    """What is known of a part of a value.

    Args:
        value: the list or dict.
        is_required: whether it must not be absent, for which a model may say null.
    """
    try:
        made = known_as(info, value[key], look)
    except Misfit as misfit:
        raise Misfit(misfit.expected, _path(key, misfit.path)) from None
    may_be_left_out = not is_required and value[key] is None
    if made is UNSET and look is not None and not may_be_left_out and not look.is_arriving(value, key):
        raise Misfit(_expected(info, value[key]), _path(key, ""))
    return made


def _path(key: str | int, rest: str) -> str:
    step = f"[{key}]" if isinstance(key, int) else key
    return step if not rest else f"{step}{rest}" if rest.startswith("[") else f"{step}.{rest}"


_NAMES: dict[type, str] = {dict: "object", list: "array", type(None): "null"}


def _expected(info: Any, value: object) -> str:
    """In msgspec's words."""
    return f"Expected `{_name(info)}`, got `{_NAMES.get(type(value), type(value).__name__)}`"


def _name(info: Any) -> str:
    if isinstance(info, inspect.UnionType):
        return " | ".join(map(_name, info.types))
    if isinstance(info, inspect.LiteralType):
        return " | ".join(map(repr, info.values))
    return info.cls.__name__ if hasattr(info, "cls") else type(info).__name__.removesuffix("Type").lower()


def _list(info: Any, value: object, look: PartialJSON | None) -> list[object] | UnsetType:
    if not isinstance(value, list):
        return UNSET
    made = (_part(info.item_type, value, place, look) for place in range(len(value)))
    return [item for item in made if item is not UNSET]


def _listed(cls: Callable[[list[Any]], Any]) -> Callable[[Any, Any, PartialJSON | None], Any]:
    """What makes another kind of container of a list."""

    def make(info: Any, value: object, look: PartialJSON | None) -> object:
        made = _list(info, value, look)
        return UNSET if made is UNSET else cls(made)

    return make


def _tuple(info: Any, value: object, look: PartialJSON | None) -> object:
    if not isinstance(value, list):
        return UNSET
    return tuple(_part(item, value, place, look) for place, item in enumerate(info.item_types[: len(value)]))


def _dict(info: Any, value: object, look: PartialJSON | None) -> object:
    if not isinstance(value, dict):
        return UNSET
    made = {known_as(info.key_type, name): _part(info.value_type, value, name, look) for name in value}
    return {name: item for name, item in made.items() if item is not UNSET and name is not UNSET}


def _union(info: Any, value: object, look: PartialJSON | None) -> object:
    """The first that it can be. One alone that is a container says what is wrong; several, that it is none of them."""
    for member in info.types:
        try:
            made = known_as(member, value, look)
        except Misfit:
            if sum(type(one) in _MADE for one in info.types) == 1:
                raise
            continue
        if made is not UNSET:
            return made
    return UNSET


def _fields(info: Any, value: dict[str, object], look: PartialJSON | None) -> dict[str, object]:
    """What is known of the fields of an object; without those that are not.

    Raises:
        Misfit: also where the object has ended without one that it must have.
    """
    made: dict[str, object] = {}
    for field in info.fields:
        if field.encode_name in value:
            made[field.name] = _part(field.type, value, field.encode_name, look, is_required=field.required)
        elif field.required and look is not None and not look.grows(value):
            raise Misfit(f"Object missing required field `{field.encode_name}`", "")
    return {name: item for name, item in made.items() if item is not UNSET}


def _typed_dict(info: Any, value: object, look: PartialJSON | None) -> object:
    return _fields(info, value, look) if isinstance(value, dict) else UNSET


def _object(info: Any, value: object, look: PartialJSON | None) -> object:
    if not isinstance(value, dict) or value.get(getattr(info, "tag_field", None), ...) != (getattr(info, "tag", None) or ...):
        return UNSET
    absent = {field.name: UNSET for field in info.fields if field.required}
    if hasattr(info.cls, "__pydantic_validator__"):
        look = None  # what it makes of a value, it alone knows
    return _called(info.cls, {**absent, **_fields(info, value, look)})


def _named_tuple(info: Any, value: object, look: PartialJSON | None) -> object:
    if not isinstance(value, list):
        return UNSET
    absent = {field.name: UNSET for field in info.fields if field.required}
    known = {field.name: _part(field.type, value, place, look) for place, field in enumerate(info.fields[: len(value)])}
    return _called(info.cls, absent | known)


def _called(cls: Callable[..., object], fields: dict[str, object]) -> object:
    try:
        return cls(**fields)
    except _NOT_MADE:
        return UNSET


def _custom(info: Any, value: object, look: PartialJSON | None) -> object:
    """A pydantic model, which need not be whole where it is not validated."""
    if not isinstance(value, dict) or not hasattr(info.cls, "model_construct"):
        return UNSET
    if look is not None and not look.grows(value):
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
