"""Who is asked when the first can't answer, and what is seen of it."""

import gc
import logging
import weakref
from collections.abc import AsyncIterator
from typing import Any

import pytest

import tokenwire
from tokenwire import AsyncClient, CustomLLM, CustomLLMError, GenericStreamingChunk, Timeouts
from tokenwire.testing import Endpoint, FakeClock, Reply, chunk, completion

from ..conftest import an_hour

MESSAGES = [{"role": "user", "content": "Hi"}]
BUSY = Reply(status=503, json={"error": {"message": "busy"}}, headers={"retry-after": "0"})
TOO_LONG = Reply(status=400, json={"error": {"message": "too long", "code": "context_length_exceeded"}})
GOOD = Reply(json=completion("Hello"))


class Told(CustomLLM):
    """Answers with what it was told."""

    def __init__(self) -> None:
        self.heard: dict[str, Any] = {}

    async def acompletion(self, *args: Any, model_response: Any, **keywords: Any) -> Any:
        self.heard = keywords
        model_response.choices[0].message.content = "from the handler"
        return model_response

    async def astreaming(self, *args: Any, **keywords: Any) -> AsyncIterator[GenericStreamingChunk]:
        self.heard = keywords
        yield GenericStreamingChunk(text="from the handler")
        yield GenericStreamingChunk(is_finished=True, finish_reason="stop")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    handler = Told()
    monkeypatch.setattr(tokenwire, "custom_provider_map", [{"provider": "mine", "custom_handler": handler}])
    return handler


def summary(attempts: tuple[Any, ...]) -> list[tuple[str, int | None, str | None]]:
    return [(attempt.target, attempt.status, attempt.error) for attempt in attempts]


async def complete(endpoint: Endpoint, **keywords: Any) -> Any:
    return await tokenwire.acompletion("openai/m", MESSAGES, api_base=endpoint.url, **keywords)


@pytest.mark.anyio
async def test_the_next_one_answers_once_the_first_one_s_attempts_are_used_up(told: Told) -> None:
    with Endpoint(BUSY) as endpoint:
        response = await complete(endpoint, num_retries=1, fallbacks=["mine/small"])
    assert response.choices[0].message.content == "from the handler"
    assert response._hidden_params["custom_llm_provider"] == "mine"
    assert summary(response.attempts) == [
        ("openai/m", 503, "ServiceUnavailableError"),
        ("openai/m", 503, "ServiceUnavailableError"),
        ("mine/small", 200, None),
    ]
    assert [attempt.number for attempt in response.attempts] == [1, 2, 3]


@pytest.mark.anyio
async def test_they_are_tried_in_order_and_the_last_error_is_raised() -> None:
    with Endpoint(BUSY) as endpoint, pytest.raises(tokenwire.ServiceUnavailableError) as caught:
        await complete(endpoint, num_retries=0, fallbacks=["openai/a", {"model": "openai/b", "num_retries": 1}])
    models = ["m", "a", "b", "b"]
    assert [request.json()["model"] for request in endpoint.requests] == models
    assert [attempt.target for attempt in caught.value.attempts] == [f"openai/{model}" for model in models]
    assert caught.value.model == "b"


@pytest.mark.anyio
@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 429, 500, 504])
async def test_whatever_a_server_refuses_another_may_do(status: int) -> None:
    with Endpoint([Reply(status=status, json={"error": {"message": "no"}}), GOOD]) as endpoint:
        response = await complete(endpoint, num_retries=0, fallbacks=["openai/other"])
    assert response.choices[0].message.content == "Hello"


@pytest.mark.anyio
async def test_a_handler_s_failure_is_one_too(monkeypatch: pytest.MonkeyPatch) -> None:
    class Fails(CustomLLM):
        async def acompletion(self, *args: Any, **keywords: Any) -> Any:
            raise CustomLLMError(status_code=500, message="broken")

    monkeypatch.setattr(tokenwire, "custom_provider_map", [{"provider": "mine", "custom_handler": Fails()}])
    with Endpoint(GOOD) as endpoint:
        response = await tokenwire.acompletion("mine/m", MESSAGES, fallbacks=[{"model": "openai/m", "api_base": endpoint.url}])
    assert summary(response.attempts) == [("mine/m", 500, "InternalServerError"), ("openai/m", 200, None)]


@pytest.mark.anyio
async def test_the_caller_s_own_mistake_is_nobody_else_s(told: Told) -> None:
    with Endpoint(GOOD) as endpoint, pytest.raises(tokenwire.BadRequestError, match="n must be"):
        await complete(endpoint, n=0, fallbacks=["mine/m"])
    assert not told.heard


@pytest.mark.anyio
async def test_another_provider_gets_the_parameters_but_no_key_address_or_credentials(told: Told) -> None:
    headers = {"Authorization": "Bearer secret", "X-Trace": "7"}
    with Endpoint(BUSY) as endpoint:
        await complete(
            endpoint, num_retries=0, api_key="secret", temperature=0.5, extra_headers=headers, fallbacks=["mine/small"]
        )
    assert told.heard["optional_params"] == {"temperature": 0.5}
    assert told.heard["headers"] == {"X-Trace": "7"}
    assert (told.heard["api_key"], told.heard["api_base"]) == (None, None)


@pytest.mark.anyio
async def test_the_same_provider_keeps_them_and_a_dict_s_own_win() -> None:
    with Endpoint([BUSY, BUSY, GOOD]) as endpoint:
        await complete(
            endpoint,
            num_retries=0,
            api_key="k1",
            temperature=0.5,
            fallbacks=["openai/a", {"model": "openai/b", "api_key": "k2", "temperature": 0.1, "messages": MESSAGES * 2}],
        )
    keys = [request.headers["authorization"] for request in endpoint.requests]
    assert keys == ["Bearer k1", "Bearer k1", "Bearer k2"]
    bodies = [request.json() for request in endpoint.requests]
    assert [(body["temperature"], len(body["messages"])) for body in bodies] == [(0.5, 1), (0.5, 1), (0.1, 2)]
    assert all("fallbacks" not in body for body in bodies)


@pytest.mark.anyio
async def test_a_named_provider_is_the_call_s_alone(told: Told) -> None:
    with Endpoint(BUSY) as endpoint:
        response = await tokenwire.acompletion(
            "m", MESSAGES, custom_llm_provider="openai", api_base=endpoint.url, num_retries=0, fallbacks=["mine/m"]
        )
    assert response.choices[0].message.content == "from the handler"


@pytest.mark.anyio
async def test_a_client_s_default_and_a_call_without(told: Told) -> None:
    with Endpoint(BUSY) as endpoint:
        async with AsyncClient(api_base=endpoint.url, num_retries=0, fallbacks=["mine/m"]) as client:
            response = await client.acompletion("openai/m", MESSAGES)
            assert response.choices[0].message.content == "from the handler"
            with pytest.raises(tokenwire.ServiceUnavailableError):
                await client.acompletion("openai/m", MESSAGES, fallbacks=[])


def test_sync_calls_and_other_kinds(told: Told) -> None:
    with Endpoint(BUSY) as endpoint:
        response = tokenwire.completion("openai/m", MESSAGES, api_base=endpoint.url, num_retries=0, fallbacks=["mine/m"])
        assert response.choices[0].message.content == "from the handler"
        text = tokenwire.text_completion("openai/m", "Hi", api_base=endpoint.url, num_retries=0, fallbacks=["mine/m"])
        assert text.choices[0].text == "from the handler"
    vector = {"object": "list", "model": "e", "data": [{"object": "embedding", "index": 0, "embedding": [1.0]}]}
    with Endpoint([BUSY, Reply(json=vector)]) as endpoint:
        found = tokenwire.embedding("openai/e", "Hi", api_base=endpoint.url, num_retries=0, fallbacks=["openai/f"])
    assert found.data[0].embedding == [1.0]
    assert [request.json()["model"] for request in endpoint.requests] == ["e", "f"]


# Streams.


@pytest.mark.anyio
async def test_a_stream_turns_to_the_next_until_the_first_content(told: Told) -> None:
    cut = Reply(events=[chunk(role="assistant"), {"error": {"message": "busy", "code": 503}}])
    with Endpoint(cut) as endpoint:
        stream = await complete(endpoint, stream=True, num_retries=0, fallbacks=["mine/small"])
        deltas = [piece.choices[0].delta async for piece in stream]
    assert [delta.content for delta in deltas if delta.content] == ["from the handler"]
    assert stream.outcome == "complete"
    assert [attempt.target for attempt in stream.attempts] == ["openai/m", "mine/small"]
    assert stream.response.choices[0].message.content == "from the handler"


@pytest.mark.anyio
async def test_and_never_after_it(told: Told) -> None:
    broken = Reply(events=[chunk("Hel"), {"error": {"message": "busy", "code": 503}}])
    with Endpoint(broken) as endpoint:
        stream = await complete(endpoint, stream=True, num_retries=0, fallbacks=["mine/small"])
        with pytest.raises(tokenwire.ServiceUnavailableError) as caught:
            async for _ in stream:
                pass
    assert caught.value.partial.choices[0].message.content == "Hel"
    assert [attempt.target for attempt in stream.attempts] == ["openai/m"]
    assert not told.heard


@pytest.mark.anyio
async def test_flat_streams_and_refused_connections(told: Told) -> None:
    with Endpoint(GOOD) as endpoint:
        nowhere = endpoint.url  # nobody listens there any more
    stream = tokenwire.astreaming("openai/m", MESSAGES, api_base=nowhere, num_retries=0, fallbacks=["mine/small"])
    assert "".join([piece.text async for piece in stream]) == "from the handler"
    assert summary(stream.attempts) == [("openai/m", 500, "APIConnectionError"), ("mine/small", None, None)]


class Prompt(str):
    """One that can be asked whether it is still there."""

    __slots__ = ("__weakref__",)


@pytest.mark.anyio
async def test_nothing_is_held_on_to_after_the_first_content() -> None:
    async def words(messages: Any, **_: Any) -> AsyncIterator[str]:
        del messages, _
        yield "one "
        yield "two"

    async with AsyncClient(handlers={"mine": words, "other": words}) as client:
        messages: list[Any] = [{"role": "user", "content": Prompt("Hi")}]
        prompt = weakref.ref(messages[0]["content"])
        stream = client.astreaming("mine/m", messages, fallbacks=["other/m"], context_window_fallback_dict={"m": "other/l"})
        messages.clear()
        assert prompt() is not None
        await anext(stream)
        gc.collect()
        assert prompt() is None
        await stream.aclose()


# Deadlines.


@pytest.mark.anyio
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_total_covers_all_targets(streamed: bool, clock: FakeClock) -> None:
    fallback = {"model": "openai/b", "timeout": Timeouts(first_content=60.0, total=600.0)}
    first = Timeouts(first_content=20.0, total=30.0)

    async def call(endpoint: Endpoint) -> None:
        response = await complete(endpoint, num_retries=0, timeout=first, stream=streamed, fallbacks=[fallback])
        async for _ in response:
            pass

    with Endpoint(Reply(delay=7200)) as endpoint:

        async def both_asked() -> None:
            await endpoint.await_silence(1)
            await clock.aadvance(21.0)
            await endpoint.await_silence(2)

        async with an_hour(clock, both_asked):
            with pytest.raises(tokenwire.Timeout) as caught:
                await call(endpoint)
    assert caught.value.budget == "total"
    assert "30 s" in str(caught.value)
    assert [attempt.target for attempt in caught.value.attempts] == ["openai/m", "openai/b"]


# A prompt that does not fit.


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["openai/m", "m"])
async def test_a_larger_model_is_asked_where_the_prompt_does_not_fit(name: str) -> None:
    with Endpoint([TOO_LONG, TOO_LONG, GOOD]) as endpoint:
        response = await complete(
            endpoint, context_window_fallback_dict={name: "openai/large", "openai/large": {"model": "openai/huge"}}
        )
    assert response.choices[0].message.content == "Hello"
    assert [attempt.target for attempt in response.attempts] == ["openai/m", "openai/large", "openai/huge"]


@pytest.mark.anyio
async def test_a_larger_model_is_for_that_alone_and_a_circle_ends() -> None:
    with Endpoint(BUSY) as endpoint, pytest.raises(tokenwire.ServiceUnavailableError):
        await complete(endpoint, num_retries=0, context_window_fallback_dict={"m": "openai/large"})
    assert len(endpoint.requests) == 1
    circle = {"openai/m": "openai/large", "openai/large": "openai/m"}
    with Endpoint(TOO_LONG) as endpoint, pytest.raises(tokenwire.ContextWindowExceededError):
        await complete(endpoint, context_window_fallback_dict=circle)
    assert [request.json()["model"] for request in endpoint.requests] == ["m", "large", "m"]


@pytest.mark.anyio
async def test_it_comes_before_fallbacks_which_have_larger_ones_too() -> None:
    larger = {"openai/m": "openai/m-large", "openai/b": "openai/b-large"}
    with Endpoint([TOO_LONG, BUSY, TOO_LONG, GOOD]) as endpoint:
        response = await complete(endpoint, num_retries=0, fallbacks=["openai/b"], context_window_fallback_dict=larger)
    targets = ["openai/m", "openai/m-large", "openai/b", "openai/b-large"]
    assert [attempt.target for attempt in response.attempts] == targets


# What is told.


@pytest.mark.anyio
async def test_the_log_names_who_is_asked(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "tokenwire"), Endpoint(BUSY) as endpoint:
        await complete(endpoint, num_retries=0, fallbacks=["mine/small"])
    lines = [record.getMessage().partition(", ")[2] for record in caplog.records if "attempt" in record.getMessage()]
    assert [line.partition(":")[0] for line in lines] == ["openai/m", "openai/m", "mine/small"]
