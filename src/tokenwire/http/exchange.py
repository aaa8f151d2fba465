"""One request and its response, over any httpx client.

Here httpx's exceptions become ours, and here deadlines are kept: a wait for the server lasts until a point in time that
the caller gives, whatever arrives meanwhile.
"""

import time
from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx

from ..exceptions import APIConnectionError, APIError, LimitExceededError, Timeout

DRAIN_SECONDS = 0.25  # how long the tail of a finished stream may take, for the sake of reusing its connection
CLOSE_SECONDS = 5.0  # how long closing a connection may take
FOREVER = float("inf")

# httpx's exceptions, most specific first: the first match names ours, and the budget that ran out.
_TIMEOUTS: tuple[tuple[type[httpx.TimeoutException], str, str], ...] = (
    (httpx.ConnectTimeout, "connect", "no connection in time"),
    (httpx.PoolTimeout, "pool", "no free connection in time"),
    (httpx.WriteTimeout, "write", "the request could not be sent in time"),
    (httpx.ReadTimeout, "idle", "nothing arrived in time"),
    (httpx.TimeoutException, "idle", "the call took too long"),
)


def translated(error: Exception, url: str) -> APIError:
    """Our exception for what httpx, or the layers under it, raised while talking to `url`."""
    for kind, budget, text in _TIMEOUTS:
        if isinstance(error, kind):
            return Timeout(f"{text}: {url}", budget=budget)
    reason = str(error) or type(error).__name__
    if isinstance(error, httpx.ConnectError):
        return APIConnectionError(f"cannot connect to {url}: {reason}")
    if isinstance(error, httpx.DecodingError):
        return APIConnectionError(f"the body from {url} cannot be decompressed: {reason}")
    if isinstance(error, httpx.RemoteProtocolError | httpx.NetworkError):
        return APIConnectionError(f"the connection to {url} broke: {reason}")
    return APIConnectionError(f"the request to {url} failed: {reason}")


_FOREIGN = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, RuntimeError, anyio.BrokenResourceError)


class Exchange:
    """A response whose head has arrived.

    Attributes:
        status: the HTTP status.
        headers: names in lower case.
    """

    def __init__(self, response: Any) -> None:
        self._response = response
        self._chunks: AsyncIterator[bytes] = response.aiter_bytes()
        self._ended = False
        self.status: int = response.status_code
        self.headers: dict[str, str] = dict(response.headers)
        self.url = str(response.request.url)

    async def receive(self, deadline: float) -> bytes:
        """The next bytes of the body, decompressed; b"" when it has ended.

        Args:
            deadline: until when to wait, as `time.monotonic()` counts.

        Raises:
            Timeout: nothing came before the deadline. Its `budget` is None: only the caller knows which this was.
            APIConnectionError: the connection broke, or closed in the middle of the body.
        """
        while not self._ended:
            try:
                with anyio.fail_after(None if deadline == FOREVER else deadline - time.monotonic()):
                    data = await anext(self._chunks)
            except StopAsyncIteration:
                self._ended = True
            except TimeoutError:
                raise Timeout(f"nothing arrived in time: {self.url}") from None
            except _FOREIGN as error:
                raise translated(error, self.url) from error
            else:
                if data:
                    return data
        return b""

    async def read(self, deadline: float, limit: int, name: str) -> bytes:
        """The whole body.

        Raises:
            LimitExceededError: it is longer than `limit`, the limit called `name`.
            Timeout, APIConnectionError: as `receive` does.
        """
        body = bytearray()
        while data := await self.receive(deadline):
            body += data
            if len(body) > limit:
                raise LimitExceededError(f"the body is longer than {name}, {limit} bytes", limit=name)
        return bytes(body)

    async def read_start(self, deadline: float, limit: int) -> bytes:
        """The body up to `limit` bytes: what an error is worth keeping of, however the rest fares."""
        body = bytearray()
        try:
            while len(body) < limit and (data := await self.receive(deadline)):
                body += data
        except APIError:
            pass  # the status is the news; a body cut short only has less to say about it
        return bytes(body[:limit])

    async def drain(self) -> None:
        """Read the tail of a body that has said all it had to, within a small bound, so its connection can be reused."""
        try:
            if not await self.receive(time.monotonic() + DRAIN_SECONDS):
                self._ended = True
        except APIError:
            pass  # then the connection is closed instead

    async def aclose(self) -> None:
        """Give the connection back if the body was read to its end, else close it. Bounded, and done even when cancelled."""
        with anyio.move_on_after(CLOSE_SECONDS, shield=True):
            try:
                await self._response.aclose()
                await self._chunks.aclose()  # type: ignore[attr-defined]
            except _FOREIGN:
                pass  # a connection that can't be closed properly is closed all the same

    def response_with(self, body: bytes) -> httpx.Response:
        """The response as an `httpx.Response` of its own, without the request and the key in it."""
        dropped = ("content-encoding", "transfer-encoding", "content-length")
        headers = {name: value for name, value in self.headers.items() if name not in dropped}
        return httpx.Response(self.status, headers=headers, content=body)


async def send(client: Any, request: Any, deadline: float) -> Exchange:
    """Send `request` through an httpx client and wait for the head of the response.

    Raises:
        Timeout: the head did not come before the deadline (`budget` None), or one of httpx's own timeouts ran out.
        APIConnectionError: no connection, or a broken one.
    """
    url = str(request.url)
    try:
        with anyio.fail_after(None if deadline == FOREVER else deadline - time.monotonic()):
            return Exchange(await client.send(request, stream=True))
    except TimeoutError:
        raise Timeout(f"no answer in time: {url}") from None
    except _FOREIGN as error:
        raise translated(error, url) from error
