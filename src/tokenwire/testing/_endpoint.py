"""The endpoint: a listening socket, and a thread with an event loop that serves it.

`Endpoint.requests`, `visits` and `open_connections` with their contents are written in that thread and read in any; waiting
for a change of them uses the condition `_changed`. Everything else belongs to that thread.
"""

import contextlib
import itertools
import socket
import ssl
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future
from types import TracebackType
from typing import Self

import anyio
import anyio.to_thread
from anyio.from_thread import start_blocking_portal

from ._connection import Exchange, ServedConnection
from ._http import HTTPRequest, render
from ._script import Received, Reply, Script, Visit, in_order
from ._socket import SocketStream
from ._tls import contexts


class Endpoint:
    """An OpenAI-compatible endpoint on a loopback socket that answers by a script.

    It listens once its `with` block is entered; leaving the block ends every connection and the thread at once.

    Args:
        script: the replies, one per request in the order of arrival, the last one repeating; a single reply; or a
            function that returns the reply to each request. The function runs in the endpoint's thread and must not
            block. Its exceptions are answered with a 500 and raised again when the block is left.
        host: the address to listen on.
        port: the port to listen on; 0 for any free one.
        tls: True for TLS with a generated certificate (which needs the package trustme, in tokenwire[test]), or the
            server's `ssl.SSLContext`.

    Attributes:
        requests: the requests so far, in order of arrival.
        visits: the connections so far, in order of arrival, including those without a request.
        open_connections: how many connections are open now.

    Raises:
        ValueError: `script` has no reply.
        ModuleNotFoundError: a certificate is needed, but trustme is not installed.
    """

    def __init__(
        self,
        script: Script | Iterable[Reply] | Reply,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | bool = False,
    ) -> None:
        if isinstance(script, Reply):
            script = [script]
        self._script: Script = script if callable(script) else in_order(script)
        self._host, self._wanted_port = host, port
        self._port: int | None = None
        self._tls: ssl.SSLContext | None = None
        self._client_context: ssl.SSLContext | None = None
        if isinstance(tls, ssl.SSLContext):
            self._tls = tls
        elif tls:
            self._tls, self._client_context = contexts()
        self._running = contextlib.ExitStack()
        self._errors: list[BaseException] = []
        self._changed = threading.Condition()
        self._has_ended = False
        self._numbers = itertools.count(1)
        self.requests: list[Received] = []
        self.visits: list[Visit] = []
        self.open_connections: int = 0

    @property
    def url(self) -> str:
        """The address to pass as `api_base`; after the `with` block it is kept, and refuses connections."""
        if self._port is None:
            raise RuntimeError("the endpoint has no address before its with block is entered")
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http{'' if self._tls is None else 's'}://{host}:{self._port}/v1"

    @property
    def ssl_context(self) -> ssl.SSLContext:
        """A context that trusts the certificate of `tls=True`: `HTTPTransport(ssl_context=...)`, `httpx.AsyncClient(verify=...)`."""
        if self._client_context is None:
            raise RuntimeError("the endpoint has no certificate: it was made without tls=True")
        return self._client_context

    def __enter__(self) -> Self:
        if self._port is not None:
            raise RuntimeError("an endpoint can be entered only once")
        with contextlib.ExitStack() as stack:  # unwound in reverse: end the serving, join the thread, close
            listener = stack.enter_context(_listen(self._host, self._wanted_port))
            portal = stack.enter_context(start_blocking_portal("asyncio"))
            stack.callback(_stop, portal.start_task_soon(self._serve, listener))
            self._port = listener.getsockname()[1]
            self._running = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._running.close()
        with self._noticed():
            self._has_ended = True
        if self._errors and error is None:
            raise self._errors[0]
        if error is not None:
            for raised in self._errors:
                error.add_note(f"The endpoint raised {type(raised).__name__}: {raised}")

    def wait_until(self, condition: Callable[[], object], timeout: float = 30.0) -> None:
        """Wait until a condition on this endpoint is true: `wait_until(lambda: endpoint.open_connections == 0)`.

        Args:
            condition: reads `requests`, their fields, or `open_connections`; called again whenever these change.
            timeout: seconds.

        Raises:
            TimeoutError: it did not become true in time, or before the endpoint ended.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._has_ended or condition(), timeout)
            if not condition():
                raise TimeoutError(
                    f"{self!r} did not meet the condition {'before it ended' if self._has_ended else f'in {timeout} s'}"
                )

    async def await_until(self, condition: Callable[[], object], timeout: float = 30.0) -> None:  # noqa: ASYNC109 the thread's
        """`wait_until` for async code: the event loop keeps running, as a client needs to close its connections.

        If cancelled, it returns at once; the worker thread waits until the time-out, or until the endpoint ends.
        """
        await anyio.to_thread.run_sync(self.wait_until, condition, timeout, abandon_on_cancel=True)

    def wait_silence(self, requests: int = 1, timeout: float = 30.0) -> None:
        """Wait until the endpoint writes nothing unless time passes or a client acts: then call `FakeClock.advance`.

        Args:
            requests: how many requests must have arrived. Each reply has been written, or is delayed or stalled.
            timeout: seconds.

        Raises:
            TimeoutError: that was not so within `timeout` seconds.
        """
        self.wait_until(lambda: self._is_silent(requests), timeout)

    async def await_silence(self, requests: int = 1, timeout: float = 30.0) -> None:  # noqa: ASYNC109 the thread's
        """`wait_silence` for async code."""
        await self.await_until(lambda: self._is_silent(requests), timeout)

    def _is_silent(self, requests: int) -> bool:
        return len(self.requests) >= requests and all(each.silent or each.closed.is_set() for each in self.requests)

    def wait_closed(self, request: Received, timeout: float = 30.0) -> None:
        """Wait until a request's exchange has ended; then `request.aborted` tells whether the client disconnected early.

        Raises:
            TimeoutError: it has not ended after `timeout` seconds.
        """
        self.wait_until(request.closed.is_set, timeout)

    async def await_closed(self, request: Received, timeout: float = 30.0) -> None:  # noqa: ASYNC109 the thread's
        """`wait_closed` for async code."""
        await self.await_until(request.closed.is_set, timeout)

    def __repr__(self) -> str:
        return f"<Endpoint on port {self._port}: {len(self.requests)} requests, {self.open_connections} open connections>"

    # All methods below run in the endpoint's thread.

    async def _serve(self, listener: socket.socket) -> None:
        async with anyio.create_task_group() as group:
            while True:
                await anyio.wait_readable(listener)
                for raw in _accepted(listener):
                    group.start_soon(self._serve_connection, raw)

    async def _serve_connection(self, raw: socket.socket) -> None:
        with self._noticed():
            self.open_connections += 1
            visit = Visit(next(self._numbers))
            self.visits.append(visit)
        try:
            with raw, self._faults_kept():
                await ServedConnection(SocketStream(raw), visit, self, self._tls).serve()
        finally:
            with self._noticed():
                self.open_connections -= 1
                visit.closed_by = visit.closed_by or "endpoint"
                visit.closed_at = time.monotonic()

    @contextlib.contextmanager
    def _faults_kept(self) -> Generator[None, None, None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001 a bug of the endpoint must not be lost in this thread
            self._errors.append(error)

    def begin(self, request: HTTPRequest, connection: int) -> Exchange:
        """Record a request and call the script; called by its connection."""
        received = Received(request.method, request.target, request.headers, request.body, connection)
        with self._noticed():
            self.requests.append(received)
        try:
            received.reply = reply = _checked(self._script(received))
            return Exchange(received, reply, render(reply, request))
        except BaseException as error:  # noqa: BLE001 pytest's outcomes too; nothing is awaited, so no cancellation
            self._errors.append(error)
            received.reply = reply = _report(error)
            return Exchange(received, reply, render(reply, request))

    @contextlib.contextmanager
    def silence(self, received: Received) -> Generator[None, None, None]:
        """Record that nothing is written within this context; called by its connection."""
        with self._noticed():
            received.silent = True
        try:
            yield
        finally:
            with self._noticed():
                received.silent = False

    def end(self, received: Received) -> None:
        """Record that an exchange has ended; called by its connection."""
        with self._noticed():
            received.ended_at = time.monotonic()
            received.closed.set()

    @contextlib.contextmanager
    def _noticed(self) -> Generator[None, None, None]:
        with self._changed:
            yield
            self._changed.notify_all()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=4096)
    listener.setblocking(False)
    return listener


def _accepted(listener: socket.socket) -> Iterator[socket.socket]:
    """All pending connections: one per iteration of a busy loop would make clients wait long."""
    while True:
        try:
            raw, _ = listener.accept()
        except BlockingIOError:
            return
        except ConnectionAbortedError:
            continue
        yield raw


def _stop(serving: "Future[None]") -> None:
    if not serving.cancel():
        serving.result()  # it ended by an error: it could not accept connections


def _checked(reply: object) -> Reply:
    if not isinstance(reply, Reply):
        raise TypeError(f"an endpoint's script must return a Reply, not {type(reply).__name__}")
    return reply


def _report(error: BaseException) -> Reply:
    text = f"{type(error).__name__}: {error}"
    return Reply(status=500, headers={"content-type": "text/plain; charset=utf-8"}, body=text.encode())
