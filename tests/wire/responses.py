"""Responses as OpenAI's API sends them: whole, and as the events of a stream."""

import json
from typing import Any

Item = dict[str, Any]

USAGE = {
    "input_tokens": 10,
    "input_tokens_details": {"cached_tokens": 4},
    "output_tokens": 6,
    "output_tokens_details": {"reasoning_tokens": 2},
    "total_tokens": 16,
}
CITED = {"type": "url_citation", "url": "http://a.example", "title": "A", "start_index": 0, "end_index": 2}
PART: Item = {"type": "output_text", "text": 'Hello, "world" 🌍\n', "annotations": [], "logprobs": []}
MESSAGE: Item = {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": [PART]}
QUOTING: Item = {**MESSAGE, "content": [{**PART, "annotations": [CITED]}]}
REFUSING: Item = {**MESSAGE, "content": [{"type": "refusal", "refusal": "I won't."}]}
SECRET: Item = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "c2VjcmV0"}
SUMMARY: Item = {
    **SECRET,
    "summary": [{"type": "summary_text", "text": "First"}, {"type": "summary_text", "text": "Second"}],
}
THOUGHTS: Item = {"type": "reasoning", "id": "rs_2", "summary": [], "content": [{"type": "reasoning_text", "text": "Well..."}]}
CALL: Item = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "call_1",
    "name": "weather",
    "arguments": '{"city": "Oslo"}',
    "status": "completed",
}
OTHER_CALL: Item = {**CALL, "id": "fc_2", "call_id": "call_2", "arguments": "{}"}
CUSTOM: Item = {"type": "custom_tool_call", "id": "ctc_1", "call_id": "call_3", "name": "patch", "input": "*** Begin"}
SEARCH: Item = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "oslo"}}

ANSWERS: dict[str, list[Item]] = {
    "text": [MESSAGE],
    "nothing": [],
    "thoughts": [THOUGHTS, MESSAGE],
    "summary": [SUMMARY, MESSAGE],
    "secret": [SECRET, MESSAGE],
    "refusal": [REFUSING],
    "citation": [QUOTING],
    "calls": [MESSAGE, CALL, OTHER_CALL],
    "thought-calls": [SUMMARY, CALL],
    "custom": [CUSTOM],
    "searched": [SEARCH, MESSAGE],
    "interleaved": [SUMMARY, MESSAGE, {**SECRET, "id": "rs_9"}, CALL, THOUGHTS, CUSTOM],
    "call-first": [CALL, MESSAGE],
    "plain-messages": [MESSAGE, {**MESSAGE, "id": "msg_2"}],
    "two-messages": [{**MESSAGE, "phase": "commentary"}, {**QUOTING, "id": "msg_2", "phase": "final_answer"}],
    "namespace": [{**CALL, "namespace": "eyes"}],
}
UNUSUAL = (
    "citation",
    "searched",
    "interleaved",
    "call-first",
    "plain-messages",
    "two-messages",
    "namespace",
)  # for a chat message


def response(output: list[Item], status: str = "completed", **fields: Any) -> dict[str, Any]:
    head = {"id": "resp_1", "object": "response", "created_at": 1700000000, "model": "m-2026", "status": status}
    return {**head, "error": None, "incomplete_details": None, "output": output, "usage": USAGE, **fields}


def events(output: list[Item], status: str = "completed", size: int = 4, **fields: Any) -> list[dict[str, Any]]:
    """The events that stream a response, each text in pieces of so many characters."""
    begun = response([], "in_progress", usage=None)
    sent: list[dict[str, Any]] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
    ]
    for index, item in enumerate(output):
        sent += _item_events(index, item, size)
    sent.append({"type": f"response.{status}", "response": response(output, status, **fields)})
    return [{**event, "sequence_number": number} for number, event in enumerate(sent)]


def encoded(sent: list[dict[str, Any]]) -> list[bytes]:
    """The same as bytes, with names."""
    return [b"event: %b\ndata: %b\n\n" % (event["type"].encode(), json.dumps(event).encode()) for event in sent]


def _item_events(index: int, item: Item, size: int) -> list[dict[str, Any]]:
    where = {"item_id": item["id"], "output_index": index}
    texts = ("content", "summary", "arguments", "input", "encrypted_content")
    empty = {"content": [], "summary": [], "arguments": "", "input": ""}
    begun = {name: empty.get(name) if name in texts else value for name, value in item.items()}
    sent: list[dict[str, Any]] = [{"type": "response.output_item.added", "output_index": index, "item": begun}]
    for number, part in enumerate(item.get("content") or ()):
        sent += _part_events({**where, "content_index": number}, part, size)
    for number, part in enumerate(item.get("summary") or ()):
        place = {**where, "summary_index": number}
        sent.append({"type": "response.reasoning_summary_part.added", **place, "part": {"type": "summary_text", "text": ""}})
        sent += [
            {"type": "response.reasoning_summary_text.delta", **place, "delta": piece} for piece in pieces(part["text"], size)
        ]
    for name, kind in (("arguments", "function_call_arguments"), ("input", "custom_tool_call_input")):
        sent += [{"type": f"response.{kind}.delta", **where, "delta": piece} for piece in pieces(item.get(name, ""), size)]
    return [*sent, {"type": "response.output_item.done", "output_index": index, "item": item}]


def _part_events(place: dict[str, Any], part: Item, size: int) -> list[dict[str, Any]]:
    kind, name = part["type"], "refusal" if part["type"] == "refusal" else "text"
    sent: list[dict[str, Any]] = [{"type": "response.content_part.added", **place, "part": {**part, name: ""}}]
    event = f"response.{kind}.delta"
    sent += [{"type": event, **place, "delta": piece, "logprobs": []} for piece in pieces(part[name], size)]
    for number, annotation in enumerate(part.get("annotations") or ()):
        marked = {"annotation_index": number, "annotation": annotation}
        sent.append({"type": "response.output_text.annotation.added", **place, **marked})
    return [*sent, {"type": "response.content_part.done", **place, "part": part}]


def pieces(text: str, size: int) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]
