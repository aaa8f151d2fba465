"""An assistant's content blocks ↔ the fields of a chat message.

A chat message has its text, its reasoning and its calls side by side, so it can say blocks that stand in the usual order:
thinking, then one text, then calls. Blocks that it can't say (several texts, thinking between calls, citations, the tools of
the server) are kept as they came, in `provider_specific_fields["content_blocks"]`. They are sent again for as long as the
message says what they say: what was changed since counts.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias
from uuid import uuid4

import msgspec

from ...types._source import Fields

Block: TypeAlias = dict[str, Any]

KEPT: Final = "content_blocks"
# The blocks that a chat message can say, and what they must have; others are kept as they came.
_KNOWN: Final[dict[str, tuple[str, ...]]] = {
    "text": ("text",),
    "thinking": ("thinking",),
    "redacted_thinking": (),
    "tool_use": ("id", "name"),
}
THINKING: Final = ("thinking", "redacted_thinking")
INVALID: Final = "INVALID_JSON"  # how Anthropic wants arguments that are not JSON, which an input can't be

_EMPTY: Final = {"type": "text", "text": ""}  # says nothing, and is not taken back

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def message_of(blocks: Iterable[Block]) -> Fields:
    """The fields of the assistant's chat message that says what the blocks say."""
    blocks = [_without_nulls(block) for block in blocks]
    fields = _said_by(blocks)
    blocks = [block for block in blocks if block != _EMPTY]
    if _plain_blocks(fields) != blocks:
        fields["provider_specific_fields"] = {KEPT: blocks}
    return fields


def blocks_of(message: Mapping[str, Any], *, unsigned: bool = False) -> list[Block]:
    """The blocks that say what an assistant's chat message says.

    Args:
        message: its fields; the content is text.
        unsigned: whether reasoning without a signature becomes a thinking block. Messages takes none back that it has not
            signed.
    """
    bag = message.get("provider_specific_fields")
    kept = bag.get(KEPT) if isinstance(bag, Mapping) else None
    if isinstance(kept, list) and all(isinstance(block, dict) for block in kept):
        said = _said_by(kept)
        if all(_same(said.get(name), message.get(name), name) for name in ("content", "tool_calls", "thinking_blocks")):
            return kept
    return _plain_blocks(message, unsigned=unsigned)


def text_of(content: object) -> str:
    """The text of a message's content: itself, or that of its parts."""
    if isinstance(content, list):
        parts = (part.get("text") or part.get("refusal") for part in content if isinstance(part, Mapping))
        return "".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""


def arguments_of(value: object) -> str:
    """A tool's input as the arguments of a chat call: JSON text."""
    if isinstance(value, dict) and value.keys() == {INVALID} and isinstance(value[INVALID], str):
        return value[INVALID]
    return _encode(value if value is not None else {}).decode()


def input_of(arguments: object) -> Fields:
    """The arguments of a chat call as a tool's input."""
    if isinstance(arguments, dict):
        return arguments
    try:
        value = _decode(arguments) if isinstance(arguments, str) and arguments.strip() else {}
    except (msgspec.DecodeError, RecursionError):
        value = None
    return value if isinstance(value, dict) else {INVALID: arguments}


def joined(thinking: Iterable[object]) -> list[Block]:
    """Thinking blocks, those put together that came in pieces: what has no signature goes on in the next."""
    whole: list[Block] = []
    for piece in thinking:
        if not isinstance(piece, dict):
            continue
        last = whole[-1] if whole else {}
        is_next = last.get("type") == piece.get("type") == "thinking" and not last.get("signature")
        parts = last.get("thinking") or "", piece.get("thinking") or ""
        if is_next and all(isinstance(part, str) for part in parts):
            whole[-1] = {**last, **_without_nulls(piece), "thinking": "".join(parts)}
        else:
            whole.append(_without_nulls(piece))
    return whole


def _is(block: Block, *kinds: str) -> bool:
    """Whether it is a block of one of these kinds, as it should be."""
    kind = block.get("type")
    return kind in kinds and all(isinstance(block.get(name), str) for name in _KNOWN[kind])


def _said_by(blocks: list[Block]) -> Fields:
    """What a chat message can say of the blocks."""
    texts = [block["text"] for block in blocks if _is(block, "text")]
    thinking = [block for block in blocks if _is(block, *THINKING)]
    calls = [_call_of(block) for block in blocks if _is(block, "tool_use")]
    thoughts = "".join(block.get("thinking") or "" for block in thinking)
    fields: Fields = {"role": "assistant", "content": "".join(texts) if texts else None}
    if thoughts:
        fields["reasoning_content"] = thoughts
    if thinking:
        fields["thinking_blocks"] = thinking
    if calls:
        fields["tool_calls"] = calls
    return fields


def _call_of(block: Block) -> Fields:
    function = {"name": block.get("name"), "arguments": arguments_of(block.get("input"))}
    return {"id": block.get("id"), "type": "function", "function": function}


def _plain_blocks(message: Mapping[str, Any], *, unsigned: bool = False) -> list[Block]:
    """The message's blocks in the usual order."""
    blocks = joined(message.get("thinking_blocks") or ())
    reasoning = message.get("reasoning_content")
    if reasoning and unsigned and not blocks:
        blocks.append({"type": "thinking", "thinking": reasoning, "signature": ""})
    elif reasoning and blocks and blocks[0].get("type") == "thinking" and not any(block.get("thinking") for block in blocks):
        blocks[0] = {**blocks[0], "thinking": reasoning}  # the signature came apart from what it signs
    text = text_of(message.get("content")) + (message.get("refusal") or "")
    if text:
        blocks.append({"type": "text", "text": text})
    for call in message.get("tool_calls") or ():
        blocks.append(_tool_use(call))
    if called := message.get("function_call"):
        blocks.append(_tool_use({"function": called}))
    return blocks


def _tool_use(call: Mapping[str, Any]) -> Block:
    function = call.get("function") or call.get("custom") or {}
    given = function.get("arguments", function.get("input"))
    call_id = call.get("id") or f"toolu_{uuid4().hex}"
    return {"type": "tool_use", "id": call_id, "name": function.get("name") or "", "input": input_of(given)}


def _same(kept: Any, now: Any, name: str) -> bool:
    if name == "content":
        return (kept or "") == text_of(now)
    if name == "thinking_blocks":
        return joined(kept or ()) == joined(now or ())
    return [_essence(call) for call in kept or ()] == [_essence(call) for call in now or ()]


def _essence(call: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    function = call.get("function") or {}
    return call.get("id"), function.get("name"), input_of(function.get("arguments"))


def _without_nulls(block: Block) -> Block:
    return {name: value for name, value in block.items() if value is not None}
