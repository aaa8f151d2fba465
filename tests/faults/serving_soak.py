"""`python -m tests.faults.serving_soak --streams 5000 --seconds 60`: many clients of our server, many of whom leave.

The server runs in a process of its own, as `tokenwire serve` has it. Every chunk carries its number, so that one that is
lost, sent twice or out of order shows. When all is over, the server's handlers, sockets, tasks and memory must be what they
were. With `--attacks`, clients that mean no good come in numbers, one kind after another: the script prints what they cost
in memory, and how long an ordinary request takes meanwhile.
"""

import argparse
import asyncio
import gc
import json
import logging
import os
import random
import re
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn

from tokenwire.server import create_app
from tokenwire.server.guard import Guard
from tokenwire.server.origins import Origins
from tokenwire.server.protocol import HTTPProtocol

from .running import open_sockets
from .soak import _resident_megabytes, more_files

ROOT = Path(__file__).parents[2]
SPREAD = 6  # paces over which the streams begin
LEAVING = 0.3  # of all streams
MOST_MEGABYTES = 60.0  # that may be more than before: what the C library keeps of thousands of connections
NUMBER = re.compile(rb'"content":"(\d+) "')
END = b"data: [DONE]\n\n"
MOST_SECONDS = 5.0  # that an ordinary request may take, by the median, while a hundred clients use up the server's CPU

# --- the server -------------------------------------------------------------------------------------------------------

running: Counter[str] = Counter()


async def numbers(optional_params: Any, **_: Any) -> Any:
    """So many chunks, at a pace."""
    running["handlers"] += 1
    try:
        for number in range(optional_params["max_tokens"]):
            yield f"{number} "
            await asyncio.sleep(optional_params["temperature"])
    finally:
        running["handlers"] -= 1


def serve() -> None:
    """Serve in this process: print the port, and for each line that comes in what there is of it."""
    app = Guard(create_app({"numbers": numbers}, max_body=1_000_000), Origins(), loopback=True)

    class Server(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            print(self.servers[0].sockets[0].getsockname()[1], flush=True)
            asyncio.get_running_loop().add_reader(sys.stdin, tell)

    def tell() -> None:
        if not sys.stdin.readline():
            os._exit(0)
        gc.collect()
        told = {"handlers": running["handlers"], "sockets": len(open_sockets()), "tasks": len(asyncio.all_tasks())}
        print(json.dumps({**told, "megabytes": _resident_megabytes()}), flush=True)

    options: dict[str, Any] = {"http": HTTPProtocol, "ws": "none", "log_config": None, "access_log": False, "backlog": 8192}
    Server(uvicorn.Config(app, host="127.0.0.1", port=0, timeout_keep_alive=75, **options)).run()


class Serving:
    """`serve` in a process of its own."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.faults.serving_soak", "--serve"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def __enter__(self) -> "Serving":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def counts(self) -> dict[str, float]:
        """What there is of the server's process now."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    async def at_rest(self, before: Mapping[str, float]) -> dict[str, float]:
        """The same, once no handler, socket or task is more than before, or after 20 seconds."""
        until = time.monotonic() + 20
        while True:
            now = self.counts()
            if time.monotonic() > until or all(now[name] <= before[name] for name in ("handlers", "sockets", "tasks")):
                return now
            await asyncio.sleep(0.1)


# --- clients ----------------------------------------------------------------------------------------------------------


def request(chunks: int, pace: float) -> bytes:
    """One that asks for a stream."""
    asked: dict[str, Any] = {"model": "numbers", "stream": True, "max_tokens": chunks, "temperature": pace}
    body = json.dumps({**asked, "messages": [{"role": "user", "content": "Count!"}]}).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
    return head % len(body) + body


@dataclass
class Figures:
    """What a soak found: streams by what became of them, chunks, complaints, and how late the client's own loop was."""

    streams: Counter[str] = field(default_factory=Counter[str])
    chunks: int = 0
    wrong: list[str] = field(default_factory=list[str])
    lag: list[float] = field(default_factory=list[float])


async def read_stream(port: int, chance: random.Random, pace: float, figures: Figures) -> None:
    """One client: reads its stream to the end, or leaves at any time, by FIN or by RST."""
    size = chance.randrange(4, 12)
    leaves_after = chance.uniform(0, size * pace) if chance.random() < LEAVING else None
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    data = b""
    try:
        async with asyncio.timeout(leaves_after):
            writer.write(request(size, pace))
            while part := await reader.read(2**16):
                data += part
    except TimeoutError:
        figures.streams["left"] += 1
        if chance.random() < 0.5:
            writer.transport.abort()
        return
    except OSError as error:
        figures.wrong.append(f"after {data[-80:]!r} came {error!r}")
        return
    finally:
        writer.close()
    seen = [int(number) for number in NUMBER.findall(data)]
    figures.chunks += len(seen)
    figures.streams["read"] += 1
    if seen != list(range(size)) or END not in data:
        figures.wrong.append(f"of {size} chunks came {seen}, and then {data[-80:]!r}")


async def soak(port: int, streams: int, seconds: float, pace: float) -> Figures:
    """Keep so many streams open for so long."""
    figures, until = Figures(), time.monotonic() + seconds

    async def go_on(place: int) -> None:
        chance = random.Random(place)
        await asyncio.sleep(SPREAD * pace * place / streams)
        while True:
            try:
                await read_stream(port, chance, pace, figures)
            except OSError as error:
                figures.wrong.append(repr(error))
            if time.monotonic() >= until:
                return

    async def watch() -> None:
        while True:
            started = time.monotonic()
            await asyncio.sleep(0.05)
            figures.lag.append(time.monotonic() - started - 0.05)

    watching = asyncio.create_task(watch())
    await asyncio.gather(*map(go_on, range(streams)))
    watching.cancel()
    return figures


# --- those who mean no good -------------------------------------------------------------------------------------------

Send = Callable[[asyncio.StreamWriter], Awaitable[None]]


async def nothing(writer: asyncio.StreamWriter) -> None:
    """An idle connection."""


async def slow_head(writer: asyncio.StreamWriter) -> None:
    """A head that never ends."""
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\n")
    while True:
        await asyncio.sleep(1)
        writer.write(b"x: y\r\n")


async def slow_body(writer: asyncio.StreamWriter) -> None:
    """A body that comes a byte a second."""
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 999999\r\n\r\n")
    while True:
        await asyncio.sleep(1)
        writer.write(b" ")


async def headers(writer: asyncio.StreamWriter) -> None:
    """Headers without end, as fast as they are taken."""
    writer.write(b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n")
    while True:
        writer.write(b"x: y\r\n" * 1000)
        await writer.drain()


async def giant_body(writer: asyncio.StreamWriter) -> None:
    """A body without end, as fast as it is taken."""
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ntransfer-encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"ffff\r\n" + b" " * 0xFFFF + b"\r\n")
        await writer.drain()


async def pipelined(writer: asyncio.StreamWriter) -> None:
    """Requests as fast as they are taken, whose answers nobody waits for."""
    while True:
        writer.write(request(9, 0.2).replace(b"connection: close\r\n", b"") * 100)
        await writer.drain()


async def not_reading(writer: asyncio.StreamWriter) -> None:
    """A long stream that is never read."""
    writer.transport.pause_reading()  # pyright: ignore[reportAttributeAccessIssue]
    writer.write(request(1_000_000, 0.001))


ATTACKS: tuple[Send, ...] = (nothing, slow_head, slow_body, headers, giant_body, pipelined, not_reading)


async def quietly(send: Send, writer: asyncio.StreamWriter) -> None:
    """Send until the server has had enough."""
    with suppress(OSError):
        await send(writer)


@asynccontextmanager
async def attack(port: int, send: Send, count: int) -> AsyncIterator[None]:
    """So many of them at once; who is thrown out comes again."""

    async def come_again() -> None:
        while True:
            with suppress(OSError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                try:
                    async with asyncio.TaskGroup() as group:
                        sending = group.create_task(quietly(send, writer))
                        if send is not_reading:
                            await asyncio.sleep(3600)
                        with suppress(OSError):
                            while await reader.read(2**16):
                                pass
                        sending.cancel()
                finally:
                    writer.transport.abort()
            await asyncio.sleep(0.05)

    tasks = [asyncio.create_task(come_again()) for _ in range(count)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def times(port: int, seconds: float) -> list[float]:
    """How long ordinary requests took, one after another."""
    took: list[float] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        started = time.monotonic()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request(1, 0))
        data = await reader.read(-1)
        writer.close()
        assert END in data, data
        took.append(time.monotonic() - started)
        await asyncio.sleep(0.02)
    return sorted(took)


async def times_elsewhere(port: int, seconds: float) -> list[float]:
    """The same, in a process that has nothing else to do."""
    command = [sys.executable, "-m", "tests.faults.serving_soak", "--times", str(port), "--seconds", str(seconds)]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, cwd=ROOT)
    out, _ = await process.communicate()
    return json.loads(out)


async def withstand(server: Serving, count: int, seconds: float) -> bool:
    """Attack it in every way, and print what came of it; whether all is well."""
    well = True
    usual = statistics.median(await times_elsewhere(server.port, 2))
    print(f"an ordinary request takes {usual * 1000:.1f} ms; beside {count} clients that mean no good:")
    for send in ATTACKS:
        before = server.counts()
        async with attack(server.port, send, count):
            took = await times_elsewhere(server.port, seconds)
            meanwhile = server.counts()
        after = await server.at_rest(before)
        median, most = statistics.median(took), took[-1]
        good = median < MOST_SECONDS and after["handlers"] == 0 and after["sockets"] <= before["sockets"]
        well &= good
        print(
            f"  {'ok' if good else 'BAD':4}{send.__name__:12} {median * 1000:7.1f} ms (median), at most {most * 1000:7.1f} ms;"
            f" {meanwhile['megabytes'] - before['megabytes']:+6.1f} MB meanwhile, {meanwhile['sockets']:.0f} sockets,"
            f" {after['sockets']:.0f} after",
            flush=True,
        )
    return well


async def run(arguments: argparse.Namespace) -> bool:
    """Print all there is to say; whether nothing was wrong."""
    with Serving() as server:
        if arguments.attacks:
            return await withstand(server, arguments.streams, arguments.seconds)
        await soak(server.port, arguments.streams, 0.0, arguments.pace)  # what is made once, and kept
        before = await server.at_rest({"handlers": 0, "sockets": 3, "tasks": 2})
        started = time.monotonic()
        figures = await soak(server.port, arguments.streams, arguments.seconds, arguments.pace)
        seconds, after = time.monotonic() - started, await server.at_rest(before)
    print(f"{figures.streams.total()} streams in {seconds:.1f} s, up to {arguments.streams} at once: {dict(figures.streams)}")
    print(f"  {figures.chunks} chunks; not as they should be: {len(figures.wrong)}")
    for line in figures.wrong[:10]:
        print(f"    {line}")
    print(
        f"  the client's timers were late by {statistics.median(figures.lag):.3f} s (median), at most {max(figures.lag):.3f} s"
    )
    for name, count in before.items():
        print(f"  {name:10} {count:10.1f} before, {after[name]:10.1f} after")
    left = [name for name in before if after[name] > before[name] + (MOST_MEGABYTES if name == "megabytes" else 0)]
    print(f"  left behind: {', '.join(left) or 'nothing'}")
    return not figures.wrong and not left


def main() -> int:
    """Run the command; what to exit with."""
    parser = argparse.ArgumentParser("python -m tests.faults.serving_soak", description=__doc__)
    parser.add_argument("--streams", type=int, default=5000, help="at once (default: 5000)")
    parser.add_argument("--seconds", type=float, default=60.0, help="until no new one is begun (default: 60)")
    parser.add_argument("--pace", type=float, default=2.0, help="seconds between two chunks of a stream (default: 2)")
    parser.add_argument("--attacks", action="store_true", help="clients that mean no good, each kind for so many seconds")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--times", type=int, metavar="PORT", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    more_files()
    if arguments.serve:
        serve()
        return 0
    if arguments.times:
        print(json.dumps(asyncio.run(times(arguments.times, arguments.seconds))))
        return 0
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # it warns of each write to a connection that was closed
    return 0 if asyncio.run(run(arguments)) else 1


if __name__ == "__main__":
    sys.exit(main())
