#!/usr/bin/env bash
# aiperf 0.13.0 (tiktoken 0.14.0): `--tokenizer builtin`, "a zero-network-access tokenizer", is fetched from the network.
#
# aiperf measures endpoints, and needs a tokenizer for that. Its help has `builtin` for machines without access to a hub: "a
# zero-network-access tokenizer backed by tiktoken (o200k_base encoding)". tiktoken's package has no vocabulary in it, though:
# the first use downloads o200k_base.tiktoken, unless a cache of an earlier one is found. So on a machine without network no
# run with `builtin` begins, even where the server counts the tokens (`--use-server-token-count`).
#
# Here a proxy on this machine stands for the network: it notes what it is asked for, and refuses.
#
# Seen:  the help says: zero-network-access tokenizer
#        the proxy was asked: CONNECT openaipublic.blob.core.windows.net:443
#        what came of it: ProxyError
#
# Installs the packages into a temporary folder, and fails if the behaviour is another.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check 'aiperf==0.13.0' 'tiktoken==0.14.0'
mkdir "$folder/cache"
TIKTOKEN_CACHE_DIR="$folder/cache" "$folder/venv/bin/python" - <<'PY'
import os
import socket
import threading

from aiperf.common.tokenizer import Tokenizer

proxy = socket.create_server(("127.0.0.1", 0))
asked = []


def refuse() -> None:
    while True:
        connection, _ = proxy.accept()
        with connection:
            asked.append(connection.recv(4096).split(b"\r\n")[0].decode().removesuffix(" HTTP/1.1").removesuffix(" HTTP/1.0"))
            connection.sendall(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")


threading.Thread(target=refuse, daemon=True).start()
for name in ("HTTPS_PROXY", "https_proxy"):
    os.environ[name] = f"http://127.0.0.1:{proxy.getsockname()[1]}"
for name in ("NO_PROXY", "no_proxy"):
    os.environ.pop(name, None)

claim = "zero-network-access tokenizer"
assert claim in (Tokenizer.from_pretrained.__doc__ or "")
print("the help says:", claim)
try:
    Tokenizer.from_pretrained("builtin")
    outcome = "a tokenizer"
except Exception as error:
    outcome = type(error).__name__
print("the proxy was asked:", *sorted(set(asked)))
print("what came of it:", outcome)
assert set(asked) == {"CONNECT openaipublic.blob.core.windows.net:443"}
assert outcome == "ProxyError"
PY
