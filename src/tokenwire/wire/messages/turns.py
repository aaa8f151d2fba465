"""The turns of a request for a message → chat messages.

A user's turn becomes one message, after a message for each tool result in it. Blocks that chat has no part for, and fields
that it does not have, are refused, and the error has their path; an assistant's blocks that a chat message can't express are
kept (see `blocks`).
"""

from base64 import b64encode
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, TypeAlias

from ...exceptions import BadRequestError
from ...types._source import Fields
from .blocks import Block, message_of

_Kind: TypeAlias = tuple[Callable[[str, Block], Fields], tuple[str, ...]]

# The fields that an assistant's blocks must have.
_OF_ASSISTANTS: Final[dict[str, dict[str, type[Any]]]] = {
    "text": {"text": str},
    "thinking": {"thinking": str, "signature": str},
    "redacted_thinking": {"data": str},
    "tool_use": {"id": str, "name": str, "input": dict},
}
_NOT_OF_ASSISTANTS: Final = frozenset({"image", "document", "tool_result"})
_ROLES: Final = frozenset({"user", "assistant", "system"})
_NOTHING: Final = (None, False, [], {})  # values that change nothing
_OF_TURNS: Final = frozenset({"role", "content"})
_NOTES: Final = ("is_error", "toolset_name", "cache_control")  # of a tool's result
_OF_RESULTS: Final = frozenset({"type", "tool_use_id", "content", *_NOTES})
_OF_SOURCES: Final = frozenset({"type", "media_type", "data", "url", "file_id"})


def wrong_at(where: str, what: str) -> BadRequestError:
    """The error for a field of a request; `where` is its path."""
    return BadRequestError(f"{where}: {what}", param=where)


def no_more_than(known: Collection[str], where: str, fields: Mapping[str, Any]) -> None:
    """Refuse an unknown field, unless its value changes nothing.

    Raises:
        BadRequestError: there is one; the message has its path.
    """
    for name, value in fields.items():
        if name not in known and value not in _NOTHING:
            raise wrong_at(f"{where}.{name}", "this server can't pass it on to a model")


def chat_messages(system: Any, turns: list[Fields]) -> list[Fields]:
    """The chat messages for a request's turns.

    Raises:
        BadRequestError: something is wrong, or chat can't express it; the message has its path.
    """
    messages: list[Fields] = []
    if system:
        messages.append({"role": "system", "content": _texts("system", system)})
    call_ids: set[str] = set()  # so far
    for index, turn in enumerate(turns):
        where, role, content = f"messages.{index}", turn.get("role"), turn.get("content")
        if not isinstance(role, str) or role not in _ROLES:
            raise wrong_at(f"{where}.role", f'must be "user", "assistant" or "system", not {role!r:.40}')
        if not isinstance(content, str | list):
            raise wrong_at(f"{where}.content", "must be a text or a list of content blocks")
        no_more_than(_OF_TURNS, where, turn)
        if role == "assistant":
            message = _assistant(where, content)
            call_ids |= {call["id"] for call in message.get("tool_calls", ())}
            messages.append(message)
        elif role == "system":
            messages.append({"role": role, "content": _texts(f"{where}.content", content)})
        else:
            messages += _user(f"{where}.content", content, call_ids)
    return messages


def _texts(where: str, content: str | list[Any]) -> str | list[Fields]:
    if isinstance(content, str):
        return content
    parts = [_part(f"{where}.{index}", block, _TEXTS) for index, block in enumerate(content)]
    return _shortened(parts)


def _shortened(parts: list[Fields]) -> str | list[Fields]:
    """A single text is what most handlers expect."""
    return parts[0]["text"] if len(parts) == 1 and parts[0].keys() == {"type", "text"} else parts


def _assistant(where: str, content: str | list[Any]) -> Fields:
    """The message for an assistant's turn. One of thinking alone has an empty text, as in `wire.responses`."""
    if isinstance(content, str):
        return {"role": "assistant", "content": content}
    for index, block in enumerate(content):
        at = f"{where}.content.{index}"
        kind = _type_of(at, block)
        if kind in _NOT_OF_ASSISTANTS:
            raise wrong_at(f"{at}.type", f"an assistant's message can't have a block of type {kind!r}")
        for name, wanted in _OF_ASSISTANTS.get(kind, {}).items():
            if not isinstance(value := block.get(name), wanted) or (value == "" and name in ("id", "name")):
                raise wrong_at(f"{at}.{name}", f"must be {'an object' if wanted is dict else 'a text'}")
    message = message_of(content, unsealed=True)
    if message["content"] is None and "tool_calls" not in message:
        message["content"] = ""
    return message


def _user(where: str, content: str | list[Any], call_ids: set[str]) -> list[Fields]:
    """The messages for a user's turn: the results of tools, then what the user says."""
    if isinstance(content, str):
        return [{"role": "user", "content": content}]
    results: list[Fields] = []
    parts: list[Fields] = []
    for index, block in enumerate(content):
        at = f"{where}.{index}"
        if _type_of(at, block) == "tool_result":
            results.append(_result(at, block, call_ids))
        else:
            parts.append(_part(at, block, _PARTS))
    return [*results, {"role": "user", "content": _shortened(parts)}] if parts or not results else results


def _result(where: str, block: Block, call_ids: set[str]) -> Fields:
    call_id, content = block.get("tool_use_id"), block.get("content")
    if not isinstance(call_id, str) or call_id not in call_ids:
        raise wrong_at(f"{where}.tool_use_id", f"no call before it has the id {call_id!r:.60}")
    if content is not None and not isinstance(content, str | list):
        raise wrong_at(f"{where}.content", "must be a text or a list of content blocks")
    if isinstance(content, list):
        content = _shortened([_part(f"{where}.content.{index}", part, _PARTS) for index, part in enumerate(content)])
    no_more_than(_OF_RESULTS, where, block)
    notes = {name: block[name] for name in _NOTES if block.get(name)}
    return {"role": "tool", "tool_call_id": call_id, "content": content or "", **notes}


def _type_of(where: str, block: object) -> str:
    if not isinstance(block, dict) or not isinstance(kind := block.get("type"), str):
        raise wrong_at(where, "must be a content block, an object with a type")
    return kind


def _part(where: str, block: Any, known: Mapping[str, _Kind]) -> Fields:
    kind = _type_of(where, block)
    if kind not in known:
        raise wrong_at(f"{where}.type", f"{kind!r:.60} is not accepted here, only {', '.join(sorted(known))}")
    convert, fields = known[kind]
    no_more_than((*fields, "type", "cache_control"), where, block)
    part = convert(where, block)
    if block.get("cache_control") is not None:
        part["cache_control"] = block["cache_control"]
    return part


def _text(where: str, block: Block) -> Fields:
    if not isinstance(block.get("text"), str):
        raise wrong_at(f"{where}.text", "must be a text")
    return {"type": "text", "text": block["text"]}


def _image(where: str, block: Block) -> Fields:
    return {"type": "image_url", "image_url": {"url": _url_of(where, block, ("base64", "url"))}}


def _document(where: str, block: Block) -> Fields:
    for name in ("context", "citations"):
        if block.get(name) not in (None, {"enabled": False}):
            raise wrong_at(f"{where}.{name}", "this server can't pass it on to a model")
    file: Fields = {}
    source = block.get("source")
    if isinstance(source, dict) and source.get("type") == "file" and isinstance(source.get("file_id"), str):
        file["file_id"] = source["file_id"]
    else:
        file["file_data"] = _url_of(where, block, ("base64", "text"))
    if block.get("title") is not None:
        file["filename"] = block["title"]
    return {"type": "file", "file": file}


def _url_of(where: str, block: Block, kinds: tuple[str, ...]) -> str:
    """The URL of the bytes: their address, or a `data:` URL."""
    source = block.get("source")
    if isinstance(source, dict):
        no_more_than(_OF_SOURCES, f"{where}.source", source)
    kind = source.get("type") if isinstance(source, dict) else None
    if isinstance(source, dict) and kind in kinds:
        data, media_type = source.get("url" if kind == "url" else "data"), source.get("media_type")
        if isinstance(data, str) and kind == "url":
            return data
        if isinstance(data, str) and isinstance(media_type, str):
            return f"data:{media_type};base64,{data if kind == 'base64' else _base64(data)}"
    raise wrong_at(f"{where}.source", f"must be complete and of type {' or '.join(kinds)}, not {source!r:.60}")


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode()


# What converts a block of each type, and the fields that it converts.
_TEXTS: Final[dict[str, _Kind]] = {"text": (_text, ("text",))}
_PARTS: Final[dict[str, _Kind]] = {
    **_TEXTS,
    "image": (_image, ("source",)),
    "document": (_document, ("source", "title", "context", "citations")),
}
