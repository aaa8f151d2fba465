"""A LiteLLM `config.yaml` becomes models and handlers, or one line that says where it is wrong."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tokenwire.server.config import Config, ConfigError, import_handler, read_config

MODELS = """\
model_list:
  - model_name: mine
    litellm_params: {model: my-llm/any}
"""


@pytest.fixture(autouse=True)
def own_modules(tmp_path: Path) -> Iterator[None]:
    """The modules that a test makes are forgotten after it; not those of a library, which would be there twice."""
    modules, path = set(sys.modules), list(sys.path)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Config]:
    def read(text: str | bytes, **environ: str) -> Config:
        path = tmp_path / "config.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_config(path, environ)

    return read


def test_a_file_of_litellms_proxy(read: Any, tmp_path: Path) -> None:
    (tmp_path / "custom_handler.py").write_text("class MyLLM:\n    def completion(self): ...\nmy_custom_llm = MyLLM()\n")
    config = read(
        """
        model_list:
          - model_name: mine
            litellm_params:
              model: my-llm/any
              temperature: 0.2
              rpm: 100
              input_cost_per_token: 0.001
            model_info: {mode: chat}
          - model_name: gpt
            litellm_params: {model: openai/gpt-x, api_base: http://127.0.0.1:1/v1, api_key: os.environ/GPT_KEY, timeout: 9}
        litellm_settings:
          drop_params: true
          custom_provider_map:
            - {provider: my-llm, custom_handler: custom_handler.my_custom_llm}
        general_settings: {master_key: os.environ/MASTER, database_url: os.environ/NOT_THERE}
        router_settings: {routing_strategy: os.environ/NOT_THERE}
        """,
        GPT_KEY="sk-gpt",
        MASTER="sk-master",
        NOT_THERE="unread",
    )
    assert config.models == {
        "mine": {"model": "my-llm/any", "temperature": 0.2},
        "gpt": {"model": "openai/gpt-x", "api_base": "http://127.0.0.1:1/v1", "api_key": "sk-gpt", "timeout": 9},
    }
    assert {provider: type(handler).__name__ for provider, handler in config.handlers.items()} == {"my-llm": "MyLLM"}
    assert config.api_keys == ("sk-master",)
    assert config.skipped == (
        "router_settings",
        "litellm_settings.drop_params",
        "general_settings.database_url",
        "model_list[0].model_info",
        "model_list[0].litellm_params.rpm",
        "model_list[0].litellm_params.input_cost_per_token",
    )


def test_several_of_one_name_share_its_calls(read: Any) -> None:
    config = read(
        """
        model_list:
          - {model_name: m, litellm_params: {model: openai/a, api_base: "http://one/v1", weight: 2, rpm: 9}}
          - {model_name: other, litellm_params: {model: openai/o, weight: 3}}
          - {model_name: m, litellm_params: {model: openai/a, api_base: "http://two/v1"}}
        """
    )
    assert config.models == {
        "m": [
            {"model": "openai/a", "api_base": "http://one/v1", "weight": 2},
            {"model": "openai/a", "api_base": "http://two/v1"},
        ],
        "other": {"model": "openai/o"},
    }
    assert config.skipped == ("model_list[0].litellm_params.rpm", "model_list[1].litellm_params.weight")


def test_a_file_with_little_in_it(read: Any) -> None:
    config = read(MODELS + "litellm_settings:\ngeneral_settings:\n")
    assert config == Config(models={"mine": {"model": "my-llm/any"}}, handlers={}, api_keys=(), skipped=())


def test_what_is_skipped_is_not_looked_up(read: Any) -> None:
    config = read(
        MODELS + "general_settings: {database_url: os.environ/NOT_THERE}\nenvironment_variables: {A: os.environ/NO}\n"
    )
    assert config.skipped == ("environment_variables", "general_settings.database_url")


WRONG = {
    "no YAML": ("model_list: [\n", r"line 2: this is not YAML: "),
    "no UTF-8": (b"\xff", "this is not UTF-8"),
    "empty": ("", "a mapping with model_list was expected"),
    "no models": ("litellm_settings: {}", "Object missing required field model_list"),
    "an empty list": ("model_list: []", "model_list: at least one model was expected"),
    "a section nobody knows": (MODELS + "model_lists: []", "the section 'model_lists' is not known"),
    "a wrong type": (MODELS.replace("my-llm/any", "7"), r"model_list\[0\].litellm_params.model: Expected str, got int"),
    "a key that is none": (
        MODELS.replace("any}", "any, api_key: 1234}"),
        r"model_list\[0\].litellm_params.api_key: Expected str \| null, got int",
    ),
    "no parameters": ("model_list: [{model_name: m}]", r"model_list\[0\]: Object missing required field litellm_params"),
    "an unknown field": (MODELS + "    param: {}", r"model_list\[0\]: Object contains unknown field param"),
    "an unset variable": (
        MODELS.replace("any}", "any, api_key: os.environ/NO_KEY}"),
        r"model_list\[0\].litellm_params.api_key: the environment variable NO_KEY is not set",
    ),
    "an unset master key": (
        MODELS + "general_settings: {master_key: os.environ/NO_KEY}",
        "general_settings.master_key: the environment variable NO_KEY is not set",
    ),
    "an empty master key": (MODELS + "general_settings: {master_key: ''}", "general_settings.master_key: this key is empty"),
    "a wildcard": (MODELS.replace("my-llm/any", '"openai/*"'), r"model_list\[0\]: wildcards are not served"),
    "a weight that is none": (
        MODELS + "  - {model_name: mine, litellm_params: {model: openai/x, weight: 0}}",
        r"model_list\[1\].litellm_params.weight must be a number above 0, not 0",
    ),
    "what only the call can say": (
        MODELS + "  - {model_name: mine, litellm_params: {model: openai/x, num_retries: 3}}",
        r"model_list\[1\].litellm_params must not have num_retries",
    ),
    "no module": (
        MODELS + "litellm_settings: {custom_provider_map: [{provider: p, custom_handler: nowhere.x}]}",
        r"litellm_settings.custom_provider_map\[0\].custom_handler: there is no module 'nowhere'",
    ),
    "no attribute": (
        MODELS + "litellm_settings: {custom_provider_map: [{provider: p, custom_handler: handler}]}",
        r"custom_provider_map\[0\].custom_handler: 'handler' must be MODULE.HANDLER",
    ),
}


@pytest.mark.parametrize("text, message", WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said_with_its_place(text: str | bytes, message: str, read: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        read(text)
    assert str(raised.value).startswith(f"{tmp_path / 'config.yaml'}")
    assert "\n" not in str(raised.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file or directory"):
        read_config(tmp_path / "config.yaml", {})


def test_no_value_of_the_environment_is_shown(read: Any) -> None:
    with pytest.raises(ConfigError) as raised:
        read(
            "model_list: [{model_name: m, litellm_params: {model: a, num_retries: os.environ/S, api_key: [os.environ/S]}}]",
            S="sk",
        )
    assert "sk" not in str(raised.value)


def test_a_handlers_module_is_found_beside_the_file_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    package = tmp_path / "colorsys"  # the standard library has a module of this name
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "sibling.py").write_text("async def answer(messages): yield 'Hi'\n")
    (package / "mine.py").write_text("from .sibling import answer\n")
    assert import_handler("colorsys.mine", "answer", tmp_path).__module__ == "colorsys.sibling"


NO_HANDLERS = {
    "no module": ("nowhere_at_all", "x", "there is no module 'nowhere_at_all' in"),
    "no attribute": ("fine", "x", "the module 'fine' has no attribute 'x'"),
    "no handler": ("fine", "number", "fine.number is not a handler"),
    "a class": ("fine", "Class", "fine.Class is a class; name an instance of it"),
    "what it imports is missing": (
        "lacking",
        "x",
        r"ModuleNotFoundError: No module named 'nowhere_else' \(.*lacking.py, line 2\)$",
    ),
    "litellm is missing": ("proxied", "x", "import from tokenwire instead, which has the same names$"),
    "it fails": ("failing", "x", r"the module 'failing' can't be imported: ZeroDivisionError: .*failing.py, line 1\)$"),
    "its syntax is wrong": ("unwritten", "x", r"SyntaxError: .*\(unwritten.py, line 1\)$"),
}


@pytest.mark.parametrize("module, attribute, message", NO_HANDLERS.values(), ids=NO_HANDLERS)
def test_what_is_no_handler(module: str, attribute: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "litellm", None)
    sources = {
        "fine": "number = 7\nclass Class: ...\n",
        "lacking": "import sys\nimport nowhere_else\n",
        "proxied": "from litellm.types import utils\n",
        "failing": "1 / 0\n",
        "unwritten": "def f(:\n",
    }
    for name, source in sources.items():
        (tmp_path / f"{name}.py").write_text(source)
    with pytest.raises(ConfigError, match=message):
        import_handler(module, attribute, tmp_path)
