"""The description of the endpoint in OpenAPI 3.1.

The schemas of requests are made from the structs that check them. Those of responses are written here, with only the fields
that every response has: a handler or an endpoint may add others.
"""

from typing import Any

import msgspec

from tokenwire import __version__

from .keys import PLAIN
from .requests import MOST_PROMPTS, TextRequest
from .route import JSON, About, ModelCall, Route, Schema

REFERENCE = "#/components/schemas/{name}"

TEXT: dict[str, Any] = {"type": "string"}
WHOLE: dict[str, Any] = {"type": "integer"}
MAYBE_TEXT: dict[str, Any] = {"type": ["string", "null"]}


def _object(**properties: object) -> dict[str, Any]:
    """An object that has all of these, and may have others."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def _list(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": item}


def _one_of(*values: str) -> dict[str, Any]:
    return {"type": "string", "enum": list(values)}


_TOKENS = _list(WHOLE) | {"minItems": 1}
_SEVERAL = {"minItems": 1, "maxItems": MOST_PROMPTS}
_PROMPT = {"anyOf": [TEXT, _list(TEXT) | _SEVERAL, _TOKENS, _list(_TOKENS) | _SEVERAL]}  # msgspec's types can't express this
_MODEL = _object(id=TEXT, object=_one_of("model"), created=WHOLE, owned_by=TEXT)
_MESSAGE = _object(role=TEXT, content=MAYBE_TEXT)
_CHAT_CHOICE = _object(index=WHOLE, message=_MESSAGE, finish_reason=MAYBE_TEXT)
_TEXT_CHOICE = _object(index=WHOLE, text=TEXT, finish_reason=MAYBE_TEXT)
_COMPLETION = {"id": TEXT, "created": WHOLE, "model": TEXT}
_VECTOR = {"oneOf": [_list({"type": "number"}), {**TEXT, "contentEncoding": "base64"}]}

CHAT_COMPLETION = Schema(
    "ChatCompletion", _object(**_COMPLETION, object=_one_of("chat.completion"), choices=_list(_CHAT_CHOICE))
)
COMPLETION = Schema("Completion", _object(**_COMPLETION, object=_one_of("text_completion"), choices=_list(_TEXT_CHOICE)))
RESPONSE = Schema(
    "Response",
    _object(
        id=TEXT,
        object=_one_of("response"),
        created_at=WHOLE,
        status=_one_of("completed", "incomplete", "failed"),
        model=TEXT,
        output=_list(_object(type=TEXT)),
    ),
)
EMBEDDINGS = Schema(
    "Embeddings", _object(object=_one_of("list"), data=_list(_object(index=WHOLE, embedding=_VECTOR)), model=TEXT)
)
IMAGES = Schema("Images", _object(created=WHOLE, data=_list({"type": "object"})))
MODEL = Schema("Model", _MODEL)
MODEL_LIST = Schema("ModelList", _object(object=_one_of("list"), data=_list(_MODEL)))
HEALTH = Schema("Health", _object(status=TEXT))
VERSION = Schema("Version", _object(version=TEXT))
FIGURES = Schema("Figures", TEXT, media_type="text/plain")
MESSAGE = Schema(
    "MessageAnswer",
    _object(
        id=TEXT,
        type=_one_of("message"),
        role=_one_of("assistant"),
        model=TEXT,
        content=_list(_object(type=TEXT)),
        stop_reason=MAYBE_TEXT,
        usage=_object(input_tokens=WHOLE, output_tokens=WHOLE),
    ),
)
MESSAGE_ERROR = Schema("MessageError", _object(type=_one_of("error"), error=_object(type=TEXT, message=TEXT), request_id=TEXT))
MESSAGE_TOKENS = Schema("MessageTokens", _object(input_tokens=WHOLE))
RESPONSE_TOKENS = Schema("ResponseTokens", _object(object=_one_of("response.input_tokens"), input_tokens=WHOLE))
MESSAGE_EVENTS = "With `stream`, server-sent events, named: the last one is `message_stop` or `error`."
RESPONSE_EVENTS = (
    "With `stream`, server-sent events, named and numbered: the last one is `response.completed`, `response.incomplete` or "
    "`response.failed`."
)


def describe(app: About) -> dict[str, Any]:
    """The description, to be sent as JSON. Its paths are relative to where it is read from, with and without `/v1`."""
    described = [(route, route.returns) for route in app.routes if route.returns is not None]
    requests = [route.answer.request for route in app.routes if isinstance(route.answer, ModelCall)]
    _, schemas = msgspec.json.schema_components(requests, ref_template=REFERENCE)
    names = _one_of(*app.models.by_name)
    for request in requests:
        schemas[request.__name__]["properties"]["model"] = names
    schemas[TextRequest.__name__]["properties"]["prompt"] = _PROMPT
    answers = (schema for route, returns in described for schema in (returns, route.failure))
    schemas |= {schema.name: schema.definition for schema in answers}
    paths: dict[str, Any] = {}
    for route, returns in described:
        at_path = paths.setdefault(route.path, {})
        at_path[route.method.lower()] = _operation(route, returns)
        if name := route.path.removeprefix(route.prefix).strip("{}"):
            schema = names if name == "model" else TEXT
            at_path["parameters"] = [{"name": name, "in": "path", "required": True, "schema": schema}]
    description: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "An OpenAI-compatible endpoint", "version": __version__},
        "servers": [{"url": "."}],
        "paths": paths,
        "components": {"schemas": schemas},
    }
    if app.with_keys:
        schemes: dict[str, Any] = {"key": {"type": "http", "scheme": "bearer"}}
        schemes |= {name.decode(): {"type": "apiKey", "in": "header", "name": name.decode()} for name in PLAIN}
        description["components"]["securitySchemes"] = schemes
        description["security"] = [{name: []} for name in schemes]  # any of them
    return description


def _operation(route: Route, returns: Schema) -> dict[str, Any]:
    success: dict[str, Any] = {"description": route.summary, "content": _content(returns.name, returns.media_type)}
    failure = {"description": "What went wrong.", "content": _content(route.failure.name)}
    operation: dict[str, Any] = {
        "operationId": route.operation,
        "summary": route.summary,
        "responses": {"200": success, "default": failure},
    }
    if not route.needs_key:
        operation["security"] = []
    if isinstance(route.answer, ModelCall):
        sent_as = "multipart/form-data" if route.answer.is_form else JSON
        operation["requestBody"] = {"required": True, "content": _content(route.answer.request.__name__, sent_as)}
        if route.answer.events is not None:
            success["description"] += f" {route.answer.about_events}"
            success["content"]["text/event-stream"] = {}
    return operation


def _content(schema: str, media_type: str = JSON) -> dict[str, Any]:
    return {media_type: {"schema": {"$ref": REFERENCE.format(name=schema)}}}
