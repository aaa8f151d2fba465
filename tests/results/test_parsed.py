"""`message.parsed`: the object that was asked for, however the answer came, or an error that says what does not fit."""

import copy
import dataclasses
import datetime as dt
import enum
import pickle
from collections.abc import AsyncIterator, Iterator
from typing import Any, Generic, Literal, NamedTuple, NotRequired, TypedDict, TypeVar

import attrs
import msgspec
import pydantic
import pytest

import tokenwire
from tokenwire import (
    APIResponseValidationError,
    CustomLLM,
    Message,
    ModelResponse,
    OutputIncompleteError,
    OutputRefusedError,
    OutputValidationError,
)
from tokenwire._calls import routing
from tokenwire.testing import Endpoint, Reply, chunks, completion

pytestmark = pytest.mark.anyio

T = TypeVar("T")
MESSAGES = [{"role": "user", "content": "Hi"}]


class Colour(enum.Enum):
    RED = "red"


class Line(msgspec.Struct):
    text: str
    price: float
    note: str | msgspec.UnsetType = msgspec.UNSET


class Invoice(msgspec.Struct):
    number: int
    lines: list[Line]
    due: dt.date | None = None


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


class Pair(TypedDict):
    left: int
    right: NotRequired[str]


class Row(NamedTuple):
    name: str
    number: int


@attrs.define
class Attrs:
    x: int


class Model(pydantic.BaseModel):
    x: int = pydantic.Field(ge=1)
    rows: list[Point] = []


@pydantic.dataclasses.dataclass
class ModelLike:
    x: int


class Box(msgspec.Struct, Generic[T]):
    held: T


class Cat(msgspec.Struct, tag=True):
    lives: int


class Dog(msgspec.Struct, tag=True):
    bones: int


KINDS: list[tuple[Any, str, Any]] = [
    (
        Invoice,
        '{"number": 1, "lines": [{"text": "tea", "price": 2.5, "note": null}], "due": "2026-11-28"}',
        Invoice(1, [Line("tea", 2.5)], dt.date(2026, 11, 28)),
    ),
    (Point, '{"x": 1, "y": 2}', Point(1, 2)),
    (Pair, '{"left": 1, "right": "r"}', {"left": 1, "right": "r"}),
    (Pair, '{"left": 1, "right": null}', {"left": 1}),
    (Row, '{"value": ["a", 2]}', Row("a", 2)),
    (Attrs, '{"x": 1}', Attrs(1)),
    (Model, '{"x": 1, "rows": [{"x": 1, "y": 2}]}', Model(x=1, rows=[Point(1, 2)])),
    (ModelLike, '{"x": 1}', ModelLike(1)),
    (Box[int], '{"held": 1}', Box(1)),
    (list[Line], '{"value": [{"text": "a", "price": 1, "note": null}, {"text": "b", "price": 2, "note": "n"}]}',
     [Line("a", 1), Line("b", 2, "n")]),
    (list[Model], '{"value": [{"x": 1, "rows": []}]}', [Model(x=1)]),
    (Cat | Dog, '{"value": {"type": "Dog", "bones": 3}}', Dog(3)),
    (Point | None, '{"value": null}', None),
    (Literal["a", "b"], '{"value": "b"}', "b"),
    (Colour, '{"value": "red"}', Colour.RED),
    (int, '{"value": 3}', 3),
]  # fmt: skip


@pytest.fixture(autouse=True)
def no_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenwire, "custom_provider_map", [])
    monkeypatch.setattr(routing, "_registered", {})


def whole(text: str | None, cls: Any, finish_reason: str = "stop", **message: Any) -> ModelResponse:
    """The answer to a call that is not streamed."""
    said = {"role": "assistant", "content": text, **message}
    body = completion("") | {"choices": [{"index": 0, "message": said, "finish_reason": finish_reason}]}
    with Endpoint([Reply(json=body)]) as endpoint:
        return tokenwire.completion("openai/m", MESSAGES, api_base=endpoint.url, response_format=cls)


@pytest.mark.parametrize("cls, text, value", KINDS, ids=lambda value: repr(value) if not isinstance(value, str) else "")
async def test_the_object_whole_streamed_and_flat(cls: Any, text: str, value: Any) -> None:
    with Endpoint(lambda request: reply(request.json(), text)) as endpoint:
        own: dict[str, Any] = {"api_base": endpoint.url, "response_format": cls}
        response = await tokenwire.acompletion("openai/m", MESSAGES, **own)
        assert response.choices[0].message.parsed == value
        assert type(response.choices[0].message.parsed) is type(value)
        streams: list[Any] = [
            await tokenwire.acompletion("openai/m", MESSAGES, stream=True, **own),
            tokenwire.astreaming("openai/m", MESSAGES, **own),
        ]
        for stream in streams:
            async with stream:
                async for _ in stream:
                    pass
            assert stream.outcome == "complete"
            assert stream.response.choices[0].message.parsed == value


def reply(request: dict[str, Any], text: str) -> Reply:
    return Reply(events=chunks(text)) if request.get("stream") else Reply(json=completion(text))


@pytest.mark.parametrize("cls", [None, {"type": "json_object"}])
def test_nothing_is_parsed_where_no_type_was_given(cls: Any) -> None:
    message = whole('{"x": 1}', cls).choices[0].message
    assert message.parsed is None
    assert Message(content="1").parsed is None


def test_parsed_is_made_once_and_is_no_field() -> None:
    message = whole('{"x": 1, "y": 2}', Point).choices[0].message
    assert message.parsed is message.parsed
    assert "parsed" not in message.model_dump()
    assert message == Message(content='{"x": 1, "y": 2}')
    assert message.content == '{"x": 1, "y": 2}'


def test_copies_and_pickles_know_the_type() -> None:
    message = whole('{"x": 1, "y": 2}', Point).choices[0].message
    assert copy.copy(message).parsed == copy.deepcopy(message).parsed == Point(1, 2)
    assert pickle.loads(pickle.dumps(message)).parsed == Point(1, 2)


def test_every_choice_has_its_own() -> None:
    said = [{"index": n, "message": {"content": f'{{"x": {n}, "y": 0}}'}, "finish_reason": "stop"} for n in range(2)]
    with Endpoint([Reply(json=completion("") | {"choices": said})]) as endpoint:
        response = tokenwire.completion("openai/m", MESSAGES, api_base=endpoint.url, response_format=Point, n=2)
    assert [choice.message.parsed for choice in response.choices] == [Point(0), Point(1)]


def test_tools_called_in_place_of_an_answer() -> None:
    calls: list[Any] = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    assert whole(None, Point, "tool_calls", tool_calls=calls).choices[0].message.parsed is None


# What does not fit.


@pytest.mark.parametrize(
    "cls, text, path, expected",
    [
        (Invoice, '{"number": 1, "lines": [{"text": "a", "price": "x"}]}', "lines[0].price", "Expected `float`, got `str`"),
        (Invoice, '{"number": 1, "lines": [{"text": null, "price": 1, "note": null}]}', "lines[0].text", "got `null`"),
        (Invoice, '{"number": 1}', "", "missing required field `lines`"),
        (list[int], '{"value": [1, "2"]}', "[1]", "Expected `int`, got `str`"),
        (int, '{"value": null}', "", "Expected `int`, got `null`"),
        (Point, "Sure!", "", "JSON is malformed"),
        (Point, "", "", "truncated"),
        (Model, '{"x": 0}', "x", "greater than or equal to 1"),
        (list[Model], '{"value": [{"x": 0}]}', "[0]", "greater than or equal to 1 (there at x)"),
        (Model, '{"x": 1, "rows": [{"x": "?"}]}', "rows[0].x", "valid integer"),
    ],
)
def test_an_answer_that_does_not_fit(cls: Any, text: str, path: str, expected: str) -> None:
    with pytest.raises(OutputValidationError) as caught:
        _ = whole(text, cls).choices[0].message.parsed
    error = caught.value
    assert isinstance(error, APIResponseValidationError)
    assert (error.path, error.text, error.fault) == (path, text, "protocol")
    assert expected in error.expected
    assert expected in error.message
    assert pickle.loads(pickle.dumps(error)).path == path


def test_an_answer_cut_short() -> None:
    with pytest.raises(OutputIncompleteError) as caught:
        _ = whole('{"number": 1, "lines": [{"text": "te', Invoice, "length").choices[0].message.parsed
    assert "finish_reason='length'" in caught.value.message
    assert caught.value.value == {"number": 1, "lines": [{"text": "te"}]}


def test_what_was_complete_of_a_wrapped_answer() -> None:
    with pytest.raises(OutputIncompleteError) as caught:
        _ = whole('{"value": [1, 2, 3', list[int], "length").choices[0].message.parsed
    assert caught.value.value == [1, 2]
    with pytest.raises(OutputIncompleteError) as caught:
        _ = whole("", list[int], "length").choices[0].message.parsed
    assert caught.value.value is None


def test_a_whole_object_at_the_limit_is_one() -> None:
    assert whole('{"x": 1, "y": 2}', Point, "length").choices[0].message.parsed == Point(1, 2)


def test_a_refusal() -> None:
    with pytest.raises(OutputRefusedError, match="the model refused to answer: I'd rather not"):
        _ = whole(None, Point, refusal="I'd rather not").choices[0].message.parsed


async def test_a_stream_ends_as_it_did_and_parsed_says_what_is_wrong() -> None:
    with Endpoint([Reply(events=chunks('{"x": "no"}'))]) as endpoint:
        stream = await tokenwire.acompletion("openai/m", MESSAGES, stream=True, api_base=endpoint.url, response_format=Point)
        async with stream:
            pieces = [chunk.choices[0].delta.content async for chunk in stream]
    assert "".join(piece or "" for piece in pieces) == '{"x": "no"}'
    assert stream.outcome == "complete"
    assert stream.response is not None
    message = stream.response.choices[0].message  # type: ignore[union-attr]
    for _ in range(2):
        with pytest.raises(OutputValidationError) as caught:
            _ = message.parsed
        assert caught.value.path == "x"


# Handlers.


class Handler(CustomLLM):
    async def acompletion(self, *args: Any, **kwargs: Any) -> ModelResponse:
        assert kwargs["optional_params"]["response_format"]["type"] == "json_schema"
        kwargs["model_response"].choices[0].message.content = '{"x": 5, "y": 0}'
        return kwargs["model_response"]

    async def astreaming(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        for piece in ('{"x":', ' 6, "y": 0}'):
            yield {"text": piece, "is_finished": piece.endswith("}"), "finish_reason": "stop", "index": 0}


class Outer(CustomLLM):
    async def acompletion(self, *args: Any, **kwargs: Any) -> ModelResponse:
        response = await tokenwire.acompletion("inner/m", MESSAGES, response_format=Point)
        assert response.choices[0].message.parsed == Point(5)
        return response


async def test_handlers_answer_with_objects_too() -> None:
    tokenwire.register("inner", Handler())
    tokenwire.register("outer", Outer())
    response = await tokenwire.acompletion("inner/m", MESSAGES, response_format=Point)
    assert response.choices[0].message.parsed == Point(5)
    stream = tokenwire.astreaming("inner/m", MESSAGES, response_format=Point)
    async for _ in stream:
        pass
    assert stream.response.choices[0].message.parsed == Point(6)  # type: ignore[union-attr]
    # A handler hands on what another call, with a type of its own, was answered.
    handed_on: Any = await tokenwire.acompletion("outer/m", MESSAGES, response_format=Model)
    with pytest.raises(AttributeError):
        _ = handed_on.choices[0].message.parsed.y
    assert handed_on.choices[0].message.parsed == Model(x=5)


def test_sync_streams_have_objects_too() -> None:
    with Endpoint([Reply(events=chunks('{"x": 1, "y": 0}'))]) as endpoint:
        stream: Any = tokenwire.completion("openai/m", MESSAGES, stream=True, api_base=endpoint.url, response_format=Point)
        rest: Iterator[Any] = stream
        assert len(list(rest)) > 1
    assert stream.response.choices[0].message.parsed == Point(1)


def test_the_names_that_checkers_know_are_the_classes_themselves() -> None:
    response = whole('{"x": 1, "y": 0}', Point)
    assert isinstance(response, tokenwire.ParsedResponse)
    assert tokenwire.ParsedResponse[Point].__origin__ is ModelResponse  # type: ignore[attr-defined]
    assert tokenwire.ParsedMessage[Point].__origin__ is Message  # type: ignore[attr-defined]
