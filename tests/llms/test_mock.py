"""`mock_response` and its kin: answers without a key and without a network."""

# pyright: reportArgumentType=false, reportCallIssue=false
# The records are made from dicts here, as LiteLLM's users do; the checker knows of the structs alone.

import time
from typing import Any

import anyio
import pytest

import tokenwire
from tokenwire import (
    APIError,
    BadRequestError,
    ContextWindowExceededError,
    EmbeddingResponse,
    InternalServerError,
    MockException,
    ModelResponse,
    RateLimitError,
    Timeout,
    Usage,
)
from tokenwire.testing import Endpoint, FakeClock, Reply, completion

from ..conftest import PATIENCE, an_hour

pytestmark = pytest.mark.anyio

MODEL = "openai/m"
MESSAGES = [{"role": "user", "content": "Hi"}]
CALL = {"type": "function", "id": "call_1", "function": {"name": "look", "arguments": "{}"}}


async def whole(mock: Any, **params: Any) -> ModelResponse:
    return await tokenwire.acompletion(MODEL, MESSAGES, mock_response=mock, **params)


async def streamed(mock: Any, **params: Any) -> list[Any]:
    async with await tokenwire.acompletion(MODEL, MESSAGES, mock_response=mock, stream=True, **params) as stream:
        return [chunk async for chunk in stream]


def text_of(chunks: list[Any], index: int = 0) -> str:
    choices = [choice for chunk in chunks for choice in chunk.choices if choice.index == index]
    return "".join(choice.delta.content or "" for choice in choices)


async def test_text() -> None:
    response = await whole("Hello!")

    assert response.choices[0].message.content == "Hello!"
    assert response.choices[0].finish_reason == "stop"
    assert response.model == "m"
    assert response.usage == Usage(prompt_tokens=10, completion_tokens=20, total_tokens=30)


async def test_text_in_pieces_of_three() -> None:
    chunks = await streamed("Hello!!")

    assert [chunk.choices[0].delta.content for chunk in chunks] == ["Hel", "lo!", "!", None]
    assert [chunk.choices[0].delta.role for chunk in chunks] == ["assistant", None, None, None]
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None, None, None, "stop"]
    assert {chunk.model for chunk in chunks} == {"m"}
    assert len({chunk.id for chunk in chunks}) == 1


async def test_every_function_takes_it() -> None:
    text = await tokenwire.atext_completion(MODEL, "Once", mock_response="upon")
    assert text.choices[0].text == "upon"
    async with await tokenwire.atext_completion(MODEL, "Once", mock_response="upon", stream=True) as stream:
        assert "".join([chunk.choices[0].text or "" async for chunk in stream]) == "upon"
    async with tokenwire.astreaming(MODEL, MESSAGES, mock_response="Hello!") as pieces:
        assert "".join([piece.text async for piece in pieces]) == "Hello!"


@pytest.mark.parametrize("model", ["gpt-4o", "text-completion-openai/m", "hosted_vllm/m"])
async def test_for_every_provider(model: str) -> None:
    response = await tokenwire.acompletion(model, MESSAGES, mock_response="Hello!")

    assert response.choices[0].message.content == "Hello!"


def test_from_sync_code() -> None:
    assert tokenwire.completion(MODEL, MESSAGES, mock_response="Hi!").choices[0].message.content == "Hi!"
    assert "".join(piece.text for piece in tokenwire.streaming(MODEL, MESSAGES, mock_response="Hi!")) == "Hi!"
    assert tokenwire.text_completion(MODEL, "Once", mock_response="upon").choices[0].text == "upon"


async def test_empty_text_is_an_empty_answer() -> None:
    assert (await whole("")).choices[0].message.content == ""
    chunks = await streamed("")
    assert text_of(chunks) == ""
    assert chunks[-1].choices[0].finish_reason == "stop"


@pytest.mark.parametrize("value, shown", [(True, "True"), (42, "42")])
async def test_other_values_become_text(value: Any, shown: str) -> None:
    assert (await whole(value)).choices[0].message.content == shown


async def test_n() -> None:
    response = await whole("Hello!", n=3)
    assert [(choice.index, choice.message.content) for choice in response.choices] == [(index, "Hello!") for index in range(3)]

    chunks = await streamed("Hello!", n=2)
    assert [text_of(chunks, index) for index in range(2)] == ["Hello!", "Hello!"]
    assert [choice.finish_reason for choice in chunks[-1].choices] == ["stop", "stop"]


async def test_usage_comes_with_the_end_of_a_stream() -> None:
    chunks = await streamed("Hello!", stream_options={"include_usage": True})

    assert [chunk.usage for chunk in chunks if chunk.usage] == [Usage(prompt_tokens=10, completion_tokens=20, total_tokens=30)]


async def test_a_model_response_is_returned_as_it_is() -> None:
    mine = ModelResponse(
        model="theirs", choices=[{"message": {"content": "Hi", "tool_calls": [CALL]}, "finish_reason": "length"}]
    )

    assert await whole(mine) is mine
    chunks = await streamed(mine)
    assert text_of(chunks) == "Hi"
    assert {chunk.model for chunk in chunks} == {"theirs"}
    assert chunks[-1].choices[0].finish_reason == "length"
    assert chunks[0].choices[0].delta.tool_calls[0].function.name == "look"


async def test_a_dict_is_the_fields_of_one() -> None:
    fields = {"id": "mine", "choices": [{"message": {"content": "Hello!"}, "finish_reason": "length"}], "extra": 1}

    response = await whole(fields)
    assert (response.id, response.choices[0].message.content, response["extra"]) == ("mine", "Hello!", 1)
    chunks = await streamed(fields)
    assert text_of(chunks) == "Hello!"
    assert {chunk.id for chunk in chunks} == {"mine"}
    assert chunks[-1].choices[0].finish_reason == "length"


async def test_tool_calls() -> None:
    response = await tokenwire.acompletion(MODEL, MESSAGES, mock_tool_calls=[CALL])

    message = response.choices[0].message
    assert message.content == "This is a mock request"
    assert [(call.id, call.function.name) for call in message.tool_calls or [] if call.function] == [("call_1", "look")]


async def test_tool_calls_are_streamed_too() -> None:
    async with await tokenwire.acompletion(MODEL, MESSAGES, mock_tool_calls=[CALL], stream=True) as stream:
        chunks = [chunk async for chunk in stream]

    assert text_of(chunks) == "This is a mock request"
    calls = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or []]
    assert [(call.index, call.id, call.function.name) for call in calls if call.function] == [(0, "call_1", "look")]
    assert stream.response is not None
    assert stream.response.choices[0].message.tool_calls[0].id == "call_1"  # type: ignore[union-attr]


class TheirError(Exception):
    def __init__(self, status_code: Any) -> None:
        self.status_code = status_code
        super().__init__("theirs")


@pytest.mark.parametrize(
    "mock, cls, status",
    [
        pytest.param(RateLimitError("slower"), RateLimitError, 429, id="ours"),
        pytest.param(ValueError("wrong"), InternalServerError, 500, id="any"),
        pytest.param(TheirError(503), tokenwire.ServiceUnavailableError, 503, id="with a status"),
        pytest.param(TheirError(418), BadRequestError, 418, id="with a rare status"),
        pytest.param("litellm.RateLimitError", RateLimitError, 429, id="magic 429"),
        pytest.param("litellm.ContextWindowExceededError", ContextWindowExceededError, 400, id="magic 400"),
        pytest.param("litellm.InternalServerError", InternalServerError, 500, id="magic 500"),
        pytest.param("Exception: content_filter_policy", BadRequestError, 400, id="magic filter"),
        pytest.param("Exception: mock_streaming_error", MockException, 529, id="magic 529"),
    ],
)
class TestErrors:
    async def test_are_raised(self, mock: Any, cls: type[APIError], status: int) -> None:
        with pytest.raises(cls) as caught:
            await whole(mock, num_retries=0)

        assert (caught.value.status_code, caught.value.llm_provider, caught.value.model) == (status, "openai", "m")

    async def test_are_raised_when_a_stream_is_opened(self, mock: Any, cls: type[APIError], status: int) -> None:
        with pytest.raises(cls):
            await tokenwire.acompletion(MODEL, MESSAGES, mock_response=mock, stream=True, num_retries=0)

    async def test_are_raised_at_the_first_flat_chunk(self, mock: Any, cls: type[APIError], status: int) -> None:
        stream = tokenwire.astreaming(MODEL, MESSAGES, mock_response=mock, num_retries=0)
        with pytest.raises(cls):
            await anext(stream)
        assert stream.outcome == "error"


async def test_mocked_errors_are_not_waited_for() -> None:
    """A mock is no endpoint: nothing gets better by asking again."""
    before = time.monotonic()

    with pytest.raises(RateLimitError) as caught:
        await whole("litellm.RateLimitError")

    assert len(caught.value.attempts) == 1
    assert time.monotonic() - before < PATIENCE


async def test_other_magic_looking_texts_are_texts() -> None:
    assert (await whole("litellm.Timeout")).choices[0].message.content == "litellm.Timeout"


@pytest.mark.parametrize("stream", [False, True])
async def test_mock_timeout(stream: bool) -> None:
    with anyio.fail_after(PATIENCE), pytest.raises(Timeout) as caught:
        await tokenwire.acompletion(MODEL, MESSAGES, mock_timeout=True, timeout=0.01, stream=stream)

    assert caught.value.status_code == 408


async def test_mock_timeout_false_asks_the_endpoint() -> None:
    with Endpoint(Reply(json=completion("real"))) as endpoint:
        response = await tokenwire.acompletion(MODEL, MESSAGES, api_base=endpoint.url, mock_timeout=False)

    assert response.choices[0].message.content == "real"


async def test_mock_response_none_asks_the_endpoint() -> None:
    with Endpoint(Reply(json=completion("real"))) as endpoint:
        response = await whole(None, api_base=endpoint.url)

    assert response.choices[0].message.content == "real"


@pytest.mark.parametrize("stream", [False, True])
async def test_mock_delay(stream: bool, clock: FakeClock) -> None:
    before = time.monotonic()
    async with an_hour(clock):
        answer: Any = await tokenwire.acompletion(MODEL, MESSAGES, mock_response="late", mock_delay=20, stream=stream)
        assert time.monotonic() - before == pytest.approx(20)

    if stream:
        await answer.aclose()


@pytest.mark.parametrize("delay", [-1, "soon"])
async def test_mock_delay_must_be_seconds(delay: Any) -> None:
    with pytest.raises(BadRequestError, match="mock_delay"):
        await whole("late", mock_delay=delay)


async def test_embeddings() -> None:
    response = await tokenwire.aembedding(MODEL, ["a", "b"], mock_response=[0.5, 1.0])

    assert [(item.index, item["embedding"]) for item in response.data] == [(0, [0.5, 1.0]), (1, [0.5, 1.0])]
    assert response.model == "m"
    assert response.usage is not None
    assert response.usage.prompt_tokens == 10


async def test_embedding_responses_and_errors() -> None:
    mine = EmbeddingResponse(model="theirs", data=[{"embedding": [1.0]}])
    assert await tokenwire.aembedding(MODEL, "a", mock_response=mine) is mine
    with pytest.raises(RateLimitError):
        await tokenwire.aembedding(MODEL, "a", mock_response=RateLimitError("slower"), num_retries=0)
    with pytest.raises(BadRequestError, match="mock_response"):
        await tokenwire.aembedding(MODEL, "a", mock_response="text")


async def test_images() -> None:
    response = await tokenwire.aimage_generation("a cat", MODEL, mock_response=[{"url": "here"}])
    assert response.data[0].url == "here"
    with pytest.raises(BadRequestError, match="mock_response"):
        await tokenwire.aimage_generation("a cat", MODEL, mock_response="text")


async def test_the_model_must_be_known_all_the_same() -> None:
    with pytest.raises(tokenwire.UnknownProviderError):
        await tokenwire.acompletion("unheard-of", MESSAGES, mock_response="Hello!")


async def test_nothing_is_sent() -> None:
    with Endpoint(Reply(json=completion())) as endpoint:
        await whole("Hello!", api_base=endpoint.url)
        await streamed("", api_base=endpoint.url)
        await tokenwire.aembedding(MODEL, "a", mock_response=[1.0], api_base=endpoint.url)

    assert endpoint.requests == []
