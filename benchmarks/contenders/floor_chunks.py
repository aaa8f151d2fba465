"""The floor's decoding: llhttp, a split at the empty lines, and one msgspec decode for each event.

Its structs have the fields that a stream's reader needs, and for each kind of chunk the fields of that kind.
"""

from collections.abc import Callable
from typing import Any

import httptools
import msgspec

DONE = b"[DONE]"

Optional = dict[str, Any] | None
Decode = Callable[[bytes], Any]


class Delta(msgspec.Struct, gc=False):
    role: str | None = None
    content: str | None = None
    refusal: str | None = None


class Choice(msgspec.Struct, gc=False):
    delta: Delta
    index: int = 0
    finish_reason: str | None = None


class Chunk(msgspec.Struct, gc=False):
    id: str
    created: int
    model: str
    choices: list[Choice]


class Message(msgspec.Struct, gc=False):
    role: str
    content: str | None = None


class WholeChoice(msgspec.Struct, gc=False):
    message: Message
    index: int = 0
    finish_reason: str | None = None


class Whole(msgspec.Struct, gc=False):
    id: str
    created: int
    model: str
    choices: list[WholeChoice]
    usage: dict[str, int] | None = None


class Function(msgspec.Struct, gc=False):
    arguments: str | None = None
    name: str | None = None


class ToolCall(msgspec.Struct, gc=False):
    index: int
    function: Function
    id: str | None = None
    type: str | None = None


class TokenLogprob(msgspec.Struct, gc=False):
    token: str
    logprob: float
    bytes: list[int] | None = None
    top_logprobs: list[Any] | None = None


class Logprobs(msgspec.Struct, gc=False):
    content: list[TokenLogprob] | None = None


class Usage(msgspec.Struct, gc=False):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


def _decoder(delta: Optional = None, choice: Optional = None, chunk: Optional = None) -> Decode:
    """Decodes an event into a `Chunk` that has these fields, too, all of which an event may leave out."""
    choice_class = _more(Choice, choice, delta=_more(Delta, delta))
    return msgspec.json.Decoder(_more(Chunk, chunk, choices=list[choice_class])).decode  # type: ignore[valid-type]


def _more(base: type[msgspec.Struct], optional: Optional, **replaced: Any) -> type[msgspec.Struct]:
    fields = [*replaced.items(), *((name, kind | None, None) for name, kind in (optional or {}).items())]
    return msgspec.defstruct(base.__name__, fields, bases=(base,), gc=False)


decode_chunk = msgspec.json.Decoder(Chunk).decode
decode_whole = msgspec.json.Decoder(Whole).decode

_LOGPROBS: Optional = {"logprobs": Logprobs}
_USAGE: Optional = {"usage": Usage}
DECODERS = {  # by the name of the kind
    "text": decode_chunk,
    "obfuscation": _decoder(chunk={"obfuscation": str}),
    "reasoning": _decoder(delta={"reasoning_content": str}),
    "tools": _decoder(delta={"tool_calls": list[ToolCall]}),
    "logprobs": _decoder(choice=_LOGPROBS),
    "usage": _decoder(chunk=_USAGE),
    "vllm": _decoder(choice=_LOGPROBS, chunk=_USAGE),
    "vllm_read": _decoder(choice=_LOGPROBS, chunk=_USAGE),
    "choices": decode_chunk,
}


class Response:
    """Bytes in, chunks out; the floor on trio uses it too. `decode` makes a chunk of an event's data."""

    def __init__(self) -> None:
        self.decode: Decode = decode_chunk
        self._pieces: list[bytes] = []
        self.on_body = self._pieces.append
        self._parser = httptools.HttpResponseParser(self)
        self._tail = b""
        self.is_complete = False

    def on_message_complete(self) -> None:
        self.is_complete = True

    def feed_data(self, data: bytes) -> list[Chunk]:
        """The chunks that these bytes complete."""
        self._parser.feed_data(data)
        pieces = self._pieces
        body = self._tail + (pieces[0] if len(pieces) == 1 else b"".join(pieces))
        pieces.clear()
        end = body.rfind(b"\n\n")
        if end < 0:
            self._tail = body
            return []
        self._tail = body[end + 2 :]
        events = body[6:end].rsplit(b"\n\ndata: ")  # from the right: the fastest of all ways to split
        if events[-1] == DONE:
            events.pop()
        decode = self.decode
        return [decode(event) for event in events]

    def feed_whole(self, data: bytes) -> Whole | None:
        """The answer, once it is complete."""
        self._parser.feed_data(data)
        if not self.is_complete:
            return None
        body = b"".join(self._pieces)
        self._pieces.clear()
        return decode_whole(body)

    def begin(self) -> None:
        """Note that a request is sent."""
        self.is_complete = False
