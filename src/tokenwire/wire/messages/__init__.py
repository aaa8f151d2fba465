"""Anthropic's "Create a message" (`/v1/messages`), as documented for `anthropic-version: 2023-06-01`."""

from ..dialect import Dialect
from .answers import answer_of
from .events import MessageDecoder
from .requests import UNSUPPORTED, request_body

VERSION = "2023-06-01"

MESSAGES = Dialect(
    name="messages",
    content="messages",
    path="/v1/messages",
    body=request_body,
    answer=answer_of,
    decoder=MessageDecoder,
    key_header="x-api-key",
    headers=(("anthropic-version", VERSION),),
    tokens_path="/v1/messages/count_tokens",
    kinds=frozenset({"chat", "models"}),
    unsupported=frozenset(UNSUPPORTED),
)
