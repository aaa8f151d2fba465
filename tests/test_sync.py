"""The sync face: from plain code, from threads, inside a running loop."""

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import pytest

import tokenwire
from tokenwire import APIConnectionError, CustomLLMError, RateLimitError, StreamTruncatedError, Timeout
from tokenwire._calls import routing
from tokenwire.testing import Endpoint, FakeClock, Reply, chunk, chunks, completion

from .conftest import PATIENCE

MODEL = "openai/m"
MESSAGES = [{"role": "user", "content": "Hi"}]


@pytest.fixture(autouse=True)
def no_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "_registered", {})


def endless() -> Reply:
    """A stream that says "Hello" and then neither ends nor says more."""
    return Reply(events=["Hello"], done=False, stall=True)


def text_of(stream: Any) -> str:
    return "".join(piece.text for piece in stream)


# Plain code


def test_a_whole_answer() -> None:
    with Endpoint(Reply(json=completion("Hello"))) as endpoint:
        response = tokenwire.completion(MODEL, MESSAGES, api_base=endpoint.url)

    assert response.choices[0].message.content == "Hello"
    assert response.attempts[0].status == 200


def test_a_stream() -> None:
    with (
        Endpoint(Reply(events=chunks("Hello there"), headers={"x-request-id": "r1"})) as endpoint,
        tokenwire.completion(MODEL, MESSAGES, api_base=endpoint.url, stream=True) as stream,
    ):
        text = "".join(piece.choices[0].delta.content or "" for piece in stream)

    assert text == "Hello there"
    assert stream.outcome == "complete"
    assert stream.response is not None
    assert stream.response.choices[0].finish_reason == "stop"
    assert stream.request_id == stream.response_headers["x-request-id"] == "r1"
    assert [attempt.status for attempt in stream.attempts] == [200]
    assert stream.timings.first_content is not None
    assert stream.timings.total is not None
    assert repr(stream) == "<Stream complete>"


def test_the_end_stays_the_end() -> None:
    stream = tokenwire.streaming(MODEL, MESSAGES, mock_response="Hi")
    list(stream)

    for _ in range(2):
        with pytest.raises(StopIteration):
            next(stream)


def test_the_outcome_is_the_readers() -> None:
    """The stream is read ahead; that says nothing of how far its reader has come."""
    stream = tokenwire.streaming(MODEL, MESSAGES, mock_response="Hello!")
    next(stream)

    assert stream.outcome is None
    list(stream)
    assert stream.outcome == "complete"


def test_text_embeddings_images_models() -> None:
    replies = [
        {"id": "c", "object": "text_completion", "choices": [{"text": "upon", "index": 0, "finish_reason": "stop"}]},
        {"object": "list", "data": [{"embedding": [0.5], "index": 0}]},
        {"created": 1, "data": [{"url": "here"}]},
        {"object": "list", "data": [{"id": "m"}]},
    ]
    with Endpoint([Reply(json=reply) for reply in replies]) as endpoint:
        assert tokenwire.text_completion(MODEL, "Once", api_base=endpoint.url).choices[0].text == "upon"
        assert tokenwire.embedding(MODEL, "text", api_base=endpoint.url).data[0].embedding == [0.5]
        assert tokenwire.image_generation("a cat", MODEL, api_base=endpoint.url).data[0].url == "here"
        assert tokenwire.list_models(api_base=endpoint.url).data[0].id == "m"


def test_the_connection_is_reused() -> None:
    with Endpoint([Reply(json=completion()), Reply(events=chunks("Hello")), Reply(json=completion())]) as endpoint:
        tokenwire.completion(MODEL, MESSAGES, api_base=endpoint.url)
        assert text_of(tokenwire.streaming(MODEL, MESSAGES, api_base=endpoint.url)) == "Hello"
        tokenwire.completion(MODEL, MESSAGES, api_base=endpoint.url)

    assert {request.connection for request in endpoint.requests} == {1}


def test_errors_are_raised_where_the_caller_is() -> None:
    with Endpoint(Reply(status=429, json={"error": {"message": "slower"}})) as endpoint:
        with pytest.raises(RateLimitError, match="slower"):
            tokenwire.completion(MODEL, MESSAGES, api_base=endpoint.url, num_retries=0)
        with pytest.raises(RateLimitError, match="slower"):
            tokenwire.completion(MODEL, MESSAGES, api_base=endpoint.url, num_retries=0, stream=True)
        with pytest.raises(RateLimitError, match="slower"):
            next(tokenwire.streaming(MODEL, MESSAGES, api_base=endpoint.url, num_retries=0))


def test_an_error_comes_behind_the_chunks_before_it() -> None:
    with Endpoint(Reply(events=[chunk("so far")], done=False)) as endpoint:
        stream = tokenwire.streaming(MODEL, MESSAGES, api_base=endpoint.url)
        assert next(stream).text == "so far"
        with pytest.raises(StreamTruncatedError) as caught:
            next(stream)

    assert stream.outcome == "truncated"
    assert caught.value.partial.choices[0].message.content == "so far"
    with pytest.raises(StopIteration):
        next(stream)


def test_a_deadline(clock: FakeClock) -> None:
    def pass_time() -> None:
        endpoint.wait_silence()
        clock.advance(20)

    with Endpoint(endless()) as endpoint:
        passing = threading.Thread(target=pass_time)
        passing.start()
        with pytest.raises(Timeout) as caught:
            text_of(tokenwire.streaming(MODEL, MESSAGES, api_base=endpoint.url, timeout=20))
        passing.join()

    assert caught.value.budget == "idle"


def test_a_finished_stream_that_is_left_open(clock: FakeClock) -> None:
    heartbeats = [b": ping\n\n"] * 100

    def pass_time() -> None:
        endpoint.wait_silence()
        clock.advance(60)

    with Endpoint(Reply(events=[*chunks("Hello"), *heartbeats], event_delay=1, done=False, stall=True)) as endpoint:
        passing = threading.Thread(target=pass_time)
        passing.start()
        stream = tokenwire.streaming(MODEL, MESSAGES, api_base=endpoint.url)
        assert text_of(stream) == "Hello"
        passing.join()
        endpoint.wait_closed(endpoint.requests[0])

    assert stream.outcome == "complete"


def test_a_refused_connection() -> None:
    with Endpoint(Reply(json=completion())) as endpoint:
        url = endpoint.url

    with pytest.raises(APIConnectionError):
        tokenwire.completion(MODEL, MESSAGES, api_base=url, num_retries=0)


def test_a_client() -> None:
    with Endpoint([Reply(json=completion("Hello")), Reply(events=chunks("Hello"))]) as endpoint:
        with tokenwire.Client(api_base=endpoint.url, temperature=0.5) as client:
            assert client.completion(MODEL, MESSAGES).choices[0].message.content == "Hello"
            assert text_of(client.streaming(MODEL, MESSAGES)) == "Hello"
        endpoint.wait_until(lambda: endpoint.open_connections == 0)

    assert [request.json()["temperature"] for request in endpoint.requests] == [0.5, 0.5]


def test_a_handler_may_use_the_client_that_calls_it() -> None:
    """It runs on another loop than the call that it makes."""
    with Endpoint(Reply(json=completion("Hello"))) as endpoint, tokenwire.Client(api_base=endpoint.url) as client:

        async def handler() -> str:
            return client.completion(MODEL, MESSAGES).choices[0].message.content or ""

        tokenwire.register("mine", handler)
        for model in (MODEL, "mine/any", "mine/any", MODEL):
            assert client.completion(model, MESSAGES).choices[0].message.content == "Hello"
        client.close()
        endpoint.wait_until(lambda: endpoint.open_connections == 0)
        assert len(endpoint.visits) == 2
        with pytest.raises(RuntimeError, match="closed"):
            client.completion(MODEL, MESSAGES)


# Leaving early


def leave_by_break(stream: Any) -> None:
    with stream:
        for _ in stream:
            break


def leave_by_close(stream: Any) -> None:
    next(stream)
    stream.close()
    stream.close()


def leave_by_error(stream: Any) -> None:
    next(stream)
    with pytest.raises(ZeroDivisionError), stream:
        raise ZeroDivisionError


@pytest.mark.parametrize("leave", [leave_by_break, leave_by_close, leave_by_error])
def test_leaving_early_releases_the_connection(leave: Callable[[Any], None]) -> None:
    with Endpoint(endless()) as endpoint:
        stream = tokenwire.streaming(MODEL, MESSAGES, api_base=endpoint.url)
        leave(stream)
        endpoint.wait_closed(endpoint.requests[0])

    assert endpoint.requests[0].aborted
    assert stream.outcome == "cancelled"


def test_dropping_the_stream_releases_the_connection() -> None:
    with Endpoint(endless()) as endpoint:
        stream = tokenwire.streaming(MODEL, MESSAGES, api_base=endpoint.url)
        next(stream)
        del stream
        endpoint.wait_closed(endpoint.requests[0])

    assert endpoint.requests[0].aborted


def test_dropping_an_unread_stream_releases_the_connection() -> None:
    with Endpoint(endless()) as endpoint:
        tokenwire.completion(MODEL, MESSAGES, api_base=endpoint.url, stream=True)
        endpoint.wait_closed(endpoint.requests[0])


def test_closing_from_another_thread_wakes_the_reader() -> None:
    with Endpoint(endless()) as endpoint, ThreadPoolExecutor() as threads:
        stream = tokenwire.streaming(MODEL, MESSAGES, api_base=endpoint.url)
        next(stream)
        reader = threads.submit(list, stream)
        stream.close()
        with pytest.raises(tokenwire.StreamClosedError):
            reader.result(PATIENCE)


def test_a_slow_reader_holds_back_the_handler() -> None:
    given: list[int] = []

    async def handler() -> AsyncIterator[str]:
        for number in range(100_000):
            given.append(number)
            yield "a"

    tokenwire.register("mine", handler)

    with tokenwire.streaming("mine/any", MESSAGES) as stream:
        for _ in range(3000):
            next(stream)
        assert len(given) < 10_000


def test_a_slow_reader_gets_everything() -> None:
    async def handler() -> AsyncIterator[str]:
        for number in range(5000):
            yield f"{number} "

    tokenwire.register("mine", handler)

    assert text_of(tokenwire.streaming("mine/any", MESSAGES)).split() == [str(number) for number in range(5000)]


def test_a_handlers_clean_up_has_run_when_close_returns() -> None:
    cleaned = threading.Event()

    async def handler() -> AsyncIterator[str]:
        try:
            yield "a"
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.lowlevel.checkpoint()
            cleaned.set()

    tokenwire.register("mine", handler)

    with tokenwire.streaming("mine/any", MESSAGES) as stream:
        next(stream)
    assert cleaned.is_set()


# Threads and loops


def test_threads_share_one_background_loop() -> None:
    def background() -> int:
        return [thread.name for thread in threading.enumerate()].count("tokenwire")

    tokenwire.completion(MODEL, MESSAGES, mock_response="Hi")
    before = background()
    with Endpoint(Reply(events=chunks("Hello"))) as endpoint, ThreadPoolExecutor(16) as threads:
        texts = threads.map(lambda _: text_of(tokenwire.streaming(MODEL, MESSAGES, api_base=endpoint.url)), range(64))
        assert set(texts) == {"Hello"}

    assert background() == before


def test_a_stream_may_change_threads() -> None:
    with Endpoint(Reply(events=chunks("Hello there"))) as endpoint, ThreadPoolExecutor(1) as thread:
        stream = tokenwire.streaming(MODEL, MESSAGES, api_base=endpoint.url)
        first = thread.submit(lambda: next(stream).text + next(stream).text).result()
        assert first + text_of(stream) == "Hello there"


@pytest.mark.anyio
async def test_inside_a_running_loop() -> None:
    with Endpoint([Reply(json=completion("Hello")), Reply(events=chunks("Hello there"))]) as endpoint:
        response = tokenwire.completion(MODEL, MESSAGES, api_base=endpoint.url)
        text = text_of(tokenwire.streaming(MODEL, MESSAGES, api_base=endpoint.url))

    assert (response.choices[0].message.content, text) == ("Hello", "Hello there")


def test_loops_one_after_the_other() -> None:
    with Endpoint(Reply(json=completion("Hello"))) as endpoint:

        async def call() -> None:
            await tokenwire.acompletion(MODEL, MESSAGES, api_base=endpoint.url)

        for _ in range(3):
            asyncio.run(call())
            tokenwire.completion(MODEL, MESSAGES, api_base=endpoint.url)

    assert len(endpoint.requests) == 6


@pytest.mark.parametrize("error", [KeyError("a"), CustomLLMError(429, "slower"), SystemExit(3), KeyboardInterrupt()], ids=repr)
def test_no_handlers_error_ends_the_background_loop(error: BaseException) -> None:
    async def whole() -> str:
        raise error

    async def streamed() -> AsyncIterator[str]:
        yield "a"
        raise error

    expected = tokenwire.APIError if isinstance(error, Exception) else type(error)
    tokenwire.register("whole", whole)
    tokenwire.register("streamed", streamed)

    with pytest.raises(expected):
        tokenwire.completion("whole/any", MESSAGES)
    with pytest.raises(expected):
        list(tokenwire.streaming("streamed/any", MESSAGES))
    assert tokenwire.completion(MODEL, MESSAGES, mock_response="still here").choices[0].message.content == "still here"


def test_a_handler_cancelled_by_its_own_hand_has_not_finished_its_answer() -> None:
    async def handler() -> AsyncIterator[str]:
        yield "a"
        task = asyncio.ensure_future(asyncio.sleep(PATIENCE))
        task.cancel()
        await task

    tokenwire.register("mine", handler)
    stream = tokenwire.streaming("mine/any", MESSAGES)
    assert next(stream).text == "a"
    with pytest.raises(tokenwire.APIConnectionError, match="CancelledError") as caught:
        next(stream)
    assert (stream.outcome, caught.value.fault) == ("error", "handler")


def test_garbage_found_while_a_streams_lock_is_held() -> None:
    """A dropped stream must not wait for the loop, for the loop may be waiting for whoever dropped it."""

    class Node:
        pass

    async def handler() -> AsyncIterator[str]:
        while True:
            yield "a"

    tokenwire.register("mine", handler)
    with tokenwire.streaming("mine/any", MESSAGES) as stream:
        node: Any = Node()
        node.self = node
        node.stream = tokenwire.streaming("mine/any", MESSAGES)
        next(node.stream)
        del node
        with stream._buffer._changed:  # the pump of `stream` comes to wait for this, on the loop
            gc.collect()
        next(stream)
