"""Tools for tests, users' and our own: an endpoint on a real socket whose script decides its answers and their faults.

    with Endpoint([Reply(status=429, headers={"retry-after": "0"}), Reply(text="Hello")]) as endpoint:
        reply = completion("openai/m", messages, api_base=endpoint.url, api_key="none")
    assert endpoint.requests[1].json()["model"] == "m"

It runs in its own thread, so sync code, asyncio and trio can all be tested against it. Everything that a server can do,
right or wrong, is a field of `Reply`; a script is a sequence of replies, or a function of the request. `Endpoint.requests`
and `Endpoint.visits` record what the client did. With a `FakeClock` a test of time-outs takes no time: the test decides when
time passes, for the client and for the endpoint.

Tests under pytest have the fixture `tokenwire_endpoint` (see `pytest_plugin`); from the shell, `python -m
tokenwire.testing.serve script.toml` serves a script in a file (see `serve`).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._clock import FakeClock as FakeClock
    from ._endpoint import Endpoint as Endpoint
    from ._payloads import chunk as chunk, chunks as chunks, completion as completion, error as error, event as event
    from ._script import Received as Received, Reply as Reply, Visit as Visit

# Loaded when they are used: pytest imports its plugins, and so this module, in every test run.
_HOMES = {
    "._clock": ("FakeClock",),
    "._endpoint": ("Endpoint",),
    "._payloads": ("chunk", "chunks", "completion", "error", "event"),
    "._script": ("Received", "Reply", "Visit"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = ["Endpoint", "FakeClock", "Received", "Reply", "Visit", "chunk", "chunks", "completion", "error", "event"]


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'tokenwire.testing' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(home, __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
