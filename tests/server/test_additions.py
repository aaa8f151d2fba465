"""What a handler adds to an answer that has begun goes out without a chunk around it: in every dialect as with one."""

import json
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tokenwire.llms.handler_source import HandlerSource
from tokenwire.server import create_app

pytestmark = pytest.mark.anyio

LOGPROBS = {"content": [{"token": "\u20ac", "logprob": -0.5, "bytes": [226], "top_logprobs": []}], "refusal": None}
USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}


def flat(text: str = "", **fields: Any) -> dict[str, Any]:
    own = {"text": text, "is_finished": False, "finish_reason": None, "usage": None, "index": 0, "tool_use": None}
    return {**own, **fields}


def call(arguments: str, number: int = 0, **named: Any) -> dict[str, Any]:
    function = {"name": named.pop("name", None), "arguments": arguments}
    return flat(tool_use={"id": None, "type": "function", "index": number, "function": function, **named})


REASONING = [flat(reasoning_content=text) for text in ("r", '"\n', "\u2028\U0001f600", "s")]
TEXT = [flat(text) for text in ("a", "\\", "b")]
USED = [flat(text, usage=USAGE) for text in ("a", "b", "c")]
CALLS = [call("", 0, id="i", name="f"), call('{"a"'), call(":1}"), call("", 1, id="j", name="g"), call("{", 1), call("}", 1)]
STREAMS: dict[str, list[dict[str, Any]]] = {
    "reasoning": [*REASONING, *TEXT],
    "calls": [*TEXT, *CALLS],
    "all": [*REASONING, *TEXT, *CALLS],
    "renumbered": [
        call("", id="i", name="f"),
        call("{"),
        call("}"),
        call("", id="j", name="g"),
        call("{"),
        call("1"),
        call("}"),
    ],
    "usage": USED,
    "usage-late": [*(flat(text, logprobs=LOGPROBS) for text in "abc"), flat("d", logprobs=LOGPROBS, usage=USAGE), USED[0]],
    "logprobs": [flat("a", logprobs=LOGPROBS), flat("b", logprobs=LOGPROBS), flat("c"), flat("d", logprobs=LOGPROBS)],
    "infinite": [flat("a", logprobs={"content": [{"token": "a", "logprob": value}]}) for value in (-1.0, float("-inf"), 0.0)],
}
CHOICES = [flat(text, index=index) for text in ("a", "b", "c") for index in (0, 1)]
BODIES = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "q"}]},
    "/v1/completions": {"prompt": "q"},
    "/v1/messages": {"messages": [{"role": "user", "content": "q"}], "max_tokens": 9},
    "/v1/responses": {"input": "q"},
}


def handler_of(items: list[dict[str, Any]]) -> Callable[..., AsyncIterator[Any]]:
    async def handler(**_: Any) -> AsyncIterator[Any]:
        for item in items:
            yield item
        for index in sorted({item["index"] for item in items}):
            yield flat(is_finished=True, finish_reason="stop", index=index)

    return handler


def without_numbers(data: bytes) -> str:
    """The events, without what is made for each answer."""
    data = re.sub(rb"(call|chatcmpl|cmpl|msg|resp|rs|fc|toolu)(_|-)[\w-]+", rb"\1", data)
    return re.sub(rb'("(?:created|created_at|completed_at)":)\d+', rb"\g<1>0", data).decode()


async def both_ways(
    ask: Any, monkeypatch: pytest.MonkeyPatch, items: list[dict[str, Any]], path: str, more: Any = None
) -> list[str]:
    """What is sent, and what would be sent if each item were looked at closely."""
    told: list[str] = []
    for quick in (True, False):
        if not quick:
            monkeypatch.setattr(HandlerSource, "_quick", lambda *_: None)
        body = {"model": "m", "stream": True, **BODIES[path], **(more or {})}
        told.append(without_numbers((await ask(create_app({"m": handler_of(items)}), body, path)).body))
    return told


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("items", STREAMS.values(), ids=STREAMS)
async def test_they_are_sent_as_chunks_would_be(ask: Any, monkeypatch: Any, items: list[Any], path: str) -> None:
    quick, long = await both_ways(ask, monkeypatch, items, path)
    assert quick == long


@pytest.mark.parametrize("options", [{"include_usage": True}, {"include_usage": True, "continuous_usage_stats": True}], ids=str)
@pytest.mark.parametrize("name", ["usage", "usage-late", "logprobs", "reasoning"])
async def test_with_the_usage_that_was_asked_for(ask: Any, monkeypatch: Any, name: str, options: Any) -> None:
    quick, long = await both_ways(ask, monkeypatch, STREAMS[name], "/v1/chat/completions", {"stream_options": options})
    assert quick == long
    counted = [event for event in quick.split("\n\n") if '"usage":{' in event]
    several = {"usage": 4, "usage-late": 3}.get(name, 0)
    assert len(counted) == (several if len(options) == 2 else min(several, 1))


async def test_several_choices_take_turns(ask: Any, monkeypatch: Any) -> None:
    quick, long = await both_ways(ask, monkeypatch, CHOICES, "/v1/chat/completions")
    assert quick == long
    deltas = [json.loads(event[6:])["choices"][0] for event in quick.split("\n\n") if '"content"' in event]
    assert [(choice["index"], choice["delta"]["content"]) for choice in deltas] == [(i, t) for t in "abc" for i in (0, 1)]


async def test_no_chunk_is_made_of_them(ask: Any, monkeypatch: Any) -> None:
    items = [*REASONING, *TEXT, *CALLS[:3], *STREAMS["logprobs"][1:]]
    monkeypatch.setattr(HandlerSource, "_chunks_of", counted := Counted(HandlerSource._chunks_of))
    await ask(create_app({"m": handler_of(items)}), {"model": "m", "stream": True, **BODIES["/v1/chat/completions"]})
    assert counted.items == [REASONING[0], *CALLS[:2], flat(is_finished=True, finish_reason="stop")]


class Counted:
    """A method, and the items that it was called with."""

    def __init__(self, method: Any) -> None:
        self.method, self.items = method, []

    def __get__(self, source: Any, _: Any) -> Any:
        return lambda item: self.items.append(item) or self.method(source, item)
