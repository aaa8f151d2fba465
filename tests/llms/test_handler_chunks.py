"""What handlers may yield and return, chunk by chunk: every form is understood, and none is ever changed."""

# pyright: reportArgumentType=false, reportCallIssue=false
# The records are made from dicts here, as LiteLLM's users do; the checker knows of the structs alone.

import copy
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

import tokenwire
from tokenwire import (
    APIResponseValidationError,
    AsyncStream,
    CustomLLM,
    GenericStreamingChunk,
    ModelResponse,
    ModelResponseStream,
    StreamTruncatedError,
    TextCompletionResponse,
    Usage,
)

pytestmark = pytest.mark.anyio

USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
END = {"text": "", "is_finished": True, "finish_reason": "stop", "usage": None}


def handler_of(items: list[Any]) -> Callable[..., AsyncIterator[Any]]:
    async def handler() -> AsyncIterator[Any]:
        for item in items:
            yield item

    return handler


async def flat(*items: Any) -> list[GenericStreamingChunk]:
    """What `astreaming` gives for a handler that yields these."""
    tokenwire.register("mine", handler_of(list(items)))
    async with tokenwire.astreaming("mine/any", []) as stream:
        return [chunk async for chunk in stream]


async def chat(*items: Any) -> list[ModelResponseStream]:
    """What `acompletion(stream=True)` gives for a handler that yields these."""
    tokenwire.register("mine", handler_of(list(items)))
    async with await tokenwire.acompletion("mine/any", [], stream=True) as stream:
        return [chunk async for chunk in stream]


async def whole(*items: Any) -> ModelResponse:
    tokenwire.register("mine", handler_of(list(items)))
    return await tokenwire.acompletion("mine/any", [])


def openai_chunk(content: str | None = None, finish_reason: str | None = None, **fields: Any) -> ModelResponseStream:
    choice = {"index": 0, "delta": {"content": content}, "finish_reason": finish_reason}
    return ModelResponseStream(id="c1", created=5, model="their-model", choices=[choice], **fields)


FORMS = {
    "str": ["Hi"],
    "struct": [GenericStreamingChunk(text="Hi"), GenericStreamingChunk(is_finished=True, finish_reason="stop")],
    "struct, end with text": [GenericStreamingChunk(text="Hi", is_finished=True, finish_reason="stop")],
    "dict": [{"text": "Hi", "is_finished": False, "finish_reason": "", "usage": None, "index": 0, "tool_use": None}, END],
    "dict, end without a reason": [{"text": "Hi"}, {"text": "", "is_finished": True, "finish_reason": None, "usage": None}],
    "OpenAI's struct": [openai_chunk("Hi"), openai_chunk(finish_reason="stop")],
    "OpenAI's dict": [openai_chunk("Hi").model_dump(), openai_chunk(finish_reason="stop").model_dump()],
    "whole": [ModelResponse(choices=[{"message": {"content": "Hi"}, "finish_reason": "stop"}])],
    "whole text completion": [TextCompletionResponse(choices=[{"text": "Hi", "finish_reason": "stop"}])],
    "None among them": [None, "Hi", None],
    "mixed": ["H", GenericStreamingChunk(text="i"), END],
}
RETURNED = {name: items for name, items in FORMS.items() if len(items) == 1}


def form(forms: dict[str, list[Any]]) -> Any:
    return pytest.mark.parametrize("items", [pytest.param(items, id=name) for name, items in forms.items()])


@form(FORMS)
async def test_forms_yielded(items: list[Any]) -> None:
    assert "".join(chunk.text for chunk in await flat(*items)) == "Hi"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in await chat(*items)) == "Hi"
    choice = (await whole(*items)).choices[0]
    assert (choice.message.content, choice.finish_reason) == ("Hi", "stop")


@form(FORMS)
async def test_forms_in_a_returned_list(items: list[Any]) -> None:
    class Handler(CustomLLM):
        async def astreaming(self, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
            return items

    tokenwire.register("mine", Handler())

    async with tokenwire.astreaming("mine/any", []) as stream:
        assert "".join([chunk.text async for chunk in stream]) == "Hi"
    assert (await tokenwire.acompletion("mine/any", [])).choices[0].message.content == "Hi"


@form({**RETURNED, "dict": [{**END, "text": "Hi"}]})
async def test_forms_returned_bare_by_streaming(items: list[Any]) -> None:
    class Handler(CustomLLM):
        def streaming(self, *args: Any, **kwargs: Any) -> Any:
            return items[0]

    tokenwire.register("mine", Handler())

    async with tokenwire.astreaming("mine/any", []) as stream:
        assert "".join([chunk.text async for chunk in stream]) == "Hi"
    assert (await tokenwire.acompletion("mine/any", [])).choices[0].message.content == "Hi"


@form(FORMS)
async def test_the_handlers_objects_are_never_changed(items: list[Any]) -> None:
    before = copy.deepcopy(items)

    for call in (flat, chat, whole):
        await call(*items)

    assert items == before


async def test_replayed_chunks_say_the_same_again() -> None:
    items = [openai_chunk("cut", finish_reason="max_tokens")]

    for _ in range(2):
        assert [chunk.choices[0].finish_reason for chunk in await chat(*items)] == ["length"]
    assert items[0].choices[0].finish_reason == "max_tokens"


async def test_a_chunk_in_the_wanted_shape_is_handed_on_as_it_is() -> None:
    piece = GenericStreamingChunk(text="Hi", id="mine", model="my-model", index=0)
    openai = openai_chunk("Hi")

    assert (await flat(piece, END))[0] is piece
    assert (await chat(openai, openai_chunk(finish_reason="stop")))[0] is openai


async def test_ids_models_and_times_of_the_handler_are_kept() -> None:
    [first, last] = await chat(openai_chunk("Hi"), openai_chunk(finish_reason="stop"))

    assert (first.id, first.created, first.model) == (last.id, last.created, last.model) == ("c1", 5, "their-model")
    response = await whole(openai_chunk("Hi"), openai_chunk(finish_reason="stop"))
    assert (response.id, response.created, response.model) == ("c1", 5, "their-model")


async def test_the_index_is_kept() -> None:
    items = [{"text": "a", "index": 0}, {"text": "b", "index": 1}, {**END, "index": 1}, {**END, "index": 0}]

    assert [chunk.choices[0].index for chunk in await chat(*items)] == [0, 1, 1, 0]
    assert [choice.message.content for choice in (await whole(*items)).choices] == ["a", "b"]


async def test_an_index_may_be_text() -> None:
    call = {"index": "0", "id": "c", "function": {"name": "f", "arguments": "{}"}}
    items = [{"text": "a", "index": 0}, {"text": "b", "index": "1"}, {"text": "c", "index": "1", "tool_use": call}]
    ends = [{**END, "index": "1"}, {**END, "index": "0"}]

    assert [chunk.index for chunk in await flat(*items, *ends)] == [0, 1, 1, 1, 0]
    assert [chunk.choices[0].index for chunk in await chat(*items, *ends)] == [0, 1, 1, 1, 0]
    response = await whole(*items, *ends)
    assert [(choice.index, choice.message.content) for choice in response.choices] == [(0, "a"), (1, "bc")]
    chunks = [{"choices": [{"index": index, "delta": {"content": "d"}, "finish_reason": "stop"}]} for index in ("1", 0)]
    for assembled in (await whole(*chunks), tokenwire.stream_chunk_builder(chunks)):
        assert assembled is not None
        assert [choice.index for choice in assembled.choices] == [0, 1]


async def test_usage_is_kept_wherever_it_stands() -> None:
    for items in (["Hi", {**END, "usage": USAGE}], ["Hi", END, {"usage": USAGE}], [{"text": "Hi", "usage": USAGE}, END]):
        assert (await whole(*items)).usage == Usage(**USAGE)
        assert Usage(**USAGE) in [chunk.usage for chunk in await flat(*items)]
        assert Usage(**USAGE) in [chunk.usage for chunk in await chat(*items)]


async def test_a_usage_chunk_without_choices_behind_the_end_is_kept() -> None:
    items = [openai_chunk("Hi"), openai_chunk(finish_reason="stop"), ModelResponseStream(id="c1", choices=[], usage=USAGE)]

    assert (await chat(*items))[-1].usage == Usage(**USAGE)
    assert (await whole(*items)).usage == Usage(**USAGE)


async def test_tool_calls() -> None:
    begun = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": ""}, "index": 0}
    rest = {"id": None, "type": "function", "function": {"name": None, "arguments": '{"at": 1}'}, "index": 0}
    end = {**END, "finish_reason": "tool_calls"}
    items = [{"text": "", "tool_use": begun}, {"text": "", "tool_use": rest}, end]

    message = (await whole(*items)).choices[0].message
    assert message.content is None
    [call] = message.tool_calls or []
    assert call.function is not None
    assert (call.id, call.function.name, call.function.arguments) == ("call_1", "look", '{"at": 1}')
    first = (await chat(*items))[0].choices[0].delta.tool_calls
    assert first is not None
    assert first[0].function is not None
    assert (first[0].id, first[0].function.name) == ("call_1", "look")


async def test_reasoning_and_provider_specific_fields() -> None:
    items = [{"text": "", "reasoning_content": "hm"}, {"text": "Hi", "provider_specific_fields": {"score": 1}}, END]

    message = (await whole(*items)).choices[0].message
    assert (message.reasoning_content, message.provider_specific_fields) == ("hm", {"score": 1})
    deltas = [chunk.choices[0].delta for chunk in await chat(*items)]
    assert [delta.reasoning_content for delta in deltas] == ["hm", None, None]
    assert deltas[1].provider_specific_fields == {"score": 1}


@pytest.mark.parametrize(
    "said, shown",
    [("end_turn", "stop"), ("max_tokens", "length"), ("tool_use", "tool_calls"), ("SAFETY", "content_filter"), ("odd", "odd")],
)
async def test_finish_reasons_come_in_openais_words(said: str, shown: str) -> None:
    items = ["Hi", {**END, "finish_reason": said}]

    assert (await flat(*items))[-1].finish_reason == shown
    assert (await chat(*items))[-1].choices[0].finish_reason == shown
    assert (await whole(*items)).choices[0].finish_reason == shown


async def test_a_finish_reason_counts_without_is_finished() -> None:
    items = ["Hi", {"text": "", "is_finished": False, "finish_reason": "length"}]

    assert (await whole(*items)).choices[0].finish_reason == "length"


@form({"nothing": [], "no end": [{"text": "Hi"}], "one choice of two": [{"text": "a", "index": 1}, END]})
async def test_a_stream_without_its_end_is_truncated(items: list[Any]) -> None:
    for call in (flat, chat, whole):
        with pytest.raises(StreamTruncatedError) as caught:
            await call(*items)
        assert caught.value.llm_provider == "mine"
    if items:
        assert caught.value.partial.choices[0].message.content in ("Hi", None)
        assert caught.value.partial.choices[-1].finish_reason is None


class Odd:
    def __repr__(self) -> str:
        return "Odd()"


@pytest.mark.parametrize(
    "item",
    [
        42,
        b"Hi",
        Odd(),
        {"content": "Hi"},
        {},
        GenericStreamingChunk(text=5),  # type: ignore[arg-type]
        {"choices": ["Hi"]},
        {"choices": [{"delta": 5}]},
        {"choices": [{"delta": {"content": []}}]},
        {"choices": [{"message": {"content": 5}}]},
    ],
    ids=repr,
)
async def test_what_is_no_chunk(item: Any) -> None:
    for call in (flat, chat, whole):
        with pytest.raises(APIResponseValidationError, match="handler_of") as caught:
            await call("Hi", item)
        assert caught.value.llm_provider == "mine"


async def test_chunks_in_front_of_what_is_no_chunk_are_handed_out() -> None:
    class Answers(CustomLLM):
        def streaming(self, *args: Any, **kwargs: Any) -> Any:
            return ["a", "b", 42]

    tokenwire.register("mine", Answers())
    stream = tokenwire.astreaming("mine/any", [])
    assert [(await anext(stream)).text, (await anext(stream)).text] == ["a", "b"]
    with pytest.raises(APIResponseValidationError) as caught:
        await anext(stream)
    assert caught.value.partial.choices[0].message.content == "ab"


@pytest.mark.parametrize("answer", [42, None, b"Hi", Odd()], ids=repr)
async def test_what_is_no_answer(answer: Any) -> None:
    tokenwire.register("mine", lambda: answer)

    with pytest.raises(APIResponseValidationError, match=f"returned {type(answer).__name__} where"):
        await tokenwire.acompletion("mine/any", [])
    with pytest.raises(APIResponseValidationError, match=type(answer).__name__):
        await tokenwire.acompletion("mine/any", [], stream=True)


def test_a_sync_iterators_chunks_arrive_in_order() -> None:
    def handler() -> Iterator[str]:
        yield from map(str, range(3000))

    tokenwire.register("mine", handler)

    assert [chunk.text for chunk in tokenwire.streaming("mine/any", [])] == [*map(str, range(3000)), ""]


async def passed_on(stream: AsyncStream[Any]) -> list[Any]:
    parts: list[Any] = []

    async def send(some: list[Any]) -> None:
        parts.extend(some)

    await stream.pass_on(send)
    return parts


async def test_text_may_come_bare() -> None:
    """In place of chunks that hold nothing else, once the first has said whose text it is; the answer is the same."""
    items = ["Once", " upon", {**END, "text": " a", "is_finished": False, "finish_reason": ""}, openai_chunk(" time"), END]
    tokenwire.register("mine", handler_of(items))
    async with await tokenwire.acompletion("mine/any", [], stream=True) as stream:
        first, *others = await passed_on(stream)
    assert isinstance(first, ModelResponseStream)
    assert first.choices[0].delta.content == "Once"
    assert others[:2] == [" upon", " a"]
    assert [type(other) for other in others[2:]] == [ModelResponseStream] * 2
    assert stream.response is not None
    assert stream.response == await whole(*items)


async def test_text_comes_bare_after_another_attempt_too() -> None:
    attempts = 0

    async def handler() -> AsyncIterator[str]:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            raise tokenwire.ServiceUnavailableError("not yet", retry_after=0.0)
        for word in ("Once", " upon"):
            yield word

    tokenwire.register("mine", handler)
    async with await tokenwire.acompletion("mine/any", [], stream=True, num_retries=1) as stream:
        assert (await passed_on(stream))[1] == " upon"
    assert attempts == 2
