"""What every handler is to the rest of the library."""

from collections.abc import AsyncIterator, Awaitable
from typing import Any, Generic, TypeVar

from ..exceptions import Timeout
from ..wire.convert import Shape

C = TypeVar("C")

FOREVER = float("inf")


class BaseLLM:
    """The root of handlers. LiteLLM's users subclass it by this name; it asks for nothing."""


class ChunkSource(Generic[C]):
    """Where a stream's chunks come from, a batch at a time: what a handler's `astreaming` may return for full speed.

    An async iterator of single chunks is enough for a handler; the library wraps it in one of these. A handler whose
    chunks arrive many to a network read does better to return a source of its own.

    Attributes:
        shape: the class of the chunks that the caller wants, set before `start`; a source that can't make them leaves
            its own shape here, and its chunks are converted.
        bare_text: whether the reader takes a str for a chunk that brings text for choice 0 and nothing else. A source need
            not make use of that.
        assembler: collects what `receive` hands out.
        done: whether the provider itself said that the stream is complete.
        had_content: whether the latest batch held content, as deadlines understand it.
        status, headers: of the HTTP response behind the stream, None and {} where there is none.
    """

    __slots__ = ()

    shape: Shape
    bare_text: bool = False
    assembler: Any
    done: bool = False
    had_content: bool = False
    status: int | None = None
    headers: dict[str, str]

    async def start(self, deadline: float) -> None:
        """Send the request and wait until the answer begins. `deadline` is a `time.monotonic()` value.

        Raises:
            APIError: no stream came of it.
        """
        raise NotImplementedError

    def take(self) -> list[C] | None:
        """The chunks that have arrived, or the first of them; None while there are none.

        Never waits: what is ready costs its reader no coroutine. An empty list says that the stream has ended, and goes
        on saying so.

        Raises:
            APIError: what the server, the connection or the handler did; chunks received before it have been handed out.
        """
        raise NotImplementedError

    def wait(self, deadline: float) -> Awaitable[bool]:
        """Wait until `take` may have something else to say than None, which it may have already.

        `deadline` is a value of `time.monotonic()`; False says that it passed first. What goes wrong, `take` says.
        """
        raise NotImplementedError

    async def receive(self, deadline: float = FOREVER) -> list[C]:
        """The next chunks, waiting for them; an empty list when the stream has ended.

        Raises:
            APIError: as `take`.
            Timeout: nothing arrived before `deadline`. Its `budget` is left for the caller to name.
        """
        in_time = True
        while (chunks := self.take()) is None:
            if not in_time:
                raise Timeout("no content in time")
            in_time = await self.wait(deadline)
        return chunks

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
