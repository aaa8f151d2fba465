"""openai-python over tokenwire's transport in place of its own HTTP client's: what its users gain without another API."""

import openai

import tokenwire

from .openai import OPTIONS, close as close, read as read, read_first as read_first, whole as whole


def connect(base_url: str) -> openai.AsyncOpenAI:
    http_client = openai.DefaultAsyncHttpxClient(transport=tokenwire.HTTPTransport(max_connections=None))  # type: ignore[arg-type]
    return openai.AsyncOpenAI(base_url=base_url, http_client=http_client, **OPTIONS)
