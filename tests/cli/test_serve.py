"""`tokenwire serve`: what it says, what it serves, and how it ends."""

import logging.config
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from tokenwire import UnknownProviderError, get_llm_provider
from tokenwire._calls import routing
from tokenwire.cli import _serve

from .conftest import ASKED, SECONDS, Served

MODULE = '''\
"""Handlers. They say which process they run in, and wait for files that the test makes."""

import os
from pathlib import Path

import anyio

async def handler(messages):
    yield f"I am {os.getpid()}"

async def waiting(messages):
    try:
        yield "once"
        while not Path("go on").exists():
            await anyio.sleep(0.01)
        yield " more"
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(0.05)
            Path("cleaned up").touch()

number = 7
'''

BOTH = """\
model_list:
  - {model_name: handler, litellm_params: {model: one/x}}
  - {model_name: waiting, litellm_params: {model: other/x}}
litellm_settings:
  custom_provider_map:
    - {provider: one, custom_handler: my_module.handler}
    - {provider: other, custom_handler: my_module.waiting}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current directory, with a module of handlers."""
    (tmp_path / "my_module.py").write_text(MODULE)
    (tmp_path / "both.yaml").write_text(BOTH)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(routing, "_registered", {})
    modules = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - modules:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def run(tokenwire: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`run(*arguments)`: the command in this process, without logging, and without serving: `run.apps` are what it would serve."""
    apps: list[Any] = []

    def serve(self: Any, sockets: list[socket.socket]) -> None:
        apps.append(self.config.app)

    def run(*arguments: str) -> Any:
        return tokenwire("serve", *arguments)

    monkeypatch.setattr(_serve.Server, "run", serve)
    monkeypatch.setattr(logging.config, "dictConfig", lambda _: None)
    run.apps = apps  # pyright: ignore[reportFunctionMemberAccess]
    return run


WRONG = {
    "nothing": ([], "name either MODULE:HANDLER or --config FILE"),
    "two things": (["my_module:handler", "--config", "c.yaml"], "name either MODULE:HANDLER or --config FILE"),
    "one too many": (["my_module:handler", "my_module:waiting"], "there is one argument too many"),
    "no handler's name": (["my_module"], "'my_module' must be MODULE:HANDLER"),
    "a file": (["my_module.py:handler"], "names a file, and MODULE:HANDLER was expected: did you mean my_module:handler?"),
    "a file alone": (["my_module.py"], "did you mean my_module:handler?"),
    "no such file": (["nowhere.py:handler"], "there is no module 'nowhere' in"),
    "no module": (["nowhere:handler"], "there is no module 'nowhere'"),
    "no attribute": (["my_module:nothing"], "the module 'my_module' has no attribute 'nothing'"),
    "no handler": (["my_module:number"], "my_module.number is not a handler"),
    "no file": (["--config", "nowhere.yaml"], "nowhere.yaml: No such file or directory"),
    "no YAML": (["--config", "my_module.py"], "my_module.py, line 1: this is not YAML"),
    "a name for a file's models": (["--config", "c.yaml", "--model", "m"], "--model is only for MODULE:HANDLER"),
    "no host": (["my_module:handler", "--host", "nowhere.invalid"], "nowhere.invalid:8000 can't be listened at: "),
    "no port": (["my_module:handler", "--port", "65536"], "--port: must be 65535 or less"),
    "no key": (["my_module:handler", "--api-key", " "], "--api-key: this key is empty"),
    "no keys": (["my_module:handler", "--api-key-file", "/dev/null"], "--api-key-file: /dev/null has no key"),
    "no origin": (["my_module:handler", "--cors", "a.example/b"], "--cors must be origins such as "),
    "no name of a host": (["my_module:handler", "--allow-host", "a:80"], "--allow-host must be a host's name or address"),
    "nothing to wait for": (["my_module:handler", "--max-queue", "1"], "--max-queue needs --max-concurrency"),
    "no file of keys": (["my_module:handler", "--api-key-file", "keys"], "--api-key-file: keys: No such file or directory"),
}


@pytest.mark.parametrize("arguments, message", WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said_in_a_line(arguments: list[str], message: str, run: Any) -> None:
    done = run(*arguments)
    assert (done.status, done.out, run.apps) == (2, "", [])
    assert message in done.err
    assert done.err.count("\n") == 1


def test_a_file_in_another_folder_in_place_of_a_module(run: Any, folder: Path) -> None:
    (folder / "models").mkdir()
    (folder / "models" / "agent.py").touch()
    done = run("models/agent.py:agent")
    assert (done.status, run.apps) == (2, [])
    assert done.err.endswith("did you mean agent:agent (in the folder models)?\n")


def test_a_port_that_is_taken(run: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("my_module:handler", "--port", str(port))
    assert (done.status, done.err) == (2, f"tokenwire: 127.0.0.1:{port} is in use\n")


def test_a_model_of_nobody(run: Any, folder: Path) -> None:
    (folder / "c.yaml").write_text("model_list: [{model_name: m, litellm_params: {model: nobody/x}}]")
    done = run("--config", "c.yaml")
    assert done.status == 2
    assert done.err.startswith("tokenwire: c.yaml: models['m']: ")


def test_the_handlers_of_a_file_are_not_registered(run: Any) -> None:
    assert run("--config", "both.yaml", "--port", "0").status == 0
    assert len(run.apps) == 1
    with pytest.raises(UnknownProviderError):
        get_llm_provider("one/x")


def test_what_is_missing_is_named(tokenwire: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "tokenwire.cli._serve")
    done = tokenwire("serve", "my_module:handler")
    assert (done.status, done.err) == (2, "tokenwire: serve needs uvicorn: pip install 'tokenwire[server]'\n")


def test_keys_come_from_everywhere(run: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    monkeypatch.setattr(_serve, "create_app", lambda models, **options: given.append(options))
    monkeypatch.setenv("TOKENWIRE_API_KEYS", "sk-1, sk-2,")
    monkeypatch.setenv("MASTER", "sk-6")
    (folder / "keys").write_text("sk-3\n\n  sk-4\n")
    (folder / "c.yaml").write_text(
        "model_list: [{model_name: m, litellm_params: {model: openai/x}}]\ngeneral_settings: {master_key: os.environ/MASTER}"
    )
    run("--config", "c.yaml", "--api-key", "sk-5", "--api-key-file", "keys", "--max-body", "9", "--request-timeout", "0.5")
    assert {**given[0], "api_keys": set(given[0]["api_keys"])} == {
        "handlers": {},
        "api_keys": {f"sk-{number}" for number in range(1, 7)},
        "max_body": 9,
        "request_timeout": 0.5,
        "cors": [],
        "metrics": False,
        "page": True,
    }


def test_limits_are_handed_on(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    monkeypatch.setattr(_serve, "create_app", lambda models, **options: given.append(options))
    words = "--max-concurrency 3 --max-queue 5 --queue-seconds 2.5 --early-stream 20 --cors * --cors null --no-page"
    run("my_module:handler", "--port", "0", *words.split())
    wanted = {
        "max_concurrency": 3,
        "max_queue": 5,
        "queue_seconds": 2.5,
        "early_stream": 20.0,
        "cors": ["*", "null"],
        "page": False,
    }
    assert given[0] == given[0] | wanted


@pytest.mark.parametrize(
    "arguments, page, status",
    [
        ("", "http://127.0.0.1:1", 200),
        ("", "http://evil.example", 403),
        ("--cors http://evil.example", "http://evil.example", 200),
        ("--host localhost", "http://ours.example", 403),
        ("--allow-host Ours.example", "http://ours.example", 200),
        ("--host 0.0.0.0", "http://ours.example", 200),
    ],
)
def test_web_pages_may_not_spend(arguments: str, page: str, status: int, run: Any) -> None:
    """It is the app of this command that refuses them, and each of its workers'."""
    assert run("my_module:handler", "--port", "0", *arguments.split()).status == 0
    sent: list[Any] = []
    bodies = [b'{"model": "handler", "messages": [{"role": "user", "content": "Hi"}]}']

    async def receive() -> Any:
        return {"type": "http.request", "body": bodies.pop()} if bodies else await anyio.sleep_forever()

    async def send(message: Any) -> None:
        sent.append(message)

    host = page.partition("//")[2].encode()
    headers = [(b"host", host), (b"origin", page.encode()), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": headers}
    anyio.run(run.apps[0], scope, receive, send)
    assert sent[0]["status"] == status


def test_a_server_for_everybody_is_remarked_on(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_serve.Server, "__init__", lambda self, config, announce: announce())
    monkeypatch.setattr(_serve.Server, "run", lambda self, sockets: None)
    ways = ["--host", "0.0.0.0"], ["--host", "0.0.0.0", "--api-key", "sk"], []
    said = [run("my_module:handler", "--port", "0", *way).out for way in ways]
    assert ["There is no API key" in text for text in said] == [True, False, False]
    assert ['"Authorization: Bearer $API_KEY"' in text for text in said] == [False, True, False]
    assert "sk" not in " ".join(said)


def test_a_handler_is_served(serve: Callable[..., Served]) -> None:
    served = serve("my_module:handler", "--model", "it's mine")
    assert "serving at http://127.0.0.1:" in served.announced
    assert served.announced.splitlines()[0].endswith(", on 127.0.0.1: it's mine")
    answer = served.ask(model="it's mine")
    assert answer["choices"][0]["message"]["content"] == f"I am {served.process.pid}"
    line = served.wait_for("chat/completions")
    assert " INFO tokenwire.server.access: POST /chat/completions 200 complete " in line
    assert "secret" not in line
    if shutil.which("curl"):
        done = subprocess.run(["sh", "-c", served.announced.splitlines()[1]], capture_output=True, text=True, timeout=SECONDS)
        assert f'"content":"I am {served.process.pid}"' in done.stdout
        served.wait_for("chat/completions")
    served.process.send_signal(signal.SIGINT)
    out, err = served.process.communicate(timeout=SECONDS)
    assert (served.process.returncode, out, err) == (130, b"", b"")


def test_a_file_of_litellms_proxy_is_served(serve: Callable[..., Served], folder: Path) -> None:
    (folder / "config.yaml").write_text(
        """
        model_list:
          - {model_name: mine, litellm_params: {model: my-llm/any, rpm: 3}}
        litellm_settings:
          custom_provider_map: [{provider: my-llm, custom_handler: custom_handler.my_custom_llm}]
        router_settings: {num_retries: 2}
        """
    )
    (folder / "custom_handler.py").write_text(
        "from tokenwire import CustomLLM, acompletion\n"
        "class MyCustomLLM(CustomLLM):\n"
        "    async def acompletion(self, *args, **kwargs):\n"
        "        return await acompletion('openai/m', kwargs['messages'], mock_response=kwargs['model'])\n"
        "my_custom_llm = MyCustomLLM()\n"
    )
    served = serve("--config", "config.yaml")
    assert served.ask(model="mine")["choices"][0]["message"]["content"] == "any"
    skipped = served.wait_for("skipped")
    assert (
        "config.yaml: skipped, since this server does not use it: router_settings, model_list[0].litellm_params.rpm" in skipped
    )


def ask_for_a_stream(served: Served, client: httpx.Client) -> Any:
    body = {**ASKED, "model": "waiting", "stream": True}
    return client.stream("POST", f"{served.url}/chat/completions", json=body)


def test_ctrl_c_lets_a_stream_finish(serve: Callable[..., Served], folder: Path) -> None:
    served = serve("my_module:waiting")
    with httpx.Client(timeout=SECONDS) as client, ask_for_a_stream(served, client) as stream:
        lines = stream.iter_lines()
        assert "once" in next(lines)
        served.process.send_signal(signal.SIGINT)
        served.wait_for("(waiting for 1 request; Ctrl-C again ends them at once)")
        (folder / "go on").touch()
        assert [line for line in lines if line][-1] == "data: [DONE]"
    assert "200 complete" in served.wait_for("complete")
    assert served.process.wait(SECONDS) == 130


def test_a_second_ctrl_c_ends_it_at_once(serve: Callable[..., Served]) -> None:
    served = serve("my_module:waiting", "--grace-seconds", "600")
    with httpx.Client(timeout=SECONDS) as client, ask_for_a_stream(served, client) as stream:
        lines = stream.iter_lines()
        assert "once" in next(lines)
        served.process.send_signal(signal.SIGINT)
        served.wait_for("waiting for 1 request")
        served.process.send_signal(signal.SIGINT)
        with pytest.raises(httpx.RemoteProtocolError):
            list(lines)
    assert served.process.wait(SECONDS) == 130


def cut(served: Served, folder: Path) -> None:
    """End it while there is a stream, which may not finish."""
    with httpx.Client(timeout=SECONDS) as client, ask_for_a_stream(served, client) as stream:
        lines = stream.iter_lines()
        assert "once" in next(lines)
        served.process.send_signal(signal.SIGTERM)
        with pytest.raises(httpx.RemoteProtocolError):
            list(lines)
    assert served.process.wait(SECONDS) == -signal.SIGTERM
    assert (folder / "cleaned up").exists()
    assert "Traceback" not in served.process.stderr.read().decode()


def test_a_stream_that_takes_too_long_is_cut_and_cleans_up(serve: Callable[..., Served], folder: Path) -> None:
    cut(serve("my_module:waiting", "--grace-seconds", "0"), folder)
