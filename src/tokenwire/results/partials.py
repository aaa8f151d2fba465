"""What is known of an answer that is still arriving: plain values that grow, and an object of the class that was asked for.

The plain values are `PartialJSON`'s. The object is made when it is read, of what is there: a field that has not begun has
its default, or is `msgspec.UNSET` where the class has none for it; so has one whose text is not yet a value of its type,
such as half a date. Nothing is validated: that is done once, when the answer is whole.
"""

import datetime as dt
import decimal
import uuid
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import UNSET, UnsetType, inspect

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
_AS_THEY_ARE: dict[type, tuple[type, ...]] = {
    inspect.AnyType: (object,),
    inspect.BoolType: (bool,),
    inspect.FloatType: (int, float),
    inspect.IntType: (int,),
    inspect.NoneType: (type(None),),
    inspect.StrType: (str,),
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
        """The value as the type that was asked for, made anew at each look; None where there is none, or not enough."""
        if self._answer is None or self._parser.value is UNSET:
            return None
        made: Any = known_as(type_of(self._answer.cls), self.value)
        return None if made is UNSET else made

    @property
    def done(self) -> bool:
        """Whether the value is whole."""
        return self._parser.done


@lru_cache(maxsize=1024)
def type_of(annotation: Any) -> Any:
    """What msgspec knows of a type."""
    return inspect.type_info(annotation)


def known_as(info: Any, value: object) -> object:
    """A value of a type, as far as it is known; `UNSET` where it can't be one yet."""
    kind = type(info)
    if kind in _AS_THEY_ARE:
        return value if isinstance(value, _AS_THEY_ARE[kind]) else UNSET
    if kind in _CONVERTED:
        return _converted(value, _CONVERTED[kind])
    made = _MADE.get(kind)
    return UNSET if made is None else made(info, value)


def _converted(value: Any, cls: type) -> object:
    try:
        return msgspec.convert(value, cls)
    except msgspec.ValidationError:
        return UNSET


def _members(info: Any, values: Iterable[object]) -> list[object]:
    made = (known_as(info, value) for value in values)
    return [value for value in made if value is not UNSET]


def _list(info: Any, value: object) -> list[object] | UnsetType:
    return _members(info.item_type, value) if isinstance(value, list) else UNSET


def _tuple(info: Any, value: object) -> object:
    if not isinstance(value, list):
        return UNSET
    return tuple(known_as(item, part) for item, part in zip(info.item_types, value, strict=False))


def _dict(info: Any, value: object) -> object:
    if not isinstance(value, dict):
        return UNSET
    made = {known_as(info.key_type, name): known_as(info.value_type, item) for name, item in value.items()}
    return {name: item for name, item in made.items() if item is not UNSET and name is not UNSET}


def _union(info: Any, value: object) -> object:
    made = (known_as(member, value) for member in info.types)
    return next((value for value in made if value is not UNSET), UNSET)


def _fields(info: Any, value: dict[str, object]) -> dict[str, object]:
    made = {field.name: known_as(field.type, value[field.encode_name]) for field in info.fields if field.encode_name in value}
    return {name: item for name, item in made.items() if item is not UNSET}


def _typed_dict(info: Any, value: object) -> object:
    return _fields(info, value) if isinstance(value, dict) else UNSET


def _object(info: Any, value: object) -> object:
    if not isinstance(value, dict) or value.get(getattr(info, "tag_field", None), ...) != (getattr(info, "tag", None) or ...):
        return UNSET
    absent = {field.name: UNSET for field in info.fields if field.required}
    return _called(info.cls, {**absent, **_fields(info, value)})


def _named_tuple(info: Any, value: object) -> object:
    if not isinstance(value, list):
        return UNSET
    absent = {field.name: UNSET for field in info.fields if field.required}
    known = {field.name: known_as(field.type, part) for field, part in zip(info.fields, value, strict=False)}
    return _called(info.cls, absent | known)


def _called(cls: Callable[..., object], fields: dict[str, object]) -> object:
    try:
        return cls(**fields)
    except _NOT_MADE:
        return UNSET


def _custom(info: Any, value: object) -> object:
    """A pydantic model, which need not be whole where it is not validated."""
    if not isinstance(value, dict) or not hasattr(info.cls, "model_construct"):
        return UNSET
    fields = {
        name: known_as(type_of(field.annotation), value[field.alias or name])
        for name, field in info.cls.model_fields.items()
        if (field.alias or name) in value
    }
    return info.cls.model_construct(**{name: item for name, item in fields.items() if item is not UNSET})


_MADE: dict[type, Callable[[Any, Any], Any]] = {
    inspect.CollectionType: _list,
    inspect.CustomType: _custom,
    inspect.DataclassType: _object,
    inspect.DictType: _dict,
    inspect.EnumType: lambda info, value: _converted(value, info.cls),
    inspect.FrozenSetType: lambda info, value: UNSET if (made := _list(info, value)) is UNSET else frozenset(made),
    inspect.ListType: _list,
    inspect.LiteralType: lambda info, value: value if value in info.values else UNSET,
    inspect.NamedTupleType: _named_tuple,
    inspect.SetType: lambda info, value: UNSET if (made := _list(info, value)) is UNSET else set(made),
    inspect.StructType: _object,
    inspect.TupleType: _tuple,
    inspect.TypedDictType: _typed_dict,
    inspect.UnionType: _union,
    inspect.VarTupleType: lambda info, value: UNSET if (made := _list(info, value)) is UNSET else tuple(made),
}
