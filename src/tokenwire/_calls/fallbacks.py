"""Other targets for a call: `fallbacks` and `context_window_fallback_dict`, LiteLLM's keywords.

Each becomes a request of its own, checked together with the call, so that an unknown provider is found before anything is
sent. A fallback has the call's keywords, overridden by its own. Keywords for one provider (its key, its address) are not
used for a fallback of another provider: a key must never be sent to another provider.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import msgspec

from .._keywords import FALLBACKS
from ..exceptions import APIError, wrong
from ..llms.backend import Kind, Request

# (model, content, keywords) → the checked request of the same call to another target.
Ask: TypeAlias = Callable[[object, object, Mapping[str, Any]], Request]

_CONTENT_NAMES: dict[Kind, str] = {"chat": "messages", "embedding": "input"}
ONE_PROVIDER = frozenset({"api_base", "api_key", "api_version", "base_url", "client", "organization", "ssl_verify"})
_CREDENTIALS = frozenset({"api-key", "authorization", "cookie", "proxy-authorization", "x-api-key"})
NONE_OF_ITS_OWN: dict[str, Any] = {"fallbacks": (), "context_window_fallback_dict": {}}


def with_fallbacks(request: Request, model: str, given: Mapping[str, Any], keywords: Mapping[str, Any], ask: Ask) -> Request:
    """The request with its fallbacks.

    Args:
        model: as the caller wrote it.
        given: the caller's and the client's keywords for this library, these two included.
        keywords: the caller's own.

    Raises:
        BadRequestError: one of the two has a wrong value, or names an unknown provider; the message says which.
    """
    entries, larger = given.get("fallbacks", ()), given.get("context_window_fallback_dict", {})
    if not isinstance(entries, list | tuple):
        raise wrong("fallbacks", 'a list of models\' names, or of dicts such as {"model": "openai/m"}', entries)
    if not isinstance(larger, Mapping):
        raise wrong("context_window_fallback_dict", 'a dict of models\' names, such as {"openai/m": "openai/m-large"}', larger)

    shared = {name: value for name, value in keywords.items() if name != "custom_llm_provider"}
    general = for_anybody(shared)
    content_name = _CONTENT_NAMES.get(request.kind, "prompt")

    def ask_other(name: str, entry: object) -> Request:
        other, own = _parts(name, entry)
        content = own.pop(content_name, request.content)
        try:
            found = ask(other, content, {**general, **own, **NONE_OF_ITS_OWN})
            if found.provider == request.provider:
                found = ask(other, content, {**shared, **own, **NONE_OF_ITS_OWN})
        except APIError as error:
            error.message = f"{name}: {error.message}"
            error.param = name.partition("[")[0]
            raise
        return found

    def with_larger(found: Request, called: str, before: tuple[str, ...] = ()) -> Request:
        names = [name for name in (called, f"{found.provider}/{found.model}", found.model) if name in larger]
        if not names or names[0] in before:
            return found
        entry, place = larger[names[0]], f"context_window_fallback_dict[{names[0]!r}]"
        next_one = with_larger(ask_other(place, entry), _parts(place, entry)[0], (*before, names[0]))
        return msgspec.structs.replace(found, larger=next_one)

    others: list[Request] = []
    for index, entry in enumerate(entries):
        name = f"fallbacks[{index}]"
        others.append(with_larger(ask_other(name, entry), _parts(name, entry)[0]))
    return msgspec.structs.replace(with_larger(request, model), fallbacks=tuple(others))


def _parts(name: str, entry: object) -> tuple[str, dict[str, Any]]:
    """An entry's model, and its other keywords."""
    own: dict[str, Any] = {**entry} if isinstance(entry, Mapping) else {"model": entry}
    model = own.pop("model", None)
    if not isinstance(model, str) or not model:
        raise wrong(name, 'a model\'s name, or a dict of keywords with "model" among them', entry)
    for nested in ("stream", *FALLBACKS):
        if nested in own:
            raise wrong(name, f"without {nested}, which only the call may have", entry)
    return model, own


def for_anybody(keywords: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords that may be sent to another provider."""
    kept = {name: value for name, value in keywords.items() if name not in ONE_PROVIDER}
    for name in ("headers", "extra_headers"):
        if isinstance(headers := kept.get(name), Mapping):
            kept[name] = {header: text for header, text in headers.items() if header.lower() not in _CREDENTIALS}
    return kept
