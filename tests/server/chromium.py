"""A headless Chromium, told what to do by its DevTools protocol over a pair of pipes."""

import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from base64 import b64decode
from pathlib import Path
from typing import Any

SECONDS = 20.0  # for anything to happen, on a slow machine
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
SWITCHES = (
    "--headless", "--remote-debugging-pipe", "--disable-gpu", "--no-first-run", "--disable-extensions", "--no-proxy-server",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip
READS, WRITES = 3, 4  # the descriptors by which it talks


def find() -> str | None:
    """Where a Chromium is; None where there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One browser with one page.

    Args:
        command: the Chromium.
        profile: a folder for what it writes.
        switches: more of them.

    Attributes:
        complaints: what pages threw, and what their policy refused.
    """

    def __init__(self, command: str, profile: Path, *switches: str) -> None:
        theirs_in, self._to = _pipe()
        self._from, theirs_out = _pipe()
        switches = (*SWITCHES, *switches, f"--user-data-dir={profile}", *(() if os.geteuid() else ("--no-sandbox",)))

        def connect() -> None:
            os.dup2(theirs_in, READS)
            os.dup2(theirs_out, WRITES)

        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(
            [command, *switches], stdin=quiet, stdout=quiet, stderr=quiet, preexec_fn=connect, close_fds=False
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._data, self._number = b"", 0
        self._session: str | None = None
        self.complaints: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        os.close(self._to)
        os.close(self._from)

    def call(self, method: str, **params: object) -> dict[str, Any]:
        """The result of one of the protocol's methods."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]
            self._note(answer)

    def open(self, url: str) -> None:
        """Go to a page, and wait until it is there."""
        self.call("Page.navigate", url=url)
        address = json.dumps(url.partition("#")[0])
        self.until(f"location.href.startsWith({address}) && document.readyState === 'complete'")

    def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page; a promise's, once it is there."""
        done = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def until(self, condition: str) -> None:
        """Wait until an expression is true in the page."""
        give_up = time.monotonic() + SECONDS
        look = f"new Promise(done => {{ let looks = 0; const look = () => {condition} ? done(true) : ++looks > 50 ? done(false) : setTimeout(look, 5); look(); }})"
        while time.monotonic() < give_up:
            try:
                if self.evaluate(look):
                    return
            except AssertionError:
                pass  # the page has gone, and another comes
        raise AssertionError(f"{condition} did not become true; the page says: {self.evaluate('document.body.innerText')}")

    def text(self, id: str) -> str:
        """What the element of that id says."""
        return self.evaluate(f"document.getElementById('{id}').textContent")

    def type(self, text: str) -> None:
        """Type into what has the focus."""
        self.call("Input.insertText", text=text)

    def press(self, key: str, code: int, text: str = "") -> None:
        """Press a key, and let it go."""
        about: dict[str, Any] = {"key": key, "code": key, "windowsVirtualKeyCode": code, "text": text}
        self.call("Input.dispatchKeyEvent", type="keyDown", **about)
        self.call("Input.dispatchKeyEvent", type="keyUp", **about)

    def screenshot(self, path: Path) -> None:
        """Write a picture of the page."""
        path.write_bytes(b64decode(self.call("Page.captureScreenshot")["data"]))

    def _receive(self) -> dict[str, Any]:
        until = time.monotonic() + SECONDS
        while b"\0" not in self._data:
            readable, _, _ = select.select([self._from], [], [], max(until - time.monotonic(), 0))
            assert readable, "the browser says nothing"
            part = os.read(self._from, 2**20)
            assert part, "the browser has gone"
            self._data += part
        message, _, self._data = self._data.partition(b"\0")
        return json.loads(message)

    def _note(self, event: dict[str, Any]) -> None:
        params = event.get("params", {})
        if event.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(str(params["exceptionDetails"]))
        elif event.get("method") == "Log.entryAdded" and params["entry"]["source"] in ("security", "violation"):
            self.complaints.append(params["entry"]["text"])


def _pipe() -> tuple[int, int]:
    """A pipe whose ends are not the numbers by which a browser talks."""
    ends = os.pipe()
    far = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, WRITES + 1) for end in ends]
    for end in ends:
        os.close(end)
    return far[0], far[1]
