"""The attempts of one call, and whether to make another. No I/O; the caller passes in the function that waits between two.

Each target has its own number of attempts; once they are used up, or another would not help, the next target is called.
"""

import random
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import msgspec
from anyio import lowlevel

from .. import _loops
from .._reading import FOREVER
from .._settings import Timeouts, retries
from ..exceptions import APIError, ContextWindowExceededError, Timeout
from ..llms.backend import Prepared
from ..types import Usage
from ..types.attempts import Attempt
from .observers import CallObserver
from .targets import Choice, Target

if TYPE_CHECKING:
    from .deployments import Seat
    from .gate import Gate, Place

T = TypeVar("T")

CANCELLED = "Cancelled"  # in place of an error's name
CLOCKS_DIFFER = 0.1  # seconds by which a timer may fire early: an event loop's clock stands still while the loop is busy


class Attempts:
    """The attempts of one call so far.

    Args:
        target: the first target.
        deadline: see the attribute.
        gate: limits them together with those of other calls.
        tokens: the estimated tokens of an attempt, if the gate limits tokens.

        Attributes:
            provider, model, deployment: of the current target.
            deadline: when the last one must have ended, a time of `_loops.clock`.
            gated: seconds spent waiting for the gate.
            made: the attempts that have ended.
            is_under_way: whether an attempt has begun and not ended.
            started: when the latest began, a `time.monotonic()` value.
            observer: notified of them; None if there are no watchers.
    """

    __slots__ = (
        *("_before", "_chosen", "_ended", "_further", "_gate", "_gate_place", "_hedged", "_number", "_seat", "_stream"),
        *("_target", "_tokens", "_tried", "_waited", "_without"),
        *("deadline", "deployment", "gated", "is_under_way", "made", "model", "observer", "provider", "started"),
    )

    def __init__(
        self,
        target: Target,
        deadline: float = FOREVER,
        *,
        stream: bool,
        observer: CallObserver | None = None,
        gate: "Gate | None" = None,
        tokens: float = 0.0,
    ) -> None:
        self._target: Target | None = target
        self._chosen: Target | None = None  # the chosen deployment, if the target has several
        self._seat: Seat | None = None
        self._without: tuple[int, ...] = ()  # deployments that have failed, or are called by a concurrent attempt
        self.deployment: str | None = target.deployment
        self.provider: str = target.provider
        self.model: str = target.model
        self._further = target.fallbacks
        self.deadline: float = deadline
        self._stream = stream
        self._gate = gate
        self._tokens = tokens
        self._gate_place: Place | None = None
        self._hedged = False
        self._before = 0  # attempts of the call made before these
        self._number = 0  # of the latest attempt
        self._tried = 0  # attempts at the current target
        self._waited = 0.0
        self._ended: Attempt | None = None  # the latest, if it failed while a concurrent one continued
        self.gated: float = 0.0
        self.is_under_way: bool = False
        self.started: float = 0.0
        self.made: tuple[Attempt, ...] = ()
        self.observer: CallObserver | None = observer

    @property
    def target(self) -> Target:
        """The current target. Not available after `settle`."""
        target = self._chosen or self._target
        assert target is not None
        return target

    @property
    def prepared(self) -> Prepared:
        """The target's prepared call, with the trace headers of the call's span if it has one."""
        prepared = self.target.prepared
        if self.observer is None or self.observer.span is None:
            return prepared
        span = self.observer.span
        return prepared.traced(partial(span.headers, self._number), span.waits)

    @property
    def has_begun(self) -> bool:
        """Whether an attempt has begun."""
        return self._number > 0

    @property
    def target_beside(self) -> Target | None:
        """The target of a hedge; None if there has been one, or there is to be none."""
        target = self._target
        if target is None or target.hedge is None or self._hedged:
            return None
        if target.hedge.to == "same":
            return target
        return self._further[0] if self._further else None

    def settle(self) -> None:
        """Drop the targets, as no attempt follows: so that thousands of open streams do not keep their prompts."""
        self._target = self._chosen = None
        self._further = ()

    async def until_answered(self, attempt: Callable[[], Awaitable[T]], pause: Callable[[float], Awaitable[None]]) -> T:
        """Make attempts until one succeeds, and return its result.

        Args:
            attempt: makes one; it calls `begin`, and leaves nothing open when it fails.
            pause: waits for a number of seconds.

        Raises:
            APIError: the last attempt's, with all of them in `attempts`.
        """
        while True:
            try:
                return await attempt()
            except APIError as error:
                delay = self.failed(error)
                if delay is None:
                    raise
            await pause(delay)

    async def pass_gate(self) -> None:
        """Choose a deployment, if there are several, and wait for a place at the gate, which `release` gives back.

        The attempt has not begun yet, so only the total time-out applies.

        Raises:
            Timeout: the total time-out passed first.
            BadRequestError, AuthenticationError: the call can't be sent to the deployment.
        """
        if self._target is not None and self._target.choice is not None:
            self._choose(self._target.choice)
        if self._gate is not None:
            target, since = self.target, time.monotonic()
            self._gate_place = await self._gate.enter(target.key, self._tokens, self.deadline)
            self.gated += time.monotonic() - since
            if self._gate_place is None:
                raise late(target.timeouts, "total", stream=self._stream)
        if self._before:  # lets a first attempt that was resumed at the same time finish: then no hedge begins
            await lowlevel.checkpoint_if_cancelled()

    def release(
        self, error: APIError | None = None, response: Callable[[], tuple[Usage | None, dict[str, str]]] | None = None
    ) -> None:
        """Give the place at the gate back, if one is held. `response` returns the usage and headers of a good response."""
        if self._seat is not None:
            seat, self._seat = self._seat, None
            seat.leave(error, answered=response is not None)
        place, self._gate_place = self._gate_place, None
        if place is None:
            return
        usage, headers = (None, None) if response is None else response()
        place.leave(usage.total_tokens if usage is not None else None, error, headers)

    def begin(self) -> None:
        """Note that an attempt starts now."""
        self.started = time.monotonic()
        self.is_under_way = True
        self._tried += 1
        self._number = self._next_number()

    async def start(self) -> None:
        """Wait for the gate, then begin. Raises as `pass_gate` does."""
        target = self._target
        if self._gate is not None or self._before or (target is not None and target.choice is not None):
            await self.pass_gate()
        self.begin()
        if self.observer is not None:
            self.observer.attempt_begins(self._number)
            if self.observer.pending:
                await self.observer.settle()

    def succeeded(self, status: int | None) -> None:
        """Note that the attempt has an answer."""
        self._record(status, None)

    def failed(self, error: APIError) -> float | None:
        """Note that the attempt failed. Returns the seconds before the next, None if there is none. Sets `error.attempts`."""
        ended, self._ended = self._ended, None
        if ended is None:
            self.failed_for_good(error)
        error.attempts = self.made
        delay = self._delay_after(error)
        target = self._next_target(error) if delay is None else None
        if target is not None:
            delay = 0.0
        if self.observer is not None and ended is None:
            self.observer.attempt_failed(self.made[-1], error, delay)
        if target is not None:
            self._turn_to(target)
        if delay is not None:
            self._waited = delay
        return delay

    def rejected(self, error: APIError, again: Target) -> None:
        """Note that the answer does not fit the schema; `again` is the target of the next attempt."""
        self._record(200, type(error).__name__)
        if self.observer is not None:
            self.observer.attempt_failed(self.made[-1], error, 0.0)
        self._target, self._chosen, self._tried, self._waited = again, None, 0, 0.0

    def failed_for_good(self, error: APIError) -> None:
        """Note that the attempt failed and no other follows. Sets `error.attempts`."""
        if self._seat is not None:
            self._without += (self._seat.number,)
        self.release(error)
        self._record(error.status_code, type(error).__name__)
        error.attempts = self.made

    def failed_beside(self, error: APIError) -> None:
        """Note that the attempt failed while a concurrent one continues, after which it is decided whether another follows."""
        self.failed_for_good(error)
        self._ended = self.made[-1]
        if self.observer is not None:
            self.observer.attempt_failed(self._ended, error, 0.0)

    def beside(self, target: Target) -> "Attempts":
        """The attempts for a hedge of the current attempt: a single one, at `target`."""
        target = msgspec.structs.replace(target, policy=retries(0), fallbacks=(), larger=None, hedge=None)
        other = Attempts(target, self.deadline, stream=self._stream, gate=self._gate, tokens=self._tokens)
        other._before = self._number
        if self._seat is not None and self._target is not None and target.choice is self._target.choice:
            other._without = (*self._without, self._seat.number)
        if self.observer is not None:
            other.observer = self.observer.beside(target.name, target.prepared)
        return other

    def join(self, other: "Attempts", *, won: bool, usage: Usage | None) -> None:
        """Merge the hedge's attempts into these, once it has ended or has the answer.

        Args:
            won: whether the hedge has the answer, and so is this call's attempt from now on.
            usage: what the cancelled attempt used.
        """
        self._hedged = other.has_begun
        loser = self if won else other
        if loser.is_under_way:
            loser.release()
            loser._record(None, CANCELLED, usage)
            if loser.observer is not None:
                loser.observer.attempt_left(loser.made[-1])
        self.made += other.made
        if won:
            self._gate_place, other._gate_place = other._gate_place, None
            self._seat, other._seat = other._seat, None
            self._chosen, self.deployment = other._chosen, other.deployment
            self._number, self.started, self.is_under_way = other._number, other.started, other.is_under_way
            self._target, self._waited, self._ended = other._target, 0.0, None
            self.provider, self.model, self.observer = other.provider, other.model, other.observer

    def _record(self, status: int | None, error: str | None, usage: Usage | None = None) -> None:
        number = self._number if self.is_under_way else self._next_number()  # it failed before it began
        self.is_under_way = False
        self.made += (
            Attempt(
                number=number,
                target=f"{self.provider}/{self.model}",
                status=status,
                error=error,
                seconds=time.monotonic() - self.started,
                waited=self._waited,
                usage=usage,
                deployment=self.deployment,
            ),
        )

    def _next_number(self) -> int:
        return self._before + len(self.made) + 1

    def _next_target(self, error: APIError) -> Target | None:
        """The target to call after this error, None if no other target would help."""
        if self._target is None or not is_for_others(error) or _loops.now() >= self.deadline:
            return None
        if isinstance(error, ContextWindowExceededError) and self._target.larger is not None:
            return self._target.larger
        if not self._further:
            return None
        target, *further = self._further
        self._further = tuple(further)
        return target

    def _turn_to(self, target: Target) -> None:
        self._target, self._chosen, self._without = target, None, ()
        self._tried = 0
        self._name(target)

    def _choose(self, choice: Choice) -> None:
        self._seat, self._chosen = choice.acquire(self._without)
        self._name(self._chosen)

    def _name(self, target: Target) -> None:
        """Note the current target's names."""
        self.provider, self.model, self.deployment = target.provider, target.model, target.deployment
        if self.observer is not None:
            self.observer.turns_to(target.name, target.prepared)

    def _delay_after(self, error: APIError) -> float | None:
        """Seconds before the next attempt at this target; None if there is none."""
        if self._target is None or self._tried > self._target.policy.num_retries:
            return None
        if self._target.choice is not None and self._goes_elsewhere(self._target.choice, error):
            return 0.0 if _loops.now() < self.deadline else None
        if not error.retryable:
            return None
        delay = self._delay(error)
        return None if delay is None or _loops.now() + delay >= self.deadline else delay

    def _goes_elsewhere(self, choice: Choice, error: APIError) -> bool:
        """Whether to call another deployment at once: there is one that has not failed in this call, and it may succeed."""
        return is_for_others(error) and choice.has_other(self._without)

    def _delay(self, error: APIError) -> float | None:
        policy = self.target.policy
        if error.retry_after is not None:
            return error.retry_after if error.retry_after <= policy.max_retry_after else None
        longest = min(policy.max_delay, policy.base_delay * 2 ** (self._tried - 1))
        return longest * random.uniform(0.75, 1)  # noqa: S311  (jitter, no secret)


def is_for_others(error: APIError) -> bool:
    """Whether another target may succeed: not after the caller's own mistakes, nor after the total time-out."""
    return error.fault != "caller" and not (isinstance(error, Timeout) and error.budget == "total")


def late(timeouts: Timeouts, budget: str, *, stream: bool) -> Timeout:
    """The error for a time-out, whose name in `Timeouts` is `budget`."""
    seconds = timeouts.total_for(stream=stream) if budget == "total" else getattr(timeouts, budget)
    return Timeout(f"no answer within {seconds:.3g} s (timeout.{budget})", budget=budget)


def named(error: Timeout, deadline: float, late: Callable[[], Timeout]) -> Timeout:
    """`late()`, if a lower layer raised `error` for `deadline`: only the call knows which of its budgets that was.

    A handler's or a server's own time-out is returned as it is.
    """
    is_ours = error.budget is None and error.response is None and error.fault == "network"
    if not is_ours or deadline == FOREVER or _loops.now() < deadline - CLOCKS_DIFFER:
        return error
    ours = late()
    ours.headers, ours.request_id = error.headers, error.request_id
    return ours
