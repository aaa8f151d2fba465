"""The messages of a call, in the document's format, if enabled by `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT`.

Off unless that is one of the standard's modes. The format is that of `gen-ai-input-messages.json` and
`gen-ai-output-messages.json`: messages with a role and parts. On spans they are JSON text, as attributes can't be objects.
"""

import logging
from collections.abc import Iterable, Mapping
from enum import Flag

import msgspec

from ..llms.backend import Request
from ..types import Message, ModelResponse, TextCompletionResponse
from ..types.attempts import EndDetails

logger: logging.Logger = logging.getLogger("tokenwire")

Part = dict[str, object]


class Capture(Flag):
    """Where messages may be recorded."""

    NO_CONTENT = 0
    SPAN_ONLY = 1
    EVENT_ONLY = 2
    SPAN_AND_EVENT = 3


def capture_of(value: str | None) -> Capture:
    """The mode in the variable; for an unknown one nothing is captured, and a warning is logged."""
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


def said_by(request: Request, end: EndDetails) -> dict[str, list[object]]:
    """The attributes: input messages, output messages, and the offered tools."""
    said: dict[str, list[object]] = {"gen_ai.input.messages": _input(request)}
    if (output := _output(end)) is not None:
        said["gen_ai.output.messages"] = output
    tools = request.params.get("tools")
    if isinstance(tools, list | tuple):
        said["gen_ai.tool.definitions"] = [_tool(tool) for tool in tools]
    return {name: value for name, value in said.items() if value}


def as_text(value: object) -> str:
    """A value as JSON. Values that JSON can't represent are converted by `str`: telemetry must not fail."""
    return msgspec.json.encode(value, enc_hook=repr).decode()


def _input(request: Request) -> list[object]:
    if request.kind == "chat":
        return [_message(message) for message in request.content]
    texts = request.content if isinstance(request.content, list | tuple) else [request.content]
    return [{"role": "user", "parts": [_text(text)]} for text in texts if isinstance(text, str)]


def _output(end: EndDetails) -> list[object] | None:
    response = end.response
    if isinstance(response, ModelResponse):
        return [_message(_fields_of(choice.message)) for choice in response.choices]
    if isinstance(response, TextCompletionResponse):
        return [{"role": "assistant", "parts": [_text(choice.text or "")]} for choice in response.choices]
    return None


def _fields_of(message: Message) -> dict[str, object]:
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


def _message(message: Mapping[str, object]) -> dict[str, object]:
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
    calls = message.get("tool_calls")
    parts += [_call(call) for call in calls] if isinstance(calls, Iterable) else []
    return {"role": role, "parts": parts}


def _text(text: str) -> Part:
    return {"type": "text", "content": text}


def _part(part: object) -> Part:
    """A part of a user's message. Embedded images and audio are only named, as they may be large."""
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
    """A call's arguments as an object, if they are complete."""
    try:
        return msgspec.json.decode(arguments) if isinstance(arguments, str) and arguments else arguments
    except msgspec.DecodeError:
        return arguments


def _tool(tool: object) -> dict[str, object]:
    """A tool's name and type; its schema is not recorded, as the document recommends."""
    function = tool.get("function") if isinstance(tool, Mapping) else None
    named = function if isinstance(function, Mapping) else tool if isinstance(tool, Mapping) else {}
    return {"type": tool.get("type", "function") if isinstance(tool, Mapping) else "function", "name": named.get("name")}
