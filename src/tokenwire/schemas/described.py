"""The JSON Schema of a Python type, by msgspec and pydantic.

msgspec describes structs, dataclasses, attrs classes, TypedDicts, NamedTuples and types made of these; pydantic describes
its own models, also as fields of other classes. A type that neither can describe is refused, with the path of the field.
"""

import re
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, NamedTuple, NewType, TypeAlias, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from ..exceptions import BadRequestError, refused

Schema: TypeAlias = dict[str, Any]  # a JSON object of JSON Schema's keywords

REFERENCE = "#/$defs/"  # a definition's name follows

_SPECIAL_FORMS: tuple[Any, ...] = (NewType, TypeVar, getattr(typing, "TypeAliasType", NewType))  # the last: Python 3.12
# Raised by the two libraries for a type that they can't describe.
_NOT_DESCRIBED = (TypeError, ValueError, NameError, AttributeError, RuntimeError, LookupError)


def is_type(value: object) -> bool:
    """Whether this is a class or another type expression, such as `list[int]` or `int | str`; not an instance of one."""
    return isinstance(value, (type, *_SPECIAL_FORMS)) or get_origin(value) is not None


def shown(cls: object) -> str:
    """The type's name, without modules."""
    if get_origin(cls) is Annotated:
        cls = get_args(cls)[0]
    return cls.__name__ if isinstance(cls, type) else re.sub(r"(?:[\w<>]+\.)+", "", repr(cls))


def unfit(argument: str, why: str) -> BadRequestError:
    """The error for a type in an argument, such as "tools[0]", that a schema can't express."""
    return refused(argument.partition("[")[0], f"{argument}: {why}")


class Described(NamedTuple):
    """A type's description by its library."""

    root: Schema
    definitions: dict[str, Schema]


def describe(cls: object, argument: str = "response_format") -> Described:
    """Describe a type.

    Args:
        argument: the name of the argument with the type, for the message.

    Raises:
        BadRequestError: it has no JSON schema; the message names the field.
    """
    try:
        return _described(cls)
    except _NOT_DESCRIBED as exc:
        where, why = _culprit(cls, exc)
        why = why.partition("\n\n")[2] or why  # drop msgspec's advice, which is for direct users of msgspec
        raise unfit(argument, f"{where} has no JSON schema: {why}") from exc


def _described(cls: object) -> Described:
    if hasattr(cls, "__pydantic_validator__"):
        schema = _pydantic_schema(cls)
        return Described(schema, schema.get("$defs", {}))
    definitions: dict[str, Schema] = {}

    def describe_model(inner: type) -> Schema:
        if not hasattr(inner, "__pydantic_validator__"):
            raise NotImplementedError
        schema = _pydantic_schema(inner)
        _add(definitions, schema.pop("$defs", {}))
        return schema

    try:
        (root,), own = msgspec.json.schema_components([cls], ref_template=REFERENCE + "{name}", schema_hook=describe_model)
    except KeyError as exc:  # msgspec's error for two classes with one name
        raise TypeError(f"two different classes are called {shown(exc.args[0])}") from exc
    _add(definitions, own)
    for info in _classes(msgspec.inspect.type_info(cls), []):
        for schema in definitions.values():
            if schema.get("title", "").partition("[")[0] == info.cls.__name__:
                _refine(schema.get("properties", {}), info)
    return Described(root, definitions)


def _add(definitions: dict[str, Schema], more: Mapping[str, Schema]) -> None:
    for name, schema in more.items():
        if definitions.setdefault(name, schema) != schema:
            raise TypeError(f"two different classes are called {name}")


def _classes(info: object, seen: list[object]) -> Iterator[Any]:
    """msgspec's description of each class with fields in a type, recursively."""
    if isinstance(info, tuple):
        for part in info:
            yield from _classes(part, seen)
    if not isinstance(info, (msgspec.inspect.Type, msgspec.inspect.Field)) or any(info is known for known in seen):
        return
    seen.append(info)
    if hasattr(info, "fields"):
        yield info
    for name in info.__struct_fields__:
        yield from _classes(getattr(info, name), seen)


def _refine(properties: Schema, info: Any) -> None:
    """Add what msgspec leaves out: which fields may be absent without a default, and the order of a TypedDict's fields.

    A model writes an object in the schema's order, and later fields often depend on earlier ones.
    """
    for field in info.fields:
        no_default = field.default is field.default_factory is msgspec.NODEFAULT
        if field.encode_name in properties and no_default and not field.required:
            properties[field.encode_name] = _or_null(properties[field.encode_name])
    if isinstance(info, msgspec.inspect.TypedDictType):
        for name in (get_origin(info.cls) or info.cls).__annotations__:
            if name in properties:
                properties[name] = properties.pop(name)


def _or_null(schema: Schema) -> Schema:
    """A schema that allows null too."""
    return schema if _is_null(schema) else {"anyOf": [schema, {"type": "null"}]}


def _is_null(schema: Schema) -> bool:
    return "null" in str(schema.get("type")) or any(map(_is_null, schema.get("anyOf", ())))


def _pydantic_schema(cls: Any) -> Schema:
    if hasattr(cls, "model_json_schema"):
        return cls.model_json_schema()
    from pydantic import TypeAdapter  # a pydantic dataclass, so pydantic is installed

    return TypeAdapter(cls).json_schema()


def _culprit(cls: object, exc: Exception) -> tuple[str, str]:
    """The innermost field whose type can't be described, and the error about it."""
    where, why = shown(cls), str(exc)
    parts = _parts(cls)
    seen = [cls]
    while found := next(((step, part, said) for step, part in parts if (said := _complaint(part)) and part not in seen), None):
        step, part, why = found
        where += step
        seen.append(part)
        parts = _parts(part)
    return where, why


def _complaint(cls: object) -> str | None:
    try:
        _described(cls)
    except _NOT_DESCRIBED as exc:
        return str(exc) or type(exc).__name__
    return None


def _parts(cls: object) -> list[tuple[str, object]]:
    """The types that this one is made of, each with its step in a path."""
    if (origin := get_origin(cls)) is not None:
        parts = () if origin is Callable else get_args(cls)
        return [("[]" if origin in (list, tuple, set, frozenset, dict) else "", part) for part in parts]
    try:
        return [(f".{name}", part) for name, part in get_type_hints(cls).items()]
    except _NOT_DESCRIBED:
        return []
