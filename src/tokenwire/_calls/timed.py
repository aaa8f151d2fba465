"""Streamed calls of which OpenTelemetry is told batch by batch, for those who ask for that by `OTel(chunk_metrics=True)`."""

from typing import TYPE_CHECKING, Any

from ..llms.base import Send
from ..wire.passing import chunks_in
from .hedged import HedgedCall
from .streamed import StreamCall

if TYPE_CHECKING:
    _Base = StreamCall
else:
    _Base = object


class _Timed(_Base):
    __slots__ = ()

    def take(self) -> list[Any] | None:
        """See `StreamCall`."""
        chunks = super().take()
        span = self.span
        if chunks and span is not None:
            span.chunks_arrived(chunks_in(chunks))
        return chunks

    def hand_on(self, send: Send) -> None:
        """See `StreamCall`. Every chunk passes `take` here, which tells of it."""


class TimedCall(_Timed, StreamCall):
    """A `StreamCall` that tells of its chunks."""

    __slots__ = ()


class TimedHedgedCall(_Timed, HedgedCall):
    """A `HedgedCall` that does."""

    __slots__ = ()
