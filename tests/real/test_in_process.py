"""The handler that runs the model in this process, on every loop and from sync code."""

import importlib.util
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread

import tokenwire
from tokenwire import BadRequestError, ContextWindowExceededError, acompletion, astreaming, completion, streaming

pytestmark = pytest.mark.real_model

MODEL = "llama-in-process/smollm2"
HI = [{"role": "user", "content": "Hi"}]
ALIKE: Any = {"temperature": 0, "seed": 1, "max_tokens": 16}
EXAMPLE = Path(__file__).with_name("in_process_handler.py")


class Watched:
    """A llama.cpp that counts the chunks it hands over, and says when it has ended."""

    def __init__(self, llama: Any) -> None:
        self.llama = llama
        self.chunks = 0
        self.ended = threading.Event()

    def handle_chat_completions(self, request: Any, callback: Callable[[Any], bool | None]) -> None:
        def count(chunk: Any) -> bool | None:
            self.chunks += 1
            return callback(chunk)

        self.llama.handle_chat_completions(request, count)
        self.ended.set()


@pytest.fixture(scope="module")
def handler(model_path: str) -> Any:
    """The example's handler; loading the model takes about as long as a test."""
    spec = importlib.util.spec_from_file_location("in_process_handler", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.LlamaCpp(model_path, threads=1)


@pytest.fixture(autouse=True)
def registered(handler: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenwire, "custom_provider_map", [{"provider": "llama-in-process", "custom_handler": handler}])


@pytest.mark.anyio
async def test_it_answers_as_its_server_does(local: Any) -> None:
    ours = await acompletion(MODEL, HI, **ALIKE)
    theirs = await acompletion("openai/smollm2", HI, **local | ALIKE)
    assert ours.choices[0].message.content == theirs.choices[0].message.content
    assert ours.choices[0].finish_reason == theirs.choices[0].finish_reason == "stop"
    assert ours.usage is not None
    assert theirs.usage is not None
    assert ours.usage.total_tokens == theirs.usage.total_tokens > 0


@pytest.mark.anyio
async def test_it_streams(handler: Any) -> None:
    async with astreaming(MODEL, HI, **ALIKE) as flat:
        texts = [chunk.text async for chunk in flat]
    async with await acompletion(MODEL, HI, stream=True, **ALIKE) as stream:
        chunks = [chunk async for chunk in stream]
    assert len([text for text in texts if text]) > 5
    assert "".join(texts) == "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert flat.outcome == stream.outcome == "complete"
    assert stream.usage is not None
    assert stream.usage.completion_tokens > 5


@pytest.mark.anyio
async def test_each_of_n_choices_is_kept_apart() -> None:
    response = await acompletion(MODEL, HI, n=2, **ALIKE | {"max_tokens": 3})
    alone = await acompletion(MODEL, HI, **ALIKE | {"max_tokens": 3})
    assert sorted(choice.index or 0 for choice in response.choices) == [0, 1]
    assert {choice.message.content for choice in response.choices} == {alone.choices[0].message.content}


@pytest.mark.anyio
async def test_max_tokens_ends_it_with_length() -> None:
    response = await acompletion(MODEL, HI, **ALIKE | {"max_tokens": 2})
    assert response.choices[0].finish_reason == "length"


@pytest.mark.anyio
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_its_errors_are_ours(stream: bool) -> None:
    async def ask(messages: list[dict[str, Any]], **params: Any) -> None:
        response: Any = await acompletion(MODEL, messages, stream=stream, **params)
        if stream:
            async with response:
                await anext(response)

    with pytest.raises(BadRequestError, match="temperature") as wrong:
        await ask(HI, temperature="hot")
    assert (wrong.value.status_code, wrong.value.llm_provider) == (400, "llama-in-process")
    with pytest.raises(ContextWindowExceededError):
        await ask([{"role": "user", "content": "word " * 2500}])


@pytest.mark.anyio
async def test_the_model_stops_when_its_reader_leaves(handler: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    llama = Watched(handler.llama)
    monkeypatch.setattr(handler, "llama", llama)
    async with astreaming(MODEL, HI, ignore_eos=True, max_tokens=1000) as stream:
        async for chunk in stream:
            if chunk.text:
                break
    assert await to_thread.run_sync(llama.ended.wait, 60)
    assert llama.chunks < 500


def test_sync_calls_say_the_same() -> None:
    whole = completion(MODEL, HI, **ALIKE)
    with streaming(MODEL, HI, **ALIKE) as stream:
        text = "".join(chunk.text for chunk in stream)
    assert whole.choices[0].message.content == text
    assert text.startswith("Hello")


def test_it_fits_on_a_page() -> None:
    assert len(EXAMPLE.read_text("utf-8").splitlines()) <= 40
