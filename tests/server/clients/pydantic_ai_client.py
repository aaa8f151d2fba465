"""pydantic-ai as a client, by chat completions and by responses. Arguments: the server's base URL."""

import asyncio
import sys

from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider


class Invoice(BaseModel):
    number: int
    text: str


provider = OpenAIProvider(base_url=sys.argv[1], api_key="sk-key")


async def main() -> None:
    for kind in (OpenAIChatModel, OpenAIResponsesModel):
        whole = await Agent(kind("words", provider=provider)).run("Hi")
        print(f"{kind.__name__}, whole:", whole.output, whole.usage.total_tokens)
        async with Agent(kind("words", provider=provider)).run_stream("Hi") as stream:
            print(f"{kind.__name__}, streamed:", await stream.get_output())
        typed = await Agent(kind("invoice", provider=provider), output_type=NativeOutput(Invoice)).run("Hi")
        print(f"{kind.__name__}, typed:", repr(typed.output))
    try:
        await Agent(OpenAIChatModel("nobody", provider=provider)).run("Hi")
    except Exception as error:
        print("error:", type(error).__name__, getattr(error, "status_code", None))


asyncio.run(main())
