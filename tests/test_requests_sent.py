"""What a call puts on the wire: method, path, headers and body, to the byte where it matters."""

import dataclasses
import os
from base64 import b64decode
from collections.abc import Iterator
from typing import Any, TypedDict

import httpx
import msgspec
import pydantic
import pytest

import tokenwire
from tokenwire import Choices, Message, ModelResponse
from tokenwire.http.decoding import ACCEPTED_ENCODINGS
from tokenwire.testing import Endpoint, Received, Reply, chunks, completion

from .conftest import one_loop

pytestmark = pytest.mark.anyio

MESSAGES = [{"role": "user", "content": "Hi"}]

BODIES: dict[str, Any] = {
    "/v1/completions": {"choices": [{"index": 0, "text": "Hello", "finish_reason": "stop"}]},
    "/v1/embeddings": {"data": [{"index": 0, "embedding": [1.0]}]},
    "/v1/images/generations": {"data": [{"url": "x"}]},
    "/v1/models": {"data": []},
}


def answer(request: Received) -> Reply:
    if request.body and request.json().get("stream"):
        choice = {"index": 0, "text": "", "delta": {}, "finish_reason": "stop"}
        return Reply(events=[{"choices": [choice]}])
    return Reply(json=BODIES.get(request.path, completion("Hello")))


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint(answer) as endpoint:
        yield endpoint


async def sent(endpoint: Endpoint, messages: Any = MESSAGES, **keywords: Any) -> Received:
    """The request that `acompletion` made of its arguments."""
    keywords = {"model": "openai/m", "api_base": endpoint.url, **keywords}
    await tokenwire.acompletion(messages=messages, **keywords)
    return endpoint.requests[-1]


async def drain(stream: Any) -> None:
    async for _ in stream:
        pass


# The head.


async def test_a_chat_request_as_a_whole(endpoint: Endpoint) -> None:
    request = await sent(endpoint, api_key="sk-1")
    assert (request.method, request.path, request.query) == ("POST", "/v1/chat/completions", "")
    assert request.body == b'{"model":"m","messages":[{"role":"user","content":"Hi"}]}'
    assert request.headers["accept-encoding"] == ACCEPTED_ENCODINGS
    port = endpoint.url.split(":")[2].removesuffix("/v1")
    assert {name: value for name, value in request.headers.items() if name not in ("accept-encoding", "connection")} == {
        "host": f"127.0.0.1:{port}",
        "accept": "application/json",
        "content-type": "application/json",
        "content-length": str(len(request.body)),
        "authorization": "Bearer sk-1",
        "user-agent": f"tokenwire/{tokenwire.__version__}",
    }


async def test_a_stream_asks_for_one(endpoint: Endpoint) -> None:
    for stream in (
        tokenwire.astreaming("openai/m", MESSAGES, api_base=endpoint.url),
        await tokenwire.acompletion("openai/m", MESSAGES, stream=True, api_base=endpoint.url),
    ):
        await drain(stream)
        request = endpoint.requests[-1]
        assert request.json() == {"model": "m", "messages": MESSAGES, "stream": True}
        assert request.headers["accept"] == "text/event-stream"
        assert request.headers["accept-encoding"] == "identity"


async def test_no_header_without_a_value(endpoint: Endpoint) -> None:
    request = await sent(endpoint)
    assert not {"authorization", "openai-organization", "cookie"} & request.headers.keys()


async def test_organization(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await sent(endpoint, organization="org-1")).headers["openai-organization"] == "org-1"
    monkeypatch.setenv("OPENAI_ORGANIZATION", "org-env")
    assert (await sent(endpoint)).headers["openai-organization"] == "org-env"
    monkeypatch.setattr(tokenwire, "organization", "org-package", raising=False)
    request = await sent(endpoint)
    assert request.headers["openai-organization"] == "org-package"
    assert "organization" not in request.json()


@one_loop
async def test_the_environment_is_looked_at_at_each_call(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    async def organization() -> str | None:
        return (await sent(endpoint)).headers.get("openai-organization")

    assert await organization() is None
    monkeypatch.setenv("OPENAI_ORG_ID", "second")
    assert await organization() == "second"
    monkeypatch.setenv("OPENAI_ORGANIZATION", "")
    assert await organization() == "second"
    monkeypatch.setenv("OPENAI_ORGANIZATION", "first")
    assert await organization() == "first"
    monkeypatch.delenv("OPENAI_ORGANIZATION")
    monkeypatch.delenv("OPENAI_ORG_ID")
    monkeypatch.setattr(os, "environ", {"OPENAI_ORGANIZATION": "of another environment"})
    assert await organization() == "of another environment"
    monkeypatch.setattr(os, "environ", {})
    assert await organization() is None


async def test_headers(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenwire, "headers", {"x-a": "package", "x-c": "package"}, raising=False)
    request = await sent(endpoint, headers={"X-A": "headers", "x-b": "headers"}, extra_headers={"x-b": "extra"})
    assert [request.headers[name] for name in ("x-a", "x-b", "x-c")] == ["headers", "extra", "package"]
    assert not {"headers", "extra_headers"} & request.json().keys()


async def test_a_caller_s_header_replaces_ours(endpoint: Endpoint) -> None:
    request = await sent(
        endpoint, api_key="sk-1", headers={"User-Agent": "mine/1", "Authorization": "Basic abc", "Accept": "*/*"}
    )
    assert [request.headers[name] for name in ("user-agent", "authorization", "accept")] == ["mine/1", "Basic abc", "*/*"]


@one_loop
@pytest.mark.parametrize("name", ["headers", "extra_headers"])
@pytest.mark.parametrize("headers", [{"x-a": "1\r\nx-b: 2"}, {"x\n-a": "1"}, {"x-a": "\0"}, {"x-a": 1}, {1: "x"}, ["x-a"]])
async def test_headers_that_are_none(endpoint: Endpoint, name: str, headers: Any) -> None:
    with pytest.raises(tokenwire.BadRequestError, match=name):
        await sent(endpoint, **{name: headers})
    assert endpoint.requests == []


@pytest.mark.parametrize("key", ["sk-1\r\nx-b: 2", "sk\n1"])
async def test_a_key_with_a_line_break(endpoint: Endpoint, key: str) -> None:
    with pytest.raises(tokenwire.BadRequestError, match="api_key") as caught:
        await sent(endpoint, api_key=key)
    assert key not in str(caught.value)
    assert endpoint.requests == []


async def test_where_a_key_comes_from(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "env")
    assert (await sent(endpoint)).headers["authorization"] == "Bearer env"
    monkeypatch.setattr(tokenwire, "api_key", "package", raising=False)
    assert (await sent(endpoint)).headers["authorization"] == "Bearer package"
    assert (await sent(endpoint, api_key="own")).headers["authorization"] == "Bearer own"


@pytest.fixture
def ambient_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "env")


@one_loop
@pytest.mark.usefixtures("ambient_key")
@pytest.mark.parametrize(
    "keywords",
    [
        {"api_key": ""},
        {"extra_headers": {"Authorization": None}},
        {"api_key": "sk-1", "headers": {"authorization": None}},
        {"headers": {"api-key": "azure's"}},
    ],
)
async def test_no_key_is_sent(endpoint: Endpoint, keywords: dict[str, Any]) -> None:
    assert "authorization" not in (await sent(endpoint, **keywords)).headers
    async with tokenwire.AsyncClient(**keywords) as client:
        await client.acompletion("openai/m", MESSAGES, api_base=endpoint.url)
        assert "authorization" not in endpoint.requests[-1].headers
        await client.acompletion("openai/m", MESSAGES, api_base=endpoint.url, extra_headers={"Authorization": "Bearer own"})
        assert endpoint.requests[-1].headers["authorization"] == "Bearer own"


@one_loop
@pytest.mark.usefixtures("ambient_key")
async def test_an_empty_key_is_a_choice_wherever_it_is_made(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenwire, "api_key", "", raising=False)
    assert "authorization" not in (await sent(endpoint)).headers
    assert (await sent(endpoint, api_key="sk-1")).headers["authorization"] == "Bearer sk-1"
    monkeypatch.setenv("OPENAI_API_KEY", "")
    monkeypatch.delattr(tokenwire, "api_key")
    assert "authorization" not in (await sent(endpoint)).headers


@one_loop
async def test_a_key_that_is_named_is_sent_beside_azure_s(endpoint: Endpoint) -> None:
    request = await sent(endpoint, api_key="sk-1", headers={"Api-Key": "azure's"})
    assert (request.headers["authorization"], request.headers["api-key"]) == ("Bearer sk-1", "azure's")


@one_loop
async def test_a_header_that_is_none_is_left_out(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenwire, "headers", {"x-a": "package", "X-B": "package"}, raising=False)
    request = await sent(endpoint, headers={"X-A": None, "Accept": None, "x-c": None}, organization="o")
    assert not {"x-a", "accept", "x-c"} & request.headers.keys()
    assert (request.headers["x-b"], request.headers["openai-organization"]) == ("package", "o")
    request = await sent(endpoint, headers={"X-A": None}, extra_headers={"x-a": "back"})
    assert request.headers["x-a"] == "back"


@one_loop
async def test_the_last_of_a_header_s_spellings_wins(endpoint: Endpoint) -> None:
    async with tokenwire.AsyncClient(headers={"x-a": "1"}) as client:
        await client.acompletion("openai/m", MESSAGES, api_base=endpoint.url, headers={"X-A": "2"}, extra_headers={"x-a": "3"})
    assert endpoint.requests[0].headers["x-a"] == "3"


@one_loop
@pytest.mark.parametrize("name", ["Content-Length", "transfer-encoding"])
async def test_headers_that_follow_from_the_body(endpoint: Endpoint, name: str) -> None:
    with pytest.raises(tokenwire.BadRequestError, match=f"headers must not have {name.lower()}"):
        await sent(endpoint, extra_headers={name: "3"})
    assert endpoint.requests == []


async def test_a_host_of_the_caller_s_replaces_ours(endpoint: Endpoint) -> None:
    headers = {"Host": "svc.example"}
    assert (await sent(endpoint, extra_headers=headers)).headers["host"] == "svc.example"
    await drain(tokenwire.astreaming("openai/m", MESSAGES, api_base=endpoint.url, extra_headers=headers))
    assert endpoint.requests[-1].headers["host"] == "svc.example"
    async with httpx.AsyncClient(transport=tokenwire.HTTPTransport()) as client:
        assert (await sent(endpoint, extra_headers=headers, client=client)).headers["host"] == "svc.example"
    port = endpoint.url.split(":")[2].removesuffix("/v1")
    assert (await sent(endpoint, extra_headers={"host": None})).headers["host"] == f"127.0.0.1:{port}"


@one_loop
@pytest.mark.parametrize("location", ["/v1/elsewhere?a=b", "http://svc.example/v1/elsewhere?a=b", "{address}/v1/elsewhere?a=b"])
async def test_a_redirect_to_the_caller_s_own_host(location: str) -> None:
    def answer(request: Received) -> Reply:
        if request.path.endswith("/elsewhere"):
            return Reply(json=completion("Hello"))
        return Reply(status=307, headers={"location": location.format(address=f"http://{local}")})

    with Endpoint(answer) as endpoint:
        local = endpoint.url.removeprefix("http://").removesuffix("/v1")
        request = await sent(endpoint, extra_headers={"host": "svc.example"})
    assert (request.method, request.path, request.query, request.headers["host"]) == (
        "POST", "/v1/elsewhere", "a=b", "svc.example",
    )  # fmt: skip


@one_loop
@pytest.mark.parametrize("location", ["http://other.example/v1", "https://svc.example/v1", "http://svc.example:81/v1"])
async def test_a_redirect_away_from_the_caller_s_own_host(location: str) -> None:
    with Endpoint(Reply(status=307, headers={"location": location})) as endpoint:
        with pytest.raises(tokenwire.APIError) as caught:
            await sent(endpoint, extra_headers={"host": "svc.example"}, num_retries=0)
    assert (caught.value.status_code, len(endpoint.requests)) == (307, 1)


# User and password in the address.


@one_loop
@pytest.mark.usefixtures("ambient_key")
@pytest.mark.parametrize(
    "credentials, expected",
    [
        ("user:p%40ss", "user:p@ss"),
        ("user:p:a:ss", "user:p:a:ss"),
        ("a%20b:%C3%BC", "a b:ü"),
        ("token", "token:"),
        ("token:", "token:"),
        (":pass", ":pass"),
        ("us@er:pass", "us@er:pass"),
    ],
)
async def test_user_and_password_are_basic_auth(endpoint: Endpoint, credentials: str, expected: str) -> None:
    address = endpoint.url.replace("http://", f"http://{credentials}@")
    for keywords in ({}, {"api_key": "unused"}):
        request = await sent(endpoint, api_base=f"{address}/deep?api-version=1", **keywords)
        scheme, _, encoded = request.headers["authorization"].partition(" ")
        assert (scheme, b64decode(encoded).decode()) == ("Basic", expected)
        assert (request.path, request.query) == ("/v1/deep/chat/completions", "api-version=1")
        assert "@" not in request.headers["host"]


@one_loop
async def test_a_caller_s_authorization_comes_before_the_address_s(endpoint: Endpoint) -> None:
    address = endpoint.url.replace("http://", "http://user:pass@")
    request = await sent(endpoint, api_base=address, extra_headers={"Authorization": "Bearer own"})
    assert request.headers["authorization"] == "Bearer own"
    request = await sent(endpoint, api_base=address, extra_headers={"Authorization": None})
    assert "authorization" not in request.headers


@one_loop
async def test_an_address_without_a_user_before_the_at_sign(endpoint: Endpoint) -> None:
    request = await sent(endpoint, api_base=endpoint.url.replace("http://", "http://@"), api_key="sk-1")
    assert request.headers["authorization"] == "Bearer sk-1"


# The address.


@one_loop
@pytest.mark.parametrize(
    "suffix, path, query",
    [
        ("", "/v1/chat/completions", ""),
        ("/", "/v1/chat/completions", ""),
        ("/deep/er", "/v1/deep/er/chat/completions", ""),
        ("?api-version=1", "/v1/chat/completions", "api-version=1"),
        ("/?api-version=1", "/v1/chat/completions", "api-version=1"),
        ("#fragment", "/v1/chat/completions", ""),
        ("/a%20b", "/v1/a%20b/chat/completions", ""),
    ],
)
async def test_the_path_is_put_behind_the_base(endpoint: Endpoint, suffix: str, path: str, query: str) -> None:
    request = await sent(endpoint, api_base=endpoint.url + suffix)
    assert (request.path, request.query) == (path, query)


async def test_base_url_is_another_name(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await sent(endpoint, api_base=None, base_url=endpoint.url)).path == "/v1/chat/completions"
    monkeypatch.setenv("OPENAI_API_BASE", endpoint.url + "/env")
    assert (await sent(endpoint, api_base=None)).path == "/v1/env/chat/completions"
    monkeypatch.setattr(tokenwire, "api_base", endpoint.url + "/package", raising=False)
    assert (await sent(endpoint, api_base=None)).path == "/v1/package/chat/completions"


async def test_extra_query(endpoint: Endpoint) -> None:
    request = await sent(endpoint, extra_query={"a": "1 & 2", "b": ["x", "y"], "c": 3})
    assert request.query.replace("%20", "+") == "a=1+%26+2&b=x&b=y&c=3"
    assert request.json().keys() == {"model", "messages"}
    request = await sent(endpoint, api_base=endpoint.url + "?v=1", extra_query={"w": "2"})
    assert request.query == "v=1&w=2"


@one_loop
@pytest.mark.parametrize(
    "model, expected",
    [
        ("openai/m", "m"),
        ("openai/org/m", "org/m"),
        ("gpt-4o-mini", "gpt-4o-mini"),
        ("hosted_vllm/a/b", "a/b"),
        ("openai/m:8b", "m:8b"),
    ],
)
async def test_the_model_s_name(endpoint: Endpoint, model: str, expected: str) -> None:
    assert (await sent(endpoint, model=model)).json()["model"] == expected


async def test_a_provider_by_keyword(endpoint: Endpoint) -> None:
    request = await sent(endpoint, model="command-nightly", custom_llm_provider="openai")
    assert request.json() == {"model": "command-nightly", "messages": MESSAGES}
    for model in ("x/y", "openai/gpt-oss-20b"):
        assert (await sent(endpoint, model=model, custom_llm_provider="openai")).json()["model"] == model


# The body.

PARAMETERS: dict[str, Any] = {
    "temperature": 0.5, "top_p": 1, "n": 2, "stop": ["a"], "max_tokens": 3, "max_completion_tokens": 4, "presence_penalty": -1,
    "frequency_penalty": 0.0, "logit_bias": {"1": 2}, "user": "u", "seed": 5, "logprobs": True, "top_logprobs": 1,
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}], "tool_choice": "auto", "parallel_tool_calls": False,
    "response_format": {"type": "json_object"}, "reasoning_effort": "low", "stream_options": {"include_usage": True},
    "service_tier": "flex", "store": False, "metadata": {"a": "b"}, "modalities": ["text"], "verbosity": "low",
    "functions": [{"name": "f"}], "function_call": "none", "prediction": {"type": "content", "content": "x"},
}  # fmt: skip


async def test_openai_s_parameters_go_into_the_body(endpoint: Endpoint) -> None:
    request = await sent(endpoint, **PARAMETERS)
    assert request.json() == {"model": "m", "messages": MESSAGES, **PARAMETERS}


async def test_unknown_keywords_go_into_the_body_s_top_level(endpoint: Endpoint) -> None:
    request = await sent(endpoint, top_k=40, x_nested={"a": [1, None]}, repetition_penalty=1.1)
    assert request.json() == {
        "model": "m",
        "messages": MESSAGES,
        "top_k": 40,
        "x_nested": {"a": [1, None]},
        "repetition_penalty": 1.1,
    }


async def test_extra_body_comes_last(endpoint: Endpoint) -> None:
    extra = {"temperature": 0.9, "guided_json": {"type": "object"}, "nothing": None}
    request = await sent(endpoint, temperature=0.1, extra_body=extra)
    assert request.json() == {"model": "m", "messages": MESSAGES, **extra}
    assert extra == {"temperature": 0.9, "guided_json": {"type": "object"}, "nothing": None}


async def test_none_is_as_good_as_nothing(endpoint: Endpoint) -> None:
    request = await sent(endpoint, temperature=None, stop=None, x_unknown=None, extra_body=None, extra_query=None, tools=None)
    assert request.json() == {"model": "m", "messages": MESSAGES}


async def test_what_is_false_or_empty_is_sent(endpoint: Endpoint) -> None:
    request = await sent(endpoint, temperature=0, logprobs=False, stop="", tools=[], x_unknown=0)
    assert request.json() == {
        "model": "m", "messages": MESSAGES, "temperature": 0, "logprobs": False, "stop": "", "tools": [], "x_unknown": 0,
    }  # fmt: skip


async def test_keywords_of_the_call_itself_stay_at_home(endpoint: Endpoint) -> None:
    request = await sent(
        endpoint,
        api_key="k",
        timeout=30,
        num_retries=0,
        limits=tokenwire.Limits(),
        model="m",
        custom_llm_provider="openai",
        drop_params=True,
        additional_drop_params=["temperature"],
        temperature=1,
        stream=False,
    )
    assert request.json() == {"model": "m", "messages": MESSAGES}


async def test_stream_options_and_other_parameters_of_a_stream(endpoint: Endpoint) -> None:
    await drain(
        tokenwire.astreaming(
            "openai/m", MESSAGES, api_base=endpoint.url, stream_options={"include_usage": True}, n=2, extra_body={"x": 1}
        )
    )
    assert endpoint.requests[0].json() == {
        "model": "m", "messages": MESSAGES, "n": 2, "stream_options": {"include_usage": True}, "stream": True, "x": 1,
    }  # fmt: skip


async def test_text_is_sent_as_utf_8(endpoint: Endpoint) -> None:
    said = 'naïve 😀 \u2028 \x00 "quoted" \\'
    request = await sent(endpoint, [{"role": "user", "content": said}])
    assert request.json()["messages"][0]["content"] == said
    assert "😀".encode() in request.body


async def test_a_long_body(endpoint: Endpoint) -> None:
    said = "x" * 5_000_000
    request = await sent(endpoint, [{"role": "user", "content": said}])
    assert request.json()["messages"][0]["content"] == said


@one_loop
@pytest.mark.parametrize(
    "keywords, where",
    [
        ({"x_unknown": object()}, "x_unknown"),
        ({"x_unknown": {"a": [1, {object()}]}}, "x_unknown.a[1]"),
        ({"messages": [{"role": "user", "content": object()}]}, "messages[0].content"),
        ({"tools": [{"function": lambda: None}]}, "tools[0].function"),
        ({"metadata": {"a": "\ud800"}}, "metadata.a"),
    ],
)
async def test_what_json_cannot_say(endpoint: Endpoint, keywords: Any, where: str) -> None:
    with pytest.raises(tokenwire.BadRequestError) as caught:
        await sent(endpoint, **keywords)
    assert where in caught.value.message
    assert caught.value.param == where.partition(".")[0].partition("[")[0]
    assert endpoint.requests == []


async def test_a_value_that_contains_itself(endpoint: Endpoint) -> None:
    loop: dict[str, Any] = {}
    loop["loop"] = loop
    with pytest.raises(tokenwire.BadRequestError, match="x_unknown"):
        await sent(endpoint, x_unknown=loop)


# Messages.


class PydanticMessage(pydantic.BaseModel):
    role: str
    content: str | None = None
    name: str | None = None


async def test_messages_are_not_changed(endpoint: Endpoint) -> None:
    messages = [
        {"role": "system", "content": "S"},
        {"role": "developer", "content": [{"type": "text", "text": "T"}, {"type": "image_url", "image_url": {"url": "data:"}}]},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f"}}]},
        {"role": "tool", "tool_call_id": "a", "content": "42", "x": 1},
    ]
    request = await sent(endpoint, messages)
    assert request.json()["messages"] == messages


async def test_messages_may_be_a_tuple_or_missing(endpoint: Endpoint) -> None:
    assert (await sent(endpoint, tuple(MESSAGES))).json()["messages"] == MESSAGES
    assert (await sent(endpoint, None)).json()["messages"] == []


async def test_an_answer_s_message_can_be_sent_back(endpoint: Endpoint) -> None:
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    with Endpoint(Reply(json=completion(None, tool_calls=[call], reasoning_content="Hm", x_own=1))) as other:
        response = await tokenwire.acompletion("openai/m", MESSAGES, api_base=other.url)
    request = await sent(
        endpoint, [*MESSAGES, response.choices[0].message, {"role": "tool", "tool_call_id": "a", "content": "1"}]
    )
    said = request.json()["messages"][1]
    assert said.pop("content", None) is None
    assert said == {"role": "assistant", "tool_calls": [call], "reasoning_content": "Hm", "x_own": 1}


async def test_a_streamed_answer_s_message_can_be_sent_back(endpoint: Endpoint) -> None:
    with Endpoint(Reply(events=chunks("Hello"))) as other:
        async with tokenwire.astreaming("openai/m", MESSAGES, api_base=other.url) as stream:
            await drain(stream)
    assert isinstance(stream.response, ModelResponse)
    request = await sent(endpoint, [*MESSAGES, stream.response.choices[0].message])
    assert request.json()["messages"][1] == {"role": "assistant", "content": "Hello"}


async def test_messages_made_by_hand(endpoint: Endpoint) -> None:
    message = Message(role="assistant", content="Hello")
    assert Choices(message=message).message == message
    request = await sent(endpoint, [message, PydanticMessage(role="user", content="Hi")])
    assert request.json()["messages"] == [{"role": "assistant", "content": "Hello"}, {"role": "user", "content": "Hi"}]


async def test_pydantic_values_deeper_inside(endpoint: Endpoint) -> None:
    class Part(pydantic.BaseModel):
        type: str = "text"
        text: str = "Hi"

    class Tool(pydantic.BaseModel):
        type: str = "function"
        strict: bool | None = None

    request = await sent(endpoint, [{"role": "user", "content": [Part()]}], tools=[Tool()])
    assert request.json()["messages"][0]["content"] == [{"type": "text", "text": "Hi"}]
    assert request.json()["tools"] == [{"type": "function"}]


# Response formats.


class PydanticAnswer(pydantic.BaseModel):
    number: int
    words: list[str] = []


@dataclasses.dataclass
class DataclassAnswer:
    number: int
    words: list[str]


class TypedDictAnswer(TypedDict):
    number: int
    words: list[str]


class StructAnswer(msgspec.Struct):
    number: int
    words: list[str]


@one_loop
@pytest.mark.parametrize("cls", [PydanticAnswer, DataclassAnswer, TypedDictAnswer, StructAnswer])
async def test_a_class_as_response_format_is_a_strict_schema(endpoint: Endpoint, cls: Any) -> None:
    sent_format = (await sent(endpoint, response_format=cls)).json()["response_format"]
    assert sent_format["type"] == "json_schema"
    assert sent_format["json_schema"]["name"] == cls.__name__
    assert sent_format["json_schema"]["strict"] is True
    schema = sent_format["json_schema"]["schema"]
    while "$ref" in schema:
        schema = sent_format["json_schema"]["schema"]["$defs"][schema["$ref"].rpartition("/")[2]]
    assert schema["type"] == "object"
    assert schema["properties"]["number"]["type"] == "integer"
    assert schema["properties"]["words"]["items"] == {"type": "string"}
    assert schema["required"] == ["number", "words"]
    assert schema["additionalProperties"] is False


async def test_a_nested_class_as_response_format(endpoint: Endpoint) -> None:
    class Inner(pydantic.BaseModel):
        x: int | None = None

    class Outer(pydantic.BaseModel):
        inner: Inner
        default: str = "a"  # a property that is called like one of JSON Schema's keywords

    schema = (await sent(endpoint, response_format=Outer)).json()["response_format"]["json_schema"]["schema"]
    assert schema["required"] == ["inner", "default"]
    assert schema["properties"].keys() == {"inner", "default"}
    assert (schema["$defs"]["Inner"]["required"], schema["$defs"]["Inner"]["additionalProperties"]) == (["x"], False)


async def test_a_dict_as_response_format_is_sent_as_it_is(endpoint: Endpoint) -> None:
    given = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object", "properties": {}}}}
    assert (await sent(endpoint, response_format=given)).json()["response_format"] == given


# The other endpoints.


@one_loop
@pytest.mark.parametrize("prompt", ["Hi", "", ["a", "b"], [1, 2, 3], [[1, 2], [3]]])
@pytest.mark.parametrize("model", ["openai/m", "text-completion-openai/m"])
async def test_text_completions(endpoint: Endpoint, model: str, prompt: Any) -> None:
    await tokenwire.atext_completion(model, prompt, api_base=endpoint.url, max_tokens=5, echo=True, logprobs=2, suffix="!", x=1)
    assert endpoint.requests[0].path == "/v1/completions"
    assert endpoint.requests[0].json() == {
        "model": "m", "prompt": prompt, "max_tokens": 5, "echo": True, "logprobs": 2, "suffix": "!", "x": 1,
    }  # fmt: skip


async def test_a_streamed_text_completion(endpoint: Endpoint) -> None:
    await drain(await tokenwire.atext_completion("openai/m", "Hi", stream=True, api_base=endpoint.url, n=2))
    assert endpoint.requests[0].json() == {"model": "m", "prompt": "Hi", "n": 2, "stream": True}


@one_loop
@pytest.mark.parametrize(
    "messages, prompt",
    [
        ([{"role": "user", "content": "Hi"}], "Hi"),
        ([{"role": "system", "content": "S"}, {"role": "user", "content": "Hi"}], ["S", "Hi"]),
        ([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}], "ab"),
        ([{"role": "user", "content": [1, 2]}], [1, 2]),
        ([{"role": "assistant", "content": None}, {"role": "user", "content": "Hi"}], ["", "Hi"]),
    ],
)
async def test_messages_as_a_prompt(endpoint: Endpoint, messages: Any, prompt: Any) -> None:
    request = await sent(endpoint, messages, model="text-completion-openai/m", max_tokens=1)
    assert request.path == "/v1/completions"
    assert request.json() == {"model": "m", "prompt": prompt, "max_tokens": 1}


@pytest.mark.parametrize("value", ["Hi", ["a", "b"], [1, 2], [[1], [2]]])
async def test_embeddings(endpoint: Endpoint, value: Any) -> None:
    await tokenwire.aembedding(
        "openai/m", value, api_base=endpoint.url, api_key="k", dimensions=8, encoding_format="float", user="u", x=1
    )
    (request,) = endpoint.requests
    assert (request.method, request.path) == ("POST", "/v1/embeddings")
    assert request.json() == {"model": "m", "input": value, "dimensions": 8, "encoding_format": "float", "user": "u", "x": 1}
    assert request.headers["authorization"] == "Bearer k"


async def test_an_embedding_without_parameters(endpoint: Endpoint) -> None:
    await tokenwire.aembedding("text-embedding-3-small", "Hi", api_base=endpoint.url)
    assert endpoint.requests[0].body == b'{"model":"text-embedding-3-small","input":"Hi"}'


async def test_images(endpoint: Endpoint) -> None:
    await tokenwire.aimage_generation(
        "a cat", "openai/m", api_base=endpoint.url, n=2, size="64x64", quality="low", user="u", x=1
    )
    (request,) = endpoint.requests
    assert (request.method, request.path) == ("POST", "/v1/images/generations")
    assert request.json() == {"model": "m", "prompt": "a cat", "n": 2, "size": "64x64", "quality": "low", "user": "u", "x": 1}


async def test_models(endpoint: Endpoint) -> None:
    await tokenwire.alist_models(api_base=endpoint.url, api_key="k", headers={"x-a": "1"}, extra_query={"limit": 3})
    (request,) = endpoint.requests
    assert (request.method, request.path, request.query, request.body) == ("GET", "/v1/models", "limit=3", b"")
    assert (request.headers["authorization"], request.headers["x-a"]) == ("Bearer k", "1")
    assert "content-type" not in request.headers


async def test_a_model_list_behind_a_path(endpoint: Endpoint) -> None:
    with Endpoint(Reply(json={"data": []})) as other:
        await tokenwire.alist_models("openai/ignored", api_base=other.url + "/deep")
        assert other.requests[0].path == "/v1/deep/models"
