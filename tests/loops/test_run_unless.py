"""Work that runs beside a watch, and what is sent before it waits."""

import asyncio
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from tokenwire import _loops

from ..conftest import LOOPS

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", LOOPS[:2])]  # what trio does is tested by serving


async def never() -> None:
    await anyio.sleep_forever()


async def run(*args: Any) -> Any:
    return await _loops.run_unless(*args)


class Sending:
    """What is sent before a wait, and when."""

    def __init__(self, log: list[str], how: Callable[[], Any]) -> None:
        self.unsent: list[str] = []
        self._log, self._how = log, how

    async def send(self) -> bool:
        self._log.append(f"sends {''.join(self.unsent)}")
        self.unsent.clear()
        return await self._how()


async def sends_at_once() -> bool:
    return True


async def test_what_is_unsent_is_sent_before_each_wait_and_only_then() -> None:
    log: list[str] = []
    sending = Sending(log, sends_at_once)

    async def work() -> str:
        for number in ("1", "2", "3"):
            sending.unsent.append(number)
        await anyio.lowlevel.checkpoint()
        log.append("went on")
        await anyio.lowlevel.checkpoint()
        sending.unsent.append("4")
        return "done"

    assert await _loops.run_unless(never, work, sending.unsent, sending.send) == "done"
    assert log == ["sends 123", "went on"]
    assert sending.unsent == ["4"]  # whoever returns can send it itself


async def test_work_goes_on_only_after_what_it_left_has_been_sent() -> None:
    log: list[str] = []
    sent = anyio.Event()

    async def slowly() -> bool:
        await sent.wait()
        log.append("sent")
        return True

    sending = Sending(log, slowly)

    async def work() -> None:
        sending.unsent.append("1")
        await anyio.lowlevel.checkpoint()
        log.append("went on")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run, never, work, sending.unsent, sending.send)
        await anyio.wait_all_tasks_blocked()
        assert log == ["sends 1"]
        sent.set()
    assert log == ["sends 1", "sent", "went on"]


@pytest.mark.parametrize("ended_by", ["the watch", "the caller", "a send to nobody"])
async def test_a_wait_is_cancelled_with_all_it_waits_for_while_something_is_sent(ended_by: str) -> None:
    log: list[str] = []
    leaves = anyio.Event()
    cancelled = anyio.get_cancelled_exc_class()

    async def to_nobody() -> bool:
        return False

    sending = Sending(log, to_nobody if ended_by == "a send to nobody" else anyio.sleep_forever)

    async def child() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            log.append("the child ends")

    async def work() -> None:
        task = asyncio.ensure_future(child())
        sending.unsent.append("1")
        try:
            await task
        except cancelled:
            log.append(f"the work ends, its child {'has ended' if task.done() else 'is left behind'}")
            raise

    watch = leaves.wait if ended_by == "the watch" else never
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run, watch, work, sending.unsent, sending.send)
        await anyio.wait_all_tasks_blocked()
        leaves.set()
        if ended_by == "the caller":
            tasks.cancel_scope.cancel()
    assert log == ["sends 1", "the child ends", "the work ends, its child has ended"]


async def test_a_send_that_is_cancelled_where_the_work_only_let_others_run() -> None:
    log: list[str] = []
    sending = Sending(log, anyio.sleep_forever)

    async def work() -> None:
        sending.unsent.append("1")
        try:
            await asyncio.sleep(0)
        finally:
            log.append("the work ends")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run, never, work, sending.unsent, sending.send)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert log == ["sends 1", "the work ends"]


async def test_an_error_of_the_sending_is_raised_where_the_work_waits() -> None:
    async def fails() -> bool:
        raise ValueError("broken")

    sending = Sending([], fails)

    async def work() -> None:
        sending.unsent.append("1")
        await anyio.sleep_forever()

    with pytest.raises(ValueError, match="broken"):
        await _loops.run_unless(never, work, sending.unsent, sending.send)
