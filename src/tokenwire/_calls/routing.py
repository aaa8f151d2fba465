"""Model strings → backends: registered by the user, offered by installed packages, or built in."""

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cache
from typing import Any, cast

from .._settings import module_settings
from ..exceptions import UnknownProviderError, refused, wrong
from ..llms.backend import Backend, Kind, OwnEndpoint, SharedBackend
from ..llms.bridge import Bridge
from ..llms.providers import built_in, find, names, provider_of, way_to
from .unknown import nearest

ENTRY_POINTS = "tokenwire.providers"

# Vendors' names for which LiteLLM, and so this library, has another name.
_CALLED = {
    "claude": "anthropic",
    "fireworks": "fireworks_ai",
    "google": "gemini",
    "grok": "xai",
    "kimi": "moonshot",
    "lmstudio": "lm_studio",
    "nvidia": "nvidia_nim",
    "qwen": "dashscope",
    "together": "together_ai",
    "vllm": "hosted_vllm",
}

_registered: dict[str, Any] = {}
_bridges: dict[tuple[str, int], Bridge] = {}


def register(provider: str, handler: object) -> None:
    """Register `handler` to answer calls for models named `"<provider>/..."`.

    Args:
        provider: the part of the model string before the first "/". Registering a name again replaces its handler;
            built-in names can be replaced too.
        handler: a `CustomLLM`, an object with any of its methods, or a function: an async generator function, a
            generator function (run in a thread), or a sync or async function that returns the whole answer. It is called
            with those keywords of `CustomLLM`'s methods that it names, or with all if it has `**kwargs`. Or `Deployments`,
            several targets that share the calls, for which the bare name works as well. Or a mapping that describes an
            OpenAI-compatible host, `{"base_url": ..., "api_key_env": ...}`, as in LiteLLM's `providers.json`.

    Raises:
        BadRequestError: the provider's name is not valid, `handler` is not a handler (a class instead of an instance, for
            example), or a mapping has an unknown key.
    """
    _registered[_checked_name(provider)] = _usable(handler, provider)


def _usable(handler: object, provider: str) -> object:
    """The handler, checked; for a mapping, the endpoint that it describes."""
    if not isinstance(handler, Mapping):
        return _checked_handler(handler, provider)
    from ..llms.presets import PresetEndpoint

    return PresetEndpoint(provider, cast("Mapping[str, Any]", handler))


def _checked_name(provider: object) -> str:
    if not isinstance(provider, str) or not provider or "/" in provider:
        raise wrong("provider", 'a name without "/"', provider)
    return provider


def _checked_handler(handler: object, provider: str) -> object:
    if isinstance(handler, type):
        name = handler.__name__
        raise refused("custom_handler", f"the handler for {provider!r} is the class {name}: pass an instance, {name}()")
    if handler is None or isinstance(handler, str | bytes | int | float | list | tuple | dict):
        if isinstance(handler, dict) and "base_url" in handler:
            message = f"custom_provider_map takes handlers only: pass the endpoint to tokenwire.register({provider!r}, ...)"
            raise refused("custom_provider_map", message)
        message = f"the handler for {provider!r} must be a CustomLLM or a function, not {handler!r:.80}"
        raise refused("custom_handler", message)
    return handler


def _custom_handlers(settings: Mapping[str, Any]) -> Mapping[str, object]:
    """All of the user's handlers, by provider. `custom_provider_map` is read at each call: users rebind the attribute."""
    entries = settings.get("custom_provider_map")
    if not entries:
        return _registered
    handlers = dict(_registered)
    if not isinstance(entries, Iterable) or isinstance(entries, str | Mapping):
        raise wrong("custom_provider_map", "a list of dicts", entries)
    for entry in entries:
        try:
            provider, handler = entry["provider"], entry["custom_handler"]
        except (TypeError, KeyError):
            expected = '{"provider": ..., "custom_handler": ...}'
            raise refused("custom_provider_map", f"custom_provider_map has {entry!r:.80}, not {expected}") from None
        handlers[_checked_name(provider)] = _checked_handler(handler, provider)
    return handlers


@cache
def _entry_points() -> dict[str, Callable[[], Any]]:
    from importlib.metadata import entry_points

    return {entry.name: entry.load for entry in entry_points(group=ENTRY_POINTS)}


@cache
def _installed_handler(provider: str) -> object:
    """The handler that an installed package offers by its entry point; a class is called once."""
    loaded = _entry_points()[provider]()
    return _usable(loaded() if isinstance(loaded, type) else loaded, provider)


def bridges_of(handlers: object) -> dict[str, Backend]:
    """A client's own handlers as backends, by provider.

    Raises:
        BadRequestError: one of the names or handlers is not valid; the message says which.
    """
    if not isinstance(handlers, Mapping):
        raise wrong("handlers", 'a mapping such as {"my-llm": handler}', handlers)
    return {name: _backend(_usable(handler, _checked_name(name))) for name, handler in handlers.items()}


def _backend(handler: object) -> Backend:
    return cast(Backend, handler) if isinstance(handler, SharedBackend | OwnEndpoint) else Bridge(handler)


def route(
    model: str, custom_llm_provider: str | None, kind: Kind, own: Mapping[str, Backend], settings: Mapping[str, Any]
) -> tuple[str, str, Backend]:
    """The model's name without its provider's prefix, the provider, and its backend for calls of a kind.

    Args:
        own: the client's own handlers, by provider; they have precedence over the program's, then come the built-in APIs
            and installed packages' handlers.
        settings: the package's.

    Raises:
        UnknownProviderError: no provider was named and none can be inferred from the model; or the provider is unknown.
    """
    handlers = _custom_handlers(settings)
    if custom_llm_provider is None and isinstance(found := own.get(model) or handlers.get(model), SharedBackend):
        return model, model, cast(Backend, found)
    bare_model, provider = _resolved(model, custom_llm_provider, handlers, own)
    if provider in own:
        return bare_model, provider, own[provider]
    if provider in handlers:
        return bare_model, provider, _bridge(handlers[provider], provider)
    if (row := find(provider)) is not None:
        bare_model, backend = built_in(row, bare_model, kind)
        return bare_model, provider, backend
    if provider in _entry_points():
        return bare_model, provider, _bridge(_installed_handler(provider), provider)
    known = ", ".join(sorted({*handlers, *names(), *_entry_points()}))
    raise UnknownProviderError(
        f"Unmapped LLM provider: no handler is registered for custom_llm_provider={provider!r}; there are: {known}",
        llm_provider=provider,
        model=bare_model,
        param="custom_llm_provider",
        fault="caller",
    )


def _resolved(
    model: str, custom_llm_provider: str | None, handlers: Collection[str], own: Collection[str] = ()
) -> tuple[str, str]:
    """The model's name without its provider's prefix, and the provider."""
    if custom_llm_provider is not None:
        is_own = custom_llm_provider in own or custom_llm_provider in handlers
        if not is_own and find(custom_llm_provider) is not None:  # a built-in API, whose models' names can begin with "openai/"
            return model, custom_llm_provider
        return model.removeprefix(f"{custom_llm_provider}/"), custom_llm_provider
    prefix, slash, rest = model.partition("/")
    if slash and (prefix in own or prefix in handlers or find(prefix) is not None or prefix in _entry_points()):
        return rest, prefix
    meant = provider_of(model)
    if meant is not None:
        return model, meant
    known = sorted({*own, *handlers, *names(), *_entry_points()})
    raise UnknownProviderError(
        f"LLM Provider NOT provided: model={model!r} names no known provider. {_hint(model, prefix, rest, known)}",
        model=model,
        param="model",
        fault="caller",
    )


def _hint(model: str, prefix: str, rest: str, known: Iterable[str]) -> str:
    """A hint at what the caller may have meant by this model's name."""
    if rest and (way := way_to(prefix, rest)) is not None:
        return way
    if model in known:
        return f'Name one of its models: "{model}/..."'
    if rest and (meant := _CALLED.get(prefix.lower()) or nearest(prefix, known, shortest=4)) is not None:
        return f'Did you mean "{meant}/{rest}"?'
    return (
        f'For an OpenAI-compatible endpoint, call "openai/{model}" with api_base=...; for a handler of your own, register it'
        f" first: tokenwire.register({(prefix if rest else 'my-llm')!r}, handler)"
    )


def _bridge(handler: object, provider: str) -> Backend:
    """The handler's bridge, cached: inspecting a handler's methods costs more than calling them."""
    if isinstance(handler, SharedBackend | OwnEndpoint):
        return cast(Backend, handler)
    bridge = _bridges.get((provider, id(handler)))
    if bridge is None or bridge.handler is not handler:
        if len(_bridges) > 1000:  # a program may create a handler for every call
            _bridges.clear()
        bridge = _bridges[provider, id(handler)] = Bridge(handler)
    return bridge


def get_llm_provider(
    model: str,
    custom_llm_provider: str | None = None,
    api_base: str | None = None,
    api_key: str | None = None,
    litellm_params: object = None,
) -> tuple[str, str, str | None, str | None]:
    """The provider of a model: `(model without prefix, provider, api_key, api_base)`, as in LiteLLM.

    Args:
        model: such as "openai/gpt-4o-mini", "my-llm/any", or one of OpenAI's names without a prefix.
        custom_llm_provider: overrides the prefix of the model's name. For a built-in provider, the whole name is then the
            model's own, "/" included: some begin with "openai/".
        api_base: returned as given.
        api_key: returned as given for the built-in providers, else None.
        litellm_params: an object or mapping with the other three, used if they are not given.

    Raises:
        UnknownProviderError: its provider is unknown. A subclass of `BadRequestError`.
    """

    def param(name: str) -> Any:
        if isinstance(litellm_params, Mapping):
            return litellm_params.get(name)
        return getattr(litellm_params, name, None)

    if not isinstance(model, str) or not model:
        raise wrong("model", "a model's name", model)
    named = custom_llm_provider or param("custom_llm_provider")
    bare, provider = _resolved(model, named, _custom_handlers(module_settings()))
    key = (api_key or param("api_key")) if find(provider) is not None else None
    return bare, provider, key, api_base or param("api_base")


def get_supported_openai_params(
    model: str, custom_llm_provider: str | None = None, request_type: str = "chat_completion"
) -> list[str]:
    """The OpenAI parameters that a call takes by name. Others are sent as well; none is ever dropped.

    Args:
        model: any model's name.
        custom_llm_provider: its provider, if the name has no prefix.
        request_type: "chat_completion", "embeddings" or "text_completion".

    Raises:
        UnknownProviderError: the model's provider is unknown.
        BadRequestError: `request_type` is none of these.
    """
    from ..types.params import EMBEDDING_PARAMS, OPENAI_PARAMS, TEXT_PARAMS

    _resolved(model, custom_llm_provider, _custom_handlers(module_settings()))
    by_type = {"chat_completion": OPENAI_PARAMS, "embeddings": EMBEDDING_PARAMS, "text_completion": TEXT_PARAMS}
    if request_type not in by_type:
        raise wrong("request_type", f"one of {', '.join(by_type)}", request_type)
    return list(by_type[request_type])
