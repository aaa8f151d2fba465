"""The gain from several worker processes: `python -m benchmarks.serving.workers`.

The handler uses 20 ms of CPU for each request, and the client that asks next to nothing. One and several workers take turns
for some rounds. Then it checks several workers: their metrics are summed; a burst of connections is spread over them; killing
one ends only its own streams, and it is replaced; SIGTERM lets all streams finish. If a check fails, it exits with 1.
"""

import argparse
import asyncio
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..runner import ROOT

BURN_S = 0.02
WANTED = 1.8  # times the rate of one worker, with two
AT_ONCE = 8  # requests
PATIENCE_S = 30.0
BURST = 64  # connections at once
LEAST_SHARE = 0.5  # of what a worker would have of them if all had as many
STREAMS = 8  # while a worker is killed, and while all are told to end


async def handler(messages: Any, **_: Any) -> Any:
    """Uses CPU, and yields its process id; or, if told to wait, yields that at once and the rest later."""
    if messages[-1]["content"] == "wait":
        for _ in range(10):
            yield f"{os.getpid()} "
            await asyncio.sleep(0.4)
        return
    until = time.process_time() + BURN_S
    while time.process_time() < until:
        pass
    yield f"{os.getpid()} "


class Served:
    """`tokenwire serve` with so many workers."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int) -> None:
        self.process, self.port = process, port

    async def ask(self, content: str = "burn") -> tuple[int, bool]:
        """The process that answered, and whether the stream came to its end."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            body = json.dumps({"model": "handler", "stream": True, "messages": [{"role": "user", "content": content}]}).encode()
            writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\n")
            writer.write(b"content-length: %d\r\n\r\n" % len(body) + body)
            data = await reader.read(-1)
        except ConnectionError:
            data = b""
        finally:
            writer.close()
        found = re.search(rb'"content":"(\d+) "', data)
        return int(found[1]) if found else 0, data.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")

    async def processes(self, count: int) -> set[int]:
        """Those that answer, once there are so many."""
        found: set[int] = set()
        until = time.monotonic() + PATIENCE_S
        while len(found) < count and time.monotonic() < until:
            try:
                found |= {process for process, _ in await asyncio.gather(*[self.ask() for _ in range(AT_ONCE)])} - {0}
            except OSError:
                await asyncio.sleep(0.1)
        return found

    async def burst(self, count: int) -> list[int]:
        """How many connections each process has, of those that clients open at once and keep."""
        connections = await asyncio.gather(*[asyncio.open_connection("127.0.0.1", self.port) for _ in range(count)])
        processes: Counter[bytes] = Counter()
        for reader, writer in connections:
            body = b'{"model": "handler", "messages": [{"role": "user", "content": "burn"}]}'
            writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
            processes[(await reader.readuntil(b'"content":"') and await reader.readuntil(b'"'))] += 1
            writer.close()
        return sorted(processes.values())

    async def figure(self, name: str) -> float:
        """The sum of one of the figures for Prometheus."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        text = (await reader.read(-1)).decode()
        writer.close()
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name))


@contextmanager
def served(workers: int) -> Iterator[Served]:
    """The command, ready."""
    command = [sys.executable, "-m", "tokenwire", "serve", f"{__spec__.name}:handler", "--port", "0", "--metrics"]
    command += ["--workers", str(workers), "--no-page"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert process.stdout is not None
        found = re.search(rb"http://127\.0\.0\.1:(\d+)/", process.stdout.readline())
        assert found is not None, "the server did not start"
        yield Served(process, int(found[1]))
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


async def rate(server: Served, seconds: float) -> float:
    """Requests a second."""
    until, answered = time.monotonic() + seconds, 0

    async def ask_on() -> None:
        nonlocal answered
        while time.monotonic() < until:
            _, whole = await server.ask()
            assert whole, "a request was not answered"
            answered += 1

    started = time.monotonic()
    await asyncio.gather(*[ask_on() for _ in range(AT_ONCE)])
    return answered / (time.monotonic() - started)


async def measure(workers: int, rounds: int, seconds: float) -> float:
    """How many times the rate of one worker so many have, in the median of the rounds."""
    ratios: list[float] = []
    with served(1) as one, served(workers) as several:
        await one.processes(1)
        assert len(await several.processes(workers)) == workers, "not all workers answer"
        for number in range(rounds):
            alone, together = await rate(one, seconds), await rate(several, seconds)
            ratios.append(together / alone)
            print(f"  {number + 1}/{rounds}: {alone:.1f} and {together:.1f} requests a second", flush=True)
    return statistics.median(ratios)


async def check(workers: int) -> Iterator[tuple[str, bool]]:
    """What else is promised of several workers, and whether it is so."""
    found: list[tuple[str, bool]] = []
    with served(workers) as server:
        processes = await server.processes(workers)
        before = await server.figure("tokenwire_requests_total")
        await asyncio.gather(*[server.ask() for _ in range(30)])
        counted = await server.figure("tokenwire_requests_total") - before
        found.append((f"of 30 requests and a look at the figures, {counted:.0f} are counted", counted == 31))

        shares = await server.burst(BURST)
        fair = len(shares) == workers and shares[0] >= LEAST_SHARE * BURST / workers
        found.append((f"{BURST} connections that came at once: the workers have {' and '.join(map(str, shares))}", fair))

        streams = [asyncio.create_task(server.ask("wait")) for _ in range(STREAMS)]
        await asyncio.sleep(1.0)
        victim = min(processes)
        os.kill(victim, signal.SIGKILL)
        answers = await asyncio.gather(*streams)
        lost = [process for process, whole in answers if not whole]
        kept = [process for process, whole in answers if whole]
        right = victim not in kept and all(process in (victim, 0) for process in lost)
        found.append((f"one worker killed: {len(lost)} of {STREAMS} streams were its own and are cut, the others whole", right))
        started = time.monotonic()
        now = await server.processes(workers)
        replaced = len(now) == workers and victim not in now
        found.append((f"it is replaced {time.monotonic() - started:.1f} s after the last stream", replaced))
        open_now = await server.figure("tokenwire_requests_in_flight")
        found.append((f"requests in flight, as the figures have them afterwards: {open_now:.0f}", open_now == 1))

        streams = [asyncio.create_task(server.ask("wait")) for _ in range(STREAMS)]
        await asyncio.sleep(1.0)
        server.process.send_signal(signal.SIGTERM)
        whole = [whole for _, whole in await asyncio.gather(*streams)]
        status = await asyncio.to_thread(server.process.wait, PATIENCE_S)
        found.append((f"SIGTERM: {sum(whole)} of {STREAMS} streams came to their end, status {status}", all(whole)))
    return iter(found)


async def run(arguments: argparse.Namespace) -> bool:
    """Run and print everything. Returns whether all checks passed."""
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    ratio = await measure(arguments.workers, arguments.rounds, arguments.seconds)
    wanted = WANTED * arguments.workers / 2
    print(f"{arguments.workers} workers: {ratio:.2f} times the rate of one, at least {wanted:.2f} wanted")
    right = ratio >= wanted
    for words, is_so in await check(arguments.workers):
        print(f"{'ok' if is_so else 'NOT SO':6} {words}", flush=True)
        right &= is_so
    return right


def main() -> int:
    """Run the command; what to exit with."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving.workers", description=__doc__)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    return 0 if asyncio.run(run(parser.parse_args())) else 1


if __name__ == "__main__":
    sys.exit(main())
