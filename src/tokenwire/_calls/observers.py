"""Notifies the watchers of calls of each attempt, and of the end. Watchers: the log, the caller's callbacks, OpenTelemetry.

Whether there are any is checked once for each call; chunks are not notified. Each watcher is a module of its own, which is
loaded when it is needed.
"""

import itertools
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Protocol

import anyio
import msgspec

from .._settings import opentelemetry_is_loaded
from ..exceptions import APIError
from ..llms.backend import Prepared, Request
from ..types import Usage
from ..types._source import Path
from ..types.attempts import Attempt, EndDetails, Outcome
from .remarks import remarks_on

if TYPE_CHECKING:
    from .._otel.spans import CallSpan
    from ..types._response import Response

logger: logging.Logger = logging.getLogger("tokenwire")
logger.addHandler(logging.NullHandler())  # so that nothing is printed if logging is not set up

CALLBACK_SECONDS = 5.0  # how long everything awaited at one step of a call may take together

_numbers = itertools.count(1)


class CallDetails(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A call, as known when an attempt begins.

    Attributes:
        number: counts all calls in this process, in the order in which they began.
        name: the current target, such as "openai/gpt-4o-mini".
        prepared: the call as it is sent.
        stream: whether it is streamed.
        started: a `time.monotonic()` value.
        beside: whether its attempt is a hedge, concurrent with another one.
    """

    number: int
    name: str
    prepared: Prepared
    stream: bool
    started: float
    beside: bool = False

    @property
    def address(self) -> str:
        """Where its attempts are sent: "POST https://..." without secrets, or a handler."""
        return self.prepared.address


class Watcher(Protocol):
    """Notified of one call, or of all. Its methods run between the steps of a call, and must be quick.

    What they return is awaited at the next step that can wait, for at most `CALLBACK_SECONDS` together.
    """

    def on_attempt(self, call: CallDetails, number: int) -> Awaitable[object] | None:
        """An attempt begins; the first has number 1."""
        ...

    def on_attempt_failed(self, call: CallDetails, attempt: Attempt, error: APIError, delay: float | None) -> None:
        """An attempt failed; the next one follows in `delay` seconds, None for never."""
        ...

    def on_attempt_left(self, call: CallDetails, attempt: Attempt) -> None:
        """An attempt was cancelled, as a concurrent one was faster."""
        ...

    def on_end(self, call: CallDetails, end: EndDetails) -> Awaitable[object] | None:
        """The call has ended. Called once."""
        ...


class CallObserver:
    """Notifies one call's watchers.

    Args:
        params: the call's parameters, for the remarks on its answer.
        span: the watcher for OpenTelemetry, None if there is none.
    """

    __slots__ = ("_call", "_params", "_watchers", "pending", "span")

    def __init__(
        self, call: CallDetails, watchers: tuple[Watcher, ...], params: Mapping[str, object], span: "CallSpan | None" = None
    ) -> None:
        self._call = call
        self._watchers = watchers
        self._params = params
        self.pending: list[Awaitable[object]] = []  # returned by watchers, to be awaited
        self.span: CallSpan | None = span

    def attempt_begins(self, number: int) -> None:
        """See `Watcher.on_attempt`."""
        for watcher in self._watchers:
            self._tell(watcher.on_attempt, self._call, number)

    def attempt_failed(self, attempt: Attempt, error: APIError, delay: float | None) -> None:
        """See `Watcher.on_attempt_failed`."""
        for watcher in self._watchers:
            self._tell(watcher.on_attempt_failed, self._call, attempt, error, delay)

    def attempt_left(self, attempt: Attempt) -> None:
        """See `Watcher.on_attempt_left`."""
        for watcher in self._watchers:
            self._tell(watcher.on_attempt_left, self._call, attempt)

    def turns_to(self, name: str, prepared: Prepared) -> None:
        """From now on, attempts call another target."""
        self._call = msgspec.structs.replace(self._call, name=name, prepared=prepared)

    def beside(self, name: str, prepared: Prepared) -> "CallObserver":
        """An observer with the same watchers, for a hedge of the call at another target."""
        other = CallObserver(msgspec.structs.replace(self._call, beside=True), self._watchers, self._params, self.span)
        other.turns_to(name, prepared)
        return other

    def ends(
        self,
        outcome: Outcome,
        error: APIError | None,
        attempts: tuple[Attempt, ...] = (),
        *,
        first_content_at: float | None = None,
        usage: Usage | None = None,
        request_id: str | None = None,
        answer: "Response | None" = None,
        odd: Iterable[Path] = (),
    ) -> None:
        """See `Watcher.on_end`. `first_content_at` is a `time.monotonic()` value; remarks are about a complete `answer`."""
        call = self._call
        end = EndDetails(
            call=call.number,
            target=call.name,
            stream=call.stream,
            outcome=outcome,
            error=error,
            seconds=time.monotonic() - call.started,
            first_content=None if first_content_at is None else first_content_at - call.started,
            usage=usage,
            request_id=request_id,
            response=answer,
            attempts=attempts,
            remarks=() if self._is_only_span else remarks_on(self._params, answer if outcome == "complete" else None, odd),
        )
        for watcher in self._watchers:
            self._tell(watcher.on_end, call, end)

    @property
    def _is_only_span(self) -> bool:
        """Whether OpenTelemetry is the only watcher; it does not use remarks."""
        return len(self._watchers) == 1 and self.span is not None

    async def settle(self) -> None:
        """Await what the watchers returned: for a bounded time, even when cancelled."""
        while self.pending:
            waiting, self.pending = self.pending, []
            with anyio.move_on_after(CALLBACK_SECONDS, shield=True) as scope:
                for one in waiting:
                    await one
            if scope.cancelled_caught:
                logger.warning(
                    "call %d: a callback took more than %g s, and was cancelled", self._call.number, CALLBACK_SECONDS
                )
                _close(waiting)

    def give_up(self) -> None:
        """Drop what the watchers returned, as it can't be awaited here."""
        if self.pending:
            logger.warning("call %d: a dropped stream's async callbacks can't be awaited: close the stream", self._call.number)
            waiting, self.pending = self.pending, []
            _close(waiting)

    def _tell(self, method: Callable[..., Awaitable[object] | None], *details: object) -> None:
        """Call a watcher's method. Its exceptions, such as those of OpenTelemetry's processors, must not fail the call."""
        try:
            wanted = method(*details)
        except Exception:
            logger.warning("call %d: a watcher failed", self._call.number, exc_info=True)
            return
        if wanted is not None:
            self.pending.append(wanted)


def _close(waiting: Iterable[Awaitable[object]]) -> None:
    """Close coroutines that are never awaited, which would otherwise give a RuntimeWarning."""
    for one in waiting:
        if (close := getattr(one, "close", None)) is not None:
            close()


def observer_of(request: Request, prepared: Prepared) -> CallObserver | None:
    """The observer of a call; None if it has no watchers."""
    watchers: tuple[Watcher, ...] = ()
    if logger.isEnabledFor(logging.DEBUG):
        watchers = (_log(),)
    if request.callbacks:
        from .callbacks import Callbacks

        watchers = (*watchers, Callbacks(request, request.callbacks))
    span = None
    if request.options.otel is not False and opentelemetry_is_loaded():
        span = _span_of(request, prepared)
        if span is not None:
            watchers = (*watchers, span)
    if not watchers:
        return None
    name, started = f"{request.provider}/{request.model}", time.monotonic()
    details = CallDetails(number=next(_numbers), name=name, prepared=prepared, stream=request.stream, started=started)
    return CallObserver(details, watchers, request.params, span)


def _log() -> Watcher:
    from .call_log import LOG

    return LOG


def _load_span_of(request: Request, prepared: Prepared) -> "CallSpan | None":
    """Import `span_of` and replace this function by it: an import inside a function costs each call a microsecond."""
    global _span_of
    from .._otel.spans import span_of

    _span_of = span_of
    return span_of(request, prepared)


_span_of: "Callable[[Request, Prepared], CallSpan | None]" = _load_span_of
