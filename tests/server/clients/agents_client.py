"""openai-agents as a client, by responses, which it speaks by default. Arguments: the server's base URL."""

import asyncio
import sys

from agents import Agent, OpenAIResponsesModel, Runner, set_tracing_disabled
from openai import AsyncOpenAI

set_tracing_disabled(True)
client = AsyncOpenAI(base_url=sys.argv[1], api_key="sk-key", max_retries=0)


def agent(model: str) -> Agent:
    return Agent(name="a", model=OpenAIResponsesModel(model, openai_client=client))


async def main() -> None:
    whole = await Runner.run(agent("words"), "Hi")
    print("whole:", whole.final_output)
    stream = Runner.run_streamed(agent("words"), "Hi")
    texts = [
        event.data.delta
        async for event in stream.stream_events()
        if getattr(getattr(event, "data", None), "type", "") == "response.output_text.delta"
    ]
    print("streamed:", "".join(texts), "|", stream.final_output)
    try:
        await Runner.run(agent("nobody"), "Hi")
    except Exception as error:
        print("error:", type(error).__name__, getattr(error, "status_code", None))


asyncio.run(main())
