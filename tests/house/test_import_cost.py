"""Users pay for what they use: what `from tokenwire import acompletion` loads, measured in a fresh interpreter."""

import subprocess
import sys

import pytest

MOST_MODULES = 200  # in sys.modules, the interpreter's own included
LATER = ("httpx", "httpcore", "httptools", "asyncio", "ssl", "trio", "uvloop", "starlette", "rich", "opentelemetry", "pydantic")


def loaded_by(statement: str) -> set[str]:
    """The modules in sys.modules after the statement."""
    script = f"{statement}; import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=60)
    return set(done.stdout.split())


def test_the_import_is_light() -> None:
    if "ssl" in loaded_by("import anyio"):
        pytest.skip("this release of anyio loads some 90 modules more than those since 4.15")
    loaded = loaded_by("from tokenwire import acompletion")
    own = sorted(name for name in loaded if name.startswith("tokenwire"))
    assert len(loaded) <= MOST_MODULES, f"{len(loaded)} modules are loaded, these of ours among them: {own}"


@pytest.mark.parametrize(
    "statement", ["import tokenwire", "from tokenwire import acompletion", "from tokenwire import CustomLLM, completion"]
)
def test_what_a_call_may_need_is_not_loaded_yet(statement: str) -> None:
    loaded = loaded_by(statement) - loaded_by("import anyio, msgspec")  # old releases of anyio load ssl themselves
    assert [name for name in LATER if name in loaded] == []


def test_an_import_starts_nothing() -> None:
    script = (
        "import tokenwire, sys, threading\n"
        "for name in tokenwire.__all__:\n"
        "    getattr(tokenwire, name)\n"
        "sys.exit(threading.active_count() - 1)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True, timeout=60)
