"""The call that answers one request, as nearly every request is answered."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from tokenwire.types import Addition

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
            from_endpoint = bool(stream.response_headers)
            events = visit.events = new_events(from_endpoint=from_endpoint)
            encode, send_soon, send_now = events.encode, visit.send_soon, visit.send_now

            def send(chunks: list[Any]) -> Awaitable[None]:
                if len(chunks) > 1:
                    return send_soon(b"".join(map(encode, chunks)), len(chunks))
                chunk = chunks[0]
                # What an endpoint sends while its model answers comes one by one: nothing is gained by waiting for more.
                return send_now(encode(chunk), 1) if from_endpoint and type(chunk) is Addition else send_soon(encode(chunk), 1)

            await stream.pass_on(send)
            await visit.end_stream(events.ending(stream.usage))
            visit.end("complete")  # here: that the client closes the connection now is its good right
