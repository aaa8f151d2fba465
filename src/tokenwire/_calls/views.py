"""Other ways to iterate a stream than by chunks: by its text, its partial JSON value, its tool calls."""

from collections import deque
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

V = TypeVar("V")


class Chunks(Protocol):
    """The part of `AsyncStream` that views need."""

    async def __anext__(self) -> Any:
        """The next chunk."""
        ...

    def take_ready(self) -> list[Any]:
        """The chunks that arrived with it."""
        ...


class AsyncView(Generic[V]):
    """An async iterator over a stream that yields at most one item for each read from the network.

    It has nothing to close itself; it ends and fails as the stream does.

    Args:
        stream: the stream it reads.
        read: makes an item from chunks; None if they have nothing for it.
    """

    __slots__ = ("_read", "_stream")

    def __init__(self, stream: Chunks, read: Callable[[list[Any]], V | None]) -> None:
        self._stream, self._read = stream, read

    def __aiter__(self) -> "AsyncView[V]":
        return self

    async def __anext__(self) -> V:
        while True:
            chunk = await self._stream.__anext__()
            made = self._read([chunk, *self._stream.take_ready()])
            if made is not None:
                return made


class AsyncItems(Generic[V]):
    """An async iterator over a stream that yields any number of items for each read from the network.

    It has nothing to close itself; it ends as the stream does, after the items of `finish`, and fails as it does.

    Args:
        stream: the stream it reads.
        read: returns the items in chunks.
        finish: returns the last items once the stream has ended; called again, none.
    """

    __slots__ = ("_finish", "_read", "_ready", "_stream")

    def __init__(self, stream: Chunks, read: Callable[[list[Any]], list[V]], finish: Callable[[], list[V]]) -> None:
        self._stream, self._read, self._finish = stream, read, finish
        self._ready: deque[V] = deque()

    def __aiter__(self) -> "AsyncItems[V]":
        return self

    async def __anext__(self) -> V:
        while not self._ready:
            try:
                chunk = await self._stream.__anext__()
            except StopAsyncIteration:
                self._ready.extend(self._finish())
                if not self._ready:
                    raise
            else:
                self._ready.extend(self._read([chunk, *self._stream.take_ready()]))
        return self._ready.popleft()
