"""A response → a chat completion: its items become one message.

Reasoning items are in `reasoning_items` as they arrived, so that they are sent back unchanged. A message of items in an
unusual order, or of items that chat messages have no field for (a web search's, an image's), keeps all of them as `segments` has
it: such an item is in its segment, under `output_items`.
"""

import time
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from ...exceptions import APIError
from ...types._record import build
from ...types._source import Fields, set_source
from ...types.chat import Choices, Message, ModelResponse, new_id
from ..errors import error_from_object, malformed, unusable
from ..segments import message_of as message_of_segments
from .items import AS_SENT, chat_annotation
from .parts import beside, kind_of, objects_in, text_of
from .resource import INCOMPLETE, chat_usage
from .tools import chat_name

_FINISHES: Final = {reason: finish for finish, reason in INCOMPLETE.items()}
_HEAD: Final = frozenset({"id", "object", "created_at", "model", "output", "usage", "service_tier", "status"})
_OF_ITEMS: Final = ("id", "type", "status")
_NOT_ANSWERS: Final = ("failed", "cancelled", "queued", "in_progress")
_UNDECODABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_decode = msgspec.json.Decoder().decode


def answer_of(body: bytes) -> ModelResponse:
    """The chat completion for a response's body.

    Raises:
        APIError: the response failed, or the body is an error object despite the status.
        APIResponseValidationError: it is not a response, or is not complete.
    """
    try:
        fields = _decode(body.removeprefix(b"\xef\xbb\xbf"))
    except _UNDECODABLE as error:
        raise unusable(body, str(error)) from None
    if not isinstance(fields, dict):
        raise malformed("the body", body, "it is not an object")
    if fields.get("error"):
        raise error_of_response(fields)
    if not isinstance(fields.get("output"), list):
        raise malformed("the body", body, "it has no output")
    if fields.get("status") in _NOT_ANSWERS:
        raise malformed("the body", body, f"its status is {fields['status']!r}")
    return response_of(fields)


def error_of_response(fields: Fields) -> APIError:
    """The exception for a response that failed."""
    error = fields.get("error") or {"message": f"the response is {fields.get('status') or 'missing'}", "code": "server_error"}
    return error_from_object(error, body=fields)


def response_of(fields: Fields) -> ModelResponse:
    """The chat completion for a whole response."""
    items = objects_in(fields["output"])
    message = message_of(items)
    tokens = [token for item in items for token in tokens_of(item)]
    choice = Choices(
        index=0,
        message=Message(**message),
        finish_reason=finish_reason_of(fields, "tool_calls" in message),
        logprobs={"content": tokens} if tokens else None,
    )
    response = build(
        ModelResponse,
        id=text_of(fields.get("id")) or new_id("resp_"),
        created=created_of(fields),
        model=text_of(fields.get("model")) or None,
        choices=[choice],
        usage=chat_usage(fields.get("usage")),
        service_tier=fields.get("service_tier") if isinstance(fields.get("service_tier"), str) else None,
    )
    if others := {name: value for name, value in fields.items() if name not in _HEAD and value is not None}:
        set_source(response, others)
    return response


def finish_reason_of(fields: Fields, has_calls: bool) -> str:
    """Why an answer ended."""
    details = fields.get("incomplete_details")
    if fields.get("status") == "incomplete":
        reason = details.get("reason") if isinstance(details, dict) else None
        return _FINISHES.get(text_of(reason), text_of(reason) or "length")
    return "tool_calls" if has_calls else "stop"


def created_of(fields: Fields) -> int:
    """A response's creation time."""
    created = fields.get("created_at")
    return int(created) if isinstance(created, int | float) else int(time.time())


def message_of(items: Iterable[Fields]) -> Fields:
    """The fields of the assistant's chat message for these items."""
    items = list(items)
    has_several = sum(kind_of(item) == "message" for item in items) > 1
    return message_of_segments([_segment_of(item, is_one_of_several=has_several) for item in items])


def _segment_of(item: Fields, *, is_one_of_several: bool) -> Fields:
    """The segment for an item, with the item itself if it would lose something, such as the border between two messages."""
    kind = kind_of(item)
    if kind == "reasoning":
        text = reasoning_text(item)
        return {**({"reasoning_content": text} if text else {}), "reasoning_items": [item]}
    if kind in CALLS:
        own: Fields = {"tool_calls": [call_of(item)]}
        known = (*_OF_ITEMS, "call_id", "name", CALLS[kind][1])
    elif kind == "message":
        own = _own_fields(item)
        known = (*_OF_ITEMS, "role", "content")
    else:
        return {AS_SENT: [item]}
    has_more = any(value is not None for value in beside(item, *known).values())
    if kind == "message":
        has_more |= is_one_of_several or "annotations" in own or {"content", "refusal"} <= own.keys()
    return {**own, AS_SENT: [item]} if has_more else own


def _own_fields(item: Fields) -> Fields:
    """The fields of a chat message for a message item."""
    own: Fields = {}
    for part in objects_in(item.get("content")):
        for name, field in (("text", "content"), ("refusal", "refusal")):
            if isinstance(part.get(name), str):
                own[field] = own.get(field, "") + part[name]
        if annotations := annotations_of(part):
            own["annotations"] = [*own.get("annotations", ()), *annotations]
    return own


def annotations_of(part: Fields) -> list[Fields]:
    """A part's annotations, in the format of chat completions."""
    return [chat_annotation(one) for one in objects_in(part.get("annotations"))]


def tokens_of(item: Fields) -> list[Any]:
    """The log probabilities of a message's tokens."""
    parts = item.get("content") if item.get("type") == "message" else None
    return [token for part in objects_in(parts) for token in objects_in(part.get("logprobs"))]


def reasoning_text(item: Fields) -> str:
    """An item's reasoning if it has it, else its summary."""
    for name, between in (("content", ""), ("summary", "\n\n")):
        texts = [part.get("text") for part in objects_in(item.get(name))]
        if any(texts):
            return between.join(text for text in texts if isinstance(text, str))
    return ""


# The items that are calls: their type in chat completions, and the field with their arguments.
CALLS: Final = {"function_call": ("function", "arguments"), "custom_tool_call": ("custom", "input")}


def call_of(item: Fields) -> Fields:
    """A call in the format of chat completions."""
    kind, field = CALLS[item["type"]]
    name = chat_name(item.get("namespace"), text_of(item.get("name")))
    call_id = text_of(item.get("call_id")) or text_of(item.get("id"))
    return {"id": call_id or None, "type": kind, kind: {"name": name, field: text_of(item.get(field))}}
