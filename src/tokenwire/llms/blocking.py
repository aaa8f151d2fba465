"""Warns of handlers that block the event loop, once for each handler."""

import logging
import time
from typing import TypeVar

from .._loops.steps import Step, rest_of

T = TypeVar("T")

logger: logging.Logger = logging.getLogger("tokenwire")

BLOCKING_SECONDS = 0.25  # code that takes longer without waiting for anything gives a warning

_warned_of: set[str] = set()  # handlers


def note_blocking(name: str, seconds: float) -> None:
    """Warn if a handler's code ran for `seconds` without waiting, and that is too long."""
    if seconds > BLOCKING_SECONDS and name not in _warned_of:
        _warned_of.add(name)
        logger.warning(
            "the handler %s blocked the event loop for %.2f s, in which no other call was served: do such work in a thread"
            " (a function or generator without async runs in one)",
            *(name, seconds),
        )


async def watched(step: Step[T], name: str) -> T:
    """Await a handler's coroutine, and measure the time until it first waits."""
    began = time.monotonic()
    try:
        waits_for = step.send(None)
    except StopIteration as done:
        return done.value
    finally:
        note_blocking(name, time.monotonic() - began)
    return await rest_of(step, waits_for)
