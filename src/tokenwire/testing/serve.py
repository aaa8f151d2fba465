"""`python -m tokenwire.testing.serve [SCRIPT]`: the scripted endpoint from the shell.

It prints the address to pass as `api_base`, then a line for each event of its clients, until it is interrupted.
"""

import argparse
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ._endpoint import Endpoint
from ._file import ScriptError, replies_from
from ._script import Received, Reply, Visit

DESCRIPTION = """\
Serve an OpenAI-compatible endpoint on this machine, for tests. A script decides its answers and their faults. It prints
what its clients do, until Ctrl-C. Without a SCRIPT every request is answered with "Hello from tokenwire!".
"""

EPILOG = """\
a script in TOML (or the same in JSON): one reply for each request, the last one repeating

  [[replies]]
  status = 429
  headers = { retry-after = "1" }
  json = { error = { message = "slow down" } }

  [[replies]]
  text = "Hello there"      # in chunks, or whole if the client asks for no stream
  first_delay = 0.5         # seconds before the first token
  event_delay = 0.1         # seconds between the chunks
  after = 2                 # chunks before ...
  cut = "rst"               # ... the connection is reset; "fin" closes it, stall = true keeps it silent

  [[replies]]
  events = ["Hello", { raw = "event: error\\ndata: {broken\\n\\n" }, { base64 = "ZGF0YTog//8KCg==" }]

Further fields: body, raw, done, forever, delay, framing ("chunked", "length", "close"), encoding ("gzip", "deflate"),
after_bytes, drip. Their meaning: python -c "from tokenwire.testing import Reply; help(Reply)"
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: its arguments; by default the process's own.

    Returns:
        The exit status: 0 after an interrupt, 2 if the script is not valid.
    """
    arguments = _parser().parse_args(argv)
    try:
        with Endpoint(_replies(arguments.script), host=arguments.host, port=arguments.port, tls=arguments.tls) as endpoint:
            print(endpoint.url, flush=True)
            try:
                _report(endpoint)
            except KeyboardInterrupt:
                return 0
    except (ScriptError, OSError, ModuleNotFoundError) as error:
        print(f"{error}", file=sys.stderr)
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m tokenwire.testing.serve",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("script", metavar="SCRIPT", nargs="?", type=Path, help="a file called *.toml or *.json")
    parser.add_argument("--host", metavar="ADDRESS", default="127.0.0.1", help="where to listen (default: 127.0.0.1)")
    parser.add_argument("--port", metavar="NUMBER", type=int, default=0, help="where to listen (default: any free port)")
    parser.add_argument("--tls", action="store_true", help="speak TLS (needs trustme); no client can verify it")
    return parser


def _replies(path: Path | None) -> list[Reply]:
    return [Reply(text="Hello from tokenwire!")] if path is None else replies_from(path.read_bytes(), path.suffix)


def _report(endpoint: Endpoint) -> None:
    """Print records when they are made, and drop them: a server may run for a long time."""
    started = time.monotonic()
    going_on: list[Visit | Received] = []
    while True:
        endpoint.wait_until(
            lambda going_on=going_on: endpoint.visits or endpoint.requests or any(map(_end, going_on)), threading.TIMEOUT_MAX
        )
        begun = [*_drained(endpoint.visits), *_drained(endpoint.requests)]
        going_on += begun
        ended = [each for each in going_on if _end(each)]
        going_on = [each for each in going_on if each not in ended]
        for moment, line in sorted([*map(_beginning, begun), *filter(None, map(_end, ended))]):
            print(f"{moment - started:8.3f}  {line}", flush=True)


def _drained(records: list[Any]) -> list[Any]:
    taken = records[:]
    del records[: len(taken)]  # records added meanwhile are kept
    return taken


def _beginning(record: Visit | Received) -> tuple[float, str]:
    """The time when a record began, and the line to print."""
    if isinstance(record, Visit):
        return record.opened_at, f"connection {record.number}: opened"
    return record.arrived_at, f"connection {record.connection}: {record.method} {record.path}, {len(record.body)} bytes"


def _end(record: Visit | Received) -> tuple[float, str] | None:
    """The time when a record ended, and the line to print; None if it has not ended."""
    if isinstance(record, Visit):
        if record.closed_at is None:
            return None
        reason = "" if record.error is None else f": {record.error}"
        return record.closed_at, f"connection {record.number}: closed by the {record.closed_by}{reason}"
    if record.ended_at is None:
        return None
    how = "the client left early" if record.aborted else "answered"
    return record.ended_at, f"connection {record.connection}: {how}, after {record.ended_at - record.arrived_at:.3f} s"


if __name__ == "__main__":
    sys.exit(main())
