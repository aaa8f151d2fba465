"""The base of all response structs: LiteLLM's mapping interface.

Python code that calls a class goes through `RecordMeta.__call__`, which accepts what LiteLLM's class of the same name
accepts: nested dicts, unknown keywords, a generated id. Decoding never goes there.

A field stored under a private name (`hidden`) either has a property with its public name, which may find a value elsewhere
if none is stored; or it has none, and then is not part of the record's value. Neither are the `_other_names`.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar, dataclass_transform, get_args

import msgspec
from msgspec import StructMeta

from ._source import SOURCE_SLOT, Fields, HasSource, add_field, children, has_source, odd_values, set_source, unknown_fields

R = TypeVar("R", bound="Record")

_UNSET = msgspec.UNSET
_SCALARS = frozenset({str, int, float, bool, type(None)})

if TYPE_CHECKING:

    def build(cls: type[R], **fields: object) -> R:
        """Builds a struct in C, bypassing `RecordMeta.__call__`: for values that already have the right types."""
        ...

    def copy_fields(record: R) -> R:
        """Copies a struct's fields in C, bypassing `Record.__copy__`: without its source."""
        ...

else:
    build = StructMeta.__call__
    copy_fields = msgspec.Struct.__copy__


def copy_with_source(record: R) -> R:
    """Copies a struct's fields in C, and its source; the other private attributes are not copied."""
    copied = copy_fields(record)
    if has_source(record):
        set_source(copied, record._source)
    return copied


def hidden(*, default: object, alias: str) -> Any:
    """A field stored under a private name, but called `alias` in JSON and in the constructor."""
    return msgspec.field(default=default, name=alias)


@dataclass_transform(field_specifiers=(msgspec.field, hidden))
class RecordMeta(StructMeta):
    """Lets Python code construct a record from the arguments of LiteLLM's class of the same name."""

    if not TYPE_CHECKING:  # type checkers see msgspec's constructor, which has the fields

        def __call__(cls, *args, **fields):
            names, records, required = _plan(cls)
            if args:
                fields.update(zip(names, args, strict=False))
            unknown = {name: fields.pop(name) for name in [name for name in fields if name not in names]}
            cls._prepare(fields, unknown)
            if type(fields.get("index", 0)) is not int:
                fields["index"] = _position(fields["index"])
            for name, held in records:
                if (value := fields.get(name)) is not None:
                    fields[name] = coerce(value, held)
            stored = stored_names(cls)  # None for a field that can't be None means the default
            record = build(cls, **{stored[n]: value for n, value in fields.items() if value is not None or n not in required})
            if unknown:
                set_source(record, unknown)
            return record


class Record(msgspec.Struct, HasSource, eq=False, gc=False, metaclass=RecordMeta):
    """The base of every response struct.

    Fields are both attributes and items: `r.choices`, `r["choices"]`, `r.get("choices")`, `"choices" in r`. Unknown fields,
    sent by the server or set by `r["x"] = 1`, are items as well. So is a value of a wrong type that could not be converted:
    then the attribute is None, and `model_dump` has the value as sent. `==` compares the declared fields.
    """

    _slots: ClassVar[tuple[str, ...]] = (SOURCE_SLOT,)

    @classmethod
    def _prepare(cls, fields: Fields, unknown: Fields) -> None:
        """Convert constructor arguments to the struct's fields; move those from `unknown` that belong to a field."""

    @classmethod
    def _leftovers(cls, sent: Fields) -> Fields:
        known = stored_names(cls)
        return {name: value for name, value in sent.items() if name not in known}

    def __getitem__(self, name: str) -> Any:
        if name in public_names(type(self)):
            value = getattr(self, name)
            return value if value else self._as_sent(name, value)
        unknown = unknown_fields(self)
        if name in unknown:
            return unknown[name]
        try:
            return getattr(self, name)  # a property, such as `raw`
        except AttributeError:
            raise KeyError(name) from None

    def _as_sent(self, name: str, value: object) -> object:
        """A field's value as sent, if that had a wrong type and has not been replaced since."""
        odd = odd_values(self).get(name)
        if odd is None:
            return value
        is_untouched = not value if odd.taken is msgspec.UNSET else value == odd.taken
        return odd.sent if is_untouched else value

    def __setitem__(self, name: str, value: object) -> None:
        if name in public_names(type(self)) or isinstance(getattr(type(self), name, None), property):
            setattr(self, name, value)
        else:
            add_field(self, name, value)

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        return name in public_names(type(self)) or name in _other_names(type(self)) or name in unknown_fields(self)

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        for name in public_names(type(self)):
            yield name, getattr(self, name)

    def get(self, name: str, default: object = None) -> Any:
        """The field's value; `default` if there is no such field or it is unset."""
        try:
            value = self[name]
        except KeyError:
            return default
        return default if value is None else value

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return list(self) == list(other)

    def __ne__(self, other: object) -> bool:
        # msgspec defines its own, which compares by identity because of `eq=False`.
        equal = self.__eq__(other)
        return equal if equal is NotImplemented else not equal

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self if value is not None)
        return f"{type(self).__name__}({shown})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [pair for pair in self if pair[1] is not None]

    def _state(self) -> tuple[Fields, Fields]:
        fields = {name: getattr(self, name) for name in self.__struct_fields__}
        return fields, {name: getattr(self, name) for name in self._slots if hasattr(self, name)}

    def __copy__(self) -> "Self":
        return _restore(type(self), *self._state())

    def __reduce__(self) -> "tuple[object, ...]":
        return _restore, (type(self), *self._state())

    def model_dump(self, *, mode: str = "python", exclude_none: bool = False, exclude_unset: bool = False) -> Fields:
        """This record as dicts and lists, with unknown fields where the server sent them.

        Args:
            mode: "python" or "json", as in pydantic; both give the same, since every value is JSON's.
            exclude_none: leave out the fields that are None.
            exclude_unset: leave out the fields that still have their default.
        """
        if mode not in ("python", "json"):
            raise ValueError(f"mode must be 'python' or 'json', not {mode!r}")
        return self._dump({}, exclude_none, exclude_unset)

    def _dump(self, decoded: dict[int, Any], exclude_none: bool, exclude_unset: bool) -> Fields:
        options = decoded, exclude_none, exclude_unset
        defaults = _defaults_of(type(self)) if exclude_unset else {}
        unknown = unknown_fields(self, decoded)
        odd = odd_values(self)
        dumped: Fields = {}
        for name in public_names(type(self)):
            # Left unset if not set by the user: the unknown fields are added below, where the server sent them.
            value = getattr(self, "_provider_specific_fields" if name == "provider_specific_fields" else name)
            if name == "provider_specific_fields" and value == unknown:
                value = None
            if name in odd:
                value = self._as_sent(name, value)
            if exclude_none and value is None:
                continue
            if exclude_unset and name in defaults and (value is None or value == defaults[name]):
                continue
            dumped[name] = _dumped(value, options)
        for name, value in unknown.items():
            dumped.setdefault(name, _dumped(value, options))
        return dumped

    def model_dump_json(self, *, indent: int | None = None, exclude_none: bool = False, exclude_unset: bool = False) -> str:
        """This record as JSON text, unknown fields included."""
        data = msgspec.json.encode(self.model_dump(exclude_none=exclude_none, exclude_unset=exclude_unset), enc_hook=str)
        return (data if indent is None else msgspec.json.format(data, indent=indent)).decode()

    def model_copy(self, *, update: Fields | None = None, deep: bool = False) -> "Self":
        """A copy of this record, shallow unless `deep`, with the fields in `update` replaced."""
        import copy

        record = copy.deepcopy(self) if deep else copy.copy(self)
        for name, value in (update or {}).items():
            record[name] = value
        return record

    # Further names of these methods in LiteLLM.
    json = model_dump
    dict = model_dump
    to_dict = model_dump
    to_json = model_dump_json


class OpenRecord(Record):
    """A record whose unknown fields are attributes as well, readable and writable.

    A stream's chunks are not such records: `__getattr__` makes every attribute access of a class slower.
    """

    if not TYPE_CHECKING:  # otherwise type checkers would accept any attribute

        def __getattr__(self, name):
            if not name.startswith("_"):
                unknown = unknown_fields(self)
                if name in unknown:
                    return unknown[name]
            raise AttributeError(f"{type(self).__name__} has no field {name!r}")

        def __setattr__(self, name, value):
            set_known = _setters(type(self)).get(name)
            if set_known is not None:
                set_known(self, value)
            elif name.startswith("_"):
                raise AttributeError(
                    f"{type(self).__name__} has no {name!r}; put values that are not part of the answer into _hidden_params"
                )
            else:
                add_field(self, name, value)


class HasProviderFields(HasSource):
    """A record with LiteLLM's dict of unknown fields."""

    __slots__ = ()
    _provider_specific_fields: Fields | None

    @property
    def provider_specific_fields(self) -> Fields | None:
        """The value that was set, else the unknown fields, else None."""
        own = self._provider_specific_fields
        return own if own is not None else unknown_fields(self) or None

    @provider_specific_fields.setter
    def provider_specific_fields(self, value: Fields | None) -> None:
        self._provider_specific_fields = value


@cache
def stored_names(cls: type[Record]) -> dict[str, str]:
    """The attribute in which each field is stored, by its name in JSON."""
    return dict(zip(cls.__struct_encode_fields__, cls.__struct_fields__, strict=True))


@cache
def public_names(cls: type[Record]) -> dict[str, str]:
    """As `stored_names`, for the fields that are part of a record's value."""
    return {
        name: stored
        for name, stored in stored_names(cls).items()
        if not stored.startswith("_") or (hasattr(cls, name) and name not in _other_names(cls))
    }


def _other_names(cls: type[Record]) -> frozenset[str]:
    """Aliases of fields, readable and writable, which are not dumped."""
    return getattr(cls, "_other_names", frozenset())


@cache
def _setters(cls: type[Record]) -> dict[str, Callable[[Any, Any], None]]:
    """A setter for each attribute of a class. A class's own `__setattr__` can't call msgspec's."""
    named = {name: value for parent in reversed(cls.__mro__) for name, value in vars(parent).items()}
    return {name: value.__set__ for name, value in named.items() if hasattr(value, "__set__")}


def from_fields(cls: type[R], fields: Mapping[str, Any]) -> R:
    """`build`, with the fields' names in JSON."""
    stored = stored_names(cls)
    return build(cls, **{stored[name]: value for name, value in fields.items()})


def own_fields(record: Record) -> Fields:
    """The stored values of a record that are not None, by their names in JSON. Uses no property, and decodes nothing."""
    pairs = zip(stored_names(type(record)), msgspec.structs.astuple(record), strict=True)
    return {name: value for name, value in pairs if value is not None and value is not _UNSET}


def sent(record: Record, name: str) -> Any:
    """The stored value of a field, by its name in JSON; None if there is none. Uses no property."""
    value = getattr(record, stored_names(type(record))[name])
    return None if value is msgspec.UNSET else value


def _restore(cls: type[R], fields: Fields, slots: Fields) -> R:
    record = build(cls, **fields)
    for name, value in slots.items():
        setattr(record, name, value)
    return record


@cache
def _defaults_of(cls: type[Record]) -> Fields:
    return {item.encode_name: item.default for item in msgspec.structs.fields(cls) if item.default is not msgspec.NODEFAULT}


@cache
def _plan(cls: type[Record]) -> tuple[dict[str, str], list[tuple[str, type[Any]]], frozenset[str]]:
    """A constructor's arguments, the class of the records in each field that has some, and the fields that can't be None."""
    typed = {item.encode_name: item.type for item in msgspec.structs.fields(cls)}
    required = frozenset(name for name, kind in typed.items() if kind is not Any and type(None) not in get_args(kind))
    return public_names(cls), [(child.key, child.cls) for child in children(cls)], required


def _dumped(value: object, options: tuple[dict[int, Any], bool, bool]) -> object:
    if isinstance(value, Record):
        return value._dump(*options)
    if isinstance(value, list):
        return [_dumped(item, options) for item in value]
    if isinstance(value, dict):
        return {name: _dumped(item, options) for name, item in value.items()}
    return value if type(value) in _SCALARS else in_own_terms(value)


def in_own_terms(value: object) -> Any:
    """Another library's model, such as LiteLLM's or OpenAI's `Usage`, as a dict; any other value as it is."""
    dump = getattr(value, "model_dump", None)
    return value if isinstance(value, Record) or not callable(dump) else dump(exclude_none=True)


def _position(value: Any) -> int | None:
    """An index from Python code as an int. It may be text, as in LiteLLM's classes; None if it is not a number."""
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return None


def coerce(value: object, cls: type[Any]) -> Any:
    """`value` as a `cls`: a mapping becomes the class's keywords, a list is converted item by item."""
    if type(value) is cls:
        return value
    if isinstance(value, list):
        return [coerce(item, cls) for item in value]
    value = in_own_terms(value)
    if isinstance(value, dict):
        return cls(**value)
    return cls(**dict(value)) if isinstance(value, Record) and not isinstance(value, cls) else value
