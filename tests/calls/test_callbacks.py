"""What callbacks are told: our own protocol, and LiteLLM's loggers and functions."""

import logging
import threading
from collections.abc import Iterator
from datetime import timedelta
from queue import SimpleQueue
from typing import Any

import anyio
import pytest

import tokenwire
from tokenwire import AsyncClient, AttemptDetails, BadRequestError, CustomLogger, EndDetails, Observer
from tokenwire._calls import observers
from tokenwire.testing import Endpoint, Reply, completion

MESSAGES = [{"role": "user", "content": "Hi"}]
BUSY = Reply(status=503, headers={"retry-after": "0"}, json={"error": {"message": "busy"}})
PATIENCE = 10.0

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """One loop: nothing here depends on it, but for what is awaited, which names the others."""
    return "asyncio", {"use_uvloop": False}


class Told(Observer):
    def __init__(self) -> None:
        self.attempts: list[AttemptDetails] = []
        self.ends: list[EndDetails] = []

    def on_attempt(self, details: AttemptDetails) -> None:
        self.attempts.append(details)

    def on_end(self, details: EndDetails) -> None:
        self.ends.append(details)


class ToldLater(Observer):
    def __init__(self) -> None:
        self.told: list[str] = []

    async def on_attempt(self, details: AttemptDetails) -> None:
        await anyio.lowlevel.checkpoint()
        self.told.append(f"attempt {details.number}")

    async def on_end(self, details: EndDetails) -> None:
        await anyio.lowlevel.checkpoint()
        self.told.append(details.outcome)


def thread_here() -> str:
    return threading.current_thread().name


class Logger(CustomLogger):
    """Notes what it is told, in whatever thread."""

    def __init__(self) -> None:
        self.told: SimpleQueue[tuple[str, dict[str, Any]]] = SimpleQueue()

    def next(self) -> tuple[str, dict[str, Any]]:
        return self.told.get(timeout=PATIENCE)

    def log_pre_api_call(self, model: Any, messages: Any, kwargs: Any) -> None:
        self.told.put(("pre", {"model": model, "messages": messages, "kwargs": kwargs}))

    def log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        self.told.put(
            ("success", {"kwargs": kwargs, "response_obj": response_obj, "seconds": end_time - start_time, "in": thread_here()})
        )

    def log_failure_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        self.told.put(("failure", {"kwargs": kwargs, "response_obj": response_obj}))


# Our own.


async def test_attempts_and_the_end() -> None:
    told = Told()
    with Endpoint([BUSY, Reply(json=completion("Hello"), headers={"x-request-id": "r"})]) as endpoint:
        reply = await tokenwire.acompletion("openai/m", MESSAGES, api_base=endpoint.url, callbacks=[told])
    assert [(details.number, details.target, details.beside) for details in told.attempts] == [
        (1, "openai/m", False),
        (2, "openai/m", False),
    ]
    assert told.attempts[0].address == f"POST {endpoint.url}/chat/completions"
    (end,) = told.ends
    assert (end.outcome, end.error, end.target, end.stream) == ("complete", None, "openai/m", False)
    assert (end.response, end.attempts, end.usage) == (reply, reply.attempts, reply.usage)
    assert (end.call, end.request_id) == (told.attempts[0].call, "r")
    assert end.seconds >= told.attempts[1].elapsed


async def test_a_stream_that_is_left_by_break() -> None:
    told = Told()
    with Endpoint([Reply(text="Hello there", stall=True, after=2)]) as endpoint:
        async for _ in tokenwire.astreaming("openai/m", MESSAGES, api_base=endpoint.url, callbacks=[told]):
            assert told.ends == []
            break
        await anyio.lowlevel.checkpoint()
        await anyio.lowlevel.checkpoint()
    (end,) = told.ends
    assert end.outcome == "cancelled"
    assert end.first_content is not None


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_async_methods_are_awaited(stream: bool) -> None:
    told = ToldLater()
    answer: Any = await tokenwire.acompletion("openai/m", MESSAGES, mock_response="Hi", callbacks=[told], stream=stream)
    if stream:
        assert told.told == ["attempt 1"]
        async for _ in answer:
            pass
    assert told.told == ["attempt 1", "complete"]


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_one_that_hangs_is_cancelled(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    class Hangs(Observer):
        async def on_end(self, details: EndDetails) -> None:
            await anyio.sleep_forever()

    monkeypatch.setattr(observers, "CALLBACK_SECONDS", 0.01)
    reply = await tokenwire.acompletion("openai/m", MESSAGES, mock_response="Hi", callbacks=[Hangs()])
    assert reply.text == "Hi"
    assert "a callback took more than 0.01 s" in caplog.text


async def test_they_are_told_of_a_cancelled_call() -> None:
    told = ToldLater()
    with Endpoint([Reply(stall=True)]) as endpoint:
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: tokenwire.acompletion("openai/m", MESSAGES, api_base=endpoint.url, callbacks=[told]))
            await endpoint.await_silence()
            group.cancel_scope.cancel()
    assert told.told == ["attempt 1", "cancelled"]


async def test_an_exception_is_logged_and_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def on_attempt(self, details: AttemptDetails) -> None:
            raise ValueError("at the attempt")

        async def on_end(self, details: EndDetails) -> None:
            raise ValueError("at the end")

    told = Told()
    reply = await tokenwire.acompletion("openai/m", MESSAGES, mock_response="Hi", callbacks=[Broken(), told])
    assert (reply.text, len(told.attempts), len(told.ends)) == ("Hi", 1, 1)
    records = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert [str(record.exc_info and record.exc_info[1]) for record in records] == ["at the attempt", "at the end"]


async def test_the_packages_the_clients_and_the_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    told = [Told(), Told(), Told()]
    monkeypatch.setattr(tokenwire, "callbacks", [])
    tokenwire.callbacks.append(told[0])
    async with AsyncClient(callbacks=[told[1]]) as client:
        await client.acompletion("openai/m", MESSAGES, mock_response="Hi", callbacks=[told[2]])
        await client.acompletion("openai/m", MESSAGES, mock_response="Hi")
    await tokenwire.acompletion("openai/m", MESSAGES, mock_response="Hi")
    assert [len(one.ends) for one in told] == [3, 2, 1]


# LiteLLM's.


@pytest.fixture
def threads() -> Iterator[None]:
    """What was handed to the callbacks' thread is done when the test is over."""
    yield
    for thread in threading.enumerate():
        if thread.name == "tokenwire callbacks":
            thread.join(PATIENCE)


@pytest.mark.usefixtures("threads")
async def test_a_logger_of_litellms() -> None:
    logger = Logger()
    with Endpoint([Reply(json=completion("Hello"))]) as endpoint:
        reply = await tokenwire.acompletion(
            "openai/m", MESSAGES, api_base=endpoint.url, api_key="secret", callbacks=[logger], user="u", temperature=0
        )
    event, before = logger.next()
    assert (event, before["model"], before["messages"]) == ("pre", "m", MESSAGES)
    event, told = logger.next()
    kwargs = told["kwargs"]
    assert (event, told["in"]) == ("success", "tokenwire callbacks")
    assert told["response_obj"] is reply
    assert told["response_obj"]["usage"]["total_tokens"] == 12
    assert told["seconds"] > timedelta(0)
    assert (kwargs["model"], kwargs["custom_llm_provider"], kwargs["call_type"]) == ("m", "openai", "acompletion")
    assert (kwargs["user"], kwargs["optional_params"]["temperature"], kwargs["stream"]) == ("u", 0, False)
    assert kwargs["litellm_call_id"] == before["kwargs"]["litellm_call_id"]
    assert "secret" not in repr(told)


@pytest.mark.usefixtures("threads")
async def test_its_failure_and_its_stream() -> None:
    logger = Logger()
    error = tokenwire.RateLimitError("slow down", status_code=429)
    with pytest.raises(tokenwire.RateLimitError):
        await tokenwire.acompletion("openai/m", MESSAGES, mock_response=error, callbacks=[logger])
    assert logger.next()[0] == "pre"
    event, told = logger.next()
    assert (event, type(told["kwargs"]["exception"]), told["response_obj"]) == ("failure", tokenwire.RateLimitError, None)
    async for _ in tokenwire.astreaming("openai/m", MESSAGES, mock_response="Hello", callbacks=[logger]):
        pass
    assert logger.next()[0] == "pre"
    event, told = logger.next()
    assert (event, told["kwargs"]["complete_streaming_response"].text) == ("success", "Hello")
    assert logger.told.empty()


async def test_an_async_method_comes_in_the_place_of_the_plain_one() -> None:
    told: list[str] = []

    class Both(CustomLogger):
        def log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
            told.append("plain")

        async def async_log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
            told.append("async")

        async def async_log_stream_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
            told.append("stream")

    async for _ in tokenwire.astreaming("openai/m", MESSAGES, mock_response="Hello", callbacks=[Both()]):
        assert told == []
    assert told == ["stream", "async"]


@pytest.mark.usefixtures("threads")
def test_functions(monkeypatch: pytest.MonkeyPatch) -> None:
    told: SimpleQueue[tuple[str, Any, str]] = SimpleQueue()

    def note(name: str) -> Any:
        return lambda kwargs, response, start, end: told.put((name, kwargs["outcome"], thread_here()))

    monkeypatch.setattr(tokenwire, "success_callback", [note("success")])
    monkeypatch.setattr(tokenwire, "failure_callback", [note("failure")])
    tokenwire.completion("openai/m", MESSAGES, mock_response="Hi")
    assert told.get(timeout=PATIENCE) == ("success", "complete", "tokenwire callbacks")
    with pytest.raises(tokenwire.InternalServerError):
        tokenwire.completion(
            "openai/m", MESSAGES, mock_response=tokenwire.InternalServerError("no", status_code=500), num_retries=0
        )
    assert told.get(timeout=PATIENCE) == ("failure", "error", "tokenwire callbacks")
    tokenwire.completion("openai/m", MESSAGES, mock_response="Hi", callbacks=[note("either")])
    assert {told.get(timeout=PATIENCE)[0], told.get(timeout=PATIENCE)[0]} == {"success", "either"}
    assert told.empty()


@pytest.mark.usefixtures("threads")
async def test_a_function_that_blocks_holds_up_nobody() -> None:
    go_on, done = threading.Event(), threading.Event()

    def blocks(*_: object) -> None:
        go_on.wait(PATIENCE)
        done.set()

    reply = await tokenwire.acompletion("openai/m", MESSAGES, mock_response="Hi", success_callback=[blocks])
    assert (reply.text, done.is_set()) == ("Hi", False)
    go_on.set()
    assert done.wait(PATIENCE)


# Refused.


@pytest.mark.parametrize("name", ["callbacks", "success_callback", "failure_callback"])
@pytest.mark.parametrize(
    "value, said",
    [
        (["langfuse"], "'langfuse' names an integration of LiteLLM's"),
        ("langfuse", "'langfuse' names an integration of LiteLLM's"),
        (["otel"], "wherever OpenTelemetry is set up"),
        ([CustomLogger], "must have instances, not the class CustomLogger: pass CustomLogger()"),
        ([3], "must be an Observer"),
        (print, "must be a list"),
    ],
)
async def test_what_is_no_callback(name: str, value: Any, said: str) -> None:
    for refuse in (
        lambda: setattr(tokenwire, name, value),
        lambda: tokenwire.astreaming("openai/m", MESSAGES, **{name: value}),
        lambda: AsyncClient(**{name: value}).astreaming("openai/m", MESSAGES),
    ):
        with pytest.raises(BadRequestError) as caught:
            refuse()
        assert said in str(caught.value)
        assert caught.value.param == name
    assert getattr(tokenwire, name) == []
