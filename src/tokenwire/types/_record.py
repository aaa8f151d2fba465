"""What all response structs share: LiteLLM's mapping manners, and the fields that no struct names.

A received document is decoded once, into structs, in C. Its bytes stay beside them (`_origin`), so that a field which
no struct names can still be reached: the first look decodes the bytes and walks to the object's place. Who does not
look does not pay. What is no part of a record's value lives in `__slots__` of plain mixin classes: msgspec neither
encodes nor compares nor shows those.

Python code that calls a class passes through `RecordMeta.__call__`, where a record takes what its LiteLLM namesake
takes: nested dicts, unknown keywords, a generated id. Decoding never passes there.
"""

from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, get_args

import msgspec
from msgspec import StructMeta

Path: TypeAlias = tuple[str | int, ...]
Fields: TypeAlias = dict[str, Any]  # inside `Record`, `dict` is a method

_decode_json = msgspec.json.Decoder().decode
_SCALARS = frozenset({str, int, float, bool, type(None)})

# Builds a struct as msgspec itself would, past `RecordMeta.__call__`: for code that holds the right values already.
build: Callable[..., Any] = StructMeta.__call__

# Copies a struct in C, past `Record.__copy__`: its fields alone, without its origin.
copy_fields: Any = msgspec.Struct.__copy__  # pyright: ignore[reportAttributeAccessIssue]  (a method the stubs leave out)


class RecordMeta(StructMeta):
    """Lets Python code construct a record from what LiteLLM's class of the same name would accept."""

    if not TYPE_CHECKING:  # the checker sees msgspec's own constructor, which knows the fields

        def __call__(cls, *args, **fields):
            if args:
                fields.update(zip(cls.__struct_fields__, args, strict=False))
            unknown = {name: fields.pop(name) for name in fields.keys() - cls.__struct_fields__}
            record = build(cls, **cls._prepare(fields, unknown))
            if unknown:
                record._origin = unknown
            return record


class HasOrigin:
    """Room for where a record came from.

    `_origin` is a document's bytes when the record stands at its usual place (`_place`), (bytes, path) when it stands
    elsewhere, the unknown keywords when Python code built it, and unset otherwise.
    """

    __slots__ = ("_origin",)
    _origin: Any


class Record(msgspec.Struct, HasOrigin, eq=False, gc=False, metaclass=RecordMeta):
    """The base of every response struct.

    Fields are attributes and items alike: `r.choices`, `r["choices"]`, `r.get("choices")`, `"choices" in r`. Fields the
    server sent and no struct names can be read as items, too. `==` compares the named fields. A field whose name starts
    with an underscore is not part of the record's value.
    """

    _place: ClassVar[Path] = ()
    _slots: ClassVar[tuple[str, ...]] = ("_origin",)

    @classmethod
    def _prepare(cls, fields: Fields, unknown: Fields) -> Fields:
        """Turn what a caller passed into what the struct holds; take from `unknown` what has a place."""
        return fields

    def _unknown(self, decoded: dict[int, Any] | None = None) -> Fields:
        """The fields that arrived with this record and that its struct does not name, freshly decoded.

        `decoded` has, by their ids, the documents that need not be decoded again for other records of theirs.
        """
        origin = getattr(self, "_origin", None)
        if origin is None:
            return {}
        if isinstance(origin, dict):
            return origin
        data, path = origin if isinstance(origin, tuple) else (origin, self._place)
        try:
            found: Any = _decode_json(data) if decoded is None or id(data) not in decoded else decoded[id(data)]
            if decoded is not None:
                decoded[id(data)] = found
            for step in path:
                found = found[step]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # the decoder of structs skips what it need not read
            return {}
        except KeyError:  # the server sent no such object, and the struct has a default one there
            return {}
        known = self.__struct_encode_fields__
        return {name: value for name, value in found.items() if name not in known}

    def _document(self) -> bytes | None:
        origin = getattr(self, "_origin", None)
        if isinstance(origin, tuple):
            origin = origin[0]
        return origin if isinstance(origin, bytes) else None

    def __getitem__(self, name: str) -> Any:
        if name in self.__struct_fields__:
            return getattr(self, name)
        unknown = self._unknown()
        if name in unknown:
            return unknown[name]
        try:
            return getattr(self, name)  # a property, such as `raw`
        except AttributeError:
            raise KeyError(name) from None

    def __setitem__(self, name: str, value: Any) -> None:
        if name not in self.__struct_fields__:
            raise KeyError(f"{type(self).__name__} has no field {name!r}")
        setattr(self, name, value)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (name in self._names() or name in self._unknown())

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        for name in self._names():
            yield name, getattr(self, name)

    def get(self, name: str, default: Any = None) -> Any:
        """The field's value; `default` where there is no such field or it is unset."""
        try:
            value = self[name]
        except KeyError:
            return default
        return default if value is None else value

    @classmethod
    def _names(cls) -> list[str]:
        return [name for name in cls.__struct_fields__ if not name.startswith("_")]

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return list(self) == list(other)

    def __ne__(self, other: object) -> bool:
        # msgspec has one of its own, which `eq=False` makes a comparison by identity.
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

    def __copy__(self) -> Any:
        return _restore(type(self), *self._state())

    def __reduce__(self) -> Any:
        return _restore, (type(self), *self._state())

    def model_dump(self, *, mode: str = "python", exclude_none: bool = False, exclude_unset: bool = False) -> Fields:
        """This record as plain dicts and lists, unknown fields at the places where the server put them.

        Args:
            mode: accepted for pydantic's sake; "python" and "json" give the same, since every value is JSON's.
            exclude_none: leave out the fields that are None.
            exclude_unset: leave out the fields that still have their default.
        """
        if mode not in ("python", "json"):
            raise ValueError(f"mode must be 'python' or 'json', not {mode!r}")
        return self._dump({}, exclude_none, exclude_unset)

    def _dump(self, decoded: dict[int, Any], exclude_none: bool, exclude_unset: bool) -> Fields:
        options = decoded, exclude_none, exclude_unset
        defaults = _defaults_of(type(self)) if exclude_unset else {}
        unknown = self._unknown(decoded)
        own = "_slot_provider_specific_fields" if hasattr(type(self), "_slot_provider_specific_fields") else ""
        dumped: Fields = {}
        for name in self._names():
            # What nobody set is left unset: the unknown fields stand below, where the server put them.
            value = getattr(self, own if own and name == "provider_specific_fields" else name)
            if name == "provider_specific_fields" and value == unknown:
                value = None
            if exclude_none and value is None:
                continue
            if exclude_unset and name in defaults and (value is None or value == defaults[name]):
                continue
            dumped[name] = _plain(value, options)
        for name, value in unknown.items():
            dumped.setdefault(name, _plain(value, options))
        return dumped

    def model_dump_json(self, *, indent: int | None = None, exclude_none: bool = False, exclude_unset: bool = False) -> str:
        """This record as JSON text, unknown fields included."""
        data = msgspec.json.encode(self.model_dump(exclude_none=exclude_none, exclude_unset=exclude_unset), enc_hook=str)
        return (data if indent is None else msgspec.json.format(data, indent=indent)).decode()

    def model_copy(self, *, update: Fields | None = None, deep: bool = False) -> Any:
        """A copy of this record, shallow unless `deep`, with the fields in `update` replaced."""
        import copy

        record = copy.deepcopy(self) if deep else copy.copy(self)
        for name, value in (update or {}).items():
            record[name] = value
        return record

    # The other names that LiteLLM's users call these by.
    json = model_dump
    dict = model_dump
    to_dict = model_dump
    to_json = model_dump_json


class OpenRecord(Record):
    """A record whose unknown fields are attributes as well.

    The chunks of a stream are no such records: a class with `__getattr__` pays for it at each look at any field.
    """

    if not TYPE_CHECKING:  # or the checker would believe any attribute exists

        def __getattr__(self, name):
            if not name.startswith("_"):
                unknown = self._unknown()
                if name in unknown:
                    return unknown[name]
            raise AttributeError(f"{type(self).__name__} has no field {name!r}")


class HasCall(HasOrigin):
    """Room for what the call around a response came to, a dict; see `Response`."""

    __slots__ = ("_call",)
    _call: dict[str, Any]


class Response(OpenRecord, HasCall, kw_only=True):
    """The base of what a whole call returns."""

    _error: Any = msgspec.field(default=msgspec.UNSET, name="error")  # an error object in place of, or beside, an answer

    _slots: ClassVar[tuple[str, ...]] = ("_origin", "_call")

    def _about_call(self) -> dict[str, Any]:
        if not hasattr(self, "_call"):
            self._call = {"hidden_params": {}, "headers": {}, "attempts": ()}
        return self._call

    @property
    def raw(self) -> bytes | None:
        """The JSON bytes of the body as the server sent them, None when no server did."""
        return self._document()

    @property
    def attempts(self) -> tuple[Any, ...]:
        """What each attempt of the call came to, oldest first; the last one is this response."""
        return self._about_call()["attempts"]

    @property
    def request_id(self) -> str | None:
        """The server's id for the request, from its `x-request-id` header."""
        return self._about_call()["headers"].get("x-request-id")

    @property
    def _response_headers(self) -> dict[str, str]:
        """The HTTP response's headers in lower case, `{}` when no server answered. LiteLLM's name."""
        return self._about_call()["headers"]

    @property
    def _hidden_params(self) -> dict[str, Any]:
        """LiteLLM's bag of call details: `custom_llm_provider`, `api_base`, `additional_headers`, and what a handler put there."""
        return self._about_call()["hidden_params"]


def _restore(cls: type[Record], fields: dict[str, Any], slots: dict[str, Any]) -> Record:
    record: Record = build(cls, **fields)
    for name, value in slots.items():
        setattr(record, name, value)
    return record


@cache
def _defaults_of(cls: type[Record]) -> dict[str, Any]:
    return {item.name: item.default for item in msgspec.structs.fields(cls) if item.default is not msgspec.NODEFAULT}


def _plain(value: Any, options: tuple[dict[int, Any], bool, bool]) -> Any:
    if isinstance(value, Record):
        return value._dump(*options)
    if isinstance(value, list):
        return [_plain(item, options) for item in value]
    if isinstance(value, dict):
        return {name: _plain(item, options) for name, item in value.items()}
    return value if type(value) in _SCALARS else in_own_terms(value)


def in_own_terms(value: Any) -> Any:
    """The fields of another library's model, such as LiteLLM's own `Usage` or OpenAI's, as a dict; anything else as it is."""
    if isinstance(value, Record) or not callable(getattr(value, "model_dump", None)):
        return value
    return value.model_dump(exclude_none=True)


def coerce(value: Any, cls: type[Any]) -> Any:
    """`value` as a `cls`: a mapping is passed to the class as keywords, a list is taken item by item."""
    if isinstance(value, list):
        return [coerce(item, cls) for item in value]
    value = in_own_terms(value)
    if isinstance(value, dict):
        return cls(**value)
    if isinstance(value, Record) and not isinstance(value, cls):
        return cls(**dict(value))
    return value


def attach_origin(record: Record, data: bytes, path: Path = ()) -> None:
    """Tell a record and every record below it which document it was decoded from."""
    record._origin = (data, path) if path != record._place else data
    for name, key in _record_fields(type(record)):
        value = getattr(record, name)
        if value is not None:
            _attach_below(value, data, (*path, key))


@cache
def _record_fields(cls: type[Record]) -> tuple[tuple[str, str], ...]:
    """The fields of a record that hold records, or lists of them, with their names in JSON."""
    fields = msgspec.structs.fields(cls)
    return tuple((item.name, item.encode_name) for item in fields if _holds_records(item.type))


def _holds_records(annotation: Any) -> bool:
    if isinstance(annotation, type) and issubclass(annotation, Record):
        return True
    return any(_holds_records(part) for part in get_args(annotation))


def _attach_below(value: Any, data: bytes, path: Path) -> None:
    if isinstance(value, Record):
        attach_origin(value, data, path)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _attach_below(item, data, (*path, index))


def lazy_field(cls: type[Record], name: str, compute: Callable[[Any], Any]) -> None:
    """Let field `name` of `cls` answer with `compute(record)` while it is unset.

    msgspec reads and writes the slot itself; only Python's attribute access passes through the property. The bare
    slot stays readable as `_slot_<name>`, for code that must not compute anything.
    """
    slot: Any = cls.__dict__[name]
    type.__setattr__(cls, f"_slot_{name}", slot)

    def read(record: Any) -> Any:
        value = slot.__get__(record)
        return compute(record) if value is None else value

    type.__setattr__(cls, name, property(read, slot.__set__, doc=f"`{name}`, found on first look where it is unset."))
