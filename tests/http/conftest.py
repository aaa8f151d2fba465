"""Servers that do what no good server does, certificates, and the two transports under one interface."""

import contextlib
import gc
import socket
import ssl
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import pytest
import trustme

from tokenwire.http.transport import HTTPTransport

from ..conftest import LOOPS, PATIENCE


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is httpx's own, and httpx2 where httpx is there too, is tested on one loop: the others are for what is ours."""
    items[:] = [item for item in items if _is_wanted(item)]


def _is_wanted(item: Any) -> bool:
    given = item.callspec.params if "/http/" in item.nodeid and hasattr(item, "callspec") else {}
    edition = getattr(given.get("edition"), "__name__", None)
    is_theirs = given.get("make_client") in ("httpx", "httpx2") or "httpx2" in (given.get("client"), edition)
    return not is_theirs or given.get("anyio_backend", LOOPS[0].values[0]) == LOOPS[0].values[0]


class Peer:
    """The server's side of one connection: a blocking socket, and what it received beyond the last request."""

    def __init__(self, sock: socket.socket, number: int) -> None:
        self.sock = sock
        self.number = number
        self.received = b""

    def request(self) -> bytes:
        """The next request, with its body; b"" when the client has left."""
        while b"\r\n\r\n" not in self.received:
            if not self._receive():
                return b""
        head, _, _ = self.received.partition(b"\r\n\r\n")
        size = len(head) + 4
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                size += int(line.partition(b":")[2])
        while len(self.received) < size:
            if not self._receive():
                return b""
        while b"chunked" in head and not self.received.endswith(b"\r\n0\r\n\r\n"):
            if not self._receive():
                return b""
            size = len(self.received)
        request, self.received = self.received[:size], self.received[size:]
        return request

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.sock.sendall(piece)

    def reset(self) -> None:
        """Close with a RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()

    def wait_for_the_end(self) -> None:
        """Until the client has left."""
        while self._receive():
            self.received = b""

    def _receive(self) -> bytes:
        data = self.sock.recv(65536)
        self.received += data
        return data


Script = Callable[[Peer], object]


class RawServer:
    """A listening socket that gives each connection to a script, a blocking function, in a thread of its own.

    Args:
        scripts: one for each connection in order, the last one repeating. What they do to the socket may fail; any
            other exception of theirs is raised when the server is left.
    """

    def __init__(
        self, *scripts: Script, context: ssl.SSLContext | None = None, host: str = "127.0.0.1", path: Path | None = None
    ) -> None:
        self._scripts = scripts
        self._context = context
        self._host, self._path = host, path
        self._threads: list[threading.Thread] = []
        self._socks: list[socket.socket] = []
        self._errors: list[Exception] = []
        self._changed = threading.Condition()
        self._leaving = False
        self.open_connections = 0
        self.connections = 0

    def __enter__(self) -> Self:
        if self._path is not None:
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(str(self._path))
            self._listener.listen(128)
            self.port = 80
        else:
            family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
            self._listener = socket.create_server((self._host, 0), family=family, backlog=128)
            self.port: int = self._listener.getsockname()[1]
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._leaving = True
            socks = [self._listener, *self._socks]
        for sock in socks:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE)
        self._listener.close()
        if self._errors:
            raise self._errors[0]

    @property
    def url(self) -> str:
        scheme = "http" if self._context is None else "https"
        host = "localhost" if self._context is not None else f"[{self._host}]" if ":" in self._host else self._host
        return f"{scheme}://{host}:{self.port}"

    def wait_until(self, condition: Callable[[], object]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, PATIENCE)

    def _start(self, function: Callable[..., object], *args: Any) -> None:
        thread = threading.Thread(target=function, args=args, name="raw server")
        thread.start()
        self._threads.append(thread)  # not before: the end joins it

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                with self._changed:
                    if self._leaving:
                        sock.close()
                        return
                    self._socks.append(sock)
                    self.open_connections += 1
                    self.connections += 1
                    self._changed.notify_all()
                self._start(self._serve, sock, self._scripts[min(self.connections, len(self._scripts)) - 1], self.connections)

    def _serve(self, sock: socket.socket, script: Script, number: int) -> None:
        try:
            with sock:
                if self._context is not None:
                    with self._context.wrap_socket(sock, server_side=True, suppress_ragged_eofs=False) as secure:
                        self._socks.append(secure)
                        script(Peer(secure, number))
                else:
                    script(Peer(sock, number))
        except OSError:
            pass
        except Exception as error:  # noqa: BLE001 it is raised in the test
            if not self._leaving:  # a TLS socket that is shut down here may say there that there is no TLS
                self._errors.append(error)
        finally:
            with self._changed:
                self.open_connections -= 1
                self._changed.notify_all()


@pytest.fixture
def deaf() -> Iterator[tuple[str, int]]:
    """An address where nobody answers: a listening socket whose queue is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(8):
            waiting = stack.enter_context(socket.socket())
            waiting.settimeout(0.05)
            try:
                waiting.connect(listener.getsockname())
            except TimeoutError:
                break
        else:
            pytest.skip("this system's queues of connections can't be filled")
        yield listener.getsockname()


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def server_context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1", "other.example").configure_cert(context)
    return context


@pytest.fixture(scope="session")
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    """A client's context that knows the authority."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


class Maker:
    """Makes clients of one of httpx's editions over its own transport or over ours, with the limits that both know.

    Attributes:
        edition: httpx or httpx2.
        ours: whether the transport is ours.
    """

    def __init__(self, edition: ModuleType, context: ssl.SSLContext, *, ours: bool) -> None:
        self.edition: Any = edition
        self.ours = ours
        self._context = context

    def __call__(self, *, most: int | None = None, keep: int | None = None, uds: str | None = None, **kwargs: Any) -> Any:
        return self.edition.AsyncClient(transport=self.transport(most, keep, uds), trust_env=False, **kwargs)

    def transport(self, most: int | None, keep: int | None, uds: str | None) -> Any:
        if self.ours:
            return HTTPTransport(ssl_context=self._context, max_connections=most, max_keepalive=keep, uds=uds)
        limits = self.edition.Limits(max_connections=most, max_keepalive_connections=keep, keepalive_expiry=60.0)
        return self.edition.AsyncHTTPTransport(verify=self._context, limits=limits, uds=uds, trust_env=False)


@contextlib.contextmanager
def forgiven() -> Iterator[None]:
    """httpx leaves generators to the garbage collector, which trio warns of. It is asked for them while nobody minds."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Async generator", ResourceWarning)
        yield
        gc.collect()


@pytest.fixture
def forgiving_trio() -> Callable[[], contextlib.AbstractContextManager[None]]:
    return forgiven


@pytest.fixture(params=["ours in httpx", "ours in httpx2", "httpx", "httpx2"])
def make_client(request: pytest.FixtureRequest, trusting: ssl.SSLContext) -> Maker:
    """The `AsyncClient`s of httpx and httpx2, over our transport and over their own."""
    edition = pytest.importorskip(request.param.removeprefix("ours in "))
    return Maker(edition, trusting, ours=request.param.startswith("ours"))


@pytest.fixture
def raw_server() -> Iterator[Callable[..., RawServer]]:
    """Starts `RawServer`s that are stopped behind the test."""
    with contextlib.ExitStack() as stack:
        yield lambda *scripts, **kwargs: stack.enter_context(RawServer(*scripts, **kwargs))
