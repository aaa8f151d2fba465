"""Puts calls through the faults of `matrix`: real sockets, a client of its own for each call, many calls at once."""

import contextlib
import os
import socket
import ssl
import time
import traceback
from collections.abc import Iterable
from typing import Any

import anyio
import trio

import tokenwire
from tokenwire import AsyncClient, HTTPTransport, ModelResponseStream
from tokenwire.testing import Endpoint, FakeClock, Received, Reply
from tokenwire.testing._script import in_order
from tokenwire.testing._tls import contexts

from ..conftest import UVLOOP, nobody
from .matrix import Connection, Ending, Fault

AT_ONCE = 10.0  # seconds in which a server must have seen that a client left, on a machine with other work to do too
LONG = 60.0  # seconds by which something that hangs is found out
MOST_AT_ONCE = 16
MESSAGES = [{"role": "user", "content": "Hi"}]

LOOPS: dict[str, tuple[str, dict[str, Any]]] = {
    "asyncio": ("asyncio", {"use_uvloop": False}),
    "uvloop": UVLOOP,
    "trio": ("trio", {}),
}

Case = tuple[Fault, bool]  # the second: whether the call streams
GOOD_PROBE = Reply(text="still there")


class Servers:
    """The endpoints that all cases share, and addresses where there is none.

    Attributes:
        endpoints: by their names; which `Fault.server` names, are looked up in `url`.
    """

    def __init__(self, cases: Iterable[Case]) -> None:
        self._scripts = {name_of(case): in_order(_replies(case)) for case in cases if _replies(case)}
        self._sockets = contextlib.ExitStack()
        misnamed, _ = contexts(("other.example",))
        self.endpoints = {
            "http": Endpoint(self._answer),
            "https": Endpoint(self._answer, tls=True),
            "misnamed": Endpoint(self._answer, tls=misnamed),
        }

    def __enter__(self) -> "Servers":
        for endpoint in self.endpoints.values():
            self._sockets.enter_context(endpoint)
        listener = self._sockets.enter_context(socket.create_server(("127.0.0.1", 0), backlog=1000))
        self._silent = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        host, port = self._sockets.enter_context(nobody())
        self._refused = f"http://{host}:{port}/v1"
        return self

    def __exit__(self, *_: object) -> None:
        self._sockets.close()

    def _answer(self, request: Received) -> Reply:
        model = request.json()["model"]
        return GOOD_PROBE if model == "probe" else self._scripts[model](request)

    def url(self, server: str) -> str:
        http, https = self.endpoints["http"].url, self.endpoints["https"].url
        return {
            "http": http,
            "https": https,
            "untrusted": https,
            "misnamed": self.endpoints["misnamed"].url,
            "http as https": http.replace("http", "https"),
            "https as http": https.replace("https", "http"),
            "silent": self._silent,
            "silent as https": self._silent.replace("http", "https"),
            "refused": self._refused,
        }[server]

    def context(self, server: str) -> ssl.SSLContext:
        if server == "untrusted":
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # it knows no authority at all
        return self.endpoints["https"].ssl_context


def name_of(case: Case) -> str:
    fault, streamed = case
    return f"{fault.name} ({'streamed' if streamed else 'whole'})"


def _replies(case: Case) -> Any:
    fault, streamed = case
    return fault.replies if streamed or fault.whole_replies is None else fault.whole_replies


def cases_of(faults: Iterable[Fault]) -> list[Case]:
    return [(fault, streamed) for fault in faults for streamed in (True, False)]


def expected(case: Case) -> Ending:
    """How a case must end."""
    fault, streamed = case
    return fault.streamed if streamed else fault.whole


def open_question(case: Case) -> str:
    """Why a case does not end so yet, "" if it does."""
    fault, streamed = case
    return fault.open.get("streamed" if streamed else "whole", "")


def open_sockets() -> set[str]:
    """This process's sockets, as "socket:[inode]"; none where there is no /proc."""
    found: set[str] = set()
    for descriptor in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else []:
        try:
            target = os.readlink(f"/proc/self/fd/{descriptor}")
        except OSError:  # the listing's own descriptor, closed by now
            continue
        if target.startswith("socket:"):
            found.add(target)
    return found


def run(loop: str, cases: list[Case]) -> dict[str, Ending | Exception]:
    """`run_all` on the event loop of that name, in two runs: what has a budget has a clock under control."""
    backend, options = LOOPS[loop]
    timed = [case for case in cases if "timeout" in case[0].call and not case[0].restless]
    endings = anyio.run(run_all, [case for case in cases if case not in timed], backend=backend, backend_options=options)
    with FakeClock() as clock:
        if backend == "trio":  # anyio 4.11 passes no options on to it
            return endings | trio.run(run_all, timed, clock, clock=clock)
        return endings | anyio.run(run_all, timed, clock, backend=backend, backend_options=options)


async def run_all(cases: list[Case], clock: FakeClock | None = None) -> dict[str, Ending | Exception]:
    """What became of each case, by the names of `name_of`: its ending, or an exception that no call may raise."""
    endings: dict[str, Ending | Exception] = {}
    places = anyio.Semaphore(MOST_AT_ONCE)

    async def run(case: Case) -> None:
        async with places:
            try:
                endings[name_of(case)] = await run_one(case, servers)
            except Exception as error:  # noqa: BLE001 it is what the case's test shows
                endings[name_of(case)] = error

    with Servers(cases) as servers:
        async with anyio.create_task_group() as group:
            for case in cases:
                group.start_soon(run, case)
            while clock is not None and len(endings) < len(cases):
                await clock.aadvance(0.1)
    return endings


async def run_one(case: Case, servers: Servers) -> Ending:
    """Make one call, and see how it ended and what is left of it."""
    fault, streamed = case
    wanted = expected(case)
    keywords: dict[str, Any] = {"api_base": servers.url(fault.server), "api_key": "none", "num_retries": 0, **fault.call}
    transport = HTTPTransport(ssl_context=servers.context(fault.server))
    async with AsyncClient(transport=transport) as client:
        with anyio.fail_after(LONG):
            outcome, error, response, attempts = await (_stream if streamed else _complete)(client, name_of(case), keywords)
        ended_at = time.monotonic()
        connection, requests = await _connection(case, servers, client, ended_at)
    if error is not None:
        _look_for_addresses(error, servers.url(fault.server))
    tried = tuple(attempt.error or "ok" for attempt in attempts)
    return Ending(
        outcome,
        error="" if error is None else type(error).__name__,
        details={name: getattr(error, name, None) for name in wanted.details},
        text=_text(response),
        attempts=None if len(tried) == 1 and wanted.attempts is None else tried,
        requests=None if wanted.requests is None and requests == len(tried) else requests,
        connection=connection,
    )


def _look_for_addresses(error: tokenwire.APIError, url: str) -> None:
    """What may be shown to a user says nothing of where the request went; what a developer sees does."""
    port = url.rpartition(":")[2].partition("/")[0]
    for text in (error.message, str(error)):
        for part in ("127.0.0.1", "localhost", port, "/v1", "/chat"):
            assert part not in text, text
    assert error.request == tokenwire.RequestInfo("POST", f"{url}/chat/completions")
    assert f"POST {url}/chat/completions" in "".join(traceback.format_exception(error))


async def _stream(client: AsyncClient, model: str, keywords: dict[str, Any]) -> tuple[Any, ...]:
    handed_out: list[str] = []
    stream: Any = client._stream(client._request("chat", f"openai/{model}", MESSAGES, keywords, True), ModelResponseStream)
    error = None
    try:
        async for piece in stream:
            handed_out += [choice.delta.content or "" for choice in piece.choices if choice.index == 0]
    except tokenwire.APIError as caught:
        error = caught
        assert error.partial == stream.response
        assert error.attempts == stream.attempts
    assert "".join(handed_out) == _text(stream.response), "what was handed out is not what was assembled"
    return stream.outcome, error, stream.response, stream.attempts


async def _complete(client: AsyncClient, model: str, keywords: dict[str, Any]) -> tuple[Any, ...]:
    try:
        response = await client.acompletion(f"openai/{model}", MESSAGES, **keywords)
    except tokenwire.APIError as error:
        return "error", error, error.partial, error.attempts
    return "complete", None, response, response.attempts


def _text(response: Any) -> str:
    return (response.choices[0].message.content or "") if response is not None and response.choices else ""


async def _connection(case: Case, servers: Servers, client: AsyncClient, ended_at: float) -> tuple[Connection, int]:
    """What became of the last attempt's connection, and how many requests there were; the client must still work."""
    name, server = name_of(case), case[0].server
    endpoint = servers.endpoints.get(server)
    assert client.stats is not None
    open_connections = client.stats.open
    if endpoint is None:
        assert open_connections == 0
        return "none", 0
    made = [request for request in endpoint.requests if request.json()["model"] == name]
    if not made or server not in ("http", "https"):  # where no call can succeed
        assert open_connections == 0
        return "none", len(made)
    answer = await client.acompletion("openai/probe", MESSAGES, api_base=endpoint.url, api_key="none", user=name)
    assert _text(answer) == "still there"
    probe = next(request for request in reversed(endpoint.requests) if request.json().get("user") == name)
    if probe.connection == made[-1].connection:
        return "reused", len(made)
    visit = endpoint.visits[made[-1].connection - 1]
    await endpoint.await_until(lambda: visit.closed_at)
    assert visit.closed_at is not None
    assert visit.closed_at - ended_at < AT_ONCE
    assert client.stats.open == 1  # the probe's
    return "closed", len(made)
