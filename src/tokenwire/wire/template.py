"""Common chunks, decoded many at once by what they share with one before.

The events of a stream are mostly alike to the letter, but for the piece of text each brings. Once one such event has
been decoded, a read full of events that have the same bytes before and behind the text needs only the texts decoded, all
in one call; the rest is copied. That is exact: JSON gives a string that stands in the place of another the same meaning
there, whatever it says; `template_of` has made sure that it knows the place, and `Template.texts` that there is one string
in it. A read with an event that differs anywhere else is decoded as usual.
"""

from itertools import repeat
from operator import itemgetter
from typing import Any

import msgspec

from ..types._record import build, copy_fields
from ..types.chat import GenericStreamingChunk, ModelResponseStream

# Text that no model writes: it stands in the hole while a template is proved.
_PROBE = "\x01tokenwire\x02"
_KEY = b'"content":'
_EMPTY = build(GenericStreamingChunk)
_decode_texts = msgspec.json.Decoder(list[str]).decode
_decode_chat = msgspec.json.Decoder(ModelResponseStream).decode


class Template:
    """An event with a hole in the place of its text.

    Args:
        prefix, suffix: the bytes before and behind the text, its quotes included.
        chunk: the event, decoded.
    """

    __slots__ = ("_between", "_chunk", "_has_unknown", "_middle", "_piece", "_prefix", "_suffix")

    def __init__(self, prefix: bytes, suffix: bytes, chunk: ModelResponseStream) -> None:
        self._prefix, self._suffix, self._between = prefix, suffix, suffix + prefix
        self._middle = itemgetter(slice(len(prefix), -len(suffix)))
        self._chunk = chunk
        self._piece = flat_piece(chunk.id, chunk.model, "", b"")
        # Fields that no struct names are looked for in the event; where there are none, no delta need know its event.
        chunk.choices[0].delta._origin = prefix + suffix
        self._has_unknown = bool(chunk.choices[0]._unknown() or chunk.choices[0].delta._unknown())

    def texts(self, events: list[Any]) -> list[str] | None:
        """The text of each event; None unless all of them fit and none of their texts is empty."""
        try:
            middles = list(map(self._middle, events))
            if self._prefix + self._between.join(middles) + self._suffix != b"".join(events):
                return None
            # No string goes over a line end, so none of the middles can run into the next; and one with a quote of its
            # own makes more strings than there are middles. So the same number means that each of them is one string.
            texts = _decode_texts(b'["' + b'",\n"'.join(middles) + b'"]')
        except (msgspec.DecodeError, UnicodeDecodeError, TypeError):  # TypeError: a named event
            return None
        return texts if len(texts) == len(events) and all(texts) else None

    # Below, copies are made by `map`, since a call from C costs half of one from Python.

    def chunks(self, texts: list[str], events: list[bytes]) -> list[ModelResponseStream]:
        """The chunks that decoding the events, which have these texts, would come to."""
        choice = self._chunk.choices[0]
        has_unknown = self._has_unknown
        chunks: list[ModelResponseStream] = list(map(copy_fields, repeat(self._chunk, len(texts))))
        choices, deltas = map(copy_fields, repeat(choice)), map(copy_fields, repeat(choice.delta))
        for chunk, choice, delta, text, event in zip(chunks, choices, deltas, texts, events, strict=False):
            delta.content = text
            choice.delta = delta
            chunk.choices = [choice]
            chunk._origin = event
            if has_unknown:
                delta._origin = event
        return chunks

    def pieces(self, texts: list[str], events: list[bytes]) -> list[GenericStreamingChunk]:
        """The same as flat chunks."""
        pieces: list[GenericStreamingChunk] = list(map(copy_fields, repeat(self._piece, len(texts))))
        for piece, text, event in zip(pieces, texts, events, strict=True):
            piece.text = text
            piece._origin = event
        return pieces


def flat_piece(id: str | int | None, model: str | None, text: str, event: bytes) -> GenericStreamingChunk:
    """A flat chunk that brings text and nothing else."""
    piece = copy_fields(_EMPTY)  # in C, and faster than calling the class
    piece.text, piece.id, piece.model = text, id, model
    piece._origin = event
    return piece


def template_of(event: bytes) -> Template | None:
    """The template that an event with nothing but a piece of text gives, None if the text's place can't be proved."""
    chunk = _decode_chat(event)
    text = chunk.choices[0].delta.content
    start = event.rfind(_KEY) + len(_KEY)
    while event[start : start + 1] == b" ":
        start += 1
    text_json = msgspec.json.encode(text)
    if start < len(_KEY) or not event.startswith(text_json, start):
        return None  # written with escapes of the server's own, perhaps; the next one may do
    prefix, suffix = event[: start + 1], event[start + len(text_json) - 1 :]
    probe = _decode_chat(prefix + msgspec.json.encode(_PROBE)[1:-1] + suffix)
    if len(probe.choices) != 1 or probe.choices[0].delta.content != _PROBE:
        return None
    probe.choices[0].delta.content = text
    return Template(prefix, suffix, chunk) if probe == chunk else None
