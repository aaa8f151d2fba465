"""The stream that a handler's method returned, in whatever form, as a source of chunks.

An async iterator is read where it is, an iterator in a thread of its own, a list at once. What is in it becomes chunks
of the caller's shape, and what it raises becomes one of our exceptions. The handler's own objects are never changed.
"""

import logging
from collections.abc import Iterator
from typing import Any, Protocol

import anyio
from anyio import lowlevel

from ..exceptions import APIError, APIResponseValidationError
from ..types import GenericStreamingChunk, ModelResponse, ModelResponseStream, TextCompletionResponse
from ..types._record import Record, in_own_terms
from ..wire.assemble import Assembler
from ..wire.chunks import has_content
from ..wire.convert import Converter, Shape, chat_response, response_chunks, whole_class
from .base import ChunkSource
from .threads import ThreadedIterator

logger: logging.Logger = logging.getLogger("tokenwire")

# How other vendors' reasons are called in OpenAI's words; whatever is not here stays as the handler said it.
FINISH_REASONS = {
    **dict.fromkeys(("eos", "eos_token", "stop_sequence", "end_turn", "COMPLETE", "STOP"), "stop"),
    **dict.fromkeys(("max_tokens", "MAX_TOKENS"), "length"),
    "tool_use": "tool_calls",
    **dict.fromkeys(("refusal", "SAFETY", "RECITATION", "guardrail_intervened"), "content_filter"),
}

_PLAIN_KEYS = frozenset({"text", "is_finished", "finish_reason", "usage", "index", "tool_use"})  # LiteLLM's own six

CHUNKS = "str, GenericStreamingChunk, ModelResponseStream or a dict of one"
CLOSE_SECONDS = 5.0  # how long a handler's own clean-up may take


class Owner(Protocol):
    """Whose stream it is; `bridge.Bridge` is one."""

    handler: Any
    provider: str

    def translated(self, error: BaseException, model: str) -> APIError:
        """The exception of ours that says what the handler's says."""
        ...

    def unusable(self, value: Any, expected: str, model: str) -> APIResponseValidationError:
        """The exception that says that the handler gave something else than `expected`."""
        ...


class HandlerSource(ChunkSource[Any]):
    """A stream from what a handler's streaming method returned.

    `done` is set when the end of the iterator is itself the answer's end: for handlers that yield bare text and so
    have no other way to say it. A handler that yields chunks says in them that it is finished.
    """

    def __init__(self, result: Any, bridge: Owner, model: str, shape: Shape) -> None:
        self.shape = shape
        self.headers: dict[str, str] = {}
        self.had_content: bool = False
        self._bridge, self._model = bridge, model
        self._result = result
        converter = Converter(shape, model)
        self._convert, self._plain_chunk = converter.convert, converter.plain_chunk
        self.assembler: Any = Assembler(whole_class(shape), **converter.head)
        self._items: list[Any] | None = None  # that have arrived; an empty list at the end
        self._error: Exception | None = None  # behind them
        self._waiting: Any = None  # around the wait inside the handler's iterator
        self._reader_left: anyio.Event | None = None
        self._iterator: Any = None
        self._close_iterator: Any = None  # until somebody does
        self._failure: APIError | None = None  # behind chunks of the same items
        self._thread: ThreadedIterator | None = None
        self._ended = self._text_only = False

    async def start(self, deadline: float) -> None:
        """Begin to iterate; nothing of the handler's stream has run before."""
        result = self._result
        self._waiting = _waiting()
        if isinstance(result, str | dict | Record):
            result = [result]
        if isinstance(result, list | tuple):
            self._items = list(result)
        elif _is_async_iterable(result):
            self._iterator = aiter(result)
            self._close_iterator = getattr(self._iterator, "aclose", None)
        elif (hasattr(result, "__iter__") or hasattr(result, "__next__")) and not isinstance(result, bytes):
            self._thread = ThreadedIterator(result if hasattr(result, "__iter__") else _iterate(result))
            self._thread.start()
        else:
            raise self._bridge.unusable(result, "an iterator of chunks", self._model)

    def take(self) -> list[Any] | None:
        """The chunks of the items that have arrived; see `ChunkSource`."""
        while not self._ended:
            if self._failure is not None:
                self._ended = True
                raise self._failure
            items = self._take_items()
            if items is None:
                return None
            if not items:
                self._ended = True
                return self._ending() if self._text_only else []
            self.had_content = False
            chunks: list[Any] = []
            for item in items:
                if item is not None:
                    try:
                        chunks += self._chunks_for_caller(item)
                    except APIError as error:
                        if not chunks:
                            raise
                        self._failure = error
                        break
            if chunks:
                return chunks
        return []

    async def wait(self, deadline: float) -> bool:
        """As `ChunkSource.wait`: for an item, which need not make a chunk."""
        if self._ended or self._items is not None or self._error is not None or self._failure is not None:
            return True
        try:
            with self._waiting.until(deadline):
                if self._thread is not None:
                    await self._thread.wait()
                else:
                    self._items = [await anext(self._iterator)]
                return True
        except StopAsyncIteration:
            if not self._waiting.interrupted:  # else it ended because it was told to
                self._items = []
                return True
        except Exception as error:  # noqa: BLE001  (the handler's: it can be anything)
            if not self._waiting.interrupted:
                self._error = error
                return True
        finally:
            if self._reader_left is not None:
                self._reader_left.set()
        return self._ended  # closed by another task, or late

    async def aclose(self) -> None:
        """Close the handler's iterator, so that its `finally` blocks run; bounded."""
        self._ended = True
        if self._thread is not None:
            self._thread.close()
        if self._waiting is None:
            return
        self._waiting.close()
        close, self._close_iterator = self._close_iterator, None
        if close is not None or self._waiting.is_on:
            with anyio.move_on_after(CLOSE_SECONDS, shield=True):
                await self._call_back_reader()
                try:
                    if close is not None:
                        await close()
                except Exception:  # what a handler's clean-up raises helps nobody who has left
                    logger.warning("the handler %s failed to close its stream", name_of(self._bridge.handler), exc_info=True)

    def __del__(self) -> None:
        if self._thread is not None:
            self._thread.close()  # nobody will read on

    async def _call_back_reader(self) -> None:
        """Get the task that waits inside the handler's iterator out of it: an iterator can't be closed before."""
        if self._waiting.is_on:
            self._reader_left = self._reader_left or anyio.Event()
            self._waiting.interrupt()
            await self._reader_left.wait()

    def _take_items(self) -> list[Any] | None:
        try:
            if self._thread is not None:
                return self._thread.take()
            if self._error is not None:
                raise self._error
        except Exception as error:  # noqa: BLE001  (the handler's: it can be anything)
            raise self._bridge.translated(error, self._model) from cause_of(error)
        items = self._items
        if self._iterator is None:  # all items were there at once
            self._items = []
        elif items:  # the end is there to stay
            self._items = None
        return items

    def _chunks_for_caller(self, item: Any) -> list[Any]:
        """What the caller gets of one of the handler's items."""
        text = _plain_text(item)
        if text and self.assembler.knows_choice_0:
            self._text_only = self._text_only or item is text
            self.had_content = True
            self.assembler.first_text.append(text)
            if self.bare_text:
                return [text]
            return [item if type(item) is self.shape else self._plain_chunk(text)]
        try:
            taken: list[Any] = []
            for chunk in self._chunks_of(item):
                self.assembler.add(chunk)
                self.had_content = self.had_content or has_content(chunk)
                taken += self._convert(chunk)
            return taken
        except (AttributeError, KeyError, TypeError, ValueError) as error:  # it holds other things than it should
            raise self._bridge.unusable(item, f"{CHUNKS} ({error})", self._model) from error

    def _chunks_of(self, item: Any) -> list[Any]:
        if isinstance(item, str):
            self._text_only = True
            return [GenericStreamingChunk(text=item)]
        item = in_own_terms(item)
        if isinstance(item, dict):
            item = _record_of_dict(item)
        if isinstance(item, ModelResponse | TextCompletionResponse):
            return self._chunks_of_whole(item)
        if isinstance(item, GenericStreamingChunk):
            _require_text(item.text)
        elif isinstance(item, ModelResponseStream):
            for choice in item.choices:
                _require_text(choice.delta.content or "")
        else:
            raise self._bridge.unusable(item, CHUNKS, self._model)
        return [_in_openai_words(item)]

    def _chunks_of_whole(self, whole: ModelResponse | TextCompletionResponse) -> list[Any]:
        chunks = response_chunks(chat_response(whole) if isinstance(whole, TextCompletionResponse) else whole)
        for chunk in chunks:
            chunk.model = chunk.model or self._model
        return chunks

    def _ending(self) -> list[Any]:
        """The last chunk of a handler that yields bare text: its return is the end of the answer."""
        self.done = True
        self.had_content = False
        if self.assembler.is_complete():
            return []
        ending = GenericStreamingChunk(is_finished=True, finish_reason="stop")
        self.assembler.add(ending)
        return self._convert(ending)


def _waiting() -> Any:
    """A `Waiting` for the event loop that is running."""
    if lowlevel.current_token().backend_class.__module__.endswith("_trio"):
        from ._trio import Waiting
    else:
        from ._asyncio import Waiting
    return Waiting()


def _plain_text(item: Any) -> str | None:
    """The text of an item that brings text for choice 0 and nothing else; None for any other."""
    kind = type(item)
    if kind is str:
        return item
    if kind is GenericStreamingChunk:
        is_plain = (
            item.index == 0
            and not (item.is_finished or item.finish_reason or item.reasoning_content)
            and item.tool_use is None
            and item.usage is None
            and item.id is None
            and item.model is None
            and item.logprobs is None
            and item.provider_specific_fields is None
            and not hasattr(item, "_origin")
        )
        return item.text if is_plain and type(item.text) is str else None
    if kind is dict and item.keys() <= _PLAIN_KEYS:
        is_plain = (
            not (item.get("is_finished") or item.get("finish_reason") or item.get("index"))
            and item.get("tool_use") is None
            and item.get("usage") is None
        )
        text = item.get("text")
        return text if is_plain and type(text) is str else None
    return None


def whole_class_of(fields: dict[str, Any]) -> type[ModelResponse] | type[TextCompletionResponse] | None:
    """What kind of whole answer a dict is; None for one that is none, such as a chunk."""
    choices = fields.get("choices") or ()
    if any("message" in choice for choice in choices):
        return ModelResponse
    return TextCompletionResponse if any("text" in choice for choice in choices) else None


def _record_of_dict(fields: dict[str, Any]) -> Any:
    if "choices" in fields:
        return (whole_class_of(fields) or ModelResponseStream)(**fields)
    if fields.keys() & {"text", "is_finished", "finish_reason", "usage", "tool_use"}:
        return GenericStreamingChunk(**fields)
    raise TypeError(f"a dict with {', '.join(map(str, fields)) or 'nothing'} in it")


def _require_text(text: Any) -> None:
    if not isinstance(text, str):
        raise TypeError(f"text is {type(text).__name__}, not str")


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


def _is_async_iterable(value: Any) -> bool:
    # What is iterable in both ways (our own `Stream` has an `__aiter__` that says so, and raises) is read as its `__next__` says.
    return hasattr(value, "__anext__") or (hasattr(value, "__aiter__") and not hasattr(value, "__next__"))


def _iterate(iterator: Any) -> Iterator[Any]:
    """An object that has only `__next__`, as an iterable."""
    while True:
        try:
            yield next(iterator)
        except StopIteration:
            return


def name_of(handler: Any) -> str:
    """What to call a handler in a message: the function's name, or its class's."""
    return getattr(handler, "__qualname__", type(handler).__qualname__)


def cause_of(error: BaseException) -> BaseException | None:
    """What the translated exception names as its cause: the handler's own, unless that already is one of ours."""
    return error.__cause__ if isinstance(error, APIError) else error
