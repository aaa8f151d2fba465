"""`mock_response`: the answer that the caller gives, without a key and without a network."""

from collections.abc import AsyncIterator
from typing import Any

import anyio

from ..exceptions import (
    APIError,
    BadRequestError,
    ContextWindowExceededError,
    InternalServerError,
    MockException,
    RateLimitError,
    Timeout,
    refused,
    wrong,
)
from ..types import (
    ChatCompletionMessageToolCall,
    Choices,
    Embedding,
    EmbeddingResponse,
    ImageResponse,
    Message,
    ModelResponse,
    ModelResponseStream,
    Usage,
)
from ..types._record import coerce
from ..wire.convert import response_chunks
from ..wire.errors import error_from_exception

TOOL_CALL_CONTENT = "This is a mock request"
PIECE = 3  # characters per streamed chunk

# LiteLLM's magic strings. Its other "litellm.Something" strings are plain answers.
_ERRORS: dict[str, type[APIError]] = {
    "litellm.RateLimitError": RateLimitError,
    "litellm.ContextWindowExceededError": ContextWindowExceededError,
    "litellm.InternalServerError": InternalServerError,
}
_ERROR_PREFIXES: dict[str, tuple[type[APIError], int]] = {
    "Exception: content_filter_policy": (BadRequestError, 400),
    "Exception: mock_streaming_error": (MockException, 529),
}


class Mock:
    """Answers with the caller's `mock_response`.

    Args:
        mock: the caller's `mock_...` keywords.
            `mock_response`: a str is the answer's text, "" an empty one; a dict the fields of a `ModelResponse`; a
            `ModelResponse` the answer itself; an exception is raised; a list of floats is an embedding, a list of dicts
            are images.
            `mock_tool_calls`: the answer calls these tools.
            `mock_timeout`: wait for the call's timeout, then raise it. `mock_delay`: seconds to wait first.
        n: how many choices.
        seconds: the call's timeout.
    """

    def __init__(self, mock: dict[str, Any], *, n: int, seconds: float) -> None:
        self._mock = mock
        self._n = n
        self._seconds = seconds

    async def acompletion(self, *, model: str, **_: object) -> ModelResponse:
        """The whole answer."""
        await self._wait()
        return self._answer(model)

    async def astreaming(self, *, model: str, **_: object) -> AsyncIterator[ModelResponseStream]:
        """The same answer in pieces of three characters."""
        await self._wait()
        answer = self._answer(model)
        return _pieces(answer)

    async def aembedding(self, *, model: str, input: object, **_: object) -> EmbeddingResponse:
        """One vector, the `mock_response`, for each input."""
        await self._wait()
        vector = self._mock.get("mock_response")
        _raise_if_error(vector)
        if isinstance(vector, EmbeddingResponse):
            return vector
        if not isinstance(vector, list):
            raise refused("mock_response", "mock_response must be a list of floats for an embedding")
        count = len(input) if isinstance(input, list | tuple) else 1
        data = [Embedding(embedding=vector, index=index) for index in range(count)]
        return EmbeddingResponse(model=model, data=data, usage=Usage(prompt_tokens=10, total_tokens=10))

    async def aimage_generation(self, **_: object) -> ImageResponse:
        """The `mock_response`: an `ImageResponse`, or its images."""
        await self._wait()
        images = self._mock.get("mock_response")
        _raise_if_error(images)
        if isinstance(images, ImageResponse):
            return images
        if not isinstance(images, list):
            raise refused("mock_response", "mock_response must be a list of dicts for images")
        return ImageResponse(data=images)

    aimage_edit = aimage_generation

    async def _wait(self) -> None:
        if self._mock.get("mock_timeout"):
            await anyio.sleep(self._seconds)
            raise Timeout("mock_timeout: no answer in time", budget="total")
        delay = self._mock.get("mock_delay")
        if delay is not None:
            if not isinstance(delay, int | float) or delay < 0:
                raise wrong("mock_delay", "seconds, 0 or more", delay)
            await anyio.sleep(delay)

    def _answer(self, model: str) -> ModelResponse:
        mock = self._mock.get("mock_response")
        _raise_if_error(mock)
        if isinstance(mock, ModelResponse):
            return mock
        if isinstance(mock, dict):
            fields: dict[str, Any] = {"model": model, **mock}
            return ModelResponse(**fields)
        calls = self._mock.get("mock_tool_calls")
        if mock is None:
            mock = TOOL_CALL_CONTENT
        if not isinstance(mock, str):
            mock = str(mock)  # True or a number, which LiteLLM returns unchanged, as text
        choices = [
            Choices(index=index, message=Message(content=mock, tool_calls=coerce(calls, ChatCompletionMessageToolCall)))
            for index in range(self._n)
        ]
        usage = Usage(prompt_tokens=10, completion_tokens=20, total_tokens=30)
        return ModelResponse(model=model, choices=choices, usage=usage)


def _raise_if_error(mock: object) -> None:
    if isinstance(mock, BaseException):
        if isinstance(mock, APIError) or isinstance(getattr(mock, "status_code", None), int):
            raise error_from_exception(mock) from mock.__cause__
        raise InternalServerError(f"mock_response: {getattr(mock, 'text', None) or mock}") from mock
    if isinstance(mock, str):
        if mock in _ERRORS:
            raise _ERRORS[mock](f"raised as requested by mock_response: {mock}")
        for prefix, (cls, status) in _ERROR_PREFIXES.items():
            if mock.startswith(prefix):
                raise cls(mock, status_code=status)


async def _pieces(answer: ModelResponse) -> AsyncIterator[ModelResponseStream]:
    beginning, ending = response_chunks(answer)
    texts = [choice.delta.content or "" for choice in beginning.choices]
    for start in range(0, max((len(text) for text in texts), default=0) or 1, PIECE):
        choices = []
        for choice, text in zip(beginning.choices, texts, strict=True):
            delta = choice.delta if start == 0 else type(choice.delta)()
            piece = choice.model_copy(update={"delta": delta.model_copy(update={"content": text[start : start + PIECE]})})
            choices.append(piece)
        yield beginning.model_copy(update={"choices": choices})
    yield ending
