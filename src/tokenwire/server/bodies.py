"""Whole answers → the bytes of responses.

What an endpoint sent goes out as it came, if it still is what the answer says: a handler may have changed what it got
from one. All else is given the fields that OpenAI's answers always have.
"""

import sys
import time
from array import array
from base64 import b64encode
from typing import Any
from uuid import uuid4

import msgspec

from tokenwire import EmbeddingResponse, ImageResponse, ModelResponse, TextCompletionResponse

from .models import Names

_encode = msgspec.json.encode
_decoders = {
    cls: msgspec.json.Decoder(cls).decode for cls in (EmbeddingResponse, ImageResponse, ModelResponse, TextCompletionResponse)
}


def as_sent(response: Any) -> bytes | None:
    """The body that an endpoint sent, None where there was none or the answer says something else by now."""
    data: bytes | None = response.raw
    if data is None:
        return None
    try:
        still = _encode(_decoders[type(response)](data)) == _encode(response)
    except msgspec.DecodeError:  # the body of another shape that the answer was made of
        return None
    return data if still else None


def chat_body(response: ModelResponse, names: Names) -> bytes:
    """The body of a chat completion."""
    return as_sent(response) or _completion(response, names, "chat.completion", "chatcmpl-", _chat_choice)


def text_body(response: TextCompletionResponse, names: Names) -> bytes:
    """The body of a text completion."""
    return as_sent(response) or _completion(response, names, "text_completion", "cmpl-", _text_choice)


def embedding_body(response: EmbeddingResponse, names: Names, encoding_format: str | None) -> bytes:
    """The body of embeddings; floats become base64 text (of little-endian 32-bit floats) where that was asked for."""
    sent = as_sent(response)
    if sent is not None:
        return sent
    fields = response.model_dump(exclude_none=True)
    for index, item in enumerate(fields["data"]):
        item["index"] = item.get("index") or index
        if encoding_format == "base64" and not isinstance(item["embedding"], str):
            item["embedding"] = _base64(item["embedding"])
    usage = {"prompt_tokens": 0, "total_tokens": 0}  # OpenAI's clients look for it
    fields["model"] = names.told(fields.get("model"))
    return _encode({"usage": usage, **fields})


def image_body(response: ImageResponse) -> bytes:
    """The body of images."""
    return as_sent(response) or _encode({"created": int(time.time()), **response.model_dump(exclude_none=True)})


def _completion(response: Any, names: Names, kind: str, id_prefix: str, choice: Any) -> bytes:
    fields = response.model_dump(exclude_none=True)
    fields["id"] = str(fields.get("id") or f"{id_prefix}{uuid4().hex}")
    fields["object"] = kind
    fields["created"] = int(fields.get("created") or time.time())
    fields["model"] = names.told(fields.get("model"))
    fields["choices"] = [choice(index, item) for index, item in enumerate(fields["choices"])]
    return _encode(fields)


def _chat_choice(position: int, choice: dict[str, Any]) -> dict[str, Any]:
    message = {"role": "assistant", "content": None, "refusal": None, **choice["message"]}
    return {"index": position, "logprobs": None, "finish_reason": None, **choice, "message": message}


def _text_choice(position: int, choice: dict[str, Any]) -> dict[str, Any]:
    return {"index": position, "text": "", "logprobs": None, "finish_reason": None, **choice}


def _base64(vector: Any) -> str:
    floats = array("f", vector)
    if sys.byteorder == "big":
        floats.byteswap()
    return b64encode(floats.tobytes()).decode()
