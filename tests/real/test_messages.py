"""Anthropic's Messages as a real server imitates them."""

from typing import Any

import pytest

from tokenwire import ModelResponse, acompletion

from ..conftest import one_loop

pytestmark = [pytest.mark.real_model, pytest.mark.anyio]

MODEL = "anthropic/smollm2"
HI = [{"role": "system", "content": "You are brief."}, {"role": "user", "content": "Say hello."}]


@pytest.fixture
def local(local: dict[str, Any]) -> dict[str, Any]:
    """Without what the API has nothing for."""
    return {name: value for name, value in local.items() if name != "seed"}


async def streamed(messages: Any, **params: Any) -> ModelResponse:
    async with await acompletion(MODEL, messages, stream=True, **params) as stream:
        async for _ in stream:
            pass
    assert stream.outcome == "complete"
    assert isinstance(stream.response, ModelResponse)
    return stream.response


@one_loop
async def test_an_answer_whole_and_streamed(local: Any) -> None:
    whole, pieces = await acompletion(MODEL, HI, **local), await streamed(HI, **local)
    for answer in (whole, pieces):
        assert answer.choices[0].finish_reason in ("stop", "length")
        assert answer.usage is not None
        assert answer.usage.prompt_tokens > 10
        assert 0 < answer.usage.completion_tokens <= 16
    assert whole.choices[0].message.content == pieces.choices[0].message.content != ""


@one_loop
async def test_a_stop_sequence(local: Any) -> None:
    first = (await acompletion(MODEL, HI, **local)).choices[0].message.content or ""
    word = first.split()[1]
    answer = await streamed(HI, **local, stop=[word])
    assert answer.choices[0].finish_reason == "stop"
    assert word not in (answer.choices[0].message.content or "")
