"""Chat completions of a real model, on every loop: whole, streamed, and flat."""

import json
from typing import Any, Literal, TypedDict

import msgspec
import pydantic
import pytest

from tokenwire import ModelResponse, ModelResponseStream, acompletion, astreaming

from ..conftest import one_loop

pytestmark = [pytest.mark.real_model, pytest.mark.anyio]

MODEL = "openai/smollm2"
HI = [{"role": "user", "content": "Hi"}]


async def collect(messages: list[dict[str, Any]], **params: Any) -> tuple[list[ModelResponseStream], ModelResponse]:
    """The chunks of a streamed answer, and the answer assembled from them."""
    async with await acompletion(MODEL, messages, stream=True, **params) as stream:
        chunks = [chunk async for chunk in stream]
    assert stream.outcome == "complete"
    assert isinstance(stream.response, ModelResponse)
    return chunks, stream.response


def pieces(chunks: list[ModelResponseStream]) -> list[str]:
    return [choice.delta.content for chunk in chunks for choice in chunk.choices if choice.delta.content]


async def test_the_streamed_answer_is_the_whole_one(local: Any) -> None:
    whole = await acompletion(MODEL, HI, **local)
    chunks, streamed = await collect(HI, **local)
    message = whole.choices[0].message
    assert message.role == "assistant"
    assert message.content is not None
    assert message.content.startswith("Hello")
    assert whole.choices[0].finish_reason == "stop"
    assert streamed.choices == whole.choices
    assert len(pieces(chunks)) > 5
    assert "".join(pieces(chunks)) == message.content
    assert (streamed.model, streamed.system_fingerprint) == (whole.model, whole.system_fingerprint)
    assert {chunk.id for chunk in chunks} == {streamed.id} != {whole.id}


async def test_flat_chunks_say_what_the_chat_chunks_say(local: Any) -> None:
    chunks, _ = await collect(HI, **local)
    async with astreaming(MODEL, HI, **local) as stream:
        flat = [chunk async for chunk in stream]
    assert [chunk.text for chunk in flat if chunk.text] == pieces(chunks)
    assert [chunk.finish_reason for chunk in flat if chunk.is_finished] == ["stop"]
    assert flat[-1].is_finished
    assert stream.outcome == "complete"


async def test_the_stream_knows_when_what_happened(local: Any) -> None:
    async with astreaming(MODEL, HI, **local) as stream:
        assert stream.timings.opened is None
        async for _ in stream:
            assert stream.timings.total is None
    timings = stream.timings
    assert timings.opened is not None
    assert timings.first_content is not None
    assert timings.total is not None
    assert 0 < timings.opened <= timings.first_content < timings.total
    assert [attempt.status for attempt in stream.attempts] == [200]


async def test_max_tokens_ends_it_with_length(local: Any) -> None:
    short = local | {"max_tokens": 3}
    whole = await acompletion(MODEL, HI, **short)
    chunks, streamed = await collect(HI, **short)
    assert whole.choices[0].finish_reason == streamed.choices[0].finish_reason == "length"
    assert whole.usage is not None
    assert whole.usage.completion_tokens == len(pieces(chunks)) == 3


@one_loop
async def test_stop_ends_it_before_the_word(local: Any) -> None:
    unstopped = (await acompletion(MODEL, HI, **local)).choices[0].message.content or ""
    word = unstopped.split()[3]
    whole = await acompletion(MODEL, HI, stop=[word], **local)
    _, streamed = await collect(HI, stop=[word], **local)
    assert whole.choices[0].message.content == unstopped[: unstopped.index(word)]
    assert whole.choices[0].finish_reason == "stop"
    assert streamed.choices == whole.choices


@one_loop
async def test_each_of_n_choices_is_kept_apart(local: Any) -> None:
    alone = await acompletion(MODEL, HI, **local)
    whole = await acompletion(MODEL, HI, n=2, **local)
    chunks, streamed = await collect(HI, n=2, **local)
    expected = [(index, alone.choices[0].message.content, "stop") for index in (0, 1)]
    assert [(choice.index, choice.message.content, choice.finish_reason) for choice in whole.choices] == expected
    assert sorted((choice.index or 0, choice.message.content, choice.finish_reason) for choice in streamed.choices) == expected
    assert {choice.index for chunk in chunks for choice in chunk.choices} == {0, 1}
    async with astreaming(MODEL, HI, n=2, **local) as stream:
        texts = {0: "", 1: ""}
        async for chunk in stream:
            texts[chunk.index] += chunk.text
    assert set(texts.values()) == {alone.choices[0].message.content}


@one_loop
async def test_logprobs_come_with_every_token(local: Any) -> None:
    whole = await acompletion(MODEL, HI, logprobs=True, top_logprobs=2, **local)
    chunks, streamed = await collect(HI, logprobs=True, top_logprobs=2, **local)
    for response in (whole, streamed):
        tokens = response.choices[0].logprobs["content"]
        assert "".join(token["token"] for token in tokens).startswith(response.choices[0].message.content or "-")
        assert all(token["logprob"] <= 0 and len(token["top_logprobs"]) == 2 for token in tokens)
    with_logprobs = [chunk for chunk in chunks if chunk.choices and chunk.choices[0].logprobs]
    assert [chunk.choices[0].logprobs["content"][0]["token"] for chunk in with_logprobs] == pieces(chunks)


@one_loop
async def test_usage_comes_when_it_is_asked_for(local: Any) -> None:
    whole = await acompletion(MODEL, HI, **local)
    chunks, streamed = await collect(HI, stream_options={"include_usage": True}, **local)
    assert whole.usage is not None
    assert streamed.usage is not None
    assert chunks[-1].choices == []
    assert chunks[-1].usage == streamed.usage
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
    for count in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert streamed.usage[count] == whole.usage[count] > 0
    assert whole.usage.prompt_tokens_details is not None
    assert whole.usage.prompt_tokens_details.cached_tokens is not None
    chunks, streamed = await collect(HI, **local)
    assert streamed.usage is None
    assert all(chunk.usage is None for chunk in chunks)


@one_loop
async def test_what_only_llama_cpp_knows_goes_there_and_comes_back(local: Any) -> None:
    own = local | {"timings_per_token": True, "return_progress": True}
    whole = await acompletion(MODEL, HI, **own)
    chunks, _ = await collect(HI, **own)
    assert whole.timings["predicted_n"] == whole["timings"]["predicted_n"] == 10  # type: ignore[attr-defined]
    assert whole.provider_specific_fields is not None
    assert whole.provider_specific_fields["timings"] == json.loads(whole.raw or b"")["timings"]
    timed = [chunk for chunk in chunks if "timings" in chunk]
    assert [chunk["timings"]["predicted_n"] for chunk in timed if pieces([chunk])] == [*range(1, 10)]
    assert timed[-1].model_dump()["timings"] == json.loads(timed[-1].raw or b"")["timings"]
    assert (chunks[0].provider_specific_fields or {})["prompt_progress"]["total"] > 0
    async with astreaming(MODEL, HI, **own) as stream:
        flat = [chunk async for chunk in stream]
    assert json.loads(flat[-1].raw or b"")["timings"]["predicted_n"] == 10


class Verdict(msgspec.Struct):
    answer: Literal["yes"]


@one_loop
async def test_an_answer_in_a_schema(local: Any) -> None:
    _, response = await collect(HI, response_format=Verdict, **local | {"max_tokens": 40})
    assert msgspec.json.decode(response.choices[0].message.content or "", type=Verdict) == Verdict("yes")
    assert response.choices[0].message.parsed == Verdict("yes")


class Place(msgspec.Struct):
    name: Literal["Paris", "Rome"]
    capital: bool
    mayor: Literal["nobody"] | msgspec.UnsetType = msgspec.UNSET


class Town(pydantic.BaseModel):
    place: Literal["Paris"] = pydantic.Field(description="its name")
    parts: tuple[bool, bool]


class Pair(TypedDict):
    second: Literal["b"]
    first: Literal["a"]


TYPES: list[Any] = [Place, Town, Pair, Place | None, Literal["yes", "no"], bool, tuple[bool, bool]]


@one_loop
@pytest.mark.parametrize("cls", TYPES, ids=str)
async def test_types_of_every_kind_whole_streamed_and_partial(local: Any, cls: Any) -> None:
    own = local | {"max_tokens": 80, "response_format": cls}
    whole = await acompletion(MODEL, HI, **own)
    assert whole.choices[0].finish_reason == "stop"
    async with astreaming(MODEL, HI, **own) as stream:
        partials = [(partial, partial.parsed) async for partial in stream.partials()]
    assert isinstance(stream.response, ModelResponse)
    assert stream.response.choices[0].message.parsed == whole.choices[0].message.parsed == partials[-1][1]
    assert partials[-1][0].done
