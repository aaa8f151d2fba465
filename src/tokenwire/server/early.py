"""A byte before the first token: proxies hang up on an answer that does not begin, and a model may think for minutes."""

from collections.abc import Awaitable, Callable

import anyio

from .route import Events
from .visit import ClientLeft, Visit


async def opened_early(visit: Visit, seconds: float, events: Callable[[], Events], work: Callable[[], Awaitable[None]]) -> None:
    """Run `work`, which streams; where it has sent nothing after `seconds`, begin the answer with a comment.

    The answer's status is 200 from then on: an error of `work` is an event in the stream.

    Args:
        visit: the client's.
        seconds: how long it may be silent.
        events: makes what encodes comments, and an error before there are chunks.
        work: raises what it likes.
    """
    failure: Exception | None = None

    async def open_in_time() -> None:
        await anyio.sleep(seconds)
        try:
            await visit.open(events())
        except ClientLeft:
            pass  # whoever runs this sees it as well

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(open_in_time)
        try:
            await work()
        except Exception as error:  # noqa: BLE001  (a task group would wrap it in a group)
            failure = error
        tasks.cancel_scope.cancel("the work is done")
    if failure is not None:
        raise failure
