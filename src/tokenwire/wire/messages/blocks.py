"""An assistant's content blocks ↔ the fields of a chat message.

The fields of a chat message can express blocks in the usual order: thinking, then one text, then calls. A message of other
blocks (several texts, thinking between calls, citations, tools that Anthropic's servers run) keeps them as `segments` has
it: such a block is in its segment, under `content_blocks`.

Reasoning of the Responses API is sealed in a thinking block's `signature`, or in the `data` of a redacted one. The signature of
thinking that no API has signed says so, since only endpoints of other APIs have such reasoning, and those of Messages refuse it.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias
from uuid import uuid4

import msgspec

from ...types._source import Fields
from ..sealed import is_sealed, seal, unseal
from ..segments import message_of as message_of_segments, segments_of, text_of

Block: TypeAlias = dict[str, Any]

AS_SENT: Final = "content_blocks"  # in a segment
# The blocks that chat messages have fields for, and the fields that each block must have.
_KNOWN: Final[dict[str, tuple[str, ...]]] = {
    "text": ("text",),
    "thinking": ("thinking",),
    "redacted_thinking": (),
    "tool_use": ("id", "name"),
}
THINKING: Final = ("thinking", "redacted_thinking")
UNSIGNED: Final = seal("reasoning_items", [])  # the signature of thinking that no API has signed
INVALID: Final = "INVALID_JSON"  # Anthropic's key for arguments that are not JSON, since an input is always an object

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def message_of(blocks: Iterable[Block], *, unsealed: bool = False) -> Fields:
    """The fields of the assistant's chat message for these blocks.

    Args:
        blocks: the message's content.
        unsealed: whether what is sealed becomes the message's fields again; otherwise it remains in its thinking block.
    """
    return message_of_segments([_segment_of(_without_nulls(block), unsealed=unsealed) for block in blocks])


def blocks_of(message: Mapping[str, Any], *, answers: bool = False) -> list[Block]:
    """The blocks for an assistant's chat message.

    Args:
        message: its fields; the content is text.
        answers: whether the message answers a client. Then reasoning without a signature becomes a thinking block that is
            marked as unsigned, and encrypted reasoning items are sealed; an endpoint would refuse both.
    """
    blocks: list[Block] = []
    for segment in segments_of(message):
        given: Any = segment.get(AS_SENT) if segment is not message else None
        sent: list[Block] = [block for block in given if isinstance(block, dict)] if isinstance(given, list) else []
        blocks += sent or _usual_blocks(segment, answers=answers)
    return blocks


def arguments_of(value: object) -> str:
    """A tool's input as the arguments of a chat call, which are JSON text."""
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
    """Thinking blocks, with those joined that arrived in pieces: a block without a signature continues in the next."""
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


def is_sealed_here(block: object) -> bool:
    """Whether it is a thinking block that no endpoint of Messages has made."""
    return isinstance(block, dict) and block.get("type") in THINKING and is_sealed(_opaque_in(block))


def sealed(items: object) -> str:
    """Opaque text for those of a message's `reasoning_items` that are encrypted; "" if there are none.

    The others are not sealed: their text is all that there is of them.
    """
    given: list[Any] = items if isinstance(items, list) else []
    encrypted = [item for item in given if isinstance(item, dict) and item.get("encrypted_content")]
    return seal("reasoning_items", encrypted) if encrypted else ""


def _segment_of(block: Block, *, unsealed: bool) -> Fields:
    own = _own_fields(block, unsealed=unsealed)
    if own == {"content": ""} or (unsealed and is_sealed_here(block)) or _usual_blocks(own) == [block]:
        return own
    return {**own, AS_SENT: [block]}


def _own_fields(block: Block, *, unsealed: bool) -> Fields:
    """The fields of a chat message for one block; none if chat messages do not have such blocks."""
    kind = block.get("type")
    names = _KNOWN.get(kind) if isinstance(kind, str) else None
    if names is None or not all(isinstance(block.get(name), str) for name in names):
        return {}
    if kind == "text":
        return {"content": block["text"]}
    if kind == "tool_use":
        function = {"name": block["name"], "arguments": arguments_of(block.get("input"))}
        return {"tool_calls": [{"id": block["id"], "type": "function", "function": function}]}
    text = {"reasoning_content": block["thinking"]} if kind == "thinking" and block["thinking"] else {}
    found = unseal(_opaque_in(block)) if unsealed else None
    return {**text, **({"thinking_blocks": [block]} if found is None else found)}


def _opaque_in(block: Block) -> object:
    """What only the maker of a thinking block can read."""
    return block.get("data" if block.get("type") == "redacted_thinking" else "signature")


def _usual_blocks(message: Mapping[str, Any], *, answers: bool = False) -> list[Block]:
    """The blocks for a message's own fields, in the usual order."""
    blocks = joined(message.get("thinking_blocks") or ())
    if answers:
        blocks = [block if _opaque_in(block) else {**block, "signature": UNSIGNED} for block in blocks]
    reasoning = message.get("reasoning_content")
    opaque = sealed(message.get("reasoning_items")) if answers else ""
    if reasoning and answers and not blocks:
        blocks.append({"type": "thinking", "thinking": reasoning, "signature": opaque or UNSIGNED})
    elif opaque:
        blocks.append({"type": "redacted_thinking", "data": opaque})
    elif reasoning and blocks and blocks[0].get("type") == "thinking" and not any(block.get("thinking") for block in blocks):
        blocks[0] = {**blocks[0], "thinking": reasoning}  # the signature arrived separately from its text
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


def _without_nulls(block: Block) -> Block:
    return {name: value for name, value in block.items() if value is not None}
