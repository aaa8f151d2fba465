"""Decodes documents that msgspec refuses but Python's json accepts: with NaN, infinities, or lone surrogates.

A high surrogate at the end of a piece of text is kept for its low surrogate, which begins the next piece. A lone surrogate
becomes U+FFFD. A "half" here is one surrogate of a pair.
"""

import re
from typing import Any, TypeAlias

import msgspec

from ..types._source import Path

# High surrogates whose low surrogates are still to arrive, by the path of the text that they end.
Halves: TypeAlias = dict[Path, str]

_decode = msgspec.json.Decoder().decode

_ESCAPED_HALF = re.compile(rb"\\u[dD][89a-fA-F]")
_HALF = re.compile("[\ud800-\udfff]")
_IN_PIECES = frozenset({"arguments", "content", "reasoning", "reasoning_content", "refusal", "text"})


def tree_in(data: bytes, halves: Halves | None) -> object:
    """A document's value, without lone surrogates.

    Args:
        data: the document.
        halves: for a chunk, the kept halves of the stream so far; changed in place.

    Raises:
        ValueError, RecursionError: it is not JSON, not UTF-8, or nested too deeply.
    """
    try:
        tree = _decode(data)
    except msgspec.DecodeError:
        import json  # loaded only if msgspec refuses

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
    """Join surrogate pairs in all texts of an object or list, in place; move those at an end to `halves`."""
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
    """The text after the half that was kept for it, and without one at its end, which is kept."""
    text = halves.pop(place, "") + text
    if "\ud800" <= text[-1:] <= "\udbff":
        text, halves[place] = text[:-1], text[-1]
    return _repaired(text)


def _number(item: object, place: int) -> int:
    index = item.get("index") if isinstance(item, dict) else None
    return index if isinstance(index, int) else place


def _repaired(text: str) -> str:
    """The text with surrogate pairs joined, and U+FFFD for lone ones."""
    if text.isascii() or _HALF.search(text) is None:
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
