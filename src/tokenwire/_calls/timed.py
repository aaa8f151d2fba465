"""Streamed calls that report each batch of chunks to OpenTelemetry, for `OTel(chunk_metrics=True)`."""

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
        """See `StreamCall`. Returns None, so that every chunk passes `take`, which reports it."""


class TimedCall(_Timed, StreamCall):
    """A `StreamCall` that reports its chunks."""

    __slots__ = ()


class TimedHedgedCall(_Timed, HedgedCall):
    """A `HedgedCall` that reports its chunks."""

    __slots__ = ()
