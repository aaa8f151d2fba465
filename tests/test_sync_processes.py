"""The sync face across forks, interrupts and the end of a process: each test runs a program of its own."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator

import pytest

from tokenwire.testing import Endpoint, Reply, completion


def endless() -> Reply:
    """A stream that says "Hello" and then neither ends nor says more."""
    return Reply(events=["Hello"], done=False, stall=True)


def run(program: str, **values: str) -> subprocess.CompletedProcess[str]:
    """Run a program that ends by itself, and quickly."""
    code = textwrap.dedent(PREAMBLE) + textwrap.dedent(program)
    for name, value in values.items():
        code = code.replace(name, repr(value))
    warnings = ["-W", "error", "-W", "ignore:.*fork:DeprecationWarning"]  # 3.12 warns of forks in general
    return subprocess.run([sys.executable, *warnings, "-c", code], capture_output=True, text=True, timeout=20)


PREAMBLE = """
    import faulthandler, os, signal, sys, threading, time
    import tokenwire
    faulthandler.register(signal.SIGALRM, chain=True)
    signal.alarm(10)  # a hang says where
    MESSAGES = [{"role": "user", "content": "Hi"}]
    def stream():
        return tokenwire.streaming("openai/m", MESSAGES, api_base=URL)
"""


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint(lambda request: Reply(json=completion("whole")) if b"stream" not in request.body else endless()) as endpoint:
        yield endpoint


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
class TestFork:
    def test_the_child_has_a_loop_of_its_own(self, endpoint: Endpoint) -> None:
        done = run(
            """
            def call():
                return tokenwire.completion("openai/m", MESSAGES, api_base=URL).choices[0].message.content
            assert call() == "whole"
            pid = os.fork()
            if pid == 0:
                print(call(), flush=True)
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
            assert call() == "whole"
            """,
            URL=endpoint.url,
        )

        assert (done.stdout, done.stderr, done.returncode) == ("whole\n", "", 0)

    @pytest.mark.parametrize(
        "parent, child",
        [("asyncio.run(call())", "asyncio.run(call())"), ("asyncio.run(call())", "trio.run(call)"), ("client()", "client()")],
        ids=["asyncio", "asyncio, then trio", "a client of the parent's"],
    )
    def test_workers_forked_from_a_parent_that_has_made_calls(self, endpoint: Endpoint, parent: str, child: str) -> None:
        """As gunicorn preloads an application and celery forks its workers; the parent goes on."""
        done = run(
            f"""
            import asyncio, multiprocessing, trio
            async def call():
                response = await tokenwire.acompletion("openai/m", MESSAGES, api_base=URL)
                assert response.choices[0].message.content == "whole"
            shared = tokenwire.Client(api_base=URL)
            def client():
                assert shared.completion("openai/m", MESSAGES).choices[0].message.content == "whole"
            def work():
                {child}
                {child}
            {parent}
            workers = [multiprocessing.get_context("fork").Process(target=work) for _ in range(2)]
            for worker in workers:
                worker.start()
            {parent}
            for worker in workers:
                worker.join()
                assert worker.exitcode == 0
            {parent}
            shared.close()
            """,
            URL=endpoint.url,
        )

        assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
        assert len(endpoint.requests) == 7

    def test_an_async_client_made_before_the_fork_has_connections_of_its_own_in_the_child(self, endpoint: Endpoint) -> None:
        """On the parent's connection, either would get the other's answer."""
        done = run(
            """
            import asyncio
            client = tokenwire.AsyncClient(api_base=URL)
            async def call():
                for _ in range(2):
                    response = await client.acompletion("openai/m", MESSAGES, num_retries=0)
                    assert response.choices[0].message.content == "whole"
            async def work():
                await call()
                await client.aclose()
            with asyncio.Runner() as runner:
                runner.run(call())
                pid = os.fork()
                if pid == 0:
                    asyncio.run(work())
                    os._exit(0)
                assert os.waitpid(pid, 0)[1] == 0
                runner.run(work())
            """,
            URL=endpoint.url,
        )

        assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
        assert [request.connection for request in endpoint.requests] == [1, 1, 2, 2, 1, 1]

    def test_an_open_stream_stays_the_parents(self, endpoint: Endpoint) -> None:
        done = run(
            """
            pieces = stream()
            assert next(pieces).text == "Hello"
            pid = os.fork()
            if pid == 0:
                try:
                    next(pieces)
                except tokenwire.StreamClosedError as error:
                    print(error, flush=True)
                pieces.close()
                del pieces
                sys.exit(0)
            assert os.waitpid(pid, 0)[1] == 0
            assert pieces.outcome is None
            pieces.close()
            """,
            URL=endpoint.url,
        )

        assert (done.stderr, done.returncode) == ("", 0)
        assert "process" in done.stdout
        assert len(endpoint.requests) == 1

    def test_fork_from_a_handler_on_the_background_loop(self) -> None:
        done = run(
            """
            async def handler():
                pid = os.fork()
                if pid == 0:
                    text = tokenwire.completion("openai/m", MESSAGES, mock_response="child").choices[0].message.content
                    print(text, flush=True)
                    os._exit(0)
                return str(os.waitpid(pid, 0)[1])
            tokenwire.register("mine", handler)
            print(tokenwire.completion("mine/any", MESSAGES).choices[0].message.content)
            """,
        )

        assert (done.stdout, done.stderr, done.returncode) == ("child\n0\n", "", 0)


@pytest.mark.parametrize(
    "middle",
    [
        pytest.param("", id="end of the program"),
        pytest.param("sys.exit(0)", id="sys.exit"),
        pytest.param("threading.Thread(target=list, args=(pieces,), daemon=True).start()", id="read by a daemon thread"),
        pytest.param("pieces.cycle = [pieces]; del pieces", id="in a cycle"),
    ],
)
def test_the_interpreter_ends_in_the_middle_of_a_stream(middle: str, endpoint: Endpoint) -> None:
    done = run(f'pieces = stream()\nassert next(pieces).text == "Hello"\n{middle}', URL=endpoint.url)

    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
    endpoint.wait_closed(endpoint.requests[0])


@pytest.mark.parametrize(
    "start", ["asyncio.run(main())", "trio.run(main)", "uvloop.run(main())"], ids=["asyncio", "trio", "uvloop"]
)
@pytest.mark.parametrize("middle", ["sys.exit(0)", "kept.append(pieces); return"], ids=["sys.exit", "kept by the program"])
def test_the_interpreter_ends_in_the_middle_of_an_async_stream(start: str, middle: str, endpoint: Endpoint) -> None:
    module = start.partition(".")[0]
    pytest.importorskip(module)
    done = run(
        f"""
        import {module}
        kept = []
        async def main():
            pieces = tokenwire.astreaming("openai/m", MESSAGES, api_base=URL)
            async for _ in pieces:
                {middle}
        {start}
        """,
        URL=endpoint.url,
    )

    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
    endpoint.wait_closed(endpoint.requests[0])


def test_the_interpreter_ends_in_the_middle_of_sync_handlers() -> None:
    done = run(
        """
        def handler():
            while True:
                yield "a"
                time.sleep(0.001)
        tokenwire.register("mine", handler)
        pieces = tokenwire.streaming("mine/any", MESSAGES)
        next(pieces)
        """
    )

    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


@pytest.mark.parametrize(
    "call",
    [
        pytest.param("tokenwire.completion('openai/m', MESSAGES, api_base=URL, stream=False, foo='stream')", id="whole"),
        pytest.param("[None for piece in stream()]", id="stream"),
        pytest.param("tokenwire.completion('mine/any', MESSAGES)", id="handler that blocks the loop"),
    ],
)
def test_an_interrupt(call: str, endpoint: Endpoint) -> None:
    """Ctrl-C ends the call at once, and the program can go on."""
    done = run(
        f"""
        async def handler():
            time.sleep(1)
            return "late"
        tokenwire.register("mine", handler)
        main = threading.main_thread().ident
        threading.Timer(0.3, signal.pthread_kill, (main, signal.SIGINT)).start()
        try:
            {call}
        except KeyboardInterrupt:
            print("interrupted")
        tokenwire.register("quick", lambda: "Hi")
        """,
        URL=endpoint.url,
    )

    assert (done.stdout, done.stderr, done.returncode) == ("interrupted\n", "", 0)
    for request in endpoint.requests:
        endpoint.wait_closed(request)
        assert request.aborted


@pytest.mark.parametrize("later", [False, True], ids=["before", "after"])
def test_an_interrupt_while_the_background_loop_starts(later: bool, endpoint: Endpoint) -> None:
    """Before its thread runs, or after. Either way the process ends as it should."""
    done = run(
        """
        start = threading.Thread.start
        def interrupted(thread):
            if LATER:
                start(thread)
            raise KeyboardInterrupt
        threading.Thread.start = interrupted
        try:
            tokenwire.completion("openai/m", MESSAGES, api_base=URL)
        except KeyboardInterrupt:
            print("interrupted")
        threading.Thread.start = start
        if LATER:
            print(tokenwire.completion("openai/m", MESSAGES, api_base=URL).choices[0].message.content)
        """,
        URL=endpoint.url,
        LATER="later" if later else "",
    )

    assert (done.stdout, done.stderr, done.returncode) == ("interrupted\nwhole\n" if later else "interrupted\n", "", 0)


def test_an_interrupted_stream_is_cut_even_where_a_traceback_keeps_it(endpoint: Endpoint) -> None:
    """As a shell's or a notebook's does."""
    done = run(
        """
        pieces = stream()
        assert next(pieces).text == "Hello"
        threading.Timer(0.3, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT)).start()
        try:
            next(pieces)
        except KeyboardInterrupt:
            print(pieces.outcome)
        try:
            next(pieces)
        except tokenwire.StreamClosedError:
            print("closed")
        pieces.close()
        """,
        URL=endpoint.url,
    )

    assert (done.stdout, done.stderr, done.returncode) == ("cancelled\nclosed\n", "", 0)
