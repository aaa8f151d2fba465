"""Providers described by users, in the format of LiteLLM's `providers.json` (1.110): address, key variable, special behaviour.

Fields for LiteLLM's own accounting (`provider_info`, `supported_endpoints`, ...) are accepted and ignored.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any, cast

import msgspec

from ..exceptions import refused
from .backend import OwnEndpoint, Prepared, Request
from .providers import Provider, built_in, chat, endpoints

logger: logging.Logger = logging.getLogger("tokenwire")


class _Constraints(msgspec.Struct, forbid_unknown_fields=True):
    temperature_max: float | None = None
    temperature_min: float | None = None
    temperature_min_with_n_gt_1: float | None = None
    cache_control_ttl: bool = True  # ignored: we never remove it


class _Special(msgspec.Struct, forbid_unknown_fields=True):
    convert_content_list_to_string: bool = False
    force_store_false: bool = False
    preserve_cache_control: bool = True
    web_search_requests_from_tool_usage: bool = False  # ignored: for LiteLLM's accounting; our usage is the host's


class Preset(msgspec.Struct, forbid_unknown_fields=True):
    """One entry of such a file; LiteLLM's `llms/openai_like/README.md` describes its fields."""

    base_url: str
    api_key_env: str
    api_base_env: str | None = None
    base_class: str = "openai_gpt"
    param_mappings: dict[str, str] = {}
    constraints: _Constraints = msgspec.field(default_factory=_Constraints)
    special_handling: _Special = msgspec.field(default_factory=_Special)
    headers: dict[str, str] = {}
    supported_endpoints: list[str] = []
    model_supported_endpoints: dict[str, list[str]] = {}
    provider_info: dict[str, Any] = {}


def provider_of(name: str, preset: Mapping[str, Any]) -> Provider:
    """The provider that a preset describes.

    Raises:
        BadRequestError: a field is unknown, missing or wrong; the message names it.
    """
    try:
        said = msgspec.convert(preset, Preset)
    except msgspec.ValidationError as error:
        raise refused("custom_handler", f"the preset for {name!r} can't be used: {error}") from None
    if said.base_class not in ("openai_gpt", "openai_like"):
        known = '"openai_gpt" or "openai_like"'
        raise refused("custom_handler", f"the preset for {name!r} has base_class {said.base_class!r}, not {known}")
    if not said.base_url.startswith(("http://", "https://")):
        message = f"the preset for {name!r} has base_url {said.base_url!r:.80}, which must begin with http:// or https://"
        raise refused("custom_handler", message)
    older = {"max_completion_tokens": "max_tokens"} if said.base_class == "openai_like" else {}
    special = said.special_handling
    return Provider(
        name=name,
        backend=endpoints,
        dialect=chat,
        api_base=said.base_url,
        key_needed_at=said.base_url.rstrip("/"),
        base_variables=(said.api_base_env,) if said.api_base_env else (),
        key_variables=(said.api_key_env,),
        renames=tuple((older | said.param_mappings).items()),
        headers=tuple((header.lower(), value) for header, value in said.headers.items()),
        params_of=_within(said.constraints),
        messages_of=_joined if special.convert_content_list_to_string else None,
        by_responses=(("store", False),) if special.force_store_false else (),
    )


def _within(constraints: _Constraints) -> Callable[[dict[str, Any]], dict[str, Any]] | None:
    """A function that limits the temperature to the preset's bounds; None if it has none."""
    most, least, least_of_several = (
        constraints.temperature_max,
        constraints.temperature_min,
        constraints.temperature_min_with_n_gt_1,
    )
    if most is None and least is None and least_of_several is None:
        return None

    def bounded(params: dict[str, Any]) -> dict[str, Any]:
        given = params.get("temperature")
        if not isinstance(given, int | float):
            return params
        n = params.get("n")
        lower = [bound for bound in (least, least_of_several if isinstance(n, int) and n > 1 else None) if bound is not None]
        temperature = max([given if most is None else min(given, most), *lower])
        if temperature == given:
            return params
        logger.debug("temperature %r is sent as %r, the bound in the host's preset", given, temperature)
        return {**params, "temperature": temperature}

    return bounded


def _joined(messages: object) -> object:
    """The messages, with each list of text parts joined to one text.

    Raises:
        BadRequestError: a part is not text.
    """
    if not isinstance(messages, list):
        return messages
    joined: list[object] = []
    for number, message in enumerate(cast("list[object]", messages)):
        content = cast("dict[str, object]", message).get("content") if isinstance(message, dict) else None
        if isinstance(content, list):
            texts = [
                _text_of(part, f"messages[{number}].content[{at}]") for at, part in enumerate(cast("list[object]", content))
            ]
            joined.append({**cast("dict[str, object]", message), "content": "".join(texts)})
        else:
            joined.append(message)
    return joined


def _text_of(part: object, where: str) -> str:
    text = cast("dict[str, object]", part).get("text") if isinstance(part, dict) else part
    if not isinstance(text, str):
        raise refused("messages", f"{where} must be text: this host takes nothing else")
    return text


class PresetEndpoint(OwnEndpoint):
    """Calls of all kinds to a preset's endpoint; a `Backend`."""

    num_retries: int = 2
    json_mode: str = "schema"

    def __init__(self, name: str, preset: Mapping[str, Any]) -> None:
        self._provider = provider_of(name, preset)

    def dialect_of(self, model: str) -> str:
        """See `Backend`."""
        bare, backend = built_in(self._provider, model, "chat")
        return backend.dialect_of(bare)

    def prepare(self, request: Request) -> Prepared:
        """See `Backend`."""
        model, backend = built_in(self._provider, request.model, request.kind)
        return backend.prepare(msgspec.structs.replace(request, model=model))
