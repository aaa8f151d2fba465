"""Every import stays inside the rooms that its own room may know.

Read from the source, imports inside functions and under `TYPE_CHECKING` included: what a room knows lazily it still
knows. The tables mirror the house table of the design; a new room or a new way from one room to another is a decision,
and is made here.
"""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import tokenwire

PACKAGE = Path(tokenwire.__file__).parent
PUBLIC = "the public API"  # the package itself, and the modules it documents
PACKAGE_ITSELF = ""  # for names that users rebind on it: custom_provider_map

DATA = frozenset({"exceptions", "types", "_settings"})

# Which rooms a room may import. Room: a module or package directly under tokenwire.
ROOMS: dict[str, frozenset[str]] = {
    "_version": frozenset(),  # one constant, which every room may send along
    "_absent": frozenset(),  # a table, which the package itself reads
    "_reading": frozenset(),
    "exceptions": frozenset(),
    "schemas": frozenset({"exceptions"}),
    "types": frozenset({"exceptions", "schemas"}),  # of schemas: the arguments of a tool call, when they are asked for
    "_settings": frozenset({"exceptions"}),
    "_keywords": frozenset({"exceptions"}),  # a table, which the server must know to keep clients from it
    "_loops": frozenset({"_reading"}),
    "wire": frozenset({"types", "exceptions"}),
    "http": frozenset(
        {"_loops", "_reading", "_settings", "exceptions", "types", "wire"}
    ),  # of wire: the parser of its sse_client
    "results": frozenset({"exceptions", "schemas", "types", "wire"}),
    "llms": DATA | {"_loops", "_reading", "http", "results", "wire"},
    "_otel": DATA | {"_version", "llms"},  # of llms: what a call is, before anybody answers
    "_calls": DATA | {"_keywords", "_loops", "_otel", "_reading", "llms", "results", "schemas", "wire"},
    "integrations": frozenset(),  # names of LiteLLM's, for users' own loggers
    "jobs": DATA | {"_calls", "_loops", "_reading", "wire", PUBLIC},  # of wire: the dialects of a file's lines
    "ray": frozenset({PUBLIC, "jobs", "types"}),
    "_client": DATA | {"_calls", "_loops", "http", "jobs", "llms", "wire"},  # of jobs: `map`, when it is called
    "_sync": DATA | {"_calls", "_client", "results"},
    "testing": frozenset({"types", "wire", "exceptions"}),
    # of _loops: a client's leaving; of _otel: the spans of requests; of http: what decompresses bodies; of wire: the dialects
    "server": frozenset({PUBLIC, "_keywords", "_loops", "_otel", "_settings", "http", "wire"}),
    "bench": frozenset({PUBLIC, "jobs"}),  # of jobs: what reads a file of calls
    "cli": frozenset({PUBLIC, "bench", "jobs", "server", "testing"}),
}

# What a room may name besides, under `TYPE_CHECKING` alone: the types of what passes through its public names.
UNSEEN: dict[str, frozenset[str]] = {"exceptions": frozenset({"types"}), "types": frozenset({"_settings"})}

# What the public API consists of, beside the names in tokenwire.__all__.
PUBLIC_MODULES = ("exceptions", "types", "types.utils", "integrations.custom_logger", "llms.base", "llms.custom_llm")

# Which foreign packages a room may import. The standard library is free, but for the loops and threads that ruff bans.
FOREIGN: dict[str, frozenset[str]] = {
    "_reading": frozenset(),
    "exceptions": frozenset(),
    "types": frozenset({"msgspec"}),
    "_settings": frozenset({"msgspec"}),
    "_keywords": frozenset(),
    "_loops": frozenset({"anyio", "httpx", "trio"}),  # trio where ruff's TID251 lets it be
    "wire": frozenset({"msgspec"}),
    "http": frozenset({"anyio", "httpx", "httpx2", "httpx_sse", "httptools", "msgspec"}),
    "schemas": frozenset({"msgspec", "pydantic"}),  # the latter for the models of those who use it
    "results": frozenset({"msgspec"}),
    "llms": frozenset({"anyio", "httpx", "msgspec"}),
    "_otel": frozenset({"msgspec", "opentelemetry"}),
    "_calls": frozenset({"anyio", "msgspec"}),
    "jobs": frozenset({"anyio", "msgspec", "zstandard"}),
    "ray": frozenset({"anyio", "pyarrow", "ray"}),
    "_client": frozenset({"anyio", "httpx"}),
    "_sync": frozenset({"anyio", "msgspec"}),
    "testing": frozenset({"anyio", "httptools", "msgspec", "pytest", "trio", "uvloop"}),  # the last three if they are there
    "server": frozenset({"anyio", "httptools", "httpx", "msgspec", "prometheus_client", "python_multipart", "uvicorn", "yaml"}),
    "bench": frozenset({"anyio", "matplotlib", "msgspec"}),
    "cli": frozenset({"anyio", "msgspec", "rich", "shtab", "uvicorn"}),
}

# What parses and decides does no input or output, so that a test can feed it at any pace.
NO_IO = ("wire", "types", "exceptions", "_settings", "results", "schemas", "http/protocol.py", "http/pool.py")
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


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def imports_of(path: Path) -> Iterator[Import]:
    package = ("tokenwire", *path.relative_to(PACKAGE).parent.parts)
    tree = tree_of(path)
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


@cache
def all_imports() -> list[Import]:
    return [found for path in sources() for found in imports_of(path)]


def is_allowed(found: Import) -> bool:
    """Whether the house table lets `found.room` know `found.target`."""
    target = found.target
    room, allowed = target.split(".")[0], ROOMS[found.room]
    if room in (found.room, "_version", *allowed) or (found.unseen and room in UNSEEN.get(found.room, ())):
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
    if found.unseen and package in ("httpx", "typing_extensions"):  # every type checker knows the latter, installed or not
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
        and not found.unseen
        and {found.module, found.module.split(".")[0], f"{found.module}.{found.name}"} & IO_MODULES
    ]
    assert [str(found) for found in quiet] == []


def test_the_environment_is_read_in_one_place() -> None:
    readers = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in sources()
        if room_of(path) not in ("_settings", "cli")
        for node in ast.walk(tree_of(path))
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
        "from tokenwire import _calls",
        "def later():\n    from .. import _client",
    ],
)
def test_an_import_that_points_up_is_found(statement: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "wire").mkdir()
    for name in ("_calls/whole.py", "_client/client.py", "http/transport.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    path = tmp_path / "wire" / "sse.py"
    path.write_text(statement, "utf-8")
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path)
    assert [is_allowed(found) for found in imports_of(path)] == [False]


# A name with a leading underscore belongs to the room that defines it.


def is_private(name: str | None) -> bool:
    return name is not None and name.startswith("_") and not name.startswith("__")


def privates_of(path: Path) -> set[str]:
    """The private names that a module defines: functions, classes, variables, and what it sets on objects of its own."""
    defined: set[str] = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            defined.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            defined.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and is_own(node.value):
            defined.add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
            defined.add(node.value)  # as in __slots__
    return {name for name in defined if is_private(name)}


def is_own(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


def foreign_privates(paths: list[Path]) -> list[str]:
    """Where a module uses a private name that another room defines, and its own does not."""
    owners: dict[str, set[str]] = {}
    for path in paths:
        for name in privates_of(path):
            owners.setdefault(name, set()).add(room_of(path))
    found: list[str] = []
    for path in paths:
        where = path.relative_to(PACKAGE)
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Attribute) and is_private(node.attr) and not is_own(node.value):
                rooms = owners.get(node.attr, {room_of(path)})
                found += [f"{where}:{node.lineno} .{node.attr}"] if room_of(path) not in rooms else []
        for imported in imports_of(path):
            elsewhere = imported.own and imported.target.split(".")[0] not in (room_of(path), PACKAGE_ITSELF)
            a_room = imported.module == "tokenwire" and imported.name is not None and is_module((imported.name,))
            if elsewhere and is_private(imported.name) and not a_room:
                found.append(f"{where}:{imported.line} {imported.name}")
    return found


def test_no_room_uses_anothers_private_names() -> None:
    assert foreign_privates(sources()) == []


@pytest.mark.parametrize(
    "statement",
    [
        "from ..types._record import _hidden",
        "from ..types import _record",
        "def look(record):\n    return record._origin",
        "import tokenwire\ndef tell(record):\n    record._origin = 1",
    ],
)
def test_a_foreign_private_name_is_found(statement: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    record = tmp_path / "types" / "_record.py"
    decoder = tmp_path / "wire" / "chunks.py"
    for path, text in ((record, 'class Record:\n    __slots__ = ("_origin",)\n_hidden = 1'), (decoder, statement)):
        path.parent.mkdir()
        path.write_text(text, "utf-8")
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path)
    assert len(foreign_privates([record, decoder])) == 1
    assert foreign_privates([record]) == []
