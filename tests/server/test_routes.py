"""The one list of routes: what reads it, and what it takes to add to it."""

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import tokenwire.server
from tokenwire import AsyncClient, BadRequestError, ModelResponse, Usage
from tokenwire.server import create_app
from tokenwire.server.errors import Refusal
from tokenwire.server.models import Model
from tokenwire.server.route import ModelCall, Route, Schema
from tokenwire.server.routes import METRICS, ROUTES

SERVER = Path(tokenwire.server.__file__).parent

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """Nothing here depends on the event loop."""
    return "asyncio"


class Question(msgspec.Struct):
    """A request of another API."""

    model: str
    input: list[dict[str, Any]]


class Lines:
    """Its events."""

    keep_alive: bytes = b"still here\n"

    def __init__(self, model: Model, request: Question) -> None:
        self._model, self._lines = model, 0

    def encode(self, chunk: Any) -> bytes:
        text = chunk if isinstance(chunk, str) else chunk.choices[0].delta.content
        self._lines += bool(text)
        return f"{text}\n".encode() if text else b""

    def ending(self, usage: Usage | None) -> bytes:
        return f"{self._model.name} is done\n".encode()

    def error_event(self, refusal: Refusal) -> bytes:
        return f"{refusal.status} after {self._lines}: {refusal.error['message']}\n".encode()


def body_of(response: ModelResponse, model: Model, request: Question) -> bytes:
    return json.dumps([model.name, request.input[0]["content"], response.choices[0].message.content]).encode()


def keywords_of(request: Question, fields: dict[str, Any]) -> dict[str, Any]:
    if "colour" in fields:
        raise BadRequestError("colour: answers have none", param="colour")
    return {"messages": request.input, "seed": len(request.input)}


def refusal_of(refusal: Refusal, request_id: str) -> tuple[int, bytes]:
    return refusal.status + 1, json.dumps([refusal.error["message"], request_id]).encode()


async def echo(messages: Any, optional_params: dict[str, Any], **_: Any) -> Any:
    seed = optional_params.get("seed")
    yield messages[0]["content"] + (f" {seed}" if seed else "")
    if messages[0]["content"] == "fail":
        raise tokenwire.CustomLLMError(status_code=409, message="no more of this")


def ask_with(self: AsyncClient, *, input: Any, **keywords: Any) -> Any:
    return self.acompletion(messages=input, **keywords)


ANSWERS = Route(
    "POST",
    "/answers/{id}",
    ModelCall(Question, "input", ask_with, body_of, Lines),
    "createAnswer",
    "Answer.",
    Schema("Answer", {"type": "array"}),
)
IN_ITS_OWN_WORDS = Route(
    "POST",
    "/own/words",
    ModelCall(Question, "messages", AsyncClient.acompletion, body_of, Lines, keywords_of),
    "say",
    "Say.",
    None,
    refusal=refusal_of,
)


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("tokenwire.server.app.ROUTES", (*ROUTES, ANSWERS, IN_ITS_OWN_WORDS))
    return create_app({"m": echo}, metrics=True)


def question(text: str, **fields: Any) -> dict[str, Any]:
    return {"model": "m", "input": [{"role": "user", "content": text}], **fields}


async def test_one_route_is_all_that_a_new_endpoint_takes(app: Any, ask: Any) -> None:
    whole = await ask(app, question("Hi"), "/v1/answers/a/b")
    assert whole.json() == ["m", "Hi", "Hi"]
    assert (await ask(app, question("Hi", stream=True), "/answers/1")).body == b"Hi\nm is done\n"
    refused = await ask(app, {"model": "m", "input": 7}, "/answers/1")
    assert (refused.status, refused.error()["param"]) == (400, "input")
    assert (await ask(app, path="/answers/1", method="GET")).headers["allow"] == "POST"


async def test_an_encoder_has_its_own_error_event(app: Any, ask: Any) -> None:
    assert (await ask(app, question("fail", stream=True), "/answers/1")).body == b"fail\n409 after 1: no more of this\n"


async def test_a_route_says_what_its_requests_mean(app: Any, ask: Any) -> None:
    assert (await ask(app, question("Hi"), "/own/words")).json() == ["m", "Hi", "Hi 1"]
    assert (await ask(app, question("Hi", stream=True), "/own/words")).body == b"Hi 1\nm is done\n"


async def test_a_route_says_what_went_wrong_in_its_own_way(app: Any, ask: Any) -> None:
    for fields in (question("Hi", colour="red"), question("Hi", colour="red", stream=True)):
        refused = await ask(app, fields, "/own/words")
        assert (refused.status, refused.json()) == (401, ["colour: answers have none", refused.headers["x-request-id"]])
    wrong_method = await ask(app, path="/own/words", method="GET")
    assert (wrong_method.status, wrong_method.headers["allow"]) == (406, "POST")
    assert wrong_method.json()[1] == wrong_method.headers["x-request-id"]


async def test_figures_and_description_have_it(app: Any, ask: Any) -> None:
    await ask(app, question("Hi"), "/answers/1")
    await ask(app, path="/answers/1", method="GET")
    figures = (await ask(app, path="/metrics", method="GET")).body.decode()
    assert 'tokenwire_requests_total{endpoint="/answers/{id}",model="m",outcome="complete",status="200"} 1.0' in figures
    assert 'tokenwire_requests_total{endpoint="/answers/{id}",model="",outcome="error",status="405"} 1.0' in figures
    described = (await ask(app, path="/openapi.json", method="GET")).json()
    operation = described["paths"]["/answers/{id}"]["post"]
    assert operation["requestBody"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Question"}
    assert operation["responses"]["200"]["content"].keys() == {"application/json", "text/event-stream"}
    (parameter,) = described["paths"]["/answers/{id}"]["parameters"]
    assert (parameter["name"], parameter["schema"]) == ("id", {"type": "string"})
    assert described["components"]["schemas"]["Question"]["properties"]["model"]["enum"] == ["m"]


def strings(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_no_path_is_written_twice() -> None:
    """Not in a docstring either, where it would be forgotten."""
    words = [word for path in SERVER.glob("*.py") for text in strings(path) for word in text.replace("`", " ").split()]
    paths = [route.path for route in (*ROUTES, METRICS) if route.path != "/"]  # which is a word of its own
    written = {path: words.count(path) for path in paths}
    in_messages = {"/models": 2}
    assert written == dict.fromkeys(written, 1) | in_messages
