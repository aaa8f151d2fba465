"""Who answers for which name: what `create_app` was given, as keywords of a call, and what the model is called in answers."""

from collections.abc import Mapping
from itertools import count
from typing import Any

from msgspec import Struct

from tokenwire import BadRequestError, get_llm_provider, register

_numbers = count(1)


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


def keywords_for(models: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """For each model's name, the keywords with which it is called; see `create_app` for what `models` may hold.

    Raises:
        BadRequestError: something in it can't be served; the message names it.
    """
    if not isinstance(models, Mapping) or not models:
        raise BadRequestError('models must be a mapping such as {"my-model": handler}, and not empty', param="models")
    return {name: _keywords(name, model) for name, model in models.items()}


def _keywords(name: Any, model: Any) -> dict[str, Any]:
    if not isinstance(name, str) or not name:
        raise BadRequestError(f"models has {name!r} where a model's name was expected", param="models")
    if isinstance(model, str):
        model = {"model": model}
    if isinstance(model, Mapping):
        keywords = {str(keyword): value for keyword, value in model.items() if value is not None}
        try:
            get_llm_provider(keywords.get("model", ""), keywords.get("custom_llm_provider"))
        except BadRequestError as error:
            raise BadRequestError(f"models[{name!r}]: {error.message}", param="models") from None
        return keywords
    # The calls know handlers by the name they are registered under; this one is the app's own, and nobody else's.
    provider = f"{name.replace('/', '-')}-{next(_numbers)}"
    register(provider, model)
    return {"model": name, "custom_llm_provider": provider}
