"""The keywords that a handler's method is called with: LiteLLM's, as its handlers name them. No other module knows these."""

import logging
import time
from collections.abc import Sequence
from typing import Any

from ..types import Choices, EmbeddingResponse, ImageResponse, Message, ModelResponse, Usage
from ..types._record import build
from ..types.chat import new_id, new_uuid
from ..types.client_request import ClientRequest
from .backend import Request

logger: logging.Logger = logging.getLogger("tokenwire")

# Parameters that are passed also by name, which shows whether a handler knows them; they are in `optional_params` as well.
HEARD_BY_NAME = ("best_of", "echo", "logprobs", "n", "web_search_options")
BY_NAME = frozenset({"client_request", "prompt", *HEARD_BY_NAME})  # passed only to methods that name them


class HandlerLog:
    """Passed to handlers as `logging_obj` and `print_verbose`: LiteLLM's hooks, on this library's logger at debug level."""

    def pre_call(self, *args: object, **kwargs: object) -> None:
        """A handler is about to call its model."""
        logger.debug("handler: before the call")

    def post_call(self, *args: object, **kwargs: object) -> None:
        """A handler has called its model."""
        logger.debug("handler: after the call")

    def print_verbose(self, message: object, *args: object, **kwargs: object) -> None:
        """Log a handler's message."""
        logger.debug("handler: %s", message)


_LOG = HandlerLog()


def keywords_of(request: Request) -> dict[str, Any]:
    """The keywords for a handler's method: LiteLLM's sixteen for completions, its ten for other kinds."""
    options, params = request.options, dict(request.params)
    seconds = options.timeouts.longest_wait
    if "max_completion_tokens" in params:  # handlers expect the older name
        params["max_tokens"] = params.pop("max_completion_tokens")
    shared: dict[str, Any] = {
        "model": request.model,
        "api_key": options.api_key,
        "api_base": options.api_base,
        "optional_params": params,
        "litellm_params": _litellm_params(request, seconds),
        "logging_obj": _LOG,
        "timeout": seconds,
        "client": options.client,
        "print_verbose": _LOG.print_verbose,
        "headers": {name: value for name, value in options.headers.items() if value is not None} if options.headers else {},
    }
    if request.kind == "embedding":
        return {**shared, "input": request.content, "model_response": EmbeddingResponse()}
    if request.kind == "image":
        return {**shared, "prompt": request.content, "model_response": ImageResponse()}
    if request.kind == "image_edit":
        return {**shared, "image": params.pop("image"), "prompt": request.content, "model_response": ImageResponse()}
    if request.stream:
        params["stream"] = True
    return {
        **shared,
        "messages": _messages_of_prompt(request.content) if request.kind == "text" else request.content,
        "model_response": _model_response(),
        "acompletion": True,
        "logger_fn": None,
        "custom_prompt_dict": {},
        "encoding": None,
    }


def _model_response() -> ModelResponse:
    """The same as `ModelResponse(usage=Usage())`, at a third of its cost."""
    choice = build(Choices, finish_reason="stop", message=build(Message))
    return build(ModelResponse, id=new_id(), created=int(time.time()), choices=[choice], usage=build(Usage))


def by_name_of(request: Request) -> dict[str, Any]:
    """Keywords passed only to methods that name them, as others may accept only LiteLLM's keywords."""
    by_name: dict[str, Any] = {"client_request": request.client_request}
    if request.kind == "text":
        by_name["prompt"] = request.content
    return by_name | {name: request.params[name] for name in HEARD_BY_NAME if name in request.params}


def _messages_of_prompt(prompt: str | Sequence[object]) -> list[dict[str, Any]]:
    texts = prompt if isinstance(prompt, list | tuple) and is_text(prompt) else [prompt]
    return [{"role": "user", "content": text} for text in texts]


def is_text(prompt: str | Sequence[object]) -> bool:
    """Whether a prompt is one or more texts, not token ids."""
    return isinstance(prompt, str) or all(isinstance(item, str) for item in prompt)


def _litellm_params(request: Request, seconds: float) -> dict[str, Any]:
    options = request.options
    return {
        "acompletion": True,
        "api_base": options.api_base,
        "api_key": options.api_key,
        "api_version": options.api_version,
        "custom_llm_provider": request.provider,
        "litellm_call_id": new_uuid(),
        "max_retries": options.num_retries,
        "metadata": request.params.get("metadata") or {},
        "text_completion": request.kind == "text",
        "timeout": seconds,
        "timeouts": options.timeouts,
        "limits": options.limits,
        "organization": options.organization,
        "proxy_server_request": _proxy_server_request(request.client_request),
        "ssl_verify": options.ssl_verify,
        **options.for_handlers,
    }


def _proxy_server_request(request: ClientRequest | None) -> dict[str, Any] | None:
    """The client's request as LiteLLM's proxy describes it."""
    if request is None:
        return None
    return {"url": request.url, "method": request.method, "headers": dict(request.headers), "body": dict(request.body)}
