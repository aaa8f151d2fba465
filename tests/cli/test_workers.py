"""`tokenwire serve --workers`: several processes, how they share what comes, and how they end."""

import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from .conftest import ASKED, SECONDS, Served

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs the signals of POSIX")

MODULE = """\
import os
from pathlib import Path

import anyio

async def handler(messages):
    yield str(os.getpid())

async def waiting(messages):
    try:
        yield str(os.getpid())
        while not Path("go on").exists():
            await anyio.sleep(0.01)
        yield " more"
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(0.05)
            Path(f"cleaned up by {os.getpid()}").touch()
"""
ONCE = """\
import os

os.mkdir("imported")  # by the command itself: its workers fail here

async def handler(messages):
    yield "never"
"""
LATE = """\
import os
import time
from pathlib import Path

try:
    os.mkdir("imported")  # by the command itself: its workers wait here
except FileExistsError:
    os.write(2, b"a worker waits\\n")
    while not Path("go on").exists():
        time.sleep(0.01)

async def handler(messages):
    yield "never"
"""
BOTH = """\
model_list:
  - {model_name: handler, litellm_params: {model: one/x}}
  - {model_name: waiting, litellm_params: {model: other/x}}
litellm_settings:
  custom_provider_map:
    - {provider: one, custom_handler: my_module.handler}
    - {provider: other, custom_handler: my_module.waiting}
"""
LOOKS = 200
BURST = 64  # connections: that one of two workers has fewer than 10 of them, by chance, comes once in 10 ** 8 times
END = "data: [DONE]"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "my_module.py").write_text(MODULE)
    (tmp_path / "once.py").write_text(ONCE)
    (tmp_path / "late.py").write_text(LATE)
    (tmp_path / "both.yaml").write_text(BOTH)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def both(serve: Callable[..., Served]) -> Served:
    """Two workers, both ready: the address is announced when they are."""
    return serve("--config", "both.yaml", "--workers", "2", "--metrics")


class Stream:
    """A stream of `waiting`, of which the first chunk has come."""

    def __init__(self, served: Served, client: httpx.Client, stack: ExitStack) -> None:
        asked = client.stream("POST", f"{served.url}/chat/completions", json={**ASKED, "model": "waiting", "stream": True})
        self._lines = stack.enter_context(asked).iter_lines()
        first = next(self._lines)
        self.worker = int("".join(filter(str.isdigit, first.partition('"content":')[2].partition(",")[0])))

    def rest(self) -> list[str]:
        return [line for line in self._lines if line]


@contextmanager
def streams_of_both(served: Served) -> Generator[list[Stream], None, None]:
    """Streams on connections of their own, at least two of each worker."""
    with ExitStack() as stack:
        streams: list[Stream] = []
        while len(counts := Counter(stream.worker for stream in streams)) < 2 or min(counts.values()) < 2:
            assert len(streams) < BURST, "only one worker answers"
            streams.append(Stream(served, stack.enter_context(httpx.Client(timeout=SECONDS)), stack))
        yield streams


def worker_of(served: Served, client: Any = httpx) -> int:
    return int(served.ask(client, model="handler")["choices"][0]["message"]["content"])


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not spread connections over sockets")
def test_connections_that_come_in_one_burst_are_spread(both: Served) -> None:
    """Clients that keep them would have one worker work for all of them otherwise."""
    with ExitStack() as stack:
        clients = [stack.enter_context(httpx.Client(timeout=SECONDS)) for _ in range(BURST)]
        for client in clients:
            client.get(f"{both.url}/health")
        counts = Counter(worker_of(both, client) for client in clients)
    assert len(counts) == 2
    assert min(counts.values()) >= 10


def test_the_figures_of_each_worker_are_those_of_all(both: Served) -> None:
    asked: Counter[int] = Counter()
    with streams_of_both(both) as streams, ExitStack() as stack:
        clients: dict[int, httpx.Client] = {}
        while len(clients) < 2:
            client = stack.enter_context(httpx.Client(timeout=SECONDS))
            worker = worker_of(both, client)
            asked[worker] += 1
            assert asked.total() < BURST, "only one worker answers"
            clients[worker] = client
        for client in clients.values():
            total = 'tokenwire_requests_total{endpoint="/chat/completions",model="handler",outcome="complete",status="200"}'
            expected = {f"{total} {asked.total()}.0", f"tokenwire_requests_in_flight {len(streams) + 1}.0"}
            figures: list[str] = []
            for _ in range(LOOKS):  # a request is counted as ended a moment after its client has the answer
                figures = client.get(f"{both.url.removesuffix('/v1')}/metrics").text.splitlines()
                if expected <= set(figures):
                    break
            assert expected <= set(figures), figures


def test_a_worker_that_is_killed_takes_its_own_streams_with_it_and_is_replaced(both: Served, folder: Path) -> None:
    with streams_of_both(both) as streams:
        victim = streams[0].worker
        os.kill(victim, signal.SIGKILL)
        for stream in streams:
            if stream.worker == victim:
                with pytest.raises(httpx.RemoteProtocolError):
                    stream.rest()
        both.wait_for(f"worker {victim} has ended with status -{signal.SIGKILL:d}")
        (folder / "go on").touch()
        assert {stream.rest()[-1] for stream in streams if stream.worker != victim} == {END}
    workers: set[int] = set()
    for _ in range(BURST):  # connections to the one that comes wait for it
        workers.add(worker_of(both))
    assert len(workers) == 2
    assert victim not in workers
    for _ in range(LOOKS):
        figures = httpx.get(f"{both.url.removesuffix('/v1')}/metrics").text.splitlines()
        if "tokenwire_requests_in_flight 1.0" in figures:  # this look at them
            return
    pytest.fail("requests are in flight that have ended")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_all_streams_finish(number: signal.Signals, both: Served, folder: Path) -> None:
    with streams_of_both(both) as streams:
        both.process.send_signal(number)
        for _ in range(2):
            both.wait_for("waiting for ")
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{both.url}/health")
        (folder / "go on").touch()
        assert {stream.rest()[-1] for stream in streams} == {END}
    assert both.process.wait(SECONDS) == (130 if number == signal.SIGINT else -number)


def test_a_second_ctrl_c_ends_all_streams_at_once(both: Served) -> None:
    with streams_of_both(both) as streams:
        both.process.send_signal(signal.SIGINT)
        for _ in range(2):
            both.wait_for("waiting for ")
        both.process.send_signal(signal.SIGINT)
        for stream in streams:
            with pytest.raises(httpx.RemoteProtocolError):
                stream.rest()
    assert both.process.wait(SECONDS) == 130


def test_streams_that_take_too_long_are_cut_and_clean_up(serve: Callable[..., Served], folder: Path) -> None:
    served = serve("--config", "both.yaml", "--workers", "2", "--grace-seconds", "0")
    with streams_of_both(served) as streams:
        served.process.send_signal(signal.SIGTERM)
        for stream in streams:
            with pytest.raises(httpx.RemoteProtocolError):
                stream.rest()
        workers = {stream.worker for stream in streams}
    assert served.process.wait(SECONDS) == -signal.SIGTERM
    assert {path.name for path in folder.glob("cleaned up by *")} == {f"cleaned up by {worker}" for worker in workers}
    assert "Traceback" not in served.process.stderr.read().decode()


def test_workers_end_without_the_process_that_watches_over_them(both: Served, folder: Path) -> None:
    with streams_of_both(both) as streams:
        both.process.kill()
        for _ in range(2):
            both.wait_for("waiting for ")
        (folder / "go on").touch()
        assert {stream.rest()[-1] for stream in streams} == {END}
    both.process.communicate(timeout=SECONDS)  # ends when all who may write to its pipes have ended


def test_workers_end_also_where_nobody_reads_what_they_say(both: Served, folder: Path) -> None:
    """As after `tokenwire serve ... 2>&1 | head`: that they wait for requests is not worth failing for."""
    with streams_of_both(both) as streams:
        both.process.stderr.close()
        both.process.kill()
        (folder / "go on").touch()
        assert {stream.rest()[-1] for stream in streams} == {END}
    both.process.communicate(timeout=SECONDS)


def test_workers_that_start_when_the_process_that_watches_over_them_is_gone_end(
    process: Callable[..., Any], folder: Path
) -> None:
    command = process("serve", "late:handler", "--workers", "2", "--port", "0")
    assert [command.stderr.readline() for _ in range(2)] == [b"a worker waits\n"] * 2
    command.kill()
    (folder / "go on").touch()
    command.communicate(timeout=SECONDS)


def test_workers_that_can_not_start_end_the_command(process: Callable[..., Any]) -> None:
    command = process("serve", "once:handler", "--workers", "2", "--port", "0")
    out, err = command.communicate(timeout=SECONDS)
    assert (command.returncode, out) == (1, b"")
    assert b"has ended with status 1" in err


def test_a_second_command_finds_the_port_taken(both: Served, process: Callable[..., Any]) -> None:
    """Though all workers of one share it."""
    port = both.url.removesuffix("/v1").rpartition(":")[2]
    command = process("serve", "my_module:handler", "--workers", "2", "--port", port)
    _, err = command.communicate(timeout=SECONDS)
    assert (command.returncode, err.decode()) == (2, f"tokenwire: 127.0.0.1:{port} is in use\n")
