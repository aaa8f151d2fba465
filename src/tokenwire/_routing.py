"""Model strings → handlers: what the user registered, what installed packages offer, what is built in."""

import sys
from collections.abc import Callable, Container, Iterable, Mapping
from functools import cache
from typing import Any

from .exceptions import BadRequestError, UnknownProviderError
from .llms.bridge import Bridge

ENTRY_POINTS = "tokenwire.providers"

# Names of OpenAI's own models, which need no prefix.
_TEXT_MODELS = ("gpt-3.5-turbo-instruct", "davinci-002", "babbage-002")
_OPENAI_PREFIXES = ("gpt-", "chatgpt-", "o1", "o3", "o4", "text-embedding-", "dall-e-", "gpt-image-", "ft:", "codex-")
BUILT_IN = {
    "openai": "openai",
    "custom_openai": "openai",
    "openai_like": "openai",
    "hosted_vllm": "openai",
    "text-completion-openai": "text-completion-openai",
}

_registered: dict[str, Any] = {}
_bridges: dict[tuple[str, int], Bridge] = {}


def register(provider: str, handler: Any) -> None:
    """Let `handler` answer the calls for models named `"<provider>/..."`.

    Args:
        provider: the part of the model string before the first "/". Registering a name again replaces its handler;
            a built-in name can be taken over too.
        handler: a `CustomLLM`, an object with any of its methods, or a function: an async generator function, a
            generator function (run in a thread), or a plain or async function that returns the whole answer. It is
            called with the keywords of `CustomLLM`'s methods that it names, or with all if it has `**kwargs`.

    Raises:
        BadRequestError: the provider's name is not usable, or `handler` is none; a class instead of an instance is none.
    """
    _registered[_checked_name(provider)] = _checked_handler(handler, provider)


def _checked_name(provider: Any) -> str:
    if not isinstance(provider, str) or not provider or "/" in provider:
        raise BadRequestError(f'provider must be a name without "/", not {provider!r}', param="provider")
    return provider


def _checked_handler(handler: Any, provider: str) -> Any:
    if isinstance(handler, type):
        raise BadRequestError(
            f"the handler for {provider!r} is the class {handler.__name__}: pass an instance, {handler.__name__}()",
            param="custom_handler",
        )
    if handler is None or isinstance(handler, str | bytes | int | float | list | tuple | dict):
        raise BadRequestError(
            f"the handler for {provider!r} must be a CustomLLM or a function, not {handler!r:.80}", param="custom_handler"
        )
    return handler


def _custom_handlers() -> Mapping[str, Any]:
    """Every handler of the user's, by provider. `custom_provider_map` is read anew: users rebind the module attribute."""
    entries = vars(sys.modules["tokenwire"]).get("custom_provider_map")
    if not entries:
        return _registered
    handlers = dict(_registered)
    if not isinstance(entries, Iterable) or isinstance(entries, str | Mapping):
        raise BadRequestError("custom_provider_map must be a list of dicts", param="custom_provider_map")
    for entry in entries:
        try:
            provider, handler = entry["provider"], entry["custom_handler"]
        except (TypeError, KeyError):
            raise BadRequestError(
                f'custom_provider_map has {entry!r:.80} where {{"provider": ..., "custom_handler": ...}} was expected',
                param="custom_provider_map",
            ) from None
        handlers[_checked_name(provider)] = _checked_handler(handler, provider)
    return handlers


@cache
def _entry_points() -> dict[str, Callable[[], Any]]:
    from importlib.metadata import entry_points

    return {entry.name: entry.load for entry in entry_points(group=ENTRY_POINTS)}


@cache
def _installed_handler(provider: str) -> Any:
    """The handler that an installed package offers: what its entry point names, called once if it is a class."""
    loaded = _entry_points()[provider]()
    return _checked_handler(loaded() if isinstance(loaded, type) else loaded, provider)


def bridges_of(handlers: Any) -> dict[str, Bridge]:
    """A client's own handlers, by provider, bridged.

    Raises:
        BadRequestError: one of the names or handlers is not usable; the message says which.
    """
    if not isinstance(handlers, Mapping):
        raise BadRequestError(
            f'handlers must be a mapping such as {{"my-llm": handler}}, not {handlers!r:.80}', param="handlers"
        )
    return {name: Bridge(_checked_handler(handler, _checked_name(name)), name) for name, handler in handlers.items()}


def resolve(model: str, custom_llm_provider: str | None = None, own: Container[str] = ()) -> tuple[str, str]:
    """The model's name without its provider's prefix, and the provider.

    Args:
        own: providers that the client has handlers of its own for.

    Raises:
        UnknownProviderError: no provider was named, and the model's own name tells none.
    """
    handlers = _custom_handlers()
    if custom_llm_provider is not None:
        return model.removeprefix(f"{custom_llm_provider}/"), custom_llm_provider
    prefix, slash, rest = model.partition("/")
    if slash and (prefix in own or prefix in handlers or prefix in BUILT_IN or prefix in _entry_points()):
        return rest, prefix
    if model in _TEXT_MODELS:
        return model, "text-completion-openai"
    if model.startswith(_OPENAI_PREFIXES):
        return model, "openai"
    raise UnknownProviderError(
        f"LLM Provider NOT provided: nothing says who answers for model={model!r}. For an OpenAI-compatible endpoint, call"
        f' "openai/{model}" with api_base=...; for a handler of your own, register it first:'
        f" tokenwire.register({(prefix if slash else 'my-llm')!r}, handler)",
        model=model,
        param="model",
    )


def handler_for(provider: str, model: str) -> Bridge | None:
    """The user's handler for a provider, bridged; None when the provider is a built-in one that nobody took over.

    Raises:
        UnknownProviderError: there is no such provider.
    """
    handlers = _custom_handlers()
    if provider in handlers:
        return _bridge(handlers[provider], provider)
    if provider in BUILT_IN:
        return None
    if provider in _entry_points():
        return _bridge(_installed_handler(provider), provider)
    known = ", ".join(sorted({*handlers, *BUILT_IN, *_entry_points()}))
    raise UnknownProviderError(
        f"Unmapped LLM provider: no handler is registered for custom_llm_provider={provider!r}; there are: {known}",
        llm_provider=provider,
        model=model,
        param="custom_llm_provider",
    )


def _bridge(handler: Any, provider: str) -> Bridge:
    """The handler's bridge, kept: looking at a handler's methods costs more than calling them."""
    bridge = _bridges.get((provider, id(handler)))
    if bridge is None or bridge.handler is not handler:
        if len(_bridges) > 1000:  # a program that makes a handler for every call
            _bridges.clear()
        bridge = _bridges[provider, id(handler)] = Bridge(handler, provider)
    return bridge


def get_llm_provider(
    model: str,
    custom_llm_provider: str | None = None,
    api_base: str | None = None,
    api_key: str | None = None,
    litellm_params: Any = None,
) -> tuple[str, str, str | None, str | None]:
    """Who answers for a model: `(model without prefix, provider, api_key, api_base)`, as LiteLLM has it.

    Args:
        model: such as "openai/gpt-4o-mini", "my-llm/any", or a bare name of OpenAI's.
        custom_llm_provider: overrides what the model's name says.
        api_base: handed back.
        api_key: handed back for the built-in providers, else None.
        litellm_params: an object or mapping with the other three, where they are not given.

    Raises:
        UnknownProviderError: nobody does. It is a `BadRequestError`.
    """

    def param(name: str) -> Any:
        if isinstance(litellm_params, Mapping):
            return litellm_params.get(name)
        return getattr(litellm_params, name, None)

    if not isinstance(model, str) or not model:
        raise BadRequestError(f"model must be a model's name, not {model!r}", param="model")
    bare, provider = resolve(model, custom_llm_provider or param("custom_llm_provider"))
    key = (api_key or param("api_key")) if provider in BUILT_IN else None
    return bare, provider, key, api_base or param("api_base")


def get_supported_openai_params(
    model: str, custom_llm_provider: str | None = None, request_type: str = "chat_completion"
) -> list[str]:
    """The OpenAI parameters that a call takes by name. Others are passed on as well; none is ever dropped.

    Args:
        model: any model's name.
        custom_llm_provider: its provider, where the name does not say.
        request_type: "chat_completion", "embeddings" or "text_completion".

    Raises:
        UnknownProviderError: nobody answers for the model.
        BadRequestError: `request_type` is something else.
    """
    from .types.params import EMBEDDING_PARAMS, OPENAI_PARAMS, TEXT_PARAMS

    resolve(model, custom_llm_provider)
    by_type = {"chat_completion": OPENAI_PARAMS, "embeddings": EMBEDDING_PARAMS, "text_completion": TEXT_PARAMS}
    if request_type not in by_type:
        raise BadRequestError(f"request_type must be one of {', '.join(by_type)}, not {request_type!r}", param="request_type")
    return list(by_type[request_type])
