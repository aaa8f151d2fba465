"""Who answers for which name: what `create_app` was given, as keywords of a call, and what the model is called in answers."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from tokenwire import BadRequestError, get_llm_provider


class Names(Struct, frozen=True):
    """What one model is called.

    Attributes:
        asked: by clients.
        called: in calls, and so in the answers of a handler that names no model.
    """

    asked: str
    called: str

    def told(self, given: str | None) -> str:
        """What an answer calls it, which names `given`: clients expect the name that they asked for."""
        return given if given and given != self.called else self.asked


def names_of(name: str, keywords: Mapping[str, Any]) -> Names:
    """The names of the model `name`, which is called with these keywords."""
    called, *_ = get_llm_provider(keywords["model"], keywords.get("custom_llm_provider"))
    return Names(name, called)


class Offer(Struct, frozen=True):
    """What is served.

    Attributes:
        models: for each name that clients know, the keywords of the call that answers them.
        handlers: those that the calls need, by provider; the app's own, and nobody else's.
    """

    models: dict[str, dict[str, Any]]
    handlers: dict[str, Any]


def offer_of(models: Mapping[str, Any]) -> Offer:
    """What `create_app` was given; see there for what `models` may hold.

    Raises:
        BadRequestError: something in it can't be served; the message names it.
    """
    if not isinstance(models, Mapping) or not models:
        raise BadRequestError('models must be a mapping such as {"my-model": handler}, and not empty', param="models")
    offer = Offer({}, {})
    for number, (name, model) in enumerate(models.items(), 1):
        if not isinstance(name, str) or not name:
            raise BadRequestError(f"models has {name!r} where a model's name was expected", param="models")
        if isinstance(model, str | Mapping):
            offer.models[name] = _keywords(name, {"model": model} if isinstance(model, str) else model)
        else:
            provider = f"{number}:{name.replace('/', '-')}"  # a name that nobody registers
            offer.models[name] = {"model": name, "custom_llm_provider": provider}
            offer.handlers[provider] = model
    return offer


def _keywords(name: str, model: Mapping[str, Any]) -> dict[str, Any]:
    keywords = {str(keyword): value for keyword, value in model.items() if value is not None}
    try:
        get_llm_provider(keywords.get("model", ""), keywords.get("custom_llm_provider"))
    except BadRequestError as error:
        raise BadRequestError(f"models[{name!r}]: {error.message}", param="models") from None
    return keywords
