"""`/v1/messages`: requests as a handler gets them, whole answers, streams, and what goes wrong."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings, strategies as st

from tokenwire import CustomLLM, CustomLLMError, Delta, GenericStreamingChunk, ModelResponseStream, StreamingChoices, Usage
from tokenwire.server import create_app
from tokenwire.server.messages import MessagesEvents
from tokenwire.server.models import Model
from tokenwire.testing import Endpoint, Reply, chunk, chunks
from tokenwire.wire.messages.asked import MessagesRequest
from tokenwire.wire.messages.blocks import UNSIGNED

from ..conftest import one_loop
from ..wire.messages import CALL, TEXT, THINKING, events, message

pytestmark = pytest.mark.anyio

PATH = "/v1/messages"
HI = [{"role": "user", "content": "Hi"}]
TOOL = {"name": "weather", "description": "d", "input_schema": {"type": "object"}}


def request(messages: Any = HI, **fields: Any) -> dict[str, Any]:
    return {"model": "m", "max_tokens": 50, "messages": messages, **fields}


def usage(completion: int) -> Usage:
    return Usage(prompt_tokens=9, completion_tokens=completion, total_tokens=9 + completion)


def delta(index: int = 0, **fields: Any) -> ModelResponseStream:
    return ModelResponseStream(choices=[StreamingChoices(index=index, delta=Delta(**fields))])


def ended(reason: str, **fields: Any) -> GenericStreamingChunk:
    return GenericStreamingChunk(is_finished=True, finish_reason=reason, usage=usage(4), **fields)


class Scripted(CustomLLM):
    """A handler that yields what it is given, and remembers what it was asked."""

    def __init__(self, *chunks: Any) -> None:
        self.chunks = chunks
        self.asked: list[dict[str, Any]] = []

    async def astreaming(
        self, *args: Any, messages: Any, optional_params: Any, client_request: Any = None, **_: Any
    ) -> AsyncIterator[Any]:
        self.asked.append({"messages": messages, **optional_params, "client_request": client_request})
        for each in self.chunks:
            if isinstance(each, Exception):
                raise each
            yield each


def parsed(body: bytes) -> list[dict[str, Any]]:
    """The events of a stream, each of which must be named as its type."""
    found: list[dict[str, Any]] = []
    for block in body.decode().removesuffix("\n\n").split("\n\n"):
        name, data = block.split("\n")
        found.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {found[-1]['type']}"
    return found


def put_together(sent: list[dict[str, Any]]) -> dict[str, Any]:
    """The message that a client makes of events, in the order that the API has for them."""
    assert sent[0]["type"] == "message_start"
    whole, open_block, inputs = {**sent[0]["message"], "content": []}, None, ""
    for event in sent[1:]:
        kind = event["type"]
        if kind == "content_block_start":
            assert open_block is None
            assert event["index"] == len(whole["content"])
            open_block, inputs = event["index"], ""
            whole["content"].append(dict(event["content_block"]))
        elif kind == "content_block_delta":
            assert event["index"] == open_block
            block, piece = whole["content"][open_block], event["delta"]
            if piece["type"] == "input_json_delta":
                inputs += piece["partial_json"]
            elif piece["type"] == "signature_delta":
                block["signature"] = piece["signature"]
            else:
                block[piece["type"].removesuffix("_delta")] += piece[piece["type"].removesuffix("_delta")]
        elif kind == "content_block_stop":
            assert event["index"] == open_block
            if whole["content"][open_block]["type"] == "tool_use":
                whole["content"][open_block]["input"] = json.loads(inputs or "{}")
            open_block = None
        elif kind == "message_delta":
            assert open_block is None
            whole |= event["delta"]
            whole["usage"] |= event["usage"]
        else:
            assert kind in ("ping", "message_stop")
    assert sent[-1]["type"] == "message_stop"
    return whole


async def both(ask: Any, handler: Any, **fields: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The answer as a whole, and as it is streamed."""
    app = create_app({"m": handler})
    whole = (await ask(app, request(**fields), PATH)).json()
    streamed = put_together(parsed((await ask(app, request(**fields, stream=True), PATH)).body))
    for answer in (whole, streamed):
        assert answer.pop("id").startswith("msg_")
    return whole, streamed


THOUGHT = (delta(reasoning_content="Let me "), delta(reasoning_content="see."))
SAID = (delta(content="Hello, "), GenericStreamingChunk(text='"world" 🌍'))
CALLED = (
    delta(tool_calls=[{"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": ""}}]),
    delta(tool_calls=[{"index": 0, "function": {"arguments": '{"city"'}}]),
    delta(tool_calls=[{"index": 0, "function": {"arguments": ': "Oslo"}'}}]),
    delta(tool_calls=[{"index": 1, "id": "call_2", "type": "function", "function": {"name": "now", "arguments": "{}"}}]),
)
THINKS = {"type": "thinking", "thinking": "Let me see.", "signature": UNSIGNED}
SAYS = {"type": "text", "text": 'Hello, "world" 🌍'}
CALLS = [
    {"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Oslo"}},
    {"type": "tool_use", "id": "call_2", "name": "now", "input": {}},
]
SIGNED = {"type": "thinking", "thinking": "Let me see.", "signature": "SIG"}
HIDDEN = {"type": "redacted_thinking", "data": "xx"}

SCRIPTS: dict[str, tuple[tuple[Any, ...], list[dict[str, Any]], str]] = {
    "text": ((*SAID, ended("stop")), [SAYS], "end_turn"),
    "length": ((*SAID, ended("length")), [SAYS], "max_tokens"),
    "nothing": ((ended("stop"),), [], "end_turn"),
    "thinking": ((*THOUGHT, *SAID, ended("stop")), [THINKS, SAYS], "end_turn"),
    "signed": ((*THOUGHT, delta(thinking_blocks=[SIGNED]), *SAID, ended("stop")), [SIGNED, SAYS], "end_turn"),
    "signed-later": (
        (*THOUGHT, delta(thinking_blocks=[{"type": "thinking", "thinking": "", "signature": "SIG"}]), *SAID, ended("stop")),
        [SIGNED, SAYS],
        "end_turn",
    ),
    "signed-at-once": ((delta(thinking_blocks=[SIGNED]), *SAID, ended("stop")), [SIGNED, SAYS], "end_turn"),
    "in-both-ways": (
        (
            delta(reasoning_content="Let me ", thinking_blocks=[{"type": "thinking", "thinking": "Let me "}]),
            delta(reasoning_content="see.", thinking_blocks=[{"type": "thinking", "thinking": "see."}]),
            delta(thinking_blocks=[{"type": "thinking", "signature": "SIG"}]),
            *SAID,
            ended("stop"),
        ),
        [SIGNED, SAYS],
        "end_turn",
    ),
    "redacted": ((delta(thinking_blocks=[HIDDEN]), *SAID, ended("stop")), [HIDDEN, SAYS], "end_turn"),
    "calls": ((*SAID, *CALLED, ended("tool_calls")), [SAYS, *CALLS], "tool_use"),
    "calls-that-end-in-stop": ((*CALLED, ended("stop")), CALLS, "tool_use"),
    "interleaved-calls": (
        (
            CALLED[0],
            CALLED[1],
            delta(tool_calls=[{"index": 1, "id": "call_2", "type": "function", "function": {"name": "now", "arguments": "{"}}]),
            CALLED[2],
            delta(tool_calls=[{"index": 1, "function": {"arguments": "}"}}]),
            ended("tool_calls"),
        ),
        CALLS,
        "tool_use",
    ),
    "a-name-in-pieces": (
        (
            delta(tool_calls=[{"index": 0, "id": "call_1", "function": {"name": "wea", "arguments": ""}}]),
            delta(tool_calls=[{"index": 0, "function": {"name": "ther"}}]),
            *CALLED[1:],
            ended("tool_calls"),
        ),
        CALLS,
        "tool_use",
    ),
    "custom": (
        (
            delta(tool_calls=[{"index": 0, "id": "c", "type": "custom", "custom": {"name": "patch", "input": "*** "}}]),
            delta(tool_calls=[{"index": 0, "type": "custom", "custom": {"input": '"End"'}}]),
            ended("tool_calls"),
        ),
        [{"type": "tool_use", "id": "c", "name": "patch", "input": {"INVALID_JSON": '*** "End"'}}],
        "tool_use",
    ),
    "refusal": ((delta(refusal="No."), ended("stop")), [{"type": "text", "text": "No."}], "refusal"),
    "text-and-refusal": (
        (delta(content="Well. "), delta(refusal="No."), ended("stop")),
        [{"type": "text", "text": "Well. No."}],
        "refusal",
    ),
}


@pytest.mark.parametrize("name", SCRIPTS)
async def test_what_a_handler_says(name: str, ask: Any) -> None:
    chunks, content, reason = SCRIPTS[name]
    whole, streamed = await both(ask, Scripted(*chunks))
    assert whole == streamed
    assert (whole["type"], whole["role"], whole["model"]) == ("message", "assistant", "m")
    assert (whole["content"], whole["stop_reason"], whole["stop_sequence"]) == (content, reason, None)
    assert (whole["usage"]["input_tokens"], whole["usage"]["output_tokens"]) == (9, 4)


@st.composite
def interleaved(draw: st.DrawFn) -> tuple[list[Any], list[dict[str, Any]]]:
    """The chunks of several calls, each in pieces in its own order, and their blocks."""
    inputs = draw(st.lists(st.dictionaries(st.sampled_from("ab"), st.integers(0, 9)), min_size=2, max_size=3))
    pieces: list[list[Any]] = []
    for index, value in enumerate(inputs):
        text = json.dumps(value)
        place = draw(st.integers(0, len(text)))
        begun = {"index": index, "id": f"c{index}", "type": "function", "function": {"name": "f", "arguments": text[:place]}}
        rest = [{"index": index, "function": {"arguments": letter}} for letter in text[place:]]
        pieces.append([begun, *rest])
    order = draw(st.permutations([index for index, own in enumerate(pieces) for _ in own]))
    queues = [iter(own) for own in pieces]
    blocks = [{"type": "tool_use", "id": f"c{index}", "name": "f", "input": value} for index, value in enumerate(inputs)]
    return [delta(tool_calls=[next(queues[index])]) for index in order], blocks


@settings(max_examples=20)
@given(calls=interleaved())
def test_calls_arrive_whole_however_their_pieces_are_interleaved(calls: tuple[list[Any], list[dict[str, Any]]]) -> None:
    chunks, blocks = calls
    encoder = MessagesEvents(Model("m", {}, frozenset()), MessagesRequest(**request()))
    sent = b"".join([*map(encoder.encode, [*chunks, delta()]), encoder.ending(None)])
    assert sorted(put_together(parsed(sent))["content"], key=lambda block: block["id"]) == blocks


@one_loop
async def test_a_call_that_waits_for_the_end_of_another_comes_before_the_text_after_it(ask: Any) -> None:
    handler = Scripted(CALLED[0], CALLED[1], CALLED[3], CALLED[2], *SAID, ended("tool_calls"))
    answer = await ask(create_app({"m": handler}), request(stream=True), PATH)
    assert put_together(parsed(answer.body))["content"] == [*CALLS, SAYS]


async def test_a_handler_that_answers_with_a_text(ask: Any) -> None:
    async def answer(messages: Any, **_: Any) -> str:
        return f"You said {messages[-1]['content']}"

    whole, streamed = await both(ask, answer)
    assert whole["content"] == streamed["content"] == [{"type": "text", "text": "You said Hi"}]


async def test_the_prompt_s_tokens_stand_in_the_first_event_once_they_are_known(ask: Any) -> None:
    begun = GenericStreamingChunk(text="a", usage=usage(0))
    app = create_app({"early": Scripted(begun, ended("stop")), "late": Scripted(*SAID, ended("stop"))})
    for model, tokens in (("early", 9), ("late", 0)):
        sent = parsed((await ask(app, request(model=model, stream=True), PATH)).body)
        assert sent[0]["message"]["usage"]["input_tokens"] == tokens
        assert sent[-2]["usage"] == {"input_tokens": 9, "output_tokens": 4}


async def test_cached_tokens_are_counted_apart(ask: Any) -> None:
    counted = Usage(
        prompt_tokens=20,
        completion_tokens=4,
        total_tokens=24,
        prompt_tokens_details={"cached_tokens": 5},  # type: ignore[arg-type]
        completion_tokens_details={"reasoning_tokens": 3},  # type: ignore[arg-type]
        cache_creation_input_tokens=2,  # type: ignore[call-arg]
    )
    whole, streamed = await both(ask, Scripted(GenericStreamingChunk(is_finished=True, finish_reason="stop", usage=counted)))
    counts = {"input_tokens": 13, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 2, "output_tokens": 4}
    assert whole["usage"] == {**counts, "output_tokens_details": {"thinking_tokens": 3}}
    assert streamed["usage"] == whole["usage"]


@one_loop
async def test_tokens_that_went_to_the_cache_as_openai_counts_them(ask: Any) -> None:
    details: Any = {"cached_tokens": 5, "cache_write_tokens": 2}
    counted = Usage(prompt_tokens=20, completion_tokens=4, total_tokens=24, prompt_tokens_details=details)
    whole, _ = await both(ask, Scripted(GenericStreamingChunk(is_finished=True, finish_reason="stop", usage=counted)))
    counts = {"input_tokens": 13, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 2, "output_tokens": 4}
    assert whole["usage"] == counts


async def test_a_stop_sequence_is_named_where_the_handler_names_it(ask: Any) -> None:
    choice = StreamingChoices(finish_reason="stop", delta=Delta(content="x"), stop_reason="END")  # type: ignore[call-arg]
    handler = Scripted(ModelResponseStream(choices=[choice]))
    whole, streamed = await both(ask, handler, stop_sequences=["END", "."])
    assert handler.asked[0]["stop"] == ["END", "."]
    for answer in (whole, streamed):
        assert (answer["stop_reason"], answer["stop_sequence"]) == ("stop_sequence", "END")


async def test_what_a_handler_is_asked(ask: Any) -> None:
    handler = Scripted(ended("stop"))
    mark = {"type": "ephemeral"}
    turns = [
        {"role": "user", "content": [{"type": "text", "text": "Look", "cache_control": mark}, {"type": "text", "text": "!"}]},
        {"role": "assistant", "content": [SIGNED, {"type": "text", "text": "So."}, CALLS[0]]},
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "call_1",
                    "content": [{"type": "text", "text": "Sunny"}],
                    "is_error": True,
                    "toolset_name": "outside",
                },
                {"type": "text", "text": "And?"},
            ],
        },
        {"role": "system", "content": "Be quick."},
    ]
    fields = {
        "system": [{"type": "text", "text": "Be brief.", "cache_control": mark}],
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 4,
        "thinking": {"type": "adaptive"},
        "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": {"type": "object"}}},
        "metadata": {"user_id": "u-1"},
        "tools": [{**TOOL, "strict": True, "cache_control": mark}],
        "tool_choice": {"type": "tool", "name": "weather", "disable_parallel_tool_use": True},
        "context_management": {"edits": []},
        "service_tier": "standard_only",
    }
    answer = await ask(create_app({"m": handler}), request(turns, **fields), PATH, headers={"anthropic-beta": "b-1"})
    assert answer.status == 200
    asked = handler.asked[0]
    assert asked.pop("client_request").headers["anthropic-beta"] == "b-1"
    assert asked.pop("messages") == [
        {"role": "system", "content": fields["system"]},
        {"role": "user", "content": turns[0]["content"]},
        {
            "role": "assistant",
            "content": "So.",
            "reasoning_content": "Let me see.",
            "thinking_blocks": [SIGNED],
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "Sunny", "is_error": True, "toolset_name": "outside"},
        {"role": "user", "content": "And?"},
        {"role": "system", "content": "Be quick."},
    ]
    function = {"name": "weather", "description": "d", "parameters": {"type": "object"}, "strict": True}
    schema = {"name": "answer", "schema": {"type": "object"}, "strict": True}
    assert asked == {
        "max_tokens": 50,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 4,
        "thinking": {"type": "adaptive"},
        "reasoning_effort": "low",
        "response_format": {"type": "json_schema", "json_schema": schema},
        "user": "u-1",
        "tools": [{"type": "function", "function": function, "cache_control": mark}],
        "tool_choice": {"type": "function", "function": {"name": "weather"}},
        "parallel_tool_calls": False,
        "context_management": {"edits": []},
        "service_tier": "default",
        "stream": True,  # the handler's only method streams
    }


async def test_pictures_and_documents(ask: Any) -> None:
    handler = Scripted(ended("stop"))
    blocks = [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
        {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}, "cache_control": {"type": "ephemeral"}},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"}, "title": "a.pdf"},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Hi"}},
        {"type": "document", "source": {"type": "file", "file_id": "file_1"}, "citations": {"enabled": False}},
    ]
    assert (await ask(create_app({"m": handler}), request([{"role": "user", "content": blocks}]), PATH)).status == 200
    assert handler.asked[0]["messages"][0]["content"] == [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "image_url", "image_url": {"url": "https://x/y.png"}, "cache_control": {"type": "ephemeral"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBE", "filename": "a.pdf"}},
        {"type": "file", "file": {"file_data": "data:text/plain;base64,SGk="}},
        {"type": "file", "file": {"file_id": "file_1"}},
    ]


def with_block(block: Any, role: str = "user") -> dict[str, Any]:
    return {"messages": [{"role": role, "content": [block]}]}


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no-max-tokens": ({"max_tokens": None}, "max_tokens"),
    "max-tokens-0": ({"max_tokens": 0}, "max_tokens: "),
    "no-messages": ({"messages": []}, "messages: "),
    "role": ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role: "),
    "content": ({"messages": [{"role": "user", "content": 5}]}, "messages.0.content: "),
    "block": (with_block("x"), "messages.0.content.0: "),
    "block-type": (with_block({"type": "video"}), "messages.0.content.0.type: 'video'"),
    "text": (with_block({"type": "text", "text": 1}), "messages.0.content.0.text: "),
    "image": (with_block({"type": "image", "source": {"type": "file", "file_id": "f"}}), "messages.0.content.0.source: "),
    "document": (with_block({"type": "document", "source": {"type": "url", "url": "u"}}), "messages.0.content.0.source: "),
    "citations": (
        with_block({"type": "document", "source": {}, "citations": {"enabled": True}}),
        "messages.0.content.0.citations: ",
    ),
    "result-of-nothing": (
        with_block({"type": "tool_result", "tool_use_id": "t"}),
        "messages.0.content.0.tool_use_id: no call before it has the id 't'",
    ),
    "call-without-id": (with_block({"type": "tool_use", "name": "f"}, "assistant"), "messages.0.content.0.id: "),
    "assistant-image": (with_block({"type": "image"}, "assistant"), "messages.0.content.0.type: "),
    "system": ({"system": [{"type": "image"}]}, "system.0.type: 'image'"),
    "server-tool": ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, "tools.0.type: 'bash_20250124'"),
    "tool-name": ({"tools": [{"input_schema": {}}]}, "tools.0.name: "),
    "tool-schema": ({"tools": [{"name": "f"}]}, "tools.0.input_schema: "),
    "tool-choice": ({"tool_choice": {"type": "some"}}, "tool_choice: "),
    "tool-choice-field": ({"tool_choice": {"type": "auto", "x": 1}}, "tool_choice.x: "),
    "container": ({"container": "c"}, "container: there are no containers here"),
    "mcp": ({"mcp_servers": [{"name": "x"}]}, "mcp_servers: no tool is called here"),
    "fallbacks": ({"fallbacks": [{"model": "x"}]}, "fallbacks: "),
    "turn": ({"messages": [{"role": "user", "content": "x", "name": "Ann"}]}, "messages.0.name: "),
    "text-field": (with_block({"type": "text", "text": "x", "citations": [{}]}), "messages.0.content.0.citations: "),
    "image-field": (
        with_block({"type": "image", "source": {"type": "url", "url": "u"}, "transformations": {"oversized_image": "error"}}),
        "messages.0.content.0.transformations: ",
    ),
    "source-field": (
        with_block({"type": "image", "source": {"type": "url", "url": "u", "headers": {"a": "b"}}}),
        "messages.0.content.0.source.headers: ",
    ),
    "system-field": ({"system": [{"type": "text", "text": "x", "lang": "en"}]}, "system.0.lang: "),
    "format-field": (
        {"output_config": {"format": {"type": "json_schema", "schema": {}, "name": "n"}}},
        "output_config.format.name: ",
    ),
    "chat-s-own": ({"n": 2}, "n: there is no such parameter"),
    "ours": ({"api_base": "http://x"}, "api_base: there is no such parameter"),
    "metadata": ({"metadata": {"topic": 1}}, "metadata.topic: there is no such parameter"),
    "format": ({"output_config": {"format": {"type": "xml"}}}, "output_config.format"),
    "types": ({"temperature": "warm"}, "temperature: "),
    "model": ({"model": "other"}, "the model 'other' does not exist"),
}


@one_loop
@pytest.mark.parametrize("name", BAD)
async def test_a_wrong_request_is_refused_by_its_place(name: str, ask: Any) -> None:
    fields, words = BAD[name]
    sent = {name: value for name, value in request(**fields).items() if value is not None}
    answer = await ask(create_app({"m": Scripted(ended("stop"))}), sent, PATH)
    told = answer.json()
    kind = "not_found_error" if name == "model" else "invalid_request_error"
    assert (answer.status, told["type"], told["error"]["type"]) == (404 if name == "model" else 400, "error", kind)
    assert told["error"]["message"].startswith(words)
    assert told["request_id"] == answer.headers["request-id"] == answer.headers["x-request-id"]


@one_loop
async def test_a_body_that_is_not_json(ask: Any) -> None:
    answer = await ask(create_app({"m": Scripted()}), b"{", PATH)
    assert (answer.status, answer.json()["error"]["type"]) == (400, "invalid_request_error")


@one_loop
@pytest.mark.parametrize(
    "status, expected, kind",
    [
        (400, 400, "invalid_request_error"),
        (401, 401, "authentication_error"),
        (403, 403, "permission_error"),
        (404, 404, "not_found_error"),
        (413, 413, "request_too_large"),
        (429, 429, "rate_limit_error"),
        (500, 500, "api_error"),
        (503, 529, "overloaded_error"),
        (529, 529, "overloaded_error"),
    ],
)
async def test_what_a_handler_raises_has_the_api_s_name(status: int, expected: int, kind: str, ask: Any) -> None:
    app = create_app({"m": Scripted(CustomLLMError(status, "not now"))})
    for stream in (False, True):
        answer = await ask(app, request(stream=stream), PATH)
        assert (answer.status, answer.json()["error"]) == (expected, {"type": kind, "message": "not now"})


async def test_an_error_in_a_stream_is_an_event_and_no_end_of_turn(ask: Any) -> None:
    app = create_app({"m": Scripted(*SAID, CustomLLMError(529, "not now"))})
    sent = parsed((await ask(app, request(stream=True), PATH)).body)
    assert sent[-1] == {"type": "error", "error": {"type": "overloaded_error", "message": "not now"}}
    assert not {"message_delta", "message_stop"} & {event["type"] for event in sent}


@pytest.mark.parametrize("kept", [3, 6])
async def test_a_stream_that_was_cut_is_an_error(kept: int, ask: Any) -> None:
    with Endpoint(Reply(events=["Hello", ", ", "wor"], done=False)) as endpoint:
        app = create_app({"m": {"model": "openai/x", "api_base": endpoint.url, "num_retries": 0}})
        sent = parsed((await ask(app, request(stream=True), PATH)).body)
    assert sent[-1]["type"] == "error"
    assert not {"message_delta", "message_stop"} & {event["type"] for event in sent}


@one_loop
@pytest.mark.parametrize("field", ["audio", "images"])
async def test_an_answer_that_can_t_be_said_is_an_error(field: str, ask: Any) -> None:
    value: Any = {"data": "AA"} if field == "audio" else [{"type": "image_url"}]
    app = create_app({"m": Scripted(delta(**{field: value}), ended("stop"))})
    for stream in (False, True):
        answer = await ask(app, request(stream=stream), PATH)
        assert (answer.status, answer.json()["error"]["type"]) == (500, "api_error")
        assert f"the model's answer has {field}" in answer.json()["error"]["message"]


@one_loop
async def test_an_error_without_words_is_given_some(ask: Any) -> None:
    with Endpoint(Reply(status=418, json={"error": {"message": None, "code": 7}})) as endpoint:
        app = create_app({"m": {"model": "openai/x", "api_base": endpoint.url, "num_retries": 0}})
        answer = await ask(app, request(), PATH)
    assert (answer.status, answer.json()["error"]["message"]) == (418, "the answer failed")


@one_loop
async def test_several_choices_are_an_error_and_are_never_mixed(ask: Any) -> None:
    app = create_app({"m": Scripted(delta(content="one"), delta(1, content="two"), ended("stop"), ended("stop", index=1))})
    answer = await ask(app, request(), PATH)
    assert (answer.status, answer.json()["error"]["type"]) == (500, "api_error")
    sent = parsed((await ask(app, request(stream=True), PATH)).body)
    assert [event["delta"] for event in sent if "delta" in event] == [{"type": "text_delta", "text": "one"}]
    for error in (answer.json()["error"], sent[-1]["error"]):
        assert "the model's answer has several choices" in error["message"]


async def test_a_silent_stream_is_kept_alive_with_pings(visit: Any) -> None:
    go_on = anyio.Event()

    async def slow(**_: Any) -> Any:
        yield "Hello"
        await go_on.wait()

    app = create_app({"m": slow}, keepalive_seconds=0.05)
    async with visit(app, request(stream=True), PATH) as stream:
        first = await stream.take()
        assert b"message_start" in first
        assert parsed(await stream.take()) == [{"type": "ping"}]
        go_on.set()
        assert put_together(parsed(first + await stream.rest()))["content"][0]["text"] == "Hello"


async def test_a_client_that_leaves_cancels_the_handler(visit: Any, gone: Callable[[], Any]) -> None:
    witness = gone()

    async def endless(**_: Any) -> Any:
        with witness():
            while True:
                yield "x"
                await anyio.lowlevel.checkpoint()

    async with visit(create_app({"m": endless}), request(stream=True), PATH) as stream:
        await stream.take()
        stream.leave()
        await witness.left.wait()


async def test_a_gateway_to_chat_leaves_out_what_chat_has_no_word_for(ask: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "tokenwire.server")
    mark = {"type": "ephemeral"}
    turns = [
        {"role": "user", "content": [{"type": "text", "text": "A", "cache_control": mark}, {"type": "text", "text": "B"}]},
        {"role": "assistant", "content": [SIGNED, CALLS[0]]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1", "is_error": True, "toolset_name": "t"}]},
    ]
    with Endpoint(Reply(text="Hello")) as endpoint:
        app = create_app({"m": {"model": "openai/x", "api_base": endpoint.url}})
        fields = {"thinking": {"type": "adaptive"}, "tools": [{**TOOL, "cache_control": mark}], "top_k": 3}
        answer = await ask(app, request(turns, **fields), PATH)
    assert answer.json()["content"] == [{"type": "text", "text": "Hello"}]
    sent = endpoint.requests[0].json()
    assert sent["messages"][0]["content"] == [{"type": "text", "text": "A"}, {"type": "text", "text": "B"}]
    assert sent["messages"][1].keys() == {"role", "content", "tool_calls"}
    assert sent["messages"][2] == {"role": "tool", "tool_call_id": "call_1", "content": ""}
    assert sent["tools"][0].keys() == {"type", "function"}
    assert not {"thinking", "top_k"} & sent.keys()
    assert (
        "does not take it: cache_control, is_error, reasoning_content, thinking, thinking_blocks, toolset_name, top_k"
        in caplog.text
    )


@one_loop
@pytest.mark.parametrize("name", [None, False, [], {}], ids=str)
async def test_a_field_that_asks_for_nothing_is_not_in_the_way(name: Any, ask: Any) -> None:
    nothing: dict[str, Any] = {"mcp_servers": name, "container": name}
    block = {"type": "text", "text": "x", "citations": name}
    answer = await ask(create_app({"m": Scripted(ended("stop"))}), request(**with_block(block), **nothing), PATH)
    assert answer.status == 200


async def test_a_gateway_to_chat_asks_for_the_usage_of_a_stream(ask: Any) -> None:
    used = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    with Endpoint(Reply(events=[*chunks("Hello"), chunk(usage=used) | {"choices": []}])) as endpoint:
        app = create_app({"m": {"model": "openai/x", "api_base": endpoint.url}})
        answer = await ask(app, request(stream=True), PATH)
    assert endpoint.requests[0].json()["stream_options"] == {"include_usage": True}
    assert put_together(parsed(answer.body))["usage"] == {"input_tokens": 3, "output_tokens": 2}


async def test_a_gateway_shows_the_name_that_was_asked_for(ask: Any) -> None:
    response = {"id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "model": "x", "output": []}
    with Endpoint(Reply(json=response)) as endpoint:
        app = create_app({"m": {"model": "openai/responses/x", "api_base": endpoint.url, "api_key": "k"}})
        answer = await ask(app, request(), PATH)
    assert answer.json()["model"] == "m"


async def test_a_gateway_to_messages_says_it_all_again(ask: Any) -> None:
    mark = {"type": "ephemeral"}
    turns = [
        {"role": "user", "content": [{"type": "text", "text": "A", "cache_control": mark}]},
        {
            "role": "assistant",
            "content": [THINKING, {"type": "text", "text": "a"}, CALL, {**CALL, "id": "toolu_2", "cache_control": mark}],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": "1", "is_error": True},
                {"type": "tool_result", "tool_use_id": "toolu_2", "content": "2", "toolset_name": "t", "cache_control": mark},
                {"type": "text", "text": "And?"},
            ],
        },
    ]
    asked = request(
        turns,
        system=[{"type": "text", "text": "S", "cache_control": mark}],
        tools=[{**TOOL, "cache_control": mark, "eager_input_streaming": True}],
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
        thinking={"type": "adaptive"},
        stop_sequences=["END"],
        metadata={"user_id": "u"},
        output_config={"effort": "max", "format": {"type": "json_schema", "schema": {"type": "object"}}},
        temperature=0.5,
        top_k=2,
        service_tier="standard_only",
    )
    blocks = [THINKING, TEXT, CALL]
    replies = [Reply(json=message(blocks, "tool_use")), Reply(events=events(blocks, "tool_use"), done=False)]
    with Endpoint(replies) as endpoint:
        app = create_app({"m": {"model": "anthropic/claude-x", "api_base": endpoint.url, "api_key": "k"}})
        whole = (await ask(app, asked, PATH, headers={"anthropic-beta": "b-1"})).json()
        streamed = put_together(parsed((await ask(app, {**asked, "stream": True}, PATH)).body))
    first, second = endpoint.requests
    assert first.json() == {**asked, "model": "claude-x"}
    assert second.json() == {**asked, "model": "claude-x", "stream": True}
    assert first.headers["anthropic-beta"] == "b-1"
    for answer in (whole, streamed):
        assert (answer["id"], answer["content"], answer["stop_reason"]) == ("msg_1", blocks, "tool_use")
        assert answer["usage"]["cache_read_input_tokens"] == 5


@one_loop
async def test_an_endpoint_s_own_refusal_goes_on_as_it_came(ask: Any) -> None:
    failure = {"type": "error", "error": {"type": "rate_limit_error", "message": "Slow down", "details": {"a": 1}}}
    with Endpoint(Reply(status=429, json=failure, headers={"retry-after": "7", "request-id": "req_up"})) as endpoint:
        keywords = {"model": "anthropic/x", "api_base": endpoint.url, "api_key": "k", "num_retries": 0}
        answer = await ask(create_app({"m": keywords}), request(), PATH)
    assert (answer.status, answer.json()) == (429, failure)
    assert (answer.headers["retry-after"], answer.headers["request-id"]) == ("7", "req_up")


@one_loop
async def test_keys_as_anthropic_s_clients_send_them(ask: Any) -> None:
    app = create_app({"m": Scripted(ended("stop"))}, api_keys=["secret"])
    for headers in ({"x-api-key": "secret"}, {"authorization": "Bearer secret"}):
        assert (await ask(app, request(), PATH, headers=headers)).status == 200
    refused = await ask(app, request(), PATH)
    assert (refused.status, refused.json()["error"]["type"]) == (401, "authentication_error")


@one_loop
async def test_what_anthropic_s_clients_look_at_first(ask: Any) -> None:
    app = create_app({"m": Scripted(), "n": Scripted()}, api_keys=["secret"])
    assert (await ask(app, None, "/", method="HEAD")).status == 200
    listed = (await ask(app, None, "/v1/models", method="GET", headers={"x-api-key": "secret"})).json()
    assert (listed["has_more"], listed["first_id"], listed["last_id"]) == (False, "m", "n")
    assert all(model["type"] == "model" and model["created_at"].endswith("Z") for model in listed["data"])


def to_count(messages: Any = HI, **fields: Any) -> dict[str, Any]:
    return {"model": "m", "messages": messages, **fields}


@one_loop
async def test_tokens_are_counted_by_a_handler_that_can(ask: Any) -> None:
    class Counts(CustomLLM):
        async def acount_tokens(self, *args: Any, messages: Any, optional_params: Any, **_: Any) -> int:
            self.asked = messages, optional_params
            return 17

    handler = Counts()
    app = create_app({"m": handler})
    counted = await ask(app, to_count(system="Be brief.", tools=[TOOL]), f"{PATH}/count_tokens")
    assert (counted.status, counted.json()) == (200, {"input_tokens": 17})
    messages, params = handler.asked
    assert [message["role"] for message in messages] == ["system", "user"]
    assert params["tools"][0]["function"]["name"] == "weather"
    counted = await ask(app, {"model": "m", "input": "Hi"}, "/v1/responses/input_tokens")
    assert counted.json() == {"object": "response.input_tokens", "input_tokens": 17}


@one_loop
async def test_who_can_not_count_tokens_says_so(ask: Any) -> None:
    with Endpoint(Reply()) as endpoint:
        app = create_app({"m": Scripted(), "chat": {"model": "openai/m", "api_base": endpoint.url, "api_key": "k"}})
        counted = await ask(app, to_count(), f"{PATH}/count_tokens", headers={"anthropic-version": "2023-06-01"})
        assert (counted.status, counted.json()["error"]["type"]) == (501, "api_error")
        assert counted.json()["error"]["message"].endswith("counts no tokens: it has no method acount_tokens or count_tokens")
        counted = await ask(app, {**to_count(), "model": "chat"}, f"{PATH}/count_tokens")
        assert (counted.status, "API counts no tokens" in counted.json()["error"]["message"]) == (501, True)
        assert endpoint.requests == []
    for wrong in (3.5, True, -1, "17"):
        answer = await ask(create_app({"m": counting(wrong)}), to_count(), f"{PATH}/count_tokens")
        assert answer.status == 500


def counting(result: Any) -> CustomLLM:
    class Counts(CustomLLM):
        def count_tokens(self, *args: Any, **kwargs: Any) -> Any:
            return result

    return Counts()


@one_loop
async def test_tokens_are_counted_by_an_endpoint_that_can(ask: Any) -> None:
    with Endpoint(Reply(json={"input_tokens": 5})) as endpoint:
        served = {
            "claude": {"model": "anthropic/c", "api_base": endpoint.url, "api_key": "k"},
            "gpt": {"model": "openai/responses/g", "api_base": endpoint.url, "api_key": "k"},
        }
        app = create_app(served)
        for name in served:
            counted = await ask(app, {**to_count(temperature=0.5), "model": name}, f"{PATH}/count_tokens")
            assert counted.json() == {"input_tokens": 5}
        claude, gpt = endpoint.requests
    assert (claude.path, gpt.path) == ("/v1/messages/count_tokens", "/v1/responses/input_tokens")
    assert claude.json() == {**to_count(temperature=0.5), "model": "c"}  # which speaks as the client does
    assert gpt.json() == {"model": "g", "input": [{"type": "message", **HI[0]}]}


@one_loop
@pytest.mark.parametrize("path", ["/v1/messages/batches", "/messages/x", "/v1/complete"])
async def test_a_path_that_is_not_there(path: str, ask: Any) -> None:
    answer = await ask(create_app({"m": Scripted()}), {}, path, headers={"anthropic-version": "2023-06-01"})
    assert answer.status == 404
    assert (answer.json()["type"], answer.json()["error"]["type"]) == ("error", "not_found_error")
    other = await ask(create_app({"m": Scripted()}), {}, path)
    assert ("type" in other.json()) == ("messages" in path)


@one_loop
async def test_the_figures_say_which_dialect(ask: Any) -> None:
    app = create_app({"m": Scripted(*SAID, ended("stop"))}, metrics=True)
    await ask(app, request(stream=True), PATH)
    figures = (await ask(app, None, "/metrics", method="GET")).body.decode()
    assert 'endpoint="/messages",model="m",outcome="complete",status="200"' in figures


@one_loop
async def test_a_request_may_take_so_long(ask: Any) -> None:
    async def stuck(**_: Any) -> Any:
        await anyio.sleep_forever()
        yield ""

    answer = await ask(create_app({"m": stuck}, request_timeout=0.05), request(), PATH)
    assert (answer.status, answer.json()["error"]["type"]) == (504, "timeout_error")
