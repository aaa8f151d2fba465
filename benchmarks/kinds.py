"""The kinds of chunks that servers stream: the events of each, as written by the server, and where a reader finds its content.

Only the standard library, as the canned server and every contender import this. The fields, their order and their nulls are
those of the named servers; all values depend only on the event's position in its stream, so that every run has the same
bytes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

WORDS = (
    " the| and| of| stream| token| a| quick|er|,| it| is|.|\n\n| \u201cyes\u201d| na\u00efve| because| 3|.14| \\| \"so\"| however|ing|s| "
    "wire| language| model| answers| with| words| that| arrive| one| by"
).split("|")  # fmt: skip
GOLDEN = 0.6180339887  # its multiples modulo 1 are spread evenly, and none repeats
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
OBFUSCATED_LENGTH = 16  # characters of text and padding together
PROMPT_TOKENS = 31
LAST_PLACE = 99_999  # of the usage at an end: no stream here is longer
CHUNK = "chat.completion.chunk"
OPENAI = {
    "id": "chatcmpl-C7k2mQxV9uWbYt3Jr5sZpLh8AaDfE",
    "created": 1790000000,
    "model": "gpt-4o-mini-2024-07-18",
    "service_tier": "default",
    "system_fingerprint": "fp_560af6e559",
}
DEEPSEEK = {
    "id": "5a1c6a0e-93f3-4d0b-8a65-1f6b7d9f0c21",
    "object": CHUNK,
    "created": 1790000000,
    "model": "deepseek-reasoner",
    "system_fingerprint": "fp_eaab8d114b_prod0820_fp8_kvcache",
}
VLLM = {
    "id": "chatcmpl-8f4e2a9c0d5b4c7e9a61b3f20d7e5c48",
    "object": CHUNK,
    "created": 1790000000,
    "model": "Qwen/Qwen3-32B",
}

Fields = dict[str, Any]


def _openai(delta: Fields, *, index: int = 0, logprobs: Any = None, finish_reason: str | None = None, **more: Any) -> Fields:
    choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}
    return {"object": CHUNK, **OPENAI, "choices": [choice], "usage": None, **more}


def _deepseek(delta: Fields, *, finish_reason: str | None = None) -> Fields:
    return {**DEEPSEEK, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}]}


def _vllm(delta: Fields, place: int, *, logprobs: Any = None, finish_reason: str | None = None) -> Fields:
    choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason, "token_ids": None}
    return {**VLLM, "choices": [choice], "usage": running_usage(place)}


def word(place: int) -> str:
    """The text of the event at a place."""
    return WORDS[place % len(WORDS)]


def _padding(place: int) -> str:
    """OpenAI's `obfuscation`, which hides how long the text beside it is."""
    length = OBFUSCATED_LENGTH - len(word(place)) % OBFUSCATED_LENGTH
    return "".join(LETTERS[(place * 7919 + at * 104729 + place * at) % len(LETTERS)] for at in range(length))


def _logprobs(place: int, digits: int) -> list[Fields]:
    text = word(place)
    logprob = round(-3.0 * (place * GOLDEN % 1.0) ** 4, digits)  # most tokens are nearly certain
    return [{"token": text, "logprob": logprob, "bytes": list(text.encode()), "top_logprobs": []}]


def _openai_logprobs(place: int) -> Fields:
    return {"content": _logprobs(place, digits=8), "refusal": None}


def _vllm_logprobs(place: int) -> Fields:
    return {"content": _logprobs(place, digits=19)}


def running_usage(place: int) -> dict[str, int]:
    """vLLM's `continuous_usage_stats`, in its order of fields."""
    return {"prompt_tokens": PROMPT_TOKENS, "total_tokens": PROMPT_TOKENS + place + 1, "completion_tokens": place + 1}


def _call(arguments: str, **named: Any) -> Fields:
    return {"index": 0, **named, "function": {**({"name": "write_file"} if named else {}), "arguments": arguments}}


@dataclass(frozen=True)
class Kind:
    """One kind of stream.

    Attributes:
        title: what the server streams, for a table.
        event: what the event at a place holds.
        opening: events in front of those, with the role.
        ending: events after them, with the finish reason.
        brings: what each event brings and a reader looks at: a key of `LOOKS`.
        flat: the same as a handler yields it, in LiteLLM's flat form; None for what handlers don't say.
    """

    title: str
    event: Callable[[int], Fields]
    opening: tuple[Fields, ...]
    ending: tuple[Fields, ...]
    brings: str = "text"
    flat: Callable[[int], Fields] | None = None


def _flat(place: int, text: str | None = None, index: int = 0, tool_use: Any = None, usage: Any = None, **more: Any) -> Fields:
    """LiteLLM's six keys, and more where a kind has more."""
    own: Fields = {"text": word(place) if text is None else text, "is_finished": False, "finish_reason": None}
    return {**own, "usage": usage, "index": index, "tool_use": tool_use, **more}


_OPENAI_OPENING = _openai({"role": "assistant", "content": "", "refusal": None})
_VLLM_OPENING = _vllm({"role": "assistant", "content": ""}, -1)
_VLLM_ENDING = _vllm({"content": ""}, LAST_PLACE, finish_reason="stop")
_VLLM_BOTH = Kind(
    "vLLM: logprobs and running usage",
    lambda place: _vllm({"content": word(place)}, place, logprobs=_vllm_logprobs(place)),
    (_VLLM_OPENING,),
    (_VLLM_ENDING,),
    flat=lambda place: _flat(place, usage=running_usage(place), logprobs=_vllm_logprobs(place)),
)

KINDS = {
    "text": Kind(
        "text",
        lambda place: _openai({"content": word(place)}),
        (_OPENAI_OPENING,),
        (_openai({}, finish_reason="stop"),),
        flat=_flat,
    ),
    "obfuscation": Kind(
        "text with OpenAI's `obfuscation`",
        lambda place: _openai({"content": word(place)}, obfuscation=_padding(place)),
        (_OPENAI_OPENING,),
        (_openai({}, finish_reason="stop", obfuscation=_padding(0)),),
    ),
    "reasoning": Kind(
        "`reasoning_content`",
        lambda place: _deepseek({"content": None, "reasoning_content": word(place)}),
        (_deepseek({"role": "assistant", "content": None, "reasoning_content": ""}),),
        (_deepseek({"content": "", "reasoning_content": None}, finish_reason="stop"),),
        brings="reasoning",
        flat=lambda place: _flat(place, text="", reasoning_content=word(place)),
    ),
    "tools": Kind(
        "tool call arguments",
        lambda place: _openai({"tool_calls": [_call(word(place))]}),
        (
            _openai(
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [_call("", id="call_Zc8mVqT0aYx5sKJ4nB7uRwPd", type="function")],
                    "refusal": None,
                }
            ),
        ),
        (_openai({}, finish_reason="tool_calls"),),
        brings="arguments",
        flat=lambda place: _flat(place, text="", tool_use=_call(word(place))),
    ),
    "logprobs": Kind(
        "text with logprobs",
        lambda place: _openai({"content": word(place)}, logprobs=_openai_logprobs(place)),
        (_OPENAI_OPENING,),
        (_openai({}, finish_reason="stop"),),
        flat=lambda place: _flat(place, logprobs=_openai_logprobs(place)),
    ),
    "usage": Kind(
        "text with running usage (vLLM)",
        lambda place: _vllm({"content": word(place)}, place),
        (_VLLM_OPENING,),
        (_VLLM_ENDING,),
        flat=lambda place: _flat(place, usage=running_usage(place)),
    ),
    "vllm": _VLLM_BOTH,
    "vllm_read": Kind(
        f"{_VLLM_BOTH.title}, both looked at",
        _VLLM_BOTH.event,
        _VLLM_BOTH.opening,
        _VLLM_BOTH.ending,
        brings="all",
        flat=_VLLM_BOTH.flat,
    ),
    "choices": Kind(
        "two choices in turn",
        lambda place: _openai({"content": word(place // 2)}, index=place % 2),
        tuple(_openai({"role": "assistant", "content": "", "refusal": None}, index=index) for index in range(2)),
        tuple(_openai({}, index=index, finish_reason="stop") for index in range(2)),
        flat=lambda place: _flat(place, text=word(place // 2), index=place % 2),
    ),
}
FLAT_KINDS = {name: kind.flat for name, kind in KINDS.items() if kind.flat is not None}
CYCLE = len(WORDS) * 2


def flat_chunks(name: str) -> list[Fields]:
    """A round of a handler's chunks, made before the measurement."""
    return [FLAT_KINDS[name](place) for place in range(CYCLE)]


def flat_endings(name: str) -> list[Fields]:
    """A handler's last chunks: a finish reason for each choice."""
    choices = [event["choices"][0] for event in KINDS[name].ending]
    own = {"text": "", "is_finished": True, "usage": None, "tool_use": None}
    return [{**own, "finish_reason": choice["finish_reason"], "index": choice["index"]} for choice in choices]


def _arguments(chunk: Any) -> object:
    calls = chunk.choices[0].delta.tool_calls
    return calls and calls[0].function.arguments


def _all(chunk: Any) -> object:
    choice = chunk.choices[0]
    logprobs = choice.logprobs
    return logprobs and logprobs.content[0].logprob <= 0 and chunk.usage.completion_tokens and choice.delta.content


# What a chunk brings, where it is an object with OpenAI's names: falsy for the events around the stream's own.
LOOKS: dict[str, Callable[[Any], object]] = {
    "text": lambda chunk: chunk.choices[0].delta.content,
    "reasoning": lambda chunk: chunk.choices[0].delta.reasoning_content,
    "arguments": _arguments,
    "all": _all,
}
