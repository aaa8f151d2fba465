"""So that an outer instrumentation and ours never count a call twice.

`opentelemetry-util-genai`, on which the instrumentations of other clients stand, marks the context of a model's call with an
object, and whoever finds it there adds what is known to it, instead of a span and metrics of its own.

- Inside such a call (a framework's, whose transport tokenwire is), tokenwire makes no span: it fills the object.
- Around one (a handler that calls openai's client), tokenwire's span is the one: it sets the object, and reads it at the end.

The package is not imported here: where nobody has, no such instrumentation runs.
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

_OURS = "tokenwire.nested"  # a call that a handler of ours makes by tokenwire is another call
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
    """What an outer instrumentation wants filled; None where there is none around this call."""
    key = _key(kind)
    data = None if key is None else get_value(key, context)
    return None if data is get_value(_OURS, context) else data


def marked(kind: Kind, context: Context) -> tuple[Context, Any]:
    """The context for what is called inside, and what inner instrumentations fill; None where there are none."""
    key, package = _key(kind), sys.modules.get(_PACKAGE)
    if key is None or package is None:
        return context, None
    data: Any = getattr(package, _CLASSES[_NAMES[kind]])()
    return set_value(key, data, set_value(_OURS, data, context)), data


def fill(data: Any, attributes: Labels, end: EndDetails) -> None:
    """Tell an outer instrumentation what is known."""
    for name, field in _FIELDS.items():
        if name in attributes and hasattr(data, field):
            setattr(data, field, attributes[name])
    if end.stream and hasattr(data, "request_stream"):
        data.request_stream = True


def filled(data: Any) -> Labels:
    """What inner instrumentations told."""
    found: dict[str, AttributeValue | None] = {name: getattr(data, field, None) for name, field in _FIELDS.items()}
    return {name: value for name, value in found.items() if value is not None}


def with_usage(end: EndDetails, told: Labels) -> EndDetails:
    """The end of a call with the tokens that inner instrumentations counted, where nobody else did."""
    prompt, completion = told.get("gen_ai.usage.input_tokens"), told.get("gen_ai.usage.output_tokens")
    if end.usage is not None or not isinstance(prompt, int):
        return end
    counted = completion if isinstance(completion, int) else 0
    usage = Usage(prompt_tokens=prompt, completion_tokens=counted, total_tokens=prompt + counted)
    return msgspec.structs.replace(end, usage=usage)


def _key(kind: Kind) -> str | None:
    package, name = sys.modules.get(_PACKAGE), _NAMES.get(kind)
    return None if package is None or name is None else getattr(package, f"CLIENT_{name}_CONTEXT_KEY", None)
