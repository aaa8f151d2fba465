"""`/completions`, `/models` and `/embeddings` of a real server, on every loop."""

import base64
import struct
from typing import Any

import pytest

from tokenwire import (
    ModelResponse,
    TextCompletionResponse,
    acompletion,
    aembedding,
    alist_models,
    astreaming,
    atext_completion,
)

from ..conftest import one_loop

pytestmark = [pytest.mark.real_model, pytest.mark.anyio]

MODEL = "openai/smollm2"
COUNTING = "One, two, three,"


async def collect(prompt: Any, **params: Any) -> tuple[list[TextCompletionResponse], TextCompletionResponse]:
    """The chunks of a streamed continuation, and what was assembled from them."""
    async with await atext_completion(MODEL, prompt, stream=True, **params) as stream:
        chunks = [chunk async for chunk in stream]
    assert stream.outcome == "complete"
    assert isinstance(stream.response, TextCompletionResponse)
    return chunks, stream.response


async def test_the_streamed_continuation_is_the_whole_one(local: Any) -> None:
    short = local | {"max_tokens": 5}
    whole = await atext_completion(MODEL, COUNTING, **short)
    chunks, streamed = await collect(COUNTING, **short)
    assert whole.object == chunks[0].object == "text_completion"
    assert (whole.choices[0].text or "").startswith(" four")
    assert whole.choices[0].finish_reason == "length"
    assert [(choice.text, choice.finish_reason) for choice in streamed.choices] == [(whole.choices[0].text, "length")]
    assert "".join(chunk.choices[0].text or "" for chunk in chunks) == whole.choices[0].text
    assert whole.usage is not None
    assert streamed.usage is not None  # llama.cpp sends it here without being asked
    assert (streamed.usage.prompt_tokens, streamed.usage.completion_tokens) == (whole.usage.prompt_tokens, 5)
    assert whole.timings["predicted_n"] == chunks[-1]["timings"]["predicted_n"] == 5  # type: ignore[attr-defined]


@one_loop
async def test_stop_ends_it_before_the_word(local: Any) -> None:
    whole = await atext_completion(MODEL, COUNTING, stop=" five", **local)
    _, streamed = await collect(COUNTING, stop=" five", **local)
    assert (whole.choices[0].text, whole.choices[0].finish_reason) == (" four,", "stop")
    assert (streamed.choices[0].text, streamed.choices[0].finish_reason) == (" four,", "stop")


@one_loop
async def test_several_prompts_have_a_choice_each(local: Any) -> None:
    prompts = [COUNTING, "A, B, C, D,"]
    short = local | {"max_tokens": 4}
    whole = await atext_completion(MODEL, prompts, **short)
    _, streamed = await collect(prompts, **short)
    assert [choice.index for choice in whole.choices] == [0, 1]
    assert [(choice.text or "")[:2] for choice in whole.choices] == [" f", " E"]
    assert {choice.index: choice.text for choice in streamed.choices} == {choice.index: choice.text for choice in whole.choices}


@one_loop
async def test_token_ids_are_a_prompt(local: Any) -> None:
    response = await atext_completion(MODEL, [3725, 28, 827], **local | {"max_tokens": 2})
    assert response.usage is not None
    assert (response.usage.prompt_tokens, response.usage.completion_tokens) == (3, 2)


@one_loop
async def test_logprobs_come_with_every_token(local: Any) -> None:
    short = local | {"max_tokens": 3, "logprobs": 2}
    whole = await atext_completion(MODEL, COUNTING, **short)
    _, streamed = await collect(COUNTING, **short)
    for response in (whole, streamed):
        tokens = response.choices[0].logprobs["content"]  # llama.cpp has the chat's form here, not OpenAI's older one
        assert "".join(token["token"] for token in tokens) == response.choices[0].text
        assert [len(token["top_logprobs"]) for token in tokens] == [2, 2, 2]


@pytest.mark.parametrize(
    "names",
    [{"model": MODEL, "custom_llm_provider": "text-completion-openai"}, {"model": "text-completion-openai/smollm2"}],
    ids=["keyword", "prefix"],
)
async def test_a_chat_call_can_go_to_completions(names: dict[str, str], local: Any) -> None:
    short = local | names | {"max_tokens": 5, "messages": [{"role": "user", "content": COUNTING}]}
    expected = await atext_completion(MODEL, COUNTING, **local | {"max_tokens": 5})
    whole = await acompletion(**short)
    async with await acompletion(stream=True, **short) as stream:
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    async with astreaming(**short) as flat:
        pieces = [chunk.text async for chunk in flat]
    assert isinstance(whole, ModelResponse)
    assert isinstance(stream.response, ModelResponse)
    assert whole.choices[0].message.content == text == "".join(pieces) == expected.choices[0].text
    assert stream.response.choices[0].finish_reason == whole.choices[0].finish_reason == "length"
    assert whole.usage is not None
    assert stream.usage is not None
    assert stream.usage.completion_tokens == whole.usage.completion_tokens == 5


async def test_the_model_is_listed(local: Any) -> None:
    models = await alist_models(api_base=local["api_base"])
    assert [(model.id, model.owned_by) for model in models.data] == [("smollm2", "llamacpp")]
    assert models.data[0].meta["n_params"] > 1e8  # type: ignore[attr-defined]


@one_loop
async def test_embeddings(equipped: Any) -> None:
    endpoint = {"api_base": equipped["api_base"], "api_key": equipped["api_key"]}
    texts = ["The cat sits on the mat.", "A cat is on a mat.", "Interest rates rose sharply."]
    response = await aembedding(MODEL, texts, **endpoint)
    assert [item.index for item in response.data] == [0, 1, 2]
    cat, same_cat, rates = (item.embedding for item in response.data)
    assert len(cat) == len(rates) == 576
    assert similarity(cat, same_cat) > similarity(cat, rates)
    assert response.usage is not None
    assert response.usage.prompt_tokens > 15
    plain = (await aembedding(MODEL, texts[0], **endpoint)).data[0].embedding
    encoded = (await aembedding(MODEL, texts[0], encoding_format="base64", **endpoint)).data[0].embedding
    assert isinstance(encoded, str)
    assert similarity(struct.unpack("<576f", base64.b64decode(encoded)), plain) == pytest.approx(1, abs=1e-3)


def similarity(one: Any, other: Any) -> float:
    """The cosine of two vectors of length 1."""
    return sum(a * b for a, b in zip(one, other, strict=True))
