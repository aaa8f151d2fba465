"""pydantic-ai's streamed output, over openai's client."""

import openai
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from . import MESSAGES
from .openai import close as close, connect as connect
from .partial_objects import Answer, said


async def read_partials(client: openai.AsyncOpenAI, model: str) -> str:
    agent = Agent(OpenAIChatModel(model, provider=OpenAIProvider(openai_client=client)), output_type=NativeOutput(Answer))
    found = Answer()
    async with agent.run_stream(MESSAGES[-1]["content"]) as result:
        async for partial in result.stream_output(debounce_by=None):
            found = partial
    return said(found)
