"""The part of a chunk that adds to an answer that has begun, without the rest of the chunk."""

import msgspec

from ._record import build
from .chat import ChatCompletionDeltaToolCall, Delta, DeltaFunction, ModelResponseStream, StreamingChoices, Usage

CONTENT, REASONING, ARGUMENTS = "content", "reasoning_content", "arguments"


class Addition(msgspec.Struct, gc=False):
    """Stands for a chunk that only adds text to a choice that has begun. `AsyncStream.pass_on` hands some out.

    Attributes:
        field: what the text is added to: "content", "reasoning_content", or "arguments" of a tool call.
        text: not empty.
        index: the choice's.
        call: the index of the tool call, whose id and name were in an earlier chunk.
        logprobs: log probabilities of the text's tokens, as JSON.
        usage: the tokens used so far; None if the chunk has no usage.
    """

    field: str
    text: str
    index: int = 0
    call: int = 0
    logprobs: msgspec.Raw | None = None
    usage: Usage | None = None

    def tool_call(self) -> ChatCompletionDeltaToolCall:
        """The tool call's piece, for an addition to "arguments"."""
        function = build(DeltaFunction, arguments=self.text)
        return build(ChatCompletionDeltaToolCall, index=self.call, type="function", function=function)

    def chunk(self) -> ModelResponseStream:
        """The chunk. Its id, creation time and model are None."""
        delta = build(Delta)
        if self.field == ARGUMENTS:
            delta.tool_calls = [self.tool_call()]
        else:
            setattr(delta, self.field, self.text)
        choice = build(StreamingChoices, index=self.index, delta=delta, _logprobs=self.logprobs)
        return build(ModelResponseStream, choices=[choice], usage=self.usage)
