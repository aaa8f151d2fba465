"""Chat → Messages → chat: answers, streams and requests come back as they were, or it stands here what is lost."""

import json
from typing import Any

import pytest

from tokenwire import BadRequestError
from tokenwire.types import (
    Choices,
    Delta,
    Message,
    ModelResponse,
    ModelResponseStream,
    StreamingChoices,
    Usage,
)
from tokenwire.wire.messages import MESSAGES
from tokenwire.wire.messages.answers import message_fields
from tokenwire.wire.messages.asked import MessagesRequest, chat_keywords
from tokenwire.wire.messages.blocks import UNSIGNED
from tokenwire.wire.messages.encode import EventEncoder
from tokenwire.wire.sse import SSEDecoder

THINKING = [{"type": "thinking", "thinking": "Let me see.", "signature": "c2ln"}]
CALLS = [
    {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}},
    {"id": "call_2", "type": "function", "function": {"name": "now", "arguments": "{}"}},
]
BLOCKS = [{"type": "text", "text": "A", "citations": []}, {"type": "server_tool_use", "id": "s", "name": "n", "input": {}}]
SEGMENTS = [{"content": "A", "content_blocks": [BLOCKS[0]]}, {"content_blocks": [BLOCKS[1]]}]

# What a choice may say. Second: what of its message does not come back, by the path of the field.
ANSWERS: dict[str, tuple[dict[str, Any], str]] = {
    "text": ({"content": "Hello"}, "stop"),
    "cut": ({"content": "Hel"}, "length"),
    "filtered": ({"content": "Hel"}, "content_filter"),
    "nothing": ({"content": None}, "stop"),
    "thinking": ({"content": "Hi", "reasoning_content": "Let me see.", "thinking_blocks": THINKING}, "stop"),
    "calls": ({"content": "I look.", "tool_calls": CALLS}, "tool_calls"),
    "all": (
        {"content": "Hm.", "reasoning_content": "Let me see.", "thinking_blocks": THINKING, "tool_calls": CALLS},
        "tool_calls",
    ),
    "its-own-blocks": ({"content": "A", "provider_specific_fields": {"segments": SEGMENTS}}, "stop"),
    "another-end": ({"content": "A"}, "pause_turn"),
}

# Parts of an answer that Messages has no way to say, and what becomes of them.
LOST: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "annotations": ({"content": "A", "annotations": [{"type": "url_citation"}]}, {"content": "A"}),
    "a refusal is text": ({"content": None, "refusal": "No."}, {"content": "No."}),
    "unsigned thinking is marked": (
        {"content": "A", "reasoning_content": "Hm."},
        {
            "content": "A",
            "reasoning_content": "Hm.",
            "thinking_blocks": [{"type": "thinking", "thinking": "Hm.", "signature": UNSIGNED}],
        },
    ),
}


class Encoder(EventEncoder):
    """Names the answer as the others here are named."""

    def head_of(self, chunk: Any) -> tuple[str, str]:
        return "msg_1", "m"


def response(message: dict[str, Any], finish_reason: str) -> ModelResponse:
    usage = Usage(prompt_tokens=9, completion_tokens=4, total_tokens=13)
    choice = Choices(finish_reason=finish_reason, message=Message(**message))
    return ModelResponse(id="msg_1", model="m", created=1, choices=[choice], usage=usage)


def said(answer: Any) -> dict[str, Any]:
    return {**answer.model_dump(exclude_none=True), "created": 1}


def around(answer: ModelResponse) -> ModelResponse:
    return MESSAGES.answer(json.dumps(message_fields(answer, id="msg_1", model="m")).encode())  # type: ignore[return-value]


def chunks_of(message: dict[str, Any], finish_reason: str) -> list[Any]:
    """The answer in small pieces."""
    deltas: list[dict[str, Any]] = [{"role": "assistant"}]
    for name in ("reasoning_content", "content"):
        deltas += [{name: letter} for letter in message.get(name) or ""]
        if name == "reasoning_content":
            deltas += [{"thinking_blocks": [block]} for block in message.get("thinking_blocks", ())]
    for index, call in enumerate(message.get("tool_calls", ())):
        function = call["function"]
        deltas.append({"tool_calls": [{**call, "index": index, "function": {"name": function["name"], "arguments": ""}}]})
        deltas += [{"tool_calls": [{"index": index, "function": {"arguments": letter}}]} for letter in function["arguments"]]
    chunks: list[Any] = [ModelResponseStream(id="msg_1", choices=[StreamingChoices(delta=Delta(**delta))]) for delta in deltas]
    usage = Usage(prompt_tokens=9, completion_tokens=4, total_tokens=13)
    chunks.append(ModelResponseStream(choices=[StreamingChoices(finish_reason=finish_reason)], usage=usage))
    return chunks


def streamed(chunks: list[Any]) -> tuple[Any, list[bytes]]:
    """The chunks as events, and what is understood of these."""
    encoder, decoder = Encoder(None), MESSAGES.decoder(ModelResponseStream, "m")
    events = [*map(encoder.encode, chunks), encoder.ending(chunks[-1].usage)]
    parser = SSEDecoder(names=decoder.reads_names)
    for data in events:
        decoder.decode(parser.feed_data(data))
    assert decoder.done
    return decoder.assembler.response(), events


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_comes_back(name: str) -> None:
    answer = response(*ANSWERS[name])
    assert said(around(answer)) == said(answer)


@pytest.mark.parametrize(
    "name", sorted(ANSWERS.keys() - {"its-own-blocks"})
)  # which a stream has begun to say before they are known
def test_a_stream_comes_back(name: str) -> None:
    message, finish_reason = ANSWERS[name]
    answer, events = streamed(chunks_of(message, finish_reason))
    assert said(answer) == said(response(message, finish_reason))
    decoder = MESSAGES.decoder(ModelResponseStream, "m")
    whole = b"".join(events)
    for place in range(0, len(whole), 7):
        decoder, parser = MESSAGES.decoder(ModelResponseStream, "m"), SSEDecoder(names=False)
        decoder.decode([*parser.feed_data(whole[:place]), *parser.feed_data(whole[place:])])
        assert said(decoder.assembler.response()) == said(answer)


@pytest.mark.parametrize("name", LOST)
def test_what_an_answer_loses(name: str) -> None:
    given, left = LOST[name]
    finish_reason = "content_filter" if "refusal" in given else "stop"
    assert said(around(response(given, "stop")))["choices"][0]["message"] == {"role": "assistant", **left}
    assert around(response(given, "stop")).choices[0].finish_reason == finish_reason


def asked(messages: list[Any], **params: Any) -> dict[str, Any]:
    """A chat call, as a request for a message, as a chat call."""
    body = {"max_tokens": 5, **MESSAGES.body("m", messages, params)}
    request: Any = None  # which says nothing that its fields do not
    keywords = chat_keywords(request, json.loads(json.dumps(body)))
    assert body.keys() <= set(MessagesRequest.__struct_encode_fields__)
    return keywords


HI = {"role": "user", "content": "Hi"}
TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True}}
SCHEMA = {"name": "answer", "schema": {"type": "object"}, "strict": True}
MARK = {"type": "ephemeral"}

CONVERSATIONS: dict[str, list[dict[str, Any]]] = {
    "text": [HI],
    "system": [{"role": "system", "content": "S"}, HI, {"role": "system", "content": "T"}],
    "marked": [{"role": "system", "content": [{"type": "text", "text": "S", "cache_control": MARK}]}, HI],
    "parts": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "A"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}, "cache_control": MARK},
                {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
                {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"}},
                {"type": "file", "file": {"file_data": "data:text/plain;base64,SGk="}},
                {"type": "file", "file": {"file_id": "file_1"}},
            ],
        }
    ],
    "calls": [
        HI,
        {
            "role": "assistant",
            "content": "I look.",
            "reasoning_content": "Let me see.",
            "thinking_blocks": THINKING,
            "tool_calls": CALLS,
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "Sunny", "is_error": True, "cache_control": MARK},
        {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        HI,
    ],
    "its-own-blocks": [
        HI,
        {"role": "assistant", "content": "A", "provider_specific_fields": {"segments": SEGMENTS}},
        HI,
    ],
}

PARAMS: dict[str, Any] = {
    "max_tokens": 7,
    "temperature": 0.5,
    "top_p": 0.5,
    "stop": ["END"],
    "user": "u",
    "tools": [TOOL],
    "service_tier": "default",
    "reasoning_effort": "low",
    "response_format": {"type": "json_schema", "json_schema": SCHEMA},
    "thinking": {"type": "adaptive"},
    "top_k": 3,
    "context_management": {"edits": []},
}


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_a_conversation_comes_back(name: str) -> None:
    assert asked(CONVERSATIONS[name])["messages"] == CONVERSATIONS[name]


def test_parameters_come_back() -> None:
    for choice in ("auto", "required", "none", {"type": "function", "function": {"name": "f"}}):
        params = {**PARAMS, "tool_choice": choice}
        assert asked([HI], **params) == {"messages": [HI], **params}
    parallel = {**PARAMS, "tool_choice": "auto", "parallel_tool_calls": False}
    assert asked([HI], **parallel) == {"messages": [HI], **parallel}


# What a request says, and what comes back of it.
CHANGED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a developer is the system": ({"role": "developer", "content": "S"}, {"role": "system", "content": "S"}),
    "a name": ({"role": "user", "content": "Hi", "name": "Ann"}, HI),
    "an image's detail": (
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "u", "detail": "low"}}]},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "u"}}]},
    ),
    "unsigned reasoning": (
        {"role": "assistant", "content": "A", "reasoning_content": "Hm."},
        {"role": "assistant", "content": "A"},
    ),
    "one text among parts": ({"role": "user", "content": [{"type": "text", "text": "Hi"}]}, HI),
}


@pytest.mark.parametrize("name", CHANGED)
def test_what_a_request_loses(name: str) -> None:
    given, left = CHANGED[name]
    assert asked([given])["messages"] == [left]


@pytest.mark.parametrize("stop", ["END", ["END"]])
def test_one_stop_sequence_is_a_list_of_one(stop: Any) -> None:
    assert asked([HI], stop=stop)["stop"] == ["END"]


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]},
        {"role": "assistant", "content": None, "audio": {"id": "a"}},
    ],
    ids=["audio-in", "audio-out"],
)
def test_what_can_t_be_said_is_refused(message: dict[str, Any]) -> None:
    with pytest.raises(BadRequestError):
        asked([message])
