"""Mistakes in keywords, messages and names: refused in words that say what was meant, before anything is sent."""

from collections.abc import Iterator
from typing import Any

import pytest

import tokenwire
from tokenwire import AsyncClient, BadRequestError, UnknownProviderError
from tokenwire._calls import routing
from tokenwire._calls.unknown import KNOWN, nearest
from tokenwire.testing import Endpoint, Reply, completion
from tokenwire.types.params import OPENAI_PARAMS

MESSAGES = [{"role": "user", "content": "Hi"}]


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    monkeypatch.setattr(routing, "_registered", {})
    with Endpoint(Reply(json=completion("Hello"))) as endpoint:
        yield endpoint


def refusal(endpoint: Endpoint, messages: Any = MESSAGES, model: str = "openai/m", **keywords: Any) -> BadRequestError:
    with pytest.raises(BadRequestError) as caught:
        tokenwire.completion(model, messages, stream=False, api_base=endpoint.url, **keywords)
    assert endpoint.requests == []
    assert caught.value.fault == "caller"
    return caught.value


@pytest.mark.parametrize(
    "keyword, meant",
    [
        ("max_token", "max_tokens"),
        ("maxtokens", "max_tokens"),
        ("temprature", "temperature"),
        ("tempearture", "temperature"),
        ("time_out", "timeout"),
        ("num_retry", "num_retries"),
        ("streem", "stream"),
        ("apikey", "api_key"),
        ("API_KEY", "api_key"),
        ("top_P", "top_p"),
        ("N", "n"),
        ("api_bas", "api_base"),
        ("respons_format", "response_format"),
        ("tools_choice", "tool_choice"),
        ("repetition_penality", "repetition_penalty"),
        ("num_ctxx", "num_ctx"),
    ],
)
def test_a_misspelled_keyword(keyword: str, meant: str, endpoint: Endpoint) -> None:
    error = refusal(endpoint, **{keyword: "sk-secret"})
    assert error.param == keyword
    assert f"did you mean {meant}?" in str(error)
    assert "sk-secret" not in str(error)


@pytest.mark.parametrize(
    "keyword, words",
    [
        ("gate", "AsyncClient(gate=...)"),
        ("handlers", "AsyncClient(handlers=...)"),
        ("transport", "AsyncClient(transport=...)"),
        ("http_client", "as client=..."),
        ("concurrency", "amap()"),
        ("max_concurrency", "amap() and map() take concurrency"),
        ("proxy", "HTTPS_PROXY"),
        ("verify", "did you mean ssl_verify?"),
        ("deadline", "did you mean timeout?"),
        ("api_token", "did you mean api_key?"),
        ("retries", "did you mean num_retries?"),
    ],
)
def test_a_keyword_that_is_said_elsewhere(keyword: str, words: str, endpoint: Endpoint) -> None:
    keywords: dict[str, Any] = {keyword: 5}
    error = refusal(endpoint, **keywords)
    assert error.param == keyword
    assert words in str(error)


@pytest.mark.parametrize("text", ["Hi", ["Hi"], MESSAGES], ids=["text", "texts", "messages"])
@pytest.mark.parametrize("keyword, function", [("prompt", "text_completion"), ("input", "embedding")])
def test_the_content_of_another_call_beside_messages(keyword: str, function: str, text: Any, endpoint: Endpoint) -> None:
    error = refusal(endpoint, **{keyword: text})
    assert error.param == keyword
    assert f"{keyword} is for {function}()" in str(error)


def test_messages_beside_a_prompt(endpoint: Endpoint) -> None:
    keywords: dict[str, Any] = {"messages": MESSAGES, "api_base": endpoint.url}
    with pytest.raises(BadRequestError, match=r"messages is for completion\(\)") as caught:
        tokenwire.text_completion("openai/m", "Hi", **keywords)
    assert (caught.value.param, endpoint.requests) == ("messages", [])


def test_a_servers_own_prompt_is_sent(endpoint: Endpoint) -> None:
    """OpenAI has an object of that name, and `extra_body` takes anything."""
    stored: dict[str, Any] = {"prompt": {"id": "pmpt_1"}}
    tokenwire.completion("openai/m", MESSAGES, api_base=endpoint.url, **stored)
    tokenwire.completion("openai/m", MESSAGES, api_base=endpoint.url, extra_body={"prompt": "Hi"})
    assert [request.json()["prompt"] for request in endpoint.requests] == [{"id": "pmpt_1"}, "Hi"]


def test_a_handler_that_names_a_prompt_gets_it(endpoint: Endpoint) -> None:
    async def handler(messages: Any, optional_params: Any, prompt: str = "", **_: Any) -> str:
        return optional_params["prompt"]

    tokenwire.register("mine", handler)
    keywords: dict[str, Any] = {"prompt": "Hi"}
    assert tokenwire.completion("mine/m", MESSAGES, **keywords).text == "Hi"


@pytest.mark.parametrize("make", [AsyncClient, tokenwire.Client], ids=["async", "sync"])
@pytest.mark.parametrize("keyword", ["model", "messages", "prompt", "input", "stream"])
def test_what_each_call_says_is_no_default_of_a_client(keyword: str, make: type[Any]) -> None:
    """It would take the place of the call's own, in the body."""
    keywords: dict[str, Any] = {keyword: "openai/m"}
    with pytest.raises(BadRequestError, match=f"a client has no default for {keyword}: pass it to each call") as caught:
        make(**keywords)
    assert (caught.value.param, caught.value.fault) == (keyword, "caller")


def test_a_misspelled_default_of_a_client(endpoint: Endpoint) -> None:
    defaults: dict[str, Any] = {"api_bas": endpoint.url}
    with pytest.raises(BadRequestError, match=r"api_bas: did you mean api_base\?"):
        tokenwire.Client(**defaults).completion("openai/m", MESSAGES)


@pytest.mark.parametrize(
    "keyword", ["top_n", "seeds", "my_own", "search_domain_filter", "stop_sequences", "x", "enable_thinking"]
)
def test_other_keywords_are_the_models(keyword: str, endpoint: Endpoint) -> None:
    keywords: dict[str, Any] = {keyword: 1}
    tokenwire.completion("openai/m", MESSAGES, api_base=endpoint.url, **keywords)
    assert endpoint.requests[0].json() == {"model": "m", "messages": MESSAGES, keyword: 1}


def test_extra_body_sends_anything(endpoint: Endpoint) -> None:
    odd = {"max_token": 5, "apikey": "a", "cohere_api_key": "b", "session_id": "c", "metadata": {"a": 1}}
    tokenwire.completion("openai/m", MESSAGES, api_base=endpoint.url, extra_body=odd)
    assert endpoint.requests[0].json() == {"model": "m", "messages": MESSAGES, **odd}


def test_known_keywords_are_never_taken_for_others() -> None:
    assert KNOWN.issuperset(OPENAI_PARAMS)
    assert [name for name in OPENAI_PARAMS if nearest(name, [name]) not in (name, None)] == []


def test_a_handlers_own_parameter_may_look_like_another(endpoint: Endpoint) -> None:
    heard: list[Any] = []

    async def handler(messages: Any, max_token: int = 0, **_: Any) -> str:
        heard.append(max_token)
        return "Hi"

    tokenwire.register("mine", handler)
    keywords: dict[str, Any] = {"max_token": 5}
    tokenwire.completion("mine/m", MESSAGES, **keywords)
    assert len(heard) == 1
    assert "did you mean temperature?" in str(refusal(endpoint, model="mine/m", temprature=1))


@pytest.mark.parametrize("keyword", ["cohere_api_key", "my_secret", "db_password", "gcp_credentials", "aws_secret_access_key"])
def test_secrets_are_not_sent_unasked(keyword: str, endpoint: Endpoint) -> None:
    error = refusal(endpoint, **{keyword: "hunter2"})
    assert error.param == keyword
    assert "hunter2" not in str(error)


def test_what_litellm_keeps_for_its_logs(endpoint: Endpoint) -> None:
    assert refusal(endpoint, metadata={"trace": {"id": 1}}).param == "metadata"
    assert refusal(endpoint, session_id="s").param == "session_id"


@pytest.mark.parametrize(
    "message, words",
    [
        ({"role": "usr", "content": "Hi"}, "did you mean 'user'?"),
        ({"role": "assistent", "content": "Hi"}, "did you mean 'assistant'?"),
        ({"role": "tool_response", "content": "Hi"}, "there are system, developer, user, assistant, tool, function"),
        ({"role": "user", "contnet": "Hi"}, "no content, but 'contnet': did you mean content?"),
        ({"role": "user", "contents": "Hi"}, "no content, but 'contents': did you mean content?"),
        ({"role": "user"}, "no content"),
        ({"role": "tool", "tool_call_id": "a"}, "no content"),
        ({"role": "assistant"}, "no content"),
        ({"role": "user", "content": b"Hi"}, "bytes as content"),
        ({"role": "user", "content": float("nan")}, "has nan as content"),
        ({"role": "user", "content": 5}, "has 5 as content: expected a str or a list of parts"),
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": b"a"}}]},
            "content[0].image_url.url has bytes",
        ),
        ({"role": "user", "content": [{"type": "text", "text": "a", "x": float("inf")}]}, "content[0].x is inf"),
    ],
    ids=str,
)
def test_a_message_that_would_be_misread(message: Any, words: str, endpoint: Endpoint) -> None:
    error = refusal(endpoint, [*MESSAGES, message])
    assert error.param == "messages"
    assert "messages[1]" in str(error)
    assert words in str(error)


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": None},
        {"role": "assistant", "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "assistant", "refusal": "no"},
        {"role": "ipython", "content": "1"},
        {"role": "user", "content": []},
        {"role": "user", "content": [{"type": "text", "text": "a"}]},
    ],
    ids=str,
)
def test_messages_that_say_something(message: Any, endpoint: Endpoint) -> None:
    tokenwire.completion("openai/m", [*MESSAGES, message], api_base=endpoint.url)
    assert endpoint.requests[0].json()["messages"][1] == message


@pytest.mark.parametrize(
    "keywords, words",
    [
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"top_p": float("-inf")}, "top_p is -inf"),
        ({"user": b"me"}, "user has bytes"),
        ({"logit_bias": {"5": float("nan")}}, "logit_bias.5 is nan"),
    ],
)
def test_what_json_would_say_as_something_else(keywords: dict[str, Any], words: str, endpoint: Endpoint) -> None:
    assert words in str(refusal(endpoint, **keywords))


@pytest.mark.parametrize(
    "model, words",
    [
        ("opnai/gpt-4o", 'Did you mean "openai/gpt-4o"?'),
        ("hosted_vlm/m", 'Did you mean "hosted_vllm/m"?'),
        ("replicate/llama", 'For replicate, call "openai/llama"'),
        ("acme/m", 'call "openai/acme/m"'),
        ("llama", 'call "openai/llama"'),
    ],
)
def test_a_provider_that_is_not_there(model: str, words: str, endpoint: Endpoint) -> None:
    error = refusal(endpoint, model=model)
    assert isinstance(error, UnknownProviderError)
    assert words in str(error)


@pytest.mark.parametrize(
    "name", ["Router", "completion_cost", "token_counter", "trim_messages", "supports_vision", "moderation"]
)
def test_a_name_of_litellms_says_what_to_do_instead(name: str) -> None:
    with pytest.raises(AttributeError, match=f"no attribute '{name}', as LiteLLM has it: .+") as caught:
        getattr(tokenwire, name)
    assert caught.value.name == name
    assert not hasattr(tokenwire, name)


@pytest.mark.anyio
async def test_a_servers_client_may_send_what_it_likes(endpoint: Endpoint) -> None:
    """A call that says whom it answers is a server's: what its client sent is the client's affair."""
    asked = tokenwire.ClientRequest("req_1", "POST", "http://localhost/", {}, None, {})
    odd: dict[str, Any] = {"max_token": 5}
    messages = [{"role": "somebody", "content": "Hi"}]
    async with AsyncClient(api_base=endpoint.url) as client:
        await client.acompletion("openai/m", messages, client_request=asked, **odd)
    assert endpoint.requests[0].json() == {"model": "m", "messages": messages, **odd}
