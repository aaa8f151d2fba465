"""OpenAI's older "Create completion". Messages are converted to the prompt: a text for each, or a single text."""

from collections.abc import Mapping
from typing import Any

from ..types.text import TextCompletionResponse
from .bodies import decode_body
from .chunks import ChunkDecoder
from .convert import Shape
from .dialect import Dialect


def _body(model: str, content: object, params: Mapping[str, Any]) -> dict[str, Any]:
    return {"model": model, "prompt": _prompt_of(content), **params}


def _prompt_of(content: object) -> object:
    """The caller's prompt, or one made from messages."""
    if not isinstance(content, list) or not all(isinstance(item, dict) for item in content):
        return content
    texts = [_text_of(message.get("content")) for message in content]
    return texts[0] if len(texts) == 1 else texts


def _text_of(content: object) -> object:
    """A message's text; a list of content parts is joined, a list of token ids is passed on."""
    if isinstance(content, list) and content and isinstance(content[0], dict):
        return "".join(part.get("text") or "" for part in content)
    return "" if content is None else content


def _answer(body: bytes) -> TextCompletionResponse:
    return decode_body(body, TextCompletionResponse)


def _decoder(shape: Shape, model: str) -> ChunkDecoder:
    return ChunkDecoder(shape, text=True, model=model)


TEXT = Dialect(name="text", content="prompt", path="/completions", body=_body, answer=_answer, decoder=_decoder)
