"""Times one stream."""

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from ..exceptions import StreamTruncatedError, TokenwireError
from .record import Prompt, Record

if TYPE_CHECKING:
    from tokenwire import AsyncClient, AsyncStream, GenericStreamingChunk

Ask: TypeAlias = Callable[[Record], Awaitable[None]]

LENGTHS = ("max_tokens", "max_completion_tokens")


def asking(
    client: "AsyncClient",
    model: str,
    prompts: Callable[[int], Prompt],
    *,
    max_tokens: int | None = None,
    first: int = 0,
    **params: Any,
) -> Ask:
    """A function that makes and times the request of a record.

    Args:
        client: makes the calls.
        model: the model.
        prompts: returns the prompt for a number.
        max_tokens: the longest answer, unless the prompt or `extra_body` sets it.
        first: the number of the first record's prompt.
        **params: keywords for every call; a prompt's own take precedence.
    """
    common: dict[str, Any] = {"stream_options": {"include_usage": True}, **params}
    if max_tokens is not None and not _names_length(common.get("extra_body") or {}):
        common["max_tokens"] = max_tokens

    async def ask(record: Record) -> None:
        prompt = prompts(first + record.index)
        keywords = {**common, **prompt.params}
        if _names_length(prompt.params):
            keywords = {name: value for name, value in keywords.items() if name not in LENGTHS or name in prompt.params}
        await measure(record, lambda: client.astreaming(model, prompt.messages, **keywords))

    return ask


def _names_length(params: Mapping[str, object]) -> bool:
    return any(name in params for name in LENGTHS)


async def measure(record: Record, call: "Callable[[], AsyncStream[GenericStreamingChunk]]") -> None:
    """Make a call, read its stream to the end, and record times and errors.

    If cancelled, the stream is closed and recorded as cancelled, and the cancellation is raised.
    """
    clock, arrivals = time.monotonic, record.arrivals
    record.outcome, stream, chunks = "cancelled", None, 0
    record.sent = clock()
    try:
        async with call() as stream:
            async for chunk in stream:
                now = clock()
                chunks += 1
                if chunk.text or chunk.tool_use is not None:
                    arrivals.append(now)
                    if record.first_output is None:
                        record.first_output = now
                elif chunk.reasoning_content:
                    arrivals.append(now)
                if chunk.is_finished and record.finish_reason is None:
                    record.finish_reason = chunk.finish_reason
            record.ended = clock()
        record.outcome = "ok"
    except TokenwireError as error:
        record.outcome = "truncated" if isinstance(error, StreamTruncatedError) else "failed"
        record.error, record.message = type(error).__name__, str(error)
    finally:
        record.chunks = chunks
        record.ended = record.ended or clock()
        if stream is not None:
            _note(record, stream)


def _note(record: Record, stream: "AsyncStream[GenericStreamingChunk]") -> None:
    """Copy the stream's own data into the record."""
    first_chunk, usage = stream.timings.first_chunk, stream.usage
    if first_chunk is not None:
        record.first_chunk = record.sent + first_chunk
    if usage is not None:
        record.input_tokens, record.output_tokens = usage.prompt_tokens or None, usage.completion_tokens or None
