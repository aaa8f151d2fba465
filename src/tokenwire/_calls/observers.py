"""Who is told of calls: of each attempt, and of the end, in frozen details. The log is the first observer.

Whether anybody listens is asked once for each call; nobody is told of chunks.

No log record has what was said, an error's message (a server's may quote the prompt), a header or a query, which can hold
keys.
"""

import itertools
import logging
import time
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import msgspec

from ..exceptions import APIError, Timeout
from ..llms.backend import Prepared, Request
from ..types import Usage
from ..types._source import Path
from ..types.attempts import Attempt
from .remarks import ASKED, remarks_on
from .states import Outcome

logger: logging.Logger = logging.getLogger("tokenwire")
logger.addHandler(logging.NullHandler())  # where nobody set up logging, nothing is printed

_numbers = itertools.count(1)


class CallDetails(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What is known of a call when an attempt begins.

    Attributes:
        number: of all calls in this process, in the order of their beginning.
        name: who is called now, as "openai/gpt-4o-mini".
        address: where its attempts go: "POST https://..." without secrets, or a handler.
        stream: whether it is streamed.
        started: as `time.monotonic()` counts.
    """

    number: int
    name: str
    address: str
    stream: bool
    started: float


class EndDetails(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How a call ended.

    Attributes:
        outcome: "complete", "truncated", "error" or "cancelled".
        error: what ended it, None where no error of ours did.
        seconds: since the call began.
        first_content: seconds from there to the first content; None for a call that is not streamed, or had none.
        usage, request_id: what the server or handler said, None where it did not.
        remarks: what else is worth a line, see `remarks`.
    """

    outcome: Outcome
    error: APIError | None
    seconds: float
    first_content: float | None
    usage: Usage | None
    request_id: str | None
    remarks: tuple[str, ...]


class Observer(Protocol):
    """One who wants to know of calls. Its methods run between the steps of a call: they are quick, and raise nothing."""

    def on_attempt(self, call: CallDetails, number: int) -> None:
        """An attempt begins; 1 is the first."""
        ...

    def on_attempt_failed(self, call: CallDetails, attempt: Attempt, error: APIError, delay: float | None) -> None:
        """An attempt failed; the next one follows in `delay` seconds, None for never."""
        ...

    def on_attempt_left(self, call: CallDetails, attempt: Attempt) -> None:
        """An attempt was cancelled, as the one beside it was faster."""
        ...

    def on_end(self, call: CallDetails, end: EndDetails) -> None:
        """The call is over; told once."""
        ...


class CallObserver:
    """One call's observers, told of what happens to it. `asked` is what remarks on the answer look at."""

    __slots__ = ("_asked", "_call", "_observers")

    def __init__(self, call: CallDetails, observers: tuple[Observer, ...], asked: Mapping[str, Any]) -> None:
        self._call = call
        self._observers = observers
        self._asked = asked

    def attempt_begins(self, number: int) -> None:
        """See `Observer.on_attempt`."""
        for observer in self._observers:
            observer.on_attempt(self._call, number)

    def attempt_failed(self, attempt: Attempt, error: APIError, delay: float | None) -> None:
        """See `Observer.on_attempt_failed`."""
        for observer in self._observers:
            observer.on_attempt_failed(self._call, attempt, error, delay)

    def attempt_left(self, attempt: Attempt) -> None:
        """See `Observer.on_attempt_left`."""
        for observer in self._observers:
            observer.on_attempt_left(self._call, attempt)

    def turns_to(self, name: str, prepared: Prepared) -> None:
        """The attempts from here on are another target's."""
        self._call = msgspec.structs.replace(self._call, name=name, address=prepared.address)

    def beside(self, name: str, prepared: Prepared) -> "CallObserver":
        """Who is told of the same call's attempt at a target that is asked beside its first."""
        other = CallObserver(self._call, self._observers, self._asked)
        other.turns_to(name, prepared)
        return other

    def ends(
        self,
        outcome: Outcome,
        error: APIError | None,
        *,
        first_content_at: float | None = None,
        usage: Usage | None = None,
        request_id: str | None = None,
        answer: object = None,
        odd: Iterable[Path] = (),
    ) -> None:
        """See `Observer.on_end`; `first_content_at` is as `time.monotonic()` counts. Remarks are made on a complete `answer`."""
        end = EndDetails(
            outcome=outcome,
            error=error,
            seconds=time.monotonic() - self._call.started,
            first_content=None if first_content_at is None else first_content_at - self._call.started,
            usage=usage,
            request_id=request_id,
            remarks=remarks_on(self._asked, answer, odd),
        )
        for observer in self._observers:
            observer.on_end(self._call, end)


def observer_of(request: Request, prepared: Prepared) -> CallObserver | None:
    """Who is told of a call; None where nobody wants to be."""
    if not logger.isEnabledFor(logging.DEBUG):
        return None
    number, name, started = next(_numbers), f"{request.provider}/{request.model}", time.monotonic()
    details = CallDetails(number=number, name=name, address=prepared.address, stream=request.stream, started=started)
    return CallObserver(details, (_LOG,), {name: request.params[name] for name in ASKED if name in request.params})


class CallLog:
    """Tells the `tokenwire` logger, at debug level; each record has its call's number, to follow one of thousands."""

    def on_attempt(self, call: CallDetails, number: int) -> None:
        """See `Observer`."""
        logger.debug("call %d, %s: attempt %d, %s", call.number, call.name, number, call.address)

    def on_attempt_failed(self, call: CallDetails, attempt: Attempt, error: APIError, delay: float | None) -> None:
        """See `Observer`."""
        follows = "the last" if delay is None else f"the next in {delay:.2f} s"
        logger.debug(
            "call %d, %s: attempt %d failed after %.3f s, %s; %s",
            *(call.number, call.name, attempt.number, attempt.seconds, _described(error), follows),
        )

    def on_attempt_left(self, call: CallDetails, attempt: Attempt) -> None:
        """See `Observer`."""
        logger.debug(
            "call %d, %s: attempt %d cancelled after %.3f s, another was faster",
            *(call.number, call.name, attempt.number, attempt.seconds),
        )

    def on_end(self, call: CallDetails, end: EndDetails) -> None:
        """See `Observer`."""
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


_LOG = CallLog()


def _described(error: APIError) -> str:
    """What kind of error it is: the budget that ran out, the exception underneath, the status and id of a response."""
    kind = error.budget if isinstance(error, Timeout) else error.__cause__ and type(error.__cause__).__name__
    about = [f"{type(error).__name__} ({kind})" if kind else type(error).__name__]
    if error.response is not None:
        about.append(f"status {error.status_code}")
    if error.request_id is not None:
        about.append(f"request {error.request_id}")
    return ", ".join(about)
