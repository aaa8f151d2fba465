"""A client's request for a message → the keywords of a chat call.

==============================================  ======================================================================
a request's field                               in a chat call
==============================================  ======================================================================
`system`, `messages`                            `messages`: results of tools become separate messages, see `turns`
`stop_sequences`                                `stop`
`tools`, `tool_choice`                          the same; `disable_parallel_tool_use` is `parallel_tool_calls`
`output_config.effort`, `output_config.format`  `reasoning_effort`, `response_format`
`metadata.user_id`                              `user`
`service_tier`                                  the same, "default" for "standard_only"
`max_tokens`, `temperature`, `top_p`            the same
`thinking`, `top_k`, and others in `_PASSED_ON`   the same, for handlers and endpoints that speak Messages: see `plain`
`cache_control`, `is_error`, notes of tools     remain where they are, for the same
tools of Anthropic's servers; `_REFUSED`        refused by name
==============================================  ======================================================================
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import chain
from typing import Annotated, Any, Final, TypeAlias

from msgspec import Meta, Struct

from ...types._source import Fields
from .blocks import is_sealed_here
from .described import CHOICE, SYSTEM_BLOCK, TOOL, TURN
from .turns import chat_messages, no_more_than, wrong_at

_SEPARATE: Final = frozenset({"model", "stream", "system", "messages"})

# Parameters that chat does not have. Handlers get them, and endpoints that speak Messages.
_PASSED_ON: Final = frozenset(
    "cache_control context_management diagnostics inference_geo speed thinking top_k user_profile_id".split()
)
_TOOL_FIELDS: Final = frozenset({"type", "name", "description", "input_schema", "strict"})
_CHOICES: Final = {"auto": "auto", "any": "required", "none": "none"}

_CHOICE_FIELDS: Final = frozenset({"type", "name", "disable_parallel_tool_use"})
_REFUSED: Final = {
    "billing_policy": "nothing is billed here",
    "compaction": "conversations are not compacted here",
    "container": "there are no containers here",
    "fallback_credit_token": "nothing is billed here",
    "fallbacks": "the configuration of this server names the fallbacks",
    "mcp_servers": "no tool is called here: give tools of your own",
    "thread": "nothing is stored here: send the whole conversation as messages",
    "workspace_id": "there are no workspaces here",
}

# Fields of messages that endpoints of chat completions are not sent; requests to the Responses API need those of answers.
_NOTES: Final = ("cache_control", "is_error", "toolset_name")
_NOTES_OF_ANSWERS: Final = ("thinking_blocks", "reasoning_content", "reasoning_items", "provider_specific_fields")


Turn: TypeAlias = Annotated[dict[str, Any], Meta(extra_json_schema=TURN)]
Turns: TypeAlias = Annotated[list[Turn], Meta(min_length=1)]
System: TypeAlias = str | list[Annotated[dict[str, Any], Meta(extra_json_schema=SYSTEM_BLOCK)]]
Tool: TypeAlias = Annotated[dict[str, Any], Meta(extra_json_schema=TOOL)]
Choice: TypeAlias = Annotated[dict[str, Any], Meta(extra_json_schema=CHOICE)]
NotHere: TypeAlias = Annotated[Any, Meta(extra_json_schema={"enum": [None]})]  # see `_REFUSED`


class Who(Struct, forbid_unknown_fields=True):
    """The user that the answer is for."""

    user_id: str | None = None


class Format(Struct, tag_field="type", tag="json_schema", forbid_unknown_fields=True):
    """JSON that matches a schema."""

    schema: dict[str, Any]


class OutputConfig(Struct, forbid_unknown_fields=True):
    """What is expected of the answer."""

    effort: str | None = None
    format: Format | None = None


class CountRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of a request for the number of a prompt's tokens."""

    model: str
    messages: Turns
    billing_policy: NotHere = None
    cache_control: dict[str, Any] | None = None
    compaction: NotHere = None
    container: NotHere = None
    context_management: dict[str, Any] | None = None
    diagnostics: dict[str, Any] | None = None
    fallback_credit_token: NotHere = None
    fallbacks: NotHere = None
    inference_geo: str | None = None
    mcp_servers: NotHere = None
    metadata: Who | None = None
    output_config: OutputConfig | None = None
    service_tier: str | None = None
    speed: str | None = None
    stop_sequences: list[str] | None = None
    system: System | None = None
    temperature: float | None = None
    thinking: dict[str, Any] | None = None
    thread: NotHere = None
    tool_choice: Choice | None = None
    tools: list[Tool] | None = None
    top_k: int | None = None
    top_p: float | None = None
    user_profile_id: str | None = None
    workspace_id: NotHere = None


class MessagesRequest(CountRequest, kw_only=True, forbid_unknown_fields=True):
    """The body of a request for a message."""

    max_tokens: Annotated[int, Meta(ge=1)]
    stream: bool | None = None


def chat_keywords(_: Struct, fields: Fields) -> Fields:
    """The keywords of the call for a request: all but the model and `stream`.

    Args:
        fields: of the request, as they arrived; those of a `MessagesRequest`.

    Raises:
        BadRequestError: a field is wrong, or chat can't express it; the message names it.
    """
    for name, why in _REFUSED.items():
        if fields.get(name):
            raise wrong_at(name, why)
    keywords: Fields = {"messages": chat_messages(fields.get("system"), fields["messages"])}
    if fields.get("stream"):
        keywords["stream_options"] = {"include_usage": True}  # a message always has it
    for name, value in fields.items():
        if value is None or name in _SEPARATE or name in _REFUSED:
            continue
        if (convert := _CONVERTERS.get(name)) is not None:
            convert(keywords, value)
        else:
            keywords[name] = value
    return keywords


def own(fields: Fields) -> Fields:
    """A request for an endpoint of this API: without thinking that was sealed here, which it would refuse.

    A turn of nothing else is left out too, as an empty one would be refused.

    Args:
        fields: the request's, as they came, of any types.

    Returns:
        The fields; the same object if there is no such thinking.
    """
    turns: Any = fields.get("messages")
    if not isinstance(turns, list) or not any(map(is_sealed_here, chain.from_iterable(map(_blocks_in, turns)))):
        return fields
    kept: list[Any] = []
    for turn in turns:
        blocks = _blocks_in(turn)
        others = [block for block in blocks if not is_sealed_here(block)]
        if others or not blocks:
            kept.append({**turn, "content": others} if len(others) < len(blocks) else turn)
    return {**fields, "messages": kept}


def _blocks_in(turn: Any) -> list[Any]:
    """The blocks of an assistant's turn; none if it is another, or a text."""
    content = turn.get("content") if isinstance(turn, dict) and turn.get("role") == "assistant" else None
    return content if isinstance(content, list) else []


def plain(call: Fields, dialects: Collection[str]) -> tuple[Fields, list[str]]:
    """A call for endpoints of other APIs, which may refuse what they do not know: only what those have in common with chat.

    Args:
        call: the keywords of a call.
        dialects: of the endpoints that may answer it.

    Returns:
        The keywords, and the names of those that were left out.
    """
    left_out = {name for name in call if name in _PASSED_ON}
    kept = {name: value for name, value in call.items() if name not in left_out}
    notes = _NOTES
    if set(dialects) != {"responses"}:
        notes += _NOTES_OF_ANSWERS
    elif any("thinking_blocks" in message for message in call["messages"]):
        left_out.add("thinking_blocks")  # which have no items
    kept["messages"] = [_plain_message(message, notes, left_out) for message in call["messages"]]
    if tools := call.get("tools"):
        kept["tools"] = [_without(tool, tool.keys() - {"type", "function"}, left_out) for tool in tools]
    return kept, sorted(left_out)


def _plain_message(message: Fields, notes: Iterable[str], left_out: set[str]) -> Fields:
    message = _without(message, notes, left_out)
    if isinstance(content := message.get("content"), list):
        message["content"] = [_without(part, ("cache_control",), left_out) for part in content]
    return message


def _without(fields: Fields, names: Iterable[str], left_out: set[str]) -> Fields:
    gone = {name for name in names if name in fields}
    left_out |= gone
    return {name: value for name, value in fields.items() if name not in gone}


def _stop(keywords: Fields, value: object) -> None:
    keywords["stop"] = value


def _metadata(keywords: Fields, value: Mapping[str, Any]) -> None:
    if value.get("user_id") is not None:
        keywords["user"] = value["user_id"]


def _service_tier(keywords: Fields, value: object) -> None:
    keywords["service_tier"] = "default" if value == "standard_only" else value


def _output_config(keywords: Fields, value: Mapping[str, Any]) -> None:
    if value.get("effort") is not None:
        keywords["reasoning_effort"] = value["effort"]
    if value.get("format") is not None:
        schema = {"name": "answer", "schema": value["format"]["schema"], "strict": True}
        keywords["response_format"] = {"type": "json_schema", "json_schema": schema}


def _tools(keywords: Fields, value: list[Fields]) -> None:
    if tools := [_tool(f"tools.{index}", tool) for index, tool in enumerate(value)]:
        keywords["tools"] = tools


def _tool(where: str, tool: Fields) -> Fields:
    kind, name, schema = tool.get("type"), tool.get("name"), tool.get("input_schema")
    if kind not in (None, "custom"):
        raise wrong_at(
            f"{where}.type",
            f"{kind!r:.60} is a tool that Anthropic's servers run, and this one does not: give a tool of your own",
        )
    if not isinstance(name, str) or not name:
        raise wrong_at(f"{where}.name", "must be a tool's name")
    if not isinstance(schema, dict):
        raise wrong_at(f"{where}.input_schema", "must be a JSON schema")
    function: Fields = {"name": name, "parameters": schema}
    function |= {known: tool[known] for known in ("description", "strict") if tool.get(known) is not None}
    notes = {known: value for known, value in tool.items() if known not in _TOOL_FIELDS and value is not None}
    return {"type": "function", "function": function, **notes}


def _tool_choice(keywords: Fields, value: Fields) -> None:
    no_more_than(_CHOICE_FIELDS, "tool_choice", value)
    kind = value.get("type")
    if kind == "tool" and isinstance(value.get("name"), str):
        keywords["tool_choice"] = {"type": "function", "function": {"name": value["name"]}}
    elif isinstance(kind, str) and kind in _CHOICES:
        keywords["tool_choice"] = _CHOICES[kind]
    else:
        raise wrong_at("tool_choice", 'must be of type "auto", "any", "none", or "tool" with a name')
    if value.get("disable_parallel_tool_use"):
        keywords["parallel_tool_calls"] = False


_CONVERTERS: Final[dict[str, Callable[[Fields, Any], None]]] = {
    "stop_sequences": _stop,
    "metadata": _metadata,
    "service_tier": _service_tier,
    "output_config": _output_config,
    "tools": _tools,
    "tool_choice": _tool_choice,
}
