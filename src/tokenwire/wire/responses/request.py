"""Requests: the fields of the API ↔ the keywords of a call for a chat completion.

======================================  ==============================================================================
a request's field                       in a chat completion
======================================  ==============================================================================
`instructions`, `input`                 `messages`, see `items`
`max_output_tokens`                     `max_tokens`
`text.format`, `text.verbosity`         `response_format`, `verbosity`
`reasoning.effort`                      `reasoning_effort`
`top_logprobs`                          `logprobs`, `top_logprobs`
`tools`, `tool_choice`                  the same, see `tools`; `parallel_tool_calls` if there are any
items of `additional_tools`             more of `tools`
temperature, metadata, and more         the same, see `_SAME`
`reasoning.summary`                     nothing: only decides whether reasoning is sent as a summary
`reasoning.context`                     nothing: all reasoning is passed on with its message
`store`, `truncation`                   nothing: the answer says that nothing was stored or truncated
`include`, `client_metadata`            nothing: handlers have both in `client_request`
those in `_REFUSED`                     refused by name
======================================  ==============================================================================
"""

from collections.abc import Collection, Mapping
from typing import Annotated, Any, Final, Literal, TypeAlias

from msgspec import Meta, Struct, structs

from ...exceptions import UnsupportedParamsError, refused
from ...types._source import Fields
from .described import CHOICE, ITEM, TOOL
from .items import is_sealed_here, items_of, messages_of, offered_in
from .parts import bad, beside
from .tools import Names, Offered, chat_choice, chat_tools, names_of, responses_choice, responses_tools

NotHere: TypeAlias = Annotated[Any, Meta(extra_json_schema={"enum": [None]})]  # see `_REFUSED`
No: TypeAlias = Annotated[bool | None, Meta(extra_json_schema={"enum": [False, None]})]
Item: TypeAlias = Annotated[dict[str, Any], Meta(extra_json_schema=ITEM)]
Tool: TypeAlias = Annotated[dict[str, Any], Meta(extra_json_schema=TOOL)]
Choice: TypeAlias = Annotated[dict[str, Any], Meta(extra_json_schema=CHOICE)]
Include: TypeAlias = Literal[
    "code_interpreter_call.outputs",
    "computer_call_output.output.image_url",
    "file_search_call.results",
    "message.input_image.image_url",
    "message.output_text.logprobs",
    "reasoning.encrypted_content",
    "web_search_call.action.sources",
    "web_search_call.results",
]


class Reasoning(Struct, forbid_unknown_fields=True):
    """How to reason, and how to show it; `generate_summary` is the older name of `summary`."""

    context: Literal["auto", "current_turn", "all_turns"] | None = None
    effort: str | None = None
    mode: Annotated[str | None, Meta(extra_json_schema={"enum": ["standard", None]})] = None
    summary: str | None = None
    generate_summary: str | None = None


class PlainText(Struct, tag_field="type", tag="text", forbid_unknown_fields=True):
    """Any text."""


class JSONObject(Struct, tag_field="type", tag="json_object", forbid_unknown_fields=True):
    """A JSON object."""


class JSONSchema(Struct, tag_field="type", tag="json_schema", forbid_unknown_fields=True):
    """JSON that matches a schema."""

    name: str
    schema: dict[str, Any]
    description: str | None = None
    strict: bool | None = None


class Text(Struct, forbid_unknown_fields=True):
    """What is expected of the answer's text."""

    format: PlainText | JSONObject | JSONSchema | None = None
    verbosity: str | None = None


class ResponseStreamOptions(Struct, forbid_unknown_fields=True):
    """How to stream."""

    include_obfuscation: No = None


class InputTokensRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of a request for the number of a prompt's tokens."""

    model: str
    input: str | list[Item]
    instructions: str | None = None
    access_programs: NotHere = None
    background: No = None
    background_options: NotHere = None
    client_metadata: dict[str, Any] | None = None
    context_management: NotHere = None
    conversation: NotHere = None
    frequency_penalty: float | None = None
    image: NotHere = None
    include: list[Include] | None = None
    max_output_tokens: int | None = None
    max_tool_calls: NotHere = None
    metadata: dict[str, Any] | None = None
    moderation: NotHere = None
    parallel_tool_calls: bool | None = None
    personality: NotHere = None
    presence_penalty: float | None = None
    previous_response_id: NotHere = None
    prompt: NotHere = None
    prompt_cache_key: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    prompt_cache_retention: str | None = None
    reasoning: Reasoning | None = None
    safety_identifier: str | None = None
    service_tier: str | None = None
    store: bool | None = None
    temperature: float | None = None
    text: Text | None = None
    tool_choice: Literal["auto", "none", "required"] | Choice | None = None
    tools: list[Tool] | None = None
    top_logprobs: int | None = None
    top_p: float | None = None
    truncation: Literal["auto", "disabled"] | None = None
    user: str | None = None

    @property
    def names(self) -> Names:
        """The namespaces and names of the tools, by their names in chat completions."""
        return names_of(self.offered)

    @property
    def offered(self) -> Offered:
        """The lists of tools: the request's own, and those in items of its input."""
        return (("tools", self.tools or ()), *offered_in(self.input))

    @property
    def wants_encrypted(self) -> bool:
        """Whether the client will send encrypted reasoning back."""
        return _ENCRYPTED in (self.include or ())

    @property
    def wants_summary(self) -> bool:
        """Whether reasoning is to be sent as a summary."""
        return self.reasoning is not None and bool(self.reasoning.summary or self.reasoning.generate_summary)


class ResponsesRequest(InputTokensRequest, kw_only=True, forbid_unknown_fields=True):
    """The body of a request for a response."""

    stream: bool | None = None
    stream_options: ResponseStreamOptions | None = None


_SAME: Final = (
    "frequency_penalty", "metadata", "presence_penalty", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention",
    "safety_identifier", "service_tier", "temperature", "top_p", "user",
)  # fmt: skip

_NOT_STORED = "nothing is stored here: send the whole conversation as input"
_REFUSED: Final = {
    "access_programs": "there are none here",
    "background": "this server only answers at once; leave it out",
    "background_options": "this server only answers at once; leave it out",
    "context_management": "conversations are not compacted here",
    "conversation": _NOT_STORED,
    "image": "images are passed on unchanged; leave it out",
    "max_tool_calls": "this server calls no tools: limit the calls in your client",
    "moderation": "nothing is moderated here",
    "personality": "describe it in instructions",
    "previous_response_id": _NOT_STORED,
    "prompt": "no prompts are stored here: send instructions and input",
}
_ENCRYPTED: Final = "reasoning.encrypted_content"
_LOGPROBS: Final = "message.output_text.logprobs"


def chat_keywords(request: InputTokensRequest, _: object = None) -> Fields:
    """The keywords of the call for a request: all but the model and `stream`.

    Raises:
        BadRequestError: a chat completion can't express something in it; the error names it.
    """
    for name, why in _REFUSED.items():
        if getattr(request, name):
            raise refused(name, f"{name}: {why}")
    is_streamed = isinstance(request, ResponsesRequest) and bool(request.stream)
    if request.reasoning is not None and request.reasoning.mode not in (None, "standard"):
        raise refused("reasoning.mode", "reasoning.mode: this server only supports 'standard'; use reasoning.effort")
    options = request.stream_options if isinstance(request, ResponsesRequest) else None
    if options is not None and options.include_obfuscation:
        raise refused("stream_options.include_obfuscation", "stream_options.include_obfuscation: streams are not padded here")
    keywords: Fields = {"messages": messages_of(request.input, request.instructions)}
    keywords |= {name: value for name in _SAME if (value := getattr(request, name)) is not None}
    if request.max_output_tokens is not None:
        keywords["max_tokens"] = request.max_output_tokens
    if request.text is not None:
        keywords |= _text_keywords(request.text)
    if request.reasoning is not None and request.reasoning.effort is not None:
        keywords["reasoning_effort"] = request.reasoning.effort
    keywords |= _tool_keywords(request)
    if request.top_logprobs or _LOGPROBS in (request.include or ()):
        keywords["logprobs"] = True
        if request.top_logprobs:
            keywords["top_logprobs"] = request.top_logprobs
    if is_streamed:
        keywords["stream_options"] = {"include_usage": True}  # a response always has it
    return keywords


def own(fields: Fields) -> Fields:
    """A request for an endpoint of this API: without reasoning items that were sealed here, which it would refuse.

    Args:
        fields: the request's, as they came, of any types.

    Returns:
        The fields; the same object if there are no such items.
    """
    items: Any = fields.get("input")
    if not isinstance(items, list) or not any(map(is_sealed_here, items)):
        return fields
    return {**fields, "input": [item for item in items if not is_sealed_here(item)]}


# Parameters that change no answer, and that endpoints of Messages do not have.
_HINTS: Final = frozenset({"prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "safety_identifier"})
# Fields of a message that endpoints of chat completions are not sent, since some refuse unknown fields.
_NOTES: Final = ("annotations", "phase", "provider_specific_fields", "reasoning_items", "thinking_blocks")


def plain(call: Fields, dialects: Collection[str]) -> tuple[Fields, list[str]]:
    """A call for endpoints of other APIs, and the names of what they are not sent.

    Args:
        call: the keywords of a call.
        dialects: of the endpoints that may answer it.
    """
    left_out = {"web_search_options"} & call.keys()
    if set(dialects) == {"messages"}:
        left_out |= _HINTS & call.keys()
        return beside(call, *left_out), sorted(left_out | _not_in_blocks(call["messages"]))
    messages: list[Fields] = []
    for message in call["messages"]:
        noted = [name for name in _NOTES if name in message]
        left_out.update(noted)
        messages.append(beside(message, *noted))
    return {**beside(call, "web_search_options"), "messages": messages}, sorted(left_out)


def _not_in_blocks(messages: list[Fields]) -> set[str]:
    """The names of fields for which Messages has no blocks, so that its requests are made without them."""
    names = {name for message in messages for name in ("phase", "reasoning_items") if name in message}
    unsigned = any("reasoning_content" in message and "thinking_blocks" not in message for message in messages)
    return names | {"reasoning_content"} if unsigned else names


def _text_keywords(text: Text) -> Fields:
    keywords: Fields = {} if text.verbosity is None else {"verbosity": text.verbosity}
    form = text.format
    if isinstance(form, JSONSchema):
        schema = {name: value for name, value in structs.asdict(form).items() if value is not None}
        keywords["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif isinstance(form, JSONObject):
        keywords["response_format"] = {"type": "json_object"}
    return keywords


def _tool_keywords(request: InputTokensRequest) -> Fields:
    """The keywords about tools. Without tools there is no `tool_choice`, since servers refuse it."""
    keywords = chat_tools(request.offered)
    choice = None if request.tool_choice is None else chat_choice(request.tool_choice)
    if "tools" not in keywords:
        if choice not in (None, "auto", "none"):
            raise refused("tool_choice", "tool_choice: there are no tools to choose from")
        return keywords
    if choice is not None:
        keywords["tool_choice"] = choice
    if request.parallel_tool_calls is not None:
        keywords["parallel_tool_calls"] = request.parallel_tool_calls
    return keywords


# Parameters of chat completions → their paths in the Responses API.
_MOVED: Final = {
    "max_tokens": ("max_output_tokens",),
    "max_completion_tokens": ("max_output_tokens",),
    "reasoning_effort": ("reasoning", "effort"),
    "verbosity": ("text", "verbosity"),
}
# Parameters that the Responses API does not have.
UNSUPPORTED: Final = frozenset("audio best_of function_call functions logit_bias modalities n prediction seed stop".split())


def responses_body(model: str, messages: object, params: Mapping[str, Any]) -> Fields:
    """The body of the request for a call.

    Args:
        model: the model's bare name.
        messages: the conversation.
        params: the caller's parameters; those that chat completions do not have are sent unchanged.

    Raises:
        BadRequestError: the Responses API can't express something; the error names it.
    """
    body: Fields = {"model": model, "input": items_of(messages)}
    for name, value in params.items():
        if name in UNSUPPORTED and not (name == "n" and value == 1):
            message = f"{name}: endpoints that speak the Responses API have no such parameter; leave it out"
            raise UnsupportedParamsError(message, param=name, fault="caller")
        _add_param(body, name, value)
    return body


def _add_param(body: Fields, name: str, value: Any) -> None:
    """Add one parameter."""
    if name in _MOVED:
        *outer, inner = _MOVED[name]
        place = body
        for step in outer:
            place = place.setdefault(step, {})
        place[inner] = value
    elif name == "tools":
        body.setdefault("tools", []).extend(responses_tools(value))
    elif name == "tool_choice":
        body["tool_choice"] = responses_choice(value)
    elif name == "response_format":
        body.setdefault("text", {})["format"] = _format(value)
    elif name == "logprobs":
        if value:
            body.setdefault("include", []).append(_LOGPROBS)
    elif name == "stream_options":
        _add_stream_options(body, value)
    elif name in ("include", "reasoning", "text"):
        _add_to_field(body, name, value)
    elif name == "web_search_options":
        _check(name, value, Mapping)
        body.setdefault("tools", []).append({"type": "web_search", **value})
    elif name != "n":
        body[name] = value


def _add_to_field(body: Fields, name: str, value: Any) -> None:
    """Add a field in the API's own format, to which other parameters may add too."""
    if name == "include":
        _check(name, value, list)
        body.setdefault(name, []).extend(value)
    else:
        _check(name, value, Mapping)
        body[name] = {**body.get(name, {}), **value}


def _check(name: str, value: object, cls: type[Any]) -> None:
    if not isinstance(value, cls):
        raise bad(name, "a list" if cls is list else "a dict", value)


def _add_stream_options(body: Fields, options: object) -> None:
    """Add `stream_options`, without `include_usage`: the usage is always sent."""
    if not isinstance(options, Mapping):
        raise bad("stream_options", "a mapping", options)
    others = {name: value for name, value in options.items() if name != "include_usage"}
    if others:
        body["stream_options"] = others


def _format(value: object) -> Fields:
    if not isinstance(value, Mapping):
        raise bad("response_format", "a dict with a type", value)
    inner = value.get("json_schema")
    return {"type": "json_schema", **inner} if isinstance(inner, Mapping) else dict(value)
