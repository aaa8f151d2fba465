"""What is tried again, how often and after how long, and that nobody sees an attempt that came to nothing."""

import time
from functools import partial
from typing import Any

import httpx
import httpx2
import pytest

import tokenwire
from tokenwire import AsyncClient, CustomLLMError, RetryPolicy, Timeouts
from tokenwire._calls import routing
from tokenwire._calls.attempts import Attempts
from tokenwire._calls.targets import Target
from tokenwire.testing import Endpoint, FakeClock, Received, Reply, chunk, chunks, completion

from .conftest import an_hour

MESSAGES = [{"role": "user", "content": "Hi"}]
AT_ONCE = {"retry-after": "0"}
BUSY = Reply(status=503, json={"error": {"message": "busy"}}, headers=AT_ONCE)
GOOD = Reply(json=completion("Hello"))
GOOD_STREAM = Reply(events=chunks("Hello"))


@pytest.fixture
def without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pause before the next attempt, for failures in which no server names one."""
    monkeypatch.setattr(Attempts, "_delay", lambda self, error: 0.0)


def summary(attempts: tuple[Any, ...]) -> list[tuple[int, int | None, str | None]]:
    return [(attempt.number, attempt.status, attempt.error) for attempt in attempts]


async def complete(endpoint: Endpoint, **keywords: Any) -> Any:
    return await tokenwire.acompletion("openai/m", MESSAGES, api_base=endpoint.url, **keywords)


def stream(endpoint: Endpoint, **keywords: Any) -> Any:
    return tokenwire.astreaming("openai/m", MESSAGES, api_base=endpoint.url, **keywords)


async def collect(stream: Any, into: list[Any]) -> list[Any]:
    """The stream's chunks; what came before an error is in `into`."""
    async for piece in stream:
        into.append(piece)  # noqa: PERF401 a comprehension would lose them
    return into


# How often.


@pytest.mark.anyio
async def test_twice_unless_told_otherwise() -> None:
    with Endpoint([BUSY, BUSY, GOOD]) as endpoint:
        response = await complete(endpoint)
    assert response.choices[0].message.content == "Hello"
    assert summary(response.attempts) == [
        (1, 503, "ServiceUnavailableError"),
        (2, 503, "ServiceUnavailableError"),
        (3, 200, None),
    ]
    with Endpoint(BUSY) as endpoint, pytest.raises(tokenwire.ServiceUnavailableError) as caught:
        await complete(endpoint)
    assert len(endpoint.requests) == 3
    assert summary(caught.value.attempts) == [(number, 503, "ServiceUnavailableError") for number in (1, 2, 3)]


@pytest.mark.anyio
@pytest.mark.parametrize("keyword", ["num_retries", "max_retries"])
@pytest.mark.parametrize("retries", [0, 1, 4])
async def test_as_often_as_told(retries: int, keyword: str) -> None:
    with Endpoint(BUSY) as endpoint, pytest.raises(tokenwire.ServiceUnavailableError) as caught:
        await complete(endpoint, **{keyword: retries})
    assert len(endpoint.requests) == len(caught.value.attempts) == retries + 1


@pytest.mark.anyio
async def test_a_client_s_default_and_the_package_s_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenwire, "num_retries", 1, raising=False)
    with Endpoint(BUSY) as endpoint:
        async with AsyncClient(api_base=endpoint.url, num_retries=0) as client:
            with pytest.raises(tokenwire.ServiceUnavailableError):
                await client.acompletion("openai/m", MESSAGES)
            assert len(endpoint.requests) == 1
            with pytest.raises(tokenwire.ServiceUnavailableError):
                await client.acompletion("openai/m", MESSAGES, num_retries=1)
            assert len(endpoint.requests) == 3
        with pytest.raises(tokenwire.ServiceUnavailableError):
            await complete(endpoint)
    assert len(endpoint.requests) == 5


@pytest.mark.anyio
async def test_every_function_tries_again() -> None:
    answers = {
        "/v1/embeddings": {"data": [{"embedding": [1.0]}]},
        "/v1/images/generations": {"data": [{"url": "x"}]},
        "/v1/models": {"data": []},
        "/v1/completions": {"choices": [{"text": "Hello", "finish_reason": "stop"}]},
    }
    seen: set[str] = set()

    def answer(request: Received) -> Reply:
        if request.path not in seen:
            seen.add(request.path)
            return BUSY
        return Reply(json=answers[request.path])

    with Endpoint(answer) as endpoint:
        responses = [
            await tokenwire.aembedding("openai/m", "Hi", api_base=endpoint.url),
            await tokenwire.aimage_generation("Hi", "openai/m", api_base=endpoint.url),
            await tokenwire.alist_models(api_base=endpoint.url),
            await tokenwire.atext_completion("openai/m", "Hi", api_base=endpoint.url),
        ]
    assert [len(response.attempts) for response in responses] == [2, 2, 2, 2]


@pytest.mark.anyio
async def test_timings_count_from_the_call() -> None:
    with Endpoint([Reply(status=503, headers={"retry-after-ms": "30"}), GOOD_STREAM]) as endpoint:
        pieces = stream(endpoint)
        await collect(pieces, [])
    assert pieces.timings.opened >= pieces.attempts[0].seconds + pieces.attempts[1].waited >= 0.03


@pytest.mark.anyio
async def test_each_attempt_sends_the_same() -> None:
    with Endpoint([BUSY, GOOD]) as endpoint:
        await complete(endpoint, temperature=0.5, x_unknown=[1], api_key="k", extra_body={"y": 2})
    first, second = endpoint.requests
    assert (first.body, first.headers) == (second.body, second.headers)
    assert first.connection == second.connection


# What.


@pytest.mark.anyio
@pytest.mark.parametrize("status", [408, 409, 429, 500, 501, 502, 503, 504, 520, 529])
async def test_statuses_that_may_fare_better(status: int) -> None:
    bad = Reply(status=status, headers=AT_ONCE)
    with Endpoint([bad, GOOD]) as endpoint:
        assert len((await complete(endpoint)).attempts) == 2
    with Endpoint([bad, GOOD_STREAM]) as endpoint:
        async with stream(endpoint) as pieces:
            assert "".join([piece.text async for piece in pieces]) == "Hello"
        assert [attempt.status for attempt in pieces.attempts] == [status, 200]


@pytest.mark.anyio
@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 413, 422])
async def test_statuses_that_will_not(status: int) -> None:
    with Endpoint(Reply(status=status, headers=AT_ONCE)) as endpoint:
        with pytest.raises(tokenwire.APIError) as caught:
            await complete(endpoint)
        with pytest.raises(tokenwire.APIError):
            await anext(stream(endpoint))
    assert len(endpoint.requests) == 2
    assert len(caught.value.attempts) == 1


@pytest.mark.anyio
@pytest.mark.parametrize("status, says, requests", [(503, "false", 1), (400, "true", 3)])
async def test_the_server_knows_best(status: int, says: str, requests: int) -> None:
    reply = Reply(status=status, headers={**AT_ONCE, "x-should-retry": says})
    with Endpoint(reply) as endpoint, pytest.raises(tokenwire.APIError):
        await complete(endpoint)
    assert len(endpoint.requests) == requests


FAILURES = {
    "cut in the head": Reply(body=b"", framing="length", cut="fin"),
    "reset": Reply(events=[], done=False, cut="rst"),
    "cut in the body": Reply(json=completion("Hello"), framing="length", cut="fin"),
}


@pytest.mark.anyio
@pytest.mark.usefixtures("without_waiting")
@pytest.mark.parametrize("reply", FAILURES.values(), ids=FAILURES)
async def test_broken_connections_are_tried_again(reply: Reply) -> None:
    with Endpoint([reply, GOOD]) as endpoint:
        response = await complete(endpoint)
    assert response.choices[0].message.content == "Hello"
    assert summary(response.attempts) == [(1, 500, "APIConnectionError"), (2, 200, None)]
    assert [request.connection for request in endpoint.requests] == [1, 2]


@pytest.mark.anyio
@pytest.mark.usefixtures("without_waiting")
async def test_a_server_that_comes_up_late() -> None:
    with Endpoint(GOOD) as gone:
        pass
    with pytest.raises(tokenwire.APIConnectionError) as caught:
        await complete(gone)
    assert summary(caught.value.attempts) == [(number, 500, "APIConnectionError") for number in (1, 2, 3)]


@pytest.mark.anyio
@pytest.mark.usefixtures("without_waiting")
@pytest.mark.parametrize("body", [b"<html></html>", b"{bad", b""])
async def test_an_answer_that_makes_no_sense_makes_none_the_next_time(body: bytes) -> None:
    with Endpoint(Reply(body=body)) as endpoint:
        with pytest.raises(tokenwire.APIResponseValidationError):
            await complete(endpoint)
        with pytest.raises(tokenwire.APIResponseValidationError):
            await anext(stream(endpoint))
    assert len(endpoint.requests) == 2


@pytest.mark.anyio
async def test_an_error_with_status_200_counts_by_what_it_says() -> None:
    slow = Reply(json={"error": {"message": "slow", "code": 429}}, headers=AT_ONCE)
    with Endpoint([slow, GOOD]) as endpoint:
        assert len((await complete(endpoint)).attempts) == 2
    with Endpoint([slow, GOOD_STREAM]) as endpoint:
        async with stream(endpoint) as pieces:
            assert "".join([piece.text async for piece in pieces]) == "Hello"
        assert pieces.attempts[1].waited == 0.0
    with Endpoint([Reply(events=[{"error": {"message": "slow", "code": 429}}], headers=AT_ONCE), GOOD_STREAM]) as endpoint:
        async with stream(endpoint) as pieces:
            assert "".join([piece.text async for piece in pieces]) == "Hello"
        assert pieces.attempts[1].waited == 0.0
    wrong = Reply(json={"error": {"message": "wrong", "code": 400}})
    with Endpoint(wrong) as endpoint, pytest.raises(tokenwire.BadRequestError):
        await complete(endpoint)
    assert len(endpoint.requests) == 1


# Streams: until the first content, and never after.

ROLE = chunk("", role="assistant", id="of-the-failed-attempt")
BEFORE_CONTENT = {
    "comments": Reply(events=[b": ping\n\n"], done=False),
    "a role": Reply(events=[ROLE], done=False),
    "a role, cut": Reply(events=[ROLE], done=False, framing="chunked", cut="fin"),
    "a role and an error": Reply(events=[ROLE, {"error": {"message": "busy", "code": 503}}], headers=AT_ONCE),
    "empty pieces": Reply(events=[ROLE, chunk("", id="of-the-failed-attempt"), chunk(id="of-the-failed-attempt")], done=False),
    "half an event": Reply(events=[b'data: {"choices":[{"delta":{"content":"a"}'], done=False, framing="close"),
}


@pytest.mark.anyio
@pytest.mark.usefixtures("without_waiting")
@pytest.mark.parametrize("flat", [True, False], ids=["flat", "chat"])
@pytest.mark.parametrize("bad", BEFORE_CONTENT.values(), ids=BEFORE_CONTENT)
async def test_a_stream_that_fails_before_its_first_content_starts_again_unseen(bad: Reply, flat: bool) -> None:
    with Endpoint([bad, bad, GOOD_STREAM]) as endpoint:
        pieces = stream(endpoint) if flat else await complete(endpoint, stream=True)
        async with pieces:
            received = [piece async for piece in pieces]
    assert {piece.id for piece in received} == {"chatcmpl-test"}
    texts = [piece.text if flat else piece.choices[0].delta.content or "" for piece in received]
    assert texts == ["", "Hell", "o", ""]
    assert [attempt.error is None for attempt in pieces.attempts] == [False, False, True]
    assert pieces.outcome == "complete"
    assert (pieces.response.id, pieces.response.choices[0].message.content) == ("chatcmpl-test", "Hello")


@pytest.mark.anyio
@pytest.mark.usefixtures("without_waiting")
@pytest.mark.parametrize("bad", BEFORE_CONTENT.values(), ids=BEFORE_CONTENT)
async def test_when_all_attempts_fail_nothing_was_seen(bad: Reply) -> None:
    received: list[Any] = []
    with Endpoint(bad) as endpoint:
        async with stream(endpoint) as pieces:
            with pytest.raises(tokenwire.APIError) as caught:
                await collect(pieces, received)
    assert received == []
    assert len(endpoint.requests) == len(caught.value.attempts) == 3


CONTENT = {
    "text": chunk("a"),
    "reasoning": chunk(reasoning_content="a"),
    "a tool call": chunk(tool_calls=[{"index": 0, "id": "x", "function": {"name": "f", "arguments": ""}}]),
    "a refusal": chunk(refusal="a"),
}
THEN = {
    "the end": Reply(events=[], done=False),
    "a cut": Reply(events=[], done=False, cut="fin"),
    "an error": Reply(events=[{"error": {"message": "busy", "code": 503}}], headers=AT_ONCE),
}


@pytest.mark.anyio
@pytest.mark.usefixtures("without_waiting")
@pytest.mark.parametrize("then", THEN.values(), ids=THEN)
@pytest.mark.parametrize("content", CONTENT.values(), ids=CONTENT)
async def test_after_the_first_content_there_is_no_other_attempt(content: dict[str, Any], then: Reply) -> None:
    bad = Reply(events=[ROLE, content, *(then.events or ())], done=then.done, cut=then.cut)
    with Endpoint([bad, GOOD_STREAM]) as endpoint:
        async with await complete(endpoint, stream=True) as pieces:
            received: list[Any] = []
            with pytest.raises(tokenwire.APIError) as caught:
                await collect(pieces, received)
    assert len(received) == 2
    assert len(endpoint.requests) == 1
    assert [attempt.number for attempt in caught.value.attempts] == [1]
    assert [attempt.error for attempt in pieces.attempts] == [type(caught.value).__name__]
    assert caught.value.partial == pieces.response


@pytest.mark.anyio
@pytest.mark.usefixtures("without_waiting")
async def test_content_in_the_same_read_as_the_error_commits_too() -> None:
    events = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\ndata: {"error":{"message":"busy","code":503}}\n\n'
    with Endpoint([Reply(events=[events]), GOOD_STREAM]) as endpoint:
        async with stream(endpoint) as pieces:
            assert (await anext(pieces)).text == "a"
            with pytest.raises(tokenwire.ServiceUnavailableError):
                await anext(pieces)
    assert len(endpoint.requests) == 1


@pytest.mark.anyio
async def test_a_stream_without_content_may_be_complete() -> None:
    with Endpoint(Reply(events=[chunk("", role="assistant"), chunk(finish_reason="stop")])) as endpoint:
        async with stream(endpoint) as pieces:
            assert [piece.finish_reason async for piece in pieces] == ["", "stop"]
    assert (pieces.outcome, len(pieces.attempts), len(endpoint.requests)) == ("complete", 1, 1)


@pytest.mark.anyio
@pytest.mark.usefixtures("without_waiting")
async def test_a_stream_s_opening_is_tried_again_too() -> None:
    with Endpoint([BUSY, BUSY, GOOD_STREAM]) as endpoint:
        pieces = await complete(endpoint, stream=True)
        assert summary(pieces.attempts) == [(number, 503, "ServiceUnavailableError") for number in (1, 2)]
        async with pieces:
            assert [piece.choices[0].delta.content async for piece in pieces] == ["", "Hell", "o", None]
        assert summary(pieces.attempts)[2:] == [(3, 200, None)]


@pytest.mark.anyio
@pytest.mark.usefixtures("without_waiting")
async def test_opening_and_iterating_share_their_attempts() -> None:
    with Endpoint([BUSY, BEFORE_CONTENT["a role"], BUSY, GOOD_STREAM]) as endpoint:
        pieces = await complete(endpoint, stream=True)
        async with pieces:
            with pytest.raises(tokenwire.ServiceUnavailableError) as caught:
                await anext(pieces)
    assert [attempt.error for attempt in caught.value.attempts] == [
        "ServiceUnavailableError",
        "StreamTruncatedError",
        "ServiceUnavailableError",
    ]


@pytest.mark.anyio
@pytest.mark.usefixtures("without_waiting")
async def test_a_failed_attempt_keeps_no_connection() -> None:
    with Endpoint(
        [Reply(events=[ROLE, {"error": {"message": "busy", "code": 503}}], done=False, stall=True), GOOD_STREAM]
    ) as endpoint:
        async with stream(endpoint) as pieces:
            await anext(pieces)
            await endpoint.await_closed(endpoint.requests[0])
            assert endpoint.requests[0].aborted


# After how long.


@pytest.mark.anyio
@pytest.mark.parametrize("header", [{"retry-after": "20"}, {"retry-after-ms": "20000"}], ids=["seconds", "milliseconds"])
async def test_the_wait_that_the_server_asks_for(header: dict[str, str], clock: FakeClock) -> None:
    with Endpoint([Reply(status=429, headers=header), GOOD, Reply(status=429, headers=header), GOOD_STREAM]) as endpoint:
        async with an_hour(clock, endpoint.await_silence):
            response = await complete(endpoint)
        async with an_hour(clock, partial(endpoint.await_silence, 3)), stream(endpoint) as pieces:
            assert "".join([piece.text async for piece in pieces]) == "Hello"
    assert [attempt.waited for attempt in response.attempts] == [attempt.waited for attempt in pieces.attempts] == [0.0, 20.0]
    first, second, third, fourth = (request.arrived_at for request in endpoint.requests)
    assert (second - first, fourth - third) == pytest.approx((20, 20))


@pytest.mark.anyio
async def test_the_wait_where_the_server_asks_for_none(clock: FakeClock) -> None:
    policy = RetryPolicy(num_retries=2, base_delay=2.0)
    with Endpoint([Reply(status=503), Reply(status=503), GOOD]) as endpoint:
        async with an_hour(clock, endpoint.await_silence):
            response = await complete(endpoint, retry_policy=policy)
    waited = [attempt.waited for attempt in response.attempts]
    first, second, third = (request.arrived_at for request in endpoint.requests)
    assert waited == pytest.approx([0, second - first, third - second])
    assert 1.5 <= waited[1] <= 2 < 3 <= waited[2] <= 4


@pytest.mark.anyio
async def test_a_wait_beyond_the_cap_is_not_waited() -> None:
    late = Reply(status=429, headers={"retry-after": "3600"})
    with Endpoint(late) as endpoint, pytest.raises(tokenwire.RateLimitError) as caught:
        await complete(endpoint)
    assert caught.value.retry_after == 3600.0
    assert len(endpoint.requests) == len(caught.value.attempts) == 1


@pytest.mark.anyio
async def test_a_wait_beyond_the_deadline_is_not_waited() -> None:
    late = Reply(status=429, headers={"retry-after": "30"})
    with Endpoint(late) as endpoint, pytest.raises(tokenwire.RateLimitError) as caught:
        await complete(endpoint, timeout=tokenwire.Timeouts(total=10))
    assert (caught.value.retry_after, len(endpoint.requests)) == (30.0, 1)


def attempts_of(policy: RetryPolicy, deadline: float = float("inf")) -> Attempts:
    nobody: Any = None
    return Attempts(Target("p", "m", nobody, policy, Timeouts(), nobody), deadline, stream=False)


def failed(attempts: Attempts, **fields: Any) -> float | None:
    attempts.begin()
    return attempts.failed(tokenwire.ServiceUnavailableError("busy", **fields))


def test_waits_grow_and_differ() -> None:
    waits: list[list[float]] = [[], [], [], []]
    for _ in range(200):
        attempts = attempts_of(RetryPolicy(num_retries=4, base_delay=1.0, max_delay=3.0))
        for wait in waits:
            delay = failed(attempts)
            assert delay is not None
            wait.append(delay)
    for wait, longest in zip(waits, [1.0, 2.0, 3.0, 3.0], strict=True):
        assert 0.75 * longest <= min(wait) < max(wait) <= longest
        assert len(set(wait)) > 100


def test_a_server_s_wait_is_taken_as_it_is_up_to_the_cap() -> None:
    policy = RetryPolicy(num_retries=9, max_retry_after=60.0)
    assert failed(attempts_of(policy), retry_after=60.0) == 60.0
    assert failed(attempts_of(policy), retry_after=0.0) == 0.0
    assert failed(attempts_of(policy), retry_after=60.5) is None


def test_attempts_end() -> None:
    attempts = attempts_of(RetryPolicy(num_retries=1))
    assert failed(attempts) is not None
    assert failed(attempts) is None
    assert len(attempts.made) == 2
    assert attempts.made[0].waited == 0.0
    assert attempts.made[1].waited > 0.0


def test_no_attempt_begins_after_the_deadline() -> None:
    assert failed(attempts_of(RetryPolicy(), time.monotonic() + 0.01)) is None
    assert failed(attempts_of(RetryPolicy(), time.monotonic() + 60)) is not None


@pytest.mark.parametrize(
    "error, expected",
    [
        (tokenwire.Timeout(budget="connect"), True),
        (tokenwire.Timeout(budget="first_content"), True),
        (tokenwire.Timeout(budget="total"), False),
        (tokenwire.Timeout(status_code=504), True),
        (tokenwire.APIConnectionError(), True),
        (tokenwire.StreamTruncatedError(), True),
        (tokenwire.LimitExceededError(), False),
        (tokenwire.APIResponseValidationError(), False),
        (tokenwire.APIError(status_code=500), True),
        (tokenwire.APIError(status_code=408), True),
        (tokenwire.APIError(status_code=302), False),
    ],
)
def test_what_may_fare_better(error: tokenwire.APIError, expected: bool) -> None:
    assert error.retryable is expected


@pytest.mark.anyio
@pytest.mark.usefixtures("without_waiting")
@pytest.mark.parametrize(
    "cause, calls",
    [
        (ValueError("x"), 1),
        (StopIteration(), 1),
        (OSError("x"), 2),
        (ConnectionResetError(), 2),
        (TimeoutError(), 2),
        (httpx.ConnectError("x"), 2),
        (httpx2.ReadError("x"), 2),
        (httpx2.InvalidURL("x"), 1),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_a_handler_s_broken_connection_is_tried_again_and_its_bug_is_not(
    cause: Exception, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    async def broken(**_: Any) -> str:
        made.append(1)
        raise cause

    monkeypatch.setattr(routing, "_registered", {"my-llm": broken})
    with pytest.raises(tokenwire.APIConnectionError):
        await tokenwire.acompletion("my-llm/m", MESSAGES, num_retries=1)
    assert len(made) == calls


@pytest.mark.anyio
@pytest.mark.usefixtures("without_waiting")
@pytest.mark.parametrize("status", [408, 429, 504])
async def test_a_handler_s_status_may_fare_better_too(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    async def busy(**_: Any) -> str:
        raise CustomLLMError(status, "later")

    monkeypatch.setattr(routing, "_registered", {"my-llm": busy})
    with pytest.raises(tokenwire.APIError) as caught:
        await tokenwire.acompletion("my-llm/m", MESSAGES, num_retries=1)
    assert [attempt.status for attempt in caught.value.attempts] == [status, status]


@pytest.mark.anyio
async def test_a_policy_says_how_long_and_how_often() -> None:
    at_once = RetryPolicy(num_retries=1, base_delay=0.0)
    busy = Reply(status=503, json={"error": {"message": "busy"}})
    with Endpoint([busy, GOOD]) as endpoint:
        response = await complete(endpoint, retry_policy=at_once)
    assert [attempt.waited for attempt in response.attempts] == [0.0, 0.0]
    with Endpoint(busy) as endpoint, pytest.raises(tokenwire.ServiceUnavailableError):
        await complete(endpoint, retry_policy=at_once, num_retries=3)  # a number goes before the policy's
    assert len(endpoint.requests) == 4
    with Endpoint(Reply(status=503, json={}, headers={"retry-after": "3"})) as endpoint:
        async with AsyncClient(retry_policy=RetryPolicy(max_retry_after=1.0), api_base=endpoint.url) as client:
            with pytest.raises(tokenwire.ServiceUnavailableError) as caught:
                await client.acompletion("openai/m", MESSAGES)
    assert (caught.value.retry_after, len(endpoint.requests)) == (3.0, 1)


@pytest.mark.parametrize(
    "wrong, expected",
    [
        ({"num_retries": 1.5}, "whole number"),
        ({"num_retries": True}, "whole number"),
        ({"base_delay": -1}, "seconds, 0 or more"),
    ],
    ids=["a fraction", "a truth", "below zero"],
)
def test_a_policy_that_makes_no_sense(wrong: dict[str, Any], expected: str) -> None:
    with pytest.raises(tokenwire.BadRequestError, match=expected):
        RetryPolicy(**wrong)


@pytest.mark.anyio
async def test_a_number_in_a_policy_s_place() -> None:
    policy: Any = 3
    with pytest.raises(tokenwire.BadRequestError, match=r"retry_policy must be a tokenwire\.RetryPolicy, not 3"):
        await tokenwire.acompletion("openai/m", MESSAGES, api_base="http://127.0.0.1:1", retry_policy=policy)
