"""How streams end, as their caller sees it: complete, truncated, in error; and what they put up with on the way."""

import gzip
from typing import Any

import httpx
import msgspec
import pytest

import tokenwire
from tokenwire import AsyncStream, GenericStreamingChunk, ModelResponseStream
from tokenwire.testing import Endpoint, Reply, chunk, chunks, completion

from .conftest import one_loop

pytestmark = pytest.mark.anyio

MESSAGES = [{"role": "user", "content": "Hi"}]
ENDING = chunk(finish_reason="stop")
USAGE = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}


def flat(endpoint: Endpoint, **keywords: Any) -> AsyncStream[GenericStreamingChunk]:
    keywords = {"api_base": endpoint.url, "num_retries": 0, **keywords}
    return tokenwire.astreaming("openai/m", MESSAGES, **keywords)


async def chat(endpoint: Endpoint, **keywords: Any) -> AsyncStream[ModelResponseStream]:
    keywords = {"api_base": endpoint.url, "num_retries": 0, **keywords}
    return await tokenwire.acompletion("openai/m", MESSAGES, stream=True, **keywords)


async def text_of(stream: AsyncStream[GenericStreamingChunk], into: list[str] | None = None) -> str:
    """The stream's text; what came before an error is in `into`."""
    pieces = [] if into is None else into
    async for piece in stream:
        pieces.append(piece.text)
    return "".join(pieces)


async def read(reply: Reply, **keywords: Any) -> tuple[str, AsyncStream[GenericStreamingChunk]]:
    """The text and the stream of a good reply."""
    with Endpoint(reply) as endpoint:
        async with flat(endpoint, **keywords) as stream:
            return await text_of(stream), stream


async def fail(reply: Reply, **keywords: Any) -> tuple[str, tokenwire.APIError, AsyncStream[GenericStreamingChunk]]:
    """The text before the error, the error, and the stream of a bad reply."""
    pieces: list[str] = []
    with Endpoint(reply) as endpoint:
        async with flat(endpoint, **keywords) as stream:
            with pytest.raises(tokenwire.APIError) as caught:
                await text_of(stream, pieces)
            return "".join(pieces), caught.value, stream


def event(value: Any) -> bytes:
    return b"data: " + msgspec.json.encode(value) + b"\n\n"


def stream_bytes(*values: Any) -> bytes:
    return b"".join(event(value) for value in values) + b"data: [DONE]\n\n"


# Complete.


@pytest.mark.parametrize("framing", ["chunked", "close", "length"])
@pytest.mark.parametrize("done", [True, False], ids=["with [DONE]", "without [DONE]"])
async def test_a_stream_with_a_finish_reason_is_complete(framing: Any, done: bool) -> None:
    text, stream = await read(Reply(events=chunks("Hello there"), done=done, framing=framing))
    assert (text, stream.outcome) == ("Hello there", "complete")
    assert stream.response is not None
    assert stream.response.choices[0].finish_reason == "stop"


async def test_done_alone_completes_a_stream_and_no_finish_reason_is_invented() -> None:
    with Endpoint(Reply(events=["Hel", "lo"])) as endpoint:
        async with await chat(endpoint) as stream:
            received = [part async for part in stream]
    assert stream.outcome == "complete"
    assert [part.choices[0].finish_reason for part in received] == [None, None]
    response: Any = stream.response
    assert (response.choices[0].message.content, response.choices[0].finish_reason) == ("Hello", None)


async def test_done_alone_is_an_empty_complete_stream() -> None:
    text, stream = await read(Reply(events=[]))
    assert (text, stream.outcome, stream.response) == ("", "complete", None)


async def test_what_stands_behind_done_is_not_looked_at() -> None:
    behind = b'data: [DONE]\n\ndata: {"error":{"message":"too late"}}\n\ndata: {bad\n\n'
    text, stream = await read(Reply(events=[chunk("Hello"), behind], done=False))
    assert (text, stream.outcome) == ("Hello", "complete")


@pytest.mark.parametrize("cut", ["fin", "rst"])
async def test_a_connection_cut_behind_the_last_finish_reason_has_cut_nothing_off(cut: Any) -> None:
    text, stream = await read(Reply(events=chunks("Hello"), done=False, cut=cut))
    assert (text, stream.outcome) == ("Hello", "complete")


async def test_a_finished_stream_stays_finished() -> None:
    with Endpoint(Reply(events=chunks("Hello"))) as endpoint:
        async with flat(endpoint) as stream:
            assert await text_of(stream) == "Hello"
            assert await text_of(stream) == ""
            assert stream.outcome == "complete"


async def test_timings_and_usage_are_known_at_the_end() -> None:
    _, stream = await read(Reply(events=[*chunks("Hello"), chunk(usage=USAGE) | {"choices": []}]))
    timings = stream.timings
    assert timings.opened is not None
    assert timings.first_content is not None
    assert timings.total is not None
    assert 0 < timings.opened <= timings.first_content <= timings.total
    assert stream.usage is not None
    assert stream.usage.total_tokens == 12


@pytest.mark.parametrize("shape", [flat, chat])
async def test_the_whole_has_what_later_chunks_say_beside_their_choices(shape: Any) -> None:
    *texts, finish = chunks("Hello there, you")
    late = [
        finish | {"service_tier": "default", "citations": ["a"]},
        chunk(usage=USAGE) | {"choices": [], "x_timings": {"ms": 7}},
    ]
    with Endpoint(Reply(events=[*texts, *late])) as endpoint:
        opened = shape(endpoint)
        async with opened if isinstance(opened, AsyncStream) else await opened as stream:
            async for _ in stream:
                pass
    response: Any = stream.response
    assert response.choices[0].message.content == "Hello there, you"
    assert (response.service_tier, response.citations, response.x_timings) == ("default", ["a"], {"ms": 7})


# Truncated.


@pytest.mark.parametrize("cut", ["fin", "rst"])
@pytest.mark.parametrize("pieces", [["Hel", "lo"], []], ids=["text", "nothing"])
async def test_done_alone_does_not_complete_a_body_that_is_cut(pieces: list[str], cut: Any) -> None:
    """So llama-cpp-python ends a stream that it drops for the next request."""
    if cut == "rst":  # it may overtake the bytes before it
        _, error, stream = await fail(Reply(events=pieces, cut=cut))
    else:
        text, error, stream = await fail(Reply(events=pieces, cut=cut))
        assert text == "".join(pieces)
        assert stream.response is None or stream.response == error.partial
    assert isinstance(error, tokenwire.StreamTruncatedError)
    assert stream.outcome == "truncated"


@pytest.mark.parametrize("framing", ["chunked", "length"])
async def test_done_at_the_very_end_of_a_cut_body_is_judged_alike(framing: Any) -> None:
    last = event(chunk("Hello")) + b"data: [DONE]"  # no line end behind it
    text, error, stream = await fail(Reply(events=[last], done=False, framing=framing, cut="fin"))
    assert (text, stream.outcome, type(error)) == ("Hello", "truncated", tokenwire.StreamTruncatedError)
    text, stream = await read(Reply(events=[last], done=False, framing=framing))
    assert (text, stream.outcome) == ("Hello", "complete")


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_done_alone_and_a_compressed_body(encoding: Any) -> None:
    text, stream = await read(Reply(events=["Hel", "lo"], encoding=encoding))
    assert (text, stream.outcome) == ("Hello", "complete")
    text, error, stream = await fail(Reply(events=["Hel", "lo"], encoding=encoding, cut="fin"))
    assert (text, stream.outcome, type(error)) == ("Hello", "truncated", tokenwire.StreamTruncatedError)


async def test_done_alone_and_a_client_of_httpx() -> None:
    async with httpx.AsyncClient() as client:
        text, stream = await read(Reply(events=["Hel", "lo"]), client=client)
        assert (text, stream.outcome) == ("Hello", "complete")
        text, error, stream = await fail(Reply(events=["Hel", "lo"], cut="fin"), client=client)
        assert (text, stream.outcome, type(error)) == ("Hello", "truncated", tokenwire.StreamTruncatedError)


async def test_after_done_alone_the_connection_is_used_again() -> None:
    with Endpoint([Reply(events=["Hel", "lo"])] * 2) as endpoint:
        async with tokenwire.AsyncClient() as client:
            for _ in range(2):
                async with client.astreaming("openai/m", MESSAGES, api_base=endpoint.url) as stream:
                    assert await text_of(stream) == "Hello"
        assert [request.connection for request in endpoint.requests] == [1, 1]


async def test_a_stream_cut_before_its_first_content_is_tried_again() -> None:
    with Endpoint(
        [Reply(events=[chunk(role="assistant")], cut="fin", headers={"retry-after-ms": "1"}), Reply(text="Hello")]
    ) as endpoint:
        async with flat(endpoint, num_retries=1) as stream:
            assert await text_of(stream) == "Hello"
    assert [attempt.error for attempt in stream.attempts] == ["StreamTruncatedError", None]


@pytest.mark.parametrize("cut", [None, "fin"])
async def test_done_does_not_stand_for_a_finish_reason_that_others_have(cut: Any) -> None:
    begun = [chunk("a", index=0), chunk("b", index=1), chunk(finish_reason="stop", index=0)]
    text, error, stream = await fail(Reply(events=begun, cut=cut))
    assert (text, stream.outcome, type(error)) == ("ab", "truncated", tokenwire.StreamTruncatedError)
    assert [choice.finish_reason for choice in error.partial.choices] == ["stop", None]


async def test_a_choice_that_begins_after_another_has_ended_has_to_finish_too() -> None:
    begun = [chunk("a", index=0), chunk(finish_reason="stop", index=0), chunk("b", index=1)]
    text, _, stream = await fail(Reply(events=begun))
    assert (text, stream.outcome) == ("ab", "truncated")


@pytest.mark.parametrize("framing", ["chunked", "close", "length"])
@pytest.mark.parametrize("cut", [None, "fin", "rst"])
async def test_a_body_that_ends_too_early_is_truncated(framing: Any, cut: Any) -> None:
    if cut == "rst":  # a reset may overtake the bytes before it, which the kernel then drops
        text, error, stream = await fail(Reply(events=[], done=False, framing=framing, cut=cut))
        assert text == ""
    else:
        text, error, stream = await fail(Reply(events=["Hel", "lo"], done=False, framing=framing, cut=cut))
        assert (text, error.partial.choices[0].message.content) == ("Hello", "Hello")
        assert error.partial.choices[0].finish_reason is None
        assert stream.response == error.partial
    if cut is None and text == "":
        pytest.fail("there was nothing to be cut off")
    assert isinstance(error, tokenwire.StreamTruncatedError)
    assert isinstance(error, tokenwire.APIConnectionError)
    assert stream.outcome == "truncated"
    assert (error.llm_provider, error.model) == ("openai", "m")


@pytest.mark.parametrize("framing", ["chunked", "close"])
@pytest.mark.parametrize("kept", [1, 3, 5, 20, -3])
async def test_a_body_that_ends_inside_an_event_is_truncated_and_not_malformed(kept: int, framing: Any) -> None:
    part = event(chunk(" there"))[:kept]
    text, error, stream = await fail(Reply(events=[chunk("Hello"), part], done=False, framing=framing, cut="fin"))
    assert text == "Hello"
    assert isinstance(error, tokenwire.StreamTruncatedError)
    assert stream.outcome == "truncated"


async def test_the_end_of_a_finished_stream_may_be_torn() -> None:
    text, stream = await read(Reply(events=[*chunks("Hello"), b"data: [DO"], done=False, framing="close"))
    assert (text, stream.outcome) == ("Hello", "complete")


async def test_comments_alone_are_no_answer() -> None:
    _, error, stream = await fail(Reply(events=[b": ping\n\n"] * 3, done=False))
    assert isinstance(error, tokenwire.StreamTruncatedError)
    assert (stream.outcome, error.partial) == ("truncated", None)


async def test_a_truncated_stream_says_which_request_it_was() -> None:
    _, error, _ = await fail(Reply(events=["Hello"], done=False, headers={"x-request-id": "req-1"}))
    assert error.request_id == "req-1"
    assert error.headers["x-request-id"] == "req-1"


async def test_every_choice_seen_has_to_finish() -> None:
    begun = [chunk("a", index=0), chunk("b", index=1), chunk(finish_reason="stop", index=0)]
    text, error, stream = await fail(Reply(events=begun, done=False))
    assert (text, stream.outcome) == ("ab", "truncated")
    assert [choice.finish_reason for choice in error.partial.choices] == ["stop", None]


async def test_choices_are_kept_apart_and_finish_each_by_itself() -> None:
    events = [
        chunk("a", index=1),
        chunk("x", index=0),
        chunk(finish_reason="length", index=1),
        chunk("y", index=0),
        chunk(finish_reason="stop", index=0),
    ]
    with Endpoint(Reply(events=events, done=False)) as endpoint:
        async with flat(endpoint) as stream:
            received = [(piece.index, piece.text, piece.finish_reason) async for piece in stream]
    assert received == [(1, "a", ""), (0, "x", ""), (1, "", "length"), (0, "y", ""), (0, "", "stop")]
    response: Any = stream.response
    assert [(choice.message.content, choice.finish_reason) for choice in response.choices] == [("xy", "stop"), ("a", "length")]


# An error object inside the stream.

ERRORS = [
    ({"message": "slow", "code": "rate_limit_exceeded", "type": "requests", "param": "p"}, tokenwire.RateLimitError, 429),
    ({"message": "slow", "code": 429}, tokenwire.RateLimitError, 429),
    ({"message": "no", "type": "authentication_error"}, tokenwire.AuthenticationError, 401),
    ({"message": "busy", "type": "overloaded_error"}, tokenwire.InternalServerError, 529),
    ({"message": "gone", "code": "503"}, tokenwire.ServiceUnavailableError, 503),
    ({"message": "long", "code": "context_length_exceeded"}, tokenwire.ContextWindowExceededError, 400),
    ({"message": "broken"}, tokenwire.InternalServerError, 500),
    ("broken", tokenwire.InternalServerError, 500),
]


@one_loop
@pytest.mark.parametrize(
    "before", [[], [chunk("", role="assistant")], [chunk("Hel"), chunk("lo")]], ids=["first", "role", "text"]
)
@pytest.mark.parametrize("error_object, cls, status", ERRORS)
async def test_an_error_object_raises_what_it_stands_for(error_object: Any, cls: Any, status: int, before: list[Any]) -> None:
    headers = {"x-request-id": "req-1"}
    text, error, stream = await fail(Reply(events=[*before, {"error": error_object}, chunk("never")], headers=headers))
    assert type(error) is cls
    assert error.status_code == status
    assert stream.outcome == "error"
    assert text == ("Hello" if len(before) == 2 else "")
    assert error.request_id == "req-1"
    assert error.body == {"error": error_object}
    if isinstance(error_object, dict):
        assert error.message == error_object["message"]
        assert (error.code, error.type, error.param) == tuple(
            None if error_object.get(name) is None else str(error_object[name]) for name in ("code", "type", "param")
        )
    else:
        assert error.message == error_object
    assert (error.partial.choices[0].message.content if text else None) == (text or None)


async def test_text_that_arrives_with_an_error_is_handed_over_before_it() -> None:
    one_read = event(chunk("Hel")) + event(chunk("lo")) + event({"error": {"message": "boo"}}) + event(chunk("never"))
    text, error, _ = await fail(Reply(events=[one_read], done=False))
    assert (text, error.message) == ("Hello", "boo")


@one_loop
@pytest.mark.parametrize(
    "data, message",
    [
        (b'event: error\ndata: {"message":"boo","code":429}\n\n', "boo"),
        (b'event: error\ndata: {"error":{"message":"boo","code":429}}\n\n', "boo"),
        (b'event: error\ndata: {"type":"error","error":{"type":"rate_limit_error","message":"boo"}}\n\n', "boo"),
        (b'data: {"object":"error","message":"boo","code":429}\n\n', "boo"),
        (b'data: {"error":{"message":"boo","code":429},"choices":[]}\n\n', "boo"),
        (b'data: {"error":{"message":"boo","code":429},"choices":null}\n\n', "boo"),
    ],
)
@pytest.mark.parametrize("before", [[], ["Hello"]], ids=["first", "later"])
async def test_the_other_shapes_of_an_error(before: list[Any], data: bytes, message: str) -> None:
    _, error, stream = await fail(Reply(events=[*before, data]))
    assert (type(error), error.message, stream.outcome) == (tokenwire.RateLimitError, message, "error")


async def test_an_error_event_may_be_bare_text() -> None:
    _, error, _ = await fail(Reply(events=[b"event: error\ndata: out of memory\n\n"]))
    assert (type(error), error.message) == (tokenwire.InternalServerError, "out of memory")


async def test_an_error_that_is_null_is_none() -> None:
    text, stream = await read(Reply(events=[{**part, "error": None} for part in chunks("Hello")]))
    assert (text, stream.outcome) == ("Hello", "complete")


async def test_after_an_error_a_stream_has_ended() -> None:
    with Endpoint(Reply(events=["Hello", {"error": "boo"}])) as endpoint:
        async with flat(endpoint) as stream:
            with pytest.raises(tokenwire.APIError):
                await text_of(stream)
            assert await text_of(stream) == ""
            assert stream.outcome == "error"


# What is no chunk at all.

MALFORMED = [
    b"{bad",
    b'{"choices":[{"delta":{"content":"a"}}]',
    b"Internal Server Error",
    b"[]",
    b'"text"',
    b"3",
    b"true",
    b'{"choices":[1]}',
    b'{"choices":{}}',
    b'{"choices":[{"index":"a"},7]}',
    b'{"choices":[{"delta":{"content":"\xff"}}]}',
    b'{"choices":[{"delta":{"content":"\xed\xa0\x80"}}]}',
    b'{"answer":42}',
    b"[DONE] ]",
]


@one_loop
@pytest.mark.parametrize("data", MALFORMED)
@pytest.mark.parametrize("before", [[], [chunk("Hel"), chunk("lo")]], ids=["first", "later"])
async def test_a_malformed_event_raises_with_the_bytes(before: list[Any], data: bytes) -> None:
    text, error, stream = await fail(Reply(events=[*before, b"data: " + data + b"\n\n", chunk("never")]))
    assert isinstance(error, tokenwire.APIResponseValidationError)
    assert (error.body, stream.outcome) == (data, "error")
    assert text == ("Hello" if before else "")
    assert (error.llm_provider, error.model) == ("openai", "m")


@one_loop
@pytest.mark.parametrize(
    "data, said",
    [(b'{"choices":[{"delta":{"content":7}}]}', "7"), (b'{"choices":[{"index":"a","delta":{"content":"!"}}]}', "!")],
)
async def test_an_odd_event_is_part_of_the_stream(data: bytes, said: str) -> None:
    with Endpoint(Reply(events=[chunk("Hel"), b"data: " + data + b"\n\n", chunk("lo", finish_reason="stop")])) as endpoint:
        async with await tokenwire.acompletion("openai/m", MESSAGES, stream=True, api_base=endpoint.url) as stream:
            received = [part async for part in stream]
    assert "".join(part.choices[0].delta.content or "" for part in received) == f"Hel{said}lo"
    assert (received[1].raw, stream.outcome) == (data, "complete")


async def test_only_the_first_bytes_of_a_malformed_event_are_kept() -> None:
    data = b"x" * 100_000
    _, error, _ = await fail(Reply(events=[b"data: " + data + b"\n\n"]))
    assert data.startswith(error.body)
    assert len(error.body) < 1000
    assert len(str(error)) < 2000


async def test_an_event_has_a_longest_size() -> None:
    limits = tokenwire.Limits(max_event_bytes=1000)
    text, error, stream = await fail(Reply(events=["Hello", "x" * 2000]), limits=limits)
    assert isinstance(error, tokenwire.LimitExceededError)
    assert (text, error.limit, stream.outcome) == ("Hello", "max_event_bytes", "error")


# Status 200, and no stream.


@pytest.mark.parametrize("drip", [None, 1], ids=["at once", "byte by byte"])
@pytest.mark.parametrize("space", [b"", b"\n\n  ", b"\xef\xbb\xbf"], ids=["bare", "space", "BOM"])
async def test_a_json_error_instead_of_a_stream(space: bytes, drip: int | None) -> None:
    body = space + b'{"error":{"message":"slow","code":"rate_limit_exceeded"}}'
    headers = {"content-type": "application/json", "x-request-id": "req-1"}
    _, error, stream = await fail(Reply(body=body, headers=headers, drip=drip))
    assert (type(error), error.message, error.request_id) == (tokenwire.RateLimitError, "slow", "req-1")
    assert stream.outcome == "error"


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "text/event-stream", ""])
async def test_a_json_error_is_one_whatever_its_content_type(content_type: str) -> None:
    body = b' {"error":{"message":"slow","code":"rate_limit_exceeded"}}'
    _, error, _ = await fail(Reply(body=body, headers={"content-type": content_type}))
    assert isinstance(error, tokenwire.RateLimitError)


@pytest.mark.parametrize("drip", [None, 1], ids=["at once", "byte by byte"])
async def test_a_whole_completion_is_handed_out_as_a_stream(drip: int | None) -> None:
    reply = Reply(json=completion("Hello there", finish_reason="length", citations=["x"]), drip=drip)
    with Endpoint(reply) as endpoint:
        async with await chat(endpoint) as stream:
            received = [part async for part in stream]
    assert "".join(part.choices[0].delta.content or "" for part in received) == "Hello there"
    assert received[0].choices[0].delta.role == "assistant"
    assert received[-1].choices[0].finish_reason == "length"
    assert stream.outcome == "complete"
    assert stream.usage is not None
    assert stream.usage.total_tokens == 12
    assert all(part.id == "chatcmpl-test" for part in received)


async def test_a_whole_completion_s_tool_calls_are_handed_out_too() -> None:
    call = {"id": "call-1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    with Endpoint(Reply(json=completion(None, finish_reason="tool_calls", tool_calls=[call]))) as endpoint:
        async with flat(endpoint) as stream:
            used = [piece.tool_use async for piece in stream if piece.tool_use is not None]
    assert [(use.id, use.function.name) for use in used if use.function] == [("call-1", "f")]
    response: Any = stream.response
    assert response.choices[0].message.tool_calls[0].function.arguments == "{}"
    assert response.choices[0].finish_reason == "tool_calls"


async def test_a_whole_text_completion_is_handed_out_as_a_stream() -> None:
    body = {"id": "cmpl-1", "object": "text_completion", "choices": [{"index": 0, "text": "Hello", "finish_reason": "stop"}]}
    with Endpoint(Reply(json=body)) as endpoint:
        async with await tokenwire.atext_completion("openai/m", "Hi", stream=True, api_base=endpoint.url) as stream:
            received = [part async for part in stream]
    assert "".join(part.choices[0].text or "" for part in received) == "Hello"
    assert (stream.outcome, received[-1].choices[0].finish_reason) == ("complete", "stop")
    assert isinstance(stream.response, tokenwire.TextCompletionResponse)


@one_loop
@pytest.mark.parametrize("drip", [None, 1], ids=["at once", "byte by byte"])
@pytest.mark.parametrize("body", [b"<html><title>Sign in</title></html>", b"\n<!DOCTYPE html><html></html>"])
@pytest.mark.parametrize("content_type", ["text/html", "text/event-stream", ""])
async def test_html_is_no_stream(content_type: str, body: bytes, drip: int | None) -> None:
    _, error, stream = await fail(Reply(body=body, headers={"content-type": content_type}, drip=drip))
    assert isinstance(error, tokenwire.APIResponseValidationError)
    assert "a web page" in error.message
    assert error.body == body.strip()
    assert stream.outcome == "error"


@pytest.mark.parametrize(
    "reply",
    [
        Reply(body=b"", headers={"content-type": "text/event-stream", "x-request-id": "req-1"}),
        Reply(body=b"", headers={"x-request-id": "req-1"}),
        Reply(body=b" \n\n", headers={"content-type": "application/json", "x-request-id": "req-1"}),
        Reply(status=204, headers={"x-request-id": "req-1"}),
    ],
    ids=["no events", "no bytes", "space", "204"],
)
async def test_nothing_is_no_stream(reply: Reply) -> None:
    _, error, stream = await fail(reply)
    assert isinstance(error, tokenwire.APIResponseValidationError)
    assert (stream.outcome, error.request_id) == ("error", "req-1")


@one_loop
@pytest.mark.parametrize("value", [{}, [], {"id": "x"}, {"object": "list", "data": []}, {"detail": "no"}])
async def test_json_that_is_no_completion_is_no_stream(value: Any) -> None:
    _, error, _ = await fail(Reply(json=value))
    assert isinstance(error, tokenwire.APIError)


async def test_the_type_of_a_stream_s_content_is_not_insisted_on() -> None:
    reply = Reply(body=stream_bytes(*chunks("Hello")), headers={"content-type": "text/plain"})
    text, stream = await read(reply)
    assert (text, stream.outcome) == ("Hello", "complete")


# What streams look like, other than plain: each the same stream, delivered in four ways.

A, B, END = (msgspec.json.encode(part) for part in (chunk("Hel"), chunk("lo"), ENDING))
PLAIN = b"data: " + A + b"\n\ndata: " + B + b"\n\ndata: " + END + b"\n\ndata: [DONE]\n\n"
SPREAD = msgspec.json.format(A, indent=1)
TOLERATED = {
    "plain": PLAIN,
    "comments": b": hi\n\n" + PLAIN.replace(b"\n\n", b"\n\n: OPENROUTER PROCESSING\n\n"),
    "comments inside events": b":\n" + PLAIN.replace(b"data:", b": x\ndata:"),
    "retry": b"retry: 3000\n\n" + PLAIN,
    "retry inside events": PLAIN.replace(b"data:", b"retry: 10\ndata:"),
    "id": PLAIN.replace(b"data:", b"id: 7\ndata:"),
    "id behind": PLAIN.replace(b"\n\n", b"\nid:\n\n"),
    "event: message": PLAIN.replace(b"data:", b"event: message\ndata:"),
    "event names that mean nothing": PLAIN.replace(b"data:", b"event: completion.chunk\ndata:"),
    "unknown fields": PLAIN.replace(b"data:", b"foo: bar\nx\ndata:"),
    "no space": PLAIN.replace(b"data: ", b"data:"),
    "more space": PLAIN.replace(b"data: ", b"data:   "),
    "space behind": PLAIN.replace(b"\n\n", b" \n\n"),
    "empty data": b"data:\n\n" + PLAIN.replace(b"\n\n", b"\n\ndata: \n\n"),
    "data: null": b"data: null\n\n" + PLAIN.replace(b"\n\n", b"\n\ndata: null\n\n"),
    "byte order mark": b"\xef\xbb\xbf" + PLAIN,
    "CR": PLAIN.replace(b"\n", b"\r"),
    "CRLF": PLAIN.replace(b"\n", b"\r\n"),
    "mixed line ends": PLAIN.replace(b"\n\n", b"\r\n\n", 1).replace(b"\n\n", b"\r\r", 1),
    "empty lines in front": b"\n\n\r\n" + PLAIN,
    "more empty lines": PLAIN.replace(b"\n\n", b"\n\n\n\n"),
    "data in several lines": b"data: " + SPREAD.replace(b"\n", b"\ndata: ") + b"\n\n" + PLAIN[len(A) + 8 :],
    "no final empty line": PLAIN[:-1],
    "no final line end": PLAIN[:-2],
    "no [DONE]": PLAIN[:-14],
    "no [DONE], no final empty line": PLAIN[:-15],
    "no [DONE], no final line end": PLAIN[:-16],
    "bytes behind [DONE]": PLAIN + b"data: {bad\n\n\xff\xff\n\n",
    "text behind [DONE]": PLAIN + b"bye",
    "pings": b'event: ping\ndata: {"type": "ping"}\n\n' + PLAIN.replace(b"\n\n", b'\n\ndata: {"type":"ping"}\n\n'),
    "bare pings": b"event: ping\ndata: 2026-01-01 00:00:00\n\nevent: ping\ndata: {}\n\nevent: ping\n\n" + PLAIN,
    "error: null": PLAIN.replace(b'{"id"', b'{"error":null,"id"'),
    "usage: null": PLAIN.replace(b'{"id"', b'{"usage":null,"id"'),
    "role on every chunk": PLAIN.replace(b'"delta":{', b'"delta":{"role":"assistant",').replace(b",}", b"}"),
}
DELIVERIES = {
    "at once": lambda data: Reply(body=data, headers={"content-type": "text/event-stream"}),
    "line by line": lambda data: Reply(events=data.splitlines(keepends=True), done=False),
    "byte by byte": lambda data: Reply(body=data, headers={"content-type": "text/event-stream"}, drip=1),
    "closing": lambda data: Reply(body=data, headers={"content-type": "text/event-stream"}, framing="close"),
}


@one_loop
@pytest.mark.parametrize("deliver", DELIVERIES.values(), ids=DELIVERIES)
@pytest.mark.parametrize("data", TOLERATED.values(), ids=TOLERATED)
async def test_what_is_put_up_with(data: bytes, deliver: Any) -> None:
    with Endpoint(deliver(data)) as endpoint:
        async with await chat(endpoint) as stream:
            received = [part async for part in stream]
    assert [(part.choices[0].delta.content, part.choices[0].finish_reason) for part in received] == [
        ("Hel", None),
        ("lo", None),
        (None, "stop"),
    ]
    assert stream.outcome == "complete"
    assert all(part.id == "chatcmpl-test" for part in received)


async def test_a_compressed_stream() -> None:
    headers = {"content-type": "text/event-stream", "content-encoding": "gzip"}
    text, stream = await read(Reply(body=gzip.compress(PLAIN), headers=headers, drip=7))
    assert (text, stream.outcome) == ("Hello", "complete")


async def test_unicode_line_ends_inside_text_are_text() -> None:
    said = "a\u2028b\u2029c\u0085d\x0be"
    # Servers may escape these or not; they must come out alike.
    data = b"data: " + msgspec.json.encode(chunk(said)).replace(rb"\u000b", rb"\u000B") + b"\n\n" + event(ENDING)
    text, _ = await read(Reply(body=data, headers={"content-type": "text/event-stream"}, drip=1))
    assert text == said


async def test_characters_split_over_reads_and_surrogate_escapes() -> None:
    data = event(chunk("naïve 😀")) + rb'data: {"choices":[{"delta":{"content":"\ud83d\ude00"}}]}' + b"\n\n" + event(ENDING)
    text, _ = await read(Reply(body=data, headers={"content-type": "text/event-stream"}, drip=1))
    assert text == "naïve 😀😀"


async def test_a_thousand_events_in_one_read() -> None:
    data = stream_bytes(*(chunk(f"{number} ") for number in range(1000)), ENDING)
    text, stream = await read(Reply(body=data, headers={"content-type": "text/event-stream"}))
    assert text == "".join(f"{number} " for number in range(1000))
    response: Any = stream.response
    assert response.choices[0].message.content == text


# What servers put into chunks.


async def chunks_of(*events: Any) -> tuple[list[ModelResponseStream], Any]:
    with Endpoint(Reply(events=events)) as endpoint:
        async with await chat(endpoint) as stream:
            received = [part async for part in stream]
    assert stream.outcome == "complete"
    return received, stream


@pytest.mark.parametrize("choices", [[], None], ids=["no choices", "choices: null"])
async def test_usage_comes_in_a_chunk_of_its_own(choices: Any) -> None:
    last = {**chunk(usage=USAGE), "choices": choices}
    received, stream = await chunks_of(*chunks("Hello"), last)
    assert received[-1].choices == []
    assert received[-1].usage is not None
    assert received[-1].usage.prompt_tokens == 5
    assert received[-1].raw == msgspec.json.encode(last)
    assert stream.usage == received[-1].usage
    assert stream.response.usage.total_tokens == 12


async def test_usage_on_the_last_chunk_with_a_choice() -> None:
    received, stream = await chunks_of("Hello", chunk(finish_reason="stop", usage=USAGE))
    assert (received[-1].choices[0].finish_reason, stream.usage.completion_tokens) == ("stop", 7)


async def test_usage_on_every_chunk_the_last_one_counts() -> None:
    events = [
        chunk("Hel", usage={**USAGE, "completion_tokens": 1}),
        chunk("lo", usage={**USAGE, "completion_tokens": 2}),
        ENDING,
    ]
    received, stream = await chunks_of(*events)
    assert [part.choices[0].delta.content for part in received] == ["Hel", "lo", None]
    assert stream.usage.completion_tokens == 2
    assert stream.response.choices[0].message.content == "Hello"


async def test_azure_s_first_chunk() -> None:
    first = {
        "choices": [], "created": 0, "id": "", "model": "", "object": "",
        "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {"hate": {"filtered": False}}}],
    }  # fmt: skip
    received, stream = await chunks_of(first, *chunks("Hello"))
    assert received[0].choices == []
    assert received[0]["prompt_filter_results"][0]["prompt_index"] == 0
    assert received[0].provider_specific_fields == {"prompt_filter_results": first["prompt_filter_results"]}
    response = stream.response
    assert (response.id, response.model, response.created) == ("chatcmpl-test", "test-model", 1700000000)
    assert response.choices[0].message.content == "Hello"


async def test_azure_s_first_chunk_is_no_content() -> None:
    first = {"choices": [], "created": 0, "id": "", "model": "", "object": "", "prompt_filter_results": []}
    with Endpoint(Reply(events=[first, *chunks("Hello")])) as endpoint:
        async with flat(endpoint) as stream:
            received = [piece async for piece in stream]
    assert "".join(piece.text for piece in received) == "Hello"
    assert [piece.is_finished for piece in received].count(True) == 1


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
async def test_reasoning_under_either_name(name: str) -> None:
    said: dict[str, Any] = {name: "Hm, "}
    said_more: dict[str, Any] = {name: "well."}
    events: list[Any] = [chunk(None, **said), chunk("", **said_more), chunk("Hello"), ENDING]
    received, stream = await chunks_of(*events)
    assert [part.choices[0].delta.reasoning_content for part in received] == ["Hm, ", "well.", None, None]
    message = stream.response.choices[0].message
    assert (message.reasoning_content, message.content) == ("Hm, well.", "Hello")
    with Endpoint(Reply(events=events)) as endpoint:
        async with flat(endpoint) as pieces:
            flattened = [(piece.reasoning_content, piece.text) async for piece in pieces]
    assert flattened == [("Hm, ", ""), ("well.", ""), (None, "Hello"), (None, "")]


async def test_unknown_fields_stay_reachable_wherever_they_stand() -> None:
    odd = chunk("Hel", x_delta=1)
    odd["x_chunk"] = {"a": [1]}
    odd["choices"][0]["x_choice"] = "c"
    for events in ([odd, chunk("lo"), ENDING], [chunk("Hel"), odd, ENDING]):  # the long way round, then the hot path
        received, _ = await chunks_of(*events)
        part = received[events.index(odd)]
        assert (part["x_chunk"], part.choices[0]["x_choice"], part.choices[0].delta["x_delta"]) == ({"a": [1]}, "c", 1)
        assert part.provider_specific_fields == {"x_chunk": {"a": [1]}}
        assert part.choices[0].provider_specific_fields == {"x_choice": "c"}
        assert part.choices[0].delta.provider_specific_fields == {"x_delta": 1}
        assert part.raw == msgspec.json.encode(odd)


async def test_flat_chunks_keep_the_bytes_and_the_delta_s_unknown_fields() -> None:
    odd = chunk("Hel", x_delta=1)
    for events in ([odd, chunk("lo"), ENDING], [chunk("Hel"), odd, ENDING]):
        with Endpoint(Reply(events=events)) as endpoint:
            async with flat(endpoint) as stream:
                received = [piece async for piece in stream]
        piece = received[events.index(odd)]
        assert piece.raw == msgspec.json.encode(odd)
        assert piece.provider_specific_fields == {"x_delta": 1}
        assert received[-1].provider_specific_fields is None


async def test_flat_chunks_without_a_choice_keep_the_bytes() -> None:
    last = chunk(usage=USAGE) | {"choices": []}
    with Endpoint(Reply(events=[*chunks("Hello"), last])) as endpoint:
        async with flat(endpoint) as stream:
            received = [piece async for piece in stream]
    assert received[-1].usage is not None
    assert received[-1].raw == msgspec.json.encode(last)
    assert received[-1].provider_specific_fields is None


def call_delta(index: int, arguments: str = "", **fields: Any) -> dict[str, Any]:
    name = fields.pop("name", None)
    function = {"arguments": arguments} if name is None else {"name": name, "arguments": arguments}
    return {"index": index, **fields, "function": function}


async def test_tool_calls_in_pieces() -> None:
    events = [
        chunk(None, role="assistant", tool_calls=[call_delta(0, id="call-a", type="function", name="weather")]),
        chunk(None, tool_calls=[call_delta(0, '{"city":')]),
        chunk(None, tool_calls=[call_delta(0, '"Rome"}'), call_delta(1, id="call-b", type="function", name="time")]),
        chunk(None, tool_calls=[call_delta(1, "{}")]),
        chunk(finish_reason="tool_calls"),
    ]
    received, stream = await chunks_of(*events)
    assert received[0].choices[0].delta.tool_calls[0].function.name == "weather"  # type: ignore[index,union-attr]
    assert [len(part.choices[0].delta.tool_calls or ()) for part in received] == [1, 1, 2, 1, 0]
    message = stream.response.choices[0].message
    assert [(call.id, call.type, call.function.name, call.function.arguments) for call in message.tool_calls] == [
        ("call-a", "function", "weather", '{"city":"Rome"}'),
        ("call-b", "function", "time", "{}"),
    ]
    assert (message.content, stream.response.choices[0].finish_reason) == (None, "tool_calls")

    with Endpoint(Reply(events=events)) as endpoint:
        async with flat(endpoint) as pieces:
            used = [piece async for piece in pieces]
    uses = [piece.tool_use for piece in used if piece.tool_use is not None]
    assert [use.index for use in uses] == [0, 0, 0, 1, 1]  # a flat chunk holds one piece of one call
    assert (used[-1].is_finished, used[-1].finish_reason) == (True, "tool_calls")


async def test_logprobs() -> None:
    def logprobs(token: str) -> dict[str, Any]:
        return {"content": [{"token": token, "logprob": -0.5, "bytes": None, "top_logprobs": []}], "refusal": None}

    events = [chunk("Hel"), chunk("lo"), ENDING]
    events[0]["choices"][0]["logprobs"] = logprobs("Hel")
    events[1]["choices"][0]["logprobs"] = logprobs("lo")
    received, stream = await chunks_of(*events)
    assert [part.choices[0].logprobs for part in received] == [logprobs("Hel"), logprobs("lo"), None]
    assert [entry["token"] for entry in stream.response.choices[0].logprobs["content"]] == ["Hel", "lo"]
    with Endpoint(Reply(events=events)) as endpoint:
        async with flat(endpoint) as pieces:
            assert [piece.logprobs async for piece in pieces] == [logprobs("Hel"), logprobs("lo"), None]


async def test_a_refusal_and_a_legacy_function_call() -> None:
    _, stream = await chunks_of(chunk(None, refusal="I "), chunk(None, refusal="won't"), ENDING)
    assert stream.response.choices[0].message.refusal == "I won't"
    _, stream = await chunks_of(
        chunk(None, function_call={"name": "f", "arguments": ""}),
        chunk(None, function_call={"arguments": "{}"}),
        chunk(finish_reason="function_call"),
    )
    function = stream.response.choices[0].message.function_call
    assert (function.name, function.arguments) == ("f", "{}")


async def test_minimal_chunks() -> None:
    received, stream = await chunks_of(
        {"choices": [{"delta": {"content": "Hel"}}]},
        {"choices": [{"delta": {"content": "lo"}, "index": None, "logprobs": None, "finish_reason": None}], "usage": None},
        {"choices": [{"delta": {}, "finish_reason": "stop"}]},
    )
    assert [part.choices[0].index for part in received] == [0, None, 0]
    assert stream.response.choices[0].message.content == "Hello"


async def test_an_id_and_a_time_in_other_types_are_kept() -> None:
    received, _ = await chunks_of({**chunk("Hello"), "id": 7, "created": 1700000000.5}, ENDING)
    assert (received[0].id, received[0].created) == (7, 1700000000.5)


@pytest.mark.parametrize("stream", [True, False])
async def test_text_completions_end_by_the_same_rules(stream: bool) -> None:
    def piece(text: str, index: int, finish_reason: str | None = None) -> dict[str, Any]:
        choice = {"text": text, "index": index, "finish_reason": finish_reason, "logprobs": None}
        return {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m", "choices": [choice]}

    events = [piece("a", 0), piece("b", 1), piece("", 0, "stop")]
    if stream:
        events.append(piece("", 1, "length"))
    with Endpoint(Reply(events=events, done=False)) as endpoint:
        pieces = await tokenwire.atext_completion("openai/m", ["x", "y"], stream=True, api_base=endpoint.url, num_retries=0)
        async with pieces:
            if stream:
                assert [part.choices[0].text async for part in pieces] == ["a", "b", "", ""]
            else:
                with pytest.raises(tokenwire.StreamTruncatedError) as caught:
                    _ = [part async for part in pieces]
                assert isinstance(caught.value.partial, tokenwire.TextCompletionResponse)
    assert pieces.outcome == ("complete" if stream else "truncated")
    response: Any = pieces.response
    assert [choice.text for choice in response.choices] == ["a", "b"]
    assert [choice.finish_reason for choice in response.choices] == ["stop", "length" if stream else None]


# Taking a truncated stream for what it is.


@pytest.mark.parametrize("cut", ["fin", "rst"])
async def test_truncation_can_end_a_stream_without_an_error(cut: Any) -> None:
    with Endpoint(Reply(events=["Hel", "lo"], done=False, cut=cut)) as endpoint:
        stream: Any = await chat(endpoint, on_truncation="return")
        received = [part.choices[0].delta.content async for part in stream]
        assert received == ["Hel", "lo"]
        assert stream.outcome == "truncated"
        assert stream.response.choices[0].message.content == "Hello"
        assert stream.response.choices[0].finish_reason is None
        assert stream.attempts[-1].error == "StreamTruncatedError"
        assert [part async for part in stream] == []
        pieces = tokenwire.streaming("openai/m", [], api_base=endpoint.url, on_truncation="return")
        assert [piece.text for piece in pieces] == received
        assert pieces.outcome == "truncated"


async def test_on_truncation_is_one_of_two() -> None:
    with pytest.raises(tokenwire.BadRequestError, match=r'on_truncation must be "raise" or "return", not \'ignore\''):
        tokenwire.astreaming("openai/m", on_truncation="ignore")  # type: ignore[arg-type]


async def test_chunks_that_came_together_can_be_taken_together() -> None:
    with Endpoint(Reply(body=b"".join(map(event, chunks("Hello"))))) as endpoint:
        async with await chat(endpoint) as stream:
            first = await anext(stream)
            rest = stream.take_ready()
            assert "".join(part.choices[0].delta.content or "" for part in [first, *rest]) == "Hello"
            assert stream.take_ready() == []
            assert [part async for part in stream] == []
            assert stream.outcome == "complete"
