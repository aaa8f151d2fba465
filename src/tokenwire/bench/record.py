"""The data recorded for one request."""

from array import array
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Literal, TypeAlias

import msgspec

Outcome: TypeAlias = Literal["ok", "truncated", "failed", "cancelled"]


class Prompt(msgspec.Struct, frozen=True, gc=False):
    """One request's content.

    Attributes:
        messages: the conversation.
        params: parameters of this request only.
    """

    messages: list[dict[str, object]]
    params: Mapping[str, Any] = {}


class Record(msgspec.Struct, gc=False):
    """One request: its times, as `time.monotonic()` values, and how it ended.

    Attributes:
        index: its number, 0 for the first of a run.
        scheduled: when it was scheduled.
        sent: when the call was made; connecting happens after it.
        first_chunk: the first chunk arrived, even if it only had a role; None if there was none.
        first_output: the first text or tool call arrived, not counting reasoning.
        arrivals: when each chunk with content (text, reasoning, tool calls) arrived.
        ended: when the stream ended, in any way.
        chunks: how many arrived, including those without content.
        outcome: how it ended: "ok" if complete, "truncated", "cancelled" by Ctrl-C, or another error; None if it has not.
        error: the class of the error, else None.
        message: the error's message.
        finish_reason: the server's finish reason, of the first choice to end.
        input_tokens, output_tokens: as counted by the server; None if it sent none.
    """

    index: int
    scheduled: float
    sent: float = 0.0
    first_chunk: float | None = None
    first_output: float | None = None
    arrivals: "array[float]" = msgspec.field(default_factory=lambda: array("d"))
    ended: float | None = None
    chunks: int = 0
    outcome: Outcome | None = None
    error: str | None = None
    message: str | None = None
    finish_reason: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None

    @property
    def queued(self) -> float:
        """Seconds between the scheduled time and the sending."""
        return self.sent - self.scheduled

    @property
    def ttfc(self) -> float | None:
        """Seconds from sending to the first chunk of any kind."""
        return None if self.first_chunk is None else self.first_chunk - self.sent

    @property
    def ttft(self) -> float | None:
        """Seconds from sending to the first content: text, reasoning or a tool call."""
        return self.arrivals[0] - self.sent if self.arrivals else None

    @property
    def ttfo(self) -> float | None:
        """Seconds from sending to the first text or tool call, after any reasoning."""
        return None if self.first_output is None else self.first_output - self.sent

    @property
    def e2el(self) -> float | None:
        """Seconds from sending to the end of the stream."""
        return None if self.ended is None else self.ended - self.sent

    @property
    def tokens(self) -> int:
        """Tokens of the answer as the server counted them, else the chunks with content."""
        return len(self.arrivals) if self.output_tokens is None else self.output_tokens

    @property
    def tpot(self) -> float | None:
        """Seconds per token after the first, from the first content to the last; None for at most one token."""
        if self.tokens < 2 or not self.arrivals:
            return None
        return (self.arrivals[-1] - self.arrivals[0]) / (self.tokens - 1)

    @property
    def intervals(self) -> list[float]:
        """Seconds between chunks with content. For chunks that arrived in one read from the network they are nearly 0."""
        return [after - before for before, after in pairwise(self.arrivals)]
