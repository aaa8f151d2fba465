"""A clock under control: what is due happens at its time and in order, in every loop of the process, and at once."""

import threading
import time
from typing import Any

import anyio
import anyio.from_thread
import pytest
import trio

import tokenwire
from tokenwire import Timeouts
from tokenwire.testing import Endpoint, FakeClock, Reply

from ..conftest import LOOPS, PATIENCE

pytestmark = pytest.mark.anyio

MESSAGES = [{"role": "user", "content": "Hi"}]


async def call(endpoint: Endpoint, into: list[Any], **keywords: Any) -> None:
    """What is streamed, and how it ends: with the name of a budget, and after how long."""
    started = time.monotonic()
    try:
        async with tokenwire.astreaming("openai/m", MESSAGES, api_base=endpoint.url, **keywords) as pieces:
            async for piece in pieces:
                into.append((piece.text, time.monotonic() - started))  # noqa: PERF401 looked at while it grows
    except tokenwire.Timeout as error:
        into.append((error.budget, time.monotonic() - started))


async def test_a_call_times_out_to_the_second(clock: FakeClock) -> None:
    seen: list[Any] = []
    budgets = Timeouts(first_content=30, idle=40)
    with Endpoint(Reply(text="Hello there", first_delay=20, stall=True, after=2)) as endpoint:
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: call(endpoint, seen, timeout=budgets, num_retries=0))
            await endpoint.await_silence()
            await clock.aadvance(19.999)
            assert seen == []
            await clock.aadvance(0.001)
            assert [text for text, _ in seen] == ["", "Hell"]
            await clock.aadvance(39.999)
            assert len(seen) == 2
            await clock.aadvance(3600)
            assert seen[2] == ("idle", pytest.approx(60))


def adding_up(clock: FakeClock) -> Any:
    async def sums_up() -> None:
        rang: list[int] = []

        async def ring() -> None:
            await anyio.sleep(20)
            rang.append(1)

        async with anyio.create_task_group() as group:
            group.start_soon(ring)
            await clock.aadvance(19.999)
            assert rang == []
            await clock.aadvance(0.001)
            assert rang == [1]

    return sums_up


@pytest.mark.parametrize("began", [23.646, 32777.909, 99_999.1])
def test_parts_of_a_second_add_up(began: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """After some moments, 19.999 and then 0.001 are a little less than 20."""
    monkeypatch.setattr(time, "monotonic", lambda: began)
    with FakeClock() as clock:
        anyio.run(adding_up(clock))
    with FakeClock() as clock:
        trio.run(adding_up(clock), clock=clock)


async def test_waits_between_attempts_and_events_pass_in_order_in_one_go(clock: FakeClock) -> None:
    seen: list[Any] = []
    script = [Reply(status=429, headers={"retry-after": "20"}), Reply(events=["a", "b"], event_delay=7)]
    with Endpoint(script) as endpoint:
        async with anyio.create_task_group() as group:
            group.start_soon(call, endpoint, seen)
            await endpoint.await_silence()
            await clock.aadvance(33.9)
            assert seen == [("a", pytest.approx(20)), ("b", pytest.approx(27))]
            await clock.aadvance(0.2)
    assert endpoint.requests[1].arrived_at - endpoint.requests[0].arrived_at == pytest.approx(20)
    assert endpoint.requests[1].ended_at == pytest.approx(endpoint.requests[1].arrived_at + 14)


async def test_tasks_run_between_two_timers(clock: FakeClock) -> None:
    """Each wait begins where the one before it ended."""
    seen: list[tuple[str, float]] = []
    began = time.monotonic()

    async def tick(name: str, seconds: float) -> None:
        for _ in range(3):
            await anyio.sleep(seconds)
            await anyio.lowlevel.checkpoint()
            seen.append((name, round(time.monotonic() - began, 6)))

    async with anyio.create_task_group() as group:
        group.start_soon(tick, "a", 2)
        group.start_soon(tick, "b", 3)
        await clock.aadvance(8.5)
        assert seen[:3] == [("a", 2), ("b", 3), ("a", 4)]
        assert sorted(seen[3:]) == [("a", 6), ("b", 6)]
        await clock.aadvance(0.5)
    assert seen[5] == ("b", 9)


async def test_nothing_happens_by_itself(clock: FakeClock) -> None:
    woken: list[int] = []

    async def sleep() -> None:
        await anyio.sleep(0.001)
        woken.append(1)

    async with anyio.create_task_group() as group:
        group.start_soon(sleep)
        await anyio.to_thread.run_sync(threading.Event().wait, 0.02)  # real seconds
        await clock.aadvance(0)
        assert woken == []
        await clock.aadvance(0.001)
        assert woken == [1]


def test_sync_calls_follow_from_another_thread(clock: FakeClock) -> None:
    def move() -> None:
        endpoint.wait_silence()
        clock.advance(30)

    with Endpoint(Reply(delay=60)) as endpoint:
        mover = threading.Thread(target=move)
        mover.start()
        with pytest.raises(tokenwire.Timeout) as caught:
            tokenwire.completion("openai/m", MESSAGES, api_base=endpoint.url, num_retries=0, timeout=Timeouts(first_content=30))
        mover.join()
    assert caught.value.attempts[0].seconds == pytest.approx(30)


@pytest.mark.parametrize("anyio_backend", LOOPS[:2])
async def test_timers_that_are_left_have_the_rest_to_go() -> None:
    woken = anyio.Event()

    async def sleep() -> None:
        await anyio.sleep(3600.01)
        woken.set()

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as group:
            with FakeClock() as clock:
                group.start_soon(sleep)
                await clock.aadvance(3600)
            assert not woken.is_set()
            await woken.wait()


def test_a_trio_run_may_begin_before_and_end_after() -> None:
    clock, times = FakeClock(), list[float]()

    async def main() -> None:
        times.append(anyio.current_time())
        for _ in range(2):
            with clock:
                with anyio.move_on_after(0.01) as scope:
                    await clock.aadvance(3600)
                    await anyio.sleep_forever()
                assert scope.cancelled_caught
            times.append(anyio.current_time())
        with anyio.move_on_after(0.01):
            await anyio.sleep_forever()

    trio.run(main, clock=clock)
    assert times[0] + 7200 <= times[1] + 3600 <= times[2] < times[0] + 7260


@pytest.mark.parametrize("anyio_backend", LOOPS[2:])
async def test_a_trio_run_with_another_clock_says_so() -> None:
    with pytest.raises(RuntimeError, match="clock=clock"), FakeClock():
        pass


async def test_a_closed_clock_is_not_moved() -> None:
    with pytest.raises(RuntimeError, match="inside its with block"):
        await FakeClock().aadvance(1)


async def test_what_makes_no_sense(clock: FakeClock) -> None:
    with pytest.raises(RuntimeError, match=r"await clock\.aadvance"):
        clock.advance(1)
    for seconds in (-1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="seconds must be"):
            await clock.aadvance(seconds)
    with pytest.raises(RuntimeError, match="another FakeClock is open"), clock:
        pass


async def test_a_loop_that_never_rests_is_found_out(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokenwire.testing._clock.PATIENCE", 0.2)

    async def spin() -> None:
        while True:
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as group:
        group.start_soon(spin)
        with pytest.raises(TimeoutError, match="did not become idle"):
            await clock.aadvance(1)
        group.cancel_scope.cancel()


def test_time_is_real_again_afterwards() -> None:
    real = time.monotonic
    with FakeClock() as clock:
        before = time.monotonic()
        clock.advance(60)
        assert time.monotonic() == before + 60
    assert time.monotonic is real
    with Endpoint(Reply(json={}, delay=0.01)) as endpoint, anyio.from_thread.start_blocking_portal() as portal:
        portal.call(anyio.sleep, 0.01)
        with pytest.raises(tokenwire.APIError):
            tokenwire.completion("openai/m", MESSAGES, api_base=endpoint.url, num_retries=0)
