"""The lenient decoder, for answers that the exact decoders refuse.

Servers send a cost as an object, a count as text, a list of parts as content, half of an emoji. None of these is a reason to
lose the answer. So if the exact decode fails, the document is decoded again, in one of two ways:

- A chunk with odd values only (values of other types than expected) is decoded into twins, classes whose fields take any
  value (`loose`). This costs about ten exact decodes.
- Any other document is decoded without types (`halves`), brought into the structure of an answer (here), corrected field by
  field (`mending`), and then converted to structs. This costs twice as much.

Both convert odd values by the same rules (`odd_values`), and:

- Text that is missing is searched where other kinds of answers have it, and usage where some servers put it
  (`_find_usage`).
- Choices with the same index in one document are numbered by their positions.

The result is None if the document is not an answer: not a JSON object, without a list of choices, or with something in that
list that is not an object.
"""

from typing import Any, TypeVar

import msgspec
from msgspec import UNSET

from ..types._opened import OpenChunk, sealed
from ..types._record import Record
from ..types._source import Fields, OddDocument, attach_document
from ..types.chat import ModelResponseStream
from ..types.embeddings import EmbeddingResponse
from ..types.models import ModelList
from .elsewhere import is_elsewhere
from .fields import PLACES_OF_TEXT
from .halves import Halves, tree_in
from .loose import OtherStructureError, loosely
from .mending import mend

R = TypeVar("R", bound=Record)

# Raised by all decoders for invalid JSON or UTF-8 (all of them ValueErrors), or for too deep nesting.
_UNDECODABLE = (ValueError, RecursionError)


def understood(data: bytes, cls: type[R], *, halves: Halves | None = None) -> R | None:
    """Decode a document that the exact decoder refused.

    Args:
        data: JSON, also with NaN, infinities or lone surrogates, as Python's json accepts them.
        cls: the class of an answer or of a chunk.
        halves: for a chunk, the kept halves of the stream so far; changed in place.

    Returns:
        A `cls` whose source is an `OddDocument`; None if it is not an answer.
    """
    if halves is None or halves:  # not a chunk, or one that may continue a surrogate pair
        return mended(data, cls, halves=halves)
    try:
        record = loosely(data, cls)
    except (OtherStructureError, *_UNDECODABLE):
        return mended(data, cls, halves=halves)
    return mended(data, cls, halves=halves) if is_elsewhere(record, data) else record


def mended(data: bytes, cls: type[R], *, halves: Halves | None = None) -> R | None:
    """The same for a document with text or usage elsewhere (`is_elsewhere`), or of another structure."""
    try:
        tree = _enveloped(tree_in(data, halves), cls, is_chunk=halves is not None)
        if tree is None:
            return None
        document = OddDocument(data)
        document.mended = tree
        _find_usage(tree, document)
        _number_choices(tree, document)
        if cls is ModelResponseStream:
            record: Any = _converted(tree, document)
        else:
            mend(cls, tree, document)
            record = msgspec.convert(tree, cls)
    except _UNDECODABLE:
        return None
    attach_document(record, document, OpenChunk if document.has_more and cls is ModelResponseStream else None)
    return record


def _converted(tree: Fields, document: OddDocument) -> ModelResponseStream:
    mend(OpenChunk, tree, document)
    return sealed(msgspec.convert(tree, OpenChunk))


# Bring a tree into the structure of an answer.


def _enveloped(tree: object, cls: type[Record], *, is_chunk: bool) -> Fields | None:
    """The tree as an object with the structure of a `cls`; None if it is not an answer."""
    content = "choices" if "choices" in cls.__struct_fields__ else "data"
    if isinstance(tree, list) and tree and content == "data":
        tree = {"data": tree}
    if not isinstance(tree, dict):
        return None
    items = tree.get(content, UNSET)
    if content == "choices" and isinstance(items, dict) and any(items.get(name) for name in PLACES_OF_TEXT):
        items = [items]  # a single item
    if not isinstance(items, list):
        if not (_is_end(items, tree) if is_chunk else items is None and cls is ModelList):
            return None
        items = []
    if content == "data":
        items = [_item(item, cls) for item in items]
    tree[content] = found = [item for item in items if item is not None]
    return tree if all(isinstance(item, dict) for item in found) and (found or not items) else None


def _is_end(items: object, tree: Fields) -> bool:
    """Whether a document without a list of choices is a chunk: choices is null, or has no text next to a usage."""
    can_hold_text = isinstance(items, str | dict) and bool(items)
    return items is None or (isinstance(tree.get("usage"), dict) and not can_hold_text)


def _item(item: object, cls: type[Record]) -> object:
    """An item of the list; some servers send models as texts, and embeddings as bare lists."""
    if isinstance(item, str) and cls is ModelList:
        return {"id": item}
    return {"embedding": item} if isinstance(item, list) and cls is EmbeddingResponse else item


def _find_usage(tree: Fields, document: OddDocument) -> None:
    """Take the usage from where some servers put it: from the choices or `x_groq`. Never from timings."""
    if tree.get("usage") is not None or "choices" not in tree:
        return
    groq = tree.get("x_groq")
    for name, holders in (("x_groq", [groq] if isinstance(groq, dict) else []), ("choices", tree["choices"])):
        found = [usage for holder in holders if isinstance(usage := holder.get("usage"), dict)]
        if found:
            is_sum = len(found) > 1 and any(usage != found[0] for usage in found)
            tree["usage"] = _sum(found) if is_sum else dict(found[0])
            document.note((name, "usage"))
            return


def _sum(usages: list[Fields]) -> Fields:
    """The usage of choices that were counted separately; see `assemble.usage_of_choices`."""
    prompt = max(_count(usage, "prompt_tokens") for usage in usages)
    completion = sum(_count(usage, "completion_tokens") for usage in usages)
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _count(usage: Fields, name: str) -> int:
    value = usage.get(name)
    return value if isinstance(value, int) else 0


def _number_choices(tree: Fields, document: OddDocument) -> None:
    """Number choices by their positions, if two of them have the same index."""
    choices = tree.get("choices") or []
    if len(choices) > 1 and len({repr(choice.get("index")) for choice in choices}) < len(choices):
        document.note(("choices", "index"))
        for place, choice in enumerate(choices):
            choice["index"] = place
