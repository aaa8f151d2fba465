"""The base classes of handlers and of their streams."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from .._reading import FOREVER, receive
from ..exceptions import Timeout
from ..wire.convert import Shape

if TYPE_CHECKING:
    from ..types._source import Path
    from ..types.attempts import RequestInfo
    from ..wire.assemble import Assembler

C = TypeVar("C")

Send: TypeAlias = Callable[[list[Any]], Awaitable[object]]  # receives a batch of chunks


class BaseLLM:
    """The base class of handlers, by LiteLLM's name. It has no methods."""


class ChunkSource(Generic[C]):
    """A source of a stream's chunks, in batches. A handler's `astreaming` may return one, for full speed.

    An async iterator of single chunks is enough for a handler; the library wraps it in a source. A handler that receives
    many chunks with each network read is faster with a source of its own.

    Attributes:
        shape: the class of the chunks to return, set before `start`.
        bare_text: whether `take` may return a str in place of a chunk that has only text, for choice 0, and an `Addition` in
            place of one that only adds to a choice that has begun. A source need not use that.
        assembler: collects the chunks that `take` returns.
        done: whether the provider has marked the stream as complete.
        had_content: whether the latest batch had content: text, reasoning or a tool call, for example.
        odd: the paths of fields whose values had another type than expected but were understood, such as ("usage", "cost").
        last_event: the name of the API's last event of a stream; None for a handler's stream, which ends with a chunk.
        status, headers: of the HTTP response that the stream reads, None and {} if there is none.
        request: what that response answers, for an error; None if there is none.
    """

    __slots__ = ()

    shape: Shape
    bare_text: bool = False
    assembler: "Assembler"
    done: bool = False
    had_content: bool = False
    odd: "Collection[Path]" = ()
    last_event: str | None = None
    status: int | None = None
    headers: dict[str, str]
    request: "RequestInfo | None" = None

    async def start(self, deadline: float) -> None:
        """Send the request and wait until the answer begins.

        Args:
            deadline: when to stop waiting, a time of the loop's clock: on most loops, `time.monotonic()`.

        Raises:
            APIError: the stream could not be opened.
        """

    def take(self) -> list[C] | None:
        """The chunks that have arrived, or the first of them; None if there are none. See `_reading.Readable`.

        An empty list means that the stream has ended; later calls return it again.

        Raises:
            APIError: the server, the connection or the handler failed; chunks received before that have been returned.
        """
        raise NotImplementedError

    def wait(self, deadline: float) -> Awaitable[bool]:
        """Wait until `take` would not return None; may return at once. False if `deadline` passed first.

        `deadline` is a time of `_loops.clock`. Errors are raised by `take`.
        """
        raise NotImplementedError

    def hand_on(self, send: Send, clock: Callable[[], float], idle: float, until: float) -> Awaitable[float] | None:
        """Await `send` with the chunks as they arrive, until a batch without content, the end, an error or a deadline.

        Optional: for sources that can do so at lower cost than by `wait` and `take`, which continue where this ends.

        Args:
            send: called with a batch of chunks, or of text.
            clock: the result of `_loops.clock`.
            idle: seconds within which content must arrive.
            until: the deadline of the whole stream.

        Returns:
            None if the source does not implement it. Otherwise an awaitable, whose result is the time since when content has
            been waited for.

        Raises:
            BaseException: what `send` raises, when awaited.
        """
        return None

    async def receive(self, deadline: float = FOREVER) -> list[C]:
        """Wait for the next chunks; an empty list when the stream has ended.

        Raises:
            APIError: as `take`.
            Timeout: nothing arrived before `deadline`. Its `budget` is None.
        """
        return await receive(self, deadline, _late)

    async def aclose(self) -> None:
        """Release what the source holds, at once; safe to call twice and in a cancelled task."""
        raise NotImplementedError

    async def __aiter__(self) -> AsyncIterator[C]:
        """The chunks one by one, for code that calls a handler directly."""
        try:
            await self.start(FOREVER)
            while batch := await self.receive():
                for chunk in batch:
                    yield chunk
        finally:
            await self.aclose()


def _late() -> Timeout:
    return Timeout("no content in time")
