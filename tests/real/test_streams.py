"""Streams of a real server that are left early, that run side by side, and that sync code reads."""

import threading
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import anyio
import pytest
from anyio import to_thread

from tokenwire import Timeout, Timeouts, acompletion, astreaming, completion, list_models, streaming, text_completion

pytestmark = pytest.mark.real_model

MODEL = "openai/smollm2"
HI = [{"role": "user", "content": "Hi"}]
LONG: Any = {"max_tokens": 450, "ignore_eos": True}  # about as much as a slot holds
NOTICE = 3.0  # seconds within which a server must have noticed; the whole answer takes longer


def is_idle_within(busy: Callable[[], int], seconds: float) -> bool:
    """Whether the server's slots come to rest in time; each look takes the server about a token's time."""
    until = time.monotonic() + seconds
    while busy():
        if time.monotonic() > until:
            return False
    return True


async def leave_the_block(**params: Any) -> None:
    async with await acompletion(MODEL, HI, stream=True, **params) as stream:
        async for chunk in stream:
            if chunk.choices[0].delta.content:
                break
    assert stream.outcome == "cancelled"


async def close_it(**params: Any) -> None:
    stream = astreaming(MODEL, HI, **params)
    assert (await anext(stream)) is not None
    await stream.aclose()
    assert stream.outcome == "cancelled"


async def cancel_the_task(**params: Any) -> None:
    texts: list[str] = []
    with anyio.CancelScope() as scope:
        async for chunk in astreaming(MODEL, HI, **params):
            texts.append(chunk.text)
            if len(texts) == 3:
                scope.cancel()
    assert scope.cancelled_caught
    assert len(texts) < 10


async def run_out_of_time(**params: Any) -> None:
    params["timeout"] = Timeouts(total=0.3)
    with pytest.raises(Timeout, match="total"):
        async for _ in astreaming(MODEL, HI, **params):
            pass


@pytest.mark.anyio
@pytest.mark.parametrize("leave", [leave_the_block, close_it, cancel_the_task, run_out_of_time], ids=lambda way: way.__name__)
async def test_the_server_stops_when_its_reader_leaves(leave: Any, local: Any, server: Any) -> None:
    await leave(**local | LONG)
    assert await to_thread.run_sync(is_idle_within, server.busy, NOTICE)


@pytest.mark.anyio
async def test_streams_side_by_side_keep_their_texts(local: Any) -> None:
    """Twice as many streams as the server has slots; a grammar leaves each answer no choice."""
    words = "alpha beta gamma delta epsilon zeta eta theta".split()
    answers: dict[str, str] = dict.fromkeys(words, "")
    order: list[str] = []

    async def ask(word: str) -> None:
        own = local | {"grammar": f'%llguidance {{}}\nstart: "My word is {word}."', "max_tokens": 30}
        async with astreaming(MODEL, HI, **own) as stream:
            async for chunk in stream:
                answers[word] += chunk.text
                order.append(word)
        assert stream.outcome == "complete"

    async with anyio.create_task_group() as group:
        for word in words:
            group.start_soon(ask, word)
    assert answers == {word: f"My word is {word}." for word in words}
    turns = [word for word, next_word in pairwise(order) if word != next_word]
    assert len(turns) > len(words)  # they took turns, and were not served one after another


def test_sync_calls_say_the_same(local: Any) -> None:
    whole = completion(MODEL, HI, **local)
    with completion(MODEL, HI, stream=True, **local) as stream:
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    with streaming(MODEL, HI, **local) as flat:
        pieces = [chunk.text for chunk in flat]
    assert whole.choices[0].message.content == text == "".join(pieces)
    assert stream.outcome == flat.outcome == "complete"
    assert stream.response is not None
    assert stream.response.choices == whole.choices
    counted = text_completion(MODEL, "One, two, three,", **local | {"max_tokens": 2})
    assert counted.choices[0].text == " four,"
    assert [model.id for model in list_models(api_base=local["api_base"]).data] == ["smollm2"]


def test_the_server_stops_when_a_sync_reader_leaves(local: Any, server: Any) -> None:
    for chunk in streaming(MODEL, HI, **local | LONG):  # dropped in the middle, without `with`
        assert chunk.text or not chunk.is_finished
        break
    assert is_idle_within(server.busy, NOTICE)
    with completion(MODEL, HI, stream=True, **local | LONG) as stream:
        next(stream)
    assert stream.outcome == "cancelled"
    assert is_idle_within(server.busy, NOTICE)


def test_threads_stream_side_by_side(local: Any) -> None:
    texts: list[str] = []

    def ask() -> None:
        texts.append("".join(chunk.text for chunk in streaming(MODEL, HI, **local)))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(texts) == 4
    assert all(text.startswith("Hello") for text in texts)
