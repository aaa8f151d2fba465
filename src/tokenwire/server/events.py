"""A stream's chunks → the bytes of server-sent events.

An endpoint's events are sent as they came. A handler's chunks get what OpenAI's have: one id, creation time and model, the role
once for each choice, and the usage in a separate chunk at the end if the client asks for it.

The common chunk, a piece of text, costs one encoding in C. The bytes before and after the text are known from an earlier
chunk: if they are the same, the chunk has only its text, and its fields need no check.
"""

import time
from copy import copy
from typing import Any, TypeAlias

import msgspec

from tokenwire import (
    Delta,
    ModelResponseStream,
    StreamingChoices,
    TextChoices,
    TextCompletionResponse,
    Usage,
)
from tokenwire.types import Addition, has_source, own_fields

from ..wire.passing import Sent
from .errors import Refusal
from .models import Model, id_of
from .requests import CompletionRequest

DONE = b"data: [DONE]\n\n"

_CR, _LF = b"\r\n"  # as numbers, which are found several times as fast

_ADDING = frozenset({"index", "delta", "logprobs"})  # the fields of a choice that adds to an answer
_ENDING = _ADDING | {"finish_reason"}  # and of one that may end it

_encode = msgspec.json.Encoder().encode

_PROBE, _OTHER_PROBE = "\x01tokenwire\x02", "\x03tokenwire\x04"
_PROBE_JSON = _encode(_PROBE).strip(b'"')
_OTHER_PROBE_JSON = _encode(_OTHER_PROBE)
_MOST_FRAMES = 8  # for one stream

# The bytes before a text, after it if there are no logprobs, between it and the logprobs, and after the logprobs.
_Around: TypeAlias = tuple[bytes, bytes, bytes, bytes]


class _Frame:
    """The bytes around the text and the logprobs of a choice: where it is encoded by itself, and in its event.

    Args:
        choice: its text is `_PROBE`, and its logprobs, if it has any, are `_OTHER_PROBE`.
        event: the event of this choice.
    """

    def __init__(self, choice: StreamingChoices, event: bytes) -> None:
        self._first, self._middle, self._last = _taken_apart(_encode(choice))
        self._event_first, self._event_middle, self._event_last = _taken_apart(event)

    def event(self, data: bytes) -> bytes:
        """The event of an encoded choice that differs from the frame's only in text and logprobs; b"" for any other."""
        if not (data.startswith(self._first) and data.endswith(self._last)):
            return b""
        inside = data[len(self._first) : -len(self._last)]
        if self._middle:  # it has quotes, which are escaped inside a text
            text, middle, logprobs = inside.partition(self._middle)
            if not middle or logprobs == b"null":
                return b""
            inside = text + self._event_middle + logprobs
        return self._event_first + inside + self._event_last


def _taken_apart(data: bytes) -> tuple[bytes, bytes, bytes]:
    """The bytes before, between and after the probes; if there is only one, those between are b""."""
    first, last = data.split(_PROBE_JSON)
    middle, probe, rest = last.partition(_OTHER_PROBE_JSON)
    return (first, middle, rest) if probe else (first, b"", last)


def _probed(choice: StreamingChoices) -> StreamingChoices | None:
    """The choice with a probe as its text, and another as its logprobs; None if it has no text, or two."""
    delta = copy(choice.delta)
    texts = [name for name in ("content", "reasoning_content") if getattr(delta, name) is not None]
    if delta.tool_calls:
        call = copy(delta.tool_calls[0])
        if texts or len(delta.tool_calls) > 1 or call.function is None or call.function.arguments is None:
            return None
        call.function = copy(call.function)
        call.function.arguments = _PROBE
        delta.tool_calls = [call]
    elif len(texts) == 1:
        setattr(delta, texts[0], _PROBE)
    else:
        return None
    probed = copy(choice)
    probed.delta = delta
    probed.logprobs = None if own_fields(choice).get("logprobs") is None else _OTHER_PROBE
    return probed


class _Shape(msgspec.Struct):
    """The fields of a body that show what kind it is."""

    choices: list[dict[str, Any]] | None = None
    object: Any = None


class ChatEvents:
    """Encodes the chunks of one chat completion.

    Args:
        model: the model that answers.
        request: the client's; it may ask for the usage.
    """

    keep_alive: bytes = b": keep-alive\n\n"
    object = "chat.completion.chunk"
    id_prefix = "chatcmpl-"

    def __init__(self, model: Model, request: CompletionRequest) -> None:
        self._model = model
        self._include_usage = request.include_usage
        self._running_usage = request.running_usage
        self._usage_sent = False
        self._is_own = True  # whether an endpoint's events are of this API
        self._head: dict[str, Any] | None = None
        self._introduced: set[int] = set()  # the choices whose role has been sent
        self._frames: list[_Frame] = []  # of the choices so far
        self._around: tuple[bytes, bytes] | None = None  # the bytes around text for choice 0, once its role has been sent
        self._added: dict[object, _Around] = {}  # the bytes around additions, by the field they add to

    def encode(self, chunk: Any) -> bytes:
        """The event of a chunk, of an addition, or of bare text for choice 0; b"" for a chunk with nothing to send."""
        if type(chunk) is str:
            if self._around is not None:
                return self._around[0] + _encode(chunk)[1:-1] + self._around[1]
            chunk = self._chunk_of(chunk)
        elif type(chunk) is Addition:
            around = self._added.get(chunk.field if not (chunk.index or chunk.call) else _place(chunk))
            if around is None or (self._running_usage and chunk.usage is not None):
                return self._encode_addition(chunk)
            if chunk.logprobs is None:
                return around[0] + _encode(chunk.text)[1:-1] + around[1]
            logprobs = _in_a_line(bytes(chunk.logprobs))
            return b"".join((around[0], _encode(chunk.text)[1:-1], around[2], logprobs, around[3]))
        if self._running_usage and chunk.usage is not None:
            return self._encode_any(chunk)
        return self._encode_more(chunk) or self._encode_any(chunk)

    def ending(self, usage: Usage | None) -> bytes:
        """What follows the last chunk: the usage, if it was asked for and is known, and `[DONE]`."""
        if not self._include_usage or self._usage_sent or usage is None:
            return DONE
        head = self._head or self._begin(None)
        return _event({**head, "choices": [], "usage": usage.model_dump(exclude_none=True)}) + DONE

    def passed_on(self, sent: Sent) -> bytes:
        """See `PassingEvents`. Not passed on are events that are not chunks: pings, and a usage that was not asked for."""
        chunks = sent.chunks
        if not chunks:
            return b""
        if self._head is None:
            self._begin(chunks[0])
            self._is_own = self._is_chunk(chunks[0].raw)
        if not self._is_own:
            return b"".join(map(self.encode, chunks))
        if type(chunks[0]) is not Addition and (len(chunks) != sent.events or b'"usage"' in sent.data):
            return b"".join([self._sent(chunk, chunk.raw) for chunk in chunks])
        return sent.data

    def go_on(self, answer: Any, sent: bytes) -> None:
        """See `PassingEvents`: the event of an error does not depend on those before it."""

    def error_event(self, refusal: Refusal) -> bytes:
        """The event that ends a stream which failed."""
        return _event(refusal.event())

    def _sent(self, chunk: Any, data: bytes) -> bytes:
        """An endpoint's event as it came; b"" for a usage that was not asked for."""
        if chunk.usage is not None:
            if not chunk.choices and not self._include_usage:
                return b""
            self._usage_sent = True
        if _LF in data:  # it came as several lines
            data = data.replace(b"\n", b"\ndata: ")
        return b"data: " + data + b"\n\n"

    def _is_chunk(self, data: bytes) -> bool:
        """Whether these bytes are a chunk of this API, and not an answer of another form that the chunk was made from."""
        if b'"delta"' in data:
            return True
        try:
            event = msgspec.json.decode(data, type=_Shape)
        except msgspec.DecodeError:
            return False
        is_other = any("message" in choice or "text" in choice for choice in event.choices or ())
        return not is_other and event.object not in ("chat.completion", "text_completion")

    def _encode_addition(self, addition: Addition) -> bytes:
        """The event of the first addition of its kind, or of one with a usage that the client wants in every chunk."""
        if addition.index not in self._introduced or (self._running_usage and addition.usage is not None):
            return self._encode_any(addition.chunk())
        self._added[_place(addition)] = self._around_addition(addition)
        return self.encode(addition)

    def _around_addition(self, like: Addition) -> _Around:
        """The bytes around the text and the logprobs of additions like this one."""
        probed = Addition(like.field, _PROBE, like.index, like.call).chunk().choices[0]
        probed.logprobs = _OTHER_PROBE
        first, middle, last = _taken_apart(self._encode_choice(probed, self._head or self._begin(None)))
        return first, middle + b"null" + last, middle, last

    def _encode_more(self, chunk: ModelResponseStream) -> bytes:
        """The event of a chunk with one choice and only fields that structs name; b"" for any other."""
        if len(chunk.choices) != 1 or chunk.system_fingerprint is not None or chunk.service_tier is not None:
            return b""
        choice = chunk.choices[0]
        calls = choice.delta.tool_calls
        # A record that knows its source may hold fields that no struct names, and these are not encoded with it.
        if has_source(choice) or has_source(choice.delta) or chunk.provider_specific_fields is not None:
            return b""
        if calls and any(has_source(call) or has_source(call.function or call) for call in calls):
            return b""
        head = self._head or self._begin(chunk)
        if choice.index not in self._introduced or choice.delta.role is not None or choice.finish_reason is not None:
            return self._encode_choice(choice, head)
        data = _in_a_line(_encode(choice))
        for frame in self._frames:
            if event := frame.event(data):
                return event
        event = self._encode_choice(choice, head)
        if event and len(self._frames) < _MOST_FRAMES and (probed := _probed(choice)) is not None:
            self._frames.append(_Frame(probed, self._encode_choice(probed, head)))
        return event

    def _encode_choice(self, choice: StreamingChoices, head: dict[str, Any]) -> bytes:
        """The event of a choice; b"" if it has fields that no struct names."""
        own, delta = own_fields(choice), own_fields(choice.delta)
        if choice.index is None or not own.keys() <= _ENDING:
            return b""
        delta = self._with_role(delta, choice.index)
        if self._around is None:
            self._prepare(head)
        if calls := delta.get("tool_calls"):
            delta["tool_calls"] = [
                {name: own_fields(value) if name == "function" else value for name, value in own_fields(call).items()}
                for call in calls
            ]
        shown = {
            "index": choice.index,
            "delta": delta,
            "logprobs": own.get("logprobs"),
            "finish_reason": own.get("finish_reason"),
        }
        return _event({**head, "choices": [shown], **({"usage": None} if self._include_usage else {})})

    def _begin(self, chunk: Any) -> dict[str, Any]:
        """Choose the stream's id, creation time and model: the first chunk's, if it has them."""
        self._head = {
            "id": id_of(getattr(chunk, "id", None), self.id_prefix),
            "object": self.object,
            "created": int(getattr(chunk, "created", None) or time.time()),
            "model": self._model.shown(getattr(chunk, "model", None)),
        }
        return self._head

    def _encode_any(self, chunk: Any) -> bytes:
        head = self._head or self._begin(chunk)
        logprobs = [own_fields(choice).get("logprobs") for choice in chunk.choices]  # as they came: a dump would decode them
        fields = chunk.model_dump(exclude_none=True)
        usage = fields.pop("usage", None)
        indexes = [choice.index or 0 for choice in chunk.choices]  # as read from whatever was sent
        choices = list(map(self._choice, fields.pop("choices"), indexes))
        for choice, own in zip(choices, logprobs, strict=True):
            choice["logprobs"] = own
        if not choices:
            return b""
        event = {**head, "choices": choices, **fields, **head}
        if self._include_usage:
            # As OpenAI does: only the last chunk has it, unless the client asks for it in every chunk.
            event["usage"] = usage if self._running_usage else None
        if self._around is None:
            self._prepare(head)
        return _event(event)

    def _prepare(self, head: dict[str, Any]) -> None:
        """Make the bytes around text, if the role has been sent, which comes first."""
        if 0 in self._introduced:
            self._around = self._frame(head, delta={"content": _PROBE})

    def _frame(self, head: dict[str, Any], **text: Any) -> tuple[bytes, bytes]:
        choice = {"index": 0, **text, "logprobs": None, "finish_reason": None}
        event = {**head, "choices": [choice], **({"usage": None} if self._include_usage else {})}
        before, after = _event(event).split(_PROBE_JSON)
        return before, after

    def _chunk_of(self, text: str) -> Any:
        return ModelResponseStream(choices=[StreamingChoices(delta=Delta(content=text))])

    def _choice(self, choice: dict[str, Any], index: int) -> dict[str, Any]:
        delta = self._with_role(choice["delta"], index)
        return {"index": index, "logprobs": None, "finish_reason": None, **choice, "delta": delta}

    def _with_role(self, delta: dict[str, Any], index: int) -> dict[str, Any]:
        """The fields of a delta: with the role in the first of its choice, without it in later ones."""
        role = delta.pop("role", None) or "assistant"
        if index in self._introduced:
            return delta
        self._introduced.add(index)
        return {"role": role, **delta}


class TextEvents(ChatEvents):
    """Encodes the pieces of one text completion."""

    object = "text_completion"
    id_prefix = "cmpl-"

    def _is_chunk(self, data: bytes) -> bool:
        return True  # a whole text completion has the form of a chunk

    def _encode_more(self, chunk: Any) -> bytes:
        return b""  # an older API: only bare text has a fast way

    def _prepare(self, head: dict[str, Any]) -> None:
        self._around = self._frame(head, text=_PROBE)

    def _chunk_of(self, text: str) -> Any:
        return TextCompletionResponse(choices=[TextChoices(text=text)])

    def _choice(self, choice: dict[str, Any], index: int) -> dict[str, Any]:
        return {"index": index, "text": "", "logprobs": None, "finish_reason": None, **choice}


def _place(addition: Addition) -> object:
    """What it adds to, as a key."""
    is_usual = not (addition.index or addition.call)
    return addition.field if is_usual else (addition.field, addition.index, addition.call)


def _event(value: object) -> bytes:
    return b"data: " + _in_a_line(_encode(value)) + b"\n\n"


def _in_a_line(data: bytes) -> bytes:
    """JSON without line ends, since an event's line has none.

    The encoder makes none: they come with log probabilities, which are kept as an endpoint sent them, and stand between values.
    """
    return data if _LF not in data and _CR not in data else data.translate(None, b"\r\n")
