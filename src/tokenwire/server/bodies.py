"""Whole answers → the bytes of responses.

An endpoint's answer is sent as it came, unless it was changed since: a handler may change an answer that it got from an
endpoint. All others get the fields that OpenAI's answers always have.
"""

import sys
import time
from array import array
from base64 import b64encode
from collections.abc import Callable
from numbers import Real
from typing import Any

import msgspec

from tokenwire import EmbeddingResponse, ImageResponse, ModelResponse, TextCompletionResponse
from tokenwire.types import as_sent

from .models import Model, id_of
from .requests import EmbeddingRequest

_encode = msgspec.json.encode


def chat_body(response: ModelResponse, model: Model, _: object) -> bytes:
    """The body of a chat completion."""
    return as_sent(response) or _completion(response, model, "chat.completion", "chatcmpl-", _chat_choice)


def text_body(response: TextCompletionResponse, model: Model, _: object) -> bytes:
    """The body of a text completion."""
    return as_sent(response) or _completion(response, model, "text_completion", "cmpl-", _text_choice)


def embedding_body(response: EmbeddingResponse, model: Model, request: EmbeddingRequest) -> bytes:
    """The body of embeddings; vectors become base64 text (of little-endian 32-bit floats) if the request asks for it."""
    sent = as_sent(response)
    if sent is not None:
        return sent
    fields = response.model_dump(exclude_none=True)
    for index, item in enumerate(fields["data"]):
        item["index"] = item.get("index") or index
        item["embedding"] = _as_json(item["embedding"])
        if request.encoding_format == "base64" and _is_vector(item["embedding"]):
            item["embedding"] = _base64(item["embedding"])
    usage = {"prompt_tokens": 0, "total_tokens": 0}  # OpenAI's clients expect it
    fields["model"] = model.shown(fields.get("model"))
    return _encode({"usage": usage, **fields}, enc_hook=_as_json)


def image_body(response: ImageResponse, *_: object) -> bytes:
    """The body of images."""
    return as_sent(response) or _encode({"created": int(time.time()), **response.model_dump(exclude_none=True)})


def _completion(
    response: ModelResponse | TextCompletionResponse,
    model: Model,
    kind: str,
    id_prefix: str,
    choice: Callable[[int, dict[str, Any]], dict[str, Any]],
) -> bytes:
    fields = response.model_dump(exclude_none=True)
    fields["id"] = id_of(fields.get("id"), id_prefix)
    fields["object"] = kind
    fields["created"] = int(response.created or time.time())
    fields["model"] = model.shown(fields.get("model"))
    fields["choices"] = [choice(index, item) for index, item in enumerate(fields["choices"])]
    return _encode(fields)


def _chat_choice(position: int, choice: dict[str, Any]) -> dict[str, Any]:
    message = {"role": "assistant", "content": None, "refusal": None, **choice["message"]}
    return {"index": position, "logprobs": None, "finish_reason": None, **choice, "message": message}


def _text_choice(position: int, choice: dict[str, Any]) -> dict[str, Any]:
    return {"index": position, "text": "", "logprobs": None, "finish_reason": None, **choice}


def _as_json(value: Any) -> Any:
    """A vector that JSON can have, as a list: a handler may return arrays, buffers, or numpy's arrays and numbers."""
    if isinstance(value, str | dict | list):
        return value
    return value.tolist() if hasattr(value, "tolist") else list(value)


def _is_vector(value: object) -> bool:
    """Whether it is one list of numbers, not one list for each token or type."""
    return isinstance(value, list) and all(isinstance(number, int | float | Real) for number in value)


def _base64(vector: list[float]) -> str:
    floats = array("f", vector)
    if sys.byteorder == "big":
        floats.byteswap()
    return b64encode(floats.tobytes()).decode()
