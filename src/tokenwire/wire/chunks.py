"""Event payloads and bodies → structs: one decode each, no dict in between.

`ChunkDecoder` holds what one stream needs to remember: the assembler that collects the answer, and whether `[DONE]`
arrived. `decode` is the hot path. It takes a whole read's events at once. A read full of chunks that differ only in their
text is recognised by its bytes (`template`); the common chunk, with no more than a role, a piece of text and a finish
reason for choice 0, by a few attribute reads. Everything else goes the long way round.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET

from ..exceptions import APIError, APIResponseValidationError
from ..types._record import Record, attach_origin
from ..types.chat import GenericStreamingChunk, ModelResponse, ModelResponseStream
from ..types.text import TextCompletionResponse
from .assemble import Assembler
from .convert import Chunk, Converter, Shape, response_chunks, whole_class
from .errors import _REQUEST_ID_HEADERS, error_from_object, parse_retry_after
from .sse import Event
from .template import Template, flat_piece, template_of

R = TypeVar("R", bound=Record)

DONE = b"[DONE]"
BOM = b"\xef\xbb\xbf"
ENOUGH = 8  # events at once that make a template worth its while: it costs as much as a dozen of them decoded
LESSONS = 4  # templates made in a row without use before no more are made
SHOWN_BYTES = 512  # how much of a malformed event or body an error shows

# What decoding raises for bytes that are no JSON, no UTF-8, of another shape, or nested too deeply.
_UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_decode_chat = msgspec.json.Decoder(ModelResponseStream).decode
_decode_text = msgspec.json.Decoder(TextCompletionResponse).decode
_decode_any = msgspec.json.Decoder().decode
_decoders: dict[type[Any], Any] = {}


class ChunkDecoder:
    """Decodes the events of one stream into chunks of the shape its caller wants.

    Args:
        shape: the class of the chunks wanted.
        wire_text: whether the events are `/completions`' rather than `/chat/completions`'.
        provider, model: named in errors.

    Attributes:
        done: whether `[DONE]` arrived; what follows it is not looked at.
        had_content: whether the latest `decode` found content, as deadlines understand it.
        error: a server's error object, or an event that can't be decoded, met in the latest `decode`; to be raised
            after the chunks before it are handed over.
        assembler: collects the answer.
    """

    __slots__ = (
        "_convert",
        "_decode",
        "_flat",
        "_lessons",
        "_model",
        "_native",
        "_provider",
        "_started",
        "_template",
        "_wire_text",
        "assembler",
        "done",
        "error",
        "had_content",
    )

    def __init__(self, shape: Shape, *, wire_text: bool, provider: str, model: str) -> None:
        self._decode: Any = _decode_text if wire_text else _decode_chat
        self._wire_text = wire_text
        self._native = shape is (TextCompletionResponse if wire_text else ModelResponseStream)
        self._flat = shape is GenericStreamingChunk
        self._convert = Converter(shape, model).convert
        self._provider, self._model = provider, model
        self._started = False
        self._template: Template | None = None
        self._lessons = LESSONS
        self.assembler: Assembler = Assembler(whole_class(shape))
        self.done: bool = False
        self.had_content: bool = False
        self.error: APIError | None = None

    def decode(self, events: list[bytes | Event]) -> list[Chunk]:
        """The chunks in `events`, in order; see `done`, `had_content` and `error` for what else was there."""
        if self._wire_text or not (self._native or self._flat):
            return self._decode_each(events)
        template = self._template
        if template is not None and self._started and len(events) > 1:
            texts = template.texts(events)
            if texts is not None:
                self._lessons = LESSONS
                self.assembler.first_text += texts
                self.had_content = True
                build: Any = template.chunks if self._native else template.pieces
                return build(texts, events)
        is_last = bool(events) and events[-1] == DONE
        if is_last:
            events = events[:-1]
        decode, native, started = self._decode, self._native, self._started
        append_text = self.assembler.first_text.append
        chunks: list[Any] = []
        append = chunks.append
        had_content = False
        common: bytes | None = None  # the latest event with text and nothing else
        event: Any
        for position, event in enumerate(events):
            try:
                chunk = decode(event)
            except (*_UNDECODABLE, TypeError, AttributeError):  # a named event, a malformed one
                chunk = None
            if chunk is not None and len(choices := chunk.choices) == 1 and chunk.usage is None and chunk._error is UNSET:
                choice = choices[0]
                delta = choice.delta
                if (
                    choice.index == 0
                    and choice.logprobs is None
                    and delta.tool_calls is None
                    and delta._reasoning is UNSET
                    and delta._slot_reasoning_content is None
                    and delta.function_call is None
                    and delta.refusal is None
                    and delta.audio is None
                    and delta.images is None
                    and delta.annotations is None
                    and delta.thinking_blocks is None
                    and delta._slot_provider_specific_fields is None
                    and choice._slot_provider_specific_fields is None
                    and chunk._slot_provider_specific_fields is None
                ):
                    chunk._origin = delta._origin = event
                    text = delta.content
                    if text:
                        had_content = True
                    if text and choice.finish_reason is None and started:
                        append_text(text)
                        common = event
                        append(chunk if native else flat_piece(chunk.id, chunk.model, text, event))
                    else:
                        self.assembler.add_plain(chunk)
                        self._started = started = self.assembler.is_open
                        if native:
                            append(chunk)
                        else:
                            chunks += self._convert(chunk)
                    continue
            chunks += self._rest(events[position : position + 1], had_content)
            had_content, started = self.had_content, self._started
            if self.error is not None or self.done:
                break
        self.had_content = had_content
        self.done = self.done or (is_last and self.error is None)
        if common is not None and len(events) > ENOUGH:
            self._template = template_of(common) if self._lessons > 0 else None
            self._lessons -= 1
        return chunks

    def _rest(self, events: list[bytes | Event], had_content: bool) -> list[Chunk]:
        chunks = self._decode_each(events)
        self.had_content = self.had_content or had_content
        return chunks

    def _decode_each(self, events: list[bytes | Event]) -> list[Chunk]:
        """`decode` the long way round: looks at everything an event can be."""
        self.had_content = False
        chunks: list[Chunk] = []
        for event in events:
            chunk = self._decode_one(event)
            if chunk is not None:
                self.assembler.add(chunk)
                self.had_content = self.had_content or has_content(chunk)
                self._started = self.assembler.is_open
                chunks += self._convert(chunk)
            if self.done or self.error is not None:
                break
        return chunks

    def _decode_one(self, event: bytes | Event) -> Chunk | None:
        """The event's chunk; None for what is no chunk: `[DONE]`, null, a ping, an error (left in `error`)."""
        data, name = (event, "message") if isinstance(event, bytes) else (event.data, event.event)
        stripped = data.strip()
        if stripped == DONE:
            self.done = True
            return None
        if not stripped or stripped == b"null" or name == "ping":
            return None
        try:
            if name == "error":
                self.error = self._server_error(_decode_error(data), data)
                return None
            chunk: Any = self._decode(data)
        except _UNDECODABLE as error:
            return self._not_a_chunk(data, error)
        if chunk._error is not UNSET and chunk._error is not None:
            self.error = self._server_error(chunk._error, data)
            return None
        attach_origin(chunk, data)
        if not chunk.choices and chunk.usage is None and not self._is_empty_chunk(chunk, data):
            return None
        return chunk

    def _is_empty_chunk(self, chunk: Any, data: bytes) -> bool:
        """Whether an event without choices still is a completion's chunk (Azure's first one is), not a ping or an error."""
        fields = _decode_or_text(data)
        if not isinstance(fields, dict):  # what no struct names is bad as well
            self.error = self._malformed(data, "it can't be decoded")
            return False
        if "choices" in fields or "id" in fields:
            return True
        if fields.get("type") != "ping" and ("message" in fields or "detail" in fields):
            self.error = self._server_error(fields, data)
        elif fields and fields.get("type") != "ping":
            self.error = self._malformed(data, "it has no choices")
        return False

    def _not_a_chunk(self, data: bytes, error: Exception) -> Chunk | None:
        """Look again at what did not decode: some servers write `"choices": null` beside the usage, or a bare error."""
        try:
            fields = _decode_any(data)
        except _UNDECODABLE:
            self.error = self._malformed(data, str(error))
            return None
        if isinstance(fields, dict) and fields.get("error") is not None:
            self.error = self._server_error(fields["error"], data)
        elif isinstance(fields, dict) and fields.get("choices", 0) is None:
            fields["choices"] = []
            chunk = self._decode_one(msgspec.json.encode(fields))
            if chunk is not None:
                attach_origin(chunk, data)  # what the server sent
            return chunk
        else:
            self.error = self._malformed(data, str(error))
        return None

    def _server_error(self, error: Any, data: bytes) -> APIError:
        return error_from_object(error, provider=self._provider, model=self._model, body=_decode_or_text(data))

    def _malformed(self, data: bytes, why: str) -> APIError:
        return malformed("an event of the stream", data, why, provider=self._provider, model=self._model)


def has_content(chunk: Any) -> bool:
    """Whether a chunk brings what a reader waits for: text, reasoning, a tool call, audio, an image. A role is none."""
    if isinstance(chunk, GenericStreamingChunk):
        return bool(chunk.text or chunk.reasoning_content or chunk.tool_use is not None)
    if isinstance(chunk, TextCompletionResponse):
        return any(choice.text for choice in chunk.choices)
    return any(
        delta.content or delta.tool_calls or delta.reasoning_content or delta.function_call or delta.refusal
        or delta.audio or delta.images
        for choice in chunk.choices
        for delta in (choice.delta,)
    )  # fmt: skip


def malformed(what: str, data: bytes, why: str, *, provider: str, model: str, **details: Any) -> APIResponseValidationError:
    """The error for `what` ("the body", ...) that is not what the protocol says; it keeps the first bytes as `body`."""
    shown = data[:SHOWN_BYTES].decode("utf-8", "backslashreplace")
    return APIResponseValidationError(
        f"{what} is not what was expected: {why}: {shown!r}",
        llm_provider=provider,
        model=model,
        body=data[:SHOWN_BYTES],
        **details,
    )


def with_head(error: APIError, headers: Mapping[str, str]) -> APIError:
    """The error with what the response's head says of it, for errors met behind a good head. Names in lower case."""
    error.headers = error.headers or dict(headers)
    error.request_id = error.request_id or next((headers[name] for name in _REQUEST_ID_HEADERS if headers.get(name)), None)
    if error.retry_after is None:
        error.retry_after = parse_retry_after(headers)
    return error


def decode_body(data: bytes, cls: type[R], *, provider: str, model: str, **details: Any) -> R:
    """The body of an answer that is not streamed, as a `cls` that keeps the bytes.

    Raises:
        APIError: the body is an error object in spite of its status.
        APIResponseValidationError: it is not JSON, or not the JSON of a `cls`.
    """
    data = data.removeprefix(BOM)
    decoder = _decoders.get(cls)
    if decoder is None:
        decoder = _decoders[cls] = msgspec.json.Decoder(cls)
    try:
        record: Any = decoder.decode(data)
    except _UNDECODABLE as error:
        fields = _decode_or_text(data)
        if isinstance(fields, dict) and fields.get("error") is not None:
            raise error_from_object(fields["error"], provider=provider, model=model, body=fields, **details) from None
        raise malformed("the body", data, str(error), provider=provider, model=model, **details) from None
    if record._error is not UNSET and record._error is not None:
        raise error_from_object(record._error, provider=provider, model=model, body=_decode_or_text(data), **details)
    content = "choices" if hasattr(record, "choices") else "data"
    if not record[content] and not _has_field(data, content):
        raise malformed("the body", data, f"it has no {content}", provider=provider, model=model, **details)
    attach_origin(record, data)
    return record


def chunks_of_body(data: bytes, decoder: ChunkDecoder, *, wire_text: bool, **details: Any) -> list[Chunk]:
    """The chunks of a whole completion that a server sent where a stream was asked for."""
    response: Any = decode_body(data, TextCompletionResponse if wire_text else ModelResponse, **details)
    parts: list[Chunk] = [response] if wire_text else [*response_chunks(response)]  # a text completion is its own chunk
    chunks: list[Chunk] = []
    for chunk in parts:
        decoder.assembler.add(chunk)
        chunks += decoder._convert(chunk)
    decoder.done = True
    return chunks


def _decode_error(data: bytes) -> Any:
    value = _decode_or_text(data)
    return value.get("error", value) if isinstance(value, dict) else value


def _has_field(data: bytes, name: str) -> bool:
    fields = _decode_or_text(data)
    return isinstance(fields, dict) and name in fields


def _decode_or_text(data: bytes) -> Any:
    try:
        return _decode_any(data)
    except _UNDECODABLE:
        return data[:SHOWN_BYTES].decode("utf-8", "replace")
