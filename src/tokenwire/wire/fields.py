"""The fields of a chunk, one row each: code for assembling, converting and the fast paths is made from these tables.

A row has its field's name in JSON. A test fails if a field of `Delta`, `StreamingChoices` or `ModelResponseStream` has no
row.
"""

from collections.abc import Callable, Iterable
from enum import Enum, auto
from operator import attrgetter
from typing import Any, Final

import msgspec

from ..types._record import stored_names
from ..types._source import SOURCE_SLOT
from ..types.chat import FLAT_NAMES, Delta, ModelResponseStream, StreamingChoices


class Grows(Enum):
    """How a field of the whole answer grows from the pieces in chunks."""

    BY_VALUE = auto()  # by the rules of `growing`: text is joined, lists are extended, objects merged
    TEXT = auto()  # text, which is joined
    JSON = auto()  # an object of lists, which is not decoded
    FIRST = auto()  # the first value that is not empty (Azure's first chunk has an empty id and model)
    LATEST = auto()  # the last value, as it may be known only at the end
    UPDATED = auto()  # an object, whose fields are replaced
    APART = auto()  # the assembler has code for it


class Field(msgspec.Struct, frozen=True):
    """A row.

    Attributes:
        name: the field's name in JSON.
        grows: how pieces become the whole.
        is_content: whether it counts as content.
        is_plain: whether a common chunk may have it; a chunk with any other field takes the slow path.
    """

    name: str
    grows: Grows
    is_content: bool = False
    is_plain: bool = False

    @property
    def flat(self) -> str | None:
        """The field's name in a flat chunk; None if it is only in `provider_specific_fields`."""
        return FLAT_NAMES.get(self.name)


MESSAGE = (
    Field("content", Grows.APART, is_content=True, is_plain=True),
    Field("role", Grows.FIRST, is_plain=True),
    Field("tool_calls", Grows.APART, is_content=True),
    Field("reasoning_content", Grows.TEXT, is_content=True),
    Field("reasoning", Grows.TEXT),  # another name of the field above, whose property reads it
    Field("function_call", Grows.APART, is_content=True),
    Field("refusal", Grows.TEXT, is_content=True),
    Field("audio", Grows.BY_VALUE, is_content=True),
    Field("images", Grows.BY_VALUE, is_content=True),
    Field("annotations", Grows.BY_VALUE),
    Field("thinking_blocks", Grows.BY_VALUE),
    Field("reasoning_items", Grows.BY_VALUE),
    Field("provider_specific_fields", Grows.UPDATED),
)

CHOICE = (
    Field("index", Grows.APART, is_plain=True),
    Field("delta", Grows.APART, is_plain=True),
    Field("finish_reason", Grows.LATEST, is_plain=True),
    Field("logprobs", Grows.JSON),
    Field("provider_specific_fields", Grows.UPDATED),
)

HEAD = (
    Field("id", Grows.FIRST, is_plain=True),
    Field("created", Grows.FIRST, is_plain=True),
    Field("model", Grows.FIRST, is_plain=True),
    Field("object", Grows.APART, is_plain=True),
    Field("choices", Grows.APART, is_plain=True),
    Field("system_fingerprint", Grows.LATEST, is_plain=True),
    Field("service_tier", Grows.LATEST, is_plain=True),
    Field("usage", Grows.APART),
    Field("provider_specific_fields", Grows.UPDATED),
    Field("error", Grows.APART),
)

# The field with a choice's text: in a chunk, in a whole answer, in a text completion.
PLACES_OF_TEXT: Final = ("delta", "message", "text")


def place_of_text(cls: type[Any]) -> str | None:
    """The field in which choices of this class have their text; None for any other class."""
    return next(
        (
            name
            for name in PLACES_OF_TEXT
            if name in cls.__struct_encode_fields__ and "finish_reason" in cls.__struct_encode_fields__
        ),
        None,
    )


NULL: Final = msgspec.Raw(b"null")

# Unknown fields about the event, not the answer: padding against attacks that measure sizes.
OF_EVENTS = frozenset({"obfuscation", "padding"})


def names(table: tuple[Field, ...], *grows: Grows) -> tuple[str, ...]:
    """The names of the rows that grow in these ways."""
    return tuple(row.name for row in table if row.grows in grows)


content_of: Callable[[Any], tuple[Any, ...]] = attrgetter(*(row.name for row in MESSAGE if row.is_content))
flat_content_of: Callable[[Any], tuple[Any, ...]] = attrgetter(*(row.flat for row in MESSAGE if row.is_content and row.flat))


def _compiled() -> Callable[[ModelResponseStream, bytes], StreamingChoices | None]:
    """`plain_choice`, as generated code: checking each field in turn costs half as much as comparing all at once."""
    source = f"""
def plain_choice(chunk, event):
    choices = chunk.choices
    if len(choices) != 1 or {_rare("chunk", ModelResponseStream, HEAD)}:
        return None
    choice = choices[0]
    delta = choice.delta
    if choice.index != 0 or {_rare("delta", Delta, MESSAGE)} or {_rare("choice", StreamingChoices, CHOICE)}:
        return None
    chunk.{SOURCE_SLOT} = choice.{SOURCE_SLOT} = event
    return choice
"""
    namespace: dict[str, Any] = {"UNSET": msgspec.UNSET, "NULL": NULL}
    exec(source, namespace)  # noqa: S102  (made from the tables above alone)
    return namespace["plain_choice"]


def _rare(variable: str, cls: type[Any], table: tuple[Field, ...]) -> str:
    return tests(variable, cls, [row for row in table if not row.is_plain])


def tests(variable: str, cls: type[Any], rows: Iterable[Field]) -> str:
    """An expression that is true if a field of one of the rows has a value that is not null."""
    wanted = {row.name: row for row in rows}
    found: list[str] = []
    for field in msgspec.structs.fields(cls):
        if (row := wanted.get(field.encode_name)) is not None:
            value = f"{variable}.{field.name}"
            may_be_unset = f"{value} is not UNSET and " if field.default is msgspec.UNSET else ""
            may_be_null = f" and {value} != NULL" if row.grows is Grows.JSON else ""
            found.append(f"({may_be_unset}{value} is not None{may_be_null})")
    return " or ".join(found)


plain_choice: Callable[[ModelResponseStream, bytes], StreamingChoices | None] = _compiled()
"""The only choice of a common chunk, which has only a role, a piece of text and a finish reason, for choice 0; None for any
other chunk. Sets the source of chunk and choice; a delta decoded here has no unknown fields."""


def leftovers_of(delta: Delta) -> dict[str, Any]:
    """The fields of a delta that are not fields of a flat chunk."""
    return {name: value for name, read in _leftovers if (value := read(delta)) is not None}


_leftovers = tuple(
    (row.name, attrgetter(stored_names(Delta)[row.name])) for row in MESSAGE if row.flat is None and row.name != "role"
)
