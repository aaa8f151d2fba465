"""Lines of a batch for other APIs than chat completions: Responses, and Anthropic's Messages.

If the target is an endpoint with the line's API, the body is sent unchanged, and the answer is written as received. For any
other target, a handler or an endpoint with another API, the line is translated to a chat completion, and the answer back to
the line's API, as in `tokenwire serve`.
"""

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

import msgspec

from tokenwire import get_llm_provider

from ..exceptions import refused
from ..types import ModelResponse
from ..wire.messages import asked as messages
from ..wire.messages.answers import message_fields
from ..wire.responses import request as responses
from ..wire.responses.events import EventEncoder

if TYPE_CHECKING:
    from tokenwire import AsyncClient

    from .lines import Line

_IN_PLACE = [{"role": "user", "content": "the line's own input is sent"}]


class LineDialect(msgspec.Struct, frozen=True):
    """The translation from and to one API.

    Attributes:
        request: the class of the body, for checking it.
        keywords: a body's keywords for a chat completion, without the model.
        plain: the same for endpoints of these dialects, without what they can't express.
        body: the answer in the API's format.
        providers: the providers whose endpoints have the API.
        within: the prefix of a model's name that selects the API, for providers with several.
    """

    request: type[msgspec.Struct]
    keywords: Callable[[Any, dict[str, Any]], dict[str, Any]]
    plain: Callable[[dict[str, Any], Collection[str]], tuple[dict[str, Any], list[str]]]
    body: Callable[[ModelResponse, Any], object]
    providers: frozenset[str]
    within: str = ""


def _response(response: ModelResponse, request: responses.ResponsesRequest) -> object:
    return msgspec.Raw(EventEncoder(request).whole(response))


def _message(response: ModelResponse, request: messages.MessagesRequest) -> object:
    model = response.model or request.model
    return message_fields(response, id=f"msg_{response.id}", model=model, stops=request.stop_sequences or ())


DIALECTS = {
    "/responses": LineDialect(
        responses.ResponsesRequest,
        responses.chat_keywords,
        responses.plain,
        _response,
        frozenset({"openai", "custom_openai", "openai_like", "hosted_vllm", "responses"}),
        "responses/",
    ),
    "/messages": LineDialect(
        messages.MessagesRequest, messages.chat_keywords, messages.plain, _message, frozenset({"anthropic"})
    ),
}


class Asker:
    """Makes one client's calls for lines of other APIs.

    Args:
        provider: the provider, if the models' names do not have it.
    """

    def __init__(self, client: "AsyncClient", provider: str | None) -> None:
        self._client, self._provider = client, provider

    async def ask(self, line: "Line") -> ModelResponse:
        """The answer to a line. Raises as the client's `acompletion` does."""
        dialect, model = DIALECTS[line.api], line.params["model"]
        own: dict[str, Any] = {} if self._provider is None else {"custom_llm_provider": self._provider}
        if (provider := self._speaker(line)) is not None:
            model = model if provider == "responses" else self._within(model, provider, dialect.within)
            body = {name: value for name, value in line.params.items() if name != "model"}
            own |= {"fallbacks": [], "extra_body": body}  # other targets would not accept the body
            return await self._client.acompletion(model, _IN_PLACE, **own)
        call = {"model": model, **dialect.keywords(self._request(line), line.params)}
        if not self._is_handled(line):
            spoken = self._client.dialects(model, text=False, custom_llm_provider=self._provider)
            call, _ = dialect.plain(call, spoken)
        return await self._client.acompletion(**own, **call)

    def body(self, line: "Line", response: ModelResponse) -> object:
        """The answer in the line's API; None if it was received in it."""
        return None if self._speaker(line) is not None else DIALECTS[line.api].body(response, self._request(line))

    def _speaker(self, line: "Line") -> str | None:
        """The provider, if its endpoint has the line's API."""
        if self._is_handled(line):
            return None
        provider = get_llm_provider(line.params["model"], self._provider)[1]
        return provider if provider in DIALECTS[line.api].providers else None

    def _is_handled(self, line: "Line") -> bool:
        """Whether a handler answers."""
        return self._client.handler_keywords(line.params["model"], custom_llm_provider=self._provider) is not None

    def _within(self, model: str, provider: str, within: str) -> str:
        bare = model if self._provider is not None else model.removeprefix(f"{provider}/")
        named = bare if bare.startswith(within) else f"{within}{bare}"
        return named if self._provider is not None else f"{provider}/{named}"

    def _request(self, line: "Line") -> Any:
        try:
            return msgspec.convert(line.params, DIALECTS[line.api].request)
        except msgspec.ValidationError as error:
            raise refused("body", f"body: {error}") from None
