"""What every handler is to the rest of the library."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from .._reading import FOREVER, receive
from ..exceptions import Timeout
from ..wire.convert import Shape

if TYPE_CHECKING:
    from ..types._source import Path
    from ..wire.assemble import Assembler

C = TypeVar("C")

Send: TypeAlias = Callable[[list[Any]], Awaitable[object]]  # what a batch of chunks is handed on to


class BaseLLM:
    """The root of handlers. LiteLLM's users subclass it by this name; it asks for nothing."""


class ChunkSource(Generic[C]):
    """Where a stream's chunks come from, a batch at a time: what a handler's `astreaming` may return for full speed.

    An async iterator of single chunks is enough for a handler; the library wraps it in one of these. A handler whose
    chunks arrive many to a network read does better to return a source of its own.

    Attributes:
        shape: the class of the chunks that the caller wants, set before `start`.
        bare_text: whether the reader takes a str for a chunk that brings text for choice 0 and nothing else, and an `Addition`
            for one that adds to a choice which has begun. A source need not make use of that.
        assembler: collects what `take` hands out.
        done: whether the provider itself said that the stream is complete.
        had_content: whether the latest batch held content, as deadlines understand it.
        odd: the places of what was understood of the stream though it was not as it should be, such as ("usage", "cost").
        last_event: what ends the stream of such a provider, as its API calls it; None for a handler's, which says it in a chunk.
        status, headers: of the HTTP response that the stream reads, None and {} where there is none.
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

    async def start(self, deadline: float) -> None:
        """Send the request and wait until the answer begins. `deadline` is a value of `_loops.clock`, which on most loops is `time.monotonic()`.

        Raises:
            APIError: no stream came of it.
        """

    def take(self) -> list[C] | None:
        """The chunks that have arrived, or the first of them; None while there are none. See `_reading.Readable`.

        An empty list says that the stream has ended, and goes on saying so.

        Raises:
            APIError: what the server, the connection or the handler did; chunks received before it have been handed out.
        """
        raise NotImplementedError

    def wait(self, deadline: float) -> Awaitable[bool]:
        """Wait until `take` would not return None; may return at once. False when `deadline` passed first.

        `deadline` is a value of `_loops.clock`. What goes wrong is raised by `take`.
        """
        raise NotImplementedError

    def hand_on(self, send: Send, clock: Callable[[], float], idle: float, until: float) -> Awaitable[float] | None:
        """Await `send` with the chunks as they come, for as long as each batch has content and nothing else is to be said of it.

        For sources that can do so at less cost than by `wait` and `take`, which go on where it ends. A source need not.

        Args:
            send: given a batch of chunks, or bare text.
            clock: `_loops.clock`'s.
            idle: seconds within which content must come.
            until: the deadline of all.

        Returns:
            Since when content is waited for, once awaited; None where there is no such way.

        Raises:
            BaseException: what `send` raises, when awaited.
        """
        return None

    async def receive(self, deadline: float = FOREVER) -> list[C]:
        """The next chunks, waiting for them; an empty list when the stream has ended.

        Raises:
            APIError: as `take`.
            Timeout: nothing arrived before `deadline`. Its `budget` is None.
        """
        return await receive(self, deadline, _late)

    async def aclose(self) -> None:
        """Release what the source holds, at once; safe to call twice and on a cancelled task."""
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
