"""What the `tokenwire` logger is told of calls, at debug level: an attempt begins, it fails, the call ends.

No record has what was said, an error's message (a server's may quote the prompt), a header or a query, which can hold
keys; and none is made for a chunk. Whether anybody listens is asked once for each call.
"""

import itertools
import logging
import time
from typing import Any

from .exceptions import APIError, Timeout
from .types import Usage

logger: logging.Logger = logging.getLogger("tokenwire")
logger.addHandler(logging.NullHandler())  # where nobody set up logging, nothing is printed

_numbers = itertools.count(1)


class CallLog:
    """One call's records, all with its number: of thousands in flight, each can be followed.

    Args:
        call: what is called, as "openai/gpt-4o-mini".
        address: where its attempts go: "POST https://...", or a handler.
    """

    __slots__ = ("_address", "_call", "_number", "_started")

    def __init__(self, call: str, address: str) -> None:
        self._call = call
        self._address = address
        self._number = next(_numbers)
        self._started = time.monotonic()

    def begins(self, attempt: int) -> None:
        """An attempt begins."""
        logger.debug("call %d, %s: attempt %d, %s", self._number, self._call, attempt, self._address)

    def failed(self, attempt: int, seconds: float, error: APIError, delay: float | None) -> None:
        """An attempt failed after `seconds`; the next one follows in `delay` seconds, or none."""
        follows = "the last" if delay is None else f"the next in {delay:.2f} s"
        logger.debug(
            "call %d, %s: attempt %d failed after %.3f s, %s; %s",
            *(self._number, self._call, attempt, seconds, _described(error), follows),
        )

    def ends(
        self,
        outcome: str,
        error: APIError | None = None,
        *,
        first_content: float | None = None,
        usage: Usage | None = None,
        request_id: str | None = None,
    ) -> None:
        """The call is over; `outcome` is as a stream has it, `first_content` in seconds since the start."""
        about = [] if error is None else [_described(error)]
        if first_content is not None:
            about.append(f"first content after {first_content:.3f} s")
        if usage is not None:
            about.append(f"{usage.prompt_tokens} + {usage.completion_tokens} tokens")
        if error is None and request_id is not None:
            about.append(f"request {request_id}")
        seconds = time.monotonic() - self._started
        logger.debug("call %d, %s: %s", self._number, self._call, ", ".join([f"{outcome} after {seconds:.3f} s", *about]))


def is_heard() -> bool:
    """Whether anybody wants to be told of calls."""
    return logger.isEnabledFor(logging.DEBUG)


def _described(error: APIError) -> str:
    """What kind of error it is: the budget that ran out, the exception underneath, the status and id of a response."""
    kind = error.budget if isinstance(error, Timeout) else error.__cause__ and type(error.__cause__).__name__
    about = [f"{type(error).__name__} ({kind})" if kind else type(error).__name__]
    if error.response is not None:
        about.append(f"status {error.status_code}")
    if error.request_id is not None:
        about.append(f"request {error.request_id}")
    return ", ".join(about)


class HandlerLog:
    """What handlers get as `logging_obj` and `print_verbose`: LiteLLM's hooks, on the same logger and level."""

    def pre_call(self, *args: Any, **kwargs: Any) -> None:
        """A handler is about to call its model."""
        logger.debug("handler: before the call")

    def post_call(self, *args: Any, **kwargs: Any) -> None:
        """A handler has called its model."""
        logger.debug("handler: after the call")

    def print_verbose(self, message: object, *args: Any, **kwargs: Any) -> None:
        """Something a handler wants known."""
        logger.debug("handler: %s", message)


HANDLER_LOG = HandlerLog()
