"""What a type checker, and so an editor, believes of the public API. Checked by `basedpyright -p tests`, never run."""

from typing import Any, Literal, assert_type

import httpx
import msgspec

import tokenwire
from tokenwire import (
    AsyncClient,
    AsyncStream,
    Attempt,
    ChatCompletionMessageToolCall,
    Client,
    EmbeddingResponse,
    GenericStreamingChunk,
    ImageResponse,
    ModelList,
    ModelResponse,
    ModelResponseStream,
    ParsedAsyncStream,
    ParsedResponse,
    ParsedStream,
    Partial,
    PartialToolCall,
    Result,
    Stream,
    TextCompletionResponse,
    Usage,
)
from tokenwire.types.attempts import PoolStats

MESSAGES = [{"role": "user", "content": "Hi"}]


async def functions(flag: bool) -> None:
    assert_type(await tokenwire.acompletion("openai/m", MESSAGES), ModelResponse)
    assert_type(await tokenwire.acompletion("openai/m", MESSAGES, stream=True), AsyncStream[ModelResponseStream])
    assert_type(
        await tokenwire.acompletion("openai/m", MESSAGES, stream=flag), ModelResponse | AsyncStream[ModelResponseStream]
    )
    assert_type(tokenwire.astreaming("openai/m", MESSAGES), AsyncStream[GenericStreamingChunk])
    assert_type(await tokenwire.atext_completion("openai/m", "Hi"), TextCompletionResponse)
    assert_type(await tokenwire.atext_completion("openai/m", "Hi", stream=True), AsyncStream[TextCompletionResponse])
    assert_type(await tokenwire.aembedding("openai/m", "Hi"), EmbeddingResponse)
    assert_type(await tokenwire.aimage_generation("a cat", "openai/m"), ImageResponse)
    assert_type(await tokenwire.alist_models(), ModelList)
    async with tokenwire.amap("openai/m", ["Hi"]) as results:
        assert_type(await anext(results), Result[ModelResponse])
    async with tokenwire.amap("openai/m", ["Hi"], stream=True) as streams:
        assert_type((await anext(streams)).response, AsyncStream[ModelResponseStream] | None)


def sync_functions(flag: bool) -> None:
    assert_type(tokenwire.completion("openai/m", MESSAGES), ModelResponse)
    assert_type(tokenwire.completion("openai/m", MESSAGES, stream=True), Stream[ModelResponseStream])
    assert_type(tokenwire.completion("openai/m", MESSAGES, stream=flag), ModelResponse | Stream[ModelResponseStream])
    assert_type(tokenwire.streaming("openai/m", MESSAGES), Stream[GenericStreamingChunk])
    assert_type(tokenwire.text_completion("openai/m", "Hi", stream=True), Stream[TextCompletionResponse])
    assert_type(tokenwire.embedding("openai/m", "Hi"), EmbeddingResponse)
    assert_type(tokenwire.list_models(), ModelList)
    assert_type(next(tokenwire.map("openai/m", ["Hi"])), Result[ModelResponse])
    assert_type(next(tokenwire.map("openai/m", ["Hi"], stream=True)).response, Stream[ModelResponseStream] | None)


class Invoice(msgspec.Struct):
    number: int


class Credit(msgspec.Struct):
    number: int


async def typed_answers(client: AsyncClient, sync_client: Client) -> None:
    response = await tokenwire.acompletion("openai/m", MESSAGES, response_format=Invoice, temperature=0.5)
    assert_type(response, ParsedResponse[Invoice])
    assert_type(response.choices[0].message.parsed, Invoice)
    assert_type(response.choices[0].message.content, str | None)
    assert_type(await client.acompletion("openai/m", MESSAGES, response_format=list[Invoice]), ParsedResponse[list[Invoice]])
    assert_type(tokenwire.completion("openai/m", MESSAGES, response_format=int), ParsedResponse[int])
    assert_type(sync_client.completion("openai/m", MESSAGES, response_format=Invoice, x=1), ParsedResponse[Invoice])
    assert_type(tokenwire.completion("openai/m", MESSAGES, response_format=dict[str, int]), ParsedResponse[dict[str, int]])
    assert_type(await tokenwire.acompletion("openai/m", MESSAGES, response_format={"type": "json_object"}), ModelResponse)
    either = await tokenwire.acompletion("openai/m", MESSAGES, response_format=Invoice | Credit)
    assert_type(either, ParsedResponse[Invoice | Credit])
    assert_type(either.choices[0].message.parsed, Invoice | Credit)
    assert_type(tokenwire.completion("openai/m", MESSAGES, response_format=Invoice | None), ParsedResponse[Invoice | None])
    words = await client.acompletion("openai/m", MESSAGES, response_format=Literal["yes", "no"])
    assert_type(words, ParsedResponse[Literal["yes", "no"]])
    none = await client.acompletion("openai/m", MESSAGES, response_format=None)
    assert_type(none.choices[0].message.parsed, None)
    await tokenwire.acompletion("openai/m", MESSAGES, response_format=Invoice, json_mode="prompt", retry_invalid=1)
    passed_on: ModelResponse = response
    assert passed_on.choices[0].message.parsed


async def typed_streams(client: AsyncClient, sync_client: Client) -> None:
    stream = await tokenwire.acompletion("openai/m", MESSAGES, stream=True, response_format=Invoice)
    assert_type(stream, ParsedAsyncStream[ModelResponseStream, Invoice])
    assert_type([chunk async for chunk in stream], list[ModelResponseStream])
    assert_type([text async for text in stream.text()], list[str])
    assert_type([partial async for partial in stream.partials()], list[Partial[Invoice]])
    assert_type([partial.parsed async for partial in stream.partials()], list[Invoice | None])
    assert_type(await stream.collect(), ParsedResponse[Invoice])
    assert_type(stream.response, ParsedResponse[Invoice] | None)
    assert_type(stream.usage, Usage | None)
    async with stream as entered:
        assert_type([partial async for partial in entered.partials()], list[Partial[Invoice]])
    passed_on: AsyncStream[ModelResponseStream] = stream
    assert_type(passed_on.outcome, Literal["complete", "truncated", "error", "cancelled"] | None)
    either = sync_client.streaming("openai/m", MESSAGES, response_format=Invoice | Credit)
    assert_type(either, ParsedStream[GenericStreamingChunk, Invoice | Credit])
    flat = client.astreaming("openai/m", MESSAGES, response_format=Invoice)
    assert_type(flat, ParsedAsyncStream[GenericStreamingChunk, Invoice])
    assert_type([chunk async for chunk in flat], list[GenericStreamingChunk])
    assert_type(
        tokenwire.completion("openai/m", MESSAGES, stream=True, response_format=Invoice),
        ParsedStream[ModelResponseStream, Invoice],
    )
    sync = sync_client.streaming("openai/m", MESSAGES, response_format=Invoice)
    assert_type(sync, ParsedStream[GenericStreamingChunk, Invoice])
    assert_type(list(sync.partials()), list[Partial[Invoice]])
    assert_type(sync.collect(), ParsedResponse[Invoice])
    untyped = await tokenwire.acompletion("openai/m", MESSAGES, stream=True)
    assert_type([partial async for partial in untyped.partials()], list[Partial[Any]])
    assert_type(await untyped.collect(), ModelResponse | TextCompletionResponse)


async def many_typed_answers() -> None:
    async with tokenwire.amap("openai/m", ["Hi"], response_format=Invoice) as results:
        assert_type(await anext(results), Result[ParsedResponse[Invoice]])
    async with tokenwire.amap("openai/m", ["Hi"], stream=True, response_format=Invoice) as streams:
        assert_type((await anext(streams)).response, ParsedAsyncStream[ModelResponseStream, Invoice] | None)
    assert_type(next(tokenwire.map("openai/m", ["Hi"], response_format=Invoice)), Result[ParsedResponse[Invoice]])


def add(first: int, second: int = 1) -> int:
    return first + second


async def tools(stream: AsyncStream[ModelResponseStream], sync: Stream[GenericStreamingChunk]) -> None:
    response = await tokenwire.acompletion("openai/m", MESSAGES, tools=[add, {"type": "function"}])
    for call in response.choices[0].message.tool_calls or ():
        assert_type(call, ChatCompletionMessageToolCall)
        assert_type(call.parse(add), dict[str, Any])
        assert_type(call.result(add(**call.parsed)), dict[str, Any])
    assert_type([call async for call in stream.tool_calls()], list[ChatCompletionMessageToolCall])
    assert_type([call async for call in stream.tool_calls(partials=True)], list[PartialToolCall])
    assert_type(list(sync.tool_calls()), list[ChatCompletionMessageToolCall])
    assert_type(list(sync.tool_calls(partials=True)), list[PartialToolCall])


async def attributes(client: AsyncClient, sync_client: Client, stream: AsyncStream[ModelResponseStream]) -> None:
    assert_type(client.stats, PoolStats | None)
    assert_type(await client.acompletion("openai/m", MESSAGES), ModelResponse)
    assert_type(sync_client.completion("openai/m", MESSAGES), ModelResponse)
    assert_type(stream.attempts, tuple[Attempt, ...])
    assert_type(stream.response, ModelResponse | TextCompletionResponse | None)
    assert_type(stream.usage, Usage | None)
    async for chunk in stream:
        assert_type(chunk, ModelResponseStream)
        assert_type(chunk.choices[0].delta.content, str | None)


def responses(response: ModelResponse, error: tokenwire.APIError) -> None:
    assert_type(response.attempts, tuple[Attempt, ...])
    assert_type(response.request_id, str | None)
    assert_type(response.text, str)
    assert_type(response.status_code, int | None)
    assert_type(response.headers, dict[str, str])
    assert_type(response.raw, bytes | None)
    assert_type(error.attempts, tuple[Attempt, ...])
    assert_type(error.response, httpx.Response | None)
    assert_type(error.headers, dict[str, str])


async def unknown_parameters_are_passed_on(anything: Any) -> None:
    await tokenwire.acompletion("openai/m", MESSAGES, temperature=0.5, min_p=0.1, timeout=httpx.Timeout(5), x=anything)
