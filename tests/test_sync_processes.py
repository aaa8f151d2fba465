"""The sync face across forks, interrupts and the end of a process: each test runs a program of its own."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator

import pytest

from tokenwire.testing import Endpoint, Received, Reply, completion


def endless() -> Reply:
    """A stream that says "Hello" and then neither ends nor says more."""
    return Reply(events=["Hello"], done=False, stall=True)


def run(program: str, **values: str) -> subprocess.CompletedProcess[str]:
    """Run a program that ends by itself, and quickly."""
    code = textwrap.dedent(PREAMBLE) + textwrap.dedent(program)
    for name, value in values.items():
        code = code.replace(name, repr(value))
    warnings = ["-W", "error", "-W", "ignore:.*fork:DeprecationWarning"]  # 3.12 warns of forks in general
    return subprocess.run([sys.executable, *warnings, "-c", code], capture_output=True, text=True, timeout=90)


PREAMBLE = """
    import faulthandler, os, signal, sys, threading, time
    import tokenwire
    faulthandler.register(signal.SIGALRM, chain=True)
    signal.alarm(60)  # a hang says where
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


class TestEnd:
    """Calls that are made when the main program has ended: there may be no background loop, and no thread to start one."""

    NO_THREADS = """
        def no_threads(self):
            raise RuntimeError("can't create new thread at interpreter shutdown")  # as Python 3.12 has it
        def end_of_threads():
            threading.Thread.start = no_threads
    """

    HELPERS = """
        def whole():
            return tokenwire.completion("openai/m", MESSAGES, api_base=URL).choices[0].message.content
        def streamed():
            with stream() as pieces:
                text = "".join(piece.text for piece in pieces)
            return text if pieces.outcome == "complete" else pieces.outcome
        def left_early():
            with stream() as pieces:
                next(pieces)
            return pieces.outcome
        def with_a_client():
            with tokenwire.Client(api_base=URL) as client:
                return "".join(client.completion("openai/m", MESSAGES).choices[0].message.content for _ in range(2))
        def refused():
            try:
                tokenwire.completion("openai/m", MESSAGES, api_base=URL, user="refuse me")
            except tokenwire.BadRequestError as error:
                return type(error).__name__
        def say_all():
            for call in (whole, streamed, left_early, with_a_client, refused):
                sys.stdout.write(call() + "\\n")
    """

    ANSWERS = ("Hello there", "Hello there", "cancelled", "Hello thereHello there", "BadRequestError")

    @pytest.fixture
    def named(self) -> Iterator[Endpoint]:
        def answer(request: Received) -> Reply:
            return Reply(status=400) if request.json().get("user") else Reply(text="Hello there", delay=0.05)

        with Endpoint(answer) as endpoint:
            yield endpoint

    def run(self, program: str, endpoint: Endpoint) -> list[str]:
        """What a program prints, which must end well and leave no connection."""
        code = textwrap.dedent(self.HELPERS) + textwrap.dedent(program)
        done = run(code, URL=endpoint.url.replace("127.0.0.1", "localhost"))  # a name, as real endpoints have
        assert (done.stderr, done.returncode) == ("", 0)
        endpoint.wait_until(lambda: endpoint.open_connections == 0)
        return done.stdout.splitlines()

    @pytest.mark.parametrize("before", ["", "print(whole())"], ids=["first call", "later call"])
    @pytest.mark.parametrize("threads", ["", "end_of_threads()"], ids=["threads start", "no thread starts"])
    def test_threads_that_outlive_the_main_program(self, before: str, threads: str, named: Endpoint) -> None:
        said = self.run(
            f"""
            {textwrap.dedent(self.NO_THREADS).replace(chr(10), chr(10) + " " * 12)}
            {before}
            def work():
                threading.main_thread().join()
                {threads}
                started.wait()  # until all have been started
                say_all()
            started = threading.Barrier(2)
            for _ in range(2):
                threading.Thread(target=work).start()
            """,
            named,
        )

        assert sorted(said) == sorted(["Hello there"] * bool(before) + [*self.ANSWERS] * 2)

    def test_workers_of_a_thread_pool(self, named: Endpoint) -> None:
        said = self.run(
            """
            from concurrent.futures import ThreadPoolExecutor, thread
            def work():
                while not thread._shutdown:  # the interpreter joins the pool's threads, and lets it take no more work
                    time.sleep(0.001)
                say_all()
            pool = ThreadPoolExecutor(2)
            for _ in range(4):
                pool.submit(work)
            """,
            named,
        )

        assert sorted(said) == sorted([*self.ANSWERS] * 4)

    @pytest.mark.parametrize("before", ["", "print(whole())"], ids=["first call", "later call"])
    @pytest.mark.parametrize("after", ["", "print(whole())"], ids=["", "call after it"])
    def test_functions_that_run_at_exit(self, before: str, after: str, named: Endpoint) -> None:
        said = self.run(
            f"""
            import atexit
            {before}
            atexit.register(say_all)
            {after}
            """,
            named,
        )

        calls = bool(before) + bool(after)
        assert said == ["Hello there"] * calls + [*self.ANSWERS]

    def test_a_client_that_is_closed_at_exit(self, named: Endpoint) -> None:
        program = """
            import atexit
            client = tokenwire.Client(api_base=URL)
            atexit.register(client.close)
            print(client.completion("openai/m", MESSAGES).choices[0].message.content)
        """
        assert self.run(program, named) == ["Hello there"]

    @pytest.mark.parametrize("start", ["asyncio.run(main())", "uvloop.run(main())"], ids=["asyncio", "uvloop"])
    def test_async_calls_in_a_thread_that_outlives_the_main_program(self, start: str, named: Endpoint) -> None:
        module = start.partition(".")[0]
        pytest.importorskip(module)
        program = f"""
            import {module}
            async def main():
                response = await tokenwire.acompletion("openai/m", MESSAGES, api_base=URL)
                print(response.choices[0].message.content)
            def work():
                threading.main_thread().join()
                {start}
            threading.Thread(target=work).start()
        """
        assert self.run(program, named) == ["Hello there"]

    def test_a_call_in_a_running_loop_says_what_is_wrong(self, named: Endpoint) -> None:
        """It would have to wait for the loop that waits for it."""
        program = f"""
            {textwrap.dedent(self.NO_THREADS).replace(chr(10), chr(10) + " " * 12)}
            import asyncio
            async def main():
                try:
                    whole()
                except RuntimeError as error:
                    print(error)
            end_of_threads()
            asyncio.run(main())
        """
        (said,) = self.run(program, named)
        assert "use the async function" in said

    def test_a_look_up_that_hangs_does_not_hold_up_the_end(self, named: Endpoint) -> None:
        program = """
            import socket
            look_up = socket.getaddrinfo
            def hang(host, *args, flags=0, **kwargs):
                if flags & socket.AI_NUMERICHOST:
                    return look_up(host, *args, flags=flags, **kwargs)
                time.sleep(60)
            socket.getaddrinfo = hang
            try:
                tokenwire.completion("openai/m", MESSAGES, api_base=URL, num_retries=0, timeout=tokenwire.Timeouts(connect=0.1))
            except tokenwire.Timeout as error:
                print(error.budget)
        """
        assert self.run(program, named) == ["connect"]
