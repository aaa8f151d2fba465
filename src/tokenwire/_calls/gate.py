"""The gate: limits many calls together, over all clients, event loops and threads that share it.

An attempt takes a place before anything is sent and gives it back when it has ended; a stream when the stream has ended.
Places are given first come, first served, among the calls that may go: an address that is paused (429, `Retry-After`)
delays only the calls to itself.

How it works. Decisions are synchronous, under one lock, and their cost does not grow with the number of waiters. Each key (a
model at an address) has a queue. One heap has the keys that may go, by the number of their first waiter; another has the
paused keys, by the end of their pause. There is no timer: each call that gives a place back, or gives up, lets the next in.
If the next call needs only time to pass, one of the waiters, the watch, waits that long and then decides again; when the
watch leaves, another waiter becomes the watch.
"""

import heapq
import threading
import time
from collections import deque
from typing import NamedTuple

from .._loops import flag, now as loop_now
from .._reading import FOREVER
from ..exceptions import APIError, RateLimitError, ServiceUnavailableError, wrong
from ..llms.backend import Request
from ..types.attempts import GateStats
from ..wire.rate_limits import pause_of

WINDOW = 60.0  # seconds, the window of rpm and tpm
COOL_DOWN = 2.0  # seconds after the limit was halved in which further refusals, of calls sent before, do not halve it again
LATER = 1e-6  # seconds added to the watch's wait: by rounding, it could end a little too early
PAUSE = 1.0  # seconds, the pause after a refusal without `Retry-After`
GROWTH = 1.0  # places added per as many answers as there are places
LETTERS = 4  # per token, roughly
ANSWER = 256  # tokens estimated for an answer without `max_tokens`
FIRST_LIMIT = 32.0  # places of an adaptive gate without max_concurrency, at first

_MOST_TOKENS = ("max_completion_tokens", "max_tokens")


def _tokens_of(request: Request) -> float:
    """An estimate of a call's tokens: one for four letters of its content, plus the most that the answer may have."""
    params = request.params
    answer = next((value for name in _MOST_TOKENS if isinstance(value := params.get(name), int)), ANSWER)
    answers = 0 if request.kind in ("embedding", "image", "image_edit", "models", "tokens") else answer * request.choices
    return _letters(request.content) / LETTERS + answers


def _letters(value: object) -> int:
    """The letters of all texts in nested JSON; a token id counts as one token."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(map(_letters, value.values()))
    if isinstance(value, list | tuple):
        return sum(map(_letters, value))
    return LETTERS if isinstance(value, int) else 0


class Pace:
    """A token bucket: at most `amount` in any window, and a second's worth of it at once.

    Attributes:
        level: how much may go now; below 0 if calls used more than estimated.
    """

    __slots__ = ("_at", "_size", "_speed", "level")

    def __init__(self, amount: float) -> None:
        self._size = max(1.0, amount / WINDOW)
        self._speed = (amount - self._size + 1.0) / WINDOW
        self._at = time.monotonic()
        self.level = self._size

    def wait_for(self, amount: float, now: float) -> float:
        """Seconds until `amount` may go; an amount larger than the bucket may go when the bucket is full."""
        self.level = min(self._size, self.level + (now - self._at) * self._speed)
        self._at = now
        lacking = min(amount, self._size) - self.level
        return lacking / self._speed if lacking > 1e-9 else 0.0

    def spend(self, amount: float) -> None:
        """Take an amount out of the bucket; a negative amount is put back."""
        self.level -= amount


class _Key:
    """The calls that wait for one model at one address."""

    __slots__ = ("paused_until", "waiters")

    def __init__(self) -> None:
        self.waiters: deque[_Waiter] = deque()
        self.paused_until = 0.0


class _Waiter:
    """A call that waits for its place.

    Attributes:
        until: when it decides again, if it is the watch.
        has_place, has_left: one of them ends its wait.
    """

    __slots__ = ("flag", "has_left", "has_place", "key", "number", "tokens", "until")

    def __init__(self, number: int, key: str, tokens: float) -> None:
        self.number = number
        self.key = key
        self.tokens = tokens
        self.until = FOREVER
        self.flag = flag()
        self.has_place = False
        self.has_left = False


class _Left(NamedTuple):
    """An attempt that gave its place back."""

    key: str
    tokens: float
    used: int | None
    error: APIError | None
    headers: dict[str, str] | None


class Place:
    """A place, held by an attempt until it calls `leave`."""

    __slots__ = ("_gate", "_key", "_tokens")

    def __init__(self, gate: "Gate", key: str, tokens: float) -> None:
        self._gate: Gate | None = gate
        self._key = key
        self._tokens = tokens

    def leave(self, tokens: int | None = None, error: APIError | None = None, headers: dict[str, str] | None = None) -> None:
        """Give the place back. Safe to call twice, in any thread, and in a finalizer.

        Args:
            tokens: what the attempt used, if that is known.
            error: why it failed, None if it was answered.
            headers: the response's, which may have rate limits.
        """
        gate, self._gate = self._gate, None
        if gate is not None:
            gate._left.append(_Left(self._key, self._tokens, tokens, error, headers))
            gate._work()

    def __del__(self) -> None:
        self.leave()  # a stream was dropped before its end


class Gate:
    """Limits the calls of all clients that are given it: how many run at the same time, and requests and tokens per minute.

    Args:
        max_concurrency: the most attempts at the same time, a stream until it ends; None for no limit.
        rpm: requests in any 60 seconds, retries included. They are spread evenly, at most a second's worth at once.
        tpm: tokens in any 60 seconds. A call's tokens are estimated before it is sent, from its text and its `max_tokens`,
            and corrected by the usage in its answer, if there is one.
        adaptive: learn how many calls the servers can take: each refusal for overload (429, 503) halves the number under
            way, at most once in two seconds, and each answer lets it grow again, up to `max_concurrency`.

    A 429 or 503 also pauses its model at its address, for the time in `Retry-After`; so does an answer whose rate-limit
    headers say that nothing is left. One gate may be shared by several clients, event loops and threads.

    Raises:
        BadRequestError: a number is not above 0, or no limit is given.
    """

    def __init__(
        self,
        *,
        max_concurrency: int | None = None,
        rpm: float | None = None,
        tpm: float | None = None,
        adaptive: bool = False,
    ) -> None:
        for name, value in (("max_concurrency", max_concurrency), ("rpm", rpm), ("tpm", tpm)):
            kinds = int if name == "max_concurrency" else (int, float)
            if value is not None and (isinstance(value, bool) or not isinstance(value, kinds) or not value > 0):
                raise wrong(f"gate.{name}", "a whole number, 1 or more" if kinds is int else "a number above 0", value)
        if max_concurrency is rpm is tpm is None and not adaptive:
            raise wrong("gate", "limited by max_concurrency, rpm, tpm or adaptive=True", None)
        self._lock = threading.Lock()
        self._most = float("inf") if max_concurrency is None else float(max_concurrency)
        self._limit = min(self._most, FIRST_LIMIT) if adaptive and max_concurrency is None else self._most
        self._adaptive = adaptive
        self._cut_at = float("-inf")
        self._requests = None if rpm is None else Pace(rpm)
        self._tokens = None if tpm is None else Pace(tpm)
        self._in_flight = 0
        self._waiting = 0
        self._numbers = 0
        self._keys: dict[str, _Key] = {}
        self._ready: list[tuple[int, str]] = []  # a heap of keys that may go, by their first waiter's number
        self._paused: list[tuple[float, str]] = []  # a heap of paused keys, by the end of the pause
        self._watch: _Waiter | None = None
        self._left: deque[_Left] = deque()  # a finalizer may run while its own thread holds the lock

    def __repr__(self) -> str:
        return f"<Gate {self.stats}>"

    @property
    def max_concurrency(self) -> int | None:
        """The most attempts that may ever run at the same time; None for no limit."""
        return None if self._most == float("inf") else int(self._most)

    def tokens_of(self, request: Request) -> float:
        """The estimated tokens of a call, if tokens are limited, else 0."""
        return 0.0 if self._tokens is None else _tokens_of(request)

    @property
    def stats(self) -> GateStats:
        """The gate's current state."""
        with self._lock:
            moment = time.monotonic()
            paused = {name: key.paused_until - moment for name, key in self._keys.items() if key.paused_until > moment}
            return GateStats(in_flight=self._in_flight, waiting=self._waiting, limit=self._limit, paused=paused)

    async def enter(self, key: str, tokens: float = 0.0, deadline: float = FOREVER) -> Place | None:
        """Wait for a place; None if `deadline`, a time of `_loops.clock`, passed first.

        Args:
            key: the model and its address, to which a server's refusal applies.
            tokens: the call's estimated tokens.

        If it is cancelled, a place that it was given at the same moment goes to the next waiter.
        """
        with self._lock:
            waiter = None
            if not self._waiting and self._may_go(key, tokens):
                self._go(tokens)
            else:
                waiter = self._queue(key, tokens)
                self._advance()
        self._work()
        if waiter is None:
            return Place(self, key, tokens)
        try:
            while not waiter.has_place and loop_now() < deadline:
                until = FOREVER if waiter.until == FOREVER else loop_now() + waiter.until - time.monotonic() + LATER
                await waiter.flag.wait(min(until, deadline))
                if not waiter.has_place:
                    self._decide_again(waiter)
        except BaseException:
            self._give_up(waiter)
            raise
        if waiter.has_place:
            return Place(self, key, tokens)
        self._give_up(waiter)
        return None

    def _decide_again(self, waiter: _Waiter) -> None:
        """Decide again, as its time as the watch has passed, or another waiter is the watch now."""
        with self._lock:
            waiter.until = FOREVER
            if self._watch is waiter:
                self._watch = None
            self._advance()
            waiter.flag = flag()  # the old flag has been set and handled: for a new time, or a new place
        self._work()

    def _queue(self, key: str, tokens: float) -> _Waiter:
        self._numbers += 1
        self._waiting += 1
        waiter = _Waiter(self._numbers, key, tokens)
        found = self._keys.get(key)
        if found is None:
            found = self._keys[key] = _Key()
        found.waiters.append(waiter)
        if len(found.waiters) == 1 and found.paused_until <= time.monotonic():
            heapq.heappush(self._ready, (waiter.number, key))
        return waiter

    def _give_up(self, waiter: _Waiter) -> None:
        with self._lock:
            if waiter.has_place:  # it was given one at the same moment
                self._come_back(waiter.tokens)
            elif not waiter.has_left:
                waiter.has_left = True
                self._waiting -= 1
            if self._watch is waiter:
                self._watch = None
            self._advance()
        self._work()

    def _work(self) -> None:
        """Take back the places that were left. The holder of the lock does it for threads that find it locked."""
        while self._left and self._lock.acquire(blocking=False):
            try:
                while self._left:
                    self._take_back(self._left.popleft())
                self._advance()
            finally:
                self._lock.release()

    def _take_back(self, left: _Left) -> None:
        self._in_flight -= 1
        if self._tokens is not None and left.used is not None:
            self._tokens.spend(left.used - left.tokens)
        self._learn(left.key, left.error, left.headers)

    def _learn(self, key: str, error: APIError | None, headers: dict[str, str] | None) -> None:
        moment = time.monotonic()
        if isinstance(error, RateLimitError | ServiceUnavailableError):
            self._pause(key, moment + (PAUSE if error.retry_after is None else error.retry_after))
            if self._adaptive and moment - self._cut_at >= COOL_DOWN:
                self._cut_at = moment
                self._limit = max(1.0, min(self._limit, self._in_flight + 1.0) / 2)
        elif error is None:
            if self._adaptive:
                self._limit = min(self._most, self._limit + GROWTH / self._limit)
            if headers and (seconds := pause_of(headers)) is not None:
                self._pause(key, moment + seconds)

    def _pause(self, name: str, until: float) -> None:
        key = self._keys.setdefault(name, _Key())
        if until > key.paused_until:
            key.paused_until = until
            heapq.heappush(self._paused, (until, name))

    def _may_go(self, key: str, tokens: float) -> bool:
        moment = time.monotonic()
        found = self._keys.get(key)
        return (
            (found is None or found.paused_until <= moment) and self._in_flight < self._limit and not self._wait(tokens, moment)
        )

    def _wait(self, tokens: float, moment: float) -> float:
        """Seconds until rpm and tpm allow another call."""
        requests, tokens_pace = self._requests, self._tokens
        first = 0.0 if requests is None else requests.wait_for(1.0, moment)
        return first if tokens_pace is None else max(first, tokens_pace.wait_for(tokens, moment))

    def _come_back(self, tokens: float) -> None:
        """Take a place back from a call that was not sent."""
        self._in_flight -= 1
        if self._requests is not None:
            self._requests.spend(-1.0)
        if self._tokens is not None:
            self._tokens.spend(-tokens)

    def _go(self, tokens: float) -> None:
        self._in_flight += 1
        if self._requests is not None:
            self._requests.spend(1.0)
        if self._tokens is not None:
            self._tokens.spend(tokens)

    def _advance(self) -> None:
        """Let in all that may go, and make sure that a watch decides again when the next may go."""
        moment = time.monotonic()
        self._end_pauses(moment)
        until = FOREVER
        first = self._first(moment)
        while first is not None and self._in_flight < self._limit:
            if wait := self._wait(first.tokens, moment):
                until = moment + wait
                break
            self._let_in(first)
            first = self._first(moment)
        if self._in_flight >= self._limit:
            return  # the next call that leaves decides again
        if first is None:
            first, until = self._first_paused()
        if first is not None:
            self._watch_until(first, until)

    def _end_pauses(self, moment: float) -> None:
        while self._paused and self._paused[0][0] <= moment:
            _, name = heapq.heappop(self._paused)
            key = self._keys.get(name)
            if key is not None and key.paused_until <= moment:
                self._offer(name, key)

    def _offer(self, name: str, key: _Key) -> None:
        """Put a key into the heap for its first waiter; drop a key without waiters."""
        while key.waiters and key.waiters[0].has_left:
            key.waiters.popleft()
        if key.waiters:
            heapq.heappush(self._ready, (key.waiters[0].number, name))
        elif key.paused_until <= time.monotonic():
            del self._keys[name]

    def _first(self, moment: float) -> _Waiter | None:
        """The longest waiting call whose key is not paused."""
        while self._ready:
            number, name = self._ready[0]
            key = self._keys.get(name)
            if key is not None and key.paused_until <= moment and key.waiters:
                waiter = key.waiters[0]
                if waiter.number == number and not waiter.has_left:
                    return waiter
            heapq.heappop(self._ready)
            if key is not None and key.paused_until <= moment and (not key.waiters or key.waiters[0].has_left):
                self._offer(name, key)
        return None

    def _first_paused(self) -> tuple[_Waiter | None, float]:
        """A waiter for the key whose pause ends first, and when that is."""
        found: tuple[_Waiter | None, float] = (None, FOREVER)
        for until, name in self._paused:  # there are few
            key = self._keys.get(name)
            if key is None or until >= found[1]:
                continue
            waiter = next((waiter for waiter in key.waiters if not waiter.has_left), None)
            if waiter is not None:
                found = waiter, key.paused_until
        return found

    def _let_in(self, waiter: _Waiter) -> None:
        heapq.heappop(self._ready)
        key = self._keys[waiter.key]
        key.waiters.popleft()
        self._offer(waiter.key, key)
        self._waiting -= 1
        self._go(waiter.tokens)
        waiter.has_place = True
        waiter.flag.set_from_anywhere()

    def _watch_until(self, waiter: _Waiter, until: float) -> None:
        if self._watch is waiter and waiter.until <= until:
            return
        self._watch = waiter
        waiter.until = until
        waiter.flag.set_from_anywhere()  # wakes it, so that it waits until the new time
