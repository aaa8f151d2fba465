"""The command line as a whole: help, version, and how its process ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tokenwire import __version__
from tokenwire.testing import Endpoint, Reply, chunks

from .conftest import SECONDS


def test_version(tokenwire: Callable[..., Any]) -> None:
    assert tokenwire("--version") == (0, f"tokenwire {__version__}\n", "")


@pytest.mark.parametrize("arguments", [["--version"], ["chta"]], ids=" ".join)
def test_the_package_run_as_a_module_is_the_command(tokenwire: Callable[..., Any], arguments: list[str]) -> None:
    run = tokenwire(*arguments)
    done = subprocess.run([sys.executable, "-m", "tokenwire", *arguments], capture_output=True, text=True, timeout=SECONDS)
    assert (done.returncode, done.stdout, done.stderr) == (run.status, run.out, run.err)


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["chat", "--help"], ["demo", "--help"], ["embed", "--help"], ["models", "--help"], ["serve", "--help"]],
    ids=" ".join,
)
def test_help(tokenwire: Callable[..., Any], arguments: list[str]) -> None:
    run = tokenwire(*arguments)
    assert (run.status, run.err) == (0, "")
    assert run.out.startswith("usage: tokenwire")


def test_no_command(tokenwire: Callable[..., Any]) -> None:
    run = tokenwire()
    assert (run.status, run.out) == (2, "")
    assert run.err.startswith("usage: tokenwire")


def test_an_unknown_command(tokenwire: Callable[..., Any]) -> None:
    run = tokenwire("sk-secret")
    assert (run.status, run.err) == (2, "tokenwire: there is no such command (try tokenwire --help)\n")  # it might be a key


def test_a_misspelled_command(tokenwire: Callable[..., Any]) -> None:
    run = tokenwire("chta", "Hi")
    assert (run.status, run.out) == (2, "")
    assert run.err == "tokenwire: there is no such command: did you mean chat? (try tokenwire --help)\n"


def test_help_and_version_load_little() -> None:
    script = (
        "import sys; from tokenwire.cli import main\n"
        "try: main(['--version'])\n"
        "except SystemExit: print(*(name for name in ('asyncio', 'anyio', 'httpx', 'rich') if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout == f"tokenwire {__version__}\n\n"


def test_ctrl_c_ends_a_reply_and_its_connection(process: Callable[..., Any]) -> None:
    with Endpoint(Reply(events=["Once", " upon"], done=False, stall=True)) as endpoint:
        running = process("chat", "-m", "m", "--api-base", endpoint.url, "Hi")
        assert running.stdout.read(9) == b"Once upon"
        running.send_signal(signal.SIGINT)
        assert running.communicate(timeout=SECONDS) == (b"\n", b"")
        assert running.returncode == 130
        endpoint.wait_closed(endpoint.requests[0])
        assert endpoint.requests[0].aborted


def test_ctrl_c_before_the_reply_begins(process: Callable[..., Any]) -> None:
    with Endpoint(Reply(delay=60)) as endpoint:
        running = process("chat", "-m", "m", "--api-base", endpoint.url, "Hi")
        endpoint.wait_until(lambda: endpoint.requests, timeout=SECONDS)
        running.send_signal(signal.SIGINT)
        assert running.communicate(timeout=SECONDS) == (b"", b"")
        assert running.returncode == 130
        endpoint.wait_closed(endpoint.requests[0])


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["text", "json"])
def test_whoever_reads_the_reply_may_stop_reading(process: Callable[..., Any], form: list[str]) -> None:
    with Endpoint(Reply(events=chunks("word " * 2000), event_delay=0.005)) as endpoint:
        running = process("chat", "-m", "m", "--api-base", endpoint.url, *form, "Hi")
        assert running.stdout.read(1)
        running.stdout.close()
        assert running.wait(SECONDS) == 141
        assert running.stderr.read() == b""
        endpoint.wait_closed(endpoint.requests[0])
        assert endpoint.requests[0].aborted


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")
def test_output_that_cannot_be_written(process: Callable[..., Any]) -> None:
    with Endpoint(Reply(events=chunks("Hello"))) as endpoint, open("/dev/full", "wb") as full:
        running = process("chat", "-m", "m", "--api-base", endpoint.url, "Hi", stdout=full)
        _, err = running.communicate(timeout=SECONDS)
    assert (running.returncode, err) == (1, b"tokenwire: No space left on device\n")
