"""`CustomLLM`, which users subclass to answer calls; with LiteLLM's names."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, NoReturn, TypeVar

from ..types import EmbeddingResponse, GenericStreamingChunk, ImageResponse, ModelResponse
from .base import BaseLLM

F = TypeVar("F", bound=Callable[..., Any])

NOT_IMPLEMENTED = "Not implemented yet!"


class CustomLLMError(Exception):
    """An error with an HTTP status, for handlers to raise; the caller gets the exception class of that status.

    Args:
        status_code: 400 or above. A number as text is accepted, since other APIs' errors have that.
        message: what went wrong, for the caller to read.

    Raises:
        ValueError: the status is not a number.
    """

    def __init__(self, status_code: int | str, message: str) -> None:
        try:
            self.status_code: int = int(status_code)
        except (TypeError, ValueError):
            raise ValueError(f"status_code must be an HTTP status such as 429, not {status_code!r}") from None
        self.message = message
        super().__init__(message)


def _missing(method: F) -> F:
    method.missing = True  # type: ignore[attr-defined]
    return method


def is_missing(method: object) -> bool:
    """Whether a handler's method is only inherited from `CustomLLM`, where it is not implemented."""
    return method is None or getattr(method, "missing", False) is True  # `is True`, as a mock has every attribute


def _not_implemented() -> NoReturn:
    raise CustomLLMError(status_code=500, message=NOT_IMPLEMENTED)


class CustomLLM(BaseLLM):
    """A handler: subclass it and write at least one method; the library derives the others.

    Async from sync runs in a worker thread, sync from async on the library's own event loop; a whole completion is
    collected from a stream, and a stream is made of a whole completion.

    The four completion methods are called with keywords only, LiteLLM's sixteen: `model` (without the provider's
    prefix), `messages`, `optional_params` (the caller's OpenAI parameters and every keyword this library does not
    know; with `stream` for a method that streams, unless it passes `stream` itself), `litellm_params`, `api_key`,
    `api_base`, `headers`, `timeout` (seconds, enforced by the library as well), `client`, `model_response` (an empty
    `ModelResponse` to fill in), `acompletion`, `logging_obj`, `print_verbose`, `logger_fn`, `custom_prompt_dict`,
    `encoding`. Embedding methods get `input`, image methods `prompt`, in place of `messages`; image editing methods also get
    `image`, a list of the caller's bytes, open files, paths, or tuples of a name and one of these. A method without
    `**kwargs` is passed only the keywords it names.

    An async method that also names `http_client` gets an `httpx.AsyncClient` for its own requests, over the connections of
    the client whose call it answers; it must not close it. Other methods are not passed it.

    Some keywords are passed only to methods that name them: `client_request`, the `ClientRequest` that a served handler
    answers, else None; for text completions `prompt`, as given, which may be token ids: a handler that does not name it is
    not called with token ids; and, if the caller gave them, `n`, `best_of`, `echo`, `logprobs` and `web_search_options`, so
    that a server can see whether the handler supports them.

    Raise `CustomLLMError` with an HTTP status to fail; any other exception reaches the caller as an
    `APIConnectionError` with the original as its `__cause__`.
    """

    @_missing
    def completion(self, *args: Any, **kwargs: Any) -> ModelResponse:
        """Answer whole, in a worker thread: a `ModelResponse`, or the text alone."""
        _not_implemented()

    @_missing
    def streaming(self, *args: Any, **kwargs: Any) -> Iterator[GenericStreamingChunk]:
        """Answer in pieces, in a worker thread: str, `GenericStreamingChunk` (or its dict), or `ModelResponseStream`."""
        _not_implemented()

    @_missing
    async def acompletion(self, *args: Any, **kwargs: Any) -> ModelResponse:
        """Answer whole, on the caller's event loop."""
        _not_implemented()

    @_missing
    def astreaming(self, *args: Any, **kwargs: Any) -> AsyncIterator[GenericStreamingChunk]:
        """Answer in pieces, on the caller's event loop; write it as an async generator."""
        _not_implemented()

    @_missing
    def embedding(self, *args: Any, **kwargs: Any) -> EmbeddingResponse:
        """Embed `input`, in a worker thread."""
        _not_implemented()

    @_missing
    async def aembedding(self, *args: Any, **kwargs: Any) -> EmbeddingResponse:
        """Embed `input`, on the caller's event loop."""
        _not_implemented()

    @_missing
    def image_generation(self, *args: Any, **kwargs: Any) -> ImageResponse:
        """Make images of `prompt`, in a worker thread."""
        _not_implemented()

    @_missing
    async def aimage_generation(self, *args: Any, **kwargs: Any) -> ImageResponse:
        """Make images of `prompt`, on the caller's event loop."""
        _not_implemented()

    @_missing
    def image_edit(self, *args: Any, **kwargs: Any) -> ImageResponse:
        """Make images of `image` and `prompt`, in a worker thread."""
        _not_implemented()

    @_missing
    async def aimage_edit(self, *args: Any, **kwargs: Any) -> ImageResponse:
        """Make images of `image` and `prompt`, on the caller's event loop."""
        _not_implemented()

    @_missing
    def count_tokens(self, *args: Any, **kwargs: Any) -> int:
        """Count the tokens of `messages`, with the tools in `optional_params`, in a worker thread."""
        _not_implemented()

    @_missing
    async def acount_tokens(self, *args: Any, **kwargs: Any) -> int:
        """Count the tokens of `messages`, with the tools in `optional_params`, on the caller's event loop."""
        _not_implemented()
