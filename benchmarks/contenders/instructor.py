"""instructor's partials, over openai's client."""

from typing import Any

import instructor
import openai

from . import MESSAGES
from .openai import close as close, connect as connect
from .partial_objects import Answer, said


async def read_partials(client: openai.AsyncOpenAI, model: str) -> str:
    wrapped: Any = instructor.from_openai(client, mode=instructor.Mode.JSON)
    found: Any = None
    async for partial in wrapped.create_partial(model=model, messages=MESSAGES, response_model=Answer):
        found = partial
    return said(found)
