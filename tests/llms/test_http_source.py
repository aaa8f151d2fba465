"""Answers to a streaming request that are no stream, and errors that the end of a body must not hide."""

from typing import Any

import pytest

import tokenwire
from tokenwire import APIError, LimitExceededError, Limits, RateLimitError, StreamTruncatedError
from tokenwire.testing import Endpoint, Reply, completion

pytestmark = pytest.mark.anyio

MESSAGES = [{"role": "user", "content": "Hi"}]
SAYS_429 = {"error": {"message": "slow down", "code": 429}}


async def read(reply: Reply, **keywords: Any) -> Any:
    with Endpoint(reply) as endpoint:
        stream = tokenwire.astreaming("openai/m", MESSAGES, api_base=endpoint.url, num_retries=0, **keywords)
        assert [piece async for piece in stream]
    return stream


async def test_a_whole_answer_is_content() -> None:
    stream = await read(Reply(json=completion("Hello")))
    assert stream.outcome == "complete"
    assert stream.timings.first_content is not None


async def test_a_whole_answer_has_a_limit() -> None:
    with pytest.raises(LimitExceededError) as caught:
        await read(Reply(json=completion("x" * 1000)), limits=Limits(max_body_bytes=100))
    assert caught.value.limit == "max_body_bytes"


async def test_an_event_has_a_limit_also_where_no_more_comes() -> None:
    with pytest.raises(LimitExceededError) as caught:
        await read(
            Reply(events=["a", b"data: " + b"x" * 1000], done=False, stall=True), limits=Limits(max_event_bytes=500), timeout=5
        )
    assert caught.value.limit == "max_event_bytes"


@pytest.mark.parametrize("cut", ["fin", "rst"])
async def test_what_the_server_said_comes_before_how_the_body_ended(cut: Any) -> None:
    with pytest.raises(APIError) as caught:
        await read(Reply(events=["one", SAYS_429], done=False, cut=cut))
    assert type(caught.value) is RateLimitError


async def test_a_broken_connection_is_the_cause() -> None:
    with pytest.raises(StreamTruncatedError) as caught:
        await read(Reply(events=["one"], done=False, cut="rst"))
    assert caught.value.__cause__ is not None
