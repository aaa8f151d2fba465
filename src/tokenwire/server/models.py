"""The models that are served: for each name, the keywords of the call that answers, and the name in answers."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from os import urandom
from typing import Any

from msgspec import Struct, field

from tokenwire import BadRequestError, Deployments, NotFoundError, get_llm_provider

_IN_RESPONSES = "responses/"  # before a model's name for an endpoint of that dialect; not in its answers


def id_of(given: object, prefix: str) -> str:
    """The id of an answer whose kind has ids with this prefix: the one that it has, or a new one."""
    known = "" if given is None else str(given)
    if prefix != "chatcmpl-" and known.startswith("chatcmpl-"):  # the answer was made from a chat completion, but is not one
        return prefix + known.removeprefix("chatcmpl-")
    return known or prefix + urandom(16).hex()


class Model(Struct, frozen=True):
    """One model that is served.

    Attributes:
        name: what clients ask for.
        call: the keywords of the call that answers them.
        called: its name in that call, and so in answers of a handler that names no model; several names if deployments
            share the calls.
    """

    name: str
    call: dict[str, Any]
    called: frozenset[str]

    def shown(self, given: str | None) -> str:
        """The model's name for an answer that has the name `given`: clients expect the one that they asked for."""
        return given if given and given not in self.called else self.name


class Models(Struct, frozen=True):
    """All models that are served.

    Attributes:
        by_name: the models, by the name that clients know.
        handlers: those that the calls need, by provider; only this app uses them.
        created: when this was made, in seconds since 1970.
    """

    by_name: dict[str, Model]
    handlers: dict[str, Any]
    created: int = field(default_factory=lambda: int(time.time()))

    def find(self, name: str) -> Model:
        """The model of that name.

        Raises:
            NotFoundError: it is not served.
        """
        try:
            return self.by_name[name]
        except KeyError:
            message = f"the model {name[:200]!r} does not exist; GET /models lists those that do"
            raise NotFoundError(message, code="model_not_found", param="model") from None

    def entry(self, model: Model) -> dict[str, Any]:
        """A model as OpenAI and Anthropic describe it."""
        own = {"id": model.name, "object": "model", "created": self.created, "owned_by": "tokenwire"}
        created_at = datetime.fromtimestamp(self.created, UTC).isoformat().replace("+00:00", "Z")
        return {**own, "type": "model", "display_name": model.name, "created_at": created_at}

    def entries(self) -> dict[str, Any]:
        """All models as OpenAI and Anthropic list them; on one page, whatever page was asked for."""
        listed = [self.entry(model) for model in self.by_name.values()]
        return {
            "object": "list",
            "data": listed,
            "has_more": False,
            "first_id": listed[0]["id"],
            "last_id": listed[-1]["id"],
        }


def models_of(models: Mapping[str, Any], handlers: Mapping[str, Any] | None) -> Models:
    """The models that `create_app` is given; see there for the arguments.

    Raises:
        BadRequestError: something in it can't be served; the message names it.
    """
    if not isinstance(models, Mapping) or not models:
        raise BadRequestError('models must be a mapping such as {"my-model": handler}, and not empty', param="models")
    if handlers is not None and not isinstance(handlers, Mapping):
        raise BadRequestError('handlers must be a mapping such as {"my-llm": handler}', param="handlers")
    served = Models({}, dict(handlers or {}))
    for number, (name, model) in enumerate(models.items(), 1):
        if not isinstance(name, str) or not name:
            raise BadRequestError(f"models has {name!r} where a model's name was expected", param="models")
        if isinstance(model, str | Mapping):
            keywords = {"model": model} if isinstance(model, str) else model
            call = {str(keyword): value for keyword, value in keywords.items() if value is not None}
            called = frozenset({_called(name, call, served.handlers)})
        else:
            provider = f"{number}:{name.replace('/', '-')}"  # a name that is never registered
            deployments = _deployments(name, model) if isinstance(model, list | tuple | Deployments) else None
            served.handlers[provider] = deployments or model
            call, called = {"model": name, "custom_llm_provider": provider}, frozenset({name})
            if deployments is not None:
                called |= {_called(name, {"model": one}, served.handlers) for one in deployments.models}
        served.by_name[name] = Model(name, call, called)
    return served


def _deployments(name: str, given: Any) -> Deployments:
    """The deployments that share the calls of one name."""
    if isinstance(given, Deployments):
        return given
    try:
        return Deployments(given)
    except BadRequestError as error:
        raise BadRequestError(f"models[{name!r}]: {error.message}", param="models") from None


def _called(name: str, call: dict[str, Any], handlers: Mapping[str, Any]) -> str:
    """The model's name without its provider's."""
    model, provider = call.get("model", ""), call.get("custom_llm_provider")
    if provider is None and isinstance(model, str):
        prefix, slash, bare = model.partition("/")
        if slash and prefix in handlers:  # only this app knows that provider
            return bare
    try:
        return get_llm_provider(model, provider)[0].removeprefix(_IN_RESPONSES)
    except BadRequestError as error:
        raise BadRequestError(f"models[{name!r}]: {error.message}", param="models") from None
