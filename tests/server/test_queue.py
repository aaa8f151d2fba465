"""Calls that wait for their turn."""

from typing import Any

import anyio
import anyio.lowlevel
import pytest

from tokenwire.server import create_app
from tokenwire.testing import FakeClock

from ..conftest import an_hour

pytestmark = pytest.mark.anyio


def body(name: str) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": name}], "stream": True}


class Busy:
    """A handler that answers when it is told to; `began` has the names of the calls in the order in which they began."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self._events: dict[str, anyio.Event] = {}

    def event(self, name: str) -> anyio.Event:
        return self._events.setdefault(name, anyio.Event())

    async def __call__(self, messages: Any, **_: Any) -> Any:
        name = messages[0]["content"]
        self.began.append(name)
        self.event(f"{name} began").set()
        await self.event(f"{name} may end").wait()
        yield name

    async def until_begun(self, name: str) -> None:
        await self.event(f"{name} began").wait()

    def end(self, name: str) -> None:
        self.event(f"{name} may end").set()


async def settle() -> None:
    """Let everything go on that can."""
    for _ in range(50):
        await anyio.lowlevel.checkpoint()


async def test_first_come_first_served_and_one_too_many_is_refused(visit: Any, ask: Any) -> None:
    busy = Busy()
    app = create_app({"m": busy}, max_concurrency=1, max_queue=2)
    async with visit(app, body("a")) as a:
        await busy.until_begun("a")
        async with visit(app, body("b")) as b:
            await settle()
            async with visit(app, body("c")) as c:
                await settle()
                refused = await ask(app, body("d"))
                assert (refused.status, refused.error()["code"]) == (429, "too_many_requests")
                assert refused.headers["retry-after"] == "1"
                assert (await ask(app, None, "/models", method="GET")).status == 200
                assert busy.began == ["a"]
                busy.end("a")
                assert b'"a"' in await a.rest()
                await busy.until_begun("b")
                assert (busy.began, app.in_flight) == (["a", "b"], 1)
                busy.end("b")
                busy.end("c")
                assert b'"b"' in await b.rest()
                assert b'"c"' in await c.rest()
    assert busy.began == ["a", "b", "c"]
    assert app.in_flight == 0
    assert (await ask(app, body("a"))).status == 200


async def test_who_leaves_the_queue_takes_no_place_with_them(visit: Any) -> None:
    busy = Busy()
    app = create_app({"m": busy}, max_concurrency=1, max_queue=1)
    async with visit(app, body("a")) as a:
        await busy.until_begun("a")
        async with visit(app, body("b")) as b:
            await settle()
            b.leave()
            await b.ended.wait()
        async with visit(app, body("c")) as c:  # where b was
            await settle()
            busy.end("a")
            busy.end("c")
            await a.rest()
            assert b'"c"' in await c.rest()
    assert busy.began == ["a", "c"]
    assert app.in_flight == 0


async def test_a_call_waits_so_long_and_no_longer(ask: Any, visit: Any, clock: FakeClock) -> None:
    busy = Busy()
    app = create_app({"m": busy}, max_concurrency=1, max_queue=1, queue_seconds=7)
    async with visit(app, body("a"), seconds=7200):
        await busy.until_begun("a")
        async with visit(app, body("b"), seconds=7200) as b:
            async with an_hour(clock, settle):
                answer = await b.rest()
        assert (b.status, b"no other request ended within 7 s" in answer) == (429, True)
    assert busy.began == ["a"]


async def test_a_request_that_waits_too_long_in_all_is_not_the_client_s_fault(visit: Any, clock: FakeClock) -> None:
    busy = Busy()
    app = create_app({"m": busy}, max_concurrency=1, max_queue=1, queue_seconds=7200, request_timeout=300)
    async with visit(app, body("a"), seconds=7200):
        await busy.until_begun("a")
        async with visit(app, body("b"), seconds=7200) as b:
            async with an_hour(clock, settle):
                answer = await b.rest()
        assert (b.status, b"no answer within 300 s" in answer) == (504, True)


async def test_answers_say_how_much_room_there_is(ask: Any, visit: Any) -> None:
    busy = Busy()
    app = create_app({"m": busy}, max_concurrency=2)
    busy.end("b")
    async with visit(app, body("a")):
        await busy.until_begun("a")
        headers = (await ask(app, body("b"))).headers
        limits = {name: headers[f"x-ratelimit-{name}-requests"] for name in ("limit", "remaining", "reset")}
        assert limits == {"limit": "2", "remaining": "0", "reset": "1s"}
    headers = (await ask(app, body("b"))).headers
    assert (headers["x-ratelimit-remaining-requests"], headers["x-ratelimit-reset-requests"]) == ("1", "0s")
    unlimited = await ask(create_app({"m": busy}), body("b"))
    assert not any(name.startswith("x-ratelimit") for name in unlimited.headers)


async def test_a_body_that_is_too_large_has_no_place_in_the_queue(ask: Any, visit: Any) -> None:
    busy = Busy()
    app = create_app({"m": busy}, max_concurrency=1, max_queue=1, max_body=1000)
    async with visit(app, body("a")):
        await busy.until_begun("a")
        for _ in range(2):
            assert (await ask(app, {**body("b"), "user": "x" * 1000})).status == 413
