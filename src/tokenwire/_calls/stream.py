"""What a streamed call returns: the object the caller iterates.

An `AsyncStream` is a plain iterator, no generator: it holds no cancel scope and no task between two chunks, so it can be
left at any point, in any task. Chunks arrive in batches, one for each read from the network; handing out the next one of
a batch is a list's `pop`.
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

_NONE: list[Any] = []  # for all streams without a batch: thousands of empty lists are work for the garbage collector
SHARED = "two tasks iterate one stream: give each task a stream of its own"


class AsyncStream(Generic[C]):
    """The chunks of one streamed call: `async for chunk in stream`.

    Use it in `async with`, which releases the connection however the block is left; `aclose()` does the same. After a
    complete stream the connection is kept for the next call, otherwise it is closed. Cancelling the task that iterates
    releases it as well. One task at a time may iterate. Iterating raises what is listed here.

    Raises:
        StreamTruncatedError: the body ended before the stream was complete; `partial` on the error, and `response`
            here, have what arrived. Not where the call was made with `on_truncation="return"`.
        Timeout: a deadline ran out; its `budget` says which.
        APIError: what the server, the connection or the handler did; `partial` has what arrived.
        StreamClosedError: the stream was closed, by `aclose()` or by leaving `async with`, and asked for more.
    """

    __slots__ = ("__weakref__", "_batch", "_call", "_closed", "_receiving")

    if not TYPE_CHECKING:  # which knows it as `ParsedAsyncStream`, too
        __class_getitem__ = classmethod(GenericAlias)

    def __init__(self, call: StreamCall) -> None:
        self._call = call
        self._batch: list[C] = _NONE  # last chunk first
        self._closed = False  # by its user: asking for more is a mistake then, and the end of an ended stream otherwise
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
                while True:  # `receive`, but for a coroutine less
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
        """Read the stream to its end, and await `send` with the chunks as they come: those that arrived together at once.

        The fastest way to hand a stream on, and it is closed in the end, however that comes. Costs least where the chunks are a
        handler's.

        Args:
            send: given one chunk or more, in order. A str may stand for one that brings text for choice 0 and nothing else, an
                `Addition` for one that adds to a choice which has begun: reasoning, a tool call's arguments, text with its
                log probabilities.

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
        """The chunks that arrived together with the last one handed out, in order, without waiting; often none.

        For readers that pass chunks on and gain by taking several at once. They count as handed out.
        """
        if not self._batch:
            return []
        batch, self._batch = self._batch, _NONE
        batch.reverse()
        return batch

    def text(self) -> "AsyncView[str]":
        """The text of choice 0, as it arrives: `async for text in stream.text()`.

        It is this stream read another way, once for each read from the network, and raises the same errors.
        """
        return AsyncView(self, lambda chunks: text_of(chunks) or None)

    def partials(self) -> "AsyncView[Partial[Any]]":
        """What is known of the JSON value that choice 0 is becoming: `async for partial in stream.partials()`.

        `partial.value` has it as plain values, and `partial.parsed` as the type that the call gave as `response_format`.
        It is one object, which grows, and comes once for each read from the network that brings text. Each step costs time
        for the new text alone. Iterating it raises what is listed here.

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
        """The tool calls of choice 0, each once, as soon as it is whole: `async for call in stream.tool_calls()`.

        Iterating it raises what is listed here.

        Args:
            partials: show what is known of them before as well: a `PartialToolCall` for each read from the network that brings
                something of it, the same object each time, and once more when its `call` is whole.

        Raises:
            OutputIncompleteError: a call was cut short; it comes after the calls that are whole.
            APIError: as the stream.
        """
        arriving = calls_of(self)
        if partials:
            return AsyncItems(self, arriving.take, arriving.finish)
        return AsyncItems(self, arriving.take_whole, arriving.finish_whole)

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
        """How the stream ended: "complete", "truncated", "error" or "cancelled" (left early); None while it is open."""
        return OUTCOMES.get(self._call.state)

    @property
    def response(self) -> ModelResponse | TextCompletionResponse | None:
        """The answer assembled from what has arrived, also when cut short; None before the first chunk."""
        return self._call.response()

    @property
    def usage(self) -> Usage | None:
        """The tokens used, as the server or handler counted them; None where it did not (yet)."""
        source = self._call.source
        return None if source is None else source.assembler.usage

    @property
    def timings(self) -> Timings:
        """When what happened; complete once the stream has ended."""

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
        """The attempts that are over, oldest first: the failed ones, and at the end the one that succeeded."""
        return self._call.attempts

    @property
    def status_code(self) -> int | None:
        """The HTTP response's status; None where there is none (yet)."""
        source = self._call.source
        return None if source is None else source.status

    @property
    def headers(self) -> dict[str, str]:
        """The HTTP response's headers in lower case; `{}` where there is none (yet)."""
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
            raise StreamClosedError("this stream is closed: it can't be asked for more")
        raise StopAsyncIteration

    async def _fail(self, error: BaseException) -> None:
        """See to the end of a stream that `error` ends."""
        call = self._call
        if self._closed:  # by another task, while this one waited
            await call.aclose()  # what came about meanwhile
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
        """What a call with a type as `response_format` streams, as a type checker sees it: an `AsyncStream`."""

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
    """What takes in the chunks of a stream, and returns the value that they become: for `partials`, of the sync face too."""
    from ..results.partials import Partial

    partial: Partial[Any] | None = None

    def take(chunks: list[Any]) -> "Partial[Any] | None":
        nonlocal partial
        if partial is None:  # only now is it known who answers
            asked = stream._call.asked
            partial = Partial(None if asked is None else asked.answer)
        return partial.take(chunks)

    return take


def calls_of(stream: AsyncStream[Any]) -> "ArrivingCalls":
    """What takes in the chunks of a stream, and finds tool calls in them: for `tool_calls`, of the sync face too."""
    from ..results.calls import ArrivingCalls

    call = stream._call
    return ArrivingCalls(
        tools=lambda: None if call.asked is None else call.asked.tools,
        is_complete=lambda: call.state is StreamState.COMPLETE,
    )


async def opened(stream: AsyncStream[C]) -> AsyncStream[C]:
    """The stream, once the head of a good response has arrived: before it is handed to its caller."""
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
    """Call `then` once an open stream has ended; not where it is dropped, which a weak reference tells."""
    stream._call.when_over = then
