"""JSON values of an OpenAI-compatible server, with the same ids and times in every run."""

from collections.abc import Mapping
from typing import Any

import msgspec

DEFAULT_USAGE: Mapping[str, int] = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}


def chunk(
    content: str | None = None,
    *,
    finish_reason: str | None = None,
    index: int = 0,
    id: str = "chatcmpl-test",
    model: str = "test-model",
    created: int = 1700000000,
    usage: Mapping[str, Any] | None = None,
    **delta_fields: object,
) -> dict[str, Any]:
    """One chunk of a streamed chat completion.

    Args:
        content: the text that the chunk adds; left out of the delta if None.
        finish_reason: why the choice ends with this chunk, None if it does not.
        index: which of the `n` choices the chunk belongs to.
        id: the completion's id, the same in all its chunks.
        model: the model's name, the same in all its chunks.
        created: seconds since 1970, the same in all its chunks.
        usage: tokens used; left out if None. OpenAI sends it without choices: `chunk(usage=...) | {"choices": []}`.
        delta_fields: other fields of the delta, such as `role` or `tool_calls`.
    """
    delta = delta_fields if content is None else {"content": content, **delta_fields}
    choice = {"index": index, "delta": delta, "finish_reason": finish_reason}
    built = {"id": id, "object": "chat.completion.chunk", "created": created, "model": model, "choices": [choice]}
    return built if usage is None else {**built, "usage": dict(usage)}


def chunks(text: str, *, size: int = 4, finish_reason: str | None = "stop") -> list[dict[str, Any]]:
    """The chunks of `text` as streamed by OpenAI: the role, the pieces, the end.

    Args:
        text: the whole completion.
        size: characters in each piece; the last may be shorter.
        finish_reason: the last chunk's.
    """
    pieces = [chunk(text[start : start + size]) for start in range(0, len(text), size)]
    return [chunk("", role="assistant"), *pieces, chunk(finish_reason=finish_reason)]


def completion(
    content: str | None = "Hello",
    *,
    finish_reason: str | None = "stop",
    id: str = "chatcmpl-test",
    model: str = "test-model",
    created: int = 1700000000,
    usage: Mapping[str, Any] | None = DEFAULT_USAGE,
    **message_fields: object,
) -> dict[str, Any]:
    """One whole chat completion.

    Args:
        content: the assistant's text; None is sent as null, as with tool calls.
        finish_reason: why the choice ended.
        id: the completion's.
        model: the model that answered.
        created: seconds since 1970.
        usage: tokens used; left out when None.
        message_fields: other fields of the message, such as `tool_calls`.
    """
    message = {"role": "assistant", "content": content, **message_fields}
    choice = {"index": 0, "message": message, "finish_reason": finish_reason}
    built = {"id": id, "object": "chat.completion", "created": created, "model": model, "choices": [choice]}
    return built if usage is None else {**built, "usage": dict(usage)}


def error(message: str, *, type: str | None = None, code: str | int | None = None, param: str | None = None) -> dict[str, Any]:
    """OpenAI's error object: `Reply(status=429, json=error("slow down"))`, or among `events`.

    Args:
        message: what went wrong.
        type: the kind of error; None is sent as null, also for the next two.
        code: the error's code.
        param: the parameter with the mistake.
    """
    return {"error": {"message": message, "type": type, "code": code, "param": param}}


def event(data: object, name: str | None = None) -> bytes:
    """One server-sent event as bytes: `event(error("overloaded"), "error")`, or `event("{broken")`.

    Args:
        data: bytes or a str, sent unchanged, with a `data:` line for each line; anything else is sent as JSON.
        name: the `event:` field; None for none.
    """
    encoded = data.encode() if isinstance(data, str) else data if isinstance(data, bytes) else msgspec.json.encode(data)
    lines = [] if name is None else [b"event: " + name.encode()]
    lines += [b"data: " + line for line in encoded.split(b"\n")]
    return b"\n".join([*lines, b"", b""])
