"""Tool calls of a real server.

SmolLM2's own chat template knows no tools. The equipped server has one that does; there the model is urged to write the
token that begins a call, and llama.cpp's grammar for the tool sees to the rest.
"""

import json
from typing import Any, Literal

import pytest

from tokenwire import ModelResponse, acompletion, astreaming

from ..conftest import one_loop

pytestmark = [pytest.mark.real_model, pytest.mark.anyio]

MODEL = "openai/smollm2"
QUESTION = {"role": "user", "content": "What is the weather in Paris?"}
CITY = {"type": "object", "properties": {"city": {"enum": ["Paris"]}}, "required": ["city"]}
TOOLS: Any = {
    "tools": [{"type": "function", "function": {"name": "get_weather", "parameters": CITY}}],
    "tool_choice": "required",
    "max_tokens": 60,
}
BEGIN_CALL, END_OF_TURN = "13", "2"  # tokens: <jupyter_code>, <|im_end|>
ONE_CALL: Any = TOOLS | {"logit_bias": {BEGIN_CALL: 30, END_OF_TURN: 60}}
CALL_AFTER_CALL: Any = TOOLS | {"logit_bias": {BEGIN_CALL: 30}}


async def collect(**params: Any) -> ModelResponse:
    async with await acompletion(MODEL, [QUESTION], stream=True, **params) as stream:
        async for _ in stream:
            pass
    assert stream.outcome == "complete"
    assert isinstance(stream.response, ModelResponse)
    return stream.response


@one_loop
async def test_a_template_without_tools_lets_the_model_talk(local: Any) -> None:
    response = await acompletion(MODEL, [QUESTION], **local | TOOLS | {"max_tokens": 8})
    message = response.choices[0].message
    assert message.content
    assert message.tool_calls is None
    assert response.choices[0].finish_reason == "length"


@one_loop
async def test_a_tool_call_whole_and_streamed(equipped: Any) -> None:
    whole = await acompletion(MODEL, [QUESTION], **equipped | ONE_CALL)
    streamed = await collect(**equipped | ONE_CALL)
    for response in (whole, streamed):
        assert response.choices[0].finish_reason == "tool_calls"
        message = response.choices[0].message
        assert not message.content
        assert message.tool_calls is not None
        (call,) = message.tool_calls
        assert call.function is not None
        assert (call.type, call.function.name) == ("function", "get_weather")
        assert json.loads(call.function.arguments) == {"city": "Paris"}
        assert call.id

    # The assembled message can stand in the next question as it is.
    message = streamed.choices[0].message
    assert message.tool_calls is not None
    result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "Sunny, 25 degrees."}
    answer = await acompletion(MODEL, [QUESTION, message, result], **equipped | {"max_tokens": 6})
    assert "25" in (answer.choices[0].message.content or "")


def get_weather(city: Literal["Paris"]) -> str:
    """Look up the weather.

    Args:
        city: Where.
    """
    return f"Sunny in {city}, 25 degrees."


@one_loop
async def test_an_agent_whose_tool_is_a_function(equipped: Any) -> None:
    asked: Any = equipped | ONE_CALL | {"tools": [get_weather]}
    messages: list[Any] = [QUESTION]
    reply = await acompletion(MODEL, messages, **asked)
    calls = reply.choices[0].message.tool_calls
    assert calls is not None
    messages += [reply.choices[0].message, *[call.result(get_weather(**call.parsed)) for call in calls]]
    reply = await acompletion(MODEL, messages, **equipped | {"max_tokens": 6})
    assert "Sunny" in reply.text

    async with await acompletion(MODEL, [QUESTION], stream=True, **asked) as stream:
        assert [call.parsed async for call in stream.tool_calls()] == [{"city": "Paris"}]


@one_loop
async def test_calls_after_each_other_are_kept_apart(equipped: Any) -> None:
    """The second one is cut short by max_tokens."""
    async with astreaming(MODEL, [QUESTION], **equipped | CALL_AFTER_CALL) as stream:
        chunks = [chunk async for chunk in stream]
    pieces = [chunk.tool_use for chunk in chunks if chunk.tool_use is not None]
    functions = [piece.function for piece in pieces if piece.index == 0 and piece.function is not None]
    assert [function.name for function in functions if function.name] == ["get_weather"]
    assert json.loads("".join(function.arguments or "" for function in functions)) == {"city": "Paris"}
    assert {piece.index for piece in pieces} >= {0, 1}
    assert chunks[-1].finish_reason == "length"
    assert isinstance(stream.response, ModelResponse)
    calls = stream.response.choices[0].message.tool_calls or []
    assert [call.id for call in calls] == [piece.id for piece in pieces if piece.id]
    assert {call.function.name for call in calls if call.function is not None} == {"get_weather"}
    assert calls[0].function is not None
    assert json.loads(calls[0].function.arguments) == {"city": "Paris"}
