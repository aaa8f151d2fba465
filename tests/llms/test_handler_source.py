"""What of a handler's chunks counts as content, what reaches the caller as it is, and that the handler's own stay so."""

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from tokenwire import (
    AsyncClient,
    Choices,
    CustomLLMError,
    GenericStreamingChunk,
    Message,
    ModelResponse,
    RetryPolicy,
    Timeouts,
)
from tokenwire.testing import FakeClock

from ..conftest import an_hour

pytestmark = pytest.mark.anyio

MESSAGES = [{"role": "user", "content": "Hi"}]


async def test_an_attempt_without_content_may_be_followed_by_another() -> None:
    calls: list[int] = []

    async def handler(messages: Any) -> AsyncIterator[Any]:
        calls.append(len(calls))
        yield GenericStreamingChunk(text="")
        if len(calls) == 1:
            raise CustomLLMError(503, "busy")
        yield "done"

    policy = RetryPolicy(num_retries=1, base_delay=0)
    async with AsyncClient(handlers={"mine": handler}) as client:
        stream = client.astreaming("mine/m", MESSAGES, retry_policy=policy)
        assert "".join([piece.text async for piece in stream]) == "done"
    assert calls == [0, 1]


async def test_each_piece_of_text_is_content(clock: FakeClock) -> None:
    async def handler(messages: Any) -> AsyncIterator[str]:
        for letter in "abcdef":
            yield letter
            await anyio.sleep(10)

    async with AsyncClient(handlers={"mine": handler}) as client, an_hour(clock):
        stream = client.astreaming("mine/m", MESSAGES, timeout=Timeouts(idle=30))
        assert "".join([piece.text async for piece in stream]) == "abcdef"


async def test_fields_beside_the_text_reach_the_caller() -> None:
    logprobs = {"content": []}

    async def handler(messages: Any) -> AsyncIterator[Any]:
        yield "a"
        yield GenericStreamingChunk(text="b", logprobs=logprobs)
        yield GenericStreamingChunk(text="c", provider_specific_fields={"x": 1})

    async with AsyncClient(handlers={"mine": handler}) as client:
        chunks = [chunk async for chunk in await client.acompletion("mine/m", MESSAGES, stream=True)]
    assert chunks[1].choices[0].logprobs is not None
    assert chunks[2].choices[0].delta.provider_specific_fields == {"x": 1}


async def test_a_chunk_in_the_wanted_shape_is_handed_on_itself_and_never_changed() -> None:
    plain = GenericStreamingChunk(text="b")
    ending = GenericStreamingChunk(text="", is_finished=True, finish_reason="end_turn")

    async def handler(messages: Any) -> AsyncIterator[Any]:
        yield "a"
        yield plain
        yield ending

    async with AsyncClient(handlers={"mine": handler}) as client:
        pieces = [piece async for piece in client.astreaming("mine/m", MESSAGES)]
    assert pieces[1] is plain
    assert (pieces[-1].finish_reason, ending.finish_reason) == ("stop", "end_turn")


async def test_text_after_chunks_ends_with_the_handler() -> None:
    async def handler(messages: Any) -> AsyncIterator[Any]:
        yield GenericStreamingChunk(text="a")
        yield "b"

    async with AsyncClient(handlers={"mine": handler}) as client:
        stream = client.astreaming("mine/m", MESSAGES)
        assert "".join([piece.text async for piece in stream]) == "ab"
    assert stream.outcome == "complete"


async def test_a_whole_answer_s_own_model_stays_when_it_is_streamed() -> None:
    async def handler(messages: Any) -> ModelResponse:
        return ModelResponse(model="other", choices=[Choices(message=Message(content="Hi"))])

    async with AsyncClient(handlers={"mine": handler}) as client:
        chunks = [chunk async for chunk in await client.acompletion("mine/m", MESSAGES, stream=True)]
    assert {chunk.model for chunk in chunks} == {"other"}
