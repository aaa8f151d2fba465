"""What can be read of a stream in place of its chunks: its text, the value that this is becoming, its tool calls."""

from collections import deque
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

V = TypeVar("V")


class Chunks(Protocol):
    """A stream, as `AsyncStream` is one."""

    async def __anext__(self) -> Any:
        """The next chunk."""
        ...

    def take_ready(self) -> list[Any]:
        """Those that arrived with it."""
        ...


class AsyncView(Generic[V]):
    """Something of a stream, once for each read from the network: `async for`.

    It has nothing of its own to close; it ends and fails as the stream does.

    Args:
        stream: whose chunks it takes.
        take: what it makes of some; None where there is nothing in them for its reader.
    """

    __slots__ = ("_stream", "_take")

    def __init__(self, stream: Chunks, take: Callable[[list[Any]], V | None]) -> None:
        self._stream, self._take = stream, take

    def __aiter__(self) -> "AsyncView[V]":
        return self

    async def __anext__(self) -> V:
        while True:
            chunk = await self._stream.__anext__()
            made = self._take([chunk, *self._stream.take_ready()])
            if made is not None:
                return made


class AsyncItems(Generic[V]):
    """Something of a stream, any number of items for each read from the network: `async for`.

    It has nothing of its own to close; it ends as the stream does, after what `finish` adds, and fails as it does.

    Args:
        stream: whose chunks it takes.
        take: the items that it finds in some.
        finish: those that it finds once the stream has ended, and then, asked again, no more.
    """

    __slots__ = ("_finish", "_ready", "_stream", "_take")

    def __init__(self, stream: Chunks, take: Callable[[list[Any]], list[V]], finish: Callable[[], list[V]]) -> None:
        self._stream, self._take, self._finish = stream, take, finish
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
                self._ready.extend(self._take([chunk, *self._stream.take_ready()]))
        return self._ready.popleft()
