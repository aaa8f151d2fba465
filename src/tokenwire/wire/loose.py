"""The fast lenient decoder: for a chunk in which some values have another type than their fields, as many servers send them.

Twins of a chunk's classes accept any value in any field; decoding into them costs as much as the exact decoder. A function
generated from the same annotations then checks each field, converts odd values, and sets the twins' class to the original.
Documents of another structure, and invalid JSON, are left to `mending`.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

import msgspec
from msgspec import NODEFAULT, UNSET

from ..types._record import Record, RecordMeta, stored_names
from ..types._source import SOURCE_SLOT, Odd, OddDocument, Path, set_source
from .mending import Rule, rules_of
from .odd_values import as_raw, texts_of

R = TypeVar("R", bound=Record)

_Correct: TypeAlias = Callable[[Any, Path, OddDocument], None]

_OTHER_PARTS: Final = ("reasoning_content", "refusal")
_NOT_OBJECT: Final = None | bool | int | float | str
_NOT_LIST: Final = _NOT_OBJECT | dict[str, Any]


class OtherStructureError(Exception):
    """The document has another structure, and has to be corrected by `mending`."""


def loosely(data: bytes, cls: type[R]) -> R:
    """Decode a chunk to a `cls` whose source is an `OddDocument`.

    Raises:
        OtherStructureError: it can't be decoded in this way.
        ValueError, RecursionError: the same.
    """
    document = OddDocument(data)
    decode, correct = _ways(cls, is_sealed=True)
    try:
        record = decode(data)
    except msgspec.ValidationError:
        decode, correct = _ways(cls, is_sealed=False)
        record = decode(data)
    else:
        document.is_sealed = True
    correct(record, (), document)
    return record


@cache
def _ways(cls: type[Record], *, is_sealed: bool) -> tuple[Callable[[bytes], Any], _Correct]:
    """The decoder of a `cls`'s twin, and the function that corrects its result."""
    return msgspec.json.Decoder(_twin(cls, is_sealed)).decode, _corrector(cls, is_sealed)


# The twins.


@cache
def _twin(cls: type[Record], is_sealed: bool) -> type[Any]:
    """A class with the layout of `cls` whose fields take any value; refuses unknown fields if `cls` does and `is_sealed`."""
    namespace: dict[str, Any] = {"__module__": __name__, "__annotations__": {}}
    for field in msgspec.structs.fields(cls):
        namespace["__annotations__"][field.name] = _any(field.type, rules_of(cls).get(field.encode_name), is_sealed)
        namespace[field.name] = _with_default(field)
    forbid = is_sealed and _is_sealed(cls)
    return RecordMeta(f"Loose{cls.__name__}", (cls,), namespace, forbid_unknown_fields=forbid)


def _is_sealed(cls: type[Record]) -> bool:
    return cls.__struct_config__.forbid_unknown_fields


def _any(annotation: object, rule: Rule | None, is_sealed: bool) -> object:
    if rule is not None and rule.record is not None:
        twin = _twin(rule.record, is_sealed)
        return list[twin] | _NOT_LIST if rule.is_list else twin | _NOT_OBJECT
    return annotation if rule is not None and rule.convert is as_raw else Any


def _with_default(field: msgspec.structs.FieldInfo) -> object:
    if field.default_factory is NODEFAULT:
        return msgspec.field(default=field.default, name=field.encode_name)
    return msgspec.field(default_factory=field.default_factory, name=field.encode_name)


def _default_of(field: msgspec.structs.FieldInfo) -> Callable[[], Any]:
    return partial(_itself, field.default) if field.default_factory is NODEFAULT else field.default_factory


def _itself(value: object) -> object:
    return value


# Correcting them.


class _Field(NamedTuple):
    """A field that is checked.

    Attributes:
        name: its name in JSON.
        write: sets it.
        convert: its rule's conversion.
        has_records: whether it holds records.
        is_nullable: whether it may be null.
        place: its record's usual path, if such records have a source only for odd values; else None.
        default: makes its default value.
    """

    name: str
    write: Callable[[Any, Any], None]
    convert: Callable[[Any], Any]
    has_records: bool
    is_nullable: bool
    place: Path | None
    default: Callable[[], Any]


def _replace(record: Record, field: _Field, sent: object, path: Path, document: OddDocument) -> None:
    """Replace a value of another type by its conversion."""
    name, write, convert, has_records, is_nullable, place, default = field
    if name == "content" and isinstance(sent, list | dict):
        taken = _spread(record, sent)
    else:
        taken = UNSET if sent is None else convert(sent)
    if has_records and taken is not UNSET:
        raise OtherStructureError
    write(record, default() if taken is UNSET else taken)
    document.note((*path, name), Odd(sent, taken) if is_nullable or not has_records else None)
    if place is not None:
        set_source(record, document if path == place else (document, path))


def _spread(record: Record, content: object) -> object:
    """The text in parts of content; other texts in them are put into their own fields, if these are empty."""
    names = stored_names(type(record))
    texts = texts_of(content)
    for name in _OTHER_PARTS:
        if texts[name] and name in names and not getattr(record, names[name]):
            setattr(record, names[name], texts[name])
    return texts["content"] or UNSET


@cache
def _corrector(cls: type[Record], is_sealed: bool) -> _Correct:
    """A function that corrects a twin of `cls` and all records below it, sets their sources, and sets their classes."""
    namespace: dict[str, Any] = {
        "CLS": cls,
        "PLACE": cls._place,
        "replace": _replace,
        "OtherStructureError": OtherStructureError,
    }
    lines = ["def correct(record, path, document):"]
    for number, field in enumerate(msgspec.structs.fields(cls)):
        rule = rules_of(cls).get(field.encode_name)
        if rule is not None and rule.convert is not as_raw:
            namespace[f"field_{number}"], namespace[f"exact_{number}"] = _seen(cls, field, rule), rule.exact
            if rule.record is not None:
                namespace[f"twin_{number}"] = _twin(rule.record, is_sealed)
                namespace[f"correct_{number}"] = _corrector(rule.record, is_sealed)
            lines += [f"    value = record.{field.name}", *_lines(number, field.encode_name, rule)]
    if not (is_sealed and _is_sealed(cls)):
        lines.append(f"    record.{SOURCE_SLOT} = document if path == PLACE else (document, path)")
    exec("\n".join([*lines, "    record.__class__ = CLS"]), namespace)  # noqa: S102  (made from the annotations alone)
    return namespace["correct"]


def _seen(cls: type[Record], field: msgspec.structs.FieldInfo, rule: Rule) -> _Field:
    place = cls._place if _is_sealed(cls) else None
    has_records = rule.record is not None
    write = getattr(cls, field.name).__set__
    return _Field(field.encode_name, write, rule.convert, has_records, rule.is_nullable, place, _default_of(field))


def _lines(number: int, name: str, rule: Rule) -> list[str]:
    """The code that checks the value of a field."""
    replace = f"replace(record, field_{number}, value, path, document)"
    if rule.record is None:
        return [f"    if {_is_odd(rule, f'exact_{number}')}: {replace}"]
    if not rule.is_list:
        lines = [f"    if type(value) is twin_{number}: correct_{number}(value, (*path, {name!r}), document)"]
    else:
        lines = [
            "    if type(value) is list:",
            "        for index, item in enumerate(value):",
            f"            if type(item) is not twin_{number}: raise OtherStructureError",
            f"            correct_{number}(item, (*path, {name!r}, index), document)",
        ]
    if rule.is_nullable:
        return [*lines, f"    elif value is not None: {replace}"]
    return [*lines, f"    else: {'raise OtherStructureError' if rule.is_list else replace}"]


def _is_odd(rule: Rule, exact: str) -> str:
    if rule.is_nullable and len(rule.exact) == 2:
        (kind,) = rule.exact - {type(None)}
        return f"value is not None and type(value) is not {kind.__name__}"
    return f"type(value) not in {exact}"
