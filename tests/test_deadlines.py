"""Every budget of `Timeouts`, on servers that fall silent: which ran out, and what did not count as life."""

import asyncio
import socket
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import anyio
import httpx
import pytest

import tokenwire
from tokenwire import AsyncClient, Timeouts
from tokenwire._calls.attempts import Attempts
from tokenwire._loops.asyncio_sockets import AsyncioSocket
from tokenwire.http.transport import HTTPTransport
from tokenwire.testing import Endpoint, FakeClock, Reply, chunk, chunks, completion, event

from .conftest import LOOPS, PATIENCE, an_hour

pytestmark = pytest.mark.anyio

MESSAGES = [{"role": "user", "content": "Hi"}]
SHORT = 20.0  # seconds a budget has that is to run out
PING = b": ping\n\n"
ROLE = chunk("", role="assistant")
SILENT = Reply(delay=7200)  # not even a head
ON_ASYNCIO = LOOPS[:2]
STEADY = Reply(events=chunks("x" * 40, size=2), event_delay=SHORT / 4)


def stream(endpoint: Endpoint, budgets: Any, **keywords: Any) -> Any:
    keywords = {"api_base": endpoint.url, "num_retries": 0, "timeout": budgets, **keywords}
    return tokenwire.astreaming("openai/m", MESSAGES, **keywords)


async def complete(endpoint: Endpoint, budgets: Any, **keywords: Any) -> Any:
    keywords = {"api_base": endpoint.url, "num_retries": 0, "timeout": budgets, **keywords}
    return await tokenwire.acompletion("openai/m", MESSAGES, **keywords)


async def collect(stream: Any, into: list[Any]) -> list[Any]:
    """The stream's chunks; what came before an error is in `into`."""
    async for piece in stream:
        into.append(piece)  # noqa: PERF401 a comprehension would lose them
    return into


async def run_out(
    clock: FakeClock, endpoint: Endpoint, pieces: Any, after: float = SHORT
) -> tuple[list[str], tokenwire.Timeout]:
    """The texts before the deadline, and its error, which comes after so many seconds; the server sees the client leave."""
    received: list[Any] = []
    started = time.monotonic()
    async with an_hour(clock, endpoint.await_silence):
        with pytest.raises(tokenwire.Timeout) as caught:
            await collect(pieces, received)
        assert time.monotonic() - started == pytest.approx(after)
    assert pieces.outcome == "error"
    assert caught.value.status_code == 408
    assert (caught.value.llm_provider, caught.value.model) == ("openai", "m")
    assert [attempt.error for attempt in caught.value.attempts][-1] == "Timeout"
    for request in endpoint.requests:
        await endpoint.await_closed(request)
        assert request.aborted
    return [piece.text for piece in received], caught.value


async def fails(clock: FakeClock, endpoint: Endpoint | None, call: Any, requests: int = 1) -> tokenwire.Timeout:
    """The error with which a call's time runs out."""
    async with an_hour(clock) if endpoint is None else an_hour(clock, partial(endpoint.await_silence, requests)):
        with pytest.raises(tokenwire.Timeout) as caught:
            await call
    return caught.value


# The first content.


@pytest.mark.parametrize(
    "reply",
    [
        SILENT,
        Reply(events=[], done=False, stall=True),
        Reply(events=[PING, ROLE, chunk(), b"data: null\n\n"], done=False, stall=True),
        Reply(events=[b'data: {"choices":[{"delta":{"content":"half an event'], done=False, stall=True),
        Reply(body=b'{"choices":[', stall=True, framing="chunked"),
    ],
    ids=["no head", "head", "no content", "half an event", "half a body"],
)
async def test_the_first_content_has_a_budget(reply: Reply, clock: FakeClock) -> None:
    with Endpoint(reply) as endpoint:
        texts, error = await run_out(clock, endpoint, stream(endpoint, Timeouts(first_content=SHORT)))
    assert (texts, error.budget) == ([], "first_content")
    assert "first_content" in error.message


@pytest.mark.parametrize(
    "item", [PING, b"retry: 10\n\n", b"data:\n\n", b'data: {"type":"ping"}\n\n', ROLE, chunk()],
    ids=["comments", "retry", "empty data", "pings", "roles", "empty pieces"],
)  # fmt: skip
async def test_keep_alives_are_no_life_before_the_first_content(item: Any, clock: FakeClock) -> None:
    with Endpoint(Reply(events=[item] * 1000, event_delay=SHORT / 5)) as endpoint:
        texts, error = await run_out(clock, endpoint, stream(endpoint, Timeouts(first_content=SHORT, idle=60)))
    assert (texts, error.budget) == ([], "first_content")


async def test_opening_a_stream_is_part_of_the_first_content(clock: FakeClock) -> None:
    with Endpoint(SILENT) as endpoint:
        error = await fails(clock, endpoint, complete(endpoint, Timeouts(first_content=SHORT), stream=True))
    assert error.budget == "first_content"


async def test_a_whole_answer_has_the_first_content_s_budget(clock: FakeClock) -> None:
    with Endpoint(SILENT) as endpoint:
        error = await fails(clock, endpoint, complete(endpoint, Timeouts(first_content=SHORT)))
        assert error.budget == "first_content"
        await endpoint.await_closed(endpoint.requests[0])
        assert endpoint.requests[0].aborted


@pytest.fixture
def without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pause between attempts."""
    monkeypatch.setattr(Attempts, "_delay", lambda self, error: 0.0)


@pytest.mark.usefixtures("without_waiting")
async def test_each_attempt_has_a_first_content_of_its_own(clock: FakeClock) -> None:
    with Endpoint(SILENT) as endpoint:
        texts, error = await run_out(clock, endpoint, stream(endpoint, Timeouts(first_content=SHORT), num_retries=1), 2 * SHORT)
    assert (texts, error.budget) == ([], "first_content")
    assert [attempt.error for attempt in error.attempts] == ["Timeout", "Timeout"]
    assert [attempt.seconds for attempt in error.attempts] == pytest.approx([SHORT, SHORT])


@pytest.mark.usefixtures("without_waiting")
async def test_a_second_attempt_may_be_in_time(clock: FakeClock) -> None:
    with Endpoint([SILENT, Reply(json=completion("Hello"))]) as endpoint:
        async with an_hour(clock, endpoint.await_silence):
            response = await complete(endpoint, Timeouts(first_content=SHORT), num_retries=1)
    assert response.choices[0].message.content == "Hello"
    assert [attempt.error for attempt in response.attempts] == ["Timeout", None]


# Between content.


@pytest.mark.parametrize(
    "item", [None, PING, b"data: null\n\n", b'data: {"type":"ping"}\n\n', chunk(""), chunk(role="assistant"), chunk()],
    ids=["silence", "comments", "null", "pings", "empty text", "roles", "empty pieces"],
)  # fmt: skip
async def test_content_has_to_keep_coming(item: Any, clock: FakeClock) -> None:
    events = ["Hello", *([item] * 1000 if item else ())]
    reply = Reply(events=events, event_delay=SHORT / 5, done=False, stall=True)
    with Endpoint(reply) as endpoint:
        texts, error = await run_out(clock, endpoint, stream(endpoint, Timeouts(first_content=60, idle=SHORT)))
    assert error.budget == "idle"
    assert "".join(texts) == "Hello"
    assert error.partial.choices[0].message.content == "Hello"


async def test_idle_time_begins_with_the_latest_content(clock: FakeClock) -> None:
    with Endpoint(Reply(events=["a", "b"], event_delay=SHORT / 2, done=False, stall=True)) as endpoint:
        texts, error = await run_out(clock, endpoint, stream(endpoint, SHORT), after=1.5 * SHORT)
    assert (texts, error.budget) == (["a", "b"], "idle")


async def test_content_that_keeps_coming_is_never_idle(clock: FakeClock) -> None:
    with Endpoint(STEADY) as endpoint:
        async with an_hour(clock, endpoint.await_silence), stream(endpoint, Timeouts(first_content=60, idle=SHORT)) as pieces:
            assert "".join([piece.text async for piece in pieces]) == "x" * 40
    assert pieces.timings.total > 4 * SHORT


async def test_a_slow_caller_is_not_a_slow_server(clock: FakeClock) -> None:
    reply = Reply(events=["a", "b", chunk(finish_reason="stop")], event_delay=2 * SHORT, done=False)
    with Endpoint(reply) as endpoint:
        async with an_hour(clock, endpoint.await_silence), stream(endpoint, Timeouts(first_content=60, idle=SHORT)) as pieces:
            texts: list[str] = []
            async for piece in pieces:
                texts.append(piece.text)
                await anyio.sleep(1.5 * SHORT)
    assert "".join(texts) == "ab"


async def test_what_has_arrived_is_read_although_time_is_up(clock: FakeClock) -> None:
    with Endpoint(Reply(events=chunks("Hello"))) as endpoint:
        async with await complete(endpoint, Timeouts(first_content=SHORT), stream=True) as pieces:
            await clock.aadvance(1.5 * SHORT)
            assert "".join([part.choices[0].delta.content or "" async for part in pieces]) == "Hello"


# After every choice has its finish reason, on a server that leaves the stream open.

FINISH = chunk(finish_reason="stop")
USAGE = chunk(usage={"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}) | {"choices": []}


def left_open(*events: Any, item: Any = PING) -> Reply:
    """These events, and then for ever what is no content."""
    more = [item] * 1000 if item else []
    return Reply(events=[*events, *more], event_delay=SHORT / 5, done=False, stall=True)


async def ends_by_itself(clock: FakeClock, endpoint: Endpoint, pieces: Any) -> str:
    """The text of a stream that completes while an hour passes, and whose connection is closed then."""
    async with an_hour(clock, endpoint.await_silence):
        text = "".join([piece.text async for piece in pieces])
        assert pieces.outcome == "complete"
    await endpoint.await_closed(endpoint.requests[-1])  # in real time: the hour would not wait for it
    return text


@pytest.mark.parametrize("item", [None, PING, b"data: null\n\n", chunk()], ids=["silence", "comments", "null", "empty pieces"])
async def test_a_finished_stream_that_is_left_open_is_complete(item: Any, clock: FakeClock) -> None:
    with Endpoint(left_open("Hello", FINISH, item=item)) as endpoint:
        pieces = stream(endpoint, Timeouts(ending=2 * SHORT))
        assert await ends_by_itself(clock, endpoint, pieces) == "Hello"
    assert 2 * SHORT - 0.2 <= pieces.timings.total <= 2.5 * SHORT
    assert pieces.response.choices[0].finish_reason == "stop"
    assert [attempt.status for attempt in pieces.attempts] == [200]


async def test_the_last_text_may_come_with_the_finish_reason(clock: FakeClock) -> None:
    with Endpoint(left_open(chunk("Hello", finish_reason="length"))) as endpoint:
        assert await ends_by_itself(clock, endpoint, stream(endpoint, Timeouts(ending=SHORT))) == "Hello"


async def test_a_finished_stream_without_content_is_complete_too(clock: FakeClock) -> None:
    with Endpoint(left_open(ROLE, FINISH)) as endpoint:
        pieces = stream(endpoint, Timeouts(ending=SHORT))
        assert await ends_by_itself(clock, endpoint, pieces) == ""
    assert pieces.response.choices[0].finish_reason == "stop"


async def test_the_usage_may_come_after_the_finish_reason(clock: FakeClock) -> None:
    with Endpoint(left_open("Hello", FINISH, PING, USAGE)) as endpoint:
        pieces = stream(endpoint, Timeouts(ending=2 * SHORT))
        assert await ends_by_itself(clock, endpoint, pieces) == "Hello"
    assert pieces.usage.total_tokens == 3


async def test_more_content_after_a_finish_reason_is_content(clock: FakeClock) -> None:
    """Some servers send a finish reason with every chunk."""
    events = [chunk(letter, finish_reason="stop") for letter in "abcdefghij"]
    with Endpoint(left_open(*events)) as endpoint:
        assert await ends_by_itself(clock, endpoint, stream(endpoint, Timeouts(ending=SHORT / 2))) == "abcdefghij"


@pytest.mark.parametrize("second", [[], [chunk("b", index=1)]], ids=["not begun", "begun"])
async def test_a_choice_that_was_asked_for_is_waited_for(second: list[Any], clock: FakeClock) -> None:
    first = [chunk("a", index=0), chunk(finish_reason="stop", index=0)]
    rest = [*[PING] * 20, chunk("c", index=1), chunk(finish_reason="stop", index=1)]
    with Endpoint(left_open(*first, *second, *rest)) as endpoint:
        pieces = stream(endpoint, Timeouts(ending=SHORT, idle=60 * SHORT), n=2)
        assert await ends_by_itself(clock, endpoint, pieces) == ("abc" if second else "ac")


@pytest.mark.parametrize("first, second", [(1, 2), (2, 1)])
async def test_a_fallback_is_waited_for_as_it_was_asked(first: int, second: int, clock: FakeClock) -> None:
    busy = Reply(status=503, json={"error": {"message": "busy"}})
    rest = [*[PING] * 20, chunk("b", index=1), chunk(finish_reason="stop", index=1)] if second == 2 else []
    good = left_open(chunk("a"), FINISH, *rest)
    with Endpoint(lambda received: busy if received.json()["model"] == "m" else good) as endpoint:
        fallback: Any = {"model": "openai/b", "n": second}
        budgets = Timeouts(ending=SHORT, idle=60 * SHORT)
        pieces = stream(endpoint, budgets, n=first, fallbacks=[fallback])

        async def asked() -> None:
            await endpoint.await_silence(2)

        async with an_hour(clock, asked):
            text = "".join([piece.text async for piece in pieces])
            total = pieces.timings.total
        assert text == "ab"[:second]
        assert total < (4 + 2 * second) * SHORT


@pytest.mark.parametrize(
    "prompts, ends", [(["one", "two"], False), ([[1, 2], [3]], False), ([1, 2], True), ("one", True), (["one"], True)]
)
async def test_a_prompt_is_a_choice(prompts: Any, ends: bool, clock: FakeClock) -> None:
    piece = {
        "id": "t",
        "object": "text_completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "text": "a", "finish_reason": "stop"}],
    }
    with Endpoint(Reply(events=[piece], done=False, stall=True)) as endpoint:
        budgets = Timeouts(ending=SHORT, idle=2 * SHORT)
        async with an_hour(clock, endpoint.await_silence):
            pieces = await tokenwire.atext_completion("openai/m", prompts, stream=True, api_base=endpoint.url, timeout=budgets)
            assert (await anext(pieces)).choices[0].text == "a"
            with pytest.raises(StopAsyncIteration if ends else tokenwire.Timeout):
                await anext(pieces)


@pytest.mark.parametrize(
    "budgets",
    [Timeouts(idle=SHORT, ending=None), Timeouts(idle=SHORT, ending=60), SHORT, Timeouts(total=2 * SHORT, ending=60)],
    ids=["no ending", "idle", "a number", "total"],
)
async def test_a_shorter_budget_ends_it_sooner(budgets: Any, clock: FakeClock) -> None:
    with Endpoint(left_open("Hello", FINISH)) as endpoint:
        pieces = stream(endpoint, budgets)
        assert await ends_by_itself(clock, endpoint, pieces) == "Hello"
    assert pieces.timings.total < 2.1 * SHORT


async def test_what_a_slow_caller_finds_at_the_end_is_read(clock: FakeClock) -> None:
    with Endpoint(left_open("Hello", FINISH, USAGE)) as endpoint:
        pieces = stream(endpoint, Timeouts(ending=SHORT))
        async with an_hour(clock, endpoint.await_silence):
            async for _ in pieces:
                await anyio.sleep(2 * SHORT)
    assert (pieces.outcome, pieces.usage.total_tokens) == ("complete", 3)


async def test_a_handler_may_take_its_time_after_the_finish_reason(clock: FakeClock) -> None:
    done = anyio.Event()

    async def handler(messages: Any, **_: Any) -> Any:
        yield {"text": "Hello", "is_finished": True, "finish_reason": "stop", "usage": None, "index": 0}
        await anyio.sleep(10 * SHORT)
        done.set()

    async with AsyncClient(handlers={"mine": handler}, timeout=Timeouts(ending=SHORT)) as client, an_hour(clock):
        assert [piece.text async for piece in client.astreaming("mine/m", MESSAGES)] == ["Hello"]
    assert done.is_set()


@pytest.mark.parametrize("anyio_backend", ON_ASYNCIO)  # a wait that is cut short leaves trio generators of httpx's to warn of
async def test_a_client_of_httpx_does_not_wait_for_ever_either(clock: FakeClock) -> None:
    with Endpoint(left_open("Hello", FINISH)) as endpoint:
        async with httpx.AsyncClient() as client:
            pieces = stream(endpoint, Timeouts(ending=SHORT), client=client)
            assert await ends_by_itself(clock, endpoint, pieces) == "Hello"


# All attempts together.


async def test_a_stream_has_a_total_when_it_is_given_one(clock: FakeClock) -> None:
    with Endpoint(Reply(events=["a"] * 1000, event_delay=SHORT / 9.5)) as endpoint:
        texts, error = await run_out(clock, endpoint, stream(endpoint, Timeouts(total=SHORT)))
    assert error.budget == "total"
    assert texts == ["a"] * 10


async def test_content_that_never_lets_up_has_a_total_too() -> None:
    """There is always something to read, so that no wait is long enough for its deadline."""
    flood = Reply(body=event(chunk("a")) * 1000, headers={"content-type": "text/event-stream"}, forever=True)
    with Endpoint(flood) as endpoint:
        pieces = stream(endpoint, Timeouts(total=0.5))  # the clock's hour would never come: nothing here rests
        received: list[Any] = []
        with anyio.fail_after(PATIENCE), pytest.raises(tokenwire.Timeout) as caught:
            await collect(pieces, received)
    assert caught.value.budget == "total"
    assert {piece.text for piece in received} <= {"a"}


@pytest.mark.parametrize("reply", [SILENT, Reply(events=[PING] * 1000, event_delay=SHORT / 5)], ids=["no head", "comments"])
async def test_the_total_counts_before_the_first_content_too(reply: Reply, clock: FakeClock) -> None:
    with Endpoint(reply) as endpoint:
        _, error = await run_out(clock, endpoint, stream(endpoint, Timeouts(total=SHORT), num_retries=5))
    assert error.budget == "total"
    assert len(endpoint.requests) == 1


async def test_an_answer_that_is_whole_is_not_late(clock: FakeClock) -> None:
    """Its `[DONE]` is here: the caller alone took longer than the total."""
    at_once = b"".join(Reply(events=chunks("Hello")).pieces())  # one read finds all of it
    with Endpoint(Reply(events=[at_once], done=False)) as endpoint:
        pieces = stream(endpoint, Timeouts(total=SHORT))
        texts = [(await anext(pieces)).text]
        await clock.aadvance(1.1 * SHORT)
        texts += [piece.text async for piece in pieces]
    assert ("".join(texts), pieces.outcome) == ("Hello", "complete")


async def test_a_late_answer_is_known_by_its_head(clock: FakeClock) -> None:
    reply = Reply(events=["a"], done=False, stall=True, headers={"x-request-id": "r1"})
    with Endpoint(reply) as endpoint:
        _, error = await run_out(clock, endpoint, stream(endpoint, Timeouts(idle=SHORT)))
    assert (error.request_id, error.headers["x-request-id"]) == ("r1", "r1")


async def test_the_total_spans_attempts(clock: FakeClock) -> None:
    busy = Reply(status=503, headers={"retry-after": "0"})
    with Endpoint([busy, SILENT]) as endpoint:
        error = await fails(clock, endpoint, complete(endpoint, Timeouts(total=SHORT), num_retries=5), requests=2)
    assert error.budget == "total"
    assert [attempt.error for attempt in error.attempts] == ["ServiceUnavailableError", "Timeout"]


@pytest.mark.usefixtures("without_waiting")
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_a_later_attempt_has_what_is_left_of_the_total(streamed: bool, clock: FakeClock) -> None:
    budgets = Timeouts(first_content=0.8 * SHORT, total=1.2 * SHORT)
    with Endpoint(SILENT) as endpoint:
        error = await fails(clock, endpoint, complete(endpoint, budgets, num_retries=1, stream=streamed))
    assert error.budget == "total"
    assert [attempt.seconds for attempt in error.attempts] == pytest.approx([0.8 * SHORT, 0.4 * SHORT])


# By the loops' own timers: nothing here depends on how long anything else takes.


async def test_real_seconds_run_out() -> None:
    with anyio.fail_after(PATIENCE), Endpoint(SILENT) as endpoint, pytest.raises(tokenwire.Timeout) as caught:
        await complete(endpoint, Timeouts(first_content=0.02))
    assert caught.value.budget == "first_content"
    with anyio.fail_after(PATIENCE), Endpoint(Reply(events=["a"], done=False, stall=True)) as endpoint:
        pieces = stream(endpoint, Timeouts(idle=0.02))
        with pytest.raises(tokenwire.Timeout) as caught:
            assert [piece.text async for piece in pieces] == ["a"]
        assert (caught.value.budget, caught.value.partial.choices[0].message.content) == ("idle", "a")
        assert pieces.timings.total > 0.015  # uvloop counts in milliseconds


# What they cost.


@pytest.mark.parametrize("anyio_backend", ON_ASYNCIO)
async def test_a_thousand_chunks_need_no_timer_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """On trio a wait's deadline is an entry in a heap, and no timer is armed for any."""
    armed: list[float] = []
    waits: list[float] = []
    loop, wait = asyncio.get_running_loop(), AsyncioSocket.wait
    call_at = loop.call_at
    monkeypatch.setattr(loop, "call_at", lambda at, *rest, **keywords: armed.append(at) or call_at(at, *rest, **keywords))
    monkeypatch.setattr(AsyncioSocket, "wait", lambda self, deadline: waits.append(deadline) or wait(self, deadline))
    with Endpoint(Reply(events=[event(chunk("a")) * 4] * 250, event_delay=0.0001)) as endpoint:
        async with stream(endpoint, Timeouts(first_content=60, idle=60, total=60)) as pieces:
            assert len([piece async for piece in pieces]) == 1000
    assert len(waits) > 100
    assert len(armed) < 10


# Numbers, httpx's and the environment's.


async def test_a_number_is_a_whole_call_s_total(clock: FakeClock) -> None:
    unfinished = Reply(body=b" ", stall=True, framing="chunked")
    with Endpoint(unfinished) as endpoint:
        error = await fails(clock, endpoint, complete(endpoint, SHORT, num_retries=5))
    assert (error.budget, len(endpoint.requests)) == ("total", 1)


@pytest.mark.parametrize("budgets", [SHORT, str(SHORT)], ids=["number", "text"])
async def test_a_number_bounds_each_wait_of_a_stream(budgets: Any, clock: FakeClock) -> None:
    with Endpoint(SILENT) as endpoint:
        assert (await run_out(clock, endpoint, stream(endpoint, budgets)))[1].budget == "first_content"
    with Endpoint(Reply(events=["a"], done=False, stall=True)) as endpoint:
        assert (await run_out(clock, endpoint, stream(endpoint, budgets)))[1].budget == "idle"


async def test_a_number_does_not_bound_a_stream_s_total(clock: FakeClock) -> None:
    with Endpoint(STEADY) as endpoint:
        async with an_hour(clock, endpoint.await_silence), stream(endpoint, SHORT) as pieces:
            assert "".join([piece.text async for piece in pieces]) == "x" * 40
    assert pieces.timings.total > 4 * SHORT


@pytest.mark.parametrize("budgets", [httpx.Timeout(60, read=SHORT), httpx.Timeout(SHORT)], ids=["read", "all"])
async def test_httpx_s_read_timeout_bounds_the_waits_for_content(budgets: httpx.Timeout, clock: FakeClock) -> None:
    with Endpoint(SILENT) as endpoint:
        assert (await run_out(clock, endpoint, stream(endpoint, budgets)))[1].budget == "first_content"
        await fails(clock, endpoint, complete(endpoint, budgets), requests=2)
    with Endpoint(Reply(events=["a"], done=False, stall=True)) as endpoint:
        assert (await run_out(clock, endpoint, stream(endpoint, budgets)))[1].budget == "idle"


async def test_a_client_s_and_the_package_s_default(monkeypatch: pytest.MonkeyPatch, clock: FakeClock) -> None:
    with Endpoint(SILENT) as endpoint:
        async with AsyncClient(api_base=endpoint.url, timeout=SHORT, num_retries=0) as client:
            await fails(clock, endpoint, client.acompletion("openai/m", MESSAGES))
        monkeypatch.setattr(tokenwire, "request_timeout", SHORT, raising=False)
        await fails(clock, endpoint, complete(endpoint, None), requests=2)


@pytest.mark.parametrize("budgets", [0, -1, float("nan"), True, "soon", [1]])
async def test_what_is_no_timeout(budgets: Any) -> None:
    with pytest.raises(tokenwire.BadRequestError, match="timeout") as caught:
        await tokenwire.acompletion("openai/m", MESSAGES, api_base="http://127.0.0.1:1/v1", timeout=budgets)
    assert caught.value.param == "timeout"


async def test_a_wait_without_end_is_possible() -> None:
    forever = Timeouts(connect=None, pool=None, write=None, first_content=None, idle=None, total=None)
    with Endpoint([Reply(json=completion("Hello")), Reply(events=chunks("Hello"))]) as endpoint:
        assert (await complete(endpoint, forever)).choices[0].message.content == "Hello"
        async with stream(endpoint, forever) as pieces:
            assert "".join([piece.text async for piece in pieces]) == "Hello"


# Connecting, sending, and waiting for a connection.


@pytest.fixture
def full_listener() -> Iterator[str]:
    """The address of a socket whose queue of connections is full: the kernel lets further ones wait."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting: list[socket.socket] = []
        try:
            for _ in range(16):
                client = socket.socket()
                waiting.append(client)
                client.settimeout(0.05)
                try:
                    client.connect(listener.getsockname())
                except TimeoutError:
                    break
            else:
                pytest.skip("this kernel's queue of connections is never full")
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        finally:
            for client in waiting:
                client.close()


@pytest.mark.parametrize(
    "budgets", [Timeouts(connect=SHORT), httpx.Timeout(60, connect=SHORT)], ids=["Timeouts", "httpx.Timeout"]
)
async def test_connecting_has_a_budget(full_listener: str, budgets: Any, clock: FakeClock) -> None:
    keywords: dict[str, Any] = {"api_base": full_listener, "timeout": budgets, "num_retries": 0}
    for call in (
        tokenwire.acompletion("openai/m", MESSAGES, **keywords),
        anext(tokenwire.astreaming("openai/m", MESSAGES, **keywords)),
    ):
        assert (await fails(clock, None, call)).budget == "connect"


async def test_sending_has_a_budget(clock: FakeClock) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:  # accepts nothing, reads nothing
        base = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        large = [{"role": "user", "content": "x" * 32 * 1024 * 1024}]
        call = tokenwire.acompletion("openai/m", large, api_base=base, timeout=Timeouts(write=SHORT), num_retries=0)
        assert (await fails(clock, None, call)).budget == "write"


async def test_waiting_for_a_connection_has_a_budget(clock: FakeClock) -> None:
    with Endpoint(Reply(events=["a"], done=False, stall=True)) as endpoint:
        async with HTTPTransport(max_connections=1) as transport, stream(endpoint, None, client=transport) as pieces:
            assert (await anext(pieces)).text == "a"
            error = await fails(clock, endpoint, complete(endpoint, Timeouts(pool=SHORT), client=transport))
    assert error.budget == "pool"
    assert len(endpoint.requests) == 1


async def test_the_outer_deadlines_of_the_caller_s_own_are_his(clock: FakeClock) -> None:
    """A cancel scope around a call ends it as a cancellation, not as our `Timeout`."""
    with Endpoint(SILENT) as endpoint:
        async with an_hour(clock, endpoint.await_silence):
            with anyio.move_on_after(SHORT) as scope:
                await complete(endpoint, 60)
            assert scope.cancelled_caught
        async with an_hour(clock, partial(endpoint.await_silence, 2)):
            with pytest.raises(TimeoutError):
                with anyio.fail_after(SHORT):
                    await anext(stream(endpoint, 60))
        for request in endpoint.requests:
            await endpoint.await_closed(request)
            assert request.aborted
