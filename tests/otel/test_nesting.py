"""Two instrumentations, one count: by the names of opentelemetry-util-genai 1.3b0, whose instrumentations may be there."""

import sys
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest
from opentelemetry import context

import tokenwire
from tokenwire import AsyncClient
from tokenwire.testing import Endpoint, Reply, completion

from .conftest import Exported, attributes

MESSAGES = [{"role": "user", "content": "Hi"}]
KEY = "opentelemetry.genai.client.inference.context"

pytestmark = pytest.mark.anyio


@dataclass
class InferenceData:
    """The fields that are filled here, of more."""

    response_id: str | None = None
    response_model: str | None = None
    response_finish_reasons: list[str] | None = None
    request_stream: bool | None = None
    usage_input_tokens: int | None = None
    usage_output_tokens: int | None = None


@pytest.fixture(autouse=True)
def package(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the package has, as far as it is looked at."""
    module: Any = ModuleType("opentelemetry.util.genai.invocation")
    module.CLIENT_INFERENCE_CONTEXT_KEY, module.InferenceData = KEY, InferenceData
    monkeypatch.setitem(sys.modules, module.__name__, module)


async def test_inside_anothers_call_there_is_no_second_span(exported: Exported) -> None:
    data = InferenceData()
    token = context.attach(context.set_value(KEY, data))
    try:
        assert [chunk async for chunk in tokenwire.astreaming("openai/m", MESSAGES, mock_response="Hi")]
        assert data.request_stream is True
        with Endpoint([Reply(json=completion("Hello"))]) as endpoint:
            await tokenwire.acompletion("openai/m", MESSAGES, api_base=endpoint.url)
    finally:
        context.detach(token)
    assert (exported.spans, exported.metrics) == ([], {})
    assert (data.usage_input_tokens, data.usage_output_tokens, data.response_finish_reasons) == (5, 7, ["stop"])


async def test_a_client_inside_a_handler_fills_ours(exported: Exported) -> None:
    async def handler(**_: Any) -> str:
        data: Any = context.get_value(KEY)
        data.usage_input_tokens, data.usage_output_tokens = 3, 4  # as an instrumented client does
        return "Hello"

    async with AsyncClient(handlers={"h": handler}) as client:
        await client.acompletion("h/m", MESSAGES)
    found = attributes(exported.span)
    assert (found["gen_ai.usage.input_tokens"], found["gen_ai.usage.output_tokens"]) == (3, 4)
    assert exported.metrics["gen_ai.client.inference.usage.output_tokens"][0][1] == 4


async def test_our_own_call_inside_a_handler_is_another_call(exported: Exported) -> None:
    async def handler(**_: Any) -> Any:
        return (await tokenwire.acompletion("openai/inner", MESSAGES, mock_response="Hello")).text

    async with AsyncClient(handlers={"h": handler}) as client:
        await client.acompletion("h/outer", MESSAGES)
    assert [span.name for span in exported.spans] == ["chat inner", "chat outer"]
