"""Which connection a request gets: all decisions of the pool, without waiting and without I/O.

Each decision takes constant time, however many connections there are. Idle connections are kept per origin, the most
recently used on top, and in one order of age over all origins. Requests that must wait are in one first-in, first-out queue.

`Pool` decides and its caller acts: it opens a connection where `Lease.connection` is None, and closes those in `Lease.close`.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, Protocol, TypeAlias, TypeVar

from .._reading import FOREVER
from ..types.attempts import PoolStats as PoolStats

Origin: TypeAlias = tuple[bytes, bytes, int]  # scheme, host, port


class Poolable(Protocol):
    """What the pool needs of a connection."""

    @property
    def origin(self) -> Hashable:
        """The origin it is connected to."""
        ...

    def is_idle(self) -> bool:
        """Whether it is open and nothing has arrived since its last response."""
        ...


C = TypeVar("C", bound=Poolable)


class Lease(Generic[C]):
    """A right to one connection.

    Attributes:
        granted: whether the holder may go on; otherwise it waits until `on_grant` is called.
        connection: an idle one to use; None if the holder has to open one.
        close: connections evicted to make room, which the holder has to close.
    """

    __slots__ = ("close", "connection", "granted", "on_grant", "origin")

    def __init__(self, origin: Hashable) -> None:
        self.origin: Hashable = origin
        self.granted: bool = False
        self.connection: C | None = None
        self.close: tuple[C, ...] = ()
        self.on_grant: Callable[[], None] | None = None


class Pool(Generic[C]):
    """Connections by origin.

    Args:
        max_connections: how many may be open, idle ones included.
        max_keepalive: how many of them may be idle.
        keepalive_expiry: seconds after which an idle connection is not used again.
        clock: tells the time in seconds.
    """

    def __init__(
        self,
        *,
        max_connections: float,
        max_keepalive: float = FOREVER,
        keepalive_expiry: float = FOREVER,
        clock: Callable[[], float] = lambda: time.monotonic(),  # looked up at each call: tests replace it
    ) -> None:
        self._max_connections = max_connections
        self._max_keepalive = max_keepalive
        self._keepalive_expiry = keepalive_expiry
        self._clock = clock
        self._open = 0
        self._idle: dict[Hashable, OrderedDict[C, None]] = {}  # by origin, the latest last
        self._ages: OrderedDict[C, float] = OrderedDict()  # when each became idle, the oldest first
        self._queue: OrderedDict[Lease[C], None] = OrderedDict()

    @property
    def stats(self) -> PoolStats:
        """The numbers of open and idle connections, and of waiting requests."""
        return PoolStats(open=self._open, idle=len(self._ages), waiting=len(self._queue))

    def acquire(self, origin: Hashable) -> Lease[C]:
        """Ask for a connection: an idle one, a new one, or, where there is no room, a place in the queue."""
        lease: Lease[C] = Lease(origin)
        if self._queue or not self._grant(lease):
            self._queue[lease] = None
        return lease

    def release(self, connection: C, *, reusable: bool) -> list[C]:
        """Give a connection back.

        Args:
            reusable: whether it can carry another request; otherwise its owner has closed it.

        Returns:
            Connections to close.
        """
        if not reusable:
            self.forget()
            return []
        now = self._clock()
        self._idle.setdefault(connection.origin, OrderedDict())[connection] = None
        self._ages[connection] = now
        if self._queue:
            self._serve_queue()
        return self._trimmed(now)

    def forget(self) -> None:
        """Count one connection less: it is closed, or was never opened."""
        self._open -= 1
        self._serve_queue()

    def abandon(self, lease: Lease[C]) -> list[C]:
        """Give up a lease, whether granted or not. Returns connections to close."""
        closing, lease.close = list(lease.close), ()
        if not lease.granted:
            self._queue.pop(lease, None)
        elif lease.connection is None:
            self.forget()
        else:
            closing += self.release(lease.connection, reusable=True)
        return closing

    def close(self) -> list[C]:
        """Grant all waiting leases: their holders will find the transport closed. Returns all idle connections, to close."""
        idle = list(self._ages)
        for connection in idle:
            self._drop_idle(connection)
        self._open -= len(idle)
        self._max_connections = FOREVER
        self._serve_queue()
        return idle

    def _grant(self, lease: Lease[C]) -> bool:
        """Grant a lease if that is possible now. Returns whether it was."""
        lease.connection = self._take_idle(lease)
        if lease.connection is None:
            if self._open >= self._max_connections and not self._make_room(lease):
                return False
            self._open += 1
        lease.granted = True
        return True

    def _take_idle(self, lease: Lease[C]) -> C | None:
        """The most recent idle connection to the lease's origin that is still usable; unusable ones are dropped."""
        idle = self._idle.get(lease.origin)
        while idle:
            connection = next(reversed(idle))
            expired = self._clock() - self._ages[connection] > self._keepalive_expiry
            self._drop_idle(connection)
            if not expired and connection.is_idle():
                return connection
            self._open -= 1
            lease.close += (connection,)
        return None

    def _make_room(self, lease: Lease[C]) -> bool:
        """Evict the oldest idle connection, which has another origin. Returns whether there was one."""
        if not self._ages:
            return False
        oldest = next(iter(self._ages))
        self._drop_idle(oldest)
        self._open -= 1
        lease.close += (oldest,)
        return True

    def _drop_idle(self, connection: C) -> None:
        del self._ages[connection]
        idle = self._idle[connection.origin]
        del idle[connection]
        if not idle:
            del self._idle[connection.origin]

    def _trimmed(self, now: float) -> list[C]:
        """At most two idle connections that are too many or too old: two per release keep up, as one release adds one."""
        closing: list[C] = []
        while self._ages and len(closing) < 2:
            oldest, since = next(iter(self._ages.items()))
            if len(self._ages) <= self._max_keepalive and now - since <= self._keepalive_expiry:
                break
            self._drop_idle(oldest)
            self._open -= 1
            closing.append(oldest)
        return closing

    def _serve_queue(self) -> None:
        while self._queue:
            lease = next(iter(self._queue))
            if not self._grant(lease):
                return
            del self._queue[lease]
            if lease.on_grant is not None:
                lease.on_grant()
