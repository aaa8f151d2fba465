"""How a field whose value comes in pieces grows, and what it is in the end.

Text is joined, but for words that name something: those are replaced, as numbers are, and an empty one is nothing. Lists
are extended. Objects are merged, their fields by the same rules, one level deep: servers choose the depth, not we. In
lists of fields that no struct names, an item with the `index` of an earlier one continues it.

Pieces are only collected as they come; `whole` joins them. So a field costs time linear in what has arrived. A piece of
four letters is an object of fifty bytes, so `settle` makes blocks of what has been collected: a long stream holds little
more than the bytes that it was sent.
"""

from collections.abc import Iterable
from typing import Any, Final, TypeVar

import msgspec

from ..types._record import Record
from ..types._source import Fields
from ..types.logprobs import json_of
from .fields import NULL

C = TypeVar("C")

BLOCK: Final = 512  # pieces that are collected before blocks are made of them
_SHORT: Final = 16  # a list of so few pieces stays as it is

_decode_pieces = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode
_encode = msgspec.json.Encoder().encode

# Texts that are names: they come again and again, and are not continued.
_NAMES = frozenset({"format", "id", "model", "name", "object", "role", "signature", "status", "type"})


class Pieces(list[str]):
    """Text that is still arriving: the latest pieces.

    Attributes:
        blocks: what came before them, as UTF-8.
    """

    __slots__ = ("blocks",)

    def __init__(self) -> None:
        self.blocks: list[bytes] = []

    def settle(self) -> None:
        """Make a block of the pieces."""
        self.blocks.append("".join(self).encode("utf-8", "surrogatepass"))
        self.clear()

    def whole(self) -> str:
        """The text so far."""
        return b"".join(self.blocks).decode("utf-8", "surrogatepass") + "".join(self)


class RawPieces(list[msgspec.Raw]):
    """An object whose lists are still arriving, as JSON: the latest pieces. It is not decoded before somebody looks."""

    __slots__ = ("_blocks", "_grown")

    def __init__(self) -> None:
        self._blocks: list[bytes] = []  # what came before them, with commas between
        self._grown: Fields | None = None  # the field, once it grows by value, since a piece was not JSON

    def add(self, piece: object) -> None:
        """Take in a piece of whatever kind."""
        raw = piece if isinstance(piece, msgspec.Raw) else json_piece(piece)
        if raw is not None:
            self.append(raw)
        else:
            self.settle()
            self._grown = self._grown_so_far()
            grow(self._grown, "", piece.model_dump() if isinstance(piece, Record) else piece)

    def settle(self) -> None:
        """Make a block of the pieces."""
        if self._grown is not None:
            for piece in self:
                grow(self._grown, "", json_of(piece))
        elif self:
            self._blocks.append(b",".join(self))
        self.clear()

    def whole(self) -> object:
        """The object so far: JSON where that is enough."""
        self.settle()
        joined = None if self._grown is not None else _joined(self._blocks)
        return _whole(self._grown_so_far().get("")) if joined is None else joined

    def _grown_so_far(self) -> Fields:
        if self._grown is not None:
            return self._grown
        fields: Fields = {}
        for piece in json_of(_listed(self._blocks)):
            grow(fields, "", piece)
        return fields


def json_piece(value: object) -> msgspec.Raw | None:
    """A chat completion's log probabilities as JSON; None where that would not say all of them, or where they are others.

    So they are encoded once, whoever gets them, and what a handler changes later is not seen.
    """
    if type(value) is not dict or "content" not in value:
        return None
    try:
        data = _encode(value)
    except (TypeError, ValueError, RecursionError):
        return None
    return None if b'"logprob":null' in data else msgspec.Raw(data)  # which an infinite one would be


def _listed(blocks: list[bytes]) -> msgspec.Raw:
    return msgspec.Raw(b"[%b]" % b",".join(blocks))


def _joined(blocks: list[bytes]) -> msgspec.Raw | None:
    """The object of which these are pieces, each with the next items of its lists; None where a piece holds other things."""
    lists: dict[str, list[bytes] | None] = {}
    try:
        for piece in _decode_pieces(_listed(blocks)):
            for name, value in piece.items():
                items = lists.setdefault(name, None)
                if value != NULL:
                    data = bytes(value)
                    if not data.startswith(b"["):
                        return None
                    inside = data[1:-1].strip()
                    lists[name] = items = [] if items is None else items
                    items += [inside] if inside else []
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    fields = (
        _encode(name) + b":" + (b"null" if items is None else b"[%b]" % b",".join(items)) for name, items in lists.items()
    )
    return msgspec.Raw(b"{%b}" % b",".join(fields))


class Items(list[Any]):
    """A list whose items may be continued."""

    __slots__ = ("places",)

    def __init__(self) -> None:
        self.places: dict[int, int] = {}  # of the items with an `index`

    def take(self, items: list[Any]) -> None:
        """Add items, or continue earlier ones."""
        for item in items:
            index = item.get("index") if isinstance(item, dict) else None
            if not isinstance(index, int):
                self.append(item)
            elif index in self.places:
                self[self.places[index]].take(item)
            else:
                self.places[index] = len(self)
                self.append(Merged().take(item))


class Merged(dict[str, Any]):
    """An object whose fields may grow."""

    def take(self, piece: dict[str, Any]) -> "Merged":
        """Merge another object into it."""
        for name, value in piece.items():
            self.setdefault(name, None)
            _take(self, name, value)
        return self


def grow(fields: dict[str, Any], name: str, value: object, *, by_index: bool = False) -> None:
    """Take in a piece of a field; None is nothing. `by_index`: items of a list are continued by their `index`."""
    if isinstance(value, dict):
        grown(fields, name, Merged).take(value)
    elif by_index and isinstance(value, list):
        grown(fields, name, Items).take(value)
    else:
        _take(fields, name, value)


def _take(fields: dict[str, Any], name: str, value: object) -> None:
    """Take in a piece of a field, whose own fields do not grow."""
    if isinstance(value, str) and name not in _NAMES:
        grown(fields, name, Pieces).append(value)
    elif isinstance(value, list):
        grown(fields, name, list).extend(value)
    elif value is not None and (value != "" or fields.get(name) is None):
        fields[name] = value


def grown(fields: dict[str, Any], name: str, cls: type[C]) -> C:
    """What has been collected of a field, as a `cls`; an empty one in place of anything else."""
    found = fields.get(name)
    if type(found) is not cls:
        found = fields[name] = cls()
    return found


def whole(fields: dict[str, Any]) -> dict[str, Any]:
    """A copy of the fields that have been collected, with their texts joined."""
    return {name: _whole(value) for name, value in fields.items()}


def _whole(value: object) -> object:
    if isinstance(value, Pieces | RawPieces):
        return value.whole()
    if isinstance(value, Items):
        return [_whole(item) for item in value]
    if isinstance(value, Merged):
        return whole(value)
    return value.copy() if isinstance(value, list | dict) else value


def settle(values: Iterable[Any]) -> int:
    """Make blocks of what has been collected in some fields; returns how many were looked at."""
    looked_at = 0
    for value in values:
        looked_at += 1
        if isinstance(value, Pieces | RawPieces):
            if len(value) > _SHORT:
                value.settle()
        elif isinstance(value, Merged):
            looked_at += settle(value.values())
        elif isinstance(value, Items):
            looked_at += settle(value)
    return looked_at
