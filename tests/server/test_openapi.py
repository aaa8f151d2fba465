"""The description at `/openapi.json`, and what comes of requests made up from it: never a 500, always what it says."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.python import asgi
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tokenwire import (
    Choices,
    Embedding,
    EmbeddingResponse,
    GenericStreamingChunk,
    ImageObject,
    ImageResponse,
    Message,
    ModelResponse,
)
from tokenwire.server import create_app

EXAMPLES = 3  # of requests for each operation

# JSON Schema takes 5.0 for an integer; this server does as little as OpenAI's.
WHOLE_FLOAT = re.compile(r"expected `int.*`, got `float`")

# What of a conversation JSON Schema has no way to say: which parts of it belong together.
TOGETHER = re.compile(
    "no call before it has the id|is taken by another tool|there are no tools to choose from|where there are no instructions"
)


class Handler:
    """Answers every kind of call."""

    async def acompletion(self, *args: Any, prompt: Any = None, best_of: Any = None, echo: Any = None, **_: Any) -> Any:
        choice = Choices(message=Message(content="Hi"), finish_reason="stop", logprobs={"content": []})
        return ModelResponse(choices=[choice])

    async def astreaming(self, *args: Any, prompt: Any = None, best_of: Any = None, echo: Any = None, **_: Any) -> Any:
        yield GenericStreamingChunk(text="Hi", is_finished=True, finish_reason="stop", logprobs={"content": []})

    async def aembedding(self, *args: Any, **kwargs: Any) -> EmbeddingResponse:
        return EmbeddingResponse(data=[Embedding(embedding=[0.5, -0.5])])

    async def aimage_generation(self, *args: Any, **kwargs: Any) -> ImageResponse:
        return ImageResponse(data=[ImageObject(b64_json="aGk=")])


MODELS = {"my-model": Handler(), "a/b": Handler()}


@pytest.fixture
def anyio_backend() -> str:
    """Nothing here depends on the event loop."""
    return "asyncio"


@pytest.mark.anyio
@pytest.mark.parametrize("keys", [(), ("sk-key",)], ids=["open", "with a key"])
async def test_the_description(keys: tuple[str, ...], ask: Any) -> None:
    app = create_app(MODELS, api_keys=keys, metrics=True)
    paths, key = ("/openapi.json", "/v1/openapi.json"), {"authorization": "Bearer sk-key"}
    answers = [await ask(app, path=path, method="GET", headers=key) for path in paths]
    assert answers[0].json() == answers[1].json()
    described = answers[0].json()
    served = {route.path for route in app._about.routes if route.returns is not None}
    assert set(described["paths"]) == served >= {"/models/{model}", "/metrics"}
    assert {method for path in described["paths"].values() for method in path if method != "parameters"} == {"get", "post"}
    assert described["components"]["schemas"]["ChatRequest"]["properties"]["model"]["enum"] == ["my-model", "a/b"]
    assert ("security" in described, "securitySchemes" in described["components"]) == (bool(keys), bool(keys))
    assert "tokenwire." not in json.dumps(described)  # no module's path


@pytest.fixture
def client() -> Iterator[Any]:
    """What asks the app in this process, on an event loop in a thread that would otherwise stay."""
    app: Any = create_app(MODELS, metrics=True)
    with asgi.get_client(app) as client:
        yield client
    asgi._shutdown()


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["as described", "otherwise"])
def test_no_request_is_too_much(mode: GenerationMode, client: Any) -> None:
    """Requests as the description has them, and others: all are answered as it says, and none with a 500."""
    schema: Any = schemathesis.openapi.from_dict(client.get("/openapi.json").json())
    operations = [found.ok() for found in schema.get_all_operations()]
    if mode is GenerationMode.NEGATIVE:  # where there is something to get wrong
        operations = [operation for operation in operations if operation.body or operation.path_parameters]
    asked: set[str] = set()
    for operation in operations:

        @settings(
            max_examples=EXAMPLES,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
            database=None,
        )
        @given(operation.as_strategy(generation_mode=mode))
        def ask(case: Any) -> None:
            response = case.call(session=client, base_url=f"http://{asgi.HOST}")
            asked.add(case.operation.label)
            is_unsayable = WHOLE_FLOAT.search(response.text) or TOGETHER.search(response.text)
            unlike = [positive_data_acceptance] if is_unsayable else []
            case.validate_response(response, excluded_checks=unlike)

        ask()
    assert len(asked) == len(operations) >= 5
