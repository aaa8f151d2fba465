"""What every test gets: the event loops to run on, an environment of its own, and a guard against leftovers."""

import contextlib
import gc
import importlib.util
import logging
import os
import signal
import socket
import stat
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadFileScheduling

from tokenwire.testing import FakeClock

# Tests start Python a few hundred times: each would compile the library anew.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# In the development mode asyncio says how long a callback took, which depends on the machine.
logging.getLogger("asyncio").addFilter(lambda record: not record.getMessage().startswith("Executing "))

# A slow machine is no failure, and CI tries the same examples each time.
settings.register_profile(
    "house",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="CI" in os.environ,
    max_examples=50,
)
settings.load_profile("house")

# Python 3.12 and 3.13 crash where uvloop notes where coroutines come from, as it does in the development mode.
UVLOOP = ("asyncio", {"use_uvloop": True, "debug": False})
LOOPS = [
    pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"),
    pytest.param(
        UVLOOP,
        id="asyncio+uvloop",
        marks=pytest.mark.skipif(importlib.util.find_spec("uvloop") is None, reason="there is no uvloop on this platform"),
    ),
    pytest.param(("trio", {}), id="trio"),
]
one_loop = pytest.mark.parametrize("anyio_backend", LOOPS[:1])  # for what has nothing to do with loops

REAL = "tests/real/"
MOST_PROCESSES = 4  # each collects the whole suite
LONG = (  # where tests take long, though there are few of them: most of them start programs
    REAL,
    "tests/cli/",
    "tests/faults/test_soak.py",
    "tests/house/test_benchmarks.py",
    "tests/house/test_distribution.py",
    "tests/house/test_readme.py",
    "tests/server/clients/",
    "tests/server/test_openapi.py",
    "tests/server/test_other_servers.py",
    "tests/server/test_page.py",
    "tests/test_sync_processes.py",
    "tests/wire/test_responses_odd.py",
)
PORTAL_THREAD = "tokenwire"  # the sync face's threads live as long as the process
CACHED_THREADS = ("Trio thread", "asyncio_", "AnyIO worker thread")  # idle ones that their owners keep, or end in a moment
PATIENCE = 30.0  # seconds by which what is to happen has happened, on a machine with other work to do too


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One process more than there are cores, as tests often wait; none but this for tests or files asked for by name."""
    if any(argument.partition("::")[0].endswith(".py") for argument in config.args):
        return 0
    return min((os.cpu_count() or 1) + 1, MOST_PROCESSES)


class ByFile(LoadFileScheduling):
    """A file's tests share a process, and what was set up for them; those in tests/real share one, as their servers do."""

    def _split_scope(self, nodeid: str) -> str:
        return REAL if nodeid.startswith(REAL) else super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    return ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files in the order in which they are handed out: what takes long first, so that no process ends long after the others."""
    tests = Counter(item.path for item in items)
    items.sort(key=lambda item: (not item.nodeid.startswith(LONG), -tests[item.path], item.path))


def pytest_collection_finish() -> None:
    """The programs that tests start are not in the development mode if these are: what they print is looked at.

    And Ctrl-C reaches them: a shell's background jobs ignore it, and all that these start would, too.
    """
    os.environ.pop("PYTHONDEVMODE", None)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="module")
def what_stays_is_frozen() -> None:
    """Thousands of tests, and what those before left in caches: the garbage collector need not walk it each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def clock() -> Iterator[FakeClock]:
    """Time that passes when the test says so; `anyio_backend` gives it to trio."""
    with FakeClock() as clock:
        yield clock


@contextlib.asynccontextmanager
async def an_hour(clock: FakeClock, when: Callable[[], Awaitable[object]] = anyio.lowlevel.checkpoint) -> AsyncIterator[None]:
    """An hour passes while the block runs, from when `when` has been awaited; what waits for half of it hangs."""

    async def pass_by() -> None:
        await when()
        await clock.aadvance(3600)

    async with anyio.create_task_group() as group:
        group.start_soon(pass_by)
        with anyio.fail_after(1800):
            yield
        group.cancel_scope.cancel()


@contextlib.contextmanager
def nobody() -> Iterator[tuple[str, int]]:
    """An address that refuses connections, and that nobody else is given meanwhile: it is taken, and not listened at."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()


@pytest.fixture(params=LOOPS)
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """The event loop an async test runs on; each runs on all three."""
    name, options = request.param
    if name == "trio" and "clock" in request.fixturenames:
        return name, {"clock": request.getfixturevalue("clock"), **options}
    return name, options


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key, address or proxy of whoever runs the tests reaches them."""
    for name in list(os.environ):
        of_a_host = name.upper().endswith(("_PROXY", "_API_KEY", "_API_BASE", "_TOKEN"))
        if of_a_host or name.upper().startswith(("OPENAI_", "ANTHROPIC_", "AZURE_", "OR_")):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fail a test that leaves a thread or an open socket behind.

    Sockets are counted where /proc shows them. A portal's thread keeps connections for the next call, so a test in
    which such a thread did anything is not judged by its sockets. What another thread is about to close, it may close.
    """
    portals = _portals()  # before the sockets, and at the end after them: one that is opened meanwhile is the portal's
    threads, sockets = set(threading.enumerate()), _sockets()
    yield
    if left := _still_running(set(threading.enumerate()) - threads):
        pytest.fail(f"threads left running: {', '.join(thread.name for thread in left)}")
    opened = _sockets() - sockets
    if not opened or _portals() != portals:
        return
    gc.collect()  # what only garbage keeps open says so now, as a ResourceWarning, and is closed
    until = time.monotonic() + PATIENCE
    while (opened := opened & _sockets()) and _portals() == portals and time.monotonic() < until:
        time.sleep(0.01)
    if opened and _portals() == portals:
        pytest.fail(f"sockets left open: {', '.join(sorted(opened))}")


def _portals() -> dict[threading.Thread, float]:
    """The threads of the sync face, and the processor time that each has used."""
    if not hasattr(time, "pthread_getcpuclockid"):
        return {}
    portals = [(thread, thread.ident) for thread in threading.enumerate() if thread.name == PORTAL_THREAD]
    return {thread: time.clock_gettime(time.pthread_getcpuclockid(ident)) for thread, ident in portals if ident}


def _still_running(threads: set[threading.Thread]) -> list[threading.Thread]:
    """Those that go on for longer than `PATIENCE`; all of them together get that long to end."""
    until = time.monotonic() + PATIENCE
    left = [thread for thread in threads if _is_judged(thread)]
    while left and time.monotonic() < until:
        left[0].join(0.05)  # trio's workers don't end: they are renamed when they are idle again
        left = [thread for thread in left if _is_judged(thread)]
    return left


def _is_judged(thread: threading.Thread) -> bool:
    """A thread is listed a moment before it runs, when it can't be joined yet."""
    return thread.is_alive() and thread.name != PORTAL_THREAD and not thread.name.startswith(CACHED_THREADS)


def _sockets() -> set[str]:
    """This process's sockets, as "socket:[inode]"; none where there is no /proc."""
    found: set[str] = set()
    try:
        descriptors = os.listdir("/proc/self/fd")
    except OSError:
        return found
    for descriptor in descriptors:
        try:
            status = os.fstat(int(descriptor))
        except OSError:  # the listing's own descriptor, closed by now
            continue
        if stat.S_ISSOCK(status.st_mode):
            found.add(f"socket:[{status.st_ino}]")
    return found
