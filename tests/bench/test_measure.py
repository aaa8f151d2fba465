"""What is measured of a run, where it is known: an endpoint that answers by a clock under control."""

from typing import Any

import anyio
import pytest

from tokenwire import AsyncClient
from tokenwire.bench import prompts
from tokenwire.bench.load import Load, Run
from tokenwire.bench.measure import asking
from tokenwire.bench.summary import summary
from tokenwire.testing import Endpoint, FakeClock, Received, Reply, chunk, completion, event

from ..conftest import LOOPS

pytestmark = pytest.mark.anyio

one_loop = pytest.mark.parametrize("anyio_backend", LOOPS[:1])
USAGE = chunk(usage={"prompt_tokens": 9, "completion_tokens": 21, "total_tokens": 30}) | {"choices": []}
ROLE, END = chunk("", role="assistant"), chunk(finish_reason="stop")

# The role after 0.2 s, then something each 0.1 s: reasoning, two texts, the end, the usage, and [DONE].
REPLY = Reply(events=[ROLE, chunk(reasoning_content="hm"), "a", "b", END, USAGE], first_delay=0.2, event_delay=0.1)


async def measured(clock: FakeClock, endpoint: Endpoint, load: Load, seconds: float, **params: Any) -> Run:
    """A run, while so many seconds pass."""
    async with AsyncClient(api_base=endpoint.url, api_key="none", num_retries=0) as client:
        run = Run(asking(client, "openai/m", prompts.made(4, 0), **params), load)
        async with anyio.create_task_group() as group:
            group.start_soon(run.run)
            await endpoint.await_silence()
            await clock.aadvance(seconds)
        return run


async def test_one_stream(clock: FakeClock) -> None:
    with Endpoint(REPLY) as endpoint:
        run = await measured(clock, endpoint, Load(concurrency=1, requests=1), 1.0, max_tokens=7)
        (asked,) = [request.json() for request in endpoint.requests]
    assert (asked["max_tokens"], asked["stream_options"]) == (7, {"include_usage": True})
    (record,) = run.records
    assert (record.outcome, record.finish_reason, record.chunks) == ("ok", "stop", 6)
    assert (record.input_tokens, record.output_tokens, record.tokens) == (9, 21, 21)
    times = [record.ttfc, record.ttft, record.ttfo, record.tpot, record.e2el]
    assert times == pytest.approx([0.2, 0.3, 0.4, 0.2 / 20, 0.8])
    assert record.intervals == pytest.approx([0.1, 0.1])
    assert record.queued == pytest.approx(0)


@one_loop
async def test_a_tool_call_is_output_and_an_answer_without_usage_counts_its_chunks(clock: FakeClock) -> None:
    call = {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}
    more = {"index": 0, "function": {"arguments": "{}"}}
    reply = Reply(events=[ROLE, chunk(tool_calls=[call]), chunk(tool_calls=[more]), END], event_delay=0.5)
    with Endpoint(reply) as endpoint:
        run = await measured(clock, endpoint, Load(concurrency=1, requests=1), 3)
    (record,) = run.records
    assert (record.output_tokens, record.tokens) == (None, 2)
    assert [record.ttft, record.ttfo, record.tpot] == pytest.approx([0.5, 0.5, 0.5])
    assert summary(run, {}).tokens_from == "chunks"


@one_loop
async def test_so_many_at_once(clock: FakeClock) -> None:
    with Endpoint(REPLY) as endpoint:
        run = await measured(clock, endpoint, Load(concurrency=2, requests=4), 2)
        texts = [request.json()["messages"][0]["content"] for request in endpoint.requests]
    assert [text.split()[0] for text in texts] == ["0", "1", "2", "3"]
    assert {len(text.split()) for text in texts} == {4}
    found = summary(run, {"ttft": 299, "e2el": 801})
    assert (found.ok, found.peak_concurrency, found.tokens_from, found.complete) == (4, 2, "usage", True)
    assert [found.duration, found.requests_per_second, found.tokens_per_second] == pytest.approx([1.6, 2.5, 52.5])
    assert found.goodput == 0
    assert summary(run, {"ttft": 301, "tpot": 11, "e2el": 801}).goodput == pytest.approx(2.5)
    assert {name: spread.median for name, spread in found.times.items()} == pytest.approx(
        {"ttfc": 200, "ttft": 300, "ttfo": 400, "tpot": 10, "itl": 100, "e2el": 800}
    )
    assert found.times["itl"].count == 8


@one_loop
async def test_a_duration_ends_what_is_begun_and_waits_for_the_rest(clock: FakeClock) -> None:
    with Endpoint(REPLY) as endpoint:
        run = await measured(clock, endpoint, Load(concurrency=1, duration=1.0), 2)
    assert [record.outcome for record in run.records] == ["ok", "ok"]
    assert run.seconds == pytest.approx(1.6)


@one_loop
async def test_a_rate_and_the_time_from_schedule(clock: FakeClock) -> None:
    load = Load(rate=2, arrivals="constant", concurrency=1, requests=4)
    with Endpoint(REPLY) as endpoint:
        run = await measured(clock, endpoint, load, 4)
    assert [record.queued for record in run.records] == pytest.approx([0, 0.3, 0.6, 0.9])
    assert [record.e2el for record in run.records] == pytest.approx([0.8] * 4)
    times = summary(run, {}).times
    assert times["client_queue_time"].mean == pytest.approx(450)
    assert times["e2el_including_client_queue"].percentiles[-1] == pytest.approx(1691)  # of 800, 1100, 1400, 1700
    assert times["ttft_including_client_queue"].median == pytest.approx(750)


@one_loop
async def test_without_a_bound_a_rate_does_not_wait(clock: FakeClock) -> None:
    with Endpoint(REPLY) as endpoint:
        run = await measured(clock, endpoint, Load(rate=10, arrivals="constant", duration=0.45), 2)
    assert [record.sent - run.started for record in run.records] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert summary(run, {}).peak_concurrency == 5


@one_loop
async def test_every_end_is_counted(clock: FakeClock) -> None:
    replies = [
        REPLY,
        Reply(text="Hello there", cut="fin", after=3),
        Reply(status=429, json={"error": {"message": "slow down"}}),
        Reply(status=500, body=b""),
        Reply(status=429, json={"error": {"message": "slower"}}),
        Reply(text="Hello there", stall=True, after=3),
    ]
    with Endpoint(replies) as endpoint:
        async with AsyncClient(api_base=endpoint.url, api_key="none", num_retries=0) as client:
            run = Run(asking(client, "openai/m", prompts.made(4, 0)), Load(concurrency=1, requests=6))
            async with anyio.create_task_group() as group:
                group.start_soon(run.run)
                await endpoint.await_silence()
                await clock.aadvance(2)
                await endpoint.await_silence(6)
                run.stop()
    found = summary(run, {})
    assert (found.ok, found.truncated, found.cancelled) == (1, 1, 1)
    assert found.failed == {"RateLimitError": 2, "InternalServerError": 1}
    assert "slow down" in found.messages["RateLimitError"]
    assert found.stopped
    assert not found.complete
    assert run.under_way == {}
    assert {name: spread.count for name, spread in found.times.items()} == dict.fromkeys(
        ("ttfc", "ttft", "ttfo", "tpot", "e2el"), 1
    ) | {"itl": 2}  # of the one that is ok


@one_loop
async def test_a_stop_before_anything_was_sent(clock: FakeClock) -> None:
    with Endpoint(REPLY) as endpoint:
        async with AsyncClient(api_base=endpoint.url, api_key="none") as client:
            run = Run(asking(client, "openai/m", prompts.made(4, 0)), Load(concurrency=3))
            run.stop()
            await run.run()
    found = summary(run, {"ttft": 1})
    assert (found.requests, found.goodput, found.tokens_from, found.times) == (0, 0, "nobody", {})


@one_loop
@pytest.mark.parametrize("model", ["anthropic/m", "responses/m", "text-completion-openai/m", "openai/responses/m"])
async def test_every_dialect_is_measured(model: str) -> None:
    with Endpoint(answer) as endpoint:
        async with AsyncClient(api_base=endpoint.url, api_key="none", num_retries=0) as client:
            run = Run(asking(client, model, prompts.made(4, 0), max_tokens=5), Load(concurrency=1, requests=1))
            await run.run()
    (record,) = run.records
    assert (record.outcome, record.output_tokens, len(record.arrivals)) == ("ok", 7, 2)


def answer(request: Received) -> Reply:
    """Two pieces of text and the usage, in the dialect that was asked."""
    if request.path.endswith("/messages"):
        start = {"id": "a", "type": "message", "role": "assistant", "content": [], "model": "m", "usage": {"input_tokens": 3}}
        return Reply(done=False, events=[named(each) for each in (
            {"type": "message_start", "message": start},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "b"}},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}},
            {"type": "message_stop"},
        )])  # fmt: skip
    if request.path.endswith("/responses"):
        body = {"id": "a", "object": "response", "created_at": 1, "status": "completed", "model": "m", "output": []}
        usage = {"input_tokens": 3, "output_tokens": 7, "total_tokens": 10}
        delta = {"type": "response.output_text.delta", "item_id": "b", "output_index": 0, "content_index": 0}
        return Reply(done=False, events=[named(each) for each in (
            {"type": "response.created", "response": body | {"status": "in_progress"}},
            {**delta, "delta": "a"},
            {**delta, "delta": "b"},
            {"type": "response.completed", "response": body | {"usage": usage}},
        )])  # fmt: skip
    text = {"id": "a", "object": "text_completion", "created": 1, "model": "m"}
    pieces = [{**text, "choices": [{"index": 0, "text": piece, "finish_reason": None}]} for piece in "ab"]
    end = {**text, "choices": [{"index": 0, "text": "", "finish_reason": "stop"}]}
    return Reply(events=[*pieces, end, {**text, "choices": [], "usage": {"completion_tokens": 7}}])


def named(data: dict[str, Any]) -> bytes:
    return event(data, data["type"])


@one_loop
async def test_an_answer_that_is_not_streamed(clock: FakeClock) -> None:
    with Endpoint(Reply(json=completion("Hello"), first_delay=0.5)) as endpoint:
        run = await measured(clock, endpoint, Load(concurrency=1, requests=1), 1)
    (record,) = run.records
    assert (record.outcome, record.tpot, record.e2el) == ("ok", 0, pytest.approx(0.5))
