"""The attributes of a call's span, by `semantic-conventions-genai` v0.1.0 (docs/gen-ai/client-inference.md; "the document")."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlsplit

from opentelemetry.util.types import AttributeValue

from ..llms.backend import Kind, Request
from ..types import EmbeddingResponse, ModelResponse, TextCompletionResponse, Usage
from ..types.attempts import EndDetails
from .metrics import Labels, cache_read, cache_written, reasoning

OPERATIONS: Final[dict[Kind, str]] = {
    "chat": "chat",
    "text": "text_completion",
    "embedding": "embeddings",
    "image": "generate_content",
    "models": "list_models",  # not in the document
}
# Our providers that have another name in the document.
_PROVIDERS = {
    "responses": "openai",
    "mistral": "mistral_ai",
    "moonshot": "moonshot_ai",
    "xai": "x_ai",
    "azure": "azure.ai.openai",
    "azure_ai": "azure.ai.inference",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "vertex_ai": "gcp.vertex_ai",
    "watsonx": "ibm.watsonx.ai",
}
_FLOATS = ("frequency_penalty", "presence_penalty", "temperature", "top_p")
_INTS = {
    "max_tokens": "gen_ai.request.max_tokens",
    "max_completion_tokens": "gen_ai.request.max_tokens",
    "seed": "gen_ai.request.seed",
    "top_k": "gen_ai.request.top_k",
    "dimensions": "gen_ai.embeddings.dimension.count",
}
_STRINGS = {"reasoning_effort": "gen_ai.request.reasoning.level", "previous_response_id": "gen_ai.request.previous_response.id"}
_PORTS = {"https": 443, "http": 80}
_JSON_FORMATS = frozenset({"json_object", "json_schema"})


def labels_of(request: Request, api_base: str | None) -> Labels:
    """Attributes of both spans and metrics, known at the beginning."""
    labels: Labels = {
        "gen_ai.operation.name": OPERATIONS[request.kind],
        "gen_ai.provider.name": _PROVIDERS.get(request.provider, request.provider),
    }
    if request.client_request is not None:  # a server adds numbers to its handlers' names, as several may have the same
        labels["gen_ai.provider.name"] = request.provider.partition(":")[2] or request.provider
    if request.model and request.kind != "models":
        labels["gen_ai.request.model"] = request.model
    if api_base is not None:
        labels.update(_server(api_base))
    return labels


@lru_cache(maxsize=256)
def _server(api_base: str) -> Labels:
    """Attributes of an endpoint's address, which has been checked."""
    parts = urlsplit(api_base)
    if parts.hostname is None:
        return {}
    return {"server.address": parts.hostname, "server.port": parts.port or _PORTS.get(parts.scheme, 0)}


def of_request(request: Request) -> Labels:
    """Attributes of the request. Values of wrong types are left out: the endpoint or handler will refuse them."""
    found: Labels = {}
    if request.stream:
        found["gen_ai.request.stream"] = True
    if request.kind == "image":
        found["gen_ai.output.type"] = "image"
    params = request.params
    if not params:
        return found
    for name in _FLOATS:
        value = params.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            found[f"gen_ai.request.{name}"] = float(value)
    for name, key in _INTS.items():
        value = params.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            found[key] = value
    for name, key in _STRINGS.items():
        value = params.get(name)
        if isinstance(value, str):
            found[key] = value
    n = params.get("n")
    if isinstance(n, int) and n != 1:
        found["gen_ai.request.choice.count"] = n
    stop = params.get("stop")
    if stop is not None:
        found["gen_ai.request.stop_sequences"] = [stop] if isinstance(stop, str) else [str(one) for one in stop]
    if (encoding := params.get("encoding_format")) is not None:
        found["gen_ai.request.encoding_formats"] = [str(encoding)]
    if (output := _output_type(params)) is not None:
        found["gen_ai.output.type"] = output
    return found


def _output_type(params: Mapping[str, Any]) -> str | None:
    wanted = params.get("response_format")
    if isinstance(wanted, Mapping):
        return "json" if wanted.get("type") in _JSON_FORMATS else "text"
    return "speech" if "audio" in (params.get("modalities") or ()) else None


def of_answer(end: EndDetails, provider: AttributeValue, expected: int) -> Labels:
    """Attributes of the answer.

    Args:
        provider: the provider's name in the document.
        expected: how many choices were requested.
    """
    found: Labels = {}
    response = end.response
    if isinstance(response, ModelResponse | TextCompletionResponse | EmbeddingResponse) and response.model:
        found["gen_ai.response.model"] = response.model
    if isinstance(response, ModelResponse | TextCompletionResponse) and response.id:
        found["gen_ai.response.id"] = response.id
    if (reasons := finish_reasons(end, expected)) is not None:
        found["gen_ai.response.finish_reasons"] = reasons
    if end.stream and end.first_content is not None:
        found["gen_ai.response.time_to_first_chunk"] = end.first_content
    if end.usage is not None:
        found.update(_of_usage(end.usage, provider))
    if end.request_id is not None:
        found["tokenwire.request_id"] = end.request_id
    return found


def finish_reasons(end: EndDetails, expected: int) -> list[str] | None:
    """Each choice's finish reason, in order: "error" for a truncated or cancelled one. None if a complete answer has none."""
    response = end.response
    choices = response.choices if isinstance(response, ModelResponse | TextCompletionResponse) else []
    reasons = [choice.finish_reason for choice in choices]
    if end.outcome != "complete":
        reasons += [None] * (expected - len(reasons))
        return [reason or "error" for reason in reasons] or None
    return [reason or "" for reason in reasons] if any(reasons) else None


def _of_usage(usage: Usage, provider: AttributeValue) -> Labels:
    found: Labels = {"gen_ai.usage.input_tokens": usage.prompt_tokens, "gen_ai.usage.output_tokens": usage.completion_tokens}
    if (count := cache_read(usage)) is not None:
        found["gen_ai.usage.cache_read.input_tokens"] = count
    if provider == "anthropic" and (count := cache_written(usage)) is not None:
        found["gen_ai.usage.cache_write.input_tokens"] = count
    if (count := reasoning(usage)) is not None:
        found["gen_ai.usage.reasoning.output_tokens"] = count
    for details, way in ((usage.prompt_tokens_details, "input"), (usage.completion_tokens_details, "output")):
        if details is not None:
            for modality in ("audio", "text"):
                count = getattr(details, f"{modality}_tokens")
                if count is not None:
                    found[f"gen_ai.usage.{modality}.{way}_tokens"] = count
    return found
