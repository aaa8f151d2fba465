"""Recognizes events of a stream that differ from an earlier one only in their text.

For readers that forward events as they arrived. The bytes before and after the text (the frame) are compared, and only the
text is decoded. An event with another frame is decoded in full, and its frame is then remembered.
"""

from typing import Any

import msgspec

from ..types._record import own_fields
from ..types.additions import ARGUMENTS, CONTENT, REASONING, Addition
from ..types.chat import ModelResponseStream
from .fields import NULL, OF_EVENTS

EARLY = 8  # events that are decoded in full first: learning a frame would cost a short stream more than it saves
LEARNS = 8  # frames that are learned for one stream: reasoning, text, each tool call

_QUOTE, _BACKSLASH = b'"\\'  # as numbers, which are found ten times as fast

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(ModelResponseStream).decode
_PROBE = "\ue000tokenwire\ue001"
_OF_CHUNK = frozenset({"id", "created", "model", "object", "choices", "system_fingerprint", "service_tier"})
_OF_CHOICE = frozenset({"index", "delta", "logprobs"})
_TEXTS = frozenset({CONTENT, REASONING})


class Frames:
    """The latest frame of a stream's events."""

    __slots__ = ("_after", "_before", "_call", "_early", "_field", "_index", "_learns", "_middle")

    def __init__(self) -> None:
        self._early, self._learns = EARLY, LEARNS
        self._field, self._index, self._call = "", 0, 0  # the `Addition`'s fields
        self._before = self._after = b""  # the bytes around the text; empty until a frame is known
        self._middle = b""  # between the text and padding that varies too; empty without padding

    def addition(self, event: Any) -> Addition | None:
        """What an event with the known frame adds; None for any other event, and for a text with escapes."""
        before, after = self._before, self._after
        if not before or type(event) is not bytes or not (event.startswith(before) and event.endswith(after)):
            return None
        inside = event[len(before) : -len(after)]
        if self._middle:
            inside, found, padding = inside.partition(self._middle)
            if not found or not padding.isalnum():
                return None
        if _QUOTE in inside or _BACKSLASH in inside:
            return None
        try:
            text = inside.decode()
        except UnicodeDecodeError:
            return None
        if not text.isprintable() or not text:  # a control character can't stand in JSON
            return None
        return Addition(self._field, text, self._index, self._call)

    def learn(self, chunk: ModelResponseStream) -> None:
        """Remember the frame of a chunk's event, if the chunk only adds text to a choice that has begun."""
        event = chunk.raw
        if (
            not self._learns
            or event is None
            or (self._before and event.startswith(self._before) and event.endswith(self._after))
        ):
            return
        self._learns -= 1
        place = _place_of(chunk)
        if place is None:
            return
        field, index, call, text = place
        if b"\n" in event:  # several `data:` lines, which must be sent as several
            return
        before, quoted, after = event.partition(_encode(text))
        if not quoted or quoted in after:
            return
        before, after = before + b'"', b'"' + after
        try:
            probed = _place_of(_decode(before + _PROBE.encode() + after))
        except msgspec.DecodeError:  # the delta has unknown fields
            return
        if probed is None or probed[3] != _PROBE:  # the text is escaped in the event, and these bytes are another field's
            return
        self._field, self._index, self._call = field, index, call
        self._before, self._middle, self._after = before, *_with_padding(after)


def _with_padding(after: bytes) -> tuple[bytes, bytes]:
    """The bytes between the text and padding, and those after the padding; b"" and all bytes if there is no padding."""
    for name in OF_EVENTS:
        middle, found, rest = after.partition(b'"%b":"' % name.encode())
        padding, _, last = rest.partition(b'"')
        if found and padding.isalnum():
            return middle + found, b'"' + last
    return b"", after


def _place_of(chunk: ModelResponseStream) -> tuple[str, int, int, str] | None:
    """The field, the choice's and the call's index, and the text, of a chunk that adds nothing else; None for any other."""
    if len(chunk.choices) != 1 or not own_fields(chunk).keys() <= _OF_CHUNK:
        return None
    choice = chunk.choices[0]
    own, added = own_fields(choice), {name: value for name, value in own_fields(choice.delta).items() if value}
    if not own.keys() <= _OF_CHOICE or own.get("logprobs", NULL) != NULL:
        return None
    added.pop("role", None)
    index = choice.index or 0
    if len(added) != 1:
        return None
    ((name, value),) = added.items()
    if name in _TEXTS:
        return name, index, 0, value
    if name != "tool_calls" or len(value) != 1:
        return None
    (call,) = value
    function = call.function
    if call.index is None or call.id or call.custom or function is None or function.name or not function.arguments:
        return None
    return ARGUMENTS, index, call.index, function.arguments
