"""From whatever the user wrote to the four things a call needs: a whole, a stream, embeddings, images.

A handler may be a `CustomLLM`, any object with some of its methods, or a function. `Bridge` finds out what is there
and derives the rest: async from sync in a worker thread, a whole from a stream, a stream from a whole. What the handler
raises becomes one of our exceptions here, and what it yields becomes chunks.
"""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import anyio

from ..exceptions import APIError, APIResponseValidationError, StreamTruncatedError
from ..types import (
    Choices,
    EmbeddingResponse,
    ImageResponse,
    Message,
    ModelResponse,
    ModelResponseStream,
    TextCompletionResponse,
)
from ..types._record import Record, in_own_terms
from ..wire.convert import Shape, chat_response, text_response
from ..wire.errors import error_from_exception
from .base import FOREVER, ChunkSource
from .custom_llm import NOT_IMPLEMENTED, CustomLLMError, is_missing
from .handler_stream import HandlerSource, cause_of, name_of, whole_class_of
from .threads import run_in_thread

METHODS = (
    "completion",
    "streaming",
    "acompletion",
    "astreaming",
    "embedding",
    "aembedding",
    "image_generation",
    "aimage_generation",
)
MISSING: Any = object()  # in place of an answer, from a handler that lacks the method; None would be an answer


class Method:
    """One method of a handler, or the function registered in a handler's place."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self._named = _named_parameters(function)
        # The call of a generator function of either kind only makes the generator: none of its code runs yet.
        kinds = (inspect.iscoroutinefunction, inspect.isasyncgenfunction, inspect.isgeneratorfunction)
        self._on_loop = any(is_kind(function) for is_kind in kinds)

    async def __call__(self, kwargs: dict[str, Any]) -> Any:
        """Call it where it belongs: a plain function may block, so it runs in a worker thread."""
        if self._named is not None:
            kwargs = {name: value for name, value in kwargs.items() if name in self._named}
        result = self.function(**kwargs) if self._on_loop else await run_in_thread(self.function, **kwargs)
        return await result if inspect.isawaitable(result) else result


def _named_parameters(function: Callable[..., Any]) -> frozenset[str] | None:
    """The keywords a function takes; None when it takes any."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return frozenset(parameter.name for parameter in parameters)


class Bridge:
    """A handler as the rest of the library calls it. All methods raise `APIError` alone."""

    def __init__(self, handler: Any, provider: str) -> None:
        self.handler = handler
        self.provider = provider
        self._methods: dict[str, Method] = {}
        self._role = ""  # of a function registered as a handler: the method it stands for
        if callable(handler) and all(is_missing(getattr(handler, name, None)) for name in METHODS):
            function = handler if inspect.isroutine(handler) or isinstance(handler, partial) else handler.__call__
            self._role = _role_of(function)
            self._methods[self._role] = Method(function)

    async def complete(self, kwargs: dict[str, Any], cls: type[Any] = ModelResponse) -> Any:
        """A whole completion, a `cls`: from the handler's own method, or collected from its stream."""
        try:
            result = await self._first_of(("acompletion", "completion"), kwargs, missing_ok=True)
            if result is MISSING:
                result = await self._collect(await self._first_of(("astreaming", "streaming"), kwargs), kwargs)
            elif _is_stream(result):  # from a function that did not look like a generator function
                result = await self._collect(result, kwargs)
            return self._whole(result, kwargs["model"], cls)
        except Exception as error:  # noqa: BLE001  (the handler's: it can be anything)
            raise self.translated(error, kwargs["model"]) from cause_of(error)

    async def open(self, kwargs: dict[str, Any], shape: Shape) -> ChunkSource[Any]:
        """A stream, not started: the handler's own, or one made of its whole completion."""
        try:
            result = await self._first_of(("astreaming", "streaming"), kwargs, missing_ok=True)
            if result is MISSING:
                result = await self._first_of(("acompletion", "completion"), kwargs)
        except Exception as error:  # noqa: BLE001  (the handler's: it can be anything)
            raise self.translated(error, kwargs["model"]) from cause_of(error)
        return self._source(result, kwargs["model"], shape)

    async def embed(self, kwargs: dict[str, Any]) -> EmbeddingResponse:
        """Embeddings of `input`."""
        return await self._call(("aembedding", "embedding"), kwargs, EmbeddingResponse)

    async def generate_image(self, kwargs: dict[str, Any]) -> ImageResponse:
        """Images of `prompt`."""
        return await self._call(("aimage_generation", "image_generation"), kwargs, ImageResponse)

    async def _call(self, names: tuple[str, ...], kwargs: dict[str, Any], cls: type[Any]) -> Any:
        try:
            result = await self._first_of(names, kwargs)
            result = cls(**result) if isinstance(result, dict) else result
        except Exception as error:  # noqa: BLE001  (the handler's: it can be anything)
            raise self.translated(error, kwargs["model"]) from cause_of(error)
        if not isinstance(result, cls):
            raise self.unusable(result, f"an {cls.__name__} or a dict of one", kwargs["model"])
        return result

    def _method(self, name: str) -> Method | None:
        """The handler's method of this name, looked at once and again when somebody has replaced it."""
        method = self._methods.get(name)
        if self._role:
            return method
        function: Any = getattr(self.handler, name, None)
        if is_missing(function):
            return None
        if method is None or method.function != function:
            method = self._methods[name] = Method(function)
        return method

    async def _first_of(self, names: tuple[str, ...], kwargs: dict[str, Any], *, missing_ok: bool = False) -> Any:
        """What the first of these methods that is implemented returns; `MISSING` or an error where none is.

        A handler written for LiteLLM may return LiteLLM's models: these come as dicts.
        """
        for name in names:
            method = self._method(name)
            if method is None:
                continue
            try:
                return in_own_terms(await method(kwargs))
            except Exception as error:
                # A user's own base class may say so at call time, as LiteLLM's page shows.
                if getattr(error, "message", None) != NOT_IMPLEMENTED:
                    raise
        if missing_ok:
            return MISSING
        raise CustomLLMError(status_code=500, message=NOT_IMPLEMENTED)

    def translated(self, error: BaseException, model: str) -> APIError:
        """The exception of ours that says what the handler's says."""
        return error_from_exception(error, provider=self.provider, model=model)

    def _source(self, result: Any, model: str, shape: Shape) -> ChunkSource[Any]:
        if isinstance(result, ChunkSource):
            result.shape = shape
            return result
        return HandlerSource(result, self, model, shape)

    async def _collect(self, result: Any, kwargs: dict[str, Any]) -> Any:
        source = self._source(result, kwargs["model"], ModelResponseStream)
        try:
            await source.start(FOREVER)
            while await source.receive():
                pass
            response = source.assembler.response()
            if not source.done and not source.assembler.is_complete():
                raise StreamTruncatedError(
                    f"the handler {name_of(self.handler)} ended its stream without a finish reason for every choice",
                    partial=response,
                )
            return response
        finally:
            with anyio.CancelScope(shield=True):
                await source.aclose()

    def _whole(self, result: Any, model: str, cls: type[Any]) -> Any:
        if isinstance(result, str):
            result = ModelResponse(model=model, choices=[Choices(message=Message(content=result))])
        elif isinstance(result, dict):
            result = (whole_class_of(result) or ModelResponse)(**result)
        if isinstance(result, cls):
            return result
        if isinstance(result, TextCompletionResponse):
            return chat_response(result)
        if isinstance(result, ModelResponse):
            return text_response(result)
        raise self.unusable(result, "a ModelResponse, a dict of one, or str", model)

    def unusable(self, value: Any, expected: str, model: str) -> APIResponseValidationError:
        """The exception that says that the handler returned or yielded something else than `expected`."""
        return APIResponseValidationError(
            f"the handler {name_of(self.handler)} returned {type(value).__name__} where {expected} was expected",
            llm_provider=self.provider,
            model=model,
        )


def _is_stream(value: Any) -> bool:
    return not isinstance(value, str | bytes | dict | Record) and (
        hasattr(value, "__aiter__") or hasattr(value, "__iter__") or hasattr(value, "__next__")
    )


def _role_of(function: Callable[..., Any]) -> str:
    """Which handler method a registered function stands for, by what kind of function it is."""
    if inspect.isasyncgenfunction(function):
        return "astreaming"
    if inspect.iscoroutinefunction(function):
        return "acompletion"
    return "streaming" if inspect.isgeneratorfunction(function) else "completion"
