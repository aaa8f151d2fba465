"""The package's functions for sync code."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

from .. import _api
from ..types import (
    EmbeddingResponse,
    GenericStreamingChunk,
    ImageResponse,
    ModelList,
    ModelResponse,
    ModelResponseStream,
    TextCompletionResponse,
)
from .portal import run
from .stream import Stream

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..types.params import CallParams, ChatParams, EmbeddingParams, ImageParams, Messages, TextParams


@overload
def completion(
    model: str, messages: "Messages | None" = None, *, stream: Literal[False] = False, **params: "Unpack[ChatParams]"
) -> ModelResponse: ...
@overload
def completion(
    model: str, messages: "Messages | None" = None, *, stream: Literal[True], **params: "Unpack[ChatParams]"
) -> Stream[ModelResponseStream]: ...
@overload
def completion(
    model: str, messages: "Messages | None" = None, *, stream: bool, **params: "Unpack[ChatParams]"
) -> ModelResponse | Stream[ModelResponseStream]: ...
def completion(
    model: str, messages: "Messages | None" = None, *, stream: bool = False, **params: "Unpack[ChatParams]"
) -> ModelResponse | Stream[ModelResponseStream]:
    """Ask a model for a chat completion, from sync code: `acompletion` with the same arguments, results and errors.

    It works in any thread. Inside a running event loop (a notebook, a coroutine) it works as well, and blocks that loop
    while it waits; there `acompletion` is the better choice.
    """
    if stream is True:
        return Stream(_api.acompletion, (model, messages), {"stream": True, **params})
    return run(_api.acompletion, model, messages, stream=stream, **params)


def streaming(model: str, messages: "Messages | None" = None, **params: "Unpack[ChatParams]") -> Stream[GenericStreamingChunk]:
    """Stream a chat completion as flat chunks, from sync code: `astreaming` with the same arguments, results and errors."""
    return Stream(_api.astreaming, (model, messages), {**params})


@overload
def text_completion(
    model: str,
    prompt: "str | Sequence[Any] | None" = None,
    *,
    stream: Literal[False] = False,
    **params: "Unpack[TextParams]",
) -> TextCompletionResponse: ...
@overload
def text_completion(
    model: str, prompt: "str | Sequence[Any] | None" = None, *, stream: Literal[True], **params: "Unpack[TextParams]"
) -> Stream[TextCompletionResponse]: ...
@overload
def text_completion(
    model: str, prompt: "str | Sequence[Any] | None" = None, *, stream: bool, **params: "Unpack[TextParams]"
) -> TextCompletionResponse | Stream[TextCompletionResponse]: ...
def text_completion(
    model: str, prompt: "str | Sequence[Any] | None" = None, *, stream: bool = False, **params: "Unpack[TextParams]"
) -> TextCompletionResponse | Stream[TextCompletionResponse]:
    """Ask a model to continue a text, from sync code: `atext_completion` with the same arguments, results and errors."""
    if stream is True:
        return Stream(_api.atext_completion, (model, prompt), {"stream": True, **params})
    return run(_api.atext_completion, model, prompt, stream=stream, **params)


def embedding(model: str, input: "str | Sequence[Any] | None" = None, **params: "Unpack[EmbeddingParams]") -> EmbeddingResponse:
    """Embed texts, from sync code: `aembedding` with the same arguments, results and errors."""
    return run(_api.aembedding, model, input, **params)


def image_generation(prompt: str, model: str, **params: "Unpack[ImageParams]") -> ImageResponse:
    """Make images, from sync code: `aimage_generation` with the same arguments, results and errors."""
    return run(_api.aimage_generation, prompt, model, **params)


def list_models(model: str = "openai/*", **params: "Unpack[CallParams]") -> ModelList:
    """List an endpoint's models, from sync code: `alist_models` with the same arguments, results and errors."""
    return run(_api.alist_models, model, **params)
