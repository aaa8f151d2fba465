"""Messages as Anthropic's API sends them: whole, and as the events of a stream."""

import json
from typing import Any

Block = dict[str, Any]

USAGE = {"input_tokens": 10, "cache_creation_input_tokens": 3, "cache_read_input_tokens": 5, "output_tokens": 20}
THINKING = {"type": "thinking", "thinking": "Let me see.", "signature": "c2lnbmVk"}
REDACTED = {"type": "redacted_thinking", "data": "aGlkZGVu"}
TEXT = {"type": "text", "text": 'Hello, "world" 🌍\n'}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Oslo", "days": [1, 2]}}
NO_ARGUMENTS = {"type": "tool_use", "id": "toolu_2", "name": "now", "input": {}}
SEARCH = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "oslo"}}
FOUND = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [{"type": "web_search_result", "url": "u"}]}
CITED = {"type": "text", "text": "As they say.", "citations": [{"type": "char_location", "cited_text": "c"}]}

# What an assistant may say, by the name of the test: blocks, and whether a chat message says them as they are.
ANSWERS: dict[str, tuple[list[Block], bool]] = {
    "text": ([TEXT], True),
    "nothing": ([], True),
    "thinking": ([THINKING, TEXT], True),
    "redacted": ([THINKING, REDACTED, TEXT], True),
    "calls": ([TEXT, CALL, NO_ARGUMENTS], True),
    "thought-calls": ([THINKING, CALL], True),
    "two-texts": ([TEXT, {"type": "text", "text": "And more."}], False),
    "interleaved": ([THINKING, CALL, {**THINKING, "signature": "b3RoZXI="}, NO_ARGUMENTS], False),
    "searched": ([TEXT, SEARCH, FOUND, CITED], False),
    "caller": ([{**CALL, "caller": {"type": "direct"}}], False),
}


def message(blocks: list[Block], stop_reason: str | None = "end_turn", **fields: Any) -> dict[str, Any]:
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "content": blocks}
    return {**head, "stop_reason": stop_reason, "stop_sequence": None, "usage": USAGE, **fields}


def event(kind: str, **fields: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), json.dumps({"type": kind, **fields}, separators=(",", ":")).encode())


def events(blocks: list[Block], stop_reason: str | None = "end_turn", size: int = 4, **delta: Any) -> list[bytes]:
    """The events that stream a message, each text in pieces of so many characters."""
    start = {**message([], None), "usage": {**USAGE, "output_tokens": 1}}
    ending = {"stop_reason": stop_reason, "stop_sequence": None, **delta}
    sent = [event("message_start", message=start), event("ping")]
    for index, block in enumerate(blocks):
        sent += _block_events(index, block, size)
    sent.append(event("message_delta", delta=ending, usage={"output_tokens": USAGE["output_tokens"]}))
    return [*sent, event("message_stop")]


def _block_events(index: int, block: Block, size: int) -> list[bytes]:
    begun, deltas = dict(block), list[dict[str, Any]]()
    if block["type"] == "text":
        begun = {"type": "text", "text": ""}
        deltas = [{"type": "text_delta", "text": piece} for piece in _pieces(block["text"], size)]
        deltas += [{"type": "citations_delta", "citation": citation} for citation in block.get("citations", ())]
    elif block["type"] == "thinking":
        begun = {**block, "thinking": "", "signature": ""}
        deltas = [{"type": "thinking_delta", "thinking": piece} for piece in _pieces(block["thinking"], size)]
        deltas.append({"type": "signature_delta", "signature": block["signature"]})
    elif block["type"] in ("tool_use", "server_tool_use"):
        begun["input"] = {}
        arguments = json.dumps(block["input"], separators=(",", ":")) if block["input"] else ""
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ("", *_pieces(arguments, size))]
    return [
        event("content_block_start", index=index, content_block=begun),
        *(event("content_block_delta", index=index, delta=delta) for delta in deltas),
        event("content_block_stop", index=index),
    ]


def _pieces(text: str, size: int) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]
