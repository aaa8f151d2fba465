"""Good answers as real servers send them, and what they are when one value beside the text is another one."""

import copy
from collections.abc import Iterator
from typing import Any

Step = str | int
Path = tuple[Step, ...]

TEXT = "Hello, world."
THOUGHT = "Let me see."
ARGUMENTS = '{"city": "Oslo"}'

HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1764547200, "model": "m-1"}
USAGE = {
    "prompt_tokens": 9,
    "completion_tokens": 4,
    "total_tokens": 13,
    "cost": 0.25,
    "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 2, "accepted_prediction_tokens": 0},
}
LOGPROBS = {"content": [{"token": "Hello", "logprob": -0.5, "bytes": [72], "top_logprobs": [{"token": "Hi", "logprob": -2.5}]}]}


def piece(delta: dict[str, Any], finish_reason: str | None = None, **fields: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason, **fields}
    return {**HEAD, "choices": [choice]}


def call(**fields: Any) -> dict[str, Any]:
    return {"tool_calls": [{"index": 0, **fields}]}


NOTHING = dict.fromkeys(("function_call", "tool_calls", "audio", "images", "thinking_blocks", "reasoning_items", "refusal"))

STREAMS: dict[str, list[dict[str, Any]]] = {
    "openai": [
        piece({"role": "assistant", "content": "", "refusal": None}) | {"service_tier": "default", "system_fingerprint": "fp"},
        piece({"content": "Hello"}, logprobs=LOGPROBS) | {"usage": None, "obfuscation": "Zm9v"},
        piece({"content": ", world."}) | {"usage": None},
        piece({}, "stop") | {"usage": None},
        {**HEAD, "choices": [], "usage": USAGE},
    ],
    "azure": [
        {"id": "", "object": "", "created": 0, "model": "", "choices": [], "prompt_filter_results": [{"prompt_index": 0}]},
        piece({"content": "Hello", "role": "assistant"}, content_filter_results={"hate": {"filtered": False}}),
        piece({"content": ", world."}),
        piece({}, "stop"),
    ],
    "vllm": [
        piece({"role": "assistant", "content": "", "reasoning_content": None}, stop_reason=None) | {"prompt_token_ids": None},
        piece({"reasoning_content": THOUGHT}) | {"usage": {"prompt_tokens": 9, "total_tokens": 10, "completion_tokens": 1}},
        piece({"content": "Hello"}, token_ids=[1, 2]),
        piece({"content": ", world."}, "stop", stop_reason=None),
        {**HEAD, "choices": [], "usage": USAGE},
    ],
    "groq": [
        piece({"role": "assistant", "content": ""}) | {"x_groq": {"id": "req_1"}},
        piece({"reasoning": THOUGHT, "channel": "analysis"}),
        piece({"content": TEXT}),
        piece({}, "stop") | {"x_groq": {"id": "req_1", "usage": USAGE}},
    ],
    "llama.cpp": [
        piece({"role": "assistant", "content": None}),
        piece({"content": TEXT}),
        piece({}, "stop"),
        {**HEAD, "choices": [], "usage": USAGE, "timings": {"prompt_n": 9, "predicted_n": 4}},
    ],
    "moonshot": [
        piece({"role": "assistant", "content": ""}),
        piece({"content": TEXT}),
        piece({}, "stop", usage=USAGE),
    ],
    "openrouter": [
        piece({"role": "assistant", "content": "", "reasoning": THOUGHT, "reasoning_details": [{"index": 0, "text": THOUGHT}]})
        | {"provider": "x"},
        piece({"role": "assistant", "content": TEXT, "annotations": [{"type": "url_citation"}]}, native_finish_reason=None),
        piece({"role": "assistant", "content": ""}, "stop", native_finish_reason="STOP") | {"usage": USAGE},
    ],
    "litellm": [
        piece({"role": "assistant", "content": "Hello", **NOTHING}) | {"provider_specific_fields": None, "citations": None},
        piece({"role": None, "content": ", world.", **NOTHING}, "stop"),
    ],
    "tools": [
        piece({"role": "assistant", "content": None}),
        piece({"content": TEXT}),
        piece(call(id="call_1", type="function", function={"name": "weather", "arguments": ""})),
        piece(call(function={"arguments": ARGUMENTS})),
        piece({}, "tool_calls"),
    ],
}

MESSAGE: dict[str, Any] = {"role": "assistant", "content": TEXT, "refusal": None, "annotations": []}


def whole(message: dict[str, Any], finish_reason: str = "stop", **fields: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason}
    return {**HEAD, "object": "chat.completion", "choices": [choice], "usage": USAGE, **fields}


WHOLES: dict[str, dict[str, Any]] = {
    "openai": whole(MESSAGE, service_tier="default", system_fingerprint="fp"),
    "reasoning": whole({**MESSAGE, "reasoning_content": THOUGHT, "reasoning_details": [{"type": "x", "text": THOUGHT}]}),
    "tools": whole(
        {**MESSAGE, "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": ARGUMENTS}}]},
        "tool_calls",
    ),
    "audio": whole({**MESSAGE, "audio": {"id": "a", "data": "AA=="}, "images": [{"image_url": {"url": "data:,"}}]}),
    "litellm": whole({**NOTHING, **MESSAGE, "provider_specific_fields": {"x": 1}, "thinking_blocks": [{"thinking": THOUGHT}]}),
}

OTHERS: tuple[Any, ...] = (
    *(None, True, False, 0, 7, -1, 2.5, 1e30, "", "x", "2025-12-01T00:00:00Z", [], [None], ["x"], [[]]),
    *([{}], [{"x": 1}], {}, {"x": 1}, {"x": {"y": [None]}}, {"type": "text"}),
)


def paths_in(value: object, path: Path = ()) -> Iterator[Path]:
    """Every place in a document but the document itself."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, item in items:
        yield (*path, step)
        yield from paths_in(item, (*path, step))


def at(document: Any, path: Path) -> Any:
    for step in path:
        document = document[step]
    return document


def is_peripheral(document: Any, path: Path) -> bool:
    """Whether the value there, of a chunk or an answer, neither is nor holds the text or a tool call's arguments."""
    if path == ("choices",) or path[:-1] == ("choices",):
        return False
    below = [path, *(path + rest for rest in paths_in(at(document, path)))]
    return not any(is_text(at(document, place)) for place in below if place[-1] in ("content", "arguments"))


def is_text(value: object) -> bool:
    return isinstance(value, str) and value != "" and value in f"{TEXT} {ARGUMENTS}"


def is_number_of_its_own(path: Path, other: object) -> bool:
    """Whether the other value makes the piece one of another choice or call, which is not odd."""
    return path[-1] == "index" and isinstance(other, int | float) and not isinstance(other, bool)


def replaced(document: Any, path: Path, other: object) -> Any:
    """The document with another value there."""
    changed = copy.deepcopy(document)
    at(changed, path[:-1])[path[-1]] = other
    return changed


def odd_answers(document: Any, *, root: Path = ()) -> Iterator[tuple[Path, object]]:
    """Each peripheral place of a chunk or an answer below `root`, with each other value."""
    for path in paths_in(at(document, root)):
        if is_peripheral(at(document, root), path):
            for other in OTHERS:
                if not is_number_of_its_own(path, other):
                    yield (*root, *path), other


def odd_streams() -> Iterator[tuple[str, Path, object]]:
    for name, stream in STREAMS.items():
        for number in range(len(stream)):
            for path, other in odd_answers(stream, root=(number,)):
                yield name, path, other


def odd_wholes() -> Iterator[tuple[str, Path, object]]:
    for name, document in WHOLES.items():
        for path, other in odd_answers(document):
            yield name, path, other
