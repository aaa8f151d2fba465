"""Who is let in, and what requests must look like."""

import gc
import gzip
import json
import tracemalloc
import weakref
import zlib
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

import tokenwire
from tokenwire import Embedding, EmbeddingResponse, ImageObject, ImageResponse
from tokenwire.server import create_app
from tokenwire.server.requests import SERVERS_OWN, ChatRequest, EmbeddingRequest, ImageRequest, TextRequest
from tokenwire.testing import Endpoint, Reply, chunks, completion
from tokenwire.types.params import CallParams

MESSAGES = [{"role": "user", "content": "Hi"}]
BODY = {"model": "m", "messages": MESSAGES}


@pytest.fixture
def anyio_backend() -> str:
    """Nothing here depends on the event loop."""
    return "asyncio"


async def says_hello(**_: Any) -> Any:
    yield "Hello"


@pytest.mark.parametrize(
    "body, param, message",
    [
        ({"messages": MESSAGES}, "model", "model is required"),
        ({"model": "m"}, "messages", "messages is required"),
        ({**BODY, "messages": []}, "messages", "messages: expected `array` of length >= 1"),
        ({**BODY, "messages": [{"content": "Hi"}]}, "messages[0].role", "messages[0].role is required"),
        ({**BODY, "messages": [{"role": 7}]}, "messages[0].role", "messages[0].role: expected `str`, got `int`"),
        ({**BODY, "messages": "Hi"}, "messages", "messages: expected `array`, got `str`"),
        ({**BODY, "stream": "yes"}, "stream", "stream: expected `bool | null`, got `str`"),
        ({**BODY, "n": 0}, "n", "n: expected `int` >= 1"),
        ({**BODY, "stream_options": {"include_usage": 1}}, "stream_options.include_usage", None),
        ({**BODY, "temperature": "hot"}, "temperature", None),
        ([BODY], None, "the body: expected `object`, got `array`"),
        (b"", None, None),
        (b'{"model": "m", ', None, None),
        (b'{"model": "\xff"}', None, None),
        (b"[" * 100_000, None, None),
    ],
    ids=[
        "no model",
        "no messages",
        "no message",
        "no role",
        "a wrong role",
        "no list",
        "stream",
        "n",
        "options",
        "temperature",
        "a list",
        "nothing",
        "half a body",
        "no UTF-8",
        "too deep",
    ],
)
@pytest.mark.anyio
async def test_a_wrong_body_is_told_where_it_is_wrong(body: Any, param: str | None, message: str | None, ask: Any) -> None:
    answer = await ask(create_app({"m": says_hello}), body)
    error = answer.error()
    assert answer.status == 400
    assert error["type"] == "invalid_request_error"
    assert error["param"] == param
    assert message is None or error["message"] == message
    assert error.keys() == {"message", "type", "param", "code"}


@pytest.mark.anyio
async def test_an_unknown_model_is_not_found(ask: Any) -> None:
    answer = await ask(create_app({"m": says_hello}), {**BODY, "model": "q"})
    assert answer.status == 404
    assert (answer.error()["code"], answer.error()["param"]) == ("model_not_found", "model")


@pytest.mark.anyio
async def test_what_is_not_there_and_what_is_asked_wrongly(ask: Any) -> None:
    app = create_app({"m": says_hello})
    assert (await ask(app, BODY, "/v1/chat")).status == 404
    assert (await ask(app, BODY, "/v2/chat/completions")).status == 404
    twice = "/v1/v1/chat/completions"  # what a client asks for whose base URL has the version already
    assert (await ask(app, BODY, twice)).error()["message"] == f"there is nothing at POST {twice}"
    assert (await ask(app, None, "/v1/models/q", method="GET")).error()["code"] == "model_not_found"
    wrong = await ask(app, None, "/chat/completions", method="GET")
    assert (wrong.status, wrong.headers["allow"]) == (405, "POST")


@pytest.mark.anyio
async def test_every_response_has_an_id_of_its_own(ask: Any) -> None:
    app = create_app({"m": says_hello})
    answers = [await ask(app, body, path) for body, path in ((BODY, "/chat/completions"), (b"{", "/completions"), (None, "/q"))]
    answers.append(await ask(app, {**BODY, "stream": True}))
    assert len({answer.headers["x-request-id"] for answer in answers}) == len(answers)


@pytest.mark.anyio
async def test_a_body_may_be_so_long_and_no_longer(ask: Any) -> None:
    app = create_app({"m": says_hello}, max_body=100)
    long = {**BODY, "user": "x" * 100}
    for headers in ({}, {"Content-Length": "190"}):
        answer = await ask(app, long, headers=headers)
        assert answer.status == 413
        assert answer.error()["message"] == "the request's body is larger than 100 bytes"
    assert (await ask(app, BODY)).status == 200


JSON = json.dumps(BODY).encode()


def raw_deflate(data: bytes) -> bytes:
    squeeze = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return squeeze.compress(data) + squeeze.flush()


@pytest.mark.parametrize(
    "encoding, body",
    [
        ("gzip", gzip.compress(JSON)),
        ("X-Gzip", gzip.compress(JSON)),
        ("gzip", gzip.compress(JSON[:9]) + gzip.compress(JSON[9:])),
        ("deflate", zlib.compress(JSON)),
        ("deflate", raw_deflate(JSON)),
        ("identity", JSON),
        ("", JSON),
        (None, b"\xef\xbb\xbf" + JSON),
        ("gzip", gzip.compress(b"\xef\xbb\xbf" + JSON)),
    ],
    ids=["gzip", "x-gzip", "two members", "zlib", "deflate", "identity", "empty", "mark", "mark in gzip"],
)
@pytest.mark.anyio
async def test_a_compressed_body_is_read(encoding: str | None, body: bytes, ask: Any) -> None:
    headers = {} if encoding is None else {"Content-Encoding": encoding}
    answer = await ask(create_app({"m": says_hello}), body, headers=headers)
    assert (answer.status, answer.json()["choices"][0]["message"]["content"]) == (200, "Hello")


@pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "gzip, br", "gzip, gzip"])
@pytest.mark.anyio
async def test_an_encoding_that_is_not_known_is_named(encoding: str, ask: Any) -> None:
    answer = await ask(create_app({"m": says_hello}), JSON, headers={"Content-Encoding": encoding})
    assert (answer.status, answer.headers["accept-encoding"]) == (415, "gzip, deflate")
    assert answer.error()["code"] == "unsupported_encoding"
    assert encoding in answer.error()["message"]


@pytest.mark.parametrize(
    "body",
    [JSON, gzip.compress(JSON)[:-5], gzip.compress(JSON) + b"more", zlib.compress(JSON)],
    ids=["not at all", "cut", "with more", "zlib"],
)
@pytest.mark.anyio
async def test_a_body_that_is_not_as_it_says_is_a_mistake_of_the_client(body: bytes, ask: Any) -> None:
    answer = await ask(create_app({"m": says_hello}), body, headers={"Content-Encoding": "gzip"})
    assert (answer.status, answer.error()["code"]) == (400, "invalid_encoding")
    assert "gzip" in answer.error()["message"]


@pytest.mark.parametrize("squeeze", [gzip.compress, zlib.compress], ids=["gzip", "deflate"])
@pytest.mark.anyio
async def test_a_small_body_that_stands_for_a_large_one_is_too_large(squeeze: Any, ask: Any) -> None:
    """And is not decompressed further than that."""
    encoding = {"Content-Encoding": "gzip" if squeeze is gzip.compress else "deflate"}
    app = create_app({"m": says_hello}, max_body=1_000_000)
    just = json.dumps({**BODY, "user": ""}).encode()
    just = json.dumps({**BODY, "user": "x" * (1_000_000 - len(just))}).encode()
    assert (await ask(app, squeeze(just), headers=encoding)).status == 200
    tracemalloc.start()
    for body in (squeeze(just + b" "), squeeze(bytes(200_000_000)), gzip.compress(b"") * 60_000):
        tracemalloc.reset_peak()
        assert (await ask(app, body, headers=encoding)).status == 413
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()


@pytest.mark.anyio
async def test_others_are_served_while_a_body_is_decompressed(ask: Any, visit: Any) -> None:
    app = create_app({"m": says_hello})
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await anyio.lowlevel.checkpoint()
            turns += 1

    async with visit(app, gzip.compress(b"") * 20_000, headers={"Content-Encoding": "gzip"}) as v:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(others)
            await v.rest()
            tasks.cancel_scope.cancel()
    assert v.status == 400
    assert turns > 40


@pytest.mark.anyio
async def test_keys(ask: Any) -> None:
    app = create_app({"m": says_hello}, api_keys=["sk-one", "sk-twö"])
    for key in ("sk-one", "sk-twö"):
        assert (await ask(app, BODY, headers={"Authorization": f"Bearer {key}"})).status == 200
    for headers in ({}, {"Authorization": "Bearer sk-three"}, {"Authorization": "Basic sk-one"}, {"Authorization": "Bearer "}):
        refused = await ask(app, BODY, headers=headers)
        assert refused.status == 401
        assert refused.error()["type"] == "authentication_error"
        assert refused.headers["www-authenticate"] == "Bearer"
        assert b"sk-" not in refused.body
    assert (await ask(app, None, "/models", method="GET")).status == 401
    for name in ("api-key", "X-API-Key"):
        assert (await ask(app, BODY, headers={name: "sk-one"})).status == 200
        assert (await ask(app, BODY, headers={name: " sk-one ", "Authorization": "Basic sk-one"})).status == 200
        assert (await ask(app, BODY, headers={name: "sk-one", "Authorization": "Bearer old"})).status == 200
        for key in ("Bearer sk-one", "sk-on", ""):
            assert (await ask(app, BODY, headers={name: key})).status == 401
    assert (await ask(app, None, "/health", method="GET")).json() == {"status": "ok"}


@pytest.mark.anyio
async def test_one_call_too_many_is_told_to_come_back(ask: Any, visit: Any) -> None:
    async def handler(**_: Any) -> Any:
        yield "a"
        await anyio.sleep_forever()

    app = create_app({"m": handler, "n": says_hello}, max_concurrency=1)
    async with visit(app, {**BODY, "stream": True}) as v:
        await v.take()
        refused = await ask(app, {**BODY, "model": "n"})
        assert (refused.status, refused.headers["retry-after"]) == (429, "1")
        assert refused.error()["type"] == "rate_limit_error"
        assert (await ask(app, None, "/models", method="GET")).status == 200
    assert (await ask(app, {**BODY, "model": "n"})).status == 200


class Handler:
    """Answers every kind of call."""

    async def acompletion(self, **_: Any) -> str:
        return "Hi"

    async def aembedding(self, **_: Any) -> EmbeddingResponse:
        return EmbeddingResponse(data=[Embedding(embedding=[0.5])])

    async def aimage_generation(self, **_: Any) -> ImageResponse:
        return ImageResponse(data=[ImageObject(b64_json="aGk=")])


REQUESTS = {
    "/chat/completions": (ChatRequest, {"messages": MESSAGES}),
    "/completions": (TextRequest, {"prompt": "Hi"}),
    "/embeddings": (EmbeddingRequest, {"input": "Hi"}),
    "/images/generations": (ImageRequest, {"prompt": "Hi"}),
}
NAMED = {name for cls, _ in REQUESTS.values() for name in cls.__struct_fields__}


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", [("asyncio", {"use_uvloop": False})], ids=["asyncio"])  # they are many
@pytest.mark.parametrize("path", REQUESTS)
async def test_what_only_other_requests_name_is_no_mistake(ask: Any, path: str) -> None:
    """A request's own description allows it, whatever it is."""
    cls, body = REQUESTS[path]
    handler = Handler()
    app = create_app({"m": handler})
    for name in sorted((NAMED | SERVERS_OWN) - set(cls.__struct_fields__)):
        for value in (None, [], {}, "x", -1, 1.5, True) if name in NAMED else ({},):
            answer = await ask(app, {"model": "m", **body, name: value}, path)
            assert answer.status == 200, (name, value, answer.body)


def test_the_servers_settings_are_no_clients_business() -> None:
    assert CallParams.__annotations__.keys() <= SERVERS_OWN


@pytest.mark.anyio
async def test_a_client_can_not_set_what_the_server_has_set(ask: Any) -> None:
    """Least of all where to, with the server's key."""
    with Endpoint(Reply(json=completion())) as elsewhere, Endpoint(Reply(json=completion())) as upstream:
        app = create_app({"m": {"model": "openai/up", "api_base": upstream.url, "api_key": "sk-ours"}})
        theirs = {
            "api_base": elsewhere.url, "base_url": elsewhere.url, "api_key": "sk-theirs", "headers": {"x-evil": "1"},
            "custom_llm_provider": "no", "mock_response": "mocked", "num_retries": 9, "timeout": 0.001, "client": 1,
            "self": 1, "kind": "models", "content": "x", "fallbacks": ["x"], "extra_body": {"x": 1},
            "ssl_verify": False, "api_version": "v", "stream_timeout": 1, "tags": ["a"], "cache": {"no-cache": True},
            "litellm_call_id": "c", "input_cost_per_token": 1, "new_cost_per_hour": 1, "aws_access_key_id": "a",
        }  # fmt: skip
        answer = await ask(app, {**BODY, **theirs, "seed": 5})
        assert answer.status == 200
        [request] = upstream.requests
        assert elsewhere.requests == []
    assert request.headers["authorization"] == "Bearer sk-ours"
    assert "x-evil" not in request.headers
    assert request.json() == {**BODY, **theirs, "seed": 5, "model": "up"}  # all of it is the endpoint's to understand


@pytest.mark.anyio
async def test_a_client_names_what_the_server_left_open(ask: Any) -> None:
    with Endpoint(Reply(json=completion())) as upstream:
        target = {"model": "openai/up", "api_base": upstream.url, "temperature": 0.1, "top_p": 0.5, "extra_body": {"k": 1}}
        assert (await ask(create_app({"m": target}), {**BODY, "temperature": 1.5, "timeout": 3})).status == 200
        assert upstream.requests[0].json() == {
            **BODY, "model": "up", "temperature": 1.5, "top_p": 0.5, "k": 1, "timeout": 3
        }  # fmt: skip


@pytest.mark.anyio
async def test_the_app_can_be_mounted_in_another(ask: Any) -> None:
    outer = Starlette(routes=[Mount("/llm", create_app({"m": says_hello}))])
    for path in ("/llm/v1/chat/completions", "/llm/chat/completions"):
        assert (await ask(outer, BODY, path)).status == 200
    assert (await ask(outer, None, "/llm/health", method="GET")).status == 200


@pytest.mark.anyio
async def test_an_app_s_handlers_are_its_own_and_go_when_it_goes(ask: Any) -> None:
    class Says(tokenwire.CustomLLM):
        def __init__(self, text: str) -> None:
            self.text = text

        async def acompletion(self, *args: Any, **kwargs: Any) -> Any:
            return self.text

    handler = Says("one")
    one, other = create_app({"m": handler}), create_app({"m": Says("other")})
    answers = [(await ask(app, BODY)).json() for app in (one, other)]
    assert [answer["choices"][0]["message"]["content"] for answer in answers] == ["one", "other"]

    witness = weakref.ref(handler)
    del handler, one
    gc.collect()
    assert witness() is None


@pytest.mark.anyio
async def test_handlers_by_provider_answer_this_app_alone(ask: Any) -> None:
    async def says(model: str, optional_params: dict[str, Any], **_: Any) -> Any:
        return f"{model} at {optional_params['temperature']}"

    models = {
        "m": {"model": "mine/a/b", "temperature": 0.5},
        "n": {"model": "x", "custom_llm_provider": "mine", "temperature": 1},
    }
    app = create_app(models, handlers={"mine": says})
    answers = [(await ask(app, {**BODY, "model": name})).json() for name in models]
    assert [answer["choices"][0]["message"]["content"] for answer in answers] == ["a/b at 0.5", "x at 1"]
    assert [answer["model"] for answer in answers] == ["m", "n"]
    with pytest.raises(tokenwire.UnknownProviderError):
        tokenwire.get_llm_provider("mine/a")


@pytest.mark.anyio
async def test_its_lifespan_closes_its_connections(ask: Any) -> None:
    with Endpoint(Reply(events=chunks("Hi"))) as upstream:
        app = create_app({"m": {"model": "openai/up", "api_base": upstream.url}})
        to_app, for_app = anyio.create_memory_object_stream[Any](1)
        from_app, said = anyio.create_memory_object_stream[Any](1)
        with to_app, for_app, from_app, said:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(app, {"type": "lifespan"}, for_app.receive, from_app.send)
                await to_app.send({"type": "lifespan.startup"})
                assert await said.receive() == {"type": "lifespan.startup.complete"}
                assert (await ask(app, {**BODY, "stream": True})).events()[-1] == "[DONE]"
                assert upstream.open_connections == 1
                await to_app.send({"type": "lifespan.shutdown"})
                assert await said.receive() == {"type": "lifespan.shutdown.complete"}
        await upstream.await_until(lambda: upstream.open_connections == 0)
        await ask(app, {**BODY, "stream": True})  # and without one it still answers


@pytest.mark.parametrize(
    "models, options, named",
    [
        ({}, {}, "models"),
        ([], {}, "models"),
        ({"m": tokenwire.CustomLLM}, {}, "CustomLLM"),
        ({"m": 5}, {}, "CustomLLM or a function"),
        ({"m": "nobody/x"}, {}, r"models\['m'\]"),
        ({"m": {"api_base": "http://x"}}, {}, r"models\['m'\]"),
        ({7: says_hello}, {}, "models has 7"),
        ({"m": says_hello}, {"handlers": [says_hello]}, "handlers must be a mapping"),
        ({"m": says_hello}, {"handlers": {"a/b": says_hello}}, "a name without"),
        ({"m": "mine/x"}, {"handlers": {"mine": tokenwire.CustomLLM}}, "CustomLLM"),
        ({"m": says_hello}, {"api_keys": "sk-one"}, "api_keys"),
        ({"m": says_hello}, {"api_keys": [""]}, "api_keys"),
        ({"m": says_hello}, {"max_concurrency": 0}, "max_concurrency"),
        ({"m": says_hello}, {"max_body": 1.5}, "max_body"),
        ({"m": says_hello}, {"keepalive_seconds": 0}, "keepalive_seconds"),
        ({"m": says_hello}, {"request_timeout": "1"}, "request_timeout"),
    ],
    ids=[
        "none",
        "a list",
        "a class",
        "a number",
        "nobody",
        "no model",
        "no name",
        "a list of handlers",
        "no provider",
        "a class for a provider",
        "a key",
        "an empty key",
        "concurrency",
        "body",
        "keepalive",
        "timeout",
    ],
)
def test_a_wrong_argument_is_named(models: Any, options: dict[str, Any], named: str) -> None:
    with pytest.raises(tokenwire.BadRequestError, match=named):
        create_app(models, **options)
