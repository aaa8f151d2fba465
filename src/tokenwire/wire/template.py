"""Decodes many common chunks at once, by the bytes that they share with an earlier one.

The events of a stream mostly have the same bytes, except for a few values. Once some of them have been decoded, one is
split at the values that vary::

    literal  {"id":"c-1","model":"m","choices":[{"index":0,"delta":{"content":
    hole     "Hel"
    literal  },"finish_reason":null}],"obfuscation":
    hole     "x7Qz"
    literal  }

In a read whose events all have these literals, only the holes are decoded, as a line for each event, in one call:
`["Hel","x7Qz"]`. Each chunk is a copy of the first one with other values. That is exact, since replacing one JSON value by
another changes nothing else: `template_of` proves that the holes are where the values are, and `Template.columns` that there
is one value in each hole. A read with an event that differs anywhere else is decoded as usual.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import chain, compress, repeat
from operator import itemgetter
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec

from ..types._record import build, copy_fields, stored_names
from ..types._source import SOURCE_SLOT, children, set_source, unknown_fields
from ..types.chat import (
    ChatCompletionDeltaToolCall,
    Delta,
    DeltaFunction,
    GenericStreamingChunk,
    ModelResponseStream,
    StreamingChoices,
    Usage,
)
from .assemble import Assembler
from .fields import CHOICE, HEAD, MESSAGE, NULL, Grows, names

ENOUGH = 16  # events in a read that justify making a template, which costs as much as decoding sixty
LESSONS = 4  # consecutive unused templates, after which no more are made
_MOST_CHOICES = 8  # interleaved choices; with more, events are decoded as usual

_LINE_END = b"\n"  # between events and between holes: no event contains one

Column: TypeAlias = Sequence[Any]
_Place: TypeAlias = tuple[str | int, ...]

_encode = msgspec.json.Encoder().encode
_decode_chat = msgspec.json.Decoder(ModelResponseStream).decode
_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode


class _Kind(NamedTuple):
    """A kind of value that can vary.

    Attributes:
        type: the value's type.
        probe: JSON that no server sends, put into the hole to prove a template.
        having: the record with the value in a chunk, one of `_CLASSES`; "" if it is only in the event.
        stored: its attribute in that record.
        flat: its attribute in a flat chunk, if there is one.
    """

    type: Any
    probe: bytes
    having: str = ""
    stored: str = ""
    flat: str = ""


_CHOICE: _Place = ("choices", 0)
_DELTA: _Place = (*_CHOICE, "delta")
_CALL: _Place = (*_DELTA, "tool_calls", 0)
_ARGUMENTS: _Place = (*_CALL, "function", "arguments")
_INDEX: _Place = (*_CHOICE, "index")
_LOGPROBS: _Place = (*_CHOICE, "logprobs")
_USAGE: _Place = ("usage",)
_PROBE = b'"\\u0001tokenwire\\u0002"'

_CLASSES: dict[str, type[Any]] = {
    "chunk": ModelResponseStream,
    "choice": StreamingChoices,
    "delta": Delta,
    "call": ChatCompletionDeltaToolCall,
    "function": DeltaFunction,
}
_FLAT = stored_names(GenericStreamingChunk)


def _kind(type: object, probe: bytes, having: str, name: str, flat: str | None) -> _Kind:
    return _Kind(type, probe, having, stored_names(_CLASSES[having])[name], _FLAT[flat] if flat else "")


_TEXTS: dict[_Place, str] = {(*_DELTA, name): name for name in ("content", *names(MESSAGE, Grows.TEXT))}
_KINDS: dict[_Place, _Kind] = {
    **{
        (*_DELTA, row.name): _kind(str, _PROBE, "delta", row.name, row.flat) for row in MESSAGE if (*_DELTA, row.name) in _TEXTS
    },
    _ARGUMENTS: _kind(str, _PROBE, "function", "arguments", None),
    _INDEX: _kind(int, b"-77", "choice", "index", "index"),
    _LOGPROBS: _kind(msgspec.Raw, b"{%b:1}" % _PROBE, "choice", "logprobs", "logprobs"),
    _USAGE: _kind(Usage, b'{"prompt_tokens":-77}', "chunk", "usage", "usage"),
}
_UNNAMED = _Kind(str, _PROBE)  # a text in an unknown field, such as padding

# Objects, and lists of one, that are searched for values that vary.
_LOOKED_INTO = frozenset({_CHOICE[:1], _CHOICE, _DELTA, _CALL[:-1], _CALL, _ARGUMENTS[:-1]})
_NAMED: dict[_Place, set[str]] = {(): {row.name for row in HEAD}, _CHOICE: {row.name for row in CHOICE}}


class Template:
    """An event with holes for the values that vary.

    Args:
        literals: the bytes around the holes.
        places: the paths of the holes.
        chunk: the event, decoded.
    """

    __slots__ = (
        "_between",
        "_choice",
        "_content",
        "_cuts",
        "_decode",
        "_first",
        "_has_unknown",
        "_inside",
        "_last",
        "_originals",
        "_piece",
        "_places",
        "_raw",
        "_step",
        "_texts",
    )

    def __init__(self, literals: list[bytes], places: list[_Place], chunk: ModelResponseStream) -> None:
        self._first, *cuts, self._last = literals
        self._between = self._last + _LINE_END + self._first
        self._places = tuple(places)
        # With more than two values in a line, each literal between has its own mark, which shows their order.
        self._step = 2 if len(places) > 2 else 1
        self._cuts = [(cut, b",%d," % n if self._step == 2 else b",") for n, cut in enumerate(cuts)]
        self._decode = _decoder(self._places, self._step)
        self._texts = [place for place in places if place in _TEXTS]
        self._content = [n * self._step for n, place in enumerate(places) if place in _TEXTS or place == _ARGUMENTS]
        self._raw = [n * self._step for n, place in enumerate(places) if place == _LOGPROBS]
        self._inside = itemgetter(slice(len(literals[0]), -len(literals[-1])))
        self._choice = choice = chunk.choices[0]
        self._originals = dict(zip(_CLASSES, _records(chunk), strict=False))
        calls = choice.delta.tool_calls
        self._piece = build(
            GenericStreamingChunk, id=chunk.id, model=chunk.model, index=choice.index or 0, tool_use=calls[0] if calls else None
        )
        # Unknown fields are read from the event; if there are none, choices need no source.
        set_source(choice, b"0".join(literals))
        self._has_unknown = bool(unknown_fields(choice))

    def columns(self, events: list[Any]) -> dict[_Place, Column] | None:
        """The values of all events, by path; None unless all events fit, and each has content."""
        try:
            rows = self._decode(self._lines(events))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        except (AttributeError, TypeError):  # a named event
            return None
        if len(rows) != len(events):
            return None
        columns = [rows] if len(self._places) == 1 else [*zip(*rows, strict=True)]
        if not any(all(columns[place]) for place in self._content) or any(NULL in columns[place] for place in self._raw):
            return None
        return dict(zip(self._places, columns[:: self._step], strict=True))

    def _lines(self, events: list[Any]) -> bytes:
        """For each event a line with the JSON list of its values; b"" for an event that does not fit."""
        if not (events[0].startswith(self._first) and events[-1].endswith(self._last)):
            return b""
        rows = list(map(self._inside, events))
        # These bytes have a line end between two events and no other: if they are the same, no event has one in it.
        if self._first + self._between.join(rows) + self._last != _LINE_END.join(events):
            return b""
        if not self._cuts:
            return _LINE_END.join(rows)
        lines = b"[" + b"]\n[".join(rows) + b"]"
        for literal, mark in self._cuts:
            rows = lines.rsplit(literal)  # and joined below: half the time of bytes.replace
            if len(rows) != len(events) + 1:
                return b""
            lines = mark.join(rows)
        return lines

    def add(self, columns: dict[_Place, Column], assembler: Assembler) -> bool:
        """Add the events' values to the answer; False if they need the slow path: then nothing is added."""
        indexes = columns.get(_INDEX)
        if indexes is None:
            return self._add_to_choice(columns, assembler, self._choice.index)
        found = set(indexes)
        if len(found) > _MOST_CHOICES or _ARGUMENTS in columns or any(assembler.begun(index) is None for index in found):
            return False
        for index in found:
            is_its = list(map(index.__eq__, indexes))
            self._add_to_choice({place: list(compress(column, is_its)) for place, column in columns.items()}, assembler, index)
        if _USAGE in columns:
            assembler.usage = columns[_USAGE][-1]
        return True

    def _add_to_choice(self, columns: dict[_Place, Column], assembler: Assembler, index: int | None) -> bool:
        state = assembler.begun(index)
        if state is None:
            return False
        state.add_role(self._choice.delta)
        if _ARGUMENTS in columns and not state.extend_call(self._piece.tool_use, columns[_ARGUMENTS]):
            return False
        for place in self._texts:
            state.extend_text(_TEXTS[place], columns[place])
        if _LOGPROBS in columns:
            state.extend_logprobs(columns[_LOGPROBS])
        if _USAGE in columns:
            assembler.usage = columns[_USAGE][-1]
        return True

    def chunks(self, columns: dict[_Place, Column], events: list[bytes]) -> list[Any]:
        """The chunks of the events with these values."""
        return _maker(self._places, self._has_unknown)(self._originals, events, *columns.values())

    def pieces(self, columns: dict[_Place, Column], events: list[bytes]) -> list[Any]:
        """The same as flat chunks."""
        call = self._piece.tool_use
        originals = {"piece": self._piece, "call": call, "function": call and call.function}
        return _flat_maker(self._places)(originals, events, *columns.values())


@cache
def _decoder(places: tuple[_Place, ...], step: int) -> Callable[[bytes], list[Any]]:
    """A decoder of lines: the values at these paths, or lists of them with marks in between."""
    kinds = [_KINDS.get(place, _UNNAMED).type for place in places]
    if len(kinds) == 1:
        return msgspec.json.Decoder(kinds[0]).decode_lines
    marked = [kind for n, kind in enumerate(kinds) for kind in (kind, Literal[n])]  # type: ignore[valid-type]
    types = kinds if step == 1 else marked[:-1]
    return msgspec.json.Decoder(tuple[*types]).decode_lines  # type: ignore[valid-type]


_Make: TypeAlias = Callable[..., list[Any]]


@cache
def _maker(places: tuple[_Place, ...], knows_event: bool) -> _Make:
    """A function that makes chunks of the columns at these paths; `knows_event`: their choices have unknown fields."""
    kinds = [_KINDS.get(place, _UNNAMED) for place in places]
    stores = [f"{kind.having}.{kind.stored} = v{n}" for n, kind in enumerate(kinds) if kind.having]
    links = ["choice.delta = delta", "chunk.choices = [choice]", *([f"choice.{SOURCE_SLOT} = event"] if knows_event else [])]
    if _ARGUMENTS not in places:
        return _written(places, ("chunk", "choice", "delta"), stores + links)
    links = ["call.function = function", "delta.tool_calls = [call]", *links]
    return _written(places, ("chunk", "choice", "delta", "call", "function"), stores + links)


@cache
def _flat_maker(places: tuple[_Place, ...]) -> _Make:
    """A function that makes flat chunks of the columns at these paths."""
    stores = [f"piece.{kind.flat} = v{n}" for n, place in enumerate(places) if (kind := _KINDS.get(place, _UNNAMED)).flat]
    if _ARGUMENTS not in places:
        return _written(places, ("piece",), stores)
    stores += [f"function.arguments = v{places.index(_ARGUMENTS)}", "call.function = function", "piece.tool_use = call"]
    return _written(places, ("piece", "call", "function"), stores)


def _written(places: tuple[_Place, ...], copied: tuple[str, ...], stores: list[str]) -> _Make:
    """A generated function that stores each row's values in copies of some records, and returns the first of these copies.

    An assignment in generated code costs a third of a call that sets one value.
    """
    first, *others = copied
    values = [f"v{n}" for n in range(len(places))]
    stores = [*stores, f"{first}.{SOURCE_SLOT} = event"]
    for usage in [f"v{n}" for n, place in enumerate(places) if place == _USAGE]:
        parts = [f"{usage}.{child.key}" for child in children(Usage)]
        stores += [f"set_source({usage}, event)", *(f"if {part} is not None: set_source({part}, event)" for part in parts)]
    copies = ["made", *(f"map(copy, repeat(originals[{name!r}]))" for name in others)]
    line_end = "\n        "
    source = f"""
def make(originals, events, {", ".join(f"c{value}" for value in values)}):
    made = list(map(copy, repeat(originals[{first!r}], len(events))))
    for {", ".join([*copied, *values, "event"])} in zip({", ".join([*copies, *(f"c{value}" for value in values), "events"])}):
        {line_end.join(stores)}
    return made
"""
    namespace: dict[str, Any] = {"copy": copy_fields, "repeat": repeat, "set_source": set_source}
    exec(source, namespace)  # noqa: S102  (made from names of fields)
    return namespace["make"]


class TemplateCache:
    """The template of one stream, and whether to make another.

    For a server whose events never fit, no more are made after `LESSONS` unused templates.
    """

    __slots__ = ("_lessons", "_template")

    def __init__(self) -> None:
        self._template: Template | None = None
        self._lessons = LESSONS

    @property
    def learns(self) -> bool:
        """Whether another template may be of use."""
        return self._lessons > 0

    def match(self, events: list[Any]) -> tuple[Template, dict[_Place, Column]] | None:
        """The template that all events fit, and their values; None if there is none."""
        if self._template is None or len(events) < 2:
            return None
        columns = self._template.columns(events)
        if columns is None:
            return None
        self._lessons = LESSONS
        return self._template, columns

    def learn(self, event: bytes, before: bytes) -> None:
        """Make a template from two events of a full read that took the fast path."""
        self._template = template_of(event, before) if self._lessons > 0 else None
        self._lessons -= 1


def template_of(event: bytes, other: bytes) -> Template | None:
    """The template of an event, with holes for values that usually vary, and for those that differ in another event.

    None if the events differ elsewhere, or a hole can't be proved.
    """
    if _LINE_END in event:
        return None
    try:
        found = dict(_values(event))
        usual = {place for place, where in found.items() if _mostly_varies(place, event[where])}
        template = _proved(event, found, usual)
        if template is None or template.columns([event, other]) is not None:
            return template
        others = dict(_values(other))
    except ValueError:  # duplicate keys, or unusual escapes in keys
        return None
    if found.keys() != others.keys():
        return None
    different = {place for place, where in found.items() if event[where] != other[others[place]]}
    may_vary = all(_may_vary(place, event[found[place]]) for place in different)
    return _proved(event, found, usual | different) if may_vary else None


def _mostly_varies(place: _Place, value: bytes) -> bool:
    return place in _KINDS and place != _INDEX and value.startswith((b'"', b"{"))


def _may_vary(place: _Place, value: bytes) -> bool:
    is_named = place[-1] in _NAMED.get(place[:-1], place[-1:])
    return place in _KINDS or (value.startswith(b'"') and not is_named)


def _proved(event: bytes, found: dict[_Place, slice], places: set[_Place]) -> Template | None:
    """The template of an event with holes at these paths, if probes in the holes are decoded to the right values."""
    holes = [place for place in found if place in places]  # in their order in the event
    chunk = _decode_chat(event)
    if not holes or any(call.id or _ARGUMENTS not in places for call in chunk.choices[0].delta.tool_calls or ()):
        return None  # it may begin a call
    literals = _between(event, [found[place] for place in holes])
    kinds = [_KINDS.get(place, _UNNAMED) for place in holes]
    parts = chain.from_iterable(zip(literals, [*(kind.probe for kind in kinds), b""], strict=True))
    probed = _decode_chat(b"".join(parts))
    expected = dict(zip(_CLASSES, _records(_decode_chat(event)), strict=False))
    for kind in kinds:
        if kind.having:
            setattr(expected[kind.having], kind.stored, msgspec.json.decode(kind.probe, type=kind.type))
    return Template(literals, holes, chunk) if _encode(probed) == _encode(expected["chunk"]) else None


def _records(chunk: ModelResponseStream) -> Iterator[Any]:
    """A chunk and the records below it, in the order of `_CLASSES`."""
    choice = chunk.choices[0]
    yield from (chunk, choice, choice.delta)
    for call in choice.delta.tool_calls or ():
        yield from (call, call.function)


def _between(event: bytes, places: list[slice]) -> list[bytes]:
    starts, ends = [0, *(place.stop for place in places)], [*(place.start for place in places), len(event)]
    return [event[start:end] for start, end in zip(starts, ends, strict=True)]


def _values(data: bytes, place: _Place = (), start: int = 0) -> Iterator[tuple[_Place, slice]]:
    """The positions of the values in an event's object, including those in nested objects that are searched.

    Args:
        data: the object.
        place, start: its path and position.

    Raises:
        ValueError: they can't be found.
    """
    at = 0
    for name, raw in _decode_object(data).items():
        value, inner = bytes(raw), (*place, name)
        at = _after(data, _encode(name), at, (b"{", b","))
        at = _after(data, value, at, (b":",)) - len(value)
        items = _decode_list(value) if inner in _LOOKED_INTO and value.startswith(b"[") else []
        if len(items) == 1:
            item = bytes(items[0])
            yield from _values(item, (*inner, 0), start + at + value.index(item, 1))
        elif inner in _LOOKED_INTO and value.startswith(b"{"):
            yield from _values(value, inner, start + at)
        else:
            yield inner, slice(start + at, start + at + len(value))
        at += len(value)


def _after(data: bytes, wanted: bytes, at: int, between: tuple[bytes, ...]) -> int:
    """The end of `wanted`, which must be next, after white space and one of the bytes in `between`."""
    found = data.index(wanted, at)
    if data[at:found].strip() not in between:
        raise ValueError
    return found + len(wanted)
