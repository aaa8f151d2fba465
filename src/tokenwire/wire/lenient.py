"""The second look: what can be understood of an answer that the exact decoders refuse.

Servers send a cost as an object, a count as text, a list of parts as content, half of an emoji. None of that is worth an
answer. So where the exact decode fails, the document is looked at again, in one of two ways:

- A chunk with nothing but odd values in it is decoded into twins that take any value (`loose`): some ten exact decodes.
- Any other document is decoded without types (`halves`), brought into the structure of an answer (here), mended field by
  field (`mending`), and made into structs then. Costs twice as much.

Both understand odd values alike (`odd_values`), and:

- Text is looked for where other kinds of answers have it, where their own place has none, and usage where some servers put it
  (`_find_usage`).
- Choices that share a number within one document are numbered by their places.

What can't be understood as an answer at all is None: there is no JSON object, no list of choices, or something in that
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

# What all decoders raise for what is not JSON or not UTF-8 (all of them ValueErrors), or nested too deeply.
_UNDECODABLE = (ValueError, RecursionError)


def understood(data: bytes, cls: type[R], *, halves: Halves | None = None) -> R | None:
    """What can be understood of a document that the exact decoder refused.

    Args:
        data: JSON, or what Python's own decoder takes for it: NaN, infinities, halves of surrogate pairs.
        cls: the class of an answer or of a chunk.
        halves: those of the stream so far, for a chunk; used up and added to.

    Returns:
        A `cls` whose source is an `OddDocument`; None if it is not an answer.
    """
    if halves is None or halves:  # not a chunk, or one that may have to be put together with an earlier one
        return mended(data, cls, halves=halves)
    try:
        record = loosely(data, cls)
    except (OtherStructureError, *_UNDECODABLE):
        return mended(data, cls, halves=halves)
    return mended(data, cls, halves=halves) if is_elsewhere(record, data) else record


def mended(data: bytes, cls: type[R], *, halves: Halves | None = None) -> R | None:
    """The same for one that `is_elsewhere`, or of another structure."""
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


# From a tree to the structure of an answer.


def _enveloped(tree: object, cls: type[Record], *, is_chunk: bool) -> Fields | None:
    """The tree as the object that a `cls` is made of; None if it is not an answer."""
    content = "choices" if "choices" in cls.__struct_fields__ else "data"
    if isinstance(tree, list) and tree and content == "data":
        tree = {"data": tree}
    if not isinstance(tree, dict):
        return None
    items = tree.get(content, UNSET)
    if content == "choices" and isinstance(items, dict) and any(items.get(name) for name in PLACES_OF_TEXT):
        items = [items]  # which is one
    if not isinstance(items, list):
        if not (_is_end(items, tree) if is_chunk else items is None and cls is ModelList):
            return None
        items = []
    if content == "data":
        items = [_item(item, cls) for item in items]
    tree[content] = found = [item for item in items if item is not None]
    return tree if all(isinstance(item, dict) for item in found) and (found or not items) else None


def _is_end(items: object, tree: Fields) -> bool:
    """Whether a chunk without a list of choices is one: they are null, or have no text and stand beside the usage."""
    can_hold_text = isinstance(items, str | dict) and bool(items)
    return items is None or (isinstance(tree.get("usage"), dict) and not can_hold_text)


def _item(item: object, cls: type[Record]) -> object:
    """An item of the list; servers without envelopes name models by text, and embed in bare vectors."""
    if isinstance(item, str) and cls is ModelList:
        return {"id": item}
    return {"embedding": item} if isinstance(item, list) and cls is EmbeddingResponse else item


def _find_usage(tree: Fields, document: OddDocument) -> None:
    """Take the usage from where some servers put it: in the choices, in `x_groq`. Never from timings."""
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
    """The usage of choices that were counted each by itself; see `assemble.usage_of_choices`."""
    prompt = max(_count(usage, "prompt_tokens") for usage in usages)
    completion = sum(_count(usage, "completion_tokens") for usage in usages)
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _count(usage: Fields, name: str) -> int:
    value = usage.get(name)
    return value if isinstance(value, int) else 0


def _number_choices(tree: Fields, document: OddDocument) -> None:
    """Number choices by their places, where two of them have the same number."""
    choices = tree.get("choices") or []
    if len(choices) > 1 and len({repr(choice.get("index")) for choice in choices}) < len(choices):
        document.note(("choices", "index"))
        for place, choice in enumerate(choices):
            choice["index"] = place
