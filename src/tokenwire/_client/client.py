"""`AsyncClient`: all calls, with default keywords, a lifetime and a connection pool.

The package's functions are the methods of `default_client`; see `functions`.
"""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast, overload

from .._calls.request import Defaults, parse_request
from .._calls.routing import bridges_of, route
from .._calls.stream import AsyncStream, ParsedAsyncStream, opened
from .._calls.streamed import stream_call
from .._calls.targets import target_of
from .._calls.whole import call
from .._settings import module_settings
from ..exceptions import TokenwireError, refused, wrong
from ..llms.backend import Kind, Request, SharedBackend, check_http_client
from ..llms.bridge import Bridge
from ..types import (
    EmbeddingResponse,
    GenericStreamingChunk,
    ImageResponse,
    ModelList,
    ModelResponse,
    ModelResponseStream,
    ParsedResponse,
    TextCompletionResponse,
    TokenCount,
)
from ..types.attempts import PoolStats
from ..wire.convert import Shape
from .pools import ClientPools

T = TypeVar("T")

if TYPE_CHECKING:
    import httpx
    from typing_extensions import TypeForm, Unpack

    from .._calls.deployments import Deployments
    from .._calls.gate import Gate
    from ..http.transport import HTTPTransport
    from ..jobs.map import Inputs, Results
    from ..types.images import File
    from ..types.params import (
        CallParams,
        ChatParams,
        EmbeddingParams,
        ImageEditParams,
        ImageParams,
        Messages,
        TextParams,
        TypedChatParams,
    )


class AsyncClient:
    """Calls models, from any asyncio or trio task.

    Args:
        http_client: an `httpx.AsyncClient` to send through, for your own proxies, HTTP/2 or event hooks; it is used
            unchanged and not closed. It decides in which event loops the client can be used.
        transport: an `HTTPTransport` with your own limits or SSL context; it is closed with the client. It belongs to one
            event loop, and so then does the client. Without either, the client has its own transport for each event loop
            and each `ssl_verify`, and uses httpx if the environment names a proxy (`HTTPS_PROXY`, `NO_PROXY`, ..., read as
            by curl).
        handlers: by provider, handlers for this client's calls only; anything that `register` accepts, including
            `Deployments`. They take precedence over registered ones.
        gate: a `Gate`, which limits its calls together with those of other clients that are given the same one.
        **defaults: keywords for every call made through this client, such as `api_base`, `api_key`, `timeout`,
            `num_retries`, `headers`, `limits` or `temperature`; a call's own keywords take precedence. Headers are merged.

    Use it in `async with`, or call `aclose()`. A client may be used in several event loops, one after the other or at the
    same time in several threads. It has separate connections for each loop, which are closed when the loop shuts down, or
    when the client is dropped and no stream uses them. Its methods are the same as the package's functions, and raise the
    same errors.

    Raises:
        BadRequestError: one of the first four arguments is wrong, or a default is an argument of each call (`model`,
            `messages`, `prompt`, `input`, `stream`); raised by a call if another default is wrong. The message names it.
        RuntimeError: raised by a call if the client is closed, or its `transport` belongs to another event loop.
    """

    def __init__(
        self,
        *,
        http_client: "httpx.AsyncClient | None" = None,
        transport: "HTTPTransport | None" = None,
        handlers: Mapping[str, Any] | None = None,
        gate: "Gate | None" = None,
        **defaults: "Unpack[ChatParams]",
    ) -> None:
        keywords: dict[str, Any] = dict(defaults)
        if "headers" in keywords:  # they are merged with a call's own
            keywords["default_headers"] = keywords.pop("headers")
        check_http_client("http_client", http_client)
        if transport is not None:
            _check_transport(transport)
        self._handlers = {} if handlers is None else bridges_of(handlers)
        if gate is not None:
            _check_gate(gate)
        self._gate = gate
        self._defaults = Defaults(keywords)
        self._pools = ClientPools(http_client, transport)

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<AsyncClient {'closed' if self._pools.closed else 'open'}>"

    def __reduce__(self) -> str:
        if self is default_client:  # the package's functions are its methods, and must be picklable
            return "default_client"
        raise TypeError("a client can't be pickled or copied: it has keys and connections; make another one")

    async def aclose(self) -> None:
        """Close the client, and its connections in this event loop, including those of open streams.

        Its connections in other loops are closed when those shut down. Safe to call twice; takes a bounded time, and
        completes even when cancelled.
        """
        await self._pools.aclose()

    async def warm(self, count: int = 1, *, api_base: str | None = None) -> None:
        """Open connections in advance, so that the first calls do not wait for them.

        Args:
            count: how many idle connections there should be.
            api_base: the address; by default the client's own `api_base`.

        Raises:
            APIConnectionError, Timeout: they could not be opened.
            BadRequestError: neither the call nor the client has an `api_base`.
        """
        from ..http.transport import warm

        address = api_base or self._defaults.given.get("api_base")
        if not isinstance(address, str):
            raise refused("api_base", "api_base must be given, to warm or to the client: the address to connect to")
        await warm(self._pools.transport(), address, count)

    @property
    def stats(self) -> PoolStats | None:
        """The `open`, `idle` and `waiting` counts of its pools in this event loop, as `HTTPTransport.stats`.

        None before the first call in this event loop.

        Raises:
            RuntimeError: no event loop is running.
        """
        return self._pools.stats

    @overload
    async def acompletion(
        self,
        model: str,
        messages: "Messages | None" = None,
        *,
        response_format: "TypeForm[T]",
        stream: Literal[False] = False,
        **params: "Unpack[TypedChatParams]",
    ) -> ParsedResponse[T]: ...
    @overload
    async def acompletion(
        self,
        model: str,
        messages: "Messages | None" = None,
        *,
        response_format: "TypeForm[T]",
        stream: Literal[True],
        **params: "Unpack[TypedChatParams]",
    ) -> ParsedAsyncStream[ModelResponseStream, T]: ...
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
        """Request a chat completion.

        Args:
            model: "<provider>/<model>": "openai/..." for any OpenAI-compatible endpoint, or a registered handler's name.
            messages: a list of dicts with `role` and `content`, or `Message` objects from earlier answers.
            stream: whether to return a stream of chunks.
            **params: OpenAI's parameters (`temperature`, `tools`, `n`, ...) and options of the call (`api_base`, `api_key`,
                `timeout`, `num_retries`, ...: see `types.params.CallParams`). Any other keyword is added to the request's
                body, and to `optional_params` for handlers; a keyword of LiteLLM's that tokenwire does not have is
                refused, but can be sent in `extra_body`.

        Returns:
            The whole completion; with `stream=True` an `AsyncStream` of chunks in OpenAI's shape, once the response has begun.

        Raises:
            BadRequestError: an argument is wrong; nothing was sent. Also the server's own 400.
            UnknownProviderError: the model's provider is unknown; nothing was sent.
            AuthenticationError: a required key is missing (nothing was sent), or the server refused it.
            Timeout: a time-out passed; its `budget` says which.
            APIConnectionError: connecting failed, or the connection broke.
            APIResponseValidationError: the answer does not follow the protocol.
            APIError: any other failure, of the class for its status (`RateLimitError`, `InternalServerError`, ...).

        Cancelling the task releases the connection at once. The protocol is OpenAI's "Create chat completion".
        """
        request = self._request("chat", model, messages, params, stream)
        if request.stream:
            return await opened(self._stream(request, ModelResponseStream))
        return cast(ModelResponse, await call(request, self._pools, self._gate))

    @overload
    def astreaming(
        self,
        model: str,
        messages: "Messages | None" = None,
        *,
        response_format: "TypeForm[T]",
        **params: "Unpack[TypedChatParams]",
    ) -> ParsedAsyncStream[GenericStreamingChunk, T]: ...
    @overload
    def astreaming(
        self, model: str, messages: "Messages | None" = None, **params: "Unpack[ChatParams]"
    ) -> AsyncStream[GenericStreamingChunk]: ...
    def astreaming(
        self, model: str, messages: "Messages | None" = None, **params: "Unpack[ChatParams]"
    ) -> AsyncStream[GenericStreamingChunk]:
        """Stream a chat completion as flat chunks, the fastest way to stream: `async for chunk in astreaming(...)`.

        Takes the same arguments as `acompletion`. Nothing is sent before the first chunk is read, which then raises the
        errors of `acompletion`; only wrong arguments are refused at once.

        Returns:
            An `AsyncStream` of `GenericStreamingChunk`: `chunk.text` is the text that it adds. Not to be awaited.

        Raises:
            BadRequestError, UnknownProviderError, AuthenticationError: as `acompletion`, before anything is sent.
        """
        return self._stream(self._request("chat", model, messages, params, True), GenericStreamingChunk)

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
        """Request the continuation of a text, by OpenAI's older `/completions`.

        Args:
            model: as for `acompletion`. Handlers get the prompt as a user's message; token ids only if they name `prompt`.
            prompt: a str, a list of str (a choice for each), a list of token ids, or a list of such lists.
            stream: whether to return a stream of chunks.
            **params: as for `acompletion`.

        Returns:
            The whole completion; with `stream=True` an `AsyncStream` of `TextCompletionResponse` chunks.

        Raises:
            APIError: as `acompletion`.
        """
        request = self._request("text", model, prompt, params, stream)
        if request.stream:
            return await opened(self._stream(request, TextCompletionResponse))
        return cast(TextCompletionResponse, await call(request, self._pools, self._gate))

    async def aembedding(
        self, model: str, input: "str | Sequence[Any] | None" = None, **params: "Unpack[EmbeddingParams]"
    ) -> EmbeddingResponse:
        """Embed texts.

        Args:
            model: as for `acompletion`.
            input: a str, a list of str, or token ids.
            **params: as for `acompletion`; `dimensions` and `encoding_format` are OpenAI's. With `encoding_format="base64"`,
                `item.array()` returns each vector as an array, at a fraction of the cost of a list of floats.

        Returns:
            A vector for each input, in `data`.

        Raises:
            APIError: as `acompletion`.
        """
        request = self._request("embedding", model, input, params, False)
        return cast(EmbeddingResponse, await call(request, self._pools, self._gate))

    async def aimage_generation(self, prompt: str, model: str, **params: "Unpack[ImageParams]") -> ImageResponse:
        """Generate images.

        Args:
            prompt: a description of the images.
            model: as for `acompletion`.
            **params: as for `acompletion`; `n`, `size` and `quality` are OpenAI's.

        Returns:
            The images in `data`, as URLs or as base64 text.

        Raises:
            APIError: as `acompletion`.
        """
        request = self._request("image", model, prompt, params, False)
        return cast(ImageResponse, await call(request, self._pools, self._gate))

    async def aimage_edit(
        self, image: "File | Sequence[File]", *, prompt: str, model: str, **params: "Unpack[ImageEditParams]"
    ) -> ImageResponse:
        """Edit images, or generate new ones from them.

        Args:
            image: bytes, an open binary file, a path, or a tuple of a name, one of these, and perhaps a content type; or a list
                of these. For an endpoint, large files are read in a thread; an open file's position is restored.
            prompt: a description of the edit.
            model: as for `acompletion`.
            **params: as for `acompletion`; `mask` is a file whose transparent parts are where to change the image; `n`,
                `size` and `quality` are OpenAI's.

        Returns:
            The images in `data`, as URLs or as base64 text.

        Raises:
            APIError: as `acompletion`; BadRequestError also for a file that can't be read.
        """
        keywords: dict[str, Any] = {**params, "image": image if isinstance(image, list) else [image]}
        request = self._request("image_edit", model, prompt, keywords, False)
        return cast(ImageResponse, await call(request, self._pools, self._gate))

    async def acount_tokens(self, model: str, messages: "Messages" = (), **params: "Unpack[ChatParams]") -> TokenCount:
        """Count the tokens of a conversation for a model, without an answer.

        Args:
            model: as for `acompletion`, of a handler with `count_tokens` or `acount_tokens`, or of an endpoint with the API
                Messages or Responses (`POST /v1/messages/count_tokens`, `/responses/input_tokens`).
            messages, **params: as for `acompletion`. Parameters that only affect the answer are left out if an API refuses
                them.

        Returns:
            The number as `input_tokens`.

        Raises:
            APIError: as `acompletion`; with the status 501 if the model's endpoint or handler can't count.
        """
        request = self._request("tokens", model, messages, params, False)
        return cast(TokenCount, await call(request, self._pools, self._gate))

    async def alist_models(self, model: str = "openai/*", **params: "Unpack[CallParams]") -> ModelList:
        """List the models that an endpoint offers, by `GET /models`.

        Args:
            model: names only the provider; the part after the "/" is ignored.
            **params: `api_base`, `api_key` and the other keywords of every call.

        Returns:
            The models in `data`.

        Raises:
            APIError: as `acompletion`; also for a handler that has no method `alist_models`.
        """
        request = self._request("models", model, None, params, False)
        return cast(ModelList, await call(request, self._pools, self._gate))

    def handler_keywords(
        self, model: str, *, stream: bool = False, custom_llm_provider: str | None = None
    ) -> frozenset[str] | None:
        """The keywords in the signature of a model's handler, or of all its deployments' handlers; None for endpoints only.

        For programs that call handlers for others, such as a server: a handler supports the keywords that it names. `n`,
        `best_of`, `echo` and `logprobs`, which change the form of an answer, are passed only to a method that names them, and
        so is `prompt`.

        Args:
            model: as for `acompletion`.
            custom_llm_provider: as for `acompletion`.
            stream: whether to inspect the method for streams.

            Raises:
                UnknownProviderError: the model's provider is unknown.
        """
        _, _, backend = route(model, custom_llm_provider, "text", self._handlers, module_settings())
        if isinstance(backend, SharedBackend):
            each = [
                self.handler_keywords(name, stream=stream, custom_llm_provider=provider)
                for name, provider in cast("Deployments", backend).named
            ]
            named = [keywords for keywords in each if keywords is not None]
            return frozenset.intersection(*named) if named else None
        return backend.keywords(stream=stream) if isinstance(backend, Bridge) else None

    def dialects(self, model: str, *, text: bool = False, custom_llm_provider: str | None = None) -> frozenset[str]:
        """The APIs by which a model is called: "chat", "text", "messages" or "responses" for an endpoint, "" for a handler.

        For programs that pass endpoints' answers on, such as a server. There are several if the model is `Deployments` of
        different kinds. Those of `fallbacks` are not included.

        Args:
            model: as for `acompletion`.
            text: whether the call is a text completion.
            custom_llm_provider: as for `acompletion`.

        Raises:
            UnknownProviderError: the model's provider is unknown.
        """
        kind: Kind = "text" if text else "chat"
        bare, _, backend = route(model, custom_llm_provider, kind, self._handlers, module_settings())
        if isinstance(backend, SharedBackend):
            each = [
                self.dialects(name, text=text, custom_llm_provider=provider)
                for name, provider in cast("Deployments", backend).named
            ]
            return frozenset[str]().union(*each)
        return frozenset({backend.dialect_of(bare)})

    @overload
    def amap(
        self,
        model: str,
        inputs: "Inputs",
        *,
        response_format: "TypeForm[T]",
        concurrency: int | None = None,
        ordered: bool = False,
        stream: Literal[False] = False,
        on_error: Literal["return", "raise"] = "return",
        **params: "Unpack[TypedChatParams]",
    ) -> "Results[ParsedResponse[T]]": ...
    @overload
    def amap(
        self,
        model: str,
        inputs: "Inputs",
        *,
        response_format: "TypeForm[T]",
        concurrency: int | None = None,
        ordered: bool = False,
        stream: Literal[True],
        on_error: Literal["return", "raise"] = "return",
        **params: "Unpack[TypedChatParams]",
    ) -> "Results[ParsedAsyncStream[ModelResponseStream, T]]": ...
    @overload
    def amap(
        self,
        model: str,
        inputs: "Inputs",
        *,
        concurrency: int | None = None,
        ordered: bool = False,
        stream: Literal[False] = False,
        on_error: Literal["return", "raise"] = "return",
        **params: "Unpack[ChatParams]",
    ) -> "Results[ModelResponse]": ...
    @overload
    def amap(
        self,
        model: str,
        inputs: "Inputs",
        *,
        concurrency: int | None = None,
        ordered: bool = False,
        stream: Literal[True],
        on_error: Literal["return", "raise"] = "return",
        **params: "Unpack[ChatParams]",
    ) -> "Results[AsyncStream[ModelResponseStream]]": ...
    def amap(
        self,
        model: str,
        inputs: "Inputs",
        *,
        concurrency: int | None = None,
        ordered: bool = False,
        stream: bool = False,
        on_error: Literal["return", "raise"] = "return",
        **params: "Unpack[ChatParams]",
    ) -> "Results[Any]":
        """Make many calls, with a limited concurrency: `async with client.amap(...) as results: async for result in results`.

        Args:
            model: as for `acompletion`.
            inputs: an iterable or async iterable of prompts, message lists, or dicts with "messages" or "prompt" and other
                keywords, which take precedence over those given here. An input is only read when its call can begin. An
                iterable must not block; an async generator is closed at the end.
            concurrency: the most calls at the same time, a stream until it ends; by default the `max_concurrency` of the client's
                gate, else 64. It limits memory: at most twice as many calls are running or have results that were not taken.
            ordered: whether to return results in the inputs' order; otherwise in the order in which they arrive.
            stream: whether results have open streams, to be read or closed before others can begin. Leaving the block closes
                them.
            on_error: "return" results with an `error`, or "raise" it.
            **params: as for `acompletion`, for every call.

        Returns:
            A `Result` for each input, with `index`, `input`, `response` or `error`, `attempts` and `timings`. Leaving the
            block cancels the calls in flight.

        Raises:
            BadRequestError, UnknownProviderError, AuthenticationError: an argument is wrong; nothing was sent. A mistake in a
                single input is the `error` of its result.
        """
        from ..jobs.map import CONCURRENCY, Results, asking

        target_of(self._request("chat", model, [{"role": "user", "content": ""}], params, stream))
        if concurrency is None:
            concurrency = (self._gate.max_concurrency if self._gate is not None else None) or CONCURRENCY
        ask = asking(self.acompletion, model, {**params, "stream": True} if stream else {**params})
        return Results(ask, inputs, concurrency=concurrency, ordered=ordered, on_error=on_error)

    async def abatch_completion(
        self, model: str, messages: "Sequence[Messages]" = (), *, max_workers: int = 100, **params: "Unpack[ChatParams]"
    ) -> list[ModelResponse | TokenwireError]:
        """Request a completion of each of several conversations, like LiteLLM's `batch_completion`.

        Args:
            model: as for `acompletion`.
            messages: a list of message lists.
            max_workers: the most calls at the same time.
            **params: as for `acompletion`, for every call.

        Returns:
            The answers in the order of `messages`; for a failed call, its exception instead.

        Raises:
            BadRequestError, UnknownProviderError, AuthenticationError: an argument is wrong; nothing was sent.
        """
        if not isinstance(messages, list | tuple):
            raise wrong("messages", "a list of message lists", messages)
        if params.get("stream"):
            raise refused("stream", "batch_completion returns whole answers: map(..., stream=True) returns streams")
        async with self.amap(model, messages, concurrency=max_workers, ordered=True, **params) as results:
            return [cast("ModelResponse | TokenwireError", result.response or result.error) async for result in results]

    def _request(self, kind: Kind, model: object, content: object, params: Mapping[str, Any], stream: object) -> Request:
        return parse_request(kind, model, content, stream, params, self._defaults, self._handlers)

    def _stream(self, request: Request, shape: Shape) -> AsyncStream[Any]:
        return AsyncStream(stream_call(request, self._pools, shape, self._gate))


def _check_gate(gate: object) -> None:
    from .._calls.gate import Gate

    if not isinstance(gate, Gate):
        raise wrong("gate", "a tokenwire.Gate", gate)


def _check_transport(transport: object) -> None:
    from ..http.transport import HTTPTransport

    if not isinstance(transport, HTTPTransport):
        raise refused(
            "transport",
            f"transport must be a tokenwire.HTTPTransport, not {type(transport).__name__}: pass an httpx transport in"
            " http_client=httpx.AsyncClient(transport=...)",
        )


def pools_of(client: AsyncClient) -> ClientPools:
    """A client's pools, for the sync API, which closes them from other threads."""
    return client._pools


default_client = AsyncClient()


async def aclose() -> None:
    """Close the connections of the package's functions in this event loop; the next call opens new ones.

    Need not be called: they are closed when the event loop shuts down.
    """
    await default_client._pools.leave_loop()
