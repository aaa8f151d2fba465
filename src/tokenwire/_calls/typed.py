"""Typed answers: a type as `response_format`, functions as `tools`, and how they are sent to the model.

Imported only by calls that have one of these keywords.
"""

from collections.abc import Mapping
from typing import Any, Final

from .._keywords import TYPED
from ..exceptions import refused, wrong
from ..llms.backend import Kind
from ..results.answer import Mode, answer_of
from ..results.asked import Asked
from ..schemas.described import is_type

_MODES: Final = {mode.value: mode for mode in Mode}
_NEEDS_TYPE = "needs a type as response_format, and this call has none"


def ask(
    kind: Kind,
    content: object,
    params: dict[str, Any],
    given: Mapping[str, Any],
    own: Mapping[str, Any],
    *,
    stream: bool,
    usual: str,
) -> tuple[Asked | None, Any]:
    """What a call requests beyond text, and its content with the instructions that this adds to the prompt.

    Args:
        params: the model's; types and functions in it are replaced by their schemas.
        given: the call's and its client's keywords for this library.
        own: the call's own keywords: those of its client need not make sense for every call.
        usual: the backend's default for `json_mode`.

    Raises:
        BadRequestError: an argument is wrong; the message names it.
    """
    mode, retries = _mode(given.get("json_mode"), usual), _retries(given.get("retry_invalid", 0))
    wanted, tools = params.get("response_format"), params.get("tools")
    if wanted is not None and not is_type(wanted) and not isinstance(wanted, Mapping):
        raise wrong("response_format", 'a type, or a dict such as {"type": "json_object"}', wanted)
    if wanted is None or not is_type(wanted):
        _refuse_without_type(own)
        answer = None
    else:
        if stream and own.get("retry_invalid"):
            raise refused(
                "retry_invalid", "retry_invalid is for calls that are not streamed: streamed chunks can't be taken back"
            )
        answer = answer_of(wanted, mode)
        params["response_format"] = answer.response_format
        if answer.response_format is None:
            del params["response_format"]
        content = content if answer.instruction is None else _with_instruction(kind, content, answer.instruction)
    functions = _functions(tools, params)
    if answer is None and functions is None:
        return None, content
    return Asked(answer, functions, 0 if answer is None or stream else retries), content


def _mode(value: object, usual: str) -> Mode:
    mode = _MODES.get(usual if value is None else value) if isinstance(value, str | None) else None
    if mode is None:
        raise wrong("json_mode", '"schema", "object" or "prompt"', value)
    return mode


def _retries(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise wrong("retry_invalid", "a whole number, 0 or more", value)
    return value


def _refuse_without_type(own: Mapping[str, Any]) -> None:
    for name in TYPED:
        if own.get(name):
            raise refused(name, f"{name} {_NEEDS_TYPE}")


def _with_instruction(kind: Kind, content: Any, instruction: str) -> Any:
    """The messages, with the instruction in the user's last one: not every model has system messages."""
    if kind != "chat":
        raise refused("json_mode", 'json_mode must be "schema" for a text completion: its prompt has no place for instructions')
    place = max((number for number, message in enumerate(content) if message["role"] == "user"), default=None)
    if place is None:
        return [*content, {"role": "user", "content": instruction}]
    said = content[place].get("content")
    more = [*said, {"type": "text", "text": instruction}] if isinstance(said, list) else f"{said or ''}\n\n{instruction}"
    return [*content[:place], {**content[place], "content": more}, *content[place + 1 :]]


def _functions(tools: object, params: dict[str, Any]) -> Any:
    """The functions among the tools; None if there are none: then the tools are sent as they are."""
    if callable(tools) or isinstance(tools, str | bytes | int | float | Mapping):
        raise wrong("tools", "a list of functions and dicts", tools)
    if not isinstance(tools, list | tuple):
        return None
    for place, tool in enumerate(tools):
        if tool is None or isinstance(tool, str | bytes | int | float | list | tuple):
            raise wrong(
                f"tools[{place}]", 'a function, or a dict such as {"type": "function", "function": {"name": ...}}', tool
            )
    if not any(map(callable, tools)):
        return None
    from ..results.tools import Tools

    found = Tools(tools)
    params["tools"] = found.sent
    return found
