#!/usr/bin/env bash
# uvicorn 0.54.0 with httptools 0.9.0: a request is not told that its client has left, where another request waits behind it.
#
# An ASGI app learns by `http.disconnect` from `receive` that the client is gone, and can stop what nobody will read. A client
# of HTTP/1.1 may send its next request before it has the answer to the one before (RFC 9112, 9.3.2); uvicorn keeps it for later.
# When the connection is lost, uvicorn tells the request that came last. The one that is being answered goes on as if nothing
# had happened: its `receive` never returns, its `send` succeeds.
#
# Seen:  alone: told after the client left
#        with one behind it: not told within 3 s
#
# Installs the packages into a temporary folder, and fails if the behaviour is another.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check 'uvicorn==0.54.0' 'httptools==0.9.0'
"$folder/venv/bin/python" - <<'PY'
import asyncio

import uvicorn

ASK = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
told = asyncio.Event()


async def app(scope, receive, send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"begun", "more_body": True})
    while (await receive())["type"] != "http.disconnect":
        pass
    told.set()


async def tells(port: int, requests: bytes) -> bool:
    """Whether the request that was begun is told that the client has left."""
    told.clear()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(requests)
    await reader.readuntil(b"begun")
    writer.close()
    try:
        await asyncio.wait_for(told.wait(), 3)
    except TimeoutError:
        return False
    return True


async def main() -> None:
    config = uvicorn.Config(app, port=0, http="httptools", lifespan="off", log_level="critical", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    alone, followed = await tells(port, ASK), await tells(port, ASK + ASK)
    print("alone:", "told after the client left" if alone else "not told within 3 s")
    print("with one behind it:", "told after the client left" if followed else "not told within 3 s")
    server.should_exit = True
    await serving
    assert (alone, followed) == (True, False), "uvicorn has changed"


asyncio.run(main())
PY
