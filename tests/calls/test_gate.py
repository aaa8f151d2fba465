"""What bounds many calls together: who may go, when, in which order, and that no place is ever lost."""

import gc
import random
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import pytest

import tokenwire
from tokenwire import AsyncClient, Client, Gate, RetryPolicy, Timeouts
from tokenwire.testing import Endpoint, FakeClock, Reply, chunks, completion

from ..conftest import PATIENCE, an_hour
from ..faults.stepping import cancelled_everywhere

MESSAGES = [{"role": "user", "content": "Hi"}]
GOOD = Reply(json=completion("Hello"))


class Counting:
    """A handler that counts its calls, and notes when each began."""

    def __init__(self, go: anyio.Event | None = None) -> None:
        self.go = go
        self.in_flight = self.most = 0
        self.begun: list[float] = []
        self.order: list[object] = []

    async def __call__(self, messages: Any, **_: Any) -> AsyncIterator[str]:
        self.begun.append(time.monotonic())
        self.order.append(messages[0]["content"])
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        try:
            await (anyio.lowlevel.checkpoint() if self.go is None else self.go.wait())
            yield "Hello"
        finally:
            self.in_flight -= 1


async def ask_all(client: AsyncClient, count: int, model: str = "mine/m") -> None:
    async with anyio.create_task_group() as group:
        for number in range(count):
            group.start_soon(client.acompletion, model, [{"role": "user", "content": str(number)}])


def is_empty(gate: Gate) -> bool:
    stats = gate.stats
    return (stats.in_flight, stats.waiting) == (0, 0)


# How many at once.


@pytest.mark.anyio
@pytest.mark.parametrize("places", [1, 3])
async def test_so_many_are_under_way_and_the_others_go_in_the_order_in_which_they_came(places: int) -> None:
    go = anyio.Event()
    handler, gate = Counting(go), Gate(max_concurrency=places)
    async with AsyncClient(handlers={"mine": handler}, gate=gate) as client:
        async with anyio.create_task_group() as group:
            for number in range(40):
                group.start_soon(client.acompletion, "mine/m", [{"role": "user", "content": number}])
                await anyio.wait_all_tasks_blocked()
            assert (gate.stats.in_flight, gate.stats.waiting) == (places, 40 - places)
            go.set()
    assert handler.most == places
    assert sorted(handler.order, key=str) == sorted(range(40), key=str)
    if places == 1:  # trio runs those that were let in together as it likes
        assert handler.order == list(range(40))
    assert is_empty(gate)


@pytest.mark.anyio
async def test_clients_share_it_and_a_stream_holds_its_place_until_it_ends() -> None:
    gate = Gate(max_concurrency=2)
    async with (
        AsyncClient(handlers={"mine": Counting()}, gate=gate) as one,
        AsyncClient(handlers={"mine": Counting()}, gate=gate) as other,
    ):
        first, second = one.astreaming("mine/m", MESSAGES), other.astreaming("mine/m", MESSAGES)
        await anext(first)
        await anext(second)
        assert gate.stats.in_flight == 2
        async with anyio.create_task_group() as group:
            group.start_soon(one.acompletion, "mine/m", MESSAGES)
            await anyio.wait_all_tasks_blocked()
            assert gate.stats.waiting == 1
            async for _ in first:
                pass
        assert gate.stats.in_flight == 1
        await second.aclose()
    assert is_empty(gate)


def test_threads_and_sync_calls_share_it() -> None:
    handler, gate = Counting(), Gate(max_concurrency=2)
    with Client(handlers={"mine": handler}, gate=gate) as client, ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: client.completion("mine/m", MESSAGES), range(60)))
        assert all(answer.choices[0].message.content == "Hello" for answer in answers)
    assert handler.most <= 2
    assert is_empty(gate)


def test_loops_share_it() -> None:
    """Who gives a place back and who waits for it are in loops of two threads, of two kinds."""
    handler, gate = Counting(), Gate(max_concurrency=1)

    async def main() -> None:
        async with AsyncClient(handlers={"mine": handler}, gate=gate) as client:
            await ask_all(client, 50)

    with ThreadPoolExecutor(3) as threads:
        runs = [threads.submit(anyio.run, main, backend=backend) for backend in ("asyncio", "trio", "asyncio")]
        for run in runs:
            run.result(timeout=30)
    assert (handler.most, len(handler.begun)) == (1, 150)
    assert is_empty(gate)


@pytest.mark.anyio
async def test_an_attempt_that_fails_makes_room_while_its_call_waits_to_try_again(clock: FakeClock) -> None:
    busy = Reply(status=500, json={"error": {"message": "busy"}})
    gate = Gate(max_concurrency=1)
    with Endpoint([busy, GOOD, GOOD]) as endpoint:
        async with AsyncClient(
            api_base=endpoint.url, gate=gate, retry_policy=RetryPolicy(base_delay=60, max_delay=60)
        ) as client:
            async with anyio.create_task_group() as group:
                group.start_soon(client.acompletion, "openai/m", MESSAGES)
                await endpoint.await_silence()
                async with an_hour(clock, lambda: endpoint.await_silence(2)):  # without a place, the other would wait for ever
                    await client.acompletion("openai/other", MESSAGES)
                await clock.aadvance(61)
    assert [request.json()["model"] for request in endpoint.requests] == ["m", "other", "m"]
    assert is_empty(gate)


# How many a minute.


@pytest.mark.anyio
@pytest.mark.parametrize("rpm", [1, 7, 60, 150])
async def test_no_minute_has_more_requests_than_it_may(rpm: int, clock: FakeClock) -> None:
    handler, gate = Counting(), Gate(rpm=rpm)
    async with AsyncClient(handlers={"mine": handler}, gate=gate) as client:
        async with anyio.create_task_group() as group:
            group.start_soon(ask_all, client, 2 * rpm + 3)
            await clock.aadvance(0)
            for _ in range(6):
                await clock.aadvance(60)
    begun = handler.begun
    assert len(begun) == 2 * rpm + 3
    assert all(later - earlier >= 60 - 1e-6 for earlier, later in zip(begun, begun[rpm:], strict=False))
    assert begun[-1] - begun[0] <= 60 * (2 + 4 / rpm) + 1


@pytest.mark.anyio
async def test_tokens_are_estimated_and_put_right_by_usage(clock: FakeClock) -> None:
    begun: list[float] = []

    async def handler(messages: Any, **_: Any) -> Any:
        begun.append(time.monotonic())
        usage = tokenwire.Usage(prompt_tokens=1, completion_tokens=5_999, total_tokens=6_000)
        return tokenwire.ModelResponse(choices=[tokenwire.Choices(message=tokenwire.Message(content="Hello"))], usage=usage)

    gate = Gate(tpm=6_000)
    async with AsyncClient(handlers={"mine": handler}, gate=gate) as client:
        await client.acompletion("mine/m", MESSAGES, max_tokens=10)
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: client.acompletion("mine/m", MESSAGES, max_tokens=10))
            await clock.aadvance(0)
            await clock.aadvance(50)
            assert len(begun) == 1
            await clock.aadvance(20)
            assert len(begun) == 2


# What servers ask for.


@pytest.mark.anyio
@pytest.mark.parametrize("status", [429, 503])
async def test_a_refusal_pauses_its_own_model_alone(status: int, clock: FakeClock) -> None:
    busy = Reply(status=status, json={"error": {"message": "slow down"}}, headers={"retry-after": "40"})
    gate = Gate(max_concurrency=9)
    with Endpoint(lambda request: busy if request.json()["model"] == "m" and len(endpoint.requests) == 1 else GOOD) as endpoint:
        async with AsyncClient(api_base=endpoint.url, gate=gate, num_retries=0) as client:
            with pytest.raises(tokenwire.APIError):
                await client.acompletion("openai/m", MESSAGES)
            [name] = gate.stats.paused
            assert name.startswith("openai/m ")
            async with anyio.create_task_group() as group:
                for _ in range(3):
                    group.start_soon(client.acompletion, "openai/m", MESSAGES)
                await clock.aadvance(0)
                await client.acompletion("openai/other", MESSAGES)
                assert (gate.stats.waiting, len(endpoint.requests)) == (3, 2)
                await clock.aadvance(39)
                assert len(endpoint.requests) == 2
                await clock.aadvance(2)
    assert len(endpoint.requests) == 5
    assert (gate.stats.paused, is_empty(gate)) == ({}, True)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "headers, seconds",
    [
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1m30s"}, 90.0),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "500ms"}, 0.5),
        ({"x-ratelimit-remaining-tokens": "7", "x-ratelimit-reset-tokens": "6m0s"}, None),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "12"}, 12.0),
        ({"anthropic-ratelimit-requests-remaining": "0", "anthropic-ratelimit-requests-reset": "2001-01-01T00:00:00Z"}, None),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "soon"}, None),
        ({"x-ratelimit-remaining-requests": "0"}, None),
    ],
)
async def test_an_answer_that_says_that_nothing_is_left(
    headers: dict[str, str], seconds: float | None, clock: FakeClock
) -> None:
    gate = Gate(max_concurrency=9)
    with Endpoint(Reply(json=completion("Hello"), headers=headers)) as endpoint:
        async with AsyncClient(api_base=endpoint.url, gate=gate) as client:
            await client.acompletion("openai/m", MESSAGES)
    assert list(gate.stats.paused.values()) == ([] if seconds is None else [pytest.approx(seconds)])


@pytest.mark.anyio
async def test_an_adaptive_one_halves_once_and_grows_again(clock: FakeClock) -> None:
    gate = Gate(max_concurrency=16, adaptive=True)
    busy = tokenwire.RateLimitError("slow down", retry_after=1.0)
    places: list[Any] = [await gate.enter(str(number)) for number in range(16)]
    for place in places:
        place.leave(error=busy)
    assert gate.stats.limit == 8.0
    await clock.aadvance(10)
    for _ in range(200):
        place = await gate.enter("m")
        assert place is not None
        place.leave()
    assert gate.stats.limit == 16.0


# Those who leave.


@pytest.mark.anyio
async def test_a_total_that_passes_at_the_gate(clock: FakeClock) -> None:
    gate = Gate(max_concurrency=1)
    async with AsyncClient(handlers={"mine": Counting()}, gate=gate) as client:
        held = client.astreaming("mine/m", MESSAGES)
        await anext(held)
        async with an_hour(clock):
            with pytest.raises(tokenwire.Timeout) as caught:
                await client.acompletion("mine/m", MESSAGES, timeout=Timeouts(total=20.0))
            assert caught.value.budget == "total"
            with pytest.raises(tokenwire.Timeout):
                await anext(client.astreaming("mine/m", MESSAGES, timeout=Timeouts(total=20.0)))
        assert gate.stats.waiting == 0
        await held.aclose()
    assert is_empty(gate)


@pytest.mark.anyio
async def test_a_stream_that_is_closed_while_it_waits_at_the_gate() -> None:
    gate = Gate(max_concurrency=1)
    async with AsyncClient(handlers={"mine": Counting()}, gate=gate) as client:
        held, waiting = client.astreaming("mine/m", MESSAGES), client.astreaming("mine/m", MESSAGES)
        await anext(held)

        async def wait() -> None:
            with pytest.raises(tokenwire.StreamClosedError):
                await anext(waiting)

        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            await waiting.aclose()
        assert (gate.stats.waiting, gate.stats.in_flight) == (0, 1)
        await held.aclose()
    assert is_empty(gate)


@pytest.mark.anyio
async def test_a_stream_that_is_dropped_gives_its_place_back() -> None:
    gate = Gate(max_concurrency=1)
    with Endpoint(Reply(events=chunks("Hello"))) as endpoint:
        async with AsyncClient(api_base=endpoint.url, gate=gate) as client:
            stream = client.astreaming("openai/m", MESSAGES)
            await anext(stream)
            del stream
            gc.collect()
            with anyio.fail_after(PATIENCE):
                await client.acompletion("openai/m", MESSAGES, mock_response="Hello")
    assert is_empty(gate)


@pytest.mark.anyio
@pytest.mark.parametrize("streamed", [False, True])
async def test_cancelled_at_every_wait_it_loses_no_place(streamed: bool) -> None:
    gate = Gate(max_concurrency=2)
    with Endpoint(lambda _: Reply(events=chunks("Hello")) if streamed else GOOD) as endpoint:
        async with AsyncClient(api_base=endpoint.url, gate=gate) as client:

            async def call() -> None:
                if not streamed:
                    await client.acompletion("openai/m", MESSAGES)
                    return
                async for _ in client.astreaming("openai/m", MESSAGES):
                    pass

            async def operation() -> None:
                held = [place for _ in range(2) if (place := await gate.enter("k")) is not None]
                try:
                    async with anyio.create_task_group() as group:
                        group.start_soon(call)
                        await anyio.wait_all_tasks_blocked()
                        for place in held:
                            place.leave()
                finally:  # as whoever enters has to; leaving twice is nothing
                    for place in held:
                        place.leave()

            async def look(_: int) -> None:
                gc.collect()
                assert is_empty(gate)

            waits = await cancelled_everywhere(operation, look)
    assert waits >= 2


@pytest.mark.anyio
async def test_whatever_happens_the_count_is_right(clock: FakeClock) -> None:
    """Waiters of several models come, go, are cancelled and paused at random; in the end all places are back."""
    rng = random.Random(7)
    gate = Gate(max_concurrency=3, rpm=6000, adaptive=True)
    most = 0

    async def one(group: Any) -> None:
        nonlocal most
        with anyio.move_on_after(rng.choice([0.0, 0.001, 5.0, 50.0])):
            place = await gate.enter(f"m{rng.randrange(4)}")
            assert place is not None
            most = max(most, gate.stats.in_flight)
            try:
                await anyio.sleep(rng.choice([0.0, 0.01, 1.0]))
            finally:
                busy = tokenwire.RateLimitError("slow down", retry_after=rng.choice([0.0, 2.0]))
                place.leave(error=busy if rng.random() < 0.1 else None)

    async with anyio.create_task_group() as group:
        for _ in range(400):
            group.start_soon(one, group)
        await clock.aadvance(0)
        for _ in range(40):
            await clock.aadvance(5)
    assert is_empty(gate)
    assert most <= 3
    assert not gate._ready
    assert not gate._keys


# Nonsense.


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({}, "gate must be limited"),
        ({"max_concurrency": 0}, "gate.max_concurrency must be a whole number, 1 or more, not 0"),
        ({"max_concurrency": 2.5}, "gate.max_concurrency must be a whole number, 1 or more, not 2.5"),
        ({"rpm": -1}, "gate.rpm"),
        ({"tpm": "many"}, "gate.tpm"),
        ({"rpm": True}, "gate.rpm"),
    ],
)
def test_nonsense_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(tokenwire.BadRequestError, match=message):
        Gate(**arguments)


def test_a_client_wants_a_gate() -> None:
    nonsense: Any = 5
    with pytest.raises(tokenwire.BadRequestError, match=r"gate must be a tokenwire\.Gate, not 5"):
        AsyncClient(gate=nonsense)
