"""A Python type → a JSON schema for OpenAI's strict mode.

Rewrites a schema of `described` into the subset of JSON Schema that OpenAI documents as supported ("Structured model
outputs", section "Supported schemas"), in which:

- the root is an object; any other type is put into one, under `WRAPPED`;
- an object lists all of its properties as required and allows no others; null stands for a property that may be absent and
  has no default;
- `$ref` has no siblings, and `anyOf` is the only way to combine schemas;
- a few keywords constrain strings, numbers and arrays; the others are moved into the description, where the model can
  still read them. The class itself checks them when it decodes the answer.

Types that the subset can't express (a dict with any keys, a field of any type, infinite recursion) are refused, with the
field's path.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from ..exceptions import BadRequestError
from .described import REFERENCE, Described, Schema, describe, shown, unfit

WRAPPED = "value"  # the one property of the object around a type that is not an object itself

_INSTEAD = 'or pass the schema as a dict, with "strict": False'

# The keywords that OpenAI documents as supported, except those that `_Strict` writes itself.
_KEPT = frozenset((
    "title", "description", "type", "enum", "const", "pattern", "multipleOf",
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minItems", "maxItems",
))  # fmt: skip
_FORMATS = frozenset(("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"))
# Left out: defaults, which the class applies, and discriminators, which repeat what the branches have.
_DROPPED = frozenset(("default", "discriminator", "$defs", "definitions", "additionalProperties", "$schema", "$comment"))
_READ = frozenset(("properties", "required", "items", "prefixItems", "anyOf", "oneOf", "$ref"))

_TYPE_NAMES = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}


class StrictFormat(NamedTuple):
    """OpenAI's `response_format` for a type.

    Attributes:
        encoded: its JSON: immutable, so that a caller can't change the next call's.
        is_wrapped: whether the type is not an object itself, and is wrapped in one, under `WRAPPED`.
    """

    encoded: bytes
    is_wrapped: bool


def strict_format(cls: object, name: str | None = None, shown_as: Mapping[str, str] | None = None) -> StrictFormat:
    """OpenAI's `json_schema` response format for a type.

    Args:
        cls: a msgspec struct, dataclass, TypedDict, NamedTuple, attrs class, enum or pydantic model, or any type made of
            these and of JSON's own types.
        name: the type's name, if not its own.
        shown_as: other names for classes in messages.

    Raises:
        BadRequestError: the type has no strict schema; the message names the field.
    """
    name = name or shown(cls)
    strict = _Strict(describe(cls), "response_format", shown_as)
    json_schema = {"name": _name(name), "schema": strict.root(name), "strict": True}
    return StrictFormat(msgspec.json.encode({"type": "json_schema", "json_schema": json_schema}), strict.is_wrapped)


def strict_schema(cls: object, argument: str) -> Schema:
    """The strict schema of a class with fields.

    Args:
        argument: the name of the argument with the class, for the message, such as "tools[0]".

    Raises:
        BadRequestError: as `strict_format`.
    """
    return _Strict(describe(cls, argument), argument).root(shown(cls))


def _name(name: str) -> str:
    """A name that OpenAI accepts: up to 64 of A-Z, a-z, 0-9, _ and -."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_")[:64] or "answer"


class _Strict:
    """Rewrites one type's schemas."""

    def __init__(self, described: Described, argument: str, shown_as: Mapping[str, str] | None = None) -> None:
        self._described = described
        self._shown_as = shown_as or {}  # names of definitions in paths
        self._argument = argument
        self.is_wrapped = False
        self._inside: list[str] = []  # the definitions being written, to detect recursion

    def root(self, name: str) -> Schema:
        given: Schema = self._described.root
        while "$ref" in given and (target := _target(given)) not in self._inside:
            self._inside.append(target)
            beside = {keyword: value for keyword, value in given.items() if keyword != "$ref"}
            given = {**self._definition(target), **beside}
        root = self._node(given, name)
        self.is_wrapped = root.get("type") != "object"
        if self.is_wrapped:
            root = _object({WRAPPED: root})
        definitions = self._definitions(root)
        if not _ends(root, _finite(definitions)):
            raise unfit(self._argument, f"{name} is infinitely recursive: each value must contain another")
        return {**root, "$defs": definitions} if definitions else root

    def _definition(self, name: str) -> Schema:
        try:
            return self._described.definitions[name]
        except KeyError:
            raise unfit(self._argument, f"the schema refers to {name!r}, which it does not define") from None

    def _definitions(self, root: Schema) -> dict[str, Schema]:
        """The definitions that are referenced, from the root or from one another."""
        written: dict[str, Schema] = {}
        waiting = list(_targets(root))
        while waiting:
            if (name := waiting.pop()) not in written:
                self._inside = [name]
                written[name] = self._node(self._definition(name), self._shown_as.get(name, name))
                waiting.extend(_targets(written[name]))
        return {name: written[name] for name in self._described.definitions if name in written}

    def _node(self, given: object, path: str) -> Schema:
        if not isinstance(given, dict):
            raise self._unbounded(path)
        if len(given.get("allOf", ())) == 1:
            given = {**given["allOf"][0], **{keyword: value for keyword, value in given.items() if keyword != "allOf"}}
        if "$ref" in given:
            return self._reference(given, path)
        node = _annotations(given)
        if branches := given.get("anyOf") or given.get("oneOf"):
            node["anyOf"] = [self._node(branch, path) for branch in branches]
        elif given.get("type") == "object":
            self._into_object(node, given, path)
        elif given.get("type") == "array":
            node["items"] = self._items(given, path)
        elif "type" not in node and "enum" in node:
            node["type"] = _type_of(node["enum"])
        elif "type" not in node and "const" not in node:
            raise self._unbounded(path)
        return node

    def _reference(self, given: Schema, path: str) -> Schema:
        name = _target(given)
        beside = {keyword: value for keyword, value in given.items() if keyword not in _DROPPED | {"$ref"}}
        if not beside:
            return {"$ref": given["$ref"]}
        if name in self._inside:
            return {**_annotations(beside), "anyOf": [{"$ref": given["$ref"]}]}
        self._inside.append(name)
        node = self._node({**self._definition(name), **beside}, path)
        self._inside.pop()
        return node

    def _into_object(self, node: Schema, given: Schema, path: str) -> None:
        properties: Schema | None = given.get("properties")
        if properties is None and given.get("additionalProperties") is not False:
            raise unfit(
                self._argument,
                f"{path} is a dict with any keys, but OpenAI's strict mode requires named ones: "
                f"use a TypedDict or a list of pairs, {_INSTEAD}",
            )
        node.update(_object({name: self._node(value, f"{path}.{name}") for name, value in (properties or {}).items()}))

    def _items(self, given: Schema, path: str) -> Schema:
        """One schema for all items: strict mode does not support one for each position."""
        places = [self._node(item, f"{path}[{place}]") for place, item in enumerate(given.get("prefixItems", ()))]
        if isinstance(given.get("items"), dict) or not places:
            places.append(self._node(given.get("items"), f"{path}[]"))
        different = [place for number, place in enumerate(places) if place not in places[:number]]
        return different[0] if len(different) == 1 else {"anyOf": different}

    def _unbounded(self, path: str) -> BadRequestError:
        return unfit(
            self._argument, f"{path} can be any JSON value, but OpenAI's strict mode requires a type: give one, {_INSTEAD}"
        )


def _annotations(given: Schema) -> Schema:
    """The keywords that constrain or describe a value; those that strict mode lacks are added to the description."""
    node: Schema = {}
    words: list[str] = []
    for keyword, value in given.items():
        if keyword in _KEPT or (keyword == "format" and value in _FORMATS):
            node[keyword] = value
        elif keyword not in _DROPPED and keyword not in _READ:
            words.append(f"{keyword}: {msgspec.json.encode(value).decode()}")
    if words:
        node["description"] = " ".join([*filter(None, [node.get("description")]), f"({'; '.join(words)})"])
    return node


def _object(properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _type_of(values: list[Any]) -> str | list[str]:
    names = list(dict.fromkeys(_TYPE_NAMES[type(value)] for value in values))
    return names[0] if len(names) == 1 else names


def _target(node: Mapping[str, Any]) -> str:
    """The name of the definition that a reference points to."""
    return node["$ref"].removeprefix(REFERENCE).replace("~1", "/").replace("~0", "~")


def _targets(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield _target(node)
        node = list(node.values())
    if isinstance(node, list):
        for value in node:
            yield from _targets(value)


def _finite(definitions: Mapping[str, Schema]) -> set[str]:
    """The definitions that have a finite value."""
    finite: set[str] = set()
    while found := {name for name, node in definitions.items() if name not in finite and _ends(node, finite)}:
        finite |= found
    return finite


def _ends(node: Schema, finite: set[str]) -> bool:
    if "$ref" in node:
        return _target(node) in finite
    if "anyOf" in node:
        return any(_ends(branch, finite) for branch in node["anyOf"])
    if "items" in node:
        return not node.get("minItems") or _ends(node["items"], finite)
    return all(_ends(value, finite) for value in node.get("properties", {}).values())
