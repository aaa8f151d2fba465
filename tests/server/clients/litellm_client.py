"""LiteLLM's SDK as a client. Arguments: the server's base URL."""

import asyncio
import sys

import litellm

litellm.suppress_debug_info = True
BASE = {"api_base": sys.argv[1], "api_key": "sk-key", "num_retries": 0}
MESSAGES = [{"role": "user", "content": "Hi"}]


def call(model: str, **options):
    return litellm.completion(f"openai/{model}", MESSAGES, **BASE, **options)


def text(chunks) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


async def streamed() -> str:
    stream = await litellm.acompletion("openai/words", MESSAGES, stream=True, **BASE)
    return text([chunk async for chunk in stream])


whole = call("words")
print("whole:", whole.choices[0].message.content, whole.choices[0].finish_reason, whole.usage.total_tokens)
chunks = list(call("words", stream=True, stream_options={"include_usage": True}))
usage = [chunk.usage.total_tokens for chunk in chunks if getattr(chunk, "usage", None)]
print("streamed:", text(chunks), chunks[0].choices[0].delta.role, usage)
print("async:", asyncio.run(streamed()))
calls = call("tools", tools=[{"type": "function", "function": {"name": "add", "parameters": {}}}]).choices[0]
print("tools:", calls.finish_reason, calls.message.tool_calls[0].function.name, calls.message.tool_calls[0].function.arguments)
print("embedding:", litellm.embedding("openai/vectors", ["a", "b"], **BASE).data[1]["embedding"])
for model in ("busy", "nobody"):
    try:
        call(model)
    except Exception as error:
        print("error:", model, type(error).__name__, error.status_code)
try:
    print("broken:", text(call("broken", stream=True)))
except Exception as error:
    print("broken:", type(error).__name__, error.status_code)
