"""What nobody may find who looks at logs, at objects or at pickles: keys anywhere, and in logs what was said.

Exceptions are looked at in test_errors_over_http.py, the bytes of heads in http/test_protocol.py.
"""

import copy
import gc
import logging
import pickle
import re
from collections.abc import Callable
from typing import Any

import anyio
import pytest

import tokenwire
from tokenwire import AsyncClient, Client
from tokenwire.http.connection import Outgoing
from tokenwire.testing import Endpoint, Received, Reply, chunks, completion

SECRET = "sk-not-to-be-seen"
SAID = [{"role": "user", "content": "what was asked"}]
ANSWER = "what was answered"
OURS = re.compile(r"tokenwire\b(?!\.testing)")  # an endpoint's own objects show what it received
KEYS: dict[str, Any] = {"api_key": SECRET, "extra_headers": {"x-other-key": SECRET}}


def busy_at_first() -> Callable[[Received], Reply]:
    busy = Reply(status=503, headers={"retry-after-ms": "1"}, json={"error": {"message": ANSWER}})
    cut = Reply(events=[], done=False, cut="fin")
    seen: list[Received] = []

    def answer(request: Received) -> Reply:
        seen.append(request)
        if len(seen) <= 2:
            return busy if len(seen) == 1 else cut
        return Reply(events=chunks(ANSWER)) if request.json().get("stream") else Reply(json=completion(ANSWER))

    return answer


@pytest.mark.anyio
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_logs_have_no_keys_and_not_what_was_said(
    streamed: bool, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    with Endpoint(busy_at_first()) as endpoint:
        async with AsyncClient(api_base=endpoint.url, **KEYS) as client:
            if streamed:
                assert "".join([piece.text async for piece in client.astreaming("openai/m", SAID)]) == ANSWER
            else:
                await client.acompletion("openai/m", SAID)
        assert SECRET in endpoint.requests[-1].headers["authorization"]

    ours = [record for record in caplog.records if record.name.partition(".")[0] == "tokenwire"]
    assert [record.levelno for record in ours] == [logging.DEBUG] * 6  # three attempts, two of which failed, and the end
    for record in caplog.records:
        everything = f"{record.getMessage()} {vars(record)}"
        assert SECRET not in everything
        assert ANSWER not in everything
        assert SAID[0]["content"] not in everything
    captured = capfd.readouterr()
    assert captured.out == ""
    assert SECRET not in captured.err


def seen_with_a_key() -> tuple[set[str], set[str]]:
    """The classes of all our objects that there are, and those that show the key."""
    tracked = gc.get_objects()
    everything = [*tracked, *gc.get_referents(*tracked)]  # the collector does not track what can be in no cycle
    ours = [thing for thing in everything if OURS.match(str(type(thing).__module__))]
    return {type(thing).__name__ for thing in ours}, {type(thing).__name__ for thing in ours if SECRET in repr(thing)}


@pytest.mark.anyio
async def test_no_object_of_ours_shows_a_key() -> None:
    with Endpoint([Reply(delay=60), Reply(events=[ANSWER], done=False, stall=True)]) as endpoint:
        url = endpoint.url.replace("http://", f"http://user:{SECRET}@")
        async with AsyncClient(**KEYS) as client, anyio.create_task_group() as group:
            async with client.astreaming("openai/m", SAID, api_base=f"{url}?key={SECRET}") as asked:
                group.start_soon(anext, asked)
                await endpoint.await_until(lambda: endpoint.requests != [])
                there, shown = seen_with_a_key()
                assert (there >= {"AsyncClient", "AsyncStream", "EndpointCall", "HTTPRequest"}, shown) == (True, set())
                group.cancel_scope.cancel()
        async with AsyncClient(**KEYS) as client, client.astreaming("openai/m", SAID, api_base=url) as stream:
            await anext(stream)
            there, shown = seen_with_a_key()
            assert (there >= {"AsyncStream", "Connection"}, shown) == (True, set())
    outgoing = Outgoing(origin=(b"http", b"h", 80), url="http://h/", method=b"GET", data=SECRET.encode())
    assert SECRET not in repr(outgoing)
    request = AsyncClient(**KEYS)._request("chat", "openai/m", SAID, {"api_base": url}, False)
    assert SECRET in (request.options.api_key or "")
    assert SECRET not in f"{request!r} {request.options!r}"


def test_a_response_carries_no_key() -> None:
    with Endpoint(Reply(json=completion(ANSWER))) as endpoint:
        response = tokenwire.completion("openai/m", SAID, api_base=endpoint.url, **KEYS)
    assert SECRET not in f"{response!r} {response.model_dump_json()} {vars(type(response))} {response._hidden_params}"
    assert SECRET.encode() not in pickle.dumps(response)


def test_a_response_tells_no_password_of_its_address() -> None:
    with Endpoint(Reply(json=completion(ANSWER))) as endpoint:
        address = endpoint.url.replace("http://", f"http://user:{SECRET}@")
        response = tokenwire.completion("openai/m", SAID, api_base=f"{address}?key={SECRET}")
        with Client(handlers={"mine": lambda: ANSWER}) as client:
            handled = client.completion("mine/m", SAID, api_base=address)
    assert response._hidden_params["api_base"] == handled._hidden_params["api_base"] == endpoint.url
    assert SECRET not in f"{response!r} {response._hidden_params} {handled._hidden_params}"


@pytest.mark.parametrize("redirected", [False, True], ids=["refused", "redirected away"])
def test_an_error_tells_no_password_of_its_address(redirected: bool, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    away = Reply(status=307, headers={"location": "http://other.example/v1"})
    with Endpoint(away if redirected else Reply(status=404)) as endpoint:
        address = endpoint.url.replace("http://", f"http://user:{SECRET}@")
        with pytest.raises(tokenwire.APIError) as caught:
            tokenwire.completion("openai/m", SAID, api_base=address)
    error = caught.value
    shown = f"{error} {error!r} {vars(error)} {error.__notes__ if hasattr(error, '__notes__') else ''} {caplog.text}"
    assert SECRET not in shown
    assert SECRET.encode() not in pickle.dumps(error)
    assert len(endpoint.requests) == 1


@pytest.mark.parametrize(
    "address",
    [
        "user:{}@localhost:8000/v1",
        "ftp://user:{}@localhost/v1",
        "http://user:{}@",
        "http://user:{}@localhost/v1/chat/completions",
        "http://user:{}@localhost:port/v1",
        "http://user:{}/1@localhost/v1",
        "http://user:{}?1@localhost/v1",
        "http://user:{}#1@localhost/v1",
        "http://user:{}@local host/v1",
        "http://user:{}@localhost\n/v1",
    ],
)
def test_an_address_that_is_none_tells_no_password(address: str) -> None:
    with pytest.raises(tokenwire.BadRequestError, match="api_base must") as caught:
        tokenwire.completion("openai/m", SAID, api_base=address.format(SECRET))
    assert SECRET not in f"{caught.value} {caught.value!r} {caught.value.__cause__} {vars(caught.value)}"


@pytest.mark.parametrize("cls", [AsyncClient, Client])
@pytest.mark.parametrize("carried_off", [pickle.dumps, copy.deepcopy])
def test_a_client_is_not_carried_off_with_its_key(cls: Any, carried_off: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError, match="can't be pickled or copied"):
        carried_off(cls(**KEYS))


@pytest.mark.parametrize("name", ["api_key", "organization", "api_base", "model"])
@pytest.mark.parametrize("breaks", ["\r\nx-smuggled: 1", "\n", "\0"], ids=["header", "LF", "NUL"])
def test_no_argument_becomes_a_header(name: str, breaks: str) -> None:
    with Endpoint(Reply(json=completion(ANSWER))) as endpoint:
        arguments = {"model": "openai/m", "api_base": endpoint.url, "api_key": SECRET, "organization": SECRET}
        arguments[name] += breaks
        with pytest.raises(tokenwire.BadRequestError, match=name) as caught:
            tokenwire.completion(messages=SAID, **arguments)  # type: ignore[arg-type]
    assert caught.value.param == name
    assert SECRET not in str(caught.value)
    assert endpoint.requests == []
