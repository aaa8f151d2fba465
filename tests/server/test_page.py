"""The page at the front, and what other pages may do, in a real browser."""

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.from_thread import start_blocking_portal

from tokenwire import CustomLLMError, GenericStreamingChunk, Usage
from tokenwire.server import create_app
from tokenwire.server.guard import Guard
from tokenwire.server.origins import origins_of

from .conftest import on_uvicorn

if sys.platform == "win32":
    pytest.skip("the browser is talked to by descriptors", allow_module_level=True)

from . import chromium

ENTER, ESCAPE = ("Enter", 13, "\r"), ("Escape", 27)
MARKUP = "<img src=x onerror=\"document.title = 'run'\"><script>document.title = 'run'</script> **strong** [link](javascript:run())\n"
EVIL = "http://evil.example"  # whose name means this machine, for the browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Browser]:
    command = chromium.find()
    if command is None:
        pytest.skip("there is no Chromium (on Debian: apt-get install chromium)")
    resolve = "--host-resolver-rules=MAP evil.example 127.0.0.1"
    browser = chromium.Browser(command, tmp_path_factory.mktemp("profile"), resolve)
    yield browser
    browser.close()


class Said:
    """Handlers, and what became of their calls."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.left = threading.Event()

    async def hello(self, messages: Any, **_: Any) -> Any:
        self.asked.append([message["content"] for message in messages])
        for word in ("Hello", ", <b>", "you"):
            yield GenericStreamingChunk(text=word)
        yield GenericStreamingChunk(is_finished=True, finish_reason="stop", usage=Usage(5, 3, 8))

    async def endless(self, **_: Any) -> Any:
        try:
            yield "once"
            await anyio.sleep_forever()
        finally:
            self.left.set()

    async def markup(self, **_: Any) -> Any:
        for line in [MARKUP] * 100:
            yield line
            await anyio.lowlevel.checkpoint()

    async def busy(self, **_: Any) -> Any:
        yield "once"
        raise CustomLLMError(429, "slower, please")

    async def broken(self, **_: Any) -> Any:
        raise CustomLLMError(503, "out of order")
        yield

    @contextmanager
    def served(self, *origins: str, **options: Any) -> Iterator[str]:
        """As `tokenwire serve` has it."""
        models = {name: getattr(self, name) for name in ("hello", "endless", "markup", "busy", "broken")}
        app = Guard(create_app(models, cors=origins, page=True, **options), origins_of(origins, "cors"), loopback=True)
        with (
            start_blocking_portal() as portal,
            portal.wrap_async_context_manager(on_uvicorn(app)) as url,
        ):
            yield url


@pytest.fixture
def said() -> Said:
    return Said()


def ask(browser: chromium.Browser, text: str, model: str = "hello") -> None:
    browser.until("!document.getElementById('model').disabled")
    browser.evaluate(f"document.getElementById('model').value = '{model}'; document.getElementById('text').focus()")
    browser.type(text)
    browser.press(*ENTER)


def until_outcome(browser: chromium.Browser, outcome: str) -> None:
    browser.until(f"document.getElementById('outcome').textContent === '{outcome}'")


def test_the_page_streams_an_answer(browser: chromium.Browser, said: Said, tmp_path: Path) -> None:
    with said.served() as url:
        browser.open(url + "/")
        browser.evaluate("document.getElementById('raw').open = true")
        ask(browser, "Hi")
        until_outcome(browser, "complete (stop)")
        assert browser.evaluate("document.querySelector('article.assistant .text').textContent") == "Hello, <b>you"
        assert browser.text("first").endswith(" ms")
        assert browser.text("usage") == "5 in, 3 out"
        assert browser.text("events").endswith("data: [DONE]")
        assert browser.text("said") == "The answer is complete (stop)."
        ask(browser, "And?")
        browser.until("document.querySelectorAll('article').length === 4")
        until_outcome(browser, "complete (stop)")
        assert said.asked == [["Hi"], ["Hi", "Hello, <b>you", "And?"]]
        browser.screenshot(tmp_path / "page.png")
        assert browser.evaluate("[...document.querySelectorAll('select, input, textarea')].every(each => each.labels.length)")
        assert browser.complaints == []


def test_the_page_stops_an_answer(browser: chromium.Browser, said: Said) -> None:
    with said.served() as url:
        browser.open(url + "/")
        for stop in (lambda: browser.press(*ESCAPE), lambda: browser.evaluate("document.getElementById('stop').click()")):
            said.left.clear()
            ask(browser, "Hi", "endless")
            browser.until("[...document.querySelectorAll('.text')].at(-1)?.textContent === 'once'")
            stop()
            until_outcome(browser, "cancelled")
            assert said.left.wait(chromium.SECONDS)


def test_the_page_shows_what_went_wrong(browser: chromium.Browser, said: Said) -> None:
    with said.served() as url:
        browser.open(url + "/")
        for model, words in (("busy", "slower, please"), ("broken", "out of order")):
            ask(browser, "Hi", model)
            until_outcome(browser, "error")
            assert browser.text("said") == f"The answer failed: {words}"
        assert browser.evaluate("document.getElementById('text').value") == "Hi"  # to be sent again
        browser.evaluate("document.getElementById('text').value = ''")
    ask(browser, "Hi")
    until_outcome(browser, "error")
    assert browser.text("said") == "The answer failed: the server can't be reached"


def test_the_page_shows_what_markup_an_answer_has(browser: chromium.Browser, said: Said) -> None:
    """And follows a long one: its end and the box for the next message stay in view."""
    with said.served() as url:
        browser.call("Emulation.setDeviceMetricsOverride", width=360, height=700, deviceScaleFactor=1, mobile=True)
        browser.open(url + "/")
        for _ in range(2):
            ask(browser, "Hi", "markup")
            until_outcome(browser, "complete (stop)")
            assert browser.evaluate("[...document.querySelectorAll('.assistant .text')].at(-1).textContent") == MARKUP * 100
            browser.until("document.getElementById('send').getBoundingClientRect().bottom <= innerHeight")
        assert browser.evaluate("document.title") == "tokenwire: try a model"
        assert browser.evaluate("document.querySelectorAll('main img, main script, main b').length") == 0
        assert browser.complaints == []
        browser.call("Emulation.clearDeviceMetricsOverride")


def test_the_page_asks_for_a_wrong_key_again(browser: chromium.Browser, said: Said) -> None:
    with said.served(api_keys=["schlüssel-€"]) as url:
        browser.open(url + "/")
        browser.until("document.activeElement.id === 'key'")
        browser.type("wrong")
        browser.press("Tab", 9)
        browser.until("document.getElementById('notice').textContent === 'this API key is not known here'")
        browser.until("document.activeElement.id === 'key'")
        browser.evaluate("document.getElementById('key').select()")
        browser.type("schlüssel-€")
        browser.press("Tab", 9)
        ask(browser, "Hi")
        until_outcome(browser, "complete (stop)")


def test_the_page_sends_a_key(browser: chromium.Browser, said: Said) -> None:
    with said.served(api_keys=["sk-1"]) as url:
        browser.open(url + "/")
        browser.until("document.getElementById('notice').textContent.startsWith('no API key')")
        browser.until("document.activeElement.id === 'key'")
        browser.type("sk-1")
        browser.press("Tab", 9)
        ask(browser, "Hi")
        until_outcome(browser, "complete (stop)")


def test_the_page_fits_a_phone(browser: chromium.Browser, said: Said) -> None:
    with said.served() as url:
        browser.call("Emulation.setDeviceMetricsOverride", width=320, height=640, deviceScaleFactor=1, mobile=True)
        browser.open(url + "/")
        ask(browser, "unbreakable" * 20)
        until_outcome(browser, "complete (stop)")
        assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth")
        browser.call("Emulation.clearDeviceMetricsOverride")


def test_the_api_can_be_read(browser: chromium.Browser, said: Said) -> None:
    with said.served() as url:
        browser.open(url + "/docs")
        browser.until("document.body.innerText.includes('POST /chat/completions')")
        browser.evaluate("location.hash = 'ChatRequest'")
        browser.until("document.getElementById('ChatRequest').open")
        assert browser.complaints == []


FETCH = """
fetch({url}, {{method: "POST", mode: {mode}, headers: {{"content-type": {kind}}}, body: {body}}})
    .then(async (answer) => answer.type === "opaque" ? "opaque" : `${{answer.status}} ${{await answer.text()}}`, (error) => "failed")
"""


def fetched(browser: chromium.Browser, url: str, mode: str, kind: str) -> str:
    body = json.dumps({"model": "hello", "messages": [{"role": "user", "content": "Hi"}]})
    words = {"url": url, "mode": mode, "kind": kind, "body": body}
    return browser.evaluate(FETCH.format(**{name: json.dumps(word) for name, word in words.items()}))


def test_other_pages_may_not_spend(browser: chromium.Browser, said: Said) -> None:
    with said.served() as url, Said().served() as other:
        browser.open(other + "/health")  # which has no policy of its own
        target = f"{url}/v1/chat/completions"
        assert fetched(browser, target, "no-cors", "text/plain") == "opaque"
        assert fetched(browser, target, "cors", "application/json") == "failed"
        rebound = url.replace("http://127.0.0.1", EVIL)
        browser.open(rebound + "/docs")  # of a domain of theirs, which has come to mean this machine
        answer = fetched(browser, f"{rebound}/v1/chat/completions", "cors", "application/json")
        assert answer.startswith("403 ")
        assert "host_not_allowed" in answer
        assert said.asked == []


def test_pages_that_were_allowed_may_ask(browser: chromium.Browser, said: Said) -> None:
    with Said().served() as other, said.served(other, api_keys=["sk-1"]) as url:
        browser.open(other + "/health")  # which has no policy of its own
        answer = fetched(browser, f"{url}/v1/chat/completions", "cors", "application/json")
        assert answer.startswith("401 ")
        with_key = FETCH.replace('"content-type": {kind}', '"content-type": {kind}, authorization: "Bearer sk-1"')
        body = json.dumps({"model": "hello", "messages": [{"role": "user", "content": "Hi"}]})
        words = {"url": f"{url}/v1/chat/completions", "mode": "cors", "kind": "application/json", "body": body}
        assert "Hello, <b>you" in browser.evaluate(with_key.format(**{name: json.dumps(word) for name, word in words.items()}))
