"""The built-in `openai` provider: any endpoint that speaks OpenAI's HTTP API.

`OpenAI` is a handler like the user's own, called with the same keywords. One request is one attempt: retries are the
caller's business.
"""

from collections.abc import Mapping
from typing import Any, TypeVar
from urllib.parse import urlencode

import msgspec

from .. import _version
from .._settings import Limits, Timeouts
from ..exceptions import APIError, BadRequestError, without_secrets
from ..http.decoding import accepted_encodings
from ..http.exchange import FOREVER, Exchange, HTTPRequest, send
from ..types import EmbeddingResponse, ImageResponse, ModelList, ModelResponse, TextCompletionResponse
from ..types._record import Response
from ..wire.chunks import decode_body, with_head
from .custom_llm import CustomLLM
from .event_stream import EventStreamSource, error_of, named

R = TypeVar("R", bound=Response)

_PATHS = {"embedding": "/embeddings", "image": "/images/generations", "models": "/models"}  # by the kind of call
USER_AGENT = f"tokenwire/{_version.__version__}"


class OpenAI(CustomLLM):
    """Calls an OpenAI-compatible endpoint.

    Its methods take LiteLLM's handler keywords; they use `model`, `messages` (or `input`, `prompt`), `api_base`,
    `api_key`, `headers`, `optional_params`, `timeout` (seconds or `Timeouts`: what opening a connection and sending may
    take; how long to wait for the answer is the caller's business), `client` (an
    `HTTPTransport` or an `httpx.AsyncClient`), `deadline` (until when a whole answer must have come, as
    `time.monotonic()` counts) and, from
    `litellm_params`, `limits` and `organization`.
    """

    provider = "openai"
    path = "/chat/completions"
    whole: type[Any] = ModelResponse

    async def acompletion(self, *args: Any, **kwargs: Any) -> Any:
        """POST to `/chat/completions` and read the whole answer.

        Raises:
            APIError: the class that the server's status and error object call for, or what became of the connection.
        """
        return await self._post(self.path, self.completion_body(kwargs), self.whole, kwargs)

    async def astreaming(self, *args: Any, **kwargs: Any) -> EventStreamSource:  # type: ignore[override]
        """A source that will POST to `/chat/completions` with `stream: true` when it is started."""
        body = {**self.completion_body(kwargs), "stream": True}
        request = self._request("POST", self.path, body, kwargs, accept="text/event-stream")
        return EventStreamSource(
            request,
            client=kwargs["client"],
            provider=self.provider,
            model=kwargs["model"],
            wire_text=self.whole is TextCompletionResponse,
            limits=_limits(kwargs),
        )

    async def aembedding(self, *args: Any, **kwargs: Any) -> EmbeddingResponse:
        """POST to `/embeddings`; raises as `acompletion` does."""
        body = {"model": kwargs["model"], "input": kwargs["input"], **_params(kwargs)}
        return await self._post(_PATHS["embedding"], body, EmbeddingResponse, kwargs)

    async def aimage_generation(self, *args: Any, **kwargs: Any) -> ImageResponse:
        """POST to `/images/generations`; raises as `acompletion` does."""
        body = {"model": kwargs["model"], "prompt": kwargs["prompt"], **_params(kwargs)}
        return await self._post(_PATHS["image"], body, ImageResponse, kwargs)

    async def alist_models(self, **kwargs: Any) -> ModelList:
        """GET `/models`; raises as `acompletion` does."""
        return await self._send(self._request("GET", _PATHS["models"], None, kwargs), ModelList, kwargs)

    def address(self, kind: str, kwargs: Mapping[str, Any]) -> str:
        """What a call sends its request to, as "POST https://...", without what can hold a key."""
        url = without_secrets(url_of(kwargs["api_base"], _PATHS.get(kind, self.path)))
        return f"{'GET' if kind == 'models' else 'POST'} {url}"

    def completion_body(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The request's JSON: the messages, and the caller's parameters at its top level."""
        return {"model": kwargs["model"], "messages": kwargs["messages"], **_params(kwargs)}

    async def _post(self, path: str, body: dict[str, Any], cls: type[R], kwargs: Mapping[str, Any]) -> R:
        return await self._send(self._request("POST", path, body, kwargs), cls, kwargs)

    def _request(
        self, method: str, path: str, body: Any, kwargs: Mapping[str, Any], accept: str = "application/json"
    ) -> HTTPRequest:
        headers = {"accept": accept, "user-agent": USER_AGENT}
        if accept == "text/event-stream":
            headers["accept-encoding"] = "identity"  # compression holds small events back
        else:
            headers["accept-encoding"] = accepted_encodings()
        if kwargs.get("api_key"):
            headers["authorization"] = f"Bearer {kwargs['api_key']}"
        organization = kwargs["litellm_params"].get("organization")
        if organization:
            headers["openai-organization"] = organization
        content = b""
        if body is not None:
            headers["content-type"] = "application/json"
            content = encode_body(body)
        headers.update({name.lower(): value for name, value in (kwargs.get("headers") or {}).items()})
        timeouts = Timeouts.parse(kwargs.get("timeout"), stream=accept == "text/event-stream")
        return HTTPRequest(
            method=method,
            url=url_of(kwargs["api_base"], path, kwargs["optional_params"].get("extra_query")),
            headers=headers,
            body=content,
            connect=timeouts.connect,
            pool=timeouts.pool,
            write=timeouts.write,
        )

    async def _send(self, request: HTTPRequest, cls: type[R], kwargs: Mapping[str, Any]) -> R:
        limits, deadline = _limits(kwargs), kwargs.get("deadline", FOREVER)
        whose = {"provider": self.provider, "model": kwargs["model"]}
        exchange: Exchange | None = None
        body: bytes | None = None
        try:
            exchange = await send(kwargs["client"], request, deadline)
            if not 200 <= exchange.status < 300:
                raise await error_of(exchange, deadline, limits, **whose)
            body = await exchange.read(deadline, limits.max_body_bytes, "max_body_bytes")
            record = decode_body(body, cls, headers=exchange.headers, **whose)
            record._about_call()["headers"] = exchange.headers
        except APIError as error:
            if exchange is not None:
                with_head(error, exchange.headers)
                if body is not None:
                    error.response = exchange.response_with(body)
            raise named(error, **whose) from error.__cause__
        finally:
            if exchange is not None:
                await exchange.aclose()
        return record


def url_of(api_base: str, path: str, query: Mapping[str, Any] | None = None) -> str:
    """`api_base` with `path` put behind its own path, and its query (Azure has one) and `query` behind both."""
    base, _, own_query = api_base.partition("#")[0].partition("?")
    queries = [text for text in (own_query, urlencode(query, doseq=True) if query else "") if text]
    url = f"{base.rstrip('/')}{path}"
    return f"{url}?{'&'.join(queries)}" if queries else url


def encode_body(body: Mapping[str, Any]) -> bytes:
    """The request's JSON.

    Raises:
        BadRequestError: a value that JSON has no way to say; the message names where it stands.
    """
    try:
        return msgspec.json.encode(body, enc_hook=_encode_foreign)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        where, value = _unencodable(body)
        raise BadRequestError(
            f"{where} can't be sent as JSON: {type(value).__name__}: {error}", param=where.partition("[")[0].partition(".")[0]
        ) from None


def _encode_foreign(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)  # a pydantic model, as openai's own types are
    if dump is not None and not isinstance(value, type):
        return dump(mode="json", exclude_none=True)
    raise TypeError(f"objects of type {type(value).__name__} are not JSON")


def _unencodable(value: Any, path: str = "") -> tuple[str, Any]:
    """The innermost value that can't be encoded, and where it stands."""
    children: list[tuple[str, Any]] = []
    if isinstance(value, Mapping):
        children = [(f"{path}.{name}" if path else str(name), item) for name, item in value.items()]
    elif isinstance(value, list | tuple):
        children = [(f"{path}[{index}]", item) for index, item in enumerate(value)]
    for where, item in children:
        try:
            msgspec.json.encode(item, enc_hook=_encode_foreign)
        except RecursionError:
            return where, item
        except (TypeError, ValueError, OverflowError):
            return _unencodable(item, where)
    return path or "the request", value


def _params(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The caller's parameters as they go into the body's top level."""
    params = dict(kwargs["optional_params"])
    params.pop("extra_query", None)
    extra_body = params.pop("extra_body", None) or {}
    return {**params, **extra_body}


def _limits(kwargs: Mapping[str, Any]) -> Limits:
    return kwargs["litellm_params"].get("limits") or Limits()
