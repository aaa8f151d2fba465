"""The metrics of calls, recorded once for each."""

from typing import Any

import pytest

import tokenwire
from tokenwire import OTel
from tokenwire.testing import Endpoint, Reply, completion

from .conftest import Exported, attributes

MESSAGES = [{"role": "user", "content": "Hi"}]
INFERENCE = "gen_ai.client.inference"

pytestmark = pytest.mark.anyio


async def read(**keywords: Any) -> None:
    async for _ in tokenwire.astreaming("openai/m", MESSAGES, **keywords):
        pass


async def test_a_whole_answer(exported: Exported) -> None:
    with Endpoint([Reply(json=completion("Hello"))]) as endpoint:
        await tokenwire.acompletion("openai/m", MESSAGES, api_base=endpoint.url)
    found = exported.metrics
    ((labels, (seconds, count)),) = found[f"{INFERENCE}.duration"]
    span = exported.span
    assert span.end_time is not None
    assert span.start_time is not None
    assert seconds == pytest.approx((span.end_time - span.start_time) / 1e9, abs=1e-6)
    assert count == 1
    assert {name: labels[name] for name in labels if not name.startswith("server.")} == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "m",
        "gen_ai.response.model": "test-model",
    }
    assert [found[f"{INFERENCE}.usage.{way}_tokens"][0][1] for way in ("input", "output")] == [5, 7]
    assert [found[f"{INFERENCE}.operation.{way}_tokens"][0][1] for way in ("input", "output")] == [(5, 1), (7, 1)]
    assert found[f"{INFERENCE}.usage.input_tokens"][0][0]["gen_ai.token.modality"] == "unknown"
    assert f"{INFERENCE}.time_to_first_chunk" not in found


async def test_a_stream_is_recorded_once(exported: Exported) -> None:
    with Endpoint([Reply(text="one two three four")]) as endpoint:
        await read(api_base=endpoint.url)
    found = exported.metrics
    assert found[f"{INFERENCE}.time_to_first_chunk"][0][1] == (
        attributes(exported.span)["gen_ai.response.time_to_first_chunk"],
        1,
    )
    assert found[f"{INFERENCE}.time_per_output_chunk"][0][1][1] == 1


async def test_each_chunk_where_that_is_asked_for(exported: Exported) -> None:
    with Endpoint([Reply(text="one two three four")]) as endpoint:
        stream = tokenwire.astreaming("openai/m", MESSAGES, api_base=endpoint.url, otel=OTel(chunk_metrics=True))
        chunks = [chunk async for chunk in stream]
    assert exported.metrics[f"{INFERENCE}.time_per_output_chunk"][0][1][1] == len(chunks) - 1


async def test_a_failure_counts_no_tokens(exported: Exported) -> None:
    with pytest.raises(tokenwire.RateLimitError):
        error = tokenwire.RateLimitError("no", status_code=429)
        await tokenwire.acompletion("openai/m", MESSAGES, mock_response=error)
    found = exported.metrics
    assert found[f"{INFERENCE}.duration"][0][0]["error.type"] == "RateLimitError"
    assert found[f"{INFERENCE}.usage.output_tokens"][0][1] == 0


async def test_tokens_of_a_cache_and_of_reasoning(exported: Exported) -> None:
    usage = {
        "prompt_tokens": 9,
        "completion_tokens": 8,
        "total_tokens": 17,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 3},
    }
    with Endpoint([Reply(json=completion("Hello", usage=usage))]) as endpoint:
        await tokenwire.acompletion("openai/m", MESSAGES, api_base=endpoint.url)
    found = exported.metrics
    assert found[f"{INFERENCE}.usage.cache_read.input_tokens"][0][1] == 4
    assert found[f"{INFERENCE}.usage.reasoning.output_tokens"][0][1] == 3
    assert attributes(exported.span)["gen_ai.usage.cache_read.input_tokens"] == 4


async def test_embeddings_have_metrics_of_their_own(exported: Exported) -> None:
    answer = {
        "object": "list",
        "model": "e",
        "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}],
        "usage": {"prompt_tokens": 2, "total_tokens": 2},
    }
    with Endpoint([Reply(json=answer)]) as endpoint:
        await tokenwire.aembedding("openai/e", "Hi", api_base=endpoint.url, dimensions=1, encoding_format="float")
    span, found = exported.span, exported.metrics
    assert span.name == "embeddings e"
    told = attributes(span)
    assert (told["gen_ai.embeddings.dimension.count"], told["gen_ai.request.encoding_formats"]) == (1, ["float"])
    assert "gen_ai.response.finish_reasons" not in told
    assert found["gen_ai.client.embeddings.duration"][0][1][1] == 1
    assert found["gen_ai.client.embeddings.operation.input_tokens"][0][1] == (2, 1)
    assert f"{INFERENCE}.duration" not in found


async def test_the_old_names_beside_the_new_ones(exported: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", "http, gen_ai/dup")
    with Endpoint([Reply(json=completion("Hello"))]) as endpoint:
        await tokenwire.acompletion("openai/m", MESSAGES, api_base=endpoint.url)
    found = exported.metrics
    assert found["gen_ai.client.operation.duration"][0][0]["gen_ai.system"] == "openai"
    assert {labels["gen_ai.token.type"]: value for labels, value in found["gen_ai.client.token.usage"]} == {
        "input": (5, 1),
        "output": (7, 1),
    }
    assert found[f"{INFERENCE}.duration"]
    assert attributes(exported.span)["gen_ai.system"] == "openai"


async def test_only_metrics_are_set_up(exported: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opentelemetry.trace._TRACER_PROVIDER", None)
    with Endpoint([Reply(text="Hello")]) as endpoint:
        await read(api_base=endpoint.url)
    assert exported.spans == []
    assert exported.metrics[f"{INFERENCE}.duration"][0][1][1] == 1


@pytest.mark.parametrize("each", [False, True], ids=["once", "each chunk"])
async def test_a_stream_that_is_handed_on_has_all_of_its_chunks(each: bool, exported: Exported) -> None:
    async def words(**_: Any) -> Any:
        for word in ("one ", "two ", "three ", "four"):
            yield word

    async def send(chunks: list[Any]) -> None:
        sent.extend(chunks)

    sent: list[Any] = []
    tokenwire.register("counted", words)
    await tokenwire.astreaming("counted/m", MESSAGES, otel=OTel(chunk_metrics=each)).pass_on(send)
    assert exported.metrics[f"{INFERENCE}.time_per_output_chunk"][0][1][1] == (len(sent) - 1 if each else 1)
