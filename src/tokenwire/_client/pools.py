"""The connection pools of clients, separate for each event loop.

A connection belongs to the event loop in which it was opened, but a client to none: a global one may be used in several
threads' loops, and in one `asyncio.run` after the other. So the pools are stored in the loop, one set for each client, and
are closed when the loop shuts down. Dropping a client drops its pools.
"""

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, ref

import anyio
from anyio import lowlevel

from .._loops import asyncio_loop
from .._settings import proxy_variables
from ..types.attempts import PoolStats

if TYPE_CHECKING:
    import httpx

    from ..http.exchange import Sender
    from ..http.proxies import Proxy
    from ..http.tls import Verify
    from ..http.transport import HTTPTransport

CLOSE_SECONDS = 5.0


class ClientPools:
    """The senders of one client's calls, in any event loop; implements `llms.backend.Senders`.

    Args:
        http_client: the user's httpx client, used for everything; it is not closed.
        transport: the user's transport, which belongs to one event loop; it is closed.
    """

    def __init__(self, http_client: "httpx.AsyncClient | None", transport: "HTTPTransport | None") -> None:
        self._http_client = http_client
        self._transport = transport
        self._transport_has_loop = False
        self._proxies: dict[str, Proxy | None] = {}  # by address, read from the environment at the first call to it
        self.closed: bool = False

    @property
    def stats(self) -> PoolStats | None:
        """The statistics of the transports in this event loop, None before the first call in it."""
        pools = pools_here().get(self)
        return None if pools is None else pools.stats

    def sender(self, api_base: str, verify: "Verify" = True) -> "Sender":
        """The sender for requests to `api_base`.

        Raises:
            RuntimeError: the client is closed, or its transport belongs to another event loop.
            BadRequestError: the environment's proxy for it can't be used; or `verify` is given with the user's client or
                transport.
        """
        if verify is not True:
            self._check_verify()
        if self._http_client is not None and not self.closed:
            from ..http.clients import sender_of

            return sender_of(self._http_client)
        if api_base not in self._proxies:
            self._proxies[api_base] = _proxy_for(api_base)
        proxy = self._proxies[api_base]
        return self._pools().transport(verify) if proxy is None else self._pools().proxied(proxy, verify)

    def http_client(self, verify: "Verify" = True) -> "httpx.AsyncClient":
        """The client for a handler's own requests: the user's, or one over our transport. Raises as `sender` does."""
        if verify is not True:
            self._check_verify()
        if self._http_client is not None and not self.closed:
            return self._http_client
        return self._pools().http_client(verify)

    def transport(self) -> "HTTPTransport":
        """The library's own transport. Raises as `sender` does."""
        return self._pools().transport()

    async def leave_loop(self) -> None:
        """Close the connections in this event loop; the next call opens others."""
        await pools_here().close(self)

    async def aclose(self) -> None:
        """Close permanently: the connections in this event loop now, those in others when they shut down."""
        self.closed = True
        await self.leave_loop()
        if self._transport is not None and not self._transport_has_loop:
            await self._transport.aclose()

    def _check_verify(self) -> None:
        from ..http.tls import not_ours

        for name, given in (("http_client", self._http_client), ("transport", self._transport)):
            if given is not None:
                raise not_ours(name)

    def _pools(self) -> "Pools":
        """This client's pools in the running event loop."""
        if self.closed:
            raise RuntimeError("this client is closed")
        here = pools_here()
        pools = here.get(self)
        if pools is None:
            if self._transport_has_loop:
                raise RuntimeError(
                    "the transport given to this AsyncClient belongs to another event loop, in which it was first used: make"
                    " a client with its own transport for each loop, or leave out transport="
                )
            pools = Pools(self._transport)
            here.add(self, pools)
            self._transport_has_loop = self._transport is not None
        return pools


def _proxy_for(api_base: str) -> "Proxy | None":
    """The environment's proxy for an address."""
    variables = proxy_variables()
    if not variables:
        return None
    from ..http.proxies import proxy_for

    return proxy_for(api_base, variables)


class Pools:
    """The senders of one client in one event loop; each is made when it is first needed.

    Args:
        given: the user's transport.
    """

    __slots__ = ("_handlers", "_proxied", "_transports")

    def __init__(self, given: "HTTPTransport | None" = None) -> None:
        self._transports: dict[Verify, HTTPTransport] = {} if given is None else {True: given}
        self._proxied: dict[tuple[Proxy, Verify], httpx.AsyncClient] = {}
        self._handlers: dict[Verify, httpx.AsyncClient] = {}

    @property
    def stats(self) -> PoolStats | None:
        """The statistics of all transports together, None if there is none yet."""
        stats = [transport.stats for transport in self._transports.values()]
        if not stats:
            return None
        return PoolStats(**{name: sum(getattr(one, name) for one in stats) for name in PoolStats.__struct_fields__})

    def transport(self, verify: "Verify" = True) -> "HTTPTransport":
        """The library's own transport, one for each `verify`. Raises as `context_for` does."""
        transport = self._transports.get(verify)
        if transport is None:
            from ..http.tls import context_for
            from ..http.transport import HTTPTransport

            context = None if verify is True else context_for(verify)
            transport = self._transports[verify] = HTTPTransport(ssl_context=context)
        return transport

    def proxied(self, proxy: "Proxy", verify: "Verify") -> "Sender":
        """httpx's own client, over a proxy. Raises as `client_through` does."""
        from ..http.clients import HTTPXSender
        from ..http.proxies import client_through

        client = self._proxied.get((proxy, verify))
        if client is None:
            client = self._proxied[proxy, verify] = client_through(proxy, verify)
        return HTTPXSender(client, proxy.variable)

    def http_client(self, verify: "Verify" = True) -> "httpx.AsyncClient":
        """An httpx client over the transport, for handlers. Raises as `transport` does."""
        client = self._handlers.get(verify)
        if client is None:
            import httpx

            client = self._handlers[verify] = httpx.AsyncClient(transport=self.transport(verify), timeout=None)  # noqa: S113  (deadlines are the call's)
        return client

    async def aclose(self) -> None:
        """Close all connections, including those of open streams. Takes a bounded time; completes even when cancelled."""
        with anyio.move_on_after(CLOSE_SECONDS, shield=True):
            for pool in (*self._transports.values(), *self._proxied.values()):
                await pool.aclose()


class PoolsOfLoop:
    """The pools of all clients in the running event loop: see `pools_here`."""

    __slots__ = ("__weakref__", "_anchor", "_closed", "_of_client")

    def __init__(self) -> None:
        self._of_client: WeakKeyDictionary[object, Pools] = WeakKeyDictionary()
        self._closed = False
        self._anchor: AsyncGenerator[None, None] | None = self._close_with_loop()
        anchor = self._anchor
        try:
            anchor.asend(None).send(None)
        except StopIteration:
            pass  # it has reached its `yield`

    def get(self, client: object) -> Pools | None:
        """The client's pools, None before its first call."""
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
        """Close the client's pools, if it has any."""
        pools = self._of_client.pop(client, None)
        if pools is not None:
            await pools.aclose()

    async def _close_with_loop(self) -> AsyncGenerator[None, None]:
        """Close all when the event loop ends: asyncio and trio both close the async generators still alive then."""
        try:
            yield
        finally:
            self._anchor = None  # an async generator refers to its loop, which this object must not keep alive
            self._closed = True
            for client in list(self._of_client):
                await self.close(client)


_here: lowlevel.RunVar[PoolsOfLoop] = lowlevel.RunVar("tokenwire_pools")
_latest: tuple[ref[object], ref[PoolsOfLoop]] | None = None  # a cache of the last asyncio loop, the usual one


def pools_here() -> PoolsOfLoop:
    """The pools in the running event loop.

    Raises:
        RuntimeError: no event loop is running.
    """
    global _latest
    loop, latest = asyncio_loop(), _latest
    if loop is not None and latest is not None and latest[0]() is loop and (pools := latest[1]()) is not None:
        return pools
    pools = _here.get(None)
    if pools is None:
        pools = PoolsOfLoop()
        _here.set(pools)
    if loop is not None:
        _latest = ref(loop), ref(pools)
    return pools
