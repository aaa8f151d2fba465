#!/usr/bin/env bash
# httptools 0.9.0: an exception raised in a parser's callback does not come out of feed_data().
#
# A protocol's callback that raises, say in on_headers_complete, ends the parsing, and one would expect its exception, or
# an error that names it as its __cause__. What comes is HttpParserCallbackError("User callback error") or the parser's
# own error with that text: the reason is in __context__ alone, and `str(error)` says nothing of it. Whoever shows or
# translates the message loses the reason.
#
# Seen:  HttpParserCallbackError: User callback error
#        __cause__ None, __context__ ValueError('status 103 with a body')
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
    def on_headers_complete(self) -> None:
        raise ValueError("status 103 with a body")


parser = httptools.HttpResponseParser(Protocol())
try:
    parser.feed_data(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
except httptools.HttpParserError as error:
    print(f"{type(error).__name__}: {error}")
    print(f"__cause__ {error.__cause__!r}, __context__ {error.__context__!r}")
    assert "User callback error" in str(error)
    assert "103" not in str(error)
    assert error.__cause__ is None
    assert isinstance(error.__context__, ValueError)
else:
    raise SystemExit("no error came out of feed_data()")
PY
