"""A record's source: the document that it was decoded from, in which unknown fields can still be found.

A received document is decoded once, into structs, in C. Its bytes are kept, and the first access to an unknown field
decodes them again and walks to the record's object. Costs nothing unless read. Data that is not part of a record's value is
in `__slots__` of mixin classes that are not structs: msgspec does not encode, compare or print those.

A record of a sealed class (`forbid_unknown_fields`) has no source: it was decoded, so it has no unknown fields.
"""

from collections.abc import Callable
from functools import cache, lru_cache
from operator import attrgetter
from typing import Any, ClassVar, Final, NamedTuple, TypeAlias, get_args, get_origin

import msgspec

Path: TypeAlias = tuple[str | int, ...]
Fields: TypeAlias = dict[str, Any]  # a JSON object


class Assembled(dict[str, Any]):
    """The unknown fields of a record that was assembled from a stream."""


class Extended(NamedTuple):
    """The source of a received record to which Python code has added fields.

    Attributes:
        source: the record's source as received.
        fields: the fields added, or set in place of unknown ones.
    """

    source: "bytes | tuple[bytes, Path]"
    fields: Fields


class Odd(NamedTuple):
    """A value of another type than its field's.

    Attributes:
        sent: the value as sent.
        taken: the value that the record has instead; UNSET if it could not be converted.
    """

    sent: Any
    taken: Any


USAGE_OF_CHOICE: Final[Path] = ("choices", "usage")  # the path of a usage found in a choice


class OddDocument(bytes):
    """The bytes of a document with odd values: values of other types than expected, which were converted.

    Attributes:
        odd: the odd values, by their record's path, then by name.
        places: the paths of everything that was not as expected.
        has_more: whether records of sealed classes need it as their source, which otherwise have none.
        is_sealed: whether records of sealed classes are known to have no unknown fields.
        mended: the decoded and corrected document, if its records were made from that.
        kept: JSON of the record as converted, None if it is not needed.
    """

    odd: dict[Path, dict[str, Odd]]
    places: set[Path]
    has_more: bool = False
    kept: bytes | None = None
    is_sealed: bool = False
    mended: Fields | None = None
    _decoded: Fields | None = None

    def __init__(self, _: bytes) -> None:
        self.odd, self.places = {}, set()

    @property
    def tree(self) -> Fields:
        """The decoded document, with its objects at the paths of their records.

        Raises:
            DecodeError, UnicodeDecodeError, RecursionError: a part that the struct decoder skipped is not JSON.
        """
        tree = self.mended if self.mended is not None else self._decoded
        if tree is None:
            tree = self._decoded = _decode_json(self)
        return tree

    def note(self, place: Path, value: Odd | None = None) -> None:
        """Note that something at this path was not as expected; keep its value, which the record does not have."""
        self.places.add(place)
        if value is not None:
            self.odd.setdefault(place[:-1], {})[str(place[-1])] = value


# A document's bytes if the record is at its class's usual path in it; the bytes and the path if it is elsewhere; the unknown
# keywords themselves if Python code built the record.
Source: TypeAlias = bytes | tuple[bytes, Path] | Fields | Extended

_decode_json = msgspec.json.Decoder().decode
_encode_json = msgspec.json.Encoder().encode


class HasSource:
    """A slot for a record's source; unset if there is none."""

    __slots__ = ("_source",)
    _source: Source

    _place: ClassVar[Path] = ()  # the usual path of the class's records in a document

    @classmethod
    def _leftovers(cls, sent: Fields) -> Fields:
        """The fields of a record's JSON object that are not fields of the record."""
        raise NotImplementedError


# Sets a record's source. Avoids the cost of a Python function.
set_source: Final[Callable[[HasSource, Source], None]] = HasSource.__dict__["_source"].__set__
SOURCE_SLOT: Final = "_source"  # for generated code


def source_of(record: HasSource) -> Source | None:
    """The record's source, None if it has none."""
    return getattr(record, "_source", None)


def has_source(record: HasSource) -> bool:
    """Whether the record may have unknown fields."""
    return hasattr(record, "_source")


def document_of(record: HasSource) -> bytes | None:
    """The bytes of the document that the record was decoded from; None if Python code built it."""
    found = place_of(record)
    return None if found is None else found[0]


def place_of(record: HasSource) -> tuple[bytes, Path] | None:
    """The bytes of the document that the record was decoded from, and its path in it; None as `document_of`."""
    source = source_of(record)
    if isinstance(source, Extended):
        source = source.source
    if isinstance(source, bytes):
        return source, record._place
    return source if isinstance(source, tuple) else None


def add_field(record: HasSource, name: str, value: object) -> None:
    """Add an unknown field to the record; copies of the record do not have it."""
    source = source_of(record)
    if source is None:
        set_source(record, {name: value})
    elif isinstance(source, dict):
        set_source(record, type(source)({**source, name: value}))
    elif isinstance(source, Extended):
        set_source(record, Extended(source.source, {**source.fields, name: value}))
    else:
        set_source(record, Extended(source, {name: value}))


def added_fields(record: HasSource) -> Fields:
    """The fields that Python code has added to a received record."""
    source = source_of(record)
    return source.fields if isinstance(source, Extended) else {}


def is_extended(record: HasSource) -> bool:
    """Whether Python code has added fields to a received record, or to one below it."""
    if isinstance(source_of(record), Extended):
        return True
    below = [(child, value) for child in children(type(record)) if (value := child.read(record)) is not None]
    return any(any(map(is_extended, value)) if child.is_list else is_extended(value) for child, value in below)


class HasRaw(HasSource):
    """A record decoded from a whole document."""

    __slots__ = ()

    @property
    def raw(self) -> bytes | None:
        """The JSON bytes of the body or event as the server sent them, None if no server sent it."""
        source = source_of(self)
        return source if type(source) is bytes else document_of(self)


def unknown_fields(record: HasSource, decoded: dict[int, Any] | None = None) -> Fields:
    """The unknown fields of a record, decoded now.

    Args:
        record: any.
        decoded: a cache of decoded documents, by their ids; this one is added.
    """
    source = source_of(record)
    return {} if source is None else unknown_in(type(record), source, decoded)


def unknown_in(cls: type[HasSource], source: Source, decoded: dict[int, Any] | None = None) -> Fields:
    """`unknown_fields` of a `cls` with this source."""
    if isinstance(source, dict):
        return source
    if isinstance(source, Extended):
        return {**unknown_in(cls, source.source, decoded), **source.fields}
    data, path = source if isinstance(source, tuple) else (source, cls._place)
    if not isinstance(data, OddDocument):
        return cls._leftovers(object_at(data, path, decoded))
    if data.is_sealed and _is_sealed(cls):
        return {}
    return cls._leftovers({**object_at(data, path, decoded), **_sent_at(data, path)})


def _is_sealed(cls: type[Any]) -> bool:
    return cls.__struct_config__.forbid_unknown_fields


def object_at(data: bytes, path: Path, decoded: dict[int, Any] | None = None) -> Fields:
    """The JSON object at a path in a document, {} if there is none; `decoded` as for `unknown_fields`."""
    decoded = {} if decoded is None else decoded
    try:
        if id(data) not in decoded:
            decoded[id(data)] = data.tree if isinstance(data, OddDocument) else _decode_json(data)
        found = decoded[id(data)]
        for step in path:
            found = found[step]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # invalid JSON, in a part that the struct decoder skipped
        return {}
    except (KeyError, IndexError, TypeError):  # the server sent no such object, so the struct has a default one
        return {}
    return found if isinstance(found, dict) else {}


def object_as_sent(data: bytes, path: Path) -> Fields:
    """The same as sent, for a document with odd values; as corrected, if the document is not valid JSON."""
    if isinstance(data, OddDocument):
        found = object_at(bytes(data), path)
        if isinstance(found, dict) and found:
            return found
    return object_at(data, path)


def _sent_at(document: OddDocument, path: Path) -> Fields:
    return {name: value.sent for name, value in document.odd.get(path, {}).items()}


def odd_values(record: HasSource) -> dict[str, Odd]:
    """The record's odd values (sent with another type than the field's), by name in JSON."""
    data, path = place_of(record) or (b"", ())
    return data.odd.get(path, {}) if isinstance(data, OddDocument) else {}


def is_odd(record: HasSource) -> bool:
    """Whether the record comes from the lenient decoder."""
    return isinstance(document_of(record), OddDocument)


def tree_of(record: HasSource) -> Fields | None:
    """The decoded document of a record that `is_odd`, None of any other."""
    document = document_of(record)
    return document.tree if isinstance(document, OddDocument) else None


def odd_places(record: HasSource) -> set[Path]:
    """The paths in the record's document of everything that was not as expected."""
    document = document_of(record)
    return document.places if isinstance(document, OddDocument) else set()


def keep_as_understood(record: HasSource) -> None:
    """Keep JSON of a whole answer as it was converted, if that differs from its document."""
    document = source_of(record)
    if isinstance(document, OddDocument):
        document.kept = _encode_json(record)


def as_sent(record: HasSource) -> bytes | None:
    """The body that an endpoint sent; None if there was none, or if the answer has been changed since."""
    data = document_of(record)
    if data is None or is_extended(record):
        return None
    try:
        kept = data.kept if isinstance(data, OddDocument) else _encode_json(_decoder_of(type(record))(data))
    except msgspec.DecodeError:  # the answer was made from a body of another API
        return None
    return bytes(data) if kept == _encode_json(record) else None


@cache
def _decoder_of(cls: type[HasSource]) -> Callable[[bytes], Any]:
    return msgspec.json.Decoder(cls).decode


def share_source(record: HasSource, other: HasSource, *below: str | int) -> None:
    """Give the record the source of `other`, or of the object `below` it."""
    place = place_of(other)
    if place is not None:
        data, path = place[0], (*place[1], *below)
        set_source(record, data if path == record._place else (data, path))
    source = source_of(other)
    if below or source is None:
        return
    if isinstance(source, dict):
        set_source(record, source)
    elif isinstance(source, Extended):
        for name, value in source.fields.items():
            add_field(record, name, value)


def attach_document(record: HasSource, data: bytes, cls: type[HasSource] | None = None) -> None:
    """Set the source of a record at its usual path, and of every record below it.

    Args:
        record: any.
        data: the document.
        cls: the class that declares which records are below it, if that is not its own.
    """
    _usual_attacher(cls or type(record))(record, data)


@cache
def _usual_attacher(cls: type[HasSource]) -> Callable[[Any, bytes], None]:
    return _attacher(cls, cls._place)


@lru_cache(maxsize=1024)
def _attacher(cls: type[HasSource], place: Path) -> Callable[[Any, bytes], None]:
    """`attach_document` for records of a class at a path, compiled once."""
    is_usual = place == cls._place
    steps = [
        (child.read, (_list_attacher if child.is_list else _attacher)(child.cls, (*place, child.key)))
        for child in children(cls)
        if not _is_sealed(child.cls)
    ]
    if is_usual and not steps:
        return set_source

    def attach(record: HasSource, data: bytes) -> None:
        set_source(record, data if is_usual else (data, place))
        for read, attach_below in steps:
            if (value := read(record)) is not None:
                attach_below(value, data)

    return attach


def _list_attacher(cls: type[HasSource], place: Path) -> Callable[[Any, bytes], None]:
    attach_first = _attacher(cls, (*place, 0))

    def attach(records: list[HasSource], data: bytes) -> None:
        if records:
            attach_first(records[0], data)
            if len(records) > 1:
                for index in range(1, len(records)):
                    _attacher(cls, (*place, index))(records[index], data)

    return attach


class Child(NamedTuple):
    """A field that holds records.

    Attributes:
        cls: their class.
        read: returns the field's value.
        key: its name in JSON.
        is_list: whether it holds a list of them.
    """

    cls: type[Any]
    read: Callable[[Any], Any]
    key: str
    is_list: bool


@cache
def children(cls: type[Any]) -> tuple[Child, ...]:
    """The fields of a struct that hold records."""
    found = [(item, *_record_class(item.type)) for item in msgspec.structs.fields(cls)]
    return tuple(
        Child(held, attrgetter(item.name), item.encode_name, is_list) for item, held, is_list in found if held is not None
    )


def _record_class(annotation: object) -> tuple[Any, bool]:
    """The class of the records that a field with this annotation holds, if any, and whether it holds a list of them."""
    if isinstance(annotation, type) and issubclass(annotation, HasSource):
        return annotation, False
    for part in get_args(annotation):
        held, is_list = _record_class(part)
        if held is not None:
            return held, is_list or get_origin(annotation) is list
    return None, False
