"""Text completions, embeddings, images and models, as handlers answer them."""

import base64
import numbers
from array import array
from functools import partial
from typing import Any

import pytest
from openai.types import Completion, CreateEmbeddingResponse, ImagesResponse, Model

from tokenwire import Choices, CustomLLM, EmbeddingResponse, ImageResponse, Message, ModelResponse
from tokenwire.server import create_app

VECTORS = [[0.5, -1.0], [2.0, 0.25]]


@pytest.fixture
def anyio_backend() -> str:
    """Nothing here depends on the event loop."""
    return "asyncio"


class Handler(CustomLLM):
    """Answers everything, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: dict[str, Any] = {}

    async def acompletion(self, *args: Any, **kwargs: Any) -> Any:
        self.asked = kwargs
        return "Hello"

    async def aembedding(self, *args: Any, **kwargs: Any) -> Any:
        self.asked = kwargs
        return EmbeddingResponse(data=[{"embedding": vector} for vector in VECTORS])  # type: ignore[list-item]

    async def aimage_generation(self, *args: Any, **kwargs: Any) -> Any:
        self.asked = kwargs
        return ImageResponse(data=[{"url": "http://images/1.png"}])  # type: ignore[list-item]


@pytest.fixture
def handler() -> Handler:
    return Handler()


@pytest.mark.parametrize("prompt", ["Hi", ["Hi", "Ho"], [1, 2, 3], [[1, 2], [3]]], ids=["text", "texts", "tokens", "lists"])
@pytest.mark.anyio
async def test_a_text_completion(prompt: Any, ask: Any) -> None:
    asked: list[dict[str, Any]] = []

    class Knows(CustomLLM):
        """Two completions of anything."""

        async def acompletion(self, *args: Any, prompt: Any, echo: bool, n: int, **kwargs: Any) -> Any:
            asked.append({**kwargs, "prompt": prompt, "echo": echo, "n": n})
            return ModelResponse(choices=[Choices(message=Message(content="Hello"), index=index) for index in range(n)])

    body = {"model": "m", "prompt": prompt, "echo": True, "n": 2, "suffix": "!"}
    answer = await ask(create_app({"m": Knows()}), body, "/v1/completions")
    completion = Completion.model_validate(answer.json(), strict=True)
    assert (completion.object, completion.choices[0].text, completion.model) == ("text_completion", "Hello", "m")
    assert completion.id.startswith("cmpl-")
    prompts = prompt if prompt in (["Hi", "Ho"], [[1, 2], [3]]) else [prompt]
    assert [choice.index for choice in completion.choices] == [*range(2 * len(prompts))]
    for call, one in zip(asked, prompts, strict=True):
        assert call["optional_params"] == {"echo": True, "n": 2, "suffix": "!"}
        assert (call["prompt"], call["echo"], call["n"]) == (one, True, 2)
        assert call["messages"] == [{"role": "user", "content": one}]


@pytest.mark.anyio
async def test_a_text_completion_is_streamed(ask: Any, handler: Handler) -> None:
    body = {"model": "m", "prompt": "Hi", "stream": True}
    *events, done = (await ask(create_app({"m": handler}), body, "/completions")).events()
    assert "".join(event["choices"][0]["text"] for event in events) == "Hello"
    assert [event["choices"][0]["finish_reason"] for event in events] == [None] * (len(events) - 1) + ["stop"]
    assert {event["object"] for event in events} == {"text_completion"}
    assert len({event["id"] for event in events}) == 1
    assert done == "[DONE]"


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["completions", "chat/completions"])
async def test_text_is_sent_as_it_is_said(path: str, ask: Any) -> None:
    """All of it, whatever is in it, and from wherever it begins."""
    said = ["", "One", ' "two"\n', "\u2028 \U0001f600 \x01", "\\u0041", ""]

    async def handler(**_: Any) -> Any:
        for text in said:
            yield {"text": text, "is_finished": False, "finish_reason": "", "usage": None, "index": 0}
        yield {"text": "", "is_finished": True, "finish_reason": "stop", "usage": None, "index": 0}

    body = {"model": "m", "stream": True, "stream_options": {"include_usage": True}}
    body |= {"prompt": "Hi"} if path == "completions" else {"messages": [{"role": "user", "content": "Hi"}]}
    *events, _ = (await ask(create_app({"m": handler}), body, f"/{path}")).events()
    choices = [event["choices"][0] for event in events]
    assert "".join(choice.get("text") or choice.get("delta", {}).get("content") or "" for choice in choices) == "".join(said)
    assert len({frozenset(event) for event in events}) == 1
    assert len({(event["id"], event["created"], event["model"]) for event in events}) == 1


@pytest.mark.anyio
async def test_embeddings_are_floats_or_base64(ask: Any, handler: Handler) -> None:
    app = create_app({"m": handler})
    body = {"model": "m", "input": ["a", "b"], "dimensions": 2}
    floats = (await ask(app, body, "/v1/embeddings")).json()
    response = CreateEmbeddingResponse.model_validate(floats, strict=True)
    assert [item.embedding for item in response.data] == VECTORS
    assert [item.index for item in response.data] == [0, 1]
    assert handler.asked["input"] == ["a", "b"]
    assert handler.asked["optional_params"] == {"dimensions": 2}

    packed = (await ask(app, {**body, "encoding_format": "base64"}, "/embeddings")).json()
    assert [array("f", base64.b64decode(item["embedding"])).tolist() for item in packed["data"]] == VECTORS


class Number:
    """A number of its own kind, such as those in a list of numpy's."""

    def __init__(self, value: float) -> None:
        self._value = value

    def __float__(self) -> float:
        return self._value

    tolist = __float__


numbers.Real.register(Number)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "kind",
    [tuple, partial(array, "f"), partial(array, "d"), lambda vector: memoryview(array("f", vector)),
     lambda vector: [Number(value) for value in vector]],
    ids=["tuple", "array", "doubles", "buffer", "numbers"],
)  # fmt: skip
async def test_embeddings_of_any_kind(kind: Any, ask: Any) -> None:
    class Handler(CustomLLM):
        async def aembedding(self, *args: Any, **kwargs: Any) -> Any:
            return {"data": [{"embedding": kind([0.5, -1.0])}]}

    app, body = create_app({"m": Handler()}), {"model": "m", "input": "a"}
    assert (await ask(app, body, "/embeddings")).json()["data"][0]["embedding"] == [0.5, -1.0]
    packed = (await ask(app, {**body, "encoding_format": "base64"}, "/embeddings")).json()["data"][0]["embedding"]
    assert array("f", base64.b64decode(packed)).tolist() == [0.5, -1.0]


@pytest.mark.anyio
async def test_embeddings_that_a_handler_put_in_as_dicts(ask: Any) -> None:
    """LiteLLM's documented manner."""

    class Handler(CustomLLM):
        async def aembedding(self, *args: Any, model_response: Any, **kwargs: Any) -> Any:
            model_response.data = [{"object": "embedding", "embedding": vector} for vector in VECTORS]
            return model_response

    answer = await ask(create_app({"m": Handler()}), {"model": "m", "input": ["a", "b"]}, "/embeddings")
    assert [(item["index"], item["embedding"]) for item in answer.json()["data"]] == [*enumerate(VECTORS)]


@pytest.mark.anyio
async def test_embeddings_are_asked_for_rightly(ask: Any, handler: Handler) -> None:
    app = create_app({"m": handler})
    wrong = await ask(app, {"model": "m", "input": "a", "encoding_format": "hex"}, "/embeddings")
    assert (wrong.status, wrong.error()["param"]) == (400, "encoding_format")
    streamed = await ask(app, {"model": "m", "input": "a", "stream": True}, "/embeddings")
    assert (streamed.status, streamed.error()["param"]) == (400, "stream")


@pytest.mark.anyio
async def test_images(ask: Any, handler: Handler) -> None:
    body = {"model": "m", "prompt": "a cat", "n": 1, "size": "256x256"}
    answer = await ask(create_app({"m": handler}), body, "/v1/images/generations")
    images = ImagesResponse.model_validate(answer.json(), strict=True)
    assert images.data is not None
    assert images.data[0].url == "http://images/1.png"
    assert handler.asked["prompt"] == "a cat"
    assert handler.asked["optional_params"] == {"n": 1, "size": "256x256"}


@pytest.mark.anyio
async def test_a_handler_without_the_method_says_so(ask: Any) -> None:
    async def chats_only(**_: Any) -> str:
        return "Hello"

    answer = await ask(create_app({"m": chats_only}), {"model": "m", "input": "a"}, "/embeddings")
    assert (answer.status, answer.error()["code"]) == (501, "not_supported")


@pytest.mark.anyio
async def test_the_models(ask: Any, handler: Handler) -> None:
    app = create_app({"m": handler, "org/m": handler})
    listed = (await ask(app, None, "/v1/models", method="GET")).json()
    assert listed["object"] == "list"
    assert [Model.model_validate(item, strict=True).id for item in listed["data"]] == ["m", "org/m"]
    assert (await ask(app, None, "/models/org/m", method="GET")).json() == listed["data"][1]
