"""Reads from a LiteLLM `config.yaml` what answers for each model: `model_list` and `custom_provider_map`.

::

    model_list:
      - model_name: my-model                  # what clients ask for
        litellm_params:
          model: my-llm/any                   # what is called: a handler's model, or "openai/gpt-4o-mini"
          api_key: os.environ/MY_KEY          # read from the environment; any text here can be
          temperature: 0.2                    # any other keyword of the call
    litellm_settings:
      custom_provider_map:
        - {provider: my-llm, custom_handler: custom_handler.my_custom_llm}   # custom_handler.py in this file's folder
    general_settings:
      master_key: os.environ/MASTER_KEY       # clients must send it

Anything else that LiteLLM's proxy reads is skipped and listed in `Config.skipped`; what the proxy does not know either is an
error. A wildcard is an error too: it is not supported here. Several models of one name share its calls, by their `weight`.
"""

import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from tokenwire import BadRequestError, CustomLLM, Deployments, _keywords

METHODS = tuple(name for name in dir(CustomLLM) if not name.startswith("_"))  # a handler has one of them, or is a function
ENVIRONMENT = "os.environ/"

# The sections that LiteLLM's proxy reads and this server does not use.
OTHER_SECTIONS = frozenset(
    """
    agent_list agents assistant_settings callback_settings credential_list default_vertex_config environment_variables
    files_settings finetune_settings guardrails include mcp_aliases mcp_servers mcp_tools pass_through_endpoints plugins
    policies policy_attachments prompts router_settings sandbox_tools search_tools vector_store_registry worker_registry
    """.split()
)


class ConfigError(Exception):
    """The models or handlers can't be served; the message says why, in one line."""


class Config(msgspec.Struct, frozen=True):
    """The models that are served, and the keys of those who may use them.

    Attributes:
        models, handlers: as `create_app` takes them.
        api_keys: the keys that clients may send; empty if clients need none.
        skipped: the parts of the file that this server does not use, as paths such as "router_settings".
    """

    models: dict[str, Any]
    handlers: dict[str, Any] = {}
    api_keys: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()


class _Call(msgspec.Struct):
    model: str
    api_base: str | None = None
    api_key: str | None = None
    weight: float | None = None


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    model_name: str
    litellm_params: _Call
    model_info: Any = None


class _Provider(msgspec.Struct, forbid_unknown_fields=True):
    provider: str
    custom_handler: str


class _LiteLLMSettings(msgspec.Struct):
    custom_provider_map: list[_Provider] | None = None


class _GeneralSettings(msgspec.Struct):
    master_key: str | None = None


class _File(msgspec.Struct):
    model_list: list[_Entry]
    litellm_settings: _LiteLLMSettings | None = None
    general_settings: _GeneralSettings | None = None


def read_config(path: Path, environ: Mapping[str, str]) -> Config:
    """Read a file, and import the handlers that it names.

    Args:
        path: the file. Its folder is the first to be searched for the modules of its handlers.
        environ: the environment, for `os.environ/NAME`.

    Raises:
        ConfigError: the file can't be read, or something in it is wrong; the message has the path of that.
    """
    given = _load(path)
    try:
        if not isinstance(given, dict):
            raise ConfigError("a mapping with model_list was expected")
        unknown = [str(name) for name in given if name not in _File.__struct_fields__ and name not in OTHER_SECTIONS]
        if unknown:
            raise ConfigError(f"the section {unknown[0]!r:.80} is not known")
        file = _typed(given)
        return Config(
            models=_models(file.model_list, given["model_list"], environ),
            handlers=_handlers(file.litellm_settings or _LiteLLMSettings(), path.parent),
            api_keys=_keys(file.general_settings or _GeneralSettings(), environ),
            skipped=tuple(_skipped(given)),
        )
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def _load(path: Path) -> object:
    import yaml

    try:
        return yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: this is not UTF-8") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark is not None else ""
        raise ConfigError(f"{path}{where}: this is not YAML: {getattr(error, 'problem', None) or error}") from None


def _typed(given: dict[str, Any]) -> _File:
    try:
        return msgspec.convert(given, _File)
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at `$")
        message = message.replace("`", "")
        path = place.rstrip("`").lstrip(".")
        raise ConfigError(f"{path}: {message}" if path else message) from None


def _models(entries: list[_Entry], given: list[dict[str, Any]], environ: Mapping[str, str]) -> dict[str, Any]:
    shared = _shared(entries)
    models: dict[str, Any] = {}
    for index, entry in enumerate(entries):
        place = f"model_list[{index}]"
        if "*" in entry.model_name or "*" in entry.litellm_params.model:
            raise ConfigError(f"{place}: wildcards are not served; name each model")
        is_shared = entry.model_name in shared
        params = {name: value for name, value in given[index]["litellm_params"].items() if not _is_skipped(name, is_shared)}
        resolved = _resolved(params, f"{place}.litellm_params", environ)
        if is_shared:
            _check(f"{place}.litellm_params", resolved)
            models.setdefault(entry.model_name, []).append(resolved)
        else:
            models[entry.model_name] = resolved
    if not models:
        raise ConfigError("model_list: at least one model was expected")
    return models


def _resolved(value: object, path: str, environ: Mapping[str, str]) -> Any:
    """The value, with each `os.environ/NAME` replaced by that variable of the environment."""
    if isinstance(value, dict):
        return {name: _resolved(item, f"{path}.{name}", environ) for name, item in value.items()}
    if isinstance(value, list):
        return [_resolved(item, f"{path}[{index}]", environ) for index, item in enumerate(value)]
    if not isinstance(value, str) or not value.startswith(ENVIRONMENT):
        return value
    name = value.removeprefix(ENVIRONMENT)
    if not environ.get(name):
        raise ConfigError(f"{path}: the environment variable {name} is not set")
    return environ[name]


def _shared(entries: list[_Entry]) -> set[str]:
    """The names that several entries have."""
    names = [entry.model_name for entry in entries]
    return {name for name in names if names.count(name) > 1}


def _check(path: str, params: dict[str, Any]) -> None:
    """Check one of several entries of a name, while its path in the file is known."""
    try:
        Deployments([params])
    except BadRequestError as error:
        raise ConfigError(error.message.replace("deployments[0]", path)) from None


def _is_skipped(name: str, is_shared: bool) -> bool:
    if name == "weight" and is_shared:
        return False
    return _keywords.is_ours(name) and name not in _keywords.APPLIED


def _keys(settings: _GeneralSettings, environ: Mapping[str, str]) -> tuple[str, ...]:
    if settings.master_key is None:
        return ()
    if not settings.master_key:
        raise ConfigError("general_settings.master_key: this key is empty")
    return (_resolved(settings.master_key, "general_settings.master_key", environ),)


def _handlers(settings: _LiteLLMSettings, folder: Path) -> dict[str, Any]:
    handlers: dict[str, Any] = {}
    for index, entry in enumerate(settings.custom_provider_map or ()):
        module, _, attribute = entry.custom_handler.rpartition(".")
        try:
            if not module:
                raise ConfigError(f"{entry.custom_handler!r} must be MODULE.HANDLER, such as custom_handler.my_custom_llm")
            handlers[entry.provider] = import_handler(module, attribute, folder)
        except ConfigError as error:
            raise ConfigError(f"litellm_settings.custom_provider_map[{index}].custom_handler: {error}") from None
    return handlers


def _skipped(given: dict[str, Any]) -> Iterator[str]:
    """The parts of the file that nothing above uses."""
    yield from (name for name in given if name in OTHER_SECTIONS)
    for section, known in (("litellm_settings", _LiteLLMSettings), ("general_settings", _GeneralSettings)):
        yield from (f"{section}.{name}" for name in given.get(section) or {} if name not in known.__struct_fields__)
    names = [entry["model_name"] for entry in given["model_list"]]
    for index, entry in enumerate(given["model_list"]):
        place, is_shared = f"model_list[{index}]", names.count(names[index]) > 1
        if "model_info" in entry:
            yield f"{place}.model_info"
        yield from (f"{place}.litellm_params.{name}" for name in entry["litellm_params"] if _is_skipped(name, is_shared))


def import_handler(module: str, attribute: str, folder: Path) -> Any:
    """Import a handler.

    Args:
        module: such as "my_module" or "my_package.my_module".
        attribute: such as "handler".
        folder: is searched for the module before the usual places.

    Raises:
        ConfigError: there is no such module or attribute, the module can't be imported, or the attribute is not a handler.
    """
    place = str(folder.resolve())
    if place not in sys.path:
        sys.path.insert(0, place)
    try:
        found = import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module}.".startswith(f"{error.name}."):
            raise ConfigError(f"there is no module {error.name!r} in {place} or among the installed modules") from None
        raise ConfigError(_failure(module, error)) from error
    except Exception as error:
        raise ConfigError(_failure(module, error)) from error
    handler = getattr(found, attribute, None)
    if handler is None:
        raise ConfigError(f"the module {module!r} has no attribute {attribute!r}")
    if isinstance(handler, type):
        raise ConfigError(f"{module}.{attribute} is a class; name an instance of it")
    if not callable(handler) and not any(hasattr(handler, name) for name in METHODS):
        raise ConfigError(f"{module}.{attribute} is not a handler: it must be a CustomLLM, or a function that answers")
    return handler


def _failure(module: str, error: Exception) -> str:
    """The message about a module that can't be imported: its error, and the line that raised it."""
    place, traceback = "", error.__traceback__
    while traceback is not None:
        place = f" ({traceback.tb_frame.f_code.co_filename}, line {traceback.tb_lineno})"
        traceback = traceback.tb_next
    if isinstance(error, SyntaxError):  # its text has the line, since no code of the module ran
        place = ""
    if isinstance(error, ModuleNotFoundError) and str(error.name).partition(".")[0] == "litellm":
        place += "; import from tokenwire instead, which has the same names"
    return f"the module {module!r} can't be imported: {type(error).__name__}: {error}{place}"
