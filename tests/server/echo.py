"""A handler that repeats the last message, word by word."""

from collections.abc import AsyncIterator
from typing import Any

from tokenwire import CustomLLM, CustomLLMError, GenericStreamingChunk, Usage


class Echo(CustomLLM):
    async def astreaming(self, *args: Any, messages: Any, optional_params: Any, **kwargs: Any) -> AsyncIterator[Any]:
        words = messages[-1]["content"].split()
        if not words:
            raise CustomLLMError(400, "there is nothing to say")
        said = words[: optional_params.get("max_tokens")]
        for word in said:
            yield GenericStreamingChunk(text=f"{word} ")
        reason = "stop" if said == words else "length"
        usage = Usage(prompt_tokens=len(words), completion_tokens=len(said), total_tokens=len(words) + len(said))
        yield GenericStreamingChunk(is_finished=True, finish_reason=reason, usage=usage)


echo = Echo()
