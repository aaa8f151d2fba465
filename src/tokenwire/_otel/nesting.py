"""Keeps an outer or inner instrumentation and ours from counting a call twice.

`opentelemetry-util-genai`, which the instrumentations of other clients use, puts an object into the context of a model's
call; an inner instrumentation that finds it adds its data to it, instead of making its own span and metrics.

- Inside such a call (of a framework that uses tokenwire), tokenwire makes no span: it fills the object.
- Around one (a handler that calls openai's client), tokenwire makes the span: it sets the object, and reads it at the end.

The package is not imported here: if nothing has imported it, no such instrumentation runs.
"""

import sys
from typing import Any

import msgspec
from opentelemetry.context import Context, get_value, set_value
from opentelemetry.util.types import AttributeValue

from ..llms.backend import Kind
from ..types import Usage
from ..types.attempts import EndDetails
from .metrics import Labels

_OURS = "tokenwire.nested"  # marks our own object: a call that a handler makes through tokenwire is a separate call
_PACKAGE = "opentelemetry.util.genai.invocation"
_NAMES: dict[Kind, str] = {"chat": "INFERENCE", "text": "INFERENCE", "image": "INFERENCE", "embedding": "EMBEDDING"}
_CLASSES = {"INFERENCE": "InferenceData", "EMBEDDING": "EmbeddingData"}
_FIELDS = {
    "gen_ai.response.id": "response_id",
    "gen_ai.response.model": "response_model",
    "gen_ai.response.finish_reasons": "response_finish_reasons",
    "gen_ai.response.time_to_first_chunk": "response_time_to_first_chunk",
    "gen_ai.usage.input_tokens": "usage_input_tokens",
    "gen_ai.usage.output_tokens": "usage_output_tokens",
    "gen_ai.usage.cache_read.input_tokens": "usage_cache_read_input_tokens",
    "gen_ai.usage.cache_write.input_tokens": "usage_cache_write_input_tokens",
    "gen_ai.usage.reasoning.output_tokens": "usage_reasoning_output_tokens",
    "server.address": "server_address",
    "server.port": "server_port",
}


def outer_of(kind: Kind, context: Context) -> Any:
    """The object of an outer instrumentation; None if there is none around this call."""
    key = _key(kind)
    data = None if key is None else get_value(key, context)
    return None if data is get_value(_OURS, context) else data


def marked(kind: Kind, context: Context) -> tuple[Context, Any]:
    """The context for inner calls, and the object that inner instrumentations fill; None if there are none."""
    key, package = _key(kind), sys.modules.get(_PACKAGE)
    if key is None or package is None:
        return context, None
    data: Any = getattr(package, _CLASSES[_NAMES[kind]])()
    return set_value(key, data, set_value(_OURS, data, context)), data


def fill(data: Any, attributes: Labels, end: EndDetails) -> None:
    """Add the call's data to an outer instrumentation's object."""
    for name, field in _FIELDS.items():
        if name in attributes and hasattr(data, field):
            setattr(data, field, attributes[name])
    if end.stream and hasattr(data, "request_stream"):
        data.request_stream = True


def filled(data: Any) -> Labels:
    """The attributes that inner instrumentations added."""
    found: dict[str, AttributeValue | None] = {name: getattr(data, field, None) for name, field in _FIELDS.items()}
    return {name: value for name, value in found.items() if value is not None}


def with_usage(end: EndDetails, told: Labels) -> EndDetails:
    """The end of a call, with the usage from inner instrumentations if it has none."""
    prompt, completion = told.get("gen_ai.usage.input_tokens"), told.get("gen_ai.usage.output_tokens")
    if end.usage is not None or not isinstance(prompt, int):
        return end
    counted = completion if isinstance(completion, int) else 0
    usage = Usage(prompt_tokens=prompt, completion_tokens=counted, total_tokens=prompt + counted)
    return msgspec.structs.replace(end, usage=usage)


def _key(kind: Kind) -> str | None:
    package, name = sys.modules.get(_PACKAGE), _NAMES.get(kind)
    return None if package is None or name is None else getattr(package, f"CLIENT_{name}_CONTEXT_KEY", None)
