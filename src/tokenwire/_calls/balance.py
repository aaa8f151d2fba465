"""Which of several deployments is called next. No I/O, no clock: moments are passed in, as `time.monotonic()` values.

Each deployment is in one of four states::

    UP ─▶ COOLING ─▶ DUE ─▶ PROBED ─▶ UP | COOLING | DUE

A deployment that fails cools down and is not called; then one call probes it. The next call goes to the deployment with the
fewest calls in flight relative to its weight; among equals, round robin by weight. If none is up, the one whose cool-down
ends first is called.

How it works. Each deployment has a rank, a tuple; the lowest is called. The ranks are the leaves of a tournament tree: each
node has the lower of its two children, so that a change costs one walk to the root.
"""

import heapq
from collections.abc import Iterable, Sequence
from enum import Enum
from typing import TypeAlias

LONGEST = 60.0  # seconds, the longest cool-down of a deployment whose probes keep failing

Rank: TypeAlias = tuple[float, float, float, int]


class State(Enum):
    """The state of a deployment."""

    UP = "up"
    COOLING = "cooling"  # it failed, and its cool-down has not ended
    DUE = "due"  # the cool-down has ended; the next call probes it
    PROBED = "probed"  # the probe is running

    __hash__ = object.__hash__


class Ending(Enum):
    """How a call to a deployment ended, as far as that shows whether the deployment is healthy."""

    ANSWERED = "answered"
    FAILED = "failed"
    REFUSED = "refused"  # 429 or 503
    UNKNOWN = "unknown"  # cancelled, or the caller's mistake


TRANSITIONS: dict[State, frozenset[State]] = {
    State.UP: frozenset({State.COOLING}),
    State.COOLING: frozenset({State.DUE, State.UP, State.COOLING}),  # UP: it was called because all were cooling, and answered
    State.DUE: frozenset({State.PROBED, State.UP, State.COOLING}),
    State.PROBED: frozenset({State.UP, State.COOLING, State.DUE}),
}
_TIERS = {State.DUE: 0.0, State.UP: 1.0, State.COOLING: 2.0, State.PROBED: 3.0}
_USABLE = 1.0  # the last tier that is called while there are others
_NOBODY: Rank = (float("inf"), 0.0, 0.0, -1)


class _Member:
    """One deployment."""

    __slots__ = ("cooled", "epoch", "failures", "in_flight", "state", "turn", "until", "weight")

    def __init__(self, weight: float) -> None:
        self.weight = weight
        self.state = State.UP
        self.in_flight = 0
        self.turn = 0.0  # grows with each call, by less the greater its weight
        self.failures = 0  # consecutive ones
        self.cooled = 0  # consecutive cool-downs
        self.until = 0.0  # the cool-down's end
        self.epoch = 0  # counts cool-downs: an answer to a call from before the latest one does not end it

    def turn_to(self, state: State) -> None:
        if state not in TRANSITIONS[self.state]:
            raise RuntimeError(f"a deployment that is {self.state.value} can't become {state.value}")
        self.state = state


class Balance:
    """Distributes calls over deployments, which are identified by their numbers.

    Args:
        weights: one for each deployment.
        cool_down: seconds of the first cool-down; each further one without an answer in between is twice as long.
        failures: how many consecutive failures start a cool-down; a refusal starts one at once.
    """

    def __init__(self, weights: Sequence[float], cool_down: float, failures: int) -> None:
        self._members = [_Member(weight) for weight in weights]
        self._cool_down, self._failures = cool_down, failures
        self._turn = 0.0  # of the deployment called last
        self._cooling: list[tuple[float, int]] = []  # a heap of (until, number); some are out of date
        self._size = 1 << (len(weights) - 1).bit_length()
        self._tree: list[Rank] = [_NOBODY] * (2 * self._size)
        for number in range(len(weights)):
            self._rank(number)

    def acquire(self, moment: float, without: Iterable[int] = ()) -> tuple[int, int]:
        """Choose a deployment and count a call in flight. Returns its number and its epoch, which `leave` needs.

        Args:
            without: deployments to choose only if no other is up.
        """
        self._wake(moment)
        number = self._lowest(without)[3]
        member = self._members[number]
        if member.state is State.DUE:
            member.turn_to(State.PROBED)
        self._turn = max(self._turn, member.turn)
        member.turn = self._turn + 1 / member.weight
        member.in_flight += 1
        self._rank(number)
        return number, member.epoch

    def has_other(self, moment: float, without: Iterable[int]) -> bool:
        """Whether a deployment other than these is up."""
        self._wake(moment)
        rank = self._lowest(without)
        return rank[0] <= _USABLE and rank[3] not in without

    def leave(self, number: int, epoch: int, ending: Ending, moment: float, patience: float | None = None) -> None:
        """Note that a call has ended.

        Args:
            epoch: as `acquire` returned it.
            patience: seconds that the server asked for.
        """
        self._wake(moment)  # so that the result does not depend on calls in between
        member = self._members[number]
        member.in_flight -= 1
        is_news = epoch == member.epoch  # otherwise the call began before the latest cool-down
        if ending is Ending.ANSWERED and is_news:
            member.failures = member.cooled = 0
            if member.state is not State.UP:
                member.turn_to(State.UP)
        elif ending is Ending.UNKNOWN and member.state is State.PROBED and is_news:
            member.turn_to(State.DUE)
        elif ending is Ending.REFUSED or ending is Ending.FAILED:
            self._bad(number, member, ending, moment, patience, is_news)
        self._rank(number)

    def _bad(self, number: int, member: _Member, ending: Ending, moment: float, patience: float | None, is_news: bool) -> None:
        if is_news:
            member.failures += 1
            if member.state is State.UP and ending is Ending.FAILED and member.failures < self._failures:
                return
            longer = min(self._cool_down * 2 ** min(member.cooled, 30), max(LONGEST, self._cool_down))
            member.epoch += 1
            member.cooled += 1
            member.turn_to(State.COOLING)
            member.until = moment + (longer if patience is None else patience)
        elif member.state is State.COOLING and patience is not None:
            member.until = max(member.until, moment + patience)
        else:
            return
        heapq.heappush(self._cooling, (member.until, number))

    def state_of(self, number: int, moment: float) -> tuple[State, int, float]:
        """A deployment's state, its calls in flight, and the seconds until its cool-down ends."""
        self._wake(moment)
        member = self._members[number]
        return member.state, member.in_flight, member.until - moment if member.state is State.COOLING else 0.0

    def _wake(self, moment: float) -> None:
        """End the cool-downs whose time has passed."""
        while self._cooling and self._cooling[0][0] <= moment:
            until, number = heapq.heappop(self._cooling)
            member = self._members[number]
            if member.state is State.COOLING and member.until == until:
                member.turn_to(State.DUE)
                self._rank(number)

    def _lowest(self, without: Iterable[int]) -> Rank:
        """The lowest rank; of deployments other than `without`, if one of those is up."""
        left_out = [number for number in without if self._tree[self._size + number] is not _NOBODY]
        if not left_out:
            return self._tree[1]
        for number in left_out:
            self._put(number, _NOBODY)
        lowest = self._tree[1]
        for number in left_out:
            self._rank(number)
        return lowest if lowest[0] <= _USABLE else self._tree[1]

    def _rank(self, number: int) -> None:
        member = self._members[number]
        load = member.until if member.state is State.COOLING else member.in_flight / member.weight
        self._put(number, (_TIERS[member.state], load, member.turn, number))

    def _put(self, number: int, rank: Rank) -> None:
        place, tree = self._size + number, self._tree
        tree[place] = rank
        while place > 1:
            place //= 2
            tree[place] = min(tree[2 * place], tree[2 * place + 1])
