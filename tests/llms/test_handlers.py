"""The contract of handlers: whatever kind a handler is, every way of calling it gives the same answer.

Each handler here has one method, or is one function, and says "Hello there" in three pieces if it can stream.
"""

# pyright: reportArgumentType=false, reportCallIssue=false
# The records are made from dicts here, as LiteLLM's users do; the checker knows of the structs alone.

import functools
import importlib.metadata
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

import tokenwire
from tokenwire import CustomLLM, GenericStreamingChunk, ModelResponse
from tokenwire._calls import routing

MESSAGES = [{"role": "user", "content": "Hi"}]
PIECES = ("Hel", "lo ", "there")
ANSWER = "".join(PIECES)


def whole(**fields: Any) -> ModelResponse:
    return ModelResponse(choices=[{"message": {"content": ANSWER}, "finish_reason": "stop"}], **fields)


def chunks() -> Iterator[GenericStreamingChunk]:
    for piece in PIECES:
        yield GenericStreamingChunk(text=piece)
    yield GenericStreamingChunk(is_finished=True, finish_reason="stop")


class OnlyCompletion(CustomLLM):
    def completion(self, *args: Any, **kwargs: Any) -> ModelResponse:
        return whole()


class OnlyStreaming(CustomLLM):
    def streaming(self, *args: Any, **kwargs: Any) -> Iterator[GenericStreamingChunk]:
        yield from chunks()


class OnlyAcompletion(CustomLLM):
    async def acompletion(self, *args: Any, **kwargs: Any) -> ModelResponse:
        return whole()


class OnlyAstreaming(CustomLLM):
    async def astreaming(self, *args: Any, **kwargs: Any) -> AsyncIterator[GenericStreamingChunk]:
        for chunk in chunks():
            yield chunk


class FillsTheResponse(CustomLLM):
    """LiteLLM's documented manner."""

    def completion(self, *args: Any, model_response: ModelResponse, **kwargs: Any) -> ModelResponse:
        model_response.choices[0].message.content = ANSWER
        return model_response


class CoroutineThatReturnsAnIterator(CustomLLM):
    async def astreaming(self, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        return chunks()


class PlainDefForAnAsyncMethod(CustomLLM):
    def acompletion(self, *args: Any, **kwargs: Any) -> ModelResponse:  # type: ignore[override]
        return whole()


class DuckTypedWhole:
    def completion(self, model: str, messages: list[Any]) -> ModelResponse:
        return whole()


class DuckTypedStream:
    async def astreaming(self, messages: list[Any]) -> AsyncIterator[str]:
        for piece in PIECES:
            yield piece


class CallableObject:
    async def __call__(self, messages: list[Any]) -> AsyncIterator[str]:
        for piece in PIECES:
            yield piece


class IteratorWithoutIter:
    """The least that Python calls an iterator in a `next()` loop, as LiteLLM accepts it."""

    def __init__(self) -> None:
        self._chunks = chunks()

    def __next__(self) -> GenericStreamingChunk:
        return next(self._chunks)


async def async_generator(messages: list[Any]) -> AsyncIterator[str]:
    for piece in PIECES:
        yield piece


def generator(messages: list[Any]) -> Iterator[str]:
    yield from PIECES


def plain(messages: list[Any]) -> str:
    return ANSWER


async def coroutine(messages: list[Any]) -> str:
    return ANSWER


def with_prefix(prefix: str, messages: list[Any]) -> Iterator[str]:
    yield prefix
    yield from PIECES[1:]


def undecorated_looking(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator like many: it hides what kind of function it wraps."""

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def no_iter(**kwargs: Any) -> IteratorWithoutIter:
    return IteratorWithoutIter()


KINDS: dict[str, Callable[[], Any]] = {
    "only completion": OnlyCompletion,
    "only streaming": OnlyStreaming,
    "only acompletion": OnlyAcompletion,
    "only astreaming": OnlyAstreaming,
    "fills model_response": FillsTheResponse,
    "astreaming returns an iterator": CoroutineThatReturnsAnIterator,
    "acompletion is a plain def": PlainDefForAnAsyncMethod,
    "duck-typed, whole": DuckTypedWhole,
    "duck-typed, streaming": DuckTypedStream,
    "callable object": CallableObject,
    "async generator function": lambda: async_generator,
    "generator function": lambda: generator,
    "plain function": lambda: plain,
    "async function": lambda: coroutine,
    "lambda": lambda: lambda messages: ANSWER,
    "partial": lambda: functools.partial(with_prefix, "Hel"),
    "partial of an async generator function": lambda: functools.partial(async_generator),
    "decorated generator function": lambda: undecorated_looking(lambda **_: iter(PIECES)),
    "decorated async generator function": lambda: undecorated_looking(lambda messages, **_: async_generator(messages)),
    "object with __next__ alone": lambda: no_iter,
}


@pytest.fixture(params=[pytest.param(make, id=name) for name, make in KINDS.items()])
def model(request: pytest.FixtureRequest) -> str:
    """The name of a model that a handler of one kind answers for."""
    tokenwire.register("mine", request.param())
    return "mine/any"


def chat_text(chunks: list[Any]) -> str:
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices[0].finish_reason] == ["stop"]
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert all(chunk.model == "any" and chunk.created for chunk in chunks)
    assert len({chunk.id for chunk in chunks}) == 1
    assert [chunk.choices[0].delta.role for chunk in chunks].count("assistant") == 1
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


def flat_text(chunks: list[GenericStreamingChunk]) -> str:
    assert [chunk.finish_reason for chunk in chunks if chunk.is_finished] == ["stop"]
    return "".join(chunk.text for chunk in chunks)


def piece_text(chunks: list[Any]) -> str:
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices[0].finish_reason] == ["stop"]
    return "".join(chunk.choices[0].text or "" for chunk in chunks)


def whole_text(response: Any) -> str:
    assert isinstance(response, ModelResponse)
    assert response.id
    assert response.created
    assert response.choices[0].finish_reason == "stop"
    return response.choices[0].message.content or ""


async def acompletion(model: str) -> str:
    return whole_text(await tokenwire.acompletion(model, MESSAGES))


async def acompletion_stream(model: str) -> str:
    async with await tokenwire.acompletion(model, MESSAGES, stream=True) as stream:
        text = chat_text([chunk async for chunk in stream])
    assert (stream.outcome, whole_text(stream.response)) == ("complete", text)
    return text


async def astreaming(model: str) -> str:
    async with tokenwire.astreaming(model, MESSAGES) as stream:
        text = flat_text([chunk async for chunk in stream])
    assert (stream.outcome, whole_text(stream.response)) == ("complete", text)
    return text


async def atext_completion(model: str) -> str:
    response = await tokenwire.atext_completion(model, "Hi")
    assert isinstance(response, tokenwire.TextCompletionResponse)
    assert response.choices[0].finish_reason == "stop"
    return response.choices[0].text or ""


async def atext_completion_stream(model: str) -> str:
    async with await tokenwire.atext_completion(model, "Hi", stream=True) as stream:
        return piece_text([chunk async for chunk in stream])


def completion(model: str) -> str:
    return whole_text(tokenwire.completion(model, MESSAGES))


def completion_stream(model: str) -> str:
    with tokenwire.completion(model, MESSAGES, stream=True) as stream:
        text = chat_text(list(stream))
    assert (stream.outcome, whole_text(stream.response)) == ("complete", text)
    return text


def streaming(model: str) -> str:
    with tokenwire.streaming(model, MESSAGES) as stream:
        text = flat_text(list(stream))
    assert (stream.outcome, whole_text(stream.response)) == ("complete", text)
    return text


def text_completion(model: str) -> str:
    return tokenwire.text_completion(model, "Hi").choices[0].text or ""


def text_completion_stream(model: str) -> str:
    return piece_text(list(tokenwire.text_completion(model, "Hi", stream=True)))


@pytest.mark.anyio
@pytest.mark.parametrize("call", [acompletion, acompletion_stream, astreaming, atext_completion, atext_completion_stream])
async def test_async_calls(model: str, call: Callable[[str], Awaitable[str]]) -> None:
    assert await call(model) == ANSWER


@pytest.mark.parametrize("call", [completion, completion_stream, streaming, text_completion, text_completion_stream])
def test_sync_calls(model: str, call: Callable[[str], str]) -> None:
    assert call(model) == ANSWER


class TestEntryPoints:
    """Handlers that installed packages offer. The list of them is read once, so it is put aside for each test."""

    @pytest.fixture
    def offer(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, Any], None]]:
        offered: list[Any] = []

        class EntryPoint:
            def __init__(self, name: str, value: Any) -> None:
                self.name = name
                self._value = value

            def load(self) -> Any:
                return self._value

        def entry_points(*, group: str) -> list[Any]:
            assert group == "tokenwire.providers"
            return offered

        monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
        routing._entry_points.cache_clear()
        routing._installed_handler.cache_clear()
        yield lambda name, value: offered.append(EntryPoint(name, value))
        routing._entry_points.cache_clear()
        routing._installed_handler.cache_clear()

    @pytest.mark.parametrize(
        "value",
        [
            pytest.param(OnlyStreaming, id="class"),
            pytest.param(OnlyAcompletion(), id="instance"),
            pytest.param(async_generator, id="function"),
        ],
    )
    @pytest.mark.anyio
    async def test_answer(self, offer: Callable[[str, Any], None], value: Any) -> None:
        offer("installed", value)

        assert await acompletion("installed/any") == ANSWER
        assert await astreaming("installed/any") == ANSWER

    def test_are_known_to_get_llm_provider(self, offer: Callable[[str, Any], None]) -> None:
        offer("installed", plain)

        assert tokenwire.get_llm_provider("installed/a/b") == ("a/b", "installed", None, None)

    def test_give_way_to_the_programs_own(self, offer: Callable[[str, Any], None]) -> None:
        offer("mine", lambda: "installed")
        tokenwire.register("mine", lambda: ANSWER)

        assert completion("mine/any") == ANSWER

    def test_is_made_once(self, offer: Callable[[str, Any], None]) -> None:
        made: list[Any] = []

        class Counted(OnlyCompletion):
            def __init__(self) -> None:
                made.append(self)

        offer("installed", Counted)
        completion("installed/any")
        completion("installed/any")

        assert len(made) == 1
