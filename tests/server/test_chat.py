"""Chat completions: what clients are sent of what handlers say."""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import anyio
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

import tokenwire
from tokenwire import (
    CustomLLM,
    CustomLLMError,
    Delta,
    Embedding,
    EmbeddingResponse,
    GenericStreamingChunk,
    ModelResponseStream,
    StreamingChoices,
    Usage,
)
from tokenwire.llms import handler_items
from tokenwire.server import create_app
from tokenwire.server.visit import MOST_HELD
from tokenwire.testing import FakeClock

from ..conftest import LOOPS, PATIENCE, an_hour

pytestmark = pytest.mark.anyio

MESSAGES = [{"role": "user", "content": "Hi"}]
BODY = {"model": "m", "messages": MESSAGES}
STREAM = {**BODY, "stream": True}
USED = Usage(prompt_tokens=3, completion_tokens=2, total_tokens=5)


def strict(cls: Any, value: Any) -> Any:
    """The value as openai's type, which must know each of its fields."""

    def check(record: Any) -> None:
        assert not record.model_extra, f"{type(record).__name__} does not know {record.model_extra}"
        for field in vars(record).values():
            for item in field if isinstance(field, list) else [field]:
                if hasattr(item, "model_extra"):
                    check(item)

    record = cls.model_validate(value, strict=True)
    check(record)
    return record


async def says_hello(**_: Any) -> Any:
    yield "Hel"
    yield "lo"


async def flat_with_usage(**_: Any) -> Any:
    yield GenericStreamingChunk(text="Hi")
    yield GenericStreamingChunk(is_finished=True, finish_reason="length", usage=USED)


async def test_a_stream_is_what_openai_sends(ask: Any) -> None:
    answer = await ask(create_app({"m": says_hello}), STREAM)
    *events, done = answer.events()
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert done == "[DONE]"
    chunks = [strict(ChatCompletionChunk, event) for event in events]
    assert [chunk.choices[0].delta.content for chunk in chunks] == ["Hel", "lo", None]
    assert [chunk.choices[0].delta.role for chunk in chunks] == ["assistant", None, None]
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None, None, "stop"]
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1
    assert chunks[0].model == "m"
    assert all("usage" not in event for event in events)


async def test_a_whole_answer_is_what_openai_sends(ask: Any) -> None:
    answer = await ask(create_app({"m": flat_with_usage}), BODY)
    completion = strict(ChatCompletion, answer.json())
    assert answer.headers["content-type"] == "application/json"
    assert completion.choices[0].message.content == "Hi"
    assert completion.choices[0].finish_reason == "length"
    assert completion.usage is not None
    assert completion.usage.total_tokens == 5
    assert completion.model == "m"


async def test_the_usage_has_a_chunk_of_its_own_if_it_is_asked_for(ask: Any) -> None:
    app = create_app({"m": flat_with_usage})
    *events, last, done = (await ask(app, {**STREAM, "stream_options": {"include_usage": True}})).events()
    assert [event["usage"] for event in events] == [None] * len(events)
    assert last["choices"] == []
    assert strict(ChatCompletionChunk, last).usage.prompt_tokens == 3
    assert last["id"] == events[0]["id"]
    assert done == "[DONE]"

    for options in (None, {"include_usage": False}):
        *events, _ = (await ask(app, {**STREAM, "stream_options": options})).events()
        assert all("usage" not in event and event["choices"] for event in events)


@pytest.mark.parametrize("path", ["/chat/completions", "/completions"])
async def test_chunks_have_the_usage_so_far_if_that_is_asked_for(path: str, ask: Any) -> None:
    async def handler(**_: Any) -> Any:
        for count in (1, 2):
            yield GenericStreamingChunk(text="a", usage=Usage(prompt_tokens=3, completion_tokens=count, total_tokens=3 + count))
        yield "b"
        yield GenericStreamingChunk(is_finished=True, finish_reason="stop", usage=Usage(3, 4, 7))

    app = create_app({"m": handler})
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "prompt": "Hi", "stream": True}
    for options, counts in (
        ({"include_usage": True, "continuous_usage_stats": True}, [1, 2, None, 4, 4]),
        ({"include_usage": True, "continuous_usage_stats": False}, [None, None, None, None, 4]),
        ({"continuous_usage_stats": True}, [None] * 4),
    ):
        *events, done = (await ask(app, {**body, "stream_options": options}, path)).events()
        usages = [event.get("usage") for event in events]
        assert [usage and usage["completion_tokens"] for usage in usages] == counts
        assert done == "[DONE]"


async def test_chunks_in_openais_shape_become_one_stream(ask: Any) -> None:
    """Each chunk that a handler makes has an id of its own, and may repeat the role."""

    async def handler(**_: Any) -> Any:
        for text in ("a", "b"):
            yield ModelResponseStream(choices=[StreamingChoices(delta=Delta(content=text, role="assistant"))])
        yield ModelResponseStream(choices=[StreamingChoices(delta=Delta(reasoning_content="why"))])
        yield ModelResponseStream(choices=[StreamingChoices(delta=Delta(content="c", special=1))])  # type: ignore[call-arg]
        yield ModelResponseStream(choices=[StreamingChoices(delta=Delta(content="d"), extra=2)])  # type: ignore[call-arg]
        yield ModelResponseStream(choices=[StreamingChoices(delta=Delta(content="e"))], more=3)  # type: ignore[call-arg]
        yield ModelResponseStream(choices=[StreamingChoices(delta=Delta(content="f"))], system_fingerprint="fp")
        yield ModelResponseStream(choices=[StreamingChoices(delta=Delta(content="g"))], service_tier="flex")
        call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        yield ModelResponseStream(choices=[StreamingChoices(delta=Delta(tool_calls=[call]))])  # type: ignore[list-item]
        yield ModelResponseStream(choices=[StreamingChoices(delta=Delta(), finish_reason="tool_calls")])

    *events, _ = (await ask(create_app({"m": handler}), STREAM)).events()
    assert len({event["id"] for event in events}) == 1
    assert {event["model"] for event in events} == {"m"}
    assert [event["choices"][0]["delta"] for event in events] == [
        {"role": "assistant", "content": "a"},
        {"content": "b"},
        {"reasoning_content": "why"},
        {"content": "c", "special": 1},
        {"content": "d"},
        {"content": "e"},
        {"content": "f"},
        {"content": "g"},
        {"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {},
    ]
    assert events[4]["choices"][0]["extra"] == 2
    assert (events[5]["more"], events[6]["system_fingerprint"], events[7]["service_tier"]) == (3, "fp", "flex")
    assert events[-1]["choices"][0]["finish_reason"] == "tool_calls"


async def test_each_choice_has_its_role_and_its_end(ask: Any) -> None:
    async def handler(**_: Any) -> Any:
        for index in (0, 1, 0, 1):
            yield GenericStreamingChunk(text='"\x01é', index=index)
        for index in (0, 1):
            yield GenericStreamingChunk(is_finished=True, finish_reason="stop", index=index)

    *events, _ = (await ask(create_app({"m": handler}), {**STREAM, "n": 2})).events()
    choices = [strict(ChatCompletionChunk, event).choices[0] for event in events]
    assert [(choice.index, choice.delta.role) for choice in choices[:4]] == [
        (0, "assistant"), (1, "assistant"), (0, None), (1, None)
    ]  # fmt: skip
    assert {choice.delta.content for choice in choices[:4]} == {'"\x01é'}


async def test_an_error_before_the_first_chunk_has_its_own_status(ask: Any) -> None:
    async def handler(**_: Any) -> Any:
        raise CustomLLMError(503, "come back later")
        yield ""

    for body in (BODY, STREAM):
        answer = await ask(create_app({"m": handler}), body)
        assert answer.status == 503
        assert answer.error() == {"message": "come back later", "type": "server_error", "param": None, "code": None}


async def test_an_error_after_it_is_an_event_with_its_code(ask: Any) -> None:
    async def handler(**_: Any) -> Any:
        yield "Hel"
        raise CustomLLMError(429, "slower")

    first, error = (await ask(create_app({"m": handler}), STREAM)).events()
    assert first["choices"][0]["delta"]["content"] == "Hel"
    assert error == {"error": {"message": "slower", "type": "rate_limit_error", "param": None, "code": "429"}}


async def test_a_handler_that_stops_midway_is_given_no_end(ask: Any) -> None:
    async def handler(**_: Any) -> Any:
        yield GenericStreamingChunk(text="Hel")

    first, error = (await ask(create_app({"m": handler}), STREAM)).events()
    assert first["choices"][0]["finish_reason"] is None
    assert "before it was complete" in error["error"]["message"]
    assert error["error"]["code"] == "500"

    whole = await ask(create_app({"m": handler}), BODY)
    assert whole.status == 500


class Unsayable(Exception):
    """An exception with a detail that JSON has no way to say."""

    status_code, message, body = 429, "slower", {"error": {"message": "slower", "at": object()}}


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses", "/v1/messages"])
@pytest.mark.parametrize("what", ["detail", "word"])
async def test_an_error_that_json_can_t_say_keeps_its_status(
    what: str, path: str, ask: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "tokenwire")  # pytest could not show this text either

    async def handler(messages: Any, **_: Any) -> Any:
        if messages[-1]["content"] == "later":
            yield "Hel"
        raise Unsayable if what == "detail" else CustomLLMError(429, "slower \udcff")  # as in names of files

    async def answered(said: str, *, stream: bool) -> Any:
        asked = {"input": said} if path.endswith("responses") else {"messages": [{"role": "user", "content": said}]}
        limit = {"max_tokens": 9} if path.endswith("/messages") else {}
        with suppress(BaseExceptionGroup):  # nor this
            return await ask(create_app({"m": handler}), {"model": "m", "stream": stream, **asked, **limit}, path)
        pytest.fail("the app raised", pytrace=False)

    for stream in (False, True):
        answer = await answered("now", stream=stream)
        assert (answer.status, answer.error()["type"]) == (429, "rate_limit_error")
        assert answer.error()["message"] == ("slower" if what == "detail" else "slower \\udcff")
    last = (await answered("later", stream=True)).body.rpartition(b"data: ")[2]
    assert b"slower" in last
    assert b"rate_limit" in last


@pytest.mark.parametrize("stream", [False, True])
async def test_a_handler_that_ends_the_program_ends_its_answer_alone(stream: bool, ask: Any) -> None:
    async def handler(messages: Any, **_: Any) -> str:
        if messages[-1]["content"] == "exit":
            raise SystemExit(3)
        return "Hello"

    app = create_app({"m": handler})
    answer = await ask(app, {"model": "m", "stream": stream, "messages": [{"role": "user", "content": "exit"}]})
    assert answer.status == 500
    assert (await ask(app, {**BODY, "stream": stream})).status == 200


class Unheard(BaseException):
    """An exception of a kind that hardly anybody catches."""


@pytest.mark.parametrize("began", [False, True], ids=["before the first chunk", "after it"])
@pytest.mark.parametrize(
    "error", [Unheard("/a/path"), KeyboardInterrupt(), BaseExceptionGroup("odd", [Unheard("/a/path")])], ids=repr
)
async def test_the_client_is_told_whatever_a_handler_raises(
    error: BaseException, began: bool, visit: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The server that runs the app gets it as well: it may be Ctrl-C."""

    async def handler(**_: Any) -> Any:
        if began:
            yield "once"
            await anyio.lowlevel.checkpoint()
        raise error
        yield

    app, raised = create_app({"m": handler}), list[BaseException]()

    async def server(*args: Any) -> None:
        try:
            await app(*args)
        except BaseException as caught:  # noqa: BLE001
            raised.append(caught)

    with caplog.at_level(logging.INFO, "tokenwire"):
        async with visit(server, STREAM) as v:
            body = await v.rest()
    assert v.status == (200 if began else 500)
    assert b"internal error" in body
    assert b"path" not in body
    [caught] = raised
    assert caught is error or isinstance(caught, BaseExceptionGroup)  # on trio it comes out of a nursery
    assert f" {v.status} error " in caplog.text


@pytest.mark.parametrize("anyio_backend", [loop for loop in LOOPS if loop.id != "trio"])  # its error can't be raised so
@pytest.mark.parametrize("began", [False, True], ids=["before the first chunk", "after it"])
async def test_a_handler_whose_own_task_is_cancelled_has_failed(began: bool, ask: Any) -> None:
    async def handler(**_: Any) -> Any:
        if began:
            yield "Hel"
        raise asyncio.CancelledError
        yield ""

    app = create_app({"m": handler})
    answer = await ask(app, STREAM)
    error = answer.events()[1]["error"] if began else answer.error()
    assert (answer.status, error["message"]) == (200 if began else 500, "internal error")
    assert (await ask(app, BODY)).error()["message"] == "internal error"


@pytest.mark.parametrize("began", [False, True], ids=["before the first chunk", "after it"])
async def test_what_a_broken_handler_says_stays_here(began: bool, ask: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def handler(**_: Any) -> Any:
        if began:
            yield "Hel"
        raise ValueError("secret in /etc/passwd")

    answer = await ask(create_app({"m": handler}), STREAM)
    error = answer.events()[1]["error"] if began else answer.error()
    assert answer.status == (200 if began else 500)
    assert error["message"] == "internal error"
    assert error["type"] == "server_error"
    assert b"secret" not in answer.body
    assert b"Traceback" not in answer.body
    record = next(record for record in caplog.records if record.name == "tokenwire.server")
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    assert answer.headers["x-request-id"] in record.getMessage()


async def test_what_can_not_be_sent_is_an_error_of_the_server(ask: Any) -> None:
    async def handler(**_: Any) -> Any:
        yield GenericStreamingChunk(text="a", provider_specific_fields={"x": object()})

    for body in (BODY, STREAM):
        answer = await ask(create_app({"m": handler}), body)
        assert answer.status == 500


async def test_comments_keep_a_silent_stream_alive_once_it_has_begun(visit: Any, clock: FakeClock) -> None:
    go = anyio.Event()
    began = anyio.Event()

    async def handler(**_: Any) -> Any:
        began.set()
        await go.wait()
        yield "a"
        await anyio.sleep_forever()

    async with visit(create_app({"m": handler}, keepalive_seconds=15), STREAM, seconds=7200) as v, an_hour(clock, began.wait):
        with anyio.move_on_after(100) as silence:  # the status is not known, so that nothing can be sent
            await v.take()
        assert silence.cancelled_caught
        go.set()
        assert (await v.take()).startswith(b"data: {")
        started = time.monotonic()
        assert await v.take() == b": keep-alive\n\n"
        assert await v.take() == b": keep-alive\n\n"
        assert 14.9 < time.monotonic() - started < 30.1


async def test_a_comment_on_its_way_is_waited_for(visit: Any, clock: FakeClock) -> None:
    go = anyio.Event()

    async def handler(**_: Any) -> Any:
        yield "a"
        await go.wait()
        yield "b"

    async with visit(create_app({"m": handler}, keepalive_seconds=15), STREAM, seconds=7200) as v:
        await v.take()
        await clock.aadvance(15)
        await v.until_sending()  # the comment, which nobody has taken
        go.set()
        await clock.aadvance(0)
        assert await v.take() == b": keep-alive\n\n"
        assert b'"b"' in await v.take()


async def test_no_comment_disturbs_a_stream_that_flows_or_a_reader_that_does_not(visit: Any, clock: FakeClock) -> None:
    async def handler(**_: Any) -> Any:
        for _number in range(20):
            yield "a"
            await anyio.sleep(7)

    async with visit(create_app({"m": handler}, keepalive_seconds=15), STREAM, seconds=7200) as v:
        first = await v.take()
        await clock.aadvance(300)  # the app waits in `send`, no comment behind it
        async with an_hour(clock):
            assert b"keep-alive" not in first + await v.rest()


@pytest.mark.parametrize("body", [BODY, STREAM], ids=["whole", "streamed"])
async def test_a_client_that_leaves_cancels_the_handler(body: dict[str, Any], visit: Any, gone: Any) -> None:
    began, witness = anyio.Event(), gone()

    async def handler(**_: Any) -> Any:
        with witness():
            yield "a"
            began.set()
            await anyio.sleep_forever()

    app = create_app({"m": handler})
    async with visit(app, body) as v:
        if body is STREAM:
            await v.take()
        await began.wait()
        assert app.in_flight == 1
        v.leave()
        await witness.left.wait()
        await v.ended.wait()
    assert app.in_flight == 0


async def test_a_client_that_leaves_stops_a_handler_that_runs_in_a_thread(visit: Any) -> None:
    left = threading.Event()

    class Blocks(CustomLLM):
        def streaming(self, *args: Any, **kwargs: Any) -> Any:
            try:
                while True:
                    yield {"text": "a", "is_finished": False, "finish_reason": "", "usage": None, "index": 0, "tool_use": None}
            finally:
                left.set()

    async with visit(create_app({"m": Blocks()}), STREAM) as v:
        await v.take()
        v.leave()
        await v.ended.wait()
    assert await anyio.to_thread.run_sync(left.wait, 5)


async def test_a_slow_reader_slows_the_handler(visit: Any) -> None:
    yielded, text = 0, "a" * MOST_HELD

    async def handler(**_: Any) -> Any:
        nonlocal yielded
        while True:
            yielded += 1
            yield text

    async with visit(create_app({"m": handler}), STREAM) as v:
        for taken in range(1, 4):
            await v.take()
            await anyio.wait_all_tasks_blocked()
            assert yielded <= taken + 2


async def test_what_is_made_without_waiting_is_sent_together_and_before_a_wait(
    visit: Any, anyio_backend_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MAX_SECONDS_ALONE", "MIN_SECONDS_ALONE"):  # on a busy machine, a step takes longer than the others are kept
        monkeypatch.setattr(handler_items, name, PATIENCE)
    go_on = anyio.Event()

    async def handler(**_: Any) -> Any:
        for text in ("1", "2", "3", "4"):
            yield text
        await go_on.wait()
        yield "5"
        yield "6"

    async with visit(create_app({"m": handler}), STREAM) as v:
        sent = [await v.take() for _ in range(4 if anyio_backend_name == "trio" else 2)]
        assert b'"1"' in sent[0]
        assert [sum(piece.count(b"data: {") for piece in sent[1:])] == [3]
        go_on.set()
        last = await v.rest()
        assert last.count(b"data: {") == 3
        assert last.endswith(b"data: [DONE]\n\n")


async def test_so_much_at_most_is_held_to_be_sent_together(visit: Any) -> None:
    async def handler(**_: Any) -> Any:
        while True:
            yield "a" * 1000

    async with visit(create_app({"m": handler}), STREAM) as v:
        for _ in range(3):
            assert len(await v.take()) < MOST_HELD + 2000


async def test_a_handler_is_cancelled_where_it_waits_while_something_is_being_sent(
    visit: Any, anyio_backend_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MAX_SECONDS_ALONE", "MIN_SECONDS_ALONE"):  # it must have come to its wait by then
        monkeypatch.setattr(handler_items, name, PATIENCE)
    if anyio_backend_name == "trio":
        pytest.skip("nothing is held on trio, where a task's wait can't be put off")
    seen: list[str] = []

    async def child() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("child")

    async def handler(**_: Any) -> Any:
        yield "1"
        yield "2"
        try:
            await asyncio.ensure_future(child())
        except BaseException as error:
            seen.append(type(error).__name__)
            raise

    async with visit(create_app({"m": handler}), STREAM) as v:
        await v.take()
        await v.until_sending()  # the second, which nobody takes
        v.leave()
        await v.ended.wait()
    assert seen == ["child", "CancelledError"]


@pytest.mark.parametrize("body", [BODY, STREAM], ids=["whole", "streamed"])
async def test_a_request_may_take_so_long_and_no_longer(body: dict[str, Any], ask: Any, gone: Any, clock: FakeClock) -> None:
    began, witness = anyio.Event(), gone()

    async def handler(**_: Any) -> Any:
        with witness():
            yield "a"
            began.set()
            await anyio.sleep_forever()

    async with an_hour(clock, began.wait):
        answer = await ask(create_app({"m": handler}, request_timeout=5), body)
    assert witness.left.is_set()
    if body is BODY:
        assert answer.status == 504
        assert answer.error()["message"] == "no answer within 5 s"
    else:
        assert answer.events()[-1]["error"]["code"] == "504"


async def test_a_reader_that_never_reads_on_is_let_go_in_time(visit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokenwire.server.app.CLOSING_SECONDS", 0.05)
    async with visit(create_app({"m": says_hello}, request_timeout=0.05), STREAM) as v:
        await v.take()
        await v.ended.wait()


async def test_handlers_get_what_acompletion_would_give_them(ask: Any) -> None:
    seen: list[dict[str, Any]] = []

    class Handler(CustomLLM):
        async def acompletion(self, *args: Any, **kwargs: Any) -> Any:
            seen.append(kwargs)
            return "ok"

    handler = Handler()
    body = {**BODY, "temperature": 0.5, "max_completion_tokens": 9, "my_own": {"deep": [1]}, "user": None}
    assert (await ask(create_app({"m": handler}), body)).status == 200
    tokenwire.register("m", handler)
    fields = {name: value for name, value in body.items() if name != "model"}
    await tokenwire.acompletion("m/m", **fields)
    served, called = seen
    assert served.keys() == called.keys()
    for name in ("model", "messages", "optional_params", "api_key", "api_base", "headers", "timeout", "client"):
        assert served[name] == called[name], name
    assert served["optional_params"] == {"temperature": 0.5, "max_tokens": 9, "my_own": {"deep": [1]}}


@pytest.mark.parametrize("kind", ["function", "coroutine", "generator", "object"])
async def test_whatever_can_be_registered_can_be_served(kind: str, ask: Any) -> None:
    def function(messages: Any) -> str:
        return "ok"

    async def coroutine(messages: Any) -> str:
        return "ok"

    def generator(messages: Any) -> Any:
        yield "ok"

    class Object:
        def completion(self, **_: Any) -> str:
            return "ok"

    handler = {"function": function, "coroutine": coroutine, "generator": generator, "object": Object()}[kind]
    app = create_app({"some/model": handler})
    assert (await ask(app, {**BODY, "model": "some/model"})).json()["choices"][0]["message"]["content"] == "ok"
    events = (await ask(app, {**STREAM, "model": "some/model"})).events()
    assert events[0]["choices"][0]["delta"]["content"] == "ok"
    assert events[-1] == "[DONE]"


async def test_a_stream_is_complete_when_its_end_has_been_sent(ask: Any, caplog: pytest.LogCaptureFixture) -> None:
    """From then on servers say that the client has left, while the handler may still be cleaning up."""

    class Chunks:
        def __init__(self) -> None:
            self.left = [GenericStreamingChunk(is_finished=True, finish_reason="stop"), GenericStreamingChunk(text="Hi")]

        def __aiter__(self) -> Any:
            return self

        async def __anext__(self) -> Any:
            if not self.left:
                raise StopAsyncIteration
            return self.left.pop()

        async def aclose(self) -> None:
            await anyio.wait_all_tasks_blocked()

    async def handler(**_: Any) -> Any:
        return Chunks()

    class Handler(CustomLLM):
        astreaming = staticmethod(handler)  # type: ignore[assignment]

    caplog.set_level(logging.INFO, "tokenwire.server.access")
    assert (await ask(create_app({"m": Handler()}), STREAM)).events()[-1] == "[DONE]"
    assert " 200 complete " in caplog.messages[-1]


@pytest.mark.parametrize("named", [None, "gpt-9"], ids=["unnamed", "named"])
@pytest.mark.parametrize("asked", ["asked", "some/model"])
async def test_an_answer_names_the_model_that_was_asked_for(asked: str, named: str | None, ask: Any) -> None:
    """Not the one that is called, unless the handler itself says which."""

    class Handler(CustomLLM):
        async def acompletion(self, *args: Any, **kwargs: Any) -> Any:
            return {"model": named, "choices": [{"message": {"content": "Hi"}}]} if named else "Hi"

        async def astreaming(self, *args: Any, **kwargs: Any) -> AsyncIterator[GenericStreamingChunk]:
            yield GenericStreamingChunk(text="Hi", model=named)
            yield GenericStreamingChunk(is_finished=True, finish_reason="stop", model=named)

        async def aembedding(self, *args: Any, **kwargs: Any) -> Any:
            return EmbeddingResponse(data=[Embedding(index=0, embedding=[1.0])], model=named)

    tokenwire.register("mine", Handler())
    app = create_app({"asked": "mine/behind", "some/model": Handler()})
    for path, body in (("chat/completions", BODY), ("completions", {"prompt": "Hi"}), ("embeddings", {"input": "Hi"})):
        whole = await ask(app, {**body, "model": asked}, f"/v1/{path}")
        assert whole.json()["model"] == (named or asked)
        if path != "embeddings":
            *events, _ = (await ask(app, {**body, "model": asked, "stream": True}, f"/v1/{path}")).events()
            assert {event["model"] for event in events} == {named or asked}


async def test_each_choice_begins_with_its_role(ask: Any) -> None:
    """Also one that has said nothing when another begins."""

    async def handler(**_: Any) -> Any:
        yield GenericStreamingChunk(text="")
        yield GenericStreamingChunk(text="b", index=1)
        for text in ("a", "c"):
            yield GenericStreamingChunk(text=text)

    *events, _ = (await ask(create_app({"m": handler}), STREAM)).events()
    said = [(event["choices"][0]["index"], event["choices"][0]["delta"]) for event in events[:3]]
    assert said == [
        (1, {"role": "assistant", "content": "b"}),
        (0, {"role": "assistant", "content": "a"}),
        (0, {"content": "c"}),
    ]
