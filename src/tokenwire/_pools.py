"""What the clients keep open, for each event loop apart.

A connection belongs to the event loop that it was opened in, and a client to none: a global one may be used in several
threads' loops, and in one `asyncio.run` after the other. So the pools hang on the loop, one set for each client, and are
closed when the loop shuts down. A client that is dropped takes its own along.
"""

from collections.abc import AsyncGenerator
from typing import Any
from weakref import WeakKeyDictionary

import anyio
from anyio import lowlevel

CLOSE_SECONDS = 5.0


class Pools:
    """What one client sends through in one event loop; each is made when it is first asked for.

    Args:
        given: the transport that the client's maker wants used.
    """

    __slots__ = ("_proxied", "_transport")

    def __init__(self, given: Any = None) -> None:
        self._transport: Any = given
        self._proxied: Any = None

    @property
    def stats(self) -> Any:
        """The transport's, None before it is first asked for."""
        return None if self._transport is None else self._transport.stats

    def transport(self) -> Any:
        """The library's own transport."""
        if self._transport is None:
            from .http.transport import HTTPTransport

            self._transport = HTTPTransport()
        return self._transport

    def proxied(self) -> Any:
        """httpx's own client, which knows the environment's proxies."""
        if self._proxied is None:
            import httpx

            limits = httpx.Limits(max_connections=10_000, max_keepalive_connections=None, keepalive_expiry=60.0)
            self._proxied = httpx.AsyncClient(limits=limits, timeout=None)  # noqa: S113  (deadlines are the call's)
        return self._proxied

    async def aclose(self) -> None:
        """Close all connections, those of open streams too. Bounded, and done even when cancelled."""
        with anyio.move_on_after(CLOSE_SECONDS, shield=True):
            for pool in (self._transport, self._proxied):
                if pool is not None:
                    await pool.aclose()


class PoolsOfLoop:
    """The pools of all clients in one event loop, which is the one that runs here: see `pools_here`."""

    __slots__ = ("_anchor", "_closed", "_of_client")

    def __init__(self) -> None:
        self._of_client: WeakKeyDictionary[object, Pools] = WeakKeyDictionary()
        self._closed = False
        self._anchor: Any = self._close_with_loop()
        try:
            self._anchor.asend(None).send(None)
        except StopIteration:
            pass  # it has reached its `yield` and waits there

    def get(self, client: object) -> Pools | None:
        """The client's, None before its first call."""
        return self._of_client.get(client)

    def add(self, client: object, pools: Pools) -> None:
        """Keep a client's pools until it or the loop ends.

        Raises:
            RuntimeError: the loop is shutting down.
        """
        if self._closed:
            raise RuntimeError("this event loop is shutting down: its connections are closed, and it opens no others")
        self._of_client[client] = pools

    async def close(self, client: object) -> None:
        """Close the client's, if it has any."""
        pools = self._of_client.pop(client, None)
        if pools is not None:
            await pools.aclose()

    async def _close_with_loop(self) -> AsyncGenerator[None, None]:
        """Close all when the event loop ends: asyncio and trio both close the async generators still alive then."""
        try:
            yield
        finally:
            self._anchor = None  # an async generator knows its loop, and what a loop's variables hold must not keep the loop
            self._closed = True
            for client in list(self._of_client):
                await self.close(client)


_here: lowlevel.RunVar[PoolsOfLoop] = lowlevel.RunVar("tokenwire_pools")


def pools_here() -> PoolsOfLoop:
    """The running event loop's.

    Raises:
        RuntimeError: none is running.
    """
    pools = _here.get(None)
    if pools is None:
        pools = PoolsOfLoop()
        _here.set(pools)
    return pools
