"""LangChain's ChatOpenAI as a client. Arguments: the server's base URL."""

import asyncio
import sys

import openai
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings


def chat(model: str) -> ChatOpenAI:
    return ChatOpenAI(model=model, base_url=sys.argv[1], api_key="sk-key", max_retries=0, stream_usage=True)


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def streamed() -> str:
    return "".join([chunk.text async for chunk in chat("words").astream("Hi")])


whole = chat("words").invoke("Hi")
print("whole:", whole.content, whole.response_metadata["finish_reason"], whole.usage_metadata["total_tokens"])
full = None
for chunk in chat("words").stream("Hi"):
    full = chunk if full is None else full + chunk
print("streamed:", full.content, full.response_metadata["finish_reason"], full.usage_metadata["total_tokens"])
print("async:", asyncio.run(streamed()))
print("tools:", *(f"{call['name']} {call['args']}" for call in chat("tools").bind_tools([add]).invoke("1 + 2").tool_calls))
full = None
for chunk in chat("tools").bind_tools([add]).stream("1 + 2"):
    full = chunk if full is None else full + chunk
print("tools streamed:", *(f"{call['name']} {call['args']}" for call in full.tool_calls))
vectors = OpenAIEmbeddings(model="vectors", base_url=sys.argv[1], api_key="sk-key", check_embedding_ctx_length=False)
print("embedding:", vectors.embed_documents(["a", "b"])[1])
for model in ("busy", "nobody"):
    try:
        chat(model).invoke("Hi")
    except openai.APIStatusError as error:
        print("error:", model, type(error).__name__, error.status_code)
try:
    print("broken:", "".join(chunk.text for chunk in chat("broken").stream("Hi")))
except openai.APIError as error:
    print("broken:", type(error).__name__, error.code)
