"""What observers are told beside what the log says of it, which test_logging.py sees to."""

import logging
from typing import Any

import pytest

import tokenwire
from tokenwire._calls import call_log
from tokenwire.testing import Endpoint, Reply, chunks, completion

MESSAGES = [{"role": "user", "content": "Hi"}]
BUSY = Reply(status=503, headers={"retry-after": "0"}, json={"error": {"message": "busy"}})


class Recorder:
    def __init__(self) -> None:
        self.told: list[Any] = []

    def on_attempt(self, call: Any, number: int) -> None:
        self.told.append((call, number))

    def on_attempt_failed(self, call: Any, attempt: Any, error: Any, delay: float | None) -> None:
        self.told.append((call, attempt, error, delay))

    def on_end(self, call: Any, end: Any) -> None:
        self.told.append((call, end))


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> list[Any]:
    recorder = Recorder()
    caplog.set_level(logging.DEBUG, "tokenwire")
    monkeypatch.setattr(call_log, "LOG", recorder)
    return recorder.told


@pytest.mark.anyio
@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
async def test_the_details_of_a_call(streamed: bool, told: list[Any]) -> None:
    good = Reply(events=chunks("Hello")) if streamed else Reply(json=completion("Hello"))
    with Endpoint([BUSY, good]) as endpoint:
        answer: Any = await tokenwire.acompletion("openai/m", MESSAGES, api_base=endpoint.url, stream=streamed)
        if streamed:
            assert [piece async for piece in answer]
    calls = [details[0] for details in told]
    assert all(call is calls[0] for call in calls)
    assert (calls[0].name, calls[0].stream) == ("openai/m", streamed)
    assert calls[0].address == f"POST {endpoint.url}/chat/completions"
    first, failed, second, ended = (details[1:] for details in told)
    assert (first, second) == ((1,), (2,))
    assert failed[0] is answer.attempts[0]
    assert (type(failed[1]), failed[2]) == (tokenwire.ServiceUnavailableError, 0)
    assert (ended[0].outcome, ended[0].error) == ("complete", None)
    assert (ended[0].first_content is not None) is streamed
