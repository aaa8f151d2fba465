"""What the parts of a request look like that are read as they come, as JSON Schema: for the server's description."""

from typing import Any, Final, TypeAlias

Schema: TypeAlias = dict[str, Any]

_TEXT: Final[Schema] = {"type": "string"}
_NAME: Final[Schema] = {"type": "string", "minLength": 1}
_OBJECT: Final[Schema] = {"type": "object"}
_NULL: Final[Schema] = {"type": "null"}


def _open(optional: str = "", **properties: Schema) -> Schema:
    """An object, which may have other fields."""
    required = [name for name in properties if name not in optional.split()]
    return {"type": "object", "properties": properties, "required": required}


def _object(optional: str = "", **properties: Schema) -> Schema:
    """An object whose other fields ask for nothing."""
    return {**_open(optional, **properties), "additionalProperties": {"enum": [None, False, [], {}]}}


def _kind(kind: str, optional: str = "", **properties: Schema) -> Schema:
    return _object(optional, type={"enum": [kind]}, **properties)


def _any_of(*schemas: Schema) -> Schema:
    return {"anyOf": list(schemas)}


def _text_or(*blocks: Schema) -> Schema:
    return _any_of(_TEXT, {"type": "array", "items": _any_of(*blocks)})


_BASE64: Final = _kind("base64", media_type=_TEXT, data=_TEXT)
_MARK: Final[dict[str, Schema]] = {"cache_control": _any_of(_OBJECT, _NULL)}
_WORDS: Final = _kind("text", "cache_control", text=_TEXT, **_MARK)
_IMAGE: Final = _kind("image", "cache_control", source=_any_of(_BASE64, _kind("url", url=_TEXT)), **_MARK)
_FILE: Final = _any_of(_BASE64, _kind("text", media_type=_TEXT, data=_TEXT), _kind("file", file_id=_TEXT))
_DOCUMENT: Final = _kind(
    "document", "citations context title cache_control", source=_FILE, citations=_NULL, context=_NULL, title=_TEXT, **_MARK
)
_SHOWN: Final = (_WORDS, _IMAGE, _DOCUMENT)
_RESULT: Final = _kind(
    "tool_result",
    "content is_error toolset_name cache_control",
    tool_use_id=_TEXT,
    content=_any_of(_NULL, _text_or(*_SHOWN)),
    is_error={"type": "boolean"},
    toolset_name=_any_of(_TEXT, _NULL),
    **_MARK,
)
_SAID: Final = (
    _open(type={"enum": ["text"]}, text=_TEXT),
    _open(type={"enum": ["thinking"]}, thinking=_TEXT, signature=_TEXT),
    _open(type={"enum": ["redacted_thinking"]}, data=_TEXT),
    _open(type={"enum": ["tool_use"]}, id=_NAME, name=_NAME, input=_OBJECT),
)

SYSTEM_BLOCK: Final = _WORDS
TURN: Final = _any_of(
    _object(role={"enum": ["user"]}, content=_text_or(*_SHOWN, _RESULT)),
    _object(role={"enum": ["assistant"]}, content=_text_or(*_SAID)),
    _object(role={"enum": ["system"]}, content=_text_or(_WORDS)),
)
TOOL: Final = _open("type", name=_NAME, input_schema=_OBJECT, type={"enum": ["custom", None]})
_ALONE: Final[dict[str, Schema]] = {"disable_parallel_tool_use": {"type": "boolean"}}
CHOICE: Final = _any_of(
    _object("disable_parallel_tool_use", type={"enum": ["auto", "any", "none"]}, **_ALONE),
    _kind("tool", "disable_parallel_tool_use", name=_TEXT, **_ALONE),
)
