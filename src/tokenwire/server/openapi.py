"""The description of the endpoint that `GET /openapi.json` answers, as OpenAPI 3.1 has it.

Requests are described by the structs that check them. Responses are described by hand: by what every one of them has,
for a handler or an endpoint behind this one may add fields of its own.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from tokenwire import __version__

from .requests import ChatRequest, EmbeddingRequest, ImageRequest, TextRequest

REFERENCE = "#/components/schemas/{name}"

TEXT: dict[str, Any] = {"type": "string"}
WHOLE: dict[str, Any] = {"type": "integer"}
MAYBE_TEXT: dict[str, Any] = {"type": ["string", "null"]}


def _object(**properties: Any) -> dict[str, Any]:
    """An object that has all of these, and may have others."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def _list(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": item}


def _one_of(*values: str) -> dict[str, Any]:
    return {"type": "string", "enum": list(values)}


MODEL = _object(id=TEXT, object=_one_of("model"), created=WHOLE, owned_by=TEXT)
MESSAGE = _object(role=TEXT, content=MAYBE_TEXT)
CHAT_CHOICE = _object(index=WHOLE, message=MESSAGE, finish_reason=MAYBE_TEXT)
TEXT_CHOICE = _object(index=WHOLE, text=TEXT, finish_reason=MAYBE_TEXT)
COMPLETION = {"id": TEXT, "created": WHOLE, "model": TEXT}
VECTOR = {"oneOf": [_list({"type": "number"}), {**TEXT, "contentEncoding": "base64"}]}

RESPONSES: dict[str, dict[str, Any]] = {
    "ChatCompletion": _object(**COMPLETION, object=_one_of("chat.completion"), choices=_list(CHAT_CHOICE)),
    "Completion": _object(**COMPLETION, object=_one_of("text_completion"), choices=_list(TEXT_CHOICE)),
    "Embeddings": _object(object=_one_of("list"), data=_list(_object(index=WHOLE, embedding=VECTOR)), model=TEXT),
    "Images": _object(created=WHOLE, data=_list({"type": "object"})),
    "Model": MODEL,
    "ModelList": _object(object=_one_of("list"), data=_list(MODEL)),
    "Health": _object(status=TEXT),
    "Error": _object(error=_object(message=TEXT, type=MAYBE_TEXT, param=MAYBE_TEXT, code={})),
}

STREAM = (
    " With `stream`, server-sent events: the `data` of each is a chunk as JSON, or an error; that of the last one is `[DONE]`."
)


def describe(models: Iterable[str], *, with_keys: bool, metrics: bool) -> dict[str, Any]:
    """The description.

    Args:
        models: the names of the models that are served.
        with_keys: whether clients must send a key.
        metrics: whether `GET /metrics` is served.

    Returns:
        What is to be sent as JSON. Its paths are relative to where it is read from, with and without `/v1`.
    """
    requests = (ChatRequest, TextRequest, EmbeddingRequest, ImageRequest)
    _, schemas = msgspec.json.schema_components(requests, ref_template=REFERENCE)
    names = {"type": "string", "enum": list(models)}
    for request in requests:
        schemas[request.__name__]["properties"]["model"] = names
    paths: dict[str, Any] = {
        "/chat/completions": {
            "post": _ask("createChatCompletion", "Continue a conversation.", "ChatRequest", "ChatCompletion", streams=True)
        },
        "/completions": {
            "post": _ask("createCompletion", "Continue one or several texts.", "TextRequest", "Completion", streams=True)
        },
        "/embeddings": {"post": _ask("createEmbedding", "Turn texts into vectors.", "EmbeddingRequest", "Embeddings")},
        "/images/generations": {"post": _ask("createImage", "Make images.", "ImageRequest", "Images")},
        "/models": {"get": _tell("listModels", "The models that are served.", "ModelList")},
        "/models/{model}": {
            "parameters": [{"name": "model", "in": "path", "required": True, "schema": names}],
            "get": _tell("retrieveModel", "One of them.", "Model"),
        },
        "/health": {"get": {**_tell("health", "Whether the server runs.", "Health"), "security": []}},
    }
    if metrics:
        text = {"200": {"description": "Prometheus's text format", "content": {"text/plain": {"schema": TEXT}}}}
        paths["/metrics"] = {"get": {"operationId": "metrics", "summary": "Figures.", "responses": text | _errors()}}
    description: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "An OpenAI-compatible endpoint", "version": __version__},
        "servers": [{"url": "."}],
        "paths": paths,
        "components": {"schemas": schemas | RESPONSES},
    }
    if with_keys:
        description["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        description["security"] = [{"key": []}]
    return description


def _ask(operation: str, summary: str, request: str, response: str, *, streams: bool = False) -> dict[str, Any]:
    described = _tell(operation, summary, response)
    if streams:
        described["responses"]["200"]["description"] += STREAM
        described["responses"]["200"]["content"]["text/event-stream"] = {}
    return {**described, "requestBody": {"required": True, "content": _json(request)}}


def _tell(operation: str, summary: str, response: str) -> dict[str, Any]:
    responses = {"200": {"description": summary, "content": _json(response)}}
    return {"operationId": operation, "summary": summary, "responses": responses | _errors()}


def _errors() -> dict[str, Any]:
    return {"default": {"description": "What went wrong, as OpenAI says it.", "content": _json("Error")}}


def _json(schema: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": REFERENCE.format(name=schema)}}}
