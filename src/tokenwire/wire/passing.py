"""An endpoint's events as they came, for a client who asked in the endpoint's own dialect.

They are decoded all the same: only so is it known whether there is content, how the stream ends and what it used. What goes
on are the bytes of each read, cut where an event ends, so that a client never has half of one. An event that is an error
does not go on, since whoever answers the client has words of its own for that; the event that ends the stream goes on by
itself, to be sent when the stream has been found complete.
"""

import re
from typing import Any, Final

import msgspec

from .dialect import EventDecoder
from .sse import Payload, SSEDecoder

# Where an event may end: LF, CR and both end lines. What mixes them within an event's end arrives late, but whole.
_END: Final = re.compile(rb"\n\n|\n\r\n|\r\r")
_ENDS_WITH_CR: Final = (b"\n\r\n", b"\r\r")
_LONGEST_END: Final = 3
_CR: Final = 13  # as a number: that is found eight times as fast
_BOM: Final = b"\xef\xbb\xbf"


class Sent(msgspec.Struct, gc=False):
    """Events as an endpoint sent them: what a stream has in place of chunks.

    Attributes:
        data: their bytes.
        events: how many there are.
        chunks: what they bring. A str stands for a chunk that brings text for choice 0 and nothing else.
        is_last: whether this is the event that ends the stream.
    """

    data: bytes
    events: int
    chunks: list[Any]
    is_last: bool = False


def chunks_in(parts: list[Any]) -> int:
    """How many chunks a batch has, of which some may have come as an endpoint's events."""
    if len(parts) == 1 and type(parts[0]) is Sent:  # the usual case
        return len(parts[0].chunks)
    return sum([len(part.chunks) if type(part) is Sent else 1 for part in parts])


class Passing:
    """Splits the events of one stream, and has them decoded, in the place of an `SSEDecoder` and of its decoder's `decode`.

    Args:
        decoder: of the endpoint's dialect.
        max_event_bytes: as for `SSEDecoder`.

    Attributes:
        outgrown: as an `SSEDecoder`'s.
    """

    __slots__ = ("_data", "_decoder", "_events", "_max_event_bytes", "_tail")

    def __init__(self, decoder: EventDecoder, max_event_bytes: int) -> None:
        self._decoder = decoder
        self._events = SSEDecoder(max_event_bytes=max_event_bytes, names=decoder.reads_names)
        self._max_event_bytes = max_event_bytes
        self._tail = bytearray()  # of an event that is still coming in
        self._data = b""  # whole events, which `decode` is to be called with next

    @property
    def outgrown(self) -> bool:
        """See `SSEDecoder`."""
        return self._events.outgrown

    def feed_data(self, data: bytes) -> list[Payload]:
        """The events that these bytes complete. Raises as `SSEDecoder.feed_data`."""
        if self._tail or not data.endswith(b"\n\n"):
            data = self._whole(data)
        self._data = data
        return self._events.feed_data(data)

    def feed_eof(self) -> list[Payload]:
        """As `SSEDecoder.feed_eof`, but without an event that was cut before its data."""
        tail = bytes(self._tail)
        self._tail.clear()
        self._data = tail.rstrip(b"\r\n") + b"\n\n"
        events = self._events.feed_data(tail) + self._events.feed_eof()
        return [event for event in events if event and (isinstance(event, bytes) or event.data)]

    def decode(self, events: list[Payload]) -> list[Any]:
        """What is handed out for the events that were split last; the decoder says what else was there."""
        data, self._data = self._data, b""
        if not events:
            return []
        decoder = self._decoder
        chunks = decoder.decode(events)
        if not decoder.done and decoder.error is None:
            return [Sent(data.removeprefix(_BOM), len(events), chunks)]
        before, last = _parted(data.removeprefix(_BOM), decoder.unread)
        count = len(events) - decoder.unread - 1
        passed = [Sent(before, count, chunks)] if count else []
        if decoder.done:
            passed.append(Sent(last, 1, [] if passed else chunks, is_last=True))
        return passed

    def _whole(self, data: bytes) -> bytes:
        """As much of what has come as ends an event; the rest is kept, and searched no more than once."""
        tail = self._tail
        searched = max(len(tail) - _LONGEST_END + 1, 0)
        tail += data
        end = _after(tail, b"\n\n", searched)
        if _CR in tail[searched:]:
            end = max(end, *[_after(tail, mark, searched) for mark in _ENDS_WITH_CR])
        if len(tail) - end > self._max_event_bytes:
            end = len(tail)  # for the decoder to refuse
        whole = bytes(tail[:end])
        del tail[:end]
        return whole


def _after(data: bytearray, mark: bytes, start: int) -> int:
    """Where the last of these marks ends; 0 where there is none."""
    at = data.rfind(mark, start)
    return 0 if at < 0 else at + len(mark)


def _parted(data: bytes, unread: int) -> tuple[bytes, bytes]:
    """What stands before an event, and the event's bytes; so many events come after it."""
    ends = [0, *[found.end() for found in _END.finditer(data)]]
    for start, end in zip(ends[-2::-1], ends[:0:-1], strict=True):
        if SSEDecoder().feed_data(data[start:end]):  # else it is a comment
            if not unread:
                return data[:start], data[start:end]
            unread -= 1
    raise AssertionError("each event has an end")
