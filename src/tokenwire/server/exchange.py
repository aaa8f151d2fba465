"""The client at the other end of one HTTP request, as ASGI has it.

It can leave at any moment: what takes long is run by `while_connected`, beside one task that waits for the
client's leaving and, once a stream has begun, sends a comment whenever the handler has been silent for long. That task
is the only thing a request costs beyond its own work; a chunk costs no task, timer or lock.
"""

import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Literal, TypeAlias, TypeVar
from uuid import uuid4

import anyio
import msgspec

from tokenwire import BadRequestError

T = TypeVar("T")

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Outcome: TypeAlias = Literal["complete", "truncated", "error", "cancelled"]

JSON = (b"content-type", b"application/json")
EVENT_STREAM = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx would hold the events back
)
KEEP_ALIVE = b": keep-alive\n\n"


class ClientLeft(Exception):
    """The client has closed the connection; there is nobody to answer."""


class Exchange:
    """One request, its client, and what has become of it.

    Attributes:
        method, path: of the request; the path without a version prefix and without where the app is mounted.
        headers: the request's, names in lower case; of several with one name the last.
        request_id: sent as `x-request-id`.
        model: the model asked for, None until it is known to be one that is served: a client can ask for anything.
        streamed: whether the client asked for a stream.
        status: of the response, None until it has begun.
        started_at, first_chunk_at, ended_at: `time.monotonic()` values, None for what has not happened.
        chunks: how many chunks of a stream have been sent.
        outcome: "complete", "truncated", "error" or "cancelled" (the client left), None while it goes on.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.started_at: float = time.monotonic()
        self.method: str = scope["method"]
        self.path: str = _path_of(scope)
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.request_id: str = f"req_{uuid4().hex}"
        self.model: str | None = None
        self.streamed: bool = False
        self.status: int | None = None
        self.first_chunk_at: float | None = None
        self.ended_at: float | None = None
        self.chunks: int = 0
        self.outcome: Outcome | None = None
        self._receive, self._send = receive, send
        self._left = False
        self._sending = False
        self._comment_sent: anyio.Event | None = None  # while a comment is on its way

    def end(self, outcome: Outcome) -> None:
        """Say how it ended; the first word counts."""
        if self.outcome is None:
            self.outcome, self.ended_at = outcome, time.monotonic()

    async def read(self, max_bytes: int) -> bytes:
        """The request's body.

        Raises:
            BadRequestError: it is longer than `max_bytes` (413).
            ClientLeft: it never came to its end.
        """
        length = self.headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > max_bytes:
            raise _too_large(max_bytes)
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
                raise _too_large(max_bytes)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def respond(self, status: int, body: bytes, headers: Iterable[tuple[bytes, bytes]] = (JSON,)) -> None:
        """Send a whole response."""
        await self._start(status, [*headers, (b"content-length", b"%d" % len(body))])
        await self._send_body(body, more=False)

    async def respond_json(self, value: Any, status: int = 200) -> None:
        """Send a whole response with a value as JSON."""
        await self.respond(status, msgspec.json.encode(value))

    async def send_event(self, data: bytes, chunks: int = 1) -> None:
        """Send the bytes of a stream's next chunks, behind the response's head if they are its first; waits for a slow reader."""
        if self.status is None:
            self.first_chunk_at = time.monotonic()
            await self._start(200, EVENT_STREAM)
        if self._comment_sent is not None:
            await self._comment_sent.wait()
        self._sending = True
        try:
            await self._send({"type": "http.response.body", "body": data, "more_body": True})
        except OSError:
            raise ClientLeft from None
        self._sending = False
        self.chunks += chunks

    async def end_stream(self, data: bytes) -> None:
        """Send the last bytes of a stream. Servers call the client gone from then on."""
        if self.status is None:
            await self._start(200, EVENT_STREAM)
        if self._comment_sent is not None:
            await self._comment_sent.wait()
        self._sending = True  # for good: no comment comes after the end
        await self._send_body(data, more=False)

    async def while_connected(self, work: Callable[[], Awaitable[T]], keepalive_seconds: float | None = None) -> T:
        """Run `work` for as long as the client is there; it is cancelled at once when the client leaves.

        Args:
            work: raises what it likes.
            keepalive_seconds: a stream that has begun is never silent for longer than this; None lets it be.

        Raises:
            ClientLeft: the client did.
        """
        result: Any = None
        failure: Exception | None = None

        async def run() -> None:
            nonlocal result, failure
            try:
                result = await work()
            except Exception as error:  # noqa: BLE001  (a task group would wrap it in a group)
                failure = error
            tasks.cancel_scope.cancel("answered")  # with a reason, or anyio looks for one in the task's repr

        # The work has the task of its own, not the watch: a chunk then wakes none of the coroutines that lead to here.
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            await self._attend(tasks.cancel_scope, keepalive_seconds)
        if self._left:
            raise ClientLeft
        if failure is not None:
            raise failure
        return result

    async def _attend(self, work: anyio.CancelScope, keepalive_seconds: float | None) -> None:
        """Wait for the client's leaving; twice in `keepalive_seconds`, look whether the stream has moved on."""
        tick = None if keepalive_seconds is None else keepalive_seconds / 2
        chunks_seen = 0
        while True:
            with anyio.move_on_after(tick):
                message = await self._receive()
                if message["type"] == "http.disconnect":
                    self._left = True
                    work.cancel("the client left")
                    return
                continue
            if self.status is not None and not self._sending and self.chunks == chunks_seen:
                await self._send_comment()
            chunks_seen = self.chunks

    async def _send_comment(self) -> None:
        self._comment_sent = anyio.Event()
        try:
            await self._send_body(KEEP_ALIVE, more=True)
        finally:
            self._comment_sent.set()
            self._comment_sent = None

    async def _start(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self.status = status
        self._sending = True  # no comment comes beside the head
        head = [*headers, (b"x-request-id", self.request_id.encode())]
        try:
            await self._send({"type": "http.response.start", "status": status, "headers": head})
        except OSError:  # how ASGI servers may say that the client has left
            raise ClientLeft from None
        self._sending = False

    async def _send_body(self, data: bytes, *, more: bool) -> None:
        try:
            await self._send({"type": "http.response.body", "body": data, "more_body": more})
        except OSError:
            raise ClientLeft from None


def _path_of(scope: Scope) -> str:
    path: str = scope["path"]
    mounted_at: str = scope.get("root_path", "").rstrip("/")  # ASGI has it in front of the path as well
    if path.startswith(f"{mounted_at}/"):
        path = path[len(mounted_at) :]
    return path.removeprefix("/v1") if path.startswith("/v1/") else path


def _too_large(max_bytes: int) -> BadRequestError:
    return BadRequestError(f"the request's body is larger than {max_bytes} bytes", status_code=413, code="request_too_large")
