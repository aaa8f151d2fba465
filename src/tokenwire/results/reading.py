"""The text and tool calls of choice 0 in a stream's chunks, of any shape."""

from collections.abc import Iterable
from typing import Any

from ..types.chat import GenericStreamingChunk, StreamingChoices
from ..types.tool_calls import ChatCompletionDeltaToolCall


def text_of(chunks: Iterable[Any]) -> str:
    """The text."""
    return "".join(text for chunk in chunks for text in _texts(chunk))


def _texts(chunk: Any) -> Iterable[str]:
    if isinstance(chunk, str):  # text in place of a chunk: see `ChunkSource.bare_text`
        return (chunk,)
    if isinstance(chunk, GenericStreamingChunk):
        return (chunk.text,) if chunk.index == 0 else ()
    return [
        (choice.delta.content if hasattr(choice, "delta") else choice.text) or ""
        for choice in chunk.choices
        if not choice.index
    ]


def calls_in(chunk: Any) -> tuple[list[ChatCompletionDeltaToolCall], str | None]:
    """The pieces of tool calls in a chunk, and the finish reason, None if there is none."""
    if isinstance(chunk, str):
        return [], None
    if isinstance(chunk, GenericStreamingChunk):
        if chunk.index:
            return [], None
        pieces = [] if chunk.tool_use is None else [chunk.tool_use]
        return pieces, chunk.finish_reason or ("stop" if chunk.is_finished else None)
    choices = [choice for choice in chunk.choices if isinstance(choice, StreamingChoices) and not choice.index]
    pieces = [piece for choice in choices for piece in choice.delta.tool_calls or ()]
    return pieces, next((choice.finish_reason for choice in choices if choice.finish_reason), None)
