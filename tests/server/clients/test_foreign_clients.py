"""Clients that are not ours, each a process of its own: what they print of the same handlers.

They are no dependencies. A JDK is used if it is there. To run the others, make an environment for each and name it:

    python -m venv /somewhere && /somewhere/bin/pip install anthropic langchain-openai litellm mcp
    npm install --prefix /elsewhere ai @ai-sdk/openai-compatible
    CLIENTS_PYTHON=/somewhere/bin/python CLIENTS_NODE=/elsewhere python -m pytest tests/server/clients
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent

SERVE = """
import sys
sys.path.insert(0, sys.argv[1])
import handlers, socket, uvicorn
from tokenwire.server import create_app
from tokenwire.server.protocol import HTTPProtocol
listener = socket.create_server(("127.0.0.1", 0))
print(f"http://127.0.0.1:{listener.getsockname()[1]}/v1", flush=True)
config = uvicorn.Config(create_app(handlers.MODELS, api_keys=["sk-key"]), log_config=None, ws="none", http=HTTPProtocol)
uvicorn.Server(config).run(sockets=[listener])
"""

LITELLM = """\
whole: Once upon a time stop 5
streamed: Once upon a time assistant [5]
async: Once upon a time
tools: tool_calls add {"a": 1, "b": 2}
embedding: [1.0, 0.5]
error: busy RateLimitError 429
error: nobody NotFoundError 404
broken: MidStreamFallbackError 500
"""

LANGCHAIN = """\
whole: Once upon a time stop 5
streamed: Once upon a time stop 5
async: Once upon a time
tools: add {'a': 1, 'b': 2}
tools streamed: add {'a': 1, 'b': 2}
embedding: [1.0, 0.5]
error: busy OpenAIRateLimitError 429
error: nobody OpenAIModelNotFoundError 404
broken: APIError 503
"""

ANTHROPIC = """\
whole: Once upon a time end_turn 2+3
streamed: Once upon a time end_turn 2+3
async: Once upon a time
tools: add {'a': 1, 'b': 2} tool_use 2+3
tools streamed: add {'a': 1, 'b': 2} tool_use 2+3
result: Once upon a time end_turn 2+3
models: words tools busy broken vectors
error: busy RateLimitError 429 rate_limit_error True
error: nobody NotFoundError 404 not_found_error True
broken: Once overloaded_error
"""

AI_SDK = """\
whole: Once upon a time stop 5
streamed: Once upon a time stop 5
tools: add {"a":1,"b":2}
tools streamed: add {"a":1,"b":2}
embedding: [1,0.5]
error: busy AI_APICallError 429
error: nobody AI_APICallError 404
broken: Once then the model is gone
"""

JAVA = """\
200 Once upon a time
200 Once upon a time [DONE]
200 Once upon a time
"""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The handlers, served by a process of its own."""
    command = [sys.executable, "-c", SERVE, str(HERE)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
        server.kill()


def run(*command: Any) -> str:
    # Not our own path: the client's environment is another one.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # it would be fetched
    done = subprocess.run([str(word) for word in command], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "package, script, printed",
    [
        ("litellm", "litellm_client.py", LITELLM),
        ("langchain_openai", "langchain_client.py", LANGCHAIN),
        ("anthropic", "anthropic_client.py", ANTHROPIC),
    ],
    ids=["litellm", "langchain", "anthropic"],
)
def test_python_clients(package: str, script: str, printed: str, url: str) -> None:
    python = os.environ.get("CLIENTS_PYTHON")
    if python is None:
        pytest.skip("CLIENTS_PYTHON names no Python to run it with")
    find = f"import importlib.util as u, sys; sys.exit(u.find_spec({package!r}) is None)"
    if subprocess.run([python, "-c", find]).returncode:
        pytest.skip(f"{package} is not installed in CLIENTS_PYTHON")
    assert run(python, HERE / script, url) == printed


def test_vercels_ai_sdk(url: str) -> None:
    folder = os.environ.get("CLIENTS_NODE")
    if folder is None or shutil.which("node") is None:
        pytest.skip("there is no Node, or CLIENTS_NODE names no folder with the AI SDK")
    if not Path(folder, "node_modules", "@ai-sdk", "openai-compatible").exists():
        pytest.skip("@ai-sdk/openai-compatible is not installed in CLIENTS_NODE")
    assert run("node", HERE / "ai_sdk_client.mjs", folder, url) == AI_SDK


def test_the_jdks_http_client(url: str) -> None:
    java = shutil.which("java")
    if java is None or shutil.which("javac") is None:
        pytest.skip("there is no JDK")
    assert run(java, HERE / "JavaClient.java", url) == JAVA
