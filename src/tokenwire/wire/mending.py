"""Corrects a decoded document so that it can be converted to records: in place, field by field, by the structs' types.

A value of another type than its field's is converted (`odd_values`) or left out. In both cases the original is kept in the
`OddDocument` that is the record's source. Null for a field that can't be null counts as not sent.
"""

from collections.abc import Callable
from functools import cache
from types import UnionType
from typing import Any, NamedTuple, Union, get_args, get_origin

from msgspec import UNSET, structs

from ..types._record import Record
from ..types._source import Fields, Odd, OddDocument, Path
from ..types.embeddings import Embedding
from .fields import MESSAGE, PLACES_OF_TEXT, place_of_text
from .odd_values import as_raw, converter_for, texts_of

# The essential fields of an answer: if they have another type, it is not an answer.
_ESSENTIAL = frozenset({(Embedding, "embedding")})

# The fields of a message with readable content.
_CONTENT = (*(row.name for row in MESSAGE if row.is_content), "reasoning")


class Rule(NamedTuple):
    """The values that a field may have.

    Attributes:
        exact: the types of values that need no correction.
        record: the class of the records in it, None if it holds none.
        is_list: whether it is a list of records.
        is_nullable: whether it may be null.
        convert: converts a value of another type to the field's; UNSET if it can't.
    """

    exact: frozenset[type]
    record: type[Record] | None
    is_list: bool
    is_nullable: bool
    convert: Callable[[Any], Any]

    def has_sent(self, taken: object) -> bool:
        """Whether the original value must be kept, as the converted one does not show it."""
        return self.record is None or (taken is UNSET and self.is_nullable)


class _Plan(NamedTuple):
    """How to correct an object that becomes a record.

    Attributes:
        rules: its fields' rules, by their names in JSON; fields that take any value have none.
        exact: the types in the rules.
        below: the plans of the records in its fields.
        text: the field with a choice's text, None for any other object.
        sealed: the names of all fields, for classes whose records need a source only if they have further fields.
    """

    rules: dict[str, Rule]
    exact: dict[str, frozenset[type]]
    below: "dict[str, _Plan]"
    text: str | None
    sealed: frozenset[str] | None


def mend(cls: type[Record], fields: Fields, document: OddDocument) -> None:
    """Correct a document's object, so that it can be converted to a `cls`."""
    _mend(_plan(cls), fields, (), document)


def _mend(plan: _Plan, fields: Fields, path: Path, document: OddDocument) -> None:
    rules, exact, below, text, sealed_names = plan
    if text is not None and not _has_content(fields.get(text)):
        _find_text(text, fields, path, document)
    odd: list[str] | None = None
    for name, value in fields.items():
        types = exact.get(name)
        if types is None or type(value) in types:
            continue
        rule = rules[name]
        if rule.record is not None and type(value) is (list if rule.is_list else dict):
            _mend_below(below[name], value, (*path, name), document)
        elif rule.convert is as_raw:
            fields[name] = as_raw(value)
        else:
            odd = [*(odd or ()), name]
    for name in odd or ():
        _mend_value(plan, fields, (*path, name), document)
    if odd and "content" in odd:
        _spread(rules, fields, document.odd.get(path, {}))
    if sealed_names is not None and (odd or not sealed_names.issuperset(fields)):
        document.has_more = True


def _mend_below(plan: _Plan, value: Any, place: Path, document: OddDocument) -> None:
    """Correct the records in a field; items that are not objects are left out."""
    if isinstance(value, dict):
        _mend(plan, value, place, document)
        return
    if not all(isinstance(item, dict) for item in value):
        value[:] = [item for item in value if isinstance(item, dict)]
    for index, item in enumerate(value):
        _mend(plan, item, (*place, index), document)


def _mend_value(plan: _Plan, fields: Fields, place: Path, document: OddDocument) -> None:
    """Replace a value of another type by its conversion."""
    name = str(place[-1])
    rule, sent = plan.rules[name], fields.pop(name)
    taken = UNSET if sent is None else rule.convert(sent)
    if taken is not UNSET:
        fields[name] = taken
    document.note(place, Odd(sent, taken) if rule.has_sent(taken) else None)
    if rule.record is not None and taken is not UNSET:
        _mend_below(plan.below[name], taken, place, document)


def _spread(rules: dict[str, Rule], fields: Fields, odd: dict[str, Odd]) -> None:
    """Put the texts of parts into their own fields, if these are empty."""
    if "content" in odd:
        for name, text in texts_of(odd["content"].sent).items():
            if name in rules and text and not fields.get(name):
                fields[name] = text


def _has_content(value: object) -> bool:
    """Whether a text, or a message, has readable content."""
    if not isinstance(value, dict):
        return bool(value)
    return bool(value.get("content")) or any(map(value.get, _CONTENT))


def _find_text(own: str, choice: Fields, path: Path, document: OddDocument) -> None:
    """Take a choice's text from the field in which another kind of answer has it."""
    name = next((name for name in PLACES_OF_TEXT if name != own and _has_content(choice.get(name))), None)
    if name is None:
        return
    value = choice[name]
    if own == "text":
        choice["text"] = value.get("content") if isinstance(value, dict) else value
    else:
        known = choice[own] if isinstance(choice.get(own), dict) else {}
        choice[own] = {**known, **(_with_numbered_calls(value) if isinstance(value, dict) else {"content": value})}
    document.note((*path, name))


def _with_numbered_calls(message: Fields) -> Fields:
    """A message as a delta, its tool calls numbered by position, if need be."""
    calls = message.get("tool_calls")
    if not isinstance(calls, list):
        return dict(message)
    numbered = [{"index": place, **call} if isinstance(call, dict) else call for place, call in enumerate(calls)]
    return {**message, "tool_calls": numbered}


# Plans, from the annotations of the structs.


@cache
def rules_of(cls: type[Record]) -> dict[str, Rule]:
    """The rules of a class's fields, by their names in JSON; fields that take any value have none."""
    fields = [field for field in structs.fields(cls) if field.type is not Any]
    return {field.encode_name: _rule(field.encode_name, field.type) for field in fields}


@cache
def _plan(cls: type[Record]) -> _Plan:
    rules = rules_of(cls)
    exact = {name: rule.exact for name, rule in rules.items() if (cls, name) not in _ESSENTIAL}
    below = {name: _plan(rule.record) for name, rule in rules.items() if rule.record is not None}
    is_twin = cls.__mro__[1].__struct_config__.forbid_unknown_fields if issubclass(cls.__mro__[1], Record) else False
    return _Plan(rules, exact, below, place_of_text(cls), frozenset(cls.__struct_encode_fields__) if is_twin else None)


def _rule(name: str, annotation: object) -> Rule:
    parts = _parts(annotation)
    kinds = [get_origin(part) or part for part in parts]
    records = [part for part in (*parts, *(arg for part in parts for arg in get_args(part))) if _is_record(part)]
    exact = frozenset(kinds) - ({list} if records else set()) | ({int} if float in kinds else set())
    return Rule(exact, records[0] if records else None, list in kinds, type(None) in kinds, converter_for(name, kinds))


def _parts(annotation: object) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def _is_record(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Record)
