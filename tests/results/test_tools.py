"""Functions as tools: what is sent of them, typed arguments in the answer, each call of a stream as soon as it is whole."""

import copy
import dataclasses
import datetime as dt
import enum
import functools
import json
import pickle
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any, Literal

import msgspec
import pydantic
import pytest

import tokenwire
from tokenwire import (
    AsyncClient,
    BadRequestError,
    ChatCompletionMessageToolCall,
    CustomLLM,
    Function,
    GenericStreamingChunk,
    OutputIncompleteError,
    OutputValidationError,
    PartialToolCall,
)
from tokenwire.testing import Endpoint, Reply, chunk, completion

pytestmark = pytest.mark.anyio

MESSAGES = [{"role": "user", "content": "What is the weather in Paris?"}]


class Unit(enum.Enum):
    CELSIUS = "celsius"
    FAHRENHEIT = "fahrenheit"


@dataclasses.dataclass
class Place:
    city: str
    country: str | None = None


class Span(pydantic.BaseModel):
    days: int = pydantic.Field(ge=1)


def get_weather(place: Place, unit: Unit = Unit.CELSIUS, *, since: dt.date | None = None) -> str:
    """Look up the weather.

    It is a guess.

    Args:
        place: Where; the country
            in two letters.
        unit (Unit, optional): Of the temperature.

    Returns:
        A sentence.
    """
    return f"{place.city}: {unit.value}, {since}"


async def add(first: int, second: Annotated[int, "the other one"] = 1) -> int:
    """Add numbers.

    :param int first: the one,
        before the other
    :param second: is not read
    :returns: the sum
    """
    return first + second


def ping() -> None: ...


def function_of(tool: Any, **keywords: Any) -> dict[str, Any]:
    """What is sent of a function."""
    with Endpoint([Reply(json=completion("Hi"))]) as endpoint:
        tokenwire.completion("openai/m", MESSAGES, api_base=endpoint.url, tools=[tool], **keywords)
        (sent,) = endpoint.requests[0].json()["tools"]
    assert sent["type"] == "function"
    return sent["function"]


def called(name: str, arguments: str, id: str = "call_1") -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def answer(*calls: dict[str, Any], tools: Any, finish_reason: str = "tool_calls") -> list[ChatCompletionMessageToolCall]:
    body = completion(None, finish_reason=finish_reason, tool_calls=list(calls))
    with Endpoint([Reply(json=body, headers={"x-request-id": "req-7"})]) as endpoint:
        response = tokenwire.completion("openai/m", MESSAGES, api_base=endpoint.url, tools=tools)
    return response.choices[0].message.tool_calls or []


# What is sent.


def test_a_function_is_sent_as_its_signature_and_docstring_say() -> None:
    sent = function_of(get_weather)
    assert (sent["name"], sent["description"], sent["strict"]) == (
        "get_weather",
        "Look up the weather.\n\nIt is a guess.",
        True,
    )
    parameters = sent["parameters"]
    assert (parameters["type"], parameters["additionalProperties"]) == ("object", False)
    assert list(parameters["properties"]) == parameters["required"] == ["place", "unit", "since"]
    place, unit, since = parameters["properties"].values()
    assert place["description"] == "Where; the country in two letters."
    assert list(place["properties"]) == ["city", "country"]
    (values, null) = unit["anyOf"]  # null stands for the default
    assert (values["enum"], null) == (["celsius", "fahrenheit"], {"type": "null"})
    assert values["description"] == 'Of the temperature. (default: "celsius")'
    assert since == {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]}


def test_sphinx_docstrings_and_annotated_say_what_parameters_mean() -> None:
    sent = function_of(add)
    assert sent["description"] == "Add numbers."
    first, second = sent["parameters"]["properties"].values()
    assert first == {"type": "integer", "description": "the one, before the other"}
    assert second["anyOf"][0]["description"] == "the other one (default: 1)"


def test_a_function_without_parameters_and_docstring() -> None:
    empty = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    assert function_of(ping) == {"name": "ping", "parameters": empty, "strict": True}


def described(*descriptions: object) -> Callable[..., None]:
    def tool(it: Annotated[int, *descriptions]) -> None: ...  # type: ignore[valid-type]

    return tool


@pytest.mark.parametrize("description", ["so", msgspec.Meta(description="so"), pydantic.Field(description="so")])
def test_annotated_descriptions_of_every_library(description: object) -> None:
    assert function_of(described(description))["parameters"]["properties"]["it"]["description"] == "so"


def test_constraints_are_sent_and_kept_to() -> None:
    def roll(sides: Annotated[int, msgspec.Meta(ge=2)]) -> None: ...

    assert function_of(roll)["parameters"]["properties"]["sides"]["minimum"] == 2
    (call,) = answer(called("roll", '{"sides": 1}'), tools=[roll])
    with pytest.raises(OutputValidationError, match=">= 2"):
        _ = call.parsed


def test_functions_and_dicts_are_sent_side_by_side() -> None:
    plain = {"type": "function", "function": {"name": "other", "parameters": {}}}
    with Endpoint([Reply(json=completion("Hi"))]) as endpoint:
        tokenwire.completion("openai/m", MESSAGES, api_base=endpoint.url, tools=(plain, ping))
        first, second = endpoint.requests[0].json()["tools"]
    assert first == plain
    assert second["function"]["name"] == "ping"


def test_a_method_has_no_self_and_a_wrapped_function_its_own_parameters() -> None:
    class Desk:
        def open(self, number: int) -> None: ...

    @functools.wraps(add)
    async def logged(*args: Any, **kwargs: Any) -> int:
        return await add(*args, **kwargs)

    assert list(function_of(Desk().open)["parameters"]["properties"]) == ["number"]
    assert function_of(logged)["parameters"] == function_of(add)["parameters"]


def test_what_a_function_returns_need_not_be_known() -> None:
    def tool(x: "int") -> "NoSuchClass":  # type: ignore[name-defined]  # noqa: F821  # pyright: ignore[reportUndefinedVariable]
        ...

    assert function_of(tool)["parameters"]["properties"] == {"x": {"type": "integer"}}


def test_handlers_get_functions_as_dicts() -> None:
    class Handler(CustomLLM):
        def completion(self, *args: Any, optional_params: Any, **kwargs: Any) -> Any:
            response: Any = kwargs["model_response"]
            response.choices[0].message.content = optional_params["tools"][0]["function"]["name"]
            return response

    client = tokenwire.Client(handlers={"mine": Handler()})
    assert client.completion("mine/m", MESSAGES, tools=[ping]).text == "ping"


# What is refused before anything is sent.


def no_annotation(city) -> None: ...  # type: ignore[no-untyped-def]  # pyright: ignore[reportMissingParameterType, reportUnknownParameterType]


def any_number(*numbers: int) -> None: ...


def by_position(number: int, /) -> None: ...


def any_keys(counts: dict[str, int]) -> None: ...


def callback(then: Callable[[], None]) -> None: ...


def unresolved(it: "Missing") -> None: ...  # type: ignore[name-defined]  # noqa: F821  # pyright: ignore[reportUndefinedVariable]


@pytest.mark.parametrize(
    "tools, words",
    [
        (
            [no_annotation],
            "tools[0]: the parameter city of no_annotation has no annotation, which is needed for the schema",
        ),
        ([ping, any_number], "tools[1]: the parameter numbers of any_number can't be passed by keyword"),
        ([by_position], "tools[0]: the parameter number of by_position can't be passed by keyword"),
        ([any_keys], "tools[0]: any_keys.counts is a dict with any keys"),
        ([callback], "tools[0]: callback.then has no JSON schema"),
        ([unresolved], "tools[0]: the annotations of unresolved can't be read: name 'Missing' is not defined"),
        ([lambda: None], "is not a function with a name"),
        ([functools.partial(add, 1)], "is not a function with a name"),
        ([Place], "is not a function with a name"),
        ([ping, ping], "tools[1] has the same name as another tool, 'ping'"),
        ([{"type": "function", "function": {"name": "ping"}}, ping], "tools[1] has the same name as another tool, 'ping'"),
        (ping, "tools must be a list of functions and dicts, not <function ping"),
    ],
)
def test_what_cant_be_a_tool_is_refused(tools: Any, words: str) -> None:
    with Endpoint(Reply(text="never")) as endpoint, pytest.raises(BadRequestError) as caught:
        tokenwire.completion("openai/m", MESSAGES, api_base=endpoint.url, tools=tools)
    assert words in caught.value.message
    assert (caught.value.param, caught.value.fault) == ("tools", "caller")
    assert endpoint.requests == []


# What is received.


def test_arguments_are_what_the_function_takes() -> None:
    text = '{"place": {"city": "Paris", "country": null}, "unit": null, "since": "2026-11-28"}'
    (call,) = answer(called("get_weather", text), tools=[get_weather])
    assert call.parsed == {"place": Place("Paris"), "since": dt.date(2026, 11, 28)}
    assert call.parsed is call.parsed
    assert get_weather(**call.parsed) == "Paris: celsius, 2026-11-28"
    assert call.parse(get_weather) == call.parsed
    assert "parsed" not in call.model_dump()


@pytest.mark.parametrize("text", ["", "{}"])
def test_no_arguments(text: str) -> None:
    (call,) = answer(called("ping", text), tools=[ping])
    assert call.parsed == {}


def test_a_model_of_pydantics_as_an_argument() -> None:
    def plan(span: Span, other: Span | None = None, third: Span = Span(days=3)) -> None: ...  # noqa: B008

    good, bad = answer(
        called("plan", '{"span": {"days": 2}, "other": null, "third": null}'),
        called("plan", '{"span": {"days": 0}}', "call_2"),
        tools=[plan],
    )
    assert good.parsed == {"span": Span(days=2), "other": None}
    with pytest.raises(OutputValidationError) as caught:
        _ = bad.parsed
    assert caught.value.path == "span"


def test_arguments_that_do_not_fit() -> None:
    text = '{"place": {"city": 5}}'
    (call,) = answer(called("get_weather", text), tools=[get_weather])
    with pytest.raises(OutputValidationError) as caught:
        _ = call.parsed
    error = caught.value
    assert (error.path, error.expected, error.text) == ("place.city", "Expected `str`, got `int`", text)
    assert "the arguments do not fit get_weather" in error.message
    assert (error.llm_provider, error.model, error.request_id) == ("openai", "m", "req-7")
    assert error.partial.choices[0].message.tool_calls[0].function.arguments == text
    with pytest.raises(OutputValidationError, match=r"place\.city"):
        call.parse(get_weather)


def test_arguments_cut_short() -> None:
    (call,) = answer(called("add", '{"first": 12, "sec'), tools=[add], finish_reason="length")
    with pytest.raises(OutputIncompleteError, match="finish_reason='length'") as caught:
        _ = call.parsed
    assert caught.value.value == {"first": 12}


def test_a_tool_that_nobody_offered() -> None:
    plain = {"type": "function", "function": {"name": "plain"}}
    of_dict, of_nobody = answer(called("plain", "{}"), called("made_up", "{}", "call_2"), tools=[add, plain])
    assert of_dict.parsed is None
    with pytest.raises(OutputValidationError, match="the model called 'made_up'") as caught:
        _ = of_nobody.parsed
    assert caught.value.expected == "one of add, plain"


def test_calls_of_dicts_alone_are_left_as_they_are() -> None:
    (call,) = answer(called("made_up", "{"), tools=[{"type": "function", "function": {"name": "plain"}}])
    assert call.parsed is None
    assert ChatCompletionMessageToolCall(function=Function(name="add", arguments='{"first": 1}')).parse(add) == {"first": 1}


def test_copies_and_pickles_know_the_function() -> None:
    (call,) = answer(called("add", '{"first": 1, "second": 2}'), tools=[add])
    for other in (copy.copy(call), copy.deepcopy(call), pickle.loads(pickle.dumps(call))):
        assert other.parsed == {"first": 1, "second": 2}


def test_a_pickle_does_not_need_a_function_that_has_no_name_elsewhere() -> None:
    def inner(x: int) -> None: ...

    (call,) = answer(called("inner", '{"x": 1}'), tools=[inner])
    assert pickle.loads(pickle.dumps(call)).parsed is None
    assert copy.deepcopy(call).parsed == {"x": 1}


@pytest.mark.parametrize(
    "value, content",
    [
        ("Sunny", "Sunny"),
        (None, "null"),
        ({"degrees": 25}, '{"degrees":25}'),
        (Place("Paris"), '{"city":"Paris","country":null}'),
        (Span(days=1), '{"days":1}'),
        (Unit.CELSIUS, '"celsius"'),
    ],
)
def test_a_result_is_the_message_that_answers_the_call(value: object, content: str) -> None:
    (call,) = answer(called("ping", "{}"), tools=[ping])
    assert call.result(value) == {"role": "tool", "tool_call_id": "call_1", "content": content}


def test_a_result_that_json_cant_say() -> None:
    (call,) = answer(called("ping", "{}"), tools=[ping])
    with pytest.raises(BadRequestError, match="value can't be sent as JSON: object"):
        call.result(object())


async def test_the_loop_of_an_agent() -> None:
    replies = [
        Reply(json=completion(None, finish_reason="tool_calls", tool_calls=[
            called("add", '{"first": 1, "second": 2}'), called("add", '{"first": 3, "second": null}', "call_2"),
        ])),
        Reply(json=completion("3 and 4")),
    ]  # fmt: skip
    messages: list[Any] = [{"role": "user", "content": "1 + 2? 3 + 1?"}]
    with Endpoint(replies) as endpoint:
        own: dict[str, Any] = {"api_base": endpoint.url, "tools": [add]}
        while calls := (message := (await tokenwire.acompletion("openai/m", messages, **own)).choices[0].message).tool_calls:
            messages += [message, *[call.result(await add(**call.parsed)) for call in calls]]
        assert message.content == "3 and 4"
        sent = endpoint.requests[1].json()["messages"]
    assert [each["role"] for each in sent] == ["user", "assistant", "tool", "tool"]
    assert [(each["tool_call_id"], each["content"]) for each in sent[2:]] == [("call_1", "3"), ("call_2", "4")]


# While it streams.


def pieces(index: int, name: str, *arguments: str, id: str | None = None) -> list[dict[str, Any]]:
    """The chunks of a call as OpenAI sends it: id and name first, and then the arguments bit by bit."""
    first = {"index": index, "id": id or f"call_{index}", "type": "function", "function": {"name": name, "arguments": ""}}
    rest = [{"index": index, "function": {"arguments": each}} for each in arguments]
    return [chunk(tool_calls=[each]) for each in (first, *rest)]


TWO = [
    *pieces(0, "add", '{"first"', ": 1, ", '"second": 2}'),
    *pieces(1, "ping", "{}"),
    chunk(finish_reason="tool_calls"),
]


async def test_each_call_comes_once_and_typed() -> None:
    with Endpoint(lambda request: Reply(events=TWO)) as endpoint:
        own: dict[str, Any] = {"api_base": endpoint.url, "tools": [add, ping]}
        for stream in (
            await tokenwire.acompletion("openai/m", MESSAGES, stream=True, **own),
            tokenwire.astreaming("openai/m", MESSAGES, **own),
        ):
            calls = [call async for call in stream.tool_calls()]
            assert [(call.id, call.parsed) for call in calls] == [
                ("call_0", {"first": 1, "second": 2}),
                ("call_1", {}),
            ]
            assert stream.outcome == "complete"
            response: Any = stream.response
            assert response.choices[0].message.tool_calls == calls
            assert response.choices[0].message.tool_calls[0].parsed == {"first": 1, "second": 2}
        sync: Any = tokenwire.completion("openai/m", MESSAGES, stream=True, **own)
        assert [call.parsed for call in sync.tool_calls()] == [{"first": 1, "second": 2}, {}]


class Handler(CustomLLM):
    """Streams the pieces of tool calls, each in a read of its own, and says what was read of them before each."""

    def __init__(self, *chunks: GenericStreamingChunk) -> None:
        self.chunks, self.seen = chunks, list[int]()
        self.reader: list[Any] = []

    async def astreaming(self, *args: Any, **kwargs: Any) -> AsyncIterator[GenericStreamingChunk]:
        for each in self.chunks:
            self.seen.append(len(self.reader))
            yield each


def flat(index: int | None, arguments: str, name: str | None = None) -> GenericStreamingChunk:
    use: Any = {"index": index, "id": f"call_{index}" if name else None, "function": {"name": name, "arguments": arguments}}
    return GenericStreamingChunk(tool_use=use)


END = GenericStreamingChunk(is_finished=True, finish_reason="tool_calls")


async def test_a_call_comes_when_the_next_begins() -> None:
    handler = Handler(flat(0, "{}", "ping"), flat(1, "", "add"), flat(1, '{"first":'), flat(1, " 1}"), END)
    async for call in AsyncClient(handlers={"mine": handler}).astreaming("mine/m", MESSAGES, tools=[add, ping]).tool_calls():
        handler.reader.append(call)
    assert [call.parsed for call in handler.reader] == [{}, {"first": 1}]
    assert handler.seen == [0, 0, 1, 1, 1]


async def test_calls_whose_pieces_alternate_are_kept_until_they_are_whole() -> None:
    handler = Handler(
        flat(0, '{"first":', "add"), flat(1, '{"first":', "add"), flat(0, " 1}"), flat(1, " 2}"), END
    )  # fmt: skip
    stream = AsyncClient(handlers={"mine": handler}).astreaming("mine/m", MESSAGES, tools=[add])
    assert [call.parsed async for call in stream.tool_calls()] == [{"first": 1}, {"first": 2}]


async def test_partial_arguments() -> None:
    handler = Handler(flat(0, "", "add"), flat(0, '{"first": 1, "sec'), flat(0, 'ond": 2}'), END)
    stream = AsyncClient(handlers={"mine": handler}).astreaming("mine/m", MESSAGES, tools=[add])
    seen: list[Any] = []
    latest: PartialToolCall | None = None
    async for partial in stream.tool_calls(partials=True):
        seen.append((partial.id, partial.name, copy.copy(partial.value), partial.done))
        assert latest in (None, partial)
        latest = partial
    assert seen == [
        ("call_0", "add", None, False),
        ("call_0", "add", {"first": 1}, False),
        ("call_0", "add", {"first": 1, "second": 2}, False),
        ("call_0", "add", {"first": 1, "second": 2}, True),
    ]
    assert latest is not None
    assert latest.call is not None
    assert latest.call.parsed == {"first": 1, "second": 2}


async def test_arguments_that_are_sent_again_and_again() -> None:
    """Each piece repeats all before it, as some servers send them: the whole call has the last."""
    handler = Handler(flat(0, "", "add"), flat(0, '{"first"'), flat(0, '{"first": 1'), flat(0, '{"first": 1}'), END)
    client = AsyncClient(handlers={"mine": handler})
    (call,) = [call async for call in client.astreaming("mine/m", MESSAGES, tools=[add]).tool_calls()]
    assert call.parsed == {"first": 1}
    partials = [each async for each in client.astreaming("mine/m", MESSAGES, tools=[add]).tool_calls(partials=True)]
    assert partials[-1].value == {"first": 1}
    assert json.loads(partials[-1].call.function.arguments) == {"first": 1}  # type: ignore[union-attr]


async def test_a_call_cut_short_is_an_error_after_those_that_are_whole() -> None:
    cut = GenericStreamingChunk(is_finished=True, finish_reason="length")
    handler = Handler(flat(0, "{}", "ping"), flat(1, '{"first": 1, "sec', "add"), cut)
    stream = AsyncClient(handlers={"mine": handler}).astreaming("mine/m", MESSAGES, tools=[add, ping])
    with pytest.raises(OutputIncompleteError, match="the arguments of add were cut short") as caught:
        async for call in stream.tool_calls():
            handler.reader.append(call)
    assert [call.function.name for call in handler.reader] == ["ping"]
    assert caught.value.value == {"first": 1}
    assert stream.outcome == "complete"


async def test_a_stream_without_calls_has_none() -> None:
    with Endpoint([Reply(text="Hello")]) as endpoint:
        stream = await tokenwire.acompletion("openai/m", MESSAGES, stream=True, api_base=endpoint.url, tools=[add])
        assert [call async for call in stream.tool_calls()] == []
        assert stream.response is not None
        assert stream.response.text == "Hello"


def test_a_parameter_that_names_its_values() -> None:
    def paint(colour: Literal["red", "blue"]) -> None: ...

    (call,) = answer(called("paint", '{"colour": "green"}'), tools=[paint])
    with pytest.raises(OutputValidationError, match="green"):
        _ = call.parsed
