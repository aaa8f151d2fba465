"""Kill a batch at random moments, again and again, and look at its output line by line: `python -m tests.jobs.kills`.

Each run is a process of its own, forked from this one, on one event loop after the other. It is killed by SIGKILL, and now
and then its output is cut anywhere in what it wrote since, as a power cut may leave it. Checked each time: what was whole
before is still there, byte for byte. In the end: each input line has one whole result, which is its own, and nothing was
asked more often than the calls under way at a kill, and what a cut took, explain.
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import anyio

from tokenwire import AsyncClient
from tokenwire.jobs import Batch

CONCURRENCY = 16
START = 0.01  # kills before that come while it starts, and reads what is there
LOOPS: list[tuple[str, dict[str, Any]]] = [("asyncio", {}), ("asyncio", {"use_uvloop": True}), ("trio", {})]


class Counts:
    """What came of it."""

    def __init__(self) -> None:
        self.kills = self.cuts = self.cut_lines = self.asked = self.torn = 0

    def __str__(self) -> str:
        return ", ".join(f"{value} {name}" for name, value in vars(self).items())


def run_once(folder: Path, loop: tuple[str, dict[str, Any]], seconds: float) -> None:
    """The whole batch, in this process."""
    asked = os.open(folder / "asked", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    rng = random.Random()

    async def handler(messages: Any, **_: Any) -> str:
        os.write(asked, b".")
        await anyio.sleep(rng.random() * seconds)
        return f"said {messages[0]['content']}"

    async def main() -> None:
        async with AsyncClient(handlers={"mine": handler}) as client:
            batch = Batch(
                str(folder / "in.jsonl"),
                str(folder / "out.jsonl"),
                model="mine/m",
                client=client,
                concurrency=CONCURRENCY,
                sync_seconds=0.02,
            )
            await batch.run()

    anyio.run(main, backend=loop[0], backend_options=loop[1])


def kills(folder: Path, *, times: int, seed: int, lines: int, seconds: float = 0.004) -> Counts:
    """Run and kill a batch so often, then let it end, and check the output."""
    rng, counts, output = random.Random(seed), Counts(), folder / "out.jsonl"
    with (folder / "in.jsonl").open("w") as file:
        for number in range(lines):
            body = {"messages": [{"role": "user", "content": f"{number} {'x' * rng.randrange(200)}"}]}
            file.write(json.dumps({"custom_id": f"id-{number}", "url": "/v1/chat/completions", "body": body}) + "\n")
    while counts.kills < times:
        before = output.read_bytes() if output.exists() else b""
        whole = before[: before.rfind(b"\n") + 1]
        counts.torn += whole != before
        if os.waitstatus_to_exitcode(killed(folder, LOOPS[counts.kills % 3], rng.random() * 0.1, seconds)) == 0:
            raise AssertionError(f"it was done after {counts.kills} kills: more lines are needed")
        after = output.read_bytes() if output.exists() else b""
        assert after.startswith(whole), "a line that was written is gone"
        counts.kills += 1
        if rng.random() < 0.3 and len(after) > len(whole):
            place = rng.randrange(len(whole), len(after))
            counts.cuts += 1
            counts.cut_lines += after[place:].count(b"\n")
            os.truncate(output, place)
    assert os.waitstatus_to_exitcode(killed(folder, LOOPS[0], None, 0.0)) == 0
    check(folder, lines)
    counts.asked = (folder / "asked").stat().st_size
    assert counts.asked <= lines + counts.kills * CONCURRENCY * 2 + counts.cut_lines
    return counts


def killed(folder: Path, loop: tuple[str, dict[str, Any]], after: float | None, seconds: float) -> int:
    """Run it in a process of its own, and kill that so many seconds after its first call, or after it began."""
    asked = folder / "asked"
    before = asked.stat().st_size if asked.exists() else 0
    child = os.fork()
    if child == 0:
        status = 1
        try:
            run_once(folder, loop, seconds)
            status = 0
        finally:
            os._exit(status)
    if after is not None:
        while after >= START and (asked.stat().st_size if asked.exists() else 0) == before:
            time.sleep(0.002)
        time.sleep(after)
        os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]


def check(folder: Path, lines: int) -> None:
    """Each line of the input has one result, and that is its own."""
    inputs = [json.loads(line) for line in (folder / "in.jsonl").read_bytes().splitlines()]
    data = (folder / "out.jsonl").read_bytes()
    assert data.endswith(b"\n")
    results = {}
    for line in data.splitlines():
        result = json.loads(line)
        assert result["custom_id"] not in results, f"{result['custom_id']} is there twice"
        results[result["custom_id"]] = result
    assert len(results) == lines
    for item in inputs:
        result = results[item["custom_id"]]
        said = result["response"]["body"]["choices"][0]["message"]["content"]
        assert (said, result["error"]) == (f"said {item['body']['messages'][0]['content']}", None)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=240)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lines", type=int, default=40_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        counts = kills(Path(folder), times=arguments.times, seed=arguments.seed, lines=arguments.lines)
    print(f"{arguments.lines} lines, each with one result that is its own: {counts}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
