"""Several worker processes that serve at one address, and the parent process that supervises them.

On Linux each worker listens with a socket of its own, and the system spreads connections over these (SO_REUSEPORT in
socket(7)). On other systems all workers share one socket: a burst of connections then goes to whichever worker wakes first
while the others are busy. Of 32 that clients opened at once, one worker of two mostly had all 32 on a machine with other work
to do (on an idle one they were spread), and kept them for as long as they lived.

The parent serves nothing. It holds the sockets, so that connections which a killed worker had not accepted wait for the next
one. It starts another worker for each that ends, and passes signals on. If a worker ends before all have started, everything
ends, since another one would fail too. A worker whose parent has ended shuts down as after SIGTERM.
"""

import logging
import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing.connection import Connection, wait

logger: logging.Logger = logging.getLogger("tokenwire.server")

PAUSE_SECONDS = 1.0  # before a worker replaces one that could not start

HasStarted = Callable[[], None]
Work = Callable[[socket.socket, HasStarted], None]


def run_workers(work: Work, listener: socket.socket, count: int, backlog: int, announce: Callable[[], None]) -> int:
    """Run `count` worker processes until a signal comes, and wait until all of them have ended.

    Args:
        work: what each runs, given a socket that listens and a function to call once it serves. It is pickled.
        listener: listens, as the only socket at its address.
        backlog: connections that may wait at each socket.
        announce: is called when all have started.

    Returns:
        The signal's number; 0 if a worker could not start.
    """
    with ExitStack() as stack:
        listeners = [listener, *(stack.enter_context(_further_listener(listener, backlog)) for _ in range(count - 1))]
        with _signals() as signals:
            return _Workers(work, listeners, announce).watch(signals)


class _Workers:
    def __init__(self, work: Work, listeners: Sequence[socket.socket], announce: Callable[[], None]) -> None:
        self._work, self._listeners, self._announce = work, listeners, announce
        self._is_announced = False
        self._ended_by: int | None = None
        self._workers: dict[object, _Worker] = {}  # by their connections

    def watch(self, signals: socket.socket) -> int:
        """Start the workers, and supervise them until all have ended. Returns as `run_workers`."""
        for listener in self._listeners:
            self._start(listener)
        while self._workers:
            for ready in wait([signals, *(worker.connection for worker in self._workers.values())]):
                if ready is signals:
                    self._stop(signals.recv(64))
                else:
                    self._note_change(self._workers[ready])
        return self._ended_by or 0

    def _start(self, listener: socket.socket, pause: float = 0.0) -> None:
        worker = _Worker(self._work, listener, pause)
        self._workers[worker.connection] = worker

    def _note_change(self, worker: "_Worker") -> None:
        """A worker has started, or ended."""
        if worker.has_ended():
            del self._workers[worker.connection]
            self._replace(worker)
        elif not self._is_announced and all(each.has_started for each in self._workers.values()):
            self._is_announced = True
            self._announce()

    def _replace(self, worker: "_Worker") -> None:
        if self._ended_by is not None:
            return
        logger.warning("worker %d has ended with status %d", worker.process.pid, worker.process.exitcode)
        if self._is_announced:
            self._start(worker.listener, 0.0 if worker.has_started else PAUSE_SECONDS)
        else:
            self._stop([0])

    def _stop(self, numbers: Iterable[int]) -> None:
        """Stop the workers: at the first signal, when their requests have ended; later signals are passed on as they are."""
        for number in numbers:
            if self._ended_by is None:
                # A terminal sends SIGINT to the workers itself, and a second one would end their requests.
                self._ended_by, number = number, signal.SIGTERM
                for listener in self._listeners:
                    listener.close()  # connections must not wait where no worker accepts them
            for worker in self._workers.values():
                worker.send_signal(number)


class _Worker:
    """One process.

    Attributes:
        process: the process, which has been started.
        listener: its socket, which the parent holds too.
        connection: is readable when it has started serving, and again when it has ended.
    """

    def __init__(self, work: Work, listener: socket.socket, pause: float) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.listener = listener
        self.has_started: bool = False
        self.connection, theirs = spawn.Pipe(duplex=False)
        self.process = spawn.Process(target=_run_worker, args=(work, listener, theirs, pause))
        self.process.start()
        theirs.close()  # the worker then has the only one, which closes when it ends

    def has_ended(self) -> bool:
        """Whether it has ended; if not, it has started. To be called when its connection is readable."""
        try:
            self.connection.recv_bytes()
        except EOFError:
            self.connection.close()
            self.process.join()
            return True
        self.has_started = True
        return False

    def send_signal(self, number: int) -> None:
        """Send it a signal; not on Windows, where Ctrl-C reaches all processes of a console anyway."""
        if os.name == "posix" and self.process.pid is not None:
            os.kill(self.process.pid, number)  # it is not reaped before `join`, so the number is still its own


def _run_worker(work: Work, listener: socket.socket, connection: Connection, pause: float) -> None:
    def has_started() -> None:
        with suppress(OSError):  # the parent has ended, and the worker shuts down when it notices
            connection.send_bytes(b"started")

    time.sleep(pause)
    try:
        work(listener, has_started)
    except KeyboardInterrupt:
        pass  # uvicorn raises it when all requests have ended


@contextmanager
def _further_listener(listener: socket.socket, backlog: int) -> Generator[socket.socket, None, None]:
    """Another socket at the same address; or the same one, on systems that would not spread connections over both."""
    if not sys.platform.startswith("linux"):
        yield listener
        return
    # Set only after it was bound: with it, a port at which another program or `tokenwire serve` listens could have been bound.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    with socket.create_server(listener.getsockname(), family=listener.family, backlog=backlog, reuse_port=True) as another:
        yield another


@contextmanager
def _signals() -> Generator[socket.socket, None, None]:
    """A socket that receives the numbers of signals that would otherwise end this process."""
    reader, writer = socket.socketpair()
    with reader, writer:
        writer.setblocking(False)
        descriptor = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield reader
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(descriptor)
