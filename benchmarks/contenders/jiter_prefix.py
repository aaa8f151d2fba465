"""All of the text so far, parsed again at every delta by jiter, which openai's client brings along."""

import json
from typing import Any

import jiter
import openai

from . import MESSAGES
from .openai import close as close, connect as connect


async def read_partials(client: openai.AsyncOpenAI, model: str) -> str:
    text, found = "", None
    stream: Any = await client.chat.completions.create(model=model, messages=MESSAGES, stream=True)  # type: ignore[arg-type]
    async for chunk in stream:
        if chunk.choices and (piece := chunk.choices[0].delta.content):
            text += piece
            found = jiter.from_json(text.encode(), partial_mode="trailing-strings")
    return json.dumps(found)
