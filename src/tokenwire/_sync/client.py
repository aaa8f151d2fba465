"""`Client`: the calls for sync code, with defaults of their own, a lifetime and a connection pool."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NoReturn, overload

from .._client import AsyncClient
from ..types import (
    EmbeddingResponse,
    GenericStreamingChunk,
    ImageResponse,
    ModelList,
    ModelResponse,
    ModelResponseStream,
    TextCompletionResponse,
)
from .portal import Portal, run
from .stream import Stream

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..types.params import CallParams, ChatParams, EmbeddingParams, ImageParams, Messages, TextParams


class Client:
    """Calls models, from sync code: what `AsyncClient` is to async code.

    Args:
        handlers: by provider, handlers that answer this client's calls and nobody else's, as those of `AsyncClient`.
        **defaults: keywords for every call made through this client; a call's own keywords win.

    Use it in `with`, or call `close()`. Its methods may be called from several threads.
    """

    def __init__(self, *, handlers: Mapping[str, Any] | None = None, **defaults: "Unpack[ChatParams]") -> None:
        self._client = AsyncClient(handlers=handlers, **defaults)
        self._portals: set[Portal] = set()  # on whose loops it has made calls

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Client {'closed' if self._client._closed else 'open'}>"

    def __getstate__(self) -> NoReturn:
        raise TypeError("a client can't be pickled or copied: it has keys and connections; make another one")

    def close(self) -> None:
        """Close the pool's connections, those of open streams too. Safe to call twice."""
        self._client._closed = True  # at once, and where no loop runs that could hear of it
        here = Portal.current()
        for portal in list(self._portals):
            if portal.is_in_this_process():
                closing = portal.start(self._client.aclose)
                if portal is here:  # any other may be waiting for this one
                    closing.result()

    @property
    def _calls(self) -> AsyncClient:
        """Makes the calls, on the loop that they are made on from here: a handler that makes calls has another than others."""
        self._portals.add(Portal.current())
        return self._client

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
        """As `tokenwire.completion`."""
        if stream is True:
            return Stream(self._calls.acompletion, (model, messages), {"stream": True, **params})
        return run(self._calls.acompletion, model, messages, stream=stream, **params)

    def streaming(
        self, model: str, messages: "Messages | None" = None, **params: "Unpack[ChatParams]"
    ) -> Stream[GenericStreamingChunk]:
        """As `tokenwire.streaming`."""
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
        """As `tokenwire.text_completion`."""
        if stream is True:
            return Stream(self._calls.atext_completion, (model, prompt), {"stream": True, **params})
        return run(self._calls.atext_completion, model, prompt, stream=stream, **params)

    def embedding(
        self, model: str, input: "str | Sequence[Any] | None" = None, **params: "Unpack[EmbeddingParams]"
    ) -> EmbeddingResponse:
        """As `tokenwire.embedding`."""
        return run(self._calls.aembedding, model, input, **params)

    def image_generation(self, prompt: str, model: str, **params: "Unpack[ImageParams]") -> ImageResponse:
        """As `tokenwire.image_generation`."""
        return run(self._calls.aimage_generation, prompt, model, **params)

    def list_models(self, model: str = "openai/*", **params: "Unpack[CallParams]") -> ModelList:
        """As `tokenwire.list_models`."""
        return run(self._calls.alist_models, model, **params)
