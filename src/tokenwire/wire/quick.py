"""The fast path of the assembler: common chunks are added by code generated from the tables of fields.

Most chunks of a stream continue one choice: they have a piece of text, of reasoning or of a tool call's arguments, perhaps
with logprobs and the usage so far. Such a chunk costs a check of each field that it must not have, and one append for each
that it has. Any other (the first of its choice, the last, one with a rare field) is not changed and takes the slow path:
`Assembler.add` and `Converter.convert`, which handle every chunk.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec

from ..types._record import build, copy_fields, sent, stored_names
from ..types._source import SOURCE_SLOT, children, set_source
from ..types.additions import ARGUMENTS, CONTENT, Addition
from ..types.chat import Delta, GenericStreamingChunk, ModelResponseStream, StreamingChoices, Usage
from .assemble import Assembler
from .convert import numbered
from .fields import CHOICE, HEAD, MESSAGE, NULL, Field, Grows, names, tests
from .growing import Pieces, RawPieces, grown

Append: TypeAlias = Callable[[Any, ModelResponseStream, bytes, dict[int, Any] | None], Any]

_TEXTS = {name: stored_names(Delta)[name] for name in names(MESSAGE, Grows.TEXT)}
_TAKEN = frozenset({"content", "tool_calls", *_TEXTS, "logprobs", "usage"})
_OF_ANY_TYPE = [
    field.encode_name for field in msgspec.structs.fields(Delta) if field.type is Any and field.encode_name in _TEXTS
]
_LOGPROBS = stored_names(StreamingChoices)["logprobs"]


def _is_taken(row: Field) -> bool:
    return row.name in _TAKEN or (row.is_plain and row.name != "finish_reason")


def _has(name: str) -> str:
    """An expression that is true if the field of this name has text. Fields of any type have been checked before."""
    return f"{name} is not None and {name} is not UNSET" if name in _OF_ANY_TYPE else f"{name} is not None"


def _rare(variable: str, cls: type[Any], table: tuple[Field, ...]) -> str:
    return tests(variable, cls, [row for row in table if not _is_taken(row)])


def _only_text() -> str:
    """A statement that returns if a field for text has a value of another type."""
    odd = " or ".join(f"({_has(name)} and type({name}) is not str)" for name in _OF_ANY_TYPE) or "False"
    return f"if {odd}: return None"


def _no_texts() -> str:
    """An expression that is true if no field for text was sent."""
    return " and ".join(f"{name} is {'UNSET' if name in _OF_ANY_TYPE else None}" for name in _TEXTS)


def _append(name: str) -> str:
    return f"""
        if {_has(name)}:
            pieces = message.get({name!r})
            if type(pieces) is not Pieces:
                pieces = message[{name!r}] = Pieces()
            pieces.append({name})"""


def _knows_event(part: str) -> str:
    return f"""
        if usage.{part} is not None:
            set_source(usage.{part}, event)"""


_FLATTENED = f"""piece = copy(PIECE)
    piece.id, piece.model, piece.{SOURCE_SLOT} = chunk.id, chunk.model, event
    if content:
        piece.text = content
    if calls:
        piece.tool_use = call = calls[0]
        if call.index != number:
            piece.tool_use = numbered(call, number)
    if reasoning_content is not None or reasoning is not UNSET:
        piece.reasoning_content = delta.reasoning_content
    if choice.index:
        piece.index = choice.index
    if logprobs is not None:
        piece.{stored_names(GenericStreamingChunk)["logprobs"]} = logprobs
    if usage is not None:
        piece.usage = usage
    return piece"""


def _written(*, is_flat: bool) -> Append:
    """The generated function, for callers of OpenAI's chunks or of flat ones."""
    source = f"""
def append(assembler, chunk, event, decoded):
    choices = chunk.choices
    if len(choices) != 1 or {_rare("chunk", ModelResponseStream, HEAD)}:
        return None
    choice = choices[0]
    delta = choice.delta
    if {_rare("choice", StreamingChoices, CHOICE)} or {_rare("delta", Delta, MESSAGE)}:
        return None
    state = assembler.begun(choice.index)
    if state is None:
        return None
    content, calls = delta.content, delta.tool_calls
    {", ".join(_TEXTS)} = {", ".join(f"delta.{slot}" for slot in _TEXTS.values())}
    if content and calls is None and {_no_texts()}:
        state.text.append(content)
    else:
        {_only_text()}
        if not (content or calls or {" or ".join(_TEXTS)}):
            return None
        if calls:
            if len(calls) != 1 or state.calls is None:
                return None
            number = state.calls.add(calls[0], decoded)
        if content is not None:
            state.text.append(content)
        message = state.message
        {"".join(map(_append, _TEXTS))}
    if delta.role:
        state.message.setdefault("role", delta.role)
    logprobs = choice.{_LOGPROBS}
    if logprobs is not None and logprobs != NULL:
        if state.logprobs is None:
            state.logprobs = RawPieces()
        state.logprobs.append(logprobs)
    chunk.{SOURCE_SLOT} = choice.{SOURCE_SLOT} = event
    usage = chunk.usage
    if usage is not None:
        assembler.usage = usage
        set_source(usage, event)
        {"".join(_knows_event(child.key) for child in children(Usage))}
    {_FLATTENED if is_flat else "return chunk"}
"""
    namespace: dict[str, Any] = {
        "UNSET": msgspec.UNSET,
        "NULL": NULL,
        "Pieces": Pieces,
        "RawPieces": RawPieces,
        "copy": copy_fields,
        "PIECE": build(GenericStreamingChunk),
        "numbered": numbered,
        "set_source": set_source,  # three times as fast as an assignment for a class with its own `__setattr__`
    }
    exec(source, namespace)  # noqa: S102  (made from the tables alone)
    return namespace["append"]


def append_piece(assembler: Assembler, piece: GenericStreamingChunk) -> GenericStreamingChunk | None:
    """The same for a handler's flat chunk that does not end its choice.

    Returns:
        The chunk, a copy if its tool call has to be numbered; None as above.
    """
    state, call = assembler.begun(piece.index), piece.tool_use
    if state is None or not (piece.text or piece.reasoning_content or call) or (call is not None and state.calls is None):
        return None
    if piece.text:
        state.text.append(piece.text)
    if piece.reasoning_content is not None:
        state.extend_text("reasoning_content", [piece.reasoning_content])
    if call is not None and state.calls is not None:
        number = state.calls.add(call, {})
        if number != call.index:
            piece = copy_fields(piece)
            piece.tool_use = numbered(call, number)
    state.add_logprobs(sent(piece, "logprobs"))
    if piece.usage is not None:
        assembler.usage = piece.usage
    return piece


def append_addition(assembler: Assembler, addition: Addition) -> bool:
    """The same for an addition; False, with nothing added, if its choice or tool call has not begun."""
    state, field = assembler.begun(addition.index), addition.field
    if state is None:
        return False
    if field == CONTENT:
        state.text.append(addition.text)
    elif field == ARGUMENTS:
        if state.calls is None or not state.calls.add_arguments(addition.call, addition.text):
            return False
    else:
        grown(state.message, field, Pieces).append(addition.text)
    if addition.logprobs is not None:
        if state.logprobs is None:
            state.logprobs = RawPieces()
        state.logprobs.append(addition.logprobs)
    if addition.usage is not None:
        assembler.usage = addition.usage
    return True


append_chat: Append = _written(is_flat=False)
"""Adds a chunk: appends its pieces to what an assembler has collected, sets its source, and returns it.

Args:
    assembler: the stream's.
    chunk: as decoded. Its delta has no unknown fields, unless `decoded` is given.
    event: its bytes.
    decoded: a cache of decoded documents, for unknown fields.

Returns:
    The chunk; None for one that needs the slow path, of which nothing has been added.
"""

append_flat: Append = _written(is_flat=True)
"""The same for callers of flat chunks: returns the flat chunk."""
