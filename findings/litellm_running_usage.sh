#!/usr/bin/env bash
# litellm 1.110.2: the usage that vLLM sends with each chunk is dropped, though `continuous_usage_stats` was asked for.
#
# With `stream_options={"include_usage": True, "continuous_usage_stats": True}`, vLLM puts the tokens so far into every
# chunk, for a caller who counts while it streams. litellm sends the option on, and one would expect `chunk.usage` on what
# comes back. Its chunks of text have no such attribute; the last event's usage alone arrives.
#
# Seen:  asked for: {'continuous_usage_stats': True, 'include_usage': True}
#        the server sent usage with: ['a', 'b', 'c', None]
#        litellm's chunks have it with: [None]
#
# Installs the package into a temporary folder, and fails if the behaviour is another.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check 'litellm==1.110.2'
LITELLM_LOCAL_MODEL_COST_MAP=True "$folder/venv/bin/python" - <<'PY'
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import litellm

asked: list[dict] = []


class VLLM(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        asked.append(json.loads(self.rfile.read(int(self.headers["content-length"])))["stream_options"])
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        for number, text in enumerate("abc", start=1):
            self.event([{"index": 0, "delta": {"content": text}, "finish_reason": None}], number)
        self.event([{"index": 0, "delta": {}, "finish_reason": "stop"}], 3)
        self.event([], 3)
        self.wfile.write(b"data: [DONE]\n\n")

    def event(self, choices: list, completion_tokens: int) -> None:
        usage = {"prompt_tokens": 5, "completion_tokens": completion_tokens, "total_tokens": 5 + completion_tokens}
        chunk = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices, "usage": usage}
        self.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")

    def log_message(self, *_: object) -> None:
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), VLLM)
threading.Thread(target=server.serve_forever, daemon=True).start()
chunks = litellm.completion(
    "hosted_vllm/m",
    messages=[{"role": "user", "content": "Hello"}],
    api_base=f"http://127.0.0.1:{server.server_port}/v1",
    api_key="none",
    stream=True,
    stream_options={"include_usage": True, "continuous_usage_stats": True},
)
with_usage = [
    chunk.choices[0].delta.content if chunk.choices else None for chunk in chunks if getattr(chunk, "usage", None) is not None
]
print("asked for:", dict(sorted(asked[0].items())))
print("the server sent usage with:", ["a", "b", "c", None])
print("litellm's chunks have it with:", with_usage)
assert asked[0] == {"continuous_usage_stats": True, "include_usage": True}
assert with_usage == [None]
PY
