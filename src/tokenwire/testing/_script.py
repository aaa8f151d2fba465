"""The requests and replies of an endpoint's script, without I/O.

A script is a function from `Received` to `Reply`. The most common one is a sequence of replies (`in_order`).
"""

import itertools
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias, get_args

import msgspec

from ._payloads import chunk, chunks, completion

Framing: TypeAlias = Literal["chunked", "close", "length"]
Encoding: TypeAlias = Literal["gzip", "deflate"]
Cut: TypeAlias = Literal["fin", "rst"]
EventItem: TypeAlias = dict[str, Any] | str | bytes

DONE_EVENT = b"data: [DONE]\n\n"

_encode_json = msgspec.json.Encoder().encode


class Received:
    """One request that reached the endpoint.

    Attributes:
        method: such as "POST".
        path: the target up to the question mark, as sent: "/v1/chat/completions".
        query: the part after the question mark, "" if there is none.
        headers: by name in lower case; repeated ones joined by ", ".
        body: the bytes, without chunked coding.
        connection: the number of its connection, counted from 1; the same number means a reused connection.
        reply: the reply; None until the script has been called.
        arrived_at: when it had arrived completely, a `time.monotonic()` value. The differences between requests show how
            long a client waited between its attempts.
        silent: True while nothing of the reply is written: it is delayed, between two events, or stalled.
        ended_at: when the exchange ended; None before.
        closed: set when the exchange has ended, in any way: the reply was written, the client disconnected, or the
            endpoint closed.
        aborted: True if the client disconnected before the reply was fully written. Final once `closed` is set.
    """

    def __init__(self, method: str, target: str, headers: dict[str, str], body: bytes, connection: int) -> None:
        self.method = method
        path, _, query = target.partition("?")
        self.path: str = path
        self.query: str = query
        self.headers = headers
        self.body = body
        self.connection = connection
        self.reply: Reply | None = None
        self.arrived_at: float = time.monotonic()
        self.silent = False
        self.ended_at: float | None = None
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


class Visit:
    """One connection that a client opened.

    Attributes:
        number: counted from 1; `Received.connection` refers to it.
        opened_at: when it was accepted, a `time.monotonic()` value.
        closed_at: when it ended; None while it is open.
        closed_by: "client" or "endpoint"; None while it is open.
        error: OpenSSL's message if the TLS handshake failed; None if no failure is known.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.opened_at: float = time.monotonic()
        self.closed_at: float | None = None
        self.closed_by: Literal["client", "endpoint"] | None = None
        self.error: str | None = None

    def __repr__(self) -> str:
        state = "open" if self.closed_by is None else f"closed by the {self.closed_by}"
        return f"<Visit {self.number}, {state}>"


class Reply(msgspec.Struct, kw_only=True):
    """The endpoint's reply to one request, with its faults.

    At most one of `text`, `json`, `body`, `events` and `raw` is given; without any the body is empty.

    Attributes:
        status: the HTTP status.
        headers: sent in addition to the usual ones, or replacing those of the same name.
        text: a chat completion with this text: in chunks (see `chunks`) for a request with `"stream": true`, whole (see
            `completion`) for any other.
        json: any JSON value, sent as `application/json`.
        body: bytes, sent without a content type unless `headers` has one.
        events: sent as `text/event-stream`, each event in a separate write. A dict becomes the JSON of one event, a str a
            content chunk (see `chunk`), and bytes are written unchanged (see `event`).
        raw: the bytes of the whole response, including the head: for an incomplete head, or something other than HTTP.
            `status`, `headers`, `framing` and `encoding` are ignored then.
        done: whether `data: [DONE]` follows the events.
        forever: repeat the body until the client disconnects, or up to `after` pieces. No `[DONE]` follows.
        delay: seconds before the head.
        first_delay: seconds between the head and the body: the wait for the first token.
        event_delay: seconds between events.
        framing: how the body's end is marked. None means "chunked" for events and with `forever`, otherwise "length". An
            HTTP/1.0 client gets "close" instead of "chunked".
        encoding: compress the body, and set `content-encoding`; each event can be decompressed when it arrives.
        cut: end the connection after the last event (`[DONE]` is one), with a FIN or a reset, and without the
            terminating chunk. With the framing "length", `content-length` is then one byte too large.
        stall: after the last event, keep the connection open and silent until the client disconnects or the endpoint
            closes. The body is incomplete, as with `cut`.
        after: cut or stall after this many events (writes of the body; `[DONE]` is one), not after the last.
        after_bytes: cut or stall after this many bytes of the body (before compression), which may be within an event or
            a JSON value; or after `after` events, whichever comes first.
        drip: write head and body in pieces of that many bytes.

    Raises:
        ValueError, TypeError: a value is wrong.
    """

    status: int = 200
    headers: Mapping[str, str] = {}
    text: str | None = None
    json: Any = msgspec.UNSET
    body: bytes | None = None
    events: Sequence[EventItem] | None = None
    raw: bytes | None = None
    done: bool = True
    forever: bool = False
    delay: float = 0.0
    first_delay: float = 0.0
    event_delay: float = 0.0
    framing: Framing | None = None
    encoding: Encoding | None = None
    cut: Cut | None = None
    stall: bool = False
    after: int | None = None
    after_bytes: int | None = None
    drip: int | None = None

    def __post_init__(self) -> None:
        # Raised here, in the test that makes the reply, not later in the endpoint's thread.
        answers = (self.text, self.body, self.events, self.raw)
        if sum(answer is not None for answer in answers) + (self.json is not msgspec.UNSET) > 1:
            raise ValueError("a reply can have only one of text, json, body, events and raw")
        _require_choice("framing", self.framing, get_args(Framing))
        _require_choice("encoding", self.encoding, get_args(Encoding))
        _require_choice("cut", self.cut, get_args(Cut))
        self._require_an_end()
        if self.drip is not None and self.drip < 1:
            raise ValueError(f"drip must be at least 1 byte, not {self.drip}")
        for name in ("delay", "first_delay", "event_delay", "after", "after_bytes"):
            if (value := getattr(self, name)) is not None and value < 0:
                raise ValueError(f"{name} must not be negative, but is {value}")
        for item in self.events or ():
            _require_event(item)

    def _require_an_end(self) -> None:
        if self.cut and self.stall:
            raise ValueError("a reply that stalls is never cut")
        if (self.after, self.after_bytes) != (None, None) and self.ends_well:
            raise ValueError("after and after_bytes need cut or stall: they are where a reply is cut or stalls")
        if self.forever and (self.framing == "length" or not any(self._body())):
            raise ValueError("forever needs a body, and can't have the framing length")

    @property
    def ends_well(self) -> bool:
        """Whether the connection can be reused after it."""
        return self.cut is None and not self.stall

    @property
    def is_complete(self) -> bool:
        """Whether the body is sent to its end."""
        return self.ends_well and not self.forever

    def answering(self, request_body: bytes) -> "Reply":
        """This reply with its `text` converted for the request: streamed or whole."""
        if self.text is None:
            return self
        if _asks_for_a_stream(request_body):
            return msgspec.structs.replace(self, text=None, events=chunks(self.text))
        return msgspec.structs.replace(self, text=None, json=completion(self.text))

    def content_type(self) -> str | None:
        """The content type for the kind of body."""
        if self.events is not None:
            return "text/event-stream"
        return None if self.json is msgspec.UNSET else "application/json"

    def pieces(self) -> Iterator[bytes]:
        """The body in the pieces in which it is written; may be infinite."""
        pieces = [piece for piece in self._body() if piece]
        written = itertools.islice(itertools.cycle(pieces) if self.forever else pieces, self.after)
        return written if self.after_bytes is None else _start(written, self.after_bytes)

    def whole_pieces(self) -> Iterator[bytes]:
        """The complete body in pieces, without `cut` or `stall`."""
        return (piece for piece in self._body() if piece)

    def _body(self) -> list[bytes]:
        if self.events is not None:
            return [_encode_event(item) for item in self.events] + [DONE_EVENT] * (self.done and not self.forever)
        if self.json is not msgspec.UNSET:
            return [_encode_json(self.json)]
        if self.text is not None:
            return [self.text.encode()]  # a placeholder: the request decides the form
        return [self.raw or self.body or b""]


def _asks_for_a_stream(request_body: bytes) -> bool:
    try:
        fields = msgspec.json.decode(request_body)
    except msgspec.DecodeError:
        return False
    return isinstance(fields, dict) and fields.get("stream") is True


def _start(pieces: Iterable[bytes], size: int) -> Iterator[bytes]:
    for piece in pieces:
        if size <= 0:
            return
        yield piece[:size]
        size -= len(piece)


def _require_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value is not None and value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, not {value!r}")


def _require_event(item: object) -> None:
    if not isinstance(item, dict | str | bytes):
        raise TypeError(f"an event is a dict, a str or bytes, not {type(item).__name__}")


def _encode_event(item: EventItem) -> bytes:
    if isinstance(item, bytes):
        return item
    return b"data: " + _encode_json(chunk(item) if isinstance(item, str) else item) + b"\n\n"


Script: TypeAlias = Callable[[Received], Reply]


def in_order(replies: Iterable[Reply]) -> Script:
    """A script that returns one reply for each request, and repeats the last one.

    Raises:
        ValueError: there is no reply.
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
