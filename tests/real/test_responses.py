"""llama.cpp's own `/v1/responses`: called, and served again by this library, with the same answer either way."""

from typing import Any

import pytest

import tokenwire
from tokenwire import acompletion

from ..conftest import one_loop

pytestmark = [pytest.mark.real_model, pytest.mark.anyio]


MESSAGES = [{"role": "user", "content": "Count to three."}]


@pytest.fixture
def asked(local: dict[str, Any]) -> dict[str, Any]:
    """As `local`, without what the API has no parameter for."""
    return {name: value for name, value in local.items() if name != "seed"}


async def test_what_chat_completions_say(asked: dict[str, Any]) -> None:
    chat = await acompletion("openai/smollm2", MESSAGES, **asked)
    response = await acompletion("openai/responses/smollm2", MESSAGES, **asked)
    assert response.choices[0].message.content == chat.choices[0].message.content
    assert response.usage is not None
    assert chat.usage is not None
    assert response.usage.completion_tokens == chat.usage.completion_tokens


async def test_a_stream(asked: dict[str, Any]) -> None:
    whole = await acompletion("responses/smollm2", MESSAGES, **asked)
    async with await acompletion("responses/smollm2", MESSAGES, stream=True, **asked) as stream:
        pieces = [chunk.choices[0].delta.content async for chunk in stream if chunk.choices]
    assert len(pieces) > 3
    assert "".join(piece or "" for piece in pieces) == whole.choices[0].message.content
    assert stream.outcome == "complete"
    assert stream.usage is not None
    assert stream.usage.completion_tokens > 0


@one_loop
async def test_an_answer_that_is_not_one(asked: dict[str, Any]) -> None:
    with pytest.raises(tokenwire.BadRequestError):
        await acompletion("responses/smollm2", [{"role": "user", "content": "a " * 20_000}], **asked)
