"""What was said, in the document's shape, for those who ask for it: `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT`.

Off unless that names one of the standard's modes. The shapes are those of `gen-ai-input-messages.json` and
`gen-ai-output-messages.json`: messages of a role and parts. On spans they are JSON text, which the API's attributes are.
"""

import logging
from collections.abc import Iterable, Mapping
from enum import Flag
from typing import Any

import msgspec

from ..llms.backend import Request
from ..types import Message, ModelResponse, TextCompletionResponse
from ..types.attempts import EndDetails

logger: logging.Logger = logging.getLogger("tokenwire")

Part = dict[str, Any]


class Capture(Flag):
    """Where what was said may be recorded."""

    NO_CONTENT = 0
    SPAN_ONLY = 1
    EVENT_ONLY = 2
    SPAN_AND_EVENT = 3


def capture_of(value: str | None) -> Capture:
    """What the variable asks for; nothing, and a warning, where it has another word."""
    word = (value or "").strip().upper()
    if word in ("", "FALSE"):
        return Capture.NO_CONTENT
    try:
        return Capture[word]
    except KeyError:
        logger.warning(
            "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT is %r: nothing is captured, it must be one of %s",
            *(value, ", ".join(mode for mode in Capture.__members__)),
        )
        return Capture.NO_CONTENT


def said_by(request: Request, end: EndDetails) -> dict[str, list[Any]]:
    """The attributes: what was asked, what was answered, and the tools that were offered."""
    said: dict[str, list[Any]] = {"gen_ai.input.messages": _input(request)}
    if (output := _output(end)) is not None:
        said["gen_ai.output.messages"] = output
    tools = request.params.get("tools")
    if isinstance(tools, list | tuple):
        said["gen_ai.tool.definitions"] = [_tool(tool) for tool in tools]
    return {name: value for name, value in said.items() if value}


def as_text(value: object) -> str:
    """As JSON. What JSON has no way to say is shown as Python has it: telemetry refuses nothing."""
    return msgspec.json.encode(value, enc_hook=repr).decode()


def _input(request: Request) -> list[Any]:
    if request.kind == "chat":
        return [_message(message) for message in request.content]
    texts = request.content if isinstance(request.content, list | tuple) else [request.content]
    return [{"role": "user", "parts": [_text(text)]} for text in texts if isinstance(text, str)]


def _output(end: EndDetails) -> list[Any] | None:
    response = end.response
    if isinstance(response, ModelResponse):
        return [_message(_fields_of(choice.message)) for choice in response.choices]
    if isinstance(response, TextCompletionResponse):
        return [{"role": "assistant", "parts": [_text(choice.text or "")]} for choice in response.choices]
    return None


def _fields_of(message: Message) -> dict[str, Any]:
    return {
        "role": message.role or "assistant",
        "reasoning_content": message.reasoning_content,
        "content": message.content,
        "tool_calls": [
            {"id": call.id, "function": {"name": call.function.name, "arguments": call.function.arguments}}
            for call in message.tool_calls or ()
            if call.function is not None
        ],
    }


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    role, content = message.get("role", "user"), message.get("content")
    if role == "tool":
        parts: list[Part] = [{"type": "tool_call_response", "id": message.get("tool_call_id"), "response": content}]
        return {"role": role, "parts": parts}
    parts = []
    if isinstance(reasoning := message.get("reasoning_content"), str) and reasoning:
        parts.append({"type": "reasoning", "content": reasoning})
    if isinstance(content, str):
        parts += [_text(content)] if content else []
    elif isinstance(content, Iterable):
        parts += [_part(part) for part in content]
    parts += [_call(call) for call in message.get("tool_calls") or ()]
    return {"role": role, "parts": parts}


def _text(text: str) -> Part:
    return {"type": "text", "content": text}


def _part(part: object) -> Part:
    """A part of a user's message. Pictures and sounds that stand in it are named, not copied: they may be large."""
    if not isinstance(part, Mapping):
        return _text(str(part))
    kind = part.get("type", "")
    if kind == "text":
        return _text(part.get("text", ""))
    if kind == "image_url":
        address = part.get("image_url")
        url = address.get("url", "") if isinstance(address, Mapping) else str(address)
        return {"type": "uri", "modality": "image", "uri": url if not url.startswith("data:") else url.partition(",")[0]}
    return {"type": str(kind)}


def _call(call: object) -> Part:
    call = call if isinstance(call, Mapping) else {}
    function = call.get("function")
    function = function if isinstance(function, Mapping) else {}
    return {
        "type": "tool_call",
        "id": call.get("id"),
        "name": function.get("name"),
        "arguments": _parsed(function.get("arguments")),
    }


def _parsed(arguments: object) -> object:
    """A call's arguments as an object, where they are whole."""
    try:
        return msgspec.json.decode(arguments) if isinstance(arguments, str) and arguments else arguments
    except msgspec.DecodeError:
        return arguments


def _tool(tool: object) -> dict[str, Any]:
    """What a tool is called, and its kind; its schema is not recorded, as the document advises."""
    function = tool.get("function") if isinstance(tool, Mapping) else None
    named = function if isinstance(function, Mapping) else tool if isinstance(tool, Mapping) else {}
    return {"type": tool.get("type", "function") if isinstance(tool, Mapping) else "function", "name": named.get("name")}
