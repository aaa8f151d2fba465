"""A chat call → the body of a request.

What Messages can't express is refused by name; what already has the format of Messages (blocks of its own types, tools with
an `input_schema`, `thinking`, `top_k`, ...) is sent unchanged. Left out are a message's `name`, an image's `detail`,
reasoning that is not in signed thinking blocks, and fields of a received message other than its text and its calls.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from ...exceptions import BadRequestError, UnsupportedParamsError, refused, wrong
from ...types._source import Fields
from .blocks import Block, blocks_of
from .parts import content_of

# Parameters that Messages does not have, and those of their values that change nothing.
UNSUPPORTED: Final[dict[str, tuple[Any, ...]]] = {
    "audio": (),
    "frequency_penalty": (0,),
    "function_call": (),
    "functions": (),
    "logit_bias": ({},),
    "logprobs": (False,),
    "modalities": (["text"],),
    "n": (1,),
    "prediction": (),
    "presence_penalty": (0,),
    "prompt_cache_key": (),
    "safety_identifier": (),
    "seed": (),
    "store": (False,),
    "top_logprobs": (0,),
    "verbosity": (),
    "web_search_options": (),
}

_SYSTEM: Final = frozenset({"system", "developer"})
_CHOICES: Final = {"auto": "auto", "required": "any", "none": "none"}
_TOOL_FIELDS: Final = frozenset({"name", "description", "parameters", "strict"})


def request_body(model: str, messages: object, params: Mapping[str, Any]) -> Fields:
    """The body of the request for a chat call: all but `stream`.

    Raises:
        BadRequestError: Messages can't express something; the message names it.
    """
    body: Fields = {"model": model}
    for name, value in params.items():
        _add_param(body, name, value)
    _add_parallel_calls(body, params)
    system, turns = _conversation(messages)
    if system:
        body["system"] = _system_of(system)
    body["messages"] = turns
    return body


def _add_param(body: Fields, name: str, value: object) -> None:
    """Add one parameter."""
    if name in UNSUPPORTED:
        if not any(value == usual and isinstance(value, bool) == isinstance(usual, bool) for usual in UNSUPPORTED[name]):
            raise _unsupported(name)
    elif (convert := _PARAMS.get(name)) is not None:
        convert(body, value)
    else:
        body[name] = value


def _unsupported(name: str, more: str = "") -> BadRequestError:
    message = f"{name}: Anthropic's API does not support it{more}; leave it out, or name it in additional_drop_params"
    return UnsupportedParamsError(message, param=name.partition(".")[0], fault="caller")


def _max_tokens(body: Fields, value: object) -> None:
    body["max_tokens"] = value


def _stop(body: Fields, value: object) -> None:
    body["stop_sequences"] = [value] if isinstance(value, str) else value


def _user(body: Fields, value: object) -> None:
    body["metadata"] = {**body.get("metadata", {}), "user_id": value}


def _metadata(body: Fields, value: object) -> None:
    if not isinstance(value, Mapping):
        raise wrong("metadata", "a mapping", value)
    if others := sorted(map(str, value.keys() - {"user_id"})):
        raise _unsupported(f"metadata.{others[0]}", ", only user_id")
    body["metadata"] = {**body.get("metadata", {}), **value}


def _service_tier(body: Fields, value: object) -> None:
    body["service_tier"] = "standard_only" if value == "default" else value


def _effort(body: Fields, value: object) -> None:
    if value == "none":
        body["thinking"] = {"type": "disabled"}
        return
    _output_config(body, {"effort": value})


def _output_config(body: Fields, value: object) -> None:
    if not isinstance(value, Mapping):
        raise wrong("output_config", "a mapping", value)
    body["output_config"] = {**body.get("output_config", {}), **value}


def _response_format(body: Fields, value: Any) -> None:
    kind = value.get("type") if isinstance(value, Mapping) else value
    if kind == "text":
        return
    if kind != "json_schema":
        raise _unsupported("response_format", f" with type {kind!r:.40}, only with json_schema")
    schema = value.get("json_schema")
    schema = schema.get("schema") if isinstance(schema, Mapping) else value.get("schema")
    if not isinstance(schema, Mapping):
        raise refused("response_format", "response_format must have the schema at json_schema.schema")
    _output_config(body, {"format": {"type": "json_schema", "schema": schema}})


def _stream_options(body: Fields, value: object) -> None:
    """Adds nothing: the usage is always sent."""
    if not isinstance(value, Mapping):
        raise wrong("stream_options", "a mapping", value)


def _tools(body: Fields, value: object) -> None:
    if not isinstance(value, list | tuple):
        raise wrong("tools", "a list", value)
    body["tools"] = [_tool(f"tools[{index}]", tool) for index, tool in enumerate(value)]


def _tool(where: str, tool: object) -> Fields:
    if not isinstance(tool, Mapping):
        raise wrong(where, "a dict", tool)
    kind, function = tool.get("type"), tool.get("function")
    if not isinstance(function, Mapping):
        if "input_schema" not in tool and (kind is None or kind in ("custom", "function")):
            what = "custom tools" if kind == "custom" else "this tool"
            raise refused("tools", f"{where}: Anthropic's API does not support {what}: send a function, or an input_schema")
        return dict(tool)  # Anthropic's own
    made = {name: value for name, value in tool.items() if name not in ("type", "function")}
    if others := sorted(function.keys() - _TOOL_FIELDS):
        raise refused("tools", f"{where}.function.{others[0]}: Anthropic's API does not support it")
    made["name"] = function.get("name")
    made["input_schema"] = function.get("parameters") or {"type": "object", "properties": {}}
    return made | {name: function[name] for name in ("description", "strict") if function.get(name) is not None}


def _tool_choice(body: Fields, value: object) -> None:
    if isinstance(value, str) and value in _CHOICES:
        body["tool_choice"] = {"type": _CHOICES[value]}
        return
    function = value.get("function") if isinstance(value, Mapping) else None
    if isinstance(function, Mapping):
        body["tool_choice"] = {"type": "tool", "name": function.get("name")}
    elif isinstance(value, Mapping) and value.get("type") in ("auto", "any", "none", "tool"):
        body["tool_choice"] = dict(value)
    else:
        raise wrong("tool_choice", '"auto", "required", "none", or a function as in chat completions', value)


def _parallel(body: Fields, value: object) -> None:
    if not isinstance(value, bool):
        raise wrong("parallel_tool_calls", "True or False", value)


def _add_parallel_calls(body: Fields, params: Mapping[str, Any]) -> None:
    """Messages has this parameter in the tool choice."""
    asked = params.get("parallel_tool_calls")
    if asked is False and body.get("tools"):
        choice = body.get("tool_choice") or {"type": "auto"}
        if choice.get("type") != "none":
            body["tool_choice"] = {**choice, "disable_parallel_tool_use": True}


_PARAMS: Final[dict[str, Callable[[Fields, Any], None]]] = {
    "max_tokens": _max_tokens,
    "max_completion_tokens": _max_tokens,
    "stop": _stop,
    "user": _user,
    "metadata": _metadata,
    "service_tier": _service_tier,
    "reasoning_effort": _effort,
    "output_config": _output_config,
    "response_format": _response_format,
    "stream_options": _stream_options,
    "tools": _tools,
    "tool_choice": _tool_choice,
    "parallel_tool_calls": _parallel,
}


def _conversation(messages: Any) -> tuple[list[Fields], list[Fields]]:
    """The system messages at the beginning, and the turns. Results of tools share a turn with the user's message after them."""
    system: list[Fields] = []
    turns: list[Fields] = []
    results: list[Block] | None = None  # those of the latest turn, if it is of results
    for index, message in enumerate(messages):
        where, role = f"messages[{index}]", message["role"]
        if role in _SYSTEM and not turns:
            system.append({"where": where, **message})
            continue
        if role in ("tool", "function"):
            if results is None:
                results = []
                turns.append({"role": "user", "content": results})
            results.append(_result(where, message))
            continue
        turn = _turn(where, message, role)
        if results is not None and turn["role"] == "user":
            results += [{"type": "text", "text": turn["content"]}] if isinstance(turn["content"], str) else turn["content"]
        else:
            turns.append(turn)
        results = None
    return system, turns


def _system_of(messages: Iterable[Fields]) -> str | list[Block]:
    contents = [content_of(message.get("where", "messages"), message) for message in messages]
    if len(contents) == 1:
        return contents[0]
    return [
        block
        for content in contents
        for block in ([{"type": "text", "text": content}] if isinstance(content, str) else content)
    ]


def _turn(where: str, message: Fields, role: str) -> Fields:
    if role == "assistant":
        return {"role": role, "content": _assistant(where, message)}
    if role not in ("user", *_SYSTEM):
        raise refused("messages", f"{where}.role: Anthropic's API does not have the role {role!r:.40}")
    return {"role": "system" if role in _SYSTEM else role, "content": content_of(where, message)}


def _assistant(where: str, message: Fields) -> str | list[Block]:
    """The content of an assistant's message: only its text, or blocks."""
    if message.get("audio"):
        raise refused("messages", f"{where}.audio: Anthropic's API does not support it")
    _check_assistant(where, message)
    content = message.get("content")
    if isinstance(content, list) and any(_is_more_than_text(part) for part in content):
        others = blocks_of({**message, "content": None})
        place = sum(block.get("type") != "tool_use" for block in others)
        blocks = content_of(where, message)
        assert isinstance(blocks, list), "a list of parts is a list of blocks"
        return [*others[:place], *blocks, *others[place:]]
    blocks = blocks_of(message)
    is_text = len(blocks) == 1 and blocks[0].keys() == {"type", "text"}
    mark = message.get("cache_control")
    if mark is not None and blocks:
        return [*blocks[:-1], {**blocks[-1], "cache_control": mark}]
    return blocks[0]["text"] if is_text else blocks or ""


def _check_assistant(where: str, message: Fields) -> None:
    """Refuse calls and thinking that do not have chat's format."""
    for name in ("thinking_blocks", "tool_calls"):
        value = message.get(name)
        if value is not None and not (isinstance(value, list) and all(isinstance(item, dict) for item in value)):
            raise refused("messages", f"{where}.{name} must be a list of objects")
    for index, call in enumerate(message.get("tool_calls") or ()):
        function = call.get("function") or call.get("custom")
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            raise refused("messages", f"{where}.tool_calls[{index}].function must have a name")
    called, content, refusal = (message.get(name) for name in ("function_call", "content", "refusal"))
    if refusal is not None and not isinstance(refusal, str):
        raise refused("messages", f"{where}.refusal must be a text")
    if called is not None and not isinstance(called, Mapping):
        raise refused("messages", f"{where}.function_call must be an object")
    if content is not None and not isinstance(content, str | list):
        raise refused("messages", f"{where}.content must be a text or a list of parts, not {type(content).__name__}")


def _is_more_than_text(part: object) -> bool:
    return not isinstance(part, Mapping) or part.get("type") not in ("text", "refusal") or "cache_control" in part


def _result(where: str, message: Fields) -> Block:
    """The block for a tool's result."""
    call_id = message.get("tool_call_id")
    if not isinstance(call_id, str) or not call_id:
        raise refused("messages", f"{where}.tool_call_id must be the id of the call that this is the result of")
    content = content_of(where, {**message, "cache_control": None})
    block: Block = {"type": "tool_result", "tool_use_id": call_id, "content": content}
    for name in ("is_error", "toolset_name", "cache_control"):
        if message.get(name) is not None:
            block[name] = message[name]
    return block
