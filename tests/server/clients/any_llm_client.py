"""any-llm as a client, in three dialects. Arguments: the server's base URL."""

import json
import sys

from any_llm import completion, messages, responses

OPTIONS = {"api_base": sys.argv[1], "api_key": "sk-key"}
HI = [{"role": "user", "content": "Hi"}]

whole = completion(model="words", provider="openai", messages=HI, **OPTIONS)
print("whole:", whole.choices[0].message.content, whole.usage.total_tokens)
chunks = completion(model="words", provider="openai", messages=HI, stream=True, **OPTIONS)
print("streamed:", "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices))
response = responses(model="words", provider="openai", input_data="Hi", **OPTIONS)
print("responses:", response.output[0].content[0].text, response.status)
anthropics = {**OPTIONS, "api_base": sys.argv[1].removesuffix("/v1")}
message = completion(model="words", provider="anthropic", messages=HI, max_tokens=9, **anthropics)
print("by messages:", message.choices[0].message.content, message.choices[0].finish_reason)
whole = messages(model="words", provider="anthropic", messages=HI, max_tokens=9, **anthropics)
print("messages:", whole.content[0].text)

PARAMETERS = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}}
ADD = {"type": "function", "function": {"name": "add", "description": "The sum.", "parameters": PARAMETERS}}
for provider, options in (("openai", OPTIONS), ("anthropic", anthropics)):
    ask = {"model": "adder", "provider": provider, "tools": [ADD], "max_tokens": 9, **options}
    whole = completion(messages=HI, **ask)
    (call,) = whole.choices[0].message.tool_calls
    history = [*HI, whole.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "3"}]
    answer = completion(messages=history, **ask)
    print(f"tool, {provider}:", call.function.name, json.loads(call.function.arguments), "|", answer.choices[0].message.content)
    chunks = completion(messages=HI, stream=True, **ask)
    pieces = [piece for chunk in chunks if chunk.choices for piece in chunk.choices[0].delta.tool_calls or ()]
    said = "".join(piece.function.arguments or "" for piece in pieces)
    print(f"tool, {provider}, streamed:", pieces[0].function.name, json.loads(said))
