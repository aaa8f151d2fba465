"""From bytes to a tree: documents that msgspec refuses, as they hold what Python's own decoder takes for JSON.

Those are NaN, infinities, and halves of surrogate pairs. A half at the end of a piece of text waits for its other half, which
begins the next piece. A half without its other half is U+FFFD.
"""

import re
from typing import Any, TypeAlias

import msgspec

from ..types._source import Path

# The first halves of characters whose other halves are still to come, by the places of the texts that they end.
Halves: TypeAlias = dict[Path, str]

_decode = msgspec.json.Decoder().decode

_ESCAPED_HALF = re.compile(rb"\\u[dD][89a-fA-F]")
_HALF = re.compile("[\ud800-\udfff]")
_IN_PIECES = frozenset({"arguments", "content", "reasoning", "reasoning_content", "refusal", "text"})


def tree_in(data: bytes, halves: Halves | None) -> object:
    """What a document says, without halves of surrogate pairs.

    Args:
        data: the document.
        halves: those of the stream so far, for a chunk; used up and added to.

    Raises:
        ValueError, RecursionError: it is not JSON, not UTF-8, or nested too deeply.
    """
    try:
        tree = _decode(data)
    except msgspec.DecodeError:
        import json  # is loaded where msgspec refuses, and nowhere else

        tree = json.loads(data.decode())
        has_halves = _ESCAPED_HALF.search(data) is not None
    else:
        has_halves = bool(halves)
    if not has_halves:
        return tree
    if isinstance(tree, dict | list):
        _join(tree, (), halves)
        return tree
    return _repaired(tree) if isinstance(tree, str) else tree


def _join(container: Any, path: Path, halves: Halves | None) -> None:
    """Join halves in all texts of an object or a list, in place; move those that may be continued to `halves`."""
    items = container.items() if isinstance(container, dict) else enumerate(container)
    for name, value in items:
        if isinstance(value, str):
            if halves is not None and name in _IN_PIECES:
                container[name] = _continued(value, (*path, name), halves)
            elif not value.isascii():
                container[name] = _repaired(value)
        elif isinstance(value, dict | list):
            _join(value, (*path, name if isinstance(name, str) else _number(value, name)), halves)
    if isinstance(container, dict):
        for name in [name for name in container if not name.isascii()]:
            container[_repaired(name)] = container.pop(name)


def _continued(text: str, place: Path, halves: Halves) -> str:
    """The text with the half that was kept for it, and without one that may be continued."""
    text = halves.pop(place, "") + text
    if "\ud800" <= text[-1:] <= "\udbff":
        text, halves[place] = text[:-1], text[-1]
    return _repaired(text)


def _number(item: object, place: int) -> int:
    index = item.get("index") if isinstance(item, dict) else None
    return index if isinstance(index, int) else place


def _repaired(text: str) -> str:
    """The text with its halves joined, and U+FFFD for each that has no other."""
    if text.isascii() or _HALF.search(text) is None:
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
