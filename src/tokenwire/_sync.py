"""The sync face: the async core, run on one background event loop, from any thread.

One portal, a daemon thread with an asyncio loop of its own, serves the whole process; it starts with the first sync call
and again after a fork. A stream is read ahead by a task on that loop, the pump, into a bounded buffer, and the caller
takes all that is there at once: a chunk costs a list's `pop`, not a thread hop.
"""

import atexit
import os
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import AbstractContextManager
from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Literal, NoReturn, TypeVar, overload

import anyio
from anyio import from_thread

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
    from typing_extensions import Unpack

    from .types.params import CallParams, ChatParams, EmbeddingParams, ImageParams, Messages, TextParams

T = TypeVar("T")
C = TypeVar("C")

HIGH_WATER = 1024  # chunks a stream may be ahead of its reader
EXIT_SECONDS = 2.0  # how long the event loop may take to end when the process does


class Portal:
    """A background event loop, in a daemon thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._context: AbstractContextManager[from_thread.BlockingPortal] | None = None
        self._portal: from_thread.BlockingPortal | None = None
        self._thread = 0
        self._inner: Portal | None = None

    @classmethod
    def current(cls) -> "Portal":
        """The loop that may be waited for here: not the one whose own thread this is, for that would wait for itself.

        Handlers on a background loop, and in its worker threads, may make sync calls too.
        """
        home = _home.get() or _root
        if home._thread != threading.get_ident():
            return home
        if home._inner is None:
            home._inner = cls()
        return home._inner

    def start(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any, **kwargs: Any) -> "Future[T]":
        """Begin to run a coroutine function on this loop, which is started if it is not running."""

        async def at_home() -> T:
            _home.set(self)
            return await function(*args, **kwargs)

        return self._get().start_task_soon(at_home)

    def stop(self) -> None:
        """End the event loop, for the process is ending; streams still open are cut."""
        if self._inner is not None:
            self._inner.stop()
        portal, self._portal = self._portal, None
        if portal is not None:
            stopper = threading.Thread(target=_stop, args=(portal,), daemon=True)
            stopper.start()
            stopper.join(EXIT_SECONDS)

    def _get(self) -> from_thread.BlockingPortal:
        with self._lock:
            if self._portal is None:
                self._context = from_thread.start_blocking_portal("asyncio", name="tokenwire")
                self._portal = self._context.__enter__()
                self._thread = self._portal.call(threading.get_ident)
            return self._portal


def _stop(portal: from_thread.BlockingPortal) -> None:
    try:
        portal.call(portal.stop, True)
    except (RuntimeError, CancelledError):
        pass  # it has ended already


_home: ContextVar[Portal | None] = ContextVar("tokenwire_home", default=None)
_root = Portal()
atexit.register(_root.stop)


def _forget_portals() -> None:
    """In the child of a fork: the parent's loops do not run here, and their locks may be held for ever."""
    _home.set(None)
    _root.__init__()  # type: ignore[misc]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_portals)


def run(function: Callable[..., Coroutine[Any, Any, T]], *args: Any, **kwargs: Any) -> T:
    """Run a coroutine function on a background loop and wait for its result.

    Interrupted (Ctrl-C), it cancels the call before it lets the interrupt go on.
    """
    return _wait(Portal.current().start(function, *args, **kwargs))


def _wait(future: "Future[T]") -> T:
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


class Stream(Generic[C]):
    """The chunks of one streamed call, for sync code: `for chunk in stream`.

    Use it in `with`, which releases the connection however the block is left; `close()` does the same, and so does
    dropping the stream. It offers what `AsyncStream` does, and raises the same errors.
    """

    def __init__(self, stream: AsyncStream[C], portal: Portal) -> None:
        self._stream = stream
        self._portal = portal
        self._batch: list[C] = []  # last chunk first
        self._buffer = _Buffer[C]()
        self._closed = False
        self._pump: Future[None] = portal.start(_pump, stream, self._buffer)

    def __next__(self) -> C:
        if self._batch:
            return self._batch.pop()
        if self._closed:
            raise StreamClosedError("this stream is closed: it can't be asked for more")
        batch = self._buffer.take(self._portal)
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

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self._pump.cancel()

    @property
    def outcome(self) -> Outcome | None:
        """As `AsyncStream.outcome`."""
        return self._stream.outcome

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
        self._closed = True
        self._batch.clear()
        self._pump.cancel()
        try:
            _wait(self._portal.start(self._stream.aclose))
        except RuntimeError:
            pass  # the event loop has ended, and its connections with it

    def __repr__(self) -> str:
        return f"<Stream {self.outcome or 'open'}>"


class _Buffer(Generic[C]):
    """Chunks on their way from the background loop to a thread, with a mark where the pump pauses."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._ready: deque[C] = deque()
        self._ended = False
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
                error, self._error = self._error, None
        if paused is not None:
            portal.start(_set, paused)
        if error is not None:
            raise error
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
            self._changed.notify()


async def _set(event: anyio.Event) -> None:
    event.set()


async def _pump(stream: AsyncStream[C], buffer: _Buffer[C]) -> None:
    """Read a stream ahead of its reader. Ends with the stream, or when it is cancelled by whoever drops the reader."""
    error: BaseException | None = None
    try:
        while chunks := await stream._receive_batch():
            room = buffer.put(chunks)
            if room is not None:
                await room.wait()
    except Exception as caught:  # noqa: BLE001  (raised again in the reader's thread)
        error = caught
    finally:
        buffer.end(error)
        with anyio.CancelScope(shield=True):
            if stream.outcome is None:
                await stream.aclose()


def open_stream(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Stream[Any]:
    """The stream that an async function returns, read from this thread."""

    async def opened() -> AsyncStream[Any]:
        stream = function(*args, **kwargs)
        return stream if isinstance(stream, AsyncStream) else await stream

    portal = Portal.current()
    return Stream(_wait(portal.start(opened)), portal)


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
        return open_stream(_api.acompletion, model, messages, stream=True, **params)
    return run(_api.acompletion, model, messages, stream=stream, **params)


def streaming(model: str, messages: "Messages | None" = None, **params: "Unpack[ChatParams]") -> Stream[GenericStreamingChunk]:
    """Stream a chat completion as flat chunks, from sync code: `astreaming` with the same arguments, results and errors."""
    return open_stream(_api.astreaming, model, messages, **params)


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
        return open_stream(_api.atext_completion, model, prompt, stream=True, **params)
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
        self._client = AsyncClient(**defaults)

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return repr(self._client).replace("AsyncClient", "Client")

    def close(self) -> None:
        """Close the pool's connections, those of open streams too. Safe to call twice."""
        run(self._client.aclose)

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
            return open_stream(self._client.acompletion, model, messages, stream=True, **params)
        return run(self._client.acompletion, model, messages, stream=stream, **params)

    def streaming(self, model: str, messages: "Messages | None" = None, **params: "Unpack[ChatParams]") -> Stream[GenericStreamingChunk]:
        """As `tokenwire.streaming`."""
        return open_stream(self._client.astreaming, model, messages, **params)

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
            return open_stream(self._client.atext_completion, model, prompt, stream=True, **params)
        return run(self._client.atext_completion, model, prompt, stream=stream, **params)

    def embedding(self, model: str, input: "str | Sequence[Any] | None" = None, **params: "Unpack[EmbeddingParams]") -> EmbeddingResponse:
        """As `tokenwire.embedding`."""
        return run(self._client.aembedding, model, input, **params)

    def image_generation(self, prompt: str, model: str, **params: "Unpack[ImageParams]") -> ImageResponse:
        """As `tokenwire.image_generation`."""
        return run(self._client.aimage_generation, prompt, model, **params)

    def list_models(self, model: str = "openai/*", **params: "Unpack[CallParams]") -> ModelList:
        """As `tokenwire.list_models`."""
        return run(self._client.alist_models, model, **params)
