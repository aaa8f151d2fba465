"""Leaving a stream before its end, in every way there is: the connection is released at once, as the endpoint sees it."""

import gc
from collections.abc import Iterator
from contextlib import aclosing
from typing import Any

import anyio
import httpx
import pytest

import tokenwire
from tokenwire._calls import routing
from tokenwire._calls.attempts import Attempts
from tokenwire.http.transport import HTTPTransport
from tokenwire.testing import Endpoint, Reply, chunk, chunks, completion

from .conftest import PATIENCE

pytestmark = pytest.mark.anyio

MESSAGES = [{"role": "user", "content": "Hi"}]
ENDLESS = Reply(events=["a", "b"], done=False, stall=True)
SILENT = Reply(delay=60)


@pytest.fixture
def endless() -> Iterator[Endpoint]:
    with Endpoint(ENDLESS) as endpoint:
        yield endpoint


def stream(endpoint: Endpoint, **keywords: Any) -> Any:
    keywords = {"api_base": endpoint.url, "num_retries": 0, **keywords}
    return tokenwire.astreaming("openai/m", MESSAGES, **keywords)


async def complete(endpoint: Endpoint, **keywords: Any) -> Any:
    keywords = {"api_base": endpoint.url, "num_retries": 0, **keywords}
    return await tokenwire.acompletion("openai/m", MESSAGES, **keywords)


async def assert_left(endpoint: Endpoint) -> None:
    """The endpoint saw the client leave in the middle, and has no connection any more."""
    await endpoint.await_until(lambda: endpoint.open_connections == 0)
    for request in endpoint.requests:
        await endpoint.await_closed(request)
        assert request.aborted


# Leaving.


async def test_break_and_aclose(endless: Endpoint) -> None:
    pieces = stream(endless)
    async for piece in pieces:
        assert piece.text == "a"
        break
    await pieces.aclose()
    await assert_left(endless)
    assert pieces.outcome == "cancelled"
    assert pieces.response.choices[0].message.content in ("a", "ab")
    assert pieces.timings.total is not None


async def test_leaving_async_with(endless: Endpoint) -> None:
    async with stream(endless) as pieces:
        await anext(pieces)
    await assert_left(endless)
    assert pieces.outcome == "cancelled"


async def test_leaving_async_with_by_an_exception(endless: Endpoint) -> None:
    pieces = await complete(endless, stream=True)

    async def read() -> None:
        async with pieces:
            async for _ in pieces:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await read()
    await assert_left(endless)
    assert pieces.outcome == "cancelled"


async def test_leaving_aclosing(endless: Endpoint) -> None:
    async with aclosing(stream(endless)) as pieces:
        await anext(pieces)
    await assert_left(endless)


async def test_leaving_before_the_first_chunk(endless: Endpoint) -> None:
    async with await complete(endless, stream=True) as pieces:
        pass
    await assert_left(endless)
    assert (pieces.outcome, pieces.response) == ("cancelled", None)


async def test_leaving_before_anything_was_sent(endless: Endpoint) -> None:
    async with stream(endless) as pieces:
        pass
    assert (endless.requests, pieces.outcome) == ([], "cancelled")


async def test_dropping_the_stream(endless: Endpoint) -> None:
    pieces = stream(endless)
    assert (await anext(pieces)).text == "a"
    del pieces
    gc.collect()
    await assert_left(endless)


async def test_dropping_the_stream_in_the_middle_of_a_loop(endless: Endpoint) -> None:
    async def first() -> str:
        async for piece in stream(endless):
            return piece.text
        return ""

    gc.disable()  # "at once" is not "when garbage is collected"
    try:
        assert await first() == "a"
        await assert_left(endless)
    finally:
        gc.enable()


async def test_dropping_a_stream_that_was_only_opened(endless: Endpoint) -> None:
    await complete(endless, stream=True)
    gc.collect()
    await assert_left(endless)


# Cancelling.


async def cancel_while(endpoint: Endpoint, function: Any) -> None:
    """Cancel `function` once its request has arrived, and see it end at once."""
    before = len(endpoint.requests)
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as group:
            group.start_soon(function)
            await endpoint.await_until(lambda: len(endpoint.requests) > before)
            group.cancel_scope.cancel()


@pytest.mark.parametrize("streamed", [False, True])
async def test_cancelling_before_the_head(streamed: bool) -> None:
    with Endpoint(SILENT) as endpoint:

        async def call() -> None:
            await complete(endpoint, stream=streamed)

        await cancel_while(endpoint, call)
        await assert_left(endpoint)


async def test_cancelling_in_the_middle_of_a_body() -> None:
    with Endpoint(Reply(body=b'{"choices":[', framing="chunked", stall=True)) as endpoint:

        async def call() -> None:
            await complete(endpoint)

        await cancel_while(endpoint, call)
        await assert_left(endpoint)


async def test_cancelling_the_reader(endless: Endpoint) -> None:
    pieces = stream(endless)
    seen: list[str] = []

    async def read() -> None:
        async for piece in pieces:
            seen.append(piece.text)
            if len(seen) == 2:
                read_all.set()

    read_all = anyio.Event()
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as group:
            group.start_soon(read)
            await read_all.wait()
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()
    await assert_left(endless)
    assert (seen, pieces.outcome) == (["a", "b"], "cancelled")
    assert pieces.response.choices[0].message.content == "ab"


async def test_cancelling_the_reader_inside_async_with(endless: Endpoint) -> None:
    async def read() -> None:
        async with stream(endless) as pieces:
            async for _ in pieces:
                pass

    await cancel_while(endless, read)
    await assert_left(endless)


async def test_cancelling_during_the_wait_for_the_next_attempt() -> None:
    with Endpoint(Reply(status=503, headers={"retry-after": "30"})) as endpoint:

        async def call() -> None:
            await complete(endpoint, num_retries=2)

        await cancel_while(endpoint, call)
        await endpoint.await_closed(endpoint.requests[0])
        assert len(endpoint.requests) == 1


async def test_a_cancelled_stream_has_ended(endless: Endpoint) -> None:
    pieces = stream(endless)
    await anext(pieces)
    await anext(pieces)
    with anyio.move_on_after(0.05) as scope:
        await anext(pieces)
    assert scope.cancelled_caught
    assert pieces.outcome == "cancelled"
    await assert_left(endless)
    assert [piece async for piece in pieces] == []
    assert pieces.outcome == "cancelled"


async def test_a_cancelled_call_costs_no_place_in_the_pool() -> None:
    replies = [SILENT, SILENT, SILENT, Reply(json=completion("Hello"))]
    with Endpoint(replies) as endpoint:
        async with HTTPTransport(max_connections=1) as transport:
            for number in range(3):
                with anyio.fail_after(PATIENCE):
                    async with anyio.create_task_group() as group:

                        async def call() -> None:
                            await complete(endpoint, client=transport)

                        group.start_soon(call)
                        await endpoint.await_until(lambda number=number: len(endpoint.requests) > number)
                        group.cancel_scope.cancel()
            with anyio.fail_after(PATIENCE):
                response = await complete(endpoint, client=transport)
    assert response.choices[0].message.content == "Hello"


# Closing from elsewhere, twice, and using a closed stream.


@pytest.mark.parametrize("finished", [False, True])
async def test_aclose_in_another_task(endless: Endpoint, finished: bool) -> None:
    """Closed while its reader waits, a stream is not complete, although all that lacked may have been `[DONE]`."""
    with Endpoint(Reply(events=chunks("ab", size=1), done=False, stall=True)) as other:
        await close_while_it_is_read(other if finished else endless)


async def close_while_it_is_read(endpoint: Endpoint) -> None:
    pieces = stream(endpoint)
    raised: list[BaseException] = []
    seen: list[str] = []

    async def read() -> None:
        try:
            async for piece in pieces:
                seen.append(piece.text)  # noqa: PERF401 looked at while it grows
        except tokenwire.StreamClosedError as error:
            raised.append(error)

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as group:
            group.start_soon(read)
            await endpoint.await_until(lambda: endpoint.requests)
            while len(seen) < 2:
                await anyio.wait_all_tasks_blocked()
                await anyio.sleep(0.001)
            await anyio.wait_all_tasks_blocked()
            await pieces.aclose()
    assert len(raised) == 1
    assert pieces.outcome == "cancelled"
    await assert_left(endpoint)


async def test_aclose_in_another_task_before_the_head() -> None:
    with Endpoint(SILENT) as endpoint:
        pieces = stream(endpoint)

        async def read() -> None:
            with pytest.raises(tokenwire.StreamClosedError):
                await anext(pieces)

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as group:
                group.start_soon(read)
                await endpoint.await_until(lambda: endpoint.requests)
                await pieces.aclose()
        await assert_left(endpoint)


async def test_aclose_in_another_task_while_a_failed_attempt_is_released(monkeypatch: pytest.MonkeyPatch) -> None:
    """No further attempt is made for a stream that nobody wants any more."""
    calls: list[Any] = []
    releasing, go_on = anyio.Event(), anyio.Event()

    class Fails:
        def __aiter__(self) -> Any:
            return self

        async def __anext__(self) -> str:
            raise tokenwire.ServiceUnavailableError("busy")

        async def aclose(self) -> None:
            releasing.set()
            await go_on.wait()

    def handler() -> Any:
        calls.append(None)
        return Fails()

    monkeypatch.setattr(routing, "_registered", {})
    monkeypatch.setattr(Attempts, "_delay", lambda self, error: 0.0)
    tokenwire.register("mine", handler)
    pieces = tokenwire.astreaming("mine/m", MESSAGES, num_retries=2)

    async def read() -> None:
        with pytest.raises(tokenwire.StreamClosedError):
            await anext(pieces)

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as group:
            group.start_soon(read)
            await releasing.wait()
            group.start_soon(pieces.aclose)
            await anyio.wait_all_tasks_blocked()
            go_on.set()
    assert (len(calls), pieces.outcome) == (1, "cancelled")


async def test_closing_twice_and_asking_for_more(endless: Endpoint) -> None:
    pieces = stream(endless)
    await anext(pieces)
    await pieces.aclose()
    await pieces.aclose()
    with pytest.raises(tokenwire.StreamClosedError, match="closed"):
        await anext(pieces)
    assert pieces.outcome == "cancelled"


async def test_closing_a_complete_stream_changes_nothing() -> None:
    with Endpoint(Reply(events=chunks("Hello"))) as endpoint:
        async with stream(endpoint) as pieces:
            assert "".join([piece.text async for piece in pieces]) == "Hello"
        assert pieces.outcome == "complete"
        with pytest.raises(tokenwire.StreamClosedError):
            await anext(pieces)
        assert pieces.outcome == "complete"


async def test_chunks_that_arrived_but_were_not_read_are_gone_after_closing() -> None:
    with Endpoint(Reply(events=chunks("Hello there", size=1))) as endpoint:
        pieces = stream(endpoint)
        await anext(pieces)
        await pieces.aclose()
        with pytest.raises(tokenwire.StreamClosedError):
            await anext(pieces)


async def test_a_stream_may_be_closed_while_cancelled(endless: Endpoint) -> None:
    pieces = stream(endless)
    await anext(pieces)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await pieces.aclose()
    await assert_left(endless)


async def test_two_tasks_cannot_iterate_one_stream(endless: Endpoint) -> None:
    pieces = stream(endless)
    await anext(pieces)
    await anext(pieces)

    async def read() -> None:
        await anext(pieces)

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as group:
            group.start_soon(read)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(RuntimeError, match="two tasks"):
                await anext(pieces)
            group.cancel_scope.cancel()
    await assert_left(endless)


async def test_a_stream_may_be_iterated_in_one_task_after_another(endless: Endpoint) -> None:
    pieces = stream(endless)
    seen: list[str] = []

    async def read_one() -> None:
        seen.append((await anext(pieces)).text)

    for _ in range(2):
        async with anyio.create_task_group() as group:
            group.start_soon(read_one)
    assert seen == ["a", "b"]
    await pieces.aclose()
    await assert_left(endless)


async def test_no_cancel_scope_is_held_between_chunks(endless: Endpoint) -> None:
    """Scopes and task groups may be entered and left around single chunks, which a held scope would make an error."""
    pieces = stream(endless, timeout=30)
    with anyio.CancelScope():
        await anext(pieces)
    scope = anyio.CancelScope()
    with scope:
        async for _ in pieces:
            break
    await pieces.aclose()
    await assert_left(endless)


async def test_an_async_stream_has_no_for_loop(endless: Endpoint) -> None:
    with pytest.raises(TypeError, match="async for"):
        for _ in stream(endless):
            pass
    with pytest.raises(TypeError, match="async for"):
        iter(stream(endless))


# Reuse.


@pytest.mark.parametrize("drip", [None, 1], ids=["at once", "byte by byte"])  # the body's end comes after the stream's
@pytest.mark.parametrize("framing", ["chunked", "length"])
@pytest.mark.parametrize("read_on", [True, False], ids=["read to the end", "left at the last chunk"])
async def test_after_a_complete_stream_the_connection_is_reused(read_on: bool, framing: Any, drip: int | None) -> None:
    with Endpoint(Reply(events=chunks("Hello"), framing=framing, drip=drip)) as endpoint:
        for _ in range(3):
            async with stream(endpoint) as pieces:
                async for piece in pieces:
                    if piece.is_finished and not read_on:
                        await anext(pieces, None)
                        break
    assert [request.connection for request in endpoint.requests] == [1, 1, 1]
    assert not any(request.aborted for request in endpoint.requests)


async def test_a_stream_read_without_async_with_gives_its_connection_back() -> None:
    with Endpoint(Reply(events=chunks("Hello"))) as endpoint:
        for _ in range(3):
            assert "".join([piece.text async for piece in stream(endpoint)]) == "Hello"
        assert [request.connection for request in endpoint.requests] == [1, 1, 1]


@pytest.mark.parametrize(
    "reply",
    [
        Reply(status=429, json={"error": {"message": "slow"}}),
        Reply(json={"error": {"message": "slow"}}),
        Reply(json=completion("Hello")),
        Reply(events=["a", {"error": {"message": "boo"}}], done=False),
    ],
    ids=["a bad status", "an error with status 200", "a whole completion", "an error at the end"],
)
async def test_after_other_whole_answers_too(reply: Reply) -> None:
    with Endpoint(reply) as endpoint:
        for _ in range(2):
            try:
                async with stream(endpoint) as pieces:
                    async for _piece in pieces:
                        pass
            except tokenwire.APIError:
                pass
    if reply.events is None:  # behind an error object nobody waits for the end of the stream
        assert [request.connection for request in endpoint.requests] == [1, 1]


async def test_after_an_early_exit_the_next_call_has_a_connection_of_its_own() -> None:
    with Endpoint([ENDLESS, Reply(events=chunks("Hello"))]) as endpoint:
        async with stream(endpoint) as pieces:
            await anext(pieces)
        async with stream(endpoint) as pieces:
            assert "".join([piece.text async for piece in pieces]) == "Hello"
    assert [request.connection for request in endpoint.requests] == [1, 2]


async def test_a_server_that_never_ends_a_finished_body_is_not_waited_for() -> None:
    reply = Reply(events=chunks("Hello"), stall=True)
    with Endpoint(reply) as endpoint:
        with anyio.fail_after(PATIENCE):
            async with stream(endpoint) as pieces:
                assert "".join([piece.text async for piece in pieces]) == "Hello"
        assert pieces.outcome == "complete"
        await endpoint.await_closed(endpoint.requests[0])


async def test_a_server_that_goes_on_after_done_is_not_read_to_the_end() -> None:
    noise = b": " + b"x" * 60_000 + b"\n\n"
    with Endpoint(Reply(events=[*chunks("Hello"), b"data: [DONE]\n\n", *[noise] * 500], done=False)) as endpoint:
        with anyio.fail_after(PATIENCE):
            async with stream(endpoint) as pieces:
                assert "".join([piece.text async for piece in pieces]) == "Hello"
        assert pieces.outcome == "complete"
        await endpoint.await_closed(endpoint.requests[0])


# A user's own httpx client.


@pytest.mark.parametrize(
    "anyio_backend", [("asyncio", {"use_uvloop": False}), ("asyncio", {"use_uvloop": True})], ids=["asyncio", "asyncio+uvloop"]
)  # on trio, httpx's own generators warn when a response is left early
async def test_leaving_a_stream_over_httpx_s_own_client(endless: Endpoint) -> None:
    async with httpx.AsyncClient() as http_client:
        async with stream(endless, client=http_client) as pieces:
            assert (await anext(pieces)).text == "a"
        await assert_left(endless)

        async def read() -> None:
            async for _ in stream(endless, client=http_client):
                pass

        await cancel_while(endless, read)
        await assert_left(endless)


async def test_a_chunk_handed_out_stays_valid_after_closing(endless: Endpoint) -> None:
    async with await complete(endless, stream=True) as pieces:
        part = await anext(pieces)
    await assert_left(endless)
    assert part.raw is not None
    assert part.choices[0].delta.content == "a"
    assert part == tokenwire.ModelResponseStream(**chunk("a"))


async def test_a_stream_closed_before_its_first_content_is_not_tried_again() -> None:
    with Endpoint(Reply(events=[chunk(role="assistant")], done=False, stall=True)) as endpoint:
        pieces = await complete(endpoint, stream=True, num_retries=2)

        async def read() -> None:
            with pytest.raises(tokenwire.StreamClosedError):
                await anext(pieces)

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as group:
                group.start_soon(read)
                await anyio.wait_all_tasks_blocked()
                await pieces.aclose()
        await assert_left(endpoint)
        assert len(endpoint.requests) == 1
        assert pieces.outcome == "cancelled"
