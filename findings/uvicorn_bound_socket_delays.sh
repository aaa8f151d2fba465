#!/usr/bin/env bash
# uvicorn 0.54.0 on asyncio: with `--workers` or `--reload`, a piece of an answer may wait for the ACK of the one before.
#
# asyncio turns Nagle's algorithm off (TCP_NODELAY) for the connections of a server, but only where the socket's protocol
# number is IPPROTO_TCP. `Config.bind_socket`, which uvicorn calls for workers and for reloading, makes a socket without
# that number, and so does `socket.create_server`, whose sockets are often handed to `Server.serve(sockets=...)`. There,
# two small writes in a row, such as the last two events of a stream, can be 40 ms apart on Linux. One would expect a
# connection to behave alike however its socket was made. uvloop turns the algorithm off for all of them.
#
# Seen:  uvicorn makes the socket: TCP_NODELAY 0
#        asyncio makes the socket: TCP_NODELAY 1
#
# Installs the packages into a temporary folder, and fails if the behaviour is another.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check 'uvicorn==0.54.0' 'h11==0.16.0'
"$folder/venv/bin/python" - <<'PY'
import asyncio
import socket

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

found: list[int] = []


class Looking(H11Protocol):
    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        found.append(transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))


async def app(scope: dict, receive: object, send: object) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


async def option(*, bound: bool) -> int:
    config = uvicorn.Config(app, http=Looking, port=0, log_level="error", lifespan="off", loop="asyncio")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve([config.bind_socket()] if bound else None))
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    await reader.read()
    writer.close()
    server.should_exit = True
    await serving
    return int(found.pop() != 0)


async def main() -> None:
    seen = {"uvicorn": await option(bound=True), "asyncio": await option(bound=False)}
    for who, value in seen.items():
        print(f"{who} makes the socket: TCP_NODELAY {value}")
    assert seen == {"uvicorn": 0, "asyncio": 1}


asyncio.run(main())
PY
