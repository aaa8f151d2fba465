"""From whatever the user wrote to the four things a call needs: a whole, a stream, embeddings, images.

A handler may be a `CustomLLM`, any object with some of its methods, or a function. `Bridge` finds out what is there
and derives the rest: async from sync in a worker thread, a whole from a stream, a stream from a whole. What the handler
raises becomes one of our exceptions here, and what it yields becomes chunks.
"""

import inspect
import time
from collections.abc import Callable, Iterable
from typing import Any

import anyio

from ..exceptions import APIError, APIResponseValidationError, Timeout
from ..types import GenericStreamingChunk, ModelResponse, ModelResponseStream, TextCompletionResponse
from ..types._record import Record
from ..wire.assemble import Assembler
from ..wire.chunks import has_content
from ..wire.convert import Converter, Shape, chat_response, response_chunks, text_response
from ..wire.errors import error_from_exception
from .base import ChunkSource
from .custom_llm import NOT_IMPLEMENTED, CustomLLMError, is_missing
from .threads import ThreadedIterator, run_in_thread

# How other vendors' reasons are called in OpenAI's words; whatever is not here stays as the handler said it.
FINISH_REASONS = {
    **dict.fromkeys(("eos", "eos_token", "stop_sequence", "end_turn", "COMPLETE", "STOP"), "stop"),
    **dict.fromkeys(("max_tokens", "MAX_TOKENS"), "length"),
    "tool_use": "tool_calls",
    **dict.fromkeys(("refusal", "SAFETY", "RECITATION", "guardrail_intervened"), "content_filter"),
}


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


class Method:
    """One method of a handler, or the function registered in a handler's place."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._named = _named_parameters(function)
        self._on_loop = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)

    async def __call__(self, kwargs: dict[str, Any]) -> Any:
        """Call it where it belongs: a plain function may block, so it runs in a worker thread."""
        if self._named is not None:
            kwargs = {name: value for name, value in kwargs.items() if name in self._named}
        result = self._function(**kwargs) if self._on_loop else await run_in_thread(self._function, **kwargs)
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
        found = {name: getattr(handler, name, None) for name in METHODS}
        self._methods = {name: Method(method) for name, method in found.items() if not is_missing(method)}
        if not self._methods and callable(handler):
            function = handler if inspect.isroutine(handler) else getattr(handler, "func", handler.__call__)
            self._methods = {_role_of(function): Method(handler if inspect.isroutine(handler) else handler.__call__)}

    async def complete(self, kwargs: dict[str, Any], cls: type[Any] = ModelResponse) -> Any:
        """A whole completion, a `cls`: from the handler's own method, or collected from its stream."""
        try:
            result = await self._first_of(("acompletion", "completion"), kwargs, missing_ok=True)
            if result is None:
                result = await self._collect(await self._first_of(("astreaming", "streaming"), kwargs), kwargs)
            return self._whole(result, kwargs["model"], cls)
        except Exception as error:
            raise self.translated(error, kwargs["model"]) from _cause(error)

    async def open(self, kwargs: dict[str, Any], shape: Shape) -> ChunkSource[Any]:
        """A stream, not started: the handler's own, or one made of its whole completion."""
        try:
            result = await self._first_of(("astreaming", "streaming"), kwargs, missing_ok=True)
            if result is None:
                result = await self._first_of(("acompletion", "completion"), kwargs)
        except Exception as error:
            raise self.translated(error, kwargs["model"]) from _cause(error)
        return self._source(result, kwargs["model"], shape)

    async def embed(self, kwargs: dict[str, Any]) -> Any:
        """Embeddings of `input`."""
        return await self._call(("aembedding", "embedding"), kwargs)

    async def generate_image(self, kwargs: dict[str, Any]) -> Any:
        """Images of `prompt`."""
        return await self._call(("aimage_generation", "image_generation"), kwargs)

    async def _call(self, names: tuple[str, ...], kwargs: dict[str, Any]) -> Any:
        try:
            return await self._first_of(names, kwargs)
        except Exception as error:
            raise self.translated(error, kwargs["model"]) from _cause(error)

    async def _first_of(self, names: tuple[str, ...], kwargs: dict[str, Any], *, missing_ok: bool = False) -> Any:
        """What the first of these methods that is implemented returns."""
        for name in names:
            method = self._methods.get(name)
            if method is None:
                continue
            try:
                return await method(kwargs)
            except Exception as error:
                # A user's own base class may say so at call time, as LiteLLM's page shows.
                if getattr(error, "message", None) != NOT_IMPLEMENTED:
                    raise
        if missing_ok:
            return None
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
            await source.start(float("inf"))
            while await source.receive(float("inf")):
                pass
            return source.assembler.response() or ModelResponse(choices=[])
        finally:
            with anyio.CancelScope(shield=True):
                await source.aclose()

    def _whole(self, result: Any, model: str, cls: type[Any]) -> Any:
        if isinstance(result, str):
            result = ModelResponse(model=model, choices=[{"message": {"content": result}}])
        elif isinstance(result, dict):
            result = ModelResponse(**result)
        if isinstance(result, cls):
            return result
        if isinstance(result, TextCompletionResponse):
            return chat_response(result)
        if isinstance(result, ModelResponse):
            return text_response(result)
        raise self._unusable(result, "a ModelResponse, a dict of one, or str", model)

    def _unusable(self, value: Any, expected: str, model: str) -> APIResponseValidationError:
        return APIResponseValidationError(
            f"the handler {_name_of(self.handler)} returned {type(value).__name__} where {expected} was expected",
            llm_provider=self.provider,
            model=model,
        )


class HandlerSource(ChunkSource[Any]):
    """A stream from what a handler's streaming method returned.

    `done` is set when the end of the iterator is itself the answer's end: for handlers that yield bare text and so
    have no other way to say it. A handler that yields chunks says in them that it is finished.
    """

    def __init__(self, result: Any, bridge: Bridge, model: str, shape: Shape) -> None:
        self.shape = shape
        self.headers = {}
        self._bridge, self._model = bridge, model
        self._result = result
        converter = Converter(shape, model)
        self._convert = converter.convert
        self.assembler = Assembler(**converter.head)
        self._receive_items: Any = None
        self._iterator: Any = None
        self._thread: ThreadedIterator | None = None
        self._ended = self._text_only = False

    async def start(self, deadline: float) -> None:
        """Begin to iterate; nothing of the handler's stream has run before."""
        result = self._result
        if isinstance(result, str | dict | Record):
            result = [result]
        if hasattr(result, "__aiter__"):
            self._iterator = aiter(result)
            self._receive_items = self._next_item
        elif isinstance(result, list | tuple):
            self._iterator = iter((list(result),))
            self._receive_items = self._whole_list
        elif hasattr(result, "__iter__") or hasattr(result, "__next__"):
            self._thread = ThreadedIterator(result if hasattr(result, "__iter__") else _iterate(result))
            self._thread.start()
            self._receive_items = self._thread.receive
        else:
            raise self._bridge._unusable(result, "an iterator of chunks", self._model)

    async def receive(self, deadline: float) -> list[Any]:
        """The next chunks, converted; see `ChunkSource`."""
        while not self._ended:
            items = await self._items(deadline)
            if not items:
                self._ended = True
                return self._ending() if self._text_only else []
            self.had_content = False
            chunks: list[Any] = []
            for item in items:
                if item is not None:
                    for chunk in self._chunks_of(item):
                        self.assembler.add(chunk)
                        self.had_content = self.had_content or has_content(chunk)
                        chunks += self._convert(chunk)
            if chunks:
                return chunks
        return []

    async def aclose(self) -> None:
        """Close the handler's iterator, so that its `finally` blocks run; bounded."""
        self._ended = True
        if self._thread is not None:
            self._thread.close()
        close = getattr(self._iterator, "aclose", None)
        if close is not None:
            with anyio.move_on_after(CLOSE_SECONDS, shield=True):
                await close()

    async def _items(self, deadline: float) -> list[Any]:
        try:
            if deadline == float("inf"):
                return await self._receive_items()
            with anyio.fail_after(deadline - time.monotonic()) as scope:
                return await self._receive_items()
        except TimeoutError as error:
            if deadline != float("inf") and scope.cancelled_caught:
                raise Timeout("no content in time", llm_provider=self._bridge.provider, model=self._model) from None
            raise self._bridge.translated(error, self._model) from error
        except Exception as error:
            raise self._bridge.translated(error, self._model) from _cause(error)

    async def _next_item(self) -> list[Any]:
        try:
            return [await anext(self._iterator)]
        except StopAsyncIteration:
            return []

    async def _whole_list(self) -> list[Any]:
        return next(self._iterator, [])

    def _chunks_of(self, item: Any) -> Iterable[Any]:
        if isinstance(item, str):
            self._text_only = True
            return [GenericStreamingChunk(text=item)]
        if isinstance(item, dict):
            item = ModelResponseStream(**item) if "choices" in item else GenericStreamingChunk(**item)
        elif isinstance(item, ModelResponse):
            return response_chunks(item)
        elif isinstance(item, TextCompletionResponse):
            return response_chunks(chat_response(item))
        elif not isinstance(item, GenericStreamingChunk | ModelResponseStream):
            expected = "str, GenericStreamingChunk, ModelResponseStream or a dict of one"
            raise self._bridge._unusable(item, expected, self._model)
        return [_in_openai_words(item)]

    def _ending(self) -> list[Any]:
        """The last chunk of a handler that yields bare text: its return is the end of the answer."""
        self.done = True
        self.had_content = False
        if self.assembler.is_complete():
            return []
        ending = GenericStreamingChunk(is_finished=True, finish_reason="stop")
        self.assembler.add(ending)
        return self._convert(ending)


CLOSE_SECONDS = 5.0  # how long a handler's own clean-up may take


def _in_openai_words(chunk: Any) -> Any:
    """The chunk with its finish reason in OpenAI's words: a copy where that changes it, for chunks are the handler's."""
    if isinstance(chunk, GenericStreamingChunk):
        said = chunk.finish_reason or ("stop" if chunk.is_finished else "")
        reason = FINISH_REASONS.get(said, said)
        return chunk if reason == (chunk.finish_reason or "") else chunk.model_copy(update={"finish_reason": reason})
    if not any(choice.finish_reason in FINISH_REASONS for choice in chunk.choices):
        return chunk
    choices = [
        choice.model_copy(update={"finish_reason": FINISH_REASONS.get(choice.finish_reason or "", choice.finish_reason)})
        for choice in chunk.choices
    ]
    return chunk.model_copy(update={"choices": choices})


def _iterate(iterator: Any) -> Iterable[Any]:
    """An object that has only `__next__`, as an iterable."""
    while True:
        try:
            yield next(iterator)
        except StopIteration:
            return


def _role_of(function: Callable[..., Any]) -> str:
    """Which handler method a registered function stands for, by what kind of function it is."""
    if inspect.isasyncgenfunction(function):
        return "astreaming"
    if inspect.iscoroutinefunction(function):
        return "acompletion"
    return "streaming" if inspect.isgeneratorfunction(function) else "completion"


def _name_of(handler: Any) -> str:
    return getattr(handler, "__qualname__", type(handler).__qualname__)


def _cause(error: BaseException) -> BaseException | None:
    """What the translated exception names as its cause: the handler's own, unless that already is one of ours."""
    return error.__cause__ if isinstance(error, APIError) else error
