"""The stream that a streamed call returns to sync code.

A task on the background loop, the pump, reads the async stream ahead into a bounded buffer, and the caller takes everything
in it at once: a chunk costs a list's `pop`, not a switch of threads.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from types import GenericAlias, TracebackType
from typing import TYPE_CHECKING, Any, Generic, Literal, NoReturn, Self, TypeVar, overload

import anyio

from .._calls.stream import AsyncStream, Timings, calls_of, partials_of
from ..exceptions import APIResponseValidationError, StreamClosedError
from ..results.reading import text_of
from ..types import ChatCompletionMessageToolCall, ModelResponse, TextCompletionResponse, Usage
from ..types.attempts import Outcome
from .portal import Changes, Portal, give_up, wait_for

if TYPE_CHECKING:
    from ..results.calls import PartialToolCall
    from ..results.partials import Partial
    from ..types import ParsedResponse

C = TypeVar("C")
T = TypeVar("T")
V = TypeVar("V")

HIGH_WATER = 1024  # chunks that may be read ahead
CLOSED = "this stream is closed: it can't be iterated any further"


class Stream(Generic[C]):
    """The chunks of one streamed call, for sync code: `for chunk in stream`.

    Use it in `with`, which releases the connection however the block ends; `close()` does the same, and so does dropping
    the stream. It has the same methods as `AsyncStream`, and raises the same errors.
    """

    if not TYPE_CHECKING:  # type checkers see `ParsedStream` below
        __class_getitem__ = classmethod(GenericAlias)

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._portal = Portal.ready()
        self._batch: list[C] = []  # in reverse order
        self._buffer = _Buffer[C](self._portal.condition())
        self._closed = self._cut = False
        opened: Future[AsyncStream[C]] = Future()
        self._pump = self._portal.start(_pump, function, args, kwargs, opened, self._buffer)
        try:
            self._stream = wait_for(opened, self._pump)
        finally:
            del opened  # see portal.wait_for

    def __next__(self) -> C:
        if self._batch:
            return self._batch.pop()
        if self._closed:
            raise StreamClosedError(CLOSED)
        if self._buffer.over:
            raise StopIteration
        self._require_reachable()
        try:
            batch = self._buffer.take(self._portal)
        except BaseException:
            if not self._buffer.over:  # an interrupt (Ctrl-C), whose traceback may keep this object for ever
                self._end()
            raise
        if self._closed:  # by another thread, while this one waited
            raise StreamClosedError(CLOSED)
        if not batch:
            raise StopIteration
        batch.reverse()
        self._batch = batch
        return batch.pop()

    def __iter__(self) -> "Stream[C]":
        return self

    def __aiter__(self) -> NoReturn:
        raise TypeError("this is a sync stream: use 'for', or the async function of the same name with an 'a'")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_pump"):
            self._pump.cancel()

    @property
    def outcome(self) -> Outcome | None:
        """As `AsyncStream.outcome`: how the stream ended for its reader, after all chunks that were read ahead."""
        if self._cut:
            return "cancelled"
        return self._stream.outcome if self._buffer.over else None

    @property
    def response(self) -> ModelResponse | TextCompletionResponse | None:
        """As `AsyncStream.response`; includes chunks that were read ahead."""
        return self._stream.response

    @property
    def usage(self) -> Usage | None:
        """As `AsyncStream.usage`."""
        return self._stream.usage

    @property
    def timings(self) -> Timings:
        """As `AsyncStream.timings`."""
        return self._stream.timings

    @property
    def attempts(self) -> tuple[Any, ...]:
        """As `AsyncStream.attempts`."""
        return self._stream.attempts

    @property
    def status_code(self) -> int | None:
        """As `AsyncStream.status_code`."""
        return self._stream.status_code

    @property
    def headers(self) -> dict[str, str]:
        """As `AsyncStream.headers`."""
        return self._stream.headers

    @property
    def response_headers(self) -> dict[str, str]:
        """As `AsyncStream.response_headers`."""
        return self._stream.response_headers

    @property
    def request_id(self) -> str | None:
        """As `AsyncStream.request_id`."""
        return self._stream.request_id

    def text(self) -> Iterator[str]:
        """As `AsyncStream.text`: the text of choice 0, as it arrives."""
        return self._view(lambda chunks: text_of(chunks) or None)

    def partials(self) -> "Iterator[Partial[Any]]":
        """As `AsyncStream.partials`: the JSON value in choice 0, as far as it has arrived."""
        return self._view(partials_of(self._stream))

    @overload
    def tool_calls(self, *, partials: Literal[False] = False) -> Iterator[ChatCompletionMessageToolCall]: ...
    @overload
    def tool_calls(self, *, partials: Literal[True]) -> "Iterator[PartialToolCall]": ...
    def tool_calls(self, *, partials: bool = False) -> Iterator[Any]:
        """As `AsyncStream.tool_calls`: the tool calls of choice 0, each once, as soon as it is complete."""
        arriving = calls_of(self._stream)
        if partials:
            return self._items(arriving.add, arriving.finish)
        return self._items(arriving.add_whole, arriving.finish_whole)

    def _view(self, read: Callable[[list[C]], V | None]) -> Iterator[V]:
        for chunks in self._reads():
            made = read(chunks)
            if made is not None:
                yield made

    def _items(self, read: Callable[[list[C]], list[V]], finish: Callable[[], list[V]]) -> Iterator[V]:
        for chunks in self._reads():
            yield from read(chunks)
        while items := finish():
            yield from items

    def _reads(self) -> Iterator[list[C]]:
        """The chunks in batches: all that have arrived at once."""
        for chunk in self:
            chunks = [chunk, *reversed(self._batch)]
            self._batch = []
            yield chunks

    def until_done(self) -> None:
        """As `AsyncStream.until_done`: read the stream to its end."""
        for _ in self:
            self._batch = []

    def collect(self) -> ModelResponse | TextCompletionResponse:
        """As `AsyncStream.collect`: read the stream to its end, and return the answer as if it had not been streamed."""
        self.until_done()
        response = self.response
        if response is None:
            raise APIResponseValidationError("the stream ended without a single chunk")
        return response

    def close(self) -> None:
        """End the stream now and release its connection. Safe to call twice, from any thread."""
        if self._closed:
            return
        self._end()
        if self._portal.is_in_this_process() and not self._portal.is_own_thread():
            self._pump.wait()

    def _end(self) -> None:
        self._closed, self._cut = True, not self._buffer.over
        self._batch.clear()
        self._pump.cancel()

    def _require_reachable(self) -> None:
        if not self._portal.is_in_this_process():
            raise StreamClosedError("this stream belongs to the process that this one was forked from")
        if self._portal.is_own_thread():
            raise RuntimeError(
                "this thread runs the event loop that reads this stream, so waiting would block it: use the async function here"
            )

    def __repr__(self) -> str:
        return f"<Stream {self.outcome or 'open'}>"


if TYPE_CHECKING:

    class ParsedStream(Stream[C], Generic[C, T]):
        """For type checkers: the `Stream` of a call with a type as `response_format`."""

        def partials(self) -> Iterator[Partial[T]]:
            """See `Stream.partials`."""
            ...

        def collect(self) -> ParsedResponse[T]:
            """See `Stream.collect`."""
            ...

        @property
        def response(self) -> ParsedResponse[T] | None:
            """See `Stream.response`."""
            ...

else:
    ParsedStream = Stream


class _Buffer(Generic[C]):
    """Chunks from the background loop for a thread, with a limit at which the pump pauses.

    Attributes:
        over: whether the reader has got the end of the stream.
    """

    def __init__(self, changed: Changes) -> None:
        self._changed = changed
        self._ready: deque[C] = deque()
        self._ended = self.over = False
        self._error: BaseException | None = None
        self._paused: anyio.Event | None = None

    @property
    def is_ready(self) -> bool:
        """Whether `take` would not wait."""
        return bool(self._ready) or self._ended

    def take(self, portal: Portal) -> list[C]:
        """Wait for chunks and take all, at least one; an empty list at the end. Raises the error that ended the stream."""
        with self._changed:
            while not self._ready and not self._ended:
                self._changed.wait()
            chunks = list(self._ready)
            self._ready.clear()
            paused, self._paused = self._paused, None
            error = None
            if not chunks:
                self.over = True
                error, self._error = self._error, None
        if paused is not None:
            portal.call_soon(paused.set)
        try:
            if error is not None:
                raise error
        finally:
            del error  # see portal.wait_for
        return chunks

    def put(self, chunks: list[C]) -> anyio.Event | None:
        """Add chunks. Returns an event to wait for before adding more, None if there is room."""
        with self._changed:
            self._ready.extend(chunks)
            self._changed.notify_all()
            if len(self._ready) < HIGH_WATER:
                return None
            self._paused = anyio.Event()
            return self._paused

    def end(self, error: BaseException | None) -> None:
        """Note the end of the stream."""
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()


async def _pump(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    opened: "Future[AsyncStream[C]]",
    buffer: _Buffer[C],
) -> None:
    """Open a stream and read it ahead. Ends with the stream, or is cancelled when the reader is dropped."""
    stream: AsyncStream[C] | None = None
    error: BaseException | None = None
    try:
        made = function(*args, **kwargs)
        reading: AsyncStream[C] = made if isinstance(made, AsyncStream) else await made
        stream = reading
        opened.set_result(reading)
        async for chunk in reading:
            room = buffer.put([chunk, *reading.take_ready()])
            if room is not None:
                await room.wait()
    except anyio.get_cancelled_exc_class():
        import asyncio

        task = asyncio.current_task()
        if task is not None and not task.cancelling():  # raised by a handler, not by a cancellation of this task
            error = StreamClosedError("this stream was cancelled, and not by its reader")
        raise
    except BaseException as caught:  # noqa: BLE001  (raised again in the reader's thread)
        error = caught
    finally:
        try:
            if stream is not None and stream.outcome is None:
                with anyio.CancelScope(shield=True):
                    await stream.aclose()
        finally:
            if stream is None and error is not None:
                opened.set_exception(error)
            give_up(opened)
            buffer.end(error)
            del opened, error  # see portal.wait_for
