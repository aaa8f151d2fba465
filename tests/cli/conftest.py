"""How the tests of the command line run it: in this process, in one of its own, and on a terminal."""

import io
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import httpx
import pytest

from tokenwire.cli import main
from tokenwire.testing import Endpoint

SECONDS = 60.0  # for anything to happen, on a machine with other work to do too
ASKED = {"messages": [{"role": "user", "content": "my secret"}]}
PATIENCE = 1.0  # before a person presses a key again

# On Linux a process of ours is killed where we are, and so can't end it: its workers end with it.
DIES_WITH_US = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []

# login_tty gives the process a session of its own whose terminal this is, so that ^C there is a SIGINT here.
ON_TERMINAL = "import os; os.login_tty(0); from tokenwire.cli import main; raise SystemExit(main())"


class Run(NamedTuple):
    status: int
    out: str
    err: str


@pytest.fixture
def tokenwire(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Run]:
    """Run the command line in this process, with nothing or a text on standard input."""

    def run(*arguments: str, stdin: str = "") -> Run:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        try:
            status = main(arguments)
        except SystemExit as leaving:
            status = int(leaving.code or 0)
        captured = capsys.readouterr()
        return Run(status, captured.out, captured.err)

    return run


@pytest.fixture
def chat(tokenwire: Callable[..., Run]) -> Callable[..., Run]:
    """`tokenwire chat` with an endpoint."""

    def run(endpoint: Endpoint, *arguments: str, stdin: str = "") -> Run:
        return tokenwire("chat", "-m", "m", "--api-base", endpoint.url, *arguments, stdin=stdin)

    return run


@pytest.fixture
def process() -> Iterator[Callable[..., "subprocess.Popen[bytes]"]]:
    """The command line in a process of its own, with pipes for its output; ended with the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str, stdout: Any = subprocess.PIPE) -> "subprocess.Popen[bytes]":
        command = [*DIES_WITH_US, sys.executable, "-W", "error", "-m", "tokenwire", *arguments]
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
        nothing, pipe = subprocess.DEVNULL, subprocess.PIPE
        started.append(subprocess.Popen(command, stdin=nothing, stdout=stdout, stderr=pipe, env=environment))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


class Served:
    """The command in a process of its own, once it has said where it serves."""

    def __init__(self, process: Any) -> None:
        self.process = process
        first, *others = (process.stdout.readline().decode() for _ in range(3))
        self.announced = "".join([first, *others])
        assert first.startswith("serving at http://"), process.stderr.read().decode()
        self.url = first.split()[2].rstrip(",")

    def wait_for(self, text: str) -> str:
        """What it says on standard error, up to the line that has this."""
        lines = []
        for line in self.process.stderr:
            lines.append(line.decode())
            if text in lines[-1]:
                return "".join(lines)
        raise AssertionError(f"{text!r} did not come: {lines}")

    def ask(self, client: Any = httpx, **fields: Any) -> dict[str, Any]:
        answer = client.post(f"{self.url}/chat/completions", json={**ASKED, **fields}, timeout=SECONDS)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
def serve(process: Callable[..., Any]) -> Callable[..., Served]:
    return lambda *arguments: Served(process("serve", *arguments, "--port", "0"))


class Terminal:
    """The command line on a terminal of its own, which the test types at."""

    def __init__(self, *arguments: str, columns: int = 0) -> None:
        pty = pytest.importorskip("pty")
        self._screen, theirs = pty.openpty()
        if columns:
            import termios

            termios.tcsetwinsize(theirs, (24, columns))
        _keep_output_at_ctrl_c(theirs)
        command = [sys.executable, "-W", "error", "-c", ON_TERMINAL, *arguments]
        environment = os.environ | {"TERM": "xterm", "NO_COLOR": "1"}
        self._process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
        os.close(theirs)
        self._unread = ""

    def type(self, text: str) -> None:
        os.write(self._screen, text.encode())

    def wait_for(self, text: str) -> str:
        """What the terminal shows up to and with `text`, from where the last wait ended."""
        until = time.monotonic() + SECONDS
        while text not in self._unread:
            more = self._read(until)
            assert more, f"{text!r} did not come; on the screen: {self._unread!r}"
            self._unread += more
        shown, _, self._unread = self._unread.partition(text)
        return shown + text

    def wait_for_end(self) -> int:
        """The process's status; what it still shows can be waited for no more."""
        until = time.monotonic() + SECONDS
        while self._read(until):
            pass
        return self._process.wait(max(0.0, until - time.monotonic()))

    def press_ctrl_c_and_wait_for_end(self) -> int:
        """The process's status. A key pressed while readline shows the one before may be lost on it: then it is pressed again."""
        until = time.monotonic() + SECONDS
        while self._process.poll() is None and time.monotonic() < until:
            self.type("\x03")
            pressed = time.monotonic()
            while self._read(pressed + PATIENCE):
                pass
        return self._process.wait(1)

    def _read(self, until: float) -> str:
        """What the terminal shows next; "" when the process is gone, or the time is up."""
        ready, _, _ = select.select([self._screen], [], [], max(0.0, until - time.monotonic()))
        try:
            return os.read(self._screen, 65536).decode("utf-8", "replace") if ready else ""
        except OSError:  # EIO: nobody has the other end open
            return ""

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._screen)


def _keep_output_at_ctrl_c(terminal: int) -> None:
    """Otherwise the kernel throws away what waits to be shown, after the signal: an answer that comes at once is lost."""
    import termios

    modes = termios.tcgetattr(terminal)
    modes[3] |= termios.NOFLSH
    termios.tcsetattr(terminal, termios.TCSANOW, modes)


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    started: list[Terminal] = []

    def start(*arguments: str, columns: int = 0) -> Terminal:
        started.append(Terminal(*arguments, columns=columns))
        return started[-1]

    yield start
    for one in started:
        one.close()
