"""What handlers written for LiteLLM do: where they put reasoning, text and fields of their own. Nothing of it is lost."""

# pyright: reportArgumentType=false, reportCallIssue=false, reportAttributeAccessIssue=false, reportOptionalMemberAccess=false
# The records are made from dicts here, as LiteLLM's users do; the checker knows of the structs alone.

import copy
import pickle
from collections.abc import AsyncIterator, Callable
from typing import Any
from unittest.mock import AsyncMock, MagicMock, Mock

import pytest

import tokenwire
from tokenwire import (
    Choices,
    CustomLLM,
    Delta,
    EmbeddingResponse,
    GenericStreamingChunk,
    Message,
    ModelResponse,
    ModelResponseStream,
    StreamingChoices,
    Usage,
)

pytestmark = pytest.mark.anyio

ASK = [{"role": "user", "content": "x"}]
PLAIN = {"text": "", "is_finished": False, "finish_reason": "", "usage": None, "index": 0}
END = {**PLAIN, "is_finished": True, "finish_reason": "stop"}
CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}


class Handler(CustomLLM):
    """Yields some items, or answers what a function makes of its `model_response`."""

    def __init__(self, *items: Any, answer: Callable[[ModelResponse], Any] | None = None) -> None:
        self.items = items
        self.answer = answer

    async def astreaming(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        for item in self.items:
            yield item

    async def acompletion(self, *args: Any, model_response: ModelResponse, **kwargs: Any) -> Any:
        if self.answer is None:
            raise tokenwire.CustomLLMError(status_code=500, message="Not implemented yet!")
        return self.answer(model_response)


async def streamed(*items: Any, call: Any = tokenwire.acompletion) -> tuple[list[Any], Any]:
    """The chunks that a caller gets of a handler's items, and the message in the end."""
    tokenwire.register("mine", Handler(*items))
    async with await call("mine/m", ASK, stream=True) if call is tokenwire.acompletion else call("mine/m", ASK) as stream:
        chunks = [chunk async for chunk in stream]
    return chunks, stream.response


async def answered(answer: Callable[[ModelResponse], Any]) -> Any:
    tokenwire.register("mine", Handler(answer=answer))
    return await tokenwire.acompletion("mine/m", ASK)


# Reasoning and other fields in the bag.


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
@pytest.mark.parametrize("make", [dict, GenericStreamingChunk], ids=["dict", "struct"])
@pytest.mark.parametrize("where", ["bag", "field"])
async def test_reasoning_under_any_name(name: str, make: Any, where: str) -> None:
    def item(text: str) -> Any:
        return make(**{**PLAIN, **({name: text} if where == "field" else {"provider_specific_fields": {name: text}})})

    items = [item("h"), item("m"), {**PLAIN, "text": "yes"}, END]
    chunks, response = await streamed(*items)
    assert [chunk.choices[0].delta.reasoning_content for chunk in chunks] == ["h", "m", None, None]
    if where == "bag":
        assert chunks[0].choices[0].delta.provider_specific_fields == {name: "h"}
    message = response.choices[0].message
    assert (message.reasoning_content, message.content, message.provider_specific_fields) == ("hm", "yes", None)
    flat, response = await streamed(*items, call=tokenwire.astreaming)
    assert [chunk.reasoning_content for chunk in flat[:2]] == ["h", "m"]
    assert response.choices[0].message.reasoning_content == "hm"


async def test_fields_of_a_message_in_the_bag() -> None:
    blocks = [{"type": "thinking", "thinking": "t"}]
    bag = {"thinking_blocks": blocks, "refusal": "no", "function_call": {"name": "f", "arguments": "{}"}, "x": 1}
    chunks, response = await streamed({**PLAIN, "provider_specific_fields": bag}, END)
    for found in (chunks[0].choices[0].delta, response.choices[0].message):
        assert (found.thinking_blocks, found.refusal, found.function_call.name) == (blocks, "no", "f")
    assert response.choices[0].message.provider_specific_fields == {"x": 1}


async def test_further_fields_of_chunks_are_in_the_whole() -> None:
    blocks = [{"type": "thinking", "thinking": "t"}]
    _, response = await streamed({**PLAIN, "text": "A", "thinking_blocks": blocks, "x": "1"}, {**PLAIN, "x": "2"}, END)
    message = response.choices[0].message
    assert (message.content, message.thinking_blocks, message.x) == ("A", blocks, "12")
    chunk = ModelResponseStream(choices=[StreamingChoices(delta=Delta(content="A", y="1"), z=1)], citations=["c"])
    _, response = await streamed(chunk, END)
    assert (response.citations, response.choices[0].z, response.choices[0].message.y) == (["c"], 1, "1")
    assert response.model_dump()["citations"] == ["c"]


async def test_any_field_of_a_whole_answer() -> None:
    def answer(response: Any) -> Any:
        response.choices[0].message.content = "A"
        response.choices[0].message["x"] = 1
        response.citations = ["c"]
        response._hidden_params["cost"] = 2
        return response

    response = await answered(answer)
    for kept in (response, copy.deepcopy(response), pickle.loads(pickle.dumps(response))):
        assert (kept.citations, kept.choices[0].message.x, kept._hidden_params["cost"]) == (["c"], 1, 2)
        assert (kept.model_dump()["citations"], kept.model_dump()["choices"][0]["message"]["x"]) == (["c"], 1)
    assert response._hidden_params["custom_llm_provider"] == "mine"


async def test_a_bag_of_call_details_of_one_s_own() -> None:
    def answer(response: Any) -> Any:
        response.choices[0].message.content = "A"
        response._hidden_params = {"cost": 2}
        response._response_headers = {"x-id": "7"}
        return response

    response = await answered(answer)
    assert (response._hidden_params["cost"], response._response_headers) == (2, {"x-id": "7"})


@pytest.mark.parametrize("streams", [True, False], ids=["stream", "whole"])
async def test_litellm_s_way_to_raise(streams: bool) -> None:
    def fail(*_: object) -> Any:
        raise tokenwire.RateLimitError("slow down", "theirs", "m")

    tokenwire.register("mine", Handler(answer=fail) if not streams else fail)
    with pytest.raises(tokenwire.RateLimitError, match="slow down"):
        await tokenwire.acompletion("mine/m", ASK)


# Where text can be.


@pytest.mark.parametrize(
    "item",
    [
        ModelResponse(choices=[{"delta": {"content": "Hi"}}], stream=True),
        ModelResponse(choices=[StreamingChoices(delta=Delta(content="Hi"))], stream=True),
        {"choices": [{"delta": {"content": "Hi"}, "message": None}]},
        {"choices": [{"message": {"content": "Hi"}, "finish_reason": None}]},
        {"choices": [{"text": "Hi"}]},
        ModelResponseStream(choices=[{"message": {"content": "Hi"}}]),
        ModelResponseStream(choices=[StreamingChoices(message=Message(content="Hi"))]),
        ModelResponseStream(choices=[{"text": "Hi"}]),
        {"choices": [{"delta": {"role": "assistant"}, "message": {"content": "Hi"}, "finish_reason": None}]},
        ModelResponseStream(choices=[{"delta": Delta(), "message": Message(content="Hi")}]),
    ],
    ids=["delta", "record", "no-message", "message", "text", "message-in-a-chunk", "record-in-a-chunk", "text-in-a-chunk",
         "beside-an-empty-delta", "beside-an-empty-record"],
)  # fmt: skip
async def test_a_piece_of_text_wherever_it_is(item: Any) -> None:
    chunks, response = await streamed(item, item, END)
    texts = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices[0].delta.content]
    assert texts == ["Hi", "Hi"]
    assert {chunk.choices[0].finish_reason for chunk in chunks[:-1]} == {None}
    assert (response.choices[0].message.content, response.choices[0].finish_reason) == ("HiHi", "stop")


async def test_a_delta_set_on_a_response() -> None:
    piece = ModelResponse(stream=True)
    piece.choices[0].delta = Delta(content="Hi", tool_calls=[CALL])
    piece.x = 1
    piece.usage = Usage(total_tokens=3)
    chunks, response = await streamed(piece, END)
    assert chunks[0].choices[0].finish_reason is None
    assert (chunks[0].choices[0].delta.content, chunks[0]["x"], chunks[0].usage.total_tokens) == ("Hi", 1, 3)
    assert response.choices[0].message.tool_calls[0].id == "a"


@pytest.mark.parametrize(
    "item",
    [
        {**PLAIN, "content": "Hi"},
        {**PLAIN, "message": {"content": "Hi"}},
        {**PLAIN, "delta": {"content": "Hi"}},
        ModelResponseStream(choices=[{"content": "Hi"}]),
        ModelResponseStream(text="Hi"),
        ModelResponse(choices=[{"text": "Hi"}], stream=True),
        ModelResponseStream(choices=[{"delta": {"text": "Hi"}}]),
        {"choices": [{"delta": {"message": {"content": "Hi"}}}]},
        {"content": "Hi"},
    ],
)
async def test_text_where_nobody_looks_is_refused(item: Any) -> None:
    with pytest.raises(tokenwire.APIResponseValidationError) as caught:
        await streamed(item, END)
    assert caught.value.fault == "handler"
    assert any(name in str(caught.value) for name in ("content", "message", "delta", "text"))


async def test_fields_of_such_names_beside_text_are_fields() -> None:
    _, response = await streamed({**PLAIN, "text": "A", "content": "B"}, {**END, "message": "done"})
    assert response.choices[0].message.content == "A"
    assert response.choices[0].message.message == "done"


def set_content(response: Any) -> Any:
    response.content = "Hi"
    return response


def set_text(response: Any) -> Any:
    response.choices[0].message.text = "Hi"
    return response


@pytest.mark.parametrize(
    "answer",
    [
        lambda response: {"content": "Hi"},
        lambda response: {"id": "x"},
        lambda response: ModelResponse(choices=[{"text": "Hi"}]),
        lambda response: ModelResponse(text="Hi"),
        set_content,
    ],
)
async def test_whole_answers_with_text_where_nobody_looks_are_refused(answer: Any) -> None:
    with pytest.raises(tokenwire.APIResponseValidationError) as caught:
        await answered(answer)
    assert caught.value.fault == "handler"


@pytest.mark.parametrize(
    "answer",
    [
        lambda response: ModelResponse(choices=[{"delta": {"content": "Hi"}}]),
        lambda response: {"choices": [{"delta": {"content": "Hi"}}]},
        lambda response: {"choices": [{"text": "Hi"}]},
        lambda response: ModelResponse(choices=[Choices(message={"content": "Hi", "text": "Ho"})]),
        set_text,
    ],
)
async def test_a_whole_answer_s_text_wherever_it_is(answer: Any) -> None:
    assert (await answered(answer)).choices[0].message.content == "Hi"


async def test_embeddings_without_data_are_refused() -> None:
    class Embeds(CustomLLM):
        async def aembedding(self, *args: Any, **kwargs: Any) -> Any:
            return {"embeddings": [[0.5]]}

    tokenwire.register("mine", Embeds())
    with pytest.raises(tokenwire.APIResponseValidationError, match="EmbeddingResponse"):
        await tokenwire.aembedding("mine/m", ["x"])


# Mocks.


async def test_mocks_count_as_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    handler = Handler()
    answer = ModelResponse(choices=[{"message": {"content": "mocked"}}])
    monkeypatch.setattr(handler, "acompletion", AsyncMock(return_value=answer))
    monkeypatch.setattr(handler, "aembedding", AsyncMock(return_value=EmbeddingResponse(data=[{"embedding": [0.5]}])))
    tokenwire.register("mine", handler)
    assert (await tokenwire.acompletion("mine/m", ASK)).choices[0].message.content == "mocked"
    assert (await tokenwire.aembedding("mine/m", ["x"])).data[0].embedding == [0.5]
    handler.acompletion.assert_awaited_once()


@pytest.mark.parametrize("mock", [Mock, MagicMock])
async def test_plain_mocks_count_too(mock: Any) -> None:
    class Plain(CustomLLM):
        completion = mock(return_value="mocked")

    tokenwire.register("mine", Plain())
    assert (await tokenwire.acompletion("mine/m", ASK)).choices[0].message.content == "mocked"


async def test_a_mocked_stream() -> None:
    handler = Mock(spec=["streaming"])
    handler.streaming.return_value = iter([{**PLAIN, "text": "mocked"}, END])
    tokenwire.register("mine", handler)
    async with await tokenwire.acompletion("mine/m", ASK, stream=True) as stream:
        assert [chunk.choices[0].delta.content async for chunk in stream] == ["mocked", None]
