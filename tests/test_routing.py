"""Who answers for a model: `get_llm_provider`, the map, `register`, and what takes precedence."""

from typing import Any

import pytest

import tokenwire
from tokenwire import UnknownProviderError, get_llm_provider, get_supported_openai_params
from tokenwire._calls import routing

MESSAGES = [{"role": "user", "content": "Hi"}]
BASE = "http://localhost:8000/v1"


@pytest.fixture(autouse=True)
def no_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenwire, "custom_provider_map", [])
    monkeypatch.setattr(routing, "_registered", {})


def ask(model: str, **params: Any) -> str | None:
    response = tokenwire.completion(model, MESSAGES, stream=False, **params)
    return response.choices[0].message.content


@pytest.mark.parametrize(
    "model, keywords, expected",
    [
        ("openai/gpt-4o", {}, ("gpt-4o", "openai", None, None)),
        ("openai/a/b", {}, ("a/b", "openai", None, None)),
        ("gpt-4o-mini", {}, ("gpt-4o-mini", "openai", None, None)),
        ("o3-mini", {}, ("o3-mini", "openai", None, None)),
        ("text-embedding-3-small", {}, ("text-embedding-3-small", "openai", None, None)),
        ("dall-e-3", {}, ("dall-e-3", "openai", None, None)),
        ("ft:gpt-4o:me::1", {}, ("ft:gpt-4o:me::1", "openai", None, None)),
        ("gpt-3.5-turbo-instruct", {}, ("gpt-3.5-turbo-instruct", "text-completion-openai", None, None)),
        ("text-completion-openai/m", {}, ("m", "text-completion-openai", None, None)),
        ("hosted_vllm/meta/llama", {}, ("meta/llama", "hosted_vllm", None, None)),
        ("custom_openai/m", {}, ("m", "custom_openai", None, None)),
        (
            "command-nightly",
            {"custom_llm_provider": "openai", "api_base": BASE, "api_key": "k"},
            ("command-nightly", "openai", "k", BASE),
        ),
        ("openai/x", {"custom_llm_provider": "openai"}, ("openai/x", "openai", None, None)),
        ("hosted_vllm/x", {"custom_llm_provider": "hosted_vllm"}, ("hosted_vllm/x", "hosted_vllm", None, None)),
        ("openai/openai/x", {}, ("openai/x", "openai", None, None)),
        ("mine/x", {"custom_llm_provider": "mine"}, ("x", "mine", None, None)),
        ("x/y", {"custom_llm_provider": "openai"}, ("x/y", "openai", None, None)),
        ("nope/m", {"custom_llm_provider": "nope"}, ("m", "nope", None, None)),
        ("mine/a/b", {}, ("a/b", "mine", None, None)),
        ("mine/m", {"api_key": "k", "api_base": BASE}, ("m", "mine", None, BASE)),
        ("m", {"litellm_params": {"custom_llm_provider": "openai", "api_base": BASE}}, ("m", "openai", None, BASE)),
    ],
)
def test_get_llm_provider(model: str, keywords: dict[str, Any], expected: tuple[Any, ...]) -> None:
    tokenwire.register("mine", lambda: "Hi")

    assert get_llm_provider(model, **keywords) == expected


@pytest.mark.parametrize("model", ["unheard-of", "unheard/of", "/m", "mine"])
def test_get_llm_provider_of_nobodys(model: str) -> None:
    tokenwire.register("mine", lambda: "Hi")

    with pytest.raises(UnknownProviderError):
        get_llm_provider(model)


def test_the_map_may_be_rebound_and_appended_to() -> None:
    tokenwire.custom_provider_map = [{"provider": "a", "custom_handler": lambda: "rebound"}]
    assert ask("a/m") == "rebound"
    tokenwire.custom_provider_map.append({"provider": "b", "custom_handler": lambda: "appended"})
    assert ask("b/m") == "appended"
    tokenwire.custom_provider_map = []
    with pytest.raises(UnknownProviderError):
        ask("a/m")


def test_a_handler_may_answer_under_two_names() -> None:
    def handler(litellm_params: dict[str, Any]) -> str:
        return str(litellm_params["custom_llm_provider"])

    tokenwire.register("a", handler)
    tokenwire.register("b", handler)

    assert (ask("a/m"), ask("b/m")) == ("a", "b")


def test_the_map_comes_before_register() -> None:
    tokenwire.register("mine", lambda: "registered")
    tokenwire.custom_provider_map.append({"provider": "mine", "custom_handler": lambda: "mapped"})

    assert ask("mine/m") == "mapped"


def test_a_built_in_name_can_be_taken_over() -> None:
    tokenwire.register("openai", lambda model: f"my own {model}")

    assert ask("openai/m") == ask("openai/m", custom_llm_provider="openai") == "my own m"
    assert ask("gpt-4o") == "my own gpt-4o"


def test_custom_llm_provider_with_and_without_the_prefix() -> None:
    tokenwire.register("mine", lambda model: model)

    assert ask("mine/m", custom_llm_provider="mine") == "m"
    assert ask("m", custom_llm_provider="mine") == "m"


def test_a_handler_whose_method_is_replaced_later() -> None:
    """As tests do that patch a handler which has answered before."""

    class Handler(tokenwire.CustomLLM):
        def completion(self, *args: Any, **kwargs: Any) -> str:  # type: ignore[override]
            return "first"

    handler = Handler()
    tokenwire.register("mine", handler)
    assert ask("mine/m") == "first"

    handler.completion = lambda *args, **kwargs: "second"  # type: ignore[method-assign, assignment]

    assert ask("mine/m") == "second"


# A client's own handlers.


def test_a_client_s_own_handlers_are_its_alone() -> None:
    tokenwire.register("mine", lambda: "registered")
    with tokenwire.Client(handlers={"mine": lambda: "one's own", "other": lambda: "other"}) as one, tokenwire.Client() as two:
        asked = (one.completion("mine/m", MESSAGES), one.completion("other/m", MESSAGES), two.completion("mine/m", MESSAGES))
        assert [response.choices[0].message.content for response in asked] == ["one's own", "other", "registered"]
        with pytest.raises(UnknownProviderError):
            two.completion("other/m", MESSAGES)
    with pytest.raises(UnknownProviderError):
        ask("m", custom_llm_provider="other")


@pytest.mark.parametrize(
    "handlers, message",
    [
        (["mine"], "handlers must be a mapping"),
        ({"my/own": print}, "provider must be a name"),
        ({"mine": tokenwire.CustomLLM}, r"'mine' is the class CustomLLM: pass an instance"),
    ],
)
def test_handlers_that_a_client_can_t_have(handlers: Any, message: str) -> None:
    with pytest.raises(tokenwire.BadRequestError, match=message):
        tokenwire.AsyncClient(handlers=handlers)


def test_many_short_lived_handlers() -> None:
    for number in range(1100):
        tokenwire.register("mine", lambda number=number: str(number))
        if number % 100 == 99:
            assert ask("mine/m") == str(number)
    for number in range(1005):  # each asked once: no memory is kept of all of them
        tokenwire.register(f"mine{number}", lambda: "Hi")
        assert ask(f"mine{number}/m") == "Hi"
    assert len(routing._bridges) <= 1001


@pytest.mark.parametrize(
    "request_type, included, excluded",
    [("chat_completion", "tools", "suffix"), ("text_completion", "suffix", "tools"), ("embeddings", "dimensions", "tools")],
)
def test_supported_openai_params(request_type: str, included: str, excluded: str) -> None:
    names = get_supported_openai_params("gpt-4o", request_type=request_type)

    assert included in names
    assert excluded not in names
    assert names == sorted(set(names))


def test_supported_openai_params_of_a_handler() -> None:
    tokenwire.register("mine", lambda: "Hi")

    assert "temperature" in get_supported_openai_params("mine/m")
    assert "temperature" in get_supported_openai_params("m", custom_llm_provider="mine")
    with pytest.raises(UnknownProviderError):
        get_supported_openai_params("unheard-of")
