"""openai-agents as a client, by responses, which it speaks by default, and by chat completions. Arguments: the server's base URL."""

import asyncio
import sys

from agents import Agent, OpenAIChatCompletionsModel, OpenAIResponsesModel, Runner, function_tool, set_tracing_disabled
from openai import AsyncOpenAI

set_tracing_disabled(True)
client = AsyncOpenAI(base_url=sys.argv[1], api_key="sk-key", max_retries=0)


@function_tool
def add(a: int, b: int) -> int:
    """The sum."""
    return a + b


def agent(model: str, kind: type = OpenAIResponsesModel) -> Agent:
    return Agent(name="a", model=kind(model, openai_client=client), tools=[add])


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
    for kind in (OpenAIResponsesModel, OpenAIChatCompletionsModel):
        whole = await Runner.run(agent("adder", kind), "1 + 2?")
        stream = Runner.run_streamed(agent("adder", kind), "1 + 2?")
        async for _ in stream.stream_events():
            pass
        print(f"{kind.__name__}, tool:", whole.final_output, "|", stream.final_output)
    try:
        await Runner.run(agent("nobody"), "Hi")
    except Exception as error:
        print("error:", type(error).__name__, getattr(error, "status_code", None))


asyncio.run(main())
