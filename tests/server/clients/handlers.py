"""What the clients talk to."""

from typing import Any

from tokenwire import (
    CustomLLM,
    Embedding,
    EmbeddingResponse,
    GenericStreamingChunk,
    RateLimitError,
    ServiceUnavailableError,
    Usage,
)

USAGE = Usage(prompt_tokens=2, completion_tokens=3, total_tokens=5)


async def words(**_: Any) -> Any:
    for word in ("Once", " upon"):
        yield GenericStreamingChunk(text=word)
    yield GenericStreamingChunk(text=" a time", is_finished=True, finish_reason="stop", usage=USAGE)


async def tools(**_: Any) -> Any:
    call: Any = {"id": "call_1", "type": "function", "index": 0, "function": {"name": "add", "arguments": '{"a": 1,'}}
    yield GenericStreamingChunk(tool_use=call)
    rest: Any = {"id": None, "type": "function", "index": 0, "function": {"name": None, "arguments": ' "b": 2}'}}
    yield GenericStreamingChunk(tool_use=rest)
    yield GenericStreamingChunk(is_finished=True, finish_reason="tool_calls", usage=USAGE)


async def busy(**_: Any) -> Any:
    raise RateLimitError("slower, please", retry_after=7)
    yield


async def broken(**_: Any) -> Any:
    yield "Once"
    raise ServiceUnavailableError("the model is gone")


class Vectors(CustomLLM):
    async def aembedding(self, *args: Any, **kwargs: Any) -> EmbeddingResponse:
        data = [Embedding(index=index, embedding=[index, 0.5]) for index, _ in enumerate(kwargs["input"])]
        return EmbeddingResponse(data=data, usage=USAGE)


class Pictures(CustomLLM):
    async def aimage_edit(self, *args: Any, image: Any, prompt: str, optional_params: Any, **kwargs: Any) -> Any:
        assert [file.read() for file in (*image, optional_params["mask"])] == [b"one", b"two", b"m"]
        return {"data": [{"url": f"{prompt} {optional_params['n']}"}]}


class Counts(CustomLLM):
    async def acount_tokens(self, *args: Any, messages: Any, **kwargs: Any) -> int:
        return len(messages)


MODELS: dict[str, Any] = {"words": words, "tools": tools, "busy": busy, "broken": broken, "vectors": Vectors()}
MORE: dict[str, Any] = {"pictures": Pictures(), "counts": Counts()}
