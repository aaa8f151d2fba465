"""The stream object that a streamed call returns.

An `AsyncStream` is an iterator, not a generator: it holds no cancel scope and no task between two chunks, so the caller can
stop at any point, in any task. Chunks arrive in batches, one for each read from the network; returning the next one of a
batch is a list's `pop`.
"""

import weakref
from collections.abc import Awaitable, Callable
from types import GenericAlias, TracebackType
from typing import TYPE_CHECKING, Any, Generic, Literal, NoReturn, Self, TypeVar, overload

from ..exceptions import APIError, APIResponseValidationError, StreamClosedError, StreamTruncatedError
from ..results.reading import text_of
from ..types import Addition, ChatCompletionMessageToolCall, ModelResponse, TextCompletionResponse, Usage
from ..types.attempts import Attempt, Outcome, Timings
from ..types.headers import request_id_of
from .states import OUTCOMES, StreamState
from .streamed import CLOSED_MEANWHILE, COMMITTED, StreamCall
from .views import AsyncItems, AsyncView

if TYPE_CHECKING:
    from ..results.calls import ArrivingCalls, PartialToolCall
    from ..results.partials import Partial
    from ..types import ParsedResponse

C = TypeVar("C")
T = TypeVar("T")

_NONE: list[Any] = []  # shared by all streams without a batch: thousands of empty lists would slow down the garbage collector
SHARED = "two tasks iterate one stream: give each task a stream of its own"


class AsyncStream(Generic[C]):
    """The chunks of one streamed call: `async for chunk in stream`.

    Use it in `async with`, which releases the connection however the block ends; `aclose()` does the same. After a
    complete stream the connection is kept for the next call, otherwise it is closed. Cancelling the task that iterates
    releases it as well. One task at a time may iterate. Iterating raises the errors listed here.

    Raises:
        StreamTruncatedError: the body ended before the stream was complete; the error's `partial`, and `response`
            here, have what arrived. Not raised if the call was made with `on_truncation="return"`.
        Timeout: a time-out passed; its `budget` says which.
        APIError: the server, the connection or the handler failed; `partial` has what arrived.
        StreamClosedError: iterated after it was closed, by `aclose()` or by leaving `async with`.
    """

    __slots__ = ("__weakref__", "_batch", "_call", "_closed", "_receiving")

    if not TYPE_CHECKING:  # type checkers see `ParsedAsyncStream` below
        __class_getitem__ = classmethod(GenericAlias)

    def __init__(self, call: StreamCall) -> None:
        self._call = call
        self._batch: list[C] = _NONE  # in reverse order
        self._closed = False  # by the caller: iterating further raises; a stream that ended by itself raises StopAsyncIteration
        self._receiving = False
        if call.is_observed:
            weakref.finalize(self, call.drop)

    async def __anext__(self) -> C:
        batch = self._batch
        if batch:
            return batch.pop()
        call = self._call
        if call.ended_at is not None:
            self._refuse()
        if self._receiving:
            raise RuntimeError(SHARED)
        self._receiving = True
        try:
            if call.state is COMMITTED:
                while True:  # as `receive`, with one coroutine less
                    in_time = await call.wait()
                    if self._closed:
                        raise StreamClosedError(CLOSED_MEANWHILE)
                    chunks = call.take()
                    if chunks is not None:
                        break
                    if not in_time:
                        raise call.late()
            else:
                chunks = await call.begin()
        except BaseException as error:
            await self._fail(error)
            if call.state is StreamState.TRUNCATED and call.truncation_returns:
                raise StopAsyncIteration from None
            raise
        finally:
            self._receiving = False
        if len(chunks) == 1:
            return chunks[0]
        if not chunks:
            call.end(StreamState.COMPLETE)
            await call.aclose()
            raise StopAsyncIteration
        chunks.reverse()
        self._batch = chunks
        return chunks.pop()

    async def pass_on(self, send: Callable[[list[C | str | Addition]], Awaitable[object]]) -> None:
        """Read the stream to its end, and await `send` with the chunks as they arrive; those that arrive together in one call.

        The fastest way to forward a stream, above all a handler's. The stream is closed afterwards, however it ends.

        Args:
            send: called with a list of chunks, in order. A str in it is a chunk that has only that text, for choice 0. An
                `Addition` is a chunk that only adds to a choice that has begun: reasoning, a tool call's arguments, or text
                with its log probabilities.

        Raises:
            APIError: as iterating does.
            BaseException: what `send` raises.
        """
        call = self._call
        call.take_bare_text()
        try:
            async for chunk in self:
                await send([chunk, *self.take_ready()])
                if call.state is COMMITTED and (handing_on := call.hand_on(send)) is not None:
                    self._receiving = True
                    try:
                        call.go_on(await handing_on)
                    finally:
                        self._receiving = False
        except BaseException:
            await self.aclose()
            raise

    def take_ready(self) -> list[C]:
        """Return the chunks that arrived together with the last one returned, in order, without waiting; often none.

        For callers that forward chunks faster several at once. Iterating does not return these chunks again.
        """
        if not self._batch:
            return []
        batch, self._batch = self._batch, _NONE
        batch.reverse()
        return batch

    def text(self) -> "AsyncView[str]":
        """The text of choice 0, as it arrives: `async for text in stream.text()`.

        It iterates this same stream, yields once for each read from the network, and raises the same errors.
        """
        return AsyncView(self, lambda chunks: text_of(chunks) or None)

    def partials(self) -> "AsyncView[Partial[Any]]":
        """The JSON value in choice 0, as far as it has arrived: `async for partial in stream.partials()`.

        `partial.value` has it as dicts, lists and scalars, and `partial.parsed` as the type that the call gave as
        `response_format`. It is one growing object, yielded once for each read from the network that brings text. A step
        takes time linear in the new text. Iterating it raises the errors listed here.

        Raises:
            APIResponseValidationError: the text is not JSON; the stream stays open.
            APIError: as the stream.
        """
        return AsyncView(self, partials_of(self))

    @overload
    def tool_calls(self, *, partials: Literal[False] = False) -> "AsyncItems[ChatCompletionMessageToolCall]": ...
    @overload
    def tool_calls(self, *, partials: Literal[True]) -> "AsyncItems[PartialToolCall]": ...
    def tool_calls(self, *, partials: bool = False) -> "AsyncItems[Any]":
        """The tool calls of choice 0, each once, as soon as it is complete: `async for call in stream.tool_calls()`.

        Iterating it raises the errors listed here.

        Args:
            partials: also yield incomplete calls: a `PartialToolCall` for each read from the network that brings a part of
                it, the same object each time, and once more when its `call` is complete.

        Raises:
            OutputIncompleteError: a call was cut short; raised after the complete calls.
            APIError: as the stream.
        """
        arriving = calls_of(self)
        if partials:
            return AsyncItems(self, arriving.add, arriving.finish)
        return AsyncItems(self, arriving.add_whole, arriving.finish_whole)

    async def until_done(self) -> None:
        """Read the stream to its end. Raises as iterating does."""
        async for _ in self:
            self._batch = _NONE

    async def collect(self) -> ModelResponse | TextCompletionResponse:
        """Read the stream to its end, and return the answer as if it had not been streamed.

        Raises:
            APIResponseValidationError: the stream had no chunk at all.
            APIError: as iterating does.
        """
        await self.until_done()
        response = self.response
        if response is None:
            raise APIResponseValidationError("the stream ended without a single chunk")
        return response

    def __aiter__(self) -> "AsyncStream[C]":
        return self

    def __iter__(self) -> NoReturn:
        raise TypeError("this is an async stream: use 'async for', or the sync function of the same name without 'a'")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    @property
    def outcome(self) -> Outcome | None:
        """How the stream ended: "complete", "truncated", "error" or "cancelled" (closed early); None while it is open."""
        return OUTCOMES.get(self._call.state)

    @property
    def response(self) -> ModelResponse | TextCompletionResponse | None:
        """The answer assembled from what has arrived, also when cut short; None before the first chunk."""
        return self._call.response()

    @property
    def usage(self) -> Usage | None:
        """The tokens used, as counted by the server or handler; None if it did not send them (yet)."""
        source = self._call.source
        return None if source is None else source.assembler.usage

    @property
    def timings(self) -> Timings:
        """Times of the stream's events; complete once the stream has ended."""

        def since_start(moment: float | None) -> float | None:
            return None if moment is None else moment - self._call.started_at

        call = self._call
        return Timings(
            opened=since_start(call.opened_at),
            first_chunk=since_start(call.first_chunk_at),
            first_content=since_start(call.first_content_at),
            total=since_start(call.ended_at),
        )

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """The attempts that have ended, oldest first: the failed ones, and at the end the one that succeeded."""
        return self._call.attempts

    @property
    def status_code(self) -> int | None:
        """The HTTP response's status; None if there is no response (yet)."""
        source = self._call.source
        return None if source is None else source.status

    @property
    def headers(self) -> dict[str, str]:
        """The HTTP response's headers, names in lower case; `{}` if there is no response (yet)."""
        source = self._call.source
        return {} if source is None else dict(source.headers)

    @property
    def response_headers(self) -> dict[str, str]:
        """The same as `headers`."""
        return self.headers

    @property
    def request_id(self) -> str | None:
        """The server's id for the request, from its headers."""
        return request_id_of(self.headers)

    async def aclose(self) -> None:
        """End the stream now and release its connection. Safe to call twice, in another task, and when cancelled."""
        if self._call.ended_at is None:
            self._call.end(StreamState.CANCELLED)
        self._closed = True
        self._batch = _NONE
        await self._call.aclose()

    def _refuse(self) -> NoReturn:
        if self._closed:
            raise StreamClosedError("this stream is closed: it can't be iterated any further")
        raise StopAsyncIteration

    async def _fail(self, error: BaseException) -> None:
        """End the stream because of `error`, and raise it."""
        call = self._call
        if self._closed:  # by another task, while this one waited
            await call.aclose()  # release what was opened meanwhile
            if isinstance(error, APIError):
                raise StreamClosedError(CLOSED_MEANWHILE) from None
            return
        if isinstance(error, APIError):
            call.end(StreamState.TRUNCATED if isinstance(error, StreamTruncatedError) else StreamState.ERROR, error)
        elif call.ended_at is None:
            call.end(StreamState.CANCELLED)
        await call.aclose()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.outcome or 'open'}>"


if TYPE_CHECKING:

    class ParsedAsyncStream(AsyncStream[C], Generic[C, T]):
        """For type checkers: the `AsyncStream` of a call with a type as `response_format`."""

        def partials(self) -> AsyncView[Partial[T]]:
            """See `AsyncStream.partials`."""
            ...

        async def collect(self) -> ParsedResponse[T]:
            """See `AsyncStream.collect`."""
            ...

        @property
        def response(self) -> ParsedResponse[T] | None:
            """See `AsyncStream.response`."""
            ...

else:
    ParsedAsyncStream = AsyncStream


def partials_of(stream: AsyncStream[Any]) -> "Callable[[list[Any]], Partial[Any] | None]":
    """A function that adds chunks of a stream to its partial value and returns that; for `partials`, also of sync streams."""
    from ..results.partials import Partial

    partial: Partial[Any] | None = None

    def add(chunks: list[Any]) -> "Partial[Any] | None":
        nonlocal partial
        if partial is None:  # only now is the answering target known
            asked = stream._call.asked
            partial = Partial(None if asked is None else asked.answer)
        return partial.add(chunks)

    return add


def calls_of(stream: AsyncStream[Any]) -> "ArrivingCalls":
    """Finds tool calls in the chunks of a stream; for `tool_calls`, also of sync streams."""
    from ..results.calls import ArrivingCalls

    call = stream._call
    return ArrivingCalls(
        tools=lambda: None if call.asked is None else call.asked.tools,
        is_complete=lambda: call.state is StreamState.COMPLETE,
    )


async def opened(stream: AsyncStream[C]) -> AsyncStream[C]:
    """Wait until the head of a good response has arrived, and return the stream."""
    try:
        chunks = await stream._call.open()
    except BaseException as error:
        await stream._fail(error)
        raise
    if chunks:
        chunks.reverse()
        stream._batch = chunks
    return stream


def when_over(stream: AsyncStream[Any], then: Callable[[], object]) -> None:
    """Call `then` once an open stream has ended; not if it is dropped, which a weak reference can detect."""
    stream._call.when_over = then
