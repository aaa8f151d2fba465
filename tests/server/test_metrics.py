"""What the server tells about itself: a log line for each request, and figures for Prometheus."""

import json
import logging
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tokenwire import CustomLLMError, StreamTruncatedError
from tokenwire.server import create_app

from ..conftest import PATIENCE

MESSAGES = [{"role": "user", "content": "my secret question"}]
CHAT: dict[str, Any] = {"model": "words", "messages": MESSAGES}
STREAMED = {**CHAT, "stream": True}
LABELS = ("endpoint", "model", "status", "outcome")
SECONDS = r"\d+\.\d{3}s"

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """Nothing here depends on the event loop."""
    return "asyncio"


async def words(**_: Any) -> Any:
    for word in ("my", "secret", "answer"):
        yield word


async def refuses(**_: Any) -> Any:
    raise CustomLLMError(status_code=429, message="slower, please")
    yield


async def breaks_off(**_: Any) -> Any:
    yield "once"
    raise StreamTruncatedError("cut")


async def waits(**_: Any) -> Any:
    yield "once"
    await anyio.sleep_forever()


MODELS = {"words": words, "refuses": refuses, "breaks off": breaks_off, "waits": waits}


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Any:
    """The access log's lines, so far."""
    caplog.set_level(logging.INFO, "tokenwire.server.access")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "tokenwire.server.access"]


async def test_a_line_for_each_request(ask: Any, visit: Any, lines: Any) -> None:
    app = create_app(MODELS, api_keys=["sk-key"])
    key = {"authorization": "Bearer sk-key"}
    await ask(app, STREAMED, headers=key)
    await ask(app, CHAT, headers=key)
    await ask(app, {**CHAT, "model": "refuses"}, headers=key)
    await ask(app, {**STREAMED, "model": "breaks off"}, headers=key)
    async with visit(app, {**STREAMED, "model": "waits"}, headers=key) as client:
        await client.take()
    await ask(app, STREAMED, headers={"authorization": "Bearer sk-other"})
    patterns = [
        rf"POST /chat/completions 200 complete {SECONDS} first_token={SECONDS} chunks=\d+ model=words request_id=req_\w+",
        rf"POST /chat/completions 200 complete {SECONDS} model=words request_id=req_\w+",
        rf"POST /chat/completions 429 error {SECONDS} model=refuses request_id=req_\w+",
        rf"POST /chat/completions 200 truncated {SECONDS} first_token={SECONDS} chunks=\d+ model=breaks%20off request_id=req_\w+",
        rf"POST /chat/completions 200 cancelled {SECONDS} first_token={SECONDS} chunks=\d+ model=waits request_id=req_\w+",
        rf"POST /chat/completions 401 error {SECONDS} request_id=req_\w+",
    ]
    assert [bool(re.fullmatch(pattern, line)) for pattern, line in zip(patterns, lines(), strict=True)] == [True] * 6, lines()
    assert not re.search("secret|sk-", " ".join(lines()))


async def test_a_client_writes_no_line_of_its_own(ask: Any, lines: Any) -> None:
    app = create_app(MODELS)
    await ask(app, path="/v1/x\r\n2026-01-01 INFO forged \u2028\x1b[31m", method="GET")
    await ask(app, {**CHAT, "model": "no\nsuch model"})
    assert [line.split(" ")[1:3] for line in lines()] == [
        ["/x%0D%0A2026-01-01%20INFO%20forged%20%E2%80%A8%1B[31m", "404"],
        ["/chat/completions", "404"],
    ]


async def test_the_figures(ask: Any, visit: Any) -> None:
    app = create_app(MODELS, metrics=True)
    for body in (STREAMED, STREAMED, CHAT, {**CHAT, "model": "refuses"}, {**CHAT, "model": "anything"}):
        await ask(app, body)
    await ask(app, path="/anything", method="GET")
    async with visit(app, {**STREAMED, "model": "waits"}) as client:
        await client.take()
        figures = await scrape(ask, app)
    assert figures["tokenwire_requests_in_flight"] == {(): 2.0}  # the scrape is one of them
    assert figures["tokenwire_requests_total"] == {
        ("/chat/completions", "words", "200", "complete"): 3.0,
        ("/chat/completions", "refuses", "429", "error"): 1.0,
        ("/chat/completions", "", "404", "error"): 1.0,
        ("other", "", "404", "error"): 1.0,
    }
    assert figures["tokenwire_time_to_first_token_seconds_count"] == {("words",): 2.0}
    assert 0 < figures["tokenwire_time_to_first_token_seconds_sum"]["words",] < PATIENCE
    assert figures["tokenwire_chunks_total"]["words",] >= 6
    assert figures["tokenwire_chunks_per_second_count"] == {("words",): 2.0}
    figures = await scrape(ask, app)
    assert figures["tokenwire_requests_in_flight"] == {(): 1.0}
    assert figures["tokenwire_requests_total"]["/chat/completions", "waits", "200", "cancelled"] == 1.0
    assert figures["tokenwire_requests_total"]["/metrics", "", "200", "complete"] == 1.0


async def scrape(ask: Any, app: Any) -> dict[str, dict[tuple[str, ...], float]]:
    """The samples by name and labels, without the buckets."""
    answer = await ask(app, path="/metrics", method="GET")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    figures: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(answer.body.decode()):
        for sample in family.samples:
            if not sample.name.endswith(("_bucket", "_created")):
                figures.setdefault(sample.name, {})[tuple(sample.labels[name] for name in LABELS if name in sample.labels)] = (
                    sample.value
                )
    return figures


async def test_each_app_counts_for_itself_and_only_if_it_shall(ask: Any) -> None:
    one, other, silent = create_app(MODELS, metrics=True), create_app(MODELS, metrics=True), create_app(MODELS)
    await ask(one, CHAT)
    assert "tokenwire_requests_total" not in await scrape(ask, other)
    assert (await ask(silent, path="/metrics", method="GET")).status == 404


def test_processes_that_share_a_folder_are_added_up(tmp_path: Path) -> None:
    script = (
        "from tokenwire.server.metrics import Recorder\n"
        "recorder = Recorder(metrics=True)\n"
        "recorder.begin()\n"
        "print(next(line for line in recorder.exposition()[0].decode().splitlines() if line[0] != '#'), flush=True)\n"
        "input()\n"
    )
    command = [sys.executable, "-c", script]
    environment = {"PYTHONPATH": ":".join(sys.path), "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "tokenwire_requests_in_flight 1.0\n"
        second = subprocess.run(command, env=environment, input="\n", capture_output=True, text=True, timeout=60, check=True)
        assert second.stdout == "tokenwire_requests_in_flight 2.0\n"
        first.communicate("\n")
    # What an ended process had under way is not counted any longer.
    third = subprocess.run(command, env=environment, input="\n", capture_output=True, text=True, timeout=60, check=True)
    assert third.stdout == "tokenwire_requests_in_flight 1.0\n"


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_a_stream_whose_end_is_being_sent_is_complete(anyio_backend: str, lines: Any) -> None:
    """As hypercorn has it on trio: `receive` reports a disconnect before the last `send` has returned."""
    body = json.dumps(STREAMED).encode()
    ended = anyio.Event()
    asked = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Any:
        if asked:
            return asked.pop()
        await ended.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body" and not message["more_body"]:
            ended.set()
            for _ in range(10):  # whoever waits for the disconnect acts on it now
                await anyio.lowlevel.checkpoint()

    scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": []}
    with anyio.fail_after(PATIENCE):
        await create_app(MODELS)(scope, receive, send)
    assert [line.split()[3] for line in lines()] == ["complete"]
