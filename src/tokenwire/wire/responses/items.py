"""The items of a conversation → a chat completion's messages, and back.

An answer of the model is several items: reasoning, a message, a call for each tool. In a chat completion it is one
message of the assistant; `segments` keeps an order that such a message can't express. Reasoning belongs to the item after
it, and becomes `reasoning_content`; an item with encrypted reasoning is also in `reasoning_items`, whole, for the server
that encrypted it.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from ...exceptions import refused
from ...types._source import Fields
from ..sealed import is_sealed, unseal
from ..segments import message_of as message_of_segments, segments_of
from .parts import bad, beside, chat_part, kind_of, no_more_than, objects_in, responses_part, text_in, text_of
from .tools import Offered, chat_name

_ROLES: Final = ("user", "assistant", "system", "developer")
_CONVERTED: Final = frozenset({"id", "status", "type", "role", "content"})  # a message item's fields; others are passed on
AS_SENT: Final = "output_items"  # in a segment: an item as it arrived
_NOT_TEXT: Final = frozenset({AS_SENT, "reasoning_content", "reasoning_items", "refusal", "thinking_blocks", "tool_calls"})
_TOOLS: Final = "additional_tools"
_OF_CALLS: Final = ("id", "status", "call_id", "namespace", "name")
_OF_RESULTS: Final = ("id", "status", "call_id", "namespace", "name", "output")
_BY_THE_MODEL: Final = {"type": "direct"}  # the `caller` of a call that the model made itself


def messages_of(items: str | Iterable[object], instructions: str | None) -> list[Fields]:
    """The messages of a request's input.

    Raises:
        BadRequestError: an item is wrong, or chat completions can't express it; the error has its path.
    """
    conversation = _Conversation()
    if instructions is not None:
        conversation.messages.append({"role": "system", "content": instructions})
    if isinstance(items, str):
        conversation.messages.append({"role": "user", "content": items})
        return conversation.messages
    for index, item in enumerate(items):
        conversation.add(item, f"input[{index}]")
    conversation.close()
    if not conversation.messages:
        raise bad("input", "a text or a list of items, with at least one where there are no instructions", items)
    return conversation.messages


class _Conversation:
    """Converts items to messages, one after another."""

    def __init__(self) -> None:
        self.messages: list[Fields] = []
        self._answer: list[Fields] = []  # the segments of the model's answer so far
        self._notes: Fields = {}  # other fields of its message
        self._calls: set[str] = set()

    def add(self, item: object, where: str) -> None:
        if not isinstance(item, dict):
            raise bad(where, "an object", item)
        take = _ITEMS.get("message" if item.get("type") is None and "role" in item else kind_of(item))
        if take is None:
            shown = item.get("type")
            raise refused(f"{where}.type", f"{where}.type: this server does not accept items of type {shown!r}, only {_KNOWN}")
        take(self, item, where)

    def close(self) -> None:
        """End the model's answer, if there is one. One of reasoning alone has an empty text."""
        answer, self._answer = self._answer, []
        notes, self._notes = self._notes, {}
        if answer:
            message = message_of_segments(answer) | notes
            if message["content"] is None and "tool_calls" not in message:
                message["content"] = ""
            self.messages.append(message)

    def message(self, item: Fields, where: str) -> None:
        role, content = item.get("role"), item.get("content")
        if role not in _ROLES:
            raise bad(f"{where}.role", f"one of {', '.join(map(repr, _ROLES))}", role)
        if role != "assistant":
            self.close()
            others = {name: value for name, value in item.items() if name not in _CONVERTED}
            self.messages.append({"role": role, "content": _content(content, f"{where}.content"), **others})
            _annotations(content, f"{where}.content")  # checked, but not part of a prompt
            return
        if _has(self._answer, "content") and not _has(self._answer, "tool_calls"):
            self._begin_another()
        own: Fields = {"content": _answer_content(content, f"{where}.content")}
        if annotations := _annotations(content, f"{where}.content"):
            own["annotations"] = annotations
        self._answer.append(own)
        self._notes |= {name: value for name, value in item.items() if name not in _CONVERTED and value is not None}

    def tools(self, item: Fields, where: str) -> None:
        """Adds no message: see `offered_in`."""

    def reasoning(self, item: Fields, where: str) -> None:
        text, encrypted = _reasoning_text(item, where), item.get("encrypted_content")
        own = unseal(encrypted)
        if own is None:
            own = {"reasoning_items": [item]} if encrypted else {}
        if text or own:
            self._answer.append({**({"reasoning_content": text} if text else {}), **own})

    def function_call(self, item: Fields, where: str) -> None:
        _check_fields((*_OF_CALLS, "arguments"), item, where)
        function = {"name": _name_in(item, where), "arguments": text_in(item, "arguments", where)}
        self._call(item, {"type": "function", "function": function}, where)

    def custom_call(self, item: Fields, where: str) -> None:
        _check_fields((*_OF_CALLS, "input"), item, where)
        custom = {"name": _name_in(item, where), "input": text_in(item, "input", where)}
        self._call(item, {"type": "custom", "custom": custom}, where)

    def result(self, item: Fields, where: str) -> None:
        call_id = text_in(item, "call_id", where)
        if call_id not in self._calls:
            raise refused(f"{where}.call_id", f"{where}.call_id: no call before it has the id {call_id!r}")
        _check_fields(_OF_RESULTS, item, where)
        self.close()
        content = _content(item.get("output"), f"{where}.output")
        self.messages.append({"role": "tool", "tool_call_id": call_id, "content": content})

    def _call(self, item: Fields, call: Fields, where: str) -> None:
        call_id = text_in(item, "call_id", where)
        self._calls.add(call_id)
        self._answer.append({"tool_calls": [{"id": call_id, **call}]})

    def _begin_another(self) -> None:
        """End the answer, but for the reasoning at its end, which belongs to the next."""
        size = max(place for place, segment in enumerate(self._answer, 1) if "content" in segment)
        self._answer, reasoning = self._answer[:size], self._answer[size:]
        self.close()
        self._answer = reasoning


def _has(segments: list[Fields], name: str) -> bool:
    return any(name in segment for segment in segments)


_ITEMS: dict[str, Callable[[_Conversation, Fields, str], None]] = {
    "message": _Conversation.message,
    "reasoning": _Conversation.reasoning,
    _TOOLS: _Conversation.tools,
    "function_call": _Conversation.function_call,
    "custom_tool_call": _Conversation.custom_call,
    "function_call_output": _Conversation.result,
    "custom_tool_call_output": _Conversation.result,
}
_KNOWN = ", ".join(map(repr, _ITEMS))


def is_sealed_here(item: object) -> bool:
    """Whether it is a reasoning item that no endpoint of this API has made."""
    return isinstance(item, dict) and kind_of(item) == "reasoning" and is_sealed(item.get("encrypted_content"))


def offered_in(items: str | Iterable[Fields]) -> Offered:
    """The lists of tools that items add to those of the request.

    Raises:
        BadRequestError: such an item has no list; the error has its path.
    """
    if isinstance(items, str):
        return
    for index, item in enumerate(items):
        if item.get("type") != _TOOLS:
            continue
        where, tools = f"input[{index}]", item.get("tools")
        if not isinstance(tools, list):
            raise bad(f"{where}.tools", "a list of tools", tools)
        no_more_than(("id", "role", "tools"), item, where)
        yield f"{where}.tools", tools


def _check_fields(known: tuple[str, ...], item: Fields, where: str) -> None:
    no_more_than((*known, "caller") if item.get("caller") == _BY_THE_MODEL else known, item, where)


def _name_in(item: Fields, where: str) -> str:
    return chat_name(item.get("namespace"), text_in(item, "name", where))


def _content(content: object, where: str) -> object:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise bad(where, "a text or a list of parts", content)
    return [chat_part(part, f"{where}[{index}]") for index, part in enumerate(content)]


def _answer_content(content: object, where: str) -> object:
    """The content of an assistant's message: a single text is a str, which all servers accept."""
    parts: Any = _content(content, where)
    return parts[0]["text"] if isinstance(parts, list) and len(parts) == 1 and parts[0].keys() == {"type", "text"} else parts


def _annotations(content: object, where: str) -> list[Fields]:
    made: list[Fields] = []
    parts: list[Any] = content if isinstance(content, list) else []
    for index, part in enumerate(parts):
        given = part.get("annotations") or []
        if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
            raise bad(f"{where}[{index}].annotations", "a list of objects", given)
        made += map(chat_annotation, given)
    return made


def chat_annotation(annotation: Fields) -> Fields:
    """An annotation of an answer's text, such as a citation, in chat completions' format: with its fields under its type's name."""
    kind = kind_of(annotation)
    return annotation if kind != "url_citation" else {"type": kind, kind: beside(annotation, "type")}


def responses_annotation(annotation: Fields) -> Fields:
    """The opposite of `chat_annotation`."""
    kind = kind_of(annotation)
    inner = annotation.get(kind)
    return {"type": kind, **inner} if isinstance(inner, dict) else annotation


def _reasoning_text(item: Fields, where: str) -> str:
    for name, between in (("content", ""), ("summary", "\n\n")):
        parts = item.get(name) or []
        if not isinstance(parts, list):
            raise bad(f"{where}.{name}", "a list of parts", parts)
        texts = [_text_of(part, f"{where}.{name}[{index}]") for index, part in enumerate(parts)]
        if texts:
            return between.join(texts)
    return ""


def _text_of(part: object, where: str) -> str:
    if not isinstance(part, dict):
        raise bad(where, "an object with a text", part)
    return text_in(part, "text", where)


def items_of(messages: object) -> list[Fields]:
    """The items of a call's messages.

    Raises:
        BadRequestError: the API can't express a message; the error has its path.
    """
    if not isinstance(messages, list):
        raise bad("messages", "a list of messages", messages)
    custom: set[str] = set()
    return [item for index, message in enumerate(messages) for item in _items(message, f"messages[{index}]", custom)]


def _items(message: Fields, where: str, custom: set[str]) -> list[Fields]:
    role = message.get("role")
    if role in ("tool", "function"):
        return [_result(message, where, custom)]
    if role not in _ROLES:
        raise bad(f"{where}.role", f"one of {', '.join(map(repr, (*_ROLES, 'tool')))}", role)
    if role != "assistant":
        return [{"type": "message", "role": role, "content": _parts(message.get("content"), where, is_answer=False)}]
    items: list[Fields] = []
    for segment in _segments(message):
        sent = objects_in(segment.get(AS_SENT)) if segment is not message else []
        custom.update(text_of(item.get("call_id")) for item in sent if kind_of(item) == "custom_tool_call")
        items += sent or _usual_items(segment, where, custom)
    return items


def _segments(message: Fields) -> list[Mapping[str, Any]]:
    """A message's segments. Adjacent texts of another API, which splits them at citations, become one."""
    segments: list[Mapping[str, Any]] = []
    for segment in segments_of(message):
        text, before = _only_text(segment), _only_text(segments[-1]) if segments else None
        if text is None or before is None:
            segments.append(segment)
        else:
            segments[-1] = {"content": before + text}
    return segments


def _only_text(segment: Mapping[str, Any]) -> str | None:
    text = segment.get("content")
    return text if isinstance(text, str) and not segment.keys() & _NOT_TEXT else None


def _usual_items(message: Mapping[str, Any], where: str, custom: set[str]) -> list[Fields]:
    """The items for a message's own fields, in the usual order.

    Reasoning that a server of this API did not make is left out: there is no item for it.
    """
    content = message.get("content")
    phase = {} if message.get("phase") is None else {"phase": message["phase"]}
    items = objects_in(message.get("reasoning_items"))
    if content:
        items.append({"type": "message", "role": "assistant", "content": _parts(content, where, is_answer=True), **phase})
    if message.get("refusal"):
        refusal = {"type": "refusal", "refusal": message["refusal"]}
        items.append({"type": "message", "role": "assistant", "content": [refusal]})
    calls: object = message.get("tool_calls") or []
    if not isinstance(calls, list):
        raise bad(f"{where}.tool_calls", "a list of calls", calls)
    for index, call in enumerate(calls):
        items.append(_call(call, f"{where}.tool_calls[{index}]", custom))
    return items


def _parts(content: object, where: str, *, is_answer: bool) -> object:
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        raise bad(f"{where}.content", "a text or a list of parts", content)
    return [responses_part(part, f"{where}.content[{index}]", is_answer=is_answer) for index, part in enumerate(content)]


def _call(call: object, where: str, custom: set[str]) -> Fields:
    if not isinstance(call, dict):
        raise bad(where, "a dict with an id", call)
    kind = "custom" if call.get("custom") else "function"
    inner = call.get(kind)
    if not isinstance(inner, dict):
        raise bad(f"{where}.{kind}", "a dict with a name", inner)
    call_id, name = text_in(call, "id", where), text_in(inner, "name", f"{where}.{kind}")
    if kind == "custom":
        custom.add(call_id)
        return {"type": "custom_tool_call", "call_id": call_id, "name": name, "input": inner.get("input") or ""}
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": inner.get("arguments") or ""}


def _result(message: Fields, where: str, custom: set[str]) -> Fields:
    call_id = text_in(message, "tool_call_id", where)
    kind = "custom_tool_call_output" if call_id in custom else "function_call_output"
    return {"type": kind, "call_id": call_id, "output": _parts(message.get("content"), where, is_answer=False)}
