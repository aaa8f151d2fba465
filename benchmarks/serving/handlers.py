"""What every contender serves: the same words, at the pace that the model's name asks for, as the canned server has it.

- `first`: a few words at once.
- `burst-N`: N words at once.
- `hold-text`: a word at once, and no other.
- `paced-N-RATE`: a word at once, then N more, RATE each second; streams are out of step.

LiteLLM's proxy loads this file by its path, so it imports nothing of ours that is not a package.
"""

import asyncio
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

try:
    from litellm import CustomLLM
except ImportError:
    from tokenwire import CustomLLM

WORDS = (" a", " handler", " says", " this", ",", " one", " word", " after", " the", " other", ".")
_served = count(1)


async def words(model: str, **_: Any) -> AsyncIterator[str]:
    """The words, one by one."""
    kind, *numbers = model.split("-")
    if kind == "first":
        for word in WORDS[:3]:
            yield word
        return
    if kind == "burst":
        for place in range(int(numbers[0])):
            yield WORDS[place % len(WORDS)]
        return
    yield WORDS[0]
    loop = asyncio.get_running_loop()
    if kind == "hold":
        await loop.create_future()
    events, rate = map(int, numbers)
    at = loop.time() + next(_served) * 0.6180339887 % 1.0 / rate
    for place in range(1, events + 1):
        await asyncio.sleep(at - loop.time())
        yield WORDS[place % len(WORDS)]
        at += 1 / rate


class Words(CustomLLM):
    """The same as a handler of LiteLLM's."""

    async def astreaming(self, *args: Any, model: str, **kwargs: Any) -> AsyncIterator[Any]:
        """LiteLLM's chunks, and one that says that there are no more."""
        async for word in words(model):
            yield {"text": word, "is_finished": False, "finish_reason": "", "usage": None, "index": 0, "tool_use": None}
        yield {"text": "", "is_finished": True, "finish_reason": "stop", "usage": None, "index": 0, "tool_use": None}


litellm_handler = Words()
