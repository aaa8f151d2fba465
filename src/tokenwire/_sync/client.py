"""`Client`: all calls for sync code, with default keywords, a lifetime and a connection pool.

The package's functions are the methods of `default_client`, which uses the async default client; see `functions`.
"""

from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from .._client.client import AsyncClient, default_client as default_async_client, pools_of
from ..exceptions import TokenwireError
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
from .portal import Portal, run
from .results import MapResults
from .stream import ParsedStream, Stream

T = TypeVar("T")

if TYPE_CHECKING:
    from typing_extensions import TypeForm, Unpack

    from .._calls.gate import Gate
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


class Client:
    """Calls models from sync code, as `AsyncClient` does from async code.

    Args:
        handlers: by provider, handlers for this client's calls only, as for `AsyncClient`.
        gate: a `Gate`, which may be shared with other clients, including async ones.
        **defaults: keywords for every call made through this client; a call's own keywords take precedence.

    Use it in `with`, or call `close()`; dropping it also closes its connections. Its methods may be called from several
    threads, also from those that outlive the main thread, and by functions registered with `atexit`.
    """

    def __init__(
        self, *, handlers: Mapping[str, Any] | None = None, gate: "Gate | None" = None, **defaults: "Unpack[ChatParams]"
    ) -> None:
        self._client = AsyncClient(handlers=handlers, gate=gate, **defaults)
        self._portals: set[Portal] = set()  # the portals on whose loops it has made calls

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Client {'closed' if pools_of(self._client).closed else 'open'}>"

    def __reduce__(self) -> str:
        if self is default_client:  # the package's functions are its methods, and must be picklable
            return "default_client"
        raise TypeError("a client can't be pickled or copied: it has keys and connections; make another one")

    def close(self) -> None:
        """Close the pool's connections, including those of open streams. Safe to call twice."""
        pools_of(self._client).closed = True  # at once, also if no loop is running
        here = Portal.current()
        for portal in list(self._portals):
            if portal.is_running and portal.is_in_this_process():
                closing = portal.start(self._client.aclose)
                if portal is here:  # waiting for any other could be a deadlock
                    closing.result()

    @property
    def _calls(self) -> AsyncClient:
        """The async client for calls from this thread: a handler that makes calls itself needs another loop than its caller."""
        self._portals.add(Portal.current())
        return self._client

    @overload
    def completion(
        self,
        model: str,
        messages: "Messages | None" = None,
        *,
        response_format: "TypeForm[T]",
        stream: Literal[False] = False,
        **params: "Unpack[TypedChatParams]",
    ) -> ParsedResponse[T]: ...
    @overload
    def completion(
        self,
        model: str,
        messages: "Messages | None" = None,
        *,
        response_format: "TypeForm[T]",
        stream: Literal[True],
        **params: "Unpack[TypedChatParams]",
    ) -> ParsedStream[ModelResponseStream, T]: ...
    @overload
    def completion(
        self, model: str, messages: "Messages | None" = None, *, stream: Literal[False] = False, **params: "Unpack[ChatParams]"
    ) -> ModelResponse: ...
    @overload
    def completion(
        self, model: str, messages: "Messages | None" = None, *, stream: Literal[True], **params: "Unpack[ChatParams]"
    ) -> Stream[ModelResponseStream]: ...
    @overload
    def completion(
        self, model: str, messages: "Messages | None" = None, *, stream: bool, **params: "Unpack[ChatParams]"
    ) -> ModelResponse | Stream[ModelResponseStream]: ...
    def completion(
        self, model: str, messages: "Messages | None" = None, *, stream: bool = False, **params: "Unpack[ChatParams]"
    ) -> ModelResponse | Stream[ModelResponseStream]:
        """Request a chat completion, from sync code: `acompletion` with the same arguments, results and errors.

        It works in any thread. In a running event loop (a notebook, a coroutine) it works too, but blocks that loop while it
        waits: use `acompletion` there.
        """
        if stream is True:
            return Stream(self._calls.acompletion, (model, messages), {"stream": True, **params})
        return run(self._calls.acompletion, model, messages, stream=stream, **params)

    @overload
    def streaming(
        self,
        model: str,
        messages: "Messages | None" = None,
        *,
        response_format: "TypeForm[T]",
        **params: "Unpack[TypedChatParams]",
    ) -> ParsedStream[GenericStreamingChunk, T]: ...
    @overload
    def streaming(
        self, model: str, messages: "Messages | None" = None, **params: "Unpack[ChatParams]"
    ) -> Stream[GenericStreamingChunk]: ...
    def streaming(
        self, model: str, messages: "Messages | None" = None, **params: "Unpack[ChatParams]"
    ) -> Stream[GenericStreamingChunk]:
        """Stream a chat completion as flat chunks, from sync code: `astreaming` with the same arguments, results and errors."""
        return Stream(self._calls.astreaming, (model, messages), {**params})

    @overload
    def text_completion(
        self,
        model: str,
        prompt: "str | Sequence[Any] | None" = None,
        *,
        stream: Literal[False] = False,
        **params: "Unpack[TextParams]",
    ) -> TextCompletionResponse: ...
    @overload
    def text_completion(
        self, model: str, prompt: "str | Sequence[Any] | None" = None, *, stream: Literal[True], **params: "Unpack[TextParams]"
    ) -> Stream[TextCompletionResponse]: ...
    @overload
    def text_completion(
        self, model: str, prompt: "str | Sequence[Any] | None" = None, *, stream: bool, **params: "Unpack[TextParams]"
    ) -> TextCompletionResponse | Stream[TextCompletionResponse]: ...
    def text_completion(
        self, model: str, prompt: "str | Sequence[Any] | None" = None, *, stream: bool = False, **params: "Unpack[TextParams]"
    ) -> TextCompletionResponse | Stream[TextCompletionResponse]:
        """Request the continuation of a text, from sync code: `atext_completion` with the same arguments, results and errors."""
        if stream is True:
            return Stream(self._calls.atext_completion, (model, prompt), {"stream": True, **params})
        return run(self._calls.atext_completion, model, prompt, stream=stream, **params)

    def embedding(
        self, model: str, input: "str | Sequence[Any] | None" = None, **params: "Unpack[EmbeddingParams]"
    ) -> EmbeddingResponse:
        """Embed texts, from sync code: `aembedding` with the same arguments, results and errors."""
        return run(self._calls.aembedding, model, input, **params)

    def image_generation(self, prompt: str, model: str, **params: "Unpack[ImageParams]") -> ImageResponse:
        """Generate images, from sync code: `aimage_generation` with the same arguments, results and errors."""
        return run(self._calls.aimage_generation, prompt, model, **params)

    def image_edit(
        self, image: "File | Sequence[File]", *, prompt: str, model: str, **params: "Unpack[ImageEditParams]"
    ) -> ImageResponse:
        """Edit images, from sync code: `aimage_edit` with the same arguments, results and errors."""
        return run(self._calls.aimage_edit, image, prompt=prompt, model=model, **params)

    def count_tokens(self, model: str, messages: "Messages" = (), **params: "Unpack[ChatParams]") -> TokenCount:
        """Count a conversation's tokens, from sync code: `acount_tokens` with the same arguments, results and errors."""
        return run(self._calls.acount_tokens, model, messages, **params)

    def list_models(self, model: str = "openai/*", **params: "Unpack[CallParams]") -> ModelList:
        """List an endpoint's models, from sync code: `alist_models` with the same arguments, results and errors."""
        return run(self._calls.alist_models, model, **params)

    @overload
    def map(
        self,
        model: str,
        inputs: Iterable[Any],
        *,
        response_format: "TypeForm[T]",
        concurrency: int | None = None,
        ordered: bool = False,
        stream: Literal[False] = False,
        on_error: Literal["return", "raise"] = "return",
        **params: "Unpack[TypedChatParams]",
    ) -> MapResults[ParsedResponse[T]]: ...
    @overload
    def map(
        self,
        model: str,
        inputs: Iterable[Any],
        *,
        response_format: "TypeForm[T]",
        concurrency: int | None = None,
        ordered: bool = False,
        stream: Literal[True],
        on_error: Literal["return", "raise"] = "return",
        **params: "Unpack[TypedChatParams]",
    ) -> MapResults[ParsedStream[ModelResponseStream, T]]: ...
    @overload
    def map(
        self,
        model: str,
        inputs: Iterable[Any],
        *,
        concurrency: int | None = None,
        ordered: bool = False,
        stream: Literal[False] = False,
        on_error: Literal["return", "raise"] = "return",
        **params: "Unpack[ChatParams]",
    ) -> MapResults[ModelResponse]: ...
    @overload
    def map(
        self,
        model: str,
        inputs: Iterable[Any],
        *,
        concurrency: int | None = None,
        ordered: bool = False,
        stream: Literal[True],
        on_error: Literal["return", "raise"] = "return",
        **params: "Unpack[ChatParams]",
    ) -> MapResults[Stream[ModelResponseStream]]: ...
    def map(
        self,
        model: str,
        inputs: Iterable[Any],
        *,
        concurrency: int | None = None,
        ordered: bool = False,
        stream: bool = False,
        on_error: Literal["return", "raise"] = "return",
        **params: "Unpack[ChatParams]",
    ) -> MapResults[Any]:
        """Make many calls, with a limited concurrency, from sync code: `amap` with the same arguments, results and errors.

        `for result in client.map(...)`, preferably in `with client.map(...) as results`, which cancels calls in flight
        however the block ends. The inputs are read in the thread that iterates, and may block it.
        """
        keywords = {"concurrency": concurrency, "ordered": ordered, "stream": stream, "on_error": on_error, **params}
        return MapResults(self._calls.amap, model, inputs, keywords)

    def batch_completion(
        self, model: str, messages: "Sequence[Messages]" = (), *, max_workers: int = 100, **params: "Unpack[ChatParams]"
    ) -> list[ModelResponse | TokenwireError]:
        """Request a completion of each of several conversations, from sync code: `abatch_completion`."""
        return run(self._calls.abatch_completion, model, messages, max_workers=max_workers, **params)


default_client = Client()
default_client._client = default_async_client
