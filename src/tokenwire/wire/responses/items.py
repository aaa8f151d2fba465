"""The items of a conversation → a chat completion's messages, and back.

What the model said in one turn is several items: reasoning, a message, a call for each tool. In a chat completion it is
one assistant's message. Reasoning goes with what follows it, in `reasoning_content`; an item with encrypted reasoning
goes along whole, in `reasoning_items`, for whoever made it to find it again.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

from ...exceptions import refused
from ...types._source import Fields
from .parts import bad, beside, chat_part, kind_of, no_more_than, objects_in, responses_part, text_in
from .sealed import unseal
from .tools import Offered, chat_name

_ROLES: Final = ("user", "assistant", "system", "developer")
_MADE_UP: Final = frozenset(
    {"id", "status", "type", "role", "content"}
)  # what an item has that a message has not, or elsewhere
_TOOLS: Final = "additional_tools"
_OF_CALLS: Final = ("id", "status", "call_id", "namespace", "name")
_OF_RESULTS: Final = ("id", "status", "call_id", "namespace", "name", "output")
_BY_THE_MODEL: Final = {"type": "direct"}  # the `caller` of a call that no program made


def messages_of(items: str | Iterable[object], instructions: str | None) -> list[Fields]:
    """The messages of a request's input.

    Raises:
        BadRequestError: an item is not one, or can't be said; the error names its place.
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
    """Messages that are being made of items."""

    def __init__(self) -> None:
        self.messages: list[Fields] = []
        self._turn: Fields | None = None  # what the model says at present
        self._calls: set[str] = set()

    def add(self, item: object, where: str) -> None:
        if not isinstance(item, dict):
            raise bad(where, "an object", item)
        take = _ITEMS.get("message" if item.get("type") is None and "role" in item else kind_of(item))
        if take is None:
            shown = item.get("type")
            raise refused(f"{where}.type", f"{where}.type: an item of the type {shown!r} can't be taken here; {_KNOWN}")
        take(self, item, where)

    def close(self) -> None:
        """End the model's turn; one of reasoning alone says nothing."""
        turn, self._turn = self._turn, None
        if turn is not None and "content" not in turn:
            turn["content"] = None if "tool_calls" in turn else ""

    def message(self, item: Fields, where: str) -> None:
        role, content = item.get("role"), item.get("content")
        if role not in _ROLES:
            raise bad(f"{where}.role", f"one of {', '.join(map(repr, _ROLES))}", role)
        if role != "assistant":
            self.close()
            others = {name: value for name, value in item.items() if name not in _MADE_UP}
            self.messages.append({"role": role, "content": _content(content, f"{where}.content"), **others})
            _annotations(content, f"{where}.content")  # checked, and not the prompt's to say
            return
        turn = self._turn_for("content", "tool_calls")
        turn |= {"content": _said(content, f"{where}.content")}
        turn |= {name: value for name, value in item.items() if name not in _MADE_UP and value is not None}
        if annotations := _annotations(content, f"{where}.content"):
            turn["annotations"] = annotations

    def tools(self, item: Fields, where: str) -> None:
        """Nothing is said: see `offered_in`."""

    def reasoning(self, item: Fields, where: str) -> None:
        turn = self._turn_for("content", "tool_calls")
        text = _reasoning_text(item, where)
        if text:
            turn["reasoning_content"] = turn.get("reasoning_content", "") + text
        encrypted = item.get("encrypted_content")
        if encrypted:
            for name, value in (unseal(encrypted) or {"reasoning_items": [item]}).items():
                turn.setdefault(name, []).extend(value)

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
        self._turn_for().setdefault("tool_calls", []).append({"id": call_id, **call})

    def _turn_for(self, *unless: str) -> Fields:
        """The model's turn, a new one where it has got as far as one of these fields."""
        if self._turn is None or any(name in self._turn for name in unless):
            self.close()
            self._turn = {"role": "assistant"}
            self.messages.append(self._turn)
        return self._turn


_ITEMS: dict[str, Callable[[_Conversation, Fields, str], None]] = {
    "message": _Conversation.message,
    "reasoning": _Conversation.reasoning,
    _TOOLS: _Conversation.tools,
    "function_call": _Conversation.function_call,
    "custom_tool_call": _Conversation.custom_call,
    "function_call_output": _Conversation.result,
    "custom_tool_call_output": _Conversation.result,
}
_KNOWN = f"those of {', '.join(map(repr, _ITEMS))} are known"


def offered_in(items: str | Iterable[Fields]) -> Offered:
    """The lists of tools that items add to those of the request.

    Raises:
        BadRequestError: there is no list in such an item; the error names the place.
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


def _said(content: object, where: str) -> object:
    """What the model said: a text where it is one, as servers take it."""
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
    """A mark on an answer's text, such as a citation, as chat completions have it: its fields stand under its type's name."""
    kind = kind_of(annotation)
    return annotation if kind != "url_citation" else {"type": kind, kind: beside(annotation, "type")}


def responses_annotation(annotation: Fields) -> Fields:
    """The way back."""
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
        BadRequestError: a message can't be said; the error names its place.
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
        return [{"type": "message", "role": role, "content": _parts(message.get("content"), where, answered=False)}]
    content = message.get("content")
    items = _reasoning_items(message)
    if content:
        items.append({"type": "message", "role": role, "content": _parts(content, where, answered=True)})
    if message.get("refusal"):
        items.append({"type": "message", "role": role, "content": [{"type": "refusal", "refusal": message["refusal"]}]})
    calls: object = message.get("tool_calls") or []
    if not isinstance(calls, list):
        raise bad(f"{where}.tool_calls", "a list of calls", calls)
    for index, call in enumerate(calls):
        items.append(_call(call, f"{where}.tool_calls[{index}]", custom))
    return items


def _parts(content: object, where: str, *, answered: bool) -> object:
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        raise bad(f"{where}.content", "a text or a list of parts", content)
    return [responses_part(part, f"{where}.content[{index}]", answered=answered) for index, part in enumerate(content)]


def _reasoning_items(message: Fields) -> list[Fields]:
    """Reasoning that a server has made goes back to it as it came; other reasoning has no place in a conversation."""
    return objects_in(message.get("reasoning_items"))


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
    return {"type": kind, "call_id": call_id, "output": _parts(message.get("content"), where, answered=False)}
