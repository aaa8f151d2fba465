"""The log of calls, at debug level.

No record has messages or answers, an error's message (a server's may quote the prompt), or headers and queries, which can
have keys in them.
"""

from typing import Final

from ..exceptions import APIError, Timeout
from ..types.attempts import Attempt, EndDetails
from .observers import CallDetails, logger


class CallLog:
    """A `Watcher` that writes to the `tokenwire` logger. Each record has its call's number, to follow one of thousands."""

    def on_attempt(self, call: CallDetails, number: int) -> None:
        """See `Watcher`."""
        logger.debug("call %d, %s: attempt %d, %s", call.number, call.name, number, call.address)

    def on_attempt_failed(self, call: CallDetails, attempt: Attempt, error: APIError, delay: float | None) -> None:
        """See `Watcher`."""
        follows = "the last" if delay is None else f"the next in {delay:.2f} s"
        logger.debug(
            "call %d, %s: attempt %d failed after %.3f s, %s; %s",
            *(call.number, call.name, attempt.number, attempt.seconds, _described(error), follows),
        )

    def on_attempt_left(self, call: CallDetails, attempt: Attempt) -> None:
        """See `Watcher`."""
        logger.debug(
            "call %d, %s: attempt %d cancelled after %.3f s, another was faster",
            *(call.number, call.name, attempt.number, attempt.seconds),
        )

    def on_end(self, call: CallDetails, end: EndDetails) -> None:
        """See `Watcher`."""
        about = [f"{end.outcome} after {end.seconds:.3f} s"]
        if end.error is not None:
            about.append(_described(end.error))
        if end.first_content is not None:
            about.append(f"first content after {end.first_content:.3f} s")
        if end.usage is not None:
            about.append(f"{end.usage.prompt_tokens} + {end.usage.completion_tokens} tokens")
        if end.error is None and end.request_id is not None:
            about.append(f"request {end.request_id}")
        for remark in end.remarks:
            logger.debug("call %d, %s: %s", call.number, call.name, remark)
        logger.debug("call %d, %s: %s", call.number, call.name, ", ".join(about))


LOG: Final = CallLog()


def _described(error: APIError) -> str:
    """An error without its message: the class, the budget or the underlying exception, the response's status and id."""
    kind = error.budget if isinstance(error, Timeout) else error.__cause__ and type(error.__cause__).__name__
    about = [f"{type(error).__name__} ({kind})" if kind else type(error).__name__]
    if error.response is not None:
        about.append(f"status {error.status_code}")
    if error.request_id is not None:
        about.append(f"request {error.request_id}")
    return ", ".join(about)
