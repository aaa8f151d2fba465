"""The thread in which LiteLLM's plain callbacks run: they may block, and an event loop must not.

There is one, while there is something to do and a moment longer; it is no daemon, so that what was handed over is done
before the process ends. What waits is bounded: past that it is dropped, and the log says so.
"""

import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any

logger: logging.Logger = logging.getLogger("tokenwire")

MOST_WAITING = 10_000
LINGER_SECONDS = 0.1  # after the last one

_changed = threading.Condition()
_waiting: deque[tuple[Context, Callable[..., object], tuple[Any, ...], dict[str, Any]]] = deque()
_thread: threading.Thread | None = None


def deliver(function: Callable[..., object], *args: object, **kwargs: object) -> None:
    """Have the thread call this, in the caller's context."""
    global _thread
    with _changed:
        if len(_waiting) >= MOST_WAITING:
            logger.warning("%d callbacks wait, and one more is dropped: they are slower than the calls", MOST_WAITING)
            return
        _waiting.append((copy_context(), function, args, kwargs))
        if _thread is None:
            _thread = threading.Thread(target=_work, name="tokenwire callbacks", daemon=False)
            _thread.start()
        else:
            _changed.notify()


def name_of(function: Callable[..., object]) -> str:
    """What a callback is called, for the log."""
    return getattr(function, "__qualname__", type(function).__name__)


def _work() -> None:
    global _thread
    while True:
        with _changed:
            if not _waiting and not _changed.wait(LINGER_SECONDS) and not _waiting:
                _thread = None
                return
            if not _waiting:
                continue
            context, function, args, kwargs = _waiting.popleft()
        try:
            context.run(function, *args, **kwargs)
        except Exception:
            logger.warning("the callback %s failed", name_of(function), exc_info=True)
        del context, function, args, kwargs  # the thread is not to keep an answer while it waits


def _forget() -> None:
    """In the child of a fork: the thread is the parent's, and so is what waits for it; the lock may be held for ever."""
    global _changed, _thread
    _changed, _thread = threading.Condition(), None
    _waiting.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
