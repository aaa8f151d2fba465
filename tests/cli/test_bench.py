"""`tokenwire bench`: what it says, saves, and exits with."""

import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from tokenwire.testing import Endpoint, Reply, chunk

pytest.importorskip("rich")

USAGE = chunk(usage={"prompt_tokens": 3, "completion_tokens": 11, "total_tokens": 14}) | {"choices": []}
GOOD = Reply(events=[chunk("", role="assistant"), "a", "b", chunk(finish_reason="stop"), USAGE])
REFUSED = Reply(status=401, json={"error": {"message": "no such key: sk-secret"}})


def to(endpoint: Endpoint, *more: str) -> list[str]:
    return ["bench", "-m", "m", "--api-base", endpoint.url, "--api-key", "sk-secret", *more]


def test_it_measures_and_saves(tokenwire: Any, tmp_path: Path) -> None:
    name = str(tmp_path / "found")
    with Endpoint(GOOD) as endpoint:
        arguments = ["--requests", "6", "--concurrency", "1,2", "--save", name, "--goodput", "ttft:60000"]
        run = tokenwire(*to(endpoint, *arguments))
        assert (run.status, len(endpoint.requests)) == (0, 13)  # one to warm up
        bodies = [request.json() for request in endpoint.requests]
    assert {body["max_tokens"] for body in bodies} == {128}
    assert len({body["messages"][0]["content"] for body in bodies}) == 13
    assert "concurrency 2" in run.out
    assert "counted by the server" in run.out
    assert "first token" in run.out
    assert f"(saved: {name}.json, {name}.jsonl" in run.err
    results = json.loads(Path(f"{name}.json").read_text())
    assert [(each["completed"], each["max_concurrency"], each["total_output_tokens"]) for each in results] == [
        (6, 1, 66),
        (6, 2, 66),
    ]
    assert len(Path(f"{name}.jsonl").read_text().splitlines()) == 12
    assert "sk-secret" not in run.out + run.err + "".join(path.read_text() for path in tmp_path.iterdir())

    compared = tokenwire("bench", "--compare", f"{name}.json", f"{name}.json")
    assert (compared.status, compared.out.count("requests/s")) == (0, 4)  # also as goodput


def test_given_prompts_and_more_for_the_body(tokenwire: Any) -> None:
    with Endpoint(GOOD) as endpoint:
        extra = ["--extra-body", '{"ignore_eos": true, "max_completion_tokens": 4}']
        run = tokenwire(*to(endpoint, "--prompt", "one", "--prompt", "two", "--requests", "2", "--warmup", "0", *extra))
        bodies = [request.json() for request in endpoint.requests]
    assert run.status == 0
    assert sorted(body["messages"][0]["content"] for body in bodies) == ["one", "two"]
    assert [(body["ignore_eos"], body["max_completion_tokens"], "max_tokens" in body) for body in bodies] == [
        (True, 4, False)
    ] * 2


def test_a_lines_own_parameters_win(tokenwire: Any, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"prompt": "a", "max_tokens": 3, "temperature": 0}\n')
    with Endpoint(GOOD) as endpoint:
        run = tokenwire(*to(endpoint, "--prompts", str(tmp_path / "in.jsonl"), "--requests", "1", "--warmup", "0"))
        (request,) = endpoint.requests
    assert (run.status, request.json()["max_tokens"], request.json()["temperature"]) == (0, 3, 0)


@pytest.fixture
def no_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    """And no time that drawing takes."""
    monkeypatch.setattr("tokenwire.bench.page.is_there", lambda: False)


@pytest.mark.usefixtures("no_matplotlib")
def test_failures_are_counted_by_class(tokenwire: Any, tmp_path: Path) -> None:
    name = str(tmp_path / "found")
    with Endpoint([GOOD, REFUSED]) as endpoint:
        base = ["--api-base", endpoint.url.replace("http://", "http://me:sk-secret@")]
        run = tokenwire(*to(endpoint, "--requests", "3", "--save", name, *base))
        assert len(endpoint.requests) == 4  # none is tried again
    assert run.status == 1
    assert "AuthenticationError" in run.out
    assert "no such key: ***" in run.out
    assert json.loads(Path(f"{name}.json").read_text())["failed_by_class"] == {"AuthenticationError": 3}
    assert "sk-secret" not in run.out + run.err + "".join(path.read_text() for path in tmp_path.iterdir())


def test_nothing_is_measured_where_the_warm_up_fails(tokenwire: Any, tmp_path: Path) -> None:
    (tmp_path / "found.json").write_text("of another day")
    with Endpoint(REFUSED) as endpoint:
        run = tokenwire(*to(endpoint, "--save", str(tmp_path / "found")))
        assert (run.status, len(endpoint.requests), run.out) == (1, 1, "")
    assert run.err == "tokenwire: the warm-up failed, so nothing is measured: openai/m: no such key: ***\n"
    assert [path.read_text() for path in tmp_path.iterdir()] == ["of another day"]


@pytest.mark.usefixtures("no_matplotlib")
def test_without_matplotlib_there_is_json_and_a_clear_line(tokenwire: Any, tmp_path: Path) -> None:
    with Endpoint(GOOD) as endpoint:
        run = tokenwire(*to(endpoint, "--requests", "1", "--save", str(tmp_path / "found")))
    assert run.status == 0
    assert "pip install 'tokenwire[bench]'" in run.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["found.json", "found.jsonl"]


def test_a_missing_key_is_said(tokenwire: Any) -> None:
    run = tokenwire("bench", "-m", "openai/m")
    assert (run.status, run.out) == (1, "")
    assert "no API key: pass --api-key, or set OPENAI_API_KEY" in run.err


@pytest.mark.parametrize(
    "arguments, words",
    [
        ([], "name either a model to measure (-m MODEL), or two results to compare"),
        (["-m", "openai/m", "--compare", "a", "b"], "name either a model"),
        (["--compare", "a", "b", "--save", "c"], "--compare measures nothing, so no other option may be given with it"),
        (["-m", "openai/m", "--arrivals", "constant"], "--arrivals needs --rate"),
        (["-m", "openai/m", "--concurrency", "0"], "argument --concurrency: must be 1 or more"),
        (["-m", "openai/m", "--rate", "1,x"], "argument --rate: must be a number, not 'x'"),
        (["-m", "openai/m", "--rate", "1,2", "--concurrency", "1,2"], "only one of --concurrency and --rate"),
        (["-m", "openai/m", "--requests", "1", "--duration", "1"], "not allowed with argument"),
        (["-m", "openai/m", "--extra-body", "[]"], "must be a JSON object, not '[]'"),
        (["-m", "openai/m", "--goodput", "ttfb:3"], "ttft, tpot or e2el with milliseconds"),
        (["-m", "openai/m", "--prompts", "/nowhere"], "No such file"),
        (["-m", "openai/m", "--prompt", "a", "--save", "/nowhere/x"], "--save: /nowhere/x.json: No such file"),
        (["--compare", "/nowhere/a", "b"], "/nowhere/a: No such file"),
        (["-m", "nobody/m"], "nobody"),
    ],
)
def test_wrong_arguments(arguments: list[str], words: str, tokenwire: Any) -> None:
    run = tokenwire("bench", *arguments)
    assert (run.status, run.out) == (2, "")
    assert words in run.err
    assert run.err.count("\n") == 1


@pytest.mark.usefixtures("no_matplotlib")
def test_ctrl_c_sums_up(tokenwire: Any, tmp_path: Path) -> None:
    with Endpoint([GOOD, GOOD, Reply(text="Hello there", stall=True, after=3)]) as endpoint:

        def press() -> None:
            endpoint.wait_until(lambda: len(endpoint.requests) == 3 and endpoint.requests[2].silent, timeout=30)
            os.kill(os.getpid(), signal.SIGINT)

        person = threading.Thread(target=press)
        person.start()
        run = tokenwire(*to(endpoint, "--concurrency", "1", "--save", str(tmp_path / "found")))
        person.join()
    assert (run.status, "stopped early" in run.out) == (130, True), run.err
    found = json.loads((tmp_path / "found.json").read_text())
    assert (found["completed"], found["cancelled"], found["stopped"]) == (1, 1, True)
