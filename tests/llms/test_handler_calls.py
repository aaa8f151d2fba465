"""How handlers are called, and what becomes of their errors."""

# pyright: reportArgumentType=false, reportCallIssue=false
# The records are made from dicts here, as LiteLLM's users do; the checker knows of the structs alone.

import pickle
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest

import tokenwire
from tokenwire import (
    APIConnectionError,
    CustomLLM,
    CustomLLMError,
    EmbeddingResponse,
    GenericStreamingChunk,
    ImageResponse,
    InternalServerError,
    ModelResponse,
    RateLimitError,
    Usage,
)

pytestmark = pytest.mark.anyio

MESSAGES = [{"role": "user", "content": "Hi"}]

# litellm-compatible handlers are written against these.
KEYWORDS = {
    "model",
    "messages",
    "headers",
    "model_response",
    "print_verbose",
    "api_key",
    "api_base",
    "acompletion",
    "logging_obj",
    "optional_params",
    "litellm_params",
    "logger_fn",
    "timeout",
    "custom_prompt_dict",
    "client",
    "encoding",
}


class Recorder(CustomLLM):
    """Answers with nothing much, and keeps what it was called with."""

    def __init__(self) -> None:
        self.args: tuple[Any, ...] = ()
        self.kwargs: dict[str, Any] = {}

    def _record(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.args, self.kwargs = args, kwargs


class WholeAsync(Recorder):
    async def acompletion(self, *args: Any, **kwargs: Any) -> ModelResponse:
        self._record(args, kwargs)
        return kwargs["model_response"]


class WholeSync(Recorder):
    def completion(self, *args: Any, **kwargs: Any) -> ModelResponse:
        self._record(args, kwargs)
        return kwargs["model_response"]


class StreamAsync(Recorder):
    async def astreaming(self, *args: Any, **kwargs: Any) -> AsyncIterator[GenericStreamingChunk]:
        self._record(args, kwargs)
        yield GenericStreamingChunk(text="a", is_finished=True, finish_reason="stop")


class StreamSync(Recorder):
    def streaming(self, *args: Any, **kwargs: Any) -> Iterator[GenericStreamingChunk]:
        self._record(args, kwargs)
        yield GenericStreamingChunk(text="a", is_finished=True, finish_reason="stop")


@pytest.fixture(params=[WholeAsync, WholeSync, StreamAsync, StreamSync])
def recorder(request: pytest.FixtureRequest) -> Recorder:
    recorder: Recorder = request.param()
    tokenwire.custom_provider_map.append({"provider": "mine", "custom_handler": recorder})
    return recorder


def asked_of(recorder: Recorder) -> dict[str, Any]:
    """The parameters of a call that gives none: a method that streams is told so, whatever is made of it."""
    return {"stream": True} if isinstance(recorder, StreamAsync | StreamSync) else {}


async def test_the_sixteen_keywords(recorder: Recorder) -> None:
    await tokenwire.acompletion("mine/a/b", MESSAGES)

    assert recorder.args == ()
    kwargs = recorder.kwargs
    assert kwargs.keys() == KEYWORDS
    assert kwargs["model"] == "a/b"
    assert kwargs["messages"] == MESSAGES
    assert kwargs["messages"][0] is not MESSAGES[0]
    assert kwargs["optional_params"] == asked_of(recorder)
    assert kwargs["headers"] == kwargs["custom_prompt_dict"] == {}
    assert [kwargs[name] for name in ("api_key", "api_base", "client", "logger_fn", "encoding")] == [None] * 5
    assert kwargs["timeout"] == 600.0
    assert kwargs["acompletion"] is True
    assert isinstance(kwargs["model_response"], ModelResponse)
    assert kwargs["model_response"].usage == Usage()
    assert kwargs["litellm_params"]["custom_llm_provider"] == "mine"
    kwargs["print_verbose"]("something")
    kwargs["logging_obj"].pre_call(input=MESSAGES, api_key="", additional_args={})
    kwargs["logging_obj"].post_call(input=MESSAGES, api_key="", original_response="")


async def test_what_the_caller_gave_reaches_the_handler(recorder: Recorder) -> None:
    client = object()
    await tokenwire.acompletion(
        "mine/any",
        MESSAGES,
        api_key="k",
        base_url="their-address",
        headers={"a": "1", "b": "1"},
        extra_headers={"b": "2"},
        timeout=7,
        client=client,
        metadata={"id": 1},
        temperature=0.5,
        max_completion_tokens=9,
        foo="bar",
        tools=[{"type": "function"}],
    )

    kwargs = recorder.kwargs
    assert (kwargs["api_key"], kwargs["api_base"], kwargs["timeout"]) == ("k", "their-address", 7.0)
    assert kwargs["client"] is client
    assert kwargs["headers"] == {"a": "1", "b": "2"}
    assert kwargs["litellm_params"]["metadata"] == {"id": 1}
    params = kwargs["optional_params"]
    assert (params["temperature"], params["max_tokens"], params["foo"]) == (0.5, 9, "bar")
    assert params["tools"] == [{"type": "function"}]
    assert "max_completion_tokens" not in params


async def test_an_httpx_timeout_becomes_its_read_seconds(recorder: Recorder) -> None:
    await tokenwire.acompletion("mine/any", MESSAGES, timeout=httpx.Timeout(1.0, read=2.0))

    assert recorder.kwargs["timeout"] == 2.0


async def test_a_streaming_call_says_so(recorder: Recorder) -> None:
    async with tokenwire.astreaming("mine/any", MESSAGES) as stream:
        async for _ in stream:
            pass

    assert recorder.kwargs["optional_params"] == {"stream": True}


async def test_messages_of_an_earlier_answer_arrive_as_dicts(recorder: Recorder) -> None:
    await tokenwire.acompletion("mine/any", [*MESSAGES, tokenwire.Message(content="Yes?")])

    assert recorder.kwargs["messages"][1] == {"content": "Yes?", "role": "assistant"}


async def test_a_prompt_arrives_as_messages(recorder: Recorder) -> None:
    await tokenwire.atext_completion("mine/any", "Once")

    assert recorder.kwargs["messages"] == [{"role": "user", "content": "Once"}]
    assert recorder.kwargs["optional_params"] == asked_of(recorder)


async def test_custom_llm_provider_names_the_handler(recorder: Recorder) -> None:
    await tokenwire.acompletion("x/y", MESSAGES, custom_llm_provider="mine")

    assert recorder.kwargs["model"] == "x/y"


class Vectors(Recorder):
    def embedding(self, *args: Any, **kwargs: Any) -> EmbeddingResponse:
        self._record(args, kwargs)
        kwargs["model_response"].data = [{"embedding": [1.0], "index": 0}]
        return kwargs["model_response"]


class Painter(Recorder):
    async def aimage_generation(self, *args: Any, **kwargs: Any) -> ImageResponse:
        self._record(args, kwargs)
        return ImageResponse(data=[{"url": "here"}])


async def test_embeddings() -> None:
    tokenwire.register("mine", handler := Vectors())

    response = await tokenwire.aembedding("mine/e", "text", foo=1)

    assert response.data[0]["embedding"] == [1.0]
    assert handler.args == ()
    assert handler.kwargs["input"] == "text"
    assert handler.kwargs["optional_params"] == {"foo": 1}
    assert isinstance(handler.kwargs["model_response"], EmbeddingResponse)
    litellms = {"model", "input", "logging_obj", "api_base", "api_key", "timeout", "optional_params", "model_response"}
    assert handler.kwargs.keys() >= litellms | {"print_verbose", "litellm_params"}


async def test_images() -> None:
    tokenwire.register("mine", handler := Painter())

    response = await tokenwire.aimage_generation("a cat", "mine/i", n=1)

    assert response.data[0].url == "here"
    assert (handler.kwargs["prompt"], handler.kwargs["optional_params"]) == ("a cat", {"n": 1})
    assert isinstance(handler.kwargs["model_response"], ImageResponse)


@pytest.mark.parametrize("answer, error", [({"data": [{"embedding": [2.0]}]}, None), ([2.0], "list"), (None, "NoneType")])
async def test_embeddings_as_a_dict_or_as_nonsense(answer: Any, error: str | None) -> None:
    class Handler:
        async def aembedding(self) -> Any:
            return answer

    tokenwire.register("mine", Handler())

    if error is None:
        assert (await tokenwire.aembedding("mine/e", "text")).data[0].embedding == [2.0]
    else:
        with pytest.raises(tokenwire.APIResponseValidationError, match=error):
            await tokenwire.aembedding("mine/e", "text")


# Errors


def failing(error: Callable[[], BaseException]) -> list[Any]:
    """Handlers that fail, each in a manner of its own."""

    def plain() -> str:
        raise error()

    async def coroutine() -> str:
        raise error()

    def generator() -> Iterator[str]:
        raise error()
        yield ""

    async def async_generator() -> AsyncIterator[str]:
        raise error()
        yield ""

    return [plain, coroutine, generator, async_generator]


async def errors_of(handler: Any) -> list[tokenwire.APIError]:
    """What the caller gets from a handler that fails, called whole and streamed."""
    tokenwire.register("mine", handler)
    errors: list[tokenwire.APIError] = []
    with pytest.raises(tokenwire.APIError) as caught:
        await tokenwire.acompletion("mine/any", MESSAGES)
    errors.append(caught.value)
    with pytest.raises(tokenwire.APIError) as caught:
        await read(tokenwire.astreaming("mine/any", MESSAGES), [])
    return [*errors, caught.value]


async def read(stream: Any, texts: list[str]) -> None:
    """Read a stream to its end, adding to `texts` what it says on the way."""
    async with stream:
        async for chunk in stream:
            texts.append(chunk.text)  # noqa: PERF401  (what came before an error counts as well)


@pytest.mark.parametrize("kind", range(4), ids=["plain", "coroutine", "generator", "async generator"])
class TestErrors:
    @pytest.mark.parametrize(
        "status, cls",
        [
            (429, RateLimitError),
            (418, tokenwire.BadRequestError),
            (503, tokenwire.ServiceUnavailableError),
            (529, InternalServerError),
        ],
    )
    async def test_keep_their_status(self, kind: int, status: int, cls: type[Exception]) -> None:
        for error in await errors_of(failing(lambda: CustomLLMError(status_code=status, message="too much"))[kind]):
            assert type(error) is cls
            assert (error.status_code, error.message, error.llm_provider, error.model) == (status, "too much", "mine", "any")
            assert isinstance(error.__cause__, CustomLLMError)
            pickle.loads(pickle.dumps(error))

    async def test_of_other_libraries_become_ours(self, kind: int) -> None:
        for error in await errors_of(failing(lambda: KeyError("tokens"))[kind]):
            assert type(error) is APIConnectionError
            assert error.message == "KeyError: 'tokens'"
            assert isinstance(error.__cause__, KeyError)
            assert "Traceback" not in str(error)
            assert len(error.attempts) == 1  # a bug is not tried again

    async def test_a_handler_that_ends_the_program_has_failed(self, kind: int) -> None:
        for error in await errors_of(failing(lambda: SystemExit("no configuration"))[kind]):
            assert type(error) is APIConnectionError
            assert error.message == "SystemExit: no configuration"
            assert isinstance(error.__cause__, SystemExit)

    async def test_of_ours_pass_unchanged(self, kind: int) -> None:
        raised: list[BaseException] = []

        def make() -> BaseException:
            raised.append(RateLimitError("slower", code="slow", retry_after=1.0))
            return raised[-1]

        for error, original in zip(await errors_of(failing(make)[kind]), raised, strict=True):
            assert error is original
            assert (error.llm_provider, error.model, error.code) == ("mine", "any", "slow")

    async def test_stop_iteration_is_no_answer(self, kind: int) -> None:
        for error in await errors_of(failing(StopIteration)[kind]):
            assert error.status_code == 500


async def test_an_error_behind_content_has_the_partial_answer() -> None:
    async def handler() -> AsyncIterator[str]:
        yield "so far"
        raise CustomLLMError(429, "no further")

    tokenwire.register("mine", handler)
    texts: list[str] = []

    with pytest.raises(RateLimitError) as caught:
        await read(tokenwire.astreaming("mine/any", MESSAGES), texts)

    assert texts == ["so far"]
    assert caught.value.partial.choices[0].message.content == "so far"


async def test_retries_are_made_where_asked_for() -> None:
    calls: list[int] = []

    async def handler() -> str:
        calls.append(1)
        if len(calls) == 1:
            raise RateLimitError("not yet", retry_after=0.0)
        return "now"

    tokenwire.register("mine", handler)

    response = await tokenwire.acompletion("mine/any", MESSAGES, num_retries=1)

    assert response.choices[0].message.content == "now"
    assert [attempt.error for attempt in response.attempts] == ["RateLimitError", None]


async def test_a_method_that_is_replaced_is_called_from_then_on() -> None:
    class Handler(CustomLLM):
        async def acompletion(self, *args: Any, **kwargs: Any) -> Any:
            return "first"

    async def other(messages: Any) -> str:  # and it takes other keywords
        return "second"

    handler: Any = Handler()
    async with tokenwire.AsyncClient(handlers={"mine": handler}) as client:
        assert (await client.acompletion("mine/m", MESSAGES)).choices[0].message.content == "first"
        handler.acompletion = other
        assert (await client.acompletion("mine/m", MESSAGES)).choices[0].message.content == "second"


async def test_a_method_may_say_when_called_that_it_is_not_implemented() -> None:
    class Base:  # as LiteLLM's page has it
        async def acompletion(self, *args: Any, **kwargs: Any) -> Any:
            raise CustomLLMError(status_code=500, message="Not implemented yet!")

        async def astreaming(self, *args: Any, **kwargs: Any) -> Any:
            raise CustomLLMError(status_code=500, message="Not implemented yet!")

    class Handler(Base):
        def completion(self, *args: Any, **kwargs: Any) -> str:
            return "from completion"

    async with tokenwire.AsyncClient(handlers={"mine": Handler()}) as client:
        assert (await client.acompletion("mine/m", MESSAGES)).choices[0].message.content == "from completion"
        assert "".join([piece.text async for piece in client.astreaming("mine/m", MESSAGES)]) == "from completion"


async def test_what_a_handler_changes_is_its_own() -> None:
    seen: list[Any] = []

    async def handler(headers: dict[str, str], optional_params: dict[str, Any], litellm_params: dict[str, Any]) -> str:
        seen.append((dict(headers), dict(optional_params), litellm_params["max_retries"]))
        headers.clear()
        optional_params.clear()
        return "done"

    async with tokenwire.AsyncClient(handlers={"mine": handler}, headers={"x-a": "1"}, num_retries=3, temperature=1) as client:
        for _ in range(2):
            await client.acompletion("mine/m", MESSAGES)
    assert seen == [({"x-a": "1"}, {"temperature": 1}, 3)] * 2


def test_a_status_as_text_is_a_number() -> None:
    status: Any = "429"
    assert CustomLLMError(status, "slower").status_code == 429
    for nonsense in ("soon", None):
        status = nonsense
        with pytest.raises(ValueError, match=f"status_code must be an HTTP status such as 429, not {nonsense!r}"):
            CustomLLMError(status, "slower")
