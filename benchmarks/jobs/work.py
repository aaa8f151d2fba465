"""One measurement in a process of its own: `python -m benchmarks.jobs.work JOB`, both ways JSON, as `benchmarks.worker` has it.

A job has `function`, `count` (calls, lines or rows) and `origin`, the canned server's. Each function returns its values, the
one that decides first. Contenders are written as their libraries show it; each imports what it needs.
"""

import asyncio
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from ..contenders import API_KEY, MESSAGES
from ..worker import MARK, raise_file_limit, settle_malloc

AT_ONCE = 64
LINE_BYTES = 500
DONE = 0.9  # of a batch that is resumed
Values = dict[str, float]


class Clock:
    """CPU and wall seconds since it was made."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def values(self, count: int) -> Values:
        """By call."""
        cpu, wall = time.process_time() - self._cpu, time.perf_counter() - self._wall
        return {"us_per_call": cpu / count * 1e6, "per_s": count / wall}


async def in_tasks(count: int, call: Callable[[], Awaitable[object]], tasks: int = AT_ONCE) -> Values:
    """Make calls in a number of tasks, one after the other in each."""
    left = iter(range(count))

    async def work() -> None:
        for _ in left:
            await call()

    await call()
    clock = Clock()
    async with asyncio.TaskGroup() as group:
        for _ in range(tasks):
            group.create_task(work())
    return clock.values(count)


async def with_semaphore(count: int, call: Callable[[], Awaitable[object]]) -> Values:
    """Make all calls in one gather, with a semaphore, as is commonly written."""
    semaphore = asyncio.Semaphore(AT_ONCE)

    async def one() -> None:
        async with semaphore:
            await call()

    await call()
    clock = Clock()
    await asyncio.gather(*[one() for _ in range(count)])
    return clock.values(count)


# Map.


def _client(origin: str, **more: Any) -> Any:
    import tokenwire

    transport = tokenwire.HTTPTransport(max_connections=None)
    options: dict[str, Any] = {"api_base": f"{origin}/v1", "api_key": API_KEY, "num_retries": 0, **more}
    return tokenwire.AsyncClient(transport=transport, **options)


async def map_acompletion(count: int, origin: str) -> Values:
    async with _client(origin) as client:
        return await in_tasks(count, lambda: client.acompletion("openai/whole", MESSAGES))


async def map_amap(count: int, origin: str) -> Values:
    async with _client(origin) as client:
        await client.acompletion("openai/whole", MESSAGES)
        clock = Clock()
        async with client.amap("openai/whole", (MESSAGES for _ in range(count)), concurrency=AT_ONCE) as results:
            async for result in results:
                assert result.response is not None
        return clock.values(count)


async def map_aiohttp(count: int, origin: str) -> Values:
    import aiohttp

    headers = {"authorization": f"Bearer {API_KEY}"}
    async with aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(limit=0)) as session:

        async def call() -> str:
            body = {"model": "whole", "messages": MESSAGES}
            async with session.post(f"{origin}/v1/chat/completions", json=body) as answer:
                return (await answer.json())["choices"][0]["message"]["content"]

        return await in_tasks(count, call)


async def map_openai(count: int, origin: str) -> Values:
    from ..contenders import openai_aiohttp

    async with openai_aiohttp.connect(f"{origin}/v1") as client:
        return await with_semaphore(count, lambda: openai_aiohttp.whole(client, "whole"))


async def map_litellm(count: int, origin: str) -> Values:
    from ..contenders import litellm

    client = litellm.connect(f"{origin}/v1")
    return await with_semaphore(count, lambda: litellm.whole(client, "whole"))


# Batch.


def _lines(count: int) -> Iterator[str]:
    for number in range(count):
        body = {"model": "openai/whole", "messages": [{"role": "user", "content": ""}]}
        line = {"custom_id": f"request-{number:08d}", "method": "POST", "url": "/v1/chat/completions", "body": body}
        body["messages"] = [{"role": "user", "content": "x" * (LINE_BYTES - len(json.dumps(line)) - 1)}]
        yield json.dumps(line) + "\n"


def _written(folder: str, count: int) -> tuple[str, str]:
    """Input and output of a batch of so many lines."""
    with (Path(folder) / "in.jsonl").open("w") as file:
        file.writelines(_lines(count))
    return f"{folder}/in.jsonl", f"{folder}/out.jsonl"


def _write_results(output: Path, count: int) -> None:
    """The results of the first lines, as an earlier run left them."""
    message = {"role": "assistant", "content": "x" * 200, "refusal": None, "annotations": []}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    usage = {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18}
    body = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
    response = json.dumps({"status_code": 200, "request_id": "r", "body": body}, separators=(",", ":"))
    with output.open("w") as file:
        for number in range(count):
            about = f'"id":"batch_req_{number + 1}","custom_id":"request-{number:08d}"'
            file.write(f'{{{about},"response":{response},"error":null}}\n')


async def batch_tokenwire(count: int, origin: str) -> Values:
    from tokenwire.jobs import abatch

    with tempfile.TemporaryDirectory() as folder:
        files = _written(folder, count)
        async with _client(origin) as client:
            clock = Clock()
            progress = await abatch(*files, client=client, concurrency=AT_ONCE)
        assert progress.done == count
        assert progress.complete
        return clock.values(count)


async def batch_gathered(count: int, origin: str) -> Values:
    """Reads all lines, makes all calls, and writes at the end: a kill loses everything."""
    from ..contenders import openai_aiohttp

    with tempfile.TemporaryDirectory() as folder:
        source, output = _written(folder, count)
        semaphore = asyncio.Semaphore(AT_ONCE)
        async with openai_aiohttp.connect(f"{origin}/v1") as client:

            async def one(line: dict[str, Any]) -> dict[str, Any]:
                async with semaphore:
                    answer = await client.chat.completions.create(**line["body"] | {"model": "whole"})
                return {"custom_id": line["custom_id"], "response": {"status_code": 200, "body": answer.model_dump()}}

            clock = Clock()
            lines = [json.loads(line) for line in Path(source).read_text().splitlines()]  # noqa: ASYNC240
            results = await asyncio.gather(*[one(line) for line in lines])
            Path(output).write_text("".join(json.dumps(result) + "\n" for result in results))  # noqa: ASYNC240
        return clock.values(count)


async def resume_tokenwire(count: int, origin: str) -> Values:
    """Until the first call of the next run, after one of few lines, so that what any run takes once is not counted."""
    await _resumed(1000)
    return await _resumed(count)


async def _resumed(count: int) -> Values:
    """A handler answers, and says when it is asked."""
    import resource

    from tokenwire import AsyncClient
    from tokenwire.jobs import Batch

    with tempfile.TemporaryDirectory() as folder:
        source, output = _written(folder, count)
        _write_results(Path(output), int(count * DONE))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        found: Values = {}
        started, cpu = time.perf_counter(), time.process_time()

        async def handler(**_: Any) -> str:
            if not found:
                grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
                took = {"seconds": time.perf_counter() - started, "cpu_s": time.process_time() - cpu}
                found.update(took, bytes_per_line=grown * 1024 / count)
            batch.drain()
            return "Hello"

        async with AsyncClient(handlers={"mine": handler}) as client:
            batch = Batch(source, output, model="mine/m", client=client)
            await batch.run()
    return found


# Gate.


async def _at_gate(count: int, origin: str, waiting: int) -> Values:
    from tokenwire import Gate

    async with _client(origin, gate=Gate(max_concurrency=AT_ONCE)) as client:
        return await in_tasks(count, lambda: client.acompletion("openai/whole", MESSAGES), AT_ONCE + waiting)


async def gate_none(count: int, origin: str) -> Values:
    return await map_acompletion(count, origin)


async def gate_few(count: int, origin: str) -> Values:
    return await _at_gate(count, origin, 4)


async def gate_many(count: int, origin: str) -> Values:
    return await _at_gate(count, origin, 4000)


# Hedge.

SLOW_SHARE, SLOW_S, QUICK_S = 0.05, 1.0, 0.02  # first tokens of the server below
HEDGE_AFTER_S = 0.3


class _SlowServer:
    """Streams a word; one in twenty first tokens is late. In this process: what is measured is waiting, not CPU."""

    def __init__(self) -> None:
        self.requests = 0
        self._random = random.Random(1)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split(None, 1)[0]))
                self.requests += 1
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
                await asyncio.sleep(SLOW_S if self._random.random() < SLOW_SHARE else QUICK_S)
                choice = {"index": 0, "delta": {"content": "Hello"}, "finish_reason": "stop"}
                said = f"data: {json.dumps({'id': '1', 'choices': [choice]})}\n\ndata: [DONE]\n\n".encode()
                writer.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(said), said))
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass  # the client has left, or the run is over
        finally:
            writer.close()


async def _first_contents(count: int, **keywords: Any) -> Values:
    server = _SlowServer()
    seconds: list[float] = []
    async with await asyncio.start_server(server.answer, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        async with _client(f"http://127.0.0.1:{port}", **keywords) as client:

            async def call() -> None:
                async with client.astreaming("openai/m", MESSAGES) as stream:
                    async for _ in stream:
                        pass
                seconds.append(stream.timings.first_content)

            await in_tasks(count, call, tasks=AT_ONCE // 4)
        requests = server.requests
    seconds.sort()
    return {"p99_ms": seconds[len(seconds) * 99 // 100] * 1e3, "requests": requests / len(seconds)}


async def hedge_none(count: int, origin: str) -> Values:
    return await _first_contents(count)


async def hedge_after(count: int, origin: str) -> Values:
    from tokenwire import Hedge

    return await _first_contents(count, hedge=Hedge(after=HEDGE_AFTER_S))


async def hedge_p95(count: int, origin: str) -> Values:
    from tokenwire import Hedge

    return await _first_contents(count, hedge=Hedge(after="p95"))


# Ray.


def _rows(count: int) -> Any:
    os.environ["RAY_DATA_DISABLE_PROGRESS_BARS"] = "1"
    import ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    return ray.data.from_items([{"prompt": f"number {number}"} for number in range(count)]).repartition(1).materialize()


async def ray_tokenwire(count: int, origin: str) -> Values:
    import ray

    from tokenwire.ray import Completions

    keywords = {"model": "openai/whole-100", "api_base": f"{origin}/v1", "api_key": API_KEY, "max_concurrency": AT_ONCE}
    mapped = _rows(count).map_batches(
        Completions,
        fn_constructor_kwargs=keywords,
        compute=ray.data.ActorPoolStrategy(size=1),
        batch_format="pyarrow",
        batch_size=AT_ONCE,
    )
    return _run_ray(mapped, count)


async def ray_llm(count: int, origin: str) -> Values:
    rows = _rows(count)
    from ray.data.llm import HttpRequestProcessorConfig, build_processor

    processor = build_processor(
        HttpRequestProcessorConfig(url=f"{origin}/v1/chat/completions", batch_size=AT_ONCE, concurrency=1),
        preprocess=lambda row: {
            "payload": {"model": "whole-100", "messages": [{"role": "user", "content": row["prompt"]}]},
        },
        postprocess=lambda row: {"text": row["http_response"]["choices"][0]["message"]["content"]},
    )
    return _run_ray(processor(rows), count)


def _run_ray(dataset: Any, count: int) -> Values:
    """All of it, the actor's start included, which is the same for both."""
    started = time.perf_counter()
    assert dataset.materialize().count() == count
    wall = time.perf_counter() - started
    return {"s_per_1000": wall / count * 1000, "per_s": count / wall}


def main() -> None:
    raise_file_limit()
    settle_malloc()
    job = json.loads(sys.argv[1])
    try:
        outcome: dict[str, Any] = {"values": asyncio.run(globals()[job["function"]](job["count"], job["origin"]))}
    except Exception as error:  # noqa: BLE001  (the contender's: it can be anything)
        outcome = {"failure": f"{type(error).__name__}: {error}"[:300]}
    print(MARK + json.dumps(outcome), flush=True)


if __name__ == "__main__":
    main()
