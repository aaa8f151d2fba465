"""What web pages may ask, and read: `tokenwire serve` in front of the app, and the app's own `cors`."""

from typing import Any

import pytest

from tokenwire import BadRequestError
from tokenwire.server import create_app
from tokenwire.server.guard import Guard, is_loopback
from tokenwire.server.origins import is_host, origins_of

pytestmark = pytest.mark.anyio

BODY = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
JSON = {"Content-Type": "application/json"}
OURS = {**JSON, "Host": "127.0.0.1:8000"}


@pytest.fixture
def anyio_backend() -> str:
    """Nothing here depends on the event loop."""
    return "asyncio"


@pytest.fixture
def calls() -> list[Any]:
    """What has reached the handler."""
    return []


@pytest.fixture
def serve(calls: list[Any]) -> Any:
    """`serve(*origins, hosts=(), loopback=True)`: what `tokenwire serve` serves."""

    async def handler(messages: Any, **_: Any) -> Any:
        calls.append(messages)
        yield "Hello"

    def serve(*origins: str, hosts: Any = (), loopback: bool = True, **options: Any) -> Any:
        app = create_app({"m": handler}, cors=origins, **options)
        return Guard(app, origins_of(origins, "--cors"), hosts, loopback=loopback)

    return serve


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "text/plain", "Host": "anything.example"},  # curl -d says another type, and proxies call by any name
        {**OURS, "Origin": "http://127.0.0.1:8000"},
        {**JSON, "Host": "localhost:8000", "Origin": "http://localhost:8000", "Sec-Fetch-Site": "same-origin"},
        {**JSON, "Host": "[::1]:8000", "Origin": "http://[::1]:8000"},
        {**JSON, "Host": "LOCALHOST", "Origin": "http://localhost:80"},
        {**JSON, "Host": "app.localhost:8000", "Origin": "http://app.localhost:8000"},
        {"Content-Type": "Application/JSON; charset=utf-8", "Host": "localhost", "Origin": "http://localhost"},
        {**OURS, "Origin": "https://chat.example"},
        {**OURS, "Origin": "HTTPS://Chat.Example"},
        {**OURS, "Origin": "http://ours.example:81"},  # a proxy calls by our address, and the page knows its name
        {**JSON, "Host": "ours.example", "Origin": "http://ours.example"},
    ],
)
async def test_who_may_ask_is_answered(headers: Any, serve: Any, ask: Any, calls: list[Any]) -> None:
    answer = await ask(serve("https://chat.example", hosts=["ours.example"]), BODY, headers=headers)
    assert (answer.status, len(calls)) == (200, 1)


@pytest.mark.parametrize(
    "headers, status, code",
    [
        ({**OURS, "Origin": "https://evil.example"}, 403, "origin_not_allowed"),
        ({"Content-Type": "text/plain", "Host": "127.0.0.1:8000", "Origin": "https://evil.example"}, 403, "origin_not_allowed"),
        ({**OURS, "Origin": "null"}, 403, "origin_not_allowed"),
        ({**OURS, "Origin": ""}, 403, "origin_not_allowed"),
        ({**OURS, "Origin": "http://127.0.0.1:3000"}, 403, "origin_not_allowed"),
        ({**OURS, "Origin": "http://127.0.0.1"}, 403, "origin_not_allowed"),
        ({**OURS, "Origin": "http://chat.example"}, 403, "origin_not_allowed"),
        ({**OURS, "Origin": "https://chat.example.evil.example"}, 403, "origin_not_allowed"),
        ({**JSON, "Origin": "http://evil.example"}, 403, "origin_not_allowed"),
        ({**JSON, "Host": "evil.example:8000", "Origin": "http://evil.example:8000"}, 403, "host_not_allowed"),
        ({**JSON, "Host": "127.0.0.1.evil.example", "Origin": "http://127.0.0.1.evil.example"}, 403, "host_not_allowed"),
        ({"Content-Type": "text/plain", "Host": "localhost", "Origin": "http://localhost"}, 415, "json_expected"),
        ({"Host": "localhost", "Origin": "https://chat.example"}, 415, "json_expected"),
        ({"Host": "localhost", "Sec-Fetch-Site": "cross-site"}, 415, "json_expected"),
    ],
)
async def test_who_may_not_ask_is_refused_before_anything_runs(
    headers: Any, status: int, code: str, serve: Any, ask: Any, calls: list[Any], caplog: Any
) -> None:
    app = serve("https://chat.example", hosts=["ours.example"], api_keys=["sk"])
    for path in ("/v1/chat/completions", "/v1/messages", "/v1/embeddings", "/nowhere"):
        answer = await ask(app, BODY, path, headers={**headers, "Authorization": "Bearer sk"})
        assert (answer.status, answer.error()["code"], calls) == (status, code, [])
        assert "access-control-allow-origin" not in answer.headers or status == 415
        assert answer.headers["x-request-id"] in caplog.text


async def test_a_server_for_everybody_has_any_name(serve: Any, ask: Any) -> None:
    headers = {**JSON, "Host": "model.example", "Origin": "https://model.example"}
    assert (await ask(serve(loopback=False), BODY, headers=headers)).status == 200
    assert (await ask(serve(loopback=False), BODY, headers={**headers, "Host": "other.example"})).status == 403


async def test_everybody_may_ask_a_server_that_says_so(serve: Any, ask: Any) -> None:
    headers = {**JSON, "Host": "model.example", "Origin": "null"}
    answer = await ask(serve("*"), BODY, headers=headers)
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, "*")
    assert (await ask(serve("*"), BODY, headers={**headers, "Content-Type": "text/plain"})).status == 415


async def test_a_log_line_can_not_be_forged(serve: Any, ask: Any, caplog: Any) -> None:
    await ask(serve(), BODY, headers={**OURS, "Origin": "http://evil\r\nforged"})
    assert not any("\n" in record.getMessage() for record in caplog.records)


PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type",
}


@pytest.mark.parametrize("is_guarded", [False, True], ids=["mounted", "served"])
async def test_a_preflight_is_answered_without_a_key(is_guarded: bool, serve: Any, ask: Any) -> None:
    app = create_app({"m": "openai/m"}, cors=["http://a.example", "null"], api_keys=["sk"])
    if is_guarded:
        app = serve("http://a.example", "null", api_keys=["sk"])
    for origin in ("http://a.example", "null"):
        answer = await ask(app, method="OPTIONS", headers={**PREFLIGHT, "Origin": origin})
        assert (answer.status, answer.body) == (204, b"")
        assert answer.headers["access-control-allow-origin"] == origin
        assert answer.headers["access-control-allow-headers"] == "authorization,content-type"
        assert "POST" in answer.headers["access-control-allow-methods"]
        assert "access-control-allow-credentials" not in answer.headers
    answer = await ask(app, method="OPTIONS", headers={**PREFLIGHT, "Origin": "http://b.example"})
    assert answer.status == (403 if is_guarded else 405)
    assert "access-control-allow-origin" not in answer.headers


async def test_pages_can_read_answers_streams_and_errors(serve: Any, ask: Any) -> None:
    app = create_app({"m": "openai/m"}, cors=["http://a.example"], api_keys=["sk"])
    refused = await ask(app, BODY, headers={**JSON, "Origin": "http://a.example"})
    assert (refused.status, refused.headers["access-control-allow-origin"]) == (401, "http://a.example")
    assert refused.headers["access-control-expose-headers"] == "*"
    stream = await ask(serve("http://a.example"), {**BODY, "stream": True}, headers={**OURS, "Origin": "http://a.example"})
    assert stream.events()[-1] == "[DONE]"
    assert stream.headers["access-control-allow-origin"] == "http://a.example"
    assert stream.headers["vary"] == "origin"


async def test_an_app_that_is_mounted_refuses_no_page(ask: Any) -> None:
    async def handler(**_: Any) -> str:
        return "Hello"

    headers = {"Content-Type": "text/plain", "Origin": "https://evil.example", "Host": "evil.example"}
    for app in (create_app({"m": handler}), create_app({"m": handler}, cors=["http://a.example"])):
        answer = await ask(app, BODY, headers=headers)
        assert answer.status == 200
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "a.example",
        "http://",
        "http://a.example/",
        "http://a.example/path",
        "http://a b",
        "http://*.example",
        "http://a:0",
        7,
    ],
)
def test_what_is_not_an_origin_is_named(origin: Any) -> None:
    with pytest.raises(BadRequestError, match=r"^cors must be (a list of )?origins") as caught:
        create_app({"m": "openai/m"}, cors=[origin])
    assert caught.value.param == "cors"
    with pytest.raises(BadRequestError, match="cors must be a list"):
        create_app({"m": "openai/m"}, cors="http://a.example")


def test_names_of_hosts() -> None:
    assert all(map(is_host, ["localhost", "a-b.example", "127.0.0.1", "[::1]", "a.example."]))
    assert not any(map(is_host, ["", "a:1", "a/b", "a b", "*", "-a"]))
    assert all(map(is_loopback, ["localhost", "127.9.9.9", "::1", "[::1]", "x.localhost"]))
    assert not any(map(is_loopback, ["", "example", "10.0.0.1", "::", "0.0.0.0", "localhost.example"]))
