"""`python -m tests.faults.stalls --streams 1000`: how late a stalled stream ends, with so many others running.

The others get two chunks a second each. Among them streams stall, some before their first content and some behind it,
and the time from the end of their budget to the `Timeout` is taken; beside it, how late the event loop's own timers are,
which no deadline can better. The server is a process of its own.
"""

import argparse
import itertools
import statistics
import subprocess
import sys
import time
from typing import Any

import anyio

import tokenwire
from tokenwire import AsyncClient, Timeouts
from tokenwire.testing import Endpoint, Received, Reply, chunk

from .running import LOOPS
from .soak import MESSAGES, ROOT, more_files

BUDGET = 0.5  # seconds
PROMISED = 0.05  # seconds behind its budget by which a stalled stream has ended
PACE = 0.5  # seconds between two chunks of each of the others
STALLING = ("idle", "first_content") * 3  # the budgets of the streams that stall at one time
LONG = 60.0  # seconds of the budgets that do not run out


def serve() -> None:
    """Serve in this process: print the address, until nobody listens."""
    steady = Reply(events=[chunk("a")] * 10_000, event_delay=PACE)
    stalling = {
        "idle": Reply(events=[chunk("a")], done=False, stall=True),
        "first_content": Reply(events=[], done=False, stall=True),
    }

    def answer(request: Received) -> Reply:
        return stalling.get(request.json()["user"], steady)

    with Endpoint(answer) as endpoint:
        print(endpoint.url, flush=True)
        sys.stdin.read()


async def measure(url: str, streams: int, seconds: float) -> tuple[list[float], list[float]]:
    """How many seconds behind its budget each stalled stream ended, and how late the loop's timers were.

    Args:
        url: of the server.
        streams: how many others there are.
        seconds: how long streams are made to stall.
    """
    late: list[float] = []
    lag: list[float] = []
    flowing = itertools.count(1)
    all_flow = anyio.Event()

    async def flow() -> None:
        async with _stream(client, "steady") as stream:
            await anext(stream)
            if next(flowing) == streams:
                all_flow.set()
            async for _ in stream:
                pass

    async def stall(budget: str) -> None:
        while time.monotonic() < until:
            late.append(await _lateness(client, budget))

    async def watch() -> None:
        while time.monotonic() < until:
            started = time.monotonic()
            await anyio.sleep(BUDGET / 5)
            lag.append(time.monotonic() - started - BUDGET / 5)

    async with AsyncClient(api_base=url, api_key="none", num_retries=0) as client, anyio.create_task_group() as group:
        for _ in range(streams):
            group.start_soon(flow)
        await all_flow.wait()
        until = time.monotonic() + seconds
        async with anyio.create_task_group() as stalling:
            stalling.start_soon(watch)
            for budget in STALLING:
                stalling.start_soon(stall, budget)
        group.cancel_scope.cancel()
    return late, lag


def _stream(client: AsyncClient, user: str) -> Any:
    budgets = {"connect": LONG, "first_content": LONG, "idle": LONG}
    if user in budgets:
        budgets[user] = BUDGET
    return client.astreaming("openai/m", MESSAGES, user=user, timeout=Timeouts(**budgets))


async def _lateness(client: AsyncClient, budget: str) -> float:
    stream = _stream(client, budget)
    if budget == "idle":
        await anext(stream)
    started = time.monotonic()
    ran_out = None
    try:
        await anext(stream)
    except tokenwire.Timeout as error:
        ran_out = error.budget
    late = time.monotonic() - started - BUDGET
    assert ran_out == budget
    return late


def main() -> int:
    """Run the command; what to exit with."""
    parser = argparse.ArgumentParser("python -m tests.faults.stalls", description=__doc__)
    parser.add_argument("--streams", type=int, default=1000, help="that run meanwhile (default: 1000)")
    parser.add_argument("--seconds", type=float, default=10.0, help="in which streams stall (default: 10)")
    parser.add_argument("--loop", choices=list(LOOPS), action="append", help="an event loop; all of them by default")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    more_files()
    if arguments.serve:
        serve()
        return 0
    kept = [_run(loop, arguments.streams, arguments.seconds) for loop in arguments.loop or LOOPS]
    return 0 if all(kept) else 1


def _run(loop: str, streams: int, seconds: float) -> bool:
    """Print one loop's figures; whether the promise was kept."""
    backend, options = LOOPS[loop]
    command = [sys.executable, "-m", "tests.faults.stalls", "--serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as server:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        late, lag = anyio.run(measure, url, streams, seconds, backend=backend, backend_options=options)
        server.communicate(timeout=30)
    in_time = sum(1 for each in late if each < PROMISED)
    print(f"{loop}: {len(late)} streams stalled among {streams} others, {in_time} ended within {PROMISED * 1000:.0f} ms")
    for name, times in (("behind the budget", late), ("the loop's timers", lag)):
        print(f"  {name}: {_milliseconds(statistics.median(times))} (median), at most {_milliseconds(max(times))}")
    return in_time == len(late)


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


if __name__ == "__main__":
    sys.exit(main())
