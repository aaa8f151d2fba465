"""A call's span: one, ended once, whichever way the call ends."""

import gc
import json
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from opentelemetry import context, trace
from opentelemetry.trace import SpanKind, StatusCode

import tokenwire
from tokenwire import AsyncClient, Gate, Hedge, OTel
from tokenwire.testing import Endpoint, Reply, chunks, completion

from ..conftest import LOOPS
from .conftest import Exported, attributes, events, id_of

MESSAGES = [{"role": "user", "content": "Hi"}]
BUSY = Reply(status=503, headers={"retry-after": "0"}, json={"error": {"message": "busy: Hi"}})
ON_ALL_LOOPS = pytest.mark.parametrize("anyio_backend", LOOPS)

pytestmark = pytest.mark.anyio


async def read(**keywords: Any) -> None:
    async with await tokenwire.acompletion("openai/m", MESSAGES, stream=True, **keywords) as stream:
        async for _ in stream:
            pass


async def test_a_whole_answer(exported: Exported) -> None:
    with Endpoint([Reply(json=completion("Hello"), headers={"x-request-id": "r1"})]) as endpoint:
        await tokenwire.acompletion(
            "openai/m", MESSAGES, api_base=endpoint.url, temperature=1, max_tokens=9, stop="x", n=2, seed=3, top_p=0.5
        )
        span, port = exported.span, int(endpoint.url.split(":")[2].partition("/")[0])
    assert (span.name, span.kind, span.status.status_code) == ("chat m", SpanKind.CLIENT, StatusCode.UNSET)
    assert {name: value for name, value in attributes(span).items() if not name.startswith("tokenwire.conn")} == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "m",
        "gen_ai.request.temperature": 1.0,
        "gen_ai.request.top_p": 0.5,
        "gen_ai.request.max_tokens": 9,
        "gen_ai.request.stop_sequences": ["x"],
        "gen_ai.request.choice.count": 2,
        "gen_ai.request.seed": 3,
        "gen_ai.response.id": "chatcmpl-test",
        "gen_ai.response.model": "test-model",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 5,
        "gen_ai.usage.output_tokens": 7,
        "server.address": "127.0.0.1",
        "server.port": port,
        "tokenwire.outcome": "complete",
        "tokenwire.request_id": "r1",
    }
    assert events(span) == []


@ON_ALL_LOOPS
async def test_a_stream(exported: Exported) -> None:
    with Endpoint([Reply(text="Hello there")]) as endpoint:
        await read(api_base=endpoint.url)
    found = attributes(exported.span)
    assert found["gen_ai.request.stream"] is True
    assert found["gen_ai.response.time_to_first_chunk"] > 0
    assert (found["gen_ai.response.finish_reasons"], found["tokenwire.outcome"]) == (["stop"], "complete")


@pytest.mark.parametrize("returns", [False, True])
async def test_a_stream_that_is_cut(returns: bool, exported: Exported) -> None:
    with Endpoint([Reply(text="Hello there", cut="fin", after=2)]) as endpoint:
        if returns:
            await read(api_base=endpoint.url, on_truncation="return")
        else:
            with pytest.raises(tokenwire.StreamTruncatedError):
                await read(api_base=endpoint.url)
    found = attributes(exported.span)
    assert exported.span.status.status_code is StatusCode.ERROR
    assert (found["error.type"], found["tokenwire.outcome"]) == ("StreamTruncatedError", "truncated")
    assert found["gen_ai.response.finish_reasons"] == ["error"]


async def test_an_error_whose_message_is_not_recorded(exported: Exported) -> None:
    with Endpoint([Reply(status=400, json={"error": {"message": "not this: Hi"}})]) as endpoint:
        with pytest.raises(tokenwire.BadRequestError):
            await tokenwire.acompletion("openai/m", MESSAGES, api_base=endpoint.url)
    span = exported.span
    assert (span.status.status_code, attributes(span)["error.type"]) == (StatusCode.ERROR, "BadRequestError")
    assert "not this" not in span.to_json()
    assert events(span)[0][1]["http.response.status_code"] == 400


@ON_ALL_LOOPS
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_a_call_that_is_cancelled(stream: bool, exported: Exported) -> None:
    with Endpoint([Reply(text="Hello there", stall=True, after=2 if stream else 0)]) as endpoint:

        async def call() -> None:
            if stream:
                await read(api_base=endpoint.url)
            else:
                await tokenwire.acompletion("openai/m", MESSAGES, api_base=endpoint.url)

        async with anyio.create_task_group() as group:
            group.start_soon(call)
            await endpoint.await_silence()
            group.cancel_scope.cancel()
    found = attributes(exported.span)
    assert (found["tokenwire.outcome"], found["gen_ai.response.finish_reasons"]) == ("cancelled", ["error"])
    assert exported.span.status.status_code is StatusCode.UNSET


async def leave_by_break(url: str) -> None:
    async for _ in tokenwire.astreaming("openai/m", MESSAGES, api_base=url):
        break


async def leave_by_aclose(url: str) -> None:
    async with tokenwire.astreaming("openai/m", MESSAGES, api_base=url) as stream:
        await anext(stream)
    await stream.aclose()


async def leave_to_the_collector(url: str) -> None:
    stream: Any = tokenwire.astreaming("openai/m", MESSAGES, api_base=url)
    await anext(stream)
    cycle = [stream]
    cycle.append(cycle)
    del stream, cycle
    gc.collect()


@ON_ALL_LOOPS
@pytest.mark.parametrize("leave", [leave_by_break, leave_by_aclose, leave_to_the_collector])
async def test_a_stream_that_is_left(leave: Any, exported: Exported) -> None:
    with Endpoint([Reply(text="Hello there", stall=True, after=2)]) as endpoint:
        await leave(endpoint.url)
        await anyio.lowlevel.checkpoint()
        await anyio.lowlevel.checkpoint()
        assert attributes(exported.span)["tokenwire.outcome"] == "cancelled"


async def test_a_stream_that_nobody_reads_has_no_span(exported: Exported) -> None:
    stream: Any = tokenwire.astreaming("openai/m", MESSAGES, mock_response="Hi")
    del stream
    await anyio.lowlevel.checkpoint()
    assert exported.spans == []


def test_a_stream_whose_loop_is_closed(exported: Exported) -> None:
    kept: list[Any] = []

    async def main() -> None:
        kept.append(tokenwire.astreaming("openai/m", MESSAGES, api_base=endpoint.url))
        await anext(kept[0])

    with Endpoint([Reply(text="Hello there", stall=True, after=2)]) as endpoint:
        anyio.run(main)
        assert exported.spans == []
        kept.clear()
        gc.collect()
    assert attributes(exported.span)["tokenwire.outcome"] == "cancelled"


async def test_retries(exported: Exported) -> None:
    with Endpoint([BUSY, Reply(json=completion("Hello"))]) as endpoint:
        await tokenwire.acompletion("openai/m", MESSAGES, api_base=endpoint.url)
    names = [(name, found.get("tokenwire.attempt.number"), found.get("error.type")) for name, found in events(exported.span)]
    assert names == [
        ("tokenwire.attempt", 1, "ServiceUnavailableError"),
        ("tokenwire.retry", 2, None),
        ("tokenwire.attempt", 2, None),
    ]
    assert attributes(exported.span)["tokenwire.attempts"] == 2
    assert exported.span.status.status_code is StatusCode.UNSET


async def test_a_fallback(exported: Exported) -> None:
    with Endpoint([BUSY, Reply(json=completion("Hello"))]) as endpoint:
        await tokenwire.acompletion("openai/m", MESSAGES, api_base=endpoint.url, num_retries=0, fallbacks=["openai/n"])
    told = dict(events(exported.span))
    assert (told["tokenwire.fallback"]["tokenwire.target.before"], told["tokenwire.fallback"]["tokenwire.target"]) == (
        "openai/m",
        "openai/n",
    )


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_a_hedge(stream: bool, exported: Exported) -> None:
    with Endpoint([Reply(text="slow", stall=True, after=0), Reply(text="Hello")]) as endpoint:
        keywords: dict[str, Any] = {"api_base": endpoint.url, "hedge": Hedge(after=0.01)}
        await (read(**keywords) if stream else tokenwire.acompletion("openai/m", MESSAGES, **keywords))
    told = events(exported.span)
    assert [(name, found["tokenwire.attempt.number"]) for name, found in told] == [
        ("tokenwire.hedge", 2),
        ("tokenwire.attempt", 1),
        ("tokenwire.attempt", 2),
    ]
    assert told[1][1]["error.type"] == "Cancelled"


async def test_attempts_as_spans_of_their_own(exported: Exported) -> None:
    with Endpoint([BUSY, Reply(json=completion("Hello"))]) as endpoint:
        await tokenwire.acompletion("openai/m", MESSAGES, api_base=endpoint.url, otel=OTel(attempt_spans=True))
        sent = [request.headers["traceparent"].split("-")[2] for request in endpoint.requests]
    call = exported.named("chat m")
    attempts = [span for span in exported.spans if span is not call]
    assert [span.status.status_code for span in attempts] == [StatusCode.ERROR, StatusCode.UNSET]
    assert all(span.parent is not None and span.parent.span_id == id_of(call) for span in attempts)
    assert sent == [f"{id_of(span):016x}" for span in attempts]


async def test_the_wait_at_a_gate(exported: Exported) -> None:
    async with AsyncClient(gate=Gate(max_concurrency=1)) as client, anyio.create_task_group() as group:
        for _ in range(2):
            group.start_soon(lambda: client.acompletion("openai/m", MESSAGES, mock_response="Hi", mock_delay=0.01))
    waits = sorted(attributes(span)["tokenwire.gate.seconds"] for span in exported.spans)
    assert waits[0] < 0.01 <= waits[1] + 0.005


async def test_what_goes_out_and_what_does_not(exported: Exported) -> None:
    with Endpoint([Reply(json=completion("Hello"))] * 3) as endpoint:
        await tokenwire.acompletion("openai/m", MESSAGES, api_base=endpoint.url)
        await tokenwire.acompletion("openai/m", MESSAGES, api_base=endpoint.url, otel=OTel(propagate=False))
        own = {"traceparent": "mine"}
        await tokenwire.acompletion("openai/m", MESSAGES, api_base=endpoint.url, extra_headers=own)
        sent = [request.headers.get("traceparent") for request in endpoint.requests]
    first = exported.spans[0].context
    assert first is not None
    assert sent == [f"00-{first.trace_id:032x}-{first.span_id:016x}-{sent[0][-2:]}", None, "mine"]  # pyright: ignore[reportOptionalSubscript]


# Parents.


def parent_of(span: Any) -> int:
    return span.parent.span_id


@ON_ALL_LOOPS
async def test_the_callers_span_is_the_parent(exported: Exported) -> None:
    async def handler(**_: Any) -> Any:
        assert trace.get_current_span().get_span_context().span_id != app.get_span_context().span_id
        return (await tokenwire.acompletion("openai/inside", MESSAGES, mock_response="Hi")).text

    def in_a_thread(**_: Any) -> Any:
        yield tokenwire.completion("openai/in-thread", MESSAGES, mock_response="Hi").text

    async with AsyncClient(handlers={"h": handler, "t": in_a_thread}) as client:
        with exported.tracer_provider.get_tracer("app").start_as_current_span("app") as app:
            await client.acompletion("h/outside", MESSAGES)
            async for _ in client.astreaming("t/thread", MESSAGES):
                assert trace.get_current_span() is app
            async with client.amap("openai/map", ["one"], mock_response="Hi") as results:
                async for result in results:
                    assert result.error is None
            tokenwire.completion("openai/sync", MESSAGES, mock_response="Hi")
            list(tokenwire.streaming("openai/sync-stream", MESSAGES, mock_response="Hi"))
            assert trace.get_current_span() is app
    outer = id_of(exported.named("app"))
    names = ("chat outside", "chat thread", "chat map", "chat sync", "chat sync-stream")
    assert [parent_of(exported.named(name)) for name in names] == [outer] * 5
    assert parent_of(exported.named("chat inside")) == id_of(exported.named("chat outside"))
    assert parent_of(exported.named("chat in-thread")) == id_of(exported.named("chat thread"))
    assert exported.named("chat outside").kind is SpanKind.INTERNAL


# On and off.


async def test_where_nothing_is_set_up(nothing_set_up: None) -> None:
    with Endpoint([Reply(json=completion("Hello"))]) as endpoint:
        await tokenwire.acompletion("openai/m", MESSAGES, api_base=endpoint.url)
        assert "traceparent" not in endpoint.requests[0].headers


async def test_a_call_and_a_client_that_want_none(exported: Exported) -> None:
    await tokenwire.acompletion("openai/m", MESSAGES, mock_response="Hi", otel=False)
    async with AsyncClient(otel=False) as client:
        await client.acompletion("openai/m", MESSAGES, mock_response="Hi")
    assert (exported.spans, exported.metrics) == ([], {})


@pytest.mark.parametrize("value", ["off", "OFF"])
async def test_the_environment_turns_it_off(value: str, exported: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENWIRE_OTEL", value)
    await tokenwire.acompletion("openai/m", MESSAGES, mock_response="Hi")
    assert exported.spans == []


async def test_suppressed_by_the_context(exported: Exported) -> None:
    token = context.attach(context.set_value("suppress_instrumentation", True))
    try:
        await tokenwire.acompletion("openai/m", MESSAGES, mock_response="Hi")
    finally:
        context.detach(token)
    assert exported.spans == []


@pytest.mark.parametrize("make", [lambda: OTel(propagate="no"), lambda: {"otel": "on"}])  # pyright: ignore[reportArgumentType]
async def test_nonsense_is_refused(make: Callable[[], Any], exported: Exported) -> None:
    with pytest.raises(tokenwire.BadRequestError, match=r"^otel") as caught:
        await tokenwire.acompletion("openai/m", MESSAGES, mock_response="Hi", **make())
    assert caught.value.param == "otel"


# What was said.


async def test_nothing_said_is_recorded_unless_asked_for(exported: Exported) -> None:
    await tokenwire.acompletion("openai/m", MESSAGES, mock_response="Hello")
    assert "Hello" not in exported.span.to_json()


async def test_what_was_said(exported: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "span_only")
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    messages: list[Any] = [
        {
            "role": "user",
            "content": [{"type": "text", "text": "Hi"}, {"type": "image_url", "image_url": {"url": "http://x/y"}}],
        },
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "2"},
    ]
    await tokenwire.acompletion(
        "openai/m", messages, mock_response="Hello", tools=[{"type": "function", "function": {"name": "f"}}]
    )
    found = attributes(exported.span)
    assert json.loads(found["gen_ai.input.messages"]) == [
        {
            "role": "user",
            "parts": [{"type": "text", "content": "Hi"}, {"type": "uri", "modality": "image", "uri": "http://x/y"}],
        },
        {"role": "assistant", "parts": [{"type": "tool_call", "id": "c", "name": "f", "arguments": {"a": 1}}]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c", "response": "2"}]},
    ]
    assert json.loads(found["gen_ai.output.messages"]) == [
        {"role": "assistant", "parts": [{"type": "text", "content": "Hello"}]}
    ]
    assert json.loads(found["gen_ai.tool.definitions"]) == [{"type": "function", "name": "f"}]


async def test_a_word_that_is_none_of_the_modes(
    exported: Exported, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "true")
    await tokenwire.acompletion("openai/m", MESSAGES, mock_response="Hello")
    assert "must be one of NO_CONTENT, SPAN_ONLY" in caplog.text
    assert "gen_ai.output.messages" not in attributes(exported.span)


def test_streams_have_the_same(exported: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "SPAN_AND_EVENT")
    with Endpoint([Reply(events=chunks("Hello"))]) as endpoint:
        list(tokenwire.streaming("openai/m", MESSAGES, api_base=endpoint.url))
    said = json.loads(attributes(exported.span)["gen_ai.output.messages"])
    assert said[0]["parts"] == [{"type": "text", "content": "Hello"}]
