"""Several targets under one name: who is asked, who cools down, and what is seen of it."""

import gc
import math
import random
from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, strategies as st

import tokenwire
from tokenwire import AsyncClient, Client, CustomLLM, Deployments, Gate, Hedge
from tokenwire._calls.balance import Balance, Ending, State
from tokenwire.testing import Endpoint, FakeClock, Reply

MESSAGES = [{"role": "user", "content": "Hi"}]
BROKEN = Reply(status=500, json={"error": {"message": "broken"}})
GOOD = Reply(text="Hello")


class Counting(CustomLLM):
    """Counts its calls by model, and waits where it is told to."""

    def __init__(self, go: anyio.Event | None = None) -> None:
        self.go = go
        self.calls: dict[str, int] = {}

    async def astreaming(self, model: str, **_: Any) -> AsyncIterator[str]:  # type: ignore[override]
        self.calls[model] = self.calls.get(model, 0) + 1
        if self.go is not None:
            await self.go.wait()
        yield model


def states(deployments: Deployments) -> list[str]:
    return [one.state for one in deployments.stats]


def pool_of(*endpoints: Endpoint, **keywords: Any) -> Deployments:
    entries = [{"model": "openai/m", "api_base": one.url, "name": str(number)} for number, one in enumerate(endpoints)]
    return Deployments(entries, **keywords)


def asked(response: Any) -> list[tuple[str | None, str | None]]:
    return [(attempt.deployment, attempt.error) for attempt in response.attempts]


# What a test sees of the pool alone does not depend on the loop.
one_loop = pytest.mark.parametrize("anyio_backend", [("asyncio", {"use_uvloop": False})], ids=["asyncio"])


# The decision.

# Which call begins or ends, how, after how long a pause, what patience its server asks for, who is left out.
Step: TypeAlias = tuple[int, Ending, float, float | None, set[int]]


@given(
    st.lists(st.sampled_from([0.5, 1.0, 2.0, 3.0]), min_size=1, max_size=9),
    st.lists(
        st.tuples(
            st.integers(0, 40),
            st.sampled_from(list(Ending)),
            st.floats(0, 20),
            st.sampled_from([None, None, 0.0, 30.0]),
            st.sets(st.integers(0, 8), max_size=3),
        ),
        max_size=120,
    ),
)
def test_a_balance_against_a_model_that_looks_at_everything(weights: list[float], steps: list[Step]) -> None:
    against_a_model(weights, steps)


@pytest.mark.parametrize("seed", range(12))
def test_a_balance_over_many_failures_against_the_same_model(seed: int) -> None:
    """Few deployments, that fail and come back again and again: states to which short lists of steps do not come."""
    rng = random.Random(seed)
    weights = [rng.choice([0.5, 1.0, 2.0]) for _ in range(rng.randint(1, 4))]
    pauses, endings = [0.0, 0.0, 1.0, 4.0, 5.0, 30.0, 60.0], [*Ending, Ending.FAILED, Ending.REFUSED]
    against_a_model(
        weights,
        [
            (
                rng.randrange(41),
                rng.choice(endings),
                rng.choice(pauses),
                rng.choice([None, None, None, 0.0, 30.0]),
                {rng.randrange(4)} if rng.random() < 0.3 else set(),
            )
            for _ in range(500)
        ],
        cool_down=rng.choice([5.0, 5.0, 90.0]),
        most_failures=rng.choice([1, 2, 3]),
    )


def against_a_model(weights: list[float], steps: list[Step], *, cool_down: float = 5.0, most_failures: int = 2) -> None:
    """The model has a plain list and walks it; it knows no tree, no heap and no epochs but the numbers of cool-downs."""
    balance, moment = Balance(weights, cool_down, most_failures), 100.0
    count = len(weights)
    load, until, is_probed = [0] * count, [0.0] * count, [False] * count
    failures, cooled, cools = [0] * count, [0] * count, [0] * count
    is_down = [False] * count
    open_calls: list[tuple[int, int, int]] = []

    def kind(number: int) -> int:
        if not is_down[number]:
            return 1
        if is_probed[number]:
            return 3
        return 0 if until[number] <= moment else 2

    for choice, ending, pause, patience, some in steps:
        moment += pause
        without = {number for number in some if number < count}
        if choice % 2 or not open_calls:
            usable = [number for number in range(count) if kind(number) <= 1 and number not in without]
            assert balance.has_other(moment, without) == bool(usable)
            number, epoch = balance.acquire(moment, without)
            among = usable or list(range(count))
            best = min(kind(one) for one in among)
            assert kind(number) == best
            assert number in among
            if best == 1:
                assert load[number] / weights[number] == min(load[one] / weights[one] for one in among if kind(one) == 1)
            if best == 2:
                assert until[number] == min(until[one] for one in among if kind(one) == 2)
            if best == 0:
                is_probed[number] = True
            load[number] += 1
            open_calls.append((number, epoch, cools[number]))
        else:
            number, epoch, began = open_calls.pop(choice % len(open_calls))
            load[number] -= 1
            is_news = began == cools[number]
            if ending is Ending.ANSWERED and is_news:
                is_down[number] = is_probed[number] = False
                failures[number] = cooled[number] = 0
            elif ending is Ending.UNKNOWN and is_news:
                is_probed[number] = False
            elif ending in (Ending.FAILED, Ending.REFUSED) and is_news:
                failures[number] += 1
                if is_down[number] or ending is Ending.REFUSED or failures[number] >= most_failures:
                    longer = min(cool_down * 2 ** cooled[number], max(60.0, cool_down))
                    until[number] = moment + (longer if patience is None else patience)
                    is_down[number], is_probed[number] = True, False
                    cools[number] += 1
                    cooled[number] += 1
            elif ending in (Ending.FAILED, Ending.REFUSED) and kind(number) == 2 and patience is not None:
                until[number] = max(until[number], moment + patience)
            balance.leave(number, epoch, ending, moment, patience)
        for one in range(count):
            state, in_flight, left = balance.state_of(one, moment)
            assert (in_flight, state) == (load[one], [State.DUE, State.UP, State.COOLING, State.PROBED][kind(one)])
            assert left == (until[one] - moment if kind(one) == 2 else 0.0)


@pytest.mark.parametrize("weights", [[1, 1, 1], [1, 2, 5], [0.5, 0.25]])
def test_calls_one_after_the_other_are_shared_by_weight(weights: list[float]) -> None:
    balance, counts = Balance(weights, 5.0, 3), [0] * len(weights)
    rounds = 40
    for _ in range(round(rounds * sum(weights) / min(weights))):
        number, epoch = balance.acquire(0.0)
        counts[number] += 1
        balance.leave(number, epoch, Ending.ANSWERED, 0.0)
    shares = [count / sum(counts) for count in counts]
    assert shares == pytest.approx([weight / sum(weights) for weight in weights], abs=0.05)


def test_one_that_comes_back_is_not_flooded() -> None:
    balance = Balance([1, 1], 5.0, 1)
    number, epoch = balance.acquire(0.0)
    balance.leave(number, epoch, Ending.FAILED, 0.0)
    for _ in range(100):
        other, epoch = balance.acquire(1.0)
        assert other != number
        balance.leave(other, epoch, Ending.ANSWERED, 1.0)
    counts = [0, 0]
    for _ in range(20):
        taken, epoch = balance.acquire(6.0)
        counts[taken] += 1
        balance.leave(taken, epoch, Ending.ANSWERED, 6.0)
    assert sorted(counts) in ([9, 11], [10, 10])


def test_a_decision_among_many_looks_at_few() -> None:
    """Counted, not timed: comparisons of ranks grow with the logarithm."""
    compared = 0

    class Weight(float):
        def __rtruediv__(self, other: Any) -> Any:
            return Load(float(other) / float(self))

    class Load(float):
        __hash__ = float.__hash__

        def __lt__(self, other: Any) -> bool:
            nonlocal compared
            compared += 1
            return float(self) < float(other)

        def __eq__(self, other: Any) -> bool:
            return float(self) == float(other)

    balance = Balance([Weight(1)] * 4096, 5.0, 3)
    compared = 0
    for _ in range(100):
        number, epoch = balance.acquire(0.0)
        balance.leave(number, epoch, Ending.ANSWERED, 0.0)
    assert compared <= 100 * 2 * math.log2(4096) * 2


# Calls.


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["pool", "pool/any"])
async def test_the_least_in_flight_for_its_weight_is_asked(name: str) -> None:
    go = anyio.Event()
    handler = Counting(go)
    deployments = Deployments([{"model": "mine/a", "weight": 3}, "mine/b"])
    async with AsyncClient(handlers={"mine": handler, "pool": deployments}) as client:
        async with anyio.create_task_group() as group:
            for _ in range(8):
                group.start_soon(client.acompletion, name, MESSAGES)
            await anyio.wait_all_tasks_blocked()
            assert [one.in_flight for one in deployments.stats] == [6, 2]
            go.set()
    assert handler.calls == {"a": 6, "b": 2}
    assert [one.in_flight for one in deployments.stats] == [0, 0]


@pytest.mark.anyio
async def test_a_failed_one_is_left_for_another_at_once_and_cools_down(clock: FakeClock) -> None:
    with Endpoint(BROKEN) as bad, Endpoint(GOOD) as good:
        pool = pool_of(bad, good, failures=2)
        async with AsyncClient(handlers={"pool": pool}, api_key="k") as client:
            first = await client.acompletion("pool", MESSAGES)
            assert asked(first) == [("0", "InternalServerError"), ("1", None)]
            assert [attempt.target for attempt in first.attempts] == ["openai/m", "openai/m"]
            assert first.attempts[1].waited == 0.0
            assert states(pool) == ["up", "up"]
            await client.acompletion("pool", MESSAGES)
            assert states(pool) == ["cooling", "up"]
            seen = len(bad.requests)
            for _ in range(5):
                assert asked(await client.acompletion("pool", MESSAGES)) == [("1", None)]
            assert len(bad.requests) == seen
            await clock.aadvance(5)
            assert states(pool) == ["due", "up"]
            assert asked(await client.acompletion("pool", MESSAGES)) == [("0", "InternalServerError"), ("1", None)]
            assert pool.stats[0].cooling == pytest.approx(10)


@pytest.mark.anyio
async def test_one_call_probes_and_its_answer_brings_it_back(clock: FakeClock) -> None:
    with Endpoint([BROKEN, GOOD]) as bad, Endpoint(GOOD) as good:
        pool = pool_of(bad, good, failures=1)
        async with AsyncClient(handlers={"pool": pool}, api_key="k") as client:
            await client.acompletion("pool", MESSAGES)
            await clock.aadvance(6)
            assert asked(await client.acompletion("pool", MESSAGES)) == [("0", None)]
            assert states(pool) == ["up", "up"]


@pytest.mark.anyio
@pytest.mark.parametrize("status", [429, 503])
async def test_a_refusal_cools_down_for_as_long_as_the_server_asks(status: int, clock: FakeClock) -> None:
    busy = Reply(status=status, json={"error": {"message": "busy"}}, headers={"retry-after": "40"})
    with Endpoint(busy) as bad, Endpoint(GOOD) as good:
        pool = pool_of(bad, good)
        async with AsyncClient(handlers={"pool": pool}, api_key="k") as client:
            await client.acompletion("pool", MESSAGES)
            await clock.aadvance(10)  # it counts from the answer, not from when somebody looks
            assert pool.stats[0].cooling == pytest.approx(30)
            await clock.aadvance(29)
            await client.acompletion("pool", MESSAGES)
            assert len(bad.requests) == 1


@pytest.mark.anyio
@pytest.mark.parametrize("status, cools", [(400, False), (413, False), (401, True), (404, True), (500, True)])
async def test_what_says_that_a_deployment_is_unwell(status: int, cools: bool) -> None:
    with Endpoint(Reply(status=status, json={"error": {"message": "no"}})) as bad:
        pool = pool_of(bad, failures=1)
        async with AsyncClient(handlers={"pool": pool}, api_key="k", num_retries=0) as client:
            with pytest.raises(tokenwire.APIError):
                await client.acompletion("pool", MESSAGES)
    assert states(pool) == ["cooling" if cools else "up"]


@pytest.mark.anyio
@one_loop
@pytest.mark.parametrize(
    "reply, cools",
    [
        (Reply(status=503, json={}), True),
        (Reply(status=429, json={}), True),
        (Reply(status=500, json={}, headers={"retry-after": "30"}), True),
        (Reply(status=500, json={}), False),
    ],
    ids=["503", "429", "500 with retry-after", "500"],
)
async def test_what_cools_one_down_at_once(reply: Reply, cools: bool) -> None:
    with Endpoint(reply) as bad:
        pool = pool_of(bad, failures=2)
        async with AsyncClient(handlers={"pool": pool}, api_key="k", num_retries=0) as client:
            with pytest.raises(tokenwire.APIError):
                await client.acompletion("pool", MESSAGES)
    assert states(pool) == ["cooling" if cools else "up"]


@pytest.mark.anyio
@one_loop
@pytest.mark.parametrize(
    "error, cools",
    [
        (tokenwire.BadRequestError("our own mistake", fault="caller"), False),
        (tokenwire.CustomLLMError(400, "no server said so"), True),
        (tokenwire.CustomLLMError(500, "broken"), True),
    ],
    ids=["the caller's", "a handler's 400", "a handler's 500"],
)
async def test_what_a_handler_s_error_says_of_it(error: Exception, cools: bool) -> None:
    async def handler(**_: Any) -> str:
        raise error

    pool = Deployments(["mine/m"], failures=1)
    async with AsyncClient(handlers={"pool": pool, "mine": handler}, num_retries=0) as client:
        with pytest.raises(tokenwire.APIError):
            await client.acompletion("pool", MESSAGES)
    assert states(pool) == ["cooling" if cools else "up"]


@pytest.mark.anyio
async def test_where_none_is_up_the_first_to_be_is_asked_all_the_same() -> None:
    with Endpoint([BROKEN, GOOD]) as bad:
        pool = pool_of(bad, failures=1)
        async with AsyncClient(handlers={"pool": pool}, api_key="k", num_retries=0) as client:
            with pytest.raises(tokenwire.InternalServerError) as caught:
                await client.acompletion("pool", MESSAGES)
            assert asked(caught.value) == [("0", "InternalServerError")]
            assert (await client.acompletion("pool", MESSAGES)).choices[0].message.content == "Hello"
    assert states(pool) == ["up"]


@pytest.mark.anyio
async def test_a_stream_is_under_way_until_it_ends_and_turns_to_another_until_its_content() -> None:
    cut = Reply(events=[{"error": {"message": "busy", "code": 500}}])
    with Endpoint(cut) as bad, Endpoint(GOOD) as good:
        pool = pool_of(bad, good)
        async with AsyncClient(handlers={"pool": pool}, api_key="k") as client:
            stream = client.astreaming("pool", MESSAGES)
            await anext(stream)
            assert [one.in_flight for one in pool.stats] == [0, 1]
            await stream.until_done()
            assert [one.in_flight for one in pool.stats] == [0, 0]
            assert asked(stream) == [("0", "InternalServerError"), ("1", None)]
            left = client.astreaming("pool", MESSAGES)
            await anext(left)
            await left.aclose()
            dropped = client.astreaming("pool", MESSAGES)
            await anext(dropped)
            await dropped.aclose()
            assert [one.in_flight for one in pool.stats] == [0, 0]


@pytest.mark.anyio
@one_loop
async def test_a_cool_down_counts_from_the_answer_not_from_when_somebody_looks(clock: FakeClock) -> None:
    with Endpoint(Reply(status=429, json={}, headers={"retry-after": "40"})) as bad:
        pool = pool_of(bad)
        async with AsyncClient(handlers={"pool": pool}, api_key="k", num_retries=0) as client:
            with pytest.raises(tokenwire.RateLimitError):
                await client.acompletion("pool", MESSAGES)
            await clock.aadvance(10)
    assert pool.stats[0].cooling == pytest.approx(30)


@pytest.mark.anyio
@one_loop
@pytest.mark.parametrize("is_mistake", [False, True], ids=["broken", "the caller's mistake"])
async def test_whom_a_call_asks_after_one_that_failed_it(is_mistake: bool) -> None:
    """The other one, though that has more to do; nobody, where another would say the same."""
    called: list[str] = []

    async def handler(model: str, **_: Any) -> AsyncIterator[str]:
        called.append(model)
        if model == "idle":
            raise tokenwire.BadRequestError("no", fault="caller") if is_mistake else tokenwire.CustomLLMError(500, "broken")
        yield "Hel"
        yield "lo"

    pool = Deployments(["mine/busy", "mine/idle"])
    async with AsyncClient(handlers={"pool": pool, "mine": handler}) as client:
        async with await client.acompletion("pool", MESSAGES, stream=True) as stream:
            await anext(stream)
            if is_mistake:
                with pytest.raises(tokenwire.BadRequestError):
                    await client.acompletion("pool", MESSAGES)
            else:
                await client.acompletion("pool", MESSAGES)
    assert called == (["busy", "idle"] if is_mistake else ["busy", "idle", "busy"])


def test_two_of_one_name_are_told_apart() -> None:
    pool = Deployments(["openai/m", "openai/n", "openai/m"])
    assert [one.name for one in pool.stats] == ["openai/m (0)", "openai/n", "openai/m (2)"]


@pytest.mark.anyio
@one_loop
async def test_a_stream_that_is_dropped_is_not_under_way_any_more() -> None:
    async def handler(**_: Any) -> AsyncIterator[str]:
        yield "Hel"
        yield "lo"

    pool = Deployments(["mine/m"])
    async with AsyncClient(handlers={"pool": pool, "mine": handler}) as client:
        stream: Any = await client.acompletion("pool", MESSAGES, stream=True)
        await anext(stream)
        assert pool.stats[0].in_flight == 1
        del stream
        gc.collect()
        await anyio.lowlevel.checkpoint()
        assert pool.stats[0].in_flight == 0


@pytest.mark.anyio
async def test_a_cancelled_call_leaves_no_trace() -> None:
    go = anyio.Event()
    pool = Deployments(["mine/a", "mine/b"])
    async with AsyncClient(handlers={"mine": Counting(go), "pool": pool}, gate=Gate(max_concurrency=1)) as client:
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(client.acompletion, "pool", MESSAGES)
            await anyio.wait_all_tasks_blocked()
            assert sum(one.in_flight for one in pool.stats) == 3
            group.cancel_scope.cancel()
    assert [(one.state, one.in_flight) for one in pool.stats] == [("up", 0), ("up", 0)]


@pytest.mark.anyio
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_hedge_asks_another_one(streamed: bool, clock: FakeClock) -> None:
    with Endpoint(Reply(text="slow", delay=600)) as slow, Endpoint(Reply(text="quick", delay=0.1)) as quick:
        pool = pool_of(slow, quick)
        responses: list[Any] = []
        async with AsyncClient(handlers={"pool": pool}, api_key="k", hedge=Hedge(after=1.0)) as client:

            async def call() -> None:
                responses.append(await client.acompletion("pool", MESSAGES, stream=streamed))
                if streamed:
                    await responses[0].until_done()

            async with anyio.create_task_group() as group:
                group.start_soon(call)
                await slow.await_silence(1)
                await clock.aadvance(1.05)
                await quick.await_silence(1)
                assert [one.in_flight for one in pool.stats] == [1, 1]
                await clock.aadvance(0.2)
            assert asked(responses[0]) == [("0", "Cancelled"), ("1", None)]
            assert [(one.state, one.in_flight) for one in pool.stats] == [("up", 0), ("up", 0)]


@pytest.mark.anyio
async def test_fallbacks_come_after_all_of_them_and_may_be_deployments_too() -> None:
    with Endpoint(BROKEN) as bad, Endpoint(GOOD) as good:
        handlers = {"pool": pool_of(bad, bad), "spare": Deployments([{"model": "openai/s", "api_base": good.url}])}
        async with AsyncClient(handlers=handlers, api_key="k", num_retries=1) as client:
            response = await client.acompletion("pool", MESSAGES, fallbacks=["spare"])
    assert asked(response) == [("0", "InternalServerError"), ("1", "InternalServerError"), ("openai/s", None)]


def test_sync_calls_and_registered_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokenwire._calls.routing._registered", {})
    with Endpoint(GOOD) as endpoint:
        tokenwire.register("pool", Deployments([{"model": "openai/m", "api_base": endpoint.url}]))
        assert tokenwire.completion("pool", MESSAGES).choices[0].message.content == "Hello"
        with Client() as client:
            assert "".join(piece.text for piece in client.streaming("pool/m", MESSAGES)) == "Hello"


@pytest.mark.anyio
async def test_its_own_keywords_win_over_the_call_s() -> None:
    with Endpoint(GOOD) as endpoint:
        entry = {"model": "openai/m", "api_base": endpoint.url, "api_key": "k1", "temperature": 0.1}
        async with AsyncClient(handlers={"pool": Deployments([entry])}) as client:
            await client.acompletion("pool", MESSAGES, temperature=0.9, top_p=0.5)
    [request] = endpoint.requests
    body = request.json()
    assert (body["model"], body["temperature"], body["top_p"]) == ("m", 0.1, 0.5)
    assert request.headers["authorization"] == "Bearer k1"
    assert body.keys().isdisjoint({"weight", "name"})


# Arguments.


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Deployments([]), "deployments must be a list of models' names"),
        (lambda: Deployments("openai/m"), "deployments must be a list"),
        (lambda: Deployments([7]), r"deployments\[0\] must be a model's name"),
        (lambda: Deployments([{"api_key": "secret"}]), r"deployments\[0\] must be a model's name, .* not \['api_key'\]"),
        (lambda: Deployments([{"model": "m", "weight": 0}]), r"deployments\[0\].weight must be a number above 0, not 0"),
        (lambda: Deployments([{"model": "m", "wieght": 2}]), r"deployments\[0\] has 'wieght': did you mean weight\?"),
        (lambda: Deployments([{"model": "m", "nam": "a"}]), r"deployments\[0\] has 'nam': did you mean name\?"),
        (lambda: Deployments([{"model": "m", "name": 1}]), r"deployments\[0\].name must be a str"),
        (lambda: Deployments([{"model": "m", "fallbacks": []}]), r"deployments\[0\] must not have fallbacks"),
        (lambda: Deployments(["m"], cool_down=0), "cool_down must be a number of seconds above 0, not 0"),
        (lambda: Deployments(["m"], failures=0), "failures must be a whole number, 1 or more, not 0"),
    ],
)
def test_nonsense_is_refused(make: Any, message: str) -> None:
    with pytest.raises(tokenwire.BadRequestError, match=message) as caught:
        make()
    assert caught.value.fault == "caller"
    assert "secret" not in str(caught.value)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "second, message",
    [
        ("nobody/m", r"deployments\[1\]: .*names no known provider"),
        ({"model": "openai/m", "api_base": "nowhere"}, r"deployments\[1\]: api_base"),
        ("pool", r"deployments\[1\]: 'pool' has deployments itself"),
    ],
)
async def test_a_mistake_in_one_is_found_before_anything_is_sent(second: Any, message: str) -> None:
    with Endpoint(GOOD) as endpoint:
        pool = Deployments([{"model": "openai/m", "api_base": endpoint.url}, second])
        async with AsyncClient(handlers={"pool": pool}, api_key="k") as client:
            for _ in range(2):
                with pytest.raises(tokenwire.BadRequestError, match=message) as caught:
                    await client.acompletion("pool", MESSAGES)
                assert caught.value.message.count("deployments[1]") == 1
        assert endpoint.requests == []


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["api_key", "api_base"])
async def test_a_key_or_address_is_a_deployment_s_own(name: str) -> None:
    keywords: Any = {name: "http://x/v1"}
    async with AsyncClient(handlers={"pool": Deployments(["openai/m"])}) as client:
        with pytest.raises(tokenwire.BadRequestError, match=f"{name} belongs to each of the deployments of 'pool'"):
            await client.acompletion("pool", MESSAGES, **keywords)
