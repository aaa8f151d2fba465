"""Deadlines on loops whose clock is not `time.monotonic`: asyncio says only that it is `loop.time()`."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

import httpx
import pytest

import tokenwire
from tokenwire import AsyncClient, Timeouts
from tokenwire.testing import Endpoint, Reply, chunks, completion

from ..conftest import PATIENCE

MESSAGES = [{"role": "user", "content": "Hi"}]
SHORT = 0.02  # seconds of a deadline that is to run out, by a timer of the loop

SILENT = Reply(delay=60)
STALLED = Reply(events=["Hello"], done=False, stall=True)


class FromZero(asyncio.SelectorEventLoop):
    """Its clock begins at 0, as that of loops written anew may."""

    zero = 0.0

    def __init__(self) -> None:
        self.zero = time.monotonic()
        super().__init__()

    def time(self) -> float:
        return super().time() - self.zero


class Ahead(asyncio.SelectorEventLoop):
    """Its clock is far ahead, so that a deadline by any other clock has passed already."""

    def time(self) -> float:
        return super().time() + 1e6


@pytest.fixture(params=[FromZero, Ahead])
def runner(request: pytest.FixtureRequest) -> Any:
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner


def ends(runner: asyncio.Runner, work: Coroutine[Any, Any, object]) -> str | None:
    """The budget that ran out; None if none did."""

    async def main() -> str | None:
        async with asyncio.timeout(PATIENCE):
            try:
                await work
            except tokenwire.Timeout as error:
                return error.budget
            return None

    return runner.run(main())


async def text_of(stream: Any) -> str:
    return "".join([piece.text async for piece in stream])


def stream(endpoint: Endpoint, timeout: Timeouts | None = None, **keywords: Any) -> Any:
    keywords = {"num_retries": 0, **keywords}
    return tokenwire.astreaming("openai/m", MESSAGES, api_base=endpoint.url, timeout=timeout, **keywords)


def whole(endpoint: Endpoint, timeout: Timeouts | None = None, **keywords: Any) -> Any:
    keywords = {"num_retries": 0, **keywords}
    return tokenwire.acompletion("openai/m", MESSAGES, api_base=endpoint.url, timeout=timeout, **keywords)


@pytest.mark.parametrize("reply, budget", [(SILENT, "first_content"), (STALLED, "idle"), (SILENT, "total"), (STALLED, "total")])
def test_the_deadlines_of_a_stream_run_out(runner: asyncio.Runner, reply: Reply, budget: str) -> None:
    with Endpoint(reply) as endpoint:
        pieces = stream(endpoint, Timeouts(**{budget: SHORT}))  # made where no loop runs: its total runs already
        assert ends(runner, text_of(pieces)) == budget
    assert 0.9 * SHORT < pieces.timings.total < PATIENCE


@pytest.mark.parametrize("budget", ["first_content", "total"])
def test_the_deadlines_of_a_whole_answer_run_out(runner: asyncio.Runner, budget: str) -> None:
    with Endpoint(SILENT) as endpoint:
        assert ends(runner, whole(endpoint, Timeouts(**{budget: SHORT}))) == budget


def test_waiting_for_a_connection_has_its_deadline(runner: asyncio.Runner) -> None:
    async def main(endpoint: Endpoint) -> None:
        async with AsyncClient(transport=tokenwire.HTTPTransport(max_connections=1), api_base=endpoint.url) as client:
            async with client.astreaming("openai/m", MESSAGES) as pieces:
                assert (await anext(pieces)).text == "Hello"
                await client.acompletion("openai/m", MESSAGES, timeout=Timeouts(pool=SHORT), num_retries=0)

    with Endpoint(STALLED) as endpoint:
        assert ends(runner, main(endpoint)) == "pool"


def test_a_client_of_httpx_is_held_to_them(runner: asyncio.Runner) -> None:
    async def main(endpoint: Endpoint, budgets: Timeouts) -> None:
        async with httpx.AsyncClient() as client:
            await text_of(stream(endpoint, budgets, client=client))

    for reply, budget in ((SILENT, "first_content"), (STALLED, "idle")):
        with Endpoint(reply) as endpoint:
            assert ends(runner, main(endpoint, Timeouts(**{budget: SHORT}))) == budget


def test_handlers_are_held_to_them(runner: asyncio.Runner) -> None:
    async def pieces(messages: Any, **_: Any) -> Any:
        yield "Hello"
        await asyncio.Event().wait()

    async def answer(messages: Any, **_: Any) -> str:
        return await asyncio.Event().wait() and ""

    async def main(budgets: Timeouts, *, streamed: bool) -> None:
        async with AsyncClient(handlers={"mine": pieces if streamed else answer}, timeout=budgets, num_retries=0) as client:
            if streamed:
                await text_of(client.astreaming("mine/m", MESSAGES))
            else:
                await client.acompletion("mine/m", MESSAGES)

    assert ends(runner, main(Timeouts(idle=SHORT), streamed=True)) == "idle"
    assert ends(runner, main(Timeouts(first_content=SHORT), streamed=False)) == "first_content"


def test_no_deadline_runs_out_before_its_time(runner: asyncio.Runner) -> None:
    long = Timeouts(first_content=60, idle=60, total=60)
    with Endpoint([Reply(events=chunks("Hello", size=1)), Reply(json=completion("Hello"))]) as endpoint:
        assert ends(runner, text_of(stream(endpoint, long))) is None
        assert ends(runner, whole(endpoint, long)) is None


@pytest.mark.parametrize("streamed", [True, False])
def test_there_is_another_attempt_while_the_total_lasts(runner: asyncio.Runner, streamed: bool) -> None:
    busy = Reply(status=503, headers={"retry-after-ms": "1"})
    with Endpoint([busy, Reply(text="Hello") if streamed else Reply(json=completion("Hello"))]) as endpoint:
        budgets = Timeouts(total=60)
        call = text_of(stream(endpoint, budgets, num_retries=1)) if streamed else whole(endpoint, budgets, num_retries=1)
        assert ends(runner, call) is None
    assert len(endpoint.requests) == 2


def test_a_connection_is_used_again(runner: asyncio.Runner) -> None:
    """The tail of a stream is read by a deadline too."""
    with Endpoint([Reply(text="Hello"), Reply(text="Hello")]) as endpoint:
        for _ in range(2):
            assert ends(runner, text_of(stream(endpoint))) is None
    assert [request.connection for request in endpoint.requests] == [1, 1]
