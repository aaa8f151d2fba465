"""Anthropic's own package as a client. Arguments: the server's base URL."""

import asyncio
import sys

import anthropic

ROOT = sys.argv[1].removesuffix("/v1")
OPTIONS = {"base_url": ROOT, "api_key": "sk-key", "max_retries": 0}
HI = [{"role": "user", "content": "Hi"}]
ADD = {"name": "add", "input_schema": {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}}}

client = anthropic.Anthropic(**OPTIONS)


def said(message: anthropic.types.Message) -> str:
    parts = (block.text if block.type == "text" else f"{block.name} {block.input}" for block in message.content)
    return f"{' '.join(parts)} {message.stop_reason} {message.usage.input_tokens}+{message.usage.output_tokens}"


async def streamed() -> str:
    async with anthropic.AsyncAnthropic(**OPTIONS) as own:
        async with own.messages.stream(model="words", max_tokens=9, messages=HI) as stream:
            return "".join([text async for text in stream.text_stream])


print("whole:", said(client.messages.create(model="words", max_tokens=9, messages=HI)))
with client.messages.stream(model="words", max_tokens=9, messages=HI) as stream:
    print("streamed:", said(stream.get_final_message()))
print("async:", asyncio.run(streamed()))
called = client.messages.create(model="tools", max_tokens=9, messages=HI, tools=[ADD])
print("tools:", said(called))
with client.messages.stream(model="tools", max_tokens=9, messages=HI, tools=[ADD]) as stream:
    print("tools streamed:", said(stream.get_final_message()))
result = {"type": "tool_result", "tool_use_id": called.content[0].id, "content": "3"}
history = [*HI, {"role": "assistant", "content": called.content}, {"role": "user", "content": [result]}]
print("result:", said(client.messages.create(model="words", max_tokens=9, messages=history, tools=[ADD])))
ask = {"model": "adder", "max_tokens": 9, "tools": [ADD]}
with client.messages.stream(messages=HI, **ask) as stream:
    called = stream.get_final_message()
result = {"type": "tool_result", "tool_use_id": called.content[0].id, "content": "3"}
history = [*HI, {"role": "assistant", "content": called.content}, {"role": "user", "content": [result]}]
with client.messages.stream(messages=history, **ask) as stream:
    print("a turn:", said(called), "|", said(stream.get_final_message()))
print("tokens:", client.messages.count_tokens(model="counts", messages=HI).input_tokens)
print("models:", *(model.id for model in client.models.list(limit=1000)))
try:
    client.messages.count_tokens(model="words", messages=HI)
except anthropic.APIStatusError as error:
    print("error: tokens", type(error).__name__, error.status_code)
for model in ("busy", "nobody"):
    try:
        client.messages.create(model=model, max_tokens=9, messages=HI)
    except anthropic.APIStatusError as error:
        has_id = error.request_id == error.body["request_id"]
        print("error:", model, type(error).__name__, error.status_code, error.body["error"]["type"], has_id)
try:
    with client.messages.stream(model="broken", max_tokens=9, messages=HI) as stream:
        for _ in stream:
            pass
except anthropic.APIStatusError as error:
    print("broken:", stream.current_message_snapshot.content[0].text, error.body["type"])
