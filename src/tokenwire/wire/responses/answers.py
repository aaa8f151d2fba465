"""A response → a chat completion: what its items say is one message.

Reasoning items are kept as they came, in `reasoning_items`, so that they go back so. Items for which a chat message has no
place (a web search's, a picture's) stand in `provider_specific_fields` under `output_items`.
"""

import time
from typing import Any, Final

import msgspec

from ...exceptions import APIError
from ...types._record import build
from ...types._source import Fields, set_source
from ...types.chat import Choices, Message, ModelResponse, new_id
from ..errors import error_from_object, malformed, unusable
from .items import chat_annotation
from .parts import kind_of, objects_in, text_of
from .resource import INCOMPLETE, chat_usage
from .tools import chat_name

OTHERS: Final = "output_items"
_FINISHES: Final = {reason: finish for finish, reason in INCOMPLETE.items()}
_HEAD: Final = frozenset({"id", "object", "created_at", "model", "output", "usage", "service_tier", "status"})
_NOT_ANSWERS: Final = ("failed", "cancelled", "queued", "in_progress")
_UNDECODABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_decode = msgspec.json.Decoder().decode


def answer_of(body: bytes) -> ModelResponse:
    """The chat completion that a response's body means.

    Raises:
        APIError: the response failed, or the body is an error object in spite of its status.
        APIResponseValidationError: it is not a response, or not a whole one.
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
    error = fields.get("error") or {"message": f"the response is {fields.get('status') or 'not there'}", "code": "server_error"}
    return error_from_object(error, body=fields)


def response_of(fields: Fields) -> ModelResponse:
    """The chat completion that a whole response means."""
    message: Fields = {"content": None}
    tokens: list[Any] = []
    for item in objects_in(fields["output"]):
        _add(message, item)
        tokens += tokens_of(item)
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
    """When a response was made."""
    created = fields.get("created_at")
    return int(created) if isinstance(created, int | float) else int(time.time())


def _add(message: Fields, item: Fields) -> None:
    """Add what an item says."""
    kind = kind_of(item)
    if kind == "message":
        for part in objects_in(item.get("content")):
            _add_part(message, part)
    elif kind == "reasoning":
        if text := reasoning_text(item):
            message["reasoning_content"] = message.get("reasoning_content", "") + text
        message.setdefault("reasoning_items", []).append(item)
    elif kind in CALLS:
        message.setdefault("tool_calls", []).append(call_of(item))
    else:
        message.setdefault("provider_specific_fields", {}).setdefault(OTHERS, []).append(item)


def _add_part(message: Fields, part: Fields) -> None:
    for name, field in (("text", "content"), ("refusal", "refusal")):
        if isinstance(part.get(name), str):
            message[field] = (message.get(field) or "") + part[name]
    if annotations := annotations_of(part):
        message.setdefault("annotations", []).extend(annotations)


def annotations_of(part: Fields) -> list[Fields]:
    """The marks on a part's text, as chat completions have them."""
    return [chat_annotation(one) for one in objects_in(part.get("annotations"))]


def tokens_of(item: Fields) -> list[Any]:
    """The log probabilities of a message's tokens."""
    parts = item.get("content") if item.get("type") == "message" else None
    return [token for part in objects_in(parts) for token in objects_in(part.get("logprobs"))]


def reasoning_text(item: Fields) -> str:
    """The reasoning itself where it is there, else what there is of a summary."""
    for name, between in (("content", ""), ("summary", "\n\n")):
        texts = [part.get("text") for part in objects_in(item.get(name))]
        if any(texts):
            return between.join(text for text in texts if isinstance(text, str))
    return ""


# The items that are calls, with the names that chat completions have for them and for what they are called with.
CALLS: Final = {"function_call": ("function", "arguments"), "custom_tool_call": ("custom", "input")}


def call_of(item: Fields) -> Fields:
    """A call as chat completions have it."""
    kind, field = CALLS[item["type"]]
    name = chat_name(item.get("namespace"), text_of(item.get("name")))
    call_id = text_of(item.get("call_id")) or text_of(item.get("id"))
    return {"id": call_id or None, "type": kind, kind: {"name": name, field: text_of(item.get(field))}}
