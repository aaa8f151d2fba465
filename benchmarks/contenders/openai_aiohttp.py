"""openai-python on aiohttp, its faster HTTP client."""

import openai

from .openai import OPTIONS, close as close, read as read, read_first as read_first, room_for_all, whole as whole


def connect(base_url: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=base_url, http_client=room_for_all(openai.DefaultAioHttpClient), **OPTIONS)
