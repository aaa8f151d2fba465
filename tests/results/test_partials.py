"""What can be read of a stream in place of its chunks: text, a growing value, an object of what is known, the whole."""

import dataclasses
import datetime as dt
import enum
import json
from collections.abc import AsyncIterator
from typing import Any, Literal, NamedTuple, NotRequired, TypedDict

import msgspec
import pydantic
import pytest

import tokenwire
from tokenwire import (
    APIResponseValidationError,
    AsyncClient,
    CustomLLM,
    GenericStreamingChunk,
    ModelResponse,
    OutputValidationError,
    Partial,
    StreamTruncatedError,
)
from tokenwire.testing import Endpoint, Reply, chunk, chunks

pytestmark = pytest.mark.anyio

MESSAGES = [{"role": "user", "content": "Hi"}]
TEXT = '{"number": 12, "lines": [{"text": "green tea", "price": 2.5}], "due": "2026-11-28"}'


# What is read of the text does not depend on the loop.
one_loop = pytest.mark.parametrize("anyio_backend", [("asyncio", {"use_uvloop": False})], ids=["asyncio"])


class Pieces(CustomLLM):
    """Streams a text, each piece in a read of its own."""

    def __init__(self, *pieces: str) -> None:
        self.pieces = pieces

    async def astreaming(self, *args: Any, **kwargs: Any) -> AsyncIterator[GenericStreamingChunk]:
        for number, piece in enumerate(self.pieces, 1):
            ended = number == len(self.pieces)
            yield GenericStreamingChunk(text=piece, is_finished=ended, finish_reason="stop" if ended else "")


def stream_of(*pieces: str, **keywords: Any) -> Any:
    return AsyncClient(handlers={"pieces": Pieces(*pieces)}).astreaming("pieces/m", MESSAGES, **keywords)


class Line(msgspec.Struct):
    text: str
    price: float = 0.0


@dataclasses.dataclass
class Invoice:
    number: int
    lines: list[Line]
    due: dt.date | None = None
    paid: bool = False


async def test_an_object_grows_with_its_text() -> None:
    pieces = [
        '{"num',
        'ber": 1',
        '2, "li',
        'nes": [{"te',
        'xt": "gre',
        'en tea"',
        ', "price": 2',
        '.5}], "due": "2026-',
        '11-28"}',
    ]
    async with stream_of(*pieces, response_format=Invoice) as stream:
        seen = [(msgspec.json.encode(partial.value), partial.parsed) async for partial in stream.partials()]
    missing = msgspec.UNSET
    assert [known for _, known in seen] == [
        Invoice(missing, missing),  # type: ignore[arg-type]
        Invoice(missing, missing),  # type: ignore[arg-type]
        Invoice(12, missing),  # type: ignore[arg-type]
        Invoice(12, [Line(missing)]),  # type: ignore[arg-type]
        Invoice(12, [Line("gre")]),
        Invoice(12, [Line("green tea")]),
        Invoice(12, [Line("green tea")]),
        Invoice(12, [Line("green tea", 2.5)]),
        Invoice(12, [Line("green tea", 2.5)], dt.date(2026, 11, 28)),
    ]
    assert [value.decode() for value, _ in seen[:3]] == ["{}", "{}", '{"number":12}']
    assert stream.outcome == "complete"
    assert stream.response.choices[0].message.parsed == seen[-1][1]


async def test_it_is_one_partial_that_grows() -> None:
    async with stream_of("[1, ", "[2", "]]") as stream:
        partials = [partial async for partial in stream.partials()]
    assert len(partials) == 3
    assert len(set(map(id, partials))) == 1
    assert (partials[0].value, partials[0].parsed, partials[0].done) == ([1, [2]], None, True)
    assert isinstance(partials[0], Partial)


async def test_once_for_each_read_that_brings_text() -> None:
    async with stream_of("[1", "", ", 2]") as stream:
        assert len([partial async for partial in stream.partials()]) == 2


async def test_what_is_wrapped_comes_out_of_its_object() -> None:
    async with stream_of('{"val', 'ue": [1', ", 2", "]}", response_format=list[int]) as stream:
        first = await anext(stream.partials())
        assert (first.value, first.parsed) == (None, None)
    async with stream_of('{"value": [1', ", 2", "]}", response_format=list[int]) as stream:
        known = [(list(partial.value), partial.parsed) async for partial in stream.partials()]
    assert known == [([], []), ([1], [1]), ([1, 2], [1, 2])]


class Colour(enum.Enum):
    RED = "red"


class Pair(TypedDict):
    left: int
    right: NotRequired[str]


class Row(NamedTuple):
    name: str
    number: int


class Cat(msgspec.Struct, tag=True):
    lives: int


class Dog(msgspec.Struct, tag=True):
    bones: int


class Inner(pydantic.BaseModel):
    x: int
    y: int = 2


class Model(pydantic.BaseModel):
    inner: list[Inner]
    name: str = pydantic.Field(alias="called", default="nobody")


@pytest.mark.parametrize(
    "cls, text, known",
    [
        (Pair, '{"left": 1, "right": "r', {"left": 1, "right": "r"}),
        (Pair, '{"lef', {}),
        (Row, '{"value": ["a', Row("a", msgspec.UNSET)),  # type: ignore[arg-type]
        (Cat | Dog, '{"value": {"type": "Do', None),
        (Cat | Dog, '{"value": {"type": "Dog", "bones": 3', Dog(msgspec.UNSET)),  # type: ignore[arg-type]
        (Cat | Dog, '{"value": {"type": "Dog", "bones": 3}', Dog(3)),
        (list[Line] | str, '{"value": "te', "te"),
        (Literal["red", "reddish"], '{"value": "re', None),
        (Literal["red", "reddish"], '{"value": "red"', "red"),
        (Colour, '{"value": "red"', Colour.RED),
        (Colour, '{"value": "re', None),
        (set[int], '{"value": [1, 1, ', {1}),
        (tuple[int, str], '{"value": [1, "a', (1, "a")),
        (Line | None, '{"value": null', None),
    ],
)
async def test_what_is_known_of_a(cls: Any, text: str, known: Any) -> None:
    async with stream_of(text, response_format=cls) as stream:
        partials = [partial async for partial in stream.partials()]
    assert partials[0].parsed == known


async def test_a_pydantic_model_is_not_validated_before_it_is_whole() -> None:
    async with stream_of('{"called": "a', '", "inner": [{"x": 1', ', "y": 3}]}', response_format=Model) as stream:
        partials = stream.partials()
        first = (await anext(partials)).parsed
        assert (first.name, hasattr(first, "inner")) == ("a", False)
        second = (await anext(partials)).parsed
        assert isinstance(second.inner[0], Inner)
        assert (second.inner[0].y, hasattr(second.inner[0], "x")) == (2, False)
        last = (await anext(partials)).parsed
    assert last.inner[0] == Inner(x=1, y=3)


@one_loop
@pytest.mark.parametrize(
    "cls, pieces, path, expected",
    [
        (Invoice, ['{"number": "12', '"', ', "lines": []'], "number", "Expected `int`, got `str`"),
        (
            Invoice,
            ['{"number": 1, "lines": [{"text": "a"}', ', {"text": 3', "}]"],
            "lines[1].text",
            "Expected `str`, got `int`",
        ),
        (Invoice, ['{"number": 1, "lines": [], "due": "2026-11', '"}'], "due", "Expected `date | none`, got `str`"),
        (Invoice, ['{"number": 1, "lines": {"a": ', "1", "}"], "lines", "Expected `list`, got `object`"),
        (Invoice, ['{"number": 1, "lines": [{"price": 1', "}"], "lines[0]", "Object missing required field `text`"),
        (Invoice, ['{"number": 1, "lines": []', ', "paid": null', "}"], None, ""),
        (Pair, ['{"left": 1, "right": nul', "l}"], None, ""),
        (Row, ['{"value": ["a"', ', "b"', "]"], "[1]", "Expected `int`, got `str`"),
        (list[int], ['{"value": [1, 2', ", true", ", 3]"], "[2]", "Expected `int`, got `bool`"),
        (set[int] | str, ['{"value": [1, "', 'a"', "]}"], "[1]", "Expected `int`, got `str`"),
        (Literal["red", "reddish"], ['{"value": "re', "d", 'der"}'], "", "Expected `'red' | 'reddish'`, got `str`"),
        (Colour, ['{"value": "bl', 'ue"}'], "", "Expected `Colour`, got `str`"),
        (Model, ['{"called": "a", "inner": [{"x": "b', '"', "}]}"], "inner[0].x", "unable to parse"),
        (Model, ['{"called": "a", "inner": [{"x": "1', '"', "}]}"], None, ""),
        (dict[str, int], ['{"value": [{"key": "a", "value": "b', '"}', "]}"], "a", "Expected `int`, got `str`"),
        (int, ['{"value": "1', '"', "}"], "", "Expected `int`, got `str`"),
    ],
)
async def test_what_can_not_come_right_any_more_is_an_error_as_soon_as_it_has_ended(
    cls: Any, pieces: list[str], path: str | None, expected: str
) -> None:
    async with stream_of(*pieces, response_format=cls) as stream:
        partials = stream.partials()
        assert (await anext(partials)).parsed is not msgspec.UNSET  # and no error: it may still become what it must be
        found: OutputValidationError | None = None
        async for partial in partials:
            try:
                _ = partial.parsed
            except OutputValidationError as error:
                found = error
        if path is None:
            assert found is None
        else:
            assert found is not None
            assert (found.path, expected in found.expected) == (path, True), found.expected
            assert json.loads(found.text) is not None
            assert shown in str(found) if (shown := getattr(cls, "__name__", "")) else True
    assert stream.outcome == "complete"


async def test_text_that_is_not_json_is_named() -> None:
    async with stream_of("[1, ", "?]") as stream:
        with pytest.raises(APIResponseValidationError, match="invalid JSON at character 4"):
            async for _ in stream.partials():
                pass
    assert stream.outcome == "cancelled"


# The same over HTTP, in both shapes, and from sync code.


async def test_the_value_of_an_endpoints_stream() -> None:
    with Endpoint(lambda _: Reply(events=chunks(TEXT))) as endpoint:
        own: Any = {"api_base": endpoint.url, "response_format": Invoice}
        for stream in (
            await tokenwire.acompletion("openai/m", MESSAGES, stream=True, **own),
            tokenwire.astreaming("openai/m", MESSAGES, **own),
        ):
            async with stream:
                *_, last = [partial async for partial in stream.partials()]
            assert last.value == msgspec.json.decode(TEXT)
            assert last.parsed == Invoice(12, [Line("green tea", 2.5)], dt.date(2026, 11, 28))


async def test_text_is_choice_0s() -> None:
    events = [
        chunk("a"),
        chunk("x", index=1),
        chunk(None),
        chunk("b"),
        chunk(finish_reason="stop"),
        chunk(finish_reason="stop", index=1),
    ]
    with Endpoint(lambda _: Reply(events=events)) as endpoint:
        streams: list[Any] = [
            await tokenwire.acompletion("openai/m", MESSAGES, stream=True, api_base=endpoint.url),
            tokenwire.astreaming("openai/m", MESSAGES, api_base=endpoint.url),
        ]
        for stream in streams:
            async with stream:
                assert "".join([text async for text in stream.text()]) == "ab"
            assert stream.outcome == "complete"


async def test_collecting_gives_the_answer_as_if_it_had_not_been_streamed() -> None:
    with Endpoint(lambda _: Reply(events=chunks(TEXT))) as endpoint:
        stream = await tokenwire.acompletion("openai/m", MESSAGES, stream=True, api_base=endpoint.url, response_format=Invoice)
        response = await stream.collect()
        assert isinstance(response, ModelResponse)
        assert response.choices[0].message.content == TEXT
        assert response.choices[0].message.parsed.number == 12
        assert stream.outcome == "complete"
        done = tokenwire.astreaming("openai/m", MESSAGES, api_base=endpoint.url)
        await done.until_done()
        assert done.outcome == "complete"


async def test_a_cut_stream_is_an_error_however_it_is_read() -> None:
    cut = [chunk('{"a": 1'), chunk(', "b"')]
    with Endpoint(lambda _: Reply(events=cut, done=False)) as endpoint:
        for read in ("collect", "until_done"):
            stream: Any = tokenwire.astreaming("openai/m", MESSAGES, api_base=endpoint.url)
            with pytest.raises(StreamTruncatedError):
                await getattr(stream, read)()
            assert stream.outcome == "truncated"
        stream = tokenwire.astreaming("openai/m", MESSAGES, api_base=endpoint.url)
        known: list[Any] = []
        with pytest.raises(StreamTruncatedError):
            async for partial in stream.partials():
                known.append(partial)  # noqa: PERF401 - it raises
        assert known[-1].value == {"a": 1}


async def test_text_of_a_text_completion() -> None:
    events = [
        {"object": "text_completion", "choices": [{"index": 0, "text": text, "finish_reason": end}]}
        for text, end in [("a", None), ("b", "stop")]
    ]
    with Endpoint([Reply(events=events)]) as endpoint:
        stream = await tokenwire.atext_completion("openai/m", "Hi", stream=True, api_base=endpoint.url)
        async with stream:
            assert "".join([text async for text in stream.text()]) == "ab"


def test_sync_streams_are_read_the_same_ways() -> None:
    with Endpoint(lambda _: Reply(events=chunks(TEXT))) as endpoint:

        def opened() -> Any:
            return tokenwire.completion("openai/m", MESSAGES, stream=True, api_base=endpoint.url, response_format=Invoice)

        assert "".join(opened().text()) == TEXT
        *_, last = opened().partials()
        assert last.parsed.lines == [Line("green tea", 2.5)]
        assert opened().collect().choices[0].message.parsed.number == 12
        stream = opened()
        stream.until_done()
        assert stream.outcome == "complete"
