"""pydantic-ai as a client, in every dialect. Arguments: the server's base URL."""

import asyncio
import sys

from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider


class Invoice(BaseModel):
    number: int
    text: str


provider = OpenAIProvider(base_url=sys.argv[1], api_key="sk-key")
anthropic = AnthropicProvider(base_url=sys.argv[1].removesuffix("/v1"), api_key="sk-key")
KINDS = ((OpenAIChatModel, provider), (OpenAIResponsesModel, provider), (AnthropicModel, anthropic))


def add(a: int, b: int) -> int:
    """The sum."""
    return a + b


async def main() -> None:
    for kind, own in KINDS:
        whole = await Agent(kind("words", provider=own)).run("Hi")
        print(f"{kind.__name__}, whole:", whole.output, whole.usage.total_tokens)
        async with Agent(kind("words", provider=own)).run_stream("Hi") as stream:
            print(f"{kind.__name__}, streamed:", await stream.get_output())
        agent = Agent(kind("adder", provider=own), tools=[add])
        whole = await agent.run("1 + 2?")
        async with agent.run_stream("1 + 2?") as stream:
            print(f"{kind.__name__}, tool:", whole.output, "|", await stream.get_output())
        if kind is AnthropicModel:  # which has no schemas for models that it does not know
            continue
        typed = await Agent(kind("invoice", provider=own), output_type=NativeOutput(Invoice)).run("Hi")
        print(f"{kind.__name__}, typed:", repr(typed.output))
    try:
        await Agent(OpenAIChatModel("nobody", provider=provider)).run("Hi")
    except Exception as error:
        print("error:", type(error).__name__, getattr(error, "status_code", None))


asyncio.run(main())
