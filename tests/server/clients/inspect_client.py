"""inspect-ai as a client. Arguments: the server's base URL."""

import asyncio
import sys

from inspect_ai.model import GenerateConfig, get_model
from inspect_ai.tool import tool


@tool
def add():
    async def execute(a: int, b: int):
        """Add two numbers.

        Args:
            a: One.
            b: The other.
        """
        return a + b

    return execute


def model(name: str):
    return get_model(
        f"openai-api/tokenwire/{name}", base_url=sys.argv[1], api_key="sk-key", config=GenerateConfig(max_retries=0)
    )


async def main() -> None:
    whole = await model("words").generate("Hi")
    print("whole:", whole.completion, whole.stop_reason, whole.usage.total_tokens)
    call = (await model("tools").generate("1 + 2", tools=[add()])).message.tool_calls[0]
    print("tools:", call.function, call.arguments)
    try:
        await model("nobody").generate("Hi")
    except Exception as error:
        print("error:", type(error).__name__)


asyncio.run(main())
