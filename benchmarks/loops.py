"""The three event loops, called in one way."""

from collections.abc import Awaitable, Callable
from typing import Any

_running = "asyncio"


def run(loop: str, main: Callable[[], Awaitable[Any]]) -> Any:
    """Run a coroutine function on a new "asyncio", "uvloop" or "trio" loop."""
    global _running
    _running = loop
    if loop == "trio":
        import trio

        return trio.run(main)
    import asyncio

    factory = None
    if loop == "uvloop":
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main())  # type: ignore[arg-type]


async def gather(functions: list[Callable[[], Awaitable[Any]]]) -> list[Any]:
    """Run coroutine functions at the same time; the first exception ends all."""
    if _running != "trio":
        import asyncio

        return await asyncio.gather(*[function() for function in functions])
    import trio

    results: list[Any] = [None] * len(functions)

    async def fill(place: int) -> None:
        results[place] = await functions[place]()

    async with trio.open_nursery() as nursery:
        for place in range(len(functions)):
            nursery.start_soon(fill, place)
    return results


async def sleep(seconds: float) -> None:
    """Wait."""
    if _running == "trio":
        import trio

        await trio.sleep(seconds)
    else:
        import asyncio

        await asyncio.sleep(seconds)
