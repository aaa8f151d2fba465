"""Conversations through every pair of dialects: what an endpoint is sent of a client's history, and what comes back of its own."""

import json
from base64 import urlsafe_b64encode
from typing import Any, TypeAlias

import pytest

from tokenwire.server import create_app
from tokenwire.testing import Endpoint, Reply, chunks, completion
from tokenwire.wire.messages.blocks import UNSIGNED

from ..conftest import one_loop
from ..wire import messages as anthropic, responses as openai
from .test_messages import parsed, put_together

pytestmark = [pytest.mark.anyio, one_loop]

Step: TypeAlias = tuple[Any, ...]

PIXEL = "data:image/png;base64,AAAA"
ARGUMENTS = ('{"at": "wall"}', '{"at": "floor"}')
TOOL = {"name": "look", "description": "Look.", "parameters": {"type": "object"}}

# The conversation, step by step: five turns of the user's or of tools, and the answers between them.
STEPS: list[Step] = [
    ("system", "Be brief."),
    ("user", "Look"),
    ("user", PIXEL),
    ("reasoning", "First"),
    ("assistant", "I look."),
    ("reasoning", "Second"),
    ("call", "c1", "look", {"at": "wall"}),
    ("call", "c2", "look", {"at": "floor"}),
    ("result", "c1", "a wall"),
    ("result", "c2", "a floor"),
    ("result", "c2", PIXEL),
    ("reasoning", "Third"),
    ("assistant", "A wall."),
    ("user", "And now?"),
    ("assistant", "Still a wall."),
    ("user", "Thanks"),
]


def part(text: str, prefix: str = "") -> dict[str, Any]:
    """A part of the content in the format of chat completions, or of Responses with its prefix."""
    if text != PIXEL:
        return {"type": f"{prefix}text", "text": text}
    return {"type": "input_image", "image_url": text} if prefix else {"type": "image_url", "image_url": {"url": text}}


def block(text: str) -> dict[str, Any]:
    """The same as a content block."""
    source = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
    return {"type": "image", "source": source} if text == PIXEL else {"type": "text", "text": text}


def reasoned(text: str) -> dict[str, Any]:
    return {
        "type": "reasoning",
        "id": f"rs_{text}",
        "summary": [{"type": "summary_text", "text": text}],
        "encrypted_content": f"{text}==",
    }


def thought(text: str) -> dict[str, Any]:
    return {"type": "thinking", "thinking": text, "signature": f"{text}=="}


def chat_request() -> dict[str, Any]:
    calls = [
        {"id": f"c{number}", "type": "function", "function": {"name": "look", "arguments": arguments}}
        for number, arguments in enumerate(ARGUMENTS, 1)
    ]
    return {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [part("Look"), part(PIXEL)]},
            {"role": "assistant", "content": "I look.", "reasoning_content": "FirstSecond", "tool_calls": calls},
            {"role": "tool", "tool_call_id": "c1", "content": "a wall"},
            {"role": "tool", "tool_call_id": "c2", "content": [part("a floor"), part(PIXEL)]},
            {"role": "assistant", "content": "A wall.", "reasoning_content": "Third"},
            {"role": "user", "content": "And now?"},
            {"role": "assistant", "content": "Still a wall."},
            {"role": "user", "content": "Thanks"},
        ],
        "tools": [{"type": "function", "function": TOOL}],
    }


def responses_request() -> dict[str, Any]:
    calls = [
        {"type": "function_call", "call_id": f"c{number}", "name": "look", "arguments": arguments}
        for number, arguments in enumerate(ARGUMENTS, 1)
    ]
    return {
        "instructions": "Be brief.",
        "input": [
            {"role": "user", "content": [part("Look", "input_"), part(PIXEL, "input_")]},
            reasoned("First"),
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look."}]},
            reasoned("Second"),
            *calls,
            {"type": "function_call_output", "call_id": "c1", "output": "a wall"},
            {"type": "function_call_output", "call_id": "c2", "output": [part("a floor", "input_"), part(PIXEL, "input_")]},
            reasoned("Third"),
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "A wall."}]},
            {"role": "user", "content": "And now?"},
            {"role": "assistant", "content": "Still a wall."},
            {"role": "user", "content": "Thanks"},
        ],
        "tools": [{"type": "function", **TOOL}],
        "include": ["reasoning.encrypted_content"],
    }


def messages_request() -> dict[str, Any]:
    calls = [
        {"type": "tool_use", "id": f"c{number}", "name": "look", "input": json.loads(arguments)}
        for number, arguments in enumerate(ARGUMENTS, 1)
    ]
    results = [
        {"type": "tool_result", "tool_use_id": "c1", "content": "a wall"},
        {"type": "tool_result", "tool_use_id": "c2", "content": [block("a floor"), block(PIXEL)]},
    ]
    return {
        "max_tokens": 50,
        "system": "Be brief.",
        "messages": [
            {"role": "user", "content": [block("Look"), block(PIXEL)]},
            {"role": "assistant", "content": [thought("First"), block("I look."), thought("Second"), *calls]},
            {"role": "user", "content": results},
            {"role": "assistant", "content": [thought("Third"), block("A wall.")]},
            {"role": "user", "content": "And now?"},
            {"role": "assistant", "content": "Still a wall."},
            {"role": "user", "content": "Thanks"},
        ],
        "tools": [{"name": "look", "description": "Look.", "input_schema": {"type": "object"}}],
    }


def texts(content: Any) -> list[str]:
    """The texts and the images of a content, in any of the dialects."""
    if isinstance(content, str):
        return [content]
    found: list[str] = []
    for each in content:
        image = each.get("image_url")
        if source := each.get("source"):
            image = f"data:{source['media_type']};base64,{source['data']}"
        found.append((image["url"] if isinstance(image, dict) else image) or each["text"])
    return found


def chat_steps(body: Any) -> list[Step]:
    steps: list[Step] = []
    for message in body["messages"]:
        role = message["role"]
        assert message.keys() <= {"role", "content", "reasoning_content", "tool_calls", "tool_call_id"}
        if message.get("reasoning_content"):
            steps.append(("reasoning", message["reasoning_content"]))
        who = ("result", message["tool_call_id"]) if role == "tool" else (role,)
        steps += [(*who, text) for text in texts(message.get("content") or ())]
        for call in message.get("tool_calls", ()):
            steps.append(("call", call["id"], call["function"]["name"], json.loads(call["function"]["arguments"])))
    assert body["tools"] == [{"type": "function", "function": TOOL}]
    return steps


def responses_steps(body: Any) -> list[Step]:
    steps: list[Step] = [("system", body["instructions"])] if "instructions" in body else []
    for item in body["input"]:
        kind = item.get("type", "message")
        if kind == "reasoning":
            assert item == reasoned(item["summary"][0]["text"])
            steps.append(("reasoning", item["summary"][0]["text"]))
        elif kind == "function_call":
            steps.append(("call", item["call_id"], item["name"], json.loads(item["arguments"])))
        elif kind == "function_call_output":
            steps += [("result", item["call_id"], text) for text in texts(item["output"])]
        else:
            steps += [(item["role"], text) for text in texts(item["content"])]
    assert body["tools"] == [{"type": "function", **TOOL}]
    return steps


def messages_steps(body: Any) -> list[Step]:
    steps: list[Step] = [("system", text) for text in texts(body["system"])]
    for turn in body["messages"]:
        content = turn["content"]
        for each in [block(content)] if isinstance(content, str) else content:
            if each["type"] == "thinking":
                assert each == thought(each["thinking"])
                steps.append(("reasoning", each["thinking"]))
            elif each["type"] == "tool_use":
                steps.append(("call", each["id"], each["name"], each["input"]))
            elif each["type"] == "tool_result":
                steps += [("result", each["tool_use_id"], text) for text in texts(each["content"])]
            else:
                steps += [(turn["role"], text) for text in texts([each])]
    assert body["tools"] == [{"name": "look", "description": "Look.", "input_schema": {"type": "object"}}]
    return steps


CLIENTS = {
    "chat": ("/v1/chat/completions", chat_request),
    "responses": ("/v1/responses", responses_request),
    "messages": ("/v1/messages", messages_request),
}
ENDPOINTS: dict[str, Any] = {
    "chat": ("openai/x", chat_steps, Reply(json=completion("Hi")), Reply(events=chunks("Hi"))),
    "responses": (
        "openai/responses/x",
        responses_steps,
        Reply(json=openai.response([openai.MESSAGE])),
        Reply(events=openai.encoded(openai.events([openai.MESSAGE])), done=False),
    ),
    "messages": (
        "anthropic/x",
        messages_steps,
        Reply(json=anthropic.message([anthropic.TEXT])),
        Reply(events=anthropic.events([anthropic.TEXT]), done=False),
    ),
}
NO_REASONING = [step for step in STEPS if step[0] != "reasoning"]
# A chat message has its reasoning before its text.
IN_CHAT = [("reasoning", "FirstSecond") if step == ("reasoning", "First") else step for step in STEPS if step[1] != "Second"]
SENT = {
    ("chat", "chat"): IN_CHAT,
    ("responses", "responses"): STEPS,
    ("messages", "messages"): STEPS,
    ("responses", "chat"): IN_CHAT,
}


def gateway(endpoint: Endpoint, model: str) -> Any:
    return create_app({"m": {"model": model, "api_base": endpoint.url, "api_key": "k", "num_retries": 0}})


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("speaks", ENDPOINTS)
@pytest.mark.parametrize("asks", CLIENTS)
async def test_what_an_endpoint_is_sent_of_a_history(
    asks: str, speaks: str, stream: bool, ask: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Each text, image, call and result, in its order; reasoning only in the dialect of the model that has written it."""
    caplog.set_level("INFO", "tokenwire.server")
    (path, request), (model, steps, *replies) = CLIENTS[asks], ENDPOINTS[speaks]
    with Endpoint(replies[stream]) as endpoint:
        answer = await ask(gateway(endpoint, model), {"model": "m", "stream": stream, **request()}, path)
    assert answer.status == 200
    assert steps(endpoint.requests[0].json()) == SENT.get((asks, speaks), NO_REASONING)
    assert ("left out" in caplog.text) is (asks not in (speaks, "chat"))  # reasoning is no field of chat completions' own


async def exchange(ask: Any, app: Any, path: str, body: dict[str, Any], *, stream: bool) -> list[dict[str, Any]]:
    """The content blocks, or the items, of an answer."""
    answer = await ask(app, {"model": "m", "stream": stream, **body}, path)
    assert answer.status == 200
    if path == "/v1/messages":
        return (put_together(parsed(answer.body)) if stream else answer.json())["content"]
    if not stream:
        return answer.json()["output"]
    last = answer.body.decode().removesuffix("\n\n").rpartition("data: ")[2]
    return json.loads(last)["response"]["output"]


SAID = {"type": "message", "role": "assistant", "content": openai.PART["text"]}
CALLED = {name: openai.CALL[name] for name in ("type", "call_id", "name", "arguments")}
HIDDEN = {**openai.SECRET, "id": "rs_9", "encrypted_content": "aGlkZGVu"}
OUTPUT = [openai.SUMMARY, openai.MESSAGE, HIDDEN, openai.CALL]
CONTENT = [anthropic.THINKING, anthropic.TEXT, anthropic.REDACTED, anthropic.CALL]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_reasoning_of_a_responses_endpoint_comes_back_through_a_client_of_messages(stream: bool, ask: Any) -> None:
    reply = Reply(events=openai.encoded(openai.events(OUTPUT)), done=False) if stream else Reply(json=openai.response(OUTPUT))
    hi: dict[str, Any] = {"role": "user", "content": "Hi"}
    with Endpoint(reply) as endpoint:
        app = gateway(endpoint, "openai/responses/x")
        content = await exchange(ask, app, "/v1/messages", {"max_tokens": 9, "messages": [hi]}, stream=stream)
        result = {"type": "tool_result", "tool_use_id": content[-1]["id"], "content": "rain"}
        turns = [hi, {"role": "assistant", "content": content}, {"role": "user", "content": [result]}]
        await exchange(ask, app, "/v1/messages", {"max_tokens": 9, "messages": turns}, stream=stream)
        _, *sent, last = endpoint.requests[1].json()["input"]
    thinking, text, redacted, call = content
    assert (thinking["type"], thinking["thinking"]) == ("thinking", "First\n\nSecond")
    assert redacted.keys() == {"type", "data"}
    assert (text["text"], call["input"]) == (openai.PART["text"], {"city": "Oslo"})
    arguments = sent[-1].pop("arguments")
    assert sent == [openai.SUMMARY, SAID, HIDDEN, {name: CALLED[name] for name in CALLED if name != "arguments"}]
    assert json.loads(arguments) == json.loads(openai.CALL["arguments"])
    assert last == {"type": "function_call_output", "call_id": "call_1", "output": "rain"}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_thinking_of_a_messages_endpoint_comes_back_through_a_client_of_responses(stream: bool, ask: Any) -> None:
    reply = (
        Reply(events=anthropic.events(CONTENT), done=False) if stream else Reply(json=anthropic.message(CONTENT, "tool_use"))
    )
    asked: dict[str, Any] = {"include": ["reasoning.encrypted_content"], "max_output_tokens": 9}
    hi: dict[str, Any] = {"role": "user", "content": "Hi"}
    with Endpoint(reply) as endpoint:
        app = gateway(endpoint, "anthropic/x")
        items = await exchange(ask, app, "/v1/responses", {**asked, "input": [hi]}, stream=stream)
        result = {"type": "function_call_output", "call_id": items[-1]["call_id"], "output": "rain"}
        await exchange(ask, app, "/v1/responses", {**asked, "input": [hi, *items, result]}, stream=stream)
        _, said, last = endpoint.requests[1].json()["messages"]
    assert [item["type"] for item in items] == ["reasoning", "message", "reasoning", "function_call"]
    assert said == {"role": "assistant", "content": CONTENT}
    assert last["content"] == [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "rain"}]


async def test_reasoning_that_is_not_encrypted_is_only_shown_to_a_client_of_messages(ask: Any) -> None:
    """Its endpoint may have stored nothing of it, and would refuse the item."""
    bare = {**openai.SUMMARY, "encrypted_content": None}
    with Endpoint(Reply(json=openai.response([bare, openai.MESSAGE]))) as endpoint:
        app = gateway(endpoint, "openai/responses/x")
        hi = {"role": "user", "content": "Hi"}
        content = await exchange(ask, app, "/v1/messages", {"max_tokens": 9, "messages": [hi]}, stream=False)
        turns = [hi, {"role": "assistant", "content": content}, hi]
        await exchange(ask, app, "/v1/messages", {"max_tokens": 9, "messages": turns}, stream=False)
        sent = endpoint.requests[1].json()["input"]
    assert content[0] == {"type": "thinking", "thinking": "First\n\nSecond", "signature": UNSIGNED}
    assert [item["type"] for item in sent] == ["message"] * 3


async def test_a_model_of_another_api_is_not_sent_encrypted_reasoning(ask: Any, caplog: pytest.LogCaptureFixture) -> None:
    """It could not read it; the log says what was left out."""
    caplog.set_level("INFO", "tokenwire.server")
    hi: dict[str, Any] = {"role": "user", "content": "Hi"}
    with Endpoint(Reply(json=openai.response(OUTPUT))) as endpoint:
        app = gateway(endpoint, "openai/responses/x")
        content = await exchange(ask, app, "/v1/messages", {"max_tokens": 9, "messages": [hi]}, stream=False)
    result = {"type": "tool_result", "tool_use_id": "call_1", "content": "rain"}
    turns = [hi, {"role": "assistant", "content": content}, {"role": "user", "content": [result]}]
    with Endpoint(Reply(json=completion("Hi"))) as endpoint:
        await exchange(ask, gateway(endpoint, "openai/x"), "/v1/messages", {"max_tokens": 9, "messages": turns}, stream=False)
        _, said, _ = endpoint.requests[0].json()["messages"]
    assert said.keys() == {"role", "content", "tool_calls"}
    assert "reasoning_items" in caplog.text


REASONS = completion("Hi")
REASONS["choices"][0]["message"]["reasoning_content"] = "Hm."
# Models of other APIs, by what they answer; and what a client of Messages, or of Responses, then goes on with.
SWITCHES: list[Any] = [
    ("/v1/messages", "openai/responses/x", openai.response(OUTPUT), "anthropic/x"),
    ("/v1/messages", "openai/x", REASONS, "anthropic/x"),
    ("/v1/responses", "anthropic/x", anthropic.message(CONTENT, "tool_use"), "openai/responses/x"),
    ("/v1/responses", "openai/x", REASONS, "openai/responses/x"),
]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("path, first, said, then", SWITCHES, ids=lambda value: value if isinstance(value, str) else "")
async def test_an_endpoint_is_not_sent_the_reasoning_of_another_api(
    path: str, first: str, said: Any, then: str, stream: bool, ask: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """It would refuse what it has not signed; all else is passed on as the client sends it."""
    caplog.set_level("INFO", "tokenwire.server")
    hi: dict[str, Any] = {"role": "user", "content": "Hi"}
    is_messages = path == "/v1/messages"
    asked: dict[str, Any] = {"max_tokens": 9} if is_messages else {"include": ["reasoning.encrypted_content"]}
    name = "messages" if is_messages else "input"
    with Endpoint(Reply(json=said)) as endpoint:
        answer = await exchange(ask, gateway(endpoint, first), path, {**asked, name: [hi]}, stream=stream)
    own: list[Any] = [anthropic.THINKING, {**anthropic.THINKING, "signature": ""}, anthropic.TEXT] if is_messages else OUTPUT
    history = [{"role": "assistant", "content": turn} for turn in (answer, answer[:1], own)] if is_messages else [*answer, *own]
    _, _, reply, _ = ENDPOINTS["messages" if is_messages else "responses"]
    with Endpoint(reply) as endpoint:
        await exchange(ask, gateway(endpoint, then), path, {**asked, name: [hi, *history, hi]}, stream=False)
        sent = endpoint.requests[0].json()[name]
    kept = [one for one in answer if "thinking" not in one["type"] and one["type"] != "reasoning"]
    assert 0 < len(kept) < len(answer)
    expected = [{"role": "assistant", "content": turn} for turn in (kept, own)] if is_messages else [*kept, *own]
    assert sent == [hi, *expected, hi]
    assert "left out, since" in caplog.text


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/responses"])
async def test_unsigned_reasoning_is_the_models_own_again(path: str, ask: Any) -> None:
    seen: list[Any] = []

    async def handler(messages: Any, **_: Any) -> Any:
        seen.append(messages)
        return REASONS

    app, hi = create_app({"m": handler}), {"role": "user", "content": "Hi"}
    is_messages = path == "/v1/messages"
    asked: dict[str, Any] = {"max_tokens": 9} if is_messages else {"include": ["reasoning.encrypted_content"]}
    name = "messages" if is_messages else "input"
    answer = await exchange(ask, app, path, {**asked, name: [hi]}, stream=False)
    history = [{"role": "assistant", "content": answer}] if is_messages else answer
    await exchange(ask, app, path, {**asked, name: [hi, *history, hi]}, stream=False)
    assert seen[1] == [hi, {"role": "assistant", "reasoning_content": "Hm.", "content": "Hi"}, hi]


def sealed(text: str) -> str:
    return f"tokenwire:{urlsafe_b64encode(text.encode()).decode()}"


# What may claim to be sealed here. Nothing but reasoning can be brought in so.
FORGED = {
    "nothing": "tokenwire:",
    "no base64": "tokenwire:WyJ",
    "no ASCII": "tokenwire:\u00e9",
    "no JSON": sealed("nope"),
    "nested deeply": sealed(f'["reasoning_items", {"[" * 9999}{"]" * 9999}]'),
    "no list": sealed('["reasoning_items", 1]'),
    "no objects": sealed('["reasoning_items", [1, null]]'),
    "calls": sealed('["tool_calls", [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]]'),
    "another item": sealed('["reasoning_items", [{"type": "item_reference", "id": "rs_0"}]]'),
    "another block": sealed('["thinking_blocks", [{"type": "tool_use", "id": "c1", "name": "f", "input": {}}]]'),
    "items without a type": sealed('["reasoning_items", [{"id": "rs_0"}]]'),
}


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
@pytest.mark.parametrize("asks", ["messages", "responses"])
async def test_what_was_not_sealed_here_is_left_out(asks: str, forged: str, ask: Any) -> None:
    seen: list[Any] = []

    async def handler(messages: Any, **_: Any) -> str:
        seen.append(messages)
        return "Hi"

    hi: dict[str, Any] = {"role": "user", "content": "Hi"}
    blocks: list[Any] = [{**thought("Hm."), "signature": forged}, {"type": "redacted_thinking", "data": forged}, block("So")]
    items: list[Any] = [{**reasoned("Hm."), "encrypted_content": forged}, {"role": "assistant", "content": "So"}]
    if asks == "messages":
        path, body = "/v1/messages", {"max_tokens": 9, "messages": [hi, {"role": "assistant", "content": blocks}]}
    else:
        path, body = "/v1/responses", {"input": [hi, *items]}
    assert (await ask(create_app({"m": handler}), {"model": "m", **body}, path)).status == 200
    assert seen == [[hi, {"role": "assistant", "content": "So", "reasoning_content": "Hm."}]]


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/responses"])
async def test_a_turn_of_reasoning_alone_has_an_empty_text(path: str, ask: Any) -> None:
    """As in an answer that was cut. Endpoints of chat completions refuse a message without content and calls."""
    hi = {"role": "user", "content": "Hi"}
    if path == "/v1/messages":
        body: dict[str, Any] = {"max_tokens": 9, "messages": [hi, {"role": "assistant", "content": [thought("Hm.")]}, hi]}
    else:
        body = {"input": [hi, {**reasoned("Hm."), "encrypted_content": UNSIGNED}, hi]}
    with Endpoint(Reply(json=completion("Hi"))) as endpoint:
        await exchange(ask, gateway(endpoint, "openai/x"), path, body, stream=False)
        _, turn, _ = endpoint.requests[0].json()["messages"]
    assert (turn["role"], turn["content"]) == ("assistant", "")


async def test_an_item_of_no_reasoning_is_no_turn(ask: Any) -> None:
    hi = {"role": "user", "content": "Hi"}
    nothing = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": UNSIGNED}
    with Endpoint(Reply(json=completion("Hi"))) as endpoint:
        await exchange(ask, gateway(endpoint, "openai/x"), "/v1/responses", {"input": [hi, nothing, hi]}, stream=False)
        assert endpoint.requests[0].json()["messages"] == [hi, hi]
