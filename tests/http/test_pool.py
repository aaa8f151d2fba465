"""The pool's decisions, told what happens by hand; and against a model that does the same by walking plain lists."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tokenwire.http.pool import Lease, Pool, PoolStats

A, B, C = "a.example", "b.example", "c.example"


@dataclass(eq=False)
class Fake:
    """A connection, as far as the pool looks."""

    origin: str
    quiet: bool = True

    def is_idle(self) -> bool:
        return self.quiet


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def pool_of(most: float = 2, *, keep: float = float("inf"), expiry: float = 60.0, clock: Any = None) -> Pool[Fake]:
    return Pool(max_connections=most, max_keepalive=keep, keepalive_expiry=expiry, clock=clock or Clock())


def opened(pool: Pool[Fake], origin: str) -> Fake:
    """A connection in use, new or not."""
    lease = pool.acquire(origin)
    assert lease.granted
    return lease.connection or Fake(origin)


def idle(pool: Pool[Fake], *origins: str) -> list[Fake]:
    """That many idle connections, in this order of age."""
    fakes = [opened(pool, origin) for origin in origins]
    for fake in fakes:
        assert pool.release(fake, reusable=True) == []
    return fakes


def stats(open: int, idle: int, waiting: int) -> PoolStats:
    return PoolStats(open=open, idle=idle, waiting=waiting)


def test_the_first_comes_with_the_right_to_open_one():
    pool = pool_of()
    lease = pool.acquire(A)
    assert lease.granted
    assert lease.connection is None
    assert pool.stats == stats(1, 0, 0)


def test_a_released_connection_is_idle_and_used_again():
    pool = pool_of()
    (fake,) = idle(pool, A)
    assert pool.stats == stats(1, 1, 0)
    assert pool.acquire(A).connection is fake
    assert pool.stats == stats(1, 0, 0)


def test_the_latest_is_used_first():
    pool = pool_of(3)
    one, two, three = idle(pool, A, A, A)
    assert [pool.acquire(A).connection for _ in range(3)] == [three, two, one]


def test_another_origins_connection_is_not_used():
    pool = pool_of()
    idle(pool, B)
    assert pool.acquire(A).connection is None


def test_no_more_than_the_limit_are_open():
    pool = pool_of(2)
    assert [pool.acquire(origin).granted for origin in (A, B, A, B)] == [True, True, False, False]
    assert pool.stats == stats(2, 0, 2)


def test_there_can_be_no_limit():
    pool = pool_of(float("inf"))
    assert all(pool.acquire(A).granted for _ in range(1000))


def test_the_oldest_idle_one_makes_room_for_another_origin():
    pool = pool_of(3)
    one, _, _ = idle(pool, A, B, A)
    lease = pool.acquire(C)
    assert (lease.granted, lease.connection, lease.close) == (True, None, (one,))
    assert pool.stats == stats(3, 2, 0)


def test_one_that_is_used_again_is_no_longer_the_oldest():
    pool = pool_of(2)
    first, second = idle(pool, A, B)
    assert pool.acquire(A).connection is first
    pool.release(first, reusable=True)
    assert pool.acquire(C).close == (second,)


def test_waiting_is_first_come_first_served_over_all_origins():
    pool = pool_of(1)
    fake = opened(pool, A)
    order: list[str] = []
    leases = [pool.acquire(origin) for origin in (B, A, C, B)]
    for number, lease in enumerate(leases):
        lease.on_grant = lambda number=number, lease=lease: order.append(f"{number}{lease.origin}")
    assert pool.release(fake, reusable=True) == []
    assert order == ["0b.example"]
    assert leases[0].close == (fake,)  # the only one, and of another origin
    for _ in range(3):
        pool.forget()
    assert order == ["0b.example", "1a.example", "2c.example", "3b.example"]
    assert pool.stats == stats(1, 0, 0)


def test_who_comes_later_does_not_overtake():
    pool = pool_of(1)
    fake = opened(pool, A)
    first, second = pool.acquire(B), pool.acquire(A)
    pool.release(fake, reusable=True)
    assert (first.granted, second.granted) == (True, False)
    assert not pool.acquire(A).granted


def test_who_waits_gets_the_connection_that_was_released():
    pool = pool_of(1)
    fake = opened(pool, A)
    lease = pool.acquire(A)
    assert pool.release(fake, reusable=True) == []
    assert (lease.granted, lease.connection, lease.close) == (True, fake, ())
    assert pool.stats == stats(1, 0, 0)


def test_a_broken_connection_makes_room():
    pool = pool_of(1)
    fake = opened(pool, A)
    lease = pool.acquire(A)
    assert pool.release(fake, reusable=False) == []
    assert (lease.granted, lease.connection) == (True, None)


def test_one_that_was_never_opened_makes_room():
    pool = pool_of(1)
    failing, waiting = pool.acquire(A), pool.acquire(A)
    assert pool.abandon(failing) == []
    assert (waiting.granted, waiting.connection) == (True, None)


def test_who_gives_up_waiting_leaves_nothing():
    pool = pool_of(1)
    fake = opened(pool, A)
    first, second = pool.acquire(A), pool.acquire(A)
    assert pool.abandon(first) == []
    assert pool.stats == stats(1, 0, 1)
    pool.release(fake, reusable=True)
    assert (first.granted, second.connection) == (False, fake)


def test_who_gives_up_just_when_served_passes_it_on():
    pool = pool_of(1)
    fake = opened(pool, A)
    first, second = pool.acquire(A), pool.acquire(A)
    pool.release(fake, reusable=True)
    assert pool.abandon(first) == []
    assert second.connection is fake


def test_who_gives_up_hands_on_what_had_to_be_closed():
    pool = pool_of(1)
    fake = opened(pool, A)
    lease = pool.acquire(B)
    pool.release(fake, reusable=True)
    assert pool.abandon(lease) == [fake]
    assert lease.close == ()
    assert pool.stats == stats(0, 0, 0)


def test_an_expired_connection_is_closed_and_not_used():
    clock = Clock()
    pool = pool_of(3, expiry=60.0, clock=clock)
    one, two = idle(pool, A, A)
    clock.now += 60.0
    assert pool.acquire(A).connection is two
    clock.now += 0.5
    lease = pool.acquire(A)
    assert (lease.granted, lease.connection, lease.close) == (True, None, (one,))
    assert pool.stats == stats(2, 0, 0)


def test_a_connection_that_is_not_quiet_is_closed_and_not_used():
    pool = pool_of(3)
    one, two, three = idle(pool, A, A, A)
    two.quiet = three.quiet = False
    lease = pool.acquire(A)
    assert (lease.connection, lease.close) == (one, (three, two))
    assert pool.stats == stats(1, 0, 0)


def test_the_surplus_of_idle_ones_is_closed_the_oldest_first():
    pool = pool_of(3, keep=2)
    one, two, three = (opened(pool, origin) for origin in (A, B, C))
    assert pool.release(one, reusable=True) == []
    assert pool.release(two, reusable=True) == []
    assert pool.release(three, reusable=True) == [one]
    assert pool.stats == stats(2, 2, 0)


def test_without_keeping_each_is_closed_when_released():
    pool = pool_of(1, keep=0)
    fake = opened(pool, A)
    assert pool.release(fake, reusable=True) == [fake]
    assert pool.stats == stats(0, 0, 0)


def test_without_keeping_one_that_is_waited_for_is_still_used():
    pool = pool_of(1, keep=0)
    fake = opened(pool, A)
    lease = pool.acquire(A)
    assert pool.release(fake, reusable=True) == []
    assert lease.connection is fake


def test_the_expired_are_closed_as_others_are_released():
    clock = Clock()
    pool = pool_of(5, clock=clock)
    one, two, three = idle(pool, A, A, A)
    fake = opened(pool, B)
    clock.now += 61.0
    assert pool.release(fake, reusable=True) == [one, two]
    assert pool.acquire(B).connection is fake
    assert pool.release(fake, reusable=True) == [three]
    assert pool.stats == stats(1, 1, 0)


def test_closing_lets_everyone_in_and_gives_up_the_idle_ones():
    pool = pool_of(2)
    (fake,) = idle(pool, A)
    assert pool.close() == [fake]
    assert pool.stats == stats(0, 0, 0)
    pool = pool_of(1)
    opened(pool, A)
    waiting = [pool.acquire(A) for _ in range(3)]
    assert pool.close() == []
    assert all(lease.granted and lease.connection is None for lease in waiting)
    for lease in waiting:
        pool.abandon(lease)
    assert pool.stats == stats(1, 0, 0)


@pytest.mark.parametrize("size", [10, 10_000])
def test_a_decision_asks_no_more_connections_than_it_must(size):
    pool = pool_of(size + 1)
    asked: list[Fake] = []

    class Counting(Fake):
        def is_idle(self) -> bool:
            asked.append(self)
            return True

    for number in range(size):
        pool.acquire(f"{number % 10}.example")
    for number in range(size):
        pool.release(Counting(f"{number % 10}.example"), reusable=True)
    lease = pool.acquire("3.example")
    assert lease.connection is not None
    assert asked == [lease.connection]


# --- against a model


@dataclass
class Model:
    """What the pool does, done slowly."""

    most: int
    keep: int
    expiry: float
    open: int = 0
    idle: list[tuple[Fake, float]] = field(default_factory=list[tuple[Fake, float]])  # the oldest first
    queue: list[Lease[Fake]] = field(default_factory=list[Lease[Fake]])
    close: list[Fake] = field(default_factory=list[Fake])  # all that had to be closed, for whatever reason
    served: list[tuple[Lease[Fake], Fake | None]] = field(default_factory=list[tuple[Lease[Fake], Fake | None]])

    def serve(self, now: float) -> None:
        while self.queue:
            lease = self.queue[0]
            found: Fake | None = None
            for fake, since in [entry for entry in reversed(self.idle) if entry[0].origin == lease.origin]:
                self.idle.remove((fake, since))
                if now - since <= self.expiry and fake.quiet:
                    found = fake
                    break
                self.close.append(fake)
                self.open -= 1
            if found is None:
                if self.open >= self.most and self.idle:
                    self.close.append(self.idle.pop(0)[0])
                    self.open -= 1
                if self.open >= self.most:
                    return
                self.open += 1
            self.served.append((self.queue.pop(0), found))

    def put(self, fake: Fake, now: float) -> None:
        self.idle.append((fake, now))
        self.serve(now)
        for _ in range(2):
            if self.idle and (len(self.idle) > self.keep or now - self.idle[0][1] > self.expiry):
                self.close.append(self.idle.pop(0)[0])
                self.open -= 1

    def forget(self, now: float) -> None:
        self.open -= 1
        self.serve(now)


class PoolAgainstModel(RuleBasedStateMachine):
    @initialize(most=st.integers(1, 4), keep=st.integers(0, 4))
    def begin(self, most: int, keep: int) -> None:
        self.clock = Clock()
        self.model = Model(most, keep, expiry=60.0)
        self.pool = pool_of(most, keep=keep, expiry=60.0, clock=self.clock)
        self.waiting: list[Lease[Fake]] = []
        self.granted: list[Lease[Fake]] = []  # their holders have not woken up yet
        self.opening: list[Lease[Fake]] = []
        self.in_use: list[Fake] = []
        self.closed: list[Fake] = []

    def grant(self, lease: Lease[Fake]) -> None:
        assert lease.granted
        self.waiting.remove(lease)
        self.granted.append(lease)

    @rule(origin=st.sampled_from([A, B, C]))
    def acquire(self, origin: str) -> None:
        lease = self.pool.acquire(origin)
        self.waiting.append(lease)
        if lease.granted:
            self.grant(lease)
        else:
            assert lease.connection is None
            assert lease.close == ()
            lease.on_grant = lambda: self.grant(lease)
        self.model.queue.append(lease)
        self.model.serve(self.clock.now)

    @precondition(lambda self: self.granted)
    @rule(data=st.data())
    def wake_up(self, data: Any) -> None:
        lease = data.draw(st.sampled_from(self.granted))
        self.granted.remove(lease)
        self.closed += lease.close
        if lease.connection is None:
            self.opening.append(lease)
        else:
            self.in_use.append(lease.connection)

    @precondition(lambda self: self.granted)
    @rule(data=st.data())
    def give_up_when_granted(self, data: Any) -> None:
        lease = data.draw(st.sampled_from(self.granted))
        self.granted.remove(lease)
        self.closed += self.pool.abandon(lease)
        if lease.connection is None:
            self.model.forget(self.clock.now)
        else:
            self.model.put(lease.connection, self.clock.now)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def give_up_waiting(self, data: Any) -> None:
        lease = data.draw(st.sampled_from(self.waiting))
        self.waiting.remove(lease)
        self.model.queue.remove(lease)
        self.closed += self.pool.abandon(lease)

    @precondition(lambda self: self.opening)
    @rule(data=st.data(), succeeds=st.booleans())
    def open(self, data: Any, succeeds: bool) -> None:
        lease = data.draw(st.sampled_from(self.opening))
        self.opening.remove(lease)
        if succeeds:
            self.in_use.append(Fake(lease.origin))
        else:
            self.closed += [fake for fake in self.pool.abandon(lease) if fake not in self.closed]
            self.model.forget(self.clock.now)

    @precondition(lambda self: self.in_use)
    @rule(data=st.data(), reusable=st.booleans())
    def release(self, data: Any, reusable: bool) -> None:
        fake = data.draw(st.sampled_from(self.in_use))
        self.in_use.remove(fake)
        self.closed += self.pool.release(fake, reusable=reusable)
        if reusable:
            self.model.put(fake, self.clock.now)
        else:
            self.model.forget(self.clock.now)

    @precondition(lambda self: self.model.idle)
    @rule(data=st.data())
    def die(self, data: Any) -> None:
        data.draw(st.sampled_from([fake for fake, _ in self.model.idle])).quiet = False

    @rule(seconds=st.sampled_from([1.0, 30.0, 61.0]))
    def pass_time(self, seconds: float) -> None:
        self.clock.now += seconds

    @invariant()
    def what_the_model_did(self) -> None:
        model = self.model
        assert self.pool.stats == stats(model.open, len(model.idle), len(model.queue))
        assert self.waiting == model.queue
        for lease, connection in model.served:
            assert lease.granted
            assert lease.connection is connection
        model.served.clear()
        pending = [fake for lease in self.granted for fake in lease.close]
        assert sorted(map(id, self.closed + pending)) == sorted(map(id, model.close))

    @invariant()
    def limits_hold_and_nobody_waits_in_vain(self) -> None:
        found = self.pool.stats
        assert found.idle <= self.model.keep
        assert found.open <= self.model.most
        assert found.open == found.idle + len(self.granted) + len(self.opening) + len(self.in_use)
        if found.waiting:
            assert found.idle == 0
            assert found.open == self.model.most

    def teardown(self) -> None:
        """When all have what they came for, nobody waits and nothing is in use."""
        while self.granted or self.opening or self.in_use:
            for lease in [*self.granted, *self.opening]:
                (self.granted if lease in self.granted else self.opening).remove(lease)
                self.pool.abandon(lease)
            while self.in_use:
                self.pool.release(self.in_use.pop(), reusable=False)
        if hasattr(self, "pool"):
            found = self.pool.stats
            assert found == stats(found.idle, found.idle, 0)


TestPoolAgainstModel = PoolAgainstModel.TestCase
