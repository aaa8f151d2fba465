"""Remarks for the log about a complete answer: fields with unexpected values, and parameters that the server ignored.

Servers ignore parameters that they do not know, and answer with status 200. The remarks make that visible.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from ..types import EmbeddingResponse, ModelResponse, TextCompletionResponse
from ..types._source import Path


def remarks_on(params: Mapping[str, Any], answer: object, odd: Iterable[Path]) -> tuple[str, ...]:
    """The remarks, a line each.

    Args:
        params: the call's parameters.
        answer: its answer.
        odd: the paths of fields whose values had another type than expected, but were understood.
    """
    names = sorted({".".join(step for step in place if isinstance(step, str)) for place in odd})
    remarks = [f"fields with values of another type than expected: {', '.join(names)}"] if names else []
    if isinstance(answer, EmbeddingResponse):
        remarks += _dropped_vectors(params, answer)
    elif isinstance(answer, ModelResponse | TextCompletionResponse) and answer.choices:
        remarks += _dropped(params, answer.choices)
    return tuple(remarks)


def _dropped(params: Mapping[str, Any], choices: list[Any]) -> list[str]:
    dropped: list[str] = []
    number = params.get("n")
    if isinstance(number, int) and len(choices) < number:
        dropped.append(f"n={number} was requested, but the number of choices is {len(choices)}")
    if params.get("logprobs") not in (None, False) and all(choice.logprobs is None for choice in choices):
        dropped.append("logprobs were requested, but there are none")
    forced = params.get("tool_choice")
    if (forced == "required" or isinstance(forced, dict)) and not any(map(_calls_a_tool, choices)):
        dropped.append("a tool call was required, but there is none")
    return dropped


def _calls_a_tool(choice: object) -> bool:
    message = getattr(choice, "message", None)
    return message is not None and bool(message.tool_calls or message.function_call)


def _dropped_vectors(params: Mapping[str, Any], answer: EmbeddingResponse) -> list[str]:
    vectors = [item.embedding for item in answer.data]
    dropped: list[str] = []
    if params.get("encoding_format") == "base64" and any(isinstance(vector, list) for vector in vectors):
        dropped.append("base64 was requested, but the vectors are lists")
    dimensions = params.get("dimensions")
    lengths = {length for vector in vectors if (length := _length_of(vector)) is not None}
    if isinstance(dimensions, int) and lengths - {dimensions}:
        dropped.append(f"dimensions={dimensions} was requested, but vectors have {max(lengths - {dimensions})}")
    return dropped


def _length_of(vector: object) -> int | None:
    """The number of dimensions of a list or of base64 text; None for anything else."""
    if isinstance(vector, str):
        return (len(vector) * 3 // 4 - vector[-2:].count("=")) // 4
    return len(vector) if isinstance(vector, list) and not any(isinstance(item, list) for item in vector) else None
