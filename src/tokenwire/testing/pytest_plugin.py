"""A fixture for pytest, available wherever tokenwire is installed.

    def test_my_retries(tokenwire_endpoint):
        endpoint = tokenwire_endpoint([Reply(status=503), Reply(text="Hello")])
        ...

It loads the endpoint only when a test uses it. `-p no:tokenwire` disables it.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from . import Endpoint


@pytest.fixture
def tokenwire_endpoint() -> "Iterator[Callable[..., Endpoint]]":
    """Starts scripted endpoints: `tokenwire_endpoint(script)`, with the arguments of `tokenwire.testing.Endpoint`.

    They are closed after the test, which then fails if a script raised.
    """
    from . import Endpoint

    with contextlib.ExitStack() as stack:

        def start(*args: Any, **kwargs: Any) -> "Endpoint":
            return stack.enter_context(Endpoint(*args, **kwargs))

        yield start
