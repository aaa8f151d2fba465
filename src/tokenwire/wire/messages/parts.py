"""The content of users' and tools' messages: the parts of a chat message ↔ content blocks."""

from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from ...exceptions import refused
from ...types._source import Fields
from .blocks import Block

# The API's own types of blocks, which are sent unchanged.
_OWN: Final = frozenset(
    "container_upload document image mid_conv_system redacted_thinking search_result server_tool_use thinking tool_reference "
    "tool_result tool_use".split()
)
_BASE64_DOCUMENTS: Final = frozenset({"application/pdf"})


def content_of(where: str, message: Mapping[str, Any]) -> str | list[Block]:
    """The content of a message as blocks; a text remains a text.

    Args:
        where: the message's path, for errors.
        message: its `cache_control` becomes that of its last block.

    Raises:
        BadRequestError: no block can express a part.
    """
    content, mark = message.get("content"), message.get("cache_control")
    if content is None or isinstance(content, str):
        text = content or ""
        return text if mark is None else [{"type": "text", "text": text, "cache_control": mark}]
    if not isinstance(content, list):
        raise refused("messages", f"{where}.content must be a text or a list of parts, not {type(content).__name__}")
    blocks = [_block(f"{where}.content[{index}]", part) for index, part in enumerate(content)]
    if mark is not None and blocks:
        blocks[-1] = {**blocks[-1], "cache_control": mark}
    return blocks


def _block(where: str, part: object) -> Block:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    if not isinstance(part, Mapping):
        raise refused("messages", f"{where} must be an object, not {type(part).__name__}")
    kind = part.get("type")
    convert = _CONVERTERS.get(kind) if isinstance(kind, str) else None
    if convert is not None:
        block = convert(where, part)
        if part.get("cache_control") is not None:
            block["cache_control"] = part["cache_control"]
        return block
    if isinstance(kind, str) and (kind in _OWN or kind.endswith("_tool_result")):
        return dict(part)
    raise refused("messages", f"{where}: Anthropic's API does not accept a part of type {kind!r:.40}")


def _text(where: str, part: Mapping[str, Any]) -> Block:
    if not isinstance(part.get("text"), str):
        raise refused("messages", f"{where}.text must be a text")
    return {name: part[name] for name in ("type", "text", "citations") if part.get(name) is not None}


def _image(where: str, part: Mapping[str, Any]) -> Block:
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, Mapping) else image
    if not isinstance(url, str):
        raise refused("messages", f"{where}.image_url must have a url")
    return {"type": "image", "source": _source(where, url)}


def _file(where: str, part: Mapping[str, Any]) -> Block:
    file = part.get("file")
    if not isinstance(file, Mapping) or not isinstance(data := file.get("file_data") or file.get("file_id"), str):
        raise refused("messages", f"{where}.file must have file_data or file_id")
    title = {} if file.get("filename") is None else {"title": file["filename"]}
    if not file.get("file_data"):
        return {"type": "document", "source": {"type": "file", "file_id": data}, **title}
    source = _source(f"{where}.file", data)
    kind = source.get("media_type")
    if source["type"] == "base64" and kind not in _BASE64_DOCUMENTS:
        if kind is not None and not kind.startswith("text/"):
            raise refused("messages", f"{where}.file: Anthropic's API does not accept files of type {kind:.60}")
        text = b64decode(source["data"]).decode("utf-8", "replace")
        source = {"type": "text", "media_type": "text/plain", "data": text}
    return {"type": "document", "source": source, **title}


def _source(where: str, url: str) -> Fields:
    """Where the bytes of an image or a file are: in a `data:` URL, or at an address."""
    if not url.startswith("data:"):
        return {"type": "url", "url": url}
    head, comma, data = url.removeprefix("data:").partition(",")
    if not comma:
        raise refused("messages", f"{where} is not a data: URL: it has no comma")
    media_type, _, _ = head.partition(";")
    if not head.endswith(";base64"):
        data = b64encode(unquote_to_bytes(data)).decode()
    return {"type": "base64", "media_type": media_type or "text/plain", "data": data}


_CONVERTERS: Final[dict[str, Callable[[str, Mapping[str, Any]], Block]]] = {
    "text": _text,
    "input_text": _text,
    "image_url": _image,
    "file": _file,
}
