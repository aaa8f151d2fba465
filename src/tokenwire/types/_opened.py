"""Unsealed variants of the sealed classes (`forbid_unknown_fields`), for chunks whose deltas have unknown fields.

They decode what the sealed ones refuse; then the objects' class is set to the sealed one.
"""

from typing import Any

from msgspec import field

from .chat import ChatCompletionDeltaToolCall, Delta, DeltaFunction, ModelResponseStream, StreamingChoices


class OpenDeltaFunction(DeltaFunction, forbid_unknown_fields=False):
    """A `DeltaFunction` with other fields."""


class OpenDeltaToolCall(ChatCompletionDeltaToolCall, forbid_unknown_fields=False):
    function: OpenDeltaFunction | None = None  # pyright: ignore[reportIncompatibleVariableOverride]


class OpenDelta(Delta, forbid_unknown_fields=False):
    function_call: OpenDeltaFunction | None = None  # pyright: ignore[reportIncompatibleVariableOverride]
    tool_calls: list[OpenDeltaToolCall] | None = None  # type: ignore[assignment]


class OpenChoice(StreamingChoices):
    delta: OpenDelta = field(default_factory=OpenDelta)  # pyright: ignore[reportIncompatibleVariableOverride]


class OpenChunk(ModelResponseStream):
    choices: list[OpenChoice] = field(default_factory=list)  # type: ignore[assignment]


def sealed(chunk: Any) -> ModelResponseStream:
    """Set the object's class to the public one, which has the same memory layout."""
    for choice in chunk.choices:
        delta = choice.delta
        for call in delta.tool_calls or ():
            if call.function is not None:
                call.function.__class__ = DeltaFunction
            call.__class__ = ChatCompletionDeltaToolCall
        if delta.function_call is not None:
            delta.function_call.__class__ = DeltaFunction
        delta.__class__ = Delta
        choice.__class__ = StreamingChoices
    chunk.__class__ = ModelResponseStream
    return chunk
