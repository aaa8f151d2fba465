"""LiteLLM's page "Custom API Server (Custom Format)" as it stood in October 2026: handlers with the signatures that each of its
sections has, served by a file of configuration as it has them, and asked as it asks them. (The handlers are our own.)
"""

from pathlib import Path
from typing import Any

import httpx
import pytest

import tokenwire as litellm
from tokenwire import AsyncClient, CustomLLM
from tokenwire.server import create_app
from tokenwire.server.config import read_config

from .conftest import Ask

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]

HANDLER = """
import time
from typing import Any, Optional, Union

import httpx
import tokenwire as litellm
from tokenwire import CustomLLM
from tokenwire.types.utils import GenericStreamingChunk, ImageObject, ImageResponse, ModelResponse


class Mine(CustomLLM):
    def completion(self, *args, **kwargs) -> litellm.ModelResponse:
        return litellm.completion(model="gpt-5", messages=[{"role": "user", "content": "?"}], mock_response="Hi!")

    async def acompletion(self, *args, **kwargs) -> litellm.ModelResponse:
        return litellm.completion(model="gpt-5", messages=[{"role": "user", "content": "?"}], mock_response="Hi!")

    async def aimage_generation(self, model: str, prompt: str, model_response: ImageResponse, optional_params: dict,
            logging_obj: Any, timeout: Optional[Union[float, httpx.Timeout]] = None, client: Any = None) -> ImageResponse:
        assert optional_params == {"my_custom_param": "my-custom-param"}, optional_params
        return ImageResponse(created=int(time.time()), data=[ImageObject(url="https://example.com/made.png")])

    async def aimage_edit(self, model: str, image: Any, prompt: str, model_response: ImageResponse, api_key: Optional[str],
            api_base: Optional[str], optional_params: dict, logging_obj: Any,
            timeout: Optional[Union[float, httpx.Timeout]] = None, client: Any = None) -> ImageResponse:
        assert [file.read() for file in image] == [b"a picture"]
        return ImageResponse(created=int(time.time()), data=[ImageObject(url="https://example.com/edited.png")])


class Clock(CustomLLM):
    def streaming(self, *args, **kwargs):
        return {"finish_reason": "stop", "index": 0, "is_finished": True, "text": "12", "tool_use": None,
            "usage": {"completion_tokens": 0, "prompt_tokens": 0, "total_tokens": 0}}

    async def astreaming(self, *args, **kwargs):
        chunk: GenericStreamingChunk = {"finish_reason": "stop", "index": 0, "is_finished": True, "text": "12",
            "tool_use": None, "usage": {"completion_tokens": 0, "prompt_tokens": 0, "total_tokens": 0}}
        yield chunk


my_custom_llm = Mine()
clock = Clock()
"""

CONFIG = """
model_list:
  - model_name: "test-model"
    litellm_params:
      model: "openai/text-embedding-ada-002"
  - model_name: "my-custom-model"
    litellm_params:
      model: "my-custom-llm/my-model"
      my_custom_param: "my-custom-param"
  - model_name: "my-custom-image-edit-model"
    litellm_params:
      model: "my-custom-llm/my-model"

litellm_settings:
  custom_provider_map:
  - {"provider": "my-custom-llm", "custom_handler": custom_page_handler.my_custom_llm}
"""


@pytest.fixture
def handlers(tmp_path: Path) -> dict[str, Any]:
    """What the handlers' file leaves behind."""
    (tmp_path / "custom_page_handler.py").write_text(HANDLER)
    (tmp_path / "config.yaml").write_text(CONFIG)
    names: dict[str, Any] = {"__name__": "custom_page_handler"}
    exec(compile(HANDLER, "custom_page_handler.py", "exec"), names)
    return names


@pytest.fixture
def app(handlers: dict[str, Any], tmp_path: Path) -> Any:
    """The app that the configuration describes."""
    config = read_config(tmp_path / "config.yaml", {})
    return create_app(config.models, handlers=config.handlers)


async def test_quick_start(handlers: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    entry = {"provider": "my-custom-llm", "custom_handler": handlers["my_custom_llm"]}
    monkeypatch.setattr(litellm, "custom_provider_map", [entry])
    answer = litellm.completion(
        model="my-custom-llm/my-fake-model",
        messages=[{"role": "user", "content": "Hello world!"}],
    )
    assert answer.choices[0].message.content == "Hi!"


async def test_proxy_usage(app: Any, ask: Ask) -> None:
    body = {"model": "my-custom-model", "messages": [{"role": "user", "content": "Say it in JSON!"}]}
    answer = (await ask(app, body, "/chat/completions", headers={"authorization": "Bearer sk-1234"})).json()
    assert answer["object"] == "chat.completion"
    assert answer["choices"][0]["message"]["content"] == "Hi!"
    assert answer["choices"][0]["finish_reason"] == "stop"
    text = (await ask(app, {"model": "my-custom-model", "prompt": "Say it!"}, "/v1/completions")).json()
    assert text["choices"][0]["text"] == "Hi!"


async def test_streaming_support(handlers: dict[str, Any]) -> None:
    """The sync method returns one chunk and no iterator, as the page has it; the async one yields it."""
    messages = [{"role": "user", "content": "What time is it?"}]
    clock = handlers["clock"]
    with litellm.Client(handlers={"test": clock}) as client:
        stream = client.completion("test/unixtime", messages, stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "12"
    async with (
        AsyncClient(handlers={"test": clock}) as client,
        await client.acompletion("test/unixtime", messages, stream=True) as chunks,
    ):
        assert [chunk.choices[0].delta.content async for chunk in chunks if chunk.choices[0].delta.content] == ["12"]


async def test_image_generation_and_additional_parameters(app: Any, ask: Ask) -> None:
    body = {"model": "my-custom-model", "prompt": "A cute baby sea otter"}
    answer = (await ask(app, body, "/v1/images/generations")).json()
    assert answer["data"] == [{"url": "https://example.com/made.png"}]


async def test_image_edit(app: Any, ask: Ask) -> None:
    fields = {"model": "my-custom-image-edit-model", "prompt": "Make the sky blue"}
    sent = httpx.Request("POST", "http://localhost", data=fields, files={"image": ("image.png", b"a picture", "image/png")})
    answer = (await ask(app, sent.read(), "/v1/images/edits", headers=dict(sent.headers))).json()
    assert answer["data"] == [{"url": "https://example.com/edited.png"}]


async def test_anthropics_messages(app: Any, ask: Ask) -> None:
    body = {
        "model": "my-custom-model",
        "max_tokens": 1024,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "What are the key findings?"}]}],
    }
    headers = {"anthropic-version": "2023-06-01", "authorization": "Bearer sk-1234"}
    answer = (await ask(app, body, "/v1/messages", headers=headers)).json()
    assert answer["type"] == "message"
    assert answer["content"] == [{"type": "text", "text": "Hi!"}]
    assert answer["stop_reason"] == "end_turn"


async def test_additional_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    class Mine(CustomLLM):
        def completion(self, *args: Any, **kwargs: Any) -> litellm.ModelResponse:
            assert kwargs["optional_params"] == {"my_custom_param": "my-custom-param"}
            return litellm.completion(model="gpt-5", messages=[{"role": "user", "content": "?"}], mock_response="Hi!")

    monkeypatch.setattr(litellm, "custom_provider_map", [{"provider": "my-custom-llm", "custom_handler": Mine()}])
    answer = litellm.completion(model="my-custom-llm/my-model", my_custom_param="my-custom-param")
    assert answer.choices[0].message.content == "Hi!"


@pytest.mark.parametrize("name", "completion streaming embedding image_generation image_edit".split())
async def test_the_handlers_spec(name: str) -> None:
    """The base class has each method, and its async twin."""
    assert callable(getattr(CustomLLM, name))
    assert callable(getattr(CustomLLM, f"a{name}"))
