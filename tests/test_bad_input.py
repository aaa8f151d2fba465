"""Wrong arguments: each is refused before anything is sent, by a message that names it, and nothing is printed."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import httpx
import pytest

import tokenwire
from tokenwire import AuthenticationError, BadRequestError, CustomLLM, StreamClosedError, UnknownProviderError
from tokenwire._calls import routing
from tokenwire.testing import Endpoint, Reply, chunks, completion

MESSAGES = [{"role": "user", "content": "Hi"}]


class Handler(CustomLLM):
    def completion(self, *args: Any, **kwargs: Any) -> str:  # type: ignore[override]
        return "Hi"


@pytest.fixture(autouse=True)
def no_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenwire, "custom_provider_map", [])
    monkeypatch.setattr(routing, "_registered", {})


@pytest.fixture(autouse=True)
def silence(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Nothing is printed, whatever is wrong."""
    yield
    assert capfd.readouterr() == ("", "")


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    """An endpoint that no request may reach."""
    with Endpoint(Reply(json=completion())) as endpoint:
        yield endpoint
    assert endpoint.requests == []


class Unsendable:
    def __repr__(self) -> str:
        return "<Unsendable>"


# keywords of the call → what the message has in it, and the error's `param`
WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "no model": ({"model": None}, "model must be", "model"),
    "empty model": ({"model": ""}, "model must be", "model"),
    "model of another type": ({"model": 5}, "model must be", "model"),
    "model without its own name": ({"model": "openai/"}, "model must be", "model"),
    "model with a line break": ({"model": "openai/a\nb"}, "model must not contain line breaks", "model"),
    "messages as str": ({"messages": "Hi"}, "messages must be a list", "messages"),
    "messages as dict": ({"messages": {"role": "user"}}, "messages must be a list", "messages"),
    "messages as number": ({"messages": 5}, "messages must be a list", "messages"),
    "message as str": ({"messages": [*MESSAGES, "Hi"]}, r"messages\[1\] must be a dict", "messages"),
    "no messages": ({"messages": []}, "messages is empty", "messages"),
    "messages forgotten": ({"messages": None}, "messages is empty", "messages"),
    "a tool as number": ({"tools": [5]}, r"tools\[0\] must be a function, or a dict", "tools"),
    "a tool as text": ({"tools": [{}, "add"]}, r"tools\[1\] must be a function", "tools"),
    "a key by another name": ({"key": "secret"}, "did you mean api_key", "key"),
    "a token": ({"token": "secret"}, "did you mean api_key", "token"),
    "message without role": ({"messages": [{"content": "Hi"}]}, r"messages\[0\] must have a role", "messages"),
    "message with role None": ({"messages": [{"role": None, "content": "Hi"}]}, r"messages\[0\] must have a role", "messages"),
    "unsendable content": (
        {"messages": [{"role": "user", "content": Unsendable()}]},
        r"messages\[0\].content can't be sent as JSON: Unsendable",
        "messages",
    ),
    "unsendable parameter": ({"logit_bias": {"a": Unsendable()}}, r"logit_bias.a can't be sent as JSON", "logit_bias"),
    "unsendable unknown parameter": ({"foo": [1, {2, Unsendable()}]}, r"foo\[1\]", "foo"),
    "address without scheme": ({"api_base": "localhost:8000/v1"}, "api_base must be the base URL", "api_base"),
    "address of another scheme": ({"api_base": "ftp://localhost/v1"}, "api_base must be the base URL", "api_base"),
    "address without host": ({"api_base": "http://"}, "api_base must be the base URL", "api_base"),
    "address with the path": ({"api_base": "http://localhost/v1/chat/completions"}, "without /chat/completions", "api_base"),
    "address with the path and a slash": ({"api_base": "http://localhost/v1/completions/"}, "without /completions", "api_base"),
    "address with too high a port": ({"api_base": "http://localhost:99999/v1"}, "api_base must .* 0-65535", "api_base"),
    "address with a port of letters": ({"api_base": "http://localhost:port/v1"}, "api_base must .* 'port'", "api_base"),
    "address with a space": ({"api_base": "http://local host/v1"}, "api_base must .* a space", "api_base"),
    "address with a line break": ({"api_base": "http://localhost/\r\nx: y"}, "api_base must", "api_base"),
    "address of another type": ({"api_base": 5}, "api_base must be a str", "api_base"),
    "address by OpenAI's name": ({"api_base": None, "base_url": "localhost"}, "api_base must be the base URL", "api_base"),
    "timeout 0": ({"timeout": 0}, "timeout must be a number of seconds above 0", "timeout"),
    "timeout below 0": ({"timeout": -1.5}, "timeout must be a number of seconds above 0", "timeout"),
    "timeout NaN": ({"timeout": float("nan")}, "timeout must be a number of seconds above 0", "timeout"),
    "timeout as text": ({"timeout": "soon"}, "timeout must be seconds", "timeout"),
    "timeout True": ({"timeout": True}, "timeout must be", "timeout"),
    "request_timeout 0": ({"request_timeout": 0}, "timeout must be a number of seconds above 0", "timeout"),
    "n = 0": ({"n": 0}, "n must be a whole number, 1 or more", "n"),
    "n below 0": ({"n": -1}, "n must be a whole number, 1 or more", "n"),
    "n as text": ({"n": "2"}, "n must be a whole number, 1 or more", "n"),
    "num_retries below 0": ({"num_retries": -1}, "num_retries must be", "num_retries"),
    "num_retries as text": ({"num_retries": "2"}, "num_retries must be", "num_retries"),
    "stream as number": ({"stream": 1}, "stream must be True or False", "stream"),
    "api_key of another type": ({"api_key": 12345}, "api_key must be a str, not int", "api_key"),
    "api_key with a line break": ({"api_key": "secret\n"}, "api_key must not contain line breaks", "api_key"),
    "organization with a line break": ({"organization": "a\nb"}, "organization must not contain line breaks", "organization"),
    "headers as list": ({"headers": [("a", "b")]}, "headers must be a mapping", "headers"),
    "header of another type": ({"headers": {"a": 1}}, r"headers\['a'\] must be a str", "headers"),
    "header without a name": ({"headers": {"": "a"}}, "headers must be a mapping whose names", "headers"),
    "header with a space in its name": ({"headers": {"a b": "c"}}, "headers must be .*, not 'a b'", "headers"),
    "header with a colon in its name": (
        {"extra_headers": {"a:b": "c"}},
        "extra_headers must be .*, not 'a:b'",
        "extra_headers",
    ),
    "header with a line break in its name": ({"headers": {"a\r\nb": "c"}}, "headers must be .*, not", "headers"),
    "header with a line break": ({"extra_headers": {"a": "b\r\nc: d"}}, "must not contain line breaks", "extra_headers"),
    "extra_body as list": ({"extra_body": [1]}, "extra_body must be a mapping", "extra_body"),
    "extra_query as str": ({"extra_query": "a=b"}, "extra_query must be a mapping", "extra_query"),
    "names to drop as str": ({"additional_drop_params": "n"}, "must be a list of", "additional_drop_params"),
    "names to drop as int": ({"additional_drop_params": 5}, "must be a list of", "additional_drop_params"),
    "provider as number": ({"custom_llm_provider": 5}, "custom_llm_provider must be a str, not 5", "custom_llm_provider"),
    "provider as list": ({"custom_llm_provider": ["openai"]}, "custom_llm_provider must be a str", "custom_llm_provider"),
    "a sync client": ({"client": httpx.Client()}, "client must be an httpx.AsyncClient, not a httpx.Client", "client"),
    "a client of ours": ({"client": tokenwire.AsyncClient()}, "client must be an httpx.AsyncClient", "client"),
    "limits of another type": ({"limits": 5}, "limits must be a tokenwire.Limits", "limits"),
    "fallbacks as str": ({"fallbacks": "openai/m"}, "fallbacks must be a list", "fallbacks"),
    "a fallback as number": ({"fallbacks": ["openai/m", 1]}, r"fallbacks\[1\] must be a model's name", "fallbacks"),
    "a fallback without a model": ({"fallbacks": [{"api_key": "k"}]}, r"fallbacks\[0\] must be a model's name", "fallbacks"),
    "a fallback that streams": ({"fallbacks": [{"model": "openai/m", "stream": True}]}, "without stream", "fallbacks"),
    "a fallback's fallbacks": (
        {"fallbacks": [{"model": "openai/m", "fallbacks": ["openai/n"]}]},
        "without fallbacks",
        "fallbacks",
    ),
    "a fallback of nobody's": ({"fallbacks": ["nobody/m"]}, r"fallbacks\[0\]: LLM Provider NOT provided", "fallbacks"),
    "a fallback's bad keyword": ({"fallbacks": [{"model": "openai/m", "n": 0}]}, r"fallbacks\[0\]: n must be", "fallbacks"),
    "larger models as list": ({"context_window_fallback_dict": ["openai/m"]}, "must be a dict", "context_window_fallback_dict"),
    "a larger model of nobody's": (
        {"context_window_fallback_dict": {"openai/m": "nobody/m"}},
        r"context_window_fallback_dict\['openai/m'\]: LLM Provider NOT",
        "context_window_fallback_dict",
    ),
    "tools as a name": ({"tools": "get_weather"}, "tools must be a list of functions and dicts", "tools"),
    "one tool without a list": ({"tools": {"type": "function"}}, "tools must be a list of functions and dicts", "tools"),
    "a format as its name": (
        {"response_format": "json_object"},
        "response_format must be a type, or a dict",
        "response_format",
    ),
    "a format as a number": ({"response_format": 5}, "response_format must be a type, or a dict", "response_format"),
    "an option of LiteLLM's": ({"model_list": ["gpt-4o"]}, "model_list is an option of LiteLLM's", "model_list"),
}
wrong = pytest.mark.parametrize("keywords, message, param", [pytest.param(*values, id=name) for name, values in WRONG.items()])


def arguments(endpoint: Endpoint, keywords: dict[str, Any]) -> dict[str, Any]:
    return {"model": "openai/m", "messages": MESSAGES, "api_base": endpoint.url, "num_retries": 0, **keywords}


@wrong
@pytest.mark.anyio
async def test_async_calls_refuse(keywords: dict[str, Any], message: str, param: str, endpoint: Endpoint) -> None:
    with pytest.raises(BadRequestError, match=message) as caught:
        await tokenwire.acompletion(**arguments(endpoint, keywords))

    assert (caught.value.param, caught.value.status_code) == (param, 400)
    assert "secret" not in str(caught.value)
    assert "12345" not in str(caught.value)


@wrong
def test_sync_calls_refuse(keywords: dict[str, Any], message: str, param: str, endpoint: Endpoint) -> None:
    with pytest.raises(BadRequestError, match=message) as caught:
        tokenwire.completion(**arguments(endpoint, keywords))

    assert caught.value.param == param


@wrong
def test_streams_refuse(keywords: dict[str, Any], message: str, param: str, endpoint: Endpoint) -> None:
    keywords = arguments(endpoint, keywords)
    if "stream" in keywords:
        pytest.skip("streaming() takes no stream")

    with pytest.raises(BadRequestError, match=message) as caught:
        for _ in tokenwire.streaming(**keywords):
            pass

    assert caught.value.param == param


@pytest.mark.parametrize("value", [{"n": 0}, {"timeout": 0}, {"messages": "Hi"}], ids=["n", "timeout", "messages"])
@pytest.mark.anyio
async def test_astreaming_refuses_at_once(value: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {"model": "openai/m", "messages": MESSAGES, **value}

    with pytest.raises(BadRequestError):
        tokenwire.astreaming(**arguments)


@pytest.mark.parametrize(
    "name, value, message",
    [
        ("api_key", 12345, "api_key must be a str, not int"),
        ("api_key", b"secret", "api_key must be a str, not bytes"),
        ("api_base", 5, "api_base must be a str, not 5"),
        ("organization", 5, "organization must be a str, not 5"),
        ("headers", 5, "headers must be a mapping of header names to str"),
        ("headers", ["a"], "headers must be a mapping of header names to str"),
        ("headers", {"a": 1}, r"headers\['a'\] must be a str"),
        ("headers", {"a": "b\r\nc: d"}, "must not contain line breaks"),
        ("num_retries", "2", "num_retries must be a whole number"),
    ],
)
def test_settings_are_checked_as_keywords_are(
    name: str, value: object, message: str, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenwire, name, value, raising=False)

    with pytest.raises(BadRequestError, match=message) as caught:
        tokenwire.completion("openai/m", MESSAGES, **({} if name == "api_base" else {"api_base": endpoint.url}))

    assert caught.value.param == name
    assert "12345" not in str(caught.value)


@pytest.mark.parametrize(
    "call, param",
    [
        (lambda: tokenwire.text_completion("openai/m"), "prompt"),
        (lambda: tokenwire.text_completion("openai/m", {"a": 1}), "prompt"),  # type: ignore[call-overload]
        (lambda: tokenwire.embedding("openai/m"), "input"),
        (lambda: tokenwire.embedding("openai/m", 5), "input"),  # type: ignore[arg-type]
        (lambda: tokenwire.image_generation(None, "openai/m"), "prompt"),  # type: ignore[arg-type]
        (lambda: tokenwire.list_models(""), "model"),
        (lambda: tokenwire.get_llm_provider(""), "model"),
        (lambda: tokenwire.get_llm_provider(None), "model"),  # type: ignore[arg-type]
        (lambda: tokenwire.get_supported_openai_params("gpt-4o", request_type="speech"), "request_type"),
    ],
)
def test_other_functions_refuse(call: Callable[[], Any], param: str) -> None:
    with pytest.raises(BadRequestError, match=f"^{param} must be") as caught:
        call()

    assert caught.value.param == param


# Who answers


@pytest.mark.parametrize("model", ["unheard-of", "unheard/of", "acme/large"])
def test_an_unknown_model_says_what_to_do(model: str) -> None:
    with pytest.raises(UnknownProviderError) as caught:
        tokenwire.completion(model, MESSAGES)

    assert isinstance(caught.value, BadRequestError)
    assert (caught.value.status_code, caught.value.param, caught.value.model) == (400, "model", model)
    text = str(caught.value)
    assert "LLM Provider NOT provided" in text  # LiteLLM's words, which programs look for
    assert f'"openai/{model}"' in text
    assert "api_base" in text
    assert f"tokenwire.register({model.partition('/')[0] if '/' in model else 'my-llm'!r}" in text


def test_an_unknown_custom_llm_provider_lists_the_known() -> None:
    tokenwire.register("mine", Handler())

    with pytest.raises(UnknownProviderError, match=r"'nope'.*mine.*openai") as caught:
        tokenwire.completion("m", MESSAGES, custom_llm_provider="nope")

    assert caught.value.param == "custom_llm_provider"


def call_through_the_map() -> None:
    tokenwire.custom_provider_map.append({"provider": "mine", "custom_handler": Handler})
    tokenwire.completion("mine/m", MESSAGES)


@pytest.mark.parametrize("offer", [call_through_the_map, lambda: tokenwire.register("mine", Handler)], ids=["map", "register"])
def test_a_class_in_place_of_its_instance(offer: Callable[[], None]) -> None:
    with pytest.raises(BadRequestError, match=r"class Handler: pass an instance, Handler\(\)") as caught:
        offer()

    assert caught.value.param == "custom_handler"


@pytest.mark.parametrize("handler", [None, "handler", 5])
def test_what_can_be_no_handler(handler: Any) -> None:
    with pytest.raises(BadRequestError, match="the handler for 'mine'"):
        tokenwire.register("mine", handler)


@pytest.mark.parametrize("provider", ["", "a/b", None, 5])
def test_unusable_provider_names(provider: Any) -> None:
    with pytest.raises(BadRequestError, match="provider must be a name") as caught:
        tokenwire.register(provider, Handler())

    assert caught.value.param == "provider"


@pytest.mark.parametrize(
    "value", ["mine", {"provider": "mine", "custom_handler": Handler()}, ["mine"], [{"provider": "mine"}], [None], 5]
)
def test_a_malformed_map(value: Any) -> None:
    tokenwire.custom_provider_map = value

    with pytest.raises(BadRequestError, match="custom_provider_map") as caught:
        tokenwire.completion("mine/m", MESSAGES)

    assert caught.value.param == "custom_provider_map"


def test_the_last_registration_wins() -> None:
    tokenwire.register("mine", lambda: "first")
    tokenwire.register("mine", lambda: "second")
    assert tokenwire.completion("mine/m", MESSAGES).choices[0].message.content == "second"

    tokenwire.custom_provider_map += [
        {"provider": "mine", "custom_handler": lambda: "third"},
        {"provider": "mine", "custom_handler": lambda: "fourth"},
    ]
    assert tokenwire.completion("mine/m", MESSAGES).choices[0].message.content == "fourth"


def test_a_missing_key() -> None:
    with pytest.raises(AuthenticationError, match="OPENAI_API_KEY") as caught:
        tokenwire.completion("gpt-4o", MESSAGES)

    assert (caught.value.status_code, caught.value.param) == (401, "api_key")


def test_an_empty_key_is_none() -> None:
    with pytest.raises(AuthenticationError, match="OPENAI_API_KEY"):
        tokenwire.completion("gpt-4o", MESSAGES, api_key="")


@pytest.mark.parametrize("header", ["Authorization", "api-key"])
def test_no_key_is_needed_beside_the_caller_s_own_credentials(header: str) -> None:
    tokenwire.streaming("openai/m", MESSAGES, headers={header: "own"})  # sends nothing yet


def test_no_key_is_needed_where_the_address_is_given() -> None:
    with Endpoint(Reply(json=completion("Hello"))) as local:
        response = tokenwire.completion("openai/m", MESSAGES, api_base=local.url)

    assert response.choices[0].message.content == "Hello"
    assert "authorization" not in local.requests[0].headers


# Streams used wrongly


@pytest.mark.anyio
async def test_an_async_stream_under_for() -> None:
    with pytest.raises(TypeError, match="this is an async stream: use 'async for'"):
        for _ in tokenwire.astreaming("openai/m", MESSAGES, mock_response="Hi"):  # type: ignore[attr-defined]
            pass


def test_an_async_stream_where_no_loop_runs() -> None:
    """It can be made there, for a loop that runs later."""
    stream = tokenwire.astreaming("openai/m", MESSAGES, mock_response="Hi")
    with pytest.raises(TypeError, match="the sync function"):
        iter(stream)  # type: ignore[call-overload]

    async def read() -> str:
        return "".join([piece.text async for piece in stream])

    assert anyio.run(read) == "Hi"


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"http_client": httpx.Client()}, "http_client must be an httpx.AsyncClient, not a httpx.Client"),
        ({"transport": httpx.AsyncHTTPTransport()}, "transport must be a tokenwire.HTTPTransport"),
    ],
    ids=["http_client", "transport"],
)
def test_what_a_client_can_t_send_through(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRequestError, match=message):
        tokenwire.AsyncClient(**arguments)


@pytest.mark.parametrize("name", ["max_event_bytes", "max_body_bytes", "max_error_body_bytes"])
@pytest.mark.parametrize("value", [0, -1, "64", 1.5, None, True])
def test_a_limit_that_bounds_nothing(name: str, value: Any) -> None:
    with pytest.raises(BadRequestError, match=f"limits.{name} must be a whole number of bytes, 1 or more, not {value!r}"):
        tokenwire.Limits(**{name: value})


@pytest.mark.anyio
async def test_a_sync_stream_under_async_for() -> None:
    with (
        tokenwire.streaming("openai/m", MESSAGES, mock_response="Hi") as stream,
        pytest.raises(TypeError, match="this is a sync stream: use 'for'"),
    ):
        async for _ in stream:  # type: ignore[attr-defined]
            pass


@pytest.mark.anyio
async def test_an_async_stream_after_closing() -> None:
    with Endpoint(Reply(events=chunks("Hello there"))) as local:
        stream = await tokenwire.acompletion("openai/m", MESSAGES, api_base=local.url, stream=True)
        await anext(stream)
        await stream.aclose()
        await stream.aclose()

        with pytest.raises(StreamClosedError, match="closed"):
            await anext(stream)
        await tokenwire.aclose()

    assert stream.outcome == "cancelled"


def test_a_sync_stream_after_closing() -> None:
    with Endpoint(Reply(events=chunks("Hello there")[:-1], done=False, stall=True)) as local:
        with tokenwire.streaming("openai/m", MESSAGES, api_base=local.url) as stream:
            next(stream)
        stream.close()

        with pytest.raises(StreamClosedError, match="closed"):
            next(stream)

    assert stream.outcome == "cancelled"


def test_two_tasks_may_not_iterate_one_stream() -> None:
    async def main() -> None:
        stream = tokenwire.astreaming("openai/m", MESSAGES, mock_response="Hi", mock_delay=5)
        async with anyio.create_task_group() as group:
            group.start_soon(anext, stream)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(RuntimeError, match="two tasks"):
                await anext(stream)
            group.cancel_scope.cancel()

    anyio.run(main)


def test_an_error_names_no_key() -> None:
    reply = Reply(status=401, json={"error": {"message": "bad key"}})
    with Endpoint(reply) as local, pytest.raises(AuthenticationError) as caught:
        tokenwire.completion("openai/m", MESSAGES, api_base=local.url, api_key="sk-secret", num_retries=0)

    assert not re.search("sk-secret", f"{caught.value!r} {caught.value} {vars(caught.value)}")


def test_an_address_of_the_caller_s_own_may_do_without_a_key() -> None:
    with pytest.raises(AuthenticationError):
        tokenwire.astreaming("openai/m", MESSAGES)
    tokenwire.astreaming("openai/m", MESSAGES, api_base="https://api.openai.com/v1")  # sends nothing yet
