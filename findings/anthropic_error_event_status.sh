#!/usr/bin/env bash
# anthropic 2.14.0: an `overloaded_error` event in a stream is raised with status 200, and not as OverloadedError.
#
# A stream of Messages can fail after its head has gone out; the server then says so in an `error` event, and the API's
# documentation gives `overloaded_error` as what HTTP calls 529. The client has OverloadedError for a response of 529, and
# one would expect it for the event too, so that one `except` and one look at the status decide whether to try again.
# What comes is a bare APIStatusError whose `status_code` is 200; the kind of error stands in `body` alone.
#
# Seen:  as an event: APIStatusError, status_code 200, {'type': 'overloaded_error', 'message': 'Overloaded'}
#        as a status: OverloadedError, status_code 529, {'type': 'overloaded_error', 'message': 'Overloaded'}
#
# Installs the package into a temporary folder, and fails if the behaviour is another.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check 'anthropic==2.14.0'
"$folder/venv/bin/python" - <<'PY'
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import anthropic

ERROR = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}


class Overloaded(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        body = json.dumps(ERROR)
        if asked["model"] == "as an event":
            self.answer(200, "text/event-stream", f"event: error\ndata: {body}\n\n")
        else:
            self.answer(529, "application/json", body)

    def answer(self, status: int, kind: str, body: str) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Overloaded)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = anthropic.Anthropic(api_key="none", base_url=f"http://127.0.0.1:{server.server_port}", max_retries=0)
seen = {}
for model in ("as an event", "as a status"):
    try:
        list(client.messages.create(model=model, max_tokens=5, messages=[{"role": "user", "content": "Hi"}], stream=True))
    except anthropic.APIStatusError as error:
        seen[model] = type(error).__name__, error.status_code, error.body["error"]
        print(f"{model}: {seen[model][0]}, status_code {seen[model][1]}, {seen[model][2]}")
assert seen["as an event"] == ("APIStatusError", 200, ERROR["error"])
assert seen["as a status"] == ("OverloadedError", 529, ERROR["error"])
PY
