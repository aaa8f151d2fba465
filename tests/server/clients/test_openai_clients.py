"""OpenAI's own package and any-llm, as clients of every dialect, each a process of its own.

They are found as the other clients are: in the environment of `CLIENTS_PYTHON`, after `pip install openai any-llm-sdk anthropic`.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

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
app = create_app({**handlers.MODELS, **handlers.MORE}, api_keys=["sk-key"])
uvicorn.Server(uvicorn.Config(app, log_config=None, ws="none", http=HTTPProtocol)).run(sockets=[listener])
"""

OPENAI = """\
whole: Once upon a time completed 5
streamed: Once upon a time completed
tools streamed: add {"a": 1, "b": 2}
result: Once upon a time
chat streamed: Once upon a time
tokens: 1
images: Both 2
error: busy RateLimitError 429
error: nobody NotFoundError 404
error: tokens InternalServerError 501
broken: response.output_text.delta response.failed
"""

ANY_LLM = """\
whole: Once upon a time 5
streamed: Once upon a time
responses: Once upon a time completed
by messages: Once upon a time stop
messages: Once upon a time
"""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The handlers, served by a process of its own."""
    with subprocess.Popen([sys.executable, "-c", SERVE, str(HERE)], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
        server.kill()


@pytest.mark.parametrize(
    "package, script, printed",
    [("openai", "openai_client.py", OPENAI), ("any_llm", "any_llm_client.py", ANY_LLM)],
    ids=["openai", "any-llm"],
)
def test_python_clients(package: str, script: str, printed: str, request: pytest.FixtureRequest) -> None:
    python = os.environ.get("CLIENTS_PYTHON")
    if python is None:
        pytest.skip("CLIENTS_PYTHON names no Python to run it with")
    find = f"import importlib.util as u, sys; sys.exit(u.find_spec({package!r}) is None)"
    if subprocess.run([python, "-c", find]).returncode:
        pytest.skip(f"{package} is not installed in CLIENTS_PYTHON")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [python, str(HERE / script), request.getfixturevalue("url")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, printed), done.stderr
