"""Every import stays inside the rooms that its own room may know.

Read from the source, imports inside functions and under `TYPE_CHECKING` included: what a room knows lazily it still
knows. The tables mirror the house table of the design; a new room or a new way from one room to another is a decision,
and is made here.
"""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import tokenwire

PACKAGE = Path(tokenwire.__file__).parent
PUBLIC = "the public API"  # the package itself, and the modules it documents
PACKAGE_ITSELF = ""  # for names that users rebind on it: custom_provider_map

DATA = frozenset({"exceptions", "types", "_settings"})
CALL = DATA | {"_request", "_routing", "_call", "_stream", "llms"}
FACE = CALL | {"_pools", "_client", "_api"}

# Which rooms a room may import. Room: a module or package directly under tokenwire.
ROOMS: dict[str, frozenset[str]] = {
    "_version": frozenset(),  # one constant, which every room may send along
    "exceptions": frozenset(),
    "types": frozenset(),
    "_settings": frozenset({"exceptions"}),
    "wire": frozenset({"types", "exceptions"}),
    "http": frozenset({"exceptions"}),
    "llms": DATA | {"wire", "http"},
    "_request": DATA,
    "_routing": DATA | {"llms", PACKAGE_ITSELF},
    "_stream": DATA | {"wire"},
    "_log": frozenset({"exceptions", "types"}),
    "_call": DATA | {"_log", "_request", "_routing", "_stream", "llms"},
    "_pools": frozenset({"http"}),
    "_client": CALL | {"http", "_pools"},
    "_api": CALL | {"_client"},
    "_sync": FACE,
    "testing": frozenset({"types", "wire", "exceptions"}),
    "server": frozenset({PUBLIC}),
    "cli": frozenset({PUBLIC, "server", "testing"}),
}

# What the public API consists of, beside the names in tokenwire.__all__.
PUBLIC_MODULES = ("exceptions", "types", "types.utils", "llms.base", "llms.custom_llm")

# Which foreign packages a room may import. The standard library is free, but for the loops and threads that ruff bans.
FOREIGN: dict[str, frozenset[str]] = {
    "exceptions": frozenset(),
    "types": frozenset({"msgspec"}),
    "_settings": frozenset({"msgspec"}),
    "wire": frozenset({"msgspec"}),
    "http": frozenset({"anyio", "httpx", "httptools", "msgspec", "trio"}),  # trio in _trio.py, as ruff's TID251 sees to
    "llms": frozenset({"anyio", "httpx", "httpx_sse", "msgspec", "trio"}),  # here too
    "_request": frozenset({"msgspec"}),
    "_routing": frozenset(),
    "_stream": frozenset({"anyio", "msgspec"}),
    "_log": frozenset(),
    "_call": frozenset({"anyio", "msgspec", "opentelemetry"}),
    "_pools": frozenset({"anyio", "httpx"}),
    "_client": frozenset(),
    "_api": frozenset({"anyio", "msgspec"}),
    "_sync": frozenset({"anyio"}),
    "testing": frozenset({"anyio", "httptools", "msgspec", "pytest", "trio", "uvloop"}),  # the last three if they are there
    "server": frozenset({"anyio", "msgspec", "prometheus_client", "uvicorn", "yaml"}),
    "cli": frozenset({"anyio", "msgspec", "rich", "uvicorn"}),
}

# What parses and decides does no input or output, so that a test can feed it at any pace.
NO_IO = ("wire", "types", "exceptions", "_settings", "http/protocol.py", "http/pool.py")
IO_MODULES = frozenset(
    {"anyio", "asyncio", "httpx", "multiprocessing", "requests", "select", "selectors", "sniffio"}
    | {"socket", "ssl", "subprocess", "threading", "trio", "urllib.request.urlopen", "uvloop", "http.client"}
)
# httpx's exceptions are the transport's vocabulary, also where it parses.
NO_IO_EXCEPTIONS = {("http/protocol.py", "httpx")}


@dataclass(frozen=True)
class Import:
    """One import statement's target: an absolute module, and the name taken from it."""

    source: Path
    line: int
    module: str
    name: str | None
    unseen: bool = False  # under `if TYPE_CHECKING:`, so that it is not there when the code runs

    @property
    def room(self) -> str:
        return room_of(self.source)

    @property
    def own(self) -> bool:
        return self.module.split(".")[0] == "tokenwire"

    @property
    def target(self) -> str:
        """The module meant, in dotted form from below tokenwire; "" for the package itself."""
        inside = self.module.split(".")[1:]
        if self.name and is_module((*inside, self.name)):
            inside.append(self.name)
        return ".".join(inside)

    def __str__(self) -> str:
        return f"{self.source.relative_to(PACKAGE)}:{self.line} imports {self.module}{f'.{self.name}' if self.name else ''}"


def room_of(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def is_module(parts: tuple[str, ...]) -> bool:
    path = PACKAGE.joinpath(*parts)
    return path.is_dir() or path.with_suffix(".py").is_file()


def sources() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py"))


def imports_of(path: Path) -> Iterator[Import]:
    package = ("tokenwire", *path.relative_to(PACKAGE).parent.parts)
    tree = ast.parse(path.read_text("utf-8"))
    unseen = {id(node) for branch in type_checking_branches(tree) for node in ast.walk(branch)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(path, node.lineno, alias.name, None, id(node) in unseen)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*base, *([node.module] if node.module else ())))
            for alias in node.names:
                yield Import(path, node.lineno, module, alias.name, id(node) in unseen)


def type_checking_branches(tree: ast.Module) -> Iterator[ast.stmt]:
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            yield from node.body


def all_imports() -> list[Import]:
    return [found for path in sources() for found in imports_of(path)]


def is_allowed(found: Import) -> bool:
    """Whether the house table lets `found.room` know `found.target`."""
    target = found.target
    room, allowed = target.split(".")[0], ROOMS[found.room]
    if room in (found.room, "_version", *allowed):
        return True
    public_name = target == PACKAGE_ITSELF and (found.name == "__version__" or not (found.name or "").startswith("_"))
    return PUBLIC in allowed and (public_name or target in PUBLIC_MODULES)


def test_every_module_is_in_a_room() -> None:
    rooms = {room_of(path) for path in sources()} - {"__init__", "__main__"}
    assert rooms - ROOMS.keys() == set()


def test_imports_point_down() -> None:
    own = [found for found in all_imports() if found.own and found.room not in ("__init__", "__main__")]
    assert own, "the source was not read"
    assert [str(found) for found in own if not is_allowed(found)] == []


def is_allowed_foreign(found: Import) -> bool:
    package = found.module.split(".")[0]
    if found.unseen and package == "typing_extensions":  # every type checker knows it, installed or not
        return True
    return package in sys.stdlib_module_names or package in FOREIGN.get(found.room, ())


def test_only_the_rooms_that_need_them_import_foreign_packages() -> None:
    foreign = [found for found in all_imports() if not found.own and not is_allowed_foreign(found)]
    assert [str(found) for found in foreign] == []


def test_what_parses_and_decides_does_no_io() -> None:
    quiet = [
        found
        for found in all_imports()
        if found.source.relative_to(PACKAGE).as_posix().startswith(NO_IO)
        and (found.source.relative_to(PACKAGE).as_posix(), found.module) not in NO_IO_EXCEPTIONS
        and {found.module, found.module.split(".")[0], f"{found.module}.{found.name}"} & IO_MODULES
    ]
    assert [str(found) for found in quiet] == []


def test_the_environment_is_read_in_one_place() -> None:
    readers = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in sources()
        if room_of(path) not in ("_settings", "cli")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if (isinstance(node, ast.Attribute) and node.attr in ("environ", "environb", "getenv"))
        or (isinstance(node, ast.ImportFrom) and node.module == "os" and {a.name for a in node.names} & {"environ", "getenv"})
    ]
    assert readers == []


def test_the_table_has_no_circle() -> None:
    assert set(TopologicalSorter(ROOMS).static_order()) >= ROOMS.keys()


@pytest.mark.parametrize(
    "statement",
    [
        "from ..http import transport",
        "import tokenwire.http.transport",
        "from tokenwire import _api",
        "def later():\n    from .. import _call",
    ],
)
def test_an_import_that_points_up_is_found(statement: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "wire").mkdir()
    for name in ("_api.py", "_call.py", "http/transport.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    path = tmp_path / "wire" / "sse.py"
    path.write_text(statement, "utf-8")
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path)
    assert [is_allowed(found) for found in imports_of(path)] == [False]
