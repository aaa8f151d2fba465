"""Every function against a real socket: what a good answer comes to, on every loop; and clients of one's own."""

import asyncio
import gc
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import msgspec
import pytest
import trio

import tokenwire
from tokenwire import APIConnectionError, AsyncClient, HTTPTransport
from tokenwire.testing import Endpoint, Received, Reply, chunks, completion

from .conftest import PATIENCE

MESSAGES = [{"role": "user", "content": "Hi"}]
TEXT = {
    "id": "cmpl-1", "object": "text_completion", "created": 1700000000, "model": "test-model",
    "choices": [{"index": 0, "text": "Hello", "finish_reason": "stop", "logprobs": None}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
}  # fmt: skip
EMBEDDINGS = {
    "object": "list", "model": "test-model", "usage": {"prompt_tokens": 1, "total_tokens": 1},
    "data": [{"object": "embedding", "index": 0, "embedding": [0.5, -1, 2]}, {"object": "embedding", "index": 1, "embedding": [1.0]}],
}  # fmt: skip
IMAGES = {
    "created": 1700000000,
    "data": [{"url": "http://images/1.png", "revised_prompt": "a cat"}],
    "usage": {"total_tokens": 9},
}
MODELS = {
    "object": "list",
    "data": [{"id": "a", "object": "model", "created": 1, "owned_by": "me"}, {"id": "b", "meta": {"size": 7}}],
}


def text_chunk(text: str, finish_reason: str | None = None) -> dict[str, Any]:
    return {**TEXT, "choices": [{"index": 0, "text": text, "finish_reason": finish_reason}], "usage": None}


def answer(request: Received) -> Reply:
    """What an endpoint that offers everything answers."""
    path, body = request.path, request.json() if request.body else {}
    if path == "/v1/chat/completions":
        return (
            Reply(events=chunks("Hello"))
            if body.get("stream")
            else Reply(json=completion("Hello"), headers={"x-request-id": "req-1"})
        )
    if path == "/v1/completions":
        return (
            Reply(events=[text_chunk("Hel"), text_chunk("lo"), text_chunk("", "stop")])
            if body.get("stream")
            else Reply(json=TEXT)
        )
    replies = {"/v1/embeddings": EMBEDDINGS, "/v1/images/generations": IMAGES, "/v1/models": MODELS}
    return Reply(json=replies[path]) if path in replies else Reply(status=404)


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint(answer) as endpoint:
        yield endpoint


# Every function.


@pytest.mark.anyio
async def test_acompletion(endpoint: Endpoint) -> None:
    response = await tokenwire.acompletion("openai/m", MESSAGES, api_base=endpoint.url)
    assert isinstance(response, tokenwire.ModelResponse)
    assert (response.id, response.model, response.created) == ("chatcmpl-test", "test-model", 1700000000)
    choice = response.choices[0]
    assert (choice.message.content, choice.message.role, choice.finish_reason) == ("Hello", "assistant", "stop")
    assert response.usage is not None
    assert (response.usage.prompt_tokens, response.usage.completion_tokens, response.usage.total_tokens) == (5, 7, 12)
    assert response.raw == msgspec.json.encode(completion("Hello"))


@pytest.mark.anyio
async def test_what_is_known_of_a_call(endpoint: Endpoint) -> None:
    response = await tokenwire.acompletion("openai/m", MESSAGES, api_base=endpoint.url)
    assert response.request_id == "req-1"
    assert [(attempt.number, attempt.status, attempt.error) for attempt in response.attempts] == [(1, 200, None)]
    assert response.attempts[0].seconds > 0
    assert response._response_headers["x-request-id"] == "req-1"
    assert response._hidden_params["custom_llm_provider"] == "openai"
    assert response._hidden_params["api_base"] == endpoint.url
    assert response._hidden_params["additional_headers"]["llm_provider-x-request-id"] == "req-1"


@pytest.mark.anyio
async def test_acompletion_streamed(endpoint: Endpoint) -> None:
    stream = await tokenwire.acompletion("openai/m", MESSAGES, stream=True, api_base=endpoint.url)
    assert isinstance(stream, tokenwire.AsyncStream)
    assert stream.outcome is None
    assert "open" in repr(stream)
    received = [part async for part in stream]
    assert all(isinstance(part, tokenwire.ModelResponseStream) for part in received)
    assert [part.choices[0].delta.content for part in received] == ["", "Hell", "o", None]
    assert received[0].choices[0].delta.role == "assistant"
    assert (stream.outcome, received[-1].choices[0].finish_reason) == ("complete", "stop")
    assert "complete" in repr(stream)
    assert isinstance(stream.response, tokenwire.ModelResponse)
    assert stream.response.choices[0].message.content == "Hello"
    assert [(attempt.status, attempt.error) for attempt in stream.attempts] == [(200, None)]
    assert stream.response_headers["content-type"] == "text/event-stream"


@pytest.mark.anyio
async def test_astreaming_needs_no_await(endpoint: Endpoint) -> None:
    stream = tokenwire.astreaming("openai/m", MESSAGES, api_base=endpoint.url)
    assert endpoint.requests == []
    received = [piece async for piece in stream]
    assert all(isinstance(piece, tokenwire.GenericStreamingChunk) for piece in received)
    assert [piece.text for piece in received] == ["", "Hell", "o", ""]
    assert [piece.is_finished for piece in received] == [False, False, False, True]
    assert (received[-1].finish_reason, stream.outcome) == ("stop", "complete")


@pytest.mark.anyio
async def test_atext_completion(endpoint: Endpoint) -> None:
    response = await tokenwire.atext_completion("openai/m", "Hi", api_base=endpoint.url)
    assert isinstance(response, tokenwire.TextCompletionResponse)
    assert (response.id, response.choices[0].text, response.choices[0].finish_reason) == ("cmpl-1", "Hello", "stop")
    assert response.usage is not None
    assert response.usage.total_tokens == 3


@pytest.mark.anyio
async def test_atext_completion_streamed(endpoint: Endpoint) -> None:
    async with await tokenwire.atext_completion("openai/m", "Hi", stream=True, api_base=endpoint.url) as stream:
        received = [part async for part in stream]
    assert all(isinstance(part, tokenwire.TextCompletionResponse) for part in received)
    assert [part.choices[0].text for part in received] == ["Hel", "lo", ""]
    assert (stream.outcome, received[-1].choices[0].finish_reason) == ("complete", "stop")
    assert isinstance(stream.response, tokenwire.TextCompletionResponse)
    assert stream.response.choices[0].text == "Hello"


@pytest.mark.anyio
async def test_a_chat_with_a_text_model(endpoint: Endpoint) -> None:
    response = await tokenwire.acompletion("text-completion-openai/m", MESSAGES, api_base=endpoint.url)
    assert isinstance(response, tokenwire.ModelResponse)
    assert (response.choices[0].message.content, response.choices[0].finish_reason) == ("Hello", "stop")
    assert (response.id, response.object) == ("cmpl-1", "chat.completion")
    async with await tokenwire.acompletion("text-completion-openai/m", MESSAGES, stream=True, api_base=endpoint.url) as stream:
        received = [part async for part in stream]
    assert [part.choices[0].delta.content for part in received] == ["Hel", "lo", None]
    assert [part.choices[0].delta.role for part in received] == ["assistant", None, None]
    async with tokenwire.astreaming("text-completion-openai/m", MESSAGES, api_base=endpoint.url) as pieces:
        assert [piece.text async for piece in pieces] == ["Hel", "lo", ""]
    assert {request.path for request in endpoint.requests} == {"/v1/completions"}


@pytest.mark.anyio
async def test_aembedding(endpoint: Endpoint) -> None:
    response = await tokenwire.aembedding("openai/m", ["a", "b"], api_base=endpoint.url)
    assert isinstance(response, tokenwire.EmbeddingResponse)
    assert [item.embedding for item in response.data] == [[0.5, -1.0, 2.0], [1.0]]
    assert [item["index"] for item in response.data] == [0, 1]
    assert (response.model, response.object) == ("test-model", "list")
    assert response.usage is not None
    assert response.usage.prompt_tokens == 1


@pytest.mark.anyio
async def test_an_embedding_as_base64(endpoint: Endpoint) -> None:
    with Endpoint(Reply(json={**EMBEDDINGS, "data": [{"index": 0, "embedding": "AAAAPw=="}]})) as other:
        response = await tokenwire.aembedding("openai/m", "a", encoding_format="base64", api_base=other.url)
    assert response.data[0].embedding == "AAAAPw=="


@pytest.mark.anyio
async def test_aimage_generation(endpoint: Endpoint) -> None:
    response = await tokenwire.aimage_generation("a cat", "openai/m", api_base=endpoint.url)
    assert isinstance(response, tokenwire.ImageResponse)
    assert (response.data[0].url, response.data[0].revised_prompt) == ("http://images/1.png", "a cat")
    assert response.usage is not None
    assert response.usage.total_tokens == 9


@pytest.mark.anyio
async def test_alist_models(endpoint: Endpoint) -> None:
    models = await tokenwire.alist_models(api_base=endpoint.url)
    assert isinstance(models, tokenwire.ModelList)
    assert [(model.id, model.owned_by) for model in models.data] == [("a", "me"), ("b", None)]
    assert models.data[1]["meta"] == {"size": 7}
    assert (endpoint.requests[0].method, endpoint.requests[0].body) == ("GET", b"")


@pytest.mark.anyio
async def test_the_package_s_own_functions_share_connections(endpoint: Endpoint) -> None:
    for _ in range(3):
        await tokenwire.acompletion("openai/m", MESSAGES, api_base=endpoint.url)
        await tokenwire.alist_models(api_base=endpoint.url)
    assert {request.connection for request in endpoint.requests} == {1}


@pytest.mark.anyio
async def test_many_calls_at_once(endpoint: Endpoint) -> None:
    texts: list[str] = []

    async def one() -> None:
        async with tokenwire.astreaming("openai/m", MESSAGES, api_base=endpoint.url) as stream:
            texts.append("".join([piece.text async for piece in stream]))

    async with anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(one)
    assert texts == ["Hello"] * 50


@pytest.mark.anyio
async def test_aclose_closes_the_idle_connections_and_the_next_call_opens_another(endpoint: Endpoint) -> None:
    await tokenwire.acompletion("openai/m", MESSAGES, api_base=endpoint.url)
    assert endpoint.open_connections == 1
    await tokenwire.aclose()
    await endpoint.await_until(lambda: endpoint.open_connections == 0)
    await tokenwire.acompletion("openai/m", MESSAGES, api_base=endpoint.url)
    assert [request.connection for request in endpoint.requests] == [1, 2]
    await tokenwire.aclose()
    await tokenwire.aclose()


@pytest.mark.anyio
async def test_aclose_before_any_call() -> None:
    await tokenwire.aclose()


# Clients of one's own.


@pytest.mark.anyio
async def test_every_method_of_a_client(endpoint: Endpoint) -> None:
    async with AsyncClient(api_base=endpoint.url) as client:
        assert (await client.acompletion("openai/m", MESSAGES)).choices[0].message.content == "Hello"
        async with await client.acompletion("openai/m", MESSAGES, stream=True) as stream:
            assert "".join([part.choices[0].delta.content or "" async for part in stream]) == "Hello"
        async with client.astreaming("openai/m", MESSAGES) as pieces:
            assert "".join([piece.text async for piece in pieces]) == "Hello"
        assert (await client.atext_completion("openai/m", "Hi")).choices[0].text == "Hello"
        async with await client.atext_completion("openai/m", "Hi", stream=True) as texts:
            assert "".join([part.choices[0].text or "" async for part in texts]) == "Hello"
        assert len((await client.aembedding("openai/m", "a")).data) == 2
        assert len((await client.aimage_generation("a cat", "openai/m")).data) == 1
        assert len((await client.alist_models()).data) == 2
    assert {request.connection for request in endpoint.requests} == {1}
    await endpoint.await_until(lambda: endpoint.open_connections == 0)


@pytest.mark.anyio
async def test_a_client_s_defaults_and_a_call_s_own_keywords(endpoint: Endpoint) -> None:
    defaults: Any = {
        "api_base": endpoint.url,
        "api_key": "key-1",
        "organization": "org-1",
        "temperature": 0.1,
        "max_tokens": 5,
        "x_unknown": "default",
        "headers": {"x-a": "default", "x-b": "default"},
    }
    async with AsyncClient(**defaults) as client:
        await client.acompletion("openai/m", MESSAGES)
        await client.acompletion("openai/m", MESSAGES, temperature=0.9, x_unknown=None, api_key="key-2", headers={"x-a": "own"})
        await client.acompletion("openai/m", MESSAGES, extra_headers={"x-b": "extra", "authorization": "Basic abc"})
    first, second, third = endpoint.requests
    plain = {"model": "m", "messages": MESSAGES, "temperature": 0.1, "max_tokens": 5, "x_unknown": "default"}
    assert first.json() == plain
    assert (first.headers["authorization"], first.headers["openai-organization"]) == ("Bearer key-1", "org-1")
    assert (first.headers["x-a"], first.headers["x-b"]) == ("default", "default")
    assert second.json() == {**plain, "temperature": 0.9}  # None leaves the default in place
    assert (second.headers["authorization"], second.headers["x-a"], second.headers["x-b"]) == ("Bearer key-2", "own", "default")
    assert (third.headers["authorization"], third.headers["x-a"], third.headers["x-b"]) == ("Basic abc", "default", "extra")


@pytest.mark.anyio
async def test_a_client_does_not_change_what_it_was_given(endpoint: Endpoint) -> None:
    headers, stop = {"x-a": "1"}, ["a"]
    async with AsyncClient(api_base=endpoint.url, headers=headers, stop=stop) as client:
        await client.acompletion("openai/m", MESSAGES, extra_headers={"x-b": "2"})
    assert (headers, stop, MESSAGES) == ({"x-a": "1"}, ["a"], [{"role": "user", "content": "Hi"}])


@pytest.mark.anyio
async def test_two_clients_do_not_share_connections(endpoint: Endpoint) -> None:
    async with AsyncClient(api_base=endpoint.url) as one, AsyncClient(api_base=endpoint.url) as other:
        await one.acompletion("openai/m", MESSAGES)
        await other.acompletion("openai/m", MESSAGES)
    assert [request.connection for request in endpoint.requests] == [1, 2]


@pytest.mark.anyio
async def test_a_closed_client_says_so(endpoint: Endpoint) -> None:
    client = AsyncClient(api_base=endpoint.url, api_key="sk-secret")
    await client.acompletion("openai/m", MESSAGES)
    assert "open" in repr(client)
    await client.aclose()
    await client.aclose()
    assert "closed" in repr(client)
    assert "sk-secret" not in repr(client)
    with pytest.raises(RuntimeError, match="closed"):
        await client.acompletion("openai/m", MESSAGES)
    assert len(endpoint.requests) == 1


@pytest.mark.anyio
async def test_closing_a_client_ends_its_open_streams() -> None:
    with Endpoint(Reply(events=["Hello"], done=False, stall=True)) as endpoint:
        client = AsyncClient(api_base=endpoint.url)
        stream = client.astreaming("openai/m", MESSAGES)
        assert (await anext(stream)).text == "Hello"
        await client.aclose()
        await endpoint.await_closed(endpoint.requests[0])
        assert endpoint.requests[0].aborted
        await stream.aclose()


@pytest.mark.anyio
@pytest.mark.parametrize("stream", [False, True])
async def test_closing_a_client_ends_a_call_that_waits(stream: bool) -> None:
    with Endpoint(Reply(delay=3600)) as endpoint:
        client = AsyncClient(api_base=endpoint.url, num_retries=0)
        errors: list[APIConnectionError] = []

        async def call() -> None:
            with pytest.raises(APIConnectionError, match="closed on this side") as caught:
                await client.acompletion("openai/m", MESSAGES, stream=stream)
            errors.append(caught.value)

        async with anyio.create_task_group() as group:
            group.start_soon(call)
            await endpoint.await_silence()
            await client.aclose()
        assert errors[0].attempts[0].error == "APIConnectionError"


@pytest.mark.anyio
async def test_a_user_s_own_httpx_client_is_used_and_left_open(endpoint: Endpoint) -> None:
    async with httpx.AsyncClient(headers={"x-mine": "1"}) as http_client:
        async with AsyncClient(http_client=http_client, api_base=endpoint.url) as client:
            assert (await client.acompletion("openai/m", MESSAGES)).choices[0].message.content == "Hello"
            async with client.astreaming("openai/m", MESSAGES) as stream:
                assert "".join([piece.text async for piece in stream]) == "Hello"
        assert not http_client.is_closed
        response = await tokenwire.acompletion("openai/m", MESSAGES, api_base=endpoint.url, client=http_client)
        assert response.choices[0].message.content == "Hello"
    assert [request.headers["x-mine"] for request in endpoint.requests] == ["1"] * 3


@pytest.mark.anyio
async def test_a_mocked_httpx_transport_answers() -> None:
    def respond(request: httpx.Request) -> httpx.Response:
        assert str(request.url) == "https://llm.example/v1/chat/completions"
        return httpx.Response(200, json=completion("mocked"))

    async with httpx.AsyncClient(transport=httpx.MockTransport(respond)) as http_client:
        response = await tokenwire.acompletion("openai/m", MESSAGES, api_base="https://llm.example/v1", client=http_client)
    assert response.choices[0].message.content == "mocked"


# One loop after the other.


@pytest.fixture(params=[lambda: tokenwire, AsyncClient], ids=["the functions", "one client"])
def calls(request: pytest.FixtureRequest) -> Any:
    """Who makes the calls, in all loops of a test."""
    return request.param()


async def use_everything(url: str, calls: Any = tokenwire) -> str:
    response = await calls.acompletion("openai/m", MESSAGES, api_base=url)
    async with calls.astreaming("openai/m", MESSAGES, api_base=url) as stream:
        streamed = "".join([piece.text async for piece in stream])
    async with calls.astreaming("openai/m", MESSAGES, api_base=url) as left_early:
        await anext(left_early)
    return f"{response.choices[0].message.content} {streamed}"


@pytest.mark.parametrize(
    "runs",
    [
        (asyncio.run, asyncio.run),
        (asyncio.run, lambda main: trio.run(lambda: main)),
        (lambda main: trio.run(lambda: main), asyncio.run),
        (lambda main: trio.run(lambda: main), lambda main: trio.run(lambda: main)),
    ],
    ids=["asyncio twice", "asyncio, then trio", "trio, then asyncio", "trio twice"],
)
def test_one_loop_after_the_other(runs: Any, calls: Any, endpoint: Endpoint) -> None:
    for run in runs:
        assert run(use_everything(endpoint.url, calls)) == "Hello Hello"
        endpoint.wait_until(lambda: endpoint.open_connections == 0)
        gc.collect()  # what was not closed warns now, and a warning fails


@pytest.mark.parametrize("run", [asyncio.run, lambda main: trio.run(lambda: main)], ids=["asyncio", "trio"])
def test_a_loop_that_ended_is_forgotten(run: Any, calls: Any, endpoint: Endpoint) -> None:
    """Whoever runs one loop after the other does not collect them, nor what each had connected with."""

    async def main() -> "weakref.ref[Any]":
        await use_everything(endpoint.url, calls)
        return weakref.ref(anyio.lowlevel.current_token().native_token)

    ended = run(main())
    gc.collect()
    assert ended() is None


def test_loops_in_turns(calls: Any, endpoint: Endpoint) -> None:
    """Each loop has connections of its own, however the loops take turns."""
    with asyncio.Runner() as one, asyncio.Runner() as other:
        for _ in range(2):
            for runner in (one, other):
                response: Any = runner.run(calls.acompletion("openai/m", MESSAGES, api_base=endpoint.url))
                assert response.choices[0].message.content == "Hello"
    assert [request.connection for request in endpoint.requests] == [1, 2, 1, 2]
    gc.collect()


def test_a_loop_in_each_of_sixteen_threads(calls: Any, endpoint: Endpoint) -> None:
    """asyncio's and trio's, at the same time."""
    together = threading.Barrier(16)

    def thread(number: int) -> str:
        together.wait(PATIENCE)
        if number % 2:
            return asyncio.run(use_everything(endpoint.url, calls))
        return trio.run(use_everything, endpoint.url, calls)

    with ThreadPoolExecutor(16) as threads:
        assert set(threads.map(thread, range(16))) == {"Hello Hello"}
    endpoint.wait_until(lambda: endpoint.open_connections == 0)
    gc.collect()


@pytest.mark.parametrize("run", [asyncio.run, lambda main: trio.run(lambda: main)], ids=["asyncio", "trio"])
def test_a_transport_belongs_to_one_loop(run: Any, endpoint: Endpoint) -> None:
    client = AsyncClient(transport=HTTPTransport(), api_base=endpoint.url)
    assert run(use_everything(endpoint.url, client)) == "Hello Hello"
    endpoint.wait_until(lambda: endpoint.open_connections == 0)
    with pytest.raises(RuntimeError, match=r"transport .* belongs to another event loop"):
        run(use_everything(endpoint.url, client))


def test_closing_a_client_in_one_loop_leaves_another_s_streams_alone() -> None:
    goes_on = Endpoint(Reply(events=["Hello"], forever=True, event_delay=0.001))
    with goes_on as endpoint, asyncio.Runner() as one, asyncio.Runner() as other:
        client = AsyncClient(api_base=endpoint.url)
        stream = client.astreaming("openai/m", MESSAGES)

        async def read(count: int) -> str:
            return "".join([(await anext(stream)).text for _ in range(count)])

        assert one.run(read(1)) == "Hello"
        other.run(client.aclose())
        assert one.run(read(50)) == "Hello" * 50
        with pytest.raises(RuntimeError, match="closed"):
            one.run(client.acompletion("openai/m", MESSAGES))
        one.run(stream.aclose())


@pytest.mark.parametrize("run", [asyncio.run, lambda main: trio.run(lambda: main)], ids=["asyncio", "trio"])
def test_a_stream_that_outlives_its_loop_leaves_nothing_behind(run: Any) -> None:
    async def begin() -> Any:
        stream = tokenwire.astreaming("openai/m", MESSAGES, api_base=endpoint.url)
        await anext(stream)
        return stream

    with Endpoint(Reply(events=["Hello"], done=False, stall=True)) as endpoint:
        stream = run(begin())
        endpoint.wait_closed(endpoint.requests[0])
        del stream
        gc.collect()
        assert endpoint.requests[0].aborted
