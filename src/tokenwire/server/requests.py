"""OpenAI's request bodies, checked.

The structs name the fields whose types are checked; a field that no struct names reaches the handler as it came.
"""

from typing import Annotated, Any, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Meta, Struct

from tokenwire import BadRequestError, _keywords

R = TypeVar("R", bound=Struct)

# The keywords of this library that are not OpenAI's. Only the server sets them: a client that could set `api_base` would send
# the server's key to any address. A client's fields of these names are put into `extra_body`.
SERVERS_OWN = _keywords.OURS - {"stream"} | {"additional_drop_params", "extra_body", "extra_query"}
BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # some clients on Windows begin with it; it may be ignored (RFC 8259, 8.1)
_METHODS_OWN = frozenset({"self", "kind", "content"})  # parameters of the methods that are called

# The limits of a request to a handler. They are described, but not checked here: endpoints have their own limits.
MOST_CHOICES, MOST_PROMPTS = 128, 2048

Count: TypeAlias = Annotated[int, Meta(ge=1)]
Choices: TypeAlias = Annotated[Count, Meta(extra_json_schema={"maximum": MOST_CHOICES})]
NotStreamed: TypeAlias = Annotated[bool | None, Meta(extra_json_schema={"enum": [False, None]})]  # checked by the route
Upload: TypeAlias = Annotated[Any, Meta(extra_json_schema={"type": "string", "format": "binary"})]
Input: TypeAlias = str | Annotated[list[str | int | list[int]], Meta(min_length=1)]


class StreamOptions(Struct):
    """How to stream."""

    include_usage: bool | None = None
    continuous_usage_stats: bool | None = None


class Message(Struct):
    """One message of a conversation."""

    role: str
    content: str | list[dict[str, Any]] | None = None
    name: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None


class CompletionRequest(Struct, kw_only=True):
    """What chat and text completions share."""

    model: str
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    max_tokens: int | None = None
    n: Choices | None = None
    presence_penalty: float | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    temperature: float | None = None
    top_p: float | None = None
    user: str | None = None

    @property
    def include_usage(self) -> bool:
        """Whether the client wants the usage in the stream's last chunk."""
        return self.stream_options is not None and bool(self.stream_options.include_usage)

    @property
    def running_usage(self) -> bool:
        """Whether it wants the usage so far in every chunk, as in vLLM's API; needs `include_usage`."""
        return self.include_usage and self.stream_options is not None and bool(self.stream_options.continuous_usage_stats)


class ChatRequest(CompletionRequest, kw_only=True):
    """The body of a request for a chat completion."""

    messages: Annotated[list[Message], Meta(min_length=1)]
    logprobs: bool | None = None
    max_completion_tokens: int | None = None
    metadata: dict[str, Any] | None = None
    modalities: list[str] | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: str | None = None
    response_format: dict[str, Any] | None = None
    tool_choice: str | dict[str, Any] | None = None
    tools: list[dict[str, Any]] | None = None
    top_logprobs: int | None = None


class TextRequest(CompletionRequest, kw_only=True):
    """The body of a request for a text completion."""

    prompt: Input
    best_of: int | None = None
    echo: bool | None = None
    logprobs: int | None = None
    suffix: str | None = None


class EmbeddingRequest(Struct, kw_only=True):
    """The body of a request for embeddings."""

    model: str
    input: Input
    dimensions: int | None = None
    encoding_format: Literal["float", "base64"] | None = None
    stream: NotStreamed = None
    user: str | None = None


class ImageEditRequest(Struct, kw_only=True):
    """The form of a request for changed images."""

    model: str
    prompt: str
    image: Annotated[list[Upload], Meta(min_length=1, max_length=16)]
    mask: Upload = None
    background: str | None = None
    input_fidelity: str | None = None
    n: Count | None = None
    output_compression: int | None = None
    output_format: str | None = None
    quality: str | None = None
    response_format: str | None = None
    size: str | None = None
    stream: NotStreamed = None
    user: str | None = None


class ImageRequest(Struct, kw_only=True):
    """The body of a request for images."""

    model: str
    prompt: str
    n: Count | None = None
    quality: str | None = None
    response_format: str | None = None
    size: str | None = None
    stream: NotStreamed = None
    style: str | None = None
    user: str | None = None


def parse_body(body: bytes, cls: type[R]) -> tuple[R, dict[str, Any]]:
    """A request's body, as a `cls` and as it came.

    Raises:
        BadRequestError: it is not JSON, or does not fit a `cls`; `param` is the path of the field that is wrong.
    """
    return checked(json_in(body), cls)


def json_in(body: bytes) -> Any:
    """Decode a request's body.

    Raises:
        BadRequestError: it is not JSON.
    """
    try:
        return msgspec.json.decode(body.removeprefix(BYTE_ORDER_MARK))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequestError(f"the body is not valid JSON: {error}", code="invalid_json") from None


def checked(fields: Any, cls: type[R], *, are_texts: bool = False) -> tuple[R, dict[str, Any]]:
    """Fields as a `cls`, and as they came; but if `are_texts`, those that a `cls` names are converted from texts in both.

    Raises:
        BadRequestError: they do not fit a `cls`.
    """
    try:
        request = msgspec.convert(fields, cls, strict=not are_texts)
        if are_texts:
            fields |= {name: getattr(request, name) for name in cls.__struct_fields__ if name in fields}
        return request, fields
    except (msgspec.ValidationError, RecursionError) as error:
        param, message = _param_and_message(str(error))
        raise BadRequestError(message, param=param) from None


def as_keywords(_: Struct, fields: dict[str, Any]) -> dict[str, Any]:
    """The keywords of a call for a body whose fields have the same names; `model` and `stream` are the server's to set."""
    keywords: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for name, value in fields.items():
        if name in SERVERS_OWN or name in _METHODS_OWN or _keywords.is_price(name):
            others[name] = value
        elif name not in ("model", "stream"):
            keywords[name] = value
    if others:
        keywords["extra_body"] = others
    return keywords


def _param_and_message(text: str) -> tuple[str | None, str]:
    """msgspec's sentence, such as "Expected `str`, got `int` - at `$.messages[0].role`", as (field's path, message)."""
    what, _, where = text.partition(" - at `$")
    path = where.removesuffix("`").removeprefix(".")
    _, _, missing = what.partition("missing required field `")
    if missing:
        path = ".".join(part for part in (path, missing.removesuffix("`")) if part)
        return path, f"{path} is required"
    _, _, unknown = what.partition("contains unknown field `")
    if unknown:
        path = ".".join(part for part in (path, unknown.removesuffix("`")) if part)
        return path, f"{path}: there is no such parameter"
    what = what[:1].lower() + what[1:]
    return (path, f"{path}: {what}") if path else (None, f"the body: {what}")
