"""The package's functions, on a default client."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

from ._client import default_client
from ._stream import AsyncStream
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


@overload
async def acompletion(
    model: str, messages: "Messages | None" = None, *, stream: Literal[False] = False, **params: "Unpack[ChatParams]"
) -> ModelResponse: ...
@overload
async def acompletion(
    model: str, messages: "Messages | None" = None, *, stream: Literal[True], **params: "Unpack[ChatParams]"
) -> AsyncStream[ModelResponseStream]: ...
@overload
async def acompletion(
    model: str, messages: "Messages | None" = None, *, stream: bool, **params: "Unpack[ChatParams]"
) -> ModelResponse | AsyncStream[ModelResponseStream]: ...
async def acompletion(
    model: str, messages: "Messages | None" = None, *, stream: bool = False, **params: "Unpack[ChatParams]"
) -> ModelResponse | AsyncStream[ModelResponseStream]:
    """Ask a model for a chat completion.

    Args:
        model: "<provider>/<model>": "openai/..." for any OpenAI-compatible endpoint, or the name of a registered handler.
        messages: a list of dicts with `role` and `content`; a `Message` from an earlier answer can stand in it as it is.
        stream: answer in chunks.
        **params: OpenAI's parameters (`temperature`, `tools`, `n`, ...) and the call's own (`api_base`, `api_key`,
            `timeout`, `num_retries`, ...: see `types.params.CallParams`). A keyword that is neither goes into the
            request's body, and into `optional_params` for handlers.

    Returns:
        The whole completion; with `stream=True` an `AsyncStream` of chunks in OpenAI's shape, once the response has begun.

    Raises:
        BadRequestError: an argument is wrong; nothing was sent. Also the server's own 400.
        UnknownProviderError: nobody answers for this model; nothing was sent.
        AuthenticationError: no key where one is needed (nothing was sent), or the server refused it.
        Timeout: a deadline ran out; its `budget` says which.
        APIConnectionError: no connection, or a broken one.
        APIResponseValidationError: the answer is not what the protocol says.
        APIError: any other failure, as the class of its status (`RateLimitError`, `InternalServerError`, ...).

    Cancelling the task releases the connection at once. The protocol is OpenAI's "Create chat completion".
    """
    return await default_client.acompletion(model, messages, stream=stream, **params)


def astreaming(
    model: str, messages: "Messages | None" = None, **params: "Unpack[ChatParams]"
) -> AsyncStream[GenericStreamingChunk]:
    """Stream a chat completion as flat chunks, the fastest way there is: `async for chunk in astreaming(...)`.

    Takes what `acompletion` takes. Nothing is sent before the first chunk is asked for, which is where the errors
    come that `acompletion` raises; only wrong arguments are refused at once.

    Returns:
        An `AsyncStream` of `GenericStreamingChunk`: `chunk.text` is what each adds. It needs no `await`.

    Raises:
        BadRequestError, UnknownProviderError, AuthenticationError: as `acompletion`, before anything is sent.
    """
    return default_client.astreaming(model, messages, **params)


@overload
async def atext_completion(
    model: str,
    prompt: "str | Sequence[Any] | None" = None,
    *,
    stream: Literal[False] = False,
    **params: "Unpack[TextParams]",
) -> TextCompletionResponse: ...
@overload
async def atext_completion(
    model: str, prompt: "str | Sequence[Any] | None" = None, *, stream: Literal[True], **params: "Unpack[TextParams]"
) -> AsyncStream[TextCompletionResponse]: ...
@overload
async def atext_completion(
    model: str, prompt: "str | Sequence[Any] | None" = None, *, stream: bool, **params: "Unpack[TextParams]"
) -> TextCompletionResponse | AsyncStream[TextCompletionResponse]: ...
async def atext_completion(
    model: str, prompt: "str | Sequence[Any] | None" = None, *, stream: bool = False, **params: "Unpack[TextParams]"
) -> TextCompletionResponse | AsyncStream[TextCompletionResponse]:
    """Ask a model to continue a text, by OpenAI's older `/completions`.

    Args:
        model: as for `acompletion`. Handlers get the prompt as a user's message.
        prompt: a str, a list of them (a choice each), a list of token ids, or a list of such lists.
        stream: answer in chunks.
        **params: as for `acompletion`.

    Returns:
        The whole completion; with `stream=True` an `AsyncStream` of pieces of one.

    Raises:
        APIError: as `acompletion`.
    """
    return await default_client.atext_completion(model, prompt, stream=stream, **params)


async def aembedding(
    model: str, input: "str | Sequence[Any] | None" = None, **params: "Unpack[EmbeddingParams]"
) -> EmbeddingResponse:
    """Embed texts.

    Args:
        model: as for `acompletion`.
        input: a str, a list of them, or token ids.
        **params: as for `acompletion`; `dimensions` and `encoding_format` are OpenAI's.

    Returns:
        A vector for each input, in `data`.

    Raises:
        APIError: as `acompletion`.
    """
    return await default_client.aembedding(model, input, **params)


async def aimage_generation(prompt: str, model: str, **params: "Unpack[ImageParams]") -> ImageResponse:
    """Make images.

    Args:
        prompt: what they should show.
        model: as for `acompletion`.
        **params: as for `acompletion`; `n`, `size` and `quality` are OpenAI's.

    Returns:
        The images in `data`, by address or as base64 text.

    Raises:
        APIError: as `acompletion`.
    """
    return await default_client.aimage_generation(prompt, model, **params)


async def alist_models(model: str = "openai/*", **params: "Unpack[CallParams]") -> ModelList:
    """List the models that an endpoint offers, by `GET /models`.

    Args:
        model: names the provider alone; what stands behind the "/" is not looked at.
        **params: `api_base`, `api_key` and the other keywords of every call.

    Returns:
        The models in `data`.

    Raises:
        APIError: as `acompletion`; also for a handler that has no method `alist_models`.
    """
    return await default_client.alist_models(model, **params)
