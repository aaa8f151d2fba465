"""One measurement of one contender: `python -m benchmarks.serving.load JOB`, both ways JSON, as `benchmarks.worker` has it.

This process is the client, with a minimal parser, and the parent of the server process, whose CPU it reads.
"""

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import Any

import uvloop

from ..clock import GO_S, ask_server
from ..worker import MARK, raise_file_limit

EVENT = b"data: {"
TEXTS = (b'"content":" ', b'"content": " ')  # the first word begins with a space; a role's empty text does not
END = b"0\r\n\r\n"
SETTLE_S = 0.5
LONGEST_S = 90
OPENED_AT_ONCE = 100  # streams
KEEPS_UP = 0.9  # the share of the pace from which on a server is said to keep up with it


class Stream(asyncio.Protocol):
    """One connection, with one request at a time.

    Attributes:
        events: how many have come in answer to the latest request.
        first: when the first text came, a `perf_counter` value.
    """

    def __init__(self) -> None:
        self.events: int = 0
        self.first: float = 0.0
        self._tail = b""
        self._ended: asyncio.Future[None] | None = None
        self._begun: asyncio.Future[None] | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def ask(self, port: int, model: str) -> float:
        """Send a request; returns when."""
        messages = [{"role": "user", "content": "Say something."}]
        body = json.dumps({"model": model, "messages": messages, "stream": True}).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n"
        self.events, self.first, self._tail = 0, 0.0, b""
        loop = asyncio.get_running_loop()
        self._ended, self._begun = loop.create_future(), loop.create_future()
        asked_at = time.perf_counter()
        self._transport.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        return asked_at

    @property
    def ended(self) -> Awaitable[None]:
        """Done with the response."""
        assert self._ended is not None
        return self._ended

    @property
    def begun(self) -> Awaitable[None]:
        """Done when there is text."""
        assert self._begun is not None
        return self._begun

    def data_received(self, data: bytes) -> None:
        data = self._tail + data
        if not self.first:
            if not any(text in data for text in TEXTS):
                if not data.startswith(b"HTTP/1.1 200"[: len(data)]):
                    self.connection_lost(RuntimeError(f"the answer is {data[:300]!r}"))
                self._tail = data  # the head, and the role
                return
            self.first = time.perf_counter()
            assert self._begun is not None
            self._begun.set_result(None)
        self.events += data.count(EVENT)
        self._tail = data[1 - len(EVENT) :]
        if data.endswith(END):
            assert self._ended is not None
            self._ended.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        for future in (self._begun, self._ended):
            if future is not None and not future.done():
                future.set_exception(error or ConnectionError("the server closed the connection"))


class Server:
    """A contender in a process of its own."""

    def __init__(self, process: "subprocess.Popen[str]", port: int) -> None:
        self._process = process
        self.port = port

    def cpu(self) -> float:
        """Seconds so far, user and system, all threads."""
        return self._figures()[0]

    def memory(self) -> float:
        """Bytes that it holds now."""
        return self._figures()[1]

    def _figures(self) -> list[float]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return [float(figure) for figure in self._process.stdout.readline().split()]

    async def connect(self) -> Stream:
        """A connection to it."""
        _, stream = await asyncio.get_running_loop().create_connection(Stream, "127.0.0.1", self.port)
        return stream


@contextmanager
def serving(python: str, app: str, upstream: str, models: list[str]) -> Iterator[Server]:
    """The server, ready."""
    command = [python, "-m", "benchmarks.serving.serve", app, upstream, *models]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            # LiteLLM's proxy prints a banner first.
            port = next((line for line in process.stdout if line.strip().isdigit()), None)
            if port is None:
                raise RuntimeError(f"the server ended with status {process.wait()} before it was ready")
            yield Server(process, int(port))
        finally:
            process.kill()


async def measure_paced(server: Server, job: dict[str, Any], model: str) -> dict[str, float]:
    """Server CPU per chunk, while all streams are open."""
    streams = [await server.connect() for _ in range(job["streams"])]
    for stream in streams:
        stream.ask(server.port, model)
    await asyncio.gather(*[stream.begun for stream in streams])
    if job["is_gateway"]:
        ask_server(job["upstream"], "go")
        await asyncio.sleep(GO_S)
    await asyncio.sleep(SETTLE_S)
    own, cpu, wall = time.process_time(), server.cpu(), time.perf_counter()
    chunks = sum(stream.events for stream in streams)
    await asyncio.sleep(job["seconds"])
    cpu, chunks = server.cpu() - cpu, sum(stream.events for stream in streams) - chunks
    wall, own = time.perf_counter() - wall, time.process_time() - own
    share = chunks / wall / (job["streams"] * job["rate"])
    if share > KEEPS_UP:  # who lags behind would take minutes to come to the end
        await check_ends(streams, job)
    return {"us_per_chunk": cpu / chunks * 1e6, "share_of_pace": share, "client_share": own / wall}


async def check_ends(streams: list[Stream], job: dict[str, Any]) -> None:
    """Wait for the ends of the streams, and see that all of each has come."""
    while job["is_gateway"] and any(stream.events < job["events"] + 2 for stream in streams):  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    if job["is_gateway"]:
        ask_server(job["upstream"], "release")
    await asyncio.gather(*[stream.ended for stream in streams])
    for stream in streams:
        if not job["events"] + 1 <= stream.events <= job["events"] + 3:  # the role and the finish may have events of their own
            raise RuntimeError(f"{stream.events} events came where {job['events'] + 1} texts were expected")


async def measure_first(server: Server, job: dict[str, Any], model: str) -> dict[str, float]:
    """Time to first token on a warm connection, one request after another."""
    stream = await server.connect()
    took: list[float] = []
    cpu = 0.0
    for number in range(-job["warm_up"], job["calls"]):
        if number == 0:
            cpu = server.cpu()
        asked_at = stream.ask(server.port, model)
        await stream.ended
        if number >= 0:
            took.append(stream.first - asked_at)
    cpu = server.cpu() - cpu
    took.sort()
    p99 = took[int(len(took) * 0.99)]
    return {"p50_us": statistics.median(took) * 1e6, "p99_us": p99 * 1e6, "us_per_request": cpu / len(took) * 1e6}


async def measure_burst(server: Server, job: dict[str, Any], model: str) -> dict[str, float]:
    """Server CPU per chunk of streams that have all of theirs at once, one after another."""
    stream = await server.connect()
    cpu = 0.0
    for number in range(-1, job["bursts"]):
        if number == 0:
            cpu = server.cpu()
        stream.ask(server.port, model)
        await stream.ended
    return {"us_per_burst_chunk": (server.cpu() - cpu) / (job["bursts"] * job["chunks"]) * 1e6}


async def measure_memory(server: Server, job: dict[str, Any], model: str) -> dict[str, float]:
    """Server memory per open stream, its connection with it."""
    before = server.memory()
    streams: list[Stream] = []
    while len(streams) < job["open"]:
        some = [await server.connect() for _ in range(OPENED_AT_ONCE)]
        for stream in some:
            stream.ask(server.port, model)
        await asyncio.gather(*[stream.begun for stream in some])
        streams += some
    return {"kb_per_stream": (server.memory() - before) / len(streams) / 1000}


async def measure(job: dict[str, Any]) -> dict[str, float]:
    paced, burst, hold = f"paced-{job['events']}-{job['rate']}", f"burst-{job['chunks']}", "hold-text"
    with serving(job["python"], job["app"], job["upstream"], [paced, burst, hold, "first"]) as server:
        async with asyncio.timeout(LONGEST_S):
            values = {
                **await measure_first(server, job, "first"),
                **await measure_burst(server, job, burst),
                **await measure_paced(server, job, paced),
            }
            return {**values, **await measure_memory(server, job, hold)} if job["open"] else values


def main() -> None:
    raise_file_limit()
    try:
        outcome: dict[str, Any] = {"values": uvloop.run(measure(json.loads(sys.argv[1])))}
    except Exception as error:  # noqa: BLE001  (the contender's: it can be anything)
        outcome = {"failure": f"{type(error).__name__}: {error}"[:300]}
    print(MARK + json.dumps(outcome), flush=True)


if __name__ == "__main__":
    main()
