"""LiteLLM's keywords and settings: applied, or refused by name; none is sent to an endpoint, and none does nothing in silence."""

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

import tokenwire
from tokenwire import APIConnectionError, AsyncClient, BadRequestError, HTTPTransport, Timeouts
from tokenwire.testing import Endpoint, Received, Reply, chunks, completion

from .conftest import one_loop

MESSAGES = [{"role": "user", "content": "Hi"}]


def answer(request: Received) -> Reply:
    if request.json().get("stream"):
        return Reply(events=chunks("Hello"))
    if request.path.endswith("/embeddings"):
        return Reply(json={"data": [{"index": 0, "embedding": [1.0]}]})
    return Reply(json=completion("Hello"))


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint(answer) as endpoint:
        yield endpoint


@pytest.fixture
def assign(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, object], None]:
    """`tokenwire.<name> = value`, until the test ends."""
    return lambda name, value: monkeypatch.setattr(tokenwire, name, value, raising=False)


# Refused.

REFUSED: dict[str, Any] = {
    "default_fallbacks": ["openai/other"],
    "context_window_fallbacks": [{"m": ["n"]}],
    "disable_fallbacks": True,
    "include_fallback_errors": True,
    "model_list": [{"model_name": "m"}],
    "routing_strategy": "simple-shuffle",
    "allowed_fails": 3,
    "cooldown_time": 30,
    "cache": {"no-cache": True},
    "caching": True,
    "rpm": 10,
    "max_budget": 1.0,
    "input_cost_per_token": 0.001,
    "output_cost_per_token_above_200k_tokens_priority": 0.001,
    "cache_read_input_token_cost_flex": 0.001,
    "some_new_cost_per_second": 1,
    "logger_fn": print,
    "langfuse_secret_key": "sk-lf",
    "guardrails": ["pii"],
    "prompt_id": "p",
    "roles": {"user": {}},
    "force_timeout": 5,
    "aws_secret_access_key": "secret",
    "azure_ad_token": "secret",
    "gigachat_access_token": "secret",
    "vertex_credentials": "secret",
    "api_type": "azure",
    "deployment_id": "d",
    "shared_session": object(),
    "retry_strategy": "exponential_backoff_retry",
    "use_litellm_proxy": True,
    "complete_response": True,
    "verbose": True,
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_keyword_is_refused(name: str, endpoint: Endpoint) -> None:
    keywords: dict[str, Any] = {"api_base": endpoint.url, name: REFUSED[name]}
    calls: list[Callable[[], object]] = [
        lambda: tokenwire.completion("openai/m", MESSAGES, **keywords),
        lambda: next(tokenwire.streaming("openai/m", MESSAGES, **keywords)),
        lambda: tokenwire.embedding("openai/m", "Hi", **keywords),
        lambda: tokenwire.Client(**keywords).completion("openai/m", MESSAGES),
        lambda: tokenwire.completion("openai/m", MESSAGES, **{name: REFUSED[name]}),
    ]
    for call in calls:
        with pytest.raises(BadRequestError, match=f"^{name} is an option of LiteLLM's .*: ") as caught:
            call()
        assert (caught.value.param, caught.value.fault) == (name, "caller")
        assert "secret" not in str(caught.value).replace(name, "")
    assert endpoint.requests == []


@pytest.mark.parametrize("name", [*REFUSED, "drop_params", "allowed_openai_params", "tags", "litellm_call_id"])
@pytest.mark.parametrize("value", [None, False, [], 0])
def test_a_keyword_that_asks_for_nothing(name: str, value: Any, endpoint: Endpoint) -> None:
    keywords: dict[str, Any] = {name: value}
    tokenwire.completion("openai/m", MESSAGES, api_base=endpoint.url, **keywords)
    assert endpoint.requests[0].json() == {"model": "m", "messages": MESSAGES}


@pytest.mark.parametrize("name", ["api_version", "ssl_verify", "stream_timeout", "tags", "litellm_call_id"])
def test_none_is_nothing(name: str, endpoint: Endpoint) -> None:
    keywords: dict[str, Any] = {name: None}
    tokenwire.completion("openai/m", MESSAGES, api_base=endpoint.url, **keywords)
    assert (endpoint.requests[0].query, endpoint.requests[0].json()) == ("", {"model": "m", "messages": MESSAGES})


def test_what_is_true_anyway(endpoint: Endpoint) -> None:
    keywords: dict[str, Any] = {"drop_params": True, "allowed_openai_params": ["tools"], "turn_off_message_logging": True}
    tokenwire.completion("openai/m", MESSAGES, api_base=endpoint.url, **keywords)
    assert endpoint.requests[0].json() == {"model": "m", "messages": MESSAGES}


def test_an_endpoint_can_have_them_all_the_same(endpoint: Endpoint) -> None:
    theirs = {"cache": {"no-cache": True}, "tags": ["a"], "guardrails": ["pii"], "ssl_verify": 1, "input_cost_per_token": 2}
    tokenwire.completion("openai/m", MESSAGES, api_base=endpoint.url, extra_body=theirs)
    assert endpoint.requests[0].json() == {"model": "m", "messages": MESSAGES, **theirs}


def test_vendors_parameters_are_theirs(endpoint: Endpoint) -> None:
    theirs: dict[str, Any] = {
        "top_k": 40, "min_p": 0.1, "repetition_penalty": 1.1, "guided_json": {}, "chat_template_kwargs": {"a": 1}, "priority": 1,
        "plugins": [{"id": "web"}], "provider": {"order": ["a"]}, "models": ["a"], "transforms": [], "route": "fallback",
        "metadata": {"a": "b"}, "thinking": {"type": "enabled"}, "safety_identifier": "s", "cached": True,
        "search_parameters": {}, "include_server_side_tool_invocations": True, "prompt_cache_retention": "24h",
    }  # fmt: skip
    tokenwire.completion("openai/m", MESSAGES, api_base=endpoint.url, **theirs)
    assert endpoint.requests[0].json() == {"model": "m", "messages": MESSAGES, **theirs}


SETTINGS = (
    "cache caching input_callback fallbacks default_fallbacks model_alias_map "
    "max_budget set_verbose modify_params client_session aclient_session ssl_certificate ssl_security_level force_ipv4 "
    "anthropic_key azure_key vertex_project max_tokens json_logs allowed_fails custom_prompt_dict "
    "use_aiohttp_transport post_call_rules enable_json_schema_validation num_retries_per_request"
).split()


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_is_refused_where_it_is_made(name: str) -> None:
    with pytest.raises(BadRequestError, match=f"^{name} is a setting of LiteLLM's .*: ") as caught:
        setattr(tokenwire, name, ["secret"])
    assert caught.value.param == name
    assert "secret" not in str(caught.value)
    assert not hasattr(tokenwire, name)


@pytest.mark.parametrize("name", [*SETTINGS, "callbacks", "success_callback", "telemetry", "retry"])
def test_a_setting_that_asks_for_nothing(name: str, assign: Callable[[str, object], None]) -> None:
    for value in (False, None, [], 0):
        assign(name, value)


@pytest.mark.parametrize("name", ["drop_params", "suppress_debug_info", "turn_off_message_logging", "my_own", "_cache"])
def test_a_setting_that_is_let_through(name: str, assign: Callable[[str, object], None]) -> None:
    assign(name, True)
    assert getattr(tokenwire, name) is True


@pytest.mark.parametrize(
    "name, meant",
    [
        ("drop_parms", "drop_params"),
        ("api_kye", "api_key"),
        ("apikey", "api_key"),
        ("num_retry", "num_retries"),
        ("custom_providers_map", "custom_provider_map"),
    ],
)
def test_a_misspelled_setting(name: str, meant: str) -> None:
    with pytest.raises(BadRequestError, match=rf"tokenwire has no setting {name}: did you mean {meant}\?") as caught:
        setattr(tokenwire, name, "secret")
    assert (caught.value.param, caught.value.fault) == (name, "caller")
    assert not hasattr(tokenwire, name)


# Applied.


def test_openai_s_own_key(endpoint: Endpoint, assign: Callable[[str, object], None]) -> None:
    def key_sent() -> str:
        tokenwire.completion("openai/m", MESSAGES, api_base=endpoint.url)
        return endpoint.requests[-1].headers["authorization"]

    assign("openai_key", "sk-openai")
    assert key_sent() == "Bearer sk-openai"
    with tokenwire.Client(handlers={"mine": lambda api_key: repr(api_key)}) as client:
        assert client.completion("mine/m", MESSAGES).choices[0].message.content == "None"  # it may be of another vendor
    assign("api_key", "sk-all")
    assert key_sent() == "Bearer sk-all"
    assign("api_key", None)
    assign("openai_key", 12345)
    with pytest.raises(BadRequestError, match=r"^openai/m: openai_key must be a str, not int"):
        key_sent()


def test_the_version_of_the_api(endpoint: Endpoint, assign: Callable[[str, object], None]) -> None:
    def query(address: str = "", **keywords: Any) -> str:
        tokenwire.completion("openai/m", MESSAGES, api_base=endpoint.url + address, **keywords)
        assert endpoint.requests[-1].json() == {"model": "m", "messages": MESSAGES}
        return endpoint.requests[-1].query

    assert query(api_version="2026-10-01") == "api-version=2026-10-01"
    assert query("?api-version=old&a=b", api_version="new", extra_query={"c": 1}) == "a=b&api-version=new&c=1"
    assert query("?api-version=old") == "api-version=old"
    assign("api_version", "set & ready")
    assert query() == "api-version=set+%26+ready"
    assert query(api_version="own") == "api-version=own"


@pytest.mark.anyio
@one_loop
async def test_a_timeout_for_streams_alone(assign: Callable[[str, object], None]) -> None:
    seen: list[Timeouts] = []

    def handler(litellm_params: dict[str, Any]) -> str:
        seen.append(litellm_params["timeouts"])
        return "Hello"

    async with AsyncClient(handlers={"mine": handler}, stream_timeout=5, timeout=9) as client:
        await client.acompletion("mine/m", MESSAGES)
        async with client.astreaming("mine/m", MESSAGES) as stream:
            await anext(stream)
        async with client.astreaming("mine/m", MESSAGES, stream_timeout=Timeouts(idle=7)) as stream:
            await anext(stream)
    assert seen == [Timeouts.parse(9), Timeouts.parse(5), Timeouts(idle=7)]


@pytest.mark.parametrize("streamed", [False, True])
def test_a_timeout_for_streams_that_is_none(streamed: bool, endpoint: Endpoint) -> None:
    for value, message in (("soon", "must be seconds"), (0, "must be a number of seconds above 0")):
        with pytest.raises(BadRequestError, match=f"^stream_timeout {message}") as caught:
            tokenwire.completion("openai/m", MESSAGES, api_base=endpoint.url, stream=streamed, stream_timeout=value)
        assert caught.value.param == "stream_timeout"
    assert endpoint.requests == []


KNOWN_BY: dict[str, Any] = {
    "litellm_call_id": "call-1", "litellm_trace_id": "trace-1", "litellm_session_id": "session-1", "tags": ["a"],
    "litellm_metadata": {"a": 1}, "model_info": {"id": "x"},
}  # fmt: skip


def test_handlers_hear_what_a_call_is_known_by() -> None:
    seen: list[dict[str, Any]] = []

    def handler(litellm_params: dict[str, Any], optional_params: dict[str, Any]) -> str:
        seen.extend([litellm_params, optional_params])
        return "Hello"

    with tokenwire.Client(handlers={"mine": handler}) as client:
        client.completion("mine/m", MESSAGES, api_version="v", ssl_verify=False, top_k=1, **KNOWN_BY)
    assert {name: seen[0][name] for name in KNOWN_BY} == KNOWN_BY
    assert (seen[0]["api_version"], seen[0]["ssl_verify"], seen[1]) == ("v", False, {"top_k": 1})


@pytest.mark.parametrize("name", KNOWN_BY)
def test_an_endpoint_does_not(name: str, endpoint: Endpoint) -> None:
    with pytest.raises(BadRequestError, match=f"^{name} is for handlers .* extra_body") as caught:
        tokenwire.completion("openai/m", MESSAGES, api_base=endpoint.url, **{name: KNOWN_BY[name]})
    assert (caught.value.param, endpoint.requests) == (name, [])


# TLS.


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def secure(authority: trustme.CA) -> Iterator[Endpoint]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with Endpoint(answer, tls=context) as endpoint:
        yield endpoint


@pytest.fixture
def certificates(authority: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.mark.anyio
async def test_whose_certificates_are_trusted(secure: Endpoint, certificates: str) -> None:
    async with AsyncClient(api_base=secure.url, num_retries=0) as client:

        async def ask(**keywords: Any) -> str | None:
            return (await client.acompletion("openai/m", MESSAGES, **keywords)).choices[0].message.content

        for keywords in ({}, {"ssl_verify": True}):
            with pytest.raises(APIConnectionError, match="certificate verify failed"):
                await ask(**keywords)
        assert await ask(ssl_verify=False) == await ask(ssl_verify=certificates) == "Hello"
        with pytest.raises(APIConnectionError, match="certificate verify failed"):
            await ask()  # never over a connection that was opened with less care
        async with client.astreaming("openai/m", MESSAGES, ssl_verify=certificates) as stream:
            assert "".join([piece.text async for piece in stream]) == "Hello"
        assert client.stats is not None
        assert (client.stats.open, client.stats.idle) == (2, 2)
        assert [request.json().get("ssl_verify") for request in secure.requests] == [None] * 3
    assert len(secure.requests) == 3


@pytest.mark.anyio
@one_loop
async def test_a_client_and_the_package_can_say_so(
    secure: Endpoint, certificates: str, assign: Callable[[str, object], None]
) -> None:
    async with AsyncClient(api_base=secure.url, ssl_verify=certificates) as client:
        await client.acompletion("openai/m", MESSAGES)
    assign("ssl_verify", False)
    await tokenwire.acompletion("openai/m", MESSAGES, api_base=secure.url)
    with pytest.raises(APIConnectionError, match="certificate verify failed"):
        await tokenwire.acompletion("openai/m", MESSAGES, api_base=secure.url, ssl_verify=True, num_retries=0)
    await tokenwire.aclose()


@pytest.mark.anyio
async def test_a_handler_s_requests_too(secure: Endpoint) -> None:
    async def handler(http_client: httpx.AsyncClient) -> str:
        return (await http_client.post(secure.url, json={})).json()["choices"][0]["message"]["content"]

    async with AsyncClient(handlers={"mine": handler}) as client:
        reply = await client.acompletion("mine/m", MESSAGES, ssl_verify=False)
        assert reply.choices[0].message.content == "Hello"
        with pytest.raises(APIConnectionError, match="certificate verify failed"):
            await client.acompletion("mine/m", MESSAGES)


def test_a_folder_of_certificates(secure: Endpoint, tmp_path: Path) -> None:
    with pytest.raises(APIConnectionError, match="certificate verify failed"):  # it is empty
        tokenwire.completion("openai/m", MESSAGES, api_base=secure.url, ssl_verify=str(tmp_path), num_retries=0)


@pytest.mark.parametrize("value", [1, "", "/not/there.pem", ssl.create_default_context(), b"/a"])
def test_certificates_that_are_none(value: Any, secure: Endpoint, tmp_path: Path) -> None:
    (tmp_path / "no.pem").write_text("nothing")
    for verify in (value, str(tmp_path / "no.pem")):
        with pytest.raises(
            BadRequestError, match=r"^(openai/m: )?ssl_verify must be True, False or a path of certificates"
        ) as caught:
            tokenwire.completion("openai/m", MESSAGES, api_base=secure.url, ssl_verify=verify)
        assert (caught.value.param, caught.value.fault) == ("ssl_verify", "caller")
    assert secure.requests == []


@pytest.mark.skipif(httpx.__version__.startswith("0.27."), reason="httpx 0.27 passes over certificates that are not there")
def test_the_environment_s_certificates_that_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("SSL_CERT_FILE", "/not/there.pem")
    with tokenwire.Client(num_retries=0) as client, pytest.raises(BadRequestError, match="SSL_CERT_FILE"):
        client.completion("openai/m", MESSAGES, api_base="https://model.example/v1")


@pytest.mark.anyio
@one_loop
async def test_what_the_caller_has_made_is_not_changed(endpoint: Endpoint) -> None:
    async with httpx.AsyncClient(transport=HTTPTransport()) as http_client:
        made: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
            ("http_client", {"http_client": http_client}, {}),
            ("transport", {"transport": HTTPTransport()}, {}),
            ("client", {}, {"client": http_client}),
        ]
        for name, arguments, keywords in made:
            async with AsyncClient(api_base=endpoint.url, **arguments) as client:
                with pytest.raises(BadRequestError, match=f"ssl_verify can't change the {name}") as caught:
                    await client.acompletion("openai/m", MESSAGES, ssl_verify=False, **keywords)
                assert caught.value.param == "ssl_verify"
                await client.acompletion("openai/m", MESSAGES, ssl_verify=True, **keywords)
    assert len(endpoint.requests) == 3
