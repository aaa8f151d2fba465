"""The contenders and their environments. Only the standard library here: the contenders' own modules import the rest.

A contender's module has some of these names; missing ones are recorded as not offered:

    connect(base_url) -> client            inside the event loop; no request yet
    async read(client, model) -> int       a streamed call, read to its end; returns how many chunks had text
    async read_first(client, model) -> float     the same; returns `perf_counter()` when the first text was there
    async whole(client, model) -> int      a call that is not streamed; returns the text's length
    async read_partials(client, model) -> str    a streamed call whose answer is JSON, looked at as an object whenever more
                                           arrived; returns the text of the last
    async close(client)
    connect_sync(base_url) -> client, read_sync(client, model) -> int, close_sync(client)
    async read_handler(count) -> int       a streamed call of a handler of the user's that yields so many pieces
    async whole_handler() -> int           a call of one that is not streamed; returns the text's length

    async read_kind(client, model, kind) -> int, read_sync_kind(client, model, kind) -> int
                                           as `read` and `read_sync`, of one of `benchmarks.kinds`; returns how many chunks had
                                           what that kind brings
    async read_handler_kind(count, kind) -> int      as `read_handler`, of chunks of that kind
    async serve_kind(count, kind) -> int   a handler's chunks of that kind, served as an ASGI app has it, without a network;
                                           returns how many events were sent

Each is written as its library's documentation shows it, with keys and retries set so that nothing but the call is
measured, and with room for as many connections as there are calls.
"""

import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src"

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
        source: the folder from which it imports tokenwire; None if it does not.
        before_of: the contender of which this one is the earlier version; "" if it is not one.
    """

    name: str
    module: str
    group: str
    statement: str = ""
    loop: str = "asyncio"
    floor: str = "floor"
    in_quick: bool = True
    source: Path | None = None
    before_of: str = ""

    def before(self, checkout: Path) -> "Contender":
        """The same contender with tokenwire from another checkout."""
        return replace(self, name=f"{self.name} before", source=checkout / "src", before_of=self.name)


def _on_loops(name: str, module: str, loops: str, **more: Any) -> list[Contender]:
    """A contender on several loops; its floor is the one on the same loop."""
    contenders: list[Contender] = []
    for loop in loops.split():
        suffix = "" if loop == "asyncio" else f" {loop}"
        contenders.append(Contender(f"{name}{suffix}", module, "own", loop=loop, floor=f"floor{suffix}", **more))
        more.pop("statement", None)
    return contenders


ACOMPLETION, ASTREAMING = "from tokenwire import acompletion", "from tokenwire import astreaming"

_ALL = [
    *_on_loops("floor", "floor", "asyncio uvloop", statement="import asyncio, httptools, msgspec"),
    *_on_loops("floor", "floor_trio", "trio"),
    *_on_loops("floor, all fields", "floor_all_fields", "asyncio", in_quick=False),
    *_on_loops("lower floor", "floor_buffered", "asyncio uvloop", in_quick=False),
    *_on_loops("tokenwire", "tokenwire_acompletion", "asyncio uvloop trio", statement=ACOMPLETION, source=SRC),
    *_on_loops("tokenwire astreaming", "tokenwire_astreaming", "asyncio", statement=ASTREAMING, source=SRC),
    *_on_loops("tokenwire astreaming", "tokenwire_astreaming", "uvloop trio", in_quick=False, source=SRC),
    Contender("httpx + httpx-sse", "httpx_sse", "own", "import httpx, httpx_sse"),
    Contender("openai", "openai", "openai", "from openai import AsyncOpenAI"),
    Contender("openai[aiohttp]", "openai_aiohttp", "openai", in_quick=False),
    Contender("openai over tokenwire", "openai_tokenwire", "openai", floor="openai", in_quick=False, source=SRC),
    Contender("any-llm", "any_llm", "any-llm", "from any_llm import AnyLLM", in_quick=False),
    Contender("jiter at every delta", "jiter_prefix", "openai", in_quick=False),
    Contender("instructor", "instructor", "instructor", in_quick=False),
    Contender("pydantic-ai", "pydantic_ai", "pydantic-ai", in_quick=False),
    Contender("litellm", "litellm", "litellm", "from litellm import acompletion"),
]
CONTENDERS = {contender.name: contender for contender in _ALL}


@dataclass(frozen=True)
class Group:
    """An environment: the packages to install, and those whose versions the report names."""

    requirements: tuple[str, ...]
    shown: tuple[str, ...]


def groups() -> dict[str, Group]:
    """The environments by name. Their pins conflict, so each is alone; tokenwire itself runs from a checkout's `src`."""
    needs = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    own = (*needs, "trio>=0.27", "trustme>=1.2", "uvloop>=0.21")  # two more loops, and certificates for the server
    return {
        "own": Group(own, ("anyio", "httptools", "httpx", "httpx-sse", "msgspec", "trio", "uvloop")),
        "openai": Group(("openai[aiohttp]>=3,<4", *needs), ("openai", "httpx", "httpx2", "aiohttp", "pydantic")),
        "any-llm": Group(("any-llm-sdk[openai]",), ("any-llm-sdk", "openai", "httpx", "pydantic")),
        "instructor": Group(("instructor",), ("instructor", "openai", "jiter", "pydantic")),
        "pydantic-ai": Group(("pydantic-ai-slim[openai]",), ("pydantic-ai-slim", "openai", "jiter", "pydantic")),
        "litellm": Group(("litellm",), ("litellm", "openai", "httpx", "aiohttp", "pydantic")),
    }
