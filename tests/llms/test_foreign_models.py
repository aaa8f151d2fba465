"""Handlers written for LiteLLM return LiteLLM's models, which are pydantic's; these here have the same shape."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import BaseModel

import tokenwire
from tokenwire import CustomLLM, EmbeddingResponse, ImageResponse, ModelResponse, TextCompletionResponse

pytestmark = pytest.mark.anyio


class Message(BaseModel):
    role: str = "assistant"
    content: str | None = None
    tool_calls: list[Any] | None = None


class Choices(BaseModel):
    index: int = 0
    message: Message
    finish_reason: str = "stop"


class Usage(BaseModel):
    prompt_tokens: int = 1
    completion_tokens: int = 2
    total_tokens: int = 3


class Whole(BaseModel):
    id: str = "theirs"
    choices: list[Choices] = [Choices(message=Message(content="Hello there"))]
    usage: Usage = Usage()


class Delta(BaseModel):
    role: str | None = None
    content: str | None = None


class StreamingChoices(BaseModel):
    index: int = 0
    delta: Delta
    finish_reason: str | None = None


class Chunk(BaseModel):
    id: str = "theirs"
    choices: list[StreamingChoices]
    stream_options: dict[str, Any] | None = None


class Vectors(BaseModel):
    data: list[dict[str, Any]] = [{"index": 0, "embedding": [0.5, 1.0]}]
    usage: Usage = Usage()


class Images(BaseModel):
    created: int = 5
    data: list[dict[str, Any]] = [{"url": "https://example.org/1.png", "b64_json": None}]


class Completes(CustomLLM):
    async def acompletion(self, *args: Any, **kwargs: Any) -> Any:
        return Whole()


class Streams(CustomLLM):
    async def astreaming(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        yield Chunk(choices=[StreamingChoices(delta=Delta(role="assistant", content="Hello"))])
        yield Chunk(choices=[StreamingChoices(delta=Delta(content=" there"))])
        yield Chunk(choices=[StreamingChoices(delta=Delta(), finish_reason="length")])

    async def aembedding(self, *args: Any, **kwargs: Any) -> Any:
        return Vectors()

    async def aimage_generation(self, *args: Any, **kwargs: Any) -> Any:
        return Images()


async def streamed(handler: Any) -> tuple[str, Any]:
    tokenwire.register("mine", handler)
    async with await tokenwire.acompletion("mine/any", [], stream=True) as stream:
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream]), stream.response


async def test_a_whole_answer() -> None:
    tokenwire.register("mine", Completes())
    response = await tokenwire.acompletion("mine/any", [])
    assert isinstance(response, ModelResponse)
    assert (response.id, response.choices[0].message.content) == ("theirs", "Hello there")
    assert response.usage == tokenwire.Usage(prompt_tokens=1, completion_tokens=2, total_tokens=3)


async def test_a_whole_answer_as_a_stream() -> None:
    text, response = await streamed(Completes())
    assert text == "Hello there"
    assert response.usage.total_tokens == 3


async def test_chunks() -> None:
    text, response = await streamed(Streams())
    assert text == "Hello there"
    assert (response.id, response.choices[0].finish_reason) == ("theirs", "length")


async def test_parts_of_theirs_in_ours() -> None:
    """Built of them, or with one put in."""

    async def handler(model_response: Any, **_: Any) -> Any:
        model_response.choices = ModelResponse(choices=[Choices(message=Message(content="Hello there"))]).choices  # type: ignore[list-item]
        model_response.usage = Usage()
        return model_response

    tokenwire.register("mine", handler)
    response = await tokenwire.acompletion("mine/any", [])
    assert response.choices[0].message == tokenwire.Message(role="assistant", content="Hello there")
    assert response.model_dump(exclude_none=True)["usage"] == Usage().model_dump()


async def test_embeddings_and_images() -> None:
    tokenwire.register("mine", Streams())
    vectors = await tokenwire.aembedding("mine/any", ["a"])
    assert isinstance(vectors, EmbeddingResponse)
    assert vectors.data[0].embedding == [0.5, 1.0]
    images = await tokenwire.aimage_generation("a cat", model="mine/any")
    assert isinstance(images, ImageResponse)
    assert images.data[0].url == "https://example.org/1.png"


@pytest.mark.parametrize("choice", [{"message": {"content": "Hello"}}, {"text": "Hello"}], ids=["chat", "text"])
async def test_a_dict_of_a_whole_answer(choice: dict[str, Any]) -> None:
    """Streamed or not, of either kind: no text is lost."""
    fields = {"choices": [{**choice, "index": 0, "finish_reason": "stop"}]}

    async def handler(**_: Any) -> Any:
        return fields

    tokenwire.register("mine", handler)
    response = await tokenwire.acompletion("mine/any", [])
    assert response.choices[0].message.content == "Hello"
    assert (await streamed(handler))[0] == "Hello"
    text = await tokenwire.atext_completion("mine/any", "Hi")
    assert isinstance(text, TextCompletionResponse)
    assert text.choices[0].text == "Hello"
