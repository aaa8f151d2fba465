"""The schema that a class becomes when it is asked for: within what OpenAI's strict mode takes, and true to the class."""

# ruff: noqa: UP007, UP045
# pyright: reportCallIssue=false, reportInvalidTypeForm=false
# Types are made here as callers make them, the old spellings and those that no checker can follow included.

import dataclasses
import datetime as dt
import enum
import itertools
import re
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, NotRequired, Optional, TypedDict, TypeVar, Union

import attrs
import msgspec
import pydantic
import pytest
from hypothesis import given, strategies as st
from jsonschema_rs import validator_for

import tokenwire
from tokenwire import BadRequestError, CustomLLM, ModelResponse
from tokenwire._calls import routing

T = TypeVar("T")

# What OpenAI's page "Structured model outputs" lists under "Supported schemas".
KEYWORDS = {
    *("type", "properties", "required", "additionalProperties", "items", "anyOf", "enum", "const", "$ref", "$defs"),
    *("title", "description", "pattern", "format", "multipleOf"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minItems", "maxItems"),
}
FORMATS = {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}


class Recorder(CustomLLM):
    def completion(self, *args: Any, **kwargs: Any) -> ModelResponse:
        self.asked = kwargs["optional_params"]["response_format"]
        return kwargs["model_response"]


@pytest.fixture(scope="module", autouse=True)
def recorder() -> Iterator[Recorder]:
    recorder = Recorder()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokenwire, "custom_provider_map", [{"provider": "schemas", "custom_handler": recorder}])
        patch.setattr(routing, "_registered", {})
        yield recorder


def asked(cls: Any) -> dict[str, Any]:
    """The `response_format` that leaves for a class."""
    tokenwire.completion("schemas/m", [{"role": "user", "content": "Hi"}], response_format=cls)
    return tokenwire.custom_provider_map[-1]["custom_handler"].asked


def schema_of(cls: Any) -> dict[str, Any]:
    return asked(cls)["json_schema"]["schema"]


def refusal(cls: Any) -> str:
    with pytest.raises(BadRequestError) as caught:
        asked(cls)
    assert (caught.value.param, caught.value.fault) == ("response_format", "caller")
    return caught.value.message


def nodes(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every schema inside this one, and itself."""
    yield schema
    inner = [*schema.get("properties", {}).values(), *schema.get("$defs", {}).values(), *schema.get("anyOf", ())]
    for node in (*inner, *([schema["items"]] if "items" in schema else [])):
        yield from nodes(node)


def faults(schema: dict[str, Any]) -> list[str]:
    """What strict mode would refuse."""
    found = [] if schema.get("type") == "object" and "anyOf" not in schema else ["the root is not an object"]
    for node in nodes(schema):
        found += [f"{keyword} in {node}" for keyword in node.keys() - KEYWORDS]
        if "$ref" in node and (len(node) > 1 or node["$ref"].removeprefix("#/$defs/") not in schema.get("$defs", {})):
            found.append(f"$ref in {node}")
        if not node.keys() & {"$ref", "anyOf", "type", "const"}:
            found.append(f"no type in {node}")
        if node.get("type") == "object" and (
            node.get("additionalProperties") is not False or node.get("required") != list(node["properties"])
        ):
            found.append(f"an open object: {node}")
        if node.get("type") == "array" and "items" not in node:
            found.append(f"no items in {node}")
        if node.get("format", "date") not in FORMATS:
            found.append(f"format in {node}")
    return found


# Classes of every kind.


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Struct(msgspec.Struct):
    """A struct of its own."""

    x: int
    colour: Colour = Colour.RED
    words: list[str] = []
    other: int | msgspec.UnsetType = msgspec.UNSET


@dataclasses.dataclass
class Point:
    x: int
    tags: list[str] = dataclasses.field(default_factory=list)
    y: float = 0.0


class Pair(TypedDict):
    left: int
    right: NotRequired[str]


class Row(NamedTuple):
    name: str
    number: int = 0


@attrs.define
class Attrs:
    x: int
    inner: Point | None = None


class Model(pydantic.BaseModel):
    x: int = pydantic.Field(description="how many", ge=1)
    words: list[str] = []


@pydantic.dataclasses.dataclass
class ModelLike:
    x: int


class Roots(pydantic.RootModel[list[Model]]):
    pass


class Open(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    x: int


class Node(msgspec.Struct):
    name: str
    children: list["Node"] = []
    parent: Optional["Node"] = None


class Described(msgspec.Struct):
    """Each description stands beside a reference."""

    leaf: Annotated[Point, msgspec.Meta(description="the leaf")]
    more: list[Annotated["Described", msgspec.Meta(description="again")]]


class Box(msgspec.Struct, Generic[T]):
    held: T


class Cat(msgspec.Struct, tag=True):
    lives: int


class Dog(msgspec.Struct, tag=True):
    bones: int


class Holder(msgspec.Struct):
    """msgspec's class around pydantic's."""

    model: Model
    roots: Roots


class Bounds(msgspec.Struct):
    name: Annotated[str, msgspec.Meta(min_length=2, pattern="^a", description="a name")]
    seen: set[int]
    when: Annotated[dt.datetime, msgspec.Meta(tz=True)]
    size: Annotated[float, msgspec.Meta(gt=0, le=1)]
    data: bytes


TYPES: list[Any] = [
    *(Struct, Point, Pair, Row, Attrs, Model, ModelLike, Roots, Open, Node, Described, Holder, Bounds, Colour),
    *(Box[int], Box[list[Point]], Box[Model], Cat, Cat | Dog, list[Cat | Dog], Optional[Point], Union[int, str], Point | None),
    *(int, str, bool, float, list[int], set[str], tuple[int, str], tuple[int, ...], Literal["a", 1, None], NewType("Age", int)),
    *(Annotated[int, msgspec.Meta(ge=1)], list[Model], list[ModelLike], Model | None, Annotated[int, {}]),
]


@pytest.mark.parametrize("cls", TYPES, ids=repr)
def test_it_is_within_strict_mode(cls: Any) -> None:
    sent = asked(cls)
    assert sent["type"] == "json_schema"
    assert sent["json_schema"].keys() == {"name", "schema", "strict"}
    assert sent["json_schema"]["strict"] is True
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", sent["json_schema"]["name"])
    assert faults(sent["json_schema"]["schema"]) == []


@pytest.mark.parametrize(
    "cls, name",
    [
        (Point, "Point"),
        (Box[int], "Box_int"),
        (Box[list[Point]], "Box_list_Point"),
        (list[Cat | Dog], "list_Cat_Dog"),
        (Annotated[int, msgspec.Meta(ge=1)], "int"),
        (type("Größe", (msgspec.Struct,), {}), "Gr_e"),
        (type("数", (msgspec.Struct,), {}), "answer"),
        (type("A" * 80, (msgspec.Struct,), {}), "A" * 64),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_name(cls: Any, name: str) -> None:
    assert asked(cls)["json_schema"]["name"] == name


def test_an_object_is_the_root_itself() -> None:
    assert schema_of(Point) == {
        "title": "Point",
        "type": "object",
        "properties": {
            "x": {"type": "integer"},
            "tags": {"type": "array", "items": {"type": "string"}},
            "y": {"type": "number"},
        },
        "required": ["x", "tags", "y"],
        "additionalProperties": False,
    }


def test_any_other_root_is_put_into_an_object() -> None:
    schema = schema_of(list[Cat | Dog])
    assert schema["properties"] == {
        "value": {"type": "array", "items": {"anyOf": [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}]}}
    }
    assert schema["required"] == ["value"]
    assert schema["$defs"].keys() == {"Cat", "Dog"}


def test_what_may_be_absent_and_has_no_default_may_be_null() -> None:
    assert schema_of(Pair)["properties"]["right"] == {"anyOf": [{"type": "string"}, {"type": "null"}]}
    assert schema_of(Struct)["properties"]["other"] == {"anyOf": [{"type": "integer"}, {"type": "null"}]}
    assert schema_of(Box[Pair])["$defs"]["Pair"]["properties"]["right"]["anyOf"][1] == {"type": "null"}
    assert schema_of(Struct)["properties"]["words"] == {"type": "array", "items": {"type": "string"}}


def test_a_typed_dict_keeps_its_order() -> None:
    class Base(TypedDict):
        reasons: list[str]

    class Derived(Base, total=False):
        answer: str
        also: int

    assert schema_of(Derived)["required"] == schema_of(list[Derived])["$defs"]["Derived"]["required"]
    assert list(schema_of(Derived)["properties"]) == ["reasons", "answer", "also"]


def test_a_recursive_class_refers_to_itself() -> None:
    schema = schema_of(Node)
    assert schema["properties"]["children"]["items"] == {"$ref": "#/$defs/Node"}
    assert schema["$defs"]["Node"]["properties"] == schema["properties"]


def test_a_description_beside_a_reference_is_kept() -> None:
    properties = schema_of(Described)["properties"]
    assert properties["leaf"]["description"] == "the leaf"
    assert properties["leaf"]["required"] == ["x", "tags", "y"]
    again = properties["more"]["items"]
    assert again == {"description": "again", "anyOf": [{"$ref": "#/$defs/Described"}]}


def test_keywords_that_strict_mode_lacks_become_words() -> None:
    properties = schema_of(Bounds)["properties"]
    assert properties["name"] == {"type": "string", "pattern": "^a", "description": "a name (minLength: 2)"}
    assert properties["seen"]["description"] == "(uniqueItems: true)"
    assert properties["when"] == {"type": "string", "format": "date-time"}
    assert properties["size"] == {"type": "number", "exclusiveMinimum": 0, "maximum": 1}
    assert properties["data"] == {"type": "string", "description": '(contentEncoding: "base64")'}


def test_places_of_a_tuple_become_kinds_of_items() -> None:
    assert schema_of(tuple[int, str, int])["properties"]["value"] == {
        "type": "array",
        "items": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
        "minItems": 3,
        "maxItems": 3,
    }


def test_enums_and_literals_have_a_type() -> None:
    assert schema_of(Struct)["$defs"]["Colour"]["type"] == "string"
    value = schema_of(Literal["a", 1, None])["properties"]["value"]
    assert (set(value["enum"]), set(value["type"])) == ({"a", 1, None}, {"string", "integer", "null"})


def test_pydantic_discriminated_unions_become_any_of() -> None:
    class A(pydantic.BaseModel):
        kind: Literal["a"]

    class B(pydantic.BaseModel):
        kind: Literal["b"]

    class Either(pydantic.BaseModel):
        it: A | B = pydantic.Field(discriminator="kind")

    schema = schema_of(Either)
    assert faults(schema) == []
    assert schema["properties"]["it"]["anyOf"] == [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/B"}]


def test_a_single_all_of_is_merged() -> None:
    number = Annotated[int, msgspec.Meta(extra_json_schema={"allOf": [{"minimum": 1, "title": "One"}], "title": "Number"})]
    assert schema_of(number)["properties"]["value"] == {"type": "integer", "minimum": 1, "title": "Number"}


def test_extra_fields_of_a_model_are_closed() -> None:
    assert schema_of(Open)["additionalProperties"] is False


def test_a_schema_is_the_callers_own_copy() -> None:
    schema_of(Point)["properties"].clear()
    assert schema_of(Point)["properties"]


# What has no schema.


class Callback(msgspec.Struct):
    then: Callable[[int], int]


class Calls(msgspec.Struct):
    each: list[Callback]


@dataclasses.dataclass
class TwoKinds:
    either: Point | Attrs


class Loose(TypedDict):
    rows: list[dict[str, int]]


class AnyThing(msgspec.Struct):
    it: Any


class Endless(msgspec.Struct):
    inner: "Endless"


class Unresolved(msgspec.Struct):
    it: "Missing"  # type: ignore[name-defined]  # noqa: F821


class Plain:
    x: int


class CallingModel(pydantic.BaseModel):
    then: Callable[[int], int]


class Sealed(pydantic.BaseModel):
    it: Any


@pytest.mark.parametrize(
    "cls, words",
    [
        (Calls, "Calls.each[].then has no JSON schema: type <class 'collections.abc.Callable'> is not supported"),
        (CallingModel, "CallingModel.then has no JSON schema"),
        (TwoKinds, "TwoKinds.either has no JSON schema"),
        (list[int] | tuple[int, int], "has no JSON schema"),
        (Loose, "Loose.rows[] is a dict with any keys"),
        (dict[str, dict[str, int]], "dict[str, dict[str, int]][].value is a dict with any keys"),
        (dict, "dict is a dict with any keys"),
        (AnyThing, "AnyThing.it can be any JSON value"),
        (Sealed, "Sealed.it can be any JSON value"),
        (list, "list[] can be any JSON value"),
        (Box, "Box.held can be any JSON value"),
        (Endless, "Endless is infinitely recursive"),
        (Unresolved, "Unresolved has no JSON schema: name 'Missing' is not defined"),
        (Plain, "Plain has no JSON schema"),
        (object, "object has no JSON schema"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_has_no_strict_schema_is_refused_by_the_fields_path(cls: Any, words: str) -> None:
    assert words in refusal(cls)


def test_two_classes_of_one_name_are_refused() -> None:
    class Point(pydantic.BaseModel):
        again: list["Point"] = []

    class Both(msgspec.Struct):
        mine: Point
        other: list[dataclasses.make_dataclass("Point", [("x", int)])]

    assert "two different classes are called Point" in refusal(Both)


def test_a_reference_that_leads_nowhere_is_refused() -> None:
    lost = Annotated[int, msgspec.Meta(extra_json_schema={"$ref": "#/$defs/Nobody"})]
    assert "'Nobody', which it does not define" in refusal(lost)


# Against openai's own converter.


class Leaf(pydantic.BaseModel):
    """A leaf."""

    value: int


class City(pydantic.BaseModel):
    name: str = pydantic.Field(description="as its people call it")
    leaf: Leaf = pydantic.Field(description="the leaf")
    colour: Colour
    nothing: str | None = None
    kind: Literal["city"]


class Tree(pydantic.BaseModel):
    name: str
    children: list["Tree"] = []
    next: Optional["Tree"] = None


class Query(pydantic.BaseModel):
    columns: list[Colour]
    conditions: list[City | Tree]
    limit: int = 10
    when: dt.datetime
    ratio: float = pydantic.Field(gt=0, le=1)


class Wrapping(pydantic.BaseModel, Generic[T]):
    held: T


def normal(node: Any) -> Any:
    """Without what says the same: defaults, which strict mode has no use for."""
    if isinstance(node, list):
        return [normal(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {key: normal(value) for key, value in node.items() if key != "default"}


def used(schema: dict[str, Any]) -> dict[str, Any]:
    """Without definitions that nothing refers to any more."""
    definitions = schema.pop("$defs", {})
    names = {node["$ref"].rpartition("/")[2] for node in nodes({**schema, "$defs": definitions}) if "$ref" in node}
    kept = {name: definitions[name] for name in definitions if name in names}
    return {**schema, "$defs": kept} if kept else schema


@pytest.mark.parametrize(
    "cls", [Leaf, City, Tree, Query, Wrapping[int], Wrapping[list[Leaf]], Model], ids=lambda cls: cls.__name__
)
def test_openai_converts_the_same_model_to_the_same_schema(cls: Any) -> None:
    converter = pytest.importorskip("openai.lib._pydantic", reason="openai is not installed")
    assert schema_of(cls) == used(normal(converter.to_strict_json_schema(cls)))


def without_names(node: Any) -> Any:
    if isinstance(node, list) and all(isinstance(item, str) for item in node):
        return sorted(node)
    if isinstance(node, list):
        return [without_names(item) for item in node]
    if not isinstance(node, dict):
        return node
    if "const" in node:
        node = {**{key: value for key, value in node.items() if key != "const"}, "enum": [node["const"]]}
    return {key: without_names(value) for key, value in node.items() if key not in ("title", "default")}


class PydanticTwin(pydantic.BaseModel):
    x: int
    words: list[str]
    colour: Colour
    kind: Literal["twin"]
    maybe: float | None = None


@dataclasses.dataclass
class DataclassTwin:
    x: int
    words: list[str]
    colour: Colour
    kind: Literal["twin"]
    maybe: float | None = None


@attrs.define
class AttrsTwin:
    x: int
    words: list[str]
    colour: Colour
    kind: Literal["twin"]
    maybe: float | None = None


class StructTwin(msgspec.Struct):
    x: int
    words: list[str]
    colour: Colour
    kind: Literal["twin"]
    maybe: float | None = None


class TypedDictTwin(TypedDict):
    x: int
    words: list[str]
    colour: Colour
    kind: Literal["twin"]
    maybe: float | None


@pytest.mark.parametrize("cls", [DataclassTwin, AttrsTwin, StructTwin, TypedDictTwin])
def test_the_same_fields_in_another_kind_of_class_are_the_same_schema(cls: Any) -> None:
    converter = pytest.importorskip("openai.lib._pydantic", reason="openai is not installed")
    ours, theirs = schema_of(cls), converter.to_strict_json_schema(PydanticTwin)
    assert without_names(ours) == without_names(theirs)
    assert list(ours["properties"]) == ours["required"] == theirs["required"]


# Any type made of these, with values of it.

NUMBERS = itertools.count()  # for names: no two classes have the same
Typed = tuple[Any, st.SearchStrategy[Any]]
SCALARS: list[Typed] = [
    (int, st.integers(-(2**53), 2**53)),
    (str, st.text(max_size=5)),
    (bool, st.booleans()),
    (Colour, st.sampled_from(Colour)),
    (Literal["a", "b"], st.sampled_from(["a", "b"])),
]


def lists(inner: Typed) -> Typed:
    return list[inner[0]], st.lists(inner[1], max_size=3)


def optional(inner: Typed) -> Typed:
    return Optional[inner[0]], st.none() | inner[1]


def structs(inner: list[Typed]) -> Typed:
    names = [f"f{number}" for number in range(len(inner))]
    cls = msgspec.defstruct(f"Made{next(NUMBERS)}", [(name, typed[0]) for name, typed in zip(names, inner, strict=True)])
    return cls, st.builds(cls, *(values for _, values in inner))


def dataclasses_of(inner: list[Typed]) -> Typed:
    cls = dataclasses.make_dataclass(f"Made{next(NUMBERS)}", [(f"f{number}", typed[0]) for number, typed in enumerate(inner)])
    return cls, st.builds(cls, *(values for _, values in inner))


def deeper(inner: st.SearchStrategy[Typed]) -> st.SearchStrategy[Typed]:
    several = st.lists(inner, min_size=1, max_size=3)
    return inner.map(lists) | inner.map(optional) | several.map(structs) | several.map(dataclasses_of)


@given(st.recursive(st.sampled_from(SCALARS), deeper, max_leaves=6), st.data())
def test_any_value_of_any_type_fits_its_schema(typed: Typed, data: st.DataObject) -> None:
    cls, values = typed
    schema = schema_of(cls)
    assert faults(schema) == []
    plain = msgspec.json.decode(msgspec.json.encode(data.draw(values)))
    wrapped = "properties" in schema and list(schema["properties"]) == ["value"]
    validator_for(schema).validate({"value": plain} if wrapped else plain)
