"""Handlers that block the event loop: told in the log, once each."""

import logging
import time
from typing import TypeVar

from .._loops.steps import Step, rest_of

T = TypeVar("T")

logger: logging.Logger = logging.getLogger("tokenwire")

BLOCKING_SECONDS = 0.25  # what takes so long, and waits for nothing, is worth a warning

_warned_of: set[str] = set()  # handlers


def note_blocking(name: str, seconds: float) -> None:
    """Warn of a handler's code that waited for nothing in so many seconds, if they are many."""
    if seconds > BLOCKING_SECONDS and name not in _warned_of:
        _warned_of.add(name)
        logger.warning(
            "the handler %s blocked the event loop for %.2f s, and nobody else was served meanwhile: let a thread do such work"
            " (a plain function or generator, without async, runs in one)",
            *(name, seconds),
        )


async def watched(step: Step[T], name: str) -> T:
    """The result of a handler's coroutine, whose way to where it first waits is looked at."""
    began = time.monotonic()
    try:
        waits_for = step.send(None)
    except StopIteration as done:
        return done.value
    finally:
        note_blocking(name, time.monotonic() - began)
    return await rest_of(step, waits_for)
