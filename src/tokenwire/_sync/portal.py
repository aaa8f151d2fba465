"""The background event loop on which sync code runs the async code.

One portal, a daemon thread with an asyncio loop, serves the whole process; it starts with the first sync call, and again
after a fork. If it can't start, or has ended with the process, a call runs on its own loop: see `inline`.

Scheduling something on the loop never waits for the loop: the garbage collector may drop a stream in a thread that holds a
lock for which the loop waits, and a forked child's copy of the loop never runs.
"""

import atexit
import os
import sys
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future
from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import anyio

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")

EXIT_SECONDS = 2.0  # to wait for the event loop's end when the process ends


class Changes(Protocol):
    """The part of `threading.Condition` that streams use."""

    def __enter__(self) -> object: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None: ...
    def wait(self) -> object: ...
    def notify_all(self) -> None: ...


class Portal:
    """A background event loop, in a daemon thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None  # asyncio is imported by the first call
        self._thread: threading.Thread | None = None
        self._ident = 0
        self._process = os.getpid()
        self._stopping: anyio.Event | None = None
        self._works: set[Any] = set()  # strong references, as the loop has only weak ones to its tasks
        self._inner: Portal | None = None
        self._has_ended = False

    @classmethod
    def ready(cls) -> "Portal":
        """The portal for a call from this thread: the `current` one, started; or an inline one if that can't start."""
        portal = cls.current()
        try:
            portal._get()
        except RuntimeError:  # the process is ending
            from .inline import InlinePortal

            return InlinePortal()
        return portal

    @classmethod
    def current(cls) -> "Portal":
        """A portal for which this thread may wait: not the one whose loop runs in this thread, as that would be a deadlock.

        Handlers on a background loop, and in its worker threads, may make sync calls, too.
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

    @property
    def is_running(self) -> bool:
        """Whether the loop is running."""
        return self._loop is not None

    def is_in_this_process(self) -> bool:
        """Whether the loop runs in this process: False in a forked child, for the parent's loops."""
        return self._process == os.getpid()

    def start(self, function: Callable[..., Coroutine[Any, Any, T]], *args: object, **kwargs: object) -> "Work[T]":
        """Start a coroutine function on this loop, which is started if it is not running."""
        work = Work(self, function, args, kwargs)
        loop = self._get()
        loop.call_soon_threadsafe(self._begin, loop, work)
        return work

    def condition(self) -> Changes:
        """A condition for a thread to wait on, notified from this loop."""
        return threading.Condition()

    def wait(self, future: "Future[Any]") -> None:
        """Wait until a future of this loop is done, in any way."""
        try:
            future.exception()
        except CancelledError:
            pass

    def call_soon(self, function: Callable[[], object]) -> None:
        """Schedule a function on the loop, if that is still running, without waiting for it. Safe in `__del__`."""
        loop = self._loop
        if loop is not None and self.is_in_this_process():
            try:
                loop.call_soon_threadsafe(function)
            except RuntimeError:
                pass  # the loop has ended, and so has everything that ran on it

    def stop(self) -> None:
        """End the event loop, as the process is ending; open streams are cancelled."""
        if self._inner is not None:
            self._inner.stop()
        with self._lock:
            thread, self._thread = self._thread, None
            if self._stopping is not None:
                self.call_soon(self._stopping.set)
            self._loop, self._ident, self._has_ended = None, 0, True
        if thread is not None:
            thread.join(EXIT_SECONDS)

    def _get(self) -> "asyncio.AbstractEventLoop":
        with self._lock:
            if self._loop is not None:
                return self._loop
            if self._has_ended:
                raise RuntimeError("the background event loop has ended with the process")
            started: Future[asyncio.AbstractEventLoop] = Future()
            threading.Thread(target=self._run, args=(started,), name="tokenwire", daemon=True).start()
            return started.result()

    def _run(self, started: "Future[asyncio.AbstractEventLoop]") -> None:
        import asyncio

        sniffio = sys.modules.get("sniffio")  # used by anyio if it is installed
        if sniffio is not None:
            sniffio.thread_local.name = "asyncio"  # overrides the caller's context, which may have "trio"

        async def serve() -> None:
            # Set here, not in the starting thread, which an interrupt can stop at any point.
            self._thread, self._ident = threading.current_thread(), threading.get_ident()
            self._stopping = stopping = anyio.Event()
            self._loop = asyncio.get_running_loop()
            started.set_result(self._loop)
            await stopping.wait()

        asyncio.run(serve())  # at its end it cancels all work and closes the default client

    def _begin(self, loop: "asyncio.AbstractEventLoop", work: "Work[Any]") -> None:
        task = loop.create_task(work.run())
        self._works.add(task)
        task.add_done_callback(self._works.discard)


class Work(Generic[T]):
    """A coroutine function that runs on a background loop, for use by other threads.

    Attributes:
        portal: the loop's portal.
    """

    def __init__(
        self, portal: Portal, function: Callable[..., Coroutine[Any, Any, T]], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self.portal: Portal = portal
        self._function = function
        self._args, self._kwargs = args, kwargs
        self._scope: anyio.CancelScope | None = None
        self._cancelled = False
        self._future: Future[T] = Future()

    async def run(self) -> None:
        """Run it; called on the loop."""
        _home.set(self.portal)
        future = self._future
        try:
            with anyio.CancelScope() as self._scope:
                if self._cancelled:
                    self._scope.cancel()
                future.set_result(await self._function(*self._args, **self._kwargs))
        except anyio.get_cancelled_exc_class():
            raise
        except BaseException as error:  # noqa: BLE001  (any exception: asyncio would end the loop for a SystemExit)
            future.set_exception(error)
        finally:
            give_up(future)
            del self._function, self._args, self._kwargs  # so that a stream that is kept does not keep its client
            del future, self  # see wait_for

    def cancel(self) -> None:
        """Cancel it, without waiting for that. Safe in `__del__`."""
        self.portal.call_soon(self._cancel)

    def _cancel(self) -> None:
        self._cancelled = True
        if self._scope is not None:
            self._scope.cancel()

    def result(self) -> T:
        """Wait for its result or exception. An interrupt (Ctrl-C) cancels it, and is then raised."""
        try:
            return wait_for(self._future, self)
        finally:
            del self  # see wait_for

    def wait(self) -> None:
        """Wait until it has ended, in any way."""
        self.portal.wait(self._future)


_home: ContextVar[Portal | None] = ContextVar("tokenwire_home", default=None)
_root = Portal()


@atexit.register
def _stop_portals() -> None:
    _root.stop()


def _forget_portals() -> None:
    """After a fork, in the child: the parent's loops do not run here, and their locks may be held for ever."""
    global _root
    _home.set(None)
    _root = Portal()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_portals)


def run(function: Callable[..., Coroutine[Any, Any, T]], *args: object, **kwargs: object) -> T:
    """Run a coroutine function on a background loop and wait for its result, as `Work.result` does."""
    return Portal.ready().start(function, *args, **kwargs).result()


def wait_for(future: "Future[T]", work: Work[Any]) -> T:
    try:
        work.portal.wait(future)
        return future.result()
    except CancelledError:
        raise RuntimeError("the background event loop has ended, as it does when the process ends") from None
    except BaseException:
        if not future.done():
            work.cancel()
        raise
    finally:
        # An exception refers to the frames it passed. If one of them referred to the exception's future, that would be a
        # reference cycle: what the frames hold, such as a broken stream, would be kept until the garbage collector runs.
        del future, work


def give_up(future: "Future[Any]") -> None:
    """End all waits for a future that is not done."""
    if future.cancel():
        future.set_running_or_notify_cancel()
