"""What an endpoint's script sees, and what it answers; no I/O.

A script is a function from `Received` to `Reply`. A sequence of replies is the commonest one (`in_order`).
"""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, get_args

import msgspec

from ._payloads import chunk

Framing: TypeAlias = Literal["chunked", "close", "length"]
Cut: TypeAlias = Literal["fin", "rst"]
EventItem: TypeAlias = dict[str, Any] | str | bytes

DONE_EVENT = b"data: [DONE]\n\n"

_encode_json = msgspec.json.Encoder().encode


class Received:
    """One request that reached the endpoint.

    Attributes:
        method: "POST".
        path: the target up to the question mark, as sent: "/v1/chat/completions".
        query: what follows the question mark, "" when nothing does.
        headers: by lower-case name; repeated ones joined with ", ".
        body: the bytes, freed of any chunked coding.
        connection: the serial number of its connection, counted from 1; equal numbers mean a reused connection.
        closed: set when the exchange has ended, in whatever way: the reply was written, the client left, or the
            endpoint closed.
        aborted: True once the client went away before the reply was fully written. Stable when `closed` is set.
    """

    def __init__(self, method: str, target: str, headers: dict[str, str], body: bytes, connection: int) -> None:
        self.method = method
        path, _, query = target.partition("?")
        self.path: str = path
        self.query: str = query
        self.headers = headers
        self.body = body
        self.connection = connection
        self.closed: threading.Event = threading.Event()
        self.aborted = False

    def json(self) -> Any:
        """The body decoded as JSON.

        Raises:
            msgspec.DecodeError: the body is not JSON.
        """
        return msgspec.json.decode(self.body)

    def __repr__(self) -> str:
        return f"<Received {self.method} {self.path} on connection {self.connection}, {len(self.body)} bytes>"


class Reply(msgspec.Struct, kw_only=True):
    """What the endpoint answers to one request, and how badly.

    At most one of `json`, `body` and `events` is the body; with none of them it is empty.

    Attributes:
        status: the HTTP status.
        headers: sent beside the usual ones, and in their place where the names are equal.
        json: any JSON value, sent as `application/json`.
        body: bytes, sent without a content type unless `headers` has one.
        events: sent as `text/event-stream`, each event in a write of its own. A dict becomes the JSON of one event, a
            str a content chunk (see `chunk`), and bytes are written as they are.
        done: whether `data: [DONE]` follows the events.
        delay: seconds before the head.
        event_delay: seconds between events.
        framing: how the client learns where the body ends. None is "chunked" for events and "length" for the rest.
            A client of HTTP/1.0 gets "close" in place of "chunked".
        cut: end the connection after the last event (`[DONE]` is one), with a FIN or a reset, and without
            the terminating chunk. A framing of "length" then promises a byte more than comes.
        stall: after the last event, keep the connection open and silent until the client leaves or the endpoint
            closes. The body is as unfinished as a cut one.
        drip: write head and body that many bytes at a time.

    Raises:
        ValueError, TypeError: a value is not as described.
    """

    status: int = 200
    headers: Mapping[str, str] = {}
    json: Any = msgspec.UNSET
    body: bytes | None = None
    events: Sequence[EventItem] | None = None
    done: bool = True
    delay: float = 0.0
    event_delay: float = 0.0
    framing: Framing | None = None
    cut: Cut | None = None
    stall: bool = False
    drip: int | None = None

    def __post_init__(self) -> None:
        # Raised here, in the test that wrote the reply, rather than later in the endpoint's thread.
        if sum((self.json is not msgspec.UNSET, self.body is not None, self.events is not None)) > 1:
            raise ValueError("a reply has one of json, body and events")
        _require_choice("framing", self.framing, get_args(Framing))
        _require_choice("cut", self.cut, get_args(Cut))
        if self.cut and self.stall:
            raise ValueError("a reply that stalls is never cut")
        if self.drip is not None and self.drip < 1:
            raise ValueError(f"drip must be at least 1 byte, not {self.drip}")
        if self.delay < 0 or self.event_delay < 0:
            raise ValueError("delays must not be negative")
        for item in self.events or ():
            _require_event(item)

    @property
    def is_complete(self) -> bool:
        """Whether the body is brought to its end."""
        return self.cut is None and not self.stall

    def content_type(self) -> str | None:
        """The content type that goes with the kind of body."""
        if self.events is not None:
            return "text/event-stream"
        return None if self.json is msgspec.UNSET else "application/json"

    def pieces(self) -> list[bytes]:
        """The body in the pieces that are written one by one."""
        if self.events is not None:
            return [_encode_event(item) for item in self.events] + [DONE_EVENT] * self.done
        if self.json is not msgspec.UNSET:
            return [_encode_json(self.json)]
        return [self.body] if self.body else []


def _require_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if value is not None and value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, not {value!r}")


def _require_event(item: Any) -> None:
    if not isinstance(item, dict | str | bytes):
        raise TypeError(f"an event is a dict, a str or bytes, not {type(item).__name__}")


def _encode_event(item: EventItem) -> bytes:
    if isinstance(item, bytes):
        return item
    return b"data: " + _encode_json(chunk(item) if isinstance(item, str) else item) + b"\n\n"


Script: TypeAlias = Callable[[Received], Reply]


def in_order(replies: Iterable[Reply]) -> Script:
    """A script that gives one reply to each request, and the last one again and again.

    Raises:
        ValueError: there is no reply at all.
    """
    remaining = iter(replies)
    first = next(remaining, None)
    if first is None:
        raise ValueError("an endpoint needs at least one reply")
    upcoming = first

    def answer(_: Received) -> Reply:
        nonlocal upcoming
        reply, upcoming = upcoming, next(remaining, upcoming)
        return reply

    return answer
