"""`python -m tests.faults.soak --streams 2000 --seconds 30`: many streams at once, a tenth of them with a fault.

Every chunk carries its number, so that one that is lost, delivered twice or out of order shows. What goes wrong with a
stream follows from the stream's own number: the server and the one who checks the result both know it, and no two runs
differ in it. When all is over, sockets, tasks, threads and memory must be what they were.
"""

import argparse
import gc
import itertools
import json
import random
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import anyio.lowlevel

from tokenwire import APIError, AsyncClient, HTTPTransport, RateLimitError, StreamTruncatedError, Timeout, Timeouts
from tokenwire.exceptions import APIResponseValidationError
from tokenwire.testing import Endpoint, Received, Reply, chunk, error, event

from ..conftest import CACHED_THREADS
from .running import LOOPS, open_sockets

ROOT = Path(__file__).parents[2]
MESSAGES = [{"role": "user", "content": "Count!"}]
FAULTY = 0.1  # of all streams
SPREAD = 4  # paces over which the streams begin, or the chunks of all of them would always come at one time
TICK = 0.05  # seconds between two looks at how late the loop is
MOST_OBJECTS = 2000  # that may be more than before: what Python and the loops keep for themselves
MOST_MEGABYTES = 25.0
FINISHED = chunk(finish_reason="stop")

# What may go wrong, and the error that the caller gets: None for none.
FAULTS: dict[str, type[APIError] | None] = {
    "FIN": StreamTruncatedError,
    "reset": StreamTruncatedError,
    "broken JSON": APIResponseValidationError,
    "error event": RateLimitError,
    "stall": Timeout,
    "busy at first": None,
    "cut at first": None,
    "left": None,  # by the caller, as the three that follow
    "dropped": None,
    "cancelled": None,
}


class Plan(NamedTuple):
    """What happens to a stream: it has so many chunks, and the fault, "" for none, comes behind so many of them."""

    fault: str
    size: int
    after: int


def plan(number: int) -> Plan:
    """The plan of the stream of that number."""
    chance = random.Random(number)
    size = chance.randrange(4, 12)
    fault = chance.choice(list(FAULTS)) if chance.random() < FAULTY else ""
    return Plan(fault, size, chance.randrange(1, size))


class Script:
    """What the server answers.

    Args:
        pace: seconds between two chunks.

    Attributes:
        left: the requests of the streams that their callers leave, by the streams' numbers.
    """

    def __init__(self, pace: float) -> None:
        self._pace = pace
        self._tried: set[int] = set()
        self.left: dict[int, Received] = {}

    def answer(self, request: Received) -> Reply:
        """The reply to a stream's request."""
        number = int(request.json()["user"])
        fault, size, after = plan(number)
        events: list[Any] = [*[chunk(f"{each} ") for each in range(size)], FINISHED]
        if fault in ("left", "dropped", "cancelled"):
            self.left[number] = request
        elif fault.endswith("at first") and number not in self._tried:
            self._tried.add(number)
            busy = Reply(status=503, headers={"retry-after-ms": "20"})
            return busy if fault == "busy at first" else Reply(events=[chunk("", role="assistant")], done=False, cut="fin")
        elif fault in ("FIN", "reset"):
            return Reply(events=events, event_delay=self._pace, cut="fin" if fault == "FIN" else "rst", after=after)
        elif fault == "stall":
            return Reply(events=events, event_delay=self._pace, stall=True, after=after)
        elif fault == "broken JSON":
            events[after:] = [event('{"choices": [')]
        elif fault == "error event":
            events[after:] = [event(error("slow down", code="rate_limit_exceeded"), "error")]
        return Reply(events=events, event_delay=self._pace)


def serve(pace: float) -> None:
    """Serve the script in this process: print the address, and for each line that comes in, when the left requests ended."""
    script = Script(pace)
    with Endpoint(script.answer) as endpoint:
        print(endpoint.url, flush=True)
        for _ in sys.stdin:
            endpoint.wait_until(lambda: endpoint.open_connections == 0)
            print(json.dumps({number: request.ended_at for number, request in script.left.items()}), flush=True)
            script.left.clear()


class Serving:
    """`serve` in a process of its own, so that client and server don't take turns on one interpreter.

    Attributes:
        url: its address.
        pace: seconds between two chunks of one stream.
    """

    def __init__(self, pace: float) -> None:
        self.pace = pace
        command = [sys.executable, "-m", "tests.faults.soak", "--serve", "--pace", str(pace)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        self.url: str = self._line()

    def __enter__(self) -> "Serving":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=30)

    def ended(self) -> dict[int, float]:
        """When each left request ended, as `time.monotonic()` counts, here as there; once no connection is open."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return {int(number): moment for number, moment in json.loads(self._line()).items()}

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@dataclass
class Figures:
    """What a soak found.

    Attributes:
        streams: how many were made, by their fault.
        chunks: how many arrived.
        wrong: what was not as it should be, a line for each stream.
        most_open: connections, at one time.
        noticed: seconds until the server saw that a caller had left, for each that did.
        lag: seconds by which the event loop's own timers were late meanwhile, which nothing that is done in it can better.
        before, after: this process's sockets, tasks, threads, Python objects and resident megabytes.
        seconds: how long it all took.
    """

    streams: Counter[str] = field(default_factory=Counter[str])
    chunks: int = 0
    wrong: list[str] = field(default_factory=list[str])
    most_open: int = 0
    noticed: list[float] = field(default_factory=list[float])
    lag: list[float] = field(default_factory=list[float])
    before: dict[str, float] = field(default_factory=dict[str, float])
    after: dict[str, float] = field(default_factory=dict[str, float])
    seconds: float = 0.0

    def leftovers(self) -> list[str]:
        """What there is more of than before."""
        allowed = {"objects": MOST_OBJECTS, "megabytes": MOST_MEGABYTES}
        return [name for name, count in self.after.items() if count > self.before[name] + allowed.get(name, 0)]


async def soak(server: Serving, streams: int, seconds: float) -> Figures:
    """Keep so many streams open for so long, and see what is left.

    A first round of as many streams, whose figures don't count, makes what is made once and kept: what Python and the
    C library hold on to after so many streams is no more after the tenth of them.

    Args:
        server: answers them.
        streams: at once.
        seconds: until no new one is begun; those that are open are read to their end.
    """
    numbers = itertools.count()
    figures = Figures()
    await _round(server, Figures(), streams, 0.0, numbers)
    figures.before = await _counts()
    started = time.monotonic()
    await _round(server, figures, streams, seconds, numbers)
    figures.seconds = time.monotonic() - started
    figures.after = await _counts()
    return figures


async def _round(server: Serving, figures: Figures, streams: int, seconds: float, numbers: Iterator[int]) -> None:
    until = time.monotonic() + seconds
    left: dict[int, float] = {}

    async def read_streams(place: int) -> None:
        await anyio.sleep(server.pace * SPREAD * place / streams)
        while True:
            await _read(client, next(numbers), figures, left, server.pace)
            figures.most_open = max(figures.most_open, transport.stats.open)
            if time.monotonic() >= until:
                return

    async def watch() -> None:
        while True:
            started = time.monotonic()
            await anyio.sleep(TICK)
            figures.lag.append(time.monotonic() - started - TICK)

    transport = HTTPTransport()
    timeouts = Timeouts(connect=60, first_content=60, idle=60)
    async with AsyncClient(transport=transport, api_base=server.url, api_key="none", timeout=timeouts) as client:
        async with anyio.create_task_group() as watching:
            watching.start_soon(watch)
            async with anyio.create_task_group() as group:
                for place in range(streams):
                    group.start_soon(read_streams, place)
            watching.cancel_scope.cancel()
        stats = transport.stats
        if stats.open != stats.idle or stats.waiting:
            figures.wrong.append(f"the pool is not at rest: {stats}")
    figures.noticed = [moment - left[number] for number, moment in server.ended().items()]


async def _read(client: AsyncClient, number: int, figures: Figures, left: dict[int, float], pace: float) -> None:
    """Read one stream as its plan says, and compare what came with what should."""
    fault, _, after = planned = plan(number)
    seen: list[int] = []
    caught: APIError | None = None
    timeout = Timeouts(first_content=60, idle=max(20 * pace, 0.5)) if fault == "stall" else None
    stream: Any = client.astreaming("openai/m", MESSAGES, user=str(number), timeout=timeout)
    try:
        with anyio.move_on_after(pace * after if fault == "cancelled" else None):
            async for piece in stream:
                seen += map(int, piece.text.split())
                if fault in ("left", "dropped") and len(seen) == after:
                    break
    except APIError as broken:
        caught = broken
    outcome = stream.outcome
    left[number] = time.monotonic()
    if fault == "left":
        await stream.aclose()
    del stream
    figures.streams[fault or "none"] += 1
    figures.chunks += len(seen)
    complaint = _complaint(planned, seen, caught, outcome)
    if complaint:
        figures.wrong.append(f"stream {number}, {planned}: {complaint}")


def _complaint(planned: Plan, seen: list[int], caught: APIError | None, outcome: str | None) -> str:
    """What is wrong with a stream of which this came; "" if nothing is."""
    fault, size, after = planned
    error = FAULTS.get(fault)
    if type(caught) is not (type(None) if error is None else error):
        return f"it raised {caught!r}"
    if seen != list(range(len(seen))):
        return f"chunks {seen}"
    most = size if fault in ("", "busy at first", "cut at first", "cancelled") else after
    if len(seen) > most or (len(seen) < most and fault not in ("reset", "stall", "cancelled")):
        return f"{len(seen)} chunks instead of {most}"
    if fault in ("left", "dropped"):
        wanted = None  # it was still open when that was looked at
    elif fault == "cancelled" and (len(seen) < size or outcome == "cancelled"):  # or all had come when its time was up
        wanted = "cancelled"
    elif error is None:
        wanted = "complete"
    else:
        wanted = "truncated" if error is StreamTruncatedError else "error"
    return "" if outcome == wanted else f"outcome {outcome}"


async def _counts() -> dict[str, float]:
    """What there is of this process now."""
    for _ in range(3):
        await anyio.lowlevel.checkpoint()
        gc.collect()
    return {
        "sockets": len(open_sockets()),
        "tasks": len(anyio.get_running_tasks()),
        "threads": sum(not thread.name.startswith(CACHED_THREADS) for thread in threading.enumerate()),
        "objects": len(gc.get_objects()),
        "megabytes": _resident_megabytes(),
    }


def _resident_megabytes() -> float:
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize() / 2**20
    except OSError:
        return 0.0


def more_files() -> None:
    """Let this process have as many sockets as it may."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def main() -> int:
    """Run the command; what to exit with."""
    parser = argparse.ArgumentParser("python -m tests.faults.soak", description=__doc__)
    parser.add_argument("--streams", type=int, default=2000, help="at once (default: 2000)")
    parser.add_argument("--seconds", type=float, default=30.0, help="until no new one is begun (default: 30)")
    parser.add_argument("--pace", type=float, default=0.5, help="seconds between two chunks of a stream (default: 0.5)")
    parser.add_argument("--loop", choices=list(LOOPS), default="asyncio", help="the event loop (default: asyncio)")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    more_files()
    if arguments.serve:
        serve(arguments.pace)
        return 0
    backend, options = LOOPS[arguments.loop]
    with Serving(arguments.pace) as server:
        figures = anyio.run(soak, server, arguments.streams, arguments.seconds, backend=backend, backend_options=options)
    _print(figures, arguments.loop)
    return 1 if figures.wrong or figures.leftovers() else 0


def _print(figures: Figures, loop: str) -> None:
    total = figures.streams.total()
    print(f"{loop}: {total} streams and {figures.chunks} chunks in {figures.seconds:.1f} s, up to {figures.most_open} at once")
    print("  " + ", ".join(f"{fault} {count}" for fault, count in figures.streams.most_common()))
    print(f"  not as they should be: {len(figures.wrong)}")
    for line in figures.wrong[:20]:
        print(f"    {line}")
    print(f"  left by the caller: {len(figures.noticed)}")
    for name, times in (("the server saw it after", figures.noticed), ("the loop's timers were late by", figures.lag)):
        if times:
            print(f"    {name} {statistics.median(times):.3f} s (median), at most {max(times):.3f} s")
    for name, before in figures.before.items():
        print(f"  {name:10} {before:12.1f} before, {figures.after[name]:12.1f} after")
    print(f"  left behind: {', '.join(figures.leftovers()) or 'nothing'}")


if __name__ == "__main__":
    sys.exit(main())
