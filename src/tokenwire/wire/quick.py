"""The quick way into the answer: common chunks are taken in by code that is written out from the tables of fields.

Most chunks of a stream continue one choice: they bring a piece of text, of reasoning or of a tool call's arguments, perhaps
with logprobs and the usage so far. Such a chunk costs a look at each field that it should not have, and one append for each
that it has. Any other (the first of its choice, the last, one with a rare field) is not touched and goes the long way round:
`Assembler.add` and `Converter.convert`, which do the same for whatever a chunk can be.
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

Take: TypeAlias = Callable[[Any, ModelResponseStream, bytes, dict[int, Any] | None], Any]

_TEXTS = {name: stored_names(Delta)[name] for name in names(MESSAGE, Grows.TEXT)}
_TAKEN = frozenset({"content", "tool_calls", *_TEXTS, "logprobs", "usage"})
_OF_ANY_TYPE = [
    field.encode_name for field in msgspec.structs.fields(Delta) if field.type is Any and field.encode_name in _TEXTS
]
_LOGPROBS = stored_names(StreamingChoices)["logprobs"]


def _is_taken(row: Field) -> bool:
    return row.name in _TAKEN or (row.is_plain and row.name != "finish_reason")


def _has(name: str) -> str:
    """An expression that is true where the field of this name has text. What may hold anything was looked at before."""
    return f"{name} is not None and {name} is not UNSET" if name in _OF_ANY_TYPE else f"{name} is not None"


def _rare(variable: str, cls: type[Any], table: tuple[Field, ...]) -> str:
    return tests(variable, cls, [row for row in table if not _is_taken(row)])


def _only_text() -> str:
    """A statement that leaves what holds something else than text in a field for text."""
    odd = " or ".join(f"({_has(name)} and type({name}) is not str)" for name in _OF_ANY_TYPE) or "False"
    return f"if {odd}: return None"


def _no_texts() -> str:
    """An expression that is true where no field for text was sent."""
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


def _written(*, is_flat: bool) -> Take:
    """The function, for chunks that go on as they are or become flat ones."""
    source = f"""
def take(assembler, chunk, event, decoded):
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
        "set_source": set_source,  # a store takes three times as long where a class has a `__setattr__` of its own
    }
    exec(source, namespace)  # noqa: S102  (made from the tables alone)
    return namespace["take"]


def take_piece(assembler: Assembler, piece: GenericStreamingChunk) -> GenericStreamingChunk | None:
    """The same for a flat chunk that a handler made, and that has nothing to do with how its choice ends.

    Returns:
        The chunk, a copy where its tool call has to be numbered; None as above.
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


def take_addition(assembler: Assembler, addition: Addition) -> bool:
    """The same for what is known to add to a choice and to have nothing else; False for an addition to what has not begun."""
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


take_chat: Take = _written(is_flat=False)
"""Takes in a chunk: appends its pieces to what an assembler has collected, and gives it back, knowing its event.

Args:
    assembler: the stream's.
    chunk: as it was decoded. Its delta has no fields that no struct names, unless `decoded` is given.
    event: its bytes.
    decoded: the documents decoded so far, where fields that no struct names are looked for.

Returns:
    The chunk; None for one that needs the long way round, of which nothing has been taken in then.
"""

take_flat: Take = _written(is_flat=True)
"""The same for a caller who wants flat chunks: gives the flat chunk."""
