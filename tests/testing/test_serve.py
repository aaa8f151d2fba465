"""Scripts in files, the command that serves them, and pytest's fixture."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tokenwire.testing import Reply
from tokenwire.testing._file import ScriptError, replies_from
from tokenwire.testing.serve import EPILOG, main

TOML = b"""
[[replies]]
status = 429
headers = { retry-after = "1" }

[[replies]]
events = ["Hel", { raw = ": hi\\n\\n" }, { base64 = "/w==" }, { raw = "a", b = 1 }]
cut = "rst"
after = 2
body_delay = 1
"""


def test_a_script_in_toml():
    replies = replies_from(TOML.replace(b"body_delay", b"first_delay"), ".toml")
    assert replies == [
        Reply(status=429, headers={"retry-after": "1"}),
        Reply(events=["Hel", b": hi\n\n", b"\xff", {"raw": "a", "b": 1}], cut="rst", after=2, first_delay=1),
    ]


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_script_in_json(wrapped):
    fields = [{"json": None}, {"body": "text", "encoding": "gzip"}, {"raw": {"base64": "/w=="}, "stall": True}]
    replies = replies_from(json.dumps({"replies": fields} if wrapped else fields).encode(), ".json")
    assert replies == [Reply(json=None), Reply(body=b"text", encoding="gzip"), Reply(raw=b"\xff", stall=True)]


def test_the_script_in_the_command_s_help_is_one():
    example = EPILOG[EPILOG.index("[[replies]]") : EPILOG.index("Further fields")]
    assert [reply.status for reply in replies_from(example.encode(), ".toml")] == [429, 200, 200]


def test_the_command_s_help_names_every_field():
    assert [name for name in Reply.__struct_fields__ if name not in EPILOG] == []


@pytest.mark.parametrize(
    "data, suffix, complaint",
    [
        (b"", ".yaml", "not \\*.yaml"),
        (b"{", ".json", "not JSON"),
        (b"replies = ", ".toml", "not TOML"),
        (b"\xff = 1", ".toml", "not TOML"),
        (b"[]", ".json", "at least one reply"),
        (b"{}", ".json", "at least one reply"),
        (b"[1]", ".json", "reply 1 must be a table of fields"),
        (TOML, ".toml", "reply 2: there is no field 'body_delay'"),
        (b'[{}, {"cut": "syn"}]', ".json", "reply 2: cut must be one of fin, rst"),
        (b'[{"status": "200"}]', ".json", "reply 1: status can't be '200'"),
        (b'[{"after": true, "stall": true}]', ".json", "reply 1: after can't be True"),
        (b'[{"body": 1}]', ".json", "reply 1: bytes must be written as"),
        (b'[{"body": {"base64": "!"}}]', ".json", "not base64"),
        (b'[{"events": [1]}]', ".json", "an event is"),
        (b'[{"events": 1}]', ".json", "reply 1: "),
        (b'[{"delay": "1"}]', ".json", "reply 1: "),
    ],
)
def test_a_script_that_is_none_says_where_and_why(data, suffix, complaint):
    with pytest.raises(ScriptError, match=complaint):
        replies_from(data, suffix)


def test_the_command(tmp_path: Path):
    script = tmp_path / "script.toml"
    script.write_bytes(b'[[replies]]\ntext = "Hello"\n[[replies]]\ntext = "Hello"\nstall = true\n')
    command = [sys.executable, "-W", "error", "-m", "tokenwire.testing.serve", str(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as serving:
        assert serving.stdout is not None
        try:
            url = serving.stdout.readline().strip()
            with httpx.Client() as client:
                assert client.post(f"{url}/chat/completions").json()["choices"][0]["message"]["content"] == "Hello"
                with client.stream("POST", f"{url}/chat/completions", content=b"{}"):
                    pass
            lines = [serving.stdout.readline().strip().partition("  ")[2] for _ in range(6)]
        finally:
            serving.send_signal(signal.SIGINT)
            _, complaints = serving.communicate(timeout=60)
    assert (serving.returncode, complaints) == (0, "")
    lines = [line.partition(", after")[0] for line in lines]
    assert sorted(lines) == [
        "connection 1: POST /v1/chat/completions, 0 bytes",
        "connection 1: POST /v1/chat/completions, 2 bytes",
        "connection 1: answered",
        "connection 1: closed by the client",
        "connection 1: opened",
        "connection 1: the client left early",
    ]


def test_a_script_that_can_t_be_read_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main([str(tmp_path / "none.toml")]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert "none.toml" in printed.err


PLUGIN = "tokenwire.testing.pytest_plugin"
USING = """
import httpx
from tokenwire.testing import Reply

def test_it(tokenwire_endpoint):
    endpoint, other = tokenwire_endpoint(Reply(body=b"Hello")), tokenwire_endpoint(Reply(body=b"you"), port=0)
    assert httpx.get(endpoint.url).text + httpx.get(other.url).text == "Helloyou"

def test_what_a_script_raises_fails_the_test(tokenwire_endpoint):
    httpx.get(tokenwire_endpoint(lambda request: 1 / 0).url)
"""


def test_the_fixture(tmp_path: Path):
    (tmp_path / "test_it.py").write_text(USING)
    environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "pytest", "-p", PLUGIN, "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert "2 passed, 1 error" in done.stdout, done.stdout
    assert "ZeroDivisionError" in done.stdout


def test_the_fixture_costs_nothing_to_who_does_not_use_it():
    script = f"import pytest, sys; before = set(sys.modules); import {PLUGIN}; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=60)
    loaded = done.stdout.split()
    assert [name for name in loaded if not name.startswith("tokenwire")] == []
    assert len(loaded) < 10
