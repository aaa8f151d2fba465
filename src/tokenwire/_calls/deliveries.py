"""The thread in which LiteLLM's sync callbacks run: they may block, and the event loop must not.

There is one thread, while there is work and for a moment longer. It is not a daemon, so that queued callbacks run before
the process ends. It waits a moment for more work before it starts: each time it wakes, it competes with the event loop's
thread for the interpreter. The queue is bounded: further callbacks are dropped, with a warning in the log.
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
GATHER_SECONDS = 0.01  # from the first queued callback until the thread starts
LINGER_SECONDS = 0.1  # after the last callback

_changed = threading.Condition()
_waiting: deque[tuple[Context, Callable[[], object]]] = deque()
_thread: threading.Thread | None = None


def deliver(function: Callable[..., object], *args: object, **kwargs: object) -> None:
    """Call a function in the thread, in the caller's context."""
    global _thread
    with _changed:
        if len(_waiting) >= MOST_WAITING:
            logger.warning("%d callbacks are queued, so one more was dropped: they are slower than the calls", MOST_WAITING)
            return
        _waiting.append((copy_context(), partial(function, *args, **kwargs)))
        if _thread is None:
            _thread = threading.Thread(target=_work, name="tokenwire callbacks", daemon=False)
            _thread.start()
        elif len(_waiting) == 1:
            _changed.notify()


def name_of(function: Callable[..., object]) -> str:
    """A callback's name, for the log."""
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
        for _ in range(len(_waiting)):  # those queued meanwhile run in the next round
            _call(*_waiting.popleft())


def _call(context: Context, function: Callable[[], object]) -> None:
    try:
        context.run(function)
    except Exception:
        logger.warning("the callback %s failed", name_of(function), exc_info=True)


def _forget() -> None:
    """After a fork, in the child: the thread and the queue are the parent's, and the lock may be held for ever."""
    global _changed, _thread
    _changed, _thread = threading.Condition(), None
    _waiting.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
