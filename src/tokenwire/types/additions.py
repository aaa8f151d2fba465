"""What one chunk adds to an answer that has begun, without the chunk around it."""

import msgspec

from ._record import build
from .chat import ChatCompletionDeltaToolCall, Delta, DeltaFunction, ModelResponseStream, StreamingChoices, Usage

CONTENT, REASONING, ARGUMENTS = "content", "reasoning_content", "arguments"


class Addition(msgspec.Struct, gc=False):
    """Text that a chunk adds to a choice which has begun, where it adds nothing else: `AsyncStream.pass_on` gives some.

    Attributes:
        field: to what: "content", "reasoning_content", or "arguments" of a tool call.
        text: not empty.
        index: the choice's.
        call: the index of the tool call, whose id and name have come before.
        logprobs: log probabilities of the text's tokens, as JSON.
        usage: tokens used so far, where the handler counts as it goes.
    """

    field: str
    text: str
    index: int = 0
    call: int = 0
    logprobs: msgspec.Raw | None = None
    usage: Usage | None = None

    def tool_call(self) -> ChatCompletionDeltaToolCall:
        """The piece of a tool call that it is, where it adds to arguments."""
        function = build(DeltaFunction, arguments=self.text)
        return build(ChatCompletionDeltaToolCall, index=self.call, type="function", function=function)

    def chunk(self) -> ModelResponseStream:
        """The same as a chunk, without an id, a creation time and a model."""
        delta = build(Delta)
        if self.field == ARGUMENTS:
            delta.tool_calls = [self.tool_call()]
        else:
            setattr(delta, self.field, self.text)
        choice = build(StreamingChoices, index=self.index, delta=delta, _logprobs=self.logprobs)
        return build(ModelResponseStream, choices=[choice], usage=self.usage)
