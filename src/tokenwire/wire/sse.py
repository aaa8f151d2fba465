"""Bytes of an event stream in, event payloads out.

Lives here: the parsing rules of the HTML standard's server-sent events, section "Parsing an event stream". Not here: I/O,
decoding a payload, reconnecting.

Nearly every event of a model's stream is one line, `data: {...}`, then an empty line, so that is the hot path: a read that
has only such events is split in C; instead of reading lines, it is checked that no payload contains a line end.
Everything else takes the slow path, line by line:

- Line ends become LF on arrival. A CR ends its line at once; an LF that follows it is dropped, even in the next read.
- `_tail` is the incomplete last line. Its bytes are searched for a line end once, when they arrive, and moved once, when
  the line ends: so even single bytes take linear time.
- The other underscored attributes are the incomplete event. `_idle` is true if there is no such event, no such line and no
  other state, so that the next read may take the hot path.

Extensions of the standard: the event at the end of the stream is returned even without its empty line (`feed_eof`), and an
`id` or `retry` in a block without data, which is not an event, is part of the next event.
"""

from typing import Any, TypeAlias

import msgspec

from ..exceptions import LimitExceededError

# As numbers: `13 in data` is eight times as fast as `b"\r" in data`, which first tries to convert b"\r" to a number.
_CR, _LF = b"\r\n"
_BOM = b"\xef\xbb\xbf"
_LONGEST_RETRY = 18  # digits; a longer number makes no sense, and int() refuses very long ones


class Event(msgspec.Struct, frozen=True, gc=False):
    """An event with other fields than its data.

    Attributes:
        data: the data lines, joined by LF.
        event: the event's type.
        id: the id in this event, or before it in a block without data; None if there was none.
        retry: milliseconds to wait before reconnecting, from the same places; None if there was none.
    """

    data: bytes
    event: str = "message"
    id: str | None = None
    retry: int | None = None


Payload: TypeAlias = bytes | Event


class SSEDecoder:
    """Parses the bytes of one event stream.

    A plain event (of type "message", without id and retry) is returned as its data, as `bytes`; any other as an `Event`.
    The events do not depend on how the stream is split into reads. Data is not decoded: it is the bytes as sent.

    Args:
        max_event_bytes: the most bytes that the data lines of one event and the incomplete line may have together. No
            more than that is buffered; a longer event ends the decoder.
        names: whether to return the types of events. If False, an event of any type is returned as its data: some APIs
            have the type in the data as well.

    Attributes:
        last_event_id: the id that a reconnecting client would send as `Last-Event-ID`, "" if there is none.
        outgrown: whether an event was longer than the limit, so that the next call will raise.
    """

    __slots__ = (
        "_after_cr",
        "_at_start",
        "_data",
        "_event",
        "_id",
        "_idle",
        "_max_event_bytes",
        "_names",
        "_retry",
        "_size",
        "_tail",
        "last_event_id",
        "outgrown",
    )

    def __init__(self, *, max_event_bytes: int = 64 * 1024 * 1024, names: bool = True) -> None:
        self.last_event_id: str = ""
        self._max_event_bytes = max_event_bytes
        self._names = names
        self.outgrown: bool = False
        self._reset()

    def _reset(self) -> None:
        self._idle = False  # a byte order mark may be first
        self._at_start = True
        self._after_cr = False
        self._tail = bytearray()
        self._data: list[bytes] = []
        self._size = 0
        self._event = ""
        self._id: str | None = None
        self._retry: int | None = None

    def feed_data(self, data: bytes) -> list[Payload]:
        """Parse the next bytes of the stream.

        Returns:
            The events that these bytes complete, in order. Data may be b"", which is an event by the standard.

        Raises:
            LimitExceededError: an event was longer than `max_event_bytes`. Events before it are returned first, and the
                next call raises the error. The decoder can't be used afterwards.
        """
        # If the first read begins with an event's field, there is no byte order mark.
        if (self._idle or (self._at_start and not self._tail)) and len(data) <= self._max_event_bytes:
            plain = _split_plain(data)
            if plain is None and not self._names:
                plain = _split_named(data)
            if plain is not None:
                self._idle, self._at_start = True, False
                return plain
        return self._feed_slowly(data)

    def feed_eof(self) -> list[Payload]:
        """End the stream, and be ready for another one.

        An event without its empty line is returned as far as it has arrived, even in the middle of a line: decoding its
        data shows whether it was complete. An unfinished block without data is dropped, with its id. `last_event_id` is
        kept, for a client that reconnects.

        Returns:
            The last event, or nothing.

        Raises:
            LimitExceededError: an event was longer than `max_event_bytes`.
        """
        self._check_size(0)
        events: list[Payload] = []
        if self._tail:
            self._read_line(bytes(self._tail))
        if self._data:
            self._end_event(events)
        self._reset()
        return events

    def _feed_slowly(self, data: bytes) -> list[Payload]:
        events: list[Payload] = []
        self._idle = False
        try:
            self._read(data, events)
        except LimitExceededError:
            self._tail, self._data = bytearray(), []  # free the memory at once
            if not events:
                raise
        else:
            self._idle = self._is_between_events() and not (self._tail or self._after_cr or self._at_start)
        return events

    def _is_between_events(self) -> bool:
        return not self._data and not self._event and self._id is None and self._retry is None

    def _read(self, data: bytes, events: list[Payload]) -> None:
        self._check_size(0)
        if self._after_cr or _CR in data:
            data = self._with_lf_only(data)
        if self._at_start:
            data = self._without_bom(data)
        if _LF in data:
            if self._tail:
                data = bytes(self._tail) + data
                self._tail.clear()
            self._read_blocks(data, events)
        else:
            self._tail += data
        self._check_size(len(self._tail))

    def _with_lf_only(self, data: bytes) -> bytes:
        if not data:
            return data
        if self._after_cr and data.startswith(b"\n"):
            data = data[1:]
        self._after_cr = data.endswith(b"\r")
        lines = data.splitlines()
        if data[-1:] in (b"\r", b"\n"):
            lines.append(b"")
        return b"\n".join(lines)

    def _without_bom(self, data: bytes) -> bytes:
        data = bytes(self._tail) + data
        self._tail.clear()
        self._at_start = len(data) < len(_BOM) and _BOM.startswith(data)  # it may still become one
        return data.removeprefix(_BOM)

    def _read_blocks(self, data: bytes, events: list[Payload]) -> None:
        """Read `data`, which begins at a line's start and has a line end: the rest of the open event, then plain events."""
        start = 0
        if not self._is_between_events():
            found = data.find(b"\n\n")  # the end of the open block, with its empty line
            start = 1 if data.startswith(b"\n") else len(data) if found < 0 else found + 2
            self._read_lines(data[:start], events)
        end = data.rfind(b"\n\n", start) + 2
        if self._is_between_events() and end - start <= self._max_event_bytes:
            plain = _split_plain(data[start:end])
            if plain is None and not self._names:
                plain = _split_named(data[start:end])
            if plain is not None:
                events += plain
                start = end
        if start < len(data):
            self._read_lines(data[start:], events)

    def _read_lines(self, data: bytes, events: list[Payload]) -> None:
        lines = data.split(b"\n")
        self._tail += lines.pop()
        for line in lines:
            if line:
                self._read_line(line)
            else:
                self._end_event(events)

    def _read_line(self, line: bytes) -> None:
        self._check_size(len(line))
        name, _, value = line.partition(b":")  # a comment is a line whose name is empty
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            self._size += len(line)
        elif name == b"event":
            self._event = value.decode("utf-8", "replace")
        elif name == b"id":
            if b"\0" not in value:
                self._id = value.decode("utf-8", "replace")
        elif name == b"retry" and value.isdigit() and len(value) <= _LONGEST_RETRY:
            self._retry = int(value)

    def _end_event(self, events: list[Payload]) -> None:
        if self._id is not None:
            self.last_event_id = self._id
        if self._data:
            payload = b"\n".join(self._data)
            event = self._event or "message"
            is_plain = (event == "message" or not self._names) and self._id is None and self._retry is None
            events.append(payload if is_plain else Event(payload, event, self._id, self._retry))
            self._data, self._size, self._id, self._retry = [], 0, None, None
        self._event = ""

    def _check_size(self, line_bytes: int) -> None:
        """Raise if the open event with a line of so many bytes would be too long, or if an event has been before."""
        self.outgrown = self.outgrown or self._size + line_bytes > self._max_event_bytes
        if self.outgrown:
            raise LimitExceededError(
                f"an event is longer than {self._max_event_bytes} bytes; to allow it, increase Limits(max_event_bytes=...)",
                limit="max_event_bytes",
            )


def _split_plain(data: bytes) -> list[Payload] | None:
    """The payloads of `data` if it has only plain events, all with LF or all with CRLF, else None."""
    if data[:6] != b"data: ":
        return None
    if data[-2:] == b"\n\n":
        inside, between = data[6:-2], b"\n\ndata: "
    elif data[-4:] == b"\r\n\r\n":
        inside, between = data[6:-4], b"\r\n\r\ndata: "
    else:
        return None
    if _LF not in inside and _CR not in inside:
        return [inside]
    # rsplit searches for the separator's first byte, which is rare; split for its last, of which JSON is full.
    payloads: list[Any] = inside.rsplit(between)
    text = b"".join(payloads)
    return None if _LF in text or _CR in text else payloads


def _split_named(data: bytes) -> list[Payload] | None:
    """The payloads of `data` if it has only events with a type and one line of data, with LF, else None."""
    if data[:7] != b"event: " or data[-2:] != b"\n\n" or _CR in data:
        return None
    head = data[: data.find(b"\ndata: ") + 7]
    alike: list[Any] = data[len(head) : -2].rsplit(b"\n\n" + head)  # most reads have events of one type
    if _LF not in b"".join(alike) and head.count(b"\n") == 1:
        return alike
    payloads: list[Payload] = []
    for block in data[7:-2].split(b"\n\nevent: "):
        name, _, payload = block.partition(b"\ndata: ")
        if not payload or _LF in name or _LF in payload:
            return None
        payloads.append(payload)
    return payloads
