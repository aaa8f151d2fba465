"""Checks the messages of a call: what an endpoint would receive as something else, or not at all, is refused before sending.

A handler may accept messages of another form; for it, only the structure is checked.
"""

from collections.abc import Mapping
from typing import Any, Final

from ..exceptions import refused, wrong
from ..types._record import Record, in_own_terms
from ..wire.history import is_flat, to_json
from .unknown import nearest

# OpenAI's roles, and further ones of open models' chat templates (Llama, ChatGLM, Gemma, Granite).
ROLES: Final = (
    "system", "developer", "user", "assistant", "tool", "function",
    "ipython", "observation", "model", "document", "control",
)  # fmt: skip

_SAID_WITHOUT_CONTENT: Final = frozenset({"assistant", "model"})  # they may call tools, reason or refuse instead


def checked_messages(messages: object, *, for_endpoint: bool) -> list[dict[str, Any]]:
    """The messages as new dicts: a response's `Message`, or a pydantic model, is converted.

    Raises:
        BadRequestError: they are not a list of messages; for an endpoint also: an unknown role, no content, or content
            that JSON can't represent. The error's message says where, such as `messages[2]`.
    """
    messages = () if messages is None else messages
    if not isinstance(messages, (list, tuple)):
        raise wrong("messages", 'a list such as [{"role": "user", "content": "Hi"}]', messages)
    checked = [_message(index, message) for index, message in enumerate(messages)]
    if for_endpoint:
        if not checked:
            raise refused("messages", 'messages is empty: expected a list such as [{"role": "user", "content": "Hi"}]')
        for index, message in enumerate(checked):
            if type(message.get("content")) is not str or message["role"] not in ROLES:
                _check(f"messages[{index}]", message)
    return checked


def _message(index: int, message: object) -> dict[str, Any]:
    if type(message) is dict and is_flat(message) and type(message.get("role")) is str:
        return message.copy()
    if type(message) is not dict and not isinstance(message, Record):
        message = dict(message) if isinstance(message, Mapping) else in_own_terms(message)
        if not isinstance(message, dict):
            raise wrong(f"messages[{index}]", "a dict", message)
    try:
        fields = to_json(message)
    except RecursionError as error:
        raise refused("messages", f"messages[{index}] can't be sent as JSON: {error}") from None
    if not isinstance(fields.get("role"), str):
        raise refused("messages", f'messages[{index}] must have a role, such as "user": {fields!r:.80}')
    return fields


def _check(name: str, message: dict[str, Any]) -> None:
    role = message["role"]
    if role not in ROLES:
        near = nearest(role, ROLES, shortest=3)
        hint = f"did you mean {near!r}?" if near else f"there are {', '.join(ROLES[:6])}"
        raise refused("messages", f"{name} has an unknown role, {role!r}: {hint}")
    content = message.get("content", ...)
    if type(content) is str:
        return
    if content is ... and (role not in _SAID_WITHOUT_CONTENT or message.keys() <= {"role", "name"}):
        near = next((key for key in message if nearest(key, ("content",))), None)
        hint = f", but {near!r}: did you mean content?" if near else ": expected a str or a list of parts"
        raise refused("messages", f"{name} has no content{hint}")
    if isinstance(content, bytes | bytearray | memoryview):
        raise refused(
            "messages", f"{name} has bytes as content: decode them to a str, or send a part of type image_url or file"
        )
    if isinstance(content, list):
        for place, part in enumerate(content):
            refuse_unsayable("messages", f"{name}.content[{place}]", part)
    elif isinstance(content, int | float):
        raise refused("messages", f"{name} has {content!r} as content: expected a str or a list of parts")


def refuse_unsayable(param: str, name: str, value: object) -> None:
    """Refuse values that JSON would change: bytes would become base64, and nan or infinity null."""
    if isinstance(value, dict):
        for key, item in value.items():
            refuse_unsayable(param, f"{name}.{key}", item)
    elif isinstance(value, bytes | bytearray | memoryview):
        raise refused(param, f"{name} has bytes, which JSON can't represent: use base64.b64encode(...).decode()")
    elif isinstance(value, float) and (value != value or value in _INFINITE):
        raise refused(param, f"{name} is {value}, which JSON can't represent")


_INFINITE: Final = (float("inf"), float("-inf"))
