"""A stream whose endpoint may speak the client's API: the events of such an endpoint are passed on as they came."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from tokenwire import AsyncStream, Usage

from ..wire.passing import Sent
from .errors import Refusal
from .route import Events

if TYPE_CHECKING:
    from .route import PassingEvents


class Relay:
    """Encodes one stream; an `Events`.

    Args:
        new_events: makes the encoder of chunks for the client's API.
        stream: the call's stream.
    """

    def __init__(self, new_events: Callable[[], Events], stream: AsyncStream[Any]) -> None:
        self._events = cast("PassingEvents", new_events())
        self._stream = stream
        self._latest = b""  # the latest of the endpoint's own events
        self._last = b""  # the endpoint's event that ends the stream
        self.keep_alive: bytes = self._events.keep_alive

    def encode(self, chunk: Any) -> bytes:
        """The bytes of an endpoint's events, or of a chunk."""
        if type(chunk) is not Sent:
            return self._events.encode(chunk)
        data = self._events.passed_on(chunk)
        if chunk.is_last:
            self._last = data
            return b""
        if data:
            self._latest = data
        return data

    def ending(self, usage: Usage | None) -> bytes:
        """See `Events`."""
        return self._last or self._events.ending(usage)

    def error_event(self, refusal: Refusal) -> bytes:
        """See `Events`."""
        if self._latest:
            self._events.go_on(self._stream.response, self._latest)
        return self._events.error_event(refusal)
