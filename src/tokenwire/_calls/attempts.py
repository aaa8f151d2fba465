"""The attempts of one call, and whether there is another. No I/O but the wait between two, which the caller brings.

Each target has attempts of its own; once they are used up, or another would not help, the next target has its turn.
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

CANCELLED = "Cancelled"  # in the place of an error's name
CLOCKS_DIFFER = 0.1  # seconds by which an event loop may be early, as its clock stands still while it works


class Attempts:
    """The attempts of one call so far.

    Args:
        target: who is asked first.
        deadline: see the attribute.
        gate: what bounds them together with those of other calls.
        tokens: what an attempt is thought to use, where the gate asks.

    Attributes:
        provider, model, deployment: who is asked now.
        deadline: by when the last one must be over, as `_loops.clock` counts.
        gated: seconds that the gate held them back.
        made: those that are over.
        is_under_way: whether one has begun and is not over.
        started: when the latest began, as `time.monotonic()` counts.
        observer: told of them; None where nobody listens.
    """

    __slots__ = (
        *("_asked", "_before", "_ended", "_further", "_gate", "_hedged", "_number", "_place", "_seat", "_stream"),
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
        self._asked: Target | None = None  # where it stands for several deployments: the one of them
        self._seat: Seat | None = None
        self._without: tuple[int, ...] = ()  # deployments that have failed, or are asked beside
        self.deployment: str | None = target.deployment
        self.provider: str = target.provider
        self.model: str = target.model
        self._further = target.fallbacks
        self.deadline: float = deadline
        self._stream = stream
        self._gate = gate
        self._tokens = tokens
        self._place: Place | None = None
        self._hedged = False
        self._before = 0  # attempts of the call that are not these
        self._number = 0  # the latest one's
        self._tried = 0  # how often the target was
        self._waited = 0.0
        self._ended: Attempt | None = None  # the latest, where it failed while another went on beside it
        self.gated: float = 0.0
        self.is_under_way: bool = False
        self.started: float = 0.0
        self.made: tuple[Attempt, ...] = ()
        self.observer: CallObserver | None = observer

    @property
    def target(self) -> Target:
        """Who is asked now, until the attempts are `settled`."""
        target = self._asked or self._target
        assert target is not None
        return target

    @property
    def prepared(self) -> Prepared:
        """The target's, with the headers by which whoever answers can go on with the call's trace."""
        prepared = self.target.prepared
        if self.observer is None or self.observer.span is None:
            return prepared
        span = self.observer.span
        return prepared.traced(partial(span.headers, self._number), span.waits)

    @property
    def has_begun(self) -> bool:
        """Whether any of them has."""
        return self._number > 0

    @property
    def target_beside(self) -> Target | None:
        """Whom a second attempt beside one of these asks; None where there has been one, or nobody is to be asked."""
        target = self._target
        if target is None or target.hedge is None or self._hedged:
            return None
        if target.hedge.to == "same":
            return target
        return self._further[0] if self._further else None

    def settle(self) -> None:
        """No attempt follows this one: thousands of streams need not hold on to their prompts."""
        self._target = self._asked = None
        self._further = ()

    async def until_answered(self, attempt: Callable[[], Awaitable[T]], pause: Callable[[float], Awaitable[None]]) -> T:
        """What the first attempt that succeeds returns.

        Args:
            attempt: makes one; it calls `begin`, and leaves nothing open when it fails.
            pause: waits for some seconds.

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
        """Choose a deployment, where there are several, and wait for a place, which the end of the attempt gives back.

        Nothing has begun, and only the total counts.

        Raises:
            Timeout: it passed first.
            BadRequestError, AuthenticationError: a deployment can't be sent the call.
        """
        if self._target is not None and self._target.choice is not None:
            self._choose(self._target.choice)
        if self._gate is not None:
            target, since = self.target, time.monotonic()
            self._place = await self._gate.enter(target.key, self._tokens, self.deadline)
            self.gated += time.monotonic() - since
            if self._place is None:
                raise late(target.timeouts, "total", stream=self._stream)
        if self._before:  # no second attempt begins when the first has come to something, though both were let go on at once
            await lowlevel.checkpoint_if_cancelled()

    def release(
        self, error: APIError | None = None, response: Callable[[], tuple[Usage | None, dict[str, str]]] | None = None
    ) -> None:
        """Give the place back, if one is held. `response`: the usage and the headers of a good one."""
        if self._seat is not None:
            seat, self._seat = self._seat, None
            seat.leave(error, answered=response is not None)
        place, self._place = self._place, None
        if place is None:
            return
        usage, headers = (None, None) if response is None else response()
        place.leave(usage.total_tokens if usage is not None else None, error, headers)

    def begin(self) -> None:
        """An attempt starts now."""
        self.started = time.monotonic()
        self.is_under_way = True
        self._tried += 1
        self._number = self._next_number()

    async def start(self) -> None:
        """Pass the gate, and begin. Raises as `pass_gate` does."""
        target = self._target
        if self._gate is not None or self._before or (target is not None and target.choice is not None):
            await self.pass_gate()
        self.begin()
        if self.observer is not None:
            self.observer.attempt_begins(self._number)
            if self.observer.pending:
                await self.observer.settle()

    def succeeded(self, status: int | None) -> None:
        """The attempt came to an answer."""
        self._record(status, None)

    def failed(self, error: APIError) -> float | None:
        """The attempt failed: the seconds to wait before the next, None if there is none; `error.attempts` is set."""
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
        """The attempt came to an answer that is not what was asked for, and the next one asks again."""
        self._record(200, type(error).__name__)
        if self.observer is not None:
            self.observer.attempt_failed(self.made[-1], error, 0.0)
        self._target, self._asked, self._tried, self._waited = again, None, 0, 0.0

    def failed_for_good(self, error: APIError) -> None:
        """The attempt failed, and whether there could be another is not asked; `error.attempts` is set."""
        if self._seat is not None:
            self._without += (self._seat.number,)
        self.release(error)
        self._record(error.status_code, type(error).__name__)
        error.attempts = self.made

    def failed_beside(self, error: APIError) -> None:
        """The attempt failed while another goes on beside it: whether there could be another is asked when that is over."""
        self.failed_for_good(error)
        self._ended = self.made[-1]
        if self.observer is not None:
            self.observer.attempt_failed(self._ended, error, 0.0)

    def beside(self, target: Target) -> "Attempts":
        """Those of a second attempt beside the one that is under way: one and no more, at `target`."""
        target = msgspec.structs.replace(target, policy=retries(0), fallbacks=(), larger=None, hedge=None)
        other = Attempts(target, self.deadline, stream=self._stream, gate=self._gate, tokens=self._tokens)
        other._before = self._number
        if self._seat is not None and self._target is not None and target.choice is self._target.choice:
            other._without = (*self._without, self._seat.number)
        if self.observer is not None:
            other.observer = self.observer.beside(target.name, target.prepared)
        return other

    def join(self, other: "Attempts", *, won: bool, usage: Usage | None) -> None:
        """Take in a second attempt, which is over or else has come to the answer.

        Args:
            won: whether it has, and is this call's attempt from now on.
            usage: what the one that was cancelled used.
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
            self._place, other._place = other._place, None
            self._seat, other._seat = other._seat, None
            self._asked, self.deployment = other._asked, other.deployment
            self._number, self.started, self.is_under_way = other._number, other.started, other.is_under_way
            self._target, self._waited, self._ended = other._target, 0.0, None
            self.provider, self.model, self.observer = other.provider, other.model, other.observer

    def _record(self, status: int | None, error: str | None, usage: Usage | None = None) -> None:
        number = self._number if self.is_under_way else self._next_number()  # it did not come to begin
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
        """Who is asked instead, None where nobody could do better."""
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
        self._target, self._asked, self._without = target, None, ()
        self._tried = 0
        self._name(target)

    def _choose(self, choice: Choice) -> None:
        self._seat, self._asked = choice.take(self._without)
        self._name(self._asked)

    def _name(self, target: Target) -> None:
        """This one is asked now."""
        self.provider, self.model, self.deployment = target.provider, target.model, target.deployment
        if self.observer is not None:
            self.observer.turns_to(target.name, target.prepared)

    def _delay_after(self, error: APIError) -> float | None:
        """The wait before the next attempt; None where there is none."""
        if self._target is None or self._tried > self._target.policy.num_retries:
            return None
        if self._target.choice is not None and self._goes_elsewhere(self._target.choice, error):
            return 0.0 if _loops.now() < self.deadline else None
        if not error.retryable:
            return None
        delay = self._delay(error)
        return None if delay is None or _loops.now() + delay >= self.deadline else delay

    def _goes_elsewhere(self, choice: Choice, error: APIError) -> bool:
        """Whether another deployment is asked at once: one that has not failed this call, and may do better."""
        return is_for_others(error) and choice.has_other(self._without)

    def _delay(self, error: APIError) -> float | None:
        policy = self.target.policy
        if error.retry_after is not None:
            return error.retry_after if error.retry_after <= policy.max_retry_after else None
        longest = min(policy.max_delay, policy.base_delay * 2 ** (self._tried - 1))
        return longest * random.uniform(0.75, 1)  # noqa: S311  (jitter, no secret)


def is_for_others(error: APIError) -> bool:
    """Whether another target may do better: not with the caller's own mistakes, nor when no time is left."""
    return error.fault != "caller" and not (isinstance(error, Timeout) and error.budget == "total")


def late(timeouts: Timeouts, budget: str, *, stream: bool) -> Timeout:
    """The error for the budget that ran out."""
    seconds = timeouts.total_for(stream=stream) if budget == "total" else getattr(timeouts, budget)
    return Timeout(f"no answer within {seconds:.3g} s (timeout.{budget})", budget=budget)


def named(error: Timeout, deadline: float, late: Callable[[], Timeout]) -> Timeout:
    """`late()` for an error that a lower layer raised for `deadline`: only the call knows which of its budgets that was.

    A handler's or a server's own timeout stays as it is.
    """
    is_ours = error.budget is None and error.response is None and error.fault == "network"
    if not is_ours or deadline == FOREVER or _loops.now() < deadline - CLOCKS_DIFFER:
        return error
    ours = late()
    ours.headers, ours.request_id = error.headers, error.request_id
    return ours
