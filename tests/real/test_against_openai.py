"""The same requests to the same server, through tokenwire and through the openai package."""

from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tokenwire import BadRequestError, completion, embedding, list_models, text_completion

pytestmark = pytest.mark.real_model

HI: list[Any] = [{"role": "user", "content": "Hi"}]
ALIKE: Any = {"temperature": 0, "seed": 1, "max_tokens": 12}
COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")


@pytest.fixture
def client(server: Any) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.url, api_key="none", max_retries=0) as client:
        yield client


def counts(usage: Any) -> list[int]:
    return [getattr(usage, name) for name in COUNTS]


@pytest.mark.parametrize(
    "params",
    [{}, {"max_tokens": 2}, {"stop": ["How"]}, {"n": 2}, {"logprobs": True, "top_logprobs": 1}],
    ids=["plain", "length", "stop", "n", "logprobs"],
)
def test_a_whole_answer(params: dict[str, Any], client: openai.OpenAI, local: Any) -> None:
    theirs = client.chat.completions.create(model="smollm2", messages=HI, **ALIKE | params)
    ours = completion("openai/smollm2", HI, **local | ALIKE | params)
    for our_choice, their_choice in zip(ours.choices, theirs.choices, strict=True):
        assert our_choice.index == their_choice.index
        assert our_choice.finish_reason == their_choice.finish_reason
        assert our_choice.message.content == their_choice.message.content
        their_tokens = [token.token for token in (their_choice.logprobs and their_choice.logprobs.content) or ()]
        assert [token["token"] for token in (our_choice.logprobs or {"content": ()})["content"]] == their_tokens
    assert counts(ours.usage) == counts(theirs.usage)
    assert (ours.model, ours.object, ours.system_fingerprint) == (theirs.model, theirs.object, theirs.system_fingerprint)


def test_a_streamed_answer_chunk_by_chunk(client: openai.OpenAI, local: Any) -> None:
    params: Any = ALIKE | {"stream_options": {"include_usage": True}}
    with client.chat.completions.create(model="smollm2", messages=HI, stream=True, **params) as stream:
        theirs = [chunk.model_dump(exclude={"id", "created"}, exclude_none=True) for chunk in stream]
    with completion("openai/smollm2", HI, stream=True, **local | params) as stream:
        ours = [chunk.model_dump(exclude_none=True) for chunk in stream]
    for chunk in [*ours, *theirs]:
        for name in ("id", "created", "timings"):
            chunk.pop(name, None)
        (chunk.get("usage") or {}).pop("prompt_tokens_details", None)  # how much was cached depends on who came before
    assert ours == theirs


def test_a_continuation(client: openai.OpenAI, local: Any) -> None:
    prompt = "One, two, three,"
    theirs = client.completions.create(model="smollm2", prompt=prompt, **ALIKE)
    ours = text_completion("openai/smollm2", prompt, **local | ALIKE)
    assert (ours.choices[0].text, ours.choices[0].finish_reason) == (theirs.choices[0].text, theirs.choices[0].finish_reason)
    assert counts(ours.usage) == counts(theirs.usage)
    with client.completions.create(model="smollm2", prompt=prompt, stream=True, **ALIKE) as stream:
        their_pieces = [chunk.choices[0].text for chunk in stream]
    with text_completion("openai/smollm2", prompt, stream=True, **local | ALIKE) as stream:
        our_pieces = [chunk.choices[0].text for chunk in stream]
    assert our_pieces == their_pieces


def test_models_and_embeddings(client: openai.OpenAI, local: Any, equipped: Any) -> None:
    assert [model.id for model in list_models(api_base=local["api_base"]).data] == [model.id for model in client.models.list()]
    endpoint = {"api_base": equipped["api_base"], "api_key": equipped["api_key"]}
    ours = embedding("openai/smollm2", ["a cat", "a dog"], **endpoint)
    with openai.OpenAI(base_url=endpoint["api_base"], api_key=endpoint["api_key"], max_retries=0) as equipped_client:
        theirs = equipped_client.embeddings.create(model="smollm2", input=["a cat", "a dog"])
    for our_item, their_item in zip(ours.data, theirs.data, strict=True):
        assert our_item.embedding == pytest.approx(their_item.embedding, abs=1e-4)


def test_a_refusal(client: openai.OpenAI, local: Any) -> None:
    hot: Any = {"temperature": "hot"}
    with pytest.raises(openai.BadRequestError) as theirs:
        client.chat.completions.create(model="smollm2", messages=HI, **hot)
    with pytest.raises(BadRequestError) as ours:
        completion("openai/smollm2", HI, **local | hot)
    assert ours.value.status_code == theirs.value.status_code
    assert ours.value.type == theirs.value.type
    assert ours.value.body["error"] == theirs.value.body
