"""The common flat chunk, decoded by what it shares with the one before.

The events of a stream are mostly alike to the letter, but for the piece of text each brings. Once one such event has
been decoded, a later one that has the same bytes before and behind the text needs only its text decoded; the rest is
copied. That is exact: JSON gives a string that stands in the place of another the same meaning there, whatever it says,
and `template_of` has made sure that it knows the place. An event that differs anywhere else is decoded as usual.
"""

from typing import Any

import msgspec

from ..types.chat import GenericStreamingChunk, ModelResponseStream

# Text that no model writes: it stands in the hole while a template is proved.
_PROBE = "\x01tokenwire\x02"
_PROBE_JSON = msgspec.json.encode(_PROBE)
_KEY = b'"content":'

_copy: Any = msgspec.Struct.__copy__  # pyright: ignore[reportAttributeAccessIssue]  (a method the stubs leave out)
_EMPTY = GenericStreamingChunk()
_decode_text = msgspec.json.Decoder(str).decode
_decode_chat = msgspec.json.Decoder(ModelResponseStream).decode


class Template:
    """An event with a hole in the place of its text.

    Attributes:
        prefix, suffix: the bytes before and behind the text, whose quotes belong to neither.
    """

    __slots__ = ("_from", "_id", "_model", "_to", "prefix", "suffix")

    def __init__(self, prefix: bytes, suffix: bytes, chunk: ModelResponseStream) -> None:
        self.prefix: bytes = prefix
        self.suffix: bytes = suffix
        self._from, self._to = len(prefix), -len(suffix)
        self._id, self._model = chunk.id, chunk.model

    def text_of(self, event: bytes) -> str | None:
        """The text of an event that begins with `prefix` and ends with `suffix`; None where no string is between them."""
        try:
            return _decode_text(event[self._from : self._to])
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None

    def piece(self, text: str, event: bytes) -> GenericStreamingChunk:
        """The flat chunk that a full decoding of the event would come to."""
        return flat_piece(self._id, self._model, text, event)


def flat_piece(id: str | int | None, model: str | None, text: str, event: bytes) -> GenericStreamingChunk:
    """A flat chunk that brings text and nothing else."""
    piece = _copy(_EMPTY)  # in C, and faster than calling the class
    piece.text, piece.id, piece.model = text, id, model
    piece._origin = event
    return piece


def template_of(event: bytes, chunk: ModelResponseStream) -> Template | None:
    """The template that an event with one choice and a piece of text gives, None if the text's place can't be proved.

    Args:
        chunk: the event, decoded.
    """
    text = chunk.choices[0].delta.content
    start = event.rfind(_KEY) + len(_KEY)
    while event[start : start + 1] == b" ":
        start += 1
    text_json = msgspec.json.encode(text)
    if start < len(_KEY) or not event.startswith(text_json, start):
        return None  # written with escapes of the server's own, perhaps; the next one may do
    prefix, suffix = event[:start], event[start + len(text_json) :]
    probe = _decode_chat(prefix + _PROBE_JSON + suffix)
    if len(probe.choices) != 1 or probe.choices[0].delta.content != _PROBE:
        return None
    probe.choices[0].delta.content = text
    return Template(prefix, suffix, chunk) if probe == chunk else None
