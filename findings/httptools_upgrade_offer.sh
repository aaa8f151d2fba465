#!/usr/bin/env bash
# httptools 0.9.0: a request that offers an upgrade has no body.
#
# RFC 9110, 7.8, lets a server ignore an Upgrade field, and the request is then a request as any other: Java's own HTTP
# client sends `Upgrade: h2c` with every plain one. One would expect its body in on_body. The parser ends at the end of the
# head, whatever Content-Length says: it raises HttpParserUpgrade, on_body and on_message_complete's turn never comes for
# the body, and what follows the head is the caller's to parse.
#
# Seen:  without an offer: body b'{}'
#        with one: body b'', HttpParserUpgrade
#
# Installs the package into a temporary folder, and fails if the behaviour is another.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check 'httptools==0.9.0'
"$folder/venv/bin/python" - <<'PY'
import httptools


class Protocol:
    def __init__(self) -> None:
        self.body = b""

    def on_body(self, data: bytes) -> None:
        self.body += data


def parsed(offer: bytes) -> tuple[bytes, str]:
    protocol = Protocol()
    try:
        httptools.HttpRequestParser(protocol).feed_data(
            b"POST / HTTP/1.1\r\nHost: x\r\n" + offer + b"Content-Length: 2\r\n\r\n{}"
        )
    except httptools.HttpParserUpgrade as error:
        return protocol.body, type(error).__name__
    return protocol.body, "no exception"


plain = parsed(b"")
offered = parsed(b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n")
print("without an offer: body", plain[0])
print(f"with one: body {offered[0]!r}, {offered[1]}")
assert plain == (b"{}", "no exception")
assert offered == (b"", "HttpParserUpgrade")
PY
