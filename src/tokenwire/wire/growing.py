"""How a field whose value arrives in pieces grows, and its final value.

Text is joined, except names, which are replaced like numbers; an empty name is ignored. Lists are extended. Objects are
merged, their fields by the same rules, but only one level deep, as the server decides how deep they are nested. In lists of
unknown fields, an item with the `index` of an earlier one continues it.

Arriving pieces are only collected; `whole` joins them. So a field takes time linear in its length. A piece of four letters
is an object of fifty bytes, so `settle` joins collected pieces to blocks: a long stream takes little more memory than the
bytes received.
"""

from collections.abc import Iterable
from typing import Any, Final, TypeVar

import msgspec

from ..types._record import Record
from ..types._source import Fields
from ..types.logprobs import json_of
from .fields import NULL

C = TypeVar("C")

BLOCK: Final = 512  # pieces collected before they are joined to a block
_SHORT: Final = 16  # so few pieces are not joined

_decode_pieces = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode
_encode = msgspec.json.Encoder().encode

# Fields that are names: they are sent repeatedly, and are not continued.
_NAMES = frozenset({"format", "id", "model", "name", "object", "role", "signature", "status", "type"})


class Pieces(list[str]):
    """Text that is still arriving: its latest pieces.

    Attributes:
        blocks: the text before them, as UTF-8.
    """

    __slots__ = ("blocks",)

    def __init__(self) -> None:
        self.blocks: list[bytes] = []

    def settle(self) -> None:
        """Join the pieces to a block."""
        self.blocks.append("".join(self).encode("utf-8", "surrogatepass"))
        self.clear()

    def whole(self) -> str:
        """The text so far."""
        return b"".join(self.blocks).decode("utf-8", "surrogatepass") + "".join(self)


class RawPieces(list[msgspec.Raw]):
    """An object whose lists are still arriving, as JSON: its latest pieces. It is only decoded when read."""

    __slots__ = ("_blocks", "_grown")

    def __init__(self) -> None:
        self._blocks: list[bytes] = []  # the lists' items before them, joined by commas
        self._grown: Fields | None = None  # set once a piece was not JSON: then the field grows by value

    def add(self, piece: object) -> None:
        """Add a piece of any type."""
        raw = piece if isinstance(piece, msgspec.Raw) else json_piece(piece)
        if raw is not None:
            self.append(raw)
        else:
            self.settle()
            self._grown = self._grown_so_far()
            grow(self._grown, "", piece.model_dump() if isinstance(piece, Record) else piece)

    def settle(self) -> None:
        """Join the pieces to a block."""
        if self._grown is not None:
            for piece in self:
                grow(self._grown, "", json_of(piece))
        elif self:
            self._blocks.append(b",".join(self))
        self.clear()

    def whole(self) -> object:
        """The object so far: as JSON, if all pieces were."""
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
    """A chat completion's log probabilities as JSON; None if they are of another kind, or JSON would lose a value.

    Encoding at once also protects the answer from changes that the handler makes to the dict later.
    """
    if type(value) is not dict or "content" not in value:
        return None
    try:
        data = _encode(value)
    except (TypeError, ValueError, RecursionError):
        return None
    return None if b'"logprob":null' in data else msgspec.Raw(data)  # an infinite number is encoded as null


def _listed(blocks: list[bytes]) -> msgspec.Raw:
    return msgspec.Raw(b"[%b]" % b",".join(blocks))


def _joined(blocks: list[bytes]) -> msgspec.Raw | None:
    """The object of these pieces, each with the next items of its lists; None if a piece has another structure."""
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
        self.places: dict[int, int] = {}  # positions of the items with an `index`

    def add(self, items: list[Any]) -> None:
        """Add items, or continue earlier ones."""
        for item in items:
            index = item.get("index") if isinstance(item, dict) else None
            if not isinstance(index, int):
                self.append(item)
            elif index in self.places:
                self[self.places[index]].add(item)
            else:
                self.places[index] = len(self)
                self.append(Merged().add(item))


class Merged(dict[str, Any]):
    """An object whose fields may grow."""

    def add(self, piece: dict[str, Any]) -> "Merged":
        """Merge another object into it."""
        for name, value in piece.items():
            self.setdefault(name, None)
            _grow_flat(self, name, value)
        return self


def grow(fields: dict[str, Any], name: str, value: object, *, by_index: bool = False) -> None:
    """Add a piece of a field; None is ignored. `by_index`: items of a list are continued by their `index`."""
    if isinstance(value, dict):
        grown(fields, name, Merged).add(value)
    elif by_index and isinstance(value, list):
        grown(fields, name, Items).add(value)
    else:
        _grow_flat(fields, name, value)


def _grow_flat(fields: dict[str, Any], name: str, value: object) -> None:
    """Add a piece of a field whose own fields do not grow."""
    if isinstance(value, str) and name not in _NAMES:
        grown(fields, name, Pieces).append(value)
    elif isinstance(value, list):
        grown(fields, name, list).extend(value)
    elif value is not None and (value != "" or fields.get(name) is None):
        fields[name] = value


def grown(fields: dict[str, Any], name: str, cls: type[C]) -> C:
    """A field's collected pieces, as a `cls`; a new one if it is of another class."""
    found = fields.get(name)
    if type(found) is not cls:
        found = fields[name] = cls()
    return found


def whole(fields: dict[str, Any]) -> dict[str, Any]:
    """A copy of the collected fields, with their texts joined."""
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
    """Join the collected pieces of fields to blocks. Returns the number of fields examined."""
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
