"""`AsyncClient`: the calls, with defaults of their own, a lifetime and a connection pool."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NoReturn, overload

from ._call import StreamCall, call
from ._pools import Pools, pools_here
from ._request import Request, check_http_client, parse_request
from ._routing import bridges_of, resolve
from ._settings import proxy_for
from ._stream import AsyncStream
from .exceptions import BadRequestError
from .types import (
    EmbeddingResponse,
    GenericStreamingChunk,
    ImageResponse,
    ModelList,
    ModelResponse,
    ModelResponseStream,
    TextCompletionResponse,
)

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .types.params import CallParams, ChatParams, EmbeddingParams, ImageParams, Messages, TextParams


class AsyncClient:
    """Calls models, from any asyncio or trio task.

    Args:
        http_client: an `httpx.AsyncClient` to send through, for proxies of your own, HTTP/2 or event hooks; it is used
            as it is and not closed. In which event loops it can be used is its own affair.
        transport: an `HTTPTransport` with limits or an SSL context of your own; it is closed with the client. It belongs
            to one event loop, and then so does the client. Without either, the client has a transport of its own for each
            event loop, and goes through httpx where the environment names a proxy.
        handlers: by provider, handlers that answer this client's calls and nobody else's; whatever `register` takes. They
            come before the registered ones.
        **defaults: keywords for every call made through this client, such as `api_base`, `api_key`, `timeout`,
            `num_retries`, `headers`, `limits` or `temperature`; a call's own keywords win. Headers are merged.

    Use it in `async with`, or call `aclose()`. A client may be used in several event loops, in one thread after the other
    or in several at once, and keeps connections for each, which are closed when that loop shuts down. Its methods are those
    of the package, and raise the same errors.

    Raises:
        BadRequestError: one of the first three is wrong; at the call, when a default is. The message names it.
        RuntimeError: at the call, when the client is closed, or its `transport` belongs to another event loop.
    """

    def __init__(
        self,
        *,
        http_client: Any = None,
        transport: Any = None,
        handlers: Mapping[str, Any] | None = None,
        **defaults: "Unpack[ChatParams]",
    ) -> None:
        self._defaults: dict[str, Any] = dict(defaults)
        headers = self._defaults.pop("headers", None)
        if headers is not None:
            self._defaults["default_headers"] = headers
        check_http_client("http_client", http_client)
        if transport is not None:
            _check_transport(transport)
        self._handlers = {} if handlers is None else bridges_of(handlers)
        self._http_client = http_client
        self._transport = transport
        self._transport_has_loop = False
        self._behind_proxy: dict[str, bool] = {}  # by address, as the environment said at the first call to it
        self._closed = False

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<AsyncClient {'closed' if self._closed else 'open'}>"

    def __getstate__(self) -> NoReturn:
        raise TypeError("a client can't be pickled or copied: it has keys and connections; make another one")

    async def aclose(self) -> None:
        """Close the client, and its connections in this event loop, those of open streams too.

        What it has open in other loops is closed when they shut down. Safe to call twice; bounded, and done even when
        cancelled.
        """
        self._closed = True
        await pools_here().close(self)
        if self._transport is not None and not self._transport_has_loop:
            await self._transport.aclose()

    async def warm(self, count: int = 1, *, api_base: str | None = None) -> None:
        """Open connections ahead, so that the first calls find them.

        Args:
            count: how many should stand ready.
            api_base: where; the client's own `api_base` where it is not given.

        Raises:
            APIConnectionError, Timeout: they could not be opened.
            BadRequestError: there is no address.
        """
        from .http.exchange import warm

        address = api_base or self._defaults.get("api_base") or self._defaults.get("base_url")
        if not isinstance(address, str):
            raise BadRequestError("api_base must say where to connect", param="api_base")
        await warm(self._pools().transport(), address, count)

    @property
    def stats(self) -> Any:
        """The `open`, `idle` and `waiting` counts of its pool in this event loop, as `HTTPTransport.stats`.

        None before the first call here.

        Raises:
            RuntimeError: no event loop is running here.
        """
        pools = pools_here().get(self)
        return None if pools is None else pools.stats

    @overload
    async def acompletion(
        self, model: str, messages: "Messages | None" = None, *, stream: Literal[False] = False, **params: "Unpack[ChatParams]"
    ) -> ModelResponse: ...
    @overload
    async def acompletion(
        self, model: str, messages: "Messages | None" = None, *, stream: Literal[True], **params: "Unpack[ChatParams]"
    ) -> AsyncStream[ModelResponseStream]: ...
    @overload
    async def acompletion(
        self, model: str, messages: "Messages | None" = None, *, stream: bool, **params: "Unpack[ChatParams]"
    ) -> ModelResponse | AsyncStream[ModelResponseStream]: ...
    async def acompletion(
        self, model: str, messages: "Messages | None" = None, *, stream: bool = False, **params: "Unpack[ChatParams]"
    ) -> ModelResponse | AsyncStream[ModelResponseStream]:
        """As `tokenwire.acompletion`."""
        request = self._request("chat", model, messages, stream=stream, **params)
        if request.stream:
            return await self._stream(request, ModelResponseStream)._open()
        response: ModelResponse = await call(request, self._own_pool)
        return response

    def astreaming(
        self, model: str, messages: "Messages | None" = None, **params: "Unpack[ChatParams]"
    ) -> AsyncStream[GenericStreamingChunk]:
        """As `tokenwire.astreaming`."""
        return self._stream(self._request("chat", model, messages, stream=True, **params), GenericStreamingChunk)

    @overload
    async def atext_completion(
        self,
        model: str,
        prompt: "str | Sequence[Any] | None" = None,
        *,
        stream: Literal[False] = False,
        **params: "Unpack[TextParams]",
    ) -> TextCompletionResponse: ...
    @overload
    async def atext_completion(
        self, model: str, prompt: "str | Sequence[Any] | None" = None, *, stream: Literal[True], **params: "Unpack[TextParams]"
    ) -> AsyncStream[TextCompletionResponse]: ...
    @overload
    async def atext_completion(
        self, model: str, prompt: "str | Sequence[Any] | None" = None, *, stream: bool, **params: "Unpack[TextParams]"
    ) -> TextCompletionResponse | AsyncStream[TextCompletionResponse]: ...
    async def atext_completion(
        self, model: str, prompt: "str | Sequence[Any] | None" = None, *, stream: bool = False, **params: "Unpack[TextParams]"
    ) -> TextCompletionResponse | AsyncStream[TextCompletionResponse]:
        """As `tokenwire.atext_completion`."""
        request = self._request("text", model, prompt, stream=stream, **params)
        if request.stream:
            return await self._stream(request, TextCompletionResponse)._open()
        response: TextCompletionResponse = await call(request, self._own_pool)
        return response

    async def aembedding(
        self, model: str, input: "str | Sequence[Any] | None" = None, **params: "Unpack[EmbeddingParams]"
    ) -> EmbeddingResponse:
        """As `tokenwire.aembedding`."""
        response: EmbeddingResponse = await call(self._request("embedding", model, input, **params), self._own_pool)
        return response

    async def aimage_generation(self, prompt: str, model: str, **params: "Unpack[ImageParams]") -> ImageResponse:
        """As `tokenwire.aimage_generation`."""
        response: ImageResponse = await call(self._request("image", model, prompt, **params), self._own_pool)
        return response

    async def alist_models(self, model: str = "openai/*", **params: "Unpack[CallParams]") -> ModelList:
        """As `tokenwire.alist_models`."""
        response: ModelList = await call(self._request("models", model, None, **params), self._own_pool)
        return response

    def _request(self, kind: str, model: Any, content: Any, /, **keywords: Any) -> Request:
        request = parse_request(kind, model, content, keywords, self._defaults, self._resolve)
        request.bridge = self._handlers.get(request.provider)
        return request

    def _resolve(self, model: str, custom_llm_provider: str | None) -> tuple[str, str]:
        return resolve(model, custom_llm_provider, self._handlers)

    def _stream(self, request: Request, shape: Any) -> AsyncStream[Any]:
        return AsyncStream(StreamCall(request, self._own_pool, shape))

    def _own_pool(self, api_base: str) -> Any:
        """What requests to `api_base` are sent through."""
        if self._http_client is not None and not self._closed:
            return self._http_client
        pools = self._pools()
        behind_proxy = self._behind_proxy.get(api_base)
        if behind_proxy is None:
            behind_proxy = self._behind_proxy[api_base] = proxy_for(api_base) is not None
        return pools.proxied() if behind_proxy else pools.transport()

    def _pools(self) -> Pools:
        """This client's in the running event loop."""
        if self._closed:
            raise RuntimeError("this AsyncClient is closed")
        here = pools_here()
        pools = here.get(self)
        if pools is None:
            if self._transport_has_loop:
                raise RuntimeError(
                    "the transport given to this AsyncClient belongs to another event loop, where it was first used: give"
                    " each loop a client with a transport of its own, or leave out transport="
                )
            pools = Pools(self._transport)
            here.add(self, pools)
            self._transport_has_loop = self._transport is not None
        return pools


def _check_transport(transport: Any) -> None:
    from .http.transport import HTTPTransport

    if not isinstance(transport, HTTPTransport):
        raise BadRequestError(
            f"transport must be a tokenwire.HTTPTransport, not {type(transport).__name__}; another of httpx's goes into"
            " http_client=httpx.AsyncClient(transport=...)",
            param="transport",
        )


default_client = AsyncClient()


async def aclose() -> None:
    """Close the connections that the package's own functions keep in this event loop; the next call opens new ones.

    There is no need to call it: they are closed when the event loop shuts down.
    """
    await pools_here().close(default_client)
