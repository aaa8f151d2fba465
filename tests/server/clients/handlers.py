"""What the clients talk to."""

from typing import Any

from tokenwire import (
    CustomLLM,
    Embedding,
    EmbeddingResponse,
    GenericStreamingChunk,
    RateLimitError,
    ServiceUnavailableError,
    TextChoices,
    TextCompletionResponse,
    Usage,
)

# What Claude Code and Codex call the tool that runs a command, and its arguments.
SHELLS = {
    "Bash": '{"command": "echo is $((6 * 7))", "description": "Reckon."}',
    "exec_command": '{"cmd": "echo is $((6 * 7))"}',
}
USAGE = Usage(prompt_tokens=2, completion_tokens=3, total_tokens=5)


async def words(**_: Any) -> Any:
    for word in ("Once", " upon"):
        yield GenericStreamingChunk(text=word)
    yield GenericStreamingChunk(text=" a time", is_finished=True, finish_reason="stop", usage=USAGE)


async def tools(**_: Any) -> Any:
    call: Any = {"id": "call_1", "type": "function", "index": 0, "function": {"name": "add", "arguments": '{"a": 1,'}}
    yield GenericStreamingChunk(tool_use=call)
    rest: Any = {"id": None, "type": "function", "index": 0, "function": {"name": None, "arguments": ' "b": 2}'}}
    yield GenericStreamingChunk(tool_use=rest)
    yield GenericStreamingChunk(is_finished=True, finish_reason="tool_calls", usage=USAGE)


async def adder(messages: Any, **_: Any) -> Any:
    """Asks for a sum, and says what it is told."""
    if messages[-1]["role"] == "tool":
        yield f"It is {messages[-1]['content']}."
        yield GenericStreamingChunk(is_finished=True, finish_reason="stop", usage=USAGE)
        return
    asking: Any = tools
    async for piece in asking():
        yield piece


async def agent(messages: Any, optional_params: Any, **_: Any) -> Any:
    """Runs a command by whichever tool there is for that, and tells what came of it."""
    results = [message["content"] for message in messages if message["role"] == "tool"]
    if results:
        yield f"It is {'42' if 'is 42' in str(results) else results}."
        yield GenericStreamingChunk(is_finished=True, finish_reason="stop", usage=USAGE)
        return
    yield "Let me see."
    (name,) = SHELLS.keys() & {tool["function"]["name"] for tool in optional_params["tools"] if "function" in tool}
    call: Any = {"id": "call_1", "type": "function", "index": 0, "function": {"name": name, "arguments": SHELLS[name]}}
    yield GenericStreamingChunk(tool_use=call, is_finished=True, finish_reason="tool_calls", usage=USAGE)


async def busy(**_: Any) -> Any:
    raise RateLimitError("slower, please", retry_after=7)
    yield


async def broken(**_: Any) -> Any:
    yield "Once"
    raise ServiceUnavailableError("the model is gone")


class Vectors(CustomLLM):
    async def aembedding(self, *args: Any, **kwargs: Any) -> EmbeddingResponse:
        data = [Embedding(index=index, embedding=[index, 0.5]) for index, _ in enumerate(kwargs["input"])]
        return EmbeddingResponse(data=data, usage=USAGE)


class Pictures(CustomLLM):
    async def aimage_edit(self, *args: Any, image: Any, prompt: str, optional_params: Any, **kwargs: Any) -> Any:
        assert [file.read() for file in (*image, optional_params["mask"])] == [b"one", b"two", b"m"]
        return {"data": [{"url": f"{prompt} {optional_params['n']}"}]}


class Counts(CustomLLM):
    async def acount_tokens(self, *args: Any, messages: Any, **kwargs: Any) -> int:
        return len(messages)


async def invoice(**_: Any) -> Any:
    yield '{"number": 7, "text": "tea"}'


async def scores(prompt: Any, echo: Any = None, logprobs: Any = None, **_: Any) -> TextCompletionResponse:
    """Knows how likely each token of a prompt is: the less so, the later it stands."""
    tokens = [f"<{token}>" for token in prompt] if isinstance(prompt, list) else list(prompt)
    said = [*tokens, "!"] if echo else ["!"]
    likely: Any = [None, *(-float(place) for place in range(1, len(said)))] if echo else [-1.0]
    found: Any = {
        "tokens": said,
        "token_logprobs": likely,
        "top_logprobs": [None if value is None else {token: value} for token, value in zip(said, likely, strict=True)],
        "text_offset": [0] * len(said),
    }
    choice = TextChoices(text="".join(said), finish_reason="length", logprobs=found if logprobs is not None else None)
    return TextCompletionResponse(choices=[choice])


TALKING: dict[str, Any] = {
    "words": words,
    "tools": tools,
    "adder": adder,
    "agent": agent,
    "busy": busy,
    "broken": broken,
}
OTHERS: dict[str, Any] = {
    "vectors": Vectors(),
    "invoice": invoice,
    "scores": scores,
    "pictures": Pictures(),
    "counts": Counts(),
}


def served(prefix: str = "", base: str = "") -> dict[str, Any]:
    """The models: the handlers themselves, or those of an endpoint at `base`, asked in the dialect that a prefix means.

    What only OpenAI's API has is asked in its words, and the number of tokens by an API that counts.
    """
    if not prefix:
        return {**TALKING, **OTHERS}
    prefixes = dict.fromkeys(OTHERS, "openai/") | dict.fromkeys((*TALKING, "invoice"), prefix)
    prefixes["counts"] = prefix if prefix != "openai/" else "openai/responses/"
    return {name: {"model": f"{prefixes[name]}{name}", "api_base": base, "api_key": "sk-key"} for name in (*TALKING, *OTHERS)}
