"""Who is measured, and in which environment. Standard library alone: the contenders' own modules import the rest.

A contender's module has some of these names; what it lacks is recorded as not offered:

    connect(base_url) -> client            inside the event loop; no request yet
    async read(client, model) -> int       a streamed call, read to its end; returns how many chunks had text
    async read_first(client, model) -> float     the same; returns `perf_counter()` when the first text was there
    async whole(client, model) -> int      a call that is not streamed; returns the text's length
    async close(client)
    connect_sync(base_url) -> client, read_sync(client, model) -> int, close_sync(client)
    async read_handler(count) -> int       a streamed call of a handler of the user's that yields so many pieces

Each is written as its library's documentation shows it, with keys and retries set so that nothing but the call is
measured, and with room for as many connections as there are calls.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[2] / "pyproject.toml"

MESSAGES = [
    {"role": "system", "content": "You are a helpful assistant."},
    {"role": "user", "content": "Say something, and take your time: I read as it comes."},
]
WORDS = (" a", " handler", " of", " the", " user's", " says", " this", ".")  # LiteLLM takes one word, repeated, for a fault
API_KEY = "sk-no-key-is-needed-here"


@dataclass(frozen=True)
class Contender:
    """One row of the tables.

    Attributes:
        name: as shown.
        module: in `benchmarks.contenders`.
        group: the environment it runs in.
        statement: the import its users write, for the measure of imports; "" where there is none.
        floor: the contender that it is compared to.
        in_quick: whether a quick run has the time for it.
    """

    name: str
    module: str
    group: str
    statement: str = ""
    loop: str = "asyncio"
    floor: str = "floor"
    in_quick: bool = True


def _on_loops(name: str, module: str, loops: str, **more: Any) -> list[Contender]:
    """A contender on several loops; its floor is the one on the same."""
    contenders: list[Contender] = []
    for loop in loops.split():
        suffix = "" if loop == "asyncio" else f" {loop}"
        contenders.append(Contender(f"{name}{suffix}", module, "own", loop=loop, floor=f"floor{suffix}", **more))
        more.pop("statement", None)
    return contenders


_ALL = [
    *_on_loops("floor", "floor", "asyncio uvloop", statement="import asyncio, httptools, msgspec"),
    *_on_loops("floor", "floor_trio", "trio"),
    *_on_loops("lower floor", "floor_buffered", "asyncio uvloop", in_quick=False),
    *_on_loops("tokenwire", "tokenwire_acompletion", "asyncio uvloop trio", statement="from tokenwire import acompletion"),
    *_on_loops("tokenwire astreaming", "tokenwire_astreaming", "asyncio", statement="from tokenwire import astreaming"),
    *_on_loops("tokenwire astreaming", "tokenwire_astreaming", "uvloop trio", in_quick=False),
    Contender("httpx + httpx-sse", "httpx_sse", "own", "import httpx, httpx_sse"),
    Contender("openai", "openai", "openai", "from openai import AsyncOpenAI"),
    Contender("openai[aiohttp]", "openai_aiohttp", "openai", in_quick=False),
    Contender("any-llm", "any_llm", "any-llm", "from any_llm import AnyLLM", in_quick=False),
    Contender("litellm", "litellm", "litellm", "from litellm import acompletion"),
]
CONTENDERS = {contender.name: contender for contender in _ALL}


@dataclass(frozen=True)
class Group:
    """An environment: what is installed into it, and whose versions a report names."""

    requirements: tuple[str, ...]
    shown: tuple[str, ...]


def _own_requirements() -> tuple[str, ...]:
    """What tokenwire needs, the two other loops, and certificates for the server; tokenwire itself runs from `src`."""
    project = tomllib.loads(PROJECT.read_text("utf-8"))["project"]
    return (*project["dependencies"], "trio>=0.27", "trustme>=1.2", "uvloop>=0.21")


def groups() -> dict[str, Group]:
    """The environments by name. Their pins conflict, so each is alone."""
    return {
        "own": Group(_own_requirements(), ("anyio", "httptools", "httpx", "httpx-sse", "msgspec", "trio", "uvloop")),
        "openai": Group(("openai[aiohttp]>=3,<4",), ("openai", "httpx", "httpx2", "aiohttp", "pydantic")),
        "any-llm": Group(("any-llm-sdk[openai]",), ("any-llm-sdk", "openai", "httpx", "pydantic")),
        "litellm": Group(("litellm",), ("litellm", "openai", "httpx", "aiohttp", "pydantic")),
    }
