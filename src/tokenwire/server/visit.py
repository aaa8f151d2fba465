"""The client at the other end of one HTTP request, as ASGI has it.

It can leave at any moment: what takes long is run by `while_connected`, beside one task that waits for the
client's leaving and, once a stream has begun, sends a comment whenever the handler has been silent for long. That task
is the only thing a request costs beyond its own work, and begins when this first waits for something: before, nobody could
tell that the client has left. A chunk costs no task, timer or lock.

The first chunk of a stream is sent at once. Those that a handler makes after it without waiting for anything are sent
together when it waits: each would cost a system call, which is more than all else that is done for it.
"""

import time
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable, Mapping, MutableMapping
from functools import partial
from os import urandom
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar
from urllib.parse import quote

import anyio

from tokenwire import ClientRequest

from .. import _loops
from .._loops.steps import rest_of
from .compression import too_large, undoing
from .keys import SECRET_HEADERS
from .route import ID_HEADERS, JSON, Events, Route
from .upstream import is_safe, passed_on

if TYPE_CHECKING:
    from .forms import Upload

T = TypeVar("T")

CLIENTS_ID, MOST_ID = b"x-request-id", 200  # characters
ROOM = b"x-ratelimit-"
MOST_HELD = 16 * 1024  # bytes of a stream's chunks that wait to be sent together
OPENING_SECONDS = 5.0  # how long the head of an answer may take that is sent before its first chunk

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Outcome: TypeAlias = Literal["complete", "truncated", "error", "cancelled"]

EVENT_STREAM = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx would hold the events back
)


class _Held:
    """What is awaited where there is nothing to wait for."""

    def __await__(self) -> Generator[Any, Any, None]:
        return
        yield


HELD = _Held()


class ClientLeft(Exception):
    """The client has closed the connection; there is nobody to answer."""


class Visit:
    """One client's request, and what has become of it.

    Attributes:
        scope: the request's, as ASGI has it.
        method, path: of the request; the path without a version prefix and without where the app is mounted.
        asked: the path as the client has it.
        headers: the request's, names in lower case; of several with one name the last.
        client_id: the client's own id for the request, its `x-request-id`; None where it sent none that can be sent on.
        request_id: sent as `x-request-id`: the client's own, or a new one; that of the endpoint behind this one, once it has
            answered with one.
        room: headers that tell the client how much room there is, sent where no endpoint says so.
        route: the one that the path leads to, None until it is known, or where nothing is there.
        model: the model asked for, None until it is known to be one that is served: a client can ask for anything.
        events: encodes the stream that answers; None until there is one.
        status: of the response, None until it has begun.
        started_at, first_chunk_at, ended_at: `time.monotonic()` values, None for what has not happened.
        uploads: the files that the request brought; closed when it ends.
        chunks: how many chunks of a stream have been sent.
        has_left: whether the client was seen to leave.
        outcome: "complete", "truncated", "error" or "cancelled" (the client left), None while it goes on.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope: Scope = scope
        self.started_at: float = time.monotonic()
        self.method: str = scope["method"]
        self.path: str = _path_of(scope)
        self.asked: str = scope["path"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.client_id: str | None = _id_in(self.headers)
        self.request_id: str = self.client_id or f"req_{urandom(16).hex()}"
        self.room: tuple[tuple[bytes, bytes], ...] = ()
        self.route: Route | None = None
        self.model: str | None = None
        self.events: Events | None = None
        self.status: int | None = None
        self.first_chunk_at: float | None = None
        self.ended_at: float | None = None
        self.chunks: int = 0
        self.outcome: Outcome | None = None
        self._receive, self._send = receive, send
        self.uploads: list[Upload] = []
        self.has_left: bool = False
        self._body: bytes | None = None  # once it has been read ahead
        self._passed_on: list[tuple[bytes, bytes]] = []
        self._sending = self._is_ending = False
        self._comment_sent: anyio.Event | None = None  # while a comment is on its way
        self._held: list[bytes] = []  # chunks to be sent before the work of `while_connected` waits
        self._held_bytes = 0
        self._may_hold = False

    def client_request(self, body: dict[str, Any]) -> ClientRequest:
        """What a handler may know of the client."""
        scope, client = self.scope, self.scope.get("client")
        headers = {
            name.decode("latin-1"): text.decode("latin-1") for name, text in self.headers.items() if name not in SECRET_HEADERS
        }
        host = headers.get("host") or ":".join(map(str, scope.get("server") or ("localhost",)))
        path = (scope.get("raw_path") or quote(self.asked).encode()).decode("latin-1")
        url = f"{scope.get('scheme', 'http')}://{host}{path}"
        if query := scope.get("query_string"):
            url = f"{url}?{query.decode('latin-1')}"
        return ClientRequest(self.request_id, self.method, url, headers, client[0] if client else None, body)

    def relay(self, headers: Mapping[str, str], request_id: str | None) -> None:
        """Answer with what an endpoint says in its headers, names in lower case, and with its id for the request."""
        self._passed_on = passed_on(headers)
        if request_id is not None and is_safe(request_id):
            self.request_id = request_id

    def end(self, outcome: Outcome) -> None:
        """Say how it ended; the first word counts."""
        if self.outcome is None:
            self.outcome, self.ended_at = outcome, time.monotonic()

    async def read_ahead(self, max_bytes: int) -> None:
        """Read the body before it is needed, so that the client's leaving can be waited for; as `read`."""
        self._body = await self.read(max_bytes)

    async def read(self, max_bytes: int) -> bytes:
        """The request's body, decompressed.

        Raises:
            BadRequestError: it is longer than `max_bytes`, as it came or decompressed (413), compressed in a way that is not
                known here (415), or not what its `content-encoding` says.
            ClientLeft: it never came to its end.
        """
        if self._body is not None:
            body, self._body = self._body, None  # it need not stay as long as the answer takes
            return body
        length, encoding = self.headers.get(b"content-length", b""), self.headers.get(b"content-encoding")
        if length.isdigit() and int(length) > max_bytes:
            raise too_large(max_bytes)
        undo = undoing(encoding.decode("latin-1"), max_bytes) if encoding else None
        parts: list[bytes] = []
        size, more = 0, True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientLeft
            part, more = message.get("body", b""), message.get("more_body", False)
            parts.append(part)
            size += len(part)
            if size > max_bytes:
                raise too_large(max_bytes)
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        return body if undo is None else await undo(body)

    async def next_piece(self, max_bytes: int) -> tuple[bytes, bool]:
        """The next bytes of the request's body, and whether there are more; all at once where the client compressed them.

        Raises: as `read`.
        """
        if self._body is not None or b"content-encoding" in self.headers:
            return await self.read(max_bytes), False
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        return message.get("body", b""), message.get("more_body", False)

    async def respond(
        self, body: bytes, status: int = 200, *, media_type: str = JSON, headers: Iterable[tuple[bytes, bytes]] = ()
    ) -> None:
        """Send a whole response."""
        about_body = ((b"content-type", media_type.encode()), (b"content-length", b"%d" % len(body)))
        await self._start(status, [*about_body, *headers])
        await self._send_body(body, more=False)

    async def send_event(self, data: bytes, chunks: int = 1) -> None:
        """Send the bytes of a stream's next chunks, if there are any; waits for a slow reader.

        The response's head is sent before the first.
        """
        if not data:
            return
        if self.first_chunk_at is None:
            self.first_chunk_at = time.monotonic()
            if self.status is None:
                await self._start(200, EVENT_STREAM)
        if self._comment_sent is not None:
            await self._comment_sent.wait()
        await self._rest_of_event(self._send({"type": "http.response.body", "body": data, "more_body": True}), chunks)

    def send_soon(self, data: bytes, chunks: int) -> Awaitable[None]:
        """As `send_event`, from the task that runs the work of `while_connected`: at the latest when this waits for something."""
        if self.first_chunk_at is None or not self._may_hold:
            return self.send_event(data, chunks)
        if data:
            self._held.append(data)
            self._held_bytes += len(data)
            self.chunks += chunks
            if self._held_bytes > MOST_HELD:
                return self._send_enough()
        return HELD

    def send_now(self, data: bytes, chunks: int) -> Awaitable[None]:
        """As `send_soon`; where the server takes the bytes without waiting, that is done when this returns."""
        if self.first_chunk_at is None or not data or self._comment_sent is not None or self._held:
            return self.send_soon(data, chunks)
        sending = self._send({"type": "http.response.body", "body": data, "more_body": True})
        if not isinstance(sending, CoroutineType):
            return self._rest_of_event(sending, chunks)
        try:
            waits_for = sending.send(None)
        except StopIteration:
            self.chunks += chunks
            return HELD
        except OSError:
            raise ClientLeft from None
        return self._rest_of_event(rest_of(sending, waits_for), chunks)

    async def _rest_of_event(self, sending: Awaitable[None], chunks: int) -> None:
        self._sending = True
        try:
            await sending
        except OSError:
            raise ClientLeft from None
        self._sending = False
        self.chunks += chunks

    async def open(self, events: Events) -> None:
        """Begin a stream before its first chunk, with a comment; nothing happens where it has begun.

        Once begun it is done to the end, as nobody could tell how much of it was sent, but that may not take long.
        """
        if self.status is not None:
            return
        self.events = events
        self._comment_sent = anyio.Event()
        try:
            with anyio.move_on_after(OPENING_SECONDS, shield=True):
                await self._start(200, EVENT_STREAM)
                await self._send_body(events.keep_alive, more=True)
        finally:
            self._comment_sent.set()
            self._comment_sent = None

    async def end_stream(self, data: bytes) -> None:
        """Send the last bytes of a stream. After that, servers say that the client has left."""
        if self.status is None:
            await self._start(200, EVENT_STREAM)
        if self._comment_sent is not None:
            await self._comment_sent.wait()
        self._sending = self._is_ending = True  # for good: no comment comes after the end
        await self._send_body(self._take_held() + data if self._held else data, more=False)

    def while_connected(
        self, work: Callable[[], Coroutine[Any, Any, T]], keepalive_seconds: float | None = None
    ) -> Awaitable[T | None]:
        """Run `work` for as long as the client is there; it is cancelled at once when the client leaves, and `has_left` says so.

        Args:
            work: raises what it likes.
            keepalive_seconds: a stream that has begun is never silent for longer than this; None lets it be.
        """
        self._may_hold = _loops.sees_waits()
        return _loops.run_unless(partial(self._attend, keepalive_seconds), work, self._held, self._send_held)

    async def _send_held(self) -> bool:
        """False where the client has left."""
        if self._comment_sent is not None:
            await self._comment_sent.wait()
        self._sending = True
        try:
            await self._send({"type": "http.response.body", "body": self._take_held(), "more_body": True})
        except OSError:
            self.has_left = True
            return False
        self._sending = False
        return True

    async def _send_enough(self) -> None:
        if not await self._send_held():
            raise ClientLeft

    def _take_held(self) -> bytes:
        held = self._held
        data = held[0] if len(held) == 1 else b"".join(held)
        held.clear()
        self._held_bytes = 0
        return data

    async def _attend(self, keepalive_seconds: float | None) -> None:
        """Wait until the client has left; twice in `keepalive_seconds`, look whether the stream has moved on."""
        tick = None if keepalive_seconds is None else keepalive_seconds / 2
        chunks_seen = 0
        while True:
            with anyio.move_on_after(tick):
                message = await self._receive()
                if message["type"] == "http.disconnect":
                    if self._is_ending:  # all is said, and some servers report that while they send the last of it
                        await anyio.sleep_forever()
                    self.has_left = True
                    return
                continue
            if self.status is not None and not self._sending and self.chunks == chunks_seen:
                await self._send_comment()
            chunks_seen = self.chunks

    async def _send_comment(self) -> None:
        assert self.events is not None, "only streams are kept alive"
        self._comment_sent = anyio.Event()
        try:
            await self._send_body(self.events.keep_alive, more=True)
        finally:
            self._comment_sent.set()
            self._comment_sent = None

    async def _start(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self.status = status
        self._sending = True  # no comment comes beside the head
        id_headers = ID_HEADERS if self.route is None else self.route.id_headers
        request_id = self.request_id.encode()
        head = [*headers, *[(name, request_id) for name in id_headers]]
        if self._passed_on or self.room:
            passed_on = [header for header in self._passed_on if header[0] not in id_headers]
            if not any(name.startswith(ROOM) for name, _ in passed_on):
                passed_on += self.room
            head += passed_on
        await self._send_message({"type": "http.response.start", "status": status, "headers": head})
        self._sending = False

    async def _send_body(self, data: bytes, *, more: bool) -> None:
        await self._send_message({"type": "http.response.body", "body": data, "more_body": more})

    async def _send_message(self, message: MutableMapping[str, Any]) -> None:
        try:
            await self._send(message)
        except OSError:  # how ASGI servers may say that the client has left
            raise ClientLeft from None


def _id_in(headers: Mapping[bytes, bytes]) -> str | None:
    """The id that a client gave to its request; None where it is none, or can't be sent."""
    given = headers.get(CLIENTS_ID, b"").decode("latin-1").strip()
    return given if 0 < len(given) <= MOST_ID and is_safe(given) else None


def _path_of(scope: Scope) -> str:
    path: str = scope["path"]
    mounted_at: str = scope.get("root_path", "").rstrip("/")  # ASGI has it in front of the path as well
    if path.startswith(f"{mounted_at}/"):
        path = path[len(mounted_at) :]
    return path.removeprefix("/v1") if path.startswith("/v1/") else path
