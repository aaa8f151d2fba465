"""The sync face: the async core, run on one background event loop, from any thread.

One portal, a daemon thread with an asyncio loop of its own, serves the whole process; it starts with the first sync call
and again after a fork. A stream is read ahead by a task on that loop, the pump, into a bounded buffer, and the caller
takes all that is there at once: a chunk costs a list's `pop`, not a thread hop.

Whoever tells the loop to do something never waits until it has heard: a stream may be dropped by the garbage collector
while the thread it runs in holds a lock that the loop waits for, and a forked child's copy of the loop never hears.
"""

import atexit
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import CancelledError, Future, wait
from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Literal, NoReturn, TypeVar, overload

import anyio

from . import _api
from ._client import AsyncClient
from ._stream import AsyncStream, Outcome, Timings
from .exceptions import StreamClosedError
from .types import (
    EmbeddingResponse,
    GenericStreamingChunk,
    ImageResponse,
    ModelList,
    ModelResponse,
    ModelResponseStream,
    TextCompletionResponse,
    Usage,
)

if TYPE_CHECKING:
    import asyncio

    from typing_extensions import Unpack

    from .types.params import CallParams, ChatParams, EmbeddingParams, ImageParams, Messages, TextParams

T = TypeVar("T")
C = TypeVar("C")

HIGH_WATER = 1024  # chunks a stream may be ahead of its reader
CLOSED = "this stream is closed: it can't be asked for more"
EXIT_SECONDS = 2.0  # how long the event loop may take to end when the process does


class Portal:
    """A background event loop, in a daemon thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None  # not imported here: it comes with the first call
        self._thread: threading.Thread | None = None
        self._ident = 0
        self._process = os.getpid()
        self._stopping: anyio.Event | None = None
        self._works: set[Any] = set()  # the tasks; the loop itself holds them only weakly
        self._inner: Portal | None = None

    @classmethod
    def current(cls) -> "Portal":
        """The loop that may be waited for here: not the one whose own thread this is, for that would wait for itself.

        Handlers on a background loop, and in its worker threads, may make sync calls too.
        """
        home = _home.get() or _root
        if not home.is_own_thread():
            return home
        if home._inner is None:
            home._inner = cls()
        return home._inner

    def is_own_thread(self) -> bool:
        """Whether this code runs in the loop's thread."""
        return self._ident == threading.get_ident()

    def is_in_this_process(self) -> bool:
        """Whether the loop runs in this process: False in the child of a fork, for the parent's loops."""
        return self._process == os.getpid()

    def start(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any, **kwargs: Any) -> "Work[T]":
        """Begin to run a coroutine function on this loop, which is started if it is not running."""
        work = Work(self, function, args, kwargs)
        loop = self._get()
        loop.call_soon_threadsafe(self._begin, loop, work)
        return work

    def call_soon(self, function: Callable[[], object]) -> None:
        """Call a function on the loop, if that still runs, and don't wait for it. Safe in `__del__`."""
        loop = self._loop
        if loop is not None and self.is_in_this_process():
            try:
                loop.call_soon_threadsafe(function)
            except RuntimeError:
                pass  # it has ended, and all that ran on it with it

    def stop(self) -> None:
        """End the event loop, for the process is ending; streams still open are cut."""
        if self._inner is not None:
            self._inner.stop()
        with self._lock:
            thread, self._thread = self._thread, None
            if self._stopping is not None:
                self.call_soon(self._stopping.set)
            self._loop, self._ident = None, 0
        if thread is not None:
            thread.join(EXIT_SECONDS)

    def _get(self) -> "asyncio.AbstractEventLoop":
        with self._lock:
            if self._loop is None:
                started: Future[asyncio.AbstractEventLoop] = Future()
                self._thread = threading.Thread(target=self._run, args=(started,), name="tokenwire", daemon=True)
                self._thread.start()
                self._loop = started.result()
            return self._loop

    def _run(self, started: "Future[asyncio.AbstractEventLoop]") -> None:
        import asyncio

        sniffio = sys.modules.get("sniffio")  # anyio asks it, where it is installed
        if sniffio is not None:
            sniffio.thread_local.name = "asyncio"  # or it would believe a caller's context, which may say "trio"

        async def serve() -> None:
            self._ident = threading.get_ident()
            self._stopping = stopping = anyio.Event()
            started.set_result(asyncio.get_running_loop())
            await stopping.wait()

        asyncio.run(serve())  # at its end it cancels every work and closes the default client

    def _begin(self, loop: "asyncio.AbstractEventLoop", work: "Work[Any]") -> None:
        task = loop.create_task(work.run())
        self._works.add(task)
        task.add_done_callback(self._works.discard)


class Work(Generic[T]):
    """A coroutine function at work on a background loop, as the other threads see it."""

    def __init__(
        self, portal: Portal, function: Callable[..., Coroutine[Any, Any, T]], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self._portal = portal
        self._function = function
        self._args, self._kwargs = args, kwargs
        self._scope: anyio.CancelScope | None = None
        self._cancelled = False
        self._future: Future[T] = Future()

    async def run(self) -> None:
        """Do it; called on the loop."""
        _home.set(self._portal)
        future = self._future
        try:
            with anyio.CancelScope() as self._scope:
                if self._cancelled:
                    self._scope.cancel()
                future.set_result(await self._function(*self._args, **self._kwargs))
        except anyio.get_cancelled_exc_class():
            raise
        except BaseException as error:  # noqa: BLE001  (of any kind: asyncio would end the loop for a SystemExit)
            future.set_exception(error)
        finally:
            _give_up(future)
            del future, self  # see _wait

    def cancel(self) -> None:
        """Cancel it, and don't wait for that. Safe in `__del__`."""
        self._portal.call_soon(self._cancel)

    def _cancel(self) -> None:
        self._cancelled = True
        if self._scope is not None:
            self._scope.cancel()

    def result(self) -> T:
        """Wait for what it returns or raises. Interrupted (Ctrl-C), it is cancelled before the interrupt goes on."""
        try:
            return _wait(self._future, self)
        finally:
            del self  # see _wait

    def wait(self) -> None:
        """Wait until it has ended, in whatever way."""
        wait((self._future,))


_home: ContextVar[Portal | None] = ContextVar("tokenwire_home", default=None)
_root = Portal()


@atexit.register
def _stop_portals() -> None:
    _root.stop()


def _forget_portals() -> None:
    """In the child of a fork: the parent's loops do not run here, and their locks may be held for ever."""
    global _root
    _home.set(None)
    _root = Portal()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_portals)


def run(function: Callable[..., Coroutine[Any, Any, T]], *args: Any, **kwargs: Any) -> T:
    """Run a coroutine function on a background loop and wait for its result, as `Work.result` does."""
    return Portal.current().start(function, *args, **kwargs).result()


def _wait(future: "Future[T]", work: Work[Any]) -> T:
    try:
        return future.result()
    except CancelledError:
        raise RuntimeError("the background event loop has ended, as it does when the process ends") from None
    except BaseException:
        if not future.done():
            work.cancel()
        raise
    finally:
        # An exception knows the frames it passed. Where one of them knew the exception's future, that would be a cycle,
        # and what the frames hold, a broken stream too, would stay until the garbage collector comes.
        del future, work


def _give_up(future: "Future[Any]") -> None:
    """Let nobody wait for a future any longer of which nothing has come."""
    if future.cancel():
        future.set_running_or_notify_cancel()


class Stream(Generic[C]):
    """The chunks of one streamed call, for sync code: `for chunk in stream`.

    Use it in `with`, which releases the connection however the block is left; `close()` does the same, and so does
    dropping the stream. It offers what `AsyncStream` does, and raises the same errors.
    """

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._portal = Portal.current()
        self._batch: list[C] = []  # last chunk first
        self._buffer = _Buffer[C]()
        self._closed = self._cut = False
        opened: Future[AsyncStream[C]] = Future()
        self._pump = self._portal.start(_pump, function, args, kwargs, opened, self._buffer)
        try:
            self._stream = _wait(opened, self._pump)
        finally:
            del opened  # see _wait

    def __next__(self) -> C:
        if self._batch:
            return self._batch.pop()
        if self._closed:
            raise StreamClosedError(CLOSED)
        if self._buffer.over:
            raise StopIteration
        self._require_reachable()
        batch = self._buffer.take(self._portal)
        if self._closed:  # by another thread, while this one waited
            raise StreamClosedError(CLOSED)
        if not batch:
            raise StopIteration
        batch.reverse()
        self._batch = batch
        return batch.pop()

    def __iter__(self) -> "Stream[C]":
        return self

    def __aiter__(self) -> NoReturn:
        raise TypeError("this is a sync stream: use 'for', or the async function of the same name with an 'a'")

    def __enter__(self) -> "Stream[C]":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_pump"):
            self._pump.cancel()

    @property
    def outcome(self) -> Outcome | None:
        """As `AsyncStream.outcome`: how the stream ended for its reader, who comes behind what was read ahead."""
        if self._cut:
            return "cancelled"
        return self._stream.outcome if self._buffer.over else None

    @property
    def response(self) -> ModelResponse | TextCompletionResponse | None:
        """As `AsyncStream.response`; what the buffer holds ahead of the reader is part of it."""
        return self._stream.response

    @property
    def usage(self) -> Usage | None:
        """As `AsyncStream.usage`."""
        return self._stream.usage

    @property
    def timings(self) -> Timings:
        """As `AsyncStream.timings`."""
        return self._stream.timings

    @property
    def attempts(self) -> tuple[Any, ...]:
        """As `AsyncStream.attempts`."""
        return self._stream.attempts

    @property
    def response_headers(self) -> dict[str, str]:
        """As `AsyncStream.response_headers`."""
        return self._stream.response_headers

    @property
    def request_id(self) -> str | None:
        """As `AsyncStream.request_id`."""
        return self._stream.request_id

    def close(self) -> None:
        """End the stream now and release its connection. Safe to call twice, from any thread."""
        if self._closed:
            return
        self._closed, self._cut = True, not self._buffer.over
        self._batch.clear()
        if self._portal.is_in_this_process():
            self._pump.cancel()
            if not self._portal.is_own_thread():
                self._pump.wait()

    def _require_reachable(self) -> None:
        if not self._portal.is_in_this_process():
            raise StreamClosedError("this stream belongs to the process that this one was forked from")
        if self._portal.is_own_thread():
            raise RuntimeError("the event loop that fills this stream would wait for itself: use the async function here")

    def __repr__(self) -> str:
        return f"<Stream {self.outcome or 'open'}>"


class _Buffer(Generic[C]):
    """Chunks on their way from the background loop to a thread, with a mark where the pump pauses.

    Attributes:
        over: whether the reader has been told that the stream ended.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._ready: deque[C] = deque()
        self._ended = self.over = False
        self._error: BaseException | None = None
        self._paused: anyio.Event | None = None

    def take(self, portal: Portal) -> list[C]:
        """All chunks that are there, at least one; an empty list at the end. Raises what ended the stream."""
        with self._changed:
            while not self._ready and not self._ended:
                self._changed.wait()
            chunks = list(self._ready)
            self._ready.clear()
            paused, self._paused = self._paused, None
            error = None
            if not chunks:
                self.over = True
                error, self._error = self._error, None
        if paused is not None:
            portal.call_soon(paused.set)
        try:
            if error is not None:
                raise error
        finally:
            del error  # see _wait
        return chunks

    def put(self, chunks: list[C]) -> anyio.Event | None:
        """Add chunks; returns what to wait for before the next, None while there is room."""
        with self._changed:
            self._ready.extend(chunks)
            self._changed.notify()
            if len(self._ready) < HIGH_WATER:
                return None
            self._paused = anyio.Event()
            return self._paused

    def end(self, error: BaseException | None) -> None:
        """No more chunks will come."""
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()


async def _pump(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    opened: "Future[AsyncStream[C]]",
    buffer: _Buffer[C],
) -> None:
    """Open a stream, and read it ahead of its reader. Ends with the stream, or cancelled by whoever drops the reader."""
    stream: AsyncStream[C] | None = None
    error: BaseException | None = None
    try:
        made = function(*args, **kwargs)
        reading: AsyncStream[C] = made if isinstance(made, AsyncStream) else await made
        stream = reading
        opened.set_result(reading)
        async for chunk in reading:
            room = buffer.put([chunk, *reading.take_ready()])
            if room is not None:
                await room.wait()
    except anyio.get_cancelled_exc_class():
        import asyncio

        task = asyncio.current_task()
        if task is not None and not task.cancelling():  # a handler raised it by itself; nobody has left
            error = StreamClosedError("this stream was cancelled, and not by its reader")
        raise
    except BaseException as caught:  # noqa: BLE001  (raised again in the reader's thread)
        error = caught
    finally:
        try:
            if stream is not None and stream.outcome is None:
                with anyio.CancelScope(shield=True):
                    await stream.aclose()
        finally:
            if stream is None and error is not None:
                opened.set_exception(error)
            _give_up(opened)
            buffer.end(error)
            del opened, error  # see _wait


@overload
def completion(
    model: str, messages: "Messages | None" = None, *, stream: Literal[False] = False, **params: "Unpack[ChatParams]"
) -> ModelResponse: ...
@overload
def completion(
    model: str, messages: "Messages | None" = None, *, stream: Literal[True], **params: "Unpack[ChatParams]"
) -> Stream[ModelResponseStream]: ...
@overload
def completion(
    model: str, messages: "Messages | None" = None, *, stream: bool, **params: "Unpack[ChatParams]"
) -> ModelResponse | Stream[ModelResponseStream]: ...
def completion(
    model: str, messages: "Messages | None" = None, *, stream: bool = False, **params: "Unpack[ChatParams]"
) -> ModelResponse | Stream[ModelResponseStream]:
    """Ask a model for a chat completion, from sync code: `acompletion` with the same arguments, results and errors.

    It works in any thread. Inside a running event loop (a notebook, a coroutine) it works as well, and blocks that loop
    while it waits; there `acompletion` is the better choice.
    """
    if stream is True:
        return Stream(_api.acompletion, (model, messages), {"stream": True, **params})
    return run(_api.acompletion, model, messages, stream=stream, **params)


def streaming(model: str, messages: "Messages | None" = None, **params: "Unpack[ChatParams]") -> Stream[GenericStreamingChunk]:
    """Stream a chat completion as flat chunks, from sync code: `astreaming` with the same arguments, results and errors."""
    return Stream(_api.astreaming, (model, messages), {**params})


@overload
def text_completion(
    model: str,
    prompt: "str | Sequence[Any] | None" = None,
    *,
    stream: Literal[False] = False,
    **params: "Unpack[TextParams]",
) -> TextCompletionResponse: ...
@overload
def text_completion(
    model: str, prompt: "str | Sequence[Any] | None" = None, *, stream: Literal[True], **params: "Unpack[TextParams]"
) -> Stream[TextCompletionResponse]: ...
@overload
def text_completion(
    model: str, prompt: "str | Sequence[Any] | None" = None, *, stream: bool, **params: "Unpack[TextParams]"
) -> TextCompletionResponse | Stream[TextCompletionResponse]: ...
def text_completion(
    model: str, prompt: "str | Sequence[Any] | None" = None, *, stream: bool = False, **params: "Unpack[TextParams]"
) -> TextCompletionResponse | Stream[TextCompletionResponse]:
    """Ask a model to continue a text, from sync code: `atext_completion` with the same arguments, results and errors."""
    if stream is True:
        return Stream(_api.atext_completion, (model, prompt), {"stream": True, **params})
    return run(_api.atext_completion, model, prompt, stream=stream, **params)


def embedding(model: str, input: "str | Sequence[Any] | None" = None, **params: "Unpack[EmbeddingParams]") -> EmbeddingResponse:
    """Embed texts, from sync code: `aembedding` with the same arguments, results and errors."""
    return run(_api.aembedding, model, input, **params)


def image_generation(prompt: str, model: str, **params: "Unpack[ImageParams]") -> ImageResponse:
    """Make images, from sync code: `aimage_generation` with the same arguments, results and errors."""
    return run(_api.aimage_generation, prompt, model, **params)


def list_models(model: str = "openai/*", **params: "Unpack[CallParams]") -> ModelList:
    """List an endpoint's models, from sync code: `alist_models` with the same arguments, results and errors."""
    return run(_api.alist_models, model, **params)


class Client:
    """Calls models, from sync code: what `AsyncClient` is to async code.

    Args:
        **defaults: keywords for every call made through this client; a call's own keywords win.

    Use it in `with`, or call `close()`. Its methods may be called from several threads.
    """

    def __init__(self, **defaults: "Unpack[ChatParams]") -> None:
        self._defaults = defaults
        self._clients: dict[Portal, AsyncClient] = {}  # each belongs to its loop
        self._closed = False

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Client {'closed' if self._closed else 'open'}>"

    def __getstate__(self) -> NoReturn:
        raise TypeError("a client can't be pickled or copied: it has keys and connections; make another one")

    @property
    def _client(self) -> AsyncClient:
        """The client for the loop that calls are made on from here: handlers that make calls have another loop than others."""
        portal = Portal.current()
        client = self._clients.get(portal)
        if client is None:
            client = self._clients.setdefault(portal, AsyncClient(**self._defaults))
            client._closed = self._closed
        return client

    def close(self) -> None:
        """Close the pool's connections, those of open streams too. Safe to call twice."""
        self._closed = True
        here = Portal.current()
        for portal, client in list(self._clients.items()):
            if portal.is_in_this_process():
                closing = portal.start(client.aclose)
                if portal is here:  # any other may be waiting for this one
                    closing.result()

    @overload
    def completion(
        self, model: str, messages: "Messages | None" = None, *, stream: Literal[False] = False, **params: "Unpack[ChatParams]"
    ) -> ModelResponse: ...
    @overload
    def completion(
        self, model: str, messages: "Messages | None" = None, *, stream: Literal[True], **params: "Unpack[ChatParams]"
    ) -> Stream[ModelResponseStream]: ...
    @overload
    def completion(
        self, model: str, messages: "Messages | None" = None, *, stream: bool, **params: "Unpack[ChatParams]"
    ) -> ModelResponse | Stream[ModelResponseStream]: ...
    def completion(
        self, model: str, messages: "Messages | None" = None, *, stream: bool = False, **params: "Unpack[ChatParams]"
    ) -> ModelResponse | Stream[ModelResponseStream]:
        """As `tokenwire.completion`."""
        if stream is True:
            return Stream(self._client.acompletion, (model, messages), {"stream": True, **params})
        return run(self._client.acompletion, model, messages, stream=stream, **params)

    def streaming(
        self, model: str, messages: "Messages | None" = None, **params: "Unpack[ChatParams]"
    ) -> Stream[GenericStreamingChunk]:
        """As `tokenwire.streaming`."""
        return Stream(self._client.astreaming, (model, messages), {**params})

    @overload
    def text_completion(
        self,
        model: str,
        prompt: "str | Sequence[Any] | None" = None,
        *,
        stream: Literal[False] = False,
        **params: "Unpack[TextParams]",
    ) -> TextCompletionResponse: ...
    @overload
    def text_completion(
        self, model: str, prompt: "str | Sequence[Any] | None" = None, *, stream: Literal[True], **params: "Unpack[TextParams]"
    ) -> Stream[TextCompletionResponse]: ...
    @overload
    def text_completion(
        self, model: str, prompt: "str | Sequence[Any] | None" = None, *, stream: bool, **params: "Unpack[TextParams]"
    ) -> TextCompletionResponse | Stream[TextCompletionResponse]: ...
    def text_completion(
        self, model: str, prompt: "str | Sequence[Any] | None" = None, *, stream: bool = False, **params: "Unpack[TextParams]"
    ) -> TextCompletionResponse | Stream[TextCompletionResponse]:
        """As `tokenwire.text_completion`."""
        if stream is True:
            return Stream(self._client.atext_completion, (model, prompt), {"stream": True, **params})
        return run(self._client.atext_completion, model, prompt, stream=stream, **params)

    def embedding(
        self, model: str, input: "str | Sequence[Any] | None" = None, **params: "Unpack[EmbeddingParams]"
    ) -> EmbeddingResponse:
        """As `tokenwire.embedding`."""
        return run(self._client.aembedding, model, input, **params)

    def image_generation(self, prompt: str, model: str, **params: "Unpack[ImageParams]") -> ImageResponse:
        """As `tokenwire.image_generation`."""
        return run(self._client.aimage_generation, prompt, model, **params)

    def list_models(self, model: str = "openai/*", **params: "Unpack[CallParams]") -> ModelList:
        """As `tokenwire.list_models`."""
        return run(self._client.alist_models, model, **params)
