"""What a handler is told of the client that it answers."""

import json
from typing import Any

import anyio
import pytest

import tokenwire
from tokenwire import ClientRequest, CustomLLM, EmbeddingResponse, ImageResponse
from tokenwire.server import create_app
from tokenwire.testing import Endpoint, Reply, chunks, completion

pytestmark = pytest.mark.anyio

MESSAGES = [{"role": "user", "content": "Hi"}]
BODY = {"model": "m", "messages": MESSAGES, "seed": 3}
SECRETS = {
    "Authorization": "Bearer sk-secret", "API-Key": "sk-secret", "x-api-key": "sk-secret", "Cookie": "sk-secret",
    "Proxy-Authorization": "Basic sk-secret",
}  # fmt: skip

_apps: list[Any] = []  # kept until their event loop has ended, which closes their connections


class Sees(CustomLLM):
    """Keeps what it is told, whichever way it is asked."""

    def __init__(self) -> None:
        self.asked: Any = None
        self.kwargs: dict[str, Any] = {}

    async def acompletion(self, *args: Any, client_request: Any, **kwargs: Any) -> Any:
        self.asked, self.kwargs = client_request, kwargs
        return "Hello"

    async def astreaming(self, *args: Any, client_request: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        self.asked, self.kwargs = client_request, kwargs
        yield "Hello"

    def embedding(self, *args: Any, client_request: Any, **kwargs: Any) -> Any:
        self.asked, self.kwargs = client_request, kwargs
        return EmbeddingResponse(data=[{"embedding": [1.0]}])  # type: ignore[list-item]

    async def aimage_generation(self, *args: Any, client_request: Any, **kwargs: Any) -> Any:
        self.asked, self.kwargs = client_request, kwargs
        return ImageResponse(data=[{"url": "http://images/1.png"}])  # type: ignore[list-item]


ASKED = {
    "/v1/chat/completions": BODY,
    "/chat/completions": {**BODY, "stream": True},
    "/v1/completions": {"model": "m", "prompt": "Hi"},
    "/v1/embeddings": {"model": "m", "input": "Hi"},
    "/v1/images/generations": {"model": "m", "prompt": "Hi"},
}


@pytest.mark.parametrize("path", ASKED)
async def test_a_handler_sees_who_asks(path: str, ask: Any) -> None:
    handler, body = Sees(), ASKED[path]
    headers = {"X-User-Id": "u-17", "Host": "models.example:81", "User-Agent": "mine/1", **SECRETS}
    answer = await ask(create_app({"m": handler}, api_keys=["sk-secret"]), body, path, headers=headers)
    assert answer.status == 200
    seen = handler.asked
    assert type(seen) is ClientRequest
    assert (seen.method, seen.url, seen.body) == ("POST", f"http://models.example:81{path}", body)
    assert seen.headers == {"x-user-id": "u-17", "host": "models.example:81", "user-agent": "mine/1"}
    assert seen.request_id == answer.headers["x-request-id"]
    assert seen.address is None  # this server does not say
    assert handler.kwargs["litellm_params"]["proxy_server_request"] == {
        "url": seen.url, "method": "POST", "headers": seen.headers, "body": body
    }  # fmt: skip
    assert "sk-secret" not in repr(seen) + repr(handler.kwargs)
    with pytest.raises(AttributeError):
        seen.method = "GET"  # type: ignore[misc]


async def test_the_address_and_the_query_are_those_of_the_connection(served: Any) -> None:
    handler = Sees()
    body = json.dumps(BODY).encode()
    async with served(create_app({"m": handler})) as url:
        port = int(url.rsplit(":", 1)[1])
        async with await anyio.connect_tcp("127.0.0.1", port) as connection:
            head = b"POST /v1/chat%%2Fcompletions?a=%%41&b HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(body)
            await connection.send(head + body)
            assert (await connection.receive()).startswith(b"HTTP/1.1 200 ")
    assert handler.asked.address == "127.0.0.1"
    assert handler.asked.url == "http://h/v1/chat%2Fcompletions?a=%41&b"


async def test_what_is_asked_in_this_program_is_nobodys(ask: Any) -> None:
    handler = Sees()
    async with tokenwire.AsyncClient(handlers={"mine": handler}) as client:
        await client.acompletion("mine/m", MESSAGES)
    assert handler.asked is None
    assert handler.kwargs["litellm_params"]["proxy_server_request"] is None


async def test_only_who_names_it_is_given_it(ask: Any) -> None:
    seen: list[dict[str, Any]] = []

    async def handler(**kwargs: Any) -> Any:
        seen.append(kwargs)
        yield "Hello"

    assert (await ask(create_app({"m": handler}), {**BODY, "client_request": "mine"})).status == 200
    assert "client_request" not in seen[0]
    assert seen[0]["optional_params"]["extra_body"] == {"client_request": "mine"}  # a client can't say who it is


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_nothing_of_it_is_sent_on(stream: bool, ask: Any) -> None:
    replies = [Reply(events=chunks("Hello"))] * 2 if stream else [Reply(json=completion("Hello"))] * 2
    with Endpoint(replies) as upstream:

        async def passes_on(messages: Any, optional_params: dict[str, Any], **_: Any) -> Any:
            return await client.acompletion("openai/up", messages, api_base=upstream.url, **optional_params)

        class PassesOn(CustomLLM):
            acompletion = staticmethod(passes_on)  # type: ignore[assignment]

        headers = {"X-User-Id": "u-17", "Authorization": "Bearer sk-secret"}
        models = {"m": {"model": "openai/up", "api_base": upstream.url, "api_key": "sk-ours"}, "n": PassesOn()}
        async with tokenwire.AsyncClient() as client:
            app = create_app(models)
            _apps.append(app)
            for model in models:
                assert (await ask(app, {**BODY, "model": model, "stream": stream}, headers=headers)).status == 200
        for request in upstream.requests:
            assert "u-17" not in f"{request.headers} {request.body!r}"
            assert "sk-secret" not in f"{request.headers} {request.body!r}"
            assert request.json().keys() <= {"model", "messages", "seed", "stream"}
    await tokenwire.aclose()


def test_another_thing_in_its_place_is_refused() -> None:
    with pytest.raises(tokenwire.BadRequestError, match=r"client_request must be a tokenwire\.ClientRequest"):
        tokenwire.completion("openai/m", MESSAGES, client_request={"method": "GET"})  # type: ignore[call-overload]
