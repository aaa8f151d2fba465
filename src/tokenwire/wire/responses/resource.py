"""The response object: a whole answer, and part of a stream's first and last events.

It repeats the request's parameters, with the API's own defaults for those that the request does not have.
"""

from typing import Any, Final

import msgspec

from ...types._source import Fields
from ...types.chat import Usage
from .request import JSONSchema, PlainText, ResponsesRequest, Text

_DEFAULTS: Final[Fields] = {
    "background": False,
    "frequency_penalty": 0.0,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "presence_penalty": 0.0,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "safety_identifier": None,
    "service_tier": "default",
    "temperature": 1.0,
    "tool_choice": "auto",
    "top_logprobs": 0,
    "top_p": 1.0,
}
_CACHED: Final = {  # Anthropic's names
    "cached_tokens": "cache_read_input_tokens",
    "cache_write_tokens": "cache_creation_input_tokens",
}
_FUNCTION_FIELDS: Final = {"description": None, "parameters": None, "strict": None}

# Finish reasons of incomplete answers, and the API's reasons. Finish reasons that chat completions do not have, such as
# "pause_turn" and "error", count as incomplete too.
INCOMPLETE: Final = {"length": "max_output_tokens", "content_filter": "content_filter"}
_COMPLETE: Final = ("stop", "tool_calls", "function_call")


def incomplete_reason(finish_reason: str | None) -> str | None:
    """Why an answer with this finish reason is incomplete; None if it is complete."""
    if not finish_reason or finish_reason in _COMPLETE:
        return None
    return INCOMPLETE.get(finish_reason, finish_reason)


def echo_of(request: ResponsesRequest) -> Fields:
    """The fields of a response that repeat the request."""
    given = {name: getattr(request, name, None) for name in _DEFAULTS}
    shown = _DEFAULTS | {name: value for name, value in given.items() if value is not None}
    reasoning = request.reasoning
    return {
        **shown,
        "reasoning": {
            "effort": reasoning and reasoning.effort,
            "summary": reasoning and (reasoning.summary or reasoning.generate_summary),
        },
        "store": False,
        "text": _text(request),
        "tools": [{**_FUNCTION_FIELDS, **tool} if tool.get("type") == "function" else tool for tool in request.tools or ()],
        "truncation": "disabled",
        "user": request.user,
    }


def _text(request: ResponsesRequest) -> Fields:
    text = request.text or Text()
    shown: Fields = {"format": msgspec.to_builtins(text.format or PlainText())}
    if isinstance(text.format, JSONSchema):
        shown["format"]["strict"] = bool(text.format.strict)
    if text.verbosity is not None:
        shown["verbosity"] = text.verbosity
    return shown


def usage_of(usage: Usage | None) -> Fields | None:
    """The usage in the API's format; fields that it does not have are passed on unchanged."""
    if usage is None:
        return None
    fields = usage.model_dump(exclude_none=True)
    prompt = fields.pop("prompt_tokens_details", None) or {}
    completion = fields.pop("completion_tokens_details", None) or {}
    for own, anthropics in _CACHED.items():
        if prompt.get(own) is None and fields.get(anthropics) is not None:
            prompt[own] = fields[anthropics]
    return {
        "input_tokens": fields.pop("prompt_tokens", 0),
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0, **prompt},
        "output_tokens": fields.pop("completion_tokens", 0),
        "output_tokens_details": {"reasoning_tokens": 0, **completion},
        **fields,
    }


def chat_usage(usage: object) -> Usage | None:
    """The opposite of `usage_of`; None if it is not an object."""
    if not isinstance(usage, dict):
        return None
    others = dict(usage)
    prompt, completion = _count(others.pop("input_tokens", 0)), _count(others.pop("output_tokens", 0))
    details = {
        "prompt_tokens_details": others.pop("input_tokens_details", None),
        "completion_tokens_details": others.pop("output_tokens_details", None),
    }
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=_count(others.pop("total_tokens", 0)) or prompt + completion,
        **{name: value for name, value in details.items() if isinstance(value, dict)},
        **others,
    )


def _count(value: object) -> int:
    return int(value) if isinstance(value, int | float) else 0


def error_of(error: Fields, status: int) -> Fields:
    """The `error` of a failed response, given an error object and its status."""
    code: Any = error.get("code")
    if not isinstance(code, str) or code.isdecimal():
        code = "rate_limit_exceeded" if status == 429 else "server_error" if status >= 500 else "invalid_prompt"
    return {"code": code, "message": str(error.get("message") or "the answer failed")}
