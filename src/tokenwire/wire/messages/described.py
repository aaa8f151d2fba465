"""JSON Schemas of the parts of a request that no struct describes, for the server's OpenAPI description."""

from typing import Any, Final, TypeAlias

Schema: TypeAlias = dict[str, Any]

_TEXT: Final[Schema] = {"type": "string"}
_NAME: Final[Schema] = {"type": "string", "minLength": 1}
_OBJECT: Final[Schema] = {"type": "object"}
_NULL: Final[Schema] = {"type": "null"}


def _open(optional: str = "", **properties: Schema) -> Schema:
    """An object that may have other fields."""
    required = [name for name in properties if name not in optional.split()]
    return {"type": "object", "properties": properties, "required": required}


def _object(optional: str = "", **properties: Schema) -> Schema:
    """An object whose other fields are empty."""
    return {**_open(optional, **properties), "additionalProperties": {"enum": [None, False, [], {}]}}


def _kind(kind: str, optional: str = "", **properties: Schema) -> Schema:
    return _object(optional, type={"enum": [kind]}, **properties)


def _any_of(*schemas: Schema) -> Schema:
    return {"anyOf": list(schemas)}


def _text_or(*blocks: Schema) -> Schema:
    return _any_of(_TEXT, {"type": "array", "items": _any_of(*blocks)})


_BASE64: Final = _kind("base64", media_type=_TEXT, data=_TEXT)
_CACHE_CONTROL: Final[dict[str, Schema]] = {"cache_control": _any_of(_OBJECT, _NULL)}
_TEXT_BLOCK: Final = _kind("text", "cache_control", text=_TEXT, **_CACHE_CONTROL)
_IMAGE: Final = _kind("image", "cache_control", source=_any_of(_BASE64, _kind("url", url=_TEXT)), **_CACHE_CONTROL)
_FILE: Final = _any_of(_BASE64, _kind("text", media_type=_TEXT, data=_TEXT), _kind("file", file_id=_TEXT))
_DOCUMENT: Final = _kind(
    "document",
    "citations context title cache_control",
    source=_FILE,
    citations=_NULL,
    context=_NULL,
    title=_TEXT,
    **_CACHE_CONTROL,
)
_FROM_USERS: Final = (_TEXT_BLOCK, _IMAGE, _DOCUMENT)
_RESULT: Final = _kind(
    "tool_result",
    "content is_error toolset_name cache_control",
    tool_use_id=_TEXT,
    content=_any_of(_NULL, _text_or(*_FROM_USERS)),
    is_error={"type": "boolean"},
    toolset_name=_any_of(_TEXT, _NULL),
    **_CACHE_CONTROL,
)
_FROM_ASSISTANTS: Final = (
    _open(type={"enum": ["text"]}, text=_TEXT),
    _open(type={"enum": ["thinking"]}, thinking=_TEXT, signature=_TEXT),
    _open(type={"enum": ["redacted_thinking"]}, data=_TEXT),
    _open(type={"enum": ["tool_use"]}, id=_NAME, name=_NAME, input=_OBJECT),
)

SYSTEM_BLOCK: Final = _TEXT_BLOCK
TURN: Final = _any_of(
    _object(role={"enum": ["user"]}, content=_text_or(*_FROM_USERS, _RESULT)),
    _object(role={"enum": ["assistant"]}, content=_text_or(*_FROM_ASSISTANTS)),
    _object(role={"enum": ["system"]}, content=_text_or(_TEXT_BLOCK)),
)
TOOL: Final = _open("type", name=_NAME, input_schema=_OBJECT, type={"enum": ["custom", None]})
_NOT_PARALLEL: Final[dict[str, Schema]] = {"disable_parallel_tool_use": {"type": "boolean"}}
CHOICE: Final = _any_of(
    _object("disable_parallel_tool_use", type={"enum": ["auto", "any", "none"]}, **_NOT_PARALLEL),
    _kind("tool", "disable_parallel_tool_use", name=_TEXT, **_NOT_PARALLEL),
)
