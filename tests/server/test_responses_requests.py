"""Requests of the Responses API: what a handler is asked, and what is refused by name."""

from collections.abc import Callable
from typing import Any

import pytest

from tokenwire.server import create_app

pytestmark = pytest.mark.anyio

PATH = "/v1/responses"
HI = {"role": "user", "content": "Hi"}
CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
RESULT = {"type": "function_call_output", "call_id": "c", "output": "x"}
TOOL = {"type": "function", "name": "look", "description": "Look.", "parameters": {"type": "object"}, "strict": True}


@pytest.fixture
def anyio_backend() -> str:
    """Nothing here depends on the event loop."""
    return "asyncio"


@pytest.fixture
def asked(ask: Any) -> Callable[..., Any]:
    """`await asked(**fields)`: the messages and the other parameters that a handler is called with."""

    async def asked(input: Any = "Hi", **fields: Any) -> tuple[Any, dict[str, Any]]:
        seen: list[Any] = []

        async def answer(messages: Any, optional_params: dict[str, Any], **_: Any) -> str:
            seen.extend((messages, optional_params))
            return "Yes"

        response = await ask(create_app({"m": answer}), {"model": "m", "input": input, **fields}, PATH)
        assert response.status == 200, response.body
        messages, params = seen
        return messages, params

    return asked


@pytest.fixture
def refused(ask: Any) -> Callable[..., Any]:
    """`await refused(**fields)`: the error for such a request; no handler is called."""

    async def refused(input: Any = "Hi", **fields: Any) -> dict[str, Any]:
        async def answer(**_: Any) -> str:
            raise AssertionError

        for stream in (False, True):
            response = await ask(create_app({"m": answer}), {"model": "m", "input": input, "stream": stream, **fields}, PATH)
            assert response.status == 400
        return response.error()

    return refused


async def test_a_text_is_a_users_message(asked: Any) -> None:
    assert await asked("Hi") == ([{"role": "user", "content": "Hi"}], {})
    messages, _ = await asked("Hi", instructions="Be brief.")
    assert messages[0] == {"role": "system", "content": "Be brief."}


async def test_messages_have_the_parts_of_a_chats(asked: Any) -> None:
    messages, _ = await asked(
        [
            {"role": "developer", "content": "Be brief."},
            {
                "type": "message",
                "role": "user",
                "id": "msg_1",
                "status": "completed",
                "content": [
                    {"type": "input_text", "text": "See", "prompt_cache_breakpoint": {"mode": "explicit"}},
                    {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "low"},
                    {"type": "input_image", "image_url": "http://a.example/b.png"},
                    {"type": "input_file", "file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"},
                    {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
                ],
            },
        ]
    )
    assert messages == [
        {"role": "developer", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "See", "prompt_cache_breakpoint": {"mode": "explicit"}},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}},
                {"type": "image_url", "image_url": {"url": "http://a.example/b.png"}},
                {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"}},
                {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
            ],
        },
    ]


async def test_what_the_model_said_in_one_turn_is_one_message(asked: Any) -> None:
    cited = {"type": "url_citation", "url": "http://a.example", "title": "A", "start_index": 0, "end_index": 2}
    messages, _ = await asked([
        {"role": "user", "content": "Hi"},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "one"}, {"type": "summary_text", "text": "two"}]},
        {"type": "message", "role": "assistant", "phase": "commentary", "content": [{"type": "output_text", "text": "So", "annotations": [cited]}]},
        {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"},
        {"type": "custom_tool_call", "call_id": "c2", "name": "patch", "input": "***"},
        {"type": "function_call_output", "call_id": "c1", "output": "a wall"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "done"}]},
        {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "x=="},
        {"type": "function_call", "call_id": "c3", "namespace": "eyes", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c3", "output": "nothing"},
        {"role": "assistant", "content": "That is all."},
        {"role": "assistant", "content": [{"type": "output_text", "text": "a"}, {"type": "refusal", "refusal": "no"}]},
    ])  # fmt: skip
    url_citation = {name: value for name, value in cited.items() if name != "type"}
    assert messages[1:] == [
        {
            "role": "assistant",
            "reasoning_content": "one\n\ntwo",
            "content": "So",
            "phase": "commentary",
            "annotations": [{"type": "url_citation", "url_citation": url_citation}],
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}},
                {"id": "c2", "type": "custom", "custom": {"name": "patch", "input": "***"}},
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "a wall"},
        {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "done"}]},
        {
            "role": "assistant",
            "reasoning_items": [{"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "x=="}],
            "tool_calls": [{"id": "c3", "type": "function", "function": {"name": "eyes__look", "arguments": "{}"}}],
            "content": None,
        },
        {"role": "tool", "tool_call_id": "c3", "content": "nothing"},
        {"role": "assistant", "content": "That is all."},
        {"role": "assistant", "content": [{"type": "text", "text": "a"}, {"type": "refusal", "refusal": "no"}]},
    ]


async def test_an_order_that_a_message_can_not_express_is_kept_beside_it(asked: Any) -> None:
    """One answer is one message: endpoints of chat completions want the results right after it."""
    secret = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x=="}
    shown = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm"}]}
    said = {"type": "message", "role": "assistant", "content": "So"}
    second = {**CALL, "call_id": "d"}
    messages, _ = await asked([HI, secret, said, shown, CALL, secret, second, RESULT, {**RESULT, "call_id": "d"}, shown, said])
    calls = [{"id": name, "type": "function", "function": {"name": "f", "arguments": "{}"}} for name in "cd"]
    reasoning = {"reasoning_items": [secret]}
    segments = [
        reasoning,
        {"content": "So"},
        {"reasoning_content": "Hm"},
        {"tool_calls": calls[:1]},
        reasoning,
        {"tool_calls": calls[1:]},
    ]
    assert messages[1] == {
        "role": "assistant",
        "content": "So",
        "reasoning_content": "Hm",
        "reasoning_items": [secret, secret],
        "tool_calls": calls,
        "provider_specific_fields": {"segments": segments},
    }
    assert [message["role"] for message in messages[2:]] == ["tool", "tool", "assistant"]
    assert messages[4] == {"role": "assistant", "content": "So", "reasoning_content": "Hm"}


async def test_reasoning_between_two_messages_belongs_to_the_second(asked: Any) -> None:
    shown = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm"}]}
    said = {"type": "message", "role": "assistant", "content": "So"}
    messages, _ = await asked([HI, said, shown, said])
    assert messages[1:] == [
        {"role": "assistant", "content": "So"},
        {"role": "assistant", "content": "So", "reasoning_content": "Hm"},
    ]


async def test_parameters_have_their_names_in_chat_completions(asked: Any) -> None:
    schema = {"name": "answer", "schema": {"type": "object"}, "strict": True}
    _, params = await asked(
        max_output_tokens=5,
        temperature=0.5,
        top_p=0.9,
        metadata={"a": "b"},
        user="u",
        safety_identifier="s",
        prompt_cache_key="k",
        service_tier="flex",
        reasoning={"effort": "low", "summary": "auto"},
        text={"format": {"type": "json_schema", **schema}, "verbosity": "low"},
        tools=[TOOL],
        tool_choice={"type": "function", "name": "look"},
        parallel_tool_calls=False,
        store=True,
        truncation="auto",
        include=["reasoning.encrypted_content"],
        client_metadata={"session": "1"},
        background=False,
        previous_response_id=None,
        stream_options={"include_obfuscation": False},
    )
    function = {name: value for name, value in TOOL.items() if name != "type"}
    assert params == {
        "max_tokens": 5,
        "temperature": 0.5,
        "top_p": 0.9,
        "metadata": {"a": "b"},
        "user": "u",
        "safety_identifier": "s",
        "prompt_cache_key": "k",
        "service_tier": "flex",
        "reasoning_effort": "low",
        "response_format": {"type": "json_schema", "json_schema": schema},
        "verbosity": "low",
        "tools": [{"type": "function", "function": function}],
        "tool_choice": {"type": "function", "function": {"name": "look"}},
        "parallel_tool_calls": False,
    }


@pytest.mark.parametrize(
    "fields, made",
    [
        ({"top_logprobs": 2}, {"logprobs": True, "top_logprobs": 2}),
        ({"include": ["message.output_text.logprobs"]}, {"logprobs": True}),
    ],
)
async def test_log_probabilities_are_asked_for(ask: Any, fields: dict[str, Any], made: dict[str, Any]) -> None:
    seen: list[Any] = []

    async def answer(optional_params: dict[str, Any], **_: Any) -> Any:
        seen.append(optional_params)
        return "Yes"

    answered = await ask(create_app({"m": answer}), {"model": "m", "input": "Hi", **fields}, PATH)
    assert seen == [made]
    assert (answered.status, answered.error()["param"]) == (400, "logprobs")  # it gives none


async def test_a_choice_among_no_tools_says_nothing(asked: Any) -> None:
    assert (await asked(tools=[], tool_choice="auto", parallel_tool_calls=True))[1] == {}


@pytest.mark.parametrize(
    "given, made",
    [
        ({"type": "text"}, {}),
        ({"type": "json_object"}, {"response_format": {"type": "json_object"}}),
    ],
)
async def test_formats(asked: Any, given: Any, made: Any) -> None:
    assert (await asked(text={"format": given}))[1] == made


async def test_custom_tools_and_choices_among_some(asked: Any) -> None:
    grammar = {"type": "grammar", "syntax": "lark", "definition": "start: /x/"}
    _, params = await asked(
        tools=[{"type": "custom", "name": "patch", "description": "Patch.", "format": grammar}, TOOL],
        tool_choice={"type": "allowed_tools", "mode": "required", "tools": [{"type": "custom", "name": "patch"}]},
    )
    form = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: /x/"}}
    assert params["tools"][0] == {"type": "custom", "custom": {"name": "patch", "description": "Patch.", "format": form}}
    named = [{"type": "custom", "custom": {"name": "patch"}}]
    assert params["tool_choice"] == {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": named}}


async def test_a_namespace_is_found_again_in_calls(ask: Any) -> None:
    group = {"type": "namespace", "name": "eyes", "description": "What can be seen.", "tools": [TOOL]}
    seen: list[Any] = []

    async def answer(optional_params: dict[str, Any], **_: Any) -> Any:
        seen.append(optional_params["tools"])
        call = {"id": "c", "type": "function", "function": {"name": "eyes__look", "arguments": "{}"}}
        return {"choices": [{"message": {"content": None, "tool_calls": [call]}, "finish_reason": "tool_calls"}]}

    response = await ask(create_app({"m": answer}), {"model": "m", "input": "Hi", "tools": [group]}, PATH)
    (tool,) = seen[0]
    assert (tool["function"]["name"], tool["function"]["description"]) == ("eyes__look", "What can be seen.\n\nLook.")
    (item,) = response.json()["output"]
    assert (item["namespace"], item["name"]) == ("eyes", "look")


@pytest.mark.parametrize("stream", [True, False])
async def test_a_web_search_is_offered_to_a_handler_that_names_it(stream: bool, asked: Any, ask: Any) -> None:
    """Codex offers one unasked, and most handlers pass on to a model what they do not know."""
    tools, seen = [{"type": "web_search", "external_web_access": True}, TOOL], list[Any]()

    async def answer(optional_params: Any, client_request: Any, web_search_options: Any = None, **_: Any) -> str:
        seen.extend((optional_params, client_request.body["tools"], web_search_options))
        return "Yes"

    await ask(create_app({"m": answer}), {"model": "m", "input": "Hi", "tools": tools, "stream": stream}, PATH)
    params, as_sent, options = seen
    assert params["web_search_options"] == options == {"external_web_access": True}
    assert as_sent == tools
    _, params = await asked(tools=tools, tool_choice="auto", stream=stream)
    assert "web_search_options" not in params
    assert len(params["tools"]) == 1


async def test_what_codex_sends_for_a_model_that_it_knows(asked: Any, ask: Any) -> None:
    """Its tools stand in an item of the input; it looks for more of them itself; reasoning is of all turns."""
    patch = {"type": "custom", "name": "exec", "description": "", "format": {"type": "text"}}
    groups = [
        {"type": "namespace", "name": name, "description": "", "tools": [tool]}
        for name, tool in {"a": patch, "b": TOOL}.items()
    ]
    item = {"type": "additional_tools", "id": "at_1", "role": "developer", "tools": groups}
    hidden = {"type": "tool_search", "execution": "client", "description": "d", "parameters": {"type": "object"}}
    conversation = [item, {"type": "message", "id": "msg_1", "role": "user", "content": "Hi"}]
    fields = {"tools": [hidden], "reasoning": {"effort": "low", "context": "all_turns", "mode": "standard"}}
    messages, params = await asked(conversation, **fields)
    assert messages == [{"role": "user", "content": "Hi"}]
    assert [tool[tool["type"]]["name"] for tool in params["tools"]] == ["a__exec", "b__look"]
    assert params.keys() == {"tools", "reasoning_effort"}

    async def answer(**_: Any) -> Any:
        call = {"id": "c", "type": "custom", "custom": {"name": "a__exec", "input": "ls"}}
        return {"choices": [{"message": {"content": None, "tool_calls": [call]}, "finish_reason": "tool_calls"}]}

    response = await ask(create_app({"m": answer}), {"model": "m", "input": conversation, **fields}, PATH)
    (called,) = response.json()["output"]
    assert (called["type"], called["namespace"], called["name"], called["input"]) == ("custom_tool_call", "a", "exec", "ls")
    result = {"type": "custom_tool_call_output", "call_id": called["call_id"], "output": "x"}
    (*_, last), _ = await asked([*conversation, {**called, "caller": {"type": "direct"}}, result], **fields)
    assert last == {"role": "tool", "tool_call_id": "c", "content": "x"}


async def test_handlers_see_the_request_as_it_came(ask: Any) -> None:
    seen: list[Any] = []

    async def answer(client_request: Any, **_: Any) -> str:
        seen.append(client_request.body)
        return "Yes"

    body = {"model": "m", "input": "Hi", "client_metadata": {"session": "1"}, "store": False}
    await ask(create_app({"m": answer}), body, PATH)
    assert seen == [body]


@pytest.mark.parametrize(
    "fields",
    [
        {"previous_response_id": "resp_1"},
        {"conversation": "conv_1"},
        {"background": True},
        {"prompt": {"id": "p"}},
        {"max_tool_calls": 2},
        {"context_management": [{"type": "compaction"}]},
        {"personality": "friendly"},
        {"temprature": 1},
        {"n": 2},
        {"api_base": "http://a.example"},
        {"mock_response": "x"},
    ],
    ids=lambda fields: next(iter(fields)),
)
async def test_what_can_not_be_done_is_refused_by_name(refused: Any, fields: dict[str, Any]) -> None:
    (name,) = fields
    error = await refused(**fields)
    assert (error["param"], error["type"]) == (name, "invalid_request_error")
    assert name in error["message"]


@pytest.mark.parametrize(
    "fields, param",
    [
        ({"input": None}, "input"),
        ({"input": 7}, "input"),
        ({"input": []}, "input"),
        ({"input": ["Hi"]}, "input[0]"),
        ({"input": [{"content": "Hi"}]}, "input[0].type"),
        ({"input": [{"role": "user", "content": None}]}, "input[0].content"),
        ({"input": [{"role": "robot", "content": "Hi"}]}, "input[0].role"),
        ({"input": [{"role": "user", "content": [{"type": "video"}]}]}, "input[0].content[0].type"),
        ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text"),
        ({"input": [{"role": "user", "content": ["Hi"]}]}, "input[0].content[0]"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]}, "input[0].content[0].file_id"),
        ({"input": [{"role": "user", "content": [{"type": "input_file", "file_url": "u"}]}]}, "input[0].content[0].file_url"),
        ({"input": [{"type": "item_reference", "id": "rs_1"}]}, "input[0].type"),
        ({"input": [{"type": "computer_call"}]}, "input[0].type"),
        ({"input": [{"type": "function_call", "call_id": "c", "name": "f"}]}, "input[0].arguments"),
        ({"input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]}, "input[0].call_id"),
        ({"input": [{"type": "reasoning", "summary": [{"type": "summary_text"}]}]}, "input[0].summary[0].text"),
        ({"input": [{**CALL, "result": 1}]}, "input[0].result"),
        ({"input": [{**CALL, "caller": {"type": "program", "caller_id": "p"}}]}, "input[0].caller"),
        ({"input": [CALL, {**RESULT, "approved": True}]}, "input[1].approved"),
        ({"input": [{"type": "additional_tools", "tools": {}}, HI]}, "input[0].tools"),
        ({"input": [{"type": "additional_tools", "tools": [{"type": "mcp"}]}, HI]}, "input[0].tools[0].type"),
        ({"input": [{"type": "additional_tools", "tools": [TOOL], "until": "x"}, HI]}, "input[0].until"),
        ({"input": [{"type": "additional_tools", "tools": [TOOL]}, HI], "tools": [TOOL]}, "input[0].tools[0]"),
        ({"tools": [{"type": "tool_search"}]}, "tools[0].type"),
        ({"tools": [{"type": "namespace", "name": "n", "tools": [], "x": 1}]}, "tools[0].x"),
        ({"tool_choice": {"type": "function", "name": "look", "x": 1}, "tools": [TOOL]}, "tool_choice.x"),
        ({"tool_choice": {"type": "allowed_tools", "tools": [], "x": 1}, "tools": [TOOL]}, "tool_choice.x"),
        ({"reasoning": {"mode": "pro"}}, "reasoning.mode"),
        ({"reasoning": {"context": "some"}}, "reasoning.context"),
        ({"tools": [{"type": "file_search", "vector_store_ids": []}]}, "tools[0].type"),
        ({"tools": [{"type": "code_interpreter"}]}, "tools[0].type"),
        ({"tools": [{"type": "mcp", "server_label": "a"}]}, "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tools": [TOOL, TOOL]}, "tools[1]"),
        ({"tools": [{**TOOL, "defer_loading": True}]}, "tools[0].defer_loading"),
        ({"tools": [{"type": "namespace", "name": "n", "tools": [{"type": "mcp", "name": "x"}]}]}, "tools[0].tools[0].type"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": {"type": "file_search"}, "tools": [TOOL]}, "tool_choice.type"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"text": {"format": {"type": "json_schema", "name": "n"}}}, "text.format.schema"),
        ({"text": {"colour": "red"}}, "text.colour"),
        ({"reasoning": {"effort": 3}}, "reasoning.effort"),
        ({"include": ["everything"]}, "include[0]"),
        ({"truncation": "maybe"}, "truncation"),
        ({"stream_options": {"include_obfuscation": True}}, "stream_options.include_obfuscation"),
        ({"max_output_tokens": "many"}, "max_output_tokens"),
    ],
)
async def test_what_is_wrong_is_named_by_its_place(refused: Any, fields: dict[str, Any], param: str) -> None:
    error = await refused(**fields)
    assert error["param"] == param
    assert param.split(".")[-1] in error["message"]


async def test_instructions_alone_are_a_conversation(asked: Any) -> None:
    messages, _ = await asked([], instructions="Say hello.")
    assert messages == [{"role": "system", "content": "Say hello."}]


async def test_a_misspelt_field_is_said_to_be_one(refused: Any) -> None:
    assert (await refused(temprature=1))["message"] == "temprature: there is no such parameter"
    assert (await refused(reasoning={"efort": "low"}))["message"] == "reasoning.efort: there is no such parameter"


async def test_other_refusals_have_their_usual_form(ask: Any) -> None:
    app = create_app({"m": "openai/any"}, api_keys=["sk"])
    without_key = await ask(app, {"model": "m", "input": "Hi"}, PATH)
    assert (without_key.status, without_key.error()["code"]) == (401, "missing_api_key")
    headers = {"authorization": "Bearer sk"}
    unknown = await ask(app, {"model": "q", "input": "Hi"}, PATH, headers=headers)
    assert (unknown.status, unknown.error()["param"]) == (404, "model")
    assert (await ask(app, b"{", PATH, headers=headers)).error()["code"] == "invalid_json"
    assert (await ask(app, method="GET", path=PATH, headers=headers)).status == 405
