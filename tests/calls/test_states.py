"""The table of a stream's states, walked; and that streams go no other way."""

from itertools import product
from typing import Any

import anyio
import pytest

import tokenwire
from tokenwire import StreamClosedError, StreamTruncatedError, Timeouts
from tokenwire._calls import streamed
from tokenwire._calls.states import ENDINGS, TRANSITIONS, IllegalTransition, StreamState, checked
from tokenwire.testing import Endpoint, Reply, chunks

S = StreamState
MESSAGES = [{"role": "user", "content": "Hi"}]
BUSY = Reply(status=503, headers={"retry-after": "0"})
STALLED = Reply(events=["a"], done=False, stall=True)


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> list[StreamState]:
    """The states that streams come to in a test, in order."""
    seen: list[StreamState] = []

    def check(before: StreamState, after: StreamState) -> StreamState:
        seen.append(checked(before, after))
        return after

    monkeypatch.setattr(streamed, "checked", check)
    return seen


def test_every_state_has_its_row() -> None:
    assert TRANSITIONS.keys() == set(StreamState)


def test_what_has_ended_stays_so() -> None:
    assert {state for state in StreamState if not TRANSITIONS[state]} == ENDINGS


def test_every_state_is_reached_and_every_ending_from_each_that_may_come_before() -> None:
    reached = {S.OPENING}.union(*TRANSITIONS.values())
    assert reached == set(StreamState)
    assert all(TRANSITIONS[state] >= ENDINGS for state in (S.HELD, S.COMMITTED))
    assert S.COMPLETE not in TRANSITIONS[S.OPENING]


@pytest.mark.parametrize("before, after", list(product(StreamState, StreamState)), ids=lambda state: state.value)
def test_only_what_the_table_has_can_happen(before: StreamState, after: StreamState) -> None:
    if after in TRANSITIONS[before]:
        assert checked(before, after) is after
    else:
        with pytest.raises(IllegalTransition, match=f"{before.value} can't become {after.value}"):
            checked(before, after)


def test_nothing_is_tried_again_after_the_first_content() -> None:
    assert S.OPENING not in TRANSITIONS[S.COMMITTED]
    assert S.HELD not in TRANSITIONS[S.COMMITTED]


async def read(script: Any, **keywords: Any) -> Any:
    with Endpoint(script) as endpoint:
        stream = tokenwire.astreaming("openai/m", MESSAGES, api_base=endpoint.url, **keywords)
        try:
            async for _ in stream:
                pass
        except tokenwire.TokenwireError:
            pass
    return stream


@pytest.mark.anyio
@pytest.mark.parametrize(
    "script, keywords, way",
    [
        (Reply(events=chunks("Hi")), {}, [S.HELD, S.COMMITTED, S.COMPLETE]),
        (Reply(events=chunks("")), {}, [S.HELD, S.COMPLETE]),
        ([BUSY, Reply(events=chunks("Hi"))], {}, [S.HELD, S.COMMITTED, S.COMPLETE]),
        ([Reply(events=[], cut="fin", done=False), Reply(events=chunks("Hi"))], {}, None),
        (BUSY, {"num_retries": 0}, [S.ERROR]),
        (Reply(events=["a"], done=False, cut="fin"), {}, [S.HELD, S.COMMITTED, S.TRUNCATED]),
        (STALLED, {"timeout": Timeouts(idle=0.05)}, [S.HELD, S.COMMITTED, S.ERROR]),
    ],
    ids=["complete", "empty", "retried", "retried when held", "refused", "truncated", "stalled"],
)
async def test_the_ways_of_streams(script: Any, keywords: Any, way: list[StreamState] | None, ways: list[StreamState]) -> None:
    stream = await read(script, **keywords)
    if way is None:  # how long the empty attempt held depends on its bytes
        way = [S.HELD, S.OPENING, S.HELD, S.COMMITTED, S.COMPLETE]
    assert ways == way
    assert stream.outcome == way[-1].value


@pytest.mark.anyio
async def test_leaving_early(ways: list[StreamState]) -> None:
    with Endpoint(STALLED) as endpoint:
        async with tokenwire.astreaming("openai/m", MESSAGES, api_base=endpoint.url) as stream:
            await anext(stream)
        async with tokenwire.astreaming("openai/m", MESSAGES, api_base=endpoint.url):
            pass
    assert ways == [S.HELD, S.COMMITTED, S.CANCELLED, S.CANCELLED]


@pytest.mark.anyio
@pytest.mark.parametrize("reply", [Reply(delay=60), STALLED], ids=["opening", "committed"])
async def test_closing_from_another_task_ends_it_once(reply: Reply, ways: list[StreamState]) -> None:
    with Endpoint(reply) as endpoint:
        stream = tokenwire.astreaming("openai/m", MESSAGES, api_base=endpoint.url)

        async def iterate() -> None:
            with pytest.raises(StreamClosedError):
                async for _ in stream:
                    pass

        async with anyio.create_task_group() as group:
            group.start_soon(iterate)
            await endpoint.await_silence()
            await stream.aclose()
    assert ways[-1] is S.CANCELLED
    assert ways.count(S.CANCELLED) == 1


@pytest.mark.anyio
async def test_a_handler_that_says_truncated_before_any_content(
    ways: list[StreamState], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cut(**_: Any) -> str:
        raise StreamTruncatedError("cut")

    monkeypatch.setattr(tokenwire, "custom_provider_map", [{"provider": "mine", "custom_handler": cut}])
    stream = tokenwire.astreaming("mine/m", MESSAGES)
    with pytest.raises(StreamTruncatedError):
        await anext(stream)
    assert ways == [S.TRUNCATED]
