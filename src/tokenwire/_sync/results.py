"""The results of `map` for sync code.

The calls are made on the background loop; the inputs are read in the thread that takes the results, while there is room.
They are passed to the loop in batches, whenever the thread is about to wait.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Generic, NoReturn, TypeVar, cast

import anyio
from msgspec.structs import replace

from .._calls.stream import AsyncStream
from ..exceptions import wrong
from ..types.attempts import Result
from .portal import Portal
from .stream import Stream, _Buffer

R = TypeVar("R", covariant=True)

LEFT = "these results were left: call map again"


class MapResults(Generic[R]):
    """The results of many calls, for sync code: `for result in client.map(...)`.

    Use it in `with`, which cancels the calls in flight however the block ends; `close()` does the same, and so does
    dropping it. Iterating raises the same errors as iterating `amap`'s.
    """

    def __init__(self, amap: Callable[..., Any], model: str, inputs: Iterable[Any], keywords: dict[str, Any]) -> None:
        if isinstance(inputs, str | bytes | Mapping) or not isinstance(inputs, Iterable):
            raise wrong("inputs", "an iterable of prompts, message lists or dicts of keywords", inputs)
        self._feed = _Feed()
        results = amap(model, self._feed, **keywords)
        self._inputs: Iterator[Any] | None = iter(inputs)
        self._read: list[Any] = []  # inputs not passed to the loop yet
        self._room: int = results.room
        self._raises, results.raises = results.raises, False  # raised here, in the caller's thread
        self._under_way = 0
        self._failure: Exception | None = None  # the error of reading the inputs
        self._portal = Portal.ready()
        self._buffer = _Buffer[Result[R]](self._portal.condition())
        self._batch: deque[Result[R]] = deque()
        self._closed = False
        self._pump = self._portal.start(_pump, results, self._buffer)

    def __iter__(self) -> "MapResults[R]":
        return self

    def __aiter__(self) -> NoReturn:
        raise TypeError("these are sync results: use 'for', or the async function amap")

    def __next__(self) -> Result[R]:
        if self._closed:
            raise RuntimeError(LEFT)
        try:
            result = self._next()
        except Exception:
            raise
        except BaseException:  # an interrupt (Ctrl-C), whose traceback may keep this object for ever
            self._pump.cancel()
            raise
        if result.error is not None and self._raises:
            raise result.error
        return result

    def _next(self) -> Result[R]:
        while not self._batch:
            if self._buffer.over:
                self._end()
            if not self._buffer.is_ready:
                self._read_inputs()
            self._hand_over()
            self._require_reachable()
            self._batch.extend(self._buffer.take(self._portal))
        self._under_way -= 1
        result = self._batch.popleft()
        if isinstance(result.response, AsyncStream):
            return replace(result, response=cast(R, Stream(_same, (result.response,), {})))
        return result

    def _end(self) -> NoReturn:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        raise StopIteration

    def _read_inputs(self) -> None:
        """Read inputs while there is room and no result."""
        while self._inputs is not None and self._under_way < self._room and not self._buffer.is_ready:
            try:
                self._read.append(next(self._inputs))
                self._under_way += 1
            except StopIteration:
                self._inputs = None
            except Exception as error:  # noqa: BLE001  (raised again after the last result)
                self._inputs, self._failure = None, error

    def _hand_over(self) -> None:
        read, self._read, over = self._read, [], self._inputs is None
        if read or over:
            self._portal.call_soon(partial(self._feed.add, read, over=over))

    def _require_reachable(self) -> None:
        if not self._portal.is_in_this_process():
            raise RuntimeError("these results belong to the process that this one was forked from")
        if self._portal.is_own_thread():
            raise RuntimeError(
                "this thread runs the event loop that makes these calls, so waiting would block it: use amap here"
            )

    def __enter__(self) -> "MapResults[R]":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_pump") and not self._buffer.over:  # otherwise only streams are left, which may still be read
            self._pump.cancel()

    def close(self) -> None:
        """Cancel the calls in flight, and wait for that. Safe to call twice, from any thread."""
        self._closed = True
        self._pump.cancel()
        if self._portal.is_in_this_process() and not self._portal.is_own_thread():
            self._pump.wait()
        self._batch.clear()

    def __repr__(self) -> str:
        return f"<MapResults {'closed' if self._closed else 'open'}>"


class _Feed:
    """An async iterable of items from another thread."""

    def __init__(self) -> None:
        self._items: deque[Any] = deque()
        self._over = False
        self._changed: anyio.Event | None = None

    def add(self, items: list[Any], *, over: bool) -> None:
        self._items.extend(items)
        self._over = over
        changed, self._changed = self._changed, None
        if changed is not None:
            changed.set()

    def __aiter__(self) -> "_Feed":
        return self

    async def __anext__(self) -> Any:
        while not self._items:
            if self._over:
                raise StopAsyncIteration
            self._changed = anyio.Event()
            await self._changed.wait()
        return self._items.popleft()


def _same(stream: AsyncStream[Any]) -> AsyncStream[Any]:
    return stream


async def _pump(results: Any, buffer: _Buffer[Any]) -> None:
    """Pass the results on. The buffer's limit is not used, since the calls are limited by `room`."""
    error: BaseException | None = None
    try:
        async with results:
            async for result in results:
                buffer.put([result])
                del result  # otherwise a dropped stream would not end
            buffer.end(None)
            await results.wait_until_over()  # for streams that are still being read
    except anyio.get_cancelled_exc_class():
        raise
    except BaseException as caught:  # noqa: BLE001  (raised again in the reader's thread)
        error = caught
    finally:
        buffer.end(error)
        del error  # see portal.wait_for
