"""Streamed calls of which OpenTelemetry is told batch by batch, for those who ask for that by `OTel(chunk_metrics=True)`."""

from typing import TYPE_CHECKING, Any

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
            span.chunks_arrived(len(chunks))
        return chunks


class TimedCall(_Timed, StreamCall):
    """A `StreamCall` that tells of its chunks."""

    __slots__ = ()


class TimedHedgedCall(_Timed, HedgedCall):
    """A `HedgedCall` that does."""

    __slots__ = ()
