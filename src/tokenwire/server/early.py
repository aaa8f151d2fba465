"""Begins streams before the first token: proxies give up on an answer that does not begin, and models may think for long."""

from collections.abc import Awaitable, Callable

import anyio

from .route import Events
from .visit import ClientLeft, Visit


async def opened_early(visit: Visit, seconds: float, events: Callable[[], Events], work: Callable[[], Awaitable[None]]) -> None:
    """Run `work`, which streams; if it has sent nothing after `seconds`, begin the answer with a comment.

    From then on the status is 200, and an error of `work` is an event in the stream.

    Args:
        visit: the client's request.
        seconds: how long the answer may take to begin.
        events: makes the encoder of the comment, and of an error before the first chunk.
        work: its errors are raised as they are.
    """
    failure: Exception | None = None

    async def open_in_time() -> None:
        await anyio.sleep(seconds)
        try:
            await visit.open(events())
        except ClientLeft:
            pass  # the caller's `while_connected` notices it too

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(open_in_time)
        try:
            await work()
        except Exception as error:  # noqa: BLE001  (a task group would wrap it in a group)
            failure = error
        tasks.cancel_scope.cancel("the work is done")
    if failure is not None:
        raise failure
