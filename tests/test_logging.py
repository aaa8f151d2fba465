"""What the `tokenwire` logger is told of calls; that it is told no keys and not what was said, test_secrets.py sees to."""

import logging
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import anyio
import pytest

import tokenwire
from tokenwire import AsyncClient
from tokenwire._calls import routing
from tokenwire.testing import Endpoint, Reply, chunk, chunks, completion, error, event

MESSAGES = [{"role": "user", "content": "Hi"}]
BUSY = Reply(status=503, headers={"retry-after": "0", "x-request-id": "r1"}, json={"error": {"message": "busy"}})
USAGE = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
GOOD = Reply(json={**completion("Hello"), "usage": USAGE}, headers={"x-request-id": "r2"})
GOOD_STREAM = Reply(events=[*chunks("Hello"), {**chunk(), "choices": [], "usage": USAGE}], headers={"x-request-id": "r2"})
ENDLESS = Reply(events=["a"], done=False, stall=True)


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What calls said: the call's number and name left out, and a "_" for each time."""
    caplog.set_level(logging.DEBUG, "tokenwire")

    def lines() -> list[str]:
        records = [record for record in caplog.records if record.name == "tokenwire"]
        assert {record.levelno for record in records} <= {logging.DEBUG}
        texts = [record.getMessage().partition(": ") for record in records]
        assert len({name for name, _, _ in texts}) == 1
        assert re.fullmatch(r"call \d+, [\w-]+/m", texts[0][0])
        return [re.sub(r"\d+\.\d+ s", "_", text) for _, _, text in texts]

    return lines


def story(url: str) -> list[str]:
    return [
        f"attempt 1, POST {url}/chat/completions",
        "attempt 1 failed after _, ServiceUnavailableError, status 503, request r1; the next in _",
        f"attempt 2, POST {url}/chat/completions",
    ]


@pytest.mark.anyio
async def test_a_whole_call(told: Any) -> None:
    with Endpoint([BUSY, GOOD]) as endpoint:
        await tokenwire.acompletion("openai/m", MESSAGES, api_base=f"{endpoint.url}?key=secret")
    assert told() == [*story(endpoint.url), "complete after _, 3 + 1 tokens, request r2"]


@pytest.mark.anyio
async def test_a_stream(told: Any) -> None:
    with Endpoint([BUSY, GOOD_STREAM]) as endpoint:
        async for _ in tokenwire.astreaming("openai/m", MESSAGES, api_base=endpoint.url):
            pass
    assert told() == [*story(endpoint.url), "complete after _, first content after _, 3 + 1 tokens, request r2"]


def test_the_sync_face_says_the_same(told: Any, caplog: pytest.LogCaptureFixture) -> None:
    with Endpoint([BUSY, GOOD, BUSY, GOOD_STREAM]) as endpoint:
        tokenwire.completion("openai/m", MESSAGES, api_base=endpoint.url)
        assert told() == [*story(endpoint.url), "complete after _, 3 + 1 tokens, request r2"]
        caplog.clear()
        list(tokenwire.streaming("openai/m", MESSAGES, api_base=endpoint.url))
    assert told() == [*story(endpoint.url), "complete after _, first content after _, 3 + 1 tokens, request r2"]


@pytest.mark.anyio
@pytest.mark.parametrize(
    "reply, ending",
    [
        (Reply(events=["a"], done=False, cut="fin"), "truncated after _, StreamTruncatedError, first content after _"),
        (
            Reply(events=["a", event(error("no", code="rate_limit_exceeded"))]),
            "error after _, RateLimitError, first content after _",
        ),
        (ENDLESS, "error after _, Timeout (idle), first content after _"),
    ],
    ids=["truncated", "error", "idle"],
)
async def test_a_stream_that_does_not_end_well(reply: Reply, ending: str, told: Any) -> None:
    timeout = tokenwire.Timeouts(idle=0.1 if "(idle)" in ending else 60)
    with Endpoint(reply) as endpoint:
        with pytest.raises(tokenwire.APIError):
            async for _ in tokenwire.astreaming("openai/m", MESSAGES, api_base=endpoint.url, timeout=timeout):
                pass
    # httpx's exception under a connection cut in the middle of its chunked body
    assert [re.sub(r" \(RemoteProtocolError\)", "", line) for line in told()[1:]] == [ending]


@pytest.mark.anyio
async def test_a_stream_that_is_left(told: Any) -> None:
    with Endpoint(ENDLESS) as endpoint:
        async with tokenwire.astreaming("openai/m", MESSAGES, api_base=endpoint.url) as stream:
            await anext(stream)
        await stream.aclose()
    assert told()[1:] == ["cancelled after _, first content after _"]


@pytest.mark.anyio
async def test_a_whole_call_that_is_cancelled(told: Any) -> None:
    with Endpoint(Reply(delay=60)) as endpoint:
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: tokenwire.acompletion("openai/m", MESSAGES, api_base=endpoint.url))
            await endpoint.await_until(lambda: endpoint.requests != [])
            group.cancel_scope.cancel()
    assert told()[1:] == ["cancelled after _"]


@pytest.mark.anyio
@pytest.mark.parametrize("stream", [False, True])
async def test_a_refused_connection(stream: bool, told: Any) -> None:
    with Endpoint(GOOD) as endpoint:
        url = endpoint.url
    with pytest.raises(tokenwire.APIConnectionError):
        await tokenwire.acompletion("openai/m", MESSAGES, api_base=url, num_retries=0, stream=stream)
    assert told()[1:] == [
        "attempt 1 failed after _, APIConnectionError (ConnectError); the last",
        "error after _, APIConnectionError (ConnectError)",
    ]


@pytest.mark.anyio
async def test_a_handler(told: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def parrot(messages: Any, **_: Any) -> Any:
        yield "a"
        raise ZeroDivisionError

    monkeypatch.setattr(routing, "_registered", {"my-llm": parrot})
    with pytest.raises(tokenwire.APIConnectionError):
        async for _ in tokenwire.astreaming("my-llm/m", MESSAGES):
            pass
    began, ended = told()
    assert began.startswith("attempt 1, the handler ")
    assert began.endswith("parrot")
    assert ended == "error after _, APIConnectionError (ZeroDivisionError), first content after _"


ODD = {**completion("Hello"), "usage": {**USAGE, "prompt_tokens": "3"}, "created": "2025-12-01"}
ODD_STREAM = [chunk([{"type": "text", "text": "a"}]) for _ in range(9)]  # type: ignore[arg-type]


@pytest.mark.anyio
async def test_odd_fields_are_named_once_a_call(told: Any) -> None:
    with Endpoint(Reply(json=ODD)) as endpoint:
        await tokenwire.acompletion("openai/m", MESSAGES, api_base=endpoint.url)
    assert told()[1:-1] == ["fields with values of another type than expected: created, usage.prompt_tokens"]


@pytest.mark.anyio
async def test_odd_fields_are_named_once_a_stream(told: Any) -> None:
    with Endpoint(Reply(events=ODD_STREAM)) as endpoint:
        async for _ in tokenwire.astreaming("openai/m", MESSAGES, api_base=endpoint.url):
            pass
    assert told()[1:-1] == ["fields with values of another type than expected: choices.delta.content"]


TOOLS: Any = [{"type": "function", "function": {"name": "f"}}]
CALLING = completion(None, tool_calls=[{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}])
LOGPROBS = completion("Hello")
LOGPROBS["choices"][0]["logprobs"] = {"content": []}


@pytest.mark.anyio
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    "asked, answer, remarks",
    [
        ({"n": 2}, completion("Hello"), ["n=2 was requested, but the number of choices is 1"]),
        ({"logprobs": True}, completion("Hello"), ["logprobs were requested, but there are none"]),
        ({"tools": TOOLS, "tool_choice": "required"}, completion("Hello"), ["a tool call was required, but there is none"]),
        ({"n": 1, "logprobs": True}, LOGPROBS, []),
        ({"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "f"}}}, CALLING, []),
        ({"tools": TOOLS, "tool_choice": "auto"}, completion("Hello"), []),
    ],
)
async def test_what_a_server_dropped(asked: Any, answer: Any, remarks: list[str], streamed: bool, told: Any) -> None:
    with Endpoint(Reply(json=answer)) as endpoint:  # a whole answer to a stream is one as well
        reply: Any = await tokenwire.acompletion("openai/m", MESSAGES, api_base=endpoint.url, stream=streamed, **asked)
        if streamed:
            async for _ in reply:
                pass
    assert told()[1:-1] == remarks


@pytest.mark.anyio
@pytest.mark.parametrize(
    "asked, vector, remarks",
    [
        ({"dimensions": 2}, [0.5, 1.5, 2.5], ["dimensions=2 was requested, but vectors have 3"]),
        ({"dimensions": 2}, [0.5, 1.5], []),
        ({"dimensions": 2, "encoding_format": "base64"}, "AAAAPwAAwD8=", []),
        ({"dimensions": 2}, "AAAAPw==", ["dimensions=2 was requested, but vectors have 1"]),
        ({"encoding_format": "base64"}, [0.5], ["base64 was requested, but the vectors are lists"]),
        ({"dimensions": 2}, {"int8": [1]}, []),
    ],
)
async def test_what_a_server_dropped_of_vectors(asked: Any, vector: Any, remarks: list[str], told: Any) -> None:
    with Endpoint(Reply(json={"data": [{"embedding": vector, "index": 0}]})) as endpoint:
        await tokenwire.aembedding("openai/m", "Hi", api_base=endpoint.url, **asked)
    assert told()[1:-1] == remarks


@pytest.mark.anyio
async def test_a_kept_connection_that_was_closed(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "tokenwire")
    with Endpoint([GOOD, Reply(raw=b"", cut="rst"), GOOD]) as endpoint:
        async with AsyncClient(api_base=endpoint.url) as client:
            for _ in range(2):
                await client.acompletion("openai/m", MESSAGES)
    (record,) = [record for record in caplog.records if record.name == "tokenwire.http"]
    assert record.getMessage().endswith("had closed an idle connection: the request is sent again over another")


def test_nothing_is_told_per_chunk(told: Any) -> None:
    list(tokenwire.streaming("openai/m", MESSAGES, mock_response="Hello" * 1000))
    assert len(told()) == 2


def test_nothing_is_printed_where_logging_is_not_set_up() -> None:
    script = """
import anyio, tokenwire

class Stream:
    def __aiter__(self):
        return self
    async def __anext__(self):
        return "a"
    async def aclose(self):
        raise RuntimeError("worth a warning")

async def main():
    async with await tokenwire.acompletion("my-llm/m", [{"role": "user", "content": "Hi"}], stream=True) as stream:
        await anext(stream)

class MyLLM(tokenwire.CustomLLM):
    async def astreaming(self, *args, **kwargs):
        return Stream()

tokenwire.register("my-llm", MyLLM())
anyio.run(main)
"""
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("", "")
