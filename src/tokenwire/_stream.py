"""What a streamed call returns: the object the caller iterates.

An `AsyncStream` is a plain iterator, no generator: it holds no cancel scope and no task between two chunks, so it can be
left at any point, in any task. Chunks arrive in batches, one for each read from the network; handing out the next one of
a batch is a list's `pop`.
"""

import time
from collections.abc import Awaitable
from types import TracebackType
from typing import Any, Generic, Literal, NoReturn, Protocol, TypeAlias, TypeVar, cast

import msgspec

from .exceptions import APIError, StreamClosedError, StreamTruncatedError
from .types import ModelResponse, TextCompletionResponse, Usage

C = TypeVar("C")

SHARED = "two tasks iterate one stream: give each its own, or one task alone the stream"
CLOSED_MEANWHILE = "this stream was closed while it was waited for"

Outcome: TypeAlias = Literal["complete", "truncated", "error", "cancelled"]


class Timings(msgspec.Struct, frozen=True, kw_only=True):
    """When what happened, in seconds since the call was made; None for what has not.

    Attributes:
        opened: the head of the response arrived.
        first_content: the first text, reasoning or tool call arrived.
        total: the stream ended, one way or another.
    """

    opened: float | None
    first_content: float | None
    total: float | None


class Call(Protocol):
    """What a stream draws on; `_call.StreamCall` is one."""

    source: Any
    started_at: float
    opened_at: float | None
    first_content_at: float | None

    @property
    def attempts(self) -> tuple[Any, ...]: ...
    async def open(self) -> None: ...
    @property
    def committed(self) -> bool: ...
    @property
    def truncation_returns(self) -> bool: ...
    def take_bare_text(self) -> None: ...
    async def begin(self) -> list[Any]: ...
    def take(self) -> list[Any] | None: ...
    def wait(self) -> Awaitable[bool]: ...
    def late(self) -> APIError: ...
    def failed(self, error: APIError) -> None: ...
    def ended(self, outcome: str, error: APIError | None) -> None: ...
    async def aclose(self) -> None: ...
    def response(self) -> Any: ...


class AsyncStream(Generic[C]):
    """The chunks of one streamed call: `async for chunk in stream`.

    Use it in `async with`, which releases the connection however the block is left; `aclose()` does the same. After a
    complete stream the connection is kept for the next call, otherwise it is closed. Cancelling the task that iterates
    releases it as well. One task at a time may iterate.

    Iterating raises:
        StreamTruncatedError: the body ended before the stream was complete; `partial` on the error, and `response`
            here, have what arrived. Not where the call was made with `on_truncation="return"`.
        Timeout: a deadline ran out; its `budget` says which.
        APIError: what the server, the connection or the handler did; `partial` has what arrived.
        StreamClosedError: the stream was closed, by `aclose()` or by leaving `async with`, and asked for more.
    """

    __slots__ = (
        "__weakref__",
        "_batch",
        "_call",
        "_closed",
        "_ended_at",
        "_outcome",
        "_receiving",
    )

    def __init__(self, call: Call) -> None:
        self._call = call
        self._batch: list[C] = []  # last chunk first
        self._outcome: Outcome | None = None
        self._ended_at: float | None = None
        self._closed = False
        self._receiving = False

    async def __anext__(self) -> C:
        batch: list[C] | None = self._batch
        if batch:
            return batch.pop()
        if self._outcome is not None:
            self._refuse()
        if self._receiving:
            raise RuntimeError(SHARED)
        call = self._call
        self._receiving = True
        try:
            if call.committed:
                while True:  # the one place in which a stream waits for its chunks
                    in_time = await call.wait()
                    if self._closed:
                        raise StreamClosedError(CLOSED_MEANWHILE)
                    batch = call.take()
                    if batch is not None:
                        break
                    if not in_time:
                        raise call.late()
            else:
                batch = await call.begin()
        except BaseException as error:
            await self._fail(error)
            if self._outcome == "truncated" and call.truncation_returns:
                raise StopAsyncIteration from None
            raise
        finally:
            self._receiving = False
        if len(batch) == 1:
            return batch[0]
        if not batch:
            self._finish("complete")
            await call.aclose()
            raise StopAsyncIteration
        batch.reverse()
        self._batch = batch
        return batch.pop()

    def take_ready(self) -> list[C]:
        """The chunks that arrived together with the last one handed out, in order, without waiting; often none.

        For readers that pass chunks on and gain by taking several at once. They count as handed out.
        """
        batch, self._batch = self._batch, []
        batch.reverse()
        return batch

    def take_bare_text(self) -> "AsyncStream[C | str]":
        """This stream, from now on with a str in place of a chunk that brings text for choice 0 and nothing else.

        For readers that pass text on and have no use for the chunk around it, which then need not be made. Only a
        handler's text comes so, and not all of it: be ready for both.
        """
        self._call.take_bare_text()
        return cast("AsyncStream[C | str]", self)

    def __aiter__(self) -> "AsyncStream[C]":
        return self

    def __iter__(self) -> NoReturn:
        raise TypeError("this is an async stream: use 'async for', or the sync function of the same name without 'a'")

    async def __aenter__(self) -> "AsyncStream[C]":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    @property
    def outcome(self) -> Outcome | None:
        """How the stream ended: "complete", "truncated", "error" or "cancelled" (left early); None while it is open."""
        return self._outcome

    @property
    def response(self) -> ModelResponse | TextCompletionResponse | None:
        """The answer assembled from what has arrived, also when cut short; None before the first chunk."""
        return self._call.response()

    @property
    def usage(self) -> Usage | None:
        """The tokens used, as the server or handler counted them; None where it did not (yet)."""
        return None if self._call.source is None else self._call.source.assembler.usage

    @property
    def timings(self) -> Timings:
        """When what happened; complete once the stream has ended."""

        def since_start(moment: float | None) -> float | None:
            return None if moment is None else moment - self._call.started_at

        call = self._call
        return Timings(
            opened=since_start(call.opened_at),
            first_content=since_start(call.first_content_at),
            total=since_start(self._ended_at),
        )

    @property
    def attempts(self) -> tuple[Any, ...]:
        """The attempts that are over, oldest first: the failed ones, and at the end the one that succeeded."""
        return self._call.attempts

    @property
    def response_headers(self) -> dict[str, str]:
        """The HTTP response's headers in lower case; `{}` where there is none (yet)."""
        return {} if self._call.source is None else dict(self._call.source.headers)

    @property
    def request_id(self) -> str | None:
        """The server's id for the request, from its `x-request-id` header."""
        return self.response_headers.get("x-request-id")

    async def aclose(self) -> None:
        """End the stream now and release its connection. Safe to call twice, in another task, and when cancelled."""
        if self._outcome is None:
            self._finish("cancelled")
        self._closed = True
        self._batch.clear()
        await self._call.aclose()

    async def _open(self) -> "AsyncStream[C]":
        """Wait until the response's head has arrived, before the stream is handed to its caller."""
        try:
            await self._call.open()
        except BaseException as error:
            await self._fail(error)
            raise
        return self

    def _refuse(self) -> NoReturn:
        if self._closed:
            raise StreamClosedError("this stream is closed: it can't be asked for more")
        raise StopAsyncIteration

    async def _fail(self, error: BaseException) -> None:
        """See to the end of a stream that `error` ends."""
        if isinstance(error, APIError):
            if self._closed:  # by another task, while this one waited
                await self._call.aclose()  # what came about meanwhile
                raise StreamClosedError(CLOSED_MEANWHILE) from None
            self._call.failed(error)
            self._finish("truncated" if isinstance(error, StreamTruncatedError) else "error", error)
            if error.partial is None:
                error.partial = self._call.response()
        elif self._outcome is None:
            self._finish("cancelled")
        await self._call.aclose()

    def _finish(self, outcome: Outcome, error: APIError | None = None) -> None:
        self._outcome = outcome
        self._ended_at = time.monotonic()
        self._call.ended(outcome, error)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._outcome or 'open'}>"
