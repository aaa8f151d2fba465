"""The caller's keywords → one validated `Request`.

Everything that can be wrong with a call before it is sent is found here, and named.
"""

import uuid
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from ._settings import (
    DEFAULT_LIMITS,
    Limits,
    RetryPolicy,
    Timeouts,
    api_base_from_environment,
    api_key_from_environment,
    module_settings,
    organization_from_environment,
    retries,
)
from .exceptions import AuthenticationError, BadRequestError
from .types import EmbeddingResponse, ImageResponse, ModelResponse, Usage
from .types._record import Record

S = TypeVar("S")

ENDPOINTS = ("/chat/completions", "/completions", "/embeddings", "/models", "/images/generations")

# LiteLLM's keywords for things this library does not do. Sent on as unknown parameters they would only puzzle the server.
REFUSED = {
    "fallbacks": "catch the error and call the next model",
    "context_window_fallback_dict": "catch ContextWindowExceededError and call the larger model",
    "model_list": "choose the model before the call",
    "caching": "cache around the call",
    "complete_response": "leave out stream=True, or read stream.response at the end",
}
# LiteLLM's keywords that have nothing to say here: no parameter is ever judged unsupported, and costs are not counted.
WITHOUT_MEANING = ("drop_params", "allowed_openai_params", "verbose", "input_cost_per_token", "output_cost_per_token")
_LITELLM_ONLY = frozenset((*REFUSED, *WITHOUT_MEANING))

# What the content of a call of each kind is called.
_CONTENT_NAMES = {"chat": "messages", "text": "prompt", "embedding": "input", "image": "prompt", "models": "messages"}

MOCK_KEYWORDS = ("mock_response", "mock_tool_calls", "mock_timeout", "mock_delay")
_MOCK = frozenset(MOCK_KEYWORDS)
_HEADERS = ("default_headers", "headers", "extra_headers")  # the later win

# The keywords that are for this library; all others are the model's parameters.
_OTHER_SPELLINGS = {"base_url": "api_base", "max_retries": "num_retries", "request_timeout": "timeout"}
_OWN = frozenset((
    "stream", "custom_llm_provider", "api_key", "api_base", "organization", "timeout", "limits", "num_retries", "client",
    "retry_policy", "on_truncation",
    *_OTHER_SPELLINGS, *_HEADERS, *_LITELLM_ONLY, *_MOCK,
))  # fmt: skip


class Request(msgspec.Struct, kw_only=True, eq=False):
    """One logical call, checked.

    Attributes:
        kind: "chat", "text", "embedding", "image" or "models".
        model: without the provider's prefix.
        provider: the name its handler is registered under.
        content: the messages, the prompt or the input, by `kind`.
        params: the caller's OpenAI parameters and unknown keywords.
        num_retries: None when neither the caller nor the client named a number.
        policy: how retries wait; its own number counts where `num_retries` is None.
        on_truncation: "raise" or "return".
        mock: the `mock_...` keywords, {} when there are none.
        bridge: to the client's own handler for the provider; None where it has none.
    """

    kind: str
    model: str
    provider: str
    content: Any
    params: dict[str, Any]
    stream: bool
    api_key: str | None
    api_base: str | None
    organization: str | None
    headers: dict[str, str]
    timeouts: Timeouts
    limits: Limits
    num_retries: int | None
    policy: RetryPolicy | None
    on_truncation: str
    client: Any
    metadata: Any
    mock: dict[str, Any]
    bridge: Any = None

    def __repr__(self) -> str:
        return f"<Request {self.kind} {self.provider}/{self.model}>"  # no key, and not what was said

    def retry_policy(self, *, default: int) -> RetryPolicy:
        """The policy this call asks for; `default` retries where it names neither number nor policy."""
        if self.policy is None:
            return retries(default if self.num_retries is None else self.num_retries)
        return self.policy if self.num_retries is None else msgspec.structs.replace(self.policy, num_retries=self.num_retries)


def parse_request(
    kind: str,
    model: Any,
    content: Any,
    keywords: Mapping[str, Any],
    defaults: Mapping[str, Any],
    resolve: Callable[[str, str | None], tuple[str, str]],
) -> Request:
    """Check a call's arguments and fill in the client's defaults.

    Args:
        keywords: the caller's, as passed; they are not changed.
        defaults: the client's, for the keywords the caller left out.
        resolve: (model, custom_llm_provider) → (model without prefix, provider).

    Raises:
        BadRequestError: an argument is wrong; `param` and the message name it.
        UnknownProviderError: no handler is registered for the model.
    """
    given: dict[str, Any] = {}  # what is for us
    params: dict[str, Any] = {}  # what is for the model
    for source in (defaults, keywords):
        for name, value in source.items():
            if value is None:
                continue
            if name not in _OWN:
                params[name] = value
            elif name not in _OTHER_SPELLINGS:
                given[name] = value
            elif source.get(_OTHER_SPELLINGS[name]) is None:
                given[_OTHER_SPELLINGS[name]] = value
    if not _LITELLM_ONLY.isdisjoint(given):
        _refuse_litellm_only(given)
    stream = given.get("stream", False)
    if not isinstance(stream, bool):
        raise _wrong("stream", "True or False", stream)
    if not isinstance(model, str) or not model:
        raise _wrong("model", 'a model\'s name, such as "openai/gpt-4o-mini"', model)
    bare_model, provider = resolve(model, given.get("custom_llm_provider"))
    _refuse_control_characters("model", bare_model)
    settings = module_settings()
    return Request(
        kind=kind,
        model=bare_model,
        provider=provider,
        content=_content(kind, content),
        stream=stream,
        api_key=_text(given, "api_key") or settings.get("api_key"),
        api_base=_text(given, "api_base") or settings.get("api_base"),
        organization=_text(given, "organization") or settings.get("organization"),
        headers=_headers(given, settings.get("headers")),
        timeouts=Timeouts.parse(given.get("timeout", settings.get("request_timeout")), stream=stream),
        limits=_instance(given, "limits", Limits) or DEFAULT_LIMITS,
        num_retries=_retries(given.get("num_retries", settings.get("num_retries"))),
        policy=_instance(given, "retry_policy", RetryPolicy),
        on_truncation=_on_truncation(given.get("on_truncation", "raise")),
        client=given.get("client"),
        metadata=params.get("metadata"),
        mock={} if _MOCK.isdisjoint(given) else _mock(given),
        params=_params(params),
    )


def _refuse_litellm_only(given: dict[str, Any]) -> None:
    for name in REFUSED:
        if given.get(name):
            raise BadRequestError(f"{name} is an option of LiteLLM's that tokenwire does not have: {REFUSED[name]}", param=name)


def complete_for_endpoint(request: Request) -> None:
    """Fill in what a call over HTTP needs, from the environment where the caller gave none.

    Raises:
        BadRequestError: `api_base` is no base URL, `client` no HTTP client, or the model has no name.
        AuthenticationError: there is no key, and no address of the caller's own that might do without.
    """
    if not request.model and request.kind != "models":
        raise _wrong("model", f'"{request.provider}/" with a model\'s name behind it', f"{request.provider}/")
    check_http_client("client", request.client)
    own_address = request.api_base is not None
    request.api_base = _check_api_base(request.api_base or api_base_from_environment())
    request.organization = request.organization or organization_from_environment()
    request.api_key = request.api_key or api_key_from_environment()
    _refuse_control_characters("api_key", request.api_key or "")
    _refuse_control_characters("organization", request.organization or "")
    if request.api_key is None and not own_address and request.api_base.startswith("https://api.openai.com"):
        raise AuthenticationError(
            "no API key: pass api_key=, or set OPENAI_API_KEY; a local server needs none when api_base= names it",
            llm_provider=request.provider,
            model=request.model,
            param="api_key",
        )


def check_http_client(name: str, client: Any) -> None:
    """Refuse what can't send requests as an `httpx.AsyncClient` does: sync clients, and those of other libraries."""
    if client is not None and not (hasattr(client, "send") and hasattr(client, "aclose")):
        kind = type(client)
        raise BadRequestError(f"{name} must be an httpx.AsyncClient, not a {kind.__module__}.{kind.__qualname__}", param=name)


def _wrong(name: str, expected: str, value: Any) -> BadRequestError:
    shown = repr(value)
    shown = shown if len(shown) <= 80 else f"{shown[:77]}..."
    return BadRequestError(f"{name} must be {expected}, not {shown}", param=name.partition("[")[0])


def _mock(given: dict[str, Any]) -> dict[str, Any]:
    """The `mock_...` keywords; a `mock_timeout=False` asks for nothing."""
    mock = {name: given[name] for name in MOCK_KEYWORDS if name in given}
    return {name: value for name, value in mock.items() if not (name == "mock_timeout" and value is False)}


def _text(given: dict[str, Any], name: str) -> str | None:
    value = given.get(name)
    if value is not None and not isinstance(value, str):
        raise _wrong(name, "a str", value if name != "api_key" else type(value))
    return value


def _instance(given: dict[str, Any], name: str, cls: type[S]) -> S | None:
    value = given.get(name)
    if value is not None and not isinstance(value, cls):
        raise _wrong(name, f"a tokenwire.{cls.__name__}", value)
    return value


def _on_truncation(value: Any) -> str:
    if value not in ("raise", "return"):
        raise _wrong("on_truncation", '"raise" or "return"', value)
    return str(value)


def _retries(value: Any) -> int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
        raise _wrong("num_retries", "a whole number, 0 or more", value)
    return value


def _headers(given: dict[str, Any], setting: Mapping[str, str] | None) -> dict[str, str]:
    merged: dict[str, str] = dict(setting or ())
    for name in _HEADERS:
        value = given.get(name)
        if value is None:
            continue
        if not isinstance(value, Mapping):
            raise _wrong(name, "a mapping of header names to str", type(value))
        for header, text in value.items():
            if not isinstance(header, str) or not isinstance(text, str):
                raise BadRequestError(f"{name}[{header!r}] must be a str, not {type(text).__name__}", param=name)
            _refuse_control_characters(f"{name}[{header!r}]", header + text)
            merged[header] = text
    return merged


def _refuse_control_characters(name: str, text: str) -> None:
    if "\n" in text or "\r" in text or "\0" in text:
        raise BadRequestError(f"{name} must not contain line breaks or NUL", param=name.partition("[")[0])


@lru_cache(maxsize=256)
def _check_api_base(api_base: str) -> str:
    expected = 'the base URL in front of "/chat/completions", such as "http://localhost:8000/v1"'
    if not api_base.startswith(("http://", "https://")):
        raise _wrong("api_base", f"{expected}, with http:// or https://", api_base)
    path = api_base.partition("?")[0].rstrip("/")
    for endpoint in ENDPOINTS:
        if path.endswith(endpoint):
            raise _wrong("api_base", f"{expected}, without {endpoint}", api_base)
    _refuse_control_characters("api_base", api_base)
    if not path.partition("://")[2]:
        raise _wrong("api_base", expected, api_base)
    try:
        parts = urlsplit(api_base)
        reason = "there is a space in it" if " " in parts.netloc else ""
        _ = parts.port  # looked at, it is checked
    except ValueError as error:
        reason = str(error)
    if reason:
        raise BadRequestError(f"api_base must be {expected}: {reason}", param="api_base")
    return api_base


def _content(kind: str, content: Any) -> Any:
    if kind == "chat":
        return _messages(content)
    if kind == "models":
        return None
    name = _CONTENT_NAMES[kind]
    if content is None:
        raise _wrong(name, "a str or a list", None)
    if not isinstance(content, (str, list, tuple)):
        raise _wrong(name, "a str or a list", content)
    return content


def _messages(messages: Any) -> list[dict[str, Any]]:
    if messages is None:
        return []
    if not isinstance(messages, (list, tuple)):
        raise _wrong("messages", 'a list such as [{"role": "user", "content": "Hi"}]', messages)
    return [_message(index, message) for index, message in enumerate(messages)]


def _message(index: int, message: Any) -> dict[str, Any]:
    """The message as a new dict: a response's `Message`, or a pydantic model, is taken apart."""
    if type(message) is dict:
        plain: dict[str, Any] = dict(message)
    elif isinstance(message, Record):
        plain = message.model_dump(exclude_none=True)
    elif isinstance(message, Mapping):
        plain = dict(message)
    elif hasattr(message, "model_dump"):
        plain = message.model_dump(exclude_none=True)
    else:
        raise _wrong(f"messages[{index}]", "a dict", message)
    if not isinstance(plain.get("role"), str):
        raise BadRequestError(f'messages[{index}] must have a role, such as "user": {plain!r:.80}', param="messages")
    return plain


def _params(params: dict[str, Any]) -> dict[str, Any]:
    if not params:
        return params
    for name in params.pop("additional_drop_params", None) or ():
        params.pop(name, None)
    n = params.get("n")
    if n is not None and (isinstance(n, bool) or not isinstance(n, int) or n < 1):
        raise _wrong("n", "a whole number, 1 or more", n)
    for name in ("extra_body", "extra_query"):
        if name in params and not isinstance(params[name], Mapping):
            raise _wrong(name, "a mapping", params[name])
    if isinstance(params.get("response_format"), type):
        params["response_format"] = _schema_of(params["response_format"])
    return params


def _schema_of(cls: type[Any]) -> dict[str, Any]:
    """OpenAI's `json_schema` response format for a pydantic model, a dataclass, a TypedDict or a msgspec struct."""
    if hasattr(cls, "model_json_schema"):
        schema = cls.model_json_schema()
    else:
        schema, definitions = msgspec.json.schema_components([cls], ref_template="#/$defs/{name}")
        schema = {**schema[0], "$defs": definitions}
    return {"type": "json_schema", "json_schema": {"name": cls.__name__, "schema": _strict(schema), "strict": True}}


def _strict(schema: Any) -> Any:
    """The schema as OpenAI's strict mode wants it: every property required, no others allowed."""
    if isinstance(schema, list):
        return [_strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    strict: dict[str, Any] = {}
    for name, value in schema.items():
        if name in ("properties", "$defs"):  # whose keys are the caller's names
            strict[name] = {key: _strict(item) for key, item in value.items()}
        elif name != "default":
            strict[name] = _strict(value)
    if strict.get("type") == "object" and "properties" in strict:
        strict["required"] = list(strict["properties"])
        strict["additionalProperties"] = False
    return strict


def endpoint_keywords(request: Request) -> dict[str, Any]:
    """What a built-in handler's method is called with: those of the keywords that mean something to an endpoint."""
    keywords: dict[str, Any] = {
        "model": request.model,
        "api_key": request.api_key,
        "api_base": request.api_base,
        "headers": request.headers,
        "optional_params": request.params,
        "litellm_params": {"limits": request.limits, "organization": request.organization},
        "timeout": request.timeouts,
        "client": request.client,
    }
    keywords[_CONTENT_NAMES[request.kind]] = request.content
    return keywords


def handler_keywords(request: Request, *, log: Any) -> dict[str, Any]:
    """What a handler's method is called with: LiteLLM's sixteen keywords for completions, its ten for the rest."""
    params = dict(request.params)
    if "max_completion_tokens" in params:  # handlers know it by its older name
        params["max_tokens"] = params.pop("max_completion_tokens")
    shared: dict[str, Any] = {
        "model": request.model,
        "api_key": request.api_key,
        "api_base": request.api_base,
        "optional_params": params,
        "litellm_params": _litellm_params(request),
        "logging_obj": log,
        "timeout": request.timeouts.longest_wait,
        "client": request.client,
        "print_verbose": log.print_verbose,
        "headers": dict(request.headers),
    }
    if request.kind == "embedding":
        return {**shared, "input": request.content, "model_response": EmbeddingResponse()}
    if request.kind == "image":
        return {**shared, "prompt": request.content, "model_response": ImageResponse()}
    if request.stream:
        params["stream"] = True
    return {
        **shared,
        "messages": _messages_of_prompt(request.content) if request.kind == "text" else request.content,
        "model_response": ModelResponse(usage=Usage()),
        "acompletion": True,
        "logger_fn": None,
        "custom_prompt_dict": {},
        "encoding": None,
    }


def _messages_of_prompt(prompt: Any) -> list[dict[str, Any]]:
    texts = [prompt] if isinstance(prompt, str) else prompt
    if all(isinstance(text, str) for text in texts):
        return [{"role": "user", "content": text} for text in texts]
    return [{"role": "user", "content": prompt}]


def _litellm_params(request: Request) -> dict[str, Any]:
    return {
        "acompletion": True,
        "api_base": request.api_base,
        "api_key": request.api_key,
        "custom_llm_provider": request.provider,
        "litellm_call_id": str(uuid.uuid4()),
        "max_retries": request.num_retries,
        "metadata": request.metadata or {},
        "text_completion": request.kind == "text",
        "timeout": request.timeouts.longest_wait,
        "timeouts": request.timeouts,
        "limits": request.limits,
        "organization": request.organization,
    }
