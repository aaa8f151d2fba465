"""OpenAI's own package as a client of Responses, of its helpers for streams, and of images. Arguments: the server's base URL."""

import sys

import openai
from openai import OpenAI

client = OpenAI(base_url=sys.argv[1], api_key="sk-key", max_retries=0)
HI = [{"role": "user", "content": "Hi"}]
PARAMETERS = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}}
ADD = {"type": "function", "name": "add", "parameters": PARAMETERS}

response = client.responses.create(model="words", input="Hi")
print("whole:", response.output_text, response.status, response.usage.total_tokens)
with client.responses.stream(model="words", input="Hi") as stream:
    text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
    print("streamed:", text, stream.get_final_response().status)
with client.responses.stream(model="tools", input="Hi", tools=[ADD]) as stream:
    for _ in stream:
        pass
    (call,) = stream.get_final_response().output
print("tools streamed:", call.name, call.arguments)
result = {"type": "function_call_output", "call_id": call.call_id, "output": "3"}
answer = client.responses.create(model="words", input=[*HI, call.to_dict(), result], tools=[ADD])
print("result:", answer.output_text)
with client.chat.completions.stream(model="words", messages=HI) as stream:
    for _ in stream:
        pass
    print("chat streamed:", stream.get_final_completion().choices[0].message.content)
print("tokens:", client.responses.input_tokens.count(model="counts", input="Hi").input_tokens)
images = client.images.edit(model="pictures", image=[("a.png", b"one"), ("b.png", b"two")], prompt="Both", mask=b"m", n=2)
print("images:", images.data[0].url)
for model in ("busy", "nobody"):
    try:
        client.responses.create(model=model, input="Hi")
    except openai.APIStatusError as error:
        print("error:", model, type(error).__name__, error.status_code)
try:
    client.responses.input_tokens.count(model="words", input="Hi")
except openai.APIStatusError as error:
    print("error: tokens", type(error).__name__, error.status_code)
with client.responses.stream(model="broken", input="Hi") as stream:
    print("broken:", *(event.type for event in stream if event.type in ("response.output_text.delta", "response.failed")))
