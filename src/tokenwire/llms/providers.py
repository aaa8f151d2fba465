"""The built-in providers: one row each, with everything that is specific to it.

A new provider with an API that has a dialect is one row, and no other code: here, or in `hosts`, which has the hosts with
APIs compatible with OpenAI's, and is loaded when one of them is first called.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from .backend import Backend, Kind

if TYPE_CHECKING:
    from ..wire.dialect import Dialect


class Provider(msgspec.Struct, frozen=True, kw_only=True, eq=False):  # hashed by identity
    """One provider.

    Attributes:
        name: the part before the "/" in a model's name.
        backend: makes the backend for calls of a kind.
        dialect: returns the dialect of its chat completions.
        api_base: its default address; "" if it has none.
        key_needed_at: an address that begins so requires a key, if it is the provider's default or the environment's; "" for
            a provider that needs no key.
        base_variables, key_variables, organization_variables: environment variables; the first that is set counts.
        models, model_prefixes: models' names, and beginnings of names, that belong to this provider without its prefix.
        key_setting: the package's attribute for the key, as `tokenwire.openai_key`.
        defaults: fields that the API requires in a request, added if the caller leaves them out.
        json_mode: how a type is requested as an answer: by its schema, as any JSON object, or in the prompt only.
        num_retries: attempts after the first, by default.
        key_header: the header for the key, if it is not the dialect's.
        place_of: (address, model, path, API version) → the address before the path, and the version; for hosts whose address
            depends on more than the path.
        api_version, version_variables: the `api-version` to send by default.
        model_of: maps the caller's name of a model to the host's.
        renames: parameters with another name at the host, as (caller's, host's).
        params_of: converts parameters, under the host's names, to what the host takes.
        by_responses: fields set in each request of the Responses API, whatever the caller gave.
        headers, header_variables: sent with each request; the latter if the environment has a value. "{api_key}" in one of
            the former is replaced by the key.
        messages_of: converts the caller's messages to what the host takes.
    """

    name: str
    backend: "Callable[[Provider, Kind], Backend]"
    dialect: "Callable[[], Dialect]"
    api_base: str = ""
    key_needed_at: str = ""
    base_variables: tuple[str, ...] = ()
    key_variables: tuple[str, ...] = ()
    organization_variables: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    model_prefixes: tuple[str, ...] = ()
    key_setting: str | None = None
    defaults: tuple[tuple[str, Any], ...] = ()
    json_mode: Literal["schema", "object", "prompt"] = "schema"
    num_retries: int = 2
    key_header: str | None = None
    place_of: Callable[[str, str, str, str | None], tuple[str, str | None]] | None = None
    api_version: str | None = None
    version_variables: tuple[str, ...] = ()
    model_of: Callable[[str], str] | None = None
    renames: tuple[tuple[str, str], ...] = ()
    params_of: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    by_responses: tuple[tuple[str, Any], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    header_variables: tuple[tuple[str, str], ...] = ()
    messages_of: Callable[[object], object] | None = None


def endpoints(provider: Provider, kind: Kind) -> Backend:
    """The backend for any provider whose endpoints use a dialect."""
    from .openai import OpenAI

    return OpenAI(provider, kind)


def chat() -> "Dialect":
    """Chat Completions."""
    from ..wire.chat import CHAT

    return CHAT


def _text() -> "Dialect":
    from ..wire.text import TEXT

    return TEXT


def _messages() -> "Dialect":
    from ..wire.messages import MESSAGES

    return MESSAGES


def _responses() -> "Dialect":
    from ..wire.responses.dialect import RESPONSES

    return RESPONSES


def _openai_provider(
    name: str, *, models: str = "", model_prefixes: str = "", dialect: "Callable[[], Dialect]" = chat
) -> Provider:
    return Provider(
        name=name,
        backend=endpoints,
        dialect=dialect,
        api_base="https://api.openai.com/v1",
        key_needed_at="https://api.openai.com",
        base_variables=("OPENAI_BASE_URL", "OPENAI_API_BASE"),
        key_variables=("OPENAI_API_KEY",),
        organization_variables=("OPENAI_ORGANIZATION", "OPENAI_ORG_ID"),
        key_setting="openai_key",
        json_mode="prompt" if dialect is _text else "schema",  # /completions has no response_format
        models=tuple(models.split()),
        model_prefixes=tuple(model_prefixes.split()),
    )


_ROWS = (
    _openai_provider(
        "text-completion-openai",
        models="gpt-3.5-turbo-instruct davinci-002 babbage-002",
        dialect=_text,
    ),
    _openai_provider("openai", model_prefixes="gpt- chatgpt- o1 o3 o4 text-embedding- dall-e- gpt-image- ft: codex-"),
    _openai_provider("custom_openai"),
    _openai_provider("openai_like"),
    _openai_provider("responses", dialect=_responses),
    Provider(
        name="anthropic",
        backend=endpoints,
        dialect=_messages,
        api_base="https://api.anthropic.com",
        key_needed_at="https://api.anthropic.com",
        base_variables=("ANTHROPIC_BASE_URL", "ANTHROPIC_API_BASE"),
        key_variables=("ANTHROPIC_API_KEY",),
        model_prefixes=("claude-",),
        defaults=(("max_tokens", 4096),),
    ),
)
_PROVIDERS: dict[str, Provider] = {row.name: row for row in _ROWS}


# LiteLLM's prefixes for other dialects of OpenAI's API: "openai/responses/o3".
_WITHIN = "responses/"


def find(name: str) -> Provider | None:
    """The built-in provider of this name; None if there is none."""
    row = _PROVIDERS.get(name)
    if row is not None:
        return row
    from .hosts import HOSTS

    return HOSTS.get(name)


def way_to(name: str, model: str) -> str | None:
    """How a model of a host is called whose own API nobody speaks here; None for a name that is not such a host's."""
    from .hosts import way_to

    return way_to(name, model)


def names() -> tuple[str, ...]:
    """The names of all built-in providers."""
    from .hosts import HOSTS

    return (*_PROVIDERS, *HOSTS)


def built_in(provider: Provider, model: str, kind: Kind) -> tuple[str, Backend]:
    """The model's own name, and the provider's backend for calls of a kind."""
    if kind in ("chat", "tokens") and model.startswith(_WITHIN) and provider.dialect is chat:
        return model.removeprefix(_WITHIN), _by_responses(provider, kind)
    return model, _backend_of(provider, kind)


@lru_cache(maxsize=512)
def _backend_of(provider: Provider, kind: Kind) -> Backend:
    return provider.backend(provider, kind)


@lru_cache(maxsize=512)
def _by_responses(provider: Provider, kind: Kind) -> Backend:
    return provider.backend(msgspec.structs.replace(provider, dialect=_responses), kind)


def provider_of(model: str) -> str | None:
    """The built-in provider of a model name without a prefix; None if none can be inferred."""
    return next((row.name for row in _ROWS if model in row.models or model.startswith(row.model_prefixes)), None)
