"""`tokenwire batch`: what it says, and what it exits with."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tokenwire.testing import Endpoint, Received, Reply, completion

GOOD = Reply(json=completion("Hello"))


@pytest.fixture
def lines(tmp_path: Path) -> Callable[..., list[str]]:
    """Writes an input of so many lines; the command's first arguments."""

    def write(count: int, **fields: Any) -> list[str]:
        texts = [json.dumps({"prompt": str(number), **fields}) for number in range(count)]
        (tmp_path / "in.jsonl").write_text("\n".join(texts) + "\n")
        return ["batch", str(tmp_path / "in.jsonl"), str(tmp_path / "out.jsonl")]

    return write


def to(endpoint: Endpoint, *more: str) -> list[str]:
    return ["--api-base", endpoint.url, "--api-key", "sk-secret", *more]


def results(tmp_path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]


def test_all_lines_are_answered(lines: Any, tokenwire: Any, tmp_path: Path) -> None:
    with Endpoint(GOOD) as endpoint:
        run = tokenwire(*lines(5), *to(endpoint, "-m", "m", "--concurrency", "2", "--rpm", "60000"))
        assert (run.status, run.out) == (0, "")
        assert "5/5 done, 0 failed, 0 truncated" in run.err
        assert "5 calls in 0:00:0" in run.err
        assert {request.json()["model"] for request in endpoint.requests} == {"m"}
        again = tokenwire(*lines(5), *to(endpoint, "-m", "m"))
        assert (again.status, len(endpoint.requests)) == (0, 5)
    assert "5 were done before" in again.err
    assert sorted(result["custom_id"] for result in results(tmp_path)) == ["1", "2", "3", "4", "5"]


def test_failed_and_truncated_ones(lines: Any, tokenwire: Any, tmp_path: Path) -> None:
    cut = completion("Hello")
    cut["choices"][0]["finish_reason"] = "length"

    def answer(request: Received) -> Reply:
        text = request.json()["messages"][0]["content"]
        return Reply(status=400, json={"error": {"message": "no"}}) if text == "1" else Reply(json=cut) if text == "2" else GOOD

    with Endpoint(answer) as endpoint:
        run = tokenwire(*lines(4), *to(endpoint, "-m", "m", "--errors", str(tmp_path / "errors.jsonl")))
    assert run.status == 1
    assert "1 failed, 1 truncated" in run.err
    assert "sk-secret" not in run.err
    assert "the first failure: line 2: openai/m: no" in run.err
    assert "--retry-failed" in run.err
    (failed,) = map(json.loads, (tmp_path / "errors.jsonl").read_text().splitlines())
    assert (failed["custom_id"], failed["response"]["status_code"]) == ("2", 400)
    assert len(results(tmp_path)) == 3
    with Endpoint(GOOD) as endpoint:
        arguments = to(endpoint, "-m", "m", "--errors", str(tmp_path / "errors.jsonl"), "--retry-failed")
        assert tokenwire(*lines(4), *arguments).status == 1  # one is still truncated
        assert len(endpoint.requests) == 1


def test_a_missing_key_is_said(lines: Any, tokenwire: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_API_BASE"):
        monkeypatch.delenv(name, raising=False)
    run = tokenwire(*lines(2), "-m", "openai/m")
    assert run.status == 1
    assert run.err.count("no API key: pass --api-key, or set OPENAI_API_KEY") == 1


def test_failures_of_an_earlier_run(lines: Any, tokenwire: Any) -> None:
    with Endpoint(Reply(status=400, json={"error": {"message": "no"}})) as endpoint:
        tokenwire(*lines(1), *to(endpoint, "-m", "m"))
        run = tokenwire(*lines(1), *to(endpoint, "-m", "m"))
    assert "the first failure" not in run.err
    assert "(run it again with --retry-failed to repeat the calls that failed)" in run.err


def test_a_lines_own_model(lines: Any, tokenwire: Any) -> None:
    with Endpoint(GOOD) as endpoint:
        assert tokenwire(*lines(1, model="org/model-1"), *to(endpoint)).status == 0
        assert [request.json()["model"] for request in endpoint.requests] == ["org/model-1"]


@pytest.mark.parametrize(
    "text, message",
    [
        ("{", "line 1 is not JSON"),
        ('{"prompt": "a"}', "line 1 has no model"),
        ('{"url": "/v1/x", "body": {}}', "has the url '/v1/x'"),
    ],
)
def test_a_line_that_is_wrong(text: str, message: str, lines: Any, tokenwire: Any, tmp_path: Path) -> None:
    command = lines(1)
    (tmp_path / "in.jsonl").write_text(text + "\n")
    with Endpoint(GOOD) as endpoint:
        run = tokenwire(*command, *to(endpoint))
        assert (run.status, len(endpoint.requests)) == (2, 0)
    assert message in run.err
    assert run.err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [["batch"], ["batch", "in"], ["batch", "in", "out", "--concurrency", "0"], ["batch", "/nowhere/in", "/nowhere/out"]],
)
def test_wrong_arguments(arguments: list[str], tokenwire: Any) -> None:
    assert tokenwire(*arguments).status == 2


def test_standard_streams(process: Any, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"prompt": "a", "label": 5}\n')
    with Endpoint(GOOD) as endpoint:
        run = process("batch", str(tmp_path / "in.jsonl"), "-", *to(endpoint, "-m", "m"))
        out, err = run.communicate(timeout=60)
    assert run.returncode == 0
    assert (json.loads(out)["label"], json.loads(out)["error"]) == (5, None)
    assert b"a run that writes to standard output can't be resumed" in err


# Ctrl-C.


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_drains_and_the_next_run_goes_on(lines: Any, terminal: Any, tmp_path: Path, tokenwire: Any) -> None:
    with Endpoint(Reply(json=completion("Hello"), delay=0.02)) as endpoint:  # so that the screen shows some in flight
        command = terminal(*lines(3000), *to(endpoint, "-m", "m", "--concurrency", "2"))
        command.wait_for("2 in flight")
        command.type("\x03")
        assert command.wait_for_end() == 1
        done = len(results(tmp_path))
        assert done == len(endpoint.requests) < 3000
        assert tokenwire(*lines(3000), *to(endpoint, "-m", "m")).status == 0
        assert len(endpoint.requests) == 3000
    assert sorted(int(result["custom_id"]) for result in results(tmp_path)) == list(range(1, 3001))


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_second_ctrl_c_stops(lines: Any, terminal: Any) -> None:
    with Endpoint(Reply(json=completion("Hello"), stall=True, after=5)) as endpoint:
        command = terminal(*lines(5), *to(endpoint, "-m", "m", "--concurrency", "2"))
        command.wait_for("2 in flight")
        command.type("\x03")
        command.wait_for("waiting for 2 calls")
        command.type("\x03")
        assert command.wait_for_end() == 130
