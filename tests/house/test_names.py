"""The names that users were promised exist, load lazily, and say what they are for."""

import ast
import importlib
import inspect
import pkgutil
import pydoc
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import tokenwire
from tokenwire import exceptions

FUNCTIONS = """
    completion acompletion streaming astreaming text_completion atext_completion embedding aembedding image_generation
    aimage_generation image_edit aimage_edit list_models alist_models get_llm_provider get_supported_openai_params stream_chunk_builder register
    aconnect_sse aclose map amap batch_completion abatch_completion
""".split()

CLASSES = """
    AsyncClient Client Gate AsyncStream Stream Result Timeouts Limits RetryPolicy Hedge Deployments CustomLLM CustomLLMError EventSource
    ServerSentEvent Partial PartialJSON
    SSEError ModelResponse ModelResponseStream GenericStreamingChunk TextCompletionResponse EmbeddingResponse ImageResponse
""".split()

PROMISED = {*FUNCTIONS, *CLASSES, *exceptions.__all__, "custom_provider_map"}

# LiteLLM's paths: code that imports from them needs no more than another package name.
PATHS = [
    ("tokenwire.types.utils", ["GenericStreamingChunk", "ModelResponse", "ImageResponse", "ImageObject", "EmbeddingResponse"]),
    ("tokenwire.llms.base", ["BaseLLM"]),
    ("tokenwire.llms.custom_llm", ["CustomLLM", "CustomLLMError"]),
    ("tokenwire.exceptions", exceptions.__all__),
]

# Extras that an installation may lack are imported by the tests of their own rooms.
PUBLIC_MODULES = ["tokenwire", "tokenwire.exceptions", "tokenwire.types", "tokenwire.llms.custom_llm", "tokenwire.testing"]


def public_modules() -> list[ModuleType]:
    return [importlib.import_module(name) for name in PUBLIC_MODULES]


def public_things() -> dict[str, object]:
    """Every public class and function, and the public methods that a class defines itself, by dotted name."""
    found: dict[str, object] = {}
    for module in public_modules():
        for name in getattr(module, "__all__", ()):
            thing = getattr(module, name)
            if not (inspect.isclass(thing) or inspect.isroutine(thing)) or not is_ours(thing):
                continue
            found[f"{module.__name__}.{name}"] = thing
            if inspect.isclass(thing):
                found.update({f"{module.__name__}.{name}.{key}": member for key, member in own_members(thing)})
    return found


def is_ours(thing: object) -> bool:
    return getattr(thing, "__module__", "").startswith("tokenwire")


def own_members(cls: type) -> list[tuple[str, object]]:
    kinds = (staticmethod, classmethod, property)
    return [
        (name, member)
        for name, member in vars(cls).items()
        if not name.startswith("_") and (inspect.isroutine(member) or isinstance(member, kinds))
    ]


@pytest.mark.parametrize("name", sorted(PROMISED))
def test_promised_names_are_public(name: str) -> None:
    assert name in tokenwire.__all__
    assert getattr(tokenwire, name) is not None


@pytest.mark.parametrize("module, names", PATHS, ids=[module for module, _ in PATHS])
def test_promised_paths_exist(module: str, names: list[str]) -> None:
    found = importlib.import_module(module)
    assert [name for name in names if not hasattr(found, name)] == []


def test_no_name_is_public_twice() -> None:
    names = list(tokenwire.__all__)
    assert [name for name in set(names) if names.count(name) > 1] == []


def test_dir_shows_every_public_name() -> None:
    assert set(tokenwire.__all__) <= set(dir(tokenwire))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = tokenwire.no_such_name  # pyright: ignore[reportAttributeAccessIssue]


def test_the_package_and_its_exceptions_name_the_same_things() -> None:
    assert [name for name in exceptions.__all__ if getattr(tokenwire, name) is not getattr(exceptions, name)] == []


def test_every_name_loads_by_itself() -> None:
    """One of each module, with nothing else of the package loaded: none leans on another's import."""
    script = (
        "import sys, tokenwire\n"
        "homes = {getattr(getattr(tokenwire, name), '__module__', name): name for name in tokenwire.__all__}\n"
        "for name in homes.values():\n"
        "    for module in [m for m in sys.modules if m.split('.')[0] == 'tokenwire']:\n"
        "        del sys.modules[module]\n"
        "    exec(f'from tokenwire import {name}')\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True, timeout=120)


def test_loading_a_name_once_makes_it_a_plain_attribute() -> None:
    """A lazy name costs a look-up through `__getattr__` once, not on every call."""
    for name in tokenwire.__all__:
        getattr(tokenwire, name)
    assert [name for name in tokenwire.__all__ if name not in vars(tokenwire)] == []


def test_public_modules_describe_themselves() -> None:
    assert [module.__name__ for module in public_modules() if not module.__doc__] == []


def test_everything_public_has_a_docstring() -> None:
    assert [name for name, thing in public_things().items() if not inspect.getdoc(thing)] == []


@pytest.mark.parametrize("name", PUBLIC_MODULES)
def test_help_shows_every_public_thing(name: str) -> None:
    """It looks at annotations, where a name that only type checkers know is an error."""
    module = importlib.import_module(name)
    text = pydoc.plain(pydoc.render_doc(module))
    assert [name for name in getattr(module, "__all__", ()) if name not in text] == []


def test_async_twins_take_the_same_parameters() -> None:
    differ = []
    for name in FUNCTIONS:
        if (twin := f"a{name}") in FUNCTIONS:
            ours, theirs = (inspect.signature(getattr(tokenwire, each)).parameters for each in (name, twin))
            if list(ours) != list(theirs):
                differ.append(f"{name} and {twin}: {list(ours)} and {list(theirs)}")
    assert differ == []


def test_every_module_can_be_imported() -> None:
    for found in pkgutil.walk_packages(tokenwire.__path__, "tokenwire."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)


@pytest.mark.parametrize(
    "room, client", [("_client", tokenwire.AsyncClient), ("_sync", tokenwire.Client)], ids=["async", "sync"]
)
def test_the_functions_are_declared_as_the_methods_are(room: str, client: type) -> None:
    """The checker is shown the signatures a second time; both are read from the source, since one never runs."""
    package = Path(tokenwire.__file__).parent / room
    declared = signatures(ast.parse((package / "functions.py").read_text("utf-8")))
    methods = signatures(ast.parse((package / "client.py").read_text("utf-8")))
    assert declared
    assert {name: methods[name] for name in declared} == declared
    assert [name for name in declared if getattr(tokenwire, name).__func__ is not getattr(client, name)] == []


def signatures(tree: ast.Module) -> dict[str, list[str]]:
    """Every function's signatures, overloads first, without `self`."""
    found: dict[str, list[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.args.args = [each for each in node.args.args if each.arg != "self"]
            node.body = []
            found.setdefault(node.name, []).append(ast.unparse(node))
    return found
