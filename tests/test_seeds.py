"""LiteLLM's two pages "Custom API Server": their snippets run here with only the package's name and the address replaced.

The pages stand in tests/data as they were published. One line is added to the first snippet of the first page, which
never makes the instance that it registers.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tokenwire
from tokenwire.llms.base import BaseLLM
from tokenwire.testing import Endpoint, Reply, completion

PAGES = Path(__file__).parent / "data"
PUBLISHED_ADDRESS = "https://openai-proxy.berriai.repl.co"
MISSING_LINE = "my_custom_llm = MyCustomLLM()\n\n"

CHAT_ANSWER = "The sky, a canvas of blue,\nA work of art, pure and true,\nA"
TEXT_ANSWER = {
    "warning": "This model version is deprecated.",
    "id": "cmpl-8HxHqF5dymQdALmLplS0dWKZVFe3r",
    "object": "text_completion",
    "created": 1699290166,
    "model": "text-davinci-003",
    "choices": [{"text": "\n\nThe weather in San Francisco", "index": 0, "logprobs": None, "finish_reason": "length"}],
    "usage": {"prompt_tokens": 7, "completion_tokens": 16, "total_tokens": 23},
}


def snippets(page: str) -> list[str]:
    """The page's Python blocks, importing this package instead of LiteLLM."""
    blocks = re.findall(r"```python\n(.*?)```", (PAGES / page).read_text("utf-8"), re.DOTALL)
    return [
        block.replace("import litellm", "import tokenwire as litellm").replace("from litellm", "from tokenwire")
        for block in blocks
    ]


def run(code: str) -> dict[str, Any]:
    """The names that a snippet leaves behind."""
    names: dict[str, Any] = {"__name__": "snippet"}
    exec(compile(code, "snippet", "exec"), names)
    return names


@pytest.fixture(autouse=True)
def clean_slate(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the snippets set for the whole process is undone: the map, and the key."""
    monkeypatch.setattr(tokenwire, "custom_provider_map", [])
    monkeypatch.setenv("OPENAI_API_KEY", "unset")


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    def answer(request: Any) -> Reply:
        return Reply(json=TEXT_ANSWER if request.path.endswith("/v1/completions") else completion(CHAT_ANSWER))

    with Endpoint(answer) as endpoint:
        yield endpoint


def quick_start() -> str:
    code = snippets("custom_format.md")[0]
    assert "my_custom_llm = MyCustomLLM()" not in code, "the page has been mended: drop the line added here"
    return code.replace("litellm.custom_provider_map =", f"{MISSING_LINE}litellm.custom_provider_map =")


def test_the_quick_start_runs() -> None:
    names = run(quick_start())

    assert names["resp"].choices[0].message.content == "Hi!"
    assert names["resp"].model == "gpt-3.5-turbo"  # the nested call's own answer, unchanged


def test_the_quick_start_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    run(quick_start())

    assert capfd.readouterr() == ("", "")


def test_the_quick_starts_handler_streams_as_well() -> None:
    run(quick_start())
    messages = [{"role": "user", "content": "Hello world!"}]

    stream = tokenwire.completion("my-custom-llm/my-fake-model", messages, stream=True)

    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "Hi!"
    assert "".join(piece.text for piece in tokenwire.streaming("my-custom-llm/my-fake-model", messages)) == "Hi!"


def test_the_handler_spec_runs() -> None:
    names = run(snippets("custom_format.md")[1])

    assert issubclass(names["CustomLLM"], BaseLLM)
    assert names["GenericStreamingChunk"] is tokenwire.GenericStreamingChunk


def spec_handler(**methods: Any) -> Any:
    """An instance of a class derived from the page's own `CustomLLM`, whose other methods raise the page's own error."""
    base = run(snippets("custom_format.md")[1])["CustomLLM"]
    return type("Mine", (base,), methods)()


def call_every_way(model: str) -> set[str]:
    messages = [{"role": "user", "content": "Hi"}]
    stream = tokenwire.completion(model, messages, stream=True)
    return {
        str(tokenwire.completion(model, messages).choices[0].message.content),
        "".join(chunk.choices[0].delta.content or "" for chunk in stream),
        "".join(piece.text for piece in tokenwire.streaming(model, messages)),
    }


def test_one_method_over_the_specs_class_is_enough() -> None:
    def streaming(self: Any, *args: Any, **kwargs: Any) -> Iterator[dict[str, Any]]:
        yield {"text": "one", "is_finished": False, "finish_reason": None, "usage": None}
        yield {"text": "", "is_finished": True, "finish_reason": "stop", "usage": None, "index": 0}

    tokenwire.custom_provider_map.append({"provider": "mine", "custom_handler": spec_handler(streaming=streaming)})

    assert call_every_way("mine/any") == {"one"}


def test_the_specs_class_as_it_stands_is_not_implemented() -> None:
    tokenwire.custom_provider_map.append({"provider": "mine", "custom_handler": spec_handler()})

    with pytest.raises(tokenwire.InternalServerError, match="Not implemented yet!") as caught:
        tokenwire.completion("mine/any", [])

    assert caught.value.status_code == 500


@pytest.mark.parametrize("number, path", [(0, "/v1/chat/completions"), (1, "/v1/completions")])
def test_the_openai_format_snippets_run(number: int, path: str, endpoint: Endpoint, capsys: pytest.CaptureFixture[str]) -> None:
    code = snippets("openai_format.md")[number]
    assert PUBLISHED_ADDRESS in code

    names = run(code.replace(PUBLISHED_ADDRESS, endpoint.url))

    [request] = endpoint.requests
    assert (request.method, request.path) == ("POST", path)
    assert request.headers["authorization"] == "Bearer anything"
    assert request.json()["model"] == "command-nightly"
    assert capsys.readouterr().out.startswith("ModelResponse(id=")
    assert isinstance(names["response"], tokenwire.ModelResponse)


def test_the_chat_snippets_answer(endpoint: Endpoint) -> None:
    names = run(snippets("openai_format.md")[0].replace(PUBLISHED_ADDRESS, endpoint.url))

    assert endpoint.requests[0].json() == {
        "model": "command-nightly",
        "messages": [{"content": "Hello, how are you?", "role": "user"}],
    }
    assert names["response"].choices[0].message.content == CHAT_ANSWER


def test_the_text_snippets_answer(endpoint: Endpoint) -> None:
    names = run(snippets("openai_format.md")[1].replace(PUBLISHED_ADDRESS, endpoint.url))

    assert endpoint.requests[0].json() == {"model": "command-nightly", "prompt": "Hello, how are you?"}
    response = names["response"]
    assert response.choices[0].message.content == "\n\nThe weather in San Francisco"
    assert response.choices[0].finish_reason == "length"
    assert response.usage.total_tokens == 23
    assert response["warning"] == "This model version is deprecated."


def test_the_pages_other_two_endpoints() -> None:
    models = {"object": "list", "data": [{"id": "m", "object": "model", "created": 1, "owned_by": "me"}]}
    vectors = {"object": "list", "model": "e", "data": [{"object": "embedding", "index": 0, "embedding": [0.5, 1.5]}]}
    with Endpoint(lambda request: Reply(json=models if request.method == "GET" else vectors)) as endpoint:
        listed = tokenwire.list_models(api_base=endpoint.url)
        embedded = tokenwire.embedding("openai/e", "text", api_base=endpoint.url)

    assert [(request.method, request.path) for request in endpoint.requests] == [
        ("GET", "/v1/models"),
        ("POST", "/v1/embeddings"),
    ]
    assert [model.id for model in listed.data] == ["m"]
    assert embedded.data[0]["embedding"] == [0.5, 1.5]
