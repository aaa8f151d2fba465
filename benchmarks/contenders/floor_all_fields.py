"""The floor with structs that have all fields of OpenAI's chunks, whatever kind comes: what knowing them all costs."""

from typing import Any

import msgspec

from ..kinds import KINDS
from . import floor
from .floor import close as close, connect as connect
from .floor_chunks import Function, TokenLogprob, ToolCall, Usage


class TokensDetails(msgspec.Struct, gc=False):
    accepted_prediction_tokens: int | None = None
    audio_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    rejected_prediction_tokens: int | None = None


class DetailedUsage(Usage, gc=False):
    completion_tokens_details: TokensDetails | None = None
    prompt_tokens_details: TokensDetails | None = None


class Logprobs(msgspec.Struct, gc=False):
    content: list[TokenLogprob] | None = None
    refusal: list[TokenLogprob] | None = None


class Delta(msgspec.Struct, gc=False):
    content: str | None = None
    function_call: Function | None = None
    refusal: str | None = None
    role: str | None = None
    tool_calls: list[ToolCall] | None = None
    reasoning_content: str | None = None  # not OpenAI's, and everybody else's


class Choice(msgspec.Struct, gc=False):
    delta: Delta
    finish_reason: str | None = None
    index: int = 0
    logprobs: Logprobs | None = None


class Chunk(msgspec.Struct, gc=False):
    id: str
    choices: list[Choice]
    created: int
    model: str
    object: str
    service_tier: str | None = None
    system_fingerprint: str | None = None
    usage: DetailedUsage | None = None
    obfuscation: str | None = None


DECODERS: dict[str, Any] = dict.fromkeys(KINDS, msgspec.json.Decoder(Chunk).decode)


async def read_kind(client: floor.Client, model: str, kind: str) -> int:
    return await floor.read_kind(client, model, kind, DECODERS)
