"""OpenAI's "Create chat completion"."""

from collections.abc import Mapping
from typing import Any

from ..types.chat import ModelResponse
from .bodies import decode_body
from .chunks import ChunkDecoder
from .convert import Shape
from .dialect import Dialect


def _body(model: str, messages: object, params: Mapping[str, Any]) -> dict[str, Any]:
    return {"model": model, "messages": messages, **params}


def _answer(body: bytes) -> ModelResponse:
    return decode_body(body, ModelResponse)


def _decoder(shape: Shape, model: str) -> ChunkDecoder:
    return ChunkDecoder(shape, text=False, model=model)


CHAT = Dialect(name="chat", content="messages", path="/chat/completions", body=_body, answer=_answer, decoder=_decoder)
