"""One contender on uvicorn with uvloop: `python -m benchmarks.serving.serve APP UPSTREAM MODEL...`.

Prints its port, and for every line on standard input the seconds of CPU that it has used, and the bytes of memory; the end of
the input ends it.
"""

import os
import socket
import sys
import time
from threading import Thread
from typing import Any

import uvicorn

from ..worker import raise_file_limit
from . import apps


class Server(uvicorn.Server):
    """uvicorn's, which says when it is ready."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        assert sockets
        print(sockets[0].getsockname()[1], flush=True)


def memory() -> int:
    """What this process holds in memory, in bytes."""
    with open("/proc/self/statm") as figures:
        return int(figures.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def answer() -> None:
    """Answer standard input, in a thread that sleeps meanwhile."""
    for _ in sys.stdin:
        print(time.process_time(), memory(), flush=True)
    os._exit(0)


def main() -> None:
    raise_file_limit()
    name, upstream, *models = sys.argv[1:]
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    app: Any = getattr(apps, name)(models, upstream)
    Thread(target=answer, daemon=True).start()
    config = uvicorn.Config(app, loop="uvloop", http="httptools", ws="none", log_level="error", access_log=False)
    Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
