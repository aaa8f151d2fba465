"""The providers that are built in: one row each, with all that is known of them.

A new provider with an API that a dialect knows is a row here and nothing else.
"""

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from .backend import Backend, Kind

if TYPE_CHECKING:
    from ..wire.dialect import Dialect


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """One provider.

    Attributes:
        name: what stands before the "/" in a model's name.
        backend: makes what answers calls of a kind.
        dialect: gives the one in which chat completions are asked for.
        api_base: its address, where neither the caller nor the environment names another.
        key_needed_at: addresses that begin so are not called without a key.
        base_variables, key_variables, organization_variables: of the environment; the first that is set counts.
        models, model_prefixes: bare names, and their beginnings, that mean this provider without a prefix.
        key_setting: what users may assign the key to, as `tokenwire.openai_key`.
        defaults: fields of a request that the API wants, where the caller leaves them out.
        json_mode: how a type is asked for as an answer: by its schema, as any JSON object, or in the prompt alone.
        num_retries: attempts after the first, where nobody names a number.
    """

    name: str
    backend: "Callable[[Provider, Kind], Backend]"
    dialect: "Callable[[], Dialect]"
    api_base: str
    key_needed_at: str
    base_variables: tuple[str, ...] = ()
    key_variables: tuple[str, ...] = ()
    organization_variables: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    model_prefixes: tuple[str, ...] = ()
    key_setting: str | None = None
    defaults: tuple[tuple[str, Any], ...] = ()
    json_mode: Literal["schema", "object", "prompt"] = "schema"
    num_retries: int = 2


def _openai(provider: Provider, kind: Kind) -> Backend:
    from .openai import OpenAI

    return OpenAI(provider, kind)


def _chat() -> "Dialect":
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
    name: str, *, models: str = "", model_prefixes: str = "", dialect: "Callable[[], Dialect]" = _chat
) -> Provider:
    return Provider(
        name=name,
        backend=_openai,
        dialect=dialect,
        api_base="https://api.openai.com/v1",
        key_needed_at="https://api.openai.com",
        base_variables=("OPENAI_BASE_URL", "OPENAI_API_BASE"),
        key_variables=("OPENAI_API_KEY",),
        organization_variables=("OPENAI_ORGANIZATION", "OPENAI_ORG_ID"),
        key_setting="openai_key",
        json_mode="prompt" if dialect is _text else "schema",  # /completions knows no response_format
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
    _openai_provider("hosted_vllm"),
    _openai_provider("responses", dialect=_responses),
    Provider(
        name="anthropic",
        backend=_openai,
        dialect=_messages,
        api_base="https://api.anthropic.com",
        key_needed_at="https://api.anthropic.com",
        base_variables=("ANTHROPIC_BASE_URL", "ANTHROPIC_API_BASE"),
        key_variables=("ANTHROPIC_API_KEY",),
        model_prefixes=("claude-",),
        defaults=(("max_tokens", 4096),),
    ),
)
PROVIDERS: dict[str, Provider] = {row.name: row for row in _ROWS}


# How LiteLLM's users ask an endpoint of OpenAI's API in another dialect: "openai/responses/o3".
_WITHIN = "responses/"


def built_in(provider: str, model: str, kind: Kind) -> tuple[str, Backend]:
    """The model's own name, and what answers a built-in provider's calls of a kind for it."""
    if kind == "chat" and model.startswith(_WITHIN) and PROVIDERS[provider].dialect is _chat:
        return model.removeprefix(_WITHIN), backend_of("responses", kind)
    return model, backend_of(provider, kind)


@cache
def backend_of(provider: str, kind: Kind) -> Backend:
    """What answers a built-in provider's calls of a kind."""
    row = PROVIDERS[provider]
    return row.backend(row, kind)


def provider_of(model: str) -> str | None:
    """The built-in provider that a bare model name means; None where it tells none."""
    return next((row.name for row in _ROWS if model in row.models or model.startswith(row.model_prefixes)), None)
