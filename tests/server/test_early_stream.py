"""A byte before the first token, where it was asked for."""

from typing import Any

import anyio
import pytest

from tokenwire import CustomLLMError
from tokenwire.server import create_app
from tokenwire.testing import FakeClock

from ..conftest import an_hour
from .conftest import MESSAGES

pytestmark = pytest.mark.anyio

BODY: dict[str, Any] = {"model": "m", "messages": MESSAGES, "stream": True}
PATHS = {
    "/chat/completions": (BODY, b": keep-alive\n\n", b"[DONE]"),
    "/messages": ({**BODY, "max_tokens": 9}, b'event: ping\ndata: {"type":"ping"}\n\n', b"message_stop"),
    "/responses": ({"model": "m", "input": "Hi", "stream": True}, b": keep-alive\n\n", b"response.completed"),
}


class Slow:
    """A handler that says nothing until it is told to go on."""

    def __init__(self, error: Exception | None = None) -> None:
        self.began, self.go, self._error = anyio.Event(), anyio.Event(), error

    async def __call__(self, **_: Any) -> Any:
        self.began.set()
        await self.go.wait()
        if self._error is not None:
            raise self._error
        yield "Hello"


@pytest.mark.parametrize("path", PATHS)
async def test_a_silent_stream_begins_with_comments(path: str, visit: Any, clock: FakeClock) -> None:
    body, comment, last = PATHS[path]
    handler = Slow()
    app = create_app({"m": handler}, early_stream=20, keepalive_seconds=15)
    async with visit(app, body, path, seconds=7200) as v, an_hour(clock, handler.began.wait):
        with anyio.move_on_after(19) as before:
            await v.take()
        assert before.cancelled_caught
        assert [await v.take(), await v.take()] == [comment, comment]
        assert (v.status, v.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        handler.go.set()
        rest = await v.rest()
    assert b"Hello" in rest
    assert last in rest


@pytest.mark.parametrize("path", PATHS)
async def test_a_later_error_is_an_event(path: str, visit: Any, clock: FakeClock) -> None:
    handler = Slow(CustomLLMError(429, "slower, please"))
    app = create_app({"m": handler}, early_stream=20)
    async with visit(app, PATHS[path][0], path, seconds=7200) as v, an_hour(clock, handler.began.wait):
        await v.take()
        handler.go.set()
        assert b"slower, please" in await v.rest()
        assert v.status == 200


async def test_an_error_in_time_has_its_status(ask: Any) -> None:
    handler = Slow(CustomLLMError(429, "slower, please"))
    handler.go.set()
    answer = await ask(create_app({"m": handler}, early_stream=20), BODY)
    assert (answer.status, answer.error()["message"]) == (429, "slower, please")


async def test_a_stream_in_time_is_not_touched(ask: Any) -> None:
    handler = Slow()
    handler.go.set()
    answer = await ask(create_app({"m": handler}, early_stream=20), BODY)
    assert answer.body.startswith(b"data: {")
    assert b"keep-alive" not in answer.body


async def test_who_leaves_a_stream_that_was_begun_early_cancels_the_handler(visit: Any, gone: Any, clock: FakeClock) -> None:
    began, witness = anyio.Event(), gone()

    async def handler(**_: Any) -> Any:
        with witness():
            began.set()
            await anyio.sleep_forever()
            yield ""

    app = create_app({"m": handler}, early_stream=20)
    async with visit(app, BODY, seconds=7200) as v, an_hour(clock, began.wait):
        await v.take()
        v.leave()
        await witness.left.wait()
        await v.ended.wait()


async def test_a_first_chunk_waits_for_the_comment_before_it(visit: Any, clock: FakeClock) -> None:
    handler = Slow()
    app = create_app({"m": handler}, early_stream=20)
    async with visit(app, BODY, seconds=7200) as v:
        await handler.began.wait()
        await clock.aadvance(20)
        await v.until_sending()  # the head, which nobody has taken
        handler.go.set()
        await clock.aadvance(0)
        assert await v.take() == b": keep-alive\n\n"
        assert b"Hello" in await v.take()
