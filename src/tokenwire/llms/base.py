"""What every handler is to the rest of the library."""

from collections.abc import AsyncIterator
from typing import Any, Generic, TypeVar

from ..wire.convert import Shape

C = TypeVar("C")


class BaseLLM:
    """The root of handlers. LiteLLM's users subclass it by this name; it asks for nothing."""


class ChunkSource(Generic[C]):
    """Where a stream's chunks come from, a batch at a time: what a handler's `astreaming` may return for full speed.

    An async iterator of single chunks is enough for a handler; the library wraps it in one of these. A handler whose
    chunks arrive many to a network read does better to return a source of its own.

    Attributes:
        shape: the class of the chunks that the caller wants, set before `start`; a source that can't make them leaves
            its own shape here, and its chunks are converted.
        assembler: collects what `receive` hands out.
        done: whether the provider itself said that the stream is complete.
        had_content: whether the latest batch held content, as deadlines understand it.
        status, headers: of the HTTP response behind the stream, None and {} where there is none.
    """

    shape: Shape
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

    async def receive(self, deadline: float) -> list[C]:
        """The next chunks, at least one; an empty list when the stream has ended, and for ever after.

        Raises:
            APIError: what the server or the connection did; chunks received before it have been handed out.
            Timeout: nothing arrived before `deadline`. Its `budget` is left for the caller to name.
        """
        raise NotImplementedError

    async def aclose(self) -> None:
        """Release what the source holds, at once; safe to call twice and on a cancelled task."""
        raise NotImplementedError

    async def __aiter__(self) -> AsyncIterator[C]:
        """The chunks one by one, for code that calls a handler directly."""
        try:
            await self.start(float("inf"))
            while batch := await self.receive(float("inf")):
                for chunk in batch:
                    yield chunk
        finally:
            await self.aclose()
