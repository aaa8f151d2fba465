"""What is shipped: the wheel holds the package and nothing else, the sdist what it takes to test it."""

import ast
import importlib.util
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import tokenwire

ROOT = Path(__file__).parents[2]
IMPORT_NAMES = {"opentelemetry-api": "opentelemetry", "pyyaml": "yaml"}  # where it is not the package's own name
CORE = {"anyio", "httptools", "httpx", "httpx-sse", "msgspec"}
MOST_BYTES = {".whl": 650_000, ".gz": 2_000_000}  # the sdist has the tests, which are twice the package
SDIST = {"src", "tests", "benchmarks", "README.md", "LICENSE", "pyproject.toml", "PKG-INFO", ".gitignore"}

needs_build = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("build", "hatchling")) or not (ROOT / "README.md").is_file(),
    reason="build and hatchling are not installed, or this is no complete source tree",
)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist and the wheel built from it, without a network: hatchling comes with the test extra."""
    into = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(into), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return into


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def test_the_core_needs_five_packages() -> None:
    assert {name.split(">=")[0] for name in project()["dependencies"]} == CORE


@cache
def imported(folder: str) -> set[str]:
    """The packages that any module below a folder imports."""
    names: set[str] = set()
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                names.update(alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add((node.module or "").partition(".")[0])
    return names


def test_an_extra_brings_what_some_module_imports() -> None:
    """Those of the library are imported by the library; those of the benchmarks by them."""
    users = {
        extra: "benchmarks" if extra == "bench" else "src" for extra in project()["optional-dependencies"] if extra != "test"
    }
    assert users.keys() >= {"server", "cli", "bench"}
    needless = [
        f"{extra}: {name}"
        for extra, folder in users.items()
        for name in (re.split("[>=<;\\[ ]", wanted)[0] for wanted in project()["optional-dependencies"][extra])
        if IMPORT_NAMES.get(name, name.replace("-", "_")) not in imported(folder)
    ]
    assert needless == []


@needs_build
def test_the_wheel_holds_the_package_and_nothing_else(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    shipped = {path for path in (ROOT / "src").rglob("*") if path.is_file() and path.suffix != ".pyc"}
    assert names == {path.relative_to(ROOT / "src").as_posix() for path in shipped if ".egg-info" not in str(path)}
    assert "tokenwire/py.typed" in names


@needs_build
def test_the_wheel_carries_version_licence_script_and_extras(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        text = {
            name.split(".dist-info/")[1]: archive.read(name).decode() for name in archive.namelist() if ".dist-info/" in name
        }
    assert f"\nVersion: {tokenwire.__version__}\n" in text["METADATA"]
    assert "MIT License" in text["licenses/LICENSE"]
    assert "tokenwire = tokenwire.cli:main" in text["entry_points.txt"]
    for extra in ("server", "cli", "test", "bench"):
        assert f"Provides-Extra: {extra}\n" in text["METADATA"]


@needs_build
def test_the_sdist_holds_what_it_takes_to_test(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = [name.split("/", 1)[1] for name in archive.getnames() if "/" in name]
    assert {name.split("/")[0] for name in names} <= SDIST
    assert {"README.md", "LICENSE", "pyproject.toml", "tests/conftest.py", "src/tokenwire/__init__.py"} <= set(names)
    assert [name for name in names if name.endswith((".pyc", ".gguf", ".so"))] == []


@needs_build
def test_both_are_small(built: Path) -> None:
    sizes = {path.name: path.stat().st_size for path in built.iterdir()}
    assert [f"{name}: {size} bytes" for name, size in sizes.items() if size > MOST_BYTES[Path(name).suffix]] == []
