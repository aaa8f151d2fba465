"""The manners of response structs: what LiteLLM's and pydantic's users do with them works."""

# pyright: reportArgumentType=false, reportCallIssue=false
# The records are made from dicts here, as LiteLLM's users do; the checker knows of the structs alone.

import copy
import pickle
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

import tokenwire.types.utils
from tokenwire.types import (
    ChatCompletionDeltaToolCall,
    ChatCompletionMessageToolCall,
    Choices,
    CompletionTokensDetails,
    Delta,
    Embedding,
    EmbeddingResponse,
    Function,
    GenericStreamingChunk,
    ImageObject,
    ImageResponse,
    Message,
    Model,
    ModelList,
    ModelResponse,
    ModelResponseStream,
    StreamingChoices,
    TextChoices,
    TextCompletionResponse,
    Usage,
)
from tokenwire.types._record import OpenRecord, Record

ALL: list[Any] = [
    ModelResponse(id="c", created=1, choices=[{"message": {"content": "Hi"}}], usage={"total_tokens": 3}),
    ModelResponseStream(id="c", created=1, choices=[{"delta": {"content": "Hi"}, "finish_reason": "stop"}]),
    GenericStreamingChunk(text="Hi", is_finished=True, finish_reason="stop", usage={"total_tokens": 3}),
    TextCompletionResponse(id="c", created=1, choices=[{"text": "Hi"}]),
    EmbeddingResponse(model="e", data=[{"embedding": [0.5], "index": 0}]),
    ImageResponse(created=1, data=[{"url": "here"}]),
    ModelList(data=[Model(id="m")]),
    Choices(message=Message(content="Hi")),
    StreamingChoices(delta=Delta(content="Hi")),
    Message(content="Hi", tool_calls=[{"id": "1", "function": {"name": "look", "arguments": {"at": 1}}}]),
    Delta(content="Hi", tool_calls=[{"function": {"name": "look"}}]),
    Usage(prompt_tokens=1, reasoning_tokens=2),
    TextChoices(text="Hi"),
    Embedding(embedding=[0.5]),
    ImageObject(url="here"),
    ChatCompletionMessageToolCall(id="1", function=Function(name="look")),
    ChatCompletionDeltaToolCall(index=0),
]
every_record = pytest.mark.parametrize("record", ALL, ids=lambda record: type(record).__name__)


# Every record


@every_record
def test_fields_are_items(record: Record) -> None:
    for name, value in record:
        assert record[name] == getattr(record, name) == value
        assert name in record
    assert dict(record).keys() == set(record.__struct_encode_fields__) - {"error", "reasoning"}


@every_record
def test_what_is_missing(record: Record) -> None:
    assert "nonsense" not in record
    assert 5 not in record
    assert record.get("nonsense") is None
    assert record.get("nonsense", "default") == "default"
    with pytest.raises(KeyError, match="nonsense"):
        record["nonsense"]
    with pytest.raises(AttributeError, match="nonsense"):
        record.nonsense  # noqa: B018  # pyright: ignore[reportAttributeAccessIssue]


@every_record
def test_items_can_be_set(record: Record) -> None:
    changed = copy.deepcopy(record)
    name = next(iter(dict(changed)))

    changed[name] = "new"

    assert getattr(changed, name) == changed[name] == "new"
    assert changed != record


@every_record
def test_fields_that_no_struct_names_can_be_set(record: Record) -> None:
    """LiteLLM's classes take any."""
    changed: Any = copy.deepcopy(record)
    unchanged = copy.copy(changed)

    changed["x_item"] = [1]
    changed["json"] = 2  # the name of a method, which it stays
    if isinstance(record, OpenRecord):
        changed.x_attribute = {"y": None}
        assert changed.x_attribute == {"y": None}
        with pytest.raises(AttributeError, match="_private"):
            changed._private = 1
    else:
        changed["x_attribute"] = {"y": None}
        with pytest.raises(AttributeError, match="x_other"):
            changed.x_other = 1

    for kept in (
        changed,
        copy.copy(changed),
        copy.deepcopy(changed),
        pickle.loads(pickle.dumps(changed)),
        changed.model_copy(),
    ):
        assert (kept["x_item"], kept["x_attribute"], kept["json"]) == ([1], {"y": None}, 2)
        assert "x_item" in kept
        assert callable(kept.json)
        dumped: Any = kept.json()
        assert dumped.items() >= {"x_item": [1], "x_attribute": {"y": None}, "json": 2}.items()
        assert msgspec.json.decode(kept.model_dump_json())["x_item"] == [1]
    kept = copy.copy(changed)
    kept["x_later"] = 1
    assert "x_item" not in unchanged
    assert "x_later" not in changed


@every_record
def test_dumps(record: Record) -> None:
    dumped = record.model_dump()

    assert record.json() == record.dict() == record.to_dict() == dumped
    assert msgspec.json.decode(record.model_dump_json()) == dumped
    assert record.to_json() == record.model_dump_json()
    assert msgspec.json.decode(record.model_dump_json(indent=2)) == dumped
    assert not any(isinstance(value, Record) for value in dumped.values())
    assert None not in record.model_dump(exclude_none=True).values()
    assert type(record)(**record.model_dump(exclude_none=True)) == record


@every_record
@pytest.mark.parametrize(
    "twin",
    [
        pytest.param(lambda record: pickle.loads(pickle.dumps(record)), id="pickle"),
        pytest.param(copy.copy, id="copy"),
        pytest.param(copy.deepcopy, id="deepcopy"),
        pytest.param(lambda record: record.model_copy(), id="model_copy"),
        pytest.param(lambda record: record.model_copy(deep=True), id="deep model_copy"),
    ],
)
def test_twins(record: Record, twin: Callable[[Record], Record]) -> None:
    other = twin(record)

    assert type(other) is type(record)
    assert other is not record
    assert other == record
    assert (other != record) is False
    assert repr(other) == repr(record)
    assert other.model_dump() == record.model_dump()


@every_record
def test_equality_is_of_one_class(record: Record) -> None:
    assert record != record.model_dump()
    assert record != Model(id="other")
    assert record is not None
    with pytest.raises(TypeError, match="unhashable"):
        hash(record)


@every_record
def test_repr_shows_what_is_set(record: Record) -> None:
    shown = repr(record)

    assert shown.startswith(f"{type(record).__name__}(")
    assert "None" not in shown
    assert "UNSET" not in shown
    assert shown == str(record)


def test_repr_is_readable() -> None:
    message = Message(content="Hi", reasoning_content="hm")

    assert repr(message) == "Message(content='Hi', role='assistant', reasoning_content='hm')"


# What Python code constructs, as LiteLLM's classes allow


def test_a_fresh_response() -> None:
    first, second = ModelResponse(), ModelResponse()

    assert str(first.id).startswith("chatcmpl-")
    assert first.id != second.id
    assert isinstance(first.created, int)
    assert (first.object, first.model, first.usage) == ("chat.completion", None, None)
    assert (first.choices[0].finish_reason, first.choices[0].message.content) == ("stop", None)
    first.choices[0].message.content = "Hi"
    assert second.choices[0].message.content is None


def test_optional_fields_are_none_and_never_missing() -> None:
    message, choice, usage, chunk_ = Message(), Choices(), Usage(), ModelResponseStream()

    assert [message.audio, message.images, message.reasoning_content, message.thinking_blocks, message.annotations] == [
        None
    ] * 5
    assert [message.tool_calls, message.function_call, message.refusal, message.reasoning_items] == [None] * 4
    assert [choice.logprobs, choice.provider_specific_fields, usage.cost, usage.server_tool_use] == [None] * 4
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (0, 0, 0)
    assert [chunk_.usage, chunk_.model, chunk_.choices[0].delta.content, chunk_.choices[0].finish_reason] == [None] * 4


def test_nested_dicts_and_odd_values() -> None:
    response = ModelResponse(
        choices=[{"message": {"tool_calls": [{"function": {"name": "look", "arguments": {"at": 1}}}], "role": None}}],
        usage={"prompt_tokens": None, "reasoning_tokens": 4},
    )

    message = response.choices[0].message
    assert message.role == "assistant"
    assert message.tool_calls is not None
    [call] = message.tool_calls
    assert (call.function.name, call.function.arguments) == ("look", '{"at":1}')  # type: ignore[union-attr]
    assert call.id
    assert response.usage is not None
    assert response.usage.prompt_tokens == 0
    assert response.usage.completion_tokens_details == CompletionTokensDetails(reasoning_tokens=4)
    assert Message(tool_calls=[]).tool_calls is None
    assert Function(name="look", arguments=None).arguments == ""  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "given, taken", [("1", 1), (1.0, 1), (True, 1), (None, None), ("one", None), ([1], None), (float("nan"), None)]
)
def test_an_index_of_another_type(given: Any, taken: int | None) -> None:
    """What is no number counts as not given."""
    for cls in (Choices, StreamingChoices, TextChoices, ChatCompletionDeltaToolCall):
        assert cls(index=given).index == taken
        assert type(cls(index=given).index) is type(taken)
    assert GenericStreamingChunk(index=given).index == (taken or 0)


def test_unknown_keywords_are_kept() -> None:
    response = ModelResponse(region="eu")

    assert response["region"] == response.get("region") == response.region == "eu"  # type: ignore[attr-defined]
    assert "region" in response
    assert response.model_dump()["region"] == "eu"
    assert pickle.loads(pickle.dumps(response))["region"] == "eu"
    assert copy.deepcopy(response).model_dump() == response.model_dump()


def test_positional_arguments() -> None:
    assert GenericStreamingChunk("Hi", True, "stop") == GenericStreamingChunk(text="Hi", is_finished=True, finish_reason="stop")


def test_excluding_what_is_unset() -> None:
    dumped = ModelResponse(id="c", created=1, model="m").model_dump(exclude_unset=True)

    assert dumped["id"] == "c"
    assert "usage" not in dumped
    assert "system_fingerprint" not in dumped
    with pytest.raises(ValueError, match="mode"):
        ModelResponse().model_dump(mode="xml")


def test_model_copy_with_an_update() -> None:
    message = Message(content="Hi")

    assert message.model_copy(update={"content": "Ho"}) == Message(content="Ho")
    assert message.content == "Hi"


def test_litellms_path_and_names() -> None:
    utils = tokenwire.types.utils

    assert utils.ModelResponse is ModelResponse
    assert utils.GenericStreamingChunk is GenericStreamingChunk
    assert (utils.ChatCompletionUsageBlock, utils.ChatCompletionDeltaChunk) == (Usage, Delta)
    for name in ("ImageResponse", "ImageObject", "EmbeddingResponse", "ChatCompletionToolCallChunk"):
        assert hasattr(utils, name)


@pytest.mark.parametrize(
    "content, text",
    [
        ("Hello", "Hello"),
        (None, ""),
        ([{"type": "text", "text": "Hel"}, {"type": "image_url", "image_url": {}}, {"type": "text", "text": "lo"}], "Hello"),
        ([], ""),
    ],
)
def test_a_message_s_text_is_that_of_any_content(content: Any, text: str) -> None:
    assert Message(content=content).text == text
