"""Which addresses the environment's variables send through a proxy, and what becomes of a proxy that can't be used."""

import socket
import sys
from collections.abc import Iterator
from typing import Any

import pytest

import tokenwire
from tokenwire import BadRequestError
from tokenwire.http.proxies import proxy_for
from tokenwire.testing import Endpoint, Reply, completion

MESSAGES = [{"role": "user", "content": "Hi"}]
PROXY = "http://proxy.example:3128"

EXEMPT = [
    ("model.example", "http://model.example/v1"),
    ("model.example", "http://deep.model.example/v1"),
    (".model.example", "http://model.example/v1"),
    (".model.example", "http://deep.model.example/v1"),
    ("*.model.example", "http://deep.model.example/v1"),
    ("MODEL.Example.", "http://Model.example./v1"),
    ("other, model.example", "http://model.example/v1"),
    ("other model.example", "http://model.example/v1"),
    ("*", "http://model.example/v1"),
    ("other,*", "http://model.example/v1"),
    ("model.example:8000", "http://model.example:8000/v1"),
    ("model.example:80", "http://model.example/v1"),
    ("model.example:443", "https://model.example/v1"),
    ("http://model.example", "http://model.example/v1"),
    ("all://model.example", "https://model.example/v1"),
    ("10.1.2.3", "http://10.1.2.3:8000/v1"),
    ("10.1.2.3:8000", "http://10.1.2.3:8000/v1"),
    ("10.0.0.0/8", "http://10.1.2.3/v1"),
    ("10.9.9.9/8", "http://10.1.2.3/v1"),
    ("fd00::/8", "http://[fd12::1]/v1"),
    ("[fd00::]/8", "http://[fd12::1]/v1"),
    ("2001:db8::1", "http://[2001:db8::1]:8000/v1"),
    ("[2001:db8::1]", "http://[2001:db8::1]:8000/v1"),
    ("[2001:db8::1]:8000", "http://[2001:db8::1]:8000/v1"),
    ("2001:DB8:0::1", "http://[2001:db8::1]/v1"),
]
PROXIED = [
    ("", "http://model.example/v1"),
    (" , ,", "http://model.example/v1"),
    (".", "http://model.example/v1"),
    ("el.example", "http://model.example/v1"),
    ("model.example", "http://model.example.other/v1"),
    ("deep.model.example", "http://model.example/v1"),
    ("model.example:8000", "http://model.example:8001/v1"),
    ("model.example:8000", "http://model.example/v1"),
    ("https://model.example", "http://model.example/v1"),
    ("10.0.0.0/8", "http://11.1.2.3/v1"),
    ("10.0.0.0/33", "http://10.0.0.0/v1"),
    ("10.0.0.0/8", "http://10.model.example/v1"),
    ("3", "http://10.1.2.3/v1"),
    ("fd00::/8", "http://10.1.2.3/v1"),
    ("[2001:db8::1]:8000", "http://[2001:db8::1]:8001/v1"),
    ("2001:db8::2", "http://[2001:db8::1]/v1"),
    ("[", "http://[2001:db8::1]/v1"),
]


def proxy_of(url: str, **variables: str) -> str | None:
    found = proxy_for(url, variables)
    return None if found is None else found.url


@pytest.mark.parametrize("no_proxy, url", EXEMPT)
def test_what_is_exempt(no_proxy: str, url: str) -> None:
    assert proxy_of(url, all=PROXY, no=no_proxy) is None


@pytest.mark.parametrize("no_proxy, url", PROXIED)
def test_what_is_not_exempt(no_proxy: str, url: str) -> None:
    assert proxy_of(url, all=PROXY, no=no_proxy) == PROXY


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.8.8", "[::1]"])
def test_this_machine_is_reached_directly(host: str) -> None:
    assert proxy_of(f"http://{host}:8000/v1", all=PROXY) is None


def test_the_variable_of_the_scheme_comes_before_the_one_for_all() -> None:
    assert proxy_of("http://model.example/v1", http="http://one", all="http://two", https="http://three") == "http://one"
    assert proxy_of("https://model.example/v1", http="http://one", all="http://two") == "http://two"
    assert proxy_of("https://model.example/v1", http="http://one") is None
    assert proxy_of("http://model.example/v1", http=" proxy.example:3128 ") == PROXY


def test_a_proxy_shows_no_password() -> None:
    found = proxy_for("http://model.example/v1", {"http": "http://user:secret@proxy.example"})
    assert repr(found) == "<Proxy http_proxy http://proxy.example>"


# Calls.


@pytest.fixture
def by_proxy() -> Iterator[Endpoint]:
    """A proxy that answers for everybody."""
    with Endpoint(Reply(json=completion("by proxy"))) as proxy:
        yield proxy


def ask(api_base: str) -> str | None:
    with tokenwire.Client(num_retries=0, timeout=30, api_base=api_base) as client:
        return client.completion("openai/m", MESSAGES).choices[0].message.content


@pytest.mark.parametrize(
    "others",
    [
        {"NO_PROXY": "localhost,127.0.0.1,[::1]"},
        {"NO_PROXY": "localhost,::1,fd00::/8,10.0.0.0/8"},
        {"ALL_PROXY": "socks://127.0.0.1:9"},
        {"HTTPS_PROXY": "what is this"},
    ],
)
def test_what_httpx_can_t_read_and_nobody_needs(
    others: dict[str, str], by_proxy: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", by_proxy.url.removesuffix("/v1"))
    for name, value in others.items():
        monkeypatch.setenv(name, value)

    assert ask("http://model.example/v1") == "by proxy"


def test_user_and_password_of_a_proxy(by_proxy: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    address = by_proxy.url.removesuffix("/v1").replace("http://", "http://user:p%40ss@")
    monkeypatch.setenv("HTTP_PROXY", address)

    assert ask("http://model.example/v1") == "by proxy"
    assert by_proxy.requests[0].headers["proxy-authorization"] == "Basic dXNlcjpwQHNz"


@pytest.mark.parametrize(
    "proxy, expected",
    [
        ("socks://user:secret@proxy.example:1080", "socks5://"),
        ("ftp://user:secret@proxy.example", "http://host:port"),
        ("http://user:secret@proxy.example:port", "http://host:port"),
        ("http://user:sec/ret@proxy.example", "http://host:port"),
        ("http://", "http://host:port"),
        ("http://[::1", "http://host:port"),
        ("http://pro xy", "http://host:port"),
        ("://", "http://host:port"),
    ],
)
def test_a_proxy_that_is_none(proxy: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)

    with pytest.raises(BadRequestError, match=expected) as caught:
        ask("http://model.example/v1")

    error: Any = caught.value
    assert (error.param, error.fault, len(error.attempts)) == ("all_proxy", "caller", 1)
    assert "environment's all_proxy" in str(error)
    assert not [word for word in ("user", "secret", "sec/") if word in f"{error} {error!r} {error.__cause__}"]


def test_a_socks_proxy_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "socksio", None)
    monkeypatch.setenv("HTTPS_PROXY", "socks5://user:secret@proxy.example:1080")

    with pytest.raises(BadRequestError, match=r"https_proxy, socks5://proxy\.example:1080, .* install httpx\[socks\]"):
        ask("https://model.example/v1")


def test_a_proxy_that_nobody_reaches_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:secret@127.0.0.1:{port}")

    with pytest.raises(tokenwire.APIConnectionError) as caught:
        ask("https://model.example/v1")

    assert caught.value.message == "cannot connect through the environment's https_proxy: Connection refused"
    assert caught.value.request == tokenwire.RequestInfo("POST", "https://model.example/v1/chat/completions")
    assert "secret" not in str(caught.value)


def test_a_proxy_that_refuses_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with Endpoint(Reply(status=407)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.removesuffix("/v1"))

        with pytest.raises(tokenwire.APIConnectionError, match="https_proxy: 407") as caught:
            ask("https://model.example/v1")

    assert caught.value.fault == "network"
