"""One call that answers one request, as is usual; see `several` for the other case."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from ..wire.passing import chunks_in
from .relay import Relay
from .route import Events
from .visit import Visit


class OneCall:
    """One call of a model.

    Args:
        call: is called with these keywords.
    """

    def __init__(self, call: Callable[..., Awaitable[Any]], keywords: Mapping[str, Any]) -> None:
        self._call, self._keywords = call, keywords

    async def whole(self) -> Any:
        """The whole answer."""
        return await self._call(**self._keywords)

    async def stream(self, visit: Visit, new_events: Callable[[], Events]) -> None:
        """Send the chunks as they come, and the end of the stream."""
        async with await self._call(**self._keywords, stream=True) as stream:
            if stream.response_headers:
                visit.relay(stream.response_headers, stream.request_id)
            relays = "original_request" in self._keywords
            events = visit.events = Relay(new_events, stream) if relays else new_events()
            encode, count = events.encode, chunks_in if relays else len
            # An endpoint's events are sent at once: the next ones have to be waited for anyway.
            send_bytes = visit.send_now if relays else visit.send_soon

            def send(chunks: list[Any]) -> Awaitable[None]:
                data = encode(chunks[0]) if len(chunks) == 1 else b"".join(map(encode, chunks))
                return send_bytes(data, count(chunks))

            await stream.pass_on(send)
            await visit.end_stream(events.ending(stream.usage))
            visit.end("complete")  # now, since a client that closes the connection from here on is not an error
