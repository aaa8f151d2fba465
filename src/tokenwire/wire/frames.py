"""What stands around the text of a stream's events that bring a piece of text and no more.

For readers that hand events on as they came: an event that is like an earlier one but for its text need not be decoded to
know what it adds to the answer. Any other is decoded, and shows what those after it may look like.
"""

from typing import Any

import msgspec

from ..types._record import own_fields
from ..types.additions import ARGUMENTS, CONTENT, REASONING, Addition
from ..types.chat import ModelResponseStream
from .fields import NULL, OF_EVENTS

EARLY = 8  # so many events are decoded first: a short stream would not win back what learning costs
LEARNS = 8  # how often the events of a stream may begin to look otherwise: reasoning, text, tool calls

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
        self._field, self._index, self._call = "", 0, 0  # what the events add to, as an `Addition` has it
        self._before = self._after = b""  # around the text; nothing is known yet
        self._middle = b""  # between the text and padding that varies as well, where there is some

    def addition(self, event: Any) -> Addition | None:
        """What an event adds; None for one that is not like the latest, or whose text has to be decoded."""
        before, after = self._before, self._after
        if not before or type(event) is not bytes or not (event.startswith(before) and event.endswith(after)):
            return None
        inside = event[len(before) : -len(after)]
        if self._middle:
            inside, found, padding = inside.partition(self._middle)
            if not found or not padding.isalnum():
                return None
        if b'"' in inside or b"\\" in inside:
            return None
        try:
            text = inside.decode()
        except UnicodeDecodeError:
            return None
        if not text.isprintable() or not text:  # a control character can't stand in JSON
            return None
        return Addition(self._field, text, self._index, self._call)

    def learn(self, chunk: ModelResponseStream) -> None:
        """Look at a chunk whose event was decoded, and which adds to a choice that has begun."""
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
        if b"\n" in event:  # it came as several lines, and would have to go as several
            return
        before, quoted, after = event.partition(_encode(text))
        if not quoted or quoted in after:
            return
        before, after = before + b'"', b'"' + after
        try:
            probed = _place_of(_decode(before + _PROBE.encode() + after))
        except msgspec.DecodeError:  # it has fields that no struct names
            return
        if probed is None or probed[3] != _PROBE:  # the text is written in another way, and this is something else
            return
        self._field, self._index, self._call = field, index, call
        self._before, self._middle, self._after = before, *_with_padding(after)


def _with_padding(after: bytes) -> tuple[bytes, bytes]:
    """What comes after the text up to padding, and after that; b"" and all where there is none."""
    for name in OF_EVENTS:
        middle, found, rest = after.partition(b'"%b":"' % name.encode())
        padding, _, last = rest.partition(b'"')
        if found and padding.isalnum():
            return middle + found, b'"' + last
    return b"", after


def _place_of(chunk: ModelResponseStream) -> tuple[str, int, int, str] | None:
    """To which field, choice and call a chunk adds which text, if it adds nothing else."""
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
