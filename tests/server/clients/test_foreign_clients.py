"""Clients that are not ours, each a process of its own: what they print of the same handlers.

They are no dependencies. A JDK is used if it is there. `python -m tests.server.clients` installs each of the others in an
environment of its own, and prints a table. To run them as tests, make an environment for each language and name it:

    python -m venv /somewhere && /somewhere/bin/pip install anthropic langchain-openai litellm mcp
    npm install --prefix /elsewhere ai @ai-sdk/openai-compatible
    CLIENTS_PYTHON=/somewhere/bin/python CLIENTS_NODE=/elsewhere python -m pytest tests/server/clients
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .table import CLIENTS, HERE, Client, run, served

JAVA = """\
200 Once upon a time
200 Once upon a time [DONE]
200 Once upon a time
"""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with served() as url:
        yield url


@pytest.mark.parametrize("client", [each for each in CLIENTS if each.is_python], ids=lambda client: client.name)
def test_python_clients(client: Client, url: str) -> None:
    python = os.environ.get("CLIENTS_PYTHON")
    if python is None:
        pytest.skip("CLIENTS_PYTHON names no Python to run it with")
    find = f"import importlib.util as u, sys; sys.exit(u.find_spec({client.module!r}) is None)"
    if subprocess.run([python, "-c", find]).returncode:
        pytest.skip(f"{client.name} is not installed in CLIENTS_PYTHON")
    assert run(python, HERE / client.script, url) == client.printed


@pytest.mark.parametrize("client", [each for each in CLIENTS if not each.is_python], ids=lambda client: client.name)
def test_javascript_clients(client: Client, url: str) -> None:
    folder = os.environ.get("CLIENTS_NODE")
    if folder is None or shutil.which("node") is None:
        pytest.skip("there is no Node, or CLIENTS_NODE names no folder with packages for it")
    if not Path(folder, "node_modules", client.module).exists():
        pytest.skip(f"{client.module} is not installed in CLIENTS_NODE")
    assert run("node", HERE / client.script, folder, url) == client.printed


def test_the_jdks_http_client(url: str) -> None:
    java = shutil.which("java")
    if java is None or shutil.which("javac") is None:
        pytest.skip("there is no JDK")
    assert run(java, HERE / "JavaClient.java", url) == JAVA
