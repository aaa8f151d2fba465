"""A second attempt beside one that is slow: who wins, what becomes of the other, and how many there may be."""

import itertools
import logging
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings, strategies as st

import tokenwire
from tokenwire import AsyncClient, Client, CustomLLM, Gate, Hedge, HTTPTransport, Timeouts
from tokenwire._calls.hedge import ALWAYS, WINDOW, Hedges
from tokenwire.testing import Endpoint, FakeClock, Received, Reply, chunk

from ..faults.stepping import cancelled_everywhere, closed_everywhere

pytestmark = pytest.mark.anyio

MESSAGES = [{"role": "user", "content": "Hi"}]
HEDGE = Hedge(after=1.0)
SLOW, QUICK = Reply(text="slow", delay=600), Reply(text="quick")
BUSY = Reply(status=503, json={"error": {"message": "busy"}}, headers={"retry-after": "0"})
WAYS = ("whole", "stream", "flat")


class Outcome:
    """What became of a call, once it is over."""

    def __init__(self) -> None:
        self.text = ""
        self.response: Any = None
        self.error: tokenwire.APIError | None = None

    @property
    def attempts(self) -> list[tuple[int, str, str | None]]:
        source: Any = self.response if self.error is None else self.error
        return [(attempt.number, attempt.target, attempt.error) for attempt in source.attempts]


async def ask(client: AsyncClient, way: str, outcome: Outcome, model: str = "openai/m", **keywords: Any) -> None:
    try:
        if way == "whole":
            outcome.response = await client.acompletion(model, MESSAGES, **keywords)
            outcome.text = outcome.response.choices[0].message.content
        elif way == "stream":
            outcome.response = await client.acompletion(model, MESSAGES, stream=True, **keywords)
            async for piece in outcome.response:
                outcome.text += piece.choices[0].delta.content or ""
        else:
            outcome.response = client.astreaming(model, MESSAGES, **keywords)
            async for piece in outcome.response:
                outcome.text += piece.text
    except tokenwire.APIError as error:
        outcome.error = error


@asynccontextmanager
async def asked(client: AsyncClient, way: str, **keywords: Any) -> AsyncIterator[Outcome]:
    """A call that is under way while the block runs, and is over after it."""
    outcome = Outcome()
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: ask(client, way, outcome, **keywords))
        yield outcome


# Who wins.


@pytest.mark.parametrize("way", WAYS)
async def test_a_second_attempt_answers_where_the_first_is_slow(way: str, clock: FakeClock) -> None:
    outcome = Outcome()
    with Endpoint([SLOW, QUICK]) as endpoint:
        async with AsyncClient(api_base=endpoint.url, hedge=HEDGE) as client, anyio.create_task_group() as group:
            group.start_soon(ask, client, way, outcome)
            await endpoint.await_silence(1)
            await clock.aadvance(0.9)
            assert len(endpoint.requests) == 1
            await clock.aadvance(0.2)
            await endpoint.await_until(lambda: len(endpoint.requests) == 2 and endpoint.requests[0].aborted)
        assert len(endpoint.requests) == 2
    assert outcome.text == "quick"
    assert outcome.attempts == [(1, "openai/m", "Cancelled"), (2, "openai/m", None)]
    loser, winner = outcome.response.attempts
    assert (loser.status, winner.status) == (None, 200)
    assert (loser.seconds, winner.waited) == (pytest.approx(1.0, abs=0.2), 0.0)


@pytest.mark.parametrize("way", ["stream", "flat"])
async def test_it_is_content_that_wins_not_the_head_of_a_response(way: str, clock: FakeClock) -> None:
    first = Reply(events=[chunk(role="assistant")], done=False, stall=True)
    second = Reply(text="quick", first_delay=0.5)
    outcome = Outcome()
    with Endpoint([first, second]) as endpoint:
        async with AsyncClient(api_base=endpoint.url, hedge=HEDGE) as client, anyio.create_task_group() as group:
            group.start_soon(ask, client, way, outcome)
            await endpoint.await_silence(1)
            await clock.aadvance(1.1)
            await endpoint.await_silence(2)
            assert not endpoint.requests[0].aborted  # the second one's head has arrived
            await clock.aadvance(1.0)
            await endpoint.await_closed(endpoint.requests[0])
        assert endpoint.requests[0].aborted
    assert outcome.text == "quick"
    assert outcome.attempts == [(1, "openai/m", "Cancelled"), (2, "openai/m", None)]
    assert outcome.response.response.choices[0].message.content == "quick"
    assert outcome.response.timings.first_content == pytest.approx(1.6, abs=0.3)


@pytest.mark.parametrize("way", WAYS)
async def test_the_first_one_may_still_win(way: str, clock: FakeClock) -> None:
    outcome = Outcome()
    with Endpoint([Reply(text="first", delay=2), SLOW]) as endpoint:
        async with AsyncClient(api_base=endpoint.url, hedge=HEDGE) as client, anyio.create_task_group() as group:
            group.start_soon(ask, client, way, outcome)
            await endpoint.await_silence(1)
            await clock.aadvance(1.1)
            await endpoint.await_silence(2)
            await clock.aadvance(1.0)
            await endpoint.await_closed(endpoint.requests[1])
        assert endpoint.requests[1].aborted
    assert outcome.text == "first"
    assert outcome.attempts == [(2, "openai/m", "Cancelled"), (1, "openai/m", None)]


@pytest.mark.parametrize("way", WAYS)
async def test_there_is_none_where_the_content_comes_in_time(way: str, clock: FakeClock) -> None:
    with Endpoint(Reply(text="first", delay=0.5)) as endpoint:
        async with AsyncClient(api_base=endpoint.url, hedge=HEDGE) as client, asked(client, way) as outcome:
            await endpoint.await_silence(1)
            await clock.aadvance(0.6)
        await clock.aadvance(10)
        assert len(endpoint.requests) == 1
    assert outcome.attempts == [(1, "openai/m", None)]


async def test_the_time_that_a_caller_takes_is_not_the_server_s(clock: FakeClock) -> None:
    reply = Reply(text="late", first_delay=30)
    with Endpoint([reply, QUICK]) as endpoint:
        async with AsyncClient(api_base=endpoint.url, hedge=HEDGE) as client:
            stream = await client.acompletion("openai/m", MESSAGES, stream=True)
            await clock.aadvance(20)
            async with anyio.create_task_group() as group:
                group.start_soon(stream.until_done)
                await clock.aadvance(0.8)
                assert len(endpoint.requests) == 1
                await clock.aadvance(0.4)
                await endpoint.await_until(lambda: len(endpoint.requests) == 2)
    assert stream.response is not None
    assert stream.response.choices[0].message.content == "quick"  # pyright: ignore[reportAttributeAccessIssue]


async def test_the_time_until_a_stream_was_opened_counts(clock: FakeClock) -> None:
    first = Reply(events=[chunk(role="assistant")], delay=0.6, done=False, stall=True)
    with Endpoint([first, QUICK]) as endpoint:
        async with AsyncClient(api_base=endpoint.url, hedge=HEDGE) as client, asked(client, "stream") as outcome:
            await endpoint.await_silence(1)
            await clock.aadvance(0.7)
            await endpoint.await_silence(1)
            await clock.aadvance(0.2)
            assert len(endpoint.requests) == 1
            await clock.aadvance(0.2)
            await endpoint.await_until(lambda: len(endpoint.requests) == 2)
    assert outcome.text == "quick"


async def test_nothing_of_a_race_is_left_when_an_opened_stream_is_handed_over(clock: FakeClock) -> None:
    """The first content was waited for, as the head came late; it is the first thing that iterating brings."""
    with Endpoint([SLOW, Reply(events=["one", "two"], event_delay=5)]) as endpoint:
        async with AsyncClient(api_base=endpoint.url, hedge=HEDGE) as client:
            streams: list[Any] = []

            async def open_one() -> None:
                streams.append(await client.acompletion("openai/m", MESSAGES, stream=True))

            async with anyio.create_task_group() as group:
                group.start_soon(open_one)
                await endpoint.await_silence(1)
                await clock.aadvance(1.1)
                await endpoint.await_silence(2)
                await endpoint.await_until(lambda: endpoint.requests[0].aborted)
            [stream] = streams
            assert stream.timings.first_chunk is not None
            assert stream.timings.first_content is not None
            assert (await anext(stream)).choices[0].delta.content == "one"
            await stream.aclose()
            assert client.stats is not None
            assert client.stats.open == 0


@pytest.mark.parametrize(  # trio runs the tasks of one moment in any order
    "anyio_backend", [("asyncio", {"use_uvloop": False}), ("asyncio", {"use_uvloop": True})], ids=["asyncio", "asyncio+uvloop"]
)
async def test_none_begins_in_the_moment_in_which_the_first_has_come_to_something(clock: FakeClock) -> None:
    """Both have waited for the same second, and both tasks were told to go on when the first one went on."""
    calls: list[float] = []

    class Handler(CustomLLM):
        async def astreaming(self, *args: Any, **keywords: Any) -> Any:  # type: ignore[override]
            calls.append(clock.current_time())
            await anyio.sleep(1.0)

            async def words() -> AsyncIterator[str]:
                yield "Hello"

            return words()

    async with AsyncClient(handlers={"mine": Handler()}, hedge=HEDGE) as client:
        async with asked(client, "stream", model="mine/m") as outcome:
            await clock.aadvance(1.0)
    assert (outcome.text, len(calls)) == ("Hello", 1)
    assert outcome.attempts == [(1, "mine/m", None)]


async def test_embeddings_and_texts_have_them_too(clock: FakeClock) -> None:
    vectors = {"object": "list", "model": "e", "data": [{"object": "embedding", "index": 0, "embedding": [1.0]}]}
    found: list[Any] = []
    with Endpoint([Reply(json=vectors, delay=600), Reply(json=vectors)]) as endpoint:
        async with AsyncClient(api_base=endpoint.url, hedge=HEDGE) as client, anyio.create_task_group() as group:

            async def embed() -> None:
                found.append(await client.aembedding("openai/e", "Hi"))

            group.start_soon(embed)
            await endpoint.await_silence(1)
            await clock.aadvance(1.1)
    assert [attempt.error for attempt in found[0].attempts] == ["Cancelled", None]


def test_sync_calls_have_them_too() -> None:
    with Endpoint([SLOW, QUICK, SLOW, QUICK]) as endpoint, Client(api_base=endpoint.url, hedge=Hedge(after=0.05)) as client:
        assert client.completion("openai/m", MESSAGES).choices[0].message.content == "quick"
        stream = client.streaming("openai/m", MESSAGES)
        assert "".join(piece.text for piece in stream) == "quick"
        assert [attempt.error for attempt in stream.attempts] == ["Cancelled", None]


# What goes wrong.


@pytest.mark.parametrize("way", WAYS)
async def test_where_the_first_one_fails_the_second_goes_on(way: str, clock: FakeClock) -> None:
    late_error = Reply(status=503, json={"error": {"message": "busy"}}, delay=2)
    with Endpoint([late_error, Reply(text="second", delay=2)]) as endpoint:
        async with AsyncClient(api_base=endpoint.url, hedge=HEDGE) as client, asked(client, way) as outcome:
            await endpoint.await_silence(1)
            await clock.aadvance(1.1)
            await endpoint.await_silence(2)
            await clock.aadvance(1.0)
            await endpoint.await_closed(endpoint.requests[0])
            await clock.aadvance(1.0)
        assert len(endpoint.requests) == 2
    assert outcome.text == "second"
    assert outcome.attempts == [(1, "openai/m", "ServiceUnavailableError"), (2, "openai/m", None)]


@pytest.mark.parametrize("way", WAYS)
async def test_where_the_second_one_fails_the_first_goes_on(way: str, clock: FakeClock) -> None:
    with Endpoint([Reply(text="first", delay=3), BUSY]) as endpoint:
        async with AsyncClient(api_base=endpoint.url, hedge=HEDGE) as client, asked(client, way) as outcome:
            await endpoint.await_silence(1)
            await clock.aadvance(1.1)
            await endpoint.await_until(lambda: len(endpoint.requests) == 2 and endpoint.requests[1].closed.is_set())
            await clock.aadvance(2.0)
    assert outcome.text == "first"
    assert outcome.attempts == [(2, "openai/m", "ServiceUnavailableError"), (1, "openai/m", None)]


@pytest.mark.parametrize("way", WAYS)
async def test_both_failed_is_one_failure_and_the_call_is_tried_again_without_another_hedge(way: str, clock: FakeClock) -> None:
    late_error = Reply(status=503, json={"error": {"message": "busy"}}, headers={"retry-after": "0"}, delay=2)
    with Endpoint([late_error, BUSY, Reply(text="third", delay=5)]) as endpoint:
        async with AsyncClient(api_base=endpoint.url, hedge=HEDGE, num_retries=1) as client, asked(client, way) as outcome:
            await endpoint.await_silence(1)
            await clock.aadvance(1.1)
            await endpoint.await_until(lambda: len(endpoint.requests) == 2 and endpoint.requests[1].closed.is_set())
            await clock.aadvance(1.0)
            await endpoint.await_silence(3)
            await clock.aadvance(6.0)
        assert len(endpoint.requests) == 3
    assert outcome.text == "third"
    assert outcome.attempts == [
        (2, "openai/m", "ServiceUnavailableError"),
        (1, "openai/m", "ServiceUnavailableError"),
        (3, "openai/m", None),
    ]


@pytest.mark.parametrize("way", WAYS)
async def test_the_first_one_s_error_is_raised_and_names_both(way: str, clock: FakeClock) -> None:
    late_error = Reply(status=500, json={"error": {"message": "the first"}}, delay=2)
    other_error = Reply(status=503, json={"error": {"message": "the second"}}, delay=2)
    with Endpoint([late_error, other_error]) as endpoint:
        async with AsyncClient(api_base=endpoint.url, hedge=HEDGE, num_retries=0) as client, asked(client, way) as outcome:
            await endpoint.await_silence(1)
            await clock.aadvance(1.1)
            await endpoint.await_silence(2)
            await clock.aadvance(3.0)
    assert isinstance(outcome.error, tokenwire.InternalServerError)
    assert [name for _, _, name in outcome.attempts] == ["InternalServerError", "ServiceUnavailableError"]


@pytest.mark.parametrize("way", WAYS)
async def test_an_attempt_that_failed_soon_is_tried_again_as_ever_and_that_one_may_be_hedged(
    way: str, clock: FakeClock
) -> None:
    with Endpoint([BUSY, SLOW, QUICK]) as endpoint:
        async with AsyncClient(api_base=endpoint.url, hedge=HEDGE) as client, asked(client, way) as outcome:
            await endpoint.await_silence(2)
            await clock.aadvance(1.1)
    assert outcome.text == "quick"
    assert [(number, name) for number, _, name in outcome.attempts] == [
        (1, "ServiceUnavailableError"),
        (2, "Cancelled"),
        (3, None),
    ]


@pytest.mark.parametrize("way", WAYS)
async def test_a_total_covers_both(way: str, clock: FakeClock) -> None:
    with Endpoint(SLOW) as endpoint:
        async with AsyncClient(api_base=endpoint.url, hedge=HEDGE, timeout=Timeouts(total=5.0)) as client:
            async with asked(client, way) as outcome:
                await endpoint.await_silence(1)
                await clock.aadvance(1.1)
                await endpoint.await_silence(2)
                await clock.aadvance(5.0)
            await endpoint.await_until(lambda: endpoint.open_connections == 0)
    assert isinstance(outcome.error, tokenwire.Timeout)
    assert outcome.error.budget == "total"


async def test_a_stream_cut_after_a_hedge_s_content_is_truncated_and_asked_no_further(clock: FakeClock) -> None:
    with Endpoint([SLOW, Reply(events=["Hel"], done=False, cut="fin")]) as endpoint:
        async with AsyncClient(api_base=endpoint.url, hedge=HEDGE) as client, asked(client, "flat") as outcome:
            await endpoint.await_silence(1)
            await clock.aadvance(1.1)
        assert len(endpoint.requests) == 2
    assert isinstance(outcome.error, tokenwire.StreamTruncatedError)
    assert outcome.text == "Hel"
    assert [name for _, _, name in outcome.attempts] == ["Cancelled", "StreamTruncatedError"]


# Others: fallbacks, handlers, gates.


@pytest.mark.parametrize("way", WAYS)
async def test_the_next_of_the_fallbacks_may_be_the_second(way: str, clock: FakeClock) -> None:
    def script(request: Received) -> Reply:
        return SLOW if request.json()["model"] == "m" else QUICK

    keywords = {"hedge": Hedge(after=1.0, to="next"), "fallbacks": ["openai/small", "openai/smaller"]}
    with Endpoint(script) as endpoint:
        async with AsyncClient(api_base=endpoint.url, **keywords) as client, asked(client, way) as outcome:
            await endpoint.await_silence(1)
            await clock.aadvance(1.1)
    assert outcome.text == "quick"
    assert outcome.attempts == [(1, "openai/m", "Cancelled"), (2, "openai/small", None)]
    if way == "whole":
        assert outcome.response._hidden_params["custom_llm_provider"] == "openai"


async def test_a_fallback_that_failed_as_a_hedge_is_asked_again_when_its_turn_has_come(clock: FakeClock) -> None:
    late_error = Reply(status=500, json={"error": {"message": "broken"}}, delay=2)
    keywords: Any = {"hedge": Hedge(after=1.0, to="next"), "fallbacks": ["openai/small"], "num_retries": 0}
    with Endpoint([late_error, BUSY, QUICK]) as endpoint:
        async with AsyncClient(api_base=endpoint.url, **keywords) as client, asked(client, "whole") as outcome:
            await endpoint.await_silence(1)
            await clock.aadvance(1.1)
            await endpoint.await_until(lambda: len(endpoint.requests) == 2 and endpoint.requests[1].closed.is_set())
            await clock.aadvance(1.0)
    assert outcome.attempts == [
        (2, "openai/small", "ServiceUnavailableError"),
        (1, "openai/m", "InternalServerError"),
        (3, "openai/small", None),
    ]


class Slow(CustomLLM):
    """A handler whose first call never ends; it knows which of its calls have been left."""

    def __init__(self) -> None:
        self.calls = self.left = 0

    async def acompletion(self, *args: Any, model_response: Any, **keywords: Any) -> Any:
        self.calls += 1
        try:
            if self.calls == 1:
                await anyio.sleep_forever()
        finally:
            self.left += 1
        model_response.choices[0].message.content = "quick"
        return model_response

    async def astreaming(self, *args: Any, **keywords: Any) -> AsyncIterator[str]:  # type: ignore[override]
        self.calls += 1
        try:
            if self.calls == 1:
                await anyio.sleep_forever()
            yield "quick"
        finally:
            self.left += 1


@pytest.mark.parametrize("way", WAYS)
async def test_a_handler_s_call_is_cancelled_and_its_finally_blocks_run(way: str, clock: FakeClock) -> None:
    handler = Slow()
    async with AsyncClient(handlers={"mine": handler}, hedge=HEDGE) as client:
        async with asked(client, way, model="mine/m") as outcome:
            await clock.aadvance(1.1)
    assert (outcome.text, handler.calls, handler.left) == ("quick", 2, 2)
    assert [name for _, _, name in outcome.attempts] == ["Cancelled", None]


class Stubborn(CustomLLM):
    """A handler whose calls answer when they are cancelled. One of the two is the slower."""

    def __init__(self, slower: int) -> None:
        self.slower, self.calls = slower, 0

    async def _said(self) -> str:
        self.calls += 1
        number = self.calls
        try:
            await anyio.sleep(600 if number == self.slower else 2)
        except BaseException:  # noqa: BLE001  (so some handlers are)
            return "cancelled"
        return f"answer {number}"

    async def acompletion(self, *args: Any, **keywords: Any) -> Any:
        return await self._said()

    async def astreaming(self, *args: Any, **keywords: Any) -> AsyncIterator[str]:  # type: ignore[override]
        yield await self._said()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("slower, said", [(1, "answer 2"), (2, "answer 1")])
async def test_who_answers_only_when_cancelled_does_not_win(slower: int, said: str, way: str, clock: FakeClock) -> None:
    async with AsyncClient(handlers={"mine": Stubborn(slower)}, hedge=HEDGE) as client:
        async with asked(client, way, model="mine/m") as outcome:
            await clock.aadvance(1.1)
            await clock.aadvance(2.1)
    assert outcome.text == said
    assert [(number, name) for number, _, name in outcome.attempts] == [(slower, "Cancelled"), (3 - slower, None)]


@pytest.mark.parametrize("way", WAYS)
async def test_it_takes_a_place_of_its_own_at_the_gate(way: str, clock: FakeClock) -> None:
    gate = Gate(max_concurrency=2)
    with Endpoint([SLOW, Reply(text="quick", delay=1)]) as endpoint:
        async with AsyncClient(api_base=endpoint.url, gate=gate, hedge=HEDGE) as client:
            async with asked(client, way) as outcome:
                await endpoint.await_silence(1)
                assert gate.stats.in_flight == 1
                await clock.aadvance(1.1)
                await endpoint.await_silence(2)
                assert gate.stats.in_flight == 2
                await clock.aadvance(1.1)
    assert outcome.text == "quick"
    assert (gate.stats.in_flight, gate.stats.waiting) == (0, 0)


@pytest.mark.parametrize("way", WAYS)
async def test_where_the_gate_has_no_place_there_is_none_and_it_counts_for_nothing(way: str, clock: FakeClock) -> None:
    gate = Gate(max_concurrency=1)
    with Endpoint(Reply(text="first", delay=2)) as endpoint:
        async with AsyncClient(api_base=endpoint.url, gate=gate, hedge=HEDGE) as client:
            for number in range(ALWAYS + 2):
                async with asked(client, way) as outcome:
                    await endpoint.await_silence(number + 1)
                    await clock.aadvance(1.1)
                    assert (gate.stats.in_flight, gate.stats.waiting) == (1, 1)
                    await clock.aadvance(1.1)
                assert outcome.attempts == [(1, "openai/m", None)]
            assert (gate.stats.in_flight, gate.stats.waiting) == (0, 0)


async def test_the_tokens_of_a_loser_are_listed_where_they_are_known(clock: FakeClock) -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": 0, "total_tokens": 7}
    first = Reply(events=[chunk(role="assistant", usage=usage)], done=False, stall=True)
    with Endpoint([first, QUICK]) as endpoint:
        async with AsyncClient(api_base=endpoint.url, hedge=HEDGE) as client, asked(client, "flat") as outcome:
            await endpoint.await_silence(1)
            await clock.aadvance(1.1)
    loser, winner = outcome.response.attempts
    assert (loser.usage.prompt_tokens, winner.usage) == (7, None)


async def test_the_log_says_what_became_of_each(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    keywords: Any = {"hedge": Hedge(after=1.0, to="next"), "fallbacks": ["openai/small"]}
    with caplog.at_level(logging.DEBUG, "tokenwire"), Endpoint([SLOW, QUICK]) as endpoint:
        async with AsyncClient(api_base=endpoint.url, **keywords) as client, asked(client, "whole"):
            await endpoint.await_silence(1)
            await clock.aadvance(1.1)
    lines = [record.getMessage().partition(", ")[2] for record in caplog.records]
    assert [line.partition(" after")[0].partition(", POST")[0] for line in lines] == [
        "openai/m: attempt 1",
        "openai/small: attempt 2",
        "openai/m: attempt 1 cancelled",
        "openai/small: complete",
    ]


# How many.


@pytest.fixture
def slow_at_first() -> Callable[[Received], Reply]:
    """A script: each user's first request is answered late, the second at once."""
    seen: set[str] = set()

    def script(request: Received) -> Reply:
        user = request.json()["user"]
        if user in seen:
            return QUICK
        seen.add(user)
        return Reply(text="slow", delay=3)

    return script


async def test_ten_in_a_minute_and_again_in_the_next(clock: FakeClock, slow_at_first: Callable[[Received], Reply]) -> None:
    outcomes = [Outcome() for _ in range(32)]
    with Endpoint(slow_at_first) as endpoint:
        async with AsyncClient(api_base=endpoint.url, hedge=Hedge(after=1.0, max_share=0.0)) as client:
            for half in (outcomes[:16], outcomes[16:]):
                async with anyio.create_task_group() as group:
                    for outcome in half:
                        group.start_soon(lambda outcome=outcome: ask(client, "whole", outcome, user=str(id(outcome))))
                    await clock.aadvance(0)
                    await endpoint.await_silence(16)
                    await clock.aadvance(1.1)
                    await clock.aadvance(3)
                assert sum(len(outcome.attempts) for outcome in half) == 16 + ALWAYS
                await clock.aadvance(WINDOW)
    assert len(endpoint.requests) == 32 + 2 * ALWAYS


async def test_each_target_has_a_share_of_its_own(clock: FakeClock, slow_at_first: Callable[[Received], Reply]) -> None:
    outcomes = [Outcome() for _ in range(30)]
    with Endpoint(slow_at_first) as endpoint:
        async with AsyncClient(api_base=endpoint.url, hedge=Hedge(after=1.0, max_share=0.0)) as client:
            async with anyio.create_task_group() as group:
                for number, outcome in enumerate(outcomes):
                    model = f"openai/{number % 2}"
                    group.start_soon(
                        lambda outcome=outcome, model=model: ask(client, "whole", outcome, model, user=str(id(outcome)))
                    )
                await clock.aadvance(0)
                await endpoint.await_silence(30)
                await clock.aadvance(1.1)
                await clock.aadvance(3)
    assert sum(len(outcome.attempts) for outcome in outcomes) == 30 + 2 * ALWAYS


async def test_p95_waits_for_a_hundred_and_then_for_as_long_as_most_of_them_took(clock: FakeClock) -> None:
    delays = itertools.chain((0.01 * number for number in range(1, 101)), (600.0, 0.0))
    with Endpoint(lambda _: Reply(text="Hello", delay=next(delays))) as endpoint:
        async with AsyncClient(api_base=endpoint.url, hedge=Hedge(), timeout=Timeouts(first_content=700)) as client:
            async with anyio.create_task_group() as group:
                for _ in range(100):
                    group.start_soon(client.acompletion, "openai/m", MESSAGES)
                await clock.aadvance(0)
                await endpoint.await_silence(100)
                await clock.aadvance(1.01)
            assert len(endpoint.requests) == 100
            async with asked(client, "whole") as outcome:
                await endpoint.await_silence(101)
                await clock.aadvance(0.9)
                assert len(endpoint.requests) == 101
                await clock.aadvance(0.1)
                await endpoint.await_until(lambda: len(endpoint.requests) == 102)
    assert [name for _, _, name in outcome.attempts] == ["Cancelled", None]


@pytest.mark.parametrize("way", WAYS)
async def test_p95_counts_losers_for_as_long_as_they_took(
    way: str, clock: FakeClock, slow_at_first: Callable[[Received], Reply]
) -> None:
    """Else the slow ones would drop out, and each p95 be shorter than the one before."""
    with Endpoint(slow_at_first) as endpoint:
        async with AsyncClient(api_base=endpoint.url, timeout=Timeouts(first_content=700)) as client:
            outcomes = [Outcome() for _ in range(50)]
            async with anyio.create_task_group() as group:
                for number, outcome in enumerate(outcomes):
                    keywords: Any = {"hedge": Hedge(after=1.0, max_share=1.0), "user": str(number)}
                    group.start_soon(lambda outcome=outcome, keywords=keywords: ask(client, way, outcome, **keywords))
                await clock.aadvance(0)
                await endpoint.await_silence(50)
                await clock.aadvance(1.1)
            assert len(endpoint.requests) == 100
            async with asked(client, way, hedge=Hedge(max_share=1.0), user="last") as outcome:
                await endpoint.await_silence(101)
                await clock.aadvance(0.9)
                assert len(endpoint.requests) == 101
                await clock.aadvance(0.3)
                await endpoint.await_until(lambda: len(endpoint.requests) == 102)
    assert [name for _, _, name in outcome.attempts] == ["Cancelled", None]


@given(
    st.lists(st.tuples(st.sampled_from(["call", "hedge", "drop"]), st.floats(0, 30)), max_size=200),
    st.sampled_from([0.0, 0.1, 0.5, 1.0]),
)
def test_no_minute_has_more_hedges_than_the_share_allows(steps: list[tuple[str, float]], share: float) -> None:
    """Against a model that remembers everything: what counts is in the last minute; calls may be counted a second longer or less."""
    hedges, hedge, moment = Hedges(), Hedge(after=1.0, max_share=share), 1000.0
    calls: list[float] = []
    taken: list[float] = []
    for what, pause in steps:
        moment += pause
        recent = [at for at in taken if at > moment - WINDOW]
        if what == "call":
            hedges.called("t", moment)
            calls.append(moment)
        elif what == "drop" and recent and recent[-1] == taken[-1]:
            hedges.take_back("t")
            taken.pop()
        elif what == "hedge":
            least = sum(at > moment - WINDOW + 1 for at in calls)
            most = sum(at > moment - WINDOW for at in calls)
            allowed = hedges.acquire("t", hedge, moment)
            if allowed:
                assert calls
                assert len(recent) + 1 <= max(ALWAYS, share * most)
                taken.append(moment)
            elif calls:
                assert len(recent) + 1 > max(ALWAYS, share * least)


@settings(max_examples=30)
@given(st.lists(st.floats(0, 100), min_size=100, max_size=700))
def test_p95_is_that_of_the_latest(durations: list[float]) -> None:
    hedges = Hedges()
    hedges.called("t", 0.0)
    for number, seconds in enumerate(durations):
        assert hedges.delay("other", Hedge()) is None
        assert (hedges.delay("t", Hedge()) is None) == (number < 100)
        hedges.answered("t", seconds)
    latest = sorted(durations[-500:])
    assert hedges.delay("t", Hedge()) == latest[math.ceil(len(latest) * 0.95) - 1]


def test_a_client_remembers_a_bounded_number_of_targets() -> None:
    hedges = Hedges()
    for number in range(1500):
        hedges.called("kept", float(number))
        hedges.called(str(number), float(number))
    assert len(hedges._known) == 1000
    assert hedges.acquire("kept", HEDGE, 1500.0)
    assert not hedges.acquire("0", HEDGE, 1500.0)


# Arguments.


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Hedge(after=0), "hedge.after must be a number of seconds above 0"),
        (lambda: Hedge(after=-1), "not -1"),
        (lambda: Hedge(after=True), "not True"),
        (lambda: Hedge(after=float("nan")), "not nan"),
        (lambda: Hedge(after=float("inf")), "not inf"),
        (lambda: Hedge(after="p99"), "or \"p95\", not 'p99'"),  # pyright: ignore[reportArgumentType]
        (lambda: Hedge(max_share=1.5), "hedge.max_share must be a share of the calls, 0 to 1, not 1.5"),
        (lambda: Hedge(max_share="a"), "not 'a'"),  # pyright: ignore[reportArgumentType]
        (lambda: Hedge(to="other"), 'hedge.to must be "same" or "next", not \'other\''),  # pyright: ignore[reportArgumentType]
    ],
)
def test_nonsense_is_refused(make: Callable[[], Hedge], message: str) -> None:
    with pytest.raises(tokenwire.BadRequestError, match=message) as caught:
        make()
    assert (caught.value.param, caught.value.fault) == ("hedge", "caller")


@pytest.mark.parametrize(
    "keywords, message",
    [
        ({"hedge": 0.3}, "hedge must be a tokenwire.Hedge"),
        ({"hedge": True}, "hedge must be a tokenwire.Hedge"),
        (
            {"hedge": HEDGE, "timeout": 1.0},
            r"hedge.after must be less than timeout.first_content, which is 1 s, not 1.0 s",
        ),
        ({"hedge": HEDGE, "timeout": Timeouts(total=0.5)}, "timeout.total, which is 0.5 s"),
        ({"hedge": Hedge(to="next")}, 'hedge.to is "next", the next of the fallbacks, and the call has none'),
        (
            {"hedge": HEDGE, "fallbacks": [{"model": "openai/b", "timeout": 0.5}]},
            r"fallbacks\[0\]: hedge.after must be less than timeout.first_content",
        ),
    ],
)
async def test_a_hedge_that_can_t_be_is_refused_before_anything_is_sent(keywords: Any, message: str) -> None:
    with Endpoint(QUICK) as endpoint:
        for call in (tokenwire.acompletion, tokenwire.astreaming):
            with pytest.raises(tokenwire.BadRequestError, match=message) as caught:
                await call("openai/m", MESSAGES, api_base=endpoint.url, **keywords)  # pyright: ignore[reportGeneralTypeIssues]
            assert caught.value.fault == "caller"
        assert endpoint.requests == []


async def test_a_call_may_do_without_its_client_s(clock: FakeClock) -> None:
    with Endpoint(Reply(text="first", delay=2)) as endpoint:
        async with AsyncClient(api_base=endpoint.url, hedge=HEDGE) as client, asked(client, "whole", hedge=False) as outcome:
            await endpoint.await_silence(1)
            await clock.aadvance(2.1)
    assert outcome.attempts == [(1, "openai/m", None)]
    assert "hedge" not in endpoint.requests[0].json()


async def test_p95_does_not_begin_after_the_deadline(clock: FakeClock) -> None:
    with Endpoint(Reply(text="Hello", delay=2)) as endpoint:
        async with AsyncClient(api_base=endpoint.url, hedge=Hedge()) as client:
            async with anyio.create_task_group() as group:
                for _ in range(100):
                    group.start_soon(client.acompletion, "openai/m", MESSAGES)
                await clock.aadvance(0)
                await endpoint.await_silence(100)
                await clock.aadvance(2.1)
            async with asked(client, "whole", timeout=Timeouts(total=1.5)) as outcome:
                await endpoint.await_silence(101)
                await clock.aadvance(2.1)
        assert len(endpoint.requests) == 101
    assert isinstance(outcome.error, tokenwire.Timeout)


# Cancelled and closed.

USERS = map(str, itertools.count())


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("faster", ["first", "second"])
async def test_a_hedged_call_cancelled_anywhere(way: str, faster: str) -> None:
    """At each of its own waits: in the race, as one of the two is released, and after it."""
    seen: set[str] = set()

    def script(request: Received) -> Reply:
        is_first = request.json()["user"] not in seen
        seen.add(request.json()["user"])
        if is_first == (faster == "first"):
            return Reply(text="Hello", delay=0.02, first_delay=0.002, event_delay=0.001)
        return Reply(events=[chunk(role="assistant")], done=False, stall=True) if way != "whole" else SLOW

    async def operation() -> None:
        outcomes.append(Outcome())
        await ask(client, way, outcomes[-1], user=next(USERS))

    async def look(place: int) -> None:
        stats = transport.stats
        assert (stats.open, stats.idle, stats.waiting) in ((0, 0, 0), (1, 1, 0)), f"at wait {place}"
        await endpoint.await_until(lambda: endpoint.open_connections == stats.open)
        assert len(anyio.get_running_tasks()) == tasks, f"at wait {place}"
        assert (gate.stats.in_flight, gate.stats.waiting) == (0, 0), f"at wait {place}"

    outcomes: list[Outcome] = []
    transport, gate = HTTPTransport(), Gate(max_concurrency=9)
    with Endpoint(script) as endpoint:
        async with AsyncClient(
            transport=transport, api_base=endpoint.url, api_key="none", gate=gate, hedge=Hedge(after=0.003, max_share=1.0)
        ) as client:
            tasks = len(anyio.get_running_tasks())
            with anyio.fail_after(60):
                assert await cancelled_everywhere(operation, look) >= 3
    assert outcomes[-1].text == "Hello"
    assert len(endpoint.requests) > len(seen)  # there were races


async def test_a_hedged_stream_closed_anywhere() -> None:
    kept: list[Any] = []

    def operation() -> Any:
        stream = client.astreaming("openai/m", MESSAGES)
        kept.append(stream)

        async def read() -> None:
            try:
                await anext(stream)
            except tokenwire.StreamClosedError:
                pass

        return read(), stream.aclose

    async def look(place: int) -> None:
        if kept[-1].outcome is None:  # it was read before it could be closed
            await kept[-1].aclose()
        assert kept[-1].outcome == "cancelled"
        stats = transport.stats
        assert (stats.open, stats.waiting) == (stats.idle, 0), f"closed after wait {place}"
        await endpoint.await_until(lambda: endpoint.open_connections == 0)

    stalled = Reply(events=[chunk(role="assistant")], done=False, stall=True)
    turns = itertools.cycle([stalled, Reply(events=["Hello"], done=False, stall=True, delay=0.002)])
    transport = HTTPTransport(max_keepalive=0)
    with Endpoint(lambda _: next(turns)) as endpoint:
        async with AsyncClient(
            transport=transport, api_base=endpoint.url, api_key="none", hedge=Hedge(after=0.005, max_share=1.0)
        ) as client:
            with anyio.fail_after(60):
                assert await closed_everywhere(operation, look) >= 2


async def test_a_stream_closed_while_two_attempts_run(clock: FakeClock) -> None:
    with Endpoint(SLOW) as endpoint:
        async with AsyncClient(api_base=endpoint.url, hedge=HEDGE) as client:
            stream = client.astreaming("openai/m", MESSAGES)

            async def read() -> None:
                with pytest.raises(tokenwire.StreamClosedError):
                    await anext(stream)

            async with anyio.create_task_group() as group:
                group.start_soon(read)
                await endpoint.await_silence(1)
                await clock.aadvance(1.1)
                await endpoint.await_silence(2)
                await stream.aclose()
            assert client.stats is not None
            assert (client.stats.open, stream.outcome) == (0, "cancelled")
            await endpoint.await_until(lambda: endpoint.open_connections == 0)


async def test_a_mistake_in_a_second_attempt_is_no_failure_to_hide(clock: FakeClock) -> None:
    async def waits(messages: Any, **_: Any) -> str:
        await anyio.sleep(600)
        return "late"

    with Endpoint(QUICK) as endpoint:
        other = {"model": "openai/m", "api_base": endpoint.url}
        client = AsyncClient(handlers={"mine": waits}, hedge=Hedge(after=1.0, to="next"), fallbacks=[other])

        async def call() -> None:
            with pytest.raises(RuntimeError, match="this client is closed"):
                await client.acompletion("mine/m", MESSAGES)

        async with anyio.create_task_group() as group:
            group.start_soon(call)
            await clock.aadvance(0)
            await client.aclose()
            await clock.aadvance(1.1)
        assert endpoint.requests == []
