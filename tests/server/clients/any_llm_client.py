"""any-llm as a client, in three dialects. Arguments: the server's base URL."""

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
