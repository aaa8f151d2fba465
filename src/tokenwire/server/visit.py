"""One HTTP request and its client, over ASGI.

The client can leave at any moment. So `while_connected` runs the work that takes long, and next to it a task that waits until
the client leaves and, once a stream has begun, sends a comment whenever the handler has been silent for long. This task is all
that a request costs beyond its own work. It begins when the work first waits for something: before that, nothing could notice
that the client has left. A chunk costs no task, timer or lock.

The first chunk of a stream is sent at once. Those that a handler makes after it without waiting are sent together when it
waits: a system call for each would cost more than everything else that is done for it.
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
OPENING_SECONDS = 5.0  # to send the head of an answer before its first chunk

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Outcome: TypeAlias = Literal["complete", "truncated", "error", "cancelled"]

EVENT_STREAM = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx would buffer the events
)


class _Held:
    """An awaitable that is already done."""

    def __await__(self) -> Generator[Any, Any, None]:
        return
        yield


HELD = _Held()


class ClientLeft(Exception):
    """The client has closed the connection, and can't be answered."""


class Visit:
    """One client's request, and how far it has been answered.

    Attributes:
        scope: the request's, as ASGI has it.
        method, path: the request's; the path without a version prefix and without the path at which the app is mounted.
        asked: the path as the client sent it.
        headers: the request's, names in lower case; of several with one name the last.
        client_id: the client's own id for the request, its `x-request-id`; None if it sent none, or one that can't be sent on.
        request_id: sent as `x-request-id`: the client's own, or a new one; an endpoint's, once it has answered with one.
        room: headers that say how many calls are possible now, sent unless an endpoint has sent its own.
        route: the route of the path; None until it is known, and if there is none.
        model: the model that is asked for; None until it is known to be served, since a client can ask for any name.
        events: the encoder of the stream that answers; None until there is one.
        status: of the response, None until it has begun.
        started_at, first_chunk_at, ended_at: `time.monotonic()` values, None for what has not happened.
        uploads: the files in the request; closed when it ends.
        chunks: how many chunks of a stream have been sent.
        was_read: whether the whole body has arrived.
        has_left: whether the client is known to have left.
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
        self.was_read: bool = False
        self.uploads: list[Upload] = []
        self.has_left: bool = False
        self._body: bytes | None = None  # once it has been read ahead
        self._passed_on: list[tuple[bytes, bytes]] = []
        self._sending = self._is_ending = False
        self._comment_sent: anyio.Event | None = None  # set when it has been sent; None while no comment is being sent
        self._held: list[bytes] = []  # chunks to be sent before the work of `while_connected` waits
        self._held_bytes = 0
        self._may_hold = False

    def client_request(self, body: dict[str, Any]) -> ClientRequest:
        """What a handler may know about the client."""
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
        """Answer with the headers that an endpoint sent, names in lower case, and with its id for the request."""
        self._passed_on = passed_on(headers)
        if request_id is not None and is_safe(request_id):
            self.request_id = request_id

    def end(self, outcome: Outcome) -> None:
        """Set how it ended, unless that is set already."""
        if self.outcome is None:
            self.outcome, self.ended_at = outcome, time.monotonic()

    async def read_ahead(self, max_bytes: int) -> None:
        """Read the body before it is needed: the client's leaving can only be noticed after the body. Raises as `read`."""
        self._body = await self.read(max_bytes)

    async def read(self, max_bytes: int) -> bytes:
        """The request's body, decompressed.

        Raises:
            BadRequestError: it is longer than `max_bytes`, as it came or decompressed (413), has a `content-encoding` that is
                not supported (415), or is not encoded that way.
            ClientLeft: the client left before the end of the body.
        """
        if self._body is not None:
            body, self._body = self._body, None  # free it: the answer may take long
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
        self.was_read = True
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        return body if undo is None else await undo(body)

    async def next_piece(self, max_bytes: int) -> tuple[bytes, bool]:
        """The next bytes of the request's body, and whether there are more; all at once if the client compressed them.

        Raises: as `read`.
        """
        if self._body is not None or b"content-encoding" in self.headers:
            return await self.read(max_bytes), False
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        more = message.get("more_body", False)
        self.was_read = not more
        return message.get("body", b""), more

    async def respond(
        self, body: bytes, status: int = 200, *, media_type: str = JSON, headers: Iterable[tuple[bytes, bytes]] = ()
    ) -> None:
        """Send a whole response."""
        about_body = ((b"content-type", media_type.encode()), (b"content-length", b"%d" % len(body)))
        await self._start(status, [*about_body, *headers])
        await self._send_body(body, more=False)

    async def send_event(self, data: bytes, chunks: int = 1) -> None:
        """Send the bytes of a stream's next chunks, if there are any; waits for a client that reads slowly.

        The response's head is sent before the first of them.
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
        """As `send_event`, but at the latest when the work of `while_connected` waits. Only for the task of that work."""
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
        """As `send_soon`; but if the ASGI server takes the bytes without waiting, they are sent when this returns."""
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
        """Begin a stream before its first chunk, with a comment; does nothing if it has begun.

        Cancellation does not interrupt this, for at most `OPENING_SECONDS`: it would be unknown how much was sent.
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
        """Send the last bytes of a stream. After that, ASGI servers report that the client has left."""
        if self.status is None:
            await self._start(200, EVENT_STREAM)
        if self._comment_sent is not None:
            await self._comment_sent.wait()
        self._sending = self._is_ending = True  # for good: no comment comes after the end
        await self._send_body(self._take_held() + data if self._held else data, more=False)

    def while_connected(
        self, work: Callable[[], Coroutine[Any, Any, T]], keepalive_seconds: float | None = None
    ) -> Awaitable[T | None]:
        """Run `work`, and return its result. When the client leaves, cancel it at once, set `has_left` and return None.

        Args:
            work: its errors are raised as they are.
            keepalive_seconds: the longest silence in a stream that has begun: after it a comment is sent; None for no limit.
        """
        self._may_hold = _loops.sees_waits()
        return _loops.run_unless(partial(self._attend, keepalive_seconds), work, self._held, self._send_held)

    async def _send_held(self) -> bool:
        """Send the chunks that are held. Returns False if the client has left."""
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
        """Wait until the client has left; twice in `keepalive_seconds`, send a comment if no chunk was sent since."""
        tick = None if keepalive_seconds is None else keepalive_seconds / 2
        chunks_seen = 0
        while True:
            with anyio.move_on_after(tick):
                message = await self._receive()
                if message["type"] == "http.disconnect":
                    if self._is_ending:  # some servers report this while they send the last bytes
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
        self._sending = True  # no comment is sent before the head is
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
    """The id that a client gave to its request; None if it gave none, or one that can't be sent."""
    given = headers.get(CLIENTS_ID, b"").decode("latin-1").strip()
    return given if 0 < len(given) <= MOST_ID and is_safe(given) else None


def _path_of(scope: Scope) -> str:
    path: str = scope["path"]
    mounted_at: str = scope.get("root_path", "").rstrip("/")  # in ASGI, the path begins with it too
    if path.startswith(f"{mounted_at}/"):
        path = path[len(mounted_at) :]
    return path.removeprefix("/v1") if path.startswith("/v1/") else path
