"""What a real server refuses, and which of our exceptions says so, on every loop."""

from typing import Any

import pytest

from tokenwire import (
    APIConnectionError,
    AuthenticationError,
    BadRequestError,
    ContextWindowExceededError,
    InternalServerError,
    NotFoundError,
    acompletion,
    aembedding,
    astreaming,
    atext_completion,
)

pytestmark = [pytest.mark.real_model, pytest.mark.anyio]

MODEL = "openai/smollm2"
HI = [{"role": "user", "content": "Hi"}]
TOO_LONG = "word " * 600  # a slot holds 512 tokens


async def ask(how: str, messages: list[dict[str, Any]], **params: Any) -> None:
    if how == "whole":
        await acompletion(MODEL, messages, **params)
    elif how == "chat":
        async with await acompletion(MODEL, messages, stream=True, **params) as stream:
            async for _ in stream:
                pass
    elif how == "flat":
        async with astreaming(MODEL, messages, **params) as flat:
            async for _ in flat:
                pass
    else:
        await atext_completion(MODEL, messages[0]["content"], **params)


@pytest.mark.parametrize("how", ["whole", "chat", "flat", "text"])
@pytest.mark.parametrize(
    "params, message",
    [
        ({"temperature": "hot"}, "temperature"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"n": 99}, "'n'"),
    ],
    ids=["temperature", "max_tokens", "n"],
)
async def test_a_wrong_parameter(how: str, params: dict[str, Any], message: str, local: Any) -> None:
    with pytest.raises(BadRequestError, match=message) as caught:
        await ask(how, HI, **local | params)
    error = caught.value
    assert type(error) is BadRequestError
    assert (error.status_code, error.type, error.code) == (400, "invalid_request_error", "400")
    assert error.model == "smollm2"
    assert error.llm_provider == "openai"
    assert error.body["error"]["message"] in error.message
    assert error.response is not None
    assert error.response.status_code == 400
    assert [attempt.status for attempt in error.attempts] == [400]


@pytest.mark.parametrize("how", ["whole", "chat", "flat", "text"])
async def test_a_prompt_that_is_too_long(how: str, local: Any) -> None:
    with pytest.raises(ContextWindowExceededError, match="available context size") as caught:
        await ask(how, [{"role": "user", "content": TOO_LONG}], **local)
    assert caught.value.status_code == 400
    assert caught.value.type == "exceed_context_size_error"
    assert caught.value.body["error"]["n_ctx"] == 512
    assert caught.value.body["error"]["n_prompt_tokens"] > 600


@pytest.mark.parametrize("how", ["whole", "chat", "flat", "text"])
async def test_a_path_that_is_not_there(how: str, local: Any) -> None:
    with pytest.raises(NotFoundError, match="File Not Found") as caught:
        await ask(how, HI, **local | {"api_base": f"{local['api_base']}/nowhere"})
    assert (caught.value.status_code, caught.value.type) == (404, "not_found_error")


async def test_a_server_without_embeddings(local: Any) -> None:
    with pytest.raises(InternalServerError, match="does not support embeddings") as caught:
        await aembedding(MODEL, "text", api_base=local["api_base"], num_retries=0)
    assert (caught.value.status_code, caught.value.type) == (501, "not_supported_error")


@pytest.mark.parametrize("how", ["whole", "flat"])
async def test_a_wrong_key(how: str, equipped: Any) -> None:
    with pytest.raises(AuthenticationError) as caught:
        await ask(how, HI, **equipped | {"api_key": "shibboleth"})
    assert (caught.value.status_code, caught.value.type) == (401, "authentication_error")
    assert "shibboleth" not in f"{caught.value!r} {caught.value.body}"


async def test_a_server_that_is_not_there(local: Any) -> None:
    with pytest.raises(APIConnectionError):
        await acompletion(MODEL, HI, **local | {"api_base": "http://127.0.0.1:1/v1"})
