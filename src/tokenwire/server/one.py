"""The call that answers one request, as nearly every request is answered."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from .route import Events
from .visit import Visit


class OneCall:
    """One call of a model.

    Args:
        call: what is called with these keywords.
    """

    def __init__(self, call: Callable[..., Awaitable[Any]], keywords: Mapping[str, Any]) -> None:
        self._call, self._keywords = call, keywords

    async def whole(self) -> Any:
        """The whole answer."""
        return await self._call(**self._keywords)

    async def stream(self, visit: Visit, new_events: Callable[..., Events]) -> None:
        """Send the chunks as they come, and the end."""
        async with await self._call(**self._keywords, stream=True) as stream:
            if stream.response_headers:
                visit.relay(stream.response_headers, stream.request_id)
            events = visit.events = new_events(from_endpoint=bool(stream.response_headers))
            async for chunk in stream.take_bare_text():
                data = events.encode(chunk)
                ready = stream.take_ready()
                if ready:
                    data = b"".join([data, *map(events.encode, ready)])
                if data:
                    await visit.send_event(data, 1 + len(ready))
            await visit.end_stream(events.ending(stream.usage))
            visit.end("complete")  # here: that the client closes the connection now is its good right
