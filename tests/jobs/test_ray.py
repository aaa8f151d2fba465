"""The class for Ray Data, without Ray: columns in, columns out."""

from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest

import tokenwire
from tokenwire.ray import Completions
from tokenwire.testing import Endpoint, FakeClock, Received, Reply, completion

from ..conftest import PATIENCE

USUAL = ["text", "finish_reason", "prompt_tokens", "completion_tokens", "total_tokens"]
USUAL += ["attempts", "seconds", "waited", "error", "error_message"]


class Handler:
    """Says what it is told; knows what it was told, and how many calls were under way at once."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, Any]] = []
        self.in_flight = self.most = 0
        self.go: Callable[[], bool] = lambda: True  # whether calls may end

    async def acompletion(self, messages: Any, optional_params: Any, **_: Any) -> Any:
        self.seen.append((messages, optional_params))
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        await anyio.lowlevel.checkpoint()
        while not self.go():
            await anyio.lowlevel.checkpoint()
        self.in_flight -= 1
        text = messages[-1]["content"]
        if text == "bad":
            raise tokenwire.CustomLLMError(422, "it is bad")
        usage = tokenwire.Usage(prompt_tokens=1, completion_tokens=len(text), total_tokens=1 + len(text))
        message = tokenwire.Message(content=f"said {text}")
        return tokenwire.ModelResponse(choices=[tokenwire.Choices(message=message, finish_reason="stop")], usage=usage)


async def run(batch: dict[str, list[Any]], handler: Any = None, **options: Any) -> dict[str, list[Any]]:
    completions = Completions("mine/m", handlers={"mine": handler or Handler()}, **options)
    try:
        return await completions(batch)
    finally:
        await completions.aclose()


@pytest.mark.anyio
async def test_each_row_has_its_own_answer_and_failed_rows_are_rows() -> None:
    found = await run({"prompt": ["a", "bad", "ccc", None, 5], "label": [1, 2, 3, 4, 5]})
    assert list(found) == ["prompt", "label", *USUAL]
    assert found["label"] == [1, 2, 3, 4, 5]
    assert found["text"] == ["said a", None, "said ccc", None, None]
    assert found["finish_reason"] == ["stop", None, "stop", None, None]
    assert found["total_tokens"] == [2, None, 4, None, None]
    assert found["error"] == [None, "UnprocessableEntityError", None, "BadRequestError", "BadRequestError"]
    assert "it is bad" in found["error_message"][1]
    assert "must be a str, a list of messages" in found["error_message"][3]
    assert found["attempts"] == [1, 1, 1, 0, 0]
    assert all(seconds >= 0 for name in ("seconds", "waited") for seconds in found[name])
    assert found["seconds"][0] > 0


@pytest.mark.anyio
async def test_all_rows_are_under_way_at_once() -> None:
    handler = Handler()
    handler.go = lambda: handler.most == 16
    with anyio.fail_after(PATIENCE):
        found = await run({"prompt": [str(number) for number in range(16)]}, handler, max_concurrency=16)
    assert found["text"] == [f"said {number}" for number in range(16)]


@pytest.mark.anyio
async def test_batches_of_an_actor_share_its_places() -> None:
    handler = Handler()
    completions = Completions("mine/m", handlers={"mine": handler}, max_concurrency=7, actors=2)
    async with anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(completions, {"prompt": ["a"] * 10})
    assert len(handler.seen) == 40
    assert handler.most == 3
    await completions.aclose()


@pytest.mark.anyio
async def test_waiting_for_a_place_is_not_on_a_calls_clock(clock: FakeClock) -> None:
    async def slow(**_: Any) -> str:
        await anyio.sleep(400)
        return "Hello"

    completions = Completions("mine/m", handlers={"mine": slow}, max_concurrency=1, timeout=500)
    outcomes: list[Any] = []

    async def ask() -> None:
        outcomes.append(await completions({"prompt": ["a"]}))

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(ask)
        for _ in range(3):
            await clock.aadvance(400)
    assert [outcome["error"] for outcome in outcomes] == [[None]] * 3
    await completions.aclose()


@pytest.mark.anyio
async def test_messages_as_arrow_has_them() -> None:
    """A field that one message has is null in all others."""
    tool_call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "Hi", "tool_calls": None, "tool_call_id": None},
        {"role": "assistant", "content": None, "tool_calls": [tool_call], "tool_call_id": None},
        {"role": "tool", "content": "5", "tool_calls": None, "tool_call_id": "1"},
    ]
    sent: list[Any] = []

    def answer(request: Received) -> Reply:
        sent.append(request.json())
        return Reply(json=completion("Hello"))

    with Endpoint(answer) as endpoint:
        completions = Completions(
            "openai/m", input="chat", api_base=endpoint.url, api_key="k", row_params=["temperature", "stop"]
        )
        found = await completions({"chat": [messages], "temperature": [0.5], "stop": [None]})
        await completions.aclose()
    assert found["text"] == ["Hello"]
    assert sent == [
        {
            "model": "m",
            "temperature": 0.5,
            "messages": [
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": None, "tool_calls": [tool_call]},
                {"role": "tool", "content": "5", "tool_call_id": "1"},
            ],
        }
    ]


@pytest.mark.anyio
async def test_columns_are_named() -> None:
    columns = {"text": "answer", "error": "why", "response": "whole"}
    found = await run({"question": ["a", "bad"]}, input="question", columns=columns)
    assert list(found) == ["question", "answer", "why", "whole"]
    assert found["answer"] == ["said a", None]
    assert '"content":"said a"' in found["whole"][0]
    assert found["whole"][1] is None


@pytest.mark.anyio
async def test_an_error_ends_the_job_where_asked() -> None:
    with pytest.raises(tokenwire.APIError, match="it is bad"):
        await run({"prompt": ["a", "bad"]}, on_error="raise")


@pytest.mark.anyio
async def test_an_empty_batch() -> None:
    assert await run({}) == {name: [] for name in USUAL}
    assert await run({"prompt": []}) == {"prompt": [], **{name: [] for name in USUAL}}


@pytest.mark.anyio
async def test_answers_of_several_kinds_have_no_text() -> None:
    async def empty(**_: Any) -> Any:
        return tokenwire.ModelResponse(choices=[])

    found = await run({"prompt": ["a"]}, empty)
    assert (found["text"], found["error"], found["total_tokens"]) == ([None], [None], [None])


def test_limits_are_for_all_actors_together() -> None:
    completions = Completions("mine/m", handlers={"mine": Handler()}, actors=8, max_concurrency=512, rpm=30_000)
    assert repr(completions) == (
        "<Completions mine/m, one of 8 actors: 64 of 512 calls at once, 3750 of 30000 requests a minute>"
    )
    assert "64 of 128 calls at once" in repr(Completions("mine/m", handlers={"mine": Handler()}, actors=2))


@pytest.mark.anyio
@pytest.mark.parametrize(
    "batch, options, message",
    [
        ({"text": ["a"]}, {"columns": {"text": "t"}}, "input names the column 'prompt', but the batch has text"),
        ({"prompt": ["a"]}, {"row_params": ["seed"]}, "row_params names the column 'seed', but the batch has prompt"),
        ({"prompt": ["a"], "error": [1]}, {}, "the batch already has the column 'error': rename the new one"),
    ],
)
async def test_columns_that_are_missing_or_taken(batch: dict[str, list[Any]], options: dict[str, Any], message: str) -> None:
    with pytest.raises(tokenwire.BadRequestError, match=message) as caught:
        await run(batch, **options)
    assert caught.value.fault == "caller"


@pytest.mark.parametrize(
    "options, message",
    [
        ({"model": "nobody/m"}, "names no known provider"),
        ({"input": ""}, "input must be the name of a column, not ''"),
        ({"row_params": "seed"}, "row_params must be a list of columns, not 'seed'"),
        ({"columns": ["text"]}, "columns must be a dict of column names"),
        ({"columns": {"words": "text"}}, "columns has 'words'; its keys must be some of text, finish_reason"),
        ({"columns": {"text": "a", "error": "a"}}, "columns must have different names, but has: a, a"),
        ({"actors": 0}, "actors must be a whole number, 1 or more, not 0"),
        ({"actors": 3, "max_concurrency": 2}, "max_concurrency is for all actors: it must be at least 3, not 2"),
        ({"max_concurrency": 1.5}, "max_concurrency must be a whole number"),
        ({"rpm": "many"}, "gate.rpm must be a number above 0"),
        ({"on_error": "skip"}, 'on_error must be "return" or "raise"'),
        ({"num_retries": -1}, "num_retries"),
    ],
)
def test_arguments_that_are_wrong(options: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"model": "mine/m", "handlers": {"mine": Handler()}, **options}
    with pytest.raises(tokenwire.BadRequestError, match=message):
        Completions(**given)
