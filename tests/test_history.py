"""What a caller puts into the next call's history: an answer's message goes back as it came."""

import copy
import pickle
from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec
import pytest
from hypothesis import given, strategies as st

import tokenwire
from tokenwire import Message
from tokenwire.testing import Endpoint, Reply
from tokenwire.types import (
    ChatCompletionMessageToolCall,
    Choices,
    Function,
    GenericStreamingChunk,
    ModelResponse,
    ModelResponseStream,
)
from tokenwire.wire.bodies import decode_body
from tokenwire.wire.chunks import ChunkDecoder
from tokenwire.wire.history import to_json

Draw: TypeAlias = Callable[[st.SearchStrategy[Any]], Any]
ASK: Any = [{"role": "user", "content": "x"}]
CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def received(message: Any) -> Any:
    """The message of an answer with this one, as a server sent it."""
    return (
        decode_body(msgspec.json.encode({"choices": [{"message": message, "finish_reason": "stop"}]}), ModelResponse)
        .choices[0]
        .message
    )


def streamed(*deltas: Any, shape: Any = ModelResponseStream) -> Any:
    """The message of a stream that brings these."""
    decoder: Any = ChunkDecoder(shape, text=False, model="m")
    decoder.decode([msgspec.json.encode({"id": "c", "choices": [{"index": 0, "delta": delta}]}) for delta in deltas])
    assert decoder.error is None
    return decoder.assembler.response().choices[0].message


# By the public way, there and back.


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": "hi", "reasoning": "hm"},
        {"role": "assistant", "content": "hi", "reasoning_content": "hm"},
        {"role": "assistant", "content": "hi", "reasoning": "hm", "reasoning_content": "hm"},
        {"content": None, "role": "assistant", "tool_calls": [CALL]},
        {"role": "assistant", "content": "hi", "refusal": None, "annotations": [], "tool_calls": [], "x": {"y": None}},
        {"role": "assistant", "content": "hi", "tool_calls": [{**CALL, "index": 0, "extra_content": {"google": {"thought_signature": "S"}}}]},
    ],
    ids=["reasoning", "reasoning_content", "both", "content-null", "nulls-and-nothing", "fields-of-calls"],
)  # fmt: skip
def test_a_message_goes_back_as_it_came(message: Any) -> None:
    whole = {"id": "c", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    with Endpoint([Reply(json=whole)]) as endpoint:
        answer = tokenwire.completion("openai/m", ASK, api_base=endpoint.url).choices[0].message
        tokenwire.completion("openai/m", [*ASK, answer, *ASK], api_base=endpoint.url)
        sent = endpoint.requests[-1].json()["messages"]
    assert sent == [*ASK, message, *ASK]
    assert list(sent[1]) == list(message)


def test_a_streamed_message_goes_back() -> None:
    deltas = [
        {
            "role": "assistant",
            "content": None,
            "reasoning": "h",
            "reasoning_details": [{"type": "t", "text": "Le", "index": 0}],
        },
        {"reasoning": "m", "reasoning_details": [{"type": "t", "text": "t", "index": 0}]},
        {"reasoning_details": [{"type": "t", "signature": "S", "index": 0, "id": None}]},
        {"tool_calls": [{"index": 0, **CALL}]},
    ]
    events = [{"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    ending = {"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}
    with Endpoint([Reply(events=[*events, ending])]) as endpoint:
        stream = tokenwire.completion("openai/m", ASK, stream=True, api_base=endpoint.url)
        pieces = [chunk.choices[0].delta.reasoning for chunk in stream]
        answer = stream.response.choices[0].message  # type: ignore[union-attr]
        tokenwire.completion("openai/m", [*ASK, answer], api_base=endpoint.url, stream=True).close()
        sent = endpoint.requests[-1].json()["messages"][1]
    assert (pieces, answer.reasoning, answer.reasoning_content) == (["h", "m", None, None, None], "hm", "hm")  # type: ignore[union-attr]
    assert sent == {
        "role": "assistant",
        "content": None,
        "reasoning": "hm",
        "reasoning_details": [{"type": "t", "text": "Let", "signature": "S", "index": 0, "id": None}],
        "tool_calls": [CALL],
    }


@pytest.mark.parametrize(
    "made", [received, lambda message: streamed({**message, "tool_calls": [{"index": 0, **message["tool_calls"][0]}]})]
)
def test_calls_of_an_answer_in_a_message_made_by_hand(made: Any) -> None:
    call = {**CALL, "extra_content": {"s": 1}}
    calls = made({"content": None, "tool_calls": [call]}).tool_calls
    for message in ({"role": "assistant", "content": None, "tool_calls": calls}, Message(tool_calls=calls)):
        with Endpoint([Reply(text="hi")]) as endpoint:
            tokenwire.completion("openai/m", [message], api_base=endpoint.url, num_retries=0, mock_response=None)
            (sent,) = endpoint.requests[-1].json()["messages"]
        assert sent["tool_calls"] == [call]


# What has been changed since.


def test_what_was_changed_goes_as_it_is_now() -> None:
    message = received({"role": "assistant", "content": "hi", "refusal": None, "reasoning": "hm", "x": 1, "y": None})
    message.content = "ho"
    message["x"] = 2
    message.z = [3]
    assert (message.x, message["z"], message.model_dump()["x"], message.provider_specific_fields) == (
        2, [3], 2, {"x": 2, "y": None, "z": [3]}
    )  # fmt: skip
    assert to_json(message) == {
        "role": "assistant",
        "content": "ho",
        "refusal": None,
        "reasoning": "hm",
        "x": 2,
        "y": None,
        "z": [3],
    }
    message.refusal = "no"
    message.reasoning_content = "ah"
    assert to_json(message).items() >= {"refusal": "no", "reasoning": "ah"}.items()
    message.reasoning = None
    message.content = None
    assert to_json(message).keys() == {"role", "refusal", "x", "y", "z"}


def test_what_was_added_to_a_call_goes_too() -> None:
    message = received({"content": None, "tool_calls": [{**CALL, "x": 1}]})
    message.tool_calls[0].y = 2
    assert to_json(message)["tool_calls"] == [{**CALL, "x": 1, "y": 2}]


def test_what_was_changed_in_a_call_goes_as_it_is_now() -> None:
    message = received({"content": None, "tool_calls": [{**CALL, "x": 1}, {**CALL, "id": "b"}]})
    message.tool_calls[0].function.arguments = "[]"
    message.tool_calls[1]["y"] = 2
    function = {"name": "f", "arguments": "[]"}
    assert to_json(message)["tool_calls"] == [{**CALL, "x": 1, "function": function}, {**CALL, "id": "b", "y": 2}]
    del message.tool_calls[0]
    assert to_json(message)["tool_calls"] == [{**CALL, "id": "b", "y": 2}]
    message.tool_calls.append(ChatCompletionMessageToolCall(id="c", function=Function(name="g")))
    assert to_json(message)["tool_calls"][1] == {"id": "c", "type": "function", "function": {"name": "g", "arguments": ""}}


def test_an_assembled_message_can_be_changed_too() -> None:
    message = streamed({"content": "hi", "reasoning": "hm", "x": "1"})
    message.reasoning = "ah"
    message["x"] = "2"
    message.y = 3
    assert to_json(message) == {"role": "assistant", "content": "hi", "reasoning": "ah", "x": "2", "y": 3}


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda message: pickle.loads(pickle.dumps(message))])
def test_copies_go_back_alike(copied: Any) -> None:
    whole = {"role": "assistant", "content": None, "reasoning": "hm", "tool_calls": [CALL], "x": None}
    assert to_json(copied(received(whole))) == whole
    assert to_json(copied(streamed({"reasoning": "hm", "x": 1}))) == {
        "role": "assistant",
        "content": None,
        "reasoning": "hm",
        "x": 1,
    }
    assert list(to_json(copied(received(whole)))) == list(whole)


def test_messages_made_by_hand_say_what_is_not_none() -> None:
    assert to_json(Message(content=None, refusal="no")) == {"role": "assistant", "refusal": "no"}
    assert to_json(Choices(message={"content": "hi"}).message) == {"role": "assistant", "content": "hi"}  # type: ignore[arg-type]


ODD: list[dict[str, Any]] = [
    {"content": [{"type": "text", "text": "hi"}, {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]},
    {
        "content": None,
        "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": {"x": 1}}, "y": 2}],
    },
    {"content": "hi", "tool_calls": "", "annotations": 5, "refusal": False, "z": [1]},
    {"content": "hi", "reasoning": {"text": "hm"}, "function_call": []},
]


@pytest.mark.parametrize("odd", ODD)
def test_odd_values_go_back_as_they_came(odd: dict[str, Any]) -> None:
    whole = {"role": "assistant", **odd}
    message = received(whole)
    assert to_json(message) == whole
    message.content = "ho"
    assert to_json(message) == {**whole, "content": "ho"}


def test_a_message_without_a_role_is_the_assistant_s() -> None:
    assert to_json(received({"content": "hi"})) == {"content": "hi", "role": "assistant"}
    assert to_json(received({"content": "hi", "role": None})) == {"content": "hi", "role": "assistant"}


def test_the_second_choice_s_message() -> None:
    choices = [{"index": index, "message": {"role": "assistant", "content": None, "x": index}} for index in range(2)]
    response = decode_body(msgspec.json.encode({"choices": choices}), ModelResponse)
    assert [to_json(choice.message) for choice in response.choices] == [choice["message"] for choice in choices]


def test_a_message_that_contains_itself() -> None:
    loop: Any = {"role": "user"}
    loop["content"] = [loop]
    with pytest.raises(tokenwire.BadRequestError, match=r"messages\[0\]"):
        tokenwire.completion("openai/m", [loop], api_key="k")


def test_reasoning_is_read_and_set_under_either_name() -> None:
    message = Message(content="hi")
    message.reasoning = "hm"
    assert (message.reasoning, message.reasoning_content, message["reasoning"]) == ("hm", "hm", "hm")
    assert "reasoning" in message
    assert message.model_dump(exclude_none=True) == {"content": "hi", "role": "assistant", "reasoning_content": "hm"}
    delta = streamed({"reasoning_content": "hm"})
    assert delta.reasoning == "hm"


# Any message.

KNOWN = set(Message.__struct_encode_fields__) | {"obfuscation", "padding"}
LEAVES = st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4)
VALUES = st.recursive(
    LEAVES,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text("ab", max_size=2), values, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(st.text("abtype", max_size=4), VALUES, max_size=3)
TEXTS = st.text(max_size=6)
NAMES = st.text("abcxyz_", min_size=1, max_size=5).filter(lambda name: name not in KNOWN)
FUNCTIONS = st.fixed_dictionaries(
    {"name": st.text("fgh", min_size=1, max_size=4), "arguments": st.sampled_from(["{}", '{"a":1}', ""])}
)
CALLS = st.lists(
    st.fixed_dictionaries({"type": st.just("function"), "function": FUNCTIONS}, optional={"extra_content": OBJECTS}),
    min_size=1,
    max_size=3,
).map(lambda calls: [{"id": f"call-{number}", **call} for number, call in enumerate(calls)])
FIELDS = {
    "content": TEXTS,
    "reasoning": TEXTS,
    "reasoning_content": TEXTS,
    "refusal": TEXTS,
    "tool_calls": CALLS,
    "function_call": FUNCTIONS,
    "audio": OBJECTS,
    "images": st.lists(OBJECTS, max_size=2),
    "annotations": st.lists(OBJECTS, max_size=2),
    "thinking_blocks": st.lists(OBJECTS, max_size=2),
    "reasoning_items": st.lists(OBJECTS, max_size=2),
    "provider_specific_fields": OBJECTS.filter(bool),
}  # fmt: skip


def shuffled(draw: Draw, fields: dict[str, Any]) -> dict[str, Any]:
    return {name: fields[name] for name in draw(st.permutations(list(fields)))}


@given(st.data())
def test_any_message_received_whole_goes_back_equal(data: st.DataObject) -> None:
    known = data.draw(st.fixed_dictionaries({}, optional={name: st.none() | values for name, values in FIELDS.items()}))
    unknown = data.draw(st.dictionaries(NAMES, VALUES, max_size=3))
    message = shuffled(data.draw, {"role": "assistant", **unknown, **known})
    sent = to_json(received(message))
    assert sent == message
    assert list(sent) == list(message)


def cut(draw: Draw, text: str) -> list[str]:
    places = sorted(draw(st.lists(st.integers(0, len(text)), max_size=3)))
    return [text[start:end] for start, end in zip([0, *places], [*places, len(text)], strict=True)]


def pieces_of(draw: Draw, name: str, value: Any) -> list[dict[str, Any]]:
    """A field of a message as deltas: text in pieces, the items of a list one by one, calls begun and continued."""
    if isinstance(value, str):
        return [{name: part} for part in cut(draw, value)]
    if name == "tool_calls":
        return [piece for index, call in enumerate(value) for piece in call_pieces(draw, index, call)]
    if name == "details":
        return [{name: [{**item, "text": part}]} for item in value for part in cut(draw, item["text"])]
    return [{name: [item]} for item in value] if isinstance(value, list) and value else [{name: value}]


def call_pieces(draw: Draw, index: int, call: dict[str, Any]) -> list[dict[str, Any]]:
    first = {**call, "index": index, "function": {**call["function"], "arguments": ""}}
    rest = [{"index": index, "function": {"arguments": part}} for part in cut(draw, call["function"]["arguments"])]
    return [{"tool_calls": [piece]} for piece in (first, *rest)]


DETAILS = st.lists(st.fixed_dictionaries({"type": st.just("t"), "text": TEXTS}, optional={"id": st.none() | TEXTS}), max_size=3).map(
    lambda items: [{**item, "index": index} for index, item in enumerate(items)]
)  # fmt: skip


@pytest.mark.parametrize("shape", [ModelResponseStream, GenericStreamingChunk], ids=["chat", "flat"])
@given(data=st.data())
def test_any_message_received_in_pieces_goes_back_equal(shape: Any, data: st.DataObject) -> None:
    known = data.draw(
        st.fixed_dictionaries({}, optional={name: values for name, values in FIELDS.items() if name != "tool_calls"})
    )
    calls = data.draw(st.fixed_dictionaries({}, optional={"tool_calls": CALLS, "details": DETAILS}))
    unknown = data.draw(
        st.dictionaries(NAMES, VALUES.filter(lambda value: value is not None and not isinstance(value, list)), max_size=3)
    )
    message = shuffled(data.draw, {**unknown, **known, **calls})
    deltas = [piece for name, value in message.items() for piece in pieces_of(data.draw, name, value)]
    sent = to_json(streamed({"role": "assistant"}, *deltas, shape=shape))
    if not message.get("details", True):
        del message["details"]
    assert sent == {"role": "assistant", "content": None, **message}
