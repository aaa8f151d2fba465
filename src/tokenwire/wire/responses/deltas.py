"""What `events` needs of a chat completion's chunks."""

from collections.abc import Callable
from typing import Any

import msgspec

from ...types._source import Fields
from ...types.chat import Delta, StreamingChoices
from ...types.logprobs import ChoiceLogprobs
from ..fields import CHOICE, MESSAGE, tests


def tokens_of(choice: StreamingChoices) -> list[Fields]:
    """The log probabilities of a chunk's tokens, with all fields that the API requires."""
    found: Any = choice.logprobs
    tokens: Any = (found.model_dump(exclude_none=True) if isinstance(found, ChoiceLogprobs) else found) or {}
    content = tokens.get("content") if isinstance(tokens, dict) else None
    return [
        {
            **token,
            "bytes": token.get("bytes") or [],
            "top_logprobs": [{"bytes": [], **top} for top in token.get("top_logprobs", ())],
        }
        for token in content or ()
    ]


def _compiled() -> Callable[[Any], str | None]:
    """`only_text`, as generated code, for the reason of `fields.plain_choice`."""
    delta = tests("delta", Delta, [row for row in MESSAGE if row.name not in ("content", "role")])
    choice = tests("choice", StreamingChoices, [row for row in CHOICE if row.name not in ("index", "delta")])
    source = f"""
def only_text(chunk):
    choices = chunk.choices
    if len(choices) != 1:
        return None
    choice = choices[0]
    delta = choice.delta
    if choice.index or {delta} or {choice}:
        return None
    return delta.content
"""
    namespace: Fields = {"UNSET": msgspec.UNSET, "NULL": msgspec.Raw(b"null")}
    exec(source, namespace)  # noqa: S102  (made from the tables of fields alone)
    return namespace["only_text"]


only_text: Callable[[Any], str | None] = _compiled()
"""The text of a chunk that has only text for choice 0; None for any other chunk."""
