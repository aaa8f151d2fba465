"""Anthropic's Messages as chat: whole answers, streams however they are cut, errors, and what goes back in a history."""

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from tokenwire import APIError, APIResponseValidationError, BadRequestError, UnsupportedParamsError, stream_chunk_builder
from tokenwire.types import GenericStreamingChunk, ModelResponseStream
from tokenwire.wire.history import to_json
from tokenwire.wire.messages import MESSAGES
from tokenwire.wire.sse import SSEDecoder

from . import messages as sent
from .messages import ANSWERS, CALL, NO_ARGUMENTS, TEXT, THINKING, USAGE, event, events, message

Shape = type[ModelResponseStream] | type[GenericStreamingChunk]

each_shape = pytest.mark.parametrize("shape", [ModelResponseStream, GenericStreamingChunk], ids=lambda shape: shape.__name__)
each_answer = pytest.mark.parametrize("name", ANSWERS)


def decode(reads: Iterable[bytes], shape: Shape = ModelResponseStream) -> tuple[list[Any], Any]:
    """The chunks of a stream that comes in these reads, and its decoder."""
    decoder = MESSAGES.decoder(shape, "asked-for")
    parser = SSEDecoder(names=decoder.reads_names)
    chunks = [chunk for data in reads for chunk in decoder.decode(parser.feed_data(data))]
    if not decoder.done:
        chunks += decoder.decode(parser.feed_eof())
    if decoder.error is not None:
        raise decoder.error
    return chunks, decoder


def streamed(blocks: list[dict[str, Any]], shape: Shape = ModelResponseStream, **options: Any) -> Any:
    _, decoder = decode(events(blocks, **options), shape)
    assert decoder.done
    return decoder.assembler.response()


def whole(blocks: list[dict[str, Any]], stop_reason: str | None = "end_turn", **fields: Any) -> Any:
    return MESSAGES.answer(json.dumps(message(blocks, stop_reason, **fields)).encode())


def said(response: Any) -> dict[str, Any]:
    """All of an answer but the times."""
    fields = response.model_dump(exclude_none=True)
    fields.pop("created")
    return fields


def sent_back(response: Any) -> Any:
    """The blocks that the answer is in the next call's history."""
    history = [{"role": "user", "content": "Hi"}, to_json(response.choices[0].message)]
    content = MESSAGES.body("m", history, {})["messages"][1]["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) and content else content or []


def test_a_whole_answer() -> None:
    answer = whole([THINKING, TEXT, CALL], "tool_use", service_tier="standard")
    choice = answer.choices[0]
    assert (answer.id, answer.model, answer.object) == ("msg_1", "claude-x", "chat.completion")
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content == TEXT["text"]
    assert choice.message.reasoning_content == "Let me see."
    assert choice.message.thinking_blocks == [THINKING]
    call = choice.message.tool_calls[0]
    assert (call.id, call.function.name, json.loads(call.function.arguments)) == ("toolu_1", "weather", CALL["input"])


def test_usage_counts_the_prompt_with_what_the_cache_had() -> None:
    usage = whole([TEXT]).usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (18, 20, 38)
    assert usage.prompt_tokens_details.cached_tokens == 5
    assert usage.get("cache_creation_input_tokens") == 3
    thought = whole([TEXT], usage={**USAGE, "output_tokens_details": {"thinking_tokens": 7}}).usage
    assert thought.completion_tokens_details.reasoning_tokens == 7


@pytest.mark.parametrize(
    "reason, finish",
    [
        ("end_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("stop_sequence", "stop"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("pause_turn", "pause_turn"),
        (None, None),
    ],
)
def test_why_an_answer_ended(reason: str | None, finish: str | None) -> None:
    assert whole([TEXT], reason).choices[0].finish_reason == finish
    assert streamed([TEXT], stop_reason=reason).choices[0].finish_reason == finish


def test_the_api_s_own_words_for_the_end_are_kept_where_chat_has_none() -> None:
    kept = {"stop_reason": "stop_sequence", "stop_sequence": "END"}
    for answer in (
        whole([TEXT], "stop_sequence", stop_sequence="END"),
        streamed([TEXT], stop_reason="stop_sequence", stop_sequence="END"),
    ):
        assert answer.choices[0].provider_specific_fields == kept
    assert whole([TEXT]).choices[0].provider_specific_fields is None


@each_answer
@each_shape
def test_a_stream_says_what_the_whole_answer_says(name: str, shape: Shape) -> None:
    blocks, _ = ANSWERS[name]
    assert said(streamed(blocks, shape)) == said(whole(blocks))


@each_answer
@each_shape
def test_chunks_put_together_by_anybody_say_the_same(name: str, shape: Shape) -> None:
    blocks, _ = ANSWERS[name]
    chunks, decoder = decode(events(blocks), shape)
    rebuilt, assembled = stream_chunk_builder(chunks), decoder.assembler.response()
    assert rebuilt is not None
    assert rebuilt.choices == assembled.choices
    assert rebuilt.usage == assembled.usage


@each_answer
def test_an_answer_goes_back_as_it_came(name: str) -> None:
    blocks, is_plain = ANSWERS[name]
    for answer in (whole(blocks), streamed(blocks), streamed(blocks, GenericStreamingChunk)):
        assert sent_back(answer) == blocks
        assert ("segments" in (answer.choices[0].message.provider_specific_fields or {})) is not is_plain


def test_what_was_changed_since_goes_back_changed() -> None:
    answer = whole([TEXT, {"type": "text", "text": "And more."}])
    answer.choices[0].message.content = "Less."
    assert sent_back(answer) == [{"type": "text", "text": "Less."}]


def test_events_at_every_split() -> None:
    stream = b"".join(events([THINKING, TEXT, CALL], "tool_use"))
    expected = [said(chunk) for chunk in decode([stream])[0]]
    for place in range(len(stream)):
        chunks, _ = decode([stream[:place], stream[place:]])
        assert [said(chunk) for chunk in chunks] == expected
    chunks, _ = decode([stream[place : place + 1] for place in range(len(stream))])
    assert [said(chunk) for chunk in chunks] == expected


@settings(max_examples=50)
@given(
    texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1, max_size=8),
    size=st.integers(1, 9),
)
def test_any_text_comes_through_a_run_of_events(texts: list[str], size: int) -> None:
    blocks = [{"type": "thinking", "thinking": texts[0], "signature": "s"}, {"type": "text", "text": "".join(texts)}]
    answer = streamed(blocks, size=size)
    assert answer.choices[0].message.content == "".join(texts)
    assert answer.choices[0].message.reasoning_content == texts[0]


def test_a_text_that_looks_like_what_stands_around_it() -> None:
    text = '"}} {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"x"}}'
    for size in (1, 3, len(text)):
        assert streamed([{"type": "text", "text": text}], size=size).choices[0].message.content == text


def test_tool_arguments_that_came_whole() -> None:
    start = [event("content_block_start", index=0, content_block=CALL), event("content_block_stop", index=0)]
    stream = events([CALL])
    _, decoder = decode([*stream[:2], *start, *stream[-2:]])
    call = decoder.assembler.response().choices[0].message.tool_calls[0]
    assert json.loads(call.function.arguments) == CALL["input"]


def test_a_call_without_arguments_has_an_empty_object() -> None:
    assert streamed([NO_ARGUMENTS]).choices[0].message.tool_calls[0].function.arguments == "{}"


def test_the_prompt_s_tokens_are_known_from_the_first_chunk() -> None:
    chunks, _ = decode(events([TEXT]))
    assert (chunks[0].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (18, 20)


def test_what_is_content_and_what_is_not() -> None:
    decoder = MESSAGES.decoder(ModelResponseStream, "m")
    parser = SSEDecoder(names=False)
    had = [(decoder.decode(parser.feed_data(data)), decoder.had_content)[1] for data in events([{**TEXT, "text": "Hi"}])]
    assert had == [False, False, False, True, False, False, False]


def test_events_of_other_types_are_no_mistake() -> None:
    stream = events([TEXT])
    stream[3:3] = [event("something_new", index=7), b": a comment\n\n", b'event: ping\ndata: {"type": "ping"}\n\n']
    assert decode(stream)[1].assembler.response().choices[0].message.content == TEXT["text"]


def test_a_stream_that_says_types_by_the_events_names_alone() -> None:
    stream = b"".join(events([TEXT, CALL])).replace(b'{"type":"content_block_delta",', b"{")
    decoder = MESSAGES.decoder(ModelResponseStream, "m")
    decoder.decode(SSEDecoder().feed_data(stream))
    response: Any = decoder.assembler.response()
    assert response.choices[0].message.content == TEXT["text"]


def test_a_stream_without_a_beginning() -> None:
    answer = decode(events([TEXT])[2:])[1].assembler.response()
    assert (answer.model, answer.choices[0].message.content) == ("asked-for", TEXT["text"])


@pytest.mark.parametrize(
    "kind, status",
    [("overloaded_error", 529), ("api_error", 500), ("rate_limit_error", 429), ("invalid_request_error", 400)],
)
def test_an_error_event(kind: str, status: int) -> None:
    failure = event("error", error={"type": kind, "message": "Not now"})
    with pytest.raises(APIError) as caught:
        decode([*events([TEXT])[:4], failure])
    assert (caught.value.status_code, caught.value.type, caught.value.message) == (status, kind, "Not now")


@pytest.mark.parametrize(
    "data",
    [b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":1}}', b"{broken", b"[]"],
)
def test_an_event_that_can_t_be_understood(data: bytes) -> None:
    with pytest.raises(APIResponseValidationError, match="is not valid"):
        decode([*events([TEXT])[:4], b"data: %b\n\n" % data])


def test_a_piece_of_a_block_that_never_began() -> None:
    with pytest.raises(APIResponseValidationError, match="content block has not begun"):
        decode([event("content_block_delta", index=3, delta={"type": "text_delta", "text": "x"})])


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"type":"message"}', b"<html><title>Hi</title></html>", b'{"content":"x"}']
)
def test_a_body_that_is_not_a_message(body: bytes) -> None:
    with pytest.raises(APIResponseValidationError):
        MESSAGES.answer(body)


def test_an_error_with_a_good_status() -> None:
    with pytest.raises(APIError) as caught:
        MESSAGES.answer(b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}')
    assert (caught.value.status_code, caught.value.message) == (529, "Overloaded")


def test_odd_values_beside_the_answer_do_no_harm() -> None:
    answer = whole([TEXT], usage={"input_tokens": None, "output_tokens": "4", "iterations": [1]}, container=5, stop_details=7)
    assert answer.choices[0].message.content == TEXT["text"]
    stream = [*events([TEXT])[:-2], event("message_delta", delta={"stop_reason": "end_turn", "stop_details": [1]}, usage=3)]
    assert decode(stream)[1].assembler.response().choices[0].finish_reason == "stop"


def body(messages: list[dict[str, Any]], **params: Any) -> dict[str, Any]:
    return MESSAGES.body("m", messages, params)


HI = {"role": "user", "content": "Hi"}


def test_system_messages_in_front_are_the_system_prompt() -> None:
    assert body([{"role": "system", "content": "Be brief."}, HI])["system"] == "Be brief."
    marked = {"type": "text", "text": "A", "cache_control": {"type": "ephemeral"}}
    several = [{"role": "developer", "content": [marked]}, {"role": "system", "content": "B"}, HI]
    assert body(several)["system"] == [marked, {"type": "text", "text": "B"}]
    later = body([HI, {"role": "developer", "content": "C"}])
    assert later["messages"][1] == {"role": "system", "content": "C"}
    assert "system" not in later


def test_what_a_user_shows() -> None:
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "high"}},
        {"type": "image_url", "image_url": {"url": "https://x/y.png"}, "cache_control": {"type": "ephemeral"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBE", "filename": "a.pdf"}},
        {"type": "file", "file": {"file_data": "data:text/plain;base64,SGk="}},
        {"type": "file", "file": {"file_id": "file_1"}},
        {"type": "search_result", "source": "s", "title": "t", "content": []},
    ]
    assert body([{"role": "user", "content": parts}])["messages"][0]["content"] == [
        {"type": "text", "text": "What is this?"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
        {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}, "cache_control": {"type": "ephemeral"}},
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"},
            "title": "a.pdf",
        },
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Hi"}},
        {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
        {"type": "search_result", "source": "s", "title": "t", "content": []},
    ]


def test_results_of_tools_stand_in_one_turn_with_what_follows() -> None:
    calls = [{"id": name, "type": "function", "function": {"name": "f", "arguments": "{}"}} for name in ("one", "two")]
    history = [
        HI,
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "one", "content": "1"},
        {"role": "tool", "tool_call_id": "two", "content": [{"type": "text", "text": "2"}], "is_error": True},
        {"role": "user", "content": "And now?"},
        {"role": "user", "content": "Well?"},
    ]
    assert body(history)["messages"][2:] == [
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "one", "content": "1"},
                {"type": "tool_result", "tool_use_id": "two", "content": [{"type": "text", "text": "2"}], "is_error": True},
                {"type": "text", "text": "And now?"},
            ],
        },
        {"role": "user", "content": "Well?"},
    ]


def test_reasoning_that_nobody_signed_stays_here() -> None:
    history = [HI, {"role": "assistant", "content": "Yes.", "reasoning_content": "Hm."}]
    assert body(history)["messages"][1] == {"role": "assistant", "content": "Yes."}


def test_arguments_that_are_not_json_go_as_the_api_wants_them() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": '}}
    block = body([HI, {"role": "assistant", "content": None, "tool_calls": [call]}])["messages"][1]["content"][0]
    assert block["input"] == {"INVALID_JSON": '{"a": '}


def test_parameters_in_the_api_s_words() -> None:
    tool = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True}}
    schema = {"type": "object", "properties": {}}
    said = body(
        [HI],
        max_completion_tokens=9,
        stop="END",
        temperature=0.5,
        top_k=3,
        user="u-1",
        tools=[tool, {"type": "function", "function": {"name": "g"}}, {"type": "web_search_20250305", "name": "web_search"}],
        tool_choice="required",
        parallel_tool_calls=False,
        reasoning_effort="high",
        response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": schema}},
        thinking={"type": "adaptive"},
        stream_options={"include_usage": True},
        n=1,
        logprobs=False,
        service_tier="default",
    )
    assert said == {
        "model": "m",
        "messages": [HI],
        "max_tokens": 9,
        "stop_sequences": ["END"],
        "temperature": 0.5,
        "top_k": 3,
        "metadata": {"user_id": "u-1"},
        "tools": [
            {"name": "f", "description": "d", "input_schema": {"type": "object"}, "strict": True},
            {"name": "g", "input_schema": {"type": "object", "properties": {}}},
            {"type": "web_search_20250305", "name": "web_search"},
        ],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
        "output_config": {"effort": "high", "format": {"type": "json_schema", "schema": schema}},
        "thinking": {"type": "adaptive"},
        "service_tier": "standard_only",
    }


@pytest.mark.parametrize(
    "chosen, choice",
    [
        ("auto", {"type": "auto"}),
        ("none", {"type": "none"}),
        ({"type": "function", "function": {"name": "f"}}, {"type": "tool", "name": "f"}),
        ({"type": "any", "disable_parallel_tool_use": True}, {"type": "any", "disable_parallel_tool_use": True}),
    ],
)
def test_which_tool_is_chosen(chosen: Any, choice: dict[str, Any]) -> None:
    assert body([HI], tool_choice=chosen)["tool_choice"] == choice


@pytest.mark.parametrize(
    "params",
    [
        {"seed": 1},
        {"n": 2},
        {"logprobs": True},
        {"logit_bias": {"5": 1}},
        {"presence_penalty": 0.5},
        {"functions": []},
        {"modalities": ["audio"]},
        {"response_format": {"type": "json_object"}},
        {"metadata": {"topic": "x"}},
    ],
    ids=lambda params: next(iter(params)),
)
def test_a_parameter_that_can_t_be_said_is_refused_by_name(params: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedParamsError) as caught:
        body([HI], **params)
    assert caught.value.param in params
    assert caught.value.fault == "caller"


@pytest.mark.parametrize(
    "message, where",
    [
        ({"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}, r"messages\[0\].content\[0\]"),
        ({"role": "user", "content": [{"type": "text"}]}, r"messages\[0\].content\[0\].text"),
        ({"role": "user", "content": [{"type": "image_url", "image_url": {}}]}, r"messages\[0\].content\[0\].image_url"),
        ({"role": "user", "content": [{"type": "file", "file": {"file_data": "data:image/gif;base64,A"}}]}, "image/gif"),
        ({"role": "user", "content": 5}, r"messages\[0\].content"),
        ({"role": "tool", "content": "x"}, r"messages\[0\].tool_call_id"),
        ({"role": "narrator", "content": "x"}, r"messages\[0\].role"),
        ({"role": "assistant", "content": None, "audio": {"id": "a"}}, r"messages\[0\].audio"),
    ],
)
def test_a_message_that_can_t_be_said_is_refused_by_its_place(message: dict[str, Any], where: str) -> None:
    with pytest.raises(BadRequestError, match=where) as caught:
        body([message])
    assert (caught.value.param, caught.value.fault) == ("messages", "caller")


@pytest.mark.parametrize("tool", ["f", {"type": "custom", "custom": {"name": "c"}}, {"type": "function"}], ids=str)
def test_a_tool_that_can_t_be_said(tool: Any) -> None:
    with pytest.raises(BadRequestError, match=r"tools\[0\]"):
        body([HI], tools=[tool])


def test_a_long_stream_of_many_blocks_is_read_in_linear_time() -> None:
    blocks = [{"type": "text", "text": f"{number} "} for number in range(2000)]
    answer = streamed(blocks)
    assert answer.choices[0].message.content == "".join(block["text"] for block in blocks)
    assert sent_back(answer) == blocks
    assert sent.message(blocks)["content"] is blocks


def test_blocks_that_are_open_at_the_same_time() -> None:
    def piece(index: int, text: str) -> bytes:
        return event("content_block_delta", index=index, delta={"type": "input_json_delta", "partial_json": text})

    stream = events([CALL, NO_ARGUMENTS])
    begun = [data for data in stream if b"content_block_start" in data]
    pieces = [piece(0, '{"a":'), piece(0, "1"), piece(1, '{"b":'), piece(0, "}"), piece(1, "2"), piece(1, "}")]
    answer = decode([*stream[:2], *begun, b"".join(pieces), *stream[-2:]])[1].assembler.response()
    calls = answer.choices[0].message.tool_calls
    assert [call.function.arguments for call in calls] == ['{"a":1}', '{"b":2}']
