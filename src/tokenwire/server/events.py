"""A stream's chunks → the bytes of server-sent events.

What an endpoint sent goes out as it came, byte for byte. A handler's chunks are given what OpenAI's have: one id,
creation time and model, the role once for each choice, the usage by itself at the end if it was asked for. The common
chunk, a piece of text, costs one encoding in C: what stands around the text is known by its bytes, so that whatever else
a chunk may hold is seen without a look at each field.
"""

import time
from typing import Any
from uuid import uuid4

import msgspec

from tokenwire import Delta, ModelResponseStream, StreamingChoices, TextChoices, TextCompletionResponse, Usage

from .models import Names

DONE = b"data: [DONE]\n\n"

_encode = msgspec.json.Encoder().encode

_PROBE = "\x01"
_PROBE_JSON = _encode(_PROBE).strip(b'"')


class _Gap:
    """Where the text stands in an encoded choice that adds text to one field of choice 0, and nothing else."""

    def __init__(self, field: str, delta: Delta) -> None:
        self.field = field
        self.before, self.behind = _encode(StreamingChoices(delta=delta)).split(_PROBE_JSON)
        self.start, self.end = len(self.before), -len(self.behind)


_GAPS = (_Gap("content", Delta(content=_PROBE)), _Gap("reasoning_content", Delta(reasoning_content=_PROBE)))


class ChatEvents:
    """Encodes the chunks of one chat completion.

    Args:
        names: the model's.
        include_usage: whether the client asked for the usage.
        from_endpoint: whether the chunks came over HTTP, so that their bytes may be the endpoint's own.
    """

    object = "chat.completion.chunk"
    id_prefix = "chatcmpl-"

    def __init__(self, names: Names, *, include_usage: bool, from_endpoint: bool) -> None:
        self._names = names
        self._include_usage = include_usage
        self._as_sent = from_endpoint
        self._usage_sent = False
        self._head: dict[str, Any] | None = None
        self._introduced: set[int] = set()  # the choices whose role has been sent
        self._frames: list[tuple[_Gap, bytes, bytes]] = []  # the events that bring such texts: what stands around them
        self._around: tuple[bytes, bytes] | None = None  # and around text for choice 0, once its role has been sent

    def encode(self, chunk: Any) -> bytes:
        """The event of a chunk, or of bare text for choice 0; b"" for a chunk without anything that belongs into one."""
        if type(chunk) is str:
            if self._around is not None:
                return self._around[0] + _encode(chunk)[1:-1] + self._around[1]
            chunk = self._chunk_of(chunk)
        if self._as_sent:
            data = chunk.raw
            if self._head is None:
                self._begin(chunk)
                self._as_sent = data is not None and self._is_chunk(data)
            if self._as_sent and data is not None:
                return self._sent(chunk, data)
        return self._encode_text(chunk) or self._encode_any(chunk)

    def ending(self, usage: Usage | None) -> bytes:
        """What follows the last chunk: the usage, if it was asked for and is known, and `[DONE]`."""
        if not self._include_usage or self._usage_sent or usage is None:
            return DONE
        head = self._head or self._begin(None)
        return _event({**head, "choices": [], "usage": usage.model_dump(exclude_none=True)}) + DONE

    def _sent(self, chunk: Any, data: bytes) -> bytes:
        """An endpoint's event as it came."""
        if not chunk.choices and chunk.usage is not None:
            if not self._include_usage:
                return b""
            self._usage_sent = True
        if b"\n" in data:  # it came as several lines
            data = data.replace(b"\n", b"\ndata: ")
        return b"data: " + data + b"\n\n"

    def _is_chunk(self, data: bytes) -> bool:
        """Whether these bytes are an event's, not those of another shape that the chunk was made of."""
        return b'"delta"' in data or b'"chat.completion.chunk"' in data

    def _encode_text(self, chunk: ModelResponseStream) -> bytes:
        """The event of a chunk that brings choice 0's next text and nothing else; b"" for any other."""
        if len(chunk.choices) != 1 or chunk.usage is not None:
            return b""
        if chunk.system_fingerprint is not None or chunk.service_tier is not None:
            return b""
        choice = chunk.choices[0]
        # A record that knows its origin may hold fields that no struct names, and these are not encoded with it.
        if hasattr(choice.delta, "_origin") or hasattr(choice, "_origin") or hasattr(chunk, "_origin"):
            return b""
        data = _encode(choice)
        for gap, before, behind in self._frames:
            if data.startswith(gap.before) and data.endswith(gap.behind):
                return before + data[gap.start : gap.end] + behind
        return b""

    def _begin(self, chunk: Any) -> dict[str, Any]:
        """The stream's id, creation time and model: the first chunk's, where it has them."""
        self._head = {
            "id": str(getattr(chunk, "id", None) or f"{self.id_prefix}{uuid4().hex}"),
            "object": self.object,
            "created": int(getattr(chunk, "created", None) or time.time()),
            "model": self._names.told(getattr(chunk, "model", None)),
        }
        return self._head

    def _encode_any(self, chunk: Any) -> bytes:
        head = self._head or self._begin(chunk)
        fields = chunk.model_dump(exclude_none=True)
        fields.pop("usage", None)
        choices = [self._choice(choice) for choice in fields.pop("choices")]
        if not choices:
            return b""
        event = {**head, "choices": choices, **fields, **head}
        if self._include_usage:
            event["usage"] = None  # as OpenAI has it on every chunk but the last
        if self._around is None:
            self._prepare(head)
        return _event(event)

    def _prepare(self, head: dict[str, Any]) -> None:
        """Make what stands around a text, if the role has been sent that comes before it."""
        if 0 in self._introduced:
            self._frames = [(gap, *self._frame(head, delta={gap.field: _PROBE})) for gap in _GAPS]
            self._around = self._frames[0][1:]

    def _frame(self, head: dict[str, Any], **text: Any) -> tuple[bytes, bytes]:
        choice = {"index": 0, **text, "logprobs": None, "finish_reason": None}
        event = {**head, "choices": [choice], **({"usage": None} if self._include_usage else {})}
        before, behind = _event(event).split(_PROBE_JSON)
        return before, behind

    def _chunk_of(self, text: str) -> Any:
        return ModelResponseStream(choices=[StreamingChoices(delta=Delta(content=text))])

    def _choice(self, choice: dict[str, Any]) -> dict[str, Any]:
        index = choice.get("index", 0)
        delta = choice["delta"]
        role = delta.pop("role", None) or "assistant"
        if index not in self._introduced:
            self._introduced.add(index)
            delta = {"role": role, **delta}
        return {"index": index, "logprobs": None, "finish_reason": None, **choice, "delta": delta}


class TextEvents(ChatEvents):
    """Encodes the pieces of one text completion."""

    object = "text_completion"
    id_prefix = "cmpl-"

    def _is_chunk(self, data: bytes) -> bool:
        return True  # an endpoint's whole text completion is a piece of one as well

    def _encode_text(self, chunk: Any) -> bytes:
        return b""  # an older protocol, whose chunks go the long way, unless they are bare text

    def _prepare(self, head: dict[str, Any]) -> None:
        self._around = self._frame(head, text=_PROBE)

    def _chunk_of(self, text: str) -> Any:
        return TextCompletionResponse(choices=[TextChoices(text=text)])

    def _choice(self, choice: dict[str, Any]) -> dict[str, Any]:
        return {"index": 0, "text": "", "logprobs": None, "finish_reason": None, **choice}


def _event(value: Any) -> bytes:
    return b"data: " + _encode(value) + b"\n\n"
