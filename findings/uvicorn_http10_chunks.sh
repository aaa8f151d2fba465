#!/usr/bin/env bash
# uvicorn 0.54.0 (with httptools 0.9.0): a client of HTTP/1.0 gets a chunked body.
#
# RFC 9112, 6.1: a server must not send Transfer-Encoding unless the request shows HTTP/1.1 or later; an app's body of
# unknown length goes to a client of HTTP/1.0 as it is, and the close of the connection ends it. One would expect both of
# uvicorn's protocols to do so. `http="h11"` does; `http="httptools"`, the one that is used where it is installed, sends
# chunks, and a client that knows HTTP/1.0 alone reads their sizes as part of the body.
#
# Seen:  httptools: ['connection: close', 'transfer-encoding: chunked'], body b'5\r\nhello\r\n0\r\n\r\n'
#        h11: ['connection: close'], body b'hello'
#
# Installs the packages into a temporary folder, and fails if the behaviour is another.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check 'uvicorn==0.54.0' 'httptools==0.9.0' 'h11==0.16.0'
"$folder/venv/bin/python" - <<'PY'
import asyncio

import uvicorn


async def app(scope: dict, receive: object, send: object) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"hello"})


async def asked(http: str) -> tuple[list[str], bytes]:
    server = uvicorn.Server(uvicorn.Config(app, http=http, port=0, log_level="error", lifespan="off"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.0\r\nHost: x\r\n\r\n")
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    server.should_exit = True
    await serving
    return head.decode().lower().split("\r\n"), body


async def main() -> None:
    seen = {http: await asked(http) for http in ("httptools", "h11")}
    for http, (head, body) in seen.items():
        print(f"{http}: {[line for line in head if 'transfer' in line or 'connection' in line]}, body {body!r}")
    assert "transfer-encoding: chunked" in seen["httptools"][0]
    assert seen["httptools"][1] == b"5\r\nhello\r\n0\r\n\r\n"
    assert not any("transfer-encoding" in line for line in seen["h11"][0])
    assert seen["h11"][1] == b"hello"


asyncio.run(main())
PY
