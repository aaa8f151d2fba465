"""JSON Schemas of the parts of a request that no struct describes, for the server's OpenAPI description."""

from typing import Any, Final, TypeAlias

Schema: TypeAlias = dict[str, Any]

_TEXT: Final[Schema] = {"type": "string"}
_TEXT_OR_NULL: Final[Schema] = {"type": ["string", "null"]}
_NULL: Final[Schema] = {"type": "null"}
_ANY_OBJECT: Final[Schema] = {"type": "object"}


def _kind(kind: str, *optional: str, **properties: Schema) -> Schema:
    """An object of this type that may have other fields."""
    required = ["type", *(name for name in properties if name not in optional)]
    return {"type": "object", "properties": {"type": {"enum": [kind]}, **properties}, "required": required}


def _closed(schema: Schema) -> Schema:
    """An object whose other fields are empty."""
    return {**schema, "additionalProperties": {"enum": [None, False]}}


def _list(item: Schema) -> Schema:
    return {"type": "array", "items": item}


def _any_of(*schemas: Schema) -> Schema:
    return {"anyOf": list(schemas)}


_PART: Final = _any_of(
    _kind("input_text", text=_TEXT),
    _kind("input_image", "detail", "file_id", image_url=_TEXT, detail=_TEXT_OR_NULL, file_id=_NULL),
    _kind("input_file", "filename", "file_url", file_data=_TEXT, filename=_TEXT, file_url=_NULL),
    _kind("input_audio", input_audio=_ANY_OBJECT),
    _kind("output_text", "annotations", text=_TEXT, annotations=_list(_ANY_OBJECT)),
    _kind("refusal", refusal=_TEXT),
)
_CONTENT: Final = _any_of(_TEXT, _list(_PART))
_MESSAGE: Final = {
    "type": "object",
    "properties": {
        "type": {"enum": ["message"]},
        "role": {"enum": ["user", "assistant", "system", "developer"]},
        "content": _CONTENT,
    },
    "required": ["role", "content"],
}
_REASONING: Final = _kind(
    "reasoning",
    "content",
    "encrypted_content",
    summary=_list(_kind("summary_text", text=_TEXT)),
    content=_any_of(_list(_kind("reasoning_text", text=_TEXT)), _NULL),
    encrypted_content=_TEXT_OR_NULL,
)
_FUNCTION: Final = _closed(
    _kind(
        "function",
        *("description", "parameters", "strict"),
        name=_TEXT,
        description=_TEXT_OR_NULL,
        parameters={"type": ["object", "null"]},
        strict={"type": ["boolean", "null"]},
    )
)
_CUSTOM: Final = _closed(
    _kind("custom", "description", "format", name=_TEXT, description=_TEXT_OR_NULL, format={"type": ["object", "null"]})
)
TOOL: Final = _any_of(
    _FUNCTION,
    _CUSTOM,
    _closed(_kind("namespace", "description", name=_TEXT, description=_TEXT_OR_NULL, tools=_list(_any_of(_FUNCTION, _CUSTOM)))),
    _kind("web_search"),
    _kind("tool_search", execution={"enum": ["client"]}),
)
_CALL: Final[dict[str, Schema]] = {
    "id": _TEXT_OR_NULL,
    "status": _TEXT_OR_NULL,
    "namespace": _TEXT_OR_NULL,
    "call_id": _TEXT,
    "name": _TEXT,
}
_RESULT: Final[dict[str, Schema]] = {"id": _TEXT_OR_NULL, "status": _TEXT_OR_NULL, "call_id": _TEXT, "output": _CONTENT}
_OPTIONAL: Final = ("id", "status", "namespace")
ITEM: Final = _any_of(
    _MESSAGE,
    _REASONING,
    _closed(_kind("function_call", *_OPTIONAL, **_CALL, arguments=_TEXT)),
    _closed(_kind("custom_tool_call", *_OPTIONAL, **_CALL, input=_TEXT)),
    _closed(_kind("function_call_output", *_OPTIONAL, **_RESULT)),
    _closed(_kind("custom_tool_call_output", *_OPTIONAL, **_RESULT)),
    _closed(_kind("additional_tools", "role", role={"enum": ["developer"]}, tools=_list(TOOL))),
)

_NAMED: Final = _any_of(_closed(_kind("function", name=_TEXT)), _closed(_kind("custom", name=_TEXT)))
CHOICE: Final = _any_of(_NAMED, _closed(_kind("allowed_tools", mode={"enum": ["auto", "required"]}, tools=_list(_NAMED))))
