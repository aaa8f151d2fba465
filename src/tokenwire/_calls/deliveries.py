"""The thread in which LiteLLM's plain callbacks run: they may block, and an event loop must not.

There is one, while there is something to do and a moment longer; it is no daemon, so that what was handed over is done
before the process ends. It waits a moment for more before it begins: each time that it wakes, the event loop's thread has to
share the interpreter with it. What waits is bounded: past that it is dropped, and the log says so.
"""

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from functools import partial

logger: logging.Logger = logging.getLogger("tokenwire")

MOST_WAITING = 10_000
GATHER_SECONDS = 0.01  # from the first one that waits until the thread begins
LINGER_SECONDS = 0.1  # after the last one

_changed = threading.Condition()
_waiting: deque[tuple[Context, Callable[[], object]]] = deque()
_thread: threading.Thread | None = None


def deliver(function: Callable[..., object], *args: object, **kwargs: object) -> None:
    """Have the thread call this, in the caller's context."""
    global _thread
    with _changed:
        if len(_waiting) >= MOST_WAITING:
            logger.warning("%d callbacks wait, and one more is dropped: they are slower than the calls", MOST_WAITING)
            return
        _waiting.append((copy_context(), partial(function, *args, **kwargs)))
        if _thread is None:
            _thread = threading.Thread(target=_work, name="tokenwire callbacks", daemon=False)
            _thread.start()
        elif len(_waiting) == 1:
            _changed.notify()


def name_of(function: Callable[..., object]) -> str:
    """What a callback is called, for the log."""
    function = function.func if isinstance(function, partial) else function
    return getattr(function, "__qualname__", type(function).__name__)


def _work() -> None:
    global _thread
    while True:
        with _changed:
            if not _waiting:
                _changed.wait(LINGER_SECONDS)
            if not _waiting:
                _thread = None
                return
        time.sleep(GATHER_SECONDS)
        for _ in range(len(_waiting)):  # those that come meanwhile wait for the next round
            _call(*_waiting.popleft())


def _call(context: Context, function: Callable[[], object]) -> None:
    try:
        context.run(function)
    except Exception:
        logger.warning("the callback %s failed", name_of(function), exc_info=True)


def _forget() -> None:
    """In the child of a fork: the thread is the parent's, and so is what waits for it; the lock may be held for ever."""
    global _changed, _thread
    _changed, _thread = threading.Condition(), None
    _waiting.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
