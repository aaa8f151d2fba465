"""An app of ours called as an ASGI server calls it, without a network."""

from typing import Any

import anyio
import msgspec

from . import MESSAGES

SCOPE: dict[str, Any] = {
    "type": "http",
    "asgi": {"version": "3.0", "spec_version": "2.3"},
    "http_version": "1.1",
    "method": "POST",
    "scheme": "http",
    "path": "/v1/chat/completions",
    "raw_path": b"/v1/chat/completions",
    "query_string": b"",
    "root_path": "",
    "headers": [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")],
    "client": ("127.0.0.1", 12345),
    "server": ("127.0.0.1", 80),
}


async def count_events(models: dict[str, Any], count: int) -> int:
    """Serve one streamed call of the model "any", which gets `count`; returns how many events were sent."""
    from tokenwire.server import create_app

    app: Any = create_app(models)
    body = msgspec.json.encode({"model": "any", "messages": MESSAGES, "stream": True, "count": count})
    incoming = [{"type": "http.request", "body": body, "more_body": False}]
    sent = 0

    async def receive() -> dict[str, Any]:
        if incoming:
            return incoming.pop()
        await anyio.sleep_forever()  # this client stays
        raise AssertionError

    async def send(message: dict[str, Any]) -> None:
        nonlocal sent
        sent += message.get("body", b"").count(b"data: {")

    await app(SCOPE, receive, send)
    return sent
