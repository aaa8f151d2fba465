"""Tools and the choice among them ↔ those of chat completions.

A namespace, which is a group of tools, becomes its tools with joined names; `Names` has the namespace and the own name for
each joined name. A web search becomes chat completions' `web_search_options`, which a handler or an endpoint may support.
A search for tools that the client runs is left out: all tools are offered at once. Chat completions have none of the other
tools that OpenAI's servers run, so those are refused.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from ...exceptions import refused
from ...types._source import Fields
from .parts import bad, beside, kind_of, no_more_than, text_in

Names: TypeAlias = dict[str, tuple[str | None, str]]
"""The namespace and own name of each tool, by its name in chat completions."""

_FUNCTION: Final = ("name", "description", "parameters", "strict")
_CUSTOM: Final = ("name", "description")
Offered: TypeAlias = Iterable[tuple[str, Iterable[object]]]
"""Lists of tools, with their paths in the request."""

_NAMESPACE: Final = ("name", "description", "tools")
_MODES: Final = ("auto", "none", "required")


def chat_name(namespace: object, name: str) -> str:
    """A tool's name in chat completions."""
    return f"{namespace}__{name}" if namespace else name


def names_of(offered: Offered) -> Names:
    """The names of the tools that `chat_tools` converted."""
    return {chat_name(group, tool["name"]): (group, tool["name"]) for tool, group, _ in _each(offered) if "name" in tool}


def chat_tools(offered: Offered) -> Fields:
    """The keywords of a call for these tools.

    Raises:
        BadRequestError: one of them is not a tool, or chat completions can't express it; the error has its path.
    """
    made: list[Fields] = []
    keywords: Fields = {"tools": made}
    taken: set[str] = set()
    for tool, group, where in _each(offered):
        kind = kind_of(tool)
        if kind == "tool_search" and tool.get("execution") == "client":
            continue  # it would find nothing: all tools are offered
        if kind == "web_search" and group is None:
            keywords["web_search_options"] = beside(tool, "type")
            continue
        make = _TO_CHAT.get(kind)
        if make is None:
            raise refused(
                f"{where}.type", f"{where}.type: this server does not support tools of type {tool.get('type')!r}, only {_KNOWN}"
            )
        found = make(tool, chat_name(group, text_in(tool, "name", where)), where)
        name = found[found["type"]]["name"]
        if name in taken:
            raise refused(where, f"{where}: the name {name!r} is taken by another tool")
        taken.add(name)
        made.append(found)
    if not made:
        del keywords["tools"]
    return keywords


def _each(offered: Offered) -> Iterator[tuple[Fields, str | None, str]]:
    """Each tool with its namespace and its path; a namespace's description is put before those of its tools."""
    for where, tool in ((f"{place}[{index}]", tool) for place, tools in offered for index, tool in enumerate(tools)):
        if not isinstance(tool, dict):
            raise bad(where, "an object with a type", tool)
        if tool.get("type") != "namespace":
            yield tool, None, where
            continue
        group, about, inner = text_in(tool, "name", where), tool.get("description"), tool.get("tools")
        if not isinstance(inner, list):
            raise bad(f"{where}.tools", "a list of tools", inner)
        no_more_than(_NAMESPACE, tool, where)
        for number, one in enumerate(inner):
            place = f"{where}.tools[{number}]"
            if not isinstance(one, dict):
                raise bad(place, "an object with a type", one)
            description = "\n\n".join(text for text in (about, one.get("description")) if isinstance(text, str) and text)
            yield {**one, **({"description": description} if description else {})}, group, place


def _function(tool: Fields, name: str, where: str) -> Fields:
    no_more_than(_FUNCTION, tool, where)
    given = {field: tool[field] for field in _FUNCTION if tool.get(field) is not None}
    return {"type": "function", "function": {**given, "name": name}}


def _custom(tool: Fields, name: str, where: str) -> Fields:
    no_more_than((*_CUSTOM, "format"), tool, where)
    made = {field: tool[field] for field in _CUSTOM if tool.get(field) is not None} | {"name": name}
    form = tool.get("format")
    if isinstance(form, dict) and form.get("type") == "grammar":
        form = {"type": "grammar", "grammar": beside(form, "type")}
    return {"type": "custom", "custom": made if form is None else {**made, "format": form}}


_TO_CHAT: dict[str, Callable[[Fields, str, str], Fields]] = {"function": _function, "custom": _custom}
_KNOWN = "'function', 'custom', 'namespace', 'web_search', and a 'tool_search' that the client runs"


def chat_choice(choice: object) -> object:
    """`tool_choice` in the format of chat completions.

    Raises:
        BadRequestError: it is wrong, or chat completions can't express it; the error has its path.
    """
    if choice in _MODES:
        return choice
    if not isinstance(choice, dict):
        raise bad("tool_choice", "'auto', 'none', 'required' or an object", choice)
    if choice.get("type") == "allowed_tools":
        tools = choice.get("tools")
        if not isinstance(tools, list):
            raise bad("tool_choice.tools", "a list", tools)
        no_more_than(("mode", "tools"), choice, "tool_choice")
        named = [_named(tool, f"tool_choice.tools[{index}]") for index, tool in enumerate(tools)]
        return {"type": "allowed_tools", "allowed_tools": {"mode": choice.get("mode") or "auto", "tools": named}}
    return _named(choice, "tool_choice")


def _named(choice: object, where: str) -> Fields:
    if not isinstance(choice, dict):
        raise bad(where, "an object with a type", choice)
    kind = kind_of(choice)
    if kind not in _TO_CHAT:
        raise bad(f"{where}.type", "'function' or 'custom'", choice.get("type"))
    no_more_than(("name", "namespace"), choice, where)
    return {"type": kind, kind: {"name": chat_name(choice.get("namespace"), text_in(choice, "name", where))}}


def responses_tools(tools: object) -> list[Fields]:
    """A call's tools in the format of the Responses API.

    Raises:
        BadRequestError: one of them is neither a function nor a custom tool.
    """
    if not isinstance(tools, list | tuple):
        raise bad("tools", "a list of tools", tools)
    return [_flat(tool, f"tools[{index}]") for index, tool in enumerate(tools)]


def _flat(tool: object, where: str) -> Fields:
    if not isinstance(tool, Mapping):
        raise bad(where, "a dict with a type", tool)
    kind = kind_of(dict(tool))
    inner = tool.get(kind) if kind in _TO_CHAT else None
    if kind in _TO_CHAT and not isinstance(inner, Mapping):
        raise bad(f"{where}.{kind}", "a dict", inner)
    if inner is None:
        return dict(tool)  # already in the API's own format, such as {"type": "web_search"}
    flat = {"type": kind, **inner, **beside(dict(tool), "type", kind)}
    form = flat.get("format")
    if isinstance(form, dict) and isinstance(form.get("grammar"), dict):
        flat["format"] = {"type": "grammar", **form["grammar"]}
    return flat


def responses_choice(choice: object) -> object:
    """`tool_choice` in the format of the Responses API; unchanged if it is not in that of chat completions."""
    if not isinstance(choice, Mapping):
        return choice
    kind: Any = choice.get("type")
    inner: Any = choice.get(kind) if isinstance(kind, str) else None
    if not isinstance(inner, Mapping):
        return dict(choice)
    flat = {"type": kind, **inner}
    if kind == "allowed_tools" and isinstance(inner.get("tools"), list):
        flat["tools"] = [responses_choice(tool) for tool in inner["tools"]]
    return flat
